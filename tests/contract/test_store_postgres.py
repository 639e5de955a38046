"""What only the store on PostgreSQL promises: several processes on one database, and its server's troubles.

Each `postgres_store` of a folder is what a process of its own would open: its own pools, its own view of the head.
"""

import asyncio
import random
import subprocess
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from msgspec.structs import replace

from alcor.model.catalogue import RESOURCES
from alcor.model.change import Change, Position
from alcor.model.errors import AlcorError, Conflict, InvalidInput, NotFound, QuotaExceeded, Unavailable
from alcor.model.network import Network
from alcor.model.port import Port
from alcor.model.resource import Entity
from alcor.model.subnet import Subnet
from alcor.store.interface import Condition, History, HostObservation, Query, TooOld, Transaction
from alcor.store.postgres import PostgresStore, StoreTooNew
from alcor.store.postgres.connection import connector
from alcor.store.schema import render_schema
from alcor.telemetry import metrics
from tests.support.postgres import postgres_store, server
from tests.support.store import NOW_MS, Clock, a_network, a_port, a_subnet, insert

KINDS = (Network, Subnet, Port)
SCHEMA = render_schema(RESOURCES)
LIMIT = 5


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[PostgresStore]:
    """An empty store."""
    async with postgres_store(tmp_path) as opened:
        yield opened


async def dsn_of(folder: Path) -> str:
    """Where the database of a test's folder is."""
    return server().dsn(await server().database_of(folder, SCHEMA))


@asynccontextmanager
async def past_the_store(folder: Path) -> AsyncIterator[asyncpg.Connection]:
    """A connection of the test's own."""
    connection = await asyncpg.connect(await dsn_of(folder))
    try:
        yield connection
    finally:
        await connection.close()


async def follow_all(store: PostgresStore, after: int = 0) -> list[list[Change]]:
    """The changes of every cut after a revision; the cuts must come without a gap."""
    found: list[list[Change]] = []
    while cuts := await store.follow(after, 50):
        for cut in cuts:
            assert cut.revision == after + 1
            after = cut.revision
            found.append(list(cut.changes))
    return found


def apply(state: dict[str, Entity], changes: list[Change]) -> None:
    """Change `state`; each change must begin where the row stands."""
    for change in changes:
        assert state.get(change.id) == change.before
        if change.after is None:
            del state[change.id]
        else:
            state[change.id] = change.after


async def present(store: PostgresStore) -> dict[str, Entity]:
    """All rows, by id."""
    image = await store.image(KINDS)
    return {row.id: row for rows in image.rows.values() for row in rows}


