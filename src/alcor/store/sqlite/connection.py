"""Connections as the store needs them: write-ahead log, no transaction behind our back."""

import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any

# A page of the write-ahead log is rewritten into the database once per checkpoint however often it changed, and index
# pages change often; 8,192 pages (32 MiB) keep checkpoints rare and the log small enough to be read back in a second.
_CHECKPOINT_PAGES = 8_192
_CACHE_KIB = 65_536
_STATEMENTS_CACHED = 512

Parameters = Sequence[Any] | Mapping[str, Any]


class Counted(sqlite3.Connection):
    """Counts what is run on it; many rows of one statement count once. Whoever owns it publishes the count."""

    statements = 0

    def execute(self, sql: str, parameters: Parameters = (), /) -> sqlite3.Cursor:  # type: ignore[override]  # fewer parameter shapes than typeshed's
        """As the library's."""
        self.statements += 1
        return super().execute(sql, parameters)

    def executemany(self, sql: str, parameters: Iterable[Parameters], /) -> sqlite3.Cursor:  # type: ignore[override]  # as above
        """As the library's."""
        self.statements += 1
        return super().executemany(sql, parameters)


Connect = Callable[[Path], Counted]
"""Opens a connection in autocommit mode that any thread may use (one at a time)."""


class Durability(StrEnum):
    """When data reach the disk: FULL with every commit, NORMAL with every checkpoint."""

    FULL = "FULL"
    NORMAL = "NORMAL"


def connect(path: Path) -> Counted:
    """A plain connection to the file at `path`, which is made if it is not there."""
    return Counted(path, isolation_level=None, check_same_thread=False, cached_statements=_STATEMENTS_CACHED)


def prepare_writer(connection: sqlite3.Connection, durability: Durability) -> None:
    """Make a connection the one that writes."""
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute(f"PRAGMA synchronous={durability}")
    connection.execute(f"PRAGMA cache_size=-{_CACHE_KIB}")
    # A savepoint keeps the old form of each page it touches: in memory, not in a temporary file per request.
    connection.execute("PRAGMA temp_store=MEMORY")
    connection.execute(f"PRAGMA wal_autocheckpoint={_CHECKPOINT_PAGES}")


def prepare_reader(connection: sqlite3.Connection) -> None:
    """Make a connection one that cannot write."""
    connection.execute("PRAGMA query_only=ON")
    connection.execute(f"PRAGMA cache_size=-{_CACHE_KIB // 4}")
