"""What a switch demands of a flow, checked in one place: `check` accepts exactly what Open vSwitch accepts of ours.

A field exists only in some packets, so a match on it, or an action that writes it, needs the match to say so: a UDP
port needs `eth_type` and `ip_proto`. Actions are judged by the flow's match alone: `set_field:136->icmpv6_type` does
not make `nd_tll` legal in the same flow. Source: ovs-fields(7), ovs-actions(7); tried on Open vSwitch 3.1.
"""

from collections.abc import Iterator, Mapping

from alcor.pipeline.flow import (
    Action,
    Clone,
    Controller,
    DecTtl,
    Field,
    Flow,
    Meter,
    Move,
    Output,
    OutputInPort,
    Pop,
    Push,
    Resubmit,
    SetField,
    Term,
)

TABLE_MAX = 253
"""The last table flows may be put in; 254 is the switch's own."""
PORT_MAX = 0xFEFF
PRIORITY_MAX = 0xFFFF

_Needs = tuple[tuple[Field, frozenset[int]], ...]

_ARP: _Needs = ((Field.ETH_TYPE, frozenset({0x0806})),)
_IPV4: _Needs = ((Field.ETH_TYPE, frozenset({0x0800})),)
_IPV6: _Needs = ((Field.ETH_TYPE, frozenset({0x86DD})),)
_IP: _Needs = ((Field.ETH_TYPE, frozenset({0x0800, 0x86DD})),)
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
    Field.IPV4_SRC: _IPV4,
    Field.IPV4_DST: _IPV4,
    Field.IPV6_SRC: _IPV6,
    Field.IPV6_DST: _IPV6,
    Field.TCP_SRC: (*_IP, (Field.IP_PROTO, frozenset({6}))),
    Field.TCP_DST: (*_IP, (Field.IP_PROTO, frozenset({6}))),
    Field.UDP_SRC: (*_IP, (Field.IP_PROTO, frozenset({17}))),
    Field.UDP_DST: (*_IP, (Field.IP_PROTO, frozenset({17}))),
    Field.ICMPV4_TYPE: (*_IPV4, (Field.IP_PROTO, frozenset({1}))),
    Field.ICMPV4_CODE: (*_IPV4, (Field.IP_PROTO, frozenset({1}))),
    Field.ICMPV6_TYPE: _ICMPV6,
    Field.ICMPV6_CODE: _ICMPV6,
    Field.ARP_OP: _ARP,
    Field.ARP_SPA: _ARP,
    Field.ARP_TPA: _ARP,
    Field.ARP_SHA: _ARP,
    Field.ARP_THA: _ARP,
    Field.ND_TARGET: _nd(135, 136),
    Field.ND_RESERVED: _nd(135, 136),
    Field.ND_OPTIONS_TYPE: _nd(135, 136),
    Field.ND_SLL: _nd(135),
    Field.ND_TLL: _nd(136),
}

READ_ONLY = frozenset({Field.ETH_TYPE, Field.IP_PROTO})
"""Fields that no action writes: they say what a packet is."""


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
    for term in flow.match:
        yield from _value_problems(term.field, term.value, term.mask)
        yield from _missing(term.field, known)
    yield from _action_problems(flow, flow.actions, known, nested=False)


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


def _written(field: Field, known: Mapping[Field, Term]) -> Iterator[str]:
    if field in READ_ONLY:
        yield f"{field.value[0]} cannot be written"
    yield from _missing(field, known)


def _action_problems(
    flow: Flow, actions: tuple[Action, ...], known: Mapping[Field, Term], *, nested: bool
) -> Iterator[str]:
    for position, action in enumerate(actions):
        match action:
            case SetField(field, value, mask):
                yield from _value_problems(field, value, mask)
                yield from _written(field, known)
            case Move(source, target, bits, source_offset, target_offset):
                yield from _missing(source, known)
                yield from _written(target, known)
                if bits <= 0 or source_offset < 0 or target_offset < 0:
                    yield f"move of {bits} bits"
                if source_offset + bits > source.bits or target_offset + bits > target.bits:
                    yield f"move of {bits} bits leaves {source.value[0]} or {target.value[0]}"
            case Push(field):
                yield from _missing(field, known)
            case Pop(field):
                yield from _written(field, known)
            case Output(port):
                if not 0 < port <= PORT_MAX:
                    yield f"there is no port {port}"
            case Resubmit(table):
                if not flow.table < table <= TABLE_MAX:
                    yield f"resubmit to table {table} does not lead forward"
            case Meter(id):
                if nested or position or id <= 0:
                    yield f"meter {id} is not the first action, or has no number"
            case Clone(inner):
                yield from _action_problems(flow, inner, known, nested=True)
            case DecTtl():
                yield from _missing(Field.IP_TTL, known)
            case Controller() | OutputInPort():
                pass
