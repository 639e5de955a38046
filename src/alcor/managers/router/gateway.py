"""Gateways of routers: ports of no project on external networks.

Source: Networking API v2.0, "Routers", extensions ext-gw-mode, qos-gateway-ip and external-gateway-multihoming.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from alcor.managers.interface import Caller
from alcor.managers.router.attached import (
    Attached,
    attached_to,
    bad_router,
    check_overlap,
    subnets_by_id,
    subnets_of_network,
)
from alcor.managers.router.ports import Ports
from alcor.managers.router.routes import check_next_hops
from alcor.managers.router.used import check_gateway_unused, check_no_proxies
from alcor.managers.row import get_visible
from alcor.model.address import Ip, ip_version
from alcor.model.errors import Conflict, Problem
from alcor.model.network import Network
from alcor.model.port import Port, WantedIp
from alcor.model.resource import UNSET
from alcor.model.router import ROUTER_GATEWAY, Router
from alcor.store.interface import Transaction

Info = Mapping[str, Any]
"""One gateway as a client says it: only the members that were said (`model.router.GatewayType`)."""


async def set_gateway(
    tx: Transaction, caller: Caller, ports: Ports, router: Router, info: Info | None
) -> Router:
    """The router with the first gateway as `info` says it; None takes it away, and the next takes its place.

    Its port stays if the network does; its addresses change only if others are named. Without a word about it,
    sources are translated.
    Returns: the changed router, not yet stored.
    Raises:  NotFound (network); InvalidInput if it is not external, overlaps what the router is on, or routes need
             the gateway; Conflict if floating IPs or NDP proxies need it; what making a port raises.
    """
    attached = await attached_to(tx, router)
    first = attached.gateways[0] if attached.gateways else None
    if info is not None:
        await check_info(tx, caller, info)
    network_id = None if info is None else info["network_id"]
    await _check_routes(tx, router, attached, first, network_id)
    router = replace(router, enable_snat=True if info is None else info.get("enable_snat", True))
    if first is not None and first.network_id == network_id:
        assert info is not None
        await _change_addresses(tx, ports, router, first, info)
    else:
        if first is not None:
            router = await _drop(tx, caller, ports, router, attached, first)
        if info is not None:
            router = await add_gateway(tx, caller, ports, router, info, first=True)
    if not router.gateway_ports:
        return replace(router, gateway_qos_policy_id=None, enable_ndp_proxy=False)
    if info is not None and "qos_policy_id" in info:
        router = replace(router, gateway_qos_policy_id=info["qos_policy_id"])
    return router


async def check_info(tx: Transaction, caller: Caller, info: Info) -> None:
    """Raises: NotFound; InvalidInput if the network is not external, or the address is that of its own gateway."""
    network = await get_visible(tx, caller, Network, info["network_id"], kind="network")
    if not network.router_external:
        raise bad_router(f"Network {network.id} is not an external network")
    wanted = {one.ip_address for one in info.get("external_fixed_ips", ())}
    for subnet in await subnets_of_network(tx, network.id):
        if subnet.gateway_ip and subnet.gateway_ip in wanted:
            raise bad_router(f"External IP {subnet.gateway_ip} is the same as the gateway IP")


async def _check_routes(
    tx: Transaction, router: Router, attached: Attached, first: Port | None, network_id: str | None
) -> None:
    """Raises: InvalidInput if a route's next hop is reached by the gateway that goes."""
    if not router.routes:
        return
    rest = [port for port in (*attached.interfaces, *attached.gateways) if port is not first]
    subnets = await subnets_by_id(tx, (fixed.subnet_id for port in rest for fixed in port.fixed_ips))
    cidrs = [subnet.cidr for subnet in subnets.values()]
    if network_id is not None:
        cidrs += [subnet.cidr for subnet in await subnets_of_network(tx, network_id)]
    check_next_hops(router.routes, cidrs, {fixed.ip_address for port in rest for fixed in port.fixed_ips})


async def _change_addresses(tx: Transaction, ports: Ports, router: Router, port: Port, info: Info) -> None:
    """Give the gateway port the addresses that are named, if they are others than it has."""
    wanted: Sequence[WantedIp] = info.get("external_fixed_ips", ())
    if not wanted:
        return
    subnets = {one.subnet_id for one in wanted if one.subnet_id is not None}
    addresses = {one.ip_address for one in wanted if one.ip_address is not None}
    if subnets == {one.subnet_id for one in port.fixed_ips} and (
        addresses == {one.ip_address for one in port.fixed_ips}
    ):
        return
    if router.enable_ndp_proxy and not await _reaches_ipv6(tx, wanted):
        raise Conflict(
            f"Can't remove the IPv6 subnet from external gateway of router {router.id}: its NDP proxies answer there; "
            "set enable_ndp_proxy to false first.",
            kind="router",
            id=router.id,
            problem=Problem.IPV6_GATEWAY_IN_USE,
        )
    await ports.change(tx, port, fixed_ips=tuple(wanted))


async def _reaches_ipv6(tx: Transaction, wanted: Sequence[WantedIp]) -> bool:
    if any(one.ip_address is not None and ip_version(Ip(one.ip_address)) == 6 for one in wanted):
        return True
    subnets = await subnets_by_id(tx, (one.subnet_id for one in wanted if one.subnet_id is not None))
    return any(subnet.ip_version == 6 for subnet in subnets.values())


