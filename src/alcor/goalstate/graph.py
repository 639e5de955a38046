"""The calculation graph: changes in, changed items per scope out. Always equal to `compile` (I3), without history (I4).

A turn: take the changes into the intent; walk the nodes from top to bottom; let each node handle the inputs that
changed, or run it whole where it has no handler or declines; collect what differs. See `node` for the picture.

Cost of a turn: O(changed rows), plus O(ports of a host) for a host that comes, goes or gets another tunnel address;
whole nodes only where `Stats.recomputed` says so. Measured: see `benchmarks`.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from alcor.goalstate.delta import diff
from alcor.goalstate.intent import Intent, Step
from alcor.goalstate.item import Item, Key, RegionItem, State, key_of, refers
from alcor.goalstate.node.contract import ItemNode, Node, Placement, Turn
from alcor.goalstate.node.local_port import LocalPortNode
from alcor.goalstate.node.neighbour import NeighbourNode
from alcor.goalstate.node.network_host import NetworkHostNode
from alcor.goalstate.node.placement import PlacementNode
from alcor.goalstate.node.region import RegionNode
from alcor.goalstate.node.row import host_node, network_node, subnet_node
from alcor.goalstate.scope import REGION, Scope, ScopeKind, host_scope, neighbours_scope, network_scope
from alcor.model.change import Change
from alcor.model.resource import Entity


class Entry(NamedTuple):
    """An item and the revision that introduced its references (0 if it has none; protocol, 4)."""

    item: Item
    since: int


@dataclass(slots=True)
class ScopeChange:
    """What changed in one scope: items to put, keys to remove; a key is in at most one of the two."""

    scope: Scope
    put: list[Entry] = field(default_factory=list)
    removed: list[Key] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Stats:
    """How a turn was made. `recomputed`: names of nodes that ran whole; `handled`: steps that handlers took;
    `items`: items put and removed."""

    recomputed: tuple[str, ...] = ()
    handled: int = 0
    items: int = 0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a turn did.

    `placements`: ports that were bound, unbound, moved or changed on their host. `ports_gone`, `hosts_gone`: ids of
    deleted rows.
    """

    scopes: tuple[ScopeChange, ...]
    placements: tuple[Step[Placement], ...]
    ports_gone: tuple[str, ...]
    hosts_gone: tuple[str, ...]
    stats: Stats


def item_nodes() -> tuple[ItemNode, ...]:
    """One node per kind of item, in an order in which each comes after what it depends on."""
    return (
        RegionNode(),
        host_node(),
        network_node(),
        subnet_node(),
        LocalPortNode(),
        NetworkHostNode(),
        NeighbourNode(),
    )


