"""Routers (table ROUTE and what leads there and on): every host routes what its own ports send.

A router is one unit, keyed by its router key, so that tenants' addresses may overlap. Two subnets of a router on one
host talk there; a port on another host is reached by the destination network's segment, already routed. An admin-down
router answers nothing and takes nothing. What leads into a network that is not live is dropped, never sent by a
shorter prefix (I10).
"""

from collections.abc import Iterable, Iterator
from zlib import crc32

from alcor.goalstate.item import Claim, LocalPort, Neighbour, NetworkItem
from alcor.goalstate.router_item import RouterItem
from alcor.model.address import Mac, mac_int
from alcor.pipeline import icmp_error, next_hop, router_address
from alcor.pipeline.feature import Feature, ItemChange, Local, LocalChange
from alcor.pipeline.flow import (
    Action,
    Bucket,
    DecTtl,
    Field,
    Group,
    GroupKind,
    GroupSpec,
    Match,
    Move,
    Resubmit,
    SetField,
    match,
)
from alcor.pipeline.forwarding_table import LINK_LOCAL, Hop, Way, ways
from alcor.pipeline.icmp_error import Reason, failed
from alcor.pipeline.live import LiveNetwork, LivePort, live_network
from alcor.pipeline.port_security import ETH_IPV4, ETH_IPV6
from alcor.pipeline.router_address import TTL_PRIORITY, LiveInterface
from alcor.pipeline.tables import (
    FLAGS,
    GATEWAY,
    GROUP_SLOTS,
    NETWORK,
    NEXT_HOP,
    ROUTER,
    Flag,
    GroupUse,
    Priority,
    Table,
    UnitKind,
    group_id,
)
from alcor.pipeline.unit import Rule, Unit, neighbour_unit, network_unit, port_unit
from alcor.pipeline.view import Allocation, View

ROUTE_PRIORITY_FROM = 1000
"""The priority of a prefix of length 0; longer ones are above it by their length."""
_ETH = {4: ETH_IPV4, 6: ETH_IPV6}
_ON = Resubmit(Table.FIREWALL)


def router_unit(router_id: str) -> Unit:
    """The unit of a router."""
    return Unit(UnitKind.ROUTER, router_id)


def inner_networks(router: RouterItem) -> set[str]:
    """The networks a router delivers into itself: those of its interfaces, and peers."""
    inner = {interface.network_id for interface in router.interfaces}
    return inner | {route.network_id for route in router.routes if route.network_id is not None}


def _shared() -> Iterator[Rule]:
    for eth_type in (ETH_IPV4, ETH_IPV6):
        for ttl in (0, 1):
            on = match(eth_type=eth_type, ip_ttl=ttl)
            yield Rule(Table.ROUTE, TTL_PRIORITY, on, failed(Reason.TTL_EXCEEDED))
        yield Rule(Table.ROUTE, Priority.MISS, match(eth_type=eth_type), failed(Reason.NO_ROUTE))
    # What stays inside: no number of a gateway.
    yield Rule(
        Table.EXTERNAL, Priority.NORMAL, match(**{GATEWAY.name.lower(): 0}), (Resubmit(Table.NEXT_HOP),)
    )
    yield from next_hop.shared_rules()
    yield from icmp_error.shared_rules()


def _port(port: LivePort, view: View, allocation: Allocation) -> Iterator[Rule]:
    yield from icmp_error.port_rules(port)
    yield from next_hop.port_rules(port, view)


def _network(network: LiveNetwork, view: View, allocation: Allocation) -> Iterator[Rule]:
    return next_hop.network_rules(network, view)


def _neighbour(
    neighbour: Neighbour, network: LiveNetwork, view: View, allocation: Allocation
) -> Iterator[Rule]:
    return next_hop.neighbour_rules(neighbour, network, view)


