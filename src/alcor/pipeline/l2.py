"""Layer 2: by MAC to a local port or another host; broadcast, multicast, unknown unicast (tables L2 to OUTPUT).

Replication happens at the source, one copy per host of the network, in parts of at most `COPIES_PER_FLOW_MAX`
copies: what comes from a tunnel is delivered to local ports and never sent into a tunnel again, which the order of
tables makes certain (L2_REMOTE is reached from a tunnel only by what a router has sent on). There are three exceptions
in all: a router's, a relay's (`relay`), and a port that has just moved away by live migration, whose packets the old
host sends after it; not back to where it moved, so that two hosts of two opinions do not play ball.

*By relays*: of a network on many hosts only its relays know all (`is_flooded_by_relay`). The others send what is for
all to one of them, once, with a mark in the destination MAC, and that one has the copies made: one to each other
host, none to the one it came from. Only what is marked is copied, so it does not matter who of the senders holds the
list and who does not: none is lost or doubled while they change. The mark needs two bits of a MAC: group addresses from
40- on, broadcast excepted, stay on their host in networks that have relays (01-00-5e and 33-33 are below).

*Unknown unicast*: the ports without port security are the network's unknown set, because they may own MACs that nobody
was given; a frame for such a MAC goes to them, here and on the hosts that hold some, and to the provider bridge. A MAC
that is known is never unknown: if its owner cannot be reached, or two claim it, the frame is dropped. That is decided
where a frame enters: from a tunnel what is for no local port goes to the unknown set here. Of a provider bridge, which
everybody hears, each host asks what it knows.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import TypeVar
from zlib import crc32

from alcor.goalstate.item import Neighbour, NetworkHost, OpenHost
from alcor.model.address import Ip, Mac, ip_int, ip_version, mac_int
from alcor.pipeline.flow import (
    Action,
    CheckPacketLarger,
    Clone,
    Field,
    Match,
    Output,
    Resubmit,
    SetField,
    Term,
    match,
)
from alcor.pipeline.host_service import SERVER_MAC
from alcor.pipeline.live import LiveNetwork, LivePort, is_remote, live_port, owns_mac
from alcor.pipeline.on_demand import flagged, is_flooded_by_relay, is_on_demand, relay_of
from alcor.pipeline.tables import (
    COPIES_PER_FLOW_MAX,
    COPIES_PER_RELAYED_FLOW_MAX,
    EGRESS,
    FLAGS,
    LOCAL_PARTS_FROM,
    NETWORK,
    PART,
    REMOTE_PARTS_FROM,
    UNKNOWN_LOCAL_PARTS_FROM,
    UNKNOWN_REMOTE_PARTS_FROM,
    Flag,
    Priority,
    Table,
)
from alcor.pipeline.unit import SHARED_VALUES_MAX, Rule, in_network
from alcor.pipeline.view import Allocation, View

_M = TypeVar("_M")
_N = TypeVar("_N")
_Part = tuple[int, tuple[Action, ...]]

_ON = {
    Table.EGRESS_QOS: Table.PUNT,
    Table.ACL_OUT: Table.FIREWALL_OUT,
    Table.L3_ADMIT: Table.L2,
    Table.FIREWALL: Table.EXTERNAL,
    Table.ACL_IN: Table.INGRESS_CT,
    Table.INGRESS_QOS: Table.OUTPUT,
}
_GROUP_BIT = 1 << 40
"""The bit of a MAC address that says broadcast or multicast."""
_ETHERNET_BYTES = 14
_BYTES_MAX = 0xFFFF
_FLAGS = FLAGS.name.lower()
_NETWORK = NETWORK.name.lower()
_ABROAD = Flag.FROM_TUNNEL | Flag.FROM_PROVIDER
_TO_REMOTE = Resubmit(Table.L2_REMOTE)
# Out again where it came in, and to an end of another family than it came with: a switch would do neither.
_FORGET = tuple(SetField(field, 0) for field in (Field.IN_PORT, Field.TUN_IPV4_DST, Field.TUN_IPV6_DST))
_BROADCAST = 0xFFFFFFFFFFFF
_MARK, _MARKS = 1 << 47, 0b11 << 46
_BROADCAST_MARKED = _BROADCAST & ~_MARK
_CARRIED: tuple[tuple[int | tuple[int, int], SetField], ...] = (
    ((_GROUP_BIT, _GROUP_BIT | _MARKS), SetField(Field.ETH_DST, _MARK, _MARK)),
    (_BROADCAST, SetField(Field.ETH_DST, _BROADCAST_MARKED)),
)
"""What relays carry: destination MACs, and what marks them."""
MARKED: tuple[tuple[int | tuple[int, int], SetField], ...] = (
    ((_GROUP_BIT | _MARK, _GROUP_BIT | _MARKS), SetField(Field.ETH_DST, 0, _MARK)),
    (_BROADCAST_MARKED, SetField(Field.ETH_DST, _BROADCAST)),
)
"""Destination MACs that are marked, and what makes them what they were."""
RELAY_MAC = Mac("02:a1:c0:a9:fe:aa")
"""Whom a relay is addressed by where its sender knows no MAC."""


def shared_rules() -> Iterator[Rule]:
    """A unicast frame that is for no local port goes to other hosts, unless it came from one and no router sent it."""
    yield Rule(Table.L2, Priority.MISS, match(**{_FLAGS: (0, _ABROAD)}), (_TO_REMOTE,))
    routed = match(**{_FLAGS: (Flag.ROUTED, Flag.ROUTED)})
    yield Rule(Table.L2, Priority.FALLBACK, routed, (*_FORGET, _TO_REMOTE))
    # Of what it routes, a router has already decided.
    too_large = match(**{_FLAGS: (Flag.TOO_LARGE, Flag.TOO_LARGE | Flag.ROUTED)})
    yield Rule(Table.L2_REMOTE, Priority.GUARD, too_large, ())
    # Where nothing is asked of a packet it goes on.
    for table, following in _ON.items():
        yield Rule(table, Priority.MISS, match(), (Resubmit(following),))


def port_rules(port: LivePort, view: View) -> Iterator[Rule]:
    """Delivery to a local port, and the way out of the switch. Two flows, three on a trunk."""
    if owns_mac(port.item.id, port.item.mac, port.network.id, view):
        yield Rule(
            Table.L2,
            Priority.NORMAL,
            addressed(port.network.key, port.item.mac),
            deliver(port),
        )
    if port.item.trunk is None and not view.subports_of(port.item.id):
        out = match(**{EGRESS.name.lower(): port.key})
        yield Rule(Table.OUTPUT, Priority.NORMAL, out, (Output(port.ofport),))


def deliver(port: LivePort) -> tuple[Action, ...]:
    """To a local port, by way of what is asked of packets to it."""
    return (SetField(EGRESS, port.key), Resubmit(Table.ACL_IN))


def network_rules(network: LiveNetwork) -> Iterator[Rule]:
    """What fits into no tunnel: a frame larger than the network's MTU ends in L2_REMOTE, counted. One flow."""
    if network.tunnel is None:
        return
    from_here = _flagged(network, 0, _ABROAD | Flag.ROUTED)
    size = min(network.knowledge.network.mtu + _ETHERNET_BYTES, _BYTES_MAX)
    check = CheckPacketLarger(size, FLAGS, Flag.TOO_LARGE.bit_length() - 1)
    yield Rule(Table.L2, Priority.FALLBACK, from_here, (check, _TO_REMOTE))


