"""Questions that wait for their answers: one small book per asker, whatever lies between."""

import asyncio
from collections.abc import Callable

from alcor.bus.interface import Question, Reply
from alcor.model.errors import Unavailable

# A question holds a few kilobytes until it is answered or its time is over; people and their tools ask them.
QUESTIONS_MAX = 64


class Questions:
    """Open questions by number. All methods are for one event loop."""

    def __init__(self) -> None:
        self._number = 0
        self._open: dict[int, asyncio.Future[bytes]] = {}

    async def ask(
        self, send: Callable[[Question], object], host_id: str, body: bytes, within_s: float
    ) -> bytes:
        """Number a question, `send` it, and wait for its answer.

        Raises: Unavailable if too many are open, the time is over, or the answer is that there is none.
        """
        if len(self._open) >= QUESTIONS_MAX:
            raise Unavailable("too many questions to agents are open; try again in a moment")
        self._number += 1
        number = self._number
        future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._open[number] = future
        try:
            send(Question(number, body, host_id))
            async with asyncio.timeout(within_s):
                return await future
        except TimeoutError:
            raise Unavailable(f"the agent of host {host_id} did not answer within {within_s:g} s") from None
        finally:
            del self._open[number]

    def answer(self, reply: Reply) -> None:
        """An answer has come; nothing if nobody waits for it any more."""
        future = self._open.get(reply.number)
        if future is None or future.done():
            return
        if reply.error:
            future.set_exception(Unavailable(reply.error))
        else:
            future.set_result(reply.body)
