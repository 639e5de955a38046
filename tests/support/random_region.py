"""Random small regions, and random packets in them, as rows of the API: for properties that hold in any region.

Tenants a and b have the same addresses and the same MACs, segments of the same number in networks of different types,
and their machines are on the same hosts. Every value comes from a small set, so that things meet. Network *ext* is
outside, on the wire; c1 is peered with a1 and has no router.
"""

import struct
from dataclasses import dataclass
from ipaddress import ip_address
from typing import NamedTuple

import hypothesis.strategies as st
import msgspec

from alcor.model.address_group import AddressGroup
from alcor.model.floatingip import FLOATING_IP_OWNER, FloatingIp
from alcor.model.host import Host
from alcor.model.network import Network
from alcor.model.network_acl import NetworkAcl, NetworkAclRule
from alcor.model.port import FixedIp, Port
from alcor.model.port_value import AddressPair
from alcor.model.resource import Entity
from alcor.model.router import ROUTER_GATEWAY, Route, Router
from alcor.model.security_group import SecurityGroup
from alcor.model.security_group_rule import SecurityGroupRule
from alcor.model.subnet import Subnet
from alcor.model.vpc_peering import ACTIVE, VpcPeering
from tests.support.packet_site import OPEN, RESPONDER_MAC, Site
from tests.support.packets import ethernet, ip_packet
from tests.support.transport_packets import ACK, ICMP, ICMPV6, SYN, TCP, UDP, icmp_text, tcp_text, udp_text

WIRE, LAN = "wire", "lan"
OUTSIDE = "outside"
M_OUT, OUT, S_OUT = "0e:00:00:00:00:fe", "203.0.113.254", "2001:db8:f::fe"
FAR, S_FAR = "198.51.100.9", "2001:db8:99::9"
BEHIND = "172.16.0.9"
INTERFACE = "network:router_interface"
NETWORKS = ("a1", "a2", "b1", "b2", "c1")
SERVICE_PORTS = (22, 53, 80)
CLIENT_PORTS_FROM = 40_000
NEXT_HOPS = ("10.0.1.1", "10.0.2.2", "10.0.2.1", OUT, "192.0.2.200")
_TYPES = ("vxlan", "vxlan", "geneve", "gre", "vlan")


class Packet(NamedTuple):
    """An IP packet. `protocol`: TCP, UDP or ICMP (of either version). Ports; of ICMP both are the identifier.

    `is_answer`: TCP without SYN, an echo reply.
    """

    source: str
    target: str
    protocol: int
    source_port: int
    target_port: int
    is_answer: bool = False
    hops: int = 64

    @property
    def version(self) -> int:
        """4 or 6."""
        return 6 if ":" in self.target else 4

    def reply(self) -> "Packet":
        """What its receiver would answer."""
        return Packet(self.target, self.source, self.protocol, self.target_port, self.source_port, True)


class Sent(NamedTuple):
    """A packet with its MACs; `place`: the id of the port that sends it, or OUTSIDE."""

    place: str
    source_mac: str
    target_mac: str
    packet: Packet

    def frame(self) -> bytes:
        """The whole Ethernet frame."""
        packet = self.packet
        ends, ports = (packet.source, packet.target), (packet.source_port, packet.target_port)
        protocol = packet.protocol
        if protocol == TCP:
            text = tcp_text(ends, ports, ACK if packet.is_answer else SYN)
        elif protocol == UDP:
            text = udp_text(ends, ports)
        else:
            types = (129, 128) if packet.version == 6 else (0, 8)
            protocol = ICMPV6 if packet.version == 6 else ICMP
            rest = struct.pack("!HH", packet.target_port, 1)
            text = icmp_text(ends, types[not packet.is_answer], 0, rest)
        kind, whole = ip_packet(*ends, protocol, text, hops=packet.hops)
        return ethernet(self.source_mac, self.target_mac, kind, whole)


@dataclass(frozen=True, eq=False, repr=False)
class Region(Site):
    """A random site, which says of its rows what is not as usual."""

    def __repr__(self) -> str:
        return "\n".join(map(_said, self.rows))


