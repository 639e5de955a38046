"""The change log, read: cuts for those who follow, history for people; and what the database knows of itself.

The writing end and the tables' shape: `change_log`.
"""

import heapq
import sqlite3
from collections.abc import Sequence
from itertools import islice
from operator import itemgetter
from typing import Any

from alcor.model.change import Change, Cut, Origin, Position, Recorded
from alcor.model.resource import Entity
from alcor.store.interface import History, Image, Keep, TooOld, whole
from alcor.store.schema import Schema, Table
from alcor.store.sqlite.query import quote
from alcor.store.sqlite.rows import find_document

NUMBER_BITS = 24
"""A change's `seq` is its revision shifted by this, and its number in the revision, of which there are fewer than
2**24; there are 2**39 revisions."""


def place_of(seq: int) -> tuple[int, int]:
    """(revision, number within it)."""
    return seq >> NUMBER_BITS, seq & ((1 << NUMBER_BITS) - 1)


def seq_of(revision: int, number: int = 0) -> int:
    """The first seq of a revision, or of a place in it."""
    return revision << NUMBER_BITS | number


_BEYOND = 2**63 - 1
_REQUEST_FROM = "SELECT first, at_ms FROM request WHERE first >= ? ORDER BY first LIMIT 1"
_NAMED = "r.request_id <> ''"


def get_meta(connection: sqlite3.Connection, key: str) -> str | None:
    """One fact about the database itself."""
    found = connection.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
    return None if found is None else found[0]


def put_meta(connection: sqlite3.Connection, key: str, value: str) -> None:
    """Replace such a fact."""
    connection.execute("INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)", (key, value))


def read_head(connection: sqlite3.Connection) -> Position:
    """The last committed position. Revisions count on where the log was cut."""
    last = connection.execute("SELECT max(seq) FROM change_log").fetchone()[0]
    revision = max(place_of(last or 0)[0], read_floor(connection))
    return Position(int(get_meta(connection, "epoch") or 0), revision)


def read_floor(connection: sqlite3.Connection) -> int:
    """Whoever follows finds every revision above this one. History may reach back further."""
    return int(get_meta(connection, "log_floor") or 0)


def read_oldest_ms(connection: sqlite3.Connection) -> int:
    """From this moment on (unix ms) the history of every row is known."""
    return int(get_meta(connection, "log_floor_ms") or 0)


def begin_epoch(connection: sqlite3.Connection, now_ms: int) -> Position:
    """Another history from here on.

    It takes a revision of its own, and nobody can follow across it: who followed the old history is beyond the head
    no more and gets TooOld, so that nobody can miss the change. What people read of the past stays.
    """
    head = read_head(connection)
    position = Position(max(head.epoch + 1, now_ms), head.revision + 1)
    put_meta(connection, "log_floor", str(position.revision))
    put_meta(connection, "epoch", str(position.epoch))
    return position


def read_cuts(connection: sqlite3.Connection, schema: Schema, after: int, limit: int) -> list[Cut]:
    """Up to `limit` cuts above `after`. The caller sees to it that all reads see one state.

    Raises: TooOld.
    """
    floor = read_floor(connection)
    if after < floor:
        raise TooOld(
            f"the change log begins after revision {floor}; revision {after} is no longer in it",
            oldest_ms=read_oldest_ms(connection),
        )
    rows = connection.execute(
        "SELECT seq, kind, id, before, after FROM change_log WHERE seq >= ? AND seq < ? ORDER BY seq",
        (seq_of(after + 1), seq_of(after + 1 + limit)),
    )
    cuts: dict[int, list[Change]] = {}
    for seq, kind, id, before, now in rows:
        cuts.setdefault(place_of(seq)[0], []).append(
            Change(kind, id, *_rows(schema.by_kind[kind], before, now))
        )
    return [Cut(revision, tuple(changes)) for revision, changes in cuts.items()]


def read_image(
    connection: sqlite3.Connection,
    schema: Schema,
    entities: Sequence[type[Entity]],
    keep: Keep = whole,
) -> Image:
    """All rows of some kinds. The caller sees to it that all reads see one state."""
    rows: dict[type[Entity], list[Any]] = {}
    revisions: dict[str, int] = {}
    for entity in entities:
        table = schema.by_entity[entity]
        found = rows[entity] = []
        for revision, document in connection.execute(
            f"SELECT revision, document FROM {quote(table.name)} ORDER BY rowid"
        ):
            row = table.decode(document)
            found.append(keep(row))
            revisions[row.id] = revision
    return Image(read_head(connection), rows, revisions)


_TOLD = "SELECT c.seq, r.at_ms, r.request_id, w.user_id, w.project_id, c.kind, c.id, c.before, c.after FROM"
# CROSS JOIN: the tables are walked in the order they are named, which is the order of changes, so nothing is sorted.
_FROM_CHANGES = f"""{_TOLD} change_log c
CROSS JOIN request r ON r.first = (SELECT max(first) FROM request WHERE first <= c.seq)
CROSS JOIN who w ON w.id = r.who WHERE"""
_FROM_REQUESTS = f"""{_TOLD} request r
CROSS JOIN who w ON w.id = r.who
CROSS JOIN change_log c ON c.seq BETWEEN r.first AND r.last WHERE"""


