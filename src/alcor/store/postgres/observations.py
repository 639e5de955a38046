"""Observed facts, beside intent: commits are not waited for, as a lost fact is seen again.

At start every host counts as not alive until it is heard. Several processes share the database, and one that starts
must not forget what another hears: so hosts are set back by the first process that opens it. Who writes after another
one did takes back by itself what is no longer true. Two that believe to be the writer are kept apart by the one row of
`observation_term`: each write locks it against a change, and is made only if no later term stands there.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import asyncpg
import msgspec

from alcor.store.interface import HostObservation, PortObservation, Superseded
from alcor.store.postgres.connection import OBSERVER, Connect, Pool

_PORT = msgspec.json.Decoder(PortObservation)
_HOST = msgspec.json.Decoder(HostObservation)
_ALIVE = '"alive":true'

TERM_TABLE = """
CREATE TABLE IF NOT EXISTS observation_term (
    id boolean PRIMARY KEY DEFAULT true CHECK (id), term bigint NOT NULL) WITH (fillfactor = 10);
INSERT INTO observation_term (term) VALUES (0) ON CONFLICT DO NOTHING;
"""
TERM_NAME = "observation_term"

# Facts may be lost when the database crashes; that a term has begun may not.
_BEGIN = """
UPDATE observation_term SET term = $1 WHERE term <= $1 RETURNING set_config('synchronous_commit', 'on', true)
"""
# A lock that a new term waits for, and that waits for a new term and then reads it: whichever comes first, no write of
# an old term is committed after the new one began.
FENCE = "SELECT term FROM observation_term WHERE term <= $1 FOR SHARE"
_LEAVE = f"leave AS MATERIALIZED ({FENCE})"
_PUT = f"""
WITH {_LEAVE},
ports AS (
    INSERT INTO port_observation (id, host_id, document)
    SELECT told.* FROM unnest($2::text[], $3::text[], $4::text[]) AS told WHERE EXISTS (SELECT FROM leave)
    ON CONFLICT (id) DO UPDATE SET host_id = excluded.host_id, document = excluded.document),
hosts AS (
    INSERT INTO host_observation (id, document)
    SELECT told.* FROM unnest($5::text[], $6::text[]) AS told WHERE EXISTS (SELECT FROM leave)
    ON CONFLICT (id) DO UPDATE SET document = excluded.document)
SELECT EXISTS (SELECT FROM leave)
"""
_FORGET = f"""
WITH {_LEAVE},
ports AS (DELETE FROM port_observation WHERE id = ANY($2::text[]) AND EXISTS (SELECT FROM leave)),
hosts AS (DELETE FROM host_observation WHERE id = ANY($3::text[]) AND EXISTS (SELECT FROM leave))
SELECT EXISTS (SELECT FROM leave)
"""


def _text(fact: msgspec.Struct) -> str:
    return msgspec.json.encode(fact).decode()


async def set_hosts_back(connection: asyncpg.Connection) -> None:
    """No host is alive until it is heard."""
    rows = await connection.fetch("SELECT id, document FROM host_observation")
    silent = [
        (id, _text(msgspec.structs.replace(_HOST.decode(document), alive=False)))
        for id, document in rows
        if _ALIVE in document
    ]
    await connection.executemany("UPDATE host_observation SET document = $2 WHERE id = $1", silent)


class PostgresObservations:
    """The adapter of `interface.Observations`. `reads` is the store's pool; writes have a connection of their own."""

    def __init__(self, connect: Connect, reads: Pool) -> None:
        self._reads = reads
        self._writes = Pool(connect, OBSERVER, 1)

    async def begin(self, term: int) -> None:
        """From here on writes of lower terms are refused. Raises: Superseded; Unavailable."""
        if not await self._writes.fetch(_BEGIN, term):
            raise Superseded("The beginning", term)

    async def put(
        self, ports: Iterable[PortObservation], hosts: Iterable[HostObservation], *, term: int
    ) -> None:
        """Replace facts by id. Raises: Superseded; Unavailable."""
        by_port = {port.port_id: port for port in ports}
        by_host = {host.host_id: host for host in hosts}
        values = (
            list(by_port),
            [port.host_id for port in by_port.values()],
            [_text(port) for port in by_port.values()],
            list(by_host),
            [_text(host) for host in by_host.values()],
        )
        await self._write(_PUT, term, *values)

    async def forget(self, port_ids: Iterable[str], host_ids: Iterable[str], *, term: int) -> None:
        """Remove facts of what was deleted. Raises: Superseded; Unavailable."""
        await self._write(_FORGET, term, list(port_ids), list(host_ids))

    async def ports(self, ids: Sequence[str]) -> dict[str, PortObservation]:
        """Facts of ports, by id."""
        facts = map(_PORT.decode, await self._texts("port_observation", "id", ids))
        return {fact.port_id: fact for fact in facts}

    async def hosts(self, ids: Sequence[str]) -> dict[str, HostObservation]:
        """Facts of hosts, by id."""
        facts = map(_HOST.decode, await self._texts("host_observation", "id", ids))
        return {fact.host_id: fact for fact in facts}

    async def ports_of_host(self, host_id: str) -> list[PortObservation]:
        """Facts of the ports seen on a host, by port id."""
        facts = map(_PORT.decode, await self._texts("port_observation", "host_id", [host_id]))
        return sorted(facts, key=lambda fact: fact.port_id)

    async def close(self) -> None:
        """Finish what was accepted."""
        await self._writes.close()

    async def _write(self, sql: str, term: int, *values: Any) -> None:
        ((has_leave,),) = await self._writes.fetch(sql, term, *values)
        if not has_leave:
            raise Superseded("A write of observations", term)

    async def _texts(self, table: str, column: str, keys: Sequence[str]) -> list[Any]:
        rows = await self._reads.fetch(
            f"SELECT document FROM {table} WHERE {column} = ANY($1::text[])", list(keys)
        )
        return [text for (text,) in rows]
