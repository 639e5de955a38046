"""The scopes a host holds, by the rules of delivery (protocol, section 4); knows nothing of what the items mean.

A step is applied iff `from ≤ position < through`, ignored if it is old, and a gap asks to resume from the position.
Lower (epoch, generation) are refused (I9). A snapshot is collected until its last chunk and then replaces the scope at
once, so that no state is ever seen half.

A scope that is held on demand is held in part: what the ncm put there, true through its position, which heads raise as
any other's. A step of it that ends where the scope stands is an answer, and is applied. Nothing leaves it but by the
ncm's word, also what was to be forgotten: so both ends agree on what is held whatever crosses on the way.
"""

from collections import defaultdict
from dataclasses import dataclass, field
from typing import NamedTuple
from zlib import crc32

from alcor.bus.interface import Envelope, Heads, ItemCodec, Resume, ScopeUpdate
from alcor.goalstate.item import Item, Key
from alcor.goalstate.scope import Scope, ScopeKind, shard_of

_NOTHING = -1
NOT_HELD = (_NOTHING, _NOTHING)
"""The height of a scope that is not held whole."""


class Reference(NamedTuple):
    """What an item refers to, and the revision that introduced that."""

    since: int
    targets: tuple[Scope, ...]


class Entry(NamedTuple):
    """One item in a step. `before`, `after`: None is not there. `reference`: of `after`."""

    key: Key
    before: Item | None
    after: Item | None
    reference: Reference


@dataclass(frozen=True, slots=True)
class Step:
    """What a scope's step came to. Equal items of a step are in `entries` too: their `since` may be another.

    `is_lazy`: the scope is held on demand; `turned`: it was not before, or it is not any more.
    """

    scope: Scope
    entries: list[Entry]
    is_snapshot: bool
    is_lazy: bool = False
    turned: bool = False


@dataclass(slots=True)
class _Held:
    """One scope. `position` is -1 until its first snapshot is whole. `is_lazy`: it is held on demand."""

    epoch: int = 0
    position: int = _NOTHING
    is_lazy: bool = False
    items: dict[Key, Item] = field(default_factory=dict)
    # Collected chunks of a snapshot that is not whole yet.
    chunks: list[ScopeUpdate] = field(default_factory=list)
    gap: bool = False
    # Heads passed while this scope could not follow them: it must ask, or it might stay behind for ever.
    passed: int = _NOTHING


_NO_REFERENCE = Reference(0, ())


