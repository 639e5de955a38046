"""What networks may be: types, segments, sharing, the external side, zones, and what may change of it."""

import msgspec
import pytest

from alcor.managers.interface import Caller
from alcor.managers.vpc.segment import space_of
from alcor.managers.vpc.settings import NetworkSettings, check_types, parse_vlan_ranges
from alcor.model.errors import AlcorError, Conflict, Exhausted, InvalidInput, NotFound, Problem
from alcor.model.network import NETWORK, Network, ProviderSegment
from alcor.model.rbac_policy import AS_EXTERNAL, AS_SHARED, EVERYONE, RbacPolicy
from alcor.model.segment import Segment
from tests.support.managers import (
    MEMBER,
    OTHER_PROJECT,
    STRANGER,
    Desk,
    create_networks,
)

FRIENDS = "0123456789abcdef0123456789abcdef"
FRIEND = Caller(FRIENDS, is_admin=False)


async def test_a_network_that_says_nothing(desk: Desk) -> None:
    """A new network is closed, internal, without hints, domain, policy or VLANs of its own, and one segment."""
    network = await desk.create("network")

    assert (network.router_external, network.is_default, network.dns_domain) == (False, False, "")
    assert (network.vlan_transparent, network.qinq, network.qos_policy_id) == (False, False, None)
    assert (network.availability_zone_hints, network.segments, network.l2_adjacency) == ((), (), True)
    assert (network.ipv4_address_scope, network.ipv6_address_scope, network.tags) == (None, None, ())
    (segment,) = await desk.store.reader.list(Segment)
    assert (segment.network_id, segment.network_type) == (network.id, "vxlan")
    assert segment.segmentation_id == network.provider_segmentation_id


def test_a_network_of_an_older_release_is_read() -> None:
    """What was stored before these attributes existed decodes to a network without them."""
    stored = (
        b'{"id":"a","project_id":"p","name":"old","revision_number":3,"admin_state_up":true,"mtu":1450,'
        b'"port_security_enabled":true,"provider_network_type":"vxlan","provider_physical_network":null,'
        b'"provider_segmentation_id":7}'
    )

    network = msgspec.json.decode(stored, type=Network)

    assert (network.name, network.provider_segmentation_id, network.router_external) == ("old", 7, False)


@pytest.mark.parametrize(
    ("type_", "physical", "mtu"),
    [
        ("vxlan", None, 1450),
        ("geneve", None, 1442),
        ("gre", None, 1458),
        ("vlan", "physnet1", 1500),
        ("flat", "physnet1", 1500),
        ("local", None, 1500),
    ],
)
async def test_every_type_carries_what_its_headers_leave(
    desk: Desk, type_: str, physical: str | None, mtu: int
) -> None:
    """The MTU is the underlay's less what the type adds; one byte more is refused."""
    said = {"provider_network_type": type_, "provider_physical_network": physical}
    network = await desk.create("network", **said)

    assert (network.provider_network_type, network.provider_physical_network) == (type_, physical)
    assert network.mtu == mtu
    assert (await desk.update(network, mtu=1400)).mtu == 1400
    with pytest.raises(InvalidInput, match=f"maximum is {mtu}"):
        await desk.update(network, mtu=mtu + 1)
    assert (await desk.update(network, mtu=0)).mtu == mtu


@pytest.mark.parametrize(
    ("type_", "physical", "number"),
    [("geneve", None, 5), ("gre", None, 2**32 - 1), ("vlan", "physnet1", 4_094), ("vxlan", None, 5)],
)
async def test_a_number_belongs_to_one_network_until_it_is_deleted(
    desk: Desk, type_: str, physical: str | None, number: int
) -> None:
    """A number that was asked for is taken as it is, refused while in use, and free again after the network."""
    said = {
        "provider_network_type": type_,
        "provider_physical_network": physical,
        "provider_segmentation_id": number,
    }
    network = await desk.create("network", **said)

    with pytest.raises(Conflict, match=f"{number} .*in use|{number} is in use") as refused:
        await desk.create("network", **said)

    assert refused.value.problem is (Problem.VLAN_TAKEN if type_ == "vlan" else Problem.SEGMENT_TAKEN)
    assert await desk.owners(space_of(type_, physical), [str(number)]) == {str(number): network.id}
    await desk.delete(network)
    assert (await desk.create("network", **said)).provider_segmentation_id == number


