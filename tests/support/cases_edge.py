"""Stories of the edge: gateways, floating IPs and what is outside. Run on simulated switches and on real ones.

Hosts h1 and h2 are on the wire and serve gateways (h2 first), h3 is not. Routers r1 (red), r5 (rust, whose MACs and
addresses are red's) and plain (gold, without translation) have their gateways on *ext*, a flat network of the wire;
the machine there has 203.0.113.254, the next hop of everything else outside. Machines with a floating IP: red-1 and
rust-1 on h1, red-4 on h2, red-5 on h3, which only a gateway host can translate.
"""

from collections import Counter
from dataclasses import dataclass, field

from alcor.model.bgp import BgpSpeaker
from alcor.model.floatingip import FLOATING_IP_OWNER, FloatingIp
from alcor.model.host import Host
from alcor.model.network import Network
from alcor.model.port import Port
from alcor.model.port_forwarding import PortForwarding
from alcor.model.resource import Entity
from alcor.model.router import ROUTER_GATEWAY, Router
from alcor.model.subnet import Subnet
from tests.support.cases_routing import an_interface, routed
from tests.support.packet_cases import a_port
from tests.support.packet_site import OPEN, Site
from tests.support.packets import BROADCAST, advertisement, is_at, solicitation, who_has
from tests.support.stories import ACK, SYN, Machine, ping, pong, tcp, udp, unreachable

OUTSIDE = "outside"
"""Who sends or hears on the wire."""
WIRE = "wire"

M_OUT, OUT, S_OUT = "0e:00:00:00:00:fe", "203.0.113.254", "2001:db8:f::fe"
FAR, S_FAR = "198.51.100.9", "2001:db8:99::9"
M_RED, M_RUST, M_GOLD = "0a:00:00:00:00:01", "0a:00:00:00:00:01", "0a:00:00:00:00:03"
M_GW1, M_GW5, M_GWP = (f"0c:00:00:00:00:{n:02x}" for n in (1, 5, 9))
GW1, GW5, GWP, S_GW1 = "203.0.113.11", "203.0.113.15", "203.0.113.19", "2001:db8:f::11"
FLOATING = {"red-1": 101, "red-4": 104, "red-5": 105, "rust-1": 201}
FORWARDING = 150


def floating(n: int) -> Machine:
    """A floating IP as the outside sees it."""
    return Machine(OUTSIDE, f"1a:00:00:00:00:{n:02x}", f"203.0.113.{n}")


def _inner(port: str, n: int, net: int = 1, mac: int = 1) -> Machine:
    return Machine(port, f"02:00:00:00:{mac:02x}:{n:02x}", f"10.0.{net}.{n}")


RED1, RED2, RED3, RED4, RED5 = (_inner(f"red-{n}", n) for n in (1, 2, 3, 4, 5))
RUST1, RUST2 = _inner("rust-1", 1), _inner("rust-2", 2)
GOLD1 = _inner("gold-1", 1, 3, 3)
S_RED3 = Machine("red-3", RED3.mac, "fd00:1::3")
VIA_RED, VIA_RUST, VIA_GOLD = (Machine("", mac, "") for mac in (M_RED, M_RUST, M_GOLD))
WORLD, S_WORLD = Machine(OUTSIDE, M_OUT, FAR), Machine(OUTSIDE, M_OUT, S_FAR)
ROUTER1 = Machine(OUTSIDE, M_GW1, GW1)
S_ROUTER1 = Machine(OUTSIDE, M_GW1, S_GW1)
ROUTER5 = Machine(OUTSIDE, M_GW5, GW5)
FLOAT1, FLOAT4, FLOAT5, FLOAT_RUST = (
    floating(FLOATING[name]) for name in ("red-1", "red-4", "red-5", "rust-1")
)
FORWARD = floating(FORWARDING)


def to(machine: Machine, via: Machine) -> Machine:
    """A machine as it is reached through a router: its address, the router's MAC."""
    return Machine(machine.port, via.mac, machine.ip)


def _tenant(id: str, vni: int, net: int) -> tuple[Network, Subnet]:
    cidr = f"10.0.{net}.0/24"
    subnet = Subnet(id=f"{id}-v4", network_id=id, ip_version=4, cidr=cidr, gateway_ip=f"10.0.{net}.254")
    return Network(id=id, name=id, mtu=1450, provider_segmentation_id=vni), subnet


