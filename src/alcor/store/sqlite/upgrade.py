"""Making the database what this program expects, in one transaction before anything else.

Numbered `MIGRATIONS` come first, for what only a program knows how to change. Then the declarations are followed: a
kind whose table, look-ups, quota or fields are declared otherwise than when its table was made is made again and
filled from the documents, which hold everything; a new field has its default in the documents from before.
"""

import hashlib
import sqlite3
from collections.abc import Callable, Mapping, Set
from pathlib import Path

import msgspec

from alcor.model.errors import Unavailable
from alcor.store.schema import SCHEMA_VERSION, Schema, Table, Unreadable
from alcor.store.sqlite.change_log import cut_log
from alcor.store.sqlite.ddl import (
    FIRST_TABLES,
    TABLE_NAMES,
    TABLES_SINCE_2,
    insert_side_statement,
    insert_statement,
    render_table,
)
from alcor.store.sqlite.history import get_meta, place_of, put_meta, read_head
from alcor.store.sqlite.query import expression, quote
from alcor.telemetry.log import get_log

# Before a kind's name, in `meta`: the digest of the declarations its table was made from.
_DIGEST = "made:"

_log = get_log("store")


def _to_version_2(connection: sqlite3.Connection) -> None:
    """The log of version 1 knew neither when nor by whom: history begins now."""
    floor = get_meta(connection, "log_floor") or "0"
    last = connection.execute("SELECT max(revision) FROM change_log").fetchone()[0]
    connection.execute("DROP TABLE change_log")
    put_meta(connection, "log_floor", str(max(int(floor), last or 0)))
    connection.execute("DELETE FROM meta WHERE key = 'fingerprint'")
    _execute_all(connection, TABLES_SINCE_2)


MIGRATIONS: Mapping[int, Callable[[sqlite3.Connection], None]] = {1: _to_version_2}
"""From schema version n to n + 1. What only a program knows: the declarations are followed without one."""


class StoreTooNew(Unavailable):
    """The database was written by a newer Alcor."""

    def __init__(self, path: Path, version: int, known: int) -> None:
        super().__init__(
            f"{path} has schema version {version}, and this Alcor knows versions up to {known}: start the newer "
            "Alcor that wrote it, or restore a backup made before the upgrade."
        )
        self.path, self.version, self.known = path, version, known


def prepare_schema(
    connection: sqlite3.Connection,
    schema: Schema,
    path: Path,
    *,
    now_ms: int,
    version: int = SCHEMA_VERSION,
    migrations: Mapping[int, Callable[[sqlite3.Connection], None]] = MIGRATIONS,
) -> None:
    """Make the database what this program expects, in one transaction: all of it or nothing.

    `now_ms` is the epoch a new database begins with. Afterwards the connection enforces foreign keys.

    Raises: StoreTooNew; Unreadable if a document is none of this program's; Unavailable if rows contradict a new
    foreign key.
    """
    for table in schema.tables:
        if table.name in TABLE_NAMES:
            raise ValueError(f"a resource cannot be called {table.name}: the store has a table of this name")
    # Tables are made again with their references dangling for a moment; the setting is ignored in a transaction.
    connection.execute("PRAGMA foreign_keys=OFF")
    connection.execute("BEGIN IMMEDIATE")
    try:
        if not _exists(connection, "meta"):
            _execute_all(connection, FIRST_TABLES + TABLES_SINCE_2)
            put_meta(connection, "schema_version", str(version))
            put_meta(connection, "epoch", str(now_ms))
            put_meta(connection, "log_floor", "0")
            # There was nothing before: what was when is known for all times.
            put_meta(connection, "log_floor_ms", "0")
        stored = int(get_meta(connection, "schema_version") or 0)
        if stored > version:
            raise StoreTooNew(path, stored, version)
        for step in range(stored, version):
            migrations[step](connection)
        put_meta(connection, "schema_version", str(version))
        if get_meta(connection, "log_floor_ms") is None:
            put_meta(connection, "log_floor_ms", str(now_ms))
        follow_declarations(connection, schema, path)
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("PRAGMA foreign_keys=ON")


def _execute_all(connection: sqlite3.Connection, statements: str) -> None:
    """Unlike `executescript`, inside the open transaction."""
    for statement in filter(str.strip, statements.split(";")):
        connection.execute(statement)


def _exists(connection: sqlite3.Connection, name: str) -> bool:
    sql = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?"
    return connection.execute(sql, (name,)).fetchone() is not None


