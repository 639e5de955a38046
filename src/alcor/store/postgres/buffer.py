"""What one request has read and wants to write: rows and steps, without any database.

Rows are written once, at the end. Of a row that was changed several times only the last state is written, and every
step is logged.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from msgspec.structs import replace

from alcor.model.errors import Conflict, NotFound
from alcor.model.resource import Entity
from alcor.store.schema import Schema, Table

Key = tuple[str, str]
"""(kind, id)"""


class Held:
    """A row as the request sees it; both None: there is none."""

    __slots__ = ("document", "row")

    def __init__(self, row: Entity | None, document: str | None) -> None:
        self.row, self.document = row, document


ABSENT = Held(None, None)
Step = tuple[str, str, str | None, str | None]
"""(kind, id, document before, document after)"""


@dataclass(slots=True)
class Pending:
    """What is to be written: rows by kind, and the steps that led there, in order.

    Updates are (before, after).
    """

    inserts: dict[str, list[Held]] = field(default_factory=dict)
    updates: dict[str, list[tuple[Held, Held]]] = field(default_factory=dict)
    deletes: dict[str, list[str]] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)


class Buffer:
    """The rows of one request."""

    def __init__(self, schema: Schema, now: str) -> None:
        self.now = now
        self.dirty_kinds: set[str] = set()
        """Kinds that have rows to be written."""
        self.unchanged: list[Key] = []
        """Rows that were to be updated and are so already."""
        self._schema = schema
        self._held: dict[Key, Held] = {}
        self._dirty: dict[Key, Held] = {}
        self._steps: list[Step] = []

    def find(self, kind: str, id: str) -> Held | None:
        """The row as this request sees it; None if it has not been read."""
        return self._held.get((kind, id))

    def keep(self, table: Table, id: str, document: str | None) -> Held:
        """Remember what was read, unless this request knows better."""
        key = table.name, id
        held = self._held.get(key)
        if held is None:
            held = ABSENT if document is None else Held(table.decode(document), document)
            self._held[key] = held
        return held

    def insert(self, row: Entity) -> None:
        """Add a row. Raises: Conflict if this request already sees a row of this id."""
        table = self._schema.by_entity[type(row)]
        key = table.name, row.id
        held = self._held.get(key, ABSENT)
        if held.row is not None:
            raise id_taken(table.name, row.id)
        made = replace(row, created_at=self.now, updated_at=self.now, revision_number=0)
        self._step(key, held, Held(made, table.encode(made)))

    def update(self, row: Entity) -> None:
        """Replace a row that was read. Raises: NotFound if it is not there."""
        table = self._schema.by_entity[type(row)]
        held = self._held[table.name, row.id]
        before = held.row
        if before is None:
            raise NotFound(table.name, row.id)
        same = replace(
            row,
            created_at=before.created_at,
            updated_at=before.updated_at,
            revision_number=before.revision_number,
        )
        if table.encode(same) == table.encode(before):
            self.unchanged.append((table.name, row.id))
            return
        made = replace(same, updated_at=self.now, revision_number=before.revision_number + 1)
        self._step((table.name, row.id), held, Held(made, table.encode(made)))

    def touch(self, row: Entity) -> None:
        """Count a change of a row that was read. Raises: NotFound if it is not there."""
        table = self._schema.by_entity[type(row)]
        held = self._held[table.name, row.id]
        if held.row is None:
            raise NotFound(table.name, row.id)
        made = replace(held.row, updated_at=self.now, revision_number=held.row.revision_number + 1)
        self._step((table.name, row.id), held, Held(made, table.encode(made)))

    def delete(self, row: Entity) -> None:
        """Remove a row that was read. Raises: NotFound if it is not there."""
        table = self._schema.by_entity[type(row)]
        held = self._held[table.name, row.id]
        if held.row is None:
            raise NotFound(table.name, row.id)
        self._step((table.name, row.id), held, ABSENT)

    def take(self) -> Pending:
        """What is to be written now; from here on it counts as stored. Rows of a kind come in the order of ids, so
        that two requests that write the same rows lock them in the same order."""
        pending = Pending(steps=self._steps)
        for key in sorted(self._dirty):
            kind, id = key
            stored, held = self._dirty[key], self._held[key]
            if held.row is None:
                if stored.row is not None:
                    pending.deletes.setdefault(kind, []).append(id)
            elif stored.row is None:
                pending.inserts.setdefault(kind, []).append(held)
            else:
                pending.updates.setdefault(kind, []).append((stored, held))
        self._dirty, self._steps = {}, []
        self.dirty_kinds.clear()
        return pending

    def moves(self, kind: str) -> Iterable[tuple[str, int]]:
        """(project id, +1 or -1) for what is to be written of a kind, by row."""
        for key, stored in self._dirty.items():
            if key[0] == kind:
                yield from move_of(stored, self._held[key])

    def _step(self, key: Key, before: Held, after: Held) -> None:
        self._held[key] = after
        self._dirty.setdefault(key, before)
        self.dirty_kinds.add(key[0])
        self._steps.append((*key, before.document, after.document))


def move_of(before: Held, after: Held) -> Iterable[tuple[str, int]]:
    """How a row's change moves the counts of projects: (project id, step). No project is not counted."""
    old = before.row.project_id if before.row else ""
    new = after.row.project_id if after.row else ""
    if old != new:
        if old:
            yield old, -1
        if new:
            yield new, 1


def id_taken(kind: str, id: str) -> Conflict:
    """The id of a new row is another one's."""
    return Conflict(f"{kind.capitalize()} {id} exists already.", kind=kind, id=id)
