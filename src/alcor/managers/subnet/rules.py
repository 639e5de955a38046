"""What makes a subnet valid, and what it is given by default: pure functions over prefixes and addresses.

Source: Networking API v2.0, "Subnets", as the reference server answers; RFC 3021 (/31), RFC 6164 (/127).
"""

import ipaddress
from collections.abc import Iterable, Sequence
from itertools import pairwise

from alcor.model.address import Cidr, Ip, IpNetwork, contains, ip_int, ip_of_int, ip_version, network_of
from alcor.model.errors import Conflict, InUse, InvalidInput, Problem
from alcor.model.subnet import HostRoute, Pool, Subnet

# EUI-64 interface identifiers are 64 bits. RFC 4862, 5.5.3.
_SLAAC_PREFIX_LENGTH = 64
# Above these a prefix holds no address for a client beside the server's. As the reference.
_DHCP_PREFIX_LENGTH_MAX = {4: 30, 6: 126}
# As the reference's defaults (`max_dns_nameservers`, `max_subnet_host_routes`).
DNS_NAMESERVERS_MAX, HOST_ROUTES_MAX = 5, 20
# Kinds of devices a subnet may be for. Source: Networking API v2.0, "Subnet service types".
_SERVICE_PREFIXES = ("network:", "neutron:", "compute:")
_AUTO_MODES = ("slaac", "dhcpv6-stateless")


def check_version(name: str, value: Ip | Cidr, version: int) -> None:
    """Raises: InvalidInput if `value` is not of IP `version`."""
    if ip_version(value) != version:
        raise InvalidInput(f"{name} '{value}' does not match the ip_version '{version}'.")


def check_cidr(cidr: Cidr, version: int) -> None:
    """Raises: InvalidInput if no network can have the prefix."""
    check_version("cidr", cidr, version)
    network = network_of(cidr)
    if network.prefixlen == 0:
        raise InvalidInput("0 is not allowed as CIDR prefix length.", attribute="cidr")
    if version == 6 and int(network.network_address) == 0:
        raise InvalidInput(f"IPv6 subnet '::' is not supported: {cidr} begins with the unspecified address.")


def check_dhcp(cidr: Cidr) -> None:
    """Raises: InvalidInput if DHCP cannot serve the prefix."""
    network = network_of(cidr)
    if network.prefixlen > _DHCP_PREFIX_LENGTH_MAX[network.version]:
        raise InvalidInput(
            f"Subnet has a prefix length that is incompatible with DHCP service enabled: {cidr} must be "
            f"/{_DHCP_PREFIX_LENGTH_MAX[network.version]} or shorter, or enable_dhcp false."
        )
    if network.is_multicast:
        raise InvalidInput(f"Multicast IP subnet {cidr} is not supported if enable_dhcp is True.")
    if network.is_loopback:
        raise InvalidInput(f"Loopback IP subnet {cidr} is not supported if enable_dhcp is True.")
    if network.version == 4 and int(network.network_address) == 0:
        raise InvalidInput(f"First IP '0.0.0.0' of network {cidr} is not supported if enable_dhcp is True.")


def check_overlap(cidr: Cidr, network_id: str, others: Iterable[Subnet]) -> None:
    """Raises: InvalidInput if `cidr` overlaps another subnet of its network."""
    wanted = network_of(cidr)
    for other in others:
        taken = network_of(Cidr(other.cidr))
        if taken.version == wanted.version and taken.overlaps(wanted):
            raise InvalidInput(
                f"Requested subnet with cidr: {cidr} for network: {network_id} overlaps with another subnet",
                problem=Problem.SUBNET_OVERLAP,
            )


def default_gateway(cidr: Cidr) -> Ip | None:
    """The first address a host may have; none where that would be the only one."""
    network = network_of(cidr)
    if network.num_addresses == 1:
        return None
    offset = 0 if network.num_addresses == 2 else 1
    return ip_of_int(int(network.network_address) + offset, network.version)


def check_gateway(cidr: Cidr, gateway: Ip) -> None:
    """Raises: InvalidInput for the network or broadcast address, or one of the other IP version.

    One outside of the prefix is allowed, as in the reference: it may be reached by a host route on the link
    (IPv6 routers are named by their link-local address).
    """
    network = network_of(cidr)
    check_version("gateway_ip", gateway, network.version)
    if network.version == 4 and network.num_addresses > 2:
        address = ipaddress.ip_address(gateway)
        if address in (network.network_address, network.broadcast_address):
            raise InvalidInput(
                f"Gateway is not valid on subnet: {gateway} is the network or broadcast address of {cidr}.",
                attribute="gateway_ip",
            )


def default_pools(cidr: Cidr, gateway: Ip | None) -> tuple[Pool, ...]:
    """All addresses ports may have, the gateway left out."""
    first, last = _usable(network_of(cidr))
    version = ip_version(cidr)
    inside = gateway is not None and contains(cidr, gateway) and first <= ip_int(gateway) <= last
    parts = [(first, last)]
    if inside and gateway is not None:
        parts = [(first, ip_int(gateway) - 1), (ip_int(gateway) + 1, last)]
    return tuple(
        Pool(ip_of_int(low, version), ip_of_int(high, version)) for low, high in parts if low <= high
    )


