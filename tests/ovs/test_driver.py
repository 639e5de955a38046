"""The Open vSwitch driver's session: bridge, interfaces, numbers, tunnels, and switches that die."""

import signal
from collections.abc import Iterator

import pytest

from alcor.agent.driver import Connected, FlowDiff, Lost, PacketIn, SwitchError, VifsChanged
from alcor.agent.ovs.switch import OvsSwitch
from alcor.pipeline.flow import Controller, Field, Flow, Output, Resubmit, SetField, match
from alcor.pipeline.tables import COOKIE_OURS
from tests.support.ovs import OvsPair, a_connected_driver, a_driver, a_namespace, an_ovs_pair, eventually

pytestmark = pytest.mark.ovs


@pytest.fixture(scope="module")
def pair() -> Iterator[OvsPair]:
    """A running switch for the tests that do not kill it."""
    with a_namespace("tdv") as namespace, an_ovs_pair(namespace=namespace) as running:
        running.ip("address", "add", "192.0.2.1/24", "dev", "lo")
        running.ip("address", "add", "2001:db8::1/64", "dev", "lo")
        yield running


@pytest.fixture
def own_pair() -> Iterator[OvsPair]:
    """A running switch for one test, which may kill it."""
    with a_namespace("tdk") as namespace, an_ovs_pair(namespace=namespace) as running:
        yield running


def plug(pair: OvsPair, bridge: str, name: str, vif: str) -> None:
    """Plug an interface, as a compute service does."""
    pair.vsctl(
        *("--", "add-port", bridge, name),
        *("--", "set", "interface", name, "type=internal", f"external_ids:iface-id={vif}"),
    )


def ofport(pair: OvsPair, name: str) -> int:
    """The OpenFlow port number of an interface."""
    return int(pair.vsctl("get", "interface", name, "ofport"))


def transmitted(pair: OvsPair, bridge: str, port: int) -> str:
    """The line of a port's counters about what it sent."""
    (line,) = [line for line in pair.ofctl("dump-ports", bridge, str(port)).splitlines() if "tx pkts" in line]
    return line


async def test_a_bridge_is_made_secure_and_without_controller(pair: OvsPair, bridge: str) -> None:
    """A bridge that is not there is created: secure, no controller, OpenFlow 1.5 spoken."""
    async with a_driver(pair, bridge=bridge) as (_, heard):
        first, second = await heard.next(), await heard.next()

    assert first == Connected()
    assert second == VifsChanged({})
    assert pair.vsctl("get", "bridge", bridge, "fail_mode").strip() == "secure"
    assert pair.vsctl("get", "bridge", bridge, "controller").strip() == "[]"
    assert "OpenFlow15" in pair.vsctl("get", "bridge", bridge, "protocols")
    assert pair.vsctl("get", "bridge", bridge, "datapath_type").strip() == "netdev"


async def test_an_existing_bridge_is_adopted_with_its_ports_and_foreign_flows(
    pair: OvsPair, bridge: str
) -> None:
    """Adopting a secure bridge keeps ports, their numbers, foreign flows, protocols and external_ids."""
    pair.vsctl("add-br", bridge, "--", "set", "bridge", bridge, "datapath_type=netdev", "fail_mode=secure")
    pair.vsctl("set", "bridge", bridge, "external_ids:site=a", "protocols=OpenFlow13,OpenFlow15")
    plug(pair, bridge, f"{bridge}p", "vif-old")
    old_ofport = ofport(pair, f"{bridge}p")
    pair.ofctl("add-flow", bridge, "table=0,priority=7,cookie=0x77,tcp,tp_dst=22,actions=NORMAL")
    pair.vsctl("set", "bridge", bridge, "protocols=OpenFlow13")

    async with a_driver(pair, bridge=bridge) as (switch, heard):
        await heard.until(Connected)
        vifs = await heard.until(VifsChanged)
        await switch.apply(await switch.compare({}, []))

    assert vifs.ofports == {"vif-old": old_ofport}
    flows = pair.ofctl("dump-flows", bridge, "--no-stats").strip()
    assert flows == "cookie=0x77, priority=7,tcp,tp_dst=22 actions=NORMAL"
    assert pair.vsctl("get", "bridge", bridge, "protocols").strip() == "[OpenFlow13, OpenFlow15]"
    assert pair.vsctl("get", "bridge", bridge, "external_ids:site").strip() == "a"


