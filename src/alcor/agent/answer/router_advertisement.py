"""Router advertisements: prefixes, MTU and name servers of a network. Source: RFC 4861, 4862, 8106.

The router that has the gateway address of an advertised subnet speaks: hosts take their default route to the
link-local address that the advertisement comes from. Without one, or while it is down, the lifetime is 0: hosts learn
their prefixes and form addresses, and take no default route.
"""

import struct
from ipaddress import IPv6Address

from alcor.agent.answer.dhcp_option import encode_name
from alcor.agent.answer.frame import (
    ALL_NODES,
    HOP_LIMIT_ND,
    PROTOCOL_ICMPV6,
    UNSPECIFIED_IPV6,
    Datagram,
    build_icmpv6,
    link_local_bytes,
    multicast_mac,
)
from alcor.agent.answer.naming import Telling, domain_of, name_servers
from alcor.goalstate.item import SubnetItem
from alcor.model.address import Cidr, Mac, ip_version, mac_bytes, network_of
from alcor.pipeline.view import NetworkView

ROUTER_SOLICITATION = 133
_ROUTER_ADVERTISEMENT = 134

# RFC 4861, section 6.2.1: unsolicited ones are this far apart, at random so that ports do not fall into step.
INTERVAL_S_MIN = 200.0
INTERVAL_S_MAX = 600.0

# A day and four hours: long enough to outlive an agent that is down, and a prefix that is taken away still goes.
_VALID_S = 86_400
_PREFERRED_S = 14_400
# RFC 8106, section 5.1: three intervals, so that two lost advertisements do no harm.
_DNS_LIFETIME_S = int(3 * INTERVAL_S_MAX)
# RFC 4861, section 6.2.1: three intervals.
_ROUTER_LIFETIME_S = int(3 * INTERVAL_S_MAX)
_HOP_LIMIT = 64
_MANAGED, _OTHER = 0x80, 0x40
_ON_LINK, _AUTONOMOUS = 0x80, 0x40
_RDNSS, _DNSSL = 25, 31
_SLAAC_PREFIX_BITS = 64  # RFC 4862, section 5.5.3, with Ethernet's interface identifiers
_MODES_AUTONOMOUS = frozenset(("slaac", "dhcpv6-stateless"))


def is_solicitation(datagram: Datagram) -> bool:
    """Whether it is a valid router solicitation. Source: RFC 4861, section 6.1.1."""
    message = datagram.payload
    if datagram.protocol != PROTOCOL_ICMPV6 or len(message) < 8 or message[0] != ROUTER_SOLICITATION:
        return False
    if datagram.hops != HOP_LIMIT_ND or message[1] != 0:
        return False
    at = 8
    while at < len(message):
        if at + 2 > len(message) or message[at + 1] == 0 or at + 8 * message[at + 1] > len(message):
            return False
        if message[at] == 1 and datagram.source == UNSPECIFIED_IPV6:
            return False
        at += 8 * message[at + 1]
    return True


def advertised(network: NetworkView) -> list[SubnetItem]:
    """The network's subnets that are advertised: those with an `ipv6_ra_mode`, by id."""
    return [
        subnet
        for _, subnet in sorted(network.subnets.items())
        if subnet.ipv6_ra_mode is not None and ip_version(Cidr(subnet.cidr)) == 6
    ]


def advertisement(telling: Telling, solicitation: Datagram | None = None) -> bytes | None:
    """The frame to send to the port: unsolicited, or the answer; None if nothing is advertised."""
    port = telling.port
    subnets = advertised(telling.network)
    if not subnets:
        return None
    speaker, lifetime_s = _speaker(telling, subnets)
    destination, eth_destination = ALL_NODES, multicast_mac(ALL_NODES)
    if solicitation is not None and IPv6Address(solicitation.source).is_link_local:
        destination, eth_destination = solicitation.source, mac_bytes(Mac(port.mac))
    return build_icmpv6(
        eth=(eth_destination, speaker),
        source=link_local_bytes(speaker),
        destination=destination,
        message=_message(telling, subnets, speaker, lifetime_s),
    )


def _speaker(telling: Telling, subnets: list[SubnetItem]) -> tuple[Mac, int]:
    """Whose MAC the advertisement comes from, and for how many seconds hosts may use it as their default router."""
    gateways = {subnet.gateway_ip for subnet in subnets}
    found = [
        (not router.admin_state_up, router.id, interface.mac)
        for router in telling.routers
        for interface in router.interfaces
        if interface.network_id == telling.port.network_id
        and any(address.ip in gateways for address in interface.addresses)
    ]
    if not found:
        return Mac(telling.region.responder_mac), 0
    is_down, _, mac = min(found)
    return Mac(mac), 0 if is_down else _ROUTER_LIFETIME_S


def _message(telling: Telling, subnets: list[SubnetItem], speaker: Mac, lifetime_s: int) -> bytes:
    port, network = telling.port, telling.network
    modes = {subnet.ipv6_ra_mode for subnet in subnets}
    flags = _MANAGED | _OTHER if "dhcpv6-stateful" in modes else 0
    flags |= _OTHER if "dhcpv6-stateless" in modes else 0
    message = struct.pack("!BBHBBHII", _ROUTER_ADVERTISEMENT, 0, 0, _HOP_LIMIT, flags, lifetime_s, 0, 0)
    message += b"\1\1" + mac_bytes(speaker)
    message += struct.pack("!BBHI", 5, 1, 0, network.network.mtu)
    held = {address.subnet_id for address in port.addresses}
    for subnet in subnets:
        message += _prefix(subnet, port_has_address=subnet.id in held or not port.port_security_enabled)
    return message + _dns(subnets, telling)


def _prefix(subnet: SubnetItem, *, port_has_address: bool) -> bytes:
    """On link always; for autoconfiguration only where the port has an address that anti-spoofing lets pass."""
    prefix = network_of(Cidr(subnet.cidr))
    autonomous = (
        subnet.ipv6_ra_mode in _MODES_AUTONOMOUS
        and prefix.prefixlen == _SLAAC_PREFIX_BITS
        and port_has_address
    )
    flags = _ON_LINK | (_AUTONOMOUS if autonomous else 0)
    head = struct.pack("!BBBBIII", 3, 4, prefix.prefixlen, flags, _VALID_S, _PREFERRED_S, 0)
    return head + prefix.network_address.packed


def _dns(subnets: list[SubnetItem], telling: Telling) -> bytes:
    """Name servers and the search list. Source: RFC 8106, section 5."""
    network, region = telling.network, telling.region
    servers = name_servers(subnets, 6, network, region, serves_names=telling.serves_names)
    octets = b""
    if servers:
        # The length counts units of 8 octets and has one octet: at most 127 servers fit.
        chosen = servers[:127]
        octets += struct.pack("!BBHI", _RDNSS, 1 + 2 * len(chosen), 0, _DNS_LIFETIME_S) + b"".join(chosen)
    domain = domain_of(network, region)
    if domain:
        name = encode_name(domain)
        name += bytes(-len(name) % 8)
        octets += struct.pack("!BBHI", _DNSSL, 1 + len(name) // 8, 0, _DNS_LIFETIME_S) + name
    return octets
