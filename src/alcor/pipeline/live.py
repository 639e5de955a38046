"""What is *live*: the ports and networks that get flows. Everything else is closed by having none (I10)."""

from typing import NamedTuple

from alcor.goalstate.item import LocalPort, Neighbour
from alcor.model.address import Ip, ip_version
from alcor.pipeline.view import Allocation, NetworkView, View


class LiveNetwork(NamedTuple):
    """A known network, administratively up, that has its key: of local ports, or reached through their routers.

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
    """An open port: plugged, numbered, up, of a live network."""

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
    provider = allocation.providers.get(item.physical_network or "")
    return LiveNetwork(network_id, key, tunnel, provider, knowledge)


def live_port(port_id: str, view: View, allocation: Allocation) -> LivePort | None:
    """The port, if it is live. A port that is both open and closed is closed. Cost: O(1)."""
    item = view.ports.get(port_id)
    if item is None or not item.admin_state_up or port_id in view.closed:
        return None
    key, ofport = allocation.port_keys.get(port_id, 0), allocation.ofports.get(port_id, 0)
    if not key or ofport <= 0:
        return None
    network = live_network(item.network_id, view, allocation)
    return None if network is None else LivePort(item, key, ofport, network)


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
