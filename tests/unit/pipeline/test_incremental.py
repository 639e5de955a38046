"""Replacing the flows of affected units gives what computing everything anew gives."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import hypothesis.strategies as st
import msgspec
from hypothesis import given, settings

from alcor.goalstate.item import (
    Address,
    AddressPair,
    Claim,
    HostItem,
    Item,
    Limit,
    LocalPort,
    Neighbour,
    NetworkHost,
    NetworkItem,
    OpenHost,
    QosItem,
    RegionItem,
    SubnetItem,
    TrunkParent,
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
    AclRule,
    FirewallAction,
    FirewallItem,
    FirewallRuleItem,
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
    meters,
    unit_flows,
    units,
)
from alcor.pipeline.feature import ItemChange, Local, LocalChange
from alcor.pipeline.flow import Flow, FlowKey, Meter
from alcor.pipeline.prerequisite import check
from alcor.pipeline.unit import Unit, neighbour_unit
from alcor.pipeline.view import Allocation, NetworkView, View

NETWORKS = ("n1", "n2", "n3")
PORTS = ("p1", "p2", "p3", "p4", "p5")
# Few values, so that two claim one often: the ambiguous states are where incremental code goes wrong.
MACS = ("02:00:00:00:00:01", "02:00:00:00:00:02", "02:00:00:00:00:03")
IPS = ("10.0.0.1", "10.0.0.254", "fd00::1", "fd00::2")
VTEPS = ("192.0.2.1", "192.0.2.2", "2001:db8::3", "")
CIDRS = ("10.0.0.0/24", "fd00::/64")
INTERFACES = ("i1", "i2")
# One inside the other, so that what a prefix holds changes with what is around it.
SET_CIDRS = ("10.0.0.1/32", "10.0.0.2/32", "10.0.0.0/24", "10.0.0.0/8", "fd00::1/128", "fd00::/64")
MODES = (None, "slaac", "dhcpv6-stateful")
PAIRS = (AddressPair("10.0.0.0/24", MACS[0]), AddressPair("fd00::9/128", MACS[1]))
TRUNKS = (TrunkParent("p1", 7), TrunkParent("p1", 8), TrunkParent("p2", 7))

some_ips = st.lists(st.sampled_from(IPS), max_size=2, unique=True)


@st.composite
def local_ports(draw: st.DrawFn) -> LocalPort:
    return LocalPort(
        id=draw(st.sampled_from(PORTS)),
        network_id=draw(st.sampled_from(NETWORKS)),
        name=draw(st.sampled_from(("", "web"))),
        mac=draw(st.sampled_from(MACS)),
        addresses=tuple(Address("s", ip) for ip in draw(some_ips)),
        admin_state_up=draw(st.booleans()),
        port_security_enabled=draw(st.booleans()),
        groups=draw(st.sampled_from(((), ("g1",), ("g1", "g2"), ("g2",), ("g3",), None))),
        qos=draw(st.sampled_from((None, "q1", "q2"))),
        pairs=draw(st.sampled_from(((), PAIRS[:1], PAIRS))),
        trunk=draw(st.sampled_from((None, None, *TRUNKS))),
        is_active=draw(st.sampled_from((True, True, True, False))),
    )


@st.composite
def neighbours(draw: st.DrawFn) -> Neighbour:
    return Neighbour(
        id=draw(st.sampled_from(PORTS)),
        mac=draw(st.sampled_from(MACS)),
        ips=tuple(draw(some_ips)),
        host_id="h2",
        vtep=draw(st.sampled_from(VTEPS)),
        groups=(),
    )


@st.composite
def network_items(draw: st.DrawFn) -> NetworkItem:
    return NetworkItem(
        id=draw(st.sampled_from(NETWORKS)),
        network_type=draw(st.sampled_from(("vxlan", "vxlan", "gre", "vlan", "flat", "local"))),
        segmentation_id=draw(st.sampled_from((0, 101, 102))),
        mtu=draw(st.sampled_from((1400, 1450))),
        admin_state_up=draw(st.booleans()),
        physical_network=draw(st.sampled_from((None, "physnet"))),
    )


@st.composite
def subnets(draw: st.DrawFn) -> SubnetItem:
    cidr = draw(st.sampled_from(CIDRS))
    return SubnetItem(
        id=draw(st.sampled_from(("s1", "s2"))),
        network_id="",
        cidr=cidr,
        gateway_ip=draw(st.sampled_from((None, "10.0.0.254"))) if ":" not in cidr else None,
        dns_nameservers=(),
        host_routes=(),
        enable_dhcp=draw(st.booleans()),
        ipv6_ra_mode=draw(st.sampled_from(MODES)) if ":" in cidr else None,
        ipv6_address_mode=draw(st.sampled_from(MODES)) if ":" in cidr else None,
    )


@st.composite
def rules(draw: st.DrawFn) -> RulesItem:
    """Security groups whose rules name sets, prefixes, ports."""
    remotes = st.sampled_from(
        ({}, {"group": "g1"}, {"group": "g2"}, {"addresses": "a1"}, {"prefix": "10.0.0.0/8"})
    )
    found = [
        GroupRule(
            id=f"r{n}",
            is_ingress=draw(st.booleans()),
            ip_version=draw(st.sampled_from((4, 4, 6))),
            protocol=draw(st.sampled_from((None, 6))),
            first=80,
            last=81,
            **draw(remotes),
        )
        for n in range(draw(st.integers(0, 3)))
    ]
    return RulesItem(
        id=draw(st.sampled_from(("g1", "g2", "g3"))), stateful=draw(st.booleans()), rules=tuple(found)
    )


def members() -> st.SearchStrategy[Member]:
    cidrs = st.lists(st.sampled_from(SET_CIDRS), max_size=2, unique=True).map(
        lambda found: tuple(sorted(found))
    )
    return st.builds(Member, id=st.sampled_from(PORTS), cidrs=cidrs)


def prefixes() -> st.SearchStrategy[Prefix]:
    return st.builds(Prefix, id=st.sampled_from(SET_CIDRS))


@st.composite
def acls(draw: st.DrawFn) -> NetworkAclItem:
    """Two ACLs of a network may claim one subnet for a moment."""
    found = [
        AclRule(
            id=f"r{number}",
            number=number,
            is_ingress=draw(st.booleans()),
            is_allow=draw(st.booleans()),
            ip_version=draw(st.sampled_from((4, 6))),
            prefix=draw(st.sampled_from(("0.0.0.0/0", "::/0", "10.1.0.0/16"))),
            protocol=draw(st.sampled_from((None, 17))),
            first=draw(st.sampled_from((None, 53))),
        )
        for number in draw(st.lists(st.integers(0, 3), max_size=2, unique=True))
    ]
    cidrs = draw(st.lists(st.sampled_from(CIDRS), max_size=2, unique=True))
    id = draw(st.sampled_from(("acl-1", "acl-2")))
    return NetworkAclItem(id=id, cidrs=tuple(sorted(cidrs)), rules=tuple(found))


@st.composite
def firewalls(draw: st.DrawFn) -> FirewallItem:
    """A firewall group on a router's interfaces or on local ports."""
    found = [
        FirewallRuleItem(
            id=f"r{n}",
            action=draw(st.sampled_from(list(FirewallAction))),
            ip_version=draw(st.sampled_from((4, 6))),
            protocol=draw(st.sampled_from((None, 6))),
            destination_ports=draw(st.sampled_from((None, (80, 81)))),
        )
        for n in range(draw(st.integers(0, 2)))
    ]
    policy = st.sampled_from((None, tuple(found)))
    ports = draw(st.lists(st.sampled_from((*PORTS[:2], *INTERFACES)), max_size=2, unique=True))
    return FirewallItem(
        id=draw(st.sampled_from(("f1", "f2"))),
        ports=tuple(sorted(ports)),
        ingress=draw(policy),
        egress=draw(policy),
    )


