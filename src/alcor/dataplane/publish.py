"""What the graph says, as messages of the bus: of the shards that are held, each by its generation."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from alcor.bus.interface import Heads, Publication, Put
from alcor.dataplane.recent import Lately, Recent
from alcor.goalstate.graph import Entry, Graph, ScopeChange
from alcor.goalstate.scope import Scope, shard_of
from alcor.model.change import Position

_NOTHING_SAID = Lately(0, 0)


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
            self.recent.note(change, through)
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
        return self._said(scope, 0, graph.revision, _puts(graph.entries(scope)), self.recent.of(scope))

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
        self,
        scope: Scope,
        from_revision: int,
        through: int,
        put: tuple[Put, ...],
        lately: Lately = _NOTHING_SAID,
    ) -> Publication:
        return Publication(
            scope=scope,
            epoch=self.epoch,
            generation=self.shards[shard_of(scope)],
            from_revision=from_revision,
            through=through,
            put=put,
            changed=lately.changed,
            floor=lately.floor,
            late=lately.late,
        )


def _puts(entries: Iterable[Entry]) -> tuple[Put, ...]:
    return tuple([Put(entry.item, entry.since) for entry in entries])
