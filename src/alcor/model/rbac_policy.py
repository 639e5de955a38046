"""An RBAC policy: one resource of a project, opened to another project, or to all (`*`).

Source: Networking API v2.0, "RBAC Policies"; extensions rbac-policies, rbac-address-group, rbac-address-scope,
rbac-security-groups, rbac-subnetpool.
"""

from alcor.model.ids import is_uuid
from alcor.model.resource import REQUIRED, Attribute, Entity, Resource, Who
from alcor.model.standard import COUNTED, ID, PROJECT_ID
from alcor.model.value import Parsed, Text, Uuid

EVERYONE = "*"
AS_SHARED, AS_EXTERNAL = "access_as_shared", "access_as_external"


def _parse_type(text: str) -> str:
    return text.strip().lower()


def _parse_target(text: str) -> str:
    bare = text.strip("{}").replace("-", "").lower()
    if text != EVERYONE and not is_uuid(
        "-".join((bare[:8], bare[8:12], bare[12:16], bare[16:20], bare[20:]))
    ):
        raise ValueError(f"'{text[:64]}' is not a valid target project; name a project's ID (a UUID) or '*'")
    return text


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
    # Only administrators open things to all.
    policy={
        "create:target_tenant": "rule:restrict_wildcard",
        "update:target_tenant": "rule:restrict_wildcard",
    },
    attributes=(
        ID,
        PROJECT_ID,
        Attribute(
            "object_type",
            Parsed(_parse_type, "kind"),
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
            Parsed(_parse_target, "project"),
            default=REQUIRED,
            column=True,
            text="The project it is opened to; * for all of them.",
        ),
        Attribute(
            "action",
            Text(255),
            default=REQUIRED,
            update=Who.NOBODY,
            text="What the project may do: use it, or use it as an external network.",
        ),
        *COUNTED,
    ),
)
