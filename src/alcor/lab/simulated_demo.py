"""The demo's plan on the pure-Python switch, for machines without root or Open vSwitch.

The region is real, so are the API calls, the delivery and the agents; only the switches are simulated. Frames are
executed, not timed: there are no round-trip times, and every line says *simulated*.
"""

import asyncio
import random
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from ipaddress import ip_network
from pathlib import Path

from rich.console import Console

from alcor import __version__
from alcor.agent.service import Agent
from alcor.agent.simulated import Fabric, SimulatedSwitch
from alcor.bus.codec import ProtobufCodec
from alcor.bus.grpc_client import GrpcConnector
from alcor.lab import report
from alcor.lab.command import LabError
from alcor.lab.ledger import Ledger
from alcor.lab.plan import (
    HOSTS,
    NETWORKS,
    PlannedVm,
    create_groups,
    create_networks,
    create_port,
    may_reach,
    planned_vms,
)
from alcor.lab.probe import End, Prober
from alcor.lab.region import Client, RegionProcess
from alcor.lab.tour import find_cause
from alcor.lab.vm import Ping
from alcor.telemetry.log import configure

# Documentation addresses: no packet ever leaves the process.
VTEPS = {name: f"192.0.2.{number}" for number, name in enumerate(HOSTS, start=1)}
PATIENCE_S = 20.0


def run_simulated(console: Console) -> bool:
    """Run the plan; returns whether every pair is as it must be."""
    configure("warning")
    with tempfile.TemporaryDirectory(prefix="alcor-demo-") as folder:
        ledger = Ledger(Path(folder))
        try:
            region = RegionProcess(Path(folder), ledger)
            region.start()
            region.ready()
            console.print(f"Region at {region.endpoint} (real); hosts' switches are simulated.")
            return asyncio.run(_run(console, region))
        except LabError as error:
            console.print(f"[red]The demo failed:[/red] {error}")
            return False
        finally:
            ledger.sweep()


async def _run(console: Console, region: RegionProcess) -> bool:
    plan = planned_vms()
    client = region.client()
    fabric = Fabric()
    ofports: dict[str, int] = {}
    async with AsyncExitStack() as stack:
        host_ids = {}
        for name in HOSTS:
            made = await asyncio.to_thread(
                client.create, "hosts", "host", name=name, vtep_addresses=[VTEPS[name]]
            )
            host_ids[name] = made["id"]
            switch = SimulatedSwitch(name)
            fabric.add(switch)
            await stack.enter_async_context(_agent(switch, made["id"], made["token"], region.agents_socket))
        networks = await asyncio.to_thread(create_networks, client)
        groups = await asyncio.to_thread(create_groups, client)
        for vm in plan:
            await asyncio.to_thread(create_port, client, vm, networks, groups)
            ofports[vm.name] = fabric.switches[vm.host].plug(vm.port_id)
            await _bind(client, vm)
        prober = Prober(fabric, {vm.mac: (vm.host, ofports[vm.name]) for vm in plan})
        results = [_pair(prober, a, b) for a in plan for b in plan if a is not b]
        causes = [
            await asyncio.to_thread(find_cause, client, pair.source, pair.target)
            for pair in results
            if not pair.expected
        ]
    return report.print_result(console, plan, results, causes, simulated=True)


@asynccontextmanager
async def _agent(switch: SimulatedSwitch, host_id: str, token: str, ncm: str) -> AsyncIterator[None]:
    agent = Agent(
        GrpcConnector(ncm),
        switch,
        ProtobufCodec(),
        host_id=host_id,
        token=lambda: token,
        version=__version__,
        now_ms=lambda: time.time_ns() / 1e6,
        random=random.random,
    )
    task = asyncio.create_task(agent.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _bind(client: Client, vm: PlannedVm) -> None:
    host = {"binding:host_id": vm.host}
    await asyncio.to_thread(lambda: client.update("v2.0/ports", "port", vm.port_id, **host))

    def is_active() -> bool:
        return bool(client.show(f"v2.0/ports/{vm.port_id}")["port"]["status"] == "ACTIVE")

    await _until(f"port {vm.name} to become ACTIVE", is_active)


async def _until(what: str, ready: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not await asyncio.to_thread(ready):
        if time.monotonic() > deadline:
            raise LabError(f"waited {PATIENCE_S:.0f} s in vain for {what}")
        await asyncio.sleep(0.01)


def _pair(prober: Prober, source: PlannedVm, target: PlannedVm) -> report.Pair:
    four, six = (
        Ping(1, int(prober.echo(a, b)), None) for a, b in zip(_ends(source), _ends(target), strict=True)
    )
    return report.Pair(source, target, may_reach(source, target), four, six)


def _ends(vm: PlannedVm) -> tuple[End, End]:
    network = next(each for each in NETWORKS if each.name == vm.network)
    return (
        End(vm.mac, vm.ip, ip_network(network.cidr), network.gateway),
        End(vm.mac, vm.ip6, ip_network(network.cidr6), network.gateway6),
    )
