"""How the graph works: incrementally where it can, whole where it must; and what its envelopes say."""

from collections.abc import Sequence

import pytest

from alcor.goalstate.graph import Graph, ScopeChange, difference, item_nodes
from alcor.goalstate.intent import Input
from alcor.goalstate.item import HostItem, ItemKind, Key, LocalPort, Neighbour, key_of
from alcor.goalstate.node.contract import Placement
from alcor.goalstate.scope import REGION, Scope, host_scope, neighbours_scope, network_scope
from alcor.model.change import Change
from alcor.model.mac_range import MacRange
from alcor.model.resource import Entity
from tests.support.goalstate import (
    A_REGION,
    Unhandling,
    a_graph,
    a_host,
    a_network,
    a_port,
    a_subnet,
    created,
    deleted,
    expected,
    replaced,
    states_of,
    updated,
)

H1, H2 = a_host("h1", "192.0.2.1"), a_host("h2", "192.0.2.2")
N, S = a_network("n"), a_subnet("s", "n")
P1, P2 = a_port("p1", "n", "h1", "10.0.0.11"), a_port("p2", "n", "h2", "10.0.0.12")
UNBOUND = a_port("u", "n")


def _graph() -> Graph:
    return a_graph(H1, H2, N, S, P1, P2, UNBOUND, revision=10)


def _placed(graph: Graph, port_id: str) -> Placement:
    placement = graph.placement(port_id)
    assert placement is not None
    return placement


def _since(graph: Graph, port_id: str) -> int:
    scope = host_scope(_placed(graph, port_id).host_id)
    return {key_of(entry.item): entry.since for entry in graph.entries(scope)}[_local(port_id)]


def _said(changes: Sequence[ScopeChange]) -> dict[Scope, tuple[set[Key], set[Key]]]:
    return {c.scope: ({key_of(entry.item) for entry in c.put}, set(c.removed)) for c in changes}


def _local(id: str) -> Key:
    return Key(ItemKind.LOCAL_PORT, id)


def _neighbour(id: str) -> Key:
    return Key(ItemKind.NEIGHBOUR, id)


def _at(id: str) -> Key:
    return Key(ItemKind.NETWORK_HOST, id)


NEW = a_port("new", "n", "h1", "10.0.0.13")
FIRST = a_port("new", "m", "h1", "10.0.0.13")
EDITS: dict[str, tuple[Change, dict[Scope, tuple[set[Key], set[Key]]]]] = {
    "a port is created": (
        created(NEW),
        {host_scope("h1"): ({_local("new")}, set()), neighbours_scope("n"): ({_neighbour("new")}, set())},
    ),
    "the first port of a network on a host is created": (
        created(FIRST),
        {
            host_scope("h1"): ({_local("new")}, set()),
            network_scope("m"): ({_at("h1")}, set()),
            neighbours_scope("m"): ({_neighbour("new")}, set()),
        },
    ),
    "the last port of a network on a host is deleted": (
        deleted(P1),
        {
            host_scope("h1"): (set(), {_local("p1")}),
            network_scope("n"): (set(), {_at("h1")}),
            neighbours_scope("n"): (set(), {_neighbour("p1")}),
        },
    ),
    "a port is bound": (
        updated(UNBOUND, replaced(UNBOUND, binding_host_id="host-h1", binding_vif_type="ovs")),
        {host_scope("h1"): ({_local("u")}, set()), neighbours_scope("n"): ({_neighbour("u")}, set())},
    ),
    "a port moves": (
        updated(P1, replaced(P1, binding_host_id="host-h2", binding_generation=1)),
        {
            host_scope("h1"): (set(), {_local("p1")}),
            host_scope("h2"): ({_local("p1")}, set()),
            network_scope("n"): (set(), {_at("h1")}),
            neighbours_scope("n"): ({_neighbour("p1")}, set()),
        },
    ),
    "a port is renamed": (updated(P1, replaced(P1, name="web")), {host_scope("h1"): ({_local("p1")}, set())}),
    "an unbound port is created": (created(a_port("new", "n")), {}),
    "an unbound port is deleted": (deleted(UNBOUND), {}),
    "a description changes": (updated(P1, replaced(P1, description="x", revision_number=3)), {}),
    "a subnet is created": (
        created(a_subnet("t", "n")),
        {network_scope("n"): ({Key(ItemKind.SUBNET, "t")}, set())},
    ),
    "a subnet changes": (
        updated(S, replaced(S, gateway_ip=None)),
        {network_scope("n"): ({Key(ItemKind.SUBNET, "s")}, set())},
    ),
    "a network is deleted": (deleted(N), {network_scope("n"): (set(), {Key(ItemKind.NETWORK, "n")})}),
    "a network is created": (
        created(a_network("m")),
        {network_scope("m"): ({Key(ItemKind.NETWORK, "m")}, set())},
    ),
    "a host is created": (
        created(a_host("h3", "192.0.2.3")),
        {host_scope("h3"): ({Key(ItemKind.HOST, "h3")}, set())},
    ),
    "a host's tunnel address changes": (
        updated(H1, replaced(H1, vtep_addresses=("192.0.2.9",))),
        {
            host_scope("h1"): ({Key(ItemKind.HOST, "h1")}, set()),
            network_scope("n"): ({_at("h1")}, set()),
            neighbours_scope("n"): ({_neighbour("p1")}, set()),
        },
    ),
    "a host gets a second tunnel address": (
        updated(H1, replaced(H1, vtep_addresses=("192.0.2.1", "192.0.2.9"))),
        {host_scope("h1"): ({Key(ItemKind.HOST, "h1")}, set())},
    ),
    "a host is deleted": (
        deleted(H1),
        {
            host_scope("h1"): (set(), {Key(ItemKind.HOST, "h1"), _local("p1")}),
            network_scope("n"): (set(), {_at("h1")}),
            neighbours_scope("n"): (set(), {_neighbour("p1")}),
        },
    ),
    "another kind of row is created": (
        created(MacRange(id="g", first="fa:16:3e:00:00:00", last="fa:16:3e:00:00:ff")),
        {},
    ),
    "what was never seen is deleted": (deleted(a_port("ghost", "n", "h1")), {}),
}


