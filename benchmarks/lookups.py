"""Look-ups of networks held on demand: how many a second one ncm answers, and what a port and a held item cost it.

Each row is a process of its own: a network of so many ports is loaded as one snapshot, 200 hosts attach and ask in
frames of 256 subjects; measured is all the ncm does with a frame: decode, look up, register, encode the answer. The
stream itself (gRPC) and the agents are left out. Seconds are those of one processor, not of the clock, because other
work may go on beside. Run: `python -m benchmarks.lookups`, about a minute; 1.5 GB of memory.
"""

import asyncio
import gc
import json
import random
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

from alcor.bus.agent_frame import decode_agent_frame, encode_agent_frame
from alcor.bus.codec import ProtobufCodec
from alcor.bus.frame import FrameEncoder
from alcor.bus.interface import Envelope, Heads, HostReport, Lookup, News, Reply, ScopeUpdate
from alcor.goalstate.item import Item, LocalPort, Neighbour, key_of, refers
from alcor.goalstate.scope import (
    REGION,
    SHARDS,
    Scope,
    host_scope,
    neighbours_scope,
    network_scope,
)
from alcor.ncm.delivery import Delivery
from alcor.ncm.scope_cache import ScopeCache
from benchmarks.measure import load_average, report

SIZES = (1_001, 100_000, 1_000_000)
HOSTS = 200
FRAME_SUBJECTS = 256
FRAMES = 800
NET, NEIGHBOURS = network_scope("net"), neighbours_scope("net")
CODEC = ProtobufCodec()


class _Nobody:
    """A bus on which nothing is said, and a subscriber that need not be woken."""

    def want(self, scope: Scope) -> None: ...

    def unwant(self, scope: Scope) -> None: ...

    async def updates(self) -> AsyncIterator[Sequence[News]]:
        if False:
            yield []

    def reply(self, reply: Reply) -> None: ...

    def report(self, report: HostReport) -> None: ...

    def wake(self) -> None: ...


def _envelope(item: Item) -> Envelope:
    return Envelope(key_of(item), 1, refers(item), CODEC.encode(item))


def _ip(number: int) -> str:
    return f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"


def _neighbour(number: int, vtep: str = "") -> Neighbour:
    host = number % 1_000
    return Neighbour(
        id=f"0190a3c4-0000-7000-8000-{number:012x}",
        mac=f"fa:16:3e:{number >> 16:02x}:{number >> 8 & 255:02x}:{number & 255:02x}",
        ips=(_ip(number),),
        host_id=f"0190a3c4-0000-7000-9000-{host:012x}",
        vtep=vtep or f"192.0.{host >> 8}.{host & 255}",
        groups=("0190a3c4-0000-7000-a000-000000000001",),
    )


def _snapshot(scope: Scope, items: Sequence[Item]) -> ScopeUpdate:
    put = tuple(_envelope(item) for item in items)
    return ScopeUpdate(scope=scope, epoch=1, generation=1, from_revision=0, through=1, put=put)


def _resident() -> int:
    gc.collect()
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("this system does not say how much memory a process has")


def _port(host: int) -> LocalPort:
    return LocalPort(
        id=f"vm-{host}",
        network_id="net",
        name="",
        mac="fa:16:3e:ff:00:01",
        addresses=(),
        admin_state_up=True,
        port_security_enabled=True,
        groups=(),
    )


def _attach(cache: ScopeCache, host: int) -> Delivery:
    own = host_scope(f"host-{host}")
    delivery = Delivery(cache, _Nobody(), own, epoch=0, positions={})
    delivery.turn()
    for scope in (REGION, NET):
        cache.take(_snapshot(scope, ()))
    cache.take(_snapshot(own, [_port(host)]))
    _drain(delivery)
    return delivery


def _drain(delivery: Delivery) -> list[Any]:
    sent: list[Any] = []
    finished = False
    while not finished:
        messages, finished = delivery.turn()
        sent += messages
    return sent


async def _measure(ports: int) -> dict[str, Any]:
    cache = ScopeCache(_Nobody(), codes=CODEC.codes)
    cache.acquire(NEIGHBOURS, _Nobody())
    before = _resident()
    # In parts, as a stream brings it, so that nothing but what is held is left.
    begins_s = time.process_time()
    for first in range(0, ports, 10_000):
        part = [_neighbour(number) for number in range(first, min(first + 10_000, ports))]
        more = first + 10_000 < ports
        update = _snapshot(NEIGHBOURS, part)
        cache.take(
            ScopeUpdate(
                scope=NEIGHBOURS, epoch=1, generation=1, from_revision=0, through=1, put=update.put, more=more
            )
        )
    loaded_s = time.process_time() - begins_s
    cache.take(Heads(epoch=1, generation=1, through=dict.fromkeys(range(SHARDS), 1)))
    held_bytes = _resident() - before

    deliveries = [_attach(cache, host) for host in range(HOSTS)]
    draw = random.Random(7)
    frames = [
        encode_agent_frame(
            [Lookup(NEIGHBOURS, tuple(_ip(draw.randrange(ports)) for _ in range(FRAME_SUBJECTS)))]
        )
        for _ in range(FRAMES)
    ]
    encoder, octets = FrameEncoder(), 0
    begins_s = time.process_time()
    for number, frame in enumerate(frames):
        delivery = deliveries[number % HOSTS]
        for message in decode_agent_frame(frame):
            if isinstance(message, Lookup):
                delivery.look_up(message.scope, message.subjects)
        octets += sum(map(len, encoder.encode(_drain(delivery))))
    asked_s = time.process_time() - begins_s

    held = cache.find(NEIGHBOURS)
    if held is None or held.interest is None:
        raise RuntimeError("the network is not held on demand")
    pairs = held.interest.held
    begins_s, changes = time.process_time(), 1_000
    for revision in range(2, 2 + changes):
        changed = _envelope(_neighbour(draw.randrange(ports), vtep="192.0.2.1"))
        cache.take(
            ScopeUpdate(
                scope=NEIGHBOURS,
                epoch=1,
                generation=1,
                from_revision=revision - 1,
                through=revision,
                put=(changed,),
            )
        )
    changed_s = time.process_time() - begins_s
    return {
        "ports": ports,
        "look-ups per CPU s": round(FRAMES * FRAME_SUBJECTS / asked_s),
        "µs per look-up": round(asked_s / FRAMES / FRAME_SUBJECTS * 1e6, 2),
        "octets per answer": round(octets / FRAMES / FRAME_SUBJECTS),
        "ncm octets per port": round(held_bytes / ports),
        "pairs held": pairs,
        "µs per change": round(changed_s / changes * 1e6, 1),
        "load s": round(loaded_s, 2),
    }


def main() -> None:
    """Measure each size in a process of its own, and report."""
    if len(sys.argv) > 1:
        print(json.dumps(asyncio.run(_measure(int(sys.argv[1])))))
        return
    load_before = load_average()
    rows = []
    for size in SIZES:
        command = [sys.executable, "-m", "benchmarks.lookups", str(size)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        rows.append(json.loads(done.stdout.splitlines()[-1]))
    report("lookups", rows, load_before=load_before)


if __name__ == "__main__":
    main()
