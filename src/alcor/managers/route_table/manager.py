"""`/routetables`, and the tables of a VPC and of a subnet at their own paths."""

from collections.abc import Sequence
from typing import Any

import msgspec

from alcor.managers.interface import Caller, Made, Manager, Values
from alcor.managers.private_ip.named import get_subnet, subnets_of
from alcor.managers.row import get_visible, new_row, replace_row
from alcor.managers.vpc.block import lies_in
from alcor.model.address import Cidr, Ip, contains, ip_version
from alcor.model.errors import Conflict, InvalidInput, Problem
from alcor.model.network import Network
from alcor.model.resource import UNSET
from alcor.model.route_table import NEXTHOP, ROUTE_TABLE, ROUTES, RouteTable, TableRoute
from alcor.model.subnet import Subnet
from alcor.model.vpc import blocks_of, local_routes
from alcor.store.interface import Condition, Query, Store, Transaction

_OWNERS = "route_table"


def manager() -> Manager:
    """`/routetables`."""
    return Manager(
        ROUTE_TABLE,
        "router",
        create=create,
        update=update,
        delete=delete,
        computed={"local_routes": load_local},
    )


async def create(tx: Transaction, caller: Caller, many: Sequence[Values]) -> list[Made]:
    """Add tables.

    Raises: NotFound (network, subnet); InvalidInput if neither or two that do not fit are named, or as `check_routes`;
            Conflict if the owner has a table.
    """
    made = []
    for values in many:
        network, subnet = await _owner(tx, caller, values)
        made.append(Made(await _insert(tx, caller, network, subnet, values)))
    return made


async def _owner(tx: Transaction, caller: Caller, values: Values) -> tuple[Network, Subnet | None]:
    network_id, subnet_id = values.get("network_id", UNSET), values.get("subnet_id")
    if subnet_id is None:
        if network_id is UNSET:
            raise InvalidInput("name a network_id or a subnet_id: whose table it is.", attribute="network_id")
        return await get_visible(tx, caller, Network, network_id, kind="network"), None
    subnet = await get_subnet(tx, caller, subnet_id)
    if network_id not in (UNSET, subnet.network_id):
        raise InvalidInput(f"subnet {subnet_id} is not of network {network_id}.", attribute="subnet_id")
    return await tx.get(Network, subnet.network_id), subnet


async def _insert(
    tx: Transaction, caller: Caller, network: Network, subnet: Subnet | None, values: Values
) -> RouteTable:
    await check_routes(tx, network, values.get("routes", ()))
    owner = network if subnet is None else subnet
    row = new_row(
        tx,
        caller,
        RouteTable,
        values,
        project_id=owner.project_id,
        network_id=network.id,
        subnet_id=None if subnet is None else subnet.id,
    )
    if not await tx.claim(_OWNERS, owner.id, row.id):
        raise Conflict(
            f"{'Network' if subnet is None else 'Subnet'} {owner.id} has a route table already; change that one.",
            kind="route_table",
            problem=Problem.NAME_TAKEN,
        )
    return await tx.get(RouteTable, row.id)


async def check_routes(tx: Transaction, network: Network, routes: Sequence[TableRoute]) -> None:
    """Raises: InvalidInput if a route has a next hop where it needs none, or one outside of the VPC; if it would lead
    what the VPC's default route keeps inside elsewhere; or if two have one destination."""
    if not routes:
        return
    blocks = blocks_of(network)
    inside = [*blocks, *(Cidr(subnet.cidr) for subnet in await subnets_of(tx, network.id))]
    seen: set[str] = set()
    for route in routes:
        destination = Cidr(route.destination)
        if destination in seen:
            raise _invalid(route, "another route has the same destination")
        seen.add(destination)
        if any(lies_in(destination, block) for block in blocks):
            raise _invalid(route, "the VPC's default route keeps that inside")
        if (route.nexthop is not None) != (route.target == NEXTHOP):
            raise _invalid(route, "a nexthop is for the target nexthop, which needs one")
        if route.nexthop is not None:
            hop = Ip(route.nexthop)
            if ip_version(hop) != ip_version(destination):
                raise _invalid(route, f"{hop} is of the other IP version")
            if not any(contains(cidr, hop) for cidr in inside):
                raise _invalid(route, f"{hop} is in no subnet of network {network.id}")


def _invalid(route: TableRoute, reason: str) -> InvalidInput:
    return InvalidInput(f"Invalid route to {route.destination}: {reason}.", problem=Problem.INVALID_ROUTES)


async def update(tx: Transaction, _caller: Caller, row: RouteTable, values: Values) -> RouteTable:
    """Change the name, or replace the routes. Raises: as `check_routes`."""
    if "routes" in values:
        await check_routes(tx, await tx.get(Network, row.network_id), values["routes"])
    return await replace_row(tx, row, values)


