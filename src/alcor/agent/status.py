"""The agent's status for people and probes: one JSON line over a unix socket, then the end."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

import orjson

_ANSWER_BYTES_MAX = 64 * 1024 * 1024
ANSWER_S_MAX = 5.0


class Told(Protocol):
    """Who has a status."""

    def status(self) -> dict[str, Any]:
        """What is to be shown, as JSON values."""


@asynccontextmanager
async def serve(path: Path, agent: Told) -> AsyncIterator[None]:
    """Answer on `path` until the context ends. A socket that a dead process left is replaced.

    Raises: OSError if the path cannot be used, or a live agent answers there.
    """

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            writer.write(orjson.dumps(agent.status()) + b"\n")
            await writer.drain()
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()

    if _prepare(path):
        await _remove_dead(path)
    # Only the agent's user may ask: the status names tenants' ports.
    before = os.umask(0o077)
    try:
        server = await asyncio.start_unix_server(answer, path)
    finally:
        os.umask(before)
    try:
        yield
    finally:
        server.close()
        await server.wait_closed()
        _unlink(path)


def _prepare(path: Path) -> bool:
    """Have the folder; returns whether a socket lies there already."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.is_socket()


def _unlink(path: Path) -> None:
    path.unlink(missing_ok=True)


async def _remove_dead(path: Path) -> None:
    try:
        _, writer = await asyncio.open_unix_connection(path)
    except ConnectionRefusedError:
        _unlink(path)
        return
    writer.close()
    raise OSError(f"an agent already answers at {path}; stop it, or give this one another --status-socket")


async def fetch(path: Path) -> dict[str, Any]:
    """Ask the agent at `path`. Raises: OSError if none answers."""
    async with asyncio.timeout(ANSWER_S_MAX):
        reader, writer = await asyncio.open_unix_connection(path, limit=_ANSWER_BYTES_MAX)
        try:
            line = await reader.readline()
        finally:
            writer.close()
    if not line:
        raise OSError(f"the agent at {path} closed the connection without an answer")
    facts: dict[str, Any] = orjson.loads(line)
    return facts
