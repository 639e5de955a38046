"""What the publisher says of scopes that somebody begins to want."""

from alcor.bus.interface import Late
from alcor.dataplane.publish import Publisher
from alcor.dataplane.recent import Recent
from alcor.goalstate.graph import ScopeChange
from alcor.goalstate.item import ItemKind, Key
from alcor.goalstate.scope import SHARDS, host_scope
from tests.support.goalstate import a_graph, a_host

A, B = host_scope("a"), host_scope("b")


def test_a_snapshot_says_when_its_scope_changed_last() -> None:
    """Who was there at that moment or later lacks nothing, whoever it hears it from."""
    graph = a_graph(a_host("a", "192.0.2.1"), a_host("b", "192.0.2.2"))
    graph.revision = 20
    publisher = Publisher(1, dict.fromkeys(range(SHARDS), 1), Recent(12))

    gone = Key(ItemKind.LOCAL_PORT, "p")
    publisher.steps([ScopeChange(B, [], [gone])], 17, 18)

    said = [publisher.snapshot(graph, scope) for scope in (A, B)]
    assert [(one.changed, one.floor, one.late) for one in said] == [
        (12, 12, ()),
        (18, 12, (Late(gone, 18),)),
    ]
    assert [publisher.snapshot(graph, scope).through for scope in (A, B)] == [20, 20]
    assert publisher.unchanged(graph, A, 1, 12) is not None
    assert publisher.unchanged(graph, B, 1, 17) is None
