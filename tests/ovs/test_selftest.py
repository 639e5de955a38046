"""`alcor selftest` against a region on real switches: what it proves, says and leaves behind."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from alcor.lab.site import Site, running_site
from tests.support.scenario import flows

pytestmark = pytest.mark.ovs

PROOFS = (
    "VPC: networks, router, ports, VIFs",
    "DHCP",
    "ping, same host",
    "ping, other host",
    "deny by security group",
    "route to another subnet",
    "DNS",
    "metadata",
    "floating IP from outside",
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Two hosts with provider bridges, and nothing on them."""
    with running_site(tmp_path_factory.mktemp("site"), "left", "right") as site:
        yield site


def command(site: Site, *hosts: str) -> list[str]:
    """The command line for these hosts."""
    words = [sys.executable, "-m", "alcor.cli.main", "selftest", "--format", "json"]
    words += ["--endpoint", site.region.endpoint, "--token", site.region.token]
    return words + [
        word for host in hosts for word in ("--agent-socket", str(site.hosts[host].status_socket))
    ]


def selftest(site: Site, *hosts: str) -> tuple[int, dict[str, Any]]:
    """Exit status and what it printed."""
    done = subprocess.run(command(site, *hosts), capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, json.loads(done.stdout) if done.stdout else {"said": done.stderr}


def held(site: Site) -> list[object]:
    """All that a self-test could leave behind: rows, namespaces, flows, ports."""
    collections = ("networks", "subnets", "ports", "routers", "floatingips")
    return [
        *(site.client.show(f"v2.0/{name}")[name] for name in collections),
        # A first look makes the project's default group.
        [row["name"] for row in site.client.show("v2.0/security-groups")["security_groups"]],
        sorted(path.name for path in Path("/run/netns").iterdir() if path.name.startswith("st")),
        *(flows(site, host) for host in site.hosts),
        *(sorted(site.hosts[host].vsctl("list-ports", "br-ex").split()) for host in site.hosts),
    ]


def test_everything_is_proved_and_nothing_is_left(site: Site) -> None:
    """With two hosts at hand all is proved, status 0; rows, namespaces, ports and flows are those there were before."""
    before = held(site)

    status, found = selftest(site, "left", "right")

    assert [(each["name"], each["outcome"]) for each in found["proofs"]] == [
        (name, "proved") for name in PROOFS
    ]
    assert all(each["elapsed_ms"] > 0 for each in found["proofs"])
    assert status == 0
    site.wait("nothing of it", lambda: held(site) == before)


def test_one_host_proves_all_but_the_other_host(site: Site) -> None:
    """With one host at hand the ping to another one is not tried, and says why; status 0."""
    status, found = selftest(site, "right")

    rest = {each["name"]: each["text"] for each in found["proofs"] if each["outcome"] != "proved"}
    assert rest == {"ping, other host": "needs a second host at hand"}
    assert status == 0


def test_what_fails_is_said_and_cleaned_up(site: Site) -> None:
    """A switch that lost the flows of its tunnel fails the ping between hosts, status 1, and nothing is left."""
    before = held(site)
    # A flow of somebody else's, above all of ours, that drops what comes from other hosts.
    block = "cookie=0x5eed,table=0,priority=65535,in_port=alcor-vxlan"
    site.hosts["left"].ofctl("add-flow", "br-int", f"{block} actions=drop")
    try:
        status, found = selftest(site, "left", "right")
    finally:
        site.hosts["left"].ofctl(
            "--strict", "del-flows", "br-int", "table=0,priority=65535,in_port=alcor-vxlan"
        )

    outcomes = {each["name"]: each["outcome"] for each in found["proofs"]}
    assert (outcomes["ping, same host"], outcomes["ping, other host"]) == ("proved", "failed")
    texts = {each["name"]: each["text"] for each in found["proofs"]}
    assert "the switch of left differs" in texts["ping, other host"]
    assert status == 1
    site.wait("nothing of it", lambda: held(site) == before)


def test_an_interrupted_run_leaves_nothing(site: Site) -> None:
    """Ctrl-C in the middle: status 2, and nothing is left."""
    before = held(site)
    with subprocess.Popen(
        command(site, "left"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as run:
        assert run.stderr is not None
        for line in run.stderr:
            if "DHCP: proved" in line:
                run.send_signal(signal.SIGINT)
                break
        run.communicate(timeout=20)

    assert run.returncode == 2
    site.wait("nothing of it", lambda: held(site) == before)


def test_without_hosts_nothing_can_be_tried(site: Site, tmp_path: Path) -> None:
    """Where no agent answers the status is 2, and the sentence names the socket that was asked."""
    words = [*command(site), "--agent-socket", str(tmp_path / "nobody.sock")]

    done = subprocess.run(words, capture_output=True, text=True, timeout=30, check=False)

    assert done.returncode == 2
    assert str(tmp_path / "nobody.sock") in done.stderr
