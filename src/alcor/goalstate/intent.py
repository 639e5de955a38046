"""Intent as the goal state sees it: of each row only what packets need, with the indexes that find it.

Rows of the store are *projected* to facts at the entrance. A change that packets do not need (a description, a
device owner) is no change here: it costs one comparison and nothing is sent. A new kind of row is a line in `KINDS`
(with its projection and what it is found by) and a table of `Intent`.

Memory: a port's fact shares its strings with the items made of it; identifiers that many ports have in common
(network, subnet, host name, group) are interned. Measured by `benchmarks`: see docs.
"""

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import groupby
from typing import Any, Generic, NamedTuple, TypeVar

from alcor.goalstate import project
from alcor.goalstate.fact import (
    AclFact,
    AclRuleFact,
    AddressGroupFact,
    BgpPeerFact,
    BgpSpeakerFact,
    ClaimFact,
    FirewallGroupFact,
    FirewallPolicyFact,
    FirewallRuleFact,
    FloatingIpFact,
    ForwardFact,
    GroupFact,
    GroupRuleFact,
    HostFact,
    NetworkFact,
    PeeringFact,
    PooledSubnetFact,
    PoolFact,
    PortFact,
    QosPolicyFact,
    QosRuleFact,
    RouterFact,
    RouteTableFact,
    StandingFact,
    TrunkFact,
)
from alcor.goalstate.indexed import Indexed
from alcor.goalstate.item import RegionItem, ReleaseItem, RescueItem, SubnetItem
from alcor.model.address_claim import AddressClaim
from alcor.model.address_group import AddressGroup
from alcor.model.bgp import BgpPeer, BgpSpeaker
from alcor.model.catalogue import BY_ENTITY
from alcor.model.change import Change
from alcor.model.epoch_release import EpochRelease
from alcor.model.firewall import FirewallGroup, FirewallPolicy, FirewallRule
from alcor.model.floatingip import FloatingIp
from alcor.model.gateway_standing import GatewayStanding
from alcor.model.host import Host
from alcor.model.network import Network
from alcor.model.network_acl import NetworkAcl, NetworkAclRule
from alcor.model.port import Port
from alcor.model.port_forwarding import PortForwarding
from alcor.model.qos_policy import QosPolicy
from alcor.model.qos_rule import BandwidthLimitRule, DscpMarkingRule, PacketRateLimitRule
from alcor.model.region_setting import RegionSetting
from alcor.model.rescue_lease import RescueLease
from alcor.model.resource import Entity
from alcor.model.route_table import RouteTable
from alcor.model.router import Router
from alcor.model.security_group import SecurityGroup
from alcor.model.security_group_rule import SecurityGroupRule
from alcor.model.subnet import Subnet
from alcor.model.subnetpool import SubnetPool
from alcor.model.trunk import Trunk
from alcor.model.vpc_peering import VpcPeering

F = TypeVar("F")


class Input(StrEnum):
    """What goal state is computed from: each a table of `Intent`, except `PLACEMENTS`, which a node computes."""

    HOSTS = "hosts"
    NETWORKS = "networks"
    SUBNETS = "subnets"
    PORTS = "ports"
    ROUTERS = "routers"
    ROUTE_TABLES = "route_tables"
    PEERINGS = "peerings"
    FLOATING_IPS = "floating_ips"
    FORWARDS = "forwards"
    GROUPS = "groups"
    GROUP_RULES = "group_rules"
    ADDRESS_GROUPS = "address_groups"
    ACLS = "acls"
    ACL_RULES = "acl_rules"
    FIREWALL_GROUPS = "firewall_groups"
    FIREWALL_POLICIES = "firewall_policies"
    FIREWALL_RULES = "firewall_rules"
    QOS_POLICIES = "qos_policies"
    QOS_RULES = "qos_rules"
    TRUNKS = "trunks"
    CLAIMS = "claims"
    STANDINGS = "standings"
    BGP_SPEAKERS = "bgp_speakers"
    BGP_PEERS = "bgp_peers"
    POOLS = "pools"
    POOLED_SUBNETS = "pooled_subnets"
    RELEASES = "releases"
    SETTINGS = "settings"
    RESCUES = "rescues"
    PLACEMENTS = "placements"


