"""How soon the region knows: from what happens to a host until `GET /hosts/{id}/health` says so, polled every 20 ms.

Bounds (docs/design/health.md): a stream that ends and a switch that goes at once, a path about a second, a silent agent
three heartbeats of 5 s.
"""

import os
import signal
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from alcor.lab.outside import ADDRESS
from alcor.lab.site import Site, running_site
from benchmarks.gaps import HOSTS, World
from benchmarks.measure import lift_quotas, load_average, quantiles, report

ROUNDS = int(os.environ.get("ALCOR_BENCH_ROUNDS", "5"))
FROZEN_ROUNDS = 2
_EVERY_S = 0.02
_PATIENCE_S = 60.0
Row = dict[str, Any]


def health(site: Site, host: str) -> Row:
    """What the region says of a host."""
    return dict(site.client.show(f"hosts/{site.host_ids[host]}/health")["health"])


def until(site: Site, host: str, says: Callable[[Row], bool]) -> float:
    """Milliseconds until the region says it. Raises: TimeoutError."""
    began_s = time.monotonic()
    while not says(health(site, host)):
        if time.monotonic() - began_s > _PATIENCE_S:
            raise TimeoutError(f"nothing of it was said of {host} within {_PATIENCE_S:g} s")
        time.sleep(_EVERY_S)
    return (time.monotonic() - began_s) * 1000


def is_up(found: Row) -> bool:
    """All is well."""
    return bool(found["health_state"] == "UP")


def is_down(found: Row) -> bool:
    """Its agent is not heard."""
    return bool(found["health_state"] == "DOWN")


def killed(site: Site, host: str) -> float:
    """An agent is killed, and started again."""
    site.hosts[host].kill("agent")
    taken = until(site, host, is_down)
    site.start_agent(host)
    until(site, host, is_up)
    return taken


def frozen(site: Site, host: str) -> float:
    """An agent stands still, as on a machine that hangs, and goes on."""
    pid = site.hosts[host].pid("agent")
    os.kill(pid, signal.SIGSTOP)
    try:
        taken = until(site, host, is_down)
    finally:
        os.kill(pid, signal.SIGCONT)
    until(site, host, is_up)
    return taken


def switch_killed(site: Site, host: str, *, seen_at: str = "") -> float:
    """A switch is killed and started again; seen by its own agent, or by the probes of another host."""
    if seen_at:
        # Who was away itself misses only whom it has seen since.
        until(site, host, lambda found: bool(found["reached_by"] == len(HOSTS) - 1))
    site.hosts[host].kill("ovs-vswitchd")
    seer = seen_at or host
    says: Callable[[Row], bool] = lambda found: bool(found["paths_down"] if seen_at else found["detail"])  # noqa: E731
    taken = until(site, seer, says)
    site.hosts[host].start_switch()
    until(site, host, is_up)
    until(site, seer, is_up)
    return taken


def main() -> None:
    """Run and print."""
    load_before = load_average()
    lift_quotas()
    with (
        tempfile.TemporaryDirectory(prefix="alcor-bench-") as folder,
        running_site(Path(folder), *HOSTS) as site,
    ):
        world = World(site)
        site.wait("the outside", lambda: world.still.ping(ADDRESS, count=2).received == 2)
        gateway = next(host for host in site.gateways if host != "third")
        for host in HOSTS:
            until(site, host, is_up)
        events: list[tuple[str, int, Callable[[], float]]] = [
            ("agent killed", ROUNDS, lambda: killed(site, "third")),
            ("agent frozen", FROZEN_ROUNDS, lambda: frozen(site, "third")),
            ("switch killed, told by its agent", ROUNDS, lambda: switch_killed(site, "third")),
            (
                "gateway's switch killed, told by a neighbour",
                ROUNDS,
                lambda: switch_killed(site, gateway, seen_at="third"),
            ),
        ]
        rows = []
        for what, rounds, event in events:
            found = [event() for _ in range(rounds)]
            rows.append(
                {"event": what, "rounds": rounds}
                | {f"{name} ms": value for name, value in quantiles(found).items()}
            )
    report("detection", rows, load_before=load_before)


if __name__ == "__main__":
    main()
