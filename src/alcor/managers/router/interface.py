"""Interfaces of routers: a subnet (or a port) becomes one, and goes.

Source: Networking API v2.0, "Add interface to router"; RFC 4861: one port of a link sends its router advertisements,
so all IPv6 subnets of a network share one port.
"""

from collections.abc import Sequence
from itertools import combinations
from typing import Any

from alcor.managers.interface import Caller, Values
from alcor.managers.private_ip import allocation
from alcor.managers.router.attached import (
    Attached,
    attached_to,
    bad_router,
    check_overlap,
    subnets_by_id,
)
from alcor.managers.router.named import get_port, get_subnet
from alcor.managers.router.ports import Ports
from alcor.managers.router.routes import check_unrouted
from alcor.managers.router.used import check_unused
from alcor.managers.row import replace_row
from alcor.managers.sharing import shared_of
from alcor.model.address import Ip, ip_int, ip_version
from alcor.model.errors import InUse, InvalidInput, NotFound, Problem
from alcor.model.port import FixedIp, Port, WantedIp
from alcor.model.rbac_policy import AS_SHARED
from alcor.model.router import ROUTER_INTERFACE, Router
from alcor.model.subnet import Subnet
from alcor.model.value import Uuid
from alcor.store.interface import Transaction


async def add_interface(
    tx: Transaction, caller: Caller, ports: Ports, router: Router, body: Values
) -> dict[str, Any]:
    """Attach a subnet by its gateway address, or a port with the addresses it has.

    Raises: InvalidInput (BadRequest) for a body that names neither or both, a subnet without a gateway, of another
            project, or that overlaps one the router is on, a port without addresses or with two IPv4 subnets;
            NotFound (subnet, port); InUse if the port has a device, or the gateway address is taken.
    """
    port_id, subnet_id = _named(body)
    if port_id is not None and subnet_id is not None:
        raise bad_router("Cannot specify both subnet-id and port-id")
    attached = await attached_to(tx, router)
    if port_id is not None:
        port, subnets = await _attach_port(tx, caller, router, await get_port(tx, caller, port_id), attached)
    else:
        subnet = await get_subnet(tx, caller, str(subnet_id))
        port, subnets = await _attach_subnet(tx, caller, ports, router, subnet, attached), [subnet]
    tx.touch(router)
    return _told(router, port, subnets[-1], subnets)


def _named(body: Values) -> tuple[str | None, str | None]:
    """The port and the subnet a body names. Raises: InvalidInput."""
    unknown = sorted(set(body) - {"port_id", "subnet_id"})
    if unknown:
        raise bad_router(f"Unrecognized attribute(s) '{', '.join(unknown)}'; there are port_id and subnet_id")
    if not body:
        raise bad_router("Either subnet_id or port_id must be specified")
    named = {}
    for name, value in body.items():
        try:
            named[name] = Uuid().parse(value)
        except ValueError as error:
            raise bad_router(str(error)) from error
    return named.get("port_id"), named.get("subnet_id")


async def _attach_port(
    tx: Transaction, caller: Caller, router: Router, port: Port, attached: Attached
) -> tuple[Port, list[Subnet]]:
    if port.device_id:
        raise InUse(
            "port",
            port.id,
            by=f"device {port.device_id} on network {port.network_id} has it; a router needs a port that nothing uses",
        )
    if not port.fixed_ips:
        raise bad_router("Router port must have at least one fixed IP")
    found = await subnets_by_id(tx, (fixed.subnet_id for fixed in port.fixed_ips))
    subnets = list(dict.fromkeys(found[fixed.subnet_id] for fixed in port.fixed_ips))
    for subnet in subnets:
        _check_advertised(subnet)
    if any(subnet.ip_version == 6 for subnet in subnets):
        present = _ipv6_port(attached, port.network_id)
        if present is not None:
            raise bad_router(
                f"Router already contains IPv6 port {present.id} belonging to network id {port.network_id}. Only one "
                "IPv6 port from the same network subnet can be connected to a router"
            )
    _check_free(attached, subnets)
    if sum(subnet.ip_version == 4 for subnet in subnets) > 1:
        raise bad_router("Cannot have multiple IPv4 subnets on router port")
    _check_pools(caller, port, found)
    # Routers' ports are in no group: what a router forwards is judged where it enters and leaves the network.
    fields = {"device_id": router.id, "device_owner": ROUTER_INTERFACE, "security_groups": ()}
    return await replace_row(tx, port, fields), subnets


def _check_pools(caller: Caller, port: Port, subnets: dict[str, Subnet]) -> None:
    """Who does not own a subnet gives its router no address that the owner has set aside."""
    for fixed in port.fixed_ips:
        subnet = subnets[fixed.subnet_id]
        address = ip_int(Ip(fixed.ip_address))
        if caller.is_admin or caller.project_id == subnet.project_id:
            continue
        if not any(
            ip_int(Ip(pool.start)) <= address <= ip_int(Ip(pool.end)) for pool in subnet.allocation_pools
        ):
            raise bad_router(
                f"Cannot add interface to router because specified port {port.id} has an IP address out of the "
                f"allocation pool of subnet {subnet.id}, which is not owned by the project making the request"
            )


