"""What one agent lacks: computed from the cache when it can be sent, never queued (I8).

Promises
- The agent gets its closure and nothing else: its host's scope, what that refers to, and the region.
- A scope is sent ahead of the item that refers to it, earlier on the same stream. A scope with an item whose reference
  is not loaded yet waits for it; other scopes go on.
- Heads announce a revision only when every scope of the shard that the agent holds has been sent through it.
- A scope held on demand is ruled by the same position: what of it the agent holds is complete through it. An agent
  that comes from an ncm that was ahead gets no answer from before its position.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from zlib import crc32

from alcor.bus.interface import Dropped, Heads, NcmMessage, ScopeUpdate
from alcor.goalstate.item import ItemKind, Key
from alcor.goalstate.scope import CLOSURE_DEPTH_MAX, REGION, Scope, ScopeKind, shard_of
from alcor.goalstate.subject import addresses_of
from alcor.ncm import step
from alcor.ncm.held_scope import HeldScope, Subscriber
from alcor.ncm.interest import Holder
from alcor.ncm.scope_cache import ScopeCache
from alcor.ncm.step import Snapshot
from alcor.telemetry.metrics import LOOKUPS, RESUMES, SNAPSHOTS

# What one turn gives to the stream; below the transport's frame of 1 MiB, because sizes are estimates.
CHUNK_BYTES = 960 << 10
# What an agent holds of a scope that turns stays held, up to so many items; a larger one it begins with nothing.
KEPT_ITEMS_MAX = 20_000
# Subjects asked for before it is known how the agent holds the scope; the agent asks again for what is beyond.
EARLY_MAX = 1_024


@dataclass(slots=True)
class _Holding:
    """What the agent has of one scope; all of it, or what `holder` says."""

    epoch: int
    position: int
    holder: Holder | None = None


@dataclass(slots=True)
class _Turn:
    """What one turn sends. `room`: octets left. `blocked`: scopes that wait for a reference to be loaded."""

    room: int
    messages: list[NcmMessage] = field(default_factory=list)
    blocked: set[Scope] = field(default_factory=set)

    def say(self, message: ScopeUpdate, size: int) -> None:
        """Send this, which takes so much of the room."""
        self.room -= size
        self.messages.append(message)


class Delivery:
    """The state of one agent's delivery. `turn` until it says that it is finished, again after each wake.

    own: the scope of the agent's host. positions: what the agent says it holds, of `epoch`; keys: of scopes that it
    holds on demand, whatever their epoch; sought: subjects that it asks for before it is in sync.
    Memory: one small object per scope, and 8 octets per item of a snapshot that is being sent.
    Cost of a turn: O(scopes of the closure) + O(items sent); a closure is a few scopes per network of the host.
    """

    def __init__(
        self,
        cache: ScopeCache,
        subscriber: Subscriber,
        own: Scope,
        *,
        epoch: int,
        positions: Mapping[Scope, int],
        keys: Mapping[Scope, Sequence[Key]] | None = None,
        sought: Mapping[Scope, Sequence[str]] | None = None,
        chunk_bytes: int = CHUNK_BYTES,
    ) -> None:
        self._cache, self._subscriber, self._own = cache, subscriber, own
        self._chunk_bytes = chunk_bytes
        self._needed: dict[Scope, HeldScope] = {}
        self._closure: list[HeldScope] = []
        self._references = -1
        self._holdings: dict[Scope, _Holding] = {}
        # What the agent says it holds, until it is judged; what of it is outside the closure it must forget.
        self._offered_epoch = epoch
        self._offered_keys: dict[Scope, Sequence[Key]] = dict(keys or {})
        self._offered: dict[Scope, int] = dict.fromkeys(self._offered_keys, 0) | dict(positions)
        self._early = {scope: dict.fromkeys(each[:EARLY_MAX]) for scope, each in (sought or {}).items()}
        self._addresses = addresses_of(text for each in self._early.values() for text in each)
        self._owed: set[Scope] = set()
        self._snapshot: Snapshot | None = None
        self._epoch = 0
        self._announced: dict[int, int] = {}
        self._newest = 0
        self.in_sync = False

    def need(self, scope: Scope) -> HeldScope:
        """Have the cache hold a scope for this agent."""
        held = self._needed.get(scope)
        if held is None:
            held = self._needed[scope] = self._cache.acquire(scope, self._subscriber)
        return held

    def close(self, *, at_once: bool = False) -> None:
        """Need nothing any more. `at_once`: the cache need not keep it for the agent's return."""
        self._cache.impatient.pop(self._subscriber, None)
        for scope, held in self._needed.items():
            self._leave(held, self._holdings.pop(scope, None))
            self._cache.release(scope, self._subscriber, at_once=at_once)
        self._needed.clear()

    def resume(self, scope: Scope, position: int) -> None:
        """The agent saw a gap and goes on after `position`. Outside the closure: it is told to forget the scope."""
        if self._snapshot is not None and self._snapshot.scope == scope:
            return  # the rest of it answers the question
        holding = self._holdings.pop(scope, None)
        if scope not in self._needed:
            self._offered[scope] = position
        elif holding is not None and holding.holder is not None:
            # What was removed since is not known of a part: all of the part is said again.
            self._holdings[scope] = _Holding(holding.epoch, 0, holding.holder)
        elif holding is not None and position > 0:
            self._holdings[scope] = _Holding(holding.epoch, position)
            self._owed.add(scope)

    # --- what the agent says of scopes that it holds on demand ---

    def look_up(self, scope: Scope, subjects: Sequence[str]) -> None:
        """The agent asks who has these. Cost: O(subjects)."""
        holder = self._holder(scope)
        if holder is not None:
            found = holder.interest.look_up(holder, subjects)
            LOOKUPS.labels("found").inc(found)
            LOOKUPS.labels("absent").inc(len(subjects) - found)
        elif scope in self._offered or scope in self._holdings:
            early = self._early.setdefault(scope, {})
            early.update(dict.fromkeys(subjects[: EARLY_MAX - len(early)]))

    def forget(self, scope: Scope, keys: Sequence[Key]) -> None:
        """The agent does not need these any more."""
        holder = self._holder(scope)
        if holder is not None:
            holder.interest.forget(holder, keys)

    def confirm(self, scope: Scope, keys: Sequence[Key], digests: Sequence[int]) -> None:
        """The agent holds these, as it believes: what is otherwise is told, and what it holds is held here too."""
        holder = self._holder(scope)
        if holder is None:
            return
        entries = self._needed[scope].entries
        for key, digest in zip(keys, digests, strict=True):
            found = entries.get(key)
            if found is None:
                holder.news[key] = None
            elif crc32(found[1].body) != digest or not holder.interest.holds(holder, key):
                holder.interest.hold(holder, key)

    def _holder(self, scope: Scope) -> Holder | None:
        """The agent's part of a scope, if it holds it on demand as the scope is now."""
        held, holding = self._needed.get(scope), self._holdings.get(scope)
        holder = holding.holder if holding is not None else None
        return (
            holder if held is not None and holder is not None and holder.interest is held.interest else None
        )

    def _leave(self, held: HeldScope, holding: _Holding | None) -> None:
        self._early.pop(held.scope, None)
        if holding is not None and holding.holder is not None and holding.holder.interest is held.interest:
            holding.holder.interest.leave(holding.holder)

    def turn(self) -> tuple[list[NcmMessage], bool]:
        """What to send next, at most a chunk, and whether nothing more is lacking now.

        What is returned counts as sent: the stream keeps its order, and one that breaks is resumed by position.
        """
        turn = _Turn(self._chunk_bytes)
        if not self._continue_snapshot(turn):
            return turn.messages, False
        self._find_closure()
        for held in self._closure:
            if not self._bring(held, turn):
                return turn.messages, False
        is_more = self._offered or len(self._needed) > len(self._closure)
        if is_more and not turn.blocked and not self._is_behind():
            self._drop_rest(turn)
        self._announce(turn)
        return turn.messages, True

    # --- the closure ---

    def _find_closure(self) -> None:
        """Every scope the agent needs, each after those it refers to. Computed again when references change."""
        if self._references == self._cache.references:
            return
        self._references = self._cache.references
        found: dict[Scope, HeldScope] = {}
        self._visit(REGION, 1, found)
        self._visit(self._own, 1, found)
        self._closure = list(found.values())

    def _visit(self, scope: Scope, depth: int, found: dict[Scope, HeldScope]) -> None:
        if scope in found:
            return
        assert depth <= CLOSURE_DEPTH_MAX, f"{scope} is {depth} references away from {self._own} (I6)"
        held = self.need(scope)
        for target in held.refers:
            self._visit(target, depth + 1, found)
        found[scope] = held

    def _is_behind(self) -> bool:
        """Whether the agent knows more than we do: what we would have it forget may be what we do not know yet.

        It comes from an ncm that was ahead, which passes; or the database lost history, and a new epoch will begin,
        in which nothing is dropped before the agent knows of the epoch, and holds what lives.
        """
        return any(
            holding.epoch == held.epoch and holding.position > held.position
            for held in self._closure
            if (holding := self._holdings.get(held.scope)) is not None
        )

    def _drop_rest(self, turn: _Turn) -> None:
        """What left the closure: after the step that removed the last reference, the agent forgets it."""
        closure = {held.scope for held in self._closure}
        for scope in [scope for scope in self._needed if scope not in closure]:
            held, holding = self._needed.pop(scope), self._holdings.pop(scope, None)
            self._owed.discard(scope)
            self._leave(held, holding)
            self._cache.release(scope, self._subscriber)
            if holding is not None:
                turn.messages.append(Dropped(scope))
        turn.messages += [Dropped(scope) for scope in self._offered if scope not in closure]
        self._offered.clear()
        self._offered_keys.clear()

    # --- one scope ---

    def _bring(self, held: HeldScope, turn: _Turn) -> bool:
        """Send what the agent lacks of one scope; False if the turn's room is used up before it has it."""
        scope = held.scope
        if not held.loaded or (turn.blocked and any(target in turn.blocked for target in held.refers)):
            turn.blocked.add(scope)
            return True
        if scope in self._offered:
            if self._must_wait(held):
                self._cache.impatient[self._subscriber] = None
                turn.blocked.add(scope)
                return True
            self._judge(held, self._offered.pop(scope))
        in_part = self._is_in_part(held)
        while True:
            holding = self._holdings.get(scope)
            if in_part and not self._can_keep(held, holding):
                if self._bring_part(held, holding, turn):
                    return True
            elif holding is None or holding.epoch != held.epoch or holding.holder is not None:
                self._send_snapshot(held, turn)
            elif (
                held.changed <= holding.position
                and scope not in self._owed
                and not held.is_blind(holding.position)
            ):
                if not in_part or self._is_ahead(held, holding):
                    return True
                self._go_on_in_part(held, holding, turn)
            elif self._leads_on(held, holding):
                self._send_suffix(held, holding, turn)
            else:
                self._send_snapshot(held, turn)
            if turn.room <= 0 or self._snapshot is not None:
                return False

    def _must_wait(self, held: HeldScope) -> bool:
        """Whether the agent comes from an ncm that was ahead, with a part of a scope: what we know was before that."""
        scope = held.scope
        is_ahead = self._offered_epoch == held.epoch and self._offered[scope] > held.position
        return is_ahead and scope in self._offered_keys

    def _judge(self, held: HeldScope, position: int) -> None:
        """Whether the agent can go on from what it says it holds.

        A position above ours is kept: either the agent comes from an ncm that was ahead, and what is newer will come;
        or the database lost history, and a new epoch will begin. Going back is never right (I9).
        """
        if self._offered_epoch != held.epoch:
            return
        if held.scope in self._offered_keys:
            if held.is_lazy and self._is_in_part(held) and position > 0:
                holder = self._join(held, self._offered_keys[held.scope], position)
                self._holdings[held.scope] = _Holding(held.epoch, position, holder)
                RESUMES.inc()
        elif position > 0 and held.leads_on(position):
            self._holdings[held.scope] = _Holding(held.epoch, position)
            RESUMES.inc()

    def _shared(self, held: HeldScope, position: int) -> ScopeUpdate | None:
        return step.shared(held, position, bytes_max=self._chunk_bytes)

    def _leads_on(self, held: HeldScope, holding: _Holding) -> bool:
        """Whether a step brings who holds all of the scope up to date; from 0 it would say that it is everything."""
        position = holding.position
        return position > 0 and (held.leads_on(position) or self._shared(held, position) is not None)

    def _send_suffix(self, held: HeldScope, holding: _Holding, turn: _Turn) -> None:
        """The step from the agent's position, or a snapshot if it is larger than a chunk.

        A suffix cannot be divided: of what changed twice in it only the last value is known, so that an agent which had
        half of it would hold what never was (I7).
        """
        position = holding.position
        shared = None if held.scope in self._owed else self._shared(held, position)
        if shared is not None:
            update, size = shared, held.latest_bytes
        else:
            update, size = step.suffix(held, position)
            if update.through <= position:  # asked by an agent that is ahead: nothing to say
                self._owed.discard(held.scope)
                return
            if size > self._chunk_bytes:
                self._send_snapshot(held, turn)
                return
        holding.position = update.through
        if holding.position >= held.changed:
            self._owed.discard(held.scope)
        self._newest = max(self._newest, update.through)
        turn.say(update, size)

    def _send_snapshot(self, held: HeldScope, turn: _Turn) -> None:
        """Begin a snapshot: its first chunk, or all of it."""
        SNAPSHOTS.inc()
        holding = self._holdings.get(held.scope)
        self._leave(held, holding)
        if holding is not None:
            holding.holder = None
        self._snapshot = Snapshot.of(held)
        self._send_chunk(self._snapshot, turn)

    def _continue_snapshot(self, turn: _Turn) -> bool:
        """The next chunk of the snapshot that is being sent; False if there is more of it.

        Nothing comes between its chunks, and it is never begun again in the same epoch: an agent keeps the chunks it
        has until the last one, and could not tell what an earlier beginning said.
        """
        snapshot = self._snapshot
        if snapshot is None:
            return True
        if self._needed[snapshot.scope].epoch != snapshot.epoch:
            self._snapshot = None
            return True
        self._send_chunk(snapshot, turn)
        return self._snapshot is None

    def _send_chunk(self, snapshot: Snapshot, turn: _Turn) -> None:
        update, size = snapshot.chunk(turn.room)
        turn.say(update, size)
        if not update.more:
            self._snapshot = None
            self._holdings[snapshot.scope] = _Holding(snapshot.epoch, snapshot.through, snapshot.holder)
            self._owed.discard(snapshot.scope)
            self._newest = max(self._newest, snapshot.through)

    # --- one scope, in part ---

    def _is_in_part(self, held: HeldScope) -> bool:
        """Whether the agent is to hold it on demand: a large scope, unless the host is a relay of the network."""
        if not held.is_lazy:
            return False
        relay = Key(ItemKind.RELAY, held.scope.id)
        if held.scope.kind is ScopeKind.NEIGHBOURS and relay in self._needed[self._own].entries:
            held.eager[self._subscriber] = None
            return False
        held.eager.pop(self._subscriber, None)
        return True

    def _can_keep(self, held: HeldScope, holding: _Holding | None) -> bool:
        """Whether the agent, which has all of it, is brought up to date before it holds just that."""
        return (
            holding is not None
            and holding.holder is None
            and holding.epoch == held.epoch
            and self._leads_on(held, holding)
            and len(held.entries) <= KEPT_ITEMS_MAX
        )

    def _is_ahead(self, held: HeldScope, holding: _Holding) -> bool:
        """Whether the agent knows more of the scope than we do: what we could say was before that."""
        if holding.epoch != held.epoch or holding.position <= held.position:
            return False
        self._cache.impatient[self._subscriber] = None
        return True

    def _go_on_in_part(self, held: HeldScope, holding: _Holding, turn: _Turn) -> None:
        """From here on the agent, which has all of it through its position, holds just that."""
        holding.holder = self._join(held, list(held.entries), held.changed)
        turn.say(step.turning(held, holding.position), 0)

    def _join(
        self, held: HeldScope, keys: Sequence[Key], position: int, before: Holder | None = None
    ) -> Holder:
        """Have the agent hold these; what of them is not as at `position` is news. `before`: an earlier holding."""
        assert held.interest is not None  # it is held on demand
        if before is not None:
            keys = [*before.interest.keys_of(before), *before.news]
            self._early.setdefault(held.scope, {}).update(dict.fromkeys(before.waited_for))
        holder = held.interest.join(self._subscriber.wake, keys)
        for key in keys:
            found = held.entries.get(key)
            if found is None or found[0] > position or held.is_blind(position):
                holder.news[key] = None
        early = self._early.pop(held.scope, {})
        if held.scope.kind is ScopeKind.MEMBERS and not self.in_sync:
            early |= dict.fromkeys([*self._addresses][:EARLY_MAX])
        if early:
            held.interest.look_up(holder, early)
        return holder

    def _bring_part(self, held: HeldScope, holding: _Holding | None, turn: _Turn) -> bool:
        """Send what the agent lacks of what it holds; whether it lacks nothing now."""
        if holding is not None and self._is_ahead(held, holding):
            return True
        before = holding.holder if holding is not None else None
        holder = self._holder(held.scope)
        if holding is None or holding.epoch != held.epoch or holding.position <= 0 or before is None:
            if holder is None:
                known = self._offered_keys.get(held.scope, ())
                holder = self._join(held, known, held.position, before)
            self._send_part(held, holder, turn)
            return False
        if holder is None:
            # The scope was whole for a moment, unseen by the agent.
            holder = holding.holder = self._join(held, (), holding.position, before)
        if not holder.news and not holder.unsaid:
            return True
        self._send_news(held, holding, holder, turn)
        return not holder.news

    def _send_part(self, held: HeldScope, holder: Holder, turn: _Turn) -> None:
        """Begin a snapshot of what the agent holds: what it does not say, the agent forgets."""
        SNAPSHOTS.inc()
        # Until it is whole, another epoch must not lose what is held; and what is news from here on comes after it.
        self._holdings[held.scope] = _Holding(0, 0, holder)
        self._owed.discard(held.scope)
        holder.told()
        self._snapshot = Snapshot.of(held, holder)
        self._send_chunk(self._snapshot, turn)

    def _send_news(self, held: HeldScope, holding: _Holding, holder: Holder, turn: _Turn) -> None:
        """The step from the agent's position, of what it holds; as much as one turn takes."""
        update, size = step.news(held, holder, holding.position, turn.room)
        holding.position = update.through
        self._newest = max(self._newest, update.through)
        turn.say(update, size)

    # --- heads ---

    def _announce(self, turn: _Turn) -> None:
        """Tell through which revision each shard is complete at the agent; the first time, that it is in sync."""
        if turn.blocked and not self.in_sync:
            return
        epoch = max(held.epoch for held in self._closure)
        if epoch != self._epoch:
            self._epoch, self._newest = epoch, 0
            self._announced.clear()
        through = self._complete(turn.blocked)
        news: dict[int, dict[int, int]] = {}
        for held in self._closure:
            shard = shard_of(held.scope)
            value = through.get(shard, -1)
            holding = self._holdings.get(held.scope)
            if value >= 0 and holding is not None and held.scope not in turn.blocked:
                holding.position = max(holding.position, value)
            if value > self._announced.get(shard, -1):
                news.setdefault(held.shard.generation, {})[shard] = value
        for generation, shards in news.items():
            self._announced |= shards
            turn.messages.append(Heads(epoch=epoch, generation=generation, through=shards))
        self.in_sync = True
        if any(value < self._newest for value in through.values()):
            self._cache.impatient[self._subscriber] = None

    def _complete(self, blocked: set[Scope]) -> dict[int, int]:
        """Shard → the revision through which the agent has all its scopes; -1 if one is of an older epoch."""
        through: dict[int, int] = {}
        for held in self._closure:
            holding = self._holdings.get(held.scope)
            if holding is None:
                continue  # not loaded yet: the agent does not hold it, and misses it by itself
            value = holding.position if held.scope in blocked else max(held.position, holding.position)
            if holding.epoch != self._epoch:
                value = -1
            shard = shard_of(held.scope)
            through[shard] = min(value, through.get(shard, value))
        # What left the closure and cannot be dropped yet gets no more steps: heads must not pass over it.
        for scope in self._holdings.keys() - {held.scope for held in self._closure}:
            holding, shard = self._holdings[scope], shard_of(scope)
            value = holding.position if holding.epoch == self._epoch else -1
            through[shard] = min(value, through.get(shard, value))
        return through
