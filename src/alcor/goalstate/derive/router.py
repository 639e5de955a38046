"""Routers: interfaces, routes, gateways, and which hosts serve the gateways.

A router is one item. Its routes come from its own row, from the route tables of its networks, and from peerings of its
networks. Of several for one destination the lowest priority counts (services.md, Route Manager). A next hop that is on
none of the router's subnets leads nowhere: such a route is unreachable, not absent, so that its packets do not take
the default way.
"""

import hashlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from ipaddress import ip_address

from alcor.goalstate.derive.port import routers_of, vtep_of
from alcor.goalstate.fact import HostFact, PortFact, RouterFact, RouteTableFact, StandingFact
from alcor.goalstate.intent import By, Intent
from alcor.goalstate.item import SubnetItem
from alcor.goalstate.router_item import (
    GatewayHost,
    GatewayItem,
    InterfaceAddress,
    RouterGateway,
    RouterInterface,
    RouterItem,
    RouterRoute,
)
from alcor.model.address import Cidr, network_of
from alcor.model.gateway_standing import standing_id
from alcor.model.route_table import DERIVED_PRIORITY, STATIC_PRIORITY

GATEWAY_HOSTS_MAX = 4

Candidate = tuple[int, RouterRoute]
"""(priority, route)."""


def outer_address(ip: str, subnet: SubnetItem) -> InterfaceAddress:
    """An address of a gateway."""
    return InterfaceAddress(ip, subnet.cidr, subnet.id, subnet.gateway_ip)


def inner_address(ip: str, subnet: SubnetItem) -> InterfaceAddress:
    """An address of an interface."""
    return InterfaceAddress(ip, subnet.cidr, subnet.id)


def rank(router_id: str, host_id: str) -> bytes:
    """A host's place among those that may serve a router: the lowest serves. Spreads routers, the same for ever."""
    return hashlib.sha256(f"{router_id}/{host_id}".encode()).digest()


def reaches(host: HostFact, physical_network: str | None) -> bool:
    """Whether the host has a bridge to a physical network; an overlay network (None) needs none."""
    return physical_network is None or any(
        mapping.physical_network == physical_network for mapping in host.item.bridge_mappings
    )


def chosen(
    router_id: str, hosts: Iterable[HostFact], standings: Mapping[str, StandingFact]
) -> tuple[GatewayHost, ...]:
    """The hosts that serve a router's gateway, of those that could, in order of preference.

    Those that were lost (`standings`, by `standing_id`) come last, in the order in which they were: a host that returns
    stands behind those that have served in its place.
    """
    able = [(host.item.id, vtep) for host in hosts if (vtep := vtep_of(host)) is not None]

    def place(one: tuple[str, str]) -> tuple[int, bytes]:
        standing = standings.get(standing_id(one[0])) if standings else None
        return standing.lost_at_ms if standing is not None else 0, rank(router_id, one[0])

    able.sort(key=place)
    return tuple(GatewayHost(id, vtep) for id, vtep in able[:GATEWAY_HOSTS_MAX])


def decided(candidates: Iterable[Candidate], cidrs: Iterable[str]) -> tuple[RouterRoute, ...]:
    """The routes that count, sorted. `cidrs`: the router's subnets, which next hops must be on."""
    nets = [network_of(Cidr(cidr)) for cidr in cidrs]
    best: dict[str, tuple[int, set[RouterRoute]]] = {}
    for priority, route in candidates:
        if route.nexthop is not None and not any(ip_address(route.nexthop) in net for net in nets):
            route = RouterRoute(route.destination)
        held = best.get(route.destination)
        if held is None or priority < held[0]:
            best[route.destination] = (priority, {route})
        elif priority == held[0]:
            held[1].add(route)
    return _without_doubt(route for _, routes in best.values() for route in routes)


Beyond = Callable[[str], Collection[tuple[str, str]] | None]
"""An address → what is behind the router that has it on a network in common: (CIDR, network id) of its other subnets.

None: no router has it. A router that is down has nothing behind it.
"""


