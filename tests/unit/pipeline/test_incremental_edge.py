"""Gateways, floating IPs, provider bridges: replacing the flows of affected units gives what computing anew gives."""

from collections.abc import Callable
from dataclasses import dataclass

import hypothesis.strategies as st
from hypothesis import given, settings

from alcor.goalstate.bgp_item import BgpRoute, BgpRoutesItem
from alcor.goalstate.item import HostItem, Limit, NetworkItem, QosItem
from alcor.goalstate.router_item import (
    FloatingIpItem,
    Forward,
    GatewayHost,
    GatewayItem,
    InterfaceAddress,
    RouterGateway,
    RouterInterface,
    RouterItem,
    RouterRoute,
)
from alcor.goalstate.scope import host_scope, qos_scope, router_scope
from alcor.pipeline.compile import found, groups, meters
from alcor.pipeline.feature import Local, LocalChange
from alcor.pipeline.flow import Group, Meter
from tests.support.edited_host import Host, assert_incremental, edits, lawful_flows, populated
from tests.support.edited_items import MACS

ROUTERS = ("r1", "r2")
OUTER = ("n3", "n2")
OUTER_IPS = ("203.0.113.1", "203.0.113.2", "2001:db8:f::1")
VTEPS = ("192.0.2.1", "192.0.2.2", "2001:db8::3")
FIXED = ("10.0.0.1", "10.0.0.2", "fd00::1")


def outer_addresses() -> st.SearchStrategy[tuple[InterfaceAddress, ...]]:
    one = st.sampled_from(OUTER_IPS).map(
        lambda ip: (
            InterfaceAddress(ip, "2001:db8:f::/64", "o6", "2001:db8:f::fe")
            if ":" in ip
            else InterfaceAddress(ip, "203.0.113.0/24", "o4", "203.0.113.254")
        )
    )
    return st.lists(one, max_size=2).map(tuple)


def inner_addresses() -> st.SearchStrategy[tuple[InterfaceAddress, ...]]:
    some = (
        InterfaceAddress("10.0.0.254", "10.0.0.0/24", "s1"),
        InterfaceAddress("fd00::fe", "fd00::/64", "s2"),
    )
    return st.lists(st.sampled_from(some), max_size=2, unique=True).map(tuple)


def routers() -> st.SearchStrategy[RouterItem]:
    interfaces = st.builds(
        RouterInterface,
        st.sampled_from(("i1", "i2")),
        st.sampled_from(("n1", "n2")),
        st.sampled_from(MACS),
        inner_addresses(),
    )
    gateways = st.builds(
        RouterGateway,
        id=st.sampled_from(("g1", "g2")),
        network_id=st.sampled_from(OUTER),
        mac=st.sampled_from(MACS),
        addresses=outer_addresses(),
        snat=st.booleans(),
        qos=st.sampled_from((None, "q")),
    )
    hosts = st.permutations(
        (GatewayHost("h1", VTEPS[0]), GatewayHost("h2", VTEPS[1]), GatewayHost("h3", VTEPS[2]))
    )
    return st.builds(
        RouterItem,
        id=st.sampled_from(ROUTERS),
        admin_state_up=st.sampled_from((True, True, False)),
        interfaces=st.lists(interfaces, max_size=2).map(tuple),
        gateways=st.lists(gateways, max_size=2).map(tuple),
        gateway_hosts=hosts.map(tuple),
        routes=st.sampled_from(((), (RouterRoute("10.9.0.0/16", "10.0.0.9"),))),
    )


def floating_ips() -> st.SearchStrategy[FloatingIpItem]:
    forwards = (
        Forward(6, 80, 90, "10.0.0.1", 8080, 8090, "p1", "f"),
        Forward(17, 53, 53, "10.0.0.1", 53, 53, "p1", "g"),
    )
    ip = st.sampled_from(OUTER_IPS)
    common: dict[str, st.SearchStrategy[object]] = {
        "id": st.sampled_from(("f1", "f2")),
        "ip": ip,
        "mac": st.sampled_from(MACS),
        "network_id": st.sampled_from(OUTER),
        "router_id": st.sampled_from(ROUTERS),
        "is_central": st.booleans(),
        "qos": st.sampled_from((None, "q")),
    }
    whole = st.builds(
        FloatingIpItem,
        **common,
        port_id=st.sampled_from(("p1", "p2")),
        fixed_ip=st.sampled_from(FIXED),
        fixed_network_id=st.sampled_from(("n1", "n2")),
    )
    return st.one_of(whole, whole, st.builds(FloatingIpItem, **common, forwards=st.just(forwards)))


