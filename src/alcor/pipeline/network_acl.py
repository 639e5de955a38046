"""Network ACLs (tables ACL_OUT and ACL_IN): ordered, stateless rules about what leaves and enters a subnet.

Judged on the source's host by the source address and on the destination's host by the destination address; within the
subnet nothing is asked, nor of multicast, link-local addresses, discovery on the link and DHCP, which no router sends
on. The rule with the lowest number that matches decides; none: dropped.

Fragments after the first have no ports. A rule that allows ports lets them pass, one that denies ports does not mean
them: the first is judged, and they are of no use without it.
"""

from collections.abc import Iterator
from typing import NamedTuple

from alcor.goalstate.item import NetworkItem
from alcor.goalstate.security_item import AclRule, NetworkAclItem
from alcor.pipeline.feature import Feature, ItemChange, Local, LocalChange
from alcor.pipeline.flow import Action, Resubmit, match
from alcor.pipeline.live import LiveNetwork, live_network
from alcor.pipeline.port_security import link_messages
from alcor.pipeline.prefix import Entry, entry_of
from alcor.pipeline.service_match import (
    Service,
    Terms,
    address_terms,
    eth_type_of,
    later_terms,
    service_terms,
)
from alcor.pipeline.tables import NETWORK, Priority, Table, UnitKind
from alcor.pipeline.unit import Rule, Unit
from alcor.pipeline.view import Allocation, View

RULES_FROM = 40_000
"""Priority of rule 0; each number is one less. The Networking API's numbers end at 32,766."""
_LINK_LOCAL, _MESSAGES = 45_000, 50_000
_ON_LINK = tuple(map(entry_of, ("169.254.0.0/16", "fe80::/10")))
_MULTICAST = tuple(map(entry_of, ("224.0.0.0/4", "255.255.255.255/32", "ff00::/8")))


class _Way(NamedTuple):
    """One direction: its table, and on which sides the subnet and the other end stand."""

    is_ingress: bool
    table: Table
    following: Table
    guarded: str
    remote: str
    unasked: tuple[Entry, ...]


_WAYS = (
    _Way(
        is_ingress=False,
        table=Table.ACL_OUT,
        following=Table.FIREWALL_OUT,
        guarded="src",
        remote="dst",
        unasked=(*_ON_LINK, *_MULTICAST),
    ),
    _Way(
        is_ingress=True,
        table=Table.ACL_IN,
        following=Table.INGRESS_CT,
        guarded="dst",
        remote="src",
        unasked=_ON_LINK,
    ),
)


def acl_unit(network_id: str, acl_id: str) -> Unit:
    """The unit of a network's ACL."""
    return Unit(UnitKind.ACL, network_id, acl_id)


def shared_rules() -> Iterator[Rule]:
    """What is never asked about."""
    for way in _WAYS:
        for terms in link_messages():
            yield Rule(way.table, _MESSAGES, terms, (Resubmit(way.following),))


def acl_rules(unit: Unit, view: View, allocation: Allocation) -> Iterator[Rule]:
    """An ACL's flows. Cost: O(guarded subnets × masks of its rules)."""
    network = live_network(unit.id, view, allocation)
    acl = network.knowledge.acls.get(unit.sub) if network is not None else None
    if network is None or acl is None:
        return
    for cidr in acl.cidrs:
        # Two claim one subnet only while knowledge is in transit: then nobody can say what holds, and it is closed.
        claimants = [id for id, other in network.knowledge.acls.items() if cidr in other.cidrs]
        if acl.id == min(claimants):
            entry = entry_of(cidr)
            rules = acl.rules if len(claimants) == 1 else ()
            for way in _WAYS:
                yield from _subnet_rules(network, entry, way, rules)


def _subnet_rules(
    network: LiveNetwork, guarded: Entry, way: _Way, rules: tuple[AclRule, ...]
) -> Iterator[Rule]:
    on = (Resubmit(way.following),)
    subnet: Terms = {
        NETWORK.name.lower(): network.key,
        "eth_type": eth_type_of(guarded.version),
        **address_terms(way.guarded, guarded),
    }
    for entry in (guarded, *way.unasked):
        if entry.version == guarded.version:
            terms = match(**subnet, **address_terms(way.remote, entry))
            yield Rule(way.table, _LINK_LOCAL, terms, on)
    yield Rule(way.table, Priority.NORMAL, match(**subnet), ())
    for rule in rules:
        remote = entry_of(rule.prefix)
        if rule.is_ingress == way.is_ingress and rule.ip_version == guarded.version == remote.version:
            actions: tuple[Action, ...] = on if rule.is_allow else ()
            service = Service(rule.ip_version, rule.protocol, rule.first, rule.last)
            later = later_terms(service) if rule.is_allow else ()
            for terms in (*service_terms(service), *later):
                found = match(**subnet, **address_terms(way.remote, remote), **terms)
                yield Rule(way.table, RULES_FROM - rule.number, found, actions, about=rule.id)


def _units(view: View) -> Iterator[Unit]:
    for network_id in view.networks:
        yield from _of_network(network_id, view)


def _of_network(network_id: str, view: View) -> set[Unit]:
    knowledge = view.networks.get(network_id)
    return {acl_unit(network_id, id) for id in knowledge.acls} if knowledge is not None else set()


def _affected(change: ItemChange, view: View) -> set[Unit]:
    match change.after if change.after is not None else change.before:
        case NetworkAclItem():
            return {acl_unit(change.scope.id, change.key.id)} | _of_network(change.scope.id, view)
        case NetworkItem():
            return _of_network(change.scope.id, view)
        case _:
            return set()


def _found(change: LocalChange, view: View) -> set[Unit]:
    return _of_network(change.id, view) if change.what is Local.NETWORK else set()


NETWORK_ACLS = Feature(
    "network ACLs",
    shared=shared_rules,
    rules={UnitKind.ACL: acl_rules},
    units=_units,
    affected=_affected,
    found=_found,
)
