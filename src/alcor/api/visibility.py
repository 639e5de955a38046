"""Which rows a caller sees: its project's, those opened to it by RBAC, what else its manager's `Sight` says.

A list is one keyset stream per reason, merged by the sort order: never one OR that no index can serve.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from alcor.api.access import Access
from alcor.managers.interface import Caller, Manager, Rows
from alcor.managers.sharing import ids_shared_with
from alcor.model.errors import NotFound
from alcor.model.resource import Entity
from alcor.store.interface import Condition, Query

Where = tuple[Condition, ...]


class Visibility:
    """What a caller sees of one stored resource that has no parent collection."""

    def __init__(self, manager: Manager, access: Access) -> None:
        self._resource = manager.resource
        self._sight = manager.sight
        self._access = access
        self._owned = manager.resource.attribute("project_id") is not None

    async def find(self, rows: Rows, caller: Caller, id: str) -> Entity:
        """The row, if the caller sees it; one it does not see is as good as none. Raises: NotFound."""
        row = await rows.find(self._resource.entity, id)
        if row is None or not await self._sees(rows, caller, row):
            raise NotFound(self._resource.error_name or self._resource.name, id)
        return row

    async def _sees(self, rows: Rows, caller: Caller, row: Entity) -> bool:
        known = self._access.sees_all(caller)
        if known is not None:
            return known
        if self._access.sees(caller, row):
            return True
        shared = await self._shared(rows, caller)
        if row.id in shared and self._access.sees(caller, row, shared=True):
            return True
        for where in await self._more(rows, caller):
            if await rows.list(self._resource.entity, Query((Condition("id", (row.id,)), *where), limit=1)):
                return True
        return False

    async def page(self, rows: Rows, caller: Caller, query: Query) -> list[Any]:
        """The rows of a query that the caller sees, in its order.

        Cost: one indexed read per reason; nearly always one.
        """
        known = self._access.sees_all(caller)
        if known is False:
            return []
        if known is True:
            return await rows.list(self._resource.entity, query)
        streams: list[tuple[Where, bool]] = []
        if self._owned:
            streams.append(((Condition("project_id", (caller.project_id,)),), False))
        if shared := await self._shared(rows, caller):
            streams.append(((Condition("id", shared),), True))
        found: dict[str, Any] = {}
        for where, is_shared in streams:
            for row in await rows.list(self._resource.entity, _within(query, where)):
                if row.id not in found and self._access.sees(caller, row, shared=is_shared):
                    found[row.id] = row
        for where in await self._more(rows, caller):
            for row in await rows.list(self._resource.entity, _within(query, where)):
                found.setdefault(row.id, row)
        return _ordered(list(found.values()), query)

    async def _shared(self, rows: Rows, caller: Caller) -> tuple[str, ...]:
        actions = self._resource.shared_as
        return await ids_shared_with(rows, self._resource.kind, actions, caller.project_id) if actions else ()

    async def _more(self, rows: Rows, caller: Caller) -> Sequence[Where]:
        return await self._sight(rows, caller) if self._sight is not None else ()


def _within(query: Query, where: Where) -> Query:
    return replace(query, where=(*query.where, *where))


def _ordered(rows: list[Any], query: Query) -> list[Any]:
    """Rows of several streams in the query's order, cut to its limit: nearest to the marker first."""
    descending = query.sort[-1].descending if query.sort else False
    rows.sort(key=lambda row: row.id, reverse=descending)
    for sort in reversed(query.sort):
        rows.sort(key=lambda row: null_first(getattr(row, sort.field)), reverse=sort.descending)
    if query.limit is None:
        return rows
    return rows[-query.limit :] if query.reverse else rows[: query.limit]


def null_first(value: Any) -> tuple[bool, Any]:
    """A sort key by which null comes before every value, as the store has it. Lists and objects compare as text."""
    if isinstance(value, list | tuple | dict):
        value = str(value)
    return (value is not None, value if value is not None else 0)
