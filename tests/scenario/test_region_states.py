"""No hysteresis: what a region's state gives does not depend on how it came about (I3, I4)."""

import random

import pytest

from alcor.model.change import Change
from tests.support.goalstate import Rows, a_graph, applied, changes_between, expected, states_of
from tests.support.region_states import ALL, EMPTY, RegionState, Walk, lines_of, walks

ORDERS = 3


@pytest.mark.parametrize("state", ALL, ids=lambda state: state.name)
def test_a_state_gives_its_goal_state(state: RegionState) -> None:
    """Computed from nothing, a state gives exactly the lines written beside it."""
    assert lines_of(expected(state.rows)) == state.lines


@pytest.mark.parametrize("state", ALL, ids=lambda state: state.name)
def test_a_loaded_graph_holds_the_goal_state(state: RegionState) -> None:
    """A graph that begins with a state holds its goal state."""
    assert states_of(a_graph(*state.rows)) == expected(state.rows)


def _cuts(walk: Walk, order: random.Random) -> list[tuple[list[Change], Rows]]:
    """The cuts of a walk and the rows after each. Inside a step the order of rows is any."""
    cuts: list[tuple[list[Change], Rows]] = []
    before: Rows = {}
    for state in walk.states:
        changes = changes_between(before, state.by_key)
        order.shuffle(changes)
        cuts.append((changes, state.by_key))
        before = state.by_key
    if walk.squashed:
        return [([change for changes, _ in cuts for change in changes], before)]
    return cuts


@pytest.mark.parametrize("order", range(ORDERS))
@pytest.mark.parametrize("walk", walks(), ids=lambda walk: walk.name)
def test_every_way_to_a_state_gives_its_goal_state(walk: Walk, order: int) -> None:
    """Forward, backward, emptied in between, in one cut, alone, rows in any order: the goal state is the state's own,
    whoever applies the published steps holds it too, and a recompute finds nothing to change."""
    graph = a_graph(*EMPTY.rows)
    held = states_of(graph)
    for revision, (changes, rows) in enumerate(_cuts(walk, random.Random(order)), start=2):
        outcome = graph.advance(changes, revision)

        held = applied(held, outcome)
        assert states_of(graph) == expected(rows.values())
        assert held == states_of(graph)
    assert lines_of(held) == walk.states[-1].lines
    assert graph.recompute().scopes == ()


def test_one_walk_visits_every_state() -> None:
    """Every state written down is part of some sequence."""
    visited = {state.name for walk in walks() for state in walk.states}

    assert visited == {state.name for state in ALL}
