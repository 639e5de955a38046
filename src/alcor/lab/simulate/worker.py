"""One process of simulated hosts: real agents, real streams, counting switches. Started by `fleet`, never by people.

python -m alcor.lab.simulate.worker      commands on standard input, answers on standard output
"""

import asyncio
import gc
import os
import random
import resource
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import assert_never

import uvloop

from alcor import __version__
from alcor.agent.counting import CountingSwitch, folded_flows, no_flows
from alcor.agent.service import Agent
from alcor.bus.codec import ProtobufCodec
from alcor.bus.grpc_client import GrpcConnector
from alcor.bus.subject import Code
from alcor.goalstate.item import Item, ItemKind, Key
from alcor.goalstate.scope import Scope, ScopeKind, neighbours_scope
from alcor.lab.simulate.plan import Flows
from alcor.lab.simulate.watch import Recorder, Watched
from alcor.lab.simulate.wire import (
    Answer,
    Ask,
    Asked,
    Boot,
    Command,
    Done,
    Drain,
    Expected,
    Failed,
    Held,
    Hold,
    HostSpec,
    Judged,
    Kill,
    Look,
    Noted,
    Record,
    Return,
    Seen,
    Setup,
    read_command,
    write,
)
from alcor.pipeline.compile import Compiler, unit_flows, units
from alcor.pipeline.resolve import resolve
from alcor.telemetry.log import configure
from alcor.telemetry.metrics import AGENT_OCTETS

# Findings of one host that are told; who has more has one error many times.
_TOLD_MAX = 5
# Items that several hosts hold are one object: what is decoded once is found by its bytes. Emptied when it is full.
_SHARED_ITEMS_MAX = 400_000
_BOOT_POLL_S = 0.005


class SharingCodec:
    """An `ItemCodec` whose equal items are one object, so that memory grows with the region and not with hosts × items.

    What it spares is part of a real host's work; the report says so.
    """

    def __init__(self) -> None:
        self._codec = ProtobufCodec()
        self._items: dict[tuple[Key, bytes], Item] = {}

    def encode(self, item: Item) -> bytes:
        """As the codec."""
        return self._codec.encode(item)

    def decode(self, key: Key, body: bytes) -> Item:
        """As the codec."""
        found = self._items.get((key, body))
        if found is None:
            if len(self._items) >= _SHARED_ITEMS_MAX:
                self._items.clear()
            found = self._items[key, body] = self._codec.decode(key, body)
        return found

    def codes(self, key: Key, body: bytes) -> list[Code]:
        """As the codec."""
        return self._codec.codes(key, body)


@dataclass(slots=True)
class _Host:
    """One simulated host. `agent` and `task`: of its present life, None while it is dead."""

    spec: HostSpec
    switch: CountingSwitch
    compiler: Compiler
    agent: Agent | None = None
    watched: Watched | None = None
    task: asyncio.Task[None] | None = None
    started_ms: float = 0.0
    is_booting: bool = False
    # What the agent had confirmed when so much had passed its stream.
    seen: tuple[int, int] = (-1, -1)

    def confirmed(self, agent: Agent, watched: Watched) -> int:
        """As the agent, whom this costs 20 µs: asked only when something passed its stream since."""
        passed, at = self.seen
        if passed != watched.passed:
            at = agent.confirmed
            self.seen = watched.passed, at
        return at


