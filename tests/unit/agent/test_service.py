"""One agent on a simulated switch: from goal state to acknowledged flows, through every kind of interruption."""

import asyncio

import pytest

from alcor.agent.doubt import DOUBT_S
from alcor.agent.driver import PacketIn
from alcor.agent.loss import STABLE_S
from alcor.agent.simulated import SimulatedSwitch
from alcor.bus.interface import Ack, Envelope, LossReport, PortReport, ScopeUpdate
from alcor.goalstate.item import BridgeMapping, HostItem, ItemKind, Key, NetworkHost
from alcor.goalstate.router_item import FloatingIpItem, GatewayHost, GatewayItem, RouterGateway
from alcor.goalstate.scope import REGION, host_scope, neighbours_scope, network_scope
from alcor.model.address import Ip
from alcor.pipeline.conntrack import Connections
from tests.support.agent import (
    HOST,
    OTHER_VTEP,
    VTEP,
    Clock,
    FakeNcm,
    a_site,
    an_agent,
    expected,
    local_port,
    mac_of,
    neighbour,
    network,
    router,
    running,
    settled,
    subnet,
)
from tests.support.answers import dhcp

ALL = (REGION, host_scope(HOST), network_scope("net"), neighbours_scope("net"))


@pytest.fixture
def ncm() -> FakeNcm:
    ncm = FakeNcm()
    a_site(ncm)
    return ncm


@pytest.fixture
def switch() -> SimulatedSwitch:
    switch = SimulatedSwitch("s1")
    for number in (1, 2):
        switch.plug(f"port-{number}")
    return switch


async def test_confirmed_after_the_barrier(ncm: FakeNcm, switch: SimulatedSwitch) -> None:
    """An agent that finds goal state programs exactly its flows, and acknowledges every scope and port."""
    async with running(an_agent(ncm, switch)):
        assert switch.tables.flows == expected(ncm, switch)
        assert len(switch.tables.flows) > 50
        assert ncm.is_realized(*ALL)
        assert [(report.port_id, report.plugged, report.ofport) for report in ncm.reports] == [
            ("port-1", True, 101),
            ("port-2", True, 102),
        ]


async def test_numbers_are_saved_before_use(ncm: FakeNcm, switch: SimulatedSwitch) -> None:
    """A local number is in the switch's database before any flow: if it cannot be saved, there is no flow of it."""
    switch.refusals = ["disk full"]
    clock = Clock()
    async with running(an_agent(ncm, switch, clock)):
        assert clock.slept_s
        assert switch.numbers["port:port-1"] in (1, 2)
        assert switch.numbers["network:net"] == 1
        assert switch.tables.flows == expected(ncm, switch)


async def test_an_unchanged_view_sends_nothing(ncm: FakeNcm, switch: SimulatedSwitch) -> None:
    """Heads, an equal item and a reconnect send no message to the switch (I13)."""
    async with running(an_agent(ncm, switch)):
        counts = (switch.counts.applies, switch.counts.saves, switch.counts.compares)

        ncm.put(local_port(1), neighbour(1))
        ncm.commit()
        await settled()
        ncm.disconnect()
        await settled()

        assert (switch.counts.applies, switch.counts.saves, switch.counts.compares) == counts
        assert ncm.is_realized(*ALL)


async def test_a_restarted_agent_changes_nothing(ncm: FakeNcm, switch: SimulatedSwitch) -> None:
    """A new process with no memory reads its numbers back and finds every flow right: no change at all (I11)."""
    async with running(an_agent(ncm, switch)):
        pass
    before, numbers, changes = dict(switch.tables.flows), dict(switch.numbers), switch.counts.changes
    ncm.messages.clear()

    async with running(an_agent(ncm, switch)):
        assert switch.counts.changes == changes
        assert switch.tables.flows == before
        assert switch.numbers == numbers
        assert ncm.is_realized(*ALL)
        assert {report.port_id for report in ncm.reports} == {"port-1", "port-2"}