class By(StrEnum):
    """What facts are found by, beside their ids: `table.find((By.NETWORK, id))`."""

    NAME = "name"
    NETWORK = "network"
    HOST = "host"
    STANDBY = "standby"
    INTERFACE_OF = "interface_of"
    INTERFACE_ON = "interface_on"
    GATEWAY_ON = "gateway_on"
    GATEWAY_PORT = "gateway_port"
    HAS_GATEWAY = "has_gateway"
    IS_GATEWAY = "is_gateway"
    PORT = "port"
    FLOATING_PORT = "floating_port"
    FLOATING_IP = "floating_ip"
    ROUTER = "router"
    GROUP = "group"
    ACL = "acl"
    POLICY = "policy"
    RULE = "rule"
    SUB_PORT = "sub_port"
    PEER = "peer"
    POOL = "pool"


Names = tuple[tuple[By, Hashable], ...]


def _host_names(host: HostFact) -> Names:
    name = (By.NAME, host.item.name)
    return (name, (By.IS_GATEWAY, True)) if host.is_gateway else (name,)


def _subnet_names(subnet: SubnetItem) -> Names:
    return ((By.NETWORK, subnet.network_id),)


# Found once: a member of an enumeration costs a search each time, and ports are many.
_NETWORK, _HOST = By.NETWORK, By.HOST


def _port_names(port: PortFact) -> Names:
    network_id, host_name = port.local.network_id, port.host_name
    if host_name and port.router_id is None and not port.is_gateway and not port.standby:
        return (_NETWORK, network_id), (_HOST, host_name)  # most of a region
    names: list[tuple[By, Hashable]] = [(_NETWORK, network_id)]
    if host_name:
        names.append((_HOST, host_name))
    if port.standby:
        names += [(By.STANDBY, name) for name in port.standby]
    if port.router_id is not None:
        names += [(By.INTERFACE_OF, port.router_id), (By.INTERFACE_ON, network_id)]
    if port.is_gateway:
        names.append((By.GATEWAY_ON, network_id))
    return tuple(names)


def _router_names(router: RouterFact) -> Names:
    gateways = tuple((By.GATEWAY_PORT, port_id) for port_id in router.gateway_ports)
    return ((By.HAS_GATEWAY, True), *gateways) if gateways else ()


def _table_names(table: RouteTableFact) -> Names:
    return ((By.NETWORK, table.network_id),)


def _peering_names(peering: PeeringFact) -> Names:
    return tuple((By.NETWORK, network_id) for network_id in peering.networks)


def _floating_ip_names(floating_ip: FloatingIpFact) -> Names:
    return (
        (By.NETWORK, floating_ip.network_id),
        (By.ROUTER, floating_ip.router_id),
        (By.FLOATING_PORT, floating_ip.floating_port_id),
        (By.PORT, floating_ip.port_id),
    )


def _acl_names(acl: AclFact) -> Names:
    return ((By.NETWORK, acl.network_id),)


def _firewall_group_names(group: FirewallGroupFact) -> Names:
    policies = dict.fromkeys((group.ingress, group.egress))
    return (*((By.PORT, id) for id in group.ports), *((By.POLICY, id) for id in policies))


def _policy_names(policy: FirewallPolicyFact) -> Names:
    return tuple((By.RULE, id) for id in dict.fromkeys(policy.rules))


def _trunk_names(trunk: TrunkFact) -> Names:
    return ((By.PORT, trunk.port_id), *((By.SUB_PORT, one.port_id) for one in trunk.sub_ports))


def _speaker_names(speaker: BgpSpeakerFact) -> Names:
    return (*((By.NETWORK, id) for id in speaker.networks), *((By.PEER, id) for id in speaker.peers))


