"""Flows as text, in the form `ovs-ofctl -O OpenFlow15 add-flow` reads."""

from ipaddress import IPv4Address, IPv6Address
from typing import assert_never

from alcor.model.address import mac_of_int
from alcor.pipeline.flow import (
    Action,
    Clone,
    Controller,
    DecTtl,
    Field,
    Flow,
    Meter,
    MeterSpec,
    Move,
    Output,
    OutputInPort,
    Pop,
    Push,
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
    }
)
_IPV6 = frozenset({Field.IPV6_SRC, Field.IPV6_DST, Field.ND_TARGET, Field.TUN_IPV6_SRC, Field.TUN_IPV6_DST})
_DECIMAL = frozenset(
    {
        Field.IN_PORT,
        Field.IP_PROTO,
        Field.IP_TTL,
        Field.TCP_SRC,
        Field.TCP_DST,
        Field.UDP_SRC,
        Field.UDP_DST,
        Field.ICMPV4_TYPE,
        Field.ICMPV4_CODE,
        Field.ICMPV6_TYPE,
        Field.ICMPV6_CODE,
        Field.ARP_OP,
        Field.ND_OPTIONS_TYPE,
    }
)
# The switch wants what a field needs before the field.
_FIRST = (Field.ETH_TYPE, Field.IP_PROTO, Field.ICMPV6_TYPE, Field.ICMPV6_CODE)


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
    band = f"band=type=drop,rate={meter.rate_pps},burst_size={meter.burst_packets}"
    return f"meter={meter.id},pktps,burst,{band}"


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
        case OutputInPort():
            return "in_port"
        case Resubmit(table):
            return f"resubmit(,{table})"
        case Controller():
            return "controller:65535"
        case Meter(id):
            return f"meter:{id}"
        case Clone(inner):
            return f"clone({render_actions(inner)})"
        case DecTtl():
            return "dec_ttl"
        case _:
            assert_never(action)


def _span(field: Field, offset: int, bits: int) -> str:
    return f"{field.value[0]}[{offset}..{offset + bits - 1}]"
