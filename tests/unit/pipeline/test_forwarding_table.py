"""A router's item to its ways."""

from ipaddress import ip_network

from alcor.goalstate.router_item import (
    InterfaceAddress,
    RouterGateway,
    RouterInterface,
    RouterItem,
    RouterRoute,
)
from alcor.pipeline.forwarding_table import Hop, Way, ways

RED = RouterInterface("i1", "red", "m1", (InterfaceAddress("10.0.1.1", "10.0.1.0/24", "s1"),))
GREEN = RouterInterface("i2", "green", "m2", (InterfaceAddress("10.0.2.1", "10.0.2.0/24", "s2"),))


def a_gateway(n: int, *addresses: InterfaceAddress) -> RouterGateway:
    return RouterGateway(id=f"g{n}", network_id=f"out{n}", mac=f"o{n}", addresses=addresses, snat=True)


OUT1 = a_gateway(1, InterfaceAddress("203.0.113.5", "203.0.113.0/24", "o", "203.0.113.1"))
OUT2 = a_gateway(
    2,
    InterfaceAddress("198.51.100.5", "198.51.100.0/24", "o", "198.51.100.1"),
    InterfaceAddress("2001:db8::5", "2001:db8::/64", "o6", "2001:db8::1"),
)


def table(*routes: RouterRoute, gateways: tuple[RouterGateway, ...] = ()) -> dict[str, tuple[Hop, ...]]:
    """Prefix → hops of a router that joins red and green."""
    router = RouterItem(
        id="r", admin_state_up=True, interfaces=(RED, GREEN), routes=routes, gateways=gateways
    )
    found: list[Way] = ways(router)
    assert len({way.destination for way in found}) == len(found)
    return {str(way.destination): way.hops for way in found}


CONNECTED = {"10.0.1.0/24": (Hop("red", "m1", None),), "10.0.2.0/24": (Hop("green", "m2", None),)}


def test_connected_subnets() -> None:
    """Each interface's subnet is reached on its network, with the interface's MAC."""
    assert table() == CONNECTED


def test_a_next_hop_is_on_its_subnets_network() -> None:
    """A route leads into the network of the subnet that has its next hop; two of them cost the same."""
    found = table(RouterRoute("10.9.0.0/16", "10.0.1.7"), RouterRoute("10.9.0.0/16", "10.0.2.7"))

    assert found == CONNECTED | {
        "10.9.0.0/16": (Hop("red", "m1", "10.0.1.7"), Hop("green", "m2", "10.0.2.7"))
    }


def test_a_route_to_nowhere() -> None:
    """One without a next hop, or with one on no subnet, is unreachable: it hides shorter prefixes."""
    found = table(RouterRoute("10.9.0.0/16"), RouterRoute("10.8.0.0/16", "192.0.2.1"))

    assert found == CONNECTED | {"10.9.0.0/16": (), "10.8.0.0/16": ()}


def test_a_connected_subnet_stands_before_a_route() -> None:
    """A route for exactly a subnet of the router's does not take its packets."""
    assert table(RouterRoute("10.0.1.0/24", "10.0.2.7")) == CONNECTED


def test_a_peered_network_is_as_if_connected() -> None:
    """It has the router's MAC of that network, or else of its first."""
    found = table(
        RouterRoute("10.9.0.0/16", network_id="pink"), RouterRoute("10.8.0.0/16", network_id="green")
    )

    assert found["10.9.0.0/16"] == (Hop("pink", "m1", None),)
    assert found["10.8.0.0/16"] == (Hop("green", "m2", None),)


def test_the_first_gateway_is_the_way_out() -> None:
    """Of each version the first with a next hop; every gateway's own subnet is reached by that gateway."""
    found = table(gateways=(OUT1, OUT2))

    assert found["0.0.0.0/0"] == (Hop("out1", "o1", "203.0.113.1", 1),)
    assert found["::/0"] == (Hop("out2", "o2", "2001:db8::1", 2),)
    assert found["198.51.100.0/24"] == (Hop("out2", "o2", None, 2),)


def test_a_written_default_route_stands_before_the_gateways() -> None:
    """Whoever writes a default route means it, also one to nowhere."""
    assert table(RouterRoute("0.0.0.0/0", "10.0.1.7"), gateways=(OUT1,))["0.0.0.0/0"] == (
        Hop("red", "m1", "10.0.1.7"),
    )
    assert table(RouterRoute("0.0.0.0/0"), gateways=(OUT1,))["0.0.0.0/0"] == ()


def test_a_route_out() -> None:
    """A next hop on a gateway's subnet is reached by that gateway."""
    found = table(RouterRoute("10.9.0.0/16", "198.51.100.9"), gateways=(OUT1, OUT2))

    assert found["10.9.0.0/16"] == (Hop("out2", "o2", "198.51.100.9", 2),)


def test_ways_come_in_one_order() -> None:
    """Equal routers have equal tables, whatever order their parts came in."""
    router = RouterItem(id="r", admin_state_up=True, interfaces=(RED, GREEN))
    turned = RouterItem(id="r", admin_state_up=True, interfaces=(GREEN, RED))

    assert [way.destination for way in ways(router)] == [ip_network(cidr) for cidr in CONNECTED]
    assert ways(router) == ways(turned)
