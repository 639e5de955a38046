"""Region states with the goal state each must give, and the sequences they are walked in.

The goal state is written in short lines, one per item, without order:

    host h1             host <name>: <vteps>
    host h1             port p (n) 10.0.0.9            in the host's scope; `down` if administratively down
    network n           vxlan <segment> <mtu>
    network n           subnet s <cidr>
    network n           at h1 <vtep>
    neighbours n        p <ips> at h1 <vtep>
    members g           p <cidrs>
    rules g             in|out <to whom>, …

A port's line also says what it has of these: `via <routers>`, `qos <policy>`, `on <parent>:<vlan>`, `standby`. Routers,
gateways, floating IPs, policies, ACLs and firewalls: see `_more_line`.

No hysteresis (I4): what a state gives does not depend on the way to it, so every sequence is expanded for free.
A sequence that reads the same backwards gains nothing by being reversed; vary the states instead.
"""

from dataclasses import dataclass

from alcor.goalstate.bgp_item import BgpRoutesItem, BgpSpeakerItem
from alcor.goalstate.item import (
    HostItem,
    Item,
    LocalPort,
    Neighbour,
    NetworkHost,
    NetworkItem,
    NetworkRelays,
    QosItem,
    RegionItem,
    RelayItem,
    State,
    SubnetItem,
)
from alcor.goalstate.router_item import FloatingIpItem, GatewayItem, RouterItem
from alcor.goalstate.scope import Scope
from alcor.goalstate.security_item import FirewallItem, Member, NetworkAclItem, Prefix, RulesItem
from alcor.model.address_group import AddressGroup
from alcor.model.firewall import FirewallGroup, FirewallPolicy, FirewallRule
from alcor.model.floatingip import FloatingIp
from alcor.model.network_acl import NetworkAcl, NetworkAclRule
from alcor.model.port import Binding, FixedIp, with_extra
from alcor.model.port_forwarding import PortForwarding
from alcor.model.qos_policy import QosPolicy
from alcor.model.qos_rule import BandwidthLimitRule, DscpMarkingRule
from alcor.model.resource import Entity
from alcor.model.router import Route, Router
from alcor.model.security_group import SecurityGroup
from alcor.model.security_group_rule import SecurityGroupRule
from alcor.model.trunk import SubPort, Trunk
from alcor.model.vpc_peering import VpcPeering
from tests.support.goalstate import Rows, a_host, a_network, a_port, a_subnet, replaced, rows_of


@dataclass(frozen=True, slots=True, eq=False)
class RegionState:
    """All rows of a region, and the lines of the goal state they must give."""

    name: str
    rows: tuple[Entity, ...]
    lines: frozenset[str]

    @property
    def by_key(self) -> Rows:
        """The rows, by kind and id."""
        return rows_of(self.rows)


def _state(name: str, rows: list[Entity], text: str) -> RegionState:
    lines = [" ".join(line.split()) for line in text.splitlines() if line.strip()]
    assert len(lines) == len(set(lines)), f"{name} says a line twice"
    return RegionState(name, tuple(rows), frozenset(lines))


def lines_of(states: dict[Scope, State]) -> set[str]:
    """A goal state in the form above; the region's parameters, which never change, are left out."""
    return {
        f"{scope.kind.value} {scope.id} {_line(item)}"
        for scope, state in states.items()
        for item in state.values()
        if not isinstance(item, RegionItem)
    }


def _line(item: Item) -> str:
    match item:
        case HostItem():
            return f"host {item.name}: {' '.join(item.vtep_addresses)}".rstrip()
        case LocalPort():
            ips = " ".join(address.ip for address in item.addresses)
            words = [f"port {item.id} ({item.network_id}) {ips}"]
            words += ["down"] if not item.admin_state_up else []
            words += ["via", *item.routers] if item.routers else []
            words += ["qos", item.qos] if item.qos else []
            words += [f"on {item.trunk.port_id}:{item.trunk.vlan}"] if item.trunk else []
            return " ".join(words if item.is_active else [*words, "standby"])
        case NetworkItem():
            return f"{item.network_type} {item.segmentation_id} {item.mtu}"
        case SubnetItem():
            return f"subnet {item.id} {item.cidr}"
        case NetworkHost():
            return f"at {item.id} {item.vtep}"
        case Neighbour():
            return f"{item.id} {' '.join(item.ips)} at {item.host_id} {item.vtep}"
        case Member():
            return f"{item.id} {' '.join(item.cidrs)}"
    return _more_line(item)


