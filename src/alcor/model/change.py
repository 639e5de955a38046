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


@dataclass(frozen=True, slots=True)
class Origin:
    """Who asked for a change. All empty: the region itself."""

    request_id: str = ""
    user_id: str = ""
    project_id: str = ""


SYSTEM = Origin()


@dataclass(frozen=True, slots=True)
class Recorded:
    """One change as the history keeps it. `place` orders all of them: (revision, number within it).

    `at_ms`: when it was committed, unix milliseconds. `before` and `after` as in `Change`.
    """

    place: tuple[int, int]
    at_ms: int
    origin: Origin
    kind: str
    id: str
    before: Entity | None
    after: Entity | None
