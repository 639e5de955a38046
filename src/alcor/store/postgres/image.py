"""All rows at one exact position.

The rows of one snapshot may hold changes that are not numbered yet. The log holds them too, so they are taken back:
what is left are the rows of the last revision the snapshot sees. No writer waits for it, and nothing is written.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

import asyncpg

from alcor.model.change import Position
from alcor.model.resource import Entity
from alcor.store.interface import Image, Keep, whole
from alcor.store.postgres.query import quote
from alcor.store.postgres.snapshot import Revisions, Snapshot
from alcor.store.schema import Schema, Table

# Rows fetched at a time: some MiB.
_ROWS_AT_ONCE = 5_000
# Rows decoded before it is looked what the server sent meanwhile, which fills a socket in that time: some 0.5 ms.
_ROWS_DECODED = 256
# How far back the revision of a row's last change is told exactly; an older one counts as changed at this distance
# behind the head. Hours of a busy region, and 65,536 numbers to read.
_REVISIONS_EXACT = 65_536

_POSITION = """
SELECT (SELECT value FROM meta WHERE key = 'epoch')::bigint, revision, snap
FROM revision ORDER BY revision DESC LIMIT 1
"""
_REVISIONS = "SELECT revision, snap FROM revision WHERE revision >= $1 ORDER BY revision"
_UNNUMBERED = """
SELECT kind, id, before FROM change_log
WHERE xid >= pg_snapshot_xmin($1::pg_snapshot) AND NOT pg_visible_in_snapshot(xid, $1::pg_snapshot)
ORDER BY seq DESC
"""
_LAST_CHANGE = """
SELECT xid FROM change_log
WHERE id = $1 AND kind = $2 AND pg_visible_in_snapshot(xid, $3::pg_snapshot) ORDER BY seq DESC LIMIT 1
"""


async def read_image(
    connection: asyncpg.Connection, schema: Schema, entities: Sequence[type[Entity]], keep: Keep = whole
) -> Image:
    """All rows of some kinds. Cost: one pass over them."""
    await connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
    try:
        epoch, revision, snap = await connection.fetchrow(_POSITION)
        lately = await connection.fetch(_REVISIONS, revision - _REVISIONS_EXACT)
        revisions = Revisions([(number, Snapshot.of(snap)) for number, snap in lately])
        undone: dict[tuple[str, str], str | None] = {}
        for kind, id, before in await connection.fetch(_UNNUMBERED, snap):
            # Newest first, so the last one said is the state before all of them.
            undone[kind, id] = before
        rows: dict[type[Entity], list[Any]] = {}
        changed: dict[str, int] = {}
        for entity in entities:
            table = schema.by_entity[entity]
            taken_back = {id: before for (kind, id), before in undone.items() if kind == table.name}
            rows[entity] = await _read_table(connection, table, keep, revisions, taken_back, changed)
            for id, before in taken_back.items():
                if before is not None:
                    rows[entity].append(keep(table.decode(before)))
                    found = await connection.fetchval(_LAST_CHANGE, id, table.name, snap)
                    changed[id] = (revisions.of(found) if found else None) or lately[0][0]
    finally:
        await connection.execute("ROLLBACK")
    return Image(Position(epoch, revision), rows, changed)


async def _read_table(
    connection: asyncpg.Connection,
    table: Table,
    keep: Keep,
    revisions: Revisions,
    taken_back: dict[str, str | None],
    changed: dict[str, int],
) -> list[Any]:
    """The rows of a table, but those that are taken back. While a batch is decoded the server makes the next one."""
    found: list[Any] = []
    numbers: dict[int, int | None] = {}
    cursor = await connection.cursor(f"SELECT xid, document FROM {quote(table.name)}")
    batch: Sequence[tuple[int, str]] = await cursor.fetch(_ROWS_AT_ONCE)
    while batch:
        coming = asyncio.create_task(cursor.fetch(_ROWS_AT_ONCE), name="image-rows")
        try:
            for start in range(0, len(batch), _ROWS_DECODED):
                await asyncio.sleep(0)
                for xid, document in batch[start : start + _ROWS_DECODED]:
                    row = table.decode(document)
                    if row.id in taken_back:
                        continue
                    if xid not in numbers:
                        numbers[xid] = revisions.of(xid)
                    revision = numbers[xid]
                    # A change that no revision sees is among those that are taken back.
                    assert revision is not None
                    found.append(keep(row))
                    changed[row.id] = revision
        finally:
            batch = await coming
    return found