_UNSAID = ("id", "name", "mtu", "vtep_addresses", "network_id", "mac_address", "network_project_id")


def _said(row: Entity) -> str:
    fields = {
        one.name: getattr(row, one.name)
        for one in msgspec.structs.fields(row)
        if one.name not in _UNSAID and getattr(row, one.name) != one.default
    }
    return f"{type(row).__name__} {row.id} {fields}"


def tagged(site: Site, frame: bytes) -> bytes:
    """A frame as it is on the wire: with the tag of the external network, if it is a VLAN."""
    outer = next(row for row in site.rows if isinstance(row, Network) and row.id == "ext")
    vlan = outer.provider_segmentation_id
    return frame if vlan is None else frame[:12] + struct.pack("!HH", 0x8100, vlan) + frame[12:]


def read(frame: bytes) -> tuple[str, Packet]:
    """The target MAC and the packet of a frame, tagged or not."""
    rest = frame[12:] if frame[12:14] != b"\x81\x00" else frame[16:]
    is_ipv6 = rest[:2] == b"\x86\xdd"
    protocol, hops = (rest[8], rest[9]) if is_ipv6 else (rest[11], rest[10])
    ends = (rest[10:26], rest[26:42]) if is_ipv6 else (rest[14:18], rest[18:22])
    text = rest[42:] if is_ipv6 else rest[22:]
    ports = struct.unpack("!HH", text[:4])
    is_answer = protocol == TCP and text[13] != SYN
    if protocol in (ICMP, ICMPV6):
        protocol, is_answer, (number,) = ICMP, text[0] in (0, 129), struct.unpack("!H", text[4:6])
        ports = (number, number)
    source, target = (str(ip_address(end)) for end in ends)
    return frame[:6].hex(":"), Packet(source, target, protocol, ports[0], ports[1], is_answer, hops)


def subnet_prefix(network_id: str, version: int) -> str:
    """What the addresses of a network begin with."""
    return f"10.0.{network_id[1]}." if version == 4 else f"fd00:{network_id[1]}::"


def _subnets(network_id: str) -> tuple[Subnet, ...]:
    if network_id == "c1":
        return (_subnet("c1", 4, "10.0.3.0/24", "10.0.3.254"),)
    n = network_id[1]
    return (
        _subnet(network_id, 4, f"10.0.{n}.0/24", f"10.0.{n}.254"),
        _subnet(network_id, 6, f"fd00:{n}::/64", f"fd00:{n}::fe"),
    )


def _subnet(network_id: str, version: int, cidr: str, gateway: str) -> Subnet:
    id = f"{network_id}-v{version}"
    return Subnet(id=id, network_id=network_id, ip_version=version, cidr=cidr, gateway_ip=gateway)


@st.composite
def _hosts(draw: st.DrawFn) -> tuple[Host, ...]:
    """h1 serves gateways; h2 may, and may reach the wire; h3 may reach it."""
    reaches = {"h1": True, "h2": draw(st.booleans()), "h3": draw(st.booleans())}
    serves = {"h1": True, "h2": draw(st.booleans()), "h3": False}
    vteps = {n: (f"192.0.2.{n}", f"2001:db8::{n}") for n in (1, 2, 3)}
    return tuple(
        Host(
            id=f"h{n}",
            name=f"h{n}",
            vtep_addresses=vteps[n] if n < 3 else vteps[n][::-1],
            gateway=serves[f"h{n}"],
            bridge_mappings={LAN: "br-lan"} | ({WIRE: "br-ex"} if reaches[f"h{n}"] else {}),
        )
        for n in (1, 2, 3)
    )


