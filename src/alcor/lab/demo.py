"""The demo: from nothing to six virtual machines that ping across three hosts with real switches.

Everything it makes is written in a ledger first, and removed at the end or by the next run.
"""

import argparse
import fcntl
import signal
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from rich.console import Console

from alcor.lab import report
from alcor.lab.command import LabError
from alcor.lab.host import LabHost, Underlay, missing_parts
from alcor.lab.ledger import Ledger
from alcor.lab.plan import HOSTS, PlannedVm, create_networks, create_port, may_reach, planned_vms
from alcor.lab.region import DEFAULT_AGENTS, DEFAULT_API, Client, RegionProcess, free_or_any
from alcor.lab.vm import Vm

PREFIX = "alcor-"
# Only root's: what the ledger names is removed. On a disk and not in memory, or durable commits would look too fast.
FOLDER = Path("/var/lib/alcor-demo")


class Demo:
    """One run of the demo on real switches."""

    def __init__(self, console: Console, folder: Path, ledger: Ledger) -> None:
        self.console = console
        self.plan = planned_vms()
        self.region = RegionProcess(
            folder, ledger, api=free_or_any(DEFAULT_API), agents=free_or_any(DEFAULT_AGENTS)
        )
        self.hosts = {
            name: LabHost(PREFIX, name, number, folder / "hosts", ledger)
            for number, name in enumerate(HOSTS, start=1)
        }
        self.vms = {vm.name: Vm(PREFIX, vm.name, self.hosts[vm.host], ledger) for vm in self.plan}
        self._ledger = ledger
        self._began = time.monotonic()

    def step(self, text: str) -> None:
        """Say what happens now, and when."""
        self.console.print(f"[dim]{time.monotonic() - self._began:5.1f} s[/dim]  {text}")

    def run(self) -> bool:
        """Build everything and try every pair; returns whether all is as it must be."""
        self.step("Starting the region and three hosts, each with an Open vSwitch of its own …")
        self.region.start()
        underlay = Underlay(PREFIX, self._ledger)
        with ThreadPoolExecutor(len(HOSTS)) as pool:
            list(pool.map(lambda host: host.create(underlay), self.hosts.values()))
        self.region.ready()
        client = self.region.client()
        self.step(f"Region at {self.region.endpoint}; registering the hosts and starting their agents …")
        host_ids = {}
        for host in self.hosts.values():
            made = client.create("hosts", "host", name=host.name, vtep_addresses=[host.vtep])
            host_ids[host.name] = made["id"]
            host.start_agent(made["id"], made["token"], self.region.agents_socket)
        self.step("Creating two networks and six ports through the Networking API …")
        networks = create_networks(client)
        for vm in self.plan:
            create_port(client, vm, networks[vm.network])
        self._wait("every agent", lambda: all(self._up(client, id) for id in host_ids.values()))
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(self._boot, self.plan))
        self.step("Binding each port to its host and waiting for the switch's barrier …")
        for vm in self.plan:
            self._bind(client, vm, host_ids[vm.host])
        self.step("Getting addresses: DHCP with a real client (udhcpc), IPv6 by router advertisement …")
        with ThreadPoolExecutor(len(self.plan)) as pool:
            list(pool.map(self._address, self.plan))
        self.step("Pinging every pair, those that must and those that must not reach one another …")
        pairs = [(a, b) for a in self.plan for b in self.plan if a is not b]
        with ThreadPoolExecutor(10) as pool:
            results = list(pool.map(lambda pair: self._pair(*pair), pairs))
        client.close()
        self.step("Done.")
        return report.print_result(self.console, self.plan, results, simulated=False)

    def _boot(self, vm: PlannedVm) -> None:
        self.vms[vm.name].create(vm.mac)
        self.vms[vm.name].plug(vm.port_id)

    def _bind(self, client: Client, vm: PlannedVm, host_id: str) -> None:
        called_ms = time.time_ns() / 1e6
        client.update("v2.0/ports", "port", vm.port_id, **{"binding:host_id": vm.host})
        path = f"hosts/{host_id}/health"

        def realized() -> bool:
            ports = client.show(path)["health"]["ports"]
            at = next((p["realized_at_ms"] for p in ports if p["port_id"] == vm.port_id), 0)
            vm.realized_ms = at - called_ms
            return at > called_ms and client.show(f"v2.0/ports/{vm.port_id}")["port"]["status"] == "ACTIVE"

        self._wait(f"port {vm.name} to become ACTIVE", realized)

    def _address(self, vm: PlannedVm) -> None:
        machine = self.vms[vm.name]
        machine.up()
        machine.dhcp()
        self._wait(
            f"{vm.name}'s addresses {vm.ip} {vm.ip6}", lambda: {vm.ip, vm.ip6} <= {*machine.addresses()}
        )

    def _pair(self, source: PlannedVm, target: PlannedVm) -> report.Pair:
        machine = self.vms[source.name]
        expected = may_reach(source, target)
        # A pair that must not reach one another is given one answerless second per address family.
        count = 3 if expected else 1
        four, six = (machine.ping(address, count=count) for address in (target.ip, target.ip6))
        return report.Pair(source, target, expected, four, six)

    def _up(self, client: Client, host_id: str) -> bool:
        return bool(client.show(f"hosts/{host_id}")["host"]["status"] == "UP")

    def _wait(self, what: str, ready: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 20
        while not ready():
            for host in self.hosts.values():
                if failed := host.failed_part():
                    raise LabError(failed)
            if time.monotonic() > deadline:
                raise LabError(f"waited 20 s in vain for {what}; the logs are in {self.region.log.parent}")
            time.sleep(0.02)


def main() -> int:
    """Run the demo; returns the exit status."""
    parser = argparse.ArgumentParser(prog="bin/demo", description=__doc__)
    parser.add_argument("--check", action="store_true", help="run, clean up, exit 0 or 1 (2: simulated only)")
    parser.add_argument("--simulated", action="store_true", help="use the pure-Python switch in any case")
    arguments = parser.parse_args()
    console = Console(highlight=False)
    reason = "it was asked for" if arguments.simulated else missing_parts()
    if reason:
        from alcor.lab.simulated_demo import run_simulated

        console.print(
            f"Real switches cannot be used: {reason}. The same plan follows on the simulated switch."
        )
        works = run_simulated(console)
        return 2 if works else 1
    lock = FOLDER.with_suffix(".lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        console.print("Another demo is running on this machine; stop it first (Ctrl-C in its terminal).")
        return 1
    ledger = Ledger(FOLDER)
    if swept := ledger.sweep():
        console.print(f"Removed {swept} things that an earlier run left behind.")
    ledger.add("folder", str(FOLDER))
    for name in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, _interrupt)
    try:
        demo = Demo(console, FOLDER, ledger)
        works = demo.run()
        if not arguments.check:
            report.print_explore(console, demo.region, demo.hosts, demo.plan, prefix=PREFIX)
            signal.pause()
    except LabError as error:
        console.print(f"[red]The demo failed:[/red] {error}", markup=True)
        works = False
    except KeyboardInterrupt:
        console.print("\nCleaning up …")
    finally:
        # A second Ctrl-C must not leave half of it behind; the ledger would serve the next run anyway.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        ledger.sweep()
    return 0 if works else 1


def _interrupt(_signal: int, _frame: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
