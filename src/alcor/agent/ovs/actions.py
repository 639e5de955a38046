"""`pipeline.flow` actions as OpenFlow 1.5 bytes, in the form in which Open vSwitch 3.1 gives them back.

Masked set-field and copy-field are OpenFlow 1.5's own; resubmit, clone and the stack are Nicira extensions.
Source: OpenFlow Switch Specification 1.5.1, section 7.2.6; ovs-actions(7).
"""

import struct
from collections.abc import Iterable
from typing import Final, assert_never

from alcor.agent.ovs.oxm import Unencodable, encode_header, encode_old_header, encode_value
from alcor.pipeline.flow import (
    Action,
    Clone,
    Controller,
    DecTtl,
    Field,
    Meter,
    Move,
    Output,
    OutputInPort,
    Pop,
    Push,
    Resubmit,
    SetField,
)

PORT_IN_PORT: Final = 0xFFFF_FFF8
PORT_CONTROLLER: Final = 0xFFFF_FFFD
PORT_ANY: Final = 0xFFFF_FFFF

_OUTPUT, _DEC_TTL, _SET_FIELD, _COPY_FIELD, _METER, _EXPERIMENTER = 0, 24, 25, 28, 29, 0xFFFF
_NICIRA: Final = 0x0000_2320
_NX_RESUBMIT_TABLE, _NX_STACK_PUSH, _NX_STACK_POP, _NX_CLONE = 14, 27, 28, 42
_NX_IN_PORT: Final = 0xFFF8
_WHOLE_PACKET: Final = 0xFFFF  # OFPCML_NO_BUFFER
_APPLY_ACTIONS: Final = 4
_ACTION_BYTES_MAX: Final = 0xFFFF - 8
"""What one instruction can hold: its length is 16 bits wide."""


def _pad(body: bytes) -> bytes:
    return body + b"\0" * (-len(body) % 8)


def _prefix_set_field(field: Field) -> tuple[bytes, int, bytes]:
    """What stands before a whole field's value, the value's size, and the padding after it."""
    size = (field.bits + 7) // 8
    padding = -(8 + size) % 8
    return struct.pack("!HH", _SET_FIELD, 8 + size + padding) + encode_header(field), size, b"\0" * padding


_SET_WHOLE: Final = {field: _prefix_set_field(field) for field in Field}


def _encode_set_field(action: SetField) -> bytes:
    field, value, mask = action
    if mask is None:
        prefix, size, padding = _SET_WHOLE[field]
        try:
            return prefix + value.to_bytes(size, "big") + padding
        except OverflowError:
            return encode_value(field, value, mask)  # raises what says which field it is
    oxm = encode_value(field, value, mask)
    length = 4 + len(oxm)
    return _pad(struct.pack("!HH", _SET_FIELD, length + -length % 8) + oxm)


def _encode_move(action: Move) -> bytes:
    for field, offset in ((action.source, action.source_offset), (action.target, action.target_offset)):
        if not 0 < action.bits <= field.bits - offset:
            raise Unencodable(f"move of {action.bits} bits from bit {offset} leaves {field.value[0]}")
    places = (action.bits, action.source_offset, action.target_offset)
    names = encode_header(action.source) + encode_header(action.target)
    return struct.pack("!HHHHHxx", _COPY_FIELD, 24, *places) + names + b"\0\0\0\0"


def _encode_stack(subtype: int, field: Field) -> bytes:
    head = struct.pack("!HHIHH", _EXPERIMENTER, 24, _NICIRA, subtype, 0)
    return head + encode_old_header(field) + struct.pack("!H6x", field.bits)


def _encode_output(port: int, bytes_max: int) -> bytes:
    return struct.pack("!HHIH6x", _OUTPUT, 16, port, bytes_max)


def _encode_clone(action: Clone) -> bytes:
    body = encode_actions(action.actions)
    length = 16 + len(body)
    if length > _ACTION_BYTES_MAX:
        raise Unencodable(f"a clone of {length} bytes; at most {_ACTION_BYTES_MAX} fit an action")
    return struct.pack("!HHIH6x", _EXPERIMENTER, length, _NICIRA, _NX_CLONE) + body


_RESUBMITS: Final = tuple(
    struct.pack("!HHIHHB3x", _EXPERIMENTER, 16, _NICIRA, _NX_RESUBMIT_TABLE, _NX_IN_PORT, table)
    for table in range(256)
)
_TO_IN_PORT: Final = _encode_output(PORT_IN_PORT, 0)
_TO_CONTROLLER: Final = _encode_output(PORT_CONTROLLER, _WHOLE_PACKET)
_DECREMENT: Final = struct.pack("!HH4x", _DEC_TTL, 8)


def _encode_action(action: Action) -> bytes:
    match action:
        case SetField():
            return _encode_set_field(action)
        case Resubmit():
            return _RESUBMITS[action.table]
        case Output():
            return _encode_output(action.port, 0)
        case Move():
            return _encode_move(action)
        case Push():
            return _encode_stack(_NX_STACK_PUSH, action.field)
        case Pop():
            return _encode_stack(_NX_STACK_POP, action.field)
        case OutputInPort():
            return _TO_IN_PORT
        case Controller():
            return _TO_CONTROLLER
        case Meter():
            return struct.pack("!HHI", _METER, 8, action.id)
        case DecTtl():
            return _DECREMENT
        case Clone():
            return _encode_clone(action)
        case _:
            assert_never(action)


def encode_actions(actions: Iterable[Action]) -> bytes:
    """A list of actions. Cost: about 0.4 µs each.

    Raises: Unencodable if one does not fit its field.
    """
    return b"".join([_encode_action(action) for action in actions])


def encode_instructions(actions: tuple[Action, ...]) -> bytes:
    """One apply-actions instruction, or nothing for a flow that drops.

    Raises: Unencodable, also above 64 KB (a flood to too many destinations).
    """
    if not actions:
        return b""
    body = encode_actions(actions)
    if len(body) > _ACTION_BYTES_MAX:
        raise Unencodable(
            f"{len(actions)} actions of {len(body)} bytes; at most {_ACTION_BYTES_MAX} fit one flow"
        )
    return struct.pack("!HH4x", _APPLY_ACTIONS, 8 + len(body)) + body
