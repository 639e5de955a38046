"""One flow that the switch always refuses does not hold back a host."""

import pytest

from alcor.agent.quarantine import AGAIN_S_MAX, AGAIN_S_MIN, Quarantine
from alcor.agent.simulated import SimulatedSwitch
from alcor.pipeline.flow import Flow
from alcor.pipeline.tables import Table
from alcor.pipeline.unit import SHARED, cookie_of, neighbour_unit, network_unit, port_unit
from alcor.pipeline.view import View
from tests.support.agent import (
    OTHER_VTEP,
    Clock,
    FakeNcm,
    a_site,
    an_agent,
    expected,
    local_port,
    neighbour,
    running,
    settled,
)


@pytest.fixture
def ncm() -> FakeNcm:
    """A region with two local ports."""
    ncm = FakeNcm()
    a_site(ncm)
    return ncm


@pytest.fixture
def switch() -> SimulatedSwitch:
    """A switch with both VIFs, that refuses whatever is of port 2."""
    switch = SimulatedSwitch("s1")
    for number in (1, 2):
        switch.plug(f"port-{number}")
    switch.rejects = of_port_2
    return switch


def of_port_2(flow: Flow) -> bool:
    """Whether a flow is one of port 2's own."""
    return flow.cookie == cookie_of(port_unit("port-2")) and flow.table == Table.CLASSIFY


async def test_all_else_is_installed_and_acknowledged(ncm: FakeNcm, switch: SimulatedSwitch) -> None:
    """The port whose flow is refused has no flows, is not reported plugged, and is named with the reason; every scope
    is acknowledged and the other port reported."""
    async with running(an_agent(ncm, switch)) as agent:
        ncm.put(neighbour(91, vtep=OTHER_VTEP))
        await settled()

        cookies = {flow.cookie for flow in switch.tables.flows.values()}
        assert cookie_of(port_unit("port-1")) in cookies
        assert cookie_of(neighbour_unit("net", "port-91")) in cookies
        assert cookie_of(port_unit("port-2")) not in cookies
        assert ncm.is_realized(*ncm.closure())
        assert {report.port_id: report.plugged for report in ncm.reports} == {"port-1": True, "port-2": False}
        assert list(agent.status()["left_out"]) == ["port port-2"]
        assert agent.detail().startswith(
            "left out, because the switch refuses their flows: port port-2 (s1: "
        )


async def test_it_is_tried_again(ncm: FakeNcm, switch: SimulatedSwitch) -> None:
    """When the switch takes the flows after all, the next attempt installs, reports, and says nothing more."""
    clock = Clock()
    async with running(an_agent(ncm, switch, clock)) as agent:
        await settled()
        switch.rejects = lambda flow: False
        clock.s += AGAIN_S_MIN + 1
        ncm.commit()
        ncm.put(neighbour(91, vtep=OTHER_VTEP))
        await settled()

        assert switch.tables.flows == expected(ncm, switch)
        assert [(report.port_id, report.plugged) for report in ncm.reports][-1] == ("port-2", True)
        assert agent.status()["left_out"] == {}
        assert agent.detail() == ""


async def test_a_port_that_worked_and_is_refused_now_is_reported_gone(
    ncm: FakeNcm, switch: SimulatedSwitch
) -> None:
    """A change that the switch refuses closes the port, and the region is told that it is no longer plugged."""
    switch.rejects = lambda flow: False
    async with running(an_agent(ncm, switch)):
        assert ("port-2", True) in [(report.port_id, report.plugged) for report in ncm.reports]
        switch.rejects = of_port_2
        switch.restart()
        for number in (1, 2):
            switch.plug(f"port-{number}")
        await settled()
        ncm.commit()
        await settled()

        assert [(report.port_id, report.plugged) for report in ncm.reports][-1] == ("port-2", False)


def test_pauses_grow_and_end() -> None:
    """Each attempt that fails doubles the pause, up to ten minutes; one that succeeds forgets all that."""
    clock = Clock()
    quarantine = Quarantine(clock.monotonic_s)
    unit = port_unit("p")
    pauses = []
    for _ in range(7):
        assert quarantine.isolate([unit], "bad")
        assert not quarantine.isolate([unit], "bad")
        due_s = quarantine.next_s()
        assert due_s is not None
        pauses.append(due_s - clock.s)
        clock.s = due_s
        assert quarantine.expire() == {unit}
        assert not quarantine.holds(unit)

    assert pauses == [30, 60, 120, 240, 480, AGAIN_S_MAX, AGAIN_S_MAX]
    quarantine.confirmed()
    assert quarantine.isolate([unit], "bad")
    assert quarantine.next_s() == clock.s + AGAIN_S_MIN


def test_the_shared_flows_are_never_left_out() -> None:
    """Without what every packet passes nothing is right: that must be repaired, not left out."""
    quarantine = Quarantine(Clock().monotonic_s)

    assert not quarantine.isolate([SHARED], "bad")
    assert not quarantine.holds(SHARED)
    assert not quarantine


def test_what_needs_a_network_is_not_confirmed() -> None:
    """Left out: a network: its ports are not right; a single neighbour: named, and no port waits for it."""
    view = View()
    view.ports["port-1"] = local_port(1)
    quarantine = Quarantine(Clock().monotonic_s)

    quarantine.isolate([neighbour_unit("net", "port-9")], "bad")
    assert quarantine.ports(view) == set()
    quarantine.isolate([network_unit("net")], "bad")
    assert quarantine.ports(view) == {"port-1"}
    assert list(quarantine.shown()) == ["neighbour net port-9", "network net"]
