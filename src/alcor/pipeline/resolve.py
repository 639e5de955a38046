"""The view of a host that holds its whole closure: goal state to `View`, from nothing, in one pass.

The specification of what an agent's view comes to when everything has arrived; also what a trace through intent looks
at. An item that refers to a scope nobody has is not resolved, and whoever refers to it is not either (I10).
"""

from collections.abc import Collection, Mapping

from alcor.goalstate.bgp_item import BgpRoutesItem, BgpSpeakerItem
from alcor.goalstate.item import (
    CALM,
    Claim,
    HostItem,
    Item,
    ItemKind,
    Key,
    LocalPort,
    Neighbour,
    NetworkHost,
    NetworkItem,
    NetworkRelays,
    OpenHost,
    QosItem,
    RegionItem,
    RelayItem,
    ReleaseItem,
    RescueItem,
    SubnetItem,
    parts,
    refers,
)
from alcor.goalstate.router_item import FloatingIpItem, GatewayItem, RouterItem
from alcor.goalstate.scope import REGION, Scope, ScopeKind, host_scope
from alcor.goalstate.security_item import FirewallItem, Member, NetworkAclItem, Prefix, RulesItem
from alcor.pipeline.view import NetworkView, View

_Items = Mapping[Key, Item]
# Of these scopes the item after which they are named, with its parts, says whether they are known at all.
_NAMED = {
    ScopeKind.NETWORK: ItemKind.NETWORK,
    ScopeKind.ROUTER: ItemKind.ROUTER,
    ScopeKind.RULES: ItemKind.RULES,
    ScopeKind.QOS: ItemKind.QOS,
}


def closure(states: Mapping[Scope, _Items], host_id: str) -> list[Scope]:
    """Every scope a host must hold, each once, whether it holds anything or not. Cost: O(items of the closure)."""
    found: dict[Scope, None] = {}
    pending = [host_scope(host_id), REGION]
    while pending:
        scope = pending.pop()
        if scope not in found:
            found[scope] = None
            for item in states.get(scope, {}).values():
                pending += refers(item)
    return list(found)


def resolve(
    states: Mapping[Scope, _Items], host_id: str, closed: Collection[str] = (), lazy: Collection[Scope] = ()
) -> View:
    """What a host that received its whole closure knows. `closed`: ports that are closed in any case; `lazy`: scopes of
    which it holds on demand what `states` have of them.

    Cost: O(items of the closure).
    """
    scopes = sorted(closure(states, host_id))
    known = {scope for scope in scopes if _is_known(states, scope)}
    view = View(lazy=set(lazy))
    for scope in scopes:
        network = states.get(scope, {})
        for item in network.values():
            if isinstance(item, NetworkItem):
                view.networks[scope.id] = NetworkView(item)
    for scope in scopes:
        for item in states.get(scope, {}).values():
            if all(_is_resolved(target, states, known) for target in refers(item)):
                _show(view, scope, item, closed)
            elif isinstance(item, LocalPort):
                view.closed[item.id] = item
    return view


def _is_known(states: Mapping[Scope, _Items], scope: Scope) -> bool:
    named, state = _NAMED.get(scope.kind), states.get(scope, {})
    if named is None:
        return True
    item = state.get(Key(named, scope.id))
    return item is not None and all(key in state for key in parts(item))


def _is_resolved(scope: Scope, states: Mapping[Scope, _Items], known: Collection[Scope]) -> bool:
    """Depth is bounded by the closure's (`CLOSURE_DEPTH_MAX`)."""
    return scope in known and all(
        _is_resolved(target, states, known)
        for item in states.get(scope, {}).values()
        for target in refers(item)
    )


def _show(view: View, scope: Scope, item: Item, closed: Collection[str]) -> None:
    match item:
        case HostItem():
            view.host = item
        case RegionItem():
            view.region = item
        case ReleaseItem(id=id):
            if id == CALM:
                view.calm = item
            else:
                view.release = item
        case LocalPort():
            (view.closed if item.id in closed else view.ports)[item.id] = item
        case RouterItem():
            view.routers[item.id] = item
        case GatewayItem():
            view.gateways[item.id] = item
        case FloatingIpItem():
            view.floating_ips[item.id] = item
        case RulesItem():
            view.rules[item.id] = item
        case Member():
            view.members.setdefault(scope.id, {})[item.id] = item
        case Prefix():
            view.prefixes.setdefault(scope.id, {})[item.id] = item
        case QosItem():
            view.qos[item.id] = item
        case FirewallItem():
            view.firewalls[f"{scope.id}/{item.id}"] = item
        case BgpSpeakerItem():
            view.bgp_speakers[item.id] = item
        case BgpRoutesItem():
            view.bgp_routes[item.id] = item
        case RescueItem():
            view.rescues[item.id] = item
        case RelayItem():
            view.relays[item.id] = item
        case NetworkItem():
            pass
        case _:
            if scope.id not in view.networks:
                return
            if isinstance(item, NetworkHost) and scope.kind is ScopeKind.HOSTS:
                view.networks[scope.id].relayed[item.id] = item
            else:
                _show_in_network(view.networks[scope.id], item)


def _show_in_network(network: NetworkView, item: Item) -> None:
    match item:
        case SubnetItem():
            network.subnets[item.id] = item
        case NetworkHost():
            network.hosts[item.id] = item
        case OpenHost():
            network.open_hosts[item.id] = item
        case Neighbour():
            network.neighbours[item.id] = item
        case NetworkAclItem():
            network.acls[item.id] = item
        case Claim():
            network.claims[item.id] = item
        case NetworkRelays():
            network.relays = item
