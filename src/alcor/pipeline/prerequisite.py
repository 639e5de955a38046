"""What a switch demands of a flow, checked in one place: `check` accepts exactly what Open vSwitch accepts of ours.

A field exists only in some packets, so a match on it, or an action that writes it, needs the match to say so: a UDP
port needs `eth_type` and `ip_proto`. Actions are judged by the flow's match alone: `set_field:136->icmpv6_type` does
not make `nd_tll` legal in the same flow; only a VLAN tag that was pushed counts from then on. The buckets of a group
have no match, and a switch lets them write anything: whoever hands packets to a group answers for them.
Stricter than the switch, where it would accept what can only be a mistake: packets move forward, VLAN_VID is not
moved or pushed, conjunctions are not numbered 0. Source: ovs-fields(7), ovs-actions(7); tried on Open vSwitch 3.1.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import assert_never

from alcor.pipeline.flow import (
    Action,
    CheckPacketLarger,
    Clone,
    Conjunction,
    Conntrack,
    ConntrackClear,
    Controller,
    CtState,
    DecTtl,
    Field,
    Flow,
    Group,
    GroupKind,
    GroupSpec,
    Meter,
    Move,
    Nat,
    NatRange,
    Output,
    OutputInPort,
    Pop,
    PopVlan,
    Push,
    PushVlan,
    Resubmit,
    SetField,
    Term,
)

TABLE_MAX = 253
"""The last table flows may be put in; 254 is the switch's own."""
PORT_MAX = 0xFEFF
PRIORITY_MAX = 0xFFFF
GROUP_MAX = 0xFFFF_FEFF
CLAUSES_MAX = 64
_BUCKET_MAX = 0xFFFF_FEFF
_VLAN_PRESENT = 0x1000
_CT_STATE_BITS = 0xFF

_Needs = tuple[tuple[Field, frozenset[int]], ...]

_ARP: _Needs = ((Field.ETH_TYPE, frozenset({0x0806})),)
_IPV4: _Needs = ((Field.ETH_TYPE, frozenset({0x0800})),)
_IPV6: _Needs = ((Field.ETH_TYPE, frozenset({0x86DD})),)
_IP: _Needs = ((Field.ETH_TYPE, frozenset({0x0800, 0x86DD})),)
_WITH_PORTS = frozenset({1, 6, 17, 58, 132})
_ICMPV6: _Needs = (*_IPV6, (Field.IP_PROTO, frozenset({58})))


def _nd(*types: int) -> _Needs:
    return (
        *_ICMPV6,
        (Field.ICMPV6_TYPE, frozenset(types)),
        (Field.ICMPV6_CODE, frozenset({0})),
    )


NEEDS: Mapping[Field, _Needs] = {
    Field.IP_PROTO: _IP,
    Field.IP_TTL: _IP,
    Field.IP_DSCP: _IP,
    Field.IP_ECN: _IP,
    Field.IP_FRAG: _IP,
    Field.IPV4_SRC: _IPV4,
    Field.IPV4_DST: _IPV4,
    Field.IPV6_SRC: _IPV6,
    Field.IPV6_DST: _IPV6,
    Field.TCP_SRC: (*_IP, (Field.IP_PROTO, frozenset({6}))),
    Field.TCP_DST: (*_IP, (Field.IP_PROTO, frozenset({6}))),
    Field.TCP_FLAGS: (*_IP, (Field.IP_PROTO, frozenset({6}))),
    Field.UDP_SRC: (*_IP, (Field.IP_PROTO, frozenset({17}))),
    Field.UDP_DST: (*_IP, (Field.IP_PROTO, frozenset({17}))),
    Field.SCTP_SRC: (*_IP, (Field.IP_PROTO, frozenset({132}))),
    Field.SCTP_DST: (*_IP, (Field.IP_PROTO, frozenset({132}))),
    Field.ICMPV4_TYPE: (*_IPV4, (Field.IP_PROTO, frozenset({1}))),
    Field.ICMPV4_CODE: (*_IPV4, (Field.IP_PROTO, frozenset({1}))),
    Field.ICMPV6_TYPE: _ICMPV6,
    Field.ICMPV6_CODE: _ICMPV6,
    Field.ARP_OP: _ARP,
    Field.ARP_SPA: _ARP,
    Field.ARP_TPA: _ARP,
    Field.ARP_SHA: _ARP,
    Field.ARP_THA: _ARP,
    Field.CT_IPV4_SRC: _IPV4,
    Field.CT_IPV4_DST: _IPV4,
    Field.CT_IPV6_SRC: _IPV6,
    Field.CT_IPV6_DST: _IPV6,
    Field.CT_IP_PROTO: _IP,
    Field.CT_PORT_SRC: (*_IP, (Field.CT_IP_PROTO, _WITH_PORTS)),
    Field.CT_PORT_DST: (*_IP, (Field.CT_IP_PROTO, _WITH_PORTS)),
    Field.ND_TARGET: _nd(135, 136),
    Field.ND_RESERVED: _nd(135, 136),
    Field.ND_OPTIONS_TYPE: _nd(135, 136),
    Field.ND_SLL: _nd(135),
    Field.ND_TLL: _nd(136),
}

