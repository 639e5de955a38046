"""One scope as an ncm holds it: an ordered map of encoded items, last changed last, and what is known of its shard."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Protocol

import msgspec

from alcor.bus.interface import Envelope, ScopeUpdate
from alcor.goalstate.item import Key
from alcor.goalstate.scope import Scope
from alcor.ncm.interest import Codes, Interest

# Tombstones kept beside as many as there are live items: an agent that was away for a moment is resumed, not reloaded.
TOMBSTONES_MIN = 64


def envelope_bytes(envelope: Envelope) -> int:
    """What an item takes on the wire, at most (`wire.proto`; tags, lengths and numbers are rounded up)."""
    return len(envelope.body) + len(envelope.key.id) + 24 + 24 * len(envelope.refers)


class Subscriber(Protocol):
    """Whoever needs scopes; hashable by identity."""

    def wake(self) -> None:
        """Something changed: look. Must not block, and may be called any number of times."""


@dataclass(slots=True)
class Shard:
    """What is known of one virtual shard. `serial` counts the heads taken in; `begun`: the epoch of the last ones."""

    epoch: int = 0
    generation: int = 0
    through: int = 0
    serial: int = 0
    begun: int = 0

    def refuses(self, epoch: int, generation: int) -> bool:
        """Whether a message comes from somebody who was replaced; else it is remembered who speaks."""
        if (epoch, generation) < (self.epoch, self.generation):
            return True
        if epoch > self.epoch:
            self.through = 0
        self.epoch, self.generation = epoch, generation
        return False


@dataclass(slots=True)
class HeldScope:
    """One scope. Revisions of its items are those of the steps that brought them.

    loaded:    whether a snapshot came; before, nothing else means anything.
    changed:   revision of the last change; a subscriber at or above it has everything.
    floor:     positions below cannot be resumed: it is unknown what was removed since. `floor ≤ changed`.
    refers:    scope → how many of the items refer to it.
    latest:    the last step, `from` lowered to the change before it, so that everybody who was up to date gets the
               same object (it is encoded once for all of them); None after a snapshot. `latest_bytes`: its size.
    blind:     between these two positions it is not known what was: who stands there cannot go on from it.
    interest:  who holds what of it, if it is held on demand. `eager`: subscribers that hold it whole all the same.
    """

    scope: Scope
    shard: Shard
    epoch: int = 0
    generation: int = 0
    through: int = 0
    changed: int = 0
    floor: int = 0
    blind: tuple[int, int] = (0, 0)
    loaded: bool = False
    reloading: bool = False
    entries: dict[Key, tuple[int, Envelope]] = field(default_factory=dict)
    tombstones: dict[Key, int] = field(default_factory=dict)
    refers: dict[Scope, int] = field(default_factory=dict)
    latest: ScopeUpdate | None = None
    latest_bytes: int = 0
    latest_lazy: ScopeUpdate | None = None
    interest: Interest | None = None
    eager: dict[Subscriber, None] = field(default_factory=dict)
    subscribers: dict[Subscriber, None] = field(default_factory=dict)
    serial: int = 0
    chunks: dict[Key, Envelope] = field(default_factory=dict)
    farewell: asyncio.TimerHandle | None = None

    @property
    def fence(self) -> int:
        """The generation to send this by: that of whoever speaks for the shard now, whoever said it. An agent that
        heard of the new one refuses the old one, and content depends on epoch and revision alone."""
        shard = self.shard
        return shard.generation if shard.epoch == self.epoch else self.generation

    @property
    def is_lazy(self) -> bool:
        """Whether hosts hold it on demand."""
        return self.interest is not None

    @property
    def position(self) -> int:
        """Through which revision this is complete: its own steps, and the shard's heads since it was loaded."""
        shard = self.shard
        if self.reloading or self.serial == shard.serial or self.epoch != shard.epoch:
            return self.through
        return max(self.through, shard.through)

    def is_blind(self, position: int) -> bool:
        """Whether it is not known what the scope was at a position: we went past it by a snapshot, and what changed and
        changed back in it was never said to us. Who stands there comes from another ncm."""
        return self.blind[0] < position < self.blind[1]

    def leads_on(self, position: int) -> bool:
        """Whether `suffix_after` a position is all that changed."""
        return self.floor <= position and not self.is_blind(position)

    def pass_blindly(self, position: int, through: int) -> None:
        """By a snapshot the scope goes on. Bound: one such leap is remembered; who stands before an older one begins
        anew."""
        if through - position > 1:
            self.floor = max(self.floor, self.blind[1])
            self.blind = position, through

    def suffix_after(self, position: int) -> tuple[list[tuple[int, Envelope]], list[tuple[int, Key]]]:
        """What changed after `position`, oldest first: puts and removals with their revisions.

        Cost: O(the suffix). Asked only for `floor ≤ position`.
        """
        puts = list(takewhile(lambda entry: entry[0] > position, reversed(self.entries.values())))
        gone = list(takewhile(lambda entry: entry[1] > position, reversed(self.tombstones.items())))
        puts.reverse()
        return puts, [(revision, key) for key, revision in reversed(gone)]

    def snapshot(self) -> list[Envelope]:
        """Everything, last changed last. Cost: O(items), 8 octets each: the envelopes are shared."""
        return [envelope for _, envelope in self.entries.values()]

    # --- changing ---

    def put(self, envelope: Envelope, revision: int, position: int, *, anew: bool = False) -> bool:
        """Take in an item; returns whether anything changed. `position`: the scope's before this step.

        `anew`: it counts as changed in any case, for it may have been another one in between, which somebody holds.

        An item that is as it was keeps its `since` if it refers to nothing, or if its holder's row did not change after
        `position`: then the reference has stood all the time. Otherwise it may have been away in between, and the
        new one counts.
        """
        key = envelope.key
        before = self.entries.get(key)
        if before is not None:
            old = before[1]
            stands = not old.refers or envelope.since <= position
            is_equal = stands and old.body == envelope.body and old.refers == envelope.refers
            if is_equal and not anew:
                return False
            if is_equal:
                envelope = old
            del self.entries[key]
            self._count(old.refers, -1)
            if self.interest is not None:
                # The index keeps its key: one object for both.
                key = old.key
                envelope = Envelope(key, envelope.since, envelope.refers, envelope.body)
        self.entries[key] = (revision, envelope)
        self.tombstones.pop(key, None)
        self._count(envelope.refers, 1)
        if self.interest is not None:
            self.interest.changed(key, before[1] if before is not None else None, envelope)
        return True

    def remove(self, key: Key, revision: int, *, anew: bool = False) -> bool:
        """Remove an item and keep its tombstone; returns whether it was there, or `anew`, as in `put`."""
        before = self.entries.pop(key, None)
        if before is None:
            if anew:
                self.tombstones.pop(key, None)
                self.tombstones[key] = revision
            return anew
        self._count(before[1].refers, -1)
        self.tombstones[key] = revision
        if self.interest is not None:
            self.interest.changed(key, before[1], None)
        return True

    def trim(self) -> None:
        """Keep at most as many tombstones as live items; the oldest go, which most have seen, and the floor rises."""
        bound = max(TOMBSTONES_MIN, len(self.entries))
        if len(self.tombstones) > bound:
            # Down to half, so that the cost per removal stays O(1).
            for key in list(self.tombstones)[: len(self.tombstones) - bound // 2]:
                self.floor = self.tombstones.pop(key)

    def clear(self) -> None:
        """Hold nothing."""
        self.entries.clear()
        self.tombstones.clear()
        self.refers.clear()
        self.blind = (0, 0)
        self.latest = self.latest_lazy = None
        self.interest = None

    def find_mode(self, above: int, below: int, codes: Codes) -> bool:
        """Hold it on demand above so many items, whole below so many; returns whether that is another way than before.

        Cost: O(1); O(items) when it turns, 3 µs each.
        """
        if self.interest is None and len(self.entries) > above:
            self.interest = Interest(self.entries, codes)
            self.interest.fill(self.snapshot())
            return True
        if self.interest is not None and len(self.entries) < below:
            self.interest = None
            return True
        return False

    def lazy_step(self) -> ScopeUpdate | None:
        """The last step for who holds all of it on demand: one object for all of them."""
        if self.latest is None or self.latest.generation != self.fence:
            return None
        if self.latest_lazy is None:
            self.latest_lazy = msgspec.structs.replace(self.latest, lazy=True)
        return self.latest_lazy

    def _count(self, scopes: Sequence[Scope], step: int) -> None:
        for scope in scopes:
            count = self.refers.get(scope, 0) + step
            if count:
                self.refers[scope] = count
            else:
                del self.refers[scope]
