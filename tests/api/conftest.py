"""A region's REST edge per test, on an embedded store in a folder of its own."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from alcor.store.interface import Store
from tests.support.api import (
    ADMIN_PROJECT,
    ADMIN_TOKEN,
    MEMBER_PROJECT,
    MEMBER_TOKEN,
    Api,
    add_token,
    serving,
)
from tests.support.store import Clock, sqlite_store


@pytest.fixture
def clock() -> Clock:
    """The store's time; it moves only when a test moves it."""
    return Clock()


@pytest.fixture
async def store(tmp_path: Path, clock: Clock) -> AsyncIterator[Store]:
    """An embedded store that knows an administrator's and a member's token."""
    async with sqlite_store(tmp_path, clock=clock, seed=1) as opened:
        await add_token(opened, ADMIN_TOKEN, ADMIN_PROJECT, is_admin=True)
        await add_token(opened, MEMBER_TOKEN, MEMBER_PROJECT, is_admin=False)
        yield opened


@pytest.fixture
async def api(store: Store) -> AsyncIterator[Api]:
    """The API as an administrator."""
    async with serving(store) as opened:
        yield opened


@pytest.fixture
async def member(store: Store) -> AsyncIterator[Api]:
    """The API as a member of another project."""
    async with serving(store, token=MEMBER_TOKEN) as opened:
        yield opened
