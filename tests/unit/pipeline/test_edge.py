"""Laws of the edge's flows: whose addresses they match, who serves, and what a range of ports costs."""

from dataclasses import replace

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alcor.goalstate.item import Limit, NetworkItem, QosItem
from alcor.goalstate.router_item import GatewayHost, GatewayItem
from alcor.pipeline.compile import groups, meters, unit_flows
from alcor.pipeline.external import floating_ip_unit, gateway_unit
from alcor.pipeline.floating_ip import masks
from alcor.pipeline.flow import Bucket, Field, Flow, Group, Meter, Output, SetField
from alcor.pipeline.gateway import served, succeeded
from alcor.pipeline.outer import OUTER_METER, live_router, serves
from alcor.pipeline.prerequisite import check
from alcor.pipeline.qos import (
    EGRESS_PACKETS,
    EGRESS_RATE,
    INGRESS_PACKETS,
    INGRESS_RATE,
    KINDS,
    limit_meter_id,
)
from alcor.pipeline.tables import INGRESS, NETWORK, ROUTER, Table
from alcor.pipeline.view import Allocation, View
from tests.support.cases_edge import EDGE
from tests.support.packet_site import TUNNEL, Fabric

ADDRESSES = {
    *(Field.ETH_SRC, Field.ETH_DST, Field.IPV4_SRC, Field.IPV4_DST, Field.IPV6_SRC, Field.IPV6_DST),
    *(Field.ARP_SPA, Field.ARP_TPA, Field.ND_TARGET),
}
VTEP1, VTEP2 = "192.0.2.1", "192.0.2.2"


@pytest.fixture(scope="module")
def fabric() -> Fabric:
    return Fabric(EDGE)


def of(fabric: Fabric, host_id: str) -> tuple[View, Allocation]:
    """What a host knows, to be changed only as a copy."""
    return fabric.views[host_id], fabric.allocations[host_id]


def own_flows(fabric: Fabric, host_id: str) -> list[Flow]:
    """The flows of a host's gateways and floating IPs."""
    view, allocation = of(fabric, host_id)
    units = [*map(gateway_unit, view.routers), *map(floating_ip_unit, view.floating_ips)]
    return [flow for unit in units for flow in unit_flows(unit, view, allocation)]


@pytest.mark.parametrize("host_id", ["h1", "h2", "h3"])
def test_an_address_is_matched_with_its_network_or_router(fabric: Fabric, host_id: str) -> None:
    """Tenants' addresses overlap: a match on one is also a match on whose it is."""
    found = own_flows(fabric, host_id)

    assert found
    for flow in found:
        check(flow)
        fields = {term.field for term in flow.match}
        if fields & ADDRESSES:
            assert fields & {NETWORK, ROUTER, INGRESS}, flow


def test_where_nothing_is_served_only_the_way_there_is_known(fabric: Fabric) -> None:
    """A host without the wire hands packets over and answers for no outer address."""
    tables = {flow.table for flow in own_flows(fabric, "h3")}

    assert tables == {Table.EXTERNAL, Table.HAIRPIN_ROUTE}


def test_the_first_living_gateway_host_serves(fabric: Fabric) -> None:
    """In the order of the router's item; nobody serves who is not told so by an item of his own."""
    served = {}
    for lost in ("", VTEP1, VTEP2):
        for host_id in ("h1", "h2", "h3"):
            view, allocation = of(fabric, host_id)
            allocation = replace(allocation, lost_vteps=frozenset({lost} - {""}))
            router = live_router("r1", view, allocation)
            assert router is not None
            served[lost, host_id] = serves(router, view, allocation)

    assert {place for place, is_serving in served.items() if is_serving} == {
        ("", "h2"),
        (VTEP1, "h2"),
        (VTEP2, "h1"),
        # A host that is lost to others goes on, as it cannot know.
        (VTEP2, "h2"),
    }


PROBES = {("vxlan", VTEP2): 32, ("vxlan", "192.0.2.3"): 33}


