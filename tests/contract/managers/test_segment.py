"""Segments of networks, ranges their numbers come from, and subnets on them."""

from typing import Any

import pytest

from alcor.managers.vpc.ranges import AVAILABLE_SHOWN_MAX, prepare
from alcor.managers.vpc.segment import space_of
from alcor.managers.vpc.segment_row import provider_of, segments_of
from alcor.managers.vpc.settings import NetworkSettings, parse_vlan_ranges
from alcor.model.errors import AlcorError, Conflict, Exhausted, InUse, InvalidInput, NotFound, Problem
from alcor.model.network import Network, ProviderSegment
from alcor.model.network_segment_range import NetworkSegmentRange
from alcor.model.segment import Segment
from alcor.store.interface import Transaction
from tests.support.managers import (
    MEMBER,
    OTHER_PROJECT,
    PROJECT,
    Desk,
    create_networks,
)


async def read(desk: Desk, network: Network) -> Network:
    found = await desk.store.reader.find(Network, network.id)
    assert found is not None
    return found


async def test_a_segment_is_added_and_taken_away(desk: Desk) -> None:
    """A network with two segments shows both; when one goes, it is a network of the other."""
    network = await desk.create("network")
    (first,) = await desk.store.reader.list(Segment)

    second = await desk.create(
        "segment",
        network_id=network.id,
        network_type="vlan",
        physical_network="physnet1",
        segmentation_id=9,
        name="nine",
    )

    assert (second.name, second.segmentation_id) == ("nine", 9)
    ways = (provider_of(network), ProviderSegment("vlan", "physnet1", 9))
    assert (await read(desk, network)).segments == ways
    await desk.delete(first)
    alone = await read(desk, network)
    assert (alone.segments, provider_of(alone)) == ((), ways[1])
    assert await desk.owners("vni:vxlan", [str(network.provider_segmentation_id)]) == {}
    with pytest.raises(InUse, match="has no other") as refused:
        await desk.delete(second)
    assert refused.value.kind == "segment"
    renamed = await desk.update(second, name="ten", description="what")
    assert (renamed.name, renamed.description) == ("ten", "what")


@pytest.mark.parametrize(
    ("said", "error"),
    [
        ({"network_type": "vlan", "segmentation_id": 4}, InvalidInput),
        ({"network_type": "vxlan", "segmentation_id": 5}, Conflict),
        ({"network_type": "local", "physical_network": "physnet1"}, InvalidInput),
    ],
)
async def test_segments_that_are_refused(desk: Desk, said: dict[str, Any], error: type[AlcorError]) -> None:
    """What no network could be, and what this or another network has already."""
    network = await desk.create("network", provider_network_type="vxlan", provider_segmentation_id=5)

    with pytest.raises(error):
        await desk.create("segment", network_id=network.id, **said)


async def test_a_segment_is_of_a_network(desk: Desk) -> None:
    """A network that is not there has no segments."""
    with pytest.raises(NotFound):
        await desk.create("segment", network_id=PROJECT_LIKE, network_type="vxlan")


async def test_networks_of_older_releases_get_their_segment(desk: Desk) -> None:
    """A network without a segment row gets it at the start of the region, or when its segments are asked for."""
    one, two = await desk.create_many("network", [{}, {}])

    async def forget(tx: Transaction) -> list[Segment]:
        for row in await tx.list(Segment):
            tx.delete(row)
        return await segments_of(tx, one)

    (found,) = (await desk.store.write(forget)).value
    assert (found.network_id, found.segmentation_id) == (one.id, one.provider_segmentation_id)
    await prepare(desk.store, NetworkSettings())
    await prepare(desk.store, NetworkSettings())
    rows = await desk.store.reader.list(Segment)
    assert {(row.network_id, row.segmentation_id) for row in rows} == {
        (network.id, network.provider_segmentation_id) for network in (one, two)
    }


