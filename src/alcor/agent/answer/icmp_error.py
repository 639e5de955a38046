"""What a router tells the sender of a packet that it could not send on. Source: RFC 792, 1122, 1191, 1812, 4443.

The switch says which port, router and reason it was (registers of a punt from table ICMP_ERROR). The error comes from
the router's address on the sender's own network and goes back to the sender's port. Never told about: ICMP errors,
broadcast and multicast, fragments but the first, and what has no single sender.
"""

import struct
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import NamedTuple

from alcor.agent.answer.frame import (
    ETHERTYPE_IPV4,
    ETHERTYPE_IPV6,
    PROTOCOL_ICMP,
    PROTOCOL_ICMPV6,
    TTL,
    build_icmp,
    build_icmpv6,
)
from alcor.agent.handler import Frame, Outcome, PacketHandler, Punt, Tools
from alcor.goalstate.item import LocalPort
from alcor.goalstate.router_item import InterfaceAddress, RouterInterface, RouterItem
from alcor.model.address import Cidr, Ip, Mac, ip_bytes, ip_version, mac_bytes, network_of
from alcor.pipeline.icmp_error import Reason
from alcor.pipeline.live import ofport_of
from alcor.pipeline.tables import REASON, Table
from alcor.pipeline.view import Allocation, View

# (type, code) of each version.
_KINDS = {
    Reason.TTL_EXCEEDED: {4: (11, 0), 6: (3, 0)},
    Reason.NO_ROUTE: {4: (3, 0), 6: (1, 0)},
    Reason.HOST_UNREACHABLE: {4: (3, 1), 6: (1, 3)},
    Reason.TOO_LARGE: {4: (3, 4), 6: (2, 0)},
}
_REASONS = {reason.value: reason for reason in Reason}
# An error fits into what every host must take: RFC 1812, section 4.3.2.3, and RFC 4443, section 2.4 (c).
_QUOTED_MAX = {4: 576 - 20 - 8, 6: 1280 - 40 - 8}
_ETHERNET_BYTES = 14
_ICMP_ERRORS = frozenset((3, 4, 5, 11, 12))
_ICMPV6_INFORMATIONAL_FROM = 128
_ICMPV6_REDIRECT = 137
_HEADER_BYTES = {4: 20, 6: 40}
_DO_NOT_FRAGMENT = 0x4000
_OFFSET_IPV4 = 0x1FFF
_FRAGMENT_HEADER = 44
_EXTENSIONS = frozenset((0, 43, 60, 135))
"""Hop-by-hop, routing, destination options, mobility: all with a length in units of 8 octets."""


class Quotable(NamedTuple):
    """A packet that an error may be told about. `octets`: from its IP header on. `may_fragment`: IPv4 without DF."""

    eth_source: bytes
    version: int
    source: IPv4Address | IPv6Address
    destination: IPv4Address | IPv6Address
    may_fragment: bool
    octets: bytes


def icmp_error_handler(_tools: Tools) -> PacketHandler:
    """The handler of table ICMP_ERROR."""
    return PacketHandler("icmp_error", frozenset((Table.ICMP_ERROR,)), handle)


def handle(punt: Punt, view: View, allocation: Allocation) -> Outcome | None:
    """The error for a punted packet. Total."""
    port = view.ports.get(punt.port_id or "")
    router = view.routers.get(punt.router_id or "")
    ofport = ofport_of(port, view, allocation) if port is not None else 0
    if port is None or router is None or not ofport:
        return Outcome("unknown_port")
    reason = _REASONS.get(punt.packet.fields.get(REASON.value[0], 0))
    if reason is None:
        return Outcome("malformed")
    packet = quotable(punt.packet.data)
    if packet is None or _is_broadcast(packet, router):
        return Outcome("icmp_error_not_due")
    mtu = 0
    if reason is Reason.TOO_LARGE:
        out = view.networks.get(punt.network_id or "")
        if out is None or packet.may_fragment:
            return Outcome("icmp_error_not_due")
        mtu = out.network.mtu
    frame = _error(packet, reason, mtu, port, router)
    kind = f"icmp_{reason.name.lower()}"
    return Outcome(kind) if frame is None else Outcome(kind, (Frame(frame, ofport, port.id),))


def quotable(frame: bytes) -> Quotable | None:
    """What of a frame an error may be told about; None: none may be, or it is no IP packet.

    An ICMPv6 message behind more headers than were sent whole is taken for an error: silence does no harm.
    """
    if len(frame) < _ETHERNET_BYTES or frame[0] & 1:
        return None
    version = {ETHERTYPE_IPV4: 4, ETHERTYPE_IPV6: 6}.get(int.from_bytes(frame[12:14], "big"))
    octets = frame[_ETHERNET_BYTES:]
    if version is None or len(octets) < _HEADER_BYTES[version] or octets[0] >> 4 != version:
        return None
    found = _ipv4(frame, octets) if version == 4 else _ipv6(frame, octets)
    if found is None or found.destination.is_multicast or not _is_single(found.source):
        return None
    return found


