"""What every `GoalBus` promises; run against each adapter."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alcor.bus.codec import ProtobufCodec
from alcor.bus.interface import (
    Envelope,
    GoalBus,
    Hasten,
    Heads,
    HostReport,
    PortReport,
    Question,
    Reply,
    ScopeUpdate,
)
from alcor.bus.local import LocalBus
from alcor.goalstate.item import ItemKind, Key, key_of
from alcor.goalstate.scope import SHARDS, Scope, host_scope, neighbours_scope, network_scope, shard_of
from alcor.model.errors import Unavailable
from tests.support.bus import EPOCH, FakePublisher, Reader, a_local_port, a_neighbour, a_network
from tests.support.remote_bus import a_remote_bus, being_read
from tests.support.routed_bus import a_routed_bus

CODEC = ProtobufCodec()


@asynccontextmanager
async def a_local_bus() -> AsyncIterator[GoalBus]:
    yield LocalBus(CODEC)


# In one process, between two over a real socket, and from two dataplanes.
ADAPTERS: dict[str, Callable[[], AbstractAsyncContextManager[GoalBus]]] = {
    "local": a_local_bus,
    "remote": a_remote_bus,
    "routed": a_routed_bus,
}
NEIGHBOURS = neighbours_scope("net-1")
NETWORK = network_scope("net-1")


@pytest.fixture(params=ADAPTERS)
async def bus(request: pytest.FixtureRequest) -> AsyncIterator[GoalBus]:
    """A fresh bus of each adapter."""
    async with ADAPTERS[request.param]() as bus:
        yield bus


def updates_in(reader: Reader) -> list[ScopeUpdate]:
    return [message for batch in reader.batches for message in batch if isinstance(message, ScopeUpdate)]


def held_by(publisher: FakePublisher, scope: Scope) -> dict[Key, bytes]:
    return {key: CODEC.encode(put.item) for key, put in publisher.items.get(scope, {}).items()}


async def test_a_wanted_scope_starts_with_its_snapshot(bus: GoalBus) -> None:
    """A newly wanted scope arrives whole first: from 0, through the publisher's head."""
    publisher = FakePublisher(bus)
    publisher.serve()
    publisher.change({NEIGHBOURS: [a_neighbour("a")]})
    publisher.change({NEIGHBOURS: [a_neighbour("b")]})
    reader = Reader(bus)
    bus.want(NEIGHBOURS)

    await reader.take_until(2)

    first = updates_in(reader)[0]
    assert (first.scope, first.epoch, first.from_revision, first.through) == (NEIGHBOURS, EPOCH, 0, 2)
    assert [envelope.key.id for envelope in first.put] == ["a", "b"]


async def test_an_unknown_scope_is_answered_with_nothing(bus: GoalBus) -> None:
    """A scope without items has an (empty) snapshot too, so that nobody waits for ever."""
    publisher = FakePublisher(bus)
    publisher.serve()
    reader = Reader(bus)
    bus.want(host_scope("nobody"))

    await reader.take()

    assert [(update.through, update.put) for update in updates_in(reader)] == [(0, ())]


async def test_what_is_waited_for_is_said(bus: GoalBus) -> None:
    """Of what is waited for an ncm hears the latest revision of each scope, whoever publishes it."""
    publisher = FakePublisher(bus)
    publisher.serve()
    reader = Reader(bus)
    bus.want(NEIGHBOURS)
    publisher.change({NEIGHBOURS: [a_neighbour("a")]})
    await reader.take_until(1, NEIGHBOURS)

    for revision in (3, 2):
        bus.hasten(Hasten((NEIGHBOURS, neighbours_scope("elsewhere")), EPOCH, revision))
    while not (said := [each for batch in reader.batches for each in batch if isinstance(each, Hasten)]):
        await reader.take()

    assert said == [Hasten((NEIGHBOURS, neighbours_scope("elsewhere")), EPOCH, 3)]


async def test_wanting_before_anybody_serves(bus: GoalBus) -> None:
    """A scope wanted before the dataplane serves is answered when it does."""
    publisher = FakePublisher(bus)
    reader = Reader(bus)
    bus.want(NEIGHBOURS)
    publisher.change({NEIGHBOURS: [a_neighbour("a")]})
    await reader.take()
    assert updates_in(reader) == []

    publisher.serve()
    await reader.take_until(1, NEIGHBOURS)

    assert [(update.from_revision, update.through) for update in updates_in(reader)] == [(0, 1)]


