"""What agents of the real code were told and said, and where they stood afterwards; and whether the rules allow it.

Recorded at the edges of the product: the agent's stream and its next hello (`stand` records ncms). `check`
goes through a record with the rules of `tests.model.rule`, which the model is explored with: after every batch the code
must stand where these lead, must have asked for nothing else, and what it was given must be the state of that revision
as it is compiled from rows.
"""

from collections import Counter, deque
from collections.abc import AsyncIterator, Sequence, Set
from dataclasses import dataclass, field

from alcor.agent.driver import FlowDiff
from alcor.agent.service import Agent
from alcor.bus.interface import (
    Ack,
    AgentConnector,
    AgentMessage,
    AgentStream,
    Dropped,
    Forget,
    Heads,
    Hello,
    Lookup,
    NcmMessage,
    Resume,
    ScopeUpdate,
)
from alcor.goalstate.item import Item, Key, refers
from alcor.goalstate.scope import REGION, Scope, host_scope, shard_of
from alcor.pipeline.resolve import closure
from tests.model.rule import NOT_HELD, NOTHING, Height, Rules, Stamp, Verdict
from tests.support.sim.opened import Known, References, is_whole, port_key
from tests.support.sim.stand import Stood, check_ncms, is_state
from tests.support.sim.truth import Revision, Truth

WRONG_MAX = 10
# A turn that may remove has begun some batches before its change is made.
LOOKED_BACK = 4
Step = ScopeUpdate | Heads | Dropped


@dataclass(frozen=True)
class Began:
    """A new stream of an agent's life; it says where it is."""

    who: str
    hello: Hello


@dataclass(frozen=True)
class Got:
    """A batch that an agent took in, and where it stood then.

    held: of scopes held in part, what it held. opened: the ports that it let packets through to.
    """

    who: str
    batch: tuple[Step, ...]
    epoch: int
    positions: dict[Scope, int]
    held: dict[Scope, frozenset[Key]]
    opened: frozenset[str]


@dataclass(frozen=True)
class Spoke:
    """An agent asked for what it does not hold of a scope, or let go of some of it (`keys`)."""

    who: str
    scope: Scope
    keys: frozenset[Key] | None


@dataclass(frozen=True)
class Asked:
    """An agent saw a gap."""

    who: str
    resume: Resume


@dataclass(frozen=True)
class Removed:
    """An agent removes something from its switch, for the first time in this life of either."""

    who: str


@dataclass(frozen=True)
class Acked:
    """An agent said that what it holds is in its switch: shard → through."""

    who: str
    epoch: int
    realized: dict[int, int]


Event = Began | Got | Spoke | Asked | Acked | Removed | Stood


class WatchedConnector:
    """Implements `AgentConnector`: another one, watched. `agent`: set once it is made."""

    def __init__(self, who: str, inner: AgentConnector, events: list[Event]) -> None:
        self._who, self._inner, self._events = who, inner, events
        self.agent: Agent | None = None
        self._removed = 0

    async def connect(self) -> AgentStream:
        """As the other one."""
        return _WatchedStream(self, await self._inner.connect())

    def heard(self, message: AgentMessage) -> None:
        """The agent said it."""
        if isinstance(message, Hello):
            self._events.append(Began(self._who, message))
        elif isinstance(message, Resume):
            self._events.append(Asked(self._who, message))
        elif isinstance(message, Lookup):
            self._events.append(Spoke(self._who, message.scope, None))
        elif isinstance(message, Forget):
            self._events.append(Spoke(self._who, message.scope, frozenset(message.keys)))
        elif isinstance(message, Ack):
            self._events.append(Acked(self._who, message.epoch, dict(message.realized)))

    def changes(self, diff: FlowDiff) -> None:
        """The agent is about to change its switch."""
        assert self.agent is not None
        life = self.agent._reconciler._life
        if life != self._removed and (diff.remove or diff.groups_removed or diff.meters_removed):
            self._removed = life
            self._events.append(Removed(self._who))

    def took(self, batch: Sequence[NcmMessage]) -> None:
        """The agent has taken it in."""
        assert self.agent is not None
        steps = tuple(each for each in batch if isinstance(each, ScopeUpdate | Heads | Dropped))
        hello = self.agent.hello()
        held = {scope: frozenset(keys) for scope, keys in hello.held.items()}
        opened = frozenset(self.agent.view.ports)
        self._events.append(Got(self._who, steps, hello.epoch, dict(hello.positions), held, opened))


