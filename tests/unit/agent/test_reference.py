"""References lead on: who is open, and what is in the view, for every way in which knowledge may arrive."""

from collections.abc import Mapping, Sequence
from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alcor.agent.reference import NAMED, Lack, Obstacle
from alcor.agent.scope_store import NOT_HELD, Reference, ScopeStore
from alcor.agent.show import IF_RESOLVED
from alcor.agent.view import HostView
from alcor.bus.interface import Dropped, Heads, ScopeUpdate
from alcor.goalstate.bgp_item import BgpRoutesItem, BgpSpeakerItem
from alcor.goalstate.item import Claim, Item, ItemKind, Key, NetworkRelays, QosItem, RelayItem, key_of
from alcor.goalstate.router_item import FloatingIpItem, GatewayHost, GatewayItem, RouterGateway
from alcor.goalstate.scope import (
    REGION,
    Scope,
    ScopeKind,
    addresses_scope,
    host_scope,
    members_scope,
    neighbours_scope,
    network_scope,
    qos_scope,
    router_scope,
    rules_scope,
    shard_of,
)
from alcor.goalstate.security_item import FirewallItem, Member, NetworkAclItem, Prefix
from alcor.pipeline.resolve import closure, resolve
from alcor.pipeline.view import View
from tests.support.agent import (
    A_HOST,
    A_REGION,
    EPOCH,
    HOST,
    OTHER_VTEP,
    KeptItems,
    envelope,
    local_port,
    neighbour,
    network,
    router,
    rules,
    scope_of,
    subnet,
)

OWN = host_scope(HOST)
CODEC = KeptItems()


def whole(scope: Scope, *items: Item, through: int = 5, since: int = 0) -> ScopeUpdate:
    """A snapshot."""
    put = tuple(envelope(item, since, CODEC) for item in items)
    return ScopeUpdate(scope=scope, epoch=EPOCH, generation=1, from_revision=0, through=through, put=put)


def a_view() -> HostView:
    """A view that knows nothing yet."""
    view = HostView(HOST, CODEC)
    view.begin(EPOCH)
    return view


A_PORT = local_port(1, routers=("router",), groups=("group",), qos="gold")
A_REGION_OF_ONE_PORT: dict[Scope, tuple[Item, ...]] = {
    network_scope("net"): (network(), subnet()),
    neighbours_scope("net"): (neighbour(1),),
    router_scope("router"): (router(networks=("net", "far")),),
    network_scope("far"): (network("far", 200),),
    neighbours_scope("far"): (),
    rules_scope("group"): (rules("group", ("friends",), ("list",)),),
    members_scope("friends"): (Member(id="port-7", cidrs=("10.0.0.7/32",)),),
    addresses_scope("list"): (Prefix(id="192.0.2.0/24"),),
    qos_scope("gold"): (QosItem(id="gold"),),
}
"""Everything that one port refers to, directly and through its router and group."""


@pytest.mark.parametrize("missing", list(A_REGION_OF_ONE_PORT), ids=str)
def test_a_port_is_closed_while_anything_behind_it_is_missing(missing: Scope) -> None:
    """Whichever one scope of a port's closure is missing, the port is closed, and its obstacle is that scope (I10)."""
    view = a_view()
    held = [whole(scope, *items) for scope, items in A_REGION_OF_ONE_PORT.items() if scope != missing]
    view.apply([*held, whole(REGION, A_REGION), whole(OWN, A_HOST, A_PORT)])

    assert view.resolved.closed.keys() == {"port-1"}
    assert view.resolved.ports == {}
    assert view.obstacles("port-1") == (Obstacle(missing, Lack.MISSING),)
    assert view.missing() == [missing]
    assert not view.in_sync

    changes = view.apply([whole(missing, *A_REGION_OF_ONE_PORT[missing])])
    assert view.resolved.ports.keys() == {"port-1"}
    assert changes.reopened == {"port-1"}
    assert view.obstacles("port-1") == ()
    assert view.in_sync


