"""An address taken from a subnet by itself, without a port: kept out of what ports are given."""

from alcor.model.resource import REQUIRED, UNSET, Attribute, Entity, Resource, Who
from alcor.model.standard import COUNTED, STANDARD
from alcor.model.value import IP, Uuid


class IpAllocation(Entity, frozen=True, kw_only=True, gc=False):
    """One address of one subnet. A port's addresses are in the port; these belong to nobody else."""

    subnet_id: str
    ip_address: str


IP_ALLOCATION = Resource(
    name="ip",
    collection="ips",
    entity=IpAllocation,
    prefix="",
    text="An address taken from a subnet without a port (Private IP Manager).",
    columns_shown=("id", "ip_address", "subnet_id"),
    attributes=(
        *STANDARD,
        Attribute(
            "subnet_id",
            Uuid(),
            default=REQUIRED,
            update=Who.NOBODY,
            column=True,
            refers="subnet",
            text="The subnet it is taken from.",
        ),
        Attribute(
            "ip_address",
            IP,
            default=UNSET,
            update=Who.NOBODY,
            column=True,
            text="The address; one of the allocation pools if not given.",
        ),
        *COUNTED,
    ),
)
