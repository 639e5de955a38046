"""What the normal path's broker carries, to bytes and back: the steps of one turn in scopes of one shard."""

from collections.abc import Iterable

import msgspec
from google.protobuf.message import DecodeError

from alcor.bus import wire_pb2 as wire
from alcor.bus.frame import FRAME_BYTES, FrameEncoder, decode_ncm_message
from alcor.bus.goal_frame import divide
from alcor.bus.interface import ItemCodec, Publication, ScopeUpdate
from alcor.bus.local import encode_puts

# Below a broker's usual `max_payload` of 1 MiB by more than what is around the items takes.
NORMAL_BYTES = FRAME_BYTES - (1 << 16)


class NormalFrame(msgspec.Struct, frozen=True, gc=False):
    """One message of the broker. `number`: counts the frames of a shard from one source: 1, 2, 3 … `octets`: its size.

    A step larger than a frame comes in chunks: all but the last have `more`, and the last stands in a later frame.
    """

    source: int
    shard: int
    number: int
    updates: tuple[ScopeUpdate, ...]
    octets: int = 0


def encode_normal_frames(
    codec: ItemCodec, steps: Iterable[Publication], *, source: int, shard: int, after: int
) -> list[bytes]:
    """The frames of one turn, numbered from `after` + 1, each of about NORMAL_BYTES at most.

    An item that is larger, or more removals than fit, make one that is larger. Raises: ValueError.
    """
    parts = [part for step in steps for part in divide(_update(codec, step), NORMAL_BYTES)]
    frames = FrameEncoder(NORMAL_BYTES).encode(parts)
    return [
        frame + wire.NormalFrame(source=source, shard=shard, number=number).SerializeToString()
        for number, frame in enumerate(frames, after + 1)
    ]


def _update(codec: ItemCodec, step: Publication) -> ScopeUpdate:
    return ScopeUpdate(
        scope=step.scope,
        epoch=step.epoch,
        generation=step.generation,
        from_revision=step.from_revision,
        through=step.through,
        put=encode_puts(codec, step.put),
        removed=step.removed,
    )


def decode_normal_frame(payload: bytes) -> NormalFrame:
    """The inverse. Raises: ValueError."""
    try:
        read = wire.NormalFrame.FromString(payload)
        messages = [decode_ncm_message(each) for each in read.message]
    except (ValueError, DecodeError) as error:
        raise ValueError(
            f"a frame of {len(payload)} octets from the broker cannot be read: {error}"
        ) from error
    updates = tuple([message for message in messages if isinstance(message, ScopeUpdate)])
    if len(updates) != len(messages):
        raise ValueError("a frame from the broker holds a message that is not a step")
    return NormalFrame(read.source, read.shard, read.number, updates, len(payload))
