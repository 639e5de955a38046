"""Who must confirm a revision, who has, and who waits for the others.

A revision concerns the hosts that hold a scope which changed in it. A host has it once it confirmed at least that
revision in the shards of those scopes and of all that their new items refer to. Revisions that were computed in one
turn are told of together: the hosts of one are those of all.

Nothing is asked of the database, and nobody is polled: a wait ends with the report that was missing.
"""

import asyncio
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from alcor.bus.interface import HostReport
from alcor.goalstate.graph import Graph, Outcome
from alcor.goalstate.scope import Scope, host_scope, shard_of
from alcor.goalstate.subject import LAZY_KINDS
from alcor.goalstate.told import scopes_of
from alcor.model.errors import Unavailable
from alcor.model.realized import MissingHost, Realized

# Turns whose hosts and times are remembered, and scopes in all of them: some megabytes. What is older concerns
# everybody; it was confirmed long ago wherever anything works.
TURNS_MAX = 4096
SCOPES_MAX = 100_000
# Rows whose last change is remembered apart: of others only the newest revision that was forgotten is known.
ROWS_MAX = 100_000
# Confirmations of each host that are remembered for their times.
ACKS_MAX = 4
# Open waits; each holds an entry per host that it waits for.
WAITS_MAX = 4096
# Hosts that are missing are counted all, and named up to here.
NAMED_MAX = 100


class Heard(Protocol):
    """What is known of a host: `realized`: shard → revision, confirmed by barrier."""

    @property
    def alive(self) -> bool:
        """Whether its agent is attached."""

    @property
    def was_heard(self) -> bool:
        """Whether it ever was."""

    @property
    def realized(self) -> Mapping[int, int]:
        """See above."""


class Turned(NamedTuple):
    """How long the dataplane's part of a turn took, and when it ended (loop time)."""

    follow_ms: float
    compile_ms: float
    publish_ms: float
    ended_s: float


class _Need(NamedTuple):
    """What one host must confirm."""

    shards: frozenset[int]
    revision: int


class _Turn(NamedTuple):
    """What is remembered of a turn that led to `through`. `told`: what changed, and the shards of all of that."""

    through: int
    told: tuple[tuple[Scope, frozenset[int]], ...]
    times: Turned


class _Ack(NamedTuple):
    """A confirmation of a host. `at_s`: when it was heard (loop time)."""

    through: int
    at_s: float
    receive_ms: float
    install_ms: float


@dataclass(eq=False, slots=True)
class _Wait:
    """Somebody waits. `needs` None: the revision has not been computed. `open`: living hosts that lack it.

    `revision`: until which everything must be computed. `revisions`, `rows`: what hosts must have (`Barriers.wait`).
    `last`: the confirmation by which a host came to have it, of the host that was last.
    """

    revision: int
    revisions: Sequence[int]
    rows: Sequence[tuple[str, str]]
    over: asyncio.Event
    needs: dict[str, _Need] | None = None
    open: set[str] = field(default_factory=set)
    last: _Ack | None = None


