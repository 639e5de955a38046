"""OpenFlow extensible match (OXM): `pipeline.flow` fields to type-length-value bytes and back.

What is encoded here is what Open vSwitch 3.1 gives back in a flow description of OpenFlow 1.5, byte for byte, so
that reading back is a comparison of bytes. Found by experiment, kept by `tests/ovs/test_driver_readback.py`:

* the terms of a match come back in one fixed order, `_ORDER`, which also puts each prerequisite before what needs it;
* registers in a match come back as 64-bit packet registers (reg0 ‖ reg1 is xreg0), in actions as themselves;
* `vlan_tci` comes back as VLAN_VID (with the present bit) and VLAN_PCP;
* a match on nothing comes back with PACKET_TYPE(0), "Ethernet", which is every packet of ours.

Source: OpenFlow Switch Specification 1.5.1, section 7.2.3; ovs-fields(7).
"""

import struct
from collections.abc import Iterator, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Final

from alcor.pipeline.flow import Field, Match, Term

_NXM_0: Final = 0x0000
_NXM_1: Final = 0x0001
_ERICOXM: Final = 0x1000
_BASIC: Final = 0x8000
_PACKET_REGISTERS: Final = 0x8001

_REGISTERS: Final = {Field[f"REG{n}"]: n for n in range(16)}
_WIDE_REGISTERS: Final = {Field[f"XXREG{n}"]: n for n in range(4)}

# Class and number of each field that has one of its own.
_NUMBERS: Final[Mapping[Field, tuple[int, int]]] = {
    Field.IN_PORT: (_BASIC, 0),
    Field.METADATA: (_BASIC, 2),
    Field.ETH_DST: (_BASIC, 3),
    Field.ETH_SRC: (_BASIC, 4),
    Field.ETH_TYPE: (_BASIC, 5),
    Field.VLAN_TCI: (_NXM_0, 4),
    Field.VLAN_VID: (_BASIC, 6),
    Field.IP_DSCP: (_BASIC, 8),
    Field.IP_ECN: (_BASIC, 9),
    Field.IP_PROTO: (_BASIC, 10),
    Field.IPV4_SRC: (_BASIC, 11),
    Field.IPV4_DST: (_BASIC, 12),
    Field.TCP_SRC: (_BASIC, 13),
    Field.TCP_DST: (_BASIC, 14),
    Field.UDP_SRC: (_BASIC, 15),
    Field.UDP_DST: (_BASIC, 16),
    Field.SCTP_SRC: (_BASIC, 17),
    Field.SCTP_DST: (_BASIC, 18),
    Field.ICMPV4_TYPE: (_BASIC, 19),
    Field.ICMPV4_CODE: (_BASIC, 20),
    Field.ARP_OP: (_BASIC, 21),
    Field.ARP_SPA: (_BASIC, 22),
    Field.ARP_TPA: (_BASIC, 23),
    Field.ARP_SHA: (_BASIC, 24),
    Field.ARP_THA: (_BASIC, 25),
    Field.IPV6_SRC: (_BASIC, 26),
    Field.IPV6_DST: (_BASIC, 27),
    Field.ICMPV6_TYPE: (_BASIC, 29),
    Field.ICMPV6_CODE: (_BASIC, 30),
    Field.ND_TARGET: (_BASIC, 31),
    Field.ND_SLL: (_BASIC, 32),
    Field.ND_TLL: (_BASIC, 33),
    Field.TUN_ID: (_BASIC, 38),
    Field.TCP_FLAGS: (_BASIC, 42),
    Field.IP_FRAG: (_NXM_1, 26),
    Field.IP_TTL: (_NXM_1, 29),
    Field.PKT_MARK: (_NXM_1, 33),
    Field.CONJ_ID: (_NXM_1, 37),
    Field.CT_STATE: (_NXM_1, 105),
    Field.CT_ZONE: (_NXM_1, 106),
    Field.CT_MARK: (_NXM_1, 107),
    Field.CT_LABEL: (_NXM_1, 108),
    Field.CT_IP_PROTO: (_NXM_1, 119),
    Field.CT_IPV4_SRC: (_NXM_1, 120),
    Field.CT_IPV4_DST: (_NXM_1, 121),
    Field.CT_IPV6_SRC: (_NXM_1, 122),
    Field.CT_IPV6_DST: (_NXM_1, 123),
    Field.CT_PORT_SRC: (_NXM_1, 124),
    Field.CT_PORT_DST: (_NXM_1, 125),
    Field.TUN_IPV4_SRC: (_NXM_1, 31),
    Field.TUN_IPV4_DST: (_NXM_1, 32),
    Field.TUN_IPV6_SRC: (_NXM_1, 109),
    Field.TUN_IPV6_DST: (_NXM_1, 110),
    Field.ND_RESERVED: (_ERICOXM, 1),
    Field.ND_OPTIONS_TYPE: (_ERICOXM, 2),
    **{register: (_NXM_1, n) for register, n in _REGISTERS.items()},
    **{register: (_NXM_1, 111 + n) for register, n in _WIDE_REGISTERS.items()},
}

