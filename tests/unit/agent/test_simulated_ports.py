"""The simulated switch's groups, other ports and connections, as the driver gives them to the agent."""

from alcor.agent.driver import (
    Connected,
    ConnectionProtocol,
    ConnectionTuple,
    FlowDiff,
    InternalPort,
    PortSpec,
    TunnelHealth,
    TunnelPort,
    VifsChanged,
)
from alcor.agent.simulated import SimulatedSwitch
from alcor.model.address import Ip
from alcor.pipeline.flow import Bucket, Flow, Group, GroupKind, GroupSpec, Output
from tests.support.switch_programs import TRACK
from tests.support.transport_packets import echo, udp

THERE = ("10.0.0.1", "10.0.0.2")


async def test_groups_are_put_before_flows_and_taken_away_after_them() -> None:
    """Compare finds a missing group and a stale one; one apply puts each right."""
    switch = SimulatedSwitch("s1")
    group = GroupSpec(1, GroupKind.ALL, (Bucket(1, (Output(5),)),))
    flow = Flow(0, 5, (), (Group(1),), 1)

    first = await switch.compare({flow.key: flow}, [], [group])
    await switch.apply(first)
    second = await switch.compare({}, [], [])
    await switch.apply(second)

    assert first == FlowDiff([flow], [], [], (group,))
    assert second == FlowDiff([], [flow.key], [], (), (), (1,))
    assert first.without_removals() == FlowDiff([flow], (), [], (group,))
    assert not second.without_removals()
    assert not await switch.compare({}, [], [])


async def test_other_ports_keep_their_numbers_and_go_when_not_wanted() -> None:
    """A number lasts as long as its port is asked for, and is never used twice."""
    switch = SimulatedSwitch("s1")
    wanted: list[PortSpec] = [InternalPort("md0"), TunnelPort("bfd1", "geneve", Ip("192.0.2.2"))]

    first = await switch.ensure_ports(wanted)
    again = await switch.ensure_ports(wanted)
    fewer = await switch.ensure_ports(wanted[:1])
    later = await switch.ensure_ports(wanted)

    assert again == first
    assert fewer == {"md0": first["md0"]}
    assert later["bfd1"] not in first.values()


async def test_a_dead_far_end_is_told_and_fails_over() -> None:
    """The agent hears of it, and a group that watches the tunnel's port uses it no more."""
    switch = SimulatedSwitch("s1")
    events = switch.events()
    assert [await anext(events), await anext(events)] == [Connected(), VifsChanged({})]
    ports = await switch.ensure_ports([TunnelPort("bfd1", "geneve", Ip("192.0.2.2"))])

    switch.set_health(Ip("192.0.2.2"), is_up=False)
    down = set(switch.tables.dead_ports)
    switch.set_health(Ip("192.0.2.2"), is_up=True)

    assert down == {ports["bfd1"]}
    assert switch.tables.dead_ports == set()
    heard = [await anext(events), await anext(events)]
    assert heard == [TunnelHealth(Ip("192.0.2.2"), is_up=False), TunnelHealth(Ip("192.0.2.2"), is_up=True)]


async def test_connections_are_forgotten_one_by_one_or_by_zone() -> None:
    """A connection named in full goes alone; a name that fits none does nothing."""
    switch = SimulatedSwitch("s1")
    await switch.apply(FlowDiff(TRACK))
    for frame in (udp(THERE, (5, 6)), udp(THERE, (7, 6)), echo(THERE, 9)):
        switch.tables.process(frame, 1)
    one = ConnectionTuple(ConnectionProtocol.UDP, Ip("10.0.0.1"), Ip("10.0.0.2"), 5, 6)
    ping = ConnectionTuple(ConnectionProtocol.ICMP, Ip("10.0.0.1"), Ip("10.0.0.2"), 9, 8 << 8)

    counts = [len(await switch.dump_conntrack(3))]
    for connection in (one._replace(target_port=8), one, ping):
        await switch.flush_conntrack(3, connection)
        counts.append(len(await switch.dump_conntrack(3)))
    await switch.flush_conntrack(3)

    assert counts == [3, 3, 2, 1]
    assert await switch.dump_conntrack(3) == []
