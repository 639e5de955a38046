"""What changed last, and when: so that who was there is told what changed since, and of the rest nothing.

The revision of a change may be said later than it was, never earlier: then more is sent than is lacking, never less.
"""

from dataclasses import dataclass, field

from alcor.bus.interface import Late
from alcor.goalstate.graph import ScopeChange
from alcor.goalstate.item import Key, key_of
from alcor.goalstate.scope import Scope

# Changed items that are remembered, of all scopes: about 300 octets each.
RECENT_MAX = 100_000
# Of one scope. Who lacks more of it than this is sent all of it.
RECENT_OF_SCOPE_MAX = 256


@dataclass(frozen=True, slots=True)
class Lately:
    """What is known of a scope. changed: not after this revision did it change last. late: what changed after `floor`,
    oldest first, put or removed; each key once."""

    changed: int
    floor: int
    late: tuple[Late, ...] = ()


@dataclass(slots=True)
class _Known:
    floor: int
    changed: int
    late: dict[Key, int] = field(default_factory=dict)  # last changed last


class Recent:
    """`floor`: scopes of which nothing is remembered did not change after this. Bound: RECENT_MAX items."""

    def __init__(
        self, floor: int, items_max: int = RECENT_MAX, of_scope_max: int = RECENT_OF_SCOPE_MAX
    ) -> None:
        self._floor, self._items_max, self._of_scope_max = floor, items_max, of_scope_max
        self._known: dict[Scope, _Known] = {}  # last changed last
        self._items = 0

    def note(self, change: ScopeChange, revision: int) -> None:
        """A scope changed. Cost: O(what changed)."""
        known = self._known.pop(change.scope, None)
        if known is None:
            known = _Known(self._floor, revision)
        else:
            self._items -= len(known.late) + 1
        self._known[change.scope] = known  # last
        known.changed = revision
        for key in [*(key_of(entry.item) for entry in change.put), *change.removed]:
            known.late.pop(key, None)
            known.late[key] = revision
        if len(known.late) > self._of_scope_max:
            for key in list(known.late)[: -self._of_scope_max // 2]:
                known.floor = known.late.pop(key)
        self._items += len(known.late) + 1
        if self._items > self._items_max:
            self._forget()

    def _forget(self) -> None:
        """Down to half, so that a change costs O(1); the scopes that changed longest ago go, but never the last one."""
        for scope in list(self._known)[:-1]:
            if self._items <= self._items_max // 2:
                return
            known = self._known.pop(scope)
            self._floor = known.changed
            self._items -= len(known.late) + 1

    def changed(self, scope: Scope) -> int:
        """Not after this revision did it change last."""
        known = self._known.get(scope)
        return self._floor if known is None else known.changed

    def of(self, scope: Scope) -> Lately:
        """What is known of a scope."""
        known = self._known.get(scope)
        if known is None:
            return Lately(self._floor, self._floor)
        late = tuple([Late(key, revision) for key, revision in known.late.items()])
        return Lately(known.changed, known.floor, late)
