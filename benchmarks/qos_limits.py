"""What QoS policies do to real traffic: bandwidth and packet rate, both directions, against the figure in the policy.

Two VMs on one Open vSwitch host (userspace datapath), policies through the API. `UDP`: offered at three times the
limit; what arrives, in whole frames, as a meter counts. `TCP`: one stream, its payload. The first seconds, in which
the burst is used up, do not count; the median of the others does. `off %`: how far from the limit, negative is below.
"""

import json
import subprocess
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from alcor.lab.site import Site, running_site
from alcor.lab.vm import Vm
from benchmarks.measure import lift_quotas, load_average, report

SECONDS = 6
OMITTED = 3
# Ethernet, IPv4 and UDP headers around iperf3's payload.
UDP_HEADERS = 14 + 20 + 8
PAYLOAD = 1200
SMALL = 100
RATES_KBPS = (1_000, 5_000)
RATE_KPPS = 1


def iperf(source: Vm, target: Vm, ip: str, *words: str) -> dict[str, Any]:
    """One run; what the receiver saw, per second."""
    inside = ("ip", "netns", "exec")
    with subprocess.Popen(
        [*inside, target.namespace, "iperf3", "-s", "-1", "-J"], stdout=subprocess.PIPE, text=True
    ) as server:
        command = [
            *inside,
            source.namespace,
            "iperf3",
            "-c",
            ip,
            "-t",
            str(SECONDS),
            "-O",
            str(OMITTED),
            *words,
        ]
        for _ in range(20):
            if subprocess.run(command, capture_output=True, check=False).returncode == 0:
                break
            time.sleep(0.1)
        assert server.stdout is not None
        return dict(json.loads(server.stdout.read()))


def arrived(seen: dict[str, Any]) -> tuple[float, float]:
    """Payload in kbit/s, and packets a second (0 for TCP), in the median second of those that count.

    The median, because the receiver's clock is not the sender's: its first and last seconds are not full.
    """
    sums = [one["sum"] for one in seen["intervals"] if not one["sum"]["omitted"]]
    payload = [one["bytes"] * 8 / 1000 / one["seconds"] for one in sums]
    packets = [(one.get("packets", 0) - one.get("lost_packets", 0)) / one["seconds"] for one in sums]
    return median(payload), median(packets)


def row(what: str, direction: str, limit: float, unit: str, found: float) -> dict[str, Any]:
    """One line of the table."""
    off = round(100 * (found - limit) / limit, 1)
    return {
        "limit on": what,
        "direction": direction,
        "limit": limit,
        "unit": unit,
        "arrives": round(found),
        "off %": off,
    }


class Bench:
    """Two VMs of a site; the first has the policy."""

    def __init__(self, site: Site) -> None:
        self.site = site
        network = site.client.create("v2.0/networks", "network", name="measured")
        site.client.create(
            "v2.0/subnets", "subnet", network_id=network["id"], ip_version=4, cidr="10.8.0.0/24"
        )
        self.ports = [site.client.create("v2.0/ports", "port", network_id=network["id"]) for _ in range(2)]
        self.ips = [port["fixed_ips"][0]["ip_address"] for port in self.ports]
        self.vms = [site.boot(name, "left", port) for name, port in zip(("a", "b"), self.ports, strict=True)]
        for vm, port in zip(self.vms, self.ports, strict=True):
            site.bind(port["id"], "left")
            vm.up()
            vm.dhcp()

    def limit(self, rule: str, **values: Any) -> None:
        """Give the first VM a policy of one rule, and wait until its meter is in the switch."""
        client = self.site.client
        policy = client.create("v2.0/qos/policies", "policy", name="measured")
        client.create(f"v2.0/qos/policies/{policy['id']}/{rule}s", rule, **values)
        client.update("v2.0/ports", "port", self.ports[0]["id"], qos_policy_id=policy["id"])
        rate = values.get("max_kbps") or values["max_kpps"] * 1000
        host = self.site.hosts["left"]
        self.site.wait("the meter", lambda: f"rate={rate} " in host.ofctl("dump-meters", "br-int") + " ")

    def run(self, direction: str, *words: str) -> tuple[float, float]:
        """From the first VM (egress) or to it (ingress)."""
        ends = (0, 1) if direction == "egress" else (1, 0)
        return arrived(iperf(self.vms[ends[0]], self.vms[ends[1]], self.ips[ends[1]], *words))


def measure(bench: Bench) -> list[dict[str, Any]]:
    """All rows."""
    rows = []
    for direction in ("egress", "ingress"):
        for kbps in RATES_KBPS:
            bench.limit("bandwidth_limit_rule", max_kbps=kbps, direction=direction)
            offered = ("-u", "-b", f"{3 * kbps}k", "-l", str(PAYLOAD))
            payload, packets = bench.run(direction, *offered)
            rows.append(row("UDP", direction, kbps, "kbit/s", payload + packets * UDP_HEADERS * 8 / 1000))
            rows.append(row("TCP", direction, kbps, "kbit/s", bench.run(direction)[0]))
        bench.limit("packet_rate_limit_rule", max_kpps=RATE_KPPS, direction=direction)
        pps = RATE_KPPS * 1000
        offered = ("-u", "-b", f"{3 * pps * SMALL * 8 // 1000}k", "-l", str(SMALL))
        rows.append(row("packets", direction, pps, "1/s", bench.run(direction, *offered)[1]))
    return rows


def main() -> None:
    """Run and print."""
    load_before = load_average()
    lift_quotas()
    with (
        tempfile.TemporaryDirectory(prefix="alcor-bench-") as folder,
        running_site(Path(folder), "left") as site,
    ):
        rows = measure(Bench(site))
    report("qos_limits", rows, load_before=load_before)


if __name__ == "__main__":
    main()
