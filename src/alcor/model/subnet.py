"""A subnet: one prefix of a network, and what its ports are told by DHCP and router advertisements."""

from typing import Any

import msgspec

from alcor.model.resource import REQUIRED, UNSET, Attribute, Entity, Resource, Who
from alcor.model.standard import COUNTED, STANDARD
from alcor.model.value import CIDR, IP, Boolean, Choice, Cleared, ListOf, Nullable, Record, Uuid

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


def _not_shared(_row: Any) -> bool:
    return False


def _no_pool(_row: Any) -> None:
    return None


SUBNET = Resource(
    name="subnet",
    collection="subnets",
    entity=Subnet,
    text="A block of IP addresses of a network and its configuration.",
    columns_shown=("id", "name", "network_id", "cidr"),
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
        Attribute("cidr", CIDR, default=REQUIRED, update=Who.NOBODY, column=True, text="Its prefix."),
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
            Cleared(ListOf(IP, items_max=5), ()),
            default=(),
            filters=False,
            sorts=False,
            text="The name servers told to its ports.",
        ),
        Attribute(
            "host_routes",
            Cleared(ListOf(Record({"destination": CIDR, "nexthop": IP}, HostRoute), items_max=20), ()),
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
            create=Who.NOBODY,
            update=Who.NOBODY,
            stored=False,
            derive=_no_pool,
            filters=False,
            sorts=False,
            text="Always null: subnet pools come later.",
        ),
        Attribute(
            "shared",
            Boolean(),
            create=Who.NOBODY,
            update=Who.NOBODY,
            stored=False,
            derive=_not_shared,
            sorts=False,
            text="As its network.",
        ),
        *COUNTED,
    ),
)
