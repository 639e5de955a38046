"""Whom the switch's flows speak to, as an earlier process left them."""

import asyncio
from ipaddress import IPv4Address, IPv6Address

from alcor.agent.peer import Peers
from alcor.agent.simulated import SimulatedSwitch
from alcor.goalstate.scope import neighbours_scope
from alcor.pipeline.flow import Flow, match
from alcor.pipeline.tables import Priority, Table, UnitKind
from alcor.pipeline.unit import Unit, cookie_of, neighbour_unit
from alcor.pipeline.view import Allocation

DEMAND = Flow(Table.ASK, Priority.MISS, match(), (), cookie_of(Unit(UnitKind.DEMAND)))


def towards(network: str, port_id: str, key: int, mac: int) -> Flow:
    """The flow to a port elsewhere."""
    terms = match(metadata=key, eth_dst=mac)
    return Flow(Table.L2_REMOTE, Priority.NORMAL, terms, (), cookie_of(neighbour_unit(network, port_id)))


def a_switch(*flows: Flow) -> SimulatedSwitch:
    switch = SimulatedSwitch("s1")
    for flow in flows:
        switch.tables.put(flow)
    return switch


async def found(switch: SimulatedSwitch, **network_keys: int) -> dict[str, tuple[str, ...]]:
    peers = Peers(switch, Allocation(network_keys=network_keys))
    await peers.find()
    return {scope.id: macs for scope, macs in peers.sought.items()}


async def test_peers_are_read_by_network() -> None:
    """Of each network that has its number still; others' flows tell of nobody."""
    switch = a_switch(
        DEMAND,
        towards("a", "p1", 5, 0xFA163E000001),
        towards("a", "p2", 5, 0xFA163E000002),
        towards("b", "p3", 6, 0xFA163E000001),
        towards("gone", "p4", 7, 0xFA163E000004),
    )

    assert await found(switch, a=5, b=6) == {
        "a": ("fa:16:3e:00:00:01", "fa:16:3e:00:00:02"),
        "b": ("fa:16:3e:00:00:01",),
    }


async def test_members_of_groups_are_read_too() -> None:
    """Of both directions and families, by the network that the flow is for."""
    unit = cookie_of(Unit(UnitKind.SET, "group"))
    four, six = int(IPv4Address("10.0.0.5")), int(IPv6Address("fd00::5"))
    switch = a_switch(
        DEMAND,
        Flow(Table.INGRESS_SET, 132, match(metadata=5, eth_type=0x0800, ipv4_src=four), (), unit),
        Flow(Table.EGRESS_SET, 228, match(metadata=5, eth_type=0x86DD, ipv6_dst=six), (), unit),
        Flow(Table.INGRESS_SET, 132, match(metadata=9, eth_type=0x0800, ipv4_src=four), (), unit),
    )

    assert await found(switch, a=5, b=6) == {"a": ("10.0.0.5", "fd00::5")}


async def test_where_nothing_was_held_on_demand_nobody_is_sought() -> None:
    """All of a network that is held whole comes anyway."""
    assert await found(a_switch(towards("a", "p1", 5, 1)), a=5) == {}


async def test_the_switch_is_read_once() -> None:
    """What the agent itself puts later is in its view."""
    switch = a_switch(DEMAND)
    peers = Peers(switch, Allocation(network_keys={"a": 5}))
    waiting = asyncio.create_task(peers.known())
    await peers.find()
    switch.tables.put(towards("a", "p1", 5, 1))

    await peers.find()

    await waiting
    assert peers.sought == {}
    assert neighbours_scope("a") not in peers.sought
