"""Who refers to what, and which references are met: an item is *resolved* iff every scope it refers to is held through
the reference's `since`, has the item it is named after, and holds only resolved items itself.

So a port is not open before its router is known, and a router not before the networks behind it are (I10). References
lead from host to router and rules to networks and members, never back, so judging ends (depth at most 4).
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from enum import StrEnum
from typing import NamedTuple

from alcor.agent.scope_store import NOT_HELD, Reference
from alcor.goalstate.item import Item, ItemKind, Key, parts
from alcor.goalstate.scope import Scope, ScopeKind

NAMED = {
    ScopeKind.NETWORK: ItemKind.NETWORK,
    ScopeKind.ROUTER: ItemKind.ROUTER,
    ScopeKind.RULES: ItemKind.RULES,
    ScopeKind.QOS: ItemKind.QOS,
}
"""Scopes that are known only with the item of their own id and its parts: one that is held without says so."""

PARTS = frozenset({ItemKind.NETWORK_ACL, ItemKind.FIREWALL})
"""Kinds that such an item may name as its parts."""


def may_decide(scope: Scope, key: Key, before: Item | None, after: Item | None) -> bool:
    """Whether an item's step may make its scope known or unknown."""
    named = NAMED.get(scope.kind)
    if named is None or (key.kind is not named and key.kind not in PARTS):
        return False
    return before is None or after is None or parts(before) != parts(after)


class Holder(NamedTuple):
    """An item that may refer to scopes: where it is, and its key there."""

    scope: Scope
    key: Key


class Lack(StrEnum):
    """Why a reference is not met."""

    MISSING = "is not held"
    OLD = "is older than the reference"
    EMPTY = "has no item of its own, or not all of its parts"


class Obstacle(NamedTuple):
    """A scope that keeps somebody closed, and why."""

    scope: Scope
    lack: Lack