def _more_line(item: Item) -> str:
    match item:
        case RouterItem():
            inside = [f"{a.ip}" for interface in item.interfaces for a in interface.addresses]
            routes = [f"{r.destination} to {r.nexthop or r.network_id or 'nowhere'}" for r in item.routes]
            outside = [
                f"{a.ip} ({gateway.network_id})" for gateway in item.gateways for a in gateway.addresses
            ]
            hosts = sorted(host.host_id for host in item.gateway_hosts)
            return f"inside {inside} routes {routes} outside {outside} at {hosts}"
        case GatewayItem():
            return f"gateway {item.id} {' '.join(item.networks)}"
        case FloatingIpItem():
            inner = (
                item.fixed_ip if item.port_id else [f"{one.external_first}>{one.ip}" for one in item.forwards]
            )
            return f"floating {item.ip} {item.mac} {inner}{' central' if item.is_central else ''}"
        case RulesItem():
            return ", ".join(
                f"{'in' if one.is_ingress else 'out'} {one.prefix or one.group or one.addresses or 'any'}"
                for one in item.rules
            )
        case Prefix():
            return item.id
        case QosItem():
            return f"kbps {[limit.rate for limit in item.bandwidth]} dscp {item.dscp}"
        case NetworkAclItem():
            rules = [f"{one.number} {'allow' if one.is_allow else 'deny'} {one.prefix}" for one in item.rules]
            return f"acl {item.id} {' '.join(item.cidrs)}: {', '.join(rules)}".rstrip()
        case FirewallItem():
            policies = [
                None if p is None else [r.action.value for r in p] for p in (item.ingress, item.egress)
            ]
            return f"firewall {item.id} {' '.join(item.ports)}: {policies[0]} {policies[1]}"
        case BgpSpeakerItem():
            return f"speaker {item.id} {item.local_as} to {[peer.ip for peer in item.peers]}"
        case RelayItem():
            return f"relay of {item.id}"
        case NetworkRelays():
            return f"relays {sorted(host.host_id for host in item.hosts)}"
        case BgpRoutesItem():
            told = ", ".join(f"{one.destination} by {one.next_hop}" for one in item.routes)
            return f"advertised {item.id}: {told}"
    raise AssertionError(f"no line for {item}")


_H1, _H2 = a_host("h1", "192.0.2.1"), a_host("h2", "192.0.2.2")
_N, _M = a_network("n"), a_network("m", provider_segmentation_id=200)
_S = a_subnet("s", "n")
_P1, _P2 = a_port("p1", "n", "h1", "10.0.0.11"), a_port("p2", "n", "h2", "10.0.0.12")
_Q1 = a_port("q1", "m", "h1", "10.0.0.11")

EMPTY = _state("empty", [], "")

HOSTS = _state("hosts", [_H1, _H2], "host h1 host host-h1: 192.0.2.1 \n host h2 host host-h2: 192.0.2.2")

NETWORK = _state(
    "network without ports", [_N, _S], "network n vxlan 100 1450 \n network n subnet s 10.0.0.0/24"
)

PAIR = _state(
    "two ports on two hosts",
    [_H1, _H2, _N, _S, _P1, _P2],
    """
    host h1 host host-h1: 192.0.2.1
    host h2 host host-h2: 192.0.2.2
    host h1 port p1 (n) 10.0.0.11
    host h2 port p2 (n) 10.0.0.12
    network n vxlan 100 1450
    network n subnet s 10.0.0.0/24
    network n at h1 192.0.2.1
    network n at h2 192.0.2.2
    neighbours n p1 10.0.0.11 at h1 192.0.2.1
    neighbours n p2 10.0.0.12 at h2 192.0.2.2
    """,
)

MOVED = _state(
    "both ports on one host",
    [_H1, _H2, _N, _S, replaced(_P1, binding_host_id="host-h2", binding_generation=1), _P2],
    """
    host h1 host host-h1: 192.0.2.1
    host h2 host host-h2: 192.0.2.2
    host h2 port p1 (n) 10.0.0.11
    host h2 port p2 (n) 10.0.0.12
    network n vxlan 100 1450
    network n subnet s 10.0.0.0/24
    network n at h2 192.0.2.2
    neighbours n p1 10.0.0.11 at h2 192.0.2.2
    neighbours n p2 10.0.0.12 at h2 192.0.2.2
    """,
)

