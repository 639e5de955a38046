"""The specification of the goal state: everything from nothing, in one pass. The graph must always equal it (I3).

It asks no index: what belongs together is grouped here, in plain words. What makes one item of one or two facts is
shared with the nodes (`derive`).
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import TypeVar

import msgspec

from alcor.goalstate.bgp_item import BgpRoute
from alcor.goalstate.derive.bgp import routes_item, speaker_item, version_of
from alcor.goalstate.derive.floating_ip import is_distributed, item_of
from alcor.goalstate.derive.port import members, neighbour, network_host, open_host, vtep_of
from alcor.goalstate.derive.relay import has_relays, relays_of
from alcor.goalstate.derive.router import (
    Candidate,
    chosen,
    decided,
    inner_address,
    outer_address,
    reaches,
    table_candidates,
    through,
)
from alcor.goalstate.derive.rule import acl_item, firewall_item, qos_item, rules_item
from alcor.goalstate.fact import BgpSpeakerFact, HostFact, NetworkFact, PortFact, RouterFact, TrunkFact
from alcor.goalstate.intent import Intent
from alcor.goalstate.item import (
    Claim,
    Item,
    ItemKind,
    LocalPort,
    NetworkItem,
    NetworkRelays,
    RelayItem,
    State,
    SubnetItem,
    TrunkParent,
    key_of,
)
from alcor.goalstate.router_item import (
    GatewayHost,
    GatewayItem,
    RouterGateway,
    RouterInterface,
    RouterItem,
    RouterRoute,
)
from alcor.goalstate.scope import (
    REGION,
    Scope,
    ScopeKind,
    addresses_scope,
    host_scope,
    hosts_scope,
    members_scope,
    neighbours_scope,
    network_scope,
    qos_scope,
    router_scope,
    rules_scope,
)
from alcor.goalstate.security_item import Prefix
from alcor.model.address import Cidr, network_of
from alcor.model.route_table import DERIVED_PRIORITY, STATIC_PRIORITY

T = TypeVar("T")
Place = tuple[Scope, Item | None]


def compile(intent: Intent) -> dict[Scope, State]:
    """The goal state of every scope that holds anything.

    Total: no order of changes leads to a state this refuses; what is missing is simply not there.
    Cost: O(rows).
    """
    states: dict[Scope, State] = {}
    region = _Region(intent)
    for part in (_facts, _groups, _ports, _routers, _floating_ips, _acls, _firewalls, _claims, _bgp, _relays):
        for scope, item in part(region):
            if item is not None:
                states.setdefault(scope, {})[key_of(item)] = item
    for scope, state in states.items():
        if scope.kind in (ScopeKind.NETWORK, ScopeKind.ROUTER):
            _name_parts(state)
    return states


def _name_parts(state: State) -> None:
    """A network names the ACLs, a router the firewalls that stand beside it."""
    for key, item in list(state.items()):
        if isinstance(item, NetworkItem):
            state[key] = msgspec.structs.replace(item, acls=_ids(state, ItemKind.NETWORK_ACL))
        elif isinstance(item, RouterItem):
            state[key] = msgspec.structs.replace(item, firewalls=_ids(state, ItemKind.FIREWALL))


def _ids(state: State, kind: ItemKind) -> tuple[str, ...]:
    return tuple(sorted(key.id for key in state if key.kind is kind))


def _grouped(facts: Iterable[T], by: Callable[[T], Hashable]) -> dict[Hashable, list[T]]:
    found: dict[Hashable, list[T]] = defaultdict(list)
    for fact in facts:
        found[by(fact)].append(fact)
    return found


class _Region:
    """The facts of a region, grouped once."""

    def __init__(self, intent: Intent) -> None:
        self.intent = intent
        self.hosts = {host.item.name: host for host in intent.hosts.values()}
        self.trunks: dict[str, TrunkFact] = {}
        for _, trunk in sorted(intent.trunks.items(), reverse=True):
            self.trunks |= {sub.port_id: trunk for sub in trunk.sub_ports}
        self.subnets = _grouped(intent.subnets.values(), lambda subnet: subnet.network_id)
        ports = intent.ports.values()
        self.interfaces = _grouped((p for p in ports if p.router_id is not None), lambda p: p.router_id)
        self.routers_on: dict[str, set[str]] = defaultdict(set)
        for port in ports:
            if port.router_id in intent.routers and port.router_id is not None:
                self.routers_on[port.local.network_id].add(port.router_id)
        self.peers: dict[str, set[str]] = defaultdict(set)
        for peering in intent.peerings.values():
            for one, other in (peering.networks, peering.networks[::-1]):
                self.peers[one].add(other)
        self.tables = _grouped(intent.route_tables.values(), lambda table: table.network_id)

    def host_of(self, port: PortFact) -> HostFact | None:
        """A port is *placed* iff its binding did not fail and names a host that exists; a port on a trunk is where the
        trunk's parent is, while trunk and parent are up."""
        trunk = self.trunks.get(port.local.id)
        if trunk is None:
            return self.hosts.get(port.host_name)
        parent = self.intent.ports.get(trunk.port_id)
        if parent is None or not (trunk.admin_state_up and parent.local.admin_state_up):
            return None
        return self.hosts.get(parent.host_name)

    def routers_of(self, network_id: str) -> tuple[str, ...]:
        """The routers on a network; the network itself if there is none and it is peered."""
        found = tuple(sorted(self.routers_on.get(network_id, ())))
        return found or ((network_id,) if network_id in self.peers else ())

    def addresses(self, port: PortFact) -> Iterator[tuple[str, SubnetItem]]:
        """A port's addresses on subnets of its network that are there."""
        for address in port.local.addresses:
            subnet = self.intent.subnets.get(address.subnet_id)
            if subnet is not None and subnet.network_id == port.local.network_id:
                yield address.ip, subnet

    def gateways(self, router: RouterFact) -> tuple[RouterGateway, ...]:
        """A router's ports on external networks, in its order."""
        ports = [self.intent.ports.get(id) for id in router.gateway_ports]
        return tuple(
            RouterGateway(
                id=port.local.id,
                network_id=port.local.network_id,
                mac=port.local.mac,
                addresses=tuple(sorted(outer_address(ip, subnet) for ip, subnet in self.addresses(port))),
                snat=router.snat,
                qos=router.qos,
            )
            for port in ports
            if port is not None and port.is_gateway
        )

    def gateway_hosts(self, router: RouterFact) -> tuple[GatewayHost, ...]:
        """The hosts that may serve a router: gateway hosts that reach its first external network."""
        gateways = self.gateways(router)
        network = self.intent.networks.get(gateways[0].network_id) if gateways else None
        if network is None:
            return ()
        able = [
            host
            for host in self.intent.hosts.values()
            if host.is_gateway and reaches(host, network.item.physical_network)
        ]
        return chosen(router.id, able, self.intent.standings)


