"""Frames between ncm and dataplane: every message survives, and nothing else is taken for one."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alcor.bus.frame import FRAME_BYTES, FrameEncoder, encode_ncm_frame
from alcor.bus.goal_frame import (
    Unwant,
    Want,
    WantMessage,
    decode_goal_frame,
    decode_want_frame,
    encode_goal_frames,
    encode_number,
    encode_want_message,
)
from alcor.bus.interface import Envelope, Hasten, Heads, HostReport, Late, PortReport, ScopeUpdate, Welcome
from alcor.goalstate.item import ItemKind, Key
from alcor.goalstate.scope import neighbours_scope, network_scope
from tests.support.bus import ids, scopes

numbers = st.integers(0, 2**63)
reports = st.builds(
    HostReport,
    host_id=ids,
    epoch=numbers,
    alive=st.booleans(),
    at_ms=numbers,
    agent_version=st.text(max_size=9),
    realized=st.dictionaries(st.integers(0, 63), numbers, max_size=4),
    ports=st.lists(
        st.builds(
            PortReport, ids, st.booleans(), st.integers(-1, 2**16), st.floats(0, 1e15, allow_nan=False)
        ),
        max_size=3,
    ).map(tuple),
    detail=st.text(max_size=9),
    position_max=numbers,
    session=numbers,
    settled=numbers,
)
messages: st.SearchStrategy[WantMessage] = st.one_of(
    st.builds(Want, scopes), st.builds(Unwant, scopes), reports
)


@given(st.lists(messages, max_size=5), st.integers(1, 2**40))
def test_what_an_ncm_says_survives(said: list[WantMessage], number: int) -> None:
    """Wants and reports come out of a frame as they went in, in order, with the frame's number."""
    frame = b"".join([*map(encode_want_message, said), encode_number(number)])

    assert decode_want_frame(frame) == (said, number)


def a_step(puts: int, octets: int, begins: int = 0) -> ScopeUpdate:
    return ScopeUpdate(
        scope=neighbours_scope("n"),
        epoch=1,
        generation=2,
        from_revision=begins,
        through=9,
        put=tuple(
            [
                Envelope(Key(ItemKind.NEIGHBOUR, f"p{number}"), 3, (network_scope("n"),), b"x" * octets)
                for number in range(puts)
            ]
        ),
        removed=(Key(ItemKind.NEIGHBOUR, "gone"),) if begins else (),
        changed=0 if begins else 8,
        floor=0 if begins else 5,
        late=()
        if begins
        else (Late(Key(ItemKind.NEIGHBOUR, "gone"), 7), Late(Key(ItemKind.NEIGHBOUR, "p0"), 8)),
    )


def test_what_a_dataplane_says_survives() -> None:
    """Steps and heads come out as they went in, and say which frame of wants they know."""
    batch: list[ScopeUpdate | Heads | Hasten] = [
        a_step(2, 10),
        a_step(1, 10, begins=4),
        Heads(epoch=1, generation=2, through={0: 9, 63: 8}),
        Hasten((neighbours_scope("n"), neighbours_scope("m")), 1, 9),
    ]

    frames = encode_goal_frames(FrameEncoder(), batch, 17)

    assert [decode_goal_frame(frame) for frame in frames] == [(batch, 17, None)]


def test_a_large_snapshot_is_divided() -> None:
    """A snapshot above a frame's size travels in chunks of at most that; together they are the snapshot."""
    whole = a_step(5_000, 1_000)

    frames = encode_goal_frames(FrameEncoder(), [whole], 1)

    assert all(len(frame) <= FRAME_BYTES + 100_000 for frame in frames)
    parts = [part for frame in frames for part in decode_goal_frame(frame)[0]]
    assert all(isinstance(part, ScopeUpdate) for part in parts)
    steps = [part for part in parts if isinstance(part, ScopeUpdate)]
    assert [step.more for step in steps] == [True] * (len(steps) - 1) + [False]
    assert len(steps) >= 5
    assert not any(step.late for step in steps[:-1])
    joined = tuple([envelope for step in steps for envelope in step.put])
    assert msgspec.structs.replace(steps[-1], put=joined) == whole


def test_a_step_is_never_divided() -> None:
    """What follows a position stands or falls as one: only snapshots have chunks."""
    step = a_step(3_000, 1_000, begins=4)

    (frame,) = encode_goal_frames(FrameEncoder(), [step], 1)

    assert decode_goal_frame(frame) == ([step], 1, None)


@pytest.mark.parametrize("frame", [b"\xff\xff", encode_ncm_frame([Welcome(1, 10.0)])])
def test_what_is_not_for_an_ncm_is_refused(frame: bytes) -> None:
    """Bytes that are no frame, and messages meant for agents, are refused."""
    with pytest.raises(ValueError, match=r"cannot be read|not for an ncm"):
        decode_goal_frame(frame)


def test_an_unknown_message_is_refused() -> None:
    """A message of a kind this version does not know is not skipped: it may have been a want."""
    with pytest.raises(ValueError, match="unknown to this version"):
        decode_want_frame(b"\x0a\x00")
