"""Who may be the region's dataplane: one at a time, and never again with an older number."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from alcor.bus.codec import ProtobufCodec
from alcor.bus.interface import DataplaneBus
from alcor.bus.local import LocalBus
from alcor.dataplane.service import Dataplane
from alcor.goalstate.item import RegionItem
from alcor.model.errors import Unavailable
from alcor.runtime.lead import WAITING, Held, Leader
from alcor.store.postgres import PostgresStore
from alcor.store.postgres.connection import connector
from alcor.store.postgres.lease import Lease, take_lease
from tests.support.bus import Reader
from tests.support.postgres import server

REGION = RegionItem(id="region", responder_mac="02:a1:c0:00:00:01", dhcp_lease_s=3600)


@pytest.fixture
async def dsn() -> str:
    """A database with its tables."""
    postgres = server()
    dsn = postgres.dsn(await postgres.fresh())
    store = await PostgresStore.open(dsn, writers=1, readers=1)
    await store.close()
    return dsn


def taking(dsn: str, now_ms: int = 1000, waiting: Callable[[], None] = lambda: None) -> "asyncio.Task[Lease]":
    return asyncio.create_task(take_lease(connector(dsn), now_ms=lambda: now_ms, waiting=waiting))


async def cut_off(dsn: str, lease: Lease) -> None:
    """End the lease's connection as a server that goes away does."""
    pid = lease._connection.get_server_pid()  # the connection is nobody else's business
    await server().admin(f"SELECT pg_terminate_backend({pid})")


async def test_one_at_a_time(dsn: str) -> None:
    """The second one is told once that it waits, and gets the lease when the first one lets go."""
    told: list[str] = []
    first = await taking(dsn)
    second = taking(dsn, waiting=lambda: told.append("waiting"))
    async with asyncio.timeout(5):
        while not told:  # noqa: ASYNC110  # there is no event to wait for: it is seen from outside
            await asyncio.sleep(0)
    assert not second.done()

    await first.release()
    lease = await asyncio.wait_for(second, 5)

    assert (told, lease.generation > first.generation) == (["waiting"], True)
    await lease.release()


async def test_generations_grow_whatever_the_clock_says(dsn: str) -> None:
    """Each holder's number is higher than all before, also on a machine whose clock is behind."""
    numbers = []
    for now_ms in (5_000, 9_000, 100, 9_500):
        lease = await taking(dsn, now_ms)
        numbers.append(lease.generation)
        await lease.release()

    assert numbers == [5_000, 9_000, 9_001, 9_500]


async def test_a_lost_connection_is_a_lost_lease(dsn: str) -> None:
    """When the connection ends the holder hears it at once, and another may have the lease."""
    lease = await taking(dsn)
    lost = asyncio.create_task(lease.lost())
    await cut_off(dsn, lease)

    assert "connection" in await asyncio.wait_for(lost, 5)
    other = await asyncio.wait_for(taking(dsn), 5)
    await other.release()
    await lease.release()


async def test_without_a_database_there_is_no_lease() -> None:
    """A database that cannot be reached is Unavailable."""
    with pytest.raises(Unavailable, match="cannot be reached"):
        await take_lease(connector("postgresql://a@/b?host=/nowhere"), now_ms=lambda: 1, waiting=lambda: None)


class Leading:
    """A leader on a real database; `buses`: one per time it led, `generations` likewise."""

    def __init__(self, dsn: str, store: PostgresStore) -> None:
        self.leases: list[Lease] = []
        self.buses: list[LocalBus] = []
        self.generations: list[int] = []

        async def take(waiting: Callable[[], None]) -> Held:
            lease = await take_lease(connector(dsn), now_ms=lambda: 1000, waiting=waiting)
            self.leases.append(lease)
            return lease

        @asynccontextmanager
        async def listen() -> AsyncIterator[DataplaneBus]:
            self.buses.append(LocalBus(ProtobufCodec()))
            yield self.buses[-1]

        def make(generation: int, bus: DataplaneBus) -> Dataplane:
            self.generations.append(generation)
            return Dataplane(store, bus, generation=generation, region=REGION, now_ms=lambda: 1)

        self.leader = Leader(take, listen, make, retry_s=0.01)


async def test_it_leads_again_after_a_loss(dsn: str) -> None:
    """A leader whose lease is lost begins anew, on a new bus, with a higher generation."""
    store = await PostgresStore.open(dsn, writers=1, readers=2)
    leading = Leading(dsn, store)
    task = asyncio.create_task(leading.leader.run())
    await asyncio.wait_for(leading.leader.settled.wait(), 5)
    assert leading.leader.trouble == ""
    await Reader(leading.buses[0]).take(5)

    await cut_off(dsn, leading.leases[0])
    async with asyncio.timeout(10):
        while len(leading.buses) < 2 or leading.leader.trouble:  # noqa: ASYNC110  # seen from outside
            await asyncio.sleep(0)
    await Reader(leading.buses[1]).take(5)

    assert leading.generations == sorted(set(leading.generations))
    assert len(leading.generations) == 2
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await store.close()


async def test_a_leader_that_waits_says_so(dsn: str) -> None:
    """While another one leads, the leader is settled, and its trouble says why it does nothing."""
    first = await taking(dsn)
    store = await PostgresStore.open(dsn, writers=1, readers=2)
    leading = Leading(dsn, store)
    task = asyncio.create_task(leading.leader.run())
    await asyncio.wait_for(leading.leader.settled.wait(), 5)

    assert (leading.leader.trouble, leading.buses) == (WAITING, [])
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await first.release()
    await store.close()


async def test_what_is_not_the_databases_fault_ends_it(dsn: str) -> None:
    """An error that no return of the database mends is raised: the supervisor must see it."""

    async def take(waiting: Callable[[], None]) -> Held:
        return await take_lease(connector(dsn), now_ms=lambda: 1, waiting=waiting)

    @asynccontextmanager
    async def listen() -> AsyncIterator[DataplaneBus]:
        raise OSError("cannot listen for ncms on 10.0.0.1:9698")
        yield

    def make(generation: int, bus: DataplaneBus) -> Dataplane:
        raise AssertionError("nothing is to be led")

    with pytest.raises(OSError, match="cannot listen"):
        await asyncio.wait_for(Leader(take, listen, make).run(), 5)
