"""Flows as values: what the encoder sends to a switch and the simulated switch executes.

A flow is f(one *unit* of the view): its cookie is `kind ‖ hash of the unit`, so that flows can be found by what
caused them. Match values are integers in network order; a mask of None matches all bits.
"""

from dataclasses import dataclass
from enum import Enum, IntFlag
from typing import NamedTuple, TypeVar

_Action = TypeVar("_Action")


class Field(Enum):
    """A packet or metadata field: (name as ovs-ofctl prints it, width in bits).

    CT_STATE (bits: `CtState`), CT_ZONE, CT_MARK and CT_LABEL are 0 until `Conntrack` with a table has looked the
    packet up; CT_IPV4_SRC to CT_PORT_DST are then those of the connection's first packet, before translation. A later
    fragment has no ports, not even these. IP_FRAG (bits: `Fragment`) is 0 for what is no fragment. IP_DSCP and IP_ECN
    are the two parts of the type of service, each as a small number. VLAN_VID is the 12-bit id with 0x1000 for "there
    is a tag"; 0 matches no tag. CONJ_ID is met only by what has fulfilled a conjunction (see `Conjunction`), and never
    written.
    """

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
    VLAN_VID = ("vlan_vid", 13)
    IP_PROTO = ("nw_proto", 8)
    IP_TTL = ("nw_ttl", 8)
    IP_DSCP = ("ip_dscp", 6)
    IP_ECN = ("nw_ecn", 2)
    IP_FRAG = ("ip_frag", 2)
    IPV4_SRC = ("ip_src", 32)
    IPV4_DST = ("ip_dst", 32)
    IPV6_SRC = ("ipv6_src", 128)
    IPV6_DST = ("ipv6_dst", 128)
    TCP_SRC = ("tcp_src", 16)
    TCP_DST = ("tcp_dst", 16)
    TCP_FLAGS = ("tcp_flags", 12)
    UDP_SRC = ("udp_src", 16)
    UDP_DST = ("udp_dst", 16)
    SCTP_SRC = ("sctp_src", 16)
    SCTP_DST = ("sctp_dst", 16)
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
    PKT_MARK = ("pkt_mark", 32)
    CONJ_ID = ("conj_id", 32)
    CT_STATE = ("ct_state", 32)
    CT_ZONE = ("ct_zone", 16)
    CT_MARK = ("ct_mark", 32)
    CT_LABEL = ("ct_label", 128)
    CT_IPV4_SRC = ("ct_nw_src", 32)
    CT_IPV4_DST = ("ct_nw_dst", 32)
    CT_IPV6_SRC = ("ct_ipv6_src", 128)
    CT_IPV6_DST = ("ct_ipv6_dst", 128)
    CT_IP_PROTO = ("ct_nw_proto", 8)
    CT_PORT_SRC = ("ct_tp_src", 16)
    CT_PORT_DST = ("ct_tp_dst", 16)
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
    XXREG2 = ("xxreg2", 128)
    XXREG3 = ("xxreg3", 128)

    @property
    def bits(self) -> int:
        """Width in bits."""
        return self.value[1]

    __hash__ = (
        object.__hash__
    )  # members are single objects; Enum's own hash is a Python call, ten times slower


class CtState(IntFlag):
    """Bits of CT_STATE. A packet that was looked up has TRACKED, and exactly one of NEW, EST, INVALID and (an ICMP
    error that quotes a packet of a known connection) RELATED. REPLY goes with EST and RELATED. SOURCE_NAT and
    DESTINATION_NAT say what this packet was subjected to: a reply to a source translation has DESTINATION_NAT.
    A connection is established when a reply was seen, not before: until then its first direction stays NEW, also
    after the commit (TCP: until the first segment that is not a SYN). What has neither ports nor echo identifier,
    SCTP too, is known by its addresses; ICMP that is neither echo nor an error, and neighbour discovery, is INVALID.
    A match names the bits it means in its mask.
    """

    NEW = 1
    EST = 2
    RELATED = 4
    REPLY = 8
    INVALID = 16
    TRACKED = 32
    SOURCE_NAT = 64
    DESTINATION_NAT = 128


class Fragment(IntFlag):
    """Bits of IP_FRAG: a first fragment has ANY alone and still has its ports, a later one has both and none.
    Matched as 0 (none), (1, 1) (any), 1 (first), 3 or (2, 2) (later) or (0, 2) (not later).
    """

    ANY = 1
    LATER = 2


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
    """Drop what exceeds a meter; must be the first action of the flow, and the only meter in it. A packet that is to
    pass several meters goes through several tables.
    """

    id: int


@_distinct
class Clone(NamedTuple):
    """Run the actions on a copy; the packet and its registers go on unchanged."""

    actions: tuple["Action", ...]


@_distinct
class DecTtl(NamedTuple):
    """Decrement the IP TTL or hop limit. At 0 or 1 the rest of the actions does not happen, and nobody is told: who
    wants to answer matches IP_TTL 0 and 1 before.
    """


