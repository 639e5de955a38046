"""The hosts of a network: where its broadcast and multicast packets go, and its unknown unicast."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Generic, TypeVar

from alcor.goalstate.derive.port import network_host, open_host, vtep_of
from alcor.goalstate.derive.relay import has_relays
from alcor.goalstate.fact import HostFact
from alcor.goalstate.intent import Input, Intent
from alcor.goalstate.item import Item, ItemKind, LocalPort, NetworkHost, OpenHost
from alcor.goalstate.node.contract import Handler, Table, Turn
from alcor.goalstate.scope import ScopeKind

I = TypeVar("I", bound=Item)  # noqa: E741 - the usual letter for "item" here
_Tells = Callable[[Intent, str, int, int], bool]
"""(intent, network id, its ports that count, their hosts) → whether hosts are told in the scope."""


class HostsNode(Generic[I]):
    """An item in a scope of the network for each host that holds at least one of its ports that count.

    Subscribes to: placements, counted per network and host, so that neither a first nor a last port needs a search;
    hosts, for their tunnel address; networks, gateway hosts and settings, which decide what is told.
    """

    inputs = (Input.PLACEMENTS, Input.NETWORKS, Input.HOSTS, Input.SETTINGS)

    def __init__(
        self,
        place: tuple[str, ItemKind, ScopeKind],
        item: Callable[[HostFact], I | None],
        counts: Callable[[LocalPort], bool],
        tells: _Tells,
    ) -> None:
        """`place`: the node's name, its items' kind and scope. `item`: of a host, None if it has no tunnel address."""
        self.name, self.kind, self.scope_kind = place
        self.table: Table[I] = Table()
        self.handlers: Mapping[Input, Handler] = {
            Input.PLACEMENTS: self._placements,
            Input.NETWORKS: self._networks,
            Input.HOSTS: self._hosts,
            Input.SETTINGS: self._settings,
        }
        self._item, self._counts, self._tells = item, counts, tells
        self._ports: dict[str, Counter[str]] = {}  # network id → host id → ports that count, all positive
        self._sizes: Counter[str] = Counter()  # network id → its ports that count
        self._told: set[str] = set()

    def run(self, intent: Intent, turn: Turn) -> None:
        """Cost: O(placed ports)."""
        self._ports = {}
        counted = Counter(
            (one.port.local.network_id, one.host_id)
            for one in turn.placed.values()
            if self._counts(one.port.local)
        )
        for (network_id, host_id), count in counted.items():
            self._ports.setdefault(network_id, Counter())[host_id] = count
        self._sizes = Counter({id: sum(ports.values()) for id, ports in self._ports.items()})
        self._told = {
            id for id, ports in self._ports.items() if self._tells(intent, id, self._sizes[id], len(ports))
        }
        self.table.replace(self._items(intent))

    def _items(self, intent: Intent) -> Iterator[tuple[str, I]]:
        for network_id in self._told:
            for host_id in self._ports[network_id]:
                item = self._item(intent.hosts[host_id])
                if item is not None:
                    yield network_id, item

    def _placements(self, intent: Intent, turn: Turn) -> bool:
        touched: dict[str, dict[str, None]] = {}
        for step in turn.placements:
            for placement, by in ((step.after, 1), (step.before, -1)):
                if placement is None or not self._counts(placement.port.local):
                    continue
                network_id, host_id = placement.port.local.network_id, placement.host_id
                ports = self._ports.setdefault(network_id, Counter())
                ports[host_id] += by
                self._sizes[network_id] += by
                if not ports[host_id]:
                    del ports[host_id]
                touched.setdefault(network_id, {})[host_id] = None
        for network_id, hosts in touched.items():
            self._bring(intent, network_id, hosts)
        return True

    def _networks(self, intent: Intent, turn: Turn) -> bool:
        for step in turn.steps.of(Input.NETWORKS):
            self._bring(intent, step.id, ())
        return True

    def _hosts(self, intent: Intent, turn: Turn) -> bool:
        """Cost: O(networks) for a host whose tunnel address changed, or that is or was a gateway host."""
        for step in turn.steps.of(Input.HOSTS):
            ends = [None if one is None else vtep_of(one) for one in (step.before, step.after)]
            is_gateway = any(one is not None and one.is_gateway for one in (step.before, step.after))
            if ends[0] != ends[1] or is_gateway:
                for network_id, ports in list(self._ports.items()):
                    self._bring(intent, network_id, (step.id,) if step.id in ports else ())
        return True

    def _settings(self, intent: Intent, turn: Turn) -> bool:
        for network_id in list(self._ports):
            self._bring(intent, network_id, ())
        return True

    def _bring(self, intent: Intent, network_id: str, hosts: Iterable[str]) -> None:
        """Tell these hosts anew; all of the network's when they begin or cease to be told. Cost: O(those)."""
        ports = self._ports.get(network_id, Counter())
        was = network_id in self._told
        is_told = bool(ports) and self._tells(intent, network_id, self._sizes[network_id], len(ports))
        (self._told.add if is_told else self._told.discard)(network_id)
        for host_id in {**ports, **dict.fromkeys(hosts)} if is_told != was else hosts:
            host = intent.hosts.get(host_id)
            held = is_told and host is not None and host_id in ports
            self.table.set(network_id, host_id, self._item(host) if held and host is not None else None)
        if not ports:
            self._ports.pop(network_id, None)
            self._sizes.pop(network_id, None)


def network_host_node() -> HostsNode[NetworkHost]:
    """NetworkHost in the network's scope, unless these are many and relays know them.

    No memory keeps it as it was (I4): a network that goes to and fro pays a step of its scope for each crossing.
    """

    def tells(intent: Intent, network_id: str, ports: int, hosts: int) -> bool:
        is_large = 0 < intent.region.flood_above < hosts
        return not (is_large and has_relays(intent, network_id, ports))

    place = ("network_host", ItemKind.NETWORK_HOST, ScopeKind.NETWORK)
    return HostsNode(place, network_host, lambda _port: True, tells)


def relayed_host_node() -> HostsNode[NetworkHost]:
    """NetworkHost in the scope that relays hold: there before the network's own hosts cease to know, and after."""

    def tells(intent: Intent, network_id: str, ports: int, _hosts: int) -> bool:
        return has_relays(intent, network_id, ports)

    place = ("relayed_host", ItemKind.NETWORK_HOST, ScopeKind.HOSTS)
    return HostsNode(place, network_host, lambda _port: True, tells)


def open_host_node() -> HostsNode[OpenHost]:
    """OpenHost in the network's scope."""
    place = ("open_host", ItemKind.OPEN_HOST, ScopeKind.NETWORK)
    return HostsNode(place, open_host, lambda port: not port.port_security_enabled, lambda *_: True)