@st.composite
def _networks(draw: st.DrawFn) -> tuple[Network, ...]:
    """Numbers of segments are unique per type only. What goes to a gateway on another host needs a tunnel."""
    used: dict[str, int] = {}
    found = []
    for id in NETWORKS:
        kind = draw(st.sampled_from(_TYPES))
        used[kind] = used.get(kind, 99) + 1
        found.append(
            Network(
                id=id,
                name=id,
                mtu=1400,
                admin_state_up=draw(st.sampled_from((True,) * 19 + (False,))),
                provider_network_type=kind,
                provider_segmentation_id=used[kind],
                provider_physical_network=LAN if kind == "vlan" else None,
            )
        )
    vlan = draw(st.sampled_from((None, 7)))
    outer = Network(
        id="ext",
        name="ext",
        mtu=1500,
        router_external=True,
        provider_network_type="flat" if vlan is None else "vlan",
        provider_segmentation_id=vlan,
        provider_physical_network=WIRE,
    )
    return (*found, outer)


def mac_of(network_id: str, n: int) -> str:
    """The MAC of the n-th machine of a network: the same in both tenants."""
    return f"02:00:00:00:{int(network_id[1]) + 8 * (network_id[0] == 'c'):02x}:{n:02x}"


def router_mac(network_id: str) -> str:
    """The MAC of a router's interface on a network: the same in both tenants."""
    return f"0a:00:00:00:00:{int(network_id[1]):02x}"


def _port(id: str, mac: str, ips: tuple[str, ...], **fields: object) -> Port:
    network = id.split("-")[0]
    fixed = tuple(FixedIp(f"{network}-v6" if ":" in ip else f"{network}-v4", ip) for ip in ips)
    values = {"id": id, "name": id, "network_id": network, "mac_address": mac, "fixed_ips": fixed, **fields}
    return Port(**values)  # type: ignore[arg-type]  # the fields are checked when the row is made


@st.composite
def machines(draw: st.DrawFn, network_id: str, n: int) -> Port:
    """The n-th machine of a network: on some host or none, guarded by some groups or not at all."""
    tenant = network_id[0]
    v4, v6 = subnet_prefix(network_id, 4), subnet_prefix(network_id, 6)
    has_v6 = tenant != "c" and draw(st.booleans())
    net = "10.0.3." if tenant == "c" else v4
    secured = draw(st.sampled_from((True,) * 6 + (False,)))
    groups = draw(
        st.sampled_from(
            ((OPEN,),) * 6 + ((f"{tenant}g1",), (f"{tenant}g1",), (f"{tenant}g1", f"{tenant}g2"), ())
        )
    )
    mac = mac_of(network_id, n)
    pairs = draw(
        st.sampled_from(((), (), (), (AddressPair(f"{v4}50", mac),), (AddressPair("172.16.0.0/16", mac),)))
    )
    host = draw(st.sampled_from(("h1", "h1", "h2", "h2", "h3", "h3", "")))
    return _port(
        f"{network_id}-{n}",
        mac,
        (f"{net}{n}", *((f"{v6}{n}",) if has_v6 else ())),
        port_security_enabled=secured,
        security_groups=groups if secured else (),
        allowed_address_pairs=pairs if secured else (),
        admin_state_up=draw(st.sampled_from((True,) * 19 + (False,))),
        binding_host_id=host,
        binding_vif_type="ovs" if host else "unbound",
    )


@st.composite
def group_rules(draw: st.DrawFn, group: str, n: int) -> SecurityGroupRule:
    """One rule of a security group, about things there are."""
    version = draw(st.sampled_from((4, 4, 6)))
    protocol = draw(st.sampled_from((None, "icmp", "tcp", "udp")))
    first = last = None
    if protocol == "icmp":
        request = 128 if version == 6 else 8
        first, last = draw(st.sampled_from(((None, None), (request, None), (request, 0), (0, 0))))
    elif protocol is not None:
        first, last = draw(st.sampled_from(((None, None), (80, 80), (22, 80), (1, 65_535))))
    prefixes = ("fd00:1::/64", "::/0") if version == 6 else ("10.0.1.0/24", "10.0.2.1/32", "203.0.113.0/24")
    remote = draw(
        st.sampled_from(
            (
                {},
                {"remote_ip_prefix": draw(st.sampled_from(prefixes))},
                {"remote_group_id": f"{group[0]}g1"},
                {"remote_group_id": f"{group[0]}g2"},
                {"remote_address_group_id": f"{group[0]}s"},
            )
        )
    )
    rule = SecurityGroupRule(
        id=f"{group}-{n}",
        security_group_id=group,
        direction=draw(st.sampled_from(("ingress", "egress"))),
        ethertype=f"IPv{version}",
        protocol=protocol if protocol != "icmp" or version == 4 else "ipv6-icmp",
        port_range_min=first,
        port_range_max=last,
    )
    return msgspec.structs.replace(rule, **remote)


