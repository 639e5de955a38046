"""The embedded store: one writer thread, group commit, write-ahead log, full durability."""

from alcor.store.sqlite.lock import StoreLocked
from alcor.store.sqlite.store import SqliteStore
from alcor.store.sqlite.upgrade import StoreTooNew

__all__ = ["SqliteStore", "StoreLocked", "StoreTooNew"]
