"""A host with a real switch joins over mutual TLS, carries a VM, is drained, removed; another leaves by itself."""

import json
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from alcor.lab.command import LabError, run, start
from alcor.lab.host import LabHost, missing_parts
from alcor.lab.ledger import Ledger
from alcor.lab.site import Site
from tests.support.site import a_network, a_vm, with_address

pytestmark = pytest.mark.ovs


class JoinedSite(Site):
    """A region that serves agents over TLS only, and hosts that joined by themselves."""

    def __init__(self, folder: Path, ledger: Ledger) -> None:
        super().__init__(f"t{secrets.token_hex(2)}-", folder, ledger)
        self.ledger = ledger
        self.agents: dict[str, subprocess.Popen[bytes]] = {}

    def environment(self, host: LabHost) -> dict[str, str]:
        """What `alcor-agent` is told on a host; it runs beside the namespaces, its switch's sockets are files."""
        return {
            "ALCOR_AGENT__IDENTITY_FOLDER": str(host.folder / "identity"),
            "ALCOR_AGENT__OVSDB": str(host.db_socket),
            "ALCOR_AGENT__RUN_FOLDER": str(host.run_folder),
            "ALCOR_AGENT__DATAPATH_TYPE": "netdev",
            "ALCOR_AGENT__STATUS_SOCKET": str(host.status_socket),
            "ALCOR_METADATA__ENABLED": "false",
            "ALCOR_BGP__ENABLED": "false",
        }

    def agent(self, host: str, *words: str) -> str:
        """Run `alcor-agent` to its end."""
        return run(sys.executable, "-m", "alcor.cli.agent", *words, env=self.environment(self.hosts[host]))

    def alcor(self, *words: str) -> "subprocess.CompletedProcess[str]":
        """Run `alcor` to its end."""
        command = (sys.executable, "-m", "alcor.cli.main", *words)
        told = {"ALCOR_ENDPOINT": self.region.endpoint, "ALCOR_TOKEN": self.region.token}
        return subprocess.run(
            command, capture_output=True, text=True, timeout=60, check=False, env=os.environ | told
        )

    def join(self, host: str) -> None:
        """Invite a host, join it, start its agent and wait until it is UP."""
        token = self.alcor("host", "invite", "--quiet").stdout.strip()
        where = ("--region", self.region.endpoint, "--name", host, "--vtep", self.hosts[host].vtep)
        self.agent(host, "join", "--token", token, *where)
        identity = json.loads((self.hosts[host].folder / "identity" / "joined.json").read_text())
        self.host_ids[host] = identity["host_id"]
        self.agents[host] = start(
            self.ledger,
            *(sys.executable, "-m", "alcor.cli.agent", "run"),
            log=self.hosts[host].log("agent"),
            env=self.environment(self.hosts[host]),
        )

    def status(self, host: str) -> dict[str, Any]:
        """What the agent says of itself; nothing while it does not answer."""
        try:
            return dict(json.loads(self.agent(host, "status", "--json")))
        except LabError:
            return {}


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[JoinedSite]:
    """Two hosts that have joined."""
    if reason := missing_parts():
        raise LabError(f"real switches are needed and cannot run here: {reason}")
    monkeypatch.setenv("ALCOR_TLS__AGENTS", "on")
    ledger = Ledger(tmp_path)
    site = JoinedSite(tmp_path, ledger)
    try:
        site.start(("left", "right"))
        for host in site.hosts:
            site.join(host)
        site.wait_for_agents()
        yield site
    finally:
        site.close()
        ledger.sweep()


def ours(host: LabHost) -> list[str]:
    """Our flows in the integration bridge."""
    found = host.ofctl("--no-stats", "dump-flows", "br-int").splitlines()
    return [flow for flow in found if "cookie=0xa1" in flow]


def test_joined_hosts_carry_packets_until_they_go(site: JoinedSite) -> None:
    """VMs of hosts that attach over mutual TLS reach one another; a drained host keeps what it has; a removed one is
    told so; one that leaves takes its flows with it."""
    left, right = site.hosts["left"], site.hosts["right"]
    red = a_network(site, "red", "10.60.0.0/24")
    one, port_one = a_vm(site, "one", "left", red)
    two, port_two = a_vm(site, "two", "right", red)
    with_address(one, port_one)
    address = with_address(two, port_two)
    assert one.ping(address).received == 3

    drained = site.alcor("host", "drain", "left")
    late = site.client.create(
        "v2.0/ports", "port", network_id=red["id"], name="late", **{"binding:host_id": "left"}
    )

    assert "1 ports left: one" in drained.stdout
    assert late["binding:vif_type"] == "binding_failed"
    assert one.ping(address).received == 3

    site.client.delete("v2.0/ports", late["id"])
    refused = site.alcor("host", "remove", "left")
    assert refused.returncode == 1
    assert "1 ports left: one" in refused.stderr

    removed = site.alcor("host", "remove", "left", "--force")
    assert removed.returncode == 0, removed.stderr
    assert site.port_status(port_one["id"]) == "DOWN"
    site.wait("the agent to be told", lambda: "removed from the region" in json.dumps(site.status("left")))

    # A switch is left as it is by who is refused: what is to become of it is its operator's to say.
    assert ours(left) != []
    site.client.delete("v2.0/ports", port_two["id"])
    two.unplug()
    site.agents["right"].terminate()
    site.agents["right"].wait()
    told = site.agent("right", "leave")

    assert "host right has left the region" in told
    assert "were removed from the switch" in told
    assert ours(right) == []
    assert site.client.show("hosts")["hosts"] == []
    assert not any((right.folder / "identity").iterdir())
