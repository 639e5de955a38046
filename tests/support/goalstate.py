"""Builders of intent rows and changes for goal-state tests; identifiers are short words, to be read in failures."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
from hypothesis import HealthCheck, settings

from alcor.goalstate.compile import compile as compile_states
from alcor.goalstate.graph import Graph, Outcome
from alcor.goalstate.intent import Input, Intent
from alcor.goalstate.item import RegionItem, State, key_of
from alcor.goalstate.node.contract import Handler, ItemNode
from alcor.goalstate.scope import Scope
from alcor.model.catalogue import BY_ENTITY
from alcor.model.change import Change
from alcor.model.host import Host
from alcor.model.network import Network
from alcor.model.port import FixedIp, Port
from alcor.model.resource import Entity
from alcor.model.subnet import Subnet

A_REGION = RegionItem(
    id="region", responder_mac="fe:00:00:00:00:01", dhcp_lease_s=86_400, relay_above=2, flood_above=1
)
"""Networks of three ports and more have relays, if there are gateway hosts."""

UNTIMED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""How properties are run: a busy machine is no failure."""

Rows = dict[tuple[type[Entity], str], Entity]
"""The rows of a region, by kind and id."""


def a_host(id: str, vtep: str | None = "192.0.2.1", **fields: Any) -> Host:
    """A host whose name is `host-<id>`, with one tunnel address (none with `vtep=None`)."""
    addresses = () if vtep is None else (vtep,)
    return Host(
        **{"id": id, "name": f"host-{id}", "vtep_addresses": addresses, "token_digest": "d", **fields}
    )


def a_network(id: str, **fields: Any) -> Network:
    """A VXLAN network with segment 100."""
    return Network(**{"id": id, "mtu": 1450, "provider_segmentation_id": 100, **fields})


def a_subnet(id: str, network_id: str, **fields: Any) -> Subnet:
    """An IPv4 subnet with a gateway."""
    defaults = {"ip_version": 4, "cidr": "10.0.0.0/24", "gateway_ip": "10.0.0.1"}
    return Subnet(**{"id": id, "network_id": network_id, **defaults, **fields})


def a_port(id: str, network_id: str, host: str = "", *ips: str, **fields: Any) -> Port:
    """A port, bound to the host with this id if one is named; its addresses are of subnet `s`. It is in no group."""
    binding = {"binding_host_id": f"host-{host}", "binding_vif_type": "ovs"} if host else {}
    fixed = tuple(FixedIp("s", ip) for ip in ips)
    defaults = {"mac_address": "fa:16:3e:00:00:01", "fixed_ips": fixed, "security_groups": ()}
    return Port(**{"id": id, "network_id": network_id, **binding, **defaults, **fields})


def replaced(row: Entity, **fields: Any) -> Any:
    """The row with other values in some fields."""
    return msgspec.structs.replace(row, **fields)


def rows_of(entities: Iterable[Entity]) -> Rows:
    """Rows by kind and id."""
    return {(type(entity), entity.id): entity for entity in entities}


def changes_between(before: Rows, after: Rows) -> list[Change]:
    """The changes that lead from one region to another: what goes, in no parent's order, then the rest."""
    gone = [_change(key, before[key], None) for key in before if key not in after]
    come = [_change(key, before.get(key), row) for key, row in after.items() if before.get(key) != row]
    return gone + come


def created(row: Entity) -> Change:
    """The change that makes a row."""
    return _change((type(row), row.id), None, row)


def updated(before: Entity, after: Entity) -> Change:
    """The change that replaces a row."""
    return _change((type(after), after.id), before, after)


def deleted(row: Entity) -> Change:
    """The change that removes a row."""
    return _change((type(row), row.id), row, None)


def _change(key: tuple[type[Entity], str], before: Entity | None, after: Entity | None) -> Change:
    return Change(BY_ENTITY[key[0]].name, key[1], before, after)


def a_graph(*rows: Entity, revision: int = 1, **options: Any) -> Graph:
    """A graph loaded from rows, all of which last changed at `revision`."""
    return Graph.load(
        A_REGION, rows, revision=revision, row_revisions={row.id: revision for row in rows}, **options
    )


def expected(rows: Iterable[Entity]) -> dict[Scope, State]:
    """The goal state that the specification gives for these rows."""
    return compile_states(Intent.of(A_REGION, rows))


def states_of(graph: Graph) -> dict[Scope, State]:
    """The goal state that a graph holds."""
    return {scope: graph.state(scope) for scope in graph.scopes()}


def applied(states: Mapping[Scope, State], outcome: Outcome) -> dict[Scope, State]:
    """What a receiver holds after a turn, if it held `states` before it; scopes that became empty are left out."""
    after = {scope: dict(state) for scope, state in states.items()}
    for change in outcome.scopes:
        state = after.setdefault(change.scope, {})
        for key in change.removed:
            del state[key]
        state.update((key_of(entry.item), entry.item) for entry in change.put)
    return {scope: state for scope, state in after.items() if state}


class Unhandling:
    """A node without some of its handlers, so that the graph must fall back to running it whole."""

    def __init__(self, node: ItemNode, without: Sequence[Input]) -> None:
        self._node = node
        self.name, self.kind, self.scope_kind = node.name, node.kind, node.scope_kind
        self.inputs, self.table, self.run = node.inputs, node.table, node.run
        self.handlers: Mapping[Input, Handler] = {
            input: handler for input, handler in node.handlers.items() if input not in without
        }
