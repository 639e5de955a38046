"""The edge: external networks, gateways and floating IPs as one feature, and what touches their flows."""

from collections.abc import Hashable, Iterable, Iterator

from alcor.goalstate.bgp_item import BgpRoutesItem
from alcor.goalstate.item import HostItem, LocalPort, NetworkItem, QosItem
from alcor.goalstate.router_item import FloatingIpItem, GatewayItem, RouterItem
from alcor.pipeline import floating_ip, gateway
from alcor.pipeline.feature import Feature, ItemChange, Local, LocalChange
from alcor.pipeline.flow import Meter, MeterSpec, Resubmit, match
from alcor.pipeline.live import LiveNetwork
from alcor.pipeline.outer import OuterAddress, next_hop_rules, outer_meter, outer_network
from alcor.pipeline.qos import limit_meters
from alcor.pipeline.tables import Priority, Table, UnitKind
from alcor.pipeline.unit import Rule, Unit, network_unit
from alcor.pipeline.view import Allocation, View


def gateway_unit(router_id: str) -> Unit:
    """The unit of a router's gateways."""
    return Unit(UnitKind.GATEWAY, router_id)


def floating_ip_unit(id: str) -> Unit:
    """The unit of a floating IP."""
    return Unit(UnitKind.FLOATING_IP, id)


def served(unit: Unit, view: View, allocation: Allocation) -> tuple[OuterAddress, ...]:
    """The outer addresses that this host answers for because of one unit; none of other kinds of units."""
    match unit.kind:
        case UnitKind.GATEWAY:
            return tuple(gateway.served(unit, view, allocation))
        case UnitKind.FLOATING_IP:
            return tuple(floating_ip.served(unit, view, allocation))
        case _:
            return ()


def _shared() -> Iterator[Rule]:
    yield Rule(Table.HAIRPIN, Priority.MISS, match(), (Resubmit(Table.NEXT_HOP),))


def _network(network: LiveNetwork, view: View, allocation: Allocation) -> Iterator[Rule]:
    if outer_network(network.id, view, allocation) is not None:
        yield from next_hop_rules(network, view, allocation)


def units(view: View) -> Iterator[Unit]:
    """Every unit of a gateway or floating IP. Cost: O(routers + floating IPs)."""
    for router_id in view.routers:
        yield gateway_unit(router_id)
    for id in view.floating_ips:
        yield floating_ip_unit(id)


def affected(change: ItemChange, view: View) -> set[Unit]:
    """Cost: O(1) for a port or floating IP; O(its floating IPs) for a router; O(its ports, routers and floating IPs)
    for a network; O(all of them) for the host's own item.
    """
    found: set[Unit] = set()
    for item in (change.before, change.after):
        match item:
            case RouterItem():
                found |= _by_router(item, view)
            case BgpRoutesItem():
                found.add(gateway_unit(item.router_id))
            case GatewayItem():
                found |= _of_router(item.id, view)
            case FloatingIpItem():
                found |= _by_floating_ip(item, view)
            case LocalPort():
                found |= _by_port(item, view)
            case NetworkItem():
                found |= _by_network(change.scope.id, view)
            case QosItem():
                found |= _floating_ips(("qos", item.id), view)
                found |= {gateway_unit(id) for id in view.routers_with(("qos", item.id))}
            case HostItem():
                found.update(units(view))
            case _:
                pass
    return found


def found(change: LocalChange, view: View) -> set[Unit]:
    """Cost: O(1) for a port or next hop, O(its floating IPs) for a router; a network as in `affected`; else O(all)."""
    match change.what:
        case Local.PORT:
            port = view.ports.get(change.id) or view.closed.get(change.id)
            return _by_port(port, view) if port is not None else _floating_ips(change.id, view)
        case Local.NETWORK:
            return _by_network(change.id, view)
        case Local.ROUTER:
            return _of_router(change.id, view)
        case Local.NEXT_HOP:
            return {network_unit(change.id.partition("/")[0])}
        case Local.TUNNELS | Local.PROVIDERS | Local.LOST_VTEPS:
            return set(units(view))
        case _:
            return set()


def _floating_ips(name: Hashable, view: View) -> set[Unit]:
    return {floating_ip_unit(id) for id in view.floating_ips_for(name)}


def _by_port(port: LocalPort, view: View) -> set[Unit]:
    """Its floating IPs; on an external network it is a next hop."""
    network = view.networks.get(port.network_id)
    is_outer = network is not None and network.network.is_external
    return _floating_ips(port.id, view) | ({network_unit(port.network_id)} if is_outer else set())


def _of_router(router_id: str, view: View) -> set[Unit]:
    return {gateway_unit(router_id)} | _floating_ips(router_id, view)


def _by_router(router: RouterItem, view: View) -> set[Unit]:
    """The router's own, and whoever claims a MAC or an outer address that it has or had."""
    found = _of_router(router.id, view)
    macs = {(one.network_id, one.mac) for one in router.interfaces}
    macs |= {(one.network_id, one.mac) for one in router.gateways}
    for mac in macs:
        found.update(gateway_unit(id) for id in view.routers_with(mac))
    for one in router.gateways:
        for address in one.addresses:
            found |= _claimants(one.network_id, address.ip, view)
    return found


def _by_floating_ip(item: FloatingIpItem, view: View) -> set[Unit]:
    fixed = _floating_ips((item.router_id, item.fixed_network_id, item.fixed_ip), view)
    return {floating_ip_unit(item.id)} | fixed | _claimants(item.network_id, item.ip, view)


def _claimants(network_id: str, ip: str, view: View) -> set[Unit]:
    name = (network_id, ip)
    return _floating_ips(name, view) | {gateway_unit(id) for id in view.routers_with(name)}


def _by_network(network_id: str, view: View) -> set[Unit]:
    found = _floating_ips(network_id, view) | _floating_ips(("inner", network_id), view)
    for port_id in view.ports_of(network_id):
        found |= _floating_ips(port_id, view)
    for router_id in view.routers_on(network_id):
        found |= _of_router(router_id, view)
    return found


def _meters(view: View, allocation: Allocation) -> Iterator[MeterSpec]:
    """Cost: O(networks), and O(flows) of what has a QoS policy."""
    yield from outer_meter(view, allocation)
    for id, item in view.floating_ips.items():
        if item.qos is not None:
            rules = floating_ip.rules(floating_ip_unit(id), view, allocation)
            yield from _named(rules, limit_meters(item.qos, id, view, allocation))
    for router_id, router in view.routers.items():
        limited = [one for one in router.gateways if one.qos is not None]
        if limited:
            rules = gateway.rules(gateway_unit(router_id), view, allocation)
            for one in limited:
                yield from _named(rules, limit_meters(one.qos, one.id, view, allocation))


def _named(rules: Iterable[Rule], specs: Iterable[MeterSpec]) -> Iterator[MeterSpec]:
    """The meters that flows name: a floating IP that only forwards ports sends nothing of its own."""
    named = {action.id for rule in rules for action in rule.actions if isinstance(action, Meter)}
    return (spec for spec in specs if spec.id in named)


EXTERNAL = Feature(
    "external",
    shared=_shared,
    network=_network,
    rules={UnitKind.GATEWAY: gateway.rules, UnitKind.FLOATING_IP: floating_ip.rules},
    units=units,
    affected=affected,
    found=found,
    meters=_meters,
    groups=gateway.groups,
)
