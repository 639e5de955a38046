"""A log: which decisions of security groups are written down.

Source: Networking API v2.0, "Logging"; extension logging.
"""

from alcor.model.resource import REQUIRED, Attribute, Entity, Resource, Who
from alcor.model.standard import COUNTED, STANDARD
from alcor.model.value import Boolean, Choice, Nullable, Text, Uuid

PREFIX = "/v2.0/log"
EVENTS = ("ACCEPT", "DROP", "ALL")
LOGGABLE = ("security_group",)
"""Kinds of resources whose decisions can be logged."""


class Log(Entity, frozen=True, kw_only=True, gc=False):
    """Decisions of the kind `event` by the group `resource_id` (None: by any) about packets of the port `target_id`
    (None: of any) of the project are logged while `enabled`."""

    resource_type: str
    resource_id: str | None = None
    target_id: str | None = None
    event: str = "ALL"
    enabled: bool = True


LOG = Resource(
    name="log",
    collection="logs",
    entity=Log,
    prefix=PREFIX,
    error_name="LogResource",
    text="Which decisions of security groups are written down.",
    columns_shown=("id", "enabled", "name", "resource_type", "event"),
    attributes=(
        *STANDARD,
        Attribute(
            "resource_type",
            Text(255),
            default=REQUIRED,
            update=Who.NOBODY,
            text="What decides: security_group.",
        ),
        Attribute(
            "resource_id",
            Nullable(Uuid()),
            default=None,
            update=Who.NOBODY,
            column=True,
            text="The one that decides; null for every one of the project.",
        ),
        Attribute(
            "target_id",
            Nullable(Uuid()),
            default=None,
            update=Who.NOBODY,
            column=True,
            text="The port; null for every one of the project.",
        ),
        Attribute(
            "event",
            Choice(EVENTS),
            default="ALL",
            update=Who.NOBODY,
            text="Packets that are let through, that are dropped, or both.",
        ),
        Attribute("enabled", Boolean(), default=True, text="Whether it is written now."),
        *COUNTED,
    ),
)
