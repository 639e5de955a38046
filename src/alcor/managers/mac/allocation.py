"""MAC addresses: taken at random from the enabled ranges, unique per network by a claim in `mac:<network id>`.

A range needs no record of what it gave: two networks never meet on one wire, so only the network counts.
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache

from alcor.managers.free_number import REST_S, NumberSet, Space, take_numbers
from alcor.model.address import Mac, mac_int, mac_of_int
from alcor.model.errors import Exhausted, InUse, InvalidInput, Problem
from alcor.model.mac_range import MacRange
from alcor.store.interface import Transaction

# Locally administered (RFC 9542, 2.1): bit 2 of the first octet. Ours, so that nobody takes it for a vendor's.
_DEFAULT_FIRST, _DEFAULT_LAST = Mac("06:a1:c0:00:00:00"), Mac("06:a1:c0:ff:ff:ff")
# A constant, so that two writers who need it first collide on it instead of making two.
DEFAULT_RANGE_ID = "00000000-0000-4000-8000-06a1c0000000"

# Combinations of enabled ranges remembered in this process; an operator changes them rarely.
_RANGE_SETS_MAX = 16

RESERVED = frozenset({Mac("02:a1:c0:00:00:01")})
"""Addresses no port may have, unless the region is configured otherwise: the responder of DHCP and advertisements."""


def space_of(network_id: str) -> str:
    """The claim space of a network's MAC addresses; the owner is a port or a `MacAllocation`."""
    return f"mac:{network_id}"


async def load_numbers(tx: Transaction) -> NumberSet:
    """The addresses of all enabled ranges.

    A region without any range gets the default one, in the transaction that first needs an address.
    """
    ranges = await tx.list(MacRange)
    if not ranges:
        tx.insert(
            MacRange(
                id=DEFAULT_RANGE_ID,
                name="default",
                description="Made when the first address was needed.",
                first=_DEFAULT_FIRST,
                last=_DEFAULT_LAST,
            )
        )
        ranges = [await tx.get(MacRange, DEFAULT_RANGE_ID)]
    return _numbers(tuple(sorted((r.first, r.last) for r in ranges if r.enabled)))


@lru_cache(_RANGE_SETS_MAX)
def _numbers(bounds: tuple[tuple[str, str], ...]) -> NumberSet:
    return NumberSet.of((mac_int(Mac(first)), mac_int(Mac(last))) for first, last in bounds)


async def allocate(
    tx: Transaction,
    numbers: NumberSet,
    network_id: str,
    owners: Sequence[str],
    reserved: Iterable[Mac] = RESERVED,
) -> list[Mac]:
    """Take one free address for each of `owners`, at random; resting ones last.

    Cost:   O(1) in the size of the ranges, see `free_number`.
    Raises: Exhausted if the enabled ranges have no more for this network.
    """
    space = Space(space_of(network_id), numbers, mac_of_int, frozenset(reserved))
    taken = await take_numbers(tx, space, owners)
    if len(taken) < len(owners):
        raise Exhausted(
            "MAC addresses",
            f"for network {network_id} in the enabled MAC ranges",
            problem=Problem.NO_MAC_LEFT,
        )
    return [Mac(key) for key in taken]


async def take(
    tx: Transaction, network_id: str, mac: Mac, owner: str, reserved: Iterable[Mac] = RESERVED
) -> None:
    """Take the address that was asked for; it may lie outside all ranges, and is granted even while it rests.

    Raises: InUse if the network has it already; InvalidInput if it is reserved.
    """
    if mac in reserved:
        raise InvalidInput(
            f"MAC address {mac} is reserved: hosts answer DHCP from it. Choose another, or leave it out.",
            attribute="mac_address",
        )
    if not await tx.claim(space_of(network_id), mac, owner):
        raise InUse("MAC address", mac, by=f"network {network_id} has it already", problem=Problem.MAC_TAKEN)


def release(tx: Transaction, network_id: str, mac: Mac) -> None:
    """Give an address back; it rests before it is given again."""
    tx.release(space_of(network_id), mac, rest_s=REST_S)
