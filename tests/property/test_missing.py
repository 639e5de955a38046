"""Missing and stale knowledge closes, and never opens (I10): in random regions, with random packets."""

from dataclasses import dataclass, field, replace

import hypothesis.strategies as st
import msgspec
from hypothesis import assume, given

from alcor.goalstate.item import ItemKind, Key, State
from alcor.goalstate.scope import REGION, Scope
from alcor.goalstate.subject import LAZY_KINDS
from alcor.model.floatingip import FloatingIp
from alcor.model.host import Host
from alcor.model.port import Port
from alcor.model.resource import Entity
from alcor.model.router import Router
from alcor.model.security_group_rule import SecurityGroupRule
from tests.property.test_verdict import HALF, answer_to, arrivals, transmit
from tests.support.oracle import Arrival
from tests.support.packet_site import Fabric, Outcome, Site
from tests.support.random_region import OUTSIDE, Region, Sent, regions, sent

PACKETS = 25
"""In each region."""


@dataclass(frozen=True, eq=False, repr=False)
class Lacking(Region):
    """A region of which one host, or all if none is named, lacks one item."""

    scope: Scope = REGION
    key: Key | None = None
    host_id: str | None = None

    def held_by(self, host_id: str, states: dict[Scope, State]) -> dict[Scope, State]:
        """All but that item."""
        if self.host_id not in (None, host_id):
            return states
        rest = {key: item for key, item in states.get(self.scope, {}).items() if key != self.key}
        return states | {self.scope: rest}


@dataclass(frozen=True, eq=False, repr=False)
class Stale(Region):
    """A region of which one host, or all if none is named, still holds one scope as it was."""

    scope: Scope = REGION
    was: State = field(default_factory=dict)
    host_id: str | None = None

    def held_by(self, host_id: str, states: dict[Scope, State]) -> dict[Scope, State]:
        """The old state of that scope."""
        return states if self.host_id not in (None, host_id) else states | {self.scope: self.was}


def forget_connections(fabric: Fabric) -> None:
    """Have no switch remember anything."""
    for switch in fabric.switches.values():
        switch.connections.flush()


def received(outcome: Outcome, one: Sent) -> set[Arrival]:
    """Who got something: not the sender, to whom responders answer."""
    return {arrival for arrival in arrivals(outcome) if arrival.place != one.place}


def own(found: set[Arrival], site: Site) -> set[Arrival]:
    """Arrivals with router and floating IP, its own, taken for the same."""
    routers = {row.floating_ip_address: row.router_id for row in site.rows if isinstance(row, FloatingIp)}
    for row in site.rows:
        if isinstance(row, Router):
            ports = [site.port(id) for id in row.gateway_ports]
            routers |= {ip.ip_address: row.id for port in ports for ip in port.fixed_ips}
    return {one._replace(source=routers.get(one.source) or one.source) for one in found}


def knows(fabric: Fabric, one: Sent) -> bool:
    """Whether the sender has a VIF on a host that knows it."""
    return one.place == OUTSIDE or any(one.place in each.ofports for each in fabric.allocations.values())


def compare(
    site: Site, wholes: tuple[Fabric, ...], part: Fabric, one: Sent, *, by_owner: bool = False
) -> None:
    """One packet, and its answer where it arrived: whoever gets it is given it by one of the whole states."""
    for fabric in (*wholes, part):
        forget_connections(fabric)
    for _ in range(2):
        if not knows(part, one):
            return
        outcome = transmit(part, site, one)
        found = received(outcome, one)
        full = set().union(
            *(received(transmit(fabric, site, one), one) for fabric in wholes if knows(fabric, one))
        )
        if by_owner:
            found, full = own(found, site), own(full, site)
        assert found <= full, f"{one}\n  whole {full}\n  part {found}"
        reply = answer_to(outcome, one, site)
        if reply is None or not found:
            return
        one = reply


@HALF
@given(st.data())
def test_no_one_gets_what_the_whole_state_would_not_give(data: st.DataObject) -> None:
    """Whichever one item one host or all hosts lack, packets and answers reach nobody, or whom they should.

    A port whose floating IP is missing may leave with its router's own address, which is the same owner's.
    """
    site = data.draw(regions())
    whole, states = Fabric(site), site.states()
    items = [(scope, key) for scope in sorted(states) for key in sorted(states[scope])]
    scope, key = data.draw(st.sampled_from(items))
    host_id = data.draw(st.sampled_from((None, *site.hosts)))
    part = Fabric(Lacking(site.rows, next_hops=site.next_hops, scope=scope, key=key, host_id=host_id))
    for number in range(PACKETS):
        one = data.draw(sent(site, number))
        if one is not None and knows(whole, one):
            compare(site, (whole,), part, one, by_owner=key.kind is ItemKind.FLOATING_IP)


