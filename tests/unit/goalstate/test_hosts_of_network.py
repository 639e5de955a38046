"""Who is told the hosts of a network."""

from alcor.goalstate.graph import Graph
from alcor.goalstate.item import ItemKind
from alcor.goalstate.scope import Scope, ScopeKind, hosts_scope, network_scope
from tests.support.goalstate import A_REGION, a_graph, a_host, a_network, a_port, deleted, expected, states_of

NETWORK = a_network("n")
PORTS = [
    a_port("a", "n", "h", mac_address="fa:16:3e:00:00:0a"),
    a_port("b", "n", "h", mac_address="fa:16:3e:00:00:0b"),
    a_port("c", "n", "i", mac_address="fa:16:3e:00:00:0c"),
]


def _told(graph: Graph, scope: Scope) -> set[str]:
    return {key.id for key in graph.state(scope) if key.kind is ItemKind.NETWORK_HOST}


def test_on_many_hosts_only_relays_are_told() -> None:
    """Above the limit the hosts are in a scope of their own, which the relay refers to and other hosts do not."""
    assert (A_REGION.relay_above, A_REGION.flood_above) == (2, 1)
    graph = a_graph(
        a_host("h"), a_host("i", "192.0.2.2"), a_host("g", "192.0.2.3", gateway=True), NETWORK, *PORTS
    )

    assert (_told(graph, network_scope("n")), _told(graph, hosts_scope("n"))) == (set(), {"h", "i"})
    assert hosts_scope("n") in graph.closure("g")
    assert not any(scope.kind is ScopeKind.HOSTS for host in ("h", "i") for scope in graph.closure(host))


def test_without_relays_all_are_told() -> None:
    """There is nobody to leave the list to."""
    graph = a_graph(a_host("h"), a_host("i", "192.0.2.2"), NETWORK, *PORTS)

    assert (_told(graph, network_scope("n")), _told(graph, hosts_scope("n"))) == ({"h", "i"}, set())


def test_a_network_that_shrinks_tells_all_in_one_step() -> None:
    """At the limit the list comes back whole, in one step of the network's scope; relays hold it all the while."""
    rows = [a_host("h"), a_host("i", "192.0.2.2"), a_host("g", "192.0.2.3", gateway=True), NETWORK]
    more = a_port("d", "n", "h", mac_address="fa:16:3e:00:00:0d")
    graph = a_graph(*rows, *PORTS, more)

    outcome = graph.advance([deleted(PORTS[2])], 2)

    [step] = [one for one in outcome.scopes if one.scope == network_scope("n")]
    assert [entry.item.id for entry in step.put] == ["h"]
    assert _told(graph, hosts_scope("n")) == {"h"}
    assert outcome.stats.recomputed == ()
    assert states_of(graph) == expected([*rows, *PORTS[:2], more])
