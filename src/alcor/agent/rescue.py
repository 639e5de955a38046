"""Programs the switches of neighbours whose agents are dead, each by an agent of its own, while a lease stands."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

from alcor.agent.driver import SwitchError
from alcor.agent.session import full_jitter
from alcor.goalstate.item import RescueItem
from alcor.pipeline.view import View
from alcor.telemetry.log import get_log

log = get_log("agent")

LOOK_S = 0.1
"""Between two looks at the leases: a dictionary with an entry or none."""
RETRY_S_BASE = 0.2
RETRY_S_MAX = 5.0


class Work(Protocol):
    """One rescue, to its end."""

    async def __call__(self, rescue: RescueItem, /) -> str:
        """Program the switch; returns why that is over. Raises: SwitchError if it cannot be reached."""


class Rescuer:
    """Begins and ends rescues as leases come and go. Bound: one task per lease that names this host."""

    def __init__(
        self,
        host_id: str,
        view: Callable[[], View],
        work: Work,
        *,
        random: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """`view`: what this host's own agent knows."""
        self._host_id, self._view, self._work = host_id, view, work
        self._random, self._sleep = random, sleep
        self._running: dict[str, tuple[RescueItem, asyncio.Task[None]]] = {}

    async def run(self) -> None:
        """Follow the leases until cancelled; switches keep their flows."""
        try:
            while True:
                await self.look()
                await self._sleep(LOOK_S)
        finally:
            await self._end(list(self._running))

    async def look(self) -> None:
        """Do once what the leases ask for."""
        wanted = {
            id: rescue for id, rescue in self._view().rescues.items() if rescue.rescuer_id == self._host_id
        }
        await self._end([id for id, (rescue, _) in self._running.items() if wanted.get(id) != rescue])
        for id, rescue in wanted.items():
            if id not in self._running:
                task = asyncio.create_task(self._rescue(rescue), name=f"rescue-{id}")
                self._running[id] = (rescue, task)

    async def _end(self, ids: list[str]) -> None:
        ended = [self._running.pop(id)[1] for id in ids]
        for task in ended:
            task.cancel()
        await asyncio.gather(*ended, return_exceptions=True)
        for id in ids:
            log.info("rescue_ended", host=id)

    async def _rescue(self, rescue: RescueItem) -> None:
        """Until it is over for good; a lease that was superseded is not taken up again."""
        attempt = 0
        while True:
            log.info("rescue_begun", host=rescue.id, lease=rescue.generation, addresses=rescue.addresses)
            try:
                reason = await self._work(rescue)
                log.info("rescue_over", host=rescue.id, lease=rescue.generation, reason=reason)
                return
            except SwitchError as error:
                log.warning("rescue_failed", host=rescue.id, reason=str(error))
            except Exception:
                # The edge of the loop: a rescue may fail, this host's own agent goes on.
                log.exception("rescue_failed", host=rescue.id)
            await self._sleep(full_jitter(attempt, self._random, base_s=RETRY_S_BASE, max_s=RETRY_S_MAX))
            attempt += 1
