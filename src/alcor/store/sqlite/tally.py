"""How many rows of the counted kinds each project has, exact and next to free.

One row per kind and project, written once per group commit: what the group's requests moved is summed here first.
A request's own part is added when it has succeeded, so that a rolled-back savepoint needs no care.
"""

import sqlite3
from collections.abc import Iterable, Mapping

import msgspec

# Of committed counts; more projects than this are not busy at a time.
_KNOWN_MAX = 4_096

Counted = tuple[str, str]
"""(kind, project id)"""


class Tallies:
    """The writer's counts, on its connection."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._known: dict[Counted, int] = {}
        self._moved: dict[Counted, int] = {}

    def count(self, counted: Counted) -> int:
        """Rows there are, those of the group's earlier requests included."""
        known = self._known.get(counted)
        if known is None:
            known = read_tallies(self._connection, counted[0], (counted[1],))[counted[1]]
            if len(self._known) >= _KNOWN_MAX:
                self._known.clear()
            self._known[counted] = known
        return known + self._moved.get(counted, 0)

    def move(self, steps: Mapping[Counted, int]) -> None:
        """A request of the group has succeeded and added (or removed) so many."""
        for counted, step in steps.items():
            if step:
                self._moved[counted] = self._moved.get(counted, 0) + step

    def write(self) -> None:
        """Write what the group moved, before its COMMIT."""
        if not self._moved:
            return
        self._connection.executemany(
            'INSERT INTO tally (kind, project_id, "rows") VALUES (?, ?, ?) '
            'ON CONFLICT (kind, project_id) DO UPDATE SET "rows" = "rows" + excluded."rows"',
            [(*counted, step) for counted, step in self._moved.items()],
        )
        fewer = [counted for counted, step in self._moved.items() if step < 0]
        if fewer:
            self._connection.executemany(
                'DELETE FROM tally WHERE kind = ? AND project_id = ? AND "rows" = 0', fewer
            )

    def committed(self) -> None:
        """The group was committed."""
        for counted, step in self._moved.items():
            if counted in self._known:
                self._known[counted] += step
        self._moved.clear()

    def lost(self) -> None:
        """The group was not."""
        self._known.clear()
        self._moved.clear()


def read_tallies(connection: sqlite3.Connection, kind: str, projects: Iterable[str]) -> dict[str, int]:
    """The stored count of each of `projects`."""
    counts = dict.fromkeys(projects, 0)
    counts.update(
        connection.execute(
            'SELECT project_id, "rows" FROM tally '
            "WHERE kind = ? AND project_id IN (SELECT value FROM json_each(?))",
            (kind, msgspec.json.encode(list(counts)).decode()),
        )
    )
    return counts
