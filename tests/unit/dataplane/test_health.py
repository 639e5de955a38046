"""Who reaches whom: what hosts say of the paths from their switches, counted for those at the other end."""

from hypothesis import given
from hypothesis import strategies as st

from alcor.dataplane.health import Neighbours, Reached
from alcor.goalstate.graph import Graph
from tests.support.goalstate import a_graph, a_host

ENDS = {"a": "192.0.2.1", "b": "192.0.2.2", "c": "192.0.2.3"}


def graph() -> Graph:
    return a_graph(*(a_host(id, end) for id, end in ENDS.items()))


def test_a_switch_that_lives_without_its_agent() -> None:
    """Neighbours reach it whether its agent is heard or not; when they miss it, both are told."""
    neighbours, region = Neighbours(), graph()

    met = [
        neighbours.hear("b", {ENDS["a"]: True}, region),
        neighbours.hear("c", {ENDS["a"]: True, ENDS["b"]: True}, region),
        neighbours.hear("a", {}, region),
    ]
    lives = neighbours.reached("a", region)
    met.append(neighbours.hear("b", {ENDS["a"]: False}, region))

    assert met == [{"a"}, {"a", "b"}, set(), {"a"}]
    assert lives == Reached(by=2, missed_by=0)
    assert neighbours.reached("a", region) == Reached(by=1, missed_by=1)
    assert neighbours.down("b") == (ENDS["a"],)
    assert neighbours.down("c") == ()


def test_who_is_not_heard_says_nothing() -> None:
    """What a host said of others goes with it, and an end that is nobody's is nobody's matter."""
    neighbours, region = Neighbours(), graph()
    neighbours.hear("b", {ENDS["a"]: False, "198.51.100.9": False}, region)

    met = neighbours.hear("b", {}, region)

    assert met == {"a"}
    assert neighbours.reached("a", region) == Reached()
    assert neighbours.down("b") == ()


said = st.dictionaries(st.sampled_from(sorted(ENDS.values())), st.booleans())


@given(st.lists(st.tuples(st.sampled_from(sorted(ENDS)), said)))
def test_counts_are_those_of_what_was_said_last(reports: list[tuple[str, dict[str, bool]]]) -> None:
    """However often hosts change their minds, the counts are those of their last words."""
    neighbours, region = Neighbours(), graph()
    last: dict[str, dict[str, bool]] = {}
    for host_id, paths in reports:
        before = {id: neighbours.reached(id, region) for id in ENDS}
        met = neighbours.hear(host_id, paths, region)
        last[host_id] = paths
        after = {id: neighbours.reached(id, region) for id in ENDS}
        assert {id for id in ENDS if before[id] != after[id]} <= met

    for id, end in ENDS.items():
        words = [paths[end] for paths in last.values() if end in paths]
        assert neighbours.reached(id, region) == Reached(words.count(True), words.count(False))
