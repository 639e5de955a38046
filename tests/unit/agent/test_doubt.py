"""Who is lost, by what a switch says of the tunnels it watches."""

import pytest

from alcor.agent.doubt import DOUBT_S, Doubts
from alcor.agent.driver import TunnelHealth
from alcor.model.address import Ip
from tests.support.agent import Clock

A, B = Ip("192.0.2.1"), Ip("192.0.2.2")
NOBODY: frozenset[str] = frozenset()
NEW_A = TunnelHealth(A, is_up=False, was_up=False)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def doubts(clock: Clock) -> Doubts:
    return Doubts(clock.monotonic_s)


def test_who_was_reached_and_is_no_longer_is_lost_at_once(doubts: Doubts) -> None:
    """And who is reached again is not."""
    assert doubts.lost(TunnelHealth(A, is_up=False), frozenset({B})) == {A, B}
    assert doubts.lost(TunnelHealth(A, is_up=True), frozenset({A, B})) == {B}
    assert (doubts.next_s(), doubts.expire()) == (None, set())


def test_who_was_never_reached_is_lost_when_that_has_lasted(doubts: Doubts, clock: Clock) -> None:
    """From when it was said first, and once."""
    begun = clock.monotonic_s()
    assert doubts.lost(NEW_A, NOBODY) == NOBODY
    clock.s += DOUBT_S / 2
    assert doubts.lost(NEW_A, NOBODY) == NOBODY
    assert (doubts.expire(), doubts.next_s()) == (set(), begun + DOUBT_S)
    clock.s += DOUBT_S / 2

    assert doubts.expire() == {A}
    assert (doubts.expire(), doubts.next_s()) == (set(), None)


def test_who_is_reached_in_time_was_never_lost(doubts: Doubts, clock: Clock) -> None:
    """The doubt is over."""
    doubts.lost(NEW_A, NOBODY)
    doubts.lost(TunnelHealth(A, is_up=True), NOBODY)
    clock.s += DOUBT_S

    assert doubts.expire() == set()


def test_who_is_lost_stays_so(doubts: Doubts) -> None:
    """A switch that began again knows less than we do."""
    assert doubts.lost(NEW_A, frozenset({A})) == {A}
    assert doubts.next_s() is None


def test_who_is_not_watched_is_not_doubted(doubts: Doubts) -> None:
    """Nor anything else."""
    doubts.lost(NEW_A, NOBODY)

    assert doubts.watch({B}) == {B}
    assert doubts.next_s() is None
