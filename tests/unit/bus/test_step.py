"""What is merged while it waits for its reader."""

from alcor.bus.interface import Late, Publication, Put
from alcor.bus.local import Step
from alcor.goalstate.item import key_of
from alcor.goalstate.scope import neighbours_scope
from tests.support.bus import EPOCH, a_neighbour

SCOPE = neighbours_scope("net-1")
A, B, C = (a_neighbour(id) for id in "abc")


def test_a_snapshot_remembers_what_is_merged_into_it() -> None:
    """It says when each of its latest changes was, also of those that came after it was made."""
    late = (Late(key_of(A), 5), Late(key_of(B), 6))
    put = tuple(Put(item, 0) for item in (A, B))
    said = Publication(
        scope=SCOPE,
        epoch=EPOCH,
        generation=1,
        from_revision=0,
        through=7,
        put=put,
        changed=6,
        floor=4,
        late=late,
    )
    step = Step(said, 0)

    assert step.merges(
        Publication(
            scope=SCOPE,
            epoch=EPOCH,
            generation=1,
            from_revision=7,
            through=9,
            put=(Put(C, 0),),
            removed=(key_of(A),),
        ),
        7,
    )

    assert (step.changed, step.floor, list(step.put)) == (9, 4, [key_of(B), key_of(C)])
    assert step.late == {key_of(B): 6, key_of(C): 9, key_of(A): 9}