def follow_declarations(connection: sqlite3.Connection, schema: Schema, path: Path) -> None:
    """Make again what was made from other declarations: what they are is kept as a digest per kind.

    Raises: Unreadable; Unavailable if rows contradict a new foreign key.
    """
    made: dict[str, str] = {
        key.removeprefix(_DIGEST): value
        for key, value in connection.execute("SELECT key, value FROM meta WHERE key GLOB ?", (f"{_DIGEST}*",))
    }
    digests = {table.name: digest_of(table) for table in schema.tables}
    if made == digests:
        return
    changed = [table for table in schema.tables if made.get(table.name) != digests[table.name]]
    for table in changed:
        _make_again(connection, table)
        _count_again(connection, table)
        put_meta(connection, digest_key(table), digests[table.name])
    for kind in made.keys() - digests.keys():
        connection.execute("DELETE FROM meta WHERE key = ?", (_DIGEST + kind,))
        connection.execute("DELETE FROM tally WHERE kind = ?", (kind,))
    _check_references(connection, path)
    # Who follows begins with an image of the new shape; people's history stays as far as it can be read.
    put_meta(connection, "log_floor", str(read_head(connection).revision))
    suspects = (made.keys() - digests.keys()) | {table.name for table in changed if table.name in made}
    _forget_unreadable(connection, schema, suspects)


def digest_key(table: Table) -> str:
    """Where in `meta` it is kept from which declarations a table was made."""
    return _DIGEST + table.name


def digest_of(table: Table) -> str:
    """What is kept there of the present ones."""
    text = "\n".join([*render_table(table), table.digest])
    return hashlib.sha256(text.encode()).hexdigest()


def _make_again(connection: sqlite3.Connection, table: Table) -> None:
    """Make the table as declared now, with the rows it had. Cost: one pass over its documents."""
    existed = _exists(connection, table.name)
    if existed:
        connection.execute(
            f"CREATE TABLE carried AS SELECT id, revision, document FROM {quote(table.name)} ORDER BY rowid"
        )
        for name in _side_tables_of(connection, table.name):
            connection.execute(f"DROP TABLE {quote(name)}")
        connection.execute(f"DROP TABLE {quote(table.name)}")
    statements = render_table(table)
    # Last of all: an index made over rows that are there takes half the time.
    indexes = [statement for statement in statements if statement.startswith("CREATE INDEX")]
    for statement in statements:
        if statement not in indexes:
            connection.execute(statement)
    if existed:
        _fill(connection, table)
    for statement in indexes:
        connection.execute(statement)


def _fill(connection: sqlite3.Connection, table: Table) -> None:
    """Fill a table from the documents carried over. Raises: Unreadable."""
    carried = 0
    insert = insert_statement(table)
    sides = [(side.lookup, insert_side_statement(side)) for side in table.sides]
    for id, revision, document in connection.execute("SELECT id, revision, document FROM carried"):
        row, text = table.carry(id, document)
        connection.execute(insert, (id, *table.keys(row), revision, text))
        for lookup, insert_side in sides:
            connection.executemany(insert_side, [(id, *values) for values in lookup.rows(row)])
        carried += 1
    for name in ("carried", table.name):
        (found,) = connection.execute(f"SELECT count(*) FROM {quote(name)}").fetchone()
        if found != carried:
            raise Unavailable(f"{name} has {found} rows and not {carried}: the database was left as it was.")
    connection.execute("DROP TABLE carried")


def _count_again(connection: sqlite3.Connection, table: Table) -> None:
    """Count the rows of each project, if they are to be counted."""
    connection.execute("DELETE FROM tally WHERE kind = ?", (table.name,))
    if table.quota:
        project = expression(table, "project_id")
        connection.execute(
            f"INSERT INTO tally SELECT ?, {project}, count(*) FROM {quote(table.name)} "
            f"WHERE {project} <> '' GROUP BY {project}",
            (table.name,),
        )


def _forget_unreadable(connection: sqlite3.Connection, schema: Schema, kinds: Set[str]) -> None:
    """Cut the log through the last change of some kinds that this program cannot read. Cost: a pass over it."""
    if not kinds:
        return
    for seq, kind, id, *documents in connection.execute(
        "SELECT seq, kind, id, before, after FROM change_log "
        "WHERE kind IN (SELECT value FROM json_each(?)) ORDER BY seq DESC",
        (msgspec.json.encode(sorted(kinds)).decode(),),
    ):
        table = schema.by_kind.get(kind)
        try:
            if table is not None:
                for document in filter(None, documents):
                    table.carry(id, document)
                continue
        except Unreadable as unreadable:
            _log.warning("history_unreadable", kind=kind, id=id, reason=unreadable.reason)
        (at_ms,) = connection.execute(
            "SELECT at_ms FROM request WHERE first <= ? ORDER BY first DESC LIMIT 1", (seq,)
        ).fetchone()
        cut_log(connection, place_of(seq)[0], at_ms)
        return


def _side_tables_of(connection: sqlite3.Connection, owner: str) -> list[str]:
    """The tables, declared now or formerly, whose `owner` column refers to the table."""
    names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    return [
        name
        for name in names
        if any(
            column == "owner" and parent == owner
            for parent, column in connection.execute(
                'SELECT "table", "from" FROM pragma_foreign_key_list(?)', (name,)
            )
        )
    ]


def _check_references(connection: sqlite3.Connection, path: Path) -> None:
    broken = connection.execute("PRAGMA foreign_key_check").fetchone()
    if broken is not None:
        child, _, parent, _ = broken
        raise Unavailable(
            f"{path}: a row of {child} refers to a {parent} that is not there, so the database cannot be brought to "
            "this Alcor's schema: start the Alcor that wrote it and delete that row, or restore a backup."
        )
