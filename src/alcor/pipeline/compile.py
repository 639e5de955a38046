"""View and local numbers to flows: the union of what each *unit* owns, and which units a change touches.

How an agent keeps its switch right with little work:

1. apply all changes of one batch to the view (and the allocation);
2. take the union of `affected…` over the batch: `affected` for every item put or removed, `affected_by_port` for
   every port plugged, unplugged, numbered, opened or closed, `affected_by_network` for a network key, …;
3. replace the flows of each of these units by `unit_flows`.

Units have disjoint flow keys, so no flow has two owners. The result equals `flows` from nothing (tested). A network
that leaves the view takes its neighbours along: remove its items one by one (with `affected` for each), or ask
`affected_by_network` *before* it is removed.
"""

from collections.abc import Iterable

from alcor.goalstate.item import (
    HostItem,
    Item,
    Key,
    LocalPort,
    Neighbour,
    NetworkHost,
    NetworkItem,
    RegionItem,
    SubnetItem,
)
from alcor.goalstate.scope import Scope
from alcor.pipeline import arp_nd, classify, l2, port_security, punt
from alcor.pipeline.flow import Flow, FlowKey, MeterSpec
from alcor.pipeline.live import LiveNetwork, live_network, live_port
from alcor.pipeline.tables import UnitKind
from alcor.pipeline.unit import (
    SHARED,
    Rule,
    Unit,
    flood_unit,
    neighbour_unit,
    network_unit,
    port_unit,
    stamp,
)
from alcor.pipeline.view import Allocation, View


def flows(view: View, allocation: Allocation) -> dict[FlowKey, Flow]:
    """All flows the host should have. Pure and total: what is missing or closed has no flows.

    Cost: O(the view).
    """
    return {flow.key: flow for unit in units(view) for flow in unit_flows(unit, view, allocation)}


def units(view: View) -> set[Unit]:
    """The units that may have flows: of networks with open local ports, and the shared one."""
    found = {SHARED}
    for port in view.ports.values():
        found.add(port_unit(port.id))
    for network_id in view.networks:
        if view.ports_of(network_id):
            found |= _network_units(network_id, view)
    return found


def unit_flows(unit: Unit, view: View, allocation: Allocation) -> tuple[Flow, ...]:
    """The flows of one unit; none if it is gone, closed or unknown.

    Cost: O(its flows): a neighbour 1 + its addresses; a port about 20; a network's flood O(its hosts and local ports).
    """
    return stamp(unit, _rules(unit, view, allocation))


def meters(view: View, allocation: Allocation) -> dict[int, MeterSpec]:
    """The meters that must be in the switch before the flows: one per live local port. Cost: O(local ports)."""
    found = {}
    for port_id in view.ports:
        port = live_port(port_id, view, allocation)
        if port is not None:
            meter = punt.meter_of(port)
            found[meter.id] = meter
    return found


def _rules(unit: Unit, view: View, allocation: Allocation) -> list[Rule]:
    match unit.kind:
        case UnitKind.SHARED:
            return [
                *port_security.shared_rules(),
                *punt.shared_rules(),
                *arp_nd.shared_rules(),
                *l2.shared_rules(),
            ]
        case UnitKind.PORT:
            return _port_rules(unit.id, view, allocation)
        case _:
            network = live_network(unit.id, view, allocation)
            return [] if network is None else _network_rules(unit, network, view, allocation)


def _port_rules(port_id: str, view: View, allocation: Allocation) -> list[Rule]:
    port = live_port(port_id, view, allocation)
    if port is None:
        return []
    return [
        *classify.port_rules(port),
        *port_security.port_rules(port),
        *punt.port_rules(port),
        *arp_nd.port_rules(port),
        *l2.port_rules(port, view),
    ]


def _network_rules(unit: Unit, network: LiveNetwork, view: View, allocation: Allocation) -> list[Rule]:
    match unit.kind:
        case UnitKind.NEIGHBOUR:
            neighbour = network.knowledge.neighbours.get(unit.sub)
            if neighbour is None:
                return []
            return [
                *arp_nd.neighbour_rules(neighbour, network),
                *l2.neighbour_rules(neighbour, network, view),
            ]
        case UnitKind.FLOOD:
            return list(l2.flood_rules(network, view, allocation))
        case UnitKind.NETWORK:
            rules = list(punt.network_rules(network))
            if not _same_segment(network.knowledge.network, view):
                rules += classify.network_rules(network)
            if view.region is not None:
                rules += arp_nd.network_rules(network, view.region.responder_mac)
            return rules
        case _:
            raise ValueError(f"{unit} is not a unit of a network")


def _same_segment(item: NetworkItem, view: View) -> list[str]:
    """The other networks that claim the same segment.

    Only while knowledge is in transit: then nobody can say whose a packet from a tunnel is, and it is nobody's.
    """
    segment = (item.network_type, item.segmentation_id)
    return [
        id
        for id, other in view.networks.items()
        if id != item.id and (other.network.network_type, other.network.segmentation_id) == segment
    ]