class ScopeStore:
    """The scopes of one host. Cost: O(items of the step); O(scopes of the shard) per head."""

    def __init__(self, own: Scope, codec: ItemCodec) -> None:
        self._own, self._codec = own, codec
        self._scopes: dict[Scope, _Held] = {}
        self._by_shard: dict[int, set[Scope]] = defaultdict(set)
        self._fences: dict[int, tuple[int, int]] = {}
        self.epoch = 0
        self.resume: list[Resume] = []
        """Scopes with a gap, to be asked for; whoever asks empties it."""

    def begin(self, epoch: int) -> None:
        """A stream begins: chunks and gaps of the last one are void. An epoch above ours is known from here on.

        So are fences: the ncm at its other end may not have heard yet of a publisher that the last one did. What it
        says by the one before is as right (content depends on epoch and revision alone), and would be lost if it
        were refused: it counts as told, and heads would pass over it.
        """
        self.epoch = max(self.epoch, epoch)
        self._fences.clear()
        for scope, held in list(self._scopes.items()):
            if held.position == _NOTHING:
                # Nothing but chunks: if it is needed no more, nobody would speak of it again.
                self.drop(scope)
            held.chunks.clear()
            held.gap = False
            held.passed = _NOTHING

    def take(self, update: ScopeUpdate) -> Step | None:
        """Apply a step; None if it changes nothing yet. Raises: ValueError if an item cannot be read: not applied."""
        scope = update.scope
        is_ours = scope.kind is not ScopeKind.HOST or scope == self._own
        if not is_ours or self._refused(shard_of(scope), update.epoch, update.generation):
            return None
        held = self._scopes.get(scope)
        if held is None:
            held = self._scopes[scope] = _Held()
            self._by_shard[shard_of(scope)].add(scope)
        position = held.position if held.epoch == update.epoch else _NOTHING
        is_new = position < update.through
        if (update.lazy or held.is_lazy) and position == update.through:
            is_new = True  # an answer, or another way of holding it
        if update.from_revision == 0 and is_new:
            return self._snapshot(held, update)
        # What is held in part cannot become whole by a step.
        fits = update.lazy or not held.is_lazy
        if position != _NOTHING and update.from_revision <= position and is_new and fits:
            return self._step(held, update)
        if update.through > position and not held.gap:
            # One question per gap: its answer covers what else comes meanwhile.
            held.gap = True
            self.resume.append(Resume(scope, max(position, 0) if fits else 0))
        return None

    def _refused(self, shard: int, epoch: int, generation: int) -> bool:
        fence = (epoch, generation)
        if epoch < self.epoch or fence < self._fences.get(shard, (0, 0)):
            return True
        self._fences[shard] = fence
        self.epoch = epoch
        return False

    def _snapshot(self, held: _Held, update: ScopeUpdate) -> Step | None:
        if held.chunks and (held.chunks[0].epoch, held.chunks[0].lazy) != (update.epoch, update.lazy):
            held.chunks.clear()
        held.chunks.append(update)
        if update.more:
            return None
        read: dict[Key, tuple[Item, Reference]] = {}
        for chunk in held.chunks:
            for envelope in chunk.put:
                read[envelope.key] = self._read(envelope)
            for key in chunk.removed:
                read.pop(key, None)
        held.chunks = []
        before = held.items
        held.items = {key: item for key, (item, _) in read.items()}
        held.epoch = update.epoch
        self._moved(update.scope, held, update.through)
        gone = [Entry(key, item, None, _NO_REFERENCE) for key, item in before.items() if key not in read]
        put = [Entry(key, before.get(key), item, reference) for key, (item, reference) in read.items()]
        return Step(
            update.scope, gone + put, is_snapshot=True, is_lazy=update.lazy, turned=_turn(held, update)
        )

    def _step(self, held: _Held, update: ScopeUpdate) -> Step:
        read = [(envelope.key, *self._read(envelope)) for envelope in update.put]
        entries = [Entry(key, held.items.pop(key, None), None, _NO_REFERENCE) for key in update.removed]
        for key, item, reference in read:
            entries.append(Entry(key, held.items.get(key), item, reference))
            held.items[key] = item
        self._moved(update.scope, held, update.through)
        return Step(update.scope, entries, is_snapshot=False, is_lazy=update.lazy, turned=_turn(held, update))

    def _read(self, envelope: Envelope) -> tuple[Item, Reference]:
        try:
            item = self._codec.decode(envelope.key, envelope.body)
        except ValueError as error:
            raise ValueError(
                f"item {envelope.key.kind.value} {envelope.key.id} is unreadable: {error}"
            ) from error
        return item, Reference(envelope.since, envelope.refers) if envelope.refers else _NO_REFERENCE

    def _moved(self, scope: Scope, held: _Held, through: int) -> None:
        """The scope is whole through a revision; heads that passed meanwhile are asked for."""
        held.position, held.gap = through, False
        if held.passed > through:
            held.gap = True
            self.resume.append(Resume(scope, through))
        held.passed = _NOTHING

    def follow(self, heads: Heads) -> list[Scope]:
        """Raise what is held up to the heads of its shard; returns the scopes that rose."""
        risen: list[Scope] = []
        for shard, through in heads.through.items():
            if self._refused(shard, heads.epoch, heads.generation):
                continue
            for scope in self._by_shard.get(shard, ()):
                held = self._scopes[scope]
                if held.epoch != heads.epoch or held.gap or held.chunks or held.position == _NOTHING:
                    held.passed = max(held.passed, through)
                elif held.position < through:
                    held.position = through
                    risen.append(scope)
        return risen

    def drop(self, scope: Scope) -> dict[Key, Item] | None:
        """Forget a scope; returns what it held, None if it was not there."""
        held = self._scopes.pop(scope, None)
        if held is None:
            return None
        self._by_shard[shard_of(scope)].discard(scope)
        return held.items

    # --- telling ---------------------------------------------------------------------------------------

    def height(self, scope: Scope) -> tuple[int, int]:
        """(epoch, position) of a scope that is held whole, else `NOT_HELD`: below every reference."""
        held = self._scopes.get(scope)
        return NOT_HELD if held is None or held.position == _NOTHING else (held.epoch, held.position)

    def items(self, scope: Scope) -> dict[Key, Item]:
        """What is held of a scope; not to be changed."""
        held = self._scopes.get(scope)
        return {} if held is None else held.items

    def is_lazy(self, scope: Scope) -> bool:
        """Whether a scope is held on demand: what it does not have is unknown, not absent."""
        held = self._scopes.get(scope)
        return held is not None and held.is_lazy

    def lazy_keys(self) -> dict[Scope, tuple[Key, ...]]:
        """What is held of each scope held on demand, whatever its epoch. Cost: O(what is held of them)."""
        return {scope: tuple(held.items) for scope, held in self._scopes.items() if held.is_lazy}

    def digest(self, scope: Scope, key: Key) -> int | None:
        """CRC-32 of a held item's wire form; None if it is not held. Cost: its encoding."""
        item = self.items(scope).get(key)
        return None if item is None else crc32(self._codec.encode(item))

    def positions(self) -> dict[Scope, int]:
        """What is held whole in the present epoch."""
        return {
            scope: held.position
            for scope, held in self._scopes.items()
            if held.epoch == self.epoch and held.position != _NOTHING
        }

    def offer(self) -> dict[Scope, int]:
        """What is held whole, and where it can be gone on from: of an older epoch nowhere, which is 0."""
        whole = {scope: held for scope, held in self._scopes.items() if held.position != _NOTHING}
        return {scope: held.position if held.epoch == self.epoch else 0 for scope, held in whole.items()}

    @property
    def is_of_one_epoch(self) -> bool:
        """Whether everything that has been begun is held whole in the present epoch. Cost: O(scopes)."""
        return all(held.epoch == self.epoch for held in self._scopes.values())

    def realizable(self, missing: set[int]) -> dict[int, int]:
        """Shard → the lowest position of its scopes; without the shards in `missing` and those with an older epoch."""
        through: dict[int, int] = {}
        missing = set(missing)
        for scope, held in self._scopes.items():
            shard = shard_of(scope)
            if held.epoch != self.epoch or held.position == _NOTHING:
                missing.add(shard)
            else:
                through[shard] = min(held.position, through.get(shard, held.position))
        return {shard: revision for shard, revision in through.items() if shard not in missing}


def _turn(held: _Held, update: ScopeUpdate) -> bool:
    """Hold the scope as the step says; whether that is another way than before."""
    turned = held.is_lazy is not update.lazy
    held.is_lazy = update.lazy
    return turned
