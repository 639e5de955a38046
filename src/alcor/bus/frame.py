"""What ncms say to agents to bytes and back, by the schema of `wire.proto`; what agents say: `agent_frame`.

A frame's bytes are the bytes of its messages' records one after the other (a property of protobuf's repeated
fields), so that a message many agents get is encoded once.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import TypeVar, assert_never

from google.protobuf.message import DecodeError

from alcor.bus import wire_pb2 as wire
from alcor.bus.codec import decode_id, encode_id
from alcor.bus.interface import (
    Dropped,
    Envelope,
    Hasten,
    Heads,
    Late,
    Marks,
    NcmMessage,
    Question,
    Refused,
    ScopeUpdate,
    Welcome,
)
from alcor.goalstate.item import ItemKind, Key
from alcor.goalstate.scope import Scope, ScopeKind

# Small enough that one frame does not hold up a heartbeat for long, large enough that framing costs nothing.
FRAME_BYTES = 1 << 20
# What a receiver takes at most: one revision of one scope cannot be divided, and is sent whole.
FRAME_BYTES_MAX = 64 << 20
_SHARDS_BYTES = 8

SCOPE_KINDS: dict[ScopeKind, wire.ScopeKind] = {
    ScopeKind.HOST: wire.SCOPE_KIND_HOST,
    ScopeKind.NETWORK: wire.SCOPE_KIND_NETWORK,
    ScopeKind.NEIGHBOURS: wire.SCOPE_KIND_NEIGHBOURS,
    ScopeKind.REGION: wire.SCOPE_KIND_REGION,
    ScopeKind.ROUTER: wire.SCOPE_KIND_ROUTER,
    ScopeKind.RULES: wire.SCOPE_KIND_RULES,
    ScopeKind.MEMBERS: wire.SCOPE_KIND_MEMBERS,
    ScopeKind.ADDRESSES: wire.SCOPE_KIND_ADDRESSES,
    ScopeKind.QOS: wire.SCOPE_KIND_QOS,
    ScopeKind.HOSTS: wire.SCOPE_KIND_HOSTS,
}
ITEM_KINDS: dict[ItemKind, wire.ItemKind] = {
    ItemKind.HOST: wire.ITEM_KIND_HOST,
    ItemKind.LOCAL_PORT: wire.ITEM_KIND_LOCAL_PORT,
    ItemKind.NETWORK: wire.ITEM_KIND_NETWORK,
    ItemKind.SUBNET: wire.ITEM_KIND_SUBNET,
    ItemKind.NETWORK_HOST: wire.ITEM_KIND_NETWORK_HOST,
    ItemKind.NEIGHBOUR: wire.ITEM_KIND_NEIGHBOUR,
    ItemKind.REGION: wire.ITEM_KIND_REGION,
    ItemKind.CLAIM: wire.ITEM_KIND_CLAIM,
    ItemKind.ROUTER: wire.ITEM_KIND_ROUTER,
    ItemKind.GATEWAY: wire.ITEM_KIND_GATEWAY,
    ItemKind.FLOATING_IP: wire.ITEM_KIND_FLOATING_IP,
    ItemKind.RULES: wire.ITEM_KIND_RULES,
    ItemKind.MEMBER: wire.ITEM_KIND_MEMBER,
    ItemKind.PREFIX: wire.ITEM_KIND_PREFIX,
    ItemKind.QOS: wire.ITEM_KIND_QOS,
    ItemKind.NETWORK_ACL: wire.ITEM_KIND_NETWORK_ACL,
    ItemKind.FIREWALL: wire.ITEM_KIND_FIREWALL,
    ItemKind.BGP_SPEAKER: wire.ITEM_KIND_BGP_SPEAKER,
    ItemKind.BGP_ROUTES: wire.ITEM_KIND_BGP_ROUTES,
    ItemKind.RELAY: wire.ITEM_KIND_RELAY,
    ItemKind.NETWORK_RELAYS: wire.ITEM_KIND_NETWORK_RELAYS,
    ItemKind.RELEASE: wire.ITEM_KIND_RELEASE,
    ItemKind.RESCUE: wire.ITEM_KIND_RESCUE,
    ItemKind.OPEN_HOST: wire.ITEM_KIND_OPEN_HOST,
}
_SCOPE_KINDS_READ: dict[int, ScopeKind] = {int(number): kind for kind, number in SCOPE_KINDS.items()}
_ITEM_KINDS_READ: dict[int, ItemKind] = {int(number): kind for kind, number in ITEM_KINDS.items()}

F = TypeVar("F", wire.AgentFrame, wire.NcmFrame)
M = TypeVar("M")


# --- to bytes ----------------------------------------------------------------------------------------------


def encode_scope(scope: Scope) -> wire.ScopeName:
    """A scope's name on the wire. Raises: ValueError."""
    return wire.ScopeName(kind=SCOPE_KINDS[scope.kind], id=encode_id(scope.id))