async def test_a_subnet_on_a_segment(desk: Desk) -> None:
    """Subnets of a network are all on segments of it, or none is; on segments the network is no layer-2 domain."""
    network, other = await desk.create_many("network", [{}, {}])
    segments = {row.network_id: row for row in await desk.store.reader.list(Segment)}
    own, foreign = segments[network.id], segments[other.id]
    said = {"network_id": network.id, "ip_version": 4}

    subnet = await desk.create("subnet", cidr="10.0.0.0/24", segment_id=own.id, **said)

    assert (await read(desk, network)).l2_adjacency is False
    for segment_id, problem in (
        (None, Problem.SUBNET_SEGMENTS_MIXED),
        (foreign.id, Problem.SUBNET_SEGMENT_NETWORK),
    ):
        with pytest.raises(InvalidInput) as refused:
            await desk.create("subnet", cidr="10.0.1.0/24", segment_id=segment_id, **said)
        assert refused.value.problem is problem
    with pytest.raises(NotFound):
        await desk.create("subnet", cidr="10.0.1.0/24", segment_id=PROJECT_LIKE, **said)
    with pytest.raises(InUse, match=subnet.id):
        await desk.delete(own)
    with pytest.raises(InvalidInput) as refused:
        await desk.update(subnet, segment_id=None)
    assert refused.value.problem is Problem.SUBNET_SEGMENT_CHANGE
    await desk.delete(subnet)
    assert (await read(desk, network)).l2_adjacency is True


PROJECT_LIKE = "01234567-89ab-7def-8123-456789abcdef"


async def test_a_subnet_is_put_on_a_segment_later(desk: Desk) -> None:
    """The only subnet of a network with one segment may move onto it."""
    network = await desk.create("network")
    (own,) = await desk.store.reader.list(Segment)
    subnet = await desk.create("subnet", network_id=network.id, ip_version=4, cidr="10.0.0.0/24")

    moved = await desk.update(subnet, segment_id=own.id)

    assert moved.segment_id == own.id
    assert (await read(desk, network)).l2_adjacency is False


async def test_a_subnet_does_not_choose_among_segments(desk: Desk) -> None:
    """With two subnets or two segments it is too late."""
    network = await desk.create("network")
    (own,) = await desk.store.reader.list(Segment)
    said = {"network_id": network.id, "ip_version": 4}
    subnet = await desk.create("subnet", cidr="10.0.0.0/24", **said)
    second = await desk.create("subnet", cidr="10.0.1.0/24", **said)

    with pytest.raises(InvalidInput) as refused:
        await desk.update(subnet, segment_id=own.id)
    assert refused.value.problem is Problem.SUBNET_SEGMENTS_MIXED
    await desk.delete(second)
    await desk.create("segment", network_id=network.id, network_type="vxlan")
    with pytest.raises(InvalidInput) as refused:
        await desk.update(subnet, segment_id=own.id)
    assert refused.value.problem is Problem.SUBNET_SEGMENTS_MANY


async def a_range(desk: Desk, minimum: int, maximum: int, **said: Any) -> Any:
    return await desk.create(
        "network_segment_range", **{"network_type": "vxlan", "minimum": minimum, "maximum": maximum} | said
    )


async def test_a_projects_range_is_its_own(desk: Desk) -> None:
    """Its networks take numbers of it first; others never do, even when all that is left is there."""
    settings = NetworkSettings(vlan_ranges=parse_vlan_ranges(["physnet1:1:3"]), tenant_types=("vlan",))
    one = await a_range(
        desk, 2, 3, network_type="vlan", physical_network="physnet1", shared=False, project_id=OTHER_PROJECT
    )
    assert (one.shared, one.project_id) == (False, OTHER_PROJECT)

    async def network(project_id: str) -> int:
        (made,) = await create_networks(desk, settings, [{"project_id": project_id}])
        return int(made.provider_segmentation_id)

    assert await network(OTHER_PROJECT) in (2, 3)
    assert await network(PROJECT) == 1
    with pytest.raises(Exhausted):
        await network(PROJECT)
    assert await network(OTHER_PROJECT) in (2, 3)
    with pytest.raises(Exhausted):
        await network(OTHER_PROJECT)