def neighbour_rules(
    neighbour: Neighbour, network: LiveNetwork, view: View, allocation: Allocation
) -> Iterator[Rule]:
    """The way to the host that has the port, if it is another one; after a port that has just moved there.

    One flow: also where there is no way, because what is known is not unknown. Two where the port is on this host: what
    comes from abroad for it is the unknown set's neither while the port itself is closed or not known (I10). Where
    neighbours are held on demand that is said of the local ports themselves (`flood_rules`).
    """
    mac = addressed(network.key, neighbour.mac)
    is_here = view.host is not None and neighbour.vtep in view.host.vtep_addresses
    if (
        is_here
        and not is_on_demand(network.id, view)
        and neighbour.id == min(network.knowledge.claimants(neighbour.mac))
    ):
        yield Rule(Table.L2, Priority.KNOWN, mac, ())
    if owns_mac(neighbour.id, neighbour.mac, network.id, view):
        yield Rule(Table.L2_REMOTE, Priority.NORMAL, mac, way_to(neighbour.vtep, network, view))
        yield from _after_port(neighbour, network, view, allocation)
    elif neighbour.id == min(network.knowledge.claimants(neighbour.mac)):
        yield Rule(Table.L2_REMOTE, Priority.NORMAL, mac, ())


def way_to(vtep: str, network: LiveNetwork, view: View) -> tuple[Action, ...]:
    """To a port of the network on another host; none if there is no way, or the host is this one."""
    if network.provider is not None:
        is_here = view.host is None or vtep in view.host.vtep_addresses
        return () if is_here else (Resubmit(Table.PROVIDER),)
    if network.tunnel is None or not is_remote(vtep, view):
        return ()
    vni = network.knowledge.network.segmentation_id
    if network.id in view.relays:
        return (SetField(Field.TUN_ID, vni), _tunnel_end(vtep), Resubmit(Table.RELAY))
    return to_host(vni, vtep, network.tunnel)


