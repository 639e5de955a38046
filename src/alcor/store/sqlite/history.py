"""The change log, where it stands, and what the database knows of itself; on one connection."""

import sqlite3
from collections.abc import Sequence

from alcor.model.change import Change, Cut, Position
from alcor.model.resource import Entity
from alcor.store.interface import Image, TooOld
from alcor.store.schema import Schema
from alcor.store.sqlite.query import quote


def get_meta(connection: sqlite3.Connection, key: str) -> str | None:
    """One fact about the database itself."""
    found = connection.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
    return None if found is None else found[0]


def put_meta(connection: sqlite3.Connection, key: str, value: str) -> None:
    """Replace such a fact."""
    connection.execute("INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)", (key, value))


def read_head(connection: sqlite3.Connection) -> Position:
    """The last committed position. Revisions count on where the log was cut."""
    last = connection.execute("SELECT max(revision) FROM change_log").fetchone()[0]
    return Position(int(get_meta(connection, "epoch") or 0), max(last or 0, read_floor(connection)))


def read_floor(connection: sqlite3.Connection) -> int:
    """The log holds every revision above this one."""
    return int(get_meta(connection, "log_floor") or 0)


def cut_log(connection: sqlite3.Connection, through: int) -> None:
    """Forget the log up to and with revision `through`."""
    connection.execute("DELETE FROM change_log WHERE revision <= ?", (through,))
    put_meta(connection, "log_floor", str(through))


def begin_epoch(connection: sqlite3.Connection, now_ms: int) -> Position:
    """Another history from here on.

    It takes a revision of its own, and the log is cut through it: who followed the old history is beyond the head no
    more and gets TooOld, so that nobody can miss the change.
    """
    head = read_head(connection)
    position = Position(max(head.epoch + 1, now_ms), head.revision + 1)
    cut_log(connection, position.revision)
    put_meta(connection, "epoch", str(position.epoch))
    return position


def read_cuts(connection: sqlite3.Connection, schema: Schema, after: int, limit: int) -> list[Cut]:
    """Up to `limit` cuts above `after`. The caller sees to it that both reads see one state.

    Raises: TooOld.
    """
    floor = read_floor(connection)
    if after < floor:
        raise TooOld(f"the change log begins after revision {floor}; revision {after} is no longer in it")
    rows = connection.execute(
        "SELECT revision, kind, id, before, after FROM change_log WHERE revision > ? AND revision <= ? "
        "ORDER BY revision, seq",
        (after, after + limit),
    )
    cuts: dict[int, list[Change]] = {}
    for revision, kind, id, before, now in rows:
        table = schema.by_kind[kind]
        old = None if before is None else table.decode(before)
        new = None if now is None else table.decode(now)
        cuts.setdefault(revision, []).append(Change(kind, id, old, new))
    return [Cut(revision, tuple(changes)) for revision, changes in cuts.items()]


def read_image(connection: sqlite3.Connection, schema: Schema, entities: Sequence[type[Entity]]) -> Image:
    """All rows of some kinds. The caller sees to it that all reads see one state."""
    rows: dict[type[Entity], list[Entity]] = {}
    revisions: dict[str, int] = {}
    for entity in entities:
        table = schema.by_entity[entity]
        found = rows[entity] = []
        for revision, document in connection.execute(
            f"SELECT revision, document FROM {quote(table.name)} ORDER BY rowid"
        ):
            row = table.decode(document)
            found.append(row)
            revisions[row.id] = revision
    return Image(read_head(connection), rows, revisions)
