"""Frames read and written by field, checked against scapy."""

import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import (
    ICMPv6ND_NA,
    ICMPv6ND_NS,
    ICMPv6NDOptDstLLAddr,
    ICMPv6NDOptSrcLLAddr,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
)
from scapy.layers.l2 import ARP, Dot1Q, Ether

from alcor.model.address import Ip, Mac, ip_int, mac_int
from alcor.pipeline.flow import Field
from alcor.pipeline.frame import Frame, internet_checksum
from tests.support.packets import checksum

M1, M2 = "02:00:00:00:00:01", "02:00:00:00:00:02"
ETHER = Ether(src=M1, dst=M2)
V4 = IP(src="10.0.0.1", dst="10.0.0.2", ttl=9)
V6 = IPv6(src="fd00::1", dst="fd00::2", hlim=9)
I1, I2, S1, S2 = (ip_int(Ip(ip)) for ip in ("10.0.0.1", "10.0.0.2", "fd00::1", "fd00::2"))

IPV4_FIELDS = {Field.ETH_TYPE: 0x0800, Field.IPV4_SRC: I1, Field.IPV4_DST: I2, Field.IP_TTL: 9}
IPV6_FIELDS = {Field.ETH_TYPE: 0x86DD, Field.IPV6_SRC: S1, Field.IPV6_DST: S2, Field.IP_TTL: 9}
SEEN: list[tuple[str, Any, dict[Field, int]]] = [
    (
        "tcp",
        V4 / TCP(sport=1, dport=2),
        {**IPV4_FIELDS, Field.IP_PROTO: 6, Field.TCP_SRC: 1, Field.TCP_DST: 2},
    ),
    (
        "udp",
        V4 / UDP(sport=1, dport=2) / b"odd",
        {**IPV4_FIELDS, Field.IP_PROTO: 17, Field.UDP_SRC: 1, Field.UDP_DST: 2},
    ),
    (
        "icmp",
        V4 / ICMP(type=8, code=3),
        {**IPV4_FIELDS, Field.IP_PROTO: 1, Field.ICMPV4_TYPE: 8, Field.ICMPV4_CODE: 3},
    ),
    (
        "IPv4 options",
        IP(src="10.0.0.1", dst="10.0.0.2", ttl=9, options=[b"\x94\x04\0\0"]) / UDP(sport=1, dport=2),
        {**IPV4_FIELDS, Field.IP_PROTO: 17, Field.UDP_SRC: 1, Field.UDP_DST: 2},
    ),
    (
        "a later fragment has no ports",
        IP(src="10.0.0.1", dst="10.0.0.2", ttl=9, frag=5, proto=17) / bytes(32),
        {**IPV4_FIELDS, Field.IP_PROTO: 17, Field.UDP_SRC: 0, Field.UDP_DST: 0},
    ),
    (
        "udp6",
        V6 / UDP(sport=1, dport=2),
        {**IPV6_FIELDS, Field.IP_PROTO: 17, Field.UDP_SRC: 1, Field.UDP_DST: 2},
    ),
    (
        "extension headers",
        V6 / IPv6ExtHdrHopByHop() / IPv6ExtHdrDestOpt() / UDP(sport=1, dport=2),
        {**IPV6_FIELDS, Field.IP_PROTO: 17, Field.UDP_SRC: 1, Field.UDP_DST: 2},
    ),
    (
        "a first fragment has ports",
        V6 / IPv6ExtHdrFragment(offset=0, m=1, nh=17) / UDP(sport=1, dport=2),
        {**IPV6_FIELDS, Field.IP_PROTO: 17, Field.UDP_SRC: 1, Field.UDP_DST: 2},
    ),
    (
        "a later IPv6 fragment has no ports, and its protocol is not seen",
        V6 / IPv6ExtHdrFragment(offset=3, m=0, nh=17) / bytes(32),
        {**IPV6_FIELDS, Field.IP_PROTO: 44, Field.UDP_SRC: 0, Field.UDP_DST: 0},
    ),
    (
        "a solicitation",
        V6 / ICMPv6ND_NS(tgt="fd00::2") / ICMPv6NDOptSrcLLAddr(lladdr=M1),
        {
            **IPV6_FIELDS,
            Field.IP_PROTO: 58,
            Field.ICMPV6_TYPE: 135,
            Field.ICMPV6_CODE: 0,
            Field.ND_TARGET: S2,
            Field.ND_SLL: mac_int(Mac(M1)),
            Field.ND_TLL: 0,
            Field.ND_OPTIONS_TYPE: 1,
        },
    ),
    (
        "an advertisement",
        V6 / ICMPv6ND_NA(tgt="fd00::1", R=0, S=1, O=1) / ICMPv6NDOptDstLLAddr(lladdr=M2),
        {
            Field.ICMPV6_TYPE: 136,
            Field.ND_TARGET: S1,
            Field.ND_TLL: mac_int(Mac(M2)),
            Field.ND_SLL: 0,
            Field.ND_RESERVED: 0x6000_0000,
        },
    ),
    (
        "a solicitation without options",
        V6 / ICMPv6ND_NS(tgt="fd00::2"),
        {Field.ND_TARGET: S2, Field.ND_SLL: 0},
    ),
    (
        "arp",
        ARP(op=2, hwsrc=M1, psrc="10.0.0.1", hwdst=M2, pdst="10.0.0.2"),
        {
            Field.ETH_TYPE: 0x0806,
            Field.ARP_OP: 2,
            Field.ARP_SPA: I1,
            Field.ARP_TPA: I2,
            Field.ARP_SHA: mac_int(Mac(M1)),
            Field.ARP_THA: mac_int(Mac(M2)),
            Field.VLAN_TCI: 0,
        },
    ),
    ("a tag", Dot1Q(vlan=7, prio=3) / V4 / UDP(), {**IPV4_FIELDS, Field.VLAN_TCI: 3 << 13 | 0x1000 | 7}),
]


