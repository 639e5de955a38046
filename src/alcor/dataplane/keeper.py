"""Renews a dataplane's leases while its event loop is held, from a thread with a loop and a connection of its own.

Long work is done in slices, but not all of it can be (one revision of thousands of ports, the collector of garbage),
and on a busy machine a short one takes long. That is no reason to lose the shards: a new term of them costs more work.
Nothing is taken or given up here, and who holds what is decided by the loop alone: it acts on a term that was extended
when it has read so, and stops when none was (docs/design/region.md).
"""

import asyncio
import threading
from collections.abc import Callable, Mapping
from typing import NamedTuple

from alcor.model.errors import Unavailable
from alcor.store.lease import LeaseName, Leases
from alcor.telemetry.log import get_log

log = get_log("dataplane")


class Extension(NamedTuple):
    """The table renewed these leases, by generation. `begun`: from before it was asked, by the member's clock."""

    begun: float
    held: Mapping[LeaseName, int]


class Keeper:
    """`start` it in the process of a `Share`, which tells it by `saw` that the loop goes on; `stop` it at the end.

    open:        the table, by a connection of its own; called in the thread.
    clock:       monotonic seconds; that of the share.
    late_s:      the loop is held if it was not seen for so long; then leases are extended as often.
    still_s_max: who was not seen for longer than this is as good as dead, and its leases end.
    """

    def __init__(
        self,
        open: Callable[[], Leases],
        *,
        member_id: str,
        clock: Callable[[], float],
        ttl_s: float,
        late_s: float,
        still_s_max: float,
    ) -> None:
        self._open, self._member_id, self._clock = open, member_id, clock
        self._ttl_s, self._late_s, self._still_s_max = ttl_s, late_s, still_s_max
        self._seen = clock()
        self._thread: threading.Thread | None = None
        self._ended = threading.Event()
        self.extension: Extension | None = None
        """The last one; replaced as a whole, so that any thread may read it."""

    def saw(self) -> None:
        """The loop goes on."""
        self._seen = self._clock()

    def start(self) -> None:
        """Begin to look. The thread does not keep the process alive."""
        self._thread = threading.Thread(target=self._run, name="dataplane-keeper", daemon=True)
        self._thread.start()

    async def stop(self) -> None:
        """End, without holding the loop."""
        self._ended.set()
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join)

    def _run(self) -> None:
        asyncio.run(self._keep())

    async def _keep(self) -> None:
        leases = self._open()
        try:
            # The pause is the thread's: nothing else runs in its loop.
            while not self._ended.wait(self._late_s / 2):
                await self.look(leases)
        except Exception as error:
            # The thread's edge: without it the loop renews as ever.
            log.error("keeper_failed", exc_info=error)
        finally:
            await leases.close()

    async def look(self, leases: Leases) -> None:
        """Extend once, if the loop is held. What the table does not answer in time counts as not extended."""
        begun = self._clock()
        last = self.extension.begun if self.extension is not None else self._seen
        if begun - self._seen > self._still_s_max or begun - max(self._seen, last) < self._late_s:
            return
        try:
            async with asyncio.timeout(self._ttl_s):
                held = await leases.extend(self._member_id, self._ttl_s)
        except (Unavailable, TimeoutError):
            return
        self.extension = Extension(begun, held)
        log.info("leases_extended", leases=len(held), held_s=round(begun - self._seen, 1))
