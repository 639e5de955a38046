"""The host agent's configuration tree: [agent], [metadata], [bgp], [rescue] and [agent_log] of the file."""

from pathlib import Path
from typing import Annotated

from msgspec import Meta, Struct, field

from alcor.agent.on_demand import LookupTimes
from alcor.identity.mode import Mode
from alcor.pipeline.host_service import SERVER_DEVICE


class Agent(Struct, frozen=True, kw_only=True):
    """One host's agent."""

    host_id: Annotated[
        str, Meta(description="The host's ID, as its registration answered; what joining answered, if empty.")
    ] = ""
    token_file: Annotated[Path, Meta(description="A file with the token the registration answered.")] = Path(
        "/etc/alcor/agent.token"
    )
    identity_folder: Annotated[
        Path, Meta(description="Where `alcor-agent join` keeps the host's key and certificates.")
    ] = Path("/etc/alcor/identity")
    region: Annotated[
        str,
        Meta(
            description="The region's API, where the certificate is renewed; where the host joined, if empty."
        ),
    ] = ""
    tls: Annotated[
        Mode,
        Meta(
            description="Mutual TLS to the ncm: `auto` is as joining answered, else to TCP addresses that are not "
            "loopback."
        ),
    ] = "auto"
    ncm: Annotated[
        str,
        Meta(
            description="Where the region serves agents: `address:port` or `unix:/path/agents.sock`; what joining "
            "answered, else 127.0.0.1:9697, if empty."
        ),
    ] = ""
    fallback_ncms: Annotated[
        tuple[str, ...],
        Meta(description="Other ncms, asked in turn when that one fails; it is asked again after a minute."),
    ] = ()
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
    lookup_idle_s: Annotated[
        float,
        Meta(
            ge=1,
            le=86_400,
            description="Seconds after which a peer in a large network is forgotten if no packet met its flows.",
        ),
    ] = LookupTimes().idle_s
    lookup_ttl_s: Annotated[
        float,
        Meta(
            ge=1,
            le=86_400,
            description="Seconds after which what is held of a large network is confirmed again.",
        ),
    ] = LookupTimes().ttl_s
    release_hold: Annotated[
        bool, Meta(description="Let deletions go on that a new epoch or a suspicious snapshot holds back.")
    ] = False


class Metadata(Struct, frozen=True, kw_only=True):
    """What VMs find at 169.254.169.254, fd00:ec2::254 and fe80::a9fe:a9fe: who they are (port 80), and names (53)."""

    enabled: Annotated[
        bool,
        Meta(description="Whether this host serves metadata and names; it needs CAP_NET_ADMIN for that."),
    ] = True
    device: Annotated[
        str,
        Meta(
            description="The port of the bridge that the services listen on; a name of its own on each host.",
            min_length=1,
            max_length=15,
        ),
    ] = SERVER_DEVICE
    nova_url: Annotated[
        str,
        Meta(
            description="The compute service's metadata API, `http://address:8775`, which is asked for everything; "
            "empty: the host itself tells identity and network.",
            pattern="^(https?://.+)?$",
        ),
    ] = ""
    nova_secret_file: Annotated[
        Path,
        Meta(description="A file with the secret shared with it (its `metadata_proxy_shared_secret`)."),
    ] = Path("/etc/alcor/metadata.secret")


class Bgp(Struct, frozen=True, kw_only=True):
    """Advertising floating IPs and subnets to BGP peers, on hosts that may serve gateways (FRR's bgpd)."""

    enabled: Annotated[bool, Meta(description="Whether this host speaks BGP if a speaker is to be here.")] = (
        True
    )
    source_address: Annotated[
        str,
        Meta(
            description="The address that sessions with peers of its family are opened from; empty: the host's choice.",
            pattern=r"^[0-9a-fA-F.:]*$",
        ),
    ] = ""
    run_folder: Annotated[
        Path, Meta(description="Where the files of each bgpd are; FRR's account must reach it.")
    ] = Path("/run/alcor-bgp")


class Rescue(Struct, frozen=True, kw_only=True):
    """Neighbours program this host's switch while its agent is dead, and it theirs; for hosts that have joined."""

    enabled: Annotated[
        bool,
        Meta(
            description="Whether the switch listens for neighbours (mutual TLS), and this agent rescues others; "
            "the region's `dataplane.rescue_after_s` says when."
        ),
    ] = False
    ovsdb_port: Annotated[
        int, Meta(ge=1, le=65_535, description="Where switches listen for OVSDB; one number in the region.")
    ] = 6640
    openflow_port: Annotated[
        int,
        Meta(ge=1, le=65_535, description="Where switches listen for OpenFlow; one number in the region."),
    ] = 6653


class AgentLog(Struct, frozen=True, kw_only=True):
    """What the agent writes to standard error."""

    level: Annotated[
        str, Meta(description="debug, info, warning or error.", pattern="^(debug|info|warning|error)$")
    ] = "info"
    json: Annotated[bool, Meta(description="One JSON object a line instead of readable text.")] = False


class AgentConfig(Struct, frozen=True, kw_only=True):
    """Everything `alcor-agent run` can be told."""

    agent: Agent = field(default_factory=Agent)
    metadata: Metadata = field(default_factory=Metadata)
    bgp: Bgp = Bgp()
    rescue: Rescue = Rescue()
    agent_log: AgentLog = AgentLog()