@st.composite
def routers(draw: st.DrawFn) -> RouterItem:
    """A router with interfaces on some networks, for what only looks at these."""
    networks = draw(st.lists(st.sampled_from(NETWORKS), max_size=2, unique=True))
    address = InterfaceAddress(ip="10.0.0.254", cidr=CIDRS[0], subnet_id="s1")
    interfaces = [
        RouterInterface(
            id=INTERFACES[n], network_id=network, mac=f"0a:00:00:00:00:0{n}", addresses=(address,)
        )
        for n, network in enumerate(networks)
    ]
    return RouterItem(id="router", admin_state_up=draw(st.booleans()), interfaces=tuple(interfaces))


def network_hosts() -> st.SearchStrategy[NetworkHost]:
    return st.builds(
        NetworkHost,
        id=st.sampled_from(("h1", "h2", "h3")),
        vtep=st.sampled_from(VTEPS),
    )


def open_hosts() -> st.SearchStrategy[OpenHost]:
    return st.builds(OpenHost, id=st.sampled_from(("h1", "h2", "h3")), vtep=st.sampled_from(VTEPS))


def claims() -> st.SearchStrategy[Claim]:
    """Claims of addresses that others may have, with MACs that others may have."""
    return st.builds(
        Claim,
        id=st.sampled_from((*IPS, "10.0.0.9", "fd00::9")),
        mac=st.sampled_from((*MACS, "00:00:5e:00:01:07")),
        port_id=st.sampled_from(PORTS),
        host_id=st.just("h2"),
        vtep=st.sampled_from(VTEPS),
    )


