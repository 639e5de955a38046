"""What the demo prints: the machines, the reachability matrix, and how to look around."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from alcor.lab.plan import PlannedVm
from alcor.lab.site import Site
from alcor.lab.tour import METADATA, Cause, Sight
from alcor.lab.vm import Ping


@dataclass(frozen=True, slots=True)
class Pair:
    """One ordered pair of machines, tried over IPv4 and IPv6."""

    source: PlannedVm
    target: PlannedVm
    expected: bool
    four: Ping
    six: Ping

    @property
    def right(self) -> bool:
        """Whether it is as it must be: every ping answered, or none at all."""
        if self.expected:
            return self.four.received == self.four.sent and self.six.received == self.six.sent
        return self.four.received == 0 and self.six.received == 0


def print_result(
    console: Console,
    plan: Sequence[PlannedVm],
    pairs: Sequence[Pair],
    causes: Sequence[Cause],
    sights: Sequence[Sight] = (),
    *,
    simulated: bool,
) -> bool:
    """Print machines, matrix, causes and sights; returns whether all is as it must be."""
    mark = " (simulated)" if simulated else ""
    machines = Table(title=f"Virtual machines{mark}", title_justify="left")
    for column in ("VM", "host", "network", "group", "IPv4", "IPv6"):
        machines.add_column(column)
    machines.add_column("API call → barrier", justify="right")
    for vm in plan:
        delay = f"{vm.realized_ms:.1f} ms" if vm.realized_ms is not None and not simulated else "simulated"
        machines.add_row(vm.name, vm.host, vm.network, vm.group, vm.ip, vm.ip6, delay)
    console.print(machines)

    times = "" if simulated else ", IPv4 / IPv6 round trip in ms"
    matrix = Table(title=f"Reachability{times}{mark}", title_justify="left")
    matrix.add_column("from \\ to")
    for vm in plan:
        matrix.add_column(vm.name, justify="center")
    codes = {(cause.source, cause.target): cause.code for cause in causes}
    cells = {
        (pair.source.name, pair.target.name): _cell(
            pair, codes.get((pair.source.name, pair.target.name), ""), simulated=simulated
        )
        for pair in pairs
    }
    for source in plan:
        matrix.add_row(source.name, *(cells.get((source.name, target.name), "") for target in plan))
    console.print(matrix)

    _print_causes(console, causes)
    if sights:
        _print_sights(console, sights)

    wrong = [pair for pair in pairs if not pair.right]
    for pair in wrong:
        want = "must reach" if pair.expected else "must not reach"
        console.print(
            f"[red]✗[/red] {pair.source.name} {want} {pair.target.name}: "
            f"IPv4 {pair.four.received}/{pair.four.sent}, IPv6 {pair.six.received}/{pair.six.sent} answered{mark}"
        )
    reach = sum(pair.expected for pair in pairs)
    if not wrong:
        console.print(
            f"[green]✓[/green] {reach} pairs reach one another, {len(pairs) - reach} pairs do not: "
            f"all as it must be{mark}."
        )
    differs = [cause for cause in causes if cause.agrees is False]
    for cause in differs:
        console.print(
            f"[red]✗[/red] {cause.source} → {cause.target}: the switches differ from the trace{mark}"
        )
    return not wrong and not differs and all(sight.is_right for sight in sights)


def _print_causes(console: Console, causes: Sequence[Cause]) -> None:
    """Each cause once, in words, as `alcor trace` says it."""
    for code, text in sorted({(cause.code, cause.text) for cause in causes}):
        says = {cause.agrees for cause in causes if cause.code == code}
        same = " The switches, asked, do the same." if says == {True} else ""
        console.print(f"[bold]{code}[/bold]: {text}{same}")


def _print_sights(console: Console, sights: Sequence[Sight]) -> None:
    table = Table(title="Edge and services", title_justify="left")
    table.add_column("what")
    table.add_column("seen")
    table.add_column("ms", justify="right")
    for sight in sights:
        mark = "[green]✓[/green]" if sight.is_right else "[red]✗[/red]"
        table.add_row(f"{mark} {sight.what}", escape(sight.seen), f"{sight.elapsed_ms:,.0f}")
    console.print(table)


def _cell(pair: Pair, cause: str, *, simulated: bool) -> str:
    if not pair.right:
        return "[red]✗ wrong[/red]"
    if not pair.expected:
        return f"[dim]{cause or 'no'}[/dim]"
    if simulated:
        return "yes, simulated"
    return f"{pair.four.rtt_ms:.2f} / {pair.six.rtt_ms:.2f}"


def print_explore(console: Console, site: Site, plan: Sequence[PlannedVm], public: str) -> None:
    """Say how to look around in what stays up. `public`: the floating IP."""
    vm, other = plan[0], plan[1]
    host = site.hosts[vm.host]
    client = f"OS_CLIENT_CONFIG_FILE={site.region.data / 'clouds.yaml'} OS_CLOUD=alcor"
    console.print("\n[bold]It stays up until Ctrl-C.[/bold] Look around from another terminal:")
    for line in (
        f"ip netns exec {site.prefix}{vm.name} ping {other.ip}",
        f"ip netns exec {site.prefix}outside ping {public}",
        f"ip netns exec {site.prefix}{vm.name} curl http://{METADATA}/openstack/latest/meta_data.json",
        f".venv/bin/alcor trace --actual --data {site.region.data} red-3 blue-1",
        f".venv/bin/alcor selftest --data {site.region.data}",
        f"{client} openstack port list",
        f".venv/bin/alcor-agent status --status-socket {host.status_socket}",
        f"OVS_RUNDIR={host.run_folder} ovs-ofctl -O OpenFlow15 dump-flows br-int",
    ):
        console.print(f"  {line}", markup=False, soft_wrap=True)
    console.print(f"  API docs: {site.region.endpoint}/docs   logs: {site.folder}", soft_wrap=True)
