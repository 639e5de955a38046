"""The imaginary packet: built, read and turned round."""

import struct
from ipaddress import ip_address

from alcor.model.address import Ip, Mac, ip_of_int, ip_version, mac_bytes, mac_of_int
from alcor.pipeline.flow import Field
from alcor.pipeline.frame import Frame
from alcor.trace.question import ICMP, ICMPV6, SCTP, TCP, UDP, Packet, TraceQuestion

_ETH_IPV4, _ETH_IPV6, _ETH_VLAN = 0x0800, 0x86DD, 0x8100
_ECHO = {4: 8, 6: 128}
_ECHO_REPLIES = {(ICMP, 8): 0, (ICMPV6, 128): 129}
_TTL = 64
_SYN, _SYN_ACK = 0x02, 0x12
_TCP_FLAGS_OFFSET = 13


def build(question: TraceQuestion, source_ip: str, source_mac: str, destination_mac: str) -> bytes:
    """The Ethernet frame of a question, checksums right. Length: the IP packet's, but never below its headers."""
    version = ip_version(Ip(question.destination_ip))
    protocol = question.protocol
    if protocol in (ICMP, ICMPV6):
        protocol = ICMP if version == 4 else ICMPV6
    header_bytes = 20 if version == 4 else 40
    payload = _transport(question, protocol, version)
    payload += bytes(max(0, question.ip_bytes - header_bytes - len(payload)))
    if protocol == UDP:
        payload = payload[:4] + len(payload).to_bytes(2, "big") + payload[6:]
    source, target = ip_address(source_ip).packed, ip_address(question.destination_ip).packed
    if version == 4:
        # Identification 1, don't fragment.
        head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), 1, 0x4000, _TTL, protocol, 0)
        packet, eth_type = head + source + target + payload, _ETH_IPV4
    else:
        head = struct.pack("!IHBB", 6 << 28, len(payload), protocol, _TTL)
        packet, eth_type = head + source + target + payload, _ETH_IPV6
    ends = mac_bytes(Mac(destination_mac)) + mac_bytes(Mac(source_mac))
    frame = Frame(ends + eth_type.to_bytes(2, "big") + packet)
    # Written, so that the checksums are made.
    frame.write(Field.IP_TTL, _TTL)
    return frame.to_bytes()


def _transport(question: TraceQuestion, protocol: int, version: int) -> bytes:
    ports = struct.pack("!HH", question.source_port, question.destination_port)
    if protocol == TCP:
        return ports + struct.pack("!IIBBHHH", 1, 0, 0x50, _SYN, 64_240, 0, 0)
    if protocol == UDP:
        # The checksum is not 0, or it would be left out.
        return ports + struct.pack("!HH", 8, 1)
    if protocol == SCTP:
        return ports + bytes(8)
    if protocol in (ICMP, ICMPV6):
        type = _ECHO[version] if question.icmp_type is None else question.icmp_type
        return struct.pack("!BBHHH", type, question.icmp_code, 0, 1, 1)
    return b""


def reply_to(frame: bytes) -> bytes | None:
    """The answer to a frame by whoever received it; None if nobody answers such a packet."""
    found = Frame(frame)
    protocol, eth_type = found.read(Field.IP_PROTO), found.read(Field.ETH_TYPE)
    kind = (protocol, found.read(Field.ICMPV4_TYPE if protocol == ICMP else Field.ICMPV6_TYPE))
    if protocol in (ICMP, ICMPV6) and kind not in _ECHO_REPLIES:
        return None
    pairs = [(Field.ETH_SRC, Field.ETH_DST)]
    pairs.append(
        (Field.IPV4_SRC, Field.IPV4_DST) if eth_type == _ETH_IPV4 else (Field.IPV6_SRC, Field.IPV6_DST)
    )
    pairs += [(Field.TCP_SRC, Field.TCP_DST), (Field.UDP_SRC, Field.UDP_DST)]
    for source, target in pairs:
        if source in found.places:
            was = found.read(source)
            found.write(source, found.read(target))
            found.write(target, was)
    found.write(Field.IP_TTL, _TTL)
    if protocol in (ICMP, ICMPV6):
        found.write(Field.ICMPV4_TYPE if protocol == ICMP else Field.ICMPV6_TYPE, _ECHO_REPLIES[kind])
    if protocol == TCP:
        at = found.places[Field.TCP_SRC].offset + _TCP_FLAGS_OFFSET
        found.data[at] = _SYN_ACK
        # It acknowledges the first packet's sequence number.
        found.data[at - 5 : at - 1] = (2).to_bytes(4, "big")
    return found.to_bytes()


def tagged(frame: bytes, vlan: int) -> bytes:
    """The frame with an 802.1Q tag; as it is for VLAN 0."""
    if not vlan:
        return frame
    return frame[:12] + _ETH_VLAN.to_bytes(2, "big") + vlan.to_bytes(2, "big") + frame[12:]


def untagged(frame: bytes) -> bytes:
    """The frame without its 802.1Q tag, if it has one."""
    return frame[:12] + frame[16:] if frame[12:14] == _ETH_VLAN.to_bytes(2, "big") else frame


def describe(frame: bytes) -> Packet:
    """What people want to see of a frame; addresses are empty if it is not an IP packet."""
    found = Frame(frame)
    version = {_ETH_IPV4: 4, _ETH_IPV6: 6}.get(found.read(Field.ETH_TYPE), 0)
    source = target = ""
    if version:
        fields = (Field.IPV4_SRC, Field.IPV4_DST) if version == 4 else (Field.IPV6_SRC, Field.IPV6_DST)
        source, target = (str(ip_of_int(found.read(field), version)) for field in fields)
    return Packet(
        eth_source=mac_of_int(found.read(Field.ETH_SRC)),
        eth_destination=mac_of_int(found.read(Field.ETH_DST)),
        ip_source=source,
        ip_destination=target,
        ttl=found.read(Field.IP_TTL),
    )
