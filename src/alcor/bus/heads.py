"""Where shards stand: the last word on each, by its (epoch, generation), as messages again when it is to be told."""

from collections.abc import Iterable
from typing import NamedTuple

from alcor.bus.interface import Heads


class Mark(NamedTuple):
    """Where one shard stands, and by whose word. Ordered as receivers order: later words are greater."""

    epoch: int
    generation: int
    through: int


_NOWHERE = Mark(0, 0, 0)


class HeadBook:
    """The last mark of each shard. Bound: one mark per shard."""

    def __init__(self) -> None:
        self._marks: dict[int, Mark] = {}

    def __bool__(self) -> bool:
        return bool(self._marks)

    def take(self, heads: Heads) -> None:
        """Take in heads; what is lower than what is known of a shard is refused (I9)."""
        marks = self._marks
        for shard, through in heads.through.items():
            mark = Mark(heads.epoch, heads.generation, through)
            if mark > marks.get(shard, _NOWHERE):
                marks[shard] = mark

    def through(self, shard: int, epoch: int) -> int:
        """Through which revision of this epoch the shard stands; 0 if that is not known."""
        mark = self._marks.get(shard, _NOWHERE)
        return mark.through if mark.epoch == epoch else 0

    def forget(self, shards: Iterable[int]) -> None:
        """Know nothing of some shards."""
        for shard in shards:
            self._marks.pop(shard, None)

    def messages(self) -> list[Heads]:
        """All of it: one message for each (epoch, generation)."""
        told: dict[tuple[int, int], dict[int, int]] = {}
        for shard, mark in self._marks.items():
            told.setdefault((mark.epoch, mark.generation), {})[shard] = mark.through
        return [
            Heads(epoch=epoch, generation=generation, through=through)
            for (epoch, generation), through in sorted(told.items())
        ]
