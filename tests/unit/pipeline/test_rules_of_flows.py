"""Rules that all generated flows keep, whatever they are for."""

from collections.abc import Iterator

import msgspec
import pytest

from alcor.goalstate.item import NetworkHost
from alcor.pipeline.compile import flows, unit_flows, units
from alcor.pipeline.flow import Action, Clone, Field, Flow, Output, Resubmit, Term
from alcor.pipeline.prerequisite import check
from alcor.pipeline.tables import (
    COOKIE_KIND_SHIFT,
    COOKIE_OURS,
    COOKIE_OURS_MASK,
    COPIES_PER_FLOW_MAX,
    EGRESS,
    FLAG_TEXTS,
    INGRESS,
    NETWORK,
    PRIORITY_TEXTS,
    REGISTERS,
    ROUTER,
    TABLE_TEXTS,
    UNIT_TEXTS,
    Flag,
    Priority,
    Table,
    UnitKind,
)
from alcor.pipeline.unit import Unit, cookie_of
from tests.support.cases_routing import ROUTED
from tests.support.packet_cases import STANDARD
from tests.support.packet_site import SERVICE, Fabric

TENANT_FIELDS = {
    Field.ETH_SRC,
    Field.ETH_DST,
    Field.IPV4_SRC,
    Field.IPV4_DST,
    Field.IPV6_SRC,
    Field.IPV6_DST,
    Field.ARP_SPA,
    Field.ARP_TPA,
    Field.ARP_SHA,
    Field.ARP_THA,
    Field.ND_TARGET,
    Field.ND_SLL,
    Field.ND_TLL,
}


OWN_ORDER = {
    Table.ROUTE,
    Table.ACL_OUT,
    Table.ACL_IN,
    Table.EGRESS_SET,
    Table.INGRESS_SET,
    Table.FIREWALL_OUT_RULES,
    Table.FIREWALL_IN_RULES,
}
"""Tables in which a feature orders its flows itself, by more than bands."""


@pytest.fixture(scope="module", params=[STANDARD, ROUTED], ids=["standard", "routed"])
def fabric(request: pytest.FixtureRequest) -> Fabric:
    return Fabric(request.param)


@pytest.fixture(scope="module")
def generated(fabric: Fabric) -> list[Flow]:
    """All flows of all hosts of the standard site."""
    flows = [flow for switch in fabric.switches.values() for flow in switch.flows.values()]
    assert len(flows) > 100
    return flows


def all_actions(actions: tuple[Action, ...]) -> Iterator[Action]:
    """The actions, those inside clones too."""
    for action in actions:
        yield action
        if isinstance(action, Clone):
            yield from all_actions(action.actions)


def test_a_tenants_address_is_never_matched_alone(generated: list[Flow]) -> None:
    """Tenants' addresses overlap: a match on one is also a match on a network, router or port. 0 is no address.

    What comes from the host's own services has their addresses, which are no tenant's.
    """
    for flow in generated:
        if Term(Field.IN_PORT, SERVICE) in flow.match:
            continue
        fields = {term.field for term in flow.match if term.value}
        if fields & TENANT_FIELDS:
            assert fields & {NETWORK, INGRESS, EGRESS, ROUTER}, flow


def test_a_switch_refuses_none(generated: list[Flow]) -> None:
    """Every match has its prerequisites, and every resubmit leads forward."""
    for flow in generated:
        check(flow)


def test_no_way_ends_in_an_empty_table(fabric: Fabric) -> None:
    """A table that flows lead to has flows."""
    for switch in fabric.switches.values():
        targets = {
            action.table
            for flow in switch.flows.values()
            for action in all_actions(flow.actions)
            if isinstance(action, Resubmit)
        }
        assert targets <= {flow.table for flow in switch.flows.values()}


def test_every_flow_is_recognised_as_ours(generated: list[Flow]) -> None:
    """One cookie and mask find all our flows, and the cookie says what kind of thing each is about."""
    for flow in generated:
        assert flow.cookie & COOKIE_OURS_MASK == COOKIE_OURS
        UnitKind(flow.cookie >> COOKIE_KIND_SHIFT & 0xFF)


def test_cookies_are_the_same_for_ever() -> None:
    """An agent of any release finds the flows of any other."""
    unit = Unit(UnitKind.NEIGHBOUR, "11111111-2222-3333-4444-555555555555", "p")

    assert f"{cookie_of(unit):#x}" == "0xa105df527c8d275e"


