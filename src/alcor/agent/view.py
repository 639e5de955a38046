"""What the host knows: its scopes, held by the rules of delivery, and resolved into the pipeline's `View`.

Rules (protocol, section 4): a step is applied iff `from ≤ position < through`, ignored if it is old, and a gap
asks to resume from the position. Lower (epoch, generation) are refused (I9). A snapshot is collected until its
last chunk and then replaces the scope at once, so that no state is ever seen half. A reference resolves only if
its target is held through `since` or later in the holder's epoch; else the port is *closed* (I10).
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from alcor.bus.interface import Dropped, Envelope, Heads, ItemCodec, Resume, ScopeUpdate
from alcor.goalstate.item import (
    HostItem,
    Item,
    ItemKind,
    Key,
    LocalPort,
    Neighbour,
    NetworkHost,
    NetworkItem,
    RegionItem,
    SubnetItem,
)
from alcor.goalstate.scope import REGION, Scope, ScopeKind, host_scope, shard_of
from alcor.pipeline.feature import ItemChange
from alcor.pipeline.view import NetworkView, View

_T = TypeVar("_T", bound=Item)
_NOTHING = -1
_References = dict[Key, tuple[int, tuple[Scope, ...]]]
"""Item → (since, the scopes it refers to)."""


@dataclass(slots=True)
class Changes:
    """What a batch did.

    Shape: `items` in order; `resume`: scopes with a gap; `lost`: local ports that a *snapshot* did not hold any more;
    `deleted`: ids of items that a logged step removed; `reopened`: ports that moved between open and closed.
    """

    items: list[ItemChange] = field(default_factory=list)
    resume: list[Resume] = field(default_factory=list)
    lost: dict[str, LocalPort] = field(default_factory=dict)
    deleted: set[str] = field(default_factory=set)
    reopened: set[str] = field(default_factory=set)


@dataclass(slots=True)
class _Held:
    """One scope. `position` is -1 until its first snapshot is whole."""

    epoch: int = 0
    position: int = _NOTHING
    items: dict[Key, Item] = field(default_factory=dict)
    references: _References = field(default_factory=dict)
    # Collected chunks of a snapshot that is not whole yet.
    chunks: list[ScopeUpdate] = field(default_factory=list)
    gap: bool = False
    # Heads passed while this scope could not follow them: it must ask, or it might stay behind for ever.
    passed: int = _NOTHING


class HostView:
    """The scopes of one host. `resolved` is what the pipeline computes from; its values change in place.

    Cost: O(items changed) per step of a scope; O(scopes of the shard) per head.
    """

    def __init__(self, host_id: str, codec: ItemCodec) -> None:
        self._codec = codec
        self._own = host_scope(host_id)
        self._scopes: dict[Scope, _Held] = {}
        self._by_shard: dict[int, set[Scope]] = defaultdict(set)
        self._fences: dict[int, tuple[int, int]] = {}
        self._ports_of: dict[str, set[str]] = defaultdict(set)
        # How many references of the host's own scope name each scope: its closure, kept by counting.
        self._needed: Counter[Scope] = Counter((self._own, REGION))
        self.resolved = View()
        self.epoch = 0

    # --- receiving -------------------------------------------------------------------------------------

    def begin(self, epoch: int) -> None:
        """A stream begins: chunks and gaps of the last one are void. An epoch above ours is known from here on."""
        self.epoch = max(self.epoch, epoch)
        for held in self._scopes.values():
            held.chunks.clear()
            held.gap = False
            held.passed = _NOTHING

    def apply(self, messages: Sequence[ScopeUpdate | Heads | Dropped]) -> Changes:
        """Apply what arrived, in order. Raises: ValueError if an item cannot be read; its step is not applied."""
        changes = Changes()
        for message in messages:
            if isinstance(message, ScopeUpdate):
                self._update(message, changes)
            elif isinstance(message, Heads):
                self._heads(message, changes)
            else:
                self._drop(message.scope, changes)
        return changes

    def _refused(self, shard: int, epoch: int, generation: int) -> bool:
        fence = (epoch, generation)
        if epoch < self.epoch or fence < self._fences.get(shard, (0, 0)):
            return True
        self._fences[shard] = fence
        self.epoch = epoch
        return False

    def _is_ours(self, scope: Scope) -> bool:
        return scope.kind is not ScopeKind.HOST or scope == self._own

    def _update(self, update: ScopeUpdate, changes: Changes) -> None:
        scope = update.scope
        if not self._is_ours(scope) or self._refused(shard_of(scope), update.epoch, update.generation):
            return
        held = self._scopes.get(scope)
        if held is None:
            held = self._scopes[scope] = _Held()
            self._by_shard[shard_of(scope)].add(scope)
        position = held.position if held.epoch == update.epoch else _NOTHING
        if update.from_revision == 0 and (position == _NOTHING or position < update.through):
            self._snapshot(held, update, changes)
        elif position != _NOTHING and update.from_revision <= position < update.through:
            self._step(held, update, changes)
        elif update.through > position and not held.gap:
            # One question per gap: its answer covers what else comes meanwhile.
            held.gap = True
            changes.resume.append(Resume(scope, max(position, 0)))

    def _snapshot(self, held: _Held, update: ScopeUpdate, changes: Changes) -> None:
        if held.chunks and held.chunks[0].epoch != update.epoch:
            held.chunks.clear()
        held.chunks.append(update)
        if update.more:
            return
        items: dict[Key, Item] = {}
        references: _References = {}
        for chunk in held.chunks:
            self._read(chunk, items, references)
        held.chunks = []
        before = held.items
        self._count_references(update.scope, held.references, references)
        held.items, held.references = items, references
        held.epoch, held.position, held.gap = update.epoch, update.through, False
        for key in before.keys() - items.keys():
            item = before[key]
            if isinstance(item, LocalPort):
                changes.lost[key.id] = item
            self._show(update.scope, key, item, None, changes)
        for key, item in items.items():
            self._show(update.scope, key, before.get(key), item, changes)
        self._settle(update.scope, held, items, changes)

    def _step(self, held: _Held, update: ScopeUpdate, changes: Changes) -> None:
        put: dict[Key, Item] = {}
        references: _References = {}
        for envelope in update.put:
            put[envelope.key] = self._decode(envelope)
            references[envelope.key] = (envelope.since, envelope.refers)
        for key in update.removed:
            changes.deleted.add(key.id)
            self._count_references(update.scope, {key: held.references.pop(key, (0, ()))}, {})
            self._show(update.scope, key, held.items.pop(key, None), None, changes)
        gone = {key: held.references[key] for key in references if key in held.references}
        self._count_references(update.scope, gone, references)
        held.references |= references
        for key, item in put.items():
            before = held.items.get(key)
            held.items[key] = item
            self._show(update.scope, key, before, item, changes)
        held.position, held.gap = update.through, False
        self._settle(update.scope, held, put, changes)

    def _count_references(self, scope: Scope, gone: _References, come: _References) -> None:
        if scope != self._own:
            return
        for _, refers in come.values():
            self._needed.update(refers)
        for _, refers in gone.values():
            for target in refers:
                self._needed[target] -= 1
                if not self._needed[target]:
                    del self._needed[target]

    def _read(
        self,
        chunk: ScopeUpdate,
        items: dict[Key, Item],
        references: _References,
    ) -> None:
        for envelope in chunk.put:
            items[envelope.key] = self._decode(envelope)
            references[envelope.key] = (envelope.since, envelope.refers)
        for key in chunk.removed:
            items.pop(key, None)
            references.pop(key, None)

    def _decode(self, envelope: Envelope) -> Item:
        try:
            return self._codec.decode(envelope.key, envelope.body)
        except ValueError as error:
            raise ValueError(
                f"item {envelope.key.kind.value} {envelope.key.id} is unreadable: {error}"
            ) from error

    def _heads(self, heads: Heads, changes: Changes) -> None:
        for shard, through in heads.through.items():
            if self._refused(shard, heads.epoch, heads.generation):
                continue
            for scope in self._by_shard.get(shard, ()):
                held = self._scopes[scope]
                if held.epoch != heads.epoch or held.gap or held.chunks or held.position == _NOTHING:
                    held.passed = max(held.passed, through)
                elif held.position < through:
                    held.position = through
        self._resolve_closed(changes)

    def _settle(self, scope: Scope, held: _Held, touched: Iterable[Key], changes: Changes) -> None:
        """After a step of `scope`: catch up with heads that passed, and judge the ports that it may open or close."""
        if held.passed > held.position:
            held.gap = True
            changes.resume.append(Resume(scope, held.position))
        held.passed = _NOTHING
        if scope != self._own:
            self._resolve_users(scope, changes)
            return
        # Also where the item is as it was: its `since` may have changed.
        for key in touched:
            if key.kind is ItemKind.LOCAL_PORT:
                self._resolve(key.id, changes)

    def _drop(self, scope: Scope, changes: Changes) -> None:
        """Forget a scope. A host's own scope and the region's are always in its closure and cannot be dropped."""
        if scope in (self._own, REGION):
            return
        held = self._scopes.pop(scope, None)
        if held is None:
            return
        self._by_shard[shard_of(scope)].discard(scope)
        for key, item in held.items.items():
            self._show(scope, key, item, None, changes)
        self._resolve_users(scope, changes)

    # --- resolving -------------------------------------------------------------------------------------

    def _show(
        self, scope: Scope, key: Key, before: Item | None, after: Item | None, changes: Changes
    ) -> None:
        """Write one item into the resolved view (None: take it out), and note the step."""
        if before == after:
            return
        changes.items.append(ItemChange(scope, key, before, after))
        if isinstance(after or before, HostItem):
            self.resolved.host = _as(HostItem, after)
        elif isinstance(after or before, RegionItem):
            self.resolved.region = _as(RegionItem, after)
        elif isinstance(after or before, LocalPort):
            self._show_port(key.id, _as(LocalPort, before), _as(LocalPort, after), changes)
        elif isinstance(after or before, NetworkItem):
            self._show_network(scope.id, _as(NetworkItem, after), changes)
        elif scope.id in self.resolved.networks:
            _write_member(self.resolved.networks[scope.id], key.id, before, after)

    def _show_port(
        self, port_id: str, before: LocalPort | None, after: LocalPort | None, changes: Changes
    ) -> None:
        if before is not None:
            self._ports_of[before.network_id].discard(port_id)
            if not self._ports_of[before.network_id]:
                del self._ports_of[before.network_id]
        if after is None:
            self.resolved.ports.pop(port_id, None)
            self.resolved.closed.pop(port_id, None)
            return
        self._ports_of[after.network_id].add(port_id)
        self._resolve(port_id, changes)

    def _show_network(self, network_id: str, network: NetworkItem | None, changes: Changes) -> None:
        """Put a network into the view with all that is held of it, or take it out with all that was shown."""
        shown = self.resolved.networks.get(network_id)
        if network is not None and shown is not None:
            shown.network = network
            return
        members = []
        for scope in (Scope(ScopeKind.NETWORK, network_id), Scope(ScopeKind.NEIGHBOURS, network_id)):
            held = self._scopes.get(scope)
            members += [(scope, key, item) for key, item in held.items.items()] if held is not None else []
        members = [each for each in members if each[1].kind is not ItemKind.NETWORK]
        if network is None:
            self.resolved.networks.pop(network_id, None)
            changes.items += [ItemChange(scope, key, item, None) for scope, key, item in members]
            return
        shown = self.resolved.networks[network_id] = NetworkView(network)
        for scope, key, item in members:
            _write_member(shown, key.id, None, item)
            changes.items.append(ItemChange(scope, key, None, item))

    def _resolve_users(self, scope: Scope, changes: Changes) -> None:
        """Judge anew the ports of the network that `scope` tells of."""
        for port_id in self._ports_of.get(scope.id, ()):
            self._resolve(port_id, changes)

    def _resolve_closed(self, changes: Changes) -> None:
        """A head may have opened what was closed; it closes nothing, because positions only grow."""
        for port_id in list(self.resolved.closed):
            self._resolve(port_id, changes)

    def _resolve(self, port_id: str, changes: Changes) -> None:
        port = self._scopes[self._own].items[Key(ItemKind.LOCAL_PORT, port_id)]
        assert isinstance(port, LocalPort)
        holds, other = self.resolved.closed, self.resolved.ports
        if self._is_resolved(port_id):
            holds, other = other, holds
        if other.pop(port_id, None) is not None:
            changes.reopened.add(port_id)
        holds[port_id] = port

    def _is_resolved(self, port_id: str) -> bool:
        port = self._scopes[self._own].items[Key(ItemKind.LOCAL_PORT, port_id)]
        assert isinstance(port, LocalPort)
        return port.network_id in self.resolved.networks and self._is_known(port_id)

    def _is_known(self, port_id: str) -> bool:
        """Whether all the port refers to is held as far as the reference requires; it may say that there is nothing."""
        own = self._scopes[self._own]
        since, refers = own.references.get(Key(ItemKind.LOCAL_PORT, port_id), (0, ()))
        for scope in refers:
            held = self._scopes.get(scope)
            if held is None or held.position == _NOTHING or (held.epoch, held.position) < (own.epoch, since):
                return False
        return True

    # --- telling ---------------------------------------------------------------------------------------

    def positions(self) -> dict[Scope, int]:
        """What is held whole in the present epoch, to be resumed."""
        return {
            scope: held.position
            for scope, held in self._scopes.items()
            if held.epoch == self.epoch and held.position != _NOTHING
        }

    def realizable(self) -> dict[int, int]:
        """Shard → the revision through which *all* scopes of the shard that this host needs are held.

        A shard of which a needed scope is missing, or held in an older epoch, is left out: to acknowledge it would
        say that a port is programmed in a scope that the host does not know (I14).
        """
        missing = {shard_of(scope) for scope in self.missing()}
        through: dict[int, int] = {}
        for scope, held in self._scopes.items():
            shard = shard_of(scope)
            if held.epoch != self.epoch or held.position == _NOTHING:
                missing.add(shard)
            else:
                through[shard] = min(held.position, through.get(shard, held.position))
        return {shard: revision for shard, revision in through.items() if shard not in missing}

    def missing(self) -> list[Scope]:
        """The scopes of this host's closure that are not held whole."""
        return [
            scope
            for scope in self._needed
            if (held := self._scopes.get(scope)) is None or held.position == _NOTHING
        ]

    @property
    def has_host(self) -> bool:
        """Whether the host's own scope is held: before, nothing is known of its ports."""
        held = self._scopes.get(self._own)
        return held is not None and held.position != _NOTHING and held.epoch == self.epoch

    @property
    def in_sync(self) -> bool:
        """Whether everything this host needs is held, in one epoch, and nothing is closed for want of knowledge."""
        if not self.has_host or self.missing():
            return False
        if not all(self._is_known(port_id) for port_id in self.resolved.closed):
            return False
        return all(held.epoch == self.epoch for held in self._scopes.values())


def _as(type_: type[_T], item: Item | None) -> _T | None:
    """`item`, which the key says is of `type_`."""
    assert item is None or isinstance(item, type_)
    return item


def _write_member(network: NetworkView, id: str, before: Item | None, after: Item | None) -> None:
    item = after if after is not None else before
    if isinstance(item, SubnetItem):
        _write(network.subnets, id, _as(SubnetItem, after))
    elif isinstance(item, NetworkHost):
        _write(network.hosts, id, _as(NetworkHost, after))
    elif isinstance(item, Neighbour):
        _write(network.neighbours, id, _as(Neighbour, after))


def _write(members: dict[str, _T], id: str, member: _T | None) -> None:
    if member is None:
        members.pop(id, None)
    else:
        members[id] = member
