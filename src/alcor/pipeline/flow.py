"""Flows as values: what the encoder sends to a switch and the simulated switch executes.

A flow is f(one *unit* of the view): its cookie is `kind ‖ hash of the unit`, so that flows can be found by what
caused them. Match values are integers in network order; a mask of None matches all bits.
"""

from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple, TypeVar

_Action = TypeVar("_Action")


class Field(Enum):
    """A packet or metadata field: (name as ovs-ofctl prints it, width in bits)."""

    IN_PORT = ("in_port", 32)
    METADATA = ("metadata", 64)
    TUN_ID = ("tun_id", 64)
    TUN_IPV4_SRC = ("tun_src", 32)
    TUN_IPV4_DST = ("tun_dst", 32)
    TUN_IPV6_SRC = ("tun_ipv6_src", 128)
    TUN_IPV6_DST = ("tun_ipv6_dst", 128)
    ETH_SRC = ("eth_src", 48)
    ETH_DST = ("eth_dst", 48)
    ETH_TYPE = ("eth_type", 16)
    VLAN_TCI = ("vlan_tci", 16)
    IP_PROTO = ("nw_proto", 8)
    IP_TTL = ("nw_ttl", 8)
    IPV4_SRC = ("ip_src", 32)
    IPV4_DST = ("ip_dst", 32)
    IPV6_SRC = ("ipv6_src", 128)
    IPV6_DST = ("ipv6_dst", 128)
    TCP_SRC = ("tcp_src", 16)
    TCP_DST = ("tcp_dst", 16)
    UDP_SRC = ("udp_src", 16)
    UDP_DST = ("udp_dst", 16)
    ICMPV4_TYPE = ("icmp_type", 8)
    ICMPV4_CODE = ("icmp_code", 8)
    ICMPV6_TYPE = ("icmpv6_type", 8)
    ICMPV6_CODE = ("icmpv6_code", 8)
    ARP_OP = ("arp_op", 16)
    ARP_SPA = ("arp_spa", 32)
    ARP_TPA = ("arp_tpa", 32)
    ARP_SHA = ("arp_sha", 48)
    ARP_THA = ("arp_tha", 48)
    ND_TARGET = ("nd_target", 128)
    ND_SLL = ("nd_sll", 48)
    ND_TLL = ("nd_tll", 48)
    ND_RESERVED = ("nd_reserved", 32)
    ND_OPTIONS_TYPE = ("nd_options_type", 8)
    REG0 = ("reg0", 32)
    REG1 = ("reg1", 32)
    REG2 = ("reg2", 32)
    REG3 = ("reg3", 32)
    REG4 = ("reg4", 32)
    REG5 = ("reg5", 32)
    REG6 = ("reg6", 32)
    REG7 = ("reg7", 32)
    REG8 = ("reg8", 32)
    REG9 = ("reg9", 32)
    REG10 = ("reg10", 32)
    REG11 = ("reg11", 32)
    REG12 = ("reg12", 32)
    REG13 = ("reg13", 32)
    REG14 = ("reg14", 32)
    REG15 = ("reg15", 32)
    XXREG0 = ("xxreg0", 128)
    XXREG1 = ("xxreg1", 128)

    @property
    def bits(self) -> int:
        """Width in bits."""
        return self.value[1]

    __hash__ = (
        object.__hash__
    )  # members are single objects; Enum's own hash is a Python call, ten times slower


class Term(NamedTuple):
    """One condition of a match."""

    field: Field
    value: int
    mask: int | None = None


Match = tuple[Term, ...]
"""Sorted by field name and without repeated fields, so that equal matches are equal values."""


def _distinct(kind: type[_Action]) -> type[_Action]:
    """Make values of different action classes unequal: a bare NamedTuple is just a tuple, and to a diff
    `Output(5) == Resubmit(5)`, `Push(f) == Pop(f)` and `Controller() == DecTtl()` would hide a change.
    """

    def equal(self: tuple[object, ...], other: object) -> bool:
        return type(self) is type(other) and tuple.__eq__(self, other)

    def unequal(self: tuple[object, ...], other: object) -> bool:
        return not equal(self, other)

    # A tuple's own hash is C-speed; that Output(5) and Resubmit(5) share a hash costs nothing.
    for name, method in (("__eq__", equal), ("__ne__", unequal), ("__hash__", tuple.__hash__)):
        setattr(kind, name, method)
    return kind


@_distinct
class SetField(NamedTuple):
    """Write `value` where `mask` has ones (all bits if None)."""

    field: Field
    value: int
    mask: int | None = None


@_distinct
class Move(NamedTuple):
    """Copy `bits` bits from `source` (from bit `source_offset`) to `target`."""

    source: Field
    target: Field
    bits: int
    source_offset: int = 0
    target_offset: int = 0


@_distinct
class Push(NamedTuple):
    """Push a whole field onto the stack."""

    field: Field


@_distinct
class Pop(NamedTuple):
    """Pop the stack into a whole field."""

    field: Field


@_distinct
class Output(NamedTuple):
    """Send to an OpenFlow port; suppressed if it is the in_port (use `OutputInPort`)."""

    port: int


@_distinct
class OutputInPort(NamedTuple):
    """Send back where it came from."""


@_distinct
class Resubmit(NamedTuple):
    """Continue in another table (by id), then with the following actions."""

    table: int


@_distinct
class Controller(NamedTuple):
    """Punt the packet, whole, to the agent, with metadata and registers."""


@_distinct
class Meter(NamedTuple):
    """Drop what exceeds a meter; must be the first action."""

    id: int


@_distinct
class Clone(NamedTuple):
    """Run the actions on a copy; the packet and its registers go on unchanged."""

    actions: tuple["Action", ...]


@_distinct
class DecTtl(NamedTuple):
    """Decrement the IP TTL or hop limit."""


Action = SetField | Move | Push | Pop | Output | OutputInPort | Resubmit | Controller | Meter | Clone | DecTtl


class FlowKey(NamedTuple):
    """What makes a flow unique in a switch."""

    table: int
    priority: int
    match: Match


@dataclass(frozen=True, slots=True)
class Flow:
    """One row of a flow table. No actions: drop."""

    table: int
    priority: int
    match: Match
    actions: tuple[Action, ...]
    cookie: int

    @property
    def key(self) -> FlowKey:
        """What makes it unique."""
        return FlowKey(self.table, self.priority, self.match)


@dataclass(frozen=True, slots=True)
class MeterSpec:
    """A meter that drops above `rate_pps` packets a second, with a burst of `burst_packets`."""

    id: int
    rate_pps: int
    burst_packets: int


_NAMES = {field: field.name for field in Field}
_BY_KEYWORD = {field.name.lower(): field for field in Field}


def match(**terms: int | tuple[int, int]) -> Match:
    """A match from `field_name=value` or `field_name=(value, mask)`, field names as in `Field`, lower case."""
    found = []
    for name, value in terms.items():
        if isinstance(value, tuple):
            found.append(Term(_BY_KEYWORD[name], value[0] & value[1], value[1]))
        else:
            found.append(Term(_BY_KEYWORD[name], value))
    return tuple(sorted(found, key=lambda term: _NAMES[term.field]))
