"""Where the milliseconds of a change go: ports bound with `?wait=`, by the stages that the answer itself tells.

One region process on SQLite, hosts with real Open vSwitch; the VIF is plugged before its port is bound. `total` is by
the API's clock, from the request's first line to the answer; every other stage is a duration of one process. `called`
is the client's: what HTTP and this script add.
"""

import tempfile
import time
from pathlib import Path
from typing import Any

import httpx

from alcor.lab.site import Site, running_site
from benchmarks.measure import lift_quotas, load_average, quantiles, report

ROUNDS = 100
WAIT_S = 20
HOSTS = ("left", "middle", "right")


def measure(site: Site, network: dict[str, Any]) -> list[dict[str, Any]]:
    """Bind a plugged port and unbind it again, many times; every host of its network has to know each time."""
    port = site.client.create("v2.0/ports", "port", network_id=network["id"])
    site.boot("vm-measured", HOSTS[0], port)
    samples: dict[str, list[float]] = {}
    with httpx.Client(
        base_url=site.region.endpoint, headers={"X-Auth-Token": site.region.token}, timeout=2 * WAIT_S
    ) as client:
        for _ in range(ROUNDS):
            for stage, ms in _bind(client, port["id"], HOSTS[0]).items():
                samples.setdefault(stage, []).append(ms)
            _bind(client, port["id"], "")
    return [
        {"stage": stage, "rounds": ROUNDS, "hosts": len(HOSTS)}
        | {f"{name} ms": value for name, value in quantiles(values).items()}
        for stage, values in samples.items()
    ]


def _bind(client: httpx.Client, port_id: str, host: str) -> dict[str, float]:
    """One change that waits; returns its stages. Raises: SystemExit if a host was missing."""
    begun = time.perf_counter()
    answer = client.put(
        f"/v2.0/ports/{port_id}",
        params={"wait": WAIT_S, "details": "true"},
        json={"port": {"binding:host_id": host}},
    )
    called_ms = (time.perf_counter() - begun) * 1000
    told = answer.raise_for_status().json()["data_plane"]
    if told["hosts_actual"] != len(HOSTS):
        raise SystemExit(f"not every host has it: {told}")
    return {**told["stages_ms"], "called": called_ms}


def main() -> None:
    """Run and print."""
    load_before = load_average()
    lift_quotas()
    with (
        tempfile.TemporaryDirectory(prefix="alcor-bench-") as folder,
        running_site(Path(folder), *HOSTS) as site,
    ):
        network = site.client.create("v2.0/networks", "network", name="measured")
        site.client.create(
            "v2.0/subnets", "subnet", network_id=network["id"], ip_version=4, cidr="10.8.0.0/16"
        )
        for host in HOSTS:
            resident = site.client.create("v2.0/ports", "port", network_id=network["id"])
            site.boot(f"vm-{host}", host, resident)
            site.bind(resident["id"], host)
        rows = measure(site, network)
    report("wait_stages", rows, load_before=load_before)


if __name__ == "__main__":
    main()
