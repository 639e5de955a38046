"""The relays of large networks: gateway hosts that hold every neighbour, for the hosts that do not.

A host that holds a large network on demand sends the first packets to a peer it does not know by way of a relay. A
network has relays long before it is held on demand (`relay_above` lies below the ncm's thresholds), so that they are
there when they are needed.
"""

from collections.abc import Iterable, Mapping

from alcor.goalstate.derive.router import chosen
from alcor.goalstate.fact import HostFact, NetworkFact, StandingFact
from alcor.goalstate.item import GatewayHost

# One may die while the other takes over; each costs the network's neighbours once more in memory.
RELAYS_PER_NETWORK_MAX = 2
_OVERLAYS = frozenset(("vxlan", "geneve", "gre"))


def can_have_relays(network: NetworkFact) -> bool:
    """Whether the network's packets travel in tunnels; on a provider's wire the wire finds the owner of a MAC."""
    return network.item.network_type in _OVERLAYS and network.item.segmentation_id > 0


def relays_of(
    network_id: str, hosts: Iterable[HostFact], standings: Mapping[str, StandingFact]
) -> tuple[GatewayHost, ...]:
    """The relays of a network, of the gateway hosts: by a hash, so that networks spread and keep theirs when hosts come
    or go; hosts that were lost come last, as they do for routers. Cost: O(hosts · log hosts).
    """
    return chosen(network_id, hosts, standings)[:RELAYS_PER_NETWORK_MAX]