async def test_an_adopted_standalone_bridge_no_longer_switches_by_itself(pair: OvsPair, bridge: str) -> None:
    """The flow that sends everything everywhere is gone when the driver says Connected."""
    pair.vsctl("add-br", bridge, "--", "set", "bridge", bridge, "datapath_type=netdev")
    assert "NORMAL" in pair.ofctl("dump-flows", bridge)

    async with a_connected_driver(pair, bridge=bridge):
        assert "NORMAL" not in pair.ofctl("dump-flows", bridge)
    assert pair.vsctl("get", "bridge", bridge, "fail_mode").strip() == "secure"


async def test_the_controller_of_an_adopted_bridge_is_taken_off(pair: OvsPair, bridge: str) -> None:
    """A controller would have its own idea of the flows; Open vSwitch drops the controller's flows with it."""
    pair.vsctl("add-br", bridge, "--", "set", "bridge", bridge, "datapath_type=netdev", "fail_mode=secure")
    pair.vsctl("set-controller", bridge, "tcp:127.0.0.1:1")
    async with a_connected_driver(pair, bridge=bridge) as (switch, _):
        diff = await switch.compare({}, [])

    assert pair.vsctl("get", "bridge", bridge, "controller").strip() == "[]"
    assert not diff


async def test_plugging_and_unplugging_are_told_once(pair: OvsPair, bridge: str) -> None:
    """Each change of the plugged interfaces is one event with all of them; other changes are none."""
    async with a_connected_driver(pair, bridge=bridge) as (switch, heard):
        plug(pair, bridge, f"{bridge}a", "vif-a")
        one = await heard.next()
        pair.vsctl("set", "interface", f"{bridge}a", "external_ids:attached-mac=02:00:00:00:00:01")
        await switch.save_numbers({"port:x": 1})
        plug(pair, bridge, f"{bridge}b", "vif-b")
        two = await heard.next()
        pair.vsctl("del-port", bridge, f"{bridge}a")
        three = await heard.next()
        quiet = heard.nothing()
        b = ofport(pair, f"{bridge}b")

    assert isinstance(one, VifsChanged)
    assert set(one.ofports) == {"vif-a"}
    assert two == VifsChanged({"vif-a": one.ofports["vif-a"], "vif-b": b})
    assert three == VifsChanged({"vif-b": b})
    assert quiet


async def test_interfaces_of_other_bridges_are_not_ours(pair: OvsPair, bridge: str) -> None:
    """A VIF on another bridge of the same switch is no VIF of this one."""
    other = f"{bridge}o"
    pair.vsctl("add-br", other, "--", "set", "bridge", other, "datapath_type=netdev")
    plug(pair, other, f"{bridge}z", "vif-z")
    async with a_driver(pair, bridge=bridge) as (_, heard):
        vifs = await heard.until(VifsChanged)
    pair.vsctl("del-br", other)

    assert vifs == VifsChanged({})


async def test_of_two_interfaces_with_one_identity_the_first_plugged_wins(pair: OvsPair, bridge: str) -> None:
    """A later interface that claims the same iface-id changes nothing until the first one goes."""
    async with a_connected_driver(pair, bridge=bridge) as (_, heard):
        plug(pair, bridge, f"{bridge}1", "vif")
        first = await heard.until(VifsChanged)
        plug(pair, bridge, f"{bridge}2", "vif")
        plug(pair, bridge, f"{bridge}3", "vif-other")
        second = await heard.until(VifsChanged)
        late = ofport(pair, f"{bridge}2")
        pair.vsctl("del-port", bridge, f"{bridge}1")
        third = await heard.until(VifsChanged)

    assert second.ofports["vif"] == first.ofports["vif"] < late
    assert third.ofports["vif"] == late


async def test_local_numbers_survive_the_driver(pair: OvsPair, bridge: str) -> None:
    """Numbers are in the database when `save_numbers` returns; another driver reads them back."""
    many = {f"port:{n}": n + 1 for n in range(2_000)}
    async with a_connected_driver(pair, bridge=bridge) as (switch, _):
        await switch.save_numbers(many)
        await switch.save_numbers({"port:1": 70_000, "network:n": 5}, remove=["port:0", "port:absent"])
        seen = await switch.load_numbers()
    async with a_connected_driver(pair, bridge=bridge) as (again, _):
        read_back = await again.load_numbers()

    expected = {**many, "port:1": 70_000, "network:n": 5}
    del expected["port:0"]
    assert seen == expected
    assert read_back == expected