def test_only_declared_tables_and_priorities_are_used(generated: list[Flow]) -> None:
    """The reference page is complete."""
    assert {flow.table for flow in generated} <= set(Table)
    assert {flow.priority for flow in generated if flow.table not in OWN_ORDER} <= set(Priority)


def test_tables_are_declared_in_packet_order() -> None:
    """The declaration reads as a packet goes."""
    assert list(Table) == sorted(Table)


def test_every_declaration_has_a_sentence() -> None:
    """Nothing is declared without a meaning."""
    assert set(TABLE_TEXTS) == set(Table)
    assert set(PRIORITY_TEXTS) == set(Priority)
    assert set(FLAG_TEXTS) == set(Flag)
    assert set(UNIT_TEXTS) == set(UnitKind)
    assert len({register.field for register in REGISTERS}) == len(REGISTERS)


@pytest.mark.parametrize("hosts", [1, 255, 700])
def test_a_flood_of_any_size_is_bounded_and_complete(hosts: int) -> None:
    """No flow holds more copies than its bound, and each host is in exactly one part."""
    fabric = Fabric(STANDARD)
    view, allocation = fabric.views["h1"], fabric.allocations["h1"]
    network = view.networks["red"]
    network.hosts.clear()
    for n in range(hosts):
        network.hosts[f"x{n}"] = NetworkHost(id=f"x{n}", vtep=f"198.51.{n >> 8}.{n & 255}")

    parts = [
        flow.actions
        for flow in unit_flows(Unit(UnitKind.FLOOD, "red"), view, allocation)
        if flow.table == Table.FLOOD
    ]

    copies = [sum(isinstance(action, Output) for action in all_actions(part)) for part in parts]
    assert max(copies) <= COPIES_PER_FLOW_MAX
    assert sum(copies) == hosts


def test_a_flood_copies_once_to_hosts_that_share_a_vtep() -> None:
    """A host that was made anew may be known twice for a moment; its ports must not get two copies."""
    fabric = Fabric(STANDARD)
    view, allocation = fabric.views["h1"], fabric.allocations["h1"]
    before = flows(view, allocation)

    view.networks["red"].hosts["again"] = NetworkHost(id="again", vtep="192.0.2.2")

    assert flows(view, allocation) == before


def test_one_more_host_changes_one_flow_of_a_large_flood() -> None:
    """Members keep their part, so that the difference stays small."""
    fabric = Fabric(STANDARD)
    view, allocation = fabric.views["h1"], fabric.allocations["h1"]
    for n in range(600):
        view.networks["red"].hosts[f"x{n}"] = NetworkHost(id=f"x{n}", vtep=f"198.51.{n >> 8}.{n & 255}")
    before = flows(view, allocation)

    view.networks["red"].hosts["new"] = NetworkHost(id="new", vtep="198.51.100.1")

    after = flows(view, allocation)
    assert len([key for key in after if before.get(key) != after[key]]) == 1


def test_many_local_ports_are_flooded_in_parts() -> None:
    """Four hundred ports of one network on one host each get one copy."""
    fabric = Fabric(STANDARD)
    view, allocation = fabric.views["h1"], fabric.allocations["h1"]
    for n in range(400):
        mac = f"02:00:00:01:{n >> 8:02x}:{n & 255:02x}"
        view.ports[f"x{n}"] = msgspec.structs.replace(view.ports["red-1"], id=f"x{n}", mac=mac)
        allocation.port_keys[f"x{n}"] = allocation.ofports[f"x{n}"] = 5000 + n

    found = unit_flows(Unit(UnitKind.FLOOD, "red"), view, allocation)

    local = [len(flow.actions) for flow in found if flow.table == Table.FLOOD and len(flow.actions) > 8]
    assert max(local) <= COPIES_PER_FLOW_MAX
    assert sum(local) == 403


def test_units_cover_the_flows(fabric: Fabric) -> None:
    """`flows` is the union of what the units own."""
    for id, view in fabric.views.items():
        allocation = fabric.allocations[id]
        owned = [flow for unit in units(view) for flow in unit_flows(unit, view, allocation)]

        assert {flow.key: flow for flow in owned} == flows(view, allocation)
        assert len(owned) == len(flows(view, allocation))