@pytest.mark.parametrize("missing", list(A_REGION_OF_ONE_PORT), ids=str)
def test_a_port_closes_when_anything_behind_it_goes(missing: Scope) -> None:
    """Whichever one scope of an open port's closure is dropped, the port closes."""
    view = a_view()
    held = [whole(scope, *items) for scope, items in A_REGION_OF_ONE_PORT.items()]
    view.apply([*held, whole(REGION, A_REGION), whole(OWN, A_HOST, A_PORT)])
    assert view.resolved.ports.keys() == {"port-1"}

    changes = view.apply([Dropped(missing)])

    assert view.resolved.closed.keys() == {"port-1"}
    assert changes.reopened == {"port-1"}
    assert not view.in_sync


@pytest.mark.parametrize(
    ("scope", "is_open"),
    [
        (network_scope("net"), False),
        (network_scope("far"), False),
        (router_scope("router"), False),
        (rules_scope("group"), False),
        (qos_scope("gold"), False),
        (neighbours_scope("far"), True),
        (members_scope("friends"), True),
        (addresses_scope("list"), True),
    ],
    ids=str,
)
def test_what_is_held_and_empty(scope: Scope, is_open: bool) -> None:
    """A network, router, group or policy without its own item is unknown and closes; an empty set is an empty set."""
    view = a_view()
    held = [whole(one, *(items if one != scope else ())) for one, items in A_REGION_OF_ONE_PORT.items()]
    view.apply([*held, whole(REGION, A_REGION), whole(OWN, A_HOST, A_PORT)])

    assert ("port-1" in view.resolved.ports) is is_open
    assert view.obstacles("port-1") == (() if is_open else (Obstacle(scope, Lack.EMPTY),))
    # Nothing more will arrive, so nobody waits for it.
    assert view.in_sync


def test_since_counts_in_every_reference() -> None:
    """A group whose rules name a set since revision 9 is unknown until that set is held through 9, and so its ports."""
    view = a_view()
    held = [whole(scope, *items) for scope, items in A_REGION_OF_ONE_PORT.items()]
    view.apply([*held, whole(REGION, A_REGION), whole(OWN, A_HOST, A_PORT)])
    group = A_REGION_OF_ONE_PORT[rules_scope("group")]

    changes = view.apply([whole(rules_scope("group"), *group, through=9, since=9)])
    assert view.resolved.rules == {}
    assert view.resolved.closed.keys() == {"port-1"}
    assert [(change.key.kind, change.after) for change in changes.items] == [(ItemKind.RULES, None)]
    assert set(view.obstacles("port-1")) == {
        Obstacle(members_scope("friends"), Lack.OLD),
        Obstacle(addresses_scope("list"), Lack.OLD),
    }

    shards = {shard_of(members_scope("friends")): 9, shard_of(addresses_scope("list")): 9}
    view.apply([Heads(epoch=EPOCH, generation=1, through=shards)])
    assert view.resolved.rules.keys() == {"group"}
    assert view.resolved.ports.keys() == {"port-1"}


def test_unresolved_gateways_and_floating_ips_are_not_shown() -> None:
    """A gateway and a floating IP are in the view exactly while their router and external network are resolved."""
    gateway = GatewayItem(id="router", networks=("out",))
    floating_ip = FloatingIpItem(
        id="fip", ip="203.0.113.9", mac="fe:00:00:00:00:09", network_id="out", router_id="router"
    )
    parts = [
        whole(OWN, A_HOST, gateway, floating_ip),
        whole(router_scope("router"), router()),
        whole(network_scope("net"), network()),
        whole(neighbours_scope("net")),
        whole(network_scope("out"), network("out", 0, network_type="flat", is_external=True)),
    ]

    for order in permutations(parts):
        view = a_view()
        for number, part in enumerate(order):
            view.apply([part])
            is_whole = number == len(parts) - 1
            assert (view.resolved.gateways == {"router": gateway}) is is_whole
            assert (view.resolved.floating_ips == {"fip": floating_ip}) is is_whole


def test_a_group_of_many_is_judged_by_what_waits() -> None:
    """A step of a scope with 10,000 items that nobody waits for judges nobody anew."""
    view = a_view()
    members = [Member(id=f"port-{n}", cidrs=(f"10.{n >> 8}.{n & 255}.1/32",)) for n in range(10_000)]
    held = [whole(scope, *items) for scope, items in A_REGION_OF_ONE_PORT.items()]
    view.apply([*held, whole(OWN, A_HOST, A_PORT), whole(members_scope("friends"), *members, through=6)])
    references = view._references
    assert not references._to_judge

    references.rose(members_scope("friends"))

    assert not references._to_judge
    assert len(view.resolved.members["friends"]) == 10_000


