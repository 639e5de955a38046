"""Configuration: where a setting comes from, and what is said of a wrong one."""

from pathlib import Path
from typing import Any

import pytest

from alcor.runtime.agent_config import AgentConfig
from alcor.runtime.config import RegionConfig
from alcor.runtime.settings import ConfigurationError, describe, load


def region(file: Path | None = None, environ: dict[str, str] | None = None, **flags: Any) -> RegionConfig:
    """The region's tree from these sources; flags are written `section__field`."""
    named = {name.replace("__", "."): value for name, value in flags.items()}
    return load(RegionConfig, file=file, environ=environ or {}, flags=named)


def written(folder: Path, text: str) -> Path:
    """A configuration file."""
    path = folder / "alcor.toml"
    path.write_text(text)
    return path


def test_later_sources_win(tmp_path: Path) -> None:
    """Defaults are overridden by the file, the file by the environment, the environment by flags."""
    file = written(
        tmp_path, '[api]\nlisten = "127.0.0.1:1"\n[ncm]\nlisten = "127.0.0.1:1"\nheartbeat_s = 1\n'
    )
    environ = {"ALCOR_NCM__LISTEN": "127.0.0.1:2", "ALCOR_API__LISTEN": "127.0.0.1:2"}

    config = region(file, environ, api__listen="127.0.0.1:3", ncm__socket=None)

    assert config.api.listen == "127.0.0.1:3"
    assert config.ncm.listen == "127.0.0.1:2"
    assert config.ncm.heartbeat_s == 1
    assert config.dataplane.dhcp_lease_s == 86_400


@pytest.mark.parametrize(
    ("file", "environ", "said"),
    [
        ("[api]\nlistem = 1\n", {}, "listem is not a setting; there are "),
        ("api = 1\n", {}, "'api' must be a section"),
        ("[ncm]\nheartbeat_s = 0\n", {}, "heartbeat_s = 0"),
        ("[api\n", {}, "is not valid TOML"),
        ("", {"ALCOR_NCM__HEARTBEAT_S": "soon"}, "ALCOR_NCM__HEARTBEAT_S = 'soon'"),
        ("", {"ALCOR_LOG__LEVEL": "loud"}, "ALCOR_LOG__LEVEL = 'loud'"),
    ],
)
def test_a_wrong_setting_is_named_with_its_origin(
    tmp_path: Path, file: str, environ: dict[str, str], said: str
) -> None:
    """An unknown or impossible setting stops the start with a sentence that names it."""
    with pytest.raises(ConfigurationError) as refusal:
        region(written(tmp_path, file), environ)

    assert said in str(refusal.value)


def test_a_file_that_was_asked_for_must_be_there(tmp_path: Path) -> None:
    """`--config` of a missing file is an error; a missing default file is not."""
    with pytest.raises(ConfigurationError, match="cannot be read"):
        region(tmp_path / "missing.toml")
    assert region() == region()


@pytest.mark.parametrize("tree", [RegionConfig, AgentConfig])
def test_every_setting_is_explained(tree: type[RegionConfig] | type[AgentConfig]) -> None:
    """Each setting has a sentence for the reference page."""
    rows = describe(tree)

    assert len(rows) >= 9
    assert [name for name, _, _, text in rows if not text.endswith(".")] == []


def test_commas_part_a_list_wherever_it_comes_from() -> None:
    """A variable, a flag and a repeated flag say the same."""
    wanted = ("10.0.0.1:1", "10.0.0.2:1")
    for environ, flags in (
        ({"ALCOR_BUS__DATAPLANE": "10.0.0.1:1, 10.0.0.2:1"}, {}),
        ({}, {"bus.dataplane": ["10.0.0.1:1,10.0.0.2:1"]}),
        ({}, {"bus.dataplane": ["10.0.0.1:1", "10.0.0.2:1"]}),
    ):
        found = load(RegionConfig, file=None, environ=environ, flags=flags)

        assert found.bus.dataplane == wanted
