"""What a speaker would tell its peers: how to reach floating IPs and subnets of projects through routers' gateways.

A subnet counts if its pool is of an address scope that a subnet of the speaker's networks is of as well: within a scope
no address means two things, so its routes may leave the region untranslated.
"""

from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

from alcor.managers.interface import Caller, Rows
from alcor.model.bgp import BgpSpeaker
from alcor.model.floatingip import FloatingIp
from alcor.model.port import Port
from alcor.model.resource import Entity
from alcor.model.router import ROUTER_GATEWAY, ROUTER_INTERFACE, Router
from alcor.model.subnet import Subnet
from alcor.model.subnetpool import SubnetPool
from alcor.store.interface import Condition, Query, Store

E = TypeVar("E", bound=Entity)
Route = tuple[str, str]
"""(destination prefix, next hop)"""

# How many ids one read names.
_IDS_MAX = 500


async def advertised_routes(store: Store, _caller: Caller, row: BgpSpeaker) -> dict[str, Any]:
    """Floating IPs first, then subnets; each in the order of its addresses' text.

    Cost: indexed reads of all gateways on the speaker's networks, of their floating IPs and interfaces.
    """
    rows = store.reader
    outside = await _list(rows, Subnet, "network_id", row.networks)
    hops = await _next_hops(rows, row, outside)
    routes: list[Route] = []
    if row.advertise_floating_ip_host_routes and row.ip_version == 4:
        routes += sorted(await _floating(rows, row, hops))
    if row.advertise_tenant_networks:
        routes += sorted(await _subnets(rows, row, outside, hops))
    return {"advertised_routes": [{"destination": to, "next_hop": hop} for to, hop in routes]}


async def _next_hops(
    rows: Rows, row: BgpSpeaker, outside: Sequence[Subnet]
) -> dict[str, list[tuple[str, str]]]:
    """Router → (external network, address of its gateway there), for routers that are up."""
    suitable = {subnet.id for subnet in outside if subnet.ip_version == row.ip_version}
    owner = Condition("device_owner", (ROUTER_GATEWAY,))
    ports = await _list(rows, Port, "network_id", row.networks, owner)
    routers = await _list(rows, Router, "id", {port.device_id for port in ports})
    up = {router.id for router in routers if router.admin_state_up}
    hops: dict[str, list[tuple[str, str]]] = {}
    for port in ports:
        if port.device_id in up:
            addresses = [one.ip_address for one in port.fixed_ips if one.subnet_id in suitable]
            hops.setdefault(port.device_id, []).extend((port.network_id, ip) for ip in addresses)
    return hops


async def _floating(rows: Rows, row: BgpSpeaker, hops: dict[str, list[tuple[str, str]]]) -> set[Route]:
    found = await _list(
        rows, FloatingIp, "router_id", hops.keys(), Condition("floating_network_id", row.networks)
    )
    return {
        (f"{one.floating_ip_address}/32", hop)
        for one in found
        for network_id, hop in hops[str(one.router_id)]
        if network_id == one.floating_network_id
    }


async def _subnets(
    rows: Rows, row: BgpSpeaker, outside: Sequence[Subnet], hops: dict[str, list[tuple[str, str]]]
) -> set[Route]:
    scopes = await _scopes(rows, (one for one in outside if one.ip_version == row.ip_version))
    open_scopes = set(scopes.values())
    if not open_scopes or not hops:
        return set()
    owner = Condition("device_owner", (ROUTER_INTERFACE,))
    ports = await _list(rows, Port, "device_id", hops.keys(), owner)
    ids = {fixed.subnet_id for port in ports for fixed in port.fixed_ips}
    inside = {
        one.id: one for one in await _list(rows, Subnet, "id", ids) if one.network_id not in row.networks
    }
    scopes = await _scopes(rows, inside.values())
    routes: set[Route] = set()
    for port in ports:
        for fixed in port.fixed_ips:
            subnet = inside.get(fixed.subnet_id)
            if subnet is None or subnet.ip_version != row.ip_version:
                continue
            if scopes.get(subnet.id) in open_scopes:
                routes |= {(subnet.cidr, hop) for _, hop in hops[port.device_id]}
    return routes


async def _scopes(rows: Rows, subnets: Iterable[Subnet]) -> dict[str, str]:
    """Subnet → the address scope of its pool, for those that have one."""
    pools_of = {subnet.id: subnet.subnetpool_id for subnet in subnets if subnet.subnetpool_id is not None}
    pools = await _list(rows, SubnetPool, "id", set(pools_of.values()))
    scope_of = {pool.id: pool.address_scope_id for pool in pools if pool.address_scope_id is not None}
    return {id: scope_of[pool_id] for id, pool_id in pools_of.items() if pool_id in scope_of}


async def _list(rows: Rows, entity: type[E], field: str, values: Iterable[str], *more: Condition) -> list[E]:
    """The rows whose `field` is one of `values`, read in parts of `_IDS_MAX` values."""
    wanted = sorted(values)
    found: list[E] = []
    for start in range(0, len(wanted), _IDS_MAX):
        part = Condition(field, tuple(wanted[start : start + _IDS_MAX]))
        found += await rows.list(entity, Query((part, *more)))
    return found
