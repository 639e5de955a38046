"""One ncm as its dataplane sees it: what it gets on its own stream, and what it is left to take from the broker.

What is left to the broker is kept, merged, until the ncm says that it has it. So nothing depends on the broker: what is
kept can be said on the stream at any moment, it begins where the ncm certainly is, and what the ncm has of it already
changes nothing (items are absolute).

Bound: one value per key (I8) of what changed since the ncm's last word but one, which it gives twice a second.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from alcor.bus.interface import Heads, Holdings, Marks, Publication
from alcor.bus.local import LocalBus, Step
from alcor.goalstate.scope import Scope, shard_of


@dataclass(slots=True)
class _Window:
    """What of one shard was left to the broker. `mark`: all of `older` is in frames through this number."""

    older: dict[Scope, Step] = field(default_factory=dict)
    newer: dict[Scope, Step] = field(default_factory=dict)
    mark: int = 0
    last: int = 0

    def take(self, step: Publication, number: int, position: int) -> None:
        self.last = number
        merged = self.newer.get(step.scope)
        if merged is None:
            earlier = self.older.get(step.scope)
            self.newer[step.scope] = Step(step, position if earlier is None else earlier.through)
        else:
            # Nothing happened to the scope between two steps of it, whatever its shard's revisions.
            merged.merges(step, step.from_revision)

    def confirm(self, number: int) -> Iterator[Step]:
        """Forget what is in frames through `number`, as far as it is known; yields what was forgotten."""
        while number >= self.mark and (self.older or self.newer):
            yield from self.older.values()
            self.older, self.newer = self.newer, {}
            self.mark = self.last

    def pull(self, scope: Scope) -> list[Step]:
        found = [window.pop(scope, None) for window in (self.older, self.newer)]
        return [step for step in found if step is not None]


class Lane:
    """Both ways to one ncm. `bus`: its stream's buffer. `reading`: whether it reads the broker too."""

    def __init__(self, bus: LocalBus) -> None:
        self.bus = bus
        self.reading = False
        self._windows: dict[int, _Window] = {}

    @property
    def left(self) -> int:
        """How many scopes have something that was left to the broker and is not confirmed."""
        return sum(len({**window.older, **window.newer}) for window in self._windows.values())

    # --- what the ncm says ---

    def want(self, scope: Scope, epoch: int = 0, position: int = 0) -> None:
        """The answer says all that was left to the broker."""
        self._pull(scope)
        self.bus.want(scope, epoch, position)

    def unwant(self, scope: Scope) -> None:
        """It gets nothing more of it."""
        self._pull(scope)
        self.bus.unwant(scope)

    def read(self, reading: bool, covering: Marks) -> None:
        """From here on it reads the broker, or no longer: then all that was left to it is said on the stream.

        covering: marks that cover everything published so far.
        """
        self.reading = reading
        self.flush(covering)

    def confirm(self, reached: Mapping[int, int]) -> None:
        """It took in the frames of each shard through this number."""
        for shard, number in reached.items():
            window = self._windows.get(shard)
            for step in window.confirm(number) if window is not None else ():
                if self.bus.settled(step.scope, step.epoch):
                    self.bus.settle(step.scope, step.epoch, step.through)

    # --- what the dataplane says ---

    def hold(self, holdings: Holdings) -> None:
        """What was left to the broker of shards that another dataplane has now is its business."""
        self.bus.hold(holdings)
        for window in self._windows.values():
            for scope in [scope for scope in {**window.older, **window.newer} if not self.bus.wants(scope)]:
                window.pull(scope)

    def publish(
        self, updates: Sequence[Publication], numbers: Mapping[Scope, int], heads: Heads, marks: Marks
    ) -> int:
        """One turn; returns how many steps were left to the broker.

        numbers: scope → number of the frame that carries its step on the broker.
        marks: of this turn.
        """
        if not self.reading:
            self.bus.publish(updates, heads)
            return 0
        spoken: list[Publication] = []
        left = 0
        for update in updates:
            scope = update.scope
            if not self.bus.wants(scope):
                continue
            number = numbers.get(scope)
            position = self.bus.settled(scope, update.epoch) if number is not None else 0
            if number is not None and position:
                window = self._windows.setdefault(shard_of(scope), _Window())
                window.take(update, number, position)
                left += 1
                continue
            earlier = self._pull(scope)
            if update.from_revision:
                spoken.extend(_publication(step) for step in earlier)
            spoken.append(update)
        if marks.awaited:
            self.bus.mark(marks)
        self.bus.publish(spoken, heads)
        return left

    def flush(self, covering: Marks) -> None:
        """Say all that was left to the broker on the stream, then `covering`."""
        windows, self._windows = self._windows, {}
        steps = [
            _publication(step)
            for window in windows.values()
            for kept in (window.older, window.newer)
            for step in kept.values()
        ]
        self.bus.add(steps)
        self.bus.mark(covering)

    def _pull(self, scope: Scope) -> list[Step]:
        window = self._windows.get(shard_of(scope))
        return [] if window is None else window.pull(scope)


def _publication(step: Step) -> Publication:
    return Publication(
        scope=step.scope,
        epoch=step.epoch,
        generation=step.generation,
        from_revision=step.from_revision,
        through=step.through,
        put=tuple(step.put.values()),
        removed=tuple(step.removed),
    )
