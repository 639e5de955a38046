"""How rows become answers: the attributes a caller sees, computed ones only when they are asked for.

Prepared at start: per resource and kind of caller one selection of names, one getter of stored fields.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import msgspec

from alcor.api.access import Access, Profile
from alcor.api.policy import Rule
from alcor.managers.interface import Caller, Joint, Loader, Manager
from alcor.managers.sharing import shared_of
from alcor.model.catalogue import BY_ENTITY
from alcor.model.resource import PartOf, Who
from alcor.model.value import Nullable
from alcor.store.interface import Store

# Selections of whole answers kept; there is one per set of attributes that some kind of caller sees.
_SELECTIONS_MAX = 256

_encoder = msgspec.json.Encoder()


def encode(value: Any) -> bytes:
    """The JSON text of an answer; structs inside rows become objects."""
    return _encoder.encode(value)


@dataclass(frozen=True, slots=True)
class _Part:
    """Attributes of one part that few rows have. `usual`: what the others show, by attribute."""

    of: Callable[[Any], Any]
    names: tuple[str, ...]
    getter: Callable[[Any], tuple[Any, ...]]
    usual: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Selection:
    """The attributes of one answer, by where they come from."""

    names: tuple[str, ...]
    getter: Callable[[Any], tuple[Any, ...]]
    derived: tuple[tuple[str, Callable[[Any], Any]], ...]
    parts: tuple["_Part", ...]
    loaded: tuple[tuple[tuple[str, ...], Loader | Joint], ...]
    by_row: tuple[tuple[str, Rule], ...] = ()
    hidden: frozenset[str] = frozenset()


class View:
    """What a resource shows. Prepared once per kind of caller.

    Raises at construction: ValueError if a computed attribute has neither a rule, nor a loader, nor may be absent.
    """

    def __init__(self, manager: Manager, access: Access) -> None:
        resource = manager.resource
        self.member = resource.member_key
        self.collection = resource.collection_key
        self._manager = manager
        self._access = access
        self._computed: dict[str, Loader | Joint] = dict(manager.computed)
        self._computed |= {name: joint for joint in manager.joint for name in joint.names}
        if resource.shared_as and resource.attribute("shared") is not None:
            self._computed.setdefault("shared", _load_shared)
        self._check()
        self._all = [a for a in resource.attributes if a.see is not Who.NOBODY]
        self._whole: dict[Profile, Selection] = {}

    def _check(self) -> None:
        resource, loaders = self._manager.resource, self._computed
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
        profile = self._access.profile(caller)
        if fields:
            return self._selection(profile, set(fields))
        found = self._whole.get(profile)
        if found is None:
            if len(self._whole) >= _SELECTIONS_MAX:
                self._whole.clear()
            found = self._whole[profile] = self._selection(profile, None)
        return found

    def _selection(self, profile: Profile, fields: set[str] | None) -> Selection:
        attributes = [a for a in self._all if a.name not in profile.hidden]
        stored: list[tuple[str, str]] = []
        derived: list[tuple[str, Callable[[Any], Any]]] = []
        loaded: dict[tuple[str, ...], tuple[tuple[str, ...], Loader | Joint]] = {}
        for a in attributes:
            names = [a.name, "tenant_id"] if a.name == "project_id" else [a.name]
            wanted = [name for name in names if fields is None or name in fields]
            if a.stored:
                stored.extend((name, a.field) for name in wanted)
            elif wanted and a.derive is not None:
                derived.append((a.name, a.derive))
            elif wanted and a.name in self._computed:
                loader = self._computed[a.name]
                key = loader.names if isinstance(loader, Joint) else (a.name,)
                before = loaded[key][0] if key in loaded else ()
                loaded[key] = ((*before, a.name), loader)
        return Selection(
            tuple(name for name, _ in stored),
            _getter([f for _, f in stored]),
            tuple((name, derive) for name, derive in derived if not isinstance(derive, PartOf)),
            _parts(derived),
            tuple(loaded.values()),
            profile.by_row,
            profile.hidden,
        )

    async def shown(
        self,
        store: Store,
        caller: Caller,
        rows: Sequence[Any],
        selection: Selection,
        extra: Sequence[Mapping[str, Any]] = (),
    ) -> list[dict[str, Any]]:
        """The rows as clients see them. `extra[i]`: what the manager says of row i, instead of loading it."""
        names, getter = selection.names, selection.getter
        documents = [dict(zip(names, getter(row), strict=True)) for row in rows]
        for name, derive in selection.derived:
            for document, row in zip(documents, rows, strict=True):
                document[name] = derive(row)
        for part in selection.parts:
            for document, row in zip(documents, rows, strict=True):
                held = part.of(row)
                document.update(
                    part.usual if held is None else zip(part.names, part.getter(held), strict=True)
                )
        for document, more in zip(documents, extra, strict=False):
            document.update((name, value) for name, value in more.items() if name not in selection.hidden)
        for wanted, loader in selection.loaded:
            await _load(store, caller, rows, documents, wanted, loader)
        for name, rule in selection.by_row:
            for document, row in zip(documents, rows, strict=True):
                if name in document and not rule.allows(caller, self._access.row_target(row)):
                    del document[name]
                    if name == "project_id":
                        document.pop("tenant_id", None)
        return documents


async def _load(
    store: Store,
    caller: Caller,
    rows: Sequence[Any],
    documents: Sequence[dict[str, Any]],
    names: tuple[str, ...],
    loader: Loader | Joint,
) -> None:
    """Add computed attributes to the documents that do not have them yet."""
    absent = [row for row, document in zip(rows, documents, strict=True) if not document.keys() >= set(names)]
    if not absent:
        return
    if isinstance(loader, Joint):
        found = await loader.load(store, caller, absent, names)
    else:
        found = {names[0]: await loader(store, caller, absent)}
    for name in names:
        values = found[name]
        for document, row in zip(documents, rows, strict=True):
            if name not in document:
                document[name] = values[row.id]


async def _load_shared(store: Store, caller: Caller, rows: Sequence[Any]) -> dict[str, bool]:
    """Whether each row is opened to the caller's project, or to all. Cost: one read."""
    resource = BY_ENTITY[type(rows[0])]
    ids = [row.id for row in rows]
    found = await shared_of(store.reader, resource.name, resource.shared_as, ids, caller.project_id)
    return {id: id in found for id in ids}


def _parts(derived: Sequence[tuple[str, Callable[[Any], Any]]]) -> tuple[_Part, ...]:
    """The attributes of parts, one entry for each part."""
    fields = dict.fromkeys(derive.field for _, derive in derived if isinstance(derive, PartOf))
    found = []
    for field in fields:
        members = [
            (name, derive) for name, derive in derived if isinstance(derive, PartOf) and derive.field == field
        ]
        getter = _getter([derive.name for _, derive in members])
        names = tuple(name for name, _ in members)
        usual = dict(zip(names, getter(members[0][1].nothing), strict=True))
        found.append(_Part(attrgetter(field), names, getter, usual))
    return tuple(found)


def _getter(fields: Sequence[str]) -> Callable[[Any], tuple[Any, ...]]:
    """A function from a row to the values of `fields`, always a tuple."""
    if not fields:
        return lambda _row: ()
    if len(fields) == 1:
        single = attrgetter(fields[0])
        return lambda row: (single(row),)
    return attrgetter(*fields)
