"""Whether an ncm relies on the broker: it tells the dataplanes that it reads it while it does, and what it took in.

When frames fail to come it says so, has all that it misses said on the streams, and comes back after a rest.
"""

import asyncio
from collections.abc import Callable, Iterable
from typing import Protocol

from alcor.bus.goal_frame import NormalReading
from alcor.bus.normal_frame import decode_normal_frame
from alcor.bus.normal_join import FrameStore, Join
from alcor.telemetry.log import get_log

log = get_log("bus")

LACK_S = 1.0
"""So long heads wait for a frame before everything is asked for on the streams: longer than a reconnection takes."""
REST_S = 5.0
"""So long, and up to twice as long, the streams are kept to afterwards: a broker that comes and goes is of no use."""
CONFIRM_S = 0.5
_TICK_S = 0.1


class FrameReader(Protocol):
    """What brings the broker's frames."""

    @property
    def is_well(self) -> bool:
        """Whether what is published from now on will come."""

    @property
    def trouble(self) -> str:
        """Why it is not well; empty if it is."""

    async def run(self, take: Callable[[bytes], None]) -> None:
        """Bring frames, and find the way back after any loss, until cancelled."""


class JoinedLink(Protocol):
    """A connection to one dataplane."""

    @property
    def join(self) -> Join:
        """What joins its stream with the frames of its dataplane."""

    def tell_normal(self, said: NormalReading) -> None:
        """What this ncm does on the normal path."""


class NormalClient:
    """The broker, for all connections of one ncm. `clock`: seconds that do not go back. `random`: in [0, 1).

    reading: whether it is relied on now. due: (source, shard) of frames that came.
    """

    def __init__(
        self,
        reader: FrameReader,
        *,
        clock: Callable[[], float],
        random: Callable[[], float],
        lack_s: float = LACK_S,
        rest_s: float = REST_S,
        confirm_s: float = CONFIRM_S,
    ) -> None:
        self.reader, self.clock = reader, clock
        self._random = random
        self._lack_s, self._rest_s, self._confirm_s = lack_s, rest_s, confirm_s
        self.frames = FrameStore()
        self.due: dict[tuple[int, int], None] = {}
        self.reading = False
        self._return_at = self._confirmed_at = float("-inf")
        self._ill_since: float | None = None

    async def run(self, links: Callable[[], Iterable[JoinedLink]], wake: Callable[[], None]) -> None:
        """Bring frames to `frames` and `due`, and keep the dataplanes told, until cancelled.

        wake: called when there is something due.
        """

        def take(payload: bytes) -> None:
            if self.hear(payload, links()):
                wake()

        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self.reader.run(take), name="bus-broker")
                tasks.create_task(self._watch(links), name="bus-watch")
        finally:
            self.reading = False
            self.frames.clear()
            self.due.clear()

    def hear(self, payload: bytes, links: Iterable[JoinedLink]) -> bool:
        """The broker's next message, in whatever order; returns whether it may be needed."""
        if not self.reading:
            return False
        try:
            frame = decode_normal_frame(payload)
        except ValueError as error:
            log.warning("normal_frame_refused", reason=str(error))
            return False  # should it have been one of ours, it is missed and asked for on the stream
        if any(link.join.is_old(frame) for link in links):
            return False
        # One of a source that no link named yet may be ahead of its stream; those of one that is gone age out.
        self.frames.add(frame)
        self.due[frame.source, frame.shard] = None
        return True

    async def _watch(self, links: Callable[[], Iterable[JoinedLink]]) -> None:
        while True:
            self.look(list(links()))
            await asyncio.sleep(_TICK_S)

    def look(self, links: Iterable[JoinedLink]) -> None:
        """See whether the broker can be relied on, and tell the dataplanes what was taken in."""
        now = self.clock()
        if self.reader.is_well:
            self._ill_since = None
        elif self._ill_since is None:
            self._ill_since = now
        if not self.reading:
            if self._ill_since is None and now >= self._return_at:
                log.info("normal_path_taken")
                self._tell(links, True)
            return
        waits = [since for link in links if (since := link.join.waits_since()) is not None]
        reasons = {
            "frames did not come": min(waits, default=None),
            self.reader.trouble or "the broker cannot be read": self._ill_since,
        }
        late = [why for why, since in reasons.items() if since is not None and now - since > self._lack_s]
        if late:
            self._return_at = now + self._rest_s * (1 + self._random())
            log.warning("normal_path_left", reason=late[0])
            self._tell(links, False)
            self.frames.clear()
        elif now - self._confirmed_at >= self._confirm_s:
            self._confirmed_at = now
            for link in links:
                if reached := link.join.reached():
                    link.tell_normal(NormalReading(True, link.join.source, reached))

    def _tell(self, links: Iterable[JoinedLink], reading: bool) -> None:
        self.reading = reading
        for link in links:
            link.tell_normal(NormalReading(reading))
