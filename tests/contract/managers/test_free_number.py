"""Taking free numbers of a set."""

import pytest

from alcor.managers.free_number import REST_S, NumberSet, Space, take_numbers
from alcor.store.interface import Transaction
from tests.support.managers import Desk


def test_a_set_is_the_union_of_its_ranges() -> None:
    """Ranges that touch or overlap count once, in ascending order."""
    numbers = NumberSet.of([(10, 12), (1, 3), (4, 5), (11, 14)])

    assert numbers.ranges == ((1, 5), (10, 14))
    assert numbers.size == 10
    assert [numbers.at(index) for index in range(10)] == [1, 2, 3, 4, 5, 10, 11, 12, 13, 14]


def test_a_set_may_be_empty_or_huge() -> None:
    """No range is no number; 2^64 numbers are two bounds."""
    huge = NumberSet.of([(2**64, 2**65 - 1)])

    assert NumberSet.of([]).size == 0
    assert (huge.size, huge.at(0), huge.at(2**64 - 1)) == (2**64, 2**64, 2**65 - 1)


async def take(desk: Desk, space: Space, count: int) -> list[str]:
    """`count` numbers for the owner "o"."""

    async def work(tx: Transaction) -> list[str]:
        return await take_numbers(tx, space, ["o"] * count)

    return (await desk.store.write(work)).value


async def release(desk: Desk, space: Space, keys: list[str]) -> None:
    """Give keys back, to rest."""

    async def work(tx: Transaction) -> None:
        for key in keys:
            tx.release(space.name, key, rest_s=REST_S)

    await desk.store.write(work)


@pytest.mark.parametrize("size", [1, 10, 256, 257, 1_000])
async def test_a_set_is_given_whole_and_no_more(desk: Desk, size: int) -> None:
    """Every number once, then none: a shorter list says that the set is empty."""
    space = Space("s", NumberSet.of([(1, size)]), str)

    assert sorted(await take(desk, space, size), key=int) == [str(number) for number in range(1, size + 1)]
    assert await take(desk, space, 1) == []


async def test_the_last_free_number_of_many_is_found(desk: Desk) -> None:
    """A nearly full set is searched, not given up on."""
    space = Space("s", NumberSet.of([(1, 3_000)]), str)
    taken = await take(desk, space, 3_000)
    [last] = [key for key in taken if key == "1234"]

    async def free(tx: Transaction) -> None:
        tx.release(space.name, last)

    await desk.store.write(free)

    assert await take(desk, space, 2) == ["1234"]


async def test_reserved_numbers_are_never_given(desk: Desk) -> None:
    """Not even when nothing else is left."""
    space = Space("s", NumberSet.of([(1, 5)]), str, frozenset({"2", "4"}))

    assert sorted(await take(desk, space, 5)) == ["1", "3", "5"]


@pytest.mark.parametrize("size", [100, 1_000])
async def test_resting_numbers_are_given_last(desk: Desk, size: int) -> None:
    """A released number is passed over while another is free, and given when none is."""
    space = Space("s", NumberSet.of([(1, size)]), str)
    released = [str(number) for number in range(1, 41)]
    await take(desk, space, size)
    await release(desk, space, released)

    async def free_without_rest(tx: Transaction) -> None:
        tx.release(space.name, "77")

    await desk.store.write(free_without_rest)

    assert await take(desk, space, 1) == ["77"]
    assert sorted(await take(desk, space, 41), key=int) == released


async def test_rest_ends(desk: Desk) -> None:
    """After a minute a released number is as good as any."""
    space = Space("s", NumberSet.of([(1, 2)]), str)
    [first] = await take(desk, space, 1)
    await release(desk, space, [first])
    desk.clock.advance(REST_S + 1)

    assert sorted(await take(desk, space, 2)) == ["1", "2"]
