"""The calculation graph: changes in, changed items per scope out. Always equal to `compile` (I3), without history (I4).

A turn: take the changes into the intent; walk the nodes from top to bottom; let each node handle the inputs that
changed, or run it whole where it has no handler or declines; collect what differs. See `node` for the picture.

Cost of a turn: O(changed rows), plus O(ports of a host) for a host that comes, goes or gets another tunnel address,
and O(ports of a network) for one whose routers, peerings or QoS policy change (3 µs each); whole nodes only where
`Stats.recomputed` says so. Measured: see `benchmarks`.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from alcor.goalstate.delta import diff
from alcor.goalstate.fact import PortFact
from alcor.goalstate.holder import Holders
from alcor.goalstate.intent import Input, Intent, Step
from alcor.goalstate.item import Item, ItemKind, Key, RegionItem, State, key_of, refers
from alcor.goalstate.node.contract import ItemNode, Node, Placement, Turn
from alcor.goalstate.node.derived import (
    acl_node,
    bgp_routes_node,
    bgp_speaker_node,
    claim_node,
    floating_ip_node,
    gateway_node,
    host_firewall_node,
    network_node,
    qos_node,
    router_firewall_node,
    router_node,
    rules_node,
)
from alcor.goalstate.node.keyed import KeyedNode
from alcor.goalstate.node.local_port import LocalPortNode
from alcor.goalstate.node.neighbour import NeighbourNode
from alcor.goalstate.node.network_host import network_host_node, open_host_node, relayed_host_node
from alcor.goalstate.node.placement import PlacementNode
from alcor.goalstate.node.region import RegionNode
from alcor.goalstate.node.relay import network_relays_node, relay_node
from alcor.goalstate.node.row import (
    MemberNode,
    host_node,
    prefix_node,
    release_node,
    rescue_node,
    subnet_node,
)
from alcor.goalstate.reference import REFERRING, References
from alcor.goalstate.scope import REGION, Scope, ScopeKind, host_scope, shard_of
from alcor.model.change import Change
from alcor.model.resource import Entity

# What the scopes of these kinds refer to refers to nothing.
_REFERRED = frozenset({ScopeKind.ROUTER, ScopeKind.RULES})


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
    deleted rows. `hosts_parted`: ids of hosts that may hold fewer scopes than before.
    """

    scopes: tuple[ScopeChange, ...]
    placements: tuple[Step[Placement], ...]
    ports_gone: tuple[str, ...]
    hosts_gone: tuple[str, ...]
    hosts_parted: tuple[str, ...]
    stats: Stats


def item_nodes() -> tuple[ItemNode, ...]:
    """One node per kind of item, in an order in which each comes after what it depends on."""
    return (
        RegionNode(),
        host_node(),
        network_node(),
        subnet_node(),
        LocalPortNode(),
        network_host_node(),
        relayed_host_node(),
        open_host_node(),
        NeighbourNode(),
        claim_node(),
        router_node(),
        gateway_node(),
        floating_ip_node(),
        rules_node(),
        MemberNode(),
        prefix_node(),
        qos_node(),
        acl_node(),
        router_firewall_node(),
        host_firewall_node(),
        bgp_speaker_node(),
        bgp_routes_node(),
        relay_node(),
        network_relays_node(),
        release_node(),
        rescue_node(),
    )