READDRESSED = _state(
    "the host has another tunnel address, the port another IP address",
    [replaced(_H1, vtep_addresses=("192.0.2.9", "192.0.2.1")), _N, a_port("p1", "n", "h1", "10.0.0.99")],
    """
    host h1 host host-h1: 192.0.2.9 192.0.2.1
    host h1 port p1 (n) 10.0.0.99
    network n vxlan 100 1450
    network n at h1 192.0.2.9
    neighbours n p1 10.0.0.99 at h1 192.0.2.9
    """,
)

REMADE = _state(
    "another host of the same name",
    [a_host("h3", "192.0.2.3", name="host-h1"), _N, _S, _P1],
    """
    host h3 host host-h1: 192.0.2.3
    host h3 port p1 (n) 10.0.0.11
    network n vxlan 100 1450
    network n subnet s 10.0.0.0/24
    network n at h3 192.0.2.3
    neighbours n p1 10.0.0.11 at h3 192.0.2.3
    """,
)

HOST_GONE = _state(
    "the ports' host is not there",
    [_H2, _N, _S, _P1, _P2],
    """
    host h2 host host-h2: 192.0.2.2
    host h2 port p2 (n) 10.0.0.12
    network n vxlan 100 1450
    network n subnet s 10.0.0.0/24
    network n at h2 192.0.2.2
    neighbours n p2 10.0.0.12 at h2 192.0.2.2
    """,
)

UNREACHABLE = _state(
    "a host without a tunnel address",
    [replaced(_H1, vtep_addresses=()), _N, _P1],
    """
    host h1 host host-h1:
    host h1 port p1 (n) 10.0.0.11
    network n vxlan 100 1450
    """,
)

DISABLED = _state(
    "a port and a network that are administratively down",
    [_H1, replaced(_N, admin_state_up=False), replaced(_P1, admin_state_up=False, binding_generation=1)],
    """
    host h1 host host-h1: 192.0.2.1
    host h1 port p1 (n) 10.0.0.11 down
    network n vxlan 100 1450
    network n at h1 192.0.2.1
    neighbours n p1 10.0.0.11 at h1 192.0.2.1
    """,
)

UNBOUND = _state(
    "ports that are unbound or whose binding failed",
    [
        _H1,
        _N,
        replaced(_P1, binding_host_id="", binding_vif_type="unbound"),
        replaced(_P2, binding_vif_type="binding_failed"),
    ],
    "host h1 host host-h1: 192.0.2.1 \n network n vxlan 100 1450",
)

TWO_NETWORKS = _state(
    "the same address in two networks, subnets changed",
    [
        _H1,
        _H2,
        _N,
        _M,
        replaced(_S, cidr="10.0.0.0/16"),
        a_subnet("s6", "m", cidr="2001:db8::/64"),
        _P1,
        _P2,
        _Q1,
    ],
    """
    host h1 host host-h1: 192.0.2.1
    host h2 host host-h2: 192.0.2.2
    host h1 port p1 (n) 10.0.0.11
    host h1 port q1 (m) 10.0.0.11
    host h2 port p2 (n) 10.0.0.12
    network n vxlan 100 1450
    network n subnet s 10.0.0.0/16
    network n at h1 192.0.2.1
    network n at h2 192.0.2.2
    network m vxlan 200 1450
    network m subnet s6 2001:db8::/64
    network m at h1 192.0.2.1
    neighbours n p1 10.0.0.11 at h1 192.0.2.1
    neighbours n p2 10.0.0.12 at h2 192.0.2.2
    neighbours m q1 10.0.0.11 at h1 192.0.2.1
    """,
)

ORPHANS = _state(
    "a port and a subnet whose network is not there",
    [_H1, _S, _P1],
    """
    host h1 host host-h1: 192.0.2.1
    host h1 port p1 (n) 10.0.0.11
    network n subnet s 10.0.0.0/24
    network n at h1 192.0.2.1
    neighbours n p1 10.0.0.11 at h1 192.0.2.1
    """,
)

