"""Leases in memory, on a clock in the hands of the test."""

import asyncio
import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from alcor.model.errors import Unavailable
from alcor.store.lease import LeaseMember, LeaseName, LeaseStanding


class Seconds:
    """Monotonic seconds that move only when told."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class _Row:
    holder: str | None = None
    generation: int = 0
    ends: float = 0.0


class FakeLeases:
    """Implements `Leases`, for all members of a test at once.

    away: who cannot reach it. stuck: who gets no answer. least: what a new generation is not lower than.
    """

    def __init__(
        self, clock: Callable[[], float], kinds: Mapping[str, int], least: Callable[[], int] = lambda: 0
    ) -> None:
        self._clock, self._least = clock, least
        self.rows = {
            LeaseName(kind, number): _Row() for kind, count in kinds.items() for number in range(count)
        }
        self.members: dict[str, tuple[LeaseMember, float]] = {}
        self.head = 1
        self.away: set[str] = set()
        self.stuck: set[str] = set()
        self.taken = 0

    async def renew(self, member: LeaseMember, keep: Collection[LeaseName], ttl_s: float) -> LeaseStanding:
        """As `Leases.renew`."""
        if member.id in self.away:
            raise Unavailable("The database is away.")
        now = self._clock()
        self.members[member.id] = (member, now)
        others = [
            each for each, seen in self.members.values() if each.id != member.id and now - seen <= ttl_s
        ]
        held: dict[LeaseName, int] = {}
        sole = {
            name.kind: row.holder for name, row in self.rows.items() if name.kind == "realize" and row.holder
        }
        for name, row in self.rows.items():
            if row.holder == member.id:
                if name in keep:
                    row.ends = now + ttl_s
                    held[name] = row.generation
                else:
                    row.holder = None
        ready = 1 + sum(each.is_ready for each in others)
        for kind in {name.kind for name in self.rows}:
            of_kind = [name for name in self.rows if name.kind == kind]
            lacking = math.ceil(len(of_kind) / ready) - sum(name.kind == kind for name in keep)
            for name in of_kind if member.is_ready else []:
                row = self.rows[name]
                if lacking > 0 and name not in held and (row.holder is None or row.ends < now):
                    generation = max(row.generation + 1, self._least())
                    row.holder, row.generation, row.ends = member.id, generation, now + ttl_s
                    held[name] = row.generation
                    self.taken += 1
                    lacking -= 1
        if member.id in self.stuck:
            await asyncio.Event().wait()
        ends = [
            row.ends - now
            for row in self.rows.values()
            if row.holder not in (None, member.id) and row.ends > now
        ]
        return LeaseStanding(
            held=held, others=others, free_in_s=min(ends, default=None), sole=sole, head=self.head
        )

    async def extend(self, member_id: str, ttl_s: float) -> dict[LeaseName, int]:
        """As `Leases.extend`."""
        if member_id in self.away:
            raise Unavailable("The database is away.")
        now = self._clock()
        if member_id in self.members:
            self.members[member_id] = (self.members[member_id][0], now)
        mine = {name: row for name, row in self.rows.items() if row.holder == member_id}
        for row in mine.values():
            row.ends = now + ttl_s
        return {name: row.generation for name, row in mine.items()}

    async def living(self, ttl_s: float) -> list[LeaseMember]:
        """As `Leases.living`."""
        now = self._clock()
        found = [member for member, seen in self.members.values() if now - seen <= ttl_s]
        return sorted(found, key=lambda member: (not member.is_ready, member.id))

    async def leave(self, member_id: str) -> None:
        """As `Leases.leave`."""
        if member_id in self.away:
            raise Unavailable("The database is away.")
        self.members.pop(member_id, None)
        for row in self.rows.values():
            if row.holder == member_id:
                row.holder = None

    async def close(self) -> None:
        """As `Leases.close`."""