def through(routes: Iterable[RouterRoute], cidrs: Collection[str], beyond: Beyond) -> tuple[RouterRoute, ...]:
    """Routes by way of other routers lead to the subnets behind these at once, as if connected.

    Every host routes for itself, so the other router is not another machine: its part is done on the same host. What
    such a route covers beside those subnets is unreachable: other routers' own routes and gateways are not followed.
    `cidrs`: the router's own subnets, which win.
    """
    found: dict[tuple[str, str | None, str | None], RouterRoute] = {}
    own = [network_of(Cidr(cidr)) for cidr in cidrs]
    for route in routes:
        behind = beyond(route.nexthop) if route.nexthop is not None else None
        if behind is None:
            found[route.destination, route.nexthop, route.network_id] = route
            continue
        wanted = network_of(Cidr(route.destination))
        led = []
        for cidr, network_id in behind:
            net = network_of(Cidr(cidr))
            if net.version == wanted.version and net.overlaps(wanted) and net not in own:
                narrower = max(net, wanted, key=lambda one: one.prefixlen)
                led.append(RouterRoute(str(narrower), network_id=network_id))
        for one in led or [RouterRoute(route.destination)]:
            found[one.destination, None, one.network_id] = one
        if not any(one.destination == route.destination for one in led):
            found.setdefault((route.destination, None, None), RouterRoute(route.destination))
    return _without_doubt(found.values())


def _without_doubt(routes: Iterable[RouterRoute]) -> tuple[RouterRoute, ...]:
    """One way for each destination, or next hops of equal cost; sorted."""
    ways: dict[str, list[RouterRoute]] = {}
    for route in routes:
        ways.setdefault(route.destination, []).append(route)
    kept: list[RouterRoute] = []
    for several in ways.values():
        hops = [route for route in several if route.nexthop is not None]
        kept += hops or [max(several, key=lambda route: route.network_id or "")]
    return tuple(sorted(kept, key=lambda one: (one.destination, one.nexthop or "", one.network_id or "")))


def table_candidates(table: RouteTableFact, gateways: Iterable[RouterGateway]) -> Iterator[Candidate]:
    """What a route table says. A way out leads to a gateway's own next hop; without one, nowhere."""
    ways_out = [
        address.gateway_ip
        for gateway in gateways
        for address in gateway.addresses
        if address.gateway_ip is not None
    ]
    for route in table.routes:
        if not route.is_way_out:
            yield route.priority, RouterRoute(route.destination, route.nexthop)
            continue
        ways = [ip for ip in ways_out if (":" in ip) == (":" in route.destination)]
        yield route.priority, RouterRoute(route.destination, ways[0] if ways else None)


def gateway_hosts(intent: Intent, router: RouterFact) -> tuple[GatewayHost, ...]:
    """The hosts that may serve a router's gateway: those that reach its first external network."""
    found = (intent.ports.get(id) for id in router.gateway_ports)
    first = next((port for port in found if port is not None and port.is_gateway), None)
    network = intent.networks.get(first.local.network_id) if first is not None else None
    if network is None:
        return ()
    able = intent.hosts.found((By.IS_GATEWAY, True))
    reaching = (host for host in able if reaches(host, network.item.physical_network))
    return chosen(router.id, reaching, intent.standings)


def router(intent: Intent, id: str) -> Iterator[tuple[str, RouterItem]]:
    """The router of this id, or what stands for one on the peered network of this id."""
    fact = intent.routers.get(id)
    if fact is None:
        yield from _stand_in(intent, id)
        return
    ports = [port for port in intent.ports.found((By.INTERFACE_OF, id)) if port.local.admin_state_up]
    interfaces = tuple(
        sorted(interface for port in ports if (interface := _interface(intent, port)).addresses)
    )
    gateways = _gateways(intent, fact)
    networks = dict.fromkeys(interface.network_id for interface in interfaces)
    cidrs = {address.cidr for interface in interfaces for address in interface.addresses}
    candidates = [(STATIC_PRIORITY, RouterRoute(one.destination, one.nexthop)) for one in fact.routes]
    for network_id in networks:
        subnets = {a.subnet_id for one in interfaces if one.network_id == network_id for a in one.addresses}
        for table in _tables(intent, network_id, subnets):
            candidates += table_candidates(table, gateways)
        candidates += _peered(intent, network_id, cidrs, set(networks))
    outer = {address.cidr for gateway in gateways for address in gateway.addresses}
    yield (
        id,
        RouterItem(
            id=id,
            admin_state_up=fact.admin_state_up,
            interfaces=interfaces,
            routes=through(
                decided(candidates, cidrs | outer), cidrs, lambda ip: _beyond(intent, id, networks, ip)
            ),
            gateways=gateways,
            gateway_hosts=gateway_hosts(intent, fact) if gateways else (),
            firewalls=tuple(
                sorted(
                    {
                        group
                        for port in intent.ports.found((By.INTERFACE_OF, id))
                        for group in intent.firewall_groups.find((By.PORT, port.local.id))
                    }
                )
            ),
        ),
    )


