"""Where each kind of item stands in the pipeline's `View`: writing one item into it, or taking it out."""

from collections.abc import Callable
from typing import TypeVar

from alcor.goalstate.bgp_item import BgpRoutesItem, BgpSpeakerItem
from alcor.goalstate.item import (
    CALM,
    Claim,
    HostItem,
    Item,
    ItemKind,
    Key,
    Neighbour,
    NetworkHost,
    NetworkRelays,
    OpenHost,
    QosItem,
    RegionItem,
    RelayItem,
    ReleaseItem,
    RescueItem,
    SubnetItem,
)
from alcor.goalstate.router_item import FloatingIpItem, GatewayItem, RouterItem
from alcor.goalstate.scope import Scope, ScopeKind
from alcor.goalstate.security_item import FirewallItem, Member, NetworkAclItem, Prefix, RulesItem
from alcor.pipeline.view import NetworkView, View

_T = TypeVar("_T", bound=Item)
_Writer = Callable[[View, Scope, Key, Item | None], None]

IF_RESOLVED = frozenset(
    (ItemKind.ROUTER, ItemKind.GATEWAY, ItemKind.FLOATING_IP, ItemKind.RULES, ItemKind.RELAY)
)
"""Kinds that are in the view only while all they refer to is. A local port is always in it: open or closed."""


def as_type(type_: type[_T], item: Item | None) -> _T | None:
    """`item`, which its key says is of `type_`."""
    assert item is None or isinstance(item, type_)
    return item


def show(view: View, scope: Scope, key: Key, item: Item | None) -> None:
    """Write an item of any kind but `LOCAL_PORT` and `NETWORK`; None takes it out. Cost: O(1), and its indexes'.

    What belongs to a network has no place while the network's own item is not there.
    """
    writer = _WRITERS.get(key.kind)
    if writer is not None:
        writer(view, scope, key, item)
    elif scope.kind is ScopeKind.HOSTS and scope.id in view.networks:
        _write(view.networks[scope.id].relayed, key.id, as_type(NetworkHost, item))
    elif scope.id in view.networks:
        _show_in_network(view.networks[scope.id], key, item)


def _show_in_network(network: NetworkView, key: Key, item: Item | None) -> None:
    match key.kind:
        case ItemKind.SUBNET:
            _write(network.subnets, key.id, as_type(SubnetItem, item))
        case ItemKind.NETWORK_HOST:
            _write(network.hosts, key.id, as_type(NetworkHost, item))
        case ItemKind.OPEN_HOST:
            _write(network.open_hosts, key.id, as_type(OpenHost, item))
        case ItemKind.NEIGHBOUR:
            _write(network.neighbours, key.id, as_type(Neighbour, item))
        case ItemKind.NETWORK_ACL:
            _write(network.acls, key.id, as_type(NetworkAclItem, item))
        case ItemKind.CLAIM:
            _write(network.claims, key.id, as_type(Claim, item))
        case ItemKind.NETWORK_RELAYS:
            network.relays = as_type(NetworkRelays, item)
        case _:
            raise AssertionError(f"{key.kind} has no place in the view")


def _host(view: View, scope: Scope, key: Key, item: Item | None) -> None:
    view.host = as_type(HostItem, item)


def _region(view: View, scope: Scope, key: Key, item: Item | None) -> None:
    view.region = as_type(RegionItem, item)


def _release(view: View, scope: Scope, key: Key, item: Item | None) -> None:
    if key.id == CALM:
        view.calm = as_type(ReleaseItem, item)
    else:
        view.release = as_type(ReleaseItem, item)


def _firewall(view: View, scope: Scope, key: Key, item: Item | None) -> None:
    _write(view.firewalls, f"{scope.id}/{key.id}", as_type(FirewallItem, item))


def _member(view: View, scope: Scope, key: Key, item: Item | None) -> None:
    _write_part(view.members, scope.id, key.id, as_type(Member, item))


def _prefix(view: View, scope: Scope, key: Key, item: Item | None) -> None:
    _write_part(view.prefixes, scope.id, key.id, as_type(Prefix, item))


_WRITERS: dict[ItemKind, _Writer] = {
    ItemKind.HOST: _host,
    ItemKind.REGION: _region,
    ItemKind.RELEASE: _release,
    ItemKind.ROUTER: lambda view, _, key, item: _write(view.routers, key.id, as_type(RouterItem, item)),
    ItemKind.GATEWAY: lambda view, _, key, item: _write(view.gateways, key.id, as_type(GatewayItem, item)),
    ItemKind.FLOATING_IP: lambda view, _, key, item: _write(
        view.floating_ips, key.id, as_type(FloatingIpItem, item)
    ),
    ItemKind.RULES: lambda view, _, key, item: _write(view.rules, key.id, as_type(RulesItem, item)),
    ItemKind.QOS: lambda view, _, key, item: _write(view.qos, key.id, as_type(QosItem, item)),
    ItemKind.FIREWALL: _firewall,
    ItemKind.BGP_SPEAKER: lambda view, _, key, item: _write(
        view.bgp_speakers, key.id, as_type(BgpSpeakerItem, item)
    ),
    ItemKind.BGP_ROUTES: lambda view, _, key, item: _write(
        view.bgp_routes, key.id, as_type(BgpRoutesItem, item)
    ),
    ItemKind.RELAY: lambda view, _, key, item: _write(view.relays, key.id, as_type(RelayItem, item)),
    ItemKind.RESCUE: lambda view, _, key, item: _write(view.rescues, key.id, as_type(RescueItem, item)),
    ItemKind.MEMBER: _member,
    ItemKind.PREFIX: _prefix,
}


def _write(items: dict[str, _T], id: str, item: _T | None) -> None:
    if item is None:
        items.pop(id, None)
    else:
        items[id] = item


def _write_part(parts: dict[str, dict[str, _T]], whole: str, id: str, item: _T | None) -> None:
    """A set of items of one scope; there while it has any."""
    if item is not None:
        parts.setdefault(whole, {})[id] = item
    elif whole in parts:
        parts[whole].pop(id, None)
        if not parts[whole]:
            del parts[whole]
