"""Long work in slices: everybody else has a turn between two of them."""

import asyncio


class Pace:
    """Counts units of work, and gives way after every `units_max` of them. What lies between two calls is one piece."""

    def __init__(self, units_max: int) -> None:
        self._units_max, self._spent = units_max, 0

    async def spend(self, units: int = 1) -> None:
        """So much was done."""
        self._spent += units
        if self._spent >= self._units_max:
            self._spent = 0
            await asyncio.sleep(0)
