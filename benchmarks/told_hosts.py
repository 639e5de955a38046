"""One change told to 1,000 hosts (10,000 with --hosts 10000): until the last of them has acknowledged it.

Claims: milliseconds from the API call to the last acknowledgement, its parts, octets per host and change, processor
milliseconds per host and change in the region and in the hosts' agents. The change is a rule of a security group that a
port on every host uses: one scope, which all hosts hold. All processes share this machine: the agents', elsewhere on
machines of their own, give way to the region's (nice), and what counts are the processor's milliseconds; those of as
many rounds without a change (heartbeats, looking) are subtracted.

    python -m benchmarks.told_hosts [--hosts N] [--changes N]
"""

import argparse
import asyncio
import os
import time
from typing import Any

from alcor.lab.simulate.plan import Plan
from alcor.lab.simulate.run import Change, Run
from benchmarks.measure import load_average, report
from benchmarks.simulated import Row, memory, run_one

# Ports of the one network: more than a default group serves, so that it has a group of its own.
PORTS_MIN = 1_001
_ADMITTED = 200
_NICE = 10
# A round is over by then as a rule, so that looking whether it is costs each round the same, and does not slow it.
_ROUND_S, _ROUND_HOST_S = 1.2, 0.000_6


async def change_rule(run: Run, number: int) -> Change:
    """One rule more in the group of all ports."""
    group = run.loaded.groups[0]
    rule = {
        "security_group_id": group,
        "direction": "ingress",
        "ethertype": "IPv4",
        "protocol": "tcp",
        "port_range_min": 1_000 + number,
        "port_range_max": 1_000 + number,
    }
    began = time.monotonic()
    await run.call("POST", "/v2.0/security-group-rules", {"security_group_rule": rule})
    change = Change("rule", ("rules", group, False), began, time.monotonic())
    run.changes.append(change)
    return change


def measure(hosts: int, changes: int) -> list[Row]:
    """One size."""
    cpu: dict[str, dict[str, float]] = {}

    async def work(run: Run) -> None:
        async def boot() -> dict[str, Any]:
            found = await run.boot(at_once_max=_ADMITTED)
            for pid in run.fleet.pids.values():
                os.setpriority(os.PRIO_PROCESS, pid, _NICE)
            return found

        async def rounds(name: str) -> dict[str, Any]:
            before, began = await run.sample(), time.monotonic()
            for number in range(changes):
                since = len(run.changes)
                await run.record()
                if name == "told":
                    await change_rule(run, number)
                await asyncio.sleep(max(_ROUND_S, hosts * _ROUND_HOST_S))
                await run.settle(since)
            after = run.samples[-1]
            cpu[name] = {"region": 0.0, "hosts": 0.0}
            for process, used_s in after.cpu_s.items():
                kind = "hosts" if process.startswith("hosts-") else "region"
                cpu[name][kind] += used_s - before.cpu_s.get(process, 0.0)
            return {"octets": after.received - before.received, "lasted_s": time.monotonic() - began}

        await run.step("boot", boot)
        await run.step("idle", lambda: rounds("idle"))
        await run.step("told", lambda: rounds("told"))

    # Of so many hosts only relays know all.
    gateways = 2 if hosts >= 1_000 else 0
    plan = Plan(hosts=hosts, sizes=(max(hosts, PORTS_MIN),), density=1, sample=10, gateways=gateways)
    # Hosts hold the network on demand, or each would hold a neighbour for every host.
    facts = run_one(plan, work, lazy_above=500, deadline_s=900)
    told = facts["changes"]
    idle, busy = (
        next(phase for phase in facts["phases"] if phase["name"] == name) for name in ("idle", "told")
    )

    def per_host(kind: str) -> float:
        used_s: float = cpu["told"][kind] - cpu["idle"][kind] * busy["lasted_s"] / idle["lasted_s"]
        return round(used_s * 1_000 / changes / hosts, 3)

    row: Row = {"hosts": hosts, "changes": changes}
    row |= {f"total {name} ms": told["total_ms"][name] for name in ("p50", "max")}
    row |= {
        f"{stage} p50 ms": told[f"{stage}_ms"]["p50"] for stage in ("call", "deliver", "spread", "install")
    }
    row |= {
        "octets per host": round((busy["octets"] - idle["octets"]) / changes / hosts),
        "region cpu ms per host": per_host("region"),
        "agent cpu ms per host": per_host("hosts"),
        "boot s": facts["phases"][0]["elapsed_s"],
    }
    return [row | memory(facts)]


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--hosts", nargs="*", type=int, default=[100, 1_000])
    parser.add_argument("--changes", type=int, default=10)
    chosen = parser.parse_args()
    before = load_average()
    rows = [row for hosts in chosen.hosts for row in measure(hosts, chosen.changes)]
    report("told_hosts", rows, load_before=before)


if __name__ == "__main__":
    main()
