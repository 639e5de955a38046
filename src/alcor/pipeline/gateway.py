"""A router's gateways: out and in on the host that serves them, the way to that host on all others.

The first of the router's gateway hosts that lives serves (`outer.serves`); one that finds itself alone takes over
from nobody. The others hand packets over untouched, in
the source's own network, to the router's MAC: so that they are routed once, where they leave. Whether the serving host
lives is watched by the switch itself (BFD, a fast-failover group), and by the agents (`Allocation.lost_vteps`).

IPv4 leaves with the gateway's address if the gateway translates, else as it is; IPv6 as it is. From outside only
answers come in through a translation, and what is for the router's subnets where there is none. Floating IPs that BGP
advertises with the gateway as next hop go on to their own MAC, if this host does not translate them.
"""

from collections.abc import Iterator

from alcor.goalstate.router_item import GatewayHost, RouterGateway, RouterInterface
from alcor.model.address import Cidr, Ip, Mac, contains, ip_int, ip_version, mac_int, network_of
from alcor.pipeline.flow import (
    Action,
    Bucket,
    ConntrackClear,
    DecTtl,
    Field,
    Group,
    GroupKind,
    GroupSpec,
    Move,
    Nat,
    Output,
    Pop,
    Push,
    Resubmit,
    SetField,
    match,
)
from alcor.pipeline.live import LiveNetwork, is_remote, live_network
from alcor.pipeline.outer import (
    ETH_TYPES,
    OWN_ADDRESS,
    Limits,
    LiveRouter,
    OuterAddress,
    Terms,
    address_rules,
    distinct,
    is_owned,
    live_router,
    of_router,
    outer_network,
    serves,
    source_to,
    to_outer,
    translate,
    way_out,
)
from alcor.pipeline.port_security import ICMPV6
from alcor.pipeline.qos import EGRESS_PACKETS, EGRESS_RATE, INGRESS_PACKETS, INGRESS_RATE
from alcor.pipeline.tables import (
    FLAGS,
    NETWORK,
    ROUTER,
    Flag,
    GroupUse,
    Priority,
    Table,
    group_id,
)
from alcor.pipeline.unit import Rule, Unit
from alcor.pipeline.view import Allocation, View

_SLOTS = {"vxlan": 0, "geneve": 1, "gre": 2}
"""The group of each tunnel type: a bucket names the port it sends through."""
_ICMP = 1
_ECHO = {4: ("icmpv4_type", Field.ICMPV4_TYPE, 8, 0), 6: ("icmpv6_type", Field.ICMPV6_TYPE, 128, 129)}
_TTL = 64
_ADVERTISED = Priority.FALLBACK + 1
"""In UN_NAT, below what this host translates, above the router's subnets."""
_HAIRPIN_PRIORITY_MIN = 100
"""In HAIRPIN_ROUTE, of a prefix of length 0; the longer one counts."""


def rules(unit: Unit, view: View, allocation: Allocation) -> list[Rule]:
    """The flows of one router's gateways on this host. Cost: O(its interfaces, routes and gateways)."""
    router = live_router(unit.id, view, allocation)
    if router is None or not router.item.gateways:
        return []
    found = list(_inner_rules(router, view, allocation))
    if serves(router, view, allocation):
        found += _admitted(router, view, allocation)
        for number, gateway in enumerate(router.item.gateways, start=1):
            network = outer_network(gateway.network_id, view, allocation)
            if network is not None:
                limits = Limits(gateway.qos, gateway.id, view, allocation)
                found += _gateway_rules(number, gateway, network, router, limits)
    else:
        found += _handed_over(router, view, allocation)
    return distinct(found)


def served(unit: Unit, view: View, allocation: Allocation) -> Iterator[OuterAddress]:
    """The addresses of a router's gateways, if this host serves them."""
    router = live_router(unit.id, view, allocation)
    if router is None or not serves(router, view, allocation):
        return
    for gateway in router.item.gateways:
        network = outer_network(gateway.network_id, view, allocation)
        if network is not None:
            yield from _addresses(gateway, network, router, view)


def succeeded(view: View, allocation: Allocation) -> frozenset[GatewayHost]:
    """The lost gateway hosts in whose place this host serves a router. Cost: O(routers) while any host is lost."""
    if not allocation.lost_vteps or view.host is None:
        return frozenset()
    found: set[GatewayHost] = set()
    for router_id in view.gateways:
        router = live_router(router_id, view, allocation)
        if router is None or not router.item.gateways or not serves(router, view, allocation):
            continue
        for host in router.item.gateway_hosts:
            if host.host_id == view.host.id:
                break
            found.add(host)
    return frozenset(found)


