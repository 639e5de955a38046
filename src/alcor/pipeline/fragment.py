"""Fragments that wait for each other in front of connection tracking, as in Open vSwitch's userspace datapath.

Until all have come none goes on; then each goes on by itself, with the state, addresses and ports of the whole.
A fragment that is not the last and shorter than `IPV4_BYTES_MIN` or `IPV6_BYTES_MIN` is not waited for, and invalid.
Source: RFC 791, 8200; ovs-appctl(8), "dpctl/ipf-get-status"; tried on Open vSwitch 3.1.
"""

from typing import Generic, NamedTuple, TypeVar

from alcor.pipeline.flow import Field
from alcor.pipeline.frame import Frame, internet_checksum

IPV4_BYTES_MIN = 1_200
IPV6_BYTES_MIN = 1_280
_ETH_IPV4 = 0x0800
_MORE = 1
_FRAGMENT_HEADER = 44
_Packet = TypeVar("_Packet")


class _Key(NamedTuple):
    zone: int
    version: int
    source: int
    target: int
    protocol: int
    identifier: int


class _Piece(NamedTuple):
    """One fragment: its IP header's place, where its part begins and ends in the frame, and in the whole."""

    frame: Frame
    ip: int
    start: int
    end: int
    offset: int
    has_more: bool
    identifier: int
    header: int


class Fragments(Generic[_Packet]):
    """Those that wait, of all zones."""

    def __init__(self) -> None:
        self._waiting: dict[_Key, list[_Piece]] = {}

    def gather(self, zone: int, frame: Frame) -> tuple[Frame, list[Frame]] | None:
        """The whole packet and its fragments in order, once the last of them has come; None until then.

        One that is too short stands for itself: it has no transport, so that whoever tracks it finds it invalid.
        """
        piece = _parse(frame)
        if piece is None:
            return frame, [frame]
        version = 4 if frame.read(Field.ETH_TYPE) == _ETH_IPV4 else 6
        if piece.has_more and piece.end - piece.ip < (IPV4_BYTES_MIN if version == 4 else IPV6_BYTES_MIN):
            return frame, [frame]
        ends = (Field.IPV4_SRC, Field.IPV4_DST) if version == 4 else (Field.IPV6_SRC, Field.IPV6_DST)
        source, target = map(frame.read, ends)
        # Source: RFC 791, section 3.2; RFC 8200, section 4.5, where a later fragment's protocol does not count.
        protocol = frame.read(Field.IP_PROTO) if version == 4 else _FRAGMENT_HEADER
        key = _Key(zone, version, source, target, protocol, piece.identifier)
        waiting = self._waiting.setdefault(key, [])
        if all(other.offset != piece.offset for other in waiting):
            waiting.append(piece)
        waiting.sort(key=lambda other: other.offset)
        at = 0
        for other in waiting:
            if other.offset != at:
                return None
            at += other.end - other.start
        if waiting[-1].has_more:
            return None
        del self._waiting[key]
        return _assemble(waiting), [other.frame for other in waiting]

    @staticmethod
    def share(whole: Frame, parts: list[Frame]) -> None:
        """Give the fragments what translation made of the whole."""
        data = whole.to_bytes()
        if whole in parts:
            return
        for part in parts:
            for field in (Field.IPV4_SRC, Field.IPV4_DST, Field.IPV6_SRC, Field.IPV6_DST):
                if whole.read(field) != part.read(field):
                    part.write(field, whole.read(field))
        first, transport = _parse(parts[0]), whole.transport
        if first is not None and transport is not None:
            length = first.end - first.start
            parts[0].data[first.start : first.end] = data[transport.offset : transport.offset + length]


def _parse(frame: Frame) -> _Piece | None:
    ip = frame.ip_offset
    if ip is None:
        return None
    data = frame.data

    def number(at: int, length: int) -> int:
        return int.from_bytes(data[at : at + length], "big")

    if frame.read(Field.ETH_TYPE) == _ETH_IPV4:
        where, start, end = number(ip + 6, 2), ip + (data[ip] & 15) * 4, ip + number(ip + 2, 2)
        return _Piece(
            frame, ip, start, end, (where & 0x1FFF) * 8, bool(where & 0x2000), number(ip + 4, 2), ip
        )
    following, at, end = data[ip + 6], ip + 40, ip + 40 + number(ip + 4, 2)
    while following != _FRAGMENT_HEADER:
        if following not in (0, 43, 60):
            return None
        following, at = data[at], at + (data[at + 1] + 1) * 8
    where = number(at + 2, 2)
    return _Piece(frame, ip, at + 8, end, where & 0xFFF8, bool(where & _MORE), number(at + 4, 4), at)


def _assemble(pieces: list[_Piece]) -> Frame:
    first = pieces[0]
    text = b"".join(bytes(piece.frame.data[piece.start : piece.end]) for piece in pieces)
    head = bytearray(first.frame.data[: first.start])
    ip = first.ip
    if first.frame.read(Field.ETH_TYPE) == _ETH_IPV4:
        head[ip + 2 : ip + 4] = (len(head) - ip + len(text)).to_bytes(2, "big")
        head[ip + 6 : ip + 8] = b"\0\0"
        head[ip + 10 : ip + 12] = b"\0\0"
        head[ip + 10 : ip + 12] = internet_checksum(bytes(head[ip:])).to_bytes(2, "big")
    else:
        # The fragment header stays, and says "offset 0, no more": an atomic fragment is a whole packet.
        head[first.header + 2 : first.header + 4] = b"\0\0"
        head[ip + 4 : ip + 6] = (len(head) - ip - 40 + len(text)).to_bytes(2, "big")
    return Frame(bytes(head) + text)
