"""What happened since the last confirmed turn, for handlers: changes of a failed turn come with the next good one."""

from dataclasses import dataclass, field, replace

from alcor.agent.handler import Confirmed
from alcor.goalstate.item import Key
from alcor.goalstate.scope import Scope
from alcor.pipeline.feature import ItemChange, LocalChange


@dataclass(slots=True)
class Untold:
    """Shape: at most one change per item: the steps of one item are joined, so memory is bounded by the view."""

    items: dict[tuple[Scope, Key], ItemChange] = field(default_factory=dict)
    local: set[LocalChange] = field(default_factory=set)
    _taken: set[LocalChange] = field(default_factory=set)

    def item(self, change: ItemChange) -> None:
        """One more step of an item."""
        place = (change.scope, change.key)
        earlier = self.items.pop(place, None)
        self.items[place] = change if earlier is None else replace(change, before=earlier.before)

    def take(self, plugged: dict[str, int]) -> Confirmed:
        """What a turn that begins now will confirm; stays untold until `told` says that it did."""
        changed = tuple(change for change in self.items.values() if change.before != change.after)
        self._taken |= self.local
        self.local.clear()
        return Confirmed(changed, frozenset(self._taken), plugged)

    def told(self, confirmed: Confirmed) -> None:
        """The turn was confirmed: only what came meanwhile is left. Cost: O(what was confirmed and what is left)."""
        after = {(change.scope, change.key): change.after for change in confirmed.items}
        left: dict[tuple[Scope, Key], ItemChange] = {}
        for place, change in self.items.items():
            if place not in after:
                if change.before != change.after:
                    left[place] = change
            elif change.after != after[place]:
                left[place] = replace(change, before=after[place])
        self.items = left
        self._taken.clear()
