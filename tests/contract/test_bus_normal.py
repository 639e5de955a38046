"""What every `GoalBus` promises, where steps go by a broker; and what only the broker's way has."""

from collections.abc import Awaitable, Callable
from inspect import getmembers, iscoroutinefunction, signature

import pytest

from alcor.bus.interface import GoalBus, ScopeUpdate
from alcor.goalstate.item import ItemKind, Key
from alcor.goalstate.scope import neighbours_scope
from tests.contract import test_bus
from tests.support.bus import FakePublisher, Reader, a_neighbour
from tests.support.nats import shared_node
from tests.support.normal_bus import a_normal_bus, steps_by

# What waits on a broker is every step, up to the stream's bound: merging is the streams' (decision 0015).
_NOT_BY_BROKER = "test_a_slow_reader_gets_the_last_value_only"
LAWS: list[Callable[[GoalBus], Awaitable[None]]] = [
    law
    for name, law in getmembers(test_bus, iscoroutinefunction)
    if name.startswith("test_") and [*signature(law).parameters] == ["bus"] and name != _NOT_BY_BROKER
]
NEIGHBOURS = neighbours_scope("net-1")


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
async def test_the_laws_of_the_bus_hold(law: Callable[[GoalBus], Awaitable[None]]) -> None:
    """Every law of the contract suite holds with a broker beside the stream."""
    async with a_normal_bus(shared_node()) as bus:
        await law(bus)


async def test_steps_come_by_the_broker_in_order() -> None:
    """What is published for a wanted scope comes by the broker in its order, without loss or doubling."""
    async with a_normal_bus(shared_node()) as bus:
        publisher = FakePublisher(bus)
        publisher.serve()
        publisher.change({NEIGHBOURS: [a_neighbour("first")]})
        reader = Reader(bus)
        bus.want(NEIGHBOURS)
        await reader.take_until(1, NEIGHBOURS)
        before = steps_by("normal")
        for number in range(5):
            await reader.take_until(publisher.change({NEIGHBOURS: [a_neighbour(f"p{number}")]}))

        steps = [each for batch in reader.batches for each in batch if isinstance(each, ScopeUpdate)]
        assert [(step.from_revision, step.through) for step in steps] == [
            (0, 1),
            (1, 2),
            (2, 3),
            (3, 4),
            (4, 5),
            (5, 6),
        ]
        assert steps_by("normal") - before == 5


async def test_a_step_larger_than_a_message_comes_whole() -> None:
    """A step above the broker's largest message travels in several, and comes out as one."""
    async with a_normal_bus(shared_node()) as bus:
        publisher = FakePublisher(bus)
        publisher.serve()
        publisher.change({NEIGHBOURS: [a_neighbour("first")]})
        reader = Reader(bus)
        bus.want(NEIGHBOURS)
        await reader.take_until(1, NEIGHBOURS)
        before = steps_by("normal")
        many = [a_neighbour(f"port-{number}", host_id=f"host-{number}") for number in range(30_000)]
        head = publisher.change({NEIGHBOURS: many}, {NEIGHBOURS: [Key(ItemKind.NEIGHBOUR, "first")]})
        await reader.take_until(head)

        assert len(reader.held[NEIGHBOURS]) == 30_000
        assert steps_by("normal") - before == 1
        assert reader.gaps == []
