"""Ethernet, IP, UDP and ICMPv6 frames: parsed without trust, built with checksums.

Parsing is total: a frame that is cut, lies about its lengths or is a fragment gives None, never an error.
Checksums of received packets are not judged: a guest's virtual network card may leave them to its host.
"""

import struct
from dataclasses import dataclass
from ipaddress import IPv6Address

from alcor.model.address import Mac, link_local, mac_bytes

ETHERTYPE_IPV4 = 0x0800
ETHERTYPE_IPV6 = 0x86DD
PROTOCOL_ICMP = 1
PROTOCOL_UDP = 17
PROTOCOL_ICMPV6 = 58

BROADCAST_MAC = b"\xff" * 6
ALL_NODES = IPv6Address("ff02::1").packed
UNSPECIFIED_IPV6 = bytes(16)
BROADCAST_IPV4 = b"\xff" * 4

_ETHERNET_BYTES = 14
_IPV4_BYTES_MIN = 20
_IPV6_BYTES = 40
_UDP_BYTES = 8
# RFC 1122, section 3.2.1.7, recommends 64 for what is not sent to neighbours only.
TTL = 64
# RFC 4861, section 4: neighbour discovery is valid only with a hop limit that no router has lowered.
HOP_LIMIT_ND = 255


@dataclass(frozen=True, slots=True)
class Datagram:
    """The payload of one IP packet. `source`, `destination`: 4 or 16 octets. `hops`: TTL or hop limit."""

    eth_source: bytes
    source: bytes
    destination: bytes
    protocol: int
    hops: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class Udp:
    """One UDP datagram."""

    source_port: int
    destination_port: int
    payload: bytes


def parse_datagram(frame: bytes) -> Datagram | None:
    """The IP payload of an untagged Ethernet frame; None if it is not a whole IP packet.

    IPv6 extension headers are not followed: none of the protocols answered here is sent behind one.
    """
    if len(frame) < _ETHERNET_BYTES:
        return None
    ethertype = int.from_bytes(frame[12:14], "big")
    if ethertype == ETHERTYPE_IPV4:
        return _parse_ipv4(frame)
    if ethertype == ETHERTYPE_IPV6:
        return _parse_ipv6(frame)
    return None


def _parse_ipv4(frame: bytes) -> Datagram | None:
    packet = frame[_ETHERNET_BYTES:]
    if len(packet) < _IPV4_BYTES_MIN or packet[0] >> 4 != 4:
        return None
    header_bytes = (packet[0] & 15) * 4
    total_bytes = int.from_bytes(packet[2:4], "big")
    if header_bytes < _IPV4_BYTES_MIN or not header_bytes <= total_bytes <= len(packet):
        return None
    if int.from_bytes(packet[6:8], "big") & 0x3FFF:  # more fragments, or an offset
        return None
    return Datagram(
        eth_source=frame[6:12],
        source=packet[12:16],
        destination=packet[16:20],
        protocol=packet[9],
        hops=packet[8],
        payload=packet[header_bytes:total_bytes],
    )


def _parse_ipv6(frame: bytes) -> Datagram | None:
    packet = frame[_ETHERNET_BYTES:]
    if len(packet) < _IPV6_BYTES or packet[0] >> 4 != 6:
        return None
    end = _IPV6_BYTES + int.from_bytes(packet[4:6], "big")
    if end > len(packet):
        return None
    return Datagram(
        eth_source=frame[6:12],
        source=packet[8:24],
        destination=packet[24:40],
        protocol=packet[6],
        hops=packet[7],
        payload=packet[_IPV6_BYTES:end],
    )


def parse_udp(datagram: Datagram) -> Udp | None:
    """The UDP datagram inside; None if there is none or its length lies."""
    payload = datagram.payload
    if datagram.protocol != PROTOCOL_UDP or len(payload) < _UDP_BYTES:
        return None
    source, destination, length = struct.unpack_from("!HHH", payload)
    if not _UDP_BYTES <= length <= len(payload):
        return None
    return Udp(source, destination, payload[_UDP_BYTES:length])


def internet_checksum(octets: bytes) -> int:
    """The ones' complement sum. Source: RFC 1071."""
    if len(octets) & 1:
        octets += b"\0"
    total: int = sum(struct.unpack(f"!{len(octets) // 2}H", octets))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def link_local_bytes(mac: Mac) -> bytes:
    """The EUI-64 link-local address of `mac`, 16 octets."""
    return IPv6Address(link_local(mac)).packed


