"""What the one that hears of hosts decides (claims, standings, rescue leases) is fenced by its term: real stores."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from alcor.bus.interface import ClaimReport, HostReport, LossReport
from alcor.dataplane.claim import Claims
from alcor.dataplane.health import Neighbours
from alcor.dataplane.rescue import Rescues
from alcor.dataplane.standing import Standings
from alcor.model.address_claim import AddressClaim, claim_id
from alcor.model.gateway_standing import GatewayStanding
from alcor.model.rescue_lease import RescueLease
from alcor.model.resource import Entity
from alcor.store.interface import Store, Superseded, Transaction
from tests.contract.test_late_write import waiting
from tests.support.goalstate import a_graph, a_host, a_port
from tests.support.postgres import postgres_store, server
from tests.support.store import ADAPTERS, OpenStore, insert

NETWORK, PORT = (f"00000000-0000-4000-8000-00000000000{n}" for n in (1, 2))
IP = "10.0.0.99"
KEY = "ab" * 32
A = a_host("a", "192.0.2.1", gateway=True, key_digest=KEY)
B = a_host("b", "192.0.2.2", gateway=True, key_digest=KEY)
GRAPH = a_graph(A, B, a_port(PORT, NETWORK, "a"))


class Known:
    """A host that is heard and rescues."""

    alive = True
    rescues: bool | None = True


@pytest.fixture(params=ADAPTERS)
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    """A store with two hosts."""
    opened: OpenStore = request.param
    async with opened(tmp_path) as store:
        await insert(store, A)
        await insert(store, B)
        yield store


async def claims(store: Store, term: int) -> None:
    """A claim that a host reported is written."""
    claims = Claims(store, term)
    claims.hear([ClaimReport(NETWORK, IP, "00:00:5e:00:01:01", PORT, 1000.0)], GRAPH)
    await claims.write()


async def standings(store: Store, term: int) -> None:
    """The loss of a gateway host is written."""
    standings = Standings(store, lambda: 50_000, term)
    report = HostReport(host_id="b", epoch=1, alive=True, at_ms=1, losses=(LossReport("a", 40_000.0),))
    standings.hear(report, GRAPH)
    await standings.write()


async def rescues(store: Store, term: int) -> None:
    """A host that is down, and whose switch is reached, is leased to the other one."""
    neighbours, now_s = Neighbours(), iter((1.0, 9.0))
    neighbours.hear("b", {"192.0.2.1": True}, GRAPH)
    rescues = Rescues(store, after_s=5.0, now_ms=lambda: 1_000, monotonic_s=lambda: next(now_s), term=term)
    for _ in range(2):
        await rescues.look(GRAPH, {"b": Known()}, neighbours)


Writer = Callable[[Store, int], Coroutine[Any, Any, None]]


@pytest.mark.parametrize(
    ("writer", "kind"), [(claims, AddressClaim), (standings, GatewayStanding), (rescues, RescueLease)]
)
async def test_a_late_writer_is_refused(store: Store, writer: Writer, kind: type[Entity]) -> None:
    """What an earlier term decides after a later one began is not kept; the later one's own is."""
    await store.observations.begin(3)
    await store.observations.begin(7)
    before = await store.head()
    with pytest.raises(Superseded, match="of term 3 was refused"):
        await writer(store, 3)
    assert await store.reader.list(kind) == []
    assert await store.head() == before

    await writer(store, 7)
    assert len(await store.reader.list(kind)) == 1


async def test_what_is_refused_cannot_be_caught(store: Store) -> None:
    """A function that goes on after the refusal changes nothing."""
    await store.observations.begin(7)

    async def stubborn(tx: Transaction) -> None:
        with pytest.raises(Superseded):
            await tx.fence(3)
        tx.insert(a_claim())

    with pytest.raises(Superseded):
        await store.write(stubborn)
    assert await store.reader.list(AddressClaim) == []


async def test_the_next_term_begins_behind_what_is_under_way(tmp_path: Path) -> None:
    """PostgreSQL: a term begins after a transaction that has passed the fence was committed, never in its midst."""
    async with postgres_store(tmp_path) as store, postgres_store(tmp_path) as other:
        await insert(store, a_claim())
        await store.observations.begin(3)
        connection = await asyncpg.connect(server().dsn(server().databases[tmp_path]))
        try:
            slow = connection.transaction()
            await slow.start()
            await connection.execute("SELECT FROM address_claim FOR UPDATE")

            async def work(tx: Transaction) -> None:
                await tx.fence(3)
                tx.delete(await tx.get(AddressClaim, a_claim().id))

            late = asyncio.create_task(store.write(work))
            await waiting(connection, 1)
            begun = asyncio.create_task(other.observations.begin(4))
            await waiting(connection, 2)
            await slow.rollback()
            await asyncio.gather(late, begun)

            assert await other.reader.list(AddressClaim) == []
        finally:
            await connection.close()


def a_claim() -> AddressClaim:
    """A row."""
    return AddressClaim(
        id=claim_id(NETWORK, IP), network_id=NETWORK, ip=IP, mac="00:00:5e:00:01:01", port_id=PORT, at_ms=1
    )
