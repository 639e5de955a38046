"""The Port Manager: creating, changing, deleting ports."""

from typing import Any

import pytest

from alcor.managers.mac.allocation import space_of as mac_space
from alcor.managers.private_ip.allocation import space_of as address_space
from alcor.model.errors import InUse, NotFound, Problem
from alcor.model.network import Network
from alcor.model.port import Port
from alcor.model.security_group import SecurityGroup
from alcor.model.subnet import Subnet
from alcor.store.interface import Condition, Query
from tests.support.managers import OTHER_PROJECT, PROJECT, Desk


@pytest.fixture
async def network(desk: Desk) -> Network:
    found: Network = await desk.create("network")
    return found


@pytest.fixture
async def subnet(desk: Desk, network: Network) -> Subnet:
    found: Subnet = await desk.create("subnet", network_id=network.id, ip_version=4, cidr="10.0.0.0/24")
    return found


async def a_host(desk: Desk, name: str = "host-1", vtep: str = "192.0.2.1") -> Any:
    return await desk.create("host", name=name, vtep_addresses=[vtep])


async def a_port(desk: Desk, network: Network, **said: Any) -> Port:
    found: Port = await desk.create("port", network_id=network.id, **said)
    return found


async def test_a_port_takes_all_it_needs(desk: Desk, network: Network, subnet: Subnet) -> None:
    """A MAC address, an address, its project's default group: each claimed in the same transaction."""
    port = await a_port(desk, network, name="red-1", device_id="vm-1", device_owner="compute:nova")

    assert (port.name, port.project_id, port.device_id, port.device_owner) == (
        "red-1",
        PROJECT,
        "vm-1",
        "compute:nova",
    )
    [fixed] = port.fixed_ips
    assert (fixed.subnet_id, fixed.ip_address) == (subnet.id, "10.0.0.2")
    assert await desk.owners(mac_space(network.id), [port.mac_address]) == {port.mac_address: port.id}
    assert await desk.owners(address_space(subnet.id), ["10.0.0.2"]) == {"10.0.0.2": port.id}
    assert (port.binding_vif_type, port.binding_generation, port.admin_state_up) == ("unbound", 0, True)


async def test_ports_of_one_project_share_its_default_group(desk: Desk, network: Network) -> None:
    """The group is made with the first port; other projects have their own; network services have none."""
    ports = await desk.create_many("port", [{"network_id": network.id}] * 2)
    later = await a_port(desk, network)
    other = await a_port(desk, network, project_id=OTHER_PROJECT)
    service = await a_port(desk, network, device_owner="network:dhcp")

    groups = {group.id: group for group in await desk.store.reader.list(SecurityGroup)}
    assert {group.project_id for group in groups.values()} == {PROJECT, OTHER_PROJECT}
    assert {group.name for group in groups.values()} == {"default"}
    [mine] = ports[0].security_groups
    assert ports[1].security_groups == later.security_groups == (mine,)
    assert groups[mine].project_id == PROJECT
    [theirs] = other.security_groups or ()
    assert groups[theirs].project_id == OTHER_PROJECT
    assert service.security_groups == ()


async def test_port_security_follows_the_network_unless_said(desk: Desk) -> None:
    """The network's setting is the default of its ports, not their master."""
    open_network = await desk.create("network", port_security_enabled=False)

    ports = await desk.create_many(
        "port",
        [{"network_id": open_network.id}, {"network_id": open_network.id, "port_security_enabled": True}],
    )

    assert [port.port_security_enabled for port in ports] == [False, True]


async def test_an_unknown_network_is_named(desk: Desk) -> None:
    """A port cannot be on what is not there."""
    missing = "11111111-1111-4111-8111-111111111111"
    with pytest.raises(NotFound, match=missing) as refused:
        await desk.create("port", network_id=missing)

    assert refused.value.kind == "network"


async def test_a_bulk_is_all_or_nothing(desk: Desk, network: Network, subnet: Subnet) -> None:
    """One port that cannot be made takes the bulk with it."""
    before = desk.dump()
    with pytest.raises(InUse):
        await desk.create_many(
            "port",
            [
                {"network_id": network.id},
                *[{"network_id": network.id, "mac_address": "52:54:00:00:00:01"}] * 2,
            ],
        )

    assert desk.dump() == before


async def test_what_is_asked_for_is_not_given_away_in_the_same_bulk(
    desk: Desk, network: Network, subnet: Subnet
) -> None:
    """Automatic choices of a bulk come after its explicit ones, whatever their order."""
    explicit = [{"subnet_id": subnet.id, "ip_address": "10.0.0.2"}]

    ports = await desk.create_many(
        "port", [{"network_id": network.id}, {"network_id": network.id, "fixed_ips": explicit}]
    )

    assert [port.fixed_ips[0].ip_address for port in ports] == ["10.0.0.3", "10.0.0.2"]


async def test_a_bulk_of_ports_shares_nothing_it_must_not(
    desk: Desk, network: Network, subnet: Subnet
) -> None:
    """A hundred ports of one request have a hundred MAC addresses and a hundred addresses."""
    ports = await desk.create_many("port", [{"network_id": network.id} for _ in range(100)])

    assert len({port.id for port in ports}) == 100
    assert len({port.mac_address for port in ports}) == 100
    assert {port.fixed_ips[0].ip_address for port in ports} == {f"10.0.0.{n}" for n in range(2, 102)}


