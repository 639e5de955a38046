"""One run: a region, a fleet, what is done to them, and what was seen."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import httpx

from alcor.lab.command import LabError
from alcor.lab.simulate.audit import compile_rows, read_rows
from alcor.lab.simulate.fleet import Fleet
from alcor.lab.simulate.load import Loaded, port_body
from alcor.lab.simulate.plan import NetworkPlan, Plan
from alcor.lab.simulate.region import Metrics, Region, Usage, head, scrape
from alcor.lab.simulate.wire import HostSpec, Seen, Told

SAMPLE_S = 0.5
_QUIET_S = 0.4
# Between looks at hosts that are waited for: a look costs hosts' workers some 20 µs for each that moved since.
_LOOK_AGAIN_S = 0.25
_REQUEST_S = 60.0
# Ports that are looked up at the end: that the region calls them ACTIVE.
_ACTIVE_SAMPLE = 20
_ACTIVE_WITHIN_S = 20.0
_CALLS_MAX = 64

Key = tuple[str, str, bool]
"""An item's change: (kind, id, gone)."""


@dataclass(slots=True)
class Change:
    """One call and what became of it. `monotonic` seconds. `told`: filled in when the hosts were asked."""

    what: str
    key: Key
    called_s: float
    answered_s: float
    told: Told | None = None
    address: str = ""

    @property
    def is_whole(self) -> bool:
        """Whether every host that got it confirmed it."""
        return self.told is not None and 0 < self.told.hosts == self.told.confirmed

    @property
    def total_ms(self) -> float:
        """From the call to the last acknowledgement."""
        assert self.told is not None
        return (self.told.last_confirmed_s - self.called_s) * 1_000

    def stages_ms(self) -> dict[str, float]:
        """call → answer, answer → first host, first → last host, arrival at the last → its acknowledgement."""
        told = self.told
        assert told is not None
        return {
            "call": (self.answered_s - self.called_s) * 1_000,
            # The first host may have it before the answer has reached us.
            "deliver": max(0.0, told.first_s - self.answered_s) * 1_000,
            "spread": (told.last_s - told.first_s) * 1_000,
            "install": max(0.0, told.last_confirmed_s - told.last_s) * 1_000,
        }


@dataclass(slots=True)
class Sample:
    """One look at everything. `at_s`: since the run began."""

    at_s: float
    phase: str
    head: int
    attached: int
    confirmed: int
    slowest: int
    slowest_name: str
    plugged: int
    flows: int
    items: int
    received: int
    sent: int
    rss: dict[str, int]
    cpu_s: dict[str, float]


@dataclass(slots=True)
class Phase:
    """One step of a run: its name, how long it took, and figures of its own."""

    name: str
    began_s: float
    elapsed_s: float = 0.0
    figures: dict[str, Any] = field(default_factory=dict)