def _beyond(intent: Intent, id: str, networks: Collection[str], ip: str) -> list[tuple[str, str]] | None:
    """As `Beyond`, of the router `id` on `networks`."""
    for network_id in networks:
        for port in intent.ports.found((By.INTERFACE_ON, network_id)):
            other = port.router_id
            if other is None or other == id or other not in intent.routers or not port.local.admin_state_up:
                continue
            if all(address != ip for address, _ in _addresses(intent, port)):
                continue
            if not intent.routers[other].admin_state_up:
                return []
            return [
                (subnet.cidr, subnet.network_id)
                for far in intent.ports.found((By.INTERFACE_OF, other))
                if far.local.admin_state_up and far.local.network_id not in networks
                for _, subnet in _addresses(intent, far)
            ]
    return None


def _interface(intent: Intent, port: PortFact) -> RouterInterface:
    local = port.local
    addresses = [inner_address(ip, subnet) for ip, subnet in _addresses(intent, port)]
    return RouterInterface(local.id, local.network_id, local.mac, tuple(sorted(addresses)))


def _addresses(intent: Intent, port: PortFact) -> Iterator[tuple[str, SubnetItem]]:
    """A port's addresses on subnets of its network that are there."""
    for address in port.local.addresses:
        subnet = intent.subnets.get(address.subnet_id)
        if subnet is not None and subnet.network_id == port.local.network_id:
            yield address.ip, subnet


def _gateways(intent: Intent, fact: RouterFact) -> tuple[RouterGateway, ...]:
    found = []
    for port_id in fact.gateway_ports:
        port = intent.ports.get(port_id)
        if port is None or not port.is_gateway:
            continue
        addresses = [outer_address(ip, subnet) for ip, subnet in _addresses(intent, port)]
        found.append(
            RouterGateway(
                id=port_id,
                network_id=port.local.network_id,
                mac=port.local.mac,
                addresses=tuple(sorted(addresses, key=lambda one: (one.ip, one.subnet_id))),
                snat=fact.snat,
                qos=fact.qos,
            )
        )
    return tuple(found)


def _tables(intent: Intent, network_id: str, subnets: set[str]) -> Iterator[RouteTableFact]:
    """The route tables that count for some subnets of a network: their own, or the network's."""
    tables = intent.route_tables.found((By.NETWORK, network_id))
    own = {table.subnet_id: table for table in tables if table.subnet_id in subnets}
    yield from own.values()
    if subnets - own.keys():
        yield from (table for table in tables if table.subnet_id is None)


def _peered(intent: Intent, network_id: str, cidrs: set[str], joined: set[str]) -> Iterator[Candidate]:
    """Routes to the subnets of the networks a network is peered with, those that the router itself joins left out."""
    nets = [network_of(Cidr(cidr)) for cidr in cidrs]
    for peering in intent.peerings.found((By.NETWORK, network_id)):
        peer = peering.networks[peering.networks[0] == network_id]
        if peer in joined:
            continue
        for subnet in intent.subnets.found((By.NETWORK, peer)):
            net = network_of(Cidr(subnet.cidr))
            if not any(net.version == other.version and net.overlaps(other) for other in nets):
                yield DERIVED_PRIORITY, RouterRoute(subnet.cidr, network_id=peer)


def _stand_in(intent: Intent, network_id: str) -> Iterator[tuple[str, RouterItem]]:
    if routers_of(intent, network_id) != (network_id,):
        return
    subnets = intent.subnets.found((By.NETWORK, network_id))
    addresses = sorted(
        inner_address(subnet.gateway_ip, subnet) for subnet in subnets if subnet.gateway_ip is not None
    )
    cidrs = {address.cidr for address in addresses}
    interface = RouterInterface(network_id, network_id, intent.region.responder_mac, tuple(addresses))
    yield (
        network_id,
        RouterItem(
            id=network_id,
            admin_state_up=True,
            interfaces=(interface,),
            routes=decided(_peered(intent, network_id, cidrs, {network_id}), cidrs),
        ),
    )


def gateway(intent: Intent, id: str) -> Iterator[tuple[str, GatewayItem]]:
    """A router, for each of the hosts that may serve its gateway."""
    fact = intent.routers.get(id)
    gateways = _gateways(intent, fact) if fact is not None else ()
    if fact is None or not gateways:
        return
    item = GatewayItem(id=id, networks=tuple(sorted({gateway.network_id for gateway in gateways})))
    for host in gateway_hosts(intent, fact):
        yield host.host_id, item
