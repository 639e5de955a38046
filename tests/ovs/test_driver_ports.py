"""The Open vSwitch driver's other ports: internal, patch, and tunnels whose far end is watched; and connections."""

from collections.abc import Iterator

import pytest

from alcor.agent.driver import (
    ConnectionProtocol,
    ConnectionTuple,
    InternalPort,
    PatchPort,
    PortSpec,
    SwitchError,
    TunnelHealth,
    TunnelPort,
)
from alcor.model.address import Ip
from alcor.pipeline.flow import Conntrack, Controller, Flow, match
from alcor.pipeline.tables import COOKIE_OURS
from tests.support.ovs import OvsPair, a_connected_driver, a_namespace, an_ovs_pair, run
from tests.support.ovs_oracle import PORTS, an_oracle
from tests.support.transport_packets import echo, udp

pytestmark = pytest.mark.ovs


@pytest.fixture(scope="module")
def pair() -> Iterator[OvsPair]:
    """A running switch with a provider bridge."""
    with a_namespace("tdp") as namespace, an_ovs_pair(namespace=namespace) as running:
        running.vsctl("add-br", "br-phys", "--", "set", "bridge", "br-phys", "datapath_type=netdev")
        yield running


def specs(bridge: str) -> list[PortSpec]:
    """One port of each kind, with names of this bridge's own."""
    tail = bridge[-5:]
    return [
        InternalPort(f"md-{tail}", mac="02:00:00:00:00:77"),
        PatchPort(f"phys-{tail}", "br-phys", f"int-{tail}"),
        TunnelPort(f"bfd-{tail}", "geneve", Ip("192.0.2.2"), Ip("192.0.2.1")),
    ]


async def test_ports_of_every_kind_are_made_once(pair: OvsPair, bridge: str) -> None:
    """Each is made with its settings and gets a number; asking again, also as a fresh driver, changes nothing."""
    wanted = specs(bridge)
    async with a_connected_driver(pair, bridge=bridge) as (switch, _):
        made = await switch.ensure_ports(wanted)
    settings = pair.vsctl("--columns=name,type,options,mac,bfd", "list", "interface")
    configured = pair.vsctl("get", "open_vswitch", ".", "next_cfg")
    async with a_connected_driver(pair, bridge=bridge) as (switch, _):
        before = pair.vsctl("get", "open_vswitch", ".", "next_cfg")
        again = await switch.ensure_ports(wanted)
        after = pair.vsctl("get", "open_vswitch", ".", "next_cfg")

    assert again == made
    assert after == before != configured
    assert list(made) == [spec.name for spec in wanted]
    assert len(set(made.values())) == len(wanted)
    for expected in (
        '"02:00:00:00:00:77"',
        f"{{peer=int-{bridge[-5:]}}}",
        f"{{peer=phys-{bridge[-5:]}}}",
        '{key="0", local_ip="192.0.2.1", remote_ip="192.0.2.2"}',
        '{enable="true"}',
    ):
        assert expected in settings


async def test_ports_are_corrected_and_taken_away(pair: OvsPair, bridge: str) -> None:
    """Changed settings are put right in place; what is not wanted any more goes, with its peer; others' stay."""
    internal, patch, tunnel = specs(bridge)
    async with a_connected_driver(pair, bridge=bridge) as (switch, _):
        made = await switch.ensure_ports([internal, patch, tunnel])
        foreign = f"fo-{bridge[-5:]}"
        pair.vsctl("add-port", bridge, foreign, "--", "set", "interface", foreign, "type=internal")
        pair.vsctl("set", "interface", tunnel.name, "options:remote_ip=192.0.2.9")
    async with a_connected_driver(pair, bridge=bridge) as (switch, _):
        corrected = await switch.ensure_ports([internal, patch, tunnel])
        remote = pair.vsctl("get", "interface", tunnel.name, "options:remote_ip").strip()
        rest = await switch.ensure_ports([internal])

    assert corrected == made
    assert remote == '"192.0.2.2"'
    assert rest == {internal.name: made[internal.name]}
    left = pair.vsctl("list-ports", bridge).split()
    assert sorted(left) == sorted([internal.name, foreign])
    assert f"int-{bridge[-5:]}" not in pair.vsctl("list-ports", "br-phys")


async def test_where_routes_say_so_tunnels_have_no_source(pair: OvsPair, bridge: str) -> None:
    """The switch's operator says it in the switch's database: for tunnels of every kind, those that are there too."""
    tunnel = specs(bridge)[2]
    names = ("alcor-gre", tunnel.name)

    def sources() -> list[str]:
        return [
            pair.vsctl("--if-exists", "get", "interface", name, "options:local_ip").strip() for name in names
        ]

    async with a_connected_driver(pair, bridge=bridge) as (switch, _):
        await switch.ensure_tunnels(["192.0.2.1"], ["gre"])
        await switch.ensure_ports([tunnel])
    before = sources()
    pair.vsctl("set", "Open_vSwitch", ".", "external_ids:alcor-tunnel-source=route")
    try:
        async with a_connected_driver(pair, bridge=bridge) as (switch, _):
            await switch.ensure_tunnels(["192.0.2.1"], ["gre"])
            await switch.ensure_ports([tunnel])
            after = sources()
    finally:
        pair.vsctl("remove", "Open_vSwitch", ".", "external_ids", "alcor-tunnel-source")

    assert before == ['"192.0.2.1"', '"192.0.2.1"']
    assert after == ["", ""]


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        (PatchPort("a-patch", "br-none", "a-peer"), "there is no bridge br-none"),
        (TunnelPort("a-tunnel", "stt", Ip("192.0.2.2")), "no tunnel type stt"),
        (InternalPort("sixteen-characters"), "at most 15"),
        (InternalPort("br-phys"), "on bridge br-phys, not"),
    ],
)
async def test_a_port_that_cannot_be_is_named(
    pair: OvsPair, bridge: str, spec: PortSpec, reason: str
) -> None:
    """The error names the port and says why."""
    async with a_connected_driver(pair, bridge=bridge) as (switch, _):
        with pytest.raises(SwitchError, match=reason):
            await switch.ensure_ports([spec])


