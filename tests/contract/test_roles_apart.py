"""A region of several processes on one PostgreSQL: each role killed and started again; the database away."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from alcor.agent.simulated import SimulatedSwitch
from alcor.lab.command import LabError
from alcor.model.token import Token
from alcor.pipeline.text import render
from alcor.runtime.identity import digest, ensure_admin_token, token_path
from alcor.store.postgres import PostgresStore
from tests.support.apart import ANY_PORT, Apart, RoleProcess, an_agent, until
from tests.support.postgres import Server, server


@pytest.fixture
async def region(tmp_path: Path) -> AsyncIterator[Apart]:
    """An empty database and no process yet."""
    postgres = server()
    region = Apart(tmp_path, postgres.dsn(await postgres.fresh()))
    try:
        yield region
    finally:
        await asyncio.to_thread(region.ledger.sweep)


async def started(region: Apart) -> None:
    """Two api processes, a dataplane and an ncm."""
    for name, role in (("dataplane", "dataplane"), ("ncm", "ncm"), ("api-1", "api"), ("api-2", "api")):
        await asyncio.to_thread(region.add, name, role)


class Tenant:
    """Somebody who uses the region from outside: one network, one host, ports that come and go."""

    def __init__(self, region: Apart) -> None:
        self.region = region
        self.network = self._create("api-1", "v2.0/networks", "network", name="red")
        self._create(
            "api-1",
            "v2.0/subnets",
            "subnet",
            network_id=self.network["id"],
            cidr="10.0.0.0/24",
            ip_version=4,
        )
        self.host = self._create("api-2", "hosts", "host", name="compute-1", vtep_addresses=["192.0.2.1"])

    def _create(self, api: str, collection: str, member: str, **attributes: Any) -> dict[str, Any]:
        with self.region.client(api) as client:
            return client.create(collection, member, **attributes)

    def create_port(self, api: str) -> dict[str, Any]:
        """A port on the host."""
        host = {"binding:host_id": "compute-1"}
        return self._create(api, "v2.0/ports", "port", network_id=self.network["id"], **host)

    def waited(self, api: str, port: dict[str, Any]) -> str:
        """What a change that waits for hosts is answered of them."""
        answer = httpx.put(
            f"{self.region.processes[api].facts['endpoint']}/v2.0/ports/{port['id']}?wait=10",
            json={"port": {"description": "waited for"}},
            headers={"X-Auth-Token": (self.region.data / "admin.token").read_text().strip()},
            timeout=30,
        )
        return str(answer.headers["X-Alcor-Wait"])

    def delete_port(self, api: str, port: dict[str, Any]) -> None:
        """Remove a port."""
        with self.region.client(api) as client:
            client.delete("v2.0/ports", port["id"])

    def trace(self, api: str, source: dict[str, Any], target: dict[str, Any]) -> dict[str, Any]:
        """One imaginary ping, also asked of the hosts' own switches."""
        question = {"port_id": source["id"], "destination_port_id": target["id"], "actual": True}
        with self.region.client(api) as client:
            return client.create("v2.0/traces", "trace", **question)

    def status(self, api: str, port: dict[str, Any]) -> str:
        """The port's status as this API process shows it; what it cannot say now is empty."""
        try:
            with self.region.client(api) as client:
                return str(client.show(f"v2.0/ports/{port['id']}")["port"]["status"])
        except (LabError, httpx.TransportError):
            return ""


def head_of(region: Apart, api: str) -> float:
    """The last revision that an API process knows of, by its metrics; -1 if it tells none."""
    lines = httpx.get(f"{region.processes[api].facts['operations']}/metrics", timeout=10).text.splitlines()
    name = 'alcor_revision{part="store"} '
    return next((float(line.removeprefix(name)) for line in lines if line.startswith(name)), -1.0)


def has_flows_of(switch: SimulatedSwitch, port: dict[str, Any]) -> bool:
    """Whether frames of the port's MAC have a flow of their own in the switch."""
    return any(port["mac_address"] in render(flow) for flow in switch.tables.flows.values())


async def plugged(tenant: Tenant, switch: SimulatedSwitch, api: str) -> dict[str, Any]:
    """A port whose VIF is there."""
    port = await asyncio.to_thread(tenant.create_port, api)
    switch.plug(port["id"])
    return port


