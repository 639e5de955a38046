"""An availability zone: made from the hosts and the configuration. Source: extension availability_zone."""

from alcor.model.resource import Attribute, Entity, Resource, Who
from alcor.model.value import Choice, Text


class AvailabilityZone(Entity, frozen=True, kw_only=True, gc=False):
    """One zone for one kind of resource; `id` is made of both."""

    resource: str
    state: str = "available"


AVAILABILITY_ZONE = Resource(
    name="availability_zone",
    collection="availability_zones",
    entity=AvailabilityZone,
    text="A part of the region that fails for itself.",
    key="name",
    columns_shown=("name", "state", "resource"),
    policy={"get": "role:reader or rule:admin_only"},
    attributes=(
        Attribute("name", Text(255), create=Who.NOBODY, update=Who.NOBODY, text="Its name."),
        Attribute(
            "resource",
            Choice(("network", "router")),
            create=Who.NOBODY,
            update=Who.NOBODY,
            text="What may be placed in it.",
        ),
        Attribute(
            "state",
            Choice(("available", "unavailable")),
            create=Who.NOBODY,
            update=Who.NOBODY,
            text="unavailable if every host in it is out of rotation.",
        ),
    ),
)