_ORIGINAL = frozenset(
    {
        *(Field.CT_IPV4_SRC, Field.CT_IPV4_DST, Field.CT_IPV6_SRC, Field.CT_IPV6_DST),
        *(Field.CT_IP_PROTO, Field.CT_PORT_SRC, Field.CT_PORT_DST),
    }
)
_KNOWN_CONNECTION = CtState.NEW | CtState.EST | CtState.RELATED | CtState.REPLY

READ_ONLY = frozenset(
    {
        *(Field.ETH_TYPE, Field.IP_PROTO, Field.IP_FRAG, Field.TCP_FLAGS),
        *(Field.CT_STATE, Field.CT_ZONE, Field.CONJ_ID),
        *_ORIGINAL,
    }
)
"""Fields that no action writes: they say what a packet is, or what is known of it."""

CONNECTION = frozenset({Field.CT_MARK, Field.CT_LABEL})
"""Fields of a connection: written only inside `Conntrack`."""

EXACT = frozenset(
    {
        *(Field.IN_PORT, Field.ETH_TYPE, Field.IP_PROTO, Field.IP_TTL, Field.IP_DSCP, Field.IP_ECN),
        *(Field.ARP_OP, Field.ICMPV4_TYPE, Field.ICMPV4_CODE, Field.ICMPV6_TYPE, Field.ICMPV6_CODE),
        *(Field.ND_RESERVED, Field.ND_OPTIONS_TYPE, Field.CT_ZONE, Field.CONJ_ID),
    }
)
"""Fields that are matched whole."""

_FRAGMENT_FORMS = frozenset({(0, 3), (1, 1), (1, 3), (3, 3), (2, 2), (0, 2), (0, None), (1, None), (3, None)})
"""no, yes, first, later, not later; no, first."""


class FlowRefused(ValueError):
    """A switch would refuse the flow; the text names the flow's place and the reason."""


def check(flow: Flow) -> None:
    """Raises: FlowRefused if a switch would refuse the flow."""
    for problem in problems(flow):
        raise FlowRefused(f"table {flow.table}, priority {flow.priority}, {flow.match}: {problem}")


def problems(flow: Flow) -> Iterator[str]:
    """What is wrong with a flow, in words."""
    if not 0 <= flow.table <= TABLE_MAX:
        yield f"there is no table {flow.table}"
    if not 0 <= flow.priority <= PRIORITY_MAX:
        yield f"there is no priority {flow.priority}"
    if not 0 < flow.cookie < 1 << 64:
        yield f"cookie {flow.cookie:#x} is 0 or too wide"
    known = {term.field: term for term in flow.match}
    if len(known) != len(flow.match):
        yield "a field is matched twice"
    if list(flow.match) != sorted(flow.match, key=lambda term: term.field.name):
        yield "the match is not sorted by field name"
    if Field.VLAN_TCI in known and Field.VLAN_VID in known:
        yield "vlan_vid is a part of vlan_tci"
    for term in flow.match:
        yield from _value_problems(term.field, term.value, term.mask)
        yield from _form_problems(term)
        yield from _missing(term.field, known)
    yield from _Judge(flow, known).judge(flow.actions)


def check_group(group: GroupSpec) -> None:
    """Raises: FlowRefused if a switch would refuse the group."""
    for problem in _group_problems(group):
        raise FlowRefused(f"group {group.id}: {problem}")