# Names that the fields had before OpenFlow 1.2, by which stack actions are given back.
_OLD_NUMBERS: Final[Mapping[Field, tuple[int, int]]] = {
    Field.ETH_DST: (_NXM_0, 1),
    Field.ETH_SRC: (_NXM_0, 2),
    Field.ETH_TYPE: (_NXM_0, 3),
    Field.IP_PROTO: (_NXM_0, 6),
    Field.IPV4_SRC: (_NXM_0, 7),
    Field.IPV4_DST: (_NXM_0, 8),
    Field.TCP_SRC: (_NXM_0, 9),
    Field.TCP_DST: (_NXM_0, 10),
    Field.UDP_SRC: (_NXM_0, 11),
    Field.UDP_DST: (_NXM_0, 12),
    Field.ICMPV4_TYPE: (_NXM_0, 13),
    Field.ICMPV4_CODE: (_NXM_0, 14),
    Field.ARP_OP: (_NXM_0, 15),
    Field.ARP_SPA: (_NXM_0, 16),
    Field.ARP_TPA: (_NXM_0, 17),
    Field.TUN_ID: (_NXM_1, 16),
    Field.ARP_SHA: (_NXM_1, 17),
    Field.ARP_THA: (_NXM_1, 18),
    Field.IPV6_SRC: (_NXM_1, 19),
    Field.IPV6_DST: (_NXM_1, 20),
    Field.ICMPV6_TYPE: (_NXM_1, 21),
    Field.ICMPV6_CODE: (_NXM_1, 22),
    Field.IP_ECN: (_NXM_1, 28),
    Field.TCP_FLAGS: (_NXM_1, 34),
    Field.ND_TARGET: (_NXM_1, 23),
    Field.ND_SLL: (_NXM_1, 24),
    Field.ND_TLL: (_NXM_1, 25),
}

_VLAN_VID: Final = (_BASIC, 6)
_VLAN_PCP: Final = (_BASIC, 7)
_VLAN_PRESENT: Final = 0x1000  # the bit of a TCI that OpenFlow uses for "there is a tag"
_PACKET_TYPE_ETHERNET: Final = bytes.fromhex("8000580400000000")

# The order in which Open vSwitch writes the terms of a match.
_ORDER: Final = (
    Field.CONJ_ID,
    Field.IN_PORT,
    Field.ETH_SRC,
    Field.ETH_DST,
    Field.ETH_TYPE,
    Field.VLAN_TCI,
    Field.IPV4_SRC,
    Field.IPV4_DST,
    Field.IPV6_SRC,
    Field.IPV6_DST,
    Field.IP_FRAG,
    Field.IP_DSCP,
    Field.IP_ECN,
    Field.IP_TTL,
    Field.IP_PROTO,
    Field.TCP_SRC,
    Field.TCP_DST,
    Field.TCP_FLAGS,
    Field.UDP_SRC,
    Field.UDP_DST,
    Field.SCTP_SRC,
    Field.SCTP_DST,
    Field.ICMPV4_TYPE,
    Field.ICMPV4_CODE,
    Field.ICMPV6_TYPE,
    Field.ICMPV6_CODE,
    Field.ND_RESERVED,
    Field.ND_TARGET,
    Field.ND_OPTIONS_TYPE,
    Field.ND_SLL,
    Field.ND_TLL,
    Field.ARP_OP,
    Field.ARP_SPA,
    Field.ARP_TPA,
    Field.ARP_SHA,
    Field.ARP_THA,
    Field.TUN_ID,
    Field.TUN_IPV4_SRC,
    Field.TUN_IPV4_DST,
    Field.TUN_IPV6_SRC,
    Field.TUN_IPV6_DST,
)
_RANK_OF_VLAN: Final = _ORDER.index(Field.VLAN_TCI)
_RANK_OF_XREG0: Final = 100
_RANK_AFTER_REGISTERS: Final = 150
_AFTER_REGISTERS: Final = (
    Field.PKT_MARK,
    Field.CT_STATE,
    Field.CT_ZONE,
    Field.CT_MARK,
    Field.CT_LABEL,
    Field.CT_IPV4_SRC,
    Field.CT_IPV4_DST,
    Field.CT_IPV6_SRC,
    Field.CT_IPV6_DST,
    Field.CT_IP_PROTO,
    Field.CT_PORT_SRC,
    Field.CT_PORT_DST,
    Field.METADATA,
)
_RANKS: Final[dict[Field, int]] = {
    **{field: rank for rank, field in enumerate(_ORDER) if field is not Field.VLAN_TCI},
    **{field: rank for rank, field in enumerate(_AFTER_REGISTERS, _RANK_AFTER_REGISTERS)},
}


