"""The rules of a held scope: what is applied, refused, reloaded, remembered and forgotten."""

from collections.abc import AsyncIterator, Sequence

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alcor.bus.interface import (
    Envelope,
    Heads,
    HostReport,
    Late,
    Publication,
    Reply,
    ScopeUpdate,
)
from alcor.goalstate.item import ItemKind, Key
from alcor.goalstate.scope import Scope, neighbours_scope, network_scope, shard_of
from alcor.ncm.held_scope import TOMBSTONES_MIN, HeldScope
from alcor.ncm.scope_cache import ScopeCache

SCOPE = neighbours_scope("net-1")
SHARD = shard_of(SCOPE)
TARGET = network_scope("other")


class RecordingBus:
    """Notes what is wanted; the test brings the updates itself."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Scope]] = []

    def want(self, scope: Scope) -> None:
        self.calls.append(("want", scope))

    def unwant(self, scope: Scope) -> None:
        self.calls.append(("unwant", scope))

    def publish(self, updates: Sequence[Publication], heads: Heads) -> None:
        raise NotImplementedError("the cache does not publish")

    async def ask(self, host_id: str, body: bytes, within_s: float) -> bytes:
        raise NotImplementedError("the cache asks no agent")

    def reply(self, reply: Reply) -> None:
        raise NotImplementedError("the cache answers nothing")

    def serve(self, snapshot: object) -> None:
        raise NotImplementedError("the cache does not serve")

    def updates(self) -> AsyncIterator[Sequence[ScopeUpdate | Heads]]:
        raise NotImplementedError("the cache does not read")

    def report(self, report: HostReport) -> None:
        raise NotImplementedError("the cache does not report")

    def reports(self) -> AsyncIterator[Sequence[HostReport]]:
        raise NotImplementedError("the cache does not read reports")


class Watcher:
    """A subscriber that counts."""

    def __init__(self) -> None:
        self.woken = 0

    def wake(self) -> None:
        self.woken += 1


def key(id: str) -> Key:
    return Key(ItemKind.NEIGHBOUR, id)


def envelope(id: str, body: str = "", since: int = 0, refers: tuple[Scope, ...] = ()) -> Envelope:
    return Envelope(key(id), since, refers, (body or id).encode())


def step(
    begins: int,
    through: int,
    *put: Envelope,
    removed: tuple[str, ...] = (),
    epoch: int = 1,
    generation: int = 1,
    more: bool = False,
) -> ScopeUpdate:
    return ScopeUpdate(
        scope=SCOPE,
        epoch=epoch,
        generation=generation,
        from_revision=begins,
        through=through,
        put=put,
        removed=tuple(key(id) for id in removed),
        more=more,
    )


def heads(through: int, *, epoch: int = 1, generation: int = 1) -> Heads:
    return Heads(epoch=epoch, generation=generation, through={SHARD: through})


class Desk:
    """A cache with one scope and one subscriber."""

    def __init__(self, *messages: ScopeUpdate | Heads, grace_s: float = 60.0) -> None:
        self.bus = RecordingBus()
        self.cache = ScopeCache(self.bus, grace_s=grace_s)
        self.watcher = Watcher()
        self.held: HeldScope = self.cache.acquire(SCOPE, self.watcher)
        for message in messages:
            self.cache.take(message)

    def content(self) -> list[tuple[str, str, int]]:
        return [(each.key.id, each.body.decode(), revision) for revision, each in self.held.entries.values()]

    @property
    def asked_again(self) -> bool:
        return self.bus.calls[1:] == [("unwant", SCOPE), ("want", SCOPE)]


LOADED = step(0, 10, envelope("a"), envelope("b"))


def test_loading() -> None:
    """A scope is wanted once, and is loaded by its snapshot at the snapshot's revision."""
    desk = Desk()
    desk.cache.acquire(SCOPE, Watcher())
    assert (desk.bus.calls, desk.held.loaded) == ([("want", SCOPE)], False)

    desk.cache.take(LOADED)

    assert desk.content() == [("a", "a", 10), ("b", "b", 10)]
    assert (desk.held.position, desk.held.floor, desk.held.changed) == (10, 10, 10)
    assert desk.watcher.woken == 1


def test_loading_what_changed_long_ago() -> None:
    """Who stands at the last change or after it lacks nothing of a scope that was loaded later; who was before does."""
    desk = Desk(msgspec.structs.replace(LOADED, changed=4))

    assert (desk.held.position, desk.held.floor, desk.held.changed) == (10, 4, 4)
    assert desk.held.suffix_after(4) == ([], [])
    desk.cache.take(step(10, 11, envelope("c")))
    assert [each.key.id for _, each in desk.held.suffix_after(4)[0]] == ["c"]


