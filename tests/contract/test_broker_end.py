"""Both ends of the broker's path end when they are cancelled, in whatever moment that comes."""

import asyncio
from collections.abc import Callable

import pytest

from alcor.bus.broker import BrokerReader, BrokerSender
from tests.support.nats import shared_node
from tests.support.normal_bus import a_place, until

END_S = 60.0


def cancel_after(turns: int, task: "asyncio.Task[None]") -> None:
    """Cancel it so many turns of the loop from now."""
    if turns == 0:
        task.cancel()
    else:
        asyncio.get_running_loop().call_soon(cancel_after, turns - 1, task)


async def ends(task: "asyncio.Task[None]") -> bool:
    """Whether it does within the time; if not it is cancelled until it does."""
    done, _ = await asyncio.wait([task], timeout=END_S)
    has_ended = bool(done)
    while not done:
        task.cancel()
        done, _ = await asyncio.wait([task], timeout=0.1)
    return has_ended and task.cancelled()


async def each_turn(happens: Callable[[], bool], turns: int, task: "asyncio.Task[None]") -> None:
    """Cancel a task so many turns of the loop after something happened. Raises: TimeoutError."""
    async with asyncio.timeout(60):
        while not happens():  # noqa: ASYNC110  # each turn counts
            await asyncio.sleep(0)
    cancel_after(turns, task)


@pytest.mark.parametrize("turns", range(10))
async def test_a_reader_ends_while_frames_come(turns: int) -> None:
    """A frame that arrives together with the cancellation does not make it be forgotten."""
    await shared_node().ready()
    place = a_place(shared_node())
    sender = BrokerSender(place, random=lambda: 0.0)
    reader = BrokerReader(place, random=lambda: 0.0, heartbeat_s=0.25)
    came: list[bytes] = []

    def take(payload: bytes) -> None:
        came.append(payload)
        if len(came) == 1:
            cancel_after(turns, reading)

    sending = asyncio.create_task(sender.run())
    reading = asyncio.create_task(reader.run(take))
    try:
        await until(lambda: sender.is_well and reader.is_well)
        for shard in range(5):
            sender.send(1, shard, b"a frame")

        assert await ends(reading)
        assert came
    finally:
        sending.cancel()
        assert await ends(sending)


@pytest.mark.parametrize("turns", range(16))
async def test_a_sender_ends_while_it_is_answered(turns: int) -> None:
    """An answer that arrives together with the cancellation does not make it be forgotten."""
    await shared_node().ready()
    sender = BrokerSender(a_place(shared_node()), random=lambda: 0.0, probe_s=0.0)
    sending = asyncio.create_task(sender.run())
    await each_turn(lambda: sender.is_well, turns, sending)

    assert await ends(sending)
    assert not sender.is_well
