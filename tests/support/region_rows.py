"""Strategies for the rows of small regions.

So few ids, names and values that re-binding, re-making and clashes are the rule. Rows refer to rows that are not there,
and to rows of other kinds; several hosts share a name over time, and the last stays.
"""

from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

from alcor.model.address_claim import AddressClaim, claim_id
from alcor.model.address_group import AddressGroup
from alcor.model.bgp import BgpPeer, BgpSpeaker
from alcor.model.epoch_release import CALM_ID, RELEASE_ID, EpochRelease
from alcor.model.firewall import FirewallGroup, FirewallPolicy, FirewallRule
from alcor.model.floatingip import FloatingIp
from alcor.model.gateway_standing import GatewayStanding, standing_id
from alcor.model.host import Host
from alcor.model.network_acl import NetworkAcl, NetworkAclRule
from alcor.model.port import AddressPair, Binding, FixedIp, with_extra
from alcor.model.port_forwarding import PortForwarding
from alcor.model.port_value import DhcpOption
from alcor.model.qos_policy import QosPolicy
from alcor.model.qos_rule import BandwidthLimitRule, DscpMarkingRule, PacketRateLimitRule
from alcor.model.region_setting import SETTING_ID, RegionSetting
from alcor.model.rescue_lease import RescueLease, rescue_id
from alcor.model.resource import Entity
from alcor.model.route_table import RouteTable, TableRoute
from alcor.model.router import Route, Router
from alcor.model.security_group import SecurityGroup
from alcor.model.security_group_rule import SecurityGroupRule
from alcor.model.subnetpool import SubnetPool
from alcor.model.trunk import SubPort, Trunk
from alcor.model.vpc_peering import VpcPeering
from tests.support.goalstate import Rows, a_host, a_network, a_port, a_subnet, rows_of


def _some(*values: Any, most: int = 2) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(st.sampled_from(values), max_size=most, unique=True).map(tuple)


_one = st.sampled_from
_flags = st.booleans()
_ports = tuple("pqrs")
_networks = ("n", "m")
_names = ("host-a", "host-b", "host-x")


def a_standing(host_id: str, lost_at_ms: int) -> GatewayStanding:
    """A host that was lost; there is one row per host."""
    return GatewayStanding(
        id=standing_id(host_id), host_id=host_id, lost_at_ms=lost_at_ms, heard_ms=lost_at_ms
    )


def a_rescue(host_id: str, *, rescuer_id: str, generation: int, address: str) -> RescueLease:
    """A lease, or one that was withdrawn; there is one row per host."""
    return RescueLease(
        id=rescue_id(host_id),
        host_id=host_id,
        rescuer_id=rescuer_id,
        addresses=(f"192.0.2.{address}",),
        generation=generation,
    )


