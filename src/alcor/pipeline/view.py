"""What the pipeline computes from: the host's knowledge (`View`) and its local numbers (`Allocation`).

The view is already *resolved*: a port whose network or neighbours are missing, or older than the reference requires
(`since`), stands in `closed` instead of `ports`. Closed ports get no packets and send none (I10).
"""

from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from alcor.goalstate.bgp_item import BgpRoutesItem, BgpSpeakerItem
from alcor.goalstate.indexed import Indexed
from alcor.goalstate.item import (
    Claim,
    HostItem,
    LocalPort,
    Neighbour,
    NetworkHost,
    NetworkItem,
    NetworkRelays,
    OpenHost,
    QosItem,
    RegionItem,
    RelayItem,
    ReleaseItem,
    RescueItem,
    SubnetItem,
)
from alcor.goalstate.router_item import FloatingIpItem, GatewayItem, RouterItem
from alcor.goalstate.scope import Scope, ScopeKind, addresses_scope, members_scope
from alcor.goalstate.security_item import FirewallItem, GroupRule, Member, NetworkAclItem, Prefix, RulesItem
from alcor.pipeline.prefix import Entry, entry_of


def set_of(rule: GroupRule) -> Scope | None:
    """The set of addresses a rule is about: the members of a group, or an address group; None if it names none."""
    if rule.group is not None:
        return members_scope(rule.group)
    return None if rule.addresses is None else addresses_scope(rule.addresses)


def _neighbour_names(neighbour: Neighbour) -> tuple[Hashable, ...]:
    named = (("name", neighbour.dns_name.lower()),) if neighbour.dns_name else ()
    return (neighbour.mac, *neighbour.ips, *named)


def _port_names(port: LocalPort) -> tuple[Hashable, ...]:
    groups = tuple(("group", group) for group in port.groups or ())
    ips = tuple((port.network_id, address.ip) for address in port.addresses)
    more: list[Hashable] = [("qos", port.qos)] if port.qos is not None else []
    if port.trunk is not None:
        more.append(("trunk", port.trunk.port_id))
    return (port.network_id, (port.network_id, port.mac), *ips, ("groups", port.groups), *groups, *more)


def _router_networks(router: RouterItem) -> tuple[Hashable, ...]:
    inner = dict.fromkeys(interface.network_id for interface in router.interfaces)
    peered = dict.fromkeys(route.network_id for route in router.routes if route.network_id is not None)
    outer = (gateway.network_id for gateway in router.gateways)
    reached = (("inner", network_id) for network_id in inner | peered)
    macs = [(one.network_id, one.mac) for one in router.interfaces]
    macs += [(one.network_id, one.mac) for one in router.gateways]
    ips = ((one.network_id, address.ip) for one in router.gateways for address in one.addresses)
    own = (("inner", one.network_id, address.ip) for one in router.interfaces for address in one.addresses)
    policies = (("qos", one.qos) for one in router.gateways if one.qos is not None)
    return (*dict.fromkeys((*inner, *outer)), *reached, *dict.fromkeys((*macs, *ips, *own, *policies)))


def _floating_ip_uses(floating_ip: FloatingIpItem) -> tuple[Hashable, ...]:
    ports = dict.fromkeys(forward.port_id for forward in floating_ip.forwards)
    if floating_ip.port_id is not None:
        ports[floating_ip.port_id] = None
    outer = (floating_ip.network_id, floating_ip.ip)
    inner = (floating_ip.router_id, floating_ip.fixed_network_id, floating_ip.fixed_ip)
    behind = ("inner", floating_ip.fixed_network_id), ("qos", floating_ip.qos)
    return (*ports, *dict.fromkeys((floating_ip.router_id, floating_ip.network_id)), outer, inner, *behind)


def _routes_router(routes: BgpRoutesItem) -> tuple[Hashable, ...]:
    return (routes.router_id,)


def _firewall_ports(firewall: FirewallItem) -> tuple[Hashable, ...]:
    return tuple(dict.fromkeys(firewall.ports))


def _rules_sets(rules: RulesItem) -> tuple[Hashable, ...]:
    return tuple(dict.fromkeys(one for rule in rules.rules if (one := set_of(rule)) is not None))


def _member_names(member: Member) -> tuple[Hashable, ...]:
    return _entry_names(member.cidrs)


def _prefix_names(prefix: Prefix) -> tuple[Hashable, ...]:
    return _entry_names((prefix.id,))


