"""The change log read: cuts, history, rows as they were. Images are in `image`.

Shape
- `change_log`: one row per change, with the transaction (`xid`) that made it; `seq` orders the changes of a row.
- `revision`: one row per cut, with the snapshot that ends it. Revision n holds what snapshot n sees and n-1 does not.
- `meta`: `epoch`; `follow_floor`: cuts above it can be followed; `history_floor`: changes above it are kept, and
  rows as they were from `history_floor_ms` (unix) on are known.

Nothing here needs a transaction: every answer is checked against a floor read *after* it.
"""

from collections.abc import Sequence
from typing import Any

from alcor.model.change import Change, Cut, Origin, Position, Recorded
from alcor.model.resource import Entity
from alcor.store.interface import History, TooOld
from alcor.store.postgres.query import Parameters, quote
from alcor.store.postgres.rows import Fetch
from alcor.store.postgres.snapshot import Revisions, Snapshot, Xids
from alcor.store.schema import Schema, Table

_HEAD = """
SELECT (SELECT value FROM meta WHERE key = 'epoch')::bigint, (SELECT max(revision) FROM revision)
"""
_FLOORS = """
SELECT (SELECT value FROM meta WHERE key = 'follow_floor')::bigint,
       (SELECT value FROM meta WHERE key = 'history_floor')::bigint,
       (SELECT value FROM meta WHERE key = 'history_floor_ms')::bigint
"""
_REVISIONS = "SELECT revision, snap FROM revision WHERE revision BETWEEN $1 AND $2 ORDER BY revision"
_BETWEEN = """
SELECT xid, kind, id, before, after FROM change_log
WHERE xid >= pg_snapshot_xmin($1::pg_snapshot) AND xid < pg_snapshot_xmax($2::pg_snapshot)
  AND NOT pg_visible_in_snapshot(xid, $1::pg_snapshot)
  AND pg_visible_in_snapshot(xid, $2::pg_snapshot)
ORDER BY seq
"""
_AT = "SELECT revision, snap FROM revision WHERE at_ms <= $1 ORDER BY at_ms DESC, revision DESC LIMIT 1"
_SINCE = "SELECT revision FROM revision WHERE at_ms >= $1 ORDER BY at_ms, revision LIMIT 1"
_SNAPSHOT = "SELECT snap FROM revision WHERE revision = $1"
_OLDEST = "SELECT revision, snap FROM revision ORDER BY revision LIMIT 1"
_NEWEST = "SELECT revision, snap FROM revision ORDER BY revision DESC LIMIT 1"
# The revision of a change: the first whose snapshot sees it. Snapshots grow, so an index finds where to begin.
_PLACED = """
SELECT r.revision, c.seq, r.at_ms, c.request_id, c.user_id, c.project_id, c.kind, c.id, c.before, c.after
FROM ({changes}) c CROSS JOIN LATERAL (
    SELECT revision, at_ms FROM revision WHERE beyond > c.xid AND pg_visible_in_snapshot(c.xid, snap)
    ORDER BY beyond, revision LIMIT 1) r
ORDER BY r.revision, c.seq
"""


async def read_head(fetch: Fetch) -> Position:
    """The last position that is numbered."""
    epoch, revision = (await fetch(_HEAD))[0]
    return Position(epoch, revision)


async def read_cuts(fetch: Fetch, schema: Schema, after: int, limit: int) -> list[Cut]:
    """Up to `limit` cuts above `after`. Raises: TooOld."""
    rows = await fetch(_REVISIONS, after, after + limit)
    if len(rows) < 2:
        # Nothing is above `after`, or it is not known any more.
        await _check_floor(fetch, after)
        return []
    snapshots = [(revision, Snapshot.of(snap)) for revision, snap in rows]
    changes = await fetch(_BETWEEN, rows[0][1], rows[-1][1])
    await _check_floor(fetch, after)
    if snapshots[0][0] != after:
        # Another process moved the floor and moved on between two of our reads.
        raise TooOld(f"revision {after} is no longer in the change log")
    revisions = Revisions(snapshots[1:])
    numbers: dict[int, int] = {}
    cuts: dict[int, list[Change]] = {revision: [] for revision, _ in snapshots[1:]}
    for xid, kind, id, before, now in changes:
        revision = numbers.get(xid)
        if revision is None:
            found = revisions.of(xid)
            assert found is not None  # the last of these snapshots sees it
            revision = numbers[xid] = found
        cuts[revision].append(_change(schema, kind, id, before, now))
    return [Cut(revision, tuple(held)) for revision, held in cuts.items()]


async def _check_floor(fetch: Fetch, after: int) -> None:
    floor, _, floor_ms = (await fetch(_FLOORS))[0]
    if after < floor:
        raise TooOld(
            f"the change log begins after revision {floor}; revision {after} is no longer in it",
            oldest_ms=floor_ms,
        )


def _change(schema: Schema, kind: str, id: str, before: str | None, after: str | None) -> Change:
    table = schema.by_kind[kind]
    return Change(kind, id, *_rows(table, before, after))


def _rows(table: Table, before: str | None, after: str | None) -> tuple[Entity | None, Entity | None]:
    return (
        None if before is None else table.decode(before),
        None if after is None else table.decode(after),
    )


