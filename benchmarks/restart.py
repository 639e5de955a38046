"""A dataplane and an ncm with many ports are killed and started again: how long until they do their work, and memory.

Roles apart on PostgreSQL, VPCs of 100,000 ports held on demand; a port is created while the process is away (on SQLite,
where all is one process, as soon as it is back). Claims:
seconds from the start of the process until it serves, until the host of the new port has the step that tells of it (a
dataplane's first; after an ncm's start it may come with a snapshot), until the first host and until all have confirmed
the head; items and octets that agents were sent; processor seconds of the restarted one until then; memory of every
process, and the highest of the restarted one. With several dataplanes one that holds shards is killed, and the time is
that from the kill: another one takes over, and it is started only when all hosts have the head.

    python -m benchmarks.restart [--hosts N] [--ports N] [--vpc N] [--local N] [--ncms N] [--dataplanes N]
        [--database NAME] [--name NAME]
"""

import argparse
import asyncio
import os
import time
from pathlib import Path
from typing import Any

from alcor.lab.simulate.load import port_body
from alcor.lab.simulate.plan import Flows, Plan, even
from alcor.lab.simulate.run import Change, Run
from benchmarks.measure import load_average, report
from benchmarks.simulated import MIB, Row, run_one

LAZY_ABOVE = 1_000
_ADMITTED = 200
_SILENT = 10
# What `Run.converge` waits to see that nothing moves any more.
_QUIET_S = 0.4


async def restart(run: Run, name: str, *, has_heir: bool = False) -> Row:
    """kill -9 of one process, a port more, the process again; `has_heir`: another one does its work meanwhile."""
    process = run.region.processes[name]
    since, before = len(run.changes), await run.sample()
    await run.record()
    killed = time.monotonic()
    await asyncio.to_thread(process.kill)
    change = await _create(run) if name != "region" else None
    began = killed if has_heir else time.monotonic()
    if not has_heir:
        await asyncio.to_thread(process.start)
    served = time.monotonic()
    if change is None:
        run.http.base_url = run.region.endpoint = str(process.facts["endpoint"])
        change = await _create(run)
    await run.settle(since)
    ended, after = time.monotonic(), run.samples[-1]
    if has_heir:
        await asyncio.to_thread(process.start)
        await run.converge()
    told = change.told
    looks = (
        look.at_s + run.began - began for look in run.samples if look.head == after.head and look.confirmed
    )
    return {
        "restarted": name,
        "hosts": run.plan.hosts,
        "ports": run.plan.ports,
        "dataplanes": sum(each.startswith("dataplane") for each in run.region.processes),
        "serves after s": round(served - began, 2) if not has_heir else "",
        "first step after s": round(told.first_s - began, 2) if told is not None else "",
        "first host has the head after s": round(min(look for look in looks if look > 0), 2),
        "all have the head after s": round(ended - began - _QUIET_S, 2),
        "items sent": after.items - before.items,
        "octets sent": after.received - before.received,
        "its processor s": _processor_s(process.pid),
        "its MiB": after.rss.get(name, 0) // MIB,
        "its highest MiB": _highest(process.pid) // MIB,
        **{f"{each} MiB": octets // MIB for each, octets in sorted(after.rss.items())},
    }


async def _create(run: Run) -> Change:
    """A port on the first network. Its own host is told of it, whoever holds the network on demand."""
    network = run.networks[0]
    body = port_body(network, run.loaded, run.plan, run.random.randrange(len(network.hosts)))
    began = time.monotonic()
    made = await run.call("POST", "/v2.0/ports", {"port": body})
    change = Change("create", ("local_port", made["port"]["id"], False), began, time.monotonic())
    run.loaded.ports[network.number].append(made["port"]["id"])
    run.changes.append(change)
    return change


def _processor_s(pid: int) -> float:
    """What a process has used of all processors so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return round((int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"), 2)


def _highest(pid: int) -> int:
    """The most memory a process has had, in octets."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM:"))


def measure(
    hosts: int, ports: int, vpc: int, local: int, ncms: int, dataplanes: int, database: str
) -> list[Row]:
    """One region, one process after the other."""
    rows: list[Row] = []

    async def again(run: Run, name: str) -> dict[str, Any]:
        rows.append(await restart(run, name, has_heir=dataplanes > 1 and name.startswith("dataplane")))
        return dict(rows[-1])

    async def work(run: Run) -> None:
        await run.step("boot", lambda: run.boot(at_once_max=_ADMITTED))
        dataplane = "dataplane" if dataplanes == 1 else "dataplane-1"
        for name in (dataplane, "ncm-1") if database == "postgres" else ("region",):
            await run.step(f"restart {name}", lambda name=name: again(run, name))  # type: ignore[misc]  # mypy sees no type for the default

    # What hosts compute of their ports is not asked for here.
    sizes = even(ports, max(1, ports // vpc))
    plan = Plan(
        hosts=hosts,
        sizes=sizes,
        density=local or 1,
        silent=_SILENT if local else 0,
        sample=3,
        flows=Flows.NONE,
    )
    run_one(
        plan,
        work,
        database=database,
        ncms=ncms,
        dataplanes=dataplanes,
        lazy_above=LAZY_ABOVE,
        deadline_s=300,
    )
    return rows


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--hosts", type=int, default=100)
    parser.add_argument("--ports", type=int, default=100_000)
    parser.add_argument("--vpc", type=int, default=100_000, help="ports of one VPC")
    parser.add_argument(
        "--local", type=int, default=0, help="of a VPC on each host; 0: all are on these hosts"
    )
    parser.add_argument("--database", default="postgres", choices=("postgres", "sqlite"))
    parser.add_argument("--ncms", type=int, default=1)
    parser.add_argument("--dataplanes", type=int, default=1)
    parser.add_argument("--name", default="restart", help="of the JSON file")
    chosen = parser.parse_args()
    before = load_average()
    rows = measure(
        chosen.hosts,
        chosen.ports,
        chosen.vpc,
        chosen.local,
        chosen.ncms,
        chosen.dataplanes,
        chosen.database,
    )
    report(chosen.name, rows, load_before=before)


if __name__ == "__main__":
    main()