def _entry_names(cidrs: Iterable[str]) -> tuple[Hashable, ...]:
    entries = dict.fromkeys(entry_of(cidr) for cidr in cidrs)
    wide = () if all(entry.is_host for entry in entries) else (_WIDE,)
    return (*entries, *wide)


_WIDE = "wide"
"""The name of what has a prefix that is not one address."""


def neighbours_by_claim(items: Mapping[str, Neighbour] | None = None) -> Indexed[Neighbour]:
    """Neighbours of one network by port id; `find` by MAC, IP address and `("name", short DNS name)`."""
    return Indexed(_neighbour_names, items)


def ports_by_network(items: Mapping[str, LocalPort] | None = None) -> Indexed[LocalPort]:
    """Local ports by id; `find(network_id)` and `find((network_id, mac))`."""
    return Indexed(_port_names, items)


def routers_by_network(items: Mapping[str, RouterItem] | None = None) -> Indexed[RouterItem]:
    """Routers by id; `find(network_id)` for an interface's or gateway's network."""
    return Indexed(_router_networks, items)


def floating_ips_by_use(items: Mapping[str, FloatingIpItem] | None = None) -> Indexed[FloatingIpItem]:
    """Floating IPs by id; `find` by the id of a port, router or external network."""
    return Indexed(_floating_ip_uses, items)


def firewalls_by_port(items: Mapping[str, FirewallItem] | None = None) -> Indexed[FirewallItem]:
    """Firewalls by key; `find(port_id)`."""
    return Indexed(_firewall_ports, items)


def bgp_routes_by_router(items: Mapping[str, BgpRoutesItem] | None = None) -> Indexed[BgpRoutesItem]:
    """BGP routes by their id; `find(router_id)`."""
    return Indexed(_routes_router, items)


def rules_by_set(items: Mapping[str, RulesItem] | None = None) -> Indexed[RulesItem]:
    """Rules by security group; `find(scope)` for the members of a group or the prefixes of an address group."""
    return Indexed(_rules_sets, items)


def members_by_entry(items: Mapping[str, Member] | None = None) -> Indexed[Member]:
    """Members of one group by port id; `find(entry)`."""
    return Indexed(_member_names, items)


def prefixes_by_entry(items: Mapping[str, Prefix] | None = None) -> Indexed[Prefix]:
    """Prefixes of one address group by CIDR; `find(entry)`."""
    return Indexed(_prefix_names, items)


@dataclass(slots=True)
class NetworkView:
    """One network as this host knows it. Keys: subnet id, host id (three times), port id, ACL id, claimed address.

    `relayed`: all its hosts, at a relay; `hosts`: the same, anywhere, but none where these are left to its relays.

    A plain dict given as `neighbours` is copied into an indexed one: change it through the view.
    """

    network: NetworkItem
    subnets: dict[str, SubnetItem] = field(default_factory=dict)
    hosts: dict[str, NetworkHost] = field(default_factory=dict)
    open_hosts: dict[str, OpenHost] = field(default_factory=dict)
    relayed: dict[str, NetworkHost] = field(default_factory=dict)
    neighbours: dict[str, Neighbour] = field(default_factory=neighbours_by_claim)
    acls: dict[str, NetworkAclItem] = field(default_factory=dict)
    claims: dict[str, Claim] = field(default_factory=dict)
    relays: NetworkRelays | None = None

    def claimants(self, name: Hashable) -> tuple[str, ...]:
        """The ids of the neighbours that claim a MAC, an IP address or `("name", short DNS name)`. Cost: O(1)."""
        if not isinstance(self.neighbours, Indexed):
            self.neighbours = neighbours_by_claim(self.neighbours)
        return self.neighbours.find(name)