class Barriers:
    """Answers which hosts have a revision, at once or when they have. All methods are for one event loop.

    Memory: see the bounds above. Cost of a turn: O(scopes that changed); of a report: O(waits for that host).
    """

    def __init__(
        self,
        heard: Callable[[str], Heard | None],
        hasten: Callable[[Sequence[Scope], int], None] = lambda _scopes, _through: None,
    ) -> None:
        """`heard`: host id → what is known of it, if anything. `hasten`: have hosts that hold these scopes, but may
        not be concerned by what changed in them, told of a revision at once."""
        self._heard, self._hasten = heard, hasten
        self._graph: Graph | None = None
        self._turns: deque[_Turn] = deque()
        self._scopes = 0
        # Nothing is known of the turns that led to this revision, or of which rows changed in them.
        self._floor = 0
        self._rows_floor = 0
        self._rows: dict[str, int] = {}
        self._acks: dict[str, deque[_Ack]] = {}
        # Host → the last revision in which it may have come to hold fewer scopes.
        self._parted: dict[str, int] = {}
        self._waits: dict[_Wait, None] = {}
        self._by_host: dict[str, set[_Wait]] = {}

    # --- what happens ----------------------------------------------------------------------------------

    def begin(self, graph: Graph) -> None:
        """Go on with a graph that was made from an image: how it came to be is not known."""
        self._graph = graph
        self._turns.clear()
        self._rows.clear()
        self._parted.clear()
        self._scopes = 0
        self._floor = self._rows_floor = graph.revision
        self._reached()

    def advance(self, outcome: Outcome, row_ids: Iterable[str], times: Turned) -> None:
        """A turn of the graph was published. `row_ids`: the rows that changed in it."""
        graph = self._present()
        told = tuple([(change.scope, graph.shards_told(change)) for change in outcome.scopes])
        self._turns.append(_Turn(graph.revision, told, times))
        self._scopes += len(told)
        while len(self._turns) > TURNS_MAX or self._scopes > SCOPES_MAX:
            oldest = self._turns.popleft()
            self._scopes -= len(oldest.told)
            self._floor = oldest.through
        for id in row_ids:
            # Changed last, last: the first is the one that has not changed for longest.
            self._rows.pop(id, None)
            self._rows[id] = graph.revision
        while len(self._rows) > ROWS_MAX:
            self._rows_floor = self._rows.pop(next(iter(self._rows)))
        for id in outcome.hosts_parted:
            self._parted[id] = graph.revision
            for wait in list(self._by_host.get(id, ())):
                if wait.needs is not None and id in wait.needs:
                    wait.needs[id] = self._still(wait, id, wait.needs[id])
        for id in outcome.hosts_gone:
            self._acks.pop(id, None)
            self._parted.pop(id, None)
            for wait in list(self._by_host.get(id, ())):
                if wait.needs is not None:
                    wait.needs.pop(id, None)
                self._settle(wait, id)
        self._reached()

    def heard(self, report: HostReport) -> None:
        """A host was heard, and what it said is known."""
        if report.realized:
            acks = self._acks.setdefault(report.host_id, deque(maxlen=ACKS_MAX))
            through = max(report.realized.values())
            acks.append(
                _Ack(through, asyncio.get_running_loop().time(), report.receive_ms, report.install_ms)
            )
        for wait in list(self._by_host.get(report.host_id, ())):
            if self._settle(wait, report.host_id) and report.realized:
                wait.last = acks[-1]

    # --- questions -------------------------------------------------------------------------------------

    async def wait(
        self,
        revision: int,
        within_s: float,
        *,
        revisions: Sequence[int] | None = None,
        rows: Sequence[tuple[str, str]] = (),
    ) -> Realized:
        """Who has a revision, as soon as every living host that must have it does, or the time is over.

        revisions: those that hosts must have, if it is not `revision` alone, which is the last of them or after them.
        rows: (kind, id) of rows that hosts must have too, as they are at `revision`.
        Raises: Unavailable if too many wait.
        """
        if len(self._waits) >= WAITS_MAX:
            raise Unavailable(f"{WAITS_MAX} requests wait for hosts already; try again in a moment")
        wait = _Wait(revision, (revision,) if revisions is None else revisions, rows, asyncio.Event())
        self._waits[wait] = None
        try:
            self._look(wait)
            try:
                async with asyncio.timeout(within_s):
                    await wait.over.wait()
            except TimeoutError:
                pass
            return self._told(wait)
        finally:
            del self._waits[wait]
            for id in wait.needs or ():
                self._leave(wait, id)

    def standing(self, kind: str, id: str) -> Realized:
        """Who has a row as it is now. `kind`: its resource's name.

        The revision is that in which it last changed, or the newest of which that is no longer known.
        Raises: Unavailable while no graph is loaded. Cost: O(hosts that hold it).
        """
        revision = self._revision_of(id)
        return self._counted(revision, self._needs(revision, self._about(kind, id), {}), {})

    # --- how -------------------------------------------------------------------------------------------

    def _present(self) -> Graph:
        if self._graph is None:
            raise Unavailable("the dataplane is still loading; try again in a moment")
        return self._graph

    def _reached(self) -> None:
        for wait in [wait for wait in self._waits if wait.needs is None]:
            self._look(wait)

    def _look(self, wait: _Wait) -> None:
        """Find who must have the revision, once it is computed."""
        if self._graph is None or self._graph.revision < wait.revision:
            return
        wait.needs, scopes = self._needs_of(wait)
        for id, need in wait.needs.items():
            if not self._has(id, need):
                wait.needs[id] = self._still(wait, id, need)
                if self._has(id, wait.needs[id]):
                    continue
                self._by_host.setdefault(id, set()).add(wait)
                if self._is_alive(id):
                    wait.open.add(id)
        if not wait.open:
            wait.over.set()
        elif lazy := [scope for scope in scopes if scope.kind in LAZY_KINDS]:
            self._hasten(list(dict.fromkeys(lazy)), max(need.revision for need in wait.needs.values()))

    def _settle(self, wait: _Wait, id: str) -> bool:
        """Something became known of a host that a wait is for. Returns whether it has what it must have."""
        need = wait.needs.get(id) if wait.needs is not None else None
        has = need is not None and self._has(id, need)
        if need is None or has:
            self._leave(wait, id)
            wait.open.discard(id)
        elif self._is_alive(id):
            wait.open.add(id)
        else:
            wait.open.discard(id)
        if not wait.open:
            wait.over.set()
        return has

    def _leave(self, wait: _Wait, id: str) -> None:
        waits = self._by_host.get(id)
        if waits is not None:
            waits.discard(wait)
            if not waits:
                del self._by_host[id]

    def _needs_of(self, wait: _Wait) -> tuple[dict[str, _Need], list[Scope]]:
        """What hosts must confirm for a wait, and the scopes that this is about, as far as they are known."""
        graph, scopes = self._present(), list[Scope]()
        needs: dict[str, _Need] = {}
        old = [revision for revision in wait.revisions if revision <= self._floor]
        if old:
            # Which scopes changed is not known (the dataplane began after that): everybody is to have everything.
            for id in graph.intent.hosts:
                needs[id] = _Need(frozenset(map(shard_of, graph.closure(id))), max(old))
        # Of one turn they concern the same hosts, and its last is the last of them here.
        turns = {turn.through: (one, turn) for one in sorted(wait.revisions) if (turn := self._turn_of(one))}
        for revision, turn in turns.values():
            scopes += [scope for scope, _ in turn.told]
            self._needs(revision, turn.told, needs)
        for kind, id in wait.rows:
            about = self._about(kind, id)
            scopes += [scope for scope, _ in about]
            self._needs(self._revision_of(id), about, needs)
        return needs, scopes

    def _still(self, wait: _Wait, id: str, need: _Need) -> _Need:
        """What a host must confirm of this that it still holds. What it holds no longer it is told nothing of any more:
        that is gone from its switch with the revision in which it let go of it."""
        parted = self._parted.get(id, 0)
        if parted < min(wait.revisions, default=0):
            return need
        held = {shard_of(scope) for scope in self._present().closure(id)}
        if need.shards <= held:
            return need
        return _Need(need.shards & held | {shard_of(host_scope(id))}, max(need.revision, parted))

    def _revision_of(self, id: str) -> int:
        """In which a row last changed, or the newest of which that is no longer known."""
        return self._rows.get(id, self._rows_floor)

    def _about(self, kind: str, id: str) -> list[tuple[Scope, frozenset[int]]]:
        """The scopes that speak of a row, and the shards of all that this refers to."""
        graph = self._present()
        return [(scope, graph.shards_about(scope, id)) for scope in scopes_of(graph, kind, id) or ()]

    def _needs(
        self, revision: int, told: Iterable[tuple[Scope, frozenset[int]]], needs: dict[str, _Need]
    ) -> dict[str, _Need]:
        """Add what hosts must confirm to have a revision of these scopes."""
        graph = self._present()
        for scope, shards in told:
            for id, since in graph.hosts_of(scope).items():
                before = needs.get(id)
                if before is None:
                    needs[id] = _Need(shards, max(revision, since))
                else:
                    union = before.shards if shards <= before.shards else before.shards | shards
                    needs[id] = _Need(union, max(before.revision, revision, since))
        return needs

    def _turn_of(self, revision: int) -> _Turn | None:
        if revision <= self._floor:
            return None
        index = bisect_left(self._turns, revision, key=lambda turn: turn.through)
        return self._turns[index] if index < len(self._turns) else None

    def _has(self, id: str, need: _Need) -> bool:
        facts = self._heard(id)
        return facts is not None and self._behind(facts, need) <= 0

    @staticmethod
    def _behind(facts: Heard, need: _Need) -> int:
        return need.revision - min(facts.realized.get(shard, 0) for shard in need.shards)

    def _is_alive(self, id: str) -> bool:
        facts = self._heard(id)
        return facts is not None and facts.alive

    # --- telling ---------------------------------------------------------------------------------------

    def _told(self, wait: _Wait) -> Realized:
        if wait.needs is None:
            at = self._graph.revision if self._graph is not None else 0
            return Realized(
                revision=wait.revision,
                reason=f"the dataplane has not come to revision {wait.revision} yet; it is at {at}",
            )
        return self._counted(wait.revision, wait.needs, self._stages(wait, wait.needs))

    def _counted(self, revision: int, needs: Mapping[str, _Need], stages_ms: dict[str, float]) -> Realized:
        hosts = self._present().intent.hosts
        missing = [
            MissingHost(hosts[id].item.name, self._reason(id, need))
            for id, need in needs.items()
            if id in hosts and not self._has(id, need)
        ]
        missing.sort(key=lambda one: one.host)
        return Realized(
            revision=revision,
            hosts_intended=len(needs),
            hosts_actual=len(needs) - len(missing),
            missing=tuple(missing[:NAMED_MAX]),
            stages_ms=stages_ms,
        )

    def _reason(self, id: str, need: _Need) -> str:
        facts = self._heard(id)
        if facts is None or not facts.was_heard:
            return "not attached"
        return f"behind by {self._behind(facts, need)}" if facts.alive else "down"

    def _stages(self, wait: _Wait, needs: Mapping[str, _Need]) -> dict[str, float]:
        """Where the milliseconds went: the dataplane's, and those of the host that was last to confirm."""
        turn = self._turn_of(max(wait.revisions, default=0))
        if turn is None:
            return {}
        times = turn.times
        stages = {"follow": times.follow_ms, "compile": times.compile_ms, "publish": times.publish_ms}
        last = wait.last
        if last is None:  # who has it had it before somebody waited
            acks = [ack for id, need in needs.items() if (ack := self._ack(id, need.revision, times.ended_s))]
            last = max(acks, key=lambda ack: ack.at_s, default=None)
        if last is not None:
            # What the host was at already when this was published is not of this change.
            away_ms = max(0.0, (last.at_s - times.ended_s) * 1000)
            install_ms = min(last.install_ms, away_ms)
            receive_ms = min(last.receive_ms, away_ms - install_ms)
            stages |= {"receive": receive_ms, "install": install_ms, "ack": away_ms - install_ms - receive_ms}
        return {stage: round(ms, 3) for stage, ms in stages.items()}

    def _ack(self, id: str, revision: int, after_s: float) -> _Ack | None:
        acks = self._acks.get(id, ())
        return next((ack for ack in acks if ack.through >= revision and ack.at_s >= after_s), None)
