"""Facts: what packets need of a row, one small frozen struct per kind of row.

Where a fact is all of an item, the item itself is the fact. Equal facts mean that nothing changes for packets.
"""

import msgspec

from alcor.goalstate.bgp_item import BgpPeerItem
from alcor.goalstate.item import HostItem, Limit, LocalPort, NetworkItem, Route
from alcor.goalstate.router_item import Forward
from alcor.goalstate.security_item import AclRule, FirewallRuleItem, GroupRule
from alcor.model.address_claim import claim_id


class HostFact(msgspec.Struct, frozen=True, gc=False):
    """A host: its item. `is_gateway`: routers' gateways may be served there now."""

    item: HostItem
    is_gateway: bool


class NetworkFact(msgspec.Struct, frozen=True, gc=False):
    """A network: its item, and the QoS policy of its ports that have none of their own."""

    item: NetworkItem
    qos: str | None


class PortFact(msgspec.Struct, frozen=True, gc=False):
    """A port: its item so far as the row says it, and where it wants to be.

    `local` has no routers, no trunk, and its own QoS policy only. `host_name`: the host it is bound to, if its binding
    did not fail; "" otherwise. `generation`: the row's `binding_generation`. `standby`: names of hosts that are
    prepared for it, or that it has left and that keep its binding: they go on knowing its network, or could not send
    after it what still comes. `prepared`: those of them that are prepared. `router_id`: the router it is an inner
    interface of. `is_gateway`: a router's port on an external network. `takes_network_qos`: its network's policy is its
    own, if it has none.
    """

    local: LocalPort
    host_name: str
    generation: int
    standby: tuple[str, ...] = ()
    prepared: tuple[str, ...] = ()
    router_id: str | None = None
    is_gateway: bool = False
    takes_network_qos: bool = True


class RouterFact(msgspec.Struct, frozen=True, gc=False):
    """A router. `gateway_ports` in order."""

    id: str
    admin_state_up: bool
    routes: tuple[Route, ...]
    gateway_ports: tuple[str, ...]
    snat: bool
    qos: str | None


class TableRouteFact(msgspec.Struct, frozen=True, gc=False):
    """A route of a route table. `is_way_out`: to the gateway; else without `nexthop`: nowhere."""

    destination: str
    priority: int
    nexthop: str | None
    is_way_out: bool


class RouteTableFact(msgspec.Struct, frozen=True, gc=False):
    """A route table, of one subnet or of all of a network's that have none of their own."""

    id: str
    network_id: str
    subnet_id: str | None
    routes: tuple[TableRouteFact, ...]


class PeeringFact(msgspec.Struct, frozen=True, gc=False):
    """Two networks whose owners want packets to pass between them."""

    id: str
    networks: tuple[str, str]


class FloatingIpFact(msgspec.Struct, frozen=True, gc=False):
    """A floating IP that a router translates."""

    id: str
    ip: str
    network_id: str
    floating_port_id: str
    router_id: str
    port_id: str | None
    fixed_ip: str | None
    qos: str | None


class ForwardFact(msgspec.Struct, frozen=True, gc=False):
    """A port forwarding of a floating IP."""

    forward: Forward
    floating_ip_id: str


class GroupFact(msgspec.Struct, frozen=True, gc=False):
    """A security group without its rules."""

    id: str
    stateful: bool


class GroupRuleFact(msgspec.Struct, frozen=True, gc=False):
    """A rule of a security group."""

    rule: GroupRule
    group_id: str


class AddressGroupFact(msgspec.Struct, frozen=True, gc=False):
    """An address group; prefixes in canonical text, sorted."""

    id: str
    prefixes: tuple[str, ...]


class AclFact(msgspec.Struct, frozen=True, gc=False):
    """A network ACL without its rules. `is_default`: it guards the subnets that no ACL names."""

    id: str
    network_id: str
    is_default: bool
    subnets: tuple[str, ...]


class AclRuleFact(msgspec.Struct, frozen=True, gc=False):
    """A rule of a network ACL."""

    rule: AclRule
    acl_id: str


class FirewallGroupFact(msgspec.Struct, frozen=True, gc=False):
    """A firewall group: its ports (sorted) and the policies of both directions."""

    id: str
    admin_state_up: bool
    ports: tuple[str, ...]
    ingress: str | None
    egress: str | None


class FirewallPolicyFact(msgspec.Struct, frozen=True, gc=False):
    """The rules of a firewall policy, in order."""

    id: str
    rules: tuple[str, ...]


class QosPolicyFact(msgspec.Struct, frozen=True, gc=False):
    """A QoS policy without its rules."""

    id: str


class QosRuleFact(msgspec.Struct, frozen=True, gc=False):
    """A rule of a QoS policy: exactly one of the three."""

    policy_id: str
    bandwidth: Limit | None = None
    packets: Limit | None = None
    dscp: int | None = None


class SubPortFact(msgspec.Struct, frozen=True, gc=False):
    """A port on a trunk, and the VLAN id of its frames there."""

    port_id: str
    vlan: int


class TrunkFact(msgspec.Struct, frozen=True, gc=False):
    """A trunk. `port_id`: the parent's."""

    id: str
    port_id: str
    admin_state_up: bool
    sub_ports: tuple[SubPortFact, ...]


class ClaimFact(msgspec.Struct, frozen=True, gc=False):
    """An address that a port was seen to have taken: an observation, kept as a row."""

    network_id: str
    ip: str
    mac: str
    port_id: str

    @property
    def id(self) -> str:
        """Of all claims of a network's address the last counts: they have one row, and this is its id."""
        return claim_id(self.network_id, self.ip)


class StandingFact(msgspec.Struct, frozen=True, gc=False):
    """A gateway host that was lost, and when: it stands behind those that were not. An observation, kept as a row."""

    host_id: str
    lost_at_ms: int


class BgpPeerFact(msgspec.Struct, frozen=True, gc=False):
    """A BGP peer of a speaker."""

    id: str
    peer: BgpPeerItem


class BgpSpeakerFact(msgspec.Struct, frozen=True, gc=False):
    """A BGP speaker: ids of its peers and external networks (sorted), and which prefixes are advertised."""

    id: str
    local_as: int
    ip_version: int
    peers: tuple[str, ...]
    networks: tuple[str, ...]
    floating_ips: bool
    subnets: bool


class PoolFact(msgspec.Struct, frozen=True, gc=False):
    """A subnet pool of an address scope."""

    id: str
    address_scope_id: str


class PooledSubnetFact(msgspec.Struct, frozen=True, gc=False):
    """A subnet that is from a pool."""

    id: str
    network_id: str
    pool_id: str
    cidr: str


FirewallRuleFact = FirewallRuleItem
"""A rule that is enabled; others are no facts."""