async def test_steps_follow_in_order(bus: GoalBus) -> None:
    """What is published for a wanted scope arrives in its order, without loss or doubling."""
    publisher = FakePublisher(bus)
    publisher.serve()
    reader = Reader(bus)
    bus.want(NEIGHBOURS)
    await reader.take()
    for number in range(5):
        publisher.change({NEIGHBOURS: [a_neighbour(f"p{number}")]})
        await reader.take_until(number + 1)

    steps = updates_in(reader)
    assert [(step.from_revision, step.through) for step in steps[1:]] == [
        (0, 1),
        (1, 2),
        (2, 3),
        (3, 4),
        (4, 5),
    ]
    assert reader.gaps == []


async def test_an_item_travels_with_its_references(bus: GoalBus) -> None:
    """An envelope tells key, since, references and bytes, so that nobody on the way need decode it."""
    publisher = FakePublisher(bus)
    publisher.serve()
    reader = Reader(bus)
    scope = host_scope("host-1")
    bus.want(scope)
    port = a_local_port("p", "net-1")
    publisher.change({scope: [port]})

    await reader.take_until(1)

    assert reader.held[scope] == {
        key_of(port): Envelope(key_of(port), 1, (NETWORK, NEIGHBOURS), CODEC.encode(port))
    }


async def test_only_wanted_scopes_travel(bus: GoalBus) -> None:
    """A scope nobody wants, or nobody wants any more, is skipped; heads come all the same."""
    publisher = FakePublisher(bus)
    publisher.serve()
    reader = Reader(bus)
    bus.want(NEIGHBOURS)
    await reader.take()
    bus.unwant(NEIGHBOURS)
    publisher.change({NEIGHBOURS: [a_neighbour("a")], NETWORK: [a_network()]})

    await reader.take_until(1)

    assert len(updates_in(reader)) == 1
    assert set(reader.heads.values()) == {1}


async def test_wanted_again_after_being_unwanted(bus: GoalBus) -> None:
    """A scope wanted again starts again with a snapshot that holds what was missed."""
    publisher = FakePublisher(bus)
    publisher.serve()
    reader = Reader(bus)
    bus.want(NEIGHBOURS)
    await reader.take()
    publisher.change({NEIGHBOURS: [a_neighbour("a")]})
    bus.unwant(NEIGHBOURS)
    reader.forget(NEIGHBOURS)
    publisher.change({NEIGHBOURS: [a_neighbour("b")]})
    bus.want(NEIGHBOURS)

    await reader.take_until(2, NEIGHBOURS)

    assert [(step.from_revision, step.through) for step in updates_in(reader)] == [(0, 0), (0, 2)]
    assert {key.id for key in reader.held[NEIGHBOURS]} == {"a", "b"}


async def test_a_slow_reader_gets_the_last_value_only(bus: GoalBus) -> None:
    """While the reader is slow, pending work is at most one value per key (I8), through the last revision."""
    publisher = FakePublisher(bus)
    publisher.serve()
    reader = Reader(bus)
    bus.want(NEIGHBOURS)
    publisher.change({NEIGHBOURS: [a_neighbour("gone")]})
    await reader.take_until(1)
    for number in range(1000):
        publisher.change({NEIGHBOURS: [a_neighbour("a", host_id=f"host-{number}")]})
    publisher.change({}, {NEIGHBOURS: [Key(ItemKind.NEIGHBOUR, "gone")]})
    publisher.change({NEIGHBOURS: [a_neighbour("b")]})

    await reader.take_until(1003)

    step = updates_in(reader)[-1]
    assert (step.from_revision, step.through) == (1, 1003)
    assert [envelope.key.id for envelope in step.put] == ["a", "b"]
    assert step.removed == (Key(ItemKind.NEIGHBOUR, "gone"),)
    assert {key: each.body for key, each in reader.held[NEIGHBOURS].items()} == held_by(publisher, NEIGHBOURS)


