"""A whole region on real switches: what packets do when things are made, changed, broken and repaired."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from alcor.lab.command import LabError, run
from alcor.lab.site import Site, running_site
from tests.support.site import a_network, a_subnet, a_vm, with_address

pytestmark = pytest.mark.ovs


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Two hosts for all tests of this file; at the end every agent, asked to compare, must find nothing."""
    with running_site(tmp_path_factory.mktemp("site"), "left", "right") as site:
        yield site
        for host in site.hosts:
            assert_unchanged_by_restart(site, host)


def agent_status(site: Site, host: str) -> dict[str, Any]:
    """What `alcor-agent status --json` says on a host."""
    socket = str(site.hosts[host].status_socket)
    text = run(sys.executable, "-m", "alcor.cli.agent", "status", "--json", "--status-socket", socket)
    return dict(json.loads(text))


def in_sync(site: Site, host: str) -> bool:
    """Whether the agent of a host has had everything and its switch confirmed it."""
    try:
        return bool(agent_status(site, host)["settled_ms"])
    except LabError:
        return False


def flows(site: Site, host: str) -> list[str]:
    """The switch's flows as it prints them, without what counts by itself."""
    return sorted(site.hosts[host].ofctl("--no-stats", "dump-flows", "br-int").splitlines()[1:])


def assert_unchanged_by_restart(site: Site, host: str) -> None:
    """A fresh agent reads the switch back, recomputes from nothing, and finds nothing to change."""
    site.wait("the agent to be in sync", lambda: in_sync(site, host))
    before = flows(site, host)
    site.hosts[host].stop("agent")
    site.start_agent(host)
    site.wait("the new agent to be in sync", lambda: in_sync(site, host))

    assert agent_status(site, host)["counters"]["flow_changes"] == 0
    assert flows(site, host) == before


def test_same_host_and_across_hosts_reach_and_strangers_do_not(site: Site) -> None:
    """Ports of a network reach one another wherever they are; ports of another network never do."""
    red, blue = a_network(site, "red", "10.30.0.0/24"), a_network(site, "blue", "10.30.0.0/24")
    one, port_one = a_vm(site, "one", "left", red)
    two, port_two = a_vm(site, "two", "left", red)
    three, port_three = a_vm(site, "three", "right", red)
    other, port_other = a_vm(site, "other", "right", blue, fixed_ips=[{"ip_address": "10.30.0.200"}])
    with_address(one, port_one)
    for vm, port in ((two, port_two), (three, port_three), (other, port_other)):
        with_address(vm, port)

    assert one.ping(port_two["fixed_ips"][0]["ip_address"]).received == 3
    assert one.ping(port_three["fixed_ips"][0]["ip_address"]).received == 3
    assert one.ping("10.30.0.200", count=1).received == 0
    assert other.ping(port_one["fixed_ips"][0]["ip_address"], count=1).received == 0


def test_packets_flow_as_soon_as_a_wait_says_so(site: Site) -> None:
    """A write that waited for both hosts: the very first packets arrive, with nothing in between."""
    network = a_network(site, "at-once", "10.47.0.0/24")
    one, port_one = a_vm(site, "at-once-1", "left", network)
    with_address(one, port_one)
    for number in range(3):
        port = site.client.create("v2.0/ports", "port", network_id=network["id"])
        two = site.boot(f"at-once-{number}-2", "right", port)
        two.up()
        address = with_address(two, port)
        answer = httpx.put(
            f"{site.region.endpoint}/v2.0/ports/{port['id']}?wait=20&details=true",
            json={"port": {"binding:host_id": "right"}},
            headers={"X-Auth-Token": site.region.token},
            timeout=30,
        )

        assert one.ping(address, count=3).received == 3
        told = answer.json()["data_plane"]
        assert (told["hosts_intended"], told["hosts_actual"], told["missing"]) == (2, 2, [])
        assert answer.headers["x-alcor-wait"] == "complete"
        assert told["stages_ms"]["install"] > 0


# Both ends of one connection: 2 MB in full-sized segments, and their digest to compare.
_RECEIVER = """
import hashlib, socket, sys
listener = socket.create_server((sys.argv[1], 7000)); print("listening", flush=True)
peer, _ = listener.accept(); digest = hashlib.sha256()
while part := peer.recv(65536): digest.update(part)
print(digest.hexdigest(), flush=True)
"""
_SENDER = """
import hashlib, os, socket, sys
text = os.urandom(2_000_000)
with socket.create_connection((sys.argv[1], 7000), timeout=10) as peer: peer.sendall(text)
print(hashlib.sha256(text).hexdigest())
"""