@pytest.mark.parametrize("edit", EDITS)
def test_a_change_says_what_it_changes_and_recomputes_nothing(edit: str) -> None:
    """Every change the API can make is handled incrementally, and only the items it changes are told."""
    change, said = EDITS[edit]

    outcome = _graph().advance([change], 11)

    assert _said(outcome.scopes) == said
    assert outcome.stats.recomputed == ()
    assert outcome.stats.items == sum(len(put) + len(removed) for put, removed in said.values())


@pytest.mark.parametrize("ports", [1, 100])
def test_the_cost_of_a_create_does_not_depend_on_the_network(ports: int) -> None:
    """A port create is handled in the same number of steps however many ports its network has."""
    others = [a_port(f"o{i}", "n", "h1", f"10.0.1.{i}") for i in range(ports)]

    outcome = a_graph(H1, N, *others).advance([created(NEW)], 2)

    # The port in each of the nodes that follow ports, its placement, and that in the nodes built on it.
    followers = sum(Input.PORTS in node.inputs for node in item_nodes())
    placed = sum(Input.PLACEMENTS in node.inputs for node in item_nodes())
    assert outcome.stats.handled == 1 + followers + placed
    assert outcome.stats.items == 2


def test_a_cut_says_only_where_it_ends() -> None:
    """What is made and unmade inside one turn is not told; each key is told once."""
    moved = replaced(P1, binding_host_id="host-h2", binding_generation=1)
    back = replaced(P1, binding_generation=2, name="web")

    outcome = _graph().advance([created(NEW), updated(P1, moved), deleted(NEW), updated(moved, back)], 11)

    assert _said(outcome.scopes) == {host_scope("h1"): ({_local("p1")}, set())}


def test_cuts_that_lead_back_are_said_all_the_same() -> None:
    """Several cuts at once name also what is again as it was: another dataplane may have said what was in between."""
    graph = _graph()

    outcome = graph.follow([([created(NEW)], 11), ([deleted(NEW)], 12)])

    assert _said(outcome.scopes) == {
        host_scope("h1"): (set(), {_local("new")}),
        neighbours_scope("n"): (set(), {_neighbour("new")}),
    }
    assert (graph.revision, outcome.ports_gone) == (12, ("new",))
    assert [(step.id, step.before, step.after) for step in outcome.placements] == [("new", None, None)]


def test_a_renamed_host_makes_the_placement_node_recompute() -> None:
    """The API does not rename hosts, so there is no handler for it: what looks hosts up by name runs whole."""
    rows = [replaced(H1, name="host-x"), H2, N, S, P1, P2]
    graph = a_graph(H1, H2, N, S, P1, P2)

    outcome = graph.advance([updated(H1, rows[0])], 2)

    assert outcome.stats.recomputed == ("placement", "local_port")
    assert states_of(graph) == expected(rows)


