"""The queue of switch events: bounded, and true to the order Connected … Lost … Connected however slow the reader."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import Final

from alcor.agent.driver import Connected, Lost, PacketIn, SwitchEvent, TunnelHealth, VifsChanged

PACKET_INS_MAX: Final = 1_000
"""Punted packets that wait; above it the newest is dropped (guests ask again). VIF events replace one another."""


class EventQueue:
    """Events between the driver's task and its one reader."""

    def __init__(self) -> None:
        self._waiting: deque[SwitchEvent] = deque()
        self._there = asyncio.Event()
        self._ended = False
        self._packets = 0
        self.packets_dropped = 0

    def connected(self, vifs: VifsChanged) -> None:
        """The switch is there, with these VIFs."""
        self._put(Connected())
        self._put(vifs)

    def lost(self, reason: str) -> None:
        """The switch is gone: what it said before no longer counts."""
        kinds = {type(event) for event in self._waiting}
        self._waiting.clear()
        self._packets = 0
        # A connection the reader never heard of need not be lost to it, unless it still has to hear of a loss before.
        if Connected not in kinds or Lost in kinds:
            self._put(Lost(reason))

    def vifs_changed(self, vifs: VifsChanged) -> None:
        """Other VIFs than before."""
        if self._waiting and isinstance(self._waiting[-1], VifsChanged):
            self._waiting[-1] = vifs
        else:
            self._put(vifs)

    def tunnel_health(self, health: TunnelHealth) -> None:
        """A watched VTEP is up or down; what waits of the same one is no longer true."""
        for event in list(self._waiting):
            if isinstance(event, TunnelHealth) and event.vtep == health.vtep:
                self._waiting.remove(event)
        self._put(health)

    def packet_in(self, packet: PacketIn) -> None:
        """A punted packet; dropped if too many wait."""
        if self._packets >= PACKET_INS_MAX:
            self.packets_dropped += 1
            return
        self._packets += 1
        self._put(packet)

    def end(self) -> None:
        """No more events; the reader's loop ends."""
        self._ended = True
        self._there.set()

    def _put(self, event: SwitchEvent) -> None:
        self._waiting.append(event)
        self._there.set()

    async def read(self) -> AsyncIterator[SwitchEvent]:
        """The events, in order, until `end`."""
        while not self._ended:
            if not self._waiting:
                self._there.clear()
                await self._there.wait()
                continue
            event = self._waiting.popleft()
            if isinstance(event, PacketIn):
                self._packets -= 1
            yield event
