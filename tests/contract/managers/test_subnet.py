"""The Subnet Manager: subnets."""

from typing import Any

import pytest

from alcor.model.errors import InUse, InvalidInput, Problem
from alcor.model.network import Network
from alcor.model.port import FixedIp, Port
from alcor.model.subnet import HostRoute, Pool, Subnet
from tests.support.managers import Desk

SLAAC = {"ip_version": 6, "cidr": "2001:db8::/64", "ipv6_address_mode": "slaac", "ipv6_ra_mode": "slaac"}


@pytest.fixture
async def network(desk: Desk) -> Network:
    found: Network = await desk.create("network")
    return found


async def a_subnet(desk: Desk, network: Network, cidr: str = "10.0.0.0/24", **said: Any) -> Subnet:
    version = 6 if ":" in cidr else 4
    found: Subnet = await desk.create("subnet", network_id=network.id, ip_version=version, cidr=cidr, **said)
    return found


async def test_a_subnet_keeps_what_was_said(desk: Desk, network: Network) -> None:
    """Every attribute a client sets is stored as it was said."""
    subnet = await a_subnet(
        desk,
        network,
        "10.0.0.0/24",
        name="red",
        gateway_ip="10.0.0.254",
        allocation_pools=[{"start": "10.0.0.10", "end": "10.0.0.20"}],
        dns_nameservers=["192.0.2.53"],
        host_routes=[{"destination": "192.0.2.0/24", "nexthop": "10.0.0.9"}],
        enable_dhcp=False,
    )

    assert (subnet.name, subnet.gateway_ip, subnet.enable_dhcp) == ("red", "10.0.0.254", False)
    assert subnet.allocation_pools == (Pool("10.0.0.10", "10.0.0.20"),)
    assert subnet.dns_nameservers == ("192.0.2.53",)
    assert subnet.host_routes == (HostRoute("192.0.2.0/24", "10.0.0.9"),)


async def test_no_gateway_is_not_the_default_gateway(desk: Desk, network: Network) -> None:
    """Null means none: its address is then free for ports."""
    subnet = await a_subnet(desk, network, gateway_ip=None)

    assert subnet.gateway_ip is None
    assert subnet.allocation_pools == (Pool("10.0.0.1", "10.0.0.254"),)


async def test_a_gateway_in_a_given_pool_is_refused(desk: Desk, network: Network) -> None:
    """Also when the gateway is the default one."""
    with pytest.raises(InUse) as refused:
        await a_subnet(desk, network, allocation_pools=[{"start": "10.0.0.1", "end": "10.0.0.9"}])

    assert refused.value.problem is Problem.GATEWAY_IN_POOL


async def test_a_subnet_without_pools_gives_nothing_by_itself(desk: Desk, network: Network) -> None:
    """An empty list of pools is not the default pools."""
    subnet = await a_subnet(desk, network, allocation_pools=[])

    assert subnet.allocation_pools == ()


@pytest.mark.parametrize("other", ["10.0.0.0/24", "10.0.0.0/16", "10.0.0.128/25"])
async def test_subnets_of_a_network_do_not_overlap(desk: Desk, network: Network, other: str) -> None:
    """Equal, wider and narrower prefixes are refused in the reference's words."""
    await a_subnet(desk, network, "10.0.0.0/24")

    with pytest.raises(InvalidInput) as refused:
        await a_subnet(desk, network, other)

    assert refused.value.problem is Problem.SUBNET_OVERLAP
    assert (
        f"Requested subnet with cidr: {other} for network: {network.id} overlaps with another subnet"
        in refused.value.message
    )


async def test_subnets_of_different_networks_may_overlap(desk: Desk, network: Network) -> None:
    """Networks are apart, so their addresses are."""
    await a_subnet(desk, network)

    assert (await a_subnet(desk, await desk.create("network"))).cidr == "10.0.0.0/24"


async def test_subnets_of_one_bulk_do_not_overlap(desk: Desk, network: Network) -> None:
    """A bulk is checked against itself, and nothing of it is kept."""
    one = {"network_id": network.id, "ip_version": 4, "cidr": "10.0.0.0/24"}
    with pytest.raises(InvalidInput):
        await desk.create_many("subnet", [one, one])

    assert await desk.store.reader.list(Subnet) == []


@pytest.mark.parametrize("cidr", ["10.0.0.0/31", "127.0.0.0/24", "224.0.0.0/24"])
async def test_dhcp_narrows_what_is_possible(desk: Desk, network: Network, cidr: str) -> None:
    """Without DHCP such a prefix is possible; enabling it later is refused too."""
    with pytest.raises(InvalidInput):
        await a_subnet(desk, network, cidr)

    subnet = await a_subnet(desk, network, cidr, enable_dhcp=False)

    with pytest.raises(InvalidInput):
        await desk.update(subnet, enable_dhcp=True)


