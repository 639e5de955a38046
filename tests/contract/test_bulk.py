"""Loading in bulk: what it leaves is what transactions leave, on either store, and the region works on it."""

import asyncio
import re
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest

from alcor.goalstate.graph import Graph, difference
from alcor.goalstate.intent import ENTITIES
from alcor.lab.ledger import Ledger
from alcor.lab.simulate.direct import DirectLoader, direct_loader
from alcor.lab.simulate.load import ApiLoader, Loaded, Progress, load, port_body
from alcor.lab.simulate.plan import NetworkPlan, Plan
from alcor.lab.simulate.region import start_region
from alcor.managers.interface import Caller, Manager
from alcor.managers.registry import managers
from alcor.model.catalogue import RESOURCES
from alcor.model.errors import Conflict, Unavailable
from alcor.model.mac_range import MacRange
from alcor.model.network import Network
from alcor.model.port import Port
from alcor.model.resource import Entity
from alcor.runtime.config import Data, RegionConfig
from alcor.runtime.config import Store as StoreConfig
from alcor.runtime.database import open_bulk, open_store
from alcor.runtime.region import region_item
from alcor.store.bulk import Batch
from alcor.store.interface import Condition, Query, Store
from alcor.store.schema import render_schema
from tests.support.postgres import server

# A bitmap's subnet, one of addresses at random, one port alone; the last one is above the default group's bound.
PLAN = Plan(hosts=7, sizes=(40, 150, 1, 1_003), density=30)
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_CHANCE = re.compile(
    r"06:a1:c0(:[0-9a-f]{2}){3}|10\.0\.\d+\.\d+(?!/)|\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"
    r"|^\d{3,8}$|(?<=segmentation_id\":)\d+|(?<=token_digest\":)\"[^\"]*\""
)
# What orders or dates rows, and what only says which revision they are of.
_COLUMNS_LEFT_OUT = frozenset({"seq", "xid", "revision", "until_ms", "stripe"})
_TABLES_LEFT_OUT = frozenset({"meta", "revision", "request", "who", "member", "lease", "resting", "tally"})

Tables = dict[str, Counter[tuple[str, ...]]]


class OneByOne(DirectLoader):
    """Every port by the manager's own function, in transactions: what the API runs."""

    async def fill(
        self, networks: Sequence[NetworkPlan], loaded: Loaded, plan: Plan, progress: Progress
    ) -> None:
        """As `Loader`."""
        for network in networks:
            bodies = [port_body(network, loaded, plan, place) for place in range(network.ports)]
            loaded.ports[network.number] = [row["id"] for row in await self.create("port", bodies)]
        progress(plan.ports, plan.ports)


def config_of(folder: Path, url: str) -> RegionConfig:
    """A region's, as the loader's."""
    return RegionConfig(data=Data(folder=folder), store=StoreConfig(url=url))


@asynccontextmanager
async def opened(folder: Path, url: str) -> AsyncIterator[Store]:
    """The store that was loaded."""
    store = await open_store(config_of(folder, url))
    try:
        yield store
    finally:
        await store.close()


async def load_into(folder: Path, url: str, *, one_by_one: bool = False) -> Loaded:
    """`PLAN`, loaded."""
    async with direct_loader(folder, url) as loader:
        if one_by_one:
            loader = OneByOne(loader._store, loader._config, loader._rng)
        return await load(loader, PLAN, lambda _done, _all: None)


async def new_url(backend: str) -> str:
    """Where a new store is; "": in its folder."""
    if backend == "sqlite":
        return ""
    template = await server().template(render_schema(RESOURCES))
    return server().dsn(await server().fresh(template.name))


@pytest.fixture(params=["sqlite", "postgres"])
async def url(request: pytest.FixtureRequest) -> str:
    """Of each backend in turn."""
    return await new_url(request.param)


