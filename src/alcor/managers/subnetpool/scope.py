"""Address scopes: `/v2.0/address-scopes`, and what they ask of pools and networks."""

from collections.abc import Iterable, Sequence

from alcor.managers.interface import Caller, Made, Manager, Values
from alcor.managers.rbac.share import forget, set_shared
from alcor.managers.row import NAMED_MAX, get_visible, name_users, new_row, replace_row
from alcor.managers.sharing import shared_of
from alcor.managers.subnetpool.prefix import set_of
from alcor.model.address_scope import ADDRESS_SCOPE, AddressScope
from alcor.model.errors import Conflict, InUse, InvalidInput, Problem
from alcor.model.extension import Extension
from alcor.model.network import Network
from alcor.model.rbac_policy import AS_SHARED, EVERYONE
from alcor.model.subnet import Subnet
from alcor.model.subnetpool import SubnetPool
from alcor.store.interface import Condition, Query, Transaction

EXTENSIONS = (
    Extension(
        "address-scope",
        "Address scope",
        "Subnet pools may share a scope in which no prefix is there twice.",
        "2015-07-26T10:00:00-00:00",
    ),
    Extension(
        "rbac-address-scope",
        "Add address_scope type to RBAC",
        "Address scopes may be opened to single projects.",
        "2020-02-12T00:00:00-00:00",
    ),
)


def manager() -> Manager:
    """`/v2.0/address-scopes`."""
    return Manager(
        ADDRESS_SCOPE, "subnetpool", create=create, update=update, delete=delete, extensions=EXTENSIONS
    )


async def create(tx: Transaction, caller: Caller, many: Sequence[Values]) -> list[Made]:
    """Add scopes, shared if they are said to be."""
    made = []
    for values in many:
        row = new_row(tx, caller, AddressScope, values)
        if values.get("shared"):
            await set_shared(tx, caller, row, True)
        made.append(Made(await tx.get(AddressScope, row.id)))
    return made


async def update(tx: Transaction, caller: Caller, row: AddressScope, values: Values) -> AddressScope:
    """Rename a scope, or share it. Raises: InvalidInput (SCOPE_UPDATE) if it is to be closed again."""
    changes = dict(values)
    shared = changes.pop("shared", None)
    if shared is False and await _is_open_to_all(tx, row):
        raise InvalidInput(
            f"Unable to update address scope {row.id}: a shared address scope can't be unshared; "
            "delete it, or its RBAC policy.",
            problem=Problem.SCOPE_UPDATE,
        )
    if shared:
        await set_shared(tx, caller, row, True)
    return await replace_row(tx, row, changes)


async def _is_open_to_all(tx: Transaction, row: AddressScope) -> bool:
    return bool(await shared_of(tx, ADDRESS_SCOPE.name, (AS_SHARED,), [row.id], EVERYONE))


async def delete(tx: Transaction, _caller: Caller, row: AddressScope) -> None:
    """Remove a scope. Raises: InUse naming the pools in it."""
    pools = await tx.list(SubnetPool, Query((Condition("address_scope_id", (row.id,)),), limit=NAMED_MAX + 1))
    if pools:
        raise InUse("address_scope", row.id, by=name_users("subnet pool", [pool.id for pool in pools]))
    await forget(tx, row)
    tx.delete(row)


async def check_association(
    tx: Transaction, caller: Caller, scope_id: str, pool_id: str, prefixes: Iterable[str], version: int
) -> None:
    """Raises: NotFound (scope, also one that the caller does not see); InvalidInput (SCOPE_VERSION) if the pool may not
    be in it; Conflict (SCOPE_PREFIXES) if another pool of it has an address of this one."""
    scope = await get_visible(tx, caller, AddressScope, scope_id, kind="address_scope")
    if scope.ip_version != version:
        raise InvalidInput(
            f"Illegal subnetpool association: subnetpool {pool_id} of IPv{version} cannot be in address scope "
            f"{scope_id}, whose ip_version is {scope.ip_version}.",
            problem=Problem.SCOPE_VERSION,
        )
    wanted = set_of(prefixes)
    for other in await tx.list(SubnetPool, Query((Condition("address_scope_id", (scope_id,)),))):
        taken = set_of(other.prefixes)
        if other.id != pool_id and any(taken.meets(*part) for part in wanted.ranges):
            raise Conflict(
                f"Failed to associate address scope {scope_id}: subnet pool {other.id} in it has prefixes of this "
                "one; pools within an address scope must have prefixes of their own.",
                kind="subnetpool",
                id=pool_id,
                problem=Problem.SCOPE_PREFIXES,
            )


async def check_affinity(tx: Transaction, pool: SubnetPool) -> None:
    """Raises: InvalidInput (SCOPE_AFFINITY) if a network of the pool's subnets has other subnets of its IP version,
    which would stay behind when the pool changes its scope."""
    own = await tx.list(Subnet, Query((Condition("subnetpool_id", (pool.id,)),)))
    networks = tuple({subnet.network_id for subnet in own})
    for subnet in await tx.list(Subnet, Query((Condition("network_id", networks),))):
        if subnet.ip_version == pool.ip_version and subnet.subnetpool_id != pool.id:
            raise affinity_error(subnet.network_id)


def affinity_error(network_id: str) -> InvalidInput:
    """The error of a network whose subnets would be in several scopes."""
    return InvalidInput(
        f"Subnets of one IP version on network {network_id} must all participate in the same address scope.",
        problem=Problem.SCOPE_AFFINITY,
    )


async def rescope(tx: Transaction, network_ids: Iterable[str]) -> None:
    """Let networks show the scopes of their subnets' pools, and whether subnets are on segments of theirs.

    Cost: a read per network, and one of its pools.
    """
    for network_id in sorted(set(network_ids)):
        network = await tx.get(Network, network_id)
        subnets = await tx.list(Subnet, Query((Condition("network_id", (network_id,)),)))
        scopes: dict[int, str | None] = {}
        for pool_id in sorted({subnet.subnetpool_id for subnet in subnets if subnet.subnetpool_id}):
            pool = await tx.get(SubnetPool, pool_id)
            scopes[pool.ip_version] = pool.address_scope_id
        shown = {
            "ipv4_address_scope": scopes.get(4),
            "ipv6_address_scope": scopes.get(6),
            "l2_adjacency": not any(subnet.segment_id for subnet in subnets),
        }
        if any(getattr(network, name) != value for name, value in shown.items()):
            await replace_row(tx, network, shown)
