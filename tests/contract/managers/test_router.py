"""The Router Manager: routers, their gateways and extra routes."""

from typing import Any

import pytest

from alcor.model.errors import Conflict, InUse, InvalidInput, NotFound, Problem
from alcor.model.network import Network
from alcor.model.port import Port
from alcor.model.router import ROUTER_GATEWAY, ROUTER_INTERFACE, Route, Router
from alcor.model.subnet import Subnet
from alcor.store.interface import Condition, Query
from tests.support.managers import MEMBER, STRANGER, Desk


async def a_network(desk: Desk, cidr: str, **said: Any) -> tuple[Network, Subnet]:
    """A network with one subnet."""
    network = await desk.create("network", **said)
    version = 6 if ":" in cidr else 4
    subnet = await desk.create("subnet", network_id=network.id, ip_version=version, cidr=cidr)
    return network, subnet


@pytest.fixture
async def outside(desk: Desk) -> tuple[Network, Subnet]:
    """An external network with one IPv4 subnet."""
    return await a_network(desk, "203.0.113.0/24", router_external=True)


async def ports_of(desk: Desk, router: Router) -> list[Port]:
    return await desk.store.reader.list(Port, Query((Condition("device_id", (router.id,)),)))


async def gateway_of(desk: Desk, router: Router) -> Any:
    return (await desk.computed("router", "external_gateway_info", [router]))[router.id]


async def test_a_router_starts_with_nothing(desk: Desk) -> None:
    """Without a word it is up, has no gateway, no routes, and no flag is set."""
    router = await desk.create("router")

    assert (router.admin_state_up, router.routes, router.gateway_ports) == (True, (), ())
    assert (router.distributed, router.ha, router.enable_ndp_proxy) == (False, False, False)
    assert await gateway_of(desk, router) is None
    assert (await desk.computed("router", "external_gateways", [router]))[router.id] == []


async def test_a_gateway_is_a_port_of_no_project(desk: Desk, outside: tuple[Network, Subnet]) -> None:
    """It is on the external network, has an address of it, belongs to nobody and is in no group."""
    network, subnet = outside
    router = await desk.as_caller(MEMBER).create("router", external_gateway_info={"network_id": network.id})

    [port] = await ports_of(desk, router)
    assert (port.device_owner, port.project_id, port.network_id) == (ROUTER_GATEWAY, "", network.id)
    assert port.security_groups == ()
    assert await gateway_of(desk, router) == {
        "network_id": network.id,
        "external_fixed_ips": [{"subnet_id": subnet.id, "ip_address": "203.0.113.2"}],
        "enable_snat": True,
    }


async def test_a_gateway_needs_an_external_network(desk: Desk) -> None:
    """Another network is refused as a bad request, one that is not there as not found."""
    inner, _ = await a_network(desk, "10.0.0.0/24")

    with pytest.raises(InvalidInput, match="is not an external network") as refused:
        await desk.create("router", external_gateway_info={"network_id": inner.id})
    assert refused.value.problem is Problem.BAD_REQUEST
    router = await desk.create("router")
    with pytest.raises(NotFound, match=r"Network .* could not be found"):
        await desk.update(router, external_gateway_info={"network_id": router.id})


async def test_a_gateway_does_not_take_the_networks_own_gateway_address(
    desk: Desk, outside: tuple[Network, Subnet]
) -> None:
    """The address of the next router outside is not this one's."""
    said = {"network_id": outside[0].id, "external_fixed_ips": [{"ip_address": "203.0.113.1"}]}
    with pytest.raises(InvalidInput, match="is the same as the gateway IP"):
        await desk.create("router", external_gateway_info=said)


async def test_gateway_addresses_change_and_stay(desk: Desk, outside: tuple[Network, Subnet]) -> None:
    """Named addresses replace those the port has; the same network without addresses leaves the port alone."""
    network, subnet = outside
    router = await desk.create("router", external_gateway_info={"network_id": network.id})
    [before] = await ports_of(desk, router)

    same = await desk.update(router, external_gateway_info={"network_id": network.id, "enable_snat": False})
    assert [port.id for port in await ports_of(desk, router)] == [before.id]
    assert (await gateway_of(desk, same))["enable_snat"] is False

    wanted = [{"subnet_id": subnet.id, "ip_address": "203.0.113.77"}]
    moved = await desk.update(
        router, external_gateway_info={"network_id": network.id, "external_fixed_ips": wanted}
    )
    shown = await gateway_of(desk, moved)
    assert (shown["external_fixed_ips"], shown["enable_snat"]) == (wanted, True)


async def test_a_taken_gateway_address_is_refused(desk: Desk, outside: tuple[Network, Subnet]) -> None:
    """An address another port has leaves nothing of the router behind."""
    port = await desk.create("port", network_id=outside[0].id)
    said = {"network_id": outside[0].id, "external_fixed_ips": [{"ip_address": port.fixed_ips[0].ip_address}]}

    with pytest.raises(InUse) as refused:
        await desk.create("router", external_gateway_info=said)
    assert refused.value.problem is Problem.ADDRESS_TAKEN
    assert await desk.store.reader.list(Router) == []


