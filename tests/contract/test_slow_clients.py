"""Clients that are slow, silent or lie, on real sockets against the real server: they cost the others nothing."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from alcor.api.app import build
from alcor.api.auth import TokenAuthenticator
from alcor.api.limit import Limits
from alcor.managers.registry import managers
from alcor.runtime.edge import listen, serving
from alcor.runtime.patience import Patience
from alcor.telemetry.metrics import REGISTRY
from tests.support.api import ADMIN_PROJECT, ADMIN_TOKEN, add_token
from tests.support.store import sqlite_store

# Short enough for a test; longer than an honest request takes on a machine that is busy.
PATIENCE = Patience(head_s=1.0, body_s=1.5, answer_s=1.0, idle_s=3.0, connections_max=64, sweep_s=0.1)
# Far more than any of the bounds above: what takes longer was not ended.
END_S = 30.0
HEAD = f"Host: alcor.test\r\nX-Auth-Token: {ADMIN_TOKEN}\r\n"
LIST = f"GET /v2.0/networks HTTP/1.1\r\n{HEAD}\r\n".encode()


def cuts(reason: str) -> float:
    """How many connections were ended for a reason, so far."""
    return REGISTRY.get_sample_value("alcor_api_connections_cut_total", {"reason": reason}) or 0.0


@dataclass
class Client:
    """One connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def say(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self) -> tuple[int, bytes]:
        """Status and body of the next answer."""
        head = await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), END_S)
        status = int(head.split(b" ", 2)[1])
        lengths = [
            int(line.split(b":")[1])
            for line in head.lower().split(b"\r\n")
            if line.startswith(b"content-length:")
        ]
        return status, await self.reader.readexactly(lengths[0] if lengths else 0)

    async def rest(self) -> bytes:
        """All until the server ends the connection."""
        received = b""
        with contextlib.suppress(ConnectionError):
            while chunk := await asyncio.wait_for(self.reader.read(65_536), END_S):
                received += chunk
        return received

    def close(self) -> None:
        self.writer.transport.abort()


