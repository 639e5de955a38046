"""A region whose networks of four ports and more are held on demand, on real switches: machines reach one another."""

import re
import time
from collections.abc import Iterator
from functools import partial

import pytest

from alcor.goalstate.scope import neighbours_scope
from alcor.lab.site import Site, running
from alcor.lab.stream import PingStream
from alcor.pipeline.tables import Table
from tests.support.scenario import (
    Machine,
    Row,
    a_dual_network,
    a_router,
    agent_status,
    flows,
    is_settled,
    machines,
)
from tests.support.site import ON_DEMAND, a_network, a_subnet

pytestmark = pytest.mark.ovs

HOSTS = ("left", "right", "gate")
_DURATION = re.compile(r"duration=([\d.]+)s")
_NETWORK = re.compile(r"metadata=0x[0-9a-f]+")
_ON_DEMAND = (Table.L2_REMOTE.value, Table.INGRESS_SET.value, Table.EGRESS_SET.value)


@pytest.fixture(scope="module", params=["relayed", "unrelayed"])
def kind(request: pytest.FixtureRequest) -> str:
    """With a relay, or without gateway hosts."""
    return str(request.param)


@pytest.fixture(scope="module")
def site(kind: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Three hosts."""
    gateways = {"relayed": ("gate",), "unrelayed": ("nobody",)}[kind]
    folder = tmp_path_factory.mktemp(kind)
    with running(Site, folder, *HOSTS, gateways=gateways, settings=ON_DEMAND) as site:
        yield site


def _crowd(site: Site, network: Row, prefix: str) -> list[Machine]:
    """Four machines on one host, so that the others hold the network on demand from the beginning."""
    return machines(site, *((f"{prefix}{n}", "right", network, {}) for n in range(4)))


def _held(site: Site, host: str, network: Row) -> bool:
    """Whether a host holds the network on demand."""
    return str(neighbours_scope(network["id"])) in agent_status(site, host)["on_demand"]


def _direct(site: Site, host: str, machine: Machine) -> list[str]:
    """The flows by which a host sends to a machine elsewhere."""
    mac = machine.port["mac_address"]
    return [flow for flow in flows(site, host) if "table=64" in flow and f"dl_dst={mac}" in flow]


def _young(site: Site, host: str, peer: Machine, age_s: float) -> list[str]:
    """The flows to peers of that one's network, and those that let members of groups in and out there, which were put
    less than that ago. In others, machines of other tests may speak by themselves."""
    where = _NETWORK.search(_direct(site, host, peer)[0])
    assert where is not None
    tables = [f"table={table},{where[0]}" for table in _ON_DEMAND]
    dumps = [site.hosts[host].ofctl("dump-flows", "br-int", table) for table in tables]
    aged = [(flow, _DURATION.search(flow)) for dump in dumps for flow in dump.splitlines()]
    return [flow for flow, age in aged if age is not None and float(age[1]) < age_s]


def test_machines_reach_one_another_on_demand(site: Site, kind: str) -> None:
    """The first packet arrives, whoever sends it; hosts know then whom their machines talk to, and nobody else."""
    network, _ = a_dual_network(site, f"all-{kind}", 60)
    first, second, third, fourth = _crowd(site, network, "all")
    here = machines(site, ("here", "left", network, {}))[0]
    before = _direct(site, "left", first)
    assert _held(site, "left", network)

    answered = [here.vm.ping(other.ip, count=1).received for other in (first, second)]
    over_ipv6 = here.vm.ping(first.ip6, count=1).received
    asked_first = third.vm.ping(here.ip, count=1).received

    assert before == []
    assert (answered, over_ipv6, asked_first) == ([1, 1], 1, 1)
    site.wait("the direct way", lambda: bool(_direct(site, "left", first)))
    assert _direct(site, "left", fourth) == []
    assert here.misses("10.60.0.250")


def test_routed_packets_find_their_way_on_demand(site: Site, kind: str) -> None:
    """A packet into another large network of the router arrives; one to nobody does not."""
    near, far = a_network(site, f"near-{kind}"), a_network(site, f"far-{kind}")
    subnets = [a_subnet(site, network, f"10.{n}.0.0/24") for n, network in ((61, near), (62, far))]
    a_router(site, f"router-{kind}", *(subnet["id"] for subnet in subnets))
    others = _crowd(site, far, "far")
    here = machines(site, ("near", "left", near, {}))[0]
    site.wait("the network to be held on demand", lambda: _held(site, "left", far))

    assert here.vm.ping(others[1].ip, count=1).received == 1
    assert others[2].vm.ping(here.ip, count=1).received == 1
    assert here.misses("10.62.0.250")


def test_what_goes_on_outlives_the_agents(site: Site, kind: str) -> None:
    """kill -9 of both ends' agents, and new ones, during a stream: none is lost, and no flow to peers or members is put
    again."""
    number = {"relayed": 64, "unrelayed": 65}[kind]
    network = a_network(site, f"outlived-{kind}")
    a_subnet(site, network, f"10.{number}.0.0/24")
    first, second, *_ = _crowd(site, network, "old")
    here = machines(site, ("old", "left", network, {}))[0]
    assert here.reaches(first.ip)
    ends = (("left", first), ("right", here))
    site.wait("the direct ways", lambda: all(_direct(site, host, machine) for host, machine in ends))

    began_s = time.monotonic()
    with PingStream(here.namespace, first.ip) as pings:
        for host in HOSTS[:2]:
            site.hosts[host].kill("agent")
        for host in HOSTS[:2]:
            site.start_agent(host)
        for host in HOSTS[:2]:
            site.wait("the new agents", partial(is_settled, site, host))
    lasted_s = time.monotonic() - began_s

    assert (pings.result.missing, pings.result.repeated) == ((), 0)
    assert [_young(site, host, peer, lasted_s) for host, peer in ends] == [[], []]
    assert _direct(site, "left", second) == []


@pytest.mark.parametrize("kind", ["relayed"], indirect=True)
def test_nothing_is_lost_while_a_network_turns(site: Site) -> None:
    """From whole to on demand and back during a stream of pings: none is lost, none comes twice."""
    network = a_network(site, "turning")
    a_subnet(site, network, "10.63.0.0/24")
    one, two = machines(site, ("turn0", "left", network, {}), ("turn1", "right", network, {}))
    assert one.reaches(two.ip)
    assert not _held(site, "left", network)

    with PingStream(one.namespace, two.ip) as pings:
        more = machines(site, ("more0", "left", network, {}), ("more1", "right", network, {}))
        site.wait("the network to be held on demand", lambda: all(_held(site, h, network) for h in HOSTS[:2]))
        for machine in more:
            site.client.delete("v2.0/ports", machine.port["id"])
        site.wait("it to be held whole", lambda: not any(_held(site, h, network) for h in HOSTS[:2]))
    found = pings.result

    assert found.sent > 50
    assert (found.missing, found.repeated) == ((), 0)
