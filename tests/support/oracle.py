"""Who receives a packet, by the rows of the API alone: an independent specification of the data plane.

Plain Python over rows; it knows nothing of goal state, views, tables or flows. `Oracle.send` says where a packet
arrives and with which addresses, and remembers connections, as stateful groups and translations must. What it leaves
out: QoS, DHCP and other services, discovery, fragments, firewall groups, port forwardings, broadcast.

Sources of the rules: the Networking API's reference, version 2 (named *API* below), and the RFCs that are cited.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from typing import NamedTuple

from alcor.model.address_group import AddressGroup
from alcor.model.floatingip import FloatingIp
from alcor.model.host import Host
from alcor.model.ip_protocol import protocol_number
from alcor.model.network import Network
from alcor.model.network_acl import NetworkAcl, NetworkAclRule
from alcor.model.port import Port
from alcor.model.resource import Entity
from alcor.model.router import ROUTER_GATEWAY, Router
from alcor.model.security_group import SecurityGroup
from alcor.model.security_group_rule import SecurityGroupRule
from alcor.model.subnet import Subnet
from alcor.model.vpc_peering import ACTIVE, VpcPeering
from tests.support.packet_site import OPEN_ROWS, RESPONDER_MAC
from tests.support.random_region import INTERFACE, M_OUT, OUT, OUTSIDE, S_OUT, Packet, Sent
from tests.support.transport_packets import ICMP, ICMPV6

OUTER_NEIGHBOURS = {OUT: M_OUT, S_OUT: M_OUT}
"""Who answers on the external network besides the region itself."""


class Arrival(NamedTuple):
    """A packet at its end: the id of a port, or OUTSIDE. `source_port` None: whichever the translation chose."""

    place: str
    source: str
    target: str
    protocol: int
    source_port: int | None
    target_port: int


Arrivals = frozenset[Arrival]
End = tuple[str, int]
"""An address and a port."""
NOWHERE: Arrivals = frozenset()


class Way(NamedTuple):
    """Where a router sends a packet: the network (None: nowhere), and whose address is next there."""

    network_id: str | None
    next_hop: str


class Session(NamedTuple):
    """A translation to a router's own address: who is behind it. `port`: the outer one, None until it was seen."""

    router_id: str
    protocol: int
    remote: tuple[str, int]
    inner: tuple[str, int]
    port: int | None


def within(address: str, prefix: str) -> bool:
    """Whether a prefix holds an address."""
    net, found = ip_network(prefix), ip_address(address)
    return found.version == net.version and found in net


def _number(packet: Packet) -> int:
    return ICMPV6 if packet.protocol == ICMP and packet.version == 6 else packet.protocol


def _icmp_type(packet: Packet) -> int:
    return {4: (8, 0), 6: (128, 129)}[packet.version][packet.is_answer]


def _fits(first: int | None, last: int | None, packet: Packet) -> bool:
    """Ports, or ICMP type and code, of a rule. API: "port_range_min" of security group rules."""
    if packet.protocol == ICMP:
        return (first is None or first == _icmp_type(packet)) and last in (None, 0)
    return (first is None or first <= packet.target_port) and (last is None or packet.target_port <= last)


