"""A dict that finds its items by more than their ids."""

from hypothesis import given
from hypothesis import strategies as st

from alcor.goalstate.indexed import Indexed

_ids = st.integers(0, 30).map(str)
_names = st.frozensets(st.sampled_from("abc"), max_size=3)
_steps = st.lists(st.tuples(_ids, st.none() | _names), max_size=80)


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
