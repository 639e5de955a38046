"""Matches as bytes: the forms in which Open vSwitch gives them back."""

from typing import Any

import pytest

from alcor.agent.ovs.oxm import (
    Unencodable,
    canonical,
    decode_fields,
    encode_match,
    encode_oxms,
    encode_value,
    split_oxms,
    without_packet_type,
)
from alcor.pipeline.flow import Field, match
from tests.support.ovs_peer import PARSER, independent_part

THEIR_NAMES = {
    Field.TUN_ID: "tunnel_id",
    Field.IP_TTL: "nw_ttl",
    **{field: f"ipv6_{field.name.lower()}" for field in (Field.ND_TARGET, Field.ND_SLL, Field.ND_TLL)},
    **{Field[f"TUN_IPV{n}_{end}"]: f"tun_ipv{n}_{end.lower()}" for n in (4,) for end in ("SRC", "DST")},
}
THEY_LACK = {
    *(Field.VLAN_TCI, Field.ND_RESERVED, Field.ND_OPTIONS_TYPE),
    *(Field.TUN_IPV6_SRC, Field.TUN_IPV6_DST, Field.IP_FRAG),
    *(Field.CT_IPV4_SRC, Field.CT_IPV4_DST, Field.CT_IPV6_SRC, Field.CT_IPV6_DST),
    *(Field.CT_IP_PROTO, Field.CT_PORT_SRC, Field.CT_PORT_DST),
}
REGISTERS = {field for field in Field if "REG" in field.name}


def size_of(field: Field) -> int:
    """Bytes of a value."""
    return (field.bits + 7) // 8


def their_value(field: Field, value: int) -> Any:
    """A value in the form os-ken takes it."""
    octets = value.to_bytes(size_of(field), "big")
    if field.bits == 48:
        return ":".join(f"{octet:02x}" for octet in octets)
    if "IPV4" in field.name or field in (Field.ARP_SPA, Field.ARP_TPA):
        return ".".join(str(octet) for octet in octets)
    if field.bits == 128 and field not in {*REGISTERS, Field.CT_LABEL}:
        return ":".join(octets[n : n + 2].hex() for n in range(0, 16, 2))
    return value


def a_value(field: Field) -> int:
    """A value with a different byte in each place."""
    return int.from_bytes(bytes(range(0x11, 0x11 + size_of(field))), "big") & (1 << field.bits) - 1


@pytest.mark.parametrize("field", [f for f in Field if f not in THEY_LACK], ids=lambda f: f.name)
def test_fields_are_encoded_as_another_encoder_does(field: Field) -> None:
    """Header and value of a single field agree with os-ken, with and without a mask."""
    name, value = THEIR_NAMES.get(field, field.name.lower()), a_value(field)
    mask = value & ~0xF0
    exact = PARSER.OFPMatch(**{name: their_value(field, value)})
    masked = PARSER.OFPMatch(**{name: (their_value(field, value & mask), their_value(field, mask))})

    assert encode_value(field, value, None) == independent_part(exact)[4 : 8 + size_of(field)]
    assert encode_value(field, value, mask) == independent_part(masked)[4 : 8 + 2 * size_of(field)]


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        (Field.ND_RESERVED, "10000204 11121314"),
        (Field.ND_OPTIONS_TYPE, "10000401 11"),
        (Field.TUN_IPV6_SRC, "0001da10 1112131415161718191a1b1c1d1e1f20"),
        (Field.TUN_IPV6_DST, "0001dc10 1112131415161718191a1b1c1d1e1f20"),
        (Field.IP_FRAG, "00013401 01"),
        (Field.CT_IP_PROTO, "0001ee01 11"),
        (Field.CT_IPV4_SRC, "0001f004 11121314"),
        (Field.CT_IPV4_DST, "0001f204 11121314"),
        (Field.CT_IPV6_SRC, "0001f410 1112131415161718191a1b1c1d1e1f20"),
        (Field.CT_IPV6_DST, "0001f610 1112131415161718191a1b1c1d1e1f20"),
        (Field.CT_PORT_SRC, "0001f802 1112"),
        (Field.CT_PORT_DST, "0001fa02 1112"),
    ],
)
def test_fields_of_open_vswitch_alone_are_encoded_as_it_prints_them(field: Field, expected: str) -> None:
    """Fields os-ken lacks, captured from Open vSwitch 3.1."""
    assert encode_value(field, a_value(field), None) == bytes.fromhex(expected)


