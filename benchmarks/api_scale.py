"""The API at 0, 100,000 and 1,000,000 stored ports, on SQLite and on PostgreSQL.

Claims: port creates per second, single and in bulks of 100; latency of showing a port, of a list of 100, of the list of
a device (Nova's most frequent call) and of a network. Full durability, the region whole, the load from a process of
its own over real sockets; PostgreSQL from the distribution's binaries on the same cores, fsync on.

    python -m benchmarks.api_scale [sqlite|postgres …] [--ports N …]
"""

import argparse
import asyncio
import os
import shutil
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx

from alcor.lab.ledger import Ledger
from alcor.lab.region import RegionProcess
from benchmarks.load import get_repeatedly, post_repeatedly
from benchmarks.measure import lift_quotas, load_average, quantiles, report
from tests.support.postgres import start_server

STORED = (0, 100_000, 1_000_000)
SECONDS = 5.0
CLIENTS = 32
READERS = 8
BULK = 100
BULK_CLIENTS = 4
FILL_BULK = 500
DEVICE_PORTS = 2


def fill(region: RegionProcess, present: int, wanted: int) -> None:
    """Store ports until there are `wanted`, on networks of 50,000; each device has two."""
    headers = {"X-Auth-Token": region.token}
    with httpx.Client(base_url=region.endpoint, headers=headers, timeout=120) as client:
        while present < wanted:
            made = client.post("/v2.0/networks", json={"network": {"name": f"fill-{present}"}}).json()[
                "network"
            ]
            block = present // 50_000
            subnet = {"network_id": made["id"], "ip_version": 4, "cidr": f"10.{block}.0.0/16"}
            client.post("/v2.0/subnets", json={"subnet": subnet}).raise_for_status()
            for _ in range(min(50_000, wanted - present) // FILL_BULK):
                bulk = [
                    {
                        "network_id": made["id"],
                        "device_id": f"device-{(present + number) // DEVICE_PORTS}",
                        "device_owner": "compute:nova",
                    }
                    for number in range(FILL_BULK)
                ]
                client.post("/v2.0/ports", json={"ports": bulk}).raise_for_status()
                present += FILL_BULK


def measure(region: RegionProcess, backend: str, stored: int) -> list[dict[str, Any]]:
    """Every call at one size."""
    rows = []

    def add(what: str, result: dict[str, Any], ports: int) -> None:
        samples = result["samples_ms"]
        rate = round(len(samples) * ports / result["wall_s"])
        rows.append(
            {"store": backend, "ports stored": stored, "what": what, "per s": rate}
            | {f"{name} ms": value for name, value in quantiles(samples).items()}
        )

    endpoint, token = region.endpoint, region.token
    with region.client() as client:
        network = client.create("v2.0/networks", "network", name=f"measured-{stored}")
        client.create("v2.0/subnets", "subnet", network_id=network["id"], ip_version=4, cidr="172.16.0.0/12")
        port = client.create(
            "v2.0/ports",
            "port",
            network_id=network["id"],
            device_id=f"measured-{stored}",
            device_owner="compute:nova",
        )
    body: dict[str, Any] = {"port": {"network_id": network["id"]}}
    made = post_repeatedly(endpoint, token, "/v2.0/ports", body, clients=CLIENTS, seconds=SECONDS)
    add(f"create, {CLIENTS} clients", made, 1)
    bulk = {"ports": [body["port"]] * BULK}
    made = post_repeatedly(endpoint, token, "/v2.0/ports", bulk, clients=BULK_CLIENTS, seconds=SECONDS)
    add(f"create in bulks of {BULK} (ports)", made, BULK)
    for what, path in (
        ("show a port", f"/v2.0/ports/{port['id']}"),
        ("list a device's ports", f"/v2.0/ports?device_id=measured-{stored}"),
        ("list 100 ports", "/v2.0/ports?limit=100"),
        ("list 100 of a network", f"/v2.0/ports?network_id={network['id']}&limit=100"),
    ):
        result = get_repeatedly(endpoint, token, path, clients=READERS, seconds=SECONDS / 2)
        add(f"{what}, {READERS} clients", result, 1)
    return rows


def run(backend: str, sizes: Sequence[int]) -> list[dict[str, Any]]:
    """One store, all sizes."""
    folder = Path(tempfile.mkdtemp(prefix="alcor-bench-"))
    ledger = Ledger(folder)
    server = start_server() if backend == "postgres" else None
    settings: dict[str, str] = {}
    if server is not None:
        settings["ALCOR_STORE__URL"] = server.dsn(asyncio.run(server.fresh()))
    os.environ.update(settings)
    rows: list[dict[str, Any]] = []
    try:
        region = RegionProcess(folder, ledger)
        region.start("--log-level", "warning")
        region.ready()
        present = 0
        for wanted in sizes:
            began = time.perf_counter()
            fill(region, present, wanted)
            print(f"{backend}: {wanted:,} ports after {time.perf_counter() - began:.1f} s", flush=True)
            present = wanted
            rows += measure(region, backend, wanted)
    finally:
        ledger.sweep()
        if server is not None:
            server.stop()
        for name in settings:
            del os.environ[name]
        shutil.rmtree(folder, ignore_errors=True)
    return rows


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("backends", nargs="*", default=["sqlite", "postgres"])
    parser.add_argument("--ports", nargs="*", type=int, default=list(STORED))
    chosen = parser.parse_args()
    load_before = load_average()
    lift_quotas()
    rows = [row for backend in chosen.backends for row in run(backend, chosen.ports)]
    report("api_scale", rows, load_before=load_before)


if __name__ == "__main__":
    main()
