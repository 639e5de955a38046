"""Flows as text, in the form `ovs-ofctl -O OpenFlow15 add-flow` reads."""

from ipaddress import IPv4Address, IPv6Address
from typing import assert_never

from alcor.model.address import mac_of_int
from alcor.pipeline.flow import (
    Action,
    CheckPacketLarger,
    Clone,
    Conjunction,
    Conntrack,
    ConntrackClear,
    Controller,
    DecTtl,
    Field,
    Flow,
    Group,
    GroupKind,
    GroupSpec,
    Meter,
    MeterSpec,
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
from alcor.pipeline.tables import Table

_MACS = frozenset({Field.ETH_SRC, Field.ETH_DST, Field.ARP_SHA, Field.ARP_THA, Field.ND_SLL, Field.ND_TLL})
_IPV4 = frozenset(
    {
        Field.IPV4_SRC,
        Field.IPV4_DST,
        Field.ARP_SPA,
        Field.ARP_TPA,
        Field.TUN_IPV4_SRC,
        Field.TUN_IPV4_DST,
        Field.CT_IPV4_SRC,
        Field.CT_IPV4_DST,
    }
)
_IPV6 = frozenset(
    {
        Field.CT_IPV6_SRC,
        Field.CT_IPV6_DST,
        Field.IPV6_SRC,
        Field.IPV6_DST,
        Field.ND_TARGET,
        Field.TUN_IPV6_SRC,
        Field.TUN_IPV6_DST,
    }
)
_DECIMAL = frozenset(
    {
        Field.IN_PORT,
        Field.IP_PROTO,
        Field.IP_TTL,
        Field.TCP_SRC,
        Field.TCP_DST,
        Field.UDP_SRC,
        Field.UDP_DST,
        Field.SCTP_SRC,
        Field.SCTP_DST,
        Field.IP_DSCP,
        Field.IP_ECN,
        Field.CT_ZONE,
        Field.CONJ_ID,
        Field.CT_IP_PROTO,
        Field.CT_PORT_SRC,
        Field.CT_PORT_DST,
        Field.ICMPV4_TYPE,
        Field.ICMPV4_CODE,
        Field.ICMPV6_TYPE,
        Field.ICMPV6_CODE,
        Field.ARP_OP,
        Field.ND_OPTIONS_TYPE,
    }
)
_FRAGMENTS = {
    (0, 3): "no",
    (0, None): "no",
    (1, 1): "yes",
    (1, 3): "first",
    (1, None): "first",
    (2, 2): "later",
    (3, 3): "later",
    (3, None): "later",
    (0, 2): "not_later",
}
_GROUP_KINDS = {GroupKind.FAST_FAILOVER: "ff"}
# The switch wants what a field needs before the field.
_FIRST = (
    Field.ETH_TYPE,
    Field.IP_PROTO,
    Field.ICMPV6_TYPE,
    Field.ICMPV6_CODE,
    Field.CT_STATE,
    Field.CT_IP_PROTO,
)


def render(flow: Flow) -> str:
    """The flow on one line: `cookie=…,table=…,priority=…,<match>,actions=…`."""
    terms = sorted(flow.match, key=lambda term: _FIRST.index(term.field) if term.field in _FIRST else 9)
    head = [f"cookie={flow.cookie:#x}", f"table={flow.table}", f"priority={flow.priority}"]
    return ",".join([*head, *map(render_term, terms), f"actions={render_actions(flow.actions)}"])


def render_term(term: Term) -> str:
    """One condition of a match."""
    return f"{term.field.value[0]}={_render_value(term.field, term.value, term.mask)}"


def render_meter(meter: MeterSpec) -> str:
    """The meter as `ovs-ofctl add-meter` reads it."""
    band = f"band=type=drop,rate={meter.rate},burst_size={meter.burst}"
    return f"meter={meter.id},{meter.unit.value},burst,{band}"


def render_group(group: GroupSpec) -> str:
    """The group as `ovs-ofctl add-group` reads it."""
    parts = [f"group_id={group.id}", f"type={_GROUP_KINDS.get(group.kind, group.kind.value)}"]
    if group.hash_fields:
        names = ",".join(field.value[0] for field in group.hash_fields)
        parts += ["selection_method=hash", f"fields({names})"]
    for bucket in group.buckets:
        parts.append(f"bucket=bucket_id:{bucket.id}")
        if group.kind is GroupKind.SELECT:
            parts.append(f"weight:{bucket.weight}")
        if bucket.watch_port is not None:
            parts.append(f"watch_port:{bucket.watch_port}")
        parts.append(f"actions={render_actions(bucket.actions)}")
    return ",".join(parts)


def render_actions(actions: tuple[Action, ...]) -> str:
    """The actions, `drop` if there are none."""
    return ",".join(map(_render_action, actions)) or "drop"


def table_name(table: int) -> str:
    """`60 L2`; the bare number of a table that is not ours."""
    try:
        return f"{table} {Table(table).name}"
    except ValueError:
        return str(table)


def _render_value(field: Field, value: int, mask: int | None) -> str:
    # The switch reads an absent VLAN tag from this field only with the "present" bit in the mask.
    if field is Field.IP_FRAG:
        return _FRAGMENTS.get((value, mask), f"{value:#x}/{mask}")
    text = _render_number(field, value)
    return text if mask is None else f"{text}/{_render_number(field, mask)}"


def _render_number(field: Field, number: int) -> str:
    if field in _MACS:
        return mac_of_int(number)
    if field in _IPV4:
        return str(IPv4Address(number))
    if field in _IPV6:
        return str(IPv6Address(number))
    return str(number) if field in _DECIMAL else f"{number:#x}"


_PLAIN: dict[type[Action], str] = {
    OutputInPort: "in_port",
    Controller: "controller:65535",
    DecTtl: "dec_ttl",
    ConntrackClear: "ct_clear",
    PushVlan: "push_vlan:0x8100",
    PopVlan: "pop_vlan",
}


def _render_action(action: Action) -> str:
    match action:
        case SetField(field, value, mask):
            return f"set_field:{_render_value(field, value, mask)}->{field.value[0]}"
        case Move(source, target, bits, source_offset, target_offset):
            return f"move:{_span(source, source_offset, bits)}->{_span(target, target_offset, bits)}"
        case Push(field):
            return f"push:{field.value[0]}[]"
        case Pop(field):
            return f"pop:{field.value[0]}[]"
        case Output(port):
            return f"output:{port}"
        case Resubmit(table):
            return f"resubmit(,{table})"
        case Meter(id):
            return f"meter:{id}"
        case Clone(inner):
            return f"clone({render_actions(inner)})"
        case Conntrack():
            return _render_conntrack(action)
        case Conjunction(id, clause, of):
            return f"conjunction({id},{clause}/{of})"
        case Group(id):
            return f"group:{id}"
        case CheckPacketLarger(size, target, bit):
            return f"check_pkt_larger({size})->{target.value[0]}[{bit}]"
        case OutputInPort() | Controller() | DecTtl() | ConntrackClear() | PushVlan() | PopVlan():
            return _PLAIN[type(action)]
        case _:
            assert_never(action)


def _render_conntrack(action: Conntrack) -> str:
    parts = [name for name, is_on in (("commit", action.commit), ("force", action.force)) if is_on]
    if action.table is not None:
        parts.append(f"table={action.table}")
    zone = action.zone
    parts.append(f"zone={_span(zone, 0, 16) if isinstance(zone, Field) else zone}")
    if action.nat is not None:
        parts.append(_render_nat(action.nat))
    if action.actions:
        parts.append(f"exec({render_actions(action.actions)})")
    return f"ct({','.join(parts)})"


def _render_nat(nat: Nat) -> str:
    ranges = zip(("src", "dst"), nat, strict=True)
    inner = ",".join(f"{side}={_render_range(chosen)}" for side, chosen in ranges if chosen is not None)
    return f"nat({inner})" if inner else "nat"


def _render_range(chosen: NatRange) -> str:
    address = IPv4Address if chosen.version == 4 else IPv6Address
    ends = [str(address(end)) for end in (chosen.ip_min, chosen.ip_max) if end is not None]
    ports = [str(port) for port in (chosen.port_min, chosen.port_max) if port is not None]
    if ports and chosen.version == 6:
        ends = [f"[{end}]" for end in ends]
    return "-".join(ends) + (f":{'-'.join(ports)}" if ports else "")


def _span(field: Field, offset: int, bits: int) -> str:
    return f"{field.value[0]}[{offset}..{offset + bits - 1}]"
