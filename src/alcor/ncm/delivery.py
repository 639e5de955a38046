"""What one agent lacks: computed from the cache when it can be sent, never queued (I8).

Promises
- The agent gets its closure and nothing else: its host's scope, what that refers to, and the region.
- A scope is sent ahead of the item that refers to it, earlier on the same stream. A scope with an item whose reference
  is not loaded yet waits for it; other scopes go on.
- Heads announce a revision only when every scope of the shard that the agent holds has been sent through it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from alcor.bus.interface import Dropped, Envelope, Heads, NcmMessage, ScopeUpdate
from alcor.goalstate.scope import CLOSURE_DEPTH_MAX, REGION, Scope, shard_of
from alcor.ncm.scope_cache import HeldScope, ScopeCache, Subscriber, envelope_bytes
from alcor.telemetry.metrics import RESUMES, SNAPSHOTS

# What one turn gives to the stream; below the transport's frame of 1 MiB, because sizes are estimates.
CHUNK_BYTES = 960 << 10


@dataclass(slots=True)
class _Holding:
    """What the agent has of one scope."""

    epoch: int
    position: int


@dataclass(slots=True)
class _Snapshot:
    """A snapshot that is being sent in chunks; all of them say what stood when the first was made."""

    scope: Scope
    epoch: int
    generation: int
    through: int
    envelopes: list[Envelope]
    sent: int = 0


@dataclass(slots=True)
class _Turn:
    """What one turn sends. `room`: octets left. `blocked`: scopes that wait for a reference to be loaded."""

    room: int
    messages: list[NcmMessage] = field(default_factory=list)
    blocked: set[Scope] = field(default_factory=set)


class Delivery:
    """The state of one agent's delivery. `turn` until it says that it is finished, again after each wake.

    own: the scope of the agent's host. positions: what the agent says it holds, of `epoch`.
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
        self._offered: dict[Scope, int] = dict(positions)
        self._owed: set[Scope] = set()
        self._snapshot: _Snapshot | None = None
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
        self._cache.impatient.discard(self._subscriber)
        for scope in self._needed:
            self._cache.release(scope, self._subscriber, at_once=at_once)
        self._needed.clear()

    def resume(self, scope: Scope, position: int) -> None:
        """The agent saw a gap and goes on after `position`. Outside the closure: it is told to forget the scope."""
        if self._snapshot is not None and self._snapshot.scope == scope:
            return  # the rest of it answers the question
        holding = self._holdings.pop(scope, None)
        if scope not in self._needed:
            self._offered[scope] = position
        elif holding is not None and position > 0:
            self._holdings[scope] = _Holding(holding.epoch, position)
            self._owed.add(scope)

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
        if not turn.blocked:
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

    def _drop_rest(self, turn: _Turn) -> None:
        """What left the closure: after the step that removed the last reference, the agent forgets it."""
        closure = {held.scope for held in self._closure}
        for scope in [scope for scope in self._needed if scope not in closure]:
            del self._needed[scope]
            self._owed.discard(scope)
            self._cache.release(scope, self._subscriber)
            if self._holdings.pop(scope, None) is not None:
                turn.messages.append(Dropped(scope))
        turn.messages += [Dropped(scope) for scope in self._offered if scope not in closure]
        self._offered.clear()

    # --- one scope ---

    def _bring(self, held: HeldScope, turn: _Turn) -> bool:
        """Send what the agent lacks of one scope; False if the turn's room is used up before it has it."""
        scope = held.scope
        if not held.loaded or any(target in turn.blocked for target in held.refers):
            turn.blocked.add(scope)
            return True
        if scope in self._offered:
            self._judge(held, self._offered.pop(scope))
        while True:
            holding = self._holdings.get(scope)
            if holding is None or holding.epoch != held.epoch:
                self._send_snapshot(held, turn)
            elif holding.position >= held.changed and scope not in self._owed:
                return True
            elif holding.position > 0 and (
                holding.position >= held.floor or self._can_share(held, holding.position)
            ):
                self._send_suffix(held, holding, turn)
            else:  # also from 0, where a step would say that it is everything
                self._send_snapshot(held, turn)
            if turn.room <= 0 or self._snapshot is not None:
                return False

    def _judge(self, held: HeldScope, position: int) -> None:
        """Whether the agent can go on from what it says it holds.

        A position above ours is kept: either the agent comes from an ncm that was ahead, and what is newer will come;
        or the database lost history, and a new epoch will begin. Going back is never right (I9).
        """
        if self._offered_epoch == held.epoch and position >= held.floor:
            self._holdings[held.scope] = _Holding(held.epoch, position)
            RESUMES.inc()

    def _can_share(self, held: HeldScope, position: int) -> bool:
        latest = held.latest
        return (
            latest is not None
            and latest.generation == held.fence
            and 0 < latest.from_revision <= position < latest.through
            and held.latest_bytes <= self._chunk_bytes
        )

    def _send_suffix(self, held: HeldScope, holding: _Holding, turn: _Turn) -> None:
        """The step from the agent's position; as much as one turn takes, divided between revisions."""
        position = holding.position
        if self._can_share(held, position) and held.scope not in self._owed:
            assert held.latest is not None  # `_can_share` says so
            update, size = held.latest, held.latest_bytes
        else:
            update, size = self._suffix(held, position)
            if update.through <= position:  # asked by an agent that is ahead: nothing to say
                self._owed.discard(held.scope)
                return
        holding.position = update.through
        if holding.position >= held.changed:
            self._owed.discard(held.scope)
        self._newest = max(self._newest, update.through)
        turn.room -= size
        turn.messages.append(update)

    def _suffix(self, held: HeldScope, position: int) -> tuple[ScopeUpdate, int]:
        puts, gone = held.suffix_after(position)
        through, size = held.position, 0
        sizes: dict[int, int] = {}
        for revision, envelope in puts:
            sizes[revision] = sizes.get(revision, 0) + envelope_bytes(envelope)
        for revision, key in gone:
            sizes[revision] = sizes.get(revision, 0) + len(key.id) + 8
        for revision in sorted(sizes):
            if size and size + sizes[revision] > self._chunk_bytes:
                through = revision - 1  # one revision is never divided: its first one may exceed the chunk
                break
            size += sizes[revision]
        return ScopeUpdate(
            scope=held.scope,
            epoch=held.epoch,
            generation=held.fence,
            from_revision=position,
            through=through,
            put=tuple([envelope for revision, envelope in puts if revision <= through]),
            removed=tuple([key for revision, key in gone if revision <= through]),
        ), size

    def _send_snapshot(self, held: HeldScope, turn: _Turn) -> None:
        """Begin a snapshot: its first chunk, or all of it."""
        SNAPSHOTS.inc()
        self._snapshot = _Snapshot(held.scope, held.epoch, held.fence, held.position, held.snapshot())
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

    def _send_chunk(self, snapshot: _Snapshot, turn: _Turn) -> None:
        begins, total = snapshot.sent, len(snapshot.envelopes)
        # At least one item, or it would never end.
        while snapshot.sent < total and (turn.room > 0 or snapshot.sent == begins):
            turn.room -= envelope_bytes(snapshot.envelopes[snapshot.sent])
            snapshot.sent += 1
        more = snapshot.sent < total
        turn.messages.append(
            ScopeUpdate(
                scope=snapshot.scope,
                epoch=snapshot.epoch,
                generation=snapshot.generation,
                from_revision=0,
                through=snapshot.through,
                put=tuple(snapshot.envelopes[begins : snapshot.sent]),
                more=more,
            )
        )
        if not more:
            self._snapshot = None
            self._holdings[snapshot.scope] = _Holding(snapshot.epoch, snapshot.through)
            self._owed.discard(snapshot.scope)
            self._newest = max(self._newest, snapshot.through)

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
            self._cache.impatient.add(self._subscriber)

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
        return through