async def test_one_flat_network_on_each_physical_network(desk: Desk) -> None:
    """A second flat network on the same wire is refused; after the first is gone it is not."""
    said = {"provider_network_type": "flat", "provider_physical_network": "physnet1"}
    first = await desk.create("network", **said)

    with pytest.raises(Conflict, match="physnet1 is in use") as refused:
        await desk.create("network", **said)

    assert refused.value.problem is Problem.FLAT_TAKEN
    await desk.delete(first)
    await desk.create("network", **said)


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ({"provider_network_type": "flat"}, "physical_network required"),
        ({"provider_network_type": "flat", "provider_physical_network": "wire9"}, "'wire9' unknown"),
        (
            {
                "provider_network_type": "flat",
                "provider_physical_network": "physnet1",
                "provider_segmentation_id": 4,
            },
            "segmentation_id prohibited",
        ),
        ({"provider_network_type": "vlan", "provider_segmentation_id": 4}, "requires physical_network"),
        ({"provider_network_type": "vlan", "provider_physical_network": "wire9"}, "'wire9' unknown"),
        (
            {
                "provider_network_type": "vlan",
                "provider_physical_network": "physnet1",
                "provider_segmentation_id": 4_095,
            },
            "out of range",
        ),
        ({"provider_network_type": "geneve", "provider_segmentation_id": 2**24}, "out of range"),
        ({"provider_network_type": "gre", "provider_physical_network": "physnet1"}, "leave it out"),
        ({"provider_network_type": "local", "provider_segmentation_id": 1}, "prohibited for a local"),
    ],
)
async def test_combinations_no_network_can_be(desk: Desk, said: dict[str, object], reason: str) -> None:
    """Type, physical network and number must fit one another."""
    with pytest.raises(InvalidInput, match=reason):
        await desk.create("network", **said)


async def test_a_vlan_is_found_where_the_configuration_has_them(desk: Desk) -> None:
    """A vlan network that names no wire gets a VLAN of a configured range, all of them once, then none."""
    settings = NetworkSettings(
        physical_networks=frozenset({"wire1", "wire2"}),
        vlan_ranges=parse_vlan_ranges(["wire1:10:11", "wire2:20:20"]),
    )
    said = {"provider_network_type": "vlan"}

    made = [(await create_networks(desk, settings, [said]))[0] for _ in range(3)]

    found = {(row.provider_physical_network, row.provider_segmentation_id) for row in made}
    assert found == {("wire1", 10), ("wire1", 11), ("wire2", 20)}
    with pytest.raises(Exhausted, match="network identifiers"):
        await create_networks(desk, settings, [said])


async def test_tenants_get_the_first_type_that_has_a_number_left(desk: Desk) -> None:
    """With VLANs before VXLAN, a bulk gets the one VLAN there is and tunnels for the others."""
    settings = NetworkSettings(
        vlan_ranges=parse_vlan_ranges(["physnet1:7:7"]), tenant_types=("vlan", "vxlan")
    )

    made = await create_networks(desk, settings, [{}, {}, {}])

    types = sorted(one.provider_network_type for one in made)
    assert types == ["vlan", "vxlan", "vxlan"]


def test_vlan_ranges_are_read_as_operators_write_them() -> None:
    """A wire with a range, a wire without one, and several ranges of one wire."""
    found = parse_vlan_ranges(["a:1:5", "b", "a:10:12"])

    assert (found["a"].ranges, found["b"].size) == (((1, 5), (10, 12)), 0)
    for wrong in ("a:5", ":1:2", "a:x:2", "a:0:2", "a:9:2", "a:1:4095"):
        with pytest.raises(ValueError, match="no VLAN range"):
            parse_vlan_ranges([wrong])
    with pytest.raises(ValueError, match="flat"):
        check_types(["flat"])


async def test_a_network_of_several_segments(desk: Desk) -> None:
    """Segments are taken in order, the first is the network's own; the smallest MTU counts."""
    network = await desk.create(
        "network",
        segments=[
            {"provider:network_type": "vlan", "provider:physical_network": "physnet1"},
            {"provider:network_type": "vxlan", "provider:segmentation_id": 9},
        ],
    )

    first, second = network.segments
    assert (first.network_type, first.physical_network) == ("vlan", "physnet1")
    assert second == ProviderSegment("vxlan", None, 9)
    assert (network.provider_segmentation_id, network.mtu) == (first.segmentation_id, 1450)
    rows = sorted(await desk.store.reader.list(Segment), key=lambda row: row.place)
    assert [row.network_type for row in rows] == ["vlan", "vxlan"]
    await desk.delete(network)
    assert await desk.store.reader.list(Segment) == []
    assert await desk.owners("vni:vxlan", ["9"]) == {}


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        (
            {
                "segments": [{"provider:network_type": "vxlan"}],
                "provider_network_type": "vxlan",
            },
            Problem.SEGMENTS_AND_PROVIDER,
        ),
        (
            {"segments": [{"provider:network_type": "vxlan", "provider:segmentation_id": 9}] * 2},
            Problem.SEGMENTS_REPEATED,
        ),
        ({"segments": [{"provider:physical_network": "physnet1"}]}, Problem.GENERIC),
    ],
)
async def test_segments_that_are_refused(desk: Desk, said: dict[str, object], problem: Problem) -> None:
    """Segments exclude provider attributes, are distinct, and name their type."""
    with pytest.raises(InvalidInput) as refused:
        await desk.create("network", **said)

    assert refused.value.problem is problem


