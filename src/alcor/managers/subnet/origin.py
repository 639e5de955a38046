"""Where a subnet's prefix comes from: the client, or a subnet pool."""

from collections.abc import Sequence
from typing import Any

from alcor.managers.interface import Caller, Values
from alcor.managers.row import get_visible
from alcor.managers.subnet import rules
from alcor.managers.subnetpool.allocation import cut
from alcor.managers.subnetpool.manager import default_pool
from alcor.managers.subnetpool.scope import affinity_error
from alcor.model.address import Cidr, ip_version
from alcor.model.errors import InvalidInput, Problem
from alcor.model.network import Network
from alcor.model.resource import UNSET
from alcor.model.subnet import Subnet
from alcor.model.subnetpool import SubnetPool
from alcor.store.interface import Transaction


async def prefix_of(
    tx: Transaction,
    caller: Caller,
    values: Values,
    network: Network,
    siblings: Sequence[Subnet],
    project_id: str,
) -> tuple[Cidr, SubnetPool | None]:
    """The prefix a create request asks for, taken from its pool if it names one, and that pool.

    siblings: the network's other subnets.
    Raises:   NotFound (pool); InvalidInput for what contradicts itself, or subnets of the network that come from
              elsewhere; as `subnetpool.allocation.cut`.
    """
    cidr, length = _said(values, "cidr"), _said(values, "prefixlen")
    if cidr is not None and length is not None:
        raise _bad("cidr and prefixlen must not be supplied together")
    pool = await _pool_of(tx, caller, values, cidr)
    if pool is None:
        if cidr is None:
            raise _bad("a subnetpool must be specified in the absence of a cidr")
        return Cidr(cidr), None
    version = int(values["ip_version"])
    if cidr is None and values.get("allocation_pools", UNSET) is not UNSET:
        raise _bad("allocation_pools allowed only for specific subnet requests: name the cidr")
    if version != pool.ip_version:
        raise _bad(f"Cannot allocate IPv{version} subnet from IPv{pool.ip_version} subnet pool {pool.id}")
    if cidr is not None:
        rules.check_version("cidr", Cidr(cidr), version)
    _check_affinity(network, siblings, pool)
    return await cut(tx, pool, length if cidr is None else Cidr(cidr), project_id), pool


def _said(values: Values, name: str) -> Any:
    value = values.get(name, UNSET)
    return None if value is UNSET else value


def _bad(reason: str) -> InvalidInput:
    return InvalidInput(f"Bad subnets request: {reason}.", problem=Problem.BAD_REQUEST)


async def _pool_of(tx: Transaction, caller: Caller, values: Values, cidr: str | None) -> SubnetPool | None:
    pool_id, wants_default = _said(values, "subnetpool_id"), values.get("use_default_subnetpool")
    if pool_id is not None and wants_default:
        raise _bad("subnetpool_id and use_default_subnetpool cannot both be specified")
    if pool_id is not None:
        return await get_visible(tx, caller, SubnetPool, pool_id, kind="subnet_pool")
    if not wants_default:
        return None
    version = ip_version(Cidr(cidr)) if cidr is not None else int(values["ip_version"])
    pool = await default_pool(tx, version)
    if pool is None:
        raise _bad(f"No default subnetpool found for IPv{version}")
    return pool


def _check_affinity(network: Network, siblings: Sequence[Subnet], pool: SubnetPool) -> None:
    """Subnets of one IP version of a network come from one pool, or from pools of one address scope."""
    scope_id = network.ipv4_address_scope if pool.ip_version == 4 else network.ipv6_address_scope
    if scope_id is not None:
        if pool.address_scope_id != scope_id:
            raise affinity_error(network.id)
        return
    for other in siblings:
        if other.ip_version == pool.ip_version and other.subnetpool_id != pool.id:
            raise InvalidInput(
                f"Subnets hosted on network {network.id} must be allocated from the same subnet pool; subnet "
                f"{other.id} is not of {pool.id}.",
                problem=Problem.SUBNETPOOL_AFFINITY,
            )