def test_loading_with_the_latest_changes() -> None:
    """Whoever stands at the floor or after it goes on from there: what changed since is told, the gone with it."""
    late = (Late(key("x"), 6), Late(key("a"), 8))
    desk = Desk(msgspec.structs.replace(LOADED, changed=8, floor=4, late=late))

    assert (desk.held.position, desk.held.floor, desk.held.changed) == (10, 4, 8)
    assert desk.content() == [("b", "b", 4), ("a", "a", 8)]
    told = {}
    for position in (4, 6, 8):
        puts, gone = desk.held.suffix_after(position)
        told[position] = [each.key.id for _, each in puts], [one.id for _, one in gone]
    assert told == {4: (["a"], ["x"]), 6: (["a"], []), 8: ([], [])}


def test_the_latest_changes_are_forgotten_within_bounds() -> None:
    """Tombstones that a snapshot brings count as others do: beyond the bound the floor rises."""
    late = tuple([Late(key(f"gone-{number}"), number) for number in range(5, 6 + TOMBSTONES_MIN)])
    desk = Desk(msgspec.structs.replace(LOADED, through=200, changed=5 + TOMBSTONES_MIN, floor=4, late=late))

    assert len(desk.held.tombstones) == TOMBSTONES_MIN // 2
    assert desk.held.floor == min(desk.held.tombstones.values()) - 1


def test_a_step_before_the_snapshot_is_ignored() -> None:
    """What overtakes the snapshot is in it, or follows from it."""
    desk = Desk(step(4, 5, envelope("x")), heads(5))

    assert (desk.held.loaded, desk.asked_again) == (False, False)


@pytest.mark.parametrize(
    ("begins", "through", "is_applied", "is_gap"),
    [
        (10, 11, True, False),
        (7, 12, True, False),
        (9, 10, False, False),
        (3, 7, False, False),
        (11, 12, False, True),
    ],
)
def test_a_step_is_applied_iff_it_covers_the_position(
    begins: int, through: int, is_applied: bool, is_gap: bool
) -> None:
    """Apply iff from ≤ position < through; ignore what is old; load again after a gap."""
    desk = Desk(LOADED)

    desk.cache.take(step(begins, through, envelope("c")))

    assert (key("c") in desk.held.entries) == is_applied
    assert desk.held.position == (through if is_applied else 10)
    assert desk.asked_again == is_gap


def test_that_nothing_changed_is_told() -> None:
    """An empty step moves the position, and subscribers look: heads that would say it may have been lost."""
    desk = Desk(LOADED)

    desk.cache.take(step(10, 14))

    assert (desk.held.position, desk.held.changed, desk.watcher.woken) == (14, 10, 2)
    assert desk.content() == [("a", "a", 10), ("b", "b", 10)]


def test_last_changed_last() -> None:
    """The map's order is the order of changes; the suffix after a position is its end."""
    desk = Desk(LOADED)
    desk.cache.take(step(10, 11, envelope("c")))
    desk.cache.take(step(11, 12, envelope("a", "A"), removed=("b",)))

    assert desk.content() == [("c", "c", 11), ("a", "A", 12)]
    puts, gone = desk.held.suffix_after(11)
    assert [(revision, each.key.id) for revision, each in puts] == [(12, "a")]
    assert gone == [(12, key("b"))]
    assert [len(part) for part in desk.held.suffix_after(10)] == [2, 1]


def test_the_last_step_fits_everybody_who_was_up_to_date() -> None:
    """The last step is told from the change before it: who has that one lacks exactly this, whatever heads it knows."""
    desk = Desk(LOADED, heads(15), step(15, 16, envelope("c")))

    assert desk.held.latest == step(10, 16, envelope("c"))


def test_an_item_that_returns_has_no_tombstone() -> None:
    """An item removed and put again is live."""
    desk = Desk(LOADED, step(10, 11, removed=("a",)), step(11, 12, envelope("a")))

    assert desk.held.suffix_after(10) == ([(12, envelope("a"))], [])


def test_heads_move_a_loaded_scope() -> None:
    """A head says that nothing else happened: a step may start there."""
    desk = Desk(LOADED, heads(15))
    assert desk.held.position == 15

    desk.cache.take(step(15, 16, envelope("c")))

    assert (desk.held.position, desk.asked_again) == (16, False)


def test_heads_before_the_snapshot_do_not_count() -> None:
    """A head taken in before a scope was loaded says nothing of what that scope's snapshot may have missed."""
    desk = Desk(heads(15), LOADED)

    assert desk.held.position == 10


