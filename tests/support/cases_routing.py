"""Packet cases of routing, run on simulated switches (`tests/packet`) and on real ones (`tests/ovs`).

Router r1 joins red and green, and green has the smaller MTU; r3 joins red and gold by an address that is not red's
gateway; r2 joins rust and moss, whose MACs and addresses are those of red and green. Pink and green are peered, and
pink has no router. Router r4 joins lane and road, two VLANs on a wire. Ports …-1 are on host h1, …-2 on h2, …-4 on
h3; red-6 and green-5 are machines that forward.
"""

import struct
from dataclasses import dataclass

from alcor.goalstate.fact import ClaimFact
from alcor.goalstate.project import host_mac
from alcor.model.host import Host
from alcor.model.network import Network
from alcor.model.port import Port
from alcor.model.port_value import AddressPair
from alcor.model.router import Route, Router
from alcor.model.subnet import Subnet
from alcor.model.vpc_peering import ACTIVE, VpcPeering
from alcor.pipeline.icmp_error import Reason
from tests.support.packet_cases import Case, a_port
from tests.support.packet_site import RESPONDER_MAC, Site
from tests.support.packets import (
    BROADCAST,
    FROM_ROUTER,
    ICMP,
    ICMPV6,
    UDP,
    advertisement,
    checksum,
    echo,
    ethernet,
    ip_packet,
    ip_text,
    is_at,
    link_local,
    mac_text,
    solicitation,
    who_has,
)

M_RED1, M_RED2, M_RED6 = (f"02:00:00:00:01:{n:02x}" for n in (1, 2, 6))
M_GREEN1, M_GREEN2, M_GREEN4, M_GREEN5 = (f"02:00:00:00:02:{n:02x}" for n in (1, 2, 4, 5))
M_GOLD1, M_PINK2 = "02:00:00:00:03:01", "02:00:00:00:09:02"
RED1, RED2, RED6 = "10.0.1.1", "10.0.1.2", "10.0.1.6"
GREEN1, GREEN2, GREEN4, GREEN5 = "10.0.2.1", "10.0.2.2", "10.0.2.4", "10.0.2.5"
GOLD1, PINK2 = "10.0.3.1", "10.0.9.2"
S_RED1, S_GREEN1, S_GREEN2, S_GREEN4 = "fd00:1::1", "fd00:2::1", "fd00:2::2", "fd00:2::4"
RED_GW, GREEN_GW, RED_GW3, GOLD_GW = "10.0.1.254", "10.0.2.254", "10.0.1.253", "10.0.3.254"
S_RED_GW, S_GREEN_GW = "fd00:1::fe", "fd00:2::fe"
M_RED_GW, M_GREEN_GW, M_RED_GW3, M_GOLD_GW = (f"0a:00:00:00:00:{n:02x}" for n in (1, 2, 3, 4))
M_LANE1, M_ROAD1, M_ROAD2 = "02:00:00:00:05:01", "02:00:00:00:06:01", "02:00:00:00:06:02"
LANE1, ROAD1, ROAD2 = "10.0.5.1", "10.0.6.1", "10.0.6.2"
M_LANE_GW, M_ROAD_GW = "0a:00:00:00:00:05", "0a:00:00:00:00:06"
VIRTUAL, M_VIRTUAL = "10.0.2.200", "00:00:5e:00:01:07"
WIRE, ROAD_VLAN = "physnet", 102
MTU, SMALL_MTU = 1450, 1400
FAR, LONGER, EQUAL, NOWHERE = "172.16.1.1", "172.16.9.1", "172.20.0.1", "172.30.0.1"


def an_interface(id: str, router: str, mac: str, *ips: str) -> Port:
    """A router's port."""
    fields = {"device_id": router, "device_owner": "network:router_interface", "binding_vif_type": "unbound"}
    return a_port(id, "", mac, *ips, **fields)


def _network(
    id: str, vni: int, v4: str, *, mtu: int = MTU, wire: str | None = None
) -> tuple[Network, Subnet]:
    subnet = Subnet(id=f"{id}-v4", network_id=id, ip_version=4, cidr=f"{v4}.0/24", gateway_ip=f"{v4}.254")
    network = Network(
        id=id,
        name=id,
        mtu=mtu,
        provider_network_type="vxlan" if wire is None else "vlan",
        provider_segmentation_id=vni,
        provider_physical_network=wire,
    )
    return network, subnet