def multicast_mac(group: bytes) -> bytes:
    """The Ethernet address of an IPv6 multicast group. Source: RFC 2464, section 7."""
    return b"\x33\x33" + group[-4:]


def _ethernet(destination: bytes, source: Mac, ethertype: int, packet: bytes) -> bytes:
    return destination + mac_bytes(source) + ethertype.to_bytes(2, "big") + packet


def _udp(source: bytes, destination: bytes, ports: tuple[int, int], payload: bytes) -> bytes:
    length = _UDP_BYTES + len(payload)
    header = struct.pack("!HHHH", *ports, length, 0)
    pseudo = _pseudo_header(source, destination, PROTOCOL_UDP, length)
    # A sum of zero is sent as all ones: zero means "no checksum" (RFC 768), which IPv6 forbids.
    checksum = internet_checksum(pseudo + header + payload) or 0xFFFF
    return header[:6] + checksum.to_bytes(2, "big") + payload


def _pseudo_header(source: bytes, destination: bytes, protocol: int, length: int) -> bytes:
    if len(source) == 4:
        return source + destination + struct.pack("!BBH", 0, protocol, length)
    return source + destination + struct.pack("!II", length, protocol)


def build_udp_ipv4(
    *, eth: tuple[bytes, Mac], source: bytes, destination: bytes, ports: tuple[int, int], payload: bytes
) -> bytes:
    """An Ethernet frame with one UDP datagram over IPv4.

    Shape: `eth` is (destination, source); `ports` is (source, destination).
    """
    segment = _udp(source, destination, ports, payload)
    length = _IPV4_BYTES_MIN + len(segment)
    header = struct.pack("!BBHHHBBH", 0x45, 0, length, 0, 0, TTL, PROTOCOL_UDP, 0) + source + destination
    header = header[:10] + internet_checksum(header).to_bytes(2, "big") + header[12:]
    return _ethernet(*eth, ETHERTYPE_IPV4, header + segment)


def build_udp_ipv6(
    *, eth: tuple[bytes, Mac], source: bytes, destination: bytes, ports: tuple[int, int], payload: bytes
) -> bytes:
    """An Ethernet frame with one UDP datagram over IPv6; `eth` and `ports` as in `build_udp_ipv4`."""
    segment = _udp(source, destination, ports, payload)
    return _ethernet(*eth, ETHERTYPE_IPV6, _ipv6(source, destination, PROTOCOL_UDP, TTL, segment))


def build_icmp(*, eth: tuple[bytes, Mac], source: bytes, destination: bytes, message: bytes) -> bytes:
    """An Ethernet frame with one ICMP message over IPv4, its checksum field (octets 2 and 3, given as 0) filled in.

    It has the precedence of network control, as RFC 1812, section 4.3.2.5, wants for errors.
    """
    message = message[:2] + internet_checksum(message).to_bytes(2, "big") + message[4:]
    length = _IPV4_BYTES_MIN + len(message)
    header = struct.pack("!BBHHHBBH", 0x45, 0xC0, length, 0, 0, TTL, PROTOCOL_ICMP, 0) + source + destination
    header = header[:10] + internet_checksum(header).to_bytes(2, "big") + header[12:]
    return _ethernet(*eth, ETHERTYPE_IPV4, header + message)


def build_icmpv6(
    *, eth: tuple[bytes, Mac], source: bytes, destination: bytes, message: bytes, hops: int = HOP_LIMIT_ND
) -> bytes:
    """An Ethernet frame with one ICMPv6 message, its checksum field (octets 2 and 3, given as 0) filled in.

    `hops`: by default that of neighbour discovery.
    """
    pseudo = _pseudo_header(source, destination, PROTOCOL_ICMPV6, len(message))
    checksum = internet_checksum(pseudo + message)
    message = message[:2] + checksum.to_bytes(2, "big") + message[4:]
    return _ethernet(*eth, ETHERTYPE_IPV6, _ipv6(source, destination, PROTOCOL_ICMPV6, hops, message))


def _ipv6(source: bytes, destination: bytes, protocol: int, hops: int, payload: bytes) -> bytes:
    return struct.pack("!IHBB", 0x60000000, len(payload), protocol, hops) + source + destination + payload
