"""Both ends of a broker, as processes of a configuration make them."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from alcor.bus.broker import BrokerReader, BrokerSender
from alcor.runtime.broker import broker_place
from alcor.runtime.config import Bus, RegionConfig


@asynccontextmanager
async def trying(bus: Bus) -> AsyncIterator[tuple[BrokerSender, BrokerReader]]:
    """A dataplane's and an ncm's end, at work."""
    place = broker_place(RegionConfig(bus=bus))
    assert place is not None
    sender = BrokerSender(place, random=random.random, healthy_s=0.1, probe_s=0.1)
    reader = BrokerReader(place, random=random.random, heartbeat_s=0.1)
    tasks = [asyncio.create_task(sender.run()), asyncio.create_task(reader.run(lambda _frame: None))]
    try:
        yield sender, reader
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
