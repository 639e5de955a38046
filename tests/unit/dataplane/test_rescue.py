"""Who programs the switch of a host whose agent is dead: from what is heard to leases in the change log."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from alcor.dataplane.health import Neighbours
from alcor.dataplane.rescue import GENERATION_MAX, Rescues, preference
from alcor.model.rescue_lease import RescueLease, rescue_id
from alcor.store.interface import Store, Transaction
from tests.support.goalstate import a_graph, a_host
from tests.support.store import sqlite_store

A, B, C, D = (f"00000000-0000-4000-8000-00000000000{n}" for n in (1, 2, 3, 4))
HOSTS = (
    a_host(A, "192.0.2.1", key_digest="a"),
    a_host(B, "192.0.2.2", key_digest="b"),
    a_host(C, "192.0.2.3", key_digest="c"),
    a_host(D, "192.0.2.4", key_digest="d", cluster="other"),
)
AFTER_S = 5.0


@dataclass
class Known:
    """What is known of a host."""

    alive: bool = True
    rescues: bool | None = True


class Region:
    """Hosts, what is heard of them, and a clock."""

    def __init__(self, store: Store, after_s: float = AFTER_S) -> None:
        self.store, self.now_s, self.now_ms = store, 100.0, 1_000
        self.heard = {host.id: Known() for host in HOSTS}
        self.neighbours = Neighbours()
        self.neighbours.hear(B, {"192.0.2.1": True, "192.0.2.3": True}, a_graph(*HOSTS))
        self.rescues = Rescues(
            store, after_s=after_s, now_ms=lambda: self.now_ms, monotonic_s=lambda: self.now_s
        )

    async def look(self, *, after_s: float = 0.0) -> dict[str, tuple[str, int]]:
        """The leases after a look: host → (rescuer, generation)."""
        self.now_s += after_s
        rows = await self.store.reader.list(RescueLease)
        await self.rescues.look(a_graph(*HOSTS, *rows), self.heard, self.neighbours)
        rows = await self.store.reader.list(RescueLease)
        return {row.host_id: (row.rescuer_id, row.generation) for row in rows}


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with sqlite_store(tmp_path) as store:

        async def work(tx: Transaction) -> None:
            for host in HOSTS:
                tx.insert(host)

        await store.write(work)
        yield store


async def test_a_host_that_stays_down_gets_a_rescuer_of_its_cluster(store: Store) -> None:
    """Not before the time, by the first of its cluster, whose key and whose way to the switch the lease holds."""
    region = Region(store)
    first = preference(A, [B, C])[0]
    region.heard[A].alive = False

    assert await region.look() == {}
    assert await region.look(after_s=AFTER_S - 0.1) == {}
    assert await region.look(after_s=0.1) == {A: (first, 1)}
    assert await region.look(after_s=60) == {A: (first, 1)}
    row = await store.reader.find(RescueLease, rescue_id(A))
    assert row is not None
    assert (row.rescuer_key, row.addresses) == ({B: "b", C: "c"}[first], ("192.0.2.1",))


async def test_a_host_that_returns_is_its_own_again_and_leases_only_grow(store: Store) -> None:
    """The lease is withdrawn, its number stays; the next is higher, by the clock if that is further."""
    region = Region(store)
    region.heard[A].alive = False
    await region.look()
    await region.look(after_s=AFTER_S)

    region.heard[A].alive = True
    assert await region.look() == {A: ("", 1)}
    region.heard[A].alive = False
    await region.look()
    assert (await region.look(after_s=AFTER_S))[A][1] == 2

    region.heard[A].alive, region.now_ms = True, 10**15
    await region.look()
    region.heard[A].alive = False
    await region.look()
    assert (await region.look(after_s=AFTER_S))[A][1] == GENERATION_MAX


async def test_a_rescuer_that_is_lost_is_replaced(store: Store) -> None:
    """By another one and a higher generation; with nobody left the lease is withdrawn."""
    region = Region(store)
    first, second = preference(A, [B, C])
    region.heard[A].alive = False
    await region.look()
    assert await region.look(after_s=AFTER_S) == {A: (first, 1)}

    region.heard[first].alive = False
    assert (await region.look())[A] == (second, 2)
    region.heard[second].rescues = False
    assert (await region.look())[A] == ("", 2)


@pytest.mark.parametrize("why", ["off", "not reached", "not listening", "nobody"])
async def test_who_is_not_rescued(store: Store, why: str) -> None:
    """Nobody where it is off; a host whose switch no neighbour reaches, or does not listen, or that nobody can."""
    region = Region(store, after_s=0.0 if why == "off" else AFTER_S)
    region.heard[A].alive = False
    if why == "not reached":
        region.neighbours.hear(B, {}, a_graph(*HOSTS))
    if why == "not listening":
        region.heard[A].rescues = False
    if why == "nobody":
        region.heard[B].rescues = region.heard[C].rescues = False

    await region.look()
    leases = await region.look(after_s=AFTER_S)

    assert {host: rescuer for host, (rescuer, _) in leases.items() if rescuer} == {}


def test_the_order_of_rescuers_is_stable() -> None:
    """One that goes moves nobody else; hosts are spread."""
    hosts = [f"host-{number}" for number in range(40)]
    order = preference("lost", hosts)

    assert preference("lost", reversed(hosts)) == order
    assert preference("lost", set(hosts) - {order[0]}) == order[1:]
    assert len({preference(host, hosts)[0] for host in hosts}) > 10
