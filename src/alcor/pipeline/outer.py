"""What gateways and floating IPs have in common: addresses on external networks that this host answers for.

An outer address is its owner's alone: where two claim one (knowledge in transit) it is nobody's until that is settled.
Each router has a conntrack zone of its own, so that tenants with equal addresses never share a connection; what a
translation did not change ends in SNAT, where only addresses of the packet's own router pass.
"""

from collections.abc import Hashable, Iterable, Iterator, Mapping
from typing import NamedTuple

from alcor.goalstate.router_item import RouterItem
from alcor.model.address import Ip, Mac, ip_int, ip_version, mac_int
from alcor.pipeline.flow import (
    Action,
    Conntrack,
    ConntrackClear,
    Controller,
    DecTtl,
    Field,
    Match,
    Meter,
    MeterSpec,
    Nat,
    NatRange,
    Resubmit,
    SetField,
    match,
)
from alcor.pipeline.live import LiveNetwork, live_network, owns_mac
from alcor.pipeline.next_hop import next_hop_rule
from alcor.pipeline.port_security import (
    ETH_ARP,
    ETH_IPV4,
    ETH_IPV6,
    ICMPV6,
    NEIGHBOUR_ADVERTISEMENT,
    NEIGHBOUR_SOLICITATION,
)
from alcor.pipeline.qos import EGRESS_PACKETS, Kind, limit_actions
from alcor.pipeline.tables import (
    FLAGS,
    GATEWAY,
    NETWORK,
    RESPONDER_MAC,
    ROUTER,
    ROUTER_ZONES_FROM,
    Flag,
    MeterUse,
    Priority,
    Table,
    meter_id,
)
from alcor.pipeline.unit import Rule
from alcor.pipeline.view import Allocation, View

Terms = Mapping[str, int | tuple[int, int]]
"""Further conditions, as `match` takes them."""
NO_TERMS: Terms = {}
ETH_TYPES = {4: ETH_IPV4, 6: ETH_IPV6}
ARRIVED = Flag.FROM_TUNNEL | Flag.FROM_PROVIDER
# In ROUTE, above every route and what routers answer: what has come to an outer address from outside.
OWN_ADDRESS = 2_100
_REQUEST, _REPLY = 1, 2
# With one watched host alone nobody can tell which of the two is lost.
_ISOLATED_MIN = 2

# What a host asks the agent about external networks, all routers together: unknown next hops and the answers of known
# ones. A new next hop takes a few packets; more than this is a scan, and a scan need not be answered.
OUTER_METER = meter_id(MeterUse.PUNT, 0)  # no port has key 0
OUTER_RATE_PPS = 500
OUTER_BURST_PACKETS = 500
TO_AGENT = (Meter(OUTER_METER), Controller())


class LiveRouter(NamedTuple):
    """A router that is known and administratively up, with its key."""

    item: RouterItem
    key: int


class Limits(NamedTuple):
    """What a floating IP or gateway may take, by its QoS policy; bandwidth and packet rate have a table each."""

    policy_id: str | None
    owner_id: str
    view: View
    allocation: Allocation

    def before(self, kind: Kind) -> tuple[Action, ...]:
        """What goes before a flow's other actions: a meter, or nothing."""
        return limit_actions(self.policy_id, kind, self.owner_id, self.view, self.allocation)


class OuterAddress(NamedTuple):
    """An address on an external network that this host answers for, with the MAC it is found at."""

    network: LiveNetwork
    router: LiveRouter
    ip: str
    mac: str


def live_router(router_id: str, view: View, allocation: Allocation) -> LiveRouter | None:
    """The router, if it is live. Cost: O(1)."""
    item = view.routers.get(router_id)
    key = allocation.router_keys.get(router_id, 0)
    return LiveRouter(item, key) if item is not None and item.admin_state_up and key else None


def outer_network(network_id: str, view: View, allocation: Allocation) -> LiveNetwork | None:
    """The external network, if this host reaches it by a provider bridge. Cost: O(1)."""
    network = live_network(network_id, view, allocation)
    if network is None or network.provider is None or not network.knowledge.network.is_external:
        return None
    return network


def is_owned(network_id: str, ip: str, view: View) -> bool:
    """Whether one floating IP or gateway claims the outer address, and no other. Cost: O(1)."""
    name = (network_id, ip)
    return len(view.floating_ips_for(name)) + len(view.routers_with(name)) == 1


def serves(router: LiveRouter, view: View, allocation: Allocation) -> bool:
    """Whether this host serves the router's gateways: the first of its gateway hosts that is not lost.

    A host that takes itself for isolated does not take over from another. Cost: as `is_isolated`.
    """
    if view.host is None or router.item.id not in view.gateways:
        return False
    for place, host in enumerate(router.item.gateway_hosts):
        if host.host_id == view.host.id:
            return place == 0 or not is_isolated(allocation)
        if host.vtep not in allocation.lost_vteps:
            return False
    return False


def is_isolated(allocation: Allocation) -> bool:
    """Whether all hosts that this one watches are lost, two at least: then it is this host that is lost.

    Cost: O(1) as long as most of what is watched lives.
    """
    lost = allocation.lost_vteps
    if len(lost) < _ISOLATED_MIN or any(vtep not in lost for _, vtep in allocation.probes):
        return False
    return len({vtep for _, vtep in allocation.probes}) >= _ISOLATED_MIN


def zone_of(router: LiveRouter) -> int:
    """The conntrack zone of the router's translations."""
    return ROUTER_ZONES_FROM + router.key


def source_to(ip: str) -> Nat:
    """Translation of the source to one address."""
    return Nat(source=NatRange(ip_version(Ip(ip)), ip_int(Ip(ip))))


