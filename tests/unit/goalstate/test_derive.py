"""What routers, gateways, floating IPs, members and claims are made of, where the scenarios do not say it."""

from alcor.goalstate.item import Claim, Item, ItemKind, Key, LocalPort
from alcor.goalstate.project import host_mac
from alcor.goalstate.router_item import GatewayItem, RouterItem, RouterRoute
from alcor.goalstate.scope import (
    Scope,
    host_scope,
    members_scope,
    neighbours_scope,
    network_scope,
    router_scope,
)
from alcor.model.port import AddressPair, FixedIp
from alcor.model.resource import Entity
from alcor.model.route_table import RouteTable, TableRoute
from alcor.model.router import Route, Router
from alcor.model.subnet import Subnet
from alcor.model.vpc_peering import VpcPeering
from tests.support.goalstate import (
    a_graph,
    a_host,
    a_network,
    a_port,
    a_subnet,
    applied,
    created,
    deleted,
    expected,
    replaced,
    states_of,
    updated,
)
from tests.support.region_rows import a_claim, a_standing

N, S = a_network("n"), a_subnet("s", "n")
OUTER = a_network(
    "x", provider_network_type="vlan", provider_physical_network="outside", router_external=True
)
OUTER_SUBNET = a_subnet("xs", "x", cidr="203.0.113.0/24", gateway_ip="203.0.113.1")
R = Router(id="r", gateway_ports=("rg",))
INSIDE = a_port("ri", "n", "", "10.0.0.1", device_owner="network:router_interface", device_id="r")
OUTSIDE = a_port(
    "rg", "x", fixed_ips=(FixedIp("xs", "203.0.113.5"),), device_owner="network:router_gateway", device_id="r"
)
ROUTED: list[Entity] = [N, S, OUTER, OUTER_SUBNET, R, INSIDE, OUTSIDE]


def _gateway_host(id: str, vtep: str, **fields: object) -> Entity:
    defaults: dict[str, object] = {"gateway": True, "bridge_mappings": {"outside": "br-ex"}}
    return a_host(id, vtep, **(defaults | fields))


def _router(rows: list[Entity], id: str = "r") -> RouterItem:
    item = expected(rows)[router_scope(id)][Key(ItemKind.ROUTER, id)]
    assert isinstance(item, RouterItem)
    return item


def _item(rows: list[Entity], scope: Scope, kind: ItemKind, id: str) -> Item:
    return expected(rows)[scope][Key(kind, id)]


# --- gateways ----------------------------------------------------------------------------------------------


def test_a_gateway_host_reaches_the_outer_network_and_takes_work() -> None:
    """A host serves gateways iff it may, is in rotation and up, has a tunnel address, and maps the physical network."""
    hosts = [
        _gateway_host("good", "192.0.2.1"),
        _gateway_host("other", "192.0.2.2", bridge_mappings={"inside": "br-in"}),
        _gateway_host("ordinary", "192.0.2.3", gateway=False),
        _gateway_host("draining", "192.0.2.4", rotation="draining"),
        _gateway_host("down", "192.0.2.5", admin_state_up=False),
        a_host("nowhere", None, gateway=True, bridge_mappings={"outside": "br-ex"}),
    ]
    rows = [*ROUTED, *hosts]

    assert [host.host_id for host in _router(rows).gateway_hosts] == ["good"]
    assert [scope for scope, state in expected(rows).items() if Key(ItemKind.GATEWAY, "r") in state] == [
        host_scope("good")
    ]
    assert _item(rows, host_scope("good"), ItemKind.GATEWAY, "r") == GatewayItem(id="r", networks=("x",))


def test_an_overlay_outer_network_needs_no_bridge() -> None:
    """Every gateway host reaches an external network without a physical one."""
    outer = replaced(OUTER, provider_network_type="vxlan", provider_physical_network=None)
    rows = [outer, *ROUTED, outer, _gateway_host("h", "192.0.2.1", bridge_mappings={})]

    assert [host.host_id for host in _router(rows).gateway_hosts] == ["h"]


