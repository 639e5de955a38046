"""The embedded store: one writer thread, group commit, write-ahead log, full durability."""

from alcor.store.sqlite.ddl import StoreTooNew
from alcor.store.sqlite.lock import StoreLocked
from alcor.store.sqlite.store import SqliteStore

__all__ = ["SqliteStore", "StoreLocked", "StoreTooNew"]
