"""Numbering revisions: one process at a time says "what is committed now and was not before is revision n".

It is a statement: insert the next revision with the present snapshot, if the log holds anything that this snapshot
sees and the last one did not. The primary key fences: of two processes that number at once one fails, and looks again.
Which process does it is a lease (an advisory lock, gone with its connection); any other may when it waits in vain.
Writers touch nothing shared. A wake-up says "look"; lost ones cost `POLL_S`.
"""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

import asyncpg

from alcor.model.change import Position
from alcor.model.errors import AlcorError, Unavailable
from alcor.store.postgres.announce import Announced, Waiters
from alcor.store.postgres.connection import KEEPER, LOST, Connect, discard
from alcor.store.postgres.identity import FORGET, check_identity
from alcor.store.postgres.snapshot import Snapshot, Xids
from alcor.telemetry.log import get_log

_LEASE = 0x616C6301
_COMMITTED, _NUMBERED = "alcor_committed", "alcor_numbered"
# Protocol, 1: wake-ups are coalesced to one in this time; so are revisions.
_COALESCE_S = 0.002
# A commit whose process ended before it could tell is found after this time.
POLL_S = 0.02
# How soon another process takes over when the one that numbers is gone.
_LEASE_EVERY_S = 0.25
_RECONNECT_S = 0.25
# A turn that hangs on a dead server does not keep the process from ending.
_STOP_WITHIN_S = 2.0
# PostgreSQL's limit is 8,000 bytes.
_PAYLOAD_BYTES_MAX = 7_900
_MAINTAIN_EVERY_REVISIONS = 64
_MAINTAIN_EVERY_S = 10.0

NUMBER = """
WITH last AS (SELECT revision, snap, at_ms FROM revision ORDER BY revision DESC LIMIT 1),
made AS (
    INSERT INTO revision (revision, snap, generation, at_ms, beyond)
    SELECT last.revision + 1, pg_current_snapshot(), $1, greatest(last.at_ms, $2),
           pg_snapshot_xmax(pg_current_snapshot())
    FROM last WHERE EXISTS (
        SELECT 1 FROM change_log
        WHERE xid >= pg_snapshot_xmin(last.snap) AND xid < pg_snapshot_xmax(pg_current_snapshot())
          AND pg_visible_in_snapshot(xid, pg_current_snapshot()) AND NOT pg_visible_in_snapshot(xid, last.snap))
    RETURNING revision, snap)
SELECT revision, snap, (SELECT value FROM meta WHERE key = 'epoch')::bigint FROM made
"""
"""The next revision, if anything is committed that has none: (generation, unix ms)."""

_HEAD = """
SELECT revision, snap, (SELECT value FROM meta WHERE key = 'epoch')::bigint
FROM revision ORDER BY revision DESC LIMIT 1
"""
_OF_XID = """
SELECT revision FROM revision WHERE beyond > $1::xid8 AND pg_visible_in_snapshot($1::xid8, snap)
ORDER BY beyond, revision LIMIT 1
"""
_GENERATION = """
UPDATE meta SET value = (value::bigint + 1)::text WHERE key = 'generation' RETURNING value::bigint
"""
_OLD = """
SELECT revision, snap, at_ms FROM revision WHERE at_ms < $1 ORDER BY at_ms DESC, revision DESC LIMIT 1
"""

# No statement of ours takes as long, but of a server that stands still none ends.
ANSWER_S = 13.0
# Of a day's changes, forgotten at once.
_MAINTAIN_S = 300.0

_log = get_log("store")


