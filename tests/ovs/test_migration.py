"""Live migration as the compute service does it, on real switches: what a moving machine's sessions notice."""

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from alcor.agent.migration import FORWARDING_S
from alcor.lab.inside import Conversation
from alcor.lab.moving import MovingVm
from alcor.lab.outside import ADDRESS
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
    agent_status,
    an_external_network,
    assert_sound,
)

pytestmark = pytest.mark.ovs

# Knowledge takes tens of milliseconds (benchmarks/gaps.py); whoever needs the next repetition of something, seconds.
GAP_S_MAX = 10.0
PING, PING6 = {"protocol": "icmp"}, {"protocol": "icmpv6", "ethertype": "IPv6"}
TALK = {"protocol": "tcp", "port_range_min": 7000, "port_range_max": 7000}
TALK6 = TALK | {"ethertype": "IPv6"}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Three hosts for all tests of this file."""
    with running_site(tmp_path_factory.mktemp("site"), "left", "right", "third") as site:
        yield site


@pytest.fixture(scope="module")
def external(site: Site) -> Row:
    """The external network of the site."""
    return an_external_network(site)


@pytest.fixture(autouse=True)
def soundness(site: Site, tmp_path: Path) -> Iterator[None]:
    """After each test rows are in order, and fresh agents find nothing to change."""
    yield
    ended_s = time.monotonic() + FORWARDING_S + 0.5
    site.wait("the old host to send nothing on any more", lambda: time.monotonic() > ended_s)
    assert_sound(site, tmp_path)


@dataclass(frozen=True)
class Mover(Machine):
    """A machine that moves."""

    vm: MovingVm


def a_mover(site: Site, name: str, host: str, network: Row, **port: object) -> Mover:
    """A machine on a host that may move, with its port's addresses."""
    made = site.client.create(
        "v2.0/ports",
        "port",
        network_id=network["id"],
        name=name,
        device_owner="compute:nova",
        device_id="5e5e5e5e-0000-4000-8000-000000000001",
        **port,
    )
    vm = site.boot_moving(name, host, made)
    site.bind(made["id"], host)
    vm.up()
    mover = Mover(vm, made)
    vm.dhcp()
    site.wait("its IPv6 address", lambda: mover.ip6 in vm.addresses())
    return mover


def prepare(site: Site, mover: Mover, host: str) -> None:
    """The second binding, and its interface; returns when that is plugged as far as the agent is concerned."""
    port_id = mover.port["id"]
    site.client.create(f"v2.0/ports/{port_id}/bindings", "binding", host=host)
    mover.vm.plug_on(site.hosts[host], port_id)
    site.wait("the second binding", lambda: is_plugged(site, host, port_id))


def is_plugged(site: Site, host: str, port_id: str) -> bool:
    """Whether the agent of a host has the port, and its interface."""
    port = agent_status(site, host)["ports"].get(port_id, {})
    return bool(port.get("plugged")) and bool(port["zone"])


def move(site: Site, mover: Mover, host: str) -> None:
    """The machine goes on on the prepared host, which the compute service says at once; then it tidies up."""
    port_id, old = mover.port["id"], mover.vm.host
    mover.vm.run_on(site.hosts[host])
    site.client.put(f"v2.0/ports/{port_id}/bindings/{host}/activate")
    site.wait("ACTIVE on the new host", partial(is_active_on, site, port_id, host))
    mover.vm.unplug_on(old)
    site.client.delete(f"v2.0/ports/{port_id}/bindings", old.name)


def is_active_on(site: Site, port_id: str, host: str) -> bool:
    """Whether the API shows the port ACTIVE there."""
    port = site.client.show(f"v2.0/ports/{port_id}")["port"]
    return bool(port["status"] == "ACTIVE" and port["binding:host_id"] == host)


def test_a_second_binding_is_silent_until_it_is_activated(site: Site) -> None:
    """A prepared host has the interface plugged and delivers nothing to it; the machine goes on where it is."""
    network, _ = a_dual_network(site, "silent", 90)
    group = a_group(site, "silent", PING, PING6)
    mover = a_mover(site, "silent-1", "left", network, security_groups=[group["id"]])
    peer = a_machine(site, "silent-2", "right", network, security_groups=[group["id"]])
    prepare(site, mover, "right")
    before = mover.vm.heard_on(site.hosts["right"])

    assert mover.reaches(peer.ip)
    assert peer.reaches(mover.ip)
    assert peer.reaches(mover.ip6)

    assert mover.vm.heard_on(site.hosts["right"]) == before
    bindings = site.client.show(f"v2.0/ports/{mover.port['id']}/bindings")["bindings"]
    assert {one["host"]: one["status"] for one in bindings} == {"left": "ACTIVE", "right": "INACTIVE"}
    assert site.port_status(mover.port["id"]) == "ACTIVE"
    # What the machine would send from there goes nowhere: it is not there yet.
    home = mover.vm.host
    mover.vm.run_on(site.hosts["right"])
    assert mover.misses(peer.ip)
    mover.vm.run_on(home)
    assert mover.reaches(peer.ip)


