"""An agent's way to one of several ncms."""

from typing import cast

import pytest

from alcor.bus.fallback import FallbackConnector
from alcor.bus.interface import AgentStream


class Ncm:
    """An ncm that answers with itself while it is there."""

    def __init__(self) -> None:
        self.is_there = True
        self.asked = 0

    async def connect(self) -> AgentStream:
        self.asked += 1
        if not self.is_there:
            raise ConnectionError("nobody is there")
        return cast(AgentStream, self)


async def test_the_next_one_is_asked_when_one_fails() -> None:
    """A failure leads to the next ncm; it stays there, and is back at the first after a while."""
    now = [100.0]
    first, second = Ncm(), Ncm()
    connector = FallbackConnector([first, second], clock=lambda: now[0], back_s=60)
    first.is_there = False
    with pytest.raises(ConnectionError, match="nobody"):
        await connector.connect()

    assert cast(Ncm, await connector.connect()) is second
    first.is_there = True
    assert cast(Ncm, await connector.connect()) is second
    now[0] += 60
    assert cast(Ncm, await connector.connect()) is first


async def test_all_are_tried_in_turn() -> None:
    """While nobody is there each is asked as often as the others."""
    ncms = [Ncm(), Ncm(), Ncm()]
    for ncm in ncms:
        ncm.is_there = False
    connector = FallbackConnector(ncms, clock=lambda: 1.0)
    for _ in range(6):
        with pytest.raises(ConnectionError):
            await connector.connect()

    assert [ncm.asked for ncm in ncms] == [2, 2, 2]
