"""What the change log says: rows before and after, in consistent cuts.

A *revision* numbers a cut of the whole region, 1, 2, 3 … without gaps. It may hold several
transactions, never part of one; inside it the changes of a row come in the order they were made.
"""

from dataclasses import dataclass

import msgspec

from alcor.model.resource import Entity


class Change(msgspec.Struct, frozen=True, gc=False):
    """One row's step. `before is None`: created; `after is None`: deleted (a tombstone)."""

    kind: str
    id: str
    before: Entity | None
    after: Entity | None


@dataclass(frozen=True, slots=True)
class Cut:
    """All changes of one revision, in order."""

    revision: int
    changes: tuple[Change, ...]


@dataclass(frozen=True, slots=True)
class Position:
    """A place in one database history; a higher epoch outranks every revision of a lower one."""

    epoch: int
    revision: int
