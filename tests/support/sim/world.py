"""A region in one simulated loop: store, dataplanes with leases, ncms, agents, switches; each can die and come back.

All of it is the product's own code but the network below gRPC (`net`), the threads of the store (`store`), the table of
leases and the ways to the database (`database`) and the switches (`alcor.agent.simulated`).
"""

import asyncio
import random
import shutil
import tempfile
from collections.abc import Callable
from contextvars import Context
from dataclasses import dataclass
from pathlib import Path

from alcor.agent.service import Agent
from alcor.bus.fallback import FallbackConnector
from alcor.bus.goal_client import GoalClient
from alcor.bus.goal_server import GoalServer
from alcor.bus.grpc_client import GrpcConnector
from alcor.bus.grpc_server import AgentServer
from alcor.bus.normal_client import NormalClient
from alcor.bus.normal_path import Choice, NormalPath
from alcor.dataplane.service import Dataplane
from alcor.dataplane.share import Share
from alcor.ncm.service import Ncm
from alcor.runtime.member import Member
from tests.support.agent import CODEC
from tests.support.sim.broker import SimBroker, SimReader, SimSender
from tests.support.sim.database import LeasesByLine, Line, RegionLeases, store_by_line
from tests.support.sim.loop import Component, SimLoop
from tests.support.sim.net import Network
from tests.support.sim.stand import WatchedBus
from tests.support.sim.store import SimStore, open_store
from tests.support.sim.switch import SimSwitch
from tests.support.sim.trace import Event, WatchedConnector
from tests.support.sim.truth import REGION_ITEM, Truth

HOSTS = ("h1", "h2", "h3")
"""The last one is the gateway host."""
BASE_MS = 1_790_000_000_000
RESTART_S = 1.0
"""A supervisor starts a process again that ended by itself."""
IDLE_S, TTL_S = 3.0, 5.0
"""What is held on demand is forgotten when it was not used for so long, and confirmed so often."""
BACK_S = 10.0
"""After so long an agent that fell back tries its own ncm first again."""
SECRET = "the-bus-secret"


@dataclass(frozen=True)
class Shape:
    """How large the region is."""

    hosts: int = 3
    ncms: int = 1
    dataplanes: int = 1
    chunk_bytes: int = 960 << 10
    grace_s: float = 60.0
    heartbeat_s: float = 5.0
    lazy_above: int = 0
    has_broker: bool = False

    @property
    def lazy_below(self) -> int:
        """Below so many items a scope is held whole again."""
        return self.lazy_above


class Node:
    """A process: started, crashed, stopped and started again."""

    def __init__(self, world: "World", name: str) -> None:
        self.world, self.name = world, name
        self.component: Component | None = None
        self.lives = 0
        self.ended: list[str] = []
        self.deaths: list[Callable[[Component], None]] = []
        """Who hears of its death."""
        self._task: asyncio.Task[None] | None = None

    async def main(self) -> None:
        """What the process does, for as long as it lives."""
        raise NotImplementedError

    @property
    def is_running(self) -> bool:
        """Whether it lives."""
        return self.component is not None

    def start(self) -> None:
        """Begin a life, if there is none."""
        if self.component is None:
            self.lives += 1
            self.component = Component(f"{self.name}.{self.lives}", crashed=self._died)
            self._task = self.world.loop.spawn(self.component, self._live())

    def crash(self) -> None:
        """End it where it stands."""
        if self.component is not None:
            self.world.loop.kill(self.component)
            self._died()

    def crash_within(self, steps: int) -> None:
        """End it when its tasks were resumed so often from now on."""
        if self.component is not None:
            self.component.crash_at = self.component.steps + steps

    async def stop(self) -> list[str]:
        """End it well; returns the names of the tasks that are left, which must be none."""
        component, task = self.component, self._task
        if component is None or task is None:
            return []
        task.cancel()
        await asyncio.wait([task], timeout=30)
        # What was being closed gets a moment.
        await asyncio.sleep(1)
        left = [f"{component.name}: {each.get_coro()!r}" for each in component.tasks if not each.done()]
        component.is_dead = True
        self.component = None
        return left

    def _died(self) -> None:
        component, self.component = self.component, None
        if component is not None:
            self.world.net.crashed(component)
            for hear in self.deaths:
                hear(component)

    async def _live(self) -> None:
        component = self.component
        try:
            await self.main()
            reason = "it ended"
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
        self.ended.append(reason)
        self.world.loop.note(f"ENDED {self.name}: {reason}")
        if component is not None and not component.is_dead:
            self.world.loop.kill(component)
            self._died()
            self.world.later(RESTART_S, self.start)


class DataplaneNode(Node):
    """One of the dataplanes. `line`: its way to the database, which outlives it."""

    def __init__(self, world: "World", name: str) -> None:
        super().__init__(world, name)
        self.line = Line(world.loop, random.Random(world.random.random()))

    async def main(self) -> None:
        world, address = self.world, f"{self.name}:1"
        sender = SimSender(world.broker)
        source, choice = world.random.getrandbits(62) + 1, Choice(world.random.choice((1, 1, 2)), 1)
        path = NormalPath(CODEC, sender, source=source, choice=choice) if world.shape.has_broker else None
        server = GoalServer(CODEC, [address], secret=SECRET, normal=path)
        sender.failed = server.fall_back
        await server.start()
        leases = LeasesByLine(world.leases, self.line)
        store = store_by_line(world.store, self.line)

        def make() -> Dataplane:
            return Dataplane(store, server, generation=None, region=REGION_ITEM, now_ms=world.now_ms)

        def share(dataplane: Dataplane) -> Share:
            member_id = f"{self.name}.{self.lives}"
            return Share(leases, dataplane, member_id=member_id, address=address, clock=world.loop.time)

        try:
            await Member(make, share).run()
        finally:
            await server.stop()


