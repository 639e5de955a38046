"""Stories of a whole region on real switches: routers, groups, floating IPs and services, made and changed by the API.

After each test the region's rows are audited, and fresh agents compute everything anew and find nothing to change.
"""

import contextlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from alcor.lab import inside
from alcor.lab.command import LabError, run
from alcor.lab.inside import Conversation
from alcor.lab.outside import ADDRESS, ADDRESS6
from alcor.lab.site import Site, running_site
from alcor.lab.stream import PingStream
from tests.support.scenario import (
    Machine,
    Row,
    a_dual_network,
    a_floating_ip,
    a_group,
    a_machine,
    a_router,
    a_rule,
    agent_status,
    an_external_network,
    assert_sound,
    flows,
    is_settled,
    join,
    leave,
    machines,
    without_quota,
)
from tests.support.site import a_network, a_subnet

pytestmark = pytest.mark.ovs

PING = {"protocol": "icmp"}
TALK = {"protocol": "tcp", "port_range_min": 7000, "port_range_max": 7000}
UDP = {"protocol": "udp", "port_range_min": 7000, "port_range_max": 7000}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Two hosts for all tests of this file; at the end a region that starts anew comes to the same flows."""
    with running_site(tmp_path_factory.mktemp("site"), "left", "right") as site:
        without_quota(site)
        yield site
        before = {host: flows(site, host) for host in site.hosts}
        assert site.region.stop() == 0
        site.restart_region()
        site.wait_for_agents()
        for host in site.hosts:
            site.wait("settled", partial(is_settled, site, host))
        assert {host: flows(site, host) for host in site.hosts} == before


@pytest.fixture(scope="module")
def external(site: Site) -> Row:
    """The external network of the site."""
    return an_external_network(site)


@pytest.fixture(autouse=True)
def soundness(site: Site, tmp_path: Path) -> Iterator[None]:
    """After each test."""
    yield
    folder = tmp_path / "copy"
    folder.mkdir()
    assert_sound(site, folder)


def until(site: Site, what: str, holds: Callable[[], bool]) -> None:
    """Wait for what an API call is to change on the switches."""
    site.wait(what, holds)


def can_connect(source: str, target: str, address: str, port: int = 7000) -> bool:
    """Whether a TCP connection comes about. `source`, `target`: namespaces; nobody else listens there."""
    try:
        with inside.listen(target, "::" if ":" in address else "", port):
            inside.connect(source, address, port, patience_s=0.4).close()
    except OSError:
        return False
    return True


def traced(
    site: Site, source: Machine, address: str, **packet: object
) -> tuple[str, str | None, bool | None]:
    """Verdict, cause, and whether the switches do the same."""
    found = site.client.post(
        "v2.0/traces",
        "trace",
        port_id=source.port["id"],
        destination_ip=address,
        actual=True,
        **packet,
    )
    return found["verdict"], found["cause"], found["agrees"]


def test_router_interfaces_before_and_after_ports(site: Site) -> None:
    """Subnets are routed from when their router has interfaces on them until it has none, in any order with ports."""
    red, red_subnets = a_dual_network(site, "order-red", 60)
    blue, blue_subnets = a_dual_network(site, "order-blue", 61)
    router = a_router(site, "order", *red_subnets)
    one, two, three = machines(
        site,
        ("order-1", "left", red, {}),
        ("order-2", "right", blue, {}),
        ("order-3", "left", blue, {}),
    )
    assert one.misses(two.ip)
    assert traced(site, one, two.ip) == ("dropped", "no_route", True)

    for subnet_id in blue_subnets:
        join(site, router, subnet_id)
    # SLAAC gave the default way to those that came before it, too.
    for machine in (one, two, three):
        site.wait("a default route", partial(_has_default_route, machine))

    for target in (two, three):
        assert one.reaches(target.ip)
        assert one.reaches(target.ip6)
        assert target.reaches(one.ip6)
    assert one.reaches("10.61.0.1")
    assert traced(site, one, two.ip) == ("delivered", None, True)
    assert traced(site, one, two.ip6) == ("delivered", None, True)
    leave(site, router, blue_subnets[0])
    until(site, "silence over IPv4", lambda: one.misses(two.ip))
    assert one.reaches(two.ip6)


def _has_default_route(machine: Machine) -> bool:
    return "default" in machine.vm.execute("ip", "-6", "route")


def test_a_rule_that_goes_ends_what_it_allowed(site: Site) -> None:
    """TCP and UDP end when their rule goes; what other rules allow survives that, and every unrelated change."""
    network = a_network(site, "rules", "10.62.0.0/24")
    other = a_group(site, "rules-clients")
    group = a_group(site, "rules")
    ping, talk, udp = (a_rule(site, group, **rule) for rule in (PING, TALK, UDP))
    client = a_machine(site, "rules-1", "left", network, security_groups=[other["id"]])
    server = a_machine(site, "rules-2", "right", network, security_groups=[group["id"]])
    assert client.reaches(server.ip)
    assert not can_connect(client.namespace, server.namespace, server.ip, 7001)
    assert traced(site, client, server.ip, protocol="tcp", destination_port=7001) == (
        "dropped",
        "ingress_group",
        True,
    )

    with (
        Conversation(client.namespace, server.namespace, server.ip) as talking,
        inside.datagrams(server.namespace, port=7000, patience_s=0.4) as heard,
        inside.datagrams(client.namespace, port=7000, patience_s=0.4) as said,
    ):

        def passes() -> bool:
            said.sendto(b"word", (server.ip, 7000))
            try:
                heard.recv(64)
            except TimeoutError:
                return False
            return True

        assert talking.works()
        assert passes()
        more = a_rule(site, group, protocol="tcp", port_range_min=7001, port_range_max=7001)
        until(site, "the new rule", lambda: can_connect(client.namespace, server.namespace, server.ip, 7001))
        site.client.delete("v2.0/security-group-rules", more["id"])
        until(
            site,
            "the rule's end",
            lambda: not can_connect(client.namespace, server.namespace, server.ip, 7001),
        )
        assert talking.works()
        site.client.delete("v2.0/security-group-rules", udp["id"])
        until(site, "the end of UDP", lambda: not passes())
        assert talking.works()
        site.client.delete("v2.0/security-group-rules", talk["id"])
        until(site, "the end of TCP", lambda: not talking.works(patience_s=0.4))
    assert client.reaches(server.ip)
    site.client.delete("v2.0/security-group-rules", ping["id"])
    until(site, "no ping", lambda: client.misses(server.ip))


def test_members_of_a_group_may_and_others_may_not(site: Site) -> None:
    """A rule for a remote group counts for its members wherever they are, from when they are and until they are not."""
    network = a_network(site, "members", "10.63.0.0/24")
    friends, strangers = a_group(site, "friends"), a_group(site, "strangers")
    group = a_group(site, "members", TALK | {"remote_group_id": friends["id"]})
    server = a_machine(site, "members-1", "left", network, security_groups=[group["id"]])
    near = a_machine(site, "members-2", "left", network, security_groups=[friends["id"]])
    far = a_machine(site, "members-3", "right", network, security_groups=[strangers["id"]])

    def may(machine: Machine) -> bool:
        return can_connect(machine.namespace, server.namespace, server.ip)

    assert may(near)
    assert not may(far)
    site.client.update("v2.0/ports", "port", far.port["id"], security_groups=[friends["id"]])
    until(site, "the new member", lambda: may(far))
    with Conversation(near.namespace, server.namespace, server.ip) as talking:
        site.client.update("v2.0/ports", "port", near.port["id"], security_groups=[strangers["id"]])
        until(site, "the member's end", lambda: not may(near))
        assert not talking.works(patience_s=0.4)
    assert may(far)


def test_out_to_the_world_and_nothing_in(site: Site, external: Row) -> None:
    """Machines behind a gateway are seen outside with its address, over TCP too, from every host; nobody gets in."""
    network = a_network(site, "out")
    subnet = a_subnet(site, network, "10.64.0.0/24")
    group = a_group(site, "out", PING, TALK)
    router = a_router(site, "out", subnet["id"], external=external)
    fixed = router["external_gateway_info"]["external_fixed_ips"]
    gateway = next(each["ip_address"] for each in fixed if ":" not in each["ip_address"])
    outside = site.outside
    assert outside is not None
    for name, host in (("out-1", "left"), ("out-2", "right")):
        machine = a_machine(site, name, host, network, security_groups=[group["id"]])
        until(site, "the world", partial(machine.reaches, ADDRESS, count=1))

        with Conversation(machine.namespace, outside.namespace, ADDRESS) as talking:
            assert talking.works()
            assert talking.seen == gateway
        assert traced(site, machine, ADDRESS)[:2] == ("left", None)
        assert not can_connect(outside.namespace, machine.namespace, machine.ip)
    until(site, "the gateway's own address", lambda: outside.reaches(gateway, count=1))
    site.client.update("v2.0/routers", "router", router["id"], external_gateway_info=None)
    until(site, "no world", lambda: machine.misses(ADDRESS))
    assert traced(site, machine, ADDRESS)[:2] == ("dropped", "no_route")


def test_a_floating_ip_moves(site: Site, external: Row) -> None:
    """A floating IP reaches its port's machine on any host, ends its sessions when it moves, then is nobody's."""
    network = a_network(site, "float")
    subnet = a_subnet(site, network, "10.65.0.0/24")
    group = a_group(site, "float", PING, TALK)
    a_router(site, "float", subnet["id"], external=external)
    one = a_machine(site, "float-1", "left", network, security_groups=[group["id"]])
    two = a_machine(site, "float-2", "right", network, security_groups=[group["id"]])
    floating = a_floating_ip(site, external)
    public, outside = str(floating["floating_ip_address"]), site.outside
    assert outside is not None
    assert not outside.reaches(public, count=1)

    def give(port_id: str | None) -> None:
        site.client.update("v2.0/floatingips", "floatingip", floating["id"], port_id=port_id)

    give(one.port["id"])
    until(site, "the floating IP", lambda: outside.reaches(public, count=1))
    with Conversation(outside.namespace, one.namespace, public) as talking:
        assert talking.works()
        assert talking.seen == ADDRESS
        with Conversation(one.namespace, outside.namespace, ADDRESS) as out:
            assert out.seen == public
        give(two.port["id"])
        until(site, "the other machine", lambda: can_connect(outside.namespace, two.namespace, public))
        assert not talking.works(patience_s=0.4)
    # From behind the gateway's address, whichever host serves it.
    until(site, "the floating IP from inside", lambda: one.reaches(public, count=1))
    assert one.reaches(public)
    give(None)
    until(site, "nobody", lambda: not outside.reaches(public, count=1))
    assert one.reaches(ADDRESS)


def test_ipv6_leaves_and_comes_as_it_is(site: Site, external: Row) -> None:
    """IPv6 of a routed network goes out with its own addresses, and answers find the way in by the gateway."""
    network, subnets = a_dual_network(site, "six", 66)
    group = a_group(site, "six", {"ethertype": "IPv6", "protocol": "ipv6-icmp"}, PING)
    router = a_router(site, "six", *subnets, external=external)
    machine = a_machine(site, "six-1", "right", network, security_groups=[group["id"]])
    fixed = router["external_gateway_info"]["external_fixed_ips"]
    gateway = next(each["ip_address"] for each in fixed if ":" in each["ip_address"])
    outside = site.outside
    assert outside is not None
    outside.execute("ip", "route", "add", "fd00:66::/64", "via", gateway)

    until(site, "the world", lambda: machine.reaches(ADDRESS6, count=1))

    assert outside.reaches(machine.ip6)


def test_names_and_metadata(site: Site, external: Row) -> None:
    """A machine learns names and name servers by DHCP, finds its neighbours by name, and itself by metadata."""
    network = a_network(site, "names")
    subnet = a_subnet(site, network, "10.67.0.0/24")
    a_router(site, "names", subnet["id"], external=external)
    one = a_machine(site, "names-1", "left", network, dns_name="web", device_id="instance-1")
    two = a_machine(site, "names-2", "right", network, dns_name="db", device_id="instance-2")
    floating = a_floating_ip(site, external, one.port["id"])
    lease = one.vm.lease()
    server, domain = lease["dns"].split()[0], lease["domain"]

    assert inside.resolve(one.namespace, server, f"db.{domain}") == [two.ip]
    assert inside.resolve(two.namespace, server, f"web.{domain}") == [one.ip]
    with pytest.raises(OSError, match="code 3"):
        inside.resolve(two.namespace, server, f"nobody.{domain}")
    assert inside.fetch(one.namespace, "169.254.169.254", "/latest/meta-data/local-ipv4") == one.ip
    assert inside.fetch(two.namespace, "169.254.169.254", "/latest/meta-data/instance-id") == "instance-2"
    site.wait(
        "the floating IP in the metadata",
        lambda: "public-ipv4" in inside.fetch(one.namespace, "169.254.169.254", "/latest/meta-data/"),
    )
    public = inside.fetch(one.namespace, "169.254.169.254", "/latest/meta-data/public-ipv4")
    assert public == floating["floating_ip_address"]


def test_an_agent_restarts_and_no_packet_is_lost(site: Site, external: Row) -> None:
    """While all agents are killed and start again every ping is answered: switched, routed and to the outside; TCP goes
    on."""
    red, blue = a_network(site, "calm-red"), a_network(site, "calm-blue")
    subnets = [a_subnet(site, red, "10.68.0.0/24")["id"], a_subnet(site, blue, "10.69.0.0/24")["id"]]
    group = a_group(site, "calm", PING, TALK)
    a_router(site, "calm", *subnets, external=external)
    one = a_machine(site, "calm-1", "left", red, security_groups=[group["id"]])
    near = a_machine(site, "calm-2", "right", red, security_groups=[group["id"]])
    far = a_machine(site, "calm-3", "right", blue, security_groups=[group["id"]])
    floating = a_floating_ip(site, external, one.port["id"])
    targets = (near.ip, far.ip, ADDRESS)
    for target in targets:
        until(site, f"{target} to answer", partial(one.reaches, target, count=1))

    with contextlib.ExitStack() as stack:
        talking = stack.enter_context(Conversation(one.namespace, far.namespace, far.ip))
        pings = [stack.enter_context(PingStream(one.namespace, target, every_s=0.02)) for target in targets]
        for host in site.hosts:
            site.hosts[host].kill("agent")
            assert talking.works()
            site.start_agent(host)
        for host in site.hosts:
            site.wait("the new agent", partial(is_settled, site, host))
        assert talking.works()
        found = [stream.stop() for stream in pings]

    assert [stream.missing for stream in found] == [(), (), ()]
    assert all(stream.answers for stream in found)
    assert site.outside is not None
    assert site.outside.reaches(floating["floating_ip_address"])


def test_a_switch_restarts_and_all_is_as_before(site: Site, external: Row) -> None:
    """After the switch of a host died and came back, routes, floating IPs, groups and services are there, unasked."""
    red, blue = a_network(site, "storm-red"), a_network(site, "storm-blue")
    subnets = [a_subnet(site, red, "10.70.0.0/24")["id"], a_subnet(site, blue, "10.71.0.0/24")["id"]]
    group = a_group(site, "storm", PING, TALK)
    a_router(site, "storm", *subnets, external=external)
    one = a_machine(site, "storm-1", "left", red, security_groups=[group["id"]])
    two = a_machine(site, "storm-2", "right", blue, security_groups=[group["id"]])
    public = str(a_floating_ip(site, external, two.port["id"])["floating_ip_address"])
    outside = site.outside
    assert outside is not None
    until(site, "the floating IP", lambda: outside.reaches(public, count=1))
    assert one.reaches(two.ip)
    before = len(flows(site, "right"))

    site.hosts["right"].kill("ovs-vswitchd")
    site.hosts["right"].start_switch()

    site.wait("the route", lambda: one.reaches(two.ip, count=1))
    site.wait("the floating IP again", lambda: outside.reaches(public, count=1))
    site.wait("the way out", lambda: two.reaches(ADDRESS, count=1))
    assert not can_connect(one.namespace, two.namespace, two.ip, 7001)
    site.wait("the metadata", lambda: _has_metadata(two))
    site.wait("all flows", lambda: len(flows(site, "right")) == before)
    # It served the gateway meanwhile, and would give it back in the middle of what comes now.
    site.wait("the other host to see it", lambda: not agent_status(site, "left")["switch"]["lost_vteps"])


def _has_metadata(machine: Machine) -> bool:
    try:
        found = inside.fetch(
            machine.namespace, "169.254.169.254", "/latest/meta-data/local-ipv4", patience_s=0.5
        )
    except OSError:
        return False
    return found == machine.ip


def test_what_is_deleted_leaves_nothing(site: Site, external: Row) -> None:
    """When all that was made is deleted, flows, groups, meters, sessions and ports are those there were before."""

    def held() -> dict[str, list[str]]:
        return {host: _held(site, host) for host in site.hosts}

    before = held()
    network, subnets = a_dual_network(site, "gone", 72)
    group = a_group(site, "gone", PING, TALK)
    router = a_router(site, "gone", *subnets, external=external)
    own = {"security_groups": [group["id"]]}
    made = machines(site, *((f"gone-{host}", host, network, own) for host in site.hosts))
    floating = a_floating_ip(site, external, made[0].port["id"])
    outside, public = site.outside, str(floating["floating_ip_address"])
    assert outside is not None
    until(site, "the floating IP", lambda: outside.reaches(public, count=1))
    with Conversation(made[0].namespace, made[1].namespace, made[1].ip) as talking:
        assert talking.works()
        assert held() != before

        site.client.delete("v2.0/floatingips", floating["id"])
        for machine in made:
            site.client.delete("v2.0/ports", machine.port["id"])
            machine.vm.unplug()
        for subnet in subnets:
            leave(site, router, subnet)
        site.client.delete("v2.0/routers", router["id"])
        site.client.delete("v2.0/networks", network["id"])
        site.client.delete("v2.0/security-groups", group["id"])

    def left() -> dict[str, list[str]]:
        # Sessions of tests before this one may end meanwhile.
        return {
            host: sorted(
                line
                for line in set(before[host]) ^ set(after)
                if not (line.startswith("zone=") and line in before[host])
            )
            for host, after in held().items()
        }

    nothing: dict[str, list[str]] = {host: [] for host in site.hosts}
    with contextlib.suppress(LabError):
        until(site, "nothing of it", lambda: left() == nothing)
    assert left() == nothing


def _held(site: Site, host: str) -> list[str]:
    """Flows, groups, meters, ports and sessions of a switch."""
    one = site.hosts[host]
    control = str(one.run_folder / "ovs-vswitchd.ctl")
    sessions = run("ovs-appctl", "-t", control, "dpctl/dump-conntrack").replace(",", " ").split()
    zones = {word for word in sessions if word.startswith("zone=")}
    return [
        *flows(site, host),
        *sorted(one.ofctl("dump-groups", "br-int").splitlines()[1:]),
        *sorted(one.ofctl("dump-meters", "br-int").splitlines()[1:]),
        *sorted(one.vsctl("list-ports", "br-int").splitlines()),
        *sorted(zones),
    ]
