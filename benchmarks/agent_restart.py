"""Restart of a host's agent with 10,000 flows in the switch and nothing changed.

From the start of the process to *in sync*: read the switch back, take snapshots, recompute everything, compare,
barrier. It must send no flow change at all. The flows are those of one local port and some thousand neighbours.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from alcor.lab.site import Site, running_site
from benchmarks.measure import lift_quotas, load_average, report

FLOWS = 10_000
ROUNDS = 5


def agent_status(site: Site) -> dict[str, Any]:
    """What the agent of the measured host says; empty while none answers."""
    socket = str(site.hosts["left"].status_socket)
    command = [sys.executable, "-m", "alcor.cli.agent", "status", "--json", "--status-socket", socket]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return dict(json.loads(done.stdout)) if done.returncode == 0 else {}


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
            "v2.0/subnets", "subnet", network_id=network["id"], ip_version=4, cidr="10.8.0.0/16"
        )
        port = site.client.create("v2.0/ports", "port", network_id=network["id"])
        site.boot("vm", "left", port)
        site.bind(port["id"], "left")
        while int(agent_status(site)["switch"]["flows"]) < FLOWS:
            bulk = [{"network_id": network["id"], "binding:host_id": "right"}] * 500
            site.client.create_many("v2.0/ports", "ports", bulk)
            time.sleep(1)
        for _ in range(ROUNDS):
            site.hosts["left"].stop("agent")
            began_ms = time.time_ns() / 1e6
            site.start_agent("left")
            site.wait("in sync", lambda: bool(agent_status(site).get("settled_ms")))
            status = agent_status(site)
            rows.append(
                {
                    "flows": status["switch"]["flows"],
                    "in sync after s": round((status["settled_ms"] - began_ms) / 1000, 3),
                    "flow changes": status["counters"]["flow_changes"],
                }
            )
    report("agent_restart", rows, load_before=load_before)


if __name__ == "__main__":
    main()