def _after_port(
    neighbour: Neighbour, network: LiveNetwork, view: View, allocation: Allocation
) -> Iterator[Rule]:
    """What still comes by tunnel for a port that has moved away is sent on by tunnel, but not to where it came from."""
    vtep = allocation.forwarding.get(neighbour.id, "")
    here = view.ports.get(neighbour.id)
    if (here is not None and here.is_active) or network.tunnel is None or not is_remote(vtep, view):
        return
    version = ip_version(Ip(vtep))
    tunnelled: dict[str, int | tuple[int, int]] = {
        _NETWORK: network.key,
        _FLAGS: (Flag.FROM_TUNNEL, Flag.FROM_TUNNEL),
        "eth_dst": mac_int(Mac(neighbour.mac)),
    }
    source = "tun_ipv4_src" if version == 4 else "tun_ipv6_src"
    yield Rule(Table.L2, Priority.GUARD, match(**tunnelled, **{source: ip_int(Ip(vtep))}), ())
    other = Field.TUN_IPV6_DST if version == 4 else Field.TUN_IPV4_DST
    # It goes out where it came in, which a switch does not do by itself.
    clear = (SetField(Field.IN_PORT, 0), SetField(other, 0))
    on = to_host(network.knowledge.network.segmentation_id, vtep, network.tunnel)
    yield Rule(Table.L2, Priority.SPECIFIC, match(**tunnelled), (*clear, *on))


def _flagged(network: LiveNetwork, flags: int, mask: int) -> Match:
    return match(**{_NETWORK: network.key}, **{_FLAGS: (flags, mask)})


def addressed(network_key: int, mac: str) -> Match:
    """A frame for a MAC of a network."""
    # In the order of their names, as `match` has them.
    return (Term(Field.ETH_DST, mac_int(Mac(mac))), in_network(network_key))


@lru_cache(SHARED_VALUES_MAX)
def to_host(tunnel_id: int, vtep: str, tunnel: int) -> tuple[Action, ...]:
    """Into a tunnel, to the end `vtep`."""
    return (SetField(Field.TUN_ID, tunnel_id), _tunnel_end(vtep), Output(tunnel))


