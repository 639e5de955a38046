"""The attributes every resource of the Networking API has."""

from alcor.model.resource import Attribute, Who
from alcor.model.value import Integer, Text, Uuid

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
COUNTED = (CREATED_AT, UPDATED_AT, REVISION_NUMBER)
