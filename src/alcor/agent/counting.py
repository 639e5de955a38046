"""A switch that counts, and flows folded to one per unit: for thousands of agents in one process (`alcor simulate`).

The agent is the real one, and the pipeline computes every flow; what is kept of them is one small flow per unit, whose
cookie holds how many they are and a hash of them. So the agent's own memory, and the switch's, grow with units and not
with flows (about one tenth), while every comparison the agent makes still sees every change. No packet runs through
it: what traces a packet needs `agent.simulated`.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence

from alcor.agent.driver import (
    Connected,
    ConnectionTuple,
    FlowDiff,
    Lost,
    PortSpec,
    Resumed,
    SwitchError,
    SwitchEvent,
    SwitchTrace,
    TraceEntry,
    VifsChanged,
)
from alcor.pipeline.compile import unit_flows
from alcor.pipeline.flow import Field, Flow, FlowKey, GroupSpec, MeterSpec, Term
from alcor.pipeline.tables import UnitKind
from alcor.pipeline.unit import Unit, cookie_of
from alcor.pipeline.view import Allocation, View

_TUNNELS = {"vxlan": 1, "geneve": 2, "gre": 3}
_VIF_PORTS_FROM = 101
# A unit has at most some thousand flows (a flood of a large network); the rest of the cookie is their hash.
_COUNT_BITS = 20
_HASH_MASK = (1 << 64) - 1
_FOLDED_TABLE = 255


def folded_flows(unit: Unit, view: View, allocation: Allocation) -> tuple[Flow, ...]:
    """The unit's flows as the pipeline computes them, folded into one; none if there are none.

    Two lots of flows of one process are equal iff their folds are (64 bits of Python's hash, so not between
    processes). Cost: `unit_flows`, and a hash of each flow.
    """
    return fold(unit, unit_flows(unit, view, allocation))


def fold(unit: Unit, flows: tuple[Flow, ...]) -> tuple[Flow, ...]:
    """As `folded_flows`, of flows that are at hand."""
    if not flows:
        return ()
    about = (Term(Field.METADATA, cookie_of(unit)),)
    return (Flow(_FOLDED_TABLE, 0, about, (), (hash(flows) & _HASH_MASK) << _COUNT_BITS | len(flows)),)


def no_flows(_unit: Unit, _view: View, _allocation: Allocation) -> tuple[Flow, ...]:
    """Nothing at all: an agent that receives, resolves and acknowledges, and whose pipeline rests."""
    return ()


def flows_in(flow: Flow) -> int:
    """How many flows one in a switch stands for."""
    return flow.cookie & ((1 << _COUNT_BITS) - 1) if flow.table == _FOLDED_TABLE else 1


class CountingSwitch:
    """One host's switch, as the driver's `Switch`. Keeps flows as objects that it shares with its agent."""

    __slots__ = (
        "_listener",
        "_next_ofport",
        "applies",
        "changes",
        "flow_count",
        "flows",
        "groups",
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
        self.flows: dict[FlowKey, Flow] = {}
        self.meters: dict[int, MeterSpec] = {}
        self.groups: dict[int, GroupSpec] = {}
        self.numbers: dict[str, int] = {}
        self.vifs: dict[str, int] = {}
        self.tunnels: dict[str, int] = {}
        self.ports: dict[str, int] = {}
        self.is_up = True
        self.flow_count = 0
        """How many flows a switch would hold."""
        self.applies = 0
        self.changes = 0
        self._listener: asyncio.Queue[SwitchEvent] | None = None
        self._next_ofport = _VIF_PORTS_FROM

    # --- the driver ------------------------------------------------------------------------------------

    async def events(self) -> AsyncIterator[SwitchEvent]:
        """As the driver says."""
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
        await self._round_trip()
        self.numbers |= put
        for name in remove:
            self.numbers.pop(name, None)

    async def ensure_tunnels(self, vteps: Sequence[str], types: Sequence[str]) -> dict[str, int]:
        """As the driver says."""
        await self._round_trip()
        self.tunnels = {type: _TUNNELS[type] for type in types}
        return dict(self.tunnels)

    async def ensure_ports(self, ports: Sequence[PortSpec]) -> dict[str, int]:
        """As the driver says."""
        await self._round_trip()
        names = {port.name for port in ports}
        self.ports = {name: number for name, number in self.ports.items() if name in names}
        for port in ports:
            if port.name not in self.ports:
                self.ports[port.name] = self._take_ofport()
        return dict(self.ports)

    async def compare(
        self,
        desired: Mapping[FlowKey, Flow],
        meters: Sequence[MeterSpec],
        groups: Sequence[GroupSpec] = (),
    ) -> FlowDiff:
        """As the driver says."""
        await self._round_trip()
        present = self.flows
        return FlowDiff(
            [flow for key, flow in desired.items() if present.get(key) != flow],
            [key for key in present if key not in desired],
            [meter for meter in meters if self.meters.get(meter.id) != meter],
            [group for group in groups if self.groups.get(group.id) != group],
            sorted(self.meters.keys() - {meter.id for meter in meters}),
            sorted(self.groups.keys() - {group.id for group in groups}),
        )

    async def apply(self, diff: FlowDiff) -> None:
        """As the driver says."""
        await self._round_trip()
        self.applies += 1
        self.changes += len(diff.put) + len(diff.remove)
        self.meters |= {meter.id: meter for meter in diff.meters}
        self.groups |= {group.id: group for group in diff.groups}
        for flow in diff.put:
            self._forget(flow.key)
            self.flows[flow.key] = flow
            self.flow_count += flows_in(flow)
        for key in diff.remove:
            if not isinstance(key, FlowKey):
                raise SwitchError(f"{self.name}: {key} is not a key of this driver")
            self._forget(key)
        for id in diff.groups_removed:
            self.groups.pop(id, None)
        for id in diff.meters_removed:
            self.meters.pop(id, None)

    async def flush_conntrack(self, zone: int, connection: ConnectionTuple | None = None) -> None:
        """As the driver says: no packet came, so there is no connection."""
        await self._round_trip()

    async def flush_zones(self, zones: Sequence[int]) -> None:
        """As the driver says."""
        await self._round_trip()

    async def dump_conntrack(self, zone: int) -> list[str]:
        """As the driver says."""
        await self._round_trip()
        return []

    async def trace(self, entry: TraceEntry) -> SwitchTrace:
        """Raises: SwitchError: nothing runs through this switch."""
        raise SwitchError(
            f"{self.name} counts its flows and runs no packets: trace on a host with a real switch"
        )

    async def send_packet(self, data: bytes, out_port: int) -> None:
        """As the driver says: the frame is lost."""
        self._check()

    async def resume_packet(self, packet: Resumed) -> None:
        """As the driver says: no packet runs here."""

    async def packet_counts(self, kind: UnitKind, network_key: int = 0) -> dict[int, int]:
        """As the driver says: none was seen."""
        return {}

    async def warm_tunnels(self, vteps: Sequence[str]) -> None:
        """As the driver says."""
        self._check()

    async def close(self) -> None:
        """As the driver says."""
        self._listener = None

    # --- the machine room ------------------------------------------------------------------------------

    def plug(self, iface_ids: Sequence[str]) -> None:
        """Plug VIFs; those that are plugged stay where they are. A port number is never used twice."""
        new = [id for id in iface_ids if id not in self.vifs]
        if new:
            self.vifs |= {id: self._take_ofport() for id in new}
            self._tell(VifsChanged(dict(self.vifs)))

    def unplug(self, iface_ids: Sequence[str]) -> None:
        """Pull VIFs out; those that are not plugged are none."""
        gone = [id for id in iface_ids if self.vifs.pop(id, None) is not None]
        if gone:
            self._tell(VifsChanged(dict(self.vifs)))

    def restart(self) -> None:
        """The switch's process ends and comes back: flows, meters and groups are gone, the database is not."""
        self.flows.clear()
        self.flow_count = 0
        self.meters.clear()
        self.groups.clear()
        self._tell(Lost("the switch was restarted"))
        self._announce()

    def _forget(self, key: FlowKey) -> None:
        before = self.flows.pop(key, None)
        if before is not None:
            self.flow_count -= flows_in(before)

    def _take_ofport(self) -> int:
        ofport, self._next_ofport = self._next_ofport, self._next_ofport + 1
        return ofport

    def _announce(self) -> None:
        self._tell(Connected())
        self._tell(VifsChanged(dict(self.vifs)))

    def _tell(self, event: SwitchEvent) -> None:
        if self._listener is not None:
            self._listener.put_nowait(event)

    def _check(self) -> None:
        if not self.is_up:
            raise SwitchError(f"{self.name}: the switch is down")

    async def _round_trip(self) -> None:
        """As any call to a real switch: others run before its reply."""
        self._check()
        await asyncio.sleep(0)
        self._check()
