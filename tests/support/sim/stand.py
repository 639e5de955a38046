"""What ncms of the real code were told, and where their scopes stood afterwards; and whether the rules lead there.

Recorded at the ncm's bus. `check_ncms` goes through a record with the rules of `tests.model.cache`, which the model of
what is held in part is explored with: after every batch each scope must stand where these lead, must have been wanted
anew where these say so, and must know of the same revisions that it knows nothing of them.
"""

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from alcor.bus.interface import Envelope, Heads, ScopeUpdate
from alcor.goalstate.item import Item, Key, key_of
from alcor.goalstate.scope import Scope, shard_of
from alcor.ncm.service import Ncm
from tests.model.cache import Cached, CacheRules, Said, Shard
from tests.model.rule import Height
from tests.support.sim.truth import Truth


class Place(NamedTuple):
    """Where a scope stood. `life`: which holding of it; `height`: None until it was told of."""

    life: int
    height: Height | None
    reloads: bool
    blind: tuple[int, int]


@dataclass(frozen=True)
class Stood:
    """What an ncm took in, where its scopes stood then, and what those that were told of held."""

    who: str
    batch: tuple[ScopeUpdate | Heads, ...]
    places: dict[Scope, Place]
    items: dict[Scope, tuple[Envelope, ...]]


class WatchedBus:
    """An ncm's end of the bus, watched. `ncm`: set once it is made. `events`: where `Stood` is written to."""

    def __init__(self, who: str, inner: Any, events: list[Any]) -> None:
        self._who, self._inner, self._events = who, inner, events
        self._lives = Counter[Scope]()
        self.ncm: Ncm | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def unwant(self, scope: Scope) -> None:
        """As the bus. A scope that the ncm does not hold any more begins anew when it is wanted again."""
        self._inner.unwant(scope)
        if self.ncm is not None and self.ncm.cache.find(scope) is None:
            self._lives[scope] += 1

    async def updates(self) -> AsyncIterator[Any]:
        """As the bus."""
        async for batch in self._inner.updates():
            yield batch
            self._look(batch)

    def _look(self, batch: Sequence[Any]) -> None:
        assert self.ncm is not None
        told = tuple(each for each in batch if isinstance(each, ScopeUpdate | Heads))
        if not told:
            return
        places: dict[Scope, Place] = {}
        for scope, held in sorted(self.ncm.cache._scopes.items()):
            height = Height(held.epoch, held.position) if held.loaded else None
            places[scope] = Place(self._lives[scope], height, held.reloading, held.blind)
        items = {}
        for scope in {each.scope for each in told if isinstance(each, ScopeUpdate)}:
            one = self.ncm.cache.find(scope)
            if one is not None and one.loaded and not one.reloading:
                items[scope] = tuple(one.snapshot())
        self._events.append(Stood(self._who, told, places, items))


@dataclass
class _Kept:
    """One scope of an ncm, as the rules have it. Its items are not told again here."""

    life: int
    epoch: int = 0
    cached: Cached | None = None


@dataclass
class _Speaker:
    """What is known of one shard. `begun`: the epoch of its last heads."""

    epoch: int = 0
    shard: Shard = field(default_factory=Shard)
    begun: int = 0


