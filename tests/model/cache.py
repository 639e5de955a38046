"""What an ncm does with what it is told of one scope (protocol, section 4), a second time and as plain functions.

The model (`tests.model.part`) explores them, and recorded runs of the real code are compared with them
(`tests.support.sim.stand`). An item is a value, 0 if there is none, and the revision of the step that brought it; the
revision of one that is gone is that of its tombstone.
"""

from typing import NamedTuple

Items = tuple[tuple[int, int], ...]
"""Of each key: (value, revision)."""


class Shard(NamedTuple):
    """Who speaks for a shard, and how far its heads are."""

    generation: int = 0
    through: int = 0


class Cached(NamedTuple):
    """A scope at an ncm. `follows`: heads came since it was told; `reloads`: it is wanted anew and stands still.

    `floor`, `blind`: who stands below the one, or inside the other, cannot go on from there.
    """

    through: int = 0
    follows: bool = False
    reloads: bool = False
    changed: int = 0
    floor: int = 0
    blind: tuple[int, int] = (0, 0)
    items: Items = ()


class Said(NamedTuple):
    """What a publisher says of a scope: a step, or (`begins` 0) a snapshot with what it knows of the latest changes.

    values: of each key; None is not mentioned. late: of each key the revision of its change after `floor`, else 0.
    """

    begins: int
    through: int
    values: tuple[int | None, ...]
    changed: int = 0
    floor: int = 0
    late: tuple[int, ...] = ()


class CacheRules:
    """The rules of an ncm. Each is a method, so that a test can break one and see that it is missed."""

    def falls_back(self, before: int, through: int) -> bool:
        """Whether heads are of a laggard: then what its predecessor's said counts for scopes that were here then."""
        return through < before

    def names_again(self, position: int, through: int) -> bool:
        """Whether what a step says is again as it was counts as changed: others may hold what was in between."""
        return through - position > 1

    def leads_on(self, cached: Cached, position: int) -> bool:
        """Whether what changed since a position is known."""
        return cached.floor <= position and not self.is_blind(cached, position)

    def is_blind(self, cached: Cached, position: int) -> bool:
        """Whether it is unknown what the scope was at a position."""
        return cached.blind[0] < position < cached.blind[1]

    def position(self, cached: Cached, shard: Shard) -> int:
        """Through which revision a scope is complete."""
        if cached.reloads or not cached.follows:
            return cached.through
        return max(cached.through, shard.through)

    # --- what comes ---

    def heads(self, cached: Cached, shard: Shard, generation: int, through: int) -> tuple[Cached, Shard]:
        """After heads of somebody who was not replaced."""
        if not self.falls_back(shard.through, through):
            return cached._replace(follows=True), Shard(generation, max(shard.through, through))
        stands = self.position(cached, shard)
        return cached._replace(through=stands, follows=True), Shard(generation, through)

    def step(self, cached: Cached, shard: Shard, said: Said) -> Cached | None:
        """After a step; None if there is a gap, and it must be wanted anew."""
        position = self.position(cached, shard)
        if cached.reloads or said.through <= position:
            return cached if cached.reloads or said.begins <= position else None
        if said.begins > position:
            return None
        items = self._put(cached.items, said, said.through, anew=self.names_again(position, said.through))
        changed = cached.changed if items == cached.items else said.through
        return cached._replace(through=said.through, changed=changed, items=items)

    def begin(self, said: Said) -> Cached:
        """After the snapshot of what was not held."""
        items = [
            (value or 0, late or (said.floor if value else 0))
            for value, late in zip(said.values, said.late, strict=True)
        ]
        return Cached(said.through, False, False, said.changed, said.floor, (0, 0), tuple(items))

    def compare(self, cached: Cached, shard: Shard, said: Said) -> Cached:
        """After the snapshot of what is held: only differences count, and what changed back."""
        position = self.position(cached, shard)
        cached = cached._replace(through=position, follows=False, reloads=False)
        if said.through <= position:
            return cached
        is_told = 0 < said.floor <= position
        items = list(cached.items)
        for key, (value, late) in enumerate(zip(said.values, said.late, strict=True)):
            if (value or 0) != items[key][0] or (is_told and late > position):
                items[key] = (value or 0, said.through)
        if tuple(items) != cached.items:
            cached = cached._replace(items=tuple(items), changed=said.through)
        if not is_told and said.through - position > 1:
            floor = max(cached.floor, cached.blind[1])
            cached = cached._replace(floor=floor, blind=(position, said.through))
        return cached._replace(through=said.through)

    def reload(self, cached: Cached, shard: Shard) -> Cached:
        """It is wanted anew."""
        return cached._replace(through=self.position(cached, shard), reloads=True)

    def _put(self, items: Items, said: Said, through: int, *, anew: bool) -> Items:
        return tuple(
            before if value is None or (value == before[0] and not anew) else (value, through)
            for before, value in zip(items, said.values, strict=True)
        )