def _stands(view: View, allocation: Allocation) -> tuple[bool, list[str], bool]:
    """Whether the host serves r1; in whose place; whether it answers for r1 outside."""
    router = live_router("r1", view, allocation)
    assert router is not None
    answers = {flow.table for flow in unit_flows(gateway_unit("r1"), view, allocation)} >= {Table.ARP_ND}
    return (
        serves(router, view, allocation),
        sorted(host.host_id for host in succeeded(view, allocation)),
        answers and bool(list(served(gateway_unit("r1"), view, allocation))),
    )


def test_a_host_that_has_lost_all_others_takes_over_from_nobody(fabric: Fabric) -> None:
    """It is lost itself, then: its flows, its answers and what it tells say so. One probe alone tells nothing."""
    view, allocation = of(fabric, "h1")
    lost = frozenset({VTEP2})
    none = replace(allocation, lost_vteps=lost)
    one = replace(none, probes={("vxlan", VTEP2): 32})
    some = replace(none, probes=PROBES)
    everybody = replace(none, probes=PROBES, lost_vteps=lost | {"192.0.2.3"})

    assert _stands(view, replace(allocation, probes=PROBES)) == (False, [], False)
    assert [_stands(view, each) for each in (none, one, some)] == [(True, ["h2"], True)] * 3
    assert _stands(view, everybody) == (False, [], False)


def test_the_first_gateway_host_goes_on_when_all_others_are_lost(fabric: Fabric) -> None:
    """It takes nothing from anybody by that."""
    view, allocation = of(fabric, "h2")
    probes = {("vxlan", VTEP1): 31, ("vxlan", "192.0.2.3"): 33}
    alone = replace(allocation, probes=probes, lost_vteps=frozenset({VTEP1, "192.0.2.3"}))

    assert _stands(view, alone) == (True, [], True)


def test_without_its_own_item_a_gateway_host_serves_nothing(fabric: Fabric) -> None:
    """The item says that the external networks are known (I10)."""
    view, allocation = of(fabric, "h2")
    router = live_router("r1", view, allocation)
    assert router is not None
    blind = replace(view, gateways={})

    assert not serves(router, blind, allocation)
    gateway = unit_flows(gateway_unit("r1"), blind, allocation)
    assert not {flow.table for flow in gateway} & {Table.ARP_ND, Table.UN_NAT, Table.SNAT}


def test_watched_gateway_hosts_are_a_group(fabric: Fabric) -> None:
    """In order, each with the port that watches it; the tunnel itself is the flow-based one."""
    view, allocation = of(fabric, "h3")
    watched = replace(allocation, probes={("vxlan", VTEP1): 31, ("vxlan", VTEP2): 32})

    (spec,) = (one for one in groups(view, watched).values() if one.id & 0xFF00 == _number(allocation, "r1"))
    leaving = [flow for flow in unit_flows(gateway_unit("r1"), view, watched) if flow.table == Table.EXTERNAL]

    assert spec.buckets == (
        Bucket(0, (SetField(Field.TUN_IPV4_DST, 0xC0000202), Output(TUNNEL)), watch_port=32),
        Bucket(1, (SetField(Field.TUN_IPV4_DST, 0xC0000201), Output(TUNNEL)), watch_port=31),
    )
    assert [flow.actions for flow in leaving] == [(SetField(Field.TUN_ID, 6001), Group(spec.id))]


def _number(allocation: Allocation, router_id: str) -> int:
    return allocation.router_keys[router_id] << 8 & 0xFF00


def test_a_standby_hands_over_to_those_before_it(fabric: Fabric) -> None:
    """Never to itself or those behind it; when all before it are lost it serves."""
    view, allocation = of(fabric, "h1")
    watched = replace(allocation, probes={("vxlan", VTEP2): 32})

    ends = {len(spec.buckets) for spec in groups(view, watched).values()}
    alone = groups(view, replace(watched, lost_vteps=frozenset({VTEP2})))

    assert ends == {1}
    assert alone == {}


def test_two_that_claim_one_outer_address_have_none(fabric: Fabric) -> None:
    """While knowledge is in transit nobody can say whose it is."""
    view, allocation = of(fabric, "h1")
    twice = replace(view, floating_ips=dict(view.floating_ips))
    twice.floating_ips["again"] = msgspec.structs.replace(
        view.floating_ips["f201"], id="again", ip="203.0.113.101"
    )

    assert unit_flows(floating_ip_unit("f101"), view, allocation)
    assert unit_flows(floating_ip_unit("f101"), twice, allocation) == ()
    assert unit_flows(floating_ip_unit("again"), twice, allocation) == ()


