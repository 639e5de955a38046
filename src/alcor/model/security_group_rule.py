"""A rule of a security group: which packets it lets through.

Source: Networking API v2.0, "Security group rules"; extensions security-group, security-groups-normalized-cidr,
security-groups-remote-address-group, security-groups-rules-belongs-to-default-sg.
"""

import ipaddress
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from alcor.model.errors import InvalidInput, Problem
from alcor.model.ip_protocol import NUMBER_MAX, PROTOCOLS
from alcor.model.resource import REQUIRED, Attribute, Entity, Resource, Who
from alcor.model.standard import COUNTED, DESCRIPTION, ID, PROJECT_ID
from alcor.model.value import Boolean, Choice, Nullable, Schema, Text

DIRECTIONS = ("ingress", "egress")
ETHERTYPES = ("IPv4", "IPv6")
PORT_MAX = 65_535


class SecurityGroupRule(Entity, frozen=True, kw_only=True, gc=False):
    """Packets of `direction` (seen from the port) and `ethertype` that match all that is not None.

    `protocol`: a name of `ip_protocol.PROTOCOLS` or a number as text. `port_range_min`, `port_range_max`: the
    destination's ports, both included; type and code of ICMP. The other end is one of `remote_ip_prefix` (host
    bits kept), `remote_group_id` (the ports of a group), `remote_address_group_id`.
    """

    security_group_id: str
    direction: str
    ethertype: str = "IPv4"
    protocol: str | None = None
    port_range_min: int | None = None
    port_range_max: int | None = None
    remote_ip_prefix: str | None = None
    remote_group_id: str | None = None
    remote_address_group_id: str | None = None


@dataclass(frozen=True, slots=True)
class Converted:
    """What a rule says in more than one spelling. `convert` raises InvalidInput with the problem that clients know.

    `form`: the schema of the canonical spelling.
    """

    convert: Callable[[object], Any]
    form: Schema
    text: str

    def parse(self, value: object) -> Any:
        """The canonical form. Raises: InvalidInput."""
        return self.convert(value)

    def schema(self) -> Schema:
        """JSON Schema 2020-12."""
        return {**self.form, "description": self.text}


def parse_protocol(value: object) -> str | None:
    """A protocol's name in lower case or its number as text; None for any. Raises: InvalidInput."""
    if value is None or value == "any":
        return None
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= NUMBER_MAX:
        return str(value)
    if isinstance(value, str):
        text = value.strip().lower()
        if text in PROTOCOLS or text == "any":
            return None if text == "any" else text
        if text.isascii() and text.isdigit() and int(text) <= NUMBER_MAX:
            return str(int(text))
    raise InvalidInput(
        f"Security group rule protocol {value} not supported: name one of {', '.join(PROTOCOLS)}, "
        f"or a number from 0 to {NUMBER_MAX}.",
        problem=Problem.SG_PROTOCOL,
    )


def parse_ethertype(value: object) -> str:
    """`IPv4` or `IPv6`, in any case. Raises: InvalidInput."""
    for ethertype in ETHERTYPES:
        if isinstance(value, str) and value.lower() == ethertype.lower():
            return ethertype
    raise InvalidInput(
        f"Security group rule for ethertype '{value}' not supported: it is IPv4 or IPv6.",
        problem=Problem.SG_ETHERTYPE,
    )


def parse_port(value: object) -> int | None:
    """A port, or a type or code of ICMP; None for any. Raises: InvalidInput."""
    if value is None:
        return None
    try:
        port = int(value) if isinstance(value, int | str) and not isinstance(value, bool) else -1
    except ValueError:
        port = -1
    if not 0 <= port <= PORT_MAX:
        raise InvalidInput(
            f"Invalid value for port {value}; it is a number from 0 to {PORT_MAX}.", problem=Problem.SG_PORT
        )
    return port


