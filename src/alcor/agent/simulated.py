"""A switch without a switch: the driver of `pipeline.simulate`, and a fabric of several joined by tunnels.

For machines where Open vSwitch cannot run, and for tests: flows are executed, not measured. What survives what is as
with the real one: flows and the database outlive the agent; a restart of the switch loses flows and meters and keeps
the database.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address

from alcor.agent.driver import (
    ConnectionProtocol,
    ConnectionTuple,
    ExitKind,
    FlowDiff,
    FlowsRefused,
    Lost,
    PacketIn,
    PortSpec,
    RawKey,
    Resumed,
    SwitchError,
    SwitchTrace,
    TraceEntry,
    TraceExit,
    TunnelHealth,
    TunnelPort,
)
from alcor.agent.model_switch import ModelSwitch
from alcor.model.address import Ip, ip_int, ip_version
from alcor.pipeline.conntrack import Connections, End, Tuple, echo_kind
from alcor.pipeline.flow import CtState, Field, Flow, FlowKey, GroupSpec, MeterSpec, Term
from alcor.pipeline.simulate import Emission, SimulatedTables, TunnelMetadata
from alcor.pipeline.tables import COOKIE_KIND_SHIFT, COOKIE_OURS, NETWORK, UnitKind
from alcor.pipeline.text import render, render_actions

# A frame crosses at most one tunnel (from a VM's host to its peer's); more means a loop.
_HOPS_MAX = 4


@dataclass(slots=True)
class MessageCounts:
    """What was sent to the switch: an unchanged view must add nothing (I13)."""

    applies: int = 0
    puts: int = 0
    removes: int = 0
    compares: int = 0
    saves: int = 0

    @property
    def changes(self) -> int:
        """Flow changes."""
        return self.puts + self.removes


class SimulatedSwitch(ModelSwitch):
    """One host's switch, as the driver's `Switch`. `name` is for people."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.tables = SimulatedTables()
        self.port_specs: dict[str, PortSpec] = {}
        self.vteps: tuple[str, ...] = ()
        self.counts = MessageCounts()
        self.sent: list[tuple[int, bytes]] = []
        self.resumed: list[Resumed] = []
        # Packets of the fabric that met each flow.
        self.met: Counter[FlowKey] = Counter()
        self.warmed: set[str] = set()
        # What the next calls that change something fail with: a switch that refuses.
        self.refusals: list[str] = []
        # Which flows it refuses whenever they come.
        self.rejects: Callable[[Flow], bool] = lambda flow: False

    # --- the driver ------------------------------------------------------------------------------------

    async def ensure_tunnels(self, vteps: Sequence[str], types: Sequence[str]) -> dict[str, int]:
        """As the driver says."""
        self.vteps = tuple(vteps)
        return await super().ensure_tunnels(vteps, types)

    async def ensure_ports(self, ports: Sequence[PortSpec]) -> dict[str, int]:
        """As the driver says."""
        numbers = await super().ensure_ports(ports)
        self.port_specs = {port.name: port for port in ports}
        return numbers

    async def save_numbers(self, put: Mapping[str, int], remove: Sequence[str] = ()) -> None:
        """As the driver says."""
        await super().save_numbers(put, remove)
        self.counts.saves += 1

    async def compare(
        self,
        desired: Mapping[FlowKey, Flow],
        meters: Sequence[MeterSpec],
        groups: Sequence[GroupSpec] = (),
    ) -> FlowDiff:
        """As the driver says."""
        await self._round_trip()
        self.counts.compares += 1
        return self._differences(self.tables.flows, self.tables.groups, desired, meters, groups)

    async def apply(self, diff: FlowDiff) -> None:
        """As the driver says."""
        await self._changing()
        rejected = [flow.key for flow in diff.put if self.rejects(flow)]
        if rejected:
            raise FlowsRefused(f"{self.name}: {len(rejected)} bad flows", rejected)
        self.counts.applies += 1
        self.counts.puts += len(diff.put)
        self.counts.removes += len(diff.remove)
        self.meters |= {meter.id: meter for meter in diff.meters}
        for group in diff.groups:
            self.tables.put_group(group)
        for flow in diff.put:
            self.tables.put(flow)
        for key in diff.remove:
            if isinstance(key, RawKey):
                raise SwitchError(f"{self.name}: {key} is not a key of this driver")
            self.tables.remove(key)
        for id in diff.groups_removed:
            self.tables.remove_group(id)
        for id in diff.meters_removed:
            self.meters.pop(id, None)

    async def flush_conntrack(self, zone: int, connection: ConnectionTuple | None = None) -> None:
        """As the driver says."""
        await self._changing()
        if connection is None:
            self.tables.connections.flush(zone)
        else:
            self.tables.connections.forget(zone, _tuple_of(connection))

    async def flush_zones(self, zones: Sequence[int]) -> None:
        """As the driver says."""
        await self._changing()
        for zone in zones:
            self.tables.connections.flush(zone)

    async def dump_conntrack(self, zone: int) -> list[str]:
        """As the driver says."""
        await self._round_trip()
        return self.tables.connections.describe(zone)

    async def trace(self, entry: TraceEntry) -> SwitchTrace:
        """As the driver says; connections that it opens are forgotten."""
        self._check()
        tables = SimulatedTables(self.tables.flows.values(), self.tables.groups.values())
        if entry.is_reply:
            tables.connections = Connections(CtState.TRACKED | CtState.EST | CtState.REPLY)
        number = ip_int(Ip(entry.tunnel_source)) if entry.tunnel_source else 0
        is_v4 = bool(number) and ip_version(Ip(entry.tunnel_source)) == 4
        tunnel = TunnelMetadata(
            entry.tun_id, ipv4_src=number if is_v4 else 0, ipv6_src=0 if is_v4 else number
        )
        emissions, steps = tables.follow(entry.frame, entry.in_port, tunnel if number else None)
        exits = [
            TraceExit(ExitKind.AGENT)
            if each.port is None
            else TraceExit(ExitKind.BACK)
            if each.port == entry.in_port
            else TraceExit(ExitKind.PORT, each.port, str(each.tunnel_end or ""))
            for each in emissions
        ]
        flows = tuple(
            f"{step.table}: {render(step.flow) if step.flow is not None else 'No match.'}" for step in steps
        )
        # An assumed connection is not translated.
        translates = any(
            step.flow is not None and "nat" in render_actions(step.flow.actions) for step in steps
        )
        return SwitchTrace(flows, tuple(exits), is_translated=entry.is_reply and translates)

    async def send_packet(self, data: bytes, out_port: int) -> None:
        """As the driver says; see `sent`."""
        self._check()
        self.sent.append((out_port, data))

    async def resume_packet(self, packet: Resumed) -> None:
        """As the driver says; see `resumed`."""
        self._check()
        self.resumed.append(packet)

    async def packet_counts(self, kind: UnitKind, network_key: int = 0) -> dict[int, int]:
        """As the driver says; see `met`."""
        self._check()
        found: Counter[int] = Counter()
        network = {Term(NETWORK, network_key)} if network_key else set()
        for flow in self.tables.flows.values():
            is_of_kind = flow.cookie >> COOKIE_KIND_SHIFT == (COOKIE_OURS >> COOKIE_KIND_SHIFT | kind)
            if is_of_kind and network <= set(flow.match):
                found[flow.cookie] += self.met[flow.key]
        return dict(found)

    async def flow_fields(self, kind: UnitKind, table: int) -> list[Mapping[str, int]]:
        """As the driver says."""
        await self._round_trip()
        return [
            {term.field.name.lower(): term.value for term in flow.match}
            for flow in self.tables.flows.values()
            if flow.table == table
            and flow.cookie >> COOKIE_KIND_SHIFT == (COOKIE_OURS >> COOKIE_KIND_SHIFT | kind)
        ]

    async def warm_tunnels(self, vteps: Sequence[str]) -> None:
        """As the driver says: notes who was asked for."""
        self._check()
        self.warmed |= set(vteps)

    # --- the machine room ------------------------------------------------------------------------------

    def plug(self, iface_id: str) -> int:
        """Plug a VIF; returns its OpenFlow port. A port number is never used twice."""
        ofport = self.vifs[iface_id] = self._take_ofport()
        self._tell_vifs()
        return ofport

    def unplug(self, iface_id: str) -> None:
        """Pull a VIF out."""
        del self.vifs[iface_id]
        self._tell_vifs()

    def restart(self) -> None:
        """The switch's process ends and comes back: flows and meters are gone, the database is not."""
        self.stop("the switch was restarted")
        self.start()

    def stop(self, reason: str) -> None:
        """The switch's process ends; flows and meters go with it."""
        self.is_up = False
        self.tables = SimulatedTables()
        self.meters.clear()
        self._tell(Lost(reason))

    def start(self) -> None:
        """The switch's process comes back, empty."""
        self.is_up = True
        self._announce()

    def set_health(self, vtep: Ip, *, is_up: bool, was_up: bool = True) -> None:
        """BFD finds a watched VTEP alive or dead: groups that watch its port follow, and the agent hears of it."""
        for name, port in self.port_specs.items():
            if isinstance(port, TunnelPort) and port.remote == vtep:
                number = self.ports[name]
                (self.tables.dead_ports.discard if is_up else self.tables.dead_ports.add)(number)
                self._tell(TunnelHealth(vtep, is_up, was_up))

    def punt(self, packet: PacketIn) -> None:
        """Give the agent a packet."""
        self._tell(packet)

    async def _changing(self) -> None:
        await self._round_trip()
        if self.refusals:
            raise SwitchError(f"{self.name}: {self.refusals.pop(0)}")


