"""The embedded store: two SQLite files in one folder, held by one process."""

import asyncio
import random
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

from alcor.model.catalogue import RESOURCES
from alcor.model.change import SYSTEM, Cut, Origin, Position
from alcor.model.errors import Unavailable
from alcor.model.resource import Entity, Resource
from alcor.store.interface import Done, Image, Keep, Transaction, Work, whole
from alcor.store.schema import Schema, render_schema
from alcor.store.sqlite.change_log import Kept
from alcor.store.sqlite.connection import Connect, Durability, connect, prepare_writer
from alcor.store.sqlite.history import begin_epoch, read_cuts, read_head, read_image
from alcor.store.sqlite.lock import FolderLock
from alcor.store.sqlite.observations import SqliteObservations
from alcor.store.sqlite.reader import ReaderPool, SqliteReader
from alcor.store.sqlite.upgrade import prepare_schema
from alcor.store.sqlite.writer import Writer, call_in_loop
from alcor.telemetry.log import get_log

T = TypeVar("T")

# A week at ten creates a second, and a few gigabytes; a busier region remembers fewer days.
_LOG_CHANGES_MAX = 6_000_000
_DAY_MS = 86_400_000

_Waiter = tuple[asyncio.AbstractEventLoop, "asyncio.Future[None]"]


def _unix_ms() -> int:
    return time.time_ns() // 1_000_000


class SqliteStore:
    """The adapter of `interface.Store`. Made by `open`."""

    def __init__(
        self,
        lock: FolderLock,
        schema: Schema,
        connection: sqlite3.Connection,
        pool: ReaderPool,
        observations: SqliteObservations,
        make_writer: Callable[..., Writer],
    ) -> None:
        self.reader = SqliteReader(pool, schema)
        self.observations = observations
        self._lock, self._schema, self._connection, self._pool = lock, schema, connection, pool
        self._waiters: set[_Waiter] = set()
        self._waiters_gate = threading.Lock()
        self._closed = False
        self._writer = make_writer(connection, schema, committed=self._wake, term=lambda: observations.term)
        # Groups are committed one after the other: behind this one there is nothing of an earlier term.
        observations.settle = lambda: self._writer.submit(_nothing)

    @classmethod
    def open(
        cls,
        folder: Path,
        *,
        resources: Sequence[Resource] = RESOURCES,
        clock: Callable[[], int] = _unix_ms,
        rng: random.Random | None = None,
        connect: Connect = connect,
        history_days: float = 7.0,
        log_changes_max: int = _LOG_CHANGES_MAX,
    ) -> "SqliteStore":
        """Open the store in `folder`; both are made if they are not there.

        `clock` gives unix milliseconds; `rng` makes ids and choices (the system's by default); `connect` opens a
        database file. The change log is kept for `history_days` (ten minutes at least, for those who follow), but
        not many more than the last `log_changes_max` changes, so that the disk does not fill up.

        Raises: StoreLocked, StoreTooNew; Unavailable if the files cannot be used.
        """
        schema = render_schema(resources)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock = FolderLock(folder / "alcor.lock")
        except OSError as error:
            raise Unavailable(f"The data folder {folder} cannot be used: {error}.") from error
        path = folder / "alcor.db"
        connection: sqlite3.Connection | None = None
        try:
            connection = connect(path)
            prepare_writer(connection, Durability.FULL)
            prepare_schema(connection, schema, path, now_ms=clock())
            observations = SqliteObservations(folder / "observations.db", connect)
            if observations.realized_max > read_head(connection).revision:
                _begin_after_loss(connection, clock(), observations.realized_max)
                observations.begin_anew()
            kept = Kept(history_days * _DAY_MS, log_changes_max)
            make_writer = partial(Writer, clock=clock, rng=rng or random.Random(), kept=kept)
            return cls(lock, schema, connection, ReaderPool(path, connect), observations, make_writer)
        except BaseException as error:
            if connection is not None:
                connection.close()
            lock.release()
            if isinstance(error, sqlite3.Error):
                raise Unavailable(f"{path} cannot be used as a database: {error}.") from error
            raise

    async def write(self, work: Work[T], origin: Origin = SYSTEM) -> Done[T]:
        """Run `work` in a transaction; return after its COMMIT, made durable."""
        done: Done[T] = await self._writer.submit(work, origin)
        return done

    async def head(self) -> Position:
        """The last committed position. Cost: none, it is in memory."""
        return self._writer.head

    async def image(self, entities: Sequence[type[Entity]], keep: Keep = whole) -> Image:
        """What `keep` makes of all rows of the given kinds, in one consistent read. Cost: one pass over them."""
        return await self._pool.run(partial(read_image, schema=self._schema, entities=entities, keep=keep))

    async def follow(self, after: int, limit: int = 256) -> list[Cut]:
        """Up to `limit` cuts after revision `after`. Raises: TooOld."""
        return await self._pool.run(partial(read_cuts, schema=self._schema, after=after, limit=limit))

    async def new_epoch(self) -> Position:
        """Begin another history. Everybody who waits is woken, to see it."""
        position: Position = await self._writer.submit(None)
        return position

    async def wait_beyond(self, after: int) -> None:
        """Return once the head may be beyond `after`, or the epoch another one. Raises: Unavailable if closed."""
        if self._closed:
            raise Unavailable("The store is closed: nothing will be committed any more.")
        loop = asyncio.get_running_loop()
        waiter: _Waiter = loop, loop.create_future()
        with self._waiters_gate:
            self._waiters.add(waiter)
        try:
            # Only now, on the list: a commit between a look and the list would wake nobody.
            if self._writer.head.revision <= after and not self._closed:
                await waiter[1]
        finally:
            with self._waiters_gate:
                self._waiters.discard(waiter)

    async def close(self) -> None:
        """Finish what was accepted, write the log back into the database, let go of the folder."""
        if self._closed:
            return
        self._closed = True
        await asyncio.get_running_loop().run_in_executor(None, self._shut)

    def _shut(self) -> None:
        self._writer.stop()
        self._wake(self._writer.head)
        self._pool.close()
        self.observations.close()
        self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._connection.close()
        self._lock.release()

    def _wake(self, _head: Position) -> None:
        if not self._waiters:
            return
        with self._waiters_gate:
            waiters, self._waiters = self._waiters, set()
        for loop, future in waiters:
            call_in_loop(loop, _set_done, future)


async def _nothing(_tx: Transaction) -> None:
    """Change nothing."""


def _set_done(future: "asyncio.Future[None]") -> None:
    if not future.done():
        future.set_result(None)


def _begin_after_loss(connection: sqlite3.Connection, now_ms: int, seen: int) -> None:
    """Hosts were seen to hold more than the database has: it is a backup, restored. Another epoch (protocol, 2)."""
    with connection:
        connection.execute("BEGIN IMMEDIATE")
        position = begin_epoch(connection, now_ms)
    get_log("store").critical(
        "history_lost",
        seen=seen,
        head=position.revision - 1,
        epoch=position.epoch,
        action="a new epoch begins; hosts are told everything anew and delete nothing that lives",
    )
