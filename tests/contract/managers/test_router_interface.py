"""Interfaces of routers: by subnet and by port, refused and removed."""

from typing import Any

import pytest

from alcor.managers.private_ip.allocation import space_of
from alcor.model.errors import InUse, InvalidInput, NotFound, Problem
from alcor.model.network import Network
from alcor.model.port import Port
from alcor.model.router import ROUTER_INTERFACE, Router
from alcor.model.subnet import Subnet
from tests.support.managers import MEMBER, OTHER_PROJECT, PROJECT, STRANGER, Desk


async def a_subnet(
    desk: Desk, cidr: str = "10.0.0.0/24", network: Network | None = None, **said: Any
) -> Subnet:
    """A subnet, of a network of its own if none is given."""
    network = network or await desk.create("network")
    version = 6 if ":" in cidr else 4
    found: Subnet = await desk.create("subnet", network_id=network.id, ip_version=version, cidr=cidr, **said)
    return found


async def add(desk: Desk, router: Router, **body: Any) -> dict[str, Any]:
    found: dict[str, Any] = await desk.act(router, "add_router_interface", **body)
    return found


async def remove(desk: Desk, router: Router, **body: Any) -> dict[str, Any]:
    found: dict[str, Any] = await desk.act(router, "remove_router_interface", **body)
    return found


async def port_named(desk: Desk, id: str) -> Port:
    found = await desk.store.reader.find(Port, id)
    assert found is not None
    return found


async def test_a_subnet_is_attached_by_its_gateway_address(desk: Desk) -> None:
    """The port has that address, belongs to the router's project and is in no group; the router counts the change."""
    subnet = await a_subnet(desk)
    router = await desk.create("router", project_id=OTHER_PROJECT)

    told = await add(desk, router, subnet_id=subnet.id)
    port = await port_named(desk, told["port_id"])
    assert told == {
        "id": router.id,
        "tenant_id": OTHER_PROJECT,
        "project_id": OTHER_PROJECT,
        "port_id": port.id,
        "network_id": subnet.network_id,
        "subnet_id": subnet.id,
        "subnet_ids": [subnet.id],
    }
    assert (port.device_owner, port.device_id, port.project_id) == (
        ROUTER_INTERFACE,
        router.id,
        OTHER_PROJECT,
    )
    assert [one.ip_address for one in port.fixed_ips] == [subnet.gateway_ip]
    assert port.security_groups == ()
    after = await desk.store.reader.find(Router, router.id)
    assert after is not None
    assert after.revision_number > router.revision_number


async def test_a_port_is_attached_with_what_it_has(desk: Desk) -> None:
    """It gets the router as its device and leaves its groups; removing the interface deletes it."""
    subnet = await a_subnet(desk)
    router = await desk.create("router")
    port = await desk.create("port", network_id=subnet.network_id)
    assert port.security_groups

    told = await add(desk, router, port_id=port.id)
    assert (told["port_id"], told["subnet_ids"]) == (port.id, [subnet.id])
    attached = await port_named(desk, port.id)
    assert (attached.device_id, attached.device_owner, attached.security_groups) == (
        router.id,
        ROUTER_INTERFACE,
        (),
    )
    assert attached.fixed_ips == port.fixed_ips

    gone = await remove(desk, router, port_id=port.id)
    assert gone["subnet_id"] == subnet.id
    assert await desk.store.reader.find(Port, port.id) is None


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({}, "Either subnet_id or port_id must be specified"),
        ({"subnet_id": "x"}, "is not a valid UUID"),
        ({"net_id": "x"}, "Unrecognized attribute"),
        ({"port_id": 5}, "is not a valid UUID"),
    ],
)
async def test_a_body_names_a_subnet_or_a_port(desk: Desk, body: dict[str, Any], reason: str) -> None:
    """Anything else is a bad request, on adding and on removing."""
    router = await desk.create("router")
    for act in (add, remove):
        with pytest.raises(InvalidInput, match=reason) as refused:
            await act(desk, router, **body)
        assert refused.value.problem is Problem.BAD_REQUEST


async def test_adding_names_only_one(desk: Desk) -> None:
    """A port and a subnet together are refused."""
    subnet = await a_subnet(desk)
    port = await desk.create("port", network_id=subnet.network_id)
    router = await desk.create("router")
    with pytest.raises(InvalidInput, match="Cannot specify both subnet-id and port-id"):
        await add(desk, router, subnet_id=subnet.id, port_id=port.id)


