"""A goal bus that remembers: what was published and what a subscriber of every scope holds by the rules of protocol, 4;
and observations that remember what was written and can be awaited."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import TypeVar

from alcor.bus.interface import Hasten, Heads, Holdings, HostReport, Publication, ScopeUpdate, Unchanged
from alcor.goalstate.item import State, key_of
from alcor.goalstate.scope import SHARDS, Scope, shard_of
from alcor.model.change import SYSTEM, Cut, Origin, Position
from alcor.model.errors import Unavailable
from alcor.model.resource import Entity
from alcor.store.interface import (
    Done,
    HostObservation,
    Image,
    Keep,
    Observations,
    PortObservation,
    Reader,
    Store,
    Superseded,
    Work,
    whole,
)

T = TypeVar("T")

PATIENCE_S = 60.0


class RecordingBus:
    """Implements `GoalBus` for the dataplane's side; the test is the ncm."""

    def __init__(self) -> None:
        self.turns: list[tuple[list[Publication], Heads]] = []
        self.positions: dict[Scope, int] = {}
        self.held: dict[Scope, State] = {}
        self.gaps: list[Scope] = []
        self.holds_all = False
        self.snapshot: Callable[[Scope], Publication] | None = None
        self.refuse_publications = 0
        self._last = (0, 0)
        self._reports: asyncio.Queue[HostReport] = asyncio.Queue()
        self._moved = asyncio.Event()

    # --- dataplane's side ---

    async def ask(self, host_id: str, body: bytes, within_s: float) -> bytes:
        """Nobody is there to be asked."""
        raise Unavailable(f"no agent of host {host_id} is attached")

    def publish(self, updates: Sequence[Publication], heads: Heads) -> None:
        """Take in one turn as a subscriber of every scope; refuses `refuse_publications` times first."""
        if self.refuse_publications:
            self.refuse_publications -= 1
            raise ConnectionError("the broker is gone")
        assert len({update.scope for update in updates}) == len(updates), "one publication per scope and turn"
        assert set(heads.through) == set(range(SHARDS))
        self.turns.append((list(updates), heads))
        for update in updates:
            self._take(update)
        self._moved.set()

    def hasten(self, hasten: Hasten) -> None:
        """Nobody holds anything in part."""

    def serve(self, snapshot: Callable[[Scope], Publication], unchanged: Unchanged | None = None) -> None:
        """From now on scopes can be asked for."""
        self.snapshot = snapshot

    def hold(self, holdings: Holdings) -> None:
        """What it holds is whatever it publishes."""

    async def reports(self) -> AsyncIterator[Sequence[HostReport]]:
        """What the test reports, one at a time."""
        while True:
            yield [await self._reports.get()]

    # --- the test's side ---

    def report(self, report: HostReport) -> None:
        """Tell the dataplane of a host."""
        self._reports.put_nowait(report)

    def want(self, scope: Scope) -> None:
        """Hold a scope from its snapshot on."""
        assert self.snapshot is not None
        self._take(self.snapshot(scope))

    def want_all(self, scopes: Iterable[Scope]) -> None:
        """Hold these scopes, which are all there are; a scope that comes later is held from its first step on."""
        for scope in scopes:
            if scope not in self.positions:
                self.want(scope)
        self.holds_all = True

    def unwant(self, scope: Scope) -> None:
        """Hold a scope no longer."""
        self.held.pop(scope, None)
        self.positions.pop(scope, None)

    def updates(self) -> AsyncIterator[Sequence[ScopeUpdate | Heads]]:
        """Not for this bus: look at `turns`."""
        raise NotImplementedError

    @property
    def states(self) -> dict[Scope, State]:
        """What is held, empty scopes left out."""
        return {scope: state for scope, state in self.held.items() if state}

    @property
    def through(self) -> int:
        """The revision of the last heads, of all shards."""
        (through,) = set(self.turns[-1][1].through.values())
        return through

    async def reached(self, revision: int, *, epoch: int = 0) -> None:
        """Wait until heads are through `revision`, in `epoch` or a later one."""
        async with asyncio.timeout(PATIENCE_S):
            while not self.turns or self.through < revision or self.turns[-1][1].epoch < epoch:
                self._moved.clear()
                await self._moved.wait()

    def _take(self, update: Publication) -> None:
        stamp = (update.epoch, update.generation)
        assert stamp >= self._last, "never backwards (I9)"
        if update.epoch > self._last[0]:
            self.positions.clear()
            self.holds_all = False
        self._last = stamp
        scope = update.scope
        position = self.positions.get(scope, 0)
        if len(self.turns) > 1 and (scope in self.positions or self.holds_all):
            # Heads move every scope of their shard; one not heard of so far was empty where they stood.
            position = max(position, self.turns[-2][1].through[shard_of(scope)])
        state = dict(self.held.get(scope, {}))
        if update.from_revision == 0:
            state = {}
        elif update.through <= position:
            return
        elif update.from_revision > position:
            self.gaps.append(scope)
            assert self.snapshot is not None
            self._take(self.snapshot(scope))
            return
        for key in update.removed:
            state.pop(key, None)
        state.update((key_of(put.item), put.item) for put in update.put)
        self.held[scope], self.positions[scope] = state, update.through


