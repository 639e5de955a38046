"""Where packets of a subnet go: the routes that follow from its prefix, its VPC, tables, routers and peerings."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from alcor.managers.interface import Ask, Caller, Route, Service
from alcor.managers.peering.manager import peers_of
from alcor.managers.private_ip.named import get_subnet
from alcor.managers.row import get_visible
from alcor.model.address import Cidr, ip_version, network_of
from alcor.model.errors import NotFound
from alcor.model.network import Network
from alcor.model.port import Port
from alcor.model.route_table import (
    DEFAULT_PRIORITY,
    DERIVED_PRIORITY,
    STATIC_PRIORITY,
    RouteTable,
    TableRoute,
)
from alcor.model.router import ROUTER_INTERFACE, Router
from alcor.model.subnet import Subnet
from alcor.model.vpc import LOCAL, blocks_of, local_routes
from alcor.store.interface import Condition, Query, Reader, Store

_READ = "role:reader or rule:admin_only"
_DEFAULT = {4: "0.0.0.0/0", 6: "::/0"}
_TEXT = {"type": "string"}
_NULLABLE = {"anyOf": [_TEXT, {"type": "null"}]}
_ROUTE = {
    "type": "object",
    "properties": {
        "destination": _TEXT,
        "target": _TEXT,
        "nexthop": _NULLABLE,
        "priority": {"type": "integer"},
        "origin": _TEXT,
        "via": _NULLABLE,
    },
    "required": ["destination", "target", "nexthop", "priority", "origin", "via"],
    "additionalProperties": False,
}
_ROUTES = {
    "type": "object",
    "properties": {"routes": {"type": "array", "items": _ROUTE}},
    "required": ["routes"],
    "additionalProperties": False,
}


@dataclass(frozen=True, slots=True)
class Joint:
    """A router's interface on a subnet. `address`: the interface's there; `others`: the router's other subnets."""

    router: Router
    address: str
    others: tuple[Subnet, ...]


def service() -> Service:
    """`GET /routes/vpcs/<id>` and `GET /routes/subnets/<id>`."""
    return Service(
        "router",
        (
            Route(
                "GET",
                "/routes/vpcs/{network_id}",
                routes_of_vpc,
                "get_vpc_routes",
                _READ,
                "The routes of a VPC: its default routes, and those of its table",
                schema=_ROUTES,
            ),
            Route(
                "GET",
                "/routes/subnets/{subnet_id}",
                routes_of_subnet,
                "get_subnet_routes",
                _READ,
                "Where packets of a subnet go, the first choice first",
                schema=_ROUTES,
            ),
        ),
    )


async def routes_of_vpc(store: Store, ask: Ask) -> dict[str, Any]:
    """Raises: NotFound."""
    network = await get_visible(store.reader, ask.caller, Network, ask.names["network_id"], kind="network")
    table = await _table(store.reader, network.id, None)
    static = [] if table is None else [_static(table, route) for route in table.routes]
    return {"routes": [*_local(network, None), *static]}


async def routes_of_subnet(store: Store, ask: Ask) -> dict[str, Any]:
    """Raises: NotFound."""
    return await routes(store, ask.caller, await get_subnet(store.reader, ask.caller, ask.names["subnet_id"]))


async def routes(store: Store, caller: Caller, row: Subnet) -> dict[str, Any]:
    """`GET /subnets/<id>/routes`: the longest prefix first, of equal ones the lowest priority."""
    reader = store.reader
    network = await reader.find(Network, row.network_id)
    assert network is not None
    found = [_route(row.cidr, LOCAL, None, 0, "subnet", row.id), *_local(network, row.ip_version)]
    table = await _table(reader, network.id, row.id) or await _table(reader, network.id, None)
    if table is not None:
        found += [_static(table, one) for one in table.routes if _is_of(one.destination, row.ip_version)]
    for joint in await joints(reader, row):
        found += await _of_router(reader, caller, row, joint)
    peers = await reader.find_many(Network, await peers_of(reader, network.id))
    for peer in peers.values():
        blocks = [block for block in blocks_of(peer) if _is_of(block, row.ip_version)]
        found += [_route(block, "peering", None, DERIVED_PRIORITY, "peering", peer.id) for block in blocks]
    found.sort(key=lambda one: (-network_of(Cidr(one["destination"])).prefixlen, one["priority"]))
    return {"routes": found}


def _route(
    destination: str, target: str, nexthop: str | None, priority: int, origin: str, via: str | None
) -> dict[str, Any]:
    return {
        "destination": destination,
        "target": target,
        "nexthop": nexthop,
        "priority": priority,
        "origin": origin,
        "via": via,
    }