class Sequencer:
    """One process's part: it listens, tells others of its commits, and numbers while it has the lease."""

    def __init__(
        self, connect: Connect, waiters: Waiters, *, clock: Callable[[], int], history_days: float
    ) -> None:
        """`history_days`: older changes are forgotten."""
        self._connect, self._waiters, self._clock = connect, waiters, clock
        self._history_ms = round(history_days * 86_400_000)
        self._connection: asyncpg.Connection | None = None
        self._gate = asyncio.Lock()
        self._generation = 0
        """Our lease's, 0 without one."""
        self._wake = asyncio.Event()
        self._stopping = False
        self._since_maintenance = 0
        self._maintained_at = 0.0
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Connect, then keep numbering until `stop`. Raises: what connecting raises."""
        await self._open()
        self._task = asyncio.create_task(self._run(), name="number-revisions")

    async def stop(self) -> None:
        """Number what is committed, then end; another process takes over."""
        self._stopping = True
        self._wake.set()
        if self._task is not None:
            _, running = await asyncio.wait([self._task], timeout=_STOP_WITHIN_S)
            for task in running:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
        if self._connection is not None:
            with contextlib.suppress(*LOST, asyncpg.PostgresError):
                await self._number()
        if self._connection is not None:
            await discard(self._connection)

    def committed(self) -> None:
        """This process has committed something. Cost: none; the message leaves later, together with others'."""
        self._wake.set()

    async def revision_of(self, xid: int) -> int | None:
        """The revision of a committed transaction, None if it has none yet; then it is numbered, whoever has the
        lease. Raises: Unavailable."""
        try:
            connection = self._connection
            if connection is None:
                return None
            async with self._gate:
                found: int | None = await connection.fetchval(_OF_XID, xid, timeout=ANSWER_S)
            if found is None:
                await self._number()
            return found
        except (*LOST, asyncpg.PostgresError) as error:
            raise Unavailable(
                f"The change was kept, but the database cannot say its revision: {error}."
            ) from error

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        began, told = 0.0, False
        while not self._stopping:
            try:
                if self._connection is None:
                    await self._open()
                await self._take_lease()
                wait_s = POLL_S if self._generation else _LEASE_EVERY_S
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(wait_s):
                        await self._wake.wait()
                woken = self._wake.is_set()
                # What commits come while we are coalescing is seen by the look that follows.
                await asyncio.sleep(max(0.0, began + _COALESCE_S - loop.time()))
                self._wake.clear()
                began = loop.time()
                if self._generation:
                    await self._number()
                    await self._maintain(loop.time())
                elif woken:
                    await self._ask("SELECT pg_notify($1, '')", _COMMITTED)
                told = False
            except (*LOST, asyncpg.PostgresError, AlcorError) as error:
                if not told:
                    _log.warning("sequencer_lost", reason=str(error) or type(error).__name__)
                    told = True
                await self._drop()
                await asyncio.sleep(_RECONNECT_S)

    async def _open(self) -> None:
        connection = await self._connect(KEEPER)
        try:
            # A connection that was lost may have been to a server that is no longer the one.
            await check_identity(connection, self._clock())
            await connection.add_listener(_NUMBERED, self._heard)
            await connection.add_listener(_COMMITTED, self._heard)
            revision, snap, epoch = await connection.fetchrow(_HEAD)
        except BaseException:
            await discard(connection)
            raise
        self._connection = connection
        self._waiters.hear(Announced(Position(epoch, revision), Snapshot.of(snap)))
        # What was told while nobody listened.
        self._waiters.wake()

    async def _drop(self) -> None:
        self._generation = 0
        connection, self._connection = self._connection, None
        if connection is not None:
            await discard(connection)

    async def _take_lease(self) -> None:
        if self._generation:
            return
        (taken,) = (await self._ask("SELECT pg_try_advisory_lock($1)", _LEASE))[0]
        if taken:
            self._generation = (await self._ask(_GENERATION))[0][0]
            self._wake.set()

    async def _number(self) -> bool:
        """Number what is committed; whether there was anything."""
        try:
            rows = await self._ask(NUMBER, self._generation, self._clock())
        except asyncpg.UniqueViolationError:
            # Another process did, at the same time; what it did not see is for the next look.
            self._wake.set()
            return False
        if not rows:
            return False
        revision, snap, epoch = rows[0]
        self._since_maintenance += 1
        self._waiters.hear(Announced(Position(epoch, revision), Snapshot.of(snap)))
        await self.announce(Position(epoch, revision), snap)
        return True

    async def announce(self, position: Position, snap: Xids) -> None:
        """Tell the other processes."""
        text = f"{snap[0]}:{snap[1]}:{','.join(map(str, snap[2]))}"
        payload = f"{position.epoch} {position.revision} {text}"
        if len(payload) > _PAYLOAD_BYTES_MAX:
            payload = f"{position.epoch} {position.revision}"
        await self._ask("SELECT pg_notify($1, $2)", _NUMBERED, payload)

    async def _ask(self, sql: str, *values: Any, within_s: float = ANSWER_S) -> list[Any]:
        async with self._gate:
            connection = self._connection
            if connection is None:
                raise Unavailable("The database is not connected.")
            rows: list[Any] = await connection.fetch(sql, *values, timeout=within_s)
            return rows

    def _heard(self, _connection: Any, _pid: int, channel: str, payload: str) -> None:
        if channel == _COMMITTED:
            self._wake.set()
            return
        epoch, revision, *snap = payload.split(" ")
        snapshot = Snapshot.parse(snap[0]) if snap else None
        self._waiters.hear(Announced(Position(int(epoch), int(revision)), snapshot))

    async def _maintain(self, now_s: float) -> None:
        """Forget what is too old, now and then. Cost: that of what is forgotten."""
        due = self._since_maintenance >= _MAINTAIN_EVERY_REVISIONS
        if not due and now_s - self._maintained_at < _MAINTAIN_EVERY_S:
            return
        self._since_maintenance, self._maintained_at = 0, now_s
        old = await self._ask(_OLD, self._clock() - self._history_ms)
        if old:
            revision, snap, at_ms = old[0]
            if revision > 0:
                await self._ask(FORGET, revision, snap, str(at_ms), within_s=_MAINTAIN_S)
        await self._ask("DELETE FROM claim WHERE owner IS NULL AND until_ms <= $1", self._clock())
