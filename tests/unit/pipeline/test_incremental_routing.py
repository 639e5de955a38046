"""Routers and next hops: replacing the flows of affected units gives what computing anew gives."""

from collections.abc import Callable

import hypothesis.strategies as st
import msgspec
from hypothesis import given, settings

from alcor.goalstate.item import LocalPort, Neighbour, key_of
from alcor.goalstate.router_item import (
    InterfaceAddress,
    RouterGateway,
    RouterInterface,
    RouterItem,
    RouterRoute,
)
from alcor.goalstate.scope import neighbours_scope, router_scope
from alcor.pipeline.compile import affected, flows, groups
from alcor.pipeline.feature import ItemChange
from alcor.pipeline.flow import Flow, FlowKey, Group
from alcor.pipeline.route import router_unit
from alcor.pipeline.tables import Priority, Table
from alcor.pipeline.unit import neighbour_unit
from tests.support.edited_host import Host, assert_incremental, edits, lawful_flows, populated
from tests.support.edited_items import MACS, claims, local_ports, neighbours
from tests.unit.pipeline.test_incremental_edge import ROUTERS, Edge

# Addresses that neighbours have too, and one network three times over: claims collide.
ADDRESSES = (
    InterfaceAddress("10.0.0.254", "10.0.0.0/24", "s1"),
    InterfaceAddress("10.0.0.1", "10.0.0.0/24", "s1"),
    InterfaceAddress("10.0.1.254", "10.0.1.0/24", "s2"),
    InterfaceAddress("fd00::1", "fd00::/64", "s3"),
)
OUTER = InterfaceAddress("203.0.113.1", "203.0.113.0/24", "o", "203.0.113.254")
ROUTES = (
    RouterRoute("10.9.0.0/16", "10.0.0.9"),
    RouterRoute("10.9.0.0/16", "10.0.1.9"),
    RouterRoute("10.9.0.0/16", "203.0.113.9"),
    RouterRoute("10.8.0.0/16", "10.0.0.9"),
    RouterRoute("10.8.0.0/16", "10.0.1.8"),
    RouterRoute("10.0.0.128/25", network_id="n3"),
    RouterRoute("10.7.0.0/16"),
    RouterRoute("0.0.0.0/0", "10.0.0.9"),
    RouterRoute("10.0.0.0/24", "10.0.1.9"),
    RouterRoute("fd00:9::/64", "fd00::9"),
)
GATEWAYS = (
    (),
    (RouterGateway(id="g", network_id="n3", mac=MACS[0], addresses=(OUTER,), snat=True),),
)


def interfaces() -> st.SearchStrategy[RouterInterface]:
    return st.builds(
        RouterInterface,
        st.sampled_from(("i1", "i2")),
        st.sampled_from(("n1", "n2", "n3")),
        st.sampled_from(MACS),
        st.lists(st.sampled_from(ADDRESSES), max_size=2, unique=True).map(tuple),
    )


def routers() -> st.SearchStrategy[RouterItem]:
    return st.builds(
        RouterItem,
        id=st.sampled_from(ROUTERS),
        admin_state_up=st.sampled_from((True, True, True, False)),
        interfaces=st.lists(interfaces(), max_size=3).map(tuple),
        routes=st.lists(st.sampled_from(ROUTES), max_size=4, unique=True).map(tuple),
        gateways=st.sampled_from(GATEWAYS),
    )


def routed_ports() -> st.SearchStrategy[LocalPort]:
    some = st.sampled_from(((), ("r1",), ("r1", "r2")))
    return st.tuples(local_ports(), some).map(lambda two: msgspec.structs.replace(two[0], routers=two[1]))


RoutingEdit = Callable[[Edge], None]


def routing_edits() -> st.SearchStrategy[RoutingEdit]:
    """One edit of routers or of who has which address, or any other."""

    def of(method: Callable[..., None], *values: st.SearchStrategy[object]) -> st.SearchStrategy[RoutingEdit]:
        return st.tuples(*values).map(lambda drawn: lambda host: method(host, *drawn))

    likely = st.sampled_from((True, True, True, False))
    who = st.one_of(neighbours(), claims())
    return st.one_of(
        of(Edge.put_edge_router, routers(), likely),
        of(Edge.put_edge_router, routers(), likely),
        of(Edge.number_router, st.sampled_from(ROUTERS), likely),
        of(Host.put_port, routed_ports(), likely),
        of(Host.put_member, st.sampled_from(("n1", "n2")), who, likely),
        edits(),
    )