def policies() -> st.SearchStrategy[QosItem]:
    """QoS policies of two names."""
    limits = st.lists(st.builds(Limit, st.booleans(), st.sampled_from((0, 10, 20)), st.just(0)), max_size=2)
    return st.builds(
        QosItem,
        id=st.sampled_from(("q1", "q2")),
        bandwidth=limits.map(tuple),
        packets=limits.map(tuple),
        dscp=st.sampled_from((None, 0, 46)),
    )


def host_items() -> st.SearchStrategy[HostItem]:
    vteps = st.sampled_from((("192.0.2.1",), ("192.0.2.2", "2001:db8::3"), ()))
    return st.builds(
        HostItem, id=st.just("h1"), name=st.just("h1"), vtep_addresses=vteps, token_digest=st.text()
    )


def region_items() -> st.SearchStrategy[RegionItem]:
    macs = st.sampled_from(("fe:00:00:00:00:01", "fe:00:00:00:00:02"))
    return st.builds(RegionItem, id=st.just("region"), responder_mac=macs, dhcp_lease_s=st.just(1))


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


@settings(deadline=None)
@given(st.lists(st.lists(edits(), max_size=4), max_size=8))
def test_incremental_equals_full(batches: list[list[Edit]]) -> None:
    """After every batch of edits the flows kept by units are those computed from nothing."""
    host = disputed()
    host.by_unit = {unit: unit_flows(unit, host.view, host.allocation) for unit in units(host.view)}

    for batch in batches:
        for edit in batch:
            edit(host)
        host.settle()

        assert host.kept == flows(host.view, host.allocation)


@settings(deadline=None)
@given(st.lists(st.lists(security_edits(), max_size=3), min_size=2, max_size=12))
def test_incremental_equals_full_for_groups_acls_and_firewalls(batches: list[list[Edit]]) -> None:
    """As above, where one network's ports meet all that may be said of them."""
    host = secured()
    host.by_unit = {unit: unit_flows(unit, host.view, host.allocation) for unit in units(host.view)}

    for batch in batches:
        for edit in batch:
            edit(host)
        host.settle()

        assert host.kept == flows(host.view, host.allocation)


@settings(deadline=None)
@given(st.lists(edits(), max_size=25))
def test_units_are_disjoint_and_lawful(batch: list[Edit]) -> None:
    """No flow has two owners, a switch would refuse none, and each meter that a flow names exists."""
    host = disputed()
    for edit in batch:
        edit(host)

    found = [flow for unit in units(host.view) for flow in unit_flows(unit, host.view, host.allocation)]

    assert len({flow.key for flow in found}) == len(found)
    for flow in found:
        check(flow)
    named = {action.id for flow in found for action in flow.actions if isinstance(action, Meter)}
    assert named == set(meters(host.view, host.allocation))


def test_nothing_gives_the_shared_flows_only() -> None:
    """An empty view is a legal input: it closes everything."""
    kept = flows(View(), Allocation())

    assert len({flow.cookie for flow in kept.values()}) == 1


def _many_neighbours() -> Iterator[Neighbour]:
    for n in range(2000):
        mac = f"02:00:01:00:{n >> 8:02x}:{n & 255:02x}"
        yield Neighbour(
            id=f"q{n}", mac=mac, ips=(f"10.1.{n >> 8}.{n & 255}",), host_id="h2", vtep="192.0.2.2", groups=()
        )


def test_a_neighbour_costs_its_own_flows_only() -> None:
    """In a network of 2,000 neighbours, one more is one unit: one flow per address and one to its host."""
    host = populated()
    known = host.view.networks["n1"]
    for neighbour in _many_neighbours():
        known.neighbours[neighbour.id] = neighbour
    new = Neighbour(
        id="new", mac=MACS[2], ips=("10.9.0.1", "fd00::9"), host_id="h2", vtep="192.0.2.2", groups=()
    )
    known.neighbours[new.id] = new

    touched = affected(ItemChange(neighbours_scope("n1"), key_of(new), None, new), host.view)

    assert touched == {neighbour_unit("n1", "new")}
    assert sum(len(unit_flows(unit, host.view, host.allocation)) for unit in touched) == 3


def test_a_further_port_does_not_touch_neighbours() -> None:
    """Plugging a port is O(1), however many neighbours its network has."""
    host = populated()
    known = host.view.networks["n1"]
    for neighbour in _many_neighbours():
        known.neighbours[neighbour.id] = neighbour

    touched = found(LocalChange(Local.PORT, "p2"), host.view)

    others = {neighbour_unit("n1", id) for id in known.neighbours if id != "p2"}
    assert not touched & others
    assert len(touched) <= 5