async def test_nothing_is_removed_before_in_sync(ncm: FakeNcm, switch: SimulatedSwitch) -> None:
    """A restarted agent removes nothing while its knowledge is not whole; in sync it sweeps what is stale (I12)."""
    async with running(an_agent(ncm, switch)):
        pass
    before = dict(switch.tables.flows)
    ncm.remove_port(2)
    ncm.is_reachable = False

    async with running(an_agent(ncm, switch)):
        assert switch.tables.flows == before
        ncm.is_reachable = True
        await settled()

        assert switch.tables.flows == expected(ncm, switch)
        assert len(switch.tables.flows) < len(before)
        assert "port:port-2" not in switch.numbers


async def test_fail_static(ncm: FakeNcm, switch: SimulatedSwitch) -> None:
    """While the region is gone flows stay, and a VIF of a known port is still served."""
    async with running(an_agent(ncm, switch)):
        before = dict(switch.tables.flows)
        ncm.is_reachable = False
        ncm.disconnect()
        await settled()
        assert switch.tables.flows == before

        switch.unplug("port-1")
        await settled()
        assert len(switch.tables.flows) < len(before)
        assert switch.plug("port-1") == 103
        await settled()

        assert len(switch.tables.flows) == len(before)
        ncm.is_reachable = True
        ncm.messages.clear()
        await settled()
        assert [(report.port_id, report.ofport) for report in ncm.reports] == [
            ("port-1", 103),
            ("port-2", 102),
        ]


async def test_vif_transitions(ncm: FakeNcm, switch: SimulatedSwitch) -> None:
    """A plug is reported with the time of its barrier, an unplug with its own, each once."""
    clock = Clock()
    async with running(an_agent(ncm, switch, clock)):
        ncm.messages.clear()
        clock.s = 2_000.0
        switch.unplug("port-2")
        await settled()
        clock.s = 3_000.0
        switch.plug("port-2")
        await settled()
        ncm.commit()
        await settled()

        assert ncm.reports == [
            PortReport("port-2", False, 0, 2_000_000.0),
            PortReport("port-2", True, 103, 3_000_000.0),
        ]


async def test_a_vif_of_an_unknown_port(ncm: FakeNcm, switch: SimulatedSwitch) -> None:
    """A VIF whose port the region has not told yet gets no flow and no report; both follow when it is told."""
    switch.plug("port-3")
    async with running(an_agent(ncm, switch)):
        assert "port-3" not in {report.port_id for report in ncm.reports}

        ncm.put(local_port(3), neighbour(3))
        await settled()

        assert switch.tables.flows == expected(ncm, switch)
        assert ncm.reports[-1].port_id == "port-3"


async def test_switch_restart(ncm: FakeNcm, switch: SimulatedSwitch) -> None:
    """A switch that comes back empty gets its meters and flows again without being asked, with the same numbers."""
    async with running(an_agent(ncm, switch)):
        before, meters, numbers = dict(switch.tables.flows), dict(switch.meters), dict(switch.numbers)
        ncm.messages.clear()
        switch.stop("killed")
        await settled()
        assert ncm.details[-1] == "the switch is gone: killed"

        switch.start()
        await settled()

        # Told at once, by the barrier: it is not gone any more before its flows are there.
        assert ncm.details[-1] == ""
        assert switch.tables.flows == before
        assert switch.meters == meters
        assert switch.numbers == numbers
        assert ncm.reports == []
        ncm.messages.clear()
        ncm.disconnect()
        await settled()
        assert ncm.details == [""]


async def test_a_refused_change(ncm: FakeNcm, switch: SimulatedSwitch) -> None:
    """A refusal is said in a heartbeat, compared and repaired with growing delays, and acknowledged only then."""
    clock = Clock()
    async with running(an_agent(ncm, switch, clock)):
        switch.refusals = ["bad action", "bad action", "bad action"]
        compares = switch.counts.compares
        ncm.messages.clear()
        ncm.put(neighbour(91, vtep=OTHER_VTEP))
        await settled()

        assert switch.refusals == []
        assert switch.counts.compares == compares + 3
        assert clock.slept_s == [0.025, 0.05, 0.1]
        assert "s1: bad action" in ncm.details
        assert ncm.details[-1] == ""
        assert switch.tables.flows == expected(ncm, switch)
        assert ncm.is_realized(*ALL)
        refused = next(i for i, message in enumerate(ncm.messages) if getattr(message, "detail", ""))
        assert not any(isinstance(message, Ack) for message in ncm.messages[:refused])


