"""Policies: what the security groups of a port say, once for all ports of the host with the same groups.

A policy is named by a hash of its group ids, which ports load into registers, so that nothing must be numbered and a
further port with the same groups adds nothing. Its rules only set the flag `ALLOWED`; they are asked once for each
set of addresses (of a remote group or address group) that the packet's other end is in, with the set's hash in
registers, or once without. So a rule is one flow per mask of its ports, however large its sets are, and the flow that
allowed a packet is the rule's own.

A fragment after the first has no ports, not even those that connection tracking knows, and of IPv6 no protocol that the
switch sees. It passes where a rule allows its protocol (of IPv6: any) from or to there: the first is judged by its
ports, and the others are of no use without it. Those of a new connection wait for their first in the commit.
"""

from collections.abc import Iterator
from functools import lru_cache
from hashlib import blake2b
from typing import NamedTuple

from alcor.goalstate.item import LocalPort
from alcor.goalstate.router_item import RouterInterface
from alcor.goalstate.scope import Scope
from alcor.goalstate.security_item import GroupRule, RulesItem
from alcor.model.address import Cidr, Ip, contains
from alcor.pipeline.flow import Field, Match, SetField, match
from alcor.pipeline.prefix import entry_of
from alcor.pipeline.service_match import (
    Service,
    Terms,
    address_terms,
    eth_type_of,
    later_terms,
    service_terms,
)
from alcor.pipeline.tables import EGRESS, FLAGS, INGRESS, POLICY, SET, Flag, Priority, Table, UnitKind
from alcor.pipeline.unit import Rule, Unit
from alcor.pipeline.view import Allocation, View, set_of

HASH_BYTES = 8
_POLICIES_MAX = 16_384
# A changed group is one item: the matches of rules that it had before are at hand. Some megabytes.
_RULES_KEPT = 4_096
_SEPARATOR = ","
ANYTHING = ("*",)
"""The policy of a port without port security that is tracked all the same: it allows everything."""
ALLOW = SetField(FLAGS, Flag.ALLOWED, Flag.ALLOWED)
CLEAR = SetField(FLAGS, 0, Flag.ALLOWED)


class Way(NamedTuple):
    """One direction of a port's traffic: its tables, the register with the port's key, where the other end stands."""

    is_ingress: bool
    port: Field
    tracking: Table
    sets: Table
    rules: Table
    verdict: Table
    following: Table
    remote: str


EGRESS_WAY = Way(
    is_ingress=False,
    port=INGRESS,
    tracking=Table.EGRESS_CT,
    sets=Table.EGRESS_SET,
    rules=Table.EGRESS_RULES,
    verdict=Table.EGRESS_ALLOWED,
    following=Table.ACL_OUT,
    remote="dst",
)
INGRESS_WAY = Way(
    is_ingress=True,
    port=EGRESS,
    tracking=Table.INGRESS_CT,
    sets=Table.INGRESS_SET,
    rules=Table.INGRESS_RULES,
    verdict=Table.INGRESS_ALLOWED,
    following=Table.FIREWALL_IN,
    remote="src",
)
WAYS = (EGRESS_WAY, INGRESS_WAY)


@lru_cache(_POLICIES_MAX)
def _hash(name: str) -> tuple[int, int]:
    """Two halves of a 64-bit hash; never 0, which stands for none."""
    number = int.from_bytes(blake2b(name.encode(), digest_size=HASH_BYTES).digest(), "big") or 1
    return number >> 32, number & 0xFFFF_FFFF


def set_hash(remote: Scope) -> tuple[int, int]:
    """The name of a set of addresses in the registers, high half first."""
    return _hash(str(remote))


def policy_hash(groups: tuple[str, ...]) -> tuple[int, int]:
    """The name of a policy in the registers, high half first."""
    return _hash(f"policy:{_SEPARATOR.join(groups)}")


def policy_unit(groups: tuple[str, ...]) -> Unit:
    """The unit of a policy's rules."""
    return Unit(UnitKind.POLICY, _SEPARATOR.join(groups))


def firewall_hash(key: str) -> tuple[int, int]:
    """The name of a firewall in the policy's registers, high half first. `key`: its key in the view."""
    return _hash(f"firewall:{key}")


def router_interfaces(port: LocalPort, view: View) -> list[RouterInterface]:
    """The routers' interfaces that what leaves the port's subnets crosses, those with a firewall only.

    Who has no port security may use any address, and is of all subnets of its network.
    """
    own = [Ip(address.ip) for address in port.addresses]
    return [
        interface
        for router_id in view.routers_on(port.network_id)
        for interface in view.routers[router_id].interfaces
        if interface.network_id == port.network_id
        and view.firewalls_on(interface.id)
        and (
            not is_guarded(port)
            or any(contains(Cidr(address.cidr), ip) for address in interface.addresses for ip in own)
        )
    ]


