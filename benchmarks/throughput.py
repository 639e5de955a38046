"""Throughput and packet rate between VMs: Alcor's pipeline, a plain learning switch, and OVN's with the same policy.

All three on the same Open vSwitch (userspace datapath), the same machine, one after the other in one run: compare the
rows, not the figures with another machine's. Policy of Alcor and OVN: port security, and stateful groups that allow
TCP, UDP and ICMP. `TCP`: one stream (iperf3). `UDP`: 64 octets of payload as fast as it goes; what arrives. Where
it is not installed OVN is left out, and said so.
"""

import json
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from alcor.lab.command import ip_batch, wait_until
from alcor.lab.host import LabHost, Underlay
from alcor.lab.ledger import Ledger
from alcor.lab.site import running_site
from alcor.lab.vm import Vm
from benchmarks import ovn
from benchmarks.measure import load_average, report

SECONDS = 5
PINGS = 50
UDP_OCTETS = 64
MTU = 1442  # room for Geneve with OVN's option; the same for all, so that rows compare
HOSTS = ("left", "right")


class End(NamedTuple):
    """A machine and its address."""

    vm: Vm
    ip: str


class Ends(NamedTuple):
    """Who measures with whom: two on one host, one on the other."""

    source: End
    near: End
    far: End


def _iperf(source: End, target: End, *words: str) -> dict[str, Any]:
    inside = ("ip", "netns", "exec")
    server = subprocess.Popen(
        [*inside, target.vm.namespace, "iperf3", "-s", "-1"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        command = [*inside, source.vm.namespace, "iperf3", "-c", target.ip, "-t", str(SECONDS), "-J", *words]
        for _ in range(20):
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            answer: dict[str, Any] = json.loads(done.stdout)
            if "error" not in answer:
                return answer
            time.sleep(0.2)
        raise SystemExit(f"iperf3 to {target.ip}: {answer['error']}")
    finally:
        server.terminate()
        server.wait()


def _measure(kind: str, where: str, source: End, target: End) -> dict[str, Any]:
    rtts = [source.vm.ping(target.ip, count=PINGS, every_s=0.01).rtt_ms for _ in range(3)]
    tcp = _iperf(source, target)["end"]["sum_received"]["bits_per_second"]
    udp = _iperf(source, target, "-u", "-b", "0", "-l", str(UDP_OCTETS))["end"]["sum"]
    arrived = (udp["packets"] - udp["lost_packets"]) / udp["seconds"]
    return {
        "pipeline": kind,
        "path": where,
        "TCP Mbit/s": round(tcp / 1e6),
        "UDP packets/s": round(arrived),
        "RTT ms": round(statistics.median(rtt for rtt in rtts if rtt is not None), 3),
    }


def _rows(kind: str, ends: Ends) -> list[dict[str, Any]]:
    return [
        _measure(kind, "same host", ends.source, ends.near),
        _measure(kind, "two hosts", ends.source, ends.far),
    ]


def _static(vm: Vm, ip: str) -> End:
    """An address, and neighbours asked for before anything is measured."""
    vm.up()
    ip_batch([f"addr add {ip}/24 dev eth0", f"link set eth0 mtu {MTU}"], vm.namespace)
    return End(vm, ip)


@contextmanager
def _hosts(folder: Path, prefix: str) -> Iterator[tuple[list[LabHost], Ledger]]:
    ledger = Ledger(folder)
    try:
        underlay = Underlay(prefix, ledger)
        hosts = [LabHost(prefix, name, n, folder / "hosts", ledger) for n, name in enumerate(HOSTS, start=1)]
        for host in hosts:
            host.create(underlay)
            host.vsctl(
                *("--", "add-br", "br-int"),
                *("--", "set", "bridge", "br-int", "datapath_type=netdev", "fail_mode=secure"),
            )
        yield hosts, ledger
    finally:
        ledger.sweep()


def _machines(prefix: str, hosts: list[LabHost], ledger: Ledger) -> list[Vm]:
    machines = []
    for number, host in enumerate((hosts[0], hosts[0], hosts[1]), start=1):
        vm = Vm(prefix, f"vm{number}", host, ledger)
        vm.create(f"02:00:00:00:00:{number:02x}")
        machines.append(vm)
    return machines


def plain(folder: Path) -> list[dict[str, Any]]:
    """One learning switch per host, joined by a VXLAN tunnel: nothing is checked."""
    prefix = "bplain-"
    with _hosts(folder, prefix) as (hosts, ledger):
        for host, peer in zip(hosts, reversed(hosts), strict=True):
            host.vsctl(
                *("--", "add-port", "br-int", "vx0", "--", "set", "interface", "vx0", "type=vxlan"),
                f"options:remote_ip={peer.vtep}",
            )
            host.ofctl("add-flow", "br-int", "actions=NORMAL")
        machines = _machines(prefix, hosts, ledger)
        for vm in machines:
            vm.plug(vm.name)
        return _rows(
            "learning switch", Ends(*(_static(vm, f"10.0.0.{n}") for n, vm in enumerate(machines, start=1)))
        )


def through_ovn(folder: Path) -> list[dict[str, Any]]:
    """OVN's pipeline."""
    prefix = "bovn-"
    with _hosts(folder, prefix) as (hosts, ledger):
        central = ovn.Ovn(folder / "ovn", hosts, ledger)
        central.start()
        machines = _machines(prefix, hosts, ledger)
        for vm in machines:
            vm.plug(vm.name)
        central.network(
            {vm.name: (f"02:00:00:00:00:{n:02x}", f"10.0.0.{n}") for n, vm in enumerate(machines, start=1)}
        )
        ends = Ends(*(_static(vm, f"10.0.0.{n}") for n, vm in enumerate(machines, start=1)))
        wait_until("OVN's flows", lambda: ends.source.vm.ping(ends.far.ip, count=1).received == 1)
        return _rows("OVN", ends)


def through_alcor(folder: Path) -> list[dict[str, Any]]:
    """A region, its agents and its pipeline."""
    with running_site(folder, *HOSTS) as site:
        client = site.client
        network = client.create("v2.0/networks", "network", name="net")
        client.create("v2.0/subnets", "subnet", network_id=network["id"], ip_version=4, cidr="10.0.0.0/24")
        group = client.create("v2.0/security-groups", "security_group", name="measured")
        for protocol in ("tcp", "udp", "icmp"):
            client.create(
                "v2.0/security-group-rules",
                "security_group_rule",
                security_group_id=group["id"],
                direction="ingress",
                protocol=protocol,
            )
        ends = []
        for number, host in enumerate((HOSTS[0], HOSTS[0], HOSTS[1]), start=1):
            port = client.create(
                "v2.0/ports", "port", network_id=network["id"], security_groups=[group["id"]]
            )
            vm = site.boot(f"vm{number}", host, port)
            site.bind(port["id"], host)
            ends.append(_static(vm, port["fixed_ips"][0]["ip_address"]))
        return _rows("Alcor", Ends(*ends))


def main() -> None:
    """Run and print."""
    load_before = load_average()
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="alcor-bench-") as name:
        folder = Path(name)
        for part in ("plain", "alcor", "ovn"):
            (folder / part).mkdir()
        rows += plain(folder / "plain")
        rows += through_alcor(folder / "alcor")
        if reason := ovn.missing():
            print(f"OVN is not measured: {reason}")
        else:
            rows += through_ovn(folder / "ovn")
    report("throughput", rows, load_before=load_before)


if __name__ == "__main__":
    main()
