"""Fast path and normal path: what one change costs the dataplane that 1, 2, 4 or 8 ncms want, and what subjects cost.

A dataplane's end in this process, the ncms' ends in another, a NATS JetStream cluster of three nodes that keep three
copies in files; all on one machine. A change is one turn with a step of one scope: one item (a port), or 64 (a burst).
Octets are those of gRPC frames and of frames to the broker, heads with them; CPU is this process's.
"""

import asyncio
import multiprocessing
import resource
import time
from contextlib import AsyncExitStack
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import nats

from alcor.bus.broker import BrokerPlace, ensure_stream
from alcor.bus.goal_server import GoalServer
from alcor.bus.interface import Heads
from alcor.bus.normal_path import Choice
from alcor.goalstate.scope import neighbours_scope, shard_of
from alcor.telemetry.metrics import REGISTRY
from benchmarks.measure import load_average, quantiles, report
from tests.support.bus import FakePublisher, a_neighbour
from tests.support.nats import Cluster, a_cluster
from tests.support.normal_bus import a_normal_client, a_normal_server, a_place, until
from tests.support.remote_bus import a_client, a_server

SCOPE = neighbours_scope("measured")
NCMS = (1, 2, 4, 8)
ITEMS = (1, 64)
TURNS = 200
PAUSE_S = 0.01
SUBJECTS = (64, 20_000)
FRAMES = 20_000
FRAME = b"x" * 300


def octets() -> float:
    """Sent to ncms and to the broker so far."""
    found = [
        REGISTRY.get_sample_value("alcor_bus_bytes_total", {"path": path}) for path in ("fast", "normal")
    ]
    return sum(each or 0.0 for each in found)


def read(address: str, place: BrokerPlace | None, ncms: int, pipe: Connection) -> None:
    """The ncms' process: when each saw each revision."""
    asyncio.run(_read(address, place, ncms, pipe))


async def _read(address: str, place: BrokerPlace | None, ncms: int, pipe: Connection) -> None:
    seen: list[dict[int, float]] = [{} for _ in range(ncms)]

    async def follow(number: int, stack: AsyncExitStack) -> None:
        if place is None:
            bus = await stack.enter_async_context(a_client(address, f"ncm-{number}"))
        else:
            bus = (await stack.enter_async_context(a_normal_client(address, place, f"ncm-{number}"))).client
        bus.want(SCOPE)
        async for batch in bus.updates():
            now = time.time()
            for message in batch:
                if isinstance(message, Heads) and shard_of(SCOPE) in message.through:
                    seen[number][message.through[shard_of(SCOPE)]] = now

    async with AsyncExitStack() as stack:
        tasks = [asyncio.create_task(follow(number, stack)) for number in range(ncms)]
        last = await asyncio.to_thread(pipe.recv)
        await until(lambda: all(max(each, default=0) >= last for each in seen))
        pipe.send(seen)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def measure(cluster: Cluster, path: str, ncms: int, items: int) -> dict[str, Any]:
    """One row."""
    async with AsyncExitStack() as stack:
        place = a_place(cluster) if path == "normal" else None
        if place is None:
            server = await stack.enter_async_context(a_server())
        else:
            server = (await stack.enter_async_context(a_normal_server(place, Choice(1, 1)))).server
        publisher = FakePublisher(server)
        publisher.serve()
        publisher.change({SCOPE: [a_neighbour("first")]})
        ours, theirs = multiprocessing.Pipe()
        process = multiprocessing.get_context("spawn").Process(
            target=read, args=(server.addresses[0], place, ncms, theirs)
        )
        process.start()
        try:
            await until(lambda: ready(server, ncms, with_broker=place is not None))
            return {"path": path, "ncms": ncms, "items": items} | await _turns(publisher, items, ours)
        finally:
            process.kill()
            process.join()


def ready(server: GoalServer, ncms: int, *, with_broker: bool) -> bool:
    """Whether all ncms are there and hold the scope."""
    channels = server._channels
    settled = sum(channel.bus.settled(SCOPE, 7) > 0 for channel in channels)
    return settled == ncms and (not with_broker or len(server.readers) == ncms)


async def _turns(publisher: FakePublisher, items: int, pipe: Connection) -> dict[str, Any]:
    await asyncio.sleep(0.5)
    sent, spent, told = octets(), time.process_time(), {}
    for turn in range(TURNS):
        batch = [a_neighbour(f"port-{number}", host_id=f"host-{turn}") for number in range(items)]
        begun = time.time()
        told[publisher.change({SCOPE: batch})] = begun
        await asyncio.sleep(PAUSE_S)
    spent = time.process_time() - spent
    pipe.send(publisher.head)
    seen: list[dict[int, float]] = await asyncio.to_thread(pipe.recv)
    delays = [
        (min(at for head, at in each.items() if head >= revision) - begun) * 1000
        for each in seen
        for revision, begun in told.items()
    ]
    delay = quantiles(delays)
    return {
        "octets per change": round((octets() - sent) / TURNS),
        "CPU ms per change": round(spent * 1000 / TURNS, 3),
        "delay p50 ms": delay["p50"],
        "delay p99 ms": delay["p99"],
    }


async def subjects(count: int) -> dict[str, Any]:
    """What so many subjects cost the broker: FRAMES frames, a fresh cluster, 200 on the way at a time."""
    async with a_cluster(3) as cluster:
        place = a_place(cluster)
        client = await nats.connect(list(cluster.urls))
        context = client.jetstream(timeout=10)
        await ensure_stream(context, place)
        begun = time.monotonic()
        for first in range(0, FRAMES, 200):
            await asyncio.gather(
                *(
                    context.publish(place.subject("goal", 7, number % count), FRAME)
                    for number in range(first, first + 200)
                )
            )
        spent = time.monotonic() - begun
        memory = max(_resident_mib(node.process.pid) for node in cluster.nodes if node.process is not None)
        await client.close()
        cluster.kill()
        begun = time.monotonic()
        cluster.start()
        await cluster.leader_of(place.stream)
        return {
            "subjects": count,
            "frames per s": round(FRAMES / spent),
            "a node's memory MiB": memory,
            "restart to a leader s": round(time.monotonic() - begun, 2),
        }


def _resident_mib(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return round(pages * resource.getpagesize() / (1 << 20), 1)


async def run() -> None:
    """Measure and print."""
    load_before = load_average()
    rows: list[dict[str, Any]] = []
    async with a_cluster(3) as cluster:
        for items in ITEMS:
            for ncms in NCMS:
                for path in ("fast", "normal"):
                    rows.append(await measure(cluster, path, ncms, items))  # noqa: PERF401  # one at a time
    report("channels", rows, load_before=load_before)
    load_before = load_average()
    rows = [await subjects(count) for count in SUBJECTS]
    report("subjects", rows, load_before=load_before)


if __name__ == "__main__":
    asyncio.run(run())
