"""Every state of the model of what is held in part keeps the promises, and each rule broken on purpose is missed."""

from typing import NamedTuple

import pytest

from tests.model.cache import Cached
from tests.model.explore import Explored, explore
from tests.model.part import Bounds, PartModel, PartRules


class Size(NamedTuple):
    """A model, the number of its states, and moves that must be among those made."""

    bounds: Bounds
    states: int
    makes: frozenset[str]


WHOLE, ONE = (), (1,)
ASKS = frozenset({"look-up", "let-go", "ask", "tell", "take", "cut-agent", "crash-agent"})
SEVERAL = frozenset({"publish-2", "step-1", "step-2"})

SIZES = (
    # Two items are asked for and let go of, at one ncm, which may forget the scope and hear of two revisions at once.
    Size(Bounds(publishers=1), 55_673, ASKS | SEVERAL | {"drop"}),
    # A second publisher, perhaps behind the first one: its heads go back.
    Size(Bounds(asks=WHOLE), 20_817, SEVERAL | {"lead", "heads-back", "drop"}),
    # The ncm misses steps, and is cut off.
    Size(Bounds(publishers=1, asks=ONE, gaps=True), 12_515, ASKS | SEVERAL | {"gap", "cut-ncm"}),
    # The agent goes to and fro between two ncms, one of which heard several revisions at once.
    Size(Bounds(publishers=1, ncms=2, asks=ONE, drops=False), 46_903, ASKS | SEVERAL),
    # One of them went past a revision by a snapshot.
    Size(Bounds(ncms=2, asks=WHOLE, drops=False, loads=(3,), at_once=1), 56_046, frozenset({"lead"})),
    # One of them has not heard yet of the new publisher.
    Size(Bounds(ncms=2, asks=WHOLE, drops=False, loads=(1,), revisions=2), 25_130, frozenset({"lead"})),
)
LONG = (
    Size(Bounds(asks=ONE), 163_995, ASKS | SEVERAL | {"lead", "heads-back", "drop"}),
    Size(Bounds(publishers=1, ncms=2, asks=WHOLE, gaps=True), 121_926, SEVERAL | {"gap", "cut-ncm"}),
    Size(Bounds(ncms=2, asks=ONE, drops=False, loads=(1,), revisions=2), 185_238, ASKS | {"lead"}),
)


def name(size: Size) -> str:
    """The same in every process; the order of a set is not."""
    return f"{size.states} states"


def check(size: Size) -> None:
    """No state is wrong, none is without a way to rest, and there are as many as there were."""
    found = explore(PartModel(size.bounds, PartRules()))

    assert found.wrong == "", found.path
    assert found.stuck == 0
    assert found.converged > 0
    assert found.states == size.states
    assert size.makes <= found.made
    # Where two may be asked for, one is held while the other is known to be nobody's.
    assert (found.seen > 0) is (len(size.bounds.asks) > 1)


@pytest.mark.parametrize("size", SIZES, ids=name)
def test_every_state_keeps_the_promises(size: Size) -> None:
    """Nobody goes back, what is held at a position is the state of that revision at ncms and agents, who is thought to
    be nobody is, and from every state there is a way to where both ends agree on what is held."""
    check(size)


@pytest.mark.long
@pytest.mark.parametrize("size", LONG, ids=name)
def test_every_state_of_larger_models_keeps_the_promises(size: Size) -> None:
    """The same, with more of everything at once."""
    check(size)


class OverLaggards(PartRules):
    """Lower heads are passed over."""

    def falls_back(self, before: int, through: int) -> bool:
        return False


class UnnamedAtNcm(PartRules):
    """An ncm takes what is again as it was for unchanged."""

    def names_again(self, position: int, through: int) -> bool:
        return False


class UnnamedAtPublisher(PartRules):
    """A step of several revisions is the difference between its ends."""

    def names_between(self) -> bool:
        return False


class WithoutFloor(PartRules):
    """An ncm goes on from any position."""

    def leads_on(self, cached: Cached, position: int) -> bool:
        return not self.is_blind(cached, position)


class Seeing(PartRules):
    """An ncm goes on from a position that it went past by a snapshot."""

    def is_blind(self, cached: Cached, position: int) -> bool:
        return False


class Hasty(PartRules):
    """An ncm answers an agent that is ahead of it."""

    def waits(self, held: int, position: int) -> bool:
        return False


class Unregistered(PartRules):
    """Who was told that nobody has it is not remembered."""

    def registers(self) -> bool:
        return False


class Impatient(PartRules):
    """What came and went unseen is not waited for any more."""

    def waits_again(self) -> bool:
        return False


class Wordless(PartRules):
    """Nobody is told of what it lets go of."""

    def says_goodbye(self) -> bool:
        return False


class Fenced(PartRules):
    """An agent's fence outlives its stream."""

    def fence(self, fence: int) -> int:
        return fence


ASKING = Bounds(publishers=1)
TWO_NCMS = Bounds(publishers=1, ncms=2, asks=WHOLE)
LEAPT = Bounds(ncms=2, asks=WHOLE, drops=False, loads=(3,), at_once=1)
UNHEARD = Bounds(ncms=2, asks=WHOLE, drops=False, loads=(1,), revisions=2)


def broken(rules: PartRules, bounds: Bounds) -> Explored:
    """What a model with other rules comes to."""
    return explore(PartModel(bounds, rules))


@pytest.mark.parametrize(
    ("rules", "bounds", "says"),
    [
        (OverLaggards(), Bounds(asks=WHOLE), "an ncm holds at 2 what is not the state"),
        (UnnamedAtNcm(), TWO_NCMS, "what is held at 3 is not the state"),
        (UnnamedAtPublisher(), TWO_NCMS, "what is held at 3 is not the state"),
        (WithoutFloor(), Bounds(asks=WHOLE), "what is held at 3 is not the state"),
        (Seeing(), LEAPT, "what is held at 3 is not the state"),
        (Hasty(), Bounds(publishers=1, ncms=2, asks=ONE, drops=False), "is not the state"),
        (Unregistered(), ASKING, "thought to be nobody's"),
        (Wordless(), ASKING, "is not the state"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, PartRules) else "",
)
def test_a_broken_rule_breaks_a_promise(rules: PartRules, bounds: Bounds, says: str) -> None:
    """Without any one of the rules some state is wrong, and the moves that lead there are named."""
    found = broken(rules, bounds)

    assert says in found.wrong
    assert found.path


@pytest.mark.parametrize(
    ("rules", "bounds"),
    [(Impatient(), Bounds(publishers=1, asks=ONE)), (Fenced(), UNHEARD)],
    ids=lambda value: type(value).__name__ if isinstance(value, PartRules) else "",
)
def test_a_broken_rule_leaves_no_way_home(rules: PartRules, bounds: Bounds) -> None:
    """Without these somebody stays behind, or believes what nobody tells it is over, for ever."""
    found = broken(rules, bounds)

    assert found.wrong == ""
    assert found.stuck > 0
