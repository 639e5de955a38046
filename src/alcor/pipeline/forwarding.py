"""The core that all features build on: the units of ports, networks, floods and neighbours, and what touches them."""

from collections.abc import Iterable, Iterator

from alcor.goalstate.item import (
    HostItem,
    LocalPort,
    Neighbour,
    NetworkHost,
    NetworkItem,
    OpenHost,
    RegionItem,
    SubnetItem,
)
from alcor.pipeline import arp_nd, classify, l2, port_security, punt
from alcor.pipeline.feature import Feature, ItemChange, Local, LocalChange
from alcor.pipeline.flow import MeterSpec
from alcor.pipeline.live import LiveNetwork, LivePort, live_port
from alcor.pipeline.unit import Rule, Unit, flood_unit, neighbour_unit, network_unit, port_unit
from alcor.pipeline.view import Allocation, View


def core_units(view: View) -> Iterator[Unit]:
    """Every unit of a port, network, flood or neighbour that may have flows. Cost: O(the view)."""
    for port_id in view.ports:
        yield port_unit(port_id)
    for network_id in view.networks:
        yield from _network_units(network_id, view)


def _shared() -> Iterator[Rule]:
    yield from port_security.shared_rules()
    yield from classify.shared_rules()
    yield from punt.shared_rules()
    yield from arp_nd.shared_rules()
    yield from l2.shared_rules()


def _port(port: LivePort, view: View, allocation: Allocation) -> Iterator[Rule]:
    yield from classify.port_rules(port)
    yield from port_security.port_rules(port)
    yield from punt.port_rules(port)
    yield from arp_nd.port_rules(port)
    yield from l2.port_rules(port, view)


def _network(network: LiveNetwork, view: View, allocation: Allocation) -> Iterator[Rule]:
    yield from punt.network_rules(network)
    if not same_segment(network.knowledge.network, view):
        yield from classify.network_rules(network)
    yield from l2.network_rules(network)
    if view.region is not None:
        yield from arp_nd.network_rules(network, view.region.responder_mac)


def _neighbour(
    neighbour: Neighbour, network: LiveNetwork, view: View, allocation: Allocation
) -> Iterator[Rule]:
    yield from arp_nd.neighbour_rules(neighbour, network)
    yield from l2.neighbour_rules(neighbour, network, view, allocation)


def _meters(view: View, allocation: Allocation) -> Iterator[MeterSpec]:
    """One per live local port. Cost: O(local ports)."""
    for port_id in view.ports:
        port = live_port(port_id, view, allocation)
        if port is not None:
            yield punt.meter_of(port)


def _affected(change: ItemChange, view: View) -> set[Unit]:
    """Cost: O(1) for a port or neighbour; O(the network) for a network; O(the view) for the host's VTEPs."""
    scope, before, after = change.scope, change.before, change.after
    match after if after is not None else before:
        case Neighbour():
            return _by_neighbour(scope.id, change, view)
        case LocalPort():
            return _by_local_port(change, view)
        case NetworkHost() | OpenHost():
            return {flood_unit(scope.id)}
        case SubnetItem():
            return {network_unit(scope.id)}
        case NetworkItem():
            return _by_network_item(scope.id, change, view)
        case HostItem():
            return _by_host(change, view)
        case RegionItem():
            return {unit(network_id) for network_id in view.networks for unit in (network_unit, flood_unit)}
        case _:
            return set()


def _found(change: LocalChange, view: View) -> set[Unit]:
    match change.what:
        case Local.PORT:
            # A subport lives by its parent's VIF.
            return set().union(*(_by_port(id, view) for id in (change.id, *view.subports_of(change.id))))
        case Local.FORWARDING:
            return {
                neighbour_unit(id, change.id)
                for id, network in view.networks.items()
                if change.id in network.neighbours
            }
        case Local.NETWORK:
            return _all_of_network(change.id, view)
        case Local.TUNNELS | Local.PROVIDERS:
            return _all_networks(view)
        case _:
            return set()


def _by_port(port_id: str, view: View) -> set[Unit]:
    item = view.ports.get(port_id) or view.closed.get(port_id)
    if item is None:
        return {port_unit(port_id)}
    claimants = _mac_claimants(item.network_id, (item.mac,), view)
    found = {port_unit(port_id), flood_unit(item.network_id), *claimants}
    return found | {neighbour_unit(item.network_id, port_id), *_on_trunk(item, view)}


