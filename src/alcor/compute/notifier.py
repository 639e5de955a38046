"""Tells the compute service what happens to its servers' ports: from the change log, and from observed status.

- *Never early*: `network-vif-plugged` is sent after the observation ACTIVE was stored, and only if, as it is sent, the
  port is still bound as it was observed and still ACTIVE (protocol, section 5).
- *Nothing lost*: intent is followed from a stored position, which moves on after its events were taken. Status is not
  in the log: after a start, ports that became ACTIVE in the last `RECENT_S` are told again. An event that comes twice
  does no harm: a server that does not wait for it passes it over.
- *Bounded*: one event per name and port waits, however long the service is away.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence

from alcor.compute import event as events
from alcor.compute.client import Compute, Rejected
from alcor.compute.event import Event
from alcor.model.change import Change
from alcor.model.errors import Unavailable
from alcor.model.floatingip import FloatingIp
from alcor.model.host import Host
from alcor.model.port import Port, extra_of
from alcor.store.interface import PortObservation, Store, TooOld, Transaction
from alcor.telemetry.log import get_log
from alcor.telemetry.metrics import COMPUTE_EVENTS

log = get_log("compute")

# The first event goes at once, those of the next 0.2 s together: a server's ports become ACTIVE within milliseconds of
# one another, and a host's boot storm is a few requests.
GATHER_S = 0.2
BATCH_MAX = 100
RETRY_MIN_S, RETRY_MAX_S = 0.5, 30.0
# Longer than a hypervisor waits for the event (300 s); an older one has nobody who waits.
RECENT_S = 600.0
_CUTS_MAX = 256
# The stored position lags at most this many revisions in which nothing was to be told.
_KEEP_EVERY = 1_024
_SPACE, _KEY = "compute", "position"
_ACTIVE = "ACTIVE"


class Notifier:
    """Run `run` in one task, and give `observed` what was written of ports.

    `now_ms`: unix milliseconds.
    """

    def __init__(
        self,
        store: Store,
        compute: Compute,
        *,
        now_ms: Callable[[], int],
        gather_s: float = GATHER_S,
        retry_min_s: float = RETRY_MIN_S,
    ) -> None:
        self._store, self._compute, self._now_ms = store, compute, now_ms
        self._gather_s, self._retry_min_s = gather_s, retry_min_s
        self._status: dict[str, str] = {}
        self._seen: dict[str, None] = {}
        self._prepared: dict[tuple[str, str], None] = {}
        self._waiting: dict[tuple[str, str], Event] = {}
        self._stirred = asyncio.Event()
        self._emptied = asyncio.Event()
        self._emptied.set()
        self.follows = False
        """Whether the change log is followed: what is committed from now on is told."""

    @property
    def waiting(self) -> int:
        """How many events are still to be taken."""
        return len(self._waiting) + len(self._seen) + len(self._prepared)

    def observed(self, ports: Iterable[PortObservation]) -> None:
        """Ports whose facts were just stored; which of them matter is looked up when it is their turn."""
        for port in ports:
            if self._status.get(port.port_id) != port.status:
                self._seen[port.port_id] = None
        if self._seen:
            self._stirred.set()

    def prepared(self, port_id: str, host_name: str) -> None:
        """A host that is prepared for a port has it plugged: who waits for that before a server moves is told."""
        self._prepared[port_id, host_name] = None
        self._stirred.set()

    async def run(self) -> None:
        """Follow and send, until cancelled."""
        await self._recall()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._follow(), name="compute-follow")
            tasks.create_task(self._send(), name="compute-send")

    async def _recall(self) -> None:
        """What was observed shortly before this start may not have been told."""
        oldest_ms = self._now_ms() - RECENT_S * 1000
        for host in await self._store.reader.list(Host):
            for port in await self._store.observations.ports_of_host(host.id):
                if port.status == _ACTIVE and port.realized_at_ms < oldest_ms:
                    self._status[port.port_id] = port.status
                else:
                    self._seen[port.port_id] = None
        self._stirred.set()

    async def _follow(self) -> None:
        position = kept = await self._position()
        await self._keep(position)
        self.follows = True
        while True:
            try:
                await self._store.wait_beyond(position)
                cuts = await self._store.follow(position, _CUTS_MAX)
                for cut in cuts:
                    await self._take(cut.changes)
                position = cuts[-1].revision if cuts else position
                if self._waiting or position - kept >= _KEEP_EVERY:
                    # The position is stored when all it covers was taken, so that a crash repeats rather than loses.
                    self._stirred.set()
                    await self._emptied.wait()
                    await self._keep(position)
                    kept = position
            except TooOld as error:
                log.warning("log_outrun", reason=str(error))
                position = (await self._store.head()).revision
            except Unavailable as error:
                log.warning("store_unavailable", reason=error.message)
                await asyncio.sleep(error.retry_after_s)

    async def _position(self) -> int:
        async def load(tx: Transaction) -> bytes | None:
            return await tx.load(_SPACE, _KEY)

        found = (await self._store.write(load)).value
        return int(found) if found is not None else (await self._store.head()).revision

    async def _keep(self, position: int) -> None:
        async def save(tx: Transaction) -> None:
            tx.save(_SPACE, _KEY, str(position).encode())

        await self._store.write(save)

    async def _take(self, changes: Iterable[Change]) -> None:
        moved: dict[str, None] = {}
        for change in changes:
            if change.kind == "port":
                for one in events.of_port(change):
                    self._add(one)
                if change.after is None:
                    self._status.pop(change.id, None)
            elif isinstance(change.before, FloatingIp) or isinstance(change.after, FloatingIp):
                moved |= dict.fromkeys(events.ports_of_floating_ip(change))
        for port in (await self._store.reader.find_many(Port, list(moved))).values():
            if events.is_of_server(port):
                self._add(events.changed(port))

    def _add(self, one: Event) -> None:
        """Put an event in its place; an earlier one of the same name is repeated, not kept twice."""
        if one.name in (events.PLUGGED, events.UNPLUGGED):
            # Of the two the later one is true.
            self._waiting.pop((events.PLUGGED, one.tag), None)
            self._waiting.pop((events.UNPLUGGED, one.tag), None)
        self._waiting.pop((one.name, one.tag), None)
        self._waiting[one.name, one.tag] = one
        self._emptied.clear()

    async def _send(self) -> None:
        pause_s = self._retry_min_s
        while True:
            await self._stirred.wait()
            self._stirred.clear()
            try:
                await self._judge()
                await self._judge_prepared()
                while self._waiting:
                    await self._deliver(list(self._waiting.values())[:BATCH_MAX])
                pause_s = self._retry_min_s
                self._emptied.set()
            except (ConnectionError, Unavailable) as error:
                log.warning(
                    "compute_unreachable", reason=str(error), waiting=len(self._waiting), retry_s=pause_s
                )
                self._stirred.set()
                await asyncio.sleep(pause_s)
                pause_s = min(pause_s * 2, RETRY_MAX_S)
                continue
            await asyncio.sleep(self._gather_s)

    async def _judge(self) -> None:
        """Turn what was seen of ports into events, by what is true now."""
        ids = list(self._seen)
        rows = await self._store.reader.find_many(Port, ids)
        facts = await self._store.observations.ports(ids)
        for id in ids:
            self._seen.pop(id, None)
        for id in ids:
            port, fact = rows.get(id), facts.get(id)
            if port is None:
                self._status.pop(id, None)
                continue
            status = "DOWN" if fact is None else fact.status
            before = self._status.get(id)
            self._status[id] = status
            if not events.is_of_server(port) or before == status:
                continue
            if fact is not None and status == _ACTIVE:
                if fact.binding_generation == port.binding_generation:
                    self._add(events.plugged(port))
                else:
                    # Observed of an earlier binding: the present one has its own observation to come.
                    del self._status[id]
            elif before == _ACTIVE and (fact is None or not fact.plugged):
                self._add(events.unplugged(port))

    async def _judge_prepared(self) -> None:
        """A second binding's `network-vif-plugged`, if it is still one that stands by."""
        places = list(self._prepared)
        rows = await self._store.reader.find_many(Port, [port_id for port_id, _ in places])
        for place in places:
            self._prepared.pop(place, None)
            port = rows.get(place[0])
            stands_by = port is not None and any(one.host == place[1] for one in extra_of(port).bindings)
            if port is not None and stands_by and events.is_of_server(port):
                self._add(events.plugged(port))

    async def _deliver(self, batch: Sequence[Event]) -> None:
        try:
            refused = await self._compute.send(batch)
        except Rejected as error:
            log.error("compute_events_rejected", reason=str(error), events=len(batch))
            refused = batch
        for one in refused:
            log.info("compute_event_refused", name=one.name, server=one.server_uuid, port=one.tag)
        lost = set(refused)
        for one in batch:
            COMPUTE_EVENTS.labels(one.name, "refused" if one in lost else "taken").inc()
            # One of the same name may have come meanwhile: that one is still to be sent.
            if self._waiting.get((one.name, one.tag)) is one:
                del self._waiting[one.name, one.tag]
