"""A model of what hosts hold in part, and of what stands between them and publishers: ncms.

One scope of two items, through three revisions of which the last is as the first; publishers that take in one revision
or several at a time, the second one perhaps a laggard; ncms that let go of the scope and want it again, miss steps, and
hear a publisher late; an agent that asks for items, lets go of them, goes from one ncm to another, and is cut off or
dies anywhere. An agent may hold the scope whole instead.

What is abstracted: one shard and one epoch; streams keep their order and lose all that was under way when they break;
an item is a value, a subject is its item, and the news of one turn go in one message.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from tests.model.cache import Cached, CacheRules, Said, Shard
from tests.model.rule import Height, Rules, Verdict

KEYS = (0, 1)
VALUES: tuple[tuple[int, ...], ...] = ((0, 0), (1, 0), (2, 1), (1, 0))
"""Revision → value of each key. Of 1 and 3 the same is true, and nothing else was in between but 2."""
LAST = len(VALUES) - 1
AWAY = -1
EPOCH = 1


def touched(begins: int, through: int) -> frozenset[int]:
    """The keys that any revision after `begins` through `through` changed."""
    return frozenset(
        key for at in range(begins, through) for key in KEYS if VALUES[at][key] != VALUES[at + 1][key]
    )


class Publisher(NamedTuple):
    """Who speaks for the shard. `turns`: where each of its turns ended; the first one is what it was loaded at."""

    generation: int
    turns: tuple[int, ...]

    @property
    def position(self) -> int:
        """Through which revision it has followed the log."""
        return self.turns[-1]


class Told(NamedTuple):
    """What an ncm tells an agent. `values`: of each key; None is not mentioned. `absent`: keys that nobody has."""

    generation: int
    begins: int
    through: int
    values: tuple[int | None, ...]
    absent: frozenset[int] = frozenset()


class HeadsTold(NamedTuple):
    """Heads, as an ncm tells them."""

    generation: int
    through: int


class Question(NamedTuple):
    """What an agent says of a key."""

    what: str
    key: int


RESUME = Question("resume", AWAY)
NONE: frozenset[int] = frozenset()


class Session(NamedTuple):
    """What an ncm knows of its agent. `position`: AWAY until what it said it holds is judged, 0 if it holds nothing.

    keys: what it holds. news: keys to be told. unsaid: to be told absent. absent: what it was told to be. came: what
    was absent and appeared, and is not told yet.
    """

    position: int = AWAY
    keys: frozenset[int] = NONE
    news: frozenset[int] = NONE
    unsaid: frozenset[int] = NONE
    absent: frozenset[int] = NONE
    came: frozenset[int] = NONE


class Ncm(NamedTuple):
    """An ncm. `link`: whom it listens to, 0 if nobody. `given`: through which revision it was told since it wanted the
    scope there, 0 if not yet: until then heads wait."""

    link: int = 0
    given: int = 0
    shard: Shard = Shard()
    cached: Cached | None = None


class Agent(NamedTuple):
    """A host. `at`: its ncm. `height`: its position, AWAY if it holds nothing. `items`: the value of what it holds, 0
    of what it does not. `fence`: the highest generation heard."""

    at: int = AWAY
    height: int = AWAY
    items: tuple[int, ...] = (0,) * len(KEYS)
    absent: frozenset[int] = NONE
    fence: int = 0
    asked: bool = False
    passed: int = AWAY


class State(NamedTuple):
    """Everything there is at one moment. `stream`: from the ncm to the agent; `said`: the other way."""

    publishers: tuple[Publisher, ...]
    ncms: tuple[Ncm, ...]
    agent: Agent
    session: Session
    stream: Told | HeadsTold | None = None
    said: Question | None = None


Change = tuple[State, State] | None
Move = tuple[str, bool, State, Change]


@dataclass(frozen=True)
class Bounds:
    """How large the model is. `asks`: keys that the agent may ask for; none: it holds the scope whole.

    gaps: whether ncms miss steps. drops: whether they let go of the scope while no agent is there. loads: at which
    revisions the second publisher may begin. at_once: how many revisions a publisher takes in at once.
    revisions: of the log.
    """

    publishers: int = 2
    ncms: int = 1
    asks: tuple[int, ...] = KEYS
    gaps: bool = False
    drops: bool = True
    loads: tuple[int, ...] = (1, 2, 3)
    revisions: int = LAST
    at_once: int = 2


class PartRules(CacheRules):
    """The rules of both ends of a scope that is held in part."""

    def waits(self, held: int, position: int) -> bool:
        """Whether an ncm that is behind its agent is silent until it is not."""
        return held > position

    def registers(self) -> bool:
        """Whether who was told that nobody has it is told of it when it appears."""
        return True

    def waits_again(self) -> bool:
        """Whether what appeared, and is gone again before that was told, is waited for as before."""
        return True

    def says_goodbye(self) -> bool:
        """Whether an agent is told of what it lets go of: nothing leaves it but by its ncm's word."""
        return True

    def names_between(self) -> bool:
        """Whether a step of several revisions names what is at its end as it was at its beginning."""
        return True

    def fence(self, fence: int) -> int:
        """The fence of an agent as a stream begins: an ncm speaks alone on it, and content depends on the revision."""
        return 0


