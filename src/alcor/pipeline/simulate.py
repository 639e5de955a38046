"""A switch in pure Python: executes exactly our flows on real frames.

It is stricter than a real one: a flow that Open vSwitch would refuse is refused, and a packet for which two flows of
equal priority match is an error instead of a choice. Meters let everything through. Cost: O(shapes of matches) per
look-up, some 20 µs per table.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, assert_never

from alcor.model.address import Ip, ip_of_int
from alcor.pipeline.flow import (
    Action,
    Clone,
    Controller,
    DecTtl,
    Field,
    Flow,
    FlowKey,
    Meter,
    Move,
    Output,
    OutputInPort,
    Pop,
    Push,
    Resubmit,
    SetField,
)
from alcor.pipeline.frame import Frame
from alcor.pipeline.prerequisite import check
from alcor.pipeline.text import render, table_name

# As Open vSwitch bounds one packet: nested, and in all.
DEPTH_MAX = 64
RESUBMITS_MAX = 4_096

_WIDE = {
    Field.XXREG0: (Field.REG0, Field.REG1, Field.REG2, Field.REG3),
    Field.XXREG1: (Field.REG4, Field.REG5, Field.REG6, Field.REG7),
}
_CARRIED = (
    Field.IN_PORT,
    Field.METADATA,
    Field.TUN_ID,
    Field.TUN_IPV4_SRC,
    Field.TUN_IPV4_DST,
    Field.TUN_IPV6_SRC,
    Field.TUN_IPV6_DST,
    *(Field[f"REG{n}"] for n in range(16)),
)
"""Fields that belong to the packet's way through this switch, not to the frame."""


class SimulationError(Exception):
    """The flows are wrong: an ambiguous look-up, or a packet without an end."""


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


@dataclass(slots=True)
class _Packet:
    frame: Frame
    carried: dict[Field, int]
    stack: list[int] = field(default_factory=list)

    def copy(self) -> "_Packet":
        return _Packet(self.frame.copy(), dict(self.carried), list(self.stack))

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


_Shape = tuple[tuple[Field, int | None], ...]


class _Rows:
    """One table, by the shape of matches, so that a look-up is one hash per shape."""

    def __init__(self) -> None:
        self._shapes: dict[_Shape, dict[tuple[int, ...], dict[int, Flow]]] = {}

    def put(self, flow: Flow) -> None:
        shape = tuple((term.field, term.mask) for term in flow.match)
        values = tuple(term.value for term in flow.match)
        self._shapes.setdefault(shape, {}).setdefault(values, {})[flow.priority] = flow

    def remove(self, key: FlowKey) -> None:
        shape = tuple((term.field, term.mask) for term in key.match)
        values = tuple(term.value for term in key.match)
        by_values = self._shapes[shape]
        del by_values[values][key.priority]
        if not by_values[values]:
            del by_values[values]
        if not by_values:
            del self._shapes[shape]

    def find(self, packet: _Packet) -> Flow | None:
        best: Flow | None = None
        rival: Flow | None = None
        for shape, by_values in self._shapes.items():
            values = tuple(
                packet.read(field) if mask is None else packet.read(field) & mask for field, mask in shape
            )
            rows = by_values.get(values)
            if not rows:
                continue
            row = rows[max(rows)]
            if best is None or row.priority > best.priority:
                best, rival = row, None
            elif row.priority == best.priority:
                rival = row
        if best is not None and rival is not None:
            raise SimulationError(f"two flows match one packet: {render(best)} and {render(rival)}")
        return best


class SimulatedTables:
    """The flow tables of one switch. Raises (all that put): FlowRefused if a real switch would refuse a flow."""

    def __init__(self, flows: Iterable[Flow] = ()) -> None:
        self._tables: dict[int, _Rows] = {}
        self._flows: dict[FlowKey, Flow] = {}
        for flow in flows:
            self.put(flow)

    @property
    def flows(self) -> Mapping[FlowKey, Flow]:
        """All flows."""
        return self._flows

    def put(self, flow: Flow) -> None:
        """Add a flow, or replace the one with its key."""
        check(flow)
        self._flows[flow.key] = flow
        self._tables.setdefault(flow.table, _Rows()).put(flow)

    def remove(self, key: FlowKey) -> None:
        """Remove one flow; nothing if it is not there."""
        if self._flows.pop(key, None) is not None:
            self._tables[key.table].remove(key)

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
        run = _Run(self._tables)
        run.table(0, _Packet(Frame(frame), carried), depth=0)
        return run.emissions, run.steps


class _Run:
    """One packet's way."""

    def __init__(self, tables: Mapping[int, _Rows]) -> None:
        self._tables = tables
        self.emissions: list[Emission] = []
        self.steps: list[Step] = []

    def table(self, table: int, packet: _Packet, depth: int) -> None:
        if depth > DEPTH_MAX or len(self.steps) > RESUBMITS_MAX:
            raise SimulationError(f"the packet has no end: {render_trace(self.steps[:DEPTH_MAX])}")
        rows = self._tables.get(table)
        flow = rows.find(packet) if rows is not None else None
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
                    self._execute(inner, table, packet.copy(), depth)
                case DecTtl():
                    if packet.read(Field.IP_TTL) <= 1:
                        return  # the rest of the actions does not happen
                    packet.write(Field.IP_TTL, packet.read(Field.IP_TTL) - 1)
                case Meter():
                    pass
                case _:
                    assert_never(action)

    def _emit(self, port: int | None, table: int, packet: _Packet) -> None:
        fields = {field.value[0]: value for field, value in packet.carried.items() if value}
        frame = packet.frame.copy().to_bytes()
        self.emissions.append(Emission(port, frame, fields, table, tuple(self.steps)))


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
