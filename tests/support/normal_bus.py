"""The bus with a real broker beside its streams: a dataplane's end and ncms' ends on a NATS cluster."""

import asyncio
import itertools
import secrets
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from alcor.bus.broker import BrokerPlace, BrokerReader, BrokerSender
from alcor.bus.codec import ProtobufCodec
from alcor.bus.goal_client import GoalClient
from alcor.bus.goal_server import GoalServer
from alcor.bus.interface import News
from alcor.bus.normal_client import NormalClient
from alcor.bus.normal_path import Choice, NormalPath
from alcor.telemetry.metrics import REGISTRY
from tests.support.nats import Cluster
from tests.support.remote_bus import SECRET, RemoteBus

_regions = itertools.count(1)


def a_place(cluster: Cluster, region: str = "") -> BrokerPlace:
    """A region of its own on a cluster."""
    return BrokerPlace(
        servers=cluster.urls,
        region=region or f"r{next(_regions)}",
        replicas=3 if len(cluster.nodes) > 2 else 1,
    )


@dataclass
class NormalDataplane:
    """A dataplane's end."""

    server: GoalServer
    sender: BrokerSender


@dataclass
class NormalNcm:
    """An ncm's end."""

    client: GoalClient
    normal: NormalClient


@asynccontextmanager
async def a_normal_server(
    place: BrokerPlace, choice: Choice, *, ack_s: float = 2.0, healthy_s: float = 0.5
) -> AsyncIterator[NormalDataplane]:
    """A dataplane's end that sends by the broker; yields once the broker is well."""
    codec = ProtobufCodec()
    sender = BrokerSender(place, random=lambda: 0.0, ack_s=ack_s, healthy_s=healthy_s, probe_s=0.2)
    path = NormalPath(codec, sender, source=secrets.randbits(62) + 1, choice=choice)
    server = GoalServer(codec, ["127.0.0.1:0"], secret=SECRET, normal=path)
    sender.failed = server.fall_back
    sending = asyncio.create_task(sender.run())
    await server.start()
    try:
        await until(lambda: sender.is_well)
        yield NormalDataplane(server, sender)
    finally:
        await server.stop(0)
        sending.cancel()
        with suppress(asyncio.CancelledError):
            await sending


@asynccontextmanager
async def a_normal_client(
    address: str, place: BrokerPlace, ncm_id: str = "ncm-1", *, lack_s: float = 2.0, rest_s: float = 0.5
) -> AsyncIterator[NormalNcm]:
    """An ncm's end that reads the broker while its updates are read."""
    reader = BrokerReader(place, random=lambda: 0.0, heartbeat_s=0.25)
    normal = NormalClient(
        reader, clock=time.monotonic, random=lambda: 0.0, lack_s=lack_s, rest_s=rest_s, confirm_s=0.1
    )
    client = GoalClient(
        address,
        ncm_id=ncm_id,
        secret=lambda: SECRET,
        random=lambda: 0.0,
        delay_min_s=0.01,
        delay_max_s=0.05,
        normal=normal,
    )
    try:
        yield NormalNcm(client, normal)
    finally:
        await client.close()


class NormalBus(RemoteBus):
    """Implements `GoalBus`: nothing comes out of `updates` before the broker is read too."""

    def __init__(self, dataplane: NormalDataplane, ncm: NormalNcm) -> None:
        super().__init__(dataplane.server, ncm.client)

    async def updates(self) -> AsyncIterator[Sequence[News]]:
        """As the client."""
        batches: asyncio.Queue[Sequence[News]] = asyncio.Queue(1)

        async def read() -> None:
            async for batch in self.client.updates():
                await batches.put(batch)

        reading = asyncio.create_task(read())
        try:
            await until(lambda: bool(self.server.readers))
            while True:
                yield await batches.get()
        finally:
            reading.cancel()
            with suppress(asyncio.CancelledError):
                await reading


@asynccontextmanager
async def a_normal_bus(cluster: Cluster) -> AsyncIterator[NormalBus]:
    """Both ends; everything that can goes by the broker, also for one ncm."""
    await cluster.ready()
    place = a_place(cluster)
    async with (
        a_normal_server(place, Choice(1, 1)) as dataplane,
        a_normal_client(dataplane.server.addresses[0], place) as ncm,
    ):
        yield NormalBus(dataplane, ncm)


def steps_by(path: str) -> float:
    """How many steps went that way so far in this process."""
    return REGISTRY.get_sample_value("alcor_bus_steps_total", {"path": path}) or 0.0


async def until(holds: Callable[[], bool], within_s: float = 30.0) -> None:
    """Wait for other programs. Raises: TimeoutError."""
    async with asyncio.timeout(within_s):
        while not holds():  # noqa: ASYNC110  # a broker's state
            await asyncio.sleep(0.02)