def _tuple_of(connection: ConnectionTuple) -> Tuple:
    source, target = ip_address(connection.source), ip_address(connection.target)
    ends = End(int(source), connection.source_port), End(int(target), connection.target_port)
    if connection.protocol is ConnectionProtocol.ICMP:
        identifier = connection.source_port
        ends = End(int(source), identifier), End(int(target), identifier)
        return Tuple(source.version, connection.protocol.value, *ends, echo_kind(connection.target_port))
    return Tuple(source.version, connection.protocol.value, *ends)


@dataclass(frozen=True, slots=True)
class Delivery:
    """A frame that left a switch by a VIF's port."""

    switch: str
    ofport: int
    frame: bytes


@dataclass(slots=True)
class Fabric:
    """Several simulated switches whose tunnels reach each other by VTEP. Keys: switch names."""

    switches: dict[str, SimulatedSwitch] = field(default_factory=dict)

    def add(self, switch: SimulatedSwitch) -> None:
        """Connect a switch; its VTEP is what its agent gives `ensure_tunnels`."""
        self.switches[switch.name] = switch

    def send(self, switch: str, ofport: int, frame: bytes) -> list[Delivery]:
        """What comes out of VIF ports when a VM sends `frame`. Punted packets go to the agent of the switch that
        punts; its answers come out by `answers`. Raises: SimulationError; RuntimeError if a frame loops.
        """
        return self._process(self.switches[switch], frame, ofport, None, 0)

    def answers(self, switch: str) -> list[Delivery]:
        """The frames that the switch's agent has sent since the last call."""
        one = self.switches[switch]
        sent = one.sent
        found = [Delivery(switch, ofport, frame) for ofport, frame in sent]
        sent.clear()
        resumed, one.resumed = one.resumed, []
        for packet in resumed:
            emissions = one.tables.resume(packet.data, packet.table, packet.fields)
            in_port = next((value for field, value, _ in packet.fields if field is Field.IN_PORT), 0)
            found += self._emitted(one, emissions, in_port, 0)
        return found

    def _process(
        self, switch: SimulatedSwitch, frame: bytes, in_port: int, tunnel: TunnelMetadata | None, hops: int
    ) -> list[Delivery]:
        if hops > _HOPS_MAX:
            raise RuntimeError(f"a frame went through more than {_HOPS_MAX} tunnels: {frame.hex()}")
        emissions, steps = switch.tables.follow(frame, in_port, tunnel)
        switch.met.update(step.flow.key for step in steps if step.flow is not None)
        return self._emitted(switch, emissions, in_port, hops)

    def _emitted(
        self, switch: SimulatedSwitch, emissions: Iterable[Emission], in_port: int, hops: int
    ) -> list[Delivery]:
        found = []
        for emission in emissions:
            if emission.port is None:
                fields = {name: value for name, value in emission.fields.items() if name != "in_port"}
                switch.punt(PacketIn(in_port, emission.table, emission.frame, fields))
            elif emission.port in switch.tunnels.values():
                found += self._tunnel(switch, emission, hops)
            elif emission.port in switch.vifs.values():
                found.append(Delivery(switch.name, emission.port, emission.frame))
        return found

    def _tunnel(self, source: SimulatedSwitch, emission: Emission, hops: int) -> list[Delivery]:
        """Through the underlay: to the switch that has the VTEP and a tunnel port of the same type; else lost."""
        type = next(type for type, port in source.tunnels.items() if port == emission.port)
        end = emission.tunnel_end
        if end is None:
            return []
        for switch in self.switches.values():
            if switch.is_up and end in switch.vteps and type in switch.tunnels and switch is not source:
                metadata = _tunnel_metadata(emission.tun_id, source.vteps, end)
                port = switch.tunnels[type]
                return self._process(switch, emission.frame, port, metadata, hops + 1)
        return []


def _tunnel_metadata(tun_id: int, source_vteps: Iterable[str], end: str) -> TunnelMetadata:
    """What the far end learns: the packet comes from the source's address of the end's family."""
    version = ip_address(end).version
    addresses = map(ip_address, source_vteps)
    source = next((int(address) for address in addresses if address.version == version), None)
    if source is None:
        raise RuntimeError(f"a packet for {end} from a host without an address of that family")
    return TunnelMetadata(
        tun_id, ipv4_src=source if version == 4 else 0, ipv6_src=source if version == 6 else 0
    )
