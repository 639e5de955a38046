"""`since`: the revision that brought an item's references (protocol, section 4)."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alcor.goalstate.graph import Graph
from alcor.goalstate.item import ItemKind, Key, refers
from alcor.goalstate.scope import Scope, host_scope, router_scope, rules_scope
from alcor.model.port import FixedIp
from alcor.model.resource import Entity
from alcor.model.router import Router
from alcor.model.security_group import SecurityGroup
from alcor.model.security_group_rule import SecurityGroupRule
from tests.support.goalstate import (
    A_REGION,
    UNTIMED,
    Rows,
    a_graph,
    a_host,
    a_network,
    a_port,
    a_subnet,
    changes_between,
    created,
    deleted,
    replaced,
    updated,
)
from tests.support.region_rows import any_region

H, N, S = a_host("h"), a_network("n"), a_subnet("s", "n")
P = a_port("p", "n", "h", "10.0.0.9", security_groups=("g",))
G = SecurityGroup(id="g")
RULE = SecurityGroupRule(id="1", security_group_id="g", direction="ingress")
R = Router(id="r")
INSIDE = a_port("ri", "n", "", "10.0.0.1", device_owner="network:router_interface", device_id="r")
ROWS: tuple[Entity, ...] = (H, N, S, P, G, RULE, R, INSIDE)
PORT, ROUTER, RULES = (Key(ItemKind.LOCAL_PORT, "p"), Key(ItemKind.ROUTER, "r"), Key(ItemKind.RULES, "g"))


def _since(graph: Graph, scope: Scope, key: Key) -> int:
    return {Key(key.kind, e.item.id): e.since for e in graph.entries(scope) if e.item.id == key.id}[key]


@pytest.mark.parametrize(
    ("changed", "since"),
    [
        (replaced(P, name="web"), 10),
        (replaced(P, security_groups=("g", "f")), 11),
        (replaced(P, security_groups=()), 11),
        (replaced(P, port_security_enabled=False), 11),
        (replaced(P, qos_policy_id="z"), 11),
        (replaced(N, qos_policy_id="z"), 11),
        (replaced(N, mtu=1300), 10),
        (replaced(INSIDE, fixed_ips=()), 10),
        (replaced(INSIDE, device_id="gone"), 11),
    ],
)
def test_a_ports_references_are_as_old_as_the_last_that_came_or_went(changed: Entity, since: int) -> None:
    """A group, policy or router that a port comes to refer to, by whatever row, dates its references."""
    graph = a_graph(*ROWS, revision=10)
    graph.advance([updated(changed, changed)], 11)

    assert _since(graph, host_scope("h"), PORT) == since


def test_a_routers_references_date_from_its_interfaces() -> None:
    """Another network makes a router's references new; another address on the same network does not."""
    graph = a_graph(*ROWS, revision=10)

    graph.advance([updated(INSIDE, replaced(INSIDE, fixed_ips=(FixedIp("s", "10.0.0.2"),)))], 11)
    assert _since(graph, router_scope("r"), ROUTER) == 10
    second = replaced(INSIDE, id="r2", network_id="m", fixed_ips=(FixedIp("ms", "10.8.0.1"),))
    graph.advance([created(a_subnet("ms", "m", cidr="10.8.0.0/24")), created(second)], 12)
    assert _since(graph, router_scope("r"), ROUTER) == 12


def test_a_groups_references_date_from_its_rules() -> None:
    """A rule about another group makes the references of a group's rules new, and their loss leaves none."""
    graph = a_graph(*ROWS, revision=10)
    about = replaced(RULE, id="2", remote_group_id="f")

    assert _since(graph, rules_scope("g"), RULES) == 0
    graph.advance([created(about)], 11)
    graph.advance([updated(RULE, replaced(RULE, protocol="tcp"))], 12)
    assert _since(graph, rules_scope("g"), RULES) == 11
    graph.advance([deleted(about)], 13)
    assert _since(graph, rules_scope("g"), RULES) == 0


def test_after_a_load_references_are_as_old_as_the_rows_they_come_from() -> None:
    """Without a graph before it, a load takes the latest change of the rows that an item's references name."""
    revisions = {"p": 7, "n": 3, "r": 21, "ri": 20, "g": 5, "1": 6}

    graph = Graph.load(A_REGION, ROWS, revision=50, row_revisions=revisions)

    assert _since(graph, host_scope("h"), PORT) == 21
    assert _since(graph, router_scope("r"), ROUTER) == 21


@settings(UNTIMED)
@given(st.lists(any_region, min_size=1, max_size=4))
def test_references_are_never_dated_before_they_came(regions: list[Rows]) -> None:
    """Whatever happens, an item that refers says the revision of the turn since which it refers to just that."""
    graph = a_graph()
    wanted: dict[tuple[Scope, Key], tuple[tuple[Scope, ...], int]] = {}
    before: Rows = {}
    for revision, rows in enumerate(regions, 2):
        graph.advance(changes_between(before, rows), revision)
        before, old = rows, wanted
        wanted = {}
        for scope in graph.scopes():
            for key, item in graph.state(scope).items():
                targets = refers(item)
                was = old.get((scope, key), ((), 0))
                wanted[scope, key] = was if targets == was[0] else (targets, revision if targets else 0)

        found = {
            (scope, key): _entry_since
            for scope in graph.scopes()
            for (key, _entry_since) in zip(
                graph.state(scope), (entry.since for entry in graph.entries(scope)), strict=True
            )
        }
        assert found == {place: since for place, (_, since) in wanted.items()}
