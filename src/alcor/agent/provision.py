"""Which ports the switch must have besides its VIFs: tunnels, cables to provider bridges, probes, the metadata port.

Pure: computed from the view, carried out by the reconciler (`ensure_tunnels`, `ensure_ports`), which writes the port
numbers into the `Allocation`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b

from alcor.agent.driver import InternalPort, PatchPort, PortSpec, TunnelPort
from alcor.goalstate.item import ItemKind
from alcor.goalstate.router_item import RouterItem
from alcor.model.address import Ip, ip_version
from alcor.pipeline.live import is_remote
from alcor.pipeline.on_demand import is_flooded_by_relay
from alcor.pipeline.view import Allocation, View

OVERLAYS = frozenset(("vxlan", "geneve", "gre"))
# Made as soon as the host is known: the first port of a host should not wait until the switch has made a tunnel port.
DEFAULT_OVERLAY = "vxlan"
# A name of a port has at most 15 bytes; this leaves room for a prefix of four.
_NAME_BYTES = 5
# A probe is a port of the switch and a packet a second; above some hundred they cost a relay more than they are worth.
WATCHED_BY_RELAY_MAX = 512
PROVISIONED = frozenset(
    (
        ItemKind.HOST,
        ItemKind.NETWORK,
        ItemKind.NETWORK_HOST,
        ItemKind.NETWORK_RELAYS,
        ItemKind.RELAY,
        ItemKind.ROUTER,
        ItemKind.GATEWAY,
    )
)
"""What `provisions` looks at."""


@dataclass(frozen=True, slots=True)
class Provisions:
    """What the switch must have.

    `vteps`, `tunnels`: as `Switch.ensure_tunnels`; none if the host has no VTEP. `providers`: physical network → cable;
    `probes`: (network type, VTEP) → watched tunnel; `metadata`: the metadata service's port.
    """

    vteps: tuple[str, ...] = ()
    tunnels: tuple[str, ...] = ()
    providers: dict[str, PatchPort] = field(default_factory=dict)
    probes: dict[tuple[str, str], TunnelPort] = field(default_factory=dict)
    metadata: InternalPort | None = None

    @property
    def ports(self) -> list[PortSpec]:
        """As `Switch.ensure_ports`."""
        found: list[PortSpec] = [*self.providers.values(), *self.probes.values()]
        return found if self.metadata is None else [*found, self.metadata]

    def note(self, ofports: Mapping[str, int], allocation: Allocation) -> None:
        """Write the numbers of the ports into an allocation; a port that was not made is not there."""
        allocation.providers = {
            network: ofports[port.name] for network, port in self.providers.items() if port.name in ofports
        }
        allocation.probes = {
            end: ofports[port.name] for end, port in self.probes.items() if port.name in ofports
        }
        allocation.metadata_ofport = 0 if self.metadata is None else ofports.get(self.metadata.name, 0)


def provisions(view: View, metadata: InternalPort | None) -> Provisions:
    """What a host with this view needs. `metadata`: the port of its metadata service, None if it has none.

    Cost: O(networks + gateway hosts of the routers + hosts of the networks behind the gateways of this host).
    """
    host = view.host
    if host is None:
        return Provisions()
    types = {one.network.network_type for one in view.networks.values()} & OVERLAYS | {DEFAULT_OVERLAY}
    probes = {
        (DEFAULT_OVERLAY, vtep): _probe(vtep, host.vtep_addresses) for vtep in sorted(probed_vteps(view))
    }
    return Provisions(
        vteps=host.vtep_addresses,
        tunnels=tuple(sorted(types)) if host.vtep_addresses else (),
        providers={one.physical_network: _cable(one.bridge) for one in host.bridge_mappings},
        probes=probes,
        metadata=metadata,
    )


def probed_vteps(view: View) -> set[str]:
    """The hosts whose life this host watches: those that serve gateways of its routers, and relays of its networks.

    A watch needs both ends, so a gateway host watches every host with ports behind the gateways it serves, and a relay
    every host of the networks it relays, if there are not more than `WATCHED_BY_RELAY_MAX`, and hosts
    know each other: of relays and gateways of larger networks only the region's word counts.
    """
    return {vtep for vtep in _watched(view) if is_remote(vtep, view)}


PEER_KINDS = frozenset(
    (
        ItemKind.HOST,
        ItemKind.NETWORK,
        ItemKind.NETWORK_HOST,
        ItemKind.OPEN_HOST,
        ItemKind.NETWORK_RELAYS,
    )
)
"""The kinds of items that `flooded_vteps` depends on."""


def flooded_vteps(view: View) -> set[str]:
    """The hosts that packets for many, or for nobody known, are sent to. Cost: O(hosts of the networks)."""
    found: set[str] = set()
    for network in view.networks.values():
        for hosts in (network.hosts, network.open_hosts, network.relayed):
            found.update(host.vtep for host in hosts.values())
        found.update(host.vtep for host in (network.relays.hosts if network.relays is not None else ()))
    return {vtep for vtep in found if is_remote(vtep, view)}


def _watched(view: View) -> Iterator[str]:
    for id, large in view.networks.items():
        if large.relays is None or not 0 < len(large.hosts) <= WATCHED_BY_RELAY_MAX:
            continue
        yield from (host.vtep for host in large.relays.hosts)
        if id in view.relays:
            yield from (host.vtep for host in large.hosts.values())
    for router in view.routers.values():
        if _is_watched(router, view):
            yield from (gateway_host.vtep for gateway_host in router.gateway_hosts)
    for router_id in view.gateways:
        router_item = view.routers.get(router_id)
        for interface in router_item.interfaces if router_item is not None else ():
            network = view.networks.get(interface.network_id)
            if network is not None:
                yield from (host.vtep for host in network.hosts.values())


def _is_watched(router: RouterItem, view: View) -> bool:
    """Whether the gateway hosts of a router watch this host: it is one, or they know it to have ports behind it."""
    own = view.host.id if view.host is not None else ""
    if any(one.host_id == own for one in router.gateway_hosts):
        return True
    found = (view.networks.get(interface.network_id) for interface in router.interfaces)
    networks = [network for network in found if network is not None]
    return not any(map(is_flooded_by_relay, networks)) or any(own in network.hosts for network in networks)


def _probe(vtep: str, own: tuple[str, ...]) -> TunnelPort:
    version = ip_version(Ip(vtep))
    local = next(Ip(address) for address in own if ip_version(Ip(address)) == version)
    return TunnelPort("bfd-" + _digest(vtep), DEFAULT_OVERLAY, Ip(vtep), local)


def _cable(bridge: str) -> PatchPort:
    # Ports are found by name within the whole switch, hence two names for the two ends, made of the bridge's.
    digest = _digest(bridge)
    return PatchPort("pt-" + digest, bridge, "pp-" + digest)


def _digest(name: str) -> str:
    return blake2b(name.encode(), digest_size=_NAME_BYTES).hexdigest()
