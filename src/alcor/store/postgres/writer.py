"""Requests that write: a few workers, each with a connection of its own, each request a transaction.

Isolation is SERIALIZABLE: whatever a manager read and decided upon still holds when its transaction commits, or it is
run again. Managers' functions have no effect beside their transaction, so running one again is always allowed.
"""

import asyncio
import contextlib
import contextvars
import random
from collections import deque
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import asyncpg

from alcor.model.change import Origin
from alcor.model.errors import Unavailable
from alcor.store.interface import Work
from alcor.store.postgres.connection import (
    LOST,
    RERUN,
    STATEMENTS_WRITE,
    WRITER,
    Connect,
    discard,
    meaning,
)
from alcor.store.postgres.rows import Fetch
from alcor.store.postgres.tally import Dealer, DealFirst, Move, Stripes
from alcor.store.postgres.transaction import PostgresTransaction, Rerun
from alcor.store.schema import Schema
from alcor.telemetry import metrics
from alcor.telemetry.log import get_log

# A request that met others this often is told to come back: with the delays below, after some seconds.
ATTEMPTS_MAX = 40
_ROLL_BACK_S = 1.0
_DELAY_MIN_S = 0.001
_DELAY_MAX_S = 0.2
# Who was disturbed this often waits in line with the others that were, at the same row.
_ATTEMPTS_ALONE = 1
_WAIT_IN_LINE = "SELECT pg_advisory_lock(hashtextextended($1, 1))"
_LEAVE_LINE = "SELECT pg_advisory_unlock(hashtextextended($1, 1))"
# Stripes of counts (see `tally`): one per writing connection of all processes; beyond these, some are shared.
_STRIPES = 256
_STRIPE_LOCKS = 0x616C6302
_TAKE_STRIPE = """
SELECT n FROM generate_series(1, $2::integer) n WHERE pg_try_advisory_lock($1::integer, n::integer) LIMIT 1
"""

_log = get_log("store")
_RERUNS = metrics.RERUNS.labels("postgres")


class Written(NamedTuple):
    """What a request returned, and its xid. None: it logged nothing; `unchanged`: as `Done`."""

    value: Any
    xid: int | None
    unchanged: tuple[tuple[str, str], ...] = ()


@dataclass(slots=True)
class Request:
    """Something to be done in a transaction."""

    work: Work[Any]
    origin: Origin
    answer: "asyncio.Future[Written]"
    context: contextvars.Context


class Writer:
    """The workers, from `start` to `stop`."""

    def __init__(
        self,
        connect: Connect,
        schema: Schema,
        *,
        clock: Callable[[], int],
        rng: random.Random,
        committed: Callable[[], None],
        read: Fetch,
        workers: int,
    ) -> None:
        """`read` asks on a connection beside the workers'.

        `committed` is called after each COMMIT that logged something, before its answer leaves.
        """
        self._connect, self._schema, self._clock, self._rng = connect, schema, clock, rng
        self._committed, self._read = committed, read
        # The worker that was idle last is asked first: few connections stay warm when there is little to do.
        self._idle: list[asyncio.Future[Request | None]] = []
        self._waiting: deque[Request] = deque()
        self._open = True
        self._tasks = [
            asyncio.create_task(_Worker(self).run(), name=f"write-intent-{number}")
            for number in range(workers)
        ]

    def submit(self, work: Work[Any], origin: Origin) -> "asyncio.Future[Written]":
        """Queue a request. Raises: Unavailable if the store is closing."""
        if not self._open:
            raise Unavailable("The store is closing: the request was not begun.")
        answer: asyncio.Future[Written] = asyncio.get_running_loop().create_future()
        request = Request(work, origin, answer, contextvars.copy_context())
        while self._idle:
            worker = self._idle.pop()
            if not worker.done():
                worker.set_result(request)
                return answer
        self._waiting.append(request)
        return answer

    async def stop(self) -> None:
        """Finish what was accepted and end the workers."""
        self._open = False
        for worker in self._idle:
            if not worker.done():
                worker.set_result(None)
        self._idle.clear()
        await asyncio.gather(*self._tasks)

    async def _next(self) -> Request | None:
        if self._waiting:
            return self._waiting.popleft()
        if not self._open:
            return None
        future: asyncio.Future[Request | None] = asyncio.get_running_loop().create_future()
        self._idle.append(future)
        return await future


