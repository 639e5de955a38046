"""Replacing the flows of affected units gives what computing everything anew gives."""

from collections.abc import Iterator

import hypothesis.strategies as st
from hypothesis import given, settings

from alcor.goalstate.item import (
    Neighbour,
    key_of,
)
from alcor.goalstate.scope import (
    neighbours_scope,
)
from alcor.pipeline.compile import (
    affected,
    flows,
    found,
    meters,
    unit_flows,
)
from alcor.pipeline.feature import ItemChange, Local, LocalChange
from alcor.pipeline.flow import Meter
from alcor.pipeline.unit import neighbour_unit
from alcor.pipeline.view import Allocation, View
from tests.support.edited_host import (
    Edit,
    assert_incremental,
    disputed,
    edits,
    lawful_flows,
    populated,
    secured,
    security_edits,
)
from tests.support.edited_items import MACS


@settings(deadline=None)
@given(st.lists(st.lists(edits(), max_size=4), max_size=8))
def test_incremental_equals_full(batches: list[list[Edit]]) -> None:
    """After every batch of edits the flows kept by units are those computed from nothing."""
    assert_incremental(disputed(), batches)


@settings(deadline=None)
@given(st.lists(st.lists(security_edits(), max_size=3), min_size=2, max_size=12))
def test_incremental_equals_full_for_groups_acls_and_firewalls(batches: list[list[Edit]]) -> None:
    """As above, where one network's ports meet all that may be said of them."""
    assert_incremental(secured(), batches)


@settings(deadline=None)
@given(st.lists(edits(), max_size=25))
def test_units_are_disjoint_and_lawful(batch: list[Edit]) -> None:
    """No flow has two owners, a switch would refuse none, and each meter that a flow names exists."""
    host = disputed()
    for edit in batch:
        edit(host)

    found = lawful_flows(host)

    named = {action.id for flow in found for action in flow.actions if isinstance(action, Meter)}
    assert named == set(meters(host.view, host.allocation))


def test_nothing_gives_the_shared_flows_only() -> None:
    """An empty view is a legal input: it closes everything."""
    kept = flows(View(), Allocation())

    assert len({flow.cookie for flow in kept.values()}) == 1


def _many_neighbours() -> Iterator[Neighbour]:
    for n in range(2000):
        mac = f"02:00:01:00:{n >> 8:02x}:{n & 255:02x}"
        yield Neighbour(
            id=f"q{n}", mac=mac, ips=(f"10.1.{n >> 8}.{n & 255}",), host_id="h2", vtep="192.0.2.2", groups=()
        )


def test_a_neighbour_costs_its_own_flows_only() -> None:
    """In a network of 2,000 neighbours, one more is one unit: one flow per address and one to its host."""
    host = populated()
    known = host.view.networks["n1"]
    for neighbour in _many_neighbours():
        known.neighbours[neighbour.id] = neighbour
    new = Neighbour(
        id="new", mac=MACS[2], ips=("10.9.0.1", "fd00::9"), host_id="h2", vtep="192.0.2.2", groups=()
    )
    known.neighbours[new.id] = new

    touched = affected(ItemChange(neighbours_scope("n1"), key_of(new), None, new), host.view)

    assert touched == {neighbour_unit("n1", "new")}
    assert sum(len(unit_flows(unit, host.view, host.allocation)) for unit in touched) == 3


def test_a_further_port_does_not_touch_neighbours() -> None:
    """Plugging a port is O(1), however many neighbours its network has."""
    host = populated()
    known = host.view.networks["n1"]
    for neighbour in _many_neighbours():
        known.neighbours[neighbour.id] = neighbour

    touched = found(LocalChange(Local.PORT, "p2"), host.view)

    others = {neighbour_unit("n1", id) for id in known.neighbours if id != "p2"}
    assert not touched & others
    assert len(touched) <= 5
