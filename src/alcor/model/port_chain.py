"""Chains of service functions: pairs of ports, groups of pairs that share work, and chains of groups.

Source: Networking API v2.0, "Service function chaining"; extensions sfc, networking-sfc-tap.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from alcor.model.flow_classifier import PORT, PREFIX
from alcor.model.resource import REQUIRED, Attribute, Entity, Lookup, Resource, Who
from alcor.model.standard import DESCRIPTION, ID, NAME, PROJECT_ID
from alcor.model.value import (
    CIDR,
    Boolean,
    Choice,
    Cleared,
    Integer,
    ListOf,
    Nullable,
    Schema,
    Uuid,
    ValueType,
)

CHAIN_ID_MAX = 65_535
_MEMBERS_MAX = 1_000
_LB_FIELDS = ("eth_src", "eth_dst", "ip_src", "ip_dst", "tcp_src", "tcp_dst", "udp_src", "udp_dst")
_CORRELATIONS = ("mpls", "nsh")


class PortPair(Entity, frozen=True, kw_only=True, gc=False):
    """A service function: packets go in by one port and come out by the other, perhaps the same."""

    ingress: str
    egress: str
    service_function_parameters: dict[str, Any]


class PortPairGroup(Entity, frozen=True, kw_only=True, gc=False):
    """Service functions that share one work. `group_id`: its number in the region."""

    group_id: int
    port_pairs: tuple[str, ...] = ()
    port_pair_group_parameters: dict[str, Any]
    tap_enabled: bool = False


class PortChain(Entity, frozen=True, kw_only=True, gc=False):
    """The groups that packets of some flows pass, in order. `chain_id`: its number in the region."""

    chain_id: int
    port_pair_groups: tuple[str, ...]
    flow_classifiers: tuple[str, ...] = ()
    chain_parameters: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Filled:
    """A dictionary with the named members, each of a type; what is left out has its default. Null is all defaults."""

    members: Mapping[str, tuple[ValueType, Any]]

    def parse(self, value: object) -> dict[str, Any]:
        if value is None:
            value = {}
        if not isinstance(value, Mapping):
            raise ValueError(f"'{value}' is not a dictionary")
        unknown = sorted(str(name) for name in value if name not in self.members)
        if unknown:
            raise ValueError(f"unexpected keys {unknown}: there are {list(self.members)}")
        return {
            name: type_.parse(value[name]) if name in value else default
            for name, (type_, default) in self.members.items()
        }

    def schema(self) -> Schema:
        properties = {name: type_.schema() for name, (type_, _) in self.members.items()}
        return {
            "anyOf": [
                {"type": "object", "properties": properties, "additionalProperties": False},
                {"type": "null"},
            ]
        }


@dataclass(frozen=True, slots=True)
class Mapped:
    """What packets look like before or after a group: only the members that were said."""

    def parse(self, value: object) -> dict[str, Any]:
        if value is None:
            return {}
        if not isinstance(value, Mapping):
            raise ValueError(f"'{value}' is not a dictionary")
        unknown = sorted(str(name) for name in value if name not in _N_TUPLE)
        if unknown:
            raise ValueError(f"unexpected keys {unknown}: there are {list(_N_TUPLE)}")
        return {name: _N_TUPLE[name].parse(one) for name, one in value.items()}

    def schema(self) -> Schema:
        properties = {name: type_.schema() for name, type_ in _N_TUPLE.items()}
        return {"type": "object", "properties": properties, "additionalProperties": False}


_N_TUPLE: Mapping[str, ValueType] = {
    **{f"{end}_ip_prefix": Nullable(CIDR) for end in ("source", "destination")},
    **{f"{end}_port_range_{limit}": PORT for end in ("source", "destination") for limit in ("min", "max")},
}
_FUNCTION = Filled({"correlation": (Nullable(Choice(_CORRELATIONS)), None), "weight": (Integer(), 1)})
_MAPPING = Filled({"ingress_n_tuple": (Mapped(), {}), "egress_n_tuple": (Mapped(), {})})
_GROUP = Filled(
    {
        "lb_fields": (Cleared(ListOf(Choice(_LB_FIELDS)), ()), ()),
        "ppg_n_tuple_mapping": (_MAPPING, _MAPPING.parse(None)),
    }
)
_CHAIN = Filled({"correlation": (Choice(_CORRELATIONS), "mpls"), "symmetric": (Boolean(), False)})
_DESCRIBED = (ID, NAME, PROJECT_ID, DESCRIPTION)


def _port(name: str, text: str) -> Attribute:
    return Attribute(name, Uuid(), default=REQUIRED, update=Who.NOBODY, column=True, refers="port", text=text)


def _parameters(name: str, type_: Filled, text: str) -> Attribute:
    return Attribute(
        name,
        type_,
        default=type_.parse(None),
        update=Who.NOBODY,
        filters=False,
        sorts=False,
        text=text,
    )


def _members(name: str, text: str) -> Attribute:
    return Attribute(name, Cleared(ListOf(Uuid(), _MEMBERS_MAX), ()), default=(), sorts=False, text=text)


def _lookup(name: str, refers: str) -> Lookup:
    return Lookup(name, ("id",), lambda row: [(one,) for one in getattr(row, name)], refers={"id": refers})


PORT_PAIR = Resource(
    name="port_pair",
    collection="port_pairs",
    prefix=PREFIX,
    entity=PortPair,
    quota="port_pair",
    text="A service function: the port packets go in by, and the one they come out of.",
    columns_shown=("id", "name", "ingress", "egress"),
    attributes=(
        *_DESCRIBED,
        _port("ingress", "The port packets go in by."),
        _port("egress", "The port packets come out of; of the same device."),
        _parameters(
            "service_function_parameters",
            _FUNCTION,
            "`correlation` (mpls, nsh or null: it knows no chains) and `weight` in its group.",
        ),
    ),
)

PORT_PAIR_GROUP = Resource(
    name="port_pair_group",
    collection="port_pair_groups",
    prefix=PREFIX,
    entity=PortPairGroup,
    quota="port_pair_group",
    text="Service functions that share one work.",
    columns_shown=("id", "name", "port_pairs", "tap_enabled"),
    lookups=(_lookup("port_pairs", "port_pair"),),
    attributes=(
        *_DESCRIBED,
        Attribute(
            "group_id",
            Integer(),
            create=Who.NOBODY,
            update=Who.NOBODY,
            text="Its number in the region.",
        ),
        _members("port_pairs", "The IDs of its port pairs."),
        _parameters(
            "port_pair_group_parameters",
            _GROUP,
            "`lb_fields`, by which packets are spread, and `ppg_n_tuple_mapping`, what it makes of them.",
        ),
        Attribute(
            "tap_enabled",
            Boolean(),
            default=False,
            update=Who.NOBODY,
            text="Whether it gets copies and sends nothing on.",
        ),
    ),
)

PORT_CHAIN = Resource(
    name="port_chain",
    collection="port_chains",
    prefix=PREFIX,
    entity=PortChain,
    quota="port_chain",
    text="The groups of service functions that packets of some flows pass, in order.",
    columns_shown=("id", "name", "port_pair_groups", "flow_classifiers"),
    lookups=(
        _lookup("port_pair_groups", "port_pair_group"),
        _lookup("flow_classifiers", "flow_classifier"),
    ),
    attributes=(
        *_DESCRIBED,
        Attribute(
            "chain_id",
            Integer(0, CHAIN_ID_MAX),
            default=0,
            update=Who.NOBODY,
            text="Its number in the region; 0 on create: one that is free.",
        ),
        _members("port_pair_groups", "The IDs of its groups, in order; at least one."),
        _members("flow_classifiers", "The IDs of its flow classifiers."),
        _parameters(
            "chain_parameters",
            _CHAIN,
            "`correlation` (mpls or nsh), how packets say which chain they are in, and `symmetric`, whether "
            "answers pass the groups in reverse.",
        ),
    ),
)

CHAINS = (PORT_PAIR, PORT_PAIR_GROUP, PORT_CHAIN)
