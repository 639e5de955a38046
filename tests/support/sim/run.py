"""One run under one seed: a region, work, trouble, healing; then everything must be as intent says."""

import asyncio
import shutil
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, ClassVar

from alcor.agent.allocation import EPOCH
from alcor.bus.interface import ScopeUpdate
from alcor.goalstate.scope import Scope
from tests.support.audit import audit
from tests.support.sim.check import trouble
from tests.support.sim.demand import ANSWERED_S, Talk, unanswered
from tests.support.sim.fault import Faults
from tests.support.sim.loop import run, simulated
from tests.support.sim.net import Network, installed
from tests.support.sim.store import copy_files
from tests.support.sim.tenant import Compute, Tenant, found_region
from tests.support.sim.trace import Got
from tests.support.sim.trace import check as check_trace
from tests.support.sim.truth import LARGE
from tests.support.sim.world import AgentNode, Shape, World, a_folder, remove

SETTLE_S = 400.0
"""Within so many simulated seconds after the healing everything must be right: an agent that was refused waits 60 s."""


@dataclass
class Outcome:
    """What came of a run. `digest`: of all its steps; equal seeds give equal ones. `seen`: how often what."""

    seed: int
    digest: str = ""
    steps: int = 0
    faults: int = 0
    requests: int = 0
    refused: int = 0
    settled_s: float = 0.0
    seen: dict[str, int] = field(default_factory=dict)
    findings: list[str] = field(default_factory=list)
    tail: str = ""


@dataclass(frozen=True)
class Plan:
    """What happens in a run."""

    shape: Shape
    requests: int
    pause_s: float
    fault_pause_s: float
    restores: bool = False


def plan_of(seed: int) -> Plan:
    """A plan for a seed."""
    rng = Random(seed * 7 + 1)
    return Plan(
        Shape(
            lazy_above=LARGE if seed % 3 == 1 else 0,
            has_broker=seed % 3 == 2,
            hosts=rng.choice((2, 3, 3)),
            ncms=rng.choice((1, 2, 2)) if seed % 3 != 2 else 2,
            dataplanes=rng.choice((1, 2, 2, 3)),
            chunk_bytes=rng.choice((300, 960 << 10)),
            grace_s=rng.choice((0.0, 1.0, 60.0)),
            heartbeat_s=rng.choice((2.0, 10.0)),
        ),
        requests=rng.randint(15, 40),
        pause_s=rng.choice((0.05, 0.2, 0.5)),
        fault_pause_s=rng.choice((0.2, 1.0, 3.0)),
        restores=rng.random() < 0.2,
    )


class Founding:
    """The database every run begins with, made once per process: hosts and an external network."""

    folder: Path | None = None
    hosts: ClassVar[dict[str, tuple[str, str]]] = {}

    @classmethod
    def copy_to(cls, folder: Path) -> dict[str, tuple[str, str]]:
        """Begin with it; returns host name → (id, token)."""
        if cls.folder is None:
            made = a_folder()
            with simulated(0) as loop:
                net = Network(loop)
                world = World(loop, net, Shape(), made / "first")

                async def found() -> None:
                    cls.hosts = await found_region(world)
                    copy_files(world.folder, made / "base")
                    await world.store.close()

                run(loop, found())
            cls.folder = made
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(cls.folder / "base" / "alcor.db", folder / "alcor.db")
        return cls.hosts

    @classmethod
    def remove(cls) -> None:
        """Forget it."""
        if cls.folder is not None:
            remove(cls.folder)
            cls.folder = None


