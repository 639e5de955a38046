"""Every story of the edge on real switches: the stories of `tests/packet`, on three hosts and a wire."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from alcor.agent.handler import Confirmed
from alcor.agent.translation import StaleTranslations
from alcor.goalstate.item import key_of
from alcor.goalstate.router_item import FloatingIpItem
from alcor.goalstate.scope import host_scope
from alcor.pipeline.feature import ItemChange
from alcor.pipeline.tables import ROUTER_ZONES_FROM
from tests.support.cases_edge import (
    EDGE,
    EDGE_STORIES,
    FLOAT4,
    GW1,
    OUTSIDE,
    RED2,
    RED4,
    VIA_RED,
    WORLD,
    EdgeStory,
    to,
    wired,
)
from tests.support.ovs import eventually
from tests.support.real_site import RealSite, a_real_site
from tests.support.stories import ping, udp

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


async def test_connections_of_a_lost_translation_are_forgotten(real: RealSite) -> None:
    """Those of the floating IP that went, those that it began and those that came to it; others of its router stay."""
    await real.become(EDGE)
    await real.forget_connections()
    for sender, frame in (
        ("red-4", ping(RED4, to(WORLD, VIA_RED))),
        (OUTSIDE, udp(WORLD, FLOAT4, (3000, 53))),
        ("red-2", ping(RED2, to(WORLD, VIA_RED))),
    ):
        await real.send(sender, frame)
    switch, allocation = real.switch("h2"), real.allocation("h2")
    item = FloatingIpItem(id="f104", ip=FLOAT4.ip, mac=FLOAT4.mac, network_id="ext", router_id="r1")
    translations = StaleTranslations(switch)
    zone = ROUTER_ZONES_FROM + allocation.router_keys["r1"]
    before = await switch.dump_conntrack(zone)

    translations.note(Confirmed(items=(ItemChange(host_scope("h2"), key_of(item), item, None),)))
    running = asyncio.create_task(translations.run(allocation))
    await eventually(lambda: translations.forgotten == 2, "two connections forgotten")
    running.cancel()
    after = await switch.dump_conntrack(zone)

    assert (len(before), len(after)) == (3, 1)
    assert FLOAT4.ip not in after[0]
    assert GW1 in after[0]