class NcmNode(Node):
    """One ncm. `ncm`: of its present life."""

    ncm: Ncm | None = None

    async def main(self) -> None:
        world, shape = self.world, self.world.shape
        rng = random.Random(world.random.random())
        normal = NormalClient(
            SimReader(world.broker), clock=world.loop.time, random=rng.random, lack_s=1.0, rest_s=0.5
        )
        client = GoalClient(
            # Some are told of all dataplanes, some find the others through one.
            [f"{node.name}:1" for node in world.dataplanes[: rng.choice((1, None))]],
            ncm_id=f"{self.name}.{self.lives}",
            secret=lambda: SECRET,
            random=rng.random,
            normal=normal if shape.has_broker else None,
        )
        bus = WatchedBus(f"{self.name}.{self.lives}", client, world.events)
        ncm = bus.ncm = self.ncm = Ncm(
            bus,
            CODEC,
            heartbeat_s=shape.heartbeat_s,
            now_ms=world.now_ms,
            grace_s=shape.grace_s,
            chunk_bytes=shape.chunk_bytes,
            lazy_above=shape.lazy_above,
            lazy_below=shape.lazy_below,
        )
        server = AgentServer(ncm.handle, [f"{self.name}:1"])
        work = asyncio.create_task(ncm.run())
        try:
            await server.start()
            await work
        finally:
            work.cancel()
            await server.stop()
            await client.close()
            await asyncio.gather(work, return_exceptions=True)


class AgentNode(Node):
    """A host's agent. `agent`: of its present life; the switch outlives it."""

    agent: Agent | None = None

    def __init__(self, world: "World", name: str, host_id: str, token: str) -> None:
        super().__init__(world, f"agent-{name}")
        self.host_name, self.host_id, self.token = name, host_id, token
        self.switch = SimSwitch(name, random.Random(world.random.random()))
        self.address = f"ncm-of-{name}:1"
        self.release_hold = False

    async def main(self) -> None:
        world = self.world
        rng = random.Random(world.random.random())
        addresses = [self.address, *(f"{node.name}:1" for node in world.ncms)]
        connector = FallbackConnector(
            [GrpcConnector(address) for address in addresses], clock=world.loop.time, back_s=BACK_S
        )
        watched = WatchedConnector(f"{self.name}.{self.lives}", connector, world.events)
        self.agent = watched.agent = Agent(
            watched,
            self.switch,
            CODEC,
            host_id=self.host_id,
            token=lambda: self.token,
            version="1",
            now_ms=world.now_ms,
            random=rng.random,
            monotonic_s=world.loop.time,
            release_hold=self.release_hold,
        )
        self.switch.watch = watched.changes
        self.agent.asker.idle_s, self.agent.asker.ttl_s = IDLE_S, TTL_S
        await self.agent.run()


class World:
    """The region. `random`: of the scenario, apart from the loop's choices."""

    def __init__(self, loop: SimLoop, net: Network, shape: Shape, folder: Path) -> None:
        self.loop, self.net, self.shape, self.folder = loop, net, shape, folder
        self.random = random.Random(loop.random.random())
        self.truth = Truth()
        self.broker = SimBroker(loop, random.Random(self.random.random()))
        self.store = self._open()
        self.leases = RegionLeases(loop.time, self.now_ms, lambda: self.store.position.revision)
        self.dataplanes = [DataplaneNode(self, f"dataplane-{n}") for n in range(1, shape.dataplanes + 1)]
        self.ncms = [NcmNode(self, f"ncm-{n}") for n in range(1, shape.ncms + 1)]
        self.agents: list[AgentNode] = []
        self.events: list[Event] = []
        """What agents and ncms were told."""

    def _open(self) -> SimStore:
        store = open_store(self.folder, self.loop, self.now_ms)
        self.truth.begin(store)
        return store

    def reopen(self) -> None:
        """The database in the folder is another one now."""
        self.store = self._open()

    def now_ms(self) -> int:
        """Unix milliseconds."""
        return BASE_MS + int(self.loop.time() * 1000)

    def later(self, delay_s: float, function: Callable[..., None], *args: object) -> None:
        """Call it, whoever asked for it may be dead by then."""
        self.loop.call_later(delay_s, function, *args, context=Context())

    def add_host(self, name: str, host_id: str, token: str) -> None:
        """A host with a switch, served by any of the ncms."""
        node = AgentNode(self, name, host_id, token)
        self.net.moved[node.address] = f"{self.random.choice(self.ncms).name}:1"
        self.agents.append(node)

    @property
    def nodes(self) -> list[Node]:
        """Everything that is a process."""
        return [*self.dataplanes, *self.ncms, *self.agents]

    @property
    def lives(self) -> dict[str, str]:
        """Name of each agent's life → its host's id."""
        return {f"{node.name}.{n}": node.host_id for node in self.agents for n in range(1, node.lives + 1)}

    def agent_named(self, name: str) -> AgentNode | None:
        """The host of this name."""
        return next((node for node in self.agents if node.host_name == name), None)


def a_folder() -> Path:
    """An empty folder, in memory where there is one."""
    memory = Path("/dev/shm")
    return Path(tempfile.mkdtemp(prefix="alcor-sim-", dir=memory if memory.is_dir() else None))


def remove(folder: Path) -> None:
    """Remove it with all that is in it."""
    shutil.rmtree(folder, ignore_errors=True)