def _is_of(cidr: str, version: int) -> bool:
    return ip_version(Cidr(cidr)) == version


def _local(network: Network, version: int | None) -> list[dict[str, Any]]:
    return [
        one | {"origin": "vpc", "via": network.id}
        for one in local_routes(network)
        if version is None or _is_of(one["destination"], version)
    ]


def _static(table: RouteTable, one: TableRoute) -> dict[str, Any]:
    return _route(one.destination, one.target, one.nexthop, one.priority, "routetable", table.id)


async def _table(reader: Reader, network_id: str, subnet_id: str | None) -> RouteTable | None:
    where = (Condition("network_id", (network_id,)), Condition("subnet_id", (subnet_id,)))
    found = await reader.list(RouteTable, Query(where, limit=1))
    return found[0] if found else None


async def _of_router(reader: Reader, caller: Caller, row: Subnet, joint: Joint) -> list[dict[str, Any]]:
    """What a router adds: its other subnets, its own routes, and the way out."""
    router, hop = joint.router, joint.address
    connected = [one for one in joint.others if one.ip_version == row.ip_version]
    found = [
        _route(one.cidr, "router", hop, DERIVED_PRIORITY, "router", router.id)
        for one in await _visible(reader, caller, connected)
    ]
    found += [
        _route(one.destination, "router", hop, STATIC_PRIORITY, "router", router.id)
        for one in router.routes
        if _is_of(one.destination, row.ip_version)
    ]
    if router.gateway_ports:
        target = "nat_gw" if router.enable_snat and row.ip_version == 4 else "internet_gw"
        found.append(_route(_DEFAULT[row.ip_version], target, hop, DEFAULT_PRIORITY, "router", router.id))
    return found


async def joints(reader: Reader, row: Subnet) -> list[Joint]:
    """The routers that have an interface on a subnet. Cost: three reads, and one per router."""
    where = (
        Condition("fixed_ips.subnet_id", (row.id,)),
        Condition("device_owner", (ROUTER_INTERFACE,)),
    )
    interfaces = await reader.list(Port, Query(where))
    routers = await reader.find_many(Router, sorted({port.device_id for port in interfaces}))
    found = []
    for port in interfaces:
        router = routers.get(port.device_id)
        if router is None:
            continue
        address = next(fixed.ip_address for fixed in port.fixed_ips if fixed.subnet_id == row.id)
        found.append(Joint(router, address, tuple(await _subnets_of(reader, router.id, row.id))))
    return sorted(found, key=lambda joint: joint.router.id)


async def _subnets_of(reader: Reader, router_id: str, but: str) -> Iterable[Subnet]:
    where = (Condition("device_id", (router_id,)), Condition("device_owner", (ROUTER_INTERFACE,)))
    ids = {fixed.subnet_id for port in await reader.list(Port, Query(where)) for fixed in port.fixed_ips}
    return (await reader.find_many(Subnet, sorted(ids - {but}))).values()


async def _visible(reader: Reader, caller: Caller, subnets: Sequence[Subnet]) -> list[Subnet]:
    """Those a caller sees: a router may join subnets of other projects."""
    found = []
    for subnet in subnets:
        try:
            found.append(await get_subnet(reader, caller, subnet.id))
        except NotFound:
            continue
    return found


async def connected(store: Store, caller: Caller, row: Subnet) -> dict[str, Any]:
    """`GET /subnets/<id>/connected_subnets`: the subnets that a router, or the VPC's default route, joins to it."""
    found: dict[str, dict[str, Any]] = {}
    network = await store.reader.find(Network, row.network_id)
    assert network is not None
    if any(_is_of(block, row.ip_version) for block in blocks_of(network)):
        siblings = await store.reader.list(Subnet, Query((Condition("network_id", (network.id,)),)))
        for one in siblings:
            if one.id != row.id and one.ip_version == row.ip_version:
                found[one.id] = _connected(one, None)
    for joint in await joints(store.reader, row):
        for one in await _visible(store.reader, caller, joint.others):
            found[one.id] = _connected(one, joint.router.id)
    return {"subnets": [found[id] for id in sorted(found)]}


def _connected(subnet: Subnet, router_id: str | None) -> dict[str, Any]:
    return {
        "id": subnet.id,
        "network_id": subnet.network_id,
        "cidr": subnet.cidr,
        "gateway_ip": subnet.gateway_ip,
        "router_id": router_id,
    }
