"""A real PostgreSQL for tests: one server per test process, one fresh database per store.

The server runs from the distribution's binaries on a Unix socket in a temporary folder, as the user `postgres` when we
are root (it refuses to run as root), with fsync on, and ends with us, however we end. Where PostgreSQL is not
installed tests fail and say so.
"""

import atexit
import os
import pwd
import random
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncpg

from alcor.model.catalogue import RESOURCES
from alcor.model.resource import Resource
from alcor.store.postgres import PostgresStore
from alcor.store.postgres.connection import Connect, connector
from alcor.store.postgres.prepare import prepare_database
from alcor.store.schema import Schema, render_schema
from tests.support.clock import Clock

if TYPE_CHECKING:
    from tests.support.store import Faults

_START_WITHIN_S = 30.0
_ADMIN = "alcor"
# Databases of one schema that stay as a test left them, for one that opens its store again. Making and dropping one
# costs up to seconds on a busy disk (a file per table and index, and a checkpoint), emptying one some milliseconds.
_DATABASES_KEPT = 4
_EMPTY = """
DO $$ DECLARE each record; BEGIN
    SET LOCAL session_replication_role = replica;
    FOR each IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'meta' LOOP
        EXECUTE format('DELETE FROM %I', each.tablename);
    END LOOP;
END $$
"""


def _binaries() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]))
    if not found:
        raise RuntimeError("PostgreSQL is not installed: run bin/setup dev, or apt-get install postgresql")
    return found[-1].parent


@dataclass
class Template:
    """A database to be copied, what it knows of itself, and the tests' folders that copies of it stand for."""

    name: str
    facts: dict[str, str]
    folders: list[Path] = field(default_factory=list)


@dataclass
class Server:
    """A running server."""

    folder: Path
    process: subprocess.Popen[bytes]
    command: Sequence[str]
    databases: dict[Path, str] = field(default_factory=dict)
    templates: dict[tuple[str, ...], Template] = field(default_factory=dict)
    open: dict[str, int] = field(default_factory=dict)
    made: int = 0

    def dsn(self, database: str) -> str:
        """Where a database is."""
        return f"postgresql://{_ADMIN}@/{database}?host={self.folder}"

    async def admin(self, *statements: str) -> None:
        """Run statements that cannot run in a transaction."""
        connection = await asyncpg.connect(self.dsn("postgres"))
        try:
            for statement in statements:
                await connection.execute(statement)
        finally:
            await connection.close()

    async def fresh(self, template: str = "template0") -> str:
        """A new database, empty or as the template is."""
        self.made += 1
        name = f"region_{self.made}"
        await self.admin(f"CREATE DATABASE {name} TEMPLATE {template} ENCODING 'UTF8' LOCALE 'C'")
        return name

    async def template(self, schema: Schema) -> Template:
        """A database with the tables of a schema, whose history has not begun."""
        key = tuple(f"{table.name}:{table.digest}" for table in schema.tables)
        found = self.templates.get(key)
        if found is None:
            name = await self.fresh()
            connection = await asyncpg.connect(self.dsn(name))
            try:
                await prepare_database(connection, schema, now_ms=0)
                await connection.execute("DELETE FROM revision; DELETE FROM meta WHERE key = 'epoch'")
                facts = dict(map(tuple, await connection.fetch("SELECT key, value FROM meta")))
            finally:
                await connection.close()
            found = self.templates[key] = Template(name, facts)
        return found

    async def database_of(self, folder: Path, schema: Schema) -> str:
        """The database that stands for a test's folder: the same one when it is opened again."""
        name = self.databases.get(folder)
        if name is None:
            template = await self.template(schema)
            name = await self._recycled(template) or await self.fresh(template.name)
            template.folders.append(folder)
            self.databases[folder] = name
        return name

    async def _recycled(self, template: Template) -> str | None:
        """A database that no test will open again, as good as new."""
        if len(template.folders) < _DATABASES_KEPT:
            return None
        for folder in template.folders:
            name = self.databases[folder]
            if self.open.get(name):
                continue
            template.folders.remove(folder)
            del self.databases[folder]
            connection = await asyncpg.connect(self.dsn(name))
            try:
                facts = dict(map(tuple, await connection.fetch("SELECT key, value FROM meta")))
                tables = {key: value for key, value in facts.items() if key.startswith("table:")}
                if not tables.items() <= template.facts.items():
                    # A test made other tables of it.
                    return None
                await connection.execute(_EMPTY)
                await connection.execute("DELETE FROM meta")
                await connection.executemany("INSERT INTO meta VALUES ($1, $2)", list(template.facts.items()))
            finally:
                await connection.close()
            return name
        return None

    def kill(self) -> None:
        """kill -9; what it has of connections ends with it."""
        self.process.kill()
        self.process.wait()

    def start(self) -> None:
        """Start it again after `kill`, and wait until it has recovered. Raises: RuntimeError."""
        give_up = time.monotonic() + _START_WITHIN_S
        while not _is_ready(self.folder, self.process):
            if self.process.poll() is not None:
                # The processes of the killed one may hold its memory for a moment.
                time.sleep(0.05)
                self.process = _launch(self.folder, self.command)
            if time.monotonic() > give_up:
                raise RuntimeError(f"PostgreSQL did not start:\n{(self.folder / 'log').read_text()}")
            time.sleep(0.02)

    def stop(self) -> None:
        """End the server, at once, and remove what it wrote."""
        self.process.send_signal(signal.SIGQUIT)
        self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


