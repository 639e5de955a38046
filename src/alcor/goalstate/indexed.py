"""A dict that finds its items by more than their ids."""

from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Any, Generic, TypeVar

T = TypeVar("T")

# Up to here the ids of a name are a tuple (small), beyond it a dict (constant time to add and remove).
_TUPLE_MAX = 8


class Indexed(dict[str, T], Generic[T]):
    """A dict (id → item) that also finds items by what `names` says of them: a MAC, an address, a network.

    Kept by every way a dict can be changed, so that whoever holds it need not know. Cost: O(names) per change,
    O(found) per `find`. Memory: a tuple or a dict's entry per name and item.
    """

    def __init__(
        self, names: Callable[[T], Iterable[Hashable]], items: Mapping[str, T] | None = None
    ) -> None:
        super().__init__()
        self._names = names
        self._ids: dict[Hashable, tuple[str, ...] | dict[str, None]] = {}
        if items:
            self.update(items)

    def fill(self, items: Iterable[tuple[str, T]]) -> None:
        """Add (id, item) whose ids are not there yet, each once. Cost: a third of an `update`'s."""
        put, index, names = super().__setitem__, self._ids, self._names
        for id, item in items:
            put(id, item)
            for name in names(item):
                ids = index.get(name)
                if ids is None:
                    index[name] = (id,)
                elif type(ids) is dict:
                    ids[id] = None
                else:
                    self._note(name, id)

    def find(self, name: Hashable) -> tuple[str, ...]:
        """The ids of the items with this name, those that came first, first."""
        ids = self._ids.get(name, ())
        return ids if isinstance(ids, tuple) else tuple(ids)

    def found(self, name: Hashable) -> list[T]:
        """The items with this name, those that came first, first."""
        return [self[id] for id in self._ids.get(name, ())]

    def __setitem__(self, id: str, item: T) -> None:
        names = tuple(self._names(item))
        if id in self:
            self._forget(id, self[id], names)
        super().__setitem__(id, item)
        for name in names:
            self._note(name, id)

    def __delitem__(self, id: str) -> None:
        self._forget(id, self[id], ())
        super().__delitem__(id)

    def _note(self, name: Hashable, id: str) -> None:
        ids = self._ids.get(name, ())
        if id in ids:
            return
        if isinstance(ids, dict):
            ids[id] = None
        elif len(ids) < _TUPLE_MAX:
            self._ids[name] = (*ids, id)
        else:
            self._ids[name] = dict.fromkeys((*ids, id))

    def _forget(self, id: str, item: T, kept: tuple[Hashable, ...]) -> None:
        for name in self._names(item):
            if name in kept:
                continue
            ids = self._ids.get(name, ())
            if isinstance(ids, dict):
                ids.pop(id, None)
                left: tuple[str, ...] | dict[str, None] = ids
            else:
                left = tuple(other for other in ids if other != id)
            if left:
                self._ids[name] = left
            else:
                self._ids.pop(name, None)

    # dict's own versions of these do not call __setitem__ and __delitem__.
    def pop(self, id: str, *default: Any) -> Any:
        """As dict."""
        if id not in self:
            return super().pop(id, *default)
        item = self[id]
        del self[id]
        return item

    def popitem(self) -> tuple[str, T]:
        """As dict."""
        id, item = super().popitem()
        self._forget(id, item, ())
        return id, item

    def setdefault(self, id: str, default: T) -> T:
        """As dict."""
        if id not in self:
            self[id] = default
        return self[id]

    def update(self, items: Any = (), /, **named: T) -> None:
        """As dict."""
        for id, item in dict(items, **named).items():
            self[id] = item

    def __ior__(self, items: Any) -> "Indexed[T]":  # type: ignore[override,misc]  # dict's has overloads
        self.update(items)
        return self

    def clear(self) -> None:
        """As dict."""
        super().clear()
        self._ids.clear()

    def copy(self) -> "Indexed[T]":
        """As dict; the copy is indexed too."""
        return Indexed(self._names, self)

    def __reduce__(self) -> tuple[Any, ...]:
        return Indexed, (self._names, dict(self))