class _WatchedStream:
    def __init__(self, owner: WatchedConnector, inner: AgentStream) -> None:
        self._owner, self._inner = owner, inner

    async def send(self, message: AgentMessage) -> None:
        self._owner.heard(message)
        await self._inner.send(message)

    async def receive(self) -> AsyncIterator[Sequence[NcmMessage]]:
        async for batch in self._inner.receive():
            yield batch
            # Who asks for the next batch has done with this one.
            self._owner.took(batch)

    async def close(self) -> None:
        await self._inner.close()


@dataclass
class _Held:
    """One scope of a receiver, as the rules have it."""

    height: Height = NOT_HELD
    items: dict[Key, Item] = field(default_factory=dict)
    chunks: list[ScopeUpdate] = field(default_factory=list)
    is_asked: bool = False
    passed: int = NOTHING
    is_part: bool = False
    is_between: bool = False
    """Of what is held in part, some is newer than the position, and the rest of the news is on its way."""


class _Receiver:
    """An agent's life, told again."""

    def __init__(self, who: str, own: Scope, truth: Truth, rules: Rules) -> None:
        self._who, self._own, self._truth, self._rules = who, own, truth, rules
        self._held: dict[Scope, _Held] = {}
        self._fences: dict[int, Stamp] = {}
        self._epoch = 0
        # What a new epoch says is taken in when all of it was said.
        self._kept: list[Step] = []
        self._closures: dict[int, set[Scope]] = {}
        self._references = References(truth)
        self._had: dict[Scope, set[Key]] = {}
        # Whether it had everything, after each of the last batches.
        self._was_whole = deque[bool]([False], LOOKED_BACK)
        self.asked: set[Resume] = set()
        self.wrong: list[str] = []

    def begin(self, hello: Hello) -> None:
        """A stream begins: what was half said is void. What is held is still held."""
        for held in self._held.values():
            held.chunks, held.is_asked, held.passed = [], False, NOTHING
        self._kept = []
        self._fences.clear()
        self._epoch = max(self._epoch, hello.epoch)
        self._compare(dict(hello.positions))

    def take(self, got: Got) -> None:
        """A batch. The code must stand where the rules lead."""
        own = self._held.get(self._own, _Held()).height
        for step in got.batch:
            epoch = 0 if isinstance(step, Dropped) else step.epoch
            if own.position != NOTHING and (epoch > own.epoch or (self._kept and not epoch)):
                self._kept.append(step)
            else:
                self._step(step)
        if self._kept and got.epoch > own.epoch and got.positions.get(self._own, 0) > 0:
            kept, self._kept = self._kept, []
            for step in kept:
                self._step(step)
        self._epoch = max(self._epoch, got.epoch)
        self._compare(got.positions)
        led = {scope: held.items.keys() for scope, held in self._held.items() if held.is_part}
        for scope, keys in led.items():
            self._had.setdefault(scope, set()).update(keys)
        for scope in sorted(led.keys() | got.held.keys()):
            if led.get(scope) != got.held.get(scope):
                self.wrong.append(
                    f"{self._who} holds {got.held.get(scope)} of {scope}, and was told {led.get(scope)}"
                )

        known = self._known()
        self._was_whole.append(is_whole(known, self._own, REGION))
        for port_id in sorted(got.opened):
            key = port_key(port_id)
            if key not in known[self._own].items:
                self.wrong.append(f"{self._who} has port {port_id} open, which it was not told of")
                continue
            for why in self._references.unmet(known, self._own, key):
                self.wrong.append(f"{self._who} has port {port_id} open: {why}")

    def _known(self) -> dict[Scope, Known]:
        return {scope: Known(held.height, held.items) for scope, held in self._held.items()}

    def remove(self) -> None:
        """It removes something: it must have had everything, a moment ago at least (I12)."""
        if not any(self._was_whole) and not is_whole(self._known(), self._own, REGION):
            self.wrong.append(f"{self._who} removes from its switch and has not everything yet")

    def speak(self, spoke: Spoke) -> None:
        """It lets go only of what it held in part; what it says may cross with what takes that from it."""
        if spoke.keys is not None and not spoke.keys <= self._had.get(spoke.scope, set()):
            self.wrong.append(
                f"{self._who} lets go of {spoke.keys} in {spoke.scope}, which it never held in part"
            )

    def _compare(self, positions: dict[Scope, int]) -> None:
        # Of an older epoch nothing can be resumed, and all is told: what is not needed any more must be dropped.
        led = {
            scope: held.height.position if held.height.epoch == self._epoch else 0
            for scope, held in self._held.items()
            if held.height.position != NOTHING
        }
        if led != positions:
            apart = {
                scope for scope in led.keys() | positions.keys() if led.get(scope) != positions.get(scope)
            }
            for scope in sorted(apart):
                self.wrong.append(
                    f"{self._who} stands at {positions.get(scope)} in {scope}, "
                    f"and the rules lead to {led.get(scope)}"
                )

    def acknowledge(self, acked: Acked) -> None:
        """It may say of a shard only what it holds of all its scopes (I14)."""
        for scope, held in self._held.items():
            through = acked.realized.get(shard_of(scope), NOTHING)
            if held.height.epoch == acked.epoch and NOTHING < held.height.position < through:
                self.wrong.append(f"{self._who} confirmed {through} and holds {scope} at {held.height}")

    def _is_its_own(self, update: ScopeUpdate) -> bool:
        """Whether the host refers to a scope: nobody gets another tenant's."""
        if update.scope in (self._own, REGION):
            return True
        begun = self._held.get(self._own, _Held()).height.position
        near = [one for at in (update.through, begun) for one in self._truth.at(update.epoch, at)]
        return any(update.scope in self._closure(one) for one in near) or self._was_reached(update)

    def _was_reached(self, update: ScopeUpdate) -> bool:
        """Whether references lead there, each as it was at some revision: an ncm's scopes are not all of one, nor, as a
        new epoch begins, of one epoch."""
        revisions = [one.states for one in self._truth.every()]
        found, pending = {self._own}, [self._own]
        while pending:
            scope = pending.pop()
            items = (item for states in revisions for item in states.get(scope, {}).values())
            new = {target for item in items for target in refers(item)} - found
            found |= new
            pending += sorted(new)
        return update.scope in found

    def _closure(self, revision: Revision) -> Set[Scope]:
        found = self._closures.get(id(revision))
        if found is None:
            found = self._closures[id(revision)] = set(closure(revision.states, self._own.id))
        return found

    def _refuses(self, shard: int, stamp: Stamp) -> bool:
        if stamp[0] < self._epoch or self._rules.refuses(self._fences.get(shard, (0, 0)), stamp):
            return True
        self._fences[shard] = stamp
        self._epoch = stamp[0]
        return False

    def _step(self, step: Step) -> None:
        if isinstance(step, Dropped):
            self._held.pop(step.scope, None)
        elif isinstance(step, Heads):
            self._heads(step)
        elif not self._refuses(shard_of(step.scope), (step.epoch, step.generation)):
            if not self._is_its_own(step):
                self.wrong.append(f"{self._who} was told of {step.scope}, to which its host does not refer")
            self._update(self._held.setdefault(step.scope, _Held()), step)

    def _update(self, held: _Held, update: ScopeUpdate) -> None:
        verdict = self._verdict(held, update)
        if verdict is Verdict.ASK:
            held.is_asked = True
            position = held.height.position if held.height.epoch == update.epoch else NOTHING
            is_whole_wanted = held.is_part and not update.lazy
            self.asked.add(Resume(update.scope, 0 if is_whole_wanted else max(position, 0)))
        if verdict is not Verdict.APPLY:
            return
        if update.from_revision == 0:
            if held.chunks and (held.chunks[0].epoch, held.chunks[0].lazy) != (update.epoch, update.lazy):
                held.chunks = []
            held.chunks.append(update)
            if update.more:
                return
            held.items = {}
        chunks, held.chunks = held.chunks or [update], []
        for chunk in chunks:
            for key in chunk.removed:
                held.items.pop(key, None)
            for envelope in chunk.put:
                held.items[envelope.key] = self._truth.read(envelope)
        height = Height(update.epoch, update.through)
        # As much of the news as went into a frame leaves the position where it is.
        held.is_between = update.lazy and held.is_part and update.from_revision > 0 and height == held.height
        held.height, held.is_part = height, update.lazy
        held.is_asked, held.passed = held.passed > update.through, NOTHING
        if held.is_asked:
            self.asked.add(Resume(update.scope, update.through))
        self._judge(update.scope, held)

    def _verdict(self, held: _Held, update: ScopeUpdate) -> Verdict:
        step = held.height, update.epoch, update.from_revision, update.through
        if held.is_part or update.lazy:
            return self._rules.verdict_in_part(
                *step, is_part=held.is_part, is_lazy=update.lazy, asked=held.is_asked
            )
        return self._rules.verdict(*step, asked=held.is_asked)

    def _heads(self, heads: Heads) -> None:
        for shard, through in heads.through.items():
            if self._refuses(shard, (heads.epoch, heads.generation)):
                continue
            for scope, held in self._held.items():
                if shard_of(scope) != shard:
                    continue
                can_follow = held.height.position != NOTHING and not held.is_asked and not held.chunks
                if held.height.epoch != heads.epoch or not can_follow:
                    held.passed = max(held.passed, through)
                elif held.height.position < through:
                    held.height = Height(heads.epoch, through)
                    self._judge(scope, held)

    def _judge(self, scope: Scope, held: _Held) -> None:
        """What was applied is the state of that revision (I7)."""
        if not held.is_between and not is_state(self._truth, scope, held.height, held.items, held.is_part):
            self.wrong.append(f"{self._who} holds of {scope} what it never was at {held.height}")