async def read_tables(folder: Path, url: str) -> tuple[dict[str, list[dict[str, Any]]], list[str]]:
    """Every table's rows as they are, and the indexes and references there are."""
    if not url:
        with closing(sqlite3.connect(folder / "alcor.db")) as database:
            database.row_factory = sqlite3.Row
            made = database.execute("SELECT type, name, sql FROM sqlite_master").fetchall()
            names = [name for kind, name, _ in made if kind == "table"]
            rows = {
                name: [dict(row) for row in database.execute(f'SELECT * FROM "{name}"')] for name in names
            }
            return rows, sorted(str(sql) for _, _, sql in made)
    connection = await asyncpg.connect(url)
    try:
        tables = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        rows = {
            name: [dict(row) for row in await connection.fetch(f'SELECT * FROM "{name}"')]
            for (name,) in tables
        }
        indexes = await connection.fetch("SELECT indexdef FROM pg_indexes WHERE schemaname = 'public'")
        references = await connection.fetch(
            "SELECT conrelid::regclass || ' ' || pg_get_constraintdef(oid) FROM pg_constraint WHERE contype = 'f'"
        )
        return rows, sorted(text for (text,) in [*indexes, *references])
    finally:
        await connection.close()


def meanings(loaded: Loaded, rows: dict[str, list[dict[str, Any]]]) -> dict[str, str]:
    """What every id of a region stands for."""
    found = {id: f"network-{number}" for number, id in loaded.networks.items()}
    found |= {id: f"host-{name}" for name, (id, _) in loaded.hosts.items()}
    for number, ids in loaded.ports.items():
        found |= {id: f"port-{number}-{place}" for place, id in enumerate(ids)}
    for row in rows["security_group"]:
        found[row["id"]] = f"group-{row['project_id']}-{row['name']}"
    for row in rows["subnet"]:
        found[row["id"]] = f"subnet-of-{found[row['network_id']]}"
    return found


def tables_of(rows: dict[str, list[dict[str, Any]]], loaded: Loaded) -> Tables:
    """All rows of all tables as text without chance: ids by what they mean, addresses and times as such."""
    known = meanings(loaded, rows)

    def text(value: Any) -> str:
        named = _UUID.sub(lambda match: known.get(match[0], "ID"), str(value))
        return _CHANCE.sub("CHANCE", named)

    return {
        table: Counter(
            tuple(text(value) for name, value in sorted(row.items()) if name not in _COLUMNS_LEFT_OUT)
            for row in some
        )
        for table, some in rows.items()
        if table not in _TABLES_LEFT_OUT
    }


def counts_of(rows: dict[str, list[dict[str, Any]]]) -> Counter[tuple[str, str]]:
    """(kind, project) → how many rows are counted, whatever their stripes."""
    found: Counter[tuple[str, str]] = Counter()
    for row in rows["tally"]:
        found[row["kind"], row["project_id"]] += int(row["rows"] if "rows" in row else row["used"])
    return found


async def test_bulk_leaves_what_transactions_leave(tmp_path: Path, url: str) -> None:
    """Every table but for chance: rows, look-ups, claims, kept values, counts, the log; every index and reference."""
    bulk = await load_into(tmp_path / "bulk", url)
    other_url = await new_url("postgres" if url else "sqlite")
    single = await load_into(tmp_path / "single", other_url, one_by_one=True)
    rows, made = await read_tables(tmp_path / "bulk", url)
    others, others_made = await read_tables(tmp_path / "single", other_url)
    mine, theirs = tables_of(rows, bulk), tables_of(others, single)

    assert bulk.port_count == single.port_count == PLAN.ports
    assert len(mine["port"]) == len(mine["port_fixed_ips"]) == PLAN.ports
    assert mine.keys() == theirs.keys()
    for table in mine:
        assert mine[table] == theirs[table], table
    assert counts_of(rows) == counts_of(others)
    assert made == others_made


