"""What a trace asks of the region, and the answers from a calculation graph."""

from collections.abc import Mapping
from typing import NamedTuple, Protocol

from alcor.goalstate.graph import Graph
from alcor.goalstate.item import Item, ItemKind, Key, LocalPort, NetworkItem
from alcor.goalstate.router_item import FloatingIpItem, RouterItem
from alcor.goalstate.scope import Scope, ScopeKind, host_scope, network_scope, router_scope


class Placed(NamedTuple):
    """A port, and the host it is on; None if it is on none."""

    port: LocalPort
    host_id: str | None


class Owner(NamedTuple):
    """Who has an address of an external network: a floating IP or gateway, and the host that answers for it."""

    host_id: str
    mac: str


class Region(Protocol):
    """The present goal state, and who is where."""

    def state(self, scope: Scope) -> Mapping[Key, Item]:
        """What a scope holds. Cost: O(its items)."""

    def port(self, port_id: str) -> Placed | None:
        """A port; None if there is no such port."""

    def host_of_vtep(self, vtep: str) -> str | None:
        """The id of the host whose tunnels end there."""

    def owner(self, ip: str) -> Owner | None:
        """Who has an outer address. Cost: O(floating IPs and routers)."""

    def physical_network(self, network_id: str) -> str | None:
        """The physical network of a provider network."""


class GraphRegion:
    """Implements `Region`. Lives as long as one question: the graph moves on."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph

    def state(self, scope: Scope) -> Mapping[Key, Item]:
        """As `Region`."""
        return self._graph.state(scope)

    def port(self, port_id: str) -> Placed | None:
        """As `Region`."""
        placement = self._graph.placement(port_id)
        if placement is not None:
            item = self._graph.state(host_scope(placement.host_id)).get(Key(ItemKind.LOCAL_PORT, port_id))
            if isinstance(item, LocalPort):
                return Placed(item, placement.host_id)
        fact = self._graph.intent.ports.get(port_id)
        return None if fact is None else Placed(fact.local, None)

    def host_of_vtep(self, vtep: str) -> str | None:
        """As `Region`."""
        hosts = (fact.item for fact in self._graph.intent.hosts.values())
        return next((host.id for host in hosts if vtep in host.vtep_addresses), None)

    def owner(self, ip: str) -> Owner | None:
        """As `Region`."""
        for scope in self._graph.scopes():
            if scope.kind is ScopeKind.HOST:
                for item in self._graph.state(scope).values():
                    if isinstance(item, FloatingIpItem) and item.ip == ip:
                        return Owner(scope.id, item.mac)
            elif scope.kind is ScopeKind.ROUTER:
                found = self._gateway(scope.id, ip)
                if found is not None:
                    return found
        return None

    def _gateway(self, router_id: str, ip: str) -> Owner | None:
        router = self._graph.state(router_scope(router_id)).get(Key(ItemKind.ROUTER, router_id))
        if not isinstance(router, RouterItem) or not router.gateway_hosts:
            return None
        for gateway in router.gateways:
            if any(address.ip == ip for address in gateway.addresses):
                return Owner(router.gateway_hosts[0].host_id, gateway.mac)
        return None

    def physical_network(self, network_id: str) -> str | None:
        """As `Region`."""
        item = self._graph.state(network_scope(network_id)).get(Key(ItemKind.NETWORK, network_id))
        return item.physical_network if isinstance(item, NetworkItem) else None
