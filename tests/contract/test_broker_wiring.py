"""What the configuration names is what both ends use."""

import asyncio
from pathlib import Path

from alcor.bus.codec import ProtobufCodec
from alcor.goalstate.scope import neighbours_scope
from alcor.runtime.bus import attached, listening
from alcor.runtime.config import Bus, Data, RegionConfig
from tests.support.bus import FakePublisher, Reader, a_neighbour
from tests.support.nats import shared_node
from tests.support.normal_bus import steps_by, until

SCOPE = neighbours_scope("net-1")
# A first probe that fails on a busy machine puts the broker off for up to ten seconds.
TAKEN_S = 60.0


async def test_a_broker_of_the_configuration_carries_steps(tmp_path: Path) -> None:
    """With `bus.broker` the dataplane's end and the ncm's end meet there, and on their stream."""
    await shared_node().ready()
    config = RegionConfig(
        data=Data(folder=tmp_path),
        bus=Bus(
            listen=("127.0.0.1:0",),
            broker=shared_node().urls,
            broker_region="wired",
            normal_from=1,
            fast_below=1,
        ),
    )
    async with (
        listening(config, ProtobufCodec()) as server,
        attached(config, beside=server.addresses) as client,
    ):
        publisher = FakePublisher(server)
        publisher.serve()
        publisher.change({SCOPE: [a_neighbour("first")]})
        reader = Reader(client)
        client.want(SCOPE)
        await reader.take_until(1, SCOPE)

        async def read() -> None:
            while True:
                await reader.take(within_s=TAKEN_S)

        reading = asyncio.create_task(read())
        await until(lambda: bool(server.readers))
        before = steps_by("normal")
        async with asyncio.timeout(TAKEN_S):
            while steps_by("normal") == before:
                head = publisher.change({SCOPE: [a_neighbour("p", host_id=f"h{publisher.head}")]})
                await until(lambda head=head: min(reader.heads.values()) >= head)  # type: ignore[misc]  # bound now
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)

        assert reader.gaps == []
        assert len(reader.held[SCOPE]) == 2