def _facts(region: _Region) -> Iterator[Place]:
    """What is an item by itself."""
    intent = region.intent
    yield REGION, intent.region
    for release in intent.releases.values():
        yield REGION, release
    for rescue in intent.rescues.values():
        yield host_scope(rescue.rescuer_id), rescue
        yield host_scope(rescue.id), rescue
    for host in intent.hosts.values():
        yield host_scope(host.item.id), host.item
    for network in intent.networks.values():
        yield network_scope(network.item.id), network.item
    for subnet in intent.subnets.values():
        yield network_scope(subnet.network_id), subnet


def _groups(region: _Region) -> Iterator[Place]:
    """Security groups with their rules and members, address groups, QoS policies."""
    intent = region.intent
    rules = _grouped(intent.group_rules.values(), lambda rule: rule.group_id)
    for group in intent.groups.values():
        yield rules_scope(group.id), rules_item(group, rules.get(group.id, ()))
    for port in intent.ports.values():
        for group_id, member in members(port):
            yield members_scope(group_id), member
    for addresses in intent.address_groups.values():
        for prefix in addresses.prefixes:
            yield addresses_scope(addresses.id), Prefix(id=prefix)
    limits = _grouped(intent.qos_rules.values(), lambda rule: rule.policy_id)
    for policy in intent.qos_policies.values():
        yield qos_scope(policy.id), qos_item(policy.id, limits.get(policy.id, ()))


