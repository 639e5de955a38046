"""How rows become answers: the attributes a caller sees, computed ones only when they are asked for.

Prepared at start: per resource and kind of caller one selection of names, one getter of stored fields.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import msgspec

from alcor.managers.interface import Caller, Loader, Manager
from alcor.model.resource import Attribute, Who
from alcor.model.value import Nullable
from alcor.store.interface import Store

_encoder = msgspec.json.Encoder()


def encode(value: Any) -> bytes:
    """The JSON text of an answer; structs inside rows become objects."""
    return _encoder.encode(value)


@dataclass(frozen=True, slots=True)
class Selection:
    """The attributes of one answer, by where they come from."""

    names: tuple[str, ...]
    getter: Callable[[Any], tuple[Any, ...]]
    derived: tuple[tuple[str, Callable[[Any], Any]], ...]
    loaded: tuple[tuple[str, Loader], ...]


class View:
    """What a resource shows.

    Raises at construction: ValueError if a computed attribute has neither a rule, nor a loader, nor may be absent.
    """

    def __init__(self, manager: Manager) -> None:
        resource = manager.resource
        self.member = resource.name
        self.collection = resource.collection.replace("-", "_")
        self._manager = manager
        self._check()
        self._all = {
            is_admin: [
                a for a in resource.attributes if a.see is Who.ANYONE or (is_admin and a.see is Who.ADMIN)
            ]
            for is_admin in (False, True)
        }
        self._whole = {is_admin: self._selection(self._all[is_admin], None) for is_admin in (False, True)}

    def _check(self) -> None:
        resource, loaders = self._manager.resource, self._manager.computed
        for name in loaders:
            attribute = resource.attribute(name)
            if attribute is None or attribute.stored or attribute.derive is not None:
                raise ValueError(f"{resource.name}: '{name}' has a loader but is not a computed attribute")
        for a in resource.attributes:
            if a.stored or a.derive is not None or a.name in loaders:
                continue
            if not isinstance(a.type, Nullable):
                raise ValueError(f"{resource.name}: computed attribute '{a.name}' has no loader")

    def selection(self, caller: Caller, fields: Collection[str]) -> Selection:
        """What to show of a row; all that the caller sees if `fields` is empty. Unknown fields are passed over,
        as the reference does (Nova asks for fields of extensions that may not be there)."""
        if not fields:
            return self._whole[caller.is_admin]
        return self._selection(self._all[caller.is_admin], set(fields))

    def _selection(self, attributes: Sequence[Attribute], fields: set[str] | None) -> Selection:
        stored: list[tuple[str, str]] = []
        derived: list[tuple[str, Callable[[Any], Any]]] = []
        loaded: list[tuple[str, Loader]] = []
        for a in attributes:
            names = [a.name, "tenant_id"] if a.name == "project_id" else [a.name]
            wanted = [name for name in names if fields is None or name in fields]
            if a.stored:
                stored.extend((name, a.field) for name in wanted)
            elif wanted and a.derive is not None:
                derived.append((a.name, a.derive))
            elif wanted and a.name in self._manager.computed:
                loaded.append((a.name, self._manager.computed[a.name]))
        return Selection(
            tuple(name for name, _ in stored), _getter([f for _, f in stored]), tuple(derived), tuple(loaded)
        )

    async def shown(
        self, store: Store, rows: Sequence[Any], selection: Selection, extra: Sequence[Mapping[str, Any]] = ()
    ) -> list[dict[str, Any]]:
        """The rows as clients see them. `extra[i]`: what the manager says of row i, instead of loading it."""
        names, getter = selection.names, selection.getter
        documents = [dict(zip(names, getter(row), strict=True)) for row in rows]
        for name, derive in selection.derived:
            for document, row in zip(documents, rows, strict=True):
                document[name] = derive(row)
        for document, more in zip(documents, extra, strict=False):
            document.update(more)
        for name, loader in selection.loaded:
            absent = [row for row, document in zip(rows, documents, strict=True) if name not in document]
            if not absent:
                continue
            values = await loader(store, absent)
            for document, row in zip(documents, rows, strict=True):
                if name not in document:
                    document[name] = values[row.id]
        return documents


def _getter(fields: Sequence[str]) -> Callable[[Any], tuple[Any, ...]]:
    """A function from a row to the values of `fields`, always a tuple."""
    if not fields:
        return lambda _row: ()
    if len(fields) == 1:
        single = attrgetter(fields[0])
        return lambda row: (single(row),)
    return attrgetter(*fields)