class Unencodable(ValueError):
    """A match or action that OpenFlow 1.5 or Open vSwitch cannot hold; the text says which and why."""


def _bytes(field: Field) -> int:
    return (field.bits + 7) // 8


def encode_header(field: Field, *, has_mask: bool = False) -> bytes:
    """The four bytes that name a field, with the length of the value (and mask) that follows it."""
    kind, number = _NUMBERS[field]
    size = _bytes(field)
    return struct.pack("!HBB", kind, number << 1 | has_mask, size * 2 if has_mask else size)


# Looked up a million times a second; an Enum's properties are ten times slower than a dictionary.
_EXACT: Final = {field: (encode_header(field), _bytes(field), (1 << field.bits) - 1) for field in Field}
_MASKED: Final = {field: encode_header(field, has_mask=True) for field in Field}


def encode_old_header(field: Field) -> bytes:
    """The four bytes that name a field in a stack action."""
    kind, number = _OLD_NUMBERS.get(field, _NUMBERS[field])
    return struct.pack("!HBB", kind, number << 1, _bytes(field))


def encode_value(field: Field, value: int, mask: int | None) -> bytes:
    """One field with its value and, unless all bits count, its mask; bits outside the mask are cleared.

    Raises: Unencodable if value or mask do not fit the field.
    """
    header, size, every = _EXACT[field]
    try:
        if mask is None or mask == every:
            return header + value.to_bytes(size, "big")
        return _MASKED[field] + (value & mask).to_bytes(size, "big") + mask.to_bytes(size, "big")
    except OverflowError:
        shown = f"{value:#x}" if mask is None else f"{value:#x}/{mask:#x}"
        raise Unencodable(f"{field.value[0]}={shown} does not fit {field.bits} bits") from None


def _encode_pair(number: int, value: int, mask: int) -> bytes:
    """One 64-bit packet register."""
    if mask == 0xFFFF_FFFF_FFFF_FFFF:
        return struct.pack("!HBBQ", _PACKET_REGISTERS, number << 1, 8, value)
    return struct.pack("!HBBQQ", _PACKET_REGISTERS, number << 1 | 1, 16, value, mask)


def _encode_vlan(value: int, mask: int) -> bytes:
    value &= mask
    vid_mask, pcp_mask = mask & 0x1FFF, mask >> 13
    if pcp_mask and value & _VLAN_PRESENT:
        if pcp_mask != 7:
            raise Unencodable(
                f"vlan_tci={value:#06x}/{mask:#06x}: the priority is matched whole or not at all"
            )
        pcp = struct.pack("!HBBB", _VLAN_PCP[0], _VLAN_PCP[1] << 1, 1, value >> 13)
    elif pcp_mask and not (value == 0 and mask & _VLAN_PRESENT):
        raise Unencodable(f"vlan_tci={value:#06x}/{mask:#06x}: a priority needs the present bit (0x1000)")
    else:
        pcp = b""
    if vid_mask == 0x1FFF:
        return struct.pack("!HBBH", _VLAN_VID[0], _VLAN_VID[1] << 1, 2, value & 0x1FFF) + pcp
    vid = struct.pack("!HBBHH", _VLAN_VID[0], _VLAN_VID[1] << 1 | 1, 4, value & 0x1FFF, vid_mask)
    return vid + pcp


@lru_cache(maxsize=1 << 16)
def _encode_lone_register(field: Field, value: int, mask: int | None) -> tuple[int, bytes]:
    """The same for the only register of a match."""
    ((rank, encoded),) = _encode_registers([Term(field, value, mask)])
    return rank, encoded


