"""The guide about hosts, command by command, on a region with TLS and a host with a simulated switch."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from alcor.lab.region import RegionProcess
from tests.support.region import running_region

GUIDE = Path("docs/guides/hosts.md")
BETWEEN = {
    "alcor-agent run &": "agent=$!; until_host web-1 UP",
    "alcor host revoke web-1": "until_host web-1 DOWN",
    "alcor host undrain web-1": "kill $agent; wait $agent; until_host web-1 DOWN; mkdir /etc/alcor/identity/beside",
}
PRELUDE = """set -eu
until_host() {
    for try in $(seq 300); do
        if alcor host show "$1" | grep -q "health_state .*$2"; then return 0; fi
        sleep 0.2
    done
    echo "$1 is not $2"; alcor host show "$1"; exit 1
}
"""


def commands() -> list[str]:
    """The lines of the guide's console blocks."""
    blocks = re.findall(r"```console\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    return [line.removeprefix("$ ") for block in blocks for line in block.splitlines()]


@pytest.fixture
def region(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RegionProcess]:
    """A region whose agents attach over mutual TLS, also on loopback."""
    monkeypatch.setenv("ALCOR_TLS__AGENTS", "on")
    with running_region(tmp_path) as region:
        yield region


@contextmanager
def a_shell(folder: Path, region: RegionProcess) -> Iterator[dict[str, str]]:
    """An environment in which `alcor` and `alcor-agent` are ours, and the host's files are the test's."""
    bin = folder / "bin"
    bin.mkdir()
    for name, module in (("alcor", "alcor.cli.main"), ("alcor-agent", "tests.support.simulated_agent")):
        (bin / name).write_text(f'#!/bin/sh\nexec {sys.executable} -m {module} "$@"\n')
        (bin / name).chmod(0o755)
    yield os.environ | {
        "PATH": f"{bin}:{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join([str(Path.cwd()), *sys.path]),
        "ALCOR_ENDPOINT": region.endpoint,
        "ALCOR_TOKEN": region.token,
        "ALCOR_DATA__FOLDER": str(region.data),
        "ALCOR_AGENT__IDENTITY_FOLDER": str(folder / "identity"),
        "ALCOR_AGENT__STATUS_SOCKET": str(folder / "agent.sock"),
        "ALCOR_METADATA__ENABLED": "false",
        "ALCOR_BGP__ENABLED": "false",
    }


def test_every_command_of_the_guide_works(region: RegionProcess, tmp_path: Path) -> None:
    """Invited, joined, attached over TLS, renewed, revoked, joined anew, drained, left; imported; certified."""
    inventory = re.findall(r"```yaml\n(.*?)```", GUIDE.read_text(), re.DOTALL)[0]
    (tmp_path / "hosts.yaml").write_text(inventory)
    with region.client() as client:
        client.create("hosts", "host", name="web-2", vtep_addresses=["192.0.2.12"])
    lines = []
    for line in commands():
        lines.append(line)
        lines.append(BETWEEN.get(line, ""))
    script = PRELUDE + "\n".join(lines)
    script = script.replace("http://127.0.0.1:9696", region.endpoint)
    script = script.replace("/etc/alcor/identity", str(tmp_path / "identity"))
    script += "\nalcor host list"

    with a_shell(tmp_path, region) as environment:
        done = subprocess.run(
            ["bash", "-c", script],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )

    told = done.stdout + done.stderr + region.log.read_text()[-4000:]
    assert done.returncode == 0, told
    for sentence in (
        "host web-1 has joined as",
        "(mutual TLS)",
        "certificate renewed, valid until",
        "the identity of web-1 is revoked",
        "host web-1 drains",
        "no port is left on it",
        "host web-1 has left the region",
        "host web-2 is removed",
        "2 to add, 0 to change, 0 as they should be",
        "ncm.key and ca.pem are written",
    ):
        assert sentence in done.stdout, told
    # What is beside an identity is not the agent's to remove.
    assert [one.name for one in (tmp_path / "identity").iterdir()] == ["beside"]
    assert [row for row in ("web-1", "web-2") if row in done.stdout.splitlines()[-1]] == []
    with region.client() as client:
        assert sorted(one["name"] for one in client.show("hosts")["hosts"]) == ["db-1", "db-2"]
