"""Addresses of subnets: taken by a claim in `address:<subnet id>`, so that no address is ever given twice.

Two ways to find a free one, both O(1) in the size of the prefix:
- Prefixes of at most 256 addresses keep one bitmap, a bit per address of the prefix. The lowest free address is
  taken: people read these subnets, and the original did the same; resting addresses keep a just released one from
  being given again. Pools are a mask over the bitmap, so that changing them needs no rebuild.
- Larger ones draw at random (`free_number`), so that writers do not meet on one address or one row.

The claim alone decides. A bitmap that were wrong would cost a candidate, never a duplicate.
"""

import ipaddress
import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from alcor.managers.free_number import REST_S, NumberSet, Space, choose_numbers, take_numbers
from alcor.model.address import Cidr, Ip, Mac, contains, eui64, ip_int, ip_of_int, network_of
from alcor.model.errors import Exhausted, InUse, InvalidInput, Problem
from alcor.model.subnet import Pool, Subnet
from alcor.store.interface import Transaction

_BITMAPS = "address_bitmap"
# One row of 32 bytes: a /24, or a /120 of IPv6.
_BITMAP_ADDRESSES_MAX = 256
# Free addresses beyond those wanted whose rest is asked for at first: some of the lowest may just have been released.
_SPARE = 7
# Subnets whose shape is remembered in this process.
_SHAPES_MAX = 4_096

AUTO_MODES = ("slaac", "dhcpv6-stateless")


@dataclass(frozen=True, slots=True)
class _Shape:
    """What allocation needs of a subnet. `mask`: the pools as bits of the bitmap; 0 without a bitmap."""

    version: int
    first: int
    size: int
    mask: int
    numbers: NumberSet

    @property
    def has_bitmap(self) -> bool:
        return self.size <= _BITMAP_ADDRESSES_MAX


@lru_cache(_SHAPES_MAX)
def _shape(cidr: Cidr, pools: tuple[Pool, ...]) -> _Shape:
    network = network_of(cidr)
    first = int(network.network_address)
    numbers = NumberSet.of((ip_int(Ip(pool.start)), ip_int(Ip(pool.end))) for pool in pools)
    mask = 0
    if network.num_addresses <= _BITMAP_ADDRESSES_MAX:
        for low, high in numbers.ranges:
            mask |= ((1 << (high - low + 1)) - 1) << (low - first)
    return _Shape(network.version, first, network.num_addresses, mask, numbers)


def _shape_of(subnet: Subnet) -> _Shape:
    return _shape(Cidr(subnet.cidr), subnet.allocation_pools)


def space_of(subnet_id: str) -> str:
    """The claim space of a subnet's addresses; the owner is a port or an `IpAllocation`."""
    return f"address:{subnet_id}"


def is_automatic(subnet: Subnet) -> bool:
    """Whether ports form their address themselves (SLAAC), from their MAC address."""
    return subnet.ipv6_address_mode in AUTO_MODES or subnet.ipv6_ra_mode in AUTO_MODES


def is_usable(cidr: Cidr, ip: Ip) -> bool:
    """Whether a port may have `ip`: inside, and neither network nor broadcast address.

    Source: RFC 3021 and RFC 6164 for prefixes of two addresses; RFC 4291, 2.6.1 (subnet-router anycast).
    """
    network = network_of(cidr)
    if not contains(cidr, ip):
        return False
    if network.num_addresses <= 2:
        return True
    address = ipaddress.ip_address(ip)
    return address != network.network_address and (
        network.version == 6 or address != network.broadcast_address
    )


async def allocate(tx: Transaction, subnet: Subnet, owners: Sequence[str]) -> list[Ip]:
    """Take one free address of the pools for each of `owners`.

    Shape:  addresses in the order of `owners`; shorter exactly if the pools have no more. Resting
            addresses are given last.
    Cost:   O(1) in the size of the subnet: one bitmap read and written per call, or see `free_number`.
    """
    shape = _shape_of(subnet)
    if shape.has_bitmap:
        return await _allocate_lowest(tx, subnet, shape, owners)
    space = Space(space_of(subnet.id), shape.numbers, lambda number: ip_of_int(number, shape.version))
    return [Ip(key) for key in await take_numbers(tx, space, owners)]


