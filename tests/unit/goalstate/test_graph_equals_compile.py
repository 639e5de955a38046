"""I3: for every sequence of changes the graph equals the specification, and a receiver of its steps equals both."""

from collections import Counter
from collections.abc import Mapping
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alcor.goalstate.graph import Graph, item_nodes
from alcor.goalstate.intent import Input
from alcor.goalstate.item import ItemKind, Key, LocalPort, State, refers
from alcor.goalstate.node.contract import ItemNode, Placement
from alcor.goalstate.scope import CLOSURE_DEPTH_MAX, REGION, Scope, host_scope, shard_of
from alcor.goalstate.told import scopes_of
from alcor.model.catalogue import BY_ENTITY
from alcor.model.host import Host
from alcor.model.port import Port
from tests.support.goalstate import (
    UNTIMED,
    Rows,
    Unhandling,
    a_graph,
    applied,
    expected,
    states_of,
)
from tests.support.region_history import Cuts, histories
from tests.support.region_rows import any_region

_ONCE = {
    ItemKind.REGION,
    ItemKind.HOST,
    ItemKind.NETWORK,
    ItemKind.SUBNET,
    ItemKind.NEIGHBOUR,
    ItemKind.ROUTER,
    ItemKind.RULES,
    ItemKind.QOS,
    ItemKind.NETWORK_ACL,
}


@settings(UNTIMED)
@given(histories())
def test_the_graph_equals_the_specification(history: tuple[Rows, Cuts]) -> None:
    """After every cut the graph holds what compile gives for the present rows, its steps lead there, and a recompute
    of all nodes finds nothing."""
    start, cuts = history

    graph = a_graph(*start.values())
    _walk(graph, start, cuts)
    _assert_subjects(graph, cuts[-1][1])


_INPUTS = sorted({(node.name, input) for node in item_nodes() for input in node.inputs})


@settings(UNTIMED)
@given(st.sets(st.sampled_from(_INPUTS)), histories())
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
        needed = _needed(graph, held)
        outcome = graph.advance(changes, revision)

        held = applied(held, outcome)
        told = {id for change in outcome.scopes for id in graph.hosts_of(change.scope)}
        now = _needed(graph, held)
        assert {id for id in needed.keys() & now.keys() if needed[id] != now[id]} <= told
        wanted = expected(rows.values())
        assert states_of(graph) == wanted
        assert held == wanted
        assert not graph.recompute().scopes
        _assert_closed(graph, rows)


def _needed(graph: Graph, held: Mapping[Scope, State]) -> dict[str, dict[Scope, State]]:
    """What each host must hold."""
    return {
        id: {scope: dict(held.get(scope, {})) for scope in graph.closure(id)} for id in graph.intent.hosts
    }


def _assert_found(graph: Graph) -> None:
    """The hosts of a scope are those whose closure it is in."""
    closures = {id: set(graph.closure(id)) for id in graph.intent.hosts}
    for scope in {*graph.scopes(), *(scope for closure in closures.values() for scope in closure)}:
        assert set(graph.hosts_of(scope)) == {id for id, closure in closures.items() if scope in closure}


def _assert_subjects(graph: Graph, rows: Rows) -> None:
    """Every scope with an item of a row's id is among those that speak of the row; those that say where or by whom a
    host is served aside."""
    named = Counter(row.id for row in rows.values())
    for row in (row for row in rows.values() if named[row.id] == 1):
        scopes = scopes_of(graph, BY_ENTITY[type(row)].name, row.id)
        about = {
            scope
            for scope in graph.scopes()
            for key in graph.state(scope)
            if key.id == row.id and key.kind not in (ItemKind.NETWORK_HOST, ItemKind.RESCUE)
        }
        assert about <= set(scopes or ())


def _assert_closed(graph: Graph, rows: Rows) -> None:
    """A host's closure is what following references gives, and no deeper than allowed (I6)."""
    _assert_found(graph)
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
    for port in (row for row in rows.values() if isinstance(row, Port)):
        placement = graph.placement(port.id)
        if placement is not None:
            assert graph.shards_of(placement) == _shards(graph, placement)


def _shards(graph: Graph, placement: Placement) -> set[int]:
    """The shards of all that a port needs, by following references without remembering any."""
    host = host_scope(placement.host_id)
    found = {host}
    wave = set(refers(graph.state(host)[Key(ItemKind.LOCAL_PORT, placement.port.local.id)]))
    while wave - found:
        found |= wave
        wave = {target for scope in wave for item in graph.state(scope).values() for target in refers(item)}
    return {shard_of(scope) for scope in found}


@settings(UNTIMED)
@given(any_region)
def test_every_item_has_one_scope(region: Rows) -> None:
    """No item is in two scopes (I6), but for those that say what something is to one host, router, network or group;
    and a port is active on one host at most."""
    states = expected(region.values())
    kept = {
        scope: {
            key
            for key, item in state.items()
            if key.kind in _ONCE or (isinstance(item, LocalPort) and item.is_active)
        }
        for scope, state in states.items()
    }

    for (_, a), (_, b) in combinations(kept.items(), 2):
        assert not a & b


@pytest.mark.parametrize("node", item_nodes(), ids=lambda node: node.name)
def test_every_kind_of_item_is_made_by_one_node(node: ItemNode) -> None:
    """No two nodes make items of one kind in scopes of one kind."""
    made = [(other.kind, other.scope_kind) for other in item_nodes()]

    assert made.count((node.kind, node.scope_kind)) == 1
    assert {kind for kind, _ in made} == set(ItemKind)
