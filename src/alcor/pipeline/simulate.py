"""A switch in pure Python: executes exactly our flows on real frames.

It is stricter than a real one: a flow that Open vSwitch would refuse is refused, and a packet for which two flows of
equal priority match and do different things is an error. Meters let everything through, time does not pass: connections
and waiting fragments stay until they are flushed. Cost: O(shapes of matches) per look-up, some 20 µs per table.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, assert_never

from alcor.model.address import Ip, ip_of_int
from alcor.pipeline.conntrack import Connections, Verdict
from alcor.pipeline.flow import (
    Action,
    Bucket,
    CheckPacketLarger,
    Clone,
    Conjunction,
    Conntrack,
    ConntrackClear,
    Controller,
    DecTtl,
    Field,
    Flow,
    FlowKey,
    Fragment,
    Group,
    GroupKind,
    GroupSpec,
    Meter,
    Move,
    Output,
    OutputInPort,
    Pop,
    PopVlan,
    Push,
    PushVlan,
    Resubmit,
    SetField,
)
from alcor.pipeline.fragment import Fragments
from alcor.pipeline.frame import Frame
from alcor.pipeline.lookup import Rows, SimulationError
from alcor.pipeline.prerequisite import FlowRefused, check, check_group
from alcor.pipeline.text import render, table_name

__all__ = ["Emission", "SimulatedTables", "SimulationError", "Step", "TunnelMetadata", "render_trace"]

# As Open vSwitch bounds one packet: nested, and in all.
DEPTH_MAX = 64
RESUBMITS_MAX = 4_096

_WIDE = {
    Field[f"XXREG{number}"]: tuple(Field[f"REG{4 * number + part}"] for part in range(4))
    for number in range(4)
}
_CONNECTION = (
    Field.CT_STATE,
    Field.CT_ZONE,
    Field.CT_MARK,
    Field.CT_LABEL,
    Field.CT_IPV4_SRC,
    Field.CT_IPV4_DST,
    Field.CT_IPV6_SRC,
    Field.CT_IPV6_DST,
    Field.CT_IP_PROTO,
    Field.CT_PORT_SRC,
    Field.CT_PORT_DST,
)
_CARRIED = (
    Field.IN_PORT,
    Field.METADATA,
    Field.TUN_ID,
    Field.TUN_IPV4_SRC,
    Field.TUN_IPV4_DST,
    Field.TUN_IPV6_SRC,
    Field.TUN_IPV6_DST,
    Field.PKT_MARK,
    *_CONNECTION,
    *(Field[f"REG{n}"] for n in range(16)),
)
"""Fields that belong to the packet's way through this switch, not to the frame."""


class Step(NamedTuple):
    """One look-up: the table and what matched; None is a miss, hence a drop."""

    table: int
    flow: Flow | None


@dataclass(frozen=True, slots=True)
class Emission:
    """A packet that leaves the switch.

    `port`: an OpenFlow port, or None for the agent.
    `fields`: registers, metadata and tunnel fields that are not 0, by name as in `Field`, and in_port.
    `table`: where it left. `trace`: the look-ups until then.
    """

    port: int | None
    frame: bytes
    fields: Mapping[str, int]
    table: int
    trace: tuple[Step, ...]

    @property
    def tun_id(self) -> int:
        """The tunnel id it was given; 0 if none."""
        return self.fields.get(Field.TUN_ID.value[0], 0)

    @property
    def tunnel_end(self) -> Ip | None:
        """The VTEP it was given; None if none. As in a real switch an IPv4 end wins over an IPv6 one."""
        for end, version in ((Field.TUN_IPV4_DST, 4), (Field.TUN_IPV6_DST, 6)):
            number = self.fields.get(end.value[0], 0)
            if number:
                return ip_of_int(number, version)
        return None


@dataclass(frozen=True, slots=True)
class TunnelMetadata:
    """What a tunnel port knows of a packet. Addresses as numbers; 0 where it is of the other family."""

    tun_id: int
    ipv4_src: int = 0
    ipv6_src: int = 0


class _Held(Exception):
    """A fragment waits for the others: nothing more happens to it now."""