def says(source: socket.socket, target: socket.socket) -> bool:
    """Whether a word arrives; kernels send it again for as long as this waits."""
    target.settimeout(5)
    source.sendall(b"word")
    try:
        return target.recv(64) == b"word"
    except TimeoutError:
        return False


@pytest.mark.parametrize("host", ["left", "right", "third"])
def test_sessions_outlive_a_move_in_the_network(site: Site, host: str) -> None:
    """Pings and TCP sessions, whoever opened them and whoever speaks first afterwards, go on with a peer on the old
    host, the new one or a third; nothing comes twice."""
    number = 91 + ["left", "right", "third"].index(host)
    network, _ = a_dual_network(site, f"moving-{host}", number)
    # The peer may be called; the machine may call only, and be called where the group says.
    group = a_group(site, f"moving-{host}", PING, PING6, TALK, TALK6)
    mover = a_mover(site, f"mover-{host}", "left", network, security_groups=[group["id"]])
    peer = a_machine(site, f"peer-{host}", host, network, security_groups=[group["id"]])
    there, back = (peer.namespace, mover.namespace), (mover.namespace, peer.namespace)
    with ExitStack() as open_ones:
        calls = [(there, mover.ip), (there, mover.ip6), (back, peer.ip), (back, peer.ip6)]
        talks = [open_ones.enter_context(Conversation(*ends, address)) for ends, address in calls]
        later = [open_ones.enter_context(Conversation(*ends, address)) for ends, address in calls]
        prepare(site, mover, "right")
        streams = [
            open_ones.enter_context(PingStream(*asked))
            for asked in [
                (peer.namespace, mover.ip),
                (peer.namespace, mover.ip6),
                (mover.namespace, peer.ip),
            ]
        ]
        move(site, mover, "right")
        results = [stream.stop() for stream in streams]
        heard = [says(talk.near, talk.far) for talk in talks] + [says(talk.far, talk.near) for talk in later]

    assert heard == [True] * 8
    assert [result.repeated for result in results] == [0, 0, 0]
    assert max(result.gap_s for result in results) < GAP_S_MAX


def test_routed_and_floating_sessions_outlive_a_move(site: Site, external: Row) -> None:
    """A routed peer, the outside by a floating IP, and the machine's own calls to the outside go on; the floating IP is
    translated, and announced, by the new host."""
    assert site.outside is not None
    outside = site.outside.namespace
    home, home_subnets = a_dual_network(site, "routed-home", 95)
    far, far_subnets = a_dual_network(site, "routed-far", 96)
    a_router(site, "routed", *home_subnets, *far_subnets, external=external)
    group = a_group(site, "routed", PING, PING6, TALK, TALK6)
    mover = a_mover(site, "routed-mover", "left", home, security_groups=[group["id"]])
    peer = a_machine(site, "routed-peer", "third", far, security_groups=[group["id"]])
    floating = a_floating_ip(site, external, mover.port["id"])["floating_ip_address"]
    site.wait("the floating IP", lambda: site.outside is not None and site.outside.reaches(floating, count=1))
    with ExitStack() as open_ones:
        calls = [
            (peer.namespace, mover.namespace, mover.ip),
            (mover.namespace, peer.namespace, peer.ip6),
            (outside, mover.namespace, floating),
            (mover.namespace, outside, ADDRESS),
        ]
        talks = [open_ones.enter_context(Conversation(*each)) for each in calls]
        later = [open_ones.enter_context(Conversation(*each)) for each in calls]
        prepare(site, mover, "right")
        asked = [(peer.namespace, mover.ip), (mover.namespace, peer.ip6), (outside, floating)]
        streams = [open_ones.enter_context(PingStream(*each)) for each in asked]
        move(site, mover, "right")
        results = [stream.stop() for stream in streams]
        heard = [says(talk.near, talk.far) for talk in talks] + [says(talk.far, talk.near) for talk in later]

    assert heard == [True] * 8
    assert [result.repeated for result in results] == [0, 0, 0]
    assert max(result.gap_s for result in results) < GAP_S_MAX
    serving = {
        host: [one["ip"] for one in agent_status(site, host)["floating_ips"].values()]
        for host in ("left", "right")
    }
    assert floating in serving["right"]
    assert floating not in serving["left"]
