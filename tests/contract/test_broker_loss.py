"""A real three-node JetStream cluster that loses nodes: steps go on, and come back to it."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from alcor.bus.normal_path import Choice
from alcor.goalstate.scope import Scope, neighbours_scope
from tests.support.bus import FakePublisher, Reader, a_neighbour
from tests.support.nats import Cluster, a_cluster
from tests.support.normal_bus import (
    NormalDataplane,
    NormalNcm,
    a_normal_client,
    a_normal_server,
    a_place,
    steps_by,
    until,
)

SCOPES = [neighbours_scope(f"net-{number}") for number in range(8)]


class Region:
    """A dataplane and ncms that want the same scopes, on a cluster; every ncm applies what it is given."""

    def __init__(self, cluster: Cluster, dataplane: NormalDataplane, ncms: Sequence[NormalNcm]) -> None:
        self.cluster, self.dataplane, self.ncms = cluster, dataplane, ncms
        self.publisher = FakePublisher(dataplane.server)
        self.readers = [Reader(ncm.client) for ncm in ncms]
        self.stream = ""

    async def read(self, reader: Reader) -> None:
        """Take what comes, for as long as the region lasts."""
        while True:
            await reader.take(within_s=120)
            reader.batches.clear()

    def change(self, number: int) -> None:
        """One revision: a port of one network."""
        scope = SCOPES[number % len(SCOPES)]
        self.publisher.change({scope: [a_neighbour(f"port-{number % 20}", host_id=f"host-{number}")]})

    async def converged(self) -> None:
        """Wait until every ncm is told the last revision; then each holds what the publisher has, without a gap."""
        head = self.publisher.head
        await until(lambda: all(min(reader.heads.values(), default=-1) >= head for reader in self.readers))
        for reader in self.readers:
            assert reader.gaps == []
            assert {scope: set(held) for scope, held in reader.held.items()} == {
                scope: set(self.publisher.items[scope]) for scope in SCOPES
            }
            for scope in SCOPES:
                bodies = {key: each.body for key, each in reader.held[scope].items()}
                assert bodies == {
                    key: self.dataplane.server.codec.encode(put.item)
                    for key, put in self.publisher.items[scope].items()
                }

    async def returned(self) -> None:
        """Wait until everything goes by the broker again, to every ncm."""
        await until(
            lambda: self.dataplane.sender.is_well and len(self.dataplane.server.readers) == len(self.ncms)
        )
        before, number = steps_by("normal"), 0
        while steps_by("normal") - before < len(self.ncms):
            self.change(number)
            number += 1
            await asyncio.sleep(0.02)
            assert number < 500, "nothing goes by the broker"


@asynccontextmanager
async def a_region(
    ncms: int = 2, choice: Choice | None = None, *, ack_s: float = 2.0
) -> AsyncIterator[Region]:
    async with AsyncExitStack() as stack:
        cluster = await stack.enter_async_context(a_cluster(3))
        place = a_place(cluster)
        dataplane = await stack.enter_async_context(
            a_normal_server(place, choice or Choice(1, 1), ack_s=ack_s)
        )
        address = dataplane.server.addresses[0]
        ends = [
            await stack.enter_async_context(a_normal_client(address, place, f"ncm-{number}"))
            for number in range(ncms)
        ]
        region = Region(cluster, dataplane, ends)
        region.stream = place.stream
        region.publisher.serve()
        region.publisher.change({scope: [a_neighbour("first")] for scope in SCOPES})
        tasks = []
        for reader, end in zip(region.readers, ends, strict=True):
            for scope in SCOPES:
                end.client.want(scope)
            tasks.append(asyncio.create_task(region.read(reader)))
        try:
            await until(lambda: len(dataplane.server.readers) == ncms)
            yield region
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def changes(region: Region, count: int, begin: int = 0) -> None:
    for number in range(begin, begin + count):
        region.change(number)
        await asyncio.sleep(0.005)


async def test_ncms_get_the_same_by_the_broker() -> None:
    """Several ncms get every step by the broker, published once, and hold the same."""
    async with a_region(ncms=3) as region:
        before = steps_by("normal")
        await changes(region, 100)
        await region.converged()

        assert steps_by("normal") - before == 300


@pytest.mark.parametrize("leads", [True, False], ids=["the leader", "another one"])
async def test_a_node_is_killed_in_a_stream_of_changes(leads: bool) -> None:
    """One of three nodes dies, comes back later: nothing is lost, and what goes by the broker goes there again."""
    async with a_region() as region:
        await changes(region, 50)
        leader = await region.cluster.leader_of(region.stream)
        victim = leader if leads else next(node for node in region.cluster.nodes if node is not leader)
        stream = asyncio.create_task(changes(region, 400, 50))
        await asyncio.sleep(0.2)
        victim.kill()
        await stream
        await region.converged()
        await region.returned()
        victim.start()
        await changes(region, 50)
        await region.converged()


async def test_all_nodes_are_killed_in_a_stream_of_changes() -> None:
    """All nodes die at once: everything goes by the streams within a moment. They come back: so does everything."""
    async with a_region() as region:
        await changes(region, 50)
        stream = asyncio.create_task(changes(region, 400, 50))
        await asyncio.sleep(0.2)
        region.cluster.kill()
        await stream
        await region.converged()
        assert not region.dataplane.sender.is_well
        assert region.dataplane.sender.trouble

        before = steps_by("fast")
        await changes(region, 20)
        await region.converged()
        assert steps_by("fast") > before
        region.cluster.start()
        await region.returned()
        await changes(region, 50)
        await region.converged()


async def test_a_broker_that_stands_still_holds_up_nobody() -> None:
    """Nodes that answer nothing and hold their connections: after `ack_s` everything goes by the streams."""
    async with a_region(ack_s=0.5) as region:
        for node in region.cluster.nodes:
            node.freeze()
        for number in range(100):
            region.change(number)
        await region.converged()

        assert not region.dataplane.sender.is_well
        for node in region.cluster.nodes:
            node.thaw()
        await region.returned()
        await region.converged()


async def test_an_ncm_without_the_broker_gets_everything_by_its_stream() -> None:
    """One ncm cannot reach the broker: it is told all on its stream while the others read the broker."""
    async with a_region(ncms=2) as region, AsyncExitStack() as stack:
        nowhere = a_place(region.cluster)  # a region whose stream nobody makes
        address = region.dataplane.server.addresses[0]
        apart = await stack.enter_async_context(a_normal_client(address, nowhere, "ncm-apart"))
        reader = Reader(apart.client)
        for scope in SCOPES:
            apart.client.want(scope)
        task = asyncio.create_task(region.read(reader))
        region.readers.append(reader)
        before = steps_by("normal")
        await changes(region, 50)
        await region.converged()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

        assert steps_by("normal") - before == 100
        assert not apart.normal.reading
        assert sorted(region.dataplane.server.readers) == ["ncm-0", "ncm-1"]


async def test_the_channel_is_chosen_by_fan_out() -> None:
    """A scope goes by the broker from three ncms that want it, and comes back to the streams below two."""
    async with a_region(ncms=3, choice=Choice(3, 2)) as region:
        scope: Scope = SCOPES[0]

        async def goes_by_broker() -> bool:
            before = steps_by("normal")
            region.publisher.change({scope: [a_neighbour("p", host_id=f"h{region.publisher.head}")]})
            head = region.publisher.head
            await until(lambda: all(min(reader.heads.values()) >= head for reader in region.readers))
            return steps_by("normal") > before

        assert await goes_by_broker()
        for number, expected in ((0, True), (1, False)):
            region.ncms[number].client.unwant(scope)
            region.readers[number].forget(scope)
            wanted = 2 - number
            await until(
                lambda wanted=wanted: (  # type: ignore[misc]  # bound now
                    sum(channel.bus.wants(scope) for channel in region.dataplane.server._channels) == wanted
                )
            )
            assert await goes_by_broker() is expected
