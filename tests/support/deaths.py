"""A whole region of real parts, any of which can be killed: database, brokers, api, dataplanes, ncms; real agents."""

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import httpx

from alcor import __version__
from alcor.agent.driver import FlowDiff
from alcor.agent.service import Agent
from alcor.agent.simulated import SimulatedSwitch
from alcor.bus.codec import ProtobufCodec
from alcor.bus.fallback import FallbackConnector
from alcor.bus.grpc_client import GrpcConnector
from alcor.bus.interface import AgentConnector, AgentMessage, AgentStream, NcmMessage
from alcor.goalstate.compile import compile as compile_states
from alcor.goalstate.intent import ENTITIES, Intent
from alcor.goalstate.scope import Scope
from alcor.lab.command import LabError
from alcor.pipeline.flow import FlowKey
from alcor.pipeline.resolve import closure, resolve
from alcor.pipeline.text import render
from alcor.runtime.config import RegionConfig
from alcor.runtime.region import region_item
from alcor.store.postgres import PostgresStore
from alcor.store.postgres.identity import FORGET
from tests.support.apart import Apart, RoleProcess
from tests.support.nats import Cluster, a_cluster, free_ports
from tests.support.postgres import Server, start_server
from tests.support.sim.check import differences

HOSTS = ("compute-1", "compute-2", "compute-3")
CONVERGED_WITHIN_S = 60.0
# Ports that the stream of changes keeps at most.
PORTS_MAX = 12


class WatchedSwitch(SimulatedSwitch):
    """A switch that notes if a flow which must stay goes. `kept`: those; `torn`: what went.

    may_remove: whether its agent knows enough to remove anything; `removed_early`: what it removed before.
    """

    def __init__(self, name: str, may_remove: Callable[[], bool]) -> None:
        super().__init__(name)
        self._may_remove = may_remove
        self.removed_early: list[str] = []
        self.kept: set[FlowKey] = set()
        self.torn: list[str] = []

    def keep(self, macs: Sequence[str]) -> None:
        """From here on flows of these MACs must stay."""
        self.kept = {
            key for key, flow in self.tables.flows.items() if any(mac in render(flow) for mac in macs)
        }

    async def apply(self, diff: FlowDiff) -> None:
        """As the driver says."""
        if not self._may_remove():
            self.removed_early += map(str, diff.remove)
        await super().apply(diff)
        self.torn += [str(key) for key in self.kept - self.tables.flows.keys()]


class WatchedStream:
    """A stream whose agent is looked at after each batch it took in."""

    def __init__(self, inner: AgentStream, look: Callable[[], None]) -> None:
        self._inner, self._look = inner, look

    async def send(self, message: AgentMessage) -> None:
        """As the protocol says."""
        await self._inner.send(message)

    async def receive(self) -> AsyncIterator[Sequence[NcmMessage]]:
        """As the protocol says."""
        async for batch in self._inner.receive():
            yield batch
            self._look()

    async def close(self) -> None:
        """As the protocol says."""
        await self._inner.close()