def test_a_segment_has_no_other_members() -> None:
    """What is no provider attribute is refused by name."""
    attribute = NETWORK.attribute("segments")
    assert attribute is not None
    with pytest.raises(ValueError, match=r"Unrecognized attribute\(s\) 'hello'"):
        attribute.type.parse([{"hello": 1}])


async def test_only_the_number_of_a_vlan_changes(desk: Desk) -> None:
    """A vlan network moves to another VLAN; the old one is free. Nothing else of a network's way changes."""
    network = await desk.create(
        "network",
        provider_network_type="vlan",
        provider_physical_network="physnet1",
        provider_segmentation_id=5,
    )

    moved = await desk.update(network, provider_segmentation_id=6, provider_network_type="vlan")

    assert moved.provider_segmentation_id == 6
    assert await desk.owners("vlan:physnet1", ["5", "6"]) == {"6": network.id}
    (segment,) = await desk.store.reader.list(Segment)
    assert segment.segmentation_id == 6
    for change in (
        {"provider_network_type": "vxlan"},
        {"provider_physical_network": "wire9"},
        {"segments": [{"provider:network_type": "vlan"}]},
    ):
        with pytest.raises(InvalidInput):
            await desk.update(moved, **change)
    tunnel = await desk.create("network")
    with pytest.raises(InvalidInput, match="only the segmentation_id of a vlan"):
        await desk.update(tunnel, provider_segmentation_id=6)


async def test_a_shared_network_is_everybodys(desk: Desk) -> None:
    """`shared` makes a policy for all projects: a stranger puts a port on it, and sees that it is shared."""
    network = await desk.create("network", shared=True)
    stranger = desk.as_caller(STRANGER)

    (policy,) = await desk.store.reader.list(RbacPolicy)
    assert (policy.action, policy.target_tenant, policy.object_id) == (AS_SHARED, EVERYONE, network.id)
    assert await stranger.computed("network", "shared", [network]) == {network.id: True}
    await stranger.create("port", network_id=network.id)
    with pytest.raises(Conflict, match=OTHER_PROJECT) as refused:
        await desk.update(network, shared=False)
    assert refused.value.problem is Problem.SHARED_IN_USE


async def test_sharing_ends_with_the_network(desk: Desk) -> None:
    """Closing and deleting leave no policy behind."""
    first, second = await desk.create_many("network", [{"shared": True}, {"shared": True}])

    closed = await desk.update(first, shared=False)
    await desk.delete(second)

    assert await desk.store.reader.list(RbacPolicy) == []
    assert await desk.computed("network", "shared", [closed]) == {closed.id: False}


async def test_an_external_network_is_open_but_not_shared(desk: Desk) -> None:
    """`router:external` opens the network as external to all; `shared` stays false."""
    network = await desk.create("network", router_external=True)
    stranger = desk.as_caller(STRANGER)

    (policy,) = await desk.store.reader.list(RbacPolicy)
    assert (policy.action, policy.target_tenant) == (AS_EXTERNAL, EVERYONE)
    assert await stranger.computed("network", "shared", [network]) == {network.id: False}
    closed = await desk.update(network, router_external=False)
    assert (closed.router_external, await desk.store.reader.list(RbacPolicy)) == (False, [])


async def test_a_policy_makes_a_network_external_and_its_end_internal(desk: Desk) -> None:
    """The attribute follows the policies, whoever makes them."""
    network = await desk.create("network")

    policy = await desk.create(
        "rbac_policy",
        object_type="network",
        object_id=network.id,
        target_tenant=FRIENDS,
        action=AS_EXTERNAL,
    )

    opened = await desk.store.reader.find(Network, network.id)
    assert opened is not None
    assert opened.router_external
    await desk.delete(policy)
    closed = await desk.store.reader.find(Network, network.id)
    assert closed is not None
    assert not closed.router_external


