"""When each plugged port gets an unsolicited router advertisement. Source: RFC 4861, section 6.2.4."""

import heapq
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field

from alcor.agent.answer.router_advertisement import INTERVAL_S_MAX, INTERVAL_S_MIN


@dataclass(slots=True)
class Timetable:
    """Due times by port. Shape: one live heap entry per port; an entry that `due_s` does not confirm is void."""

    random: Callable[[], float]
    due_s: dict[str, float] = field(default_factory=dict)
    _heap: list[tuple[float, str]] = field(default_factory=list)

    def at_once(self, port_ids: Iterable[str], now_s: float) -> None:
        """Advertise to these now: they were just plugged, or what is advertised to them has changed."""
        for port_id in port_ids:
            self._set(port_id, now_s)

    def keep(self, port_ids: Collection[str]) -> None:
        """Forget all other ports."""
        for port_id in [id for id in self.due_s if id not in port_ids]:
            del self.due_s[port_id]

    def take(self, now_s: float) -> list[str]:
        """The ports that are due; each is due again after a random interval."""
        found = []
        while self._heap and self._heap[0][0] <= now_s:
            due_s, port_id = heapq.heappop(self._heap)
            if self.due_s.get(port_id) == due_s:
                found.append(port_id)
        for port_id in found:
            spread = INTERVAL_S_MAX - INTERVAL_S_MIN
            self._set(port_id, now_s + INTERVAL_S_MIN + self.random() * spread)
        return found

    def next_s(self) -> float | None:
        """When the next port is due; None if there is none."""
        while self._heap and self.due_s.get(self._heap[0][1]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def _set(self, port_id: str, due_s: float) -> None:
        self.due_s[port_id] = due_s
        heapq.heappush(self._heap, (due_s, port_id))
