"""Leases on a real PostgreSQL: one holder at a time, generations that grow, terms by the database's clock."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack

import pytest

from alcor.dataplane.keeper import Keeper
from alcor.model.errors import Unavailable
from alcor.store.lease import LeaseMember, LeaseName
from alcor.store.postgres import PostgresStore
from alcor.store.postgres.connection import connector
from alcor.store.postgres.lease import PostgresLeases
from tests.support.postgres import server

KINDS = {"shard": 8, "one": 1}
TTL_S = 30.0
Opener = Callable[[], PostgresLeases]


@pytest.fixture
async def opened() -> AsyncIterator[Opener]:
    """Opens a connection of a member of its own, on one database."""
    postgres = server()
    dsn = postgres.dsn(await postgres.fresh())
    store = await PostgresStore.open(dsn, writers=1, readers=1)
    await store.close()
    async with AsyncExitStack() as stack:

        def open() -> PostgresLeases:
            leases = PostgresLeases(connector(dsn), KINDS)
            stack.push_async_callback(leases.close)
            return leases

        yield open


def a_member(id: str, *, is_ready: bool = True) -> LeaseMember:
    return LeaseMember(id, f"{id}:9698", is_ready)


def numbers(held: dict[LeaseName, int], kind: str = "shard") -> set[int]:
    return {name.number for name in held if name.kind == kind}


async def test_alone_a_member_has_all(opened: Opener) -> None:
    """One ready member takes every lease there is, of each kind."""
    standing = await opened().renew(a_member("a"), [], TTL_S)

    assert (numbers(standing.held), numbers(standing.held, "one")) == (set(range(8)), {0})
    assert (standing.others, standing.free_in_s) == ([], None)


async def test_who_lives_is_told_to_whoever_asks(opened: Opener) -> None:
    """Members that renewed within the time, those that are ready first; who left or was silent is not among them."""
    one, two, asker = opened(), opened(), opened()
    await one.renew(a_member("a", is_ready=False), [], TTL_S)
    await two.renew(a_member("b"), [], TTL_S)

    assert await asker.living(TTL_S) == [a_member("b"), a_member("a", is_ready=False)]
    await two.leave("b")
    assert await asker.living(TTL_S) == [a_member("a", is_ready=False)]
    assert await asker.living(0.0) == []


async def test_what_is_kept_stays_and_the_rest_goes_to_others(opened: Opener) -> None:
    """Leases that a member keeps have the generation they had; those it does not name are free, and taken higher."""
    one, two = opened(), opened()
    first = (await one.renew(a_member("a"), [], TTL_S)).held
    assert (await two.renew(a_member("b"), [], TTL_S)).held == {}
    half = [name for name in first if name.number < 4 and name.kind == "shard"]

    kept = await one.renew(a_member("a"), half, TTL_S)
    taken = await two.renew(a_member("b"), [], TTL_S)

    assert kept.held == {name: first[name] for name in half}
    assert kept.others == [a_member("b")]
    assert numbers(taken.held) == {4, 5, 6, 7}
    assert all(generation > first[name] for name, generation in taken.held.items())
    assert taken.free_in_s is not None
    assert 0 < taken.free_in_s <= TTL_S


async def test_a_term_that_ended_is_anybodys(opened: Opener) -> None:
    """Without renewal a lease is free when its term ends by the database's clock, and its old holder keeps nothing."""
    one, two = opened(), opened()
    first = (await one.renew(a_member("a"), [], 0.05)).held
    async with asyncio.timeout(60):
        while not (standing := await two.renew(a_member("b"), [], 0.05)).held:  # noqa: ASYNC110  # by its clock
            await asyncio.sleep(standing.free_in_s or 0)

    assert all(generation > first[name] for name, generation in standing.held.items())
    stolen = [name for name in first if name in standing.held]
    assert not set((await one.renew(a_member("a", is_ready=False), stolen, TTL_S)).held) & set(stolen)


