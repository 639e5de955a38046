"""HTTP/1.1 on asyncio streams with h11: one server loop and one client call, both with bounds on time and size."""

import asyncio
import contextlib
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import urlsplit

import h11

HEAD_BYTES_MAX = 16 * 1024
REQUEST_BYTES_MAX = 64 * 1024
RESPONSE_BYTES_MAX = 4 * 1024 * 1024
# A whole request must come within this time; so must the taking of the answer.
EXCHANGE_S_MAX = 10.0
IDLE_S_MAX = 5.0
REQUESTS_PER_CONNECTION_MAX = 100
# Small against the bounds above: what has come already is parsed whatever its size.
_READ_BYTES = 8 * 1024
_NO_BODY = (204, 304)


class TooLarge(Exception):
    """A message has more octets than is allowed."""


class Request(NamedTuple):
    """What a client asks. `target`: path and query as they came; header names in lower case."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Response:
    """What it is answered."""

    status: int
    body: bytes = b""
    media_type: str = "text/plain"


Handler = Callable[[Request], Awaitable[Response]]


async def serve_connection(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, handler: Handler
) -> None:
    """Answer requests until the client closes, is silent, or breaks the protocol. Does not raise for the client."""
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=HEAD_BYTES_MAX)
    try:
        for _ in range(REQUESTS_PER_CONNECTION_MAX):
            try:
                async with asyncio.timeout(EXCHANGE_S_MAX):
                    request = await _read_request(connection, reader, writer)
            except h11.RemoteProtocolError as error:
                await _write(connection, writer, Response(error.error_status_hint or 400), is_last=True)
                return
            except TooLarge:
                await _write(connection, writer, Response(413), is_last=True)
                return
            if request is None:
                return
            response = await handler(request)
            await _write(connection, writer, response, is_last=False, is_head=request.method == "HEAD")
            if connection.our_state is h11.MUST_CLOSE or connection.their_state is not h11.DONE:
                return
            connection.start_next_cycle()
    except (OSError, TimeoutError, h11.ProtocolError, asyncio.IncompleteReadError):
        return
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def _read_request(
    connection: h11.Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> Request | None:
    """One whole request; None if the client has closed."""
    head: h11.Request | None = None
    body = b""
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            if connection.they_are_waiting_for_100_continue:
                go_on = h11.InformationalResponse(status_code=100, headers=[], reason=b"Continue")
                writer.write(connection.send(go_on) or b"")
            connection.receive_data(await reader.read(_READ_BYTES))
        elif isinstance(event, h11.Request):
            head = event
        elif isinstance(event, h11.Data):
            body += event.data
            if len(body) > REQUEST_BYTES_MAX:
                raise TooLarge
        elif isinstance(event, h11.EndOfMessage) and head is not None:
            headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in head.headers}
            return Request(head.method.decode("ascii"), head.target.decode("latin-1"), headers, body)
        else:
            return None


async def _write(
    connection: h11.Connection,
    writer: asyncio.StreamWriter,
    response: Response,
    *,
    is_last: bool,
    is_head: bool = False,
) -> None:
    if connection.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
        return
    headers = [("content-type", response.media_type), ("content-length", str(len(response.body)))]
    if response.status in _NO_BODY:
        headers = []
    if is_last:
        headers.append(("connection", "close"))
    octets = connection.send(h11.Response(status_code=response.status, headers=headers)) or b""
    if response.body and not is_head and response.status not in _NO_BODY:
        octets += connection.send(h11.Data(data=response.body)) or b""
    octets += connection.send(h11.EndOfMessage()) or b""
    async with asyncio.timeout(EXCHANGE_S_MAX):
        writer.write(octets)
        await writer.drain()


async def ask(url: str, request: Request) -> Response:
    """Send one request to `url` (its scheme and authority; the path before the request's own) and read the answer.

    Raises: OSError, TimeoutError, TooLarge, h11.ProtocolError, asyncio.IncompleteReadError.
    """
    parts = urlsplit(url)
    secure = ssl.create_default_context() if parts.scheme == "https" else None
    default_port = 443 if secure is not None else 80
    async with asyncio.timeout(EXCHANGE_S_MAX):
        reader, writer = await asyncio.open_connection(
            parts.hostname,
            parts.port or default_port,
            ssl=secure,
            server_hostname=parts.hostname if secure else None,
        )
        try:
            connection = h11.Connection(h11.CLIENT)
            headers = [("host", parts.netloc), ("connection", "close"), *request.headers.items()]
            headers.append(("content-length", str(len(request.body))))
            target = parts.path.rstrip("/") + request.target
            octets = (
                connection.send(h11.Request(method=request.method, target=target, headers=headers)) or b""
            )
            if request.body:
                octets += connection.send(h11.Data(data=request.body)) or b""
            writer.write(octets + (connection.send(h11.EndOfMessage()) or b""))
            await writer.drain()
            return await _read_response(connection, reader)
        finally:
            writer.close()


async def _read_response(connection: h11.Connection, reader: asyncio.StreamReader) -> Response:
    head: h11.Response | None = None
    body = b""
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(await reader.read(_READ_BYTES))
        elif isinstance(event, h11.Response):
            head = event
        elif isinstance(event, h11.Data):
            body += event.data
            if len(body) > RESPONSE_BYTES_MAX:
                raise TooLarge
        elif isinstance(event, h11.EndOfMessage) and head is not None:
            media_type = dict(head.headers).get(b"content-type", b"text/plain").decode("latin-1")
            return Response(head.status_code, body, media_type)
        elif isinstance(event, h11.ConnectionClosed):
            raise ConnectionError("closed before an answer came")