class Writer:
    """Requests that read, decide and write, as managers do, all on the same few rows."""

    def __init__(self, store: PostgresStore, rng: random.Random, name: str) -> None:
        self.store, self.rng, self.name = store, rng, name
        self.renamed: Counter[str] = Counter()
        """How often each network was renamed, as far as we were told."""

    async def run(self, requests: int) -> Counter[str]:
        """Make requests; how they ended."""
        ends: Counter[str] = Counter()
        kinds = (self.network, self.rename, self.subnet, self.no_subnet, self.port, self.port, self.no_port)
        for number in range(requests):
            request = self.rng.choice(kinds)
            try:
                done = await self.store.write(partial(request, number=number))
            except AlcorError as error:
                ends[type(error).__name__] += 1
            else:
                ends["done"] += 1
                if request == self.rename:
                    self.renamed[done.value] += 1
        return ends

    async def network(self, tx: Transaction, number: int) -> str:
        """Make one of three networks."""
        id = f"net-{self.rng.randrange(3)}"
        tx.insert(a_network(id, name="0"))
        return id

    async def rename(self, tx: Transaction, number: int) -> str:
        """Count up in a network's name."""
        row = await tx.get(Network, f"net-{self.rng.randrange(3)}")
        tx.update(replace(row, name=str(int(row.name) + 1)))
        return row.id

    async def subnet(self, tx: Transaction, number: int) -> str:
        """Add a subnet, if it overlaps with none of its network."""
        network = f"net-{self.rng.randrange(3)}"
        length = self.rng.choice((23, 24, 25))
        wanted = ip_network((f"10.0.{self.rng.randrange(4)}.0", length), strict=False)
        for other in await tx.list(Subnet, Query((Condition("network_id", (network,)),))):
            if ip_network(other.cidr).overlaps(wanted):
                raise InvalidInput("overlaps")
        id = f"sub-{self.name}-{number}"
        tx.insert(a_subnet(id, network, cidr=str(wanted)))
        return id

    async def no_subnet(self, tx: Transaction, number: int) -> str:
        """Remove a subnet; ports in it refuse."""
        rows = await tx.list(Subnet)
        if not rows:
            raise NotFound("subnet", "any")
        row = self.rng.choice(rows)
        tx.delete(row)
        return row.id

    async def port(self, tx: Transaction, number: int) -> str:
        """Add a port with an address that many want, within the quota."""
        rows = await tx.list(Subnet)
        if not rows:
            raise NotFound("subnet", "any")
        subnet = self.rng.choice(rows)
        id = f"port-{self.name}-{number}"
        address = f"address-{self.rng.randrange(5)}"
        if not await tx.claim(f"address:{subnet.id}", address, id):
            raise Conflict("taken")
        tx.bound(Port, "p-1", LIMIT)
        tx.insert(a_port(id, subnet.network_id, (subnet.id, address), project_id="p-1"))
        return id

    async def no_port(self, tx: Transaction, number: int) -> str:
        """Remove a port and let go of its address."""
        rows = await tx.list(Port)
        if not rows:
            raise NotFound("port", "any")
        row = self.rng.choice(rows)
        for fixed in row.fixed_ips:
            tx.release(f"address:{fixed.subnet_id}", fixed.ip_address, rest_s=self.rng.choice((0, 60)))
        tx.delete(row)
        return row.id


