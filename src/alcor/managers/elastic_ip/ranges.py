"""`/elasticip-ranges`, and `/elasticips`: floating IPs whose outer addresses are taken from them."""

from collections.abc import Sequence
from dataclasses import replace

from alcor.managers.elastic_ip.association import bad_floating_ip
from alcor.managers.free_number import NumberSet, find_free
from alcor.managers.interface import Caller, Create, Made, Manager, Values
from alcor.managers.private_ip.allocation import numbers_of
from alcor.managers.private_ip.ranges import check_bounds, count_taken, meet
from alcor.managers.row import new_row, replace_row
from alcor.model.address import Ip, ip_int
from alcor.model.elastic_ip_range import ELASTIC_IP, ELASTIC_IP_RANGE, ElasticIpRange
from alcor.model.errors import Conflict, Exhausted, InvalidInput, NotFound, Problem
from alcor.model.floatingip import FloatingIp
from alcor.model.network import Network
from alcor.model.resource import UNSET
from alcor.model.subnet import Pool, Subnet
from alcor.store.interface import Condition, Query, Store, Transaction


def family(floating_ips: Manager) -> tuple[Manager, ...]:
    """`/elasticip-ranges` and `/elasticips`. `floating_ips`: whose rows elastic IPs are."""
    make = floating_ips.create
    assert make is not None
    ranges = Manager(
        ELASTIC_IP_RANGE,
        floating_ips.service,
        create=create,
        update=update,
        delete=delete,
        computed={"used_ip_count": load_used},
    )
    return ranges, replace(floating_ips, resource=ELASTIC_IP, create=_taking(make), extensions=())


async def create(tx: Transaction, caller: Caller, many: Sequence[Values]) -> list[Made]:
    """Add ranges.

    Raises: NotFound (subnet); InvalidInput if its network is not external, or as `_check`; Conflict, as `_check`.
    """
    made = []
    for values in many:
        subnet = await tx.find(Subnet, values["subnet_id"])
        if subnet is None:
            raise NotFound("subnet", values["subnet_id"])
        network = await tx.get(Network, subnet.network_id)
        if not network.router_external:
            raise InvalidInput(
                f"subnet {subnet.id} is of network {network.id}, which is not external: its addresses are no outer "
                "ones.",
                attribute="subnet_id",
            )
        await _check(tx, subnet, values["allocation_ranges"], "")
        row = new_row(tx, caller, ElasticIpRange, values, ip_version=subnet.ip_version)
        made.append(Made(await tx.get(ElasticIpRange, row.id)))
    return made


async def _check(tx: Transaction, subnet: Subnet, ranges: Sequence[Pool], own_id: str) -> None:
    """Raises: InvalidInput if there is none, or one that is not of the subnet; Conflict if two have an address."""
    if not ranges:
        raise InvalidInput("a range needs at least one start and end.", attribute="allocation_ranges")
    others = await tx.list(ElasticIpRange, Query((Condition("subnet_id", (subnet.id,)),)))
    taken = [pool for other in others if other.id != own_id for pool in other.allocation_ranges]
    for pool in ranges:
        check_bounds(subnet, Ip(pool.start), Ip(pool.end))
        for other in taken:
            if meet((Ip(pool.start), Ip(pool.end)), (Ip(other.start), Ip(other.end))):
                raise Conflict(
                    f"The range {pool.start} to {pool.end} overlaps {other.start} to {other.end} of subnet "
                    f"{subnet.id}.",
                    kind="elastic_ip_range",
                    problem=Problem.ADDRESS_RANGES_OVERLAP,
                )
        taken.append(pool)


async def update(tx: Transaction, _caller: Caller, row: ElasticIpRange, values: Values) -> ElasticIpRange:
    """Change the name, or the addresses. Raises: as `_check`; Conflict if an elastic IP's address would leave."""
    if "allocation_ranges" in values:
        subnet = await tx.get(Subnet, row.subnet_id)
        await _check(tx, subnet, values["allocation_ranges"], row.id)
        left = _numbers(row.allocation_ranges).without(_numbers(values["allocation_ranges"]).ranges)
        await _check_unused(tx, row, subnet, left)
    return await replace_row(tx, row, values)


async def delete(tx: Transaction, _caller: Caller, row: ElasticIpRange) -> None:
    """Remove a range. Raises: Conflict if an elastic IP has an address of it."""
    await _check_unused(tx, row, await tx.get(Subnet, row.subnet_id), _numbers(row.allocation_ranges))
    tx.delete(row)


