"""The Subnet Manager: subnets."""

from collections.abc import Sequence

from alcor.managers.interface import Caller, Made, Manager, Rows, Values
from alcor.managers.private_ip.allocation import forget, is_automatic
from alcor.managers.row import NAMED_MAX, get_visible, name_users, new_row, project_of, replace_row
from alcor.managers.sharing import shared_of
from alcor.managers.subnet import on_segment, rules
from alcor.managers.subnet.automatic import add_to_ports, remove_from_ports
from alcor.managers.subnet.extensions import EXTENSIONS
from alcor.managers.subnet.origin import prefix_of
from alcor.managers.subnetpool.allocation import give_back
from alcor.managers.subnetpool.scope import rescope
from alcor.managers.vpc.manager import SERVICE_OWNERS, ids_open_to
from alcor.managers.vpc.rules import check_subnet_mtu
from alcor.model.address import Cidr, Ip
from alcor.model.errors import InUse, InvalidInput, Problem
from alcor.model.ip_allocation import IpAllocation
from alcor.model.network import Network
from alcor.model.port import Port
from alcor.model.rbac_policy import AS_SHARED
from alcor.model.resource import UNSET
from alcor.model.subnet import SUBNET, Subnet
from alcor.store.interface import Condition, Op, Query, Store, Transaction

_ROUTER_INTERFACES = (
    "network:router_interface",
    "network:ha_router_replicated_interface",
    "network:router_interface_distributed",
)


def manager() -> Manager:
    """`/v2.0/subnets`."""
    return Manager(
        SUBNET,
        "subnet",
        create=create,
        update=update,
        delete=delete,
        computed={"shared": load_shared, "router:external": load_external},
        sight=sight,
        extensions=EXTENSIONS,
    )


async def sight(rows: Rows, caller: Caller) -> Sequence[tuple[Condition, ...]]:
    """Subnets of networks that are opened to the caller's project, shared or external."""
    ids = await ids_open_to(rows, caller)
    return ((Condition("network_id", ids),),) if ids else ()


async def load_shared(store: Store, caller: Caller, rows: Sequence[Subnet]) -> dict[str, bool]:
    """Whether each subnet's network is shared with all or with the caller's project. Cost: one read."""
    ids = sorted({row.network_id for row in rows})
    found = await shared_of(store.reader, "network", (AS_SHARED,), ids, caller.project_id)
    return {row.id: row.network_id in found for row in rows}


async def load_external(store: Store, _caller: Caller, rows: Sequence[Subnet]) -> dict[str, bool]:
    """Whether each subnet's network is external. Cost: one read."""
    networks = await store.reader.find_many(Network, sorted({row.network_id for row in rows}))
    external = {id for id, network in networks.items() if network.router_external}
    return {row.id: row.network_id in external for row in rows}


async def subnets_of(tx: Transaction, network_id: str) -> list[Subnet]:
    """A network's subnets, oldest first: the order in which ports are given addresses."""
    found = await tx.list(Subnet, Query(where=(Condition("network_id", (network_id,)),)))
    return sorted(found, key=lambda subnet: (subnet.created_at, subnet.id))


async def create(tx: Transaction, caller: Caller, many: Sequence[Values]) -> list[Made]:
    """Add prefixes to networks.

    Cost:   one read of the network's subnets per network; with automatic addresses, one step per port of it.
    Raises: NotFound (network, pool, segment); InvalidInput, Conflict and InUse as `subnet.rules`, `subnet.origin` and
            `subnet.on_segment`.
    """
    siblings: dict[str, list[Subnet]] = {}
    made = []
    for values in many:
        network = await get_visible(tx, caller, Network, values["network_id"], kind="network")
        if network.id not in siblings:
            siblings[network.id] = await subnets_of(tx, network.id)
        # What an earlier one of the same request changed of the network counts.
        network = await tx.get(Network, network.id)
        row = await _insert(tx, caller, values, network, siblings[network.id])
        siblings[network.id].append(row)
        if is_automatic(row):
            await add_to_ports(tx, row)
        if row.subnetpool_id is not None or row.segment_id is not None:
            await rescope(tx, [network.id])
        made.append(Made(await tx.get(Subnet, row.id)))
    return made


async def _insert(
    tx: Transaction, caller: Caller, values: Values, network: Network, siblings: Sequence[Subnet]
) -> Subnet:
    check_subnet_mtu(network, network.mtu, int(values["ip_version"]))
    await on_segment.check_new(tx, network.id, values.get("segment_id"), siblings)
    cidr, pool = await prefix_of(tx, caller, values, network, siblings, project_of(caller, values))
    plan = _plan(values, cidr)
    rules.check_overlap(cidr, network.id, siblings)
    return new_row(
        tx, caller, Subnet, values | plan, cidr=cidr, subnetpool_id=None if pool is None else pool.id
    )


