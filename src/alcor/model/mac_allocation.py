"""A MAC address taken on a network by itself, without a port: kept out of what ports are given."""

from alcor.model.resource import REQUIRED, UNSET, Attribute, Entity, Resource, Who
from alcor.model.standard import COUNTED, STANDARD
from alcor.model.value import MAC, Uuid


class MacAllocation(Entity, frozen=True, kw_only=True, gc=False):
    """One MAC address of one network. A port's address is in the port; these belong to nobody else."""

    network_id: str
    mac_address: str


MAC_ALLOCATION = Resource(
    name="mac",
    collection="macs",
    entity=MacAllocation,
    prefix="",
    text="A MAC address taken on a network without a port (Virtual MAC Manager).",
    columns_shown=("id", "mac_address", "network_id"),
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
            update=Who.NOBODY,
            column=True,
            text="The address; one of an enabled range if not given.",
        ),
        *COUNTED,
    ),
)