async def test_a_range_shows_what_is_used(desk: Desk) -> None:
    """Numbers networks have, with their projects, and those that are free."""
    one = await a_range(desk, 10, 13)
    for number in (11, 14):
        await desk.create(
            "network",
            provider_network_type="vxlan",
            provider_segmentation_id=number,
            project_id=OTHER_PROJECT,
        )

    assert await desk.computed("network_segment_range", "used", [one]) == {one.id: {"11": OTHER_PROJECT}}
    assert await desk.computed("network_segment_range", "available", [one]) == {one.id: [10, 12, 13]}
    whole = await a_range(desk, 20, 2**24 - 1)
    shown = await desk.computed("network_segment_range", "available", [whole])
    assert len(shown[whole.id]) == AVAILABLE_SHOWN_MAX


@pytest.mark.parametrize(
    "said",
    [
        {"minimum": 9, "maximum": 8},
        {"minimum": 1, "maximum": 2**24},
        {"minimum": 1, "maximum": 4_095, "network_type": "vlan", "physical_network": "physnet1"},
        {"minimum": 1, "maximum": 9, "network_type": "vlan"},
        {"minimum": 1, "maximum": 9, "network_type": "vlan", "physical_network": "wire9"},
    ],
)
async def test_ranges_that_are_refused(desk: Desk, said: dict[str, Any]) -> None:
    """In order, within the type's numbers, and on a wire there is."""
    with pytest.raises(InvalidInput):
        await a_range(desk, **said)


async def test_ranges_are_apart(desk: Desk) -> None:
    """Ranges of one type do not overlap, made or moved; of different types they may."""
    one = await a_range(desk, 10, 20)
    await a_range(desk, 10, 20, network_type="geneve")

    with pytest.raises(Conflict, match=one.id) as refused:
        await a_range(desk, 20, 30)
    assert refused.value.problem is Problem.RANGE_OVERLAP
    two = await a_range(desk, 21, 30)
    with pytest.raises(Conflict):
        await desk.update(two, minimum=20)
    assert (await desk.update(two, minimum=22, name="two")).minimum == 22


async def test_a_range_in_use_keeps_its_numbers(desk: Desk) -> None:
    """It may grow; it neither shrinks below nor goes with what a network has."""
    one = await a_range(desk, 10, 20)
    network = await desk.create("network", provider_network_type="vxlan", provider_segmentation_id=15)

    for change in ({"minimum": 16}, {"maximum": 14}):
        with pytest.raises(Conflict, match="15") as refused:
            await desk.update(one, **change)
        assert refused.value.problem is Problem.RANGE_REFERENCED
    with pytest.raises(Conflict, match="15"):
        await desk.delete(one)
    one = await desk.update(one, minimum=15, maximum=30)
    await desk.delete(network)
    await desk.delete(one)


async def test_the_configurations_ranges_are_shown(desk: Desk) -> None:
    """They are there after the start, follow the configuration, and are not changed here."""
    await prepare(desk.store, NetworkSettings(vlan_ranges=parse_vlan_ranges(["a:1:5", "b:7:9"])))
    await prepare(desk.store, NetworkSettings(vlan_ranges=parse_vlan_ranges(["a:1:5"])))

    rows = await desk.store.reader.list(NetworkSegmentRange)

    facts = {(row.network_type, row.physical_network, row.minimum, row.maximum) for row in rows}
    assert facts == {
        ("vlan", "a", 1, 5),
        ("vxlan", None, 1, 2**24 - 1),
        ("geneve", None, 1, 2**24 - 1),
        ("gre", None, 1, 2**32 - 1),
    }
    assert all(row.default and row.shared for row in rows)
    for attempt in (desk.update(rows[0], name="x"), desk.delete(rows[0])):
        with pytest.raises(InvalidInput) as refused:
            await attempt
        assert refused.value.problem is Problem.RANGE_READ_ONLY
    # They overlap with what an operator adds: a project may get a part of them.
    await a_range(desk, 5, 9, shared=False, project_id=OTHER_PROJECT)