class Site:
    """A server, and the connections made to it."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._open: list[Client] = []

    async def connect(self, *, receive_bytes: int | None = None) -> Client:
        """A new connection. `receive_bytes`: what the system holds of an answer that is not read."""
        raw = socket.socket()
        raw.setblocking(False)
        if receive_bytes is not None:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        await asyncio.get_running_loop().sock_connect(raw, ("127.0.0.1", self.port))
        limit = 4_096 if receive_bytes is not None else 2**20
        client = Client(*await asyncio.open_connection(sock=raw, limit=limit))
        self._open.append(client)
        return client

    async def is_served(self) -> bool:
        """Whether an honest client is answered, on a connection of its own."""
        client = await self.connect()
        await client.say(LIST)
        return (await client.answer())[0] == 200

    def close(self) -> None:
        for client in self._open:
            client.close()


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    listener = listen("127.0.0.1:0", "api.listen", "--listen")
    async with sqlite_store(tmp_path) as store:
        await add_token(store, ADMIN_TOKEN, ADMIN_PROJECT, is_admin=True)
        app = build(
            store,
            managers(),
            TokenAuthenticator(store),
            version="0.0.0",
            limits=Limits(body_bytes_max=100_000),
        )
        async with serving(app, listener, "api", PATIENCE):
            opened = Site(listener.getsockname()[1])
            yield opened
            opened.close()


async def test_a_silent_connection_ends(site: Site) -> None:
    """Who connects and says nothing is gone after `head_s`, without an answer."""
    client, before = await site.connect(), cuts("head")

    assert await client.rest() == b""
    assert cuts("head") == before + 1
    assert await site.is_served()


@pytest.mark.parametrize("byte", [b"G", b"\r\n", b"GET /v2.0/networks HTTP/1.1\r\nX-A: "])
async def test_headers_that_come_byte_by_byte_end(site: Site, byte: bytes) -> None:
    """A request whose headers are not whole after `head_s` is answered 408, however often a byte of them comes."""
    client = await site.connect()
    await client.say(byte)

    received = b""
    with contextlib.suppress(ConnectionError):
        while not client.reader.at_eof():
            try:
                received += await asyncio.wait_for(client.reader.read(1_000), 0.05)
            except TimeoutError:
                await client.say(b"\r\n" if byte == b"\r\n" else b"E")

    # A request line that makes no sense is refused before that.
    assert received.startswith((b"HTTP/1.1 408 ", b"HTTP/1.1 400 "))
    assert await site.is_served()


async def test_the_next_requests_headers_have_an_end_too(site: Site) -> None:
    """On a connection that was used, half a head is answered 408 as well."""
    client = await site.connect()
    await client.say(LIST)
    assert (await client.answer())[0] == 200

    await client.say(LIST[:20])

    assert (await client.answer())[0] == 408
    assert await client.rest() == b""


async def test_headers_without_end_are_refused(site: Site) -> None:
    """Headers of more than 128 KiB are answered 431 while they come: nothing gathers them."""
    client, before = await site.connect(), cuts("head")
    await client.say(b"GET /v2.0/networks HTTP/1.1\r\nX-Long: ")
    with contextlib.suppress(ConnectionError):
        for _ in range(64):
            await client.say(b"x" * 65_536)

    # The answer may be lost with what was not read of the request; that it was refused is counted.
    await client.rest()
    assert cuts("head") == before + 1
    assert await site.is_served()


@pytest.mark.parametrize(
    "head", ["Content-Length: 1000\r\n", "Transfer-Encoding: chunked\r\n"], ids=["length", "chunked"]
)
async def test_a_body_that_does_not_come_ends(site: Site, head: str) -> None:
    """Who promises a body and does not send it is cut off after `body_s`, and nothing was done."""
    client, before = await site.connect(), cuts("body")
    await client.say(f"POST /v2.0/networks HTTP/1.1\r\n{HEAD}{head}\r\n".encode())

    assert await client.rest() == b""
    assert cuts("body") == before + 1
    assert await site.is_served()


async def test_an_answer_that_is_not_read_ends(site: Site) -> None:
    """Who asks much and reads nothing is cut off after `answer_s`, and others are answered meanwhile."""
    client, before = await site.connect(receive_bytes=4_096), cuts("answer")
    # The OpenAPI document, again and again: more than the system holds for a client that does not read.
    await client.say(f"GET /openapi.json HTTP/1.1\r\n{HEAD}\r\n".encode() * 40)

    loop = asyncio.get_running_loop()
    began = loop.time()
    while cuts("answer") == before:
        assert loop.time() - began < END_S, "the connection was not ended"
        assert await site.is_served()
    assert await site.is_served()


async def test_idle_connections_make_room(site: Site) -> None:
    """However many connections wait without a request, one more is served: that which waited longest goes."""
    before = cuts("too_many")
    idle = [await site.connect() for _ in range(PATIENCE.connections_max + 40)]

    assert await site.is_served()
    assert await idle[0].rest() == b""
    assert cuts("too_many") > before


async def test_a_pipeline_is_answered_in_order(site: Site) -> None:
    """Requests that do not wait for answers are answered one after the other."""
    client = await site.connect()
    missing = LIST.replace(b"/networks", b"/networks/x")

    await client.say(LIST + missing + LIST + missing)

    assert [(await client.answer())[0] for _ in range(4)] == [200, 404, 200, 404]


async def test_who_has_finished_sending_still_reads(site: Site) -> None:
    """A client that closes its own direction after a whole request gets the answer, and the end."""
    client = await site.connect()
    client.writer.write(LIST)
    client.writer.write_eof()

    assert (await client.answer())[0] == 200
    assert await client.rest() == b""


async def test_half_a_body_and_an_end_change_nothing(site: Site) -> None:
    """A client that goes in the middle of a body is gone, and nothing was made."""
    client = await site.connect()
    body = b'{"network": {"name": "half"}}'
    head = f"POST /v2.0/networks HTTP/1.1\r\n{HEAD}Content-Length: {len(body) + 1}\r\n\r\n".encode()
    client.writer.write(head + body)
    client.writer.write_eof()

    assert await client.rest() == b""
    other = await site.connect()
    await other.say(LIST)
    assert await other.answer() == (200, b'{"networks":[]}')


async def test_who_waits_to_be_told_to_go_on_is_told(site: Site) -> None:
    """`Expect: 100-continue`: the body is asked for, unless the request is refused without it."""
    body = b'{"network": {}}'
    head = (
        f"POST /v2.0/networks HTTP/1.1\r\n{HEAD}Content-Length: {len(body)}\r\nExpect: 100-continue\r\n\r\n"
    )
    client = await site.connect()
    await client.say(head.encode())
    assert (await client.answer())[0] == 100
    await client.say(body)
    assert (await client.answer())[0] == 201

    stranger = await site.connect()
    await stranger.say(head.replace(ADMIN_TOKEN, "none").encode())
    assert (await stranger.answer())[0] == 401


async def test_chunks_beyond_the_limit_are_refused(site: Site) -> None:
    """A body without a length is read up to the limit, then answered 413."""
    client = await site.connect()
    await client.say(f"POST /v2.0/networks HTTP/1.1\r\n{HEAD}Transfer-Encoding: chunked\r\n\r\n".encode())
    chunk = b"4e20\r\n" + b"[" * 0x4E20 + b"\r\n"
    await client.say(chunk * 6)

    assert (await client.answer())[0] == 413


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"POST /v2.0/networks HTTP/1.1\r\n@Content-Length: 99999999999999999999\r\n\r\n", 400),
        (b"POST /v2.0/networks HTTP/1.1\r\n@Content-Length: 9999999\r\n\r\n", 413),
        (b"POST /v2.0/networks HTTP/1.1\r\n@Content-Length: -1\r\n\r\n", 400),
        (b"POST /v2.0/networks HTTP/1.1\r\n@Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}", 400),
        (b"POST /v2.0/networks HTTP/1.1\r\n@Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (b"GET /v2.0/networks/%00 HTTP/1.1\r\n@\r\n", 404),
        (b"GET /v2.0/networks/%2e%2e/ports HTTP/1.1\r\n@\r\n", 404),
        (b"GET /v2.0//networks HTTP/1.1\r\n@\r\n", 404),
        (b"GET /v2.0/networks/%ff%fe HTTP/1.1\r\n@\r\n", 404),
        (b"GET /v2.0/networks?name=%ff HTTP/1.1\r\n@\r\n", 200),
        (b"GET /v2.0/networks/a%2Fb HTTP/1.1\r\n@\r\n", 404),
        (b"GET /v2.0/\xff\xfe HTTP/1.1\r\n@\r\n", 400),
        (b"GET http://elsewhere/v2.0/networks HTTP/1.1\r\n@\r\n", 200),
        (b"OPTIONS /v2.0/networks HTTP/1.1\r\n@\r\n", 405),
        (b"GET /v2.0/networks HTTP/1.1\r\n@Upgrade: websocket\r\nConnection: Upgrade\r\n\r\n", 200),
        (b"GET /v2.0/networks HTTP/9.9\r\n@\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01", 400),
    ],
)
async def test_what_makes_no_sense_is_refused(site: Site, request_: bytes, status: int) -> None:
    """Lies about lengths, tricks in paths, other protocols: an answer that says so, and never a 500."""
    client = await site.connect()
    await client.say(request_.replace(b"@", HEAD.encode()))

    assert (await client.answer())[0] == status
    assert await site.is_served()


async def test_a_head_has_no_body(site: Site) -> None:
    """HEAD is answered as GET, without the body; the connection stays in step."""
    client = await site.connect()
    await client.say(LIST.replace(b"GET", b"HEAD") + LIST)

    head = await asyncio.wait_for(client.reader.readuntil(b"\r\n\r\n"), END_S)
    assert head.startswith(b"HTTP/1.1 200 ")
    assert (await client.answer())[0] == 200