def test_heads_of_a_holder_that_is_behind_say_no_more_than_they_say() -> None:
    """What its predecessor said counts for the scopes that were there, and not for one that is loaded from itself."""
    desk = Desk(LOADED, heads(15), heads(12, generation=2))
    assert desk.held.position == 15

    desk = Desk(heads(15), step(0, 12, envelope("a"), generation=2), heads(12, generation=2))

    assert desk.held.position == 12


def test_a_position_never_goes_back() -> None:
    """A gap, and loading again at an older revision, leave the position where it was."""
    desk = Desk(LOADED, heads(15), step(17, 18, envelope("c")))
    assert (desk.asked_again, desk.held.position) == (True, 15)

    desk.cache.take(step(0, 12, envelope("x")))

    assert desk.held.position == 15
    assert key("x") not in desk.held.entries


def test_a_snapshot_does_not_take_back_what_heads_said() -> None:
    """A snapshot from where the heads stand, or from before, leaves the scope there: no head says it again."""
    for through in (7, 9):
        desk = Desk(step(0, 5, envelope("a")), heads(9))

        desk.cache.take(step(0, through, envelope("a")))

        assert desk.held.position == 9


def test_loading_again_counts_only_differences() -> None:
    """A snapshot of what is held becomes a step: who stood at the old position goes on from there."""
    desk = Desk(LOADED, step(12, 13, envelope("z")))
    assert desk.asked_again
    desk.cache.take(step(13, 14, envelope("late")))  # ignored: the snapshot will say it

    desk.cache.take(step(0, 14, envelope("a"), envelope("c")))

    assert desk.content() == [("a", "a", 10), ("c", "c", 14)]
    assert desk.held.suffix_after(10) == ([(14, envelope("c"))], [(14, key("b"))])
    assert desk.held.floor == 10


def test_a_snapshot_in_chunks() -> None:
    """A snapshot in chunks counts when its last one has come."""
    desk = Desk(LOADED, step(0, 20, envelope("a"), more=True))
    assert [id for id, _, _ in desk.content()] == ["a", "b"]

    desk.cache.take(step(0, 20, envelope("c")))

    assert [id for id, _, _ in desk.content()] == ["a", "c"]


def test_lower_generations_are_refused() -> None:
    """Who was replaced is not heard any more, neither its steps nor its heads (I9)."""
    desk = Desk(LOADED, step(10, 11, envelope("new"), generation=3))

    desk.cache.take(step(11, 12, envelope("old"), generation=2))
    desk.cache.take(heads(50, generation=2))

    assert key("old") not in desk.held.entries
    assert desk.held.position == 11


def test_lower_epochs_are_refused() -> None:
    """The old history is over once the new one was seen."""
    desk = Desk(LOADED, step(0, 3, envelope("n"), epoch=2))
    assert desk.content() == [("n", "n", 3)]

    desk.cache.take(step(3, 30, envelope("old"), epoch=1))
    desk.cache.take(heads(50, epoch=1))

    assert (desk.content(), desk.held.position, desk.held.floor) == ([("n", "n", 3)], 3, 3)


def test_a_step_of_a_new_epoch_is_a_gap() -> None:
    """Positions of two epochs do not compare: the scope is loaded again."""
    desk = Desk(LOADED)

    desk.cache.take(step(9, 11, envelope("c"), epoch=2))

    assert desk.asked_again


def test_heads_of_a_new_epoch_load_what_it_did_not_speak_of() -> None:
    """A scope the new publisher does not know is asked for, or it would stand still for ever."""
    desk = Desk(LOADED)

    desk.cache.take(heads(3, epoch=2))

    assert desk.asked_again


def test_an_equal_item_is_no_change() -> None:
    """A step that says what is held wakes nobody."""
    desk = Desk(LOADED)

    desk.cache.take(step(10, 11, envelope("a"), removed=("zzz",)))

    assert (desk.held.position, desk.held.changed, desk.watcher.woken) == (11, 10, 1)


def test_since_of_a_standing_reference_is_kept() -> None:
    """An equal reference keeps its `since` if its holder's row did not change after our position; else it may have
    been away in between, and the new one counts."""
    desk = Desk(step(0, 10, envelope("a", since=4, refers=(TARGET,))))

    desk.cache.take(step(10, 12, envelope("a", since=9, refers=(TARGET,))))
    assert desk.held.entries[key("a")] == (12, envelope("a", since=4, refers=(TARGET,)))

    desk.cache.take(step(12, 15, envelope("a", since=14, refers=(TARGET,))))
    assert desk.held.entries[key("a")] == (15, envelope("a", since=14, refers=(TARGET,)))


