"""Reading rows on one connection: the part that a transaction and the reader share."""

import sqlite3
from collections.abc import Sequence
from typing import Any

import msgspec

from alcor.model.errors import NotFound
from alcor.store.interface import Condition, Query
from alcor.store.schema import Table
from alcor.store.sqlite.query import Range, conjunction, quote, ranges_after, sort_keys, where


def find_document(connection: sqlite3.Connection, table: Table, id: str) -> str | None:
    """The document of one row."""
    found = connection.execute(f"SELECT document FROM {quote(table.name)} WHERE id = ?", (id,)).fetchone()
    return None if found is None else found[0]


def find_documents(connection: sqlite3.Connection, table: Table, ids: Sequence[str]) -> list[tuple[str, str]]:
    """(id, document) of the rows that exist, in no order."""
    return connection.execute(
        f"SELECT id, document FROM {quote(table.name)} WHERE id IN (SELECT value FROM json_each(?))",
        (msgspec.json.encode(list(ids)).decode(),),
    ).fetchall()


def list_documents(connection: sqlite3.Connection, table: Table, query: Query) -> list[tuple[str, str]]:
    """(id, document) in the query's order. The caller sees to it that all reads see one state.

    Cost:    an index walk of the page if the first sort key is a column (or `id`); else a sort of what matches.
    Raises:  NotFound if the marker names no row; InvalidInput if a field is not there.
    """
    asked = where(table, query.where)
    keys = sort_keys(table, query)
    ranges = [Range(conjunction([]), keys)]
    if query.marker is not None:
        ranges = ranges_after(keys, _marker_values(connection, table, query.marker, [k.sql for k in keys]))
    rows: list[tuple[str, str]] = []
    for piece in ranges:
        sql = (
            f"SELECT id, document FROM {quote(table.name)} WHERE {asked.sql} AND {piece.clause.sql} "
            f"ORDER BY {', '.join(key.order for key in piece.keys)}"
        )
        parameters = [*asked.parameters, *piece.clause.parameters]
        if query.limit is not None:
            sql += " LIMIT ?"
            parameters.append(query.limit - len(rows))
        rows += connection.execute(sql, parameters).fetchall()
        if query.limit is not None and len(rows) >= query.limit:
            break
    if query.reverse:
        rows.reverse()
    return rows


def count_rows(connection: sqlite3.Connection, table: Table, query: Query) -> int:
    """How many rows match the conditions."""
    asked = where(table, query.where)
    sql = f"SELECT count(*) FROM {quote(table.name)} WHERE {asked.sql}"
    counted: int = connection.execute(sql, asked.parameters).fetchone()[0]
    return counted


def count_rows_by(
    connection: sqlite3.Connection, table: Table, field: str, values: Sequence[str]
) -> dict[str, int]:
    """How many rows have each of the values in a column."""
    asked = where(table, (Condition(field, tuple(values)),))
    column = quote(field)
    sql = f"SELECT {column}, count(*) FROM {quote(table.name)} WHERE {asked.sql} GROUP BY {column}"
    return dict(connection.execute(sql, asked.parameters).fetchall())


def _marker_values(
    connection: sqlite3.Connection, table: Table, marker: str, keys: Sequence[str]
) -> tuple[Any, ...]:
    sql = f"SELECT {', '.join(keys)} FROM {quote(table.name)} WHERE id = ?"
    found: tuple[Any, ...] | None = connection.execute(sql, (marker,)).fetchone()
    if found is None:
        raise NotFound(table.name, marker)
    return found
