"""The scopes an ncm holds for its hosts, as encoded bytes: each an ordered map, last changed last.

Promises
- A scope is held while a subscriber needs it, and for a grace after, so that an agent that reconnects costs nothing.
- A step is applied iff `from ≤ position < through`; a gap loads the scope again; lower (epoch, generation) of a shard
  are refused (protocol, section 4).
- There is no queue: a subscriber is one integer per scope, and gets the suffix that is newer (I8).
- Neighbours and members above `lazy_above` items are held on demand by the hosts, and whole again below `lazy_below`:
  of these, who holds a changed item is woken (`interest`), and who holds the scope whole all the same.
"""

import asyncio
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Protocol

import msgspec

from alcor.bus.interface import Envelope, Hasten, Heads, NcmBus, ScopeUpdate
from alcor.goalstate.item import Key
from alcor.goalstate.scope import Scope, shard_of
from alcor.goalstate.subject import LAZY_KINDS
from alcor.ncm.interest import Codes, Interest
from alcor.telemetry.log import get_log
from alcor.telemetry.metrics import KEYS_HELD, SCOPES, SCOPES_LAZY

log = get_log("ncm")

GRACE_S = 60.0
# Beyond it, what a host would hold of one network costs it more than asking for whom its VMs talk to; the space between
# the two keeps a network of about this size from being sent whole again and again.
LAZY_ABOVE = 1_000
LAZY_BELOW = 800
# Tombstones kept beside as many as there are live items: an agent that was away for a moment is resumed, not reloaded.
TOMBSTONES_MIN = 64
# So many agents a second hear of heads because somebody waits, and no more at once: a wait on a scope that thousands
# hold would else cost what the idle pace is there to spare. The others hear of them at that pace.
HASTENED_PER_S = 1_000
# Items of a snapshot taken in at once: 5 ms.
TURN_ITEMS = 1_000


def envelope_bytes(envelope: Envelope) -> int:
    """What an item takes on the wire, at most (`wire.proto`; tags, lengths and numbers are rounded up)."""
    return len(envelope.body) + len(envelope.key.id) + 24 + 24 * len(envelope.refers)


class Subscriber(Protocol):
    """Whoever needs scopes; hashable by identity."""

    def wake(self) -> None:
        """Something changed: look. Must not block, and may be called any number of times."""


@dataclass(slots=True)
class Shard:
    """What is known of one virtual shard. `serial` counts the heads taken in; `begun`: the epoch of the last ones."""

    epoch: int = 0
    generation: int = 0
    through: int = 0
    serial: int = 0
    begun: int = 0

    def refuses(self, epoch: int, generation: int) -> bool:
        """Whether a message comes from somebody who was replaced; else it is remembered who speaks."""
        if (epoch, generation) < (self.epoch, self.generation):
            return True
        if epoch > self.epoch:
            self.through = 0
        self.epoch, self.generation = epoch, generation
        return False


