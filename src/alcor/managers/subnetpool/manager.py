"""Subnet pools: `/v2.0/subnetpools`."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

from alcor.managers.interface import Caller, Made, Manager, Values
from alcor.managers.rbac.share import forget, set_shared
from alcor.managers.row import NAMED_MAX, get_visible, name_users, new_row, replace_row
from alcor.managers.subnetpool import allocation, scope
from alcor.managers.subnetpool.prefix import cidrs_of, lengths_of, set_of, span, version_of
from alcor.model.address import Cidr
from alcor.model.address_scope import AddressScope
from alcor.model.errors import Forbidden, InvalidInput, Problem
from alcor.model.extension import Extension
from alcor.model.network import Network
from alcor.model.resource import UNSET
from alcor.model.subnet import Subnet
from alcor.model.subnetpool import PREFIXES_MAX, SUBNETPOOL, SubnetPool
from alcor.model.value import CIDR, ListOf, Uuid
from alcor.store.interface import Condition, Query, Transaction

EXTENSIONS = (
    Extension(
        "default-subnetpools",
        "Default Subnetpools",
        "One pool of each IP version may be the default, and subnets may ask for it.",
        "2016-02-18T18:00:00-00:00",
    ),
    Extension(
        "rbac-subnetpool",
        "Add subnetpool type to RBAC",
        "Subnet pools may be opened to single projects.",
        "2020-02-05T00:00:00-00:00",
    ),
    Extension(
        "subnet_allocation",
        "Subnet Allocation",
        "Subnets may be cut out of subnet pools.",
        "2015-03-30T10:00:00-00:00",
    ),
    Extension(
        "subnet_onboard",
        "Subnet Onboard",
        "Subnets of a network may be taken into a pool.",
        "2018-12-18T09:00:00-00:00",
    ),
    Extension(
        "subnetpool",
        "Neutron L3 Subnet Pool",
        "Pools of prefixes.",
        "2012-01-01T10:00:00-00:00",
    ),
    Extension(
        "subnetpool-prefix-ops",
        "Subnet Pool Prefix Operations",
        "Prefixes are added to and removed from a pool one by one.",
        "2019-02-08T10:00:00-00:00",
    ),
)

_DEFAULT = "default_subnetpool"
_LENGTHS = ("min_prefixlen", "max_prefixlen", "default_prefixlen")
_PREFIXES = ListOf(CIDR, items_max=PREFIXES_MAX, unique=False)


def manager() -> Manager:
    """`/v2.0/subnetpools`."""
    return Manager(
        SUBNETPOOL,
        "subnetpool",
        create=create,
        update=update,
        delete=delete,
        actions={
            "add_prefixes": add_prefixes,
            "remove_prefixes": remove_prefixes,
            "onboard_network_subnets": onboard_network_subnets,
        },
        extensions=EXTENSIONS,
    )


async def create(tx: Transaction, caller: Caller, many: Sequence[Values]) -> list[Made]:
    """Add pools, with all of their prefixes free.

    Raises: InvalidInput (prefixes, lengths, a second default); as `scope.check_association`.
    """
    made = []
    for values in many:
        id = tx.new_id()
        version = version_of(values["prefixes"])
        lengths = lengths_of(version, *(_said(values, name) for name in _LENGTHS))
        prefixes = cidrs_of(set_of(values["prefixes"]), version)
        if values.get("is_default"):
            await _take_default(tx, version, id)
        if scope_id := values.get("address_scope_id"):
            await scope.check_association(tx, caller, scope_id, id, prefixes, version)
        row = new_row(
            tx,
            caller,
            SubnetPool,
            values,
            id=id,
            ip_version=version,
            prefixes=prefixes,
            **dict(zip(_LENGTHS, lengths, strict=True)),
        )
        allocation.save(tx, id, allocation.fresh(prefixes))
        if values.get("shared"):
            await set_shared(tx, caller, row, True)
        made.append(Made(await tx.get(SubnetPool, id)))
    return made


def _said(values: Values, name: str) -> int | None:
    value = values.get(name, UNSET)
    return None if value is UNSET else value


async def _take_default(tx: Transaction, version: int, id: str) -> None:
    if not await tx.claim(_DEFAULT, str(version), id):
        raise InvalidInput(
            f"A default subnetpool for IPv{version} has already been set, and only one may exist; unset its is_default."
        )


async def default_pool(tx: Transaction, version: int) -> SubnetPool | None:
    """The default pool of an IP version, whoever owns it."""
    owner = (await tx.claimed(_DEFAULT, [str(version)])).get(str(version))
    return None if owner is None else await tx.find(SubnetPool, owner)


async def update(tx: Transaction, caller: Caller, row: SubnetPool, values: Values) -> SubnetPool:
    """Change what a client may; prefixes are added, never taken away (that is `remove_prefixes`).

    Raises: InvalidInput (SUBNETPOOL_PREFIXES, SUBNETPOOL_UPDATE, SUBNETPOOL_BOUNDS, a second default); as
            `scope.check_association` and `scope.check_affinity`.
    """
    changes = {name: value for name, value in values.items() if value is not UNSET}
    lengths = lengths_of(row.ip_version, *(changes.get(name, getattr(row, name)) for name in _LENGTHS))
    changes |= dict(zip(_LENGTHS, lengths, strict=True))
    if "prefixes" in changes:
        changes["prefixes"] = await _grow(tx, row, changes["prefixes"])
    await _check_scope_owned(tx, caller, row)
    scope_id = changes.get("address_scope_id", row.address_scope_id)
    moved = scope_id != row.address_scope_id
    if scope_id and (moved or "prefixes" in changes):
        prefixes = changes.get("prefixes", row.prefixes)
        await scope.check_association(tx, caller, scope_id, row.id, prefixes, row.ip_version)
    if moved:
        await scope.check_affinity(tx, row)
    if changes.get("is_default", row.is_default) != row.is_default:
        if row.is_default:
            tx.release(_DEFAULT, str(row.ip_version))
        else:
            await _take_default(tx, row.ip_version, row.id)
    after = await replace_row(tx, row, changes)
    if moved:
        subnets = await tx.list(Subnet, Query((Condition("subnetpool_id", (row.id,)),)))
        await scope.rescope(tx, (subnet.network_id for subnet in subnets))
    return after


async def _grow(tx: Transaction, row: SubnetPool, wanted: Sequence[str]) -> tuple[str, ...]:
    """The pool's prefixes to be; what is new of them is free. Raises: InvalidInput (SUBNETPOOL_PREFIXES)."""
    if version_of(wanted) != row.ip_version:
        raise InvalidInput(
            f"Cannot mix IPv4 and IPv6 prefixes in subnet pool {row.id}, which is of IPv{row.ip_version}.",
            problem=Problem.SUBNETPOOL_VERSIONS,
        )
    before, after = set_of(row.prefixes), set_of(wanted)
    if any(not after.holds(*part) for part in before.ranges):
        raise InvalidInput(
            "Illegal update to prefixes: existing prefixes must be a subset of the new ones; use remove_prefixes to "
            "take some away.",
            problem=Problem.SUBNETPOOL_PREFIXES,
        )
    state = await allocation.load(tx, row.id)
    state.free = type(after).of([*state.free.ranges, *after.without(before.ranges).ranges])
    allocation.save(tx, row.id, state)
    return cidrs_of(after, row.ip_version)