class TestManyWriters:
    """Eight processes on the same few rows are as good as one after the other."""

    @pytest.mark.parametrize("seed", [1, 2])
    async def test_nothing_is_lost_and_nothing_is_there_twice(self, tmp_path: Path, seed: int) -> None:
        """No lost update, no overlap, no address given twice, no limit passed, no error that is not the request's own;
        and the log from revision 1 on, at each of its cuts, is a state that keeps these rules, and ends in the rows."""
        async with AsyncExitStack() as stack:
            stores = [
                await stack.enter_async_context(postgres_store(tmp_path, seed=seed * 100 + n, writers=2))
                for n in range(8)
            ]
            writers = [Writer(s, random.Random(seed * 100 + n), str(n)) for n, s in enumerate(stores)]

            ends = sum(await asyncio.gather(*(writer.run(60) for writer in writers)), Counter[str]())

            rows = await present(stores[0])
            told = sum((writer.renamed for writer in writers), Counter[str]())
            assert {id: int(row.name) for id, row in rows.items() if isinstance(row, Network)} == {
                id: told[id] for id in rows if id.startswith("net-")
            }
            state: dict[str, Entity] = {}
            for changes in await follow_all(stores[0]):
                apply(state, changes)
                check_rules(state)
            assert state == rows
            await check_claims(stores[1], rows)
            assert ends["done"] > 100
            assert set(ends) <= {"done", "Conflict", "InUse", "NotFound", "InvalidInput", "QuotaExceeded"}
            assert ends["QuotaExceeded"] > 0

    async def test_every_process_sees_the_same_revisions(self, tmp_path: Path) -> None:
        """Whichever process numbers, each request's revision holds its change, and every follower is woken."""
        async with postgres_store(tmp_path) as one, postgres_store(tmp_path) as other:

            async def follower(store: PostgresStore) -> list[list[str]]:
                found: list[list[str]] = []
                while sum(map(len, found)) < 40:
                    await store.wait_beyond(len(found))
                    found += [[c.id for c in cut.changes] for cut in await store.follow(len(found))]
                return found

            following = [asyncio.create_task(follower(store)) for store in (one, other)]
            answers = await asyncio.gather(
                *(insert((one, other)[n % 2], a_network(f"net-{n}")) for n in range(40))
            )
            first, second = await asyncio.wait_for(asyncio.gather(*following), 60)

            assert first == second
            for number, done in enumerate(answers):
                assert f"net-{number}" in first[done.revision - 1]

    async def test_several_processes_may_start_at_once(self, tmp_path: Path) -> None:
        """On an empty database, the first one makes the tables and the others find them."""
        dsn = server().dsn(await server().fresh())
        stores = await asyncio.gather(*(PostgresStore.open(dsn, clock=Clock(), writers=1) for _ in range(4)))
        try:
            assert [(await store.head()).revision for store in stores] == [0, 0, 0, 0]
            for number, store in enumerate(stores):
                assert (await insert(store, a_network(f"net-{number}"))).revision == number + 1
            assert len(await present(stores[0])) == 4
        finally:
            await asyncio.gather(*(store.close() for store in stores))

    async def test_a_limit_is_exact_over_processes(self, tmp_path: Path) -> None:
        """Whatever process adds and removes rows, exactly as many are there as the limit allows, and no fewer."""
        async with AsyncExitStack() as stack:
            stores = [await stack.enter_async_context(postgres_store(tmp_path, writers=2)) for _ in range(4)]
            await insert(stores[0], a_network())

            async def add(tx: Transaction, id: str, limit: int) -> None:
                tx.bound(Port, "p-1", limit)
                tx.insert(a_port(id, project_id="p-1"))

            async def remove(tx: Transaction, id: str) -> None:
                tx.delete(await tx.get(Port, id))

            async def fill(name: str, limit: int) -> int:
                answers = await asyncio.gather(
                    *(
                        store.write(partial(add, id=f"{name}-{number}-{place}", limit=limit))
                        for number, store in enumerate(stores)
                        for place in range(8)
                    ),
                    return_exceptions=True,
                )
                refused = [answer for answer in answers if isinstance(answer, BaseException)]
                assert {type(answer) for answer in refused} <= {QuotaExceeded}
                return len(answers) - len(refused)

            assert await fill("a", 20) == 20
            gone = [port.id for port in await stores[0].reader.list(Port)][:7]
            await asyncio.gather(
                *(stores[number % 4].write(partial(remove, id=id)) for number, id in enumerate(gone))
            )
            assert await fill("b", 20) == 7
            # A lowered limit holds at once, a raised one gives room at once, wherever the old one was dealt.
            assert await fill("c", 10) == 0
            assert await fill("d", 30) == 10
            assert await stores[3].reader.tally(Port, ["p-1"]) == {"p-1": 30}


def check_rules(state: dict[str, Entity]) -> None:
    """What must hold between any two requests."""
    subnets = [row for row in state.values() if isinstance(row, Subnet)]
    ports = [row for row in state.values() if isinstance(row, Port)]
    for place, one in enumerate(subnets):
        assert one.network_id in state
        for other in subnets[:place]:
            assert one.network_id != other.network_id or not ip_network(one.cidr).overlaps(
                ip_network(other.cidr)
            )
    addresses = [(fixed.subnet_id, fixed.ip_address) for port in ports for fixed in port.fixed_ips]
    assert len(addresses) == len(set(addresses))
    assert {subnet for subnet, _ in addresses} <= set(state)
    assert len(ports) <= LIMIT


async def check_claims(store: PostgresStore, rows: dict[str, Entity]) -> None:
    """The claims are those of the ports that are there."""
    ports = [row for row in rows.values() if isinstance(row, Port)]
    owned = {(fixed.subnet_id, fixed.ip_address): port.id for port in ports for fixed in port.fixed_ips}
    spaces = {fixed.subnet_id for port in ports for fixed in port.fixed_ips}

    async def claims(tx: Transaction) -> dict[tuple[str, str], str]:
        found: dict[tuple[str, str], str] = {}
        for space in spaces:
            keys = [f"address-{number}" for number in range(5)]
            claimed = await tx.claimed(f"address:{space}", keys)
            found |= {(space, key): owner for key, owner in claimed.items()}
        return found

    assert (await store.write(claims)).value == owned
    assert await store.reader.tally(Port, ["p-1"]) == {"p-1": len(ports)}


