"""Segments of networks: `/v2.0/segments`. Administrators add ways to a network and take them away."""

from collections.abc import Sequence

from alcor.managers.interface import Caller, Made, Manager, Values
from alcor.managers.row import NAMED_MAX, name_users, replace_row
from alcor.managers.vpc import extensions, segment
from alcor.managers.vpc.segment import Seat
from alcor.managers.vpc.segment_row import insert, repeat, segments_of, way_of
from alcor.managers.vpc.settings import NetworkSettings
from alcor.model.errors import InUse
from alcor.model.network import Network, ProviderSegment
from alcor.model.segment import SEGMENT, Segment
from alcor.model.subnet import Subnet
from alcor.store.interface import Condition, Query, Transaction


def manager(settings: NetworkSettings) -> Manager:
    """`/v2.0/segments`."""

    async def create(tx: Transaction, _caller: Caller, many: Sequence[Values]) -> list[Made]:
        return [Made(await add_segment(tx, values, settings)) for values in many]

    return Manager(SEGMENT, "vpc", create=create, update=update, delete=delete, extensions=extensions.SEGMENT)


async def add_segment(tx: Transaction, values: Values, settings: NetworkSettings) -> Segment:
    """Add a segment behind the network's others.

    Raises: NotFound (network); as `segment.allocate_one`; Conflict if the network has the same segment already.
    """
    network = await tx.get(Network, values["network_id"])
    present = await segments_of(tx, network)
    ways = [way_of(row) for row in present]
    wanted = ProviderSegment(
        values["network_type"], values.get("physical_network") or None, values.get("segmentation_id") or None
    )
    if wanted in ways:
        raise segment.taken(wanted, network.id)
    way = await segment.allocate_one(tx, settings, wanted, Seat(network.id, network.project_id))
    row = insert(
        tx,
        network.id,
        way,
        present[-1].place + 1,
        name=values.get("name", ""),
        description=values.get("description", ""),
        tags=tuple(values.get("tags", ())),
    )
    tx.update(repeat(network, [*ways, way]))
    return await tx.get(Segment, row.id)


async def update(tx: Transaction, _caller: Caller, row: Segment, values: Values) -> Segment:
    """Change the name or the description."""
    return await replace_row(tx, row, values)


async def delete(tx: Transaction, _caller: Caller, row: Segment) -> None:
    """Take a segment from its network. Raises: InUse naming subnets on it, or if the network has no other."""
    subnets = await tx.list(Subnet, Query((Condition("segment_id", (row.id,)),), limit=NAMED_MAX + 1))
    if subnets:
        users = name_users("subnet", [subnet.id for subnet in subnets])
        raise InUse("segment", row.id, by=f"{users} is associated with it")
    network = await tx.get(Network, row.network_id)
    left = [other for other in await segments_of(tx, network) if other.id != row.id]
    if not left:
        raise InUse("segment", row.id, by=f"network {network.id} has no other; delete the network instead")
    segment.release(tx, way_of(row))
    tx.delete(row)
    tx.update(repeat(network, [way_of(other) for other in left]))
