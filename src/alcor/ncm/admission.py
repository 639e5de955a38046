"""How many agents are brought in sync at once: the others are welcomed, and told what they lack in their turn."""

import asyncio

from alcor.telemetry.metrics import AGENTS_WAITING

# Agents that are sent what they lack at the same time: each has up to a chunk of 1 MiB on its stream.
SYNCING_MAX = 64
# An agent that does not read, or waits for a shard nobody holds, keeps others waiting for at most this long.
PLACE_S = 5.0


class Place:
    """One agent's turn. `leave` when it is in sync; after a time it is over by itself, and the agent served on."""

    def __init__(self, places: asyncio.Semaphore, within_s: float) -> None:
        self._places = places
        self._timer: asyncio.TimerHandle | None = asyncio.get_running_loop().call_later(within_s, self.leave)

    def leave(self) -> None:
        """Let the next one in; nothing if that is done."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self._places.release()


class Admission:
    """Places for `syncing_max` agents, taken in the order in which they came."""

    def __init__(self, syncing_max: int = SYNCING_MAX, place_s: float = PLACE_S) -> None:
        self._places, self._place_s = asyncio.Semaphore(syncing_max), place_s

    async def enter(self) -> Place:
        """Wait for a place. Bound: whoever was first, divided by the places, times `place_s`."""
        AGENTS_WAITING.inc()
        try:
            await self._places.acquire()
        finally:
            AGENTS_WAITING.dec()
        return Place(self._places, self._place_s)