def groups(view: View, allocation: Allocation) -> Iterator[GroupSpec]:
    """The groups by which packets find the host that serves a router. Cost: O(routers)."""
    for router_id in view.routers:
        router = live_router(router_id, view, allocation)
        if router is None or not router.item.gateways or serves(router, view, allocation):
            continue
        types = {network.knowledge.network.network_type for network in _tunnelled(router, view, allocation)}
        for kind in sorted(types):
            hosts = _watched(router, kind, view, allocation)
            if hosts:
                yield _group(router, kind, hosts, allocation)


def _inner_networks(
    router: LiveRouter, view: View, allocation: Allocation
) -> Iterator[tuple[RouterInterface, LiveNetwork]]:
    for interface in router.item.interfaces:
        network = live_network(interface.network_id, view, allocation)
        if network is not None:
            yield interface, network


def _inner_rules(router: LiveRouter, view: View, allocation: Allocation) -> Iterator[Rule]:
    """From HAIRPIN_ROUTE into the router's networks."""
    for interface, network in _inner_networks(router, view, allocation):
        for address in interface.addresses:
            net = network_of(Cidr(address.cidr))
            family = "ipv4_dst" if net.version == 4 else "ipv6_dst"
            inside = of_router(
                router, net.version, terms={family: (int(net.network_address), int(net.netmask))}
            )
            source, target, bits = (
                (Field.IPV4_DST, Field.REG3, 32) if net.version == 4 else (Field.IPV6_DST, Field.XXREG0, 128)
            )
            actions = (
                DecTtl(),
                # It may go back to the port it came from.
                SetField(Field.IN_PORT, 0),
                SetField(NETWORK, network.key),
                SetField(Field.ETH_SRC, mac_int(Mac(interface.mac))),
                Move(source, target, bits),
                Resubmit(Table.NEXT_HOP),
            )
            yield Rule(
                Table.HAIRPIN_ROUTE, _HAIRPIN_PRIORITY_MIN + net.prefixlen, inside, actions, address.cidr
            )


# On the host that serves.


def _admitted(router: LiveRouter, view: View, allocation: Allocation) -> Iterator[Rule]:
    """What other hosts hand over, by tunnel, to the router's MAC."""
    tunnelled = (Flag.FROM_TUNNEL, Flag.FROM_TUNNEL)
    for interface, network in _inner_networks(router, view, allocation):
        if view.routers_with((network.id, interface.mac)) != (router.item.id,):
            continue
        mac = mac_int(Mac(interface.mac))
        terms: Terms = {NETWORK.name.lower(): network.key, "eth_dst": mac, FLAGS.name.lower(): tunnelled}
        to_router = (SetField(ROUTER, router.key), Resubmit(Table.ROUTE))
        yield Rule(Table.L3_ADMIT, Priority.SPECIFIC, match(**terms), to_router)


def _addresses(
    gateway: RouterGateway, network: LiveNetwork, router: LiveRouter, view: View
) -> Iterator[OuterAddress]:
    for address in gateway.addresses:
        if is_owned(network.id, address.ip, view):
            yield OuterAddress(network, router, address.ip, gateway.mac)


def _gateway_rules(
    number: int, gateway: RouterGateway, network: LiveNetwork, router: LiveRouter, limits: Limits
) -> Iterator[Rule]:
    outer = list(_addresses(gateway, network, router, limits.view))
    for address in outer:
        yield from address_rules(address, limits)
        yield from _own_address_rules(address, limits)
    if not outer or limits.view.routers_with((network.id, gateway.mac)) != (router.item.id,):
        return
    for version in (4, 6):
        first = next((one.ip for one in outer if ip_version(Ip(one.ip)) == version), None)
        if first is not None:
            yield from _way_in(gateway, network, router, version, limits)
            yield from _way_out(number, gateway, network, router, first, limits)
    yield from _advertised(gateway, network, router, limits.view)


