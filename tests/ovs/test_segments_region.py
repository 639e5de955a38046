"""A whole region on real switches: virtual addresses that move, trunks, limits."""

import re
from collections.abc import Iterator

import pytest

from alcor.lab.command import ip_batch
from alcor.lab.site import Site, running_site
from alcor.lab.vm import Vm
from tests.support.site import a_network, a_vm, with_address

pytestmark = pytest.mark.ovs

VIP = "10.40.0.200"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Two hosts for all tests of this file."""
    with running_site(tmp_path_factory.mktemp("site"), "left", "right") as site:
        yield site


def take(vm: Vm) -> None:
    """Become master of the virtual address: have it, and say so aloud."""
    ip_batch([f"addr add {VIP}/32 dev eth0"], vm.namespace)
    vm.execute("busybox", "arping", "-U", "-c", "1", "-I", "eth0", "-s", VIP, VIP)


def is_at(asker: Vm) -> str:
    """Which MAC a machine is told by ARP for the virtual address; empty if nobody answers."""
    # One that has no neighbour entry asks; -f: the first answer.
    text = asker.execute("sh", "-c", f"busybox arping -f -w 1 -I eth0 {VIP} || true")
    found = re.search(r"\[([0-9a-f:]{17})\]", text)
    return found.group(1) if found else ""


def test_a_virtual_address_moves_within_a_second(site: Site) -> None:
    """The other host's switch answers for the new master, and packets reach it, 1 s after it said so."""
    network = a_network(site, "virtual", "10.40.0.0/24")
    pair = {"allowed_address_pairs": [{"ip_address": VIP}]}
    first, port_first = a_vm(site, "master", "left", network, **pair)
    second, port_second = a_vm(site, "backup", "right", network, **pair)
    asker, port_asker = a_vm(site, "asker", "right", network)
    for vm, port in ((first, port_first), (second, port_second), (asker, port_asker)):
        with_address(vm, port)

    for vm, port in ((first, port_first), (second, port_second), (first, port_first)):
        take(vm)
        site.wait("the switches to know", lambda mac=port["mac_address"]: is_at(asker) == mac)  # type: ignore[misc]
        answered = asker.ping(VIP).received
        ip_batch([f"addr del {VIP}/32 dev eth0"], vm.namespace)

        assert answered == 3


def test_a_trunk_serves_its_subports(site: Site) -> None:
    """A VM reaches two networks by one interface: untagged the parent's, tagged the subport's, DHCP included."""
    outer, inner = a_network(site, "outer", "10.41.0.0/24"), a_network(site, "inner", "10.42.0.0/24")
    parent, port_parent = a_vm(site, "parent", "left", outer)
    near, port_near = a_vm(site, "near", "left", inner)
    far, port_far = a_vm(site, "far", "right", outer)
    sub = site.client.create(
        "v2.0/ports", "port", network_id=inner["id"], mac_address=port_parent["mac_address"]
    )
    site.client.create(
        "v2.0/trunks",
        "trunk",
        port_id=port_parent["id"],
        sub_ports=[{"port_id": sub["id"], "segmentation_type": "vlan", "segmentation_id": 7}],
    )
    site.wait("the subport to become ACTIVE", lambda: site.port_status(sub["id"]) == "ACTIVE")
    for vm, port in ((parent, port_parent), (near, port_near), (far, port_far)):
        with_address(vm, port)

    # Frames by hand: the machines' kernel knows no VLANs (measured: dataplane design, B0).
    ips = (sub["fixed_ips"][0]["ip_address"], port_near["fixed_ips"][0]["ip_address"])
    answer = parent.execute("python3", "-c", _ASK_BY_VLAN, port_parent["mac_address"], *ips, "7")

    assert parent.ping(port_far["fixed_ips"][0]["ip_address"]).received == 3
    assert answer.strip() == f"7 {port_near['mac_address']}"


_ASK_BY_VLAN = """
import socket, sys
mac, own, target, vlan = sys.argv[1:]
wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
wire.bind(("eth0", 3)); wire.setsockopt(263, 8, 1); wire.settimeout(5)
mac = bytes.fromhex(mac.replace(":", ""))
arp = bytes.fromhex("0001080006040001") + mac + socket.inet_aton(own) + bytes(6) + socket.inet_aton(target)
wire.send(b"\\xff" * 6 + mac + b"\\x81\\0" + int(vlan).to_bytes(2, "big") + b"\\x08\\x06" + arp)
while True:
    frame, ancillary, _, _ = wire.recvmsg(2048, 256)
    tags = [int.from_bytes(data[16:18], sys.byteorder) for level, kind, data in ancillary if (level, kind) == (263, 8)]
    if frame[12:14] == b"\\x81\\0":
        tags, frame = [int.from_bytes(frame[14:16], "big")], frame[:12] + frame[16:]
    if frame[12:14] == b"\\x08\\x06" and frame[20:22] == b"\\0\\2" and tags and tags[0]:
        print(tags[0] & 0xFFF, frame[22:28].hex(":"))
        break
"""
"""Asks by ARP in a VLAN, and prints the tag and the sender of the answer. 263, 8: SOL_PACKET, PACKET_AUXDATA."""


def test_limits_are_meters_of_the_switch(site: Site) -> None:
    """A policy's figures are in the switch, and packets go through them."""
    network = a_network(site, "limited", "10.43.0.0/24")
    policy = site.client.create("v2.0/qos/policies", "policy", name="measured")
    at = f"v2.0/qos/policies/{policy['id']}"
    site.client.create(
        f"{at}/bandwidth_limit_rules", "bandwidth_limit_rule", max_kbps=4321, direction="egress"
    )
    site.client.create(
        f"{at}/packet_rate_limit_rules", "packet_rate_limit_rule", max_kpps=7, direction="ingress"
    )
    one, port_one = a_vm(site, "limited", "left", network, qos_policy_id=policy["id"])
    two, port_two = a_vm(site, "free", "left", network)
    for vm, port in ((one, port_one), (two, port_two)):
        with_address(vm, port)

    received = one.ping(port_two["fixed_ips"][0]["ip_address"], count=5).received
    host = site.hosts["left"]
    meters = host.ofctl("dump-meters", "br-int")
    counted = host.ofctl("meter-stats", "br-int")

    assert received == 5
    numbers = [_meter(meters, unit, rate) for unit, rate in (("kbps", 4321), ("pktps", 7000))]
    for number in numbers:
        packets = re.search(rf"meter:{number} flow_count:\d+ packet_in_count:(\d+)", counted)
        assert packets is not None
        assert int(packets.group(1)) >= 5


def _meter(meters: str, unit: str, rate: int) -> str:
    """The number of the meter with this rate, in what the switch prints."""
    found = re.search(rf"meter=(\d+) {unit} burst\s*(?:stats\s*)?bands=\s*type=drop rate={rate} ", meters)
    assert found is not None, meters
    return found.group(1)
