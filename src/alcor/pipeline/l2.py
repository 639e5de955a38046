"""Layer 2: by MAC to a local port or another host; broadcast and multicast (tables L2 to OUTPUT).

Replication happens at the source only: what comes from a tunnel is delivered to local ports and never sent into a
tunnel again, which the order of tables makes certain (L2_REMOTE is reached only without the from-tunnel flag).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import TypeVar
from zlib import crc32

from alcor.goalstate.item import Neighbour
from alcor.model.address import Ip, Mac, ip_int, ip_version, mac_int
from alcor.pipeline.flow import Action, Clone, Field, Output, Resubmit, SetField, Term, match
from alcor.pipeline.live import LiveNetwork, LivePort, is_remote, live_port, owns_mac
from alcor.pipeline.tables import (
    COPIES_PER_FLOW_MAX,
    EGRESS,
    FLAGS,
    LOCAL_PARTS_FROM,
    NETWORK,
    PART,
    REMOTE_PARTS_FROM,
    Flag,
    Priority,
    Table,
)
from alcor.pipeline.unit import SHARED_VALUES_MAX, Rule, in_network
from alcor.pipeline.view import Allocation, View

_M = TypeVar("_M")

_ON = {
    Table.EGRESS_QOS: Table.PUNT,
    Table.EGRESS_CT: Table.ACL_OUT,
    Table.ACL_OUT: Table.L3_ADMIT,
    Table.L3_ADMIT: Table.L2,
    Table.ACL_IN: Table.INGRESS_CT,
    Table.INGRESS_CT: Table.INGRESS_QOS,
    Table.INGRESS_QOS: Table.OUTPUT,
}
_GROUP_BIT = 1 << 40
"""The bit of a MAC address that says broadcast or multicast."""


def shared_rules() -> Iterator[Rule]:
    """A unicast frame that is for no local port goes to other hosts, unless it came from one."""
    from_here = match(**{FLAGS.name.lower(): (0, Flag.FROM_TUNNEL)})
    yield Rule(Table.L2, Priority.MISS, from_here, (Resubmit(Table.L2_REMOTE),))
    # Where nothing is asked of a packet it goes on.
    for table, following in _ON.items():
        yield Rule(table, Priority.MISS, match(), (Resubmit(following),))


def port_rules(port: LivePort, view: View) -> Iterator[Rule]:
    """Delivery to a local port, and the way out of the switch. Two flows."""
    if owns_mac(port.item.id, port.item.mac, port.network.id, view):
        yield Rule(
            Table.L2,
            Priority.NORMAL,
            _addressed(port.network.key, port.item.mac),
            (SetField(EGRESS, port.key), Resubmit(Table.ACL_IN)),
        )
    yield Rule(
        Table.OUTPUT, Priority.NORMAL, match(**{EGRESS.name.lower(): port.key}), (Output(port.ofport),)
    )


def neighbour_rules(neighbour: Neighbour, network: LiveNetwork, view: View) -> Iterator[Rule]:
    """The way to the host that has the port, if it is another one. One flow."""
    if network.tunnel is None or not is_remote(neighbour.vtep, view):
        return
    if owns_mac(neighbour.id, neighbour.mac, network.id, view):
        yield Rule(
            Table.L2_REMOTE,
            Priority.NORMAL,
            _addressed(network.key, neighbour.mac),
            _to_host(network.knowledge.network.segmentation_id, neighbour.vtep, network.tunnel),
        )


def _addressed(network_key: int, mac: str) -> tuple[Term, ...]:
    # In the order of their names, as `match` has them.
    return (Term(Field.ETH_DST, mac_int(Mac(mac))), in_network(network_key))


@lru_cache(SHARED_VALUES_MAX)
def _to_host(vni: int, vtep: str, tunnel: int) -> tuple[Action, ...]:
    return (SetField(Field.TUN_ID, vni), _tunnel_end(vtep), Output(tunnel))


def _tunnel_end(vtep: str) -> SetField:
    field = Field.TUN_IPV4_DST if ip_version(Ip(vtep)) == 4 else Field.TUN_IPV6_DST
    return SetField(field, ip_int(Ip(vtep)))


def flood_rules(network: LiveNetwork, view: View, allocation: Allocation) -> Iterator[Rule]:
    """Broadcast and multicast: each live local port once, and from here one copy to each other host.

    Cost: O(local ports + hosts of the network); 2 flows and one per part. A part holds at most
    `COPIES_PER_FLOW_MAX` copies; which part a member is in depends on its id and on the number of parts (a power of
    two), so that a member that comes or goes changes one flow.
    """
    ports = [live_port(id, view, allocation) for id in view.ports_of(network.id)]
    local = _parts({port.item.id: port for port in ports if port is not None})
    parts = [(LOCAL_PARTS_FROM + n, _copies_to_ports(members)) for n, members in enumerate(local) if members]
    to_local = tuple(_to_part(part) for part, _ in parts)
    if network.tunnel is not None:
        vteps = {host.vtep for host in network.knowledge.hosts.values() if is_remote(host.vtep, view)}
        copies = _copies_to_hosts(network.knowledge.network.segmentation_id, network.tunnel)
        remote = _parts({vtep: vtep for vtep in vteps})
        parts += [(REMOTE_PARTS_FROM + n, copies(members)) for n, members in enumerate(remote) if members]
    key = NETWORK.name.lower()
    group: dict[str, int | tuple[int, int]] = {key: network.key, "eth_dst": (_GROUP_BIT, _GROUP_BIT)}
    from_tunnel = match(**(group | {FLAGS.name.lower(): (Flag.FROM_TUNNEL, Flag.FROM_TUNNEL)}))
    yield Rule(Table.L2, Priority.SPECIFIC, from_tunnel, to_local)
    yield Rule(Table.L2, Priority.NORMAL, match(**group), tuple(_to_part(part) for part, _ in parts))
    for part, actions in parts:
        found = match(**{key: network.key, PART.name.lower(): part})
        yield Rule(Table.FLOOD, Priority.NORMAL, found, actions)


def _to_part(part: int) -> Clone:
    # A clone, so that neither the part's number nor a tunnel's end stays with the packet.
    return Clone((SetField(PART, part), Resubmit(Table.FLOOD)))


def _copies_to_ports(ports: Sequence[LivePort]) -> tuple[Action, ...]:
    keys = sorted(port.key for port in ports)
    return tuple(Clone((SetField(EGRESS, key), Resubmit(Table.ACL_IN))) for key in keys)


def _copies_to_hosts(vni: int, tunnel: int) -> Callable[[Sequence[str]], tuple[Action, ...]]:
    def copies(vteps: Sequence[str]) -> tuple[Action, ...]:
        ends: dict[int, list[Action]] = {4: [], 6: []}
        for vtep in sorted(vteps, key=lambda vtep: ip_int(Ip(vtep))):
            ends[ip_version(Ip(vtep))] += (_tunnel_end(vtep), Output(tunnel))
        # A packet with ends of both families goes to the IPv4 one, so the IPv6 ends are kept to a clone.
        over_ipv6 = (Clone(tuple(ends[6])),) if ends[6] else ()
        return (
            SetField(Field.TUN_ID, vni),
            *over_ipv6,
            *ends[4],
        )

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