async def _check_scope_owned(tx: Transaction, caller: Caller, row: SubnetPool) -> None:
    """A pool in somebody else's shared scope stays as it is: its prefixes are that scope's matter too."""
    if row.address_scope_id is None or caller.is_admin:
        return
    owner = await tx.get(AddressScope, row.address_scope_id)
    if owner.project_id != caller.project_id:
        raise InvalidInput(
            f"Illegal subnetpool update: subnetpool {row.id} cannot be updated when associated with shared address "
            f"scope {row.address_scope_id} of another project.",
            problem=Problem.SUBNETPOOL_UPDATE,
        )


async def delete(tx: Transaction, _caller: Caller, row: SubnetPool) -> None:
    """Remove a pool. Raises: InvalidInput (SUBNETPOOL_DELETE) naming subnets that come from it."""
    subnets = await tx.list(Subnet, Query((Condition("subnetpool_id", (row.id,)),), limit=NAMED_MAX + 1))
    if subnets:
        raise InvalidInput(
            f"Unable to delete subnet pool {row.id}: it has existing allocations: "
            f"{name_users('subnet', [subnet.id for subnet in subnets])}.",
            problem=Problem.SUBNETPOOL_DELETE,
        )
    if row.is_default:
        tx.release(_DEFAULT, str(row.ip_version))
    allocation.save(tx, row.id, None)
    await forget(tx, row)
    tx.delete(row)


