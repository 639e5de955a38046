"""Many agents at once: who lacks nothing costs nothing, and who lacks much waits for its turn."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from alcor.bus.interface import Heads, NcmMessage, ScopeUpdate, Welcome
from alcor.goalstate.item import Item
from alcor.goalstate.scope import REGION, Scope, host_scope, neighbours_scope, network_scope
from alcor.telemetry.metrics import REGISTRY
from tests.support.ncm import FakeAgent, Site, a_host, a_site, bound, ports

HOSTS = [f"host-{number}" for number in range(1, 201)]
PLACES = 8


@dataclass
class Turnstile:
    """Where agents stand with their first content in hand; `passed`: those it let go on."""

    waiting: list[asyncio.Event] = field(default_factory=list)
    passed: int = 0

    async def enter(self) -> None:
        """Stand until let go on."""
        gate = asyncio.Event()
        self.waiting.append(gate)
        await gate.wait()

    def let_one_pass(self) -> None:
        """The one that came first goes on."""
        self.waiting.pop(0).set()
        self.passed += 1


@dataclass
class SlowAgent(FakeAgent):
    """An agent that takes its first content only when the turnstile lets it."""

    turnstile: Turnstile = field(default_factory=Turnstile)

    async def send(self, messages: Sequence[NcmMessage]) -> None:
        if any(isinstance(message, ScopeUpdate) for message in messages) and not self.held:
            await self.turnstile.enter()
        await super().send(messages)


def populate(site: Site) -> int:
    """Hosts, each with a port of the one network; the revision."""
    put: dict[Scope, list[Item]] = {host_scope(name): [a_host(name)] for name in HOSTS}
    site.publisher.change(put)
    for name in HOSTS:
        site.publisher.change(bound(*ports(f"port of {name}"), host_id=name))
    return site.publisher.head


async def test_agents_that_return_are_sent_nothing() -> None:
    """200 agents that hold what there is come back at once: each hears that it does, and not one item is sent."""
    async with a_site(syncing_max=PLACES) as site:
        head = populate(site)
        agents = await asyncio.gather(*(site.attached(FakeAgent(name)) for name in HOSTS))
        await asyncio.gather(*(site.left(agent) for agent in agents))

        again = [
            FakeAgent(agent.host_id, epoch=agent.epoch, held=agent.held, position=agent.position)
            for agent in agents
        ]
        await asyncio.gather(*(site.attached(agent) for agent in again))

        said = [message for agent in again for message in agent.messages]
        assert {type(message) for message in said} == {Welcome, Heads}
        assert min(min(agent.position.values()) for agent in again) == head


async def test_agents_that_hold_nothing_come_in_turns() -> None:
    """Of 200 at once so many are sent content as there are places; the others are welcomed, and wait."""
    async with a_site(syncing_max=PLACES) as site:
        head = populate(site)
        turnstile = Turnstile()
        agents = [SlowAgent(name, turnstile=turnstile) for name in HOSTS]
        for agent in agents:
            site.attach(agent)
        await asyncio.gather(*(agent.until(lambda agent=agent: agent.messages) for agent in agents))  # type: ignore[misc]  # bound now
        while turnstile.passed < len(HOSTS):
            await site.settled()
            assert len(turnstile.waiting) == min(PLACES, len(HOSTS) - turnstile.passed)
            waiting = len(HOSTS) - turnstile.passed - len(turnstile.waiting)
            assert REGISTRY.get_sample_value("alcor_ncm_agents_waiting") == waiting
            turnstile.let_one_pass()

        await asyncio.gather(*(agent.until_synced(head) for agent in agents))
        scopes = [REGION, network_scope("net-1"), neighbours_scope("net-1")]
        assert all(site.same(agent, [*scopes, host_scope(agent.host_id)]) for agent in agents)
        assert not [agent for agent in agents if agent.early or agent.gaps]


async def test_who_waits_may_go() -> None:
    """Agents that go while they wait, or in their turn, leave their places to others."""
    async with a_site(syncing_max=1) as site:
        populate(site)
        turnstile = Turnstile()
        slow, patient = SlowAgent("host-1", turnstile=turnstile), FakeAgent("host-2")
        for agent in (slow, patient):
            site.attach(agent)
            await agent.until(lambda agent=agent: agent.messages)  # type: ignore[misc]  # bound now
        await site.settled()
        assert len(turnstile.waiting) == 1
        await site.left(patient)
        await site.left(slow)

        await site.attached(FakeAgent("host-3"))
        assert REGISTRY.get_sample_value("alcor_ncm_agents_waiting") == 0


async def test_who_does_not_read_keeps_others_waiting_for_a_time_only() -> None:
    """An agent that takes nothing loses its place, and is served on when it reads."""
    async with a_site(syncing_max=1, place_s=0.05) as site:
        head = populate(site)
        turnstile = Turnstile()
        stuck = SlowAgent("host-1", turnstile=turnstile)
        site.attach(stuck)
        await stuck.until(lambda: stuck.messages)
        await site.settled()

        await site.attached(FakeAgent("host-2"))
        assert not stuck.held
        turnstile.let_one_pass()
        await stuck.until_synced(head)
