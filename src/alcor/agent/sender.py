"""What the agent sends by the switch: frames of packet handlers, and packets that waited."""

import asyncio
from collections.abc import Iterable

from alcor.agent.driver import Resumed, Switch, SwitchError
from alcor.agent.handler import Frame
from alcor.agent.waiting import HELD_MAX
from alcor.pipeline.live import ofport_of
from alcor.pipeline.trunk import with_tag
from alcor.pipeline.view import Allocation, View
from alcor.telemetry.log import get_log

log = get_log("agent")

# Frames on their way to the switch; what comes when so many wait is not sent, and the client asks again. All packets
# that wait may come on top at once.
FRAMES_WAITING_MAX = 256


class Sender:
    """The way to the switch, in order. `dropped`: what found no place."""

    def __init__(self, switch: Switch, view: View, allocation: Allocation) -> None:
        """`view`, `allocation`: the agent's own, changed in place."""
        self._switch, self._view, self._allocation = switch, view, allocation
        self._queue: asyncio.Queue[Frame | Resumed] = asyncio.Queue(FRAMES_WAITING_MAX + HELD_MAX)
        self.dropped = 0

    def send(self, packets: Iterable[Frame | Resumed]) -> None:
        """Send these; at once returns."""
        for packet in packets:
            try:
                self._queue.put_nowait(packet)
            except asyncio.QueueFull:
                self.dropped += 1

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            packet = await self._queue.get()
            try:
                if isinstance(packet, Resumed):
                    await self._switch.resume_packet(packet)
                else:
                    await self._send(packet)
            except SwitchError as error:
                log.debug("frame_lost", frame=type(packet).__name__, reason=str(error))

    async def _send(self, frame: Frame) -> None:
        data = frame.data
        if frame.port_id:
            port = self._view.ports.get(frame.port_id)
            # A VIF that went while the frame waited must not get another's: its number may be another's now.
            if port is None or ofport_of(port, self._view, self._allocation) != frame.ofport:
                return
            data = with_tag(data, None if port.trunk is None else port.trunk.vlan)
        await self._switch.send_packet(data, frame.ofport)
