"""A desk on a fresh store."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.managers import Desk, desk_of


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with desk_of(tmp_path) as desk:
        yield desk