class References:
    """All references of held items.

    Shape: `_waiting`: scope → who is unresolved because of it; `_inside`: scope → its unresolved items.
    Cost: a change of an item O(its references); of a scope that rises O(those who wait for it); of one that falls
    O(those who refer to it).
    """

    def __init__(
        self, height: Callable[[Scope], tuple[int, int]], items: Callable[[Scope], dict[Key, Item]]
    ) -> None:
        """`height`, `items`: of a scope as it is held."""
        self._height, self._items = height, items
        self._references: dict[Holder, Reference] = {}
        self._referrers: dict[Scope, dict[Holder, None]] = {}
        self._lacking: dict[Holder, tuple[Scope, ...]] = {}
        self._waiting: dict[Scope, dict[Holder, None]] = {}
        self._inside: dict[Scope, dict[Holder, None]] = {}
        # Those that lack a scope which is missing or old: knowledge is on its way.
        self._behind: set[Holder] = set()
        self._to_judge: dict[Holder, None] = {}

    # --- what happened ---------------------------------------------------------------------------------

    def put(self, holder: Holder, reference: Reference) -> None:
        """An item is held, with these references. A new one counts as unresolved until it is judged."""
        before = self._references.get(holder)
        self._refer(holder, before.targets if before is not None else (), reference.targets)
        self._references[holder] = reference
        # Before those that refer to it, so that they are judged once.
        self._to_judge[holder] = None
        if before is None:
            self._lacking[holder] = ()
            self._inside.setdefault(holder.scope, {})[holder] = None
            self._judge_referrers(holder.scope)

    def remove(self, holder: Holder) -> None:
        """An item is no longer held."""
        before = self._references.pop(holder, None)
        if before is None:
            return
        self._refer(holder, before.targets, ())
        self._set_lacking(holder, None)
        self._behind.discard(holder)
        self._to_judge.pop(holder, None)
        self._judge_waiting(holder.scope)

    def rose(self, scope: Scope) -> None:
        """A scope is held through a later revision than before: it can only meet more."""
        self._judge_waiting(scope)

    def changed(self, scope: Scope) -> None:
        """A scope is no longer held, or got or lost the item it is named after."""
        self._judge_referrers(scope)

    def _judge_waiting(self, scope: Scope) -> None:
        self._to_judge.update(self._waiting.get(scope, {}))

    def _judge_referrers(self, scope: Scope) -> None:
        self._to_judge.update(self._referrers.get(scope, {}))

    def _refer(self, holder: Holder, before: tuple[Scope, ...], after: tuple[Scope, ...]) -> None:
        if before == after:
            return
        for target in before:
            _discard(self._referrers, target, holder)
        for target in after:
            self._referrers.setdefault(target, {})[holder] = None

    # --- judging ---------------------------------------------------------------------------------------

    def judge(self) -> set[Holder]:
        """Judge all that may have changed; returns whose answer `is_resolved` may be another one than before."""
        moved: set[Holder] = set()
        pending = deque(self._to_judge)
        self._to_judge.clear()
        queued = set(pending)
        while pending:
            holder = pending.popleft()
            queued.discard(holder)
            reference = self._references.get(holder)
            if reference is None:
                continue
            was_lacking = holder in self._lacking
            lacking = self._judged(holder, reference)
            self._set_lacking(holder, lacking or None)
            if was_lacking == bool(lacking):
                continue
            moved.add(holder)
            touched = self._referrers if lacking else self._waiting
            for other in touched.get(holder.scope, {}):
                if other not in queued:
                    queued.add(other)
                    pending.append(other)
        return moved

    def _judged(self, holder: Holder, reference: Reference) -> tuple[Scope, ...]:
        """The scopes that do not meet the holder's references."""
        needed = (self._height(holder.scope)[0], reference.since)
        lacking: list[Scope] = []
        is_behind = False
        for target in reference.targets:
            height = self._height(target)
            # Nor into another epoch: its revisions say nothing of ours.
            if height < needed or height[0] != needed[0]:
                is_behind = True
                lacking.append(target)
            elif not self._is_sound(target):
                lacking.append(target)
        if is_behind:
            self._behind.add(holder)
        else:
            self._behind.discard(holder)
        return tuple(lacking)

    def _is_sound(self, scope: Scope) -> bool:
        return not self._is_empty(scope) and not self._inside.get(scope)

    def _is_empty(self, scope: Scope) -> bool:
        named = NAMED.get(scope.kind)
        if named is None:
            return False
        items = self._items(scope)
        item = items.get(Key(named, scope.id))
        return item is None or not all(key in items for key in parts(item))

    def _set_lacking(self, holder: Holder, lacking: tuple[Scope, ...] | None) -> None:
        """None: it is resolved (or gone)."""
        before = self._lacking.get(holder)
        if before == lacking:
            return
        for scope in before or ():
            _discard(self._waiting, scope, holder)
        if lacking is None:
            self._lacking.pop(holder, None)
            _discard(self._inside, holder.scope, holder)
            return
        self._lacking[holder] = lacking
        self._inside.setdefault(holder.scope, {})[holder] = None
        for scope in lacking:
            self._waiting.setdefault(scope, {})[holder] = None

    # --- telling ---------------------------------------------------------------------------------------

    def is_resolved(self, holder: Holder) -> bool:
        """Whether all references of a held item are met, as of the last `judge`."""
        return holder in self._references and holder not in self._lacking

    @property
    def is_waiting(self) -> bool:
        """Whether any held item lacks a scope that is missing or old. What is known to be empty is not waited for."""
        return bool(self._behind)

    def needed(self) -> Iterable[Scope]:
        """The scopes that any held item refers to."""
        return self._referrers.keys()

    def obstacles(self, holder: Holder) -> tuple[Obstacle, ...]:
        """The scopes that keep an item unresolved, down to the last cause, each once."""
        return tuple(dict.fromkeys(self._obstacles(holder)))

    def _obstacles(self, holder: Holder) -> Iterator[Obstacle]:
        since = self._references[holder].since if holder in self._references else 0
        for scope in self._lacking.get(holder, ()):
            height = self._height(scope)
            if height == NOT_HELD:
                yield Obstacle(scope, Lack.MISSING)
            elif height < (self._height(holder.scope)[0], since):
                yield Obstacle(scope, Lack.OLD)
            elif self._is_empty(scope):
                yield Obstacle(scope, Lack.EMPTY)
            else:
                for inner in self._inside.get(scope, {}):
                    if inner != holder:
                        yield from self._obstacles(inner)


def _discard(index: dict[Scope, dict[Holder, None]], scope: Scope, holder: Holder) -> None:
    holders = index.get(scope)
    if holders is not None:
        holders.pop(holder, None)
        if not holders:
            del index[scope]
