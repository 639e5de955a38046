"""The bus between processes, both ends in one: a server and an ncm's client on real sockets."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress

from alcor.bus.codec import ProtobufCodec
from alcor.bus.goal_client import GoalClient
from alcor.bus.goal_server import GRACE_S, GoalServer
from alcor.bus.interface import (
    Hasten,
    Heads,
    Holdings,
    HostReport,
    NcmBus,
    News,
    Publication,
    Reply,
    Unchanged,
)
from alcor.goalstate.scope import Scope

SECRET = "the-bus-secret"


class RemoteBus:
    """Implements `GoalBus`: what one end is given comes out of the other."""

    def __init__(self, server: GoalServer, client: GoalClient) -> None:
        self.server, self.client = server, client

    def publish(self, updates: Sequence[Publication], heads: Heads) -> None:
        """As the server."""
        self.server.publish(updates, heads)

    def serve(self, snapshot: Callable[[Scope], Publication], unchanged: Unchanged | None = None) -> None:
        """As the server."""
        self.server.serve(snapshot, unchanged)

    def hold(self, holdings: Holdings) -> None:
        """As the server."""
        self.server.hold(holdings)

    def hasten(self, hasten: Hasten) -> None:
        """As the server."""
        self.server.hasten(hasten)

    def reports(self) -> AsyncIterator[Sequence[HostReport]]:
        """As the server."""
        return self.server.reports()

    async def ask(self, host_id: str, body: bytes, within_s: float) -> bytes:
        """As the server."""
        return await self.server.ask(host_id, body, within_s)

    def reply(self, reply: Reply) -> None:
        """As the client."""
        self.client.reply(reply)

    def want(self, scope: Scope) -> None:
        """As the client."""
        self.client.want(scope)

    def unwant(self, scope: Scope) -> None:
        """As the client."""
        self.client.unwant(scope)

    def updates(self) -> AsyncIterator[Sequence[News]]:
        """As the client."""
        return self.client.updates()

    def report(self, report: HostReport) -> None:
        """As the client."""
        self.client.report(report)


@asynccontextmanager
async def a_server(address: str = "127.0.0.1:0", *, grace_s: float = GRACE_S) -> AsyncIterator[GoalServer]:
    """A dataplane's end that listens."""
    server = GoalServer(ProtobufCodec(), [address], secret=SECRET, grace_s=grace_s)
    await server.start()
    try:
        yield server
    finally:
        await server.stop(0)


@asynccontextmanager
async def a_client(
    address: str | Sequence[str], ncm_id: str = "ncm-1", secret: Callable[[], str] = lambda: SECRET
) -> AsyncIterator[GoalClient]:
    """An ncm's end; it connects when its updates are read."""
    client = GoalClient(
        address, ncm_id=ncm_id, secret=secret, random=lambda: 0.0, delay_min_s=0.01, delay_max_s=0.05
    )
    try:
        yield client
    finally:
        await client.close()


@asynccontextmanager
async def a_remote_bus() -> AsyncIterator[RemoteBus]:
    """Both ends."""
    async with a_server() as server, a_client(server.addresses[0]) as client:
        yield RemoteBus(server, client)


@asynccontextmanager
async def being_read(bus: NcmBus) -> AsyncIterator[None]:
    """Somebody reads the ncm's end meanwhile, as a running ncm does: only then reports travel."""

    async def read() -> None:
        async for _ in bus.updates():
            pass

    task = asyncio.create_task(read())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
