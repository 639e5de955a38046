"""OpenFlow 1.5 messages as bytes: what the driver sends and what it reads, nothing more.

Source: OpenFlow Switch Specification 1.5.1, sections 7.1, 7.3, 7.4; checked against an independent encoder in
`tests/unit/agent/ovs/test_openflow.py`.
"""

import struct
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, NamedTuple

from alcor.agent.ovs.actions import PORT_ANY, PORT_CONTROLLER, encode_actions, encode_instructions
from alcor.agent.ovs.oxm import Unencodable, decode_fields, enclose, encode_match, encode_value
from alcor.pipeline.flow import Action, Field, Flow, FlowKey, MeterSpec, MeterUnit, Output

VERSION: Final = 6
HEADER: Final = struct.Struct("!BBHI")  # version, type, length, xid
MESSAGE_BYTES_MAX: Final = 0xFFFF
EVERY_TABLE: Final = 0xFF
_NO_BUFFER: Final = 0xFFFF_FFFF
_GROUP_ANY: Final = 0xFFFF_FFFF


class Type(IntEnum):
    """Message types this driver speaks."""

    HELLO = 0
    ERROR = 1
    ECHO_REQUEST = 2
    ECHO_REPLY = 3
    EXPERIMENTER = 4
    FEATURES_REQUEST = 5
    FEATURES_REPLY = 6
    SET_CONFIG = 9
    PACKET_IN = 10
    PACKET_OUT = 13
    FLOW_MOD = 14
    MULTIPART_REQUEST = 18
    MULTIPART_REPLY = 19
    BARRIER_REQUEST = 20
    BARRIER_REPLY = 21
    GROUP_MOD = 15
    METER_MOD = 29
    BUNDLE_CONTROL = 33
    BUNDLE_ADD_MESSAGE = 34


class Multipart(IntEnum):
    """Multipart bodies this driver asks for."""

    FLOW_DESC = 1
    GROUP_DESC = 7
    METER_DESC = 10


class FlowCommand(IntEnum):
    """Flow-mod commands."""

    ADD = 0
    DELETE_STRICT = 4


class MeterCommand(IntEnum):
    """Meter-mod commands."""

    ADD = 0
    MODIFY = 1
    DELETE = 2


class BundleStep(IntEnum):
    """Requests about a bundle; the reply's number is one higher."""

    OPEN = 0
    CLOSE = 2
    COMMIT = 4
    DISCARD = 6


BUNDLE_ATOMIC_ORDERED: Final = 3


def encode_message(kind: int, xid: int, body: bytes = b"") -> bytes:
    """A message with its header."""
    return HEADER.pack(VERSION, kind, HEADER.size + len(body), xid) + body


def encode_hello(xid: int) -> bytes:
    """A hello that offers version 1.5 alone (version bitmap element)."""
    return encode_message(Type.HELLO, xid, struct.pack("!HHI", 1, 8, 1 << VERSION))


_FRAGMENTS_MATCHED: Final = 3  # an extension of Open vSwitch: OFPC_FRAG_NX_MATCH


def encode_config(xid: int, packet_bytes_max: int) -> bytes:
    """Ask for packet-ins of up to so many bytes; without it a service connection gets none.

    Also asks that a first fragment be matched by its ports: else the whole bridge reads them as 0, and no rule that
    names a port would ever meet a fragmented datagram.
    """
    return encode_message(Type.SET_CONFIG, xid, struct.pack("!HH", _FRAGMENTS_MATCHED, packet_bytes_max))


_FLOW_MOD_TYPE: Final = int(Type.FLOW_MOD)  # an IntEnum is slower to pack than an int
_FLOW_MOD: Final = struct.Struct("!BBHIQQBBHHHIIIHH")


def encode_flow_mod(
    command: int,
    xid: int,
    table: int,
    priority: int,
    match: bytes,
    instructions: bytes = b"",
    cookie: int = 0,
    cookie_mask: int = 0,
) -> bytes:
    """A flow-mod; `match` is a whole `ofp_match`. Cost: under 1 µs.

    Raises: Unencodable if the message is longer than OpenFlow can say.
    """
    length = _FLOW_MOD.size + len(match) + len(instructions)
    if length > MESSAGE_BYTES_MAX:
        raise Unencodable(f"a flow-mod of {length} bytes; OpenFlow messages have at most {MESSAGE_BYTES_MAX}")
    head = _FLOW_MOD.pack(
        VERSION,
        _FLOW_MOD_TYPE,
        length,
        xid,
        cookie,
        cookie_mask,
        table,
        command,
        0,  # idle timeout
        0,  # hard timeout
        priority,
        _NO_BUFFER,
        PORT_ANY,
        _GROUP_ANY,
        0,  # flags
        0,  # importance
    )
    return head + match + instructions