def _pooled_subnet_names(subnet: PooledSubnetFact) -> Names:
    return ((By.NETWORK, subnet.network_id), (By.POOL, subnet.pool_id))


def _no_names(_fact: Any) -> Names:
    return ()


class Kind(NamedTuple):
    """One kind of row: the table its facts are in, what packets need of it (None: nothing).

    `more`: the same of other things that the row says, which few ask for.
    """

    input: Input
    project: Callable[[Any], Any]
    more: tuple["Kind", ...] = ()


KINDS: dict[type[Entity], Kind] = {
    Host: Kind(Input.HOSTS, project.host_fact),
    Network: Kind(Input.NETWORKS, project.network_fact),
    Subnet: Kind(
        Input.SUBNETS, project.subnet_fact, (Kind(Input.POOLED_SUBNETS, project.pooled_subnet_fact),)
    ),
    SubnetPool: Kind(Input.POOLS, project.pool_fact),
    Port: Kind(Input.PORTS, project.port_fact),
    Router: Kind(Input.ROUTERS, project.router_fact),
    RouteTable: Kind(Input.ROUTE_TABLES, project.route_table_fact),
    VpcPeering: Kind(Input.PEERINGS, project.peering_fact),
    FloatingIp: Kind(Input.FLOATING_IPS, project.floating_ip_fact),
    PortForwarding: Kind(Input.FORWARDS, project.forward_fact),
    SecurityGroup: Kind(Input.GROUPS, project.group_fact),
    SecurityGroupRule: Kind(Input.GROUP_RULES, project.group_rule_fact),
    AddressGroup: Kind(Input.ADDRESS_GROUPS, project.address_group_fact),
    NetworkAcl: Kind(Input.ACLS, project.acl_fact),
    NetworkAclRule: Kind(Input.ACL_RULES, project.acl_rule_fact),
    FirewallGroup: Kind(Input.FIREWALL_GROUPS, project.firewall_group_fact),
    FirewallPolicy: Kind(Input.FIREWALL_POLICIES, project.firewall_policy_fact),
    FirewallRule: Kind(Input.FIREWALL_RULES, project.firewall_rule_fact),
    QosPolicy: Kind(Input.QOS_POLICIES, project.qos_policy_fact),
    BandwidthLimitRule: Kind(Input.QOS_RULES, project.bandwidth_fact),
    PacketRateLimitRule: Kind(Input.QOS_RULES, project.packet_rate_fact),
    DscpMarkingRule: Kind(Input.QOS_RULES, project.dscp_fact),
    Trunk: Kind(Input.TRUNKS, project.trunk_fact),
    AddressClaim: Kind(Input.CLAIMS, project.claim_fact),
    GatewayStanding: Kind(Input.STANDINGS, project.standing_fact),
    BgpSpeaker: Kind(Input.BGP_SPEAKERS, project.bgp_speaker_fact),
    BgpPeer: Kind(Input.BGP_PEERS, project.bgp_peer_fact),
    EpochRelease: Kind(Input.RELEASES, project.release_fact),
    RegionSetting: Kind(Input.SETTINGS, project.setting_fact),
    RescueLease: Kind(Input.RESCUES, project.rescue_fact),
}

ENTITIES: tuple[type[Entity], ...] = tuple(KINDS)
"""The kinds of rows the goal state is computed from; changes of all others are passed over."""

_ENTITY_OF: dict[str, type[Entity]] = {BY_ENTITY[entity].name: entity for entity in KINDS}

KIND_OF: dict[str, tuple[Input, ...]] = {
    BY_ENTITY[entity].name: (kind.input, *(one.input for one in kind.more)) for entity, kind in KINDS.items()
}
"""Resource name → the tables that its rows have facts in."""


@dataclass(frozen=True, slots=True)
class Step(Generic[F]):
    """What one turn did to one fact, whatever lay between. `remade`: it was gone in between."""

    id: str
    before: F | None
    after: F | None
    remade: bool = False