MOVED_NETWORK = _state(
    "a port and a subnet that changed their network",
    [_H1, _N, _M, replaced(_S, network_id="m"), replaced(_P1, network_id="m")],
    """
    host h1 host host-h1: 192.0.2.1
    host h1 port p1 (m) 10.0.0.11
    network n vxlan 100 1450
    network m vxlan 200 1450
    network m subnet s 10.0.0.0/24
    network m at h1 192.0.2.1
    neighbours m p1 10.0.0.11 at h1 192.0.2.1
    """,
)

SWAPPED = _state(
    "two hosts that swapped their names",
    [replaced(_H1, name="host-h2"), replaced(_H2, name="host-h1"), _N, _P1, _P2],
    """
    host h1 host host-h2: 192.0.2.1
    host h2 host host-h1: 192.0.2.2
    host h2 port p1 (n) 10.0.0.11
    host h1 port p2 (n) 10.0.0.12
    network n vxlan 100 1450
    network n at h1 192.0.2.1
    network n at h2 192.0.2.2
    neighbours n p1 10.0.0.11 at h2 192.0.2.2
    neighbours n p2 10.0.0.12 at h1 192.0.2.1
    """,
)

_MOVING = replaced(_P1, extra=with_extra(None, bindings=(Binding("host-h2", vif_type="ovs"),)))

STANDBY = _state(
    "a port that is about to move",
    [_H1, _H2, _N, _MOVING],
    """
    host h1 host host-h1: 192.0.2.1
    host h2 host host-h2: 192.0.2.2
    host h1 port p1 (n) 10.0.0.11
    host h2 port p1 (n) 10.0.0.11 standby
    network n vxlan 100 1450
    network n at h1 192.0.2.1
    neighbours n p1 10.0.0.11 at h1 192.0.2.1
    """,
)

_OUT = a_network(
    "x",
    provider_network_type="flat",
    provider_segmentation_id=None,
    provider_physical_network="outside",
    router_external=True,
)
_XS = a_subnet("xs", "x", cidr="203.0.113.0/24", gateway_ip="203.0.113.1")
_H2G = replaced(_H2, gateway=True, bridge_mappings={"outside": "br-ex"})
_R = Router(id="r", gateway_ports=("rg",), routes=(Route("10.7.0.0/16", "10.0.0.12"),))
_RI = a_port(
    "ri",
    "n",
    "",
    "10.0.0.1",
    device_owner="network:router_interface",
    device_id="r",
    port_security_enabled=False,
)
_RG = replaced(
    _RI,
    id="rg",
    network_id="x",
    device_owner="network:router_gateway",
    fixed_ips=(FixedIp("xs", "203.0.113.5"),),
)
_FP = replaced(
    _RG, id="fp", device_owner="network:floatingip", device_id="f", mac_address="fa:16:3e:00:00:0f"
)
_F = FloatingIp(
    id="f",
    floating_network_id="x",
    floating_ip_address="203.0.113.9",
    floating_port_id="fp",
    port_id="p1",
    fixed_ip_address="10.0.0.11",
    router_id="r",
)
_ROUTED = """
    network n vxlan 100 1450
    network n subnet s 10.0.0.0/24
    network x flat 0 1450
    network x subnet xs 203.0.113.0/24
    network n at h1 192.0.2.1
    neighbours n p1 10.0.0.11 at h1 192.0.2.1
    host h1 host host-h1: 192.0.2.1
    host h2 host host-h2: 192.0.2.2
    host h1 port p1 (n) 10.0.0.11 via r
"""

ROUTED = _state(
    "a router with a gateway, and a floating IP that its gateway host translates",
    [_H1, _H2G, _N, _S, _OUT, _XS, _P1, _R, _RI, _RG, _FP, _F],
    _ROUTED
    + """
    host h2 gateway r x
    host h2 floating 203.0.113.9 fa:16:3e:00:00:0f 10.0.0.11 central
    router r inside ['10.0.0.1'] routes ['10.7.0.0/16 to 10.0.0.12'] outside ['203.0.113.5 (x)'] at ['h2']
    """,
)

DISTRIBUTED = _state(
    "the port's host reaches the outside itself; a draining host serves no gateway",
    [
        replaced(_H1, bridge_mappings={"outside": "br-ex"}),
        replaced(_H2G, rotation="draining"),
        *(_N, _S, _OUT, _XS, _P1, _R, _RI, _RG, _FP, _F),
    ],
    _ROUTED
    + """
    host h1 floating 203.0.113.9 fa:16:3e:00:00:0f 10.0.0.11
    router r inside ['10.0.0.1'] routes ['10.7.0.0/16 to 10.0.0.12'] outside ['203.0.113.5 (x)'] at []
    """,
)