def test_routers_spread_over_gateway_hosts_and_stay() -> None:
    """At most four hosts serve a router; routers prefer different ones, and a host that leaves moves no other's."""
    hosts = [_gateway_host(f"h{i}", f"192.0.2.{i}") for i in range(1, 9)]
    routers = [replaced(R, id=f"r{i}") for i in range(40)]
    rows = [*ROUTED[:4], OUTSIDE, *routers]

    before = {row.id: _router([*rows, *hosts], row.id).gateway_hosts for row in routers}
    after = {row.id: _router([*rows, *hosts[1:]], row.id).gateway_hosts for row in routers}

    assert {len(chosen) for chosen in before.values()} == {4}
    assert len({chosen[0] for chosen in before.values()}) >= 6
    for id, chosen in before.items():
        kept = [host for host in chosen if host.host_id != "h1"]
        assert list(after[id][: len(kept)]) == kept


def test_a_host_that_was_lost_stands_behind_the_others() -> None:
    """The one that was lost longest ago comes first of those that were; whether it is back is no matter."""
    hosts = [_gateway_host(f"h{i}", f"192.0.2.{i}") for i in range(1, 7)]
    rows = [*ROUTED, *hosts]
    (first, second, third, _) = (host.host_id for host in _router(rows).gateway_hosts)

    def after(*lost: tuple[str, int]) -> list[str]:
        standings = [a_standing(id, at_ms) for id, at_ms in lost]
        return [host.host_id for host in _router([*rows, *standings]).gateway_hosts]

    everybody = [(host.id, 1 + n) for n, host in enumerate(hosts)]
    assert after((first, 5))[:2] == [second, third]
    assert first not in after((first, 5))
    assert after((first, 0))[0] == first
    assert after((second, 5))[:2] == [first, third]
    assert after(*everybody) == [host.id for host in hosts[:4]]


def test_a_host_has_a_mac_of_its_own() -> None:
    """It is locally administered, unicast, the same for ever, and differs between hosts."""
    assert host_mac("h1") == "0a:33:11:2e:e1:4e"
    assert host_mac("h2") == "0a:f9:98:fe:06:af"


# --- routes ------------------------------------------------------------------------------------------------


def _routes(*tables: RouteTable, routes: tuple[Route, ...] = (), more: tuple[Subnet, ...] = ()) -> list[str]:
    item = _router([*ROUTED, replaced(R, routes=routes), *tables, *more])
    return [f"{route.destination} {route.nexthop or route.network_id}" for route in item.routes]


def test_a_route_table_of_a_network_counts_for_its_routers() -> None:
    """Next hops, black holes and ways out of the network's table are the router's routes; the lower priority wins."""
    table = RouteTable(
        id="t",
        network_id="n",
        routes=(
            TableRoute("10.3.0.0/16", nexthop="10.0.0.9", priority=50),
            TableRoute("10.4.0.0/16", nexthop="10.0.0.9"),
            TableRoute("10.5.0.0/16", "blackhole"),
            TableRoute("10.6.0.0/16", "nat_gw"),
            TableRoute("10.7.0.0/16", nexthop="172.16.0.1"),
        ),
    )
    own = (Route("10.3.0.0/16", "10.0.0.8"), Route("10.4.0.0/16", "10.0.0.8"))

    assert _routes(table, routes=own) == [
        "10.3.0.0/16 10.0.0.9",
        "10.4.0.0/16 10.0.0.8",
        "10.4.0.0/16 10.0.0.9",
        "10.5.0.0/16 None",
        "10.6.0.0/16 203.0.113.1",
        "10.7.0.0/16 None",
    ]


def test_a_subnets_own_table_replaces_its_networks() -> None:
    """The network's table counts for a router only if it is on a subnet without a table of its own."""
    of_network = RouteTable(id="t", network_id="n", routes=(TableRoute("10.3.0.0/16", nexthop="10.0.0.9"),))
    of_subnet = RouteTable(
        id="u", network_id="n", subnet_id="s", routes=(TableRoute("10.4.0.0/16", nexthop="10.0.0.9"),)
    )

    assert _routes(of_network, of_subnet) == ["10.4.0.0/16 10.0.0.9"]
    assert _routes(of_network, replaced(of_subnet, subnet_id="other")) == ["10.3.0.0/16 10.0.0.9"]


