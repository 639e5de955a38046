"""A trunk: a port whose guest has several networks on one interface, told apart by VLAN tags.

Source: Networking API v2.0, "Trunk networking"; extensions trunk, trunk-details.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from alcor.model.resource import REQUIRED, Attribute, Entity, Lookup, Resource, Who
from alcor.model.standard import COUNTED, STANDARD, TAGS, TAGS_LOOKUP
from alcor.model.value import Boolean, Integer, ListOf, Nullable, Record, Schema, Text, Uuid

VLAN, INHERIT = "vlan", "inherit"
# IEEE 802.1Q; 0 and 4095 are reserved.
VLAN_MIN, VLAN_MAX = 1, 4_094


class SubPort(msgspec.Struct, frozen=True, gc=False):
    """A port of another network on the trunk, and the tag of its frames there."""

    port_id: str
    segmentation_type: str
    segmentation_id: int


class WantedSubPort(msgspec.Struct, frozen=True, gc=False):
    """What a client says of one. Removing names the port only; `inherit` takes the tag of the port's network."""

    port_id: str
    segmentation_type: str | None
    segmentation_id: int | None


class Trunk(Entity, frozen=True, kw_only=True, gc=False):
    """The parent port and the ports on it; all of them name the trunk in `Port.extra.trunk_id`."""

    port_id: str
    admin_state_up: bool = True
    sub_ports: tuple[SubPort, ...] = ()


_SUB_PORT = Record(
    {
        "port_id": Uuid(),
        "segmentation_type": Nullable(Text(32)),
        "segmentation_id": Nullable(Integer()),
    },
    WantedSubPort,
)


@dataclass(frozen=True, slots=True)
class _SubPorts(ListOf):
    """Subports, no port and no tag twice."""

    def parse(self, value: object) -> tuple[WantedSubPort, ...]:
        # Stored ones are as good: what was parsed may be parsed again.
        plain = [
            msgspec.structs.asdict(one) if isinstance(one, SubPort) else one
            for one in (value if isinstance(value, list | tuple) else ())
        ]
        wanted: tuple[WantedSubPort, ...] = ListOf.parse(
            self, plain if isinstance(value, list | tuple) else value
        )
        ports: set[str] = set()
        tags: set[tuple[str | None, int]] = set()
        for one in wanted:
            if one.port_id in ports:
                raise ValueError(f"port {one.port_id} is there twice")
            ports.add(one.port_id)
            if one.segmentation_type == INHERIT or one.segmentation_id is None:
                continue
            tag = (one.segmentation_type, one.segmentation_id)
            if tag in tags:
                raise ValueError(
                    f"segmentation_id {one.segmentation_id} of port {one.port_id} is another one's already"
                )
            tags.add(tag)
        return wanted

    def schema(self) -> Schema:
        return ListOf.schema(self)


SUB_PORTS = _SubPorts(_SUB_PORT, items_max=VLAN_MAX, unique=False)


def shown_sub_ports(row: Trunk) -> list[Mapping[str, Any]]:
    """The subports as clients see them."""
    return [msgspec.structs.asdict(one) for one in row.sub_ports]


def _sub_port_rows(row: Any) -> list[tuple[Any, ...]]:
    return [(one.port_id,) for one in row.sub_ports]


TRUNK = Resource(
    name="trunk",
    collection="trunks",
    entity=Trunk,
    text="A port whose guest reaches several networks over one interface.",
    columns_shown=("id", "name", "port_id", "status"),
    quota="trunk",
    lookups=(Lookup("sub_ports", ("port_id",), _sub_port_rows, refers={"port_id": "port"}), TAGS_LOOKUP),
    attributes=(
        *STANDARD,
        TAGS,
        Attribute(
            "port_id",
            Uuid(),
            default=REQUIRED,
            update=Who.NOBODY,
            column=True,
            refers="port",
            text="The parent port, which carries the others.",
        ),
        Attribute("admin_state_up", Boolean(), default=True, text="Whether it may be changed."),
        Attribute(
            "status",
            Text(16),
            create=Who.NOBODY,
            update=Who.NOBODY,
            stored=False,
            sorts=False,
            text="ACTIVE once the parent port and every subport are, else DOWN.",
        ),
        Attribute(
            "sub_ports",
            SUB_PORTS,
            default=(),
            update=Who.NOBODY,
            sorts=False,
            text="The ports on it: {port_id, segmentation_type (vlan or inherit), segmentation_id}.",
        ),
        *COUNTED,
    ),
)