class Steps(dict[Input, list[Step[Any]]]):
    """The steps of one turn, by kind of fact; a fact that ends as it began has none."""

    def of(self, input: Input) -> Sequence[Step[Any]]:
        """The steps of one kind."""
        return self.get(input, ())


@dataclass(slots=True)
class _Net:
    """The end of one row's changes inside a turn."""

    row: Entity | None = None
    remade: bool = False


class Intent:
    """All facts, by id, and the indexes that keep a change's cost in proportion to the change.

    Law: host names are unique in every state between turns (the store claims them).
    """

    def __init__(self, region: RegionItem) -> None:
        """`region`: the parameters of all hosts as long as no row says them."""
        self._region = region
        self.hosts: Indexed[HostFact] = Indexed(_host_names)
        self.networks: Indexed[NetworkFact] = Indexed(_no_names)
        self.subnets: Indexed[SubnetItem] = Indexed(_subnet_names)
        self.ports: Indexed[PortFact] = Indexed(_port_names)
        self.routers: Indexed[RouterFact] = Indexed(_router_names)
        self.route_tables: Indexed[RouteTableFact] = Indexed(_table_names)
        self.peerings: Indexed[PeeringFact] = Indexed(_peering_names)
        self.floating_ips: Indexed[FloatingIpFact] = Indexed(_floating_ip_names)
        self.forwards: Indexed[ForwardFact] = Indexed(lambda one: ((By.FLOATING_IP, one.floating_ip_id),))
        self.groups: Indexed[GroupFact] = Indexed(_no_names)
        self.group_rules: Indexed[GroupRuleFact] = Indexed(lambda one: ((By.GROUP, one.group_id),))
        self.address_groups: Indexed[AddressGroupFact] = Indexed(_no_names)
        self.acls: Indexed[AclFact] = Indexed(_acl_names)
        self.acl_rules: Indexed[AclRuleFact] = Indexed(lambda one: ((By.ACL, one.acl_id),))
        self.firewall_groups: Indexed[FirewallGroupFact] = Indexed(_firewall_group_names)
        self.firewall_policies: Indexed[FirewallPolicyFact] = Indexed(_policy_names)
        self.firewall_rules: Indexed[FirewallRuleFact] = Indexed(_no_names)
        self.qos_policies: Indexed[QosPolicyFact] = Indexed(_no_names)
        self.qos_rules: Indexed[QosRuleFact] = Indexed(lambda one: ((By.POLICY, one.policy_id),))
        self.trunks: Indexed[TrunkFact] = Indexed(_trunk_names)
        self.claims: Indexed[ClaimFact] = Indexed(lambda one: ((By.PORT, one.port_id),))
        self.standings: Indexed[StandingFact] = Indexed(_no_names)
        self.bgp_speakers: Indexed[BgpSpeakerFact] = Indexed(_speaker_names)
        self.bgp_peers: Indexed[BgpPeerFact] = Indexed(_no_names)
        self.pools: Indexed[PoolFact] = Indexed(_no_names)
        self.pooled_subnets: Indexed[PooledSubnetFact] = Indexed(_pooled_subnet_names)
        self.releases: Indexed[ReleaseItem] = Indexed(_no_names)
        self.settings: Indexed[RegionItem] = Indexed(_no_names)
        self.rescues: Indexed[RescueItem] = Indexed(_no_names)

    @property
    def region(self) -> RegionItem:
        """The parameters of all hosts."""
        return next(iter(self.settings.values()), self._region)

    @classmethod
    def of(cls, region: RegionItem, rows: Iterable[Entity | PortFact]) -> "Intent":
        """The intent of a whole region: each row once, or what is `early` of it. Cost: O(rows), about 3 µs each."""
        intent = cls(region)
        given: Iterable[Any] = rows
        for entity, same in groupby(given, type):
            if entity is PortFact:
                intent.ports.fill((fact.local.id, fact) for fact in same)
                continue
            kind = KINDS.get(entity)
            if kind is None:
                continue
            if kind.more:
                kept = list(same)
                for one in (kind, *kind.more):
                    intent.table(one.input).fill(_facts(kept, one))
            else:
                intent.table(kind.input).fill(_facts(same, kind))
        return intent

    def table(self, input: Input) -> Indexed[Any]:
        """The facts of one kind."""
        table: Indexed[Any] = getattr(self, input.value)
        return table

    def host_named(self, name: str) -> HostFact | None:
        """The host of this name, if there is one."""
        ids = self.hosts.find((By.NAME, name)) if name else ()
        return self.hosts[ids[0]] if ids else None

    def host_of(self, port: PortFact) -> HostFact | None:
        """Where a port is placed: the host it names, if its binding did not fail and there is such a host.

        A port on a trunk is where the trunk's parent is, while both trunk and parent are up.
        """
        trunks = self.trunks.find((By.SUB_PORT, port.local.id)) if self.trunks else ()
        if not trunks:
            return self.host_named(port.host_name)
        trunk = self.trunks[min(trunks)]
        parent = self.ports.get(trunk.port_id)
        if parent is None or not trunk.admin_state_up or not parent.local.admin_state_up:
            return None
        return self.host_named(parent.host_name)

    def ports_named(self, host_name: str) -> Iterator[PortFact]:
        """The ports that want to be on the host of this name, whether it exists or not; those of trunks too."""
        for id in self.ports.find((By.HOST, host_name)):
            for other in self.with_sub_ports(id):
                if other in self.ports:
                    yield self.ports[other]

    def with_sub_ports(self, port_id: str) -> Iterator[str]:
        """The port's own id, and those of the ports on its trunk."""
        yield port_id
        for trunk in self.trunks.found((By.PORT, port_id)):
            for sub in trunk.sub_ports:
                yield sub.port_id

    def advance(self, changes: Iterable[Change]) -> Steps:
        """Take in changes of one or more cuts, in order; only where each row ends counts. Cost: O(changes).

        The changes' own `before` is not read: what is known here decides, so that a change seen twice or a
        deletion of what was never seen does nothing.
        """
        ends: dict[type[Entity], dict[str, _Net]] = {}
        for change in changes:
            entity = _ENTITY_OF.get(change.kind)
            if entity is None:
                continue
            net = ends.setdefault(entity, {}).setdefault(change.id, _Net())
            net.remade = net.remade or change.after is None
            net.row = change.after
        steps = Steps()
        for entity, nets in ends.items():
            for kind in (KINDS[entity], *KINDS[entity].more):
                table = self.table(kind.input)
                for id, net in nets.items():
                    step = _settle(table, id, _fact(entity, kind, net), net)
                    if step is not None:
                        steps.setdefault(kind.input, []).append(step)
        return steps


