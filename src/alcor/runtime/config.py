"""The region's configuration tree. The reference page docs/reference/config.md is made from it."""

import os
from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from alcor.identity.mode import Mode


def default_data_folder() -> Path:
    """/var/lib/alcor for root, else a folder of the user's own."""
    if os.geteuid() == 0:
        return Path("/var/lib/alcor")
    return Path(os.environ.get("XDG_DATA_HOME", "~/.local/share")).expanduser() / "alcor"


class Data(Struct, frozen=True, kw_only=True):
    """Where the region keeps its state."""

    folder: Annotated[
        Path, Meta(description="Database, admin token, client configuration, agents' socket.")
    ] = field(default_factory=default_data_folder)


class Store(Struct, frozen=True, kw_only=True):
    """The region's database."""

    url: Annotated[
        str,
        Meta(
            description="postgresql://user@host/database, for several processes; SQLite in the data folder if empty."
        ),
    ] = ""


class Bus(Struct, frozen=True, kw_only=True):
    """Between the dataplane and ncms in other processes (gRPC); of no use on SQLite."""

    listen: Annotated[
        tuple[str, ...],
        Meta(
            description="Where a dataplane awaits ncms: address:port or unix:/path; `<data>/bus.sock` in any case."
        ),
    ] = ("127.0.0.1:9698",)
    advertise: Annotated[
        str,
        Meta(
            description="The address of this dataplane for ncms that other dataplanes tell of it; the first of "
            "`listen` if empty, with this machine's name in place of 0.0.0.0."
        ),
    ] = ""
    dataplane: Annotated[
        tuple[str, ...],
        Meta(
            description="Where an ncm finds dataplanes; one that lives is enough, it tells of the others. Its own "
            "process's, else the first of `listen`, if empty."
        ),
    ] = ()
    secret_file: Annotated[
        str,
        Meta(
            description="What ncms prove themselves by; made by the dataplane if missing. `<data>/bus.secret` if empty."
        ),
    ] = ""
    broker: Annotated[
        tuple[str, ...],
        Meta(
            description="NATS servers with JetStream, nats://host:port or tls://host:port, for what many ncms want; "
            "none: everything goes by gRPC."
        ),
    ] = ()
    broker_region: Annotated[
        str,
        Meta(
            pattern="^[A-Za-z0-9_-]{1,64}$",
            description="Tells this region's stream from others' on the same broker.",
        ),
    ] = "region"
    broker_replicas: Annotated[
        int,
        Meta(
            ge=0,
            le=5,
            description="Servers that keep the stream; 0: 3 if `broker` names three or more, else 1.",
        ),
    ] = 0
    broker_ca_file: Annotated[
        str,
        Meta(description="Certificates that sign the broker's (PEM); those the system trusts, if empty."),
    ] = ""
    broker_certificate_file: Annotated[
        str, Meta(description="Our certificate for the broker (PEM), with `broker_key_file`; none if empty.")
    ] = ""
    broker_key_file: Annotated[str, Meta(description="The key of `broker_certificate_file` (PEM).")] = ""
    broker_credentials_file: Annotated[
        str,
        Meta(
            description="A NATS user's credentials (JWT and seed); none if empty. It needs the package nkeys."
        ),
    ] = ""
    normal_from: Annotated[
        int, Meta(ge=1, le=10_000, description="So many ncms want a scope: its steps go by the broker.")
    ] = 4
    fast_below: Annotated[
        int,
        Meta(ge=1, le=10_000, description="Fewer ncms want it still: its steps go by gRPC again."),
    ] = 3


class Tls(Struct, frozen=True, kw_only=True):
    """Mutual TLS between hosts, ncms and dataplanes. Unix sockets never have it."""

    agents: Annotated[
        Mode,
        Meta(description="Where agents attach: `auto` is TLS on TCP addresses that are not loopback."),
    ] = "auto"
    bus: Annotated[
        Mode, Meta(description="Between dataplanes and ncms in other processes; `auto` as above.")
    ] = "auto"
    folder: Annotated[
        str,
        Meta(
            description="The region's authority, made if missing (ca.pem; ca.key signs); `<data>/tls` if empty. "
            "Without ca.key, `<role>.pem` and `<role>.key`."
        ),
    ] = ""
    host_days: Annotated[
        float,
        Meta(ge=0.001, le=825, description="Days a host's certificate is valid; renewed after two thirds."),
    ] = 30.0
    role_days: Annotated[
        float, Meta(ge=0.001, le=825, description="Days the certificate of a process of the region is valid.")
    ] = 90.0


class OperationsEdge(Struct, frozen=True, kw_only=True):
    """What a process without the role api serves to operators' machines."""

    listen: Annotated[
        str, Meta(description="Address and port of its /healthz and /metrics; port 0: any free one.")
    ] = "127.0.0.1:0"


