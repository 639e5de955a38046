"""The metadata service: who asks, and who knows the answer.

With a compute service configured the question is passed on to it as its metadata API expects from a proxy: the
instance, its project, a signature over the instance that proves that we say so, and the address that asked. Else the
host answers from what it knows. Source: the compute service's the reference's metadata proxy.
"""

import asyncio
import contextlib
import hmac
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass

import h11

from alcor.agent.asker import Askers, Full, Places
from alcor.agent.handler import Desk
from alcor.agent.metadata.http import Request, Response, TooLarge, ask, serve_connection
from alcor.agent.metadata.identity import find_document
from alcor.goalstate.item import LocalPort
from alcor.telemetry.log import get_log
from alcor.telemetry.metrics import PUNTS

log = get_log("metadata")

CONNECTIONS_MAX, CONNECTIONS_PORT_MAX = 256, 16
# What a guest may say to the compute service besides method, target and body; all else is our word or nobody's.
_PASSED_HEADERS = ("accept", "content-type", "user-agent")


@dataclass(frozen=True, slots=True)
class Compute:
    """Where the compute service's metadata API is, and the secret shared with it."""

    url: str
    secret: str


Upstream = Callable[[str, Request], Awaitable[Response]]


class MetadataService:
    """Answers instances of this host. One per agent."""

    def __init__(self, desk: Desk, compute: Compute | None = None, *, upstream: Upstream = ask) -> None:
        """`upstream`: as `http.ask`."""
        self._desk, self._compute, self._upstream = desk, compute, upstream
        self._askers = Askers(desk)
        self._places = Places(CONNECTIONS_MAX, CONNECTIONS_PORT_MAX)

    @contextlib.asynccontextmanager
    async def serve(self, sockets: Sequence[socket.socket]) -> AsyncIterator[None]:
        """Serve on bound sockets while the block runs; they are closed at its end."""
        tasks: set[asyncio.Task[None]] = set()

        def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.create_task(self._converse(reader, writer))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

        async with contextlib.AsyncExitStack() as stack:
            for one in sockets:
                server = await asyncio.start_server(connected, sock=one)
                stack.callback(server.close)
            try:
                yield
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        source = writer.get_extra_info("peername")[0]
        port = self._askers.find(source)
        if port is None:
            PUNTS.labels("metadata_unknown").inc()
            writer.close()
            return

        async def handle(request: Request) -> Response:
            # Asked anew for each request: the port may have been changed or taken away meanwhile.
            return await self.answer(request, self._askers.find(source))

        try:
            with self._places.one(port.id):
                await serve_connection(reader, writer, handle)
        except Full:
            PUNTS.labels("metadata_full").inc()
            writer.close()

    async def answer(self, request: Request, port: LocalPort | None) -> Response:
        """What a port's instance is answered. Does not raise."""
        if port is None:
            return Response(404)
        PUNTS.labels("metadata").inc()
        if self._compute is not None:
            return await self._pass_on(request, port, self._compute)
        if request.method not in ("GET", "HEAD"):
            return Response(405)
        document = find_document(request.target.partition("?")[0], port, self._desk.view)
        if document is None:
            return Response(404)
        return Response(200, document.text.encode(), document.media_type)

    async def _pass_on(self, request: Request, port: LocalPort, compute: Compute) -> Response:
        if not port.device_id:
            return Response(404)
        headers = {name: request.headers[name] for name in _PASSED_HEADERS if name in request.headers}
        headers |= identity_headers(port, compute.secret)
        try:
            return await self._upstream(compute.url, request._replace(headers=headers))
        except (OSError, TimeoutError, TooLarge, h11.ProtocolError, asyncio.IncompleteReadError) as error:
            log.warning("compute_unreachable", url=compute.url, reason=str(error) or type(error).__name__)
            return Response(503)


def identity_headers(port: LocalPort, secret: str) -> dict[str, str]:
    """Who asks, as the compute service believes it: the signature is HMAC-SHA256 of the instance's ID, in hex."""
    signature = hmac.digest(secret.encode(), port.device_id.encode(), "sha256").hex()
    found = {
        "x-instance-id": port.device_id,
        "x-tenant-id": port.project_id,
        "x-instance-id-signature": signature,
    }
    if port.addresses:
        found["x-forwarded-for"] = port.addresses[0].ip
    return found