def _gateway(id: str, router: str, mac: str, *ips: str) -> Port:
    return a_port(
        id, "", mac, *ips, device_id=router, device_owner=ROUTER_GATEWAY, binding_vif_type="unbound"
    )


def _floating(n: int, router: str, port: Machine | None) -> tuple[Entity, Entity]:
    outer = floating(n)
    owner = a_port(
        f"ext-f{n}", "", outer.mac, outer.ip, device_owner=FLOATING_IP_OWNER, binding_vif_type="unbound"
    )
    row = FloatingIp(
        id=f"f{n}",
        floating_network_id="ext",
        floating_ip_address=outer.ip,
        floating_port_id=owner.id,
        port_id=port.port if port is not None else None,
        fixed_ip_address=port.ip if port is not None else None,
        router_id=router,
    )
    return owner, row


def _forward(id: str, protocol: str, outer: tuple[int, int], inner: tuple[int, int], port: Machine) -> Entity:
    return PortForwarding(
        id=id,
        floatingip_id=f"f{FORWARDING}",
        internal_port_id=port.port,
        internal_ip_address=port.ip,
        protocol=protocol,
        external_first=outer[0],
        external_last=outer[1],
        internal_first=inner[0],
        internal_last=inner[1],
    )


def _port(machine: Machine, host: str, *more: str) -> Port:
    return a_port(machine.port, host, machine.mac, machine.ip, *more, security_groups=(OPEN,))


_KNOWN = {OUT: M_OUT, S_OUT: M_OUT, GW1: M_GW1, GW5: M_GW5} | {
    one.ip: one.mac for one in (FLOAT1, FLOAT4, FLOAT5, FLOAT_RUST, FORWARD)
}

EDGE = Site(
    rows=(
        Host(
            id="h1", name="h1", vtep_addresses=("192.0.2.1",), gateway=True, bridge_mappings={WIRE: "br-ex"}
        ),
        Host(
            id="h2", name="h2", vtep_addresses=("192.0.2.2",), gateway=True, bridge_mappings={WIRE: "br-ex"}
        ),
        Host(id="h3", name="h3", vtep_addresses=("192.0.2.3",)),
        *_tenant("red", 6001, 1),
        *_tenant("rust", 6002, 1),
        *_tenant("gold", 6003, 3),
        Subnet(id="red-v6", network_id="red", ip_version=6, cidr="fd00:1::/64", gateway_ip="fd00:1::fe"),
        Network(
            id="ext",
            name="ext",
            mtu=1500,
            router_external=True,
            provider_network_type="flat",
            provider_physical_network=WIRE,
            provider_segmentation_id=None,
        ),
        Subnet(id="ext-v4", network_id="ext", ip_version=4, cidr="203.0.113.0/24", gateway_ip=OUT),
        Subnet(id="ext-v6", network_id="ext", ip_version=6, cidr="2001:db8:f::/64", gateway_ip=S_OUT),
        Router(id="r1", name="r1", gateway_ports=("ext-r1",)),
        Router(id="r5", name="r5", gateway_ports=("ext-r5",)),
        Router(id="plain", name="plain", gateway_ports=("ext-plain",), enable_snat=False),
        _gateway("ext-r1", "r1", M_GW1, GW1, S_GW1),
        _gateway("ext-r5", "r5", M_GW5, GW5),
        _gateway("ext-plain", "plain", M_GWP, GWP),
        an_interface("red-gw", "r1", M_RED, "10.0.1.254", "fd00:1::fe"),
        an_interface("rust-gw", "r5", M_RUST, "10.0.1.254"),
        an_interface("gold-gw", "plain", M_GOLD, "10.0.3.254"),
        _port(RED1, "h1"),
        _port(RED2, "h2"),
        _port(RED3, "h3", S_RED3.ip),
        _port(RED4, "h2"),
        _port(RED5, "h3"),
        _port(RUST1, "h1"),
        _port(RUST2, "h3"),
        _port(GOLD1, "h1"),
        *_floating(FLOATING["red-1"], "r1", RED1),
        *_floating(FLOATING["red-4"], "r1", RED4),
        *_floating(FLOATING["red-5"], "r1", RED5),
        *_floating(FLOATING["rust-1"], "r5", RUST1),
        *_floating(FORWARDING, "r1", None),
        _forward("ssh", "tcp", (2222, 2222), (22, 22), RED2),
        _forward("range", "udp", (5000, 5010), (5000, 5010), RED3),
        _forward("moved", "udp", (6000, 6001), (7000, 7001), RED2),
        _forward("many", "udp", (8000, 8003), (53, 53), RED2),
    ),
    next_hops=tuple((("ext", ip), mac) for ip, mac in _KNOWN.items()),
)
TAGGED = EDGE.but("ext", provider_network_type="vlan", provider_segmentation_id=7)
LOST = Site(EDGE.rows, lost_vteps=frozenset({"192.0.2.2"}), next_hops=EDGE.next_hops)
SPOKEN = Site(
    (*EDGE.rows, BgpSpeaker(id="bgp", local_as=64_512, ip_version=4, networks=("ext",))),
    next_hops=EDGE.next_hops,
)
UNKNOWN_OUTSIDE = Site(EDGE.rows)