@dataclass(slots=True)
class Worker:
    """The hosts of one process."""

    flows: Flows
    sample: frozenset[str]
    seed: int
    hosts: dict[str, _Host] = field(default_factory=dict)
    recorder: Recorder = field(init=False)
    codec: SharingCodec = field(default_factory=SharingCodec)
    chance: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self.recorder = Recorder(self.seed)
        self.chance = random.Random(self.seed)

    def _compiler(self, name: str) -> Compiler:
        """The pipeline whole, folded, or not at all."""
        if self.flows is Flows.NONE:
            return no_flows
        if name in self.sample:
            return unit_flows
        return folded_flows if self.flows is Flows.ALL else no_flows

    # --- life ------------------------------------------------------------------------------------------

    async def boot(self, specs: Sequence[HostSpec], at_once_max: int) -> None:
        """Start agents; with a bound, each waits until fewer are on their way to be attached."""
        for spec in specs:
            host = _Host(spec, CountingSwitch(spec.name), self._compiler(spec.name))
            self.hosts[spec.name] = host
        await self._start([self.hosts[spec.name] for spec in specs], at_once_max)

    async def _start(self, hosts: Sequence[_Host], at_once_max: int) -> None:
        coming: list[_Host] = []
        for host in hosts:
            while at_once_max and len(coming) >= at_once_max:
                await asyncio.sleep(_BOOT_POLL_S)
                coming = [each for each in coming if each.watched and not each.watched.is_attached]
            self._begin(host)
            coming.append(host)

    def _begin(self, host: _Host) -> None:
        connectors = [GrpcConnector(address) for address in host.spec.ncms]
        host.watched = Watched(connectors, host.switch, self.recorder)
        host.agent = Agent(
            host.watched,
            host.switch,
            self.codec,
            host_id=host.spec.id,
            token=lambda: host.spec.token,
            version=__version__,
            now_ms=_now_ms,
            random=self.chance.random,
            compiler=host.compiler,
        )
        host.started_ms, host.is_booting, host.seen = _now_ms(), True, (-1, -1)
        host.task = asyncio.create_task(host.agent.run(), name=f"agent-{host.spec.name}")

    async def kill(self, names: Sequence[str]) -> None:
        """End agents; their switches keep what they have."""
        dying = [host for host in self._chosen(names) if host.task is not None]
        tasks = [host.task for host in dying if host.task is not None]
        for host, task in zip(dying, tasks, strict=True):
            task.cancel()
            host.agent = host.task = host.watched = None
        await asyncio.gather(*tasks, return_exceptions=True)

    async def bring_back(self, names: Sequence[str]) -> None:
        """Start dead agents again, all at once."""
        await self._start([host for host in self._chosen(names) if host.task is None], 0)

    def _chosen(self, names: Sequence[str]) -> list[_Host]:
        if not names:
            return list(self.hosts.values())
        return [self.hosts[name] for name in names if name in self.hosts]

    # --- looking ---------------------------------------------------------------------------------------

    def look(self, head: int) -> Seen:
        """How far they are. Cost: O(hosts) + O(scopes) of each that said or heard anything since the last look."""
        attached = confirmed = plugged = flows = alive = 0
        slowest, slowest_name = sys.maxsize, ""
        booted: list[float] = []
        for host in self.hosts.values():
            flows += host.switch.flow_count
            plugged += len(host.switch.vifs)
            agent = host.agent
            if agent is None or host.watched is None:
                continue
            alive += 1
            attached += host.watched.is_attached
            at = host.confirmed(agent, host.watched)
            confirmed += at >= head
            if at < slowest:
                slowest, slowest_name = at, host.spec.name
            if host.is_booting and agent.settled_ms:
                host.is_booting = False
                booted.append(agent.settled_ms - host.started_ms)
        recorder, usage = self.recorder, resource.getrusage(resource.RUSAGE_SELF)
        return Seen(
            hosts=len(self.hosts),
            alive=alive,
            attached=attached,
            confirmed=confirmed,
            slowest=slowest if slowest_name else -1,
            slowest_name=slowest_name,
            plugged=plugged,
            flows=flows,
            items=recorder.items,
            snapshots=recorder.snapshots,
            steps=recorder.steps,
            acks=recorder.acks,
            attachments=recorder.attachments,
            received=_octets("received"),
            sent=_octets("sent"),
            rss=resident_bytes(os.getpid()),
            cpu_s=usage.ru_utime + usage.ru_stime,
            booted_ms=booted,
        )

    def judge(self, expected: Expected) -> Judged:
        """Compare what a host's switch holds with what intent says. Cost: O(its flows)."""
        host = self.hosts[expected.name]
        if host.agent is None:
            return Judged([f"{expected.name}: its agent is dead"], 0)
        states: dict[Scope, dict[Key, Item]] = {}
        for kind, id, items in expected.states:
            keys = [Key(ItemKind(kind_of), item_id) for kind_of, item_id, _ in items]
            bodies = [body for _, _, body in items]
            states[Scope(ScopeKind(kind), id)] = {
                key: self.codec.decode(key, body) for key, body in zip(keys, bodies, strict=True)
            }
        lazy = {Scope(ScopeKind(kind), id) for kind, id in expected.lazy}
        view, allocation = resolve(states, host.spec.id, lazy=lazy), host.agent.allocation
        wanted = {flow.key: flow for unit in units(view) for flow in host.compiler(unit, view, allocation)}
        present = host.switch.flows
        findings = [f"{expected.name}: lacks {key}" for key in wanted if key not in present]
        findings += [
            f"{expected.name}: has {key}, which intent does not give"
            for key in present.keys() - wanted.keys()
        ]
        findings += [
            f"{expected.name}: {key} has other actions than intent gives"
            for key, flow in wanted.items()
            if key in present and present[key] != flow
        ]
        if len(findings) > _TOLD_MAX:
            findings = [*findings[:_TOLD_MAX], f"{expected.name}: and {len(findings) - _TOLD_MAX} more"]
        return Judged(findings, len(wanted))

    def holds(self, name: str) -> Held:
        """What a host holds on demand, and of what."""
        agent = self.hosts[name].agent
        if agent is None:
            return Held([])
        keys = agent.hello().held
        return Held(
            [
                (scope.kind.value, scope.id, [(key.kind.value, key.id) for key in keys.get(scope, ())])
                for scope in agent.view.lazy
            ]
        )

    def ask(self, questions: Sequence[tuple[str, str, str]]) -> Asked:
        """Have agents look up whom a VM of theirs would speak to."""
        answers: Counter[str] = Counter()
        at_s = time.monotonic()
        for name, network_id, address in questions:
            agent = self.hosts[name].agent
            if agent is not None:
                answers[agent.asker.ask(neighbours_scope(network_id), address).value] += 1
        return Asked(dict(answers), at_s)


