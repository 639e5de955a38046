"""The status socket: one JSON line, for the agent's own user."""

import asyncio
import socket
from pathlib import Path
from typing import Any

import pytest

from alcor.agent.status import fetch, serve


class Told:
    """Who has a status."""

    def status(self) -> dict[str, Any]:
        return {"in_sync": True, "ports": {"a": {"ofport": 101}}}


async def test_status_over_the_socket(tmp_path: Path) -> None:
    """Who asks gets the status; only the agent's user may; the socket goes with the agent."""
    path = tmp_path / "run" / "agent.sock"
    async with serve(path, Told()):
        assert await fetch(path) == Told().status()
        assert await fetch(path) == Told().status()
        assert path.stat().st_mode & 0o077 == 0

    assert not path.exists()
    with pytest.raises(FileNotFoundError):
        await fetch(path)


async def test_a_dead_agents_socket_is_replaced(tmp_path: Path) -> None:
    """A socket that a killed agent left does not keep the next one from starting; a live agent's does."""
    path = tmp_path / "agent.sock"
    # A bare socket: asyncio's servers remove their file from Python 3.13 on, and a killed agent does not.
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))

    async with serve(path, Told()):
        assert await fetch(path) == Told().status()
        with pytest.raises(OSError, match="an agent already answers"):
            async with serve(path, Told()):
                pass
        assert await fetch(path) == Told().status()


async def test_an_agent_that_says_nothing(tmp_path: Path) -> None:
    """A connection that ends without an answer is an error that says so."""
    path = tmp_path / "agent.sock"

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with await asyncio.start_unix_server(hang_up, path):
        with pytest.raises(OSError, match="without an answer"):
            await fetch(path)
