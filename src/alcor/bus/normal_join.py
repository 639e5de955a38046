"""An ncm's side of the normal path: a dataplane's stream and the broker's frames, joined to what one stream would say.

The stream leads. Its marks name the frames that its next heads need; a frame is taken in when it is needed and all
before it were, and heads of a shard are given on only after the frames they need. So every message comes in the order
of its publisher's turns, whichever way was faster, and the receiver's rule (apply iff from ≤ position < through) does
the rest: what came both ways, twice or late changes nothing. Pure.
"""

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass

import msgspec

from alcor.bus.interface import Envelope, GoalMessage, Heads, Marks, ScopeUpdate
from alcor.bus.normal_frame import NormalFrame
from alcor.goalstate.scope import Scope, shard_of

# Frames that nobody asked for yet. What is dropped is missed, noticed, and said again on the stream.
FRAMES_MAX = 4096
OCTETS_MAX = 64 << 20


class FrameStore:
    """Frames that came and are not taken in: of all sources, for the joins of all streams. The oldest go first."""

    def __init__(self) -> None:
        self._frames: OrderedDict[tuple[int, int, int], NormalFrame] = OrderedDict()
        self._octets = 0

    def __len__(self) -> int:
        return len(self._frames)

    def add(self, frame: NormalFrame) -> None:
        """Keep a frame; one that is here already is kept once."""
        key = frame.source, frame.shard, frame.number
        if key in self._frames:
            return
        self._frames[key] = frame
        self._octets += frame.octets
        while len(self._frames) > FRAMES_MAX or self._octets > OCTETS_MAX:
            self._octets -= self._frames.popitem(last=False)[1].octets

    def pop(self, source: int, shard: int, number: int) -> NormalFrame | None:
        """Take a frame out."""
        frame = self._frames.pop((source, shard, number), None)
        if frame is not None:
            self._octets -= frame.octets
        return frame

    def drop(self, source: int, shard: int, through: int) -> None:
        """Keep none of a shard through this number. Cost: O(frames)."""
        for key in [key for key in self._frames if key[:2] == (source, shard) and key[2] <= through]:
            self.pop(*key)

    def clear(self) -> None:
        """Keep nothing."""
        self._frames.clear()
        self._octets = 0


@dataclass(slots=True)
class _Shard:
    """Where one shard stands. `taken`, `needed`: numbers of frames. `waiting`: heads that are not given on yet.

    since: when it began to wait for the next frame; None: it does not.
    """

    taken: int = 0
    needed: int = 0
    waiting: Heads | None = None
    since: float | None = None


class Join:
    """Of one connection to one dataplane. Bound: one position per scope wanted there, and the store's bounds.

    source: the dataplane's, once it said marks; 0 before.
    """

    def __init__(self, store: FrameStore) -> None:
        self.source = 0
        self._store = store
        self._shards: dict[int, _Shard] = {}
        # Scope → (epoch, through) that was given on of it. What the broker says of others is not for us, or will be in
        # the stream's first answer.
        self._given: dict[Scope, tuple[int, int]] = {}
        self._chunks: dict[Scope, list[Envelope]] = {}
        self._moved: set[int] = set()

    def forget(self, scope: Scope) -> None:
        """The scope was wanted (again) or unwanted: what comes of it before the stream's answer is dropped."""
        self._given.pop(scope, None)
        self._chunks.pop(scope, None)

    # --- what comes ---

    def take(self, message: GoalMessage, now: float) -> Iterator[GoalMessage]:
        """The stream's next message; yields what may be given on. `now`: seconds of a clock that does not go back."""
        if isinstance(message, Marks):
            self._mark(message)
            for number in {**message.covered, **message.awaited}:
                yield from self.look(number, now)
        elif isinstance(message, Heads):
            yield from self._heads(message)
        else:
            if isinstance(message, ScopeUpdate) and not message.more:
                self._chunks.pop(message.scope, None)
                self._given[message.scope] = (message.epoch, message.through)
            yield message

    def _mark(self, marks: Marks) -> None:
        self.source = marks.source
        for number, covered in marks.covered.items():
            shard = self._shards.setdefault(number, _Shard())
            if covered > shard.taken:
                shard.taken = covered
                self._store.drop(self.source, number, covered)
        for number, awaited in marks.awaited.items():
            shard = self._shards.setdefault(number, _Shard())
            shard.needed = max(shard.needed, awaited)

    def _heads(self, heads: Heads) -> Iterator[Heads]:
        free: dict[int, int] = {}
        for number, through in heads.through.items():
            shard = self._shards.get(number)
            if shard is None or shard.taken >= shard.needed:
                free[number] = through
            elif shard.waiting is None or _rank(heads, number) > _rank(shard.waiting, number):
                shard.waiting = msgspec.structs.replace(heads, through={number: through})
        if free:
            yield msgspec.structs.replace(heads, through=free)

    def is_old(self, frame: NormalFrame) -> bool:
        """Whether a frame was taken in, or covered."""
        shard = self._shards.get(frame.shard)
        return frame.source == self.source and shard is not None and frame.number <= shard.taken

    def look(self, number: int, now: float) -> Iterator[GoalMessage]:
        """Take in the frames of a shard that are needed and there; yields them, and the heads that need no more."""
        shard = self._shards.get(number)
        if shard is None:
            return
        while shard.taken < shard.needed:
            frame = self._store.pop(self.source, number, shard.taken + 1)
            if frame is None:
                shard.since = now if shard.since is None else shard.since
                return
            shard.taken += 1
            shard.since = None
            self._moved.add(number)
            for update in frame.updates:
                yield from self._step(update, number)
        shard.since = None
        if shard.waiting is not None:
            heads, shard.waiting = shard.waiting, None
            yield heads

    def _step(self, update: ScopeUpdate, number: int) -> Iterator[ScopeUpdate]:
        scope = update.scope
        epoch, through = self._given.get(scope, (0, 0))
        if epoch != update.epoch or shard_of(scope) != number:
            return  # not for us; or of a history that ended: the stream said everything of the new one
        if update.more:
            self._chunks.setdefault(scope, []).extend(update.put)
            return
        chunks = self._chunks.pop(scope, ())
        if update.through <= through:
            return
        self._given[scope] = (epoch, update.through)
        # All that was said of the scope before this was taken in, on either way: it begins where the scope is.
        begins = min(update.from_revision, through)
        yield msgspec.structs.replace(update, from_revision=begins, put=(*chunks, *update.put))

    # --- how it stands ---

    def waits_since(self) -> float | None:
        """When the shard that waits longest for a frame began to wait; None if none does. Cost: O(shards)."""
        return min((shard.since for shard in self._shards.values() if shard.since is not None), default=None)

    def reached(self) -> dict[int, int]:
        """Shard → the last frame taken in, of shards where frames were taken in since this was asked."""
        moved, self._moved = self._moved, set()
        return {number: self._shards[number].taken for number in sorted(moved)}


def _rank(heads: Heads, shard: int) -> tuple[int, int, int]:
    return heads.epoch, heads.generation, heads.through[shard]