async def test_a_far_end_that_dies_and_returns_is_told(pair: OvsPair) -> None:
    """Two hosts that watch each other: up when both do, down within seconds when the underlay breaks, up again."""
    with a_namespace("tdq") as namespace, an_ovs_pair(namespace=namespace) as other:
        near, far = "vnear0", "vfar0"
        run(
            "ip",
            "-n",
            str(pair.namespace),
            "link",
            "add",
            near,
            "type",
            "veth",
            "peer",
            far,
            "netns",
            namespace,
        )
        for host, link, address in ((pair, near, "192.0.2.1"), (other, far, "192.0.2.2")):
            host.ip("address", "add", f"{address}/24", "dev", link)
            host.ip("link", "set", link, "up")
            run("ip", "netns", "exec", str(host.namespace), "ethtool", "-K", link, "tx", "off")
        for host, link, address in ((pair, near, "192.0.2.1"), (other, far, "192.0.2.2")):
            host.vsctl("add-br", "br-under", "--", "set", "bridge", "br-under", "datapath_type=netdev")
            host.vsctl("add-port", "br-under", link)
            host.ip("address", "flush", "dev", link)
            host.ip("address", "add", f"{address}/24", "dev", "br-under")
            host.ip("link", "set", "br-under", "up")
        async with (
            a_connected_driver(pair) as (one, heard),
            a_connected_driver(other) as (two, heard_there),
        ):
            await one.ensure_tunnels(["192.0.2.1"], ["geneve"])
            await two.ensure_tunnels(["192.0.2.2"], ["geneve"])
            await one.ensure_ports([TunnelPort("w-near", "geneve", Ip("192.0.2.2"), Ip("192.0.2.1"))])
            await two.ensure_ports([TunnelPort("w-far", "geneve", Ip("192.0.2.1"), Ip("192.0.2.2"))])

            beginnings = []
            while not (health := await heard.until(TunnelHealth)).is_up:
                beginnings.append(health)
            while not (await heard_there.until(TunnelHealth)).is_up:
                pass
            pair.ip("link", "set", near, "down")
            down = await heard.until(TunnelHealth)
            pair.ip("link", "set", near, "up")
            up = await heard.until(TunnelHealth)
            # A switch has no two tunnels with the same ends, and other tests make one with these.
            await one.ensure_ports([])

        assert beginnings == [TunnelHealth(Ip("192.0.2.2"), is_up=False, was_up=False)] * len(beginnings)
        assert down == TunnelHealth(Ip("192.0.2.2"), is_up=False)
        assert up == TunnelHealth(Ip("192.0.2.2"), is_up=True)
        pair.vsctl("del-br", "br-under")


THERE = ("10.0.0.1", "10.0.0.2")
THERE6 = ("fd00::1", "fd00::2")
TRACK = [
    Flow(0, 5, match(eth_type=kind), (Conntrack(zone, commit=True), Controller()), COOKIE_OURS | zone)
    for zone, kind in ((3, 0x0800), (4, 0x86DD))
]


@pytest.mark.parametrize(
    ("connection", "frame", "zone"),
    [
        (
            ConnectionTuple(ConnectionProtocol.UDP, Ip("10.0.0.1"), Ip("10.0.0.2"), 5, 6),
            udp(THERE, (5, 6)),
            3,
        ),
        (
            ConnectionTuple(ConnectionProtocol.ICMP, Ip("10.0.0.1"), Ip("10.0.0.2"), 9, 8 << 8),
            echo(THERE, 9),
            3,
        ),
        (ConnectionTuple(ConnectionProtocol.UDP, Ip("fd00::1"), Ip("fd00::2"), 5, 6), udp(THERE6, (5, 6)), 4),
    ],
    ids=["udp", "icmp", "udp6"],
)
async def test_one_connection_is_forgotten_and_no_other(
    pair: OvsPair, connection: ConnectionTuple, frame: bytes, zone: int
) -> None:
    """The connection named in full goes; another one stays, until its zone is flushed; other zones stay too."""
    async with an_oracle(pair) as oracle:
        await oracle.load(TRACK)
        for sent in (frame, udp(THERE, (70, 71)), udp(THERE6, (70, 71))):
            await oracle.process(sent, PORTS[0])
        before = await oracle.switch.dump_conntrack(zone)
        await oracle.switch.flush_conntrack(zone, connection._replace(source_port=1))
        missed = await oracle.switch.dump_conntrack(zone)
        await oracle.switch.flush_conntrack(zone, connection)
        one = await oracle.switch.dump_conntrack(zone)
        await oracle.switch.flush_conntrack(zone)
        none = await oracle.switch.dump_conntrack(zone)
        other = await oracle.switch.dump_conntrack(7 - zone)

    assert len(before) == len(missed) == 2
    assert len(one) == 1
    assert "sport=70" in one[0]
    assert none == []
    assert len(other) == 1
