"""Leases in PostgreSQL: one row each, renewed, given up and taken in one statement by the database's clock."""

import asyncio
from collections.abc import Collection, Mapping
from typing import Any

import asyncpg
import orjson

from alcor.model.errors import Unavailable
from alcor.store.lease import LeaseMember, LeaseName, LeaseStanding
from alcor.store.postgres.connection import HOLDER, LOST, Connect, discard

LEASE_TABLES = """
CREATE TABLE IF NOT EXISTS lease_member (
    id text COLLATE "C" PRIMARY KEY, address text NOT NULL, is_ready boolean NOT NULL, seen timestamptz NOT NULL)
    WITH (fillfactor = 50);
CREATE TABLE IF NOT EXISTS lease (
    kind text COLLATE "C" NOT NULL, number integer NOT NULL, holder text COLLATE "C", generation bigint NOT NULL,
    ends timestamptz NOT NULL, PRIMARY KEY (kind, number)) WITH (fillfactor = 50);
"""
LEASE_NAMES = ("lease_member", "lease")

_SOW = """
INSERT INTO lease (kind, number, generation, ends)
SELECT $1, number, 0, '-infinity' FROM generate_series(0, $2 - 1) AS number ON CONFLICT DO NOTHING
"""
# A generation is also a time in milliseconds, so that it grows across a database restored from a backup.
# Rows to take are locked first: who holds the lock of one is taking it, and it is passed over.
_RENEW = """
WITH term AS (SELECT make_interval(secs => $4) AS length),
me AS (
    INSERT INTO lease_member (id, address, is_ready, seen) VALUES ($1, $2, $3, now())
    ON CONFLICT (id) DO UPDATE SET address = excluded.address, is_ready = excluded.is_ready, seen = excluded.seen),
gone AS (DELETE FROM lease_member USING term WHERE id <> $1 AND seen < now() - 10 * term.length),
others AS (SELECT id, address, is_ready FROM lease_member, term WHERE id <> $1 AND seen >= now() - term.length),
kept AS (SELECT * FROM unnest($5::text[], $6::integer[]) AS kept (kind, number)),
renewed AS (
    UPDATE lease SET ends = now() + term.length FROM kept, term
    WHERE lease.kind = kept.kind AND lease.number = kept.number AND holder = $1
    RETURNING lease.kind, lease.number, generation),
given AS (
    UPDATE lease SET holder = NULL, ends = '-infinity'
    WHERE holder = $1 AND NOT EXISTS (
        SELECT FROM kept WHERE kept.kind = lease.kind AND kept.number = lease.number)),
share AS (
    SELECT kind, CASE WHEN $3 THEN ceil(count(*)::numeric / (1 + (SELECT count(*) FROM others WHERE is_ready)))
                      ELSE 0 END - (SELECT count(*) FROM kept WHERE kept.kind = lease.kind) AS lacking
    FROM lease GROUP BY kind),
free AS (
    SELECT found.kind, found.number FROM share, LATERAL (
        SELECT kind, number FROM lease
        WHERE lease.kind = share.kind AND holder IS DISTINCT FROM $1 AND (holder IS NULL OR ends < now())
        ORDER BY number LIMIT greatest(0, share.lacking) FOR UPDATE SKIP LOCKED) AS found),
taken AS (
    UPDATE lease SET holder = $1, ends = now() + term.length,
        generation = greatest(generation + 1, (extract(epoch FROM now()) * 1000)::bigint)
    FROM free, term WHERE lease.kind = free.kind AND lease.number = free.number
    RETURNING lease.kind, lease.number, generation)
SELECT
    (SELECT json_agg(json_build_array(kind, number, generation))
     FROM (SELECT * FROM renewed UNION ALL SELECT * FROM taken) AS held)::text,
    (SELECT json_agg(json_build_array(id, address, is_ready)) FROM others)::text,
    (SELECT extract(epoch FROM min(ends) - now())::float FROM lease
     WHERE holder IS NOT NULL AND holder <> $1 AND ends > now()),
    (SELECT json_object_agg(kind, holder) FROM (
        SELECT kind, min(holder) AS holder FROM lease GROUP BY kind HAVING count(*) = 1) AS sole
     WHERE holder IS NOT NULL)::text,
    (SELECT max(revision) FROM revision)
"""
# It waits for no row, so it can neither hold up the member's own renewal nor stand in a circle with it.
_EXTEND = """
WITH mine AS (SELECT kind, number FROM lease WHERE holder = $1 FOR UPDATE SKIP LOCKED),
me AS (SELECT id FROM lease_member WHERE id = $1 FOR UPDATE SKIP LOCKED),
seen AS (UPDATE lease_member SET seen = now() FROM me WHERE lease_member.id = me.id),
renewed AS (
    UPDATE lease SET ends = now() + make_interval(secs => $2) FROM mine
    WHERE lease.kind = mine.kind AND lease.number = mine.number AND holder = $1
    RETURNING lease.kind, lease.number, generation)
SELECT (SELECT json_agg(json_build_array(kind, number, generation)) FROM renewed)::text
"""
_LIVING = """
SELECT (SELECT json_agg(json_build_array(id, address, is_ready) ORDER BY is_ready DESC, id) FROM lease_member
        WHERE seen >= now() - make_interval(secs => $1))::text
"""
_LEAVE = """
WITH gone AS (DELETE FROM lease_member WHERE id = $1)
UPDATE lease SET holder = NULL, ends = '-infinity' WHERE holder = $1
"""


