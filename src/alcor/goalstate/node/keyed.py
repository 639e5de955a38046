"""The node for everything that is not hot: it recomputes, whole, what stands under the keys that a change touches.

Each input has a function that says which keys a step touches. It is asked for the fact before and the fact after, and
looks at the intent as it is at the end of the turn. That is enough: what leads from a fact to a key is other facts,
and one of these that changed too touches the key itself, by its own fact before.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any, Generic, TypeVar

from alcor.goalstate.intent import Input, Intent, Step
from alcor.goalstate.item import Item, ItemKind
from alcor.goalstate.node.contract import Handler, Table, Turn
from alcor.goalstate.scope import ScopeKind

I = TypeVar("I", bound=Item)  # noqa: E741 - the usual letter for "item" here

Touched = Callable[[Intent, Any], Iterable[str]]
"""(intent, fact before or after a step) → the keys it touches."""

Differs = Callable[[Any, Any], bool]
"""(fact before, fact after) → whether the change can matter at all."""


class KeyedNode(Generic[I]):
    """Items under keys; a key's items are in scopes of one kind, and no two keys make an item of one scope and id.

    Memory: a dictionary entry and a tuple per key that has items.
    """

    def __init__(
        self,
        kind: ItemKind,
        scope_kind: ScopeKind,
        *,
        keys: Callable[[Intent], Iterable[str]],
        items: Callable[[Intent, str], Iterator[tuple[str, I]]],
        touched: Mapping[Input, Touched],
        differs: Mapping[Input, Differs] | None = None,
        name: str = "",
    ) -> None:
        """`items`: (intent, key) → (scope id, item). `keys`: every key that may have any."""
        self.name, self.kind, self.scope_kind = name or kind.value, kind, scope_kind
        self.inputs = tuple(touched)
        self.table: Table[I] = Table()
        self.handlers: Mapping[Input, Handler] = {
            input: partial(self._follow, input=input) for input in touched
        }
        self._keys, self._items, self._touched = keys, items, touched
        self._differs = differs or {}
        self._held: dict[str, tuple[tuple[str, str], ...]] = {}  # key → places (scope id, item id)

    def run(self, intent: Intent, turn: Turn) -> None:
        """Cost: O(keys), each as its items."""
        self._held = {}
        found: list[tuple[str, I]] = []
        for key in dict.fromkeys(self._keys(intent)):
            items = list(self._items(intent, key))
            if items:
                self._held[key] = tuple([(scope_id, item.id) for scope_id, item in items])
                found += items
        self.table.replace(found)

    def told_by(self, intent: Intent, input: Input, fact: Any) -> Iterator[str]:
        """The ids of the scopes with items that a fact may have a part in. Cost: O(keys it touches)."""
        touched = self._touched.get(input)
        for key in dict.fromkeys(touched(intent, fact)) if touched is not None else ():
            for scope_id, _ in self._held.get(key, ()):
                yield scope_id

    def _follow(self, intent: Intent, turn: Turn, *, input: Input) -> bool:
        touched, differs = self._touched[input], self._differs.get(input)
        keys: dict[str, None] = {}
        for step in turn.steps.of(input):
            if differs is not None and _both(step) and not differs(step.before, step.after):
                continue
            for fact in (step.before, step.after):
                if fact is not None:
                    keys.update(dict.fromkeys(touched(intent, fact)))
        for key in keys:
            self._bring(intent, key)
        return True

    def _bring(self, intent: Intent, key: str) -> None:
        items = list(self._items(intent, key))
        places = tuple([(scope_id, item.id) for scope_id, item in items])
        for scope_id, id in self._held.get(key, ()):
            if (scope_id, id) not in places:
                self.table.set(scope_id, id, None)
        for scope_id, item in items:
            self.table.set(scope_id, item.id, item)
        if places:
            self._held[key] = places
        else:
            self._held.pop(key, None)


def _both(step: Step[Any]) -> bool:
    return step.before is not None and step.after is not None