def _ports(region: _Region) -> Iterator[Place]:
    """A placed port is in its host's scope; it is a neighbour in its network, and its host is one of the network's
    hosts, if others can reach that host. A port that is administratively down is placed all the same: whoever holds
    it closes it. A host that stands by for a port holds it too, inactive."""
    unsecured = set()
    sizes: Counter[str] = Counter()
    held: dict[tuple[str, str], HostFact] = {}
    for port in region.intent.ports.values():
        local = _local_port(region, port)
        placed_on = region.host_of(port)
        for name in port.standby:
            host = region.hosts.get(name)
            if host is not None:
                yield host_scope(host.item.id), msgspec.structs.replace(local, is_active=False)
        if placed_on is None:
            continue
        yield host_scope(placed_on.item.id), local
        yield neighbours_scope(local.network_id), neighbour(port, placed_on)
        place = (local.network_id, placed_on.item.id)
        held[place] = placed_on
        if not local.port_security_enabled:
            unsecured.add(place)
        sizes[local.network_id] += 1
    reached = Counter(network_id for network_id, _ in held)
    for place, host in held.items():
        network_id = place[0]
        is_relayed = has_relays(region.intent, network_id, sizes[network_id])
        if not (is_relayed and 0 < region.intent.region.flood_above < reached[network_id]):
            yield network_scope(network_id), network_host(host)
        if is_relayed:
            yield hosts_scope(network_id), network_host(host)
        if place in unsecured:
            yield network_scope(network_id), open_host(host)


def _relays(region: _Region) -> Iterator[Place]:
    """A network with more placed ports than the region's parameter has relays among the gateway hosts."""
    intent = region.intent
    placed = (port for port in intent.ports.values() if region.host_of(port) is not None)
    sizes = Counter(port.local.network_id for port in placed)
    able = [host for host in intent.hosts.values() if host.is_gateway]
    for network in intent.networks.values():
        id = network.item.id
        if not has_relays(intent, id, sizes[id]):
            continue
        hosts = relays_of(id, able, intent.standings)
        if hosts:
            yield network_scope(id), NetworkRelays(id=id, hosts=hosts)
        for host in hosts:
            yield host_scope(host.host_id), RelayItem(id=id)


def _local_port(region: _Region, port: PortFact) -> LocalPort:
    local = port.local
    network: NetworkFact | None = region.intent.networks.get(local.network_id)
    trunk = region.trunks.get(local.id)
    parent = None
    if trunk is not None:
        (vlan,) = [sub.vlan for sub in trunk.sub_ports if sub.port_id == local.id]
        parent = TrunkParent(trunk.port_id, vlan)
    inherited = network.qos if network is not None and port.takes_network_qos else None
    return msgspec.structs.replace(
        local,
        routers=region.routers_of(local.network_id),
        qos=local.qos or inherited,
        trunk=parent,
    )


def _routers(region: _Region) -> Iterator[Place]:
    """Routers, gateways on their hosts, and what stands for a router on peered networks without one."""
    for router in region.intent.routers.values():
        gateways, hosts = region.gateways(router), region.gateway_hosts(router)
        interfaces = []
        for port in region.interfaces.get(router.id, ()):
            addresses = sorted(inner_address(ip, subnet) for ip, subnet in region.addresses(port))
            if port.local.admin_state_up and addresses:
                local = port.local
                interfaces.append(RouterInterface(local.id, local.network_id, local.mac, tuple(addresses)))
        item = RouterItem(
            id=router.id,
            admin_state_up=router.admin_state_up,
            interfaces=tuple(sorted(interfaces)),
            routes=_routes(region, router, interfaces, gateways),
            gateways=gateways,
            gateway_hosts=hosts,
        )
        yield router_scope(router.id), item
        if gateways:
            networks = tuple(sorted({gateway.network_id for gateway in gateways}))
            for host in hosts:
                yield host_scope(host.host_id), GatewayItem(id=router.id, networks=networks)
    for network_id in region.peers:
        if not region.routers_on.get(network_id):
            yield router_scope(network_id), _stand_in(region, network_id)