@dataclass
class Machine:
    """A host: its real agent and its switch. `backwards`: positions that went back, and must not have."""

    host: dict[str, Any]
    connector: AgentConnector

    def __post_init__(self) -> None:
        self.switch = WatchedSwitch(self.host["name"], lambda: bool(self.agent.status()["in_sync"]))
        self.backwards: list[str] = []
        self._seen: dict[Scope, tuple[int, int]] = {}
        self._task: asyncio.Task[None] | None = None
        self.agent = self._new_agent()

    def _new_agent(self) -> Agent:
        return Agent(
            self,
            self.switch,
            ProtobufCodec(),
            host_id=self.host["id"],
            token=lambda: str(self.host["token"]),
            version=__version__,
            now_ms=lambda: time.time_ns() / 1e6,
            random=random.random,
        )

    async def connect(self) -> AgentStream:
        """As `AgentConnector`."""
        return WatchedStream(await self.connector.connect(), self.look)

    def look(self) -> None:
        """Compare what the agent holds with what it held."""
        hello = self.agent.hello()
        now = {scope: (hello.epoch, through) for scope, through in hello.positions.items()}
        self.backwards += [
            f"{self.host['name']}: {scope} from {self._seen[scope]} to {reached}"
            for scope, reached in now.items()
            if reached < self._seen.get(scope, reached)
        ]
        self._seen = now

    def has_flows_of(self, port: dict[str, Any]) -> bool:
        """Whether a flow of the port's MAC is in the switch."""
        return any(port["mac_address"] in render(flow) for flow in self.switch.tables.flows.values())

    def start(self) -> None:
        """Start the agent, or a new one on the same switch."""
        if self._task is not None:
            self.agent, self._seen = self._new_agent(), {}
        self._task = asyncio.create_task(self.agent.run())

    async def stop(self) -> None:
        """End the agent; the switch stays as it is."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)


class Stage:
    """The region, its hosts and who uses it."""

    def __init__(self, apart: Apart, postgres: Server, cluster: Cluster) -> None:
        self.apart, self.postgres, self.cluster = apart, postgres, cluster
        self.machines: dict[str, Machine] = {}
        self.ports: list[dict[str, Any]] = []
        self.network: dict[str, Any] = {}
        self.changes = 0
        self.changing: asyncio.Task[None]
        self._random = random.Random(1)
        self._resumed = asyncio.Event()
        self._idle = asyncio.Event()

    # --- requests ---

    async def request(self, method: str, path: str, body: Any = None, missing_ok: bool = False) -> Any:
        """Ask the API processes in turn until one has done it; what was done twice is found later. Raises: LabError."""
        token = (self.apart.data / "admin.token").read_text().strip()
        deadline, said = time.monotonic() + CONVERGED_WITHIN_S, ""
        while time.monotonic() < deadline:
            for name in ("api-1", "api-2"):
                process = self.apart.processes[name]
                with contextlib.suppress(httpx.TransportError, FileNotFoundError):
                    url = f"{process.facts['endpoint']}{path}"
                    async with httpx.AsyncClient(headers={"X-Auth-Token": token}, timeout=10) as client:
                        answer = await client.request(method, url, json=body)
                    if answer.is_success:
                        return answer.json() if answer.content else {}
                    if missing_ok and answer.status_code == 404:
                        return {}
                    said = f"{answer.status_code} {answer.text}"
                    if answer.status_code < 500:
                        raise LabError(f"{method} {path}: {said}")
            await asyncio.sleep(0.05)
        raise LabError(f"{method} {path}: {said or 'no API process answered'}")

    async def make(self, path: str, member: str, **attributes: Any) -> dict[str, Any]:
        """A row."""
        made: dict[str, Any] = (await self.request("POST", path, {member: attributes}))[member]
        return made

    async def port(self, host: str) -> dict[str, Any]:
        """A plugged port."""
        binding = {"binding:host_id": host}
        port = await self.make("/v2.0/ports", "port", network_id=self.network["id"], **binding)
        self.machines[host].switch.plug(port["id"])
        return port

    # --- a stream of changes ---

    async def change(self) -> None:
        """One change after the other, while `resume`d."""
        while True:
            self._idle.set()
            await self._resumed.wait()
            self._idle.clear()
            await self._change()
            self.changes += 1

    async def _change(self) -> None:
        dice = self._random.random()
        if len(self.ports) < PORTS_MAX and (dice < 0.5 or not self.ports):
            self.ports.append(await self.port(self._random.choice(HOSTS)))
        elif dice < 0.75:
            port = self._random.choice(self.ports)
            is_up = self._random.random() < 0.5
            await self.request("PUT", f"/v2.0/ports/{port['id']}", {"port": {"admin_state_up": is_up}})
        else:
            port = self.ports.pop(self._random.randrange(len(self.ports)))
            await self.remove(port)

    async def remove(self, port: dict[str, Any]) -> None:
        """Remove a port and its VIF."""
        await self.request("DELETE", f"/v2.0/ports/{port['id']}", missing_ok=True)
        self.machines[port["binding:host_id"]].switch.unplug(port["id"])

    def resume(self) -> None:
        """Let the stream of changes go on."""
        self._resumed.set()

    async def pause(self) -> None:
        """Wait until the change that is being made is made, and make no more."""
        self._resumed.clear()
        await self._idle.wait()

    async def changed(self, count: int) -> None:
        """Wait until so many more changes were made. Raises: LabError, or what ended the changes."""
        wanted, deadline = self.changes + count, time.monotonic() + CONVERGED_WITHIN_S
        while self.changes < wanted:
            if self.changing.done():
                self.changing.result()
            if time.monotonic() > deadline:
                raise LabError(f"the region took {count - (wanted - self.changes)} of {count} changes")
            await asyncio.sleep(0.02)

    @staticmethod
    def can_change(dead: Sequence[str]) -> bool:
        """Whether the API takes changes while these are dead."""
        return "database" not in dead

    async def uses_the_broker(self) -> None:
        """Make changes until steps went by the broker, as they do in a region at work. Raises: LabError."""
        deadline = time.monotonic() + CONVERGED_WITHIN_S
        self.resume()
        while not await asyncio.to_thread(self._sent_by_broker):
            if time.monotonic() > deadline:
                raise LabError("nothing goes by the broker")
            await self.changed(1)
        await self.pause()

    def _sent_by_broker(self) -> bool:
        pages = [
            httpx.get(f"{self.apart.processes[name].facts['operations']}/metrics", timeout=10).text
            for name in ("dataplane-1", "dataplane-2")
        ]
        lines = [line for page in pages for line in page.splitlines()]
        return any(
            line.startswith("alcor_bus_steps_total{")
            and 'path="normal"' in line
            and not line.endswith(" 0.0")
            for line in lines
        )

    # --- deaths ---

    async def forget_the_past(self) -> None:
        """Cut the change log at the head, as retention does when its days are over."""
        connection = await asyncpg.connect(self.apart.dsn)
        try:
            last = "SELECT revision, snap, at_ms FROM revision ORDER BY revision DESC LIMIT 1"
            revision, snap, at_ms = await connection.fetchrow(last)
            await connection.execute(FORGET, revision, snap, str(at_ms))
        finally:
            await connection.close()

    def kill(self, part: str) -> None:
        """kill -9 of a part."""
        if part == "database":
            self.postgres.kill()
        elif part == "broker":
            self.cluster.nodes[0].kill()
        else:
            self.apart.processes[part].kill()

    def restart(self, part: str) -> None:
        """Start it again and wait until it serves."""
        if part == "database":
            self.postgres.start()
        elif part == "broker":
            self.cluster.start()
        else:
            self._supervise(self.apart.processes[part])

    def _supervise(self, process: RoleProcess) -> None:
        """Start a process, again if it ends at its start: a supervisor would. Raises: LabError."""
        deadline = time.monotonic() + CONVERGED_WITHIN_S
        while True:
            try:
                return self.apart.restart(process)
            except LabError:
                if time.monotonic() > deadline:
                    raise

    # --- what must be so ---

    async def wrong(self) -> list[str]:
        """What at the hosts is not what the rows of the database say."""
        store = await PostgresStore.open(self.apart.dsn, writers=2, readers=2)
        try:
            image = await store.image(list(ENTITIES))
        finally:
            await store.close()
        rows = [row for several in image.rows.values() for row in several]
        states = compile_states(Intent.of(region_item(RegionConfig()), rows))
        found: list[str] = []
        for name, machine in self.machines.items():
            hello = machine.agent.hello()
            wanted = set(closure(states, machine.host["id"]))
            if set(hello.positions) != wanted:
                found.append(
                    f"{name} holds {sorted(map(str, set(hello.positions) ^ wanted))} too much or not"
                )
            late = [str(scope) for scope, at in hello.positions.items() if at < image.position.revision]
            found += [f"{name} is behind {image.position.revision}: {late}"] if late else []
            found += differences(resolve(states, machine.host["id"]), machine.switch, name)
        return found

    async def converged(self) -> None:
        """Wait until everything is as it must be. Raises: LabError that says what is not."""
        deadline = time.monotonic() + CONVERGED_WITHIN_S
        while found := await self.wrong():
            if time.monotonic() > deadline:
                raise LabError("not converged: " + "; ".join(found))
            await asyncio.sleep(0.1)


@asynccontextmanager
async def a_stage(folder: Path) -> AsyncIterator[Stage]:
    """PostgreSQL, three NATS nodes, two of each role, agents of `HOSTS` in sync; a stream of changes, paused."""
    async with AsyncExitStack() as stack:
        postgres = start_server()
        stack.callback(postgres.stop)
        cluster = await stack.enter_async_context(a_cluster(3))
        apart = Apart(folder, postgres.dsn(await postgres.fresh()))
        stack.push_async_callback(asyncio.to_thread, apart.ledger.sweep)
        config = folder / "alcor.toml"
        servers = ", ".join(f'"{url}"' for url in cluster.urls)
        config.write_text(f"[bus]\nbroker = [{servers}]\nnormal_from = 2\nfast_below = 2\n")
        places = [f"127.0.0.1:{port}" for port in free_ports(2)]
        flags = ("--config", str(config))
        for number, place in enumerate(places, start=1):
            listen = ("--bus-listen", place)
            await asyncio.to_thread(apart.add, f"dataplane-{number}", "dataplane", flags=(*flags, *listen))
        for number in (1, 2):
            own = ("--dataplane", ",".join(places), "--agents-socket", str(folder / f"ncm-{number}.sock"))
            await asyncio.to_thread(apart.add, f"ncm-{number}", "ncm", flags=(*flags, *own))
            await asyncio.to_thread(apart.add, f"api-{number}", "api", flags=flags)
        stage = Stage(apart, postgres, cluster)
        await _populate(stage, stack)
        stage.changing = asyncio.create_task(stage.change())
        try:
            yield stage
        finally:
            stage.changing.cancel()
            await asyncio.gather(stage.changing, return_exceptions=True)


async def _populate(stage: Stage, stack: AsyncExitStack) -> None:
    stage.network = await stage.make("/v2.0/networks", "network", name="red")
    network_id = stage.network["id"]
    await stage.make("/v2.0/subnets", "subnet", network_id=network_id, cidr="10.0.0.0/24", ip_version=4)
    sockets = [f"unix:{stage.apart.folder}/ncm-{number}.sock" for number in (1, 2)]
    for number, name in enumerate(HOSTS, start=1):
        host = await stage.make("/hosts", "host", name=name, vtep_addresses=[f"192.0.2.{number}"])
        order = sockets if number % 2 else sockets[::-1]
        connectors = [GrpcConnector(socket, connect_s=1.0) for socket in order]
        machine = Machine(host, FallbackConnector(connectors, clock=time.monotonic))
        stage.machines[name] = machine
        machine.start()
        stack.push_async_callback(machine.stop)
    standing = [await stage.port(name) for name in HOSTS]
    await stage.converged()
    for machine in stage.machines.values():
        machine.switch.keep([port["mac_address"] for port in standing])