@dataclass(slots=True)
class _Packet:
    frame: Frame
    carried: dict[Field, int]
    stack: list[int] = field(default_factory=list)
    verdict: Verdict | None = None

    def copy(self) -> "_Packet":
        return _Packet(self.frame.copy(), dict(self.carried), list(self.stack), self.verdict)

    def read(self, field: Field) -> int:
        if field in _WIDE:
            value = 0
            for part in _WIDE[field]:
                value = value << 32 | self.carried[part]
            return value
        return self.carried[field] if field in self.carried else self.frame.read(field)

    def write(self, field: Field, value: int) -> None:
        if field in _WIDE:
            for shift, part in zip((96, 64, 32, 0), _WIDE[field], strict=True):
                self.carried[part] = value >> shift & 0xFFFF_FFFF
        elif field in self.carried:
            self.carried[field] = value
        else:
            self.frame.write(field, value)

    def know(self, zone: int, verdict: Verdict | None) -> None:
        """Set the fields of a look-up's verdict, or clear them."""
        self.verdict = verdict
        self.carried.update(dict.fromkeys(_CONNECTION, 0))
        if verdict is None:
            return
        self.carried[Field.CT_STATE], self.carried[Field.CT_ZONE] = int(verdict.state), zone
        if verdict.connection is not None:
            self.carried[Field.CT_MARK] = verdict.connection.mark
            self.carried[Field.CT_LABEL] = verdict.connection.label
        original = verdict.original
        if original is not None:
            source, target = (
                (Field.CT_IPV4_SRC, Field.CT_IPV4_DST)
                if original.version == 4
                else (Field.CT_IPV6_SRC, Field.CT_IPV6_DST)
            )
            self.carried[source], self.carried[target] = original.source.address, original.target.address
            self.carried[Field.CT_IP_PROTO] = original.protocol
            if self.frame.read(Field.IP_FRAG) & Fragment.LATER:
                return  # as the switch reads ports: of no later fragment, not even these
            ports = (original.kind >> 8 & 0xFF, original.kind & 0xFF) if original.kind else None
            self.carried[Field.CT_PORT_SRC], self.carried[Field.CT_PORT_DST] = ports or (
                original.source.port,
                original.target.port,
            )


class SimulatedTables:
    """The flow tables, groups and connections of one switch. `dead_ports`: those whose link (or BFD) is down.

    Raises (all that put): FlowRefused if a real switch would refuse a flow or group; one that names a group which is
    not there too.
    """

    def __init__(self, flows: Iterable[Flow] = (), groups: Iterable[GroupSpec] = ()) -> None:
        self._tables: dict[int, Rows] = {}
        self._flows: dict[FlowKey, Flow] = {}
        self._groups: dict[int, GroupSpec] = {}
        self.connections = Connections()
        self.fragments: Fragments[_Packet] = Fragments()
        self.dead_ports: set[int] = set()
        for group in groups:
            self.put_group(group)
        for flow in flows:
            self.put(flow)

    @property
    def flows(self) -> Mapping[FlowKey, Flow]:
        """All flows."""
        return self._flows

    @property
    def groups(self) -> Mapping[int, GroupSpec]:
        """All groups."""
        return self._groups

    def put(self, flow: Flow) -> None:
        """Add a flow, or replace the one with its key."""
        check(flow)
        for id in _groups_of(flow.actions):
            if id not in self._groups:
                raise FlowRefused(f"{render(flow)}: there is no group {id}")
        self._flows[flow.key] = flow
        self._tables.setdefault(flow.table, Rows()).put(flow)

    def remove(self, key: FlowKey) -> None:
        """Remove one flow; nothing if it is not there."""
        if self._flows.pop(key, None) is not None:
            self._tables[key.table].remove(key)

    def put_group(self, group: GroupSpec) -> None:
        """Add a group, or replace the one with its number."""
        check_group(group)
        self._groups[group.id] = group

    def remove_group(self, id: int) -> None:
        """Remove a group, and all flows that use it; nothing if it is not there."""
        self._groups.pop(id, None)
        for key in [key for key, flow in self._flows.items() if id in _groups_of(flow.actions)]:
            self.remove(key)

    def process(self, frame: bytes, in_port: int, tunnel: TunnelMetadata | None = None) -> list[Emission]:
        """What leaves the switch when `frame` enters it by `in_port`. Raises: SimulationError."""
        return self.follow(frame, in_port, tunnel)[0]

    def follow(
        self, frame: bytes, in_port: int, tunnel: TunnelMetadata | None = None
    ) -> tuple[list[Emission], list[Step]]:
        """As `process`, and all look-ups made, in order."""
        carried = dict.fromkeys(_CARRIED, 0)
        carried[Field.IN_PORT] = in_port
        if tunnel is not None:
            carried[Field.TUN_ID] = tunnel.tun_id
            carried[Field.TUN_IPV4_SRC], carried[Field.TUN_IPV6_SRC] = tunnel.ipv4_src, tunnel.ipv6_src
        run = _Run(self, self._tables)
        run.start(_Packet(Frame(frame), carried))
        return run.emissions, run.steps

    def resume(self, frame: bytes, table: int, fields: Iterable[SetField]) -> list[Emission]:
        """What leaves the switch when its agent has a punted frame go on in a table. Raises: SimulationError."""
        packet = _Packet(Frame(frame), dict.fromkeys(_CARRIED, 0))
        for written, value, _ in fields:
            packet.write(written, value)
        run = _Run(self, self._tables)
        run.start(packet, table)
        return run.emissions


