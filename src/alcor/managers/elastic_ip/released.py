"""What floating IPs and port forwardings do when the port they lead to loses an address, or goes."""

from alcor.managers.interface import Caller
from alcor.managers.row import replace_row
from alcor.model.errors import InUse, InvalidInput, Problem
from alcor.model.floatingip import FloatingIp
from alcor.model.port import Port
from alcor.model.port_forwarding import PortForwarding
from alcor.store.interface import Condition, Query, Transaction


async def disassociate(tx: Transaction, caller: Caller, port: Port) -> None:
    """A port goes: its floating IPs stand for nothing, its port forwardings go with it.

    Raises: InUse if a floating IP of another project stands for it, and the caller is no administrator.
    """
    outer = await tx.list(FloatingIp, Query((Condition("port_id", (port.id,)),)))
    for row in outer:
        if row.project_id != caller.project_id and not caller.is_admin:
            raise InUse(
                "port",
                port.id,
                by="a floating IP of another project is associated with it; ask an administrator",
                problem=Problem.FLOATING_IP_OF_OTHERS,
            )
        await replace_row(tx, row, {"port_id": None, "fixed_ip_address": None, "router_id": None})
    await _stop_forwarding(tx, port, set())


async def follow_addresses(tx: Transaction, before: Port, after: Port) -> None:
    """A port has other addresses: port forwardings to one that went go too.

    Raises: InvalidInput (BadRequest) if a floating IP stands for one that went.
    """
    left = {one.ip_address for one in after.fixed_ips}
    if {one.ip_address for one in before.fixed_ips} <= left:
        return
    for row in await tx.list(FloatingIp, Query((Condition("port_id", (after.id,)),))):
        if row.fixed_ip_address not in left:
            raise InvalidInput(
                f"Bad port request: Cannot update the fixed_ips of the port {after.id}, because its original fixed_ip "
                f"{row.fixed_ip_address} has been associated to floating ip {row.floating_ip_address}; disassociate "
                "it first.",
                problem=Problem.BAD_REQUEST,
            )
    await _stop_forwarding(tx, after, left)


async def _stop_forwarding(tx: Transaction, port: Port, left: set[str]) -> None:
    """Delete the port forwardings to addresses of the port that are not in `left`."""
    for row in await tx.list(PortForwarding, Query((Condition("internal_port_id", (port.id,)),))):
        if row.internal_ip_address not in left:
            await drop_forwarding(tx, row)


async def drop_forwarding(tx: Transaction, row: PortForwarding) -> None:
    """Delete a port forwarding; with its last one, a floating IP leaves its router."""
    where = (Condition("floatingip_id", (row.floatingip_id,)),)
    tx.delete(row)
    rest = [one for one in await tx.list(PortForwarding, Query(where, limit=2)) if one.id != row.id]
    if not rest:
        outer = await tx.get(FloatingIp, row.floatingip_id)
        await replace_row(tx, outer, {"router_id": None})