hosts = st.builds(
    a_host,
    id=_one("abc"),
    vtep=_one([None, "192.0.2.1", "192.0.2.2"]),
    name=_one(["host-a", "host-b"]),
    description=_one(["", "x"]),
    gateway=_one([True, True, False]),
    rotation=_one(["in", "in", "draining"]),
    bridge_mappings=_one([{}, {"outside": "br-ex"}, {"outside": "br-ex", "other": "br-o"}]),
)
releases = st.builds(EpochRelease, id=_one([RELEASE_ID, CALM_ID]), epoch=_one([1, 2]), number=_one([1, 2]))
settings = st.builds(
    RegionSetting,
    id=st.just(SETTING_ID),
    responder_mac=_one(["fe:00:00:00:00:01", "fe:00:00:00:00:02"]),
    dhcp_lease_s=_one([600, 700]),
    relay_above=_one([0, 1, 2]),
    number=_one([1, 2]),
)
standings = st.builds(a_standing, _one("abc"), _one([0, 1, 2]))
rescues = st.builds(
    a_rescue, _one("ab"), rescuer_id=_one(["", "b", "c"]), generation=_one([1, 2]), address=_one(["1", "2"])
)
networks = st.builds(
    a_network,
    id=_one(_networks),
    admin_state_up=_flags,
    mtu=_one([1400, 1450]),
    qos_policy_id=_one([None, "z"]),
    provider_physical_network=_one([None, "outside", "inside"]),
    router_external=_flags,
)
subnets = st.builds(
    a_subnet,
    id=_one("st"),
    network_id=_one(_networks),
    cidr=_one(["10.0.0.0/24", "10.0.0.0/16", "10.8.0.0/24"]),
    gateway_ip=_one([None, "10.0.0.1"]),
    subnetpool_id=_one([None, "P", "Q"]),
)
_extras = st.builds(
    with_extra,
    st.none(),
    bindings=_one(_names).map(lambda name: (Binding(name, vif_type="ovs"),)),
    dns_name=_one(["", "web"]),
    extra_dhcp_opts=_one([(), (DhcpOption("mtu", "1400"),)]),
)
ports = st.builds(
    a_port,
    id=_one(_ports),
    network_id=_one(_networks),
    binding_host_id=_one(["", *_names]),
    binding_vif_type=_one(["ovs", "ovs", "ovs", "binding_failed", "unbound"]),
    fixed_ips=_some(FixedIp("s", "10.0.0.8"), FixedIp("s", "10.0.0.9"), FixedIp("t", "10.8.0.9")),
    admin_state_up=_flags,
    port_security_enabled=_flags,
    security_groups=_one([None, (), ("g",), ("g", "f")]),
    allowed_address_pairs=_some(AddressPair("10.9.0.0/16", "fa:16:3e:00:00:09"), most=1),
    qos_policy_id=_one([None, None, "y"]),
    binding_generation=st.integers(0, 2),
    extra=_one([None, None, None]) | _extras,
)
router_ports = st.builds(
    a_port,
    id=_one(_ports),
    network_id=_one(_networks),
    fixed_ips=_some(FixedIp("s", "10.0.0.1"), FixedIp("t", "10.8.0.1")),
    admin_state_up=_one([True, True, False]),
    device_owner=_one(["network:router_interface", "network:router_gateway", "network:floatingip"]),
    device_id=_one(["R", "S"]),
    qos_policy_id=_one([None, "y"]),
)
routers = st.builds(
    Router,
    id=_one("RS"),
    admin_state_up=_flags,
    routes=_some(
        Route("10.3.0.0/16", "10.0.0.9"),
        Route("10.4.0.0/16", "172.16.0.1"),
        Route("10.8.0.0/15", "10.0.0.1"),
    ),
    gateway_ports=_some(*_ports),
    enable_snat=_flags,
    gateway_qos_policy_id=_one([None, "y"]),
)
route_tables = st.builds(
    RouteTable,
    id=_one(["T", "U"]),
    network_id=_one(_networks),
    subnet_id=_one([None, "s"]),
    routes=_some(
        TableRoute("10.3.0.0/16", nexthop="10.0.0.7", priority=50),
        TableRoute("10.4.0.0/16", nexthop="10.0.0.7"),
        TableRoute("10.5.0.0/16", "blackhole"),
        TableRoute("10.6.0.0/16", "internet_gw"),
    ),
)
peerings = st.builds(
    VpcPeering,
    id=_one(["v", "w"]),
    network_id=_one(_networks),
    peer_network_id=_one(["m", "o"]),
    peer_project_id=st.just(""),
    status=_one(["active", "active", "pending"]),
)
floating_ips = st.builds(
    FloatingIp,
    id=_one(["F", "G"]),
    floating_network_id=_one(_networks),
    floating_ip_address=st.just("203.0.113.9"),
    floating_port_id=_one(_ports),
    port_id=_one([None, *_ports]),
    fixed_ip_address=st.just("10.0.0.8"),
    router_id=_one([None, "R", "S"]),
    qos_policy_id=_one([None, "y"]),
)
forwardings = st.builds(
    PortForwarding,
    id=_one(["h", "i"]),
    floatingip_id=_one(["F", "G"]),
    internal_port_id=_one(_ports),
    internal_ip_address=st.just("10.0.0.8"),
    protocol=_one(["tcp", "udp"]),
    external_first=st.just(80),
    external_last=st.just(80),
    internal_first=_one([80, 8080]),
    internal_last=st.just(8080),
)
groups = st.builds(SecurityGroup, id=_one("gf"), stateful=_flags)
group_rules = st.builds(
    SecurityGroupRule,
    id=_one(["1", "2"]),
    security_group_id=_one("gf"),
    direction=_one(["ingress", "egress"]),
    ethertype=_one(["IPv4", "IPv6"]),
    protocol=_one([None, "tcp", "icmp", "99"]),
    remote_ip_prefix=_one([None, "0.0.0.0/0", "10.0.0.5/24"]),
    remote_group_id=_one([None, "g"]),
    remote_address_group_id=_one([None, "a"]),
)
address_groups = st.builds(
    AddressGroup, id=_one(["a", "b"]), addresses=_some("10.0.0.0/24", "10.1.0.0/24", "2001:db8::/64")
)
acls = st.builds(
    NetworkAcl,
    id=_one(["A", "B"]),
    network_id=_one(_networks),
    is_default=_flags,
    associated_subnets=_some("s", "t"),
)
acl_rules = st.builds(
    NetworkAclRule,
    id=_one(["3", "4"]),
    network_acl_id=_one(["A", "B"]),
    number=_one([1, 2]),
    direction=_one(["ingress", "egress"]),
    action=_one(["allow", "deny"]),
    protocol=_one(["all", "tcp", "icmp"]),
)
firewall_groups = st.builds(
    FirewallGroup,
    id=_one(["X", "Y"]),
    admin_state_up=_flags,
    ports=_some(*_ports, most=3),
    ingress_firewall_policy_id=_one([None, "k"]),
    egress_firewall_policy_id=_one([None, "k", "l"]),
)
firewall_policies = st.builds(FirewallPolicy, id=_one(["k", "l"]), firewall_rules=_some("5", "6"))
firewall_rules = st.builds(
    FirewallRule,
    id=_one(["5", "6"]),
    enabled=_one([True, True, False]),
    action=_one(["allow", "deny", "reject"]),
    source_ip_address=_one([None, "10.0.0.8"]),
    destination_port=_one([None, "80", "80:90"]),
)
speakers = st.builds(
    BgpSpeaker,
    id=_one(["V", "W"]),
    local_as=_one([64_512, 64_513]),
    ip_version=_one([4, 4, 4, 6]),
    peers=_some("e", "j"),
    networks=_some(*_networks),
    advertise_floating_ip_host_routes=_one([True, True, False]),
    advertise_tenant_networks=_one([True, True, False]),
)
peers = st.builds(
    BgpPeer,
    id=_one(["e", "j"]),
    peer_ip=_one(["192.0.2.81", "192.0.2.82"]),
    remote_as=st.just(64_600),
    auth_type=st.just("none"),
    password=_one([None, "secret"]),
)
pools = st.builds(
    SubnetPool,
    id=_one(["P", "Q"]),
    name=st.just(""),
    prefixes=st.just(("10.0.0.0/8",)),
    default_prefixlen=st.just(24),
    min_prefixlen=st.just(8),
    max_prefixlen=st.just(32),
    ip_version=st.just(4),
    address_scope_id=_one([None, "a1", "a2"]),
)
qos_policies = st.builds(QosPolicy, id=_one(["y", "z"]))
qos_rules = st.one_of(
    st.builds(BandwidthLimitRule, id=st.just("7"), qos_policy_id=_one(["y", "z"]), max_kbps=_one([1, 2])),
    st.builds(PacketRateLimitRule, id=st.just("8"), qos_policy_id=_one(["y", "z"]), max_kpps=_one([1, 2])),
    st.builds(DscpMarkingRule, id=st.just("9"), qos_policy_id=_one(["y", "z"]), dscp_mark=_one([8, 10])),
)
trunks = st.builds(
    Trunk,
    id=_one(["t1", "t2"]),
    port_id=_one(_ports),
    admin_state_up=_one([True, True, False]),
    sub_ports=_some(*(SubPort(id, "vlan", vlan) for vlan, id in enumerate(_ports, 101))),
)


