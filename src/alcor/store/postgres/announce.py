"""Who waits for a revision in this process, and what was last heard of it."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from alcor.model.change import Position
from alcor.store.postgres.snapshot import Snapshot
from alcor.telemetry import metrics


@dataclass(frozen=True, slots=True)
class Announced:
    """A revision that is there now. `snapshot` None: too long to be said."""

    position: Position
    snapshot: Snapshot | None


# Enough to find the number of a commit whose answer is on its way to whoever asked.
_RECENT = 256


class Waiters:
    """Wakes those who wait. A wake-up only says "look"."""

    def __init__(self, head: Position) -> None:
        self.head = head
        self.closed = False
        self._beyond: set[asyncio.Future[None]] = set()
        self._xids: dict[int, asyncio.Future[int]] = {}
        # Consecutive revisions, the head last; empty when it is not known what the head's snapshot sees.
        self._recent: deque[tuple[int, Snapshot]] = deque(maxlen=_RECENT)

    async def beyond(self, after: int) -> None:
        """Return once the head may be beyond `after`, or the store is closed."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._beyond.add(future)
        try:
            if self.head.revision <= after and not self.closed:
                await future
        finally:
            self._beyond.discard(future)

    async def number_of(self, xid: int, look: Callable[[int], Awaitable[int | None]], look_s: float) -> int:
        """The revision that holds a committed transaction. `look` asks the database, every `look_s` seconds."""
        known = self._recently(xid)
        if known is None and self._recent and self._recent[0][1].sees(xid):
            known = await look(xid)
        if known is not None:
            return known
        future = self._xids.setdefault(xid, asyncio.get_running_loop().create_future())
        try:
            while True:
                done, _ = await asyncio.wait([future], timeout=look_s)
                if done:
                    return future.result()
                found = await look(xid)
                if found is not None:
                    return found
        finally:
            self._xids.pop(xid, None)

    def hear(self, announced: Announced) -> None:
        """A revision was announced, by this process or another."""
        before, now = self.head, announced.position
        if (now.epoch, now.revision) <= (before.epoch, before.revision):
            return
        self.head = now
        metrics.REVISION.labels("store").set(now.revision)
        if announced.snapshot is None or now.revision != before.revision + 1:
            # The numbers of those who wait are asked of the database.
            self._recent.clear()
        if announced.snapshot is not None:
            self._recent.append((now.revision, announced.snapshot))
            for xid, future in self._xids.items():
                if not future.done() and (number := self._recently(xid)) is not None:
                    future.set_result(number)
        self.wake()

    def wake(self) -> None:
        """Let everybody look who waits for something beyond."""
        beyond, self._beyond = self._beyond, set()
        for future in beyond:
            if not future.done():
                future.set_result(None)

    def close(self) -> None:
        """Nothing will be announced any more."""
        self.closed = True
        self.wake()

    def _recently(self, xid: int) -> int | None:
        """The revision of a transaction, if it is among the recent ones and not the first of them."""
        found = None
        for revision, snapshot in reversed(self._recent):
            if not snapshot.sees(xid):
                return found
            found = revision
        return None
