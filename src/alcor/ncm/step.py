"""What is said of one scope to one agent, made from what the cache holds: suffixes, snapshots, and news of a part.

`Delivery` decides which of them an agent is to get, and when; here is what each of them says, and what it takes of a
turn's room (octets, see `envelope_bytes`).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from alcor.bus.interface import Envelope, ScopeUpdate
from alcor.goalstate.item import Key
from alcor.goalstate.scope import Scope
from alcor.ncm.held_scope import HeldScope, envelope_bytes
from alcor.ncm.interest import Holder


def removal_bytes(key: Key) -> int:
    """What the removal of an item takes on the wire, at most."""
    return len(key.id) + 8


@dataclass(slots=True)
class Snapshot:
    """A snapshot that is sent in chunks; all of them say what stood when it was begun.

    holder: who holds the scope in part, of which this says all; None: the agent holds the scope whole.
    """

    scope: Scope
    epoch: int
    generation: int
    through: int
    envelopes: Sequence[Envelope]
    holder: Holder | None = None
    sent: int = 0

    @classmethod
    def of(cls, held: HeldScope, holder: Holder | None = None) -> "Snapshot":
        """Everything, or what the holder holds of it. Cost: O(items), 8 octets each."""
        if holder is None:
            envelopes = held.snapshot()
        else:
            envelopes = [held.entries[key][1] for key in holder.interest.keys_of(holder)]
        return cls(held.scope, held.epoch, held.fence, held.position, envelopes, holder)

    def chunk(self, room: int) -> tuple[ScopeUpdate, int]:
        """As much as there is room for, and what it takes. At least one item, or it would never end."""
        begins, size = self.sent, 0
        while self.sent < len(self.envelopes) and (size < room or self.sent == begins):
            size += envelope_bytes(self.envelopes[self.sent])
            self.sent += 1
        return ScopeUpdate(
            scope=self.scope,
            epoch=self.epoch,
            generation=self.generation,
            from_revision=0,
            through=self.through,
            put=tuple(self.envelopes[begins : self.sent]),
            more=self.sent < len(self.envelopes),
            lazy=self.holder is not None,
        ), size


def shared(held: HeldScope, position: int, *, bytes_max: int) -> ScopeUpdate | None:
    """The last step, if it is all that is lacked after `position`: who lacks the same gets the same object."""
    latest = held.latest
    if latest is None or held.is_blind(position) or latest.generation != held.fence:
        return None
    is_lacked = 0 < latest.from_revision <= position < latest.through
    return latest if is_lacked and held.latest_bytes <= bytes_max else None


def suffix(held: HeldScope, position: int) -> tuple[ScopeUpdate, int]:
    """All that changed after `position`, and what it takes. Asked only where the scope leads on from there."""
    puts, gone = held.suffix_after(position)
    size = sum(envelope_bytes(envelope) for _, envelope in puts) + sum(removal_bytes(key) for _, key in gone)
    return ScopeUpdate(
        scope=held.scope,
        epoch=held.epoch,
        generation=held.fence,
        from_revision=position,
        through=held.position,
        put=tuple([envelope for _, envelope in puts]),
        removed=tuple([key for _, key in gone]),
    ), size


def turning(held: HeldScope, position: int) -> ScopeUpdate:
    """From here on the scope is held on demand; what of it the agent has through `position`, it goes on to hold."""
    return ScopeUpdate(
        scope=held.scope,
        epoch=held.epoch,
        generation=held.fence,
        from_revision=position,
        through=position,
        lazy=True,
    )


def news(held: HeldScope, holder: Holder, position: int, room: int) -> tuple[ScopeUpdate, int]:
    """The step from `position`, of what a holder holds, and what it takes; what is said is no news any more."""
    update = held.lazy_step()
    if update is not None and _is_all_news(update, holder, position):
        holder.told()
        return update, held.latest_bytes
    return _own_news(held, holder, position, room)


def _is_all_news(update: ScopeUpdate, holder: Holder, position: int) -> bool:
    """Whether the last step is exactly the news: then all its holders get the same object."""
    keys = [envelope.key for envelope in update.put]
    return (
        not holder.unsaid
        and update.from_revision <= position < update.through
        and len(keys) + len(update.removed) == len(holder.news)
        and all(key in holder.news and holder.interest.holds(holder, key) for key in keys)
        and all(key in holder.news and not holder.interest.holds(holder, key) for key in update.removed)
    )


def _own_news(held: HeldScope, holder: Holder, position: int, room: int) -> tuple[ScopeUpdate, int]:
    put: list[Envelope] = []
    removed: list[Key] = []
    size = 0
    for key in list(holder.news):
        if size >= room and (put or removed):
            break
        del holder.news[key]
        if holder.interest.holds(holder, key):
            put.append(held.entries[key][1])
            size += envelope_bytes(put[-1])
        else:
            removed.append(key)
            size += removal_bytes(key)
    absent: tuple[str, ...] = ()
    if not holder.news:
        absent = tuple(holder.unsaid.values())
        holder.unsaid = {}
        holder.told()
    return ScopeUpdate(
        scope=held.scope,
        epoch=held.epoch,
        generation=held.fence,
        from_revision=position,
        # A part of the news leaves the position where it is: what follows is still lacking.
        through=position if holder.news else held.position,
        put=tuple(put),
        removed=tuple(removed),
        lazy=True,
        absent=absent,
    ), size
