"""A gateway host dies: the switches of the others find the next one by themselves, and it serves."""

from pathlib import Path

import pytest

from alcor.pipeline.flow import GroupKind
from tests.support.cases_edge import (
    EDGE,
    FLOAT1,
    LOST,
    M_GW1,
    M_OUT,
    M_RED,
    OUTSIDE,
    RED1,
    RED3,
    ROUTER1,
    VIA_RED,
    WORLD,
    to,
)
from tests.support.cases_routing import routed
from tests.support.real_failover import FailoverSite
from tests.support.real_site import a_real_site
from tests.support.stories import ping, pong

pytestmark = pytest.mark.ovs


async def test_the_next_gateway_host_serves(tmp_path: Path) -> None:
    """The host of a port is told nothing: its group moves by BFD. Floating IPs of other hosts never notice."""
    async with a_real_site(tmp_path, EDGE, (), FailoverSite) as real:
        assert isinstance(real, FailoverSite)
        await real.become(EDGE)
        await real.watch_each_other()
        await real.become(EDGE)
        groups = real.groups("h3").values()
        out, back = ping(RED3, to(WORLD, VIA_RED)), pong(WORLD, ROUTER1)

        first = await real.exchange("red-3", out, OUTSIDE)
        answer = await real.exchange(OUTSIDE, back, "red-3")
        await real.lose("h2")
        floating = await real.exchange("red-1", ping(RED1, to(WORLD, VIA_RED)), OUTSIDE)
        await real.take_over("h1", LOST)
        second = await real.exchange("red-3", out, OUTSIDE)
        again = await real.exchange(OUTSIDE, back, "red-3")

    assert {group.kind for group in groups} == {GroupKind.FAST_FAILOVER}
    assert {len(group.buckets) for group in groups} == {2}
    assert first == second == [routed(ping(ROUTER1, WORLD), M_GW1, M_OUT)]
    assert answer == again == [routed(pong(WORLD, RED3), M_RED, RED3.mac)]
    assert floating == [routed(ping(FLOAT1, WORLD), FLOAT1.mac, M_OUT)]