async def test_a_subnet_needs_a_gateway_address(desk: Desk) -> None:
    """Without one there is no address for the interface."""
    subnet = await a_subnet(desk, gateway_ip=None)
    router = await desk.create("router")
    with pytest.raises(InvalidInput, match="Subnet for router interface must have a gateway IP"):
        await add(desk, router, subnet_id=subnet.id)


async def test_subnets_of_a_router_do_not_overlap(desk: Desk) -> None:
    """The same subnet twice, or one that has addresses in common with it, is refused."""
    subnet, other = await a_subnet(desk), await a_subnet(desk, "10.0.0.128/25")
    router = await desk.create("router")
    await add(desk, router, subnet_id=subnet.id)

    with pytest.raises(InvalidInput, match=f"Router already has a port on subnet {subnet.id}"):
        await add(desk, router, subnet_id=subnet.id)
    with pytest.raises(InvalidInput, match=r"Cidr 10\.0\.0\.128/25 .* overlaps with cidr 10\.0\.0\.0/24"):
        await add(desk, router, subnet_id=other.id)


async def test_a_gateway_address_that_a_port_has_is_not_taken(desk: Desk) -> None:
    """The second router of a subnet comes by a port of its own."""
    subnet = await a_subnet(desk)
    first, second = await desk.create("router"), await desk.create("router")
    await add(desk, first, subnet_id=subnet.id)
    with pytest.raises(InUse) as refused:
        await add(desk, second, subnet_id=subnet.id)
    assert refused.value.problem is Problem.ADDRESS_TAKEN

    port = await desk.create("port", network_id=subnet.network_id)
    assert (await add(desk, second, port_id=port.id))["port_id"] == port.id


async def test_a_port_must_be_free_and_have_one_ipv4_subnet(desk: Desk) -> None:
    """Used ports, ports without addresses and ports on two IPv4 subnets are refused."""
    network = await desk.create("network")
    for cidr in ("10.0.0.0/24", "10.0.1.0/24"):
        await a_subnet(desk, cidr, network)
    used = await desk.create("port", network_id=network.id, device_id="vm-1")
    bare = await desk.create("port", network_id=network.id, fixed_ips=[])
    both = [{"ip_address": "10.0.0.9"}, {"ip_address": "10.0.1.9"}]
    wide = await desk.create("port", network_id=network.id, fixed_ips=both)
    router = await desk.create("router")

    with pytest.raises(InUse, match="vm-1") as refused:
        await add(desk, router, port_id=used.id)
    assert (refused.value.kind, refused.value.problem) == ("port", Problem.GENERIC)
    with pytest.raises(InvalidInput, match="at least one fixed IP"):
        await add(desk, router, port_id=bare.id)
    with pytest.raises(InvalidInput, match="multiple IPv4 subnets"):
        await add(desk, router, port_id=wide.id)


async def test_another_projects_subnet_needs_the_network_shared(desk: Desk) -> None:
    """One that only may use the network as external is told so; the owner of a shared one's guest may attach it."""
    outside = await desk.create("network", router_external=True)
    shared = await desk.create("network", shared=True)
    stranger = desk.as_caller(STRANGER)
    router = await stranger.create("router")

    with pytest.raises(InvalidInput, match="is not owned by project making the request"):
        await add(stranger, router, subnet_id=(await a_subnet(desk, "203.0.113.0/24", outside)).id)
    told = await add(stranger, router, subnet_id=(await a_subnet(desk, network=shared)).id)
    assert told["project_id"] == OTHER_PROJECT


async def test_a_guests_port_has_an_address_of_the_pools(desk: Desk) -> None:
    """Addresses outside of the pools are the subnet's owner's to give."""
    shared = await desk.create("network", shared=True)
    await a_subnet(desk, network=shared, allocation_pools=[{"start": "10.0.0.100", "end": "10.0.0.200"}])
    aside = await desk.create(
        "port", network_id=shared.id, project_id=OTHER_PROJECT, fixed_ips=[{"ip_address": "10.0.0.50"}]
    )
    stranger = desk.as_caller(STRANGER)
    router = await stranger.create("router")
    with pytest.raises(InvalidInput, match="out of the allocation pool"):
        await add(stranger, router, port_id=aside.id)