async def read_history(fetch: Fetch, schema: Schema, query: History) -> list[Recorded]:
    """Recorded changes, oldest first. Cost: what lies between the moments asked for, an index walk by id or request."""
    bounds = await _bounds(fetch, query)
    if query.limit <= 0 or bounds is None:
        return []
    low, high = bounds
    parameters = Parameters()
    conditions = _conditions(query, low, high, parameters)
    if query.after is not None:
        found = await fetch(_SNAPSHOT, query.after[0])
        if found:
            snap = f"{parameters.add(found[0][0])}::pg_snapshot"
            number = parameters.add(query.after[1])
            conditions.append(f"(NOT pg_visible_in_snapshot(xid, {snap}) OR seq > {number})")
    select = f"SELECT * FROM change_log WHERE {' AND '.join(conditions)}"
    # In the order of transactions, which is nearly that of revisions: all that is not beyond the last of these …
    first = f"{select} ORDER BY xid, seq LIMIT {parameters.add(query.limit)}"
    rows = await fetch(_PLACED.format(changes=first), *parameters.values)
    if len(rows) == query.limit:
        # … may come before it, if its transaction was begun late and committed early.
        end = (await fetch(_SNAPSHOT, max(row[0] for row in rows)))[0][0]
        within = f"pg_visible_in_snapshot(xid, {parameters.add(end)}::pg_snapshot)"
        rows = await fetch(
            _PLACED.format(changes=f"{select} AND {within}") + f" LIMIT ${len(parameters.values) - 1}",
            *parameters.values,
        )
    return [_recorded(schema, row) for row in rows if row[6] in schema.by_kind]


async def _bounds(fetch: Fetch, query: History) -> tuple[Xids, Xids] | None:
    """The snapshots between which the changes lie: (before the first of them, at the last)."""
    low_revision, low = (await fetch(_OLDEST))[0]
    high_revision, high = (await fetch(_NEWEST))[0]
    if query.until_ms is not None:
        found = await fetch(_AT, _int64(query.until_ms))
        if not found:
            return None
        high_revision, high = found[0]
    first = low_revision + 1
    if query.since_ms is not None:
        found = await fetch(_SINCE, _int64(query.since_ms))
        if not found:
            return None
        first = max(first, found[0][0])
    if query.after is not None:
        first = max(first, query.after[0])
    if first > high_revision:
        return None
    if first - 1 > low_revision and (found := await fetch(_SNAPSHOT, first - 1)):
        low = found[0][0]
    return low, high


def _int64(number: int) -> int:
    return max(-(2**63), min(2**63 - 1, number))


def _conditions(query: History, low: Xids, high: Xids, parameters: Parameters) -> list[str]:
    below, above = (f"{parameters.add(snap)}::pg_snapshot" for snap in (low, high))
    conditions = [
        f"xid >= pg_snapshot_xmin({below})",
        f"xid < pg_snapshot_xmax({above})",
        f"NOT pg_visible_in_snapshot(xid, {below})",
        f"pg_visible_in_snapshot(xid, {above})",
    ]
    for column, wanted in (
        ("kind", query.kind),
        ("id", query.id),
        ("request_id", query.request_id),
        ("project_id", query.project_id),
        ("user_id", query.user_id),
    ):
        if wanted is not None:
            conditions.append(f"{column} = {parameters.add(wanted.replace(chr(0), ''))}")
            if wanted and column in ("request_id", "project_id"):
                conditions.append(f"{column} <> ''")
    return conditions


def _recorded(schema: Schema, row: Any) -> Recorded:
    revision, seq, at_ms, request_id, user_id, project_id, kind, id, before, after = row
    old, new = _rows(schema.by_kind[kind], before, after)
    return Recorded((revision, seq), at_ms, Origin(request_id, user_id, project_id), kind, id, old, new)


async def read_as_of(fetch: Fetch, table: Table, id: str, moment_ms: int) -> Entity | None:
    """The row as it was at a moment. Cost: five statements, each an index look-up. Raises: TooOld."""
    current = await fetch(f"SELECT document FROM {quote(table.name)} WHERE id = $1", id)
    found = await fetch(_AT, _int64(moment_ms)) or await fetch(_OLDEST)
    snap = found[0][1]
    sides: list[Sequence[Any]] = []
    for seen, order, column in (("", "DESC", "after"), ("NOT", "ASC", "before")):
        sides.append(
            await fetch(
                f"SELECT {column} FROM change_log WHERE id = $1 AND kind = $2 "
                f"AND {seen} pg_visible_in_snapshot(xid, $3::pg_snapshot) ORDER BY seq {order} LIMIT 1",
                id,
                table.name,
                snap,
            )
        )
    _, floor, floor_ms = (await fetch(_FLOORS))[0]
    if floor > 0 and moment_ms < floor_ms:
        raise TooOld(f"the history of {table.name} {id} was cut", oldest_ms=floor_ms)
    # The last change until then, else the first one after it, else it never changed.
    known = sides[0] or sides[1] or current
    document = known[0][0] if known else None
    return None if document is None else table.decode(document)