def wired(frame: bytes, site: Site) -> bytes:
    """A frame as it is on the wire."""
    if site is not TAGGED:
        return frame
    return frame[:12] + bytes.fromhex("81000007") + frame[12:]


@dataclass(frozen=True)
class Step:
    """A frame that a port's machine, or OUTSIDE, sends; what arrives where, as often as it is listed.

    `punted`: how often the agents get it. `site`: what the region comes to before.
    """

    sender: str
    frame: bytes
    arrives: tuple[tuple[str, bytes], ...] = ()
    punted: int = 0
    site: Site | None = None

    @property
    def expected(self) -> Counter[tuple[str, bytes]]:
        """(place, frame) → how often."""
        return Counter(self.arrives)


@dataclass(frozen=True)
class EdgeStory:
    """`name`: a sentence."""

    name: str
    steps: tuple[Step, ...]
    site: Site = field(default=EDGE)


def out(source: Machine, frame: bytes, outer: Machine, arrived: bytes) -> Step:
    """It leaves with the MAC of `outer`, to the machine outside."""
    return Step(source.port, frame, ((OUTSIDE, routed(arrived, outer.mac, M_OUT)),))


def inside(frame: bytes, target: Machine, via: Machine, arrived: bytes) -> Step:
    """From outside it reaches a port, from its router's MAC."""
    return Step(OUTSIDE, frame, ((target.port, routed(arrived, via.mac, target.mac)),))


def nowhere(sender: str, frame: bytes, *, punted: int = 0, site: Site | None = None) -> Step:
    """It arrives nowhere."""
    return Step(sender, frame, (), punted, site)


def _ping_out(source: Machine, via: Machine, outer: Machine, number: int = 7) -> tuple[Step, Step]:
    """An echo request to the world and its answer."""
    world = S_WORLD if ":" in source.ip else WORLD
    return (
        out(source, ping(source, to(world, via), number), outer, ping(outer, world, number)),
        inside(pong(world, outer, number), source, via, pong(world, source, number)),
    )


def _tcp_out(source: Machine, via: Machine, outer: Machine, ports: tuple[int, int]) -> tuple[Step, ...]:
    back = ports[::-1]
    return (
        out(source, tcp(source, to(WORLD, via), ports, SYN), outer, tcp(outer, WORLD, ports, SYN)),
        inside(
            tcp(WORLD, outer, back, SYN | ACK, (1, 2)),
            source,
            via,
            tcp(WORLD, source, back, SYN | ACK, (1, 2)),
        ),
        out(
            source,
            tcp(source, to(WORLD, via), ports, ACK, (2, 2)),
            outer,
            tcp(outer, WORLD, ports, ACK, (2, 2)),
        ),
    )


def _udp_in(
    outer: Machine, target: Machine, via: Machine, ports: tuple[int, int], inner: int
) -> tuple[Step, Step]:
    """A datagram to a port of an outer address, and its answer."""
    return (
        inside(udp(WORLD, outer, ports), target, via, udp(WORLD, target, (ports[0], inner))),
        out(
            target,
            udp(target, to(WORLD, via), (inner, ports[0])),
            outer,
            udp(outer, WORLD, ports[::-1]),
        ),
    )


