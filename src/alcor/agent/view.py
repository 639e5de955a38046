"""What the host knows: its scopes, held by the rules of delivery, and resolved into the pipeline's `View`.

Three parts: `scope_store` holds (what may be applied), `reference` judges (what is resolved), `show` writes (where it
stands in the view). A port of which anything it refers to, directly or through another item, is missing, older than
the reference's `since`, or known to be empty is *closed*; a router, gateway, floating IP or group of which that is so
is not in the view at all (I10).
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from alcor.agent.crossing import Crossing
from alcor.agent.reference import Holder, Obstacle, References, may_decide
from alcor.agent.scope_store import NOT_HELD, Reference, ScopeStore, Step
from alcor.agent.show import IF_RESOLVED, as_type, show
from alcor.bus.interface import Dropped, Heads, ItemCodec, Resume, ScopeUpdate
from alcor.goalstate.item import Item, ItemKind, Key, LocalPort, NetworkItem
from alcor.goalstate.scope import (
    REGION,
    Scope,
    ScopeKind,
    host_scope,
    hosts_scope,
    neighbours_scope,
    network_scope,
    shard_of,
)
from alcor.pipeline.feature import ItemChange
from alcor.pipeline.view import NetworkView, View

_REFERRING = IF_RESOLVED | {ItemKind.LOCAL_PORT}


@dataclass(slots=True)
class Changes:
    """What a batch did.

    Shape: `items` in order; `resume`: scopes with a gap; `lost`: local ports that a *snapshot* did not hold any more;
    `deleted`: ids of items that a logged step removed; `reopened`: ports that moved between open and closed.
    Of scopes held on demand: `turned`: those that began or ceased to be (`View.lazy`); `answers`: what was put, also if
    it is as it was; `absent`: what was asked for and is nobody's. What leaves such a scope is not in `deleted`: it may
    just not be used any more.
    """

    items: list[ItemChange] = field(default_factory=list)
    resume: list[Resume] = field(default_factory=list)
    lost: dict[str, LocalPort] = field(default_factory=dict)
    deleted: set[str] = field(default_factory=set)
    reopened: set[str] = field(default_factory=set)
    turned: set[Scope] = field(default_factory=set)
    answers: list[tuple[Scope, Item]] = field(default_factory=list)
    absent: list[tuple[Scope, str]] = field(default_factory=list)


class HostView:
    """The scopes of one host. `resolved` is what the pipeline computes from; its values change in place.

    Cost: O(items changed, and who refers to a scope that came, went or was waited for); O(scopes of the shard) per
    head.
    """

    def __init__(self, host_id: str, codec: ItemCodec) -> None:
        self._own = host_scope(host_id)
        self._store = ScopeStore(self._own, codec)
        self._crossing = Crossing(self._own)
        self._references = References(self._store.height, self._store.items)
        # What of the kinds `IF_RESOLVED` stands in the view.
        self._shown: dict[Holder, Item] = {}
        # Holders whose item changed in this batch.
        self._dirty: dict[Holder, None] = {}
        self._changes = Changes()
        self.resolved = View()

    @property
    def epoch(self) -> int:
        """The highest epoch seen."""
        return self._store.epoch

    # --- receiving -------------------------------------------------------------------------------------

    def begin(self, epoch: int) -> None:
        """A stream begins: chunks and gaps of the last one are void. An epoch above ours is known from here on."""
        self._store.begin(epoch)
        self._crossing.forget()

    def apply(self, messages: Sequence[ScopeUpdate | Heads | Dropped]) -> Changes:
        """Apply what arrived, in order; what a new epoch says, when it has said all that this host needs.

        Raises: ValueError if an item cannot be read; its step and what follows are not applied, and what came before is
        told by the next call.
        """
        held_epoch = max(0, self._store.height(self._own)[0])
        try:
            for message in self._crossing.pass_on(messages, held_epoch):
                if isinstance(message, ScopeUpdate):
                    self._update(message)
                elif isinstance(message, Heads):
                    for scope in self._store.follow(message):
                        self._references.rose(scope)
                else:
                    self._drop(message.scope)
        finally:
            self._settle()
        changes, self._changes = self._changes, Changes()
        changes.resume, self._store.resume = self._store.resume, []
        return changes

    def _update(self, update: ScopeUpdate) -> None:
        scope = update.scope
        epoch = self._store.height(scope)[0]
        step = self._store.take(update)
        if step is None:
            return
        self._note_removed(step)
        for key, before, after, reference in step.entries:
            if key.kind in _REFERRING:
                self._refer(Holder(scope, key), before, after, reference)
            elif before != after:
                self._show(scope, key, before, after)
        if step.turned:
            self._turn(scope, is_lazy=step.is_lazy)
        if step.is_lazy:
            self._changes.answers += [
                (scope, entry.after) for entry in step.entries if entry.after is not None
            ]
        self._changes.absent += [(scope, subject) for subject in update.absent]
        if epoch == self._store.height(scope)[0]:
            self._references.rose(scope)
        else:
            self._references.changed(scope)

    def _note_removed(self, step: Step) -> None:
        for key, before, after, _ in step.entries:
            if after is not None or step.is_lazy:
                continue
            if not step.is_snapshot:
                self._changes.deleted.add(key.id)
            elif isinstance(before, LocalPort):
                self._changes.lost[key.id] = before

    def _refer(self, holder: Holder, before: Item | None, after: Item | None, reference: Reference) -> None:
        self._dirty[holder] = None
        if after is None:
            self._references.remove(holder)
        else:
            self._references.put(holder, _with_network(after, reference))
        if may_decide(holder.scope, holder.key, before, after):
            self._references.changed(holder.scope)

    def _turn(self, scope: Scope, *, is_lazy: bool) -> None:
        """A scope began or ceased to be held on demand: what depends on its network is to be made anew."""
        (self.resolved.lazy.add if is_lazy else self.resolved.lazy.discard)(scope)
        self._changes.turned.add(scope)
        network = self.resolved.networks.get(scope.id)
        if scope.kind is ScopeKind.NEIGHBOURS and network is not None:
            key = Key(ItemKind.NETWORK, scope.id)
            self._changes.items.append(
                ItemChange(network_scope(scope.id), key, network.network, network.network)
            )

    def _drop(self, scope: Scope) -> None:
        """Forget a scope. A host's own scope and the region's are always in its closure and cannot be dropped."""
        if scope in (self._own, REGION):
            return
        items = self._store.drop(scope)
        if items is None:
            return
        if scope in self.resolved.lazy:
            self._turn(scope, is_lazy=False)
        for key, item in items.items():
            if key.kind in _REFERRING:
                self._refer(Holder(scope, key), item, None, Reference(0, ()))
            else:
                self._show(scope, key, item, None)
        self._references.changed(scope)

    # --- showing ---------------------------------------------------------------------------------------

    def _show(self, scope: Scope, key: Key, before: Item | None, after: Item | None) -> None:
        """Write one item of a kind that refers to nothing into the view, and note the step."""
        self._changes.items.append(ItemChange(scope, key, before, after))
        if key.kind is ItemKind.NETWORK:
            self._show_network(scope.id, as_type(NetworkItem, after))
        else:
            show(self.resolved, scope, key, after)
        if may_decide(scope, key, before, after):
            self._references.changed(scope)

    def _show_network(self, network_id: str, network: NetworkItem | None) -> None:
        """Put a network into the view with all that is held of it, or take it out with all that was shown."""
        networks = self.resolved.networks
        if network is not None and network_id in networks:
            networks[network_id].network = network
            return
        if network is None:
            networks.pop(network_id, None)
        else:
            networks[network_id] = NetworkView(network)
        for scope in (network_scope(network_id), neighbours_scope(network_id), hosts_scope(network_id)):
            for key, item in self._store.items(scope).items():
                if key.kind is ItemKind.NETWORK:
                    continue
                if network is None:
                    self._changes.items.append(ItemChange(scope, key, item, None))
                else:
                    show(self.resolved, scope, key, item)
                    self._changes.items.append(ItemChange(scope, key, None, item))

    def _settle(self) -> None:
        """After a batch: what refers is judged, and shown as it is now."""
        moved = self._references.judge()
        dirty, self._dirty = self._dirty, {}
        for holder in (*dirty, *(moved - dirty.keys())):
            item = self._store.items(holder.scope).get(holder.key)
            if holder.key.kind is ItemKind.LOCAL_PORT:
                self._settle_port(holder, as_type(LocalPort, item))
                continue
            before = self._shown.pop(holder, None)
            after = item if item is not None and self._references.is_resolved(holder) else None
            if after is not None:
                self._shown[holder] = after
            if before != after:
                show(self.resolved, holder.scope, holder.key, after)
                self._changes.items.append(ItemChange(holder.scope, holder.key, before, after))

    def _settle_port(self, holder: Holder, port: LocalPort | None) -> None:
        view, id = self.resolved, holder.key.id
        was_open = id in view.ports
        before = view.ports.get(id) or view.closed.get(id)
        is_open = port is not None and self._references.is_resolved(holder)
        holds, other = (view.ports, view.closed) if is_open else (view.closed, view.ports)
        other.pop(id, None)
        if port is None:
            holds.pop(id, None)
        else:
            if before is not None and was_open is not is_open:
                self._changes.reopened.add(id)
            holds[id] = port
        if before != port:
            self._changes.items.append(ItemChange(holder.scope, holder.key, before, port))

    # --- telling ---------------------------------------------------------------------------------------

    def positions(self) -> dict[Scope, int]:
        """What is held whole in the present epoch."""
        return self._store.positions()

    def offer(self) -> dict[Scope, int]:
        """What is held whole, for a hello: where it goes on; 0 of an older epoch, which is told anew or dropped."""
        return self._store.offer()

    def lazy_keys(self) -> dict[Scope, tuple[Key, ...]]:
        """What is held of each scope held on demand, to be told in a hello."""
        return self._store.lazy_keys()

    def lazy(self, scope: Scope) -> bool:
        """Whether a scope is held on demand: what it does not have is unknown, not absent."""
        return scope in self.resolved.lazy

    def lazy_held(self, scope: Scope) -> Collection[Key]:
        """What is held of one scope."""
        return self._store.items(scope).keys()

    def digest(self, scope: Scope, key: Key) -> int | None:
        """CRC-32 of a held item's wire form; None if it is not held."""
        return self._store.digest(scope, key)

    def realizable(self) -> dict[int, int]:
        """Shard → the revision through which *all* scopes of the shard that this host needs are held.

        A shard of which a needed scope is missing, or held in an older epoch, is left out: to acknowledge it would
        say that a port is programmed in a scope that the host does not know (I14).
        """
        return self._store.realizable({shard_of(scope) for scope in self.missing()})

    def missing(self) -> list[Scope]:
        """The scopes of this host's closure that are not held whole. Cost: O(the closure)."""
        needed = dict.fromkeys((self._own, REGION, *self._references.needed()))
        return [scope for scope in needed if self._store.height(scope) == NOT_HELD]

    def obstacles(self, port_id: str) -> tuple[Obstacle, ...]:
        """Why a local port is closed: the scopes at the bottom of it. Empty if it is open, or not here."""
        return self._references.obstacles(Holder(self._own, Key(ItemKind.LOCAL_PORT, port_id)))

    @property
    def has_host(self) -> bool:
        """Whether the host's own scope is held: before, nothing is known of its ports."""
        height = self._store.height(self._own)
        return height != NOT_HELD and height[0] == self.epoch

    @property
    def in_sync(self) -> bool:
        """Whether everything this host needs is held, in one epoch, and nothing waits for knowledge."""
        is_whole = self.has_host and self._store.height(REGION) != NOT_HELD
        return is_whole and not self._references.is_waiting and self._store.is_of_one_epoch


def _with_network(item: Item, reference: Reference) -> Reference:
    """A port without its network is nothing, whatever its envelope says."""
    if not isinstance(item, LocalPort) or network_scope(item.network_id) in reference.targets:
        return reference
    return Reference(reference.since, (*reference.targets, network_scope(item.network_id)))
