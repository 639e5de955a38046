"""A `Query` in PostgreSQL's words: one statement, whose pieces are plain index walks.

As in the embedded store, the rows after a marker are a few ranges, each walked by one index (`ranges_after` says
why); here they are the arms of one UNION ALL, numbered by `piece`, so that a page is one round trip.
Null sorts before every value, text by its code points (collation "C").
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from alcor.model.errors import InvalidInput
from alcor.store.interface import Condition, Op, Query
from alcor.store.schema import ColumnType, SideTable, Table

_OF_ALL_ROWS = frozenset({Op.ALL, Op.NOT_ALL, Op.NONE})
_SQL_TYPES = {ColumnType.TEXT: "text", ColumnType.INTEGER: "bigint", ColumnType.BOOLEAN: "boolean"}
_INT64_MAX = 2**63 - 1


class Parameters:
    """The values of a statement's `$1`, `$2` …"""

    def __init__(self) -> None:
        self.values: list[Any] = []

    def add(self, value: Any) -> str:
        """Append a value; its name in the statement."""
        self.values.append(value)
        return f"${len(self.values)}"


@dataclass(frozen=True, slots=True)
class Expression:
    """A value of a row in SQL."""

    sql: str
    type: ColumnType


@dataclass(frozen=True, slots=True)
class Key:
    """One sort key."""

    expression: Expression
    descending: bool
    nullable: bool

    @property
    def order(self) -> str:
        way = "DESC" if self.descending else "ASC"
        # Of what is never null (`id`) nothing is said: the indexes have it so, and a word more would make it a sort.
        nulls = (" NULLS LAST" if self.descending else " NULLS FIRST") if self.nullable else ""
        return f"{self.expression.sql} {way}{nulls}"


@dataclass(frozen=True, slots=True)
class Range:
    """A piece of the order: what confines it, and the keys it is walked by."""

    conditions: tuple[str, ...]
    keys: tuple[Key, ...]


def quote(name: str) -> str:
    """`name` as an SQL identifier; our names hold no quotes (they are Python identifiers)."""
    return f'"{name}"'


def sql_type(type: ColumnType) -> str:
    """A column's type."""
    return _SQL_TYPES[type]


def expression(table: Table, field: str) -> Expression:
    """What a field is in SQL. Raises: InvalidInput if the entity has no such field."""
    if field == "id":
        return Expression("id", ColumnType.TEXT)
    for column in table.columns:
        if column.name == field:
            return Expression(quote(field), column.type)
    if field in table.fields:
        type = _field_type(table, field)
        inside = f"(document::jsonb ->> '{field}')"
        if type is ColumnType.TEXT:
            return Expression(f'{inside} COLLATE "C"', type)
        return Expression(f"{inside}::{_SQL_TYPES[type]}", type)
    raise InvalidInput(f"{table.name} has no stored attribute of this name", attribute=field)


def _field_type(table: Table, field: str) -> ColumnType:
    schema = msgspec.inspect.type_info(table.resource.entity)
    assert isinstance(schema, msgspec.inspect.StructType)
    type = next(f.type for f in schema.fields if f.name == field)
    types = type.types if isinstance(type, msgspec.inspect.UnionType) else (type,)
    if any(isinstance(one, msgspec.inspect.IntType) for one in types):
        return ColumnType.INTEGER
    if any(isinstance(one, msgspec.inspect.BoolType) for one in types):
        return ColumnType.BOOLEAN
    return ColumnType.TEXT


def where(table: Table, conditions: Sequence[Condition], parameters: Parameters) -> list[str]:
    """Expressions that must all hold. Plain conditions on one look-up hold in one and the same row of it."""
    parts: list[str] = []
    aside: dict[str, list[str]] = {}
    for condition in conditions:
        name, dot, column = condition.field.partition(".")
        if not dot:
            parts.append(_plain(table, condition, parameters))
            continue
        side = next((s for s in table.sides if s.lookup.name == name), None)
        if side is None or column not in side.lookup.columns:
            raise InvalidInput(f"{table.name} has no such look-up", attribute=condition.field)
        kept = next(c for c in side.columns if c.name == column)
        value = Expression(quote(column), kept.type)
        if condition.op in _OF_ALL_ROWS:
            parts.append(_of_all_rows(table, side, value, condition, parameters))
        else:
            aside.setdefault(side.name, []).append(_compare(value, condition, parameters))
    for side_name, clauses in aside.items():
        parts.append(f"id IN (SELECT owner FROM {quote(side_name)} WHERE {' AND '.join(clauses)})")
    return parts


