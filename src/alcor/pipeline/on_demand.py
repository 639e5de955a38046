"""What is held on demand: what a packet lacks is asked for by the agent (tables ASK, ASK_SOURCE, ASK_HOST).

`View.lazy` names the scopes of which a host holds only what its ports use. What such a scope does not have is unknown,
and neither absent nor anybody's: it is not flooded, not unreachable, and not refused for good. A packet that lacks
something goes to a relay of its network (`relay`), and a copy to the agent; where there is no relay it goes to the
agent alone, which holds it until the answer comes. What the agent sends again has the flag RESOLVED, and then all is as
in a network held whole.

*Bounds*: a meter per port for what it asks, one for what is asked about its senders (so that a scan of a port cannot
starve what the port asks itself), and one for the host.

*Groups*: a packet that no rule allows is refused for good (its connection marked) only when it is RESOLVED, if the
port's policy names a set that is held on demand in that direction: the other end may be in it. Until then it is closed.
"""

from collections.abc import Iterable, Iterator
from enum import IntEnum
from zlib import crc32

from alcor.goalstate.scope import Scope, ScopeKind, neighbours_scope
from alcor.pipeline.feature import Feature, Local, LocalChange
from alcor.pipeline.flow import (
    Action,
    Clone,
    Controller,
    Field,
    Match,
    Meter,
    MeterSpec,
    Resubmit,
    SetField,
    Term,
    match,
)
from alcor.pipeline.live import LiveNetwork, LivePort, is_remote, live_port
from alcor.pipeline.security_policy import WAYS, Way, groups_of, is_guarded, policy_terms, policy_unit
from alcor.pipeline.tables import (
    ASK_BURST_PACKETS,
    ASK_ELSEWHERE_METER,
    ASK_HOST_BURST_PACKETS,
    ASK_HOST_METER,
    ASK_HOST_RATE_PPS,
    ASK_RATE_PPS,
    FLAGS,
    LACK,
    Flag,
    Priority,
    Table,
    UnitKind,
    ask_meter_id,
)
from alcor.pipeline.unit import Rule, Unit, flood_unit, neighbour_unit, network_unit, port_unit
from alcor.pipeline.view import Allocation, NetworkView, View, set_of

DEMAND = Unit(UnitKind.DEMAND)


class Lack(IntEnum):
    """What a packet lacks: the answer to ARP or a solicitation; the host of its MAC; the MAC of its next hop; whether
    its target, or its source, is in a set that the port's rules name."""

    ANSWER = 1
    HOST = 2
    NEXT_HOP = 3
    TARGET = 4
    SOURCE = 5


def is_on_demand(network_id: str, view: View) -> bool:
    """Whether the neighbours of a network are held on demand. Cost: O(1)."""
    return neighbours_scope(network_id) in view.lazy


def is_flooded_by_relay(knowledge: NetworkView) -> bool:
    """Whether only relays know all hosts of a network: one of them copies what is for all. Cost: O(1)."""
    return knowledge.relays is not None and not knowledge.hosts


def relay_of(
    network: LiveNetwork, view: View, allocation: Allocation, *, is_lost: bool = False
) -> str | None:
    """The VTEP of the relay that this host sends to; None if there is none, none lives, or this host is one.

    `is_lost`: also one that is lost, if no other lives. Cost: O(relays of the network).
    """
    relays, host = network.knowledge.relays, view.host
    if relays is None or host is None or network.tunnel is None:
        return None
    if any(one.host_id == host.id for one in relays.hosts):
        # Relays take nothing from each other.
        return None
    there = [one for one in relays.hosts if is_remote(one.vtep, view)]
    able = [one for one in there if one.vtep not in allocation.lost_vteps] or (there if is_lost else [])
    return min(able, key=lambda one: crc32(f"{host.id}/{one.host_id}".encode())).vtep if able else None


def unasked(*terms: Term, flags: int = 0, clear: int = 0) -> Match:
    """A packet about which the agent was not asked yet. `flags`: it has these too; `clear`: it has none of these."""
    return flagged(terms, flags, flags | clear | Flag.RESOLVED)


def asked(*terms: Term) -> Match:
    """A packet about which the agent has asked."""
    return flagged(terms, Flag.RESOLVED, Flag.RESOLVED)


def flagged(terms: Iterable[Term], value: int, mask: int) -> Match:
    """The terms, and a condition on the flags if `mask` has any."""
    found = (*terms, Term(FLAGS, value, mask)) if mask else tuple(terms)
    return tuple(sorted(found, key=lambda term: term.field.name))