def _launch(folder: Path, command: Sequence[str]) -> subprocess.Popen[bytes]:
    with (folder / "log").open("ab") as log:
        return subprocess.Popen(command, stdout=log, stderr=log, cwd=folder)


def _is_ready(folder: Path, process: subprocess.Popen[bytes]) -> bool:
    ready = [str(_binaries() / "pg_isready"), "-q", "-h", str(folder)]
    return process.poll() is None and subprocess.run(ready, check=False).returncode == 0


def start_server(settings: Mapping[str, str] | None = None) -> Server:
    """A new server, which ends with this process."""
    binaries = _binaries()
    folder = Path(tempfile.mkdtemp(prefix="alcor-pg-"))
    switch: list[str] = []
    if os.geteuid() == 0:
        user = pwd.getpwnam("postgres")
        os.chown(folder, user.pw_uid, user.pw_gid)
        identity = [f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
        switch = ["setpriv", *identity, "--pdeathsig=QUIT"]
    data = folder / "data"
    initdb = [binaries / "initdb", "-D", data, "-U", _ADMIN, "--auth=trust", "-E", "UTF8", "--locale=C"]
    subprocess.run([*switch, *map(str, initdb)], check=True, stdout=subprocess.DEVNULL, cwd=folder)
    chosen = {
        "listen_addresses": "",
        "unix_socket_directories": str(folder),
        "max_connections": "300",
        "max_pred_locks_per_transaction": "256",
        "shared_buffers": "64MB",
        **(settings or {}),
    }
    options = [word for name, value in chosen.items() for word in ("-c", f"{name}={value}")]
    command = [*switch, str(binaries / "postgres"), "-D", str(data), *options]
    process = _launch(folder, command)
    give_up = time.monotonic() + _START_WITHIN_S
    while not _is_ready(folder, process):
        if process.poll() is not None or time.monotonic() > give_up:
            process.kill()
            raise RuntimeError(f"PostgreSQL did not start:\n{(folder / 'log').read_text()}")
        time.sleep(0.02)
    server = Server(folder, process, command)
    atexit.register(server.stop)
    return server


@lru_cache(1)
def server() -> Server:
    """The server of this test process, started when it is first needed."""
    return start_server()


def faulty_connector(dsn: str, faults: "Faults") -> Connect:
    """Connections that refuse what `faults` says."""

    class Faulty(asyncpg.Connection):  # type: ignore[misc]  # asyncpg has no types
        async def execute(self, query: str, *args: Any, timeout: float | None = None) -> str:  # noqa: ASYNC109  # its signature
            for words, left in faults.refuse.items():
                if left > 0 and query.startswith(words):
                    faults.refuse[words] = left - 1
                    raise asyncpg.DiskFullError("disk I/O error")
            status: str = await super().execute(query, *args, timeout=timeout)
            return status

    return connector(dsn, Faulty)


@asynccontextmanager
async def postgres_store(
    folder: Path,
    *,
    clock: Callable[[], int] | None = None,
    seed: int | None = None,
    resources: Sequence[Resource] = RESOURCES,
    faults: "Faults | None" = None,
    history_days: float = 7.0,
    writers: int = 6,
) -> AsyncIterator[PostgresStore]:
    """A store in the database that stands for `folder`, closed at the end. `seed` makes its ids and choices
    repeatable; without a `clock` time stands still."""
    running = server()
    name = await running.database_of(folder, render_schema(resources))
    dsn = running.dsn(name)
    running.open[name] = running.open.get(name, 0) + 1
    try:
        store = await PostgresStore.open(
            dsn,
            resources=resources,
            clock=clock or Clock(),
            rng=None if seed is None else random.Random(seed),
            connect=None if faults is None else faulty_connector(dsn, faults),
            history_days=history_days,
            writers=writers,
        )
        try:
            yield store
        finally:
            await store.close()
    finally:
        running.open[name] -= 1
