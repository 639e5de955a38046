"""Ports that have just moved away: for a moment, what still arrives for them here is sent on to where they are."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from alcor.goalstate.item import Item, LocalPort, Neighbour
from alcor.pipeline.feature import ItemChange
from alcor.pipeline.live import is_remote
from alcor.pipeline.view import View

# Until every other host has heard of the move: knowledge takes tens of milliseconds, a gap and its answer a second.
FORWARDING_S = 5.0


@dataclass(slots=True)
class Departures:
    """The ports that left this host within the last `FORWARDING_S`.

    Shape: `ports`: port id → VTEP, of those whose new host is known (`Allocation.forwarding`); `_left`: port id →
    (network id, when it is forgotten). Cost: O(changes); one look-up per port that leaves.
    """

    now_s: Callable[[], float]
    ports: dict[str, str]
    _left: dict[str, tuple[str, float]] = field(default_factory=dict)

    def note(self, changes: Iterable[ItemChange], view: View) -> set[str]:
        """Returns the ports that are forwarded, or no longer are, because of a batch. `view`: after it."""
        concerned: set[str] = set()
        for change in changes:
            if isinstance(change.before, LocalPort) or isinstance(change.after, LocalPort):
                concerned |= self._note_port(change.before, change.after)
            elif isinstance(change.before, Neighbour) or isinstance(change.after, Neighbour):
                concerned |= {change.key.id} & self._left.keys()
        return {port_id for port_id in concerned if self._place(port_id, view)}

    def _note_port(self, before: Item | None, after: Item | None) -> set[str]:
        port = before if isinstance(before, LocalPort) else after
        assert isinstance(port, LocalPort)
        was_here = isinstance(before, LocalPort) and before.is_active
        if isinstance(after, LocalPort) and after.is_active:
            self._left.pop(port.id, None)
        elif was_here:
            self._left[port.id] = (port.network_id, self.now_s() + FORWARDING_S)
        return {port.id}

    def _place(self, port_id: str, view: View) -> bool:
        """Set or forget where a port is forwarded to; True if that changed."""
        before, vtep = self.ports.get(port_id), None
        if port_id in self._left:
            network = view.networks.get(self._left[port_id][0])
            neighbour = network.neighbours.get(port_id) if network is not None else None
            if neighbour is not None and is_remote(neighbour.vtep, view):
                vtep = neighbour.vtep
        if vtep is None:
            self.ports.pop(port_id, None)
        else:
            self.ports[port_id] = vtep
        return vtep != before

    def expire(self) -> set[str]:
        """Forget those that left too long ago; returns the ports that are no longer forwarded."""
        return set(self._expired())

    def _expired(self) -> Iterator[str]:
        now = self.now_s()
        for port_id in [id for id, (_, until) in self._left.items() if until <= now]:
            del self._left[port_id]
            if self.ports.pop(port_id, None) is not None:
                yield port_id

    def next_s(self) -> float | None:
        """When the next one is forgotten; None if there is none."""
        return min((until for _, until in self._left.values()), default=None)
