"""What the graph says, as messages of the bus: of the shards that are held, each by its generation."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from alcor.bus.interface import Heads, Publication, Put
from alcor.goalstate.graph import Entry, Graph, ScopeChange
from alcor.goalstate.scope import Scope, shard_of
from alcor.model.change import Position

# Scopes whose last change is remembered: 100 octets each; of older ones it is known that they are older than these.
RECENT_MAX = 200_000


class Recent:
    """When scopes changed last, so that who was there is told that nothing did. `floor`: others not after this."""

    def __init__(self, floor: int, scopes_max: int = RECENT_MAX) -> None:
        self._floor, self._scopes_max = floor, scopes_max
        self._at: dict[Scope, int] = {}  # last changed last

    def note(self, scope: Scope, revision: int) -> None:
        """A scope changed. Cost: O(1)."""
        self._at.pop(scope, None)
        self._at[scope] = revision
        if len(self._at) > self._scopes_max:
            for old in list(self._at)[: self._scopes_max // 2]:
                self._floor = self._at.pop(old)

    def changed(self, scope: Scope) -> int:
        """Not after this revision did it change last."""
        return max(self._floor, self._at.get(scope, 0))


@dataclass(frozen=True, slots=True)
class Publisher:
    """Stamps messages with one epoch, and the generation of each shard; shards that are not held are left out."""

    epoch: int
    shards: Mapping[int, int]
    recent: Recent = field(default_factory=lambda: Recent(0))

    def steps(self, changes: Iterable[ScopeChange], from_revision: int, through: int) -> list[Publication]:
        """One publication per changed scope: everything after `from_revision` through `through`."""
        steps: list[Publication] = []
        for change in changes:
            self.recent.note(change.scope, through)
            generation = self.shards.get(shard_of(change.scope))
            if generation is not None:
                steps.append(
                    Publication(
                        scope=change.scope,
                        epoch=self.epoch,
                        generation=generation,
                        from_revision=from_revision,
                        through=through,
                        put=_puts(change.put),
                        removed=tuple(change.removed),
                    )
                )
        return steps

    def snapshot(self, graph: Graph, scope: Scope) -> Publication:
        """Everything a scope of a held shard holds; nothing if there is no such scope. Cost: O(its items)."""
        return self._said(scope, 0, graph.revision, _puts(graph.entries(scope)), self.recent.changed(scope))

    def unchanged(self, graph: Graph, scope: Scope, epoch: int, position: int) -> Publication | None:
        """As `bus.interface.Unchanged`. A position ahead of us is as good: content depends on the revision alone."""
        if epoch != self.epoch or self.recent.changed(scope) > position or graph.revision == 0:
            return None
        return self._said(scope, min(position, graph.revision), graph.revision, ())

    def snapshots(self, graph: Graph, scopes: Iterable[Scope]) -> Iterator[Publication]:
        """A snapshot of each of some scopes, as far as their shards are held."""
        return (self.snapshot(graph, scope) for scope in scopes if shard_of(scope) in self.shards)

    def heads(self, position: Position) -> list[Heads]:
        """All shards stand where the log does; one message for each generation."""
        told: dict[int, dict[int, int]] = {}
        for shard, generation in self.shards.items():
            told.setdefault(generation, {})[shard] = position.revision
        return [
            Heads(epoch=self.epoch, generation=generation, through=through)
            for generation, through in told.items()
        ]

    def _said(
        self, scope: Scope, from_revision: int, through: int, put: tuple[Put, ...], changed: int = 0
    ) -> Publication:
        return Publication(
            scope=scope,
            epoch=self.epoch,
            generation=self.shards[shard_of(scope)],
            from_revision=from_revision,
            through=through,
            put=put,
            changed=changed,
        )


def _puts(entries: Iterable[Entry]) -> tuple[Put, ...]:
    return tuple([Put(entry.item, entry.since) for entry in entries])
