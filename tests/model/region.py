"""A model of delivery, small enough that every state of it can be looked at.

Two scopes, one of which comes to refer to the other; a log of at most three revisions, whose database may be put back
once (then a new epoch begins and other things happen); publishers with generations, of which an old one may go on
speaking; agents; and between them a channel that loses messages, and gives those that it keeps in any order, any number
of times. Publishers and agents crash anywhere.

What is abstracted: one shard per scope; a head is a step without items that begins where its publisher stood; an ncm is
part of the channel; a snapshot is one message; the channel keeps a few messages at a time. That it loses one is no
fault: from every state there must be a way to rest after which nothing is in the channel that helps.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from tests.model.rule import NOT_HELD, NOTHING, Height, Rules, Stamp, Verdict

GROUP, HOST = 0, 1
"""The scopes: the rules of a group, and a host's own with the port that comes to be guarded by it."""
ALLOW, PORT, OTHER = 1, 2, 4
"""Keys of items; what a scope holds is a sum of them."""

# Scope → epoch → what it holds at revision 0, 1, 2, 3. In the first epoch the group allows everything at 1 and nothing
# from 2 on, and the port is attached at 3: it is never open. In the second one it is.
STATES: dict[int, dict[int, tuple[int, ...]]] = {
    GROUP: {1: (0, ALLOW, 0, 0), 2: (0, ALLOW, ALLOW | OTHER)},
    HOST: {1: (0, OTHER, OTHER, PORT), 2: (0, OTHER, OTHER | PORT)},
}
SINCE = {1: 3, 2: 2}
"""Epoch → the revision that introduced the port's reference to the group."""
FIRST = 1
"""The revision every run begins with, and to which the database may be put back."""


def delta(scope: int, epoch: int, begins: int, through: int) -> tuple[int, int]:
    """(put, removed) of a step: every key that changed, as it is at its end."""
    states = STATES[scope][epoch]
    touched = 0
    for revision in range(begins, through):
        touched |= states[revision] ^ states[revision + 1]
    return states[through] & touched, touched & ~states[through]


class Publisher(NamedTuple):
    """Who speaks for both shards. `position`: what it has said so far."""

    epoch: int
    generation: int
    position: int


class Turn(NamedTuple):
    """What a publisher says when it advances: a step of every scope; or a head, which begins where it ends."""

    epoch: int
    generation: int
    begins: int
    through: int


class Answer(NamedTuple):
    """The answer to who asked for a scope; `begins` 0: a snapshot."""

    scope: int
    epoch: int
    generation: int
    begins: int
    through: int


Message = Turn | Answer


class Held(NamedTuple):
    """A scope at an agent."""

    height: Height
    content: int
    fence: Stamp
    is_asked: bool


Scopes = tuple[Held, Held]


class State(NamedTuple):
    """Everything there is at one moment."""

    epoch: int
    head: int
    generation: int
    publishers: tuple[Publisher, ...]
    channel: frozenset[Message]
    agents: tuple[Scopes, ...]


class Move(NamedTuple):
    """A step of the model. `is_fault`: nothing depends on that it is made. `agent`: whose scopes it changes, and what
    they were and are.
    """

    name: str
    is_fault: bool
    after: State
    agent: tuple[Scopes, Scopes] | None = None


NOBODY = Held(NOT_HELD, 0, (0, 0), False)
DEAD: Scopes = (NOBODY, NOBODY)
"""An agent that is not there: it asks for nothing."""
FRESH: Scopes = (NOBODY._replace(is_asked=True),) * 2
"""A new agent: it holds nothing and asks for everything."""


@dataclass(frozen=True)
class Bounds:
    """How large the model is. `restores`: whether the database may be put back. `kept`: messages in the channel."""

    agents: int = 1
    publishers: int = 2
    revisions: int = 3
    generations: int = 2
    restores: bool = False
    kept: int = 2


def is_open(agent: Scopes, rules: Rules) -> bool:
    """Whether an agent lets everything in to the port."""
    group, host = agent
    if not host.content & PORT or not group.content & ALLOW:
        return False
    return rules.resolves(host.height, SINCE[host.height.epoch], group.height)


def was_open(epoch: int) -> bool:
    """Whether the port is open at any revision of an epoch."""
    pairs = zip(STATES[GROUP][epoch], STATES[HOST][epoch], strict=True)
    return any(group & ALLOW and host & PORT for group, host in pairs)


