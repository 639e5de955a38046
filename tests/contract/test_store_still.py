"""A database server that stands still: it keeps its connections and says nothing. Whoever asks it gets an answer."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from alcor.model.errors import Unavailable
from alcor.model.network import Network
from alcor.store.interface import Query, Transaction
from alcor.store.postgres import PostgresStore
from alcor.store.postgres.connection import connector
from tests.support.postgres import Server, server
from tests.support.store import a_network

ANSWER_S = 0.3
# Far above what it takes, far below for ever.
PATIENCE_S = 30.0


class Relay:
    """A TCP port that leads to the server's socket; while it is `still`, it takes what is sent and passes nothing."""

    def __init__(self, postgres: Server) -> None:
        self._socket = str(next(postgres.folder.glob(".s.PGSQL.*[0-9]")))
        self._moving = asyncio.Event()
        self._moving.set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: list[asyncio.StreamWriter] = []
        self.port = 0

    def still(self) -> None:
        self._moving.clear()

    def move(self) -> None:
        self._moving.set()

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        listener = await asyncio.start_server(self._take, "127.0.0.1", 0)
        self.port = listener.sockets[0].getsockname()[1]
        try:
            yield
        finally:
            listener.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            for writer in self._writers:
                writer.close()

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_unix_connection(self._socket)
        self._writers += [writer, back]
        for source, sink in ((reader, back), (there, writer)):
            task = asyncio.create_task(self._pass(source, sink))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pass(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while octets := await source.read(1 << 16):
                await self._moving.wait()
                sink.write(octets)
            sink.close()


@asynccontextmanager
async def a_store() -> AsyncIterator[tuple[PostgresStore, Relay]]:
    """A store that reaches its database through a relay."""
    postgres = server()
    name = await postgres.fresh()
    relay = Relay(postgres)
    async with relay.listening():
        # The role is that of the server's own addresses.
        user = postgres.dsn(name).removeprefix("postgresql://").partition("@")[0]
        dsn = f"postgresql://{user}@127.0.0.1:{relay.port}/{name}"
        store = await PostgresStore.open(dsn, connect=connector(dsn, answer_s=ANSWER_S), writers=1, readers=1)
        try:
            yield store, relay
        finally:
            relay.move()
            await store.close()


async def make(tx: Transaction) -> None:
    """Write something."""
    tx.insert(a_network("net-1"))


async def test_a_write_and_a_read_end_while_the_server_stands_still() -> None:
    """Neither waits for ever: 503 in the API, and a dataplane that lets go; when the server goes on, so do they."""
    async with a_store() as (store, relay):
        assert await store.reader.list(Network, Query()) == []
        relay.still()

        async with asyncio.timeout(PATIENCE_S):
            with pytest.raises(Unavailable):
                await store.write(make)
            with pytest.raises(Unavailable):
                await store.reader.list(Network, Query())

        relay.move()
        async with asyncio.timeout(PATIENCE_S):
            await store.write(make)
            assert [one.id for one in await store.reader.list(Network, Query())] == ["net-1"]