def destination_to(ip: str, port: int | None = None) -> Nat:
    """Translation of the destination to one address, and to one port if one is given."""
    number = ip_int(Ip(ip))
    return Nat(destination=NatRange(ip_version(Ip(ip)), number, None, port, port))


def translate(router: LiveRouter, nat: Nat, table: Table, *, commit: bool) -> tuple[Action, ...]:
    """On in `table`, translated in the router's zone, whatever zone the packet was looked up in before."""
    return ConntrackClear(), Conntrack(zone_of(router), commit=commit, nat=nat, table=table)


def way_out(network: LiveNetwork) -> tuple[Action, ...]:
    """The packet becomes one of the external network."""
    return (
        SetField(NETWORK, network.key),
        SetField(FLAGS, Flag.ROUTED, Flag.ROUTED | ARRIVED),
        DecTtl(),
    )


def of_router(
    router: LiveRouter,
    version: int,
    network: LiveNetwork | None = None,
    *,
    source: str | None = None,
    destination: str | None = None,
    gateway: int | None = None,
    terms: Terms = NO_TERMS,
) -> Match:
    """A packet of the router; each other condition only if it is given. Addresses as text."""
    found: dict[str, int | tuple[int, int]] = {
        "eth_type": ETH_TYPES[version],
        ROUTER.name.lower(): router.key,
    }
    family = "ipv4" if version == 4 else "ipv6"
    if network is not None:
        found[NETWORK.name.lower()] = network.key
    if source is not None:
        found[f"{family}_src"] = ip_int(Ip(source))
    if destination is not None:
        found[f"{family}_dst"] = ip_int(Ip(destination))
    if gateway is not None:
        found[GATEWAY.name.lower()] = gateway
    return match(**found, **terms)


def to_outer(network: LiveNetwork, ip: str, terms: Terms = NO_TERMS) -> Match:
    """A packet in the external network to an address there, whatever router sends it."""
    version = ip_version(Ip(ip))
    family = "ipv4_dst" if version == 4 else "ipv6_dst"
    here = {NETWORK.name.lower(): network.key, "eth_type": ETH_TYPES[version], family: ip_int(Ip(ip))}
    return match(**here, **terms)


def address_rules(outer: OuterAddress, limits: Limits) -> Iterator[Rule]:
    """One outer address: questions for it answered, answers to it heard, and what may leave with it. 3 flows."""
    network, router, ip = outer.network, outer.router, outer.ip
    version, mac = ip_version(Ip(ip)), mac_int(Mac(outer.mac))
    question, answer = _question_and_answer(network, ip, mac)
    told = (SetField(RESPONDER_MAC, mac), Resubmit(Table.ARP_ND_REPLY))
    yield Rule(Table.ARP_ND, Priority.OUTER, question, told)
    yield Rule(Table.L3_ADMIT, Priority.GUARD, answer, TO_AGENT)
    leaves = (*limits.before(EGRESS_PACKETS), SetField(Field.ETH_SRC, mac), Resubmit(Table.HAIRPIN))
    yield Rule(Table.SNAT, Priority.NORMAL, of_router(router, version, network, source=ip), leaves)


def _question_and_answer(network: LiveNetwork, ip: str, mac: int) -> tuple[Match, Match]:
    number = ip_int(Ip(ip))
    here: dict[str, int | tuple[int, int]] = {NETWORK.name.lower(): network.key}
    if ip_version(Ip(ip)) == 4:
        arp = here | {"eth_type": ETH_ARP, "arp_tpa": number}
        return match(**arp, arp_op=_REQUEST), match(**arp, arp_op=_REPLY, eth_dst=mac)
    icmp = here | {"eth_type": ETH_IPV6, "ip_proto": ICMPV6, "icmpv6_code": 0}
    return (
        match(**icmp, icmpv6_type=NEIGHBOUR_SOLICITATION, nd_target=number),
        match(**icmp, icmpv6_type=NEIGHBOUR_ADVERTISEMENT, ipv6_dst=number, eth_dst=mac),
    )


def next_hop_rules(network: LiveNetwork, view: View, allocation: Allocation) -> Iterator[Rule]:
    """The network's ports here, what the agent has found out, and whatever else is asked for there.

    Neighbours elsewhere answer on the wire. Cost: O(next hops of the host + the network's local ports).
    """
    found = {ip: mac for (network_id, ip), mac in allocation.next_hops.items() if network_id == network.id}
    for port_id in view.ports_of(network.id):
        item = view.ports[port_id]
        if owns_mac(port_id, item.mac, network.id, view):
            own = (address.ip for address in item.addresses)
            found |= {ip: item.mac for ip in own if view.ports_with(network.id, ip) == (port_id,)}
    for ip, mac in sorted(found.items()):
        yield next_hop_rule(network, Ip(ip), mac, Priority.ROUTER)
    for eth_type in ETH_TYPES.values():
        unknown = match(eth_type=eth_type, **{NETWORK.name.lower(): network.key})
        yield Rule(Table.NEXT_HOP, Priority.UNKNOWN, unknown, TO_AGENT)


def outer_meter(view: View, allocation: Allocation) -> Iterator[MeterSpec]:
    """The one meter of what the agent is asked about external networks, if there are any here."""
    if any(outer_network(id, view, allocation) is not None for id in view.networks):
        yield MeterSpec(OUTER_METER, OUTER_RATE_PPS, OUTER_BURST_PACKETS)


def distinct(rules: Iterable[Rule]) -> list[Rule]:
    """The rules, the first of those with one key: knowledge in transit may name one thing twice."""
    found: dict[tuple[Hashable, ...], Rule] = {}
    for rule in rules:
        found.setdefault((rule.table, rule.priority, rule.match), rule)
    return list(found.values())
