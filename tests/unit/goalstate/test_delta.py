"""The laws of deltas (I7)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alcor.goalstate.delta import Delta, apply, coalesce, diff
from alcor.goalstate.item import Item, Key, NetworkHost, NetworkItem, State, key_of
from tests.support.goalstate import UNTIMED


def _hosts(vteps: dict[str, str]) -> State:
    return {key_of(item): item for item in (NetworkHost(id=id, vtep=vtep) for id, vtep in vteps.items())}


def _mixed(items: list[Item]) -> State:
    return {key_of(item): item for item in items}


# Few ids and values, so that collisions are the rule; two kinds with the same ids, so that keys must hold both.
_items: st.SearchStrategy[Item] = st.one_of(
    st.builds(NetworkHost, id=st.sampled_from("abcd"), vtep=st.sampled_from(["192.0.2.1", "192.0.2.2"])),
    st.builds(
        NetworkItem,
        id=st.sampled_from("abcd"),
        network_type=st.just("vxlan"),
        segmentation_id=st.integers(1, 2),
        mtu=st.just(1450),
        admin_state_up=st.booleans(),
    ),
)
_states = st.lists(_items, max_size=6).map(_mixed)
_histories = st.lists(_states, min_size=2, max_size=7)


@UNTIMED
@given(_states, _states)
def test_a_difference_leads_from_one_state_to_the_other(a: State, b: State) -> None:
    """Applying the difference of a and b to a gives b, and a stays as it was."""
    untouched = dict(a)

    assert apply(a, diff(a, b)) == b
    assert a == untouched


@UNTIMED
@given(_states)
def test_equal_states_have_no_difference(a: State) -> None:
    """The difference of equal states is empty and false."""
    assert not diff(a, dict(a))


@UNTIMED
@given(_states, _states)
def test_a_difference_is_least(a: State, b: State) -> None:
    """A difference puts only what is new or other, and removes only what was there and is gone."""
    delta = diff(a, b)

    assert all(a.get(key) != item for key, item in delta.put.items())
    assert delta.removed == a.keys() - b.keys()


def _steps(history: list[State], start: int, end: int) -> Delta:
    """Deltas of every revision after `start` through `end`, coalesced."""
    delta = Delta(from_revision=start, through=start)
    for p in range(start, end):
        delta = coalesce(delta, diff(history[p], history[p + 1], p, p + 1))
    return delta


@UNTIMED
@given(_histories, st.data())
def test_a_coalesced_delta_applies_to_every_state_it_covers(
    history: list[State], data: st.DataObject
) -> None:
    """apply(state(p), delta(f, t)) == state(t) for every f ≤ p ≤ t: only intermediate states are lost."""
    end = data.draw(st.integers(1, len(history) - 1))
    start = data.draw(st.integers(0, end))

    delta = _steps(history, start, end)

    assert (delta.from_revision, delta.through) == (start, end)
    for p in range(start, end + 1):
        assert apply(history[p], delta) == history[end]


@UNTIMED
@given(_histories, st.data())
def test_overlapping_deltas_coalesce(history: list[State], data: st.DataObject) -> None:
    """A later delta may begin before the earlier one ends, as after a resume; the result covers both."""
    end = len(history) - 1
    middle = data.draw(st.integers(0, end))
    back = data.draw(st.integers(0, middle))

    delta = coalesce(_steps(history, 0, middle), _steps(history, back, end))

    for p in range(end + 1):
        assert apply(history[p], delta) == history[end]


@UNTIMED
@given(_histories)
def test_coalescing_holds_one_value_per_key(history: list[State]) -> None:
    """However many steps there were, a key is put or removed, once (I8)."""
    delta = _steps(history, 0, len(history) - 1)

    assert not delta.put.keys() & delta.removed


def test_a_gap_is_refused() -> None:
    """Deltas with a gap between them do not coalesce, for what lies in the gap would be lost."""
    with pytest.raises(ValueError, match="the revisions between are missing"):
        coalesce(Delta(from_revision=1, through=3), Delta(from_revision=4, through=5))


def test_a_step_back_is_refused() -> None:
    """A delta does not coalesce with one that ends earlier."""
    with pytest.raises(ValueError, match="older"):
        coalesce(Delta(from_revision=1, through=3), Delta(from_revision=1, through=2))


def test_a_put_after_a_removal_wins() -> None:
    """What was removed and put again is put."""
    a, b = _hosts({"a": "192.0.2.1"}), _hosts({"a": "192.0.2.2"})

    delta = coalesce(diff(a, {}, 1, 2), diff({}, b, 2, 3))

    assert delta == Delta(b, frozenset(), 1, 3)
    assert Key(*next(iter(a))) in delta.put