class Graph:
    """The goal state of a region at one revision, and how to go on from there. Not safe for two threads at once."""

    def __init__(
        self, intent: Intent, placement: PlacementNode, nodes: Sequence[ItemNode], revision: int
    ) -> None:
        """Use `Graph.load`."""
        self.intent, self.revision = intent, revision
        self._placement, self._nodes = placement, nodes
        self._references = {node.name: References() for node in nodes if node.kind in REFERRING}
        self._holders = Holders()
        self._reach: dict[
            Scope, frozenset[int]
        ] = {}  # scope of `_REFERRED` → shards of it and what it refers to
        self._by_scope_kind: dict[ScopeKind, list[ItemNode]] = {kind: [] for kind in ScopeKind}
        self._followers: dict[Input, list[int]] = {input: [] for input in Input}  # places in `nodes`
        for index, node in enumerate(nodes):
            self._by_scope_kind[node.scope_kind].append(node)
            for input in node.inputs:
                self._followers[input].append(index)

    @classmethod
    def load(
        cls,
        region: RegionItem,
        rows: Iterable[Entity | PortFact],
        *,
        revision: int,
        row_revisions: Mapping[str, int],
        earlier: "Graph | None" = None,
        nodes: Sequence[ItemNode] | None = None,
    ) -> "Graph":
        """Begin with all rows at `revision`; `row_revisions[id]` is when the row last changed.

        `earlier`: the graph before a reload in the same epoch, only read here; ports that are where they were keep the
        revisions of their references and bindings. `nodes`: others than `item_nodes()`, for tests of the fall-back.
        Cost: O(rows), about 6 µs per port.
        """
        graph = cls(
            Intent.of(region, rows),
            PlacementNode(earlier._placement.placed if earlier is not None else None),
            item_nodes() if nodes is None else nodes,
            revision,
        )
        turn = Turn(revision, placed=graph._placement.placed, row_revisions=row_revisions)
        graph._placement.load(graph.intent, turn)
        for node in graph._nodes:
            node.run(graph.intent, turn)
            node.table.settle()
            if node.kind in REFERRING:
                graph._load_references(node, turn, earlier)
        return graph

    def _load_references(self, node: ItemNode, turn: Turn, earlier: "Graph | None") -> None:
        before = None
        if earlier is not None and (former := earlier._node_named(node.name)) is not None:
            held_before, references = former.table, earlier._references[node.name]

            def before(scope_id: str, id: str) -> tuple[Item | None, int]:
                old = held_before.find(scope_id, id)
                return old, references.since(scope_id, old) if old is not None else 0

        for scope_id in node.table.scope_ids():
            self._references[node.name].load(
                scope_id, node.table.items_of(scope_id), turn.row_revisions, turn.revision, before
            )
            self._holders.load(Scope(node.scope_kind, scope_id), node.table.items_of(scope_id))

    def _node_named(self, name: str) -> ItemNode | None:
        return next((node for node in self._nodes if node.name == name), None)

    def advance(self, changes: Iterable[Change], revision: int) -> Outcome:
        """Take in the changes of one or more cuts that lead to `revision`. Cost: see the module."""
        turn = Turn(revision, self.intent.advance(changes), placed=self._placement.placed)
        self.revision = revision
        recomputed: list[str] = []
        changed = {input: len(steps) for input, steps in turn.steps.items()}
        handled = self._bring(self._placement, turn, changed, recomputed)
        turn.placements = self._placement.take()
        if turn.placements:
            changed[Input.PLACEMENTS] = len(turn.placements)
        indexes = {index for input in changed for index in self._followers[input]}
        followers = [self._nodes[index] for index in sorted(indexes)]
        for node in followers:
            handled += self._bring(node, turn, changed, recomputed)
        return self._end(followers, turn, recomputed, handled)

    def follow(self, cuts: Iterable[tuple[Iterable[Change], int]]) -> Outcome:
        """Take in cuts, each the changes that lead to a revision, one after another; the outcome is of all of them.

        It names also what is again as it was: somebody may hold what was in between (I7).
        """
        outcomes = [self.advance(changes, revision) for changes, revision in cuts]
        return outcomes[0] if len(outcomes) == 1 else _merged(outcomes, self.intent)

    def recompute(self) -> Outcome:
        """Run every node whole, as an audit; a right graph has no scope changed by it (I15). Cost: O(rows)."""
        turn = Turn(self.revision, placed=self._placement.placed)
        self._placement.run(self.intent, turn)
        turn.placements = self._placement.take()
        for node in self._nodes:
            node.run(self.intent, turn)
        names = [self._placement.name, *(node.name for node in self._nodes)]
        return self._end(self._nodes, turn, names, 0)

    def scopes(self) -> Iterator[Scope]:
        """Every scope that holds anything, once."""
        for kind, nodes in self._by_scope_kind.items():
            ids: dict[str, None] = {}
            for node in nodes:
                ids.update(dict.fromkeys(node.table.scope_ids()))
            yield from (Scope(kind, id) for id in ids)

    def entries(self, scope: Scope) -> Iterator[Entry]:
        """What a scope holds; nothing if there is no such scope. Cost: O(its items)."""
        for node in self._by_scope_kind[scope.kind]:
            for item in node.table.items_of(scope.id):
                yield self._entry(node, scope.id, item)

    def state(self, scope: Scope) -> State:
        """What a scope holds, by key."""
        return {key_of(entry.item): entry.item for entry in self.entries(scope)}

    def placement(self, port_id: str) -> Placement | None:
        """Where a port is; None if it is unbound, its host is not there, or there is no such port."""
        return self._placement.placed.get(port_id)

    def closure(self, host_id: str) -> Iterator[Scope]:
        """Every scope a host must hold, once: its own, the region's, and what their items refer to, and so on.

        Cost: O(items that refer).
        """
        found = dict.fromkeys((REGION, host_scope(host_id)))
        wave = list(found)
        while wave:
            targets = [target for scope in wave for item in self._referring(scope) for target in refers(item)]
            wave = [target for target in dict.fromkeys(targets) if target not in found]
            found.update(dict.fromkeys(wave))
        yield from found

    @property
    def references(self) -> int:
        """While it stays, so do closures."""
        return self._holders.version

    def hosts_of(self, scope: Scope) -> Mapping[str, int]:
        """The hosts that must hold a scope, those whose closure it is in, and since when (`Holders.hosts`).

        Cost: O(hosts).
        """
        if scope == REGION:
            return dict.fromkeys(self.intent.hosts, 0)
        return {id: since for id, since in self._holders.hosts(scope).items() if id in self.intent.hosts}

    def told_by(self, input: Input, fact: Any) -> Iterator[Scope]:
        """Scopes that hold items which a fact may have a part in, those of hot nodes aside (`goalstate.told`)."""
        for index in self._followers[input]:
            node = self._nodes[index]
            if isinstance(node, KeyedNode):
                for scope_id in node.told_by(self.intent, input, fact):
                    yield Scope(node.scope_kind, scope_id)

    def shards_told(self, change: ScopeChange) -> frozenset[int]:
        """The shards of a scope and of all that its new items refer to, and so on: who confirmed them knows it all."""
        return self._shards_with(change.scope, (entry.item for entry in change.put))

    def shards_about(self, scope: Scope, id: str) -> frozenset[int]:
        """As `shards_told`, of what a scope says of one subject."""
        if scope.kind in _REFERRED:
            return self._shards_behind(scope)
        found = (node.table.find(scope.id, id) for node in self._by_scope_kind[scope.kind])
        return self._shards_with(scope, (item for item in found if item is not None))

    def _shards_with(self, scope: Scope, items: Iterable[Item]) -> frozenset[int]:
        shards = {shard_of(scope)}
        for item in items:
            for target in refers(item):
                shards |= self._shards_behind(target)
        return frozenset(shards)

    def shards_of(self, placement: Placement) -> set[int]:
        """The shards of a placed port's host's scope and of all that the port refers to, and so on.

        Cost: O(scopes it refers to itself); what lies behind a router or group is remembered.
        """
        host = host_scope(placement.host_id)
        shards = {shard_of(host)}
        for node in self._by_scope_kind[ScopeKind.HOST]:
            if node.kind is ItemKind.LOCAL_PORT:
                item = node.table.find(placement.host_id, placement.port.local.id)
                for scope in refers(item) if item is not None else ():
                    shards |= self._shards_behind(scope)
        return shards

    def _shards_behind(self, scope: Scope) -> frozenset[int]:
        if scope.kind not in _REFERRED:
            return frozenset((shard_of(scope),))
        reach = self._reach.get(scope)
        if reach is None:
            targets = {shard_of(target) for item in self._referring(scope) for target in refers(item)}
            reach = self._reach[scope] = frozenset({shard_of(scope), *targets})
        return reach

    def _referring(self, scope: Scope) -> Iterator[Item]:
        for node in self._by_scope_kind[scope.kind]:
            if node.kind in REFERRING:
                yield from node.table.items_of(scope.id)

    def _bring(self, node: Node, turn: Turn, changed: Mapping[Input, int], recomputed: list[str]) -> int:
        """Bring one node up to date with what changed (input → steps); returns the steps its handlers took."""
        handled = 0
        for input, steps in changed.items():
            if input not in node.inputs:
                continue
            handler = node.handlers.get(input)
            if handler is None or not handler(self.intent, turn):
                node.run(self.intent, turn)
                recomputed.append(node.name)
                return handled
            handled += steps
        return handled

    def _entry(self, node: ItemNode, scope_id: str, item: Item) -> Entry:
        references = self._references.get(node.name)
        return Entry(item, references.since(scope_id, item) if references is not None else 0)

    def _end(self, nodes: Sequence[ItemNode], turn: Turn, recomputed: Sequence[str], handled: int) -> Outcome:
        scopes: dict[Scope, ScopeChange] = {}
        items = 0
        for node in nodes:
            references = self._references.get(node.name)
            for scope_id, id, before, item in node.table.take():
                scope = Scope(node.scope_kind, scope_id)
                change = scopes.get(scope)
                if change is None:
                    change = scopes[scope] = ScopeChange(scope)
                items += 1
                if references is not None:
                    references.follow(scope_id, id, before, item, turn.revision)
                    self._holders.follow(scope, before, item, turn.revision)
                    self._reach.pop(scope, None)
                if item is None:
                    change.removed.append(Key(node.kind, id))
                else:
                    change.put.append(self._entry(node, scope_id, item))
        return Outcome(
            tuple(scopes.values()),
            tuple(turn.placements),
            tuple(step.id for step in turn.steps.of(Input.PORTS) if step.after is None),
            tuple(step.id for step in turn.steps.of(Input.HOSTS) if step.after is None),
            tuple(sorted(self._holders.take_parted())),
            Stats(tuple(recomputed), handled, items),
        )


