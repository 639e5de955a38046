"""Ports of routers and floating IPs: they belong to those, and are not the port API's to take away.

The kinds are found by name: their managers are above this one, and may not be there.
"""

from alcor.managers.interface import Caller
from alcor.model.catalogue import BY_NAME
from alcor.model.errors import Conflict, InUse, Problem
from alcor.model.port import Port
from alcor.model.resource import Entity
from alcor.store.interface import Transaction

_ROUTER_INTERFACES = (
    "network:router_interface",
    "network:router_interface_distributed",
    "network:ha_router_replicated_interface",
)
_HELD_BY = {
    **dict.fromkeys(_ROUTER_INTERFACES, "router"),
    "network:router_gateway": "router",
    "network:router_centralized_snat": "router",
    "network:router_ha_interface": "router",
    "network:floatingip": "floatingip",
}
"""device_owner → the kind of the row that device_id names."""


async def _holder(tx: Transaction, device_owner: str, device_id: str) -> Entity | None:
    resource = BY_NAME.get(_HELD_BY.get(device_owner, ""))
    return None if resource is None or not device_id else await tx.find(resource.entity, device_id)


async def check_removable(tx: Transaction, row: Port) -> None:
    """Raises: InUse for the port of a router or a floating IP that is there: it goes with that."""
    holder = await _holder(tx, row.device_owner, row.device_id)
    if holder is not None:
        raise InUse(
            "port",
            row.id,
            by=f"it cannot be deleted directly via the port API: it is {row.device_owner} of {holder.id}; remove it "
            "there",
            problem=Problem.PORT_OF_SERVICE,
        )


async def check_device(
    tx: Transaction, caller: Caller, project_id: str, device_owner: str, device_id: str
) -> None:
    """Raises: Conflict if a port would become an interface of another project's router."""
    if device_owner not in _ROUTER_INTERFACES or caller.is_admin:
        return
    holder = await _holder(tx, device_owner, device_id)
    if holder is not None and holder.project_id != project_id:
        raise Conflict(
            f"Device {device_id} is a router of another project; a port cannot be made its interface.",
            kind="port",
            problem=Problem.DEVICE_OF_OTHERS,
        )
