"""How many addresses are taken: `/v2.0/network-ip-availabilities`. Counted from the claims, which decide."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from msgspec.structs import replace

from alcor.managers.free_number import NumberSet
from alcor.managers.interface import Caller, Manager
from alcor.managers.private_ip.allocation import space_of
from alcor.model.address import Cidr, Ip, ip_int, ip_of_int, network_of
from alcor.model.extension import Extension
from alcor.model.ip_allocation import IpAllocation
from alcor.model.network import Network
from alcor.model.network_ip_availability import NETWORK_IP_AVAILABILITY, NetworkIpAvailability, total_of
from alcor.model.port import Port
from alcor.model.subnet import Subnet
from alcor.store.interface import Condition, Query, Store, Transaction

EXTENSIONS = (
    Extension(
        "network-ip-availability",
        "Network IP Availability",
        "How many addresses of networks and subnets there are, and how many are taken.",
        "2015-09-24T00:00:00-00:00",
    ),
    Extension(
        "network-ip-availability-details",
        "Network IP Availability Details Extension",
        "The same, inside of allocation pools and in whole subnets.",
        "2025-10-31T00:00:00-00:00",
    ),
)

# Subnets counted in one transaction: others write in between.
_SUBNETS_AT_ONCE = 100
# Up to this many addresses outside of the pools are looked up one by one; beyond, ports are read.
_OUTSIDE_MAX = 1_024


@dataclass(frozen=True, slots=True)
class Count:
    """Of one subnet: addresses taken, and those of them that are in a pool."""

    used: int
    used_in_pools: int


def manager() -> Manager:
    """`/v2.0/network-ip-availabilities`."""
    return Manager(
        NETWORK_IP_AVAILABILITY,
        "private-ip",
        source=load_networks,
        narrow=narrow,
        computed={
            "used_ips": load_used,
            "subnet_ip_availability": load_subnets,
            "ip_availability_details": load_details,
        },
        extensions=EXTENSIONS,
    )


async def load_networks(store: Store, _caller: Caller) -> Sequence[NetworkIpAvailability]:
    """A row for each network, with its subnets; nothing is counted yet."""
    of_network: dict[str, list[Subnet]] = {}
    for subnet in await store.reader.list(Subnet):
        of_network.setdefault(subnet.network_id, []).append(subnet)
    counts: dict[str, Count] = {}
    return [
        NetworkIpAvailability(
            id=network.id,
            project_id=network.project_id,
            network_id=network.id,
            network_name=network.name,
            ip_version=tuple(sorted({subnet.ip_version for subnet in of_network.get(network.id, ())})),
            subnets=tuple(of_network.get(network.id, ())),
            counts=counts,
        )
        for network in await store.reader.list(Network)
    ]


def narrow(row: NetworkIpAvailability, query: Query) -> NetworkIpAvailability:
    """The row with the subnets of the IP versions that are asked for."""
    asked = [condition.values for condition in query.where if condition.field.startswith("ip_version")]
    kept = tuple(subnet for subnet in row.subnets if all(subnet.ip_version in values for values in asked))
    return replace(row, subnets=kept)


async def load_used(store: Store, _caller: Caller, rows: Sequence[NetworkIpAvailability]) -> dict[str, int]:
    """Addresses taken of each network."""
    counts = await _count(store, rows)
    return {row.id: sum(counts[subnet.id].used for subnet in row.subnets) for row in rows}


async def load_subnets(
    store: Store, _caller: Caller, rows: Sequence[NetworkIpAvailability]
) -> dict[str, list[dict[str, Any]]]:
    """Each network's subnets with their numbers."""
    counts = await _count(store, rows)
    return {
        row.id: [
            {
                "subnet_id": subnet.id,
                "subnet_name": subnet.name,
                "ip_version": subnet.ip_version,
                "cidr": subnet.cidr,
                "total_ips": total_of(subnet),
                "used_ips": counts[subnet.id].used,
                "ip_availability_details": _details(subnet, counts[subnet.id]),
            }
            for subnet in row.subnets
        ]
        for row in rows
    }


async def load_details(
    store: Store, _caller: Caller, rows: Sequence[NetworkIpAvailability]
) -> dict[str, dict[str, int]]:
    """Each network's numbers, of the pools and of the whole prefixes."""
    counts = await _count(store, rows)
    found = {}
    for row in rows:
        details = [_details(subnet, counts[subnet.id]) for subnet in row.subnets]
        found[row.id] = {name: sum(one[name] for one in details) for name in _NAMES}
    return found


_NAMES = (
    "total_ips_in_subnet",
    "total_ips_in_allocation_pool",
    "used_ips_in_subnet",
    "used_ips_in_allocation_pool",
)


def _details(subnet: Subnet, count: Count) -> dict[str, int]:
    network = network_of(Cidr(subnet.cidr))
    whole = network.num_addresses - (2 if network.version == 4 else 0)
    pools = total_of(subnet) if subnet.allocation_pools else 0
    return dict(zip(_NAMES, (max(whole, 0), pools, count.used, count.used_in_pools), strict=True))


async def _count(store: Store, rows: Sequence[NetworkIpAvailability]) -> dict[str, Count]:
    """Subnet → its count. Done once per request, whoever asks first."""
    counts: dict[str, Count] = rows[0].counts if rows else {}
    counts |= await count_subnets(
        store, [subnet for row in rows for subnet in row.subnets if subnet.id not in counts]
    )
    return counts


async def count_subnets(store: Store, wanted: Sequence[Subnet]) -> dict[str, Count]:
    """Subnet → its count. Cost: one pass over the claims of each."""
    counts: dict[str, Count] = {}
    for start in range(0, len(wanted), _SUBNETS_AT_ONCE):
        part = wanted[start : start + _SUBNETS_AT_ONCE]

        async def work(tx: Transaction, part: Sequence[Subnet] = part) -> dict[str, Count]:
            return {subnet.id: await _count_one(tx, subnet) for subnet in part}

        counts |= (await store.write(work)).value
    return counts


async def _count_one(tx: Transaction, subnet: Subnet) -> Count:
    used = await tx.claims_count(space_of(subnet.id))
    if not used or not subnet.allocation_pools:
        return Count(used, 0)
    network = network_of(Cidr(subnet.cidr))
    first = int(network.network_address)
    pools = [(ip_int(Ip(pool.start)), ip_int(Ip(pool.end))) for pool in subnet.allocation_pools]
    outside = NumberSet.of([(first, first + network.num_addresses - 1)]).without(pools)
    if outside.size <= _OUTSIDE_MAX:
        keys = [ip_of_int(outside.at(index), network.version) for index in range(outside.size)]
        return Count(used, used - len(await tx.claimed(space_of(subnet.id), keys)))
    inside = NumberSet.of(pools)
    taken = [ip_int(ip) for ip in await addresses_of(tx, subnet)]
    return Count(used, sum(1 for number in taken if inside.holds(number, number)))


async def addresses_of(tx: Transaction, subnet: Subnet) -> list[Ip]:
    """The addresses of a subnet that ports have or that are taken without one. Cost: as many as there are."""
    ports = await tx.list(Port, Query((Condition("fixed_ips.subnet_id", (subnet.id,)),)))
    others = await tx.list(IpAllocation, Query((Condition("subnet_id", (subnet.id,)),)))
    found = [
        Ip(fixed.ip_address) for port in ports for fixed in port.fixed_ips if fixed.subnet_id == subnet.id
    ]
    return found + [Ip(one.ip_address) for one in others]
