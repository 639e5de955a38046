"""The normal path, case by case: what a broker may do with frames, and what ncms make of it."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from alcor.bus.goal_frame import NormalReading
from alcor.bus.normal_client import NormalClient
from alcor.bus.normal_frame import decode_normal_frame, encode_normal_frames
from alcor.bus.normal_join import FRAMES_MAX, FrameStore, Join
from alcor.bus.normal_path import Choice
from alcor.goalstate.scope import neighbours_scope, shard_of
from tests.support.bus import EPOCH, a_neighbour
from tests.support.normal import CODEC, Site

A = neighbours_scope("a")


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    """Two ncms that read the broker and hold one scope through revision 1."""
    site = Site(2)
    site.publisher.change({A: [a_neighbour("first")]})
    for ncm in site.ncms:
        await ncm.attach()
        ncm.read(True)
        ncm.want(A)
        await ncm.take_stream()
    yield site
    for ncm in site.ncms:
        await ncm.close()


def put(site: Site, id: str) -> None:
    site.publisher.change({A: [a_neighbour(id, host_id=f"h{site.publisher.head}")]})


async def test_heads_wait_for_the_frames_they_need(site: Site) -> None:
    """Heads never cover a step that is still on its way by the broker."""
    (ncm, other) = site.ncms
    put(site, "x")
    await ncm.take_stream()
    assert ncm.heads[shard_of(A)] == (EPOCH, 1)
    assert ncm.heads[shard_of(A) + 1] == (EPOCH, 2)

    ncm.take_frame(site.sender.sent[0])

    assert ncm.heads[shard_of(A)] == (EPOCH, 2)
    assert len(ncm.held[A]) == 2
    assert len(site.sender.sent) == 1
    await other.settle()


async def test_frames_that_come_first_wait_for_the_stream(site: Site) -> None:
    """A frame counts when the stream's heads ask for it, not before."""
    ncm = site.ncms[0]
    put(site, "x")
    ncm.take_frame(site.sender.sent[0])
    assert len(ncm.held[A]) == 1

    await ncm.take_stream()

    assert len(ncm.held[A]) == 2
    assert len(ncm.frames) == 0


async def test_frames_in_any_order_and_twice(site: Site) -> None:
    """Frames out of order, doubled, and replayed long after change nothing."""
    ncm = site.ncms[0]
    for id in ("x", "y", "x"):
        put(site, id)
    await ncm.take_stream()
    for number in (2, 2, 1, 0, 1, 2, 0):
        ncm.take_frame(site.sender.sent[number])

    assert ncm.heads[shard_of(A)] == (EPOCH, 4)
    assert ncm.held[A] == site.state(A, EPOCH, 4)
    assert ncm.gaps == []
    assert len(ncm.frames) == 0


async def test_frames_of_a_replaced_publisher(site: Site) -> None:
    """What a dataplane published before another one took over is nobody's need any more."""
    ncm = site.ncms[0]
    put(site, "x")
    await site.replace()
    await ncm.take_stream()
    put(site, "y")
    put(site, "z")
    await ncm.take_stream()
    for payload in site.sender.sent:
        ncm.take_frame(payload)
    await ncm.settle()

    assert ncm.held[A] == site.state(A, EPOCH, 4)
    assert ncm.reading, "nothing was missed"


async def test_a_lost_frame_is_said_on_the_stream(site: Site) -> None:
    """An ncm that misses a frame says that it does not read, and is told all it misses, from where it is."""
    ncm = site.ncms[0]
    put(site, "x")
    put(site, "y")
    await ncm.take_stream()
    ncm.take_frame(site.sender.sent[1])
    assert ncm.join.waits_since() is not None

    await ncm.settle()

    assert not ncm.reading
    assert ncm.held[A] == site.state(A, EPOCH, 3)
    assert site.publisher.asked.count(A) == 2, "no snapshot but the two ncms' first"


async def test_a_broker_that_fails_leaves_nothing_behind(site: Site) -> None:
    """What was left to the broker and is not confirmed is said on the streams at once; then everything is."""
    for id in ("x", "y"):
        put(site, id)
    site.fail()
    put(site, "z")
    for ncm in site.ncms:
        await ncm.take_stream()

        assert ncm.held[A] == site.state(A, EPOCH, 4)
        assert ncm.heads[shard_of(A)] == (EPOCH, 4)
        assert ncm.lane.left == 0
    assert len(site.sender.sent) == 2