def _router(unit: Unit, view: View, allocation: Allocation) -> Iterator[Rule]:
    """Cost: O(its addresses, interfaces and routes); about 6 flows, 3 per address, 1 per prefix."""
    router, key = view.routers.get(unit.id), allocation.router_keys.get(unit.id, 0)
    if router is None:
        return
    live = [
        LiveInterface(interface, network)
        for interface in router.interfaces
        if (network := live_network(interface.network_id, view, allocation)) is not None
    ]
    if not key or not router.admin_state_up:
        yield from router_address.admission_rules(router, 0, live, view)
        return
    yield from router_address.admission_rules(router, key, live, view)
    yield from router_address.answer_rules(router, live, view)
    yield from router_address.own_rules(router, key, live)
    yield from router_address.guard_rules(key)
    yield from next_hop.mtu_rules(router, key, inner_networks(router), view, allocation)
    table = ways(router)
    slots = _slots(table)
    if LINK_LOCAL not in {way.destination for way in table}:
        nowhere = Way(LINK_LOCAL, ())
        yield Rule(Table.ROUTE, ROUTE_PRIORITY_FROM + nowhere.priority, _to(nowhere, key), ())
    for way in table:
        actions = _actions(way, key, slots, view, allocation)
        yield Rule(
            Table.ROUTE, ROUTE_PRIORITY_FROM + way.priority, _to(way, key), actions, str(way.destination)
        )


def _to(way: Way, key: int) -> Match:
    net = way.destination
    terms: dict[str, int | tuple[int, int]] = {ROUTER.name.lower(): key, "eth_type": _ETH[net.version]}
    if net.prefixlen:
        terms[f"ipv{net.version}_dst"] = (int(net.network_address), int(net.netmask))
    return match(**terms)


def _actions(
    way: Way, key: int, slots: dict[str, int], view: View, allocation: Allocation
) -> tuple[Action, ...]:
    if not way.hops:
        return failed(Reason.NO_ROUTE)
    onward = _onward(way, view, allocation)
    if len(onward) > 1 and str(way.destination) in slots:
        # Only what is sent on by the group itself goes on: this packet ends here.
        return (Group(group_id(GroupUse.EQUAL_COST, key, slots[str(way.destination)])),)
    return onward[0] if onward else ()


def _onward(way: Way, view: View, allocation: Allocation) -> list[tuple[Action, ...]]:
    """What each hop does with a packet; hops into networks that are not live are left out."""
    found = []
    for hop in way.hops:
        network = live_network(hop.network_id, view, allocation)
        if hop.gateway or network is not None:
            found.append(_to_hop(hop, network, way.destination.version))
    return found


def _to_hop(hop: Hop, network: LiveNetwork | None, version: int) -> tuple[Action, ...]:
    """On the way out (`Table.EXTERNAL`) TTL, MACs and network stay as they are: another host may have to route it."""
    address = _next_hop(hop, version)
    if hop.gateway or network is None:
        return (address, SetField(GATEWAY, hop.gateway), _ON)
    return (
        DecTtl(),
        address,
        # It may go back to the port it came from, or to another subport of its trunk.
        SetField(Field.IN_PORT, 0),
        SetField(FLAGS, Flag.ROUTED, Flag.ROUTED),
        SetField(NETWORK, network.key),
        SetField(Field.ETH_SRC, mac_int(Mac(hop.mac))),
        _ON,
    )


def _next_hop(hop: Hop, version: int) -> Action:
    target, bits = (next_hop.NEXT_HOP_IPV4, 32) if version == 4 else (NEXT_HOP, 128)
    if hop.address is None:
        return Move(Field.IPV4_DST if version == 4 else Field.IPV6_DST, target, bits)
    return SetField(target, next_hop.number_of(hop.address))


def _slots(table: Iterable[Way]) -> dict[str, int]:
    """The slot of each destination with several hops; it depends on others only if two hash alike or slots run out.

    Above `GROUP_SLOTS` the last ones get none, and use their first hop alone.
    """
    several = sorted(str(way.destination) for way in table if len(way.hops) > 1)
    found: dict[str, int] = {}
    used: set[int] = set()
    for destination in several[:GROUP_SLOTS]:
        slot = crc32(destination.encode()) % GROUP_SLOTS
        while slot in used:
            slot = (slot + 1) % GROUP_SLOTS
        used.add(slot)
        found[destination] = slot
    return found


