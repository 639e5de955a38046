"""Items and frames on the wire."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alcor.bus import wire_pb2 as wire
from alcor.bus.agent_frame import decode_agent_frame, encode_agent_frame
from alcor.bus.codec import ProtobufCodec, decode_id, encode_id
from alcor.bus.frame import ITEM_KINDS, SCOPE_KINDS, FrameEncoder, decode_ncm_frame, encode_ncm_frame
from alcor.bus.interface import (
    Ack,
    AgentMessage,
    Confirm,
    Dropped,
    Envelope,
    Forget,
    Heads,
    Heartbeat,
    Hello,
    Lookup,
    NcmMessage,
    PortReport,
    Refused,
    Resume,
    ScopeUpdate,
    Welcome,
)
from alcor.goalstate.item import KINDS, Item, ItemKind, Key, key_of
from alcor.goalstate.scope import ScopeKind, neighbours_scope
from tests.support import bus as support
from tests.support.bus import a_local_port, a_neighbour

CODEC = ProtobufCodec()
any_item = st.one_of(*support.items.values())
u64 = st.integers(0, 2**64 - 1)
shards = st.dictionaries(st.integers(0, 63), u64, max_size=5)
keys = st.builds(Key, st.sampled_from(ItemKind), support.ids)
envelopes = st.builds(
    Envelope, keys, u64, st.lists(support.scopes, max_size=3).map(tuple), st.binary(max_size=30)
)
updates = st.builds(
    ScopeUpdate,
    scope=support.scopes,
    epoch=u64,
    generation=u64,
    from_revision=u64,
    through=u64,
    put=st.lists(envelopes, max_size=3).map(tuple),
    removed=st.lists(keys, max_size=3).map(tuple),
    more=st.booleans(),
    lazy=st.booleans(),
    absent=st.lists(st.text(max_size=20), max_size=3).map(tuple),
)
text = st.text(max_size=20)
ncm_messages: st.SearchStrategy[NcmMessage] = st.one_of(
    st.builds(Welcome, u64, st.floats(0, 100)),
    updates,
    st.builds(Heads, epoch=u64, generation=u64, through=shards),
    st.builds(Dropped, support.scopes),
    st.builds(Refused, text),
)
port_reports = st.builds(PortReport, support.ids, st.booleans(), st.integers(-1, 65_535), st.floats(0, 2e12))
agent_messages: st.SearchStrategy[AgentMessage] = st.one_of(
    st.builds(
        Hello,
        host_id=support.ids,
        token=text,
        agent_version=text,
        epoch=u64,
        positions=st.dictionaries(support.scopes, u64, max_size=3),
        held=st.dictionaries(support.scopes, st.lists(keys, max_size=3).map(tuple), max_size=3),
        sought=st.dictionaries(support.scopes, st.lists(text, max_size=3).map(tuple), max_size=3),
    ),
    st.builds(Ack, epoch=u64, realized=shards, ports=st.lists(port_reports, max_size=3).map(tuple)),
    st.builds(Resume, support.scopes, u64),
    st.builds(Lookup, support.scopes, st.lists(text, max_size=3).map(tuple)),
    st.builds(Forget, support.scopes, st.lists(keys, max_size=3).map(tuple)),
    st.lists(st.tuples(keys, st.integers(0, 2**32 - 1)), max_size=3).flatmap(
        lambda held: st.builds(
            Confirm,
            support.scopes,
            st.just(tuple(key for key, _ in held)),
            st.just(tuple(digest for _, digest in held)),
        )
    ),
    st.builds(Heartbeat, text, st.dictionaries(text, st.booleans(), max_size=3), st.integers(0, 2**63)),
)


@pytest.mark.parametrize("kind", support.items)
def test_round_trip(kind: str) -> None:
    """Every item comes back as it was, whatever it says."""

    @given(support.items[kind])
    def holds(item: Item) -> None:
        assert CODEC.decode(key_of(item), CODEC.encode(item)) == item

    holds()


def test_every_kind_is_covered() -> None:
    """There is a strategy and a wire number for every kind of item, and a number for every kind of scope."""
    assert set(support.items) == {kind.value for kind in KINDS.values()}
    assert set(ITEM_KINDS) == set(ItemKind)
    assert set(SCOPE_KINDS) == set(ScopeKind)


@pytest.mark.parametrize(
    "body", [b"\x80", b"\x81\xa8networks\xc0", b"\x82\xa8networks\x90\xa1x\xc0", b"\x90"]
)
def test_a_packed_item_of_other_fields_is_refused(body: bytes) -> None:
    """A packed body has exactly the declared fields, of the declared types."""
    with pytest.raises(ValueError, match="gateway r cannot be read"):
        CODEC.decode(Key(ItemKind.GATEWAY, "r"), body)


@given(any_item, any_item)
def test_equal_bytes_are_equal_items(one: Item, other: Item) -> None:
    """Items of one kind and id are equal exactly if their bytes are."""
    if key_of(one) == key_of(other):
        assert (one == other) == (CODEC.encode(one) == CODEC.encode(other))
    else:
        again = CODEC.decode(key_of(one), CODEC.encode(one))
        assert CODEC.encode(again) == CODEC.encode(one)


def test_unknown_groups_are_not_no_groups() -> None:
    """ "Group unknown" survives the wire apart from "no group"."""
    unknown, none = a_local_port(groups=None), a_local_port(groups=())

    read = [CODEC.decode(key_of(item), CODEC.encode(item)) for item in (unknown, none)]

    assert read == [unknown, none]
    assert CODEC.encode(unknown) != CODEC.encode(none)


@given(st.binary(max_size=60), st.sampled_from(ItemKind))
def test_bad_bytes_are_refused(data: bytes, kind: ItemKind) -> None:
    """Bytes that are no item raise ValueError and nothing else."""
    key = Key(kind, "x")
    try:
        item = CODEC.decode(key, data)
    except ValueError:
        return
    assert key_of(item) == key


def test_the_refusal_names_the_item() -> None:
    """The error of a cut item says which one it was."""
    body = CODEC.encode(a_neighbour("port-9"))

    with pytest.raises(ValueError, match="neighbour port-9 cannot be read"):
        CODEC.decode(Key(ItemKind.NEIGHBOUR, "port-9"), body[:-1])


@pytest.mark.parametrize(
    "item", [a_neighbour(mac="fa:16:3e"), a_neighbour(vtep="nowhere"), a_neighbour(host_id="a\0b")]
)
def test_what_has_no_wire_form_is_refused(item: Item) -> None:
    """A field outside the schema's forms is an error at the sender, not at ten thousand hosts."""
    with pytest.raises(ValueError, match="Neighbour port-1 has no wire form"):
        CODEC.encode(item)