def a_claim(network_id: str, ip: str, mac: str, port_id: str) -> AddressClaim:
    """A claim; there is one row per address of a network."""
    id = claim_id(network_id, ip)
    return AddressClaim(id=id, network_id=network_id, ip=ip, mac=mac, port_id=port_id, at_ms=0)


claims = st.builds(
    a_claim,
    network_id=_one(_networks),
    ip=_one(["10.0.0.98", "10.0.0.99"]),
    mac=_one(["00:00:5e:00:01:01", "00:00:5e:00:01:02"]),
    port_id=_one(_ports),
)


def legal(rows: Sequence[Entity]) -> Rows:
    """Rows by key; of hosts with one name the last stays."""
    names = {row.name: row.id for row in rows if isinstance(row, Host)}
    return rows_of(row for row in rows if not isinstance(row, Host) or names[row.name] == row.id)


l2: tuple[st.SearchStrategy[Entity], ...] = (hosts, networks, subnets, ports, ports)
routed: tuple[st.SearchStrategy[Entity], ...] = (
    *l2,
    router_ports,
    router_ports,
    routers,
    routers,
    route_tables,
    peerings,
    floating_ips,
    floating_ips,
    forwardings,
    standings,
    settings,
    releases,
    rescues,
)
ruled: tuple[st.SearchStrategy[Entity], ...] = (
    *l2,
    router_ports,
    groups,
    group_rules,
    address_groups,
    acls,
    acl_rules,
    firewall_groups,
    firewall_groups,
    firewall_policies,
    firewall_rules,
    qos_policies,
    qos_rules,
    claims,
    trunks,
    trunks,
)


