"""A router: routes packets between subnets, and to the outside by gateway ports on external networks.

Its interfaces and gateways are ports, whose `device_id` is the router's id.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from alcor.model.port_value import FIXED_IPS
from alcor.model.resource import Attribute, Entity, Lookup, Resource, Who
from alcor.model.standard import COUNTED, STANDARD, TAGS, TAGS_LOOKUP
from alcor.model.value import (
    CIDR,
    IP,
    Boolean,
    Cleared,
    FreeForm,
    ListOf,
    Nullable,
    Record,
    Schema,
    Text,
    Uuid,
    ValueType,
)

ROUTER_INTERFACE, ROUTER_GATEWAY = "network:router_interface", "network:router_gateway"
"""`device_owner` of a router's ports."""


class Route(msgspec.Struct, frozen=True, gc=False):
    """Packets to `destination` (a prefix) go to `nexthop` (an address on a subnet of the router's)."""

    destination: str
    nexthop: str


class Router(Entity, frozen=True, kw_only=True, gc=False):
    """One router.

    `gateway_ports`: ids of its ports on external networks; the first is the one `external_gateway_info` shows.
    """

    admin_state_up: bool = True
    routes: tuple[Route, ...] = ()
    gateway_ports: tuple[str, ...] = ()
    enable_snat: bool = True
    gateway_qos_policy_id: str | None = None
    distributed: bool = False
    ha: bool = False
    flavor_id: str | None = None
    availability_zone_hints: tuple[str, ...] = ()
    enable_ndp_proxy: bool = False
    enable_default_route_ecmp: bool = False
    enable_default_route_bfd: bool = False


_GATEWAY_MEMBERS: Mapping[str, ValueType] = {
    "network_id": Uuid(),
    "enable_snat": Boolean(),
    "external_fixed_ips": FIXED_IPS,
    "qos_policy_id": Nullable(Uuid()),
}


@dataclass(frozen=True, slots=True)
class GatewayType:
    """One external gateway as clients say it: a dictionary of only the members that were said; `{}` means none.

    What was not said stays as it is, which null would not.
    """

    members: Mapping[str, ValueType] = field(default_factory=lambda: _GATEWAY_MEMBERS)

    def parse(self, value: object) -> dict[str, Any] | None:
        if not isinstance(value, Mapping):
            raise ValueError(f"'{value}' is not a dictionary")
        if not value:
            return None
        unknown = sorted(str(name) for name in value if name not in self.members)
        if unknown:
            raise ValueError(f"unexpected keys {unknown} in '{dict(value)}'")
        if "network_id" not in value:
            raise ValueError(f"'network_id' is missing in '{dict(value)}'")
        return {name: self.members[name].parse(one) for name, one in value.items()}

    def schema(self) -> Schema:
        return {
            "type": "object",
            "properties": {name: member.schema() for name, member in self.members.items()},
            "additionalProperties": False,
        }


GATEWAY = GatewayType()


def _active(_row: Any) -> str:
    """A router is a rule, not a machine: it works as soon as it is stored."""
    return "ACTIVE"


def _gateway_rows(row: Any) -> list[tuple[Any, ...]]:
    return [(port_id,) for port_id in row.gateway_ports]


def _qos_rows(row: Any) -> list[tuple[Any, ...]]:
    return [(row.gateway_qos_policy_id,)] if row.gateway_qos_policy_id is not None else []


ACTIONS = (
    "add_router_interface",
    "remove_router_interface",
    "add_extraroutes",
    "remove_extraroutes",
    "add_external_gateways",
    "update_external_gateways",
    "remove_external_gateways",
)
"""What a router can be told beside its attributes; each is also the name of the rule that allows it."""

_ADMIN = "rule:admin_only"
_MEMBER = "rule:admin_or_project_member"

