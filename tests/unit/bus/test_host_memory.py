"""What is remembered of a host's reports, to be said again."""

from hypothesis import given
from hypothesis import strategies as st

from alcor.bus.host_memory import HostMemory, with_unplugged
from alcor.bus.interface import HostReport, PortReport
from alcor.bus.local import merge_reports


def a_report(**changes: object) -> HostReport:
    fields: dict[str, object] = {"epoch": 1, "alive": True, "at_ms": 1, "session": 1}
    return HostReport(host_id="h", **(fields | changes))  # type: ignore[arg-type]  # a builder


ports = st.lists(
    st.builds(PortReport, st.sampled_from("pqr"), st.booleans(), st.just(1), st.just(1.0)), max_size=3
)
reports = st.builds(
    lambda epoch, session, realized, ports, at_ms, version, position, settled: a_report(
        epoch=epoch,
        session=session,
        realized=realized,
        ports=tuple(ports),
        at_ms=at_ms,
        agent_version=version,
        position_max=position,
        settled=settled,
    ),
    st.integers(1, 2),
    st.integers(0, 2),
    st.dictionaries(st.integers(0, 3), st.integers(0, 9), max_size=2),
    ports,
    st.integers(0, 9),
    st.sampled_from(("", "7")),
    st.integers(0, 9),
    st.integers(0, 2),
)


@given(st.lists(reports, min_size=1, max_size=6))
def test_it_is_the_sum_of_the_reports(said: list[HostReport]) -> None:
    """What is remembered is what merging all reports gives, less the ports that are not plugged any more."""
    memory, merged = HostMemory(said[0]), said[0]
    for report in said[1:]:
        memory.add(report)
        merged = merge_reports(merged, report)

    whole = memory.whole()
    last = {port.port_id: port for port in merged.ports}
    assert {port.port_id: port for port in whole.ports} == {
        id: port for id, port in last.items() if port.plugged
    }
    assert (whole.session, whole.epoch, whole.realized) == (merged.session, merged.epoch, merged.realized)
    assert (whole.agent_version, whole.position_max) == (merged.agent_version, merged.position_max)
    assert whole.settled == merged.settled == memory.farewell().settled
    assert memory.plugged == {port.port_id for port in whole.ports}


def test_a_farewell_says_nothing_new() -> None:
    """A lost host is reported not alive in its last session, with no ports and no positions."""
    memory = HostMemory(a_report(realized={1: 2}, ports=(PortReport("p", True, 1, 1.0),), agent_version="7"))

    assert memory.farewell() == a_report(alive=False, agent_version="7")


def test_ports_that_are_not_named_any_more_are_unplugged() -> None:
    """Who knew ports that a whole report does not name is told that they are gone."""
    told = with_unplugged(a_report(ports=(PortReport("p", True, 1, 1.0),), at_ms=5), frozenset("pq"))

    assert told.ports == (PortReport("p", True, 1, 1.0), PortReport("q", False, 0, 5.0))
