"""The Subnet Manager: subnets."""

from collections.abc import Sequence

from alcor.managers.interface import Caller, Made, Manager, Values
from alcor.managers.private_ip.allocation import forget, is_automatic
from alcor.managers.row import NAMED_MAX, get_visible, name_users, project_of, replace_row
from alcor.managers.subnet import rules
from alcor.managers.subnet.automatic import add_to_ports, remove_from_ports
from alcor.managers.vpc.rules import check_subnet_mtu
from alcor.model.address import Cidr, Ip
from alcor.model.errors import InUse, InvalidInput
from alcor.model.ip_allocation import IpAllocation
from alcor.model.network import Network
from alcor.model.port import Port
from alcor.model.resource import UNSET
from alcor.model.subnet import SUBNET, Subnet
from alcor.store.interface import Condition, Query, Transaction


def manager() -> Manager:
    """`/v2.0/subnets`."""
    return Manager(SUBNET, "subnet", create=create, update=update, delete=delete)


async def subnets_of(tx: Transaction, network_id: str) -> list[Subnet]:
    """A network's subnets, oldest first: the order in which ports are given addresses."""
    found = await tx.list(Subnet, Query(where=(Condition("network_id", (network_id,)),)))
    return sorted(found, key=lambda subnet: (subnet.created_at, subnet.id))


async def create(tx: Transaction, caller: Caller, many: Sequence[Values]) -> list[Made]:
    """Add prefixes to networks.

    Cost:   one read of the network's subnets per network; with automatic addresses, one step per port of it.
    Raises: NotFound (network); InvalidInput, Conflict and InUse as `subnet.rules`.
    """
    siblings: dict[str, list[Subnet]] = {}
    made = []
    for values in many:
        network = await get_visible(tx, caller, Network, values["network_id"], kind="network")
        if network.id not in siblings:
            siblings[network.id] = await subnets_of(tx, network.id)
        row = _plan(tx.new_id(), project_of(caller, values), values)
        rules.check_overlap(Cidr(row.cidr), network.id, siblings[network.id])
        check_subnet_mtu(network, network.mtu, row.ip_version)
        siblings[network.id].append(row)
        tx.insert(row)
        if is_automatic(row):
            await add_to_ports(tx, row)
        made.append(Made(await tx.get(Subnet, row.id)))
    return made


def _plan(id: str, project_id: str, values: Values) -> Subnet:
    """The row a client's values make, with every default. Raises: as `subnet.rules`."""
    version, cidr = int(values["ip_version"]), Cidr(values["cidr"])
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
    servers, routes = tuple(values.get("dns_nameservers", ())), tuple(values.get("host_routes", ()))
    rules.check_servers_and_routes(version, servers, routes)
    ra_mode, address_mode = values.get("ipv6_ra_mode"), values.get("ipv6_address_mode")
    rules.check_ipv6_modes(cidr, ra_mode, address_mode, enable_dhcp=enable_dhcp)
    return Subnet(
        id=id,
        project_id=project_id,
        name=values.get("name", ""),
        description=values.get("description", ""),
        network_id=values["network_id"],
        ip_version=version,
        cidr=cidr,
        gateway_ip=gateway,
        allocation_pools=pools,
        dns_nameservers=servers,
        host_routes=routes,
        enable_dhcp=enable_dhcp,
        ipv6_ra_mode=ra_mode,
        ipv6_address_mode=address_mode,
    )


async def update(tx: Transaction, _caller: Caller, row: Subnet, values: Values) -> Subnet:
    """Change what a client may. Addresses already given stay, also outside of new pools.

    Raises: InvalidInput, Conflict and InUse as `subnet.rules`.
    """
    changes = dict(values)
    cidr = Cidr(row.cidr)
    gateway = changes.get("gateway_ip", row.gateway_ip)
    if "gateway_ip" in changes and gateway is not None:
        rules.check_gateway(cidr, Ip(gateway))
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
    return await replace_row(tx, row, changes)


async def delete(tx: Transaction, _caller: Caller, row: Subnet) -> None:
    """Remove a subnet. Raises: InUse, as `remove`."""
    await remove(tx, row)


async def remove(tx: Transaction, row: Subnet) -> None:
    """Remove a subnet. Addresses that ports formed by themselves go with it.

    Raises: InUse naming the ports that have an address of it, or the addresses taken without a port.
    """
    if is_automatic(row):
        await remove_from_ports(tx, row)
    using = Query(where=(Condition("fixed_ips.subnet_id", (row.id,)),), limit=NAMED_MAX + 1)
    ports = await tx.list(Port, using)
    if ports:
        users = name_users("port", [port.id for port in ports])
        raise InUse("subnet", row.id, by=f"{users} has an IP allocation from it")
    taken = await tx.list(
        IpAllocation, Query(where=(Condition("subnet_id", (row.id,)),), limit=NAMED_MAX + 1)
    )
    if taken:
        raise InUse("subnet", row.id, by=name_users("IP address", [one.ip_address for one in taken]))
    forget(tx, row)
    tx.delete(row)


async def empty_network(tx: Transaction, network: Network) -> None:
    """Delete a network's subnets, since the network goes. Raises: InUse, as `remove`."""
    for subnet in await subnets_of(tx, network.id):
        await remove(tx, subnet)