# --- from nothing ------------------------------------------------------------------------------------------

NETWORKS, ROUTERS, GROUPS = ("n1", "n2"), ("r1", "r2"), ("g1", "g2")
_some = st.sampled_from
_sets = {name: st.frozensets(_some(name)) for name in (NETWORKS, ROUTERS, GROUPS)}
_ports = st.builds(
    lambda number, net, routers, groups, qos: local_port(
        number, net, routers=tuple(sorted(routers)), groups=tuple(sorted(groups)), qos=qos
    ),
    st.integers(1, 2),
    _some(NETWORKS),
    _sets[ROUTERS],
    _sets[GROUPS],
    _some((None, "gold")),
)


def _a_router(id: str, inner: frozenset[str], qos: str | None) -> Item:
    outer = RouterGateway(id="g", network_id="n1", mac="fe:00:00:00:00:02", addresses=(), snat=True, qos=qos)
    return router(id, inner, gateways=(outer,))


_placed: st.SearchStrategy[tuple[Scope, Item]] = st.one_of(
    _ports.map(lambda item: (OWN, item)),
    st.builds(lambda net, vni: network(net, vni), _some(NETWORKS), st.integers(1, 2)).map(
        lambda item: (scope_of(item), item)
    ),
    st.builds(_a_router, _some(ROUTERS), _sets[NETWORKS], _some((None, "gold"))).map(
        lambda item: (scope_of(item), item)
    ),
    st.builds(rules, _some(GROUPS), _sets[GROUPS], st.frozensets(_some(("a1",)))).map(
        lambda item: (scope_of(item), item)
    ),
    st.tuples(_some(ROUTERS), _sets[NETWORKS]).map(
        lambda one: (OWN, GatewayItem(id=one[0], networks=tuple(sorted(one[1]))))
    ),
    st.builds(
        lambda r, n, qos: FloatingIpItem(
            id="fip", ip="192.0.2.9", mac="m", network_id=n, router_id=r, qos=qos
        ),
        _some(ROUTERS),
        _some(NETWORKS),
        _some((None, "gold")),
    ).map(lambda item: (OWN, item)),
    st.tuples(_some(GROUPS), st.integers(1, 2)).map(
        lambda one: (members_scope(one[0]), Member(id=f"port-{one[1]}", cidrs=(f"10.0.0.{one[1]}/32",)))
    ),
    st.tuples(_some(NETWORKS), st.integers(1, 2)).map(
        lambda one: (neighbours_scope(one[0]), neighbour(one[1], vtep=OTHER_VTEP))
    ),
    _some(NETWORKS).map(
        lambda net: (neighbours_scope(net), Claim(id="10.0.0.9", mac="m", port_id="p", host_id="h", vtep="v"))
    ),
    _some(NETWORKS).map(lambda net: (network_scope(net), NetworkAclItem(id="acl", cidrs=(), rules=()))),
    _some((OWN, *map(router_scope, ROUTERS))).map(
        lambda scope: (scope, FirewallItem(id="fw", ports=(), ingress=(), egress=()))
    ),
    st.just((addresses_scope("a1"), Prefix(id="192.0.2.0/24"))),
    st.just((qos_scope("gold"), QosItem(id="gold"))),
    _some(NETWORKS).map(lambda net: (OWN, RelayItem(id=net))),
    _some(NETWORKS).map(
        lambda net: (network_scope(net), NetworkRelays(id=net, hosts=(GatewayHost("h", "192.0.2.7"),)))
    ),
    st.just((OWN, BgpSpeakerItem(id="v", local_as=1, ip_version=4, peers=()))),
    st.just((OWN, BgpRoutesItem(id="v/r", speaker_id="v", router_id="r", routes=()))),
    st.just((OWN, A_HOST)),
    st.just((REGION, A_REGION)),
)
SCOPES = (
    OWN,
    REGION,
    *(kind(id) for id in NETWORKS for kind in (network_scope, neighbours_scope)),
    *map(router_scope, ROUTERS),
    *(kind(id) for id in GROUPS for kind in (rules_scope, members_scope)),
    addresses_scope("a1"),
    qos_scope("gold"),
)
# (scope, from, through, put, remove from what was put before, since, whether more follows)
_updates = st.tuples(
    st.integers(0, 4), st.integers(0, 5), st.lists(_placed, max_size=4), st.integers(0, 5), st.booleans()
)
_steps = st.one_of(
    _updates.map(lambda one: ("update", *one)),
    st.tuples(st.just("heads"), st.integers(1, 6)),
    st.tuples(st.just("drop"), _some(SCOPES)),
    st.tuples(st.just("remove"), _some(SCOPES), st.integers(0, 5)),
    st.tuples(st.just("whole"), st.integers(0, 5)),
)


