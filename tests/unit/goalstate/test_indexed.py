"""A dict that finds its items by more than their ids."""

from hypothesis import given
from hypothesis import strategies as st

from alcor.goalstate.indexed import Indexed

_ids = st.integers(0, 30).map(str)
_names = st.frozensets(st.sampled_from("abc"), max_size=3)
_steps = st.lists(st.tuples(_ids, st.none() | _names), max_size=80)


@given(st.dictionaries(_ids, _names, max_size=40), _steps)
def test_what_it_is_filled_with_is_found_as_what_is_set(
    items: dict[str, frozenset[str]], steps: list[tuple[str, frozenset[str] | None]]
) -> None:
    """`fill` does at once what setting each item does, whatever comes after."""
    filled, set_one_by_one = Indexed[frozenset[str]](sorted), Indexed[frozenset[str]](sorted)
    filled.fill(items.items())
    for id, names in items.items():
        set_one_by_one[id] = names
    for indexed in (filled, set_one_by_one):
        for id, changed in steps:
            if changed is None:
                indexed.pop(id, None)
            else:
                indexed[id] = changed

    assert filled == set_one_by_one
    assert [filled.find(name) for name in "abc"] == [set_one_by_one.find(name) for name in "abc"]


@given(_steps)
def test_an_index_finds_what_a_search_finds(steps: list[tuple[str, frozenset[str] | None]]) -> None:
    """However many items share a name, `find` gives their ids, in the order in which they came to have it."""
    indexed: Indexed[frozenset[str]] = Indexed(sorted)
    came: dict[str, dict[str, None]] = {name: {} for name in "abc"}
    for id, names in steps:
        if names is None:
            indexed.pop(id, None)
        else:
            indexed[id] = names
        for name, ids in came.items():
            if names is not None and name in names:
                ids.setdefault(id)
            else:
                ids.pop(id, None)

        for name, ids in came.items():
            assert indexed.find(name) == tuple(ids)
            assert indexed.found(name) == [indexed[one] for one in ids]
    assert indexed.copy() == indexed
    indexed.clear()
    assert [indexed.find(name) for name in "abc"] == [()] * 3
