"""What the embedded store adds to the contract: one process, one writer, one file that grows with the program."""

import asyncio
import dataclasses
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from alcor.model.catalogue import RESOURCES
from alcor.model.errors import Unavailable
from alcor.model.network import Network
from alcor.model.port import Port
from alcor.model.resource import Attribute, Resource
from alcor.model.subnet import Subnet
from alcor.store.interface import Condition, Done, HostObservation, Query, TooOld, Transaction
from alcor.store.schema import SCHEMA_VERSION, render_schema
from alcor.store.sqlite import SqliteStore, StoreLocked, StoreTooNew
from alcor.store.sqlite.connection import connect
from alcor.store.sqlite.reader import ReaderPool
from alcor.store.sqlite.upgrade import prepare_schema
from alcor.telemetry.metrics import REGISTRY
from tests.support.store import (
    Clock,
    Faults,
    a_network,
    a_port,
    a_subnet,
    as_one_group,
    insert,
    sqlite_store,
)
from tests.support.things import THINGS

ROOT = Path(__file__).parents[2]


def committed_groups() -> tuple[float, float]:
    """(groups, requests) committed so far, as the metrics say."""
    values = [REGISTRY.get_sample_value(f"alcor_store_commit_requests_{name}") for name in ("count", "sum")]
    return values[0] or 0.0, values[1] or 0.0


class TestGroupCommit:
    """Requests that wait together commit together."""

    async def test_a_group_is_one_revision(self, tmp_path: Path) -> None:
        """All requests of a group get the same revision, and its changes come in their order."""
        async with sqlite_store(tmp_path) as store:
            groups, requests = committed_groups()
            answers = await as_one_group(store, *(insert(store, a_network(f"net-{n}")) for n in range(30)))

            assert {answer.revision for answer in answers} == {1}
            (cut,) = await store.follow(0)
            assert [change.id for change in cut.changes] == [f"net-{n}" for n in range(30)]
            assert committed_groups() == (groups + 2, requests + 31)

    async def test_a_group_is_bounded(self, tmp_path: Path) -> None:
        """More than 256 waiting requests are more than one group."""
        async with sqlite_store(tmp_path) as store:
            answers = await as_one_group(store, *(insert(store, a_network(f"net-{n}")) for n in range(300)))

            assert [answers[n].revision for n in (0, 255, 256, 299)] == [1, 1, 2, 2]

    async def test_the_next_request_sees_the_one_before(self, tmp_path: Path) -> None:
        """Inside a group a request sees what earlier ones wrote and claimed, and not what failed ones did."""

        async def fail(tx: Transaction) -> None:
            tx.insert(a_network("net-2"))
            await tx.claim("vni", "2", "net-2")
            await tx.list(Network)
            raise KeyError

        async def look(tx: Transaction) -> tuple[list[str], bool, bool]:
            ids = [row.id for row in await tx.list(Network)]
            return ids, await tx.claim("vni", "1", "other"), await tx.claim("vni", "2", "other")

        async def first(tx: Transaction) -> None:
            tx.insert(a_network("net-1"))
            await tx.claim("vni", "1", "net-1")

        async with sqlite_store(tmp_path) as store:
            answers = await as_one_group(store, store.write(first), store.write(fail), store.write(look))

            assert isinstance(answers[1], KeyError)
            assert answers[2].value == (["net-1"], False, True)

    async def test_a_failed_commit_loses_the_whole_group(self, tmp_path: Path) -> None:
        """If COMMIT fails nobody is told otherwise: all requests of the group are Unavailable and undone."""
        faults = Faults()
        async with sqlite_store(tmp_path, faults=faults) as store:
            faults.refuse["COMMIT"] = 0

            async def arm(tx: Transaction) -> None:
                tx.insert(a_network("net-0"))
                faults.refuse["COMMIT"] = 1

            answers = await as_one_group(store, insert(store, a_network()), store.write(arm))

            assert [type(answer) for answer in answers] == [Unavailable, Unavailable]
            assert await store.reader.list(Network) == []
            assert (await insert(store, a_network())).revision == 1

    async def test_a_lost_transaction_loses_the_whole_group(self, tmp_path: Path) -> None:
        """A full disk ends the transaction in the middle: the requests before it in the group are not acknowledged,
        and what a careless manager writes afterwards is not committed by itself."""
        faults = Faults(lose=True)

        async def careless(tx: Transaction) -> None:
            faults.refuse["INSERT INTO claim"] = 1
            for key in ("1", "2"):
                try:
                    await tx.claim("vni", key, "net-2")
                except sqlite3.OperationalError:
                    continue

        async with sqlite_store(tmp_path, faults=faults) as store:
            answers = await as_one_group(
                store, insert(store, a_network()), store.write(careless), insert(store, a_network("net-3"))
            )

            assert [type(answer) for answer in answers] == [Unavailable] * 3
            assert all("could not commit" in answer.message for answer in answers)

            async def look(tx: Transaction) -> dict[str, str]:
                return await tx.claimed("vni", ["1", "2"])

            assert (await store.write(look)).value == {}
            assert await store.reader.list(Network) == []
            assert await store.follow(0) == []

    async def test_a_disk_that_fills_up_is_the_reason_given(self, tmp_path: Path) -> None:
        """Every request of a group that was lost in the middle is told why."""
        faults = Faults(lose=True)

        async def unlucky(tx: Transaction) -> None:
            faults.refuse["INSERT INTO claim"] = 1
            await tx.claim("vni", "1", "net-2")

        async with sqlite_store(tmp_path, faults=faults) as store:
            answers = await as_one_group(store, insert(store, a_network()), store.write(unlucky))

            assert ["disk I/O error" in answer.message for answer in answers] == [True, True]

    async def test_a_failing_statement_costs_its_request_only(self, tmp_path: Path) -> None:
        """An error that leaves the transaction alive makes one request Unavailable."""
        faults = Faults()

        async def unlucky(tx: Transaction) -> None:
            faults.refuse["INSERT INTO claim"] = 1
            await tx.claim("vni", "1", "net-2")

        async with sqlite_store(tmp_path, faults=faults) as store:
            answers = await as_one_group(store, insert(store, a_network()), store.write(unlucky))

            assert answers[0].revision == 1
            with pytest.raises(Unavailable, match="disk I/O error"):
                raise answers[1]
            assert len(await store.reader.list(Network)) == 1

    async def test_closing_ends_with_the_last_group(self, tmp_path: Path) -> None:
        """A close that finds the writer busy lets it finish the requests before it, and no more."""
        let_go = threading.Event()

        async def hold_up(tx: Transaction) -> None:
            assert let_go.wait(10)

        async with sqlite_store(tmp_path) as store:
            accepted = [asyncio.create_task(store.write(hold_up))]
            accepted += [asyncio.create_task(insert(store, a_network(f"net-{n}"))) for n in range(9)]
            await asyncio.sleep(0)
            closing_down = asyncio.create_task(store.close())
            for number in range(100_000):
                late = asyncio.create_task(insert(store, a_network(f"late-{number}")))
                await asyncio.sleep(0)
                if late.done():
                    break
                accepted.append(late)
            let_go.set()
            await closing_down

            assert isinstance(late.exception(), Unavailable)
            assert {type(answer) for answer in await asyncio.gather(*accepted)} == {Done}


