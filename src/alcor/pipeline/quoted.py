"""The packet that an ICMP error quotes: found, and its addresses rewritten as the translation of the error demands.

Source: RFC 792, 4443; RFC 1624 for checksums of which only a part is quoted.
"""

from typing import NamedTuple

from alcor.pipeline.flow import Field
from alcor.pipeline.frame import Frame, internet_checksum

_ICMPV4, _TCP, _UDP, _ICMPV6 = 1, 6, 17, 58
_ERRORS = {_ICMPV4: frozenset({3, 4, 5, 11, 12}), _ICMPV6: frozenset({1, 2, 3, 4})}
_ECHOES = {_ICMPV4: frozenset({0, 8}), _ICMPV6: frozenset({128, 129})}


class Quoted(NamedTuple):
    """What is quoted. `kind`: type and code of a quoted echo, whose identifier is both ports; else None."""

    start: int
    transport: int
    protocol: int
    source: int
    target: int
    source_port: int
    target_port: int
    kind: int | None


def find_quoted(frame: Frame) -> Quoted | None:
    """What an ICMP error quotes; None if the frame is none, or quotes too little."""
    place, protocol = frame.transport, frame.read(Field.IP_PROTO)
    if place is None or frame.data[place.offset] not in _ERRORS.get(protocol, ()):
        return None
    data, start, end = frame.data, place.offset + 8, place.offset + place.length
    width, at = (4, 12) if protocol == _ICMPV4 else (16, 8)
    if end - start < (20 if protocol == _ICMPV4 else 40):
        return None
    if protocol == _ICMPV4:
        transport, inner = start + (data[start] & 15) * 4, data[start + 9]
    else:
        transport, inner = start + 40, data[start + 6]
    if end - transport < 8:
        return None
    source = int.from_bytes(data[start + at : start + at + width], "big")
    target = int.from_bytes(data[start + at + width : start + at + 2 * width], "big")
    ports, kind = (0, 0), None
    if inner in (_TCP, _UDP):
        ports = _number(data, transport), _number(data, transport + 2)
    elif inner == protocol:
        if data[transport] not in _ECHOES[protocol]:
            return None
        identifier = _number(data, transport + 4)
        ports, kind = (identifier, identifier), _number(data, transport)
    return Quoted(start, transport, inner, source, target, *ports, kind)


def rewrite_quoted(frame: Frame, *, is_source: bool, address: int, port: int) -> None:
    """Give the quoted packet another source or target, its checksums as far as they are quoted included."""
    quoted, place = find_quoted(frame), frame.transport
    if quoted is None or place is None:
        return
    data = frame.data
    is_ipv4 = frame.read(Field.IP_PROTO) == _ICMPV4
    width, at = (4, 12) if is_ipv4 else (16, 8)
    where = quoted.start + at + (0 if is_source else width)
    old, new = bytes(data[where : where + width]), address.to_bytes(width, "big")
    data[where : where + width] = new
    if is_ipv4:
        _fix(data, quoted.start + 10, old, new)
    if quoted.protocol in (_TCP, _UDP):
        port_at = quoted.transport + (0 if is_source else 2)
        old_port, new_port = bytes(data[port_at : port_at + 2]), port.to_bytes(2, "big")
        data[port_at : port_at + 2] = new_port
        old, new = old + old_port, new + new_port
    checksum_at, needed = {_TCP: (16, 20), _UDP: (6, 8), _ICMPV6: (2, 8)}.get(quoted.protocol, (0, 0))
    if needed and place.offset + place.length - quoted.transport >= needed:
        checksum_at += quoted.transport
        if quoted.protocol != _UDP or _number(data, checksum_at):
            _fix(data, checksum_at, old, new)
    frame.written = True


def _number(data: bytearray, at: int) -> int:
    return data[at] << 8 | data[at + 1]


def _fix(data: bytearray, at: int, old: bytes, new: bytes) -> None:
    """A checksum after a part of what it covers was replaced."""
    complement = bytes(byte ^ 0xFF for byte in old)
    before = (_number(data, at) ^ 0xFFFF).to_bytes(2, "big")
    data[at : at + 2] = internet_checksum(before + complement + new).to_bytes(2, "big")
