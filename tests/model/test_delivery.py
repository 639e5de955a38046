"""Every state of the model of delivery keeps the promises, and each rule that is broken on purpose is missed."""

from typing import NamedTuple

import pytest

from tests.model.explore import Explored, explore
from tests.model.region import Bounds, Model
from tests.model.rule import NOTHING, Height, Rules, Stamp, Verdict


class Size(NamedTuple):
    """A model and the number of its states."""

    bounds: Bounds
    states: int


SIZES = (
    # One agent, three revisions, two publishers, one message in the channel at a time.
    Size(Bounds(revisions=3, kept=1), 25_769),
    # Messages overtake each other.
    Size(Bounds(revisions=2, kept=2), 40_793),
    # The database is put back once.
    Size(Bounds(revisions=3, restores=True, kept=1, generations=1), 16_196),
    # Two agents.
    Size(Bounds(agents=2, revisions=2, kept=1), 178_160),
)
LONG = (
    Size(Bounds(revisions=3, kept=2), 398_009),
    Size(Bounds(revisions=3, restores=True, kept=1), 475_665),
)


def check(size: Size) -> None:
    """No state is wrong, none is without a way to rest, and there are as many as there were."""
    found = explore(Model(size.bounds, Rules()))

    assert found.wrong == "", found.path
    assert found.stuck == 0
    assert found.converged > 0
    assert found.states == size.states
    # A restored region has a port that may be open: that none ever is would prove nothing.
    assert (found.seen > 0) is size.bounds.restores


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_every_state_keeps_the_promises(size: Size) -> None:
    """Positions never go back, what is applied is the state of its revision, nothing is open that never was, who was
    replaced is not heard, and from every state there is a way home."""
    check(size)


@pytest.mark.long
@pytest.mark.parametrize("size", LONG, ids=str)
def test_every_state_of_larger_models_keeps_the_promises(size: Size) -> None:
    """The same, with more of everything at once."""
    check(size)


class WithoutSince(Rules):
    """A reference is followed as soon as its target is held."""

    def resolves(self, holder: Height, since: int, target: Height) -> bool:
        return target.position != NOTHING


class AnyEpoch(Rules):
    """A target in a later epoch is newer than every reference to it."""

    def resolves(self, holder: Height, since: int, target: Height) -> bool:
        return target >= Height(holder.epoch, since)


class OverGaps(Rules):
    """A step is applied wherever the receiver is."""

    def verdict(self, held: Height, epoch: int, begins: int, through: int, *, asked: bool) -> Verdict:
        if held.position != NOTHING and held.epoch == epoch and held.position < through:
            return Verdict.APPLY
        return super().verdict(held, epoch, begins, through, asked=asked)


class Again(Rules):
    """What is old is applied again."""

    def verdict(self, held: Height, epoch: int, begins: int, through: int, *, asked: bool) -> Verdict:
        if held.position != NOTHING and begins <= held.position and held.epoch == epoch:
            return Verdict.APPLY
        return super().verdict(held, epoch, begins, through, asked=asked)


class Unfenced(Rules):
    """Who was replaced is still heard."""

    def refuses(self, fence: Stamp, stamp: Stamp) -> bool:
        return False


class Silent(Rules):
    """A gap is not asked for."""

    def verdict(self, held: Height, epoch: int, begins: int, through: int, *, asked: bool) -> Verdict:
        verdict = super().verdict(held, epoch, begins, through, asked=asked)
        return Verdict.IGNORE if verdict is Verdict.ASK else verdict


def broken(rules: Rules, bounds: Bounds) -> Explored:
    """What a model with other rules comes to."""
    return explore(Model(bounds, rules))


THREE = Bounds(revisions=3, kept=1)
RESTORED = Bounds(revisions=3, restores=True, kept=1, generations=1)


@pytest.mark.parametrize(
    ("rules", "bounds", "says"),
    [
        (WithoutSince(), THREE, "a port is open that never was"),
        (AnyEpoch(), RESTORED, "a port is open that never was"),
        (OverGaps(), THREE, "is not the state of that revision"),
        (Again(), THREE, "went back"),
        (Unfenced(), THREE, "listened to"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Rules) else "",
)
def test_a_broken_rule_breaks_a_promise(rules: Rules, bounds: Bounds, says: str) -> None:
    """Without any one of the rules some state is wrong, and the moves that lead there are named."""
    found = broken(rules, bounds)

    assert says in found.wrong
    assert found.path


def test_without_asking_some_state_has_no_way_home() -> None:
    """An agent that does not ask for what it missed stays behind for ever."""
    found = broken(Silent(), THREE)

    assert found.wrong == ""
    assert found.stuck
