"""A short story in which one process dies at one of its resumptions, so that every await can be tried in turn."""

import asyncio
from collections.abc import Coroutine
from functools import partial
from random import Random
from typing import Any

from tests.support.sim.run import Outcome, Plan, settle, simulate
from tests.support.sim.tenant import Compute, Tenant
from tests.support.sim.world import Node, Shape, World

KINDS = ("agent", "ncm", "dataplane", "api", "switch")
"""What can die."""
AWAY_S = 0.3
PLAN = Plan(Shape(ncms=1, dataplanes=2, chunk_bytes=300, grace_s=1.0, heartbeat_s=2.0), 0, 0.0, 0.0)


class _Api(Node):
    """Who makes the requests, as a process of the region does; started again, it makes the rest of them."""

    def __init__(self, world: World, tenant: Tenant) -> None:
        super().__init__(world, "api")
        self.tenant = tenant
        self.left = [
            *([tenant.create_network] * 2),
            *([tenant.create_group, tenant.create_rule, tenant.create_router, tenant.join_router]),
            *([tenant.create_port] * 4),
            *([tenant.bind_port, tenant.change_groups, tenant.create_rule, tenant.change_gateway]),
            *([tenant.create_floating_ip, tenant.move_floating_ip, tenant.bind_port, tenant.delete_rule]),
            *([tenant.change_port, tenant.delete_port, tenant.bind_port]),
        ]
        self.is_done = asyncio.Event()

    async def main(self) -> None:
        while self.left:
            await self.tenant.make(self.left.pop(0))
            await asyncio.sleep(0.05)
        self.is_done.set()
        await asyncio.Event().wait()


async def _story(world: World, plan: Plan, outcome: Outcome, *, kind: str, at: int, steps: list[int]) -> None:
    """The story, in which `kind` dies at its resumption `at` (0: it does not). `steps`: how many it came to."""
    api = _Api(world, Tenant(world, Random(1)))
    compute = Compute(world, Random(2))
    nodes = {"agent": world.agents[0], "ncm": world.ncms[0], "dataplane": world.dataplanes[0], "api": api}
    for node in world.nodes:
        # The second dataplane comes later, so that the first one leads.
        if node is not world.dataplanes[1]:
            node.start()
    victim = nodes.get(kind)
    if victim is None:
        _kill_switch(world, at, steps)
    elif victim is not api:
        _kill(world, victim, at)
    plugging = world.loop.spawn(None, compute.work())
    await asyncio.sleep(0.1)
    world.dataplanes[1].start()
    api.start()
    if victim is api:
        _kill(world, api, at)
    first = None if victim is None else victim.component
    await api.is_done.wait()
    plugging.cancel()
    compute.plug(1.0)
    await asyncio.sleep(3)
    if first is not None:
        steps.append(first.steps)
        first.crash_at = 0
    await settle(world, plan, outcome)
    outcome.findings += [f"a task is left: {left}" for left in await api.stop()]


def _kill(world: World, node: Node, at: int) -> None:
    assert node.component is not None
    node.component.crash_at = at
    node.deaths.append(lambda _: world.later(AWAY_S, node.start))


def _kill_switch(world: World, at: int, steps: list[int]) -> None:
    """The switch goes down in the middle of its call number `at`."""
    switch = world.agents[0].switch
    calls = 0

    def called() -> None:
        nonlocal calls
        calls += 1
        steps.append(calls)
        if calls == at:
            switch.stop("it was killed")
            world.later(AWAY_S, switch.start)

    switch.called = called


def steps_of(kind: str, seed: int) -> int:
    """How often the victim is resumed in the story if nothing happens to it."""
    steps: list[int] = []
    simulate(seed, plan=PLAN, story=partial(_story, kind=kind, at=0, steps=steps))
    return max(steps)


def crash(kind: str, at: int, seed: int) -> Outcome:
    """The story with the victim killed at one resumption."""

    def story(world: World, plan: Plan, outcome: Outcome) -> Coroutine[Any, Any, None]:
        return _story(world, plan, outcome, kind=kind, at=at, steps=[])

    return simulate(seed, plan=PLAN, story=story)
