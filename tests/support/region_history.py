"""Random histories of random regions, cut by cut."""

from hypothesis import strategies as st

from alcor.model.change import Change
from tests.support.goalstate import Rows, changes_between
from tests.support.region_rows import any_region, legal

Cuts = list[tuple[list[Change], Rows]]
"""The changes of each cut, and the rows after it."""


@st.composite
def histories(draw: st.DrawFn) -> tuple[Rows, Cuts]:
    """The rows at the load, then cuts of one or several transactions, rows of a transaction in any order."""
    start = before = draw(any_region)
    cuts: Cuts = []
    for _ in range(draw(st.integers(1, 5))):
        changes: list[Change] = []
        for region in draw(st.lists(any_region, min_size=1, max_size=3)):
            keep = draw(st.sets(st.sampled_from(sorted(before, key=str)))) if before else set()
            after = legal([*(row for key, row in before.items() if key in keep), *region.values()])
            changes += draw(st.permutations(changes_between(before, after)))
            before = after
        cuts.append((changes, before))
    return start, cuts
