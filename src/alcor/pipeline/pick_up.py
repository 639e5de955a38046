"""Connections that a port has brought along from another host (tables EGRESS_SET and INGRESS_SET).

Connection tracking does not move with a port: in the new host's zone a segment from the middle of a session is new. The
groups alone would judge it as if its sender were opening the session: what a server sends to the port that has called
it would be dropped, and a port that may not call would fall silent towards its callers. So for a while after a port has
arrived a segment that can only be from the middle (ACK, neither SYN nor RST) and belongs to no known connection passes
where the rules let the *other* end open its connection: it goes the other way, and its source port is the one that was
called. It passes without being committed. The first segment of the side that was allowed to open commits the
connection as it was before the move, so that it ends with its rule; from then on nothing here meets it.

Not for rules about sets of addresses (remote groups, address groups): there the side that may open must speak first.
Not for datagrams: of those nobody can see whether they open anything.
"""

from collections.abc import Iterator

from alcor.goalstate.item import LocalPort
from alcor.goalstate.security_item import GroupRule, RulesItem
from alcor.pipeline.feature import Feature, ItemChange, Local, LocalChange
from alcor.pipeline.flow import CtState, Match, Resubmit, match
from alcor.pipeline.prefix import entry_of
from alcor.pipeline.security_policy import WAYS, Way, is_guarded, is_known, is_stateful
from alcor.pipeline.service_match import (
    TCP,
    WHOLE,
    Service,
    Terms,
    address_terms,
    eth_type_of,
    service_terms,
)
from alcor.pipeline.tables import Priority, UnitKind
from alcor.pipeline.unit import Rule, Unit
from alcor.pipeline.view import Allocation, View, set_of

_SYN, _RST, _ACK = 0x02, 0x04, 0x10
_FROM_THE_MIDDLE: Terms = {
    "ct_state": (CtState.TRACKED | CtState.NEW, CtState.TRACKED | CtState.NEW | CtState.INVALID),
    "tcp_flags": (_ACK, _SYN | _RST | _ACK),
}
_ANY_PROTOCOLS = (None, 0)


def arrival_unit(port_id: str) -> Unit:
    """The unit of a port's brought connections."""
    return Unit(UnitKind.ARRIVAL, port_id)


def arrival_rules(unit: Unit, view: View, allocation: Allocation) -> Iterator[Rule]:
    """What passes, while the port counts as just arrived. Cost: O(rules of its groups)."""
    port, key = view.ports.get(unit.id), allocation.port_keys.get(unit.id, 0)
    if unit.id not in allocation.arrived or port is None or not key or unit.id in view.closed:
        return
    groups = port.groups
    if groups is None or not is_guarded(port) or not is_known(groups, view) or not is_stateful(groups, view):
        return
    for way in WAYS:
        found: dict[Match, str] = {}
        for rule in (rule for group in groups for rule in view.rules[group].rules):
            for terms in _answers(rule, way):
                key_of = match(**{way.port.name.lower(): key}, **_FROM_THE_MIDDLE, **terms)
                found[key_of] = min(rule.id, found.get(key_of, rule.id))
        for terms_of_flow, about in found.items():
            yield Rule(way.sets, Priority.PASS, terms_of_flow, (Resubmit(way.following),), about=about)


def _answers(rule: GroupRule, way: Way) -> Iterator[Terms]:
    """What goes one way and answers connections that a rule of the other way lets open."""
    if rule.is_ingress == way.is_ingress or set_of(rule) is not None:
        return
    if rule.protocol not in (*_ANY_PROTOCOLS, TCP):
        return
    remote: Terms = {"eth_type": eth_type_of(rule.ip_version)}
    if rule.prefix is not None:
        entry = entry_of(rule.prefix)
        if entry.version != rule.ip_version:
            return
        remote = {**remote, **address_terms(way.remote, entry)}
    has_ports = rule.protocol == TCP
    service = Service(
        rule.ip_version, TCP, rule.first if has_ports else None, rule.last if has_ports else None
    )
    for terms in service_terms(service):
        called = {"tcp_src" if name == "tcp_dst" else name: value for name, value in terms.items()}
        yield {**remote, **WHOLE, **called}


def _units(view: View) -> Iterator[Unit]:
    yield from map(arrival_unit, view.ports)


def _affected(change: ItemChange, view: View) -> set[Unit]:
    """Cost: O(local ports of a changed group), of which none but those just arrived has flows here."""
    item = change.after if change.after is not None else change.before
    match item:
        case LocalPort():
            return {arrival_unit(item.id)}
        case RulesItem():
            return set(map(arrival_unit, view.ports_in_group(item.id)))
        case _:
            return set()


def _found(change: LocalChange, view: View) -> set[Unit]:
    return {arrival_unit(change.id)} if change.what in (Local.PORT, Local.ARRIVED) else set()


PICK_UP = Feature(
    "picked up connections",
    rules={UnitKind.ARRIVAL: arrival_rules},
    units=_units,
    affected=_affected,
    found=_found,
)
