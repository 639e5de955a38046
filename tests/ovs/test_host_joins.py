"""A host with a real switch joins over mutual TLS, carries a VM, is drained, removed; another leaves by itself."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from alcor.lab.host import LabHost
from alcor.lab.site import running
from tests.support.joined import OverTls
from tests.support.site import a_network, a_vm, with_address

pytestmark = pytest.mark.ovs


@pytest.fixture
def site(tmp_path: Path) -> Iterator[OverTls]:
    """Two hosts that have joined."""
    with running(OverTls, tmp_path, "left", "right", settings={"ALCOR_TLS__AGENTS": "on"}) as site:
        yield site


def ours(host: LabHost) -> list[str]:
    """Our flows in the integration bridge."""
    found = host.ofctl("--no-stats", "dump-flows", "br-int").splitlines()
    return [flow for flow in found if "cookie=0xa1" in flow]


def test_joined_hosts_carry_packets_until_they_go(site: OverTls) -> None:
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
