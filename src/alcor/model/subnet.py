"""A subnet: one prefix of a network, and what its ports are told by DHCP and router advertisements.

Source: Networking API v2.0, "Subnets"; extensions default-subnetpools, segment, subnet-dns-publish-fixed-ip,
subnet-external-network, subnet-service-types, subnet_allocation.
"""

from typing import Any

import msgspec

from alcor.model.resource import REQUIRED, UNSET, Attribute, Entity, Resource, Who
from alcor.model.standard import COUNTED, STANDARD, TAGS, TAGS_LOOKUP
from alcor.model.value import (
    CIDR,
    IP,
    Boolean,
    Choice,
    Cleared,
    Integer,
    ListOf,
    Nullable,
    Record,
    Text,
    Uuid,
)

IPV6_MODES = ("dhcpv6-stateful", "dhcpv6-stateless", "slaac")


class Pool(msgspec.Struct, frozen=True, gc=False):
    """An inclusive range of addresses that may be given to ports without being asked for."""

    start: str
    end: str


class HostRoute(msgspec.Struct, frozen=True, gc=False):
    """A route the DHCP server tells (option 121)."""

    destination: str
    nexthop: str


class Subnet(Entity, frozen=True, kw_only=True, gc=False):
    """One prefix. `pool_version` counts changes of pools and gateway, so that allocators notice."""

    network_id: str
    ip_version: int
    cidr: str
    gateway_ip: str | None = None
    allocation_pools: tuple[Pool, ...] = ()
    dns_nameservers: tuple[str, ...] = ()
    host_routes: tuple[HostRoute, ...] = ()
    enable_dhcp: bool = True
    ipv6_ra_mode: str | None = None
    ipv6_address_mode: str | None = None
    pool_version: int = 0
    subnetpool_id: str | None = None
    segment_id: str | None = None
    service_types: tuple[str, ...] = ()
    dns_publish_fixed_ip: bool = False


def _never(_row: Any) -> None:
    """What only a create request says."""


SUBNET = Resource(
    name="subnet",
    collection="subnets",
    entity=Subnet,
    text="A block of IP addresses of a network and its configuration.",
    columns_shown=("id", "name", "network_id", "cidr"),
    quota="subnet",
    lookups=(TAGS_LOOKUP,),
    policy={
        "create": "rule:admin_only or rule:network_owner_member",
        "get": "rule:project_reader or rule:admin_only or rule:network_owner_reader or rule:service_api",
        "update": "rule:project_member or rule:admin_only or rule:network_owner_member",
        "delete": "rule:project_member or rule:admin_only or rule:network_owner_member",
    },
    attributes=(
        *STANDARD,
        Attribute(
            "network_id",
            Uuid(),
            default=REQUIRED,
            update=Who.NOBODY,
            column=True,
            refers="network",
            text="The network it belongs to.",
        ),
        Attribute("ip_version", Choice((4, 6)), default=REQUIRED, update=Who.NOBODY, text="4 or 6."),
        Attribute(
            "cidr",
            Nullable(CIDR),
            default=UNSET,
            update=Who.NOBODY,
            column=True,
            text="Its prefix; cut out of a subnet pool if not given.",
        ),
        Attribute(
            "prefixlen",
            Nullable(Integer(0, 128)),
            default=UNSET,
            update=Who.NOBODY,
            see=Who.NOBODY,
            stored=False,
            derive=_never,
            filters=False,
            sorts=False,
            text="The length of the prefix to be cut out of a pool; by default the pool's default_prefixlen.",
        ),
        Attribute(
            "gateway_ip",
            Nullable(IP),
            default=UNSET,
            text="The router's address; by default the first of the prefix; null for none.",
        ),
        Attribute(
            "allocation_pools",
            ListOf(Record({"start": IP, "end": IP}, Pool)),
            default=UNSET,
            filters=False,
            sorts=False,
            text="Where addresses are taken from; by default all but the gateway.",
        ),
        Attribute(
            "dns_nameservers",
            Cleared(ListOf(IP), ()),
            default=(),
            filters=False,
            sorts=False,
            text="The name servers told to its ports.",
        ),
        Attribute(
            "host_routes",
            Cleared(ListOf(Record({"destination": CIDR, "nexthop": IP}, HostRoute)), ()),
            default=(),
            filters=False,
            sorts=False,
            text="Additional routes told to its ports.",
        ),
        Attribute("enable_dhcp", Boolean(), default=True, text="Whether DHCP answers on it."),
        Attribute(
            "ipv6_ra_mode",
            Nullable(Choice(IPV6_MODES)),
            default=None,
            update=Who.NOBODY,
            text="What router advertisements say.",
        ),
        Attribute(
            "ipv6_address_mode",
            Nullable(Choice(IPV6_MODES)),
            default=None,
            update=Who.NOBODY,
            text="How ports get their IPv6 address.",
        ),
        Attribute(
            "subnetpool_id",
            Nullable(Uuid()),
            default=UNSET,
            update=Who.NOBODY,
            column=True,
            refers="subnetpool",
            text="The subnet pool its prefix is cut out of.",
        ),
        Attribute(
            "use_default_subnetpool",
            Nullable(Boolean()),
            default=False,
            update=Who.NOBODY,
            see=Who.NOBODY,
            stored=False,
            derive=_never,
            filters=False,
            sorts=False,
            text="Whether its prefix is cut out of the default pool.",
        ),
        Attribute(
            "segment_id",
            Nullable(Uuid()),
            default=None,
            create=Who.ADMIN,
            update=Who.ADMIN,
            see=Who.ADMIN,
            column=True,
            refers="segment",
            text="The segment of the network it is on; null for all.",
        ),
        Attribute(
            "service_types",
            Cleared(ListOf(Text(255, 1)), ()),
            default=(),
            create=Who.ADMIN,
            update=Who.ADMIN,
            filters=False,
            sorts=False,
            text="The kinds of devices (device_owner) it is for; empty for all.",
        ),
        Attribute(
            "dns_publish_fixed_ip",
            Boolean(),
            default=False,
            filters=False,
            sorts=False,
            text="Whether names of its fixed addresses are published.",
        ),
        Attribute(
            "shared",
            Boolean(),
            create=Who.NOBODY,
            update=Who.NOBODY,
            stored=False,
            sorts=False,
            text="As its network.",
        ),
        Attribute(
            "router:external",
            Boolean(),
            create=Who.NOBODY,
            update=Who.NOBODY,
            stored=False,
            sorts=False,
            text="As its network.",
        ),
        TAGS,
        *COUNTED,
    ),
)