class Graph:
    """The goal state of a region at one revision, and how to go on from there. Not safe for two threads at once."""

    def __init__(
        self, intent: Intent, placement: PlacementNode, nodes: Sequence[ItemNode], revision: int
    ) -> None:
        """Use `Graph.load`."""
        self.intent, self.revision = intent, revision
        self._placement, self._nodes = placement, nodes
        self._by_scope_kind: dict[ScopeKind, list[ItemNode]] = {kind: [] for kind in ScopeKind}
        for node in nodes:
            self._by_scope_kind[node.scope_kind].append(node)

    @classmethod
    def load(
        cls,
        region: RegionItem,
        rows: Iterable[Entity],
        *,
        revision: int,
        row_revisions: Mapping[str, int],
        earlier: "Graph | None" = None,
        nodes: Sequence[ItemNode] | None = None,
    ) -> "Graph":
        """Begin with all rows at `revision`; `row_revisions[id]` is when the row last changed.

        `earlier`: the graph before a reload in the same epoch, only read here; ports that are where they were keep the
        revisions of their references and bindings. `nodes`: others than `item_nodes()`, for tests of the fall-back.
        Cost: O(rows), about 10 µs per port.
        """
        graph = cls(
            Intent.of(region, rows),
            PlacementNode(earlier._placement.placed if earlier is not None else None),
            item_nodes() if nodes is None else nodes,
            revision,
        )
        turn = Turn(revision, placed=graph._placement.placed, row_revisions=row_revisions)
        graph._placement.run(graph.intent, turn)
        graph._placement.take()
        for node in graph._nodes:
            node.run(graph.intent, turn)
            node.table.settle()
        return graph

    def advance(self, changes: Iterable[Change], revision: int) -> Outcome:
        """Take in the changes of one or more cuts that lead to `revision`. Cost: see the module."""
        turn = Turn(revision, self.intent.advance(changes), placed=self._placement.placed)
        self.revision = revision
        recomputed: list[str] = []
        handled = self._bring(self._placement, turn, recomputed)
        turn.placements = self._placement.take()
        for node in self._nodes:
            handled += self._bring(node, turn, recomputed)
        return self._end(turn, recomputed, handled)

    def recompute(self) -> Outcome:
        """Run every node whole, as an audit; a right graph has no scope changed by it (I15). Cost: O(rows)."""
        turn = Turn(self.revision, placed=self._placement.placed)
        self._placement.run(self.intent, turn)
        turn.placements = self._placement.take()
        for node in self._nodes:
            node.run(self.intent, turn)
        return self._end(turn, [self._placement.name, *(node.name for node in self._nodes)], 0)

    def scopes(self) -> Iterator[Scope]:
        """Every scope that holds anything, once."""
        for kind, nodes in self._by_scope_kind.items():
            ids: dict[str, None] = {}
            for node in nodes:
                ids.update(dict.fromkeys(node.table.rows))
            yield from (Scope(kind, id) for id in ids)

    def entries(self, scope: Scope) -> Iterator[Entry]:
        """What a scope holds; nothing if there is no such scope. Cost: O(its items)."""
        for node in self._by_scope_kind[scope.kind]:
            for item in node.table.rows.get(scope.id, {}).values():
                yield self._entry(item)

    def state(self, scope: Scope) -> State:
        """What a scope holds, by key."""
        return {key_of(entry.item): entry.item for entry in self.entries(scope)}

    def placement(self, port_id: str) -> Placement | None:
        """Where a port is; None if it is unbound, its host is not there, or there is no such port."""
        return self._placement.placed.get(port_id)

    def ports_on(self, host_id: str) -> Iterator[Placement]:
        """The ports placed on a host."""
        host = self.intent.hosts.get(host_id)
        for port in self.intent.ports_named(host.name) if host is not None else ():
            yield self._placement.placed[port.local.id]

    def closure(self, host_id: str) -> Iterator[Scope]:
        """Every scope a host must hold, once: its own, the region's, and what its ports refer to."""
        yield REGION
        yield host_scope(host_id)
        for network_id in {placement.port.local.network_id for placement in self.ports_on(host_id)}:
            yield network_scope(network_id)
            yield neighbours_scope(network_id)

    def _bring(self, node: Node, turn: Turn, recomputed: list[str]) -> int:
        """Bring one node up to date; returns the steps its handlers took."""
        handled = 0
        for input in node.inputs:
            steps = turn.changed(input)
            if not steps:
                continue
            handler = node.handlers.get(input)
            if handler is None or not handler(self.intent, turn):
                node.run(self.intent, turn)
                recomputed.append(node.name)
                return handled
            handled += steps
        return handled

    def _entry(self, item: Item) -> Entry:
        return Entry(item, self._placement.placed[item.id].since if refers(item) else 0)

    def _end(self, turn: Turn, recomputed: Sequence[str], handled: int) -> Outcome:
        scopes: dict[Scope, ScopeChange] = {}
        items = 0
        for node in self._nodes:
            for scope_id, id, item in node.table.take():
                scope = Scope(node.scope_kind, scope_id)
                change = scopes.setdefault(scope, ScopeChange(scope))
                items += 1
                if item is None:
                    change.removed.append(Key(node.kind, id))
                else:
                    change.put.append(self._entry(item))
        return Outcome(
            tuple(scopes.values()),
            tuple(turn.placements),
            tuple(step.id for step in turn.steps.ports if step.after is None),
            tuple(step.id for step in turn.steps.hosts if step.after is None),
            Stats(tuple(recomputed), handled, items),
        )


def difference(old: Graph, new: Graph) -> Iterator[ScopeChange]:
    """What a holder of `old` must be told to hold `new`, scope by scope; equal scopes are left out.

    Cost: O(items of both).
    """
    for scope in dict.fromkeys([*old.scopes(), *new.scopes()]):
        entries = {key_of(entry.item): entry for entry in new.entries(scope)}
        delta = diff(old.state(scope), {key: entry.item for key, entry in entries.items()})
        if delta:
            yield ScopeChange(scope, [entries[key] for key in delta.put], list(delta.removed))
