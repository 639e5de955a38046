"""`?wait=` in real processes: one on SQLite, and five on PostgreSQL; real agents on simulated switches."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from alcor.agent.simulated import SimulatedSwitch
from alcor.pipeline.text import render
from tests.support.apart import Apart, an_agent
from tests.support.postgres import server
from tests.support.region import running_region

HOSTS = ("compute-1", "compute-2", "compute-3")
FOREVER_S = 60  # of a wait that has to end by itself


class Site:
    """A region with three hosts, each with a port of one network, and a client of each of its API processes."""

    def __init__(self, data: Path, clients: list[httpx.AsyncClient]) -> None:
        self._data, self._clients = data, clients
        self.agents: dict[str, AsyncExitStack] = {}
        self.switches: dict[str, SimulatedSwitch] = {}
        self.hosts: dict[str, dict[str, Any]] = {}
        self.network: dict[str, Any] = {}
        self._asked = 0

    async def ask(self, method: str, path: str, body: Any = None, **query: Any) -> httpx.Response:
        """A request of the API processes in turn; it has to succeed."""
        self._asked += 1
        client = self._clients[self._asked % len(self._clients)]
        answer = await client.request(method, path, json=body, params=query)
        assert answer.is_success, answer.text
        return answer

    async def make(self, path: str, member: str, **attributes: Any) -> dict[str, Any]:
        """A row."""
        made: dict[str, Any] = (await self.ask("POST", path, {member: attributes})).json()[member]
        return made

    async def port(self, host: str, **query: Any) -> httpx.Response:
        """A port on a host."""
        body = {"port": {"network_id": self.network["id"], "binding:host_id": host}}
        return await self.ask("POST", "/v2.0/ports", body, **query)

    async def attach(self, name: str) -> None:
        """Start a host's agent."""
        stack = self.agents[name] = AsyncExitStack()
        self.switches[name] = await stack.enter_async_context(an_agent(self._data, self.hosts[name]))

    async def detach(self, name: str) -> None:
        """End a host's agent; its switch stays as it is."""
        await self.agents.pop(name).aclose()

    def holders(self, port: Mapping[str, Any]) -> set[str]:
        """The hosts whose switch has flows of a port's MAC."""
        mac = port["mac_address"]
        return {
            name
            for name, switch in self.switches.items()
            if any(mac in render(flow) for flow in switch.tables.flows.values())
        }

    async def prepare(self) -> None:
        """Hosts, agents, and a plugged port on each, so that each knows the network."""
        self.network = await self.make("/v2.0/networks", "network", name="red")
        await self.make(
            "/v2.0/subnets", "subnet", network_id=self.network["id"], cidr="10.0.0.0/24", ip_version=4
        )
        for number, name in enumerate(HOSTS, start=1):
            self.hosts[name] = await self.make(
                "/hosts", "host", name=name, vtep_addresses=[f"192.0.2.{number}"]
            )
            await self.attach(name)
            port = (await self.port(name)).json()["port"]
            self.switches[name].plug(port["id"])
            async with asyncio.timeout(FOREVER_S):
                while name not in self.holders(port):  # noqa: ASYNC110 - an agent of this process works at it
                    await asyncio.sleep(0.01)


@pytest.fixture(params=["one process", "roles apart"])
async def site(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Site]:
    """A region at work."""
    async with AsyncExitStack() as stack:
        if request.param == "one process":
            region = stack.enter_context(running_region(tmp_path))
            data, token, endpoints = region.data, region.token, [region.endpoint]
        else:
            apart = await _apart(tmp_path, stack)
            data, token = apart.data, (apart.data / "admin.token").read_text().strip()
            endpoints = [str(apart.processes[name].facts["endpoint"]) for name in ("api-1", "api-2")]
        clients = [
            await stack.enter_async_context(
                httpx.AsyncClient(base_url=url, headers={"X-Auth-Token": token}, timeout=FOREVER_S * 2)
            )
            for url in endpoints
        ]
        found = Site(data, clients)
        try:
            await found.prepare()
            yield found
        finally:
            for agent in found.agents.values():
                await agent.aclose()


async def _apart(folder: Path, stack: AsyncExitStack) -> Apart:
    postgres = server()
    apart = Apart(folder, postgres.dsn(await postgres.fresh()))
    stack.push_async_callback(asyncio.to_thread, apart.ledger.sweep)
    for name, role in (("dataplane", "dataplane"), ("ncm", "ncm"), ("api-1", "api"), ("api-2", "api")):
        await asyncio.to_thread(apart.add, name, role)
    return apart


