"""What is missing closes and never opens (I10), where routers are."""

from dataclasses import dataclass
from functools import lru_cache

import pytest

from alcor.goalstate.item import Key, State
from alcor.goalstate.scope import Scope
from tests.support.cases_routing import ROUTED, ROUTING_CASES
from tests.support.packet_site import Fabric, Site

FRAMES = [
    (case.sender, case.frame) for cases in ROUTING_CASES.values() for case in cases if case.site is ROUTED
]
ITEMS = [(scope, key) for scope, state in sorted(ROUTED.states().items()) for key in sorted(state)]


@dataclass(frozen=True, eq=False)
class Lacking(Site):
    """The routed site, of whose goal state one item is missing."""

    scope: Scope | None = None
    key: Key | None = None

    def states(self) -> dict[Scope, State]:
        """All but that item."""
        return {
            scope: {key: item for key, item in state.items() if (scope, key) != (self.scope, self.key)}
            for scope, state in ROUTED.states().items()
        }


def arrivals(fabric: Fabric) -> list[set[tuple[str, bytes]]]:
    """Who gets what of each frame; nothing of a port that is not known to its host."""
    known = {port for allocation in fabric.allocations.values() for port in allocation.ofports}
    return [
        set(fabric.send(sender, frame).delivered) if sender in known else set() for sender, frame in FRAMES
    ]


@lru_cache(1)
def complete() -> list[set[tuple[str, bytes]]]:
    """What the full state gives."""
    return arrivals(Fabric(ROUTED))


@pytest.mark.parametrize(
    ("scope", "key"), ITEMS, ids=lambda one: str(one.id) if isinstance(one, Key) else str(one)
)
def test_no_port_gets_what_the_full_state_would_not_give_it(scope: Scope, key: Key) -> None:
    """Whatever one item is missing, every routed frame reaches nobody, or whom it should."""
    lacking = Lacking(ROUTED.rows, scope=scope, key=key)

    for whole, part in zip(complete(), arrivals(Fabric(lacking)), strict=True):
        assert part <= whole


def test_the_full_state_gives_something() -> None:
    """Otherwise the law above would hold of nothing."""
    assert sum(map(len, complete())) > 20