def _advertised(
    gateway: RouterGateway, network: LiveNetwork, router: LiveRouter, view: View
) -> Iterator[Rule]:
    """Floating IPs that the outside sends to this gateway: to the host that translates them, over the wire again."""
    own = {address.ip for address in gateway.addresses}
    for id in view.bgp_routes_of(router.item.id):
        for route in view.bgp_routes[id].routes:
            if not route.mac or route.next_hop not in own:
                continue
            ip = route.destination.partition("/")[0]
            actions = (
                *way_out(network),
                # It may go back to the port it came from.
                SetField(Field.IN_PORT, 0),
                SetField(Field.ETH_SRC, mac_int(Mac(gateway.mac))),
                SetField(Field.ETH_DST, mac_int(Mac(route.mac))),
                Resubmit(Table.ROUTED),
            )
            arrived = of_router(router, ip_version(Ip(ip)), network, destination=ip)
            yield Rule(Table.UN_NAT, _ADVERTISED, arrived, actions, id)


def _way_in(
    gateway: RouterGateway, network: LiveNetwork, router: LiveRouter, version: int, limits: Limits
) -> Iterator[Rule]:
    here = match(
        eth_type=ETH_TYPES[version], eth_dst=mac_int(Mac(gateway.mac)), **{NETWORK.name.lower(): network.key}
    )
    to_router = (*limits.before(INGRESS_PACKETS), SetField(ROUTER, router.key), Resubmit(Table.UN_NAT))
    yield Rule(Table.L3_ADMIT, Priority.NORMAL, here, to_router)
    if _translates(gateway, version):
        return
    for cidr in _inner_prefixes(router, version):
        net = network_of(Cidr(cidr))
        family = "ipv4_dst" if version == 4 else "ipv6_dst"
        inside = {family: (int(net.network_address), int(net.netmask))}
        yield Rule(
            Table.UN_NAT,
            Priority.FALLBACK,
            of_router(router, version, network, terms=inside),
            (*limits.before(INGRESS_RATE), Resubmit(Table.ROUTE)),
            cidr,
        )


def _way_out(
    number: int, gateway: RouterGateway, network: LiveNetwork, router: LiveRouter, ip: str, limits: Limits
) -> Iterator[Rule]:
    version = ip_version(Ip(ip))
    leaving = of_router(router, version, gateway=number)
    # An answer to somebody whom no route leads to takes the default way, and must not go out as the router's.
    came: Terms = {FLAGS.name.lower(): (Flag.FROM_PROVIDER, Flag.FROM_PROVIDER)}
    back = of_router(router, version, gateway=number, terms=came)
    yield Rule(Table.EXTERNAL, Priority.GUARD, back, (), gateway.id)
    out = (*limits.before(EGRESS_RATE), *way_out(network))
    if _translates(gateway, version):
        on = translate(router, source_to(ip), Table.SNAT, commit=True)
        yield Rule(Table.EXTERNAL, Priority.NORMAL, leaving, (*out, *on), gateway.id)
        return
    on = (Resubmit(Table.SNAT),)
    yield Rule(Table.EXTERNAL, Priority.NORMAL, leaving, (*out, *on), gateway.id)
    plain = of_router(router, version, network, gateway=number)
    mac = SetField(Field.ETH_SRC, mac_int(Mac(gateway.mac)))
    actions = (*limits.before(EGRESS_PACKETS), mac, Resubmit(Table.HAIRPIN))
    yield Rule(Table.SNAT, Priority.FALLBACK, plain, actions, gateway.id)


def _translates(gateway: RouterGateway, version: int) -> bool:
    return version == 4 and gateway.snat


def _inner_prefixes(router: LiveRouter, version: int) -> list[str]:
    """The subnets behind the router, and those behind next hops on them."""
    subnets = {address.cidr for interface in router.item.interfaces for address in interface.addresses}
    behind = {
        route.destination
        for route in router.item.routes
        if route.nexthop is not None and any(_is_in(route.nexthop, cidr) for cidr in subnets)
    }
    return sorted(cidr for cidr in subnets | behind if network_of(Cidr(cidr)).version == version)


def _is_in(ip: str, cidr: str) -> bool:
    return ip_version(Ip(ip)) == ip_version(Cidr(cidr)) and contains(Cidr(cidr), Ip(ip))