def has_firewall(port: LocalPort, view: View) -> bool:
    """Whether any firewall judges the port's packets: it must be tracked then."""
    return bool(view.firewalls_on(port.id)) or bool(router_interfaces(port, view))


def is_guarded(port: LocalPort) -> bool:
    """Whether groups are asked about the port at all."""
    return port.port_security_enabled


def is_stateful(groups: tuple[str, ...], view: View) -> bool:
    """Whether connections are tracked: unless every group is stateless. One stateful group makes the port stateful."""
    return not groups or any(view.rules[group].stateful for group in groups if group in view.rules)


def is_known(groups: tuple[str, ...] | None, view: View) -> bool:
    """Whether all of the groups' rules are here."""
    return groups is not None and all(group in view.rules for group in groups)


def uses_of(rules: RulesItem) -> set[tuple[Scope, bool, int]]:
    """The sets of addresses that a group's rules are about, with direction (is it ingress?) and IP version."""
    return {
        (remote, rule.is_ingress, rule.ip_version)
        for rule in rules.rules
        if (remote := set_of(rule)) is not None
    }


def policy_units(view: View) -> Iterator[Unit]:
    """The policies of open ports. Cost: O(local ports)."""
    for port in view.ports.values():
        if port.groups is not None:
            yield policy_unit(port.groups)


def policy_rules(unit: Unit, view: View, allocation: Allocation) -> Iterator[Rule]:
    """A policy's rules, while an open port has it and all of its groups are known. Cost: O(its rules)."""
    groups = groups_of(unit, view)
    if groups is None:
        return
    found: dict[tuple[bool, Match], str] = {}
    for group in groups:
        for rule in view.rules[group].rules:
            for found_match in _rule_matches(rule, groups):
                # Several rules may say the same; the one with the first id is told.
                key = rule.is_ingress, found_match
                found[key] = min(rule.id, found.get(key, rule.id))
    for (is_ingress, found_match), id in found.items():
        yield Rule(_way(is_ingress=is_ingress).rules, Priority.NORMAL, found_match, (ALLOW,), about=id)


def _way(*, is_ingress: bool) -> Way:
    return INGRESS_WAY if is_ingress else EGRESS_WAY


@lru_cache(_RULES_KEPT)
def _rule_matches(rule: GroupRule, groups: tuple[str, ...]) -> tuple[Match, ...]:
    """A rule's matches in the policy of these groups."""
    at = policy_terms(groups)
    return tuple([match(**at, **terms) for terms in _rule_terms(rule, _way(is_ingress=rule.is_ingress))])


def groups_of(unit: Unit, view: View) -> tuple[str, ...] | None:
    """The groups of a policy's unit, while an open port has it and all of its groups are known. Cost: O(its ports)."""
    groups = tuple(unit.id.split(_SEPARATOR)) if unit.id else ()
    is_used = any(is_guarded(view.ports[id]) for id in view.ports_with_groups(groups))
    return groups if is_used and is_known(groups, view) else None


def load_policy(groups: tuple[str, ...]) -> tuple[SetField, ...]:
    """What a port does before its rules are asked: its policy, nothing known of the other end, nothing allowed."""
    high, low = policy_hash(groups)
    return (
        SetField(POLICY[0], high),
        SetField(POLICY[1], low),
        SetField(SET[0], 0),
        SetField(SET[1], 0),
        CLEAR,
    )


def policy_terms(groups: tuple[str, ...]) -> Terms:
    """The condition that a packet is judged by a policy."""
    high, low = policy_hash(groups)
    return {POLICY[0].name.lower(): high, POLICY[1].name.lower(): low}


def _rule_terms(rule: GroupRule, way: Way) -> Iterator[Terms]:
    service = Service(rule.ip_version, rule.protocol, rule.first, rule.last)
    remote: Terms = {"eth_type": eth_type_of(rule.ip_version)}
    found = set_of(rule)
    if found is not None:
        high, low = set_hash(found)
        remote = {**remote, SET[0].name.lower(): high, SET[1].name.lower(): low}
    elif rule.prefix is not None:
        entry = entry_of(rule.prefix)
        if entry.version != rule.ip_version:
            return
        remote = {**remote, **address_terms(way.remote, entry)}
    for terms in (*service_terms(service), *later_terms(service)):
        yield {**remote, **terms}
