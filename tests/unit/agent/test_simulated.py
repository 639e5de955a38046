"""The simulated switch and the fabric of several: packets through flows, tunnels and agents."""

from dataclasses import dataclass, field

import pytest
from scapy.layers.dhcp import BOOTP

from alcor.agent.driver import Connected, FlowDiff, Lost, RawKey, SwitchError, VifsChanged
from alcor.agent.service import Agent
from alcor.agent.simulated import Delivery, Fabric, SimulatedSwitch
from alcor.goalstate.item import Address, HostItem, NetworkHost
from alcor.goalstate.scope import host_scope, neighbours_scope, network_scope, rules_scope
from alcor.pipeline.flow import Flow, MeterSpec, Output, match
from tests.support.agent import (
    A_REGION,
    HOST,
    OTHER_VTEP,
    RESPONDER_MAC,
    VTEP,
    FakeNcm,
    an_agent,
    local_port,
    mac_of,
    neighbour,
    network,
    open_group,
    running,
    settled,
    subnet,
)
from tests.support.answers import dhcp, parsed
from tests.support.packets import BROADCAST, is_at, udp, who_has

A_FLOW = Flow(0, 100, match(in_port=1), (Output(2),), 0xA1 << 56 | 7)


async def test_events_begin_with_the_state() -> None:
    """A reader is told that the switch is there and what is plugged; later, what happens to it."""
    switch = SimulatedSwitch("s1")
    switch.plug("a")
    events = switch.events()

    assert [await anext(events), await anext(events)] == [Connected(), VifsChanged({"a": 101})]
    switch.plug("b")
    assert await anext(events) == VifsChanged({"a": 101, "b": 102})
    switch.unplug("a")
    assert await anext(events) == VifsChanged({"b": 102})
    switch.restart()
    assert [await anext(events) for _ in range(3)] == [
        Lost("the switch was restarted"),
        Connected(),
        VifsChanged({"b": 102}),
    ]


async def test_compare_and_apply() -> None:
    """What compare says is different is right after apply; then it says nothing."""
    switch = SimulatedSwitch("s1")
    meter = MeterSpec(1, 10, 20)
    desired = {A_FLOW.key: A_FLOW}

    diff = await switch.compare(desired, [meter])
    assert diff == FlowDiff([A_FLOW], [], [meter])
    await switch.apply(diff)

    assert not await switch.compare(desired, [meter])
    assert await switch.compare({}, []) == FlowDiff([], [A_FLOW.key], [], (), (1,))
    assert (switch.counts.applies, switch.counts.puts, switch.counts.compares) == (1, 1, 3)


async def test_a_switch_that_is_down_refuses_everything() -> None:
    """While the switch is down every call says so; its database outlives it and its flows do not."""
    switch = SimulatedSwitch("s1")
    await switch.save_numbers({"port:a": 1})
    await switch.apply(FlowDiff([A_FLOW]))
    switch.stop("killed")
    with pytest.raises(SwitchError, match="s1: the switch is down"):
        await switch.load_numbers()
    with pytest.raises(SwitchError):
        await switch.send_packet(b"", 1)

    switch.start()

    assert await switch.load_numbers() == {"port:a": 1}
    assert switch.tables.flows == {}


async def test_keys_of_another_driver() -> None:
    """A raw key of another driver is refused by name."""
    with pytest.raises(SwitchError, match="not a key of this driver"):
        await SimulatedSwitch("s1").apply(FlowDiff(remove=[RawKey(0, 1, b"x")]))