FORWARDED = _state(
    "a floating IP that forwards ports; a route whose next hop is on no subnet",
    [
        *(_H1, _H2G, _N, _S, _OUT, _XS, _P1, _RI, _RG, _FP),
        replaced(_R, routes=(Route("10.7.0.0/16", "10.9.0.1"),)),
        replaced(_F, port_id=None, fixed_ip_address=None),
        PortForwarding(
            id="pf",
            floatingip_id="f",
            internal_port_id="p1",
            internal_ip_address="10.0.0.11",
            protocol="tcp",
            external_first=80,
            external_last=80,
            internal_first=8080,
            internal_last=8080,
        ),
    ],
    _ROUTED
    + """
    host h2 gateway r x
    host h2 floating 203.0.113.9 fa:16:3e:00:00:0f ['80>10.0.0.11'] central
    router r inside ['10.0.0.1'] routes ['10.7.0.0/16 to nowhere'] outside ['203.0.113.5 (x)'] at ['h2']
    """,
)

GROUPED = _state(
    "security groups with rules about a group, an address group, a prefix and anybody",
    [
        _H1,
        replaced(_P1, security_groups=("g",)),
        a_port("u", "n", "", "10.0.0.50", "2001:db8::5", security_groups=("g",)),
        a_port("v", "n", "", "10.0.0.51", security_groups=("g",), port_security_enabled=False),
        SecurityGroup(id="g"),
        SecurityGroupRule(id="1", security_group_id="g", direction="ingress", remote_group_id="g"),
        SecurityGroupRule(id="2", security_group_id="g", direction="ingress", remote_address_group_id="a"),
        SecurityGroupRule(id="3", security_group_id="g", direction="egress", remote_ip_prefix="0.0.0.0/0"),
        SecurityGroupRule(id="4", security_group_id="g", direction="egress", remote_ip_prefix="10.1.2.3/8"),
        AddressGroup(id="a", addresses=("192.0.2.0/24", "2001:db8::/32")),
    ],
    """
    host h1 host host-h1: 192.0.2.1
    host h1 port p1 (n) 10.0.0.11
    network n at h1 192.0.2.1
    neighbours n p1 10.0.0.11 at h1 192.0.2.1
    rules g in g, in a, out any, out 10.0.0.0/8
    members g p1 10.0.0.11/32
    members g u 10.0.0.50/32 2001:db8::5/128
    addresses a 192.0.2.0/24
    addresses a 2001:db8::/32
    """,
)

LIMITED = _state(
    "the network's QoS policy, a port's own, and none for a router's port",
    [
        _H1,
        replaced(_N, qos_policy_id="z"),
        _P1,
        a_port("p3", "n", "h1", "10.0.0.13", qos_policy_id="y"),
        replaced(
            _RI, binding_host_id="host-h1", binding_vif_type="ovs", device_id="", port_security_enabled=True
        ),
        QosPolicy(id="z"),
        QosPolicy(id="y"),
        BandwidthLimitRule(id="b", qos_policy_id="z", max_kbps=1000),
        DscpMarkingRule(id="d", qos_policy_id="y", dscp_mark=46),
    ],
    """
    host h1 host host-h1: 192.0.2.1
    host h1 port p1 (n) 10.0.0.11 qos z
    host h1 port p3 (n) 10.0.0.13 qos y
    host h1 port ri (n) 10.0.0.1
    network n vxlan 100 1450
    network n at h1 192.0.2.1
    neighbours n p1 10.0.0.11 at h1 192.0.2.1
    neighbours n p3 10.0.0.13 at h1 192.0.2.1
    neighbours n ri 10.0.0.1 at h1 192.0.2.1
    qos z kbps [1000] dscp None
    qos y kbps [] dscp 46
    """,
)

