"""Firewall groups of routers' interfaces and of local ports (tables FIREWALL_OUT… and FIREWALL_IN…).

With distributed routing each host routes one half of a connection, so a router's firewall is judged at the VMs: what
leaves the interface's subnet at the sender by the egress policy, what enters it at the receiver by the ingress policy,
each in its port's own conntrack zone, where both halves are seen. Traffic from and to the outside is judged there
too, with the VM's own address. A port with a firewall is tracked, whatever its security groups say.

Rules in order; the first that matches decides; none, or no policy: refused. Rejecting is dropping: nobody is told.
Every firewall of a port must allow a packet: each loads its policy, and its verdict is kept in a bit of a register of
which the bits that nobody needs are set before. Replies pass, and sessions end with their rule, as those of security
groups do (see `security_group`), by a mark of their own.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from alcor.goalstate.router_item import RouterInterface, RouterItem
from alcor.goalstate.security_item import FirewallAction, FirewallItem, FirewallRuleItem
from alcor.model.address import Cidr, Ip, contains
from alcor.pipeline.feature import Feature, ItemChange
from alcor.pipeline.flow import Action, Conntrack, CtState, Field, Move, Resubmit, SetField, match
from alcor.pipeline.live import LivePort
from alcor.pipeline.port_security import link_messages
from alcor.pipeline.prefix import Entry, entry_of
from alcor.pipeline.security_policy import ALLOW, CLEAR, firewall_hash, router_interfaces
from alcor.pipeline.service_match import (
    Service,
    Terms,
    address_terms,
    eth_type_of,
    later_terms,
    service_terms,
)
from alcor.pipeline.tables import (
    EGRESS,
    FLAGS,
    INGRESS,
    POLICY,
    SET,
    ConnectionMark,
    Flag,
    Priority,
    Table,
    UnitKind,
)
from alcor.pipeline.unit import Rule, Unit, port_unit
from alcor.pipeline.view import Allocation, View

RULES_FROM = 40_000
"""Priority of a policy's first rule; each is one less. A policy has far fewer rules."""
STAGES_MAX = 32
_STAGES = SET[0]
_ALL = (1 << STAGES_MAX) - 1
_BLOCKED, _KNOWN = ConnectionMark.FIREWALL_BLOCKED, ConnectionMark.KNOWN
_ALLOWED_BIT = Flag.ALLOWED.bit_length() - 1
_ON_LINK = tuple(map(entry_of, ("169.254.0.0/16", "fe80::/10")))
_MULTICAST = tuple(map(entry_of, ("224.0.0.0/4", "255.255.255.255/32", "ff00::/8")))


class _Way(NamedTuple):
    """One direction of a port's traffic: its tables, the port's register, the other end's side."""

    is_ingress: bool
    port: Field
    select: Table
    rules: Table
    verdict: Table
    following: Table
    remote: str
    on_link: tuple[Entry, ...]


_WAYS = (
    _Way(
        is_ingress=False,
        port=INGRESS,
        select=Table.FIREWALL_OUT,
        rules=Table.FIREWALL_OUT_RULES,
        verdict=Table.FIREWALL_OUT_VERDICT,
        following=Table.L3_ADMIT,
        remote="dst",
        on_link=(*_ON_LINK, *_MULTICAST),
    ),
    _Way(
        is_ingress=True,
        port=EGRESS,
        select=Table.FIREWALL_IN,
        rules=Table.FIREWALL_IN_RULES,
        verdict=Table.FIREWALL_IN_VERDICT,
        following=Table.INGRESS_QOS,
        remote="src",
        on_link=_ON_LINK,
    ),
)


def firewall_unit(key: str) -> Unit:
    """The unit of a firewall, by its key in the view."""
    return Unit(UnitKind.FIREWALL, key)


def shared_rules() -> Iterator[Rule]:
    """Ports without firewalls are not asked; replies pass; what a verdict does."""
    for way in _WAYS:
        on = (Resubmit(way.following),)
        yield Rule(way.select, Priority.MISS, match(), on)
        for terms in link_messages():
            yield Rule(way.select, Priority.PASS, terms, on)
        for of in (CtState.EST | CtState.REPLY, CtState.RELATED):
            for mark, actions in ((0, on), (_BLOCKED, ())):
                terms = match(ct_state=(of, of), ct_mark=(mark, _BLOCKED))
                yield Rule(way.select, Priority.GUARD, terms, actions)
        yield from _verdicts(way, on)


def _verdicts(way: _Way, on: tuple[Action, ...]) -> Iterator[Rule]:
    allowed = {_STAGES.name.lower(): _ALL}
    yield Rule(way.verdict, Priority.SPECIFIC, match(**allowed, ct_mark=(_KNOWN, _KNOWN | _BLOCKED)), on)
    for version in (4, 6):
        kind = {"eth_type": eth_type_of(version)}
        again = match(**kind, **allowed, ct_mark=(_KNOWN | _BLOCKED, _KNOWN | _BLOCKED))
        clear = Conntrack(
            zone=way.port,
            commit=True,
            table=way.following,
            actions=(SetField(Field.CT_MARK, 0, _BLOCKED),),
        )
        yield Rule(way.verdict, Priority.SPECIFIC, again, (clear,))
        block = Conntrack(zone=way.port, commit=True, actions=(SetField(Field.CT_MARK, _BLOCKED, _BLOCKED),))
        refused = match(**kind, ct_mark=(_KNOWN, _KNOWN | _BLOCKED))
        yield Rule(way.verdict, Priority.NORMAL, refused, (block,))


