"""A port forwarding: some TCP or UDP ports of a floating IP lead to ports of an inner address.

Stored as ranges; one port is a range of one. Single ports are shown of ranges of one only.
"""

from dataclasses import dataclass, replace
from typing import Any

from alcor.model.resource import REQUIRED, UNSET, Attribute, Entity, Parent, Resource, Who
from alcor.model.standard import COUNTED, ID, PROJECT_ID
from alcor.model.value import IP, Choice, Integer, Nullable, Schema, Text, Uuid

PORT_MIN, PORT_MAX = 1, 65_535
# Source: the reference's IPTABLES_PROTOCOL_MAP.
PROTOCOLS = ("dccp", "icmp", "ipv6-icmp", "sctp", "tcp", "udp")


class PortForwarding(Entity, frozen=True, kw_only=True, gc=False):
    """Ports `external_first` to `external_last` of a floating IP lead to `internal_first` to `internal_last` of
    an inner address: as many, or one."""

    floatingip_id: str
    internal_port_id: str
    internal_ip_address: str
    protocol: str
    external_first: int
    external_last: int
    internal_first: int
    internal_last: int


@dataclass(frozen=True, slots=True)
class PortRange:
    """`first:last`, or one port as text or number; the canonical form is `first:last`."""

    def parse(self, value: object) -> str:
        words = str(value).split(":") if not isinstance(value, bool) else []
        if not 1 <= len(words) <= 2 or not all(word.isascii() and word.isdigit() for word in words):
            raise ValueError(f"'{value}' is not a port, nor two ports with a colon between them")
        first, last = int(words[0]), int(words[-1])
        if not PORT_MIN <= first <= last <= PORT_MAX:
            raise ValueError(f"'{value}' is not an ascending range of ports from {PORT_MIN} to {PORT_MAX}")
        return f"{first}:{last}"

    def schema(self) -> Schema:
        return {"type": "string", "maxLength": 11}


@dataclass(frozen=True, slots=True)
class Protocol:
    """A protocol's name, in lower case; other cases are accepted."""

    def parse(self, value: object) -> str:
        return str(Choice(PROTOCOLS).parse(value.lower() if isinstance(value, str) else value))

    def schema(self) -> Schema:
        return Choice(PROTOCOLS).schema()


PROTOCOL = Protocol()


def ends_of(range_: str) -> tuple[int, int]:
    """The first and the last port of a canonical range."""
    first, last = range_.split(":")
    return int(first), int(last)


def _single(first: int, last: int) -> int | None:
    return first if first == last else None


def _external_port(row: Any) -> int | None:
    return _single(row.external_first, row.external_last)


def _internal_port(row: Any) -> int | None:
    return _single(row.internal_first, row.internal_last)


def _external_range(row: Any) -> str:
    return f"{row.external_first}:{row.external_last}"


def _internal_range(row: Any) -> str:
    return f"{row.internal_first}:{row.internal_last}"


_PORT = Nullable(Integer(PORT_MIN, PORT_MAX))
_RANGE = Nullable(PortRange())

OF_PARENT = {
    "create": "rule:admin_or_parent_member",
    "get": "rule:admin_or_parent_reader",
    "update": "rule:admin_or_parent_member",
    "delete": "rule:admin_or_parent_member",
}
"""Rules of a part that says whose it is, though its parent's owner decides."""

PORT_FORWARDING = Resource(
    name="port_forwarding",
    collection="port_forwardings",
    entity=PortForwarding,
    parent=Parent("floatingip", "floatingip_id"),
    text="Ports of a floating IP that lead to ports of an inner address.",
    columns_shown=(
        "id",
        "internal_port_id",
        "internal_ip_address",
        "internal_port",
        "external_port",
        "protocol",
    ),
    policy=OF_PARENT,
    attributes=(
        ID,
        replace(PROJECT_ID, see=Who.NOBODY),
        Attribute(
            "floatingip_id",
            Uuid(),
            create=Who.NOBODY,
            update=Who.NOBODY,
            see=Who.NOBODY,
            column=True,
            refers="floatingip",
            text="The floating IP it is of.",
        ),
        Attribute(
            "internal_port_id",
            Uuid(),
            default=REQUIRED,
            column=True,
            refers="port",
            text="The Networking port it leads to.",
        ),
        Attribute("internal_ip_address", IP, default=REQUIRED, column=True, text="The address of that port."),
        Attribute("protocol", PROTOCOL, default=REQUIRED, text="The protocol whose ports they are."),
        Attribute(
            "external_port", _PORT, default=UNSET, stored=False, derive=_external_port, text="The outer port."
        ),
        Attribute(
            "external_port_range",
            _RANGE,
            default=UNSET,
            stored=False,
            derive=_external_range,
            text="The outer ports, first:last.",
        ),
        Attribute(
            "internal_port", _PORT, default=UNSET, stored=False, derive=_internal_port, text="The inner port."
        ),
        Attribute(
            "internal_port_range",
            _RANGE,
            default=UNSET,
            stored=False,
            derive=_internal_range,
            text="The inner ports, first:last.",
        ),
        Attribute("description", Text(255), default="", text="A human-readable description."),
        *COUNTED,
    ),
)
