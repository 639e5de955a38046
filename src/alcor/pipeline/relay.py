"""Relays: gateway hosts that hold every neighbour of a large network, for hosts that hold it on demand.

*At the sender*: what it lacks knowledge for goes to one relay that lives, in the network's own tunnel: a frame for an
unknown MAC as it is; a question (ARP, solicitation) and what was routed to an unknown address with `RELAY_MAC` as its
destination. Which of the relays is a hash of sender and relay, so that a network's senders spread.

*At the relay*: what comes for `RELAY_MAC` is answered back into the tunnel, or gets the MAC of its IP destination. Then
it goes, like what came for a MAC that no local port has, by tunnel to that MAC's host (table RELAY). Once only: not
back to the VTEP it came from, not what another relay sent, and nothing unknown. What was sent to all by a host that
does not know the others comes marked, and goes to all others (`l2.flood_rules`). This is beside live migration
the only way from tunnel to tunnel. Rules are the ends' own: of the sender where it was sent, of the receiver where it
arrives.
"""

from collections.abc import Iterator

from alcor.goalstate.item import NetworkRelays, RelayItem
from alcor.goalstate.router_item import RouterItem
from alcor.model.address import Ip, ip_int, ip_version, mac_int
from alcor.pipeline import arp_nd, l2
from alcor.pipeline.feature import Feature, ItemChange, Local, LocalChange
from alcor.pipeline.flow import (
    Action,
    Field,
    Match,
    Move,
    Output,
    OutputInPort,
    Resubmit,
    SetField,
    Term,
    match,
)
from alcor.pipeline.forwarding import same_segment
from alcor.pipeline.forwarding_table import ways
from alcor.pipeline.live import LiveNetwork, LivePort, is_remote
from alcor.pipeline.next_hop import NEXT_HOP_IPV4, to_address
from alcor.pipeline.on_demand import Lack, ask, is_on_demand, relay_of, unasked
from alcor.pipeline.port_security import (
    ETH_ARP,
    ETH_IPV4,
    ETH_IPV6,
    ICMPV6,
    NEIGHBOUR_SOLICITATION,
)
from alcor.pipeline.route import inner_networks
from alcor.pipeline.tables import FLAGS, NETWORK, NEXT_HOP, Flag, Priority, Table
from alcor.pipeline.unit import Rule, Unit, flood_unit, in_network, neighbour_unit, network_unit
from alcor.pipeline.view import Allocation, View

_REQUEST = 1
_LINK_LOCAL = (0xFE80 << 112, 0xFFC0 << 112)
_ABROAD = Flag.FROM_TUNNEL | Flag.FROM_PROVIDER
_FLAGS, _KEY = FLAGS.name.lower(), NETWORK.name.lower()


def is_relay(network: LiveNetwork, view: View) -> bool:
    """Whether this host is a relay of the network, and knows all that it must."""
    return network.id in view.relays and network.tunnel is not None


def to_relay(network: LiveNetwork, view: View, allocation: Allocation) -> tuple[Action, ...]:
    """The way of a packet to the relay, with the MAC it has; nothing if there is no relay."""
    vtep = relay_of(network, view, allocation) if is_on_demand(network.id, view) else None
    if vtep is None or network.tunnel is None:
        return ()
    return l2.to_host(network.knowledge.network.segmentation_id, vtep, network.tunnel)


def _addressed() -> SetField:
    return SetField(Field.ETH_DST, mac_int(l2.RELAY_MAC))


def _network(network: LiveNetwork, view: View, allocation: Allocation) -> Iterator[Rule]:
    if is_on_demand(network.id, view):
        yield from _questions(network, view, allocation)
        yield from _unknown_macs(network, view, allocation)
        if view.routers_into(network.id):
            yield from _unknown_hops(network, view, allocation)
    if is_relay(network, view):
        yield from _relayed(network, view)