def encode_put(flow: Flow, xid: int) -> bytes:
    """Add a flow, or replace the one with the same table, priority and match.

    Cost: about 4 µs for two terms and three actions.
    Raises: Unencodable.
    """
    instructions = encode_instructions(flow.actions)
    match = encode_match(flow.match)
    return encode_flow_mod(FlowCommand.ADD, xid, flow.table, flow.priority, match, instructions, flow.cookie)


def encode_remove(key: FlowKey, xid: int, cookie: int, cookie_mask: int) -> bytes:
    """Delete exactly one flow, and only if its cookie says that it is ours."""
    return encode_remove_raw(key.table, key.priority, encode_match(key.match), xid, cookie, cookie_mask)


def encode_remove_raw(
    table: int, priority: int, match: bytes, xid: int, cookie: int, cookie_mask: int
) -> bytes:
    """The same for a match that is already an `ofp_match`."""
    command = FlowCommand.DELETE_STRICT
    return encode_flow_mod(command, xid, table, priority, match, b"", cookie, cookie_mask)


_BUNDLE_ADD_TYPE: Final = int(Type.BUNDLE_ADD_MESSAGE)
_BUNDLE_ADD: Final = struct.Struct("!BBHII2xH")


def encode_bundle_control(step: BundleStep, bundle: int) -> bytes:
    """Body of a bundle control request, atomic and ordered."""
    return struct.pack("!IHH", bundle, step, BUNDLE_ATOMIC_ORDERED)


def encode_bundle_add(message: bytes, xid: int, bundle: int) -> bytes:
    """Wrap a message, which must carry the same xid, for a bundle.

    Raises: Unencodable if the wrapped message is longer than OpenFlow can say.
    """
    length = _BUNDLE_ADD.size + len(message)
    if length > MESSAGE_BYTES_MAX:
        raise Unencodable(f"{length} bytes in a bundle; OpenFlow messages have at most {MESSAGE_BYTES_MAX}")
    return _BUNDLE_ADD.pack(VERSION, _BUNDLE_ADD_TYPE, length, xid, bundle, BUNDLE_ATOMIC_ORDERED) + message


def encode_packet_out(
    xid: int, data: bytes, actions: tuple[Action, ...], in_port: int = PORT_CONTROLLER
) -> bytes:
    """Run actions on a frame of ours, as if it came by a port: from the controller, if no other is said."""
    listed = encode_actions(actions)
    match = enclose(encode_value(Field.IN_PORT, in_port, None))
    body = struct.pack("!IH2x", _NO_BUFFER, len(listed)) + match + listed + data
    return encode_message(Type.PACKET_OUT, xid, body)


_METER_UNITS: Final = {MeterUnit.KBPS: 0x1, MeterUnit.PPS: 0x2}
_METER_BURST: Final = 0x4
_METER_STATS: Final = 0x8
_METER_BAND_DROP: Final = 1
_METER_UNITS_BY_FLAGS: Final = {bits | _METER_BURST: unit for unit, bits in _METER_UNITS.items()}


def encode_meter_mod(command: MeterCommand, meter: MeterSpec) -> bytes:
    """Body of a meter-mod with one drop band; its burst is in the unit of its rate. Raises: Unencodable."""
    flags = _METER_UNITS[meter.unit] | _METER_BURST
    try:
        band = struct.pack("!HHII4x", _METER_BAND_DROP, 16, meter.rate, meter.burst)
        return struct.pack("!HHI", command, flags, meter.id) + band
    except struct.error:
        raise Unencodable("a number of more than 32 bits") from None


def encode_meter_delete(id: int) -> bytes:
    """Body of a meter-mod that deletes one meter, and with it all flows that still use it."""
    return struct.pack("!HHI", MeterCommand.DELETE, 0, id)


def encode_multipart(kind: Multipart, body: bytes) -> bytes:
    """Body of a multipart request."""
    return struct.pack("!HH4x", kind, 0) + body


def encode_flow_desc_request(
    cookie: int, cookie_mask: int, table: int = EVERY_TABLE, oxms: bytes = b""
) -> bytes:
    """Body asking for all flows whose cookie equals `cookie` where the mask has ones, and that have the terms."""
    fixed = struct.pack("!B3xII4xQQ", table, PORT_ANY, _GROUP_ANY, cookie, cookie_mask)
    return fixed + enclose(oxms)


def encode_meter_desc_request() -> bytes:
    """Body asking for the configuration of all meters."""
    return struct.pack("!I4x", 0xFFFF_FFFF)