async def test_freed_numbers(ncm: FakeNcm, switch: SimulatedSwitch) -> None:
    """A deleted port's flows go, then its number; the number rests before another port gets it."""
    clock = Clock()
    async with running(an_agent(ncm, switch, clock)):
        number = switch.numbers["port:port-2"]
        ncm.remove_port(2)
        await settled()
        assert "port:port-2" not in switch.numbers
        assert switch.tables.flows == expected(ncm, switch)

        ncm.put(local_port(3), neighbour(3))
        await settled()
        assert switch.numbers["port:port-3"] != number

        clock.s += 61.0
        ncm.put(local_port(4), neighbour(4))
        await settled()
        assert switch.numbers["port:port-4"] == number


async def test_a_scope_dropped(ncm: FakeNcm, switch: SimulatedSwitch) -> None:
    """When its last port goes the network is dropped: its flows and its number go, nothing else does."""
    async with running(an_agent(ncm, switch)) as agent:
        ncm.remove_port(1)
        ncm.remove_port(2)
        await settled()

        assert switch.tables.flows == expected(ncm, switch)
        assert agent.status()["positions"].keys() == {"region:", f"host:{HOST}"}
        assert switch.numbers.keys() == {"epoch"}


async def test_a_second_network(ncm: FakeNcm, switch: SimulatedSwitch) -> None:
    """A port in another network brings that network; networks of one type share a tunnel port."""
    async with running(an_agent(ncm, switch)):
        switch.plug("port-5")
        ncm.put(
            network("other", 200),
            NetworkHost(id=HOST, vtep=VTEP),
            network_id="other",
        )
        ncm.put(local_port(5, "other"), neighbour(5), network_id="other")
        await settled()

        assert switch.numbers["network:other"] == 2
        assert switch.tunnels == {"vxlan": 1}
        assert ncm.is_realized(*ALL, network_scope("other"), neighbours_scope("other"))
        assert ncm.reports[-1].port_id == "port-5"


async def test_tunnels_are_warmed(ncm: FakeNcm, switch: SimulatedSwitch) -> None:
    """Every other host of the networks is resolved in the underlay, the host itself is not."""
    async with running(an_agent(ncm, switch)):
        assert switch.warmed == {OTHER_VTEP}

        ncm.put(NetworkHost(id="host-3", vtep="192.0.2.3"))
        await settled()
        assert switch.warmed == {OTHER_VTEP, "192.0.2.3"}


async def test_the_slow_are_not_acknowledged(ncm: FakeNcm, switch: SimulatedSwitch) -> None:
    """What has not arrived is not acknowledged, and many revisions that arrive together are one turn."""
    async with running(an_agent(ncm, switch)) as agent:
        turns, before = agent.status()["counters"]["turns"], ncm.realized
        ncm.is_slow = True
        for number in range(10, 20):
            ncm.put(neighbour(number, vtep=OTHER_VTEP))
        await settled()
        assert ncm.realized == before

        ncm.flush()
        await settled()
        assert ncm.is_realized(*ALL)
        assert agent.status()["counters"]["turns"] == turns + 1
        assert switch.tables.flows == expected(ncm, switch)


async def test_cancellation_leaves_flows(ncm: FakeNcm, switch: SimulatedSwitch) -> None:
    """Ending the agent leaves all flows as they are, also in the middle of a turn."""
    agent = an_agent(ncm, switch)
    async with running(agent):
        before = dict(switch.tables.flows)
        ncm.put(neighbour(91, vtep=OTHER_VTEP))

    assert set(before) <= set(switch.tables.flows)


