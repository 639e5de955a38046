"""The scopes an ncm holds for its hosts, as encoded bytes.

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

import msgspec

from alcor.bus.interface import Envelope, Hasten, Heads, NcmBus, ScopeUpdate
from alcor.goalstate.item import Key
from alcor.goalstate.scope import Scope, shard_of
from alcor.goalstate.subject import LAZY_KINDS
from alcor.ncm.held_scope import HeldScope, Shard, Subscriber, envelope_bytes
from alcor.ncm.interest import Codes, Interest
from alcor.telemetry.log import get_log
from alcor.telemetry.metrics import KEYS_HELD, SCOPES, SCOPES_LAZY

log = get_log("ncm")

GRACE_S = 60.0
# Beyond it, what a host would hold of one network costs it more than asking for whom its VMs talk to; the space between
# the two keeps a network of about this size from being sent whole again and again.
LAZY_ABOVE = 1_000
LAZY_BELOW = 800
# So many agents a second hear of heads because somebody waits, and no more at once: a wait on a scope that thousands
# hold would else cost what the idle pace is there to spare. The others hear of them at that pace.
HASTENED_PER_S = 1_000
# Items of a snapshot taken in at once: 5 ms.
TURN_ITEMS = 1_000


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
