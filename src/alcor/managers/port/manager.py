"""The Port Manager: ports."""

from collections.abc import Awaitable, Callable, Iterable, Sequence

from alcor.managers.interface import Caller, Made, Manager, Rows, Values
from alcor.managers.mac import allocation as mac_allocation
from alcor.managers.port import pair
from alcor.managers.port.address import Plan, Slot, eligible, fill, formed_slots, keep_or_add, refuse_unseen
from alcor.managers.port.binding import BOUND, PHYSICAL, change_binding, check_numa
from alcor.managers.port.create import create_ports
from alcor.managers.port.extension import EXTENSIONS
from alcor.managers.port.extra import changed_extra
from alcor.managers.port.owner import check_device, check_removable
from alcor.managers.port.policy import check_policies
from alcor.managers.port.related import OF_NETWORKS
from alcor.managers.port.security import change_groups, is_service
from alcor.managers.port.status import load_status
from alcor.managers.port.trunked import check_untrunked, load_trunk_details
from alcor.managers.private_ip import allocation
from alcor.managers.row import replace_row
from alcor.managers.subnet.manager import subnets_of
from alcor.model.address import Ip, Mac, parse_mac
from alcor.model.errors import Conflict, InUse, Problem
from alcor.model.port import PORT, FixedIp, Port
from alcor.model.subnet import Subnet
from alcor.store.interface import Condition, Transaction

Leaving = Callable[[Transaction, Caller, Port], Awaitable[None]]
"""What is done, or refused, before a port goes: the duty of managers above this one, so it comes by wiring."""

Moved = Callable[[Transaction, Port, Port], Awaitable[None]]
"""(before, after) What is done, or refused, once a port has other addresses; by wiring, too."""


# Managers above make and change ports of their own: no project asks for it.
_ITSELF = Caller("", is_admin=True)


def manager(
    reserved_macs: Iterable[Mac], leaving: Sequence[Leaving] = (), moved: Sequence[Moved] = ()
) -> Manager:
    """`/v2.0/ports`. No port may have one of `reserved_macs`."""
    reserved = frozenset(reserved_macs)

    async def create(tx: Transaction, caller: Caller, many: Sequence[Values]) -> list[Made]:
        return await create_ports(tx, caller, many, reserved)

    async def update(tx: Transaction, caller: Caller, row: Port, values: Values) -> Port:
        after = await update_port(tx, row, values, reserved, caller)
        if after.fixed_ips != row.fixed_ips:
            for step in moved:
                await step(tx, row, after)
        return after

    async def remove(tx: Transaction, caller: Caller, row: Port) -> None:
        await check_removable(tx, row)
        await check_untrunked(tx, row)
        for step in leaving:
            await step(tx, caller, row)
        await delete(tx, caller, row)

    return Manager(
        PORT,
        "port",
        create=create,
        update=update,
        delete=remove,
        computed={
            "status": load_status,
            "trunk_details": load_trunk_details,
        },
        joint=(OF_NETWORKS,),
        actions=pair.ACTIONS,
        sight=on_own_networks,
        extensions=EXTENSIONS,
    )


async def on_own_networks(_rows: Rows, caller: Caller) -> Sequence[tuple[Condition, ...]]:
    """Who owns a network sees all ports on it. Cost: none; a port keeps its network's project if it is another."""
    return ((Condition("network_project_id", (caller.project_id,)),),)


async def update_port(
    tx: Transaction, row: Port, values: Values, reserved: frozenset[Mac], caller: Caller = _ITSELF
) -> Port:
    """Change what a client may; without a `caller`, what the region itself does. Addresses are swapped in the same
    transaction: all of it happens or none.

    Raises: InUse if the MAC address of a bound port is to change (its guest knows the old one), or a MAC or
            IP address that is asked for is taken; Conflict for the MAC address of a network service's port;
            InvalidInput, NotFound and Exhausted as `port.address`, `port.security`, `port.pair`.
    """
    owner = values.get("device_owner", row.device_owner)
    if "device_owner" in values or "device_id" in values:
        await check_device(tx, caller, row.project_id, owner, values.get("device_id", row.device_id))
    check_numa(row, values)
    changes = values | await change_groups(tx, caller, row, values) | await change_binding(tx, row, values)
    mac = await change_mac(tx, row, values, owner, reserved)
    changes["mac_address"] = mac
    if values.get("fixed_ips"):
        await refuse_unseen(tx, caller, values["fixed_ips"], await subnets_of(tx, row.network_id))
    if mac != row.mac_address or "fixed_ips" in values:
        changes["fixed_ips"] = await change_addresses(tx, row, mac, values)
    if "allowed_address_pairs" in values:
        changes["allowed_address_pairs"] = pair.pairs_of(values["allowed_address_pairs"], mac)
    if "qos_policy_id" in values:
        await check_policies(tx, caller, [values["qos_policy_id"]])
    changes["extra"] = changed_extra(row, values)
    known = Port.__struct_fields__
    return await replace_row(tx, row, {name: value for name, value in changes.items() if name in known})


