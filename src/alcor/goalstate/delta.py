"""Steps of a scope's state. Items are absolute, so a step applies to every state it covers.

Laws (I7): `apply(a, diff(a, b)) == b`; `apply(state(p), delta(f, t)) == state(t)` for every f ≤ p ≤ t;
`coalesce` loses nothing but intermediate states.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from alcor.goalstate.item import Item, Key, State


@dataclass(frozen=True, slots=True)
class Delta:
    """What to put and what to remove, from revision `from_revision` through revision `through`.

    A key is in at most one of the two; a removed key need not be there.
    """

    put: Mapping[Key, Item] = field(default_factory=dict)
    removed: frozenset[Key] = frozenset()
    from_revision: int = 0
    through: int = 0

    def __bool__(self) -> bool:
        return bool(self.put or self.removed)


def diff(a: Mapping[Key, Item], b: Mapping[Key, Item], from_revision: int = 0, through: int = 0) -> Delta:
    """The least delta that leads from state `a` to state `b`. Cost: O(len(a) + len(b))."""
    return Delta(
        {key: item for key, item in b.items() if a.get(key) != item},
        frozenset(key for key in a if key not in b),
        from_revision,
        through,
    )


def apply(state: Mapping[Key, Item], delta: Delta) -> State:
    """The state after `delta`; `state` stays as it is. Cost: O(len(state) + len(delta))."""
    after = {key: item for key, item in state.items() if key not in delta.removed}
    after.update(delta.put)
    return after


def coalesce(earlier: Delta, later: Delta) -> Delta:
    """One delta that covers both: at most one value per key. Cost: O(both).

    Raises: ValueError if there is a gap between the two (what lies in it would be lost), or if the later one
    ends earlier.
    """
    if later.through < earlier.through:
        raise ValueError(
            f"a delta through revision {later.through} is older than one through {earlier.through}"
        )
    if later.from_revision > earlier.through:
        raise ValueError(
            f"a delta from revision {later.from_revision} cannot follow one through {earlier.through}: "
            "the revisions between are missing; take a snapshot"
        )
    put = {key: item for key, item in earlier.put.items() if key not in later.removed}
    put.update(later.put)
    return Delta(
        put,
        (earlier.removed - later.put.keys()) | later.removed,
        min(earlier.from_revision, later.from_revision),
        later.through,
    )