def _groups_of(actions: Iterable[Action]) -> Iterator[int]:
    for action in actions:
        if isinstance(action, Group):
            yield action.id
        elif isinstance(action, Clone):
            yield from _groups_of(action.actions)


class _Run:
    """One packet's way."""

    def __init__(self, switch: SimulatedTables, tables: Mapping[int, Rows]) -> None:
        self._switch = switch
        self._tables = tables
        self.emissions: list[Emission] = []
        self.steps: list[Step] = []

    def start(self, packet: _Packet, table: int = 0) -> None:
        try:
            self.table(table, packet, depth=0)
        except _Held:
            return

    def table(self, table: int, packet: _Packet, depth: int) -> None:
        if depth > DEPTH_MAX or len(self.steps) > RESUBMITS_MAX:
            raise SimulationError(f"the packet has no end: {render_trace(self.steps[:DEPTH_MAX])}")
        rows = self._tables.get(table)
        flow = rows.find(packet.read) if rows is not None else None
        self.steps.append(Step(table, flow))
        if flow is not None:
            self._execute(flow.actions, table, packet, depth)

    def _execute(self, actions: Iterable[Action], table: int, packet: _Packet, depth: int) -> None:
        for action in actions:
            match action:
                case SetField(field, value, mask):
                    kept = packet.read(field) & ~mask if mask is not None else 0
                    packet.write(field, kept | value)
                case Move():
                    _move(action, packet)
                case Push(field):
                    packet.stack.append(packet.read(field))
                case Pop(field):
                    if not packet.stack:
                        raise SimulationError(f"table {table} pops an empty stack")
                    packet.write(field, packet.stack.pop())
                case Output(port):
                    # A switch never sends a packet back where it came from.
                    if port != packet.read(Field.IN_PORT):
                        self._emit(port, table, packet)
                case OutputInPort():
                    self._emit(packet.read(Field.IN_PORT), table, packet)
                case Controller():
                    self._emit(None, table, packet)
                case Resubmit(target):
                    self.table(target, packet, depth + 1)
                case Clone(inner):
                    self._aside(inner, table, packet, depth)
                case DecTtl():
                    if packet.read(Field.IP_TTL) <= 1:
                        return  # the rest of the actions does not happen
                    packet.write(Field.IP_TTL, packet.read(Field.IP_TTL) - 1)
                case Conntrack():
                    self._conntrack(action, packet, depth)
                case Group(id):
                    self._group(id, table, packet, depth)
                case Meter() | Conjunction():
                    pass
                case _:
                    _execute_plain(action, packet)

    def _aside(self, actions: Iterable[Action], table: int, packet: _Packet, depth: int) -> None:
        try:
            self._execute(actions, table, packet.copy(), depth + 1)
        except _Held:
            return

    def _group(self, id: int, table: int, packet: _Packet, depth: int) -> None:
        group = self._switch.groups.get(id)
        if group is None or depth > DEPTH_MAX:
            raise SimulationError(f"table {table}: there is no group {id}, or it has no end")
        for bucket in _choose(group, packet, self._switch.dead_ports):
            self._aside(bucket.actions, table, packet, depth)

    def _conntrack(self, action: Conntrack, packet: _Packet, depth: int) -> None:
        zone = action.zone if isinstance(action.zone, int) else packet.read(action.zone) & 0xFFFF
        parts = [packet]
        whole = packet.frame
        if packet.read(Field.IP_FRAG):
            gathered = self._switch.fragments.gather(zone, packet.frame)
            if gathered is None:
                raise _Held
            whole, pieces = gathered
            parts = [packet.copy() for _ in pieces]
            for part, piece in zip(parts, pieces, strict=True):
                part.frame = piece
        earlier = packet.verdict if packet.carried[Field.CT_ZONE] == zone else None
        verdict = self._switch.connections.track(
            zone, whole, earlier=earlier, commit=action.commit, force=action.force, nat=action.nat
        )
        if verdict.connection is not None and action.actions:
            _mark(action.actions, packet, verdict)
        if whole is not packet.frame:
            self._switch.fragments.share(whole, [part.frame for part in parts])
        if action.table is not None:
            for part in parts:
                onward = part.copy()
                onward.know(zone, verdict)
                onward.stack = list(packet.stack)
                self._recirculate(action.table, onward, depth)
        packet.know(zone, None)
        if parts[-1] is not packet:
            packet.frame = parts[-1].frame

    def _recirculate(self, table: int, packet: _Packet, depth: int) -> None:
        try:
            self.table(table, packet, depth + 1)
        except _Held:
            return

    def _emit(self, port: int | None, table: int, packet: _Packet) -> None:
        fields = {field.value[0]: value for field, value in packet.carried.items() if value}
        frame = packet.frame.copy().to_bytes()
        self.emissions.append(Emission(port, frame, fields, table, tuple(self.steps)))