def _joined(first: Step[Placement], second: Step[Placement]) -> Step[Placement]:
    remade = first.remade or second.remade or (first.after is None and first.before is not None)
    return replace(second, before=first.before, remade=remade)


def _merged(outcomes: Sequence[Outcome], intent: Intent) -> Outcome:
    """Several turns as one: of each key and each port the last word."""
    said: dict[Scope, dict[Key, Entry | None]] = {}
    placements: dict[str, Step[Placement]] = {}
    for outcome in outcomes:
        for change in outcome.scopes:
            last = said.setdefault(change.scope, {})
            last.update(dict.fromkeys(change.removed))
            last.update((key_of(entry.item), entry) for entry in change.put)
        for step in outcome.placements:
            first = placements.get(step.id)
            placements[step.id] = step if first is None else _joined(first, step)
    scopes = [
        ScopeChange(
            scope,
            [entry for entry in last.values() if entry is not None],
            [key for key, entry in last.items() if entry is None],
        )
        for scope, last in said.items()
    ]
    ports = dict.fromkeys(id for outcome in outcomes for id in outcome.ports_gone)
    hosts = dict.fromkeys(id for outcome in outcomes for id in outcome.hosts_gone)
    return Outcome(
        tuple(scopes),
        tuple(placements.values()),
        tuple(id for id in ports if intent.ports.get(id) is None),
        tuple(id for id in hosts if intent.hosts.get(id) is None),
        tuple(dict.fromkeys(id for outcome in outcomes for id in outcome.hosts_parted)),
        Stats(
            tuple(name for outcome in outcomes for name in outcome.stats.recomputed),
            sum(outcome.stats.handled for outcome in outcomes),
            sum(outcome.stats.items for outcome in outcomes),
        ),
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
