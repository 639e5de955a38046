"""A switch that counts, and flows folded to one per unit: for thousands of agents in one process (`alcor simulate`).

The agent is the real one, and the pipeline computes every flow; what is kept of them is one small flow per unit, whose
cookie holds how many they are and a hash of them. So the agent's own memory, and the switch's, grow with units and not
with flows (about one tenth), while every comparison the agent makes still sees every change. No packet runs through
it: what traces a packet needs `agent.simulated`.
"""

from collections.abc import Mapping, Sequence

from alcor.agent.driver import (
    ConnectionTuple,
    FlowDiff,
    Lost,
    Resumed,
    SwitchError,
    SwitchTrace,
    TraceEntry,
)
from alcor.agent.model_switch import ModelSwitch
from alcor.pipeline.compile import unit_flows
from alcor.pipeline.flow import Field, Flow, FlowKey, GroupSpec, MeterSpec, Term
from alcor.pipeline.tables import UnitKind
from alcor.pipeline.unit import Unit, cookie_of
from alcor.pipeline.view import Allocation, View

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


class CountingSwitch(ModelSwitch):
    """One host's switch, as the driver's `Switch`. Keeps flows as objects that it shares with its agent."""

    __slots__ = ("applies", "changes", "flow_count", "flows", "groups")

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.flows: dict[FlowKey, Flow] = {}
        self.groups: dict[int, GroupSpec] = {}
        self.flow_count = 0
        """How many flows a switch would hold."""
        self.applies = 0
        self.changes = 0

    # --- the driver ------------------------------------------------------------------------------------

    async def compare(
        self,
        desired: Mapping[FlowKey, Flow],
        meters: Sequence[MeterSpec],
        groups: Sequence[GroupSpec] = (),
    ) -> FlowDiff:
        """As the driver says."""
        await self._round_trip()
        return self._differences(self.flows, self.groups, desired, meters, groups)

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

    async def flow_fields(self, kind: UnitKind, table: int) -> list[Mapping[str, int]]:
        """As the driver says: of folded flows nothing is known."""
        return []

    async def warm_tunnels(self, vteps: Sequence[str]) -> None:
        """As the driver says."""
        self._check()

    # --- the machine room ------------------------------------------------------------------------------

    def plug(self, iface_ids: Sequence[str]) -> None:
        """Plug VIFs; those that are plugged stay where they are. A port number is never used twice."""
        new = [id for id in iface_ids if id not in self.vifs]
        if new:
            self.vifs |= {id: self._take_ofport() for id in new}
            self._tell_vifs()

    def unplug(self, iface_ids: Sequence[str]) -> None:
        """Pull VIFs out; those that are not plugged are none."""
        gone = [id for id in iface_ids if self.vifs.pop(id, None) is not None]
        if gone:
            self._tell_vifs()

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
