"""Networks held on demand under stress, on real switches: relays that die, a port that scans, peers that fall idle."""

import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

from alcor.agent.on_demand import OUTSTANDING_MAX
from alcor.agent.waiting import HELD_MAX
from alcor.goalstate.scope import neighbours_scope
from alcor.lab.site import Site, running
from alcor.lab.stream import PingStream
from tests.support.scenario import Machine, Row, agent_status, flows, machines
from tests.support.site import ON_DEMAND, a_network, a_subnet

pytestmark = pytest.mark.ovs

HOSTS, GATES = ("left", "right", "gate1", "gate2"), ("gate1", "gate2")
IDLE_S = 4.0
PEERS = 14
# Sends ARP requests for one address after the other (or, with step 0, the same), as quickly as the kernel takes them.
SCAN = """
import socket, struct, sys, ipaddress
mac, sender, first = bytes.fromhex(sys.argv[1].replace(":", "")), *sys.argv[2:4]
count, step = map(int, sys.argv[4:6])
link = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
link.bind(("eth0", 0))
head = b"\\xff" * 6 + mac + struct.pack("!HHHBBH", 0x0806, 1, 0x0800, 6, 4, 1)
head += mac + socket.inet_aton(sender) + bytes(6)
begin = int(ipaddress.ip_address(first))
for number in range(count):
    link.send(head + (begin + number * step).to_bytes(4, "big"))
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Two hosts and two gateway hosts; what no packet uses for some seconds is forgotten."""
    settings = ON_DEMAND | {"ALCOR_AGENT__LOOKUP_IDLE_S": str(IDLE_S)}
    folder = tmp_path_factory.mktemp("stress")
    with running(Site, folder, *HOSTS, gateways=GATES, settings=settings) as site:
        yield site


@pytest.fixture(scope="module")
def network(site: Site) -> Row:
    """A network with room for thousands of addresses."""
    network = a_network(site, "large")
    a_subnet(site, network, "10.80.0.0/18")
    return network


@pytest.fixture(scope="module")
def peers(site: Site, network: Row) -> list[Machine]:
    """Machines on the right, whom nobody on the left knows yet."""
    return machines(site, *((f"peer{n}", "right", network, {}) for n in range(PEERS)))


@pytest.fixture(scope="module")
def here(site: Site, network: Row, peers: list[Machine]) -> Machine:
    """A machine on the left, where the network is held on demand."""
    here = machines(site, ("here", "left", network, {}))[0]
    scope = str(neighbours_scope(network["id"]))
    site.wait("the network to be held on demand", lambda: scope in agent_status(site, "left")["on_demand"])
    site.wait("a relay", lambda: bool(relays_in(site)))
    return here


def direct(site: Site, machine: Machine) -> list[str]:
    """The flows by which the left host sends to a machine elsewhere."""
    mac = machine.port["mac_address"]
    return [flow for flow in flows(site, "left") if "table=64" in flow and f"dl_dst={mac}" in flow]


def relays_in(site: Site) -> set[str]:
    """The gateway hosts that the left host's flows send to."""
    text = "\n".join(flows(site, "left"))
    return {name for name in GATES if f"{site.hosts[name].vtep}->tun_dst" in text}


def counters(site: Site) -> dict[str, Any]:
    return dict(agent_status(site, "left")["counters"])


def answered_after_s(here: Machine, peer: Machine) -> float:
    """How long a machine tries until somebody it never talked to has answered."""
    begun = time.monotonic()
    while not here.vm.ping(peer.ip, count=1).received:
        assert time.monotonic() - begun < 20, f"{peer.vm.name} never answered"
    return time.monotonic() - begun


def test_a_peer_that_no_packet_uses_is_forgotten(site: Site, here: Machine, peers: list[Machine]) -> None:
    """The switch's own counts say who is used: the flow of the idle one goes, that of the other stays, and both answer
    afterwards."""
    used, idle = peers[0], peers[1]
    with PingStream(here.namespace, used.ip, every_s=0.2) as pings:
        assert here.reaches(idle.ip)
        site.wait("both direct ways", lambda: bool(direct(site, used) and direct(site, idle)))
        site.wait("the idle one to be forgotten", lambda: not direct(site, idle), patience_s=10 * IDLE_S)
        # As long again: who is used is not idle some time later.
        until_s = time.monotonic() + 1.5 * IDLE_S
        site.wait("some time", lambda: time.monotonic() > until_s or not direct(site, used))

        assert direct(site, used)
    assert pings.result.lost == 0
    assert here.reaches(idle.ip)


