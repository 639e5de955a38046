"""PostgreSQL's bulk: COPY on one connection, each batch a transaction, numbered as a revision after it."""

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from alcor.model.catalogue import RESOURCES
from alcor.model.errors import AlcorError, Conflict, Unavailable
from alcor.model.resource import Entity, Resource
from alcor.store.bulk import Batch, Encoded, encode
from alcor.store.postgres.connection import KEEPER, LOST, connector, discard, meaning
from alcor.store.postgres.ddl import render_indexes, render_references
from alcor.store.postgres.identity import check_identity, put_meta
from alcor.store.postgres.prepare import digest_key, drop_references, prepare_database
from alcor.store.postgres.query import quote, sql_type
from alcor.store.postgres.sequencer import NUMBER
from alcor.store.postgres.tally import NO_LIMIT, PLENTY
from alcor.store.schema import Table, render_schema

# Indexes are sorted in memory: this is enough for a million short keys.
_SORT_MEMORY = "256MB"
_TALLY = """
INSERT INTO tally (kind, project_id, stripe, used, allowance, bound)
SELECT $1, c.project_id, 0, c.steps, $4, $5 FROM unnest($2::text[], $3::bigint[]) AS c (project_id, steps)
ON CONFLICT (kind, project_id, stripe) DO UPDATE SET used = tally.used + excluded.used
"""
_SAVE = """
INSERT INTO kept_value (space, key, value) VALUES ($1, $2, $3)
ON CONFLICT (space, key) DO UPDATE SET value = excluded.value
"""


class PostgresBulk:
    """The adapter of `bulk.Bulk`. Made by `open_bulk`."""

    def __init__(self, connection: asyncpg.Connection, table: Table) -> None:
        self._connection, self._table = connection, table

    async def add(self, batch: Batch) -> None:
        """As `bulk.Bulk`."""
        made = encode(self._table, batch.rows)
        try:
            async with self._connection.transaction(isolation="read_committed"):
                await self._copy(batch, made)
            await self._connection.execute(NUMBER, 0, _now_ms())
        except asyncpg.UniqueViolationError as error:
            reason = f"What was to be loaded is there already: {error.detail}"
            raise Conflict(reason, kind=self._table.name) from error

    async def begin(self) -> None:
        """Take away what is made again at the end. Until then the next opening would make the whole table again."""
        table, connection = self._table, self._connection
        async with connection.transaction():
            await connection.execute("DELETE FROM meta WHERE key = $1", digest_key(table))
            await connection.execute(drop_references(table))
            for statement in render_indexes(table):
                await connection.execute(f"DROP INDEX {quote(statement.split(chr(34))[1])}")

    async def finish(self) -> None:
        """Make it again. Raises: Unavailable if a row refers to nothing."""
        table, connection = self._table, self._connection
        async with connection.transaction():
            for statement in (*render_indexes(table), *render_references(table)):
                await connection.execute(statement)
            await put_meta(connection, digest_key(table), table.digest)
        # Without it the first questions are planned as if the tables were empty.
        for name in (table.name, *(side.name for side in table.sides), "claim", "change_log"):
            await connection.execute(f"ANALYZE {quote(name)}")

    async def _copy(self, batch: Batch, made: Encoded) -> None:
        connection, table = self._connection, self._table
        types = ["text", *(sql_type(column.type) for column in table.columns), "text"]
        names = ["id", *(column.name for column in table.columns), "document"]
        await self._into(table.name, names, _typed(made.rows, types))
        for side, records in zip(table.sides, made.sides, strict=True):
            types = ["text", *(sql_type(column.type) for column in side.columns)]
            await self._into(
                side.name, ["owner", *(column.name for column in side.columns)], _typed(records, types)
            )
        await self._into("claim", ["space", "key", "owner"], batch.claims)
        for (space, key), value in sorted(batch.saves.items()):
            await connection.execute(_SAVE, space, key, value)
        steps = [list(part) for part in zip(*sorted(made.steps.items()), strict=True)]
        if steps:
            await connection.execute(_TALLY, table.name, *steps, PLENTY, NO_LIMIT)
        logged = [(table.name, record[0], record[-1], "", "", "") for record in made.rows]
        await self._into("change_log", ["kind", "id", "after", "request_id", "user_id", "project_id"], logged)

    async def _into(self, name: str, columns: Sequence[str], records: Sequence[tuple[Any, ...]]) -> None:
        if records:
            await self._connection.copy_records_to_table(name, columns=columns, records=records)


def _typed(records: Sequence[tuple[Any, ...]], types: Sequence[str]) -> Sequence[tuple[Any, ...]]:
    """Text as the driver knows it: an enumeration's member is an object to it."""
    texts = {place for place, type in enumerate(types) if type == "text"}
    if all(record[place].__class__ in (str, type(None)) for record in records for place in texts):
        return records
    return [
        tuple(
            str(value) if place in texts and value is not None else value
            for place, value in enumerate(record)
        )
        for record in records
    ]


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


@asynccontextmanager
async def open_bulk(
    dsn: str, entity: type[Entity], *, resources: Sequence[Resource] = RESOURCES
) -> AsyncIterator[PostgresBulk]:
    """A bulk for rows of one kind, of the database at `dsn`, whose tables are made if they are not there.

    Raises: StoreTooNew; Unavailable if the database cannot be used, or at the end, if a row refers to nothing.
    """
    schema = render_schema(resources)
    table = schema.by_entity[entity]
    try:
        connection = await connector(dsn)(KEEPER)
        try:
            await connection.execute(f"SET maintenance_work_mem = '{_SORT_MEMORY}'")
            await prepare_database(connection, schema, now_ms=_now_ms())
            await check_identity(connection, _now_ms())
            bulk = PostgresBulk(connection, table)
            await bulk.begin()
            yield bulk
            await bulk.finish()
        finally:
            await discard(connection)
    except AlcorError:
        raise
    except (*LOST, asyncpg.PostgresError) as error:
        raise meaning(error) or Unavailable(f"The database cannot be used: {error}.") from error
