"""Subnets on segments of their network: a routed network, whose ports reach one another through routers only."""

from collections.abc import Sequence

from alcor.model.errors import InvalidInput, NotFound, Problem
from alcor.model.segment import Segment
from alcor.model.subnet import Subnet
from alcor.store.interface import Condition, Query, Transaction


async def check_new(
    tx: Transaction, network_id: str, segment_id: str | None, siblings: Sequence[Subnet]
) -> None:
    """Raises: NotFound (segment); InvalidInput for a segment of another network, or if some subnets of the network
    are on segments and some are not (SUBNET_SEGMENTS_MIXED)."""
    if any((other.segment_id is None) != (segment_id is None) for other in siblings):
        raise _mixed(network_id)
    await _check_network(tx, network_id, segment_id)


async def check_move(
    tx: Transaction, row: Subnet, segment_id: str | None, siblings: Sequence[Subnet]
) -> None:
    """Raises: as `check_new`; InvalidInput if the subnet is on a segment already, is not alone on its network, or the
    network has several segments, of which it could be on any."""
    if segment_id == row.segment_id:
        return
    if len(siblings) > 1:
        raise _mixed(row.network_id)
    if row.segment_id is not None:
        raise InvalidInput(
            f"Subnet {row.id} is already associated with segment {row.segment_id}; that cannot be changed.",
            problem=Problem.SUBNET_SEGMENT_CHANGE,
        )
    segments = await tx.list(Segment, Query((Condition("network_id", (row.network_id,)),), limit=2))
    if len(segments) > 1:
        raise InvalidInput(
            f"The network '{row.network_id}' has multiple segments: an existing subnet can only be associated with a "
            "segment of a network with a single one.",
            problem=Problem.SUBNET_SEGMENTS_MANY,
        )
    await _check_network(tx, row.network_id, segment_id)


async def _check_network(tx: Transaction, network_id: str, segment_id: str | None) -> None:
    if segment_id is None:
        return
    segment = await tx.find(Segment, segment_id)
    if segment is None:
        raise NotFound("segment", segment_id)
    if segment.network_id != network_id:
        raise InvalidInput(
            f"The subnet's network '{network_id}' is not that of segment '{segment_id}', '{segment.network_id}'.",
            problem=Problem.SUBNET_SEGMENT_NETWORK,
        )


def _mixed(network_id: str) -> InvalidInput:
    return InvalidInput(
        f"The subnets on network '{network_id}' must either all be associated with segments or all not be.",
        problem=Problem.SUBNET_SEGMENTS_MIXED,
    )
