"""`alcor up` as a process: what it prints, keeps, refuses, and how it stops."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from alcor.lab.region import RegionProcess
from tests.support.region import running_region


@pytest.fixture
def region(tmp_path: Path) -> Iterator[RegionProcess]:
    """A running region."""
    with running_region(tmp_path) as region:
        yield region


def alcor(*words: str) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    command = [sys.executable, "-m", "alcor.cli.main", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_it_says_where_everything_is(region: RegionProcess) -> None:
    """The API, its docs, the data, the token and the lines that make a client work are printed."""
    printed = region.log.read_text()

    for line in (
        f"{region.endpoint}/v2.0",
        f"{region.endpoint}/docs",
        str(region.data),
        region.token,
        f"OS_AUTH_TYPE=admin_token OS_ENDPOINT={region.endpoint} OS_TOKEN={region.token}",
    ):
        assert line in printed


def test_secrets_are_the_owners_alone(region: RegionProcess) -> None:
    """The token's file, the client configuration and the data folder are readable by the owner only."""
    modes = {name: (region.data / name).stat().st_mode & 0o777 for name in ("admin.token", "clouds.yaml", "")}

    assert modes == {"admin.token": 0o600, "clouds.yaml": 0o600, "": 0o700}
    assert len(region.token) >= 43
    for path in region.data.rglob("*"):
        if path.is_file() and path.name not in ("admin.token", "clouds.yaml"):
            assert region.token.encode() not in path.read_bytes()


def test_a_second_start_finds_everything_as_it_was(region: RegionProcess) -> None:
    """After a clean stop and a new start, token and networks are the same."""
    token = region.token
    with region.client() as client:
        made = client.create("v2.0/networks", "network", name="kept")

    assert region.stop() == 0
    region.start()
    region.ready()

    assert region.token == token
    with region.client() as client:
        assert client.show(f"v2.0/networks/{made['id']}")["network"] == made


