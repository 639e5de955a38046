"""Which history a database holds: its epoch, and the server it was last seen on.

A database that was restored, or a standby that took over, may have lost what was told to hosts. Both show in the
server's system identifier and timeline; a dump that was restored on the same server shows in the log's table, which is
another one. When they are not the recorded ones, a new epoch begins. Source: protocol, 2.
"""

from typing import NamedTuple

import asyncpg

from alcor.model.change import Position
from alcor.store.postgres.query import quote
from alcor.store.postgres.snapshot import Xids

_SERVER = """
SELECT (SELECT system_identifier FROM pg_control_system())::text,
       substring(pg_walfile_name(pg_current_wal_lsn()) for 8),
       'change_log'::regclass::oid::text
"""
_META = ("system_identifier", "timeline", "log_table")
_LAST = "SELECT revision, at_ms FROM revision ORDER BY revision DESC LIMIT 1"
_BEGIN = """
INSERT INTO revision (revision, snap, generation, at_ms, beyond)
VALUES ($1, pg_current_snapshot(), 0, $2, pg_snapshot_xmax(pg_current_snapshot()))
RETURNING snap
"""


class _Server(NamedTuple):
    """Where a database is: the facts `_META`. `log_table`: the number of the table `change_log`, which a restored dump
    makes anew; "" if it was never recorded.
    """

    identifier: str
    timeline: str
    log_table: str


_IDENTITY_LOCK = 0x616C6304
_ATTEMPTS_MAX = 100

FORGET = """
WITH gone AS (DELETE FROM change_log WHERE xid < pg_snapshot_xmax($2) AND pg_visible_in_snapshot(xid, $2)),
cut AS (DELETE FROM revision WHERE revision < $1)
UPDATE meta SET value = CASE key WHEN 'history_floor_ms' THEN $3::text
                                 ELSE greatest(value::bigint, $1)::text END
WHERE key IN ('history_floor', 'history_floor_ms', 'follow_floor')
"""
"""Cut the history through a revision: (revision, its snapshot, its unix ms as text)."""


async def get_meta(connection: asyncpg.Connection, key: str) -> str | None:
    """One fact about the database itself."""
    found: str | None = await connection.fetchval("SELECT value FROM meta WHERE key = $1", key)
    return found


async def put_meta(connection: asyncpg.Connection, key: str, value: str) -> None:
    """Replace such a fact."""
    await connection.execute(
        "INSERT INTO meta (key, value) VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        key,
        value,
    )


async def begin_history(connection: asyncpg.Connection, now_ms: int) -> None:
    """Revision 0 of a new database, before anybody can write."""
    await connection.execute("DELETE FROM revision")
    await connection.fetchval(_BEGIN, 0, now_ms)
    for key, value in (
        ("epoch", now_ms),
        ("follow_floor", 0),
        ("history_floor", 0),
        ("history_floor_ms", now_ms),
        ("generation", 0),
    ):
        await put_meta(connection, key, str(value))
    await _record(connection, await _server(connection))


async def begin_epoch(connection: asyncpg.Connection, now_ms: int) -> tuple[Position, Xids]:
    """Another history from here on: it takes a revision of its own, and nothing before can be followed.

    Fenced like every revision: if another process numbers at the same time, one of the two tries again.
    """
    for attempt in range(_ATTEMPTS_MAX):
        try:
            async with connection.transaction(isolation="read_committed"):
                revision, at_ms = await connection.fetchrow(_LAST)
                snap = await connection.fetchval(_BEGIN, revision + 1, max(at_ms, now_ms))
                epoch = max(int(await get_meta(connection, "epoch") or 0) + 1, now_ms)
                await put_meta(connection, "epoch", str(epoch))
                await put_meta(connection, "follow_floor", str(revision + 1))
            return Position(epoch, revision + 1), snap
        except asyncpg.UniqueViolationError:
            if attempt == _ATTEMPTS_MAX - 1:
                raise
    raise AssertionError("the loop returns or raises")


async def check_identity(connection: asyncpg.Connection, now_ms: int) -> None:
    """Begin a new epoch if this is not the server that the database was last seen on, or not the same tables."""
    server = await _server(connection)
    recorded = await _recorded(connection)
    if server == recorded:
        return
    if recorded is not None and recorded == server._replace(log_table=""):
        # Of a release that did not record it.
        await _record(connection, server)
        return
    async with connection.transaction(isolation="read_committed"):
        await connection.execute("SELECT pg_advisory_xact_lock($1)", _IDENTITY_LOCK)
        recorded = await _recorded(connection)
        if server == recorded:
            return
        renumber = recorded is None or server.identifier != recorded.identifier
        if renumber:
            await _forget_xids(connection)
        await _record(connection, server)
    await begin_epoch(connection, now_ms)


async def _forget_xids(connection: asyncpg.Connection) -> None:
    """Another server counts transactions anew: what carries the old one's numbers is made to be of this one."""
    for table in await connection.fetch(
        "SELECT table_name FROM information_schema.columns "
        "WHERE table_schema = current_schema() AND column_name = 'xid'"
    ):
        await connection.execute(f"UPDATE {quote(table[0])} SET xid = pg_current_xact_id()")
    # One that sees nothing of it, so that all of it belongs to the revision that begins the epoch.
    await connection.execute(
        "DELETE FROM revision WHERE revision < (SELECT max(revision) FROM revision);"
        "UPDATE revision SET snap = pg_current_snapshot(), beyond = pg_snapshot_xmax(pg_current_snapshot())"
    )


async def _server(connection: asyncpg.Connection) -> _Server:
    return _Server(*await connection.fetchrow(_SERVER))


async def _recorded(connection: asyncpg.Connection) -> _Server | None:
    identifier, timeline, log_table = [await get_meta(connection, key) for key in _META]
    return None if identifier is None or timeline is None else _Server(identifier, timeline, log_table or "")


async def _record(connection: asyncpg.Connection, server: _Server) -> None:
    for key, value in zip(_META, server, strict=True):
        await put_meta(connection, key, value)