def _ipv6(id: str, prefix: str) -> Subnet:
    return Subnet(
        id=f"{id}-v6", network_id=id, ip_version=6, cidr=f"{prefix}::/64", gateway_ip=f"{prefix}::fe"
    )


ROUTED = Site(
    rows=(
        Host(
            id="h1",
            name="h1",
            vtep_addresses=("192.0.2.1", "2001:db8::1"),
            bridge_mappings={WIRE: "br-wire"},
        ),
        Host(
            id="h2",
            name="h2",
            vtep_addresses=("192.0.2.2", "2001:db8::2"),
            bridge_mappings={WIRE: "br-wire"},
        ),
        Host(id="h3", name="h3", vtep_addresses=("2001:db8::3", "192.0.2.3")),
        *_network("red", 6001, "10.0.1"),
        *_network("green", 6002, "10.0.2", mtu=SMALL_MTU),
        *_network("gold", 6003, "10.0.3"),
        *_network("rust", 6004, "10.0.1"),
        *_network("moss", 6005, "10.0.2"),
        *_network("pink", 6006, "10.0.9"),
        *_network("lane", 101, "10.0.5", wire=WIRE),
        *_network("road", ROAD_VLAN, "10.0.6", wire=WIRE),
        _ipv6("red", "fd00:1"),
        _ipv6("green", "fd00:2"),
        Router(
            id="r1",
            name="r1",
            routes=(
                Route("172.16.0.0/16", GREEN5),
                Route("172.16.9.0/24", RED6),
                Route("172.20.0.0/16", GREEN5),
                Route("172.20.0.0/16", RED6),
                Route("172.30.0.0/16", "203.0.113.9"),
            ),
        ),
        Router(id="r2", name="r2"),
        Router(id="r3", name="r3"),
        Router(id="r4", name="r4"),
        VpcPeering(id="peers", network_id="green", peer_network_id="pink", peer_project_id="", status=ACTIVE),
        an_interface("red-gw", "r1", M_RED_GW, RED_GW, S_RED_GW),
        an_interface("green-gw", "r1", M_GREEN_GW, GREEN_GW, S_GREEN_GW),
        an_interface("red-gw3", "r3", M_RED_GW3, RED_GW3),
        an_interface("gold-gw", "r3", M_GOLD_GW, GOLD_GW),
        an_interface("rust-gw", "r2", M_RED_GW, RED_GW),
        an_interface("moss-gw", "r2", M_GREEN_GW, GREEN_GW),
        an_interface("lane-gw", "r4", M_LANE_GW, "10.0.5.254"),
        an_interface("road-gw", "r4", M_ROAD_GW, "10.0.6.254"),
        a_port("red-1", "h1", M_RED1, RED1, S_RED1),
        a_port("red-2", "h2", M_RED2, RED2),
        a_port("red-6", "h1", M_RED6, RED6, port_security_enabled=False),
        a_port("green-1", "h1", M_GREEN1, GREEN1, S_GREEN1),
        a_port(
            "green-2",
            "h2",
            M_GREEN2,
            GREEN2,
            S_GREEN2,
            allowed_address_pairs=(AddressPair(VIRTUAL, M_VIRTUAL),),
        ),
        a_port("green-4", "h3", M_GREEN4, GREEN4, S_GREEN4),
        a_port("green-5", "h2", M_GREEN5, GREEN5, port_security_enabled=False),
        a_port("gold-1", "h1", M_GOLD1, GOLD1),
        a_port("rust-1", "h1", M_RED1, RED1),
        a_port("moss-1", "h1", M_GREEN1, GREEN1),
        a_port("moss-2", "h2", M_GREEN2, GREEN2),
        a_port("pink-2", "h2", M_PINK2, PINK2),
        a_port("lane-1", "h1", M_LANE1, LANE1),
        a_port("road-1", "h1", M_ROAD1, ROAD1),
        a_port("road-2", "h2", M_ROAD2, ROAD2),
    ),
    claims=(ClaimFact("green", VIRTUAL, M_VIRTUAL, "green-2"),),
)


@dataclass(frozen=True)
class RoutingCase(Case):
    """`reason`: why the router's packet goes to the agent. `told`: what the agent then sends to the sender.

    `wired`: the frame that is on the wire besides.
    """

    site: Site = ROUTED
    reason: Reason | None = None
    told: bytes | None = None
    wired: bytes | None = None