def _by_neighbour(network_id: str, change: ItemChange, view: View) -> set[Unit]:
    found: set[Unit] = set()
    knowledge = view.networks.get(network_id)
    for neighbour in (change.before, change.after):
        if isinstance(neighbour, Neighbour):
            found.add(neighbour_unit(network_id, neighbour.id))
            found |= _mac_claimants(network_id, (neighbour.mac,), view)
            if knowledge is not None:
                for ip in neighbour.ips:
                    found.update(neighbour_unit(network_id, other) for other in knowledge.claimants(ip))
    return found


def _by_local_port(change: ItemChange, view: View) -> set[Unit]:
    found: set[Unit] = set()
    for port in (change.before, change.after):
        if isinstance(port, LocalPort):
            found |= {
                port_unit(port.id),
                flood_unit(port.network_id),
                neighbour_unit(port.network_id, port.id),
            }
            found |= _mac_claimants(port.network_id, (port.mac,), view)
            found |= _on_trunk(port, view)
            for id in view.subports_of(port.id):
                found |= _by_port(id, view)
    return found


def _on_trunk(port: LocalPort, view: View) -> set[Unit]:
    """Of a subport: its parent and the others of its trunk, which depend on whether and where it is."""
    if port.trunk is None:
        return set()
    others = (view.ports[id] for id in view.subports_of(port.trunk.port_id))
    return {port_unit(port.trunk.port_id)}.union(
        *((port_unit(other.id), flood_unit(other.network_id)) for other in others)
    )


def _by_network_item(network_id: str, change: ItemChange, view: View) -> set[Unit]:
    items = [item for item in (change.before, change.after) if isinstance(item, NetworkItem)]
    if len(items) == 2 and _forwarding(items[0]) == _forwarding(items[1]):
        return {network_unit(network_id)} if items[0].mtu != items[1].mtu else set()
    found = _all_of_network(network_id, view)
    for item in items:
        found.update(network_unit(id) for id in same_segment(item, view))
    return found


def _forwarding(item: NetworkItem) -> tuple[object, ...]:
    """What more flows depend on than the network's own, which know its MTU."""
    return (
        item.network_type,
        item.segmentation_id,
        item.admin_state_up,
        item.physical_network,
        item.is_external,
    )


def _by_host(change: ItemChange, view: View) -> set[Unit]:
    known = [item for item in (change.before, change.after) if isinstance(item, HostItem)]
    if (
        len(known) == 2
        and known[0].vtep_addresses == known[1].vtep_addresses
        and known[0].mac == known[1].mac
    ):
        return set()
    return _all_networks(view)


def same_segment(item: NetworkItem, view: View) -> list[str]:
    """The other networks that claim the same segment.

    Only while knowledge is in transit: then nobody can say whose a packet from outside is, and it is nobody's.
    """
    return [
        id
        for id, other in view.networks.items()
        if id != item.id and _segment(other.network) == _segment(item)
    ]


def _segment(item: NetworkItem) -> tuple[str, int, str | None]:
    return item.network_type, item.segmentation_id, item.physical_network


def _network_units(network_id: str, view: View) -> set[Unit]:
    """All units of one network but its ports."""
    found = {network_unit(network_id), flood_unit(network_id)}
    knowledge = view.networks.get(network_id)
    if knowledge is not None:
        found.update(neighbour_unit(network_id, port_id) for port_id in knowledge.neighbours)
    return found


def _all_of_network(network_id: str, view: View) -> set[Unit]:
    ports = {port_unit(id) for id in view.ports_of(network_id)}
    ports |= {port_unit(id) for id, port in view.closed.items() if port.network_id == network_id}
    return ports | _network_units(network_id, view)


def _all_networks(view: View) -> set[Unit]:
    found: set[Unit] = set()
    for network_id in view.networks:
        found |= _all_of_network(network_id, view)
    return found


def _mac_claimants(network_id: str, macs: Iterable[str], view: View) -> set[Unit]:
    """The ports and neighbours whose way depends on who else claims a MAC."""
    found: set[Unit] = set()
    knowledge = view.networks.get(network_id)
    for mac in macs:
        found.update(port_unit(id) for id in view.ports_with(network_id, mac))
        if knowledge is not None:
            found.update(neighbour_unit(network_id, id) for id in knowledge.claimants(mac))
    return found


FORWARDING = Feature(
    "forwarding",
    shared=_shared,
    port=_port,
    network=_network,
    flood=l2.flood_rules,
    neighbour=_neighbour,
    units=core_units,
    affected=_affected,
    found=_found,
    meters=_meters,
)