def _plan(values: Values, cidr: Cidr) -> Values:
    """What of a subnet follows from its prefix: the gateway and the pools. Raises: as `subnet.rules`."""
    version = int(values["ip_version"])
    rules.check_cidr(cidr, version)
    enable_dhcp = bool(values.get("enable_dhcp", True))
    if enable_dhcp:
        rules.check_dhcp(cidr)
    gateway = values.get("gateway_ip", UNSET)
    if gateway is UNSET:
        gateway = rules.default_gateway(cidr)
    elif gateway is not None:
        rules.check_gateway(cidr, Ip(gateway))
    pools = values.get("allocation_pools", UNSET)
    if pools is UNSET:
        pools = rules.default_pools(cidr, gateway)
    else:
        pools = rules.check_pools(cidr, pools)
        rules.check_gateway_outside(gateway, pools)
    rules.check_servers_and_routes(version, values.get("dns_nameservers", ()), values.get("host_routes", ()))
    rules.check_service_types(values.get("service_types", ()))
    ra_mode, address_mode = values.get("ipv6_ra_mode"), values.get("ipv6_address_mode")
    rules.check_ipv6_modes(cidr, ra_mode, address_mode, enable_dhcp=enable_dhcp)
    return {"gateway_ip": gateway, "allocation_pools": pools}


async def update(tx: Transaction, _caller: Caller, row: Subnet, values: Values) -> Subnet:
    """Change what a client may. Addresses already given stay, also outside of new pools.

    Raises: InvalidInput, Conflict and InUse as `subnet.rules`.
    """
    changes = dict(values)
    cidr = Cidr(row.cidr)
    gateway = changes.get("gateway_ip", row.gateway_ip)
    if "gateway_ip" in changes and gateway is not None:
        rules.check_gateway(cidr, Ip(gateway))
    if gateway != row.gateway_ip:
        await _check_gateway_free(tx, row)
    rules.check_service_types(changes.get("service_types", ()))
    segment_id = changes.get("segment_id", row.segment_id)
    if segment_id != row.segment_id:
        await on_segment.check_move(tx, row, segment_id, await subnets_of(tx, row.network_id))
    if "allocation_pools" in changes:
        changes["allocation_pools"] = rules.check_pools(cidr, changes["allocation_pools"])
    pools = changes.get("allocation_pools", row.allocation_pools)
    if gateway != row.gateway_ip or "allocation_pools" in changes:
        rules.check_gateway_outside(gateway, pools)
    rules.check_servers_and_routes(
        row.ip_version, changes.get("dns_nameservers", ()), changes.get("host_routes", ())
    )
    enable_dhcp = changes.get("enable_dhcp", row.enable_dhcp)
    if enable_dhcp and not row.enable_dhcp:
        rules.check_dhcp(cidr)
    if not enable_dhcp and (row.ipv6_ra_mode or row.ipv6_address_mode):
        raise InvalidInput(f"Cannot disable enable_dhcp of subnet {row.id} with ipv6 attributes set.")
    if (gateway, pools) != (row.gateway_ip, row.allocation_pools):
        changes["pool_version"] = row.pool_version + 1
    after = await replace_row(tx, row, changes)
    if segment_id != row.segment_id:
        await rescope(tx, [row.network_id])
    return after


async def _check_gateway_free(tx: Transaction, row: Subnet) -> None:
    """Raises: InUse (GATEWAY_IN_USE) if a router's interface has the present gateway address."""
    if row.gateway_ip is None:
        return
    where = (
        Condition("fixed_ips.subnet_id", (row.id,)),
        Condition("fixed_ips.ip_address", (row.gateway_ip,)),
    )
    for port in await tx.list(Port, Query(where)):
        if port.device_owner in _ROUTER_INTERFACES:
            raise InUse(
                "gateway", row.gateway_ip, by=f"port {port.id} has it", problem=Problem.GATEWAY_IN_USE
            )


async def delete(tx: Transaction, _caller: Caller, row: Subnet) -> None:
    """Remove a subnet. Raises: InUse, as `remove`."""
    await remove(tx, row)
    if row.subnetpool_id is not None or row.segment_id is not None:
        await rescope(tx, [row.network_id])


async def remove(tx: Transaction, row: Subnet) -> None:
    """Remove a subnet. Addresses that ports formed by themselves go with it.

    Raises: InUse naming the ports that have an address of it, or the addresses taken without a port.
    """
    if is_automatic(row):
        await remove_from_ports(tx, row)
    where = (
        Condition("fixed_ips.subnet_id", (row.id,)),
        Condition("device_owner", SERVICE_OWNERS, Op.NONE),
    )
    ports = await tx.list(Port, Query(where, limit=NAMED_MAX + 1))
    if ports:
        users = name_users("port", [port.id for port in ports])
        raise InUse("subnet", row.id, by=f"{users} has an IP allocation from it")
    taken = await tx.list(
        IpAllocation, Query(where=(Condition("subnet_id", (row.id,)),), limit=NAMED_MAX + 1)
    )
    if taken:
        raise InUse("subnet", row.id, by=name_users("IP address", [one.ip_address for one in taken]))
    # What is left are the network's own services, which go with what they serve.
    await remove_from_ports(tx, row)
    if row.subnetpool_id is not None:
        await give_back(tx, row.subnetpool_id, Cidr(row.cidr), row.project_id)
    forget(tx, row)
    tx.delete(row)


async def empty_network(tx: Transaction, network: Network) -> None:
    """Delete a network's subnets, since the network goes. Raises: InUse, as `remove`."""
    for subnet in await subnets_of(tx, network.id):
        await remove(tx, subnet)