def ask(lack: Lack, relayed: tuple[Action, ...] = ()) -> tuple[Action, ...]:
    """To the agent; `relayed`: the packet's way to a relay, which it takes first: a meter may end what comes after."""
    table = Table.ASK_SOURCE if lack is Lack.SOURCE else Table.ASK
    punt = (SetField(LACK, lack), Resubmit(table))
    if not relayed:
        return punt
    return (Clone(relayed), SetField(FLAGS, Flag.RELAYED, Flag.RELAYED), *punt)


def lazy_sets(groups: tuple[str, ...], way: Way, view: View) -> set[Scope]:
    """The sets that a policy's rules name in a direction and that are held on demand. Cost: O(its rules)."""
    if not any(scope.kind is ScopeKind.MEMBERS for scope in view.lazy):
        return set()
    named = {
        set_of(rule)
        for group in groups
        if group in view.rules
        for rule in view.rules[group].rules
        if rule.is_ingress == way.is_ingress
    }
    return {remote for remote in named if remote is not None and remote in view.lazy}


def policy_rules(unit: Unit, view: View) -> Iterator[Rule]:
    """A packet that no rule of the policy allows may be from a member that is not known yet. At most two flows."""
    groups = groups_of(unit, view)
    for way in WAYS:
        if groups and lazy_sets(groups, way, view):
            flags = FLAGS.name.lower()
            refused = match(**policy_terms(groups), **{flags: (0, Flag.ALLOWED | Flag.RESOLVED)})
            lack = Lack.SOURCE if way.is_ingress else Lack.TARGET
            yield Rule(way.verdict, Priority.SPECIFIC + 1, refused, ask(lack))


def _port(port: LivePort, view: View, allocation: Allocation) -> Iterator[Rule]:
    """Two flows, while anything is held on demand."""
    if not view.lazy:
        return
    for table, register, is_about_sender in (
        (Table.ASK, Field.REG14, False),
        (Table.ASK_SOURCE, Field.REG15, True),
    ):
        meter = Meter(ask_meter_id(port.key, is_about_sender=is_about_sender))
        on = match(**{register.name.lower(): port.key})
        yield Rule(table, Priority.NORMAL, on, (meter, Resubmit(Table.ASK_HOST)))


def _demand(unit: Unit, view: View, allocation: Allocation) -> Iterator[Rule]:
    if view.lazy:
        elsewhere = (Meter(ASK_ELSEWHERE_METER), Resubmit(Table.ASK_HOST))
        yield Rule(Table.ASK, Priority.MISS, match(), elsewhere)
        yield Rule(Table.ASK_HOST, Priority.MISS, match(), (Meter(ASK_HOST_METER), Controller()))


def _meters(view: View, allocation: Allocation) -> Iterator[MeterSpec]:
    """Two per live local port and two of the host, while anything is held on demand. Cost: O(local ports)."""
    if not view.lazy:
        return
    yield MeterSpec(ASK_HOST_METER, ASK_HOST_RATE_PPS, ASK_HOST_BURST_PACKETS)
    yield MeterSpec(ASK_ELSEWHERE_METER, ASK_RATE_PPS, ASK_BURST_PACKETS)
    for port_id in view.ports:
        port = live_port(port_id, view, allocation)
        if port is not None:
            for is_about_sender in (False, True):
                id = ask_meter_id(port.key, is_about_sender=is_about_sender)
                yield MeterSpec(id, ASK_RATE_PPS, ASK_BURST_PACKETS)


def _found(change: LocalChange, view: View) -> set[Unit]:
    """A scope began or ceased to be held on demand. Cost: O(local ports), and what is held of the scope's network."""
    if change.what is not Local.LAZY:
        return set()
    found = {DEMAND, *(port_unit(id) for id in view.ports)}
    kind, _, id = change.id.partition(":")
    if kind == ScopeKind.MEMBERS:
        users = view.groups_using(Scope(ScopeKind.MEMBERS, id))
        ports = {port_id for group in users for port_id in view.ports_in_group(group)}
        found |= {policy_unit(view.ports[one].groups or ()) for one in ports if is_guarded(view.ports[one])}
    elif id in view.networks:
        found |= {network_unit(id), flood_unit(id)}
        found |= {neighbour_unit(id, one) for one in view.networks[id].neighbours}
    return found


ON_DEMAND = Feature(
    "on demand",
    port=_port,
    rules={UnitKind.DEMAND: _demand},
    units=lambda view: (DEMAND,),
    found=_found,
    meters=_meters,
)
