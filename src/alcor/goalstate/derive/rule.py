"""What is whole only with its rules: security groups, QoS policies, network ACLs, firewall groups."""

from collections.abc import Iterable, Iterator

import msgspec

from alcor.goalstate.fact import AclFact, FirewallGroupFact, GroupFact, GroupRuleFact, QosRuleFact
from alcor.goalstate.intent import By, Intent
from alcor.goalstate.item import NetworkItem, QosItem
from alcor.goalstate.security_item import AclRule, FirewallItem, FirewallRuleItem, NetworkAclItem, RulesItem

FirewallRules = tuple[FirewallRuleItem, ...] | None


def rules_item(group: GroupFact, rules: Iterable[GroupRuleFact]) -> RulesItem:
    """A security group with its rules."""
    found = sorted((one.rule for one in rules), key=lambda rule: rule.id)
    return RulesItem(id=group.id, stateful=group.stateful, rules=tuple(found))


def rules(intent: Intent, id: str) -> Iterator[tuple[str, RulesItem]]:
    """The rules of a security group."""
    group = intent.groups.get(id)
    if group is not None:
        yield id, rules_item(group, intent.group_rules.found((By.GROUP, id)))


def qos_item(id: str, rules: Iterable[QosRuleFact]) -> QosItem:
    """A QoS policy with its rules. Of several code points the lowest counts; the API allows one."""
    found = list(rules)
    return QosItem(
        id=id,
        bandwidth=tuple(sorted(one.bandwidth for one in found if one.bandwidth is not None)),
        packets=tuple(sorted(one.packets for one in found if one.packets is not None)),
        dscp=min((one.dscp for one in found if one.dscp is not None), default=None),
    )


def qos(intent: Intent, id: str) -> Iterator[tuple[str, QosItem]]:
    """A QoS policy."""
    if id in intent.qos_policies:
        yield id, qos_item(id, intent.qos_rules.found((By.POLICY, id)))


def acl_item(acl: AclFact, cidrs: Iterable[str], rules: Iterable[AclRule]) -> NetworkAclItem:
    """A network ACL with its rules in the order in which packets meet them."""
    found = sorted(rules, key=lambda rule: (rule.number, rule.is_ingress, rule.id))
    return NetworkAclItem(id=acl.id, cidrs=tuple(sorted(set(cidrs))), rules=tuple(found))


def acl(intent: Intent, id: str) -> Iterator[tuple[str, NetworkAclItem]]:
    """A network ACL that guards something: the subnets of its network it names, or that none names if it is default."""
    fact = intent.acls.get(id)
    if fact is None:
        return
    named = set(fact.subnets)
    others: set[str] = set()
    if fact.is_default:
        others = {one for acl in intent.acls.found((By.NETWORK, fact.network_id)) for one in acl.subnets}
    cidrs = [
        subnet.cidr
        for subnet in intent.subnets.found((By.NETWORK, fact.network_id))
        if subnet.id in named or (fact.is_default and subnet.id not in others)
    ]
    if cidrs:
        yield (
            fact.network_id,
            acl_item(fact, cidrs, (one.rule for one in intent.acl_rules.found((By.ACL, id)))),
        )


def network(intent: Intent, id: str) -> Iterator[tuple[str, NetworkItem]]:
    """A network, with the ACLs that guard it."""
    fact = intent.networks.get(id)
    if fact is None:
        return
    acls = tuple(sorted(one for one in intent.acls.find((By.NETWORK, id)) if any(acl(intent, one))))
    yield id, msgspec.structs.replace(fact.item, acls=acls) if acls else fact.item


def firewall_item(
    group: FirewallGroupFact, ports: Iterable[str], ingress: FirewallRules, egress: FirewallRules
) -> FirewallItem:
    """A firewall group for some of its ports. One that is administratively down lets nothing through."""
    if not group.admin_state_up:
        ingress = egress = ()
    return FirewallItem(id=group.id, ports=tuple(sorted(ports)), ingress=ingress, egress=egress)


def _policy(intent: Intent, id: str | None) -> FirewallRules:
    if id is None:
        return None
    policy = intent.firewall_policies.get(id)
    named = policy.rules if policy is not None else ()
    return tuple(rule for one in named if (rule := intent.firewall_rules.get(one)) is not None)


def _firewalls(intent: Intent, id: str, places: dict[str, list[str]]) -> Iterator[tuple[str, FirewallItem]]:
    group = intent.firewall_groups[id]
    ingress, egress = _policy(intent, group.ingress), _policy(intent, group.egress)
    for place, ports in places.items():
        yield place, firewall_item(group, ports, ingress, egress)


def router_firewalls(intent: Intent, id: str) -> Iterator[tuple[str, FirewallItem]]:
    """A firewall group, for each router with interfaces in it."""
    places: dict[str, list[str]] = {}
    group = intent.firewall_groups.get(id)
    for port_id in group.ports if group is not None else ():
        port = intent.ports.get(port_id)
        if port is not None and port.router_id is not None:
            places.setdefault(port.router_id, []).append(port_id)
    if places:
        yield from _firewalls(intent, id, places)


def host_firewalls(intent: Intent, id: str) -> Iterator[tuple[str, FirewallItem]]:
    """A firewall group, for each host with ports in it."""
    places: dict[str, list[str]] = {}
    group = intent.firewall_groups.get(id)
    for port_id in group.ports if group is not None else ():
        port = intent.ports.get(port_id)
        if port is None or port.router_id is not None:
            continue
        hosts = {
            host.item.id for host in (intent.host_of(port), *map(intent.host_named, port.standby)) if host
        }
        for host_id in hosts:
            places.setdefault(host_id, []).append(port_id)
    if places:
        yield from _firewalls(intent, id, places)
