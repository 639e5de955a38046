"""Reports of one host that wait for the dataplane become one."""

from alcor.bus.interface import HostReport, PortReport
from alcor.bus.local import merge_reports


def a_report(session: int, *ports: PortReport, realized: dict[int, int] | None = None) -> HostReport:
    """What the ncm says of host h in one attachment."""
    return HostReport(
        host_id="h", epoch=1, alive=True, at_ms=session, session=session, ports=ports, realized=realized or {}
    )


def test_one_attachment_says_all_it_said() -> None:
    """Transitions and confirmations of one attachment add up; the later one of a port counts."""
    first = a_report(7, PortReport("p", True, 1, 1.0), PortReport("q", True, 2, 1.0), realized={3: 10})
    second = a_report(7, PortReport("p", False, 0, 2.0), realized={3: 9, 4: 11})

    merged = merge_reports(first, second)

    assert merged.session == 7
    assert set(merged.ports) == {PortReport("q", True, 2, 1.0), PortReport("p", False, 0, 2.0)}
    assert merged.realized == {3: 10, 4: 11}


def test_a_later_attachment_speaks_alone() -> None:
    """What an earlier attachment said is gone: its ports may have been unplugged in between."""
    first = a_report(7, PortReport("p", True, 1, 1.0), realized={3: 10})
    second = a_report(8, realized={3: 4})

    assert merge_reports(first, second) == second


def test_a_report_that_names_no_attachment_belongs_to_the_last_one() -> None:
    """Session 0 says nothing of the attachment."""
    merged = merge_reports(a_report(7, realized={3: 10}), a_report(0, realized={4: 4}))

    assert merged.session == 7
    assert merged.realized == {3: 10, 4: 4}
