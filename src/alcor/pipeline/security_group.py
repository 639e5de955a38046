"""Security groups (tables EGRESS_CT to EGRESS_ALLOWED and INGRESS_CT to INGRESS_ALLOWED).

Each port is judged on its own host, what it sends and what it gets, in its own conntrack zone: two ports of one host
have separate state. Default deny; ARP, neighbour and router discovery on the link, multicast membership and DHCP are
not asked about, as in the reference.

*Sessions end with their rule*: only replies and related errors pass without rules; whoever opened a connection is
judged again with every packet, and the first one that no rule allows marks the connection blocked, for both directions.
A rule that allows it again clears the mark. An opener that falls silent does not notice: the agent forgets such
connections. Where a port's groups are not all known it has no flows: it drops, and marks nothing.
"""

from collections.abc import Iterable, Iterator

from alcor.goalstate.item import LocalPort, NetworkItem
from alcor.goalstate.security_item import Member, Prefix, RulesItem
from alcor.pipeline import on_demand
from alcor.pipeline.feature import Feature, ItemChange, Local, LocalChange
from alcor.pipeline.flow import (
    Action,
    Conntrack,
    ConntrackClear,
    CtState,
    Field,
    Resubmit,
    SetField,
    match,
)
from alcor.pipeline.live import LivePort
from alcor.pipeline.port_security import ETH_ARP, ETH_IPV4, ETH_IPV6, link_messages
from alcor.pipeline.prefix import entry_of
from alcor.pipeline.remote_set import ask, set_rules, set_units, sets_used, units_of_entries, units_of_sets
from alcor.pipeline.security_policy import (
    ALLOW,
    ANYTHING,
    WAYS,
    Way,
    has_firewall,
    is_guarded,
    is_known,
    is_stateful,
    load_policy,
    policy_rules,
    policy_terms,
    policy_unit,
    policy_units,
    uses_of,
)
from alcor.pipeline.service_match import Terms
from alcor.pipeline.tables import FLAGS, ConnectionMark, Flag, Priority, UnitKind
from alcor.pipeline.unit import Rule, Unit, port_unit
from alcor.pipeline.view import Allocation, View

_KINDS = (ETH_IPV4, ETH_IPV6)
_KNOWN, _BLOCKED = ConnectionMark.KNOWN, ConnectionMark.BLOCKED


def shared_rules() -> Iterator[Rule]:
    """What is the same for all ports: what is not asked about, and what a verdict does."""
    for way in WAYS:
        on = (Resubmit(way.following),)
        for terms in (match(eth_type=ETH_ARP), *link_messages()):
            yield Rule(way.tracking, Priority.GUARD, terms, on)
        yield from _replies(way, on)
        yield Rule(way.sets, Priority.MISS, match(), ask(way))
        yield Rule(way.rules, Priority.NORMAL, match(**policy_terms(ANYTHING)), (ALLOW,))
        yield from _verdicts(way, on)


def port_rules(port: LivePort, view: View, allocation: Allocation) -> Iterator[Rule]:
    """What becomes of the port's packets. Four flows; two without port security."""
    groups = port.item.groups
    tracked = has_firewall(port.item, view)
    for way in WAYS:
        at = {way.port.name.lower(): port.key}
        if is_guarded(port.item):
            if groups is not None and is_known(groups, view):
                stateful = tracked or is_stateful(groups, view)
                yield from _asked(way, at, groups, Priority.NORMAL, stateful=stateful)
        else:
            yield Rule(way.tracking, Priority.PASS, match(**at), (Resubmit(way.following),))
            if tracked:
                yield from _asked(way, at, ANYTHING, Priority.TRACKED, stateful=True)


def _asked(
    way: Way, at: Terms, groups: tuple[str, ...], priority: Priority, *, stateful: bool
) -> Iterator[Rule]:
    look = _look(way, stateful=stateful)
    for kind in _KINDS:
        yield Rule(way.tracking, priority, match(**at, eth_type=kind), (*load_policy(groups), *look))


def _look(way: Way, *, stateful: bool) -> tuple[Action, ...]:
    if stateful:
        return (Conntrack(zone=way.port, table=way.sets),)
    # What the sender's zone said is not this port's.
    return (ConntrackClear(), Resubmit(way.sets))


def _state(of: CtState, mark: tuple[int, int] | None = None) -> Terms:
    terms: dict[str, int | tuple[int, int]] = {"ct_state": (of, of)}
    return terms if mark is None else {**terms, "ct_mark": mark}


def _replies(way: Way, on: tuple[Action, ...]) -> Iterator[Rule]:
    """Without rules: replies and related errors pass, unless their connection is blocked; what is invalid does not."""
    yield Rule(way.sets, Priority.GUARD, match(**_state(CtState.INVALID)), ())
    for of in (CtState.EST | CtState.REPLY, CtState.RELATED):
        yield Rule(way.sets, Priority.GUARD, match(**_state(of, (0, _BLOCKED))), on)
        yield Rule(way.sets, Priority.GUARD, match(**_state(of, (_BLOCKED, _BLOCKED))), ())


