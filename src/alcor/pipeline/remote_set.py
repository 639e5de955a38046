"""Which sets of addresses the other end of a packet is in (tables EGRESS_SET, INGRESS_SET).

One flow per address (or prefix), direction and local network whose ports use a set it is in: it asks the rules once for
each of these sets. An address's flow names the sets of the prefixes around it too, as the longest prefix is met. One
unit per prefix, for all networks and sets: one member more or less is one unit, whatever else changes in the batch.
Networks overlap, so an address is always matched with the network of the local port.
"""

from collections.abc import Iterable, Iterator

from alcor.goalstate.scope import Scope
from alcor.goalstate.security_item import RulesItem
from alcor.pipeline.flow import Action, Resubmit, SetField, match
from alcor.pipeline.live import live_network
from alcor.pipeline.prefix import Entry, entry_of
from alcor.pipeline.security_policy import WAYS, Way, is_guarded, set_hash, uses_of
from alcor.pipeline.service_match import address_terms, eth_type_of
from alcor.pipeline.tables import NETWORK, SET, Priority, UnitKind
from alcor.pipeline.unit import Rule, Unit
from alcor.pipeline.view import Allocation, View, set_of


def set_unit(entry: Entry) -> Unit:
    """The unit of an address or prefix that sets hold."""
    return Unit(UnitKind.SET, entry.text)


def set_units(view: View) -> Iterator[Unit]:
    """Every address or prefix of every set. Cost: O(members)."""
    for remote in view.sets():
        yield from map(set_unit, view.entries_of(remote))


def set_rules(unit: Unit, view: View, allocation: Allocation) -> Iterator[Rule]:
    """The flows of one address or prefix. Cost: O(known sets + local ports that use those it is in)."""
    entry = entry_of(unit.id)
    exact = {remote for remote in view.sets() if view.has_entry(remote, entry)}
    around = {remote for remote in view.sets() if remote not in exact and _encloses(remote, entry, view)}
    for way in WAYS:
        by_network: dict[str, list[Scope]] = {}
        for remote in sorted(exact | around):
            for network_id in _networks_using(remote, way, entry.version, view):
                by_network.setdefault(network_id, []).append(remote)
        for network_id, used in by_network.items():
            network = live_network(network_id, view, allocation)
            if network is not None and not exact.isdisjoint(used):
                terms = {
                    NETWORK.name.lower(): network.key,
                    "eth_type": eth_type_of(entry.version),
                    **address_terms(way.remote, entry),
                }
                yield Rule(way.sets, Priority.NORMAL + entry.length, match(**terms), ask(way, used))


def ask(way: Way, sets: Iterable[Scope] = ()) -> tuple[Action, ...]:
    """Ask the rules, once for each set, then judge."""
    found: list[Action] = []
    for remote in sets:
        high, low = set_hash(remote)
        found += (SetField(SET[0], high), SetField(SET[1], low), Resubmit(way.rules))
    return (*(found or (Resubmit(way.rules),)), Resubmit(way.verdict))


def units_of_entries(entries: Iterable[Entry], view: View) -> set[Unit]:
    """The units to which it matters that these come or go: their own, and those inside a prefix.

    Cost: O(entries); O(members) if one is not a single address.
    """
    found = {set_unit(entry) for entry in entries}
    wide = [entry for entry in entries if not entry.is_host]
    if wide:
        for remote in view.sets():
            for inner in view.entries_of(remote):
                if any(entry.encloses(inner) for entry in wide):
                    found.add(set_unit(inner))
    return found


def units_of_sets(sets: Iterable[Scope], view: View) -> set[Unit]:
    """The units to which it matters who uses these sets. Cost: O(their members)."""
    found: set[Unit] = set()
    for remote in sets:
        found |= units_of_entries(view.entries_of(remote), view)
    return found


def sets_used(rules: Iterable[RulesItem]) -> set[Scope]:
    """The sets that rules are about."""
    return {remote for one in rules for remote, _, _ in uses_of(one)}


def _encloses(remote: Scope, entry: Entry, view: View) -> bool:
    """Whether a shorter prefix of the set is around an entry. Cost: O(the address's bits) where there are any."""
    return view.has_wide(remote) and any(
        view.has_entry(remote, entry.cut(length)) for length in range(entry.length)
    )


def _networks_using(remote: Scope, way: Way, version: int, view: View) -> set[str]:
    found: set[str] = set()
    for group in view.groups_using(remote):
        rules = view.rules[group].rules
        if any(
            rule.is_ingress == way.is_ingress and rule.ip_version == version and set_of(rule) == remote
            for rule in rules
        ):
            ports = (view.ports[id] for id in view.ports_in_group(group))
            found.update(port.network_id for port in ports if is_guarded(port))
    return found