async def tell(world: World, plan: Plan, outcome: Outcome) -> None:
    """Work and trouble side by side."""
    loop = world.loop
    for node in world.nodes:
        node.start()
    tenants = [Tenant(world, Random(world.random.random())) for _ in range(2)]
    compute = Compute(world, Random(world.random.random()))
    faults = Faults(world, Random(world.random.random()))
    talk = Talk(world, Random(world.random.random()))
    talking = loop.spawn(None, talk.work())
    plugging = loop.spawn(None, compute.work())
    # Half of the regions are at work before anybody asks for anything.
    await asyncio.sleep(world.random.choice((0.0, 3.0)))
    await tenants[0].begin()
    breaking = loop.spawn(None, faults.work(plan.fault_pause_s))
    if plan.restores:
        faults.back_up()
    await asyncio.gather(*(one.work(plan.requests // 2, plan.pause_s) for one in tenants))
    remembered: dict[str, int] = {}
    if plan.restores:
        remembered = {node.name: epoch_of(node) for node in world.agents}
        compute.survivors = {node.host_name: set(node.switch.vifs) for node in world.agents}
        await faults.restore()
        await asyncio.gather(*(one.work(5, plan.pause_s) for one in tenants))
    faults.heal()
    await breaking
    plugging.cancel()
    talking.cancel()
    compute.plug(1.0)
    outcome.faults = faults.count
    outcome.requests = sum(one.done for one in tenants)
    outcome.refused = sum(one.refused for one in tenants)
    if plan.restores:
        await asyncio.sleep(60)
        outcome.findings += let_go(world, remembered)
        compute.survivors.clear()
        if outcome.seed % 2:
            _release_holds(world)
        compute.plug(1.0)
    await settle(world, plan, outcome, talk)


def epoch_of(node: AgentNode) -> int:
    """The epoch of which a host has let go of all that is older; 0: it never held anything."""
    return node.switch.numbers.get(EPOCH, 0)


def let_go(world: World, remembered: Mapping[str, int]) -> list[str]:
    """Who let go of anything after a restore while some host held ports that the region does not know."""
    holds = [
        node.name
        for node in world.agents
        if node.agent is not None and "does not know" in str(node.agent.status()["hold"])
    ]
    gone = [node.name for node in world.agents if 0 < remembered[node.name] < epoch_of(node)]
    return [f"{gone} let go, and {holds} hold ports that are not known"] if holds and gone else []


def _release_holds(world: World) -> None:
    """An operator says that what the restored database knows is right."""
    for node in world.agents:
        if node.agent is not None:
            node.agent.release_hold()


async def rest(world: World) -> list[str]:
    """Wait until everything is right; returns what is not after all."""
    begun = world.loop.time()
    found = ["it was not looked at"]
    pause_s = 0.5
    while found and world.loop.time() < begun + SETTLE_S:
        await asyncio.sleep(pause_s)
        found = await trouble(world)
        pause_s = min(pause_s * 1.3, 5.0)
    return found


async def settle(world: World, plan: Plan, outcome: Outcome, talk: Talk | None = None) -> None:
    """Wait until everything is right, then look at the rows and end everything."""
    begun = world.loop.time()
    found = await rest(world)
    outcome.settled_s = round(world.loop.time() - begun, 1)
    if not found and talk is not None and talk.ask_all():
        await asyncio.sleep(ANSWERED_S)
        found = [each for node in world.agents for each in unanswered(world, node)] or await rest(world)
    outcome.findings += found
    outcome.findings += await audit(world.store, is_log_whole=not plan.restores)
    seen = Counter[str]()
    outcome.findings += check_trace(world.events, world.truth, world.lives, seen)
    outcome.seen = counts_of(world) | seen
    if found:
        return
    for node in [*world.agents, *world.ncms, *world.dataplanes]:
        outcome.findings += [f"a task is left: {left}" for left in await node.stop()]
    await world.store.close()
    outcome.findings += [f"unhandled: {one}" for one in world.loop.unhandled]


def counts_of(world: World) -> dict[str, int]:
    """What happened how often, so that a test can see that it does."""
    seen = Counter(
        carried=world.broker.carried,
        deaths=sum(node.lives - 1 for node in world.nodes),
        terms=world.leases.taken,
    )
    part: dict[tuple[str, Scope], bool] = {}
    for event in world.events:
        for step in event.batch if isinstance(event, Got) else ():
            if isinstance(step, ScopeUpdate) and not step.more:
                before = part.get((event.who, step.scope), False)
                part[event.who, step.scope] = step.lazy
                seen["turned_part"] += step.lazy and not before
                seen["turned_whole"] += before and not step.lazy
                seen["answers"] += step.lazy and before and bool(step.put)
                seen["absences"] += len(step.absent)
                seen["removals"] += step.lazy and len(step.removed)
    return dict(seen)


Story = Callable[[World, Plan, Outcome], Coroutine[Any, Any, None]]


def simulate(seed: int, *, plan: Plan | None = None, story: Story = tell) -> Outcome:
    """Run a seed. Whatever is wrong is in the outcome's findings."""
    plan = plan or plan_of(seed)
    outcome = Outcome(seed)
    folder = a_folder()
    try:
        hosts = Founding.copy_to(folder / "region")
        with simulated(seed) as loop:
            net = Network(loop)
            world = World(loop, net, plan.shape, folder / "region")
            for name in list(hosts)[-plan.shape.hosts :]:
                world.add_host(name, *hosts[name])
            with installed(net):
                try:
                    run(loop, story(world, plan, outcome))
                except Exception as error:
                    outcome.findings.append(f"{type(error).__name__}: {error}")
            outcome.digest, outcome.steps, outcome.tail = loop.digest, loop.steps, loop.tail()
    finally:
        remove(folder)
    return outcome