async def test_claims_are_those_of_the_rows(tmp_path: Path, url: str) -> None:
    """Each address and MAC address is claimed by the port that has it, and by no other; no two are alike."""
    await load_into(tmp_path, url)
    rows, _ = await read_tables(tmp_path, url)
    async with opened(tmp_path, url) as store:
        ports = await store.reader.list(Port)
        ranges = await store.reader.list(MacRange)

    wanted = {(f"mac:{port.network_id}", port.mac_address, port.id) for port in ports}
    wanted |= {(f"address:{ip.subnet_id}", ip.ip_address, port.id) for port in ports for ip in port.fixed_ips}
    claimed = {(row["space"], row["key"], row["owner"]) for row in rows["claim"]}
    assert {claim for claim in claimed if claim[0].startswith(("mac:", "address:"))} == wanted
    assert len(wanted) == 2 * PLAN.ports
    assert all(ranges[0].first <= port.mac_address <= ranges[0].last for port in ports)


async def test_the_log_leads_to_the_rows(tmp_path: Path, url: str) -> None:
    """Revisions are gap-free, and who follows from the beginning has the goal state of who begins with the image."""
    await load_into(tmp_path, url)
    async with opened(tmp_path, url) as store:
        image = await store.image(ENTITIES)
        cuts = await store.follow(0, 10_000)

    def graph(rows: Sequence[Entity], revision: int) -> Graph:
        region = region_item(config_of(tmp_path, ""))
        return Graph.load(region, rows, revision=revision, row_revisions=image.revisions)

    followed = graph((), 0)
    followed.advance((change for cut in cuts for change in cut.changes), cuts[-1].revision)
    whole = graph([row for entity in ENTITIES for row in image.rows[entity]], image.position.revision)
    assert [cut.revision for cut in cuts] == list(range(1, image.position.revision + 1))
    assert max(image.revisions.values()) == image.position.revision
    assert list(difference(followed, whole)) == []


async def test_managers_go_on_from_it(tmp_path: Path, url: str) -> None:
    """A new port gets an address that nobody has, a loaded one is found by its keys, and goes with all it had."""
    loaded = await load_into(tmp_path, url)
    manager = next(one for one in managers() if isinstance(one, Manager) and one.resource.name == "port")
    caller = Caller("", is_admin=True)
    create, remove = manager.create, manager.delete
    assert create is not None
    assert remove is not None
    async with opened(tmp_path, url) as store:
        found = await store.reader.list(Port, Query(where=(Condition("device_id", ("sim-1-77",)),)))
        old = await store.reader.find(Port, loaded.ports[0][5])
        network = await store.reader.find(Network, loaded.networks[0])
        assert old is not None
        assert network is not None
        body = {"network_id": network.id, "project_id": network.project_id}
        new = (await store.write(lambda tx: create(tx, caller, [body]))).value[0].row
        same = {"fixed_ips": (), "mac_address": old.mac_address} | body
        with pytest.raises(Conflict, match=old.mac_address):
            await store.write(lambda tx: create(tx, caller, [same]))
        await store.write(lambda tx: remove(tx, caller, old))
        left = await store.reader.list(Port, Query(where=(Condition("network_id", (network.id,)),)))
        count = await store.reader.tally(Port, [network.project_id])
        in_place = (await store.write(lambda tx: create(tx, caller, [same]))).value[0].row

    assert [port.id for port in found] == [loaded.ports[1][77]]
    assert isinstance(new, Port)
    assert new.fixed_ips[0].ip_address not in {
        ip.ip_address for port in left for ip in port.fixed_ips if port != new
    }
    assert len({ip.ip_address for port in [*left, old] for ip in port.fixed_ips}) == 41
    assert count == {network.project_id: 40}
    assert getattr(in_place, "mac_address", "") == old.mac_address