async def test_service_ports_go_with_their_network(desk: Desk) -> None:
    """A DHCP server's port keeps neither a subnet nor a network; all it had is given back."""
    network = await desk.create("network")
    subnet = await desk.create("subnet", network_id=network.id, ip_version=4, cidr="10.0.0.0/24")
    port = await desk.create("port", network_id=network.id, device_owner="network:dhcp")
    assert port.fixed_ips

    await desk.delete(subnet)
    await desk.delete(await read(desk, network))

    assert desk.dump()["port"] == []
    assert await desk.owners(f"mac:{network.id}", [port.mac_address]) == {}


async def test_availability_counts_what_is_taken(desk: Desk) -> None:
    """Ports' and other addresses, in pools and outside; of the IP version that is asked for."""
    network, empty = await desk.create_many("network", [{"name": "red"}, {}])
    four = await desk.create(
        "subnet",
        network_id=network.id,
        ip_version=4,
        cidr="10.0.0.0/24",
        allocation_pools=[{"start": "10.0.0.10", "end": "10.0.0.19"}],
    )
    await desk.create("subnet", network_id=network.id, ip_version=6, cidr="2001:db8::/64")
    await desk.create("ip", subnet_id=four.id, ip_address="10.0.0.200")
    await desk.create("port", network_id=network.id)
    manager = desk.manager("network_ip_availability")
    assert manager.source is not None
    rows: list[Any] = sorted(await manager.source(desk.store, MEMBER), key=lambda row: row.id != network.id)

    used = await desk.computed("network_ip_availability", "used_ips", rows)
    details = await desk.computed("network_ip_availability", "ip_availability_details", rows)
    subnets = await desk.computed("network_ip_availability", "subnet_ip_availability", rows)

    assert used == {network.id: 3, empty.id: 0}
    assert details[network.id]["used_ips_in_allocation_pool"] == 2
    assert details[network.id]["used_ips_in_subnet"] == 3
    (shown,) = [one for one in subnets[network.id] if one["ip_version"] == 4]
    assert (shown["total_ips"], shown["used_ips"], shown["cidr"]) == (10, 2, "10.0.0.0/24")
    assert shown["ip_availability_details"] == {
        "total_ips_in_subnet": 254,
        "total_ips_in_allocation_pool": 10,
        "used_ips_in_subnet": 2,
        "used_ips_in_allocation_pool": 1,
    }


async def test_availability_of_small_pools_in_large_prefixes(desk: Desk) -> None:
    """Also where most of the prefix lies outside of the pools, each address is counted where it is."""
    network = await desk.create("network")
    await desk.create(
        "subnet",
        network_id=network.id,
        ip_version=4,
        cidr="10.0.0.0/16",
        allocation_pools=[{"start": "10.0.0.10", "end": "10.0.0.19"}],
    )
    await desk.create_many("port", [{"network_id": network.id}, {"network_id": network.id}])
    await desk.create("port", network_id=network.id, fixed_ips=[{"ip_address": "10.0.9.9"}])
    manager = desk.manager("network_ip_availability")
    assert manager.source is not None
    rows: list[Any] = list(await manager.source(desk.store, MEMBER))

    details = await desk.computed("network_ip_availability", "ip_availability_details", rows)

    assert details[network.id]["used_ips_in_subnet"] == 3
    assert details[network.id]["used_ips_in_allocation_pool"] == 2


def test_number_spaces_are_told_apart() -> None:
    """Each type, and each wire of VLANs, has numbers of its own."""
    spaces = [space_of("vxlan", None), space_of("geneve", None), space_of("vlan", "a"), space_of("vlan", "b")]

    assert len(set(spaces)) == 4