class Api(Struct, frozen=True, kw_only=True):
    """The REST edge."""

    listen: Annotated[str, Meta(description="Address and port of the API, its docs and /metrics.")] = (
        "127.0.0.1:9696"
    )
    public_endpoint: Annotated[
        str, Meta(description="The URL clients reach the API by, if it is not the listening one.")
    ] = ""
    request_head_s: Annotated[
        float, Meta(ge=1, le=600, description="Seconds a client may take to send path and headers.")
    ] = 10.0
    request_body_s: Annotated[
        float, Meta(ge=1, le=3600, description="Seconds it may take from there to send the body.")
    ] = 60.0
    answer_s: Annotated[
        float,
        Meta(ge=1, le=3600, description="Seconds in which it must read some of an answer that waits for it."),
    ] = 30.0
    idle_s: Annotated[
        float, Meta(ge=1, le=3600, description="Seconds a connection stays open without a request.")
    ] = 60.0
    connections_max: Annotated[
        int,
        Meta(
            ge=16,
            le=1_000_000,
            description="Clients' connections at once, as far as open files allow; one more closes the longest idle.",
        ),
    ] = 4_096


class Keystone(Struct, frozen=True, kw_only=True):
    """The identity service whose tokens the API takes; without one it takes the region's own."""

    auth_url: Annotated[
        str,
        Meta(
            description="Keystone's URL, such as http://keystone:5000/v3. If empty, the region's own tokens are used."
        ),
    ] = ""
    username: Annotated[
        str, Meta(description="Who we are to Keystone; needs the role `service` or `admin`.")
    ] = ""
    password: Annotated[str, Meta(description="The password; better kept in `password_file`.")] = ""
    password_file: Annotated[str, Meta(description="The file that holds the password.")] = ""
    project_name: Annotated[str, Meta(description="The project our token is for.")] = "service"
    user_domain_name: Annotated[str, Meta(description="The user's domain.")] = "Default"
    project_domain_name: Annotated[str, Meta(description="The project's domain.")] = "Default"
    region_name: Annotated[
        str,
        Meta(
            description="The catalogue's region whose public identity URL a 401 names; the first there is, if empty."
        ),
    ] = ""
    cache_s: Annotated[
        float,
        Meta(
            ge=0,
            le=3600,
            description="Seconds a valid token is not asked about again: a revocation is honoured within this time.",
        ),
    ] = 60.0
    timeout_s: Annotated[
        float,
        Meta(ge=0.1, le=60, description="Seconds Keystone may take before a request is answered with 503."),
    ] = 5.0
    ca_file: Annotated[
        str, Meta(description="Certificates that sign Keystone's (PEM); those the system trusts, if empty.")
    ] = ""
    service_token_roles: Annotated[
        tuple[str, ...], Meta(description="Roles of which a token in X-Service-Token needs one.")
    ] = ("service",)


class Compute(Struct, frozen=True, kw_only=True):
    """The compute service (Nova), told of its servers' ports by the process with the role dataplane."""

    notify: Annotated[
        bool, Meta(description="Send network-vif-plugged and its kin; needs the section [keystone].")
    ] = False
    url: Annotated[
        str, Meta(description="The compute API's URL; the catalogue's `compute` endpoint, if empty.")
    ] = ""
    interface: Annotated[
        str, Meta(description="Which of the catalogue's endpoints.", pattern="^(public|internal|admin)$")
    ] = "internal"
    gather_ms: Annotated[
        int,
        Meta(
            ge=0,
            le=10_000,
            description="The first event goes at once, those of the next so many milliseconds together.",
        ),
    ] = 200
    timeout_s: Annotated[float, Meta(ge=0.1, le=60, description="Seconds one request may take.")] = 10.0


class PolicyFile(Struct, frozen=True, kw_only=True):
    """Who may do what."""

    file: Annotated[
        str, Meta(description="Rules that replace the defaults of docs/reference/policy.md (policy.yaml).")
    ] = ""


class Ncm(Struct, frozen=True, kw_only=True):
    """Where agents attach."""

    listen: Annotated[str, Meta(description="Address and port for agents (gRPC).")] = "127.0.0.1:9697"
    socket: Annotated[
        str, Meta(description="Unix socket for agents in network namespaces; `<data>/agents.sock` if empty.")
    ] = ""
    public_addresses: Annotated[
        tuple[str, ...],
        Meta(description="Where hosts that join are told to attach, if it is not the listening address."),
    ] = ()
    heartbeat_s: Annotated[
        float, Meta(ge=0.1, le=300, description="Seconds between heartbeats; three missed ones mean down.")
    ] = 5.0
    lazy_above: Annotated[
        int,
        Meta(
            ge=0,
            description="Of a network or security group with more ports than this, hosts hold those they talk to; "
            "0: always all.",
        ),
    ] = 1_000
    lazy_below: Annotated[
        int, Meta(ge=0, description="With fewer than this they hold all again; not above `lazy_above`.")
    ] = 800
    syncing_max: Annotated[
        int,
        Meta(
            ge=1,
            le=100_000,
            description="So many agents are brought in sync at once; others are welcomed, and wait for their turn.",
        ),
    ] = 64


