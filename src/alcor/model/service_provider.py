"""A service provider: what implements a service. Source: extension service-type."""

from alcor.model.resource import Attribute, Entity, Resource, Who
from alcor.model.value import Boolean, Text


class ServiceProvider(Entity, frozen=True, kw_only=True, gc=False):
    """One implementation of one kind of service; `id` is made of both."""

    service_type: str
    default: bool = True


SERVICE_PROVIDER = Resource(
    name="service_provider",
    collection="service-providers",
    entity=ServiceProvider,
    text="What implements a service.",
    key="name",
    columns_shown=("service_type", "name", "default"),
    policy={"get": "role:reader or rule:admin_only"},
    attributes=(
        Attribute(
            "service_type", Text(255), create=Who.NOBODY, update=Who.NOBODY, text="The kind of service."
        ),
        Attribute("name", Text(255), create=Who.NOBODY, update=Who.NOBODY, text="Its name."),
        Attribute(
            "default",
            Boolean(),
            create=Who.NOBODY,
            update=Who.NOBODY,
            text="Whether it is taken if none is named.",
        ),
    ),
)