GUARDED = _state(
    "network ACLs and firewalls",
    [
        *(_H1, _N, _S, _P1, _R, _RI),
        a_subnet("t", "n", cidr="10.8.0.0/24"),
        NetworkAcl(id="one", network_id="n", associated_subnets=("t",)),
        NetworkAcl(id="rest", network_id="n", is_default=True),
        NetworkAclRule(
            id="1",
            network_acl_id="one",
            number=7,
            direction="ingress",
            action="allow",
            ip_prefix="10.0.0.0/8",
        ),
        NetworkAclRule(id="2", network_acl_id="one", number=5, direction="egress", action="deny"),
        FirewallGroup(id="w", ports=("p1", "ri"), ingress_firewall_policy_id="k"),
        FirewallGroup(id="off", ports=("p1",), admin_state_up=False),
        FirewallPolicy(id="k", firewall_rules=("5", "4", "6")),
        FirewallRule(id="4", action="allow"),
        FirewallRule(id="5", action="reject"),
        FirewallRule(id="6", action="allow", enabled=False),
    ],
    """
    host h1 host host-h1: 192.0.2.1
    host h1 port p1 (n) 10.0.0.11 via r
    network n vxlan 100 1450
    network n subnet s 10.0.0.0/24
    network n subnet t 10.8.0.0/24
    network n at h1 192.0.2.1
    neighbours n p1 10.0.0.11 at h1 192.0.2.1
    router r inside ['10.0.0.1'] routes ['10.7.0.0/16 to 10.0.0.12'] outside [] at []
    network n acl one 10.8.0.0/24: 5 deny 0.0.0.0/0, 7 allow 10.0.0.0/8
    network n acl rest 10.0.0.0/24:
    router r firewall w ri: ['reject', 'allow'] None
    host h1 firewall w p1: ['reject', 'allow'] None
    host h1 firewall off p1: [] []
    """,
)

_T = Trunk(id="tr", port_id="p1", sub_ports=(SubPort("sub", "vlan", 101),))
_SUB = a_port("sub", "m", "", "10.0.0.20")
_TRUNKED = """
    host h1 host host-h1: 192.0.2.1
    host h1 port p1 (n) 10.0.0.11
    network n at h1 192.0.2.1
    neighbours n p1 10.0.0.11 at h1 192.0.2.1
"""

TRUNKED = _state(
    "a port on a trunk is where the trunk's parent is",
    [_H1, _P1, _SUB, _T],
    _TRUNKED
    + """
    host h1 port sub (m) 10.0.0.20 on p1:101
    network m at h1 192.0.2.1
    neighbours m sub 10.0.0.20 at h1 192.0.2.1
    """,
)

UNTRUNKED = _state("a trunk that is down", [_H1, _P1, _SUB, replaced(_T, admin_state_up=False)], _TRUNKED)

PEERED = _state(
    "two peered networks, one of them without a router",
    [
        *(_H1, _N, _S, _M, _P1),
        a_subnet("ms", "m", cidr="10.8.0.0/24", gateway_ip="10.8.0.1"),
        replaced(_Q1, fixed_ips=(FixedIp("ms", "10.8.0.11"),)),
        *(_R, _RI),
        VpcPeering(id="v", network_id="n", peer_network_id="m", peer_project_id="", status="active"),
        VpcPeering(id="w", network_id="n", peer_network_id="o", peer_project_id="", status="pending"),
    ],
    """
    host h1 host host-h1: 192.0.2.1
    host h1 port p1 (n) 10.0.0.11 via r
    host h1 port q1 (m) 10.8.0.11 via m
    network n vxlan 100 1450
    network n subnet s 10.0.0.0/24
    network n at h1 192.0.2.1
    network m vxlan 200 1450
    network m subnet ms 10.8.0.0/24
    network m at h1 192.0.2.1
    neighbours n p1 10.0.0.11 at h1 192.0.2.1
    neighbours m q1 10.8.0.11 at h1 192.0.2.1
    router r inside ['10.0.0.1'] routes ['10.7.0.0/16 to 10.0.0.12', '10.8.0.0/24 to m'] outside [] at []
    router m inside ['10.8.0.1'] routes ['10.0.0.0/24 to n'] outside [] at []
    """,
)

_P3 = a_port("p3", "n", "h1", "10.0.0.13")
_LARGE_LINES = """
    host h1 host host-h1: 192.0.2.1
    host h2 host host-h2: 192.0.2.2
    host h1 port p1 (n) 10.0.0.11
    host h2 port p2 (n) 10.0.0.12
    host h1 port p3 (n) 10.0.0.13
    network n vxlan 100 1450
    network n subnet s 10.0.0.0/24
    network n at h1 192.0.2.1
    network n at h2 192.0.2.2
    neighbours n p1 10.0.0.11 at h1 192.0.2.1
    neighbours n p2 10.0.0.12 at h2 192.0.2.2
    neighbours n p3 10.0.0.13 at h1 192.0.2.1
    """