@st.composite
def on_demand(draw: st.DrawFn, site: Region) -> Region:
    """The region with some scopes held on demand, of which hosts hold some items; with relays, or without."""
    states = site.states()
    scopes = [scope for scope in sorted(states) if scope.kind in LAZY_KINDS]
    lazy = frozenset(str(scope) for scope in scopes if draw(st.booleans()))
    items = [key.id for scope in scopes if str(scope) in lazy for key in sorted(states[scope])]
    held = frozenset((host, id) for host in site.hosts for id in items if draw(st.integers(0, 2)) == 0)
    rows = tuple(
        msgspec.structs.replace(row, gateway=True) if isinstance(row, Host) else row for row in site.rows
    )
    return replace(
        site,
        rows=rows if draw(st.booleans()) else site.rows,
        lazy=lazy,
        held=held,
        relay_above=draw(st.integers(0, 2)),
    )


@HALF
@given(st.data())
def test_on_demand_gives_nobody_what_the_whole_state_would_not(data: st.DataObject) -> None:
    """Whatever hosts hold of what they hold on demand, packets and answers reach nobody, or whom they should; the way
    by a relay is a way to the same."""
    site = data.draw(regions())
    part = data.draw(on_demand(site))
    whole = Region(part.rows, next_hops=site.next_hops, relay_above=part.relay_above)
    fabrics = Fabric(whole), Fabric(part)
    for number in range(PACKETS):
        one = data.draw(sent(site, number))
        if one is not None and knows(fabrics[0], one):
            compare(whole, (fabrics[0],), fabrics[1], one)


@st.composite
def changes(draw: st.DrawFn, site: Region) -> Region:
    """The region after one change: a row is gone, or means something else."""
    machines = [row for row in site.ports if not row.device_owner]
    rules = [row for row in site.rows if isinstance(row, SecurityGroupRule)]
    routers = [row for row in site.rows if isinstance(row, Router)]
    row: Entity = draw(st.sampled_from((*machines, *machines, *rules, *routers)))
    if isinstance(row, Port):
        after: Entity | None = draw(
            st.sampled_from(
                (
                    msgspec.structs.replace(row, binding_host_id=draw(st.sampled_from(sorted(site.hosts)))),
                    msgspec.structs.replace(row, security_groups=()),
                    msgspec.structs.replace(row, security_groups=(f"{row.network_id[0]}g2",)),
                    msgspec.structs.replace(row, port_security_enabled=False, security_groups=()),
                    msgspec.structs.replace(row, admin_state_up=not row.admin_state_up),
                    None,
                )
            )
        )
        after = msgspec.structs.replace(after, binding_vif_type="ovs") if isinstance(after, Port) else None
    elif isinstance(row, Router):
        after = draw(
            st.sampled_from(
                (
                    msgspec.structs.replace(row, admin_state_up=False),
                    msgspec.structs.replace(row, enable_snat=not row.enable_snat),
                    msgspec.structs.replace(row, routes=()),
                )
            )
        )
    else:
        after = None
    gone = {row.id} if after is None else set()
    rows = tuple(
        after if one.id == row.id and after is not None else one
        for one in site.rows
        if one.id not in gone and not (isinstance(one, FloatingIp) and one.port_id in gone)
    )
    return Region(rows, next_hops=site.next_hops)


@HALF
@given(st.data())
def test_no_one_gets_what_neither_the_old_nor_the_new_state_gives(data: st.DataObject) -> None:
    """Whichever scope one host or all hosts hold as it was, packets reach whom they should, or should have."""
    before = data.draw(regions())
    after = data.draw(changes(before))
    states, later = before.states(), after.states()
    scopes = sorted(scope for scope in states | later if states.get(scope) != later.get(scope))
    assume(scopes)
    scope = data.draw(st.sampled_from(scopes))
    host_id = data.draw(st.sampled_from((None, *after.hosts)))
    was = states.get(scope, {})
    part = Fabric(Stale(after.rows, next_hops=after.next_hops, scope=scope, was=was, host_id=host_id))
    wholes = Fabric(before), Fabric(after)
    for number in range(PACKETS):
        one = data.draw(sent(before, number))
        if one is not None and knows(wholes[0], one):
            compare(before, wholes, part, one)
