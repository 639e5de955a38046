"""Requests that are made to fail at each of their steps in turn."""

from collections.abc import Awaitable, Callable
from typing import Any

from tests.support.managers import Broken, Counting, Desk

Request = Callable[[Desk], Awaitable[Any]]


async def fail_each_step(desk: Desk, request: Request) -> int:
    """Make `request` fail at its first call to the transaction, then its second … until it succeeds.

    After each failure every table must be as before. Returns: the number of calls.
    """
    before = desk.dump()
    # The bound only keeps a request that never succeeds from running for ever.
    for step in range(1, 2_000):
        desk.wrap = lambda tx, step=step: Counting(tx, step)  # type: ignore[misc]  # mypy takes no default in a lambda
        try:
            await request(desk)
        except Broken:
            assert desk.dump() == before
            continue
        finally:
            desk.wrap = lambda tx: tx
        return step - 1
    raise AssertionError("the request never came to its end")
