"""Connections as the store needs them, each kind with its own settings; a pool for reads; what errors mean.

A writer's plans must walk indexes: under SERIALIZABLE a sequential scan locks its whole table against every writer
(predicate locks), however small the table is, and a small table is what a planner likes to scan.
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import asyncpg

from alcor.model.errors import AlcorError, InvalidInput, Unavailable
from alcor.telemetry import metrics

T = TypeVar("T")

# Our statements are few hundred texts, used again and again; each is parsed once per connection.
_STATEMENTS_CACHED = 1_024
_CONNECT_TIMEOUT_S = 10.0
# Protocol, 1: what is slower than this holds up the sequencer's view of the world and everybody who waits for it.
_STATEMENT_TIMEOUT_MS = 10_000
_IDLE_IN_TRANSACTION_TIMEOUT_MS = 5_000
# Longer than any transaction of ours takes, shorter than the statement: a queue behind one row ends in a re-run.
_LOCK_TIMEOUT_MS = 3_000
# A server that stands still, or whose machine lost its power, ends nothing by itself: after so much longer than the
# statement may take its answer is not awaited any more.
_ANSWER_MARGIN_S = 3.0
_CLOSE_S = 1.0
# As long as nothing of a peer is heard at all, below TCP: 5 s, then three questions 5 s apart. Without them a server
# keeps the locks of a client whose machine is gone for two hours, and a client waits a quarter of an hour.
_PEER_IDLE_S, _PEER_EVERY_S, _PEER_TIMES = 5, 5, 3
_PEER_SILENT_MS = 1_000 * (_PEER_IDLE_S + _PEER_EVERY_S * _PEER_TIMES)

_COMMON: dict[str, str] = {
    "application_name": "alcor",
    "client_encoding": "UTF8",
    "synchronous_commit": "on",
    "jit": "off",
    "max_parallel_workers_per_gather": "0",
    "idle_in_transaction_session_timeout": str(_IDLE_IN_TRANSACTION_TIMEOUT_MS),
    "tcp_keepalives_idle": str(_PEER_IDLE_S),
    "tcp_keepalives_interval": str(_PEER_EVERY_S),
    "tcp_keepalives_count": str(_PEER_TIMES),
    "tcp_user_timeout": str(_PEER_SILENT_MS),
}
WRITER: Mapping[str, str] = _COMMON | {
    "default_transaction_isolation": "serializable",
    "statement_timeout": str(_STATEMENT_TIMEOUT_MS),
    "lock_timeout": str(_LOCK_TIMEOUT_MS),
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
}
READER: Mapping[str, str] = _COMMON | {
    "default_transaction_isolation": "read committed",
    "default_transaction_read_only": "on",
    "statement_timeout": str(_STATEMENT_TIMEOUT_MS),
}
# Of the sequencer, the schema and images, whose statements may be long.
KEEPER: Mapping[str, str] = _COMMON | {
    "default_transaction_isolation": "read committed",
    "idle_in_transaction_session_timeout": "0",
}
OBSERVER: Mapping[str, str] = _COMMON | {
    "default_transaction_isolation": "read committed",
    "statement_timeout": str(_STATEMENT_TIMEOUT_MS),
    "synchronous_commit": "off",
}

# Of who holds leases: an answer that comes later than this is of no use.
HOLDER: Mapping[str, str] = _COMMON | {
    "default_transaction_isolation": "read committed",
    "statement_timeout": "2000",
}

Connect = Callable[[Mapping[str, str]], Awaitable[asyncpg.Connection]]
"""Opens a connection with the given settings."""

LOST = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.CannotConnectNowError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.ReadOnlySQLTransactionError,
)
"""Errors after which a connection is not used again. The last one: the server has become a standby."""

RERUN = (asyncpg.SerializationError, asyncpg.DeadlockDetectedError, asyncpg.LockNotAvailableError)
"""Errors that say: somebody else was there at the same time; run it again."""


def connector(
    dsn: str,
    connection_class: type[asyncpg.Connection] = asyncpg.Connection,
    *,
    answer_s: float | None = None,
) -> Connect:
    """How to connect to the database at `dsn` (a `postgresql://` URL).

    answer_s: so long an answer is awaited, to a statement that the server bounds or a new connection; if None, as long
    as the server needs to bound it.
    """

    async def connect(settings: Mapping[str, str]) -> asyncpg.Connection:
        statement_ms = settings.get("statement_timeout")
        longest_s = float(statement_ms) / 1000 + _ANSWER_MARGIN_S if statement_ms else None
        connection = await asyncpg.connect(
            dsn,
            timeout=answer_s or _CONNECT_TIMEOUT_S,
            command_timeout=answer_s if longest_s and answer_s else longest_s,
            statement_cache_size=_STATEMENTS_CACHED,
            max_cached_statement_lifetime=0,
            server_settings=dict(settings),
            connection_class=connection_class,
        )
        _watch_peer(connection)
        return connection

    return connect


def _watch_peer(connection: asyncpg.Connection) -> None:
    """Have the system notice that the server's machine is gone, whatever we wait for."""
    transport = getattr(connection, "_transport", None)  # asyncpg has no other way to its socket
    peer = transport.get_extra_info("socket") if transport is not None else None
    if peer is None or peer.family == socket.AF_UNIX:
        return
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _PEER_IDLE_S)
    peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _PEER_EVERY_S)
    peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, _PEER_TIMES)
    peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _PEER_SILENT_MS)