ROUTER = Resource(
    name="router",
    collection="routers",
    entity=Router,
    text="Routes packets between subnets and to external networks.",
    columns_shown=("id", "name", "status", "admin_state_up", "project_id"),
    quota="router",
    lookups=(
        TAGS_LOOKUP,
        Lookup("gateways", ("port_id",), _gateway_rows, refers={"port_id": "port"}),
        Lookup("gateway_qos", ("policy_id",), _qos_rows, refers={"policy_id": "qos_policy"}),
    ),
    policy={
        **{
            f"{verb}:external_gateway_info:{member}": _ADMIN
            for verb in ("create", "update")
            for member in ("enable_snat", "external_fixed_ips")
        },
        **dict.fromkeys(ACTIONS, _MEMBER),
    },
    attributes=(
        *STANDARD,
        TAGS,
        Attribute("admin_state_up", Boolean(), default=True, text="Whether it forwards packets."),
        Attribute(
            "status",
            Text(16),
            create=Who.NOBODY,
            update=Who.NOBODY,
            stored=False,
            derive=_active,
            sorts=False,
            text="ACTIVE as soon as it exists.",
        ),
        Attribute(
            "external_gateway_info",
            Nullable(GATEWAY),
            default=None,
            stored=False,
            filters=False,
            sorts=False,
            text="The external network it reaches, with its addresses there and whether sources are translated.",
        ),
        Attribute(
            "external_gateways",
            ListOf(GATEWAY, unique=False),
            create=Who.NOBODY,
            update=Who.NOBODY,
            stored=False,
            filters=False,
            sorts=False,
            text="All its external gateways; the first is external_gateway_info.",
        ),
        Attribute(
            "routes",
            Cleared(ListOf(Record({"destination": CIDR, "nexthop": IP}, Route)), ()),
            default=(),
            create=Who.NOBODY,
            filters=False,
            sorts=False,
            text="Routes beside those of its subnets; next hops are on its subnets.",
        ),
        Attribute(
            "distributed",
            Nullable(Boolean()),
            default=None,
            create=Who.ADMIN,
            update=Who.ADMIN,
            see=Who.ADMIN,
            text="Whether the API calls it distributed.",
        ),
        Attribute(
            "ha",
            Nullable(Boolean()),
            default=None,
            create=Who.ADMIN,
            update=Who.ADMIN,
            see=Who.ADMIN,
            text="Whether the API calls it highly available.",
        ),
        Attribute(
            "flavor_id", Nullable(Uuid()), default=None, update=Who.NOBODY, text="Its flavor, or null."
        ),
        Attribute(
            "availability_zone_hints",
            ListOf(Text(255)),
            default=(),
            update=Who.NOBODY,
            filters=False,
            sorts=False,
            text="The availability zones it should be in.",
        ),
        Attribute(
            "availability_zones",
            ListOf(Text(255)),
            create=Who.NOBODY,
            update=Who.NOBODY,
            stored=False,
            filters=False,
            sorts=False,
            text="The availability zones it is in.",
        ),
        Attribute(
            "conntrack_helpers",
            ListOf(FreeForm(), unique=False),
            create=Who.NOBODY,
            update=Who.NOBODY,
            stored=False,
            filters=False,
            sorts=False,
            text="Its conntrack helpers.",
        ),
        Attribute(
            "enable_ndp_proxy",
            Nullable(Boolean()),
            default=None,
            text="Whether it answers for IPv6 addresses of its subnets on the external network.",
        ),
        Attribute(
            "enable_default_route_ecmp",
            Nullable(Boolean()),
            default=None,
            create=Who.ADMIN,
            update=Who.ADMIN,
            text="Whether packets to the outside are spread over several gateways.",
        ),
        Attribute(
            "enable_default_route_bfd",
            Nullable(Boolean()),
            default=None,
            create=Who.ADMIN,
            update=Who.ADMIN,
            text="Whether next hops of default routes are watched with BFD.",
        ),
        *COUNTED,
    ),
)
