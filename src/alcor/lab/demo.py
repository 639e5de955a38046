"""The demo: from nothing to six virtual machines on three hosts with real switches, routed, guarded and reached from
outside.

Everything it makes is written in a ledger first, and removed at the end or by the next run.
"""

import argparse
import signal
import socket
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from rich.console import Console

from alcor.lab import report
from alcor.lab.command import LabError, tail
from alcor.lab.host import missing_parts
from alcor.lab.ledger import Ledger
from alcor.lab.outside import create_external_network
from alcor.lab.plan import (
    HOSTS,
    PlannedVm,
    create_groups,
    create_networks,
    create_port,
    may_reach,
    planned_vms,
)
from alcor.lab.region import DEFAULT_AGENTS, DEFAULT_API, free_or_any
from alcor.lab.site import Site
from alcor.lab.tour import Tour, find_cause
from alcor.lab.vm import Vm

PREFIX = "alcor-"
# Only root's: what the ledger names is removed. On a disk and not in memory, or durable commits would look too fast.
FOLDER = Path("/var/lib/alcor-demo")


class Demo:
    """One run of the demo on real switches."""

    def __init__(self, console: Console, ledger: Ledger) -> None:
        self.console = console
        self.plan = planned_vms()
        self.site = Site(
            PREFIX, FOLDER, ledger, api=free_or_any(DEFAULT_API), agents=free_or_any(DEFAULT_AGENTS)
        )
        self.vms: dict[str, Vm] = {}
        self.public = ""
        """The floating IP."""
        self._began = time.monotonic()

    def step(self, text: str) -> None:
        """Say what happens now, and when."""
        self.console.print(f"[dim]{time.monotonic() - self._began:5.1f} s[/dim]  {text}")

    def run(self) -> bool:
        """Build everything and try every pair; returns whether all is as it must be."""
        self.step("Starting the region and three hosts, each with an Open vSwitch of its own …")
        self.site.start(HOSTS)
        self.step(f"Region at {self.site.region.endpoint}; registering the hosts and starting their agents …")
        self.site.register_hosts()
        self.step(
            "Creating networks, a router to the outside, security groups, six ports by the Networking API …"
        )
        client = self.site.client
        external = create_external_network(client)
        networks, groups = create_networks(client, external["id"]), create_groups(client)
        ports = [create_port(client, vm, networks, groups) for vm in self.plan]
        floating = client.create(
            "v2.0/floatingips",
            "floatingip",
            floating_network_id=external["id"],
            port_id=self.plan[0].port_id,
        )
        self.site.wait_for_agents()
        with ThreadPoolExecutor(2) as pool:
            machines = pool.map(lambda vm, port: self.site.boot(vm.name, vm.host, port), self.plan, ports)
            self.vms = {machine.name: machine for machine in machines}
        self.step("Binding each port to its host and waiting for the barrier of the host's switch …")
        for vm in self.plan:
            vm.realized_ms = self.site.bind(vm.port_id, vm.host)
        self.step("Getting addresses: DHCP with a real client (udhcpc), IPv6 by router advertisement …")
        with ThreadPoolExecutor(len(self.plan)) as pool:
            list(pool.map(self._address, self.plan))
        self.step("Pinging every pair, those that must and those that must not reach one another …")
        pairs = [(a, b) for a in self.plan for b in self.plan if a is not b]
        with ThreadPoolExecutor(10) as pool:
            results = list(pool.map(lambda pair: self._pair(*pair), pairs))
        self.step("Asking why (alcor trace), and looking at the edge: floating IP, names, metadata …")
        causes = [
            find_cause(client, pair.source, pair.target, actual=True) for pair in results if not pair.expected
        ]
        tour = Tour(self.site, self.vms, {vm.name: vm for vm in self.plan}, floating)
        self.public, sights = tour.public, tour.sights()
        self.step("Done.")
        return report.print_result(self.console, self.plan, results, causes, sights, simulated=False)

    def _address(self, vm: PlannedVm) -> None:
        machine = self.vms[vm.name]
        machine.up()
        machine.dhcp()
        wanted = {vm.ip, vm.ip6}
        self.site.wait(f"{vm.name}'s addresses {vm.ip} {vm.ip6}", lambda: wanted <= {*machine.addresses()})

    def _pair(self, source: PlannedVm, target: PlannedVm) -> report.Pair:
        machine = self.vms[source.name]
        expected = may_reach(source, target)
        # A pair that must not reach one another is given one answerless second per address family.
        count = 3 if expected else 1
        four, six = (machine.ping(address, count=count) for address in (target.ip, target.ip6))
        return report.Pair(source, target, expected, four, six)


def main() -> int:
    """Run the demo; returns the exit status."""
    parser = argparse.ArgumentParser(prog="bin/demo", description=__doc__)
    parser.add_argument("--check", action="store_true", help="run, clean up, exit 0 or 1 (2: simulated only)")
    parser.add_argument("--simulated", action="store_true", help="use the pure-Python switch in any case")
    arguments = parser.parse_args()
    # Into a file or a pipe nothing is cut: the tables are 110 columns wide.
    console = Console(
        highlight=False, emoji=False, soft_wrap=True, width=None if sys.stdout.isatty() else 120
    )
    reason = "it was asked for" if arguments.simulated else missing_parts()
    if reason:
        from alcor.lab.simulated_demo import run_simulated

        console.print(
            f"Real switches cannot be used: {reason}. The same plan follows on the simulated switch."
        )
        works = run_simulated(console)
        return 2 if works else 1
    # An abstract address is held as long as the process lives, and leaves nothing behind.
    mutex = socket.socket(socket.AF_UNIX)
    try:
        mutex.bind("\0alcor-demo")
    except OSError:
        console.print("Another demo is running on this machine; stop it first (Ctrl-C in its terminal).")
        return 1
    ledger = Ledger(FOLDER)
    if swept := ledger.sweep():
        console.print(f"Removed {swept} things that an earlier run left behind.")
    ledger.add("folder", str(FOLDER))
    # Ctrl-C too: whoever starts the demo in the background leaves it with that signal ignored.
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, _interrupt)
    demo = None
    try:
        demo = Demo(console, ledger)
        works = demo.run()
        if not arguments.check:
            report.print_explore(console, demo.site, demo.plan, demo.public)
            signal.pause()
    except LabError as error:
        console.print("[red]The demo failed:[/red]", end=" ")
        console.print(str(error), markup=False)
        _print_logs(console)
        works = False
    except KeyboardInterrupt:
        console.print("\nCleaning up …")
    finally:
        # A second Ctrl-C must not leave half of it behind; the ledger would serve the next run anyway.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        if demo is not None:
            demo.site.close()
        ledger.sweep()
    return 0 if works else 1


def _print_logs(console: Console) -> None:
    """The end of each part's log: the folder is about to be removed."""
    for log in (FOLDER / "region.log", *sorted((FOLDER / "hosts").glob("*/agent.log"))):
        if text := tail(log):
            console.print(f"[bold]{log.relative_to(FOLDER)}[/bold]")
            console.print(text, markup=False)


def _interrupt(_signal: int, _frame: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
