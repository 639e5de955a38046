"""One of the region's dataplanes, of processes that share a database: it follows the log, and publishes its share.

When the database goes away it holds nothing, and ncms keep serving what they have; once it is back the dataplane loads
anew, if it had to give up, and takes its share again.
"""

import asyncio
from collections.abc import Callable

from alcor.dataplane.service import Dataplane
from alcor.dataplane.share import Share
from alcor.model.errors import Unavailable
from alcor.telemetry.log import get_log

log = get_log("runtime")

RETRY_S = 0.5


class Member:
    """Runs a dataplane and keeps its share. `run` it in one task.

    make: a dataplane that holds nothing. share: the share of one.
    """

    def __init__(
        self,
        make: Callable[[], Dataplane],
        share: Callable[[Dataplane], Share],
        *,
        retry_s: float = RETRY_S,
    ) -> None:
        self._make, self._share, self._retry_s = make, share, retry_s
        self._present: Share | None = None
        self._reason = "the dataplane is starting"
        self.settled = asyncio.Event()
        """Set once it has loaded the region and asked for its share."""

    @property
    def trouble(self) -> str:
        """Why it has no share; empty while it has."""
        return self._present.trouble if self._present is not None else self._reason

    @property
    def text(self) -> str:
        """What it does, in a sentence."""
        return self._present.text if self._present is not None else self._reason

    @property
    def realizer(self) -> str:
        """The address of another dataplane that hears of hosts; empty if none is known."""
        return self._present.realizer if self._present is not None else ""

    async def run(self) -> None:
        """Be a dataplane until cancelled. Only the database's absence is survived."""
        while True:
            reason = await self._once()
            if reason != self._reason:
                log.warning("dataplane_lost", reason=reason, action="it begins again once it can")
            self._reason = reason
            await asyncio.sleep(self._retry_s)

    async def _once(self) -> str:
        """One life of a dataplane; returns why it ended. Raises: what is not the database's fault."""
        dataplane = self._make()
        share = self._present = self._share(dataplane)
        work = asyncio.create_task(dataplane.run(), name="dataplane")
        tasks: list[asyncio.Task[object]] = [
            asyncio.create_task(share.run(), name="dataplane-share"),
            asyncio.create_task(self._settle(share), name="dataplane-settled"),
        ]
        try:
            await asyncio.wait({work, tasks[0]}, return_when=asyncio.FIRST_COMPLETED)
            if tasks[0].done():
                tasks[0].result()
            return _why(work)
        finally:
            for task in (work, *tasks):
                task.cancel()
            await asyncio.gather(work, *tasks, return_exceptions=True)
            await share.leave()
            self._present = None

    async def _settle(self, share: Share) -> None:
        await share.answered.wait()
        self.settled.set()


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
