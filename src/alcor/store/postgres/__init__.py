"""The adapter of `store.interface` on PostgreSQL, for regions of several processes."""

from alcor.store.postgres.prepare import StoreTooNew
from alcor.store.postgres.store import PostgresStore

__all__ = ["PostgresStore", "StoreTooNew"]
