"""Values that only ports have: what clients may say of them, and how it is stored."""

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from alcor.model.dns_name import FQDN_CHARS_MAX, parse_domain
from alcor.model.value import IP, MAC, Choice, ListOf, Nullable, Parsed, Record, Schema, Text, Uuid

# Source: the reference's extension extra_dhcp_opt: the options that may be present and empty.
BLANK_OPTIONS = ("router", "classless-static-route")

_LABEL = re.compile(r"[a-z0-9-]{1,63}\Z")


class FixedIp(msgspec.Struct, frozen=True, gc=False):
    """One address of a port."""

    subnet_id: str
    ip_address: str


class WantedIp(msgspec.Struct, frozen=True, gc=False):
    """What a client asks for: a subnet, an address, or both."""

    subnet_id: str | None
    ip_address: str | None


class AddressPair(msgspec.Struct, frozen=True, gc=False):
    """A sender that is not the port's own: an address or prefix, and the MAC address that may use it."""

    ip_address: str
    mac_address: str


class WantedPair(msgspec.Struct, frozen=True, gc=False):
    """What a client asks for; without a MAC address it is the port's own."""

    ip_address: str | None
    mac_address: str | None


class DhcpOption(msgspec.Struct, frozen=True, gc=False):
    """One more option the DHCP server tells a port's guest."""

    opt_name: str
    opt_value: str
    ip_version: int = 4


class WantedOption(msgspec.Struct, frozen=True, gc=False):
    """What a client says of one option: a value, or null to be rid of it. No `ip_version`: 4."""

    opt_name: str
    opt_value: str | None
    ip_version: int | None

    def __post_init__(self) -> None:
        for text in (self.opt_name, self.opt_value or ""):
            if "\n" in text or "\r" in text:
                raise ValueError(f"'{text}' of a DHCP option is more than one line")
        if self.opt_value == "" and self.opt_name not in BLANK_OPTIONS:
            raise ValueError(f"the value of DHCP option '{self.opt_name}' must not be empty")


@dataclass(frozen=True, slots=True)
class ClearedList(ListOf):
    """A list, where null means `empty`."""

    empty: Any = ()

    def parse(self, value: object) -> Any:
        if value is None or value is self.empty:
            return self.empty
        # Spelled out: a dataclass with slots is made anew, and `super()` would mean the class before that.
        return ListOf.parse(self, value)

    def schema(self) -> Schema:
        return {"anyOf": [ListOf.schema(self), {"type": "null"}]}


@dataclass(frozen=True, slots=True)
class Hints:
    """What a host's switch may be told of a port: `{"openvswitch": {"other_config": {"tx-steering": …}}}`.

    Source: the reference's extensions port-hints and port-hint-ovs-tx-steering. Stored as it came.
    """

    def parse(self, value: object) -> dict[str, Any]:
        inner: object = value
        for name in ("openvswitch", "other_config", "tx-steering"):
            if not isinstance(inner, Mapping):
                raise ValueError(f"'{inner}' is not a dictionary")
            unknown = sorted(str(key) for key in inner if key != name)
            if unknown:
                raise ValueError(
                    f"unexpected keys {unknown} in '{dict(inner)}'; '{name}' is the one there is"
                )
            if not inner:
                break
            inner = inner[name]
        else:
            if inner not in ("thread", "hash"):
                raise ValueError(f"'{inner}' is not in ['thread', 'hash']")
        assert isinstance(value, Mapping)
        return dict(value)

    def schema(self) -> Schema:
        return {"type": "object", "additionalProperties": True}


def parse_dns_name(text: str) -> str:
    """A host name, relative or full, in lower case; empty for none.

    Raises: ValueError. Source: RFC 1123, section 2.1.
    """
    name = text.lower()
    if not name:
        return name
    trimmed = name.removesuffix(".")
    if len(trimmed) > FQDN_CHARS_MAX:
        raise ValueError(f"'{trimmed[:64]}…' exceeds the {FQDN_CHARS_MAX} characters of a full name")
    labels = trimmed.split(".")
    for label in labels:
        if not _LABEL.match(label) or label.startswith("-") or label.endswith("-"):
            raise ValueError(
                f"'{text}' is not a DNS name: '{label}' must be 1 to 63 letters, digits and hyphens, "
                "without a hyphen at either end"
            )
    if len(labels) > 1 and labels[-1].isdecimal():
        raise ValueError(f"'{text}' is not a DNS name: '{labels[-1]}' must not be all digits")
    return name


def parse_pair_address(text: str) -> str:
    """The address or prefix of an address pair, as it was written. Raises: ValueError; also for multicast."""
    try:
        network = ipaddress.ip_network(text)
    except ValueError as error:
        raise ValueError(f"'{text}' is neither an IP address nor a prefix: {error}") from error
    if network.is_multicast:
        raise ValueError(f"'{text}' is a multicast address; no port sends from one")
    return text


DNS_NAME = Parsed(parse_dns_name, "dns-name")
DNS_DOMAIN = Parsed(parse_domain, "dns-domain")
FIXED_IPS = ListOf(
    Record({"subnet_id": Nullable(Uuid()), "ip_address": Nullable(IP)}, WantedIp),
    items_max=64,
    # Naming a subnet twice asks for two addresses of it.
    unique=False,
)
ADDRESS_PAIRS = ClearedList(
    Record(
        {"ip_address": Nullable(Parsed(parse_pair_address, "ip-address")), "mac_address": Nullable(MAC)},
        WantedPair,
    ),
    # The rule of at most ten, and that of duplicates, have error types of their own: `managers.port.pair`.
    unique=False,
)
DHCP_OPTIONS = ClearedList(
    Record(
        {
            "opt_name": Text(64, 1),
            "opt_value": Nullable(Text(255)),
            "ip_version": Nullable(Choice((4, 6))),
        },
        WantedOption,
    ),
    items_max=64,
)
