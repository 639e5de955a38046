"""A holder of the realize lease that stands still, and writes after another took over: real PostgreSQL, two members."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import pytest
from structlog.testing import capture_logs

from alcor.bus.interface import HostReport
from alcor.dataplane.service import Dataplane
from alcor.dataplane.share import REALIZE, SHARD, Share
from alcor.goalstate.scope import SHARDS
from alcor.store.interface import HostObservation, Store, Superseded
from alcor.store.postgres import PostgresStore
from alcor.store.postgres.connection import connector
from alcor.store.postgres.lease import PostgresLeases
from tests.support.goalbus import PATIENCE_S, RecordingBus
from tests.support.goalstate import A_REGION, a_host
from tests.support.leases import Seconds
from tests.support.postgres import postgres_store, server
from tests.support.store import insert

KINDS = {SHARD: SHARDS, REALIZE: 1}
TTL_S, MARGIN_S = 0.3, 0.05
H1 = a_host("h1")


@dataclass
class Member:
    """A dataplane with its share, on connections of its own. Its clock stands still: no term of it ever ends by it."""

    store: Store
    bus: RecordingBus
    dataplane: Dataplane
    share: Share

    async def has_begun(self) -> None:
        """Wait until it hears of hosts, asking for the lease meanwhile."""
        async with asyncio.timeout(PATIENCE_S):
            while not self.dataplane.realizes:
                await self.share.turn()
                await asyncio.sleep(TTL_S / 10)

    def hear(self, detail: str, *, alive: bool = True) -> None:
        """A host says something."""
        epoch = self.dataplane._publisher.epoch
        self.bus.report(HostReport(host_id="h1", epoch=epoch, alive=alive, at_ms=5, detail=detail))


@asynccontextmanager
async def a_member(folder: Path, name: str) -> AsyncIterator[Member]:
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(postgres_store(folder))
        leases = PostgresLeases(connector(server().dsn(server().databases[folder])), KINDS)
        stack.push_async_callback(leases.close)
        bus = RecordingBus()
        dataplane = Dataplane(
            store, bus, generation=None, region=A_REGION, now_ms=lambda: 1, delay_min_s=0.01
        )
        share = Share(
            leases,
            dataplane,
            member_id=name,
            address=f"{name}:9698",
            clock=Seconds(),
            ttl_s=TTL_S,
            margin_s=MARGIN_S,
        )
        task = asyncio.create_task(dataplane.run())
        try:
            async with asyncio.timeout(PATIENCE_S):
                await dataplane.started.wait()
            yield Member(store, bus, dataplane, share)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await share.leave()


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not holds():  # noqa: ASYNC110  # nothing wakes a reader of logs
            await asyncio.sleep(0.01)


async def fact(store: Store) -> HostObservation | None:
    return (await store.observations.hosts(["h1"])).get("h1")


async def told(store: Store, detail: str) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while (seen := await fact(store)) is None or seen.detail != detail:  # noqa: ASYNC110  # another process's
            await asyncio.sleep(0.01)


async def test_a_holder_that_stood_still_writes_nothing_more(tmp_path: Path) -> None:
    """Its term ended by the database's clock and not by its own; another began; what the first one hears then is
    refused by the database, and it stops being the writer."""
    async with a_member(tmp_path, "a") as one, a_member(tmp_path, "b") as two:
        await insert(one.store, H1)
        await one.has_begun()
        one.hear("of the first")
        await told(one.store, "of the first")
        await two.has_begun()
        assert one.dataplane.realizes  # by its own clock
        two.hear("of the second")
        await told(two.store, "of the second")

        with capture_logs() as logs:
            one.hear("late", alive=False)
            await until(lambda: any(entry["event"] == "term_superseded" for entry in logs))
        await until(lambda: not one.dataplane.realizes)
        two.hear("of the second again")
        await told(two.store, "of the second again")

        assert two.dataplane.realizes
        seen = await fact(two.store)
        assert seen is not None
        assert seen.alive


async def test_a_write_under_way_is_seen_by_the_next_term_or_refused(tmp_path: Path) -> None:
    """A new term begins after a write of the old one that the database has already taken, never in its midst."""
    async with postgres_store(tmp_path) as store, postgres_store(tmp_path) as other:
        connection = await asyncpg.connect(server().dsn(server().databases[tmp_path]))
        try:
            await store.observations.begin(3)
            await store.observations.put([], [HostObservation("h1", True, 1)], term=3)
            # The database is slow with the rows of a write that has passed the fence.
            slow = connection.transaction()
            await slow.start()
            await connection.execute("SELECT FROM host_observation FOR UPDATE")
            late = asyncio.create_task(
                store.observations.put([], [HostObservation("h1", True, 1, detail="late")], term=3)
            )
            await waiting(connection, 1)
            begun = asyncio.create_task(other.observations.begin(4))
            await waiting(connection, 2)
            await slow.commit()
            await asyncio.gather(late, begun)

            seen = await fact(other)
            assert seen is not None
            assert seen.detail == "late"
            with pytest.raises(Superseded):
                await store.observations.put([], [HostObservation("h1", True, 1)], term=3)
        finally:
            await connection.close()


async def waiting(connection: asyncpg.Connection, count: int) -> None:
    """Until so many wait in this database for a lock that another one has."""
    waits = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    async with asyncio.timeout(PATIENCE_S):
        while await connection.fetchval(waits) < count:  # the database tells nobody
            # A transaction sees one state of its statistics.
            await connection.execute("SELECT pg_stat_clear_snapshot()")
            await asyncio.sleep(0.01)


async def test_databases_from_before_have_the_fence(tmp_path: Path) -> None:
    """A database made before there was a fence gets it when it is opened; what is in it stays."""
    async with postgres_store(tmp_path) as store:
        await insert(store, H1)
        connection = await asyncpg.connect(server().dsn(server().databases[tmp_path]))
        try:
            await connection.execute("DROP TABLE observation_term")
            async with postgres_store(tmp_path) as again:
                assert isinstance(again, PostgresStore)
                await again.observations.put([], [HostObservation("h1", True, 1)], term=0)
                assert await fact(again) is not None
        finally:
            await connection.close()
