"""The store for scale: one PostgreSQL database, any number of processes."""

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from typing import TypeVar
from urllib.parse import urlsplit

import asyncpg

from alcor.model.catalogue import RESOURCES
from alcor.model.change import SYSTEM, Cut, Origin, Position
from alcor.model.errors import AlcorError, Unavailable
from alcor.model.resource import Entity, Resource
from alcor.store.interface import Done, Image, Keep, Work, whole
from alcor.store.postgres.announce import Announced, Waiters
from alcor.store.postgres.connection import (
    KEEPER,
    LOST,
    READER,
    Connect,
    Pool,
    connector,
    discard,
    meaning,
)
from alcor.store.postgres.history import read_cuts, read_head
from alcor.store.postgres.identity import begin_epoch, check_identity
from alcor.store.postgres.image import read_image
from alcor.store.postgres.observations import PostgresObservations, set_hosts_back
from alcor.store.postgres.prepare import prepare_database
from alcor.store.postgres.reader import PostgresReader
from alcor.store.postgres.sequencer import Sequencer
from alcor.store.postgres.snapshot import Snapshot
from alcor.store.postgres.writer import Writer
from alcor.store.schema import Schema, render_schema

T = TypeVar("T")

# Every open store holds it shared; who gets it alone is the first.
_OPEN_LOCK = 0x616C6305
WRITERS = 8
"""Writing connections of a process. More only meet each other more often: one keeps the database busy for a while."""
READERS = 8
_HISTORY_DAYS = 7.0
# How long an announcement may take before the database is asked whether a commit has its number.
_NUMBERED_WITHIN_S = 0.05


def _unix_ms() -> int:
    return time.time_ns() // 1_000_000


class PostgresStore:
    """The adapter of `interface.Store`. Made by `open`; used on the event loop it was opened on."""

    def __init__(
        self,
        schema: Schema,
        connect: Connect,
        presence: asyncpg.Connection,
        waiters: Waiters,
        sequencer: Sequencer,
        writer: Writer,
        pool: Pool,
        *,
        clock: Callable[[], int],
    ) -> None:
        self._schema, self._clock = schema, clock
        self._pool = pool
        # Images take long, and there is never a reason for two at a time.
        self._keepers = Pool(connect, KEEPER, 1)
        self.reader = PostgresReader(self._pool, schema)
        self.observations = PostgresObservations(connect, self._pool)
        self._presence, self._waiters, self._sequencer, self._writer = presence, waiters, sequencer, writer
        self._writing = 0
        self._quiet = asyncio.Event()
        self._quiet.set()
        self._closed = False

    @classmethod
    async def open(
        cls,
        dsn: str,
        *,
        resources: Sequence[Resource] = RESOURCES,
        clock: Callable[[], int] = _unix_ms,
        rng: random.Random | None = None,
        connect: Connect | None = None,
        history_days: float = _HISTORY_DAYS,
        writers: int = WRITERS,
        readers: int = READERS,
    ) -> "PostgresStore":
        """Open the database at `dsn` (`postgresql://user@host/name`); its tables are made if they are not there.

        `clock` gives unix milliseconds; `rng` makes ids and choices (the system's by default); changes older than
        `history_days` are forgotten. At most `writers` + `readers` + 4 connections.

        Raises: StoreTooNew; Unavailable if the database cannot be reached or used.
        """
        schema = render_schema(resources)
        connect = connect or connector(dsn)
        try:
            presence = await connect(KEEPER)
        except (*LOST, asyncpg.PostgresError) as error:
            raise Unavailable(f"The database{_place(dsn)} cannot be reached: {_text(error)}.") from error
        waiters = Waiters(Position(0, 0))
        sequencer = Sequencer(connect, waiters, clock=clock, history_days=history_days)
        try:
            await prepare_database(presence, schema, now_ms=clock())
            await check_identity(presence, clock())
            if await presence.fetchval("SELECT pg_try_advisory_lock($1)", _OPEN_LOCK):
                await set_hosts_back(presence)
                await presence.execute("SELECT pg_advisory_unlock($1)", _OPEN_LOCK)
            await presence.execute("SELECT pg_advisory_lock_shared($1)", _OPEN_LOCK)
            await sequencer.start()
        except BaseException as error:
            await sequencer.stop()
            await discard(presence)
            if not isinstance(error, AlcorError) and meaning(error) is not None:
                raise Unavailable(f"The database cannot be used: {error}.") from error
            raise
        pool = Pool(connect, READER, readers)
        writer = Writer(
            connect,
            schema,
            clock=clock,
            rng=rng or random.Random(),
            committed=sequencer.committed,
            read=pool.fetch,
            workers=writers,
        )
        return cls(schema, connect, presence, waiters, sequencer, writer, pool, clock=clock)

    async def write(self, work: Work[T], origin: Origin = SYSTEM, *, numbered: bool = True) -> Done[T]:
        """Run `work` in a transaction; return after its COMMIT, made durable, and once it has a revision.

        `numbered` False: do not wait for the revision (0 then), which costs about as much as the COMMIT.
        """
        answer = self._writer.submit(work, origin)
        self._writing += 1
        self._quiet.clear()
        try:
            value, xid, unchanged = await answer
            if xid is None:
                return Done(value, self._waiters.head.revision, unchanged)
            if not numbered:
                return Done(value, 0)
            number = await self._waiters.number_of(xid, self._sequencer.revision_of, _NUMBERED_WITHIN_S)
            return Done(value, number)
        finally:
            self._writing -= 1
            if not self._writing:
                self._quiet.set()

    async def head(self) -> Position:
        """The last numbered position."""
        return await read_head(self._pool.fetch)

    async def image(self, entities: Sequence[type[Entity]], keep: Keep = whole) -> Image:
        """What `keep` makes of all rows of the given kinds, in one consistent read. Cost: one pass over them."""
        return await self._keepers.run(
            lambda connection: read_image(connection, self._schema, entities, keep)
        )

    async def follow(self, after: int, limit: int = 256) -> list[Cut]:
        """Up to `limit` cuts after revision `after`. Raises: TooOld."""
        return await read_cuts(self._pool.fetch, self._schema, after, limit)

    async def new_epoch(self) -> Position:
        """Begin another history. Everybody who waits is woken, to see it, in every process."""
        position, snap = await self._keepers.run(lambda connection: begin_epoch(connection, self._clock()))
        self._waiters.hear(Announced(position, Snapshot.of(snap)))
        await self._sequencer.announce(position, snap)
        return position

    async def wait_beyond(self, after: int) -> None:
        """Return once the head may be beyond `after`, or the epoch another one. Raises: Unavailable if closed."""
        if self._closed:
            raise Unavailable("The store is closed: nothing will be committed any more.")
        await self._waiters.beyond(after)

    async def close(self) -> None:
        """Finish what was accepted, then let go of the database."""
        if self._closed:
            return
        self._closed = True
        await self._writer.stop()
        await self._quiet.wait()
        await self._sequencer.stop()
        self._waiters.close()
        await self.observations.close()
        await self._pool.close()
        await self._keepers.close()
        await discard(self._presence)


def _text(error: BaseException) -> str:
    return (getattr(error, "strerror", None) or str(error) or type(error).__name__).rstrip(".")


def _place(dsn: str) -> str:
    """Which one, for messages: a URL may hold a password, and comes from a setting that a person wrote."""
    try:
        parts = urlsplit(dsn)
        port = f":{parts.port}" if parts.port else ""
        return f" {parts.path.lstrip('/')} at {parts.hostname}{port}" if parts.hostname else ""
    except ValueError:
        return ""