def test_tcp_crosses_hosts_whole(site: Site, tmp_path: Path) -> None:
    """Two megabytes sent by TCP to a machine on another host arrive as they were sent."""
    network = a_network(site, "stream", "10.46.0.0/24")
    one, port_one = a_vm(site, "stream-1", "left", network)
    two, port_two = a_vm(site, "stream-2", "right", network)
    with_address(one, port_one)
    address = with_address(two, port_two)
    heard = tmp_path / "heard"
    command = ["ip", "netns", "exec", two.namespace, sys.executable, "-c", _RECEIVER, address]
    with heard.open("wb") as output, subprocess.Popen(command, stdout=output) as receiver:
        try:
            site.wait("the listener", lambda: "listening" in heard.read_text())
            sent = one.execute(sys.executable, "-c", _SENDER, address).strip()
            receiver.wait(10)
        finally:
            receiver.kill()

    assert heard.read_text().split() == ["listening", sent]


def test_packets_as_large_as_the_mtu_cross_hosts(site: Site) -> None:
    """A packet as large as the network's MTU crosses a tunnel, and one byte more does not leave the machine."""
    network = a_network(site, "large", "10.31.0.0/24")
    one, port_one = a_vm(site, "large-1", "left", network)
    two, port_two = a_vm(site, "large-2", "right", network)
    with_address(one, port_one)
    address = with_address(two, port_two)

    assert network["mtu"] == 1450
    done = one.execute(
        "ping", "-n", "-c", "1", "-W", "1", "-M", "do", "-s", str(network["mtu"] - 28), address
    )
    assert "1 received" in done
    with pytest.raises(LabError, match=r"too long|100% packet loss"):
        one.execute("ping", "-n", "-c", "1", "-W", "1", "-M", "do", "-s", str(network["mtu"] - 27), address)


def test_dhcp_gives_the_port_what_the_api_says(site: Site) -> None:
    """A real DHCP client gets its port's address, mask, routes and MTU."""
    network = a_network(
        site,
        "leases",
        "10.32.0.0/24",
        host_routes=[{"destination": "192.0.2.0/24", "nexthop": "10.32.0.9"}],
    )
    vm, port = a_vm(site, "leases-1", "left", network)

    vm.dhcp()

    assert vm.addresses() == [port["fixed_ips"][0]["ip_address"]]
    routes = vm.execute("ip", "-4", "route")
    assert "default via 10.32.0.1" in routes
    assert "192.0.2.0/24 via 10.32.0.9" in routes
    assert "mtu 1450" in vm.execute("ip", "link", "show", "eth0")


def test_a_lease_is_renewed(site: Site) -> None:
    """A real DHCP client that asks its server again, by unicast to the server id, has its lease renewed."""
    network = a_network(site, "renewed", "10.45.0.0/24")
    vm, port = a_vm(site, "renewed-1", "left", network)
    obtained = f"lease of {port['fixed_ips'][0]['ip_address']} obtained from 10.45.0.1"
    client = vm.start_dhcp()
    site.wait("the lease", lambda: vm.dhcp_log.read_text().count(obtained) == 1)

    client.send_signal(signal.SIGUSR1)

    site.wait("the renewed lease", lambda: vm.dhcp_log.read_text().count(obtained) == 2)
    said = vm.dhcp_log.read_text()
    assert "sending renew to server 10.45.0.1" in said
    client.terminate()
    client.wait()


def test_a_subnet_without_gateway_still_has_a_dhcp_server(site: Site) -> None:
    """Without a gateway the server is 169.254.169.254, and the client is told a way to reach it."""
    network = a_network(site, "island", "10.33.0.0/24", gateway_ip=None)
    vm, port = a_vm(site, "island-1", "left", network)

    vm.dhcp()

    assert vm.addresses() == [port["fixed_ips"][0]["ip_address"]]
    assert "169.254.169.254 dev eth0" in vm.execute("ip", "-4", "route")
    assert "default" not in vm.execute("ip", "-4", "route")


def test_ipv6_by_router_advertisement_crosses_hosts(site: Site) -> None:
    """SLAAC gives each machine the address the API shows and no default route, and they reach one another."""
    network = a_network(site, "six", "fd00:34::/64", ipv6_ra_mode="slaac", ipv6_address_mode="slaac")
    one, port_one = a_vm(site, "six-1", "left", network)
    two, port_two = a_vm(site, "six-2", "right", network)
    addresses = [str(port["fixed_ips"][0]["ip_address"]) for port in (port_one, port_two)]

    site.wait("SLAAC on one", lambda: addresses[0] in one.addresses())
    site.wait("SLAAC on two", lambda: addresses[1] in two.addresses())

    assert one.ping(addresses[1]).received == 3
    assert "default" not in one.execute("ip", "-6", "route")