async def test_tunnel_ports_are_made_once_and_corrected(pair: OvsPair, bridge: str) -> None:
    """One flow-based port per type; asking again changes nothing; wrong options are put right."""
    async with a_connected_driver(pair, bridge=bridge) as (switch, _):
        first = await switch.ensure_tunnels(["192.0.2.1"], ["vxlan", "geneve"])
        again = await switch.ensure_tunnels(["192.0.2.1"], ["vxlan", "geneve"])
        pair.vsctl("set", "interface", "alcor-vxlan", "options:key=5", "options:remote_ip=192.0.2.9")
        corrected = await switch.ensure_tunnels(["2001:db8::1"], ["vxlan"])
        options = pair.vsctl("get", "interface", "alcor-vxlan", "options").strip()
        both = await switch.ensure_tunnels(["192.0.2.1", "2001:db8::1"], ["vxlan"])
        options_of_both = pair.vsctl("get", "interface", "alcor-vxlan", "options").strip()

    assert sorted(first) == ["geneve", "vxlan"]
    assert min(first.values()) > 0
    assert again == first
    assert corrected == {"vxlan": first["vxlan"]}
    assert options == '{key=flow, local_ip="2001:db8::1", remote_ip=flow}'
    assert both == corrected
    assert options_of_both == "{key=flow, remote_ip=flow}"


async def test_a_tunnel_that_cannot_be_made_says_why(pair: OvsPair, bridge: str) -> None:
    """The switch's own reason, and a port on a foreign bridge, are named."""
    other = f"{bridge}o"
    pair.vsctl(
        "add-br", bridge, "--", "set", "bridge", bridge, "datapath_type=netdev", "protocols=OpenFlow15"
    )
    tunnel = ("type=vxlan", "options:remote_ip=flow", "options:key=flow", "options:local_ip=192.0.2.1")
    pair.vsctl("add-port", bridge, f"{bridge}v", "--", "set", "interface", f"{bridge}v", *tunnel)
    pair.vsctl("add-br", other, "--", "set", "bridge", other, "datapath_type=netdev")
    pair.vsctl("add-port", other, "alcor-gre", "--", "set", "interface", "alcor-gre", "type=internal")
    try:
        async with a_connected_driver(pair, bridge=bridge) as (switch, _):
            with pytest.raises(SwitchError, match=r"alcor-vxlan: .*exists"):
                await switch.ensure_tunnels(["192.0.2.1"], ["vxlan"])
            with pytest.raises(SwitchError, match=f"alcor-gre is on another bridge than {bridge}"):
                await switch.ensure_tunnels(["192.0.2.1"], ["gre"])
            with pytest.raises(SwitchError, match="no tunnel type stt"):
                await switch.ensure_tunnels(["192.0.2.1"], ["stt"])
    finally:
        pair.vsctl("del-br", other)


async def test_everything_is_refused_while_the_switch_is_gone(pair: OvsPair, bridge: str) -> None:
    """Before the switch is connected, and after it is lost, methods raise and name the bridge."""
    switch = OvsSwitch(pair.folder / "nobody.sock", pair.folder, bridge=bridge)

    for attempt in (
        switch.load_numbers(),
        switch.compare({}, []),
        switch.ensure_tunnels(["192.0.2.1"], ["gre"]),
    ):
        with pytest.raises(SwitchError, match=f"{bridge} is gone: not connected yet"):
            await attempt


async def test_the_driver_waits_for_a_switch_that_is_not_there(own_pair: OvsPair) -> None:
    """Neither a missing database nor a missing ovs-vswitchd ends the driver; it connects when both are there."""
    own_pair.kill_vswitchd()
    own_pair.kill_server()
    async with a_driver(own_pair, bridge="br-int") as (switch, heard):
        with pytest.raises(TimeoutError):
            await heard.next(deadline_s=0.3)
        own_pair.start_server()
        await eventually(lambda: "br-int" in own_pair.vsctl("list-br"), "the bridge is in the database")
        with pytest.raises(SwitchError):
            await switch.load_numbers()
        own_pair.start_vswitchd()

        assert await heard.next() == Connected()
        assert await heard.next() == VifsChanged({})
        assert await switch.load_numbers() == {}


async def test_a_killed_switch_is_lost_and_comes_back(own_pair: OvsPair) -> None:
    """kill -9 of ovs-vswitchd, and its restart however quick: Lost, then Connected with all VIFs; flows are gone."""
    flow = Flow(0, 5, match(metadata=5), (Output(1),), COOKIE_OURS | 1)
    async with a_connected_driver(own_pair, bridge="br-int") as (switch, heard):
        plug(own_pair, "br-int", "tap1", "vif-1")
        before = await heard.until(VifsChanged)
        await switch.save_numbers({"port:a": 9})
        await switch.apply(FlowDiff(put=[flow]))
        assert not await switch.compare({flow.key: flow}, [])

        own_pair.kill_vswitchd()
        own_pair.start_vswitchd()
        lost, connected, vifs = await heard.next(), await heard.next(), await heard.next()
        diff = await switch.compare({flow.key: flow}, [])

        assert isinstance(lost, Lost)
        assert "br-int.mgmt" in lost.reason
        assert connected == Connected()
        assert vifs == before
        assert diff == FlowDiff(put=[flow], remove=[], meters=[])
        assert await switch.load_numbers() == {"port:a": 9}


