"""The normal path without a broker and without sockets: what is published, delayed, doubled, lost and said again is the
test's to say; and ncms that check, at every message, that what they hold is what the publisher had."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress

from alcor.bus.codec import ProtobufCodec
from alcor.bus.goal_frame import NormalReading
from alcor.bus.interface import (
    GoalMessage,
    Hasten,
    Heads,
    Holdings,
    HostReport,
    Marks,
    Publication,
    Question,
    ScopeUpdate,
    Unchanged,
)
from alcor.bus.local import LocalBus
from alcor.bus.normal_frame import decode_normal_frame
from alcor.bus.normal_join import FrameStore, Join
from alcor.bus.normal_lane import Lane
from alcor.bus.normal_path import Choice, NormalPath
from alcor.goalstate.item import Key
from alcor.goalstate.scope import Scope, shard_of
from tests.support.bus import FakePublisher

CODEC = ProtobufCodec()
State = dict[Key, bytes]


class FakeSender:
    """Implements `Sender`: remembers what it was given."""

    payload_max = 1 << 20

    def __init__(self) -> None:
        self.is_well = True
        self.sent: list[bytes] = []

    def send(self, epoch: int, shard: int, payload: bytes) -> None:
        """Take a frame."""
        self.sent.append(payload)


class FakeChoice(Choice):
    """A choice the test makes: every scope goes by the broker, but for those in `fast`."""

    def __init__(self) -> None:
        super().__init__()
        self.fast: set[Scope] = set()

    def is_normal(self, scope: Scope, ncms: int) -> bool:
        """Whatever the number of ncms."""
        return scope not in self.fast


class Site:
    """A dataplane with its normal path, and ncms. What was published is known by revision."""

    def __init__(self, ncms: int) -> None:
        self.sender = FakeSender()
        self.choice = FakeChoice()
        self.source = 1
        self.path = NormalPath(CODEC, self.sender, source=self.source, choice=self.choice)
        self.publisher = FakePublisher(self)
        self.history: dict[tuple[int, int], dict[Scope, State]] = defaultdict(dict)
        self.ncms = [FakeNcm(self) for _ in range(ncms)]
        self.note()

    @property
    def lanes(self) -> list[Lane]:
        """Of the ncms that are attached."""
        return [ncm.lane for ncm in self.ncms]

    # --- the dataplane's bus -------------------------------------------------------------------------

    def publish(self, updates: Sequence[Publication], heads: Heads) -> None:
        """As `DataplaneBus.publish`."""
        self.note()
        self.path.publish(self.lanes, updates, heads)
        self.last = Heads(epoch=heads.epoch, generation=heads.generation, through=dict(self.publisher.heads))

    def serve(self, snapshot: Callable[[Scope], Publication], unchanged: Unchanged | None = None) -> None:
        """Not of use here: lanes are opened with the publisher's."""
        raise NotImplementedError

    def hasten(self, hasten: Hasten) -> None:
        """Not of use here."""
        raise NotImplementedError

    def hold(self, holdings: Holdings) -> None:
        """Not of use here."""
        raise NotImplementedError

    def reports(self) -> AsyncIterator[Sequence[HostReport]]:
        """Not of use here."""
        raise NotImplementedError

    async def ask(self, host_id: str, body: bytes, within_s: float) -> bytes:
        """Not of use here."""
        raise NotImplementedError

    def note(self) -> None:
        """Remember what every scope holds at the publisher's head."""
        states = self.history[self.publisher.epoch, self.publisher.head]
        for scope, puts in self.publisher.items.items():
            states[scope] = {key: CODEC.encode(put.item) for key, put in puts.items()}

    def state(self, scope: Scope, epoch: int, revision: int) -> State:
        """What a scope held then."""
        return self.history[epoch, revision].get(scope, {})

    # --- what goes wrong -----------------------------------------------------------------------------

    def fail(self) -> None:
        """The broker is gone, and it was noticed."""
        self.sender.is_well = False
        self.path.fall_back(self.lanes, "the test says so")

    async def replace(self) -> None:
        """Another dataplane takes over: a higher generation, frames numbered anew, and every ncm attaches to it."""
        self.source += 1
        self.path = NormalPath(CODEC, self.sender, source=self.source, choice=self.choice)
        self.publisher.generation += 1
        for ncm in self.ncms:
            await ncm.attach()