@st.composite
def _groups(draw: st.DrawFn, tenant: str) -> list[Entity]:
    prefixes = ("10.0.1.1/32", "10.0.1.0/30", "10.0.2.2/32", "198.51.100.0/24", "fd00:2::/64")
    chosen = draw(st.lists(st.sampled_from(prefixes), max_size=2, unique=True))
    rows: list[Entity] = [AddressGroup(id=f"{tenant}s", addresses=tuple(chosen))]
    for group in (f"{tenant}g1", f"{tenant}g2"):
        stateful = draw(st.sampled_from((True, True, True, False)))
        rows.append(SecurityGroup(id=group, stateful=stateful))
        rows += [draw(group_rules(group, n)) for n in range(draw(st.integers(1, 4)))]
        if draw(st.sampled_from((True, True, False))):
            rows.append(SecurityGroupRule(id=f"{group}-out", security_group_id=group, direction="egress"))
    return rows


@st.composite
def acl_rules(draw: st.DrawFn, acl: str, number: int) -> NetworkAclRule:
    """One rule of a network ACL."""
    protocol = draw(st.sampled_from(("all", "tcp", "udp", "icmp")))
    ports = draw(st.sampled_from(((None, None), (80, 80), (1024, 65_535))))
    kind, prefix = draw(
        st.sampled_from((("ipv4", "0.0.0.0/0"), ("ipv4", "10.0.2.0/24"), ("ipv4", "10.0.1.1/32")))
    )
    return NetworkAclRule(
        id=f"{acl}-{number}",
        network_acl_id=acl,
        number=number,
        direction=draw(st.sampled_from(("ingress", "egress"))),
        action=draw(st.sampled_from(("allow", "allow", "deny"))),
        ether_type=kind,
        ip_prefix=prefix,
        protocol=protocol,
        port_range_min=ports[0] if protocol in ("tcp", "udp") else None,
        port_range_max=ports[1] if protocol in ("tcp", "udp") else None,
    )


@st.composite
def _acls(draw: st.DrawFn) -> list[Entity]:
    network = draw(st.sampled_from((None, None, "a1", "a2", "b1")))
    if network is None:
        return []
    acl = NetworkAcl(id="acl", network_id=network, associated_subnets=(f"{network}-v4",))
    return [acl, *(draw(acl_rules("acl", number)) for number in range(1, draw(st.integers(1, 5))))]


def _router_port(id: str, router: str, mac: str, owner: str, *ips: str) -> Port:
    return _port(id, mac, ips, device_id=router, device_owner=owner, security_groups=())


@st.composite
def _routers(draw: st.DrawFn, tenant: str, number: int, vlans: set[str]) -> list[Entity]:
    """A router on one or two networks. A gateway is reached by tunnels, hence not from VLANs."""
    id = f"{tenant}r"
    nets = (f"{tenant}1", f"{tenant}2")[: draw(st.sampled_from((1, 2, 2, 2)))]
    has_gateway = vlans.isdisjoint(nets) and draw(st.sampled_from((True, True, True, True, False)))
    hops = draw(st.lists(st.sampled_from(NEXT_HOPS), max_size=1))
    rows: list[Entity] = [
        Router(
            id=id,
            name=id,
            admin_state_up=draw(st.sampled_from((True,) * 19 + (False,))),
            enable_snat=draw(st.sampled_from((True, True, False))),
            gateway_ports=(f"ext-{id}",) if has_gateway else (),
            routes=tuple(Route("172.16.0.0/16", hop) for hop in hops),
        )
    ]
    for net in nets:
        ips = tuple(str(subnet.gateway_ip) for subnet in _subnets(net))
        rows.append(_router_port(f"{net}-gw", id, router_mac(net), INTERFACE, *ips))
    if has_gateway:
        ips = (f"203.0.113.{number}", f"2001:db8:f::{number}")
        rows.append(_router_port(f"ext-{id}", id, f"0c:00:00:00:00:{number:02x}", ROUTER_GATEWAY, *ips))
    return rows