class TestReruns:
    """A request that met another one is run again, a bounded number of times."""

    async def test_who_always_meets_others_is_told_to_come_back(self, tmp_path: Path) -> None:
        """After a bounded number of runs the answer is Unavailable with a time to wait, and nothing is kept."""
        runs = 0

        class Unlucky(asyncpg.Connection):  # type: ignore[misc]  # asyncpg has no types
            async def execute(self, query: str, *args: Any, **more: Any) -> str:
                if query == "COMMIT":
                    raise asyncpg.SerializationError("could not serialize access")
                status: str = await super().execute(query, *args, **more)
                return status

        async def work(tx: Transaction) -> None:
            nonlocal runs
            runs += 1
            tx.insert(a_network())

        dsn = await dsn_of(tmp_path)
        store = await PostgresStore.open(dsn, connect=connector(dsn, Unlucky), writers=1)
        try:
            with pytest.raises(Unavailable, match="Nothing was kept") as caught:
                await store.write(work)
            assert caught.value.retry_after_s >= 1
            assert 5 < runs < 100
            assert await present(store) == {}
        finally:
            await store.close()

    async def test_many_may_change_one_value(self, tmp_path: Path) -> None:
        """However many requests read one kept value and replace it at the same time, in whatever process, each of them
        builds on the one before, and none is told to come back."""

        async def count(tx: Transaction) -> None:
            seen = int(await tx.load("counter", "one") or b"0")
            await tx.list(Network)
            tx.save("counter", "one", str(seen + 1).encode())

        async with postgres_store(tmp_path) as one, postgres_store(tmp_path) as other:
            await asyncio.gather(*((one, other)[n % 2].write(count) for n in range(150)))

            assert (await one.write(lambda tx: tx.load("counter", "one"))).value == b"150"

    async def test_a_request_costs_few_statements(self, store: PostgresStore) -> None:
        """However much a request writes, it is sent in one statement between BEGIN and COMMIT."""
        await insert(store, a_network("net-0"), a_network("net-9"))

        def sent() -> float:
            labels = {"store": "postgres", "purpose": "write"}
            return metrics.REGISTRY.get_sample_value("alcor_store_statements_total", labels) or 0.0

        async def much(tx: Transaction) -> None:
            for number in range(50):
                tx.insert(a_port(f"port-{number}", "net-1", ("sub-1", f"10.0.0.{number}")))
                tx.release("mac", str(number), rest_s=60)
            tx.insert(a_subnet())
            tx.insert(a_network())
            tx.save("cursor", "a", b"1")

        await store.write(much)
        before = sent()

        async def more(tx: Transaction) -> None:
            for number in range(50):
                tx.insert(a_port(f"more-{number}", "net-1", ("sub-1", f"10.0.1.{number}")))
                tx.delete(a_port(f"port-{number}"))
            tx.update(a_network("net-0", name="new"))
            tx.delete(a_network("net-9"))

        await store.write(more)

        # Beside the three, one per kind that reads the rows it was not shown.
        assert sent() - before == 5


