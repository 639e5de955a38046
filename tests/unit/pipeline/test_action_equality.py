"""Actions are compared by every diff of flows, so their equality must see the class, not just the numbers."""

import itertools

import pytest

from alcor.pipeline import flow
from alcor.pipeline.flow import (
    Clone,
    Controller,
    DecTtl,
    Field,
    Meter,
    Output,
    OutputInPort,
    Pop,
    Push,
    Resubmit,
)

ALIKE = [
    Output(5),
    Resubmit(5),
    Meter(5),
    Push(Field.REG0),
    Pop(Field.REG0),
    OutputInPort(),
    Controller(),
    DecTtl(),
]


@pytest.mark.parametrize(("one", "other"), list(itertools.permutations(ALIKE, 2)))
def test_actions_of_different_classes_are_never_equal(one: flow.Action, other: flow.Action) -> None:
    """Two actions that hold the same numbers but are of different classes are different actions."""
    assert one != other
    assert (one,) != (other,)
    assert Clone((one,)) != Clone((other,))


@pytest.mark.parametrize("action", ALIKE)
def test_equal_actions_are_equal_values(action: flow.Action) -> None:
    """An action equals, and hashes like, another of the same class with the same numbers."""
    again = type(action)(*action)

    assert action == again
    assert hash(action) == hash(again)
