"""Prefixes as sets of addresses: pure functions.

A set is a `NumberSet` of the addresses' numbers, of one IP version.
"""

import ipaddress
from collections.abc import Iterable

from alcor.managers.free_number import NumberSet
from alcor.model.address import Cidr, ip_of_int, network_of
from alcor.model.errors import InvalidInput, Problem

BITS = {4: 32, 6: 128}
_DEFAULT_MIN = {4: 8, 6: 64}
# What a quota counts. Source: Networking API v2.0, "default_quota": /32 of IPv4, /64 of IPv6.
QUOTA_UNIT_BITS = {4: 32, 6: 64}


def span(cidr: Cidr) -> tuple[int, int]:
    """The first and the last address of a prefix, as numbers."""
    network = network_of(cidr)
    first = int(network.network_address)
    return first, first + network.num_addresses - 1


def set_of(cidrs: Iterable[str]) -> NumberSet:
    """The addresses of prefixes, which may touch and overlap."""
    return NumberSet.of(span(Cidr(cidr)) for cidr in cidrs)


def cidrs_of(numbers: NumberSet, version: int) -> tuple[str, ...]:
    """The fewest prefixes that make up a set, in ascending order."""
    return tuple(
        str(network)
        for first, last in numbers.ranges
        for network in ipaddress.summarize_address_range(
            ipaddress.ip_address(ip_of_int(first, version)), ipaddress.ip_address(ip_of_int(last, version))
        )
    )


def version_of(cidrs: Iterable[str]) -> int:
    """The IP version of a pool's prefixes. Raises: InvalidInput if there are none, or they are of both versions."""
    versions = {network_of(Cidr(cidr)).version for cidr in cidrs}
    if not versions:
        raise InvalidInput(
            "Empty subnet pool prefix list: name at least one prefix.", problem=Problem.SUBNETPOOL_EMPTY
        )
    if len(versions) > 1:
        raise InvalidInput(
            "Cannot mix IPv4 and IPv6 prefixes in a subnet pool; make a pool for each.",
            problem=Problem.SUBNETPOOL_VERSIONS,
        )
    return versions.pop()


def lengths_of(
    version: int, shortest: int | None, longest: int | None, default: int | None
) -> tuple[int, int, int]:
    """(min, max, default) prefix lengths of a pool, what was not said filled in.

    Raises: InvalidInput (SUBNETPOOL_BOUNDS) if they are not in order.
    """
    low = _DEFAULT_MIN[version] if shortest is None else shortest
    high = BITS[version] if longest is None else longest
    middle = low if default is None else default
    _check_order("min_prefixlen", low, "max_prefixlen", high)
    _check_order("max_prefixlen", high, "ip_version_max", BITS[version])
    _check_order("min_prefixlen", low, "default_prefixlen", middle)
    _check_order("default_prefixlen", middle, "max_prefixlen", high)
    return low, high, middle


def _check_order(lower_name: str, lower: int, upper_name: str, upper: int) -> None:
    if lower > upper:
        raise InvalidInput(
            f"Illegal prefix bounds: {lower_name}={lower} must not be more than {upper_name}={upper}.",
            problem=Problem.SUBNETPOOL_BOUNDS,
        )


def best_fit(free: NumberSet, version: int, length: int) -> Cidr | None:
    """A free prefix of a length: the first of the smallest free block that has room. None: there is no room."""
    blocks = (network_of(Cidr(cidr)) for cidr in cidrs_of(free, version))
    fitting = [block for block in blocks if block.prefixlen <= length]
    if not fitting:
        return None
    smallest = max(fitting, key=lambda block: (block.prefixlen, -int(block.network_address)))
    return Cidr(f"{smallest.network_address}/{length}")