@pytest.mark.parametrize(
    ("node", "input", "change"),
    [
        ("neighbour", Input.PLACEMENTS, created(NEW)),
        ("neighbour", Input.HOSTS, updated(H1, replaced(H1, vtep_addresses=("192.0.2.9",)))),
        ("network_host", Input.PLACEMENTS, deleted(P1)),
        ("network_host", Input.HOSTS, updated(H1, replaced(H1, vtep_addresses=("192.0.2.9",)))),
        ("local_port", Input.PLACEMENTS, deleted(P1)),
        ("subnet", Input.SUBNETS, deleted(S)),
        ("network", Input.NETWORKS, deleted(N)),
        ("host", Input.HOSTS, deleted(H2)),
    ],
)
def test_a_node_without_a_handler_runs_whole(node: str, input: Input, change: Change) -> None:
    """An input without a handler makes its node, and no other, recompute; what is told is the same."""
    nodes = [Unhandling(n, [input] if n.name == node else []) for n in item_nodes()]
    rows = (H1, H2, N, S, P1, P2, UNBOUND)

    outcome = a_graph(*rows, nodes=nodes).advance([change], 2)

    assert outcome.stats.recomputed == (node,)
    assert _said(outcome.scopes) == _said(a_graph(*rows).advance([change], 2).scopes)


def test_a_recompute_of_a_right_graph_changes_nothing() -> None:
    """The audit runs every node and finds no difference."""
    outcome = _graph().recompute()

    assert outcome.scopes == ()
    assert set(outcome.stats.recomputed) == {"placement", *(node.name for node in item_nodes())}


def test_a_wrong_change_is_named() -> None:
    """A change whose row is not of its kind is refused with both names."""
    with pytest.raises(TypeError, match="a change of a port carries a Host"):
        _graph().advance([Change("port", "p9", None, H1)], 11)


# --- envelopes ---------------------------------------------------------------------------------------------


def test_only_items_with_references_carry_a_revision() -> None:
    """A local port refers to its network, since the revision that put it on the host; other items refer to nothing."""
    graph = _graph()
    graph.advance([created(NEW)], 11)

    since = {key_of(entry.item): entry.since for scope in graph.scopes() for entry in graph.entries(scope)}
    assert since.pop(_local("new")) == 11
    assert since.pop(_local("p1")) == since.pop(_local("p2")) == 10
    assert set(since.values()) == {0}


def test_an_equal_reference_keeps_its_revision() -> None:
    """An edit that leaves a port's references as they were leaves their `since`; so does the step that tells it."""
    graph = _graph()

    outcome = graph.advance([updated(P1, replaced(P1, name="web", fixed_ips=()))], 11)

    (change,) = [change for change in outcome.scopes if change.scope == host_scope("h1")]
    assert [entry.since for entry in change.put] == [10]


@pytest.mark.parametrize(
    "fields",
    [{"binding_host_id": "host-h2", "binding_generation": 1}, {"network_id": "m"}],
)
def test_a_new_reference_has_a_new_revision(fields: dict[str, object]) -> None:
    """On another host, or of another network, a port's references are new."""
    graph = _graph()
    graph.advance([updated(P1, replaced(P1, **fields))], 11)

    assert _since(graph, "p1") == 11


def test_after_a_load_a_reference_has_the_rows_revision() -> None:
    """After a load `since` is the revision in which the port's row last changed, never the head."""
    graph = Graph.load(A_REGION, [H1, N, P1], revision=50, row_revisions={"h1": 3, "n": 4, "p1": 7})

    assert (_since(graph, "p1"), _placed(graph, "p1").bound_at) == (7, 7)


def test_a_reference_that_was_loaded_keeps_its_revision_until_it_is_another() -> None:
    """An edit of the port or its network leaves it, another group does not, and coming again does not bring it back."""
    graph = Graph.load(A_REGION, [H1, N, P1], revision=50, row_revisions={"h1": 3, "n": 9, "p1": 7})
    since = []
    for revision, change in enumerate(
        (
            updated(P1, replaced(P1, name="web")),
            updated(N, replaced(N, mtu=1400)),
            updated(P1, replaced(P1, security_groups=("g",))),
            deleted(P1),
            created(P1),
        ),
        start=51,
    ):
        graph.advance([change], revision)
        since.append(_since(graph, "p1") if graph.placement("p1") else None)

    assert since == [9, 9, 53, None, 55]


@pytest.mark.parametrize(
    ("fields", "bound_at"),
    [
        ({"name": "web"}, 10),
        ({"security_groups": ()}, 10),
        ({"fixed_ips": ()}, 10),
        ({"admin_state_up": False, "binding_generation": 1}, 11),
        ({"binding_generation": 2}, 11),
        ({"binding_host_id": "host-h2", "binding_generation": 1}, 11),
    ],
)
def test_status_is_reckoned_from_the_last_binding(fields: dict[str, object], bound_at: int) -> None:
    """Binding and administrative state move the revision a status waits for; later edits do not."""
    graph = _graph()
    graph.advance([updated(P1, replaced(P1, **fields))], 11)

    assert _placed(graph, "p1").bound_at == bound_at