def _ping_in(outer: Machine, target: Machine, via: Machine) -> tuple[Step, Step]:
    return (
        inside(ping(WORLD, outer), target, via, ping(WORLD, target)),
        out(target, pong(target, to(WORLD, via)), outer, pong(outer, WORLD)),
    )


SNAT = (
    EdgeStory("a port of the gateway's host gets out and back", _ping_out(RED2, VIA_RED, ROUTER1)),
    EdgeStory("a port of another host gets out through it", _ping_out(RED3, VIA_RED, ROUTER1)),
    EdgeStory("so does TCP", _tcp_out(RED3, VIA_RED, ROUTER1, (40000, 80))),
    EdgeStory("on a VLAN too", _ping_out(RED3, VIA_RED, ROUTER1), TAGGED),
    EdgeStory(
        "two tenants with equal addresses and ports, each from its own address",
        (
            *_tcp_out(Machine("red-2", RED2.mac, RED2.ip), VIA_RED, ROUTER1, (40000, 80)),
            *_tcp_out(RUST2, VIA_RUST, ROUTER5, (40000, 80)),
        ),
    ),
    EdgeStory(
        "nobody gets in unasked",
        (
            nowhere(OUTSIDE, udp(WORLD, ROUTER1, (53, 5353))),
            nowhere(OUTSIDE, tcp(WORLD, ROUTER1, (80, 40000), SYN)),
            nowhere(OUTSIDE, tcp(WORLD, ROUTER1, (80, 40000), SYN | ACK)),
            nowhere(OUTSIDE, ping(WORLD, to(RED2, ROUTER1))),
            nowhere(OUTSIDE, udp(WORLD, to(RED2, ROUTER1), (53, 5353))),
        ),
    ),
    EdgeStory(
        "the router's outer address answers echo",
        (Step(OUTSIDE, ping(WORLD, ROUTER1), ((OUTSIDE, pong(ROUTER1, WORLD)),)),),
    ),
    EdgeStory(
        "on a VLAN too, with the tag",
        (Step(OUTSIDE, ping(WORLD, ROUTER1), ((OUTSIDE, pong(ROUTER1, WORLD)),)),),
        TAGGED,
    ),
    EdgeStory(
        "an error about what went out comes back to who sent it",
        (
            out(
                RED3,
                udp(RED3, to(WORLD, VIA_RED), (40000, 53)),
                ROUTER1,
                udp(ROUTER1, WORLD, (40000, 53)),
            ),
            inside(
                unreachable(WORLD, ROUTER1, routed(udp(ROUTER1, WORLD, (40000, 53)), M_GW1, M_OUT)),
                RED3,
                VIA_RED,
                unreachable(WORLD, RED3, routed(udp(RED3, WORLD, (40000, 53)), M_GW1, M_OUT)),
            ),
        ),
    ),
    EdgeStory("IPv6 gets out as it is", _ping_out(S_RED3, VIA_RED, Machine(OUTSIDE, M_GW1, S_RED3.ip))[:1]),
    EdgeStory(
        "IPv6 gets in as it is",
        (inside(ping(S_WORLD, to(S_RED3, S_ROUTER1)), S_RED3, VIA_RED, ping(S_WORLD, S_RED3)),),
    ),
    EdgeStory("the other gateway host takes over", _ping_out(RED3, VIA_RED, ROUTER1), LOST),
    EdgeStory(
        "without translation it gets out as it is",
        (
            out(GOLD1, ping(GOLD1, to(WORLD, VIA_GOLD)), Machine("", M_GWP, ""), ping(GOLD1, WORLD)),
            inside(
                udp(WORLD, Machine("", M_GWP, GOLD1.ip), (53, 99)),
                GOLD1,
                VIA_GOLD,
                udp(WORLD, GOLD1, (53, 99)),
            ),
        ),
    ),
)