async def test_a_flood_of_punts(ncm: FakeNcm, switch: SimulatedSwitch) -> None:
    """Packets that nobody could have sent are counted and neither answered nor fatal."""
    async with running(an_agent(ncm, switch)) as agent:
        for _ in range(1_000):
            switch.punt(PacketIn(101, 12, b"\0" * 60, {"reg14": switch.numbers["port:port-1"]}))
        switch.punt(PacketIn(101, 12, b"\0" * 60, {"reg14": 4_711}))
        await settled()

        assert agent.status()["counters"]["punts"] == {"malformed": 50, "over_rate": 950, "unknown_port": 1}
        assert switch.sent == []


async def test_an_answer_to_a_vif_that_went(ncm: FakeNcm, switch: SimulatedSwitch) -> None:
    """An answer that waits while its VIF is replaced is not sent: the port number may be another's by now."""
    discover = dhcp(("message-type", "discover"), chaddr=bytes.fromhex(mac_of(1).replace(":", "")))
    async with running(an_agent(ncm, switch)) as agent:
        packet = PacketIn(101, 12, discover, {"reg14": switch.numbers["port:port-1"]})
        switch.punt(packet)
        await settled()
        assert [ofport for ofport, _ in switch.sent] == [101]

        switch.punt(packet)
        switch.unplug("port-1")
        await settled()

        assert len(switch.sent) == 1
        assert agent.status()["counters"]["punts"] == {"dhcpv4_discover": 2}


async def test_status(ncm: FakeNcm, switch: SimulatedSwitch) -> None:
    """The status says host, region, switch, sync, positions, ports and counters."""
    async with running(an_agent(ncm, switch)) as agent:
        status = agent.status()

        assert status["host"] == {"id": HOST, "name": HOST, "vtep_addresses": [VTEP]}
        assert status["region"]["state"] == "connected"
        assert status["switch"]["flows"] == len(switch.tables.flows)
        assert status["in_sync"] is True
        assert status["missing"] == []
        assert status["hold"] == ""
        assert status["positions"] == {str(scope): ncm.revision for scope in ALL}
        assert status["ports"]["port-1"] == {
            "name": "vm-1",
            "network_id": "net",
            "plugged": True,
            "closed": False,
            "obstacles": [],
            "ofport": 101,
            "port_key": 1,
            "zone": 1,
        }


async def test_refused(ncm: FakeNcm, switch: SimulatedSwitch) -> None:
    """A refused agent says why in its status and asks again slowly, not in a loop."""
    ncm.refusal = "unknown host"
    clock = Clock()
    agent = an_agent(ncm, switch, clock)
    async with running(agent):
        assert agent.status()["region"]["state"] in ("refused", "connecting")
        assert agent.status()["region"]["error"] == "unknown host"
        assert min(clock.slept_s) >= 30.0


async def test_an_unreadable_item(ncm: FakeNcm, switch: SimulatedSwitch) -> None:
    """An item that cannot be read costs the stream, is named in the status, and changes nothing in the switch."""
    async with running(an_agent(ncm, switch)) as agent:
        before = dict(switch.tables.flows)
        step = ncm.step(network_scope("net"), 0)
        ncm.revision += 1
        broken = Envelope(Key(ItemKind.SUBNET, "subnet"), 0, (), b"\xff\xff\xff")
        ncm.is_reachable = False
        ncm.deliver(
            ScopeUpdate(
                scope=step.scope,
                epoch=ncm.epoch,
                generation=1,
                from_revision=ncm.revision - 1,
                through=ncm.revision,
                put=(broken,),
            )
        )
        for _ in range(3):
            await asyncio.sleep(0)
        await settled()

        assert switch.tables.flows == before
        assert agent.status()["region"]["state"] != "connected"


async def test_a_region_of_an_older_epoch(ncm: FakeNcm, switch: SimulatedSwitch) -> None:
    """A stream that would lead back to an older epoch is not used (I9)."""
    async with running(an_agent(ncm, switch)) as agent:
        before = dict(switch.tables.flows)
        ncm.epoch -= 1
        ncm.items.clear()
        ncm.disconnect()
        await settled()

        assert agent.status()["region"]["state"] != "connected"
        assert "epoch" in agent.status()["region"]["error"]
        assert switch.tables.flows == before