async def change_mac(tx: Transaction, row: Port, values: Values, owner: str, reserved: frozenset[Mac]) -> Mac:
    """The MAC address after an update: taken, and the old one given back; a new one for null, and for a physical
    function that is let go. Raises: InUse, Conflict.
    """
    wanted = values.get("mac_address", row.mac_address)
    physical = values.get("binding_vnic_type", row.binding_vnic_type) == PHYSICAL
    if physical and "mac_address" not in values and {"binding_profile", "binding_host_id"} & values.keys():
        # The card's own address counts, which the compute service writes down (extension port-mac-override).
        wanted = _card_mac(row, values)
    elif wanted == row.mac_address:
        return Mac(row.mac_address)
    elif is_service(owner):
        raise Conflict(
            f"The MAC address of port {row.id} cannot be changed: its device_owner is {owner}.",
            kind="port",
            id=row.id,
            problem=Problem.DEVICE_OWNER_UNSUPPORTED,
        )
    elif row.binding_vif_type == BOUND:
        raise InUse(
            "port",
            row.id,
            by=f"it is bound to host {row.binding_host_id}, so its MAC address {row.mac_address} cannot become "
            f"{wanted}; unbind it first",
            problem=Problem.PORT_BOUND,
        )
    if wanted == row.mac_address:
        return Mac(row.mac_address)
    if wanted is None:
        numbers = await mac_allocation.load_numbers(tx)
        [mac] = await mac_allocation.allocate(tx, numbers, row.network_id, [row.id], reserved)
    else:
        mac = Mac(wanted)
        await mac_allocation.take(tx, row.network_id, mac, row.id, reserved)
    mac_allocation.release(tx, row.network_id, Mac(row.mac_address))
    return mac


def _card_mac(row: Port, values: Values) -> str | None:
    """The address a physical function has by its profile; the present one if it says none, None once it is let go."""
    profile = values.get("binding_profile", row.binding_profile)
    told = profile.get("device_mac_address")
    if isinstance(told, str) and told:
        return parse_mac(told)
    had = row.binding_profile.get("device_mac_address")
    return None if had else row.mac_address


async def change_addresses(tx: Transaction, row: Port, mac: Mac, values: Values) -> tuple[FixedIp, ...]:
    """The addresses after an update of `fixed_ips` or of the MAC address; what is not kept is given back.

    Raises: as `port.address`.
    """
    owner = values.get("device_owner", row.device_owner)
    subnets = await subnets_of(tx, row.network_id)
    suitable = subnets
    kept: list[FixedIp] = list(row.fixed_ips)
    added: list[Slot] = []
    if "fixed_ips" in values:
        if values["fixed_ips"]:
            suitable = eligible(subnets, row.network_id, owner)
        kept, added = await keep_or_add(
            tx, values["fixed_ips"], row.fixed_ips, suitable, row.network_id, owner
        )
    if mac != row.mac_address:
        automatic = {subnet.id for subnet in subnets if allocation.is_automatic(subnet)}
        kept = [one for one in kept if one.subnet_id not in automatic]
    present = {one.subnet_id for one in kept}
    formed = [slot for slot in formed_slots(suitable, owner) if slot.choices[0].id not in present]
    # Released first, so that an update succeeds in a subnet that is otherwise full.
    await _release(tx, subnets, [one for one in row.fixed_ips if one not in kept])
    plan = Plan(row.id, row.network_id, mac, added + formed)
    await fill(tx, [plan])
    return (*kept, *plan.fixed_ips())


async def _release(tx: Transaction, subnets: Sequence[Subnet], addresses: Sequence[FixedIp]) -> None:
    for subnet in subnets:
        ips = [Ip(one.ip_address) for one in addresses if one.subnet_id == subnet.id]
        if ips:
            await allocation.release(tx, subnet, ips)


async def delete(tx: Transaction, _caller: Caller, row: Port) -> None:
    """Remove a port and give back all it had; MAC and addresses rest before they are given again.

    For managers above, whose ports the port API refuses to delete: nothing is asked here.
    """
    mac_allocation.release(tx, row.network_id, Mac(row.mac_address))
    for subnet_id in {one.subnet_id for one in row.fixed_ips}:
        subnet = await tx.get(Subnet, subnet_id)
        await _release(tx, [subnet], row.fixed_ips)
    tx.delete(row)
