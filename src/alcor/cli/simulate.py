"""`alcor simulate`: a region under load, with thousands of hosts that are simulated, and a report."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.table import Table

from alcor.cli.client import FormatOption

SOUND, UNSOUND, COULD_NOT = 0, 1, 2
"""Exit statuses, for scripts."""
# The report has all of them.
_FINDINGS_PRINTED = 10


WorkloadArgument = Annotated[
    str, typer.Argument(help="churn, storm, vpc, mixed, loss or restart; `list` explains them.")
]
Hosts = Annotated[int, typer.Option("--hosts", min=1, help="Simulated hosts, each with a real agent.")]
Ports = Annotated[int, typer.Option("--ports", min=1, help="Ports that are there when hosts boot.")]
Networks = Annotated[
    int, typer.Option("--networks", min=1, help="Networks that share them evenly; not for vpc and mixed.")
]
Density = Annotated[int, typer.Option("--density", min=1, help="Ports of one network on one of its hosts.")]
Gateways = Annotated[
    int, typer.Option("--gateways", min=0, help="Gateway hosts among them, which relay large networks.")
]
Ncms = Annotated[int, typer.Option("--ncms", min=1, help="Processes where agents attach; >1 on PostgreSQL.")]
Dataplanes = Annotated[
    int, typer.Option("--dataplanes", min=1, help="Dataplane processes; >1 on PostgreSQL.")
]
Workers = Annotated[int, typer.Option("--workers", min=1, help="Processes that share the simulated hosts.")]
Database = Annotated[
    str, typer.Option("--database", help="sqlite, postgres (a server of its own), or postgresql://…, empty.")
]
FlowsOption = Annotated[
    str, typer.Option("--flows", help="Where flows are computed: all, sample (audited hosts) or none.")
]
Audited = Annotated[int, typer.Option("--sample", min=0, help="Hosts that are audited at the end.")]
Duration = Annotated[float, typer.Option("--duration", min=0, help="Seconds of churn.")]
Rate = Annotated[float, typer.Option("--rate", min=0.1, help="Changes a second of the churn.")]
Share = Annotated[float, typer.Option("--share", help="With loss: the share of hosts that die.")]
Seed = Annotated[int, typer.Option("--seed", help="The same seed does the same again.")]
Deadline = Annotated[
    float, typer.Option("--deadline", min=1, help="Seconds within which hosts must have everything.")
]
Lazy = Annotated[
    int,
    typer.Option("--lazy-above", min=0, help="Hosts hold networks of more ports on demand; 0: always whole."),
]
Load = Annotated[str, typer.Option("--load", help="How ports are loaded: direct (into the store) or api.")]
Report = Annotated[
    Path | None, typer.Option("--report", help="Folder for report.html, report.json and plots.")
]
Api = Annotated[
    str, typer.Option("--api", help="URL of a region that runs already, instead of a throw-away one.")
]
Token = Annotated[
    str, typer.Option("--token", envvar="ALCOR_TOKEN", help="With --api: an administrator's token.")
]
NcmAt = Annotated[
    list[str] | None, typer.Option("--ncm", help="With --api: address:port for agents; repeatable.")
]
Rows = Annotated[str | None, typer.Option("--rows", help="With --api: its PostgreSQL's URL, for the audit.")]


def simulate(
    workload: WorkloadArgument = "churn",
    hosts: Hosts = 500,
    ports: Ports = 10_000,
    networks: Networks = 100,
    density: Density = 10,
    gateways: Gateways = 0,
    ncms: Ncms = 1,
    dataplanes: Dataplanes = 1,
    workers: Workers = 2,
    database: Database = "sqlite",
    flows: FlowsOption = "all",
    sample: Audited = 20,
    duration: Duration = 20.0,
    rate: Rate = 20.0,
    share: Share = 0.3,
    seed: Seed = 1,
    deadline: Deadline = 120.0,
    lazy_above: Lazy = 2_000,
    load: Load = "direct",
    report: Report = None,
    api: Api = "",
    token: Token = "",
    ncm: NcmAt = None,
    rows: Rows = None,
    format: FormatOption = "table",
) -> None:
    """Load a region, let simulated hosts attach, put it under load, and judge it.

    Agents and streams are the real ones; switches count what they are told. Exit status: 0 all hosts have everything
    and the audit found nothing; 1 not so; 2 it could not be tried.
    """
    if workload == "list":
        _print_workloads()
        return

    def wish() -> Any:
        from alcor.lab.simulate.main import Wish
        from alcor.lab.simulate.plan import Plan

        chosen = _workload(workload)
        sizes = chosen.sizes(ports, networks)
        kind = _flows(flows)
        plan = Plan(hosts, sizes, kind, sample, seed, duration, rate, share, density, gateways=gateways)
        direct = _is_direct(load, api)
        count, attach = min(workers, hosts), tuple(ncm or ())
        return Wish(
            *(chosen, plan, count, ncms, dataplanes, database, direct, deadline),
            *(report, api, token, attach, rows, lazy_above),
        )

    _carry_out(wish, as_json=format == "json")


def _carry_out(wish: Callable[[], Any], *, as_json: bool) -> NoReturn:
    from alcor.lab.command import LabError
    from alcor.lab.simulate.main import run_to_end

    console = Console(stderr=as_json, highlight=False, soft_wrap=True)
    try:
        outcome = run_to_end(wish(), console, quiet=as_json)
    except LabError as error:
        Console(stderr=True, highlight=False, soft_wrap=True).print(f"alcor: {error}", markup=False)
        raise typer.Exit(COULD_NOT) from None
    if as_json:
        from alcor.cli.client import print_json

        print_json(outcome.facts)
    else:
        _print(console, outcome.facts, outcome.written)
    raise typer.Exit(SOUND if outcome.is_sound else UNSOUND)


def _workload(name: str) -> Any:
    from alcor.lab.command import LabError
    from alcor.lab.simulate.workload import WORKLOADS

    if name not in WORKLOADS:
        raise LabError(f"'{name}': a workload is one of {', '.join(WORKLOADS)}; see `alcor simulate list`")
    return WORKLOADS[name]


def _flows(name: str) -> Any:
    from alcor.lab.command import LabError
    from alcor.lab.simulate.plan import Flows

    if name not in tuple(Flows):
        raise LabError(f"--flows {name}: one of {', '.join(Flows)}")
    return Flows(name)


def _is_direct(load: str, api: str) -> bool:
    from alcor.lab.command import LabError

    if load not in ("direct", "api"):
        raise LabError(f"--load {load}: direct, or api")
    # The store of a region that runs is its own.
    return load == "direct" and not api


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
    for finding in facts["findings"][:_FINDINGS_PRINTED]:
        console.print(f"finding: {finding}", markup=False)
    for path in written:
        console.print(f"wrote {path}", markup=False)


def _figures(figures: dict[str, Any]) -> str:
    def one(value: Any) -> str:
        if isinstance(value, dict):
            return f"({_figures(value)})"
        return f"{value:,}" if isinstance(value, int | float) else str(value)

    return ", ".join(f"{name} {one(value)}" for name, value in figures.items())