def test_references_are_counted() -> None:
    """A scope is referred to while one of the items does; each change of the set is noticed."""
    desk = Desk(step(0, 10, envelope("a", refers=(TARGET,)), envelope("b", refers=(TARGET,))))
    noticed = desk.cache.references
    desk.cache.take(step(10, 11, removed=("a",)))
    assert (desk.held.refers, desk.cache.references) == ({TARGET: 1}, noticed)

    desk.cache.take(step(11, 12, envelope("b", "changed")))

    assert (desk.held.refers, desk.cache.references) == ({}, noticed + 1)


def test_tombstones_are_bounded_and_raise_the_floor() -> None:
    """There are at most as many tombstones as live items (and a few); the oldest go, and who stood before them cannot
    be resumed any more."""
    desk = Desk(step(0, 1, *[envelope(f"n{number}") for number in range(1000)]))
    for number in range(999):
        desk.cache.take(step(number + 1, number + 2, removed=(f"n{number}",)))
        assert len(desk.held.tombstones) <= max(TOMBSTONES_MIN, len(desk.held.entries))

    gone = [revision for revision, _ in desk.held.suffix_after(desk.held.floor)[1]]
    assert gone == list(range(desk.held.floor + 1, 1001))


async def test_a_scope_is_kept_for_a_grace() -> None:
    """A scope nobody needs is kept for who comes back within the grace."""
    desk = Desk(LOADED)
    desk.cache.release(SCOPE, desk.watcher)
    assert desk.cache.find(SCOPE) is desk.held

    assert desk.cache.acquire(SCOPE, desk.watcher) is desk.held
    assert desk.bus.calls == [("want", SCOPE)]
    desk.cache.close()
    assert desk.bus.calls[-1] == ("unwant", SCOPE)


async def test_a_scope_goes_after_its_grace() -> None:
    """Without a grace, or at once, the scope goes with its last subscriber and is not received any more."""
    for grace_s, at_once in ((0.0, False), (60.0, True)):
        desk, other = Desk(LOADED, grace_s=grace_s), Watcher()
        desk.cache.acquire(SCOPE, other)
        desk.cache.release(SCOPE, desk.watcher, at_once=at_once)
        assert desk.cache.find(SCOPE) is not None

        desk.cache.release(SCOPE, other, at_once=at_once)

        assert desk.cache.find(SCOPE) is None
        assert desk.bus.calls[-1] == ("unwant", SCOPE)
        desk.cache.take(step(10, 11, envelope("late")))
        assert len(desk.cache) == 0


changes = st.lists(
    st.tuples(
        st.dictionaries(st.sampled_from("abcdef"), st.sampled_from("123"), max_size=4),
        st.sets(st.sampled_from("abcdef"), max_size=3),
    ),
    max_size=12,
)


@given(changes)
def test_a_suffix_brings_every_position_to_the_present(steps: list[tuple[dict[str, str], set[str]]]) -> None:
    """State at p, plus the suffix after p, is the present state, for every p at or above the floor (I7)."""
    desk = Desk(step(0, 1))
    states: dict[int, dict[str, str]] = {1: {}}
    for number, (put, gone) in enumerate(steps, start=2):
        gone = gone - put.keys()
        desk.cache.take(
            step(
                number - 1,
                number,
                *[envelope(id, body) for id, body in put.items()],
                removed=tuple(sorted(gone)),
            )
        )
        states[number] = {id: body for id, body in states[number - 1].items() if id not in gone} | put

    present = states[max(states)]
    for position, state in states.items():
        if position < desk.held.floor:
            continue
        puts, removed = desk.held.suffix_after(position)
        reached = {id: body for id, body in state.items() if key(id) not in {each for _, each in removed}}
        reached |= {each.key.id: each.body.decode() for _, each in puts}
        assert reached == present


def test_a_step_of_several_revisions_says_what_is_again_as_it_was() -> None:
    """Who comes from another ncm may hold what was in between: to him equal items and missing ones are changes."""
    desk = Desk(step(0, 10, envelope("a"), envelope("b")))

    desk.cache.take(step(10, 14, envelope("a"), removed=("c",)))

    puts, gone = desk.held.suffix_after(12)
    assert [envelope.key for _, envelope in puts] == [key("a")]
    assert gone == [(14, key("c"))]


def test_who_stands_where_a_snapshot_passed_cannot_go_on() -> None:
    """What changed and changed back inside a snapshot's leap is not known; who stands at its ends goes on."""
    desk = Desk(step(0, 10, envelope("a"), envelope("b")))

    desk.cache.take(step(0, 14, envelope("a", "changed"), envelope("b")))

    assert [position for position in range(9, 16) if desk.held.leads_on(position)] == [10, 14, 15]