def sort_keys(table: Table, query: Query) -> tuple[Key, ...]:
    """The keys in walking order, `id` last, in the direction of the key before it."""
    keys: list[Key] = []
    descending = False
    for sort in query.sort:
        descending = sort.descending
        keys.append(Key(expression(table, sort.field), descending != query.reverse, sort.field != "id"))
        if sort.field == "id":
            return tuple(keys)
    keys.append(Key(expression(table, "id"), descending != query.reverse, False))
    return tuple(keys)


def ranges_after(keys: tuple[Key, ...], marker: Sequence[Any], parameters: Parameters) -> list[Range]:
    """The pieces of the order after the row whose key values are `marker`, nearest first.

    Those after (a, b, id) in the order A, B, id are: A = a, B = b, id after; A = a, B after b; A after a. An OR of
    the three would be sorted or scanned; each by itself is a walk of the index on (A, id).
    """
    found: list[Range] = []
    for place in reversed(range(len(keys))):
        key, value = keys[place], marker[place]
        if key.descending and value is None:
            # Null is the last.
            continue
        same = tuple(
            _equals(key, value, parameters) for key, value in zip(keys[:place], marker[:place], strict=True)
        )
        sql = key.expression.sql
        if key.descending:
            found.append(Range((*same, f"{sql} < {parameters.add(value)}"), keys[place:]))
            if key.nullable:
                found.append(Range((*same, f"{sql} IS NULL"), keys[place + 1 :]))
        else:
            later = f"{sql} IS NOT NULL" if value is None else f"{sql} > {parameters.add(value)}"
            found.append(Range((*same, later), keys[place:]))
    return found


def list_statement(
    table: Table, query: Query, marker: Sequence[Any] | None, columns: str = "id, document"
) -> tuple[str, list[Any]]:
    """The statement of a list and its values; rows are (piece, id, document), to be sorted by piece alone."""
    parameters = Parameters()
    asked = where(table, query.where, parameters)
    keys = sort_keys(table, query)
    ranges = [Range((), keys)] if marker is None else ranges_after(keys, marker, parameters)
    limit = "" if query.limit is None else f" LIMIT {parameters.add(query.limit)}"
    arms = []
    for piece, each in enumerate(ranges):
        conditions = " AND ".join((*asked, *each.conditions)) or "true"
        order = ", ".join(key.order for key in each.keys)
        arms.append(
            f"(SELECT {piece} AS piece, {columns} FROM {quote(table.name)} WHERE {conditions} "
            f"ORDER BY {order}{limit})"
        )
    return " UNION ALL ".join(arms) + (limit if len(arms) > 1 else ""), parameters.values


def marker_statement(table: Table, query: Query) -> str:
    """The statement that gives a marker's key values; its parameter is the marker."""
    keys = ", ".join(key.expression.sql for key in sort_keys(table, query))
    return f"SELECT {keys} FROM {quote(table.name)} WHERE id = $1"


def count_statement(table: Table, query: Query) -> tuple[str, list[Any]]:
    """The statement that counts, and its values."""
    parameters = Parameters()
    conditions = " AND ".join(where(table, query.where, parameters)) or "true"
    return f"SELECT count(*) FROM {quote(table.name)} WHERE {conditions}", parameters.values


def count_by_statement(table: Table, field: str, values: Sequence[str]) -> tuple[str, list[Any]]:
    """The statement that counts the rows of each value of a column, and its values."""
    parameters = Parameters()
    [condition] = where(table, (Condition(field, tuple(values)),), parameters)
    column = quote(field)
    return (
        f"SELECT {column}, count(*) FROM {quote(table.name)} WHERE {condition} GROUP BY {column}",
        parameters.values,
    )


