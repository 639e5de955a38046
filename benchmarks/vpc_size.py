"""A VPC of 10, 1,000 and 100,000 ports (1,000,000 with --ports): until a new port is reachable, octets, memory.

Claims: milliseconds from the API call until others reach the new port (whole networks: the last host has it in its
switch; on demand, above 1,000 ports: ten hosts look it up at once, the last answer), octets received by all agents per
new port, memory of the region's processes and of a simulated host, ports loaded a second.

    python -m benchmarks.vpc_size [--hosts N] [--ports N …]
"""

import argparse

from alcor.lab.simulate.plan import Flows, Plan
from alcor.lab.simulate.workload import WORKLOADS
from benchmarks.measure import load_average, report
from benchmarks.simulated import Row, memory, run_one

LAZY_ABOVE = 1_000


def measure(hosts: int, ports: int) -> Row:
    """One size."""
    # With hundreds of local ports each, hosts compute millions of flows, which real ones do on their own processors.
    flows = Flows.ALL if ports <= 10_000 else Flows.SAMPLE
    plan = Plan(hosts=hosts, sizes=(ports,), density=1, sample=3, flows=flows)
    facts = run_one(plan, WORKLOADS["vpc"].run, lazy_above=LAZY_ABOVE, deadline_s=600)
    phases = {phase["name"]: phase for phase in facts["phases"]}
    new = phases["new ports"]
    return {
        "ports": ports,
        "hosts": hosts,
        "flows": str(plan.flows),
        "on demand": str(new["on demand"]),
        **{f"reached {name} ms": new["reached_ms"][name] for name in ("p50", "p90", "max")},
        "octets per new port": new["octets per change"],
        "boot s": phases["boot"]["all in sync after s"],
        "loaded per s": facts["loading"]["ports_per_s"],
        **memory(facts),
    }


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--hosts", type=int, default=200)
    parser.add_argument("--ports", nargs="*", type=int, default=[10, 1_000, 100_000])
    chosen = parser.parse_args()
    before = load_average()
    rows = [measure(chosen.hosts, ports) for ports in chosen.ports]
    report("vpc_size", rows, load_before=before)


if __name__ == "__main__":
    main()