def bgp_routes() -> st.SearchStrategy[BgpRoutesItem]:
    """What two speakers advertise of a router: floating IPs, with MACs that may differ, and a subnet."""
    floating = st.builds(
        lambda ip, hop, mac: BgpRoute(f"{ip}/32", hop, mac),
        st.sampled_from(OUTER_IPS[:2]),
        st.sampled_from(OUTER_IPS),
        st.sampled_from(MACS),
    )
    some = st.one_of(floating, floating, st.just(BgpRoute("10.0.0.0/24", OUTER_IPS[0])))
    return st.builds(
        lambda speaker, router, routes: BgpRoutesItem(
            id=f"{speaker}/{router}", speaker_id=speaker, router_id=router, routes=tuple(sorted(routes))
        ),
        st.sampled_from(("v1", "v2")),
        st.sampled_from(ROUTERS),
        st.lists(some, min_size=1, max_size=3),
    )


def wire_networks() -> st.SearchStrategy[NetworkItem]:
    return st.builds(
        NetworkItem,
        id=st.sampled_from(("n2", "n3")),
        network_type=st.sampled_from(("flat", "vlan")),
        segmentation_id=st.just(7),
        mtu=st.just(1500),
        admin_state_up=st.just(True),
        physical_network=st.sampled_from(("wire", "other")),
        is_external=st.booleans(),
    )


@dataclass
class Edge(Host):
    """A host with routers and what is outside."""

    def touch(self, what: Local, id: str = "") -> None:
        self.touched.append(lambda: found(LocalChange(what, id), self.view))

    def put_edge_router(self, item: RouterItem, there: bool) -> None:
        before = self.view.routers.pop(item.id, None)
        if there:
            self.view.routers[item.id] = item
        self.change(router_scope(item.id), before, item if there else None)

    def number_router(self, id: str, there: bool) -> None:
        self.allocation.router_keys.pop(id, None)
        if there:
            self.allocation.router_keys[id] = 11 + ROUTERS.index(id)
        self.touch(Local.ROUTER, id)

    def put_gateway(self, id: str, there: bool) -> None:
        item = GatewayItem(id=id, networks=("n3",))
        before = self.view.gateways.pop(id, None)
        if there:
            self.view.gateways[id] = item
        self.change(host_scope("h1"), before, item if there else None)

    def put_floating_ip(self, item: FloatingIpItem, there: bool) -> None:
        before = self.view.floating_ips.pop(item.id, None)
        if there:
            self.view.floating_ips[item.id] = item
        self.change(host_scope("h1"), before, item if there else None)

    def put_outer_policy(self, there: bool, packets: bool) -> None:
        limits = tuple(Limit(is_ingress, 1_000, 0) for is_ingress in (False, True))
        item = QosItem(id="q", bandwidth=limits, packets=limits if packets else ())
        before = self.view.qos.pop("q", None)
        if there:
            self.view.qos["q"] = item
        self.change(qos_scope("q"), before, item if there else None)

    def put_bgp_routes(self, item: BgpRoutesItem, there: bool) -> None:
        before = self.view.bgp_routes.pop(item.id, None)
        if there:
            self.view.bgp_routes[item.id] = item
        self.change(host_scope("h1"), before, item if there else None)

    def put_providers(self, there: bool) -> None:
        self.allocation.providers = {"wire": 5, "other": 6} if there else {}
        self.touch(Local.PROVIDERS)

    def put_probes(self, vteps: list[str]) -> None:
        self.allocation.probes = {("vxlan", vtep): 8 + n for n, vtep in enumerate(vteps)}
        self.touch(Local.TUNNELS)

    def lose(self, vtep: str, is_lost: bool) -> None:
        self.allocation.lost_vteps ^= {vtep} if is_lost != (vtep in self.allocation.lost_vteps) else set()
        self.touch(Local.LOST_VTEPS)

    def find_next_hop(self, address: tuple[str, str], there: bool) -> None:
        self.allocation.next_hops.pop(address, None)
        if there:
            self.allocation.next_hops[address] = MACS[0]
        self.touch(Local.NEXT_HOP, "/".join(address))