@dataclass(slots=True)
class HeldScope:
    """One scope. Revisions of its items are those of the steps that brought them.

    loaded:    whether a snapshot came; before, nothing else means anything.
    changed:   revision of the last change; a subscriber at or above it has everything.
    floor:     positions below cannot be resumed: it is unknown what was removed since. `floor ≤ changed`.
    refers:    scope → how many of the items refer to it.
    latest:    the last step, `from` lowered to the change before it, so that everybody who was up to date gets the
               same object (it is encoded once for all of them); None after a snapshot. `latest_bytes`: its size.
    blind:     between these two positions it is not known what was: who stands there cannot go on from it.
    interest:  who holds what of it, if it is held on demand. `eager`: subscribers that hold it whole all the same.
    """

    scope: Scope
    shard: Shard
    epoch: int = 0
    generation: int = 0
    through: int = 0
    changed: int = 0
    floor: int = 0
    blind: tuple[int, int] = (0, 0)
    loaded: bool = False
    reloading: bool = False
    entries: dict[Key, tuple[int, Envelope]] = field(default_factory=dict)
    tombstones: dict[Key, int] = field(default_factory=dict)
    refers: dict[Scope, int] = field(default_factory=dict)
    latest: ScopeUpdate | None = None
    latest_bytes: int = 0
    latest_lazy: ScopeUpdate | None = None
    interest: Interest | None = None
    eager: dict[Subscriber, None] = field(default_factory=dict)
    subscribers: dict[Subscriber, None] = field(default_factory=dict)
    serial: int = 0
    chunks: dict[Key, Envelope] = field(default_factory=dict)
    farewell: asyncio.TimerHandle | None = None

    @property
    def fence(self) -> int:
        """The generation to send this by: that of whoever speaks for the shard now, whoever said it. An agent that
        heard of the new one refuses the old one, and content depends on epoch and revision alone."""
        shard = self.shard
        return shard.generation if shard.epoch == self.epoch else self.generation

    @property
    def is_lazy(self) -> bool:
        """Whether hosts hold it on demand."""
        return self.interest is not None

    @property
    def position(self) -> int:
        """Through which revision this is complete: its own steps, and the shard's heads since it was loaded."""
        shard = self.shard
        if self.reloading or self.serial == shard.serial or self.epoch != shard.epoch:
            return self.through
        return max(self.through, shard.through)

    def is_blind(self, position: int) -> bool:
        """Whether it is not known what the scope was at a position: we went past it by a snapshot, and what changed and
        changed back in it was never said to us. Who stands there comes from another ncm."""
        return self.blind[0] < position < self.blind[1]

    def leads_on(self, position: int) -> bool:
        """Whether `suffix_after` a position is all that changed."""
        return self.floor <= position and not self.is_blind(position)

    def pass_blindly(self, position: int, through: int) -> None:
        """By a snapshot the scope goes on. Bound: one such leap is remembered; who stands before an older one begins
        anew."""
        if through - position > 1:
            self.floor = max(self.floor, self.blind[1])
            self.blind = position, through

    def suffix_after(self, position: int) -> tuple[list[tuple[int, Envelope]], list[tuple[int, Key]]]:
        """What changed after `position`, oldest first: puts and removals with their revisions.

        Cost: O(the suffix). Asked only for `floor ≤ position`.
        """
        puts = list(takewhile(lambda entry: entry[0] > position, reversed(self.entries.values())))
        gone = list(takewhile(lambda entry: entry[1] > position, reversed(self.tombstones.items())))
        puts.reverse()
        return puts, [(revision, key) for key, revision in reversed(gone)]

    def snapshot(self) -> list[Envelope]:
        """Everything, last changed last. Cost: O(items), 8 octets each: the envelopes are shared."""
        return [envelope for _, envelope in self.entries.values()]

    # --- changing ---

    def put(self, envelope: Envelope, revision: int, position: int, *, anew: bool = False) -> bool:
        """Take in an item; returns whether anything changed. `position`: the scope's before this step.

        `anew`: it counts as changed in any case, for it may have been another one in between, which somebody holds.

        An item that is as it was keeps its `since` if it refers to nothing, or if its holder's row did not change after
        `position`: then the reference has stood all the time. Otherwise it may have been away in between, and the
        new one counts.
        """
        key = envelope.key
        before = self.entries.get(key)
        if before is not None:
            old = before[1]
            stands = not old.refers or envelope.since <= position
            is_equal = stands and old.body == envelope.body and old.refers == envelope.refers
            if is_equal and not anew:
                return False
            if is_equal:
                envelope = old
            del self.entries[key]
            self._count(old.refers, -1)
            if self.interest is not None:
                # The index keeps its key: one object for both.
                key = old.key
                envelope = Envelope(key, envelope.since, envelope.refers, envelope.body)
        self.entries[key] = (revision, envelope)
        self.tombstones.pop(key, None)
        self._count(envelope.refers, 1)
        if self.interest is not None:
            self.interest.changed(key, before[1] if before is not None else None, envelope)
        return True

    def remove(self, key: Key, revision: int, *, anew: bool = False) -> bool:
        """Remove an item and keep its tombstone; returns whether it was there, or `anew`, as in `put`."""
        before = self.entries.pop(key, None)
        if before is None:
            if anew:
                self.tombstones.pop(key, None)
                self.tombstones[key] = revision
            return anew
        self._count(before[1].refers, -1)
        self.tombstones[key] = revision
        if self.interest is not None:
            self.interest.changed(key, before[1], None)
        return True

    def trim(self) -> None:
        """Keep at most as many tombstones as live items; the oldest go, which most have seen, and the floor rises."""
        bound = max(TOMBSTONES_MIN, len(self.entries))
        if len(self.tombstones) > bound:
            # Down to half, so that the cost per removal stays O(1).
            for key in list(self.tombstones)[: len(self.tombstones) - bound // 2]:
                self.floor = self.tombstones.pop(key)

    def clear(self) -> None:
        """Hold nothing."""
        self.entries.clear()
        self.tombstones.clear()
        self.refers.clear()
        self.blind = (0, 0)
        self.latest = self.latest_lazy = None
        self.interest = None

    def find_mode(self, above: int, below: int, codes: Codes) -> bool:
        """Hold it on demand above so many items, whole below so many; returns whether that is another way than before.

        Cost: O(1); O(items) when it turns, 3 µs each.
        """
        if self.interest is None and len(self.entries) > above:
            self.interest = Interest(self.entries, codes)
            self.interest.fill(self.snapshot())
            return True
        if self.interest is not None and len(self.entries) < below:
            self.interest = None
            return True
        return False

    def lazy_step(self) -> ScopeUpdate | None:
        """The last step for who holds all of it on demand: one object for all of them."""
        if self.latest is None or self.latest.generation != self.fence:
            return None
        if self.latest_lazy is None:
            self.latest_lazy = msgspec.structs.replace(self.latest, lazy=True)
        return self.latest_lazy

    def _count(self, scopes: Sequence[Scope], step: int) -> None:
        for scope in scopes:
            count = self.refers.get(scope, 0) + step
            if count:
                self.refers[scope] = count
            else:
                del self.refers[scope]


class ScopeCache:
    """All scopes of one ncm. Cost of a step: O(its items) and one wake per subscriber of the scope.

    codes: reads what items are asked for by; None: nothing is held on demand.
    """

    def __init__(
        self,
        bus: NcmBus,
        *,
        grace_s: float = GRACE_S,
        codes: Codes | None = None,
        lazy_above: int = LAZY_ABOVE,
        lazy_below: int = LAZY_BELOW,
        turn_items: int = TURN_ITEMS,
    ) -> None:
        self._bus, self._codes = bus, codes
        self._turn_items = turn_items
        self._grace_s = grace_s
        self._lazy_above = lazy_above or sys.maxsize
        self._lazy_below = min(lazy_below, self._lazy_above)
        self._shards: dict[int, Shard] = {}
        self._scopes: dict[Scope, HeldScope] = {}
        # Those that came to be needed since what is being taken in was given.
        self._anew: set[Scope] = set()
        self.taken_s = 0.0
        """When the bus last brought anything (loop time)."""
        self._lazy: set[Scope] = set()
        # Grows when the references of any scope change: who computed a closure before computes it again.
        self.references = 0
        # Scopes that somebody waits for → (epoch, revision), until they are as far; and how many agents may be woken.
        self._hastened: dict[Scope, tuple[int, int]] = {}
        self._hasty, self._hasty_since = float(HASTENED_PER_S), 0.0
        # Who was given something newer than the heads it was told, in that order: they hear of the next ones at once.
        self.impatient: dict[Subscriber, None] = {}

    # --- subscribers ---

    def acquire(self, scope: Scope, subscriber: Subscriber) -> HeldScope:
        """Need a scope until `release`; it may not be loaded yet. Needing it twice is needing it once."""
        held = self._scopes.get(scope)
        if held is None:
            shard = self._shards.setdefault(shard_of(scope), Shard())
            held = self._scopes[scope] = HeldScope(scope, shard)
            self._anew.add(scope)
            SCOPES.set(len(self._scopes))
            self._bus.want(scope)
        if held.farewell is not None:
            held.farewell.cancel()
            held.farewell = None
        held.subscribers[subscriber] = None
        return held

    def release(self, scope: Scope, subscriber: Subscriber, *, at_once: bool = False) -> None:
        """Need it no longer. `at_once`: without grace, because it was never rightfully needed."""
        held = self._scopes.get(scope)
        if held is None:
            return
        held.subscribers.pop(subscriber, None)
        held.eager.pop(subscriber, None)
        if held.subscribers or held.farewell is not None:
            return
        if at_once or self._grace_s <= 0:
            self._drop(held)
        else:
            held.farewell = asyncio.get_running_loop().call_later(self._grace_s, self._drop, held)

    def _drop(self, held: HeldScope) -> None:
        held.farewell = None
        del self._scopes[held.scope]
        self._lazy.discard(held.scope)
        SCOPES.set(len(self._scopes))
        self._bus.unwant(held.scope)

    def find(self, scope: Scope) -> HeldScope | None:
        """The scope, if it is held."""
        return self._scopes.get(scope)

    def measure(self) -> None:
        """Tell the metrics what hosts hold on demand. Cost: O(agents that do)."""
        interests = [interest for scope in self._lazy if (interest := self._scopes[scope].interest)]
        SCOPES_LAZY.set(len(interests))
        KEYS_HELD.set(sum(interest.held for interest in interests))

    def __len__(self) -> int:
        return len(self._scopes)

    def close(self) -> None:
        """Let go of everything."""
        for held in self._scopes.values():
            if held.farewell is not None:
                held.farewell.cancel()
            self._bus.unwant(held.scope)
        self._scopes.clear()
        self._lazy.clear()
        SCOPES.set(0)

    # --- the bus ---

    def take(self, message: ScopeUpdate | Heads | Hasten) -> None:
        """Take in what the bus brought, at once."""
        for _ in self.turns([message]):
            pass

    def turns(self, batch: Iterable[ScopeUpdate | Heads | Hasten]) -> Iterator[None]:
        """Take in what the bus brought at once, in turns: between two of them others may do whatever they like.

        A large snapshot of what is not held yet takes some seconds (5 µs an item), a turn some milliseconds. What is
        needed anew since a pause is not what the rest of the batch speaks of.
        """
        self._anew.clear()
        for message in batch:
            if isinstance(message, Heads):
                self._heads(message)
            elif isinstance(message, Hasten):
                self._hasten(message)
            elif message.scope not in self._anew:
                yield from self._update(message)

    def _heads(self, heads: Heads) -> None:
        begun: set[int] = set()
        for number, through in heads.through.items():
            shard = self._shards.setdefault(number, Shard())
            if shard.refuses(heads.epoch, heads.generation):
                log.warning("heads_refused", shard=number, epoch=heads.epoch, generation=heads.generation)
                continue
            if heads.epoch > shard.begun:
                shard.begun = heads.epoch
                begun.add(number)
            if through < shard.through:
                # A holder that is behind its predecessor: what that said counts for the scopes that were here then.
                for held in self._scopes.values():
                    if held.shard is shard:
                        held.through = held.position
            shard.through = through
            shard.serial += 1
        if begun:
            # Scopes that the new epoch's publisher did not speak of (it does not know them) must be asked for.
            for held in self._scopes.values():
                if held.loaded and held.epoch < heads.epoch and shard_of(held.scope) in begun:
                    self._reload(held)
        impatient, self.impatient = self.impatient, {}
        for subscriber in impatient:
            subscriber.wake()
        if self._hastened:
            self._tell_hastened()

    def _hasten(self, hasten: Hasten) -> None:
        for scope in hasten.scopes:
            if scope in self._scopes:
                after = (hasten.epoch, hasten.through)
                self._hastened[scope] = max(after, self._hastened.get(scope, (0, 0)))
        self._tell_hastened()

    def _tell_hastened(self) -> None:
        """Have who holds what is waited for told of heads, once these are as far; as many as may be.

        Cost: O(those who hold it).
        """
        now_s = asyncio.get_running_loop().time()
        earned = (now_s - self._hasty_since) * HASTENED_PER_S
        self._hasty, self._hasty_since = min(self._hasty + earned, float(HASTENED_PER_S)), now_s
        for scope, (epoch, through) in list(self._hastened.items()):
            held = self._scopes.get(scope)
            if held is not None and (held.epoch, held.position) < (epoch, through):
                continue
            del self._hastened[scope]
            # Who holds all of a scope has had the step itself.
            for subscriber in held.subscribers if held is not None and held.is_lazy else ():
                if self._hasty < 1:
                    return
                self._hasty -= 1
                subscriber.wake()

    def _update(self, update: ScopeUpdate) -> Iterator[None]:
        held = self._scopes.get(update.scope)
        if held is None:
            return  # let go of while it was on its way
        if held.shard.refuses(update.epoch, update.generation):
            log.warning(
                "step_refused", scope=str(update.scope), epoch=update.epoch, generation=update.generation
            )
            return
        if update.from_revision == 0:
            yield from self._snapshot(held, update)
        elif not held.loaded or held.reloading:
            return  # its snapshot is on the way, and will say it
        elif update.epoch != held.epoch or update.from_revision > held.position:
            log.warning(
                "gap_seen", scope=str(update.scope), position=held.position, begins=update.from_revision
            )
            self._reload(held)
        elif held.position < update.through:
            self._step(held, update)

    def _reload(self, held: HeldScope) -> None:
        if held.reloading:
            return
        held.through = held.position
        held.reloading = True
        held.chunks.clear()
        self._bus.unwant(held.scope)
        self._bus.want(held.scope)

    def _snapshot(self, held: HeldScope, update: ScopeUpdate) -> Iterator[None]:
        for part in self._parts(update.put):
            held.chunks |= {envelope.key: envelope for envelope in part}
            if len(part) == self._turn_items:
                yield
        if update.more or self._scopes.get(held.scope) is not held:
            return
        whole, held.chunks = held.chunks, {}
        references, is_new = set(held.refers), not held.loaded
        if held.loaded and held.epoch == update.epoch:
            # What heads said of it stands, or it would fall back to its last own step (I9).
            held.through = held.position
            if update.through > held.position:
                self._compare(held, update, whole)
        else:
            for _ in self._begin(held, update, whole):
                if is_new:  # nobody is told anything of it yet, so it may come to be in turns
                    yield
            if self._scopes.get(held.scope) is not held:
                return
        held.epoch, held.generation = update.epoch, update.generation
        held.loaded, held.reloading = True, False
        held.serial = held.shard.serial
        self._changed(held, references, turned=is_new and held.is_lazy)

    def _parts(self, envelopes: Sequence[Envelope]) -> Iterator[Sequence[Envelope]]:
        """As many as a turn takes in, and again."""
        for start in range(0, len(envelopes), self._turn_items):
            yield envelopes[start : start + self._turn_items]

    def _interest(self, held: HeldScope, items: int) -> Interest | None:
        """For a scope of so many items, if it is to be held on demand."""
        if self._codes is None or held.scope.kind not in LAZY_KINDS or items <= self._lazy_above:
            return None
        return Interest(held.entries, self._codes)

    def _begin(self, held: HeldScope, update: ScopeUpdate, whole: dict[Key, Envelope]) -> Iterator[None]:
        """A snapshot of what is not held: with what it says of the latest changes, whoever heard of those before them
        goes on from there. It may be left in the middle."""
        held.clear()
        interest = self._interest(held, len(whole))
        held.changed = update.changed or update.through
        # Unless it is said, what was before its last change is unknown: who has not heard of that one cannot go on.
        held.floor = update.floor or held.changed
        held.through = update.through
        late = {one.key: one.revision for one in update.late}
        for part in self._parts(list(whole.values())):
            for envelope in part:
                if envelope.key not in late:
                    held.put(envelope, held.floor, 0)
            if interest is not None:
                interest.fill(part)
            if len(part) == self._turn_items:
                yield
        for key, revision in late.items():
            if key in whole:
                held.put(whole[key], revision, 0)
            else:
                held.tombstones[key] = revision
        held.trim()
        held.interest = interest

    def _compare(self, held: HeldScope, update: ScopeUpdate, whole: dict[Key, Envelope]) -> None:
        """A snapshot of what is held: only differences count, so that subscribers go on from where they are, and what
        it says changed since, for it may have changed back."""
        position, changed = held.position, False
        is_told = 0 < update.floor <= position
        late = {one.key for one in update.late if is_told and one.revision > position}
        for key in [key for key in (*held.entries, *late) if key not in whole]:
            changed |= held.remove(key, update.through, anew=key in late)
        for envelope in whole.values():
            changed |= held.put(envelope, update.through, position, anew=envelope.key in late)
        if changed:
            held.changed = update.through
            held.latest = held.latest_lazy = None
        if not is_told:
            held.pass_blindly(position, update.through)
        held.through = update.through
        held.trim()

    def _step(self, held: HeldScope, update: ScopeUpdate) -> None:
        position, before = held.position, held.changed
        references = set(held.refers)
        # Of several revisions at once, a step also says what is again as it was: others may hold what was in between.
        anew = update.through - position > 1
        changed = sum(held.remove(key, update.through, anew=anew) for key in update.removed)
        changed += sum(held.put(envelope, update.through, position, anew=anew) for envelope in update.put)
        held.through, held.generation = update.through, update.generation
        if not changed:
            if not update.put and not update.removed:
                # Whoever speaks for the shard now says that nothing changed. Its heads may have passed unheard, while
                # its predecessor was not known to be gone: then it is told by this alone.
                for subscriber in held.subscribers:
                    subscriber.wake()
            return
        held.changed = update.through
        held.latest_lazy = None
        if changed == len(update.put) + len(update.removed):
            # Who has the change before this one lacks exactly this step.
            begins = before if 0 < before < update.from_revision else update.from_revision
            held.latest = msgspec.structs.replace(update, from_revision=begins)
            held.latest_bytes = sum(envelope_bytes(envelope) for envelope in update.put)
        else:
            held.latest = None
        held.trim()
        self._changed(held, references)

    def _changed(self, held: HeldScope, references: set[Scope], *, turned: bool = False) -> None:
        """`turned`: it has come to be held on demand."""
        if held.refers.keys() != references:
            self.references += 1
        if not turned and self._codes is not None and held.scope.kind in LAZY_KINDS:
            turned = held.find_mode(self._lazy_above, self._lazy_below, self._codes)
        if turned:
            log.info("scope_turned", scope=str(held.scope), items=len(held.entries), lazy=held.is_lazy)
        (self._lazy.add if held.is_lazy else self._lazy.discard)(held.scope)
        if held.interest is None or turned:
            woken: Iterable[Subscriber] = held.subscribers
        else:
            held.interest.wake()
            woken = held.eager
        for subscriber in woken:
            subscriber.wake()
