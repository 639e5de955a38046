"""Asks the packet handlers, and keeps their appointments; sends nothing itself."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from alcor.agent.advertise import Due, Timetable
from alcor.agent.allocation import LocalNumbers, Numbered
from alcor.agent.answer.dispatch import Budget
from alcor.agent.driver import PacketIn
from alcor.agent.handler import Confirmed, Desk, Outcome, PacketHandler, Punt
from alcor.pipeline.tables import INGRESS, NETWORK, ROUTER
from alcor.pipeline.view import Allocation, View
from alcor.telemetry.log import get_log
from alcor.telemetry.metrics import PUNTS

log = get_log("agent")

_INGRESS, _NETWORK, _ROUTER = INGRESS.name.lower(), NETWORK.name.lower(), ROUTER.name.lower()


def punt_of(packet: PacketIn, numbers: LocalNumbers) -> Punt:
    """A punted packet with the owners of the numbers in its registers."""
    fields = packet.fields
    return Punt(
        packet,
        numbers.owner_of(Numbered.PORT, fields.get(_INGRESS, 0)),
        numbers.owner_of(Numbered.NETWORK, fields.get(_NETWORK, 0)),
        numbers.owner_of(Numbered.ROUTER, fields.get(_ROUTER, 0)),
    )


class HandlerDesk:
    """The handlers of one agent. A handler that fails costs its packet or its appointment, never the agent."""

    def __init__(self, handlers: Iterable[PacketHandler], budget: Budget, now_s: Callable[[], float]) -> None:
        """`budget`: how many packets of one port are handled; `now_s`: monotonic seconds."""
        self._handlers = {handler.name: handler for handler in handlers}
        self._budget, self._now_s = budget, now_s
        self._of_table: dict[int, list[PacketHandler]] = {}
        for handler in self._handlers.values():
            for table in handler.tables:
                self._of_table.setdefault(int(table), []).append(handler)
        self._timetable = Timetable()
        self.counts: dict[str, int] = {}

    @property
    def handlers(self) -> Iterable[PacketHandler]:
        """All of them."""
        return self._handlers.values()

    @property
    def complaints(self) -> tuple[str, ...]:
        """What is wrong with handlers now, in sentences."""
        return tuple(said for handler in self.handlers if (said := handler.complaint()))

    def handle(self, punt: Punt, view: View, allocation: Allocation) -> Outcome | None:
        """What a punted packet leads to; None if no handler wants it.

        Packets of one port, or of one network where they are no local port's, are handled at most at the budget's rate.
        """
        for handler in self._of_table.get(punt.packet.table, ()):
            outcome: Outcome | None = Outcome("failed")
            with self._guard(handler):
                outcome = handler.handle(punt, view, allocation)
            if outcome is not None:
                if not self._budget.take(punt.port_id or f"network/{punt.network_id}"):
                    return self._kept(handler, Outcome("over_rate"))
                return self._kept(handler, outcome)
        return None

    def noted(self, confirmed: Confirmed, view: View, allocation: Allocation) -> list[Outcome]:
        """Tell all handlers what a turn confirmed."""
        outcomes = []
        for handler in self._handlers.values():
            with self._guard(handler):
                outcomes.append(self._kept(handler, handler.noted(confirmed, view, allocation)))
        return outcomes

    def due(self, view: View, allocation: Allocation) -> list[Outcome]:
        """What follows from the appointments that have come."""
        outcomes = []
        for name, subject in self._timetable.take(self._now_s()):
            handler = self._handlers[name]
            with self._guard(handler):
                outcomes.append(self._kept(handler, handler.due(subject, view, allocation)))
        return outcomes

    def keep(self, handler: PacketHandler, outcome: Outcome) -> None:
        """Count an outcome, and note its appointments."""
        self._kept(handler, outcome)

    def own(self, handler: PacketHandler, agent: Desk) -> Desk:
        """The agent as this handler's own task sees it: what it makes known is counted as the handler's."""
        return _OwnDesk(agent, self, handler)

    def next_s(self) -> float | None:
        """When the next appointment comes; None if there is none."""
        return self._timetable.next_s()

    @contextmanager
    def _guard(self, handler: PacketHandler) -> Iterator[None]:
        """The edge of a handler: what it did not foresee must not end the agent."""
        try:
            yield
        except Exception:
            log.exception("handler_failed", handler=handler.name)

    def _kept(self, handler: PacketHandler, outcome: Outcome) -> Outcome:
        if outcome.kind:
            self.counts[outcome.kind] = self.counts.get(outcome.kind, 0) + 1
            PUNTS.labels(outcome.kind).inc()
        for subject, after_s in outcome.later:
            self._timetable.put(Due(handler.name, subject), self._now_s() + after_s)
        return outcome


@dataclass(frozen=True, slots=True)
class _OwnDesk:
    """See `HandlerDesk.own`."""

    agent: Desk
    desk: HandlerDesk
    handler: PacketHandler

    @property
    def view(self) -> View:
        """As `Desk`."""
        return self.agent.view

    @property
    def allocation(self) -> Allocation:
        """As `Desk`."""
        return self.agent.allocation

    def carry_out(self, outcome: Outcome) -> None:
        """As `Desk`."""
        self.desk.keep(self.handler, outcome)
        self.agent.carry_out(outcome)