async def test_a_gateway_is_unset_and_moved(desk: Desk, outside: tuple[Network, Subnet]) -> None:
    """`{}` and null take it away with its port; another network replaces the port."""
    other, _ = await a_network(desk, "198.51.100.0/24", router_external=True)
    router = await desk.create("router", external_gateway_info={"network_id": outside[0].id})

    moved = await desk.update(router, external_gateway_info={"network_id": other.id})
    assert [port.network_id for port in await ports_of(desk, router)] == [other.id]
    assert moved.gateway_ports != router.gateway_ports

    bare = await desk.update(router, external_gateway_info={})
    assert (bare.gateway_ports, await ports_of(desk, router)) == ((), [])


async def test_a_gateway_must_not_overlap_an_interface(desk: Desk, outside: tuple[Network, Subnet]) -> None:
    """The router could not tell which side an address is on."""
    _, inner = await a_network(desk, "203.0.113.0/25")
    router = await desk.create("router")
    await desk.act(router, "add_router_interface", subnet_id=inner.id)

    with pytest.raises(InvalidInput, match=r"Bad router request: Cidr 203\.0\.113\.0/24 .* overlaps"):
        await desk.update(router, external_gateway_info={"network_id": outside[0].id})


async def test_routes_need_a_next_hop_on_a_subnet(desk: Desk) -> None:
    """A next hop is on a subnet of the router's and not the router itself."""
    _, subnet = await a_network(desk, "10.0.0.0/24")
    router = await desk.create("router")
    await desk.act(router, "add_router_interface", subnet_id=subnet.id)

    routed = await desk.update(router, routes=[{"destination": "10.9.0.0/16", "nexthop": "10.0.0.9"}])
    assert routed.routes == (Route("10.9.0.0/16", "10.0.0.9"),)
    for hop, reason in (("192.0.2.1", "is not connected"), ("10.0.0.1", "is used by router")):
        with pytest.raises(InvalidInput, match=reason) as refused:
            await desk.update(router, routes=[{"destination": "10.9.0.0/16", "nexthop": hop}])
        assert refused.value.problem is Problem.INVALID_ROUTES
    assert (await desk.update(router, routes=None)).routes == ()


async def test_a_router_has_at_most_thirty_routes(desk: Desk) -> None:
    """One more is refused with the reference's type."""
    _, subnet = await a_network(desk, "10.0.0.0/24")
    router = await desk.create("router")
    await desk.act(router, "add_router_interface", subnet_id=subnet.id)
    routes = [{"destination": f"172.16.{n}.0/24", "nexthop": "10.0.0.9"} for n in range(31)]

    await desk.update(router, routes=routes[:30])
    with pytest.raises(InvalidInput) as refused:
        await desk.update(router, routes=routes)
    assert refused.value.problem is Problem.ROUTES_EXHAUSTED


async def test_single_routes_come_and_go(desk: Desk) -> None:
    """Adding what is there and removing what is not changes nothing; the answer is the whole router."""
    _, subnet = await a_network(desk, "10.0.0.0/24")
    router = await desk.create("router")
    await desk.act(router, "add_router_interface", subnet_id=subnet.id)
    one = {"destination": "10.8.0.0/16", "nexthop": "10.0.0.8"}
    two = {"destination": "10.9.0.0/16", "nexthop": "10.0.0.9"}

    await desk.act(router, "add_extraroutes", router={"routes": [one, two]})
    again = await desk.act(router, "add_extraroutes", router={"routes": [two]})
    assert again["router"].routes == (Route(**one), Route(**two))
    assert again["router"].id == router.id
    await desk.act(router, "remove_extraroutes", router={"routes": [one]})
    left = await desk.act(router, "remove_extraroutes", router={"routes": [one]})
    assert left["router"].routes == (Route(**two),)
    with pytest.raises(InvalidInput, match="the body must be"):
        await desk.act(router, "add_extraroutes", routes=[one])
    with pytest.raises(InvalidInput, match="Invalid input for routes"):
        await desk.act(router, "add_extraroutes", router={"routes": [{"destination": "10.8.0.0/16"}]})


async def test_a_route_keeps_the_gateway_it_needs(desk: Desk, outside: tuple[Network, Subnet]) -> None:
    """A gateway whose subnet has a next hop does not go."""
    router = await desk.create("router", external_gateway_info={"network_id": outside[0].id})
    await desk.update(router, routes=[{"destination": "10.9.0.0/16", "nexthop": "203.0.113.200"}])

    with pytest.raises(InvalidInput) as refused:
        await desk.update(router, external_gateway_info=None)
    assert refused.value.problem is Problem.INVALID_ROUTES


