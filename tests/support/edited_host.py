"""A host whose view and numbers are edited at random: each edit says what it touches, as the agent would."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import hypothesis.strategies as st
import msgspec

from alcor.goalstate.item import (
    Address,
    Claim,
    HostItem,
    Item,
    LocalPort,
    Neighbour,
    NetworkHost,
    NetworkItem,
    OpenHost,
    QosItem,
    RegionItem,
    SubnetItem,
    key_of,
)
from alcor.goalstate.router_item import InterfaceAddress, RouterInterface, RouterItem
from alcor.goalstate.scope import (
    REGION,
    Scope,
    addresses_scope,
    host_scope,
    members_scope,
    neighbours_scope,
    network_scope,
    qos_scope,
    router_scope,
    rules_scope,
)
from alcor.goalstate.security_item import (
    FirewallItem,
    GroupRule,
    Member,
    NetworkAclItem,
    Prefix,
    RulesItem,
)
from alcor.pipeline.compile import (
    affected,
    flows,
    found,
    unit_flows,
    units,
)
from alcor.pipeline.feature import ItemChange, Local, LocalChange
from alcor.pipeline.flow import Flow, FlowKey
from alcor.pipeline.prerequisite import check
from alcor.pipeline.unit import Unit
from alcor.pipeline.view import Allocation, NetworkView, View
from tests.support.edited_items import (
    CIDRS,
    INTERFACES,
    IPS,
    MACS,
    NETWORKS,
    PORTS,
    SET_CIDRS,
    VTEPS,
    acls,
    claims,
    firewalls,
    host_items,
    local_ports,
    members,
    neighbours,
    network_hosts,
    network_items,
    open_hosts,
    policies,
    prefixes,
    region_items,
    routers,
    rules,
    subnets,
)


@dataclass
class Host:
    """A host that keeps its flows by units, as an agent does."""

    view: View = field(default_factory=View)
    allocation: Allocation = field(default_factory=Allocation)
    touched: list[Callable[[], set[Unit]]] = field(default_factory=list)
    removed: set[Unit] = field(default_factory=set)
    by_unit: dict[Unit, tuple[Flow, ...]] = field(default_factory=dict)

    def change(self, scope: Scope, before: Item | None, after: Item | None) -> None:
        item = after if after is not None else before
        if item is not None:
            self.touched.append(lambda: affected(ItemChange(scope, key_of(item), before, after), self.view))

    def settle(self) -> None:
        """End a batch: recompute what it touched, as seen in the view after it."""
        found = {unit for touched in self.touched for unit in touched()} | self.removed
        for unit in found:
            self.by_unit[unit] = unit_flows(unit, self.view, self.allocation)
        self.touched, self.removed = [], set()

    @property
    def kept(self) -> dict[FlowKey, Flow]:
        return {flow.key: flow for owned in self.by_unit.values() for flow in owned}

    # Edits, each by one item and one choice.

    def put_port(self, port: LocalPort, open: bool) -> None:
        before = self.view.ports.pop(port.id, None) or self.view.closed.pop(port.id, None)
        (self.view.ports if open else self.view.closed)[port.id] = port
        self.change(host_scope("h1"), before, port)
        self.touched.append(lambda: found(LocalChange(Local.PORT, port.id), self.view))

    def replace_port(self, port: LocalPort, _: bool) -> None:
        """In place, as an update of an open port is."""
        before = self.view.ports.get(port.id)
        if before is not None:
            self.view.ports[port.id] = port
            self.change(host_scope("h1"), before, port)

    def remove_port(self, port: LocalPort, _: bool) -> None:
        before = self.view.ports.pop(port.id, None) or self.view.closed.pop(port.id, None)
        self.change(host_scope("h1"), before, None)

    def move_port(self, port: LocalPort, _: bool) -> None:
        for source, target in (
            (self.view.ports, self.view.closed),
            (self.view.closed, self.view.ports),
        ):
            if port.id in source:
                target[port.id] = source.pop(port.id)
                break
        self.touched.append(lambda: found(LocalChange(Local.PORT, port.id), self.view))

    def number_port(self, port: LocalPort, numbered: bool) -> None:
        self.allocation.port_keys.pop(port.id, None)
        if numbered:
            self.allocation.port_keys[port.id] = 1 + PORTS.index(port.id)
        self.touched.append(lambda: found(LocalChange(Local.PORT, port.id), self.view))

    def plug_port(self, port: LocalPort, plugged: bool) -> None:
        self.allocation.ofports.pop(port.id, None)
        if plugged:
            self.allocation.ofports[port.id] = 10 * (1 + PORTS.index(port.id)) + len(port.addresses)
        self.touched.append(lambda: found(LocalChange(Local.PORT, port.id), self.view))

    def put_network(self, item: NetworkItem, _: bool) -> None:
        known = self.view.networks.get(item.id)
        before = known.network if known is not None else None
        if known is None:
            self.view.networks[item.id] = NetworkView(item)
        else:
            known.network = item
        self.change(network_scope(item.id), before, item)

    def remove_network(self, item: NetworkItem, _: bool) -> None:
        known = self.view.networks.get(item.id)
        if known is not None:
            self.removed |= found(LocalChange(Local.NETWORK, item.id), self.view)
            del self.view.networks[item.id]
            self.change(network_scope(item.id), known.network, None)

    def number_network(self, item: NetworkItem, numbered: bool) -> None:
        self.allocation.network_keys.pop(item.id, None)
        if numbered:
            self.allocation.network_keys[item.id] = 1 + NETWORKS.index(item.id)
        self.touched.append(lambda: found(LocalChange(Local.NETWORK, item.id), self.view))

    def put_host(self, item: HostItem, there: bool) -> None:
        before, self.view.host = self.view.host, item if there else None
        self.change(host_scope("h1"), before, self.view.host)

    def put_region(self, item: RegionItem, there: bool) -> None:
        before, self.view.region = self.view.region, item if there else None
        self.change(REGION, before, self.view.region)

    def put_rules(self, item: RulesItem, there: bool) -> None:
        before = self.view.rules.pop(item.id, None)
        if there:
            self.view.rules[item.id] = item
        self.change(rules_scope(item.id), before, item if there else None)

    def put_firewall(self, scope_id: str, item: FirewallItem, there: bool) -> None:
        scope = router_scope(scope_id) if scope_id == "router" else host_scope(scope_id)
        before = self.view.firewalls.pop(f"{scope_id}/{item.id}", None)
        if there:
            self.view.firewalls[f"{scope_id}/{item.id}"] = item
        self.change(scope, before, item if there else None)

    def put_router(self, item: RouterItem, there: bool) -> None:
        before = self.view.routers.pop(item.id, None)
        self.allocation.router_keys[item.id] = 1
        if there:
            self.view.routers[item.id] = item
        self.change(router_scope(item.id), before, item if there else None)

    def put_in_set(self, set_id: str, item: Member | Prefix, there: bool) -> None:
        before: Item | None
        match item:
            case Member():
                scope = members_scope(set_id)
                members = self.view.members.setdefault(set_id, {})
                before = members.pop(item.id, None)
                if there:
                    members[item.id] = item
            case Prefix():
                scope = addresses_scope(set_id)
                prefixes = self.view.prefixes.setdefault(set_id, {})
                before = prefixes.pop(item.id, None)
                if there:
                    prefixes[item.id] = item
        self.change(scope, before, item if there else None)

    def put_tunnel(self, there: bool) -> None:
        self.allocation.tunnels = {"vxlan": 1, "gre": 2} if there else {}
        self.touched.append(lambda: found(LocalChange(Local.TUNNELS), self.view))

    def put_provider(self, there: bool) -> None:
        self.allocation.providers = {"physnet": 3} if there else {}
        self.touched.append(lambda: found(LocalChange(Local.PROVIDERS), self.view))

    def arrive_port(self, port_id: str, there: bool) -> None:
        self.allocation.arrived.discard(port_id)
        if there:
            self.allocation.arrived.add(port_id)
        self.touched.append(lambda: found(LocalChange(Local.ARRIVED, port_id), self.view))

    def forward_port(self, port_id: str, vtep: str) -> None:
        self.allocation.forwarding.pop(port_id, None)
        if vtep:
            self.allocation.forwarding[port_id] = vtep
        self.touched.append(lambda: found(LocalChange(Local.FORWARDING, port_id), self.view))

    def put_policy(self, item: QosItem, there: bool) -> None:
        before = self.view.qos.pop(item.id, None)
        if there:
            self.view.qos[item.id] = item
        self.change(qos_scope(item.id), before, item if there else None)

    def put_services(self, there: bool) -> None:
        self.allocation.metadata_ofport = 9 if there else 0
        self.touched.append(lambda: found(LocalChange(Local.METADATA), self.view))

    def put_member(
        self,
        network_id: str,
        item: Neighbour | SubnetItem | NetworkHost | OpenHost | NetworkAclItem | Claim,
        there: bool,
    ) -> None:
        known = self.view.networks.get(network_id)
        if known is None:
            return
        scope = network_scope(network_id)
        before: Item | None
        match item:
            case Neighbour():
                scope = neighbours_scope(network_id)
                before = known.neighbours.pop(item.id, None)
                if there:
                    known.neighbours[item.id] = item
            case Claim():
                scope = neighbours_scope(network_id)
                before = known.claims.pop(item.id, None)
                if there:
                    known.claims[item.id] = item
            case SubnetItem():
                before = known.subnets.pop(item.id, None)
                if there:
                    known.subnets[item.id] = item
            case NetworkHost():
                before = known.hosts.pop(item.id, None)
                if there:
                    known.hosts[item.id] = item
            case OpenHost():
                before = known.open_hosts.pop(item.id, None)
                if there:
                    known.open_hosts[item.id] = item
            case NetworkAclItem():
                before = known.acls.pop(item.id, None)
                if there:
                    known.acls[item.id] = item
        self.change(scope, before, item if there else None)


Edit = Callable[[Host], None]


def edits() -> st.SearchStrategy[Edit]:
    """One edit of a view or of its numbers."""

    def of(method: Callable[..., None], *values: st.SearchStrategy[object]) -> st.SearchStrategy[Edit]:
        return st.tuples(*values).map(lambda drawn: lambda host: method(host, *drawn))

    likely = st.sampled_from((True, True, False))
    on_port = [
        Host.put_port,
        Host.replace_port,
        Host.remove_port,
        Host.move_port,
        Host.number_port,
        Host.plug_port,
    ]
    on_network = [Host.put_network, Host.remove_network, Host.number_network]
    member = st.one_of(neighbours(), neighbours(), subnets(), network_hosts(), open_hosts(), acls(), claims())
    return st.one_of(
        *(of(method, local_ports(), likely) for method in on_port),
        *(of(method, network_items(), likely) for method in on_network),
        of(Host.put_host, host_items(), likely),
        of(Host.put_region, region_items(), likely),
        of(Host.put_rules, rules(), likely),
        of(Host.put_rules, rules(), likely),
        of(Host.put_in_set, st.sampled_from(("g1", "g2")), members(), likely),
        of(Host.put_in_set, st.just("a1"), prefixes(), likely),
        of(Host.put_firewall, st.sampled_from(("router", "h1")), firewalls(), likely),
        of(Host.put_router, routers(), likely),
        of(Host.put_tunnel, likely),
        of(Host.put_provider, likely),
        of(Host.forward_port, st.sampled_from(PORTS), st.sampled_from(VTEPS)),
        of(Host.arrive_port, st.sampled_from(PORTS), likely),
        of(Host.put_policy, policies(), likely),
        of(Host.put_services, likely),
        of(Host.put_member, st.sampled_from(NETWORKS), member, likely),
        of(Host.put_member, st.just("n1"), neighbours(), st.booleans()),
    )


def security_edits() -> st.SearchStrategy[Edit]:
    """Edits of what groups, ACLs and firewalls depend on, in one network, so that they meet."""

    def of(method: Callable[..., None], *values: st.SearchStrategy[object]) -> st.SearchStrategy[Edit]:
        return st.tuples(*values).map(lambda drawn: lambda host: method(host, *drawn))

    likely = st.sampled_from((True, True, False))
    return st.one_of(
        of(Host.replace_port, local_ports(), likely),
        of(Host.remove_port, local_ports(), likely),
        of(Host.put_rules, rules(), likely),
        of(Host.put_in_set, st.sampled_from(("g1", "g2")), members(), likely),
        of(Host.put_in_set, st.just("a1"), prefixes(), likely),
        of(Host.put_firewall, st.sampled_from(("router", "h1")), firewalls(), likely),
        of(Host.put_router, routers(), likely),
        of(Host.put_member, st.just("n1"), acls(), likely),
    )


def populated() -> Host:
    """A host on which most things are live, so that edits have something to change."""
    host = Host()
    for network in NETWORKS[:2]:
        item = NetworkItem(
            id=network,
            network_type="vxlan",
            segmentation_id=5001 + len(host.view.networks),
            mtu=1450,
            admin_state_up=True,
        )
        host.put_network(item, True)
        host.number_network(item, True)
    for id, network, mac in (("p1", "n1", MACS[0]), ("p2", "n1", MACS[1]), ("p3", "n2", MACS[0])):
        port = LocalPort(
            id=id,
            network_id=network,
            name="",
            mac=mac,
            addresses=(),
            admin_state_up=True,
            port_security_enabled=True,
            groups=("g1",),
        )
        host.put_port(port, True)
        host.number_port(port, True)
        host.plug_port(port, True)
    host.put_host(HostItem(id="h1", name="h1", vtep_addresses=("192.0.2.1",), token_digest=""), True)
    host.put_region(RegionItem(id="region", responder_mac="fe:00:00:00:00:01", dhcp_lease_s=1), True)
    host.put_tunnel(True)
    host.put_services(True)
    for group in ("g1", "g2"):
        about = GroupRule(id="r", is_ingress=True, ip_version=4, group=group)
        host.put_rules(RulesItem(id=group, stateful=True, rules=(about,)), True)
        host.put_in_set(group, Member(id=f"p-{group}", cidrs=SET_CIDRS[:1]), True)
    return host


def disputed() -> Host:
    """The same with an address and a MAC that two claim."""
    host = populated()
    for id, mac in (("p4", MACS[1]), ("p5", MACS[2])):
        stray = Neighbour(id=id, mac=mac, ips=IPS[:1], host_id="h2", vtep="192.0.2.2", groups=())
        host.put_member("n1", stray, True)
    return host


def secured() -> Host:
    """The same where each thing that says something about packets says something."""
    host = disputed()
    for number, id in enumerate(("p1", "p2", "p3"), start=1):
        port = msgspec.structs.replace(host.view.ports[id], addresses=(Address("s", f"10.0.0.{number}"),))
        host.replace_port(port, True)
    address = InterfaceAddress(ip="10.0.0.254", cidr=CIDRS[0], subnet_id="s1")
    interfaces = tuple(
        RouterInterface(id=id, network_id=network, mac="0a:00:00:00:00:01", addresses=(address,))
        for id, network in zip(INTERFACES, NETWORKS, strict=False)
    )
    host.put_router(RouterItem(id="router", admin_state_up=True, interfaces=interfaces), True)
    host.put_firewall("router", FirewallItem(id="f1", ports=INTERFACES[:1], ingress=(), egress=None), True)
    about = [GroupRule(id=f"r{v}", is_ingress=True, ip_version=v, addresses="a1") for v in (4, 6)]
    host.put_rules(RulesItem(id="g1", stateful=True, rules=(*host.view.rules["g1"].rules, *about)), True)
    for cidr in SET_CIDRS[1:3]:
        host.put_in_set("a1", Prefix(id=cidr), True)
    host.put_member("n1", NetworkAclItem(id="acl-1", cidrs=CIDRS[:1], rules=()), True)
    return host


def assert_incremental(host: Host, batches: Iterable[Iterable[Callable[[Any], None]]]) -> None:
    """After every batch of edits the flows kept by units are those computed from nothing."""
    host.by_unit = {unit: unit_flows(unit, host.view, host.allocation) for unit in units(host.view)}
    for batch in batches:
        for edit in batch:
            edit(host)
        host.settle()
        assert host.kept == flows(host.view, host.allocation)


def lawful_flows(host: Host) -> list[Flow]:
    """The flows of all units, of which no two have one key, and none is what a switch would refuse."""
    kept = [flow for unit in units(host.view) for flow in unit_flows(unit, host.view, host.allocation)]
    assert len({flow.key for flow in kept}) == len(kept)
    for flow in kept:
        check(flow)
    return kept
