"""The VPC Manager: networks and the numbers that carry them."""

import pytest

from alcor.managers.interface import Manager
from alcor.managers.registry import managers
from alcor.model.errors import Conflict, InUse, InvalidInput, NotFound, Problem
from alcor.model.network import VNI_MAX, VNI_MIN, Network
from alcor.model.subnet import Subnet
from tests.support.managers import ADMIN, MEMBER, OTHER_PROJECT, PROJECT, Desk, created_values


async def test_a_network_is_a_vxlan_with_a_number_and_what_the_underlay_leaves(desk: Desk) -> None:
    """A network that says nothing is a VXLAN in the caller's project, with an identifier and an MTU of 1450."""
    network = await desk.create("network", name="red")

    assert (network.name, network.project_id, network.admin_state_up) == ("red", PROJECT, True)
    assert (network.provider_network_type, network.provider_physical_network) == ("vxlan", None)
    assert VNI_MIN <= network.provider_segmentation_id <= VNI_MAX
    assert (network.mtu, network.port_security_enabled, network.revision_number) == (1450, True, 0)


async def test_an_administrator_creates_for_another_project(desk: Desk) -> None:
    """The project a request names owns the network."""
    network = await desk.create("network", project_id=OTHER_PROJECT)

    assert network.project_id == OTHER_PROJECT


async def test_networks_of_a_bulk_get_different_numbers(desk: Desk) -> None:
    """No two networks share an identifier, and each is claimed by its network."""
    networks = await desk.create_many("network", [{} for _ in range(50)])

    keys = [str(network.provider_segmentation_id) for network in networks]
    assert len(set(keys)) == 50
    assert await desk.owners("vni:vxlan", keys) == {
        key: network.id for key, network in zip(keys, networks, strict=True)
    }


async def test_a_chosen_number_is_honoured(desk: Desk) -> None:
    """A user's segmentation id is used as it is, at both ends of the range."""
    chosen = [
        {"provider_network_type": "vxlan", "provider_segmentation_id": number}
        for number in (VNI_MIN, VNI_MAX)
    ]

    networks = await desk.create_many("network", [{}, *chosen])

    assert [network.provider_segmentation_id for network in networks[1:]] == [VNI_MIN, VNI_MAX]


async def test_a_taken_number_is_refused_and_never_replaced(desk: Desk) -> None:
    """A segmentation id another network has is refused; neither network is changed."""
    first = await desk.create("network", provider_network_type="vxlan", provider_segmentation_id=42)

    with pytest.raises(Conflict, match="42 is in use") as refused:
        await desk.create("network", provider_network_type="vxlan", provider_segmentation_id=42)

    assert refused.value.problem is Problem.SEGMENT_TAKEN
    assert await desk.store.reader.list(Network) == [first]


async def test_a_bulk_is_all_or_nothing(desk: Desk) -> None:
    """One network that is refused takes the whole bulk with it."""
    before = desk.dump()

    with pytest.raises(Conflict):
        await desk.create_many(
            "network", [{}, *[{"provider_network_type": "vxlan", "provider_segmentation_id": 9}] * 2]
        )

    assert desk.dump() == before


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ({"provider_segmentation_id": 42}, "network_type required"),
        ({"provider_physical_network": "eth1"}, "network_type required"),
        ({"provider_network_type": "vxlan", "provider_physical_network": "eth1"}, "specified for a vxlan"),
        ({"mtu": 1451}, "maximum is 1450"),
    ],
)
async def test_provider_attributes_and_mtu_must_make_sense(
    desk: Desk, said: dict[str, object], reason: str
) -> None:
    """What no network could be is refused with the reason."""
    with pytest.raises(InvalidInput, match=reason):
        await desk.create("network", **said)


async def test_null_provider_attributes_mean_nothing_said(desk: Desk) -> None:
    """Null stands for "choose": clients send it for attributes that were left out."""
    network = await desk.create("network", provider_physical_network=None, provider_segmentation_id=None)

    assert network.provider_segmentation_id >= VNI_MIN


async def test_the_underlay_sets_the_largest_mtu(desk: Desk) -> None:
    """With jumbo frames between hosts, networks have jumbo frames less the encapsulation."""
    parts = managers(underlay_mtu_bytes=9_000)
    vpc = next(one for one in parts if isinstance(one, Manager) and one.resource.name == "network")
    assert vpc.create is not None
    create, values = vpc.create, created_values(vpc.resource)

    done = await desk.store.write(lambda tx: create(tx, ADMIN, [values]))

    assert done.value[0].row.mtu == 8_950  # type: ignore[attr-defined]  # a Network


