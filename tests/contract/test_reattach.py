"""A region that was killed as a whole and started again sends its agents what changed, and nothing else: on each real
store, with a real dataplane and a real ncm, which both begin with nothing."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from alcor.bus.interface import ScopeUpdate
from alcor.bus.local import LocalBus
from alcor.dataplane.service import Dataplane
from alcor.dataplane.settings import Settings
from alcor.goalstate.graph import Graph
from alcor.goalstate.item import RegionItem, State
from alcor.goalstate.scope import Scope
from alcor.model.host import Host
from alcor.model.resource import Entity
from alcor.model.security_group import SecurityGroup
from alcor.model.vpc_peering import ACTIVE, VpcPeering
from alcor.ncm.service import Ncm
from alcor.store.interface import Store
from tests.support.goalstate import A_REGION, a_host, a_network, a_port, a_subnet, replaced
from tests.support.ncm import CODEC, FakeAgent, bodies
from tests.support.store import ADAPTERS, OpenStore, commit

TOKEN = "secret"
DIGEST = hashlib.sha256(TOKEN.encode()).hexdigest()
HOSTS = [a_host(f"h{number}", f"192.0.2.{number}", token_digest=DIGEST) for number in (1, 2, 3)]
PORTS = [
    a_port("p1", "n", "h1", "10.0.0.11"),
    a_port("p2", "n", "h2", "10.0.0.12", mac_address="fa:16:3e:00:00:02"),
    a_port("p3", "m", "h3"),
]
BEGINNING = [
    SecurityGroup(id="g", name="default"),
    *HOSTS,
    a_network("n"),
    a_network("m"),
    a_subnet("s", "n"),
    *PORTS,
]
NEW = a_port("p4", "n", "h2", "10.0.0.14", mac_address="fa:16:3e:00:00:04")


@pytest.fixture(params=ADAPTERS)
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    """A store with three hosts, two of which share a network."""
    opened: OpenStore = request.param
    async with opened(tmp_path) as store:
        await commit(store, put=BEGINNING)
        yield store


class Region:
    """A dataplane and an ncm, both fresh."""

    def __init__(self, store: Store, lazy_above: int, region: RegionItem | None = None) -> None:
        bus = LocalBus(CODEC)
        self.store = store
        settings = Settings(store, region) if region is not None else None
        self.dataplane = Dataplane(
            store, bus, generation=1, region=region or A_REGION, now_ms=lambda: 1, settings=settings
        )
        self.ncm = Ncm(bus, CODEC, now_ms=lambda: 1, idle_heads_s=0.0, lazy_above=lazy_above, lazy_below=1)

    @property
    def graph(self) -> Graph:
        """What there is to be told."""
        assert self.dataplane.graph is not None  # it has started
        return self.dataplane.graph

    async def attached(self, agents: Sequence[FakeAgent]) -> None:
        """Have agents attach, and wait until each has everything through the head."""
        revision = (await self.store.head()).revision
        for agent in agents:
            agent.hello()
            self.tasks.append(asyncio.create_task(self.ncm.handle(agent)))
        for agent in agents:
            await agent.until_synced(revision)

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Region"]:
        """At work; ended without a farewell."""
        self.tasks = [asyncio.create_task(self.dataplane.run()), asyncio.create_task(self.ncm.run())]
        try:
            await self.dataplane.started.wait()
            yield self
        finally:
            for task in self.tasks:
                task.cancel()
            await asyncio.gather(*self.tasks, return_exceptions=True)

    def wanted(self, agent: FakeAgent) -> dict[Scope, State]:
        """What the agent's host must hold."""
        return {scope: self.graph.state(scope) for scope in self.graph.closure(agent.host_id)}


def again(agent: FakeAgent) -> FakeAgent:
    """The same agent with another stream."""
    return FakeAgent(
        agent.host_id, TOKEN, agent.epoch, agent.held, agent.position, lazy=agent.lazy, absent=agent.absent
    )


def sent(agent: FakeAgent) -> list[str]:
    """What the agent was sent since its hello, as `kind of scope: + or - id`."""
    updates = [message for message in agent.messages if isinstance(message, ScopeUpdate)]
    put = [f"{one.scope.kind}: +{envelope.key.id}" for one in updates for envelope in one.put]
    return sorted(put + [f"{one.scope.kind}: -{key.id}" for one in updates for key in one.removed])


