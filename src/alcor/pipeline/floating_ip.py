"""Floating IPs that this host translates: distributed ones of its own ports, central ones and forwarded ports where
the router's gateways are served.

Both directions are one translation in the router's zone: what a port sends gets the floating IP as source, what comes
to the floating IP gets the port's address as destination, and the answers to either follow. What a port with a
floating IP sends leaves by the floating IP's network, also where the router's routes prefer another gateway.
"""

from collections.abc import Iterator

from alcor.goalstate.router_item import FloatingIpItem, Forward
from alcor.model.address import Cidr, Ip, Mac, contains, ip_version, mac_int
from alcor.pipeline.flow import Nat, Resubmit, SetField
from alcor.pipeline.live import LiveNetwork, live_network, live_port
from alcor.pipeline.next_hop import NEXT_HOP_IPV4, number_of
from alcor.pipeline.outer import (
    NO_TERMS,
    OWN_ADDRESS,
    Limits,
    LiveRouter,
    OuterAddress,
    Terms,
    address_rules,
    destination_to,
    distinct,
    is_owned,
    live_router,
    of_router,
    outer_network,
    serves,
    source_to,
    to_outer,
    translate,
    way_out,
)
from alcor.pipeline.port_security import ICMPV6
from alcor.pipeline.qos import EGRESS_RATE, INGRESS_PACKETS, INGRESS_RATE
from alcor.pipeline.tables import FLAGS, NEXT_HOP, ROUTER, Flag, Priority, Table
from alcor.pipeline.unit import Rule, Unit
from alcor.pipeline.view import Allocation, View

_PORT_BITS = 16
_TARGET_PORT = {6: "tcp_dst", 17: "udp_dst", 132: "sctp_dst"}
"""The destination port's field of each protocol whose ports can be forwarded, by number. A switch sees none of DCCP."""
_WITHOUT_PORTS = (1, ICMPV6)


def rules(unit: Unit, view: View, allocation: Allocation) -> list[Rule]:
    """The flows of one floating IP: 8; with forwards 6 and 2 per forward and power of two of its range.

    A range that is forwarded N to N to other numbers costs two flows per port.
    """
    item = view.floating_ips.get(unit.id)
    outer = _live(item, view, allocation) if item is not None else None
    if item is None or outer is None:
        return []
    limits = Limits(item.qos, item.id, view, allocation)
    found = [*address_rules(outer, limits), *_admission(outer, limits)]
    if item.forwards:
        for forward in item.forwards:
            found += _forward_rules(forward, outer, limits)
        found += _inwards(outer, limits, Nat(), Priority.NORMAL, commit=False)
    elif item.fixed_ip is not None and ip_version(Ip(item.fixed_ip)) == ip_version(Ip(item.ip)):
        found += _inwards(outer, limits, destination_to(item.fixed_ip), Priority.NORMAL, commit=True)
        inner = live_network(item.fixed_network_id or "", view, allocation)
        if inner is not None:
            found += _outwards(item, outer, inner, limits)
    return distinct(found)


def served(unit: Unit, view: View, allocation: Allocation) -> Iterator[OuterAddress]:
    """The address, if this host translates it."""
    item = view.floating_ips.get(unit.id)
    outer = _live(item, view, allocation) if item is not None else None
    if outer is not None:
        yield outer


def _live(item: FloatingIpItem, view: View, allocation: Allocation) -> OuterAddress | None:
    """It is this host's to translate, and nobody else claims its address or that of its port."""
    network = outer_network(item.network_id, view, allocation)
    router = live_router(item.router_id, view, allocation)
    if network is None or router is None or not is_owned(network.id, item.ip, view):
        return None
    if not any(gateway.network_id == network.id for gateway in router.item.gateways):
        return None
    if item.is_central:
        if not serves(router, view, allocation):
            return None
    elif item.port_id is None or not _is_active(item.port_id, view, allocation):
        return None
    if len(_of_fixed(item, view, network.id)) != 1:
        return None
    return OuterAddress(network, router, item.ip, item.mac)


def _is_active(port_id: str, view: View, allocation: Allocation) -> bool:
    port = live_port(port_id, view, allocation)
    return port is not None and port.item.is_active


def _of_fixed(item: FloatingIpItem, view: View, network_id: str | None = None) -> list[str]:
    """The floating IPs of the same fixed address, this one too; those of one external network if it is given."""
    if item.fixed_ip is None:
        return [item.id]
    same = view.floating_ips_for((item.router_id, item.fixed_network_id, item.fixed_ip))
    return [id for id in same if network_id in (None, view.floating_ips[id].network_id)]


def _admission(outer: OuterAddress, limits: Limits) -> Iterator[Rule]:
    to_router = (*limits.before(INGRESS_PACKETS), SetField(ROUTER, outer.router.key), Resubmit(Table.UN_NAT))
    mine = to_outer(outer.network, outer.ip, {"eth_dst": mac_int(Mac(outer.mac))})
    yield Rule(Table.L3_ADMIT, Priority.SPECIFIC, mine, to_router)
    # What the translation refused still has the floating IP as destination: it is for nobody.
    version = ip_version(Ip(outer.ip))
    refused = of_router(outer.router, version, outer.network, destination=outer.ip)
    yield Rule(Table.ROUTE, OWN_ADDRESS, refused, ())