async def _attach_subnet(
    tx: Transaction, caller: Caller, ports: Ports, router: Router, subnet: Subnet, attached: Attached
) -> Port:
    if not subnet.gateway_ip:
        raise bad_router("Subnet for router interface must have a gateway IP")
    if not caller.is_admin and subnet.project_id != caller.project_id:
        shared = await shared_of(tx, "network", (AS_SHARED,), [subnet.network_id], caller.project_id)
        if not shared:
            raise bad_router(
                f"Cannot add interface to router because subnet {subnet.id} is not owned by project making the request"
            )
    _check_advertised(subnet)
    _check_free(attached, [subnet])
    present = _ipv6_port(attached, subnet.network_id) if subnet.ip_version == 6 else None
    if present is not None:
        await allocation.take(tx, subnet, Ip(subnet.gateway_ip), present.id)
        added = FixedIp(subnet.id, subnet.gateway_ip)
        return await replace_row(tx, present, {"fixed_ips": (*present.fixed_ips, added)})
    return await ports.create(
        tx,
        caller,
        project_id=router.project_id,
        network_id=subnet.network_id,
        fixed_ips=(WantedIp(subnet.id, subnet.gateway_ip),),
        device_id=router.id,
        device_owner=ROUTER_INTERFACE,
    )


def _check_advertised(subnet: Subnet) -> None:
    if subnet.ip_version == 6 and subnet.ipv6_ra_mode is None and subnet.ipv6_address_mode is not None:
        raise bad_router(
            f"IPv6 subnet {subnet.id} configured to receive RAs from an external router cannot be added to Neutron "
            "Router"
        )


def _check_free(attached: Attached, new: Sequence[Subnet]) -> None:
    for subnet in new:
        if subnet.id in attached.subnets:
            raise bad_router(f"Router already has a port on subnet {subnet.id}")
    check_overlap(
        [*attached.subnets.values(), *(s for group in attached.outside.values() for s in group)], new
    )
    for one, other in combinations(new, 2):
        check_overlap([one], [other])


def _ipv6_port(attached: Attached, network_id: str) -> Port | None:
    """The router's interface on a network that has IPv6 addresses."""
    for port in attached.interfaces:
        if port.network_id == network_id and any(ip_version(Ip(ip.ip_address)) == 6 for ip in port.fixed_ips):
            return port
    return None


async def remove_interface(
    tx: Transaction, caller: Caller, ports: Ports, router: Router, body: Values
) -> dict[str, Any]:
    """Detach a subnet or a port. The port goes, unless other subnets of it stay.

    Raises: InvalidInput; NotFound (subnet, interface); InUse if a floating IP, a port forwarding, an NDP proxy or a
            route needs the interface.
    """
    port_id, subnet_id = _named(body)
    attached = await attached_to(tx, router)
    if port_id is not None:
        port, subnets = await _detach_port(tx, caller, ports, router, attached, port_id, subnet_id)
    else:
        subnet = await get_subnet(tx, caller, str(subnet_id))
        port, subnets = await _detach_subnet(tx, caller, ports, router, attached, subnet), [subnet]
    tx.touch(router)
    return _told(router, port, subnets[0], subnets)


async def _detach_port(
    tx: Transaction,
    caller: Caller,
    ports: Ports,
    router: Router,
    attached: Attached,
    port_id: str,
    subnet_id: str | None,
) -> tuple[Port, list[Subnet]]:
    port = next((port for port in attached.interfaces if port.id == port_id), None)
    if port is None:
        raise NotFound(
            "router_interface",
            port_id,
            reason=f"Router {router.id} does not have an interface with id {port_id}.",
            problem=Problem.NO_INTERFACE,
        )
    subnets = list(dict.fromkeys(attached.subnets[fixed.subnet_id] for fixed in port.fixed_ips))
    if subnet_id is not None and all(subnet.id != subnet_id for subnet in subnets):
        raise InvalidInput(
            f"Port {port_id} has no address of subnet {subnet_id}; name the subnet it is on, or only the port.",
            problem=Problem.SUBNET_NOT_ON_PORT,
        )
    for subnet in subnets:
        check_unrouted(router, subnet)
        await check_unused(tx, router, subnet)
    await ports.delete(tx, caller, port)
    return port, subnets


async def _detach_subnet(
    tx: Transaction, caller: Caller, ports: Ports, router: Router, attached: Attached, subnet: Subnet
) -> Port:
    port = next((p for p in attached.interfaces if any(f.subnet_id == subnet.id for f in p.fixed_ips)), None)
    if port is None:
        raise NotFound(
            "router_interface",
            subnet.id,
            reason=f"Router {router.id} has no interface on subnet {subnet.id}.",
            problem=Problem.NO_INTERFACE_ON_SUBNET,
        )
    check_unrouted(router, subnet)
    await check_unused(tx, router, subnet)
    kept = tuple(fixed for fixed in port.fixed_ips if fixed.subnet_id != subnet.id)
    if not kept:
        await ports.delete(tx, caller, port)
        return port
    gone = [Ip(fixed.ip_address) for fixed in port.fixed_ips if fixed.subnet_id == subnet.id]
    await allocation.release(tx, subnet, gone)
    return await replace_row(tx, port, {"fixed_ips": kept})


def _told(router: Router, port: Port, subnet: Subnet, subnets: Sequence[Subnet]) -> dict[str, Any]:
    """The answer: the router's id, and what was attached. `subnet_id` is for clients of one subnet per port."""
    return {
        "id": router.id,
        "tenant_id": port.project_id,
        "project_id": port.project_id,
        "port_id": port.id,
        "network_id": port.network_id,
        "subnet_id": subnet.id,
        "subnet_ids": [one.id for one in subnets],
    }
