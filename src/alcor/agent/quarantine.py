"""Units of which the switch refuses a flow: left out, so that all else goes on; tried again later, and later.

A host has thousands of units, and one that the switch will not have must not keep the others from what they need. A
unit that is left out has no flows at all (what is half there could let pass what the whole would not), and the ports
that need it are not confirmed. The shared flows are never left out: without them nothing is right.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from alcor.pipeline.tables import UnitKind
from alcor.pipeline.unit import Unit
from alcor.pipeline.view import View

AGAIN_S_MIN, AGAIN_S_MAX = 30.0, 600.0
# A sentence is for people.
_NAMED_MAX = 3


@dataclass(slots=True)
class _Case:
    """One unit. `is_out`: left out now; else it is being tried again. `until_s`: when it will be."""

    reason: str
    until_s: float
    pause_s: float = AGAIN_S_MIN
    is_out: bool = True


@dataclass(slots=True)
class Quarantine:
    """What is left out. Cost: O(1) for a unit that never was."""

    now_s: Callable[[], float]
    _cases: dict[Unit, _Case] = field(default_factory=dict)

    def isolate(self, units: Iterable[Unit], reason: str) -> bool:
        """Leave units out, of which the switch has refused a flow; whether any was new to it."""
        is_new = False
        for unit in units:
            before = self._cases.get(unit)
            if unit.kind is UnitKind.SHARED or (before is not None and before.is_out):
                continue
            pause_s = AGAIN_S_MIN if before is None else min(before.pause_s * 2, AGAIN_S_MAX)
            self._cases[unit] = _Case(reason, self.now_s() + pause_s, pause_s)
            is_new = True
        return is_new

    def holds(self, unit: Unit) -> bool:
        """Whether a unit is left out."""
        case = self._cases.get(unit) if self._cases else None
        return case is not None and case.is_out

    def expire(self) -> set[Unit]:
        """The units that are to be tried again now."""
        now = self.now_s()
        found = {unit for unit, case in self._cases.items() if case.is_out and case.until_s <= now}
        for unit in found:
            self._cases[unit].is_out = False
        return found

    def confirmed(self) -> None:
        """The switch has taken everything else: what was tried again is well."""
        if self._cases:
            self._cases = {unit: case for unit, case in self._cases.items() if case.is_out}

    def next_s(self) -> float | None:
        """When something is to be tried again; None if nothing is left out."""
        return min((case.until_s for case in self._cases.values() if case.is_out), default=None)

    def __bool__(self) -> bool:
        return bool(self._cases)

    def ports(self, view: View) -> set[str]:
        """The local ports that are not right without what is left out. Cost: O(units left out · ports)."""
        return {id for unit in self._cases if self.holds(unit) for id in _needing(unit, view)}

    def shown(self) -> dict[str, str]:
        """What is left out → why; names as `sentence` has them."""
        return {_name(unit): case.reason for unit, case in self._cases.items() if case.is_out}

    @property
    def sentence(self) -> str:
        """For the heartbeat; empty if nothing is left out."""
        shown = self.shown()
        if not shown:
            return ""
        first = [f"{name} ({reason})" for name, reason in list(shown.items())[:_NAMED_MAX]]
        rest = f" and {len(shown) - _NAMED_MAX} more" if len(shown) > _NAMED_MAX else ""
        return f"left out, because the switch refuses their flows: {', '.join(first)}{rest}"


def _name(unit: Unit) -> str:
    return " ".join((unit.kind.name.lower(), *filter(None, (unit.id, unit.sub))))


def _needing(unit: Unit, view: View) -> Iterator[str]:
    """The open local ports that a unit is for. Of a single neighbour, address or way out: none; it is only named."""
    match unit.kind:
        case UnitKind.PORT | UnitKind.ARRIVAL:
            yield unit.id
        case UnitKind.NETWORK | UnitKind.FLOOD:
            yield from view.ports_of(unit.id)
        case UnitKind.POLICY:
            yield from view.ports_with_groups(tuple(unit.id.split(",")) if unit.id else ())
        case UnitKind.ROUTER:
            for port in view.ports.values():
                if unit.id in port.routers:
                    yield port.id
        case UnitKind.FLOATING_IP:
            floating = view.floating_ips.get(unit.id)
            if floating is not None and floating.port_id is not None:
                yield floating.port_id
        case _:
            pass