def _execute_plain(action: ConntrackClear | CheckPacketLarger | PushVlan | PopVlan, packet: _Packet) -> None:
    match action:
        case ConntrackClear():
            packet.know(0, None)
        case CheckPacketLarger(size, target, bit):
            rest = packet.read(target) & ~(1 << bit)
            packet.write(target, rest | (len(packet.frame.data) > size) << bit)
        case PushVlan():
            packet.frame.push_vlan()
        case PopVlan():
            packet.frame.pop_vlan()
        case _:
            assert_never(action)


def _mark(actions: Iterable[Action], packet: _Packet, verdict: Verdict) -> None:
    """Write mark and label of a connection; registers are read from the packet."""
    connection = verdict.connection
    if connection is None:
        return
    scratch = packet.copy()
    scratch.carried[Field.CT_MARK], scratch.carried[Field.CT_LABEL] = connection.mark, connection.label
    for action in actions:
        match action:
            case SetField(field, value, mask):
                kept = scratch.read(field) & ~mask if mask is not None else 0
                scratch.write(field, kept | value)
            case Move():
                _move(action, scratch)
    connection.mark, connection.label = scratch.carried[Field.CT_MARK], scratch.carried[Field.CT_LABEL]


_CONNECTION_FIELDS = (
    *(Field.IPV4_SRC, Field.IPV4_DST, Field.IPV6_SRC, Field.IPV6_DST, Field.IP_PROTO),
    *(Field.TCP_SRC, Field.TCP_DST, Field.UDP_SRC, Field.UDP_DST, Field.SCTP_SRC, Field.SCTP_DST),
    *(Field.ETH_SRC, Field.ETH_DST, Field.ETH_TYPE),
)


def _choose(group: GroupSpec, packet: _Packet, dead_ports: set[int]) -> list[Bucket]:
    """The buckets that get the packet. SELECT: the highest of weight times hash of (bucket, fields)."""
    if group.kind in (GroupKind.ALL, GroupKind.INDIRECT):
        return list(group.buckets)
    alive = [bucket for bucket in group.buckets if bucket.watch_port not in dead_ports]
    if group.kind is GroupKind.FAST_FAILOVER:
        return alive[:1]
    values = [packet.read(field) for field in group.hash_fields or _CONNECTION_FIELDS]

    def score(bucket: Bucket) -> int:
        text = repr((bucket.id, values)).encode()
        return int.from_bytes(hashlib.blake2b(text, digest_size=2).digest(), "big") * bucket.weight

    weighty = [bucket for bucket in alive if bucket.weight]
    return [max(weighty, key=score)] if weighty else []


def _move(move: Move, packet: _Packet) -> None:
    ones = (1 << move.bits) - 1
    value = packet.read(move.source) >> move.source_offset & ones
    kept = packet.read(move.target) & ~(ones << move.target_offset)
    packet.write(move.target, kept | value << move.target_offset)


def render_trace(steps: Iterable[Step]) -> str:
    """One line per look-up: the table and the flow that matched."""
    return "\n".join(_render_steps(steps))


def _render_steps(steps: Iterable[Step]) -> Iterator[str]:
    for step in steps:
        yield f"{table_name(step.table)}: {render(step.flow) if step.flow is not None else 'no match, drop'}"
