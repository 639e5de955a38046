"""Every packet case on real switches: the cases of `tests/packet`, on three hosts with Open vSwitch."""

from collections import Counter
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.support.packet_cases import CASES, STANDARD, Case
from tests.support.packets import BROADCAST, ethernet
from tests.support.real_site import RealSite, a_real_site

# The switches are one module's, and so is the loop that their drivers live in.
pytestmark = [pytest.mark.ovs, pytest.mark.asyncio(loop_scope="module")]

ALL = [pytest.param(case, id=f"{about}: {case.name}") for about, cases in CASES.items() for case in cases]
OTHER_EXPERIMENT = 0x88B7
"""An EtherType that no flow of ours lets through."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def real(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RealSite]:
    """Three hosts with a machine wherever a case has a port."""
    sites = [case.site for cases in CASES.values() for case in cases]
    async with a_real_site(tmp_path_factory.mktemp("real"), STANDARD, sites) as site:
        yield site


@pytest.mark.parametrize("case", ALL)
async def test_a_frame_reaches_exactly_whom_it_should(case: Case, real: RealSite) -> None:
    """Each receiver gets the frame it should, once; nobody else gets any; the agent only what is for it.

    The switches come to the case's site by difference, and are then what the site says, computed from nothing.
    """
    await real.become(case.site)

    arrivals = await real.send(case.sender, case.frame)

    places = {id: case.site.port(id).binding_host_id for id in (case.sender, *case.expected)}
    assert arrivals.delivered == Counter((id, places[id], frame) for id, frame in case.expected.items())
    host_id = places[case.sender]
    assert [(id, packet.data) for id, packet in arrivals.punted] == [(host_id, case.frame)] * case.punted
    assert not any((await real.differences()).values())


@pytest.mark.parametrize("case", CASES["punts"], ids=lambda case: case.name)
async def test_a_punt_names_its_port(case: Case, real: RealSite) -> None:
    """The agent learns from the registers, not from the packet, which port of which network it is about."""
    await real.become(case.site)
    row = case.site.port(case.sender)

    punted = (await real.send(case.sender, case.frame)).punted

    allocation = real.allocation(row.binding_host_id)
    for _, packet in punted:
        assert packet.in_port == allocation.ofports[case.sender]
        assert packet.fields["reg14"] == allocation.port_keys[case.sender]
        assert packet.fields["metadata"] == allocation.network_keys[row.network_id]
    assert len(punted) == case.punted


async def test_what_should_not_come_would_be_seen(real: RealSite) -> None:
    """Were a frame let past the pipeline, every machine on every host and every driver would be found to have it."""
    await real.become(STANDARD)
    frame = ethernet("02:00:00:00:fe:fe", BROADCAST, OTHER_EXPERIMENT, bytes(46))
    real.let_past(OTHER_EXPERIMENT)

    seen = await real.send("red-1", frame)
    real.stop_letting_past(OTHER_EXPERIMENT)
    unseen = await real.send("red-1", frame)

    assert seen.delivered == Counter((*place, frame) for place in real.places)
    assert Counter((id, packet.data) for id, packet in seen.punted) == Counter(
        (id, frame) for id in STANDARD.hosts
    )
    assert (unseen.delivered, unseen.punted) == (Counter(), [])
