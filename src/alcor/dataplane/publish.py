"""What the graph says, as messages of the bus."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from alcor.bus.interface import Heads, Publication, Put
from alcor.goalstate.graph import Entry, Graph, ScopeChange
from alcor.goalstate.scope import SHARDS, Scope
from alcor.model.change import Position


@dataclass(frozen=True, slots=True)
class Publisher:
    """Stamps messages with one epoch and one generation."""

    epoch: int
    generation: int

    def steps(self, changes: Iterable[ScopeChange], from_revision: int, through: int) -> list[Publication]:
        """One publication per changed scope: everything after `from_revision` through `through`."""
        return [
            Publication(
                scope=change.scope,
                epoch=self.epoch,
                generation=self.generation,
                from_revision=from_revision,
                through=through,
                put=_puts(change.put),
                removed=tuple(change.removed),
            )
            for change in changes
        ]

    def snapshot(self, graph: Graph, scope: Scope) -> Publication:
        """Everything a scope holds; nothing if there is no such scope. Cost: O(its items)."""
        return Publication(
            scope=scope,
            epoch=self.epoch,
            generation=self.generation,
            from_revision=0,
            through=graph.revision,
            put=_puts(graph.entries(scope)),
        )

    def snapshots(self, graph: Graph, scopes: Iterable[Scope]) -> Iterator[Publication]:
        """A snapshot of each of some scopes."""
        return (self.snapshot(graph, scope) for scope in scopes)

    def heads(self, position: Position) -> Heads:
        """This dataplane holds every shard, so they all stand where the log does."""
        return Heads(
            epoch=self.epoch,
            generation=self.generation,
            through=dict.fromkeys(range(SHARDS), position.revision),
        )


def _puts(entries: Iterable[Entry]) -> tuple[Put, ...]:
    return tuple([Put(entry.item, entry.since) for entry in entries])
