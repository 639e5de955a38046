"""Records of a run that were tampered with: each must be noticed by `trace.check`."""

from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

import msgspec

from alcor.bus.interface import Heads, Resume, ScopeUpdate
from alcor.goalstate.item import ItemKind, Key
from alcor.goalstate.scope import ScopeKind, neighbours_scope
from tests.model.rule import Height
from tests.support.sim.run import Outcome, Plan, simulate, tell
from tests.support.sim.stand import Stood
from tests.support.sim.trace import Acked, Asked, Event, Got, Removed, Spoke, check
from tests.support.sim.world import Shape, World

PLAN = Plan(Shape(), requests=20, pause_s=0.1, fault_pause_s=1.0)
Doctor = Callable[[list[Event]], None]


def _steps(events: list[Event]) -> list[tuple[int, Got, ScopeUpdate]]:
    """Every step of a scope in the record that goes on from a position and puts something."""
    return [
        (number, event, step)
        for number, event in enumerate(events)
        if isinstance(event, Got)
        for step in event.batch
        if isinstance(step, ScopeUpdate) and step.from_revision and step.put and step.scope in event.positions
    ]


def _swap(events: list[Event], made: Callable[[ScopeUpdate], ScopeUpdate | None]) -> None:
    number, event, step = _steps(events)[0]
    batch = [made(each) if each is step else each for each in event.batch]
    events[number] = replace(event, batch=tuple(each for each in batch if each is not None))


def lost(events: list[Event]) -> None:
    """The code has a step that it was never given."""
    number, event, step = _steps(events)[0]
    kept = [each for each in event.batch if not isinstance(each, Heads) and each is not step]
    events[number] = replace(event, batch=tuple(kept))


def gap(events: list[Event]) -> None:
    """The code applied a step that begins after its position."""
    _swap(events, lambda step: msgspec.structs.replace(step, from_revision=step.through - 1))


def other(events: list[Event]) -> None:
    """The code was given less than there is."""
    _swap(events, lambda step: msgspec.structs.replace(step, put=step.put[1:]))


def replaced(events: list[Event]) -> None:
    """The code listened to somebody who was replaced."""
    _swap(events, lambda step: msgspec.structs.replace(step, generation=0))


def back(events: list[Event]) -> None:
    """The code went back."""
    number, event, step = _steps(events)[-1]
    events[number] = replace(event, positions=event.positions | {step.scope: step.from_revision - 1})


def asked(events: list[Event]) -> None:
    """The code asked for what it did not miss."""
    number, event, step = _steps(events)[0]
    events.insert(number + 1, Asked(event.who, Resume(step.scope, 1)))


def _moved(events: list[Event], by: int) -> None:
    """The last place of a scope at an ncm is another one."""
    number, event = next((n, one) for n, one in reversed(list(enumerate(events))) if isinstance(one, Stood))
    scope, place = next((scope, place) for scope, place in event.places.items() if place.height)
    assert place.height is not None
    height = Height(place.height.epoch, place.height.position + by)
    events.insert(number + 1, replace(event, places=event.places | {scope: place._replace(height=height)}))


def ncm_back(events: list[Event]) -> None:
    """The ncm went back."""
    _moved(events, -1)


def ncm_ahead(events: list[Event]) -> None:
    """The ncm believes that it knows what it was not told."""
    _moved(events, 1)


def opened(events: list[Event]) -> None:
    """The code let packets through by rules that it was not told of."""
    for number, event in enumerate(events):
        if isinstance(event, Got):
            known = [step for step in event.batch if _kind(step) is not ScopeKind.RULES]
            events[number] = replace(event, batch=tuple(known))


def swept(events: list[Event]) -> None:
    """The code removed from its switch what it knew nothing of."""
    number, event = next((n, one) for n, one in enumerate(events) if isinstance(one, Got))
    events.insert(number, Removed(event.who))


def parted(events: list[Event]) -> None:
    """The code holds in part what it was not told of."""
    number, event = next((n, one) for n, one in enumerate(events) if isinstance(one, Got) and one.positions)
    scope = next(iter(event.positions))
    events[number] = replace(event, held=event.held | {scope: frozenset()})


def let_go(events: list[Event]) -> None:
    """The code lets go of what it does not hold in part."""
    number, event = next((n, one) for n, one in enumerate(events) if isinstance(one, Got) and one.positions)
    key = Key(ItemKind.NEIGHBOUR, "another")
    events.insert(number + 1, Spoke(event.who, next(iter(event.positions)), frozenset((key,))))


def _kind(step: object) -> ScopeKind | None:
    return step.scope.kind if isinstance(step, ScopeUpdate) else None


def foreign(events: list[Event]) -> None:
    """The code was told of somebody else's network."""
    _swap(events, lambda step: msgspec.structs.replace(step, scope=neighbours_scope("another")))


def confirmed(events: list[Event]) -> None:
    """The code confirmed more than it holds."""
    number, event = next((n, one) for n, one in reversed(list(enumerate(events))) if isinstance(one, Acked))
    realized = {shard: through + 1 for shard, through in event.realized.items()}
    events[number] = replace(event, realized=realized)


DOCTORS: tuple[tuple[Doctor, str], ...] = (
    (lost, "the rules lead to"),
    (gap, "the rules lead to"),
    (other, "holds of"),
    (replaced, "holds of"),
    (back, "the rules lead to"),
    (asked, "without a gap"),
    (ncm_back, "went back"),
    (ncm_ahead, "the rules lead to"),
    (opened, "is not held"),
    (swept, "has not everything yet"),
    (parted, "was told None"),
    (let_go, "lets go of"),
    (foreign, "does not refer"),
    (confirmed, "confirmed"),
)
"""How a record is tampered with, and what is said of it."""


def doctored(seed: int) -> list[Outcome]:
    """A run's own record, then each one that was tampered with: what is said of them."""
    worlds: list[World] = []

    def story(world: World, plan: Plan, outcome: Outcome) -> Coroutine[Any, Any, None]:
        worlds.append(world)
        return tell(world, plan, outcome)

    outcomes = [simulate(seed, plan=PLAN, story=story)]
    world = worlds[0]
    for doctor, _ in DOCTORS:
        events = list(world.events)
        doctor(events)
        found = check(events, world.truth, world.lives)
        outcomes.append(Outcome(seed, digest=doctor.__name__, findings=found))
    return outcomes
