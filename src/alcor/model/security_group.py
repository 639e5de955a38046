"""A security group: a named set of rules for the packets of the ports in it.

Source: Networking API v2.0, "Security groups"; extensions security-group, stateful-security-group,
security-groups-shared-filtering.
"""

from typing import Any

from alcor.model.rbac_policy import AS_SHARED
from alcor.model.resource import Attribute, Entity, Resource, Who
from alcor.model.standard import COUNTED, STANDARD, TAGS, TAGS_LOOKUP
from alcor.model.value import Boolean, FreeForm, ListOf

DEFAULT_NAME = "default"
"""The group of that name is the project's default one; no other may have it, in any spelling."""


class SecurityGroup(Entity, frozen=True, kw_only=True, gc=False):
    """A named set of rules. `stateful`: answers to what a rule lets through are let through as well."""

    stateful: bool = True


def is_default(row: Any) -> bool:
    """Whether the group is its project's default one."""
    return bool(row.name == DEFAULT_NAME)


SECURITY_GROUP = Resource(
    name="security_group",
    collection="security-groups",
    entity=SecurityGroup,
    text="A set of rules for the packets of the ports in it.",
    columns_shown=("id", "name", "description", "project_id"),
    quota="security_group",
    shared_as=(AS_SHARED,),
    lookups=(TAGS_LOOKUP,),
    attributes=(
        *STANDARD,
        TAGS,
        Attribute(
            "stateful",
            Boolean(),
            default=True,
            text="Whether answers to what a rule lets through are let through as well.",
        ),
        Attribute(
            "shared",
            Boolean(),
            create=Who.NOBODY,
            update=Who.NOBODY,
            stored=False,
            sorts=False,
            text="Whether an RBAC policy opens it to the caller's project.",
        ),
        Attribute(
            "security_group_rules",
            ListOf(FreeForm()),
            create=Who.NOBODY,
            update=Who.NOBODY,
            stored=False,
            filters=False,
            sorts=False,
            text="Its rules.",
        ),
        *COUNTED,
    ),
)