async def test_a_released_number_rests_and_can_be_asked_for(desk: Desk) -> None:
    """Deleting a network gives its number back; whoever names it gets it at once."""
    network = await desk.create("network", provider_network_type="vxlan", provider_segmentation_id=42)
    await desk.delete(network)

    assert await desk.owners("vni:vxlan", ["42"]) == {}
    assert await desk.resting("vni:vxlan", ["42"]) == {"42"}
    again = await desk.create("network", provider_network_type="vxlan", provider_segmentation_id=42)
    assert again.provider_segmentation_id == 42


async def test_an_update_changes_what_it_names(desk: Desk) -> None:
    """Name, MTU and state change; the number does not, and revision_number counts."""
    network = await desk.create("network")

    changed = await desk.update(network, name="blue", mtu=1400, admin_state_up=False)

    assert (changed.name, changed.mtu, changed.admin_state_up) == ("blue", 1400, False)
    assert changed.provider_segmentation_id == network.provider_segmentation_id
    assert changed.revision_number == 1
    with pytest.raises(InvalidInput, match="maximum is 1450"):
        await desk.update(network, mtu=9000)


async def test_ipv6_needs_1280_bytes(desk: Desk) -> None:
    """A network with an IPv6 subnet cannot have less; one with less cannot get such a subnet."""
    network = await desk.create("network", mtu=1279)
    with pytest.raises(Conflict, match="1280"):
        await desk.create("subnet", network_id=network.id, ip_version=6, cidr="2001:db8::/64")

    await desk.update(network, mtu=1280)
    await desk.create("subnet", network_id=network.id, ip_version=6, cidr="2001:db8::/64")

    with pytest.raises(Conflict, match="1280"):
        await desk.update(network, mtu=1279)


async def test_deleting_a_network_deletes_its_subnets(desk: Desk) -> None:
    """Subnets alone do not keep a network."""
    network = await desk.create("network")
    await desk.create("subnet", network_id=network.id, ip_version=4, cidr="10.0.0.0/24")
    await desk.create(
        "subnet", network_id=network.id, ip_version=6, cidr="2001:db8::/64", ipv6_address_mode="slaac"
    )

    await desk.delete(network)

    assert await desk.store.reader.list(Subnet) == []
    assert await desk.store.reader.list(Network) == []


async def test_ports_keep_a_network_and_are_named(desk: Desk) -> None:
    """A network with ports stays, and the error names them."""
    network = await desk.create("network")
    ports = await desk.create_many("port", [{"network_id": network.id} for _ in range(7)])

    with pytest.raises(InUse) as refused:
        await desk.delete(network)

    named = [port.id for port in ports if port.id in refused.value.message]
    assert (refused.value.kind, refused.value.id, len(named)) == ("network", network.id, 5)
    assert " and more. " in refused.value.message


@pytest.mark.parametrize("what", ["mac", "ip"])
async def test_addresses_taken_without_a_port_keep_a_network(desk: Desk, what: str) -> None:
    """What /macs and /ips gave must be given back first."""
    network = await desk.create("network")
    subnet = await desk.create("subnet", network_id=network.id, ip_version=4, cidr="10.0.0.0/24")
    said = {"network_id": network.id} if what == "mac" else {"subnet_id": subnet.id}
    taken = await desk.create(what, **said)

    with pytest.raises(InUse) as refused:
        await desk.delete(network)

    assert (taken.mac_address if what == "mac" else taken.ip_address) in refused.value.message
    await desk.delete(taken)
    await desk.delete(network)
    assert await desk.store.reader.list(Network) == []


async def test_subnets_are_shown_with_their_network(desk: Desk) -> None:
    """The computed `subnets` holds each network's own, oldest first."""
    first, second, third = await desk.create_many("network", [{}, {}, {}])
    older = await desk.create("subnet", network_id=first.id, ip_version=4, cidr="10.0.0.0/24")
    desk.clock.advance(1)
    newer = await desk.create("subnet", network_id=first.id, ip_version=4, cidr="10.0.1.0/24")
    other = await desk.create("subnet", network_id=second.id, ip_version=4, cidr="10.0.0.0/24")

    shown = await desk.computed("network", "subnets", [first, second, third])

    assert shown == {first.id: [older.id, newer.id], second.id: [other.id], third.id: []}


async def test_another_projects_network_is_not_there(desk: Desk) -> None:
    """Who is not an administrator cannot build on a network of another project, nor learn that it exists."""
    network = await desk.create("network", project_id=OTHER_PROJECT)
    member = desk.as_caller(MEMBER)

    for resource, said in (
        ("subnet", {"ip_version": 4, "cidr": "10.0.0.0/24"}),
        ("port", {}),
        ("mac", {}),
    ):
        with pytest.raises(NotFound, match=network.id):
            await member.create(resource, network_id=network.id, **said)
