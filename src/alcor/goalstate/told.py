"""Which scopes speak of a row of intent, so that whoever asks about a row can be told of hosts.

Most rows are asked of the nodes themselves: a keyed node knows which keys a fact touches, and where their items are.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from alcor.goalstate.derive.port import routers_of
from alcor.goalstate.fact import HostFact, NetworkFact, PortFact, TrunkFact
from alcor.goalstate.graph import Graph
from alcor.goalstate.intent import KIND_OF, Input
from alcor.goalstate.item import RegionItem, ReleaseItem, SubnetItem
from alcor.goalstate.scope import (
    REGION,
    Scope,
    addresses_scope,
    host_scope,
    members_scope,
    neighbours_scope,
    network_scope,
    router_scope,
)

Told = Callable[[Graph, str, Any], Iterable[Scope]]
"""(graph, row id, fact) → scopes in which the row itself is an item, or a part of one."""


def scopes_of(graph: Graph, kind: str, id: str) -> tuple[Scope, ...] | None:
    """The scopes that say anything of a row, each once; empty if no host needs to know of it.

    `kind`: the resource's name. None: packets never need rows of this kind, or there is no such row.
    Cost: O(items that may say it).
    """
    inputs = KIND_OF.get(kind)
    if inputs is None:
        return None
    found: dict[Scope, None] = {}
    is_known = False
    for input in inputs:
        fact = graph.intent.table(input).get(id)
        if fact is None:
            continue
        is_known = True
        told = _TOLD.get(input)
        if told is not None:
            found.update(dict.fromkeys(told(graph, id, fact)))
        found.update(dict.fromkeys(graph.told_by(input, fact)))
    return tuple(found) if is_known else None


def _of_port(graph: Graph, id: str, port: PortFact) -> Iterator[Scope]:
    placement = graph.placement(id)
    if placement is not None:
        yield host_scope(placement.host_id)
        yield neighbours_scope(port.local.network_id)
    for name in port.standby or ():
        host = graph.intent.host_named(name)
        if host is not None:
            yield host_scope(host.item.id)
    for group in port.local.groups or ():
        yield members_scope(group)


def _of_trunk(graph: Graph, _id: str, trunk: TrunkFact) -> Iterator[Scope]:
    for port_id in (trunk.port_id, *(sub.port_id for sub in trunk.sub_ports)):
        port = graph.intent.ports.get(port_id)
        if port is not None:
            yield from _of_port(graph, port_id, port)


def _of_host(_graph: Graph, id: str, _host: HostFact) -> Iterator[Scope]:
    yield host_scope(id)


def _of_region(_graph: Graph, _id: str, _fact: ReleaseItem | RegionItem) -> Iterator[Scope]:
    yield REGION


def _of_network(graph: Graph, id: str, _network: NetworkFact) -> Iterator[Scope]:
    yield network_scope(id)
    if id in routers_of(graph.intent, id):  # a peered network without a router stands for one
        yield router_scope(id)


def _of_subnet(_graph: Graph, _id: str, subnet: SubnetItem) -> Iterator[Scope]:
    yield network_scope(subnet.network_id)


def _of_address_group(_graph: Graph, id: str, _group: Any) -> Iterator[Scope]:
    yield addresses_scope(id)


_TOLD: Mapping[Input, Told] = {
    Input.PORTS: _of_port,
    Input.TRUNKS: _of_trunk,
    Input.HOSTS: _of_host,
    Input.RELEASES: _of_region,
    Input.SETTINGS: _of_region,
    Input.NETWORKS: _of_network,
    Input.SUBNETS: _of_subnet,
    Input.ADDRESS_GROUPS: _of_address_group,
}