def _inwards(
    outer: OuterAddress,
    limits: Limits,
    nat: Nat,
    priority: int,
    *,
    commit: bool,
    about: str = "",
    terms: Terms = NO_TERMS,
) -> Iterator[Rule]:
    """Translated from outside, and from other routers of this host."""
    version, router = ip_version(Ip(outer.ip)), outer.router
    arrived = of_router(router, version, outer.network, destination=outer.ip, terms=terms)
    on = translate(router, nat, Table.ROUTE, commit=commit)
    yield Rule(Table.UN_NAT, priority, arrived, (*limits.before(INGRESS_RATE), *on), about)
    found = (
        *limits.before(INGRESS_RATE),
        SetField(ROUTER, router.key),
        SetField(FLAGS, Flag.HAIRPINNED, Flag.HAIRPINNED),
    )
    back = translate(router, nat, Table.HAIRPIN_ROUTE, commit=commit)
    yield Rule(Table.HAIRPIN, priority, to_outer(outer.network, outer.ip, terms), (*found, *back), about)


def _outwards(
    item: FloatingIpItem, outer: OuterAddress, inner: LiveNetwork, limits: Limits
) -> Iterator[Rule]:
    """What the port sends leaves as the floating IP, by a gateway on its network."""
    router, network = outer.router, outer.network
    version = ip_version(Ip(item.ip))
    leave = (*way_out(network), *translate(router, source_to(item.ip), Table.SNAT, commit=True))
    metered = limits.before(EGRESS_RATE)
    alone = len(_of_fixed(item, limits.view)) == 1
    for number, gateway in enumerate(router.item.gateways, start=1):
        sent = of_router(router, version, inner, source=item.fixed_ip, gateway=number)
        if gateway.network_id == network.id:
            yield Rule(Table.EXTERNAL, Priority.SPECIFIC, sent, (*metered, *leave), item.id)
        elif alone and (way := _gateway_ip(router, network, item.ip)) is not None:
            yield Rule(
                Table.EXTERNAL, Priority.SPECIFIC, sent, (*metered, _to_next_hop(way), *leave), item.id
            )


def _gateway_ip(router: LiveRouter, network: LiveNetwork, ip: str) -> str | None:
    """The next hop of the floating IP's subnet, or else of any of its network."""
    found = [
        address
        for gateway in router.item.gateways
        for address in gateway.addresses
        if gateway.network_id == network.id
        and address.gateway_ip is not None
        and ip_version(Ip(address.gateway_ip)) == ip_version(Ip(ip))
    ]
    found.sort(key=lambda address: not contains(Cidr(address.cidr), Ip(ip)))
    return found[0].gateway_ip if found else None


def _to_next_hop(ip: str) -> SetField:
    return SetField(NEXT_HOP_IPV4 if ip_version(Ip(ip)) == 4 else NEXT_HOP, number_of(ip))


def _forward_rules(forward: Forward, outer: OuterAddress, limits: Limits) -> Iterator[Rule]:
    if ip_version(Ip(forward.ip)) != ip_version(Ip(outer.ip)):
        return
    if forward.protocol in _WITHOUT_PORTS:
        nat = destination_to(forward.ip)
        whole: Terms = {"ip_proto": forward.protocol}
        yield from _inwards(outer, limits, nat, Priority.SPECIFIC, commit=True, about=forward.id, terms=whole)
    name = _TARGET_PORT.get(forward.protocol)
    if name is None:
        return
    for port, mask, target in _port_matches(forward):
        nat = destination_to(forward.ip, target)
        terms: Terms = {"ip_proto": forward.protocol, name: (port, mask)}
        yield from _inwards(outer, limits, nat, Priority.SPECIFIC, commit=True, about=forward.id, terms=terms)


def _port_matches(forward: Forward) -> Iterator[tuple[int, int, int | None]]:
    """(port, mask, translated to): outside ports in as few matches as their translation allows."""
    first, last = forward.external_first, forward.external_last
    if forward.internal_first == forward.internal_last:
        for port, mask in masks(first, last):
            yield port, mask, forward.internal_first
    elif forward.internal_first == first:
        for port, mask in masks(first, last):
            yield port, mask, None
    else:
        for port in range(first, last + 1):
            yield port, (1 << _PORT_BITS) - 1, forward.internal_first + port - first


def masks(first: int, last: int) -> Iterator[tuple[int, int]]:
    """An inclusive range of ports as (value, mask), in order. Cost: at most 30."""
    while first <= last:
        size = first & -first or 1 << _PORT_BITS
        while first + size - 1 > last:
            size >>= 1
        yield first, (1 << _PORT_BITS) - size
        first += size
