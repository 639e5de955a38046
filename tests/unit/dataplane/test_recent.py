"""What is remembered of the latest changes."""

from alcor.bus.interface import Late
from alcor.dataplane.recent import Lately, Recent
from alcor.goalstate.graph import Entry, ScopeChange
from alcor.goalstate.item import Item, ItemKind, Key
from alcor.goalstate.scope import Scope, host_scope, members_scope
from tests.support.goalstate import A_REGION

A, B = members_scope("a"), host_scope("b")
GONE = Key(ItemKind.MEMBER, "gone")
REGION = Key(ItemKind.REGION, A_REGION.id)


def gone(scope: Scope, *ids: str) -> ScopeChange:
    return ScopeChange(scope, [], [Key(ItemKind.MEMBER, id) for id in ids])


def put(scope: Scope, *items: Item) -> ScopeChange:
    return ScopeChange(scope, [Entry(item, 0) for item in items])


def test_of_what_was_never_noted_only_the_beginning_is_known() -> None:
    """It did not change after that."""
    assert Recent(7).of(A) == Lately(7, 7)


def test_each_item_counts_by_its_last_change() -> None:
    """Once, in the order in which they changed last, whether put or removed."""
    recent = Recent(7)

    recent.note(put(A, A_REGION), 8)
    recent.note(gone(A, "x"), 9)
    recent.note(put(A, A_REGION), 11)
    recent.note(gone(B, "y"), 12)

    assert recent.of(A) == Lately(11, 7, (Late(Key(ItemKind.MEMBER, "x"), 9), Late(REGION, 11)))
    assert [recent.changed(scope) for scope in (A, B, host_scope("c"))] == [11, 12, 7]


def test_of_one_scope_the_latest_changes_are_remembered() -> None:
    """Below the floor nothing is known any more, and what of the floor's own revision was forgotten is not missed."""
    recent = Recent(7, of_scope_max=4)

    for revision, ids in ((8, ("a",)), (9, ("b", "c")), (10, ("d", "e"))):
        recent.note(gone(A, *ids), revision)

    late = recent.of(A)
    assert (late.changed, late.floor) == (10, 9)
    assert [(one.key.id, one.revision) for one in late.late] == [("d", 10), ("e", 10)]


def test_what_changed_long_ago_is_forgotten_first() -> None:
    """Forgotten scopes count as changed when the last of them did, and so do all that were never noted."""
    recent = Recent(7, items_max=6)

    for revision, id in enumerate("abcd", start=8):
        recent.note(gone(host_scope(id), "x"), revision)

    kept = [recent.of(host_scope(id)) for id in "abcd"]
    assert [(one.changed, one.floor, len(one.late)) for one in kept] == [
        (10, 10, 0),
        (10, 10, 0),
        (10, 10, 0),
        (11, 7, 1),
    ]