def test_a_scan_starves_nobody(site: Site, network: Row, here: Machine, peers: list[Machine]) -> None:
    """A port asks for thousands of addresses that nobody has: what it asks is bounded and remembered as absent, and
    another port of the same host finds whom it never talked to meanwhile."""
    scanner = machines(site, ("scanner", "left", network, {}))[0]
    before = counters(site)

    def scan(first: str, count: int, step: int = 1) -> None:
        mac = scanner.port["mac_address"]
        scanner.vm.execute(sys.executable, "-c", SCAN, mac, scanner.ip, first, str(count), str(step))

    scan("10.80.16.0", 20)
    site.wait("the absent", lambda: counters(site)["lookups"]["absent"] >= 20)
    asked_once = counters(site)["punts"]
    scan("10.80.16.0", 20)
    site.wait(
        "answers from memory",
        lambda: (
            counters(site)["punts"].get("on_demand_absent", 0) >= asked_once.get("on_demand_absent", 0) + 20
        ),
    )
    found_s = []
    for peer in peers[2:6]:
        scan("10.80.32.0", 4000)
        found_s.append(answered_after_s(here, peer))

    def is_crowded() -> bool:
        # The meter that bounds the port may still let nothing through.
        scan("10.80.56.1", 20, step=0)
        return bool(counters(site)["punts"].get("on_demand_crowded"))

    site.wait("too many for one", is_crowded)
    after = counters(site)
    print(f"found during a scan after {[f'{s * 1000:.0f} ms' for s in found_s]}: {after}")

    assert 0 < after["lookups"]["held_most"] <= HELD_MAX
    assert 0 < after["lookups"]["asked_most"] <= OUTSTANDING_MAX
    assert sum(after["punts"].values()) > sum(before["punts"].values())


def bury(site: Site, gate: str) -> None:
    """kill -9 of a gateway host's agent and switch."""
    site.hosts[gate].kill("agent")
    site.hosts[gate].kill("ovs-vswitchd")


def raise_again(site: Site, gates: set[str]) -> None:
    """Start what was killed, until the left host uses a relay again."""
    for gate in gates:
        site.hosts[gate].start_switch()
        site.start_agent(gate)
    site.wait("a relay", lambda: bool(relays_in(site)))


def test_traffic_goes_on_when_a_relay_dies(site: Site, here: Machine, peers: list[Machine]) -> None:
    """Agent and switch of the relay in use are killed while a machine talks to new peers: who was known loses nothing;
    new peers are found by the host's own look-up, then by the other relay, and without any relay by holding."""
    known, new = peers[6], iter(peers[7:])
    assert here.reaches(known.ip)
    site.wait("the direct way", lambda: bool(direct(site, known)))
    (first,) = relays_in(site)
    (other,) = {*GATES} - {first}
    dead: set[str] = set()
    try:
        with PingStream(here.namespace, known.ip, every_s=0.05) as pings:
            bury(site, first)
            dead.add(first)
            begun = time.monotonic()
            gaps_s = [answered_after_s(here, next(new)) for _ in range(2)]
            site.wait("the other relay", lambda: relays_in(site) == {other})
            moved_s = time.monotonic() - begun
            by_other = [here.vm.ping(next(new).ip, count=1).received for _ in range(2)]
            bury(site, other)
            dead.add(other)
            gaps_s += [answered_after_s(here, next(new))]
            site.wait("no relay", lambda: not relays_in(site))
            held = [here.vm.ping(next(new).ip, count=1).received for _ in range(2)]
    finally:
        raise_again(site, dead)
    print(f"new peers right after a relay's death answered after {[f'{s * 1000:.0f} ms' for s in gaps_s]};")
    print(
        f"the other one was used after {moved_s:.1f} s; a known peer's longest gap was {pings.result.gap_s:.2f} s"
    )

    assert by_other == [1, 1]
    assert held == [1, 1]
    assert pings.result.lost == 0
