"""The schema in SQLite's words."""

from alcor.store.schema import ColumnType, SideTable, Table
from alcor.store.sqlite.query import quote

_TYPES = {ColumnType.TEXT: "TEXT", ColumnType.INTEGER: "INTEGER", ColumnType.BOOLEAN: "INTEGER"}

# What every store has beside its resources.
FIRST_TABLES = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE claim (
    space TEXT NOT NULL, key TEXT NOT NULL, owner TEXT NOT NULL, PRIMARY KEY (space, key)) WITHOUT ROWID;
CREATE TABLE resting (
    space TEXT NOT NULL, key TEXT NOT NULL, until_ms INTEGER NOT NULL, PRIMARY KEY (space, key)) WITHOUT ROWID;
CREATE INDEX resting_until ON resting (until_ms);
CREATE TABLE kept_value (space TEXT NOT NULL, key TEXT NOT NULL, value BLOB NOT NULL, PRIMARY KEY (space, key));
"""
# See `change_log` and `tally`. A change's seq ends every index of its table, so a row's (or a kind's) history is a
# stretch of one. Of ports there is one in every few changes: they are found without an index, and cost none.
TABLES_SINCE_2 = """
CREATE TABLE change_log (
    seq INTEGER PRIMARY KEY, kind TEXT NOT NULL, id TEXT NOT NULL, before TEXT, after TEXT);
CREATE INDEX change_log_id ON change_log (id);
CREATE INDEX change_log_kind ON change_log (kind) WHERE kind <> 'port';
CREATE TABLE who (
    id INTEGER PRIMARY KEY, user_id TEXT NOT NULL, project_id TEXT NOT NULL, UNIQUE (user_id, project_id));
CREATE INDEX who_project ON who (project_id);
INSERT INTO who VALUES (0, '', '');
CREATE TABLE request (
    first INTEGER PRIMARY KEY, last INTEGER NOT NULL, ordinal INTEGER NOT NULL, at_ms INTEGER NOT NULL,
    request_id TEXT NOT NULL, who INTEGER NOT NULL);
CREATE INDEX request_id ON request (request_id) WHERE request_id <> '';
CREATE INDEX request_who ON request (who) WHERE who <> 0;
CREATE TABLE tally (
    kind TEXT NOT NULL, project_id TEXT NOT NULL, "rows" INTEGER NOT NULL, PRIMARY KEY (kind, project_id))
    WITHOUT ROWID;
"""
TABLE_NAMES = frozenset(
    {"meta", "claim", "resting", "kept_value", "change_log", "who", "request", "tally", "carried"}
)


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


def insert_statement(table: Table) -> str:
    """Adds one row: id, the key columns, revision, document."""
    names = ["id", *(quote(column.name) for column in table.columns), "revision", "document"]
    return f"INSERT INTO {quote(table.name)} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})"


def insert_side_statement(side: SideTable) -> str:
    """Adds one row of a lookup: owner, the columns."""
    names = ["owner", *(quote(column.name) for column in side.columns)]
    return f"INSERT INTO {quote(side.name)} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})"
