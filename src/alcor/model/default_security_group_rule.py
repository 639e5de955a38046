"""The template: rules that a new security group begins with.

Source: Networking API v2.0, "Security group default rules"; extension security-groups-default-rules.
"""

from alcor.model.resource import Attribute, Entity, Resource, Who
from alcor.model.security_group_rule import MATCH, REMOTE_ID
from alcor.model.standard import DESCRIPTION, ID
from alcor.model.value import Boolean

PARENT = "PARENT"
"""As a `remote_group_id`: the new group itself."""


class DefaultSecurityGroupRule(Entity, frozen=True, kw_only=True, gc=False):
    """A rule as of `SecurityGroupRule`, copied into new default groups, into other new groups, or into both."""

    direction: str
    ethertype: str = "IPv4"
    protocol: str | None = None
    port_range_min: int | None = None
    port_range_max: int | None = None
    remote_ip_prefix: str | None = None
    remote_group_id: str | None = None
    remote_address_group_id: str | None = None
    used_in_default_sg: bool = False
    used_in_non_default_sg: bool = True


DEFAULT_SECURITY_GROUP_RULE = Resource(
    name="default_security_group_rule",
    collection="default-security-group-rules",
    entity=DefaultSecurityGroupRule,
    text="A rule that new security groups begin with.",
    columns_shown=("id", "direction", "ethertype", "protocol"),
    attributes=(
        ID,
        DESCRIPTION,
        *MATCH,
        Attribute(
            "remote_group_id",
            REMOTE_ID,
            default=None,
            update=Who.NOBODY,
            text="The other end: a group; PARENT for the new group itself.",
        ),
        Attribute(
            "remote_address_group_id",
            REMOTE_ID,
            default=None,
            update=Who.NOBODY,
            text="The other end: an address group.",
        ),
        Attribute(
            "used_in_default_sg",
            Boolean(),
            default=False,
            update=Who.NOBODY,
            text="Whether new default groups get it.",
        ),
        Attribute(
            "used_in_non_default_sg",
            Boolean(),
            default=True,
            update=Who.NOBODY,
            text="Whether other new groups get it.",
        ),
    ),
)
