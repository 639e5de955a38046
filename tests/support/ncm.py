"""An ncm on an in-process bus, and agents in memory that keep the rules of delivery."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from alcor.bus.codec import ProtobufCodec
from alcor.bus.interface import (
    AgentMessage,
    Dropped,
    Envelope,
    Heads,
    Hello,
    HostReport,
    NcmMessage,
    ScopeUpdate,
    Welcome,
)
from alcor.bus.local import LocalBus
from alcor.goalstate.item import HostItem, Item, Key, LocalPort
from alcor.goalstate.scope import REGION, Scope, host_scope, neighbours_scope, network_scope, shard_of
from alcor.identity.name import Peer
from alcor.ncm.admission import PLACE_S, SYNCING_MAX
from alcor.ncm.delivery import CHUNK_BYTES
from alcor.ncm.scope_cache import LAZY_ABOVE, LAZY_BELOW
from alcor.ncm.service import Ncm
from tests.support.bus import FakePublisher, a_local_port, a_neighbour, a_network, a_region

WITHIN_S = 60.0
CODEC = ProtobufCodec()


def a_host(id: str = "host-1", token: str = "secret") -> HostItem:
    """A host whose agent proves itself with `token`."""
    digest = hashlib.sha256(token.encode()).hexdigest()
    return HostItem(id=id, name=id, vtep_addresses=("192.0.2.1",), token_digest=digest)


def bound(*ports: LocalPort, host_id: str = "host-1") -> dict[Scope, list[Item]]:
    """What binding ports to a host puts: the ports, and for each its network and its neighbours."""
    put: dict[Scope, list[Item]] = {host_scope(host_id): list(ports)}
    for port in ports:
        put.setdefault(network_scope(port.network_id), [a_network(port.network_id)])
        put.setdefault(neighbours_scope(port.network_id), []).append(a_neighbour(port.id))
    return put


@dataclass
class FakeAgent:
    """Implements `AgentPeer`, and behaves as an agent: holds scopes by the rules of protocol, section 4.

    reading: while it is not set the agent takes nothing, and its sender waits.
    early:   references that were not held when the item that refers to them arrived.
    """

    host_id: str = "host-1"
    token: str = "secret"
    epoch: int = 0
    held: dict[Scope, dict[Key, Envelope]] = field(default_factory=dict)
    position: dict[Scope, int] = field(default_factory=dict)
    epochs: dict[Scope, int] = field(default_factory=dict)
    messages: list[NcmMessage] = field(default_factory=list)
    frames: list[Sequence[NcmMessage]] = field(default_factory=list)
    early: list[Scope] = field(default_factory=list)
    gaps: list[ScopeUpdate] = field(default_factory=list)
    lazy: set[Scope] = field(default_factory=set)
    sought: dict[Scope, tuple[str, ...]] = field(default_factory=dict)
    absent: list[tuple[Scope, str]] = field(default_factory=list)
    in_sync: bool = False
    certified: Peer | None = None

    def __post_init__(self) -> None:
        self.reading = asyncio.Event()
        self.reading.set()
        self._said: asyncio.Queue[AgentMessage | None] = asyncio.Queue()
        self._arrived = asyncio.Condition()
        self._chunks: dict[Scope, dict[Key, Envelope]] = {}
        self.watch: Callable[[], None] = lambda: None
        self.epochs = dict.fromkeys(self.position, self.epoch)

    # --- the ncm's end ---

    @property
    def identity(self) -> Peer | None:
        return self.certified

    async def send(self, messages: Sequence[NcmMessage]) -> None:
        await self.reading.wait()
        self.frames.append(tuple(messages))
        for message in messages:
            self.messages.append(message)
            self._apply(message)
            self.watch()
        async with self._arrived:
            self._arrived.notify_all()

    async def receive(self) -> AsyncIterator[AgentMessage]:
        while (message := await self._said.get()) is not None:
            yield message

    # --- the agent's end ---

    def say(self, message: AgentMessage) -> None:
        """Send a message to the ncm."""
        self._said.put_nowait(message)

    def hello(self) -> None:
        """Say hello with what is held."""
        self.say(
            Hello(
                host_id=self.host_id,
                token=self.token,
                agent_version="1.0",
                epoch=self.epoch,
                positions={
                    scope: position if self.epochs[scope] == self.epoch else 0
                    for scope, position in self.position.items()
                },
                held={scope: tuple(self.held[scope]) for scope in self.lazy},
                sought=self.sought,
            )
        )

    def go(self) -> None:
        """End the stream."""
        self._said.put_nowait(None)

    async def until(self, holds: Callable[[], object]) -> None:
        """Wait until `holds`, looking at every frame. Raises: TimeoutError."""
        async with asyncio.timeout(WITHIN_S), self._arrived:
            await self._arrived.wait_for(lambda: bool(holds()))

    async def until_synced(self, revision: int = 0) -> None:
        """Wait until in sync and every scope is held through `revision`."""
        await self.until(lambda: self.in_sync and min(self.position.values()) >= revision)

    async def until_held(self, scope: Scope, revision: int) -> None:
        """Wait until a scope is held through `revision`."""
        await self.until(lambda: self.position.get(scope, -1) >= revision)

    def said(self, kind: type[NcmMessage]) -> list[NcmMessage]:
        """All messages of a kind so far."""
        return [message for message in self.messages if isinstance(message, kind)]

    def updates(self, scope: Scope) -> list[ScopeUpdate]:
        """All steps of a scope so far."""
        return [each for each in self.messages if isinstance(each, ScopeUpdate) and each.scope == scope]

    def resolved(self, key: Key) -> bool:
        """Whether an item of the host's scope is held and its references may be resolved."""
        envelope = self.held.get(host_scope(self.host_id), {}).get(key)
        return envelope is not None and all(
            self.position.get(scope, -1) >= envelope.since for scope in envelope.refers
        )

    def _apply(self, message: NcmMessage) -> None:
        if isinstance(message, Welcome):
            self.epoch = message.epoch
        elif isinstance(message, ScopeUpdate):
            self._update(message)
        elif isinstance(message, Heads):
            self.in_sync = True
            self.epoch = max(self.epoch, message.epoch)
            for scope, position in self.position.items():
                if self.epochs[scope] == message.epoch:
                    self.position[scope] = max(position, message.through.get(shard_of(scope), 0))
        elif isinstance(message, Dropped):
            self.held.pop(message.scope, None)
            self.lazy.discard(message.scope)
            self.position.pop(message.scope, None)
            self.epochs.pop(message.scope, None)

    def _update(self, update: ScopeUpdate) -> None:
        scope = update.scope
        position = self.position[scope] if self.epochs.get(scope) == update.epoch else -1
        is_turn = update.lazy or scope in self.lazy
        if update.through < position or (update.through == position and not is_turn):
            return
        for envelope in update.put:
            self.early += [target for target in envelope.refers if target not in self.held]
        if update.from_revision == 0:
            chunks = self._chunks.setdefault(scope, {})
            chunks |= {envelope.key: envelope for envelope in update.put}
            if update.more:
                return
            self.held[scope] = self._chunks.pop(scope)
        elif position < update.from_revision or (scope in self.lazy and not update.lazy):
            self.gaps.append(update)
            return
        else:
            for envelope in update.put:
                self.held[scope][envelope.key] = envelope
            for key in update.removed:
                self.held[scope].pop(key, None)
        self.epochs[scope] = update.epoch
        self.position[scope] = update.through
        (self.lazy.add if update.lazy else self.lazy.discard)(scope)
        self.absent += [(scope, text) for text in update.absent]


