"""Questions that are not about the VPC: asked of others, without a cache.

Each question goes out with a number and a UDP port of its own (RFC 5452), and only an answer to that question from that
server is believed. The asker's octets pass as they are, so what it says of itself (EDNS, DNSSEC) holds from end to end.
"""

import asyncio
import secrets
import struct
from collections.abc import Sequence
from ipaddress import ip_address
from pathlib import Path
from typing import cast

DNS_PORT = 53
# A resolver of a guest gives up after five seconds and asks again: two servers are tried within that time.
ANSWER_S_MAX = 2.0
SERVERS_MAX = 2
_HEAD_BYTES = 12
_RESOLV_CONF = Path("/etc/resolv.conf")


def host_resolvers(text: str) -> tuple[str, ...]:
    """The name servers that a `resolv.conf` names, those of other kinds than addresses left out."""
    found = []
    for line in text.splitlines():
        words = line.split()
        if len(words) >= 2 and words[0] == "nameserver":
            try:
                ip_address(words[1])
            except ValueError:
                continue
            found.append(words[1])
    return tuple(found)


def read_host_resolvers(path: Path = _RESOLV_CONF) -> tuple[str, ...]:
    """Whom this host itself asks, read anew each time: none if the file cannot be read."""
    try:
        return host_resolvers(path.read_text())
    except (OSError, UnicodeDecodeError):
        return ()


class _Asked(asyncio.DatagramProtocol):
    """One question to one server. `answer`: the first datagram that fits it."""

    def __init__(self, octets: bytes) -> None:
        self._octets = octets
        self.answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Event loops' own classes do not all derive from the one that they follow.
        cast(asyncio.DatagramTransport, transport).sendto(self._octets)

    def datagram_received(self, data: bytes, addr: object) -> None:
        if is_answer_to(data, self._octets) and not self.answer.done():
            self.answer.set_result(data)

    def error_received(self, exc: Exception) -> None:
        if not self.answer.done():
            self.answer.set_exception(exc)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.answer.done():
            self.answer.set_exception(exc or ConnectionError("closed"))


def is_answer_to(answer: bytes, question: bytes) -> bool:
    """Whether the number, the answer bit and the question's name and type are right; case may differ (RFC 4343)."""
    end = _end_of_question(question)
    return (
        len(answer) >= end
        and answer[:2] == question[:2]
        and bool(answer[2] & 0x80)
        and answer[4:6] == question[4:6]
        and answer[_HEAD_BYTES:end].lower() == question[_HEAD_BYTES:end].lower()
    )


def _end_of_question(octets: bytes) -> int:
    at = _HEAD_BYTES
    while at < len(octets) and octets[at]:
        at += 1 + octets[at]
    return at + 5


async def forward(
    question: bytes, servers: Sequence[str], *, over_tcp: bool, port: int = DNS_PORT
) -> bytes | None:
    """The answer of the first server that gives one, with the asker's number; None if none does in time."""
    number = secrets.token_bytes(2)
    octets = number + question[2:]
    for server in servers[:SERVERS_MAX]:
        try:
            async with asyncio.timeout(ANSWER_S_MAX):
                answer = await (_over_tcp if over_tcp else _over_udp)(octets, server, port)
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            continue
        if is_answer_to(answer, octets):
            return question[:2] + answer[2:]
    return None


async def _over_udp(octets: bytes, server: str, port: int) -> bytes:
    transport, asked = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: _Asked(octets), remote_addr=(server, port)
    )
    try:
        return await asked.answer
    finally:
        asked.answer.cancel()
        transport.close()


async def _over_tcp(octets: bytes, server: str, port: int) -> bytes:
    reader, writer = await asyncio.open_connection(server, port)
    try:
        writer.write(struct.pack("!H", len(octets)) + octets)
        await writer.drain()
        (length,) = struct.unpack("!H", await reader.readexactly(2))
        return await reader.readexactly(length)
    finally:
        writer.close()
