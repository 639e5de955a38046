"""A broker between dataplanes and ncms that is not reliable: frames come late, in any order, twice, or not at all."""

import asyncio
from collections.abc import Callable
from contextvars import Context
from random import Random

from tests.support.sim.loop import SimLoop

DELAY_S_MAX = 0.1
LOSS, DUPLICATE = 0.01, 0.1
"""Shares of frames: never taken, which the sender notices; taken and never brought; brought twice."""
ACK_S = 0.5
REST_S = 0.5
"""How long a sender that was failed leaves the broker alone."""


class SimBroker:
    """The broker. `carried`: frames that it took."""

    def __init__(self, loop: SimLoop, random: Random) -> None:
        self.loop, self.random = loop, random
        self.readers: list[SimReader] = []
        self.carried = 0
        self._down_until = 0.0

    @property
    def is_up(self) -> bool:
        """Whether it takes and brings frames now."""
        return self.loop.time() >= self._down_until

    def break_down(self, seconds: float) -> None:
        """It is away for so long."""
        self._down_until = self.loop.time() + seconds

    def heal(self) -> None:
        """It is there, and everybody finds it."""
        self._down_until = 0.0

    def take(self, payload: bytes) -> bool:
        """Take a frame to all readers; whether it did."""
        if not self.is_up or self.random.random() < LOSS:
            return False
        self.carried += 1
        for reader in self.readers:
            times = 2 if self.random.random() < DUPLICATE else 1 if self.random.random() >= LOSS else 0
            for _ in range(times):
                delay_s = self.random.random() ** 3 * DELAY_S_MAX
                self.loop.call_later(delay_s, self._bring, reader, payload, context=Context())
        return True

    def _bring(self, reader: "SimReader", payload: bytes) -> None:
        if self.is_up:
            reader.inbox.put_nowait(payload)


class SimSender:
    """Implements `normal_path.Sender`. `failed`: called when a frame was not taken, when that is noticed."""

    payload_max = 1 << 20

    def __init__(self, broker: SimBroker) -> None:
        self._broker = broker
        self._rests_until = 0.0
        self.failed: Callable[[str], None] = lambda _: None

    @property
    def is_well(self) -> bool:
        """Whether it takes frames now, as far as it knows."""
        return self._broker.loop.time() >= self._rests_until

    def send(self, epoch: int, shard: int, payload: bytes) -> None:
        """Take a frame."""
        if not self._broker.take(payload):
            # In the sender's own context: who died meanwhile notices nothing.
            asyncio.get_running_loop().call_later(self._broker.random.random() * ACK_S, self._fail)

    def _fail(self) -> None:
        if self.is_well:
            self._rests_until = self._broker.loop.time() + REST_S
            self.failed("a frame was not acknowledged")


class SimReader:
    """Implements `normal_client.FrameReader`."""

    trouble = "the broker is away"

    def __init__(self, broker: SimBroker) -> None:
        self._broker = broker
        self.inbox: asyncio.Queue[bytes] = asyncio.Queue()

    @property
    def is_well(self) -> bool:
        """Whether what is published from now on will come, as far as it knows."""
        return self._broker.is_up

    async def run(self, take: Callable[[bytes], None]) -> None:
        """Bring frames until cancelled."""
        self._broker.readers.append(self)
        try:
            while True:
                take(await self.inbox.get())
        finally:
            self._broker.readers.remove(self)
