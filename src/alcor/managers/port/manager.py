"""The Port Manager: ports."""

from collections.abc import Iterable, Sequence
from typing import Any

from alcor.managers.interface import Caller, Made, Manager, Values
from alcor.managers.mac import allocation as mac_allocation
from alcor.managers.port.address import Plan, Slot, fill, formed_slots, keep_or_add
from alcor.managers.port.binding import BOUND, find_host_names, next_generation, vif_type
from alcor.managers.port.create import create_ports
from alcor.managers.port.status import load_status
from alcor.managers.private_ip import allocation
from alcor.managers.row import replace_row
from alcor.managers.subnet.manager import subnets_of
from alcor.model.address import Ip, Mac
from alcor.model.errors import InUse
from alcor.model.port import PORT, FixedIp, Port
from alcor.model.subnet import Subnet
from alcor.store.interface import Transaction


def manager(reserved_macs: Iterable[Mac]) -> Manager:
    """`/v2.0/ports`. No port may have one of `reserved_macs`."""
    reserved = frozenset(reserved_macs)

    async def create(tx: Transaction, caller: Caller, many: Sequence[Values]) -> list[Made]:
        return await create_ports(tx, caller, many, reserved)

    async def update(tx: Transaction, _caller: Caller, row: Port, values: Values) -> Port:
        return await update_port(tx, row, values, reserved)

    return Manager(
        PORT, "port", create=create, update=update, delete=delete, computed={"status": load_status}
    )


async def update_port(tx: Transaction, row: Port, values: Values, reserved: frozenset[Mac]) -> Port:
    """Change what a client may. Addresses are swapped in the same transaction: all of it happens or none.

    Raises: InUse if the MAC address of a bound port is to change (its guest knows the old one), or a MAC or
            IP address that is asked for is taken; InvalidInput and Exhausted as `port.address`.
    """
    changes = dict(values)
    mac = Mac(changes.get("mac_address", row.mac_address))
    if mac != row.mac_address:
        await _change_mac(tx, row, mac, reserved)
    if mac != row.mac_address or "fixed_ips" in changes:
        changes["fixed_ips"] = await _change_addresses(tx, row, mac, changes)
    changes |= await _change_binding(tx, row, changes)
    return await replace_row(tx, row, changes)


async def _change_mac(tx: Transaction, row: Port, mac: Mac, reserved: frozenset[Mac]) -> None:
    if row.binding_vif_type == BOUND:
        raise InUse(
            "port",
            row.id,
            by=f"it is bound to host {row.binding_host_id}, so its MAC address {row.mac_address} cannot become "
            f"{mac}; unbind it first",
        )
    await mac_allocation.take(tx, row.network_id, mac, row.id, reserved)
    mac_allocation.release(tx, row.network_id, Mac(row.mac_address))


async def _change_addresses(
    tx: Transaction, row: Port, mac: Mac, values: dict[str, Any]
) -> tuple[FixedIp, ...]:
    subnets = await subnets_of(tx, row.network_id)
    kept: list[FixedIp] = list(row.fixed_ips)
    added: list[Slot] = []
    if "fixed_ips" in values:
        kept, added = await keep_or_add(tx, values["fixed_ips"], row.fixed_ips, subnets, row.network_id)
    if mac != row.mac_address:
        automatic = {subnet.id for subnet in subnets if allocation.is_automatic(subnet)}
        kept = [one for one in kept if one.subnet_id not in automatic]
    present = {one.subnet_id for one in kept}
    owner = values.get("device_owner", row.device_owner)
    formed = [slot for slot in formed_slots(subnets, owner) if slot.choices[0].id not in present]
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


async def _change_binding(tx: Transaction, row: Port, values: dict[str, Any]) -> dict[str, Any]:
    """What a change of host or administrative state brings with it."""
    host_id, vif = row.binding_host_id, row.binding_vif_type
    if "binding_host_id" in values:
        host_id = values["binding_host_id"] or ""
        vif = vif_type(host_id, await find_host_names(tx, [host_id]))
    up = values.get("admin_state_up", row.admin_state_up)
    return {
        "binding_host_id": host_id,
        "binding_vif_type": vif,
        "binding_generation": next_generation(row, host_id=host_id, vif=vif, admin_state_up=up),
    }


async def delete(tx: Transaction, _caller: Caller, row: Port) -> None:
    """Remove a port and give back all it had; MAC and addresses rest before they are given again."""
    mac_allocation.release(tx, row.network_id, Mac(row.mac_address))
    for subnet_id in {one.subnet_id for one in row.fixed_ips}:
        subnet = await tx.get(Subnet, subnet_id)
        await _release(tx, [subnet], row.fixed_ips)
    tx.delete(row)
