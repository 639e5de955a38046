"""The attributes every resource of the Networking API has."""

from typing import Any

from alcor.model.resource import Attribute, Lookup, Who
from alcor.model.value import Integer, SetOf, Text, Uuid

# Source: Networking API v2.0, "Resource tags".
TAG_CHARS_MAX = 255
TAGS_MAX = 50

ID = Attribute(
    "id", Uuid(), create=Who.NOBODY, update=Who.NOBODY, column=True, text="The ID of the resource."
)
PROJECT_ID = Attribute(
    "project_id",
    Text(255),
    create=Who.ADMIN,
    update=Who.NOBODY,
    column=True,
    text="The ID of the project that owns the resource.",
)
NAME = Attribute("name", Text(255), default="", column=True, text="A human-readable name, not unique.")
DESCRIPTION = Attribute("description", Text(255), default="", text="A human-readable description.")
REVISION_NUMBER = Attribute(
    "revision_number",
    Integer(0, 2**63 - 1),
    create=Who.NOBODY,
    update=Who.NOBODY,
    text="Counts the changes of the resource; `If-Match: revision_number=N` compares it.",
)
CREATED_AT = Attribute(
    "created_at", Text(32), create=Who.NOBODY, update=Who.NOBODY, text="When it was created (UTC)."
)
UPDATED_AT = Attribute(
    "updated_at", Text(32), create=Who.NOBODY, update=Who.NOBODY, text="When it was last changed (UTC)."
)

STANDARD = (ID, NAME, PROJECT_ID, DESCRIPTION)
"""Without tags: for what has them, `(*STANDARD, TAGS, …)` and `TAGS_LOOKUP`."""
COUNTED = (CREATED_AT, UPDATED_AT, REVISION_NUMBER)


def _tag_rows(row: Any) -> list[tuple[Any, ...]]:
    return [(tag,) for tag in row.tags]


TAGS = Attribute(
    "tags",
    SetOf(Text(TAG_CHARS_MAX, 1), items_max=TAGS_MAX),
    default=(),
    update=Who.NOBODY,
    sorts=False,
    text="Words of the user's; `PUT <resource>/tags` replaces them.",
)
TAGS_LOOKUP = Lookup("tags", ("tag",), _tag_rows)
"""Goes into `Resource.lookups` of every resource with `TAGS`: filters are index look-ups."""
