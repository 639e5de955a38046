"""A floating IP pool: a subnet that floating IPs are taken from. Not stored: made from subnets of external networks."""

from dataclasses import replace

from alcor.model.resource import Attribute, Entity, Resource, Who
from alcor.model.standard import ID, PROJECT_ID
from alcor.model.value import CIDR, Text, Uuid


class FloatingIpPool(Entity, frozen=True, kw_only=True, gc=False):
    """One IPv4 subnet of an external network. Its id is the subnet's; `project_id` is whoever asks."""

    subnet_id: str
    subnet_name: str
    network_id: str
    cidr: str


FLOATINGIP_POOL = Resource(
    name="floatingip_pool",
    collection="floatingip_pools",
    entity=FloatingIpPool,
    text="A subnet that floating IPs are taken from.",
    columns_shown=("subnet_id", "subnet_name", "cidr"),
    attributes=(
        replace(ID, see=Who.NOBODY),
        PROJECT_ID,
        Attribute("subnet_id", Uuid(), create=Who.NOBODY, update=Who.NOBODY, text="The subnet."),
        Attribute("subnet_name", Text(255), create=Who.NOBODY, update=Who.NOBODY, text="Its name."),
        Attribute("network_id", Uuid(), create=Who.NOBODY, update=Who.NOBODY, text="The external network."),
        Attribute("cidr", CIDR, create=Who.NOBODY, update=Who.NOBODY, text="The subnet's prefix."),
    ),
)
