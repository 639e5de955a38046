"""The embedded store's bulk: one connection, each batch a transaction and a revision."""

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path

from alcor.model.catalogue import RESOURCES
from alcor.model.change import SYSTEM
from alcor.model.errors import Conflict, Unavailable
from alcor.model.resource import Entity, Resource
from alcor.store.bulk import Batch, encode
from alcor.store.schema import Schema, Table, render_schema
from alcor.store.sqlite.change_log import ChangeLog, Kept
from alcor.store.sqlite.connection import Durability, connect, prepare_writer
from alcor.store.sqlite.ddl import insert_side_statement, insert_statement, render_table
from alcor.store.sqlite.history import put_meta, read_head
from alcor.store.sqlite.lock import FolderLock
from alcor.store.sqlite.query import quote
from alcor.store.sqlite.upgrade import digest_key, digest_of, prepare_schema

# Pages that many batches touch are looked for in memory, and sorting for an index is done there.
_CACHE_KIB = 512 * 1024
_SORTERS = 2


class SqliteBulk:
    """The adapter of `bulk.Bulk`. Made by `open_bulk`."""

    def __init__(self, connection: sqlite3.Connection, table: Table) -> None:
        self._connection, self._table = connection, table
        self._insert = insert_statement(table)
        self._sides = [insert_side_statement(side) for side in table.sides]
        self._log = ChangeLog(connection, Kept(float("inf"), 1 << 62))
        self._revision = read_head(connection).revision

    async def add(self, batch: Batch) -> None:
        """As `bulk.Bulk`; off the event loop."""
        await asyncio.to_thread(self._add, batch)

    def begin(self) -> None:
        """Take away what is made again at the end. Until then the next opening would make the whole table again."""
        self._connection.execute("BEGIN IMMEDIATE")
        self._connection.execute("DELETE FROM meta WHERE key = ?", (digest_key(self._table),))
        for name, _ in _indexes(self._table):
            self._connection.execute(f"DROP INDEX {quote(name)}")
        self._connection.execute("COMMIT")

    def finish(self) -> None:
        """Make it again. Raises: Unavailable if a row refers to nothing."""
        for _, sql in _indexes(self._table):
            self._connection.execute(sql)
        for name in (self._table.name, *(side.name for side in self._table.sides)):
            broken = self._connection.execute(f"PRAGMA foreign_key_check({quote(name)})").fetchone()
            if broken is not None:
                raise Unavailable(
                    f"A row of {broken[0]} that was loaded refers to a {broken[2]} that is not there."
                )
        put_meta(self._connection, digest_key(self._table), digest_of(self._table))
        self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def _add(self, batch: Batch) -> None:
        connection, table = self._connection, self._table
        made = encode(table, batch.rows)
        self._revision += 1
        connection.execute("BEGIN IMMEDIATE")
        try:
            self._log.begin(self._revision)
            revision, first = self._revision, self._log.next_seq
            connection.executemany(
                self._insert, ((*record[:-1], revision, record[-1]) for record in made.rows)
            )
            for insert, records in zip(self._sides, made.sides, strict=True):
                connection.executemany(insert, records)
            connection.executemany("INSERT INTO claim (space, key, owner) VALUES (?, ?, ?)", batch.claims)
            connection.executemany(
                "INSERT OR REPLACE INTO kept_value (space, key, value) VALUES (?, ?, ?)",
                ((*key, value) for key, value in batch.saves.items()),
            )
            connection.executemany(
                f"INSERT INTO change_log (seq, kind, id, before, after) VALUES (?, '{table.name}', ?, NULL, ?)",
                ((seq, record[0], record[-1]) for seq, record in enumerate(made.rows, first)),
            )
            self._log.add(SYSTEM, len(made.rows))
            self._log.write(time.time_ns() // 1_000_000)
            connection.executemany(
                'INSERT INTO tally (kind, project_id, "rows") VALUES (?, ?, ?) '
                'ON CONFLICT (kind, project_id) DO UPDATE SET "rows" = "rows" + excluded."rows"',
                ((table.name, project_id, count) for project_id, count in made.steps.items()),
            )
            connection.execute("COMMIT")
        except BaseException as error:
            self._revision -= 1
            self._log.lost()
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            if isinstance(error, sqlite3.IntegrityError):
                raise Conflict(
                    f"What was to be loaded is there already: {error}.", kind=table.name
                ) from error
            if isinstance(error, sqlite3.Error):
                raise Unavailable(f"The load could not go on: {error}.") from error
            raise


@asynccontextmanager
async def open_bulk(
    folder: Path, entity: type[Entity], *, resources: Sequence[Resource] = RESOURCES
) -> AsyncIterator[SqliteBulk]:
    """A bulk for rows of one kind, of the store in `folder`, which is made if it is not there.

    Raises: StoreLocked, StoreTooNew; Unavailable if the files cannot be used, or at the end, if a row refers to
            nothing.
    """
    schema = render_schema(resources)
    path = folder / "alcor.db"
    await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
    lock = FolderLock(folder / "alcor.lock")
    try:
        with closing(connect(path)) as connection:
            await asyncio.to_thread(_prepare, connection, schema, path)
            bulk = SqliteBulk(connection, schema.by_entity[entity])
            bulk.begin()
            yield bulk
            await asyncio.to_thread(bulk.finish)
    except sqlite3.Error as error:
        raise Unavailable(f"{path} cannot be used as a database: {error}.") from error
    finally:
        lock.release()


def _prepare(connection: sqlite3.Connection, schema: Schema, path: Path) -> None:
    prepare_writer(connection, Durability.NORMAL)
    prepare_schema(connection, schema, path, now_ms=time.time_ns() // 1_000_000)
    # Looked at once, at the end, over all rows.
    connection.execute("PRAGMA foreign_keys=OFF")
    connection.execute(f"PRAGMA cache_size=-{_CACHE_KIB}")
    connection.execute(f"PRAGMA threads={_SORTERS}")


def _indexes(table: Table) -> Sequence[tuple[str, str]]:
    return [(sql.split('"')[1], sql) for sql in render_table(table) if sql.startswith("CREATE INDEX")]
