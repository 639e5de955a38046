"""A security group. So far only each project's default one exists, stored with every port (protocol, 5)."""

from alcor.model.resource import Entity, Resource
from alcor.model.standard import COUNTED, STANDARD


class SecurityGroup(Entity, frozen=True, kw_only=True, gc=False):
    """A named set of rules."""


SECURITY_GROUP = Resource(
    name="security_group",
    collection="security-groups",
    entity=SecurityGroup,
    text="A set of rules for the packets of ports; not served by the API until packets obey it.",
    attributes=(*STANDARD, *COUNTED),
)