def _routes(
    region: _Region,
    router: RouterFact,
    interfaces: list[RouterInterface],
    gateways: tuple[RouterGateway, ...],
) -> tuple[RouterRoute, ...]:
    """A router's own routes, those of the tables of its networks, and those to peered networks."""
    inner = {address.cidr for interface in interfaces for address in interface.addresses}
    outer = {address.cidr for gateway in gateways for address in gateway.addresses}
    found: list[Candidate] = [
        (STATIC_PRIORITY, RouterRoute(one.destination, one.nexthop)) for one in router.routes
    ]
    on = {interface.network_id for interface in interfaces}
    subnets = {address.subnet_id for one in interfaces for address in one.addresses}
    for network_id in on:
        own = {id for id in subnets if region.intent.subnets[id].network_id == network_id}
        tables = region.tables.get(network_id, ())
        special = {table.subnet_id for table in tables if table.subnet_id in own}
        for table in tables:
            if table.subnet_id in own or (table.subnet_id is None and own - special):
                found += table_candidates(table, gateways)
        found += _to_peers(region, network_id, on, inner)
    return through(decided(found, inner | outer), inner, lambda ip: _beyond(region, router.id, on, ip))


def _beyond(region: _Region, router_id: str, on: set[str], ip: str) -> list[tuple[str, str]] | None:
    """What is behind the router that has an address on one of the networks; None if none has."""
    up = [port for ports in region.interfaces.values() for port in ports if port.local.admin_state_up]
    for port in up:
        other = region.intent.routers.get(port.router_id or "")
        if other is None or other.id == router_id or port.local.network_id not in on:
            continue
        if ip in {address for address, _ in region.addresses(port)}:
            far = [one for one in up if one.router_id == other.id and one.local.network_id not in on]
            subnets = [subnet for one in far for _, subnet in region.addresses(one)]
            return [(one.cidr, one.network_id) for one in subnets] if other.admin_state_up else []
    return None


def _to_peers(region: _Region, network_id: str, on: set[str], cidrs: set[str]) -> Iterator[Candidate]:
    nets = [network_of(Cidr(cidr)) for cidr in cidrs]
    for peer in region.peers.get(network_id, set()) - on:
        for subnet in region.subnets.get(peer, ()):
            net = network_of(Cidr(subnet.cidr))
            if not any(net.version == other.version and net.overlaps(other) for other in nets):
                yield DERIVED_PRIORITY, RouterRoute(subnet.cidr, network_id=peer)


def _stand_in(region: _Region, network_id: str) -> RouterItem:
    addresses = tuple(
        sorted(
            inner_address(subnet.gateway_ip, subnet)
            for subnet in region.subnets.get(network_id, ())
            if subnet.gateway_ip is not None
        )
    )
    cidrs = {address.cidr for address in addresses}
    mac = region.intent.region.responder_mac
    return RouterItem(
        id=network_id,
        admin_state_up=True,
        interfaces=(RouterInterface(network_id, network_id, mac, addresses),),
        routes=decided(_to_peers(region, network_id, {network_id}, cidrs), cidrs),
    )


def _floating_ips(region: _Region) -> Iterator[Place]:
    """A floating IP is where its port is, if that host reaches the outer network; else where the gateways are."""
    intent = region.intent
    forwards = _grouped(intent.forwards.values(), lambda one: one.floating_ip_id)
    for fact in intent.floating_ips.values():
        router, outer = intent.routers.get(fact.router_id), intent.ports.get(fact.floating_port_id)
        if router is None or outer is None:
            continue
        port = intent.ports.get(fact.port_id) if fact.port_id is not None else None
        mine = () if fact.port_id is not None else tuple(sorted(f.forward for f in forwards.get(fact.id, ())))
        if port is None and not mine:
            continue
        inner = port.local.network_id if port is not None else None
        host = region.host_of(port) if port is not None else None
        if host is not None and is_distributed(host, intent.networks.get(fact.network_id)):
            yield host_scope(host.item.id), item_of(fact, outer.local.mac, inner, mine, central=False)
        else:
            for serving in region.gateway_hosts(router):
                item = item_of(fact, outer.local.mac, inner, mine, central=True)
                yield host_scope(serving.host_id), item


def _acls(region: _Region) -> Iterator[Place]:
    """A network ACL guards the subnets it names; a default one those of its network that no other names."""
    intent = region.intent
    rules = _grouped(intent.acl_rules.values(), lambda rule: rule.acl_id)
    for acl in intent.acls.values():
        of_network = [other for other in intent.acls.values() if other.network_id == acl.network_id]
        named = {subnet_id for other in of_network for subnet_id in other.subnets}
        cidrs = [
            subnet.cidr
            for subnet in region.subnets.get(acl.network_id, ())
            if subnet.id in acl.subnets or (acl.is_default and subnet.id not in named)
        ]
        if cidrs:
            found = [rule.rule for rule in rules.get(acl.id, ())]
            yield network_scope(acl.network_id), acl_item(acl, cidrs, found)


