"""What a switch should hold: its flows by unit, computed anew where something changed, and its meters and groups.

No I/O: the reconciler says what changed, and sends the differences that it gets here.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from alcor.pipeline.compile import Compiler, groups, meters
from alcor.pipeline.flow import Flow, FlowKey, GroupSpec, MeterSpec
from alcor.pipeline.unit import Unit
from alcor.pipeline.view import Allocation, View

Spec = TypeVar("Spec", MeterSpec, GroupSpec)


@dataclass(slots=True)
class DesiredFlows:
    """Shape: `flows` by key are those of all units. `kept`: units that have no flows any more by the view, and whose
    last ones a hold keeps."""

    compiler: Compiler
    flows: dict[FlowKey, Flow] = field(default_factory=dict)
    kept: set[Unit] = field(default_factory=set)
    _by_unit: dict[Unit, tuple[Flow, ...]] = field(default_factory=dict)

    def forget(self) -> None:
        """Nothing is known but what is kept, which cannot be computed any more: an error may have struck half-way."""
        self._by_unit = {unit: self._by_unit[unit] for unit in self.kept}
        self.flows = {flow.key: flow for flows in self._by_unit.values() for flow in flows}

    def kept_of(self, ids: Collection[str]) -> set[Unit]:
        """The kept units that are of one of these ports or networks."""
        return {unit for unit in self.kept if unit.id in ids or unit.sub in ids}

    def units_of(self, keys: Collection[FlowKey]) -> list[Unit]:
        """The units that have one of these flows. Cost: O(flows)."""
        return [unit for unit, flows in self._by_unit.items() if any(flow.key in keys for flow in flows)]

    def recompute(
        self,
        dirty: Iterable[Unit],
        view: View,
        allocation: Allocation,
        *,
        is_left_out: Callable[[Unit], bool],
        is_held: Callable[[Unit], bool],
    ) -> dict[FlowKey, Flow | None]:
        """Compute the flows of dirty units anew. Returns the keys touched, with what stood there before.

        `is_left_out`: a unit that is to have none; `is_held`: one whose last flows are to stay if it has none now.
        """
        desired = self.flows
        before: dict[FlowKey, Flow | None] = {}
        added: list[Flow] = []
        for unit in dirty:
            old = self._by_unit.get(unit, ())
            new = () if is_left_out(unit) else self.compiler(unit, view, allocation)
            if old and not new and is_held(unit):
                self.kept.add(unit)
                continue
            self.kept.discard(unit)
            if new == old:
                continue
            added += new
            for flow in old:
                key = flow.key
                # A key may have moved to another unit (a VIF took the ofport of one that a hold keeps).
                if desired.get(key) == flow:
                    before.setdefault(key, desired.pop(key))
            if new:
                self._by_unit[unit] = new
            else:
                del self._by_unit[unit]
        for flow in added:
            key = flow.key
            before.setdefault(key, desired.get(key))
            desired[key] = flow
        return before

    def put(self, before: Mapping[FlowKey, Flow | None]) -> Sequence[Flow]:
        """Of the keys that `recompute` touched: what the switch lacks."""
        return [flow for key in before if (flow := self.flows.get(key)) not in (None, before[key])]

    def removed(self, before: Mapping[FlowKey, Flow | None]) -> Sequence[FlowKey]:
        """Of the keys that `recompute` touched: those that have no flow any more."""
        return [key for key, flow in before.items() if flow is not None and key not in self.flows]


@dataclass(slots=True)
class NumberedSpecs(Generic[Spec]):
    """Meters, or groups, by number. `wanted`: by the view; `present`: in the switch, as far as is known: more than is
    wanted, while nothing may be removed."""

    wanted: dict[int, Spec] = field(default_factory=dict)
    present: dict[int, Spec] = field(default_factory=dict)

    def put(self) -> Sequence[Spec]:
        """What the switch lacks."""
        return [spec for id, spec in self.wanted.items() if self.present.get(id) != spec]

    def removed(self) -> Sequence[int]:
        """What nobody wants any more."""
        return [id for id in self.present if id not in self.wanted]

    def confirmed(self, *, is_removed: bool) -> None:
        """The switch has what is wanted, and, if `is_removed`, nothing else."""
        self.present = dict(self.wanted) if is_removed else self.present | self.wanted


@dataclass(slots=True)
class DesiredMeters:
    """Meters and the groups of several next hops: what flows point to."""

    meters: NumberedSpecs[MeterSpec] = field(default_factory=NumberedSpecs)
    groups: NumberedSpecs[GroupSpec] = field(default_factory=NumberedSpecs)

    def recompute(self, view: View, allocation: Allocation) -> None:
        """Compute all of them anew."""
        self.meters.wanted, self.groups.wanted = meters(view, allocation), groups(view, allocation)

    def confirmed(self, *, is_removed: bool) -> None:
        """As `NumberedSpecs.confirmed`."""
        self.meters.confirmed(is_removed=is_removed)
        self.groups.confirmed(is_removed=is_removed)
