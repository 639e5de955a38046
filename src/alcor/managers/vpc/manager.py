"""The VPC Manager: networks."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from alcor.managers.interface import Caller, Loader, Made, Manager, Rows, Values
from alcor.managers.rbac.share import forget, set_external, set_shared
from alcor.managers.row import NAMED_MAX, name_users, new_row, project_of, replace_row
from alcor.managers.sharing import ids_shared_with, shared_of
from alcor.managers.vpc import extensions, segment
from alcor.managers.vpc.rules import (
    check_external_unused,
    check_subnets_mtu,
    check_tagging,
    check_zones,
    mtu_of,
    release_default_external,
    said_segments,
    take_default_external,
)
from alcor.managers.vpc.segment import Seat
from alcor.managers.vpc.segment_row import insert, provider_of, repeat, segments_of
from alcor.managers.vpc.settings import NetworkSettings
from alcor.model.errors import InUse, InvalidInput
from alcor.model.mac_allocation import MacAllocation
from alcor.model.network import NETWORK, Network, ProviderSegment
from alcor.model.port import Port
from alcor.model.rbac_policy import AS_EXTERNAL, AS_SHARED
from alcor.model.resource import UNSET
from alcor.model.subnet import Subnet
from alcor.store.interface import Condition, Op, Query, Store, Transaction

Empty = Callable[[Transaction, Network], Awaitable[None]]
"""Deletes a network's subnets: the Subnet Manager's duty, above this one, so it comes by wiring."""

RemovePort = Callable[[Transaction, Caller, Port], Awaitable[None]]
"""Deletes a port: the Port Manager's duty."""

Leaving = Callable[[Transaction, Caller, Network], Awaitable[None]]
"""What goes with a network, by wiring: floating IPs that stand for nothing."""

Complete = Callable[[Transaction, Caller, Network | None, Values], Awaitable[Values]]
"""What is said of a network (None: a new one), checked and filled in by a manager above this one."""

SERVICE_OWNERS = ("network:dhcp", "network:distributed")
"""Ports of the network's own services go with it, or with their last subnet. As the reference."""

_PROVIDER = ("provider_network_type", "provider_physical_network", "provider_segmentation_id")
# What `create_networks` computes itself.
_MANAGED = (*_PROVIDER, "segments", "shared", "mtu", "is_default")


def manager(
    settings: NetworkSettings,
    *,
    empty: Empty,
    remove_port: RemovePort,
    complete: Complete,
    leaving: Sequence[Leaving] = (),
) -> Manager:
    """`/v2.0/networks`."""

    async def create(tx: Transaction, caller: Caller, many: Sequence[Values]) -> list[Made]:
        whole = [await complete(tx, caller, None, values) for values in many]
        return await create_networks(tx, caller, whole, settings)

    async def update(tx: Transaction, caller: Caller, row: Network, values: Values) -> Network:
        return await update_network(tx, caller, row, await complete(tx, caller, row, values), settings)

    async def delete(tx: Transaction, caller: Caller, row: Network) -> None:
        where = (Condition("network_id", (row.id,)), Condition("device_owner", SERVICE_OWNERS))
        for step in leaving:
            await step(tx, caller, row)
        await check_unused(tx, row)
        for port in await tx.list(Port, Query(where)):
            await remove_port(tx, caller, port)
        await delete_network(tx, row, empty)

    return Manager(
        NETWORK,
        "vpc",
        create=create,
        update=update,
        delete=delete,
        computed=_computed(settings),
        extensions=extensions.NETWORK,
    )


def _computed(settings: NetworkSettings) -> Mapping[str, Loader]:
    async def load_zones(_store: Store, _caller: Caller, rows: Sequence[Network]) -> dict[str, Any]:
        # Every host serves its own ports (DHCP, routing), so a network is in every zone it is not kept out of.
        return {row.id: row.availability_zone_hints or settings.zones for row in rows}

    return {"subnets": load_subnets, "shared": load_shared, "availability_zones": load_zones}