def test_an_unplugged_port_has_no_floating_ip(fabric: Fabric) -> None:
    """Who is not there is not answered for: on another host he may be."""
    view, allocation = of(fabric, "h1")
    ofports = {id: port for id, port in allocation.ofports.items() if id != "red-1"}

    assert unit_flows(floating_ip_unit("f101"), view, replace(allocation, ofports=ofports)) == ()


def test_a_vlan_tenants_packets_are_not_handed_over(fabric: Fabric) -> None:
    """Its hosts have no tunnel of its own: such a network gets out where its gateway is served, and by floating IPs."""
    view, allocation = of(fabric, "h3")
    red = view.networks["red"]
    vlan = NetworkItem(
        id="red",
        network_type="vlan",
        segmentation_id=9,
        mtu=1500,
        admin_state_up=True,
        physical_network="wire",
    )
    changed = replace(view, networks=view.networks | {"red": replace(red, network=vlan)})

    tables = {flow.table for flow in unit_flows(gateway_unit("r1"), changed, allocation)}

    assert tables == {Table.HAIRPIN_ROUTE}


def test_each_floating_ip_is_a_handful_of_flows(fabric: Fabric) -> None:
    """One more costs what it costs, however many there are."""
    view, allocation = of(fabric, "h1")

    count = len(unit_flows(floating_ip_unit("f101"), view, allocation))

    assert count == 8


@given(st.integers(1, 65_535), st.integers(1, 65_535))
def test_masks_are_exactly_the_range(one: int, other: int) -> None:
    """Each port of the range is in one of them, no other port in any, and there are at most thirty."""
    first, last = sorted((one, other))
    found = list(masks(first, last))

    assert len(found) <= 30
    at = first
    for value, mask in found:
        assert value == at
        assert value & mask == value
        at += 0x10000 - mask
    assert at == last + 1


def test_a_gateway_host_that_is_not_in_the_list_serves_nothing(fabric: Fabric) -> None:
    """An old item of the host's does not make it one."""
    view, allocation = of(fabric, "h3")
    told = replace(view, gateways={"r1": GatewayItem(id="r1", networks=("ext",))})
    router = live_router("r1", told, allocation)
    assert router is not None

    assert not serves(router, told, allocation)
    assert GatewayHost("h3", "192.0.2.3") not in router.item.gateway_hosts


def test_a_policy_meters_both_directions(fabric: Fabric) -> None:
    """Bandwidth where it is translated; packets a table before or behind; all four meters are in the switch first."""
    view, allocation = of(fabric, "h1")
    limits = tuple(Limit(is_ingress, 1_000, 0) for is_ingress in (False, True))
    floating = msgspec.structs.replace(view.floating_ips["f101"], qos="q")
    limited = replace(
        view,
        floating_ips=view.floating_ips | {"f101": floating},
        qos={"q": QosItem(id="q", bandwidth=limits, packets=limits)},
    )
    numbered = replace(allocation, limit_keys={"f101": 5})

    def metered(numbers: Allocation) -> dict[Table, set[int]]:
        found: dict[Table, set[int]] = {}
        for flow in unit_flows(floating_ip_unit("f101"), limited, numbers):
            ids = {action.id for action in flow.actions if isinstance(action, Meter)} - {OUTER_METER}
            if ids:
                found.setdefault(Table(flow.table), set()).update(ids)
        return found

    assert metered(numbered) == {
        Table.EXTERNAL: {limit_meter_id(5, EGRESS_RATE)},
        Table.SNAT: {limit_meter_id(5, EGRESS_PACKETS)},
        Table.L3_ADMIT: {limit_meter_id(5, INGRESS_PACKETS)},
        Table.UN_NAT: {limit_meter_id(5, INGRESS_RATE)},
        Table.HAIRPIN: {limit_meter_id(5, INGRESS_RATE)},
    }
    assert {limit_meter_id(5, kind) for kind in KINDS} <= meters(limited, numbered).keys()
    assert metered(allocation) == {}