@dataclass
class _Life:
    """An ncm's life, told again. `seen`: how often what the model is about happened."""

    who: str
    truth: Truth
    rules: CacheRules
    scopes: dict[Scope, _Kept] = field(default_factory=dict)
    speakers: dict[int, _Speaker] = field(default_factory=dict)
    heights: dict[tuple[Scope, int], Height] = field(default_factory=dict)
    seen: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def take(self, stood: Stood) -> None:
        """A batch. The code must stand where the rules lead."""
        for scope, place in stood.places.items():
            kept = self.scopes.get(scope)
            if kept is None or kept.life != place.life:
                self.scopes[scope] = _Kept(place.life)
        for scope in self.scopes.keys() - stood.places.keys():
            del self.scopes[scope]
        for message in stood.batch:
            if isinstance(message, Heads):
                for number, through in message.through.items():
                    self._heads(number, message.epoch, message.generation, through)
            elif message.scope in self.scopes:
                self._update(self.scopes[message.scope], message)
        for scope, place in stood.places.items():
            self._compare(scope, place)
        for scope, envelopes in stood.items.items():
            self._judge(scope, stood.places[scope], envelopes)

    def _refuses(self, speaker: _Speaker, epoch: int, generation: int) -> bool:
        if (epoch, generation) < (speaker.epoch, speaker.shard.generation):
            return True
        through = speaker.shard.through if epoch == speaker.epoch else 0
        speaker.epoch, speaker.shard = epoch, Shard(generation, through)
        return False

    def _heads(self, number: int, epoch: int, generation: int, through: int) -> None:
        speaker = self.speakers.setdefault(number, _Speaker())
        if self._refuses(speaker, epoch, generation):
            return
        is_new = epoch > speaker.begun
        speaker.begun = max(epoch, speaker.begun)
        before = speaker.shard
        self.seen["heads_back"] += self.rules.falls_back(before.through, through)
        speaker.shard = self.rules.heads(Cached(), before, generation, through)[1]
        for scope, kept in self.scopes.items():
            cached = kept.cached
            if shard_of(scope) != number or cached is None:
                continue
            if kept.epoch == epoch:
                cached = self.rules.heads(cached, before, generation, through)[0]
            elif is_new and kept.epoch < epoch and not cached.reloads:
                cached = cached._replace(reloads=True)
            kept.cached = cached

    def _update(self, kept: _Kept, update: ScopeUpdate) -> None:
        speaker = self.speakers.setdefault(shard_of(update.scope), _Speaker())
        # What stands by an epoch that is over stands still.
        self._settle_old(speaker, update.epoch)
        if self._refuses(speaker, update.epoch, update.generation):
            return
        said, cached, shard = _said(update), kept.cached, speaker.shard
        if update.from_revision == 0:
            if cached is not None and kept.epoch == update.epoch:
                position = self.rules.position(cached, shard)
                kept.cached = self.rules.compare(cached, shard, said)
                self.seen["leaps"] += kept.cached.blind != cached.blind
                self.seen["laggards"] += said.through < position
            else:
                kept.cached, kept.epoch = self.rules.begin(said), update.epoch
            return
        if cached is None or cached.reloads:
            return
        stepped = self.rules.step(cached, shard, said) if update.epoch == kept.epoch else None
        if stepped is None:
            self.seen["missed"] += 1
            stepped = (
                self.rules.reload(cached, shard)
                if update.epoch == kept.epoch
                else cached._replace(reloads=True)
            )
        elif stepped != cached and said.through - self.rules.position(cached, shard) > 1:
            self.seen["several_at_once"] += bool(update.put or update.removed)
        kept.cached = stepped

    def _settle_old(self, speaker: _Speaker, epoch: int) -> None:
        if epoch <= speaker.epoch:
            return
        for scope, kept in self.scopes.items():
            cached = kept.cached
            is_its = cached is not None and self.speakers.get(shard_of(scope)) is speaker
            if cached is not None and is_its and kept.epoch == speaker.epoch:
                kept.cached = cached._replace(follows=False)

    def _compare(self, scope: Scope, place: Place) -> None:
        kept = self.scopes[scope]
        led: Place = Place(place.life, None, False, (0, 0))
        if kept.cached is not None:
            speaker = self.speakers.setdefault(shard_of(scope), _Speaker())
            cached = kept.cached if kept.epoch == speaker.epoch else kept.cached._replace(follows=False)
            height = Height(kept.epoch, self.rules.position(cached, speaker.shard))
            led = Place(place.life, height, cached.reloads, cached.blind)
        if led != place:
            self.wrong.append(f"{self.who} stands at {place} in {scope}, and the rules lead to {led}")
        if place.height is not None:
            before = self.heights.get((scope, place.life), place.height)
            self.heights[scope, place.life] = place.height
            if place.height < before:
                self.wrong.append(f"{self.who} went back in {scope} from {before} to {place.height}")

    def _judge(self, scope: Scope, place: Place, envelopes: Sequence[Envelope]) -> None:
        """What it holds is the state of its revision (I7)."""
        items = {key_of(item): item for item in map(self.truth.read, envelopes)}
        if place.height is not None and not is_state(self.truth, scope, place.height, items):
            self.wrong.append(f"{self.who} holds of {scope} what it never was at {place.height}")


def _said(update: ScopeUpdate) -> Said:
    if update.from_revision:
        return Said(update.from_revision, update.through, ())
    return Said(0, update.through, (), update.changed or update.through, update.floor)


def is_state(
    truth: Truth, scope: Scope, height: Height, items: dict[Key, Item], is_part: bool = False
) -> bool:
    """Whether items are what a scope was at a revision, or (`is_part`) among it."""
    states = [one.state(scope) for one in truth.at(*height)]
    return any(items == state or (is_part and items.items() <= state.items()) for state in states)


def check_ncms(
    events: Sequence[object], truth: Truth, rules: CacheRules | None = None
) -> tuple[list[str], Counter[str]]:
    """What in a record of ncms is not as the rules have it; and how often happened what the model is about."""
    lives: dict[str, _Life] = {}
    for event in events:
        if isinstance(event, Stood):
            life = lives.get(event.who)
            if life is None:
                life = lives[event.who] = _Life(event.who, truth, rules or CacheRules())
            life.take(event)
    seen = Counter[str]()
    for life in lives.values():
        seen.update(life.seen)
    return [each for life in lives.values() for each in life.wrong], seen