async def test_a_new_epoch_replaces_what_is_pending(bus: GoalBus) -> None:
    """A step of another epoch is never merged with one of the old."""
    publisher = FakePublisher(bus)
    publisher.serve()
    reader = Reader(bus)
    bus.want(NEIGHBOURS)
    publisher.change({NEIGHBOURS: [a_neighbour("old")]})
    await reader.take_until(1)
    publisher.change({NEIGHBOURS: [a_neighbour("old-too")]})
    restored = FakePublisher(bus, epoch=EPOCH + 1)
    restored.serve()
    restored.change(revision=1)
    restored.change({NEIGHBOURS: [a_neighbour("new")]})

    # Where several dataplanes speak, another's heads may come before.
    while len(updates_in(reader)) < 2:
        await reader.take()

    assert [(step.epoch, step.from_revision, step.through) for step in updates_in(reader)][1:] == [
        (EPOCH + 1, 0, 2)
    ]
    assert {key.id for key in reader.held[NEIGHBOURS]} == {"new"}


async def test_heads_come_after_the_steps_published_before_them(bus: GoalBus) -> None:
    """A head is never announced ahead of a step it covers, however many scopes are pending."""
    publisher = FakePublisher(bus)
    publisher.serve()
    reader = Reader(bus)
    scopes = [neighbours_scope(f"net-{number}") for number in range(300)]
    for scope in scopes:
        bus.want(scope)
    publisher.change({scope: [a_neighbour("a")] for scope in scopes})

    await reader.take_until(1)

    assert len(updates_in(reader)) == 300
    messages = [message for batch in reader.batches for message in batch]
    announced = [
        (place, shard)
        for place, message in enumerate(messages)
        if isinstance(message, Heads)
        for shard in message.through
    ]
    assert sorted(shard for _, shard in announced) == list(range(SHARDS))
    for place, shard in announced:
        rest = [message for message in messages[place:] if isinstance(message, ScopeUpdate)]
        assert shard not in {shard_of(message.scope) for message in rest}


async def test_a_new_reader_starts_from_snapshots(bus: GoalBus) -> None:
    """A reader that begins anew gets every wanted scope whole, whatever an earlier one took."""
    publisher = FakePublisher(bus)
    publisher.serve()
    bus.want(NEIGHBOURS)
    first = Reader(bus)
    publisher.change({NEIGHBOURS: [a_neighbour("a")]})
    await first.take_until(1)
    publisher.change({NEIGHBOURS: [a_neighbour("b")]})
    second = Reader(bus)

    await second.take_until(2)

    assert [step.from_revision for step in updates_in(second)] == [0]
    assert {key.id for key in second.held[NEIGHBOURS]} == {"a", "b"}


def a_report(host_id: str = "host-1", **changes: object) -> HostReport:
    fields: dict[str, object] = {"epoch": EPOCH, "alive": True, "at_ms": 1}
    return HostReport(host_id=host_id, **(fields | changes))  # type: ignore[arg-type]  # a builder


async def test_reports_arrive(bus: GoalBus) -> None:
    """What an ncm observes of hosts reaches the dataplane."""
    reports = bus.reports()
    bus.report(a_report("host-1"))
    bus.report(a_report("host-2", alive=False))

    async with being_read(bus):
        heard = {report.host_id: report for report in await anext(reports)}

    assert heard == {"host-1": a_report("host-1"), "host-2": a_report("host-2", alive=False)}


async def test_reports_of_one_host_merge(bus: GoalBus) -> None:
    """While the dataplane is slow, a host's reports merge: latest facts, highest positions, last transition."""
    up, down = PortReport("p", True, 5, 10.0), PortReport("p", False, -1, 20.0)
    other = PortReport("q", True, 6, 10.0)
    reports = bus.reports()
    bus.report(a_report(realized={1: 10, 2: 10}, ports=(up, other), agent_version="1", position_max=4))
    bus.report(a_report(realized={1: 12, 3: 9}, ports=(down,), at_ms=2, alive=False))

    async with being_read(bus):
        batch = await anext(reports)

    assert list(batch) == [
        a_report(
            realized={1: 12, 2: 10, 3: 9},
            ports=(other, down),
            agent_version="1",
            at_ms=2,
            alive=False,
            position_max=4,
        )
    ]


