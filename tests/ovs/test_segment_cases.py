"""Every case of segments, trunks and claims on real switches: the cases of `tests/packet/test_segment_cases.py`."""

from collections import Counter
from collections.abc import AsyncIterator, Iterable

import pytest
import pytest_asyncio

from tests.support.cases_segments import SEGMENT_CASES, SEGMENTS, TRUNKED, SegmentCase
from tests.support.real_site import OUTSIDE, RealSite, a_real_site

# The switches are one module's, and so is the loop that their drivers live in.
pytestmark = [pytest.mark.ovs, pytest.mark.asyncio(loop_scope="module")]


def _params(cases: Iterable[SegmentCase]) -> list[object]:
    return [pytest.param(case, id=case.name) for case in cases]


TRUNKS = SEGMENT_CASES["trunks"]
OTHERS = tuple(case for about, cases in SEGMENT_CASES.items() if about != "trunks" for case in cases)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def segments(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RealSite]:
    """Three hosts with a machine for every port of every type of network, and a wire."""
    sites = [case.site for case in OTHERS]
    async with a_real_site(tmp_path_factory.mktemp("segments"), SEGMENTS, sites) as site:
        yield site


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def trunks(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RealSite]:
    """The same hosts with a machine that is a trunk's parent."""
    sites = [case.site for case in TRUNKS]
    async with a_real_site(tmp_path_factory.mktemp("trunks"), TRUNKED, sites) as site:
        yield site


@pytest.mark.parametrize("case", _params(OTHERS))
async def test_a_frame_reaches_exactly_whom_it_should(case: SegmentCase, segments: RealSite) -> None:
    """Each receiver gets the frame it should, once; nobody else gets any; the wire carries it once."""
    await _judge(case, segments)


@pytest.mark.parametrize("case", _params(TRUNKS))
async def test_a_trunk_carries_exactly_what_it_should(case: SegmentCase, trunks: RealSite) -> None:
    """As above, by parents and subports."""
    await _judge(case, trunks)


async def _judge(case: SegmentCase, real: RealSite) -> None:
    await real.become(case.site)

    arrivals = await real.send(case.sender, case.frame)

    places = {id: case.site.port(id).binding_host_id for id in (case.sender, *case.expected)}
    expected = Counter((id, places[id], frame) for id, frame in case.expected.items())
    expected.update((OUTSIDE, "", frame) for _, frame in case.outside)
    assert arrivals.delivered == expected
    punted = [(id, packet.data) for id, packet in arrivals.punted]
    assert punted == [(places[case.sender], case.frame)] * case.punted
    assert not any((await real.differences()).values())