def parse_prefix(value: object) -> str | None:
    """A prefix as it was written, with its length: `10.0.0.5` → `10.0.0.5/32`. Raises: InvalidInput."""
    if value is None or value == "":
        return None
    try:
        if not isinstance(value, str):
            raise ValueError("not a text")
        return str(ipaddress.ip_interface(value))
    except ValueError as error:
        raise InvalidInput(
            f"Invalid CIDR {value} given as IP prefix; write address/length.", problem=Problem.CIDR
        ) from error


def _parse_id(value: object) -> str | None:
    """What is named by its ID; whether it is there is the manager's to find out. Empty: none."""
    if value is None or value == "":
        return None
    if not isinstance(value, str) or len(value) > 255:
        raise ValueError(f"'{str(value)[:64]}' is not an ID")
    return value


_TEXT: Schema = {"type": ["string", "null"]}
PROTOCOL = Converted(
    parse_protocol,
    _TEXT | {"format": "ip-protocol"},
    "A protocol's name or number; null or any for every one.",
)
ETHERTYPE = Converted(parse_ethertype, {"type": "string", "enum": list(ETHERTYPES)}, "IPv4 or IPv6.")
PORT_NUMBER = Converted(
    parse_port, {"type": ["integer", "null"], "minimum": 0, "maximum": PORT_MAX}, "0 to 65535."
)
PREFIX = Converted(parse_prefix, _TEXT | {"format": "cidr"}, "An IPv4 or IPv6 prefix.")
REMOTE_ID = Converted(_parse_id, _TEXT, "An ID.")


def normalized_cidr(row: Any) -> str | None:
    """The remote prefix without its host bits."""
    if row.remote_ip_prefix is None:
        return None
    return str(ipaddress.ip_network(row.remote_ip_prefix, strict=False))


def _attribute(name: str, type_: Any, text: str, **more: Any) -> Attribute:
    return Attribute(name, type_, update=Who.NOBODY, text=text, **({"default": None} | more))


MATCH = (
    _attribute(
        "direction",
        Choice(DIRECTIONS),
        "ingress: to the port; egress: from it.",
        default=REQUIRED,
    ),
    _attribute("ethertype", ETHERTYPE, "IPv4 or IPv6.", default="IPv4"),
    _attribute("protocol", PROTOCOL, "A protocol's name or number; null for every one."),
    _attribute("port_range_min", PORT_NUMBER, "The first destination port; the type of ICMP."),
    _attribute("port_range_max", PORT_NUMBER, "The last destination port; the code of ICMP."),
    _attribute("remote_ip_prefix", PREFIX, "The other end: any address of this prefix."),
)
"""What rules of groups and of the template have in common."""

SECURITY_GROUP_RULE = Resource(
    name="security_group_rule",
    collection="security-group-rules",
    entity=SecurityGroupRule,
    text="A rule of a security group: which packets it lets through.",
    columns_shown=("id", "direction", "ethertype", "protocol", "port_range_min", "port_range_max"),
    quota="security_group_rule",
    attributes=(
        ID,
        PROJECT_ID,
        DESCRIPTION,
        Attribute(
            "security_group_id",
            Text(36),
            default=REQUIRED,
            update=Who.NOBODY,
            column=True,
            refers="security_group",
            text="The group it is a rule of.",
        ),
        *MATCH,
        _attribute(
            "remote_group_id",
            REMOTE_ID,
            "The other end: the addresses of the ports in this group.",
            column=True,
            refers="security_group",
        ),
        _attribute(
            "remote_address_group_id",
            REMOTE_ID,
            "The other end: the addresses of this address group.",
            column=True,
            refers="address_group",
        ),
        Attribute(
            "normalized_cidr",
            Nullable(Text(64)),
            create=Who.NOBODY,
            update=Who.NOBODY,
            stored=False,
            sorts=False,
            derive=normalized_cidr,
            text="remote_ip_prefix without its host bits.",
        ),
        Attribute(
            "belongs_to_default_sg",
            Boolean(),
            create=Who.NOBODY,
            update=Who.NOBODY,
            stored=False,
            sorts=False,
            text="Whether its group is the project's default one.",
        ),
        *COUNTED,
    ),
)
