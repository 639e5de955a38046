"""An agent is dead, its switch lives: a neighbour programs it, until the agent is back. Real switches, mutual TLS."""

import json
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from alcor.agent.ovs.connection import Connection
from alcor.agent.ovs.endpoint import TlsEndpoint
from alcor.agent.ovs.role import ROLE_REQUEST, Role, decode_role, encode_role
from alcor.identity.context import client_context
from alcor.lab.command import run
from alcor.lab.site import Site, running
from alcor.lab.stream import PingStream
from tests.support.joined import RESCUE, RescueSite
from tests.support.scenario import (
    Machine,
    a_dual_network,
    a_group,
    a_machine,
    a_router,
    a_rule,
    agent_status,
    an_external_network,
    assert_sound,
    flows,
    is_settled,
)

pytestmark = pytest.mark.ovs

ORPHAN, NEIGHBOUR = "left", "right"
PING = {"protocol": "icmp"}


@pytest.fixture
def site(tmp_path: Path) -> Iterator[RescueSite]:
    """Two joined hosts."""
    with running(RescueSite, tmp_path, ORPHAN, NEIGHBOUR, settings=RESCUE) as site:
        yield site


def test_a_neighbour_programs_the_switch_of_a_dead_agent(site: RescueSite, tmp_path: Path) -> None:
    """kill -9 of an agent: its switch follows the region by a neighbour's hand, no ping is lost; the agent returns,
    is the only writer, renumbers nothing, and finds nothing to change."""
    external = an_external_network(site)
    red, subnets = a_dual_network(site, "rescue-red", 80)
    a_router(site, "rescue", *subnets, external=external)
    group = a_group(site, "rescue", PING)
    one = a_machine(site, "rescue-1", ORPHAN, red, security_groups=[group["id"]])
    two = a_machine(site, "rescue-2", NEIGHBOUR, red, security_groups=[group["id"]])
    site.wait("the first ping", lambda: two.reaches(one.ip))
    site.wait("the neighbour to be reached", lambda: site.health(ORPHAN)["reached_by"] > 0)
    numbers = local_numbers(site, ORPHAN)

    with PingStream(two.namespace, one.ip, every_s=0.02) as pings:
        site.hosts[ORPHAN].kill("agent")
        killed_s = time.monotonic()
        site.wait("the rescuer", lambda: "programmed by host" in site.health(ORPHAN)["detail"])
        rescued_s = time.monotonic()
        before = flows(site, ORPHAN)
        a_rule(site, group, protocol="udp", port_range_min=53, port_range_max=53)
        ruled_s = time.monotonic()
        site.wait("the rule in the orphan's switch", lambda: flows(site, ORPHAN) != before)
        followed_s = time.monotonic()
        three = a_machine(site, "rescue-3", NEIGHBOUR, red, security_groups=[group["id"]])
        site.wait("the orphan to know a new peer", lambda: reaches_now(three, one.ip))
        health = site.health(ORPHAN)

        assert health["health_state"] == "DOWN"
        assert health["detail"] == (
            f"programmed by host {site.host_ids[NEIGHBOUR]}; DHCP, RA and other handlers are not served"
        )
        assert stale_is_refused(site)

        # With nobody there who could withdraw the lease: the switch alone tells the rescuer that its work is over.
        site.region.kill()
        site.start_agent(ORPHAN)
        site.wait("the rescuer to yield", lambda: "programs its switch again" in agent_log(site, NEIGHBOUR))
        site.restart_region()
        site.wait("the agent", partial(is_settled, site, ORPHAN))
        site.wait("the rescue to end", lambda: lease_mark(site) == "")
        site.wait("the host to be UP", lambda: site.health(ORPHAN)["health_state"] == "UP")
        found = pings.stop()

    print(
        f"killed → programmed by the neighbour {rescued_s - killed_s:.2f} s; "
        f"rule → in the orphan's switch {followed_s - ruled_s:.2f} s"
    )
    assert found.lost == 0
    kept = local_numbers(site, ORPHAN)
    assert {name: kept.get(name) for name in numbers} == numbers
    assert agent_status(site, ORPHAN)["counters"]["flow_changes"] == 0
    assert site.health(ORPHAN)["detail"] == ""
    copy = tmp_path / "copy"
    copy.mkdir()
    assert_sound(site, copy)


def reaches_now(machine: Machine, address: str) -> bool:
    """Whether one ping is answered."""
    return machine.vm.ping(address, count=1, wait_s=0.4).received == 1


def agent_log(site: Site, host: str) -> str:
    """What an agent has written."""
    return site.hosts[host].log("agent").read_text()


def lease_mark(site: Site) -> str:
    """The mark of a rescuer in the orphan's database."""
    asked = ("--if-exists", "get", "bridge", "br-int", "external_ids:alcor-lease")
    return site.hosts[ORPHAN].vsctl(*asked).strip().strip('"')


def local_numbers(site: Site, host: str) -> dict[str, str]:
    """The local numbers in a switch's database."""
    text = site.hosts[host].vsctl("--format=json", "--columns=external_ids", "list", "bridge", "br-int")
    pairs = json.loads(text)["data"][0][0][1]
    return {name: number for name, number in pairs if name.startswith("alcor:")}


PROBE = """
import asyncio, sys
from pathlib import Path
from tests.ovs.test_rescue import try_stale
print(asyncio.run(try_stale(sys.argv[1], sys.argv[2], Path(sys.argv[3]))))
"""


def stale_is_refused(site: RescueSite) -> bool:
    """Whether the orphan's switch refuses a rescuer of an earlier lease than the one that stands."""
    neighbour, orphan = site.hosts[NEIGHBOUR], site.hosts[ORPHAN]
    said = (orphan.vtep, site.host_ids[ORPHAN], str(site.identity(NEIGHBOUR)))
    text = run("ip", "netns", "exec", neighbour.namespace, sys.executable, "-c", PROBE, *said)
    return text.strip() == "STALE"


async def try_stale(address: str, host_id: str, identity: Path) -> str:
    """Ask a switch for the role of MASTER by one generation less than it has."""
    endpoint = TlsEndpoint(address, 6653, host_id, lambda: client_context(identity))
    connection = await Connection.open(endpoint, lambda _: None)
    try:
        now = decode_role(await connection.request(ROLE_REQUEST, encode_role(Role.NOCHANGE, 0), "role"))
        stale = encode_role(Role.MASTER, now.generation - 1)
        try:
            await connection.request(ROLE_REQUEST, stale, "a stale role")
        except Exception as error:
            return "STALE" if "stale" in str(error).lower() or "type 11" in str(error) else str(error)
        return "taken"
    finally:
        connection.close()
