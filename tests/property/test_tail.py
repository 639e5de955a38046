"""What is remembered of the latest changes is never less than what changed, for a dataplane that lived on and for one
that has just begun: whoever goes on from where it was comes to what is."""

from hypothesis import given, settings
from hypothesis import strategies as st

from alcor.dataplane.recent import Lately, Recent
from alcor.dataplane.tail import load_with
from alcor.goalstate.intent import ENTITIES
from alcor.goalstate.item import State
from alcor.goalstate.scope import Scope
from alcor.model.change import Change, Cut, Position
from alcor.model.resource import Entity
from alcor.store.interface import Image
from tests.support.goalstate import A_REGION, UNTIMED, Rows, a_graph, applied, expected, states_of
from tests.support.region_history import Cuts, histories

States = dict[Scope, State]


def image_of(start: Rows, cuts: Cuts) -> Image:
    """What a store shows after the cuts; the first one led to revision 2."""
    revisions = {row.id: 1 for row in start.values()}
    for revision, (changes, _) in enumerate(cuts, start=2):
        revisions |= dict.fromkeys((change.id for change in changes), revision)
    rows = cuts[-1][1] if cuts else start
    held: dict[type[Entity], list[Entity]] = {entity: [] for entity in ENTITIES}
    for row in rows.values():
        held[type(row)].append(row)
    kept = {row.id for row in rows.values()}
    revisions = {id: revision for id, revision in revisions.items() if id in kept}
    return Image(Position(1, len(cuts) + 1), held, revisions)


def assert_sound(lately: Lately, scope: Scope, history: dict[int, States]) -> None:
    """From every revision of the history on, what is said of the scope leads to what it is."""
    now = history[max(history)].get(scope, {})
    for revision, states in history.items():
        then = states.get(scope, {})
        if revision >= lately.changed:
            assert then == now
        if revision >= lately.floor:
            keys = [one.key for one in lately.late if one.revision > revision]
            kept = {key: item for key, item in then.items() if key not in keys}
            assert kept | {key: now[key] for key in keys if key in now} == now


def made_settings(change: Change) -> bool:
    """Whether a change made the row of settings."""
    return change.kind == "region_setting" and change.before is None


def scopes_in(history: dict[int, States]) -> set[Scope]:
    """Every scope there ever was."""
    return {scope for states in history.values() for scope in states}


@settings(UNTIMED)
@given(histories(), st.data())
def test_a_tail_leads_to_what_is_and_says_what_changed(
    history: tuple[Rows, Cuts], data: st.DataObject
) -> None:
    """The image taken back and brought forward again is what was stored; each scope's last change is found exactly."""
    start, cuts = history
    length = data.draw(st.integers(0, len(cuts)), label="cuts in the tail")
    base = len(cuts) + 1 - length
    tail = [Cut(base + n, tuple(changes)) for n, (changes, _) in enumerate(cuts[len(cuts) - length :], 1)]
    # What a configuration had hosts told, before a row said it, is not known.
    base = max([base, *(cut.revision for cut in tail if any(made_settings(one) for one in cut.changes))])
    rows = {1: start} | {revision: after for revision, (_, after) in enumerate(cuts, start=2)}
    states = {revision: expected(rows[revision].values()) for revision in rows if revision >= base}

    graph, recent = load_with(A_REGION, image_of(start, cuts), tail)

    assert graph.revision == len(cuts) + 1
    assert states_of(graph) == states[graph.revision]
    for scope in scopes_in(states):
        assert_sound(recent.of(scope), scope, states)
        changes = [r for r in states if r > base and states[r].get(scope, {}) != states[r - 1].get(scope, {})]
        assert recent.changed(scope) == max(changes, default=base)


@settings(UNTIMED)
@given(histories(), st.integers(1, 12), st.integers(2, 4))
def test_what_is_remembered_in_little_room_is_sound(
    history: tuple[Rows, Cuts], items_max: int, of_scope_max: int
) -> None:
    """However little is remembered, nothing counts as older than it is."""
    start, cuts = history
    graph = a_graph(*start.values())
    recent = Recent(1, items_max, of_scope_max)
    held = states_of(graph)
    states = {1: held}
    for revision, (changes, _) in enumerate(cuts, start=2):
        outcome = graph.advance(changes, revision)
        for change in outcome.scopes:
            recent.note(change, revision)
        held = states[revision] = applied(held, outcome)

    for scope in scopes_in(states):
        assert_sound(recent.of(scope), scope, states)