class FromNothing:
    """The same messages, held by the rules of delivery, and resolved anew by the definition."""

    def __init__(self) -> None:
        self.store = ScopeStore(OWN, CODEC)
        self.store.begin(EPOCH)
        self.since: dict[tuple[Scope, Key], Reference] = {}

    def apply(self, message: ScopeUpdate | Heads | Dropped) -> None:
        """As the view does."""
        if isinstance(message, Heads):
            self.store.follow(message)
        elif isinstance(message, Dropped):
            if message.scope not in (OWN, REGION):
                self.store.drop(message.scope)
        elif (step := self.store.take(message)) is not None:
            for entry in step.entries:
                self.since[step.scope, entry.key] = entry.reference

    def shown(self) -> dict[tuple[Scope, Key], Item]:
        """Every item that belongs in the view; ports are in it, open or closed."""
        return {
            (scope, key): item
            for scope in SCOPES
            if self.has_place(scope)
            for key, item in self.store.items(scope).items()
            if key.kind not in IF_RESOLVED or self.is_resolved(scope, key)
        }

    def has_place(self, scope: Scope) -> bool:
        """Whether what a scope holds can stand in the view: not what belongs to an unknown network."""
        if scope.kind not in (ScopeKind.NETWORK, ScopeKind.NEIGHBOURS):
            return True
        return Key(ItemKind.NETWORK, scope.id) in self.store.items(network_scope(scope.id))

    def is_resolved(self, scope: Scope, key: Key) -> bool:
        """The definition, word for word."""
        since, targets = self.since.get((scope, key), Reference(0, ()))
        return all(
            self.store.height(target) >= (self.store.height(scope)[0], since)
            and self.is_known(target)
            and all(self.is_resolved(target, inner) for inner in self.store.items(target))
            for target in targets
        )

    def is_known(self, scope: Scope) -> bool:
        """Whether a scope is held, with the item it is named after."""
        kind = NAMED.get(scope.kind)
        is_held = self.store.height(scope) != NOT_HELD
        return is_held and (kind is None or Key(kind, scope.id) in self.store.items(scope))


def flat(view: View) -> dict[tuple[Scope, Key], Item]:
    """Every item of the view, by the place it is from."""
    items: list[tuple[Scope, Item]] = []

    def add(scope: Scope, *found: Item | None) -> None:
        items.extend((scope, item) for item in found if item is not None)

    add(OWN, view.host, *view.ports.values(), *view.closed.values())
    add(OWN, *view.gateways.values(), *view.floating_ips.values())
    add(OWN, *view.bgp_speakers.values(), *view.bgp_routes.values(), *view.relays.values())
    add(REGION, view.region)
    for router_item in view.routers.values():
        add(router_scope(router_item.id), router_item)
    for rules_item in view.rules.values():
        add(rules_scope(rules_item.id), rules_item)
    for policy in view.qos.values():
        add(qos_scope(policy.id), policy)
    for id, members in view.members.items():
        add(members_scope(id), *members.values())
    for id, prefixes in view.prefixes.items():
        add(addresses_scope(id), *prefixes.values())
    for name, firewall in view.firewalls.items():
        id = name.removesuffix(f"/{firewall.id}")
        add(OWN if id == HOST else router_scope(id), firewall)
    for id, one in view.networks.items():
        add(network_scope(id), one.network, *one.subnets.values(), *one.hosts.values(), *one.acls.values())
        add(network_scope(id), one.relays)
        add(neighbours_scope(id), *one.neighbours.values(), *one.claims.values())
    found = {(scope, key_of(item)): item for scope, item in items}
    assert len(found) == len(items)
    return found


