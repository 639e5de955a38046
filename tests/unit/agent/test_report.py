"""Which transitions of ports are told, when and how often."""

from alcor.agent.report import PortLedger
from alcor.bus.interface import PortReport


def told(ledger: PortLedger, plugged: dict[str, int], known: set[str], at_ms: float) -> list[PortReport]:
    """One barrier on an open stream; every VIF of `plugged` is present."""
    ledger.observe(plugged, plugged, known, at_ms)
    return list(ledger.take())


def test_each_transition_once() -> None:
    """A plug, a new port number and an unplug are each told once."""
    ledger = PortLedger()

    assert told(ledger, {"a": 1}, {"a"}, 10.0) == [PortReport("a", True, 1, 10.0)]
    assert told(ledger, {"a": 1}, {"a"}, 20.0) == []
    assert told(ledger, {"a": 2}, {"a"}, 30.0) == [PortReport("a", True, 2, 30.0)]
    ledger.unplugged("a", 35.0)
    assert told(ledger, {}, {"a"}, 40.0) == [PortReport("a", False, 0, 35.0)]
    assert told(ledger, {}, {"a"}, 50.0) == []


def test_a_new_stream_is_told_everything() -> None:
    """A new stream is told where each known port stands, with the time of its transition; never-plugged ones too."""
    ledger = PortLedger()
    told(ledger, {"a": 1}, {"a"}, 10.0)

    ledger.new_stream()

    assert told(ledger, {"a": 1}, {"a", "b"}, 90.0) == [
        PortReport("a", True, 1, 10.0),
        PortReport("b", False, 0, 90.0),
    ]


def test_without_a_stream_times_are_kept() -> None:
    """What happened while there was no stream is told by the next one with the time it happened."""
    ledger = PortLedger()
    told(ledger, {}, set(), 1.0)
    ledger.observe({"a": 1}, {"a": 1}, {"a"}, 10.0)
    ledger.observe({"a": 1}, {"a": 1}, {"a"}, 20.0)
    ledger.new_stream()

    assert told(ledger, {"a": 1}, {"a"}, 90.0) == [PortReport("a", True, 1, 10.0)]


def test_a_closed_port_is_nobodys_business() -> None:
    """A port that closes with its VIF there is not told unplugged; one that was never open is not told plugged."""
    ledger = PortLedger()
    told(ledger, {"a": 1}, {"a"}, 10.0)

    ledger.observe({}, {"a": 1, "b": 2}, {"a", "b"}, 20.0)

    assert ledger.take() == ()


def test_an_unbound_port_counts_as_unplugged() -> None:
    """A plugged port that left the view is told unplugged, once; bound here again it is told anew."""
    ledger = PortLedger()
    told(ledger, {"a": 1}, {"a"}, 10.0)

    ledger.observe({}, {"a": 1}, set(), 20.0)
    assert ledger.take() == (PortReport("a", False, 0, 20.0),)
    ledger.observe({}, {"a": 1}, set(), 25.0)
    assert ledger.take() == ()

    assert told(ledger, {"a": 1}, {"a"}, 30.0) == [PortReport("a", True, 1, 30.0)]
