"""A part that runs as long as its process."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator

from alcor.telemetry.log import get_log

log = get_log("runtime")


@contextlib.asynccontextmanager
async def background(name: str, task: asyncio.Task[None]) -> AsyncIterator[None]:
    """A part that runs as long as the region; if it ends by itself the region must not go on pretending."""

    def ended(done: asyncio.Task[None]) -> None:
        if not done.cancelled() and (error := done.exception()) is not None:
            log.critical("part_failed", part=name, error=repr(error))
            # The supervisor starts the region again; a region without this part would accept what it never delivers.
            os._exit(70)

    task.add_done_callback(ended)
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