EdgeEdit = Callable[[Edge], None]


def edge_edits() -> st.SearchStrategy[EdgeEdit]:
    """One edit of what is outside, or any other."""

    def of(method: Callable[..., None], *values: st.SearchStrategy[object]) -> st.SearchStrategy[EdgeEdit]:
        return st.tuples(*values).map(lambda drawn: lambda host: method(host, *drawn))

    likely = st.sampled_from((True, True, True, False))
    hops = st.tuples(st.sampled_from(OUTER), st.sampled_from(("203.0.113.254", "2001:db8:f::fe")))
    return st.one_of(
        of(Edge.put_edge_router, routers(), likely),
        of(Edge.put_edge_router, routers(), likely),
        of(Edge.put_floating_ip, floating_ips(), likely),
        of(Edge.put_floating_ip, floating_ips(), likely),
        of(Edge.put_network, wire_networks(), likely),
        of(Edge.put_bgp_routes, bgp_routes(), likely),
        of(Edge.number_router, st.sampled_from(ROUTERS), likely),
        of(Edge.put_gateway, st.sampled_from(ROUTERS), likely),
        of(Edge.put_providers, likely),
        of(Edge.put_outer_policy, likely, st.booleans()),
        of(Edge.put_probes, st.lists(st.sampled_from(VTEPS), unique=True)),
        of(Edge.lose, st.sampled_from(VTEPS), st.booleans()),
        of(Edge.find_next_hop, hops, likely),
        edits(),
    )


def an_edge() -> Edge:
    """A host on which a router with a gateway and a floating IP is live."""
    seed = populated()
    host = Edge(seed.view, seed.allocation, seed.touched)
    outside = NetworkItem(
        id="n3",
        network_type="vlan",
        segmentation_id=7,
        mtu=1500,
        admin_state_up=True,
        physical_network="wire",
        is_external=True,
    )
    host.put_network(outside, True)
    host.number_network(outside, True)
    host.put_providers(True)
    host.allocation.limit_keys = {"f1": 1, "f2": 2, "g1": 3}
    host.put_outer_policy(True, True)
    host.put_host(
        HostItem(id="h1", name="h1", vtep_addresses=("192.0.2.1",), token_digest="", mac="02:00:00:00:00:aa"),
        True,
    )
    for n, id in enumerate(ROUTERS):
        inner = InterfaceAddress("10.0.0.254", "10.0.0.0/24", "s1")
        outer = InterfaceAddress(OUTER_IPS[n], "203.0.113.0/24", "o4", "203.0.113.254")
        router = RouterItem(
            id=id,
            admin_state_up=True,
            interfaces=(RouterInterface(f"i{n}", f"n{1 + n}", "02:00:00:00:01:01", (inner,)),),
            gateways=(
                RouterGateway(
                    id=f"g{n}", network_id="n3", mac=f"02:00:00:00:02:0{n}", addresses=(outer,), snat=True
                ),
            ),
            gateway_hosts=(GatewayHost(f"h{1 + n}", VTEPS[n]),),
        )
        host.put_edge_router(router, True)
        host.number_router(id, True)
        host.put_gateway(id, True)
    return host


@settings(deadline=None)
@given(st.lists(st.lists(edge_edits(), max_size=4), max_size=8))
def test_incremental_equals_full_at_the_edge(batches: list[list[EdgeEdit]]) -> None:
    """After every batch of edits the flows kept by units are those computed from nothing."""
    assert_incremental(an_edge(), batches)


@settings(deadline=None)
@given(st.lists(edge_edits(), max_size=25))
def test_units_at_the_edge_are_disjoint_and_lawful(batch: list[EdgeEdit]) -> None:
    """No flow has two owners, a switch would refuse none, and each meter and group that a flow names exists."""
    host = an_edge()
    for edit in batch:
        edit(host)

    kept = lawful_flows(host)

    actions = [action for flow in kept for action in flow.actions]
    assert {one.id for one in actions if isinstance(one, Meter)} == set(meters(host.view, host.allocation))
    assert {one.id for one in actions if isinstance(one, Group)} == set(groups(host.view, host.allocation))