def _tunnel_end(vtep: str) -> SetField:
    field = Field.TUN_IPV4_DST if ip_version(Ip(vtep)) == 4 else Field.TUN_IPV6_DST
    return SetField(field, ip_int(Ip(vtep)))


def flood_rules(network: LiveNetwork, view: View, allocation: Allocation) -> Iterator[Rule]:
    """Broadcast and multicast: each live local port once, and from here one copy to each other host, or one to a relay
    or to the provider bridge. Unknown unicast: the same among those that take it, without relays.

    Our own servers are not unknown either.

    Cost: O(local ports + hosts of the network); at most 14 flows and one per part, and at a relay one per host. A part
    holds at most `COPIES_PER_FLOW_MAX` copies; which part a member is in depends on its id and on the number of parts
    (a power of two), so that a member that comes or goes changes one flow, at a relay those of one part.
    """
    found = [live_port(id, view, allocation) for id in view.ports_of(network.id)]
    ports = {port.item.id: port for port in found if port is not None}
    local = _numbered(LOCAL_PARTS_FROM, ports, _copies_to_ports)
    takers = {id: port for id, port in ports.items() if not port.item.port_security_enabled}
    unknown = _numbered(UNKNOWN_LOCAL_PARTS_FROM, takers, _copies_to_ports)
    abroad = _ends(network, view, network.knowledge.open_hosts.values())
    unknown_abroad = _numbered(UNKNOWN_REMOTE_PARTS_FROM, abroad, _copies_to_hosts(network))
    relays = network.id in view.relays and network.tunnel is not None
    yield from _to_all(network, view, allocation, local)
    yield from _to_takers(network, view, unknown, unknown_abroad)
    if is_on_demand(network.id, view):
        for mac in sorted(_local_macs(network.id, view)):
            yield Rule(Table.L2, Priority.KNOWN, addressed(network.key, mac), ())
    for flag in (Flag.FROM_TUNNEL, Flag.FROM_PROVIDER):
        unrouted = _flagged(network, flag, flag | Flag.ROUTED)
        if relays and flag is Flag.FROM_TUNNEL:
            yield Rule(Table.L2, Priority.FALLBACK, unrouted, (*_FORGET, _TO_REMOTE))
            for source in _other_relays(network, view):
                between = tuple(sorted((*unrouted, source), key=lambda term: term.field.name))
                yield Rule(Table.L2, Priority.FALLBACK + 1, between, _to_parts(unknown))
        elif unknown:
            # Every host hears the wire: what is known to be elsewhere is not unknown here.
            taken = _to_parts(unknown) if flag is Flag.FROM_TUNNEL else (_TO_REMOTE,)
            yield Rule(Table.L2, Priority.FALLBACK, unrouted, taken)
    for part, actions in (*local, *unknown, *unknown_abroad):
        yield Rule(Table.FLOOD, Priority.NORMAL, _in_part(network, part), actions)