def _encode_registers(terms: list[Term]) -> list[tuple[int, bytes]]:
    """Registers of one match, gathered into packet registers of 64 bits."""
    pairs: dict[int, tuple[int, int]] = {}
    for field, value, mask in terms:
        encode_value(field, value, mask)  # checks the ranges
        mask = (1 << field.bits) - 1 if mask is None else mask
        value &= mask
        number = _REGISTERS.get(field)
        halves: tuple[tuple[int, int, int], ...]
        if number is None:
            first = _WIDE_REGISTERS[field] * 2
            halves = ((first, value >> 64, mask >> 64), (first + 1, value & (2**64 - 1), mask & (2**64 - 1)))
        else:
            shift = 0 if number & 1 else 32
            halves = ((number >> 1, value << shift, mask << shift),)
        for pair, part, part_mask in halves:
            had_value, had_mask = pairs.get(pair, (0, 0))
            if had_mask & part_mask:
                raise Unencodable(f"{field.value[0]} overlaps another register of the same match")
            if part_mask:
                pairs[pair] = (had_value | part, had_mask | part_mask)
    return [(_RANK_OF_XREG0 + pair, _encode_pair(pair, *both)) for pair, both in pairs.items()]


def encode_oxms(match: Match) -> bytes:
    """The terms of a match in Open vSwitch's order, without the enclosing `ofp_match`.

    Cost: about 0.4 µs a term.
    Raises: Unencodable.
    """
    parts: list[tuple[int, bytes]] = []
    registers: list[Term] = []
    for term in match:
        field, value, mask = term
        if mask == 0:
            continue  # matches everything; Open vSwitch drops it too
        rank = _RANKS.get(field)
        if rank is not None:
            parts.append((rank, encode_value(field, value, mask)))
        elif field is Field.VLAN_TCI:
            parts.append((_RANK_OF_VLAN, _encode_vlan(value, 0xFFFF if mask is None else mask)))
        elif field is Field.VLAN_VID:
            parts.append((_RANK_OF_VLAN, _encode_vlan(value, 0x1FFF if mask is None else mask)))
        else:
            registers.append(term)
    if registers:
        if len(registers) == 1 and registers[0].field in _REGISTERS:
            parts.append(_encode_lone_register(*registers[0]))
        else:
            parts += _encode_registers(registers)
    parts.sort()
    return b"".join([encoded for _, encoded in parts])


def encode_match(match: Match) -> bytes:
    """A whole `ofp_match`, padded to eight bytes."""
    return enclose(encode_oxms(match))


_PADDING: Final = tuple(b"\0" * n for n in range(8))


def enclose(oxms: bytes) -> bytes:
    """Terms already encoded as an `ofp_match`: type, length, terms, padding to eight bytes."""
    length = 4 + len(oxms)
    return struct.pack("!HH", 1, length) + oxms + _PADDING[-length % 8]


def split_oxms(oxms: bytes) -> Iterator[bytes]:
    """Cut encoded terms apart, each with its header."""
    at = 0
    while at < len(oxms):
        end = at + 4 + oxms[at + 3]
        yield oxms[at:end]
        at = end


def canonical(oxms: bytes) -> tuple[bytes, ...]:
    """The set of terms as a value: equal for every order. For what was not written by `encode_oxms`."""
    return tuple(sorted(oxm for oxm in split_oxms(oxms) if oxm != _PACKET_TYPE_ETHERNET))


def without_packet_type(oxms: bytes) -> bytes:
    """Drop the PACKET_TYPE(0) with which Open vSwitch describes a match on nothing."""
    return oxms.removeprefix(_PACKET_TYPE_ETHERNET)


_FIELDS: Final[Mapping[tuple[int, int], Field]] = MappingProxyType({v: k for k, v in _NUMBERS.items()})


def encode_mask(field: Field) -> bytes:
    """A field with ones in all its bits, as a group names what it hashes."""
    header, size, every = _EXACT[field]
    return header + every.to_bytes(size, "big")


def decode_fields(oxms: bytes) -> dict[str, int]:
    """Values by field name (`Field` names, lower case) as a packet-in carries them; unknown fields are left out.

    Packet registers are given as the two registers they hold, which are therefore there even where they are 0;
    wide registers are there as the four they hold.
    """
    found: dict[str, int] = {}
    for oxm in split_oxms(oxms):
        kind, number, _ = struct.unpack_from("!HBB", oxm)
        size = len(oxm) - 4 >> (number & 1)
        value = int.from_bytes(oxm[4 : 4 + size], "big")
        number >>= 1
        if kind == _PACKET_REGISTERS:
            found[f"reg{number * 2}"] = value >> 32
            found[f"reg{number * 2 + 1}"] = value & 0xFFFF_FFFF
        elif (kind, number) == _VLAN_VID:
            found["vlan_tci"] = found.get("vlan_tci", 0) | value
        elif (kind, number) == _VLAN_PCP:
            found["vlan_tci"] = found.get("vlan_tci", 0) | value << 13
        elif (field := _FIELDS.get((kind, number))) is not None:
            found[field.name.lower()] = value
    return found
