"""Rows in great numbers, added to a store that no process serves.

What is left is what transactions would have left: rows with their look-ups, claims, kept values, counts of projects
and the change log, in revisions that can be followed. What is not done: no rule of a manager is asked, no reader is
answered meanwhile, and the secondary indexes of the table (and PostgreSQL's references from it) are taken away first
and made again over all rows at the end, which is when a violated reference shows. A load that is broken off is mended
by the next opening of the store, which finds the table's digest missing and makes it again from its documents.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from alcor.model.resource import Entity
from alcor.store.schema import Table


@dataclass(frozen=True, slots=True)
class Batch:
    """What one revision adds. Claims: (space, key, owner); values to be kept: (space, key) → value.

    `rows`: new ones of one kind, whole: with their times, in the order of ids, which index and log like best.
    Claims likewise in the order of keys.
    """

    rows: Sequence[Entity]
    claims: Sequence[tuple[str, str, str]] = ()
    saves: Mapping[tuple[str, str], bytes] = field(default_factory=dict)


class Bulk(Protocol):
    """Adds rows of one kind. Ended by the context manager that gave it."""

    async def add(self, batch: Batch) -> None:
        """Add a batch, as a revision. Raises: Conflict if an id or a key is taken already; Unavailable."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """A batch as records of tables. `sides`: as `Table.sides`; `steps`: rows by project."""

    rows: list[tuple[Any, ...]]
    """(id, the key columns, document)"""
    sides: list[list[tuple[Any, ...]]]
    steps: dict[str, int]


def encode(table: Table, rows: Sequence[Entity]) -> Encoded:
    """The records of new rows. Cost: about 10 µs a row."""
    document, keys = table.encode, table.keys
    records = [(row.id, *keys(row), document(row)) for row in rows]
    sides = []
    for side in table.sides:
        find = side.lookup.rows
        sides.append([(row.id, *values) for row in rows for values in find(row)])
    steps: dict[str, int] = {}
    if table.quota:
        for row in rows:
            if row.project_id:
                steps[row.project_id] = steps.get(row.project_id, 0) + 1
    return Encoded(records, sides, steps)