def _equals(key: Key, value: Any, parameters: Parameters) -> str:
    sql = key.expression.sql
    return f"{sql} IS NULL" if value is None else f"{sql} = {parameters.add(value)}"


def _plain(table: Table, condition: Condition, parameters: Parameters) -> str:
    """A condition on a field of the row itself."""
    value = expression(table, condition.field)
    if condition.op not in _OF_ALL_ROWS:
        return _compare(value, condition, parameters)
    if condition.op is not Op.NONE:
        raise InvalidInput(
            f"only a look-up has several values to ask {condition.op} of", attribute=condition.field
        )
    if not condition.values:
        return "false"
    some = _compare(value, Condition(condition.field, condition.values), parameters)
    return f"({some}) IS NOT TRUE"


def _of_all_rows(
    table: Table, side: SideTable, value: Expression, condition: Condition, parameters: Parameters
) -> str:
    """A condition on all rows of a look-up together; no values match nothing."""
    if not condition.values:
        return "false"
    if condition.op is Op.NONE:
        some = _compare(value, Condition(condition.field, condition.values), parameters)
        owned = f"owner = {quote(table.name)}.id"
        return f"NOT EXISTS (SELECT 1 FROM {quote(side.name)} WHERE {owned} AND {some})"
    wanted = list(dict.fromkeys(condition.values))
    values = [each for each in wanted if each is not None]
    every: list[str] = []
    if values:
        fit = _fitting(value.type, values)
        if len(fit) < len(values):
            every.append("false")
        else:
            array = f"{parameters.add(fit)}::{_SQL_TYPES[value.type]}[]"
            every.append(
                f"id IN (SELECT owner FROM {quote(side.name)} WHERE {value.sql} = ANY({array}) GROUP BY owner "
                f"HAVING count(DISTINCT {value.sql}) = {parameters.add(len(values))})"
            )
    if len(values) < len(wanted):
        every.append(f"id IN (SELECT owner FROM {quote(side.name)} WHERE {value.sql} IS NULL)")
    both = " AND ".join(every)
    return f"NOT ({both})" if condition.op is Op.NOT_ALL else both


def _compare(value: Expression, condition: Condition, parameters: Parameters) -> str:
    """One condition: its values ORed; no values match nothing."""
    values = [each for each in condition.values if each is not None]
    parts: list[str] = []
    match condition.op:
        case Op.CONTAINS:
            parts += [
                f"strpos(({value.sql})::text, {parameters.add(each)}) > 0"
                for each in _fitting(ColumnType.TEXT, values)
            ]
        case Op.SINCE:
            parts += [f"{value.sql} >= {parameters.add(each)}" for each in _fitting(value.type, values)]
        case _:
            if fit := _fitting(value.type, values):
                parts.append(_is_one_of(value, fit, parameters))
            if len(values) < len(condition.values):
                parts.append(f"{value.sql} IS NULL")
    if len(parts) == 1:
        return parts[0]
    return f"({' OR '.join(parts)})" if parts else "false"


def _is_one_of(value: Expression, values: list[Any], parameters: Parameters) -> str:
    # One value by itself lets the index on (column, id) also give the order.
    if len(values) == 1:
        return f"{value.sql} = {parameters.add(values[0])}"
    return f"{value.sql} = ANY({parameters.add(values)}::{_SQL_TYPES[value.type]}[])"


def _fitting(type: ColumnType, values: list[Any]) -> list[Any]:
    """Those values that a column of this type can hold at all; no row has the others."""
    match type:
        case ColumnType.TEXT:
            return [each for each in values if isinstance(each, str) and "\0" not in each]
        case ColumnType.INTEGER:
            return [
                int(each)
                for each in values
                if isinstance(each, int) and -_INT64_MAX - 1 <= each <= _INT64_MAX
            ]
        case ColumnType.BOOLEAN:
            return [bool(each) for each in values if isinstance(each, int) and each in (0, 1)]