def test_a_port_made_again_is_bound_anew() -> None:
    """A port that was deleted and made again in one turn, all alike, must be confirmed again."""
    graph = _graph()

    outcome = graph.advance([deleted(P1), created(P1)], 11)

    assert outcome.scopes == ()
    assert _placed(graph, "p1").bound_at == 11


def test_a_host_made_again_places_its_ports_anew() -> None:
    """Another host of the same name gets the ports that name it, with new references."""
    graph = _graph()

    outcome = graph.advance([deleted(H1), created(a_host("h9", "192.0.2.9", name="host-h1"))], 11)

    assert [step.id for step in outcome.placements] == ["p1"]
    assert (_placed(graph, "p1").host_id, _since(graph, "p1")) == ("h9", 11)
    assert outcome.hosts_gone == ("h1",)


def test_what_is_gone_is_named() -> None:
    """Deleted ports and hosts are named, so that what was observed of them can be forgotten."""
    outcome = _graph().advance([deleted(P1), deleted(UNBOUND), deleted(H2)], 11)

    assert set(outcome.ports_gone) == {"p1", "u"}
    assert outcome.hosts_gone == ("h2",)
    assert {step.id for step in outcome.placements} == {"p1", "p2"}


# --- questions and reloads ---------------------------------------------------------------------------------


def test_a_scope_that_is_not_there_holds_nothing() -> None:
    """Asking for an unknown scope gives an empty state."""
    assert _graph().state(network_scope("nowhere")) == {}


def test_a_scope_that_became_empty_is_gone() -> None:
    """A scope without items is not among the scopes."""
    graph = a_graph(H1, P1)
    graph.advance([deleted(P1), deleted(H1)], 2)

    assert set(graph.scopes()) == {REGION}


def test_a_closure_is_what_a_host_needs() -> None:
    """A host needs its scope, the region's, and the network and neighbours of its ports, others' not."""
    graph = a_graph(H1, H2, P1, a_port("q", "m", "h2"))

    assert set(graph.closure("h1")) == {REGION, host_scope("h1"), network_scope("n"), neighbours_scope("n")}


def test_a_difference_of_graphs_leads_from_one_to_the_other() -> None:
    """After a reload only what differs is told, removals and scopes that are gone included."""
    moved = replaced(P1, binding_host_id="host-h2", binding_generation=1)
    rows: list[Entity] = [H2, N, moved, a_port("q", "m", "h2")]

    changes = list(difference(_graph(), a_graph(*rows)))

    assert _said(changes) == {
        host_scope("h1"): (set(), {Key(ItemKind.HOST, "h1"), _local("p1")}),
        host_scope("h2"): ({_local("p1"), _local("q")}, {_local("p2")}),
        network_scope("n"): (set(), {_at("h1"), Key(ItemKind.SUBNET, "s")}),
        network_scope("m"): ({_at("h2")}, set()),
        neighbours_scope("n"): ({_neighbour("p1")}, {_neighbour("p2")}),
        neighbours_scope("m"): ({_neighbour("q")}, set()),
    }
    assert not list(difference(_graph(), _graph()))


def test_a_reload_keeps_the_revisions_of_what_stayed() -> None:
    """Ports that are where they were keep their revisions; a reload leaves the graph before it as it is."""
    before = _graph()
    renamed, moved = replaced(P1, name="web"), replaced(P2, binding_host_id="host-h1", binding_generation=1)
    revisions = {"p1": 20, "p2": 21}

    after = Graph.load(
        A_REGION, [H1, H2, N, renamed, moved], revision=30, row_revisions=revisions, earlier=before
    )

    assert (_since(after, "p1"), _placed(after, "p1").bound_at) == (10, 10)
    assert (_since(after, "p2"), _placed(after, "p2").bound_at) == (21, 21)
    assert states_of(before) == states_of(_graph())


def test_items_are_values() -> None:
    """What the graph holds are frozen items of the right kinds."""
    graph = a_graph(H1, P1)

    assert isinstance(graph.state(host_scope("h1"))[_local("p1")], LocalPort)
    assert isinstance(graph.state(host_scope("h1"))[Key(ItemKind.HOST, "h1")], HostItem)
    assert isinstance(graph.state(neighbours_scope("n"))[_neighbour("p1")], Neighbour)