async def test_an_extension_renews_and_takes_nothing(opened: Opener) -> None:
    """What a member holds lasts on by the generations it has; what others hold and what is free stays as it is."""
    one, two = opened(), opened()
    first = (await one.renew(a_member("a"), [], TTL_S)).held
    half = [name for name in first if name.number < 4]
    await two.renew(a_member("b"), [], TTL_S)
    await one.renew(a_member("a"), half, 0.05)

    held = await opened().extend("a", TTL_S)

    assert held == {name: first[name] for name in half}
    standing = await two.renew(a_member("b"), [], TTL_S)
    assert numbers(standing.held) == {4, 5, 6, 7}
    assert standing.free_in_s is not None
    assert standing.free_in_s > 0.05
    assert await opened().extend("nobody", TTL_S) == {}


async def test_an_extension_does_not_wait_for_the_renewal(opened: Opener) -> None:
    """Rows that another connection has locked are left out, so that the two cannot wait for one another."""
    one, two = opened(), opened()
    first = (await one.renew(a_member("a"), [], TTL_S)).held
    await two.extend("a", TTL_S)
    assert (one._connection, two._connection) != (None, None)

    async with one._connection.transaction():  # type: ignore[union-attr]  # it was just used
        await one._connection.execute("SELECT FROM lease WHERE number < 3 FOR UPDATE")  # type: ignore[union-attr]
        await one._connection.execute("SELECT FROM lease_member FOR UPDATE")  # type: ignore[union-attr]
        async with asyncio.timeout(60):
            held = await two.extend("a", TTL_S)

    assert held == {name: generation for name, generation in first.items() if name.number >= 3}


async def test_a_held_loop_keeps_its_leases_by_a_thread(opened: Opener) -> None:
    """A real loop that does nothing else meanwhile: its leases are renewed on a connection of the keeper's."""
    own, spare = opened(), opened()
    first = (await own.renew(a_member("a"), [], TTL_S)).held
    keeper = Keeper(
        lambda: spare, member_id="a", clock=time.monotonic, ttl_s=TTL_S, late_s=0.02, still_s_max=60.0
    )
    keeper.start()
    try:
        deadline = time.monotonic() + 30
        while keeper.extension is None and time.monotonic() < deadline:
            time.sleep(0.01)  # noqa: ASYNC251  # the loop is to be held
    finally:
        await keeper.stop()

    assert keeper.extension is not None
    assert keeper.extension.held == first


async def test_who_is_not_ready_takes_nothing(opened: Opener) -> None:
    """A member that is not ready is known to the others, and has no part of anything."""
    one, two = opened(), opened()
    assert (await two.renew(a_member("b", is_ready=False), [], TTL_S)).held == {}

    standing = await one.renew(a_member("a"), [], TTL_S)

    assert numbers(standing.held) == set(range(8))
    assert standing.others == [a_member("b", is_ready=False)]


async def test_who_leaves_is_gone(opened: Opener) -> None:
    """After a farewell everything is free, and nobody knows of the member."""
    one, two = opened(), opened()
    await one.renew(a_member("a"), [], TTL_S)

    await one.leave("a")
    standing = await two.renew(a_member("b"), [], TTL_S)

    assert (numbers(standing.held), standing.others) == (set(range(8)), [])


async def test_of_many_at_once_each_lease_has_one_holder(opened: Opener) -> None:
    """Members that ask at the same moment never get the same lease."""
    tables = [opened() for _ in range(6)]
    standings = await asyncio.gather(
        *[table.renew(a_member(f"m{number}"), [], TTL_S) for number, table in enumerate(tables)]
    )

    held = [name for standing in standings for name in standing.held]
    assert len(held) == len(set(held)) == 9


async def test_a_connection_that_ends_is_opened_again(opened: Opener) -> None:
    """A lost connection is Unavailable once; the next renewal goes on with what was kept."""
    leases = opened()
    first = (await leases.renew(a_member("a"), [], TTL_S)).held
    assert leases._connection is not None
    await server().admin(f"SELECT pg_terminate_backend({leases._connection.get_server_pid()})")

    with pytest.raises(Unavailable, match="did not say who has which lease"):
        await leases.renew(a_member("a"), list(first), TTL_S)

    assert (await leases.renew(a_member("a"), list(first), TTL_S)).held == first


async def test_without_a_database_there_is_no_lease() -> None:
    """A database that cannot be reached is Unavailable."""
    leases = PostgresLeases(connector("postgresql://a@/b?host=/nowhere"), KINDS)
    with pytest.raises(Unavailable):
        await leases.renew(a_member("a"), [], TTL_S)