def _to_all(
    network: LiveNetwork, view: View, allocation: Allocation, local: Sequence[_Part]
) -> Iterator[Rule]:
    """Broadcast and multicast. `local`: the parts of the local ports."""
    relays = network.id in view.relays and network.tunnel is not None
    on = {_NETWORK: network.key}
    every = (_GROUP_BIT, _GROUP_BIT)
    to_provider = (Resubmit(Table.PROVIDER),) if network.provider is not None else ()
    remote: list[_Part] = []
    if not relays and is_flooded_by_relay(network.knowledge):
        vtep = relay_of(network, view, allocation, is_lost=True)
        if vtep is not None and network.tunnel is not None:
            remote = [(REMOTE_PARTS_FROM, ())]
            way = to_host(network.knowledge.network.segmentation_id, vtep, network.tunnel)
            for destination, mark in _CARRIED:
                marked = match(**on, **{PART.name.lower(): REMOTE_PARTS_FROM, "eth_dst": destination})
                yield Rule(Table.FLOOD, Priority.NORMAL, marked, (mark, *way))
    else:
        known = network.knowledge.relayed if relays else network.knowledge.hosts
        hosts = _ends(network, view, known.values())
        size = COPIES_PER_RELAYED_FLOW_MAX if relays else COPIES_PER_FLOW_MAX
        remote = _numbered(REMOTE_PARTS_FROM, hosts, _copies_to_hosts(network), size)
        for part, actions in remote:
            yield Rule(Table.FLOOD, Priority.NORMAL, _in_part(network, part), actions)
        if relays:
            yield from _to_others(network, hosts)
    for flag in (Flag.FROM_TUNNEL, Flag.FROM_PROVIDER):
        came = match(**on, **{"eth_dst": every, _FLAGS: (flag, flag)})
        yield Rule(Table.L2, Priority.SPECIFIC, came, _to_parts(local))
    outward = (*_to_parts(local), *_to_parts(remote), *to_provider)
    if network.knowledge.relays is None or network.tunnel is None:
        yield Rule(Table.L2, Priority.NORMAL, match(**on, eth_dst=every), outward)
        return
    for destination, _ in _CARRIED:
        yield Rule(Table.L2, Priority.NORMAL, match(**on, eth_dst=destination), outward)
    yield Rule(Table.L2, Priority.KNOWN, match(**on, eth_dst=every), _to_parts(local))
    carried = Flag.FROM_TUNNEL | Flag.RELAYED
    if relays:
        asked = match(**on, **{"eth_dst": every, _FLAGS: (carried, carried)})
        clear = (SetField(FLAGS, 0, Flag.RELAYED), *_FORGET)
        yield Rule(Table.L2, Priority.GUARD, asked, (*clear, *_to_parts(local), *_to_parts(remote)))
    for destination, _ in MARKED:
        # For a relay that this host is not (any more).
        stray = match(**on, **{"eth_dst": destination, _FLAGS: (Flag.FROM_TUNNEL, carried)})
        yield Rule(Table.L2, Priority.GUARD, stray, ())


def _to_others(network: LiveNetwork, hosts: Mapping[str, str]) -> Iterator[Rule]:
    """At a relay: of the part with the host that a packet came from, all others."""
    for part, members in _numbered(REMOTE_PARTS_FROM, hosts, tuple, COPIES_PER_RELAYED_FLOW_MAX):
        for vtep in members:
            source = "tun_ipv4_src" if ip_version(Ip(vtep)) == 4 else "tun_ipv6_src"
            others = [other for other in members if other != vtep]
            came = match(**{_NETWORK: network.key, PART.name.lower(): part, source: ip_int(Ip(vtep))})
            actions = _copies_to_hosts(network)(others) if others else ()
            yield Rule(Table.FLOOD, Priority.SPECIFIC, came, actions)


def _to_takers(
    network: LiveNetwork, view: View, unknown: Sequence[_Part], unknown_abroad: Sequence[_Part]
) -> Iterator[Rule]:
    """Unknown unicast from here: to ports without port security, here and elsewhere, and to the provider bridge."""
    relays = network.id in view.relays and network.tunnel is not None
    is_lazy = is_on_demand(network.id, view)
    to_provider = (Resubmit(Table.PROVIDER),) if network.provider is not None else ()
    to_unknown = (*_to_parts(unknown), *_to_parts(unknown_abroad), *to_provider)
    if to_unknown:
        value = Flag.RESOLVED if is_lazy else 0
        mask = value | (Flag.FROM_TUNNEL if relays else 0)
        on = flagged((in_network(network.key),), value, mask)
        yield Rule(Table.L2_REMOTE, Priority.FALLBACK, on, to_unknown)
    if relays:
        came = _flagged(network, Flag.FROM_TUNNEL, Flag.FROM_TUNNEL)
        yield Rule(Table.L2_REMOTE, Priority.FALLBACK, came, _to_parts(unknown))
    if to_unknown or is_lazy or relays:
        responders = (view.region.responder_mac,) if view.region is not None else ()
        for mac in dict.fromkeys((SERVER_MAC, RELAY_MAC, *responders)):
            yield Rule(Table.L2_REMOTE, Priority.ROUTER, addressed(network.key, mac), ())


