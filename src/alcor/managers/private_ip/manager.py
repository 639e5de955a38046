"""The Private IP Manager's own endpoint, `/ips`: addresses taken without a port."""

from collections.abc import Sequence

from alcor.managers.interface import Caller, Made, Manager, Values
from alcor.managers.private_ip.allocation import allocate, is_automatic, release, take
from alcor.managers.row import get_visible, project_of, replace_row
from alcor.model.address import Ip
from alcor.model.errors import Exhausted, InvalidInput
from alcor.model.ip_allocation import IP_ALLOCATION, IpAllocation
from alcor.model.resource import UNSET
from alcor.model.subnet import Subnet
from alcor.store.interface import Transaction


async def create(tx: Transaction, caller: Caller, many: Sequence[Values]) -> list[Made]:
    """Take an address of a subnet: the one named, or a free one of its pools.

    Raises: NotFound, InvalidInput, InUse, Exhausted; as `private_ip.allocation`.
    """
    made = []
    for values in many:
        subnet = await get_visible(tx, caller, Subnet, values["subnet_id"], kind="subnet")
        id = tx.new_id()
        ip = await _take(tx, subnet, values.get("ip_address", UNSET), id)
        tx.insert(
            IpAllocation(
                id=id,
                project_id=project_of(caller, values),
                name=values.get("name", ""),
                description=values.get("description", ""),
                subnet_id=subnet.id,
                ip_address=ip,
            )
        )
        made.append(Made(await tx.get(IpAllocation, id)))
    return made


async def _take(tx: Transaction, subnet: Subnet, wanted: object, owner: str) -> Ip:
    if wanted is not UNSET:
        ip = Ip(str(wanted))
        await take(tx, subnet, ip, owner)
        return ip
    if is_automatic(subnet):
        raise InvalidInput(
            f"addresses of subnet {subnet.id} are formed from MAC addresses ({subnet.ipv6_address_mode}); "
            "name the address to take.",
            attribute="ip_address",
        )
    taken = await allocate(tx, subnet, [owner])
    if not taken:
        raise Exhausted("IP addresses", f"in subnet {subnet.id}")
    return taken[0]


async def update(tx: Transaction, _caller: Caller, row: IpAllocation, values: Values) -> IpAllocation:
    """Change the name or the description."""
    return await replace_row(tx, row, values)


async def delete(tx: Transaction, _caller: Caller, row: IpAllocation) -> None:
    """Give the address back; it rests before it is given again."""
    await release(tx, await tx.get(Subnet, row.subnet_id), [Ip(row.ip_address)])
    tx.delete(row)


def manager() -> Manager:
    """The endpoint of the Private IP Manager."""
    return Manager(IP_ALLOCATION, "private-ip", create=create, update=update, delete=delete)