def _verdicts(way: Way, on: tuple[Action, ...]) -> Iterator[Rule]:
    allowed: Terms = {FLAGS.name.lower(): (Flag.ALLOWED, Flag.ALLOWED)}
    refused: Terms = {FLAGS.name.lower(): (0, Flag.ALLOWED)}
    untracked = match(**allowed, ct_state=(0, CtState.TRACKED))
    yield Rule(way.verdict, Priority.NORMAL, untracked, on)
    unblocked = match(**allowed, **_state(CtState.EST, (0, _BLOCKED)))
    yield Rule(way.verdict, Priority.NORMAL, unblocked, on)
    # Fragments wait in the commit for each other, so they go on from there.
    keep = Conntrack(
        zone=way.port,
        commit=True,
        table=way.following,
        actions=(SetField(Field.CT_MARK, _KNOWN, _KNOWN | _BLOCKED),),
    )
    block = Conntrack(zone=way.port, commit=True, actions=(SetField(Field.CT_MARK, _BLOCKED, _BLOCKED),))
    for kind in _KINDS:
        for state in (_state(CtState.NEW), _state(CtState.EST, (_BLOCKED, _BLOCKED))):
            yield Rule(way.verdict, Priority.NORMAL, match(eth_type=kind, **allowed, **state), (keep,))
        # An opener whose first packets were not answered yet is still new, but its connection is known. Its fragments
        # must not wait to be blocked: others, which a rule about another port lets pass, wait to be committed.
        whole: Terms = {"ip_frag": 0}
        for of, terms in ((CtState.NEW, whole), (CtState.EST, {})):
            known = _state(of, (_KNOWN, _KNOWN | _BLOCKED))
            yield Rule(
                way.verdict, Priority.NORMAL, match(eth_type=kind, **refused, **known, **terms), (block,)
            )


def _policy(unit: Unit, view: View, allocation: Allocation) -> Iterator[Rule]:
    yield from policy_rules(unit, view, allocation)
    yield from on_demand.policy_rules(unit, view)


def _units(view: View) -> Iterator[Unit]:
    yield from policy_units(view)
    yield from set_units(view)


def _affected(change: ItemChange, view: View) -> set[Unit]:
    """Cost: O(1) for a member or an address; O(members of its sets) for the first port of a network in a group, for a
    rule about a set, and for a prefix that is not one address.
    """
    before, after = change.before, change.after
    match after if after is not None else before:
        case LocalPort():
            return _by_ports(before, after, view)
        case RulesItem():
            return _by_rules(before, after, view)
        case Member() | Prefix():
            return _by_entries(before, after, view)
        case NetworkItem():
            return _of_network(change.scope.id, view)
        case _:
            return set()


def _found(change: LocalChange, view: View) -> set[Unit]:
    match change.what:
        case Local.PORT:
            port = view.ports.get(change.id) or view.closed.get(change.id)
            return set() if port is None else _of_port(port, view)
        case Local.NETWORK:
            return _of_network(change.id, view)
        case _:
            return set()


def _by_ports(before: object, after: object, view: View) -> set[Unit]:
    found: set[Unit] = set()
    for port in (before, after):
        if isinstance(port, LocalPort):
            found |= _of_port(port, view)
    return found


def _of_port(port: LocalPort, view: View) -> set[Unit]:
    """The policy of a port that came, went or changed, and what it may be the first or last of its network to use."""
    groups = port.groups or ()
    rules = [view.rules[group] for group in groups if group in view.rules and _decides(port, group, view)]
    return {policy_unit(groups)} | units_of_sets(sets_used(rules), view)


def _decides(port: LocalPort, group: str, view: View) -> bool:
    """Whether it may depend on this port that its network uses a group's sets.

    Of several that came together the one with the first id answers for all; where there was one before, nothing
    changes. If none is left, each that went answers.
    """
    others = [
        id
        for id in view.ports_in_group(group)
        if view.ports[id].network_id == port.network_id and is_guarded(view.ports[id])
    ]
    return not others or min(others) == port.id


def _by_rules(before: object, after: object, view: View) -> set[Unit]:
    items = [item for item in (before, after) if isinstance(item, RulesItem)]
    group = items[0].id
    ports = view.ports_in_group(group)
    found = {policy_unit(view.ports[id].groups or ()) for id in ports}
    if len(items) < 2 or items[0].stateful != items[1].stateful:
        found |= {port_unit(id) for id in ports}
    uses = [uses_of(item) if isinstance(item, RulesItem) else set() for item in (before, after)]
    return found | units_of_sets({remote for remote, _, _ in uses[0] ^ uses[1]}, view)


def _by_entries(before: object, after: object, view: View) -> set[Unit]:
    cidrs = [set(_cidrs_of(item)) for item in (before, after)]
    return units_of_entries([entry_of(cidr) for cidr in cidrs[0] ^ cidrs[1]], view)


def _cidrs_of(item: object) -> Iterable[str]:
    match item:
        case Member():
            return item.cidrs
        case Prefix():
            return (item.id,)
        case _:
            return ()


def _of_network(network_id: str, view: View) -> set[Unit]:
    groups = {group for id in view.ports_of(network_id) for group in view.ports[id].groups or ()}
    return units_of_sets(sets_used(view.rules[group] for group in groups if group in view.rules), view)


SECURITY_GROUPS = Feature(
    "security groups",
    shared=shared_rules,
    port=port_rules,
    rules={UnitKind.POLICY: _policy, UnitKind.SET: set_rules},
    units=_units,
    affected=_affected,
    found=_found,
)
