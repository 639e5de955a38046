"""Anti-spoofing (tables PORT_SECURITY and PORT_SECURITY_ND).

A VM sends only with its own MAC and addresses, its EUI-64 link-local address included (RFC 4291, appendix A), and with
its allowed pairs of prefix and MAC; from `0.0.0.0` it may ask a DHCP server and probe with ARP (RFC 5227); from `::` it
may do duplicate address detection for its own addresses (RFC 4862), solicit routers (RFC 4861) and report multicast
membership (RFC 3810). It is neither DHCP server nor router. With port security off all of this is off, as the
Networking API has it.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from alcor.model.address import Mac, link_local, mac_int
from alcor.pipeline.flow import Match, Resubmit, match
from alcor.pipeline.live import LivePort
from alcor.pipeline.prefix import Entry, entry_of, mask_of
from alcor.pipeline.tables import INGRESS, Priority, Table
from alcor.pipeline.unit import Rule

ETH_ARP = 0x0806
ETH_IPV4 = 0x0800
ETH_IPV6 = 0x86DD
UDP = 17
ICMPV6 = 58
DHCPV4_CLIENT, DHCPV4_SERVER = 68, 67
DHCPV6_CLIENT, DHCPV6_SERVER = 546, 547
ROUTER_SOLICITATION, ROUTER_ADVERTISEMENT = 133, 134
NEIGHBOUR_SOLICITATION, NEIGHBOUR_ADVERTISEMENT = 135, 136
MULTICAST_LISTENER = (131, 132, 143)
BROADCAST_IPV4 = 0xFFFF_FFFF
_LISTENER_QUERY = 130
_DISCOVERY = (ROUTER_SOLICITATION, ROUTER_ADVERTISEMENT, NEIGHBOUR_SOLICITATION, NEIGHBOUR_ADVERTISEMENT)
# What no router has sent on. Source: RFC 4861, sections 6.1 and 7.1; RFC 3810, section 5.
_DISCOVERY_HOPS, _LISTENER_HOPS = 255, 1

_ON = (Resubmit(Table.EGRESS_QOS),)
_ON_ND = (Resubmit(Table.PORT_SECURITY_ND),)
_INGRESS = INGRESS.name.lower()


def shared_rules() -> Iterator[Rule]:
    """What no port with port security may send, and IPv6 that is not neighbour discovery.

    A DHCP server is known by the client's port it sends to: clients listen there whatever port it comes from.
    """
    for eth_type, port in ((ETH_IPV4, DHCPV4_CLIENT), (ETH_IPV6, DHCPV6_CLIENT)):
        guarded = match(eth_type=eth_type, ip_proto=UDP, udp_dst=port)
        yield Rule(Table.PORT_SECURITY, Priority.GUARD, guarded, ())
    advertisement = match(eth_type=ETH_IPV6, ip_proto=ICMPV6, icmpv6_type=ROUTER_ADVERTISEMENT)
    yield Rule(Table.PORT_SECURITY, Priority.GUARD, advertisement, ())
    for type in (NEIGHBOUR_SOLICITATION, NEIGHBOUR_ADVERTISEMENT):
        foreign = match(eth_type=ETH_IPV6, ip_proto=ICMPV6, icmpv6_type=type)
        yield Rule(Table.PORT_SECURITY_ND, Priority.FALLBACK, foreign, ())
    yield Rule(Table.PORT_SECURITY_ND, Priority.MISS, match(), _ON)


_Terms = Mapping[str, int | tuple[int, int]]


def link_messages() -> Iterator[Match]:
    """What neither groups nor ACLs are asked about: discovery on the link, multicast membership, DHCP."""
    icmpv6 = {"eth_type": ETH_IPV6, "ip_proto": ICMPV6}
    for type in _DISCOVERY:
        yield match(**icmpv6, ip_ttl=_DISCOVERY_HOPS, icmpv6_type=type)
    for type in (_LISTENER_QUERY, *MULTICAST_LISTENER):
        yield match(**icmpv6, ip_ttl=_LISTENER_HOPS, icmpv6_type=type)
    for kind, client, server in (
        (ETH_IPV4, DHCPV4_CLIENT, DHCPV4_SERVER),
        (ETH_IPV6, DHCPV6_CLIENT, DHCPV6_SERVER),
    ):
        for source, target in ((client, server), (server, client)):
            yield match(eth_type=kind, ip_proto=UDP, udp_src=source, udp_dst=target)


class _Own(NamedTuple):
    """An address, or all of a prefix, that the port may use with a MAC."""

    mac: str
    entry: Entry

    def term(self, field: str) -> _Terms:
        """The condition that a field is it; none for all addresses."""
        entry = self.entry
        if not entry.length:
            return {}
        return {field: entry.value if entry.is_host else (entry.value, mask_of(entry.version, entry.length))}


def port_rules(port: LivePort) -> Iterator[Rule]:
    """What the port may send. Cost: 5 flows, 2 more per IPv4 address, 4 more per IPv6 address, pairs alike …"""
    if not port.item.port_security_enabled:
        yield Rule(Table.PORT_SECURITY, Priority.PASS, match(**{_INGRESS: port.key}), _ON)
        return
    own = {_Own(port.item.mac, entry_of(address.ip)) for address in port.item.addresses}
    own |= {_Own(pair.mac, entry_of(pair.cidr)) for pair in port.item.pairs}
    macs = {port.item.mac} | {pair.mac for pair in port.item.pairs}
    own |= {_Own(mac, entry_of(link_local(Mac(mac)))) for mac in macs}
    found: dict[tuple[Table, Match], Rule] = {}
    for rule in (
        *_ipv4(port, sorted(own)),
        *_ipv6(port, sorted(own), macs),
        *_discovery(port, sorted(own), macs),
    ):
        found[rule.table, rule.match] = rule
    yield from found.values()


def _rule(
    port: LivePort, mac: str, eth_type: int, terms: _Terms, priority: Priority = Priority.NORMAL
) -> Rule:
    found = match(**{_INGRESS: port.key, "eth_src": mac_int(Mac(mac)), "eth_type": eth_type, **terms})
    on = _ON_ND if eth_type == ETH_IPV6 and priority is Priority.NORMAL else _ON
    return Rule(Table.PORT_SECURITY, priority, found, on)


def _ipv4(port: LivePort, own: list[_Own]) -> Iterator[Rule]:
    mac = port.item.mac
    ports = {"udp_src": DHCPV4_CLIENT, "udp_dst": DHCPV4_SERVER}
    discovery = {"ip_proto": UDP, "ipv4_src": 0, "ipv4_dst": BROADCAST_IPV4, **ports}
    yield _rule(port, mac, ETH_IPV4, discovery)
    yield _rule(port, mac, ETH_ARP, {"arp_op": 1, "arp_sha": mac_int(Mac(mac)), "arp_spa": 0})
    for one in own:
        if one.entry.version == 4:
            sender = {"arp_sha": mac_int(Mac(one.mac)), **one.term("arp_spa")}
            yield _rule(port, one.mac, ETH_ARP, sender)
            yield _rule(port, one.mac, ETH_IPV4, one.term("ipv4_src"))


def _ipv6(port: LivePort, own: list[_Own], macs: Iterable[str]) -> Iterator[Rule]:
    def unspecified(mac: str, type: int, terms: _Terms) -> Rule:
        # Above the others, because a prefix of all addresses is also of this one.
        head = {"ipv6_src": 0, "ip_proto": ICMPV6, "icmpv6_type": type}
        return _rule(port, mac, ETH_IPV6, {**head, **terms}, Priority.SPECIFIC)

    for one in own:
        if one.entry.version == 6:
            yield _rule(port, one.mac, ETH_IPV6, one.term("ipv6_src"))
            detected = {"icmpv6_code": 0, "nd_sll": 0, **one.term("nd_target")}
            yield unspecified(one.mac, NEIGHBOUR_SOLICITATION, detected)
    for mac in sorted(macs):
        for type in (ROUTER_SOLICITATION, *MULTICAST_LISTENER):
            yield unspecified(mac, type, {})


def _discovery(port: LivePort, own: list[_Own], macs: Iterable[str]) -> Iterator[Rule]:
    def allow(type: int, mac: str, **terms: int | tuple[int, int]) -> Rule:
        found = match(
            **{_INGRESS: port.key},
            eth_src=mac_int(Mac(mac)),
            eth_type=ETH_IPV6,
            ip_proto=ICMPV6,
            icmpv6_type=type,
            icmpv6_code=0,
            **terms,
        )
        return Rule(Table.PORT_SECURITY_ND, Priority.NORMAL, found, _ON)

    # A link-layer option that is absent reads as 0.
    for mac in sorted(macs):
        for option in (0, mac_int(Mac(mac))):
            yield allow(NEIGHBOUR_SOLICITATION, mac, nd_sll=option)
            for one in own:
                if one.mac == mac and one.entry.version == 6:
                    yield allow(NEIGHBOUR_ADVERTISEMENT, mac, **one.term("nd_target"), nd_tll=option)
