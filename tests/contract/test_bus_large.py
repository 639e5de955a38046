"""Large scopes on the bus: the dataplane's loop is held for a bounded number of items at a time."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import msgspec
import pytest

from alcor.bus.codec import ProtobufCodec
from alcor.bus.goal_frame import GoalFrame
from alcor.bus.goal_link import GoalLink, Letter, Manner
from alcor.bus.interface import Envelope, GoalBus, ScopeUpdate
from alcor.bus.local import BATCH_ITEMS, BATCH_SCOPES, LocalBus
from alcor.goalstate.item import Item, ItemKind, Key
from alcor.goalstate.scope import SHARDS, Scope, host_scope, neighbours_scope
from tests.support.bus import EPOCH, FakePublisher, Reader, a_local_port, a_neighbour
from tests.support.remote_bus import a_remote_bus

NEIGHBOURS = neighbours_scope("net-1")
LARGE = 3 * BATCH_ITEMS + 7


class CountingCodec(ProtobufCodec):
    """Counts what is encoded between two turns of the event loop."""

    def __init__(self) -> None:
        self.now = self.most = 0

    def encode(self, item: Item) -> bytes:
        self.now += 1
        self.most = max(self.most, self.now)
        return super().encode(item)

    async def watch(self) -> None:
        """A task that wants its turn like any other."""
        while True:
            self.now = 0
            await asyncio.sleep(0)


@asynccontextmanager
async def a_local_bus() -> AsyncIterator[GoalBus]:
    yield LocalBus(ProtobufCodec())


ADAPTERS: dict[str, Callable[[], AbstractAsyncContextManager[GoalBus]]] = {
    "local": a_local_bus,
    "remote": a_remote_bus,
}


@pytest.fixture(params=ADAPTERS)
async def bus(request: pytest.FixtureRequest) -> AsyncIterator[GoalBus]:
    """A fresh bus of each adapter."""
    async with ADAPTERS[request.param]() as bus:
        yield bus


def neighbours(count: int, first: int = 0) -> list[Item]:
    return [a_neighbour(f"p{number}") for number in range(first, first + count)]


async def take_whole(bus: LocalBus, head: int, *scopes: Scope) -> CountingCodec:
    """Read scopes to the end; the codec says how much was encoded in one turn of the loop."""
    codec = bus._codec
    assert isinstance(codec, CountingCodec)
    for scope in scopes:
        bus.want(scope)
    watch = asyncio.create_task(codec.watch())
    await Reader(bus).take_until(head, *scopes)
    watch.cancel()
    return codec


async def test_a_large_snapshot_lets_others_have_their_turn() -> None:
    """However large a scope is, no more than a batch of it is encoded before everybody else had a turn."""
    bus = LocalBus(CountingCodec())
    publisher = FakePublisher(bus)
    publisher.serve()
    publisher.change({NEIGHBOURS: neighbours(LARGE)})

    codec = await take_whole(bus, 1, NEIGHBOURS)

    assert codec.most == BATCH_ITEMS


async def test_many_scopes_are_bounded_by_their_items() -> None:
    """Hosts with many ports each: a batch ends with the scope that fills it."""
    each = BATCH_ITEMS * 3 // 4
    bus = LocalBus(CountingCodec())
    publisher = FakePublisher(bus)
    publisher.serve()
    hosts = [host_scope(f"h{number}") for number in range(6)]
    assert len(hosts) < BATCH_SCOPES
    publisher.change({host: [a_local_port(f"{host.id}-{n}") for n in range(each)] for host in hosts})

    codec = await take_whole(bus, 1, *hosts)

    assert codec.most == 2 * each


async def test_what_changes_meanwhile_comes_after_it(bus: GoalBus) -> None:
    """A snapshot in several batches is as of its beginning; steps and heads that are published meanwhile follow."""
    publisher = FakePublisher(bus)
    publisher.serve()
    publisher.change({NEIGHBOURS: neighbours(LARGE)})
    reader = Reader(bus)
    bus.want(NEIGHBOURS)
    while not publisher.asked:
        await reader.take()

    publisher.change({NEIGHBOURS: neighbours(1, LARGE)}, {NEIGHBOURS: [Key(ItemKind.NEIGHBOUR, "p0")]})
    await reader.take_until(2, NEIGHBOURS)

    assert set(reader.held[NEIGHBOURS]) == set(publisher.items[NEIGHBOURS])
    assert (reader.gaps, reader.heads) == ([], dict.fromkeys(range(SHARDS), 2))


async def test_the_rest_of_what_is_wanted_no_longer_is_not_told(bus: GoalBus) -> None:
    """A scope that is wanted anew amid its snapshot begins again, and nothing of the first one is left in it."""
    publisher = FakePublisher(bus)
    publisher.serve()
    publisher.change({NEIGHBOURS: neighbours(LARGE)})
    reader = Reader(bus)
    bus.want(NEIGHBOURS)
    while not publisher.asked:
        await reader.take()

    bus.unwant(NEIGHBOURS)
    reader.forget(NEIGHBOURS)
    publisher.change({NEIGHBOURS: []}, {NEIGHBOURS: list(publisher.items[NEIGHBOURS])[: BATCH_ITEMS // 2]})
    bus.want(NEIGHBOURS)
    await reader.take_until(2, NEIGHBOURS)

    assert len(reader.held[NEIGHBOURS]) == LARGE - BATCH_ITEMS // 2
    assert reader.gaps == []


async def test_chunks_of_an_earlier_want_are_no_part_of_the_next_answer() -> None:
    """Chunks whose end never came, because their scope was wanted anew, are forgotten."""
    link = GoalLink("nowhere", Nobody(), Manner(ncm_id="ncm-1", secret=lambda: "", random=lambda: 0.0))
    chunk = ScopeUpdate(
        scope=NEIGHBOURS,
        epoch=EPOCH,
        generation=1,
        from_revision=0,
        through=5,
        put=(an_envelope("gone"),),
        more=True,
    )
    link.want(NEIGHBOURS)
    link._take_frame(1)
    assert link.wanted_parts(GoalFrame([chunk], 1)) == []

    link.want(NEIGHBOURS)
    link._take_frame(2)
    whole = msgspec.structs.replace(chunk, through=6, put=(an_envelope("there"),), more=False)

    assert link.wanted_parts(GoalFrame([whole], 2)) == [whole]


class Nobody:
    """Implements `LinkOwner`: nothing comes."""

    async def received(self, letter: Letter) -> None:
        raise AssertionError(letter)

    def lost(self, link: GoalLink) -> None:
        raise AssertionError(link)


def an_envelope(id: str) -> Envelope:
    return Envelope(Key(ItemKind.NEIGHBOUR, id), 0, (), b"")
