"""Incremental equals full where scopes are held on demand and networks have relays."""

from collections.abc import Callable
from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st

from alcor.goalstate.item import NetworkHost, NetworkRelays, RelayItem
from alcor.goalstate.router_item import GatewayHost
from alcor.goalstate.scope import (
    Scope,
    host_scope,
    hosts_scope,
    members_scope,
    neighbours_scope,
    network_scope,
)
from alcor.pipeline.compile import groups, meters
from alcor.pipeline.feature import Local
from alcor.pipeline.flow import Group, Meter
from tests.support.edited_host import assert_incremental, edits, lawful_flows, secured, security_edits
from tests.support.edited_items import VTEPS, network_hosts
from tests.unit.pipeline.test_incremental_edge import Edge, an_edge, edge_edits

SCOPES = (
    *(neighbours_scope(id) for id in ("n1", "n2", "n3")),
    *(members_scope(id) for id in ("g1", "g2")),
)
RELAYS = (GatewayHost("h1", VTEPS[0]), GatewayHost("h2", VTEPS[1]), GatewayHost("h3", VTEPS[2]))


@dataclass
class Demand(Edge):
    """A host that holds some scopes on demand, or is a relay of networks."""

    def hold(self, scope: Scope, is_lazy: bool) -> None:
        (self.view.lazy.add if is_lazy else self.view.lazy.discard)(scope)
        self.touch(Local.LAZY, str(scope))

    def put_relay(self, network_id: str, there: bool) -> None:
        item = RelayItem(id=network_id)
        before = self.view.relays.pop(network_id, None)
        if there:
            self.view.relays[network_id] = item
        self.change(host_scope("h1"), before, item if there else None)

    def put_relayed(self, network_id: str, item: NetworkHost, there: bool) -> None:
        network = self.view.networks.get(network_id)
        if network is not None:
            before = network.relayed.pop(item.id, None)
            if there:
                network.relayed[item.id] = item
            self.change(hosts_scope(network_id), before, item if there else None)

    def put_relays(self, network_id: str, hosts: list[GatewayHost], there: bool) -> None:
        network = self.view.networks.get(network_id)
        if network is not None:
            item = NetworkRelays(id=network_id, hosts=tuple(hosts)) if there and hosts else None
            before, network.relays = network.relays, item
            self.change(network_scope(network_id), before, item)


DemandEdit = Callable[[Demand], None]


def demand_edits() -> st.SearchStrategy[DemandEdit]:
    """One edit of what is held on demand, or any other."""

    def of(method: Callable[..., None], *values: st.SearchStrategy[object]) -> st.SearchStrategy[DemandEdit]:
        return st.tuples(*values).map(lambda drawn: lambda host: method(host, *drawn))

    likely = st.sampled_from((True, True, False))
    networks = st.sampled_from(("n1", "n1", "n2", "n3"))
    relays = st.lists(st.sampled_from(RELAYS), max_size=2, unique=True)
    return st.one_of(
        of(Demand.hold, st.sampled_from(SCOPES), likely),
        of(Demand.put_relay, networks, likely),
        of(Demand.put_relayed, networks, network_hosts(), likely),
        of(Demand.put_relays, networks, relays, likely),
        of(Demand.lose, st.sampled_from(VTEPS), st.booleans()),
        edits(),
        security_edits(),
        edge_edits(),
    )


def on_demand(seed: Callable[[], object]) -> Demand:
    """A host with relays and something held on demand."""
    start = seed()
    assert isinstance(start, Edge)
    host = Demand(start.view, start.allocation, start.touched)
    host.put_relays("n1", list(RELAYS[1:]), True)
    host.hold(SCOPES[0], True)
    host.hold(SCOPES[3], True)
    return host


def guarded() -> Edge:
    """The host with groups and members, as one with an edge."""
    start = secured()
    return Edge(start.view, start.allocation, start.touched)


@settings(deadline=None)
@given(st.sampled_from((an_edge, guarded)), st.lists(st.lists(demand_edits(), max_size=4), max_size=8))
def test_incremental_equals_full_on_demand(seed: Callable[[], Edge], batches: list[list[DemandEdit]]) -> None:
    """After every batch of edits the flows kept by units are those computed from nothing."""
    host = on_demand(seed)

    assert_incremental(host, batches)


@settings(deadline=None)
@given(st.sampled_from((an_edge, guarded)), st.lists(demand_edits(), max_size=25))
def test_units_on_demand_are_disjoint_and_lawful(seed: Callable[[], Edge], batch: list[DemandEdit]) -> None:
    """No flow has two owners, a switch would refuse none, and each meter and group that a flow names exists."""
    host = on_demand(seed)
    for edit in batch:
        edit(host)

    kept = lawful_flows(host)

    actions = [action for flow in kept for action in flow.actions]
    assert {one.id for one in actions if isinstance(one, Meter)} == set(meters(host.view, host.allocation))
    assert {one.id for one in actions if isinstance(one, Group)} == set(groups(host.view, host.allocation))
