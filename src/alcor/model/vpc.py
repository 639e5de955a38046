"""A VPC: a network with address blocks of its own, which all its subnets lie in, and a default route to them."""

from typing import Any

from alcor.model.address import Cidr, ip_version, parse_cidr
from alcor.model.network import NETWORK
from alcor.model.resource import Attribute, Who
from alcor.model.value import FreeForm, ListOf, Nullable, Parsed
from alcor.model.view import view_of

LOCAL = "local"
"""The target of a route that stays inside of the VPC."""


def _parse_ipv4(text: str) -> str:
    return _parse(text, 4)


def _parse_ipv6(text: str) -> str:
    return _parse(text, 6)


def _parse(text: str, version: int) -> str:
    cidr = parse_cidr(text)
    if ip_version(Cidr(cidr)) != version:
        raise ValueError(f"'{text}' is not an IPv{version} prefix")
    return cidr


def blocks_of(row: Any) -> tuple[Cidr, ...]:
    """The address blocks of a network, IPv4 first; none if it has no limits."""
    return tuple(Cidr(block) for block in (row.cidr, row.ipv6_cidr) if block is not None)


def local_routes(row: Any) -> list[dict[str, Any]]:
    """The default routes of a VPC: what is for one of its blocks stays inside."""
    return [
        {"destination": block, "target": LOCAL, "nexthop": None, "priority": 0} for block in blocks_of(row)
    ]


VPC = view_of(
    NETWORK,
    "vpc",
    collection="vpcs",
    member="vpc",
    text="A network as a VPC: with blocks of addresses that its subnets lie in, and a default route to each.",
    more=(
        Attribute(
            "cidr",
            Nullable(Parsed(_parse_ipv4, "cidr")),
            default=None,
            text="The block its IPv4 subnets lie in; null for no limit.",
        ),
        Attribute(
            "ipv6_cidr",
            Nullable(Parsed(_parse_ipv6, "cidr")),
            default=None,
            text="The block its IPv6 subnets lie in; null for no limit.",
        ),
        Attribute(
            "routes",
            ListOf(FreeForm()),
            create=Who.NOBODY,
            update=Who.NOBODY,
            stored=False,
            derive=local_routes,
            filters=False,
            sorts=False,
            text="The default route of each block: its packets stay inside.",
        ),
    ),
)
