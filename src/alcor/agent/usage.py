"""Which of what is held on demand is used: whose flows have met packets since the last look.

The switch counts, nobody else sees every packet. What was not used for long is forgotten by the asker.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from typing import Protocol

from alcor.agent.driver import Switch, SwitchError
from alcor.goalstate.item import ItemKind, Key
from alcor.goalstate.scope import Scope, ScopeKind
from alcor.pipeline.claim import claim_unit
from alcor.pipeline.prefix import entry_of
from alcor.pipeline.remote_set import set_unit
from alcor.pipeline.tables import UnitKind
from alcor.pipeline.unit import cookie_of, neighbour_unit
from alcor.pipeline.view import Allocation, View
from alcor.telemetry.log import get_log

log = get_log("agent")


class Counted(Protocol):
    """Who is told what is used: the asker."""

    def used(self, scope: Scope, keys: Iterable[Key]) -> None:
        """Packets of these held items were seen since the last time."""


class Usage:
    """The looks of one host. Memory: a number per flow unit that is held on demand."""

    def __init__(
        self,
        switch: Switch,
        view: View,
        allocation: Allocation,
        asker: Counted,
        held: Callable[[], Mapping[Scope, Iterable[Key]]],
        sleep: Callable[[float], Awaitable[None]],
        look_s: float,
    ) -> None:
        """`held`: the keys of what is held on demand, by scope. `look_s`: between two looks."""
        self._look_s = look_s
        self._switch, self._view, self._allocation = switch, view, allocation
        self._asker, self._held, self._sleep = asker, held, sleep
        self._before: dict[int, int] = {}
        self._begun = asyncio.Event()

    async def run(self) -> None:
        """Look now and then, while anything is held on demand; until cancelled."""
        while True:
            await self._begun.wait()
            self._begun.clear()
            while self._view.lazy:
                await self._sleep(self._look_s)
                try:
                    await self.look()
                except SwitchError as error:
                    log.debug("usage_unknown", reason=str(error))

    def begin(self) -> None:
        """Something is held on demand, maybe."""
        self._begun.set()

    async def look(self) -> None:
        """Tell the asker what was used since the last look. Cost: O(the flows of what is held on demand)."""
        held = self._held()
        now: dict[int, int] = {}
        if any(scope.kind is ScopeKind.MEMBERS for scope in held):
            now |= await self._switch.packet_counts(UnitKind.SET)
        for scope in held:
            key = self._allocation.network_keys.get(scope.id, 0)
            if scope.kind is ScopeKind.NEIGHBOURS and key:
                for kind in (UnitKind.NEIGHBOUR, UnitKind.CLAIM):
                    now |= await self._switch.packet_counts(kind, key)
        before, self._before = self._before, now
        for scope, keys in held.items():
            # Flows that were put anew begin at 0 again: what differs was used, or has just been put.
            used = [
                key
                for key in keys
                if any(now.get(cookie, 0) != before.get(cookie, 0) for cookie in self._cookies(scope, key))
            ]
            if used:
                self._asker.used(scope, used)

    def _cookies(self, scope: Scope, key: Key) -> Iterator[int]:
        if key.kind is ItemKind.NEIGHBOUR:
            yield cookie_of(neighbour_unit(scope.id, key.id))
        elif key.kind is ItemKind.CLAIM:
            yield cookie_of(claim_unit(scope.id, key.id))
        else:
            member = self._view.members.get(scope.id, {}).get(key.id)
            for cidr in member.cidrs if member is not None else ():
                yield cookie_of(set_unit(entry_of(cidr)))
