"""Frames between an ncm and the dataplane to bytes and back, by the schema of `wire.proto` (`WantFrame`, `GoalFrame`).

To the ncm go the same records as to agents (`bus.frame`), so that one encoder serves both.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import msgspec
from google.protobuf.message import DecodeError

from alcor.bus import wire_pb2 as wire
from alcor.bus.agent_frame import (
    decode_claim,
    decode_loss,
    decode_port,
    decode_reply,
    encode_claim,
    encode_loss,
    encode_port,
    encode_reply,
)
from alcor.bus.codec import decode_id, encode_id
from alcor.bus.frame import (
    FRAME_BYTES,
    FrameEncoder,
    decode_hasten,
    decode_marks,
    decode_ncm_message,
    decode_scope,
    encode_scope,
)
from alcor.bus.interface import (
    Envelope,
    GoalMessage,
    Hasten,
    Holdings,
    HostReport,
    Marks,
    NcmMessage,
    Reply,
    ScopeUpdate,
)
from alcor.goalstate.scope import Scope

PROTOCOL = 2
"""What an ncm understands of what a dataplane says, told at its attachment; higher ones understand all of lower ones.

1: what was there before ncms told it, and is told by those that tell nothing. 2: also Hasten.
A new kind of message is a new number, sent to those only that tell it or a higher one. Who is sent one that it does not
know passes over it all the same.
"""
HASTEN_FROM = 2
"""The first that understands Hasten."""

# What an envelope takes beside its body and its references, at most.
_ENVELOPE_BYTES = 64
_REFERENCE_BYTES = 32


class Want(msgspec.Struct, frozen=True, gc=False):
    """Ncm: begin to receive a scope, or have its snapshot again. `position`: what of it is held, in `epoch`."""

    scope: Scope
    epoch: int = 0
    position: int = 0


class Unwant(msgspec.Struct, frozen=True, gc=False):
    """Ncm: stop receiving a scope."""

    scope: Scope


class NormalReading(msgspec.Struct, frozen=True, gc=False):
    """Ncm: whether it reads the normal path, and what of it it has taken in.

    reached: shard → number of the last frame of `source` taken in, all before it taken in too.
    """

    reading: bool
    source: int = 0
    reached: dict[int, int] = {}


WantMessage = Want | Unwant | HostReport | Reply | NormalReading


# --- from the ncm ------------------------------------------------------------------------------------------


def encode_want_message(message: WantMessage) -> bytes:
    """The record of one message; a frame is records, then `encode_number`. Raises: ValueError."""
    if isinstance(message, Want):
        one = wire.WantMessage(want=_wire_of_want(message))
    elif isinstance(message, Unwant):
        one = wire.WantMessage(unwant=wire.Unwant(scope=encode_scope(message.scope)))
    elif isinstance(message, Reply):
        one = wire.WantMessage(reply=encode_reply(message))
    elif isinstance(message, NormalReading):
        one = wire.WantMessage(
            normal=wire.NormalReading(reading=message.reading, source=message.source, reached=message.reached)
        )
    else:
        one = wire.WantMessage(report=_wire_of_report(message))
    return wire.WantFrame(message=[one]).SerializeToString(deterministic=True)


def encode_number(number: int) -> bytes:
    """The end of the stream's frame with this number."""
    return wire.WantFrame(number=number).SerializeToString()


def _wire_of_want(want: Want) -> wire.Want:
    return wire.Want(scope=encode_scope(want.scope), epoch=want.epoch, position=want.position)


def _wire_of_report(report: HostReport) -> wire.HostReport:
    return wire.HostReport(
        host_id=encode_id(report.host_id),
        epoch=report.epoch,
        alive=report.alive,
        at_ms=report.at_ms,
        agent_version=report.agent_version,
        realized=report.realized,
        port=[encode_port(port) for port in report.ports],
        detail=report.detail,
        position_max=report.position_max,
        session=report.session,
        claim=[encode_claim(claim) for claim in report.claims],
        loss=[encode_loss(loss) for loss in report.losses],
        receive_ms=report.receive_ms,
        install_ms=report.install_ms,
        path=report.paths,
        rescues=report.rescues,
        rescuer_id=encode_id(report.rescuer_id),
        settled=report.settled,
    )


def decode_want_frame(frame: bytes) -> tuple[list[WantMessage], int]:
    """The messages of a frame, and its number. Raises: ValueError."""
    try:
        read = wire.WantFrame.FromString(frame)
        return [_decode_want_message(each) for each in read.message], read.number
    except (ValueError, DecodeError) as error:
        raise ValueError(f"a frame of {len(frame)} octets cannot be read: {error}") from error