def _network_units(network_id: str, view: View) -> set[Unit]:
    """All units of one network but its ports."""
    found = {network_unit(network_id), flood_unit(network_id)}
    knowledge = view.networks.get(network_id)
    if knowledge is not None:
        found.update(neighbour_unit(network_id, port_id) for port_id in knowledge.neighbours)
    return found


def affected(scope: Scope, key: Key, before: Item | None, after: Item | None, view: View) -> set[Unit]:
    """The units a changed item touches.

    `view`: after the whole batch. `before`, `after`: None if the item was not there, or is no more.
    Cost: O(1) for a neighbour; O(1) for a port, but the first and last of a network bring and take the
    network's units; O(the network) for a network; O(the view) for the host's VTEPs.
    """
    if before == after:
        return set()
    match after if after is not None else before:
        case Neighbour():
            return _by_neighbour(scope.id, before, after, view)
        case LocalPort():
            return _by_local_port(before, after, view)
        case NetworkHost():
            return {flood_unit(scope.id)}
        case SubnetItem():
            return {network_unit(scope.id)}
        case NetworkItem():
            return _by_network_item(scope.id, before, after, view)
        case HostItem():
            return _by_host(before, after, view)
        case RegionItem():
            return {network_unit(network_id) for network_id in view.networks}
        case None:
            return set()


def affected_by_port(port_id: str, view: View) -> set[Unit]:
    """The units that a port touches which was plugged, unplugged, numbered, opened or closed. Cost: as `affected`."""
    item = view.ports.get(port_id) or view.closed.get(port_id)
    if item is None:
        return {port_unit(port_id)}
    return {
        port_unit(port_id),
        flood_unit(item.network_id),
        *_mac_claimants(item.network_id, (item.mac,), view),
        *_if_presence_changed(port_id, item.network_id, view),
    }


def affected_by_network(network_id: str, view: View) -> set[Unit]:
    """All units of a network, its ports included: for a new or freed network key."""
    ports = {port_unit(id) for id in view.ports_of(network_id)}
    ports |= {port_unit(id) for id, port in view.closed.items() if port.network_id == network_id}
    return ports | _network_units(network_id, view)


def affected_by_tunnels(view: View) -> set[Unit]:
    """The units that know a tunnel port: for a tunnel port that came, went, or has another number."""
    found: set[Unit] = set()
    for network_id in view.networks:
        found |= _network_units(network_id, view)
    return found


def _by_neighbour(network_id: str, before: Item | None, after: Item | None, view: View) -> set[Unit]:
    found: set[Unit] = set()
    knowledge = view.networks.get(network_id)
    for neighbour in (before, after):
        if isinstance(neighbour, Neighbour):
            found.add(neighbour_unit(network_id, neighbour.id))
            found |= _mac_claimants(network_id, (neighbour.mac,), view)
            if knowledge is not None:
                for ip in neighbour.ips:
                    found.update(neighbour_unit(network_id, other) for other in knowledge.claimants(ip))
    return found


def _by_local_port(before: Item | None, after: Item | None, view: View) -> set[Unit]:
    found: set[Unit] = set()
    for port in (before, after):
        if isinstance(port, LocalPort):
            found |= {port_unit(port.id), flood_unit(port.network_id)}
            found |= _mac_claimants(port.network_id, (port.mac,), view)
    moved = {port.network_id for port in (before, after) if isinstance(port, LocalPort)}
    if before is not None and after is not None and len(moved) == 1:
        return found
    for port in (before, after):
        if isinstance(port, LocalPort):
            found |= _if_presence_changed(port.id, port.network_id, view)
    return found


def _if_presence_changed(port_id: str, network_id: str, view: View) -> set[Unit]:
    """The network's units if this port may have made it one with open local ports, or one without.

    Of the ports that a batch brought to an empty network one stands first, so asking the first one is enough.
    """
    ports = view.ports_of(network_id)
    if not ports or ports[0] == port_id:
        return _network_units(network_id, view)
    return set()


def _by_network_item(network_id: str, before: Item | None, after: Item | None, view: View) -> set[Unit]:
    items = [item for item in (before, after) if isinstance(item, NetworkItem)]
    if len(items) == 2 and _forwarding(items[0]) == _forwarding(items[1]):
        return set()
    found = affected_by_network(network_id, view)
    for item in items:
        found.update(network_unit(id) for id in _same_segment(item, view))
    return found


def _forwarding(item: NetworkItem) -> tuple[str, int, bool]:
    """What flows depend on; the MTU is told by DHCP and advertisements only."""
    return item.network_type, item.segmentation_id, item.admin_state_up


def _by_host(before: Item | None, after: Item | None, view: View) -> set[Unit]:
    known = [item.vtep_addresses for item in (before, after) if isinstance(item, HostItem)]
    if len(known) == 2 and known[0] == known[1]:
        return set()
    return affected_by_tunnels(view)


def _mac_claimants(network_id: str, macs: Iterable[str], view: View) -> set[Unit]:
    """The ports and neighbours whose way depends on who else claims a MAC."""
    found: set[Unit] = set()
    knowledge = view.networks.get(network_id)
    for mac in macs:
        found.update(port_unit(id) for id in view.ports_with(network_id, mac))
        if knowledge is not None:
            found.update(neighbour_unit(network_id, id) for id in knowledge.claimants(mac))
    return found
