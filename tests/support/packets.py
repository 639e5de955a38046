"""Frames as bytes, built by hand, so that what parses and writes them in the product is checked against something else.

MAC and IP addresses are text; every builder returns a whole Ethernet frame with right checksums.
"""

import struct
from ipaddress import ip_address

BROADCAST = "ff:ff:ff:ff:ff:ff"
NO_MAC = "00:00:00:00:00:00"
ALL_NODES = "ff02::1"
ALL_ROUTERS = "ff02::2"
ALL_DHCPV6_SERVERS = "ff02::1:2"
ICMP, UDP, ICMPV6 = 1, 17, 58


def mac_text(mac: str) -> bytes:
    """The six bytes of a MAC address."""
    return bytes.fromhex(mac.replace(":", ""))


def ip_text(ip: str) -> bytes:
    """The 4 or 16 bytes of an address."""
    return ip_address(ip).packed


def checksum(text: bytes) -> bytes:
    """The Internet checksum, by adding up one number modulo 2^16-1."""
    number = int.from_bytes(text + b"\0" * (len(text) % 2), "big") % 0xFFFF
    if not number and any(text):
        number = 0xFFFF
    return (number ^ 0xFFFF).to_bytes(2, "big")


def ethernet(source: str, target: str, eth_type: int, payload: bytes, *, vlan: int | None = None) -> bytes:
    """An Ethernet frame, with an 802.1Q tag if `vlan` is given."""
    tag = b"" if vlan is None else struct.pack("!HH", 0x8100, vlan)
    return mac_text(target) + mac_text(source) + tag + struct.pack("!H", eth_type) + payload


def arp(
    op: int,
    sender: tuple[str, str],
    target: tuple[str, str],
    *,
    eth: tuple[str, str] | None = None,
    vlan: int | None = None,
) -> bytes:
    """An ARP message; `sender` and `target` are (MAC, IP); `eth` is (source, target) where it differs.

    A request is broadcast, a reply goes to the target.
    """
    source, to = eth or (sender[0], BROADCAST if op == 1 else target[0])
    text = struct.pack("!HHBBH", 1, 0x0800, 6, 4, op)
    for mac, ip in (sender, target):
        text += mac_text(mac) + ip_text(ip)
    return ethernet(source, to, 0x0806, text, vlan=vlan)


def who_has(ip: str, sender: tuple[str, str], *, to: str = BROADCAST) -> bytes:
    """An ARP request."""
    return arp(1, sender, (NO_MAC, ip), eth=(sender[0], to))


def is_at(ip: str, mac: str, asker: tuple[str, str]) -> bytes:
    """An ARP reply."""
    return arp(2, (mac, ip), asker)


def ip_packet(source: str, target: str, protocol: int, text: bytes, *, hops: int = 64) -> tuple[int, bytes]:
    """(EtherType, packet) of IPv4 or IPv6."""
    if ":" in source:
        head = struct.pack("!IHBB", 6 << 28, len(text), protocol, hops)
        return 0x86DD, head + ip_text(source) + ip_text(target) + text
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(text), 0, 0, hops, protocol, 0)
    head += ip_text(source) + ip_text(target)
    return 0x0800, head[:10] + checksum(head) + head[12:] + text


def _pseudo(source: str, target: str, protocol: int, length: int) -> bytes:
    return ip_text(source) + ip_text(target) + struct.pack("!II", length, protocol)


def udp(eth: tuple[str, str], ip: tuple[str, str], ports: tuple[int, int], text: bytes = b"") -> bytes:
    """A UDP datagram; each pair is (source, target)."""
    length = 8 + len(text)
    head = struct.pack("!HHHH", *ports, length, 0)
    found = checksum(_pseudo(*ip, UDP, length) + head + text)
    segment = head[:6] + (found if found != b"\0\0" else b"\xff\xff") + text
    return ethernet(*eth, *ip_packet(*ip, UDP, segment))


def icmpv6(
    eth: tuple[str, str], ip: tuple[str, str], type: int, body: bytes, *, extension: bytes = b""
) -> bytes:
    """An ICMPv6 message of code 0; `extension`: an extension header without its first byte."""
    message = bytes([type, 0, 0, 0]) + body
    message = message[:2] + checksum(_pseudo(*ip, ICMPV6, len(message)) + message) + message[4:]
    if extension:
        head = bytes([ICMPV6]) + extension
        assert len(head) % 8 == 0
        return ethernet(*eth, *ip_packet(*ip, 60, head + message, hops=255))
    return ethernet(*eth, *ip_packet(*ip, ICMPV6, message, hops=255))