def _group_problems(group: GroupSpec) -> Iterator[str]:
    if not 0 <= group.id <= GROUP_MAX:
        yield "there is no such number"
    if len({bucket.id for bucket in group.buckets}) != len(group.buckets):
        yield "two buckets have one number"
    if group.kind is GroupKind.INDIRECT and len(group.buckets) > 1:
        yield "an indirect group has one bucket at most"
    if group.hash_fields and group.kind is not GroupKind.SELECT:
        yield "only a group that selects has fields to hash"
    if len(set(group.hash_fields)) != len(group.hash_fields):
        yield "a field is hashed twice"
    for bucket in group.buckets:
        if not 0 <= bucket.id <= _BUCKET_MAX:
            yield f"there is no bucket {bucket.id}"
        if not 0 <= bucket.weight <= 0xFFFF or (bucket.weight != 1 and group.kind is not GroupKind.SELECT):
            yield f"bucket {bucket.id} has weight {bucket.weight}"
        if bucket.watch_port is None and group.kind is GroupKind.FAST_FAILOVER:
            yield f"bucket {bucket.id} watches no port"
        if bucket.watch_port is not None and not 0 < bucket.watch_port <= PORT_MAX:
            yield f"there is no port {bucket.watch_port}"
        if any(isinstance(action, Meter | Conjunction) for action in bucket.actions):
            yield f"bucket {bucket.id} has a meter or a conjunction"


def _value_problems(field: Field, value: int, mask: int | None) -> Iterator[str]:
    name = field.value[0]
    if not 0 <= value < 1 << field.bits:
        yield f"{name}={value:#x} has more than {field.bits} bits"
    if mask is not None:
        if not 0 < mask < 1 << field.bits:
            yield f"{name} has mask {mask:#x}: empty, or more than {field.bits} bits"
        if value & ~mask:
            yield f"{name}={value:#x}/{mask:#x} has bits outside its mask"


def _missing(field: Field, known: Mapping[Field, Term]) -> Iterator[str]:
    for needed, values in NEEDS.get(field, ()):
        term = known.get(needed)
        if term is None or term.mask is not None or term.value not in values:
            wanted = " or ".join(f"{value:#x}" for value in sorted(values))
            yield f"{field.value[0]} needs the match to have {needed.value[0]}={wanted}"
    if field in _ORIGINAL:
        state = known.get(Field.CT_STATE)
        if state is None or not state.value & _KNOWN_CONNECTION:
            yield f"{field.value[0]} needs the match to have ct_state=+new, +est, +rel or +rpl"


def _form_problems(term: Term) -> Iterator[str]:
    """What is wrong with the form of one condition."""
    field, value, mask = term
    name = field.value[0]
    if field in EXACT and mask not in (None, (1 << field.bits) - 1):
        yield f"{name} is matched whole or not at all"
    if field is Field.IP_FRAG and (value, mask) not in _FRAGMENT_FORMS:
        yield f"{name}={value:#x} is none of no, yes, first, later, not later"
    if field is Field.CT_STATE and (mask is None or mask & ~_CT_STATE_BITS):
        yield f"{name} is matched by some of its bits 0x1 to 0x80"