def _groups(view: View, allocation: Allocation) -> Iterator[GroupSpec]:
    """One per destination with several next hops. Cost: O(routes of the routers)."""
    for id, router in view.routers.items():
        key = allocation.router_keys.get(id, 0)
        destinations = {route.destination for route in router.routes}
        if not key or not router.admin_state_up or len(destinations) == len(router.routes):
            continue
        table = ways(router)
        slots = _slots(table)
        for way in table:
            slot = slots.get(str(way.destination))
            onward = _onward(way, view, allocation) if slot is not None else []
            if slot is not None and len(onward) > 1:
                buckets = tuple(Bucket(number, actions) for number, actions in enumerate(onward))
                yield GroupSpec(group_id(GroupUse.EQUAL_COST, key, slot), GroupKind.SELECT, buckets)


def _units(view: View) -> Iterator[Unit]:
    for router_id in view.routers:
        yield router_unit(router_id)


def _affected(change: ItemChange, view: View) -> set[Unit]:
    """Cost: O(1) for a port, neighbour or claim; for a router O(its addresses), and O(the network) for each network
    that it newly delivers into or no longer does."""
    scope, before, after = change.scope, change.before, change.after
    match after if after is not None else before:
        case RouterItem():
            return _by_router(change, view)
        case NetworkItem():
            return _into(scope.id, view)
        case Neighbour():
            ips = {ip for one in (before, after) if isinstance(one, Neighbour) for ip in one.ips}
            return _ports_with(scope.id, ips, view)
        case LocalPort():
            found: set[Unit] = set()
            for port in (before, after):
                if isinstance(port, LocalPort):
                    found |= _ports_with(port.network_id, {address.ip for address in port.addresses}, view)
            return found
        case Claim():
            return {network_unit(scope.id)}
        case _:
            return set()


def _found(change: LocalChange, view: View) -> set[Unit]:
    match change.what:
        case Local.ROUTER:
            return {router_unit(change.id)}
        case Local.NETWORK:
            return _into(change.id, view)
        case Local.PORT:
            port = view.ports.get(change.id) or view.closed.get(change.id)
            if port is None:
                return set()
            return _ports_with(port.network_id, {address.ip for address in port.addresses}, view)
        case _:
            return set()


def _by_router(change: ItemChange, view: View) -> set[Unit]:
    routers = [one for one in (change.before, change.after) if isinstance(one, RouterItem)]
    found = {router_unit(router.id) for router in routers}
    for router in routers:
        found.update(router_unit(id) for id in router_address.rivals(router, view))
    sets = [inner_networks(router) for router in routers]
    for network_id in sets[0] ^ sets[1] if len(sets) == 2 else sets[0]:
        found |= _deliveries(network_id, view)
    return found


def _deliveries(network_id: str, view: View) -> set[Unit]:
    """Whatever may hold next hops of a network."""
    found = {network_unit(network_id)} | {port_unit(id) for id in view.ports_of(network_id)}
    knowledge = view.networks.get(network_id)
    if knowledge is not None:
        found.update(neighbour_unit(network_id, id) for id in knowledge.neighbours)
    return found


def _into(network_id: str, view: View) -> set[Unit]:
    """The routers whose ways lead into a network."""
    return {router_unit(id) for id in (*view.routers_into(network_id), *view.routers_on(network_id))}


def _ports_with(network_id: str, ips: Iterable[str], view: View) -> set[Unit]:
    return {port_unit(id) for ip in ips for id in view.ports_with(network_id, ip)}


ROUTE = Feature(
    "route",
    shared=_shared,
    port=_port,
    network=_network,
    neighbour=_neighbour,
    rules={UnitKind.ROUTER: _router},
    units=_units,
    affected=_affected,
    found=_found,
    groups=_groups,
)
