"""Every routing case on simulated switches, with the agent's answers."""

from collections import Counter
from functools import lru_cache

import pytest

from alcor.agent.answer.icmp_error import handle
from alcor.agent.driver import PacketIn
from alcor.agent.handler import Punt
from alcor.pipeline.simulate import Emission
from alcor.pipeline.tables import Table
from tests.support.cases_routing import EQUAL_COST, ROUTED, ROUTING_CASES, WIRE, RoutingCase
from tests.support.packet_site import Fabric, Site

ALL = [
    pytest.param(case, id=f"{about}: {case.name}") for about, cases in ROUTING_CASES.items() for case in cases
]


@lru_cache(16)
def fabric_of(site: Site) -> Fabric:
    """One fabric per site: cases do not change it."""
    return Fabric(site)


def owner(numbers: dict[str, int], number: int) -> str | None:
    """Whose a local number is."""
    return next((id for id, own in numbers.items() if own == number), None)


def punt_of(fabric: Fabric, host_id: str, emission: Emission) -> Punt:
    """What the agent makes of a punted packet."""
    numbers, fields = fabric.allocations[host_id], emission.fields
    return Punt(
        PacketIn(fields.get("in_port", 0), emission.table, emission.frame, fields),
        owner(numbers.port_keys, fields.get("reg14", 0)),
        owner(numbers.network_keys, fields.get("metadata", 0)),
        owner(numbers.router_keys, fields.get("reg9", 0)),
    )


@pytest.mark.parametrize("case", ALL)
def test_a_frame_is_routed_to_exactly_whom_it_should(case: RoutingCase) -> None:
    """Each receiver gets the routed frame, once; nobody else gets any; the sender is told what is due."""
    fabric = fabric_of(case.site)

    outcome = fabric.send(case.sender, case.frame)

    assert Counter(outcome.delivered) == Counter(case.expected.items())
    assert outcome.outside == ([] if case.wired is None else [(WIRE, case.wired)])
    assert [(one.table, one.fields["reg4"]) for _, one in outcome.punted] == (
        [] if case.reason is None else [(Table.ICMP_ERROR, case.reason)]
    )
    answers = [
        frame
        for host_id, one in outcome.punted
        if (
            answered := handle(
                punt_of(fabric, host_id, one), fabric.views[host_id], fabric.allocations[host_id]
            )
        )
        for frame in answered.frames
    ]
    assert [frame.data for frame in answers] == ([] if case.told is None else [case.told])
    assert all(frame.port_id == case.sender for frame in answers)


def test_next_hops_of_equal_cost_share() -> None:
    """Each packet takes one of the two ways, the same one every time, and both are taken."""
    fabric = fabric_of(ROUTED)

    ways = [[port for port, _ in fabric.send("red-1", frame).delivered] for frame in EQUAL_COST]
    again = [[port for port, _ in fabric.send("red-1", frame).delivered] for frame in EQUAL_COST]

    assert ways == again
    assert {tuple(way) for way in ways} == {("green-5",), ("red-6",)}


def test_routing_cases_have_names_of_their_own() -> None:
    """A failure names one case."""
    names = [case.name for cases in ROUTING_CASES.values() for case in cases]

    assert len(names) == len(set(names))