def check_pools(cidr: Cidr, pools: Sequence[Pool]) -> tuple[Pool, ...]:
    """The pools in ascending order.

    Raises: InvalidInput if one is reversed, of the other IP version or outside of the prefix; Conflict if
            two overlap.
    """
    version = ip_version(cidr)
    first, last = _usable(network_of(cidr))
    for pool in pools:
        start, end = Ip(pool.start), Ip(pool.end)
        if {ip_version(start), ip_version(end)} != {version} or ip_int(start) > ip_int(end):
            raise InvalidInput(
                f"The allocation pool {start}-{end} is not valid: it needs an IPv{version} start not above its end.",
                problem=Problem.POOL_INVALID,
            )
        if ip_int(start) < first or ip_int(end) > last:
            raise InvalidInput(
                f"The allocation pool {start}-{end} spans beyond the subnet cidr {cidr}.",
                problem=Problem.POOL_OUT_OF_SUBNET,
            )
    ordered = tuple(sorted(pools, key=lambda pool: ip_int(Ip(pool.start))))
    for lower, upper in pairwise(ordered):
        if ip_int(Ip(upper.start)) <= ip_int(Ip(lower.end)):
            raise Conflict(
                f"Found overlapping allocation pools: {lower.start}-{lower.end} {upper.start}-{upper.end} "
                f"for subnet {cidr}.",
                kind="subnet",
                problem=Problem.POOLS_OVERLAP,
            )
    return ordered


def check_gateway_outside(gateway: Ip | None, pools: Iterable[Pool]) -> None:
    """Raises: InUse if a port could be given the gateway's address."""
    for pool in pools:
        start, end = Ip(pool.start), Ip(pool.end)
        if (
            gateway is not None
            and ip_version(start) == ip_version(gateway)
            and ip_int(start) <= ip_int(gateway) <= ip_int(end)
        ):
            raise InUse(
                "gateway",
                gateway,
                by=f"it conflicts with allocation pool {start}-{end}",
                problem=Problem.GATEWAY_IN_POOL,
            )


def check_servers_and_routes(
    version: int, dns_nameservers: Iterable[str], host_routes: Iterable[HostRoute]
) -> None:
    """Raises: InvalidInput for an address of the other IP version, or more servers or routes than DHCP tells."""
    servers, routes = list(dns_nameservers), list(host_routes)
    if len(servers) > DNS_NAMESERVERS_MAX:
        raise InvalidInput(
            f"The number of DNS nameservers ({len(servers)}) exceeds the limit {DNS_NAMESERVERS_MAX}; name fewer.",
            problem=Problem.TOO_MANY_SERVERS,
        )
    if len(routes) > HOST_ROUTES_MAX:
        raise InvalidInput(
            f"The number of host routes ({len(routes)}) exceeds the limit {HOST_ROUTES_MAX}; name fewer.",
            problem=Problem.TOO_MANY_ROUTES,
        )
    for server in servers:
        check_version("dns_nameserver", Ip(server), version)
    for route in routes:
        check_version("destination", Cidr(route.destination), version)
        check_version("nexthop", Ip(route.nexthop), version)


def check_service_types(types: Iterable[str]) -> None:
    """Raises: InvalidInput (SERVICE_TYPE) for what is no `device_owner`."""
    for type_ in types:
        if not type_.startswith(_SERVICE_PREFIXES):
            raise InvalidInput(
                f"Subnet service type {type_} does not correspond to a valid device owner: it must begin with one "
                f"of {', '.join(_SERVICE_PREFIXES)}.",
                problem=Problem.SERVICE_TYPE,
            )


def check_ipv6_modes(cidr: Cidr, ra_mode: str | None, address_mode: str | None, *, enable_dhcp: bool) -> None:
    """Raises: InvalidInput for modes that do not fit the prefix, each other, or a subnet without DHCP."""
    modes = {"ipv6_ra_mode": ra_mode, "ipv6_address_mode": address_mode}
    given = {name: mode for name, mode in modes.items() if mode is not None}
    if not given:
        return
    if ip_version(cidr) == 4:
        raise InvalidInput(f"{next(iter(given))} is not valid when ip_version is 4.")
    if not enable_dhcp:
        raise InvalidInput(
            "ipv6_ra_mode or ipv6_address_mode cannot be set when enable_dhcp is set to False."
        )
    if len(set(given.values())) > 1:
        raise InvalidInput(
            f"ipv6_ra_mode set to '{ra_mode}' with ipv6_address_mode set to '{address_mode}' is not valid. "
            "If both attributes are set, they must be the same value."
        )
    if set(given.values()) & set(_AUTO_MODES) and network_of(cidr).prefixlen != _SLAAC_PREFIX_LENGTH:
        raise InvalidInput(
            f"Invalid CIDR {cidr} for IPv6 address mode {next(iter(given.values()))}: addresses formed from MAC "
            "addresses (EUI-64) need a prefix of /64."
        )


def _usable(network: IpNetwork) -> tuple[int, int]:
    """The first and last address a port may have, as numbers."""
    first = int(network.network_address)
    last = first + network.num_addresses - 1
    if network.num_addresses <= 2:
        return first, last
    return first + 1, last - (network.version == 4)
