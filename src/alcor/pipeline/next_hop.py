"""From an address to a MAC after routing (table NEXT_HOP), and packets too large for the way out (ROUTED, TOO_LARGE).

One small flow per address of a neighbour, only in networks that a router known here delivers into. Nothing is asked
for on inner networks: all neighbours are known. An address that nobody has is answered with "host unreachable".
Addresses on external networks are the edge's.
"""

from collections.abc import Iterator

from alcor.goalstate.item import Neighbour
from alcor.goalstate.router_item import RouterItem
from alcor.model.address import Ip, Mac, ip_int, ip_version, mac_int
from alcor.pipeline.flow import (
    Action,
    CheckPacketLarger,
    Clone,
    Field,
    Resubmit,
    SetField,
    Term,
    match,
)
from alcor.pipeline.icmp_error import Reason, failed
from alcor.pipeline.live import LiveNetwork, LivePort, live_network, owns_ip
from alcor.pipeline.on_demand import flagged, is_on_demand
from alcor.pipeline.port_security import ETH_IPV4, ETH_IPV6
from alcor.pipeline.tables import (
    FLAGS,
    NETWORK,
    NEXT_HOP,
    ROUTER,
    Flag,
    Priority,
    Table,
)
from alcor.pipeline.unit import Rule, in_network
from alcor.pipeline.view import Allocation, View

NEXT_HOP_IPV4 = Field.REG3
"""The low 32 bits of NEXT_HOP."""
_ETHERNET_BYTES = 14


def number_of(ip: str) -> int:
    """The address as a number, as the register holds it."""
    return ip_int(Ip(ip))


def to_address(ip: Ip) -> tuple[Term, Term]:
    """The conditions that a packet's next hop is `ip`: its version, and the register."""
    if ip_version(ip) == 4:
        return Term(Field.ETH_TYPE, ETH_IPV4), Term(NEXT_HOP_IPV4, ip_int(ip))
    return Term(Field.ETH_TYPE, ETH_IPV6), Term(NEXT_HOP, ip_int(ip))


def next_hop_rule(network: LiveNetwork, ip: Ip, mac: str, priority: Priority) -> Rule:
    """What has the next hop `ip` in the network goes to `mac`."""
    eth_type, address = to_address(ip)
    # In the order of their names, as `match` has them.
    on = (eth_type, in_network(network.key), address)
    return Rule(
        Table.NEXT_HOP, priority, on, (SetField(Field.ETH_DST, mac_int(Mac(mac))), Resubmit(Table.ROUTED))
    )


def neighbour_rules(neighbour: Neighbour, network: LiveNetwork, view: View) -> Iterator[Rule]:
    """One flow per address, if a router delivers into the network or this host relays it."""
    if view.routers_into(network.id) or network.id in view.relays:
        for ip in dict.fromkeys(neighbour.ips):
            if owns_ip(neighbour, ip, network.knowledge):
                yield next_hop_rule(network, Ip(ip), neighbour.mac, Priority.NORMAL)


def port_rules(port: LivePort, view: View) -> Iterator[Rule]:
    """A local port's addresses that no neighbour has: on a host without VTEP ports are nobody's neighbours, and of what
    is held on demand they need not be asked for.
    """
    if view.routers_into(port.network.id):
        for ip in dict.fromkeys(address.ip for address in port.item.addresses):
            claimants = port.network.knowledge.claimants(ip)
            if not claimants and view.ports_with(port.network.id, ip) == (port.item.id,):
                yield next_hop_rule(port.network, Ip(ip), port.item.mac, Priority.NORMAL)


def network_rules(network: LiveNetwork, view: View) -> Iterator[Rule]:
    """Claimed addresses, below those that a port was given; and what nobody has.

    Of what is held on demand that is known only when it was asked for.
    """
    if not view.routers_into(network.id) and network.id not in view.relays:
        return
    for ip, claim in network.knowledge.claims.items():
        yield next_hop_rule(network, Ip(ip), claim.mac, Priority.FALLBACK)
    mask = Flag.RELAYED if network.id in view.relays else 0
    value = Flag.RESOLVED if is_on_demand(network.id, view) else 0
    if view.routers_into(network.id):
        on = flagged((in_network(network.key),), value, mask | value)
        yield Rule(Table.NEXT_HOP, Priority.UNKNOWN, on, failed(Reason.HOST_UNREACHABLE))


def shared_rules() -> Iterator[Rule]:
    """What has no next hop ends. What is not measured goes on; what is too large does not, or is answered too."""
    flags = FLAGS.name.lower()
    to_l2 = Resubmit(Table.L2)
    yield Rule(Table.NEXT_HOP, Priority.MISS, match(), ())
    yield Rule(Table.ROUTED, Priority.MISS, match(), (to_l2,))
    yield Rule(Table.TOO_LARGE, Priority.MISS, match(), (to_l2,))
    large = {flags: (Flag.TOO_LARGE, Flag.TOO_LARGE)}
    told = failed(Reason.TOO_LARGE)
    yield Rule(Table.TOO_LARGE, Priority.NORMAL, match(**large, eth_type=ETH_IPV6), told)
    # On its way first: the port's meter, which may end the second part, must not end the first.
    yield Rule(Table.TOO_LARGE, Priority.NORMAL, match(**large, eth_type=ETH_IPV4), (Clone((to_l2,)), *told))


def mtu_rules(
    router: RouterItem, key: int, inner: set[str], view: View, allocation: Allocation
) -> Iterator[Rule]:
    """Measure what goes into a network with a smaller MTU than another of the router's. One flow for each such."""
    networks = [
        network for id in sorted(inner) if (network := live_network(id, view, allocation)) is not None
    ]
    largest = max((network.knowledge.network.mtu for network in networks), default=0)
    for network in networks:
        mtu = network.knowledge.network.mtu
        if mtu < largest:
            bit = Flag.TOO_LARGE.bit_length() - 1
            measure: tuple[Action, ...] = (
                CheckPacketLarger(mtu + _ETHERNET_BYTES, FLAGS, bit),
                Resubmit(Table.TOO_LARGE),
            )
            on = match(**{ROUTER.name.lower(): key, NETWORK.name.lower(): network.key})
            yield Rule(Table.ROUTED, Priority.NORMAL, on, measure, router.id)
