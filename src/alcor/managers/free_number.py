"""Taking free numbers of a set: segment identifiers, MAC addresses, addresses of large subnets.

The set of taken numbers is the claims of one space, a primary key; there is no other record that could
disagree with it. A number is chosen at random, so that writers do not meet, and taken by its claim.

Cost: while a fair share of the set is free, one `claimed`, one `resting` and one `claim` per number, whatever the
size of the set. A nearly full set is searched in windows from a random place; by the pigeonhole
principle the search may stop after as many numbers as there are claims.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate

from alcor.store.interface import Transaction

REST_S = 60
"""How long a released number is passed over: until every host has heard of its release. Architecture, section 4."""

# Spare candidates per round: with half of the set taken, eight candidates all miss once in 256 rounds.
_SPARE = 7
# Candidates asked for at once: bounds the size of one statement.
_BATCH_MAX = 256
# Rounds that may take nothing before the set is searched instead.
_ROUNDS_IDLE_MAX = 2
# Sets up to this size are searched whole before a resting number is taken.
_WHOLE_SEARCH_MAX = 65_536


@dataclass(frozen=True, slots=True)
class NumberSet:
    """Disjoint inclusive ranges in ascending order; `ends[i]` counts the numbers of ranges 0 … i."""

    ranges: tuple[tuple[int, int], ...]
    ends: tuple[int, ...]

    @classmethod
    def of(cls, ranges: Iterable[tuple[int, int]]) -> "NumberSet":
        """The union of inclusive ranges, which may touch and overlap."""
        merged: list[tuple[int, int]] = []
        for first, last in sorted(ranges):
            if merged and first <= merged[-1][1] + 1:
                merged[-1] = (merged[-1][0], max(last, merged[-1][1]))
            else:
                merged.append((first, last))
        return cls(tuple(merged), tuple(accumulate(last - first + 1 for first, last in merged)))

    @property
    def size(self) -> int:
        """How many numbers there are."""
        return self.ends[-1] if self.ends else 0

    def at(self, index: int) -> int:
        """The number at `index` in [0, size), in ascending order."""
        where = bisect_right(self.ends, index)
        return self.ranges[where][1] - (self.ends[where] - 1 - index)


@dataclass(frozen=True, slots=True)
class Space:
    """Where numbers are claimed. `render` gives the key of a number; `reserved` keys are never given."""

    name: str
    numbers: NumberSet
    render: Callable[[int], str]
    reserved: frozenset[str] = frozenset()


async def take_numbers(tx: Transaction, space: Space, owners: Sequence[str]) -> list[str]:
    """Claim one free key for each of `owners`; resting keys only when nothing else is left.

    Shape:  keys in the order of `owners`; the list is shorter exactly if the set has no more free numbers.
    Cost:   see the module.
    """
    taken: list[str] = []
    idle = 0
    # A set that fits one window is searched directly: that is as cheap, and exact.
    while space.numbers.size > _BATCH_MAX and len(taken) < len(owners) and idle < _ROUNDS_IDLE_MAX:
        before = len(taken)
        keys = _draw(tx, space, min(len(owners) - before, _BATCH_MAX) + _SPARE)
        fresh, _ = await _split(tx, space, keys)
        await _claim(tx, space, fresh, owners, taken)
        idle = idle + 1 if len(taken) == before else 0
    if len(taken) < len(owners):
        fresh, resting = await _search(tx, space, len(owners) - len(taken))
        await _claim(tx, space, [*fresh, *resting], owners, taken)
    return taken


def _draw(tx: Transaction, space: Space, count: int) -> list[str]:
    size = space.numbers.size
    numbers = {space.numbers.at(tx.random_below(size)): None for _ in range(count)}
    return [space.render(number) for number in numbers]


async def _split(tx: Transaction, space: Space, keys: Sequence[str]) -> tuple[list[str], list[str]]:
    """The keys that are free and rested, and those that are free and still rest."""
    taken = await tx.claimed(space.name, keys)
    free = [key for key in keys if key not in taken and key not in space.reserved]
    resting = await tx.resting(space.name, free) if free else set()
    return [key for key in free if key not in resting], [key for key in free if key in resting]


async def _claim(
    tx: Transaction, space: Space, keys: Sequence[str], owners: Sequence[str], taken: list[str]
) -> None:
    for key in keys:
        if len(taken) == len(owners):
            return
        # False: another writer was faster since we looked. The next candidate will do.
        if await tx.claim(space.name, key, owners[len(taken)]):
            taken.append(key)


async def _search(tx: Transaction, space: Space, wanted: int) -> tuple[list[str], list[str]]:
    """Walk the set from a random place until `wanted` rested keys are found, or none can be."""
    size = space.numbers.size
    if size == 0:
        return [], []
    # Among this many numbers at least `wanted` are not taken, if there are so many at all.
    certain = await tx.claims_count(space.name) + len(space.reserved) + wanted
    steps = min(size, max(certain, _WHOLE_SEARCH_MAX))
    start = tx.random_below(size)
    fresh: list[str] = []
    resting: list[str] = []
    for offset in range(0, steps, _BATCH_MAX):
        indexes = range(offset, min(offset + _BATCH_MAX, steps))
        keys = [space.render(space.numbers.at((start + index) % size)) for index in indexes]
        found, waiting = await _split(tx, space, keys)
        fresh += found
        resting += waiting
        if len(fresh) >= wanted:
            break
    return fresh, resting