async def test_a_wait_ends_after_the_barriers_of_all_its_hosts(site: Site) -> None:
    """When it says 3/3, all three switches have the change, and when it says so of a deletion, none has (I14)."""
    for host in HOSTS * 3:
        answer = await site.port(host, wait=FOREVER_S, details=True)

        port, told = answer.json()["port"], answer.json()["data_plane"]
        assert site.holders(port) == set(HOSTS)
        assert (answer.headers["x-alcor-realized"], answer.headers["x-alcor-wait"]) == ("3/3", "complete")
        assert (told["hosts_intended"], told["hosts_actual"], told["missing"]) == (3, 3, [])
        stages = ["commit", "follow", "compile", "publish", "receive", "install", "ack", "total"]
        assert list(told["stages_ms"]) == stages
        assert all(ms >= 0 for ms in told["stages_ms"].values())

        gone = await site.ask("DELETE", f"/v2.0/ports/{port['id']}", wait=FOREVER_S)
        assert (gone.headers["x-alcor-realized"], site.holders(port)) == ("3/3", set())


async def test_many_waits_at_once(site: Site) -> None:
    """Each is told of its own revision, and what it says is true when it says it."""

    async def one(host: str) -> None:
        answer = await site.port(host, wait=FOREVER_S)
        assert answer.headers["x-alcor-wait"] == "complete", dict(answer.headers)
        assert site.holders(answer.json()["port"]) == set(HOSTS)

    await asyncio.gather(*(one(host) for host in HOSTS * 6))


async def test_a_stopped_agent_is_named_and_comes_back(site: Site) -> None:
    """Its host is not waited for; once its agent is back the object's counts are whole again."""
    stopped = site.hosts["compute-2"]
    await site.detach("compute-2")

    answer = await site.port("compute-1", wait=FOREVER_S)
    port = answer.json()["port"]
    assert answer.headers["x-alcor-realized"] == "2/3"
    assert answer.headers["x-alcor-wait"] == "incomplete"
    assert answer.headers["x-alcor-missing"] == f"{stopped['name']} (down)"
    assert site.holders(port) == {"compute-1", "compute-3"}
    assert await _missing(site, port) == [{"host": "compute-2", "reason": "down"}]

    await site.attach("compute-2")
    await _until_everywhere(site, port)
    listed = await site.ask("GET", "/v2.0/ports", id=port["id"], fields=["data_plane"])
    counts = listed.json()["ports"][0]["data_plane"]
    assert (counts["hosts_intended"], counts["hosts_actual"]) == (3, 3)


async def test_a_host_that_never_came_is_not_waited_for(site: Site) -> None:
    """A host without an agent, and a change that concerns only it."""
    await site.make("/hosts", "host", name="compute-4", vtep_addresses=["192.0.2.4"])

    answer = await site.port("compute-4", wait=FOREVER_S, details=True)

    assert answer.headers["x-alcor-missing"] == "compute-4 (not attached)"
    assert answer.headers["x-alcor-realized"] == "3/4"
    network = await site.make("/v2.0/networks", "network", name="unused")
    unused = await site.ask(
        "PUT", f"/v2.0/networks/{network['id']}", {"network": {"mtu": 1400}}, wait=FOREVER_S
    )
    assert (unused.headers["x-alcor-realized"], unused.headers["x-alcor-wait"]) == ("0/0", "complete")


async def test_the_time_ends_a_wait(site: Site) -> None:
    """A switch that is away leaves its host behind; the answer comes in time and says by how much."""
    site.switches["compute-3"].stop("a test")

    answer = await site.port("compute-1", wait=0.5)

    assert answer.headers["x-alcor-realized"] == "2/3"
    assert answer.headers["x-alcor-missing"].startswith("compute-3 (behind by ")
    site.switches["compute-3"].start()
    await _until_everywhere(site, answer.json()["port"])


async def _until_everywhere(site: Site, port: Mapping[str, Any]) -> None:
    """Wait until no host lacks a port."""
    async with asyncio.timeout(FOREVER_S):
        while await _missing(site, port):  # noqa: ASYNC110 - what is awaited is in other processes
            await asyncio.sleep(0.05)


async def _missing(site: Site, port: Mapping[str, Any]) -> list[dict[str, str]]:
    answer = await site.ask("GET", f"/v2.0/ports/{port['id']}/data-plane")
    missing: list[dict[str, str]] = answer.json()["data_plane"]["missing"]
    return missing
