"""A QoS policy: a named set of rules for how fast and how urgent packets are.

Source: Networking API v2.0, "QoS policies"; extensions qos, qos-default.
"""

from alcor.model.rbac_policy import AS_SHARED
from alcor.model.resource import Attribute, Entity, Resource, Who
from alcor.model.standard import COUNTED, STANDARD, TAGS, TAGS_LOOKUP
from alcor.model.value import Boolean, FreeForm, ListOf

PREFIX = "/v2.0/qos"


class QosPolicy(Entity, frozen=True, kw_only=True, gc=False):
    """A named set of rules. `is_default`: new networks of the project that name none have it."""

    is_default: bool = False


QOS_POLICY = Resource(
    name="qos_policy",
    collection="policies",
    entity=QosPolicy,
    prefix=PREFIX,
    member="policy",
    error_name="QosPolicy",
    text="A set of rules for how fast and how urgent packets are.",
    columns_shown=("id", "name", "shared", "is_default", "project_id"),
    shared_as=(AS_SHARED,),
    lookups=(TAGS_LOOKUP,),
    attributes=(
        *STANDARD,
        TAGS,
        Attribute(
            "shared",
            Boolean(),
            default=False,
            stored=False,
            sorts=False,
            text="Whether other projects may use it.",
        ),
        Attribute(
            "is_default",
            Boolean(),
            default=False,
            text="Whether new networks of the project have it unless they name another.",
        ),
        Attribute(
            "rules",
            ListOf(FreeForm()),
            create=Who.NOBODY,
            update=Who.NOBODY,
            stored=False,
            filters=False,
            sorts=False,
            text="Its rules, of every type.",
        ),
        *COUNTED,
    ),
)