def test_a_whole_match_agrees_with_another_encoder() -> None:
    """Type, length, terms and padding of a match on several fields; only the order of terms is ours."""
    ours = encode_match(
        match(eth_type=0x0800, ip_proto=6, ipv4_dst=(0x0A000000, 0xFF000000), tcp_dst=80, in_port=3)
    )
    theirs = independent_part(
        PARSER.OFPMatch(in_port=3, eth_type=0x800, ip_proto=6, ipv4_dst=("10.0.0.0", "255.0.0.0"), tcp_dst=80)
    )

    assert len(ours) == len(theirs)
    assert ours[:4] == theirs[:4]
    length = int.from_bytes(ours[2:4], "big")
    assert canonical(ours[4:length]) == canonical(theirs[4:length])


def test_terms_come_in_the_switchs_order() -> None:
    """Prerequisites first, then tunnel, registers and metadata, as Open vSwitch 3.1 gives them back."""
    terms = encode_oxms(
        match(
            metadata=1,
            reg3=1,
            reg2=2,
            tun_id=3,
            udp_dst=67,
            ip_proto=17,
            eth_type=0x800,
            eth_dst=4,
            eth_src=5,
            in_port=6,
        )
    )

    assert [oxm[:3].hex() for oxm in split_oxms(terms)] == [
        *("800000", "800008", "800006", "80000a", "800014", "800020", "80004c", "800102", "800004"),
    ]


@pytest.mark.parametrize(
    ("terms", "expected"),
    [
        ({"reg14": 7}, "80010f10 0000000700000000 ffffffff00000000"),
        ({"reg15": 7}, "80010f10 0000000000000007 00000000ffffffff"),
        ({"reg14": 7, "reg15": 9}, "80010e08 0000000700000009"),
        ({"reg1": (0xFF2, 0xFF)}, "80010110 00000000000000f2 00000000000000ff"),
        ({"xxreg1": 0x1 << 64 | 2}, "80010408 0000000000000001 80010608 0000000000000002"),
        ({"xxreg0": (5 << 64, 0xF << 64), "reg3": 1}, "80010110 0000000000000005 000000000000000f"
            "80010310 0000000000000001 00000000ffffffff"),
        ({"vlan_tci": 0}, "80000c02 0000"),
        ({"vlan_tci": (0, 0x1000)}, "80000d04 0000 1000"),
        ({"vlan_tci": (0x1005, 0x1FFF)}, "80000c02 1005"),
        ({"vlan_tci": 0xB005}, "80000c02 1005 80000e01 05"),
        ({"vlan_tci": (0x1000, 0x1000)}, "80000d04 1000 1000"),
        ({"metadata": (5, 0)}, ""),
        ({"metadata": (5, 0xFFFF_FFFF_FFFF_FFFF)}, "80000408 0000000000000005"),
        ({}, ""),
    ],
)  # fmt: skip
def test_registers_and_vlans_have_the_switchs_form(terms: dict[str, Any], expected: str) -> None:
    """Registers are gathered into packet registers, a VLAN tag is its id and priority, empty masks vanish."""
    assert encode_oxms(match(**terms)) == bytes.fromhex(expected)


@pytest.mark.parametrize(
    ("terms", "complaint"),
    [
        ({"udp_dst": 1 << 16}, "udp_dst=0x10000.* does not fit 16 bits"),
        ({"reg3": 1 << 32}, "reg3=.* does not fit 32 bits"),
        ({"xxreg0": 5, "reg1": 5}, "overlaps another register"),
        ({"vlan_tci": (0x2000, 0xE000)}, "a priority needs the present bit"),
        ({"vlan_tci": (0x3000, 0x3000)}, "matched whole or not at all"),
    ],
)
def test_what_cannot_be_held_is_refused(terms: dict[str, Any], complaint: str) -> None:
    """A match that OpenFlow or Open vSwitch would bend is refused with its name and the reason."""
    with pytest.raises(Unencodable, match=complaint):
        encode_oxms(match(**terms))


def test_fields_of_a_packet_are_decoded_by_name() -> None:
    """What a packet-in carries comes back under the pipeline's names; packet registers as the registers they hold."""
    oxms = encode_oxms(
        match(in_port=3, tun_id=9, tun_ipv6_src=1 << 127, reg14=7, xxreg0=1, metadata=5, vlan_tci=0xB005)
    )

    assert decode_fields(oxms + bytes.fromhex("80004a021234")) == {
        "in_port": 3,
        "tun_id": 9,
        "tun_ipv6_src": 1 << 127,
        "metadata": 5,
        "vlan_tci": 0xB005,
        "reg14": 7,
        "reg15": 0,
        "reg0": 0,
        "reg1": 0,
        "reg2": 0,
        "reg3": 1,
    }


def test_a_match_on_nothing_is_recognised() -> None:
    """Open vSwitch describes it as "packet type Ethernet"."""
    described = bytes.fromhex("80005804 00000000")

    assert without_packet_type(described) == encode_oxms(())
    assert canonical(described) == canonical(b"")
