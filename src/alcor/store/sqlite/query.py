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
from alcor.store.schema import Table

# Above this many values a list travels as one JSON parameter: no limit of variables, no new statement per length.
_VALUES_INLINE_MAX = 16


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
            parts.append(_compare(expression(table, condition.field), condition))
            continue
        side = next((s for s in table.sides if s.lookup.name == name), None)
        if side is None or column not in side.lookup.columns:
            raise InvalidInput(f"{table.name} has no such look-up", attribute=condition.field)
        aside.setdefault(side.name, []).append(_compare(quote(column), condition))
    for side_name, clauses in aside.items():
        inner = conjunction(clauses)
        sql = f"id IN (SELECT owner FROM {quote(side_name)} WHERE {inner.sql})"
        parts.append(Clause(sql, inner.parameters))
    return conjunction(parts)


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
