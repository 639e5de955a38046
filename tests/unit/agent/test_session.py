"""The stream to the region: opened again with growing random delays, resumed, refused, never trusted blindly."""

import asyncio
from typing import Any

import pytest

from alcor.agent.session import RETRY_S_MAX, UNREACHED_S_MAX, full_jitter
from alcor.agent.simulated import SimulatedSwitch
from alcor.bus.interface import Heads, Hello, Resume, ScopeUpdate
from alcor.goalstate.scope import REGION, host_scope, neighbours_scope, network_scope, shard_of
from tests.support.agent import (
    EPOCH,
    HOST,
    OTHER_VTEP,
    Clock,
    FakeNcm,
    a_site,
    an_agent,
    expected,
    neighbour,
    running,
    settled,
)

NEIGHBOURS = neighbours_scope("net")
ALL = (REGION, host_scope(HOST), network_scope("net"), NEIGHBOURS)


@pytest.fixture
def ncm() -> FakeNcm:
    ncm = FakeNcm()
    a_site(ncm)
    return ncm


@pytest.fixture
def switch() -> SimulatedSwitch:
    switch = SimulatedSwitch("s1")
    switch.plug("port-1")
    return switch


def test_full_jitter_is_bounded() -> None:
    """A delay is uniform below a bound that doubles up to a maximum, however many attempts there were."""
    bounds = [
        full_jitter(attempt, lambda: 1.0, base_s=0.1, max_s=10.0) for attempt in (0, 1, 2, 6, 7, 10_000)
    ]

    assert bounds == [0.1, 0.2, 0.4, 6.4, 10.0, 10.0]
    assert full_jitter(3, lambda: 0.0, base_s=0.1, max_s=10.0) == 0.0


async def test_delays_grow_and_begin_anew(ncm: FakeNcm, switch: SimulatedSwitch) -> None:
    """While nobody listens the delays grow to their maximum; after a stream they begin small again."""
    clock = Clock()
    ncm.is_reachable = False
    async with running(an_agent(ncm, switch, clock)):
        assert clock.slept_s[:4] == [0.05, 0.1, 0.2, 0.4]
        assert max(clock.slept_s) == UNREACHED_S_MAX / 2

        ncm.is_reachable = True
        await settled()
        clock.slept_s.clear()
        ncm.is_reachable = False
        ncm.disconnect()
        await settled()
        assert clock.slept_s[:3] == [0.05, 0.1, 0.2]


class Overrun(FakeNcm):
    """Lets agents in, and has no time for them."""

    async def connect(self) -> Any:
        stream = await super().connect()
        self.disconnect()
        return stream


async def test_who_is_not_welcomed_waits_longer(switch: SimulatedSwitch) -> None:
    """An ncm that has too much to do is asked less often than one that is not there."""
    clock, ncm = Clock(), Overrun()
    a_site(ncm)
    async with running(an_agent(ncm, switch, clock)):
        assert clock.slept_s[:4] == [0.05, 0.1, 0.2, 0.4]
        assert max(clock.slept_s) == RETRY_S_MAX / 2


async def test_who_is_refused_asks_ever_less(ncm: FakeNcm, switch: SimulatedSwitch) -> None:
    """A refusal ends by somebody's hand: the pauses double up to ten minutes and their jitter, and nothing changes."""
    clock = Clock()
    ncm.refusal = "the host was removed"
    async with running(an_agent(ncm, switch, clock)) as agent:
        assert clock.slept_s[:6] == [45.0, 90.0, 180.0, 360.0, 720.0, 900.0]
        assert set(clock.slept_s[6:]) == {900.0}
        assert "the host was removed" in str(agent.status())
        assert switch.counts.changes == 0


async def test_hello_shows_positions(ncm: FakeNcm, switch: SimulatedSwitch) -> None:
    """The first hello holds nothing; after a broken stream it shows epoch and every position, and deltas follow."""
    async with running(an_agent(ncm, switch)):
        ncm.disconnect()
        ncm.put(neighbour(91, vtep=OTHER_VTEP))
        await settled()

        first, second = ncm.hellos
        assert first == Hello(host_id=HOST, token="secret", agent_version="1")
        assert second.epoch == EPOCH
        assert second.positions == dict.fromkeys(ALL, ncm.revision - 1)
        assert switch.tables.flows == expected(ncm, switch)
        assert ncm.is_realized(*ALL)