async def test_an_update_changes_what_it_names(desk: Desk, network: Network) -> None:
    """Name servers, routes and name change; pools and their version do not."""
    subnet = await a_subnet(desk, network)

    changed = await desk.update(
        subnet,
        name="blue",
        dns_nameservers=["192.0.2.53"],
        host_routes=[{"destination": "192.0.2.0/24", "nexthop": "10.0.0.9"}],
        enable_dhcp=False,
    )

    assert (changed.name, changed.dns_nameservers, changed.enable_dhcp) == ("blue", ("192.0.2.53",), False)
    assert (changed.allocation_pools, changed.pool_version) == (subnet.allocation_pools, 0)


async def test_changed_pools_and_gateway_are_counted(desk: Desk, network: Network) -> None:
    """Each change of pools or gateway makes a new pool version; saying the same again does not."""
    subnet = await a_subnet(desk, network)
    pools = [{"start": "10.0.0.100", "end": "10.0.0.200"}]

    first = await desk.update(subnet, allocation_pools=pools)
    second = await desk.update(subnet, gateway_ip="10.0.0.254")
    third = await desk.update(subnet, allocation_pools=pools, gateway_ip="10.0.0.254")
    fourth = await desk.update(subnet, gateway_ip=None)

    assert [row.pool_version for row in (first, second, third, fourth)] == [1, 2, 2, 3]
    assert fourth.gateway_ip is None


async def test_a_gateway_cannot_move_into_a_pool(desk: Desk, network: Network) -> None:
    """Neither the gateway into the pools nor the pools over the gateway."""
    subnet = await a_subnet(desk, network)

    with pytest.raises(InUse):
        await desk.update(subnet, gateway_ip="10.0.0.9")
    with pytest.raises(InUse):
        await desk.update(subnet, allocation_pools=[{"start": "10.0.0.1", "end": "10.0.0.9"}])
    with pytest.raises(InvalidInput):
        await desk.update(subnet, gateway_ip="10.0.0.255")


async def test_name_servers_of_the_other_version_are_refused_on_update(desk: Desk, network: Network) -> None:
    """An update is checked as a create is."""
    with pytest.raises(InvalidInput):
        await desk.update(await a_subnet(desk, network), dns_nameservers=["2001:db8::53"])


async def test_ipv6_modes_keep_dhcp_enabled(desk: Desk, network: Network) -> None:
    """Advertisements come from what DHCP enables."""
    subnet = await desk.create("subnet", network_id=network.id, **SLAAC)

    with pytest.raises(InvalidInput, match="Cannot disable enable_dhcp"):
        await desk.update(subnet, enable_dhcp=False)


async def test_ports_keep_a_subnet_and_are_named(desk: Desk, network: Network) -> None:
    """A subnet whose addresses ports have stays; the error names them."""
    subnet = await a_subnet(desk, network)
    port = await desk.create("port", network_id=network.id)

    with pytest.raises(InUse, match=port.id) as refused:
        await desk.delete(subnet)

    assert (refused.value.kind, refused.value.id) == ("subnet", subnet.id)
    await desk.delete(port)
    await desk.delete(subnet)
    assert [kept for kept in desk.dump()["kept_value"] if kept[0] == "address_bitmap"] == []


async def test_addresses_taken_without_a_port_keep_a_subnet(desk: Desk, network: Network) -> None:
    """What /ips gave must be given back first."""
    subnet = await a_subnet(desk, network)
    taken = await desk.create("ip", subnet_id=subnet.id)

    with pytest.raises(InUse, match=taken.ip_address):
        await desk.delete(subnet)


async def test_a_slaac_subnet_gives_every_port_an_address_and_takes_it_along(
    desk: Desk, network: Network
) -> None:
    """Ports that exist get the address they form; router interfaces choose their own. Deleting takes it back."""
    port = await desk.create("port", network_id=network.id, mac_address="06:a1:c0:00:00:09")
    router = await desk.create("port", network_id=network.id, device_owner="network:router_interface")

    subnet = await desk.create("subnet", network_id=network.id, **SLAAC)

    ports = await desk.store.reader.find_many(Port, [port.id, router.id])
    assert ports[port.id].fixed_ips == (FixedIp(subnet.id, "2001:db8::4a1:c0ff:fe00:9"),)
    assert ports[router.id].fixed_ips == ()
    await desk.delete(subnet)
    found = await desk.store.reader.find(Port, port.id)
    assert found is not None
    assert found.fixed_ips == ()
    assert await desk.owners(f"address:{subnet.id}", ["2001:db8::4a1:c0ff:fe00:9"]) == {}