def _prefixes_of(body: Mapping[str, Any]) -> tuple[str, ...]:
    """The body of the prefix actions. Raises: InvalidInput."""
    if set(body) != {"prefixes"} or not body["prefixes"]:
        raise InvalidInput('Request body contains invalid data: it must be {"prefixes": [prefix, …]}.')
    try:
        return _PREFIXES.parse(body["prefixes"])
    except ValueError as error:
        raise InvalidInput(str(error), attribute="prefixes") from error


async def add_prefixes(tx: Transaction, caller: Caller, row: SubnetPool, body: Values) -> dict[str, Any]:
    """`{"prefixes": […]}`: what the pool gets in addition. Returns: all of its prefixes. Raises: as `update`."""
    wanted = _prefixes_of(body)
    after = await update(tx, caller, row, {"prefixes": (*row.prefixes, *wanted)})
    return {"prefixes": list(after.prefixes)}


async def remove_prefixes(tx: Transaction, _caller: Caller, row: SubnetPool, body: Values) -> dict[str, Any]:
    """`{"prefixes": […]}`: what the pool loses. Returns: what is left.

    Raises: InvalidInput (SUBNETPOOL_PREFIXES) if a subnet has an address of it.
    """
    gone = [span(Cidr(cidr)) for cidr in _prefixes_of(body) if version_of([cidr]) == row.ip_version]
    state = await allocation.load(tx, row.id)
    present = set_of(row.prefixes)
    taken = present.without(state.free.ranges)
    if any(taken.meets(*part) for part in gone):
        raise InvalidInput(
            "Illegal update to prefixes: one or more of the prefixes to be removed is in use by a subnet.",
            problem=Problem.SUBNETPOOL_PREFIXES,
        )
    state.free = state.free.without(gone)
    allocation.save(tx, row.id, state)
    left = cidrs_of(present.without(gone), row.ip_version)
    after = await replace_row(tx, row, {"prefixes": left})
    return {"prefixes": list(after.prefixes)}


async def onboard_network_subnets(
    tx: Transaction, caller: Caller, row: SubnetPool, body: Values
) -> dict[str, Any]:
    """`{"network_id": …}`: the pool takes over the subnets of its IP version on a network, and their prefixes.

    Returns: a list of `{"id", "cidr"}`. Raises: NotFound; Forbidden for a network of another project; InvalidInput
             (SUBNETPOOL_UPDATE) if a prefix is taken from the pool already.
    """
    network = await _onboarded(tx, caller, body)
    found = await tx.list(Subnet, Query((Condition("network_id", (network.id,)),)))
    subnets = [one for one in found if one.ip_version == row.ip_version and one.subnetpool_id != row.id]
    if subnets:
        taken = set_of(row.prefixes).without((await allocation.load(tx, row.id)).free.ranges)
        for subnet in subnets:
            if taken.meets(*span(Cidr(subnet.cidr))):
                raise InvalidInput(
                    f"Illegal subnetpool update: onboarding subnet {subnet.id}: {subnet.cidr} conflicts with prefixes "
                    f"allocated from subnet pool {row.id}.",
                    problem=Problem.SUBNETPOOL_UPDATE,
                )
        await update(tx, caller, row, {"prefixes": (*row.prefixes, *(one.cidr for one in subnets))})
        await _take_over(tx, row, subnets)
        await scope.rescope(tx, [network.id])
    # The reference answers with a bare list.
    return cast(dict[str, Any], [{"id": subnet.id, "cidr": subnet.cidr} for subnet in subnets])


async def _onboarded(tx: Transaction, caller: Caller, body: Mapping[str, Any]) -> Network:
    if set(body) != {"network_id"}:
        raise InvalidInput("network_id must be specified, and nothing else.")
    try:
        network_id = Uuid().parse(body["network_id"])
    except ValueError as error:
        raise InvalidInput(str(error), attribute="network_id") from error
    network = await get_visible(tx, caller, Network, network_id, kind="network")
    if not caller.is_admin and network.project_id != caller.project_id:
        raise Forbidden(
            f"The subnets of network {network_id} belong to another project; only it may onboard them."
        )
    return network


async def _take_over(tx: Transaction, row: SubnetPool, subnets: Sequence[Subnet]) -> None:
    for subnet in subnets:
        if subnet.subnetpool_id is not None:
            await allocation.give_back(tx, subnet.subnetpool_id, Cidr(subnet.cidr), subnet.project_id)
        await replace_row(tx, subnet, {"subnetpool_id": row.id})
    state = await allocation.load(tx, row.id)
    for subnet in subnets:
        state.take(Cidr(subnet.cidr), subnet.project_id)
    allocation.save(tx, row.id, state)
