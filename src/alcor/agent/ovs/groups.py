"""OpenFlow 1.5 groups as bytes: what is sent, and what the switch describes, in one comparable form.

Which hash chooses the bucket is an extension (`selection_method`), whose fields the switch describes in an order of
its own. Source: OpenFlow Switch Specification 1.5.1, sections 7.3.4.3 and 7.3.5.8; the Netronome extension as
ovs-ofctl(8), "Group syntax", has it; tried on Open vSwitch 3.1.
"""

import struct
from enum import IntEnum
from typing import Final, NamedTuple

from alcor.agent.ovs.actions import encode_actions
from alcor.agent.ovs.oxm import Unencodable, encode_mask, split_oxms
from alcor.pipeline.flow import Bucket, GroupKind, GroupSpec

_KINDS: Final = {
    GroupKind.ALL: 0,
    GroupKind.SELECT: 1,
    GroupKind.INDIRECT: 2,
    GroupKind.FAST_FAILOVER: 3,
}
_WEIGHT, _WATCH_PORT, _EXPERIMENTER = 0, 1, 0xFFFF
_NETRONOME: Final = 0x0000_154D
_SELECTION_METHOD: Final = 1
_HASH: Final = b"hash".ljust(16, b"\0")
_EVERY_BUCKET: Final = 0xFFFF_FFFF
_BYTES_MAX: Final = 0xFFFF - 128
EVERY_GROUP: Final = 0xFFFF_FFFC


class GroupCommand(IntEnum):
    """Group-mod commands."""

    ADD = 0
    MODIFY = 1
    DELETE = 2


class GroupDesc(NamedTuple):
    """A group in the form in which two are compared: kind, buckets as bytes, properties as a set of bytes."""

    kind: int
    buckets: bytes
    properties: frozenset[bytes]


def _encode_bucket(kind: GroupKind, bucket: Bucket) -> bytes:
    actions = encode_actions(bucket.actions)
    properties = b""
    try:
        if kind is GroupKind.SELECT:
            properties += struct.pack("!HHH2x", _WEIGHT, 8, bucket.weight)
        if bucket.watch_port is not None:
            properties += struct.pack("!HHI", _WATCH_PORT, 8, bucket.watch_port)
        length = 8 + len(actions) + len(properties)
        return struct.pack("!HHI", length, len(actions), bucket.id) + actions + properties
    except struct.error as error:
        raise Unencodable(f"bucket {bucket.id}: {error}") from None


def _encode_selection(group: GroupSpec) -> bytes:
    """The property that says which fields are hashed; nothing for the switch's own choice."""
    if not group.hash_fields:
        return b""
    fields = b"".join(map(encode_mask, group.hash_fields))
    length = 40 + len(fields)
    head = struct.pack("!HHIII", _EXPERIMENTER, length, _NETRONOME, _SELECTION_METHOD, 0)
    return head + _HASH + struct.pack("!Q", 0) + fields + b"\0" * (-length % 8)


def encode_group_mod(command: GroupCommand, group: GroupSpec) -> bytes:
    """Body of a group-mod that adds or changes a whole group. Raises: Unencodable, also above 64 KB."""
    buckets = b"".join(_encode_bucket(group.kind, bucket) for bucket in group.buckets)
    if len(buckets) > _BYTES_MAX:
        raise Unencodable(f"{len(group.buckets)} buckets of {len(buckets)} bytes; at most {_BYTES_MAX} fit")
    head = struct.pack("!HBxIH2xI", command, _KINDS[group.kind], group.id, len(buckets), _EVERY_BUCKET)
    return head + buckets + _encode_selection(group)


def encode_group_delete(id: int) -> bytes:
    """Body of a group-mod that deletes one group, and with it all flows that still use it."""
    return struct.pack("!HBxIH2xI", GroupCommand.DELETE, 0, id, 0, _EVERY_BUCKET)


def encode_group_desc_request() -> bytes:
    """Body asking for the configuration of all groups."""
    return struct.pack("!I4x", EVERY_GROUP)


def describe(group: GroupSpec) -> GroupDesc:
    """What the switch will describe once it has the group. Raises: Unencodable."""
    buckets = b"".join(_encode_bucket(group.kind, bucket) for bucket in group.buckets)
    return GroupDesc(_KINDS[group.kind], buckets, _split_properties(_encode_selection(group)))


def decode_group_descs(part: bytes) -> dict[int, GroupDesc]:
    """The groups in one part of a reply, by number."""
    found: dict[int, GroupDesc] = {}
    at = 0
    while at < len(part):
        length, kind, id, buckets_length = struct.unpack_from("!HBxIH", part, at)
        buckets_at = at + 16
        rest_at = buckets_at + buckets_length
        properties = _split_properties(part[rest_at : at + length])
        found[id] = GroupDesc(kind, part[buckets_at:rest_at], properties)
        at += length
    return found


def _split_properties(body: bytes) -> frozenset[bytes]:
    """Each property; that of the selection method in its parts, whose order means nothing."""
    found = set()
    at = 0
    while at < len(body):
        kind, length = struct.unpack_from("!HH", body, at)
        if kind == _EXPERIMENTER:
            found |= {body[at + 4 : at + 40], *split_oxms(body[at + 40 : at + length])}
        else:
            found.add(body[at : at + length])
        at += length + -length % 8
    return frozenset(found)
