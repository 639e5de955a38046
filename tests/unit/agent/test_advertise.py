"""When unsolicited router advertisements go out."""

from alcor.agent.advertise import Timetable
from alcor.agent.answer.router_advertisement import INTERVAL_S_MAX, INTERVAL_S_MIN


def test_at_once_and_then_at_random_intervals() -> None:
    """A new port is due at once, then after a random time between the smallest and the largest interval."""
    draws = iter([0.0, 0.5, 1.0])
    times = Timetable(lambda: next(draws))
    times.at_once(["a"], 10.0)
    assert times.next_s() == 10.0

    assert times.take(10.0) == ["a"]
    assert times.next_s() == 10.0 + INTERVAL_S_MIN
    assert times.take(209.0) == []
    assert times.take(210.0) == ["a"]
    assert times.next_s() == 210.0 + (INTERVAL_S_MIN + INTERVAL_S_MAX) / 2


def test_a_port_that_went_is_not_due() -> None:
    """A port that went is forgotten, and one that is due twice is advertised to once."""
    times = Timetable(lambda: 0.0)
    times.at_once(["a", "b"], 1.0)
    times.at_once(["b"], 2.0)
    times.keep({"b"})

    assert times.next_s() == 2.0
    assert times.take(5.0) == ["b"]
    times.keep(())
    assert times.next_s() is None