@pytest.mark.parametrize("owner", ["network:router_gateway", "network:floatingip"])
async def test_an_external_network_in_use_stays_external(desk: Desk, owner: str) -> None:
    """While a gateway or a floating IP is on it, neither the attribute nor its policy goes."""
    network = await desk.create("network", router_external=True)
    port = await desk.create("port", network_id=network.id, device_owner=owner)

    with pytest.raises(Conflict, match=port.id) as refused:
        await desk.update(network, router_external=False)

    assert refused.value.problem is Problem.EXTERNAL_IN_USE
    (policy,) = await desk.store.reader.list(RbacPolicy)
    with pytest.raises(Conflict):
        await desk.delete(policy)


async def test_one_default_external_network(desk: Desk) -> None:
    """The default is external and the only one; whoever stops being it leaves the place to another."""
    network = await desk.create("network", router_external=True, is_default=True)

    assert network.is_default
    with pytest.raises(Conflict, match=network.id) as refused:
        await desk.create("network", router_external=True, is_default=True)
    assert refused.value.problem is Problem.DEFAULT_EXTERNAL_EXISTS
    assert not (await desk.create("network", is_default=True)).is_default
    assert not (await desk.update(network, router_external=False)).is_default
    other = await desk.create("network", router_external=True)
    other = await desk.update(other, is_default=True)
    assert other.is_default
    await desk.delete(other)
    assert (await desk.create("network", router_external=True, is_default=True)).is_default


async def test_zones(desk: Desk) -> None:
    """Hints name zones there are; a network without hints is in all of them."""
    hinted, free = await desk.create_many("network", [{"availability_zone_hints": ["nova"]}, {}])

    shown = await desk.computed("network", "availability_zones", [hinted, free])

    assert hinted.availability_zone_hints == ("nova",)
    assert {id: tuple(zones) for id, zones in shown.items()} == {hinted.id: ("nova",), free.id: ("nova",)}
    with pytest.raises(NotFound) as refused:
        await desk.create("network", availability_zone_hints=["mars"])
    assert (refused.value.kind, refused.value.id) == ("availability_zone", "mars")


async def test_one_way_of_inner_vlans(desk: Desk) -> None:
    """A network is transparent for VLANs or keeps them below a service tag, not both."""
    assert (await desk.create("network", vlan_transparent=True)).vlan_transparent
    assert (await desk.create("network", qinq=True)).qinq
    with pytest.raises(InvalidInput, match="choose one") as refused:
        await desk.create("network", vlan_transparent=True, qinq=True)
    assert refused.value.problem is Problem.BAD_REQUEST


@pytest.mark.parametrize(("version", "cidr", "needed"), [(4, "10.0.0.0/24", 68), (6, "2001:db8::/64", 1280)])
async def test_subnets_need_an_mtu(desk: Desk, version: int, cidr: str, needed: int) -> None:
    """IPv4 needs 68 bytes and IPv6 1280: a smaller network takes no such subnet, nor may one with it shrink."""
    small, large = await desk.create_many("network", [{"mtu": needed - 1}, {"mtu": needed}])
    said = {"ip_version": version, "cidr": cidr}

    with pytest.raises(AlcorError) as refused:
        await desk.create("subnet", network_id=small.id, **said)

    assert isinstance(refused.value, Conflict)
    assert refused.value.problem is Problem.MTU_CONFLICT
    await desk.create("subnet", network_id=large.id, **said)
    with pytest.raises(Conflict, match=str(needed)):
        await desk.update(large, mtu=needed - 1)


@pytest.mark.parametrize("domain", ["example.org", "a..b.", "-a.org.", "x" * 64 + ".org.", "a.123."])
def test_domains_that_are_none(domain: str) -> None:
    """A domain ends with a dot and has labels of letters, digits and inner hyphens."""
    attribute = NETWORK.attribute("dns_domain")
    assert attribute is not None
    with pytest.raises(ValueError, match=r"domain|FQDN"):
        attribute.type.parse(domain)
    assert attribute.type.parse("My-Domain.Org.") == "my-domain.org."


async def test_others_cannot_use_what_is_not_opened_to_them(desk: Desk) -> None:
    """A policy for one project opens a network to that project only."""
    network = await desk.create("network", project_id="r" * 32)
    await desk.create(
        "rbac_policy",
        object_type="network",
        object_id=network.id,
        target_tenant=FRIENDS,
        action=AS_SHARED,
    )

    await desk.as_caller(FRIEND).create("port", network_id=network.id)
    with pytest.raises(NotFound, match=network.id):
        await desk.as_caller(MEMBER).create("port", network_id=network.id)