def check(
    events: Sequence[Event], truth: Truth, hosts: dict[str, str], counts: Counter[str] | None = None
) -> list[str]:
    """What in a record is not as the rules have it. `hosts`: name of an agent's life → host id. `counts`: is told how
    often happened what the models are about."""
    rules = Rules()
    receivers: dict[str, _Receiver] = {}
    for event in events:
        if isinstance(event, Stood):
            continue
        receiver = receivers.get(event.who)
        if receiver is None:
            own = host_scope(hosts[event.who])
            receiver = receivers[event.who] = _Receiver(event.who, own, truth, rules)
        if isinstance(event, Began):
            receiver.begin(event.hello)
        elif isinstance(event, Got):
            receiver.take(event)
        elif isinstance(event, Acked):
            receiver.acknowledge(event)
        elif isinstance(event, Removed):
            receiver.remove()
        elif isinstance(event, Spoke):
            receiver.speak(event)
        elif event.resume not in receiver.asked:
            receiver.wrong.append(f"{event.who} asked for {event.resume} without a gap")
    wrong, seen = check_ncms(events, truth)
    if counts is not None:
        counts.update(seen)
        counts.update("let_go" if one.keys else "looked_up" for one in events if isinstance(one, Spoke))
    return [*wrong, *(each for one in receivers.values() for each in one.wrong)][:WRONG_MAX]