@st.composite
def _floating(draw: st.DrawFn, tenant: str, rows: list[Entity]) -> list[Entity]:
    """Floating IPs for machines that a router with a gateway serves, as the API demands."""
    ports = {row.id: row for row in rows if isinstance(row, Port)}
    if f"ext-{tenant}r" not in ports:
        return []
    able = [port for port in ports.values() if not port.device_owner and f"{port.network_id}-gw" in ports]
    able = [port for port in able if port.network_id[0] == tenant]
    found: list[Entity] = []
    picked = draw(st.lists(st.sampled_from(able), max_size=2, unique_by=lambda port: port.id)) if able else []
    for n, port in enumerate(picked, start=100 if tenant == "a" else 110):
        ip = f"203.0.113.{n}"
        owner = _port(f"ext-f{n}", f"1a:00:00:00:00:{n:02x}", (ip,), device_owner=FLOATING_IP_OWNER)
        found += [
            msgspec.structs.replace(owner, security_groups=()),
            FloatingIp(
                id=f"f{n}",
                floating_network_id="ext",
                floating_ip_address=ip,
                floating_port_id=owner.id,
                port_id=port.id,
                fixed_ip_address=port.fixed_ips[0].ip_address,
                router_id=f"{tenant}r",
            ),
        ]
    return found


@st.composite
def regions(draw: st.DrawFn) -> Region:
    """A whole region, and what its agents have found out about the outside."""
    rows: list[Entity] = [*draw(_hosts()), *draw(_networks())]
    for network_id in NETWORKS:
        rows += _subnets(network_id)
        count = 1 if network_id == "c1" else draw(st.integers(1, 3))
        rows += [draw(machines(network_id, n)) for n in range(1, count + 1)]
    rows += [_subnet("ext", 4, "203.0.113.0/24", OUT), _subnet("ext", 6, "2001:db8:f::/64", S_OUT)]
    vlans = {row.id for row in rows if isinstance(row, Network) and row.provider_network_type == "vlan"}
    for number, tenant in ((11, "a"), (12, "b")):
        rows += draw(_groups(tenant)) + draw(_routers(tenant, number, vlans))
    rows += [AddressGroup(id="cs"), SecurityGroup(id="cg1"), SecurityGroup(id="cg2")]
    for tenant in ("a", "b"):
        rows += draw(_floating(tenant, rows))
    rows += draw(_acls())
    if draw(st.booleans()):
        rows.append(
            VpcPeering(id="p", network_id="a1", peer_network_id="c1", peer_project_id="", status=ACTIVE)
        )
    return Region(tuple(rows), next_hops=next_hops_of(tuple(rows)))


def next_hops_of(rows: tuple[Entity, ...]) -> tuple[tuple[tuple[str, str], str], ...]:
    """What agents find out by asking outside: the machine there, and every outer address of the region."""
    known = {OUT: M_OUT, S_OUT: M_OUT}
    for row in rows:
        if isinstance(row, Port) and row.network_id == "ext":
            known |= {ip.ip_address: row.mac_address for ip in row.fixed_ips}
    return tuple((("ext", ip), mac) for ip, mac in known.items())


