"""Anti-spoofing (tables PORT_SECURITY and PORT_SECURITY_ND).

A VM sends only with its own MAC and addresses, its EUI-64 link-local address included (RFC 4291, appendix A); from
`0.0.0.0` it may ask a DHCP server and probe with ARP (RFC 5227); from `::` it may do duplicate address detection for
its own addresses (RFC 4862), solicit routers (RFC 4861) and report multicast membership (RFC 3810). It is neither
DHCP server nor router. With port security off all of this is off, as the Networking API has it.
"""

from collections.abc import Iterator

from alcor.model.address import Ip, Mac, ip_int, ip_version, link_local, mac_int
from alcor.pipeline.flow import Resubmit, match
from alcor.pipeline.live import LivePort
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


def port_rules(port: LivePort) -> Iterator[Rule]:
    """What the port may send. Cost: 5 flows, 2 more per IPv4 address, 4 more per IPv6 address, …"""
    if not port.item.port_security_enabled:
        yield Rule(Table.PORT_SECURITY, Priority.PASS, match(**{_INGRESS: port.key}), _ON)
        return
    ips = [Ip(address.ip) for address in port.item.addresses]
    yield from _ipv4(port, sorted({ip for ip in ips if ip_version(ip) == 4}))
    own = {ip for ip in ips if ip_version(ip) == 6} | {link_local(Mac(port.item.mac))}
    yield from _ipv6(port, sorted(own))
    yield from _neighbour_discovery(port, sorted(own))


def _rule(port: LivePort, eth_type: int, **terms: int) -> Rule:
    terms = {_INGRESS: port.key, "eth_src": mac_int(Mac(port.item.mac)), "eth_type": eth_type, **terms}
    on = _ON_ND if eth_type == ETH_IPV6 and terms.get("ipv6_src") else _ON
    return Rule(Table.PORT_SECURITY, Priority.NORMAL, match(**terms), on)


def _ipv4(port: LivePort, ips: list[Ip]) -> Iterator[Rule]:
    yield _rule(
        port,
        ETH_IPV4,
        ip_proto=UDP,
        ipv4_src=0,
        ipv4_dst=BROADCAST_IPV4,
        udp_src=DHCPV4_CLIENT,
        udp_dst=DHCPV4_SERVER,
    )
    mac = mac_int(Mac(port.item.mac))
    yield _rule(port, ETH_ARP, arp_op=1, arp_sha=mac, arp_spa=0)
    for ip in ips:
        yield _rule(port, ETH_ARP, arp_sha=mac, arp_spa=ip_int(ip))
        yield _rule(port, ETH_IPV4, ipv4_src=ip_int(ip))


def _ipv6(port: LivePort, own: list[Ip]) -> Iterator[Rule]:
    for ip in own:
        yield _rule(port, ETH_IPV6, ipv6_src=ip_int(ip))
        yield _rule(
            port,
            ETH_IPV6,
            ipv6_src=0,
            ip_proto=ICMPV6,
            icmpv6_type=NEIGHBOUR_SOLICITATION,
            icmpv6_code=0,
            nd_target=ip_int(ip),
            nd_sll=0,
        )
    for type in (ROUTER_SOLICITATION, *MULTICAST_LISTENER):
        yield _rule(port, ETH_IPV6, ipv6_src=0, ip_proto=ICMPV6, icmpv6_type=type)


def _neighbour_discovery(port: LivePort, own: list[Ip]) -> Iterator[Rule]:
    def allow(type: int, **terms: int) -> Rule:
        found = match(
            **{_INGRESS: port.key},
            eth_type=ETH_IPV6,
            ip_proto=ICMPV6,
            icmpv6_type=type,
            icmpv6_code=0,
            **terms,
        )
        return Rule(Table.PORT_SECURITY_ND, Priority.NORMAL, found, _ON)

    # A link-layer option that is absent reads as 0.
    for mac in (0, mac_int(Mac(port.item.mac))):
        yield allow(NEIGHBOUR_SOLICITATION, nd_sll=mac)
        for ip in own:
            yield allow(NEIGHBOUR_ADVERTISEMENT, nd_target=ip_int(ip), nd_tll=mac)
