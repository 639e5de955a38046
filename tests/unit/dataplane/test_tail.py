"""The end of the change log, read from a real store and taken back from its image."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from alcor.dataplane.tail import CHANGES_MAX, CUTS_MAX, floor_of, read_tail, take_back
from alcor.goalstate.intent import ENTITIES
from alcor.model.change import Change, Cut, Position
from alcor.model.host import Host
from alcor.model.network import Network
from alcor.model.resource import Entity
from alcor.store.interface import Image, Store, TooOld, Transaction
from alcor.store.sqlite import SqliteStore
from tests.support.goalbus import ThroughStore
from tests.support.goalstate import a_host, a_network, created, deleted, replaced, updated
from tests.support.store import sqlite_store

A, B, N = a_host("a", "192.0.2.1"), a_host("b", "192.0.2.2"), a_network("n")


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    async with sqlite_store(tmp_path) as store:
        yield store


async def put(store: Store, row: Entity) -> int:
    async def work(tx: Transaction) -> None:
        tx.insert(row)

    return (await store.write(work)).revision


class Logged(ThroughStore):
    """A store whose log holds cuts of one change each, `since` to `until`, but for those of `sizes`."""

    def __init__(self, store: Store, since: int, until: int, sizes: dict[int, int] | None = None) -> None:
        super().__init__(store)
        self.since, self.until, self.sizes = since, until, sizes or {}

    async def follow(self, after: int, limit: int = 256) -> list[Cut]:
        if after < self.since - 1:
            raise TooOld(f"the change log begins after revision {self.since - 1}")
        found = range(after + 1, min(after + limit, self.until) + 1)
        return [Cut(number, (created(N),) * self.sizes.get(number, 1)) for number in found]


def numbers(cuts: list[Cut]) -> list[int]:
    return [cut.revision for cut in cuts]


async def test_a_young_log_is_read_whole(store: SqliteStore) -> None:
    """After the first revision of the database through the position asked for, and nothing that came later."""
    at = await store.head()
    hosts = [a_host(f"h{n}", f"192.0.2.{n}", name=f"host-{n}") for n in range(1, 70)]
    for host in hosts:
        at = Position(at.epoch, await put(store, host))
    await put(store, N)

    tail = await read_tail(store, at)

    assert numbers(tail) == list(range(2, at.revision + 1))
    assert [change.id for cut in tail for change in cut.changes] == [host.id for host in hosts[1:]]


async def test_a_new_epoch_has_no_tail(store: SqliteStore) -> None:
    """What was before it is another history."""
    await put(store, A)

    assert await read_tail(store, await store.new_epoch()) == []


@pytest.mark.parametrize("first", [90, 100, 101])
async def test_a_log_is_read_as_far_as_it_reaches(store: SqliteStore, first: int) -> None:
    """To its first cut, wherever that is."""
    tail = await read_tail(Logged(store, first, 200), Position(1, 100))

    assert numbers(tail) == list(range(first, 101))


async def test_the_tail_is_bounded(store: SqliteStore) -> None:
    """In cuts and in changes; a cut is taken whole or not at all."""
    at = Position(1, 9_000)

    assert numbers(await read_tail(Logged(store, 1, 9_000), at)) == list(range(9_001 - CUTS_MAX, 9_001))
    large = Logged(store, 1, 9_000, {8_998: CHANGES_MAX - 2, 8_997: 1})
    assert numbers(await read_tail(large, at)) == [8_998, 8_999, 9_000]
    assert await read_tail(Logged(store, 1, 9_000, {9_000: CHANGES_MAX + 1}), at) == []


class Asked(Logged):
    """Remembers what it was asked for."""

    asked: int = 1 << 62

    async def follow(self, after: int, limit: int = 256) -> list[Cut]:
        self.asked = min(self.asked, after)
        return await super().follow(after, limit)


async def test_cuts_of_a_bulk_load_are_not_read(store: SqliteStore) -> None:
    """The image tells which revisions many rows are of; what lies behind them is out of reach."""
    revisions = {f"bulk-{number}": 95 for number in range(CHANGES_MAX - 3)}
    revisions |= {f"one-{number}": number for number in (90, 96, 97, 98, 99, 100)}
    image = Image(Position(1, 100), {}, revisions)
    log = Asked(store, 1, 100)

    assert floor_of(image) == 95
    assert numbers(await read_tail(log, image.position, floor_of(image))) == [96, 97, 98, 99, 100]
    assert log.asked == 95
    del revisions["bulk-0"], revisions["bulk-1"]
    assert floor_of(image) == 90
    del revisions["one-90"]
    assert floor_of(image) == 0


async def test_a_log_with_a_gap_is_read_to_the_gap(store: SqliteStore) -> None:
    """What cannot be joined is not used."""
    assert await read_tail(Logged(store, 1, 99), Position(1, 100)) == []


def test_what_a_tail_did_is_taken_back() -> None:
    """Made rows go, deleted ones return, changed ones are as they were before the first change; of those it is known
    only that they changed no later than the revision that is reached. Other kinds are passed over."""
    named = [replaced(N, name=name) for name in ("now", "then", "between")]
    image = Image(
        Position(5, 20),
        {entity: [] for entity in ENTITIES} | {Host: [A], Network: [named[0]]},
        {"a": 20, "n": 19},
    )
    tail = [
        Cut(18, (updated(named[1], named[2]), deleted(B))),
        Cut(19, (updated(named[2], named[0]), Change("tag", "t", None, None))),
        Cut(20, (created(A),)),
    ]

    before = take_back(image, tail)

    assert before.position == Position(5, 17)
    assert {type(row): row for rows in before.rows.values() for row in rows} == {Host: B, Network: named[1]}
    assert before.revisions == {"b": 17, "n": 17}
    assert (image.rows[Host], image.revisions) == ([A], {"a": 20, "n": 19})
    assert take_back(image, []) is image