async def delete(tx: Transaction, _caller: Caller, row: RouteTable) -> None:
    """Remove a table: only the default routes are left, or for a subnet the VPC's table."""
    _forget(tx, row)


def _forget(tx: Transaction, row: RouteTable) -> None:
    tx.release(_OWNERS, row.subnet_id or row.network_id)
    tx.delete(row)


async def load_local(
    store: Store, _caller: Caller, rows: Sequence[RouteTable]
) -> dict[str, list[dict[str, Any]]]:
    """The default routes of each table's VPC. Cost: one read."""
    networks = await store.reader.find_many(Network, sorted({row.network_id for row in rows}))
    return {row.id: local_routes(networks[row.network_id]) for row in rows}


async def leave(tx: Transaction, subnet: Subnet) -> None:
    """A subnet goes, and its table with it."""
    for row in await tx.list(RouteTable, Query((Condition("subnet_id", (subnet.id,)),))):
        _forget(tx, row)


async def leave_network(tx: Transaction, _caller: Caller, network: Network) -> None:
    """A network goes, and its table with it."""
    for row in await tx.list(RouteTable, Query((Condition("network_id", (network.id,)),))):
        _forget(tx, row)


async def of_vpc(store: Store, _caller: Caller, row: Network) -> dict[str, Any]:
    """`GET /vpcs/<id>/routetable`: the VPC's table; without one, the default routes alone (`id` null)."""
    found = await store.reader.list(
        RouteTable, Query((Condition("network_id", (row.id,)), Condition("subnet_id", (None,))), limit=1)
    )
    return {"routetable": _document(found[0] if found else None, row, None)}


async def all_of_vpc(store: Store, _caller: Caller, row: Network) -> dict[str, Any]:
    """`GET /vpcs/<id>/routetables`: the tables of a VPC and of its subnets."""
    found = await store.reader.list(RouteTable, Query((Condition("network_id", (row.id,)),)))
    return {"routetables": [_document(one, row, one.subnet_id) for one in found]}


async def of_subnet(store: Store, _caller: Caller, row: Subnet) -> dict[str, Any]:
    """`GET /subnets/<id>/routetable`: the subnet's own table, else the VPC's."""
    network = await store.reader.find(Network, row.network_id)
    assert network is not None
    own = await store.reader.list(RouteTable, Query((Condition("subnet_id", (row.id,)),), limit=1))
    if own:
        return {"routetable": _document(own[0], network, row.id)}
    return await of_vpc(store, _caller, network)


def _document(table: RouteTable | None, network: Network, subnet_id: str | None) -> dict[str, Any]:
    return {
        "id": None if table is None else table.id,
        "name": "" if table is None else table.name,
        "route_table_type": "vpc" if subnet_id is None else "subnet",
        "network_id": network.id,
        "subnet_id": subnet_id,
        "routes": [] if table is None else [msgspec.structs.asdict(route) for route in table.routes],
        "local_routes": local_routes(network),
    }


async def set_of_vpc(tx: Transaction, caller: Caller, row: Network, body: Values) -> dict[str, Any]:
    """`PUT /vpcs/<id>/routetable`: these routes and no others; the table is made if there is none."""
    return await _set(tx, caller, row, None, body)


async def set_of_subnet(tx: Transaction, caller: Caller, row: Subnet, body: Values) -> dict[str, Any]:
    """`PUT /subnets/<id>/routetable`."""
    return await _set(tx, caller, await tx.get(Network, row.network_id), row, body)


async def _set(
    tx: Transaction, caller: Caller, network: Network, subnet: Subnet | None, body: Values
) -> dict[str, Any]:
    """Raises: InvalidInput if the body is not `{"routetable": {"routes": […]}}`; as `check_routes`."""
    said = body.get("routetable")
    if set(body) != {"routetable"} or not isinstance(said, dict) or set(said) != {"routes"}:
        raise InvalidInput("The body must be {'routetable': {'routes': [...]}}.", problem=Problem.BAD_REQUEST)
    try:
        routes = ROUTES.parse(said["routes"])
    except ValueError as error:
        raise InvalidInput(str(error), attribute="routes") from error
    owner = network.id if subnet is None else subnet.id
    present = (await tx.claimed(_OWNERS, [owner])).get(owner)
    if present is None:
        table = await _insert(tx, caller, network, subnet, {"routes": routes})
    else:
        table = await update(tx, caller, await tx.get(RouteTable, present), {"routes": routes})
    return {"routetable": _document(table, network, table.subnet_id)}