class _Worker:
    """One connection and the requests it serves, one after the other."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._connection: asyncpg.Connection | None = None
        self._dealer: Dealer | None = None
        self._stripes = Stripes(0)
        self._moves: list[Move] = []
        """Of the last run that was disturbed."""
        self._contended = ""
        self._in_line = ""
        """The line this request is at the head of."""

    async def run(self) -> None:
        """Serve until the writer stops."""
        while (request := await self._writer._next()) is not None:
            try:
                try:
                    answer = await self._serve(request)
                finally:
                    await self._let_others_go()
            except Exception as error:
                if not request.answer.done():
                    request.answer.set_exception(error)
            else:
                if not request.answer.done():
                    request.answer.set_result(answer)
        if self._connection is not None:
            await discard(self._connection)

    async def _serve(self, request: Request) -> Written:
        """Run a request until it was neither disturbed nor lost its connection."""
        delay_s = _DELAY_MIN_S
        for attempt in range(ATTEMPTS_MAX):
            try:
                if attempt >= _ATTEMPTS_ALONE:
                    await self._wait_in_line()
                return await self._attempt(request)
            except DealFirst as error:
                cause: Exception = error
                await self._deal(error.moves)
                continue
            except (*RERUN, Rerun) as error:
                cause = error
                await self._settle()
            except LOST as error:
                # Before COMMIT was sent, so nothing was kept; a new connection may do better, also on another server.
                await self._drop()
                cause = error
                if isinstance(error, OSError | asyncpg.CannotConnectNowError):
                    break
            except asyncpg.PostgresError as error:
                if (said := meaning(error)) is not None:
                    raise said from error
                raise
            _RERUNS.inc()
            await asyncio.sleep(delay_s * self._writer._rng.random())
            delay_s = min(delay_s * 1.5, _DELAY_MAX_S)
        _log.warning("request_given_up", reason=repr(cause))
        said = meaning(cause) or Unavailable(
            f"Others kept changing the same at the same time ({cause}). Nothing was kept; try again."
        )
        raise said from cause

    async def _attempt(self, request: Request) -> Written:
        writer = self._writer
        connection = await self._connected()
        tx = PostgresTransaction(
            connection,
            writer._schema,
            now_ms=writer._clock(),
            rng=writer._rng,
            origin=request.origin,
            stripes=self._stripes,
            read=writer._read,
            line=self._in_line,
        )
        try:
            value = await _Driven(request, tx)
            await tx.flush()
        except BaseException:
            self._moves, self._contended = tx.moves, tx.contended or self._contended
            await self._roll_back(connection)
            if tx.failure is not None:
                # Whatever the function made of it.
                raise tx.failure from None
            raise
        if tx.begun:
            self._moves, self._contended = tx.moves, tx.contended
            await self._commit(connection, tx)
        if not tx.logged:
            return Written(value, None, tx.unchanged)
        writer._committed()
        return Written(value, tx.xid)

    async def _wait_in_line(self) -> None:
        """Of many that change one value or row one can commit at a time: in line each of them is run once more, and in
        the open all of them again and again."""
        if not self._in_line and self._contended:
            connection = await self._connected()
            if self._dealer is not None:
                # Lines come before dealings, or two requests would wait for each other.
                await self._dealer.done()
            with contextlib.suppress(asyncpg.LockNotAvailableError):
                STATEMENTS_WRITE.inc()
                await connection.execute(_WAIT_IN_LINE, self._contended)
                self._in_line = self._contended

    async def _let_others_go(self) -> None:
        """The request has ended: those in line behind it, and those that want to deal, may go on."""
        line, self._in_line, self._contended = self._in_line, "", ""
        try:
            if self._dealer is not None:
                await self._dealer.done()
            if line and self._connection is not None:
                STATEMENTS_WRITE.inc()
                await self._connection.execute(_LEAVE_LINE, line)
        except (*LOST, asyncpg.PostgresError):
            # With the connection go the locks.
            await self._drop()

    async def _settle(self) -> None:
        """Where the last run met others on a project's first stripe, count on another from now on."""
        for move in self._moves:
            if move.stripe == 0 and self._dealer is not None:
                with contextlib.suppress(*LOST, asyncpg.PostgresError):
                    await self._dealer.split(move.counted, self._stripes.settle(move.counted))

    async def _deal(self, moves: Sequence[Move]) -> None:
        """Deal allowances for the next run. Raises: QuotaExceeded."""
        for move in moves:
            try:
                resource = self._writer._schema.by_kind[move.counted[0]].quota
                await self._connected()
                if self._dealer is not None:
                    await self._dealer.deal(move, resource)
            except (*LOST, asyncpg.PostgresError):
                # The next run finds out what is the matter.
                return

    async def _commit(self, connection: asyncpg.Connection, tx: PostgresTransaction) -> None:
        try:
            STATEMENTS_WRITE.inc()
            await connection.execute("COMMIT")
        except LOST as error:
            await self._drop()
            if not await self._was_committed(tx.xid):
                raise Rerun(f"the connection was lost before COMMIT: {error}") from error
        except BaseException:
            await self._roll_back(connection)
            raise

    async def _was_committed(self, xid: int | None) -> bool:
        """What became of a transaction whose COMMIT was not answered. Raises: Unavailable if nobody can tell."""
        status = None
        for delay_s in (0.0, 0.1, 0.3, 1.0, 3.0):
            if xid is None:
                # It wrote nothing but claims.
                break
            await asyncio.sleep(delay_s)
            try:
                connection = await self._connected()
                status = await connection.fetchval("SELECT pg_xact_status($1::xid8)", xid)
            except (*LOST, asyncpg.PostgresError):
                await self._drop()
                continue
            if status != "in progress":
                return bool(status == "committed")
        raise Unavailable(
            "The connection to the database was lost during COMMIT; look whether the change was kept before trying "
            "again.",
            undone=False,
        )

    async def _connected(self) -> asyncpg.Connection:
        if self._connection is None or self._connection.is_closed():
            connection = await self._writer._connect(WRITER)
            found = await connection.fetchval(_TAKE_STRIPE, _STRIPE_LOCKS, _STRIPES)
            self._stripes = Stripes(connection.get_server_pid() % _STRIPES + 1 if found is None else found)
            self._connection, self._dealer = connection, Dealer(connection)
        return self._connection

    async def _roll_back(self, connection: asyncpg.Connection) -> None:
        try:
            if not connection.is_closed() and connection.is_in_transaction():
                async with asyncio.timeout(_ROLL_BACK_S):
                    await connection.execute("ROLLBACK")
        except (*LOST, asyncpg.PostgresError):
            await self._drop()

    async def _drop(self) -> None:
        connection, self._connection, self._dealer = self._connection, None, None
        self._in_line = ""
        if connection is not None:
            await discard(connection)


class _Driven:
    """Awaitable: a transaction function run to its end, in the context of whoever asked.

    Raises: what it raises; RuntimeError if it waits for anything but its transaction. A transaction that waited for
    something else would hold its locks meanwhile, and on the embedded store stop every writer.
    """

    def __init__(self, request: Request, tx: PostgresTransaction) -> None:
        self._request, self._tx = request, tx

    def __await__(self) -> Generator[Any, Any, Any]:
        context, tx, work = self._request.context, self._tx, self._request.work
        steps: Any = context.run(lambda: work(tx).__await__())
        step, sent = steps.send if hasattr(steps, "send") else (lambda _: next(steps)), None
        throws: BaseException | None = None
        while True:
            try:
                waits = context.run(step, sent) if throws is None else context.run(steps.throw, throws)
            except StopIteration as end:
                return end.value
            if not tx.asking:
                if hasattr(steps, "close"):
                    steps.close()
                raise RuntimeError(
                    f"{work!r} waited for something that is not its transaction: between BEGIN and COMMIT only the "
                    "methods of `tx` may be awaited"
                )
            throws, sent = None, None
            try:
                sent = yield waits
            except GeneratorExit:
                steps.close()
                raise
            except BaseException as error:
                throws = error
