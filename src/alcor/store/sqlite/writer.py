"""The one thread that writes intent: requests in groups, each group one transaction, one revision, one sync.

While the disk is busy with one group, the next one gathers in the queue. Inside a group every request has a savepoint
of its own and is driven from its first line to its last before the next one begins, so that none sees half of another.
Answers are handed to the event loop after COMMIT returned.
"""

import asyncio
import contextlib
import contextvars
import queue
import random
import sqlite3
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from alcor.model.change import SYSTEM, Origin, Position
from alcor.model.errors import Unavailable
from alcor.store.interface import Done, Work
from alcor.store.schema import Schema
from alcor.store.sqlite.change_log import ChangeLog, Kept
from alcor.store.sqlite.connection import Counted
from alcor.store.sqlite.history import begin_epoch, read_head
from alcor.store.sqlite.memo import Memo
from alcor.store.sqlite.tally import Tallies
from alcor.store.sqlite.transaction import Found, SqliteTransaction, Statements
from alcor.telemetry import metrics
from alcor.telemetry.log import get_log

# Bounds how long the first request of a group waits for the last one; beyond this a larger group saves nothing.
_GROUP_REQUESTS_MAX = 256

_log = get_log("store")
_STATEMENTS = metrics.STATEMENTS.labels("sqlite", "write")

_Answer = tuple["asyncio.Future[Any]", Any, BaseException | None]


@dataclass(slots=True)
class _Request:
    """Something to be done between BEGIN and COMMIT. `work` None: open a new epoch, in a group of its own."""

    work: Work[Any] | None
    origin: Origin
    loop: asyncio.AbstractEventLoop
    future: "asyncio.Future[Any]"
    context: contextvars.Context


class _GroupLost(Exception):
    """The whole group's transaction is gone or cannot be trusted."""


