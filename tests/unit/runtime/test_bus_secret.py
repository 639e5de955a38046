"""The secret by which ncms prove themselves: made once, private, and missed with a sentence."""

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from alcor.runtime.bus import ensure_secret, own_socket, read_secret, secret_path
from alcor.runtime.config import Bus, Data, RegionConfig
from alcor.runtime.settings import ConfigurationError


def test_it_is_made_once_and_private(tmp_path: Path) -> None:
    """The first start makes 256 bits in a file of its owner's; later starts find the same; nothing else is left."""
    path = tmp_path / "bus.secret"

    secret = ensure_secret(path)

    assert len(secret) >= 43
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert (ensure_secret(path), read_secret(path)) == (secret, secret)
    assert [file.name for file in tmp_path.iterdir()] == ["bus.secret"]


def test_of_many_that_start_at_once_all_have_one(tmp_path: Path) -> None:
    """Whoever makes it first, everybody goes on with the same secret."""
    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(ensure_secret, [tmp_path / "bus.secret"] * 32))

    assert len(found) == 1


def test_a_missing_one_says_the_way_out(tmp_path: Path) -> None:
    """An ncm without the secret is told where to get it; an empty file is no secret."""
    with pytest.raises(OSError, match="copy the dataplane's"):
        read_secret(tmp_path / "bus.secret")

    (tmp_path / "bus.secret").write_text("\n")
    with pytest.raises(OSError, match="is empty"):
        read_secret(tmp_path / "bus.secret")
    with pytest.raises(ConfigurationError, match=r"bus\.secret_file"):
        ensure_secret(tmp_path / "bus.secret")


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    """A secret that cannot be made names the setting and the file."""
    with pytest.raises(ConfigurationError, match=r"bus\.secret_file = '.*/none/bus\.secret'"):
        ensure_secret(tmp_path / "none" / "bus.secret")


def test_where_it_is(tmp_path: Path) -> None:
    """In the data folder, or where `bus.secret_file` says; the dataplane's own socket is in the data folder."""
    config = RegionConfig(data=Data(folder=tmp_path))
    elsewhere = RegionConfig(data=Data(folder=tmp_path), bus=Bus(secret_file="/etc/alcor/bus.secret"))

    assert secret_path(config) == tmp_path / "bus.secret"
    assert secret_path(elsewhere) == Path("/etc/alcor/bus.secret")
    assert own_socket(config) == f"unix:{tmp_path}/bus.sock"
