"""Making a database what this program expects, before anything else: all of it in one transaction, or nothing.

An advisory lock lets several processes start at once: the first one does it, the others find it done. Tables whose
declaration changed are made again from their documents, which hold everything (as in the embedded store).
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import asyncpg

from alcor.model.errors import Unavailable
from alcor.store.postgres.ddl import (
    FIXED_NAMES,
    FIXED_TABLES,
    render_indexes,
    render_references,
    render_table,
    side_comment,
)
from alcor.store.postgres.identity import FORGET, begin_history, get_meta, put_meta
from alcor.store.postgres.lease import LEASE_NAMES, LEASE_TABLES
from alcor.store.postgres.observations import TERM_NAME, TERM_TABLE
from alcor.store.postgres.query import quote
from alcor.store.schema import SCHEMA_VERSION, Schema, Table, Unreadable
from alcor.telemetry.log import get_log

_SCHEMA_LOCK = 0x616C6303
# Documents carried at a time when a table is made again: some MiB.
_BATCH = "SELECT id, xid, document FROM carried WHERE id > $1 ORDER BY id LIMIT 2000"

_LOGGED = "SELECT xid::text, kind, id, before, after FROM change_log WHERE kind = ANY($1) ORDER BY seq DESC"
_REVISION_OF = """
SELECT revision, snap, at_ms FROM revision WHERE pg_visible_in_snapshot($1::text::xid8, snap)
ORDER BY revision LIMIT 1
"""

_log = get_log("store")

MIGRATIONS: Mapping[int, Callable[[asyncpg.Connection], Awaitable[None]]] = {}
"""From schema version n to n + 1, for what documents do not tell by themselves. The first version here is 2."""


class StoreTooNew(Unavailable):
    """The database was written by a newer Alcor."""

    def __init__(self, version: int, known: int) -> None:
        super().__init__(
            f"The database has schema version {version}, and this Alcor knows versions up to {known}: start the newer "
            "Alcor that wrote it, or restore a backup made before the upgrade."
        )
        self.version, self.known = version, known


async def prepare_database(
    connection: asyncpg.Connection,
    schema: Schema,
    *,
    now_ms: int,
    version: int = SCHEMA_VERSION,
    migrations: Mapping[int, Callable[[asyncpg.Connection], Awaitable[None]]] = MIGRATIONS,
) -> None:
    """Make tables, carry rows to the present declarations, begin the history of a new database with epoch `now_ms`.

    Raises: StoreTooNew; Unreadable if a stored row is not one of this program's; Unavailable if rows contradict a
            new foreign key.
    """
    for table in schema.tables:
        if table.name in {*FIXED_NAMES, *LEASE_NAMES, TERM_NAME}:
            raise ValueError(f"a resource cannot be called {table.name}: the store has a table of this name")
    async with connection.transaction(isolation="read_committed"):
        await connection.execute("SELECT pg_advisory_xact_lock($1)", _SCHEMA_LOCK)
        if not await _exists(connection, "meta"):
            await connection.execute(FIXED_TABLES)
            await put_meta(connection, "schema_version", str(version))
        await connection.execute(LEASE_TABLES + TERM_TABLE)
        stored = int(await get_meta(connection, "schema_version") or 0)
        if stored > version:
            raise StoreTooNew(stored, version)
        for step in range(stored, version):
            await migrations[step](connection)
        if stored < version:
            await put_meta(connection, "schema_version", str(version))
        changed = [
            table for table in schema.tables if await get_meta(connection, digest_key(table)) != table.digest
        ]
        if changed:
            await _make_again(connection, schema, changed)
        if await get_meta(connection, "epoch") is None:
            await begin_history(connection, now_ms)
        elif changed:
            # The log's documents are of the old shape; who follows begins with an image.
            await connection.execute(
                "UPDATE meta SET value = (SELECT max(revision) FROM revision)::text WHERE key = 'follow_floor'"
            )
            await _forget_unreadable(connection, {table.name: table for table in changed})


async def _forget_unreadable(connection: asyncpg.Connection, changed: Mapping[str, Table]) -> None:
    """Cut the history through the last change of these kinds that this program cannot read. Cost: a pass over it.

    Only rows stop a start: a history that no declaration tells any more is of no use to anybody.
    """
    async for xid, kind, id, *documents in connection.cursor(_LOGGED, list(changed)):
        try:
            for document in filter(None, documents):
                changed[kind].carry(id, document)
        except Unreadable as unreadable:
            _log.warning("history_unreadable", kind=kind, id=id, reason=unreadable.reason)
            last = await connection.fetchrow(_REVISION_OF, xid)
            if last is not None:
                # What it was before the next revision is not known: history begins there.
                await connection.execute(FORGET, last["revision"], last["snap"], str(last["at_ms"]))
            return


async def _exists(connection: asyncpg.Connection, name: str) -> bool:
    return await connection.fetchval("SELECT to_regclass($1)", quote(name)) is not None


async def _make_again(connection: asyncpg.Connection, schema: Schema, changed: Sequence[Table]) -> None:
    """Make tables as declared now, with the rows they had. Cost: one pass over their documents."""
    for table in changed:
        if await _exists(connection, table.name):
            await _replace(connection, table)
        else:
            for statement in render_table(table):
                await connection.execute(statement)
        for statement in render_indexes(table):
            await connection.execute(statement)
        await put_meta(connection, digest_key(table), table.digest)
    # Replacing a parent has dropped the references of its children too.
    for table in schema.tables:
        await connection.execute(drop_references(table))
        for statement in render_references(table):
            try:
                await connection.execute(statement)
            except asyncpg.ForeignKeyViolationError as error:
                raise Unavailable(
                    f"A row of {error.table_name} refers to something that is not there ({error.detail}), so the "
                    "database cannot be brought to this Alcor's schema: start the Alcor that wrote it and delete that "
                    "row, or restore a backup."
                ) from error


def digest_key(table: Table) -> str:
    """Where in `meta` it is kept from which declarations a table was made."""
    return f"table:{table.name}"


def drop_references(table: Table) -> str:
    """The statement that takes away the foreign keys that a table and its side tables hold."""
    names = ", ".join(f"'{name}'" for name in (table.name, *(side.name for side in table.sides)))
    return (
        "DO $$ DECLARE each record; BEGIN FOR each IN SELECT conrelid::regclass AS owner, conname FROM pg_constraint "
        f"WHERE contype = 'f' AND conrelid IN (SELECT to_regclass(quote_ident(n)) FROM unnest(ARRAY[{names}]) n) "
        "LOOP EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', each.owner, each.conname); END LOOP; END $$"
    )


async def _replace(connection: asyncpg.Connection, table: Table) -> None:
    old = await connection.fetch(
        "SELECT oid::regclass::text FROM pg_class WHERE relkind = 'r' AND obj_description(oid, 'pg_class') = $1",
        side_comment(table.name),
    )
    for (name,) in old:
        await connection.execute(f"DROP TABLE {name}")
    await connection.execute(f"ALTER TABLE {quote(table.name)} RENAME TO carried")
    # Index names are the schema's, and the new table wants the same ones.
    for (index,) in await connection.fetch("SELECT indexname FROM pg_indexes WHERE tablename = 'carried'"):
        await connection.execute(f"ALTER INDEX {quote(index)} RENAME TO {quote(f'carried_{index}'[:63])}")
    for statement in render_table(table):
        await connection.execute(statement)
    counts: dict[str, int] = {}
    last = ""
    while batch := await connection.fetch(_BATCH, last):
        await _carry(connection, table, batch, counts)
        last = batch[-1][0]
    await connection.execute("DROP TABLE carried CASCADE")
    await connection.execute("DELETE FROM tally WHERE kind = $1", table.name)
    if table.quota:
        # No limit is known, so none is dealt for: the first request that names one does.
        await connection.executemany(
            "INSERT INTO tally (kind, project_id, stripe, used, allowance, bound) VALUES ($1, $2, 0, $3, $3, NULL)",
            [(table.name, project, count) for project, count in counts.items() if project],
        )


async def _carry(
    connection: asyncpg.Connection, table: Table, batch: Sequence[Any], counts: dict[str, int]
) -> None:
    names = ["id", *(quote(column.name) for column in table.columns), "xid", "document"]
    places = ", ".join(f"${number}" for number in range(1, len(names) + 1))
    rows = []
    sides: list[list[tuple[Any, ...]]] = [[] for _ in table.sides]
    for id, xid, document in batch:
        row, carried = table.carry(id, document)
        rows.append((id, *table.keys(row), xid, carried))
        counts[row.project_id] = counts.get(row.project_id, 0) + 1
        for held, side in zip(sides, table.sides, strict=True):
            held += [(id, *values) for values in side.lookup.rows(row)]
    await connection.executemany(
        f"INSERT INTO {quote(table.name)} ({', '.join(names)}) VALUES ({places})", rows
    )
    for held, side in zip(sides, table.sides, strict=True):
        columns = ["owner", *(quote(column.name) for column in side.columns)]
        marks = ", ".join(f"${number}" for number in range(1, len(columns) + 1))
        await connection.executemany(
            f"INSERT INTO {quote(side.name)} ({', '.join(columns)}) VALUES ({marks})", held
        )