async def active(tenant: Tenant, switch: SimulatedSwitch, port: dict[str, Any], *apis: str) -> None:
    """Wait until the port works and each of some API processes says so."""
    for api in apis:
        await until(
            f"{port['id']} to be ACTIVE in {api}",
            lambda api=api: tenant.status(api, port) == "ACTIVE",  # type: ignore[misc]  # bound now
        )
    assert has_flows_of(switch, port)


async def forgotten(switch: SimulatedSwitch, port: dict[str, Any]) -> None:
    """Wait until nothing is left of the port."""
    await until("flows of the deleted port to go", lambda: not has_flows_of(switch, port))


async def test_what_one_process_takes_another_delivers_and_a_third_shows(region: Apart) -> None:
    """A port created through one API is listed by the other, programmed by the agent, and ACTIVE in both."""
    await started(region)
    tenant = await asyncio.to_thread(Tenant, region)
    async with an_agent(region.data, tenant.host) as switch:
        port = await plugged(tenant, switch, "api-1")
        with region.client("api-2") as client:
            listed = await asyncio.to_thread(client.show, "v2.0/ports")
        assert [each["id"] for each in listed["ports"]] == [port["id"]]

        await active(tenant, switch, port, "api-1", "api-2")
        assert {name: process.health() for name, process in region.processes.items()} == dict.fromkeys(
            region.processes, (200, {})
        )
        # Whoever numbers the commits, each API process knows the head: tools that see only one measure by it.
        await until(
            "both API processes to tell one head",
            lambda: len({head_of(region, api) for api in ("api-1", "api-2")}) == 1,
        )
        assert head_of(region, "api-1") > 1
    statuses = [await asyncio.to_thread(process.stop) for process in region.processes.values()]
    assert statuses == [0, 0, 0, 0]


async def test_a_trace_through_all_processes(region: Apart) -> None:
    """Any API process answers a trace: the dataplane walks it, and the host's own switch says that it does the same."""
    await started(region)
    tenant = await asyncio.to_thread(Tenant, region)
    async with an_agent(region.data, tenant.host) as switch:
        source, target = await plugged(tenant, switch, "api-1"), await plugged(tenant, switch, "api-2")
        for port in (source, target):
            await active(tenant, switch, port, "api-1")

        trace = await asyncio.to_thread(tenant.trace, "api-2", source, target)

    assert (trace["verdict"], trace["port_id"], trace["agrees"]) == ("delivered", target["id"], True)
    assert [look["found"] for look in trace["actual"]] == [
        [{"kind": "port", "to": target["id"]}],
        [{"kind": "port", "to": source["id"]}],
    ]


async def test_each_role_is_killed_and_started_again(region: Apart) -> None:
    """Whichever process dies, what was done meanwhile is delivered after its return, and what stood works on."""
    await started(region)
    tenant = await asyncio.to_thread(Tenant, region)
    async with an_agent(region.data, tenant.host) as switch:
        first = await plugged(tenant, switch, "api-1")
        doomed = await plugged(tenant, switch, "api-2")
        await active(tenant, switch, first, "api-1")
        await active(tenant, switch, doomed, "api-1")
        for name in ("dataplane", "ncm", "api-1"):
            process = region.processes[name]
            process.kill()
            born = await plugged(tenant, switch, "api-2")
            await asyncio.to_thread(tenant.delete_port, "api-2", doomed)
            assert has_flows_of(switch, first)  # nobody tore down what works
            await asyncio.to_thread(region.restart, process)

            await active(tenant, switch, born, "api-1", "api-2")
            await active(tenant, switch, first, "api-1", "api-2")
            await forgotten(switch, doomed)
            doomed = born


async def test_hosts_of_a_dead_ncm_are_down_until_it_is_back(region: Apart) -> None:
    """When the ncm dies and stays away its hosts are shown DOWN; when it is back they are UP and ports ACTIVE again."""
    await started(region)
    tenant = await asyncio.to_thread(Tenant, region)

    def shown() -> str:
        with region.client("api-2") as client:
            return str(client.show(f"hosts/{tenant.host['id']}")["host"]["status"])

    async with an_agent(region.data, tenant.host) as switch:
        port = await plugged(tenant, switch, "api-1")
        await active(tenant, switch, port, "api-1")
        region.processes["ncm"].kill()
        await until("the host to be DOWN", lambda: shown() == "DOWN")
        assert tenant.status("api-1", port) == "DOWN"
        await asyncio.to_thread(region.restart, region.processes["ncm"])

        await until("the host to be UP", lambda: shown() == "UP")
        await active(tenant, switch, port, "api-1", "api-2")


