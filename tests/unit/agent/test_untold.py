"""What handlers are told: every step once, joined per item, whatever fails on the way."""

from hypothesis import given
from hypothesis import strategies as st

from alcor.agent.untold import Untold
from alcor.goalstate.item import Neighbour, key_of
from alcor.goalstate.scope import neighbours_scope
from alcor.pipeline.feature import ItemChange, Local, LocalChange
from tests.support.agent import neighbour

SCOPE = neighbours_scope("net")


def a_change(before: Neighbour | None, after: Neighbour | None) -> ItemChange:
    """A neighbour's step."""
    item = after if after is not None else before
    assert item is not None
    return ItemChange(SCOPE, key_of(item), before, after)


def test_steps_of_one_item_are_joined() -> None:
    """Several steps of an item are one; steps that come to nothing are none."""
    first, second = neighbour(1), neighbour(1, mac="fa:16:3e:00:99:99")
    untold = Untold()
    untold.item(a_change(None, first))
    untold.item(a_change(first, second))
    untold.item(a_change(None, neighbour(2)))
    untold.item(a_change(neighbour(2), None))

    assert untold.take({}).items == (a_change(None, second),)


def test_a_local_change_during_a_turn_is_told_by_the_next() -> None:
    """What happens again while a turn is on its way is told again."""
    untold, plugged = Untold(), LocalChange(Local.PORT, "a")
    untold.local.add(plugged)
    confirmed = untold.take({"a": 1})
    untold.local.add(plugged)
    untold.told(confirmed)

    assert confirmed.plugged == {"a": 1}
    assert untold.take({}).local == {plugged}


@given(st.lists(st.tuples(st.integers(1, 3), st.integers(0, 3), st.sampled_from(("step", "good", "bad")))))
def test_nothing_is_lost(steps: list[tuple[int, int, str]]) -> None:
    """However turns succeed and fail between the steps: what was told leads from nothing to the present state."""
    untold, present, told = Untold(), dict[str, Neighbour | None](), dict[str, Neighbour | None]()
    for number, version, kind in (*steps, (1, 1, "good"), (1, 1, "good")):
        if kind == "step":
            after = neighbour(number, mac=f"fa:16:3e:00:00:0{version}") if version else None
            before = present.get(f"port-{number}")
            if before != after:
                untold.item(a_change(before, after))
                present[f"port-{number}"] = after
            continue
        confirmed = untold.take({})
        # In the middle of the turn one more item moves there and back.
        untold.item(a_change(None, neighbour(9)))
        untold.item(a_change(neighbour(9), None))
        if kind == "good":
            for change in confirmed.items:
                assert told.get(change.key.id) == change.before
                assert isinstance(change.after, Neighbour | None)
                told[change.key.id] = change.after
            untold.told(confirmed)

    assert {id: item for id, item in told.items() if item} == {
        id: item for id, item in present.items() if item
    }
    assert untold.items == {}