@given(support.ids)
def test_ids(id: str) -> None:
    """An id comes back; only a canonical UUID takes 16 octets."""
    data = encode_id(id)

    assert decode_id(data) == id
    assert (len(data) == 16) == (len(id) == 36 and id.count("-") == 4 and "é" not in id)


def test_an_item_is_compact() -> None:
    """A neighbour with UUIDs costs at most 50 octets beside its envelope's name."""
    uuid = "0b4a8f3e-6a1c-4a57-9d3a-0a4f5d1c2b3a"

    assert len(CODEC.encode(a_neighbour(uuid, host_id=uuid))) <= 50


@given(st.lists(ncm_messages, max_size=5))
def test_ncm_frames(messages: list[NcmMessage]) -> None:
    """Messages to an agent come back as they were, in order; the bytes are the schema's."""
    frame = encode_ncm_frame(messages)

    assert decode_ncm_frame(frame) == messages
    assert len(wire.NcmFrame.FromString(frame).message) == len(messages)


@given(st.lists(agent_messages, max_size=5))
def test_agent_frames(messages: list[AgentMessage]) -> None:
    """Messages of an agent come back as they were, in order."""
    assert decode_agent_frame(encode_agent_frame(messages)) == messages


@given(st.binary(max_size=60))
def test_bad_frames_are_refused(data: bytes) -> None:
    """Bytes that are no frame raise ValueError and nothing else."""
    for decode in (decode_ncm_frame, decode_agent_frame):
        try:
            decode(data)
        except ValueError:
            continue


def test_a_kind_unknown_to_this_version_is_refused() -> None:
    """What cannot be understood is an error: skipping it could open what it closes."""
    frame = wire.NcmFrame(
        message=[
            wire.NcmMessage(
                update=wire.ScopeUpdate(
                    scope=wire.ScopeName(kind=wire.SCOPE_KIND_HOST, id=b"h"),
                    put=[wire.Envelope(id=b"x")],
                )
            )
        ]
    ).SerializeToString()

    with pytest.raises(ValueError, match="not a kind of item"):
        decode_ncm_frame(frame)


@given(st.lists(ncm_messages, max_size=8), st.integers(1, 200))
def test_frames_are_bounded(messages: list[NcmMessage], frame_bytes: int) -> None:
    """Messages are divided into frames within the bound, in order; only a single message may exceed it."""
    frames = FrameEncoder(frame_bytes).encode(messages)

    read = [decode_ncm_frame(frame) for frame in frames]
    assert [message for frame in read for message in frame] == messages
    assert all(
        len(frame) <= frame_bytes or len(content) == 1 for frame, content in zip(frames, read, strict=True)
    )


def test_a_step_is_encoded_once_for_all_agents() -> None:
    """The second agent's frame reuses the record made for the first."""
    encoder = FrameEncoder()
    step = ScopeUpdate(scope=neighbours_scope("n"), epoch=1, generation=1, from_revision=1, through=2)

    first, second = encoder.encode([step]), encoder.encode([step])

    assert first[0] == encode_ncm_frame([step])
    assert encoder.encoded == 1
    assert first == second


@given(
    st.dictionaries(st.integers(0, 63), st.integers(1, 3), min_size=1),
    st.integers(1, 1 << 41),
    st.integers(0, 9),
)
def test_heads_of_one_revision_are_made_of_the_first(through: dict[int, int], epoch: int, at: int) -> None:
    """Heads of any shards, of one revision or of several, are read as they were said, whoever was told before."""
    encoder = FrameEncoder()
    others = Heads(epoch=epoch, generation=at, through=dict.fromkeys(range(64), 2))
    heads = Heads(epoch=epoch, generation=at, through=through)

    frames = [encoder.encode([message])[0] for message in (others, heads, others)]

    assert [decode_ncm_frame(frame) for frame in frames] == [[others], [heads], [others]]
    assert [frame == encode_ncm_frame([heads]) for frame in encoder.encode([heads])] == [True]