async def add_gateway(
    tx: Transaction, caller: Caller, ports: Ports, router: Router, info: Info, *, first: bool = False
) -> Router:
    """The router with one more gateway port; `first`: before the others.

    Raises: InvalidInput if its network overlaps what the router is on; what making a port raises.
    """
    attached = await attached_to(tx, router)
    network_id = info["network_id"]
    if network_id not in attached.outside:
        # Several gateways on one network are wanted; the same addresses on two networks are not.
        outside = [subnet for group in attached.outside.values() for subnet in group]
        check_overlap([*attached.inner_subnets(), *outside], await subnets_of_network(tx, network_id))
    port = await ports.create(
        tx,
        caller,
        project_id="",
        network_id=network_id,
        fixed_ips=tuple(info.get("external_fixed_ips", ())) or UNSET,
        device_id=router.id,
        device_owner=ROUTER_GATEWAY,
    )
    kept = router.gateway_ports
    return replace(router, gateway_ports=(port.id, *kept) if first else (*kept, port.id))


async def _drop(
    tx: Transaction, caller: Caller, ports: Ports, router: Router, attached: Attached, port: Port
) -> Router:
    """The router without one gateway, whose port is deleted. Raises: Conflict if something needs it."""
    others = [one for one in attached.gateways if one.id != port.id]
    if all(one.network_id != port.network_id for one in others):
        await check_gateway_unused(tx, router, port.network_id)
    if not others:
        await check_no_proxies(tx, router)
    router = replace(router, gateway_ports=tuple(id for id in router.gateway_ports if id != port.id))
    tx.update(router)
    await ports.delete(tx, caller, port)
    return router


async def clear_gateways(tx: Transaction, caller: Caller, ports: Ports, router: Router) -> Router:
    """The router without gateways. Raises: Conflict if something needs one."""
    while router.gateway_ports:
        attached = await attached_to(tx, router)
        router = await _drop(tx, caller, ports, router, attached, attached.gateways[-1])
    return replace(router, gateway_qos_policy_id=None, enable_ndp_proxy=False)


async def add_gateways(
    tx: Transaction, caller: Caller, ports: Ports, router: Router, infos: Sequence[Info]
) -> Router:
    """The router with more gateways, each with a port of its own. Raises: as `set_gateway`."""
    for info in infos:
        if not router.gateway_ports:
            router = await set_gateway(tx, caller, ports, router, info)
        else:
            await check_info(tx, caller, info)
            router = await add_gateway(tx, caller, ports, router, info)
        tx.update(router)
    return router


async def remove_gateways(
    tx: Transaction, caller: Caller, ports: Ports, router: Router, infos: Sequence[Info]
) -> Router:
    """The router without the gateways that `infos` match. Raises: Conflict if one matches none, or is needed."""
    if infos and not router.gateway_ports:
        raise Conflict(
            f"Unable to remove extra gateways from a router {router.id}: the router does not have any external "
            "gateways.",
            kind="router",
            id=router.id,
            problem=Problem.GATEWAYS_NOT_REMOVED,
        )
    attached = await attached_to(tx, router)
    for info in infos:
        await check_info(tx, caller, info)
    left = list(attached.gateways)
    gone = []
    for info in infos:
        port = _match(router, left, info)
        if port is None:
            raise unmatched(router, f"no gateway is on network {info['network_id']} with those fixed IPs")
        left.remove(port)
        gone.append(port)
    for port in gone:
        await _check_routes(tx, router, await attached_to(tx, router), port, None)
        router = await _drop(tx, caller, ports, router, await attached_to(tx, router), port)
    if not router.gateway_ports:
        return replace(router, gateway_qos_policy_id=None, enable_ndp_proxy=False)
    return router


async def update_gateways(
    tx: Transaction, caller: Caller, ports: Ports, router: Router, infos: Sequence[Info]
) -> Router:
    """The router with exactly the gateways of `infos`, in that order: those that match stay, with their addresses
    as said, others go and come. Raises: as `add_gateways` and `remove_gateways`."""
    for info in infos:
        await check_info(tx, caller, info)
    attached = await attached_to(tx, router)
    left = list(attached.gateways)
    matched: list[Port | None] = []
    for info in infos:
        port = _match(router, left, info)
        matched.append(port)
        if port is not None:
            left.remove(port)
    for port in left:
        router = await _drop(tx, caller, ports, router, await attached_to(tx, router), port)
    order: list[str] = []
    for info, port in zip(infos, matched, strict=True):
        if port is not None:
            await _change_addresses(tx, ports, router, port, info)
            order.append(port.id)
        else:
            router = await add_gateway(tx, caller, ports, router, info)
            order.append(router.gateway_ports[-1])
            tx.update(router)
    router = replace(router, gateway_ports=tuple(order))
    if not infos:
        return replace(router, gateway_qos_policy_id=None, enable_ndp_proxy=False)
    after = await attached_to(tx, router)
    await _check_routes(tx, router, after, None, None)
    if "enable_snat" in infos[0]:
        router = replace(router, enable_snat=infos[0]["enable_snat"])
    return router


def _match(router: Router, gateways: Sequence[Port], info: Info) -> Port | None:
    """The gateway that an entry means: the one on its network, or the one that has any of its addresses.

    Raises: Conflict if it could mean several.
    """
    near = [port for port in gateways if port.network_id == info["network_id"]]
    wanted = {one.ip_address for one in info.get("external_fixed_ips", ()) if one.ip_address is not None}
    if not wanted:
        if len(near) > 1:
            raise unmatched(
                router,
                f"multiple gateway ports are attached to the same network {info['network_id']} but "
                "external_fixed_ips parameter is not specified in the request",
            )
        return near[0] if near else None
    return next((port for port in near if wanted & {one.ip_address for one in port.fixed_ips}), None)


def unmatched(router: Router, reason: str) -> Conflict:
    """A gateway was named that the router does not have, or that could be several."""
    return Conflict(
        f"Unable to match a requested gateway port to existing gateway ports for router {router.id}: {reason}.",
        kind="router",
        id=router.id,
        problem=Problem.GATEWAYS_NOT_MATCHED,
    )