@dataclass(slots=True)
class _Judge:
    """Judges the actions of one flow, in order. `tags`: how many VLAN tags the packet surely has."""

    flow: Flow
    known: Mapping[Field, Term]
    tags: int = -1
    nested: bool = False

    def __post_init__(self) -> None:
        if self.tags < 0:
            terms = (self.known.get(field) for field in (Field.VLAN_TCI, Field.VLAN_VID))
            self.tags = int(any(term is not None and term.value & _VLAN_PRESENT for term in terms))

    def judge(self, actions: tuple[Action, ...]) -> Iterator[str]:
        """What is wrong with the actions."""
        kinds = {isinstance(action, Conjunction) for action in actions}
        if len(kinds) > 1 or (True in kinds and self.nested):
            yield "a flow of conjunctions does nothing else"
        for position, action in enumerate(actions):
            match action:
                case SetField(field, value, mask):
                    yield from _value_problems(field, value, mask)
                    yield from self._written(field)
                    if field is Field.VLAN_VID and (mask is not None or not value & _VLAN_PRESENT):
                        yield "vlan_vid is set whole, with 0x1000"
                case Move():
                    yield from self._moved(action)
                    yield from self._written(action.target)
                case Push(field):
                    yield from self._read(field)
                case Pop(field):
                    yield from self._read(field)
                    yield from self._written(field)
                case Output(port):
                    if not 0 < port <= PORT_MAX:
                        yield f"there is no port {port}"
                case Meter(id):
                    if self.nested or position or id <= 0:
                        yield f"meter {id} is not the first action, or has no number"
                case Clone(inner):
                    yield from _Judge(self.flow, self.known, self.tags, nested=True).judge(inner)
                case DecTtl():
                    yield from _missing(Field.IP_TTL, self.known)
                case Controller() | OutputInPort() | ConntrackClear():
                    pass
                case _:
                    yield from self._judge_other(action)

    def _judge_other(
        self,
        action: Resubmit | Conntrack | Conjunction | Group | CheckPacketLarger | PushVlan | PopVlan,
    ) -> Iterator[str]:
        match action:
            case Resubmit(table):
                if not self.flow.table < table <= TABLE_MAX:
                    yield f"resubmit to table {table} does not lead forward"
            case Conntrack():
                yield from self._conntrack(action)
            case Conjunction(id, clause, of):
                if not 0 < id < 1 << 32 or not 1 <= clause <= of or not 2 <= of <= CLAUSES_MAX:
                    yield f"there is no conjunction {id}, {clause}/{of}"
            case Group(id):
                if not 0 <= id <= GROUP_MAX:
                    yield f"there is no group {id}"
            case CheckPacketLarger(size, target, bit):
                if not 0 <= size <= 0xFFFF or not 0 <= bit < target.bits:
                    yield f"a check for {size} bytes into bit {bit} of {target.value[0]}"
                yield from self._written(target)
            case PushVlan():
                self.tags += 1
            case PopVlan():
                if self.tags <= 0:
                    yield "pop_vlan needs the match to have a VLAN tag"
                self.tags -= 1
            case _:
                assert_never(action)

    def _conntrack(self, action: Conntrack) -> Iterator[str]:
        for _ in _missing(Field.IP_TTL, self.known):
            yield "ct needs the match to have eth_type=0x800 or 0x86dd"
        if isinstance(action.zone, Field):
            if not action.zone.name.startswith("REG"):
                yield f"a zone is a number or a register, not {action.zone.value[0]}"
        elif not 0 <= action.zone <= 0xFFFF:
            yield f"there is no zone {action.zone}"
        if action.table is not None and not self.flow.table < action.table <= TABLE_MAX:
            yield f"ct to table {action.table} does not lead forward"
        if not action.commit and (action.force or action.actions):
            yield "ct without commit keeps nothing"
        if action.nat is not None:
            yield from self._nat(action.nat, commit=action.commit)
        for inner in action.actions:
            match inner:
                case SetField(field, value, mask) if field in CONNECTION:
                    yield from _value_problems(field, value, mask)
                case Move(target=target) if target in CONNECTION:
                    yield from self._moved(inner)
                case _:
                    yield "inside ct only ct_mark and ct_label are written"

    def _nat(self, nat: Nat, *, commit: bool) -> Iterator[str]:
        ranges = [chosen for chosen in nat if chosen is not None]
        if len(ranges) > 1:
            yield "one ct changes the source or the destination, not both"
        if ranges and not commit:
            yield "ct without commit keeps nothing"
        kind = self.known.get(Field.ETH_TYPE)
        for chosen in ranges:
            yield from _range_problems(chosen)
            if kind is not None and kind.value != {4: 0x0800, 6: 0x86DD}.get(chosen.version):
                yield f"the match is not of IP version {chosen.version}"

    def _moved(self, move: Move) -> Iterator[str]:
        source, target, bits, source_offset, target_offset = move
        yield from self._read(source)
        yield from self._read(target)
        if bits <= 0 or source_offset < 0 or target_offset < 0:
            yield f"move of {bits} bits"
        if source_offset + bits > source.bits or target_offset + bits > target.bits:
            yield f"move of {bits} bits leaves {source.value[0]} or {target.value[0]}"

    def _read(self, field: Field) -> Iterator[str]:
        if field is Field.VLAN_VID:
            yield "vlan_vid is not moved; vlan_tci is"
        yield from _missing(field, self.known)

    def _written(self, field: Field) -> Iterator[str]:
        if field in READ_ONLY:
            yield f"{field.value[0]} cannot be written"
        if field in CONNECTION:
            yield f"{field.value[0]} is written inside ct only"
        if field is Field.VLAN_VID and self.tags <= 0:
            yield "vlan_vid needs a VLAN tag"
        yield from _missing(field, self.known)


def _range_problems(chosen: NatRange) -> Iterator[str]:
    version, low, high, port_low, port_high = chosen
    width = {4: 32, 6: 128}.get(version, 0)
    if not 0 < low < 1 << width or (high is not None and not low <= high < 1 << width):
        yield f"no range of addresses of IP version {version}: {low:#x} to {high}"
    if port_high is not None and port_low is None:
        yield "a last port without a first"
    if port_low is not None and not 0 < port_low <= (port_low if port_high is None else port_high) <= 0xFFFF:
        yield f"no range of ports: {port_low} to {port_high}"