async def choose(
    tx: Transaction, subnet: Subnet, count: int, taken: frozenset[Ip], rng: random.Random
) -> tuple[list[Ip], dict[tuple[str, str], bytes]]:
    """`count` free addresses as `allocate` would take them, and the value to be kept for them: (space, key) → value.

    For whoever claims them all where nobody else does; `taken`: what is taken already, if there is no bitmap.
    Raises: Exhausted. Cost: O(count).
    """
    shape = _shape_of(subnet)
    if not shape.has_bitmap:
        space = Space(
            space_of(subnet.id), shape.numbers, lambda number: ip_of_int(number, shape.version), taken
        )
        return [Ip(key) for key in choose_numbers(space, count, rng)], {}
    bits = await _load(tx, subnet)
    offsets = _lowest_bits(shape.mask & ~bits, count)
    if len(offsets) < count:
        raise Exhausted("IP addresses", f"of subnet {subnet.id}", problem=Problem.NO_ADDRESS_LEFT)
    bits |= sum(1 << offset for offset in offsets)
    chosen = [ip_of_int(shape.first + offset, shape.version) for offset in offsets]
    return chosen, {(_BITMAPS, subnet.id): bits.to_bytes((shape.size + 7) // 8, "little")}


async def allocate_between(
    tx: Transaction, subnet: Subnet, first: Ip, last: Ip, owners: Sequence[str]
) -> list[Ip]:
    """Take one free address from `first` to `last` for each of `owners`; they need not lie in a pool.

    Shape:  as `allocate`. Cost: see `free_number`.
    """
    space = numbers_of(subnet, NumberSet.of([(ip_int(first), ip_int(last))]))
    given = [Ip(key) for key in await take_numbers(tx, space, owners)]
    await _mark(tx, subnet, given, taken=True)
    return given


def numbers_of(subnet: Subnet, numbers: NumberSet) -> Space:
    """Some of a subnet's addresses, to choose from; its gateway's is nobody's."""
    gateway = frozenset() if subnet.gateway_ip is None else frozenset({subnet.gateway_ip})
    return Space(space_of(subnet.id), numbers, lambda number: ip_of_int(number, subnet.ip_version), gateway)


async def take(tx: Transaction, subnet: Subnet, ip: Ip, owner: str) -> None:
    """Take the address that was asked for; it need not lie in a pool, and is granted even while it rests.

    Raises: InvalidInput if a port cannot have it; InUse if it is taken.
    """
    if not is_usable(Cidr(subnet.cidr), ip):
        raise InvalidInput(
            f"IP address {ip} is not a valid IP for subnet {subnet.id} ({subnet.cidr}); "
            "choose one inside the prefix that is neither its network nor its broadcast address.",
            problem=Problem.ADDRESS_NOT_IN_SUBNET,
        )
    if not await tx.claim(space_of(subnet.id), ip, owner):
        raise InUse(
            "IP address",
            ip,
            by=f"subnet {subnet.id} of network {subnet.network_id} has given it already",
            problem=Problem.ADDRESS_TAKEN,
        )
    await _mark(tx, subnet, (ip,), taken=True)


async def take_automatic(tx: Transaction, subnet: Subnet, mac: Mac, owner: str) -> Ip:
    """Take the address the owner of `mac` will form by SLAAC. Raises: InUse if another has it."""
    ip = eui64(Cidr(subnet.cidr), mac)
    await take(tx, subnet, ip, owner)
    return ip


async def release(tx: Transaction, subnet: Subnet, ips: Sequence[Ip]) -> None:
    """Give addresses back. They rest, so that a lagging host does not let their next owner in."""
    for ip in ips:
        tx.release(space_of(subnet.id), ip, rest_s=REST_S)
    await _mark(tx, subnet, ips, taken=False)


def forget(tx: Transaction, subnet: Subnet) -> None:
    """Drop what is kept beside the claims of a subnet that goes away."""
    tx.save(_BITMAPS, subnet.id, None)


async def _load(tx: Transaction, subnet: Subnet) -> int:
    return int.from_bytes(await tx.load(_BITMAPS, subnet.id) or b"", "little")


def _save(tx: Transaction, subnet: Subnet, shape: _Shape, bits: int) -> None:
    tx.save(_BITMAPS, subnet.id, bits.to_bytes((shape.size + 7) // 8, "little"))


async def _mark(tx: Transaction, subnet: Subnet, ips: Sequence[Ip], *, taken: bool) -> None:
    shape = _shape_of(subnet)
    if not shape.has_bitmap or not ips:
        return
    bits = await _load(tx, subnet)
    for ip in ips:
        bit = 1 << (ip_int(ip) - shape.first)
        bits = bits | bit if taken else bits & ~bit
    _save(tx, subnet, shape, bits)


async def _allocate_lowest(tx: Transaction, subnet: Subnet, shape: _Shape, owners: Sequence[str]) -> list[Ip]:
    space = space_of(subnet.id)
    bits = await _load(tx, subnet)
    free = shape.mask & ~bits
    near = _lowest_bits(free, len(owners) + _SPARE)
    rested, resting = await _split_resting(tx, space, shape, near)
    if len(rested) < len(owners):
        beyond = _lowest_bits(free & ~sum(1 << offset for offset in near), shape.size)
        more, waiting = await _split_resting(tx, space, shape, beyond)
        rested, resting = rested + more, resting + waiting
    given: list[Ip] = []
    for offset, ip in [*rested, *resting]:
        if len(given) == len(owners):
            break
        bits |= 1 << offset
        if await tx.claim(space, ip, owners[len(given)]):
            given.append(ip)
    if given:
        _save(tx, subnet, shape, bits)
    return given


def _lowest_bits(bits: int, count: int) -> list[int]:
    offsets: list[int] = []
    while bits and len(offsets) < count:
        low = bits & -bits
        offsets.append(low.bit_length() - 1)
        bits ^= low
    return offsets


async def _split_resting(
    tx: Transaction, space: str, shape: _Shape, offsets: Sequence[int]
) -> tuple[list[tuple[int, Ip]], list[tuple[int, Ip]]]:
    """The addresses at `offsets` that have rested, and those that still rest."""
    if not offsets:
        return [], []
    addresses = [(offset, ip_of_int(shape.first + offset, shape.version)) for offset in offsets]
    waiting = await tx.resting(space, [ip for _, ip in addresses])
    return (
        [(offset, ip) for offset, ip in addresses if ip not in waiting],
        [(offset, ip) for offset, ip in addresses if ip in waiting],
    )
