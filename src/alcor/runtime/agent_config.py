"""The host agent's configuration tree: the sections [agent] and [agent_log] of the same file."""

from pathlib import Path
from typing import Annotated

from msgspec import Meta, Struct, field


class Agent(Struct, frozen=True, kw_only=True):
    """One host's agent."""

    host_id: Annotated[str, Meta(description="The host's ID, as its registration answered.")] = ""
    token_file: Annotated[Path, Meta(description="A file with the token the registration answered.")] = Path(
        "/etc/alcor/agent.token"
    )
    ncm: Annotated[
        str, Meta(description="Where the region serves agents: `address:port` or `unix:/path/agents.sock`.")
    ] = "127.0.0.1:9697"
    ovsdb: Annotated[Path, Meta(description="Open vSwitch's database socket.")] = Path(
        "/var/run/openvswitch/db.sock"
    )
    run_folder: Annotated[Path, Meta(description="Where the bridges' management sockets are.")] = Path(
        "/var/run/openvswitch"
    )
    bridge: Annotated[str, Meta(description="The integration bridge; made if it is not there.")] = "br-int"
    datapath_type: Annotated[
        str, Meta(description="`system`, `netdev`, or empty: as the bridge is, `system` for a new one.")
    ] = ""
    status_socket: Annotated[Path, Meta(description="Where `alcor-agent status` asks.")] = Path(
        "/run/alcor-agent.sock"
    )
    release_hold: Annotated[
        bool, Meta(description="Let deletions go on that a new epoch or a suspicious snapshot holds back.")
    ] = False


class AgentLog(Struct, frozen=True, kw_only=True):
    """What the agent writes to standard error."""

    level: Annotated[
        str, Meta(description="debug, info, warning or error.", pattern="^(debug|info|warning|error)$")
    ] = "info"
    json: Annotated[bool, Meta(description="One JSON object a line instead of readable text.")] = False


class AgentConfig(Struct, frozen=True, kw_only=True):
    """Everything `alcor-agent run` can be told."""

    agent: Agent = field(default_factory=Agent)
    agent_log: AgentLog = AgentLog()