def kill_in_the_middle(folder: Path) -> tuple[set[str], int]:
    """The ids and the highest revision that a process acknowledged before it was killed, while it was writing."""
    acknowledged: set[str] = set()
    revision = 0
    command = [sys.executable, "-m", "tests.support.store_crash", str(folder)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            # After the kill the pipe holds more lines; only the last one may be torn.
            if line.endswith("\n"):
                number, *made = line.split()
                revision = max(revision, int(number))
                acknowledged.update(made)
            if len(acknowledged) >= 600:
                process.kill()
    assert process.returncode == -signal.SIGKILL
    return acknowledged, revision


class TestOneProcess:
    """SQLite serves one process."""

    async def test_a_second_open_is_refused_with_a_sentence(self, tmp_path: Path) -> None:
        """It says which file, which process, and the way out; after the first one closed it succeeds."""
        async with sqlite_store(tmp_path):
            with pytest.raises(StoreLocked) as caught:
                SqliteStore.open(tmp_path)
            assert isinstance(caught.value, Unavailable)
            for words in (
                str(tmp_path / "alcor.lock"),
                f"process {os.getpid()}",
                "one process",
                "PostgreSQL",
            ):
                assert words in caught.value.message

        async with sqlite_store(tmp_path) as store:
            assert (await store.head()).revision == 0

    async def test_an_unusable_folder_is_named(self, tmp_path: Path) -> None:
        """A folder that cannot be made, and a file that is no database, are Unavailable and leave no lock."""
        (tmp_path / "file").write_text("x")
        with pytest.raises(Unavailable, match="file/region cannot be used"):
            SqliteStore.open(tmp_path / "file" / "region")
        for name in ("alcor.db", "observations.db"):
            folder = tmp_path / name
            folder.mkdir()
            (folder / name).write_bytes(b"this is not a database, and long enough to be sure of it" * 40)
            for _ in range(2):
                with pytest.raises(Unavailable, match=f"{name} cannot be used"):
                    SqliteStore.open(folder)

    async def test_nothing_acknowledged_is_lost_by_a_kill(self, tmp_path: Path) -> None:
        """After kill -9 in the middle of writing, every acknowledged row is there, every request is whole, no address
        is given twice, the log has no gap, and no lock is left."""
        acknowledged, revision = kill_in_the_middle(tmp_path)

        async with sqlite_store(tmp_path) as store:
            ports = await store.reader.list(Port)
            addresses = [port.fixed_ips[0].ip_address for port in ports]

            async def owners(tx: Transaction) -> tuple[dict[str, str], int]:
                space = "address:sub-1"
                return await tx.claimed(space, addresses), await tx.claims_count(space)

            assert acknowledged <= {port.id for port in ports}
            assert len(ports) % 3 == 0
            claimed = {port.fixed_ips[0].ip_address: port.id for port in ports}
            assert (await store.write(owners)).value == (claimed, len(ports))
            head = await store.head()
            assert head.revision >= revision
            cuts = await store.follow(0, 100_000)
            assert [cut.revision for cut in cuts] == list(range(1, head.revision + 1))
            assert sum(len(cut.changes) for cut in cuts) == len(ports) + 2


def without_column(resource: Resource, name: str) -> Resource:
    """The resource as an older program declared it: `name` only inside the document, and no look-ups."""

    def older(attribute: Attribute) -> Attribute:
        if attribute.name != name:
            return attribute
        return dataclasses.replace(attribute, column=False, refers="")

    return dataclasses.replace(resource, attributes=tuple(map(older, resource.attributes)), lookups=())


class TestReading:
    """Reads beside the writer."""

    async def test_a_read_sees_one_state(self, tmp_path: Path) -> None:
        """Whatever is committed while a read is under way, it does not see half of it."""
        looked, written = threading.Event(), threading.Event()

        def look_twice(connection: sqlite3.Connection) -> list[int]:
            counted = []
            for _ in range(2):
                counted.append(connection.execute("SELECT count(*) FROM network").fetchone()[0])
                looked.set()
                assert written.wait(10)
            return counted

        async with sqlite_store(tmp_path) as store:
            pool = ReaderPool(tmp_path / "alcor.db", connect)
            reading = asyncio.create_task(pool.run(look_twice))
            await asyncio.get_running_loop().run_in_executor(None, looked.wait)
            await insert(store, a_network())
            written.set()

            assert await reading == [0, 0]
            assert await pool.run(look_twice) == [1, 1]
            pool.close()

    async def test_a_reader_cannot_write(self, tmp_path: Path) -> None:
        """There is one writer: a reading connection refuses."""
        async with sqlite_store(tmp_path):
            pool = ReaderPool(tmp_path / "alcor.db", connect)
            with pytest.raises(Unavailable, match="attempt to write a readonly database"):
                await pool.run(lambda connection: connection.execute("DELETE FROM network"))
            pool.close()

    async def test_rested_keys_are_cleared_away(self, tmp_path: Path) -> None:
        """The table of resting keys does not grow with every release there ever was."""
        clock = Clock()

        async def give_back(tx: Transaction, key: str) -> None:
            tx.release("mac", key, rest_s=60)

        async with sqlite_store(tmp_path, clock=clock) as store:
            for number in range(5):
                await store.write(partial(give_back, key=str(number)))
                clock.advance(45)
            with closing(connect(tmp_path / "alcor.db")) as connection:
                keys = [key for (key,) in connection.execute("SELECT key FROM resting ORDER BY key")]
            assert keys == ["3", "4"]


class TestSchema:
    """The file grows with the program."""

    async def test_a_newer_schema_is_refused_with_a_sentence(self, tmp_path: Path) -> None:
        """It names the file and both versions, changes nothing, and leaves no lock."""
        async with sqlite_store(tmp_path) as store:
            await insert(store, a_network())
        set_version(tmp_path, SCHEMA_VERSION + 1)

        with pytest.raises(StoreTooNew) as caught:
            SqliteStore.open(tmp_path)
        for words in (
            str(tmp_path / "alcor.db"),
            f"version {SCHEMA_VERSION + 1}",
            f"up to {SCHEMA_VERSION}",
            "backup",
        ):
            assert words in caught.value.message

        set_version(tmp_path, SCHEMA_VERSION)
        async with sqlite_store(tmp_path) as store:
            assert len(await store.reader.list(Network)) == 1

    async def test_a_new_column_is_filled_from_the_documents(self, tmp_path: Path) -> None:
        """When declarations gain columns, look-ups and references, the rows are there under all of them; the log of
        the old shape is cut, revisions and rows stay."""
        older = tuple(
            without_column(r, "network_id" if r.name in ("subnet", "port") else "name") for r in RESOURCES
        )
        async with sqlite_store(tmp_path, resources=older) as store:
            await insert(store, a_network(name="red"), a_subnet())
            await insert(store, a_port("port-1", "net-1", ("sub-1", "10.0.0.7")))
            before = await store.image((Network, Subnet, Port))

        async with sqlite_store(tmp_path) as store:
            assert await store.image((Network, Subnet, Port)) == before
            by_address = Query((Condition("fixed_ips.ip_address", ("10.0.0.7",)),))
            by_network = Query((Condition("network_id", ("net-1",)),))
            assert [port.id for port in await store.reader.list(Port, by_address)] == ["port-1"]
            assert [port.id for port in await store.reader.list(Port, by_network)] == ["port-1"]
            assert len(await store.reader.list(Network, Query((Condition("name", ("red",)),)))) == 1
            with pytest.raises(TooOld):
                await store.follow(1)
            assert (await insert(store, a_network("net-2"))).revision == 3

    async def test_rows_that_contradict_a_new_reference_stop_the_upgrade(self, tmp_path: Path) -> None:
        """A row whose parent is missing is named, and the database stays as it was."""
        older = tuple(without_column(resource, "network_id") for resource in RESOURCES)
        async with sqlite_store(tmp_path, resources=older) as store:
            await insert(store, a_subnet("sub-1", "no-such-network"))

        with pytest.raises(Unavailable, match="a row of subnet refers to a network that is not there"):
            SqliteStore.open(tmp_path)
        async with sqlite_store(tmp_path, resources=older) as store:
            assert [row.id for row in await store.reader.list(Subnet)] == ["sub-1"]

    def test_migrations_run_in_order_and_whole(self, tmp_path: Path) -> None:
        """From an older version each step runs once, in order; if one fails none has happened."""
        schema = render_schema(THINGS)
        path = tmp_path / "alcor.db"

        def note(connection: sqlite3.Connection, step: int) -> None:
            connection.execute("INSERT INTO kept_value VALUES ('steps', ?, x'00')", (str(step),))

        def fail(connection: sqlite3.Connection) -> None:
            note(connection, 99)
            raise KeyError

        def steps(connection: sqlite3.Connection) -> list[str]:
            return [key for (key,) in connection.execute("SELECT key FROM kept_value ORDER BY rowid")]

        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            prepare_schema(connection, schema, path, now_ms=1, version=1)
            migrations: dict[int, Callable[[sqlite3.Connection], None]] = {
                1: partial(note, step=1),
                2: partial(note, step=2),
                3: fail,
            }
            with pytest.raises(KeyError):
                prepare_schema(connection, schema, path, now_ms=1, version=4, migrations=migrations)
            assert steps(connection) == []
            prepare_schema(connection, schema, path, now_ms=1, version=3, migrations=migrations)
            prepare_schema(connection, schema, path, now_ms=1, version=3, migrations=migrations)
            assert steps(connection) == ["1", "2"]


def set_version(folder: Path, version: int) -> None:
    """Say that the database has another schema version."""
    with closing(sqlite3.connect(folder / "alcor.db", isolation_level=None)) as connection:
        connection.execute("UPDATE meta SET value = ? WHERE key = 'schema_version'", (str(version),))


class TestRestore:
    """A database that knows less than hosts were seen to hold is a backup."""

    async def test_a_new_epoch_begins_once(self, tmp_path: Path) -> None:
        """It begins when the backup is opened, and never again for the same loss."""
        here, backup = tmp_path / "region", tmp_path / "backup.db"
        async with sqlite_store(here) as store:
            await insert(store, a_network("net-1"))
            with closing(connect(here / "alcor.db")) as live, closing(connect(backup)) as copy:
                live.backup(copy)
            await insert(store, a_network("net-2"))
            seen = await store.head()
            fact = HostObservation("host-1", alive=True, seen_at_ms=1, realized_revision=seen.revision)
            await store.observations.put([], [fact], term=0)
        for file in here.glob("alcor.db*"):
            file.unlink()
        backup.rename(here / "alcor.db")

        async with sqlite_store(here) as store:
            begun = await store.head()
            assert begun.epoch > seen.epoch
            assert (await store.observations.hosts(["host-1"]))["host-1"].realized_revision == 0
        async with sqlite_store(here) as store:
            assert await store.head() == begun

    async def test_a_restart_is_no_restore(self, tmp_path: Path) -> None:
        """Hosts that confirmed all there is, and no more, say nothing of a loss."""
        async with sqlite_store(tmp_path) as store:
            await insert(store, a_network("net-1"))
            head = await store.head()
            fact = HostObservation("host-1", alive=True, seen_at_ms=1, realized_revision=head.revision)
            await store.observations.put([], [fact], term=0)

        async with sqlite_store(tmp_path) as store:
            assert await store.head() == head
