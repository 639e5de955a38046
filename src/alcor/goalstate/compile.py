"""The specification of the goal state: everything from nothing, in one pass. The graph must always equal it (I3)."""

from alcor.goalstate.derive import neighbour, network_host
from alcor.goalstate.intent import Intent
from alcor.goalstate.item import Item, State, key_of
from alcor.goalstate.scope import REGION, Scope, host_scope, neighbours_scope, network_scope


def compile(intent: Intent) -> dict[Scope, State]:
    """The goal state of every scope that holds anything.

    A port is *placed* iff its binding did not fail and names a host that exists. A placed port is in its host's
    scope; it is a neighbour in its network, and its host is one of the network's hosts, if others can reach
    that host. A port that is administratively down is placed all the same: whoever holds it closes it.

    Total: no order of changes leads to a state this refuses; what is missing is simply not there.
    Cost: O(rows).
    """
    states: dict[Scope, State] = {}

    def add(scope: Scope, item: Item | None) -> None:
        if item is not None:
            states.setdefault(scope, {})[key_of(item)] = item

    add(REGION, intent.region)
    for host in intent.hosts.values():
        add(host_scope(host.id), host)
    for network in intent.networks.values():
        add(network_scope(network.id), network)
    for subnet in intent.subnets.values():
        add(network_scope(subnet.network_id), subnet)
    for port in intent.ports.values():
        placed_on = intent.host_of(port)
        if placed_on is not None:
            network_id = port.local.network_id
            add(host_scope(placed_on.id), port.local)
            add(network_scope(network_id), network_host(placed_on))
            add(neighbours_scope(network_id), neighbour(port, placed_on))
    return states
