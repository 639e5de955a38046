"""What the pipeline computes from: the host's knowledge (`View`) and its local numbers (`Allocation`).

The view is already *resolved*: a port whose network or neighbours are missing, or older than the reference requires
(`since`), stands in `closed` instead of `ports`. Closed ports get no packets and send none (I10).
"""

from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from alcor.goalstate.item import (
    HostItem,
    LocalPort,
    Neighbour,
    NetworkHost,
    NetworkItem,
    RegionItem,
    SubnetItem,
)

T = TypeVar("T")


class Indexed(dict[str, T], Generic[T]):
    """A dict (id → item) that also finds items by what `names` says of them: a MAC, an address, a network.

    Kept by every way a dict can be changed, so that whoever holds it need not know. Cost: O(names) per change,
    O(1) per `find`; one tuple per name.
    """

    def __init__(
        self, names: Callable[[T], Iterable[Hashable]], items: Mapping[str, T] | None = None
    ) -> None:
        super().__init__()
        self._names = names
        self._ids: dict[Hashable, tuple[str, ...]] = {}
        if items:
            self.update(items)

    def find(self, name: Hashable) -> tuple[str, ...]:
        """The ids of the items with this name, those that came first, first."""
        return self._ids.get(name, ())

    def __setitem__(self, id: str, item: T) -> None:
        kept: set[Hashable] = set()
        if id in self:
            kept = set(self._names(item))
            self._forget(id, self[id], kept)
        super().__setitem__(id, item)
        for name in self._names(item):
            ids = self._ids.get(name, ())
            if id not in ids:
                self._ids[name] = (*ids, id)

    def __delitem__(self, id: str) -> None:
        self._forget(id, self[id], frozenset())
        super().__delitem__(id)

    def _forget(self, id: str, item: T, kept: Iterable[Hashable]) -> None:
        for name in self._names(item):
            if name not in kept:
                left = tuple(other for other in self._ids.get(name, ()) if other != id)
                if left:
                    self._ids[name] = left
                else:
                    self._ids.pop(name, None)

    # dict's own versions of these do not call __setitem__ and __delitem__.
    def pop(self, id: str, *default: Any) -> Any:
        """As dict."""
        if id not in self:
            return super().pop(id, *default)
        item = self[id]
        del self[id]
        return item

    def popitem(self) -> tuple[str, T]:
        """As dict."""
        id, item = super().popitem()
        self._forget(id, item, frozenset())
        return id, item

    def setdefault(self, id: str, default: T) -> T:
        """As dict."""
        if id not in self:
            self[id] = default
        return self[id]

    def update(self, items: Any = (), /, **named: T) -> None:
        """As dict."""
        for id, item in dict(items, **named).items():
            self[id] = item

    def __ior__(self, items: Any) -> "Indexed[T]":  # type: ignore[override,misc]  # dict's has overloads
        self.update(items)
        return self

    def clear(self) -> None:
        """As dict."""
        super().clear()
        self._ids.clear()

    def copy(self) -> "Indexed[T]":
        """As dict; the copy is indexed too."""
        return Indexed(self._names, self)

    def __reduce__(self) -> tuple[Any, ...]:
        return Indexed, (self._names, dict(self))


def _neighbour_names(neighbour: Neighbour) -> tuple[Hashable, ...]:
    return (neighbour.mac, *neighbour.ips)


def _port_names(port: LocalPort) -> tuple[Hashable, ...]:
    return (port.network_id, (port.network_id, port.mac))


def neighbours_by_claim(items: Mapping[str, Neighbour] | None = None) -> Indexed[Neighbour]:
    """Neighbours of one network by port id; `find(mac)` and `find(ip)` say who claims them."""
    return Indexed(_neighbour_names, items)


def ports_by_network(items: Mapping[str, LocalPort] | None = None) -> Indexed[LocalPort]:
    """Local ports by id; `find(network_id)` and `find((network_id, mac))`."""
    return Indexed(_port_names, items)


@dataclass(slots=True)
class NetworkView:
    """One network as this host knows it. Keys: subnet id, host id, port id.

    A plain dict given as `neighbours` is copied into an indexed one: change it through the view.
    """

    network: NetworkItem
    subnets: dict[str, SubnetItem] = field(default_factory=dict)
    hosts: dict[str, NetworkHost] = field(default_factory=dict)
    neighbours: dict[str, Neighbour] = field(default_factory=neighbours_by_claim)

    def claimants(self, name: str) -> tuple[str, ...]:
        """The ids of the neighbours that claim a MAC or an IP address. Cost: O(1)."""
        if not isinstance(self.neighbours, Indexed):
            self.neighbours = neighbours_by_claim(self.neighbours)
        return self.neighbours.find(name)


@dataclass(slots=True)
class View:
    """The union of a host's scopes, resolved. Keys: port id, network id.

    A plain dict given as `ports` is copied into an indexed one: change it through the view.
    """

    host: HostItem | None = None
    region: RegionItem | None = None
    ports: dict[str, LocalPort] = field(default_factory=ports_by_network)
    closed: dict[str, LocalPort] = field(default_factory=dict)
    networks: dict[str, NetworkView] = field(default_factory=dict)

    def ports_of(self, network_id: str) -> tuple[str, ...]:
        """The ids of the open local ports of a network, those that came first, first. Cost: O(1)."""
        return self._indexed().find(network_id)

    def ports_with(self, network_id: str, mac: str) -> tuple[str, ...]:
        """The ids of the open local ports that claim a MAC in a network. Cost: O(1)."""
        return self._indexed().find((network_id, mac))

    def _indexed(self) -> Indexed[LocalPort]:
        if not isinstance(self.ports, Indexed):
            self.ports = ports_by_network(self.ports)
        return self.ports


@dataclass(slots=True)
class Allocation:
    """Local numbers: state of the agent, kept in OVSDB before first use (protocol, section 7).

    `port_keys`, `network_keys`: 1 … 2^16-1 and 1 … 2^24-1, never 0, each number once. `ofports`: the switch's numbers
    of the VIFs that are plugged now. `tunnels`: network type → ofport of its tunnel port.
    """

    port_keys: dict[str, int] = field(default_factory=dict)
    network_keys: dict[str, int] = field(default_factory=dict)
    ofports: dict[str, int] = field(default_factory=dict)
    tunnels: dict[str, int] = field(default_factory=dict)
