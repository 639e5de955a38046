"""The schema in PostgreSQL's words."""

from alcor.store.postgres.query import quote, sql_type
from alcor.store.schema import Column, SideTable, Table

# What every store has beside its resources. `xid` is the transaction that wrote a row; together with the snapshots in
# `revision` it says which revision that was (see `history`). A claim without an owner rests until its time.
# Values and counts are changed again and again in place, and need room for it in their page: a new version in another
# page is a new entry in the index, and that is a conflict with everybody who has read one beside it.
FIXED_TABLES = """
CREATE TABLE meta (key text PRIMARY KEY, value text NOT NULL);
CREATE TABLE revision (
    revision bigint PRIMARY KEY, snap pg_snapshot NOT NULL, generation bigint NOT NULL, at_ms bigint NOT NULL,
    beyond xid8 NOT NULL);
CREATE INDEX revision_by_beyond ON revision (beyond, revision);
CREATE INDEX revision_by_at ON revision (at_ms, revision);
CREATE TABLE change_log (
    xid xid8 NOT NULL DEFAULT pg_current_xact_id(), seq bigserial NOT NULL,
    kind text COLLATE "C" NOT NULL, id text COLLATE "C" NOT NULL, before text, after text,
    request_id text COLLATE "C" NOT NULL, user_id text COLLATE "C" NOT NULL, project_id text COLLATE "C" NOT NULL);
CREATE INDEX change_log_by_xid ON change_log (xid);
CREATE INDEX change_log_by_id ON change_log (id, seq);
CREATE INDEX change_log_by_request ON change_log (request_id) WHERE request_id <> '';
CREATE INDEX change_log_by_project ON change_log (project_id, xid) WHERE project_id <> '';
CREATE TABLE claim (
    space text COLLATE "C" NOT NULL, key text COLLATE "C" NOT NULL, owner text COLLATE "C",
    until_ms bigint NOT NULL DEFAULT 0, PRIMARY KEY (space, key));
CREATE INDEX claim_by_rest ON claim (until_ms) WHERE owner IS NULL;
CREATE TABLE kept_value (
    space text COLLATE "C" NOT NULL, key text COLLATE "C" NOT NULL, value bytea NOT NULL,
    PRIMARY KEY (space, key)) WITH (fillfactor = 10);
CREATE TABLE tally (
    kind text COLLATE "C" NOT NULL, project_id text COLLATE "C" NOT NULL, stripe integer NOT NULL,
    used bigint NOT NULL, allowance bigint NOT NULL, bound bigint,
    PRIMARY KEY (kind, project_id, stripe)) WITH (fillfactor = 10);
CREATE TABLE port_observation (
    id text COLLATE "C" PRIMARY KEY, host_id text COLLATE "C" NOT NULL, document text NOT NULL)
    WITH (fillfactor = 70);
CREATE INDEX port_observation_by_host ON port_observation (host_id);
CREATE TABLE host_observation (id text COLLATE "C" PRIMARY KEY, document text NOT NULL) WITH (fillfactor = 70);
"""
FIXED_NAMES = frozenset(
    {
        "meta",
        "revision",
        "change_log",
        "claim",
        "kept_value",
        "tally",
        "port_observation",
        "host_observation",
        "carried",
    }
)


def render_table(table: Table) -> list[str]:
    """The statements that make one resource's table and its side tables, without foreign keys and indexes."""
    columns = ['id text COLLATE "C" NOT NULL PRIMARY KEY']
    columns += [_column(column) for column in table.columns]
    columns += ["xid xid8 NOT NULL DEFAULT pg_current_xact_id()", "document text NOT NULL"]
    statements = [f"CREATE TABLE {quote(table.name)} ({', '.join(columns)})"]
    for side in table.sides:
        held = ['owner text COLLATE "C" NOT NULL', *(_column(column) for column in side.columns)]
        statements.append(f"CREATE TABLE {quote(side.name)} ({', '.join(held)})")
        statements.append(f"COMMENT ON TABLE {quote(side.name)} IS '{side_comment(table.name)}'")
    return statements


def render_indexes(table: Table) -> list[str]:
    """The statements that make its indexes. With `id` behind it, one index both finds and pages in a total order."""
    statements = [
        _index(table.name, f"by_{column.name}", f"{quote(column.name)} NULLS FIRST, id")
        for column in table.columns
    ]
    for side in table.sides:
        statements += _side_indexes(side)
    return statements


def _side_indexes(side: SideTable) -> list[str]:
    names = [column.name for column in side.columns]
    statements = [_index(side.name, "by_owner", "owner")]
    for place, name in enumerate(names):
        turned = [*names[place:], *names[:place], "owner"]
        statements.append(_index(side.name, f"by_{name}", ", ".join(map(quote, turned))))
    return statements


def render_references(table: Table) -> list[str]:
    """The statements that make its foreign keys, which are checked at the end of each statement.

    A look-up's `owner` has none: its rows come and go with the row, in one statement. To check it would be to read the
    table's index where every other new row goes, and under SERIALIZABLE that reading would be a conflict with each.
    """
    return [
        f"ALTER TABLE {quote(reference.table)} ADD FOREIGN KEY ({quote(reference.column)}) "
        f"REFERENCES {quote(reference.parent)} (id)"
        for reference in table.references
    ]


def side_comment(table: str) -> str:
    """How a side table says whose it is."""
    return f"look-up of {table}"


def _column(column: Column) -> str:
    collate = ' COLLATE "C"' if sql_type(column.type) == "text" else ""
    return f"{quote(column.name)} {sql_type(column.type)}{collate}"


def _index(table: str, name: str, columns: str) -> str:
    # Names longer than 63 bytes would be cut by the database, and could then meet.
    full = f"{table}_{name}"
    if len(full) > 63:
        raise ValueError(f"the index name {full} is longer than PostgreSQL's 63 bytes")
    return f"CREATE INDEX {quote(full)} ON {quote(table)} ({columns})"
