"""Peers for the Open vSwitch driver without a switch: an independent encoder, and a scripted Unix socket."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

from os_ken.ofproto import ofproto_protocol, ofproto_v1_5, ofproto_v1_5_parser

PARSER: Any = ofproto_v1_5_parser
CONSTANTS: Any = ofproto_v1_5

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def independent_bytes(message_class: str, *arguments: Any, xid: int = 7, **named: Any) -> bytes:
    """A message as os-ken's OpenFlow 1.5 encodes it."""
    datapath = ofproto_protocol.ProtocolDesc(version=CONSTANTS.OFP_VERSION)
    message = getattr(PARSER, message_class)(datapath, *arguments, **named)
    message.xid = xid
    message.serialize()
    return bytes(message.buf)


def independent_part(part: Any) -> bytes:
    """An action, instruction or match as os-ken encodes it."""
    buffer = bytearray()
    part.serialize(buffer, 0)
    return bytes(buffer)


@contextlib.asynccontextmanager
async def a_peer(path: Path, talk: Talk) -> AsyncIterator[None]:
    """A listening socket that has `talk` with whoever connects, and hangs up after it."""

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await talk(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_unix_server(converse, path)
    try:
        yield
    finally:
        server.close()
        await server.wait_closed()