class Writer:
    """Owns the writing connection from `start` to `stop`."""

    def __init__(
        self,
        connection: Counted,
        schema: Schema,
        *,
        clock: Callable[[], int],
        rng: random.Random,
        committed: Callable[[Position], None],
        kept: Kept,
        term: Callable[[], int],
    ) -> None:
        """`committed` is called in the writer's thread after each COMMIT, before the answers leave.

        `term`: the last term that began; by it transactions are fenced.
        """
        self.head = read_head(connection)
        self._log = ChangeLog(connection, kept)
        self._tallies = Tallies(connection)
        self._connection, self._schema, self._clock, self._rng = connection, schema, clock, rng
        self._statements = {table.name: Statements(table) for table in schema.tables}
        self._memo: Memo[Found] = Memo()
        self._committed, self._term = committed, term
        self._queue: queue.SimpleQueue[_Request | None] = queue.SimpleQueue()
        self._gate = threading.Lock()
        self._open = True
        self._revision_metric = metrics.REVISION.labels("store")
        self._thread = threading.Thread(target=self._run, name="write-intent", daemon=True)
        self._thread.start()

    def submit(self, work: Work[Any] | None, origin: Origin = SYSTEM) -> "asyncio.Future[Any]":
        """Queue a request of the running loop. Raises: Unavailable if the store is closing."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        request = _Request(work, origin, loop, future, contextvars.copy_context())
        with self._gate:
            if not self._open:
                raise Unavailable("The store is closing: the request was not begun.")
            self._queue.put(request)
        return future

    def stop(self) -> None:
        """Finish what was accepted and end the thread."""
        with self._gate:
            if self._open:
                self._open = False
                self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        following: _Request | None = None
        while (first := following or self._queue.get()) is not None:
            following = None
            group = [first]
            stopping = False
            while first.work is not None and len(group) < _GROUP_REQUESTS_MAX:
                try:
                    request = self._queue.get_nowait()
                except queue.Empty:
                    break
                if request is None:
                    stopping = True
                    break
                if request.work is None:
                    following = request
                    break
                group.append(request)
            _hand_over(group, self._commit_group(group))
            if stopping:
                return

    def _commit_group(self, group: list[_Request]) -> list[_Answer]:
        """One transaction. Every request gets its own answer, or all of them Unavailable."""
        began = time.perf_counter()
        connection = self._connection
        try:
            connection.execute("BEGIN IMMEDIATE")
            before = connection.statements
            if group[0].work is None:
                head = begin_epoch(connection, self._clock())
                answers: list[_Answer] = [(group[0].future, head, None)]
            else:
                answers, head = self._run_requests(group)
            _STATEMENTS.inc(connection.statements - before)
            connection.execute("COMMIT")
        except Exception as error:
            return self._give_up(group, error)
        self._tallies.committed()
        self.head = head
        metrics.COMMIT_SECONDS.observe(time.perf_counter() - began)
        metrics.COMMIT_REQUESTS.observe(len(group))
        self._revision_metric.set(head.revision)
        self._committed(head)
        return answers

    def _run_requests(self, group: list[_Request]) -> tuple[list[_Answer], Position]:
        revision = self.head.revision + 1
        outcomes: list[tuple[Any, tuple[tuple[str, str], ...] | None, BaseException | None]] = []
        logged = 0
        self._log.begin(revision)
        for request in group:
            tx = SqliteTransaction(
                self._connection,
                self._schema,
                self._statements,
                first_seq=self._log.next_seq,
                now_ms=self._clock(),
                rng=self._rng,
                memo=self._memo,
                tallies=self._tallies,
                term=self._term,
            )
            value, error = self._run_request(request, tx)
            for kind in tx.written:
                self._memo.forget(kind)
            outcomes.append((value, None if tx.logged else tuple(tx.unchanged), error))
            if error is None:
                logged += tx.logged
                self._log.add(request.origin, tx.logged)
                self._tallies.move(tx.steps)
        head = Position(self.head.epoch, revision) if logged else self.head
        if logged:
            self._log.write(self._clock())
            self._tallies.write()
        answers = [
            (request.future, None if error else Done(value, head.revision, unchanged), error)
            for request, (value, unchanged, error) in zip(group, outcomes, strict=True)
        ]
        return answers, head

    def _run_request(self, request: _Request, tx: SqliteTransaction) -> tuple[Any, BaseException | None]:
        connection = self._connection
        assert request.work is not None
        try:
            value = request.context.run(_drive, request.work, tx)
            tx.finish()
            if tx.begun:
                connection.execute("RELEASE request")
        except BaseException as error:
            if not connection.in_transaction:
                # A full disk or a failed read takes the whole transaction with it, the neighbours' writes too.
                raise _GroupLost(str(error)) from error
            if tx.begun:
                connection.execute("ROLLBACK TO request")
                connection.execute("RELEASE request")
            if isinstance(error, sqlite3.OperationalError):
                unavailable = Unavailable(f"The store could not do this now: {error}. Nothing was kept.")
                unavailable.__cause__ = error
                return None, unavailable
            return None, error
        return value, None

    def _give_up(self, group: list[_Request], cause: Exception) -> list[_Answer]:
        self._memo.clear()
        self._tallies.lost()
        self._log.lost()
        if self._connection.in_transaction:
            # If even this fails, the next group cannot begin, and comes here in its turn.
            with contextlib.suppress(sqlite3.Error):
                self._connection.execute("ROLLBACK")
        _log.error("group_commit_failed", requests=len(group), reason=str(cause))
        answers: list[_Answer] = []
        for request in group:
            error = Unavailable(f"The store could not commit: {cause}. Nothing was kept; try again.")
            error.__cause__ = cause
            answers.append((request.future, None, error))
        return answers


def _drive(work: Work[Any], tx: SqliteTransaction) -> Any:
    """Run a transaction function to its end. Raises: what it raises; RuntimeError if it waits for anything else."""
    steps = work(tx).__await__()
    try:
        next(steps)
    except StopIteration as end:
        return end.value
    if hasattr(steps, "close"):
        steps.close()
    raise RuntimeError(
        f"{work!r} waited for something that is not its transaction: between BEGIN and COMMIT only the methods "
        "of `tx` may be awaited"
    )


def _hand_over(group: list[_Request], answers: list[_Answer]) -> None:
    """Give each event loop its answers in one call."""
    by_loop: dict[asyncio.AbstractEventLoop, list[_Answer]] = {}
    for request, answer in zip(group, answers, strict=True):
        by_loop.setdefault(request.loop, []).append(answer)
    for loop, mine in by_loop.items():
        call_in_loop(loop, _settle, mine)


def call_in_loop(loop: asyncio.AbstractEventLoop, function: Callable[..., None], *args: Any) -> None:
    """Call in the loop's thread; a loop that has ended has nobody left who waits."""
    try:
        loop.call_soon_threadsafe(function, *args)
    except RuntimeError:
        if not loop.is_closed():
            raise


def _settle(answers: list[_Answer]) -> None:
    for future, value, error in answers:
        if future.done():
            continue
        if error is None:
            future.set_result(value)
        else:
            future.set_exception(error)
