"""Committed rows, read by a few threads with a connection each, so that a long list never holds up the writer."""

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TypeVar, cast

from alcor.model.change import Recorded
from alcor.model.errors import Unavailable
from alcor.model.resource import Entity
from alcor.store.interface import History, Query
from alcor.store.schema import Schema
from alcor.store.sqlite.connection import Connect, Counted, prepare_reader
from alcor.store.sqlite.history import read_as_of, read_history
from alcor.store.sqlite.rows import count_rows, count_rows_by, find_document, find_documents, list_documents
from alcor.store.sqlite.tally import read_tallies
from alcor.telemetry import metrics

E = TypeVar("E", bound=Entity)
T = TypeVar("T")

# Decoding holds the interpreter's lock, so more threads would only overlap waits for the disk.
_THREADS = 4

_STATEMENTS = metrics.STATEMENTS.labels("sqlite", "read")


class ReaderPool:
    """Threads that read one database file."""

    def __init__(self, path: Path, connect: Connect) -> None:
        self._path, self._connect = path, connect
        self._executor = ThreadPoolExecutor(_THREADS, thread_name_prefix=f"read-{path.stem}")
        self._local = threading.local()
        self._connections: list[Counted] = []

    async def run(self, read: Callable[[sqlite3.Connection], T]) -> T:
        """What `read` returns, decoded in its thread, from one consistent state.

        Raises: what `read` raises; Unavailable if the file cannot be read or the store is closed.
        """
        try:
            answer = asyncio.get_running_loop().run_in_executor(self._executor, self._read, read)
        except RuntimeError as error:
            raise Unavailable(f"The store is closed: {self._path} is not read any more.") from error
        return await answer

    def close(self) -> None:
        """Finish the reads that were accepted."""
        self._executor.shutdown()
        for connection in self._connections:
            connection.close()
        self._connections.clear()

    def _read(self, read: Callable[[sqlite3.Connection], T]) -> T:
        try:
            connection: Counted | None = getattr(self._local, "connection", None)
            if connection is None:
                connection = self._open()
            connection.execute("BEGIN")
            before = connection.statements
            try:
                return read(connection)
            finally:
                _STATEMENTS.inc(connection.statements - before)
                # Nothing was written. Unlike a COMMIT, this leaves no transaction behind when the disk fails.
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
        except sqlite3.OperationalError as error:
            raise Unavailable(f"{self._path} cannot be read: {error}.") from error

    def _open(self) -> Counted:
        connection = self._connect(self._path)
        self._connections.append(connection)
        prepare_reader(connection)
        self._local.connection = connection
        return connection


class SqliteReader:
    """The adapter of `interface.Reader`."""

    def __init__(self, pool: ReaderPool, schema: Schema) -> None:
        self._pool, self._schema = pool, schema

    async def find(self, entity: type[E], id: str) -> E | None:
        """The row, or None."""
        table = self._schema.by_entity[entity]

        def read(connection: sqlite3.Connection) -> Entity | None:
            document = find_document(connection, table, id)
            return None if document is None else table.decode(document)

        return cast(E | None, await self._pool.run(read))

    async def find_many(self, entity: type[E], ids: Sequence[str]) -> dict[str, E]:
        """The rows that exist, by id."""
        table = self._schema.by_entity[entity]

        def read(connection: sqlite3.Connection) -> dict[str, Entity]:
            return {id: table.decode(text) for id, text in find_documents(connection, table, ids)}

        return cast(dict[str, E], await self._pool.run(read))

    async def list(self, entity: type[E], query: Query = Query()) -> list[E]:
        """Rows in the query's order. Raises: NotFound if the marker names no row."""
        table = self._schema.by_entity[entity]

        def read(connection: sqlite3.Connection) -> list[Entity]:
            return [table.decode(text) for _, text in list_documents(connection, table, query)]

        return cast("list[E]", await self._pool.run(read))

    async def count(self, entity: type[E], query: Query = Query()) -> int:
        """How many rows match."""
        table = self._schema.by_entity[entity]
        return await self._pool.run(partial(count_rows, table=table, query=query))

    async def count_by(self, entity: type[E], field: str, values: Sequence[str]) -> dict[str, int]:
        """How many rows have each value in a column."""
        table = self._schema.by_entity[entity]
        return await self._pool.run(partial(count_rows_by, table=table, field=field, values=values))

    async def tally(self, entity: type[Entity], project_ids: Sequence[str]) -> dict[str, int]:
        """How many rows of a counted kind each project has. Raises: ValueError if the kind is not counted."""
        kind = self._schema.by_entity[entity].counted_kind()
        return await self._pool.run(partial(read_tallies, kind=kind, projects=project_ids))

    async def history(self, query: History) -> Sequence[Recorded]:
        """What changed, when and by whom, oldest first."""
        return await self._pool.run(partial(read_history, schema=self._schema, query=query))

    async def as_of(self, entity: type[E], id: str, moment_ms: int) -> E | None:
        """The row as it was at a moment (unix ms). Raises: TooOld."""
        table = self._schema.by_entity[entity]
        found = await self._pool.run(partial(read_as_of, table=table, id=id, moment_ms=moment_ms))
        return cast(E | None, found)