class RecordingObservations:
    """Implements `Observations` in memory. `batches`: the ports of every write; `fail`: how many writes to refuse, with
    `failure`."""

    def __init__(self) -> None:
        self.port_facts: dict[str, PortObservation] = {}
        self.host_facts: dict[str, HostObservation] = {}
        self.batches: list[list[PortObservation]] = []
        self.fail = 0
        self.failure: Exception = OSError("the disk is full")
        self.term = 0
        self._moved = asyncio.Event()

    async def begin(self, term: int) -> None:
        """Refuse lower terms from here on."""
        self._check(term)
        self.term = term

    async def put(
        self, ports: Iterable[PortObservation], hosts: Iterable[HostObservation], *, term: int
    ) -> None:
        """Replace facts."""
        self._check(term)
        self._refuse()
        batch = list(ports)
        self.batches.append(batch)
        self.port_facts.update((port.port_id, port) for port in batch)
        self.host_facts.update((host.host_id, host) for host in hosts)
        self._moved.set()

    async def forget(self, port_ids: Iterable[str], host_ids: Iterable[str], *, term: int) -> None:
        """Remove facts."""
        self._check(term)
        self._refuse()
        for id in port_ids:
            del self.port_facts[id]
        for id in host_ids:
            self.host_facts.pop(id, None)
        self._moved.set()

    async def ports(self, ids: Sequence[str]) -> dict[str, PortObservation]:
        """Facts by id."""
        return {id: self.port_facts[id] for id in ids if id in self.port_facts}

    async def hosts(self, ids: Sequence[str]) -> dict[str, HostObservation]:
        """Facts by id."""
        return {id: self.host_facts[id] for id in ids if id in self.host_facts}

    async def ports_of_host(self, host_id: str) -> list[PortObservation]:
        """Facts of one host's ports."""
        return [port for port in self.port_facts.values() if port.host_id == host_id]

    def _check(self, term: int) -> None:
        if term < self.term:
            raise Superseded("A write of observations", term)

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait for writes until `holds`."""
        async with asyncio.timeout(PATIENCE_S):
            while not holds():
                self._moved.clear()
                await self._moved.wait()

    def _refuse(self) -> None:
        if self.fail:
            self.fail -= 1
            raise self.failure


class ThroughStore:
    """Implements `Store` by another one. Tests override what they want to go wrong."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.reader: Reader = store.reader
        self.observations: Observations = store.observations

    async def write(self, work: Work[T], origin: Origin = SYSTEM) -> Done[T]:
        """As the store."""
        return await self._store.write(work, origin)

    async def head(self) -> Position:
        """As the store."""
        return await self._store.head()

    async def image(self, entities: Sequence[type[Entity]], keep: Keep = whole) -> Image:
        """As the store."""
        return await self._store.image(entities, keep)

    async def follow(self, after: int, limit: int = 256) -> list[Cut]:
        """As the store."""
        return await self._store.follow(after, limit)

    async def new_epoch(self) -> Position:
        """As the store."""
        return await self._store.new_epoch()

    async def wait_beyond(self, after: int) -> None:
        """As the store."""
        await self._store.wait_beyond(after)

    async def close(self) -> None:
        """As the store."""
        await self._store.close()
