"""How many rows of the counted kinds each project has, exact under any number of writers, with no row that all write.

Shape
- `tally(kind, project_id, stripe, used, allowance, bound)`. A writing connection has a stripe of its own. The count is
  the sum of `used` over all stripes; a single one may be below zero (rows made on one stripe, deleted on another).
- `bound` is the limit for which allowances were dealt, equal in all stripes of a project; -1 is none. As long as
  `used <= allowance` in every stripe and the allowances sum up to at most the limit, the count is within it, and a
  request looks at its own stripe alone: one UPDATE of the flush (`flush`).
- When its stripe has no more, or was dealt for another limit, the request locks the stripes in order, counts, and
  deals anew. Above the limit `bound` is null: every request that adds comes here until the count is within it again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from alcor.model.errors import QuotaExceeded
from alcor.store.postgres.rows import Fetch

Counted = tuple[str, str]
"""(kind, project id)"""

NO_LIMIT = -1
# An allowance that is never used up.
_PLENTY = 2**62

MOVE = """
UPDATE tally SET used = used + m.step
FROM unnest({kinds}, {projects}, {steps}, {bounds})
    WITH ORDINALITY AS m (kind, project_id, step, bound, place)
WHERE tally.kind = m.kind AND tally.project_id = m.project_id AND tally.stripe = {stripe}
  AND (m.step <= 0 OR used + m.step <= allowance AND (m.bound IS NULL OR tally.bound = m.bound))
RETURNING m.place
"""
"""The part of a flush that moves counts on the request's own stripe. `bound` null: the request named no limit.

Gives the places (from 1) of the counts that were moved."""

_STRIPES = """
SELECT stripe, used, bound FROM tally WHERE kind = $1 AND project_id = $2 ORDER BY stripe FOR UPDATE
"""
_DEAL = """
INSERT INTO tally (kind, project_id, stripe, used, allowance, bound)
SELECT $1, $2, s.stripe, s.used, s.allowance, $3
FROM unnest($4::integer[], $5::bigint[], $6::bigint[]) AS s (stripe, used, allowance)
ON CONFLICT (kind, project_id, stripe)
DO UPDATE SET used = excluded.used, allowance = excluded.allowance, bound = excluded.bound
"""
_COUNT = """
SELECT project_id, sum(used)::bigint FROM tally WHERE kind = $1 AND project_id = ANY($2::text[]) GROUP BY project_id
"""


@dataclass(frozen=True, slots=True)
class Dealt:
    """Allowances per stripe, and the limit they were dealt for (None: the count is above it)."""

    allowances: dict[int, int]
    bound: int | None


def deal(used: Mapping[int, int], limit: int) -> Dealt:
    """Share what is left of `limit` among the stripes.

    Room that does not divide goes to the first stripes. Above the limit nobody has an allowance.
    """
    if limit == NO_LIMIT:
        return Dealt(dict.fromkeys(used, _PLENTY), NO_LIMIT)
    room = limit - sum(used.values())
    if room < 0:
        return Dealt(dict(used), None)
    share, rest = divmod(room, len(used))
    return Dealt(
        {stripe: used[stripe] + share + (place < rest) for place, stripe in enumerate(sorted(used))}, limit
    )


async def move_exactly(
    fetch: Fetch, counted: Counted, step: int, limit: int | None, stripe: int, resource: str
) -> None:
    """Move a count where the own stripe alone cannot say whether it may: lock all, count, deal anew.

    `limit` None: the request named none, and nothing is refused. Raises: QuotaExceeded, with `resource`'s name.
    """
    kind, project_id = counted
    rows = await fetch(_STRIPES, kind, project_id)
    used = {number: count for number, count, _ in rows}
    present = sum(used.values())
    if limit is not None and limit != NO_LIMIT and step > 0 and present + step > limit:
        raise QuotaExceeded(resource, limit)
    used[stripe] = used.get(stripe, 0) + step
    if limit is None:
        # As before, if that is known: who names no limit need not know the one others name.
        limit = rows[0][2] if rows else NO_LIMIT
    dealt = Dealt(dict(used), None) if limit is None else deal(used, limit)
    stripes = sorted(used)
    await fetch(
        _DEAL,
        kind,
        project_id,
        dealt.bound,
        stripes,
        [used[number] for number in stripes],
        [dealt.allowances[number] for number in stripes],
    )


async def read_tallies(fetch: Fetch, kind: str, projects: Sequence[str]) -> dict[str, int]:
    """The stored count of each of `projects`."""
    counts = dict.fromkeys(projects, 0)
    wanted = [project for project in counts if project and "\0" not in project]
    if wanted:
        counts.update(map(tuple, await fetch(_COUNT, kind, wanted)))
    return counts