LARGE = _state("a large network without gateway hosts", [_H1, _H2, _N, _S, _P1, _P2, _P3], _LARGE_LINES)

RELAYED = _state(
    "a large network with a relay",
    [_H1, replaced(_H2, gateway=True), _N, _S, _P1, _P2, _P3],
    f"""
    {_LARGE_LINES}
    host h2 relay of n
    network n relays ['h2']
    """.replace("network n at", "hosts n at"),
)

ALL = (
    LARGE,
    RELAYED,
    STANDBY,
    ROUTED,
    DISTRIBUTED,
    FORWARDED,
    GROUPED,
    LIMITED,
    GUARDED,
    TRUNKED,
    UNTRUNKED,
    PEERED,
    EMPTY,
    HOSTS,
    NETWORK,
    PAIR,
    MOVED,
    READDRESSED,
    REMADE,
    HOST_GONE,
    UNREACHABLE,
    DISABLED,
    UNBOUND,
    TWO_NETWORKS,
    ORPHANS,
    MOVED_NETWORK,
    SWAPPED,
)

SEQUENCES: dict[str, tuple[RegionState, ...]] = {
    "build up": (HOSTS, NETWORK, PAIR, TWO_NETWORKS),
    "live migration": (PAIR, MOVED, PAIR, HOST_GONE),
    "a host dies and is made again": (PAIR, HOST_GONE, REMADE, READDRESSED),
    "children outlive parents": (PAIR, ORPHANS, UNBOUND, DISABLED),
    "changes of address": (READDRESSED, UNREACHABLE, PAIR, READDRESSED, REMADE),
    "names pass on": (PAIR, SWAPPED, REMADE, MOVED, SWAPPED),
    "networks change": (PAIR, MOVED_NETWORK, TWO_NETWORKS, ORPHANS, MOVED_NETWORK, NETWORK),
    "a move is prepared and made": (PAIR, STANDBY, MOVED, STANDBY, HOST_GONE, STANDBY),
    "the way out changes": (PAIR, ROUTED, DISTRIBUTED, FORWARDED, ROUTED, HOST_GONE, FORWARDED, NETWORK),
    "rules come and go": (PAIR, GROUPED, LIMITED, GUARDED, GROUPED, ORPHANS, LIMITED),
    "trunks go up and down": (TRUNKED, UNTRUNKED, TRUNKED, MOVED, TRUNKED, HOST_GONE),
    "networks grow and shrink": (PAIR, LARGE, RELAYED, PAIR, RELAYED, MOVED_NETWORK, RELAYED, HOST_GONE),
    "peered and not": (TWO_NETWORKS, PEERED, ROUTED, PEERED, GUARDED, NETWORK, PEERED),
    "up and down": (DISABLED, PAIR, UNBOUND, DISABLED, MOVED, EMPTY, PAIR),
}


@dataclass(frozen=True, slots=True)
class Walk:
    """States to pass one after the other, each step one cut unless `squashed`: then all of it is one cut."""

    name: str
    states: tuple[RegionState, ...]
    squashed: bool = False


def expanded(name: str, states: tuple[RegionState, ...]) -> list[Walk]:
    """A sequence forward, backward, with the region emptied in between, each both step by step and as one cut; and
    each of its states alone."""
    emptied = tuple(state for pair in states for state in (pair, EMPTY))
    ways = {
        "forward": states,
        "reversed": states[::-1],
        "emptied": emptied,
        "reversed and emptied": emptied[::-1],
    }
    walks = [Walk(f"{name}, {way}", walk) for way, walk in ways.items()]
    walks += [Walk(f"{name}, {way}, in one cut", walk, squashed=True) for way, walk in ways.items()]
    return walks + [Walk(f"{name}, alone: {state.name}", (state,)) for state in dict.fromkeys(states)]


def walks() -> list[Walk]:
    """Every expansion of every sequence, each once."""
    found = [walk for name, states in SEQUENCES.items() for walk in expanded(name, states)]
    return list({(walk.states, walk.squashed): walk for walk in found}.values())
