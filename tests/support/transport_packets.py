"""TCP, UDP, ICMP errors, fragments and other IP packets for tests of connection tracking, built by hand."""

import struct

from tests.support.packets import checksum, ethernet, ip_packet, ip_text

M1, M2 = "02:00:00:00:00:01", "02:00:00:00:00:02"
FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16
TCP, UDP, ICMP, ICMPV6 = 6, 17, 1, 58
Ends = tuple[str, str]


def _pseudo(ip: Ends, protocol: int, text: bytes) -> bytes:
    return ip_text(ip[0]) + ip_text(ip[1]) + struct.pack("!II", len(text), protocol)


def tcp_text(
    ip: Ends, ports: tuple[int, int], flags: int, seq: tuple[int, int] = (1, 1), text: bytes = b""
) -> bytes:
    """A TCP segment; `seq` is (sequence, acknowledgement)."""
    head = struct.pack("!HHIIBBHHH", *ports, *seq, 0x50, flags, 0xFFFF, 0, 0)
    whole = head + text
    return head[:16] + checksum(_pseudo(ip, TCP, whole) + whole) + head[18:] + text


def udp_text(ip: Ends, ports: tuple[int, int], text: bytes = b"") -> bytes:
    """A UDP datagram."""
    head = struct.pack("!HHHH", *ports, 8 + len(text), 0)
    return head[:6] + checksum(_pseudo(ip, UDP, head + text) + head + text) + text


def icmp_text(ip: Ends, type: int, code: int, rest: bytes) -> bytes:
    """An ICMP message of the addresses' family; `rest` follows the checksum."""
    head = bytes((type, code, 0, 0)) + rest
    pseudo = _pseudo(ip, ICMPV6, head) if ":" in ip[0] else b""
    return head[:2] + checksum(pseudo + head) + rest


def packet(ip: Ends, protocol: int, text: bytes) -> bytes:
    """An IP packet without its Ethernet header."""
    return ip_packet(*ip, protocol, text)[1]


def frame(ip: Ends, protocol: int, text: bytes, *, vlan: int | None = None) -> bytes:
    """An Ethernet frame from M1 to M2."""
    kind, whole = ip_packet(*ip, protocol, text)
    return ethernet(M1, M2, kind, whole, vlan=vlan)


def tcp(
    ip: Ends, ports: tuple[int, int], flags: int, seq: tuple[int, int] = (1, 1), text: bytes = b""
) -> bytes:
    """A frame with a TCP segment."""
    return frame(ip, TCP, tcp_text(ip, ports, flags, seq, text))


def udp(ip: Ends, ports: tuple[int, int], text: bytes = b"") -> bytes:
    """A frame with a UDP datagram."""
    return frame(ip, UDP, udp_text(ip, ports, text))


def echo(ip: Ends, identifier: int, *, is_reply: bool = False) -> bytes:
    """A frame with an echo request or reply of the addresses' family."""
    is_ipv6 = ":" in ip[0]
    type = (129 if is_reply else 128) if is_ipv6 else (0 if is_reply else 8)
    text = icmp_text(ip, type, 0, struct.pack("!HH", identifier, 1) + b"alcor")
    return frame(ip, ICMPV6 if is_ipv6 else ICMP, text)


def unreachable(ip: Ends, quoted: bytes) -> bytes:
    """A frame with "port unreachable" (or "too big" of IPv6) that quotes the start of a packet."""
    is_ipv6 = ":" in ip[0]
    type, code = (2, 0) if is_ipv6 else (3, 3)
    text = icmp_text(ip, type, code, bytes(4) + quoted)
    return frame(ip, ICMPV6 if is_ipv6 else ICMP, text)


def fragments(ip: Ends, protocol: int, text: bytes, first_bytes: int, *, identifier: int = 77) -> list[bytes]:
    """An IP packet in two fragments, the first with so many bytes (a multiple of 8) of the text."""
    parts = ((0, 1, text[:first_bytes]), (first_bytes // 8, 0, text[first_bytes:]))
    if ":" in ip[0]:
        return [
            frame(ip, 44, struct.pack("!BBHI", protocol, 0, offset << 3 | more, identifier) + part)
            for offset, more, part in parts
        ]
    found = []
    for offset, more, part in parts:
        whole = packet(ip, protocol, part)
        head = (
            whole[:4]
            + struct.pack("!HH", identifier, more << 13 | offset)
            + whole[8:10]
            + bytes(2)
            + whole[12:20]
        )
        head = head[:10] + checksum(head) + head[12:]
        found.append(ethernet(M1, M2, 0x0800, head + part))
    return found
