"""What PostgreSQL is to several dataplanes: a table of leases, and each one's way to the database, which may be cut."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from copy import deepcopy
from random import Random
from typing import Any, TypeVar

from alcor.dataplane.share import REALIZE, SHARD
from alcor.goalstate.scope import SHARDS
from alcor.model.errors import Unavailable
from alcor.store.lease import LeaseMember, LeaseName, Leases, LeaseStanding
from tests.support.leases import FakeLeases
from tests.support.sim.loop import SimLoop
from tests.support.sim.store import SimStore

T = TypeVar("T")
DELAY_S_MAX = 0.01
GIVEN_UP_S = 8.0
"""A client that gets no answer gives the connection up after so long."""


class RegionLeases(FakeLeases):
    """The table of leases, with generations that are times, as PostgreSQL's are."""

    def __init__(
        self, clock: Callable[[], float], now_ms: Callable[[], int], head: Callable[[], int]
    ) -> None:
        super().__init__(clock, {SHARD: SHARDS, REALIZE: 1}, now_ms)
        self._head = head
        self._backup = deepcopy(self.rows)

    async def renew(self, member: LeaseMember, keep: Collection[LeaseName], ttl_s: float) -> LeaseStanding:
        """As `Leases.renew`; members that went away are forgotten."""
        self.head = self._head()
        now = self._clock()
        self.members = {id: one for id, one in self.members.items() if now - one[1] <= ttl_s}
        return await super().renew(member, keep, ttl_s)

    def back_up(self) -> None:
        """Copy the table as it is now."""
        self._backup = deepcopy(self.rows)

    def restore(self) -> None:
        """Put the copy back: holders that are long dead, and old generations."""
        self.rows = deepcopy(self._backup)
        self.members.clear()


class Line:
    """One process's way to the database. What is asked while it is cut fails, or is not answered."""

    def __init__(self, loop: SimLoop, random: Random) -> None:
        self._loop, self._random = loop, random
        self._cut_until = 0.0
        self._is_silent = False

    def cut(self, seconds: float, *, silent: bool) -> None:
        """Nothing passes for so long. `silent`: nobody says so, packets vanish."""
        self._cut_until = self._loop.time() + seconds
        self._is_silent = silent

    def heal(self) -> None:
        """Everything passes."""
        self._cut_until = 0.0

    async def ask(self, work: Callable[[], Awaitable[T]]) -> T:
        """Do it there and bring the answer back. Raises: Unavailable; then it was done or not."""
        await self._pass()
        found = await work()
        await self._pass()
        return found

    async def _pass(self) -> None:
        await asyncio.sleep(self._random.random() ** 3 * DELAY_S_MAX)
        begun = self._loop.time()
        while self._cut_until > self._loop.time():
            if not self._is_silent or self._loop.time() >= begun + GIVEN_UP_S:
                raise Unavailable("The database cannot be reached.")
            await asyncio.sleep(min(self._cut_until, begun + GIVEN_UP_S) - self._loop.time() + 0.001)


class LeasesByLine:
    """Implements `Leases` over a line."""

    def __init__(self, leases: Leases, line: Line) -> None:
        self._leases, self._line = leases, line

    async def renew(self, member: LeaseMember, keep: Collection[LeaseName], ttl_s: float) -> LeaseStanding:
        """As `Leases.renew`."""
        return await self._line.ask(lambda: self._leases.renew(member, keep, ttl_s))

    async def extend(self, member_id: str, ttl_s: float) -> dict[LeaseName, int]:
        """As `Leases.extend`."""
        return await self._line.ask(lambda: self._leases.extend(member_id, ttl_s))

    async def living(self, ttl_s: float) -> list[LeaseMember]:
        """As `Leases.living`."""
        return await self._line.ask(lambda: self._leases.living(ttl_s))

    async def leave(self, member_id: str) -> None:
        """As `Leases.leave`."""
        await self._line.ask(lambda: self._leases.leave(member_id))

    async def close(self) -> None:
        """As `Leases.close`."""


class _ByLine:
    """Another object whose coroutines travel over a line."""

    def __init__(self, inner: Any, line: Line, names: Sequence[str]) -> None:
        self._inner, self._line = inner, line
        for name in names:
            setattr(self, name, self._over(getattr(inner, name)))

    def _over(self, method: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def ask(*args: Any, **more: Any) -> Any:
            return await self._line.ask(lambda: method(*args, **more))

        return ask

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


def store_by_line(store: SimStore, line: Line) -> Any:
    """The store, as a process sees it at the end of a line."""
    seen = _ByLine(store, line, ("write", "head", "image", "follow", "new_epoch", "wait_beyond"))
    names = ("begin", "put", "forget", "ports", "hosts", "ports_of_host")
    seen.observations = _ByLine(store.observations, line, names)  # type: ignore[attr-defined]  # a view of it
    return seen