async def test_subnet_change_is_advertised(ncm: FakeNcm, switch: SimulatedSwitch) -> None:
    """Plugged ports hear at once when what is advertised to them changes."""
    async with running(an_agent(ncm, switch)):
        assert switch.sent == []
        ncm.put(
            subnet(
                "six", cidr="2001:db8::/64", gateway_ip=None, ipv6_ra_mode="slaac", ipv6_address_mode="slaac"
            )
        )
        await settled()

        assert sorted(ofport for ofport, _ in switch.sent) == [101, 102]


async def test_a_taken_zone_is_flushed(ncm: FakeNcm, switch: SimulatedSwitch) -> None:
    """The connections a zone's last owner left are forgotten before its number is used again, and only then."""
    flushed: list[int | None] = []

    class Spied(Connections):
        def flush(self, zone: int | None = None) -> None:
            flushed.append(zone)
            super().flush(zone)

    switch.tables.connections = Spied()
    async with running(an_agent(ncm, switch)):
        assert flushed == [1, 2]
        ncm.put(local_port(1, routers=("router",)), router())
        await settled()
        assert flushed == [1, 2, 32_769]
    async with running(an_agent(ncm, switch)):
        assert len(flushed) == 3


async def test_a_gateway_host_is_lost(ncm: FakeNcm, switch: SimulatedSwitch) -> None:
    """What the switch says of a watched gateway host is known to the pipeline, and forgotten when it is not watched."""
    async with running(an_agent(ncm, switch)) as agent:
        watched = router(gateway_hosts=(GatewayHost("host-2", OTHER_VTEP),))
        ncm.put(local_port(1, routers=("router",)), watched)
        await settled()
        assert agent.allocation.probes.keys() == {("vxlan", OTHER_VTEP)}

        switch.set_health(Ip(OTHER_VTEP), is_up=False)
        await settled()
        assert agent.allocation.lost_vteps == {OTHER_VTEP}
        assert agent.status()["switch"]["lost_vteps"] == [OTHER_VTEP]
        switch.set_health(Ip(OTHER_VTEP), is_up=True)
        await settled()
        assert agent.allocation.lost_vteps == frozenset()

        switch.set_health(Ip(OTHER_VTEP), is_up=False)
        ncm.put(local_port(1))
        await settled()
        assert (agent.allocation.lost_vteps, agent.allocation.probes) == (frozenset(), {})


async def test_a_gateway_host_that_was_never_reached_is_lost_after_a_while(
    ncm: FakeNcm, switch: SimulatedSwitch
) -> None:
    """A watch begins with "down"; only one that stays so says something."""
    clock = Clock()
    async with running(an_agent(ncm, switch, clock)) as agent:
        ncm.put(
            local_port(1, routers=("router",)), router(gateway_hosts=(GatewayHost("host-2", OTHER_VTEP),))
        )
        await settled()
        switch.set_health(Ip(OTHER_VTEP), is_up=False, was_up=False)
        await settled()
        early = agent.allocation.lost_vteps
        clock.s += DOUBT_S
        ncm.put(neighbour(91, vtep=OTHER_VTEP))  # the fake clock wakes nobody
        await settled()

        assert early == frozenset()
        assert agent.allocation.lost_vteps == {OTHER_VTEP}


