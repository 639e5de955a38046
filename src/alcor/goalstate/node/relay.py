"""Which hosts are the relays of large networks."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Generic, TypeVar

from alcor.goalstate.derive.port import vtep_of
from alcor.goalstate.derive.relay import has_relays, relays_of
from alcor.goalstate.intent import By, Input, Intent
from alcor.goalstate.item import Item, ItemKind, NetworkRelays, RelayItem
from alcor.goalstate.node.contract import Handler, Table, Turn
from alcor.goalstate.router_item import GatewayHost
from alcor.goalstate.scope import ScopeKind

I = TypeVar("I", bound=Item)  # noqa: E741 - the usual letter for "item" here
_Items = Callable[[str, tuple[GatewayHost, ...]], Iterable[tuple[str, I]]]
"""(network id, its relays, at least one) → (scope id, item)."""


class RelaysNode(Generic[I]):
    """Items about the relays of each network that has any.

    Subscribes to: placements, counted per network, so that a port costs O(1); networks, whose kind decides; hosts and
    standings, which decide for all large networks at once; settings, which say what is large.
    """

    inputs = (Input.PLACEMENTS, Input.NETWORKS, Input.HOSTS, Input.STANDINGS, Input.SETTINGS)

    def __init__(self, kind: ItemKind, scope_kind: ScopeKind, items: _Items[I]) -> None:
        """`items`: what is told of a network's relays; no two networks make one of the same scope and id."""
        self.name, self.kind, self.scope_kind = kind.value, kind, scope_kind
        self.table: Table[I] = Table()
        self.handlers: Mapping[Input, Handler] = {
            Input.PLACEMENTS: self._placements,
            Input.NETWORKS: self._networks,
            Input.HOSTS: self._hosts,
            Input.STANDINGS: self._all,
            Input.SETTINGS: self._all,
        }
        self._items = items
        self._ports: Counter[str] = Counter()  # network id → placed ports, all counts positive
        self._held: dict[str, tuple[tuple[str, str], ...]] = {}  # network id → places (scope id, item id)

    def run(self, intent: Intent, turn: Turn) -> None:
        """Cost: O(placed ports)."""
        self._ports = Counter(placement.port.local.network_id for placement in turn.placed.values())
        self._held = {}
        found: list[tuple[str, I]] = []
        for network_id in self._large(intent):
            items = self._of(intent, network_id)
            found += items
            self._hold(network_id, items)
        self.table.replace(found)

    def _placements(self, intent: Intent, turn: Turn) -> bool:
        touched: dict[str, None] = {}
        for step in turn.placements:
            for placement, by in ((step.after, 1), (step.before, -1)):
                if placement is not None:
                    network_id = placement.port.local.network_id
                    touched[network_id] = None
                    self._ports[network_id] += by
                    if not self._ports[network_id]:
                        del self._ports[network_id]
        for network_id in touched:
            # Between its first and its next crossing of the limit a network's size decides nothing.
            if (network_id in self._held) != self._is_large(intent, network_id):
                self._bring(intent, network_id)
        return True

    def _networks(self, intent: Intent, turn: Turn) -> bool:
        for step in turn.steps.of(Input.NETWORKS):
            self._bring(intent, step.id)
        return True

    def _hosts(self, intent: Intent, turn: Turn) -> bool:
        for step in turn.steps.of(Input.HOSTS):
            sides = [None if one is None or not one.is_gateway else one for one in (step.before, step.after)]
            ends = [None if one is None else vtep_of(one) for one in sides]
            if ends[0] != ends[1]:
                self._bring_all(intent)
                break
        return True

    def _all(self, intent: Intent, turn: Turn) -> bool:
        self._bring_all(intent)
        return True

    def _large(self, intent: Intent) -> Iterator[str]:
        return (id for id in self._ports if self._is_large(intent, id))

    def _is_large(self, intent: Intent, network_id: str) -> bool:
        return 0 < intent.region.relay_above < self._ports.get(network_id, 0)

    def _of(self, intent: Intent, network_id: str) -> list[tuple[str, I]]:
        if not has_relays(intent, network_id, self._ports.get(network_id, 0)):
            return []
        hosts = relays_of(network_id, intent.hosts.found((By.IS_GATEWAY, True)), intent.standings)
        return list(self._items(network_id, hosts)) if hosts else []

    def _bring_all(self, intent: Intent) -> None:
        for network_id in dict.fromkeys((*self._held, *self._large(intent))):
            self._bring(intent, network_id)

    def _bring(self, intent: Intent, network_id: str) -> None:
        items = self._of(intent, network_id)
        places = {(scope_id, item.id) for scope_id, item in items}
        for scope_id, id in self._held.pop(network_id, ()):
            if (scope_id, id) not in places:
                self.table.set(scope_id, id, None)
        for scope_id, item in items:
            self.table.set(scope_id, item.id, item)
        self._hold(network_id, items)

    def _hold(self, network_id: str, items: Iterable[tuple[str, I]]) -> None:
        places = tuple([(scope_id, item.id) for scope_id, item in items])
        if places:
            self._held[network_id] = places


def relay_node() -> RelaysNode[RelayItem]:
    """RelayItem in the scope of each relay."""
    return RelaysNode(
        ItemKind.RELAY,
        ScopeKind.HOST,
        lambda network_id, hosts: ((host.host_id, RelayItem(id=network_id)) for host in hosts),
    )


def network_relays_node() -> RelaysNode[NetworkRelays]:
    """NetworkRelays in the network's scope."""
    return RelaysNode(
        ItemKind.NETWORK_RELAYS,
        ScopeKind.NETWORK,
        lambda network_id, hosts: ((network_id, NetworkRelays(id=network_id, hosts=hosts)),),
    )
