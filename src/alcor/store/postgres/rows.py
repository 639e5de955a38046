"""Reading rows: the statements that a transaction and the reader share, over any way to send them."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from alcor.model.errors import NotFound
from alcor.store.interface import Query
from alcor.store.postgres.query import list_statement, marker_statement, quote
from alcor.store.schema import Table

Fetch = Callable[..., Awaitable[Sequence[Any]]]
"""Sends one statement and its parameters; gives its rows."""


async def find_document(fetch: Fetch, table: Table, id: str) -> str | None:
    """The document of one row."""
    found = await fetch(f"SELECT document FROM {quote(table.name)} WHERE id = $1", id)
    return found[0][0] if found else None


async def find_documents(fetch: Fetch, table: Table, ids: Sequence[str]) -> list[tuple[str, str]]:
    """(id, document) of the rows that exist, in no order."""
    sql = f"SELECT id, document FROM {quote(table.name)} WHERE id = ANY($1::text[])"
    return [(id, document) for id, document in await fetch(sql, list(ids))]


async def list_documents(fetch: Fetch, table: Table, query: Query) -> list[tuple[str, str]]:
    """(id, document) in the query's order.

    Cost:    one statement, with a marker two; an index walk of the page if the first sort key is a column (or `id`),
             else a sort of what matches.
    Raises:  NotFound if the marker names no row; InvalidInput if a field is not there.
    """
    marker: Sequence[Any] | None = None
    if query.marker is not None:
        found = await fetch(marker_statement(table, query), query.marker)
        if not found:
            raise NotFound(table.name, query.marker)
        marker = tuple(found[0])
    sql, values = list_statement(table, query, marker)
    found = await fetch(sql, *values)
    # The arms of a UNION ALL come one after the other, but SQL does not promise it.
    rows = [(row[1], row[2]) for row in sorted(found, key=_piece)]
    if query.reverse:
        rows.reverse()
    return rows


def _piece(row: Any) -> int:
    piece: int = row[0]
    return piece
