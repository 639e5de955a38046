"""The agent of one host: its loops and what joins them.

    switch events ─┐                                   ┌─ frames of handlers (DHCP, ARP, ICMP errors …)
                   ├─ view, numbers, hold ─ turn ──────┤
    stream ────────┘   (state, immediate)   (awaits)   └─ acknowledgement after the barrier

All state changes happen between two awaits of one event loop. Work is coalesced: however much arrives while a turn
waits for the switch, the next turn does it at once. Cancelling `run` leaves all flows as they are.
"""

import asyncio
import time
from collections import ChainMap, Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, assert_never

from alcor.agent.acknowledge import Acknowledged, TurnTimes
from alcor.agent.advertise import advertiser
from alcor.agent.allocation import LocalNumbers
from alcor.agent.answer.dispatch import Answerer
from alcor.agent.answer.registry import MAKERS, handlers
from alcor.agent.desk import HandlerDesk, punt_of
from alcor.agent.driver import (
    Connected,
    FlowsRefused,
    InternalPort,
    Lost,
    PacketIn,
    Switch,
    SwitchError,
    SwitchEvent,
    TunnelHealth,
    VifsChanged,
)
from alcor.agent.handler import AddressClaimed, Frame, Maker, Outcome, PacketHandler, Tools
from alcor.agent.hold import Hold
from alcor.agent.inquiry import Inquiry
from alcor.agent.look import Look
from alcor.agent.loss import Losses
from alcor.agent.on_demand import Asker, LookupTimes
from alcor.agent.part import OWN, Part
from alcor.agent.reconcile import Reconciler, Turn
from alcor.agent.report import PortLedger, with_subports
from alcor.agent.sender import Sender
from alcor.agent.session import Session, Step, full_jitter
from alcor.agent.silent import SilentOpeners
from alcor.agent.status import facts_of
from alcor.agent.translation import StaleTranslations
from alcor.agent.usage import Usage
from alcor.agent.view import Changes, HostView
from alcor.agent.waiting import Waiting
from alcor.agent.warm import Warmer
from alcor.bus.interface import (
    AgentConnector,
    ClaimReport,
    Heartbeat,
    Hello,
    ItemCodec,
    PortReport,
    Question,
    Reply,
    Welcome,
)
from alcor.goalstate.item import ItemKind
from alcor.model.host import SWITCH_GONE
from alcor.pipeline.compile import Compiler, unit_flows
from alcor.pipeline.gateway import succeeded
from alcor.pipeline.tables import Table
from alcor.pipeline.view import Allocation, View
from alcor.telemetry.log import get_log

log = get_log("agent")

REPAIR_S_BASE = 0.05
REPAIR_S_MAX = 5.0
# How long a port that the switch could not make (a bridge that is not there) is left alone.
PROVIDE_AGAIN_S = 5.0
HANDLER_RETRY_S = 1.0
_SERVED_KINDS = frozenset((ItemKind.ROUTER, ItemKind.GATEWAY))