# How fields begin: their number and kind (length-delimited). `put` is one of `ScopeUpdate`, the others of `Envelope`.
_PUT_FIELD, _ID_FIELD, _BODY_FIELD = b"\x32", b"\x12", b"\x2a"
_KIND_OCTETS = {kind: wire.Envelope(kind=number).SerializeToString() for kind, number in ITEM_KINDS.items()}
_LENGTHS = [bytes((length,)) for length in range(128)]


def _length(octets: bytes) -> bytes:
    """A length as a field says it: seven bits an octet, the lowest first."""
    rest, said = len(octets), []
    while rest > 127:
        said.append(rest & 127 | 128)
        rest >>= 7
    return bytes((*said, rest)) if said else _LENGTHS[rest]


@lru_cache(1 << 12)
def _references(since: int, refers: tuple[Scope, ...]) -> bytes:
    return wire.Envelope(since=since, refers=map(encode_scope, refers)).SerializeToString()


def _puts(envelopes: Iterable[Envelope]) -> bytes:
    """The fields `put` of an update. A snapshot has a million of them, and making a message of each takes three times
    as long; what reads them checks them. Cost: 1 µs each."""
    parts: list[bytes] = []
    for envelope in envelopes:
        key, body = envelope.key, envelope.body
        said = [_KIND_OCTETS[key.kind]]
        if key.id:
            id = encode_id(key.id)
            said += (_ID_FIELD, _length(id), id)
        if envelope.since or envelope.refers:
            said.append(_references(envelope.since, envelope.refers))
        if body:
            said += (_BODY_FIELD, _length(body), body)
        record = b"".join(said)
        parts += (_PUT_FIELD, _length(record), record)
    return b"".join(parts)


def _encode_update(update: ScopeUpdate) -> wire.ScopeUpdate:
    said = wire.ScopeUpdate(
        scope=encode_scope(update.scope),
        epoch=update.epoch,
        generation=update.generation,
        from_revision=update.from_revision,
        through=update.through,
        removed=encode_keys(update.removed),
        more=update.more,
        changed=update.changed,
        floor=update.floor,
        late=[
            wire.Late(kind=ITEM_KINDS[one.key.kind], id=encode_id(one.key.id), revision=one.revision)
            for one in update.late
        ],
        lazy=update.lazy,
        absent=update.absent,
    )
    said.MergeFromString(_puts(update.put))
    return said


def encode_keys(keys: Iterable[Key]) -> list[wire.ItemKey]:
    """Names of items inside one scope."""
    return [wire.ItemKey(kind=ITEM_KINDS[key.kind], id=encode_id(key.id)) for key in keys]


def _encode_heads(heads: Heads) -> wire.Heads:
    """With a revision per shard this is most of what a change of one port takes; as a rule all stand at one."""
    shards: dict[int, int] = {}
    for shard, through in heads.through.items():
        shards[through] = shards.get(through, 0) | 1 << shard
    alone = {through: bits for through, bits in shards.items() if bits & (bits - 1) == 0}
    return wire.Heads(
        epoch=heads.epoch,
        generation=heads.generation,
        through={bits.bit_length() - 1: through for through, bits in alone.items()},
        shared=[
            wire.SharedHead(through=through, shards=bits)
            for through, bits in shards.items()
            if through not in alone
        ],
    )


def _decode_through(heads: wire.Heads) -> dict[int, int]:
    through = dict(heads.through)
    for shared in heads.shared:
        at, bits = shared.through, shared.shards
        while bits:
            lowest = bits & -bits
            through[lowest.bit_length() - 1] = at
            bits ^= lowest
    return through