def _firewalls(region: _Region) -> Iterator[Place]:
    """A firewall group is where its ports are: with the routers of interfaces, on the hosts of others."""
    intent = region.intent
    for group in intent.firewall_groups.values():
        places: dict[Scope, list[str]] = defaultdict(list)
        for port in (intent.ports[id] for id in group.ports if id in intent.ports):
            if port.router_id is not None:
                places[router_scope(port.router_id)].append(port.local.id)
                continue
            hosts = [region.host_of(port), *(region.hosts.get(name) for name in port.standby)]
            for scope in {host_scope(host.item.id) for host in hosts if host is not None}:
                places[scope].append(port.local.id)
        policies = []
        for policy_id in (group.ingress, group.egress):
            policy = intent.firewall_policies.get(policy_id) if policy_id is not None else None
            named = policy.rules if policy is not None else ()
            found = tuple(intent.firewall_rules[id] for id in named if id in intent.firewall_rules)
            policies.append(None if policy_id is None else found)
        for scope, ports in places.items():
            yield scope, firewall_item(group, ports, *policies)


def _claims(region: _Region) -> Iterator[Place]:
    """A claimed address is known while the port that claimed it is placed on that network."""
    for fact in region.intent.claims.values():
        port = region.intent.ports.get(fact.port_id)
        host = region.host_of(port) if port is not None else None
        vtep = vtep_of(host) if host is not None else None
        if port is None or host is None or vtep is None or port.local.network_id != fact.network_id:
            continue
        claim = Claim(id=fact.ip, mac=fact.mac, port_id=fact.port_id, host_id=host.item.id, vtep=vtep)
        yield neighbours_scope(fact.network_id), claim


def _bgp(region: _Region) -> Iterator[Place]:
    """Every gateway host that reaches one of a speaker's networks advertises all that is behind routers there."""
    intent = region.intent
    for fact in intent.bgp_speakers.values():
        known = [intent.networks[id].item for id in fact.networks if id in intent.networks]
        hosts = [
            host_scope(host.item.id)
            for host in intent.hosts.values()
            if host.is_gateway and any(reaches(host, network.physical_network) for network in known)
        ]
        peers = [peer.peer for id, peer in intent.bgp_peers.items() if id in fact.peers]
        items = [routes_item(fact.id, r.id, _advertised(region, fact, r)) for r in intent.routers.values()]
        for scope in hosts:
            yield scope, speaker_item(fact, peers)
            yield from ((scope, item) for item in items)


def _advertised(region: _Region, fact: BgpSpeakerFact, router: RouterFact) -> Iterator[BgpRoute]:
    """Floating IPs by the gateway on their network; subnets of an address scope of the speaker's by every gateway."""
    intent = region.intent
    hops = [
        (gateway.network_id, address.ip)
        for gateway in region.gateways(router)
        for address in gateway.addresses
        if gateway.network_id in fact.networks and version_of(address.ip) == fact.ip_version
    ]
    pooled = [one for one in intent.pooled_subnets.values() if version_of(one.cidr) == fact.ip_version]
    scopes = {
        one.id: intent.pools[one.pool_id].address_scope_id for one in pooled if one.pool_id in intent.pools
    }
    outside = {scopes.get(one.id) for one in pooled if one.network_id in fact.networks} - {None}
    ports = region.interfaces.get(router.id, ())
    inside = {address.subnet_id for port in ports for address in port.local.addresses}
    if not router.admin_state_up:
        return
    for one in intent.floating_ips.values() if fact.floating_ips and fact.ip_version == 4 else ():
        port = intent.ports.get(one.floating_port_id)
        if port is not None and one.router_id == router.id and version_of(one.ip) == 4:
            yield from (
                BgpRoute(f"{one.ip}/32", ip, port.local.mac)
                for network, ip in hops
                if network == one.network_id
            )
    for subnet in pooled if fact.subnets else ():
        if (
            subnet.id in inside
            and subnet.network_id not in fact.networks
            and scopes.get(subnet.id) in outside
        ):
            yield from (BgpRoute(subnet.cidr, ip) for _, ip in hops)