def early(row: Entity) -> Entity | PortFact:
    """What is enough of a row for an intent to begin with: of a port, of which there are many, its fact."""
    return project.port_fact(row) if isinstance(row, Port) else row


def id_of(one: Entity | PortFact) -> str:
    """The id of the row."""
    return one.local.id if isinstance(one, PortFact) else one.id


def _facts(rows: Iterable[Entity], kind: Kind) -> Iterator[tuple[str, Any]]:
    project = kind.project
    return ((row.id, fact) for row in rows if (fact := project(row)) is not None)


def _fact(entity: type[Entity], kind: Kind, net: _Net) -> Any:
    """The fact of the row a net change ends with; None if it ends with nothing, or nothing that packets need."""
    if net.row is None:
        return None
    if not isinstance(net.row, entity):
        raise TypeError(f"a change of a {entity.__name__.lower()} carries a {type(net.row).__name__}")
    return kind.project(net.row)


def _settle(table: Indexed[Any], id: str, after: Any, net: _Net) -> Step[Any] | None:
    """Bring one fact to `after`. Returns the step, if it is one."""
    before = table.get(id)
    remade = net.remade and before is not None and after is not None
    if before == after and not remade:
        return None
    if after is None:
        del table[id]
    else:
        table[id] = after
    return Step(id, before, after, remade)
