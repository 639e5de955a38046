"""The writing end of the change log: places, who asked for what and when, and forgetting.

A change's `seq` is its revision and its number within it in one integer, so that the table's own order is the order of
changes and a revision is a range of it. `request` has a row per request (neighbours in a group with the same origin
share one): the range of its changes, its origin and the commit's time. A change says nothing of either: the row whose
range it is in does. Users and projects have a number in `who`: an index of small numbers costs a create less than two
of names. There is none of times: they grow with `first`, and are found by halving. `ordinal` numbers all changes there
ever were, so that counting those left needs no count.
"""

import sqlite3
from dataclasses import dataclass
from itertools import pairwise

from alcor.model.change import Origin
from alcor.store.sqlite.history import NUMBER_BITS, get_meta, put_meta, read_floor, seq_of

# Whatever `history_days` says: a follower that slept for less need not take an image.
_KEPT_MS_MIN = 600_000
# Forgetting is looked at this often, and then takes twice as many changes as have come: a backlog shrinks, and no
# request waits long.
_LOOK_EVERY_CHANGES = 512
_LOOK_EVERY_MS = 60_000
_FORGET_CHANGES_MIN = 1_024
# More than one group's, so that a look always sees a whole revision.
_LOOK_REQUESTS = 1_024
# Of users remembered with their numbers.
_NUMBERS_MAX = 4_096


@dataclass(frozen=True, slots=True)
class Kept:
    """How much is kept: what is younger than `ms`, but at most about the last `changes_max` changes."""

    ms: float
    changes_max: int


class ChangeLog:
    """The writer's view of the log. A group is `begin`, `add` for each request that succeeded, `write`."""

    def __init__(self, connection: sqlite3.Connection, kept: Kept) -> None:
        self._connection = connection
        self._kept_ms = max(kept.ms, _KEPT_MS_MIN)
        self._changes_max = kept.changes_max
        self._look_every = min(_LOOK_EVERY_CHANGES, max(1, kept.changes_max // 8))
        self._looked_ms = 0
        self._fresh = 0
        self._rows: list[tuple[int, int, Origin]] = []
        self.next_seq = 0
        """Where the next request's changes begin."""
        self._total = self._at_ms = 0
        self._numbers: dict[tuple[str, str], int] = {}
        self._load()

    def begin(self, revision: int) -> None:
        """A group begins whose changes will be those of `revision`."""
        if self._lost:
            self._load()
        self._rows.clear()
        self.next_seq = seq_of(revision)

    def add(self, origin: Origin, changes: int) -> None:
        """A request has written `changes` changes from `next_seq` on, and succeeded."""
        if not changes:
            return
        first, self.next_seq = self.next_seq, self.next_seq + changes
        if self._rows and self._rows[-1][2] == origin:
            first = self._rows.pop()[0]
        self._rows.append((first, self.next_seq - 1, origin))

    def write(self, now_ms: int) -> None:
        """Write who asked for the group's changes; forget a little of what is too old."""
        # History never goes backwards, whatever the clock does: so times find revisions.
        self._at_ms = max(self._at_ms, now_ms)
        rows = []
        for first, last, origin in self._rows:
            rows.append((first, last, self._total, self._at_ms, origin.request_id, self._number_of(origin)))
            self._total += last - first + 1
            self._fresh += last - first + 1
        self._connection.executemany("INSERT INTO request VALUES (?, ?, ?, ?, ?, ?)", rows)
        if self._fresh >= self._look_every or now_ms - self._looked_ms >= _LOOK_EVERY_MS:
            self._forget(now_ms)
            self._fresh, self._looked_ms = 0, now_ms

    def lost(self) -> None:
        """The group was not committed."""
        self._lost = True

    def _number_of(self, origin: Origin) -> int:
        who = origin.user_id, origin.project_id
        number = self._numbers.get(who)
        if number is None:
            self._connection.execute("INSERT OR IGNORE INTO who (user_id, project_id) VALUES (?, ?)", who)
            sql = "SELECT id FROM who WHERE user_id = ? AND project_id = ?"
            (number,) = self._connection.execute(sql, who).fetchone()
            if len(self._numbers) >= _NUMBERS_MAX:
                self._numbers.clear()
            self._numbers[who] = number
        return number

    def _load(self) -> None:
        self._numbers.clear()
        found = self._connection.execute(
            "SELECT ordinal + last - first + 1, at_ms FROM request ORDER BY first DESC LIMIT 1"
        ).fetchone()
        floor_ms = int(get_meta(self._connection, "log_floor_ms") or 0)
        self._total, self._at_ms = found or (0, floor_ms)
        self._lost = False

    def _forget(self, now_ms: int) -> None:
        """Cut off whole revisions, the oldest first."""
        rows = self._connection.execute(
            "SELECT first, last, ordinal, at_ms FROM request ORDER BY first LIMIT ?", (_LOOK_REQUESTS,)
        ).fetchall()
        budget = max(2 * self._fresh, _FORGET_CHANGES_MIN)
        oldest_ms, most = now_ms - self._kept_ms, self._total - self._changes_max
        through = through_ms = 0
        if len(rows) < _LOOK_REQUESTS:
            rows.append((0, 0, 0, 0))
        for row, following in pairwise(rows):
            first, last, ordinal, at_ms = row
            gone = ordinal + last - first + 1
            if at_ms >= oldest_ms and gone > most:
                break
            if first >> NUMBER_BITS != following[0] >> NUMBER_BITS:
                through, through_ms = first >> NUMBER_BITS, at_ms
                if gone - rows[0][2] >= budget:
                    break
        if through:
            cut_log(self._connection, through, through_ms)


def cut_log(connection: sqlite3.Connection, through: int, through_ms: int) -> None:
    """Forget the changes up to and with revision `through`, which was committed at `through_ms`."""
    end = seq_of(through + 1)
    connection.execute("DELETE FROM change_log WHERE seq < ?", (end,))
    connection.execute("DELETE FROM request WHERE first < ?", (end,))
    put_meta(connection, "log_floor", str(max(through, read_floor(connection))))
    put_meta(connection, "log_floor_ms", str(through_ms))