async def test_a_router_with_interfaces_stays(desk: Desk, outside: tuple[Network, Subnet]) -> None:
    """It goes once they are gone, and its gateway with it."""
    _, subnet = await a_network(desk, "10.0.0.0/24")
    router = await desk.create("router", external_gateway_info={"network_id": outside[0].id})
    added = await desk.act(router, "add_router_interface", subnet_id=subnet.id)

    with pytest.raises(InUse, match=added["port_id"]) as refused:
        await desk.delete(router)
    assert (refused.value.kind, refused.value.problem) == ("router", Problem.GENERIC)
    await desk.act(router, "remove_router_interface", subnet_id=subnet.id)
    await desk.delete(router)
    assert await desk.store.reader.list(Port) == []


@pytest.mark.parametrize("flag", ["distributed", "ha"])
async def test_flags_of_a_router_change_only_while_it_is_down(desk: Desk, flag: str) -> None:
    """`distributed` and `ha` are refused for a router that is up; null says nothing."""
    router = await desk.create("router", **{flag: True})
    assert getattr(router, flag) is True

    with pytest.raises(InvalidInput, match="Bad router request: Cannot change"):
        await desk.update(router, **{flag: False})
    assert getattr(await desk.update(router, **{flag: None}), flag) is True
    await desk.update(router, admin_state_up=False)
    assert getattr(await desk.update(router, **{flag: False}), flag) is False


async def gateways_of(desk: Desk, router: Router) -> Any:
    """The gateways a router shows."""
    return (await desk.computed("router", "external_gateways", [router]))[router.id]


async def test_several_gateways_on_one_network(desk: Desk, outside: tuple[Network, Subnet]) -> None:
    """Gateways are added, kept, moved and removed as a list; the first is the one old clients see."""
    network, _ = outside
    router = await desk.create("router", external_gateway_info={"network_id": network.id})
    second = {"network_id": network.id, "external_fixed_ips": [{"ip_address": "203.0.113.50"}]}

    added = await desk.act(router, "add_external_gateways", router={"external_gateways": [second]})
    shown = await gateways_of(desk, added["router"])
    assert [gateway["external_fixed_ips"][0]["ip_address"] for gateway in shown] == [
        "203.0.113.2",
        "203.0.113.50",
    ]
    first = await desk.computed("router", "external_gateway_info", [added["router"]])
    assert first[router.id] == shown[0]

    turned = await desk.act(
        router,
        "update_external_gateways",
        router={
            "external_gateways": [second, {**second, "external_fixed_ips": [{"ip_address": "203.0.113.60"}]}]
        },
    )
    shown = await gateways_of(desk, turned["router"])
    assert [gateway["external_fixed_ips"][0]["ip_address"] for gateway in shown] == [
        "203.0.113.50",
        "203.0.113.60",
    ]

    left = await desk.act(router, "remove_external_gateways", router={"external_gateways": [second]})
    [only] = await gateways_of(desk, left["router"])
    assert only["external_fixed_ips"][0]["ip_address"] == "203.0.113.60"
    assert len(await ports_of(desk, router)) == 1


async def test_gateways_that_are_not_there_are_not_matched(
    desk: Desk, outside: tuple[Network, Subnet]
) -> None:
    """Removing needs a gateway that is meant without doubt."""
    entry = {"network_id": outside[0].id}
    router = await desk.create("router")
    body = {"external_gateways": [entry]}

    with pytest.raises(Conflict) as refused:
        await desk.act(router, "remove_external_gateways", router=body)
    assert refused.value.problem is Problem.GATEWAYS_NOT_REMOVED
    await desk.act(router, "add_external_gateways", router={"external_gateways": [entry, entry]})
    with pytest.raises(Conflict, match="multiple gateway ports") as refused:
        await desk.act(router, "remove_external_gateways", router=body)
    assert refused.value.problem is Problem.GATEWAYS_NOT_MATCHED
    unknown = {**entry, "external_fixed_ips": [{"ip_address": "203.0.113.250"}]}
    with pytest.raises(Conflict, match="with those fixed IPs"):
        await desk.act(router, "remove_external_gateways", router={"external_gateways": [unknown]})
    empty = await desk.act(router, "update_external_gateways", router={"external_gateways": []})
    assert (await gateways_of(desk, empty["router"]), await ports_of(desk, router)) == ([], [])


async def test_a_stranger_does_not_see_what_it_names(desk: Desk) -> None:
    """Subnets and ports of other projects are not found."""
    network, subnet = await a_network(desk, "10.0.0.0/24")
    port = await desk.create("port", network_id=network.id)
    stranger = desk.as_caller(STRANGER)
    router = await stranger.create("router")

    with pytest.raises(NotFound, match="Subnet"):
        await stranger.act(router, "add_router_interface", subnet_id=subnet.id)
    with pytest.raises(NotFound, match="Port"):
        await stranger.act(router, "add_router_interface", port_id=port.id)
    assert all(port.device_owner != ROUTER_INTERFACE for port in await desk.store.reader.list(Port))