async def test_a_gap_is_resumed(ncm: FakeNcm, switch: SimulatedSwitch) -> None:
    """A lost step is seen by the next one, asked for from the position, and made good."""
    async with running(an_agent(ncm, switch)):
        position = ncm.revision
        stream, ncm.stream = ncm.stream, None
        ncm.put(neighbour(91, vtep=OTHER_VTEP))
        ncm.stream = stream
        ncm.put(neighbour(92, vtep=OTHER_VTEP))
        await settled()

        assert Resume(NEIGHBOURS, position) in ncm.messages
        assert switch.tables.flows == expected(ncm, switch)
        assert ncm.is_realized(*ALL)


async def test_acknowledged_anew_on_each_stream(ncm: FakeNcm, switch: SimulatedSwitch) -> None:
    """Acknowledgements of a broken stream may be lost, so a new stream is told all of them again."""
    async with running(an_agent(ncm, switch)):
        ncm.messages.clear()
        ncm.disconnect()
        await settled()

        assert ncm.is_realized(*ALL)
        assert {(report.port_id, report.plugged) for report in ncm.reports} == {
            ("port-1", True),
            ("port-2", False),
        }


async def test_only_news_is_acknowledged(ncm: FakeNcm, switch: SimulatedSwitch) -> None:
    """A head that raises one shard is answered by that shard only."""
    async with running(an_agent(ncm, switch)):
        ncm.messages.clear()
        shard = shard_of(NEIGHBOURS)
        ncm.revision += 1
        ncm.deliver(Heads(epoch=EPOCH, generation=1, through={shard: ncm.revision}))
        await settled()

        assert ncm.realized == {shard: ncm.revision}


async def test_nothing_is_acknowledged_before_the_host_is_known(
    ncm: FakeNcm, switch: SimulatedSwitch
) -> None:
    """Without the host's own scope nothing is acknowledged or programmed: nobody knows what is local."""
    snapshots = [ncm.snapshot(scope) for scope in ALL if scope != host_scope(HOST)]
    ncm.is_slow = True
    async with running(an_agent(ncm, switch)) as agent:
        ncm.waiting = [message for message in ncm.waiting if not isinstance(message, ScopeUpdate | Heads)]
        ncm.flush()
        ncm.deliver(*snapshots)
        await settled()

        assert ncm.realized == {}
        assert switch.tables.flows == {}
        assert agent.status()["in_sync"] is False
        assert agent.status()["missing"] == [f"host:{HOST}"]


async def test_a_port_ahead_of_its_network_is_closed(ncm: FakeNcm, switch: SimulatedSwitch) -> None:
    """A port whose network is not as far as its reference requires has no flow; the head that brings it opens it."""
    async with running(an_agent(ncm, switch)) as agent:
        flows = dict(switch.tables.flows)
        own = ncm.items[host_scope(HOST)]
        key = next(key for key in own if key.id == "port-1")
        ncm.revision += 1
        own[key] = (ncm.revision, own[key][1])
        ncm.deliver(ncm.step(host_scope(HOST), ncm.revision - 1))
        await settled()
        assert agent.status()["ports"]["port-1"]["closed"] is True
        assert len(switch.tables.flows) < len(flows)

        ncm.deliver(ncm.heads())
        await settled()
        assert agent.status()["ports"]["port-1"]["closed"] is False
        assert switch.tables.flows == flows


async def test_heartbeats(switch: SimulatedSwitch) -> None:
    """Heartbeats come at the interval the region asked for, without being asked each time."""
    ncm = FakeNcm(heartbeat_s=0.1)
    async with running(an_agent(ncm, switch)):
        async with asyncio.timeout(60):
            assert [await ncm.beats.get() for _ in range(3)] == ["", "", ""]