class TestServerTrouble:
    """Connections and servers go; what was answered stays."""

    async def test_lost_connections_are_replaced(self, tmp_path: Path) -> None:
        """When the server ends every connection, requests under way are run again and nobody notices."""
        async with postgres_store(tmp_path) as store:

            async def add(number: int) -> int:
                return (await insert(store, a_network(f"net-{number}"))).revision

            await add(0)
            writes = [asyncio.create_task(add(number)) for number in range(1, 40)]
            async with past_the_store(tmp_path) as connection:
                for _ in range(3):
                    await connection.execute(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                        "WHERE datname = current_database() AND pid <> pg_backend_pid()"
                    )
            revisions = await asyncio.gather(*writes)

            assert len(await present(store)) == 40
            assert max(revisions) == (await store.head()).revision
            assert len(await store.reader.list(Network)) == 40
            cuts = await follow_all(store)
            assert sorted(change.id for cut in cuts for change in cut) == sorted(
                f"net-{number}" for number in range(40)
            )

    @pytest.mark.parametrize("reached", [True, False])
    async def test_a_commit_that_was_not_answered_is_looked_up(self, tmp_path: Path, reached: bool) -> None:
        """When the connection is lost during COMMIT the store asks what became of it, and runs the request again
        only if it was not kept."""

        class Lossy(asyncpg.Connection):  # type: ignore[misc]  # asyncpg has no types
            async def execute(self, query: str, *args: Any, **more: Any) -> str:
                if query == "COMMIT" and losing:
                    losing.clear()
                    if reached:
                        await super().execute(query)
                    self.terminate()
                    raise asyncpg.ConnectionDoesNotExistError(
                        "connection was closed in the middle of operation"
                    )
                status: str = await super().execute(query, *args, **more)
                return status

        losing: set[str] = set()
        dsn = await dsn_of(tmp_path)
        store = await PostgresStore.open(dsn, clock=Clock(), connect=connector(dsn, Lossy))
        try:
            await insert(store, a_network("net-0"))
            losing.add("now")
            runs = 0

            async def work(tx: Transaction) -> None:
                nonlocal runs
                runs += 1
                tx.insert(a_network("net-1"))

            assert (await store.write(work)).revision == 2
            assert runs == (1 if reached else 2)
            assert set(await present(store)) == {"net-0", "net-1"}
        finally:
            await store.close()

    async def test_a_database_that_is_not_there_is_unavailable(self, tmp_path: Path) -> None:
        """Who cannot reach the database is told so, at once."""
        with pytest.raises(Unavailable, match="cannot be reached"):
            await PostgresStore.open(f"postgresql://nobody@/none?host={tmp_path}")
        with pytest.raises(Unavailable, match="cannot be reached"):
            await PostgresStore.open(server().dsn("no_such_database"))

    async def test_the_database_that_is_not_there_is_named_without_its_password(self) -> None:
        """Which one, and why; the URL holds more than that."""
        with pytest.raises(Unavailable) as refused:
            await PostgresStore.open("postgresql://alcor:secret@127.0.0.1:1/region")

        assert "The database region at 127.0.0.1:1 cannot be reached: " in refused.value.message
        assert "secret" not in refused.value.message

    async def test_text_that_cannot_be_stored_is_the_callers_fault(self, store: PostgresStore) -> None:
        """PostgreSQL's text holds no NUL: such a name is InvalidInput, such an id or filter finds nothing."""
        with pytest.raises(InvalidInput, match="NUL"):
            await insert(store, a_network(name="a\0b"))
        assert await store.reader.find(Network, "net\0") is None
        assert await store.reader.list(Network, Query((Condition("name", ("a\0b",)),))) == []


