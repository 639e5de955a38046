"""Whether what a host opens is open by what it knows: on the way, not only at rest (I10).

A reference may be followed only where its target is held, has the item it is named after with its parts, and is at
least as new as the reference is in the rows: judged by those, not by the `since` that came with it.
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from alcor.agent.reference import NAMED
from alcor.goalstate.item import Item, ItemKind, Key, parts, refers
from alcor.goalstate.scope import Scope
from tests.model.rule import NOTHING, Height
from tests.support.sim.truth import Truth


class Known(NamedTuple):
    """A scope as a host has it. `is_between`: some of it is newer than its height."""

    height: Height
    items: Mapping[Key, Item]


class References:
    """Since when items refer to scopes, as rows have it."""

    def __init__(self, truth: Truth) -> None:
        self._truth = truth
        self._since: dict[tuple[Scope, Key, Scope, Height], int] = {}

    def since(self, scope: Scope, key: Key, target: Scope, held: Height) -> int:
        """The first revision from which on, through the one that is held, an item has referred to a scope; never later
        than it was. Cost: O(revisions) compiled, once each."""
        found = self._since.get((scope, key, target, held))
        if found is None:
            found = held.position
            while self._refers(scope, key, target, Height(held.epoch, found - 1)):
                found -= 1
            self._since[scope, key, target, held] = found
        return found

    def _refers(self, scope: Scope, key: Key, target: Scope, at: Height) -> bool:
        states = [one.state(scope) for one in self._truth.at(*at)]
        return any(key in state and target in refers(state[key]) for state in states)

    def unmet(self, known: Mapping[Scope, Known], scope: Scope, key: Key) -> Iterator[str]:
        """Why an item is to be closed; empty if it may be open."""
        pending, seen = [(scope, key)], set[Scope]()
        while pending:
            scope, key = pending.pop()
            holder = known[scope]
            for target in refers(holder.items[key]):
                there = known.get(target)
                if there is None or there.height.position == NOTHING:
                    yield f"{target} is not held"
                elif there.height.epoch != holder.height.epoch:
                    yield f"{target} is of another epoch"
                elif there.height.position < self.since(scope, key, target, holder.height):
                    yield f"{target} is held at {there.height.position}, before {key} referred to it"
                elif not _is_known(target, there.items):
                    yield f"{target} has no item of its own, or not all of its parts"
                elif target not in seen:
                    seen.add(target)
                    pending += [(target, each) for each in there.items]


def _is_known(scope: Scope, items: Mapping[Key, Item]) -> bool:
    named = NAMED.get(scope.kind)
    item = items.get(Key(named, scope.id)) if named is not None else None
    return named is None or (item is not None and all(key in items for key in parts(item)))


def is_whole(known: Mapping[Scope, Known], *roots: Scope) -> bool:
    """Whether all that a host's scopes refer to is held in one epoch: before, it may not remove anything (I12)."""
    own = known.get(roots[0])
    pending, seen = list(roots), set(roots)
    while pending:
        scope = pending.pop()
        there = known.get(scope)
        if (
            own is None
            or there is None
            or there.height.position == NOTHING
            or there.height.epoch != own.height.epoch
        ):
            return False
        new = {target for item in there.items.values() for target in refers(item)} - seen
        seen |= new
        pending += new
    return True


def port_key(port_id: str) -> Key:
    """The key of a local port."""
    return Key(ItemKind.LOCAL_PORT, port_id)
