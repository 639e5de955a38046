"""Taking free numbers of a set: segment identifiers, MAC addresses, addresses of large subnets.

The set of taken numbers is the claims of one space, a primary key; there is no other record that could
disagree with it. A number is chosen at random, so that writers do not meet, and taken by its claim.

Cost: while most of the set is free, one or two `claim_many` for all numbers together, whatever the size of the set; a
crowded set is asked for spare candidates first. A nearly full one is searched in windows from a random place; by the
pigeonhole principle the search may stop after as many numbers as there are claims.
"""

import random
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

from alcor.model.errors import Exhausted
from alcor.store.interface import Transaction

REST_S = 60
"""How long a released number is passed over: until every host has heard of its release. Architecture, section 4."""

# Spare candidates per round: with half of the set taken, eight candidates all miss once in 256 rounds.
_SPARE = 7
# Candidates asked for at once: bounds the size of one statement.
_BATCH_MAX = 256
# Rounds that may take nothing before a more careful way is tried: claiming blindly, then asking for spare candidates.
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

    def without(self, holes: Iterable[tuple[int, int]]) -> "NumberSet":
        """What is left of the set when inclusive ranges are taken out."""
        left = list(self.ranges)
        for low, high in holes:
            left = [
                part
                for first, last in left
                for part in ((first, min(last, low - 1)), (max(first, high + 1), last))
                if part[0] <= part[1]
            ]
        return NumberSet.of(left)

    def holds(self, first: int, last: int) -> bool:
        """Whether every number of an inclusive range is in the set."""
        return any(low <= first and last <= high for low, high in self.ranges)

    def meets(self, first: int, last: int) -> bool:
        """Whether any number of an inclusive range is in the set."""
        return any(low <= last and first <= high for low, high in self.ranges)

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
    seats = _Seats(owners)
    # A set that fits one window is searched directly: that is as cheap, and exact.
    if space.numbers.size > _BATCH_MAX:
        for way in (_claim_blindly, _claim_spared):
            idle = 0
            while seats.empty and idle < _ROUNDS_IDLE_MAX:
                before = len(seats.empty)
                await way(tx, space, seats)
                idle = idle + 1 if len(seats.empty) == before else 0
    if seats.empty:
        fresh, resting = await _search(tx, space, len(seats.empty))
        await _claim(tx, space, [*fresh, *resting], seats)
    return [key for key in seats.keys if key is not None]


def choose_numbers(space: Space, count: int, rng: random.Random) -> list[str]:
    """`count` keys at random, in ascending order of their numbers, whoever has them: for whoever claims all of them
    where nobody else does. Raises: Exhausted if the set has fewer. Cost: O(count).
    """
    numbers, wanted = space.numbers, count + len(space.reserved)
    if numbers.size < wanted:
        raise Exhausted(space.name, f"{numbers.size} of them, {count} more are wanted")
    at, render, reserved = numbers.at, space.render, space.reserved
    keys = [render(at(index)) for index in sorted(rng.sample(range(numbers.size), wanted))]
    free = [key for key in keys if key not in reserved]
    for _ in range(len(free) - count):
        free.pop(rng.randrange(len(free)))
    return free


async def find_free(tx: Transaction, space: Space, wanted: int) -> list[str]:
    """Up to `wanted` keys that nobody has, claimed by whoever asks afterwards; resting ones last.

    Shape:  shorter exactly if the set has no more free numbers. Cost: as a search of a nearly full set.
    """
    fresh, resting = await _search(tx, space, wanted)
    return [*fresh, *resting][:wanted]


class _Seats:
    """Who has got a key and who has not. An owner may want several, so places count, not names."""

    def __init__(self, owners: Sequence[str]) -> None:
        self.owners = owners
        self.keys: list[str | None] = [None] * len(owners)
        self.empty = list(range(len(owners)))

    def give(self, won: Mapping[int, str]) -> None:
        """Seat → key."""
        for seat, key in won.items():
            self.keys[seat] = key
        self.empty = [seat for seat in self.empty if seat not in won]


async def _claim_blindly(tx: Transaction, space: Space, seats: _Seats) -> None:
    """One candidate each, claimed without a look: in a set that is mostly free nearly all of them are."""
    keys = _draw(tx, space, min(len(seats.empty), _BATCH_MAX))
    wanted = {key: seat for key, seat in zip(keys, seats.empty, strict=False) if key not in space.reserved}
    won = await tx.claim_many(space.name, {key: seats.owners[seat] for key, seat in wanted.items()})
    seats.give({wanted[key]: key for key in won})


async def _claim_spared(tx: Transaction, space: Space, seats: _Seats) -> None:
    """Look for candidates that are free, some more than are wanted, then claim them."""
    keys = _draw(tx, space, min(len(seats.empty), _BATCH_MAX) + _SPARE)
    fresh, _ = await _split(tx, space, keys)
    await _claim(tx, space, fresh, seats)


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


async def _claim(tx: Transaction, space: Space, keys: Iterable[str], seats: _Seats) -> None:
    candidates = iter(keys)
    won = {}
    for seat in seats.empty:
        for key in candidates:
            # False: another writer was faster since we looked. The next candidate will do.
            if await tx.claim(space.name, key, seats.owners[seat]):
                won[seat] = key
                break
    seats.give(won)


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