class GatedBus(LocalBus):
    """A bus whose publisher does not answer for the scopes in `closed`, as if their shards had no holder.

    reported: how often the ncm reported, before the bus merged it.
    """

    def __init__(self) -> None:
        super().__init__(CODEC)
        self.closed: set[Scope] = set()
        self.reported = 0
        self._waiting: list[Scope] = []

    def report(self, report: HostReport) -> None:
        self.reported += 1
        super().report(report)

    def want(self, scope: Scope, epoch: int = 0, position: int = 0) -> None:
        if scope in self.closed:
            self._waiting.append(scope)
        else:
            super().want(scope, epoch, position)

    def open(self) -> None:
        """Answer everything."""
        self.closed.clear()
        for scope in self._waiting:
            super().want(scope)


class Site:
    """A dataplane (fake), a bus and an ncm; agents are attached as tasks and ended with the site."""

    def __init__(self, ncm: Ncm, bus: GatedBus, publisher: FakePublisher) -> None:
        self.ncm, self.bus, self.publisher = ncm, bus, publisher
        self.tasks: dict[int, asyncio.Task[None]] = {}
        self._reports = bus.reports()
        self.reports: list[HostReport] = []
        self.lost: list[HostReport] = []

    def attach(self, agent: FakeAgent) -> asyncio.Task[None]:
        """Open a stream of `agent` and say hello."""
        agent.hello()
        task = asyncio.create_task(self.ncm.handle(agent))
        self.tasks[id(agent)] = task
        return task

    async def left(self, agent: FakeAgent) -> None:
        """Have an agent end its stream; its session is over when this returns."""
        agent.go()
        await self.tasks[id(agent)]

    async def attached(self, agent: FakeAgent | None = None) -> FakeAgent:
        """An agent that is in sync with the publisher."""
        agent = agent or FakeAgent()
        self.attach(agent)
        await agent.until_synced(self.publisher.head)
        return agent

    async def settled(self) -> None:
        """Let everything that can run, run: a change passes the bus, the cache and the pump in fewer turns."""
        for _ in range(20):
            await asyncio.sleep(0)

    async def told(self, holds: Callable[[HostReport], object]) -> HostReport:
        """The next report that `holds`. Raises: TimeoutError."""
        async with asyncio.timeout(WITHIN_S):
            while True:
                for report in self.reports:
                    if holds(report):
                        self.reports.remove(report)
                        return report
                batch = await anext(self._reports)
                self.reports += batch
                self.lost += [report for report in batch if not report.alive]

    def content(self, scope: Scope) -> dict[Key, bytes]:
        """What the publisher has of a scope, encoded."""
        items = self.publisher.items.get(scope, {})
        return {key: CODEC.encode(put.item) for key, put in items.items()}

    def same(self, agent: FakeAgent, scopes: Iterable[Scope]) -> bool:
        """Whether the agent holds exactly these scopes, each as the publisher has it."""
        return bodies(agent) == {scope: self.content(scope) for scope in scopes}


