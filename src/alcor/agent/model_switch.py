"""What every switch without a switch does alike: its database, its ports and what it tells its agent; no flows."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence

from alcor.agent.driver import (
    Connected,
    FlowDiff,
    PortSpec,
    SwitchError,
    SwitchEvent,
    VifsChanged,
)
from alcor.pipeline.flow import Flow, FlowKey, GroupSpec, MeterSpec

_TUNNEL_PORTS = {"vxlan": 1, "geneve": 2, "gre": 3}
_VIF_PORTS_FROM = 101


class ModelSwitch:
    """The part of the driver's `Switch` that needs no flows. `name` is for people."""

    __slots__ = (
        "_listener",
        "_next_ofport",
        "is_up",
        "meters",
        "name",
        "numbers",
        "ports",
        "tunnels",
        "vifs",
    )

    def __init__(self, name: str) -> None:
        self.name = name
        self.meters: dict[int, MeterSpec] = {}
        self.numbers: dict[str, int] = {}
        self.vifs: dict[str, int] = {}
        self.tunnels: dict[str, int] = {}
        self.ports: dict[str, int] = {}
        self.is_up = True
        self._listener: asyncio.Queue[SwitchEvent] | None = None
        self._next_ofport = _VIF_PORTS_FROM

    async def events(self) -> AsyncIterator[SwitchEvent]:
        """As the driver says. A new reader (a restarted agent) begins with the state as it is."""
        queue = self._listener = asyncio.Queue()
        if self.is_up:
            self._announce()
        while True:
            yield await queue.get()

    async def load_numbers(self) -> dict[str, int]:
        """As the driver says."""
        await self._round_trip()
        return dict(self.numbers)

    async def save_numbers(self, put: Mapping[str, int], remove: Sequence[str] = ()) -> None:
        """As the driver says."""
        await self._changing()
        self.numbers |= put
        for name in remove:
            self.numbers.pop(name, None)

    async def ensure_tunnels(self, vteps: Sequence[str], types: Sequence[str]) -> dict[str, int]:
        """As the driver says."""
        await self._round_trip()
        self.tunnels = {type: _TUNNEL_PORTS[type] for type in types}
        return dict(self.tunnels)

    async def ensure_ports(self, ports: Sequence[PortSpec]) -> dict[str, int]:
        """As the driver says."""
        await self._changing()
        names = {port.name for port in ports}
        self.ports = {name: number for name, number in self.ports.items() if name in names}
        for port in ports:
            if port.name not in self.ports:
                self.ports[port.name] = self._take_ofport()
        return dict(self.ports)

    async def close(self) -> None:
        """As the driver says."""
        self._listener = None

    def _differences(
        self,
        flows: Mapping[FlowKey, Flow],
        groups: Mapping[int, GroupSpec],
        desired: Mapping[FlowKey, Flow],
        meters: Sequence[MeterSpec],
        desired_groups: Sequence[GroupSpec],
    ) -> FlowDiff:
        """From the flows and groups that are there to those that are wanted. Cost: O(flows)."""
        return FlowDiff(
            [flow for key, flow in desired.items() if flows.get(key) != flow],
            [key for key in flows if key not in desired],
            [meter for meter in meters if self.meters.get(meter.id) != meter],
            tuple(group for group in desired_groups if groups.get(group.id) != group),
            tuple(sorted(self.meters.keys() - {meter.id for meter in meters})),
            tuple(sorted(groups.keys() - {group.id for group in desired_groups})),
        )

    def _take_ofport(self) -> int:
        """A port number is never used twice."""
        ofport, self._next_ofport = self._next_ofport, self._next_ofport + 1
        return ofport

    def _announce(self) -> None:
        self._tell(Connected())
        self._tell_vifs()

    def _tell_vifs(self) -> None:
        self._tell(VifsChanged(dict(self.vifs)))

    def _tell(self, event: SwitchEvent) -> None:
        if self._listener is not None:
            self._listener.put_nowait(event)

    def _check(self) -> None:
        if not self.is_up:
            raise SwitchError(f"{self.name}: the switch is down")

    async def _round_trip(self) -> None:
        """As any call to a real switch: others run before its reply, and the switch may go meanwhile."""
        self._check()
        await asyncio.sleep(0)
        self._check()

    async def _changing(self) -> None:
        """A round trip that changes something."""
        await self._round_trip()
