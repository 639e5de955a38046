"""A simulated switch that takes its time, is programmed in more than one step, and is watched."""

import asyncio
from collections.abc import Callable
from random import Random

from alcor.agent.driver import FlowDiff
from alcor.agent.simulated import SimulatedSwitch

ROUND_TRIP_S_MAX = 0.01


class SimSwitch(SimulatedSwitch):
    """`watch`: hears of every change before it is made; `called`: of every call, in its middle."""

    def __init__(self, name: str, random: Random) -> None:
        super().__init__(name)
        self._random = random
        self.watch: Callable[[FlowDiff], None] = lambda diff: None
        self.called: Callable[[], None] = lambda: None
        self.slow_until_s = 0.0

    async def apply(self, diff: FlowDiff) -> None:
        """At once, or what is put first and what is removed later: the agent may die in between."""
        self.watch(diff)
        if (diff.remove or diff.groups_removed or diff.meters_removed) and self._random.random() < 0.3:
            await super().apply(diff.without_removals())
            gone = FlowDiff(
                remove=diff.remove, meters_removed=diff.meters_removed, groups_removed=diff.groups_removed
            )
            await super().apply(gone)
        else:
            await super().apply(diff)

    async def _round_trip(self) -> None:
        self._check()
        late_s = self.slow_until_s - asyncio.get_running_loop().time()
        await asyncio.sleep(max(late_s, self._random.random() ** 2 * ROUND_TRIP_S_MAX))
        self.called()
        self._check()