async def create_networks(
    tx: Transaction, caller: Caller, many: Sequence[Values], settings: NetworkSettings
) -> list[Made]:
    """Add networks, each with its segments.

    Raises: InvalidInput (mtu, provider attributes, segments); NotFound (zone); Conflict if a number that was asked
            for is taken; Exhausted.
    """
    seats = [Seat(tx.new_id(), project_of(caller, values)) for values in many]
    ways: dict[str, list[ProviderSegment]] = {}
    for seat, values in zip(seats, many, strict=True):
        wanted = said_segments(values)
        if wanted:
            ways[seat.network_id] = await _take_all(tx, settings, wanted, seat)
    # After those that were asked for, so that none of them is given away in the same request.
    others = [seat for seat in seats if seat.network_id not in ways]
    given = await segment.allocate_default(tx, settings, others)
    ways |= {id: [way] for id, way in given.items()}
    return [
        await _insert(tx, caller, values, seat.network_id, ways[seat.network_id], settings)
        for seat, values in zip(seats, many, strict=True)
    ]


async def _take_all(
    tx: Transaction, settings: NetworkSettings, wanted: Sequence[ProviderSegment], seat: Seat
) -> list[ProviderSegment]:
    for one in wanted:
        segment.check(settings, one)
    # Complete ones first: a number that is asked for must not be given to another segment of the same network.
    found = {
        place: await segment.allocate_one(tx, settings, one, seat)
        for place, one in sorted(enumerate(wanted), key=lambda item: not segment.is_complete(item[1]))
    }
    return [found[place] for place in range(len(wanted))]


async def _insert(
    tx: Transaction,
    caller: Caller,
    values: Values,
    id: str,
    ways: Sequence[ProviderSegment],
    settings: NetworkSettings,
) -> Made:
    check_tagging(values)
    check_zones(settings, values)
    mtu = mtu_of(values.get("mtu", UNSET), settings.mtu_max(str(way.network_type) for way in ways))
    external = values.get("router_external", False)
    is_default = bool(values.get("is_default")) and external
    if is_default:
        await take_default_external(tx, id)
    plain = {name: value for name, value in values.items() if name not in _MANAGED}
    first = repeat(Network(id=id), ways)
    row = new_row(
        tx,
        caller,
        Network,
        plain,
        id=id,
        mtu=mtu,
        is_default=is_default,
        segments=first.segments,
        **{name: getattr(first, name) for name in _PROVIDER},
    )
    for place, way in enumerate(ways):
        insert(tx, id, way, place)
    if values.get("shared"):
        await set_shared(tx, caller, row, True)
    if external:
        await set_external(tx, caller, row, True)
    # A new network has no subnets: nobody needs to look for them to answer.
    return Made(await tx.get(Network, id), {"subnets": [], "shared": bool(values.get("shared"))})


async def update_network(
    tx: Transaction, caller: Caller, row: Network, values: Values, settings: NetworkSettings
) -> Network:
    """Change what a client may.

    Raises: InvalidInput for a provider attribute that cannot change or an MTU that is too large; Conflict if the MTU
            is too small for a subnet of it, or if somebody uses what sharing or the external side is to be taken from.
    """
    changes = {name: value for name, value in values.items() if name not in ("shared", "segments")}
    if "segments" in values and tuple(values["segments"]) != row.segments:
        raise InvalidInput("The segments of a network are changed at /v2.0/segments.", attribute="segments")
    if any(name in values for name in _PROVIDER):
        changes |= await _move(tx, row, values, settings)
    if "mtu" in values:
        ways = row.segments or (provider_of(row),)
        mtu = mtu_of(values["mtu"], settings.mtu_max(str(way.network_type) for way in ways))
        await check_subnets_mtu(tx, row, mtu)
        changes["mtu"] = mtu
    if "shared" in values:
        await set_shared(tx, caller, row, values["shared"])
    if values.get("router_external", row.router_external) != row.router_external:
        if row.router_external:
            await check_external_unused(tx, row)
        await set_external(tx, caller, row, values["router_external"])
    changes["is_default"] = await _default(tx, row, values)
    return await replace_row(tx, row, changes)


async def _default(tx: Transaction, row: Network, values: Values) -> bool:
    """Whether the network is to be the default external one; takes and gives back that place."""
    external = values.get("router_external", row.router_external)
    wanted = bool(values.get("is_default", row.is_default)) and external
    if wanted and not row.is_default:
        await take_default_external(tx, row.id)
    elif row.is_default and not wanted:
        release_default_external(tx)
    return bool(wanted)


