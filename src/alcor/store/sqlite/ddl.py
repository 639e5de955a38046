"""The schema in SQLite's words: making it, checking it, carrying it forward.

A database of an older or differently declared schema is brought up in one transaction before anything else: numbered
`MIGRATIONS` first, for what only a program knows how to change; then, if the declarations say something else than what
the tables were made from, the tables are made again and filled from the documents, which hold everything.
"""

import hashlib
import sqlite3
from collections.abc import Callable, Mapping
from pathlib import Path

from alcor.model.errors import Unavailable
from alcor.store.schema import SCHEMA_VERSION, ColumnType, Schema, SideTable, Table
from alcor.store.sqlite.history import cut_log, get_meta, put_meta, read_head
from alcor.store.sqlite.query import quote

_TYPES = {ColumnType.TEXT: "TEXT", ColumnType.INTEGER: "INTEGER", ColumnType.BOOLEAN: "INTEGER"}

# What every store has beside its resources. `change_log.seq` orders changes over all revisions.
_FIXED = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE change_log (
    seq INTEGER PRIMARY KEY, revision INTEGER NOT NULL, kind TEXT NOT NULL, id TEXT NOT NULL,
    before TEXT, after TEXT, origin TEXT NOT NULL);
CREATE INDEX change_log_revision ON change_log (revision);
CREATE TABLE claim (
    space TEXT NOT NULL, key TEXT NOT NULL, owner TEXT NOT NULL, PRIMARY KEY (space, key)) WITHOUT ROWID;
CREATE TABLE resting (
    space TEXT NOT NULL, key TEXT NOT NULL, until_ms INTEGER NOT NULL, PRIMARY KEY (space, key)) WITHOUT ROWID;
CREATE INDEX resting_until ON resting (until_ms);
CREATE TABLE kept_value (space TEXT NOT NULL, key TEXT NOT NULL, value BLOB NOT NULL, PRIMARY KEY (space, key));
"""
_FIXED_NAMES = frozenset({"meta", "change_log", "claim", "resting", "kept_value", "carried"})

MIGRATIONS: Mapping[int, Callable[[sqlite3.Connection], None]] = {}
"""From schema version n to n + 1."""


class StoreTooNew(Unavailable):
    """The database was written by a newer Alcor."""

    def __init__(self, path: Path, version: int, known: int) -> None:
        super().__init__(
            f"{path} has schema version {version}, and this Alcor knows versions up to {known}: start the newer "
            "Alcor that wrote it, or restore a backup made before the upgrade."
        )
        self.path, self.version, self.known = path, version, known


def render_table(table: Table) -> list[str]:
    """The statements that make one resource's table, its side tables and their indexes."""
    columns = ["id TEXT NOT NULL PRIMARY KEY"]
    for column in table.columns:
        refers = f" REFERENCES {quote(column.refers)} (id)" if column.refers else ""
        columns.append(f"{quote(column.name)} {_TYPES[column.type]}{refers}")
    columns += ["revision INTEGER NOT NULL", "document TEXT NOT NULL"]
    statements = [f"CREATE TABLE {quote(table.name)} ({', '.join(columns)})"]
    # With `id` behind it, one index both finds and pages in a total order.
    statements += [_index(table.name, [column.name, "id"]) for column in table.columns]
    for side in table.sides:
        statements += _render_side(table, side)
    return statements


def _render_side(table: Table, side: SideTable) -> list[str]:
    columns = [f"owner TEXT NOT NULL REFERENCES {quote(table.name)} (id) ON DELETE CASCADE"]
    for column in side.columns:
        refers = f" REFERENCES {quote(column.refers)} (id)" if column.refers else ""
        columns.append(f"{quote(column.name)} {_TYPES[column.type]}{refers}")
    statements = [f"CREATE TABLE {quote(side.name)} ({', '.join(columns)})", _index(side.name, ["owner"])]
    names = [column.name for column in side.columns]
    # One index per column to start from; the columns after it are there to be compared without reading the row.
    return statements + [
        _index(side.name, [*names[place:], *names[:place], "owner"]) for place in range(len(names))
    ]


def _index(table: str, columns: list[str]) -> str:
    name = quote(f"{table}_by_{'_'.join(columns)}")
    return f"CREATE INDEX {name} ON {quote(table)} ({', '.join(map(quote, columns))})"


def fingerprint(schema: Schema) -> str:
    """A digest of what the declarations ask for; another one means that the tables must be made again."""
    text = "\n".join(line for table in schema.tables for line in render_table(table))
    return hashlib.sha256(text.encode()).hexdigest()


def prepare_schema(
    connection: sqlite3.Connection,
    schema: Schema,
    path: Path,
    *,
    epoch: int,
    version: int = SCHEMA_VERSION,
    migrations: Mapping[int, Callable[[sqlite3.Connection], None]] = MIGRATIONS,
) -> None:
    """Make the database what this program expects, in one transaction: all of it or nothing.

    `epoch` is the one a new database begins with. Afterwards the connection enforces foreign keys.

    Raises: StoreTooNew; Unavailable if rows contradict a new foreign key.
    """
    for table in schema.tables:
        if table.name in _FIXED_NAMES:
            raise ValueError(f"a resource cannot be called {table.name}: the store has a table of this name")
    # Tables are made again with their references dangling for a moment; the setting is ignored in a transaction.
    connection.execute("PRAGMA foreign_keys=OFF")
    connection.execute("BEGIN IMMEDIATE")
    try:
        if not _exists(connection, "meta"):
            for statement in filter(str.strip, _FIXED.split(";")):
                connection.execute(statement)
            put_meta(connection, "schema_version", str(version))
            put_meta(connection, "epoch", str(epoch))
            put_meta(connection, "log_floor", "0")
        stored = int(get_meta(connection, "schema_version") or 0)
        if stored > version:
            raise StoreTooNew(path, stored, version)
        for step in range(stored, version):
            migrations[step](connection)
        put_meta(connection, "schema_version", str(version))
        wanted = fingerprint(schema)
        if get_meta(connection, "fingerprint") != wanted:
            for table in schema.tables:
                _make_again(connection, table)
            _check_references(connection, path)
            # The log's documents are of the old shape; who follows begins with an image.
            cut_log(connection, read_head(connection).revision)
            put_meta(connection, "fingerprint", wanted)
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("PRAGMA foreign_keys=ON")


def _exists(connection: sqlite3.Connection, name: str) -> bool:
    sql = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?"
    return connection.execute(sql, (name,)).fetchone() is not None


def insert_statement(table: Table) -> str:
    """Adds one row: id, the key columns, revision, document."""
    names = ["id", *(quote(column.name) for column in table.columns), "revision", "document"]
    return f"INSERT INTO {quote(table.name)} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})"


def insert_side_statement(side: SideTable) -> str:
    """Adds one row of a lookup: owner, the columns."""
    names = ["owner", *(quote(column.name) for column in side.columns)]
    return f"INSERT INTO {quote(side.name)} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})"


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
    for statement in render_table(table):
        connection.execute(statement)
    if existed:
        insert = insert_statement(table)
        sides = [(side.lookup, insert_side_statement(side)) for side in table.sides]
        for id, revision, document in connection.execute("SELECT id, revision, document FROM carried"):
            row = table.decode(document)
            connection.execute(insert, (id, *table.keys(row), revision, table.encode(row)))
            for lookup, insert_side in sides:
                connection.executemany(insert_side, [(id, *values) for values in lookup.rows(row)])
        connection.execute("DROP TABLE carried")


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