@pytest.mark.parametrize("end", [RoleProcess.kill, RoleProcess.freeze], ids=["killed", "frozen"])
async def test_a_second_dataplane_shares_and_takes_over(
    region: Apart, end: Callable[[RoleProcess], None]
) -> None:
    """A dataplane that joins takes its half of the shards; when one is lost the other has all, all works on, and API
    processes ask the one that lives, though the other one is what their own machine's socket leads to."""
    await started(region)
    tenant = await asyncio.to_thread(Tenant, region)
    spare = await asyncio.to_thread(region.add, "spare", "dataplane")
    first_one = region.processes["dataplane"]

    await until("both to have half", lambda: [shards_of(each) for each in (spare, first_one)] == [32, 32])
    assert spare.health() == first_one.health() == (200, {})
    async with an_agent(region.data, tenant.host) as switch:
        first = await plugged(tenant, switch, "api-1")
        await active(tenant, switch, first, "api-1")
        end(first_one)

        port = await plugged(tenant, switch, "api-1")
        await active(tenant, switch, port, "api-1", "api-2")
        await active(tenant, switch, first, "api-1")
        assert (spare.health(), shards_of(spare)) == ((200, {}), 64)
        traced = await asyncio.to_thread(tenant.trace, "api-2", first, port)
        assert (traced["verdict"], traced["agrees"]) == ("delivered", True)
        assert await asyncio.to_thread(tenant.waited, "api-1", port) == "complete"


def shards_of(process: RoleProcess) -> int:
    """How many shards a dataplane says that it holds."""
    text = process.parts()["dataplane"]
    return int(text.removeprefix("holds ").partition(" ")[0]) if text.startswith("holds") else 0


async def test_the_database_goes_away_and_comes_back(region: Apart) -> None:
    """While the database is away health says so and traffic goes on; when it is back all works again by itself."""
    await started(region)
    tenant = await asyncio.to_thread(Tenant, region)
    async with an_agent(region.data, tenant.host) as switch:
        first = await plugged(tenant, switch, "api-1")
        await active(tenant, switch, first, "api-1")
        await gone(server(), region.dsn)
        await until("the API to say so", lambda: region.processes["api-1"].health()[0] == 503)
        await until("the dataplane to say so", lambda: region.processes["dataplane"].health()[0] == 503)
        assert has_flows_of(switch, first)
        await back(server(), region.dsn)

        for name, process in region.processes.items():
            await until(f"{name} to be well", lambda process=process: process.health() == (200, {}))  # type: ignore[misc]  # bound now
        port = await plugged(tenant, switch, "api-2")
        await active(tenant, switch, port, "api-1", "api-2")
        await active(tenant, switch, first, "api-1")
        assert not any(process.has_ended for process in region.processes.values())


async def gone(postgres: Server, dsn: str) -> None:
    """Nobody can use the database any more."""
    name = dsn.rpartition("@/")[2].partition("?")[0]
    await postgres.admin(
        f"ALTER DATABASE {name} WITH ALLOW_CONNECTIONS false",
        f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'",
    )


async def back(postgres: Server, dsn: str) -> None:
    """It can be used again."""
    name = dsn.rpartition("@/")[2].partition("?")[0]
    await postgres.admin(f"ALTER DATABASE {name} WITH ALLOW_CONNECTIONS true")


async def test_a_whole_region_on_postgresql_can_grow(region: Apart) -> None:
    """One process with all roles is a region on PostgreSQL too; an ncm on a machine of its own joins by the secret."""
    whole = await asyncio.to_thread(region.add, "api-1", "api", "dataplane", "ncm")
    region.processes["api-2"] = whole
    tenant = await asyncio.to_thread(Tenant, region)
    elsewhere = region.folder / "elsewhere"
    found = next(address for address in whole.facts["bus"] if not address.startswith("unix:"))
    ncm = await asyncio.to_thread(
        lambda: region.add("ncm", "ncm", flags=("--dataplane", found), data=elsewhere)
    )
    status, missing = ncm.health()
    assert (status, "bus.secret is not there" in missing["bus"]) == (503, True)
    (elsewhere / "bus.secret").write_text((region.data / "bus.secret").read_text())
    await until("the ncm to be well", lambda: ncm.health() == (200, {}))

    for data in (elsewhere, region.data):  # the host moves from one ncm to the other
        async with an_agent(data, tenant.host) as switch:
            port = await plugged(tenant, switch, "api-1")
            await active(tenant, switch, port, "api-1")
    await asyncio.to_thread(ncm.stop)
    assert await asyncio.to_thread(whole.stop) == 0