async def _move(
    tx: Transaction, row: Network, values: Values, settings: NetworkSettings
) -> dict[str, object]:
    """What another VLAN changes: nothing else of a network's way can be changed."""
    before = provider_of(row)
    after = ProviderSegment(*(values.get(name, getattr(row, name)) for name in _PROVIDER))
    if after == before:
        return {}
    if row.segments:
        raise InvalidInput("Provider attributes of a network with several segments cannot be changed.")
    if (after.network_type, after.physical_network) != (before.network_type, before.physical_network):
        raise InvalidInput(
            "provider:network_type and provider:physical_network of a network cannot be changed."
        )
    if before.network_type != "vlan" or not after.segmentation_id:
        raise InvalidInput(
            "Of the provider attributes only the segmentation_id of a vlan network can be changed."
        )
    segment.check(settings, after)
    await segment.take(tx, after, row.id)
    segment.release(tx, before)
    (own,) = await segments_of(tx, row)
    await replace_row(tx, own, {"segmentation_id": after.segmentation_id})
    return {"provider_segmentation_id": after.segmentation_id}


async def check_unused(tx: Transaction, row: Network) -> None:
    """Raises: InUse naming what is on a network: ports, addresses taken without a port."""
    here = Condition("network_id", (row.id,))
    where = (here, Condition("device_owner", SERVICE_OWNERS, Op.NONE))
    ports = await tx.list(Port, Query(where, limit=NAMED_MAX + 1))
    if ports:
        # Clients look for the second sentence.
        said = "There are one or more ports still in use on the network"
        raise InUse("network", row.id, by=f"{name_users('port', [port.id for port in ports])}. {said}")
    macs = await tx.list(MacAllocation, Query((here,), limit=NAMED_MAX + 1))
    if macs:
        raise InUse("network", row.id, by=name_users("MAC address", [mac.mac_address for mac in macs]))


async def delete_network(tx: Transaction, row: Network, empty: Empty) -> None:
    """Remove a network nobody uses and its subnets, and give its numbers back. Raises: InUse (subnet)."""
    await empty(tx, row)
    for one in await segments_of(tx, row):
        tx.delete(one)
    for way in row.segments or (provider_of(row),):
        segment.release(tx, way)
    if row.is_default:
        release_default_external(tx)
    await forget(tx, row)
    tx.delete(row)


async def become_external(tx: Transaction, row: Network, external: bool) -> None:
    """An RBAC policy opened a network as external, or the last such policy went: the attribute follows.

    Raises: Conflict (EXTERNAL_IN_USE) if a gateway is on it.
    """
    if not external:
        await check_external_unused(tx, row)
        if row.is_default:
            release_default_external(tx)
    await replace_row(tx, row, {"router_external": external, "is_default": row.is_default and external})


async def load_subnets(store: Store, _caller: Caller, rows: Sequence[Network]) -> dict[str, list[str]]:
    """The subnet ids of each network, oldest first. Cost: one read, however many networks."""
    ids = tuple(row.id for row in rows)
    subnets = await store.reader.list(Subnet, Query(where=(Condition("network_id", ids),)))
    found: dict[str, list[str]] = {id: [] for id in ids}
    for subnet in sorted(subnets, key=lambda subnet: (subnet.created_at, subnet.id)):
        found[subnet.network_id].append(subnet.id)
    return found


async def load_shared(store: Store, caller: Caller, rows: Sequence[Network]) -> dict[str, bool]:
    """Whether each network is shared with all or with the caller's project; an external one need not be.

    Cost: one read.
    """
    ids = [row.id for row in rows]
    found = await shared_of(store.reader, NETWORK.name, (AS_SHARED,), ids, caller.project_id)
    return {id: id in found for id in ids}


async def ids_open_to(rows: Rows, caller: Caller) -> tuple[str, ...]:
    """The networks of other projects that are opened to the caller, shared or external."""
    return await ids_shared_with(rows, NETWORK.name, (AS_SHARED, AS_EXTERNAL), caller.project_id)
