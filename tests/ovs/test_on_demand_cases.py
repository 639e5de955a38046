"""Every case of networks held on demand, on real switches: those of `tests/packet/test_on_demand_cases.py`."""

from collections import Counter
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from alcor.agent.waiting import resumed
from alcor.pipeline.on_demand import Lack
from alcor.pipeline.tables import FLAGS, LACK, Flag, Table
from tests.support.cases_on_demand import ASKED, CASES, WHOLE, DemandCase
from tests.support.real_site import RealSite, a_real_site

# The switches are one module's, and so is the loop that their drivers live in.
pytestmark = [pytest.mark.ovs, pytest.mark.asyncio(loop_scope="module")]

ALL = [pytest.param(case, id=f"{about}: {case.name}") for about, cases in CASES.items() for case in cases]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def real(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RealSite]:
    """Two hosts and two gateway hosts with a machine wherever a case has a port."""
    sites = [case.site for cases in CASES.values() for case in cases]
    async with a_real_site(tmp_path_factory.mktemp("real"), WHOLE, sites) as site:
        yield site


@pytest.mark.parametrize("case", ALL)
async def test_a_frame_reaches_exactly_whom_it_should(case: DemandCase, real: RealSite) -> None:
    """Each receiver gets the frame it should, once; nobody else gets any; the agents are asked about what lacks.

    The switches come to the case's site by difference, and are then what the site says, computed from nothing.
    """
    await real.become(case.site)

    arrivals = await real.send(case.sender, case.frame)

    places = {id: case.site.port(id).binding_host_id for id in (case.sender, *case.expected)}
    assert arrivals.delivered == Counter((id, places[id], frame) for id, frame in case.expected.items())
    punted = [packet for _, packet in arrivals.punted]
    lacks = [(id, packet.fields[LACK.value[0]]) for id, packet in arrivals.punted]
    assert lacks == list(case.asked)
    assert all(packet.table == Table.ASK_HOST for packet in punted)
    relayed = [bool(packet.fields.get(FLAGS.value[0], 0) & Flag.RELAYED) for packet in punted]
    assert relayed == [not case.is_alone] * len(case.asked)
    assert not any((await real.differences()).values())


WAITED = [case for cases in CASES.values() for case in cases if case.is_alone and case.after]


@pytest.mark.parametrize("case", WAITED, ids=lambda case: case.name)
async def test_what_waited_arrives(case: DemandCase, real: RealSite) -> None:
    """A packet that the agent held goes on where it stopped when the switch has what it lacked."""
    await real.become(case.site)
    (host_id, packet), *_ = (await real.send(case.sender, case.frame)).punted
    await real.become(ASKED)

    arrivals = await real.resume(host_id, resumed(packet, Lack(packet.fields[LACK.value[0]])))

    expected = Counter((id, ASKED.port(id).binding_host_id, frame) for id, frame in case.after.items())
    assert arrivals.delivered == expected
    assert arrivals.punted == []