def _own_address_rules(outer: OuterAddress, limits: Limits) -> Iterator[Rule]:
    """To the gateway's own address: answers of translated connections go on; echo is answered, all else ends."""
    router, version = outer.router, ip_version(Ip(outer.ip))
    to_it = of_router(router, version, outer.network, destination=outer.ip)
    back = translate(router, Nat(), Table.ROUTE, commit=False)
    yield Rule(Table.UN_NAT, Priority.NORMAL, to_it, (*limits.before(INGRESS_RATE), *back))
    found = (SetField(ROUTER, router.key), SetField(FLAGS, Flag.HAIRPINNED, Flag.HAIRPINNED))
    on = translate(router, Nat(), Table.HAIRPIN_ROUTE, commit=False)
    yield Rule(Table.HAIRPIN, Priority.NORMAL, to_outer(outer.network, outer.ip), (*found, *on))
    name, field, request, reply = _ECHO[version]
    source, target = (Field.IPV4_SRC, Field.IPV4_DST) if version == 4 else (Field.IPV6_SRC, Field.IPV6_DST)
    # What routers answer on every host, they answer the inside (`router_address`).
    outside: Terms = {FLAGS.name.lower(): (Flag.FROM_PROVIDER, Flag.FROM_PROVIDER)}
    protocol = _ICMP if version == 4 else ICMPV6
    echo: Terms = {"ip_proto": protocol, name: request, **outside}
    asked = of_router(router, version, destination=outer.ip, terms=echo)
    answer: tuple[Action, ...] = (
        ConntrackClear(),
        *(Push(Field.ETH_SRC), Push(Field.ETH_DST), Pop(Field.ETH_SRC), Pop(Field.ETH_DST)),
        *(Push(source), Push(target), Pop(source), Pop(target)),
        SetField(field, reply),
        SetField(Field.IP_TTL, _TTL),
        Resubmit(Table.REPLY),
    )
    yield Rule(Table.ROUTE, OWN_ADDRESS, asked, answer)


# On the others.


def _tunnelled(router: LiveRouter, view: View, allocation: Allocation) -> list[LiveNetwork]:
    """The router's networks whose packets can be handed over; those of a VLAN cannot (no tunnel is theirs)."""
    return [network for _, network in _inner_networks(router, view, allocation) if network.tunnel is not None]


def _handed_over(router: LiveRouter, view: View, allocation: Allocation) -> Iterator[Rule]:
    for network in _tunnelled(router, view, allocation):
        assert network.tunnel is not None
        item = network.knowledge.network
        watched = _watched(router, item.network_type, view, allocation)
        lives = [host for host in _before(router, view) if host.vtep not in allocation.lost_vteps]
        to_host: tuple[Action, ...]
        if watched:
            to_host = (Group(group_id(GroupUse.GATEWAY, router.key, _SLOTS[item.network_type])),)
        elif lives:
            to_host = (_tunnel_end(lives[0].vtep), Output(network.tunnel))
        else:
            continue
        leaving = match(**{ROUTER.name.lower(): router.key, NETWORK.name.lower(): network.key})
        vni = SetField(Field.TUN_ID, item.segmentation_id)
        yield Rule(Table.EXTERNAL, Priority.FALLBACK, leaving, (vni, *to_host))


def _before(router: LiveRouter, view: View) -> list[GatewayHost]:
    """The gateway hosts that come before this one and can be reached."""
    found = []
    for host in router.item.gateway_hosts:
        if view.host is not None and host.host_id == view.host.id and router.item.id in view.gateways:
            break
        if is_remote(host.vtep, view):
            found.append(host)
    return found


def _watched(
    router: LiveRouter, kind: str, view: View, allocation: Allocation
) -> list[tuple[GatewayHost, int]]:
    """The gateway hosts with the port that watches each; a probe of any tunnel type tells of the host."""
    if kind not in _SLOTS:
        return []
    found = []
    for host in _before(router, view):
        probes = {type: port for (type, vtep), port in allocation.probes.items() if vtep == host.vtep}
        if probes:
            found.append((host, probes.get(kind) or probes[min(probes)]))
    return found


def _group(
    router: LiveRouter, kind: str, hosts: list[tuple[GatewayHost, int]], allocation: Allocation
) -> GroupSpec:
    tunnel = Output(allocation.tunnels[kind])
    buckets = tuple(
        Bucket(number, (_tunnel_end(host.vtep), tunnel), watch_port=probe)
        for number, (host, probe) in enumerate(hosts)
    )
    return GroupSpec(group_id(GroupUse.GATEWAY, router.key, _SLOTS[kind]), GroupKind.FAST_FAILOVER, buckets)


def _tunnel_end(vtep: str) -> SetField:
    field = Field.TUN_IPV4_DST if ip_version(Ip(vtep)) == 4 else Field.TUN_IPV6_DST
    return SetField(field, ip_int(Ip(vtep)))