def _wire_of_ncm(message: NcmMessage | Marks | Hasten) -> wire.NcmMessage:
    match message:
        case Welcome():
            return wire.NcmMessage(welcome=wire.Welcome(epoch=message.epoch, heartbeat_s=message.heartbeat_s))
        case ScopeUpdate():
            return wire.NcmMessage(update=_encode_update(message))
        case Heads():
            return wire.NcmMessage(heads=_encode_heads(message))
        case Marks():
            return wire.NcmMessage(
                marks=wire.Marks(source=message.source, covered=message.covered, awaited=message.awaited)
            )
        case Hasten():
            scopes = [encode_scope(scope) for scope in message.scopes]
            return wire.NcmMessage(
                hasten=wire.Hasten(scope=scopes, epoch=message.epoch, through=message.through)
            )
        case Dropped():
            return wire.NcmMessage(dropped=wire.Dropped(scope=encode_scope(message.scope)))
        case Refused():
            return wire.NcmMessage(refused=wire.Refused(reason=message.reason))
        case Question():
            return wire.NcmMessage(
                question=wire.Question(
                    number=message.number, host_id=encode_id(message.host_id), body=message.body
                )
            )
        case _:
            assert_never(message)


def encode_ncm_frame(messages: Iterable[NcmMessage]) -> bytes:
    """The frame that holds `messages` in order. Raises: ValueError if one has no wire form."""
    return b"".join(_ncm_record(message) for message in messages)


def _ncm_record(message: NcmMessage | Marks | Hasten) -> bytes:
    return wire.NcmFrame(message=[_wire_of_ncm(message)]).SerializeToString(deterministic=True)


class FrameEncoder:
    """Divides messages into frames of at most `frame_bytes`, and encodes a small step once for all agents.

    Heads of one revision differ from agent to agent in their shards only: these are put into the octets of the first.

    Bound: the last `_KEPT` steps of at most `_KEPT_BYTES` each are kept, found by identity: 8 MiB; and `_HEADS_KEPT`
    heads.
    Cost: about 10 µs for a step of one item that no agent got yet, under 1 µs for the next agent; heads the same.
    """

    _KEPT = 128
    _KEPT_BYTES = 1 << 16
    _HEADS_KEPT = 64

    def __init__(self, frame_bytes: int = FRAME_BYTES) -> None:
        self._frame_bytes = frame_bytes
        # id(step) → (the step, kept so that its id is not given to another object; its record)
        self._kept: OrderedDict[int, tuple[ScopeUpdate, bytes]] = OrderedDict()
        # (epoch, generation, through) → the octets of heads of several shards that stand there, without the last 8.
        self._heads: OrderedDict[tuple[int, int, int], bytes] = OrderedDict()
        self.encoded = 0  # steps encoded so far; a cost that tests and benchmarks assert

    def encode(self, messages: Sequence[NcmMessage | Marks | Hasten]) -> list[bytes]:
        """The frames, in order. A message larger than a frame stands alone in one of its own."""
        frames: list[bytes] = []
        records: list[bytes] = []
        size = 0
        for message in messages:
            record = self._record(message)
            if records and size + len(record) > self._frame_bytes:
                frames.append(b"".join(records))
                records, size = [], 0
            records.append(record)
            size += len(record)
        if records:
            frames.append(b"".join(records))
        return frames

    def _record(self, message: NcmMessage | Marks | Hasten) -> bytes:
        if isinstance(message, Heads):
            return self._heads_record(message)
        if not isinstance(message, ScopeUpdate):
            return _ncm_record(message)
        found = self._kept.get(id(message))
        if found is not None:
            return found[1]
        self.encoded += 1
        record = _ncm_record(message)
        if len(record) <= self._KEPT_BYTES:
            self._kept[id(message)] = (message, record)
            if len(self._kept) > self._KEPT:
                self._kept.popitem(last=False)
        return record

    def _heads_record(self, heads: Heads) -> bytes:
        revisions = set(heads.through.values())
        if len(revisions) != 1 or len(heads.through) == 1:
            return _ncm_record(heads)
        at = (heads.epoch, heads.generation, revisions.pop())
        begin = self._heads.get(at)
        if begin is None:
            # The shards are the last field of the last field (`wire.proto`), in 8 octets, the lowest first.
            begin = self._heads[at] = _ncm_record(heads)[:-_SHARDS_BYTES]
            if len(self._heads) > self._HEADS_KEPT:
                self._heads.popitem(last=False)
        shards = 0
        for shard in heads.through:
            shards |= 1 << shard
        return begin + shards.to_bytes(_SHARDS_BYTES, "little")