async def test_ipv6_subnets_of_a_network_share_one_port(desk: Desk) -> None:
    """Also automatic ones; removing one leaves the port with the other, and gives the address back."""
    network = await desk.create("network")
    one = await a_subnet(desk, "2001:db8:1::/64", network)
    two = await a_subnet(desk, "2001:db8:2::/64", network, ipv6_ra_mode="slaac", ipv6_address_mode="slaac")
    router = await desk.create("router")

    first = await add(desk, router, subnet_id=one.id)
    second = await add(desk, router, subnet_id=two.id)
    assert first["port_id"] == second["port_id"]
    port = await port_named(desk, first["port_id"])
    assert {ip.ip_address for ip in port.fixed_ips} == {one.gateway_ip, two.gateway_ip}

    told = await remove(desk, router, subnet_id=two.id)
    assert (told["port_id"], told["subnet_ids"]) == (port.id, [two.id])
    assert [ip.subnet_id for ip in (await port_named(desk, port.id)).fixed_ips] == [one.id]
    assert await desk.owners(space_of(two.id), [str(two.gateway_ip)]) == {}


async def test_an_automatic_ipv6_subnet_gets_its_gateway_address(desk: Desk) -> None:
    """A router chooses its address where other ports form theirs."""
    subnet = await a_subnet(desk, "2001:db8::/64", ipv6_ra_mode="slaac", ipv6_address_mode="slaac")
    router = await desk.create("router")
    told = await add(desk, router, subnet_id=subnet.id)
    [fixed] = (await port_named(desk, told["port_id"])).fixed_ips
    assert fixed.ip_address == subnet.gateway_ip


async def test_two_ipv6_ports_of_a_network_do_not_join_one_router(desk: Desk) -> None:
    """Two would advertise the router twice on the link."""
    network = await desk.create("network")
    one = await a_subnet(desk, "2001:db8:1::/64", network)
    await a_subnet(desk, "2001:db8:2::/64", network)
    router = await desk.create("router")
    await add(desk, router, subnet_id=one.id)
    port = await desk.create("port", network_id=network.id, fixed_ips=[{"ip_address": "2001:db8:2::9"}])
    with pytest.raises(InvalidInput, match="Router already contains IPv6 port"):
        await add(desk, router, port_id=port.id)


async def test_a_subnet_advertised_by_others_is_not_attached(desk: Desk) -> None:
    """Its addresses come from the router advertisements of a router that is not this one."""
    subnet = await a_subnet(desk, "2001:db8::/64", ipv6_address_mode="slaac")
    router = await desk.create("router")
    with pytest.raises(InvalidInput, match="receive RAs from an external router"):
        await add(desk, router, subnet_id=subnet.id)


async def test_removing_what_is_not_attached_is_not_found(desk: Desk) -> None:
    """By port and by subnet, each with the reference's type; a subnet the port is not on does not match."""
    subnet, other = await a_subnet(desk), await a_subnet(desk, "10.0.1.0/24")
    port = await desk.create("port", network_id=subnet.network_id)
    router = await desk.create("router")

    with pytest.raises(NotFound, match=f"Router {router.id} does not have an interface") as missing:
        await remove(desk, router, port_id=port.id)
    assert missing.value.problem is Problem.NO_INTERFACE
    with pytest.raises(NotFound, match=f"has no interface on subnet {subnet.id}") as missing:
        await remove(desk, router, subnet_id=subnet.id)
    assert missing.value.problem is Problem.NO_INTERFACE_ON_SUBNET
    with pytest.raises(NotFound, match="Subnet"):
        await remove(desk, router, subnet_id=port.id)
    added = await add(desk, router, subnet_id=subnet.id)
    with pytest.raises(InvalidInput) as refused:
        await remove(desk, router, port_id=added["port_id"], subnet_id=other.id)
    assert refused.value.problem is Problem.SUBNET_NOT_ON_PORT


async def test_an_interface_a_route_needs_stays(desk: Desk) -> None:
    """Until the route is gone."""
    subnet = await a_subnet(desk)
    router = await desk.create("router")
    added = await add(desk, router, subnet_id=subnet.id)
    await desk.update(router, routes=[{"destination": "10.9.0.0/16", "nexthop": "10.0.0.9"}])
    for body in ({"subnet_id": subnet.id}, {"port_id": added["port_id"]}):
        with pytest.raises(InUse, match=r"10\.9\.0\.0/16") as refused:
            await remove(desk, router, **body)
        assert refused.value.problem is Problem.INTERFACE_IN_USE_BY_ROUTE
    await desk.update(router, routes=[])
    await remove(desk, router, subnet_id=subnet.id)


async def test_an_interface_is_not_deleted_as_a_port(desk: Desk) -> None:
    """It goes by removing the interface."""
    subnet = await a_subnet(desk)
    router = await desk.as_caller(MEMBER).create("router")
    added = await add(desk, router, subnet_id=subnet.id)
    port = await port_named(desk, added["port_id"])
    assert port.project_id == PROJECT
    with pytest.raises(InUse, match="cannot be deleted directly"):
        await desk.delete(port)
