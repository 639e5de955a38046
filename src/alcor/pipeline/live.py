"""What is *live*: the ports and networks that get flows. Everything else is closed by having none (I10)."""

from typing import NamedTuple

from alcor.goalstate.item import LocalPort, Neighbour
from alcor.model.address import Ip, ip_version
from alcor.pipeline.view import Allocation, NetworkView, View


class LiveNetwork(NamedTuple):
    """A known network, administratively up, that has its key: of local ports, or reached through their routers.

    A network of type local has neither of the two ways out and stays on each host.
    `tunnel`: the ofport of its tunnels; None if it has none here (no such tunnel port, no segment, or the host
    does not know itself): then nothing goes to other hosts or comes from them by tunnel.
    `provider`: the ofport of the provider bridge of a VLAN or flat network; None if this host does not reach it.
    """

    id: str
    key: int
    tunnel: int | None
    provider: int | None
    knowledge: NetworkView


class LivePort(NamedTuple):
    """An open port: plugged, numbered, up, active, of a live network. A subport is plugged where its parent is.

    `ofport`: of the VIF; a subport shares it with its trunk's parent.
    """

    item: LocalPort
    key: int
    ofport: int
    network: LiveNetwork


def live_network(network_id: str, view: View, allocation: Allocation) -> LiveNetwork | None:
    """The network, if it is live. Cost: O(1)."""
    knowledge = view.networks.get(network_id)
    key = allocation.network_keys.get(network_id, 0)
    if knowledge is None or not key or not knowledge.network.admin_state_up:
        return None
    item = knowledge.network
    tunnel = allocation.tunnels.get(item.network_type)
    if view.host is None or not item.segmentation_id:
        tunnel = None
    provider = None
    if item.network_type == "flat" or (item.network_type == "vlan" and item.segmentation_id):
        provider = allocation.providers.get(item.physical_network or "")
    return LiveNetwork(network_id, key, tunnel, provider, knowledge)


def live_port(port_id: str, view: View, allocation: Allocation) -> LivePort | None:
    """The port, if it is live. A port that is both open and closed is closed, and so is one that is not active: the
    second binding of a live migration sends and is sent nothing. Cost: O(1), of a subport O(ports of its trunk).
    """
    item = view.ports.get(port_id)
    if item is None or not item.admin_state_up or not item.is_active or port_id in view.closed:
        return None
    key, ofport = allocation.port_keys.get(port_id, 0), ofport_of(item, view, allocation)
    if not key or ofport <= 0:
        return None
    network = live_network(item.network_id, view, allocation)
    return None if network is None else LivePort(item, key, ofport, network)


def ofport_of(port: LocalPort, view: View, allocation: Allocation) -> int:
    """Where a local port's frames come from and go to; 0 if it is not plugged.

    A subport has no VIF: it is its parent's while that is up, and no other subport there has its VLAN id (then one of
    the two is gone, and nobody here can say which).
    """
    if port.trunk is None:
        return allocation.ofports.get(port.id, 0)
    parent = view.ports.get(port.trunk.port_id) or view.closed.get(port.trunk.port_id)
    if parent is None or parent.trunk is not None or not (parent.admin_state_up and parent.is_active):
        return 0
    for other in view.subports_of(parent.id):
        trunk = view.ports[other].trunk
        if other != port.id and trunk is not None and trunk.vlan == port.trunk.vlan:
            return 0
    return allocation.ofports.get(parent.id, 0)


def is_remote(vtep: str, view: View) -> bool:
    """Whether a VTEP is known, another host's, and of a family of which this host has an address too.

    Without one nothing can be sent there: a switch that is told to sends packets without a destination.
    """
    if not vtep or view.host is None or vtep in view.host.vtep_addresses:
        return False
    version = ip_version(Ip(vtep))
    return any(ip_version(Ip(own)) == version for own in view.host.vtep_addresses)


def owns_mac(port_id: str, mac: str, network_id: str, view: View) -> bool:
    """Whether nobody else in the network claims the MAC.

    Two claimants stand side by side only while knowledge is in transit (a chunked snapshot, one scope ahead of
    another); then one of them is gone and nobody here can say which: the MAC is closed until it is settled.
    """
    for other in view.ports_with(network_id, mac):
        if other != port_id:
            return False
    knowledge = view.networks.get(network_id)
    return knowledge is None or all(other == port_id for other in knowledge.claimants(mac))


def owns_ip(neighbour: Neighbour, ip: str, knowledge: NetworkView) -> bool:
    """Whether no other neighbour claims the address: two claimants and it is answered for neither."""
    return knowledge.claimants(ip) == (neighbour.id,)
