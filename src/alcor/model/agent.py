"""An agent as the Networking API shows it: made from a host and what was heard of it.

Source: Networking API v2.0, "Networking agents"; extensions agent, availability_zone, agent-resources-synced.
"""

from typing import Any

from alcor.model.resource import Attribute, Entity, Resource, Who
from alcor.model.standard import CREATED_AT, DESCRIPTION, ID
from alcor.model.value import Boolean, FreeForm, Nullable, Text

AGENT_TYPE = "Open vSwitch agent"
BINARY = "alcor-agent"


class Agent(Entity, frozen=True, kw_only=True, gc=False):
    """The agent of one host; it has the host's id."""

    host: str
    agent_type: str = AGENT_TYPE
    binary: str = BINARY
    topic: str = "N/A"
    admin_state_up: bool = True
    alive: bool = False
    started_at: str | None = None
    heartbeat_timestamp: str | None = None
    availability_zone: str | None = None
    configurations: dict[str, Any] = {}
    resources_synced: bool | None = None


def _read_only(name: str, kind: Any, text: str) -> Attribute:
    return Attribute(name, kind, create=Who.NOBODY, update=Who.NOBODY, text=text)


AGENT = Resource(
    name="agent",
    collection="agents",
    entity=Agent,
    text="The process that programs a host's switch.",
    columns_shown=("id", "agent_type", "host", "availability_zone", "alive", "admin_state_up", "binary"),
    attributes=(
        ID,
        _read_only("agent_type", Text(255), "What kind of agent it is."),
        _read_only("binary", Text(255), "The program."),
        _read_only("topic", Text(255), "Kept for clients; agents of Alcor have no message queue."),
        _read_only("host", Text(255), "The name of its host."),
        Attribute(
            "admin_state_up",
            Boolean(),
            create=Who.NOBODY,
            text="Whether new work may be placed on its host.",
        ),
        DESCRIPTION,
        CREATED_AT,
        _read_only("started_at", Nullable(Text(32)), "When it was registered."),
        _read_only(
            "heartbeat_timestamp", Nullable(Text(32)), "When it was last heard; null if it never was."
        ),
        _read_only("alive", Boolean(), "Whether it is heard now."),
        _read_only("availability_zone", Nullable(Text(255)), "The zone of its host."),
        _read_only("configurations", FreeForm(65_535), "What it says of itself."),
        _read_only("resources_synced", Nullable(Boolean()), "Whether it has everything its host needs."),
    ),
)