async def test_what_is_confirmed_is_not_kept(site: Site) -> None:
    """A dataplane keeps what was left to the broker until the ncm says that it has it."""
    ncm = site.ncms[0]
    put(site, "x")
    put(site, "y")
    assert ncm.lane.left == 1
    await ncm.take_stream()
    for payload in site.sender.sent:
        ncm.take_frame(payload)

    ncm.confirm()

    assert ncm.lane.left == 0
    put(site, "z")
    site.fail()
    await ncm.take_stream()
    assert ncm.held[A] == site.state(A, EPOCH, 4)
    assert ncm.gaps == []


async def test_a_new_history_begins_on_the_streams(site: Site) -> None:
    """A new epoch's snapshots go by the streams; frames of the old one count for nothing."""
    ncm = site.ncms[0]
    put(site, "x")
    site.publisher.begin_epoch(1)
    put(site, "y")
    await ncm.take_stream()
    for payload in site.sender.sent:
        ncm.take_frame(payload)
    await ncm.settle()

    assert ncm.held[A] == site.state(A, EPOCH + 1, 2)
    assert ncm.gaps == []


def test_the_choice_has_hysteresis() -> None:
    """Normal from four ncms on, fast again below three; between, as it was."""
    choice = Choice(4, 3)

    assert [choice.is_normal(A, ncms) for ncms in (1, 3, 4, 3, 2, 3, 4)] == [
        False,
        False,
        True,
        True,
        False,
        False,
        True,
    ]


def test_thresholds_that_cross_are_refused() -> None:
    """A scope cannot come back above where it goes."""
    with pytest.raises(ValueError, match="below 5 ncms and go from 4"):
        Choice(4, 5)


async def test_frames_come_back_as_they_were(site: Site) -> None:
    """Encoding and decoding are inverse; what cannot be read is refused with a sentence."""
    put(site, "x")
    frame = decode_normal_frame(site.sender.sent[0])

    assert (frame.source, frame.shard, frame.number) == (1, shard_of(A), 1)
    assert [(update.scope, update.through) for update in frame.updates] == [(A, 2)]
    assert encode_normal_frames(CODEC, [], source=1, shard=0, after=0) == []
    with pytest.raises(ValueError, match="cannot be read"):
        decode_normal_frame(b"\xff\xff")


async def test_frames_nobody_asks_for_are_bounded(site: Site) -> None:
    """Of frames that nobody needs the oldest go."""
    put(site, "x")
    frame = decode_normal_frame(site.sender.sent[0])
    store = FrameStore()
    for number in range(FRAMES_MAX + 10):
        store.add(type(frame)(9, 0, number, (), 10))

    assert len(store) == FRAMES_MAX
    assert store.pop(9, 0, 9) is None
    assert store.pop(9, 0, 10) is not None


class FakeReader:
    """Implements `FrameReader`."""

    is_well = True
    trouble = ""

    async def run(self, take: Callable[[bytes], None]) -> None:
        """Bring nothing."""
        await asyncio.Event().wait()


class FakeLink:
    """Implements `JoinedLink`: remembers what it was told to say."""

    def __init__(self, join: Join) -> None:
        self.join = join
        self.said: list[NormalReading] = []

    def tell_normal(self, said: NormalReading) -> None:
        """Remember it."""
        self.said.append(said)


async def test_an_ncm_leaves_a_broker_that_brings_nothing_and_comes_back(site: Site) -> None:
    """Heads that wait too long make an ncm leave the broker; it comes back after a rest, not before."""
    now = 0.0
    reader, link = FakeReader(), FakeLink(site.ncms[0].join)
    client = NormalClient(reader, clock=lambda: now, random=lambda: 0.0, lack_s=1.0, rest_s=5.0)
    client.look([link])
    assert link.said == [NormalReading(True)]
    put(site, "x")
    await site.ncms[0].take_stream()

    told: list[tuple[float, bool]] = []
    for now in (0.9, 1.1, 2.0, 6.0, 6.2):
        client.look([link])
        told.append((now, client.reading))
        await site.ncms[0].take_stream()
        if not client.reading and site.ncms[0].reading:
            site.ncms[0].read(False)

    assert told == [(0.9, True), (1.1, False), (2.0, False), (6.0, False), (6.2, True)]
    reader.is_well, reader.trouble = False, "it burns"
    for moment in (7.0, 7.9, 8.1):
        now = moment
        client.look([link])
    assert not client.reading
    assert [said.reading for said in link.said] == [True, False, True, False]
