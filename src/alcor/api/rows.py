"""A list request answered from rows in memory: for collections that are made, not stored."""

from collections.abc import Sequence
from typing import Any

from alcor.api.visibility import null_first
from alcor.model.errors import NotFound
from alcor.model.resource import Resource
from alcor.store.interface import Condition, Op, Query


def select(resource: Resource, rows: Sequence[Any], query: Query) -> list[Any]:
    """The rows of `query`, as a store would give them. Raises: NotFound if the marker names no row."""
    found = [row for row in rows if all(_matches(row, condition) for condition in query.where)]
    descending = query.sort[-1].descending if query.sort else False
    found.sort(key=lambda row: row.id, reverse=descending)
    for sort in reversed(query.sort):
        found.sort(key=lambda row: null_first(getattr(row, sort.field)), reverse=sort.descending)
    if query.marker is not None:
        place = next((place for place, row in enumerate(found) if row.id == query.marker), None)
        if place is None:
            raise NotFound(resource.error_name or resource.name, query.marker)
        found = found[:place] if query.reverse else found[place + 1 :]
    if query.limit is None:
        return found
    return found[-query.limit :] if query.reverse else found[: query.limit]


def _matches(row: Any, condition: Condition) -> bool:
    name, dot, _column = condition.field.partition(".")
    value = getattr(row, name)
    held = set(value) if dot or isinstance(value, list | tuple) else {value}
    wanted = set(condition.values)
    match condition.op:
        case Op.IN:
            return bool(held & wanted)
        case Op.NONE:
            return not held & wanted
        case Op.ALL:
            return wanted <= held
        case Op.NOT_ALL:
            return not wanted <= held
        case Op.CONTAINS:
            return any(part in str(one) for part in wanted for one in held)
        case Op.SINCE:
            return any(str(one) >= str(moment) for moment in wanted for one in held)
