"""A MAC address taken on a network by itself, without a port: kept out of what ports are given."""

from alcor.model.resource import REQUIRED, UNSET, Attribute, Entity, Resource, Who
from alcor.model.standard import COUNTED, STANDARD
from alcor.model.value import MAC, Choice, Nullable, Uuid

ACTIVE, INACTIVE = "active", "inactive"


class MacAllocation(Entity, frozen=True, kw_only=True, gc=False):
    """One MAC address of one network. A port's address is in the port; these belong to nobody else.

    `state` is a note of who took it; an inactive address is as taken as an active one.
    """

    network_id: str
    mac_address: str
    state: str = ACTIVE


MAC_ALLOCATION = Resource(
    name="mac",
    collection="macs",
    entity=MacAllocation,
    prefix="",
    text="A MAC address taken on a network without a port (Virtual MAC Manager).",
    columns_shown=("id", "mac_address", "network_id"),
    bulk_path=True,
    attributes=(
        *STANDARD,
        Attribute(
            "network_id",
            Uuid(),
            default=REQUIRED,
            update=Who.NOBODY,
            column=True,
            refers="network",
            text="The network on which it is unique.",
        ),
        Attribute(
            "mac_address",
            MAC,
            default=UNSET,
            column=True,
            text="The address; one of an enabled range if not given. A change takes one and gives the other back.",
        ),
        Attribute(
            "state",
            Choice((ACTIVE, INACTIVE)),
            default=ACTIVE,
            column=True,
            text="`inactive`: taken, but not in use now.",
        ),
        Attribute(
            "range_id",
            Nullable(Uuid()),
            default=None,
            create=Who.ADMIN,
            update=Who.NOBODY,
            see=Who.NOBODY,
            stored=False,
            filters=False,
            sorts=False,
            text="On create: the range the address is to be of.",
        ),
        *COUNTED,
    ),
)