def bodies(agent: FakeAgent) -> Mapping[Scope, Mapping[Key, bytes]]:
    """What an agent holds, as bytes."""
    return {
        scope: {key: envelope.body for key, envelope in items.items()} for scope, items in agent.held.items()
    }


@asynccontextmanager
async def a_site(
    *,
    serving: bool = True,
    heartbeat_s: float = 10.0,
    grace_s: float = 60.0,
    idle_heads_s: float = 0.0,
    admit_s: float = 5.0,
    chunk_bytes: int = CHUNK_BYTES,
    lazy_above: int = LAZY_ABOVE,
    lazy_below: int = LAZY_BELOW,
    syncing_max: int = SYNCING_MAX,
    place_s: float = PLACE_S,
) -> AsyncIterator[Site]:
    """A running ncm, and a publisher that knows the region and the hosts `host-1` and `host-2`."""
    bus = GatedBus()
    publisher = FakePublisher(bus)
    clock = iter(range(1_000_000, 10_000_000))
    ncm = Ncm(
        bus,
        CODEC,
        heartbeat_s=heartbeat_s,
        now_ms=lambda: next(clock),
        grace_s=grace_s,
        idle_heads_s=idle_heads_s,
        admit_s=admit_s,
        chunk_bytes=chunk_bytes,
        lazy_above=lazy_above,
        lazy_below=lazy_below,
        syncing_max=syncing_max,
        place_s=place_s,
    )
    publisher.change(
        {
            REGION: [a_region()],
            host_scope("host-1"): [a_host("host-1")],
            host_scope("host-2"): [a_host("host-2")],
        }
    )
    if serving:
        publisher.serve()
    site = Site(ncm, bus, publisher)
    running = asyncio.create_task(ncm.run())
    try:
        yield site
    finally:
        for task in (*site.tasks.values(), running):
            task.cancel()
        await asyncio.gather(*site.tasks.values(), running, return_exceptions=True)


def ports(*ids: str, network_id: str = "net-1") -> list[LocalPort]:
    """Ports of one network."""
    return [a_local_port(id, network_id) for id in ids]