async def test_a_restarted_database_server_is_lost_and_comes_back(own_pair: OvsPair) -> None:
    """When ovsdb-server restarts the flows stay; the driver says Lost and Connected, so that all is compared."""
    flow = Flow(0, 5, match(metadata=5), (Output(1),), COOKIE_OURS | 1)
    async with a_connected_driver(own_pair, bridge="br-int") as (switch, heard):
        await switch.apply(FlowDiff(put=[flow]))
        own_pair.kill_server()
        lost = await heard.next()
        own_pair.start_server()
        connected = await heard.next()

        assert isinstance(lost, Lost)
        assert connected == Connected()
        assert not await switch.compare({flow.key: flow}, [])


async def test_a_deleted_bridge_is_made_again(own_pair: OvsPair) -> None:
    """An operator's del-br is a loss like any other."""
    async with a_connected_driver(own_pair, bridge="br-int") as (_, heard):
        own_pair.vsctl("del-br", "br-int")
        lost = await heard.next()
        connected = await heard.next()

        assert isinstance(lost, Lost)
        assert connected == Connected()
        assert own_pair.vsctl("list-br").split() == ["br-int"]


async def test_a_frozen_switch_loses_nothing(own_pair: OvsPair) -> None:
    """A switch that stops for a moment is not lost: what was asked is answered when it goes on."""
    flow = Flow(0, 5, match(metadata=5), (Output(1),), COOKIE_OURS | 1)
    async with a_connected_driver(own_pair, bridge="br-int") as (switch, heard):
        own_pair.freeze_vswitchd(signal.SIGSTOP)
        own_pair.freeze_vswitchd(signal.SIGCONT)
        await switch.apply(FlowDiff(put=[flow]))

        assert heard.nothing()


async def test_closing_leaves_flows_and_ends_the_events(pair: OvsPair, bridge: str) -> None:
    """`close` lets go: flows stay, the iteration ends, closing again is harmless."""
    flow = Flow(0, 5, match(metadata=5), (Output(1),), COOKIE_OURS | 1)
    async with a_connected_driver(pair, bridge=bridge) as (switch, heard):
        await switch.apply(FlowDiff(put=[flow]))
        await heard.stop()
        await switch.close()
        with pytest.raises(SwitchError, match="gone"):
            await switch.apply(FlowDiff(put=[flow]))

    assert "metadata=0x5 actions=output:1" in pair.ofctl("dump-flows", bridge, "--no-stats")


async def test_a_punted_packet_arrives_with_its_fields(pair: OvsPair, bridge: str) -> None:
    """A packet-in carries frame, port, table, metadata and registers; a packet-out leaves by its port."""
    punting = Flow(
        *(0, 10, match(in_port=0xFFFFFFFD)),
        (
            SetField(Field.METADATA, 0x123456),
            SetField(Field.REG14, 77),
            SetField(Field.REG10, 3),
            Resubmit(8),
        ),
        COOKIE_OURS | 1,
    )
    punt = Flow(8, 10, match(metadata=0x123456), (Controller(),), COOKIE_OURS | 2)
    frame = bytes.fromhex("020000000001 020000000002 88b5") + bytes(range(100))
    async with a_connected_driver(pair, bridge=bridge) as (switch, heard):
        plug(pair, bridge, f"{bridge}a", "vif-a")
        port = (await heard.until(VifsChanged)).ofports["vif-a"]
        pair.ip("link", "set", f"{bridge}a", "up")
        await switch.apply(FlowDiff(put=[punting, punt]))
        hex_frame = frame.hex()
        pair.ofctl("packet-out", bridge, f"in_port=CONTROLLER packet={hex_frame} actions=TABLE")
        packet = await heard.until(PacketIn)
        await switch.send_packet(frame, port)
        await eventually(
            lambda: f"bytes={len(frame)}," in transmitted(pair, bridge, port), "the frame left the port"
        )

    assert packet.data == frame
    assert packet.table == 8
    assert packet.fields["metadata"] == 0x123456
    assert (packet.fields["reg14"], packet.fields["reg15"], packet.fields["reg10"]) == (77, 0, 3)