class Agent:
    """Programs one switch from its region's goal state."""

    def __init__(
        self,
        connector: AgentConnector,
        switch: Switch,
        codec: ItemCodec,
        *,
        host_id: str,
        token: Callable[[], str],
        version: str,
        now_ms: Callable[[], float],
        random: Callable[[], float],
        release_hold: bool = False,
        metadata: InternalPort | None = None,
        makers: Sequence[Maker] = MAKERS,
        part: Part = OWN,
        compiler: Compiler = unit_flows,
        monotonic_s: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        lookup: LookupTimes = LookupTimes(),
    ) -> None:
        """`now_ms`: unix milliseconds; `random`: uniform in [0, 1); `release_hold`: never hold a deletion.

        `token`: what a hello proves the host by; raises ConnectionError. `metadata`: the port of the host's metadata
        service, None if it has none; `makers`: of packet handlers; `compiler`: of units; `lookup`: see `Asker`.
        """
        self._host_id, self._token, self._version = host_id, token, version
        self._switch, self._now_ms, self._random = switch, now_ms, random
        self._monotonic_s, self._sleep, self._part = monotonic_s, sleep, part
        self._view = HostView(host_id, codec)
        self.asker = Asker(
            is_lazy=self._view.lazy,
            held=self._view.lazy_held,
            digest=self._view.digest,
            monotonic_s=monotonic_s,
            random=random,
            woken=lambda: self._asking.set(),
            times=lookup,
        )
        """Who is asked about scopes that are held on demand."""
        self._numbers = LocalNumbers(monotonic_s)
        self._hold = Hold(is_released=release_hold)
        self._reconciler = Reconciler(
            switch, self._view, self._numbers, self._hold, metadata=metadata, compiler=compiler
        )
        self._session = Session(connector, self, random=random, sleep=sleep)
        look = Look(switch, self._numbers.allocation).answer
        self._inquiry = Inquiry({"status": self._tell_status, "trace": look, "held": self._hold.tell})
        self._ledger = PortLedger()
        self._answerer = Answerer(monotonic_s)
        own = handlers(Tools(host_id, monotonic_s, random, sleep), makers)
        handling = (*own, advertiser(self._answerer, random)) if part.serves else ()
        self._desk = HandlerDesk(handling, self._answerer.budget, monotonic_s)
        known, local = self._view.resolved, self._numbers.allocation
        self._sender = Sender(switch, known, local)
        self._waiting = Waiting(self.asker.ask, self._numbers, monotonic_s, sleep)
        self._usage = Usage(switch, known, local, self.asker, self._view.lazy_keys, sleep, lookup.look_s)
        self._silent, self._translations = SilentOpeners(switch), StaleTranslations(switch)
        # The last claim of each address that a local port made, told again whenever the region is reached anew.
        self._claims: dict[tuple[str, str], ClaimReport] = {}
        self._losses = Losses(monotonic_s, now_ms)
        self._acknowledged, self._times = Acknowledged(), TurnTimes(monotonic_s)
        self._warmer = Warmer(switch)
        self._wake, self._switch_back, self._appointed, self._asking = (asyncio.Event() for _ in range(4))
        self._switch_error = "the switch has not answered yet"
        self._turns, self._settled_ms, self._started_ms = 0, 0.0, now_ms()

    # --- the session's owner ---------------------------------------------------------------------------

    def hello(self) -> Hello:
        """Who we are and what we hold."""
        return Hello(
            host_id=self._host_id,
            token=self._token(),
            agent_version=self._version,
            epoch=self._view.epoch or self._numbers.epoch,
            positions=self._view.offer(),
            held=self._view.lazy_keys(),
            sought={} if self._view.has_host else self._reconciler.peers.sought,
            rescues=self._part.rescues,
            rescuer_id=self._part.rescuer_id,
            lease=self._part.lease,
        )

    def welcomed(self, welcome: Welcome) -> None:
        """A stream is open: everything is told anew on it. Raises: ValueError if it would lead backwards (I9)."""
        known = max(self._view.epoch, self._numbers.epoch)
        if welcome.epoch < known:
            raise ValueError(f"the region is in epoch {welcome.epoch}, this host has seen {known}")
        self._view.begin(welcome.epoch)
        self.asker.begun()
        self._reconciler.note(Changes())
        self._ledger.new_stream()
        ports = self._view.resolved.ports
        self._claims = {id: claim for id, claim in self._claims.items() if claim.port_id in ports}
        self._session.claim(tuple(self._claims.values()))
        self._session.lose(self._losses.told())
        self._acknowledged.new_stream()
        self._wake.set()

    def received(self, steps: Sequence[Step]) -> None:
        """Goal state arrived."""
        self._times.arrived()
        changes = self._view.apply(steps)
        self.asker.noted(changes)
        self._waiting.noted(changes)
        if changes.turned:
            self._usage.begin()
        self._reconciler.note(changes)
        if any(change.key.kind in _SERVED_KINDS for change in changes.items):
            self._losses.routers_changed()
        self._session.resume(changes.resume)
        self._warmer.noted(changes.items)
        self._wake.set()

    async def answer(self, question: Question) -> Reply:
        """Look, and say."""
        return await self._inquiry.answer(question)

    async def _tell_status(self, _: Mapping[str, Any]) -> Mapping[str, Any]:
        return self.status()

    def health(self) -> Heartbeat:
        """What the region is told of the switch and of the paths from it."""
        return Heartbeat(self.detail(), self._losses.paths(), self._hold.settled)

    def detail(self) -> str:
        """One sentence about the switch, or what a handler complains of; empty if all is well."""
        reconciler = self._reconciler
        sentences = (
            self._part.sentence,
            self._switch_error,
            reconciler.complaint,
            reconciler.quarantine.sentence,
            self._hold.sentence,
            *self._desk.complaints,
        )
        return "; ".join(sentence for sentence in sentences if sentence)

    # --- the loops -------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Work until cancelled; the switch keeps all flows."""
        try:
            async with asyncio.TaskGroup() as group:
                for loop in (
                    self._listen(),
                    self._attach(),
                    self._work(),
                    self._sender.run(),
                    self._waiting.run(),
                    self._usage.run(),
                    self._keep_time(),
                    self._ask(),
                    self._silent.run(self.view, self.allocation),
                    self._translations.run(self.allocation),
                    *(self._run(handler) for handler in self._desk.handlers),
                ):
                    group.create_task(loop)
        finally:
            await self._switch.close()

    async def _attach(self) -> None:
        await self._reconciler.peers.known()
        await self._session.run()

    def release_hold(self) -> None:
        """The present state is right: let held deletions go."""
        log.warning("hold_released", held=self._hold.sentence)
        self._hold.release()
        self._wake.set()

    async def _listen(self) -> None:
        async for event in self._switch.events():
            self._on(event)

    def _on(self, event: SwitchEvent) -> None:
        match event:
            case Connected():
                if not self._view.has_host:
                    # Else the first barrier says that all is well again.
                    self._switch_error = ""
                self._reconciler.connected()
                self._switch_back.set()
                self._warmer.connected()
                self._wake.set()
                log.debug("switch_connected")
            case Lost(reason):
                self._switch_error = f"{SWITCH_GONE}: {reason}"
                self._reconciler.lost()
                self._losses.forget()
                self._session.beat()
                log.debug("switch_lost", reason=reason)
            case VifsChanged(ofports):
                for port_id in self._reconciler.vifs_changed(ofports):
                    self._ledger.unplugged(port_id, self._now_ms())
                    self._answerer.budget.forget(port_id)
                self._wake.set()
            case TunnelHealth(vtep, is_up):
                log.info("tunnel_health", vtep=vtep, is_up=is_up, was_up=event.was_up)
                self._reconciler.tunnel_health(event)
                if self._losses.health(vtep, is_up=is_up):
                    self._session.beat()
                self._appointed.set()
                self._wake.set()
            case PacketIn():
                self._on_packet(event)
            case _:
                assert_never(event)

    def _on_packet(self, packet: PacketIn) -> None:
        if packet.table == Table.ASK_HOST:
            self._sender.send(self._waiting.punted(packet, self.view))
            return
        if not self._part.serves:
            return
        punt = punt_of(packet, self._numbers)
        outcome = self._desk.handle(punt, self.view, self.allocation)
        if outcome is not None:
            self.carry_out(outcome)
        elif packet.table == Table.PUNT_PORT:
            answer = self._answerer.answer(packet, punt.port_id, self.view, self.allocation)
            if answer is not None:
                self._sender.send((Frame(answer.frame, answer.ofport, answer.port_id),))

    # --- what handlers see of the agent ----------------------------------------------------------------

    @property
    def view(self) -> View:
        """What is known now; not to be kept or changed."""
        return self._view.resolved

    @property
    def allocation(self) -> Allocation:
        """The local numbers now; not to be kept or changed."""
        return self._numbers.allocation

    def carry_out(self, outcome: Outcome) -> None:
        """Send, find and observe; at once returns. Appointments are kept by the desk."""
        self._sender.send(outcome.frames)
        if outcome.findings and self._reconciler.found(outcome.findings):
            self._wake.set()
        for claim in outcome.observations:
            self._claim(claim)
        if outcome.later:
            self._appointed.set()

    def _claim(self, claim: AddressClaimed) -> None:
        report = ClaimReport(*claim, at_ms=float(self._now_ms()))
        self._claims[report.subject] = report
        self._session.claim((report,))

    def _tell_losses(self) -> None:
        self._losses.watch(vtep for _, vtep in self.allocation.probes)
        self._session.lose(self._losses.due(lambda: succeeded(self.view, self.allocation)))

    async def _work(self) -> None:
        """Turns, one after another; after a refusal the whole switch is compared again, later and later."""
        failures = 0
        while True:
            await self._wake.wait()
            self._wake.clear()
            self._times.begun()
            version = self._waiting.version
            try:
                turn = await self._reconciler.turn()
            except FlowsRefused as error:
                # What was refused is left out by now, so there is no reason to wait long.
                failures = 0
                self._refused(str(error))
            except SwitchError as error:
                self._refused(str(error))
            except Exception as error:
                # The edge of the loop: whatever went wrong, everything is computed and compared anew.
                log.exception("turn_failed")
                self._refused(f"{type(error).__name__}: {error}")
            else:
                failures = 0
                self._turns += 1
                if turn is not None:
                    confirmed_ms = self._now_ms()
                    self._times.confirmed()
                    self._sender.send(self._waiting.confirmed(version, self.view))
                    if self.allocation.tunnels:
                        await self._warmer.warm(self.view)
                    self._done(turn, confirmed_ms)
                else:
                    self._times.undone()
                continue
            self._times.undone()
            await self._pause(full_jitter(failures, self._random, base_s=REPAIR_S_BASE, max_s=REPAIR_S_MAX))
            failures += 1
            self._wake.set()

    def _refused(self, reason: str) -> None:
        if self._reconciler.is_connected:
            if reason != self._switch_error:
                log.error("install_refused", reason=reason)
            self._switch_error = reason
            self._session.beat()
        self._reconciler.distrust()

    async def _pause(self, delay_s: float) -> None:
        """Wait, but not longer than until the switch is back."""
        self._switch_back.clear()
        sleeping = asyncio.ensure_future(self._sleep(delay_s))
        back = asyncio.ensure_future(self._switch_back.wait())
        try:
            await asyncio.wait((sleeping, back), return_when=asyncio.FIRST_COMPLETED)
        finally:
            sleeping.cancel()
            back.cancel()
            await asyncio.gather(sleeping, back, return_exceptions=True)

    def _done(self, turn: Turn, confirmed_ms: float) -> None:
        """The barrier replied at `confirmed_ms`: tell the region, and do what follows from it."""
        if self._switch_error and self._reconciler.is_connected:
            self._switch_error = ""
            self._session.beat()
        if self._hold.has_news():
            self._session.beat()
        if not self._settled_ms and self._reconciler.is_swept and self._view.in_sync:
            self._settled_ms = confirmed_ms
        view, allocation = self._view.resolved, self._numbers.allocation
        known = ChainMap(view.ports, view.closed)
        # Of a port that is left out nobody shall think that it is there.
        present = with_subports(allocation.ofports, known) - self._reconciler.quarantine.ports(view)
        self._ledger.observe(turn.plugged, present, known, confirmed_ms)
        if self._session.is_open:
            self._acknowledge(turn, self._ledger.take())
        self._silent.note(turn.confirmed, view)
        self._translations.note(turn.confirmed)
        for outcome in self._desk.noted(turn.confirmed, view, allocation):
            self.carry_out(outcome)
        # Also for what is true only for a time since this turn.
        self._appointed.set()

    def _acknowledge(self, turn: Turn, reports: Sequence[PortReport]) -> None:
        self._session.acknowledge(
            turn.epoch,
            self._acknowledged.news(turn.epoch, turn.realized),
            reports,
            receive_ms=self._times.receive_ms,
            install_ms=self._times.install_ms,
        )

    async def _keep_time(self) -> None:
        """What is due: appointments of handlers, what is true only for a time, ports that could not be made."""
        retry_s: float | None = None
        while True:
            now = self._monotonic_s()
            if not self._reconciler.complaint:
                retry_s = None
            elif retry_s is None:
                retry_s = now + PROVIDE_AGAIN_S
            dues = (self._desk.next_s(), self._reconciler.expires_s, self._losses.next_s, retry_s)
            next_s = min((due for due in dues if due is not None), default=None)
            try:
                async with asyncio.timeout(None if next_s is None else max(0.0, next_s - now)):
                    await self._appointed.wait()
            except TimeoutError:
                pass
            self._appointed.clear()
            for outcome in self._desk.due(self.view, self.allocation):
                self.carry_out(outcome)
            self._tell_losses()
            if self._reconciler.expire():
                self._wake.set()
            if retry_s is not None and retry_s <= self._monotonic_s():
                retry_s = None
                self._reconciler.provide_again()
                self._wake.set()

    async def _ask(self) -> None:
        """Send what the asker has gathered; what is due while there is no stream waits for the next."""
        while True:
            next_s = self.asker.next_s() if self._session.is_open else None
            try:
                wait_s = None if next_s is None else max(0.0, next_s - self._monotonic_s())
                async with asyncio.timeout(wait_s):
                    await self._asking.wait()
            except TimeoutError:
                self._session.ask(self.asker.take())
            self._asking.clear()

    async def _run(self, handler: PacketHandler) -> None:
        """A handler's own task, begun again when it ends or fails."""
        while handler.run is not None:
            try:
                await handler.run(self._desk.own(handler, self))
            except Exception:
                # The edge of the handler: its sockets may fail, the agent goes on.
                log.exception("handler_failed", handler=handler.name)
            await self._sleep(HANDLER_RETRY_S)

    # --- status ----------------------------------------------------------------------------------------

    @property
    def confirmed(self) -> int:
        """The revision through which all that this host needs was told to be in its switch; -1: not yet, or no stream.

        Cost: O(scopes held).
        """
        if not (self._session.is_open and self._view.in_sync):
            return -1
        return self._acknowledged.through(self._view.realizable())

    @property
    def settled_ms(self) -> float:
        """When the switch first was as the region says: unix ms; 0: not yet."""
        return self._settled_ms

    def status(self) -> dict[str, Any]:
        """What `alcor-agent status` shows; all values are JSON's.

        Shape: host {id, name, vtep_addresses}, region {state, error, connections, epoch}, switch {connected, error,
        flows, tunnels, providers, lost_vteps}, in_sync, settled_ms (when the switch first was as the region says: unix
        ms; 0: not yet), missing (scopes), hold (sentence), left_out (what → why the switch
        refuses its flows), positions (scope → through), what `facts_of` says, counters.
        """
        allocation, host = self.allocation, self.view.host
        return {
            "host": {
                "id": self._host_id,
                "name": host.name if host is not None else "",
                "vtep_addresses": list(host.vtep_addresses) if host is not None else [],
            },
            "version": self._version,
            "started_ms": self._started_ms,
            "region": {
                "state": self._session.state,
                "error": self._session.error,
                "connections": self._session.connections,
                "epoch": self._view.epoch,
            },
            "switch": {
                "connected": self._reconciler.is_connected,
                "error": self._switch_error or self._reconciler.complaint,
                "flows": len(self._reconciler.flows),
                "tunnels": dict(allocation.tunnels),
                "providers": dict(allocation.providers),
                "lost_vteps": sorted(allocation.lost_vteps),
            },
            "in_sync": self._view.in_sync,
            "settled_ms": self._settled_ms,
            "missing": [str(scope) for scope in self._view.missing()],
            "hold": self._hold.sentence,
            "left_out": self._reconciler.quarantine.shown(),
            "positions": {str(scope): through for scope, through in self._view.positions().items()},
            **facts_of(self._view, allocation),
            "counters": {
                "turns": self._turns,
                "flow_changes": self._reconciler.flow_changes,
                "answers_dropped": self._sender.dropped,
                "connections_forgotten": self._silent.forgotten + self._translations.forgotten,
                "lookups": self.asker.counts | {"held_most": self._waiting.most},
                "punts": Counter(self._answerer.counts) + Counter(self._desk.counts) + self._waiting.counts,
            },
        }
