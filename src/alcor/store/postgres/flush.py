"""Everything a request writes, as one statement: one round trip, whatever it holds.

Each table's rows are an arm of one WITH. All arms see the same snapshot, and foreign keys are checked at the end of
the statement, so that parents and children may come and go in any order. The log is written by an arm that reads the
counts of all the others: `seq` must be drawn after the rows are locked, or a row made again by one request could be
logged before its removal by another. The order of the arms is that of the tables, and of ids within a table.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from alcor.model.change import Origin
from alcor.store.postgres.buffer import Held, Pending
from alcor.store.postgres.query import Parameters, quote, sql_type
from alcor.store.postgres.tally import MOVE, Move
from alcor.store.schema import Schema, SideTable, Table


@dataclass(slots=True)
class Flush:
    """What one flush writes beside rows. Keys of claims and values are (space, key).

    `releases`: until when the key rests (unix ms), 0: not at all.
    """

    releases: Mapping[tuple[str, str], int] = field(default_factory=dict)
    saves: Mapping[tuple[str, str], bytes | None] = field(default_factory=dict)
    moves: Sequence[Move] = ()


class Statement:
    """A statement being put together. Every arm has a RETURNING, so that the last one can wait for it."""

    def __init__(self) -> None:
        self.parameters = Parameters()
        self._arms: list[str] = []
        self._names: list[str] = []

    def add(self, sql: str, *, returning: str = "RETURNING 1") -> str:
        """Append an arm; its name."""
        name = f"a{len(self._names)}"
        self._arms.append(f"{name} AS ({sql} {returning})")
        self._names.append(name)
        return name

    def array(self, values: Sequence[Any], type: str) -> str:
        """A parameter that is an array."""
        return f"{self.parameters.add(values)}::{type}[]"

    def finish(self, steps: Pending, origin: Origin, moved: str | None) -> str:
        """The whole text: the arms in order, the log behind them; gives (rows, xid, counts moved)."""
        waits = " + ".join(f"(SELECT count(*) FROM {name})" for name in self._names) or "0"
        arms = list(self._arms)
        logged = "0"
        if steps.steps:
            arms.append(f"logged AS ({self._log(steps, origin, waits)})")
            logged = "(SELECT count(*) FROM logged)"
        moves = (
            f"(SELECT array_agg(ARRAY[kind, project_id]) FROM {moved} WHERE NOT made)"
            if moved
            else "NULL::text[]"
        )
        return f"WITH {', '.join(arms)} SELECT {waits} + {logged}, pg_current_xact_id(), {moves}"

    def _log(self, pending: Pending, origin: Origin, waits: str) -> str:
        kinds, ids, befores, afters = (list(values) for values in zip(*pending.steps, strict=True))
        asked = ", ".join(
            f"{self.parameters.add(text)}::text"
            for text in (origin.request_id, origin.user_id, origin.project_id)
        )
        arrays = ", ".join(self.array(values, "text") for values in (kinds, ids, befores, afters))
        return (
            "INSERT INTO change_log (kind, id, before, after, request_id, user_id, project_id) "
            f"SELECT s.kind, s.id, s.before, s.after, {asked} "
            f"FROM (SELECT {waits} AS n) w CROSS JOIN unnest({arrays}) AS s (kind, id, before, after) "
            "WHERE w.n >= 0 RETURNING 1"
        )


def render_flush(schema: Schema, pending: Pending, flush: Flush, origin: Origin) -> tuple[str, list[Any]]:
    """The statement and its values. Equal shapes of writes have equal texts, and are planned once."""
    statement = Statement()
    kinds = sorted(
        {*pending.inserts, *pending.updates, *pending.deletes},
        key=schema.order.__getitem__,
    )
    for kind in kinds:
        table = schema.by_kind[kind]
        if rows := pending.inserts.get(kind):
            _insert(statement, table, rows)
        if pairs := pending.updates.get(kind):
            _update(statement, table, pairs)
        if ids := pending.deletes.get(kind):
            gone = statement.array(ids, "text")
            statement.add(f"DELETE FROM {quote(kind)} WHERE id = ANY({gone})")
            # The cascade would come too late: the parents they refer to may be checked before it.
            for side in table.sides:
                statement.add(f"DELETE FROM {quote(side.name)} WHERE owner = ANY({gone})")
    _release(statement, flush.releases)
    _save(statement, flush.saves)
    moved = _move(statement, flush.moves) if flush.moves else None
    return statement.finish(pending, origin, moved), statement.parameters.values


def _row(held: Held) -> tuple[Any, str]:
    assert held.row is not None
    assert held.document is not None
    return held.row, held.document


def _insert(statement: Statement, table: Table, rows: Sequence[Held]) -> None:
    pairs = [_row(held) for held in rows]
    names = ["id", *(quote(column.name) for column in table.columns), "document"]
    columns = list(zip(*((row.id, *table.keys(row), document) for row, document in pairs), strict=True))
    arrays = _arrays(statement, table, columns)
    statement.add(f"INSERT INTO {quote(table.name)} ({', '.join(names)}) SELECT * FROM unnest({arrays})")
    for side in table.sides:
        _insert_side(statement, side, [row for row, _ in pairs])


def _insert_side(statement: Statement, side: SideTable, rows: Sequence[Any]) -> None:
    values = [(row.id, *each) for row in rows for each in side.lookup.rows(row)]
    if not values:
        return
    names = ["owner", *(quote(column.name) for column in side.columns)]
    types = ["text", *(sql_type(column.type) for column in side.columns)]
    arrays = ", ".join(
        statement.array(list(column), type)
        for column, type in zip(zip(*values, strict=True), types, strict=True)
    )
    statement.add(f"INSERT INTO {quote(side.name)} ({', '.join(names)}) SELECT * FROM unnest({arrays})")


def _arrays(statement: Statement, table: Table, columns: Sequence[Sequence[Any]]) -> str:
    """Arrays of ids, key columns and documents, as parameters."""
    types = ["text", *(sql_type(column.type) for column in table.columns), "text"]
    return ", ".join(
        statement.array(_typed(list(values), type), type) for values, type in zip(columns, types, strict=True)
    )


def _typed(values: list[Any], type: str) -> list[Any]:
    # An enumeration's member is text to us and an object to the driver.
    if type == "text":
        return [None if value is None else str(value) for value in values]
    return values


def _update(statement: Statement, table: Table, pairs: Sequence[tuple[Held, Held]]) -> None:
    """Indexes are rewritten only for rows whose key columns changed."""
    plain: list[tuple[Any, ...]] = []
    whole: list[tuple[Any, ...]] = []
    for before, after in pairs:
        row, document = _row(after)
        keys = table.keys(row)
        if keys == table.keys(_row(before)[0]):
            plain.append((row.id, document))
        else:
            whole.append((row.id, *keys, document))
    name = quote(table.name)
    stamp = "xid = pg_current_xact_id(), document = v.document"
    if plain:
        ids, documents = (statement.array(list(values), "text") for values in zip(*plain, strict=True))
        statement.add(
            f"UPDATE {name} SET {stamp} FROM unnest({ids}, {documents}) AS v (id, document) WHERE {name}.id = v.id"
        )
    if whole:
        names = [quote(column.name) for column in table.columns]
        assigned = ", ".join(f"{column} = v.{column}" for column in names)
        arrays = _arrays(statement, table, list(zip(*whole, strict=True)))
        statement.add(
            f"UPDATE {name} SET {assigned}, {stamp} FROM unnest({arrays}) "
            f"AS v (id, {', '.join(names)}, document) WHERE {name}.id = v.id"
        )
    for side in table.sides:
        rows = [
            _row(after)[0]
            for before, after in pairs
            if side.lookup.rows(_row(before)[0]) != side.lookup.rows(_row(after)[0])
        ]
        if rows:
            owners = statement.array([row.id for row in rows], "text")
            statement.add(f"DELETE FROM {quote(side.name)} WHERE owner = ANY({owners})")
            _insert_side(statement, side, rows)


def _release(statement: Statement, releases: Mapping[tuple[str, str], int]) -> None:
    if not releases:
        return
    keys = sorted(releases)
    spaces = statement.array([space for space, _ in keys], "text")
    names = statement.array([key for _, key in keys], "text")
    until = statement.array([releases[key] for key in keys], "bigint")
    # An insert that meets its row reads no index page, as a plain UPDATE would: see `transaction.claim`.
    statement.add(
        f"INSERT INTO claim (space, key, owner, until_ms) SELECT r.space, r.key, NULL, r.until_ms "
        f"FROM unnest({spaces}, {names}, {until}) AS r (space, key, until_ms) "
        "ON CONFLICT (space, key) DO UPDATE SET owner = NULL, until_ms = excluded.until_ms"
    )


def _save(statement: Statement, saves: Mapping[tuple[str, str], bytes | None]) -> None:
    gone = sorted(key for key, value in saves.items() if value is None)
    kept = sorted((key, value) for key, value in saves.items() if value is not None)
    if gone:
        spaces, names = (statement.array(list(part), "text") for part in zip(*gone, strict=True))
        statement.add(
            f"DELETE FROM kept_value USING unnest({spaces}, {names}) AS g (space, key) "
            "WHERE kept_value.space = g.space AND kept_value.key = g.key"
        )
    if kept:
        spaces = statement.array([space for (space, _), _ in kept], "text")
        names = statement.array([name for (_, name), _ in kept], "text")
        values = statement.array([value for _, value in kept], "bytea")
        statement.add(
            f"INSERT INTO kept_value (space, key, value) SELECT * FROM unnest({spaces}, {names}, {values}) "
            "ON CONFLICT (space, key) DO UPDATE SET value = excluded.value"
        )


def _move(statement: Statement, moves: Sequence[Move]) -> str:
    sql = MOVE.format(
        kinds=statement.array([move.counted[0] for move in moves], "text"),
        projects=statement.array([move.counted[1] for move in moves], "text"),
        steps=statement.array([move.step for move in moves], "bigint"),
        bounds=statement.array([move.limit for move in moves], "bigint"),
        stripes=statement.array([move.stripe for move in moves], "integer"),
    )
    return statement.add(sql, returning="")
