"""Rules that all flows keep, over the sites of the packet cases and random regions."""

from dataclasses import replace
from functools import lru_cache

from hypothesis import given

from alcor.pipeline.compile import flows
from alcor.pipeline.flow import Conntrack, Field, Flow, Resubmit
from alcor.pipeline.tables import (
    COOKIE_KIND_SHIFT,
    EGRESS,
    INGRESS,
    NETWORK,
    POLICY,
    ROUTER,
    Table,
    UnitKind,
)
from tests.property.test_verdict import HALF
from tests.support.cases_acl import ACLS
from tests.support.cases_edge import EDGE, TAGGED
from tests.support.cases_firewall import FIREWALLS
from tests.support.cases_on_demand import ASKED, LAZY
from tests.support.cases_routing import ROUTED
from tests.support.cases_security import SETS
from tests.support.cases_segments import CLAIMED, SEGMENTS, TRUNKED
from tests.support.packet_cases import STANDARD
from tests.support.packet_site import Fabric, Site
from tests.support.random_region import regions
from tests.unit.pipeline.test_rules_of_flows import TENANT_FIELDS, all_actions

SCOPES = {NETWORK, ROUTER, INGRESS, EGRESS, Field.IN_PORT, *POLICY}
"""What a tenant's address is matched with. Correction 3 of the data plane."""


def flows_of(site: Site) -> list[Flow]:
    """All flows of all hosts."""
    return [flow for switch in Fabric(site).switches.values() for flow in switch.flows.values()]


SITES = (
    STANDARD,
    ROUTED,
    EDGE,
    TAGGED,
    SEGMENTS,
    TRUNKED,
    CLAIMED,
    LAZY,
    ASKED,
    *(one.site for one in (*ACLS, *FIREWALLS, *SETS)),
)


@lru_cache(1)
def every_flow() -> tuple[Flow, ...]:
    """The flows of all sites, those of ports that have just arrived too."""
    found: list[Flow] = []
    for site in dict.fromkeys(SITES):
        fabric = Fabric(site)
        for id, view in fabric.views.items():
            arrived = replace(fabric.allocations[id], arrived=set(view.ports))
            found += flows(view, arrived).values()
    return tuple(found)


def test_every_table_is_used() -> None:
    """A table that no flow is in, and none leads to, is no part of the pipeline."""
    assert {flow.table for flow in every_flow()} == set(Table)


def test_every_kind_of_unit_is_used() -> None:
    """A kind that no flow is about is declared in vain."""
    assert {flow.cookie >> COOKIE_KIND_SHIFT & 0xFF for flow in every_flow()} == set(UnitKind)


@HALF
@given(regions())
def test_a_tenants_address_is_never_matched_alone(site: Site) -> None:
    """Whatever the region: a match on an address is one on a network, router, policy or port too. 0 is no address."""
    for flow in flows_of(site):
        fields = {term.field for term in flow.match if term.value}
        assert not fields & TENANT_FIELDS or fields & SCOPES, flow


@HALF
@given(regions())
def test_flows_lead_forward(site: Site) -> None:
    """Whatever the region: packets only ever move to higher tables, so that none can loop."""
    for flow in flows_of(site):
        for action in all_actions(flow.actions):
            if isinstance(action, Resubmit | Conntrack) and action.table is not None:
                assert action.table > flow.table, flow