def a_router(id: str, *found: RouterInterface, routes: tuple[RouterRoute, ...] = ()) -> RouterItem:
    return RouterItem(id=id, admin_state_up=True, interfaces=found, routes=routes)


def joined() -> Edge:
    """A host on which a router joins two networks."""
    seed = populated()
    host = Edge(seed.view, seed.allocation, seed.touched)
    one = RouterInterface("i1", "n1", MACS[2], ADDRESSES[:1])
    other = RouterInterface("i2", "n2", MACS[2], ADDRESSES[2:3])
    host.put_edge_router(a_router("r1", one, other, routes=ROUTES[:2]), True)
    for id in ROUTERS:
        host.number_router(id, True)
    return host


@settings(deadline=None)
@given(st.lists(st.lists(routing_edits(), max_size=4), max_size=8))
def test_incremental_equals_full_with_routers(batches: list[list[RoutingEdit]]) -> None:
    """After every batch of edits the flows kept by units are those computed from nothing."""
    assert_incremental(joined(), batches)


def _groups_of(kept: list[Flow]) -> set[int]:
    return {action.id for flow in kept for action in flow.actions if isinstance(action, Group)}


@settings(deadline=None)
@given(st.lists(routing_edits(), max_size=25))
def test_units_with_routers_are_disjoint_and_lawful(batch: list[RoutingEdit]) -> None:
    """No flow has two owners, a switch would refuse none, and each group that a flow names exists."""
    host = joined()
    for edit in batch:
        edit(host)

    kept = lawful_flows(host)

    assert _groups_of(kept) == set(groups(host.view, host.allocation))


def _in_table(host: Edge, table: Table) -> dict[FlowKey, Flow]:
    return {key: flow for key, flow in flows(host.view, host.allocation).items() if key.table == table}


def test_a_neighbour_costs_one_flow_per_address_more_where_a_router_is() -> None:
    """Routing to a port needs no more than its addresses, and touches nothing but its own unit."""
    host = joined()
    new = Neighbour(
        id="new", mac=MACS[1], ips=("10.0.0.77", "fd00::77"), host_id="h2", vtep="192.0.2.2", groups=()
    )
    before = _in_table(host, Table.NEXT_HOP)

    host.view.networks["n1"].neighbours["new"] = new

    touched = affected(ItemChange(neighbours_scope("n1"), key_of(new), None, new), host.view)
    assert neighbour_unit("n1", "new") in touched
    assert router_unit("r1") not in touched
    assert len(_in_table(host, Table.NEXT_HOP)) == len(before) + 2


def test_a_route_touches_no_neighbour() -> None:
    """A router that changes without a new network costs its own flows only, however many neighbours there are."""
    host = joined()
    before = host.view.routers["r1"]
    after = msgspec.structs.replace(before, routes=(*before.routes, ROUTES[6]))
    host.view.routers["r1"] = after

    touched = affected(ItemChange(router_scope("r1"), key_of(after), before, after), host.view)

    assert router_unit("r1") in touched
    assert all(unit.kind != neighbour_unit("", "").kind for unit in touched)


def test_one_more_equal_cost_destination_leaves_the_others_groups_alone() -> None:
    """A group keeps its number while its destination stands, so that no packet meets another's hops on the way."""
    host = joined()
    before = groups(host.view, host.allocation)
    router = host.view.routers["r1"]

    host.view.routers["r1"] = msgspec.structs.replace(router, routes=(*router.routes, *ROUTES[3:5]))

    after = groups(host.view, host.allocation)
    assert len(before) == 1
    assert len(after) == 2
    assert all(after[id] == group for id, group in before.items())


def test_addresses_that_two_routers_claim_are_answered_by_neither() -> None:
    """Two routers may seem to have one interface while knowledge is in transit: nobody can say whose it is."""
    host = joined()
    mine = _in_table(host, Table.ARP_ND)
    twin = a_router("r2", RouterInterface("i1", "n1", MACS[2], ADDRESSES[:1]))

    host.put_edge_router(twin, True)

    assert len(mine.keys() - _in_table(host, Table.ARP_ND).keys()) == 1
    # Refused, rather than passed to layer 2 as a MAC that nobody has.
    asked = [one for one in _in_table(host, Table.L3_ADMIT).values() if one.priority == Priority.NORMAL]
    refused = [flow for flow in asked if not flow.actions]
    assert len(refused) == 1