def routed(frame: bytes, source: str, target: str) -> bytes:
    """A frame as a router sends it on: with its MACs, and a hop less."""
    packet = bytearray(frame[14:])
    if packet[0] >> 4 == 4:
        packet[8] -= 1
        packet[10:12] = b"\0\0"
        packet[10:12] = checksum(bytes(packet[:20]))
    else:
        packet[7] -= 1
    return mac_text(target) + mac_text(source) + frame[12:14] + bytes(packet)


def datagram(
    eth: tuple[str, str],
    ip: tuple[str, str],
    *,
    hops: int = 64,
    octets: int = 8,
    fragment: int = 0x4000,
) -> bytes:
    """A UDP datagram of that many octets of data; `fragment`: IPv4's flags and offset."""
    head = struct.pack("!HHHH", 4000, 4001, 8 + octets, 0)
    pseudo = ip_text(ip[0]) + ip_text(ip[1]) + struct.pack("!II", 8 + octets, UDP)
    text = head[:6] + checksum(pseudo + head + bytes(octets)) + bytes(octets)
    eth_type, packet = ip_packet(*ip, UDP, text, hops=hops)
    if eth_type == 0x0800:
        whole = packet[:6] + struct.pack("!H", fragment) + packet[8:10] + b"\0\0" + packet[12:]
        packet = whole[:10] + checksum(whole[:20]) + whole[12:]
    return ethernet(*eth, eth_type, packet)


def icmp(
    eth: tuple[str, str], ip: tuple[str, str], kind: tuple[int, int], body: bytes, *, service: int = 0
) -> bytes:
    """An ICMP or ICMPv6 message with 64 hops; `kind`: type and code; `service`: IPv4's type of service."""
    message = bytes([*kind, 0, 0]) + body
    if ":" in ip[0]:
        pseudo = ip_text(ip[0]) + ip_text(ip[1]) + struct.pack("!II", len(message), ICMPV6)
        message = message[:2] + checksum(pseudo + message) + message[4:]
        return ethernet(*eth, *ip_packet(*ip, ICMPV6, message))
    eth_type, packet = ip_packet(*ip, ICMP, message[:2] + checksum(message) + message[4:])
    head = bytes([0x45, service]) + packet[2:10] + b"\0\0" + packet[12:20]
    return ethernet(*eth, eth_type, head[:10] + checksum(head) + head[12:] + packet[20:])