async def test_a_load_that_is_broken_off_is_mended_by_the_next_opening(tmp_path: Path, url: str) -> None:
    """Indexes and references are there again, and the rows that were committed."""
    loaded = await load_into(tmp_path, url)
    _, made = await read_tables(tmp_path, url)
    async with opened(tmp_path, url) as store:
        port = await store.reader.find(Port, loaded.ports[2][0])
    assert port is not None
    twin = Port(id="0" * 8 + port.id[8:], network_id=port.network_id, mac_address="06:a1:c0:00:00:01")

    async def break_off() -> None:
        async with open_bulk(config_of(tmp_path, url), Port) as bulk:
            await bulk.add(Batch([twin], [("mac:x", "06:a1:c0:00:00:01", twin.id)]))
            raise RuntimeError("broken off")

    with pytest.raises(RuntimeError, match="broken off"):
        await break_off()
    _, broken = await read_tables(tmp_path, url)
    async with opened(tmp_path, url) as store:
        kept = await store.reader.find(Port, twin.id)
    _, mended = await read_tables(tmp_path, url)

    assert len(broken) < len(made)
    assert mended == made
    assert kept == twin


async def test_what_is_there_already_is_refused(tmp_path: Path, url: str) -> None:
    """Of a batch with a taken id or key nothing is kept, and the next one goes on where it was."""
    loaded = await load_into(tmp_path, url)
    async with opened(tmp_path, url) as store:
        port = await store.reader.find(Port, loaded.ports[2][0])
        head = await store.head()
    assert port is not None
    id = "0" * 8 + port.id[8:]
    other = Port(id=id, network_id=port.network_id, mac_address="06:a1:c0:00:00:02")
    async with open_bulk(config_of(tmp_path, url), Port) as bulk:
        with pytest.raises(Conflict, match="there already"):
            await bulk.add(Batch([port]))
        with pytest.raises(Conflict, match="there already"):
            await bulk.add(Batch([other], [(f"mac:{port.network_id}", port.mac_address, id)]))
        await bulk.add(Batch([other]))
    async with opened(tmp_path, url) as store:
        cuts = await store.follow(head.revision)

    assert [[change.id for change in cut.changes] for cut in cuts] == [[id]]


async def test_a_row_that_refers_to_nothing_shows_at_the_end(tmp_path: Path, url: str) -> None:
    """And the store is not opened with it."""
    await load_into(tmp_path, url)
    lost = Port(id="0" * 36, network_id="f" * 36, mac_address="06:a1:c0:00:00:02")

    async def load_lost() -> None:
        async with open_bulk(config_of(tmp_path, url), Port) as bulk:
            await bulk.add(Batch([lost]))

    with pytest.raises(Unavailable, match="network"):
        await load_lost()
    with pytest.raises(Unavailable, match="not there"):
        await open_store(config_of(tmp_path, url))


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """What a test starts, ended with it."""
    ledger = Ledger(tmp_path)
    yield ledger
    ledger.sweep()


async def test_the_api_works_on_it(tmp_path: Path, ledger: Ledger) -> None:
    """A region that starts on it lists, creates, counts and deletes over HTTP."""
    folder = tmp_path / "region"
    loaded = await load_into(folder, "")
    region = await asyncio.to_thread(
        lambda: start_region(tmp_path, ledger, store_url="", ncms=1, dataplanes=1, database=None)
    )
    headers = {"X-Auth-Token": region.token}
    async with httpx.AsyncClient(base_url=region.endpoint, headers=headers) as http:
        network_id = loaded.networks[3]
        [made] = await ApiLoader(http).create("port", [{"network_id": network_id}])
        gone = loaded.ports[3][500]
        shown = (await http.get(f"/v2.0/ports/{gone}")).json()["port"]
        by_address = {
            "fixed_ips": f"ip_address={shown['fixed_ips'][0]['ip_address']}",
            "network_id": network_id,
        }
        found = (await http.get("/v2.0/ports", params=by_address)).json()["ports"]
        deleted = await http.delete(f"/v2.0/ports/{gone}")
        again = await http.get(f"/v2.0/ports/{gone}")
        left = (await http.get("/v2.0/ports", params={"network_id": network_id, "fields": "id"})).json()[
            "ports"
        ]

    assert [port["id"] for port in found] == [gone]
    assert (deleted.status_code, again.status_code) == (204, 404)
    assert {port["id"] for port in left} == {*loaded.ports[3], made["id"]} - {gone}
