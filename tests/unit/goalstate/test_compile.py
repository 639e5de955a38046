"""What the goal state says, kind by kind."""

import pytest

from alcor.goalstate.item import (
    Address,
    HostItem,
    ItemKind,
    Key,
    LocalPort,
    Neighbour,
    NetworkHost,
    NetworkItem,
    Route,
    SubnetItem,
    refers,
)
from alcor.goalstate.project import host_mac
from alcor.goalstate.scope import (
    CLOSURE_DEPTH_MAX,
    REGION,
    host_scope,
    neighbours_scope,
    network_scope,
)
from alcor.model.port import FixedIp
from alcor.model.subnet import HostRoute
from tests.support.goalstate import A_REGION, a_host, a_network, a_port, a_subnet, expected, replaced


def test_an_empty_region_has_its_parameters() -> None:
    """A region without rows holds its parameters and no other scope."""
    assert expected([]) == {REGION: {Key(ItemKind.REGION, "region"): A_REGION}}


def test_a_host_is_in_its_own_scope() -> None:
    """A host's scope says its name, its tunnel addresses and the digest of its agent's secret."""
    states = expected([a_host("h", "192.0.2.7", description="rack 4")])

    assert states[host_scope("h")] == {
        Key(ItemKind.HOST, "h"): HostItem(
            id="h",
            name="host-h",
            vtep_addresses=("192.0.2.7",),
            token_digest="d",
            mac=host_mac("h"),
        )
    }


def test_a_network_and_its_subnets_share_a_scope() -> None:
    """A network's scope says its segment and MTU, and of each subnet what DHCP and router advertisements tell."""
    subnet = a_subnet(
        "s",
        "n",
        dns_nameservers=("10.0.0.9", "10.0.0.2"),
        host_routes=(HostRoute("10.9.0.0/16", "10.0.0.3"), HostRoute("10.8.0.0/16", "10.0.0.4")),
    )
    states = expected([a_network("n", provider_segmentation_id=7), subnet])

    assert states[network_scope("n")] == {
        Key(ItemKind.NETWORK, "n"): NetworkItem(
            id="n", network_type="vxlan", segmentation_id=7, mtu=1450, admin_state_up=True
        ),
        Key(ItemKind.SUBNET, "s"): SubnetItem(
            id="s",
            network_id="n",
            cidr="10.0.0.0/24",
            gateway_ip="10.0.0.1",
            dns_nameservers=("10.0.0.9", "10.0.0.2"),
            host_routes=(Route("10.8.0.0/16", "10.0.0.4"), Route("10.9.0.0/16", "10.0.0.3")),
            enable_dhcp=True,
            ipv6_ra_mode=None,
            ipv6_address_mode=None,
        ),
    }


def test_a_placed_port_is_told_to_its_host_and_to_its_network() -> None:
    """A bound port is local to its host, a neighbour of its network, and makes its host one of the network's."""
    port = a_port("p", "n", "h", "10.0.0.9", "10.0.0.10", name="web", security_groups=("g2", "g1", "g2"))
    states = expected([a_host("h", "192.0.2.7"), port])

    assert states[host_scope("h")][Key(ItemKind.LOCAL_PORT, "p")] == LocalPort(
        id="p",
        network_id="n",
        name="web",
        mac="fa:16:3e:00:00:01",
        addresses=(Address("s", "10.0.0.9"), Address("s", "10.0.0.10")),
        admin_state_up=True,
        port_security_enabled=True,
        groups=("g1", "g2"),
    )
    assert states[network_scope("n")] == {
        Key(ItemKind.NETWORK_HOST, "h"): NetworkHost(id="h", vtep="192.0.2.7")
    }
    assert states[neighbours_scope("n")] == {
        Key(ItemKind.NEIGHBOUR, "p"): Neighbour(
            id="p",
            mac="fa:16:3e:00:00:01",
            ips=("10.0.0.10", "10.0.0.9"),
            host_id="h",
            vtep="192.0.2.7",
            groups=("g1", "g2"),
        )
    }