@settings(deadline=None)
@given(st.lists(st.lists(_steps, max_size=4), max_size=12))
def test_incremental_equals_from_nothing(story: list[list[tuple[object, ...]]]) -> None:
    """After any steps, gaps, heads, drops and chunks in any order the view holds exactly what the definition resolves,
    and the changes that were told lead from each view to the next."""
    view, oracle = a_view(), FromNothing()
    told: dict[tuple[Scope, Key], Item] = {}
    for chapter in story:
        messages = [message for step in chapter for message in _messages(step, oracle.store)]
        was_open = {id: id in view.resolved.ports for id in (*view.resolved.ports, *view.resolved.closed)}
        changes = view.apply(messages)
        for message in messages:
            oracle.apply(message)

        assert flat(view.resolved) == oracle.shown()
        _check_openness(view, oracle)
        is_open = {id: id in view.resolved.ports for id in (*view.resolved.ports, *view.resolved.closed)}
        assert changes.reopened == {id for id in was_open if is_open.get(id, was_open[id]) != was_open[id]}
        for change in changes.items:
            told.pop((change.scope, change.key), None)
            if change.after is not None:
                told[change.scope, change.key] = change.after
        assert {place: item for place, item in told.items() if oracle.has_place(place[0])} == oracle.shown()


def _check_openness(view: HostView, oracle: FromNothing) -> None:
    found, store = view.resolved, oracle.store
    for key in store.items(OWN):
        if key.kind is ItemKind.LOCAL_PORT:
            is_resolved = oracle.is_resolved(OWN, key)
            assert (key.id in found.ports, key.id in found.closed) == (is_resolved, not is_resolved)
            assert bool(view.obstacles(key.id)) is not is_resolved
    states = {scope: dict(store.items(scope)) for scope in SCOPES}
    lacking = {scope for scope in closure(states, HOST) if store.height(scope) == NOT_HELD}
    assert set(view.missing()) >= lacking
    if view.in_sync:
        assert not lacking
        whole_view = resolve(states, HOST)
        assert (found.ports, found.closed) == (whole_view.ports, whole_view.closed)
        assert (found.gateways, found.floating_ips) == (whole_view.gateways, whole_view.floating_ips)
        assert flat(whole_view).items() <= flat(found).items()


def _messages(step: tuple[object, ...], store: ScopeStore) -> Sequence[ScopeUpdate | Heads | Dropped]:
    match step:
        case ("heads", int(through)):
            shards = {shard_of(scope): through for scope in SCOPES}
            return [Heads(epoch=EPOCH, generation=1, through=shards)]
        case ("drop", Scope() as scope):
            return [Dropped(scope)]
        case ("whole", int(since)):
            return [whole(scope, *_default(scope), through=5, since=since) for scope in SCOPES]
        case ("remove", Scope() as scope, int(start)):
            removed = tuple(key for key in list(store.items(scope))[:1])
            return [
                ScopeUpdate(
                    scope=scope,
                    epoch=EPOCH,
                    generation=1,
                    from_revision=start,
                    through=start + 1,
                    removed=removed,
                )
            ]
        case ("update", int(start), int(length), list(placed), int(since), bool(more)):
            by_scope: dict[Scope, dict[Key, Item]] = {}
            for scope, item in placed:
                by_scope.setdefault(scope, {})[key_of(item)] = item
            return [
                ScopeUpdate(
                    scope=scope,
                    epoch=EPOCH,
                    generation=1,
                    from_revision=start,
                    through=start + length,
                    put=tuple(envelope(item, since, CODEC) for item in items.values()),
                    more=more and start == 0,
                )
                for scope, items in by_scope.items()
            ]
    raise AssertionError(step)


def _default(scope: Scope) -> tuple[Item, ...]:
    defaults: Mapping[Scope, tuple[Item, ...]] = {
        OWN: (A_HOST, local_port(1, "n1", routers=("r1",), groups=("g1",), qos="gold")),
        REGION: (A_REGION,),
        network_scope("n1"): (network("n1", 1),),
        network_scope("n2"): (network("n2", 2),),
        router_scope("r1"): (router("r1", NETWORKS),),
        rules_scope("g1"): (rules("g1", ("g2",), ("a1",)),),
        qos_scope("gold"): (QosItem(id="gold"),),
    }
    return defaults.get(scope, ())
