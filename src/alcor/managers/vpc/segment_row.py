"""The rows of a network's segments, and what the network's own row repeats of them."""

from collections.abc import Sequence

from msgspec.structs import replace

from alcor.model.network import Network, ProviderSegment
from alcor.model.segment import Segment
from alcor.store.interface import Condition, Query, Store, Transaction

_ADOPTED = ("segment", "adopted")


async def segments_of(tx: Transaction, network: Network) -> list[Segment]:
    """A network's segments, the first one first.

    A network that was stored before segments had rows of their own gets its row here.
    """
    found = await tx.list(Segment, Query((Condition("network_id", (network.id,)),)))
    if not found:
        found = [insert(tx, network.id, provider_of(network), 0)]
    return sorted(found, key=lambda row: (row.place, row.id))


def insert(
    tx: Transaction,
    network_id: str,
    way: ProviderSegment,
    place: int,
    *,
    name: str = "",
    description: str = "",
    tags: tuple[str, ...] = (),
) -> Segment:
    """Add a segment's row. `place`: behind which others it comes."""
    row = Segment(
        id=tx.new_id(),
        name=name,
        description=description,
        tags=tags,
        network_id=network_id,
        network_type=str(way.network_type),
        physical_network=way.physical_network,
        segmentation_id=way.segmentation_id,
        place=place,
    )
    tx.insert(row)
    return row


def provider_of(row: Network) -> ProviderSegment:
    """The first segment of a network, from its own row."""
    return ProviderSegment(
        row.provider_network_type, row.provider_physical_network, row.provider_segmentation_id
    )


def way_of(row: Segment) -> ProviderSegment:
    """How a segment travels."""
    return ProviderSegment(row.network_type, row.physical_network, row.segmentation_id)


def repeat(network: Network, ways: Sequence[ProviderSegment]) -> Network:
    """The network's row, made to say what its segments (at least one) are."""
    first = ways[0]
    return replace(
        network,
        provider_network_type=str(first.network_type),
        provider_physical_network=first.physical_network,
        provider_segmentation_id=first.segmentation_id,
        segments=tuple(ways) if len(ways) > 1 else (),
    )


async def adopt(store: Store) -> None:
    """Give networks that were stored before segments had rows theirs. Done once per database."""

    async def work(tx: Transaction) -> None:
        if await tx.load(*_ADOPTED) is not None:
            return
        known = {row.network_id for row in await tx.list(Segment)}
        for network in await tx.list(Network):
            if network.id not in known:
                insert(tx, network.id, provider_of(network), 0)
        tx.save(*_ADOPTED, b"1")

    await store.write(work)
