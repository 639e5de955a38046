"""How many rows of the counted kinds each project has, exact under any number of writers, with no row that all write.

Shape
- `tally(kind, project_id, stripe, used, allowance, bound)`. The count is the sum of `used` over the stripes of a
  project; a single one may be below zero (rows made on one stripe, deleted on another). Every project begins with
  stripe 0. A writing connection that met others there gets a stripe of its own in that project (`Stripes`).
- `bound` is the limit for which allowances were dealt, equal in all stripes of a project; -1 is none. As long as
  `used <= allowance` in every stripe and the allowances sum up to at most the limit, the count is within it: a
  request looks at one stripe alone, in one UPDATE of its flush (`MOVE`).
- When that stripe has no more, or was dealt for another limit, the request is rolled back, the allowances are dealt
  anew (`Dealer`) in a transaction of its own, and the request runs again. Whoever else wants to deal in this project
  waits until it has ended: or near the limit they would take the last place from each other without end. Dealing
  locks all stripes of the project and sees what was last committed, whatever any snapshot says; in the request's own
  transaction it would never end under load, as every commit on another stripe would undo it.
- Above the limit `bound` is null: who adds, deals first.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import asyncpg

from alcor.model.errors import QuotaExceeded
from alcor.store.postgres.connection import STATEMENTS_WRITE
from alcor.store.postgres.rows import Fetch

Counted = tuple[str, str]
"""(kind, project id)"""

NO_LIMIT = -1
PLENTY = 2**62
"""An allowance that is never used up."""
# Projects in which a connection remembers to have a stripe of its own.
_REMEMBERED_MAX = 4_096

MOVE = """
INSERT INTO tally AS t (kind, project_id, stripe, used, allowance, bound)
SELECT m.kind, m.project_id, m.stripe, m.step, 0, m.bound
FROM unnest({kinds}, {projects}, {steps}, {bounds}, {stripes}) AS m (kind, project_id, step, bound, stripe)
ON CONFLICT (kind, project_id, stripe) DO UPDATE SET used = t.used + excluded.used
WHERE excluded.used <= 0
   OR t.used + excluded.used <= t.allowance AND (excluded.bound IS NULL OR t.bound = excluded.bound)
RETURNING kind, project_id, t.xmax = 0 AS made
"""
"""The part of a flush that moves counts. `bound` null: the request named no limit.

Gives (kind, project id) of those that were moved; `made`: there was no such stripe, and the request must not go on.
It is an insert that meets its row, because a plain UPDATE would read the index, and under SERIALIZABLE that is a
conflict with each count beside it whose new version has found no room in its page.
"""

_BEGIN_DEALING = "SELECT pg_advisory_lock(hashtextextended($1 || ' ' || $2, 0))"
_END_DEALING = "SELECT pg_advisory_unlock(hashtextextended($1 || ' ' || $2, 0))"
_STRIPES = """
SELECT stripe, used, bound FROM tally WHERE kind = $1 AND project_id = $2 ORDER BY stripe FOR UPDATE
"""
_DEAL = """
INSERT INTO tally (kind, project_id, stripe, used, allowance, bound)
SELECT $1, $2, s.stripe, 0, s.allowance, $3 FROM unnest($4::integer[], $5::bigint[]) AS s (stripe, allowance)
ON CONFLICT (kind, project_id, stripe) DO UPDATE SET allowance = excluded.allowance, bound = excluded.bound
WHERE tally.allowance <> excluded.allowance OR tally.bound IS DISTINCT FROM excluded.bound
"""
_FIRST = """
SELECT used, allowance, bound FROM tally WHERE kind = $1 AND project_id = $2 AND stripe = 0 FOR UPDATE
"""
_SPLIT = """
WITH made AS (
    INSERT INTO tally (kind, project_id, stripe, used, allowance, bound) VALUES ($1, $2, $3, 0, $4, $5)
    ON CONFLICT DO NOTHING RETURNING allowance)
