"""Committed rows, read on connections of their own."""

from collections.abc import Sequence
from typing import TypeVar, cast

from alcor.model.change import Recorded
from alcor.model.resource import Entity
from alcor.store.interface import History, Query
from alcor.store.postgres.connection import Pool
from alcor.store.postgres.history import read_as_of, read_history
from alcor.store.postgres.query import count_by_statement, count_statement
from alcor.store.postgres.rows import find_document, find_documents, list_documents
from alcor.store.postgres.tally import read_tallies
from alcor.store.schema import Schema

E = TypeVar("E", bound=Entity)


class PostgresReader:
    """The adapter of `interface.Reader`."""

    def __init__(self, pool: Pool, schema: Schema) -> None:
        self._pool, self._schema = pool, schema

    async def find(self, entity: type[E], id: str) -> E | None:
        """The row, or None."""
        table = self._schema.by_entity[entity]
        if "\0" in id:
            return None
        document = await find_document(self._pool.fetch, table, id)
        return None if document is None else cast(E, table.decode(document))

    async def find_many(self, entity: type[E], ids: Sequence[str]) -> dict[str, E]:
        """The rows that exist, by id."""
        table = self._schema.by_entity[entity]
        if not ids:
            return {}
        found = await find_documents(self._pool.fetch, table, ids)
        return {id: cast(E, table.decode(document)) for id, document in found}

    async def count(self, entity: type[E], query: Query = Query()) -> int:
        """How many rows match."""
        sql, values = count_statement(self._schema.by_entity[entity], query)
        counted: int = (await self._pool.fetch(sql, *values))[0][0]
        return counted

    async def count_by(self, entity: type[E], field: str, values: Sequence[str]) -> dict[str, int]:
        """How many rows have each value in a column."""
        sql, parameters = count_by_statement(self._schema.by_entity[entity], field, values)
        return dict(map(tuple, await self._pool.fetch(sql, *parameters)))

    async def tally(self, entity: type[Entity], project_ids: Sequence[str]) -> dict[str, int]:
        """How many rows of a counted kind each project has. Raises: ValueError if the kind is not counted."""
        kind = self._schema.by_entity[entity].counted_kind()
        return await read_tallies(self._pool.fetch, kind, project_ids)

    async def history(self, query: History) -> list[Recorded]:
        """What changed, when and by whom."""
        return await read_history(self._pool.fetch, self._schema, query)

    async def as_of(self, entity: type[E], id: str, moment_ms: int) -> E | None:
        """The row as it was at a moment (unix ms). Raises: TooOld."""
        table = self._schema.by_entity[entity]
        return cast(E | None, await read_as_of(self._pool.fetch, table, id, moment_ms))

    # Last: from here on `list` is this method.
    async def list(self, entity: type[E], query: Query = Query()) -> list[E]:
        """Rows in the query's order. Raises: NotFound if the marker names no row."""
        table = self._schema.by_entity[entity]
        found = await list_documents(self._pool.fetch, table, query)
        return [cast(E, table.decode(document)) for _, document in found]
