"""Firewalls of ports: rules in ordered policies, and groups of ports that have a policy for each direction.

Source: Networking API v2.0, "FWaaS v2.0"; extension fwaas_v2.
"""

from dataclasses import dataclass
from ipaddress import ip_network

from alcor.model.address import parse_ip
from alcor.model.resource import Attribute, Entity, Lookup, Resource, Who
from alcor.model.standard import COUNTED, DESCRIPTION, ID, NAME, PROJECT_ID
from alcor.model.value import Boolean, Choice, Cleared, ListOf, Nullable, Parsed, Schema, SetOf, Text, Uuid

PREFIX = "/v2.0/fwaas"
PROTOCOLS = ("tcp", "udp", "icmp", "ipv6-icmp", "sctp", "dccp")
PORT_MAX = 65_535
RULES_MAX = 1_000
PORTS_MAX = 1_000


@dataclass(frozen=True, slots=True)
class PortRange:
    """A port of a transport protocol, or `lowest:highest`; a number is accepted, text is kept."""

    def parse(self, value: object) -> str:
        if isinstance(value, bool) or not isinstance(value, int | str):
            raise ValueError(f"'{value}' is not a port or a range of ports")
        text = str(value).strip()
        ends = text.split(":")
        if len(ends) > 2:
            raise ValueError(f"port range '{text}' must be two integers separated by a colon")
        for end in ends:
            if not (end.isascii() and end.isdecimal() and int(end) <= PORT_MAX):
                raise ValueError(f"invalid port '{end}' in '{text}': ports are 0 through {PORT_MAX}")
        return ":".join(str(int(end)) for end in dict.fromkeys(ends))

    def schema(self) -> Schema:
        return {"type": "string", "maxLength": 11}


def parse_ip_or_cidr(text: str) -> str:
    """An address, or a prefix without host bits; kept as one or the other. Raises: ValueError."""
    if "/" not in text:
        return parse_ip(text)
    try:
        return str(ip_network(text))
    except ValueError as error:
        raise ValueError(f"'{text}' is neither a valid IP address, nor is it a valid IP subnet") from error


IP_OR_CIDR = Parsed(parse_ip_or_cidr, "IP address or subnet")


class FirewallRule(Entity, frozen=True, kw_only=True, gc=False):
    """What to do with packets of some kind. Null: any; `source_port` is a port or `lowest:highest`."""

    shared: bool = False
    protocol: str | None = None
    ip_version: int = 4
    source_ip_address: str | None = None
    destination_ip_address: str | None = None
    source_port: str | None = None
    destination_port: str | None = None
    action: str = "deny"
    enabled: bool = True


class FirewallPolicy(Entity, frozen=True, kw_only=True, gc=False):
    """Rules in the order in which packets meet them. `audited`: nothing changed since somebody looked."""

    shared: bool = False
    firewall_rules: tuple[str, ...] = ()
    audited: bool = False


class FirewallGroup(Entity, frozen=True, kw_only=True, gc=False):
    """Ports, and the policies for packets that reach them and leave them. `is_default`: the project's first."""

    shared: bool = False
    admin_state_up: bool = True
    ports: tuple[str, ...] = ()
    ingress_firewall_policy_id: str | None = None
    egress_firewall_policy_id: str | None = None
    is_default: bool = False


_SHARED = Attribute(
    "shared",
    Boolean(),
    default=False,
    create=Who.ADMIN,
    update=Who.ADMIN,
    column=True,
    text="Whether every project sees it and may use it.",
)
_DESCRIBED = (ID, NAME, PROJECT_ID, DESCRIPTION, _SHARED)

