"""The workloads: what is done to a region, and what must be true at the end.

Each begins with a loaded region and no agent, and ends converged: every living host has confirmed the head in all its
shards. The audit comes after.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from alcor.lab.simulate.plan import even, mixed
from alcor.lab.simulate.run import Run, churn, stages

# Agents attaching at a time where the boot itself is not what is looked at.
_ADMITTED = 200
_SHORT_CHURN_S = 5.0
# New ports of the workload `vpc`, one after the other.
_NEW_PORTS = 20
# Hosts that look a new port up where a network is held on demand.
_ASKERS = 10
_BETWEEN_S = 0.1
# Calls that wait for hosts, so that the region says where the time goes.
_STAGED = 10


async def _boot(run: Run) -> None:
    await run.step("boot", lambda: run.boot(at_once_max=_ADMITTED))


async def _stages(run: Run) -> None:
    await run.step("stages of a change", lambda: stages(run, _STAGED))


async def steady(run: Run) -> None:
    """Hosts boot, then ports come, go, change and move at a steady rate."""
    await _boot(run)
    await _stages(run)
    await run.step("churn", lambda: churn(run, run.plan.duration_s, run.plan.rate))


async def storm(run: Run) -> None:
    """All hosts boot at the same moment, each with its ports, while calls go on."""
    await run.step("boot storm", lambda: run.boot(at_once_max=0))
    await run.step("churn", lambda: churn(run, min(run.plan.duration_s, _SHORT_CHURN_S), run.plan.rate))


async def vpc(run: Run) -> None:
    """One network has all ports; then new ports come one by one, and must be reachable."""
    await _boot(run)
    await _stages(run)
    await run.step("new ports", lambda: new_ports(run, _NEW_PORTS))


async def new_ports(run: Run, count: int) -> dict[str, Any]:
    """Ports come one after the other; how long from each call until others reach it.

    Where hosts hold the network whole: until the last has it in its switch. Where they hold it on demand: some hosts
    look it up as soon as the call is answered, until the last of them has the answer.
    """
    since, network = len(run.changes), run.networks[0]
    await run.record()
    before = await run.sample()
    answers: Counter[str] = Counter()
    for _ in range(count):
        change = await run.create_port(network)
        names = [
            run.plan.host_name(i) for i in run.random.sample(network.hosts, min(_ASKERS, len(network.hosts)))
        ]
        network_id = run.loaded.networks[network.number]
        answers.update(await run.fleet.ask([(name, network_id, change.address) for name in names]))
        await asyncio.sleep(_BETWEEN_S)
    changes = await run.settle(since)
    after = run.samples[-1]
    on_demand = "whole" not in answers
    told = [(change, change.told) for change in changes if change.told is not None]
    return {
        "changes": count,
        "on demand": on_demand,
        "look-ups": dict(answers),
        "reached_ms": [
            ((each.last_s if on_demand else each.last_confirmed_s) - change.called_s) * 1_000
            for change, each in told
        ],
        "octets per change": round((after.received - before.received) / count),
    }


async def sizes(run: Run) -> None:
    """Networks of 1,000, 100 and 10 ports side by side, under churn."""
    await steady(run)


async def loss(run: Run) -> None:
    """A share of the hosts dies at once, the region changes meanwhile, and all return at once."""
    await _boot(run)
    names = [run.plan.host_name(index) for index in range(run.plan.hosts)]
    dying = random.Random(run.plan.seed).sample(names, max(1, round(len(names) * run.plan.share)))

    async def lose() -> dict[str, Any]:
        await run.fleet.kill(dying)
        run.dead, run.alive = frozenset(dying), len(names) - len(dying)
        return {"hosts lost": len(dying)} | await churn(
            run, min(run.plan.duration_s, _SHORT_CHURN_S), run.plan.rate
        )

    async def bring_back() -> dict[str, Any]:
        before = run.samples[-1]
        run.booted_ms = []
        run.dead, run.alive = frozenset(), len(names)
        await run.fleet.bring_back(dying)
        after = await run.converge()
        return {
            "hosts back": len(dying),
            "items": after.items - before.items,
            "boot_ms": list(run.booted_ms),
        }

    await run.step("loss", lose)
    await run.step("return", bring_back)


async def restart(run: Run) -> None:
    """The region's processes are killed (kill -9) and started again, one kind after the other, while agents stay."""
    await _boot(run)
    if not run.region.processes:
        raise ValueError("processes of a region that runs already are not killed; leave --api out")
    for names in _restarts(list(run.region.processes)):
        await run.step(f"restart {', '.join(names)}", partial(_restarted, run, names))
    await run.step("churn", lambda: churn(run, min(run.plan.duration_s, _SHORT_CHURN_S), run.plan.rate))


def _restarts(processes: list[str]) -> list[list[str]]:
    """Each ncm, each dataplane, the API, and at last all of them together."""
    if len(processes) == 1:
        return [processes]
    return [*([name] for name in processes), processes]


async def _restarted(run: Run, names: list[str]) -> dict[str, Any]:
    before = await run.sample()
    await asyncio.to_thread(run.region.restart, names)
    run.http.base_url = run.region.endpoint
    # Something must be new, or nobody could tell that the region works again.
    await run.create_port(run.networks[0])
    after = await run.converge()
    return {"items": after.items - before.items, "octets": after.received - before.received}


@dataclass(frozen=True, slots=True)
class Workload:
    """What can be asked for. `sizes`: (ports, networks) → ports of each network."""

    name: str
    text: str
    run: Callable[[Run], Awaitable[None]]
    sizes: Callable[[int, int], tuple[int, ...]] = even


WORKLOADS = {
    each.name: each
    for each in (
        Workload("churn", "ports come, go, change and move at a steady rate", steady),
        Workload("storm", "all hosts boot at once, each with its ports", storm),
        Workload("vpc", "one network has all the ports", vpc, lambda ports, _networks: (ports,)),
        Workload(
            "mixed", "networks of 1,000, 100 and 10 ports", sizes, lambda ports, _networks: mixed(ports)
        ),
        Workload("loss", "a share of the hosts dies at once, and returns at once", loss),
        Workload("restart", "kill -9 of the region's processes while agents stay", restart),
    )
}
"""By name."""
