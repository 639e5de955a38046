"""What a host tells its ports of names: the domain, and whom to ask."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_address

from alcor.agent.answer.dhcp_option import encode_name
from alcor.goalstate.item import LocalPort, RegionItem, SubnetItem
from alcor.goalstate.router_item import RouterItem
from alcor.model.address import Ip, ip_bytes, ip_version
from alcor.pipeline.host_service import SERVICE_IPV4, SERVICE_IPV6
from alcor.pipeline.view import NetworkView

RESOLVERS = {4: SERVICE_IPV4, 6: SERVICE_IPV6[0]}
"""Our name server as VMs know it: link-local, so that no route and no tenant's address is in the way."""


@dataclass(frozen=True, slots=True)
class Telling:
    """What an answer is made from: the port, its network, its region, whether this host has a name server, and the
    routers on the network.
    """

    port: LocalPort
    network: NetworkView
    region: RegionItem
    serves_names: bool = False
    routers: tuple[RouterItem, ...] = ()


def domain_of(network: NetworkView, region: RegionItem) -> str:
    """The network's domain, else the region's; without the dot at its end; empty if there is none (or no such name)."""
    return _valid((network.network.dns_domain or region.dns_domain).rstrip(".").lower())


@lru_cache(1024)
def _valid(domain: str) -> str:
    try:
        encode_name(domain)
    except ValueError:
        return ""
    return domain


def offers_names(network: NetworkView, region: RegionItem) -> bool:
    """Whether VMs of the network are to ask our name server: there is a domain, or somebody to forward to."""
    return bool(domain_of(network, region) or region.dns_forwarders)


def name_servers(
    subnets: Iterable[SubnetItem],
    version: int,
    network: NetworkView,
    region: RegionItem,
    *,
    serves_names: bool,
) -> list[bytes]:
    """Whom VMs are told to ask, over one IP version, each once.

    The subnets' own; if they have none of the version, ours, if this host has one and names are offered. The address
    of nobody (`0.0.0.0`, `::`) among a subnet's own means none at all, as in the Networking API's reference.
    """
    named = [ip for subnet in subnets for ip in subnet.dns_nameservers if ip_version(Ip(ip)) == version]
    if any(ip_address(ip).is_unspecified for ip in named):
        return []
    if not named and serves_names and offers_names(network, region):
        named = [RESOLVERS[version]]
    return list(dict.fromkeys(ip_bytes(Ip(ip)) for ip in named))