def read_history(connection: sqlite3.Connection, schema: Schema, query: History) -> list[Recorded]:
    """The changes that match, oldest first.

    Cost: a walk of the changes of the row, of the request, of every user and project that match, or of the kind; of
    ports, of the whole log from `since_ms` on until the page is full.
    """
    above, below = 0, _BEYOND
    if query.since_ms is not None:
        above = _first_since(connection, query.since_ms)
    if query.until_ms is not None:
        below = _first_since(connection, query.until_ms + 1)
    if query.after is not None:
        above = max(above, seq_of(*query.after) + 1)
    asked = {
        "c.kind": query.kind,
        "c.id": query.id,
        "r.request_id": query.request_id,
        "w.user_id": query.user_id,
        "w.project_id": query.project_id,
    }
    given = {column: value for column, value in asked.items() if value is not None}
    conditions = ["c.seq >= ? AND c.seq < ?", *(f"{column} = ?" for column in given)]
    parameters: list[Any] = [above, below, *given.values()]
    if query.id is not None or given.keys() <= {"c.kind"}:
        if query.id is None and query.kind not in (None, "port"):
            # Repeated, the index that leaves out ports can be used.
            conditions.append("c.kind <> 'port'")
        sql = f"{_FROM_CHANGES} {' AND '.join(conditions)} ORDER BY c.seq LIMIT ?"
        rows = connection.execute(sql, (*parameters, query.limit)).fetchall()
    else:
        # The request that `above` lies in, so that a later page does not walk over those before it.
        begun = connection.execute("SELECT max(first) FROM request WHERE first <= ?", (above,)).fetchone()
        conditions += ["r.first >= ? AND r.first < ?"]
        parameters += [begun[0] or 0, below]
        rows = _from_requests(connection, query, conditions, parameters)
    return [
        Recorded(place_of(seq), at_ms, Origin(*origin), kind, id, *_rows(schema.by_kind[kind], before, after))
        for seq, at_ms, *origin, kind, id, before, after in rows
    ]


def _from_requests(
    connection: sqlite3.Connection, query: History, conditions: list[str], parameters: list[Any]
) -> list[tuple[Any, ...]]:
    order = "ORDER BY r.first, c.seq LIMIT ?"
    if query.request_id:
        # Repeated, the index that leaves out the empty ones can be used.
        sql = f"{_FROM_REQUESTS} {' AND '.join([*conditions, _NAMED])} {order}"
        return connection.execute(sql, (*parameters, query.limit)).fetchall()
    who = {"user_id": query.user_id, "project_id": query.project_id}
    same = " AND ".join([f"{name} = ?" for name, value in who.items() if value is not None] or ["1"])
    values = [value for value in who.values() if value is not None]
    pages = []
    for (number,) in connection.execute(f"SELECT id FROM who WHERE {same}", values).fetchall():
        one = f"r.who = {number:d} AND r.who <> 0" if number else "r.who = 0"
        sql = f"{_FROM_REQUESTS} {' AND '.join([*conditions, one])} {order}"
        pages.append(connection.execute(sql, (*parameters, query.limit)).fetchall())
    return list(islice(heapq.merge(*pages, key=itemgetter(0)), query.limit))


def read_as_of(connection: sqlite3.Connection, table: Table, id: str, moment_ms: int) -> Entity | None:
    """The row at a moment: what it was before its first change after it, or what it is. Raises: TooOld."""
    oldest_ms = read_oldest_ms(connection)
    if moment_ms < oldest_ms:
        raise TooOld(f"history begins at {oldest_ms} (unix ms), after {moment_ms}", oldest_ms=oldest_ms)
    changed = connection.execute(
        "SELECT before FROM change_log WHERE id = ? AND kind = ? AND seq >= ? ORDER BY seq LIMIT 1",
        (id, table.name, _first_since(connection, moment_ms + 1)),
    ).fetchone()
    document = find_document(connection, table, id) if changed is None else changed[0]
    return None if document is None else table.decode(document)


def _first_since(connection: sqlite3.Connection, moment_ms: int) -> int:
    """The seq from which on changes were committed at or after a moment; beyond all of them if there is none.

    Times grow with seq: some sixty look-ups by halving, and no index that every request would have to write.
    """
    low, high = 0, _BEYOND
    while low < high:
        middle = (low + high) // 2
        found = connection.execute(_REQUEST_FROM, (middle,)).fetchone()
        if found is None or found[1] >= moment_ms:
            high = middle
        else:
            low = found[0] + 1
    found = connection.execute(_REQUEST_FROM, (low,)).fetchone()
    return _BEYOND if found is None else found[0]


def _rows(table: Table, before: str | None, after: str | None) -> tuple[Entity | None, Entity | None]:
    return (
        None if before is None else table.decode(before),
        None if after is None else table.decode(after),
    )