def test_stateful_dhcpv6_gives_the_ports_address(site: Site, tmp_path: Path) -> None:
    """A real DHCPv6 client, told by the router advertisement to use it, gets exactly its port's address."""
    network = a_network(
        site, "state", "fd00:35::/64", ipv6_ra_mode="dhcpv6-stateful", ipv6_address_mode="dhcpv6-stateful"
    )
    vm, port = a_vm(site, "state-1", "right", network)
    address = port["fixed_ips"][0]["ip_address"]
    config = tmp_path / "dhcpcd.conf"
    config.write_text("duid\nipv6only\nnohook resolv.conf, hostname, timesyncd.conf\nscript /bin/true\n")

    vm.execute("dhcpcd", "--config", str(config), "--oneshot", "--timeout", "15", "--nobackground", "eth0")

    assert address in vm.addresses()


def test_nothing_leaves_with_a_foreign_address(site: Site) -> None:
    """A machine that takes an address which is not its port's is not heard."""
    network = a_network(site, "honest", "10.36.0.0/24")
    one, port_one = a_vm(site, "honest-1", "left", network)
    two, port_two = a_vm(site, "honest-2", "right", network)
    with_address(one, port_one)
    target = with_address(two, port_two)
    assert one.ping(target).received == 3

    one.execute("ip", "addr", "add", "10.36.0.222/24", "dev", "eth0")
    spoofed = one.execute("sh", "-c", f"ping -n -c 2 -i 0.2 -W 1 -I 10.36.0.222 {target} || true")

    assert " 0 received" in spoofed


def test_status_follows_the_switch(site: Site) -> None:
    """DOWN until plugged, ACTIVE after the barrier, DOWN again when unplugged or administratively down."""
    network = a_network(site, "status", "10.37.0.0/24")
    port = site.client.create(
        "v2.0/ports", "port", network_id=network["id"], name="status-1", **{"binding:host_id": "left"}
    )
    assert site.port_status(port["id"]) == "DOWN"

    vm = site.boot("status-1", "left", port)
    site.wait("ACTIVE", lambda: site.port_status(port["id"]) == "ACTIVE")
    site.client.update("v2.0/ports", "port", port["id"], admin_state_up=False)
    assert site.port_status(port["id"]) == "DOWN"
    site.client.update("v2.0/ports", "port", port["id"], admin_state_up=True, name="renamed")
    site.wait("ACTIVE again", lambda: site.port_status(port["id"]) == "ACTIVE")
    vm.unplug()
    site.wait("DOWN", lambda: site.port_status(port["id"]) == "DOWN")


def test_a_deleted_port_is_silent(site: Site) -> None:
    """After a port is deleted nothing reaches its machine, though it is still plugged."""
    network = a_network(site, "gone", "10.38.0.0/24")
    one, port_one = a_vm(site, "gone-1", "left", network)
    two, port_two = a_vm(site, "gone-2", "right", network)
    with_address(one, port_one)
    target = with_address(two, port_two)
    assert one.ping(target).received == 3

    site.client.delete("v2.0/ports", port_two["id"])
    site.wait("silence", lambda: one.ping(target, count=1, wait_s=0.3).received == 0)

    assert two.ping(port_one["fixed_ips"][0]["ip_address"], count=1).received == 0


def test_traffic_survives_the_agents_death_and_its_return_changes_nothing(site: Site) -> None:
    """kill -9 of an agent: traffic goes on; a new agent finds every flow right and sends none."""
    network = a_network(site, "agentless", "10.39.0.0/24")
    one, port_one = a_vm(site, "agentless-1", "left", network)
    two, port_two = a_vm(site, "agentless-2", "right", network)
    with_address(one, port_one)
    target = with_address(two, port_two)
    before = flows(site, "right")

    site.hosts["right"].kill("agent")
    host_id = site.host_ids["right"]
    site.wait("DOWN", lambda: site.client.show(f"hosts/{host_id}")["host"]["status"] == "DOWN")

    assert one.ping(target).received == 3
    assert site.port_status(port_two["id"]) == "DOWN"
    site.start_agent("right")
    site.wait("ACTIVE", lambda: site.port_status(port_two["id"]) == "ACTIVE")
    assert agent_status(site, "right")["counters"]["flow_changes"] == 0
    assert flows(site, "right") == before


def test_a_restarted_switch_gets_its_flows_back_unasked(site: Site) -> None:
    """kill -9 of ovs-vswitchd and a restart by its supervisor: the flows return, unasked, and traffic resumes."""
    network = a_network(site, "reborn", "10.40.0.0/24")
    one, port_one = a_vm(site, "reborn-1", "left", network)
    two, port_two = a_vm(site, "reborn-2", "right", network)
    with_address(one, port_one)
    target = with_address(two, port_two)
    assert one.ping(target).received == 3
    before = flows(site, "right")

    site.hosts["right"].kill("ovs-vswitchd")
    site.hosts["right"].start_switch()

    site.wait("traffic to resume", lambda: one.ping(target, count=1, wait_s=0.5).received == 1)
    # The switch may number its ports anew, and flows name them: equal in number, and right by the fresh agent's word.
    site.wait("all flows", lambda: len(flows(site, "right")) == len(before))
    assert_unchanged_by_restart(site, "right")