class NatRange(NamedTuple):
    """Addresses (as numbers, of IP `version` 4 or 6) and ports to choose from; no ports: keep the port if it is free,
    else any from 1024. `ip_max` None: the one address. The choice is a hash of the connection, the next free one on
    collision. None free: the packet goes on untranslated, NEW, without SOURCE_NAT or DESTINATION_NAT, and nothing is
    kept: who must not leak matches those bits in the next table.
    """

    version: int
    ip_min: int
    ip_max: int | None = None
    port_min: int | None = None
    port_max: int | None = None


class Nat(NamedTuple):
    """What `Conntrack` does to addresses and ports. With a range: for a new connection, choose and keep (needs
    `commit`). With neither: apply what the connection's first packet was given, in the packet's direction.
    Not both ranges in one action.
    """

    source: NatRange | None = None
    destination: NatRange | None = None


@_distinct
class Conntrack(NamedTuple):
    """Look the packet up among the connections of a zone.

    `zone`: its number, or a register whose low 16 bits are it.
    `commit`: keep the connection; `force` too: an existing one in the other direction is forgotten for it.
    `table`: a copy goes on there with CT_… fields set. None: nobody sees them. After this action the packet has none
    of an earlier look-up either, and it too is translated: nothing that must not be may come after `nat`.
    A fragment waits until all have come; then each goes on by itself, with the state of the whole packet.
    `actions`: SetField or Move to CT_MARK and CT_LABEL of the connection; only with `commit`.
    """

    zone: int | Field
    commit: bool = False
    table: int | None = None
    nat: Nat | None = None
    force: bool = False
    actions: tuple["Action", ...] = ()


@_distinct
class ConntrackClear(NamedTuple):
    """Forget what the look-up said: CT_… fields are 0 again."""


@_distinct
class Conjunction(NamedTuple):
    """This flow's match is one alternative of clause `clause` (from 1) of `of` (2 to 64) of conjunction `id`.

    A packet that meets, at one priority, an alternative of every clause meets CONJ_ID=id in the same table; the flow
    that matches on it acts. Several conjunctions may share a flow; no other action may.
    """

    id: int
    clause: int
    of: int


@_distinct
class Group(NamedTuple):
    """Hand the packet to a group, which works on copies: the packet goes on unchanged."""

    id: int


@_distinct
class CheckPacketLarger(NamedTuple):
    """Set bit `bit` of register `target` to whether the frame is longer than `bytes`, counted from the Ethernet header
    with its VLAN tag; clear it otherwise. Ends this packet's way in one go: what follows is done twice, once for
    either answer, so the tables behind it are better few.
    """

    bytes: int
    target: Field
    bit: int


@_distinct
class PushVlan(NamedTuple):
    """Put an 802.1Q tag with id 0 in front; then set VLAN_VID (with 0x1000)."""


@_distinct
class PopVlan(NamedTuple):
    """Take the outer VLAN tag off; the match must say that there is one."""


Action = (
    SetField
    | Move
    | Push
    | Pop
    | Output
    | OutputInPort
    | Resubmit
    | Controller
    | Meter
    | Clone
    | DecTtl
    | Conntrack
    | ConntrackClear
    | Conjunction
    | Group
    | CheckPacketLarger
    | PushVlan
    | PopVlan
)


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


class MeterUnit(Enum):
    """What a meter counts a second: packets, or kilobits (1,000 bits) of whole frames."""

    PPS = "pktps"
    KBPS = "kbps"


@dataclass(frozen=True, slots=True)
class MeterSpec:
    """A meter that drops what is above `rate` units a second; `burst`: how many units may come at once.

    Units: packets, or kilobits. TCP under a meter of kilobits wants a burst of 100 ms of its rate or more.
    """

    id: int
    rate: int
    burst: int
    unit: MeterUnit = MeterUnit.PPS


class GroupKind(Enum):
    """ALL: every bucket. SELECT: one by hash and weight. INDIRECT: the only one. FAST_FAILOVER: the first alive."""

    ALL = "all"
    SELECT = "select"
    INDIRECT = "indirect"
    FAST_FAILOVER = "fast_failover"


class Bucket(NamedTuple):
    """One action list of a group. `weight`: for SELECT, 0 is never chosen. `watch_port`: alive while that port's link
    (with BFD: its session) is up; FAST_FAILOVER needs it, SELECT leaves dead buckets out, None is always alive.
    """

    id: int
    actions: tuple[Action, ...]
    weight: int = 1
    watch_port: int | None = None


@dataclass(frozen=True, slots=True)
class GroupSpec:
    """A group. `hash_fields`, for SELECT alone: the fields whose hash chooses the bucket; none: the switch's own hash
    of the connection's addresses, protocol and ports.
    """

    id: int
    kind: GroupKind
    buckets: tuple[Bucket, ...]
    hash_fields: tuple[Field, ...] = ()


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