class PartModel:
    """The moves from a state. `rules`: of receivers; `part`: of ncms, and of what is held in part."""

    def __init__(self, bounds: Bounds, part: PartRules, rules: Rules | None = None) -> None:
        self.bounds, self.part, self.rules = bounds, part, rules or Rules()

    @property
    def is_whole(self) -> bool:
        """Whether the agent holds the scope whole."""
        return not self.bounds.asks

    def initial(self) -> State:
        """One publisher is there, and everybody begins."""
        return State((Publisher(1, (1,)),), (Ncm(),) * self.bounds.ncms, Agent(), Session())

    def is_converged(self, state: State) -> bool:
        """Whether the agent has what there is of what it holds, and both ends agree on that."""
        agent, session = state.agent, state.session
        if agent.height != self.bounds.revisions or state.stream is not None or state.said is not None:
            return False
        if session.news or session.unsaid:
            return False
        held = frozenset(key for key in KEYS if agent.items[key])
        return self.is_whole or (session.keys == held and agent.absent <= session.absent)

    def is_seen(self, now: State) -> bool:
        """Whether something is held, and something else known to be nobody's."""
        return any(now.agent.items) and bool(now.agent.absent)

    def wrong(self, before: State, now: State) -> str:
        """What a move breaks; empty if nothing."""
        for old, ncm in zip(before.ncms, now.ncms, strict=True):
            if ncm.cached is None:
                continue
            position = self.part.position(ncm.cached, ncm.shard)
            if tuple(value for value, _ in ncm.cached.items) != VALUES[position]:
                return f"an ncm holds at {position} what is not the state of that revision"
            if old.cached is not None and position < self.part.position(old.cached, old.shard):
                return "an ncm went back"
        agent = now.agent
        if agent.height == AWAY:
            return ""
        if agent.height < before.agent.height:
            return f"an agent went back from {before.agent.height} to {agent.height}"
        state = VALUES[agent.height]
        for key in KEYS:
            if agent.items[key] != state[key] and (agent.items[key] or self.is_whole):
                return f"what is held at {agent.height} is not the state of that revision"
            if key in agent.absent and state[key]:
                return f"what there is at {agent.height} is thought to be nobody's"
        return ""

    def moves(self, state: State) -> Iterator[Move]:
        """Everything that can happen next."""
        yield from self._publishers(state)
        for number, ncm in enumerate(state.ncms):
            for name, is_fault, after in self._ncm(state, ncm, is_used=state.agent.at == number):
                ncms = (*state.ncms[:number], after, *state.ncms[number + 1 :])
                session = state.session
                if state.agent.at == number:
                    session = self._stirred(session, ncm.cached, after.cached)
                now = state._replace(ncms=ncms, session=session)
                yield name, is_fault, now, (state, now)
        yield from self._told(state)
        yield from self._agent(state)

    # --- publishers ---

    def _publishers(self, state: State) -> Iterator[Move]:
        for place, one in enumerate(state.publishers):
            for through in range(
                one.position + 1, min(self.bounds.revisions, one.position + self.bounds.at_once) + 1
            ):
                moved = one._replace(turns=(*one.turns, through))
                after = (*state.publishers[:place], moved, *state.publishers[place + 1 :])
                yield f"publish-{through - one.position}", False, state._replace(publishers=after), None
        if len(state.publishers) < self.bounds.publishers:
            # It followed the log by itself, perhaps less far; the old one does not know yet, and goes on speaking.
            generation = len(state.publishers) + 1
            for at in self.bounds.loads:
                made = (*state.publishers, Publisher(generation, (at,)))
                yield "lead", True, state._replace(publishers=made), None

    def _step(self, begins: int, through: int) -> Said:
        keys = touched(begins, through)
        if not self.part.names_between():
            keys = frozenset(key for key in KEYS if VALUES[begins][key] != VALUES[through][key])
        return Said(begins, through, tuple(VALUES[through][key] if key in keys else None for key in KEYS))

    def _snapshot(self, one: Publisher) -> Said:
        late = [0] * len(KEYS)
        for begins, through in zip(one.turns, one.turns[1:], strict=False):
            for key in touched(begins, through):
                late[key] = through
        floor = one.turns[0]
        return Said(0, one.position, VALUES[one.position], max(*late, floor), floor, tuple(late))

    # --- ncms ---

    def _ncm(self, state: State, ncm: Ncm, *, is_used: bool) -> Iterator[tuple[str, bool, Ncm]]:
        cached, shard, part = ncm.cached, ncm.shard, self.part
        for one in state.publishers:
            if one.generation > ncm.link:
                yield "route", False, ncm._replace(link=one.generation, given=0)
        if ncm.link == 0:
            return
        one = state.publishers[ncm.link - 1]
        if not ncm.given:
            yield "answer", False, self._answered(ncm, one)
            return
        for through in one.turns:
            if through > ncm.given:
                said = self._step(ncm.given, through)
                yield from self._stepped(ncm, one, said)
        if cached is not None:
            held, moved = part.heads(cached, shard, one.generation, ncm.given)
            if (held, moved) != (cached, shard):
                name = "heads-back" if ncm.given < shard.through else "heads"
                yield name, False, ncm._replace(cached=held, shard=moved)
        if cached is not None and not cached.reloads and self.bounds.gaps:
            yield "cut-ncm", True, ncm._replace(given=0)
            yield "gap", True, ncm._replace(cached=part.reload(cached, shard), given=0)
        if cached is not None and not is_used and self.bounds.drops:
            yield "drop", True, ncm._replace(cached=None, given=0)

    def _answered(self, ncm: Ncm, one: Publisher) -> Ncm:
        """The first that is said of what is wanted: that nothing changed since, or all of it."""
        said = self._snapshot(one)
        shard = ncm.shard._replace(generation=one.generation)
        cached, part = ncm.cached, self.part
        position = 0 if cached is None or cached.reloads else part.position(cached, shard)
        if cached is None:
            cached = part.begin(said)
        elif position and said.changed <= position:
            empty = Said(min(position, one.position), one.position, (None,) * len(KEYS))
            cached = part.step(cached, shard, empty) or cached
        else:
            cached = part.compare(cached, shard, said)
        return ncm._replace(given=one.position, shard=shard, cached=cached)

    def _stepped(self, ncm: Ncm, one: Publisher, said: Said) -> Iterator[tuple[str, bool, Ncm]]:
        if ncm.cached is None:
            return
        shard = ncm.shard._replace(generation=one.generation)
        held = self.part.step(ncm.cached, shard, said)
        if held is None:
            again = self.part.reload(ncm.cached, shard)
            yield "missed", False, ncm._replace(cached=again, shard=shard, given=0)
        else:
            after = ncm._replace(given=said.through, shard=shard, cached=held)
            yield f"step-{said.through - said.begins}", False, after

    def _stirred(self, session: Session, before: Cached | None, now: Cached | None) -> Session:
        """What a change of the scope is to its agent's part."""
        if now is None or before is None or session.position == AWAY or self.is_whole:
            return session
        for key in KEYS:
            one, is_there = frozenset((key,)), bool(now.items[key][0])
            if now.items[key] == before.items[key]:
                continue
            keys, news, unsaid, absent, came = session[1:]
            if key in keys:
                session = session._replace(news=news | one, keys=keys if is_there else keys - one)
                if not is_there and key in came and self.part.waits_again():
                    session = session._replace(unsaid=unsaid | one, absent=absent | one, came=came - one)
            elif is_there and key in absent and self.part.registers():
                session = Session(
                    session.position, keys | one, news | one, unsaid - one, absent - one, came | one
                )
        return session

    # --- from an ncm to its agent ---

    def _told(self, state: State) -> Iterator[Move]:
        agent = state.agent
        ncm = state.ncms[agent.at] if agent.at != AWAY else None
        if ncm is None or ncm.cached is None or state.stream is not None:
            return
        cached, generation = ncm.cached, ncm.shard.generation
        position = self.part.position(cached, ncm.shard)
        session = state.session
        if session.position == AWAY:
            is_part = any(agent.items) or agent.height != AWAY
            if is_part and not self.is_whole and self.part.waits(agent.height, position):
                return
            session = self._judged(agent, cached)
        told, after = None, session
        if session.position <= 0 or not self.part.waits(session.position, position):
            told, after = self._lacking(cached, position, generation, session)
            if told is None and position > session.position:
                told, after = HeadsTold(generation, position), session._replace(position=position)
        if told is not None or after != state.session:
            yield "tell", False, state._replace(stream=told, session=after), None

    def _judged(self, agent: Agent, cached: Cached) -> Session:
        """What an agent says it holds, as it begins."""
        if agent.height == AWAY:
            return Session(0)
        if self.is_whole:
            return Session(agent.height if self.part.leads_on(cached, agent.height) else 0)
        said = frozenset(key for key in KEYS if agent.items[key])
        is_blind = self.part.is_blind(cached, agent.height)
        news = {
            key for key in said if is_blind or not cached.items[key][0] or cached.items[key][1] > agent.height
        }
        held = {key for key in said if cached.items[key][0]}
        return Session(agent.height, frozenset(held), frozenset(news))

    def _lacking(
        self, cached: Cached, position: int, generation: int, session: Session
    ) -> tuple[Told | HeadsTold | None, Session]:
        """What an agent lacks; None if nothing."""
        if self.is_whole:
            return self._lacking_whole(cached, position, generation, session)
        if session.position == 0:
            values = [cached.items[key][0] if key in session.keys else None for key in KEYS]
            after = session._replace(position=position, news=NONE, came=NONE)
            return Told(generation, 0, position, tuple(values)), after
        if not session.news and not session.unsaid:
            return None, session
        values = [None] * len(KEYS)
        for key in session.news:
            values[key] = cached.items[key][0] if key in session.keys else 0
        after = session._replace(position=position, news=NONE, unsaid=NONE, came=NONE)
        return Told(generation, session.position, position, tuple(values), session.unsaid), after

    def _lacking_whole(
        self, cached: Cached, position: int, generation: int, session: Session
    ) -> tuple[Told | HeadsTold | None, Session]:
        at = session.position
        after = session._replace(position=position)
        if at and cached.changed <= at and not self.part.is_blind(cached, at):
            return None, session
        if at and self.part.leads_on(cached, at):
            values = [value if revision > at else None for value, revision in cached.items]
            return Told(generation, at, position, tuple(values)), after
        return Told(generation, 0, position, tuple([value for value, _ in cached.items])), after

    # --- the agent ---

    def _agent(self, state: State) -> Iterator[Move]:
        agent = state.agent
        if agent.at == AWAY:
            for number in range(len(state.ncms)):
                # What it was told to be nobody's may have come unseen.
                fence = self.part.fence(agent.fence)
                joined = agent._replace(at=number, absent=NONE, fence=fence, asked=False, passed=AWAY)
                yield "attach", False, state._replace(agent=joined, session=Session()), None
            return
        gone = State(state.publishers, state.ncms, agent._replace(at=AWAY), Session())
        yield "cut-agent", True, gone, None
        yield "crash-agent", True, gone._replace(agent=Agent()), None
        if state.stream is not None:
            heard, question = self._heard(agent, state.stream)
            after = state._replace(agent=heard, stream=None, said=question or state.said)
            yield "take", False, after, (state, after)
        if state.said is not None:
            yield "ask", False, self._answer(state, state.said), None
            return
        for key in self.bounds.asks if agent.height != AWAY else ():
            if agent.items[key]:
                yield "let-go", True, state._replace(said=Question("forget", key)), None
            elif key not in agent.absent:
                yield "look-up", True, state._replace(said=Question("look-up", key)), None

    def _heard(self, agent: Agent, message: Told | HeadsTold) -> tuple[Agent, Question | None]:
        """An agent takes in what it is told, and may have to ask for what it missed."""
        if self.rules.refuses((EPOCH, agent.fence), (EPOCH, message.generation)):
            return agent, None
        agent = agent._replace(fence=message.generation)
        if isinstance(message, HeadsTold):
            if agent.asked or agent.height == AWAY:
                return agent._replace(passed=max(agent.passed, message.through)), None
            return agent._replace(height=max(agent.height, message.through)), None
        verdict = self._verdict(agent, message)
        if verdict is Verdict.ASK:
            return agent._replace(asked=True), RESUME
        if verdict is Verdict.IGNORE:
            return agent, None
        held = (0,) * len(KEYS) if message.begins == 0 else agent.items
        items = tuple(old if new is None else new for old, new in zip(held, message.values, strict=True))
        absent = (agent.absent | message.absent) - {key for key in KEYS if items[key]}
        asks = agent.passed > message.through
        heard = agent._replace(height=message.through, items=items, absent=absent, asked=asks, passed=AWAY)
        return heard, RESUME if asks else None

    def _verdict(self, agent: Agent, message: Told) -> Verdict:
        height = Height(EPOCH, agent.height)
        step = height, EPOCH, message.begins, message.through
        if self.is_whole:
            return self.rules.verdict(*step, asked=agent.asked)
        is_part = agent.height != AWAY
        return self.rules.verdict_in_part(*step, is_part=is_part, is_lazy=True, asked=agent.asked)

    def _answer(self, state: State, question: Question) -> State:
        """An ncm hears its agent."""
        session, ncm, key = state.session, state.ncms[state.agent.at], question.key
        after = state._replace(said=None)
        if ncm.cached is None or session.position == AWAY:
            # The agent asks again when no answer comes.
            return after
        if question == RESUME:
            return after._replace(
                session=session._replace(position=max(state.agent.height, 0) * self.is_whole)
            )
        if question.what == "forget":
            one = frozenset((key,))
            news = session.news | one if self.part.says_goodbye() else session.news
            session = session._replace(keys=session.keys - one, news=news, came=session.came - one)
        elif ncm.cached.items[key][0]:
            session = session._replace(keys=session.keys | {key}, news=session.news | {key})
        else:
            session = session._replace(unsaid=session.unsaid | {key}, absent=session.absent | {key})
        return after._replace(session=session)