async def test_a_lost_gateway_host_is_told_by_who_serves_in_its_place(
    ncm: FakeNcm, switch: SimulatedSwitch
) -> None:
    """When the loss has lasted; and again when the region is reached anew."""
    clock = Clock()
    hosts = (GatewayHost("host-2", OTHER_VTEP), GatewayHost(HOST, VTEP))
    gateway = RouterGateway(id="gw", network_id="net", mac=mac_of(700), addresses=(), snat=True)
    async with running(an_agent(ncm, switch, clock)):
        ncm.put(local_port(1, routers=("router",)), router(gateway_hosts=hosts, gateways=(gateway,)))
        ncm.put(GatewayItem(id="router", networks=("net",)))
        await settled()
        switch.set_health(Ip(OTHER_VTEP), is_up=True)
        await settled()
        switch.set_health(Ip(OTHER_VTEP), is_up=False)
        await settled()
        at_ms = clock.unix_ms()
        early = _losses(ncm)
        clock.s += STABLE_S
        ncm.put(neighbour(91, vtep=OTHER_VTEP))
        await settled()
        late = _losses(ncm)
        ncm.disconnect()
        await settled()
        again = _losses(ncm)

    assert early == []
    assert late == [LossReport("host-2", at_ms)]
    assert again == late * 2


def _losses(ncm: FakeNcm) -> list[LossReport]:
    return [loss for message in ncm.messages if isinstance(message, Ack) for loss in message.losses]


async def test_a_bridge_that_is_not_there(ncm: FakeNcm, switch: SimulatedSwitch) -> None:
    """A cable that cannot be made is complained of in the heartbeat, keeps nothing else, and is tried again."""
    clock = Clock()
    async with running(an_agent(ncm, switch, clock)) as agent:
        switch.refusals = ["there is no bridge br-x"]
        mapped = HostItem(
            id=HOST,
            name=HOST,
            vtep_addresses=(VTEP,),
            token_digest="",
            bridge_mappings=(BridgeMapping("physnet", "br-x"),),
        )
        ncm.put(mapped)
        await settled()
        assert ncm.is_realized(*ALL)
        assert agent.detail() == "s1: there is no bridge br-x"
        assert agent.allocation.providers == {}

        clock.s += 6.0
        ncm.put(neighbour(91, vtep=OTHER_VTEP))
        await settled()
        assert agent.detail() == ""
        assert agent.allocation.providers == {"physnet": next(iter(switch.ports.values()))}


async def test_a_port_that_moved_is_forwarded(ncm: FakeNcm, switch: SimulatedSwitch) -> None:
    """What arrives for a port that has just moved is sent on for five seconds."""
    clock = Clock()
    async with running(an_agent(ncm, switch, clock)) as agent:
        ncm.put(local_port(2, is_active=False), neighbour(2, vtep=OTHER_VTEP))
        await settled()
        assert agent.allocation.forwarding == {"port-2": OTHER_VTEP}

        clock.s += 5.0
        ncm.put(neighbour(91, vtep=OTHER_VTEP))
        await settled()
        assert agent.allocation.forwarding == {}
        assert switch.tables.flows == expected(ncm, switch)


async def test_status_of_routers(ncm: FakeNcm, switch: SimulatedSwitch) -> None:
    """The status says what each router is to this host, its zone, its floating IPs, and why a port is closed."""
    hosts = (GatewayHost(HOST, VTEP), GatewayHost("host-2", OTHER_VTEP))
    floating_ip = FloatingIpItem(
        id="fip",
        ip="203.0.113.9",
        mac="fe:00:00:00:00:09",
        network_id="net",
        router_id="router",
        port_id="port-1",
    )
    async with running(an_agent(ncm, switch)) as agent:
        ncm.put(local_port(1, routers=("router",)), router(gateway_hosts=hosts), floating_ip)
        ncm.put(GatewayItem(id="router", networks=("net",)))
        ncm.put(local_port(2, groups=("unwritten",)))
        await settled()

        status = agent.status()
        assert status["routers"] == {
            "router": {
                "router_key": 1,
                "zone": 32_769,
                "networks": ["net"],
                "gateway_hosts": [HOST, "host-2"],
                "is_gateway": True,
                "is_active": True,
            }
        }
        told = {"ip": "203.0.113.9", "router_id": "router", "port_id": "port-1", "is_central": False}
        assert status["floating_ips"] == {"fip": told}
        assert status["ports"]["port-1"]["obstacles"] == []
        assert status["ports"]["port-2"]["obstacles"] == [
            "rules:unwritten has no item of its own, or not all of its parts"
        ]