@dataclass(slots=True)
class View:
    """The union of a host's scopes, resolved.

    Keys: `ports`, `closed`: port id; `networks`: network id; `routers`, `gateways`: router id; `firewalls`: scope id
    and group id, joined by a slash (one group may guard several routers); `rules`, `members`: security group id, then
    port id; `prefixes`: address group id, then prefix; `qos`: policy id; `floating_ips`, `bgp_speakers`: their id;
    `bgp_routes`: speaker id and router id, joined by a slash; `relays`: network id, of the networks that this host is
    a relay of; `rescues`: host id, of leases that name this host, as the rescuer or as the rescued one.

    `lazy`: scopes (neighbours, members) that are held on demand: what is not in them is unknown, not absent.

    Law: of an open port everything it refers to is here, directly or through another item. A router, gateway or
    floating IP is here only if everything it refers to is.

    A plain dict given as `ports`, `rules`, or as a value of `members` or `prefixes` is copied into an indexed one:
    change it through the view.
    """

    host: HostItem | None = None
    region: RegionItem | None = None
    release: ReleaseItem | None = None
    calm: ReleaseItem | None = None
    ports: dict[str, LocalPort] = field(default_factory=ports_by_network)
    closed: dict[str, LocalPort] = field(default_factory=dict)
    networks: dict[str, NetworkView] = field(default_factory=dict)
    routers: dict[str, RouterItem] = field(default_factory=routers_by_network)
    gateways: dict[str, GatewayItem] = field(default_factory=dict)
    floating_ips: dict[str, FloatingIpItem] = field(default_factory=floating_ips_by_use)
    rules: dict[str, RulesItem] = field(default_factory=dict)
    members: dict[str, dict[str, Member]] = field(default_factory=dict)
    prefixes: dict[str, dict[str, Prefix]] = field(default_factory=dict)
    qos: dict[str, QosItem] = field(default_factory=dict)
    firewalls: dict[str, FirewallItem] = field(default_factory=firewalls_by_port)
    bgp_speakers: dict[str, BgpSpeakerItem] = field(default_factory=dict)
    bgp_routes: dict[str, BgpRoutesItem] = field(default_factory=bgp_routes_by_router)
    relays: dict[str, RelayItem] = field(default_factory=dict)
    rescues: dict[str, RescueItem] = field(default_factory=dict)
    lazy: set[Scope] = field(default_factory=set)

    def ports_of(self, network_id: str) -> tuple[str, ...]:
        """The ids of the open local ports of a network, those that came first, first. Cost: O(1)."""
        return self._indexed().find(network_id)

    def ports_with(self, network_id: str, name: str) -> tuple[str, ...]:
        """The ids of the open local ports that claim a MAC or a fixed address in a network. Cost: O(1)."""
        return self._indexed().find((network_id, name))

    def ports_in_group(self, group_id: str) -> tuple[str, ...]:
        """The ids of the open local ports of a security group. Cost: O(1)."""
        return self._indexed().find(("group", group_id))

    def subports_of(self, port_id: str) -> tuple[str, ...]:
        """The ids of the open subports of a trunk, by its parent port. Cost: O(1)."""
        return self._indexed().find(("trunk", port_id))

    def ports_with_qos(self, policy_id: str) -> tuple[str, ...]:
        """The ids of the open local ports that a QoS policy limits. Cost: O(1)."""
        return self._indexed().find(("qos", policy_id))

    def routers_on(self, network_id: str) -> tuple[str, ...]:
        """The ids of the routers with an interface or gateway on a network. Cost: O(1)."""
        return self.routers_with(network_id)

    def routers_with(self, name: Hashable) -> tuple[str, ...]:
        """The ids of the routers that claim (network id, MAC), with a gateway (external network id, address), or with
        an interface ("inner", network id, address). Cost: O(1).
        """
        if not isinstance(self.routers, Indexed):
            self.routers = routers_by_network(self.routers)
        return self.routers.find(name)

    def routers_into(self, network_id: str) -> tuple[str, ...]:
        """The ids of the routers that deliver into a network: by an interface or to a peer. Cost: O(1)."""
        if not isinstance(self.routers, Indexed):
            self.routers = routers_by_network(self.routers)
        return self.routers.find(("inner", network_id))

    def floating_ips_for(self, name: Hashable) -> tuple[str, ...]:
        """The ids of the floating IPs of a port, router or external network (its id), of (external network id,
        address), of (router id, fixed network id, fixed address), of ("inner", fixed network id) or ("qos", policy id).
        Cost: O(1).
        """
        if not isinstance(self.floating_ips, Indexed):
            self.floating_ips = floating_ips_by_use(self.floating_ips)
        return self.floating_ips.find(name)

    def firewalls_on(self, port_id: str) -> tuple[str, ...]:
        """The keys of the firewalls on a router's interface or a local port. Cost: O(1)."""
        if not isinstance(self.firewalls, Indexed):
            self.firewalls = firewalls_by_port(self.firewalls)
        return self.firewalls.find(port_id)

    def bgp_routes_of(self, router_id: str) -> tuple[str, ...]:
        """The keys of the BGP routes that lead to a router's gateways. Cost: O(1)."""
        if not isinstance(self.bgp_routes, Indexed):
            self.bgp_routes = bgp_routes_by_router(self.bgp_routes)
        return self.bgp_routes.find(router_id)

    def ports_with_groups(self, groups: tuple[str, ...]) -> tuple[str, ...]:
        """The ids of the open local ports with exactly these security groups. Cost: O(1)."""
        return self._indexed().find(("groups", groups))

    def groups_using(self, remote: Scope) -> tuple[str, ...]:
        """The ids of the security groups with a rule about a set of addresses. Cost: O(1)."""
        if not isinstance(self.rules, Indexed):
            self.rules = rules_by_set(self.rules)
        return self.rules.find(remote)

    def sets(self) -> Iterator[Scope]:
        """The sets of addresses that are known: members of groups, prefixes of address groups."""
        yield from map(members_scope, self.members)
        yield from map(addresses_scope, self.prefixes)

    def has_entry(self, remote: Scope, entry: Entry) -> bool:
        """Whether a set has exactly this prefix. Cost: O(1)."""
        found = self._set(remote)
        return found is not None and bool(found.find(entry))

    def has_wide(self, remote: Scope) -> bool:
        """Whether a set has a prefix that is not one address. Cost: O(1)."""
        found = self._set(remote)
        return found is not None and bool(found.find(_WIDE))

    def entries_of(self, remote: Scope) -> set[Entry]:
        """The prefixes of a set. Cost: O(the set)."""
        if remote.kind is ScopeKind.MEMBERS:
            members = self.members.get(remote.id, {}).values()
            return {entry_of(cidr) for member in members for cidr in member.cidrs}
        return {entry_of(id) for id in self.prefixes.get(remote.id, {})}

    def _set(self, remote: Scope) -> Indexed[Member] | Indexed[Prefix] | None:
        if remote.kind is ScopeKind.MEMBERS:
            members = self.members.get(remote.id)
            if members is not None and not isinstance(members, Indexed):
                members = self.members[remote.id] = members_by_entry(members)
            return members
        prefixes = self.prefixes.get(remote.id)
        if prefixes is not None and not isinstance(prefixes, Indexed):
            prefixes = self.prefixes[remote.id] = prefixes_by_entry(prefixes)
        return prefixes

    def _indexed(self) -> Indexed[LocalPort]:
        if not isinstance(self.ports, Indexed):
            self.ports = ports_by_network(self.ports)
        return self.ports


