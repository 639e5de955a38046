"""Where a collection's rows are: stored and owned by projects, inside a parent's, or made from others.

One interface for the engine: `find` one that a path names, `page` of those a list request asks for. `names` are what
the path's braces hold: the row's key last, its parent's id before it.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Protocol

from alcor.api.access import Access
from alcor.api.rows import select
from alcor.api.visibility import Visibility
from alcor.managers.interface import Caller, Manager, Rows, Source
from alcor.model.errors import NotFound
from alcor.model.resource import Entity, Parent
from alcor.store.interface import Condition, Query, Store

Names = Sequence[str]


class Finder(Protocol):
    """A collection's rows, as far as a caller sees them."""

    async def find(self, rows: Rows, caller: Caller, names: Names) -> Any:
        """The row that a path names. Raises: NotFound, also for a row the caller does not see."""

    async def page(self, rows: Rows, caller: Caller, names: Names, query: Query) -> list[Any]:
        """The rows of a query that the caller sees. `names`: those of the collection's own path."""


class Stored:
    """Rows of a collection of its own."""

    def __init__(self, manager: Manager, access: Access) -> None:
        self._visibility = Visibility(manager, access)

    async def find(self, rows: Rows, caller: Caller, names: Names) -> Any:
        """The row of an id."""
        return await self._visibility.find(rows, caller, names[-1])

    async def page(self, rows: Rows, caller: Caller, names: Names, query: Query) -> list[Any]:
        """One page."""
        return await self._visibility.page(rows, caller, query)


class Nested:
    """Rows inside a parent's: seen by who sees the parent, if the rule that reads them says so too."""

    def __init__(self, manager: Manager, access: Access, parent: Parent, above: Finder) -> None:
        self._resource, self._access, self._parent, self._above = manager.resource, access, parent, above
        key = manager.resource.attribute(manager.resource.key)
        assert key is not None, f"{manager.resource.name}: the key '{manager.resource.key}' is no attribute"
        self._key = key.field

    async def parent(self, rows: Rows, caller: Caller, names: Names) -> Entity:
        """The row all of them are in. Raises: NotFound."""
        row: Entity = await self._above.find(rows, caller, names[:1])
        return row

    async def find(self, rows: Rows, caller: Caller, names: Names) -> Any:
        """The row of a key within the parent."""
        parent = await self.parent(rows, caller, names)
        where = (Condition(self._parent.field, (parent.id,)), Condition(self._key, (names[1],)))
        found = await rows.list(self._resource.entity, Query(where, limit=1))
        if not found or not await self._access.sees_within(rows, caller, parent, self._parent.field):
            raise NotFound(self._resource.error_name or self._resource.name, names[1])
        return found[0]

    async def page(self, rows: Rows, caller: Caller, names: Names, query: Query) -> list[Any]:
        """One page of the parent's."""
        parent = await self.parent(rows, caller, names)
        if not await self._access.sees_within(rows, caller, parent, self._parent.field):
            return []
        where = (*query.where, Condition(self._parent.field, (parent.id,)))
        return await rows.list(self._resource.entity, replace(query, where=where))


class Made:
    """Rows that are made anew for each request; they are few, and nobody writes them."""

    def __init__(self, manager: Manager, access: Access, store: Store, source: Source) -> None:
        self._resource, self._access, self._store, self._source = manager.resource, access, store, source
        self._narrow = manager.narrow
        key = manager.resource.attribute(manager.resource.key)
        assert key is not None, f"{manager.resource.name}: the key '{manager.resource.key}' is no attribute"
        self._key = key.field

    async def find(self, rows: Rows, caller: Caller, names: Names) -> Any:
        """The row of a key."""
        for row in await self._all(caller):
            if getattr(row, self._key) == names[-1]:
                return row
        raise NotFound(self._resource.error_name or self._resource.name, names[-1])

    async def page(self, rows: Rows, caller: Caller, names: Names, query: Query) -> list[Any]:
        """One page."""
        found = select(self._resource, await self._all(caller), query)
        return found if self._narrow is None else [self._narrow(row, query) for row in found]

    async def _all(self, caller: Caller) -> Sequence[Entity]:
        known = self._access.sees_all(caller)
        if known is False:
            return ()
        rows = await self._source(self._store, caller)
        return rows if known else [row for row in rows if self._access.sees(caller, row)]