def _decode_want_message(message: wire.WantMessage) -> WantMessage:
    match message.WhichOneof("message"):
        case "want":
            want = message.want
            return Want(decode_scope(want.scope), want.epoch, want.position)
        case "unwant":
            return Unwant(decode_scope(message.unwant.scope))
        case "report":
            return _decode_report(message.report)
        case "reply":
            return decode_reply(message.reply)
        case "normal":
            normal = message.normal
            return NormalReading(normal.reading, normal.source, dict(normal.reached))
        case _:
            raise ValueError("a message of a kind unknown to this version")


def _decode_report(message: wire.HostReport) -> HostReport:
    return HostReport(
        host_id=decode_id(message.host_id),
        epoch=message.epoch,
        alive=message.alive,
        at_ms=message.at_ms,
        agent_version=message.agent_version,
        realized=dict(message.realized),
        ports=tuple([decode_port(port) for port in message.port]),
        detail=message.detail,
        position_max=message.position_max,
        session=message.session,
        claims=tuple([decode_claim(claim) for claim in message.claim]),
        losses=tuple([decode_loss(loss) for loss in message.loss]),
        receive_ms=message.receive_ms,
        install_ms=message.install_ms,
        paths=dict(message.path),
        rescues=message.rescues,
        rescuer_id=decode_id(message.rescuer_id),
        settled=message.settled,
    )


# --- from the dataplane ------------------------------------------------------------------------------------


def encode_goal_frames(
    encoder: FrameEncoder,
    batch: Iterable[GoalMessage],
    taken: int,
    holdings: Holdings | None = None,
) -> list[bytes]:
    """The frames of one batch, each of about FRAME_BYTES at most; a large snapshot is divided into chunks.

    taken: see `GoalFrame` in wire.proto. holdings: to be said first. Raises: ValueError if one has no wire form.
    """
    end = wire.GoalFrame(taken=taken).SerializeToString()
    frames = [
        frame + end for frame in encoder.encode([part for message in batch for part in _parts(message)])
    ]
    if holdings is not None:
        frames.insert(
            0, wire.GoalFrame(taken=taken, holdings=_wire_of_holdings(holdings)).SerializeToString()
        )
    return frames


def _wire_of_holdings(holdings: Holdings) -> wire.Holdings:
    return wire.Holdings(
        member_id=holdings.member_id,
        shard=holdings.shards,
        realizes=holdings.realizes,
        member=[wire.DataplaneMember(id=id, address=address) for id, address in holdings.members.items()],
    )


def _decode_holdings(said: wire.Holdings) -> Holdings:
    return Holdings(
        member_id=said.member_id,
        shards=dict(said.shard),
        realizes=said.realizes,
        members={member.id: member.address for member in said.member},
    )


def _parts(message: GoalMessage) -> Iterator[GoalMessage]:
    if isinstance(message, ScopeUpdate) and not message.from_revision:
        yield from divide(message, FRAME_BYTES)
    else:
        yield message


def divide(update: ScopeUpdate, octets_max: int) -> Iterator[ScopeUpdate]:
    """An update as chunks whose items take `octets_max` at most; an item that is larger stands alone."""
    chunk: list[Envelope] = []
    size = 0
    for envelope in update.put:
        octets = (
            len(envelope.body)
            + len(envelope.key.id)
            + _ENVELOPE_BYTES
            + _REFERENCE_BYTES * len(envelope.refers)
        )
        if chunk and size + octets > octets_max:
            yield msgspec.structs.replace(update, put=tuple(chunk), removed=(), late=(), more=True)
            chunk, size = [], 0
        chunk.append(envelope)
        size += octets
    yield update if len(chunk) == len(update.put) else msgspec.structs.replace(update, put=tuple(chunk))


class GoalFrame(NamedTuple):
    """A frame to an ncm. `taken`: the number of the frame of wants it counts from; `holdings` come first."""

    messages: list[GoalMessage]
    taken: int
    holdings: Holdings | None = None


def _decode_message(message: wire.NcmMessage) -> NcmMessage | Marks | Hasten | None:
    match message.WhichOneof("message"):
        case "marks":
            return decode_marks(message.marks)
        case "hasten":
            return decode_hasten(message.hasten)
        case _:
            return decode_ncm_message(message)


def decode_goal_frame(frame: bytes) -> GoalFrame:
    """What is of a kind unknown to this version is passed over. Raises: ValueError."""
    try:
        read = wire.GoalFrame.FromString(frame)
        messages = [each for each in map(_decode_message, read.message) if each is not None]
    except (ValueError, DecodeError) as error:
        raise ValueError(f"a frame of {len(frame)} octets cannot be read: {error}") from error
    found = [message for message in messages if isinstance(message, GoalMessage)]
    if len(found) != len(messages):
        raise ValueError("the frame holds a message that is not for an ncm")
    holdings = _decode_holdings(read.holdings) if read.HasField("holdings") else None
    return GoalFrame(found, read.taken, holdings)
