"""Port creates per second: one by one (32 clients) and in bulks of 100, with 0 and 100,000 ports stored.

Claim: full durability (the answer leaves after the commit), the region whole (dataplane and ncm running), the load
from a process of its own over real sockets. Beside it the *skeleton*: the same server and the same store writing one
row and two claims a request without any rule of ours, measured in the same run.
"""

import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx

from alcor.lab.ledger import Ledger
from alcor.lab.region import RegionProcess
from benchmarks import skeleton
from benchmarks.load import post_repeatedly
from benchmarks.measure import lift_quotas, load_average, quantiles, report

SECONDS = 8.0
CLIENTS = 32
BULK = 100
BULK_CLIENTS = 4
STORED = (0, 100_000)


def row(what: str, stored: int, result: dict[str, Any], ports_per_request: int) -> dict[str, Any]:
    """One line of the table."""
    requests = len(result["samples_ms"])
    return {
        "what": what,
        "ports stored": stored,
        "ports/s": round(requests * ports_per_request / result["wall_s"]),
        "requests": requests,
        **{f"{name} ms": value for name, value in quantiles(result["samples_ms"]).items()},
    }


def fill(region: RegionProcess, count: int) -> None:
    """Store `count` ports in ten networks, in bulks."""
    headers = {"X-Auth-Token": region.token}
    with httpx.Client(base_url=region.endpoint, headers=headers, timeout=60) as client:
        for network in range(10):
            made = client.post("/v2.0/networks", json={"network": {"name": f"fill-{network}"}}).json()[
                "network"
            ]
            subnet = {"network_id": made["id"], "ip_version": 4, "cidr": f"10.{100 + network}.0.0/16"}
            client.post("/v2.0/subnets", json={"subnet": subnet}).raise_for_status()
            for _ in range(count // 10 // 500):
                bulk = [{"network_id": made["id"]} for _ in range(500)]
                client.post("/v2.0/ports", json={"ports": bulk}).raise_for_status()


def measured_network(region: RegionProcess, name: str, cidr: str) -> str:
    """A network with a subnet large enough for everything measured."""
    client = region.client()
    network = client.create("v2.0/networks", "network", name=name)
    client.create("v2.0/subnets", "subnet", network_id=network["id"], ip_version=4, cidr=cidr)
    client.close()
    return str(network["id"])


def main() -> None:
    """Run and print."""
    load_before = load_average()
    lift_quotas()
    rows = [row("skeleton, one by one", 0, skeleton.measure(CLIENTS, SECONDS), 1)]
    folder = Path(tempfile.mkdtemp(prefix="alcor-bench-"))
    ledger = Ledger(folder)
    try:
        region = RegionProcess(folder, ledger)
        region.start("--log-level", "warning")
        region.ready()
        for index, stored in enumerate(STORED):
            if stored:
                began = time.perf_counter()
                fill(region, stored)
                print(f"filled {stored:,} ports in {time.perf_counter() - began:.1f} s")
            network = measured_network(region, f"single-{index}", f"10.{10 + index}.0.0/16")
            body: dict[str, Any] = {"port": {"network_id": network}}
            result = post_repeatedly(
                region.endpoint, region.token, "/v2.0/ports", body, clients=CLIENTS, seconds=SECONDS
            )
            rows.append(row("one by one", stored, result, 1))
            network = measured_network(region, f"bulk-{index}", f"{11 + index}.0.0.0/10")
            body = {"ports": [{"network_id": network}] * BULK}
            result = post_repeatedly(
                region.endpoint, region.token, "/v2.0/ports", body, clients=BULK_CLIENTS, seconds=SECONDS
            )
            rows.append(row(f"bulk of {BULK}", stored, result, BULK))
    finally:
        ledger.sweep()
        shutil.rmtree(folder, ignore_errors=True)
    report("port_create", rows, load_before=load_before)


if __name__ == "__main__":
    main()