def _is_single(source: IPv4Address | IPv6Address) -> bool:
    """Whether it names one node. Source: RFC 1122, section 3.2.2; RFC 4443, section 2.4 (e.6)."""
    return not (
        source.is_multicast
        or source.is_unspecified
        or source.is_loopback
        or source == IPv4Address(0xFFFF_FFFF)
    )


def _ipv4(frame: bytes, octets: bytes) -> Quotable | None:
    header, total = (octets[0] & 15) * 4, int.from_bytes(octets[2:4], "big")
    fragment = int.from_bytes(octets[6:8], "big")
    if header < _HEADER_BYTES[4] or not header <= total <= len(octets) or fragment & _OFFSET_IPV4:
        return None
    if octets[9] == PROTOCOL_ICMP and (total == header or octets[header] in _ICMP_ERRORS):
        return None
    return Quotable(
        frame[6:12],
        4,
        IPv4Address(octets[12:16]),
        IPv4Address(octets[16:20]),
        not fragment & _DO_NOT_FRAGMENT,
        octets[:total],
    )


def _ipv6(frame: bytes, octets: bytes) -> Quotable | None:
    end = _HEADER_BYTES[6] + int.from_bytes(octets[4:6], "big")
    if end > len(octets) or not _may_quote_ipv6(octets[:end]):
        return None
    return Quotable(
        frame[6:12], 6, IPv6Address(octets[8:24]), IPv6Address(octets[24:40]), False, octets[:end]
    )


def _may_quote_ipv6(octets: bytes) -> bool:
    """Follows the extension headers: no later fragment, and no ICMPv6 error or redirect."""
    protocol, at = octets[6], _HEADER_BYTES[6]
    while protocol in _EXTENSIONS or protocol == _FRAGMENT_HEADER:
        if at + 8 > len(octets):
            return False
        if protocol == _FRAGMENT_HEADER and int.from_bytes(octets[at + 2 : at + 4], "big") >> 3:
            return False
        length = 8 if protocol == _FRAGMENT_HEADER else (octets[at + 1] + 1) * 8
        protocol, at = octets[at], at + length
    if protocol != PROTOCOL_ICMPV6:
        return True
    return at < len(octets) and octets[at] >= _ICMPV6_INFORMATIONAL_FROM and octets[at] != _ICMPV6_REDIRECT


def _is_broadcast(packet: Quotable, router: RouterItem) -> bool:
    """Whether it is from or for all of a subnet of the router's."""
    if packet.version == 6:
        return False
    ends = {packet.source, packet.destination}
    nets = (
        network_of(Cidr(address.cidr)) for interface in router.interfaces for address in interface.addresses
    )
    return IPv4Address(0xFFFF_FFFF) in ends or any(
        net.version == 4 and net.prefixlen < 31 and net.broadcast_address in ends for net in nets
    )


def _error(packet: Quotable, reason: Reason, mtu: int, port: LocalPort, router: RouterItem) -> bytes | None:
    found = _spokesman(packet, port, router)
    if found is None:
        return None
    interface, address = found
    kind, code = _KINDS[reason][packet.version]
    # The MTU is in the last 16 bits of IPv4's second word, and is all of IPv6's.
    message = struct.pack("!BBHI", kind, code, 0, mtu) + packet.octets[: _QUOTED_MAX[packet.version]]
    # After routing the frame has the router's MAC as its source; then the port's own is the sender's.
    is_routed = packet.eth_source in {mac_bytes(Mac(one.mac)) for one in router.interfaces}
    to = mac_bytes(Mac(port.mac)) if is_routed else packet.eth_source
    eth = (to, Mac(interface.mac))
    source, destination = ip_bytes(Ip(address.ip)), packet.source.packed
    if packet.version == 4:
        return build_icmp(eth=eth, source=source, destination=destination, message=message)
    return build_icmpv6(eth=eth, source=source, destination=destination, message=message, hops=TTL)


def _spokesman(
    packet: Quotable, port: LocalPort, router: RouterItem
) -> tuple[RouterInterface, InterfaceAddress] | None:
    """Who says it: the router's address on the sender's subnet, or else the first on its network."""
    candidates = [
        (interface, address)
        for interface in router.interfaces
        if interface.network_id == port.network_id
        for address in interface.addresses
        if ip_version(Ip(address.ip)) == packet.version
    ]
    for interface, address in candidates:
        if ip_address(str(packet.source)) in network_of(Cidr(address.cidr)):
            return interface, address
    return candidates[0] if candidates else None
