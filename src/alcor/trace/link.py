"""The first step of every packet: whom the sender's own kernel would ask for, and who answers."""

from ipaddress import ip_address, ip_network

from alcor.goalstate.item import LocalPort, SubnetItem
from alcor.model.address import Cidr, Ip, contains, ip_version
from alcor.pipeline.view import View
from alcor.trace.cause import Cause


def source_address(port: LocalPort, destination_ip: str) -> str | None:
    """The address a guest would send from: one on the destination's link, else its first of that version."""
    version = ip_version(Ip(destination_ip))
    return next((each.ip for each in port.addresses if ip_version(Ip(each.ip)) == version), None)


def next_mac(view: View, port: LocalPort, destination_ip: str) -> str | Cause:
    """The MAC a guest of the port sends to: the destination's on the link, else its gateway's."""
    network = view.networks.get(port.network_id)
    if network is None:
        return Cause.PORT_NOT_READY
    version = ip_version(Ip(destination_ip))
    subnets = [
        network.subnets[each.subnet_id] for each in port.addresses if each.subnet_id in network.subnets
    ]
    subnets = [subnet for subnet in subnets if ip_version(Cidr(subnet.cidr)) == version]
    if any(contains(Cidr(subnet.cidr), Ip(destination_ip)) for subnet in subnets):
        return _mac_of(view, port.network_id, destination_ip) or Cause.NO_NEIGHBOUR
    for subnet in subnets:
        hop = _gateway_of(subnet, destination_ip)
        mac = _mac_of(view, port.network_id, hop) if hop is not None else None
        if mac is not None:
            return mac
    return Cause.NO_GATEWAY


def _gateway_of(subnet: SubnetItem, destination_ip: str) -> str | None:
    address = ip_address(destination_ip)
    routes = [route for route in subnet.host_routes if address in ip_network(route.destination)]
    if routes:
        return max(routes, key=lambda route: ip_network(route.destination).prefixlen).nexthop
    return subnet.gateway_ip


def _mac_of(view: View, network_id: str, ip: str) -> str | None:
    """Who on the link has an address: a router's interface, a port, whoever claims it."""
    for router_id in view.routers_on(network_id):
        router = view.routers[router_id]
        for interface in router.interfaces:
            if interface.network_id == network_id and any(each.ip == ip for each in interface.addresses):
                return interface.mac
    network = view.networks[network_id]
    for port_id in network.claimants(ip):
        return network.neighbours[port_id].mac
    claim = network.claims.get(ip)
    return claim.mac if claim is not None else None