FLOATING_IPS = (
    EdgeStory("out on its own host", _ping_out(RED1, VIA_RED, FLOAT1)),
    EdgeStory("in on its own host", _ping_in(FLOAT1, RED1, VIA_RED)),
    EdgeStory("TCP out", _tcp_out(RED1, VIA_RED, FLOAT1, (40000, 80))),
    EdgeStory("UDP in", _udp_in(FLOAT1, RED1, VIA_RED, (3000, 53), 53)),
    EdgeStory("on a VLAN too", (*_ping_out(RED1, VIA_RED, FLOAT1), *_ping_in(FLOAT1, RED1, VIA_RED)), TAGGED),
    EdgeStory("on the gateway's host", (*_ping_out(RED4, VIA_RED, FLOAT4), *_ping_in(FLOAT4, RED4, VIA_RED))),
    EdgeStory(
        "of a host without the wire, on the gateway's",
        (*_ping_out(RED5, VIA_RED, FLOAT5), *_ping_in(FLOAT5, RED5, VIA_RED)),
    ),
    EdgeStory(
        "two tenants with equal addresses and ports on one host",
        (
            *_tcp_out(RED1, VIA_RED, FLOAT1, (40000, 80)),
            *_tcp_out(RUST1, VIA_RUST, FLOAT_RUST, (40000, 80)),
            *_udp_in(FLOAT1, RED1, VIA_RED, (3000, 53), 53),
            *_udp_in(FLOAT_RUST, RUST1, VIA_RUST, (3000, 53), 53),
        ),
    ),
    EdgeStory(
        "an error about what came in goes back with the floating IP",
        (
            inside(udp(WORLD, FLOAT1, (3000, 53)), RED1, VIA_RED, udp(WORLD, RED1, (3000, 53))),
            out(
                RED1,
                unreachable(RED1, to(WORLD, VIA_RED), routed(udp(WORLD, RED1, (3000, 53)), M_RED, RED1.mac)),
                FLOAT1,
                unreachable(FLOAT1, WORLD, routed(udp(WORLD, FLOAT1, (3000, 53)), M_RED, RED1.mac)),
            ),
        ),
    ),
    EdgeStory(
        "what the outside asks a floating IP that nobody has reaches nobody",
        (
            nowhere(OUTSIDE, ping(WORLD, floating(99))),
            nowhere(OUTSIDE, ping(WORLD, to(floating(99), FLOAT1))),
        ),
    ),
)


def _twice(frame: bytes, source: Machine, target: Machine, via: Machine) -> bytes:
    """A frame as two routers of one host send it on."""
    return routed(routed(frame, source.mac, M_OUT), via.mac, target.mac)


ADVERTISED = (
    EdgeStory(
        "to the gateway, for a floating IP of another host: on to its MAC",
        (
            Step(
                OUTSIDE,
                ping(WORLD, to(FLOAT1, ROUTER1)),
                (
                    (OUTSIDE, routed(ping(WORLD, FLOAT1), M_GW1, FLOAT1.mac)),
                    ("red-1", _twice(ping(WORLD, RED1), ROUTER1, RED1, VIA_RED)),
                ),
            ),
            out(RED1, pong(RED1, to(WORLD, VIA_RED)), FLOAT1, pong(FLOAT1, WORLD)),
        ),
        SPOKEN,
    ),
    EdgeStory(
        "for a floating IP of its own host, and for one that only the gateway's host translates: translated at once",
        (
            inside(ping(WORLD, to(FLOAT4, ROUTER1)), RED4, VIA_RED, ping(WORLD, RED4)),
            inside(ping(WORLD, to(FLOAT5, ROUTER1)), RED5, VIA_RED, ping(WORLD, RED5)),
        ),
        SPOKEN,
    ),
    EdgeStory(
        "for another router's floating IP, or for nobody's: nowhere",
        (
            nowhere(OUTSIDE, ping(WORLD, to(FLOAT_RUST, ROUTER1))),
            nowhere(OUTSIDE, ping(WORLD, to(floating(99), ROUTER1))),
        ),
        SPOKEN,
    ),
    EdgeStory(
        "nobody told the outside to send it to the gateway: nowhere",
        (nowhere(OUTSIDE, ping(WORLD, to(FLOAT1, ROUTER1))),),
    ),
)

