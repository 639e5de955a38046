"""Layer 2: by MAC to a local port or another host; broadcast, multicast, unknown unicast (tables L2 to OUTPUT).

Replication happens at the source only, one copy per host of the network, in parts of at most `COPIES_PER_FLOW_MAX`
copies: what comes from a tunnel is delivered to local ports and never sent into a tunnel again, which the order of
tables makes certain (L2_REMOTE is reached from a tunnel only by what a router has sent on). There are three exceptions
in all: a router's, a relay's (`relay`), and a port that has just moved away by live migration, whose packets the old
host sends after it; not back to where it moved, so that two hosts of two opinions do not play ball.

*Unknown unicast*: the ports without port security are the network's unknown set, because they may own MACs that nobody
was given; a frame for such a MAC goes to them, here and on the hosts that hold some, and to the provider bridge. A MAC
that is known is never unknown: if its owner cannot be reached, or two claim it, the frame is dropped. That is decided
where a frame enters: from a tunnel what is for no local port goes to the unknown set here. Of a provider bridge, which
everybody hears, each host asks what it knows.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import TypeVar
from zlib import crc32

from alcor.goalstate.item import Neighbour
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
from alcor.pipeline.on_demand import flagged, is_on_demand
from alcor.pipeline.tables import (
    COPIES_PER_FLOW_MAX,
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
    """Broadcast and multicast: each live local port once, and from here one copy to each other host, or one to the
    provider bridge. Unknown unicast: the same among those that take it.

    Our own servers are not unknown either.

    Cost: O(local ports + hosts of the network); at most 8 flows and one per part. A part holds at most
    `COPIES_PER_FLOW_MAX` copies; which part a member is in depends on its id and on the number of parts (a power of
    two), so that a member that comes or goes changes one flow.
    """
    found = [live_port(id, view, allocation) for id in view.ports_of(network.id)]
    ports = {port.item.id: port for port in found if port is not None}
    hosts = {
        host.vtep: host.takes_unknown
        for host in network.knowledge.hosts.values()
        if network.tunnel is not None and is_remote(host.vtep, view)
    }
    local = _numbered(LOCAL_PARTS_FROM, ports, _copies_to_ports)
    remote = _numbered(REMOTE_PARTS_FROM, {vtep: vtep for vtep in hosts}, _copies_to_hosts(network))
    takers = {id: port for id, port in ports.items() if not port.item.port_security_enabled}
    unknown = _numbered(UNKNOWN_LOCAL_PARTS_FROM, takers, _copies_to_ports)
    abroad = {vtep: vtep for vtep, takes in hosts.items() if takes}
    unknown_abroad = _numbered(UNKNOWN_REMOTE_PARTS_FROM, abroad, _copies_to_hosts(network))
    to_provider = (Resubmit(Table.PROVIDER),) if network.provider is not None else ()
    relays = network.id in view.relays and network.tunnel is not None
    is_lazy = is_on_demand(network.id, view)
    if is_lazy:
        for mac in sorted(_local_macs(network.id, view)):
            yield Rule(Table.L2, Priority.KNOWN, addressed(network.key, mac), ())
    group: dict[str, int | tuple[int, int]] = {_NETWORK: network.key, "eth_dst": (_GROUP_BIT, _GROUP_BIT)}
    for flag in (Flag.FROM_TUNNEL, Flag.FROM_PROVIDER):
        yield Rule(Table.L2, Priority.SPECIFIC, match(**group, **{_FLAGS: (flag, flag)}), _to_parts(local))
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
    yield Rule(
        Table.L2, Priority.NORMAL, match(**group), (*_to_parts(local), *_to_parts(remote), *to_provider)
    )
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
    for part, actions in (*local, *remote, *unknown, *unknown_abroad):
        copied = match(**{_NETWORK: network.key, PART.name.lower(): part})
        yield Rule(Table.FLOOD, Priority.NORMAL, copied, actions)


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


_Part = tuple[int, tuple[Action, ...]]


def _numbered(
    first: int, members: Mapping[str, _M], copies: Callable[[Sequence[_M]], tuple[Action, ...]]
) -> list[_Part]:
    return [(first + n, copies(part)) for n, part in enumerate(_parts(members)) if part]


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


def _parts(members: Mapping[str, _M]) -> list[list[_M]]:
    """The members, by name, in the smallest power of two of parts that holds them. Cost: O(members)."""
    count = 1
    while True:
        parts: list[list[_M]] = [[] for _ in range(count)]
        for name in sorted(members):
            parts[crc32(name.encode()) & (count - 1)].append(members[name])
        if count >= len(members) or max(map(len, parts)) <= COPIES_PER_FLOW_MAX:
            return parts
        count *= 2