@dataclass
class Oracle:
    """The region's rows, and the connections it has seen."""

    rows: tuple[Entity, ...]
    sessions: dict[tuple[object, ...], tuple[End, bool]] = field(default_factory=dict)
    translations: list[Session] = field(default_factory=list)
    # Who sent an echo request, with which identifier, to an address that a floating IP stands for.
    askers: set[tuple[str, int, str]] = field(default_factory=set)

    def __post_init__(self) -> None:
        rows = (*self.rows, *OPEN_ROWS)
        self.hosts = {row.name: row for row in rows if isinstance(row, Host)}
        self.networks = {row.id: row for row in rows if isinstance(row, Network)}
        self.subnets = {row.id: row for row in rows if isinstance(row, Subnet)}
        self.ports = {row.id: row for row in rows if isinstance(row, Port)}
        self.routers = {row.id: row for row in rows if isinstance(row, Router)}
        self.floats = [row for row in rows if isinstance(row, FloatingIp)]
        self.groups = {row.id: row for row in rows if isinstance(row, SecurityGroup)}
        self.group_rules = [row for row in rows if isinstance(row, SecurityGroupRule)]
        self.address_groups = {row.id: row for row in rows if isinstance(row, AddressGroup)}
        self.acls = [row for row in rows if isinstance(row, NetworkAcl)]
        self.acl_rules = [row for row in rows if isinstance(row, NetworkAclRule)]
        self.peerings = [row for row in rows if isinstance(row, VpcPeering) and row.status == ACTIVE]

    # --- where it begins -----------------------------------------------------------------------------------

    def send(self, sent: Sent) -> Arrivals:
        """Where it arrives."""
        if sent.place == OUTSIDE:
            return self._from_outside(sent)
        port = self.ports[sent.place]
        if not self.is_open(port) or not self._is_own_source(port, sent):
            return NOWHERE
        if not self._groups_let(port, sent.packet, is_ingress=False):
            return NOWHERE
        if not self._acl_lets(port.network_id, sent.packet, is_ingress=False):
            return NOWHERE
        router_id = self._router_with(port.network_id, sent.target_mac)
        if router_id is not None:
            return self._routed(router_id, port, sent.packet)
        return self._switched(port, sent)

    def leaves_open(self, sent: Sent) -> bool:
        """Whether nothing says what becomes of it: an echo request from inside to another router's outer address."""
        is_echo = sent.packet.protocol == ICMP and not sent.packet.is_answer
        outer = {ip.ip_address for port in self._of("ext") for ip in port.fixed_ips if port.device_id}
        return is_echo and sent.place != OUTSIDE and sent.packet.target in outer

    def learn(self, port: int) -> None:
        """The source port that the last translation to a router's own address chose."""
        self.translations[-1] = self.translations[-1]._replace(port=port)

    # --- ports ---------------------------------------------------------------------------------------------

    def host_of(self, port: Port) -> Host | None:
        """Where it is bound. API: "binding:host_id", "binding:vif_type"."""
        return self.hosts.get(port.binding_host_id) if port.binding_vif_type == "ovs" else None

    def is_open(self, port: Port) -> bool:
        """Bound, and port and network up. API: "admin_state_up": down, it forwards no packets."""
        is_up = port.admin_state_up and self.networks[port.network_id].admin_state_up
        return is_up and self.host_of(port) is not None

    def _is_own_source(self, port: Port, sent: Sent) -> bool:
        """Anti-spoofing. API: "port_security_enabled", "allowed_address_pairs"."""
        if not port.port_security_enabled:
            return True
        own = [(port.mac_address, ip.ip_address) for ip in port.fixed_ips]
        own += [(pair.mac_address, pair.ip_address) for pair in port.allowed_address_pairs]
        return any(sent.source_mac == mac and within(sent.packet.source, _prefix(text)) for mac, text in own)

    def _at(self, network_id: str, **names: str) -> list[Port]:
        """The bound ports of a network with a `mac` or an `ip`."""
        return [
            port
            for port in self.ports.values()
            if port.network_id == network_id
            and self.host_of(port) is not None
            and (
                names.get("mac") == port.mac_address
                or names.get("ip") in {ip.ip_address for ip in port.fixed_ips}
            )
        ]

    def _switched(self, sender: Port, sent: Sent) -> Arrivals:
        """On the link: to the MAC's owner; a MAC nobody bound has: to all that may have more than they were given.

        API: "port_security_enabled" false: any MAC may be behind the port. IEEE 802.1Q: unknown unicast is flooded.
        """
        owners = self._at(sender.network_id, mac=sent.target_mac)
        if not owners:
            owners = [
                port
                for port in self.ports.values()
                if port.network_id == sender.network_id and not port.port_security_enabled
            ]
        found = (self._received(port, sent.packet) for port in owners if port is not sender)
        return frozenset().union(*found)

    def _received(self, port: Port, packet: Packet) -> Arrivals:
        if not self.is_open(port) or not self._acl_lets(port.network_id, packet, is_ingress=True):
            return NOWHERE
        if not self._groups_let(port, packet, is_ingress=True):
            return NOWHERE
        return frozenset({_arrival(port.id, packet)})

    # --- groups and lists ----------------------------------------------------------------------------------

    def _groups_let(self, port: Port, packet: Packet, *, is_ingress: bool) -> bool:
        """Default deny; replies of what was allowed pass. API: security groups, "stateful"."""
        if not port.port_security_enabled:
            return True
        groups = port.security_groups or ()
        remote = packet.source if is_ingress else packet.target
        allowed = any(
            rule.security_group_id in groups
            and (rule.direction == "ingress") is is_ingress
            and self._allows(rule, packet, remote)
            for rule in self.group_rules
        )
        if groups and not any(self.groups[id].stateful for id in groups):
            return allowed
        key, speaker = _session(port.id, packet)
        held = self.sessions.get(key)
        if held is not None and held[0] != speaker:
            return held[1]
        if packet.protocol == ICMP and packet.is_answer:
            return False  # RFC 5508: an echo reply opens no session
        if allowed or held is not None:
            self.sessions[key] = (speaker, allowed)
        return allowed

    def _allows(self, rule: SecurityGroupRule, packet: Packet, remote: str) -> bool:
        """API: security group rules."""
        if rule.ethertype != f"IPv{packet.version}":
            return False
        if rule.protocol is not None:
            number = protocol_number(rule.protocol)
            number = ICMPV6 if number == ICMP and packet.version == 6 else number
            if number != _number(packet) or not _fits(rule.port_range_min, rule.port_range_max, packet):
                return False
        return any(within(remote, prefix) for prefix in self._remotes(rule))

    def _remotes(self, rule: SecurityGroupRule) -> Iterator[str]:
        if rule.remote_ip_prefix is not None:
            yield rule.remote_ip_prefix
        elif rule.remote_address_group_id is not None:
            yield from map(_prefix, self.address_groups[rule.remote_address_group_id].addresses)
        elif rule.remote_group_id is not None:
            for port in self.ports.values():
                if rule.remote_group_id in (port.security_groups or ()) and port.port_security_enabled:
                    yield from (_prefix(ip.ip_address) for ip in port.fixed_ips)
                    yield from (_prefix(pair.ip_address) for pair in port.allowed_address_pairs)
        else:
            yield from ("0.0.0.0/0", "::/0")

    def _acl_lets(self, network_id: str, packet: Packet, *, is_ingress: bool) -> bool:
        """Ordered, without memory, for what crosses a subnet's border. Source: the data plane's correction 5."""
        guarded, remote = (packet.target, packet.source) if is_ingress else (packet.source, packet.target)
        for subnet in (one for one in self.subnets.values() if one.network_id == network_id):
            if not within(guarded, subnet.cidr) or within(remote, subnet.cidr):
                continue
            for acl in self.acls:
                if subnet.id in acl.associated_subnets:
                    return self._first_says(acl, packet, remote, is_ingress=is_ingress)
        return True

    def _first_says(self, acl: NetworkAcl, packet: Packet, remote: str, *, is_ingress: bool) -> bool:
        rules = [rule for rule in self.acl_rules if rule.network_acl_id == acl.id]
        for rule in sorted(rules, key=lambda rule: rule.number):
            number = None if rule.protocol == "all" else protocol_number(rule.protocol)
            if (
                (rule.direction == "ingress") is is_ingress
                and rule.ether_type.lower() == f"ipv{packet.version}"
                and number in (None, _number(packet))
                and (number is None or _fits(rule.port_range_min, rule.port_range_max, packet))
                and within(remote, rule.ip_prefix)
            ):
                return rule.action == "allow"
        return False

    # --- routers -------------------------------------------------------------------------------------------

    def _interfaces(self, router_id: str) -> list[Port]:
        """A router's ports on inner networks. API: "device_owner", "device_id"."""
        return [
            port
            for port in self.ports.values()
            if port.device_owner == INTERFACE and port.device_id == router_id and port.admin_state_up
        ]

    def _gateway(self, router_id: str) -> Port | None:
        """API: "external_gateway_info"."""
        router = self.routers.get(router_id)
        ids = router.gateway_ports if router is not None else ()
        return self.ports[ids[0]] if ids else None

    def _own_ports(self, router_id: str) -> list[Port]:
        """The ports whose addresses a router answers for: not on a network that is down."""
        found = self._interfaces(router_id)
        gateway = self._gateway(router_id)
        found += [gateway] if gateway is not None else []
        return [port for port in found if self.networks[port.network_id].admin_state_up]

    def _peers(self, network_id: str) -> list[str]:
        pairs = [(one.network_id, one.peer_network_id) for one in self.peerings]
        return [b if a == network_id else a for a, b in pairs if network_id in (a, b)]

    def _router_with(self, network_id: str, mac: str) -> str | None:
        """Who has a MAC on a network. What stands for a router on a peered network has the network's id."""
        for port in self.ports.values():
            if (port.network_id, port.mac_address, port.device_owner) == (network_id, mac, INTERFACE):
                return port.device_id
        is_stand_in = mac == RESPONDER_MAC and self._peers(network_id)
        return network_id if is_stand_in else None

    def _routed(self, router_id: str, sender: Port, packet: Packet) -> Arrivals:
        """From one of its networks. RFC 1812: echo to its addresses is answered, TTL ends, longest prefix."""
        router = self.routers.get(router_id)
        if router is not None and not router.admin_state_up:
            return NOWHERE
        own = {ip.ip_address for port in self._own_ports(router_id) for ip in port.fixed_ips}
        if router is None:
            own = {str(one.gateway_ip) for one in self.subnets.values() if one.network_id == router_id}
        if packet.target in own:
            if packet.protocol == ICMP and not packet.is_answer:
                return frozenset({_arrival(sender.id, packet.reply())})
            return self._answers_inside(router_id, sender, packet)
        if packet.hops <= 1:
            return NOWHERE
        way = self._way(router_id, packet.target)
        if way.network_id is None:
            return NOWHERE
        if self.networks[way.network_id].router_external:
            return self._leaves(router_id, sender.network_id, way, packet)
        return self._next(way, packet)

    def _way(self, router_id: str, target: str) -> Way:
        """Longest prefix; of equal ones the connected. A hop on none of the subnets leads nowhere. RFC 1812, 5.2.4."""
        router = self.routers.get(router_id)
        connected = self._connected(router_id)
        found = [
            (ip_network(cidr).prefixlen, 2, Way(net, target))
            for cidr, net in connected
            if within(target, cidr)
        ]
        for network_id in {net for _, net in connected if net != "ext"}:
            for peer in self._peers(network_id):
                cidrs = [one.cidr for one in self.subnets.values() if one.network_id == peer]
                found += [
                    (ip_network(cidr).prefixlen, 1, Way(peer, target))
                    for cidr in cidrs
                    if within(target, cidr)
                ]
        for route in router.routes if router is not None else ():
            if within(target, route.destination):
                on = [net for cidr, net in connected if within(route.nexthop, cidr)]
                length = ip_network(route.destination).prefixlen
                found.append((length, 0, Way(on[0] if on else None, route.nexthop)))
        gateway = self._gateway(router_id)
        for ip in gateway.fixed_ips if gateway is not None else ():
            hop = self.subnets[ip.subnet_id].gateway_ip
            if hop is not None and (":" in hop) == (":" in target):
                found.append((0, 0, Way("ext", hop)))
        return max(found, key=lambda one: one[:2])[2] if found else Way(None, "")

    def _connected(self, router_id: str) -> list[tuple[str, str]]:
        """(CIDR, network) of each subnet that a router has an address on."""
        if router_id not in self.routers:
            return [(one.cidr, router_id) for one in self.subnets.values() if one.network_id == router_id]
        ports = self._interfaces(router_id)
        gateway = self._gateway(router_id)
        ports += [gateway] if gateway is not None else []
        return [(self.subnets[ip.subnet_id].cidr, port.network_id) for port in ports for ip in port.fixed_ips]

    def _next(self, way: Way, packet: Packet) -> Arrivals:
        """To the one port of a network that has the next hop's address. RFC 826, RFC 4861."""
        owners = self._at(way.network_id or "", ip=way.next_hop)
        if len(owners) != 1 or not self.networks[way.network_id or ""].admin_state_up:
            return NOWHERE
        return self._received(owners[0], packet)

    # --- the edge ------------------------------------------------------------------------------------------

    def _serving(self, network_id: str) -> list[Host]:
        """Hosts that may serve gateways on an external network."""
        physical = self.networks[network_id].provider_physical_network
        return [host for host in self.hosts.values() if host.gateway and physical in host.bridge_mappings]

    def _is_translated(self, one: FloatingIp) -> bool:
        """A floating IP works where its port is, or where the router's gateway is. API: floating IPs."""
        port = self.ports[one.port_id] if one.port_id is not None else None
        router = self.routers.get(one.router_id or "")
        if port is None or router is None or not router.admin_state_up or self._gateway(router.id) is None:
            return False
        host = self.host_of(port)
        physical = self.networks[one.floating_network_id].provider_physical_network
        if host is not None and physical in host.bridge_mappings:
            return self.is_open(port)
        return bool(self._serving(one.floating_network_id))

    def _leaves(self, router_id: str, network_id: str, way: Way, packet: Packet) -> Arrivals:
        """By the gateway: with the port's floating IP, else the router's address, else (no SNAT, IPv6) as it is.

        API: "enable_snat", floating IPs; RFC 3022.
        """
        router, gateway = self.routers[router_id], self._gateway(router_id)
        assert gateway is not None
        floating = self._floating_of(router_id, network_id, packet)
        is_own_answer = packet.protocol == ICMP and packet.is_answer
        if is_own_answer and (packet.target, packet.target_port, packet.source) not in self.askers:
            floating = None  # RFC 5508: an echo reply opens no session, so it leaves as it was asked for
        if floating is not None:
            return self._outside(
                way, packet._replace(source=floating.floating_ip_address), packet.source_port
            )
        if not self._serving("ext"):
            return NOWHERE
        if packet.version == 6 or not router.enable_snat:
            return self._outside(way, packet, packet.source_port)
        source = next(ip.ip_address for ip in gateway.fixed_ips if ":" not in ip.ip_address)
        remote, inner = (packet.target, packet.target_port), (packet.source, packet.source_port)
        if packet.protocol == ICMP and packet.is_answer:
            return NOWHERE  # RFC 5508: it opens no session
        self.translations.append(Session(router_id, packet.protocol, remote, inner, None))
        return self._outside(way, packet._replace(source=source), None)

    def _answers_inside(self, router_id: str, sender: Port, packet: Packet) -> Arrivals:
        """A floating IP's answer to who came, from behind the same router, with the router's own address."""
        gateway = self._gateway(router_id)
        outer = {ip.ip_address for ip in gateway.fixed_ips} if gateway is not None else set()
        is_floating = self._floating_of(router_id, sender.network_id, packet) is not None
        if packet.target not in outer or packet.hops <= 1 or not is_floating:
            return NOWHERE
        return self._leaves(router_id, sender.network_id, Way("ext", packet.target), packet)

    def _floating_of(self, router_id: str, network_id: str, packet: Packet) -> FloatingIp | None:
        """The floating IP of a packet's source. API: floating IPs, "fixed_ip_address"."""
        for one in self.floats:
            port = self.ports[one.port_id] if one.port_id is not None else None
            inner = port.network_id if port is not None else None
            if (one.router_id, inner, one.fixed_ip_address) == (router_id, network_id, packet.source):
                return one if self._is_translated(one) else None
        return None

    def _outside(self, way: Way, packet: Packet, source_port: int | None) -> Arrivals:
        """On the external network: to one of the region's own addresses there, or to somebody else."""
        if way.next_hop in OUTER_NEIGHBOURS:
            return frozenset({_arrival(OUTSIDE, packet)._replace(source_port=source_port)})
        found = self._inbound(way.next_hop, packet)
        return frozenset(one._replace(source_port=source_port) for one in found)

    def _from_outside(self, sent: Sent) -> Arrivals:
        packet = sent.packet
        owner = next(port for port in self._of("ext") if port.mac_address == sent.target_mac)
        if packet.target in {ip.ip_address for ip in owner.fixed_ips}:
            return self._inbound(packet.target, packet)
        router = self.routers.get(owner.device_id)
        if owner.device_owner != ROUTER_GATEWAY or router is None or not router.admin_state_up:
            return NOWHERE
        if packet.hops <= 1 or not self._serving("ext") or (packet.version == 4 and router.enable_snat):
            return NOWHERE
        way = self._way(router.id, packet.target)
        is_inner = way.network_id in {port.network_id for port in self._interfaces(router.id)}
        return self._next(way, packet) if is_inner else NOWHERE

    def _of(self, network_id: str) -> list[Port]:
        return [port for port in self.ports.values() if port.network_id == network_id]

    def _inbound(self, address: str, packet: Packet) -> Arrivals:
        """To an outer address of the region: a floating IP's port, or an answer to what a router translated."""
        for one in self.floats:
            if one.floating_ip_address == address and one.router_id is not None:
                if packet.hops <= 1 or not self._is_translated(one):
                    return NOWHERE
                inner = packet._replace(target=one.fixed_ip_address or "")
                if packet.protocol == ICMP and not packet.is_answer:
                    self.askers.add((packet.source, packet.source_port, inner.target))
                return self._next(self._way(one.router_id, inner.target), inner)
        owner = next(port for port in self._of("ext") if address in {ip.ip_address for ip in port.fixed_ips})
        router = self.routers[owner.device_id]
        if not router.admin_state_up or not self._serving("ext"):
            return NOWHERE
        for session in self.translations:
            if (session.router_id, session.protocol, session.remote, session.port) == (
                router.id,
                packet.protocol,
                (packet.source, packet.source_port),
                packet.target_port,
            ):
                ip, port = session.inner
                inner = packet._replace(target=ip, target_port=port)
                return NOWHERE if packet.hops <= 1 else self._next(self._way(router.id, ip), inner)
        if packet.protocol == ICMP and not packet.is_answer:
            return frozenset({_arrival(OUTSIDE, packet.reply())})
        return NOWHERE


def _session(place: str, packet: Packet) -> tuple[tuple[object, ...], End]:
    """The name of a connection as a port sees it, and which end of it speaks."""
    source, target = (packet.source, packet.source_port), (packet.target, packet.target_port)
    if packet.protocol == ICMP:
        # RFC 5508: two ends may ask each other with one identifier.
        asker, asked = (target, source) if packet.is_answer else (source, target)
        return (place, packet.protocol, packet.version, asker, asked), source
    return (place, packet.protocol, frozenset({source, target})), source


def _prefix(text: str) -> str:
    return text if "/" in text else f"{text}/{128 if ':' in text else 32}"


def _arrival(place: str, packet: Packet) -> Arrival:
    return Arrival(
        place, packet.source, packet.target, packet.protocol, packet.source_port, packet.target_port
    )