class FakeNcm:
    """One ncm: its lane at the dataplane, what is on its way to it on the stream, and what it holds."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.frames = FrameStore()
        self.join = Join(self.frames)
        self.wanted: dict[Scope, None] = {}
        self.on_the_way: list[GoalMessage] = []
        self.held: dict[Scope, State] = {}
        self.position: dict[Scope, tuple[int, int]] = {}
        self.heads: dict[int, tuple[int, int]] = {}
        self.gaps: list[ScopeUpdate] = []
        self.reading = False
        self.lane = Lane(LocalBus(CODEC))
        self.flowing = asyncio.Event()
        self.flowing.set()
        self._pump: asyncio.Task[None] | None = None

    async def attach(self) -> None:
        """A new stream; what was on its way on the one before is lost."""
        await self.close()
        self.on_the_way.clear()
        self.join = Join(self.frames)
        self.lane = Lane(LocalBus(CODEC))
        if hasattr(self.site, "last"):
            self.lane.bus.publish((), self.site.last)
        self.lane.bus.serve(self.site.publisher.snapshot)
        for scope in self.wanted:
            self.lane.want(scope)
        self._pump = asyncio.create_task(self._follow(self.lane.bus))
        if self.reading:
            self.site.path.hear(self.lane, NormalReading(True))

    async def close(self) -> None:
        """End the stream."""
        if self._pump is not None:
            self._pump.cancel()
            with suppress(asyncio.CancelledError):
                await self._pump

    async def _follow(self, bus: LocalBus) -> None:
        async for batch in bus.messages():
            self.on_the_way.extend(batch)
            await self.flowing.wait()

    def want(self, scope: Scope) -> None:
        """Want a scope, or have its snapshot again."""
        self._forget(scope)
        self.wanted[scope] = None
        self.lane.want(scope)

    def unwant(self, scope: Scope) -> None:
        """Want it no longer."""
        self._forget(scope)
        self.lane.unwant(scope)

    def _forget(self, scope: Scope) -> None:
        self.wanted.pop(scope, None)
        self.join.forget(scope)
        # A client drops what answers an earlier want.
        self.on_the_way = [each for each in self.on_the_way if not _is_of(each, scope)]
        self.held.pop(scope, None)
        self.position.pop(scope, None)

    def read(self, reading: bool) -> None:
        """Begin or end to read the broker."""
        self.reading = reading
        self.site.path.hear(self.lane, NormalReading(reading))

    def confirm(self) -> None:
        """Say what was taken in."""
        if self.reading:
            said = NormalReading(True, self.join.source, self.join.reached())
            self.site.path.hear(self.lane, said)

    async def take_stream(self, messages: int = 1 << 30) -> None:
        """So many messages of the stream arrive."""
        for _ in range(3):
            await asyncio.sleep(0)
        for _ in range(min(messages, len(self.on_the_way))):
            message = self.on_the_way.pop(0)
            for each in self.join.take(message, 0.0):
                self._apply(each)
            await asyncio.sleep(0)

    def take_frame(self, payload: bytes) -> None:
        """A message of the broker arrives."""
        frame = decode_normal_frame(payload)
        if not self.join.is_old(frame):
            self.frames.add(frame)
            if frame.source == self.join.source:
                for each in self.join.look(frame.shard, 0.0):
                    self._apply(each)

    async def settle(self) -> None:
        """All of the stream arrives; if frames fail to come, everything is asked for on the stream."""
        self.flowing.set()
        before = -1
        while before != len(self.on_the_way) or self.on_the_way:
            before = len(self.on_the_way)
            await self.take_stream()
        if self.join.waits_since() is not None:
            self.read(False)
            await self.settle()

    def _apply(self, message: GoalMessage) -> None:
        if isinstance(message, Question | Marks | Hasten):
            return
        if isinstance(message, Heads):
            self._announce(message)
            return
        scope = message.scope
        if scope not in self.wanted:
            return
        stamp = (message.epoch, message.through)
        if message.from_revision == 0:
            if self.position.get(scope, (0, 0)) > stamp:
                return
            self.held[scope] = {envelope.key: envelope.body for envelope in message.put}
            self.position[scope] = stamp
            return
        if scope not in self.held:
            self.gaps.append(message)  # a step before the snapshot
            return
        if self.complete(scope)[0] > message.epoch:
            return
        position = self.complete(scope)
        if position < (message.epoch, message.from_revision):
            self.gaps.append(message)
        elif position < stamp:
            for key in message.removed:
                self.held[scope].pop(key, None)
            self.held[scope].update({envelope.key: envelope.body for envelope in message.put})
            self.position[scope] = stamp

    def complete(self, scope: Scope) -> tuple[int, int]:
        """(epoch, revision) through which a held scope is complete."""
        heads = self.heads.get(shard_of(scope), (0, 0))
        position = self.position[scope]
        return max(position, heads) if heads[0] == position[0] else position

    def _announce(self, heads: Heads) -> None:
        for shard, through in heads.through.items():
            self.heads[shard] = max(self.heads.get(shard, (0, 0)), (heads.epoch, through))
        for scope, held in self.held.items():
            epoch, revision = self.complete(scope)
            assert held == self.site.state(scope, epoch, revision), f"{scope} is not as of {epoch}/{revision}"


def _is_of(message: GoalMessage, scope: Scope) -> bool:
    return isinstance(message, ScopeUpdate) and message.scope == scope