def meaning(error: BaseException) -> AlcorError | None:
    """What a database error says to the caller, None if it is none of the database's."""
    if isinstance(error, asyncpg.CharacterNotInRepertoireError | asyncpg.UntranslatableCharacterError):
        return InvalidInput("the text holds a character that cannot be stored (NUL).")
    if isinstance(error, asyncpg.PostgresError | asyncpg.InterfaceError | OSError | TimeoutError):
        return Unavailable(
            f"The database could not do this now: {_reason(error)}. Nothing was kept; try again."
        )
    return None


def _reason(error: BaseException) -> str:
    return str(error).strip().rstrip(".") or type(error).__name__


class Pool:
    """Up to `size` connections for reads, opened when needed, the one used last taken first.

    Nothing is reset between two users: reads leave nothing behind, and a reset would cost a round trip each time.
    """

    def __init__(self, connect: Connect, settings: Mapping[str, str], size: int) -> None:
        self._connect, self._settings = connect, settings
        self._idle: list[asyncpg.Connection] = []
        self._free = asyncio.Semaphore(size)
        self._closed = False

    async def fetch(self, sql: str, *parameters: Any) -> Sequence[Any]:
        """The rows of one statement. Raises: Unavailable."""

        async def read(connection: asyncpg.Connection) -> Sequence[Any]:
            STATEMENTS_READ.inc()
            rows: Sequence[Any] = await connection.fetch(sql, *parameters)
            return rows

        return await self.run(read)

    async def run(self, read: Callable[[asyncpg.Connection], Awaitable[T]]) -> T:
        """What `read` returns; once more on a new connection if the old one was lost.

        Raises: what `read` raises; Unavailable if the database cannot answer or the store is closed.
        """
        try:
            try:
                async with self._taken() as connection:
                    return await read(connection)
            except LOST:
                if self._closed:
                    raise
                await self._forget_idle()
                async with self._taken() as connection:
                    return await read(connection)
        except AlcorError:
            raise
        except Exception as error:
            if (said := meaning(error)) is not None:
                raise said from error
            raise

    async def close(self) -> None:
        """Let reads that were begun end, then close."""
        self._closed = True
        await self._forget_idle()

    @asynccontextmanager
    async def _taken(self) -> AsyncIterator[asyncpg.Connection]:
        if self._closed:
            raise Unavailable("The store is closed: the database is not read any more.")
        async with self._free:
            connection = self._idle.pop() if self._idle else await self._connect(self._settings)
            kept = False
            try:
                yield connection
                kept = not self._closed
            except (asyncpg.PostgresError, AlcorError) as error:
                kept = not self._closed and not isinstance(error, LOST) and not connection.is_in_transaction()
                raise
            finally:
                if kept and not connection.is_closed():
                    self._idle.append(connection)
                else:
                    await discard(connection)

    async def _forget_idle(self) -> None:
        idle, self._idle = self._idle, []
        for connection in idle:
            await discard(connection)


async def discard(connection: asyncpg.Connection) -> None:
    """Close a connection that may be broken already."""
    try:
        # Its own bound leaves out what is still being cancelled, which a server that stands still never answers.
        async with asyncio.timeout(_CLOSE_S):
            await connection.close(timeout=_CLOSE_S)
    except (*LOST, asyncpg.PostgresError):
        connection.terminate()


STATEMENTS_READ = metrics.STATEMENTS.labels("postgres", "read")
STATEMENTS_WRITE = metrics.STATEMENTS.labels("postgres", "write")
