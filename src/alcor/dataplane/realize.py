"""The one writer of observations: what hosts report, joined with where ports are, gives the status of ports.

Rules (protocol, section 5), for a port whose last binding or change of administrative state was in revision r:
- ACTIVE: administratively up, its VIF plugged on the host it is bound to, and that host confirmed at least r in the
  shards of its own scope and of every scope the port refers to, and these refer to;
- BUILD:  the same, not yet confirmed;
- DOWN:   everything else.
Later edits do not move r, so they do not lower a status. A confirmation of another epoch counts for nothing.

A host that is lost keeps its facts: readers join them with `alive` (nothing is written per port). A host that attaches
again starts from nothing: what it does not say again is written DOWN together with the host's return, so that
a status from before can never be taken for one of now.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import msgspec

from alcor.bus.interface import HostReport, PortReport
from alcor.dataplane.barrier import Barriers, Heard
from alcor.dataplane.calm import WAIT_S, Calm
from alcor.dataplane.cause import cause
from alcor.dataplane.claim import Claims
from alcor.dataplane.health import Neighbours
from alcor.dataplane.pace import Pace
from alcor.dataplane.rescue import LOOK_S, Rescues
from alcor.dataplane.standing import Standings
from alcor.goalstate.graph import Graph, Outcome
from alcor.goalstate.node.contract import Placement
from alcor.goalstate.scope import shard_of
from alcor.store.interface import HostObservation, PortObservation, Store, Superseded
from alcor.telemetry.log import get_log

ACTIVE, BUILD, DOWN = "ACTIVE", "BUILD", "DOWN"

# The first transition is written at once, those of the next 20 ms together (protocol, section 5).
GATHER_S = 0.02
# A host's `seen_at_ms` and `realized_revision` move with every revision: of these alone one write a second will do,
# or 1,000 hosts would cost 50,000 writes a second.
HOST_WRITE_S = 1.0
# A host that another dataplane heard is told of again within a moment, by its ncm; one that is not was lost with it.
SILENCE_S = 5.0
# Bounds the pause between attempts when observations cannot be written; nothing is lost meanwhile.
RETRY_S_MAX = 5.0
# Ports judged in one turn of the event loop, 10 to 20 µs each.
JUDGED_MAX = 1_024
# Facts of ports written at once: 2 µs each to encode, and the database's time.
WRITTEN_MAX = 4_096


class Told(Protocol):
    """Who hears of ports; must not block."""

    def observed(self, ports: Iterable[PortObservation], /) -> None:
        """Facts that were just stored."""

    def prepared(self, port_id: str, host_name: str, /) -> None:
        """A port's interface is plugged on a host that is prepared for it, and the switch there has confirmed all that
        it refers to: it may move there.
        """


HistoryLost = Callable[[int, int, str], Awaitable[None]]
"""(epoch, position, host id): a host shows more than the present history may hold."""


@dataclass(slots=True)
class _HostFacts:
    """What a host said since it attached.

    `at_ms`: the time it gave last; `seen_ms`: when that was, by our clock. `waiting`: its ports that are BUILD.
    `is_spoken_for`: an agent is attached for it, its own or a rescuer's; `rescues`: what its own said last.
    `settled`: the last epoch in which it knew all ports that live there.
    `known`: its ports that the store has a fact of. `written`: what the store has of the host itself.
    """

    alive: bool = False
    is_spoken_for: bool = False
    rescues: bool | None = None
    settled: int = 0
    session: int = 0
    at_ms: int = 0
    seen_ms: int = 0
    realized: dict[int, int] = field(default_factory=dict)
    plugged: dict[str, PortReport] = field(default_factory=dict)
    waiting: set[str] = field(default_factory=set)
    known: set[str] = field(default_factory=set)
    written: HostObservation | None = None
    agent_version: str = ""
    detail: str = ""
    # The shards of all that the host must hold, and as of which graph and references.
    shards: frozenset[int] = frozenset()
    shards_as_of: tuple[int, int] = (0, -1)

    @property
    def was_heard(self) -> bool:
        """Whether it ever was, by this run or an earlier one."""
        return self.seen_ms > 0

    def realized_through(self, shards: Iterable[int]) -> int:
        """The lowest revision confirmed in these shards; 0 if one was never confirmed."""
        return min(self.realized.get(shard, 0) for shard in shards)


@dataclass(slots=True)
class _Pending:
    """What is to be written: at most one value per row."""

    ports: dict[str, PortObservation] = field(default_factory=dict)
    hosts: dict[str, HostObservation] = field(default_factory=dict)
    ports_gone: dict[str, None] = field(default_factory=dict)
    hosts_gone: dict[str, None] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.ports or self.hosts or self.ports_gone or self.hosts_gone)

    def under(self, later: "_Pending") -> "_Pending":
        """Both, where the later one has the last word."""
        for gone in later.ports_gone:
            self.ports.pop(gone, None)
        for gone in later.hosts_gone:
            self.hosts.pop(gone, None)
        ports_gone = {id: None for id in self.ports_gone if id not in later.ports} | later.ports_gone
        hosts_gone = {id: None for id in self.hosts_gone if id not in later.hosts} | later.hosts_gone
        return _Pending(self.ports | later.ports, self.hosts | later.hosts, ports_gone, hosts_gone)


class Realizer:
    """Keeps `store.observations`. Memory: about 200 bytes per plugged port.

    Cost of a report: O(its ports + the host's ports that wait); of an attachment: O(the host's ports).
    """

    def __init__(
        self,
        store: Store,
        *,
        now_ms: Callable[[], int],
        history_lost: HistoryLost,
        term: int = 0,
        host_write_s: float = HOST_WRITE_S,
        silence_s: float = SILENCE_S,
        told: Told | None = None,
        barriers: Barriers | None = None,
        rescue_after_s: float = 0.0,
        epoch_wait_s: float = WAIT_S,
    ) -> None:
        """`now_ms`: unix milliseconds, one clock for when all hosts were heard. `told`: as `Dataplane`.
        `term`: the generation of the lease to be the one writer; the store refuses what a lower one writes.

        `silence_s`: so long, while it listens, hosts that were alive by an earlier run's word still count as alive.
        `rescue_after_s`: as `Rescues`; `epoch_wait_s`: as `Calm`.
        """
        self._silence_s = silence_s
        self._silence: asyncio.TimerHandle | None = None
        self._told = told
        self.barriers = barriers if barriers is not None else Barriers(self.heard)
        """Who has what; follows the graph beside this one, and hears what this one hears."""
        self._store = store
        self._now_ms, self._history_lost = now_ms, history_lost
        self._host_write_s = host_write_s
        self._term = term
        self._graph: Graph | None = None
        # Counts the graphs that were followed, one after the other.
        self._graphs = 0
        self._epoch = 0
        self._hosts: dict[str, _HostFacts] = {}
        self._written: dict[str, PortObservation] = {}
        self._pending = _Pending()
        self._claims = Claims(store, term)
        self._standings = Standings(store, now_ms, term)
        self._neighbours = Neighbours()
        self._rescues = Rescues(
            store, after_s=rescue_after_s, now_ms=now_ms, monotonic_s=time.monotonic, term=term
        )
        self._calm = Calm(store, wait_s=epoch_wait_s, now_ms=now_ms, term=term)
        self._late: dict[str, None] = {}
        # Port → names of the prepared hosts that were ready when it was last looked at.
        self._ready: dict[str, set[str]] = {}
        self._stirred = asyncio.Event()

    def heard(self, host_id: str) -> Heard | None:
        """What a host said, if it is known."""
        return self._hosts.get(host_id)

    async def begin(self, epoch: int, graph: Graph, *, anew: bool) -> None:
        """Go on with a graph made from an image. `anew`: confirmations so far are of another history, or of none.

        Others have their turn meanwhile: reports and turns of the graph are taken in as ever.
        Raises: Unavailable if the observations cannot be read; Superseded if a later term has begun.
        """
        if self._graph is None:
            # First the fence: what is read behind it is all that earlier terms will ever have written.
            await self._store.observations.begin(self._term)
            await self._read(graph)
        first = self._graph is None
        self._graph, self._epoch = graph, epoch
        self._graphs += 1
        if anew:
            for facts in self._hosts.values():
                facts.realized.clear()
        self._forget_ports([id for id in self._written if id not in graph.intent.ports])
        self._forget_hosts([id for id in self._hosts if id not in graph.intent.hosts])
        if first:
            return  # nobody is heard yet; each host's ports are judged when it attaches
        pace = Pace(JUDGED_MAX)
        for id in {id for facts in self._hosts.values() for id in (*facts.plugged, *facts.known)}:
            self._judge(id)
            await pace.spend()

    def advance(self, outcome: Outcome) -> None:
        """Follow a turn of the graph. Cost: O(placements that changed)."""
        for step in outcome.placements:
            self._judge(step.id)
            self._judge_prepared(step.id)
        self._forget_ports(outcome.ports_gone)
        self._forget_hosts(outcome.hosts_gone)
        self._claims.forget(outcome.ports_gone, self._present())
        if self._claims:
            self._stirred.set()

    async def listen(self, reports: AsyncIterator[Sequence[HostReport]]) -> None:
        """Take in what hosts report, as long as there are reports. A report is one piece, whatever it says."""
        # Not before: what was written of many hosts may take longer to read than silence may last.
        self._silence = asyncio.get_running_loop().call_later(self._silence_s, self._end_silence)
        pace = Pace(JUDGED_MAX)
        async for batch in reports:
            for report in batch:
                try:
                    await self._hear(report)
                except Exception as error:
                    # A report is not repeated: the host's next attachment says all of it again.
                    get_log("dataplane").error("report_failed", host_id=report.host_id, exc_info=error)
                await pace.spend(1 + len(report.ports))

    async def watch(self) -> None:
        """Lease the switches of hosts whose agents are dead (`rescue`), see when a new epoch is calm (`calm`), until
        cancelled. Raises: Superseded.
        """
        while True:
            graph = self._present()
            try:
                await self._rescues.look(graph, self._hosts, self._neighbours)
                await self._calm.look(graph, self._epoch, self._hosts)
            except Superseded:
                raise
            except Exception as error:
                # The loop's edge: what could not be written is decided anew.
                get_log("dataplane").error("watch_not_written", **cause(error))
            await asyncio.sleep(LOOK_S)

    async def write(self) -> None:
        """Write what is pending, as long as there is anything, until cancelled. Nothing is lost by a failure.

        Raises: Superseded if a later term has begun: what is pending is that one's to say.
        """
        retry_s = GATHER_S
        while True:
            await self._stirred.wait()
            self._stirred.clear()
            taken, self._pending = self._pending, _Pending()
            try:
                await self._flush(taken)
                if self._claims:
                    await self._claims.write()
                if self._standings:
                    await self._standings.write()
                retry_s = GATHER_S
            except Superseded:
                raise
            except Exception as error:
                self._pending = taken.under(self._pending)
                self._stirred.set()
                retry_s = min(retry_s * 2, RETRY_S_MAX)
                get_log("dataplane").error("observations_not_written", retry_s=retry_s, **cause(error))
            await asyncio.sleep(retry_s)

    async def _flush(self, taken: _Pending) -> None:
        observations = self._store.observations
        ports = list(taken.ports.values())
        while ports or taken.hosts:
            now, ports = ports[:WRITTEN_MAX], ports[WRITTEN_MAX:]
            # Hosts with the last ports: who comes back is alive with what it said, not with what was before.
            await observations.put(now, () if ports else taken.hosts.values(), term=self._term)
            # After it was stored: who acts on a status must find it there.
            if self._told is not None and now:
                self._told.observed(now)
            if not ports:
                break
        if taken.ports_gone or taken.hosts_gone:
            await observations.forget(taken.ports_gone, taken.hosts_gone, term=self._term)

    async def _read(self, graph: Graph) -> None:
        """What an earlier run wrote, so that only what differs is written."""
        observations = self._store.observations
        for id, seen in (await observations.hosts(list(graph.intent.hosts))).items():
            facts = _HostFacts(
                written=seen,
                agent_version=seen.agent_version,
                seen_ms=seen.seen_at_ms,
                settled=seen.settled,
            )
            self._hosts[id] = facts
        for id in list(self._hosts):
            for port in await observations.ports_of_host(id):
                self._remember(port)

    def _end_silence(self) -> None:
        """Hosts that were alive by an earlier run's word, and were not heard in this one, are lost."""
        for id, facts in self._hosts.items():
            if facts.written is not None and facts.written.alive and not facts.alive:
                facts.written = self._pending.hosts[id] = msgspec.structs.replace(facts.written, alive=False)
                self._stirred.set()

    def close(self) -> None:
        """Nothing is to be done any more."""
        if self._silence is not None:
            self._silence.cancel()

    async def _hear(self, report: HostReport) -> None:
        graph = self._present()
        if report.host_id not in graph.intent.hosts:
            get_log("dataplane").info("unknown_host_reported", host_id=report.host_id, alive=report.alive)
            return
        facts = self._hosts.setdefault(report.host_id, _HostFacts())
        judged: set[str] = set()
        session = report.session or facts.session  # 0: not said
        if report.alive and (not facts.is_spoken_for or session != facts.session):
            judged |= facts.known | facts.plugged.keys()
            facts.realized.clear()
            facts.plugged.clear()
        facts.is_spoken_for, facts.session, facts.at_ms = report.alive, session, report.at_ms
        facts.alive = report.alive and not report.rescuer_id
        if not report.rescuer_id:
            facts.rescues = report.rescues
        facts.settled = max(facts.settled, report.settled)
        if facts.alive:
            facts.seen_ms = self._now_ms()
        if report.epoch == self._epoch:
            for shard, through in report.realized.items():
                facts.realized[shard] = max(through, facts.realized.get(shard, 0))
            judged |= facts.waiting
        at_ms: dict[str, float] = {}
        for port in report.ports:
            if port.plugged:
                facts.plugged[port.port_id] = port
            else:
                facts.plugged.pop(port.port_id, None)
            at_ms[port.port_id] = port.at_ms
        for id in judged | at_ms.keys():
            self._judge(id, at_ms.get(id))
        for id in at_ms:
            self._judge_prepared(id)
        self._claims.hear(report.claims, graph)
        self._standings.hear(report, graph)
        if self._claims or self._standings:
            self._stirred.set()
        met = self._neighbours.hear(report.host_id, report.paths if report.alive else {}, graph)
        self._see(report, facts)
        for id in met & self._hosts.keys() - {report.host_id}:
            self._write_host(id, self._hosts[id])
        self.barriers.heard(report)
        if report.epoch > self._epoch or (
            report.epoch == self._epoch and report.position_max > graph.revision
        ):
            await self._history_lost(report.epoch, report.position_max, report.host_id)

    def _judge(self, port_id: str, at_ms: float | None = None) -> None:
        """Bring a port's fact to what is true now. `at_ms`: when its host spoke of it; else, of anything."""
        graph = self._present()
        port = graph.intent.ports.get(port_id)
        placement = graph.placement(port_id)
        old = self._written.get(port_id)
        if port is None:
            return  # gone, and forgotten with its row, or not yet heard of
        if placement is None:
            new = PortObservation(port_id, "", DOWN, binding_generation=port.generation)
        else:
            new = self._observed(placement, old, at_ms)
        if new != (old or PortObservation(port_id, "", DOWN)) and not _both_idle(old, new):
            self._remember(new)
            self._pending.ports[port_id] = new
            self._pending.ports_gone.pop(port_id, None)
            self._stirred.set()

    def _judge_prepared(self, port_id: str) -> None:
        """Tell, once, that a prepared host is ready for a port. Cost: O(its bindings), of most ports one look-up."""
        graph = self._present()
        port = graph.intent.ports.get(port_id)
        names = port.prepared if port is not None else ()
        ready: set[str] = set()
        for name in names:
            host = graph.intent.host_named(name)
            facts = self._hosts.get(host.item.id) if host is not None else None
            if facts is not None and facts.alive and port_id in facts.plugged:
                ready.add(name)
        told = self._ready.pop(port_id, set())
        if ready:
            self._ready[port_id] = ready
        if self._told is not None:
            for name in sorted(ready - told):
                self._told.prepared(port_id, name)

    def _observed(
        self, placement: Placement, old: PortObservation | None, at_ms: float | None
    ) -> PortObservation:
        local, host_id = placement.port.local, placement.host_id
        facts = self._hosts.get(host_id) or _HostFacts()
        vif = facts.plugged.get(local.id)
        new = PortObservation(
            local.id,
            host_id,
            DOWN,
            plugged=vif is not None,
            ofport=vif.ofport if vif is not None else 0,
            revision=placement.bound_at,
            binding_generation=placement.port.generation,
        )
        if vif is None or not local.admin_state_up:
            return new
        if facts.realized_through(self._present().shards_of(placement)) < placement.bound_at:
            return msgspec.structs.replace(new, status=BUILD)
        since_ms = float(facts.at_ms) if at_ms is None else at_ms
        if old is not None and old.status == ACTIVE and _of_one_binding(old, new):
            since_ms = old.realized_at_ms
        return msgspec.structs.replace(new, status=ACTIVE, realized_at_ms=since_ms)

    def _remember(self, new: PortObservation) -> None:
        """Note what the store has (or is about to have) of a port, in every index."""
        id = new.port_id
        self._release(id)
        self._written[id] = new
        if new.host_id:
            facts = self._hosts.setdefault(new.host_id, _HostFacts())
            facts.known.add(id)
            if new.status == BUILD:
                facts.waiting.add(id)

    def _release(self, port_id: str) -> None:
        old = self._written.pop(port_id, None)
        if old is not None and old.host_id in self._hosts:
            facts = self._hosts[old.host_id]
            facts.known.discard(port_id)
            facts.waiting.discard(port_id)

    def _see(self, report: HostReport, facts: _HostFacts) -> None:
        """Write a host's own fact: at once what people wait for, the rest once in HOST_WRITE_S."""
        old = facts.written
        facts.agent_version = report.agent_version or facts.agent_version
        facts.detail = report.detail
        down = self._neighbours.down(report.host_id)
        seen = (facts.alive, facts.agent_version, facts.detail, down, facts.settled)
        if old is None or (old.alive, old.agent_version, old.detail, old.paths_down, old.settled) != seen:
            self._write_host(report.host_id, facts)
            return
        if not self._late:
            asyncio.get_running_loop().call_later(self._host_write_s, self._write_late)
        self._late[report.host_id] = None

    def _write_late(self) -> None:
        late, self._late = self._late, {}
        for host_id in late:
            if host_id in self._hosts:
                self._write_host(host_id, self._hosts[host_id])

    def _write_host(self, host_id: str, facts: _HostFacts) -> None:
        reached = self._neighbours.reached(host_id, self._present())
        facts.written = self._pending.hosts[host_id] = HostObservation(
            host_id=host_id,
            alive=facts.alive,
            seen_at_ms=facts.seen_ms,
            agent_version=facts.agent_version,
            realized_revision=facts.realized_through(self._shards(host_id, facts)),
            detail=facts.detail,
            paths_down=self._neighbours.down(host_id),
            reached_by=reached.by,
            missed_by=reached.missed_by,
            settled=facts.settled,
        )
        self._pending.hosts_gone.pop(host_id, None)
        self._late.pop(host_id, None)
        self._stirred.set()

    def _shards(self, host_id: str, facts: _HostFacts) -> frozenset[int]:
        """The shards of what a host must hold. Cost: its closure's, whenever any scope came to refer to others."""
        graph = self._present()
        as_of = (self._graphs, graph.references)
        if facts.shards_as_of != as_of:
            facts.shards, facts.shards_as_of = frozenset(map(shard_of, graph.closure(host_id))), as_of
        return facts.shards

    def _forget_ports(self, ids: Iterable[str]) -> None:
        for id in ids:
            if id in self._written:
                self._release(id)
                self._pending.ports.pop(id, None)
                self._pending.ports_gone[id] = None
                self._stirred.set()

    def _forget_hosts(self, ids: Iterable[str]) -> None:
        for id in ids:
            facts = self._hosts.pop(id, None)
            self._neighbours.hear(id, {}, self._present())
            if facts is not None:
                self._pending.hosts.pop(id, None)
                self._pending.hosts_gone[id] = None
                self._stirred.set()

    def _present(self) -> Graph:
        assert self._graph is not None  # `begin` comes first
        return self._graph


def _of_one_binding(old: PortObservation, new: PortObservation) -> bool:
    return (old.host_id, old.binding_generation) == (new.host_id, new.binding_generation)


def _both_idle(old: PortObservation | None, new: PortObservation) -> bool:
    """Whether nothing was and nothing is to be seen of the port: no fact is needed to say DOWN."""
    idle = old is None or (old.status == DOWN and not old.plugged)
    return idle and new.status == DOWN and not new.plugged
