"""What ports did, told to the region once: plugged, unplugged, moved to another port of the switch."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from alcor.bus.interface import PortReport
from alcor.goalstate.item import LocalPort


def with_subports(vifs: Collection[str], known: Mapping[str, LocalPort]) -> set[str]:
    """The ids with a VIF: those of the VIFs, and of the subports whose parent has one. Cost: O(ports)."""
    subports = {id for id, port in known.items() if port.trunk is not None and port.trunk.port_id in vifs}
    return subports.union(vifs)


@dataclass(slots=True)
class PortLedger:
    """The last transition of each known port, and which of them the present stream has been told.

    A port is reported plugged only after the barrier that confirmed its flows, and only if it is open: what a
    closed port does is not yet anybody's business (I14).
    """

    last: dict[str, PortReport] = field(default_factory=dict)
    unplugged_ms: dict[str, float] = field(default_factory=dict)
    _untold: set[str] = field(default_factory=set)
    _left: dict[str, PortReport] = field(default_factory=dict)
    _is_fresh: bool = True

    def new_stream(self) -> None:
        """Nothing has been told: the next reports say where every known port stands."""
        self._untold = set(self.last)
        # A new stream begins with nobody plugged.
        self._left.clear()
        self._is_fresh = True

    def unplugged(self, port_id: str, at_ms: float) -> None:
        """A VIF went; told at the next barrier, with the time of the unplugging."""
        self.unplugged_ms[port_id] = at_ms

    def observe(
        self,
        plugged: Mapping[str, int],
        present: Collection[str],
        known: Collection[str],
        at_ms: float,
    ) -> None:
        """Note the transitions that a barrier at `at_ms` (unix milliseconds) confirmed.

        `plugged`: open port → ofport, as the barrier confirmed; `present`: ids with a VIF now; `known`: ids of
        the view.
        """
        for port_id, ofport in plugged.items():
            told = self.last.get(port_id)
            if told is None or not told.plugged or told.ofport != ofport:
                self._set(PortReport(port_id, True, ofport, at_ms))
        for port_id in [id for id in self.last if id not in known]:
            # Its VIF is not looked after any more: bound here again, it must not count as plugged by what was (I14).
            if self.last.pop(port_id).plugged:
                self._left[port_id] = PortReport(port_id, False, 0, at_ms)
            self._untold.discard(port_id)
        absent = [id for id, told in self.last.items() if told.plugged and id not in present]
        # On a new stream also those that were never plugged: the region may remember otherwise.
        absent += [id for id in known if id not in self.last and id not in present] if self._is_fresh else []
        for port_id in absent:
            self._set(PortReport(port_id, False, 0, self.unplugged_ms.get(port_id, at_ms)))
        self.unplugged_ms.clear()

    def take(self) -> tuple[PortReport, ...]:
        """What the open stream has not been told yet."""
        self._is_fresh = False
        told = self._left | {port_id: self.last[port_id] for port_id in self._untold}
        self._left.clear()
        self._untold.clear()
        return tuple(told[port_id] for port_id in sorted(told))

    def _set(self, report: PortReport) -> None:
        self.last[report.port_id] = report
        self._untold.add(report.port_id)
