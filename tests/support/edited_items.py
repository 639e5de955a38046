"""Items of few values, drawn by hypothesis: two claim one thing often, where incremental code goes wrong."""

import hypothesis.strategies as st

from alcor.goalstate.item import (
    Address,
    AddressPair,
    Claim,
    HostItem,
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
)
from alcor.goalstate.router_item import InterfaceAddress, RouterInterface, RouterItem
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
