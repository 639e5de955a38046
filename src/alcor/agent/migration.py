"""Ports that have just moved: what still arrives where they were is sent on; what they brought along is picked up."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from math import ceil

from alcor.goalstate.item import Item, LocalPort, Neighbour
from alcor.pipeline.feature import ItemChange
from alcor.pipeline.live import is_remote
from alcor.pipeline.view import View

# Until every other host has heard of the move: knowledge takes tens of milliseconds, a gap and its answer a second.
FORWARDING_S = 5.0
# Until sessions that were at work have spoken both ways: a lost segment is sent again for longer than a minute.
PICK_UP_S = 120.0
_NAME = "arrived:"


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


@dataclass(slots=True)
class Arrivals:
    """The ports that came to this host by live migration within the last `PICK_UP_S`: a binding became active.

    They are kept beside the local numbers, so that a new agent changes nothing; the clock is the machine's.
    Shape: `ports` (`Allocation.arrived`); `_until`: port id → the second in which it is forgotten; `_kept`: what the
    switch's database has of that. Cost: O(changes).
    """

    now_s: Callable[[], float]
    ports: set[str]
    _until: dict[str, int] = field(default_factory=dict)
    _kept: dict[str, int] = field(default_factory=dict)

    def load(self, kept: Mapping[str, int]) -> set[str]:
        """Adopt what the database has; returns the ports. What is of an earlier life of the machine is not believed."""
        self._kept = {
            name.removeprefix(_NAME): until for name, until in kept.items() if name.startswith(_NAME)
        }
        now = self.now_s()
        found = {id: until for id, until in self._kept.items() if now < until <= now + PICK_UP_S + 1}
        self._until = found | self._until
        self.ports.update(self._until)
        return set(found)

    def to_keep(self) -> tuple[dict[str, int], list[str]]:
        """What is to be put into the database, and the names to remove. Say `kept` when that is done."""
        put = {_NAME + id: until for id, until in self._until.items() if self._kept.get(id) != until}
        return put, [_NAME + id for id in self._kept if id not in self._until]

    def kept(self, put: Mapping[str, int], removed: Iterable[str]) -> None:
        """The database has it."""
        for name in removed:
            self._kept.pop(name.removeprefix(_NAME), None)
        self._kept |= {name.removeprefix(_NAME): until for name, until in put.items()}

    def note(self, changes: Iterable[ItemChange]) -> set[str]:
        """Returns the ports that arrived, or no longer count as arrived, because of a batch."""
        found = set()
        for change in changes:
            before, after = change.before, change.after
            is_here = isinstance(after, LocalPort) and after.is_active
            if is_here and isinstance(before, LocalPort) and not before.is_active:
                self._until[change.key.id] = ceil(self.now_s() + PICK_UP_S)
                self.ports.add(change.key.id)
                found.add(change.key.id)
            elif change.key.id in self.ports and isinstance(before, LocalPort) and not is_here:
                self._forget(change.key.id)
                found.add(change.key.id)
        return found

    def expire(self) -> set[str]:
        """Forget those that came too long ago; returns them."""
        now = self.now_s()
        found = {id for id, until in self._until.items() if until <= now}
        for id in found:
            self._forget(id)
        return found

    def _forget(self, port_id: str) -> None:
        self.ports.discard(port_id)
        del self._until[port_id]

    def next_s(self) -> float | None:
        """When the next one is forgotten; None if there is none."""
        return min(self._until.values(), default=None)