# --- starting ----------------------------------------------------------------------------------------------


def alcor(*words: str) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    command = [sys.executable, "-m", "alcor.cli.main", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("role", ["api", "dataplane"])
def test_without_its_database_a_process_does_not_start(role: str, tmp_path: Path) -> None:
    """A database that cannot be reached at the start is a sentence and an exit status, not a trace."""
    nowhere = f"postgresql://alcor@/region?host={tmp_path}"

    refused = alcor("serve", "--role", role, "--data", str(tmp_path / "data"), "--store", nowhere)

    assert refused.returncode == 1
    assert "The database cannot be reached" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_url_that_is_no_database(tmp_path: Path) -> None:
    """What is not PostgreSQL is refused with the way to write it, and without repeating a password."""
    refused = alcor("up", "--data", str(tmp_path), "--store", "mysql://root:secret@host/db")

    assert refused.returncode == 1
    assert "postgresql://user@host/database" in refused.stderr
    assert "secret" not in refused.stderr + refused.stdout


@pytest.mark.parametrize("roles", [("dataplane",), ("api", "dataplane"), ("api", "ncm")])
def test_on_sqlite_roles_do_not_run_apart(roles: tuple[str, ...], tmp_path: Path) -> None:
    """Without PostgreSQL a process with some of the roles is refused with a sentence that names the two ways out."""
    words = [word for role in roles for word in ("--role", role)]

    refused = alcor("serve", *words, "--data", str(tmp_path / "data"), "--listen", ANY_PORT)

    assert refused.returncode == 1
    assert "PostgreSQL" in refused.stderr
    assert "alcor up" in refused.stderr


async def test_an_address_for_ncms_that_is_taken_is_a_sentence(region: Apart) -> None:
    """A dataplane whose address is in use ends at its start and names it."""
    first = await asyncio.to_thread(region.add, "api", "api")
    taken = str(first.facts["endpoint"]).removeprefix("http://")
    words = ("--data", str(region.folder / "other"), "--store", region.dsn, "--bus-listen", taken)

    refused = await asyncio.to_thread(alcor, "serve", "--role", "dataplane", *words)

    assert refused.returncode == 1
    assert f"cannot listen for ncms on {taken}" in refused.stderr


async def test_a_dataplane_with_a_secret_of_its_own_is_refused(region: Apart, tmp_path: Path) -> None:
    """It would hold a share of the shards that no ncm can have of it; beside a dead one it may be."""
    await asyncio.to_thread(region.add, "dataplane", "dataplane")
    words = ("serve", "--role", "dataplane", "--data", str(tmp_path / "other"), "--store", region.dsn)

    refused = await asyncio.to_thread(alcor, *words, "--bus-listen", ANY_PORT)

    assert refused.returncode == 1
    assert f"bus.secret_file = '{tmp_path}/other/bus.secret': the dataplane at 127.0.0.1:" in refused.stderr
    assert "Traceback" not in refused.stderr
    region.processes["dataplane"].kill()
    await asyncio.to_thread(region.add, "alone", "dataplane", data=tmp_path / "other")


@pytest.mark.parametrize("folders", [1, 3])
async def test_the_admin_token_is_made_once(region: Apart, folders: int) -> None:
    """Of processes that start at once, in one folder or several, one makes the token; no file holds another text."""
    places = [region.folder / str(number) for number in range(folders)]
    for place in places:
        place.mkdir()
    stores = [await PostgresStore.open(region.dsn, writers=2, readers=2) for _ in range(6)]
    try:
        texts = await asyncio.gather(
            *(ensure_admin_token(store, places[number % folders]) for number, store in enumerate(stores))
        )
        (token,) = await stores[0].reader.list(Token)
    finally:
        for store in stores:
            await store.close()

    found = {text for text in texts if text is not None}
    assert {digest(text) for text in found} == {token.digest}
    kept = {token_path(place).read_text().strip() for place in places if token_path(place).exists()}
    assert kept == found
