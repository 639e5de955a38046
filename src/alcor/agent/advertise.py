"""When something is due again: the one timetable of the agent, and the handler of router advertisements.

Source of the intervals: RFC 4861, section 6.2.4.
"""

import heapq
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from alcor.agent.answer.dispatch import Answerer
from alcor.agent.answer.router_advertisement import INTERVAL_S_MAX, INTERVAL_S_MIN
from alcor.agent.handler import NOTHING, Appointment, Confirmed, Frame, Outcome, PacketHandler
from alcor.goalstate.item import ItemKind
from alcor.goalstate.router_item import RouterItem
from alcor.pipeline.feature import ItemChange
from alcor.pipeline.view import Allocation, View

_ADVERTISED_KINDS = frozenset((ItemKind.SUBNET, ItemKind.NETWORK, ItemKind.REGION))


class Due(NamedTuple):
    """Something to be done: a handler's name, and its subject."""

    handler: str
    subject: str


@dataclass(slots=True)
class Timetable:
    """Due times. Shape: an entry of the heap that `due_s` does not confirm is void. Cost: O(log n) per entry."""

    due_s: dict[Due, float] = field(default_factory=dict)
    _heap: list[tuple[float, Due]] = field(default_factory=list)

    def put(self, what: Due, due_s: float) -> None:
        """Make or move an appointment."""
        self.due_s[what] = due_s
        heapq.heappush(self._heap, (due_s, what))

    def take(self, now_s: float) -> list[Due]:
        """What is due, the earliest first; it is not in the table any more."""
        found: list[Due] = []
        while self._heap and self._heap[0][0] <= now_s:
            due_s, what = heapq.heappop(self._heap)
            if self.due_s.get(what) == due_s:
                del self.due_s[what]
                found.append(what)
        return found

    def next_s(self) -> float | None:
        """When the next is due; None if nothing is."""
        while self._heap and self.due_s.get(self._heap[0][1]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None


def advertiser(answerer: Answerer, random: Callable[[], float]) -> PacketHandler:
    """Unsolicited router advertisements: at once to a port that was plugged, or when what is advertised has changed;
    then at random intervals. A port whose network advertises nothing costs a look-up at each of them.
    """
    known: set[str] = set()

    def due(port_id: str, view: View, allocation: Allocation) -> Outcome:
        if port_id not in known:
            return NOTHING
        answer = answerer.advertise(port_id, view, allocation)
        frames = () if answer is None else (Frame(answer.frame, answer.ofport, port_id),)
        spread = INTERVAL_S_MAX - INTERVAL_S_MIN
        again = Appointment(port_id, INTERVAL_S_MIN + random() * spread)
        return Outcome(frames=frames, later=(again,))

    def noted(confirmed: Confirmed, view: View, allocation: Allocation) -> Outcome:
        at_once = set(confirmed.plugged) - known
        known.clear()
        known.update(confirmed.plugged)
        networks = {network_id for change in confirmed.items for network_id in _advertised(change, view)}
        networks |= {
            interface.network_id
            for change in confirmed.items
            for router in (change.before, change.after)
            if isinstance(router, RouterItem)
            for interface in router.interfaces
        }
        at_once |= {id for network_id in networks for id in view.ports_of(network_id) if id in known}
        return Outcome(later=tuple(Appointment(port_id, 0.0) for port_id in sorted(at_once)))

    return PacketHandler("router_advertisement", due=due, noted=noted)


def _advertised(change: ItemChange, view: View) -> Iterable[str]:
    """The networks whose advertisements a change may concern."""
    if change.key.kind is ItemKind.ROUTER:
        routers = (item for item in (change.before, change.after) if isinstance(item, RouterItem))
        return {interface.network_id for router in routers for interface in router.interfaces}
    if change.key.kind not in _ADVERTISED_KINDS:
        return ()
    return view.networks if not change.scope.id else (change.scope.id,)