async def killed_and_started(
    store: Store,
    lazy_above: int = 0,
    *,
    put: Sequence[Entity] = (),
    gone: Sequence[Entity] = (),
    regions: tuple[RegionItem | None, RegionItem | None] = (None, None),
) -> list[list[str]]:
    """Agents that had everything attach to a region that was killed; meanwhile something changed, or nothing.
    `regions`: its settings before and after, where they are claimed. Returns what each was sent; asserts that each has
    what it must, and that nothing is retold by a third start."""
    async with Region(store, lazy_above, regions[0]).running() as region:
        agents = [FakeAgent(host.id, TOKEN) for host in HOSTS]
        await region.attached(agents)
    if put or gone:
        await commit(store, put=put, gone=gone)
    agents = [again(agent) for agent in agents]
    async with Region(store, lazy_above, regions[1]).running() as region:
        await region.attached(agents)
        if not lazy_above:
            assert [dict(bodies(agent)) for agent in agents] == [
                {
                    scope: {key: CODEC.encode(item) for key, item in state.items()}
                    for scope, state in region.wanted(agent).items()
                }
                for agent in agents
            ]
    told = [sent(agent) for agent in agents]
    agents = [again(agent) for agent in agents]
    async with Region(store, lazy_above, regions[1]).running() as region:
        await region.attached(agents)
    assert [sent(agent) for agent in agents] == [[], [], []]
    return told


async def test_nothing_changed(store: Store) -> None:
    """Then nothing is sent."""
    assert await killed_and_started(store) == [[], [], []]


async def test_a_port_more(store: Store) -> None:
    """Its host is sent the port and its place among its neighbours, the network's other host the latter."""
    assert await killed_and_started(store, put=[NEW]) == [
        ["neighbours: +p4"],
        ["host: +p4", "neighbours: +p4"],
        [],
    ]


async def test_a_port_less(store: Store) -> None:
    """What went is told as gone, not by telling all that is left."""
    second = replaced(NEW, id="p5", mac_address="fa:16:3e:00:00:05", fixed_ips=())
    await commit(store, put=[second])

    assert await killed_and_started(store, gone=[second]) == [
        ["neighbours: -p5"],
        ["host: -p5", "neighbours: -p5"],
        [],
    ]


async def test_a_port_that_moved(store: Store) -> None:
    """The host it left forgets it, the one it came to learns it, with the network that it did not need before."""
    moved = replaced(PORTS[2], binding_host_id="host-h1")

    assert await killed_and_started(store, put=[moved]) == [
        ["host: +p3", "neighbours: +p3", "network: +h1", "network: +m"],
        [],
        ["host: -p3"],
    ]


async def test_a_tunnel_end_that_moved(store: Store) -> None:
    """A change of a host is told to it, and to those that send to its ports."""
    moved = replaced(HOSTS[1], vtep_addresses=("192.0.2.22",))
    assert await killed_and_started(store, put=[moved]) == [
        ["neighbours: +p2", "network: +h2"],
        ["host: +h2", "neighbours: +p2", "network: +h2"],
        [],
    ]


async def test_what_is_held_on_demand(store: Store) -> None:
    """Of a network that is held on demand nothing is sent unasked that is as it was, and nothing of a new port."""
    assert await killed_and_started(store, 1, put=[NEW]) == [[], ["host: +p4"], []]


async def test_hosts_come_and_go(store: Store) -> None:
    """Rows that are made and deleted again between two starts leave nothing to be told."""
    extra: Host = a_host("h9", "192.0.2.9", token_digest=DIGEST)
    await commit(store, put=[extra])

    assert await killed_and_started(store, gone=[extra]) == [[], [], []]


TOLD = ["region: +region"]
OTHER = msgspec.structs.replace(A_REGION, dhcp_lease_s=600, dns_forwarders=("192.0.2.53",))


async def test_with_other_settings(store: Store) -> None:
    """Agents that had everything are told the region's parameters, and nothing that does not depend on them."""
    assert await killed_and_started(store, regions=(A_REGION, OTHER)) == [TOLD, TOLD, TOLD]


async def test_with_the_same_settings(store: Store) -> None:
    """Nothing is sent, and no revision is taken."""
    async with Region(store, 0, A_REGION).running():
        before = await store.head()
    assert await killed_and_started(store, regions=(A_REGION, A_REGION)) == [[], [], []]
    assert await store.head() == before


async def test_with_another_responder(store: Store) -> None:
    """What stands for a router on peered networks has its address: it is told too, by the same revision."""
    peering = VpcPeering(id="x", network_id="n", peer_network_id="m", peer_project_id="a", status=ACTIVE)
    await commit(store, put=[a_subnet("t", "m", cidr="10.1.0.0/24"), peering])
    other = msgspec.structs.replace(A_REGION, responder_mac="fe:00:00:00:00:02")

    told = await killed_and_started(store, regions=(A_REGION, other))
    assert told == [
        ["region: +region", "router: +n"],
        ["region: +region", "router: +n"],
        ["region: +region", "router: +m"],
    ]


async def test_settings_of_before_there_was_a_row(store: Store) -> None:
    """What hosts were told by a release that kept no settings is not known: they are told all, once."""
    told = await killed_and_started(store, regions=(None, A_REGION))

    assert told[2] == [
        "host: +h3",
        "host: +p3",
        "neighbours: +p3",
        "network: +h3",
        "network: +m",
        "region: +region",
    ]
    assert all(set(TOLD) < set(one) for one in told)