def _octets(direction: str) -> int:
    return int(AGENT_OCTETS.labels(direction)._value.get())


def resident_bytes(pid: int) -> int:
    """A process's resident memory; 0 if it is gone."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize()
    except OSError:
        return 0


def _now_ms() -> float:
    return time.time_ns() / 1e6


async def _obey(worker: Worker, command: Command) -> Answer:
    match command:
        case Boot():
            await worker.boot(command.hosts, command.at_once_max)
        case Kill():
            await worker.kill(command.names)
        case Return():
            await worker.bring_back(command.names)
        case Record():
            worker.recorder.begin(is_on=command.on)
        case Look():
            return worker.look(command.head)
        case Drain():
            return Noted(*worker.recorder.drain())
        case Ask():
            return worker.ask(command.questions)
        case Hold():
            return worker.holds(command.name)
        case Expected():
            return worker.judge(command)
        case Setup():
            return Failed("a worker is set up once")
        case _:
            assert_never(command)
    return Done()


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    setup = await read_command(reader)
    if not isinstance(setup, Setup):
        raise SystemExit("the first command of a worker is its setup")
    worker = Worker(Flows(setup.flows), frozenset(setup.sample), setup.seed)
    write(writer, Done())
    while True:
        try:
            command = await read_command(reader)
        except asyncio.IncompleteReadError:
            break
        try:
            answer = await _obey(worker, command)
        except Exception as error:
            # The edge of the worker: whoever asked is told, and decides.
            answer = Failed(f"{type(error).__name__}: {error}")
        write(writer, answer)
        await writer.drain()
    await worker.kill(())


async def _main() -> None:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=1 << 30)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    transport, protocol = await loop.connect_write_pipe(
        asyncio.streams.FlowControlMixin, os.fdopen(_OUT, "wb")
    )
    await _serve(reader, asyncio.StreamWriter(transport, protocol, None, loop))


def _claim_output() -> int:
    """Standard output is for answers alone: whatever prints goes to standard error."""
    out = os.dup(1)
    os.dup2(2, 1)
    return out


_OUT = -1

if __name__ == "__main__":
    _OUT = _claim_output()
    configure("error")
    # Hosts are made once and live long: a full collection that walks all of them is worth little.
    gc.set_threshold(200_000, 50, 1_000)
    uvloop.run(_main())
