"""The network and router that were made for a project that asked for "any network"."""

from alcor.model.resource import Attribute, Entity, Resource, Who
from alcor.model.standard import ID, PROJECT_ID
from alcor.model.value import Uuid


class AutoTopology(Entity, frozen=True, kw_only=True, gc=False):
    """`network_id` and `router_id` were made for `project_id`, once (claim `auto_topology`)."""

    network_id: str
    router_id: str


AUTO_TOPOLOGY = Resource(
    name="auto_allocated_topology",
    collection="auto-allocated-topologies",
    entity=AutoTopology,
    text="The network made for a project that asked for any; it has paths of its own.",
    attributes=(
        ID,
        PROJECT_ID,
        Attribute(
            "network_id",
            Uuid(),
            create=Who.NOBODY,
            update=Who.NOBODY,
            column=True,
            text="The network.",
        ),
        Attribute(
            "router_id",
            Uuid(),
            create=Who.NOBODY,
            update=Who.NOBODY,
            column=True,
            text="The router.",
        ),
    ),
)