UPDATE tally SET allowance = tally.allowance - made.allowance FROM made
WHERE kind = $1 AND project_id = $2 AND tally.stripe = 0 AND $6
"""
_COUNT = """
SELECT project_id, sum(used)::bigint FROM tally WHERE kind = $1 AND project_id = ANY($2::text[]) GROUP BY project_id
"""


@dataclass(frozen=True, slots=True)
class Move:
    """A count to be moved by `step` on `stripe`. `limit`: the one that was named, None if none was."""

    counted: Counted
    step: int
    limit: int | None
    stripe: int


class DealFirst(Exception):
    """Counts that could not be moved before allowances are dealt anew."""

    def __init__(self, moves: Sequence[Move]) -> None:
        super().__init__("the stripe has no allowance left")
        self.moves = moves


class Stripes:
    """On which stripe a connection counts in each project: 0, until it has met others there."""

    def __init__(self, own: int) -> None:
        self._own = own
        self._settled: dict[Counted, None] = {}

    def of(self, counted: Counted) -> int:
        """The stripe to count on."""
        return self._own if counted in self._settled else 0

    def settle(self, counted: Counted) -> int:
        """From now on count on the own stripe, which is given."""
        if len(self._settled) >= _REMEMBERED_MAX:
            self._settled.clear()
        self._settled[counted] = None
        return self._own


@dataclass(frozen=True, slots=True)
class Dealt:
    """Allowances per stripe, and the limit they are for (None: it is passed, nobody may add without dealing)."""

    allowances: dict[int, int]
    bound: int | None


def share(used: Mapping[int, int], move: Move, bound: int | None) -> Dealt | None:
    """Allowances that let `move` happen; None if the limit it names does not allow it.

    `bound` is the limit of before. What is left beside the move is shared evenly; room that does not divide goes to
    the stripe that moves.
    """
    limit = bound if move.limit is None else move.limit
    if limit == NO_LIMIT:
        return Dealt(dict.fromkeys(used, PLENTY), NO_LIMIT)
    needed = max(0, move.step)
    room = None if limit is None else limit - sum(used.values()) - needed
    if room is None or room < 0:
        if move.limit is not None and needed:
            return None
        part, rest, limit = 0, 0, None
    else:
        part, rest = divmod(room, len(used))
    return Dealt(
        {
            stripe: count + part + (needed + rest if stripe == move.stripe else 0)
            for stripe, count in used.items()
        },
        limit,
    )


class Dealer:
    """Deals on one connection, for one request at a time.

    Who waits to deal holds only what comes before it: the place in a line (`writer`), then dealings in their order.
    """

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection
        self._dealing: list[Counted] = []

    async def split(self, counted: Counted, stripe: int) -> None:
        """Give a stripe half of what the first one has left."""
        await self.done()
        STATEMENTS_WRITE.inc(6)
        await self._connection.execute(_BEGIN_DEALING, *counted)
        try:
            async with self._connection.transaction(isolation="read_committed"):
                first = await self._connection.fetchrow(_FIRST, *counted)
                if first is not None:
                    used, allowance, bound = first
                    limited = bound != NO_LIMIT
                    given = max(0, allowance - used) // 2 if limited else PLENTY
                    await self._connection.execute(_SPLIT, *counted, stripe, given, bound, limited)
        finally:
            await self._connection.execute(_END_DEALING, *counted)

    async def deal(self, move: Move, resource: str) -> None:
        """Deal allowances anew so that `move` can happen; nobody else deals in this project until `done`.

        Raises: QuotaExceeded, with the `resource`'s name, if the limit does not allow it.
        """
        kind, project_id = move.counted
        if move.counted not in self._dealing:
            if any(held > move.counted for held in self._dealing):
                await self.done()
            STATEMENTS_WRITE.inc()
            await self._connection.execute(_BEGIN_DEALING, kind, project_id)
            self._dealing.append(move.counted)
        STATEMENTS_WRITE.inc(4)
        async with self._connection.transaction(isolation="read_committed"):
            # Only dealers add stripes, so those that are locked now are all there are.
            rows = await self._connection.fetch(_STRIPES, kind, project_id)
            used = {number: count for number, count, _ in rows}
            used.setdefault(move.stripe, 0)
            # A project that nobody has named a limit for has none.
            dealt = share(used, move, rows[0][2] if rows else NO_LIMIT)
            if dealt is None:
                assert move.limit is not None
                raise QuotaExceeded(resource, move.limit)
            given = dealt.allowances
            await self._connection.execute(
                _DEAL, kind, project_id, dealt.bound, list(given), list(given.values())
            )

    async def done(self) -> None:
        """The request has ended: the next one may deal."""
        while self._dealing:
            STATEMENTS_WRITE.inc()
            await self._connection.execute(_END_DEALING, *self._dealing.pop())


async def read_tallies(fetch: Fetch, kind: str, projects: Sequence[str]) -> dict[str, int]:
    """The stored count of each of `projects`."""
    counts = dict.fromkeys(projects, 0)
    wanted = [project for project in counts if project and "\0" not in project]
    if wanted:
        counts.update(map(tuple, await fetch(_COUNT, kind, wanted)))
    return counts