class TestNumbering:
    """Revisions are numbered by whoever has the lease, and by anybody when nobody does."""

    async def test_an_image_holds_only_what_is_numbered(self, tmp_path: Path) -> None:
        """Commits that have no revision yet are in no image, no cut and no history; rows that they changed are as they
        were, with the revision of that; and following an image gives exactly them."""
        async with postgres_store(tmp_path) as store:
            await insert(store, a_network("net-1"), a_network("net-2"), a_network("net-3"))
            await store.write(lambda tx: _rename(tx, "net-2", "second"))
            before = await store.image(KINDS)
            # Another table with the same columns stands for a sequencer that does nothing.
            async with past_the_store(tmp_path) as connection, connection.transaction():
                await connection.execute("LOCK TABLE revision IN EXCLUSIVE MODE")
                await store.write(lambda tx: _rename(tx, "net-2", "third"), numbered=False)
                await store.write(lambda tx: _replace(tx, "net-3", "net-4"), numbered=False)
                await store.write(lambda tx: _rename(tx, "net-2", "fourth"), numbered=False)

                image = await store.image(KINDS)
                assert image.position == before.position
                assert image.revisions == before.revisions == {"net-1": 1, "net-2": 2, "net-3": 1}
                assert {row.id: row for row in image.rows[Network]} == {
                    row.id: row for row in before.rows[Network]
                }
                assert await store.follow(2) == []
                assert len(await store.reader.history(History())) == 4
            await asyncio.wait_for(store.wait_beyond(2), 60)

            state = {row.id: row for row in before.rows[Network]}
            for changes in await follow_all(store, 2):
                apply(state, changes)
            assert state == await present(store)
            assert {row.name for row in state.values()} == {"net-1", "fourth", "net-4"}

    async def test_another_process_takes_over(self, tmp_path: Path) -> None:
        """When the process that numbers is gone, another one numbers, and no request waits long."""
        async with postgres_store(tmp_path) as second:
            async with postgres_store(tmp_path) as first:
                assert (await insert(first, a_network("net-1"))).revision == 1
                assert (await insert(second, a_network("net-2"))).revision == 2
            assert (await asyncio.wait_for(insert(second, a_network("net-3")), 60)).revision == 3
            assert (await asyncio.wait_for(insert(second, a_network("net-4")), 60)).revision == 4

    async def test_a_lease_that_is_held_and_not_used_stops_nobody(self, tmp_path: Path) -> None:
        """When whoever has the lease does nothing, a request that waits for its revision numbers it itself."""
        async with past_the_store(tmp_path) as connection:
            await connection.execute("SELECT pg_advisory_lock($1::bigint)", 0x616C6301)
            async with postgres_store(tmp_path) as store:
                done = await asyncio.wait_for(insert(store, a_network()), 60)
                assert done.revision == 1
                assert (await store.head()).revision == 1

    async def test_a_new_epoch_reaches_every_process(self, tmp_path: Path) -> None:
        """Who waits in another process is woken and sees it."""
        async with postgres_store(tmp_path) as one, postgres_store(tmp_path) as other:
            await insert(one, a_network())
            waiting = asyncio.create_task(other.wait_beyond(1))
            position = await one.new_epoch()
            await asyncio.wait_for(waiting, 60)

            assert await other.head() == position
            with pytest.raises(TooOld):
                await other.follow(1)


async def _rename(tx: Transaction, id: str, name: str) -> None:
    tx.update(replace(await tx.get(Network, id), name=name))


async def _replace(tx: Transaction, old: str, new: str) -> None:
    tx.delete(await tx.get(Network, old))
    tx.insert(a_network(new))


def _postgres(*words: str, said: bytes | None = None) -> bytes:
    """What one of PostgreSQL's own programs answers."""
    return subprocess.run(words, input=said, capture_output=True, check=True, timeout=60).stdout


