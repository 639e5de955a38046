"""Outer next hops outlive the agent that found them."""

from alcor.agent.kept_hops import KeptHops

PLACE = ("ext", "203.0.113.1")
PLACE6 = ("ext", "2001:db8::1")


def test_what_was_kept_is_known_again() -> None:
    """A new agent starts with what the database has, of both IP versions; nothing is written again."""
    first = KeptHops({PLACE: "0a:00:00:00:00:01", PLACE6: "0a:00:00:00:00:02"})
    put, removed = first.to_keep()
    assert removed == []

    second = KeptHops({})
    assert second.load(put | {"port:a": 7}) == [PLACE, PLACE6]

    assert second.hops == first.hops
    assert second.to_keep() == ({}, [])


def test_what_changes_is_written() -> None:
    """A MAC that changed is put, a next hop that is gone is removed, and both are done once."""
    hops = {PLACE: "0a:00:00:00:00:01", PLACE6: "0a:00:00:00:00:02"}
    kept = KeptHops(hops)
    kept.kept(*kept.to_keep())
    hops[PLACE] = "0a:00:00:00:00:03"
    del hops[PLACE6]

    put, removed = kept.to_keep()

    assert (put, removed) == ({"hop:ext/203.0.113.1": 0x0A0000000003}, ["hop:ext/2001:db8::1"])
    kept.kept(put, removed)
    assert kept.to_keep() == ({}, [])


def test_what_is_newer_wins() -> None:
    """What the agent has found out itself is not overwritten by what was kept."""
    kept = KeptHops({PLACE: "0a:00:00:00:00:09"})

    assert kept.load({"hop:ext/203.0.113.1": 1}) == []
    assert kept.hops[PLACE] == "0a:00:00:00:00:09"
