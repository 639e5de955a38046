"""OpenFlow roles: who may write to a switch, told apart by a generation that only grows.

The host's own agent takes the switch's generation and adds one; a rescuer takes that of its lease, whose upper 32 bits
are the lease's number. So a later lease is above all that agents took since the one before, an agent that returns is
above the lease it finds, and whoever comes with a lower one is refused by the switch itself.

Source: OpenFlow Switch Specification 1.5.1, sections 6.3.7, 7.3.9 and 7.4.4.
"""

import struct
from enum import IntEnum
from typing import Final, NamedTuple

ROLE_REQUEST: Final = 24
ROLE_STATUS: Final = 30
_REQUEST: Final = struct.Struct("!IIQ")
_STATUS: Final = struct.Struct("!IB3xQ")
UNDEFINED: Final = 2**64 - 1
"""What a switch says of its generation before anybody gave it one."""


class Role(IntEnum):
    """Roles of a controller."""

    NOCHANGE = 0
    EQUAL = 1
    MASTER = 2
    SLAVE = 3


class RoleStatus(NamedTuple):
    """The role that a switch says a connection has, and its generation."""

    role: int
    generation: int


def encode_role(role: Role, generation: int) -> bytes:
    """The body of a role request."""
    return _REQUEST.pack(role, 0, generation)


def decode_role(body: bytes) -> RoleStatus:
    """The body of a role reply."""
    role, _, generation = _REQUEST.unpack_from(body)
    return RoleStatus(role, generation)


def decode_role_status(body: bytes) -> RoleStatus:
    """The body of a role status message."""
    role, _, generation = _STATUS.unpack_from(body)
    return RoleStatus(role, generation)


def generation_of_lease(lease: int) -> int:
    """The generation that a rescuer takes."""
    return lease << 32


def next_generation(generation: int) -> int:
    """What the host's own agent takes at a switch of this generation."""
    return 1 if generation == UNDEFINED else generation + 1