@dataclass(slots=True)
class Allocation:
    """Local numbers and what the agent found out about this host.

    Kept in OVSDB before first use (protocol, section 7): `port_keys` 1 … `PORT_KEY_MAX`, also the port's conntrack
    zone; `network_keys` 1 … 2^24-1; `router_keys` 1 … `ROUTER_KEY_MAX`. Never 0, each number once.
    `limit_keys`: floating IP or router gateway with a QoS policy → 1 … `qos.LIMIT_KEY_MAX`, by their ids.

    Of the switch: `ofports`: VIFs plugged now; `tunnels`: network type → its flow-based tunnel port; `probes`: (network
    type, VTEP) → tunnel port with that remote, watched by BFD; `providers`: physical network → patch port to its
    bridge;
    `metadata_ofport`: internal port of the metadata service, 0 if there is none.

    Observed: `lost_vteps`: gateway hosts that BFD says are down; `next_hops`: (external network id, address) → MAC;
    `forwarding`: port id → VTEP, for a port that has just moved away by live migration; `arrived`: ports that have
    come by one: their connections are known to none of this host's zones.
    """

    port_keys: dict[str, int] = field(default_factory=dict)
    network_keys: dict[str, int] = field(default_factory=dict)
    router_keys: dict[str, int] = field(default_factory=dict)
    limit_keys: dict[str, int] = field(default_factory=dict)
    ofports: dict[str, int] = field(default_factory=dict)
    tunnels: dict[str, int] = field(default_factory=dict)
    probes: dict[tuple[str, str], int] = field(default_factory=dict)
    providers: dict[str, int] = field(default_factory=dict)
    metadata_ofport: int = 0
    lost_vteps: frozenset[str] = frozenset()
    next_hops: dict[tuple[str, str], str] = field(default_factory=dict)
    forwarding: dict[str, str] = field(default_factory=dict)
    arrived: set[str] = field(default_factory=set)
