"""Networks that are held on demand: who asks for whom, and whether what is held of them is right."""

import asyncio
from collections.abc import Mapping
from random import Random

from alcor.goalstate.item import ItemKind, Key
from alcor.goalstate.scope import Scope, ScopeKind, host_scope
from alcor.goalstate.subject import LAZY_KINDS, subjects
from tests.support.sim.world import AgentNode, World

PAUSE_S = 0.1
ANSWERED_S = 3.0
"""Within so long what is asked at rest is answered."""


def held_on_demand(node: AgentNode) -> Mapping[Scope, tuple[Key, ...]]:
    """What a host holds of each scope that it holds on demand."""
    return {} if node.agent is None else node.agent.hello().held


def wrong_parts(world: World, node: AgentNode) -> list[str]:
    """What is wrong with what a host holds on demand: which scopes, which items, and whether its ncm knows of it."""
    agent, head = node.agent, world.truth.head
    assert agent is not None
    held = held_on_demand(node)
    found = [] if agent.view.lazy == held.keys() else [f"{node.name}: shows other scopes as held on demand"]
    relays = {key.id for key in head.state(host_scope(node.host_id)) if key.kind is ItemKind.RELAY}
    for scope in agent.hello().positions:
        if scope.kind not in LAZY_KINDS:
            continue
        size, is_part = len(head.state(scope)), scope in held
        is_relay = scope.kind is ScopeKind.NEIGHBOURS and scope.id in relays
        above, below = world.shape.lazy_above, world.shape.lazy_below
        if is_part and (not above or size < below or is_relay):
            found.append(f"{node.name} holds {scope} of {size} items in part")
        if not is_part and 0 < above < size and not is_relay:
            found.append(f"{node.name} holds {scope} of {size} items whole")
    for scope, keys in held.items():
        state = head.state(scope)
        stale = [key for key in keys if key not in state]
        if stale:
            found.append(f"{node.name} holds of {scope} what is not there: {stale}")
        known = _known_to_ncm(world, node, scope)
        if known != set(keys):
            found.append(f"{node.name} holds {sorted(keys)} of {scope}, its ncm thinks {sorted(known or ())}")
        texts = [text for item in state.values() for text in subjects(item)]
        absent = [text for text in texts if agent.asker.is_absent(scope, text)]
        if absent:
            found.append(f"{node.name} thinks that nobody in {scope} has {absent}")
    return found


def _known_to_ncm(world: World, node: AgentNode, scope: Scope) -> set[Key] | None:
    """What the ncm that serves a host says it holds of a scope."""
    for ncm in world.ncms:
        session = ncm.ncm._sessions.get(node.host_id) if ncm.is_running and ncm.ncm is not None else None
        holder = session._delivery._holder(scope) if session is not None else None
        if holder is not None:
            return set(holder.interest.keys_of(holder))
    return None


def unanswered(world: World, node: AgentNode) -> list[str]:
    """What a host that asked for everything has not been told of."""
    found = []
    for scope, keys in held_on_demand(node).items():
        lacking = world.truth.head.state(scope).keys() - set(keys)
        if lacking:
            found.append(f"{node.name} asked for all of {scope} and lacks {sorted(lacking)}")
    return found


class Talk:
    """Machines that talk to one another: their hosts ask for whom they do not know."""

    def __init__(self, world: World, random: Random) -> None:
        self.world, self.random = world, random

    async def work(self) -> None:
        """Ask now and then, also for nobody, and for who was there once."""
        if not self.world.shape.lazy_above:
            return
        while True:
            await asyncio.sleep(PAUSE_S * 2 * self.random.random())
            node = self.random.choice(self.world.agents)
            scopes = sorted(held_on_demand(node))
            if scopes:
                self._talk(node, self.random.choice(scopes))

    def _talk(self, node: AgentNode, scope: Scope) -> None:
        random, truth = self.random, self.world.truth
        texts = [text for item in truth.head.state(scope).values() for text in subjects(item)]
        if not texts or random.random() < 0.2:
            texts = [f"10.0.0.{random.randrange(250)}", "fa:16:3e:00:00:00"]
        held = held_on_demand(node)[scope]
        used = [key for key in held if random.random() < 0.3]
        self._ask(node, scope, random.sample(texts, min(len(texts), random.randint(1, 3))), used)

    def ask_all(self) -> bool:
        """Have each host ask for all that there is; whether there is anything to ask for."""
        is_any = False
        for node in self.world.agents:
            for scope, held in held_on_demand(node).items():
                texts = [
                    text for item in self.world.truth.head.state(scope).values() for text in subjects(item)
                ]
                self._ask(node, scope, texts, list(held))
                is_any = True
        return is_any

    def _ask(self, node: AgentNode, scope: Scope, texts: list[str], used: list[Key]) -> None:
        agent, component = node.agent, node.component
        if agent is None or component is None:
            return

        def ask() -> None:
            for text in texts:
                agent.asker.ask(scope, text, f"port-of-{text}")
            agent.asker.used(scope, used)

        self.world.loop.call_as(component, ask)