def port_rules(port: LivePort, view: View, allocation: Allocation) -> Iterator[Rule]:
    """Which firewalls a port's packets must pass. None without firewalls. Cost: O(firewalls of the port)."""
    own = view.firewalls_on(port.item.id)
    crossing = router_interfaces(port.item, view)
    routed = [key for interface in crossing for key in view.firewalls_on(interface.id)]
    if not own and not routed:
        return
    subnets = _subnets(port, crossing)
    for way in _WAYS:
        for version in (4, 6):
            at = {way.port.name.lower(): port.key, "eth_type": eth_type_of(version)}
            yield Rule(way.select, Priority.NORMAL, match(**at), _ask(way, (*own, *routed)))
            for entry in sorted({*subnets, *way.on_link}) if routed else ():
                if entry.version == version:
                    terms = match(**at, **address_terms(way.remote, entry))
                    yield Rule(way.select, Priority.SPECIFIC, terms, _ask(way, own))


def _subnets(port: LivePort, crossing: Iterable[RouterInterface]) -> set[Entry]:
    """The subnets that the port is in: what is within one crosses no router."""
    cidrs = {address.cidr for interface in crossing for address in interface.addresses}
    own = [Ip(address.ip) for address in port.item.addresses]
    return {entry_of(cidr) for cidr in cidrs if any(contains(Cidr(cidr), ip) for ip in own)}


def _ask(way: _Way, keys: tuple[str, ...]) -> tuple[Action, ...]:
    if not keys:
        return (Resubmit(way.following),)
    if len(keys) > STAGES_MAX:
        return ()
    found: list[Action] = [SetField(_STAGES, _ALL ^ ((1 << len(keys)) - 1))]
    for stage, key in enumerate(keys):
        high, low = firewall_hash(key)
        found += (SetField(POLICY[0], high), SetField(POLICY[1], low), CLEAR, Resubmit(way.rules))
        found.append(Move(FLAGS, _STAGES, 1, source_offset=_ALLOWED_BIT, target_offset=stage))
    return (*found, Resubmit(way.verdict))


def firewall_rules(unit: Unit, view: View, allocation: Allocation) -> Iterator[Rule]:
    """A firewall's rules, both directions. Cost: O(masks of its rules)."""
    firewall = view.firewalls.get(unit.id)
    if firewall is None:
        return
    high, low = firewall_hash(unit.id)
    policy = {POLICY[0].name.lower(): high, POLICY[1].name.lower(): low}
    for way in _WAYS:
        rules = firewall.ingress if way.is_ingress else firewall.egress
        for place, rule in enumerate(rules or ()):
            for terms in _rule_terms(rule):
                verdict = ALLOW if rule.action is FirewallAction.ALLOW else CLEAR
                found = match(**policy, **terms)
                yield Rule(way.rules, RULES_FROM - place, found, (verdict,), about=rule.id)


def _rule_terms(rule: FirewallRuleItem) -> Iterator[Terms]:
    ends: Terms = {"eth_type": eth_type_of(rule.ip_version)}
    for side, cidr in (("src", rule.source), ("dst", rule.destination)):
        if cidr is not None:
            entry = entry_of(cidr)
            if entry.version != rule.ip_version:
                return
            ends = {**ends, **address_terms(side, entry)}
    first, last = rule.destination_ports or (None, None)
    service = Service(rule.ip_version, rule.protocol, first, last, rule.source_ports)
    later = later_terms(service) if rule.action is FirewallAction.ALLOW else ()
    for terms in (*service_terms(service), *later):
        yield {**ends, **terms}


def _units(view: View) -> Iterator[Unit]:
    return map(firewall_unit, view.firewalls)


def _affected(change: ItemChange, view: View) -> set[Unit]:
    """Cost: O(local ports of the networks of the router, interfaces of all routers)."""
    found: set[Unit] = set()
    for item in (change.before, change.after):
        match item:
            case FirewallItem():
                found.add(firewall_unit(f"{change.scope.id}/{item.id}"))
                found.update(map(port_unit, item.ports))
                found |= _ports_at(set(item.ports), view)
            case RouterItem():
                found |= _ports_on({one.network_id for one in item.interfaces}, view)
            case _:
                pass
    return found


def _ports_at(interface_ids: set[str], view: View) -> set[Unit]:
    """The local ports on the networks of these interfaces. Cost: O(interfaces of all routers)."""
    interfaces = [one for router in view.routers.values() for one in router.interfaces]
    return _ports_on({one.network_id for one in interfaces if one.id in interface_ids}, view)


def _ports_on(network_ids: Iterable[str], view: View) -> set[Unit]:
    return {port_unit(id) for network_id in network_ids for id in view.ports_of(network_id)}


FIREWALLS = Feature(
    "firewall groups",
    shared=shared_rules,
    port=port_rules,
    rules={UnitKind.FIREWALL: firewall_rules},
    units=_units,
    affected=_affected,
)