FIREWALL_RULE = Resource(
    name="firewall_rule",
    collection="firewall_rules",
    prefix=PREFIX,
    entity=FirewallRule,
    quota="firewall_rule",
    text="What to do with packets of some kind.",
    columns_shown=("id", "name", "enabled", "action", "protocol", "ip_version"),
    attributes=(
        *_DESCRIBED,
        Attribute(
            "firewall_policy_id",
            Nullable(ListOf(Uuid())),
            create=Who.NOBODY,
            update=Who.NOBODY,
            stored=False,
            sorts=False,
            text="The policies it is in; null if there are none.",
        ),
        Attribute("protocol", Nullable(Choice(PROTOCOLS)), default=None, text="Null for any protocol."),
        Attribute("ip_version", Choice((4, 6)), default=4, text="The version of the packets' addresses."),
        Attribute(
            "source_ip_address",
            Nullable(IP_OR_CIDR),
            default=None,
            text="Where packets come from; null: any.",
        ),
        Attribute(
            "destination_ip_address",
            Nullable(IP_OR_CIDR),
            default=None,
            text="Where packets go to; null: any.",
        ),
        Attribute(
            "source_port",
            Nullable(PortRange()),
            default=None,
            text="A port, or a range such as `1024:65535`; null: any.",
        ),
        Attribute(
            "destination_port",
            Nullable(PortRange()),
            default=None,
            text="A port, or a range such as `8000:8080`; null: any.",
        ),
        Attribute(
            "position",
            Nullable(Text()),
            create=Who.NOBODY,
            update=Who.NOBODY,
            stored=False,
            filters=False,
            sorts=False,
            derive=lambda _row: None,
            text="Always null: a rule's place is its policy's to say.",
        ),
        Attribute(
            "action", Choice(("allow", "deny", "reject")), default="deny", text="What becomes of packets."
        ),
        Attribute("enabled", Boolean(), default=True, text="Whether it counts."),
        *COUNTED,
    ),
)

FIREWALL_POLICY = Resource(
    name="firewall_policy",
    collection="firewall_policies",
    prefix=PREFIX,
    entity=FirewallPolicy,
    quota="firewall_policy",
    text="Rules in the order in which packets meet them.",
    columns_shown=("id", "name", "firewall_rules"),
    policy={
        "insert_rule": "rule:admin_or_project_member",
        "remove_rule": "rule:admin_or_project_member",
    },
    lookups=(
        Lookup(
            "firewall_rules",
            ("rule_id",),
            lambda row: [(one,) for one in row.firewall_rules],
            refers={"rule_id": "firewall_rule"},
        ),
    ),
    attributes=(
        *_DESCRIBED,
        Attribute(
            "firewall_rules",
            Cleared(ListOf(Uuid(), RULES_MAX), ()),
            default=(),
            sorts=False,
            text="The IDs of its rules, in order.",
        ),
        Attribute(
            "audited",
            Boolean(),
            default=False,
            text="Said by who looked at it; any later change of it or of its rules makes it false.",
        ),
        *COUNTED,
    ),
)

_POLICY_ID = Nullable(Uuid())

FIREWALL_GROUP = Resource(
    name="firewall_group",
    collection="firewall_groups",
    prefix=PREFIX,
    entity=FirewallGroup,
    quota="firewall_group",
    text="Ports, and a policy for each direction of their packets.",
    columns_shown=("id", "name", "ingress_firewall_policy_id", "egress_firewall_policy_id"),
    lookups=(
        Lookup("ports", ("port_id",), lambda row: [(one,) for one in row.ports], refers={"port_id": "port"}),
    ),
    attributes=(
        *_DESCRIBED,
        Attribute("admin_state_up", Boolean(), default=True, text="Whether it is to work."),
        Attribute(
            "status",
            Text(),
            create=Who.NOBODY,
            update=Who.NOBODY,
            stored=False,
            derive=lambda row: "INACTIVE" if row.admin_state_up else "DOWN",
            text="DOWN if it is not to work; else INACTIVE: hosts of this region do not enforce it.",
        ),
        Attribute(
            "ports",
            Cleared(SetOf(Uuid(), PORTS_MAX), ()),
            default=(),
            sorts=False,
            text="The IDs of its ports: interfaces of routers, and ports of instances.",
        ),
        Attribute(
            "ingress_firewall_policy_id",
            _POLICY_ID,
            default=None,
            column=True,
            refers="firewall_policy",
            text="The policy for packets that reach the ports.",
        ),
        Attribute(
            "egress_firewall_policy_id",
            _POLICY_ID,
            default=None,
            column=True,
            refers="firewall_policy",
            text="The policy for packets that leave the ports.",
        ),
        *COUNTED,
    ),
)

FIREWALL = (FIREWALL_RULE, FIREWALL_POLICY, FIREWALL_GROUP)
