"""A route table: where packets of a VPC's subnets, or of one of them, go that do not stay inside.

A subnet's own table replaces the VPC's. The default routes to the VPC's blocks stand before every table's.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from alcor.model.resource import UNSET, Attribute, Entity, Resource, Who
from alcor.model.standard import COUNTED, STANDARD
from alcor.model.value import CIDR, IP, Choice, FreeForm, Integer, ListOf, Nullable, Schema, Uuid, ValueType

NEXTHOP = "nexthop"
TARGETS = (NEXTHOP, "internet_gw", "nat_gw", "blackhole")
# Source: the original's routing rules: static ones, those that follow from others, and the default.
STATIC_PRIORITY, DERIVED_PRIORITY, DEFAULT_PRIORITY = 100, 300, 500
ROUTES_MAX = 100


class TableRoute(msgspec.Struct, frozen=True, gc=False):
    """Packets to `destination` go to `target`; of several that match, the longest prefix, then the lowest priority."""

    destination: str
    target: str = NEXTHOP
    nexthop: str | None = None
    priority: int = STATIC_PRIORITY


class RouteTable(Entity, frozen=True, kw_only=True, gc=False):
    """One table. `subnet_id` None: it is the network's."""

    network_id: str
    subnet_id: str | None = None
    routes: tuple[TableRoute, ...] = ()


class RouteType:
    """One route; everything but its destination may be left out."""

    members: Mapping[str, ValueType] = {
        "destination": CIDR,
        "target": Choice(TARGETS),
        "nexthop": Nullable(IP),
        "priority": Integer(1, 1_000),
    }

    def parse(self, value: object) -> TableRoute:
        if isinstance(value, TableRoute):
            return value
        if not isinstance(value, Mapping):
            raise ValueError(f"'{value}' is not a dictionary")
        unknown = sorted(str(name) for name in value if name not in self.members)
        if unknown:
            raise ValueError(f"unexpected keys {unknown} in '{dict(value)}'")
        if "destination" not in value:
            raise ValueError(f"'destination' is missing in '{dict(value)}'")
        return TableRoute(**{name: self.members[name].parse(one) for name, one in value.items()})

    def schema(self) -> Schema:
        return {
            "type": "object",
            "properties": {name: member.schema() for name, member in self.members.items()},
            "required": ["destination"],
            "additionalProperties": False,
        }


ROUTES = ListOf(RouteType(), items_max=ROUTES_MAX)


def _type(row: Any) -> str:
    return "vpc" if row.subnet_id is None else "subnet"


ROUTE_TABLE = Resource(
    name="route_table",
    collection="routetables",
    entity=RouteTable,
    prefix="",
    member="routetable",
    text="Where packets of a VPC's subnets go that do not stay inside.",
    columns_shown=("id", "name", "route_table_type", "network_id", "subnet_id"),
    bulk_path=True,
    attributes=(
        *STANDARD,
        Attribute(
            "network_id",
            Uuid(),
            default=UNSET,
            update=Who.NOBODY,
            column=True,
            refers="network",
            text="The VPC it is for; the subnet's if not given.",
        ),
        Attribute(
            "subnet_id",
            Nullable(Uuid()),
            default=None,
            update=Who.NOBODY,
            column=True,
            refers="subnet",
            text="The subnet it is for; null for all that have none of their own.",
        ),
        Attribute(
            "route_table_type",
            Choice(("vpc", "subnet")),
            create=Who.NOBODY,
            update=Who.NOBODY,
            stored=False,
            derive=_type,
            sorts=False,
            text="Whose it is.",
        ),
        Attribute("routes", ROUTES, default=(), filters=False, sorts=False, text="Its routes."),
        Attribute(
            "local_routes",
            ListOf(FreeForm()),
            create=Who.NOBODY,
            update=Who.NOBODY,
            stored=False,
            filters=False,
            sorts=False,
            text="The default routes that stand before them: the VPC's blocks.",
        ),
        *COUNTED,
    ),
)
