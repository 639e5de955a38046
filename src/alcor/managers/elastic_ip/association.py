"""What a floating IP may stand for: an address of its version of a port that a router joins to the external network.

Source: Networking API v2.0, "Floating IPs".
"""

from dataclasses import dataclass
from typing import Any

from alcor.managers.interface import Caller, Values
from alcor.managers.router.named import get_port
from alcor.model.address import Ip, ip_version
from alcor.model.errors import InUse, InvalidInput, NotFound, Problem
from alcor.model.floatingip import FloatingIp
from alcor.model.port import FixedIp, Port
from alcor.model.resource import UNSET
from alcor.model.router import ROUTER_GATEWAY, ROUTER_INTERFACE, Router
from alcor.model.subnet import Subnet
from alcor.store.interface import Condition, Query, Transaction

_DHCP = "network:dhcp"


def bad_floating_ip(reason: str) -> InvalidInput:
    """A request that no floating IP can fulfil."""
    return InvalidInput(f"Bad floatingip request: {reason}.", problem=Problem.BAD_REQUEST)


@dataclass(frozen=True, slots=True)
class Association:
    """What a floating IP stands for, and the router that translates it. All None: nothing."""

    port_id: str | None = None
    fixed_ip_address: str | None = None
    router_id: str | None = None


async def associate(tx: Transaction, caller: Caller, row: FloatingIp, said: Values) -> Association:
    """What `row` stands for after a client said `port_id` and `fixed_ip_address`, or only some of them.

    Raises: NotFound (port, or no router joins it to the external network); InvalidInput (BadRequest) for a port of
            another project or one without such an address; InUse if another floating IP of the same external network
            stands for the address.
    """
    port_id, address = _said(said, "port_id"), _said(said, "fixed_ip_address")
    if address is not None and port_id is None:
        raise bad_floating_ip("fixed_ip_address cannot be specified without a port_id")
    if port_id is None:
        if said.get("port_id", UNSET) is UNSET:
            return Association(row.port_id, row.fixed_ip_address, row.router_id)
        # One that has port forwardings keeps their router.
        return Association(router_id=None if row.port_id is not None else row.router_id)
    port = await get_port(tx, caller, port_id)
    fixed = _fixed_ip(caller, row, port, address)
    subnet = await tx.get(Subnet, fixed.subnet_id)
    router_id = await find_router(tx, port, subnet, row.floating_network_id)
    await _check_free(tx, row, port, fixed)
    return Association(port.id, fixed.ip_address, router_id)


def _said(said: Values, name: str) -> str | None:
    value: Any = said.get(name, UNSET)
    return None if value is UNSET else value


def _fixed_ip(caller: Caller, row: FloatingIp, port: Port, address: str | None) -> FixedIp:
    """The port's address a floating IP is to stand for. Raises: InvalidInput."""
    if port.project_id != row.project_id and not caller.is_admin:
        raise bad_floating_ip(
            f"Cannot process floating IP association with Port {port.id}, since that port is owned by a different "
            "project"
        )
    if port.device_owner == _DHCP:
        raise bad_floating_ip(f"Port {port.id} is unable to be assigned a floating IP")
    version = ip_version(Ip(row.floating_ip_address))
    if address is not None:
        if ip_version(Ip(address)) != version:
            raise bad_floating_ip(
                f"Cannot process floating IP association with {address}, since that is not an IPv{version} address"
            )
        found = next((one for one in port.fixed_ips if one.ip_address == address), None)
        if found is None:
            raise bad_floating_ip(f"Port {port.id} does not have fixed ip {address}")
        return found
    candidates = [one for one in port.fixed_ips if ip_version(Ip(one.ip_address)) == version]
    if not candidates:
        raise bad_floating_ip(
            f"Cannot add floating IP to port {port.id} that has no fixed IPv{version} addresses"
        )
    if len(candidates) > 1:
        raise bad_floating_ip(
            f"Port {port.id} has multiple fixed IPv{version} addresses. Must provide a specific IPv{version} address "
            "when assigning a floating IP"
        )
    return candidates[0]


async def _check_free(tx: Transaction, row: FloatingIp, port: Port, fixed: FixedIp) -> None:
    """Raises: InUse if another floating IP of the external network stands for the address."""
    where = (
        Condition("port_id", (port.id,)),
        Condition("fixed_ip_address", (fixed.ip_address,)),
        Condition("floating_network_id", (row.floating_network_id,)),
    )
    others = [one for one in await tx.list(FloatingIp, Query(where, limit=2)) if one.id != row.id]
    if others:
        raise InUse(
            "port",
            port.id,
            by=f"its fixed IP {fixed.ip_address} already has floating IP {others[0].floating_ip_address} on external "
            f"network {row.floating_network_id}, so that {row.floating_ip_address} cannot stand for it too",
            problem=Problem.FIXED_IP_ASSOCIATED,
        )


async def find_router(tx: Transaction, port: Port, subnet: Subnet, external_network_id: str) -> str:
    """The router that joins a port's subnet to an external network; the one that has the subnet's gateway address
    if there are several.

    Cost: three indexed reads. Raises: NotFound if there is none.
    """
    on_subnet = (
        Condition("fixed_ips.subnet_id", (subnet.id,)),
        Condition("device_owner", (ROUTER_INTERFACE,)),
    )
    interfaces = await tx.list(Port, Query(on_subnet))
    candidates = {one.device_id: one for one in interfaces}
    routers = (
        await tx.list(Router, Query((Condition("id", tuple(sorted(candidates))),))) if candidates else []
    )
    gateway_ids = tuple(id for router in routers for id in router.gateway_ports)
    outside = (
        Condition("id", gateway_ids),
        Condition("network_id", (external_network_id,)),
        Condition("device_owner", (ROUTER_GATEWAY,)),
    )
    gateways = await tx.list(Port, Query(outside)) if gateway_ids else []
    reached = sorted({one.device_id for one in gateways})
    for router_id in reached:
        if any(one.ip_address == subnet.gateway_ip for one in candidates[router_id].fixed_ips):
            return router_id
    if reached:
        return reached[0]
    raise NotFound(
        "network",
        external_network_id,
        reason=f"External network {external_network_id} is not reachable from subnet {subnet.id}. Therefore, cannot "
        f"associate Port {port.id} with a Floating IP; give a router of that subnet a gateway to it.",
        problem=Problem.NO_GATEWAY_FOR_FLOATING_IP,
    )
