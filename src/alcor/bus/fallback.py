"""An agent's way to one of several ncms: the first that answers, the first of the list again after a while."""

from collections.abc import Callable, Sequence

from alcor.bus.interface import AgentConnector, AgentStream

# How long the others are asked first once the first one has failed.
BACK_S = 60.0


class FallbackConnector:
    """Implements `AgentConnector` over several. Each failure leads to the next attempt's being at the next one.

    clock: monotonic seconds. Positions are those of the region, so that any ncm resumes from them.
    """

    def __init__(
        self, connectors: Sequence[AgentConnector], *, clock: Callable[[], float], back_s: float = BACK_S
    ) -> None:
        self._connectors, self._clock, self._back_s = list(connectors), clock, back_s
        self._place = 0
        self._back_at = 0.0

    async def connect(self) -> AgentStream:
        """Open a stream to the one whose turn it is. Raises: ConnectionError; the next attempt is at the next one."""
        if self._place and self._clock() >= self._back_at:
            self._place = 0
        try:
            return await self._connectors[self._place].connect()
        except ConnectionError:
            if self._place == 0:
                self._back_at = self._clock() + self._back_s
            self._place = (self._place + 1) % len(self._connectors)
            raise