def target_mac(site: Site, port: Port, target: str) -> str | None:
    """Whom a guest's kernel would send to: the address's owner on the link, else its gateway; None: nobody."""
    version = 6 if ":" in target else 4
    mine = [ip for ip in port.fixed_ips if (":" in ip.ip_address) == (version == 6)]
    if not mine:
        return None
    on_link = (
        target.rpartition(":" if version == 6 else ".")[0]
        == mine[0].ip_address.rpartition(":" if version == 6 else ".")[0]
    )
    wanted = (
        target
        if on_link
        else next(
            str(row.gateway_ip)
            for row in site.rows
            if isinstance(row, Subnet) and row.id == mine[0].subnet_id
        )
    )
    for other in site.ports:
        if other.network_id == port.network_id and any(ip.ip_address == wanted for ip in other.fixed_ips):
            return other.mac_address
    # Where no router is, the region's own MAC stands for one on the way to a peered network.
    return RESPONDER_MAC if port.network_id == "c1" and wanted == "10.0.3.254" else None


def _pool(site: Site, port: Port) -> list[str]:
    """Addresses to send to: more often of the sender's own tenant, of the outside, and floating IPs."""
    version = 6 if any(":" in ip.ip_address for ip in port.fixed_ips) else 4
    every = sorted({ip.ip_address for port in site.ports for ip in port.fixed_ips})
    near = [
        ip.ip_address
        for other in site.ports
        for ip in other.fixed_ips
        if other.network_id[0] == port.network_id[0] or other.device_owner == FLOATING_IP_OWNER
    ]
    found = [
        *every,
        *near,
        *near,
        FAR,
        FAR,
        FAR,
        BEHIND,
        OUT,
        "10.0.1.77",
        *([S_FAR] if version == 6 else []),
    ]
    return [ip for ip in found if version == 6 or ":" not in ip]


@st.composite
def packets(draw: st.DrawFn, source: str, target: str, number: int) -> Packet:
    """A packet between two addresses of one version; `number`: of the connection, each has its own."""
    protocol = draw(st.sampled_from((ICMP, TCP, UDP)))
    port = draw(st.sampled_from(SERVICE_PORTS))
    hops = draw(st.sampled_from((64,) * 11 + (1,)))
    client = CLIENT_PORTS_FROM + number
    ports = (client, client if protocol == ICMP else port)
    is_answer = draw(st.sampled_from((False,) * 15 + (True,)))
    if is_answer:
        ports = ports[::-1]
    return Packet(source, target, protocol, *ports, is_answer=is_answer, hops=hops)


@st.composite
def sent(draw: st.DrawFn, site: Site, number: int) -> Sent | None:
    """The first packet of the connection `number`; None if a guest's kernel would not know where to."""
    ports = [port for port in site.ports if not port.device_owner and port.binding_host_id]
    if not ports or draw(st.sampled_from((False, False, False, False, True))):
        return draw(_from_outside(site, number))
    port = draw(st.sampled_from(ports))
    target = draw(st.sampled_from(_pool(site, port)))
    version = 6 if ":" in target else 4
    own = [ip.ip_address for ip in port.fixed_ips if (":" in ip.ip_address) == (version == 6)]
    if not own or target in own:
        return None
    pairs = ("10.0.1.50", "10.0.2.50", BEHIND, "10.0.1.2") if version == 4 else ("fd00:1::2",)
    source = draw(st.sampled_from(own * 24 + list(pairs)))
    mac = target_mac(site, port, target)
    if mac is None or source == target:
        return None
    return Sent(port.id, port.mac_address, mac, draw(packets(source, target, number)))


@st.composite
def _from_outside(draw: st.DrawFn, site: Site, number: int) -> Sent | None:
    """To an outer address, or by a gateway to an inner one."""
    outer = [port for port in site.ports if port.network_id == "ext"]
    if not outer:
        return None
    port = draw(st.sampled_from(outer))
    inner = [ip.ip_address for other in site.ports for ip in other.fixed_ips if other.network_id != "ext"]
    own = [ip.ip_address for ip in port.fixed_ips]
    target = draw(st.sampled_from(own * 4 + inner))
    source = draw(st.sampled_from((S_FAR, S_OUT) if ":" in target else (FAR, OUT)))
    return Sent(OUTSIDE, M_OUT, port.mac_address, draw(packets(source, target, number)))