def fragments(
    eth: tuple[str, str], ip: tuple[str, str], kind: int, *, first_octets: int = 16
) -> tuple[bytes, bytes]:
    """An ICMP message over IPv4 in two fragments; `kind`: its type."""
    body = struct.pack("!HH", 7, 1) + bytes(range(32))
    message = bytes([kind, 0, 0, 0]) + body
    message = message[:2] + checksum(message) + message[4:]
    found = []
    for text, flags in ((message[:first_octets], 0x2000), (message[first_octets:], first_octets // 8)):
        eth_type, packet = ip_packet(*ip, ICMP, text)
        head = packet[:6] + struct.pack("!H", flags) + packet[8:10] + b"\0\0" + packet[12:20]
        found.append(ethernet(*eth, eth_type, head[:10] + checksum(head) + head[12:] + packet[20:]))
    return found[0], found[1]


def error(
    eth: tuple[str, str], ip: tuple[str, str], kind: tuple[int, int], about: bytes, *, mtu: int = 0
) -> bytes:
    """The error that a router sends about a frame."""
    quoted = about[14:][: 576 - 28 if ":" not in ip[0] else 1280 - 48]
    return icmp(eth, ip, kind, struct.pack("!I", mtu) + quoted, service=0xC0)


def _ping(source: tuple[str, str], via: str, target: str) -> bytes:
    return echo((source[0], via), (source[1], target))


def _pong(asker: tuple[str, str], mac: str, ip: str) -> bytes:
    kind = (129, 0) if ":" in ip else (0, 0)
    return icmp((mac, asker[0]), (ip, asker[1]), kind, struct.pack("!HH", 7, 1) + b"alcor")


_RED1, _S_RED1 = (M_RED1, RED1), (M_RED1, S_RED1)
_TO_GREEN1 = _ping(_RED1, M_RED_GW, GREEN1)
_TO_GREEN2 = _ping(_RED1, M_RED_GW, GREEN2)
_TO_GREEN4 = _ping(_RED1, M_RED_GW, GREEN4)
_S_TO_GREEN1 = _ping(_S_RED1, M_RED_GW, S_GREEN1)
_S_TO_GREEN2 = _ping(_S_RED1, M_RED_GW, S_GREEN2)
_BACK = _ping((M_GREEN2, GREEN2), M_GREEN_GW, RED1)
_TO_RED2 = _ping(_RED1, M_RED_GW, RED2)
_TO_SELF = _ping(_RED1, M_RED_GW, RED1)
_TO_GOLD = _ping(_RED1, M_RED_GW3, GOLD1)

_TO_VIRTUAL = _ping(_RED1, M_RED_GW, VIRTUAL)
_TO_ROAD1 = _ping((M_LANE1, LANE1), M_LANE_GW, ROAD1)
_TO_ROAD2 = _ping((M_LANE1, LANE1), M_LANE_GW, ROAD2)
# On a wire a host sends what it routed with its own MAC: the router's would move from port to port of the wire.
_AT_ROAD2 = routed(_TO_ROAD2, host_mac("h1"), M_ROAD2)

REACHED = (
    RoutingCase(
        "an address that a port has claimed",
        "red-1",
        _TO_VIRTUAL,
        to={"green-2": routed(_TO_VIRTUAL, M_GREEN_GW, M_VIRTUAL)},
    ),
    RoutingCase(
        "two VLANs on one host",
        "lane-1",
        _TO_ROAD1,
        to={"road-1": routed(_TO_ROAD1, M_ROAD_GW, M_ROAD1)},
    ),
    RoutingCase(
        "two VLANs on two hosts: routed where it is sent, by the wire with the VLAN of where it goes",
        "lane-1",
        _TO_ROAD2,
        to={"road-2": _AT_ROAD2},
        wired=_AT_ROAD2[:12] + struct.pack("!HH", 0x8100, ROAD_VLAN) + _AT_ROAD2[12:],
    ),
    RoutingCase(
        "two subnets of a router on one host",
        "red-1",
        _TO_GREEN1,
        to={"green-1": routed(_TO_GREEN1, M_GREEN_GW, M_GREEN1)},
    ),
    RoutingCase(
        "two subnets on two hosts",
        "red-1",
        _TO_GREEN2,
        to={"green-2": routed(_TO_GREEN2, M_GREEN_GW, M_GREEN2)},
    ),
    RoutingCase("the way back from there", "green-2", _BACK, to={"red-1": routed(_BACK, M_RED_GW, M_RED1)}),
    RoutingCase(
        "to a host with an IPv6 VTEP",
        "red-1",
        _TO_GREEN4,
        to={"green-4": routed(_TO_GREEN4, M_GREEN_GW, M_GREEN4)},
    ),
    RoutingCase(
        "over IPv6 on one host",
        "red-1",
        _S_TO_GREEN1,
        to={"green-1": routed(_S_TO_GREEN1, M_GREEN_GW, M_GREEN1)},
    ),
    RoutingCase(
        "over IPv6 on two hosts",
        "red-1",
        _S_TO_GREEN2,
        to={"green-2": routed(_S_TO_GREEN2, M_GREEN_GW, M_GREEN2)},
    ),
    RoutingCase("within one subnet", "red-1", _TO_RED2, to={"red-2": routed(_TO_RED2, M_RED_GW, M_RED2)}),
    RoutingCase(
        "back to the port it came from", "red-1", _TO_SELF, to={"red-1": routed(_TO_SELF, M_RED_GW, M_RED1)}
    ),
    RoutingCase(
        "another router of the network, by its MAC",
        "red-1",
        _TO_GOLD,
        to={"gold-1": routed(_TO_GOLD, M_GOLD_GW, M_GOLD1)},
    ),
)

_RUST_TO_MOSS = _ping((M_RED1, RED1), M_RED_GW, GREEN1)
_RUST_TO_MOSS2 = _ping((M_RED1, RED1), M_RED_GW, GREEN2)
_TENANT = (
    RoutingCase(
        "equal addresses of two tenants: each router delivers its own",
        "rust-1",
        _RUST_TO_MOSS,
        to={"moss-1": routed(_RUST_TO_MOSS, M_GREEN_GW, M_GREEN1)},
    ),
    RoutingCase(
        "equal addresses of two tenants on two hosts",
        "rust-1",
        _RUST_TO_MOSS2,
        to={"moss-2": routed(_RUST_TO_MOSS2, M_GREEN_GW, M_GREEN2)},
    ),
)

_FAR = datagram((M_RED1, M_RED_GW), (RED1, FAR))
_LONGER = datagram((M_RED1, M_RED_GW), (RED1, LONGER))
_TO_PINK = _ping((M_GREEN1, GREEN1), M_GREEN_GW, PINK2)
_FROM_PINK = _ping((M_PINK2, PINK2), RESPONDER_MAC, GREEN1)
ROUTES = (
    *_TENANT,
    RoutingCase(
        "an extra route leads to its next hop, a machine on another host",
        "red-1",
        _FAR,
        to={"green-5": routed(_FAR, M_GREEN_GW, M_GREEN5)},
    ),
    RoutingCase(
        "the longest prefix decides",
        "red-1",
        _LONGER,
        to={"red-6": routed(_LONGER, M_RED_GW, M_RED6)},
    ),
    RoutingCase(
        "to a peered network", "green-1", _TO_PINK, to={"pink-2": routed(_TO_PINK, M_GREEN_GW, M_PINK2)}
    ),
    RoutingCase(
        "from a peered network without a router, by the region's own MAC",
        "pink-2",
        _FROM_PINK,
        to={"green-1": routed(_FROM_PINK, RESPONDER_MAC, M_GREEN1)},
    ),
    RoutingCase(
        "a peered network has no way into the router's other networks",
        "pink-2",
        datagram((M_PINK2, RESPONDER_MAC), (PINK2, RED1)),
        site=ROUTED.without("peers"),
    ),
)

OWN = (
    RoutingCase(
        "ARP for the gateway is answered",
        "red-1",
        who_has(RED_GW, _RED1),
        to={"red-1": is_at(RED_GW, M_RED_GW, _RED1)},
    ),
    RoutingCase(
        "ARP for a router's address that is not the gateway's is answered",
        "red-1",
        who_has(RED_GW3, _RED1),
        to={"red-1": is_at(RED_GW3, M_RED_GW3, _RED1)},
    ),
    RoutingCase(
        "a solicitation for the gateway is answered",
        "red-1",
        solicitation(S_RED_GW, _S_RED1),
        to={"red-1": advertisement(S_RED_GW, (M_RED_GW, S_RED_GW), _S_RED1, flags=FROM_ROUTER)},
    ),
    RoutingCase(
        "a solicitation for the router's link-local address is answered",
        "red-1",
        solicitation(link_local(M_RED_GW), _S_RED1),
        to={
            "red-1": advertisement(
                link_local(M_RED_GW), (M_RED_GW, link_local(M_RED_GW)), _S_RED1, flags=FROM_ROUTER
            )
        },
    ),
    RoutingCase(
        "the gateway answers ping",
        "red-1",
        _ping(_RED1, M_RED_GW, RED_GW),
        to={"red-1": _pong(_RED1, M_RED_GW, RED_GW)},
    ),
    RoutingCase(
        "the gateway of another subnet of the router answers ping",
        "red-1",
        _ping(_RED1, M_RED_GW, GREEN_GW),
        to={"red-1": _pong(_RED1, M_RED_GW, GREEN_GW)},
    ),
    RoutingCase(
        "the gateway answers ping over IPv6",
        "red-1",
        _ping(_S_RED1, M_RED_GW, S_GREEN_GW),
        to={"red-1": _pong(_S_RED1, M_RED_GW, S_GREEN_GW)},
    ),
    RoutingCase(
        "the link-local address answers ping",
        "red-1",
        _ping((M_RED1, link_local(M_RED1)), M_RED_GW, link_local(M_RED_GW)),
        to={"red-1": _pong((M_RED1, link_local(M_RED1)), M_RED_GW, link_local(M_RED_GW))},
    ),
    *(
        RoutingCase(
            f"the gateway answers a ping in fragments: the {name}", "red-6", asked, to={"red-6": answered}
        )
        for name, asked, answered in zip(
            ("first", "second"),
            fragments((M_RED6, M_RED_GW), (RED6, RED_GW), 8),
            fragments((M_RED_GW, M_RED6), (RED_GW, RED6), 0),
            strict=True,
        )
    ),
    RoutingCase("a router takes nothing else", "red-1", datagram((M_RED1, M_RED_GW), (RED1, RED_GW))),
    RoutingCase(
        "the gateway of another router is not this one's", "gold-1", who_has(RED_GW, (M_GOLD1, GOLD1))
    ),
)

_DYING = datagram((M_RED1, M_RED_GW), (RED1, GREEN1), hops=1)
_S_DYING = datagram((M_RED1, M_RED_GW), (S_RED1, S_GREEN2), hops=1)
_LOST = datagram((M_RED1, M_RED_GW), (RED1, "198.51.100.1"))
_S_LOST = datagram((M_RED1, M_RED_GW), (S_RED1, "2001:db8:9::1"))
_BLACKHOLE = datagram((M_RED1, M_RED_GW), (RED1, NOWHERE))
_ABSENT = datagram((M_RED1, M_RED_GW), (RED1, "10.0.2.77"))
_S_ABSENT = datagram((M_RED1, M_RED_GW), (S_RED1, "fd00:2::77"))
_OTHER_ROUTERS = datagram((M_RED1, M_RED_GW3), (RED1, GREEN1))
_LARGE = datagram((M_RED1, M_RED_GW), (RED1, GREEN1), octets=SMALL_MTU)
_FITS = datagram((M_RED1, M_RED_GW), (RED1, GREEN1), octets=SMALL_MTU - 28)
_S_LARGE = datagram((M_RED1, M_RED_GW), (S_RED1, S_GREEN1), octets=SMALL_MTU)
_V4, _V6 = (M_RED_GW, M_RED1), (M_RED_GW, M_RED1)
_FROM_GW, _S_FROM_GW = (RED_GW, RED1), (S_RED_GW, S_RED1)


def _sent(frame: bytes) -> bytes:
    return routed(frame, M_GREEN_GW, M_GREEN1)


ERRORS = (
    RoutingCase(
        "a packet whose time is up",
        "red-1",
        _DYING,
        reason=Reason.TTL_EXCEEDED,
        told=error(_V4, _FROM_GW, (11, 0), _DYING),
    ),
    RoutingCase(
        "over IPv6: a packet whose hops are up",
        "red-1",
        _S_DYING,
        reason=Reason.TTL_EXCEEDED,
        told=error(_V6, _S_FROM_GW, (3, 0), _S_DYING),
    ),
    RoutingCase("no route", "red-1", _LOST, reason=Reason.NO_ROUTE, told=error(_V4, _FROM_GW, (3, 0), _LOST)),
    RoutingCase(
        "over IPv6: no route",
        "red-1",
        _S_LOST,
        reason=Reason.NO_ROUTE,
        told=error(_V6, _S_FROM_GW, (1, 0), _S_LOST),
    ),
    RoutingCase(
        "a route to nowhere",
        "red-1",
        _BLACKHOLE,
        reason=Reason.NO_ROUTE,
        told=error(_V4, _FROM_GW, (3, 0), _BLACKHOLE),
    ),
    RoutingCase(
        "an address that nobody has",
        "red-1",
        _ABSENT,
        reason=Reason.HOST_UNREACHABLE,
        told=error(_V4, _FROM_GW, (3, 1), routed(_ABSENT, M_GREEN_GW, M_RED_GW)),
    ),
    RoutingCase(
        "over IPv6: an address that nobody has",
        "red-1",
        _S_ABSENT,
        reason=Reason.HOST_UNREACHABLE,
        told=error(_V6, _S_FROM_GW, (1, 3), routed(_S_ABSENT, M_GREEN_GW, M_RED_GW)),
    ),
    RoutingCase(
        "a router does not know another router's networks",
        "red-1",
        _OTHER_ROUTERS,
        reason=Reason.NO_ROUTE,
        told=error((M_RED_GW3, M_RED1), (RED_GW3, RED1), (3, 0), _OTHER_ROUTERS),
    ),
    RoutingCase(
        "a packet too large for the way out goes on, and its sender is told",
        "red-1",
        _LARGE,
        to={"green-1": _sent(_LARGE)},
        reason=Reason.TOO_LARGE,
        told=error(_V4, _FROM_GW, (3, 4), _sent(_LARGE), mtu=SMALL_MTU),
    ),
    RoutingCase(
        "over IPv6 a packet too large goes no further",
        "red-1",
        _S_LARGE,
        reason=Reason.TOO_LARGE,
        told=error(_V6, _S_FROM_GW, (2, 0), routed(_S_LARGE, M_GREEN_GW, M_GREEN1), mtu=SMALL_MTU),
    ),
    RoutingCase("what just fits is no error", "red-1", _FITS, to={"green-1": _sent(_FITS)}),
    RoutingCase(
        "an ICMP error is not told about",
        "red-6",
        icmp((M_RED6, M_RED_GW), (RED6, "198.51.100.1"), (3, 1), bytes(4) + _LOST[14:42]),
        reason=Reason.NO_ROUTE,
    ),
    RoutingCase(
        "a later fragment is not told about",
        "red-6",
        datagram((M_RED6, M_RED_GW), (RED6, "198.51.100.1"), fragment=0x0010),
        reason=Reason.NO_ROUTE,
    ),
    RoutingCase(
        "a subnet's broadcast is not told about",
        "red-1",
        datagram((M_RED1, M_RED_GW), (RED1, "10.0.2.255")),
        reason=Reason.HOST_UNREACHABLE,
    ),
    RoutingCase("broadcast is not routed", "red-1", datagram((M_RED1, M_RED_GW), (RED1, "255.255.255.255"))),
    RoutingCase("multicast is not routed", "red-1", datagram((M_RED1, M_RED_GW), (RED1, "239.1.1.1"))),
    RoutingCase(
        "an IPv4 link-local address is not routed, whatever routes there are",
        "red-1",
        datagram((M_RED1, M_RED_GW), (RED1, "169.254.7.7")),
    ),
    RoutingCase(
        "a link-local address is not routed",
        "red-1",
        datagram((M_RED1, M_RED_GW), (link_local(M_RED1), S_GREEN1)),
    ),
)

_DOWN = ROUTED.but("r1", admin_state_up=False)
_REMOVED = ROUTED.without("green-gw")
_NO_R1 = ROUTED.without("r1")
_BARE = ROUTED.but("h1", vtep_addresses=())
CLOSED = (
    RoutingCase("a router that is down routes nothing", "red-1", _TO_GREEN1, site=_DOWN),
    RoutingCase("a router that is down answers no ping", "red-1", _ping(_RED1, M_RED_GW, RED_GW), site=_DOWN),
    RoutingCase(
        "another router of the network is not down with it",
        "red-1",
        _TO_GOLD,
        to={"gold-1": routed(_TO_GOLD, M_GOLD_GW, M_GOLD1)},
        site=_DOWN,
    ),
    RoutingCase(
        "an interface that was removed: no route",
        "red-1",
        datagram((M_RED1, M_RED_GW), (RED1, GREEN1)),
        reason=Reason.NO_ROUTE,
        told=error(_V4, _FROM_GW, (3, 0), datagram((M_RED1, M_RED_GW), (RED1, GREEN1))),
        site=_REMOVED,
    ),
    RoutingCase("an interface that was removed answers no ping", "green-1", _BACK, site=_REMOVED),
    RoutingCase(
        "a router that was deleted routes nothing: its MAC is unknown",
        "red-1",
        _TO_GREEN1,
        ("red-6",),
        site=_NO_R1,
    ),
    RoutingCase(
        "what leads into a network that is down is dropped",
        "red-1",
        _TO_GREEN1,
        site=ROUTED.but("green", admin_state_up=False),
    ),
    RoutingCase(
        "a port that is down is not reached",
        "red-1",
        _TO_GREEN1,
        site=ROUTED.but("green-1", admin_state_up=False),
    ),
    RoutingCase(
        "on a host without VTEP routers join its own ports",
        "red-1",
        _TO_GREEN1,
        to={"green-1": routed(_TO_GREEN1, M_GREEN_GW, M_GREEN1)},
        site=_BARE,
    ),
    RoutingCase(
        "broadcast with the router's address does not reach it",
        "gold-1",
        echo((M_GOLD1, BROADCAST), (GOLD1, GOLD_GW)),
    ),
)

EQUAL_COST = tuple(
    datagram((M_RED1, M_RED_GW), (RED1, f"172.20.{n >> 4}.{n}"), octets=8 + n) for n in range(64)
)
"""Packets that both machines get some of."""

ROUTING_CASES: dict[str, tuple[RoutingCase, ...]] = {
    "reached": REACHED,
    "routes": ROUTES,
    "own addresses": OWN,
    "errors": ERRORS,
    "closed": CLOSED,
}
"""All cases, by what they are about."""
