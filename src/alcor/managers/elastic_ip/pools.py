"""Floating IP pools: the IPv4 subnets of external networks, made from networks and subnets at each request."""

from collections.abc import Sequence

from alcor.managers.elastic_ip.extensions import POOL_EXTENSIONS
from alcor.managers.interface import Caller, Manager
from alcor.managers.sharing import shared_of
from alcor.model.floatingip_pool import FLOATINGIP_POOL, FloatingIpPool
from alcor.model.network import Network
from alcor.model.rbac_policy import AS_EXTERNAL, AS_SHARED
from alcor.model.resource import Entity
from alcor.model.subnet import Subnet
from alcor.store.interface import Condition, Query, Store


async def _pools(store: Store, caller: Caller) -> Sequence[Entity]:
    """Cost: three indexed reads, as long as the list of external networks and of their subnets."""
    networks = await store.reader.list(Network, Query((Condition("router_external", (True,)),)))
    if not caller.sees_every("network"):
        ids = [one.id for one in networks]
        open_ = await shared_of(store.reader, "network", (AS_EXTERNAL, AS_SHARED), ids, caller.project_id)
        networks = [one for one in networks if one.id in open_ or caller.owns(one)]
    ids = [one.id for one in networks]
    if not ids:
        return []
    subnets = await store.reader.list(Subnet, Query((Condition("network_id", tuple(ids)),)))
    return [
        FloatingIpPool(
            id=subnet.id,
            project_id=caller.project_id,
            subnet_id=subnet.id,
            subnet_name=subnet.name,
            network_id=subnet.network_id,
            cidr=subnet.cidr,
        )
        for subnet in subnets
        if subnet.ip_version == 4
    ]


def pools_manager() -> Manager:
    """`/v2.0/floatingip_pools`."""
    return Manager(FLOATINGIP_POOL, "elastic_ip", source=_pools, extensions=POOL_EXTENSIONS)
