"""Every story of groups, ACLs and firewalls on real switches: three hosts with Open vSwitch."""

from collections import Counter
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.support.cases_acl import ACLS
from tests.support.cases_firewall import FIREWALLS
from tests.support.cases_security import STORIES as GROUPS
from tests.support.packet_cases import STANDARD
from tests.support.real_site import RealSite, a_real_site
from tests.support.stories import Story

# The switches are one module's, and so is the loop that their drivers live in.
pytestmark = [pytest.mark.ovs, pytest.mark.asyncio(loop_scope="module")]

STORIES = {**GROUPS, "ACLs": ACLS, "firewalls": FIREWALLS}
ALL = [
    pytest.param(story, id=f"{about}: {story.name}")
    for about, stories in STORIES.items()
    for story in stories
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def real(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RealSite]:
    """Three hosts with a machine for every port."""
    async with a_real_site(tmp_path_factory.mktemp("real"), STANDARD, ()) as site:
        yield site


@pytest.mark.parametrize("story", ALL)
async def test_each_packet_ends_where_it_should(story: Story, real: RealSite) -> None:
    """Step by step: each receiver gets the frames it should, once, and nobody else gets any."""
    await real.become(story.site)
    await real.forget_connections()
    places = {port.id: port.binding_host_id for port in story.site.ports}

    for number, step in enumerate(story.steps, start=1):
        if step.site is not None:
            await real.become(step.site)
        arrived: Counter[tuple[str, str, bytes]] = Counter()
        for frame in step.frames:
            arrived += (await real.send(step.sender, frame)).delivered

        expected = Counter((port, places[port], frame) for port, frame in step.expected)
        assert arrived == expected, f"step {number}"
    assert not any((await real.differences()).values())
