"""How many addresses of a network are taken: made from its subnets and claims.

Source: extensions network-ip-availability, network-ip-availability-details.
"""

from typing import Any

from alcor.model.address import Cidr, Ip, ip_int, network_of
from alcor.model.resource import Attribute, Entity, Lookup, Resource, Who
from alcor.model.standard import PROJECT_ID
from alcor.model.subnet import Subnet
from alcor.model.value import Choice, FreeForm, Integer, ListOf, Text, Uuid


class NetworkIpAvailability(Entity, frozen=True, kw_only=True):
    """One network. `ip_version`: those of its subnets; `subnets`: the ones that are counted; `counts`: what loaders of
    one request share."""

    network_id: str
    network_name: str
    ip_version: tuple[int, ...] = ()
    subnets: tuple[Subnet, ...] = ()
    counts: Any = None


def total_of(subnet: Subnet) -> int:
    """The addresses of a subnet's pools; of its prefix if it has none."""
    if not subnet.allocation_pools:
        return network_of(Cidr(subnet.cidr)).num_addresses
    return sum(ip_int(Ip(pool.end)) - ip_int(Ip(pool.start)) + 1 for pool in subnet.allocation_pools)


def _total(row: NetworkIpAvailability) -> int:
    return sum(total_of(subnet) for subnet in row.subnets)


def _versions(row: NetworkIpAvailability) -> list[tuple[Any, ...]]:
    return [(version,) for version in row.ip_version]


def _shown(name: str, type_: Any, text: str) -> Attribute:
    return Attribute(
        name, type_, create=Who.NOBODY, update=Who.NOBODY, stored=False, filters=False, sorts=False, text=text
    )


NETWORK_IP_AVAILABILITY = Resource(
    name="network_ip_availability",
    collection="network-ip-availabilities",
    entity=NetworkIpAvailability,
    text="How many addresses of a network are taken.",
    key="network_id",
    error_name="network",
    columns_shown=("network_id", "network_name", "total_ips", "used_ips"),
    policy={"get": "rule:admin_or_service"},
    lookups=(Lookup("ip_version", ("ip_version",), _versions),),
    attributes=(
        Attribute("network_id", Uuid(), create=Who.NOBODY, update=Who.NOBODY, text="The network."),
        Attribute("network_name", Text(255), create=Who.NOBODY, update=Who.NOBODY, text="Its name."),
        PROJECT_ID,
        Attribute(
            "ip_version",
            ListOf(Choice((4, 6))),
            create=Who.NOBODY,
            update=Who.NOBODY,
            see=Who.NOBODY,
            sorts=False,
            text="A filter: only subnets of this IP version are counted.",
        ),
        Attribute(
            "total_ips",
            Integer(0, 2**128),
            create=Who.NOBODY,
            update=Who.NOBODY,
            stored=False,
            derive=_total,
            filters=False,
            sorts=False,
            text="Addresses of its subnets' pools.",
        ),
        _shown("used_ips", Integer(0, 2**128), "Addresses that are taken."),
        _shown("subnet_ip_availability", ListOf(FreeForm()), "The same of each subnet."),
        _shown("ip_availability_details", FreeForm(), "What is inside of the pools, and what is not."),
    ),
)
