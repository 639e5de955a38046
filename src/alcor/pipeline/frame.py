"""A frame on its way through a switch: bytes, read and written by field.

Parses Ethernet, 802.1Q, ARP, IPv4, IPv6 with extension headers, TCP, UDP, ICMP, ICMPv6 and neighbour discovery. A field
that the frame does not have reads as 0 and cannot be written. `to_bytes` puts checksums right if anything was
written. Source: RFC 791, 826, 1071, 4861, 8200; ovs-fields(7) for what a switch makes of odd frames.
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from alcor.pipeline.flow import Field

_ETH_VLAN = 0x8100
_ETH_ARP = 0x0806
_ETH_IPV4 = 0x0800
_ETH_IPV6 = 0x86DD
_VLAN_PRESENT = 0x1000
_ICMPV4, _TCP, _UDP, _ICMPV6, _SCTP = 1, 6, 17, 58, 132
_HOP_BY_HOP, _ROUTING, _FRAGMENT, _DESTINATION_OPTIONS = 0, 43, 44, 60
_SOLICITATION, _ADVERTISEMENT = 135, 136
_SOURCE_OPTION, _TARGET_OPTION = 1, 2
_ETH_BYTES = 14
_ND_BYTES = 24

_ICMP_KINDS = frozenset({Field.ICMPV4_TYPE, Field.ICMPV6_TYPE})
_CHECKSUM_OFFSETS = {_ICMPV4: 2, _TCP: 16, _UDP: 6, _ICMPV6: 2}
_TRANSPORT_BYTES = {_ICMPV4: 8, _TCP: 20, _UDP: 8, _ICMPV6: 4, _SCTP: 12}
_PARTIAL = frozenset({Field.IP_DSCP, Field.IP_ECN, Field.TCP_FLAGS})
"""Fields that share their bytes with others."""


class Place(NamedTuple):
    """Where a field lies in the frame, in bytes; `shift`: how many bits below it are not its own."""

    offset: int
    length: int
    shift: int = 0


class Frame:
    """One frame. Law: `Frame(data).to_bytes() == data` if nothing was written."""

    def __init__(self, data: bytes) -> None:
        self.data = bytearray(data)
        self.written = False
        self.places: Mapping[Field, Place] = {}
        self.constants: Mapping[Field, int] = {}
        self._ip_offset = 0
        self._transport: Place | None = None
        self._parse()

    def copy(self) -> "Frame":
        """An independent copy."""
        other = Frame(bytes(self.data))
        other.written = self.written
        return other

    def read(self, field: Field) -> int:
        """The field's value; 0 if the frame does not have it."""
        if field in self.constants:
            return self.constants[field]
        place = self.places.get(field)
        if place is None:
            return 0
        value = int.from_bytes(self.data[place.offset : place.offset + place.length], "big")
        if field in _PARTIAL:
            return value >> place.shift & (1 << field.bits) - 1
        return value

    def write(self, field: Field, value: int) -> None:
        """Write a field; nothing if the frame does not have it (an option that is not there)."""
        if field in (Field.VLAN_TCI, Field.VLAN_VID):
            self._write_tag(field, value)
            return
        place = self.places.get(field)
        if place is None:
            return
        if field in _PARTIAL:
            rest = int.from_bytes(self.data[place.offset : place.offset + place.length], "big")
            value = rest & ~((1 << field.bits) - 1 << place.shift) | value << place.shift
        if self._transport is None and field in _ICMP_KINDS:
            self._patch_checksum(place.offset, value)
        self.data[place.offset : place.offset + place.length] = value.to_bytes(place.length, "big")
        self.written = True
        if field in (Field.ICMPV6_TYPE, Field.ND_OPTIONS_TYPE):
            self._parse()

    def push_vlan(self) -> None:
        """Put a tag with id 0 in front of what follows the addresses."""
        self._put_tag(_ETH_VLAN.to_bytes(2, "big") + bytes(2))

    def pop_vlan(self) -> None:
        """Take the outer tag off; nothing if there is none."""
        if self.read(Field.VLAN_TCI):
            self._put_tag(b"", replaced=4)

    def _put_tag(self, tag: bytes, replaced: int = 0) -> None:
        if self.written:
            self._put_checksums()
        self.data[12 : 12 + replaced] = tag
        self._parse()

    def _write_tag(self, field: Field, value: int) -> None:
        if field is Field.VLAN_VID:
            value |= self.read(Field.VLAN_TCI) & 0xE000
        if not value & _VLAN_PRESENT:
            self.pop_vlan()
            return
        if not self.read(Field.VLAN_TCI):
            self.push_vlan()
        self.data[14:16] = (value & ~_VLAN_PRESENT).to_bytes(2, "big")
        self._parse()

    @property
    def ip_offset(self) -> int | None:
        """Where the IP header begins; None if there is none (or a broken one)."""
        return self._ip_offset if Field.IP_TTL in self.places else None

    @property
    def transport(self) -> Place | None:
        """Where the whole transport header and what follows lie; None for fragments, and if there is none."""
        return self._transport

    @property
    def has_good_checksums(self) -> bool:
        """Whether IPv4 header and TCP, UDP, ICMP sum up; true of what has no checksum."""
        if self.written:
            return True
        again = self.copy()
        again.written = True
        return again.to_bytes() == bytes(self.data)

    def to_bytes(self) -> bytes:
        """The frame as it goes out, checksums right if anything was written."""
        if self.written:
            self._put_checksums()
        return bytes(self.data)

    # --- parsing ---------------------------------------------------------------------------------------

    def _parse(self) -> None:
        places: dict[Field, Place] = {Field.ETH_DST: Place(0, 6), Field.ETH_SRC: Place(6, 6)}
        constants: dict[Field, int] = {}
        self.places, self.constants, self._transport = places, constants, None
        if len(self.data) < _ETH_BYTES:
            raise ValueError(f"a frame of {len(self.data)} bytes is shorter than an Ethernet header")
        offset = 12
        eth_type = self._number(offset, 2)
        if eth_type == _ETH_VLAN and len(self.data) >= _ETH_BYTES + 4:
            constants[Field.VLAN_TCI] = self._number(offset + 2, 2) | _VLAN_PRESENT
            constants[Field.VLAN_VID] = constants[Field.VLAN_TCI] & 0x1FFF
            offset += 4
            eth_type = self._number(offset, 2)
        constants[Field.ETH_TYPE] = eth_type
        start = offset + 2
        if eth_type == _ETH_ARP:
            self._parse_arp(start, places)
        elif eth_type == _ETH_IPV4:
            self._parse_ipv4(start, places, constants)
        elif eth_type == _ETH_IPV6:
            self._parse_ipv6(start, places, constants)

    def _number(self, offset: int, length: int) -> int:
        return int.from_bytes(self.data[offset : offset + length], "big")

    def _parse_arp(self, start: int, places: dict[Field, Place]) -> None:
        # Ethernet and IPv4 addresses only; anything else has no ARP fields.
        if len(self.data) < start + 28 or self.data[start : start + 6] != bytes.fromhex("000108000604"):
            return
        places[Field.ARP_OP] = Place(start + 6, 2)
        places[Field.ARP_SHA] = Place(start + 8, 6)
        places[Field.ARP_SPA] = Place(start + 14, 4)
        places[Field.ARP_THA] = Place(start + 18, 6)
        places[Field.ARP_TPA] = Place(start + 24, 4)

    def _parse_ipv4(self, start: int, places: dict[Field, Place], constants: dict[Field, int]) -> None:
        if len(self.data) < start + 20 or self.data[start] >> 4 != 4:
            return
        header_bytes = (self.data[start] & 15) * 4
        total = self._number(start + 2, 2)
        if header_bytes < 20 or total < header_bytes or len(self.data) < start + total:
            return
        self._ip_offset = start
        places[Field.IP_TTL] = Place(start + 8, 1)
        places[Field.IP_DSCP], places[Field.IP_ECN] = Place(start + 1, 1, 2), Place(start + 1, 1)
        places[Field.IPV4_SRC] = Place(start + 12, 4)
        places[Field.IPV4_DST] = Place(start + 16, 4)
        protocol = constants[Field.IP_PROTO] = self.data[start + 9]
        fragment = self._number(start + 6, 2)
        if fragment & 0x3FFF:
            constants[Field.IP_FRAG] = 3 if fragment & 0x1FFF else 1
        if not fragment & 0x1FFF:
            whole = not fragment & 0x2000
            self._parse_transport(protocol, start + header_bytes, start + total, places, whole=whole)

    def _parse_ipv6(self, start: int, places: dict[Field, Place], constants: dict[Field, int]) -> None:
        if len(self.data) < start + 40 or self.data[start] >> 4 != 6:
            return
        end = start + 40 + self._number(start + 4, 2)
        if len(self.data) < end:
            return
        self._ip_offset = start
        places[Field.IP_TTL] = Place(start + 7, 1)
        places[Field.IP_DSCP], places[Field.IP_ECN] = Place(start, 2, 6), Place(start, 2, 4)
        places[Field.IPV6_SRC] = Place(start + 8, 16)
        places[Field.IPV6_DST] = Place(start + 24, 16)
        protocol, offset = self.data[start + 6], start + 40
        first, whole = True, True
        while protocol in (_HOP_BY_HOP, _ROUTING, _FRAGMENT, _DESTINATION_OPTIONS):
            if offset + 8 > end:
                return
            following = self.data[offset]
            if protocol == _FRAGMENT:
                fragment = self._number(offset + 2, 2)
                first, whole = fragment < 8, not fragment & 0xFFF9
                if not whole:
                    constants[Field.IP_FRAG] = 1 if first else 3
                offset += 8
            else:
                offset += (self.data[offset + 1] + 1) * 8
            if not first:
                break  # as a switch reads it: of a later fragment the protocol is "fragment"
            protocol = following
        constants[Field.IP_PROTO] = protocol
        if first and offset <= end:
            self._parse_transport(protocol, offset, end, places, whole=whole)

    def _parse_transport(
        self, protocol: int, start: int, end: int, places: dict[Field, Place], *, whole: bool
    ) -> None:
        if end - start < _TRANSPORT_BYTES.get(protocol, 1 << 16):
            return
        if whole:
            self._transport = Place(start, end - start)
        if protocol == _TCP:
            places[Field.TCP_SRC], places[Field.TCP_DST] = Place(start, 2), Place(start + 2, 2)
            places[Field.TCP_FLAGS] = Place(start + 12, 2)
        elif protocol == _UDP:
            places[Field.UDP_SRC], places[Field.UDP_DST] = Place(start, 2), Place(start + 2, 2)
        elif protocol == _SCTP:
            places[Field.SCTP_SRC], places[Field.SCTP_DST] = Place(start, 2), Place(start + 2, 2)
        elif protocol == _ICMPV4:
            places[Field.ICMPV4_TYPE], places[Field.ICMPV4_CODE] = Place(start, 1), Place(start + 1, 1)
        elif protocol == _ICMPV6:
            places[Field.ICMPV6_TYPE], places[Field.ICMPV6_CODE] = Place(start, 1), Place(start + 1, 1)
            self._parse_nd(start, end, places)

    def _parse_nd(self, start: int, end: int, places: dict[Field, Place]) -> None:
        type, code = self.data[start], self.data[start + 1]
        if type not in (_SOLICITATION, _ADVERTISEMENT) or code or end - start < _ND_BYTES:
            return
        places[Field.ND_RESERVED] = Place(start + 4, 4)
        places[Field.ND_TARGET] = Place(start + 8, 16)
        offset = start + _ND_BYTES
        if offset + 8 <= end:
            places[Field.ND_OPTIONS_TYPE] = Place(offset, 1)
        while offset + 8 <= end:
            option, length = self.data[offset], self.data[offset + 1] * 8
            if not length or offset + length > end:
                return
            if length == 8 and option == _SOURCE_OPTION:
                places.setdefault(Field.ND_SLL, Place(offset + 2, 6))
            elif length == 8 and option == _TARGET_OPTION:
                places.setdefault(Field.ND_TLL, Place(offset + 2, 6))
            offset += length

    # --- checksums -------------------------------------------------------------------------------------

    def _patch_checksum(self, at: int, type: int) -> None:
        """The checksum of an ICMP message of which this is the first fragment, for a new type. Source: RFC 1624."""
        total = (~self._number(at + 2, 2) & 0xFFFF) + (~(self.data[at] << 8) & 0xFFFF) + (type << 8)
        while total >> 16:
            total = (total & 0xFFFF) + (total >> 16)
        self.data[at + 2 : at + 4] = (~total & 0xFFFF).to_bytes(2, "big")

    def _put_checksums(self) -> None:
        eth_type = self.read(Field.ETH_TYPE)
        if Field.IPV4_SRC in self.places:
            start = self._ip_offset
            header = Place(start, (self.data[start] & 15) * 4)
            self._put_checksum(start + 10, [header])
        if self._transport is None:
            return
        protocol = self.read(Field.IP_PROTO)
        if protocol == _SCTP:
            return  # a CRC that does not cover addresses, of ports that no flow changes
        at = self._transport.offset + _CHECKSUM_OFFSETS[protocol]
        if protocol == _UDP and eth_type == _ETH_IPV4 and not self._number(at, 2):
            return  # a UDP sender over IPv4 may leave it out
        pseudo = b""
        if protocol != _ICMPV4:
            source, target = (
                (Field.IPV4_SRC, Field.IPV4_DST)
                if eth_type == _ETH_IPV4
                else (Field.IPV6_SRC, Field.IPV6_DST)
            )
            width = source.bits // 8
            pseudo = self.read(source).to_bytes(width, "big") + self.read(target).to_bytes(width, "big")
            pseudo += self._transport.length.to_bytes(4, "big") + protocol.to_bytes(4, "big")
        self._put_checksum(at, [self._transport], pseudo, zero_as_ones=protocol == _UDP)

    def _put_checksum(
        self, at: int, covered: list[Place], pseudo: bytes = b"", *, zero_as_ones: bool = False
    ) -> None:
        self.data[at : at + 2] = b"\0\0"
        text = pseudo + b"".join(bytes(self.data[offset : offset + length]) for offset, length, _ in covered)
        value = internet_checksum(text)
        if zero_as_ones and not value:
            value = 0xFFFF
        self.data[at : at + 2] = value.to_bytes(2, "big")


def internet_checksum(text: bytes) -> int:
    """The one's complement of the one's complement sum of 16-bit words. Source: RFC 1071."""
    total = sum(_words(text))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def _words(text: bytes) -> Iterator[int]:
    for index in range(0, len(text) - 1, 2):
        yield text[index] << 8 | text[index + 1]
    if len(text) % 2:
        yield text[-1] << 8