def _questions(network: LiveNetwork, view: View, allocation: Allocation) -> Iterator[Rule]:
    """Who has an address that nobody is known to have? Below all answers. Three flows."""
    way = to_relay(network, view, allocation)
    actions = ask(Lack.ANSWER, (_addressed(), *way) if way else ())
    here = in_network(network.key)
    solicitation = match(
        eth_type=ETH_IPV6, ip_proto=ICMPV6, icmpv6_type=NEIGHBOUR_SOLICITATION, icmpv6_code=0
    )
    for kind in (match(eth_type=ETH_ARP, arp_op=_REQUEST), solicitation):
        yield Rule(Table.ARP_ND, Priority.UNKNOWN, unasked(here, *kind, clear=_ABROAD), actions)
    # Link-local addresses are given to nobody: their owners answer.
    own = (here, *solicitation, Term(Field.ND_TARGET, *_LINK_LOCAL))
    yield Rule(Table.ARP_ND, Priority.UNKNOWN + 1, _sorted(own), (Resubmit(Table.EGRESS_CT),))


def _unknown_macs(network: LiveNetwork, view: View, allocation: Allocation) -> Iterator[Rule]:
    """A MAC that nobody is known to have. What is on a provider's wire is found by the wire. At most two flows."""
    on = unasked(in_network(network.key), clear=Flag.FROM_PROVIDER)
    if network.provider is not None:
        yield Rule(Table.L2_REMOTE, Priority.UNKNOWN, on, (Resubmit(Table.PROVIDER),))
        return
    way = to_relay(network, view, allocation)
    yield Rule(Table.L2_REMOTE, Priority.UNKNOWN, on, ask(Lack.HOST, way))
    if way:
        routed: dict[str, int | tuple[int, int]] = {
            _FLAGS: (Flag.ROUTED, Flag.ROUTED),
            "eth_dst": mac_int(l2.RELAY_MAC),
            _KEY: network.key,
        }
        yield Rule(Table.L2_REMOTE, Priority.SPECIFIC, match(**routed), way)


def _unknown_hops(network: LiveNetwork, view: View, allocation: Allocation) -> Iterator[Rule]:
    """A next hop that nobody is known to be. One flow, and one for each next hop of a route: that is not the packet's
    destination, by which the relay would go, so the packet waits for the answer.
    """
    here = in_network(network.key)
    on = unasked(here, clear=Flag.RELAYED)
    way = (_addressed(), Resubmit(Table.ROUTED)) if to_relay(network, view, allocation) else ()
    yield Rule(Table.NEXT_HOP, Priority.UNKNOWN, on, ask(Lack.NEXT_HOP, way))
    for ip in sorted(_static_hops(network.id, view)):
        hop = unasked(here, *to_address(ip), clear=Flag.RELAYED)
        yield Rule(Table.NEXT_HOP, Priority.UNKNOWN + 1, hop, ask(Lack.NEXT_HOP))


def _static_hops(network_id: str, view: View) -> set[Ip]:
    return {
        Ip(hop.address)
        for router_id in view.routers_into(network_id)
        for way in ways(view.routers[router_id])
        for hop in way.hops
        if hop.address is not None and not hop.gateway and hop.network_id == network_id
    }


