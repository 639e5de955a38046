"""What a node of the calculation graph promises.

A node's data is a pure function of the present intent and of the data of nodes above it; never of the way there
(I4). `run` computes all of it. A handler brings it up to date for the changes of one input, at a cost in
proportion to them, and may decline by returning False; an input without a handler is declined. Declined means: the
graph calls `run`. So a handler is only ever an optimisation.

Handlers see the intent as it is at the *end* of the turn and must write absolute values, so that the order in which the
inputs of one node are handled does not matter, and so that `run` after half of the handlers is right too.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

import msgspec

from alcor.goalstate.fact import PortFact
from alcor.goalstate.intent import Input, Intent, Step, Steps
from alcor.goalstate.item import Item, ItemKind
from alcor.goalstate.scope import ScopeKind

I = TypeVar("I", bound=Item)  # noqa: E741 - the usual letter for "item" here


class Placement(msgspec.Struct, frozen=True, gc=False):
    """A port that is on a host that exists.

    `bound_at`: the revision of its last binding or change of administrative state, from which its status is reckoned
    (protocol, 5). It says when, and no item depends on it.
    """

    port: PortFact
    host_id: str
    bound_at: int


@dataclass(slots=True)
class Turn:
    """One advance of the graph: what changed, so far as it is known, and the revision that is reached.

    `row_revisions`: at a load from an image, the revision in which each row last changed.
    """

    revision: int
    steps: Steps = field(default_factory=Steps)
    placements: list[Step[Placement]] = field(default_factory=list)
    placed: Mapping[str, Placement] = field(default_factory=dict)
    row_revisions: Mapping[str, int] = field(default_factory=dict)


Handler = Callable[[Intent, Turn], bool]


class Node(Protocol):
    """One vertex. See the module's text for the laws."""

    @property
    def name(self) -> str:
        """Its name in statistics and metrics."""

    @property
    def inputs(self) -> tuple[Input, ...]:
        """What it depends on."""

    @property
    def handlers(self) -> Mapping[Input, Handler]:
        """What it can follow incrementally."""

    def run(self, intent: Intent, turn: Turn) -> None:
        """Compute everything anew."""


class ItemNode(Node, Protocol):
    """A node whose data are items of one kind, in scopes of one kind."""

    @property
    def kind(self) -> ItemKind:
        """The kind of its items; no other node makes any of it in scopes of this kind."""

    @property
    def scope_kind(self) -> ScopeKind:
        """The kind of scope they are in."""

    @property
    def table(self) -> "Table[Any]":
        """Its data."""


class Unmade(NamedTuple):
    """Of what a node's items are made when they are asked for: things of this type, none of which is an item."""

    type: type[Any]
    make: Callable[[Any], Any]


class Table(Generic[I]):
    """A node's items: scope id → item id → item; and what each touched place held when the turn began.

    After a load a table may hold, instead of items, what they are made of (`begin`): of most nobody asks for long. What
    an item is made of is frozen, so it is the same item whenever it is made.

    Memory: one dictionary entry per item besides the item; nothing for places not touched in this turn.
    """

    __slots__ = ("_before", "_is_new", "_rows", "_unmade")

    def __init__(self, unmade: Unmade | None = None) -> None:
        self._rows: dict[str, dict[str, Any]] = {}
        self._before: dict[tuple[str, str], I | None] = {}
        self._is_new = False
        self._unmade = unmade

    @property
    def is_empty(self) -> bool:
        """Whether it holds nothing and never did in this turn."""
        return not self._rows and not self._before

    def begin(self, rows: dict[str, dict[str, Any]]) -> None:
        """Hold these: scope id → item id → item, or what one is made of. Only while it is empty. Cost: O(1)."""
        assert self.is_empty
        self._rows, self._is_new = rows, True

    def scope_ids(self) -> Iterable[str]:
        """The scopes that it holds anything of."""
        return self._rows.keys()

    def ids_of(self, scope_id: str) -> Iterable[str]:
        """The ids of a scope's items."""
        return self._rows.get(scope_id, {}).keys()

    def items_of(self, scope_id: str) -> Iterable[I]:
        """The items of a scope. Cost: O(1) each."""
        held = self._rows.get(scope_id)
        if held is None:
            return ()
        return held.values() if self._unmade is None else map(self._made, held.values())

    def find(self, scope_id: str, id: str) -> I | None:
        """One item, if there is one."""
        held = self._rows.get(scope_id)
        value = held.get(id) if held is not None else None
        return None if value is None else self._made(value)

    def _made(self, value: Any) -> I:
        unmade = self._unmade
        item: I = unmade.make(value) if unmade is not None and type(value) is unmade.type else value
        return item

    def set(self, scope_id: str, id: str, item: I | None) -> None:
        """Put an item, or with None make sure that there is none."""
        before = self.find(scope_id, id)
        if before == item:
            return
        self._before.setdefault((scope_id, id), before)
        if item is not None:
            self._rows.setdefault(scope_id, {})[id] = item
            return
        held = self._rows[scope_id]
        del held[id]
        if not held:
            del self._rows[scope_id]

    def replace(self, items: Iterable[tuple[str, I]]) -> None:
        """Hold exactly these (scope id, item), each named once. Cost: O(held + new)."""
        rows: dict[str, dict[str, I]] = {}
        for scope_id, item in items:
            rows.setdefault(scope_id, {})[item.id] = item
        if self.is_empty:
            # The first run: all of it is new, and need not be compared one by one.
            self.begin(rows)
            return
        gone = [(s, id) for s, held in self._rows.items() for id in held if id not in rows.get(s, ())]
        for scope_id, id in gone:
            self.set(scope_id, id, None)
        for scope_id, held in rows.items():
            for id, item in held.items():
                self.set(scope_id, id, item)

    def take(self) -> Iterator[tuple[str, str, I | None, I | None]]:
        """End the turn: every place that differs, what it held at the beginning, and what now (None: nothing)."""
        touched, is_new = self._before, self._is_new
        self.settle()
        if is_new:
            yield from (
                (scope_id, id, None, self._made(value))
                for scope_id, held in self._rows.items()
                for id, value in held.items()
            )
            return
        for (scope_id, id), before in touched.items():
            now = self.find(scope_id, id)
            if now != before:
                yield scope_id, id, before, now

    def settle(self) -> None:
        """End the turn without asking what it did. Cost: O(1)."""
        self._before, self._is_new = {}, False