def test_peered_networks_that_overlap_have_no_route() -> None:
    """A subnet of a peer that overlaps one of the router's own is not reached through the peering."""
    peering = VpcPeering(id="v", network_id="n", peer_network_id="m", peer_project_id="", status="active")
    peers = (a_subnet("p1", "m", cidr="10.0.0.128/25"), a_subnet("p2", "m", cidr="10.8.0.0/24"))

    item = _router([*ROUTED, peering, *peers])

    assert item.routes == (RouterRoute("10.8.0.0/24", network_id="m"),)


def test_an_interface_without_its_subnet_is_not_there() -> None:
    """An interface whose subnet is unknown, or that is administratively down, is no part of the router."""
    assert [one.id for one in _router(ROUTED).interfaces] == ["ri"]
    assert _router([row for row in ROUTED if row is not S]).interfaces == ()
    assert _router([*ROUTED, replaced(INSIDE, admin_state_up=False)]).interfaces == ()


# --- ports -------------------------------------------------------------------------------------------------


def test_a_member_says_its_pairs_too() -> None:
    """A member's CIDRs are its addresses in full length and its allowed pairs."""
    pairs = (AddressPair("10.9.0.0/16", "fa:16:3e:00:00:01"), AddressPair("10.0.0.99", "fa:16:3e:00:00:02"))
    port = a_port(
        "p", "n", "", "10.0.0.9", "2001:db8::9", security_groups=("g",), allowed_address_pairs=pairs
    )

    (member,) = expected([port])[members_scope("g")].values()
    assert member.cidrs == ("10.0.0.9/32", "10.0.0.99/32", "10.9.0.0/16", "2001:db8::9/128")  # type: ignore[union-attr]


def test_a_port_names_only_routers_that_exist() -> None:
    """A port refers to the routers with an interface on its network, but not to one whose row is gone."""
    host, port = a_host("h"), a_port("p", "n", "h")
    rows: list[Entity] = [host, port, INSIDE, R, replaced(INSIDE, id="other", device_id="gone")]

    local = _item(rows, host_scope("h"), ItemKind.LOCAL_PORT, "p")

    assert isinstance(local, LocalPort)
    assert local.routers == ("r",)


def test_a_host_with_an_open_port_takes_unknown_packets() -> None:
    """A host of a network takes unknown unicast iff one of the network's ports there has no port security."""
    open_port = a_port("o", "n", "h", port_security_enabled=False)
    graph = a_graph(a_host("h"), a_port("p", "n", "h"), open_port)
    key = Key(ItemKind.OPEN_HOST, "h")

    assert key in graph.state(network_scope("n"))
    graph.advance([updated(open_port, replaced(open_port, port_security_enabled=True))], 2)
    assert key not in graph.state(network_scope("n"))


# --- claims ------------------------------------------------------------------------------------------------


def test_a_claim_follows_its_port() -> None:
    """The last claim of an address is told to the network as long as its port is there."""
    h1, h2 = a_host("h1", "192.0.2.1"), a_host("h2", "192.0.2.2")
    p, q = a_port("p", "n", "h1"), a_port("q", "n", "h2")
    graph = a_graph(h1, h2, p, q)
    held = states_of(graph)
    key = Key(ItemKind.CLAIM, "10.0.0.99")
    for revision, port_id in enumerate("pq", 2):
        row = a_claim("n", "10.0.0.99", "00:00:5e:00:01:01", port_id)
        held = applied(held, graph.advance([created(row)], revision))

    wanted = Claim(id="10.0.0.99", mac="00:00:5e:00:01:01", port_id="q", host_id="h2", vtep="192.0.2.2")
    assert graph.state(neighbours_scope("n"))[key] == held[neighbours_scope("n")][key] == wanted

    moved = replaced(q, binding_host_id="host-h1", binding_generation=1)
    graph.advance([updated(q, moved)], 4)
    assert graph.state(neighbours_scope("n"))[key].vtep == "192.0.2.1"  # type: ignore[union-attr]
    graph.advance([deleted(moved)], 5)
    assert key not in graph.state(neighbours_scope("n"))
    assert not graph.recompute().scopes
