"""One dataplane at a time of several: each holds all shards while it leads, and none before and after."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from alcor.bus.interface import DataplaneBus
from alcor.dataplane.service import Dataplane
from alcor.model.errors import Unavailable
from alcor.telemetry.log import get_log

log = get_log("runtime")

RETRY_S = 0.5
WAITING = "another dataplane leads this region; this one takes over when it ends"


class Held(Protocol):
    """The lead, while it is held. `generation`: fencing number, higher than that of any holder before."""

    @property
    def generation(self) -> int:
        """See above."""

    async def lost(self) -> str:
        """Wait until it is lost; returns why."""

    async def release(self) -> None:
        """Let the next one have it."""


class Leader:
    """Leads whenever it can. `run` it in one task.

    take:   waits for the lead; calls its argument once if another one has it. Raises: Unavailable.
    listen: the bus, open to ncms, for as long as one lead lasts.
    make:   a dataplane of a generation on a bus.
    """

    def __init__(
        self,
        take: Callable[[Callable[[], None]], Awaitable[Held]],
        listen: Callable[[], AbstractAsyncContextManager[DataplaneBus]],
        make: Callable[[int, DataplaneBus], Dataplane],
        *,
        retry_s: float = RETRY_S,
    ) -> None:
        self._take, self._listen, self._make = take, listen, make
        self._retry_s = retry_s
        self.settled = asyncio.Event()
        """Set once it leads, or knows that another one does."""
        self.trouble = "the dataplane is starting"
        """Why it does not lead; empty while it does."""

    async def run(self) -> None:
        """Lead whenever possible, until cancelled. Only the database's absence is survived."""
        while True:
            try:
                held = await self._take(self._wait)
            except Unavailable as error:
                await self._pause(error.message)
                continue
            try:
                reason = await self._lead(held)
            finally:
                await held.release()
            await self._pause(reason)

    async def _pause(self, reason: str) -> None:
        if reason != self.trouble:
            self.trouble = reason
            log.warning("lead_lost", reason=reason, action="it leads again once it can")
        await asyncio.sleep(self._retry_s)

    def _wait(self) -> None:
        self.trouble = WAITING
        log.info("lead_awaited", reason=WAITING)
        self.settled.set()

    async def _lead(self, held: Held) -> str:
        """Be the dataplane until the lead is lost; returns why. Raises: whatever else ends a dataplane."""
        async with self._listen() as bus:
            dataplane = self._make(held.generation, bus)
            work = asyncio.create_task(dataplane.run(), name="dataplane")
            lost = asyncio.create_task(held.lost(), name="dataplane-lead")
            started = asyncio.create_task(dataplane.started.wait(), name="dataplane-started")
            try:
                await asyncio.wait({work, lost, started}, return_when=asyncio.FIRST_COMPLETED)
                if started.done():
                    self.trouble = ""
                    log.info("lead_taken", generation=held.generation)
                    self.settled.set()
                    await asyncio.wait({work, lost}, return_when=asyncio.FIRST_COMPLETED)
                return lost.result() if lost.done() else _why(work)
            finally:
                for task in (work, lost, started):
                    task.cancel()
                await asyncio.gather(work, lost, started, return_exceptions=True)


def _why(work: "asyncio.Task[None]") -> str:
    """Why a dataplane ended, if the database is the reason. Raises: everything else."""
    reason = "the dataplane ended"
    try:
        work.result()
    except* Unavailable as errors:
        first: BaseException = errors
        while isinstance(first, BaseExceptionGroup):
            first = first.exceptions[0]
        reason = str(first)
    return reason