def _relayed(network: LiveNetwork, view: View) -> Iterator[Rule]:
    """What a relay does with what comes for `RELAY_MAC`, and its way out. Ten flows."""
    assert network.tunnel is not None
    vni = network.knowledge.network.segmentation_id
    came = Flag.FROM_TUNNEL | Flag.RELAYED
    begin = (SetField(NETWORK, network.key), SetField(FLAGS, came, came), Resubmit(Table.ARP_ND))
    entry = match(in_port=network.tunnel, tun_id=vni, eth_dst=mac_int(l2.RELAY_MAC))
    if not same_segment(network.knowledge.network, view):
        yield Rule(Table.CLASSIFY, Priority.SPECIFIC, entry, begin)
    yield Rule(Table.ARP_ND, Priority.UNKNOWN, _of(network, came, eth_type=ETH_ARP), ())
    for kind, source, target, bits in (
        (ETH_IPV4, Field.IPV4_DST, NEXT_HOP_IPV4, 32),
        (ETH_IPV6, Field.IPV6_DST, NEXT_HOP, 128),
    ):
        on = (Move(source, target, bits), Resubmit(Table.NEXT_HOP))
        yield Rule(Table.ARP_ND, Priority.UNKNOWN, _of(network, came, eth_type=kind), on)
    yield Rule(Table.NEXT_HOP, Priority.UNKNOWN, _of(network, Flag.RELAYED), ())
    back = (
        Move(Field.TUN_IPV4_SRC, Field.TUN_IPV4_DST, 32),
        Move(Field.TUN_IPV6_SRC, Field.TUN_IPV6_DST, 128),
        SetField(Field.TUN_ID, vni),
        OutputInPort(),
    )
    yield Rule(Table.REPLY, Priority.NORMAL, _of(network, came), back)
    yield Rule(Table.RELAY, Priority.NORMAL, (in_network(network.key),), (Output(network.tunnel),))
    flagged = (SetField(NETWORK, network.key), SetField(FLAGS, came, came))
    for is_carried, unmark in l2.MARKED:
        entry = match(in_port=network.tunnel, tun_id=vni, eth_dst=is_carried)
        yield Rule(Table.CLASSIFY, Priority.SPECIFIC, entry, (*flagged, unmark, Resubmit(Table.L2)))


def _of(network: LiveNetwork, flags: int, **terms: int) -> Match:
    on: dict[str, int | tuple[int, int]] = {_KEY: network.key, _FLAGS: (flags, flags), **terms}
    return match(**on)


def _sorted(terms: tuple[Term, ...]) -> Match:
    return tuple(sorted(terms, key=lambda term: term.field.name))


def _flood(network: LiveNetwork, view: View, allocation: Allocation) -> Iterator[Rule]:
    """At a relay: what is not sent on. One flow per host of the network, and one per other relay."""
    if not is_relay(network, view) or view.host is None:
        return
    for vtep in sorted({host.vtep for host in network.knowledge.relayed.values()}):
        if is_remote(vtep, view):
            number, family = ip_int(Ip(vtep)), ip_version(Ip(vtep))
            ends: dict[str, int | tuple[int, int]] = {
                f"tun_ipv{family}_src": number,
                f"tun_ipv{family}_dst": number,
            }
            yield Rule(Table.RELAY, Priority.GUARD, match(**{_KEY: network.key}, **ends), ())


def _all(network_id: str, view: View) -> set[Unit]:
    knowledge = view.networks.get(network_id)
    neighbours = knowledge.neighbours if knowledge is not None else ()
    return {network_unit(network_id), flood_unit(network_id)} | {
        neighbour_unit(network_id, id) for id in neighbours
    }


def _affected(change: ItemChange, view: View) -> set[Unit]:
    """Cost: O(the network) for a host that becomes its relay or ceases to be; else O(1)."""
    match change.after if change.after is not None else change.before:
        case RelayItem(id=id):
            return _all(id, view)
        case NetworkRelays(id=id):
            return {network_unit(id), flood_unit(id)}
        case RouterItem():
            routers = [one for one in (change.before, change.after) if isinstance(one, RouterItem)]
            inner = set().union(*map(inner_networks, routers))
            return {network_unit(id) for id in inner if is_on_demand(id, view)}
        case _:
            return set()


def _found(change: LocalChange, view: View) -> set[Unit]:
    if change.what is not Local.LOST_VTEPS:
        return set()
    return {
        unit(id)
        for id, network in view.networks.items()
        if network.relays is not None
        for unit in (network_unit, flood_unit)
    }


def _port(port: LivePort, view: View, allocation: Allocation) -> Iterator[Rule]:
    """Who has a local port's address is known without asking."""
    network = port.network
    if not is_on_demand(network.id, view):
        return
    for ip in dict.fromkeys(address.ip for address in port.item.addresses):
        if not network.knowledge.claimants(ip) and view.ports_with(network.id, ip) == (port.item.id,):
            yield arp_nd.answer(network, Ip(ip), port.item.mac, Priority.NORMAL)


RELAY = Feature("relay", port=_port, network=_network, flood=_flood, affected=_affected, found=_found)
