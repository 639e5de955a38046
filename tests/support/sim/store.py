"""The embedded store under the simulated loop: the same SQLite files and statements, no thread and no fsync.

It stands for the region's database server: no component's crash touches what was committed, and what was not
committed is gone. Requests gather for a moment and are committed as one group, as the writer's thread does.
"""

import asyncio
import contextvars
import shutil
import sqlite3
from collections.abc import Callable
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

from alcor.model.catalogue import RESOURCES
from alcor.model.change import SYSTEM, Cut, Origin, Position
from alcor.model.errors import Unavailable
from alcor.model.resource import Entity
from alcor.store.interface import Work
from alcor.store.schema import render_schema
from alcor.store.sqlite import SqliteStore
from alcor.store.sqlite.change_log import Kept
from alcor.store.sqlite.connection import Counted, Durability, Parameters, prepare_writer
from alcor.store.sqlite.history import read_cuts, read_image
from alcor.store.sqlite.lock import FolderLock
from alcor.store.sqlite.observations import SqliteObservations
from alcor.store.sqlite.reader import ReaderPool
from alcor.store.sqlite.upgrade import prepare_schema
from alcor.store.sqlite.writer import Writer, _hand_over, _Request
from tests.support.sim.loop import SimLoop

_SCHEMA = render_schema(RESOURCES)
GATHER_S_MAX = 0.004


class _Unsynced(Counted):
    """A connection that leaves out what only costs time here."""

    def execute(self, sql: str, parameters: Parameters = (), /) -> sqlite3.Cursor:  # type: ignore[override]
        if sql.startswith("PRAGMA synchronous"):
            sql = "PRAGMA synchronous=OFF"
        return super().execute(sql, parameters)


def _connect(path: Path) -> Counted:
    return _Unsynced(path, isolation_level=None, check_same_thread=False)


class _InlineWriter(Writer):
    """The writer without its thread. `trouble`: what the next groups fail with."""

    def __init__(self, *args: Any, loop: SimLoop, **more: Any) -> None:
        self._loop = loop
        self._waiting: list[_Request] = []
        self._is_set = False
        self.refuse = 0
        self.stall_until = 0.0
        super().__init__(*args, **more)
        self._thread.join()

    def _run(self) -> None:
        """No thread works."""

    def submit(self, work: Work[Any] | None, origin: Origin = SYSTEM) -> "asyncio.Future[Any]":
        future: asyncio.Future[Any] = self._loop.create_future()
        if not self._open:
            raise Unavailable("The store is closing: the request was not begun.")
        self._waiting.append(_Request(work, origin, self._loop, future, contextvars.copy_context()))
        self._arrange()
        return future

    def _arrange(self) -> None:
        if not self._is_set and self._waiting:
            self._is_set = True
            delay_s = self._loop.random.random() * GATHER_S_MAX
            at = max(self._loop.time() + delay_s, self.stall_until)
            self._loop.call_at(at, self._commit_waiting, context=contextvars.Context())

    def _commit_waiting(self) -> None:
        self._is_set = False
        if not self._open:
            return
        first = next((n for n, one in enumerate(self._waiting) if one.work is None), None)
        taken = 1 if first == 0 else len(self._waiting) if first is None else first
        group, self._waiting = self._waiting[:taken], self._waiting[taken:]
        if self.refuse > 0:
            self.refuse -= 1
            answers = self._give_up(group, sqlite3.OperationalError("the database is away"))
        else:
            answers = self._commit_group(group)
        _hand_over(group, answers)
        self._arrange()


class SimStore(SqliteStore):
    """The store with what a test does to it."""

    _writer: _InlineWriter
    _look: Counted | None = None
    committed: Callable[[Position], None] | None = None

    def cuts(self, after: int) -> list[Cut]:
        """What was committed after a revision, read at once."""
        found: list[Cut] = []
        while cuts := read_cuts(self._looking(), schema=_SCHEMA, after=after, limit=256):
            found += cuts
            after = cuts[-1].revision
        return found

    def rows(self) -> list[Entity]:
        """All rows, read at once."""
        image = read_image(self._looking(), schema=_SCHEMA, entities=[one.entity for one in RESOURCES])
        return [row for rows in image.rows.values() for row in rows]

    def _looking(self) -> Counted:
        if self._look is None:
            self._look = _connect(self._path)
        return self._look

    def _shut(self) -> None:
        if self._look is not None:
            self._look.close()
        super()._shut()

    @property
    def _path(self) -> Path:
        return self._lock.path.parent / "alcor.db"

    def _wake(self, head: Position) -> None:
        super()._wake(head)
        if self.committed is not None:
            self.committed(head)

    def refuse(self, groups: int) -> None:
        """Fail the next groups of writes."""
        self._writer.refuse = groups

    def stall(self, seconds: float) -> None:
        """Answer no write for a while."""
        self._writer.stall_until = self._writer._loop.time() + seconds

    @property
    def position(self) -> Position:
        """The head, now."""
        return self._writer.head


def open_store(folder: Path, loop: SimLoop, now_ms: Callable[[], int]) -> SimStore:
    """The store in a folder; made if it is not there."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "alcor.db"
    connection = _connect(path)
    prepare_writer(connection, Durability.FULL)
    prepare_schema(connection, _SCHEMA, path, now_ms=now_ms())
    make_writer = partial(
        _InlineWriter,
        clock=now_ms,
        rng=Random(loop.random.random()),
        kept=Kept(7 * 86_400_000, 1_000_000),
        loop=loop,
    )
    return SimStore(
        FolderLock(folder / "alcor.lock"),
        _SCHEMA,
        connection,
        ReaderPool(path, _connect),
        SqliteObservations(folder / "observations.db", _connect),
        make_writer,
    )


def copy_files(source: Path, target: Path) -> None:
    """Copy the database of a folder, as a backup does; the log file that goes with it is written back first."""
    target.mkdir(parents=True, exist_ok=True)
    with sqlite3.connect(source / "alcor.db") as here, sqlite3.connect(target / "alcor.db") as there:
        here.backup(there)
    here.close()
    there.close()


def restore_files(backup: Path, folder: Path) -> None:
    """Put a backup in the place of a closed store."""
    for name in ("alcor.db", "alcor.db-wal", "alcor.db-shm"):
        (folder / name).unlink(missing_ok=True)
    shutil.copy(backup / "alcor.db", folder / "alcor.db")