class FlowDesc(NamedTuple):
    """A flow as the switch describes it; `oxms` without enclosing, `timeouts` is (idle, hard) in seconds."""

    table: int
    priority: int
    oxms: bytes
    cookie: int
    instructions: bytes
    timeouts: tuple[int, int]


_FLOW_DESC: Final = struct.Struct("!H2xBxHHHHHQ2xH")  # up to and with the match's length
_LENGTH: Final = struct.Struct("!H")


def decode_flow_descs(part: bytes) -> Iterator[FlowDesc]:
    """The flows in one part of a reply (without the multipart header). Cost: about 1 µs each."""
    at, end = 0, len(part)
    while at < end:
        length, table, priority, idle, hard, _, _, cookie, match_length = _FLOW_DESC.unpack_from(part, at)
        match_at = at + _FLOW_DESC.size
        stats_at = at + 24 + (match_length + 7) // 8 * 8
        (stats_length,) = _LENGTH.unpack_from(part, stats_at + 2)
        body_at = stats_at + (stats_length + 7) // 8 * 8
        oxms = part[match_at : at + 24 + match_length]
        instructions = part[body_at : at + length]
        yield FlowDesc(table, priority, oxms, cookie, instructions, (idle, hard))
        at += length


# OpenFlow extensible statistics, of the basic class. Source: OpenFlow 1.5.1, section 7.2.4.
_OXS_BASIC, _OXS_PACKETS = 0x8002, 4


def decode_packet_counts(part: bytes, found: Counter[int]) -> None:
    """Add to `found` how many packets met the flows in one part of a reply, by cookie. Cost: about 1 µs each."""
    at, end = 0, len(part)
    while at < end:
        length, _, _, _, _, _, _, cookie, match_length = _FLOW_DESC.unpack_from(part, at)
        stats_at = at + 24 + (match_length + 7) // 8 * 8
        (stats_length,) = _LENGTH.unpack_from(part, stats_at + 2)
        field_at = stats_at + 4
        while field_at < stats_at + stats_length:
            kind, field, size = struct.unpack_from("!HBB", part, field_at)
            if (kind, field >> 1) == (_OXS_BASIC, _OXS_PACKETS):
                found[cookie] += int.from_bytes(part[field_at + 4 : field_at + 4 + size], "big")
            field_at += 4 + size
        at += length


def decode_meter_descs(part: bytes) -> dict[int, MeterSpec | None]:
    """The meters in one part of a reply; None for one that is not of the form this driver makes."""
    found: dict[int, MeterSpec | None] = {}
    at = 0
    while at < len(part):
        length, flags, id = struct.unpack_from("!HHI", part, at)
        found[id] = None
        unit = _METER_UNITS_BY_FLAGS.get(flags & ~_METER_STATS)
        if length == 24 and unit is not None:
            kind, _, rate, burst = struct.unpack_from("!HHII", part, at + 8)
            if kind == _METER_BAND_DROP:
                found[id] = MeterSpec(id, rate, burst, unit)
        at += length
    return found


@dataclass(frozen=True, slots=True)
class PuntedPacket:
    """A packet-in: frame, the table that sent it and the fields it carried by name."""

    table: int
    cookie: int
    fields: Mapping[str, int]
    data: bytes


def decode_packet_in(body: bytes) -> PuntedPacket:
    """A packet-in without its OpenFlow header."""
    _, _, _, table, cookie, _, match_length = struct.unpack_from("!IHBBQHH", body)
    fields = decode_fields(body[20 : 16 + match_length])
    return PuntedPacket(table, cookie, fields, body[16 + (match_length + 7) // 8 * 8 + 2 :])


def decode_datapath_id(body: bytes) -> int:
    """The switch's id from a features reply."""
    (datapath_id,) = struct.unpack_from("!Q", body)
    return int(datapath_id)


def output(port: int) -> tuple[Action, ...]:
    """The action list that sends a frame out of one port."""
    return (Output(port),)


def render_flow(flow: Flow) -> str:
    """One line for people and errors, terms and actions named as in the pipeline."""
    parts = [f"table={flow.table}", f"priority={flow.priority}"]
    for field, value, mask in flow.match:
        parts.append(f"{field.name.lower()}={value:#x}" + ("" if mask is None else f"/{mask:#x}"))
    actions = ", ".join(repr(action) for action in flow.actions[:20])
    more = f", … {len(flow.actions)} in all" if len(flow.actions) > 20 else ""
    return f"{','.join(parts)} actions=[{actions}{more}] cookie={flow.cookie:#018x}"