# --- from bytes --------------------------------------------------------------------------------------------


def decode_scope(name: wire.ScopeName) -> Scope:
    """The inverse of `encode_scope`. Raises: ValueError."""
    kind = _SCOPE_KINDS_READ.get(name.kind)
    if kind is None:
        raise ValueError(f"{name.kind} is not a kind of scope known to this version")
    return Scope(kind, decode_id(name.id))


def _decode_key(name: wire.ItemKey | wire.Envelope | wire.Late) -> Key:
    kind = _ITEM_KINDS_READ.get(name.kind)
    if kind is None:
        raise ValueError(f"{name.kind} is not a kind of item known to this version")
    return Key(kind, decode_id(name.id))


def decode_keys(names: Iterable[wire.ItemKey]) -> tuple[Key, ...]:
    """The inverse of `encode_keys`. Raises: ValueError."""
    return tuple([_decode_key(name) for name in names])


def _decode_envelope(message: wire.Envelope) -> Envelope:
    return Envelope(
        _decode_key(message),
        message.since,
        tuple([decode_scope(name) for name in message.refers]) if message.refers else (),
        message.body,
    )


def _decode_update(message: wire.ScopeUpdate) -> ScopeUpdate:
    return ScopeUpdate(
        scope=decode_scope(message.scope),
        epoch=message.epoch,
        generation=message.generation,
        from_revision=message.from_revision,
        through=message.through,
        put=tuple([_decode_envelope(envelope) for envelope in message.put]),
        removed=decode_keys(message.removed),
        more=message.more,
        changed=message.changed,
        floor=message.floor,
        late=tuple([Late(_decode_key(one), one.revision) for one in message.late]),
        lazy=message.lazy,
        absent=tuple(message.absent),
    )


def decode_ncm_message(message: wire.NcmMessage) -> NcmMessage | None:
    """One message of an ncm's or a dataplane's frame; None: of a kind unknown to this version. Raises: ValueError."""
    match message.WhichOneof("message"):
        case "welcome":
            return Welcome(message.welcome.epoch, message.welcome.heartbeat_s)
        case "update":
            return _decode_update(message.update)
        case "heads":
            heads = message.heads
            return Heads(epoch=heads.epoch, generation=heads.generation, through=_decode_through(heads))
        case "dropped":
            return Dropped(decode_scope(message.dropped.scope))
        case "refused":
            return Refused(message.refused.reason)
        case "question":
            question = message.question
            return Question(question.number, question.body, decode_id(question.host_id))
        case _:
            return None


def decode_marks(marks: wire.Marks) -> Marks:
    """Only in a dataplane's frame."""
    return Marks(source=marks.source, covered=dict(marks.covered), awaited=dict(marks.awaited))


def decode_hasten(hasten: wire.Hasten) -> Hasten:
    """Only in a dataplane's frame. Raises: ValueError."""
    return Hasten(tuple([decode_scope(name) for name in hasten.scope]), hasten.epoch, hasten.through)


def decode_frame(parse: Callable[[bytes], F], read: Callable[[F], list[M]], frame: bytes) -> list[M]:
    """The messages of a frame; whatever is wrong with it is one kind of error. Raises: ValueError."""
    try:
        return read(parse(frame))
    except (ValueError, DecodeError) as error:
        raise ValueError(f"a frame of {len(frame)} octets cannot be read: {error}") from error


def decode_ncm_frame(frame: bytes) -> list[NcmMessage]:
    """The messages of a frame; what is of a kind unknown to this version is passed over. Raises: ValueError."""
    return decode_frame(
        wire.NcmFrame.FromString,
        lambda read: [one for one in map(decode_ncm_message, read.message) if one is not None],
        frame,
    )