def echo(eth: tuple[str, str], ip: tuple[str, str], text: bytes = b"alcor") -> bytes:
    """An echo request, IPv4 or IPv6."""
    body = struct.pack("!HH", 7, 1) + text
    if ":" in ip[0]:
        return icmpv6(eth, ip, 128, body)
    message = bytes([8, 0, 0, 0]) + body
    message = message[:2] + checksum(message) + message[4:]
    return ethernet(*eth, *ip_packet(*ip, ICMP, message))


def link_local(mac: str) -> str:
    """The EUI-64 link-local address. Source: RFC 4291, appendix A."""
    octets = mac_text(mac)
    return str(
        ip_address(
            bytes.fromhex("fe80000000000000") + bytes([octets[0] ^ 2, *octets[1:3], 0xFF, 0xFE]) + octets[3:]
        )
    )


def multicast_mac(ip: str) -> str:
    """Where an IPv6 multicast packet goes. Source: RFC 2464, section 7."""
    return ":".join(f"{octet:02x}" for octet in b"\x33\x33" + ip_text(ip)[12:])


def solicited_node(ip: str) -> str:
    """The multicast address a solicitation for `ip` goes to. Source: RFC 4291, section 2.7.1."""
    return str(ip_address(ip_text("ff02::1:ff00:0")[:13] + ip_text(ip)[13:]))


def solicitation(
    target: str, sender: tuple[str, str], *, option: str | None = "", to: tuple[str, str] | None = None
) -> bytes:
    """A neighbour solicitation by `sender` (MAC, IP). `option`: its link-layer option, by default its MAC; None: none.

    `to`: (MAC, IP) if it is not for the target's solicited-node group.
    """
    mac, ip = sender
    group = solicited_node(target)
    to_mac, to_ip = to or (multicast_mac(group), group)
    body = b"\0\0\0\0" + ip_text(target)
    if option is not None:
        body += b"\1\1" + mac_text(option or mac)
    return icmpv6((mac, to_mac), (ip, to_ip), 135, body)


def detection(target: str, mac: str) -> bytes:
    """Duplicate address detection. Source: RFC 4862, section 5.4.2."""
    return solicitation(target, (mac, "::"), option=None)


def advertisement(
    target: str,
    owner: tuple[str, str],
    to: tuple[str, str],
    *,
    flags: int = 0x6000_0000,
    option: str | None = "",
) -> bytes:
    """A neighbour advertisement by `owner` (MAC, IP) to (MAC, IP)."""
    body = struct.pack("!I", flags) + ip_text(target)
    if option is not None:
        body += b"\2\1" + mac_text(option or owner[0])
    return icmpv6((owner[0], to[0]), (owner[1], to[1]), 136, body)


FROM_ROUTER = 0xE000_0000
"""Flags of an advertisement that keeps a router on its hearers' list of default routers."""


def router_solicitation(mac: str, ip: str) -> bytes:
    """A router solicitation to all routers."""
    body = b"\0\0\0\0" + (b"" if ip == "::" else b"\1\1" + mac_text(mac))
    return icmpv6((mac, multicast_mac(ALL_ROUTERS)), (ip, ALL_ROUTERS), 133, body)


def router_advertisement(mac: str, *, extension: bytes = b"") -> bytes:
    """A router advertisement to all nodes from the link-local address of `mac`."""
    body = struct.pack("!BBHII", 64, 0, 1800, 0, 0)
    eth, ip = (mac, multicast_mac(ALL_NODES)), (link_local(mac), ALL_NODES)
    return icmpv6(eth, ip, 134, body, extension=extension)


def listener_report(mac: str, ip: str) -> bytes:
    """A multicast listener report, version 2, with the router alert it has in a hop-by-hop header. Source: RFC 3810."""
    group = "ff02::16"
    body = struct.pack("!HH", 0, 0)
    message = bytes([143, 0, 0, 0]) + body
    message = message[:2] + checksum(_pseudo(ip, group, ICMPV6, len(message)) + message) + message[4:]
    alert = bytes([ICMPV6, 0, 5, 2, 0, 0, 1, 0])
    return ethernet(mac, multicast_mac(group), *ip_packet(ip, group, 0, alert + message, hops=1))


def dhcp_discover(mac: str) -> bytes:
    """What a DHCP client broadcasts first (the part a switch looks at)."""
    return udp((mac, BROADCAST), ("0.0.0.0", "255.255.255.255"), (68, 67), bytes(240))
