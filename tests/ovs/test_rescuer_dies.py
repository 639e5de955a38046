"""The rescuer dies in its turn: another neighbour goes on by a higher generation, and the first one is kept out."""

import re
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from alcor.agent.driver import SwitchError
from alcor.agent.ovs.endpoint import TlsEndpoint
from alcor.agent.ovs.ovsdb import Database, to_map
from alcor.agent.ovs.writer import guard_of
from alcor.identity.context import client_context
from alcor.lab.command import run
from alcor.lab.site import running
from alcor.lab.stream import PingStream
from tests.ovs.test_rescue import ORPHAN, PING, lease_mark, local_numbers, stale_is_refused
from tests.support.joined import RESCUE, RescueSite
from tests.support.scenario import (
    a_dual_network,
    a_group,
    a_router,
    a_rule,
    an_external_network,
    flows,
    is_settled,
    machines,
)

pytestmark = pytest.mark.ovs

OTHERS = ("middle", "right")
BY = re.compile(r"programmed by host ([0-9a-f-]{36})")


@pytest.fixture
def site(tmp_path: Path) -> Iterator[RescueSite]:
    """Three joined hosts."""
    with running(RescueSite, tmp_path, ORPHAN, *OTHERS, settings=RESCUE) as site:
        yield site


def rescuer_of(site: RescueSite, host: str) -> str:
    """The name of the host that programs another one's switch; empty if none does."""
    found = BY.search(site.health(host)["detail"])
    names = {id: name for name, id in site.host_ids.items()}
    return names[found[1]] if found else ""


def test_another_neighbour_takes_over(site: RescueSite) -> None:
    """Agent and then rescuer are killed: the last host programs both switches, the old rescuer's word is refused by
    switch and database, no ping is lost; the agents return and are the only writers."""
    # Hosts probe one another for the sake of gateways, which all of these are.
    external = an_external_network(site)
    red, subnets = a_dual_network(site, "red", 81)
    a_router(site, "rescued", *subnets, external=external)
    group = a_group(site, "rescued", PING)
    names = zip(("one", "two", "three"), (ORPHAN, *OTHERS), strict=True)
    one, two, _ = machines(
        site, *((name, host, red, {"security_groups": [group["id"]]}) for name, host in names)
    )
    site.wait("the first ping", lambda: two.reaches(one.ip))
    for host in (ORPHAN, *OTHERS):
        site.wait(f"{host} to be reached", lambda host=host: site.health(host)["reached_by"] > 0)  # type: ignore[misc]  # bound now
    numbers = local_numbers(site, ORPHAN)

    with PingStream(two.namespace, one.ip, every_s=0.02) as pings:
        site.hosts[ORPHAN].kill("agent")
        site.wait("the rescuer", lambda: bool(rescuer_of(site, ORPHAN)))
        first = rescuer_of(site, ORPHAN)
        old = int(lease_mark(site))
        site.hosts[first].kill("agent")
        killed_s = time.monotonic()
        (last,) = {*OTHERS} - {first}
        site.wait("the other rescuer", lambda: rescuer_of(site, ORPHAN) == last)
        taken_s = time.monotonic() - killed_s
        site.wait("the first rescuer's own switch", lambda: rescuer_of(site, first) == last)
        new = int(lease_mark(site))
        before = {host: flows(site, host) for host in (ORPHAN, first)}
        a_rule(site, group, protocol="udp", port_range_min=53, port_range_max=53)
        site.wait("the rule in the orphan's switch", lambda: flows(site, ORPHAN) != before[ORPHAN])

        assert new > old
        assert stale_is_refused(site)
        assert write_by(site, first, old) == "refused"
        assert write_by(site, first, new) == "taken"
        assert site.hosts[ORPHAN].vsctl("get", "bridge", "br-int", "external_ids:by").strip() == f'"{new}"'

        for host in (ORPHAN, first):
            site.start_agent(host)
        for host in (ORPHAN, first):
            site.wait("the agent", partial(is_settled, site, host))
        site.wait("the rescue to end", lambda: lease_mark(site) == "")
        site.wait("the host to be UP", lambda: site.health(ORPHAN)["health_state"] == "UP")
        found = pings.stop()
    print(f"rescuer killed → programmed by the next one {taken_s:.2f} s")

    assert found.lost == 0
    kept = local_numbers(site, ORPHAN)
    assert {name: kept.get(name) for name in numbers} == numbers


WRITE = """
import asyncio, sys
from pathlib import Path
from tests.ovs.test_rescuer_dies import try_to_write
print(asyncio.run(try_to_write(sys.argv[1], sys.argv[2], Path(sys.argv[3]), int(sys.argv[4]))))
"""


def write_by(site: RescueSite, host: str, lease: int) -> str:
    """What becomes of a write to the orphan's database that a rescuer makes by a lease, with a host's identity."""
    said = (site.hosts[ORPHAN].vtep, site.host_ids[ORPHAN], str(site.identity(host)), str(lease))
    return run("ip", "netns", "exec", site.hosts[host].namespace, sys.executable, "-c", WRITE, *said).strip()


async def try_to_write(address: str, host_id: str, identity: Path, lease: int) -> str:
    """Write into the switch's database as a rescuer that had this lease and did not hear that it is over."""
    endpoint = TlsEndpoint(address, 6640, host_id, lambda: client_context(identity))
    database = await Database.open(endpoint, lambda: None)
    database.guard = guard_of("br-int", lease)
    mutations = [["external_ids", "insert", to_map({"by": str(lease)})]]
    where = [["name", "==", "br-int"]]
    try:
        await database.transact({"op": "mutate", "table": "Bridge", "where": where, "mutations": mutations})
    except SwitchError as error:
        return "refused" if "timed out" in str(error) else str(error)
    finally:
        database.close()
    return "taken"
