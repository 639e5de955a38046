"""The six ping scenarios that the original system shipped, by their names, through the public API on real switches.

Addresses, hosts and the order of steps are the original's (`scripts/busybox-ping-test-alcor-apis` and
`scripts/busybox-ping-test`); a ping is two packets in each direction, and all must be answered.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import count
from typing import Any

import pytest

from alcor.lab.site import Site, running_site
from tests.support.scenario import Machine, Row, a_group, a_machine, a_router, a_rule, join, without_quota
from tests.support.site import a_network, a_subnet

pytestmark = pytest.mark.ovs

_CONTAINERS = count(1)
PAIR = {"allowed_address_pairs": [{"ip_address": "11.11.11.1", "mac_address": "00:AA:BB:15:EB:3F"}]}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The original's two compute nodes."""
    with running_site(tmp_path_factory.mktemp("site"), "node1", "node2") as site:
        without_quota(site)
        yield site


def a_vpc(site: Site, name: str) -> Row:
    """A VPC; the original's tests make it by its own path."""
    made = site.client.create("vpcs", "vpc", name=name)
    return {"id": made["id"]}


def a_pinging_group(site: Site, name: str) -> Row:
    """The original's groups had no rules and were not enforced; ours need one that lets its own members ping."""
    group = a_group(site, name)
    a_rule(site, group, protocol="icmp", remote_group_id=group["id"])
    return group


def at(ip: str, group: Row, **port: Any) -> dict[str, Any]:
    """Attributes of a port with this address."""
    return {
        "fixed_ips": [{"ip_address": ip}],
        "security_groups": [group["id"]],
        "device_owner": "compute:nova",
    } | port


def assert_all_ping(*machines: Machine) -> None:
    """Every machine pings every other one, two packets each way."""
    pairs = [(one, other) for one in machines for other in machines if one is not other]
    with ThreadPoolExecutor(6) as pool:
        answered = list(pool.map(lambda pair: pair[0].reaches(pair[1].ip, count=2), pairs))

    assert [
        f"{one.ip} → {other.ip}" for (one, other), ok in zip(pairs, answered, strict=True) if not ok
    ] == []


def test_01_one_subnet(site: Site) -> None:
    """One subnet with a host route, four ports on two nodes with their addresses given: all ping one another."""
    vpc = a_vpc(site, "01_one_subnet")
    routes = [{"destination": "10.0.2.0/24", "nexthop": "10.0.1.1"}]
    a_subnet(site, vpc, "10.0.0.0/16", host_routes=routes)
    group = a_pinging_group(site, "01-sg1")
    machines = [
        a_machine(site, f"con{next(_CONTAINERS)}", node, vpc, **at(ip, group, **PAIR))
        for ip, node in (
            ("10.0.1.101", "node1"),
            ("10.0.1.102", "node2"),
            ("10.0.1.103", "node1"),
            ("10.0.1.104", "node2"),
        )
    ]

    assert_all_ping(*machines)
    assert "10.0.2.0/24 via 10.0.1.1" in machines[0].vm.execute("ip", "-4", "route")


def test_01_one_subnet_limited(site: Site) -> None:
    """As Nova does it: a port is made without address or host, and only then gets owner and host; both ping."""
    vpc = a_vpc(site, "01_limited")
    a_subnet(site, vpc, "10.0.0.0/16")
    group = a_pinging_group(site, "01-limited-sg1")
    machines = []
    for number, node in enumerate(("node1", "node2"), start=1):
        port = site.client.create(
            "v2.0/ports",
            "port",
            network_id=vpc["id"],
            device_id=f"instance-{number}",
            security_groups=[group["id"]],
        )
        vm = site.boot(f"limited-{number}", node, port)
        site.client.update(
            "v2.0/ports", "port", port["id"], device_owner="compute:nova", **{"binding:host_id": node}
        )
        site.wait("ACTIVE", partial(_is_active, site, port["id"]))
        vm.up()
        vm.dhcp()
        machines.append(Machine(vm, port))

    assert_all_ping(*machines)


