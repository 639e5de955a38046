"""1,000 agents attach again at once: how long until all have everything, and what is sent again that was held.

Claims, for a region that was killed and started again (with and without a change meanwhile): seconds until the last
agent is attached, and until all confirmed the head, from when it serves again; items and octets that agents received;
processor seconds of region and agents. Zero items is the aim where nothing changed, and else what the same change
takes in a region that lives, which is the last case.

    python -m benchmarks.reattach [--hosts N] [--ports N]
"""

import argparse
import asyncio
import time
from typing import Any

from alcor.lab.simulate.plan import Plan, even
from alcor.lab.simulate.run import Run
from benchmarks.measure import load_average, report
from benchmarks.simulated import Row, run_one

_ADMITTED = 200
_PORTS_OF_NETWORK = 50


def measure(hosts: int, ports: int) -> list[Row]:
    """One region, one case after the other."""
    rows: list[Row] = []

    async def again(run: Run, what: str, *, killed: bool = True, change: bool) -> dict[str, Any]:
        before = await run.sample()
        if killed:
            await asyncio.to_thread(run.region.restart, list(run.region.processes))
            run.http.base_url = run.region.endpoint
        began = time.monotonic()
        started = await run.sample()
        if change:
            await run.create_port(run.networks[0])
        while (await run.sample()).attached < hosts:  # noqa: ASYNC110  # what is awaited is in other processes
            await asyncio.sleep(0.05)
        attached_s = time.monotonic() - began
        after = await run.converge()
        rows.append(
            {
                "case": what,
                "hosts": hosts,
                "ports": ports,
                "attached s": round(attached_s, 2) if killed else None,
                "all have the head s": round(time.monotonic() - began - 0.4, 2),
                "items sent": after.items - before.items,
                "octets": after.received - before.received,
                "items held": before.items,
                **{
                    f"CPU s {name}": round(spent - started.cpu_s.get(name, 0.0), 2)
                    for name, spent in after.cpu_s.items()
                },
            }
        )
        return {}

    async def work(run: Run) -> None:
        async def boot() -> dict[str, Any]:
            return await run.boot(at_once_max=_ADMITTED)

        await run.step("boot", boot)
        await run.step("again", lambda: again(run, "killed and started, nothing changed", change=False))
        await run.step("changed", lambda: again(run, "killed and started, one port more", change=True))
        await run.step("alive", lambda: again(run, "alive, one port more", killed=False, change=True))

    plan = Plan(hosts=hosts, sizes=even(ports, ports // _PORTS_OF_NETWORK), sample=10)
    run_one(plan, work, deadline_s=300)
    return rows


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--hosts", type=int, default=1_000)
    parser.add_argument("--ports", type=int, default=10_000)
    chosen = parser.parse_args()
    before = load_average()
    report("reattach", measure(chosen.hosts, chosen.ports), load_before=before)


if __name__ == "__main__":
    main()
