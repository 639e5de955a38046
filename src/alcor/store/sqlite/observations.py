"""Observed facts, in a file of their own: many small writes whose loss in a crash only costs a fresh look.

One process has the folder (`lock`), so that terms are of holders in it, and count from 0 whenever the file is opened.
"""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import msgspec

from alcor.model.errors import Unavailable
from alcor.store.interface import HostObservation, PortObservation, Superseded
from alcor.store.sqlite.connection import Connect, Durability, prepare_writer
from alcor.store.sqlite.reader import ReaderPool

T = TypeVar("T")

# A file of another version is emptied: what it held is seen again.
_VERSION = 2
_TABLES = """
DROP TABLE IF EXISTS port_observation;
DROP TABLE IF EXISTS host_observation;
DROP TABLE IF EXISTS observation_term;
CREATE TABLE port_observation (id TEXT PRIMARY KEY, host_id TEXT NOT NULL, document TEXT NOT NULL) WITHOUT ROWID;
CREATE INDEX port_observation_by_host ON port_observation (host_id);
CREATE TABLE host_observation (id TEXT PRIMARY KEY, document TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE observation_term (term INTEGER NOT NULL);
INSERT INTO observation_term (term) VALUES (0);
"""

_PORT = msgspec.json.Decoder(PortObservation)
_HOST = msgspec.json.Decoder(HostObservation)


def _text(fact: msgspec.Struct) -> str:
    return msgspec.json.encode(fact).decode()


def _prepare(connection: sqlite3.Connection) -> int:
    """Have the tables, in which no host is alive. Returns: the highest revision that a host had confirmed."""
    prepare_writer(connection, Durability.NORMAL)
    if connection.execute("PRAGMA user_version").fetchone()[0] != _VERSION:
        connection.executescript(f"BEGIN; {_TABLES} PRAGMA user_version={_VERSION}; COMMIT;")
    (highest,) = connection.execute(
        "SELECT coalesce(max(document ->> '$.realized_revision'), 0) FROM host_observation"
    ).fetchone()
    connection.execute("UPDATE host_observation SET document = json_set(document, '$.alive', json('false'))")
    connection.execute("UPDATE observation_term SET term = 0")
    return int(highest)


class SqliteObservations:
    """The adapter of `interface.Observations`: one thread writes, the pool reads."""

    def __init__(self, path: Path, connect: Connect) -> None:
        """Open the file; from now on no host is alive until it is heard. Raises: Unavailable."""
        self.term = 0
        """The last term that began."""
        self.settle: Callable[[], Awaitable[object]] | None = None
        """Wait until what fenced itself by an earlier term is committed or gone."""
        self._path = path
        self._connection = connect(path)
        try:
            self.realized_max = _prepare(self._connection)
            """The highest revision that a host was seen to have confirmed, when the file was opened."""
        except sqlite3.Error as error:
            self._connection.close()
            raise Unavailable(
                f"{path} cannot be used: {error}. It holds only what is observed again: remove it and start."
            ) from error
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="write-observations")
        self._pool = ReaderPool(path, connect)

    def begin_anew(self) -> None:
        """What hosts confirmed was of a history that is lost. At opening only."""
        self._connection.execute(
            "UPDATE host_observation SET document = json_set(document, '$.realized_revision', 0)"
        )

    async def begin(self, term: int) -> None:
        """From here on writes of lower terms are refused. Raises: Superseded; Unavailable."""

        def write(connection: sqlite3.Connection) -> None:
            connection.execute("UPDATE observation_term SET term = ?", (term,))

        await self._write("The beginning", term, write)
        self.term = max(self.term, term)
        if self.settle is not None:
            await self.settle()

    async def put(
        self, ports: Iterable[PortObservation], hosts: Iterable[HostObservation], *, term: int
    ) -> None:
        """Replace facts by id. Raises: Superseded; Unavailable."""
        port_rows = [(port.port_id, port.host_id, _text(port)) for port in ports]
        host_rows = [(host.host_id, _text(host)) for host in hosts]

        def write(connection: sqlite3.Connection) -> None:
            connection.executemany(
                "INSERT OR REPLACE INTO port_observation (id, host_id, document) VALUES (?, ?, ?)", port_rows
            )
            connection.executemany(
                "INSERT OR REPLACE INTO host_observation (id, document) VALUES (?, ?)", host_rows
            )

        await self._write("A write of observations", term, write)

    async def forget(self, port_ids: Iterable[str], host_ids: Iterable[str], *, term: int) -> None:
        """Remove facts of what was deleted. Raises: Superseded; Unavailable."""
        port_keys, host_keys = [(id,) for id in port_ids], [(id,) for id in host_ids]

        def write(connection: sqlite3.Connection) -> None:
            connection.executemany("DELETE FROM port_observation WHERE id = ?", port_keys)
            connection.executemany("DELETE FROM host_observation WHERE id = ?", host_keys)

        await self._write("A write of observations", term, write)

    async def ports(self, ids: Sequence[str]) -> dict[str, PortObservation]:
        """Facts of ports, by id."""
        texts = await self._texts("SELECT document FROM port_observation WHERE id IN", ids)
        return {fact.port_id: fact for fact in map(_PORT.decode, texts)}

    async def hosts(self, ids: Sequence[str]) -> dict[str, HostObservation]:
        """Facts of hosts, by id."""
        texts = await self._texts("SELECT document FROM host_observation WHERE id IN", ids)
        return {fact.host_id: fact for fact in map(_HOST.decode, texts)}

    async def ports_of_host(self, host_id: str) -> list[PortObservation]:
        """Facts of the ports seen on a host, by port id."""
        texts = await self._texts("SELECT document FROM port_observation WHERE host_id IN", (host_id,))
        return sorted(map(_PORT.decode, texts), key=lambda fact: fact.port_id)

    def close(self) -> None:
        """Finish what was accepted."""
        self._writer.shutdown()
        self._pool.close()
        self._connection.close()

    async def _texts(self, sql: str, keys: Sequence[str]) -> list[str]:
        parameter = msgspec.json.encode(list(keys)).decode()

        def read(connection: sqlite3.Connection) -> list[str]:
            rows = connection.execute(f"{sql} (SELECT value FROM json_each(?))", (parameter,))
            return [text for (text,) in rows]

        return await self._pool.run(read)

    async def _write(self, what: str, term: int, write: Callable[[sqlite3.Connection], None]) -> None:
        def fenced(connection: sqlite3.Connection) -> None:
            (latest,) = connection.execute("SELECT term FROM observation_term").fetchone()
            if latest > term:
                raise Superseded(what, term)
            write(connection)

        try:
            answer = asyncio.get_running_loop().run_in_executor(self._writer, self._commit, fenced)
        except RuntimeError as error:
            raise Unavailable("The store is closed: observations are not written any more.") from error
        await answer

    def _commit(self, write: Callable[[sqlite3.Connection], None]) -> None:
        connection = self._connection
        try:
            connection.execute("BEGIN IMMEDIATE")
            write(connection)
            connection.execute("COMMIT")
        except Superseded:
            connection.execute("ROLLBACK")
            raise
        except sqlite3.Error as error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise Unavailable(f"{self._path} cannot be written: {error}.") from error
