"""The keyed nodes, for all that is not hot (routers, floating IPs, policies, BGP …): what is under each key."""

from collections.abc import Iterator

from alcor.goalstate.bgp_item import BgpRoutesItem, BgpSpeakerItem
from alcor.goalstate.derive import bgp, rule
from alcor.goalstate.derive.floating_ip import floating_ip
from alcor.goalstate.derive.port import claim
from alcor.goalstate.derive.router import gateway, router
from alcor.goalstate.fact import (
    AclFact,
    AclRuleFact,
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
from alcor.goalstate.intent import By, Input, Intent
from alcor.goalstate.item import Claim, ItemKind, NetworkItem, QosItem, RegionItem, SubnetItem
from alcor.goalstate.node.keyed import KeyedNode
from alcor.goalstate.router_item import FloatingIpItem, GatewayItem, RouterItem
from alcor.goalstate.scope import ScopeKind
from alcor.goalstate.security_item import FirewallItem, NetworkAclItem, RulesItem

# --- what a change can matter to ---------------------------------------------------------------------------


def _moved_outside(before: NetworkFact, after: NetworkFact) -> bool:
    return before.item.physical_network != after.item.physical_network


def _reaches_otherwise(before: HostFact, after: HostFact) -> bool:
    return (before.is_gateway, before.item.vtep_addresses, before.item.bridge_mappings, before.item.name) != (
        after.is_gateway,
        after.item.vtep_addresses,
        after.item.bridge_mappings,
        after.item.name,
    )


def _renamed(before: HostFact, after: HostFact) -> bool:
    return before.item.name != after.item.name


def _answers_otherwise(before: RegionItem, after: RegionItem) -> bool:
    return before.responder_mac != after.responder_mac


# --- routers -----------------------------------------------------------------------------------------------


def _routers_on(intent: Intent, network_id: str) -> Iterator[str]:
    """The routers with an interface or gateway on a network, and what may stand for one there."""
    yield network_id
    for port in intent.ports.found((By.INTERFACE_ON, network_id)):
        if port.router_id is not None:
            yield port.router_id
    yield from _gateways_on(intent, network_id)


def _gateways_on(intent: Intent, network_id: str) -> Iterator[str]:
    for port_id in intent.ports.find((By.GATEWAY_ON, network_id)):
        yield from intent.routers.find((By.GATEWAY_PORT, port_id))


def _routers_of_port(intent: Intent, port: PortFact) -> Iterator[str]:
    if port.router_id is not None:
        yield from _routers_on(intent, port.local.network_id)
        yield from _beside(intent, port.router_id)
    if port.is_gateway:
        yield from intent.routers.find((By.GATEWAY_PORT, port.local.id))


def _beside(intent: Intent, router_id: str) -> Iterator[str]:
    """A router and those on its networks, whose routes may lead through it."""
    yield router_id
    for port in intent.ports.found((By.INTERFACE_OF, router_id)):
        yield from _routers_on(intent, port.local.network_id)


def _routers_of_subnet(intent: Intent, subnet: SubnetItem) -> Iterator[str]:
    for router_id in _routers_on(intent, subnet.network_id):
        yield from _beside(intent, router_id)
    for peering in intent.peerings.found((By.NETWORK, subnet.network_id)):
        for network_id in peering.networks:
            yield from _routers_on(intent, network_id)


def _router_and_stand_ins(intent: Intent, fact: RouterFact) -> Iterator[str]:
    yield from _beside(intent, fact.id)


def _routers_of_peering(intent: Intent, peering: PeeringFact) -> Iterator[str]:
    for network_id in peering.networks:
        yield from _routers_on(intent, network_id)


def _stand_ins(intent: Intent, _region: RegionItem) -> Iterator[str]:
    for peering in intent.peerings.values():
        yield from peering.networks


def _routers_of_firewall(intent: Intent, group: FirewallGroupFact) -> Iterator[str]:
    for port_id in group.ports:
        port = intent.ports.get(port_id)
        if port is not None and port.router_id is not None:
            yield port.router_id


def _routers_of_table(intent: Intent, table: RouteTableFact) -> Iterator[str]:
    return _routers_on(intent, table.network_id)


def _gateways_of_network(intent: Intent, network: NetworkFact) -> Iterator[str]:
    return _gateways_on(intent, network.item.id)


def _gateways_of_host(intent: Intent, host: HostFact) -> tuple[str, ...]:
    return intent.routers.find((By.HAS_GATEWAY, True)) if host.is_gateway else ()


def _gateways_of_standing(intent: Intent, standing: StandingFact) -> tuple[str, ...]:
    host = intent.hosts.get(standing.host_id)
    return _gateways_of_host(intent, host) if host is not None else ()


def _gateways_of_port(intent: Intent, port: PortFact) -> tuple[str, ...]:
    return intent.routers.find((By.GATEWAY_PORT, port.local.id)) if port.is_gateway else ()


def router_node() -> KeyedNode[RouterItem]:
    """RouterItem in its router's scope; also what stands for a router on a peered network."""
    return KeyedNode(
        ItemKind.ROUTER,
        ScopeKind.ROUTER,
        keys=lambda intent: (*intent.routers, *(n for p in intent.peerings.values() for n in p.networks)),
        items=router,
        touched={
            Input.ROUTERS: _router_and_stand_ins,
            Input.PORTS: _routers_of_port,
            Input.SUBNETS: _routers_of_subnet,
            Input.NETWORKS: _gateways_of_network,
            Input.HOSTS: _gateways_of_host,
            Input.STANDINGS: _gateways_of_standing,
            Input.PEERINGS: _routers_of_peering,
            Input.ROUTE_TABLES: _routers_of_table,
            Input.FIREWALL_GROUPS: _routers_of_firewall,
            Input.SETTINGS: _stand_ins,
        },
        differs={
            Input.NETWORKS: _moved_outside,
            Input.HOSTS: _reaches_otherwise,
            Input.SETTINGS: _answers_otherwise,
        },
    )


def gateway_node() -> KeyedNode[GatewayItem]:
    """GatewayItem in the scope of each host that may serve the router's gateway."""

    def of_router(_intent: Intent, fact: RouterFact) -> tuple[str, ...]:
        return (fact.id,)

    return KeyedNode(
        ItemKind.GATEWAY,
        ScopeKind.HOST,
        keys=lambda intent: intent.routers,
        items=gateway,
        touched={
            Input.ROUTERS: of_router,
            Input.PORTS: _gateways_of_port,
            Input.NETWORKS: _gateways_of_network,
            Input.HOSTS: _gateways_of_host,
            Input.STANDINGS: _gateways_of_standing,
        },
        differs={Input.NETWORKS: _moved_outside, Input.HOSTS: _reaches_otherwise},
    )


# --- floating IPs ------------------------------------------------------------------------------------------


def _floating_ips_of_routers(intent: Intent, routers: Iterator[str] | tuple[str, ...]) -> Iterator[str]:
    for router_id in routers:
        yield from intent.floating_ips.find((By.ROUTER, router_id))


def _floating_ips_of_port(intent: Intent, port: PortFact) -> Iterator[str]:
    for id in intent.with_sub_ports(port.local.id):
        yield from intent.floating_ips.find((By.PORT, id))
    yield from intent.floating_ips.find((By.FLOATING_PORT, port.local.id))
    yield from _floating_ips_of_routers(intent, _gateways_of_port(intent, port))


def _floating_ips_of_host(intent: Intent, host: HostFact) -> Iterator[str]:
    for port in intent.ports_named(host.item.name):
        yield from intent.floating_ips.find((By.PORT, port.local.id))
    yield from _floating_ips_of_routers(intent, _gateways_of_host(intent, host))


def _floating_ips_of_standing(intent: Intent, standing: StandingFact) -> Iterator[str]:
    yield from _floating_ips_of_routers(intent, _gateways_of_standing(intent, standing))


def _floating_ips_of_network(intent: Intent, network: NetworkFact) -> Iterator[str]:
    yield from intent.floating_ips.find((By.NETWORK, network.item.id))
    yield from _floating_ips_of_routers(intent, _gateways_on(intent, network.item.id))


def _floating_ips_of_trunk(intent: Intent, trunk: TrunkFact) -> Iterator[str]:
    for sub in trunk.sub_ports:
        yield from intent.floating_ips.find((By.PORT, sub.port_id))


def floating_ip_node() -> KeyedNode[FloatingIpItem]:
    """FloatingIpItem in the scope of each host that may have to translate it."""

    def itself(_intent: Intent, fact: FloatingIpFact) -> tuple[str, ...]:
        return (fact.id,)

    def of_forward(_intent: Intent, fact: ForwardFact) -> tuple[str, ...]:
        return (fact.floating_ip_id,)

    def of_router(intent: Intent, fact: RouterFact) -> tuple[str, ...]:
        return intent.floating_ips.find((By.ROUTER, fact.id))

    return KeyedNode(
        ItemKind.FLOATING_IP,
        ScopeKind.HOST,
        keys=lambda intent: intent.floating_ips,
        items=floating_ip,
        touched={
            Input.FLOATING_IPS: itself,
            Input.FORWARDS: of_forward,
            Input.ROUTERS: of_router,
            Input.PORTS: _floating_ips_of_port,
            Input.HOSTS: _floating_ips_of_host,
            Input.STANDINGS: _floating_ips_of_standing,
            Input.NETWORKS: _floating_ips_of_network,
            Input.TRUNKS: _floating_ips_of_trunk,
        },
        differs={Input.NETWORKS: _moved_outside, Input.HOSTS: _reaches_otherwise},
    )


# --- rules and policies ------------------------------------------------------------------------------------


def rules_node() -> KeyedNode[RulesItem]:
    """RulesItem in its group's scope."""

    def itself(_intent: Intent, fact: GroupFact) -> tuple[str, ...]:
        return (fact.id,)

    def of_rule(_intent: Intent, fact: GroupRuleFact) -> tuple[str, ...]:
        return (fact.group_id,)

    return KeyedNode(
        ItemKind.RULES,
        ScopeKind.RULES,
        keys=lambda intent: intent.groups,
        items=rule.rules,
        touched={Input.GROUPS: itself, Input.GROUP_RULES: of_rule},
    )


def qos_node() -> KeyedNode[QosItem]:
    """QosItem in its policy's scope."""

    def itself(_intent: Intent, fact: QosPolicyFact) -> tuple[str, ...]:
        return (fact.id,)

    def of_rule(_intent: Intent, fact: QosRuleFact) -> tuple[str, ...]:
        return (fact.policy_id,)

    return KeyedNode(
        ItemKind.QOS,
        ScopeKind.QOS,
        keys=lambda intent: intent.qos_policies,
        items=rule.qos,
        touched={Input.QOS_POLICIES: itself, Input.QOS_RULES: of_rule},
    )


def network_node() -> KeyedNode[NetworkItem]:
    """NetworkItem in the network's scope."""

    def itself(_intent: Intent, fact: NetworkFact) -> tuple[str, ...]:
        return (fact.item.id,)

    def of_acl(_intent: Intent, fact: AclFact) -> tuple[str, ...]:
        return (fact.network_id,)

    def of_subnet(intent: Intent, fact: SubnetItem) -> tuple[str, ...]:
        return (fact.network_id,) if intent.acls.find((By.NETWORK, fact.network_id)) else ()

    return KeyedNode(
        ItemKind.NETWORK,
        ScopeKind.NETWORK,
        keys=lambda intent: intent.networks,
        items=rule.network,
        touched={Input.NETWORKS: itself, Input.ACLS: of_acl, Input.SUBNETS: of_subnet},
    )


def acl_node() -> KeyedNode[NetworkAclItem]:
    """NetworkAclItem in its network's scope. What one ACL names, the network's default one does not guard."""

    def of_network(intent: Intent, fact: AclFact) -> tuple[str, ...]:
        return (fact.id, *intent.acls.find((By.NETWORK, fact.network_id)))

    def of_rule(_intent: Intent, fact: AclRuleFact) -> tuple[str, ...]:
        return (fact.acl_id,)

    def of_subnet(intent: Intent, fact: SubnetItem) -> tuple[str, ...]:
        return intent.acls.find((By.NETWORK, fact.network_id))

    return KeyedNode(
        ItemKind.NETWORK_ACL,
        ScopeKind.NETWORK,
        keys=lambda intent: intent.acls,
        items=rule.acl,
        touched={Input.ACLS: of_network, Input.ACL_RULES: of_rule, Input.SUBNETS: of_subnet},
    )


# --- firewalls ---------------------------------------------------------------------------------------------


def _firewall(_intent: Intent, fact: FirewallGroupFact) -> tuple[str, ...]:
    return (fact.id,)


def _firewalls_of_policy(intent: Intent, fact: FirewallPolicyFact) -> tuple[str, ...]:
    return intent.firewall_groups.find((By.POLICY, fact.id))


def _firewalls_of_rule(intent: Intent, fact: FirewallRuleFact) -> Iterator[str]:
    for policy_id in intent.firewall_policies.find((By.RULE, fact.id)):
        yield from intent.firewall_groups.find((By.POLICY, policy_id))


def _firewalls_of_port(intent: Intent, port: PortFact) -> Iterator[str]:
    for id in intent.with_sub_ports(port.local.id):
        yield from intent.firewall_groups.find((By.PORT, id))


def _firewalls_of_host(intent: Intent, host: HostFact) -> Iterator[str]:
    for port in intent.ports_named(host.item.name):
        yield from intent.firewall_groups.find((By.PORT, port.local.id))
    for id in intent.ports.find((By.STANDBY, host.item.name)):
        yield from intent.firewall_groups.find((By.PORT, id))


def _firewalls_of_trunk(intent: Intent, trunk: TrunkFact) -> Iterator[str]:
    for sub in trunk.sub_ports:
        yield from intent.firewall_groups.find((By.PORT, sub.port_id))


def router_firewall_node() -> KeyedNode[FirewallItem]:
    """FirewallItem in the scope of each router with interfaces in the group."""
    return KeyedNode(
        ItemKind.FIREWALL,
        ScopeKind.ROUTER,
        name="router_firewall",
        keys=lambda intent: intent.firewall_groups,
        items=rule.router_firewalls,
        touched={
            Input.FIREWALL_GROUPS: _firewall,
            Input.FIREWALL_POLICIES: _firewalls_of_policy,
            Input.FIREWALL_RULES: _firewalls_of_rule,
            Input.PORTS: _firewalls_of_port,
        },
    )


def host_firewall_node() -> KeyedNode[FirewallItem]:
    """FirewallItem in the scope of each host with ports in the group."""
    return KeyedNode(
        ItemKind.FIREWALL,
        ScopeKind.HOST,
        name="host_firewall",
        keys=lambda intent: intent.firewall_groups,
        items=rule.host_firewalls,
        touched={
            Input.FIREWALL_GROUPS: _firewall,
            Input.FIREWALL_POLICIES: _firewalls_of_policy,
            Input.FIREWALL_RULES: _firewalls_of_rule,
            Input.PORTS: _firewalls_of_port,
            Input.HOSTS: _firewalls_of_host,
            Input.TRUNKS: _firewalls_of_trunk,
        },
        differs={Input.HOSTS: _renamed},
    )


# --- claims ------------------------------------------------------------------------------------------------


def claim_node() -> KeyedNode[Claim]:
    """Claim in the neighbours scope of its network."""

    def itself(_intent: Intent, fact: ClaimFact) -> tuple[str, ...]:
        return (fact.id,)

    def of_port(intent: Intent, port: PortFact) -> Iterator[str]:
        for id in intent.with_sub_ports(port.local.id):
            yield from intent.claims.find((By.PORT, id))

    def of_host(intent: Intent, host: HostFact) -> Iterator[str]:
        for port in intent.ports_named(host.item.name):
            yield from intent.claims.find((By.PORT, port.local.id))

    def of_trunk(intent: Intent, trunk: TrunkFact) -> Iterator[str]:
        for sub in trunk.sub_ports:
            yield from intent.claims.find((By.PORT, sub.port_id))

    return KeyedNode(
        ItemKind.CLAIM,
        ScopeKind.NEIGHBOURS,
        keys=lambda intent: intent.claims,
        items=claim,
        touched={
            Input.CLAIMS: itself,
            Input.PORTS: of_port,
            Input.HOSTS: of_host,
            Input.TRUNKS: of_trunk,
        },
        differs={Input.HOSTS: _reaches_otherwise},
    )


# --- BGP ---------------------------------------------------------------------------------------------------


def _routers_behind(intent: Intent, fact: BgpSpeakerFact) -> Iterator[str]:
    for network_id in fact.networks:
        yield from _gateways_on(intent, network_id)


def _advertised_on(intent: Intent, network_id: str) -> Iterator[str]:
    """The routers with an interface on a network; if it is a speaker's, all behind that speaker."""
    for port in intent.ports.found((By.INTERFACE_ON, network_id)):
        if port.router_id is not None:
            yield port.router_id
    for speaker in intent.bgp_speakers.found((By.NETWORK, network_id)):
        yield from _routers_behind(intent, speaker)


def _advertised_of_port(intent: Intent, port: PortFact) -> Iterator[str]:
    if port.router_id is not None:
        yield port.router_id
    yield from _gateways_of_port(intent, port)
    for one in intent.floating_ips.found((By.FLOATING_PORT, port.local.id)):
        yield one.router_id


def bgp_speaker_node() -> KeyedNode[BgpSpeakerItem]:
    """BgpSpeakerItem in the scope of each host that speaks."""

    def itself(_intent: Intent, fact: BgpSpeakerFact) -> tuple[str, ...]:
        return (fact.id,)

    def of_peer(intent: Intent, fact: BgpPeerFact) -> tuple[str, ...]:
        return intent.bgp_speakers.find((By.PEER, fact.id))

    def of_network(intent: Intent, fact: NetworkFact) -> tuple[str, ...]:
        return intent.bgp_speakers.find((By.NETWORK, fact.item.id))

    def of_host(intent: Intent, fact: HostFact) -> Iterator[str]:
        return iter(intent.bgp_speakers if fact.is_gateway else ())

    return KeyedNode(
        ItemKind.BGP_SPEAKER,
        ScopeKind.HOST,
        keys=lambda intent: intent.bgp_speakers,
        items=bgp.speaker,
        touched={
            Input.BGP_SPEAKERS: itself,
            Input.BGP_PEERS: of_peer,
            Input.NETWORKS: of_network,
            Input.HOSTS: of_host,
        },
        differs={Input.NETWORKS: _moved_outside, Input.HOSTS: _reaches_otherwise},
    )


def bgp_routes_node() -> KeyedNode[BgpRoutesItem]:
    """BgpRoutesItem in the scope of each host that speaks; its key here is the router's id."""

    def of_router(_intent: Intent, fact: RouterFact) -> tuple[str, ...]:
        return (fact.id,)

    def of_floating_ip(_intent: Intent, fact: FloatingIpFact) -> tuple[str, ...]:
        return (fact.router_id,)

    def of_subnet(intent: Intent, fact: SubnetItem | PooledSubnetFact) -> Iterator[str]:
        return _advertised_on(intent, fact.network_id)

    def of_pool(intent: Intent, fact: PoolFact) -> Iterator[str]:
        for subnet in intent.pooled_subnets.found((By.POOL, fact.id)):
            yield from _advertised_on(intent, subnet.network_id)

    def of_network(intent: Intent, fact: NetworkFact) -> Iterator[str]:
        for speaker in intent.bgp_speakers.found((By.NETWORK, fact.item.id)):
            yield from _routers_behind(intent, speaker)

    return KeyedNode(
        ItemKind.BGP_ROUTES,
        ScopeKind.HOST,
        keys=lambda intent: intent.routers if intent.bgp_speakers else (),
        items=bgp.routes,
        touched={
            Input.BGP_SPEAKERS: _routers_behind,
            Input.ROUTERS: of_router,
            Input.PORTS: _advertised_of_port,
            Input.FLOATING_IPS: of_floating_ip,
            Input.SUBNETS: of_subnet,
            Input.POOLED_SUBNETS: of_subnet,
            Input.POOLS: of_pool,
            Input.NETWORKS: of_network,
            Input.HOSTS: _gateways_of_host,
        },
        differs={Input.NETWORKS: _moved_outside, Input.HOSTS: _reaches_otherwise},
    )
