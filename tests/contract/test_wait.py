"""`?wait=` in real processes: one on SQLite, and five on PostgreSQL; real agents on simulated switches."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass
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

    async def clear(self) -> None:
        """End the agents, and leave nothing of this site."""
        for agent in self.agents.values():
            await agent.aclose()
        for port in (await self.ask("GET", "/v2.0/ports")).json()["ports"]:
            await self.ask("DELETE", f"/v2.0/ports/{port['id']}")
        for network in (await self.ask("GET", "/v2.0/networks")).json()["networks"]:
            await self.ask("DELETE", f"/v2.0/networks/{network['id']}")
        for host in (await self.ask("GET", "/hosts")).json()["hosts"]:
            await self.ask("DELETE", f"/hosts/{host['id']}")


@dataclass(frozen=True)
class Region:
    """Where a region is that several tests use one after the other."""

    data: Path
    token: str
    endpoints: list[str]


@pytest.fixture(scope="module", params=["one process", "roles apart"])
def region(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Region]:
    """A region without hosts."""
    folder = tmp_path_factory.mktemp("region")
    with ExitStack() as stack:
        if request.param == "one process":
            one = stack.enter_context(running_region(folder))
            yield Region(one.data, one.token, [one.endpoint])
            return
        apart = Apart(folder, server().dsn(asyncio.run(server().fresh())))
        stack.callback(apart.ledger.sweep)
        for name, role in (("dataplane", "dataplane"), ("ncm", "ncm"), ("api-1", "api"), ("api-2", "api")):
            apart.add(name, role)
        endpoints = [str(apart.processes[name].facts["endpoint"]) for name in ("api-1", "api-2")]
        yield Region(apart.data, (apart.data / "admin.token").read_text().strip(), endpoints)


@pytest.fixture
async def site(region: Region) -> AsyncIterator[Site]:
    """A region at work."""
    headers = {"X-Auth-Token": region.token}
    async with AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(
                httpx.AsyncClient(base_url=url, headers=headers, timeout=FOREVER_S * 2)
            )
            for url in region.endpoints
        ]
        found = Site(region.data, clients)
        try:
            await found.prepare()
            yield found
        finally:
            await found.clear()


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


async def test_every_part_of_a_partial_bulk_is_waited_for(site: Site) -> None:
    """The first item's host has it not, the last one concerns nobody."""
    site.switches["compute-3"].stop("a test")
    port = {"network_id": site.network["id"], "binding:host_id": "compute-3"}
    others = await site.make("/v2.0/networks", "network", name="others")

    answer = await site.ask(
        "POST", "/v2.0/ports", {"ports": [port, {"network_id": others["id"]}]}, wait=0.5, partial=True
    )

    first = answer.json()["ports"][0]["port"]
    assert answer.headers["x-alcor-wait"] == "incomplete"
    assert answer.headers["x-alcor-missing"].startswith("compute-3 (behind by ")
    site.switches["compute-3"].start()
    await _until_everywhere(site, first)


async def test_a_write_that_changes_nothing_is_told_of_its_row(site: Site) -> None:
    """Who says it again is told of the hosts that lack it, though something else was written meanwhile."""
    site.switches["compute-3"].stop("a test")
    path, said = f"/v2.0/networks/{site.network['id']}", {"network": {"mtu": 1400}}
    first = await site.ask("PUT", path, said, wait=0.2)
    await site.make("/v2.0/networks", "network", name="unused")

    again = await site.ask("PUT", path, said, wait=0.2)
    site.switches["compute-3"].start()
    at_last = await site.ask("PUT", path, said, wait=FOREVER_S)

    realized = [answer.headers["x-alcor-realized"] for answer in (first, again, at_last)]
    assert realized == ["2/3", "2/3", "3/3"]


async def _until_everywhere(site: Site, port: Mapping[str, Any]) -> None:
    """Wait until no host lacks a port."""
    async with asyncio.timeout(FOREVER_S):
        while await _missing(site, port):  # noqa: ASYNC110 - what is awaited is in other processes
            await asyncio.sleep(0.05)


async def _missing(site: Site, port: Mapping[str, Any]) -> list[dict[str, str]]:
    answer = await site.ask("GET", f"/v2.0/ports/{port['id']}/data-plane")
    missing: list[dict[str, str]] = answer.json()["data_plane"]["missing"]
    return missing
