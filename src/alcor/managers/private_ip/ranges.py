"""`/ip-ranges`: ranges of a subnet's addresses that `/ips` takes from."""

from collections.abc import Sequence

from alcor.managers.interface import Caller, Made, Manager, Values
from alcor.managers.private_ip.allocation import is_usable, space_of
from alcor.managers.private_ip.availability import addresses_of
from alcor.managers.private_ip.named import get_subnet
from alcor.managers.row import new_row, replace_row
from alcor.model.address import Cidr, Ip, ip_int, ip_of_int, ip_version
from alcor.model.errors import Conflict, InvalidInput, Problem
from alcor.model.ip_range import IP_RANGE, IpRange, size_of
from alcor.model.subnet import Subnet
from alcor.store.interface import Condition, Query, Store, Transaction

# Up to this many addresses are looked up one by one; beyond, those who have addresses are read.
_LOOKED_UP_MAX = 1_024


def range_manager() -> Manager:
    """`/ip-ranges`. A range that addresses were taken from cannot go: they refer to it."""
    return Manager(
        IP_RANGE, "private-ip", create=create, update=update, delete=delete, computed={"used_ips": load_used}
    )


async def create(tx: Transaction, caller: Caller, many: Sequence[Values]) -> list[Made]:
    """Add ranges.

    Raises: NotFound (subnet); InvalidInput if a bound is none a port of the subnet can have, or they are reversed;
            Conflict if another range of the subnet has some of the addresses.
    """
    made = []
    for values in many:
        subnet = await get_subnet(tx, caller, values["subnet_id"])
        first, last = Ip(values["first_ip"]), Ip(values["last_ip"])
        check_bounds(subnet, first, last)
        for other in await tx.list(IpRange, Query((Condition("subnet_id", (subnet.id,)),))):
            if meet((first, last), (Ip(other.first_ip), Ip(other.last_ip))):
                raise Conflict(
                    f"IP range {first} to {last} overlaps range {other.id} ({other.first_ip} to {other.last_ip}).",
                    kind="ip_range",
                    id=other.id,
                    problem=Problem.ADDRESS_RANGES_OVERLAP,
                )
        row = new_row(tx, caller, IpRange, values)
        made.append(Made(await tx.get(IpRange, row.id)))
    return made


def check_bounds(subnet: Subnet, first: Ip, last: Ip) -> None:
    """Raises: InvalidInput (RANGE_OUTSIDE_SUBNET)."""
    cidr = Cidr(subnet.cidr)
    for bound in (first, last):
        if not is_usable(cidr, bound):
            raise InvalidInput(
                f"{bound} is no address that a port of subnet {subnet.id} ({cidr}) can have.",
                problem=Problem.RANGE_OUTSIDE_SUBNET,
            )
    if ip_int(first) > ip_int(last):
        raise InvalidInput(
            f"The range ends ({last}) before it begins ({first}).", problem=Problem.RANGE_OUTSIDE_SUBNET
        )


def meet(one: tuple[Ip, Ip], other: tuple[Ip, Ip]) -> bool:
    """Whether two inclusive ranges have an address in common."""
    same = ip_version(one[0]) == ip_version(other[0])
    return same and ip_int(one[0]) <= ip_int(other[1]) and ip_int(other[0]) <= ip_int(one[1])


async def update(tx: Transaction, _caller: Caller, row: IpRange, values: Values) -> IpRange:
    """Change the name or the description."""
    return await replace_row(tx, row, values)


async def delete(tx: Transaction, _caller: Caller, row: IpRange) -> None:
    """Remove a range. Its rows at `/ips` refer to it, so the store refuses while there are any (InUse)."""
    tx.delete(row)


async def load_used(store: Store, _caller: Caller, rows: Sequence[IpRange]) -> dict[str, int]:
    """How many addresses of each range are taken. Cost: see `count_taken`."""

    async def work(tx: Transaction) -> dict[str, int]:
        return {
            row.id: await count_taken(
                tx, await tx.get(Subnet, row.subnet_id), Ip(row.first_ip), Ip(row.last_ip), size_of(row)
            )
            for row in rows
        }

    return (await store.write(work)).value


async def count_taken(tx: Transaction, subnet: Subnet, first: Ip, last: Ip, size: int) -> int:
    """How many of a subnet's addresses from `first` to `last` somebody has.

    Cost: one look-up of at most `_LOOKED_UP_MAX` keys; beyond, one read of those who have addresses of the subnet.
    """
    low, high = ip_int(first), ip_int(last)
    if size <= _LOOKED_UP_MAX:
        keys = [ip_of_int(number, subnet.ip_version) for number in range(low, high + 1)]
        return len(await tx.claimed(space_of(subnet.id), keys))
    return sum(1 for ip in await addresses_of(tx, subnet) if low <= ip_int(ip) <= high)