def test_a_second_process_is_refused_with_a_sentence(region: RegionProcess) -> None:
    """On SQLite one process has the data folder; the second is told so, and how to go on."""
    refused = alcor("serve", "--role", "api", "--data", str(region.data), "--listen", "127.0.0.1:0")

    assert refused.returncode == 1
    assert str(region.data) in refused.stderr
    assert "PostgreSQL" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_chosen_roles_and_services_run_alone(tmp_path: Path) -> None:
    """`alcor serve --role api --service vpc` serves networks and nothing else."""
    data = tmp_path / "data"
    command = [
        *(sys.executable, "-m", "alcor.cli.main", "serve", "--role", "api", "--service", "vpc"),
        *("--data", str(data), "--listen", "127.0.0.1:0"),
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        endpoint = next(word for line in process.stdout for word in line.split() if word.endswith("/v2.0"))
        headers = {"X-Auth-Token": (data / "admin.token").read_text().strip()}

        assert httpx.get(f"{endpoint}/networks", headers=headers).status_code == 200
        assert httpx.get(f"{endpoint}/ports", headers=headers).status_code == 404
    finally:
        process.terminate()
        process.communicate()


def test_the_token_can_be_shown_and_rotated(region: RegionProcess) -> None:
    """`alcor token show` prints it; `rotate` needs the region stopped, and then only the new one opens."""
    old = region.token
    assert alcor("token", "show", "--data", str(region.data)).stdout.strip() == old
    assert alcor("token", "rotate", "--data", str(region.data)).returncode == 1

    region.stop()
    new = alcor("token", "rotate", "--data", str(region.data)).stdout.strip()
    region.start()
    region.ready()

    assert new == region.token != old
    url = f"{region.endpoint}/v2.0/networks"
    assert httpx.get(url, headers={"X-Auth-Token": new}).status_code == 200
    assert httpx.get(url, headers={"X-Auth-Token": old}).status_code == 401


def test_an_address_in_use_is_named(region: RegionProcess, tmp_path: Path) -> None:
    """A second region on the same address says which, and how to choose another."""
    address = region.endpoint.removeprefix("http://")

    refused = alcor(
        "up", "--data", str(tmp_path / "other"), "--listen", address, "--agents-listen", "127.0.0.1:0"
    )

    assert refused.returncode == 1
    assert address in refused.stderr
    assert "--listen" in refused.stderr


def test_unknown_roles_and_settings_are_sentences(tmp_path: Path) -> None:
    """Bad input to the command is answered by one line that names it."""
    role = alcor("serve", "--role", "cook", "--data", str(tmp_path))
    level = alcor("up", "--data", str(tmp_path), "--log-level", "loud")

    assert (role.returncode, level.returncode) == (1, 1)
    assert "a role is one of api, dataplane, ncm" in role.stderr
    assert "the flag of log.level = 'loud'" in level.stderr
    assert os.linesep.join(level.stderr.splitlines()[:1]) == level.stderr.strip()


def test_resources_are_listed_and_shown_as_tables_and_json(region: RegionProcess) -> None:
    """`alcor list`, `show` and `changes` find the region by its data folder; names, filters and columns work."""
    with region.client() as client:
        client.create("v2.0/networks", "network", name="red")
        made = client.create("v2.0/networks", "network", name="blue")
    folder = ("--data", str(region.data))

    table = alcor("list", "networks", "name=blue", *folder)
    assert (table.returncode, table.stderr) == (0, "")
    assert made["id"] in table.stdout
    assert "red" not in table.stdout
    listed = alcor("list", "networks", "--sort", "-name", "--format", "json", *folder)
    assert [row["name"] for row in json.loads(listed.stdout)] == ["red", "blue"]
    shown = alcor("show", "network", "blue", "-f", "json", *folder)
    assert json.loads(shown.stdout)["id"] == made["id"]
    changes = alcor("changes", f"resource_id={made['id']}", "-f", "json", *folder)
    assert [(one["action"], one["user_id"]) for one in json.loads(changes.stdout)] == [("create", "admin")]


def test_who_has_an_object_is_shown(region: RegionProcess) -> None:
    """`alcor realized` counts hosts and names those that are missing; its exit status says whether there are any."""
    with region.client() as client:
        network = client.create("v2.0/networks", "network", name="told")
        client.create("hosts", "host", name="absent", vtep_addresses=["192.0.2.9"])
        client.create("v2.0/ports", "port", network_id=network["id"], **{"binding:host_id": "absent"})
    folder = ("--data", str(region.data))

    table = alcor("realized", "network", "told", "--wait", "0.2", *folder)
    told = json.loads(alcor("realized", "network", "told", "-f", "json", *folder).stdout)
    scope = alcor("realized", "address-scope", "told", *folder)

    assert table.returncode == 2
    assert "0 of 1" in table.stdout
    assert (told["hosts_intended"], told["hosts_actual"]) == (1, 0)
    assert told["missing"] == [{"host": "absent", "reason": "not attached"}]
    assert (scope.returncode, scope.stderr) == (1, "alcor: no host needs to know a address_scope\n")


def test_a_wrong_word_is_refused_with_the_right_ones(region: RegionProcess, tmp_path: Path) -> None:
    """A resource, a filter, a name or a folder that is none gives one line that says the way out, and exit code 1."""
    folder = ("--data", str(region.data))
    for words, reason in (
        (("list", "bridges", *folder), "'bridges' is not a resource; there are "),
        (("list", "networks", "name", *folder), "'name' is not a filter; write name=value"),
        (("list", "networks", "colour=red", *folder), "invalid attribute for filtering"),
        (("show", "network", "nobody", *folder), "no network has the ID or the name 'nobody'"),
        (("list", "networks", "--data", str(tmp_path / "empty")), "no region runs with the data folder"),
    ):
        done = alcor(*words)
        assert done.returncode == 1
        assert reason in done.stderr
        assert done.stdout == ""