HAIRPIN = (
    EdgeStory(
        "between two tenants of one host, without leaving it",
        (
            Step(
                "red-1",
                ping(RED1, to(FLOAT_RUST, VIA_RED)),
                (("rust-1", _twice(ping(FLOAT1, RUST1), FLOAT1, RUST1, VIA_RUST)),),
            ),
            Step(
                "rust-1",
                pong(RUST1, to(FLOAT1, VIA_RUST)),
                (("red-1", _twice(pong(FLOAT_RUST, RED1), FLOAT_RUST, RED1, VIA_RED)),),
            ),
        ),
    ),
    EdgeStory(
        "to one's own floating IP",
        (
            Step(
                "red-1",
                udp(RED1, to(FLOAT1, VIA_RED), (4000, 53)),
                (("red-1", _twice(udp(FLOAT1, RED1, (4000, 53)), FLOAT1, RED1, VIA_RED)),),
            ),
            Step(
                "red-1",
                udp(RED1, to(FLOAT1, VIA_RED), (53, 4000)),
                (("red-1", _twice(udp(FLOAT1, RED1, (53, 4000)), FLOAT1, RED1, VIA_RED)),),
            ),
        ),
    ),
    EdgeStory(
        "between two hosts, over the wire",
        (
            Step(
                "red-1",
                ping(RED1, to(FLOAT4, VIA_RED)),
                (
                    (OUTSIDE, routed(ping(FLOAT1, FLOAT4), FLOAT1.mac, FLOAT4.mac)),
                    ("red-4", _twice(ping(FLOAT1, RED4), FLOAT1, RED4, VIA_RED)),
                ),
            ),
            Step(
                "red-4",
                pong(RED4, to(FLOAT1, VIA_RED)),
                (
                    (OUTSIDE, routed(pong(FLOAT4, FLOAT1), FLOAT4.mac, FLOAT1.mac)),
                    ("red-1", _twice(pong(FLOAT4, RED1), FLOAT4, RED1, VIA_RED)),
                ),
            ),
        ),
    ),
    EdgeStory(
        "from behind the gateway's address to a floating IP on its host, and back",
        (
            Step(
                "red-2",
                ping(RED2, to(FLOAT4, VIA_RED)),
                (("red-4", _twice(ping(ROUTER1, RED4), ROUTER1, RED4, VIA_RED)),),
            ),
            Step(
                "red-4",
                pong(RED4, to(ROUTER1, VIA_RED)),
                (("red-2", _twice(pong(FLOAT4, RED2), FLOAT4, RED2, VIA_RED)),),
            ),
        ),
    ),
    EdgeStory(
        "from behind another router's gateway address, and back",
        (
            Step(
                "rust-2",
                ping(RUST2, to(FLOAT4, VIA_RUST)),
                (("red-4", _twice(ping(ROUTER5, RED4), ROUTER5, RED4, VIA_RED)),),
            ),
            Step(
                "red-4",
                pong(RED4, to(ROUTER5, VIA_RED)),
                (("rust-2", _twice(pong(FLOAT4, RUST2), FLOAT4, RUST2, VIA_RUST)),),
            ),
        ),
    ),
)

FORWARDS = (
    EdgeStory(
        "one port",
        (
            inside(tcp(WORLD, FORWARD, (3000, 2222), SYN), RED2, VIA_RED, tcp(WORLD, RED2, (3000, 22), SYN)),
            out(
                RED2,
                tcp(RED2, to(WORLD, VIA_RED), (22, 3000), SYN | ACK, (1, 2)),
                FORWARD,
                tcp(FORWARD, WORLD, (2222, 3000), SYN | ACK, (1, 2)),
            ),
            inside(
                tcp(WORLD, FORWARD, (3000, 2222), ACK, (2, 2)),
                RED2,
                VIA_RED,
                tcp(WORLD, RED2, (3000, 22), ACK, (2, 2)),
            ),
        ),
    ),
    EdgeStory("a range, port by port, to another host", _udp_in(FORWARD, RED3, VIA_RED, (3000, 5007), 5007)),
    EdgeStory("a range to other ports", _udp_in(FORWARD, RED2, VIA_RED, (3000, 6001), 7001)),
    EdgeStory("a range to one port", _udp_in(FORWARD, RED2, VIA_RED, (3000, 8003), 53)),
    EdgeStory(
        "beside the forwarded ports there is nothing",
        (
            nowhere(OUTSIDE, tcp(WORLD, FORWARD, (3000, 2223), SYN)),
            nowhere(OUTSIDE, udp(WORLD, FORWARD, (3000, 5011))),
            nowhere(OUTSIDE, udp(WORLD, FORWARD, (3000, 2222))),
            nowhere(OUTSIDE, ping(WORLD, FORWARD)),
        ),
    ),
)