def test_a_dead_region_changes_nothing_and_comes_back_as_it_was(site: Site) -> None:
    """Stop the region: traffic goes on. Start it: hosts attach, ports are ACTIVE, no flow changes."""
    network = a_network(site, "headless", "10.41.0.0/24")
    one, port_one = a_vm(site, "headless-1", "left", network)
    two, port_two = a_vm(site, "headless-2", "right", network)
    with_address(one, port_one)
    target = with_address(two, port_two)
    before = {host: flows(site, host) for host in site.hosts}

    assert site.region.stop() == 0
    assert one.ping(target).received == 3
    site.restart_region()
    site.wait_for_agents()

    site.wait("ACTIVE", lambda: site.port_status(port_two["id"]) == "ACTIVE")
    assert {host: flows(site, host) for host in site.hosts} == before


def test_kill_of_the_region_amid_bulk_creates_loses_nothing_acknowledged(site: Site) -> None:
    """kill -9 during bulk creates: every acknowledged port is there, no address twice, hosts converge."""
    # A project of its own: however many bulks are made before the kill, none meets a limit, and no other test does.
    project = "bulk-creates"
    site.client.put(f"v2.0/quotas/{project}", quota={"port": -1})
    network = a_network(site, "killed", "10.42.0.0/16")
    _watcher, watcher_port = a_vm(site, "killed-1", "left", network, project_id=project)
    acknowledged: list[dict[str, Any]] = []
    headers = {"X-Auth-Token": site.region.token}
    url = f"{site.region.endpoint}/v2.0/ports"
    row = {"network_id": network["id"], "project_id": project, "binding:host_id": "right"}

    def create_until_it_is_dead(_: int) -> None:
        with httpx.Client(headers=headers, timeout=30) as client:
            while True:
                try:
                    answer = client.post(url, json={"ports": [row] * 50})
                except httpx.TransportError:
                    return
                assert answer.status_code == 201, answer.text
                acknowledged.extend(answer.json()["ports"])
                if len(acknowledged) >= 400:
                    site.region.kill()  # at once, so that the others are amid theirs

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(create_until_it_is_dead, range(4)))
    assert len(acknowledged) >= 400
    site.restart_region()
    site.wait_for_agents()

    path = f"v2.0/ports?network_id={network['id']}&fields=id&fields=fixed_ips"
    stored = {port["id"]: port["fixed_ips"][0]["ip_address"] for port in site.client.show(path)["ports"]}
    for port in acknowledged:
        assert stored[port["id"]] == port["fixed_ips"][0]["ip_address"]
    assert len(set(stored.values())) == len(stored)
    assert len(stored) % 50 == 1
    site.wait("ACTIVE", lambda: site.port_status(watcher_port["id"]) == "ACTIVE")
    answered = sum("arp_tpa" in flow for flow in flows(site, "left"))
    site.wait(
        "every neighbour", lambda: sum("arp_tpa" in flow for flow in flows(site, "left")) >= len(stored)
    )
    assert answered <= sum("arp_tpa" in flow for flow in flows(site, "left"))


def test_an_agent_with_a_wrong_token_is_refused(site: Site) -> None:
    """A stranger with a known host's id and a wrong token gets nothing, and says why."""
    host = site.hosts["left"]
    host.stop("agent")
    host.start_agent(site.host_ids["left"], "not-the-token", site.region.agents_socket)
    site.wait("the refusal", lambda: "refused" in host.log("agent").read_text().lower())

    assert site.client.show(f"hosts/{site.host_ids['left']}")["host"]["status"] == "DOWN"
    host.stop("agent")
    site.start_agent("left")
    site.wait_for_agents()


def test_a_new_subnet_reaches_hosts_that_have_the_network(site: Site) -> None:
    """A subnet made after the ports is served by DHCP on hosts that already carry the network."""
    network = a_network(site, "grown", "10.43.0.0/24")
    a_vm(site, "grown-1", "left", network)
    a_subnet(site, network, "10.44.0.0/24", name="second")
    vm, port = a_vm(site, "grown-2", "left", network, fixed_ips=[{"ip_address": "10.44.0.50"}])

    vm.dhcp()

    assert vm.addresses() == ["10.44.0.50"]
    assert "default via 10.44.0.1" in vm.execute("ip", "-4", "route")
    assert port["fixed_ips"][0]["ip_address"] == "10.44.0.50"