@dataclass
class Run:
    """What workloads work with. Times are seconds since `began`."""

    plan: Plan
    region: Region
    fleet: Fleet
    http: httpx.AsyncClient
    shown: Callable[["Run"], None]
    deadline_s: float
    loaded: Loaded = field(default_factory=Loaded)
    began: float = field(default_factory=time.monotonic)
    phases: list[Phase] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    booted_ms: list[float] = field(default_factory=list)
    stages_ms: list[dict[str, float]] = field(default_factory=list)
    """Of calls that waited for hosts, as the region itself says where the time went."""
    install_ms: list[float] = field(default_factory=list)
    findings: list[str] = field(default_factory=list)
    usage: Usage = field(default_factory=Usage)
    alive: int = 0
    dead: frozenset[str] = frozenset()
    """Names of hosts whose agents are killed, or that never had any; `alive` counts the others."""
    audited: dict[str, Any] = field(default_factory=dict)
    metrics_begun: Metrics = field(default_factory=dict)
    metrics_ended: Metrics = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.random = random.Random(self.plan.seed)
        self.networks: list[NetworkPlan] = list(self.plan.networks())
        self.dead = frozenset(map(self.plan.host_name, range(self.plan.hosts, self.plan.hosts_there)))
        self._touched: set[str] = set()
        self._created: set[str] = set()
        self._looking = asyncio.Lock()

    # --- time ------------------------------------------------------------------------------------------

    @property
    def phase(self) -> str:
        """The present step's name."""
        return self.phases[-1].name if self.phases else "starting"

    async def step(self, name: str, work: Callable[[], Awaitable[dict[str, Any]]]) -> Phase:
        """Do one step of the run, and write down how long it took and what it says."""
        phase = Phase(name, time.monotonic() - self.began)
        self.phases.append(phase)
        self.usage.forget_memory()
        self.shown(self)
        phase.figures = await work()
        phase.elapsed_s = time.monotonic() - self.began - phase.began_s
        self.shown(self)
        return phase

    async def sample(self) -> Sample:
        """Look at hosts, revision and processes."""
        async with self._looking:
            at = await head(self.http, self.region)
            seen = await self.fleet.look(at)
            self.usage.sample(self.region.pids | self.fleet.pids)
            for each in seen:
                self.booted_ms += each.booted_ms
            sample = self._sample(at, seen)
            self.samples.append(sample)
        self.shown(self)
        return sample

    def _sample(self, at: int, seen: Sequence[Seen]) -> Sample:
        slowest = min(seen, key=lambda each: each.slowest if each.alive else float("inf"))
        return Sample(
            at_s=time.monotonic() - self.began,
            phase=self.phase,
            head=at,
            attached=sum(each.attached for each in seen),
            confirmed=sum(each.confirmed for each in seen),
            slowest=slowest.slowest,
            slowest_name=slowest.slowest_name,
            plugged=sum(each.plugged for each in seen),
            flows=sum(each.flows for each in seen),
            items=sum(each.items for each in seen),
            received=sum(each.received for each in seen),
            sent=sum(each.sent for each in seen),
            rss=dict(self.usage.rss),
            cpu_s=dict(self.usage.cpu_s),
        )

    async def keep_sampling(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            await self.sample()
            await asyncio.sleep(SAMPLE_S)

    # --- hosts -----------------------------------------------------------------------------------------

    def specs(self) -> list[HostSpec]:
        """All hosts; each attaches to one ncm and falls back to the next."""
        ncms = self.region.ncms
        return [
            HostSpec(id, name, token, tuple(ncms[(place + step) % len(ncms)] for step in range(len(ncms))))
            for place, (name, (id, token)) in enumerate(islice(self.loaded.hosts.items(), self.plan.hosts))
        ]

    async def boot(self, *, at_once_max: int) -> dict[str, Any]:
        """Start all hosts and wait until they have everything."""
        self.alive = self.plan.hosts
        before, began = self.booted_ms, time.monotonic()
        self.booted_ms = []
        await self.fleet.boot(self.specs(), at_once_max=at_once_max)
        sample = await self.converge()
        booted, self.booted_ms = self.booted_ms, before + self.booted_ms
        return {
            "hosts": self.plan.hosts,
            "all in sync after s": round(time.monotonic() - began - _QUIET_S, 2),
            "items": sample.items,
            "octets": sample.received,
            "boot_ms": booted,
        }

    async def converge(self) -> Sample:
        """Wait until every living host has confirmed the head in all its shards, and the head stands still.

        Raises: LabError naming the slowest host after the run's deadline.
        """
        deadline = time.monotonic() + self.deadline_s
        while True:
            first = await self.sample()
            if first.head >= 0 and first.confirmed == self.alive:
                await asyncio.sleep(_QUIET_S)
                second = await self.sample()
                if second.head == first.head and second.confirmed == self.alive:
                    return second
            if time.monotonic() > deadline:
                raise LabError(
                    f"not converged after {self.deadline_s:.0f} s: {first.confirmed} of {self.alive} hosts have "
                    f"revision {first.head}; {first.slowest_name or 'no host'} is at {first.slowest}"
                )
            await asyncio.sleep(_LOOK_AGAIN_S)

    # --- calls -----------------------------------------------------------------------------------------

    async def call(self, method: str, path: str, body: Any = None) -> Any:
        """One call of the API. Raises: LabError with its answer."""
        answer = await self.http.request(method, path, json=body, timeout=_REQUEST_S)
        if answer.is_error:
            raise LabError(f"{method} {path}: {answer.status_code} {answer.text[:300]}")
        if timing := answer.headers.get("Server-Timing"):
            self.stages_ms.append(stages_in(timing))
        return answer.json() if answer.content else {}

    async def create_port(self, network: NetworkPlan, *, wait_s: float = 0) -> Change:
        """A port more on a network, bound to one of its hosts. `wait_s`: how long the API may wait for hosts."""
        body = port_body(network, self.loaded, self.plan, self.random.randrange(len(network.hosts)))
        began = time.monotonic()
        path = f"/v2.0/ports?wait={wait_s:g}" if wait_s else "/v2.0/ports"
        made = await self.call("POST", path, {"port": body})
        change = Change("create", ("neighbour", made["port"]["id"], False), began, time.monotonic())
        change.address = made["port"]["fixed_ips"][0]["ip_address"]
        self.loaded.ports.setdefault(network.number, []).append(made["port"]["id"])
        self._created.add(made["port"]["id"])
        self.changes.append(change)
        return change

    async def delete_port(self, network: NetworkPlan, port_id: str) -> Change:
        """A port less."""
        self.loaded.ports[network.number].remove(port_id)
        began = time.monotonic()
        await self.call("DELETE", f"/v2.0/ports/{port_id}")
        change = Change("delete", ("neighbour", port_id, True), began, time.monotonic())
        self.changes.append(change)
        return change

    async def update_port(self, port_id: str) -> Change:
        """A port that may use one more address: its own host has to know."""
        pair = {"ip_address": f"172.16.{self.random.randrange(256)}.{self.random.randrange(1, 255)}"}
        return await self._put("update", "local_port", port_id, {"allowed_address_pairs": [pair]})

    async def move_port(self, network: NetworkPlan, port_id: str) -> Change:
        """A port bound to a host of its network anew; perhaps the one it is on."""
        host = self.plan.host_name(self.random.choice(network.hosts))
        return await self._put("move", "neighbour", port_id, {"binding:host_id": host})

    async def _put(self, what: str, kind: str, port_id: str, body: dict[str, Any]) -> Change:
        began = time.monotonic()
        await self.call("PUT", f"/v2.0/ports/{port_id}", {"port": body})
        change = Change(what, (kind, port_id, False), began, time.monotonic())
        self.changes.append(change)
        return change

    def untouched_port(self, network: NetworkPlan, *, or_new: bool = False) -> str | None:
        """A port of a network that this recording has not changed yet, so that its next change stands alone.

        `or_new`: or that it created, whose end is told apart from its beginning.
        """
        ids = self.loaded.ports.get(network.number, [])
        for _ in range(8):
            if not ids:
                return None
            found = self.random.choice(ids)
            if found not in self._touched and (or_new or found not in self._created):
                self._touched.add(found)
                return found
        return None

    # --- recording -------------------------------------------------------------------------------------

    async def record(self) -> None:
        """From here on note when hosts get and confirm each item."""
        self._touched.clear()
        self._created.clear()
        await self.fleet.record(on=True)

    async def settle(self, since: int) -> list[Change]:
        """Wait until all hosts have everything, and fill in what became of the changes from index `since` on."""
        await self.converge()
        told, install_ms = await self.fleet.drain()
        await self.fleet.record(on=False)
        self.install_ms += install_ms
        changes = self.changes[since:]
        for change in changes:
            change.told = told.get(change.key)
        return changes

    # --- judging ---------------------------------------------------------------------------------------

    async def audit(self) -> dict[str, Any]:
        """Compare audited hosts with what is compiled from the rows, and look whether ports are ACTIVE."""
        self.findings = []
        facts: dict[str, Any] = {"hosts": 0, "flows": 0, "ports_active": 0}
        region = self.region
        if region.store_url is None or region.data is None:
            self.findings.append("the region's rows cannot be read from here: its hosts were not audited")
        else:
            image = await read_rows(region.data, region.store_url)
            names = [name for name in self.plan.sampled() if name not in self.dead]
            wanted = await asyncio.to_thread(compile_rows, image, names)
            for name in names:
                judged = await self.fleet.judge(wanted.of(name, await self.fleet.holds(name)))
                self.findings += judged.findings
                facts["hosts"] += 1
                facts["flows"] += judged.flows
        facts["ports_active"] = await self._count_active()
        facts["findings"] = len(self.findings)
        self.audited = facts
        return facts

    async def _count_active(self) -> int:
        """Of a sample of ports, how many are ACTIVE; one that stays otherwise is a finding."""
        every = [id for ids in self.loaded.ports.values() for id in ids]
        chosen = self.random.sample(every, min(_ACTIVE_SAMPLE, len(every)))
        active, deadline = 0, time.monotonic() + _ACTIVE_WITHIN_S
        for port_id in chosen:
            while True:
                port = (await self.call("GET", f"/v2.0/ports/{port_id}"))["port"]
                if port["binding:host_id"] in self.dead:
                    break
                if port["status"] == "ACTIVE":
                    active += 1
                    break
                if time.monotonic() > deadline:
                    self.findings.append(f"port {port_id} on {port['binding:host_id']} is {port['status']}")
                    break
                await asyncio.sleep(0.1)
        return active

    async def metrics(self) -> Metrics:
        """What the region's processes count now."""
        return await scrape(self.http, self.region)


def stages_in(timing: str) -> dict[str, float]:
    """The stages and milliseconds of a `Server-Timing` header."""
    pairs = (part.strip().partition(";dur=") for part in timing.split(","))
    return {name: float(value) for name, _, value in pairs if value}


async def stages(run: Run, count: int) -> dict[str, Any]:
    """New ports whose calls wait for the hosts: where the region says that the time went."""
    since, before = len(run.stages_ms), len(run.changes)
    for _ in range(count):
        await run.create_port(run.random.choice(run.networks), wait_s=30)
    await run.converge()
    # They stand apart: their calls' answers came after the hosts.
    del run.changes[before:]
    seen = run.stages_ms[since:]
    return {name: [stage[name] for stage in seen if name in stage] for name in (seen[0] if seen else ())}


async def churn(run: Run, duration_s: float, rate: float) -> dict[str, Any]:
    """Calls at a rate, whether or not earlier ones were answered (at most 64 at a time), then wait and reckon.

    Of ten calls four create, four delete, one updates, one moves a port; where all ports were changed already, the last
    two create and delete as well, so that there are about as many at the end. Raises: LabError if a call fails.
    """
    weights = [network.ports for network in run.networks]
    since, began = len(run.changes), time.monotonic()
    await run.record()
    gate = asyncio.Semaphore(_CALLS_MAX)
    number = 0

    async def one(network: NetworkPlan, kind: int) -> None:
        try:
            if kind >= 8 and (port_id := run.untouched_port(network)):
                await (run.update_port(port_id) if kind == 8 else run.move_port(network, port_id))
            elif kind % 2 and (port_id := run.untouched_port(network, or_new=True)):
                await run.delete_port(network, port_id)
            else:
                await run.create_port(network)
        finally:
            gate.release()

    async with asyncio.TaskGroup() as group:
        while (elapsed := time.monotonic() - began) < duration_s:
            if number > elapsed * rate:
                await asyncio.sleep(number / rate - elapsed)
            await gate.acquire()
            [network] = run.random.choices(run.networks, weights)
            group.create_task(one(network, run.random.randrange(10)))
            number += 1
    called_s = time.monotonic() - began
    changes = await run.settle(since)
    whole = [change for change in changes if change.is_whole]
    return {
        "changes": len(changes),
        "per s": round(len(changes) / called_s, 1),
        "not told to any host": sum(change.told is None for change in changes),
        "total_ms": [change.total_ms for change in whole],
        "hosts per change": round(sum(c.told.hosts for c in whole if c.told) / max(1, len(whole)), 1),
    }
