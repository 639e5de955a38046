"""One change told to 1,000 hosts (10,000 with --hosts 10000): until the last of them has acknowledged it.

Claims: milliseconds from the API call to the last acknowledgement, its parts, octets per host and change, processor
milliseconds per host and change in the region and in the hosts' agents. The change is a rule of a security group that a
port on every host uses: one scope, which all hosts hold. All processes share this machine.

    python -m benchmarks.told_hosts [--hosts N] [--changes N]
"""

import argparse
import time
from typing import Any

from alcor.lab.simulate.plan import Plan
from alcor.lab.simulate.run import Change, Run
from benchmarks.measure import load_average, report
from benchmarks.simulated import Row, memory, run_one

# Ports of the one network: more than a default group serves, so that it has a group of its own.
PORTS_MIN = 1_001
_ADMITTED = 200


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
    cpu: dict[str, float] = {}

    async def work(run: Run) -> None:
        async def boot() -> dict[str, Any]:
            return await run.boot(at_once_max=_ADMITTED)

        async def told() -> dict[str, Any]:
            before = await run.sample()
            for number in range(changes):
                since = len(run.changes)
                await run.record()
                await change_rule(run, number)
                await run.settle(since)
            after = run.samples[-1]
            for name, used_s in after.cpu_s.items():
                kind = "hosts" if name.startswith("hosts-") else "region"
                cpu[kind] = cpu.get(kind, 0.0) + used_s - before.cpu_s.get(name, 0.0)
            return {"octets": after.received - before.received}

        await run.step("boot", boot)
        await run.step("told", told)

    plan = Plan(hosts=hosts, sizes=(max(hosts, PORTS_MIN),), density=1, sample=10)
    # Hosts hold the network on demand, or each would hold a neighbour for every host.
    facts = run_one(plan, work, lazy_above=500, deadline_s=900)
    told = facts["changes"]
    octets = next(phase["octets"] for phase in facts["phases"] if phase["name"] == "told")
    row: Row = {"hosts": hosts, "changes": changes}
    row |= {f"total {name} ms": told["total_ms"][name] for name in ("p50", "max")}
    row |= {
        f"{stage} p50 ms": told[f"{stage}_ms"]["p50"] for stage in ("call", "deliver", "spread", "install")
    }
    row |= {
        "octets per host": round(octets / changes / hosts),
        # With what idle hosts and the sampling cost meanwhile.
        "region cpu ms per host": round(cpu["region"] * 1_000 / changes / hosts, 3),
        "agent cpu ms": round(cpu["hosts"] * 1_000 / changes / hosts, 3),
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
