"""A large snapshot is taken in by turns, between which others do what they like."""

from collections.abc import Iterator, Sequence

import msgspec

from alcor.bus.codec import ProtobufCodec
from alcor.bus.interface import Envelope, Heads, Late, ScopeUpdate
from alcor.bus.local import LocalBus
from alcor.goalstate.item import Key, Neighbour, key_of
from alcor.goalstate.scope import neighbours_scope, shard_of
from alcor.ncm.held_scope import HeldScope
from alcor.ncm.scope_cache import ScopeCache

CODEC = ProtobufCodec()
SCOPE, OTHER = neighbours_scope("n"), neighbours_scope("m")


class _Watcher:
    woken = 0

    def wake(self) -> None:
        self.woken += 1


def _envelope(number: int) -> Envelope:
    item = Neighbour(
        id=f"p{number}",
        mac=f"fa:16:3e:00:00:{number:02x}",
        ips=(f"10.0.0.{number}",),
        host_id="h",
        vtep="192.0.2.1",
        groups=(),
    )
    return Envelope(key_of(item), 0, (), CODEC.encode(item))


def _snapshot(*numbers: int, through: int = 10, late: tuple[Late, ...] = ()) -> ScopeUpdate:
    return ScopeUpdate(
        scope=SCOPE,
        epoch=1,
        generation=1,
        from_revision=0,
        through=through,
        put=tuple([_envelope(number) for number in numbers]),
        changed=9,
        floor=7,
        late=late,
    )


class _Site:
    """A cache that takes in two items a turn, of which more than three are held on demand."""

    def __init__(self) -> None:
        self.cache = ScopeCache(LocalBus(CODEC), grace_s=0, codes=CODEC.codes, lazy_above=3, turn_items=2)
        self.watcher = _Watcher()
        self.held: HeldScope = self.cache.acquire(SCOPE, self.watcher)

    def begin(self, *batch: ScopeUpdate | Heads) -> Iterator[None]:
        """Take in as far as the first pause."""
        turns = self.cache.turns(batch)
        next(turns)
        return turns


def _end(turns: Iterator[None]) -> int:
    return sum(1 for _ in turns)


def _keys(held: HeldScope, text: str) -> Sequence[Key]:
    assert held.interest is not None
    holder = held.interest.join(lambda: None)
    held.interest.look_up(holder, [text])
    return held.interest.keys_of(holder)


def test_nothing_is_told_of_a_scope_before_all_of_it_is_there() -> None:
    """In each pause it is as if nothing had come; at the end it is there, found by its subjects, and told once."""
    site = _Site()
    turns = site.begin(_snapshot(1, 2, 3, 4, 5))
    paused = [(site.held.loaded, site.held.is_lazy, site.watcher.woken) for _ in turns]

    assert set(paused) == {(False, False, 0)}
    assert (site.held.loaded, site.held.is_lazy, site.watcher.woken) == (True, True, 1)
    assert [envelope.key.id for envelope in site.held.snapshot()] == ["p1", "p2", "p3", "p4", "p5"]
    assert _keys(site.held, "10.0.0.4") == [_envelope(4).key]


def test_what_changed_lately_is_found_once() -> None:
    """Items that a snapshot names as changed come last, by their own revisions, and are indexed like the others."""
    site = _Site()
    late = (Late(_envelope(2).key, 9), Late(Key(_envelope(9).key.kind, "p9"), 8))
    _end(site.begin(_snapshot(1, 2, 3, 4, late=late)))

    assert [(key.id, revision) for key, (revision, _) in site.held.entries.items()] == [
        ("p1", 7),
        ("p3", 7),
        ("p4", 7),
        ("p2", 9),
    ]
    assert _keys(site.held, "10.0.0.2") == [_envelope(2).key]
    assert list(site.held.tombstones.values()) == [8]


def test_what_is_let_go_of_in_a_pause_does_not_come_to_be() -> None:
    """Nor is what is needed anew from then on begun by the rest of that batch: its own snapshot is on the way."""
    site = _Site()
    heads = Heads(epoch=1, generation=1, through={shard_of(SCOPE): 12})
    turns = site.begin(_snapshot(1, 2, 3, 4, 5), _snapshot(1, through=11), heads)
    site.cache.release(SCOPE, site.watcher)
    again = site.cache.acquire(SCOPE, site.watcher)
    _end(turns)

    assert (site.held.loaded, again.loaded, site.watcher.woken) == (False, False, 0)

    site.cache.take(_snapshot(1, 2, through=13))

    assert (again.loaded, again.position, len(again.entries)) == (True, 13, 2)


def test_others_are_taken_in_after_it() -> None:
    """What comes behind it in the batch waits for it, whatever it speaks of."""
    site = _Site()
    other = site.cache.acquire(OTHER, site.watcher)
    turns = site.begin(_snapshot(1, 2, 3), msgspec.structs.replace(_snapshot(1), scope=OTHER))

    assert not other.loaded

    _end(turns)

    assert other.loaded


def test_another_epoch_replaces_it_at_once() -> None:
    """Those who hold a scope never see a part of it: what is held is replaced without a pause in between."""
    site = _Site()
    site.cache.take(_snapshot(1, 2, 3, 4, 5))
    turns = site.cache.turns([msgspec.structs.replace(_snapshot(1, 2, 3, 4, 6, 7), epoch=2)])
    held = [len(site.held.entries) for _ in turns]

    assert set(held) == {5}
    assert (len(site.held.entries), site.held.is_lazy, site.held.epoch) == (6, True, 2)
