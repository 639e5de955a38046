"""The right to be the region's only dataplane: an advisory lock, gone with its connection, and a fencing number.

The lock keeps a second one from starting; the number, which grows with every holder, lets receivers refuse what a
holder still says that has not noticed yet that it lost the lock (I9).
"""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

import asyncpg

from alcor.model.errors import Unavailable
from alcor.store.postgres.connection import KEEPER, LOST, Connect, discard

_LOCK = 0x616C6306
# How soon a waiting process takes over, and how soon a holder notices a silent loss.
_EVERY_S = 0.5
_ANSWER_S = 5.0
_GENERATION = """
INSERT INTO meta (key, value) VALUES ('dataplane_generation', $1::text)
ON CONFLICT (key) DO UPDATE SET value = greatest(meta.value::bigint + 1, excluded.value::bigint)::text
RETURNING value::bigint
"""


class Lease:
    """Held from `take_lease` until `release`, or until its connection is lost."""

    def __init__(self, connection: asyncpg.Connection, generation: int) -> None:
        """`generation`: higher than that of any holder before."""
        self.generation = generation
        self._connection = connection
        self._ended = asyncio.Event()
        connection.add_termination_listener(self._terminated)

    async def lost(self) -> str:
        """Wait until the lease is lost; returns why."""
        while True:
            # Not `wait_for`: before Python 3.12 it may swallow a cancellation that comes with its end.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_EVERY_S):
                    await self._ended.wait()
                return "the connection to the database ended"
            try:
                await self._connection.fetchval("SELECT 1", timeout=_ANSWER_S)
            except (*LOST, asyncpg.PostgresError) as error:
                return f"the database does not answer: {error or type(error).__name__}"

    async def release(self) -> None:
        """Let the next one have it."""
        await discard(self._connection)

    def _terminated(self, _: Any) -> None:
        self._ended.set()


async def take_lease(connect: Connect, *, now_ms: Callable[[], int], waiting: Callable[[], None]) -> Lease:
    """Wait for the lease, however long another process has it. `waiting` is called once, when there is one.

    Raises: Unavailable if the database cannot be asked.
    """
    try:
        connection = await connect(KEEPER)
    except (*LOST, asyncpg.PostgresError) as error:
        raise Unavailable(f"The database cannot be reached: {error}.") from error
    told = False
    try:
        while not await connection.fetchval("SELECT pg_try_advisory_lock($1)", _LOCK, timeout=_ANSWER_S):
            if not told:
                waiting()
                told = True
            await asyncio.sleep(_EVERY_S)
        generation: int = await connection.fetchval(_GENERATION, str(now_ms()), timeout=_ANSWER_S)
    except BaseException as error:
        await discard(connection)
        if isinstance(error, (*LOST, asyncpg.PostgresError)):
            raise Unavailable(f"The database did not give the lease: {error}.") from error
        raise
    return Lease(connection, generation)
