"""What goes on while agents, switches or the region are away: on real switches, with everything in use.

Layer 2, routed, translated at the gateway and by floating IP, with groups that know one another, limits and sessions.
"""

import re
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from alcor.lab import inside
from alcor.lab.command import LabError
from alcor.lab.inside import Conversation
from alcor.lab.outside import ADDRESS
from alcor.lab.site import Site, running_site
from alcor.lab.stream import PingStream, Stream
from alcor.pipeline.tables import Priority, Table
from tests.support.kernel import KernelNews
from tests.support.scenario import (
    Machine,
    a_dual_network,
    a_floating_ip,
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

HOSTS = ("left", "right")
PING, PING6 = {"protocol": "icmp"}, {"protocol": "icmpv6", "ethertype": "IPv6"}
_FOUND_OUTSIDE = (f"table={int(Table.NEXT_HOP)},", f"priority={int(Priority.ROUTER)},")
_DURATION = re.compile(r"duration=([\d.]+)s")


@dataclass(frozen=True)
class World:
    """A site with everything in use. `floating`: the address of `one` outside."""

    site: Site
    one: Machine
    two: Machine
    three: Machine
    floating: str

    @property
    def ways(self) -> list[tuple[str, str]]:
        """(namespace, address) of what must be reached: in the network, routed, in from outside, out to it."""
        assert self.site.outside is not None
        one, two, three = self.one, self.two, self.three
        return [
            (one.namespace, two.ip),
            (two.namespace, one.ip6),
            (one.namespace, three.ip),
            (three.namespace, one.ip6),
            (self.site.outside.namespace, self.floating),
            (three.namespace, ADDRESS),
        ]

    def talks(self, open_ones: ExitStack) -> list[Conversation]:
        """TCP sessions on all of these ways that have TCP."""
        outside = self.site.outside
        assert outside is not None
        calls = [
            (self.one.namespace, self.two.namespace, self.two.ip),
            (self.one.namespace, self.three.namespace, self.three.ip),
            (outside.namespace, self.one.namespace, self.floating),
            (self.three.namespace, outside.namespace, ADDRESS),
        ]
        return [open_ones.enter_context(Conversation(*call)) for call in calls]

    def passes(self) -> bool:
        """Whether a ping gets through on all ways."""
        return all(self._ping(namespace, address) for namespace, address in self.ways)

    def _ping(self, namespace: str, address: str) -> bool:
        with PingStream(namespace, address, every_s=0.05) as pings:
            found = pings.stop(after_s=0.2)
        return bool(found.answers)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Two hosts; the router is served by one of them, and both watch each other."""
    with running_site(tmp_path_factory.mktemp("site"), *HOSTS) as site:
        external = an_external_network(site)
        red, red_subnets = a_dual_network(site, "static-red", 70)
        blue, blue_subnets = a_dual_network(site, "static-blue", 71)
        a_router(site, "static", *red_subnets, *blue_subnets, external=external)
        group = a_group(site, "static", PING, PING6)
        a_rule(site, group, protocol="tcp", remote_group_id=group["id"])
        a_rule(site, group, protocol="tcp", remote_ip_prefix=f"{ADDRESS}/32")
        policy = site.client.create("v2.0/qos/policies", "policy", name="static")
        site.client.create(
            f"v2.0/qos/policies/{policy['id']}/bandwidth_limit_rules", "bandwidth_limit_rule", max_kbps=50_000
        )
        said = {"security_groups": [group["id"]]}
        one = a_machine(site, "static-1", "left", red, qos_policy_id=policy["id"], **said)
        two = a_machine(site, "static-2", "right", red, **said)
        three = a_machine(site, "static-3", "left", blue, **said)
        floating = a_floating_ip(site, external, one.port["id"])["floating_ip_address"]
        world = World(site, one, two, three, floating)
        site.wait("every way", world.passes)
        yield world


@pytest.fixture(autouse=True)
def soundness(world: World, tmp_path: Path) -> Iterator[None]:
    """After each test."""
    yield
    assert_sound(world.site, tmp_path)


def streams_through(world: World, work: Callable[[], None]) -> list[Stream]:
    """What pings on all ways noticed of what was done meanwhile."""
    streams = [PingStream(*way, every_s=0.02).start() for way in world.ways]
    time.sleep(0.3)
    work()
    return [stream.stop() for stream in streams]


def young(site: Site, host: str, age_s: float) -> int:
    """How many flows of the switch are younger, but those of MACs found outside."""
    lines = site.hosts[host].ofctl("dump-flows", "br-int").splitlines()[1:]
    ages = [_DURATION.search(line) for line in lines if not all(words in line for words in _FOUND_OUTSIDE)]
    return sum(float(age[1]) < age_s for age in ages if age is not None)


def groups_and_meters(site: Site, host: str) -> tuple[list[str], list[str]]:
    """What the switch has of both, without ports' numbers, which a restart may change."""
    dumps = (site.hosts[host].ofctl(f"dump-{what}", "br-int") for what in ("groups", "meters"))
    groups, meters = (
        sorted(line.strip() for line in dump.splitlines()[1:] if line.strip()) for dump in dumps
    )
    return groups, meters


def knows(machine: Machine) -> bool:
    """Whether a machine is told who it is: then its host's agent has done all it does when it begins."""
    try:
        said = inside.fetch(machine.namespace, "169.254.169.254", "/latest/meta-data/local-ipv4")
    except OSError:
        return False
    return said == machine.ip


def test_nothing_is_lost_while_agents_are_dead_nor_when_they_return(world: World) -> None:
    """kill -9 of all agents, and new ones: no ping of any way is lost, sessions go on, no flow was touched.

    Nor has a word been said to the hosts' kernels: a switch would read all routes anew, and lose packets meanwhile.
    """
    site = world.site
    before = {host: flows(site, host) for host in HOSTS}
    began_s = time.monotonic()

    def restart() -> None:
        for host in HOSTS:
            site.hosts[host].kill("agent")
        assert all(talk.works() for talk in talks)
        for host in HOSTS:
            site.start_agent(host)
        for host in HOSTS:
            site.wait("settled", partial(is_settled, site, host))
        for machine in (world.one, world.two):
            site.wait(f"{machine.vm.name} to be told who it is", partial(knows, machine))

    with ExitStack() as open_ones:
        talks = world.talks(open_ones)
        with (
            KernelNews(site.hosts["left"].namespace) as left,
            KernelNews(site.hosts["right"].namespace) as right,
        ):
            found = streams_through(world, restart)
        assert all(talk.works() for talk in talks)

    assert (left.heard, right.heard) == ([], [])
    assert [stream.lost for stream in found] == [0] * len(found)
    assert {host: flows(site, host) for host in HOSTS} == before
    lasted_s = time.monotonic() - began_s
    # The MACs that an agent finds outside it finds again; no other flow is younger than this test.
    assert {host: young(site, host, lasted_s) for host in HOSTS} == dict.fromkeys(HOSTS, 0)


def test_nothing_is_lost_while_the_region_is_dead(world: World) -> None:
    """kill -9 of the region, and its return: no ping of any way is lost, new sessions come about, no flow changes."""
    site = world.site
    before = {host: flows(site, host) for host in HOSTS}

    def die() -> None:
        site.region.kill()
        with ExitStack() as open_ones:
            assert all(talk.works() for talk in world.talks(open_ones))
        site.restart_region()
        site.wait_for_agents()

    found = streams_through(world, die)

    assert [stream.lost for stream in found] == [0] * len(found)
    assert {host: flows(site, host) for host in HOSTS} == before


def lost(site: Site, host: str) -> list[str]:
    """The gateway hosts that a host misses."""
    return list(agent_status(site, host)["switch"]["lost_vteps"])


def count(site: Site, host: str) -> int:
    """How many flows the switch has, but those of MACs found outside; 0 while it is not there."""
    try:
        return len(flows(site, host))
    except LabError:
        return 0


@pytest.mark.parametrize("host", HOSTS)
def test_a_restarted_switch_is_repaired_with_all_it_had(world: World, host: str) -> None:
    """kill -9 of ovs-vswitchd and a restart: flows, groups, meters, ports and cables return unasked, all ways pass,
    new sessions come about, and the metadata service answers."""
    site = world.site
    before = groups_and_meters(site, host)
    ports = sorted(site.hosts[host].vsctl("list-ports", "br-int").split())
    many = len(flows(site, host))
    assert before[1]

    site.hosts[host].kill("ovs-vswitchd")
    site.hosts[host].start_switch()

    site.wait("all flows", lambda: count(site, host) == many)
    site.wait("every way", world.passes, patience_s=60.0)  # the outside may have to ask again
    after = groups_and_meters(site, host)
    assert [len(part) for part in after] == [len(part) for part in before]
    assert sorted(site.hosts[host].vsctl("list-ports", "br-int").split()) == ports
    with ExitStack() as open_ones:
        assert all(talk.works() for talk in world.talks(open_ones))
    machine = world.one if host == "left" else world.two
    assert inside.fetch(machine.namespace, "169.254.169.254", "/latest/meta-data/local-ipv4") == machine.ip
    site.wait(
        "the hosts to see each other", lambda: [one for each in HOSTS for one in lost(site, each)] == []
    )