class TestOtherServers:
    """A database that comes up on another server, or from an older state, begins another history."""

    @pytest.mark.parametrize("what", ["timeline", "system_identifier"])
    async def test_another_server_is_another_epoch(self, tmp_path: Path, what: str) -> None:
        """After a failover or a restore the epoch is a new one, followers take an image, and rows, history and
        numbering go on; also if the new server counts its transactions from the beginning."""
        async with postgres_store(tmp_path) as store:
            await insert(store, a_network("net-1"))
            await store.write(lambda tx: _rename(tx, "net-1", "new"))
        async with past_the_store(tmp_path) as connection:
            await connection.execute("UPDATE meta SET value = 'another' WHERE key = $1", what)
            if what == "system_identifier":
                # As if the old server had counted much further.
                for table in ("network", "change_log"):
                    await connection.execute(
                        f"UPDATE {table} SET xid = (xid::text::bigint + 1000000)::text::xid8"
                    )
                await connection.execute(
                    "UPDATE revision SET snap = '1000900:1000900:', beyond = '1000900' WHERE revision > 0"
                )

        async with postgres_store(tmp_path, clock=Clock(NOW_MS + 5_000)) as store:
            head = await store.head()
            assert (head.epoch, head.revision) == (NOW_MS + 5_000, 3)
            with pytest.raises(TooOld):
                await store.follow(2)
            assert (await insert(store, a_network("net-2"))).revision == 4
            assert [[change.id for change in cut] for cut in await follow_all(store, 3)] == [["net-2"]]
            image = await store.image(KINDS)
            assert {row.id: image.revisions[row.id] for row in image.rows[Network]}["net-2"] == 4
            assert image.revisions["net-1"] <= 3
            history = await store.reader.history(History(kind="network"))
            assert [change.id for change in history] == ["net-1", "net-1", "net-2"]
            assert [change.place for change in history] == sorted(change.place for change in history)
        async with postgres_store(tmp_path) as store:
            assert await store.head() == image.position

    async def test_a_dump_that_is_restored_on_the_same_server(self, tmp_path: Path) -> None:
        """Identifier and timeline are as they were, and what was written since is lost: the epoch is a new one, at once
        and also if no host ever shows a position. Opened again nothing changes."""
        async with postgres_store(tmp_path) as store:
            await insert(store, a_network("net-1"))
        dump = await asyncio.to_thread(
            _postgres, "pg_dump", "--clean", "--if-exists", "-d", await dsn_of(tmp_path)
        )
        async with postgres_store(tmp_path) as store:
            await insert(store, a_network("net-2"))
            assert await store.head() == Position(NOW_MS, 2)
        await asyncio.to_thread(
            _postgres, "psql", "-v", "ON_ERROR_STOP=1", "-d", await dsn_of(tmp_path), said=dump
        )

        async with postgres_store(tmp_path, clock=Clock(NOW_MS + 5_000)) as store:
            head = await store.head()
            assert head == Position(NOW_MS + 5_000, 2)
            with pytest.raises(TooOld):
                await store.follow(1)
            assert (await insert(store, a_network("net-3"))).revision == 3
            assert [[change.id for change in cut] for cut in await follow_all(store, 2)] == [["net-3"]]
            image = await store.image(KINDS)
            assert {row.id for row in image.rows[Network]} == {"net-1", "net-3"}
        async with postgres_store(tmp_path, clock=Clock(NOW_MS + 9_000)) as store:
            assert (await store.head()).epoch == head.epoch

    async def test_a_database_of_a_release_that_recorded_less(self, tmp_path: Path) -> None:
        """It is no restored one; from then on it is known."""
        async with postgres_store(tmp_path) as store:
            before = await store.head()
        async with past_the_store(tmp_path) as connection:
            await connection.execute("DELETE FROM meta WHERE key = 'log_table'")
        async with postgres_store(tmp_path, clock=Clock(NOW_MS + 5_000)) as store:
            assert await store.head() == before
        async with past_the_store(tmp_path) as connection:
            known = "SELECT value = 'change_log'::regclass::oid::text FROM meta WHERE key = 'log_table'"
            assert await connection.fetchval(known)

    async def test_a_newer_schema_is_refused(self, tmp_path: Path) -> None:
        """An older program does not touch a database that a newer one has changed."""
        async with postgres_store(tmp_path) as store:
            await insert(store, a_network())
        async with past_the_store(tmp_path) as connection:
            await connection.execute("UPDATE meta SET value = '999' WHERE key = 'schema_version'")
            with pytest.raises(StoreTooNew, match="999"):
                async with postgres_store(tmp_path):
                    pass
            assert await connection.fetchval("SELECT count(*) FROM network") == 1


class TestObservationsOfManyProcesses:
    """One process hears hosts; others come and go."""

    async def test_a_process_that_joins_forgets_nothing(self, tmp_path: Path) -> None:
        """Hosts stay alive while a process of the region is there; who hears them next takes back what is not true."""
        facts = [HostObservation(f"host-{number}", True, 12) for number in range(2)]

        async def alive(store: PostgresStore) -> list[bool]:
            found = await store.observations.hosts(["host-0", "host-1"])
            return [found[f"host-{number}"].alive for number in range(2)]

        async with postgres_store(tmp_path) as api:
            async with postgres_store(tmp_path) as dataplane:
                await dataplane.observations.put([], facts, term=0)
                async with postgres_store(tmp_path):
                    assert await alive(api) == [True, True]
            async with postgres_store(tmp_path) as dataplane:
                await dataplane.observations.put([], facts[:1], term=0)
                assert await alive(api) == [True, True]
        async with postgres_store(tmp_path) as api:
            assert await alive(api) == [False, False]