def _ends(network: LiveNetwork, view: View, hosts: Iterable[NetworkHost | OpenHost]) -> dict[str, str]:
    """The VTEPs of other hosts that tunnels lead to, by themselves."""
    if network.tunnel is None:
        return {}
    return {host.vtep: host.vtep for host in hosts if is_remote(host.vtep, view)}


def _in_part(network: LiveNetwork, part: int) -> Match:
    return match(**{_NETWORK: network.key, PART.name.lower(): part})


def has_local_mac(network_id: str, mac: str, view: View) -> bool:
    """Whether a port of this host, open or closed, has the MAC in the network. Cost: O(closed ports)."""
    is_closed = any(port.network_id == network_id and port.mac == mac for port in view.closed.values())
    return is_closed or bool(view.ports_with(network_id, mac))


def _local_macs(network_id: str, view: View) -> set[str]:
    closed = {port.mac for port in view.closed.values() if port.network_id == network_id}
    return closed | {view.ports[id].mac for id in view.ports_of(network_id)}


def _other_relays(network: LiveNetwork, view: View) -> Iterator[Term]:
    """From another relay: two of two opinions do not play ball."""
    relays = network.knowledge.relays
    for relay in relays.hosts if relays is not None else ():
        if is_remote(relay.vtep, view):
            version = ip_version(Ip(relay.vtep))
            field = Field.TUN_IPV4_SRC if version == 4 else Field.TUN_IPV6_SRC
            yield Term(field, ip_int(Ip(relay.vtep)))


def _numbered(
    first: int,
    members: Mapping[str, _M],
    made: Callable[[Sequence[_M]], _N],
    size_max: int = COPIES_PER_FLOW_MAX,
) -> list[tuple[int, _N]]:
    return [(first + n, made(part)) for n, part in enumerate(_parts(members, size_max)) if part]


def _to_parts(parts: Sequence[_Part]) -> tuple[Action, ...]:
    # Clones, so that neither the part's number nor a tunnel's end stays with the packet.
    return tuple(Clone((SetField(PART, part), Resubmit(Table.FLOOD))) for part, _ in parts)


def _copies_to_ports(ports: Sequence[LivePort]) -> tuple[Action, ...]:
    return tuple(Clone(deliver(port)) for port in sorted(ports, key=lambda port: port.key))


def _copies_to_hosts(network: LiveNetwork) -> Callable[[Sequence[str]], tuple[Action, ...]]:
    def copies(vteps: Sequence[str]) -> tuple[Action, ...]:
        assert network.tunnel is not None, "without a tunnel there are no other hosts"
        ends: dict[int, list[Action]] = {4: [], 6: []}
        for vtep in sorted(vteps, key=lambda vtep: ip_int(Ip(vtep))):
            ends[ip_version(Ip(vtep))] += (_tunnel_end(vtep), Output(network.tunnel))
        # A packet with ends of both families goes to the IPv4 one, so the IPv6 ends are kept to a clone.
        over_ipv6 = (Clone(tuple(ends[6])),) if ends[6] else ()
        return (SetField(Field.TUN_ID, network.knowledge.network.segmentation_id), *over_ipv6, *ends[4])

    return copies


def _parts(members: Mapping[str, _M], size_max: int) -> list[list[_M]]:
    """The members, by name, in the smallest power of two of parts of at most `size_max`. Cost: O(members)."""
    count = 1
    while True:
        parts: list[list[_M]] = [[] for _ in range(count)]
        for name in sorted(members):
            parts[crc32(name.encode()) & (count - 1)].append(members[name])
        if count >= len(members) or max(map(len, parts)) <= size_max:
            return parts
        count *= 2
