"""The end of the change log, taken back from an image and gone through again: a dataplane that has just begun knows
what changed last as well as one that lived on (docs/decisions/0026).

The log says each row before and after every change, so the rows of some revisions ago are known without having been
kept. From there on it is the ordinary way: what a change touches is said by the graph, and by nothing else.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from alcor.dataplane.recent import Recent
from alcor.goalstate.graph import Graph
from alcor.goalstate.intent import ENTITIES, early, id_of
from alcor.goalstate.item import RegionItem
from alcor.model.catalogue import BY_ENTITY
from alcor.model.change import Cut, Position
from alcor.model.region_setting import RegionSetting
from alcor.model.resource import Entity
from alcor.store.interface import Image, Store, TooOld

# How far back: what agents of a region that was away for a moment have not heard of is much less. A change takes
# 0.01 ms to read, and 0.01 ms (a port) to 0.5 ms (a host of 50 ports) to go through: a second of a load as a rule.
CUTS_MAX = 1_024
CHANGES_MAX = 4_096
# Read at once: one cut may hold thousands of changes.
_CUTS_READ = 64
# Nobody holds anything through revision 0, and in a message it means that nothing is said.
_FIRST = 2


def floor_of(image: Image) -> int:
    """A revision behind which more than CHANGES_MAX rows changed: the tail cannot reach back to it. 0: there is none.

    So cuts of a bulk load, each of thousands of changes, are not read only to be thrown away. Cost: O(rows), 0.1 µs.
    """
    changes = 0
    for revision, count in sorted(Counter(image.revisions.values()).items(), reverse=True):
        changes += count
        if changes > CHANGES_MAX:
            return revision
    return 0


async def read_tail(store: Store, at: Position, floor: int = 0) -> list[Cut]:
    """The last cuts that led to `at`, without a gap, oldest first; none if the log does not hold them (any more).

    Bound: CUTS_MAX, CHANGES_MAX changes, and those after revision `floor`. Raises: Unavailable.
    """
    tail: list[Cut] = []  # newest first
    lowest = max(_FIRST, floor + 1)
    changes, first, count = 0, at.revision + 1, _CUTS_READ
    while first > lowest and len(tail) < CUTS_MAX:
        after = max(lowest - 1, first - 1 - count)
        try:
            cuts = await store.follow(after, first - 1 - after)
        except TooOld:
            if count == 1:
                break
            count //= 2  # it begins in between
            continue
        if [cut.revision for cut in cuts] != list(range(after + 1, first)):
            break
        for cut in reversed(cuts):
            changes += len(cut.changes)
            if changes > CHANGES_MAX:
                return tail[::-1]
            tail.append(cut)
            first = cut.revision
    return tail[::-1]


def take_back(image: Image, tail: Sequence[Cut]) -> Image:
    """The image as it was before `tail`, which led to it. Cost: O(rows of the kinds that changed).

    When a row of the tail had changed before is not known: not after the image that is returned.
    """
    if not tail:
        return image
    before: dict[str, dict[str, Entity | None]] = {}
    for cut in tail:
        for change in cut.changes:
            before.setdefault(change.kind, {}).setdefault(change.id, change.before)
    revision = tail[0].revision - 1
    rows, revisions = dict(image.rows), dict(image.revisions)
    for entity in ENTITIES:
        former = before.get(BY_ENTITY[entity].name)
        if former is None:
            continue
        kept = [one for one in image.rows[entity] if id_of(one) not in former]
        rows[entity] = kept + [early(row) for row in former.values() if row is not None]
        for id, row in former.items():
            if row is None:
                revisions.pop(id, None)
            else:
                revisions[id] = revision
    return replace(image, position=Position(image.position.epoch, revision), rows=rows, revisions=revisions)


def load_from(region: RegionItem, image: Image, earlier: Graph | None = None) -> Graph:
    """The graph of an image. `earlier`, cost: as `Graph.load`."""
    return Graph.load(
        region,
        (row for entity in ENTITIES for row in image.rows[entity]),
        revision=image.position.revision,
        row_revisions=image.revisions,
        earlier=earlier,
    )


def _since_settings(tail: Sequence[Cut]) -> Sequence[Cut]:
    """The end of a tail behind the cut that made the row of settings, if there is one: what hosts were told before by
    a configuration that nobody wrote down is not known, so all counts as changed with it."""
    kind = BY_ENTITY[RegionSetting].name
    made = [any(one.kind == kind and one.before is None for one in cut.changes) for cut in tail]
    return tail[len(tail) - made[::-1].index(True) :] if any(made) else tail


def load_with(region: RegionItem, image: Image, tail: Sequence[Cut]) -> tuple[Graph, Recent]:
    """The graph of an image that `tail` led to, and what changed by the tail. Cost: as a load, and O(the tail)."""
    tail = _since_settings(tail)
    graph = load_from(region, take_back(image, tail))
    recent = Recent(graph.revision)
    for cut in tail:
        for change in graph.advance(cut.changes, cut.revision).scopes:
            recent.note(change, cut.revision)
    return graph, recent
