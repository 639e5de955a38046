"""Milliseconds from an API call to the barrier reply of the port's own switch, a real Open vSwitch.

The call binds a plugged port to its host (`PUT /v2.0/ports/{id}`); the clock starts before it is sent and stops when
the host's switch replied to the barrier behind the port's flows, as the agent reports it. Both clocks are this
machine's. With 0 and with 100,000 ports stored, the latter half in the measured network.
"""

import tempfile
import time
from pathlib import Path
from typing import Any

from alcor.lab.site import Site, running_site
from benchmarks.measure import lift_quotas, load_average, quantiles, report
from benchmarks.port_create import fill

ROUNDS = 200
STORED = (0, 100_000)


def measure(site: Site, network: dict[str, Any], stored: int) -> dict[str, Any]:
    """Bind one plugged port to its host and unbind it again, many times."""
    port = site.client.create("v2.0/ports", "port", network_id=network["id"])
    site.boot(f"vm-{stored}", "left", port)
    samples = []
    for _ in range(ROUNDS):
        called_ms = time.time_ns() / 1e6
        site.client.update("v2.0/ports", "port", port["id"], **{"binding:host_id": "left"})
        # Asking costs the region time that belongs to the measured path: ask late, the agent's clock tells when.
        time.sleep(0.03)
        samples.append(_realized_ms(site, port["id"], called_ms) - called_ms)
        site.client.update("v2.0/ports", "port", port["id"], **{"binding:host_id": ""})
        site.wait("DOWN", lambda: site.port_status(port["id"]) == "DOWN")
    site.client.delete("v2.0/ports", port["id"])
    return {"ports stored": stored, "rounds": ROUNDS} | {f"{k} ms": v for k, v in quantiles(samples).items()}


def _realized_ms(site: Site, port_id: str, called_ms: float) -> float:
    path = f"hosts/{site.host_ids['left']}/health"
    for _ in range(300):
        for port in site.client.show(path)["health"]["ports"]:
            if port["port_id"] == port_id and port["realized_at_ms"] > called_ms:
                return float(port["realized_at_ms"])
        time.sleep(0.01)
    raise SystemExit(f"port {port_id} was not realized in 3 s")


def main() -> None:
    """Run and print."""
    load_before = load_average()
    lift_quotas()
    rows = []
    with (
        tempfile.TemporaryDirectory(prefix="alcor-bench-") as folder,
        running_site(Path(folder), "left", "right") as site,
    ):
        network = site.client.create("v2.0/networks", "network", name="measured")
        site.client.create(
            "v2.0/subnets", "subnet", network_id=network["id"], ip_version=4, cidr="10.8.0.0/15"
        )
        for stored in STORED:
            if stored:
                fill(site.region, stored // 2)
                for _ in range(stored // 2 // 500):
                    bulk = [{"network_id": network["id"]}] * 500
                    site.client.create_many("v2.0/ports", "ports", bulk)
            rows.append(measure(site, network, stored))
    report("call_to_barrier", rows, load_before=load_before)


if __name__ == "__main__":
    main()