def regions(*kinds: st.SearchStrategy[Entity], most: int = 10) -> st.SearchStrategy[Rows]:
    """Whole regions of at most so many rows."""
    return st.lists(st.one_of(*kinds), max_size=most).map(legal)


def _mostly(row: Entity, other: st.SearchStrategy[Entity]) -> st.SearchStrategy[Entity | None]:
    return st.one_of(st.just(row), st.just(row), st.just(row), st.just(row), other, st.none())


_POOL = SubnetPool(
    id="P",
    ip_version=4,
    prefixes=(),
    default_prefixlen=24,
    min_prefixlen=8,
    max_prefixlen=32,
    address_scope_id="a1",
)
spoken: st.SearchStrategy[Rows] = st.tuples(
    _mostly(a_host("a", gateway=True, bridge_mappings={"outside": "br-ex"}), hosts),
    _mostly(a_host("b", "192.0.2.2", gateway=True, bridge_mappings={"outside": "br-ex"}), hosts),
    _mostly(a_standing("a", 1), standings),
    _mostly(a_network("n", router_external=True, provider_physical_network="outside"), networks),
    _mostly(a_network("m"), networks),
    _mostly(a_subnet("s", "n", subnetpool_id="P"), subnets),
    _mostly(a_subnet("t", "m", cidr="10.8.0.0/24", subnetpool_id="P"), subnets),
    _mostly(a_port("p", "n", "", "10.0.0.1", device_owner="network:router_gateway"), router_ports),
    _mostly(
        a_port(
            "q",
            "m",
            fixed_ips=(FixedIp("t", "10.8.0.1"),),
            device_owner="network:router_interface",
            device_id="R",
        ),
        router_ports,
    ),
    _mostly(a_port("r", "n", device_owner="network:floatingip"), ports),
    _mostly(Router(id="R", gateway_ports=("p",)), routers),
    _mostly(Router(id="S", gateway_ports=("p",)), routers),
    _mostly(
        FloatingIp(
            id="F",
            floating_network_id="n",
            floating_ip_address="203.0.113.9",
            floating_port_id="r",
            router_id="R",
        ),
        floating_ips,
    ),
    _mostly(BgpSpeaker(id="V", local_as=64_512, ip_version=4, peers=("e",), networks=("n",)), speakers),
    _mostly(BgpSpeaker(id="W", local_as=64_512, ip_version=4, peers=("j",), networks=("m", "n")), speakers),
    _mostly(BgpPeer(id="e", peer_ip="192.0.2.81", remote_as=64_600, auth_type="none"), peers),
    _mostly(_POOL, pools),
).map(lambda rows: legal([row for row in rows if row is not None]))
"""Regions in which routes are advertised, or would be but for a row or two."""

small = regions(*l2)
any_region = st.one_of(small, regions(*routed, most=16), regions(*ruled, most=16), spoken)
