"""I3: for every sequence of changes the graph equals the specification, and a receiver of its steps equals both."""

from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alcor.goalstate.graph import Graph, item_nodes
from alcor.goalstate.item import ItemKind, refers
from alcor.goalstate.node.contract import Input
from alcor.goalstate.scope import CLOSURE_DEPTH_MAX, REGION, Scope, host_scope
from alcor.model.change import Change
from alcor.model.host import Host
from alcor.model.port import FixedIp
from alcor.model.resource import Entity
from tests.support.goalstate import (
    UNTIMED,
    Rows,
    Unhandling,
    a_graph,
    a_host,
    a_network,
    a_port,
    a_subnet,
    applied,
    changes_between,
    expected,
    rows_of,
    states_of,
)

# So few ids, names and values that re-binding, re-making and clashes are the rule. Several hosts share a name over
# time; at the end of a cut names are unique, as the store keeps them.
_hosts = st.builds(
    a_host,
    id=st.sampled_from("abc"),
    vtep=st.sampled_from([None, "192.0.2.1", "192.0.2.2"]),
    name=st.sampled_from(["host-a", "host-b"]),
    description=st.sampled_from(["", "x"]),
)
_networks = st.builds(
    a_network,
    id=st.sampled_from("nm"),
    admin_state_up=st.booleans(),
    mtu=st.sampled_from([1400, 1450]),
)
_subnets = st.builds(
    a_subnet,
    id=st.sampled_from("st"),
    network_id=st.sampled_from("nm"),
    cidr=st.sampled_from(["10.0.0.0/24", "10.0.0.0/16"]),
    gateway_ip=st.sampled_from([None, "10.0.0.1"]),
)
_fixed_ips = st.lists(st.sampled_from(["10.0.0.8", "10.0.0.9"]), max_size=2, unique=True)
_ports = st.builds(
    a_port,
    id=st.sampled_from("pqrs"),
    network_id=st.sampled_from("nm"),
    binding_host_id=st.sampled_from(["", "host-a", "host-b", "host-x"]),
    binding_vif_type=st.sampled_from(["ovs", "ovs", "ovs", "binding_failed", "unbound"]),
    fixed_ips=_fixed_ips.map(lambda ips: tuple(FixedIp("s", ip) for ip in ips)),
    admin_state_up=st.booleans(),
    security_groups=st.sampled_from([None, (), ("g",), ("g", "f")]),
    binding_generation=st.integers(0, 2),
)


def _legal(rows: list[Entity]) -> Rows:
    """Rows by key; of hosts with one name the last stays."""
    names = {row.name: row.id for row in rows if isinstance(row, Host)}
    return rows_of(row for row in rows if not isinstance(row, Host) or names[row.name] == row.id)


_row: st.SearchStrategy[Entity] = st.one_of(_hosts, _networks, _subnets, _ports, _ports)
_regions = st.lists(_row, max_size=10).map(_legal)


Cuts = list[tuple[list[Change], Rows]]
"""The changes of each cut, and the rows after it."""


@st.composite
def _histories(draw: st.DrawFn) -> tuple[Rows, Cuts]:
    """The rows at the load, then cuts of one or several transactions, rows of a transaction in any order."""
    start = before = draw(_regions)
    cuts: Cuts = []
    for _ in range(draw(st.integers(1, 5))):
        changes: list[Change] = []
        for region in draw(st.lists(_regions, min_size=1, max_size=3)):
            keep = draw(st.sets(st.sampled_from(sorted(before, key=str)))) if before else set()
            after = _legal([*(row for key, row in before.items() if key in keep), *region.values()])
            changes += draw(st.permutations(changes_between(before, after)))
            before = after
        cuts.append((changes, before))
    return start, cuts


@settings(UNTIMED)
@given(_histories())
def test_the_graph_equals_the_specification(history: tuple[Rows, Cuts]) -> None:
    """After every cut the graph holds what compile gives for the present rows, its steps lead there, and a recompute
    of all nodes finds nothing."""
    start, cuts = history

    _walk(a_graph(*start.values()), start, cuts)


_INPUTS = sorted({(node.name, input) for node in item_nodes() for input in node.inputs})


@settings(UNTIMED)
@given(st.sets(st.sampled_from(_INPUTS)), _histories())
def test_the_graph_equals_the_specification_with_any_handlers_missing(
    declined: set[tuple[str, Input]], history: tuple[Rows, Cuts]
) -> None:
    """Whatever handlers are missing, falling back gives the same goal state: a handler is only an optimisation."""
    nodes = [Unhandling(node, [i for name, i in declined if name == node.name]) for node in item_nodes()]
    start, cuts = history

    _walk(a_graph(*start.values(), nodes=nodes), start, cuts)


def _walk(graph: Graph, start: Rows, cuts: Cuts) -> None:
    held = states_of(graph)
    assert held == expected(start.values())
    for revision, (changes, rows) in enumerate(cuts, start=2):
        outcome = graph.advance(changes, revision)

        held = applied(held, outcome)
        wanted = expected(rows.values())
        assert states_of(graph) == wanted
        assert held == wanted
        assert not graph.recompute().scopes
        _assert_closed(graph, rows)


def _assert_closed(graph: Graph, rows: Rows) -> None:
    """A host's closure is what following references gives, and no deeper than allowed (I6)."""
    for host in (row for row in rows.values() if isinstance(row, Host)):
        wave: set[Scope] = {REGION, host_scope(host.id)}
        closure: set[Scope] = set()
        depth = 0
        while wave:
            depth += 1
            closure |= wave
            wave = {target for s in wave for item in graph.state(s).values() for target in refers(item)}
            wave -= closure
        assert depth <= CLOSURE_DEPTH_MAX
        assert set(graph.closure(host.id)) == closure


@settings(UNTIMED)
@given(_regions)
def test_every_item_has_one_scope(region: Rows) -> None:
    """No item is in two scopes (I6); a network's hosts are items of each network, one per network."""
    states = expected(region.values())
    kept = {
        scope: {key for key in state if key.kind is not ItemKind.NETWORK_HOST}
        for scope, state in states.items()
    }

    for (_, a), (_, b) in combinations(kept.items(), 2):
        assert not a & b


@pytest.mark.parametrize("node", item_nodes(), ids=lambda node: node.name)
def test_every_kind_of_item_is_made_by_one_node(node: object) -> None:
    """No two nodes make items of one kind."""
    kinds = [other.kind for other in item_nodes()]

    assert kinds.count(node.kind) == 1  # type: ignore[attr-defined]
    assert set(kinds) == set(ItemKind)