async def test_a_duplicate_mac_address_is_refused(desk: Desk, network: Network) -> None:
    """On the same network only."""
    port = await a_port(desk, network, mac_address="52:54:00:00:00:01")
    with pytest.raises(InUse) as refused:
        await a_port(desk, network, mac_address="52:54:00:00:00:01")

    assert refused.value.problem is Problem.MAC_TAKEN
    other = await a_port(desk, await desk.create("network"), mac_address="52:54:00:00:00:01")
    assert other.mac_address == port.mac_address


async def test_a_mac_address_can_change_while_unbound(desk: Desk, network: Network) -> None:
    """The new one is taken, the old one given back."""
    port = await a_port(desk, network, mac_address="52:54:00:00:00:01")

    changed = await desk.update(port, mac_address="52:54:00:00:00:02")

    assert changed.mac_address == "52:54:00:00:00:02"
    keys = ["52:54:00:00:00:01", "52:54:00:00:00:02"]
    assert await desk.owners(mac_space(network.id), keys) == {keys[1]: port.id}
    assert (await desk.update(port, mac_address="52:54:00:00:00:02")).revision_number == 1


async def test_a_mac_address_another_port_has_is_refused_on_update(desk: Desk, network: Network) -> None:
    """Nothing of the update is kept."""
    one, two = await desk.create_many("port", [{"network_id": network.id}] * 2)
    before = desk.dump()

    with pytest.raises(InUse, match=one.mac_address):
        await desk.update(two, mac_address=one.mac_address, name="renamed")

    assert desk.dump() == before


async def test_a_bound_port_keeps_its_mac_address(desk: Desk, network: Network) -> None:
    """The guest on the host knows the old one; a port whose binding failed may change."""
    await a_host(desk)
    bound = await a_port(desk, network, binding_host_id="host-1")
    failed = await a_port(desk, network, binding_host_id="nowhere")

    with pytest.raises(InUse, match="bound to host host-1"):
        await desk.update(bound, mac_address="52:54:00:00:00:02")
    assert (await desk.update(failed, mac_address="52:54:00:00:00:02")).mac_address == "52:54:00:00:00:02"


@pytest.mark.parametrize(
    ("host_id", "vif_type"),
    [("", "unbound"), (None, "unbound"), ("host-1", "ovs"), ("host-9", "binding_failed")],
)
async def test_binding_by_host_name(desk: Desk, network: Network, host_id: str | None, vif_type: str) -> None:
    """No host: unbound; a host: ovs; a name that is no host: binding_failed, and the port exists all the same."""
    await a_host(desk)

    port = await a_port(desk, network, binding_host_id=host_id)

    assert (port.binding_vif_type, port.binding_host_id) == (vif_type, host_id or "")


async def test_the_binding_generation_counts_what_makes_observations_old(
    desk: Desk, network: Network
) -> None:
    """Host and administrative state count; names, addresses and saying the same again do not."""
    await a_host(desk)
    port = await a_port(desk, network)
    steps: list[dict[str, Any]] = [
        {"binding_host_id": "host-1"},
        {"binding_host_id": "host-1"},
        {"name": "renamed"},
        {"admin_state_up": False},
        {"admin_state_up": False},
        {"admin_state_up": True},
        {"binding_host_id": None},
        {"binding_host_id": ""},
        {"binding_host_id": "host-1", "admin_state_up": False},
    ]

    generations = [(await desk.update(port, **said)).binding_generation for said in steps]

    assert generations == [1, 1, 1, 2, 2, 3, 4, 4, 5]


async def test_a_failed_binding_is_tried_again_when_it_is_said_again(desk: Desk, network: Network) -> None:
    """A host that joins later changes nothing by itself; the same host_id again binds, as a new binding."""
    port = await a_port(desk, network, binding_host_id="host-1")
    await a_host(desk)
    stored = await desk.store.reader.find(Port, port.id)
    assert stored is not None
    assert stored.binding_vif_type == "binding_failed"

    again = await desk.update(port, binding_host_id="host-1")

    assert (again.binding_vif_type, again.binding_generation) == ("ovs", 1)


async def test_unbinding_as_the_compute_service_does(desk: Desk, network: Network) -> None:
    """Nova's PUT when it lets go of a port: null host, empty device and profile."""
    await a_host(desk)
    port = await a_port(
        desk, network, binding_host_id="host-1", device_id="vm", binding_profile={"key": "value"}
    )

    free = await desk.update(port, binding_host_id=None, device_id="", device_owner="", binding_profile={})

    assert (free.binding_host_id, free.binding_vif_type, free.device_id) == ("", "unbound", "")
    assert free.binding_profile == {}


async def test_deleting_a_port_gives_everything_back(desk: Desk, network: Network, subnet: Subnet) -> None:
    """MAC and address are free and rest; the row is gone."""
    port = await a_port(desk, network)

    await desk.delete(port)

    assert await desk.store.reader.find(Port, port.id) is None
    assert await desk.owners(mac_space(network.id), [port.mac_address]) == {}
    assert await desk.owners(address_space(subnet.id), ["10.0.0.2"]) == {}
    assert await desk.resting(mac_space(network.id), [port.mac_address]) == {port.mac_address}
    assert await desk.resting(address_space(subnet.id), ["10.0.0.2"]) == {"10.0.0.2"}
    assert (await a_port(desk, network)).fixed_ips[0].ip_address == "10.0.0.3"


async def test_a_port_is_found_by_its_address(desk: Desk, network: Network, subnet: Subnet) -> None:
    """What is stored answers the filter clients use."""
    ports = await desk.create_many("port", [{"network_id": network.id}] * 3)

    found = await desk.store.reader.list(
        Port, Query(where=(Condition("fixed_ips.ip_address", ("10.0.0.3",)),))
    )

    assert found == [next(port for port in ports if port.fixed_ips[0].ip_address == "10.0.0.3")]
