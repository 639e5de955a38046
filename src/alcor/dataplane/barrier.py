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
from alcor.goalstate.scope import Scope, shard_of
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
    """Somebody waits. `needs` None: the revision has not been computed. `open`: living hosts that lack it."""

    revision: int
    over: asyncio.Event
    needs: dict[str, _Need] | None = None
    open: set[str] = field(default_factory=set)


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
        self._waits: dict[_Wait, None] = {}
        self._by_host: dict[str, set[_Wait]] = {}

    # --- what happens ----------------------------------------------------------------------------------

    def begin(self, graph: Graph) -> None:
        """Go on with a graph that was made from an image: how it came to be is not known."""
        self._graph = graph
        self._turns.clear()
        self._rows.clear()
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
        for id in outcome.hosts_gone:
            self._acks.pop(id, None)
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
            self._settle(wait, report.host_id)

    # --- questions -------------------------------------------------------------------------------------

    async def wait(self, revision: int, within_s: float) -> Realized:
        """Who has a revision, as soon as every living host that must have it does, or the time is over.

        Raises: Unavailable if too many wait.
        """
        if len(self._waits) >= WAITS_MAX:
            raise Unavailable(f"{WAITS_MAX} requests wait for hosts already; try again in a moment")
        wait = _Wait(revision, asyncio.Event())
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
        graph = self._present()
        revision = self._rows.get(id, self._rows_floor)
        scopes = scopes_of(graph, kind, id) or ()
        needs = self._needs(revision, [(scope, graph.shards_about(scope, id)) for scope in scopes])
        return self._counted(revision, needs, {})

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
        wait.needs = self._needs_of(wait.revision)
        for id in wait.needs:
            if not self._has(id, wait.needs[id]):
                self._by_host.setdefault(id, set()).add(wait)
                if self._is_alive(id):
                    wait.open.add(id)
        if not wait.open:
            wait.over.set()
        elif wait.revision > self._floor and (turn := self._turn_of(wait.revision)) is not None:
            scopes = [scope for scope, _ in turn.told if scope.kind in LAZY_KINDS]
            if scopes:
                self._hasten(scopes, turn.through)

    def _settle(self, wait: _Wait, id: str) -> None:
        """Something became known of a host that a wait is for."""
        need = wait.needs.get(id) if wait.needs is not None else None
        if need is None or self._has(id, need):
            self._leave(wait, id)
            wait.open.discard(id)
        elif self._is_alive(id):
            wait.open.add(id)
        else:
            wait.open.discard(id)
        if not wait.open:
            wait.over.set()

    def _leave(self, wait: _Wait, id: str) -> None:
        waits = self._by_host.get(id)
        if waits is not None:
            waits.discard(wait)
            if not waits:
                del self._by_host[id]

    def _needs_of(self, revision: int) -> dict[str, _Need]:
        graph = self._present()
        if revision > self._floor:
            turn = self._turn_of(revision)
            return self._needs(revision, turn.told if turn is not None else ())
        # Which scopes changed is not known (the dataplane began after that): everybody is to have everything.
        return {id: _Need(frozenset(map(shard_of, graph.closure(id))), revision) for id in graph.intent.hosts}

    def _needs(self, revision: int, told: Iterable[tuple[Scope, frozenset[int]]]) -> dict[str, _Need]:
        graph = self._present()
        needs: dict[str, _Need] = {}
        for scope, shards in told:
            for id, since in graph.hosts_of(scope).items():
                before = needs.get(id)
                if before is None:
                    needs[id] = _Need(shards, max(revision, since))
                else:
                    union = before.shards if shards <= before.shards else before.shards | shards
                    needs[id] = _Need(union, max(before.revision, since))
        return needs

    def _turn_of(self, revision: int) -> _Turn | None:
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
        return self._counted(wait.revision, wait.needs, self._stages(wait.revision, wait.needs))

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

    def _stages(self, revision: int, needs: Mapping[str, _Need]) -> dict[str, float]:
        """Where the milliseconds went: the dataplane's, and those of the host that was last to confirm."""
        turn = self._turn_of(revision) if revision > self._floor else None
        if turn is None:
            return {}
        times = turn.times
        stages = {"follow": times.follow_ms, "compile": times.compile_ms, "publish": times.publish_ms}
        acks = [ack for id, need in needs.items() if (ack := self._ack(id, need.revision, times.ended_s))]
        if acks:
            last = max(acks, key=lambda ack: ack.at_s)
            away_ms = (last.at_s - times.ended_s) * 1000
            stages |= {
                "receive": last.receive_ms,
                "install": last.install_ms,
                "ack": max(0.0, away_ms - last.receive_ms - last.install_ms),
            }
        return {stage: round(ms, 3) for stage, ms in stages.items()}

    def _ack(self, id: str, revision: int, after_s: float) -> _Ack | None:
        acks = self._acks.get(id, ())
        return next((ack for ack in acks if ack.through >= revision and ack.at_s >= after_s), None)
