"""An RBAC policy: one resource of a project, opened to another project, or to all (`*`).

Source: Networking API v2.0, "RBAC Policies"; extensions rbac-policies, rbac-address-group, rbac-address-scope,
rbac-security-groups, rbac-subnetpool.
"""

from alcor.model.resource import REQUIRED, Attribute, Entity, Resource, Who
from alcor.model.standard import COUNTED, ID, PROJECT_ID
from alcor.model.value import Choice, Text, Uuid

EVERYONE = "*"
AS_SHARED, AS_EXTERNAL = "access_as_shared", "access_as_external"
OBJECT_TYPES = (
    "network",
    "qos_policy",
    "security_group",
    "address_scope",
    "subnetpool",
    "address_group",
    "bgpvpn",
)


class RbacPolicy(Entity, frozen=True, kw_only=True, gc=False):
    """`object_id`, a row of kind `object_type`, is opened to project `target_tenant` (or `*`) by `action`."""

    object_type: str
    object_id: str
    target_tenant: str
    action: str


RBAC_POLICY = Resource(
    name="rbac_policy",
    collection="rbac-policies",
    entity=RbacPolicy,
    text="Opens one resource of a project to another project, or to all.",
    columns_shown=("id", "object_type", "object_id"),
    error_name="RbacPolicy",
    quota="rbac_policy",
    attributes=(
        ID,
        PROJECT_ID,
        Attribute(
            "object_type",
            Choice(OBJECT_TYPES),
            default=REQUIRED,
            update=Who.NOBODY,
            text="The kind of what is opened.",
        ),
        Attribute(
            "object_id",
            Uuid(),
            default=REQUIRED,
            update=Who.NOBODY,
            column=True,
            text="The ID of what is opened.",
        ),
        Attribute(
            "target_tenant",
            Text(255),
            default=REQUIRED,
            column=True,
            text="The project it is opened to; * for all of them.",
        ),
        Attribute(
            "action",
            Choice((AS_SHARED, AS_EXTERNAL)),
            default=REQUIRED,
            update=Who.NOBODY,
            text="What the project may do: use it, or use it as an external network.",
        ),
        *COUNTED,
    ),
)
