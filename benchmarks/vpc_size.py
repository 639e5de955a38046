"""A VPC of 10, 1,000, 100,000 and 1,000,000 ports: until a new port is reachable, octets, memory per process.

Claims: milliseconds from the API call until others reach the new port (whole networks: the last host has it in its
switch; on demand, above 1,000 ports: ten hosts look it up at once, the last answer), octets received by all agents per
new port, and until all were in sync, memory of each of the region's processes and of a simulated host, ports loaded a
second. Roles apart on PostgreSQL, or with `--database sqlite` all of them in one process.

`--local 0`: all ports are on the simulated hosts, so each has more of them as the VPC grows. `--local 10`: each has ten
ports however large the VPC is, the rest is on ten hosts without agents: what of a host's memory grows with the VPC?

    python -m benchmarks.vpc_size [--hosts N] [--ports N …] [--local N] [--new N] [--audited N]
        [--database NAME] [--name NAME]
"""

import argparse
from functools import partial

from alcor.lab.simulate.plan import Flows, Plan
from alcor.lab.simulate.run import Run
from alcor.lab.simulate.workload import new_ports
from benchmarks.measure import load_average, report
from benchmarks.simulated import Row, memory, run_one

LAZY_ABOVE = 1_000
_ADMITTED = 200
_SILENT = 10


async def _work(run: Run, count: int) -> None:
    await run.step("boot", lambda: run.boot(at_once_max=_ADMITTED))
    await run.step("new ports", lambda: new_ports(run, count))


def measure(hosts: int, ports: int, local: int, count: int, audited: int, database: str) -> Row:
    """One size. `audited` 0: no host computes flows, and none is compared with intent."""
    # With hundreds of local ports each, hosts compute millions of flows, which real ones do on their own processors.
    flows = Flows.ALL if ports <= 10_000 else Flows.SAMPLE if audited else Flows.NONE
    silent = _SILENT if local else 0
    plan = Plan(hosts=hosts, sizes=(ports,), density=local or 1, silent=silent, sample=audited, flows=flows)
    work = partial(_work, count=count)
    facts = run_one(plan, work, database=database, lazy_above=LAZY_ABOVE, deadline_s=600)
    phases = {phase["name"]: phase for phase in facts["phases"]}
    new, boot = phases["new ports"], phases["boot"]
    with_ports = len(next(plan.networks()).hosts)
    return {
        "ports": ports,
        "hosts": hosts,
        "with ports": with_ports,
        "local ports": min(local, -(-ports // with_ports)) if local else -(-ports // with_ports),
        "flows": str(plan.flows),
        "on demand": str(new["on demand"]),
        **{f"reached {name} ms": new["reached_ms"][name] for name in ("p50", "p90", "p99", "max")},
        "octets per new port": new["octets per change"],
        "octets of boot": boot["octets"],
        "boot s": boot["all in sync after s"],
        "loaded per s": facts["loading"]["ports_per_s"],
        **memory(facts),
        "audited": facts["audit"]["hosts"],
    }


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--hosts", type=int, default=1_000)
    parser.add_argument("--ports", nargs="*", type=int, default=[10, 1_000, 100_000])
    parser.add_argument("--local", type=int, default=0, help="ports of each host; 0: all are on these hosts")
    parser.add_argument("--new", type=int, default=50, help="ports that come one after the other")
    parser.add_argument("--audited", type=int, default=3)
    parser.add_argument("--database", default="postgres", choices=("postgres", "sqlite"))
    parser.add_argument("--name", default="vpc_size", help="of the JSON file")
    chosen = parser.parse_args()
    before = load_average()
    rows = [
        measure(chosen.hosts, ports, chosen.local, chosen.new, chosen.audited, chosen.database)
        for ports in chosen.ports
    ]
    report(chosen.name, rows, load_before=before)


if __name__ == "__main__":
    main()
