"""The host's name server: sockets, bounds, and who is asked for what.

UDP and TCP alike (RFC 7766: an answer cut for UDP must be had over TCP). The asker is known by its near address. At
most 512 questions wait for others' answers, 64 of one port; one more is answered SERVFAIL at once, so that guests go on
to their next server.
"""

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Protocol, cast

import dns.message
import dns.rcode

from alcor.agent.asker import Askers, Full, Places
from alcor.agent.handler import Desk
from alcor.agent.names.forward import forward, read_host_resolvers
from alcor.agent.names.zone import Elsewhere, encode, parse_question, refuse, respond
from alcor.goalstate.item import LocalPort
from alcor.telemetry.metrics import PUNTS

FORWARDED_MAX, FORWARDED_PORT_MAX = 512, 64
CONNECTIONS_MAX, CONNECTIONS_PORT_MAX = 128, 8
# A question over TCP comes at once, and the next one soon, or the connection is somebody else's turn.
IDLE_S_MAX = 5.0
_LENGTH_BYTES = 2


class Forwarder(Protocol):
    """Asks others, as `names.forward.forward`."""

    async def __call__(self, question: bytes, servers: Sequence[str], *, over_tcp: bool) -> bytes | None:
        """The answer's octets; None if there is none in time."""


class NameServer:
    """Answers the questions of local ports. One per agent."""

    def __init__(
        self,
        desk: Desk,
        *,
        resolvers: Callable[[], Sequence[str]] = read_host_resolvers,
        forwarder: Forwarder = forward,
        askers: Askers | None = None,
    ) -> None:
        """`resolvers`: whom the host itself asks, used where the region names nobody. `askers`: by default near
        addresses.
        """
        self._desk, self._resolvers, self._forwarder = desk, resolvers, forwarder
        self._askers = askers or Askers(desk)
        self._forwarded = Places(FORWARDED_MAX, FORWARDED_PORT_MAX)
        self._connections = Places(CONNECTIONS_MAX, CONNECTIONS_PORT_MAX)
        self._tasks: set[asyncio.Task[None]] = set()

    @contextlib.asynccontextmanager
    async def serve(
        self, datagrams: Sequence[socket.socket], streams: Sequence[socket.socket]
    ) -> AsyncIterator[None]:
        """Serve on bound sockets while the block runs; they are closed at its end."""
        loop = asyncio.get_running_loop()
        async with contextlib.AsyncExitStack() as stack:
            for one in datagrams:
                transport, _ = await loop.create_datagram_endpoint(lambda: _Datagrams(self), sock=one)
                stack.callback(transport.close)
            for one in streams:
                server = await asyncio.start_server(self._converse, sock=one)
                stack.callback(server.close)
            try:
                yield
            finally:
                for task in self._tasks:
                    task.cancel()
                await asyncio.gather(*self._tasks, return_exceptions=True)

    def received(self, octets: bytes, source: str, send: Callable[[bytes], None]) -> None:
        """A datagram came: answer now, or when others have answered."""
        port, question = self._askers.find(source), parse_question(octets)
        if port is None or question is None:
            PUNTS.labels("dns_malformed").inc()
            return
        answer = self._own_answer(question, port, over_tcp=False)
        if answer is not None:
            send(answer)
            return

        async def later() -> None:
            send(await self._others_answer(octets, question, port, over_tcp=False))

        task = asyncio.create_task(later())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _own_answer(self, question: dns.message.Message, port: LocalPort, *, over_tcp: bool) -> bytes | None:
        answer = respond(question, port, self._desk.view)
        if isinstance(answer, Elsewhere):
            return None
        PUNTS.labels("dns").inc()
        return encode(answer, question, over_tcp=over_tcp)

    async def _others_answer(
        self, octets: bytes, question: dns.message.Message, port: LocalPort, *, over_tcp: bool
    ) -> bytes:
        region = self._desk.view.region
        servers = (region.dns_forwarders if region is not None else ()) or self._resolvers()
        answer = None
        try:
            with self._forwarded.one(port.id):
                answer = await self._forwarder(octets, servers, over_tcp=over_tcp)
        except Full:
            PUNTS.labels("dns_full").inc()
        else:
            PUNTS.labels("dns_forwarded" if answer is not None else "dns_unanswered").inc()
        return answer or encode(refuse(question, dns.rcode.SERVFAIL), question, over_tcp=over_tcp)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        source = writer.get_extra_info("peername")[0]
        port = self._askers.find(source)
        with (
            contextlib.suppress(Full, OSError, TimeoutError, asyncio.IncompleteReadError),
            contextlib.closing(writer),
        ):
            if port is None:
                return
            with self._connections.one(port.id):
                while await self._one_over_tcp(reader, writer, port):
                    pass

    async def _one_over_tcp(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: LocalPort
    ) -> bool:
        async with asyncio.timeout(IDLE_S_MAX):
            (length,) = struct.unpack("!H", await reader.readexactly(_LENGTH_BYTES))
            octets = await reader.readexactly(length)
        question = parse_question(octets)
        if question is None:
            PUNTS.labels("dns_malformed").inc()
            return False
        answer = self._own_answer(question, port, over_tcp=True)
        if answer is None:
            answer = await self._others_answer(octets, question, port, over_tcp=True)
        async with asyncio.timeout(IDLE_S_MAX):
            writer.write(struct.pack("!H", len(answer)) + answer)
            await writer.drain()
        return True


class _Datagrams(asyncio.DatagramProtocol):
    """One UDP socket of the server."""

    def __init__(self, server: NameServer) -> None:
        self._server = server
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Event loops' own classes do not all derive from the one that they follow.
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        transport = self._transport
        if transport is None:
            return

        def send(octets: bytes) -> None:
            if not transport.is_closing():
                transport.sendto(octets, addr)

        self._server.received(data, addr[0], send)