class PostgresLeases:
    """The adapter of `Leases`, on a connection of its own. kinds: kind → how many leases there are of it."""

    def __init__(self, connect: Connect, kinds: Mapping[str, int]) -> None:
        self._connect, self._kinds = connect, dict(kinds)
        self._connection: asyncpg.Connection | None = None
        self._gate = asyncio.Lock()

    async def renew(self, member: LeaseMember, keep: Collection[LeaseName], ttl_s: float) -> LeaseStanding:
        """As `Leases.renew`."""
        kinds, numbers = [name.kind for name in keep], [name.number for name in keep]
        values = (member.id, member.address, member.is_ready, ttl_s, kinds, numbers)
        held, others, free_in_s, sole, head = await self._ask(_RENEW, *values)
        return LeaseStanding(
            held=_held(held),
            others=[LeaseMember(*each) for each in _list(others)],
            free_in_s=free_in_s,
            sole=orjson.loads(sole) if sole else {},
            head=head or 0,
        )

    async def extend(self, member_id: str, ttl_s: float) -> dict[LeaseName, int]:
        """As `Leases.extend`."""
        (held,) = await self._ask(_EXTEND, member_id, ttl_s)
        return _held(held)

    async def living(self, ttl_s: float) -> list[LeaseMember]:
        """As `Leases.living`."""
        (members,) = await self._ask(_LIVING, ttl_s)
        return [LeaseMember(*each) for each in _list(members)]

    async def leave(self, member_id: str) -> None:
        """As `Leases.leave`."""
        await self._ask(_LEAVE, member_id)

    async def close(self) -> None:
        """As `Leases.close`."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await discard(connection)

    async def _ask(self, sql: str, *values: Any) -> Any:
        async with self._gate:
            try:
                if self._connection is None:
                    self._connection = await self._open()
                return await self._connection.fetchrow(sql, *values)
            except (*LOST, asyncpg.PostgresError) as error:
                await self.close()
                raise Unavailable(f"The database did not say who has which lease: {error}.") from error
            except asyncio.CancelledError:
                # What it does with the statement is not known.
                connection, self._connection = self._connection, None
                if connection is not None:
                    connection.terminate()
                raise

    async def _open(self) -> asyncpg.Connection:
        connection = await self._connect(HOLDER)
        try:
            for kind, count in self._kinds.items():
                await connection.execute(_SOW, kind, count)
        except BaseException:
            await discard(connection)
            raise
        return connection


def _held(text: str | None) -> dict[LeaseName, int]:
    return {LeaseName(kind, number): generation for kind, number, generation in _list(text)}


def _list(text: str | None) -> list[Any]:
    found: list[Any] = orjson.loads(text) if text else []
    return found
