"""A network on many hosts, on real switches: only its relay knows all; what is for all reaches all, once."""

import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from alcor.lab.host import missing_parts
from alcor.lab.ledger import Ledger
from alcor.lab.site import Site
from tests.support.scenario import Machine, Row, flows, machines
from tests.support.site import a_network, a_subnet

pytestmark = pytest.mark.ovs

HOSTS, FLOOD_ABOVE = ("left", "right", "far", "gate"), 2
PORT, GROUP = 4000, "239.1.2.3"
UNDER_WAY_MAX = 5
_SEND = """
import socket, sys, time
link = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
link.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
link.setsockopt(socket.SOL_SOCKET, 25, b"eth0")
link.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 0)
for number in range(100_000):
    for to in sys.argv[2:]:
        link.sendto(f"{to} {number}".encode(), (to, int(sys.argv[1])))
    print(number, flush=True)
    time.sleep(0.01)
"""
_HEAR = """
import socket, struct, sys
link = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
link.bind(("", int(sys.argv[1])))
index = socket.if_nametoindex("eth0")
joined = struct.pack("4s4si", socket.inet_aton(sys.argv[2]), bytes(4), index)
link.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, joined)
print("ready", flush=True)
while True:
    print(link.recv(100).decode(), flush=True)
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Three hosts and a gateway host; of a network on three hosts only the relay knows all."""
    assert not missing_parts()
    folder = tmp_path_factory.mktemp("flood")
    ledger = Ledger(folder)
    site = Site("tof-", folder, ledger)
    site.gateways = ("gate",)
    with pytest.MonkeyPatch.context() as settings:
        settings.setenv("ALCOR_DATAPLANE__RELAY_ABOVE", "1")
        settings.setenv("ALCOR_DATAPLANE__FLOOD_ABOVE", str(FLOOD_ABOVE))
        try:
            site.start(HOSTS)
            site.register_hosts()
            site.wait_for_agents()
            yield site
        finally:
            site.close()
            ledger.sweep()


@contextmanager
def _running(machine: Machine, program: str, *words: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        ["ip", "netns", "exec", machine.namespace, sys.executable, "-c", program, *words],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def _leaves_it_to_a_relay(site: Site, host: str) -> bool:
    """Whether a host marks what is for all and sends it once."""
    return any("table=68" in flow and "dl_dst=ff:ff:ff:ff:ff:ff" in flow for flow in flows(site, host))


def _ended(process: subprocess.Popen[str]) -> list[str]:
    process.send_signal(signal.SIGKILL)
    text, _ = process.communicate(timeout=10)
    return text.split("\n")[:-1]


def test_what_is_for_all_reaches_all_once_while_a_network_crosses_the_limit(site: Site) -> None:
    """Broadcast and multicast during both crossings: whoever is there gets each exactly once."""
    network: Row = a_network(site, "crowd")
    a_subnet(site, network, "10.71.0.0/24")
    one, two = machines(site, ("one", "left", network, {}), ("two", "right", network, {}))
    assert one.reaches(two.ip)
    assert not _leaves_it_to_a_relay(site, "left")

    to = ("255.255.255.255", GROUP)
    with _running(two, _HEAR, str(PORT), GROUP) as far:
        assert far.stdout is not None
        assert far.stdout.readline() == "ready\n"
        with _running(one, _SEND, str(PORT), *to) as sender:
            [three] = machines(site, ("three", "far", network, {}))
            site.wait("relays to flood", lambda: all(_leaves_it_to_a_relay(site, h) for h in HOSTS[:3]))
            with _running(three, _HEAR, str(PORT), GROUP) as newcomer:
                assert newcomer.stdout is not None
                assert newcomer.stdout.readline() == "ready\n"
                some = [newcomer.stdout.readline().strip() for _ in range(40)]
            site.client.delete("v2.0/ports", three.port["id"])
            site.wait("hosts to flood", lambda: not any(_leaves_it_to_a_relay(site, h) for h in HOSTS[:2]))
            sent = int(_ended(sender)[-1])
        heard = Counter(_ended(far))

    # The last ones may have been under way.
    whole = range(sent - UNDER_WAY_MAX)
    assert len(whole) > 20
    assert [
        f"{address} {number}" for number in whole for address in to if not heard[f"{address} {number}"]
    ] == []
    assert set(heard.values()) == {1}
    assert len(set(some)) == 40
    assert {line.split()[0] for line in some} == set(to)