@dataclass
class TwoHosts:
    """Two hosts with one VM each on one network: port-1 on host-1, port-2 on host-2."""

    fabric: Fabric = field(default_factory=Fabric)
    first: SimulatedSwitch = field(default_factory=lambda: SimulatedSwitch("s1"))
    second: SimulatedSwitch = field(default_factory=lambda: SimulatedSwitch("s2"))

    def __post_init__(self) -> None:
        self.fabric.add(self.first)
        self.fabric.add(self.second)
        self.first.plug("port-1")
        self.second.plug("port-2")

    def region_of(self, number: int, vtep: str, *, vni: int = 100) -> FakeNcm:
        """What the region tells the host with this one port. Both hosts are called host-1 in their own region."""
        ncm = FakeNcm()
        port = local_port(number, addresses=(Address("subnet", f"10.0.0.{number}"),), groups=("open",))
        ncm.commit(
            put=[
                (host_scope(HOST), HostItem(id=HOST, name=HOST, vtep_addresses=(vtep,), token_digest="")),
                (host_scope(HOST), port),
                (rules_scope("open"), open_group()),
                (network_scope("net"), network(vni=vni)),
                (network_scope("net"), subnet()),
                (network_scope("net"), NetworkHost(id="a", vtep=VTEP)),
                (network_scope("net"), NetworkHost(id="b", vtep=OTHER_VTEP)),
                (neighbours_scope("net"), neighbour(1, vtep=VTEP)),
                (neighbours_scope("net"), neighbour(2, vtep=OTHER_VTEP)),
            ]
        )
        return ncm

    def agents(self, *, second_vni: int = 100) -> tuple[Agent, Agent]:
        """Their agents."""
        first = an_agent(self.region_of(1, VTEP), self.first)
        return first, an_agent(self.region_of(2, OTHER_VTEP, vni=second_vni), self.second)


async def test_a_frame_through_the_tunnel() -> None:
    """A unicast frame leaves by the peer's VIF on the other host, and only there."""
    hosts = TwoHosts()
    first, second = hosts.agents()
    async with running(first), running(second):
        frame = is_at("10.0.0.1", mac_of(1), (mac_of(2), "10.0.0.2"))

        assert hosts.fabric.send("s1", 101, frame) == [Delivery("s2", 101, frame)]
        broadcast = udp((mac_of(1), BROADCAST), ("10.0.0.1", "10.0.0.255"), (5_000, 5_000), b"hello")
        assert hosts.fabric.send("s1", 101, broadcast) == [Delivery("s2", 101, broadcast)]
        spoofed = udp((mac_of(1), BROADCAST), ("10.0.0.9", "10.0.0.255"), (5_000, 5_000), b"hello")
        assert hosts.fabric.send("s1", 101, spoofed) == []


async def test_arp_is_answered_on_the_spot() -> None:
    """An ARP request for a peer is answered by the own switch and never crosses the fabric."""
    hosts = TwoHosts()
    first, second = hosts.agents()
    async with running(first), running(second):
        found = hosts.fabric.send("s1", 101, who_has("10.0.0.2", (mac_of(1), "10.0.0.1")))

        assert found == [Delivery("s1", 101, is_at("10.0.0.2", mac_of(2), (mac_of(1), "10.0.0.1")))]


async def test_another_segment_is_another_network() -> None:
    """If the peer's host knows the network by another segment nothing arrives."""
    hosts = TwoHosts()
    first, second = hosts.agents(second_vni=200)
    async with running(first), running(second):
        frame = is_at("10.0.0.1", mac_of(1), (mac_of(2), "10.0.0.2"))

        assert hosts.fabric.send("s1", 101, frame) == []


async def test_dhcp_through_the_agent() -> None:
    """A DISCOVER is punted with its port's key, answered by the agent, and leaves by the port's VIF."""
    hosts = TwoHosts()
    first, second = hosts.agents()
    discover = dhcp(("message-type", "discover"), chaddr=bytes.fromhex(mac_of(1).replace(":", "")))
    discover = discover[:6] + bytes.fromhex(mac_of(1).replace(":", "")) + discover[12:]
    async with running(first), running(second):
        assert hosts.fabric.send("s1", 101, discover) == []
        await settled()

        (answer,) = hosts.fabric.answers("s1")
        assert (answer.switch, answer.ofport) == ("s1", 101)
        offer = parsed(answer.frame)
        assert offer[BOOTP].yiaddr == "10.0.0.1"
        assert offer.src == RESPONDER_MAC == A_REGION.responder_mac
        assert hosts.fabric.answers("s1") == hosts.fabric.answers("s2") == []
