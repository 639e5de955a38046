"""A project's own limits; what it does not name is as the region's configuration has it.

Source: Networking API v2.0, "Quotas extension"; extensions quotas, quota_details, quota-check-limit.
"""

from alcor.model.resource import Attribute, Entity, Resource, Who
from alcor.model.standard import COUNTED, ID
from alcor.model.value import FreeForm, Text

UNLIMITED = -1


class Quota(Entity, frozen=True, kw_only=True, gc=False):
    """`limits`: quota name → how many rows the project may have, -1 for any number."""

    limits: dict[str, int] = {}


QUOTA = Resource(
    name="quota",
    collection="quotas",
    entity=Quota,
    text="What a project may have; served by paths of its own.",
    attributes=(
        ID,
        Attribute(
            "project_id",
            Text(255),
            create=Who.NOBODY,
            update=Who.NOBODY,
            column=True,
            text="Whose limits they are.",
        ),
        Attribute("limits", FreeForm(), filters=False, sorts=False, text="Quota name → limit."),
        *COUNTED,
    ),
)
