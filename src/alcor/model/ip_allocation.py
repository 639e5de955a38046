"""An address taken from a subnet by itself, without a port: kept out of what ports are given."""

from typing import Any

from alcor.model.resource import UNSET, Attribute, Entity, Resource, Who
from alcor.model.standard import COUNTED, STANDARD
from alcor.model.value import IP, Choice, Nullable, Uuid

ACTIVATED, DEACTIVATED = "activated", "deactivated"


class IpAllocation(Entity, frozen=True, kw_only=True, gc=False):
    """One address of one subnet. A port's addresses are in the port; these belong to nobody else.

    `state` is a note of who took it; a deactivated address is as taken as an activated one.
    """

    subnet_id: str
    ip_address: str
    range_id: str | None = None
    state: str = ACTIVATED


def _on_create(name: str, type_: Any, default: Any, text: str) -> Attribute:
    return Attribute(
        name,
        type_,
        default=default,
        update=Who.NOBODY,
        see=Who.NOBODY,
        stored=False,
        filters=False,
        sorts=False,
        text=text,
    )


IP_ALLOCATION = Resource(
    name="ip",
    collection="ips",
    entity=IpAllocation,
    prefix="",
    text="An address taken from a subnet without a port (Private IP Manager).",
    columns_shown=("id", "ip_address", "subnet_id"),
    bulk_path=True,
    attributes=(
        *STANDARD,
        Attribute(
            "subnet_id",
            Uuid(),
            default=UNSET,
            update=Who.NOBODY,
            column=True,
            refers="subnet",
            text="The subnet it is taken from; found by range_id or network_id if not given.",
        ),
        Attribute(
            "range_id",
            Nullable(Uuid()),
            default=None,
            update=Who.NOBODY,
            column=True,
            refers="ip_range",
            text="The range it is taken from; null for the subnet's allocation pools.",
        ),
        Attribute(
            "ip_address",
            IP,
            default=UNSET,
            column=True,
            text="The address; a free one if not given. A change takes one and gives the other back.",
        ),
        Attribute(
            "state",
            Choice((ACTIVATED, DEACTIVATED)),
            default=ACTIVATED,
            column=True,
            text="`deactivated`: taken, but not in use now.",
        ),
        _on_create(
            "network_id",
            Nullable(Uuid()),
            None,
            "On create: the network of which any subnet with room will do.",
        ),
        _on_create(
            "ip_version",
            Nullable(Choice((4, 6))),
            None,
            "On create, with network_id: the version of the address; null for 4.",
        ),
        *COUNTED,
    ),
)