@pytest.mark.parametrize(("packet", "fields"), [each[1:] for each in SEEN], ids=[each[0] for each in SEEN])
def test_fields_are_read_as_scapy_wrote_them(packet: Any, fields: dict[Field, int]) -> None:
    """What is in the frame is read, what is not there is 0, and reading changes nothing."""
    data = bytes(ETHER / packet)

    frame = Frame(data)

    assert {field: frame.read(field) for field in fields} == fields
    assert (frame.read(Field.ETH_SRC), frame.read(Field.ETH_DST)) == (mac_int(Mac(M1)), mac_int(Mac(M2)))
    assert frame.to_bytes() == data


def rebuilt(data: bytes) -> bytes:
    """The frame with scapy's own checksums."""
    packet = Ether(data)
    layer: Any = packet
    while layer:
        for name in ("chksum", "cksum"):
            if name in layer.fields:
                delattr(layer, name)
        layer = layer.payload
    return bytes(packet)


@pytest.mark.parametrize(
    ("packet", "field", "value"),
    [
        (V4 / TCP() / b"odd", Field.IPV4_SRC, I2),
        (V4 / TCP() / b"even", Field.TCP_DST, 443),
        (V4 / UDP() / b"x", Field.UDP_SRC, 53),
        (V4 / ICMP(), Field.ICMPV4_TYPE, 0),
        (V4 / ICMP(), Field.IP_TTL, 8),
        (V6 / UDP() / b"x", Field.IPV6_DST, S1),
        (V6 / IPv6ExtHdrDestOpt() / UDP() / b"x", Field.UDP_SRC, 53),
        (V6 / ICMPv6ND_NS(tgt="fd00::2") / ICMPv6NDOptSrcLLAddr(lladdr=M1), Field.ND_TARGET, S1),
    ],
)
def test_checksums_are_right_after_a_write(packet: Any, field: Field, value: int) -> None:
    """Scapy, asked to compute the checksums again, finds the same."""
    frame = Frame(bytes(ETHER / packet))

    frame.write(field, value)

    assert frame.read(field) == value
    assert frame.to_bytes() == rebuilt(frame.to_bytes())


def test_an_absent_udp_checksum_stays_absent() -> None:
    """Over IPv4 a sender may leave it out, and a switch does not add it."""
    frame = Frame(bytes(ETHER / V4 / UDP(sport=1, dport=2, chksum=0)))

    frame.write(Field.UDP_DST, 9)

    assert frame.to_bytes()[-2:] == b"\0\0"


def test_a_solicitation_becomes_an_advertisement() -> None:
    """After its type and option type were written, the other option is there to be written."""
    frame = Frame(bytes(ETHER / V6 / ICMPv6ND_NS(tgt="fd00::2") / ICMPv6NDOptSrcLLAddr(lladdr=M1)))

    frame.write(Field.ICMPV6_TYPE, 136)
    frame.write(Field.ND_OPTIONS_TYPE, 2)
    frame.write(Field.ND_TLL, mac_int(Mac(M2)))

    found = Ether(frame.to_bytes())
    assert found[ICMPv6ND_NA].tgt == "fd00::2"
    assert found[ICMPv6NDOptDstLLAddr].lladdr == M2


def test_what_is_not_there_cannot_be_written() -> None:
    """An option that a packet lacks stays missing."""
    data = bytes(ETHER / V6 / ICMPv6ND_NS(tgt="fd00::2"))
    frame = Frame(data)

    frame.write(Field.ND_SLL, 5)

    assert frame.to_bytes() == data


@given(st.binary(min_size=14, max_size=120), st.sampled_from((0x0800, 0x0806, 0x86DD, 0x8100)))
def test_nothing_a_vm_sends_is_an_error(noise: bytes, eth_type: int) -> None:
    """Any bytes are a frame; all fields can be read, and nothing changes."""
    data = noise[:12] + struct.pack("!H", eth_type) + noise[14:]

    frame = Frame(data)

    assert all(frame.read(field) >= 0 for field in Field)
    assert frame.to_bytes() == data


@given(st.binary(max_size=64))
def test_the_checksum_agrees_with_one_computed_otherwise(text: bytes) -> None:
    """Adding 16-bit words with carry, and taking one number modulo 2^16-1, are the same."""
    assert internet_checksum(text).to_bytes(2, "big") == checksum(text)


def test_less_than_a_header_is_refused() -> None:
    """A switch never sees one."""
    with pytest.raises(ValueError, match="13 bytes"):
        Frame(bytes(13))
