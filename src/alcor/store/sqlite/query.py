"""A `Query` as SQL. Conditions become one WHERE; a marker becomes a few ranges, each a plain index walk.

Why ranges: the rows after a marker (a, b, id) in the order of keys A, B, id are, in this order, those with A = a,
B = b, id after; those with A = a, B after b; those with A after a. One OR of the three makes SQLite sort or scan; one
statement each is a walk of the index on (A, id), whatever the directions and the nulls. Null sorts before every value.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from alcor.model.errors import InvalidInput
from alcor.store.interface import Condition, Op, Query
from alcor.store.schema import SideTable, Table

# Above this many values a list travels as one JSON parameter: no limit of variables, no new statement per length.
_VALUES_INLINE_MAX = 16
_OF_ALL_ROWS = frozenset({Op.ALL, Op.NOT_ALL, Op.NONE})


@dataclass(frozen=True, slots=True)
class Clause:
    """A boolean SQL expression and its parameters."""

    sql: str
    parameters: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class Key:
    """One sort key as SQL."""

    sql: str
    descending: bool
    nullable: bool

    @property
    def order(self) -> str:
        return f"{self.sql} DESC" if self.descending else self.sql


@dataclass(frozen=True, slots=True)
class Range:
    """A piece of the order: what confines it, and the keys it is walked by."""

    clause: Clause
    keys: tuple[Key, ...]


def quote(name: str) -> str:
    """`name` as an SQL identifier; our names hold no quotes (they are Python identifiers)."""
    return f'"{name}"'


def expression(table: Table, field: str) -> str:
    """What a field is in SQL. Raises: InvalidInput if the entity has no such field."""
    if field == "id" or field in table.column_names:
        return quote(field)
    if field in table.fields:
        return f"json_extract(document, '$.{field}')"
    raise InvalidInput(f"{table.name} has no stored attribute of this name", attribute=field)


def where(table: Table, conditions: Sequence[Condition]) -> Clause:
    """All conditions ANDed. Those on one lookup must hold in one and the same row of it."""
    parts: list[Clause] = []
    aside: dict[str, list[Clause]] = {}
    for condition in conditions:
        name, dot, column = condition.field.partition(".")
        if not dot:
            parts.append(_plain(table, condition))
            continue
        side = next((s for s in table.sides if s.lookup.name == name), None)
        if side is None or column not in side.lookup.columns:
            raise InvalidInput(f"{table.name} has no such look-up", attribute=condition.field)
        if condition.op in _OF_ALL_ROWS:
            parts.append(_of_all_rows(table, side, quote(column), condition))
        else:
            aside.setdefault(side.name, []).append(_compare(quote(column), condition))
    for side_name, clauses in aside.items():
        inner = conjunction(clauses)
        sql = f"id IN (SELECT owner FROM {quote(side_name)} WHERE {inner.sql})"
        parts.append(Clause(sql, inner.parameters))
    return conjunction(parts)


def _plain(table: Table, condition: Condition) -> Clause:
    """A condition on a field of the row itself."""
    sql = expression(table, condition.field)
    if condition.op not in _OF_ALL_ROWS:
        return _compare(sql, condition)
    if condition.op is not Op.NONE:
        raise InvalidInput(
            f"only a look-up has several values to ask {condition.op} of", attribute=condition.field
        )
    if not condition.values:
        return Clause("0")
    some = _compare(sql, Condition(condition.field, condition.values))
    # Of null every comparison is null, which is not false: IS NOT TRUE is.
    return Clause(f"({some.sql}) IS NOT TRUE", some.parameters)


def _of_all_rows(table: Table, side: SideTable, column: str, condition: Condition) -> Clause:
    """A condition on all rows of a look-up together; no values match nothing."""
    if not condition.values:
        return Clause("0")
    if condition.op is Op.NONE:
        some = _compare(column, Condition(condition.field, condition.values))
        # Asked row by row: a page looks at as many as it shows, however many have the values.
        owned = f"owner = {quote(table.name)}.id"
        return Clause(
            f"NOT EXISTS (SELECT 1 FROM {quote(side.name)} WHERE {owned} AND {some.sql})", some.parameters
        )
    every: list[Clause] = []
    wanted = list(dict.fromkeys(condition.values))
    values = [value for value in wanted if value is not None]
    if values:
        some = _is_one_of(column, values)
        sql = f"id IN (SELECT owner FROM {quote(side.name)} WHERE {some.sql}"
        if len(values) > 1:
            sql += f" GROUP BY owner HAVING count(DISTINCT {column}) = {len(values)}"
        every.append(Clause(f"{sql})", some.parameters))
    if len(values) < len(wanted):
        every.append(Clause(f"id IN (SELECT owner FROM {quote(side.name)} WHERE {column} IS NULL)"))
    both = conjunction(every)
    return Clause(f"NOT ({both.sql})", both.parameters) if condition.op is Op.NOT_ALL else both


def conjunction(clauses: Sequence[Clause]) -> Clause:
    """`clauses` ANDed; true if there are none."""
    if not clauses:
        return Clause("1")
    return Clause(
        " AND ".join(clause.sql for clause in clauses),
        tuple(parameter for clause in clauses for parameter in clause.parameters),
    )


def sort_keys(table: Table, query: Query) -> tuple[Key, ...]:
    """The keys in walking order. `id` ends every order and goes the way of the key before it, so that the whole order
    is one index read forwards or backwards."""
    keys: list[Key] = []
    descending = False
    for sort in query.sort:
        descending = sort.descending
        keys.append(Key(expression(table, sort.field), descending != query.reverse, sort.field != "id"))
        if sort.field == "id":
            return tuple(keys)
    keys.append(Key(quote("id"), descending != query.reverse, False))
    return tuple(keys)


def ranges_after(keys: tuple[Key, ...], marker: Sequence[Any]) -> list[Range]:
    """The pieces of the order after the row whose key values are `marker`, nearest first."""
    found: list[Range] = []
    for place in reversed(range(len(keys))):
        same = [_equals(key, value) for key, value in zip(keys[:place], marker[:place], strict=True)]
        key, value = keys[place], marker[place]
        if key.descending and value is not None:
            found.append(Range(conjunction([*same, Clause(f"{key.sql} < ?", (value,))]), keys[place:]))
            if key.nullable:
                null = Clause(f"{key.sql} IS NULL")
                found.append(Range(conjunction([*same, null]), keys[place + 1 :]))
        elif not key.descending:
            later = Clause(f"{key.sql} IS NOT NULL") if value is None else Clause(f"{key.sql} > ?", (value,))
            found.append(Range(conjunction([*same, later]), keys[place:]))
    return found


def _equals(key: Key, value: Any) -> Clause:
    return Clause(f"{key.sql} IS NULL") if value is None else Clause(f"{key.sql} = ?", (value,))


def _compare(sql: str, condition: Condition) -> Clause:
    """One condition: its values ORed; no values match nothing."""
    values = [value for value in condition.values if value is not None]
    parts: list[Clause] = []
    match condition.op:
        case Op.IN:
            if values:
                parts.append(_is_one_of(sql, values))
            if len(values) < len(condition.values):
                parts.append(Clause(f"{sql} IS NULL"))
        case Op.CONTAINS:
            parts += [Clause(f"instr({sql}, ?) > 0", (value,)) for value in values]
        case Op.SINCE:
            parts += [Clause(f"{sql} >= ?", (value,)) for value in values]
    if len(parts) == 1:
        return parts[0]
    joined = " OR ".join(part.sql for part in parts) or "0"
    return Clause(f"({joined})", tuple(p for part in parts for p in part.parameters))


def _is_one_of(sql: str, values: list[Any]) -> Clause:
    if len(values) == 1:
        return Clause(f"{sql} = ?", (values[0],))
    if len(values) <= _VALUES_INLINE_MAX:
        return Clause(f"{sql} IN ({', '.join('?' * len(values))})", tuple(values))
    return Clause(f"{sql} IN (SELECT value FROM json_each(?))", (msgspec.json.encode(values).decode(),))
