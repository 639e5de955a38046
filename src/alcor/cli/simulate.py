"""`alcor simulate`: a region under load, with thousands of hosts that are simulated, and a report."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

SOUND, UNSOUND, COULD_NOT = 0, 1, 2
"""Exit statuses, for scripts."""


def simulate(
    workload: Annotated[
        str, typer.Argument(help="churn, storm, vpc, mixed, loss or restart; `list` explains them.")
    ] = "churn",
    hosts: Annotated[int, typer.Option("--hosts", help="Simulated hosts, each with a real agent.")] = 500,
    ports: Annotated[int, typer.Option("--ports", help="Ports that are there when hosts boot.")] = 10_000,
    networks: Annotated[
        int, typer.Option("--networks", help="Networks that share them evenly; not for vpc and mixed.")
    ] = 100,
    density: Annotated[int, typer.Option("--density", help="Ports of one network on one of its hosts.")] = 10,
    ncms: Annotated[int, typer.Option("--ncms", help="Processes where agents attach; >1 on PostgreSQL.")] = 1,
    dataplanes: Annotated[
        int, typer.Option("--dataplanes", help="Dataplane processes; >1 on PostgreSQL.")
    ] = 1,
    workers: Annotated[int, typer.Option("--workers", help="Processes that share the simulated hosts.")] = 2,
    database: Annotated[
        str,
        typer.Option("--database", help="sqlite, postgres (a server of its own), or postgresql://…, empty."),
    ] = "sqlite",
    flows: Annotated[
        str,
        typer.Option("--flows", help="Where flows are computed: all, sample (audited hosts) or none."),
    ] = "all",
    sample: Annotated[int, typer.Option("--sample", help="Hosts that are audited at the end.")] = 20,
    duration: Annotated[float, typer.Option("--duration", help="Seconds of churn.")] = 20.0,
    rate: Annotated[float, typer.Option("--rate", help="Changes a second of the churn.")] = 20.0,
    share: Annotated[float, typer.Option("--share", help="With loss: the share of hosts that die.")] = 0.3,
    seed: Annotated[int, typer.Option("--seed", help="The same seed does the same again.")] = 1,
    deadline: Annotated[
        float, typer.Option("--deadline", help="Seconds within which hosts must have everything.")
    ] = 120.0,
    load: Annotated[
        str, typer.Option("--load", help="How ports are loaded: direct (into the store) or api.")
    ] = "direct",
    report: Annotated[
        Path | None, typer.Option("--report", help="Folder for report.html, report.json and plots.")
    ] = None,
    api: Annotated[
        str, typer.Option("--api", help="URL of a region that runs already, instead of a throw-away one.")
    ] = "",
    token: Annotated[
        str, typer.Option("--token", envvar="ALCOR_TOKEN", help="With --api: an administrator's token.")
    ] = "",
    ncm: Annotated[
        list[str] | None, typer.Option("--ncm", help="With --api: address:port for agents; repeatable.")
    ] = None,
    rows: Annotated[
        str | None, typer.Option("--rows", help="With --api: its PostgreSQL's URL, for the audit.")
    ] = None,
    format: Annotated[
        str, typer.Option("--format", "-f", help="table, or json (report.json printed).")
    ] = "table",
) -> None:
    """Load a region, let simulated hosts attach, put it under load, and judge it.

    Agents and streams are the real ones; switches count what they are told. Exit status: 0 all hosts have everything
    and the audit found nothing; 1 not so; 2 it could not be tried.
    """
    from alcor.lab.command import LabError
    from alcor.lab.simulate.main import Wish, run_to_end
    from alcor.lab.simulate.plan import Flows, Plan
    from alcor.lab.simulate.workload import WORKLOADS

    if workload == "list":
        _print_workloads()
        return
    as_json = format == "json"
    console = Console(stderr=as_json, highlight=False, soft_wrap=True)
    try:
        if workload not in WORKLOADS:
            raise LabError(
                f"'{workload}': a workload is one of {', '.join(WORKLOADS)}; see `alcor simulate list`"
            )
        if flows not in tuple(Flows):
            raise LabError(f"--flows {flows}: one of {', '.join(Flows)}")
        if load not in ("direct", "api") or (load == "api" and not api and ports > 1_000_000):
            raise LabError(f"--load {load}: direct, or api (up to a million ports)")
        chosen = WORKLOADS[workload]
        plan = Plan(
            hosts=hosts,
            sizes=chosen.sizes(ports, networks),
            flows=Flows(flows),
            sample=sample,
            seed=seed,
            duration_s=duration,
            rate=rate,
            share=share,
            density=density,
        )
        wish = Wish(
            workload=chosen,
            plan=plan,
            workers=max(1, min(workers, hosts)),
            ncms=ncms,
            dataplanes=dataplanes,
            database=database,
            direct=load == "direct" and not api,
            deadline_s=deadline,
            report=report,
            endpoint=api,
            token=token,
            attach=tuple(ncm or ()),
            rows=rows,
        )
        outcome = run_to_end(wish, console, quiet=as_json)
    except LabError as error:
        Console(stderr=True, highlight=False, soft_wrap=True).print(f"alcor: {error}", markup=False)
        raise typer.Exit(COULD_NOT) from None
    if as_json:
        from alcor.cli.client import print_json

        print_json(outcome.facts)
    else:
        _print(console, outcome.facts, outcome.written)
    raise typer.Exit(SOUND if outcome.is_sound else UNSOUND)


def _print_workloads() -> None:
    from alcor.lab.simulate.workload import WORKLOADS

    table = Table("workload", "what happens", title="Workloads of `alcor simulate`", title_justify="left")
    for each in WORKLOADS.values():
        table.add_row(each.name, each.text)
    Console(highlight=False).print(table)


def _print(console: Console, facts: dict[str, Any], written: list[Path]) -> None:
    table = Table("what", "figures", title=f"{facts['workload']}: {facts['outcome']}", title_justify="left")
    plan = facts["plan"]
    table.add_row("plan", f"{plan['hosts']:,} hosts, {plan['ports']:,} ports, {plan['networks']:,} networks")
    table.add_row("flows", f"{facts['flows']:,}: {facts['flows_meaning']}")
    table.add_row(
        "loading", f"{facts['loading']['elapsed_s']:,} s, {facts['loading']['ports_per_s']:,} ports/s"
    )
    for phase in facts["phases"]:
        figures = {name: value for name, value in phase.items() if name not in ("name", "elapsed_s")}
        table.add_row(phase["name"], f"{phase['elapsed_s']:,} s; {_figures(figures)}")
    for name in ("total_ms", "call_ms", "deliver_ms", "spread_ms", "install_ms"):
        if facts["changes"].get(name):
            table.add_row(f"a change: {name}", _figures(facts["changes"][name]))
    table.add_row("memory, MiB", _figures({name: octets >> 20 for name, octets in facts["memory"].items()}))
    table.add_row("memory per host", f"{facts['memory_per_host'] / 1024:,.0f} KiB of workers' memory")
    table.add_row("processor, s", _figures(facts["cpu_s"]))
    console.print(table)
    for finding in facts["findings"]:
        console.print(f"finding: {finding}", markup=False)
    for path in written:
        console.print(f"wrote {path}", markup=False)


def _figures(figures: dict[str, Any]) -> str:
    def one(value: Any) -> str:
        if isinstance(value, dict):
            return f"({_figures(value)})"
        return f"{value:,}" if isinstance(value, int | float) else str(value)

    return ", ".join(f"{name} {one(value)}" for name, value in figures.items())