def _asked(ip: str, mac: str) -> Step:
    question = who_has(ip, (M_OUT, OUT))
    return Step(OUTSIDE, question, ((OUTSIDE, is_at(ip, mac, (M_OUT, OUT))),))


QUESTIONS = (
    EdgeStory("a floating IP's host answers for it, and nobody else", (_asked(FLOAT1.ip, FLOAT1.mac),)),
    EdgeStory("a gateway's host answers for it, and nobody else", (_asked(GW1, M_GW1),)),
    EdgeStory("and for floating IPs that are translated there", (_asked(FLOAT5.ip, FLOAT5.mac),)),
    EdgeStory("the host that takes over answers", (_asked(GW1, M_GW1),), LOST),
    EdgeStory("on a VLAN with the tag", (_asked(FLOAT1.ip, FLOAT1.mac),), TAGGED),
    EdgeStory("nobody answers for others", (nowhere(OUTSIDE, who_has("203.0.113.77", (M_OUT, OUT))),)),
    EdgeStory("nobody answers for inner addresses", (nowhere(OUTSIDE, who_has(RED1.ip, (M_OUT, OUT))),)),
    EdgeStory(
        "over IPv6 too",
        (
            Step(
                OUTSIDE,
                solicitation(S_GW1, (M_OUT, S_OUT)),
                ((OUTSIDE, advertisement(S_GW1, (M_GW1, S_GW1), (M_OUT, S_OUT))),),
            ),
        ),
    ),
    EdgeStory(
        "an unknown next hop is asked of the agent, with the packet as it will leave",
        (nowhere("red-1", ping(RED1, to(WORLD, VIA_RED)), punted=1),),
        UNKNOWN_OUTSIDE,
    ),
    EdgeStory(
        "what answers our own questions goes to the agent",
        (
            nowhere(OUTSIDE, is_at(OUT, M_OUT, (FLOAT1.mac, FLOAT1.ip)), punted=1),
            nowhere(OUTSIDE, is_at(OUT, M_OUT, (M_GW1, GW1)), punted=1),
            nowhere(OUTSIDE, is_at(OUT, M_OUT, (FLOAT1.mac, GW1))),
            nowhere(OUTSIDE, is_at(OUT, M_OUT, (BROADCAST, OUT))),
        ),
    ),
)

_GIVEN = EDGE.but("f104", router_id="r5", port_id="rust-2", fixed_ip_address=RUST2.ip)
_TAKEN = EDGE.without("f104")

CHANGES = (
    EdgeStory(
        "nobody keeps an address that another has now",
        (
            *_ping_out(RED4, VIA_RED, FLOAT4),
            nowhere("red-4", ping(RED4, to(WORLD, VIA_RED)), site=_GIVEN),
            *_ping_out(RUST2, VIA_RUST, FLOAT4),
            *_ping_out(RED4, VIA_RED, ROUTER1, 8),
        ),
    ),
    EdgeStory(
        "a port whose floating IP goes leaves by the gateway's",
        (
            *_ping_out(RED4, VIA_RED, FLOAT4),
            nowhere(OUTSIDE, ping(WORLD, FLOAT4), site=_TAKEN),
            nowhere("red-4", ping(RED4, to(WORLD, VIA_RED))),
            *_ping_out(RED4, VIA_RED, ROUTER1, 8),
        ),
    ),
    EdgeStory(
        "a port that gets a floating IP keeps the sessions it has",
        (
            *_ping_out(RED4, VIA_RED, ROUTER1),
            Step(
                "red-4",
                ping(RED4, to(WORLD, VIA_RED)),
                ((OUTSIDE, routed(ping(ROUTER1, WORLD), M_GW1, M_OUT)),),
                site=EDGE,
            ),
            *_ping_out(RED4, VIA_RED, FLOAT4, 8),
        ),
        _TAKEN,
    ),
)

EDGE_STORIES: dict[str, tuple[EdgeStory, ...]] = {
    "gateway": SNAT,
    "floating IP": FLOATING_IPS,
    "advertised": ADVERTISED,
    "hairpin": HAIRPIN,
    "forwarding": FORWARDS,
    "next hop": QUESTIONS,
    "change": CHANGES,
}
