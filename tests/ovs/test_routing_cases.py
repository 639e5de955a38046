"""Every routing case on real switches: the cases of `tests/packet/test_routing_cases.py`, on three hosts."""

from collections import Counter
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from alcor.agent.answer.icmp_error import handle
from alcor.agent.driver import PacketIn
from alcor.agent.handler import Punt
from alcor.pipeline.resolve import resolve
from alcor.pipeline.tables import Table
from tests.support.cases_routing import EQUAL_COST, ROUTED, ROUTING_CASES, RoutingCase
from tests.support.real_site import OUTSIDE, RealSite, a_real_site

# The switches are one module's, and so is the loop that their drivers live in.
pytestmark = [pytest.mark.ovs, pytest.mark.asyncio(loop_scope="module")]

ALL = [
    pytest.param(case, id=f"{about}: {case.name}") for about, cases in ROUTING_CASES.items() for case in cases
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def real(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RealSite]:
    """Three hosts with a machine wherever a case has a port."""
    sites = [case.site for cases in ROUTING_CASES.values() for case in cases]
    async with a_real_site(tmp_path_factory.mktemp("real"), ROUTED, sites) as site:
        yield site


@pytest.mark.parametrize("case", ALL)
async def test_a_frame_is_routed_to_exactly_whom_it_should(case: RoutingCase, real: RealSite) -> None:
    """Each receiver gets the routed frame, once; nobody else gets any; the sender is told what is due.

    The switches come to the case's site by difference, and are then what the site says, computed from nothing.
    """
    await real.become(case.site)

    arrivals = await real.send(case.sender, case.frame)

    places = {id: case.site.port(id).binding_host_id for id in (case.sender, *case.expected)}
    delivered = Counter((id, places[id], frame) for id, frame in case.expected.items())
    if case.wired is not None:
        delivered[OUTSIDE, "", case.wired] += 1
    assert arrivals.delivered == delivered
    host_id = places[case.sender]
    numbers = real.allocation(host_id)
    told = [
        (id, packet.table, packet.fields["reg14"], packet.fields["reg4"]) for id, packet in arrivals.punted
    ]
    assert told == (
        []
        if case.reason is None
        else [(host_id, Table.ICMP_ERROR, numbers.port_keys[case.sender], case.reason)]
    )
    routers = set(numbers.router_keys.values())
    assert all(packet.fields["reg9"] in routers for _, packet in arrivals.punted)
    assert not any((await real.differences()).values())
    for _, packet in arrivals.punted:
        await _answered(case, packet, real)


async def _answered(case: RoutingCase, packet: PacketIn, real: RealSite) -> None:
    """What the agent makes of the packet comes to the sender, and to nobody else."""
    host_id = case.site.port(case.sender).binding_host_id
    numbers = real.allocation(host_id)

    def owner(keys: dict[str, int], field: str) -> str | None:
        return next((id for id, key in keys.items() if key == packet.fields[field]), None)

    punt = Punt(
        packet, case.sender, owner(numbers.network_keys, "metadata"), owner(numbers.router_keys, "reg9")
    )
    outcome = handle(punt, resolve(case.site.states(), host_id, case.site.closed), numbers)
    assert outcome is not None
    assert len(outcome.frames) == (case.told is not None)
    for frame in outcome.frames:
        arrivals = await real.put(host_id, frame.ofport, frame.data)
        assert arrivals.delivered == Counter({(case.sender, host_id, case.told): 1})
        assert arrivals.punted == []


async def test_next_hops_of_equal_cost_share(real: RealSite) -> None:
    """Packets of different connections take one of the two ways each, and both are taken."""
    await real.become(ROUTED)

    ways = [
        [port_id for port_id, _, _ in (await real.send("red-1", frame)).delivered] for frame in EQUAL_COST
    ]

    assert {tuple(way) for way in ways} == {("green-5",), ("red-6",)}
