"""What is right: the rows of every revision, and the goal state compiled from them, not from the graph."""

from collections.abc import Iterable

from alcor.bus.interface import Envelope
from alcor.goalstate.compile import compile as compile_states
from alcor.goalstate.intent import ENTITIES, Intent
from alcor.goalstate.item import Item, Key, RegionItem, State
from alcor.goalstate.scope import Scope
from alcor.model.change import Position
from alcor.model.resource import Entity
from tests.support.agent import CODEC
from tests.support.sim.store import SimStore

LARGE = 4
"""Networks of more placed ports have relays; of more items, neighbours and members are held on demand where that is."""
REGION_ITEM = RegionItem(
    id="region", responder_mac="fe:00:00:00:00:01", dhcp_lease_s=86_400, relay_above=LARGE
)
_KINDS = frozenset(ENTITIES)
Rows = dict[str, Entity]


class Revision:
    """The rows of one revision, and the goal state they give."""

    def __init__(self, position: Position, rows: Rows) -> None:
        self.position, self.rows = position, rows
        self._states: dict[Scope, State] | None = None

    @property
    def states(self) -> dict[Scope, State]:
        """The goal state; compiled when it is asked for the first time."""
        if self._states is None:
            intent = Intent.of(REGION_ITEM, (row for row in self.rows.values() if type(row) in _KINDS))
            self._states = compile_states(intent)
        return self._states

    def state(self, scope: Scope) -> State:
        """What a scope holds."""
        return self.states.get(scope, {})


class Truth:
    """All revisions of a run. A database that is restored lets a revision have been two different things."""

    def __init__(self) -> None:
        self._revisions: dict[Position, list[Revision]] = {}
        self._read: dict[tuple[Key, bytes], Item] = {}
        self.head = Revision(Position(0, 0), {})

    def begin(self, store: SimStore) -> None:
        """Follow a store from where it stands."""
        self._add(Revision(store.position, {row.id: row for row in store.rows()}))
        store.committed = lambda head: self._follow(store, head)

    def _follow(self, store: SimStore, head: Position) -> None:
        after = self.head.position.revision
        if head.epoch != self.head.position.epoch:
            # The new epoch took one revision for itself.
            self._add(Revision(head, dict(self.head.rows)))
            return
        if head.revision == after:
            return
        for cut in store.cuts(after):
            rows = dict(self.head.rows)
            for change in cut.changes:
                if change.after is None:
                    rows.pop(change.id, None)
                else:
                    rows[change.id] = change.after
            self._add(Revision(Position(head.epoch, cut.revision), rows))

    def _add(self, revision: Revision) -> None:
        self._revisions.setdefault(revision.position, []).append(revision)
        self.head = revision

    def at(self, epoch: int, revision: int) -> list[Revision]:
        """What a revision was; empty if there was none."""
        return self._revisions.get(Position(epoch, revision), [])

    def every(self) -> Iterable[Revision]:
        """All revisions, the last one first."""
        return (one for several in reversed(self._revisions.values()) for one in reversed(several))

    def read(self, envelope: Envelope) -> Item:
        """An item from the wire."""
        found = self._read.get((envelope.key, envelope.body))
        if found is None:
            found = self._read[envelope.key, envelope.body] = CODEC.decode(envelope.key, envelope.body)
        return found