def _is_active(site: Site, port_id: str) -> bool:
    return site.port_status(port_id) == "ACTIVE"


def test_02_two_subnets(site: Site) -> None:
    """Two subnets joined by a router, six ports on two nodes: all ping one another, in their subnet and across."""
    vpc = a_vpc(site, "02_two_subnets")
    group = a_pinging_group(site, "02-sg1")
    first = a_subnet(
        site, vpc, "10.0.1.0/24", host_routes=[{"destination": "10.0.2.0/24", "nexthop": "10.0.1.1"}]
    )
    second = a_subnet(
        site, vpc, "10.0.2.0/24", host_routes=[{"destination": "10.0.1.0/24", "nexthop": "10.0.2.1"}]
    )
    router = site.client.create("v2.0/routers", "router", name="router1")
    join(site, router, first["id"])
    join(site, router, second["id"])
    machines = [
        a_machine(site, f"con{next(_CONTAINERS)}", node, vpc, **at(ip, group))
        for ip, node in (
            ("10.0.1.101", "node1"),
            ("10.0.1.102", "node2"),
            ("10.0.1.103", "node1"),
            ("10.0.2.201", "node2"),
            ("10.0.2.202", "node1"),
            ("10.0.2.203", "node1"),
        )
    ]

    assert_all_ping(*machines)


def _two_groups(site: Site, name: str, cidr: str, ips: tuple[str, str]) -> None:
    """Two ports of one subnet on two nodes, each in a group of its own, which lets the other one's members in."""
    vpc = a_vpc(site, name)
    a_subnet(site, vpc, cidr)
    groups = [a_group(site, f"{name}-sg{number}") for number in (1, 2)]
    one, two = (
        a_machine(site, f"con{next(_CONTAINERS)}", node, vpc, **at(ip, group))
        for ip, node, group in zip(ips, ("node1", "node2"), groups, strict=True)
    )
    assert one.misses(two.ip)
    assert two.misses(one.ip)

    for group, other in (groups, groups[::-1]):
        a_rule(site, group, protocol="icmp", remote_group_id=other["id"])
    site.wait("the rules", lambda: one.reaches(two.ip, count=1) and two.reaches(one.ip, count=1))

    assert_all_ping(one, two)


def test_03_two_security_groups(site: Site) -> None:
    """Two groups in one subnet: nobody pings until their rules name one another, then both do."""
    _two_groups(site, "03_two_groups", "10.0.1.0/24", ("10.0.1.101", "10.0.1.102"))


def test_l2_basic(site: Site) -> None:
    """The automated run's first case: 172.16.0.0/16, two nodes, one group each."""
    _two_groups(site, "L2_basic", "172.16.0.0/16", ("172.16.1.101", "172.16.1.102"))


def _subnets(site: Site, name: str) -> tuple[Row, Row, list[str]]:
    vpc, group = a_network(site, name), a_pinging_group(site, name)
    return vpc, group, [a_subnet(site, vpc, f"172.16.{number}.0/24")["id"] for number in (1, 2)]


def _two_machines(site: Site, vpc: Row, group: Row) -> list[Machine]:
    places = (("172.16.1.101", "node1"), ("172.16.2.201", "node2"))
    return [a_machine(site, f"con{next(_CONTAINERS)}", node, vpc, **at(ip, group)) for ip, node in places]


def test_l3_attach_router_then_create_ports(site: Site) -> None:
    """S4: a router is attached to two subnets, then a port is made on each, on two nodes: they ping."""
    vpc, group, subnets = _subnets(site, "S4")
    a_router(site, "S4", *subnets)

    assert_all_ping(*_two_machines(site, vpc, group))


def test_l3_create_ports_then_attach_router(site: Site) -> None:
    """S5: the ports are there first, and ping from when the router is attached to both subnets."""
    vpc, group, subnets = _subnets(site, "S5")
    one, two = _two_machines(site, vpc, group)
    assert one.misses(two.ip)

    a_router(site, "S5", *subnets)

    site.wait("the route", lambda: one.reaches(two.ip, count=1))
    assert_all_ping(one, two)
