"""The Private IP Manager's own endpoint, `/ips`: addresses taken without a port."""

from collections.abc import Sequence

from alcor.managers.interface import Caller, Made, Manager, Values
from alcor.managers.private_ip.allocation import allocate, allocate_between, is_automatic, release, take
from alcor.managers.private_ip.named import get_subnet, subnets_of
from alcor.managers.row import get_visible, project_of, replace_row
from alcor.model.address import Cidr, Ip, contains, ip_int
from alcor.model.errors import Exhausted, InvalidInput, NotFound, Problem
from alcor.model.ip_allocation import ACTIVATED, IP_ALLOCATION, IpAllocation
from alcor.model.ip_range import IpRange
from alcor.model.network import Network
from alcor.model.resource import UNSET
from alcor.model.subnet import Subnet
from alcor.store.interface import Transaction


async def create(tx: Transaction, caller: Caller, many: Sequence[Values]) -> list[Made]:
    """Take an address: the one named, or a free one of the range, the subnet's pools, or any of a network's subnets.

    Raises: NotFound, InvalidInput, InUse, Exhausted; as `private_ip.allocation`.
    """
    made = []
    for values in many:
        id = tx.new_id()
        span = await _span(tx, caller, values)
        subnets = await _subnets(tx, caller, values, span)
        subnet, ip = await _take_any(tx, subnets, span, values.get("ip_address", UNSET), id)
        tx.insert(
            IpAllocation(
                id=id,
                project_id=project_of(caller, values),
                name=values.get("name", ""),
                description=values.get("description", ""),
                subnet_id=subnet.id,
                ip_address=ip,
                range_id=None if span is None else span.id,
                state=values.get("state", ACTIVATED),
            )
        )
        made.append(Made(await tx.get(IpAllocation, id)))
    return made


async def _span(tx: Transaction, caller: Caller, values: Values) -> IpRange | None:
    """The range that is named. Raises: NotFound."""
    range_id = values.get("range_id")
    return None if range_id is None else await get_visible(tx, caller, IpRange, range_id, kind="ip_range")


async def _subnets(tx: Transaction, caller: Caller, values: Values, span: IpRange | None) -> list[Subnet]:
    """Where the address may be taken, the first choice first. Raises: NotFound; InvalidInput."""
    subnet_id, network_id = values.get("subnet_id", UNSET), values.get("network_id")
    if span is not None:
        if subnet_id not in (UNSET, span.subnet_id) or network_id is not None:
            raise InvalidInput(
                f"IP range {span.id} is of subnet {span.subnet_id}; leave subnet_id and network_id out.",
                attribute="range_id",
            )
        return [await tx.get(Subnet, span.subnet_id)]
    if (subnet_id is UNSET) == (network_id is None):
        raise InvalidInput(
            "name one of subnet_id, network_id and range_id: where the address is to be taken.",
            attribute="subnet_id",
        )
    if network_id is None:
        return [await get_subnet(tx, caller, str(subnet_id))]
    network = await get_visible(tx, caller, Network, network_id, kind="network")
    found = await subnets_of(tx, network.id)
    wanted = values.get("ip_address", UNSET)
    if wanted is not UNSET:
        found = [one for one in found if contains(Cidr(one.cidr), Ip(wanted))]
    else:
        version = values.get("ip_version") or 4
        found = [one for one in found if one.ip_version == version and not is_automatic(one)]
    if not found:
        raise NotFound(
            "subnet", "", reason=f"Network {network.id} has no subnet to take such an address from."
        )
    return found


async def _take_any(
    tx: Transaction, subnets: Sequence[Subnet], span: IpRange | None, wanted: object, owner: str
) -> tuple[Subnet, Ip]:
    """An address of the first subnet that has one. Raises: as `create`."""
    for place, subnet in enumerate(subnets, 1):
        try:
            return subnet, await _take(tx, subnet, span, wanted, owner)
        except Exhausted:
            if place == len(subnets):
                raise
    raise AssertionError("there is at least one subnet")


async def _take(tx: Transaction, subnet: Subnet, span: IpRange | None, wanted: object, owner: str) -> Ip:
    if wanted is not UNSET:
        ip = Ip(str(wanted))
        if span is not None and not ip_int(Ip(span.first_ip)) <= ip_int(ip) <= ip_int(Ip(span.last_ip)):
            raise InvalidInput(
                f"{ip} is not in IP range {span.id} ({span.first_ip} to {span.last_ip}).",
                attribute="ip_address",
                problem=Problem.ADDRESS_NOT_IN_SUBNET,
            )
        await take(tx, subnet, ip, owner)
        return ip
    if span is not None:
        taken = await allocate_between(tx, subnet, Ip(span.first_ip), Ip(span.last_ip), [owner])
    elif is_automatic(subnet):
        raise InvalidInput(
            f"addresses of subnet {subnet.id} are formed from MAC addresses ({subnet.ipv6_address_mode}); "
            "name the address to take.",
            attribute="ip_address",
        )
    else:
        taken = await allocate(tx, subnet, [owner])
    if not taken:
        where = f"in subnet {subnet.id}" if span is None else f"in IP range {span.id}"
        raise Exhausted("IP addresses", where, problem=Problem.NO_ADDRESS_LEFT)
    return taken[0]


async def update(tx: Transaction, _caller: Caller, row: IpAllocation, values: Values) -> IpAllocation:
    """Change name, description or state; or take another address and give the old one back, both or neither.

    Raises: InvalidInput, InUse; as `private_ip.allocation`.
    """
    wanted = values.get("ip_address", row.ip_address)
    if wanted != row.ip_address:
        subnet = await tx.get(Subnet, row.subnet_id)
        span = None if row.range_id is None else await tx.get(IpRange, row.range_id)
        await _take(tx, subnet, span, wanted, row.id)
        await release(tx, subnet, [Ip(row.ip_address)])
    return await replace_row(tx, row, values)


async def delete(tx: Transaction, _caller: Caller, row: IpAllocation) -> None:
    """Give the address back; it rests before it is given again."""
    await release(tx, await tx.get(Subnet, row.subnet_id), [Ip(row.ip_address)])
    tx.delete(row)


def manager() -> Manager:
    """The endpoint of the Private IP Manager."""
    return Manager(IP_ALLOCATION, "private-ip", create=create, update=update, delete=delete)
