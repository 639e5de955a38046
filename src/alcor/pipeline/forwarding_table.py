"""Where a router sends packets: its item to one way per destination prefix. Pure arithmetic, no local numbers.

Of several ways to one prefix: connected subnets stand before routes, inner ones before outer ones. A default route
that nobody wrote leads to the next hop of the first gateway that has one. Longest prefix decides between prefixes.
"""

from collections.abc import Iterator
from ipaddress import ip_address
from typing import NamedTuple

from alcor.goalstate.router_item import RouterItem, RouterRoute
from alcor.model.address import Cidr, IpNetwork, network_of

EVERYWHERE = ("0.0.0.0/0", "::/0")
LINK_LOCAL = network_of(Cidr("169.254.0.0/16"))
"""What no default route leads to: it never leaves its link (RFC 3927, section 2.7). Who has a subnet there, has it."""


class Hop(NamedTuple):
    """One way out of a router.

    `network_id`, `mac`: the network it leads into and the source MAC there. `address`: of the next hop; None: the
    packet's own destination. `gateway`: the number of the router's gateway (the first is 1), 0 for an inner network.
    """

    network_id: str
    mac: str
    address: str | None
    gateway: int = 0


class Way(NamedTuple):
    """Where packets to a prefix go; several hops have equal cost, none is unreachable.

    `priority`: among ways with the same prefix there is one only, so it is the prefix's length.
    """

    destination: IpNetwork
    hops: tuple[Hop, ...]

    @property
    def priority(self) -> int:
        """What longest prefix match goes by."""
        return self.destination.prefixlen


def ways(router: RouterItem) -> list[Way]:
    """All ways of a router, each destination once, sorted by version and prefix. Cost: O(routes · subnets)."""
    connected = dict(_connected(router))
    found = _routed(router, connected)
    found |= {destination: (hop,) for destination, hop in connected.items()}
    for default, hop in _defaults(router):
        found.setdefault(default, (hop,))
    order = sorted(found, key=lambda net: (net.version, int(net.network_address), net.prefixlen))
    return [Way(destination, found[destination]) for destination in order]


def _connected(router: RouterItem) -> Iterator[tuple[IpNetwork, Hop]]:
    """Subnets that the router has an address on; what is yielded later stands before what is yielded first."""
    for number, gateway in reversed(list(enumerate(router.gateways, start=1))):
        for address in gateway.addresses:
            yield network_of(Cidr(address.cidr)), Hop(gateway.network_id, gateway.mac, None, number)
    for interface in reversed(router.interfaces):
        for address in interface.addresses:
            yield network_of(Cidr(address.cidr)), Hop(interface.network_id, interface.mac, None)


def _routed(router: RouterItem, connected: dict[IpNetwork, Hop]) -> dict[IpNetwork, tuple[Hop, ...]]:
    """Routes that were written, or follow from peerings, by destination."""
    found: dict[IpNetwork, dict[Hop, None]] = {}
    for route in router.routes:
        hops = found.setdefault(network_of(Cidr(route.destination)), {})
        hop = _hop(route, router, connected)
        if hop is not None:
            hops[hop] = None
    return {destination: tuple(hops) for destination, hops in found.items()}


def _hop(route: RouterRoute, router: RouterItem, connected: dict[IpNetwork, Hop]) -> Hop | None:
    """Where a route leads; None: nowhere."""
    if route.nexthop is not None:
        address = ip_address(route.nexthop)
        on = [net for net in connected if net.version == address.version and address in net]
        if not on:
            return None
        return connected[max(on, key=lambda net: net.prefixlen)]._replace(address=route.nexthop)
    if route.network_id is None or not router.interfaces:
        return None
    own = [one.mac for one in router.interfaces if one.network_id == route.network_id]
    return Hop(route.network_id, own[0] if own else router.interfaces[0].mac, None)


def _defaults(router: RouterItem) -> Iterator[tuple[IpNetwork, Hop]]:
    """The way out by the first gateway, of each version."""
    for number, gateway in enumerate(router.gateways, start=1):
        for address in gateway.addresses:
            if address.gateway_ip is not None:
                default = EVERYWHERE[":" in address.gateway_ip]
                yield (
                    network_of(Cidr(default)),
                    Hop(gateway.network_id, gateway.mac, address.gateway_ip, number),
                )