def _numbers(ranges: Sequence[Pool]) -> NumberSet:
    return NumberSet.of((ip_int(Ip(pool.start)), ip_int(Ip(pool.end))) for pool in ranges)


async def _check_unused(tx: Transaction, row: ElasticIpRange, subnet: Subnet, numbers: NumberSet) -> None:
    """Raises: Conflict (ELASTIC_IP_RANGE_IN_USE). Cost: one read of the external network's floating IPs."""
    if not numbers.size:
        return
    where = (Condition("floating_network_id", (subnet.network_id,)),)
    for one in await tx.list(FloatingIp, Query(where)):
        number = ip_int(Ip(one.floating_ip_address))
        if subnet.ip_version == row.ip_version and numbers.holds(number, number):
            raise Conflict(
                f"Elastic IP range {row.id} is in use: elastic IP {one.id} has {one.floating_ip_address}; delete it "
                "first.",
                kind="elastic_ip_range",
                id=row.id,
                problem=Problem.ELASTIC_IP_RANGE_IN_USE,
            )


async def load_used(store: Store, _caller: Caller, rows: Sequence[ElasticIpRange]) -> dict[str, int]:
    """How many addresses of each range somebody has, routers' gateways too. Cost: see `count_taken`."""

    async def work(tx: Transaction) -> dict[str, int]:
        found = {}
        for row in rows:
            subnet = await tx.get(Subnet, row.subnet_id)
            found[row.id] = sum(
                [
                    await count_taken(tx, subnet, Ip(pool.start), Ip(pool.end), _numbers([pool]).size)
                    for pool in row.allocation_ranges
                ]
            )
        return found

    return (await store.write(work)).value


def _taking(make: Create) -> Create:
    """What makes elastic IPs: it finds the outer address, then makes the floating IP that has it."""

    async def create_elastic(tx: Transaction, caller: Caller, many: Sequence[Values]) -> list[Made]:
        made = []
        for values in many:
            # One by one, so that what an earlier one took is no longer free for a later one.
            made += await make(tx, caller, [await _placed(tx, values)])
        return made

    return create_elastic


async def _placed(tx: Transaction, values: Values) -> Values:
    """What is said, with the network and the address of a range if a range, or nothing, says where.

    Raises: NotFound (range); Exhausted if the ranges have no free address; InvalidInput for an address that is not of
            the range, or a network or subnet beside a range.
    """
    range_id, network_id = values.get("range_id"), values.get("floating_network_id", UNSET)
    if range_id is None and network_id is not UNSET:
        return values
    if network_id is not UNSET or values.get("subnet_id") is not None:
        raise bad_floating_ip("a range says the network and the subnet; leave these out")
    ranges = await _ranges(tx, range_id, values.get("elastic_ip_version") or 4)
    wanted = values.get("floating_ip_address")
    for row in ranges:
        address = wanted if wanted is not None and _holds(row, wanted) else None
        if wanted is None:
            address = await _free(tx, row)
        if address is not None:
            subnet = await tx.get(Subnet, row.subnet_id)
            return values | {
                "floating_network_id": subnet.network_id,
                "subnet_id": subnet.id,
                "floating_ip_address": address,
                "elastic_ip_version": row.ip_version,
            }
    if wanted is not None:
        raise bad_floating_ip(f"{wanted} is in none of the ranges that are asked")
    where = f"in elastic IP range {range_id}" if range_id is not None else "in the elastic IP ranges"
    raise Exhausted("IP addresses", where, problem=Problem.NO_ADDRESS_LEFT)


async def _ranges(tx: Transaction, range_id: str | None, version: int) -> list[ElasticIpRange]:
    if range_id is None:
        found = await tx.list(ElasticIpRange, Query((Condition("ip_version", (version,)),)))
        return sorted(found, key=lambda row: (row.created_at, row.id))
    named = await tx.find(ElasticIpRange, range_id)
    if named is None:
        raise NotFound("elastic_ip_range", range_id)
    return [named]


def _holds(row: ElasticIpRange, address: str) -> bool:
    version_fits = (":" in address) == (row.ip_version == 6)
    number = ip_int(Ip(address))
    return version_fits and _numbers(row.allocation_ranges).holds(number, number)


async def _free(tx: Transaction, row: ElasticIpRange) -> str | None:
    """A free address of a range, None if there is none."""
    subnet = await tx.get(Subnet, row.subnet_id)
    found = await find_free(tx, numbers_of(subnet, _numbers(row.allocation_ranges)), 1)
    return found[0] if found else None