class Model:
    """The moves from a state. `rules`: of receivers."""

    def __init__(self, bounds: Bounds, rules: Rules) -> None:
        self.bounds, self.rules = bounds, rules
        self._received: dict[tuple[Held, int, Message], Held] = {}

    def initial(self) -> State:
        """One revision is there, and nobody has said anything."""
        return State(1, FIRST, 0, (), frozenset(), (FRESH,) * self.bounds.agents)

    def moves(self, state: State) -> Iterator[Move]:
        """Everything that can happen next."""
        yield from self._log(state)
        yield from self._publishers(state)
        for message in state.channel:
            yield Move("lose", False, state._replace(channel=state.channel - {message}))
            yield from self._deliveries(state, message)
        for number, agent in enumerate(state.agents):
            if agent == DEAD:
                yield Move("agent-start", False, _with_agent(state, number, FRESH))
            else:
                yield Move("agent-crash", True, _with_agent(state, number, DEAD))

    def _last(self, epoch: int) -> int:
        return min(self.bounds.revisions, len(STATES[GROUP][epoch]) - 1)

    def _log(self, state: State) -> Iterator[Move]:
        if state.head < self._last(state.epoch):
            yield Move("commit", False, state._replace(head=state.head + 1))
        if self.bounds.restores and state.epoch == 1 and state.head > FIRST:
            yield Move("restore", True, state._replace(epoch=2, head=FIRST, generation=0))

    def _publishers(self, state: State) -> Iterator[Move]:
        """Lead, follow, answer, die. Who leads in an old epoch does not see the new log: it says what it said."""
        present, latest = state.publishers, (state.epoch, state.generation)
        leads = any((one.epoch, one.generation) == latest for one in present)
        if state.generation < self.bounds.generations:
            # The lease moves when its holder is dead, or is taken for dead and goes on speaking. With no process
            # free, one of them begins anew.
            made = Publisher(state.epoch, state.generation + 1, state.head)
            left = present if len(present) < self.bounds.publishers else present[1:]
            after = state._replace(generation=made.generation, publishers=(*left, made))
            yield Move("lead", leads, after)
        for place, one in enumerate(present):
            if one.epoch == state.epoch:
                yield from self._turns(state, place, one)
            # Besides answers: where it stands, so that who has missed the last turn hears of it.
            said = self._answers(state, one) | {Turn(one.epoch, one.generation, one.position, one.position)}
            for message in said - state.channel:
                if len(state.channel) < self.bounds.kept:
                    yield Move("say", False, state._replace(channel=state.channel | {message}))
            # The last one stays, if no other may come: else nobody would be there in the end.
            if (one.epoch, one.generation) != latest or state.generation < self.bounds.generations:
                left = present[:place] + present[place + 1 :]
                yield Move("publisher-crash", True, state._replace(publishers=left))

    def _turns(self, state: State, place: int, one: Publisher) -> Iterator[Move]:
        present = state.publishers
        for through in range(one.position + 1, state.head + 1):
            moved = (*present[:place], one._replace(position=through), *present[place + 1 :])
            after = state._replace(publishers=moved)
            # The channel may be full, or lose it at once.
            yield Move("publish", False, after)
            if len(state.channel) < self.bounds.kept:
                turn = Turn(one.epoch, one.generation, one.position, through)
                yield Move("publish", False, after._replace(channel=state.channel | {turn}))

    def _answers(self, state: State, one: Publisher) -> set[Message]:
        """What a publisher may say to those who ask: a snapshot, or the steps from where they are."""
        found: set[Message] = set()
        for agent in state.agents:
            for scope, held in enumerate(agent):
                if held.is_asked:
                    found.add(Answer(scope, one.epoch, one.generation, 0, one.position))
                    epoch, position = held.height
                    if epoch == one.epoch and FIRST <= position < one.position:
                        found.add(Answer(scope, one.epoch, one.generation, position, one.position))
        return found

    def _deliveries(self, state: State, message: Message) -> Iterator[Move]:
        for number, agent in enumerate(state.agents):
            if agent == DEAD:
                continue
            for scope in (GROUP, HOST):
                if isinstance(message, Answer) and message.scope != scope:
                    continue
                # Of an epoch that is over nothing is heard any more, in no shard.
                epoch = max(held.fence[0] for held in agent)
                if self.rules.refuses((epoch, 0), (message.epoch, message.generation)):
                    continue
                now = self.received(agent[scope], scope, message)
                if now != agent[scope]:
                    scopes = (now, agent[HOST]) if scope == GROUP else (agent[GROUP], now)
                    yield Move("deliver", False, _with_agent(state, number, scopes), (agent, scopes))

    def received(self, held: Held, scope: int, message: Message) -> Held:
        """A scope after a message about it."""
        case = (held, scope, message)
        found = self._received.get(case)
        if found is None:
            found = self._received[case] = self._receive(held, scope, message)
        return found

    def _receive(self, held: Held, scope: int, message: Message) -> Held:
        stamp = (message.epoch, message.generation)
        if self.rules.refuses(held.fence, stamp):
            return held
        held = held._replace(fence=stamp)
        begins, through = message.begins, message.through
        verdict = self.rules.verdict(held.height, message.epoch, begins, through, asked=held.is_asked)
        if verdict is Verdict.IGNORE:
            return held
        if verdict is Verdict.ASK:
            return held._replace(is_asked=True)
        put, removed = delta(scope, message.epoch, begins, through)
        before = 0 if begins == 0 else held.content
        return Held(Height(message.epoch, through), before & ~removed | put, stamp, False)

    def is_converged(self, state: State) -> bool:
        """Whether every agent has everything that there is."""
        goal = Height(state.epoch, self._last(state.epoch))
        return all(held.height == goal for agent in state.agents for held in agent)

    def is_seen(self, now: Scopes) -> bool:
        """Whether the port is open."""
        return is_open(now, self.rules)

    def wrong(self, before: Scopes, now: Scopes) -> str:
        """What an agent's move breaks; empty if nothing."""
        for scope, (old, held) in enumerate(zip(before, now, strict=True)):
            epoch, position = held.height
            if position != NOTHING and held.content != STATES[scope][epoch][position]:
                return f"what is held at {held.height} is not the state of that revision"
            if held.height < old.height:
                return f"an agent went back from {old.height} to {held.height}"
            if held.fence < old.fence:
                return f"an agent listened to {held.fence} after {old.fence}"
        if is_open(now, self.rules) and not was_open(now[HOST].height.epoch):
            return "a port is open that never was"
        return ""


def _with_agent(state: State, number: int, agent: Scopes) -> State:
    """Agents are alike: their order is that of what they hold, or every state would be counted once for each order."""
    agents = state.agents
    if len(agents) == 1:
        return state._replace(agents=(agent,))
    return state._replace(agents=tuple(sorted((*agents[:number], agent, *agents[number + 1 :]))))