def test_unknown_groups_are_not_no_groups() -> None:
    """A port whose groups are unknown stays apart from a port that has none."""
    rows = [
        a_host("h"),
        a_port("p", "n", "h", security_groups=None),
        a_port("q", "n", "h", security_groups=()),
    ]
    state = expected(rows)[neighbours_scope("n")]

    unknown, none = (state[Key(ItemKind.NEIGHBOUR, id)] for id in ("p", "q"))
    assert isinstance(unknown, Neighbour)
    assert isinstance(none, Neighbour)
    assert (unknown.groups, none.groups) == (None, ())


@pytest.mark.parametrize(
    "fields",
    [
        {"binding_host_id": "", "binding_vif_type": "unbound"},
        {"binding_host_id": "host-h", "binding_vif_type": "binding_failed"},
        {"binding_host_id": "host-x", "binding_vif_type": "ovs"},
        {"binding_host_id": "h", "binding_vif_type": "ovs"},
    ],
)
def test_a_port_that_is_not_placed_is_told_to_nobody(fields: dict[str, str]) -> None:
    """A port without a binding, with a failed one, or naming no host (a host's id is not its name) is nowhere."""
    rows = [a_host("h"), replaced(a_port("p", "n"), **fields)]

    assert expected(rows) == expected([a_host("h")])


def test_a_host_without_tunnel_address_is_reached_by_nobody() -> None:
    """Ports of a host without a tunnel address are local to it and neighbours of none."""
    states = expected([a_host("h", None), a_port("p", "n", "h")])

    assert Key(ItemKind.LOCAL_PORT, "p") in states[host_scope("h")]
    assert neighbours_scope("n") not in states
    assert network_scope("n") not in states


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (a_port("p", "n", "h"), {"description": "x", "tags": ("x",), "device_owner": "compute:a"}),
        (a_port("p", "n", "h"), {"binding_profile": {"a": 1}, "revision_number": 7, "updated_at": "z"}),
        (a_port("p", "n", "h", security_groups=("a", "b")), {"security_groups": ("b", "a")}),
        (a_network("n"), {"name": "x", "description": "x", "port_security_enabled": False}),
        (a_subnet("s", "n"), {"name": "x", "allocation_pools": (), "pool_version": 3}),
        (a_host("h"), {"description": "x", "revision_number": 3}),
    ],
)
def test_what_packets_do_not_need_is_not_told(before: object, after: dict[str, object]) -> None:
    """Descriptions, owners, pools, counters and the order of groups make no difference to the goal state."""
    others = [a_host("h"), a_network("n")]

    assert expected([*others, before]) == expected([*others, replaced(before, **after)])  # type: ignore[list-item, arg-type]


def test_the_order_of_a_neighbours_addresses_means_nothing() -> None:
    """Neighbours are equal when their addresses are the same set."""
    one, other = (
        a_port("p", "n", "h", "10.0.0.9", "10.0.0.10"),
        a_port("p", "n", "h", "10.0.0.10", "10.0.0.9"),
    )

    assert (
        expected([a_host("h"), one])[neighbours_scope("n")]
        == expected([a_host("h"), other])[neighbours_scope("n")]
    )


def test_references_are_no_deeper_than_the_bound() -> None:
    """From a host's scope and the region's, following references ends within CLOSURE_DEPTH_MAX scopes."""
    rows = [a_host("h"), a_network("n"), a_subnet("s", "n"), a_port("p", "n", "h"), a_port("q", "m", "h")]
    states = expected(rows)

    wave, depth, closure = {host_scope("h"), REGION}, 0, set()
    while wave:
        depth += 1
        closure |= wave
        found = {
            target for scope in wave for item in states.get(scope, {}).values() for target in refers(item)
        }
        wave = found - closure
    assert depth == 2
    assert depth <= CLOSURE_DEPTH_MAX
    assert closure == {
        REGION,
        host_scope("h"),
        *(network_scope(n) for n in "nm"),
        *(neighbours_scope(n) for n in "nm"),
    }


def test_addresses_keep_the_rows_order_for_their_own_host() -> None:
    """A local port's first address is the row's first, because DHCP answers with it."""
    fixed = (FixedIp("s2", "10.0.0.10"), FixedIp("s1", "10.0.0.9"))
    state = expected([a_host("h"), a_port("p", "n", "h", fixed_ips=fixed)])[host_scope("h")]

    local = state[Key(ItemKind.LOCAL_PORT, "p")]
    assert isinstance(local, LocalPort)
    assert local.addresses == (Address("s2", "10.0.0.10"), Address("s1", "10.0.0.9"))
