"""What is attached to a router: its interface and gateway ports, and the subnets they are on."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from alcor.managers.interface import Rows
from alcor.model.address import Cidr, network_of
from alcor.model.errors import InvalidInput, Problem
from alcor.model.port import Port
from alcor.model.router import ROUTER_GATEWAY, ROUTER_INTERFACE, Router
from alcor.model.subnet import Subnet
from alcor.store.interface import Condition, Query


def bad_router(reason: str) -> InvalidInput:
    """A request that no router can fulfil."""
    return InvalidInput(f"Bad router request: {reason}.", problem=Problem.BAD_REQUEST)


@dataclass(frozen=True, slots=True)
class Attached:
    """`gateways`: in the order of `Router.gateway_ports`. `subnets`: of interfaces by id. `outside`: of the networks
    of gateways, by network id."""

    interfaces: tuple[Port, ...]
    gateways: tuple[Port, ...]
    subnets: Mapping[str, Subnet]
    outside: Mapping[str, tuple[Subnet, ...]]

    def inner_subnets(self) -> list[Subnet]:
        """The subnets of interfaces, each once."""
        return list(self.subnets.values())


async def attached_to(rows: Rows, router: Router) -> Attached:
    """What is attached to a router now. Cost: at most four indexed reads."""
    where = (
        Condition("device_id", (router.id,)),
        Condition("device_owner", (ROUTER_INTERFACE, ROUTER_GATEWAY)),
    )
    ports = await rows.list(Port, Query(where))
    by_id = {port.id: port for port in ports}
    gateways = tuple(by_id[id] for id in router.gateway_ports if id in by_id)
    interfaces = tuple(port for port in ports if port.device_owner == ROUTER_INTERFACE)
    subnets = await subnets_by_id(rows, (fixed.subnet_id for port in interfaces for fixed in port.fixed_ips))
    networks = {port.network_id for port in gateways}
    outside = {id: tuple(await subnets_of_network(rows, id)) for id in networks}
    return Attached(interfaces, gateways, subnets, outside)


async def subnets_by_id(rows: Rows, ids: Iterable[str]) -> dict[str, Subnet]:
    """Those subnets that exist, by id. Cost: one read."""
    wanted = tuple(sorted(set(ids)))
    if not wanted:
        return {}
    found = await rows.list(Subnet, Query((Condition("id", wanted),)))
    return {subnet.id: subnet for subnet in found}


async def subnets_of_network(rows: Rows, network_id: str) -> list[Subnet]:
    """A network's subnets, oldest first."""
    found = await rows.list(Subnet, Query((Condition("network_id", (network_id,)),)))
    return sorted(found, key=lambda subnet: (subnet.created_at, subnet.id))


def check_overlap(present: Iterable[Subnet], new: Sequence[Subnet]) -> None:
    """Raises: InvalidInput if a new subnet overlaps one the router is on: it could not tell where to send packets."""
    for old in present:
        taken = network_of(Cidr(old.cidr))
        for subnet in new:
            wanted = network_of(Cidr(subnet.cidr))
            if taken.version == wanted.version and taken.overlaps(wanted):
                raise bad_router(
                    f"Cidr {subnet.cidr} of subnet {subnet.id} overlaps with cidr {old.cidr} of subnet {old.id}"
                )
