"""`alcor host` on a region: what its commands say and leave behind where something is not as it should be."""

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from alcor.lab.region import RegionProcess
from tests.support.region import running_region

Done = subprocess.CompletedProcess[str]


@pytest.fixture(scope="module")
def region(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RegionProcess]:
    """One region for all; each test has hosts of its own."""
    with running_region(tmp_path_factory.mktemp("region")) as region:
        yield region


def alcor(region: RegionProcess, *words: str) -> Done:
    """Run `alcor` to its end."""
    return _run(*words, "--endpoint", region.endpoint, "--token", region.token)


def _run(*words: str) -> Done:
    command = [sys.executable, "-m", "alcor.cli.main", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def a_file(folder: Path, *names: str, number: int) -> str:
    """An inventory of these hosts."""
    rows = [f"{name},192.0.{number}.{place}" for place, name in enumerate(names, start=1)]
    path = folder / "hosts.csv"
    path.write_text("\n".join(["name,vtep_addresses", *rows]))
    return str(path)


def test_a_region_that_is_not_reached_is_a_sentence() -> None:
    """Nobody listens there: exit status 1, which region, why, and the way out."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

    done = _run("host", "list", "--endpoint", f"http://127.0.0.1:{port}", "--token", "any")

    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith(f"alcor: the region at http://127.0.0.1:{port} cannot be reached: ")
    assert "--endpoint names another" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_tokens_of_earlier_imports_stay_in_the_file(region: RegionProcess, tmp_path: Path) -> None:
    """The region says a token once: an import that is run again, or of another file, takes none away."""
    file, words = tmp_path / "tokens.json", ("--tokens", str(tmp_path / "tokens.json"))
    assert alcor(region, "host", "import", a_file(tmp_path, "i1", number=2), *words).returncode == 0
    first = json.loads(file.read_text())

    again = alcor(region, "host", "import", a_file(tmp_path, "i1", number=2), *words)
    more = alcor(region, "host", "import", a_file(tmp_path, "i1", "i2", number=2), *words)

    assert (again.returncode, more.returncode) == (0, 0)
    assert set(json.loads(file.read_text())) == {"i1", "i2"}
    assert json.loads(file.read_text())["i1"] == first["i1"]
    assert file.stat().st_mode & 0o777 == 0o600


def test_tokens_that_cannot_be_written_keep_hosts_from_being_added(
    region: RegionProcess, tmp_path: Path
) -> None:
    """Before anything is changed; else the tokens of the new hosts were lost."""
    nowhere = tmp_path / "not" / "there.json"

    done = alcor(region, "host", "import", a_file(tmp_path, "i3", number=3), "--tokens", str(nowhere))

    assert (done.returncode, done.stderr) == (1, f"alcor: {nowhere}: No such file or directory\n")
    assert alcor(region, "host", "show", "i3").returncode == 1


def test_hosts_without_a_readable_token_are_named(region: RegionProcess, tmp_path: Path) -> None:
    """They were there before: by the file alone their agents cannot prove themselves."""
    path = a_file(tmp_path, "i4", number=4)
    assert alcor(region, "host", "import", path).returncode == 0

    done = alcor(region, "host", "import", path, "--tokens", str(tmp_path / "tokens.json"))

    assert done.returncode == 0
    assert "has no token of i4" in done.stdout


def test_undrain_says_what_still_keeps_work_away(region: RegionProcess, tmp_path: Path) -> None:
    """A host that is administratively down takes no work, whatever its rotation."""
    assert alcor(region, "host", "import", a_file(tmp_path, "i5", number=5)).returncode == 0
    with region.client() as client:
        host = next(one for one in client.show("hosts")["hosts"] if one["name"] == "i5")
        client.update("hosts", "host", host["id"], admin_state_up=False)

        done = alcor(region, "host", "undrain", "i5")
        client.update("hosts", "host", host["id"], admin_state_up=True)

    assert done.returncode == 1
    assert f"openstack network agent set --enable {host['id']}" in done.stderr
    assert alcor(region, "host", "undrain", "i5").stdout == "host i5 takes work again\n"


def test_a_host_that_is_not_well_says_why(region: RegionProcess, tmp_path: Path) -> None:
    """All that is wrong, as `GET /hosts/<id>/health` has it."""
    assert alcor(region, "host", "import", a_file(tmp_path, "i6", number=6)).returncode == 0

    assert "its agent was never heard" in alcor(region, "host", "show", "i6").stdout