async def test_positions_of_two_epochs_do_not_merge(bus: GoalBus) -> None:
    """Positions of an older epoch say nothing in a newer one."""
    reports = bus.reports()
    bus.report(a_report(realized={1: 100}, position_max=100))
    bus.report(a_report(realized={1: 3}, epoch=EPOCH + 1))

    async with being_read(bus):
        assert list(await anext(reports)) == [a_report(realized={1: 3}, epoch=EPOCH + 1)]


SCOPES = [neighbours_scope("a"), neighbours_scope("b")]
moves = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.sampled_from(SCOPES), st.sampled_from("xyz")),
        st.tuples(st.just("remove"), st.sampled_from(SCOPES), st.sampled_from("xyz")),
        st.tuples(st.just("want"), st.sampled_from(SCOPES), st.just("")),
        st.tuples(st.just("unwant"), st.sampled_from(SCOPES), st.just("")),
        st.tuples(st.just("take"), st.just(SCOPES[0]), st.just("")),
    ),
    max_size=40,
)


@pytest.mark.parametrize("adapter", ADAPTERS)
@given(steps=moves)
async def test_any_interleaving_ends_in_the_publishers_state(
    adapter: str, steps: list[tuple[str, Scope, str]]
) -> None:
    """However publishing, wanting and reading interleave, a wanted scope ends equal to the publisher's."""
    async with ADAPTERS[adapter]() as bus:
        await interleave(bus, steps)


async def interleave(bus: GoalBus, steps: list[tuple[str, Scope, str]]) -> None:
    publisher = FakePublisher(bus)
    publisher.serve()
    reader = Reader(bus)
    wanted: set[Scope] = set()
    for number, (move, scope, id) in enumerate(steps):
        match move:
            case "put":
                publisher.change({scope: [a_neighbour(id, host_id=f"h{number}")]})
            case "remove":
                publisher.change({}, {scope: [Key(ItemKind.NEIGHBOUR, id)]})
            case "want" if scope not in wanted:
                wanted.add(scope)
                bus.want(scope)
            case "unwant":
                wanted.discard(scope)
                bus.unwant(scope)
                reader.forget(scope)
            case "take" if publisher.head:
                await reader.take_until(publisher.head)
    head = publisher.change({})
    await reader.take_until(head, *wanted)

    assert reader.gaps == []
    assert set(reader.held) == wanted
    for scope in wanted:
        assert {key: each.body for key, each in reader.held[scope].items()} == held_by(publisher, scope)


async def test_a_question_is_answered(bus: GoalBus) -> None:
    """A question reaches whoever serves the host, and the answer reaches whoever asked."""
    reader = Reader(bus)
    bus.report(HostReport(host_id="h1", epoch=EPOCH, alive=True, at_ms=1))
    asking = await _asking(bus, reader)
    question = await _question(reader)

    bus.reply(Reply(question.number, b'{"seen":true}'))
    taking = asyncio.create_task(reader.take())
    answer = await asking
    taking.cancel()

    assert (question.host_id, question.body) == ("h1", b'{"ask":"status"}')
    assert answer == b'{"seen":true}'


async def test_a_question_that_cannot_be_answered(bus: GoalBus) -> None:
    """Who asks hears why there is no answer."""
    reader = Reader(bus)
    bus.report(HostReport(host_id="h1", epoch=EPOCH, alive=True, at_ms=1))
    asking = await _asking(bus, reader)
    question = await _question(reader)

    bus.reply(Reply(question.number, error="the switch is gone"))
    taking = asyncio.create_task(reader.take())
    with pytest.raises(Unavailable, match="the switch is gone"):
        await asking
    taking.cancel()


async def _asking(bus: GoalBus, reader: Reader) -> asyncio.Task[bytes]:
    """Ask host h1 as soon as it is known to be attached."""

    async def ask() -> bytes:
        async for _ in bus.reports():
            break
        return await bus.ask("h1", b'{"ask":"status"}', within_s=5.0)

    return asyncio.create_task(ask())


async def _question(reader: Reader) -> Question:
    while True:
        for message in await reader.take():
            if isinstance(message, Question):
                return message