class Dataplane(Struct, frozen=True, kw_only=True):
    """What all hosts are told."""

    responder_mac: Annotated[
        str,
        Meta(
            description="Whom answers of DHCP, ARP for the DHCP server and router advertisements come from."
        ),
    ] = "02:a1:c0:00:00:01"
    dhcp_lease_s: Annotated[int, Meta(ge=120, le=31_536_000, description="Seconds a DHCP lease lasts.")] = (
        86_400
    )
    dns_domain: Annotated[
        str,
        Meta(
            description="The domain of networks that have none of their own, and of names made of addresses; "
            "empty: they have no names.",
            max_length=255,
        ),
    ] = "openstacklocal."
    relay_above: Annotated[
        int,
        Meta(
            ge=0,
            description="A network of more ports than this has relays: gateway hosts that hold all of its addresses, "
            "for hosts that hold them on demand; below `ncm.lazy_below`. 0: no network has.",
        ),
    ] = 500
    flood_above: Annotated[
        int,
        Meta(
            ge=0,
            description="On more hosts than this only the relays of a network know all of them: the others send one "
            "copy of what is for all to a relay, which sends the rest. 0: the hosts of a network know each other.",
        ),
    ] = 512
    rescue_after_s: Annotated[
        float,
        Meta(
            ge=0,
            le=86_400,
            description="Seconds after which a neighbour programs the switch of a host whose agent is down, among "
            "hosts with `rescue.enabled`. 0: never.",
        ),
    ] = 0.0
    epoch_wait_s: Annotated[
        float,
        Meta(
            ge=0,
            description="After a restore no host lets go of anything until every host has said that the region knows "
            "its living ports. One that says nothing is not waited for any more so many seconds after the new epoch "
            "began.",
        ),
    ] = 3_600.0
    dns_forwarders: Annotated[
        tuple[str, ...],
        Meta(
            description="Addresses of the name servers that hosts ask what VMs want to know of other domains; "
            "none: each host those of its own resolv.conf."
        ),
    ] = ()


class Underlay(Struct, frozen=True, kw_only=True):
    """The network between hosts."""

    mtu_bytes: Annotated[
        int,
        Meta(
            ge=1330, le=65_535, description="The largest IP packet it carries; networks' MTUs follow from it."
        ),
    ] = 1500
    ip_version: Annotated[
        Literal[4, 6],
        Meta(description="Of the hosts' VTEPs; 6 if any host has only IPv6: its header is 20 bytes longer."),
    ] = 4


class Network(Struct, frozen=True, kw_only=True):
    """The ways networks may travel between hosts."""

    tenant_network_types: Annotated[
        tuple[str, ...],
        Meta(description="What a network becomes that says nothing: the first type that has a number left."),
    ] = ("vxlan",)
    physical_networks: Annotated[
        tuple[str, ...],
        Meta(description="Physical networks that vlan and flat networks may name; `*` allows any."),
    ] = ("physnet1",)
    vlan_ranges: Annotated[
        tuple[str, ...],
        Meta(description="VLANs given to networks that name none: `physical_network:first:last`."),
    ] = ("physnet1:1:4094",)
    availability_zones: Annotated[
        tuple[str, ...], Meta(description="The availability zones that networks may give hints for.")
    ] = ("nova",)


_Limit = Annotated[
    int, Meta(ge=-1, le=2**31 - 1, description="How many of them a project may have; -1: any number.")
]


class Quota(Struct, frozen=True, kw_only=True):
    """What a project may have unless it has limits of its own (`/v2.0/quotas`); the reference server's numbers."""

    network: _Limit = 100
    subnet: _Limit = 100
    port: _Limit = 500
    router: _Limit = 10
    floatingip: _Limit = 50
    security_group: _Limit = 10
    security_group_rule: _Limit = 100
    rbac_policy: _Limit = 10
    subnetpool: _Limit = -1
    trunk: _Limit = -1


class Log(Struct, frozen=True, kw_only=True):
    """What is written to standard error."""

    level: Annotated[
        str, Meta(description="debug, info, warning or error.", pattern="^(debug|info|warning|error)$")
    ] = "info"
    json: Annotated[bool, Meta(description="One JSON object a line instead of readable text.")] = False


class RegionConfig(Struct, frozen=True, kw_only=True):
    """Everything `alcor up` and `alcor serve` can be told."""

    data: Data = field(default_factory=Data)
    store: Store = Store()
    bus: Bus = Bus()
    tls: Tls = Tls()
    operations: OperationsEdge = OperationsEdge()
    api: Api = Api()
    keystone: Keystone = Keystone()
    policy: PolicyFile = PolicyFile()
    compute: Compute = Compute()
    ncm: Ncm = Ncm()
    dataplane: Dataplane = Dataplane()
    underlay: Underlay = Underlay()
    network: Network = Network()
    quota: Quota = Quota()
    log: Log = Log()
