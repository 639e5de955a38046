"""Every story of the edge on real switches: the stories of `tests/packet`, on three hosts and a wire."""

from collections import Counter
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.support.cases_edge import EDGE, EDGE_STORIES, OUTSIDE, EdgeStory, wired
from tests.support.real_site import RealSite, a_real_site

# The switches are one module's, and so is the loop that their drivers live in.
pytestmark = [pytest.mark.ovs, pytest.mark.asyncio(loop_scope="module")]

ALL = [
    pytest.param(story, id=f"{about}: {story.name}")
    for about, stories in EDGE_STORIES.items()
    for story in stories
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def real(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RealSite]:
    """Three hosts, two of them on a wire, with a machine wherever the site has a port."""
    async with a_real_site(tmp_path_factory.mktemp("real"), EDGE, ()) as site:
        yield site


@pytest.mark.parametrize("story", ALL)
async def test_each_packet_ends_where_it_should(story: EdgeStory, real: RealSite) -> None:
    """Step by step: each receiver gets the frame it should, once, and nobody else gets any, outside or inside."""
    site = story.site
    await real.become(site)
    await real.forget_connections()

    for number, step in enumerate(story.steps, start=1):
        if step.site is not None:
            await real.become(step.site)
        arrivals = await real.send(
            step.sender, wired(step.frame, site) if step.sender == OUTSIDE else step.frame
        )

        assert arrivals.delivered == Counter(
            (OUTSIDE, "", wired(frame, site))
            if place == OUTSIDE
            else (place, site.port(place).binding_host_id, frame)
            for place, frame in step.arrives
        ), f"step {number}"
        assert len(arrivals.punted) == step.punted, f"step {number}"
    assert not any((await real.differences()).values())
