"""Talking to a running FRR daemon through its vty socket, as vtysh does.

Without vtysh in between there is no process per change, and no password among the arguments of one. A command is sent
with a zero byte at its end; the answer is text, three zero bytes and the result. Source: FRR 8, lib/vty.c.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

ANSWER_S = 10.0
ANSWER_BYTES_MAX = 1 << 24
_END = b"\0\0\0"
# Source: FRR, lib/command.h: 0 is success, 1 a warning (what was asked for is so already).
_DONE = (0, 1)


class VtyError(Exception):
    """The daemon does not answer, or refuses a line; the text says which."""


class Vty:
    """One conversation, in which nothing is asked before the last answer has come."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Use `vty`."""
        self._reader, self._writer = reader, writer

    async def ask(self, line: str) -> str:
        """Say one line; returns what the daemon prints. Raises: VtyError."""
        try:
            async with asyncio.timeout(ANSWER_S):
                self._writer.write(line.encode() + b"\0")
                await self._writer.drain()
                text = await self._reader.readuntil(_END)
                (result,) = await self._reader.readexactly(1)
        except (OSError, EOFError, asyncio.LimitOverrunError) as error:
            raise VtyError(f"no answer to {_named(line)}: {type(error).__name__}") from error
        said = text.removesuffix(_END).decode(errors="replace")
        if result not in _DONE:
            raise VtyError(f"{_named(line)} is refused ({result})")
        return said

    async def configure(self, lines: Iterable[str]) -> None:
        """Say lines of configuration. Raises: VtyError; what came before the line that was refused is done."""
        await self.ask("configure terminal")
        for line in lines:
            await self.ask(line.strip())
        await self.ask("end")


@contextlib.asynccontextmanager
async def vty(socket: Path) -> AsyncIterator[Vty]:
    """A conversation with the daemon that listens on `socket`, privileged. Raises: VtyError."""
    try:
        async with asyncio.timeout(ANSWER_S):
            reader, writer = await asyncio.open_unix_connection(str(socket), limit=ANSWER_BYTES_MAX)
    except OSError as error:
        raise VtyError(f"{socket}: {error.strerror or type(error).__name__}") from error
    try:
        one = Vty(reader, writer)
        await one.ask("enable")
        yield one
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


def _named(line: str) -> str:
    """A line as it may stand in a log: passwords left out."""
    before, separator, _ = line.partition(" password ")
    return f"'{before}{separator}…'" if separator else f"'{line}'"
