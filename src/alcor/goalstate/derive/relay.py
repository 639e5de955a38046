"""The relays of large networks: gateway hosts that hold every neighbour, for the hosts that do not.

A host that holds a large network on demand sends the first packets to a peer it does not know by way of a relay. A
network has relays long before it is held on demand (`relay_above` lies below the ncm's thresholds), so that they are
there when they are needed.
"""

from collections.abc import Iterable, Mapping

from alcor.goalstate.derive.port import vtep_of
from alcor.goalstate.derive.router import chosen
from alcor.goalstate.fact import HostFact, NetworkFact, StandingFact
from alcor.goalstate.intent import By, Intent
from alcor.goalstate.router_item import GatewayHost

# One may die while the other takes over; each costs the network's neighbours once more in memory.
RELAYS_PER_NETWORK_MAX = 2
_OVERLAYS = frozenset(("vxlan", "geneve", "gre"))


def can_have_relays(network: NetworkFact) -> bool:
    """Whether the network's packets travel in tunnels; on a provider's wire the wire finds the owner of a MAC."""
    return network.item.network_type in _OVERLAYS and network.item.segmentation_id > 0


def has_relays(intent: Intent, network_id: str, ports: int) -> bool:
    """Whether a network of so many placed ports has any relay. Cost: O(1), as a rule."""
    network = intent.networks.get(network_id)
    if network is None or not 0 < intent.region.relay_above < ports or not can_have_relays(network):
        return False
    return any(vtep_of(host) is not None for host in intent.hosts.found((By.IS_GATEWAY, True)))


def relays_of(
    network_id: str, hosts: Iterable[HostFact], standings: Mapping[str, StandingFact]
) -> tuple[GatewayHost, ...]:
    """The relays of a network, of the gateway hosts: by a hash, so that networks spread and keep theirs when hosts come
    or go; hosts that were lost come last, as they do for routers. Cost: O(hosts · log hosts).
    """
    return chosen(network_id, hosts, standings)[:RELAYS_PER_NETWORK_MAX]
