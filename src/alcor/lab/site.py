"""A region with hosts, as demo, tests and benchmarks use it: real switches, everything through the public API."""

import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, TypeVar

from alcor.lab.command import LabError
from alcor.lab.host import PHYSICAL_NETWORK, PROVIDER_BRIDGE, LabHost, Underlay, missing_parts
from alcor.lab.ledger import Ledger
from alcor.lab.moving import MovingVm
from alcor.lab.outside import Outside
from alcor.lab.region import Client, RegionProcess
from alcor.lab.vm import Vm

# Real switches and clients on a machine many times as busy as its processors; what takes longer is broken.
PATIENCE_S = 60.0


class Site:
    """A region and its hosts. `prefix` starts the names of all namespaces, so that sites stand side by side."""

    def __init__(
        self,
        prefix: str,
        folder: Path,
        ledger: Ledger,
        *,
        api: str = "",
        agents: str = "",
        gateways: Sequence[str] = (),
        settings: Mapping[str, str] | None = None,
    ) -> None:
        """`settings`: what the environment of the region and of its agents says besides ours.

        `gateways`: names of the hosts that may serve routers' gateways; all, if it is empty.
        """
        self.prefix = prefix
        self.folder = folder
        self.settings = dict(settings or {})
        self.region = RegionProcess(folder, ledger, api=api, agents=agents, settings=self.settings)
        self.hosts: dict[str, LabHost] = {}
        self.outside: Outside | None = None
        self.gateways = gateways
        self.host_ids: dict[str, str] = {}
        self._client: Client | None = None
        self._tokens: dict[str, str] = {}
        self._ledger = ledger

    def start(self, host_names: Sequence[str]) -> None:
        """Start the region and, meanwhile, the hosts' switches."""
        self.region.start()
        underlay = Underlay(self.prefix, self._ledger)
        self.outside = Outside(self.prefix, underlay, self._ledger)
        self.gateways = self.gateways or host_names
        self.hosts = {
            name: LabHost(self.prefix, name, number, self.folder / "hosts", self._ledger)
            for number, name in enumerate(host_names, start=1)
        }
        with ThreadPoolExecutor(len(self.hosts)) as pool:
            list(pool.map(lambda host: host.create(underlay), self.hosts.values()))
        self.region.ready()

    @property
    def client(self) -> Client:
        """A client of the region as it runs now."""
        if self._client is None:
            self._client = self.region.client()
        return self._client

    def close(self) -> None:
        """Let go of the client's connections; the ledger removes everything else."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def register_hosts(self) -> None:
        """Register every host and start its agent with the token of the answer."""
        for host in self.hosts.values():
            made = self.client.create(
                "hosts",
                "host",
                name=host.name,
                vtep_addresses=[host.vtep],
                bridge_mappings={PHYSICAL_NETWORK: PROVIDER_BRIDGE},
                gateway=host.name in self.gateways,
            )
            self.host_ids[host.name], self._tokens[host.name] = made["id"], made["token"]
            self.start_agent(host.name)

    def start_agent(self, host: str) -> None:
        """Start (again) the agent of a host."""
        token, ncm = self._tokens.get(host, ""), self.region.agents_socket
        self.hosts[host].start_agent(self.host_ids[host], token, ncm, environment=self.settings)

    def restart_region(self) -> None:
        """Start the region again on its data, after `region.kill` or `region.stop`."""
        self.close()
        self.region.start()
        self.region.ready()

    def repair(self) -> None:
        """Start again whatever does not run (region, switches, agents); costs nothing if all of it does."""
        dead = [(host, part) for host in self.hosts.values() for part in host.dead_parts()]
        if not self.region.is_running:
            (self.region.data / "region.json").unlink(missing_ok=True)
            self.restart_region()
        for host, part in dead:
            match part:
                case "ovsdb-server":
                    host.start_database()
                case "ovs-vswitchd":
                    host.start_switch()
                case _:
                    self.start_agent(host.name)
        if dead:
            self.wait_for_agents()

    def wait_for_agents(self) -> None:
        """Wait until every host is UP and has its integration bridge."""
        self.wait("every agent to attach", lambda: all(self._host_up(id) for id in self.host_ids.values()))
        self.wait("every integration bridge", lambda: all(host.has_bridge() for host in self.hosts.values()))

    def boot(self, name: str, host: str, port: dict[str, Any]) -> Vm:
        """Make a VM for a port and plug it, as Nova does; its interface is still down."""
        vm = Vm(self.prefix, name, self.hosts[host], self._ledger)
        vm.create(port["mac_address"])
        vm.plug(port["id"])
        return vm

    def boot_moving(self, name: str, host: str, port: dict[str, Any]) -> MovingVm:
        """As `boot`, of a VM that can move to another host while it runs."""
        vm = MovingVm(self.prefix, name, self.hosts[host], self._ledger)
        vm.create(port["mac_address"])
        vm.plug(port["id"])
        return vm

    def bind(self, port_id: str, host: str) -> float:
        """Bind a plugged port and wait until it is ACTIVE; returns ms from the API call to the host's barrier."""
        called_ms = time.time_ns() / 1e6
        self.client.update("v2.0/ports", "port", port_id, **{"binding:host_id": host})
        self.wait(f"port {port_id} to become ACTIVE", lambda: self.port_status(port_id) == "ACTIVE")
        health = self.client.show(f"hosts/{self.host_ids[host]}/health")["health"]
        seen = next(port for port in health["ports"] if port["port_id"] == port_id)
        return float(seen["realized_at_ms"]) - called_ms

    def port_status(self, port_id: str) -> str:
        """The status the API shows."""
        return str(self.client.show(f"v2.0/ports/{port_id}?fields=status")["port"]["status"])

    def wait(self, what: str, ready: Callable[[], bool], *, patience_s: float = PATIENCE_S) -> None:
        """Wait for an outside thing. Raises: LabError naming it, or the part of a host that ended meanwhile."""
        deadline = time.monotonic() + patience_s
        while not ready():
            for host in self.hosts.values():
                if failed := host.failed_part():
                    raise LabError(failed)
            if time.monotonic() > deadline:
                raise LabError(f"waited {patience_s:.0f} s in vain for {what}; the logs are in {self.folder}")
            time.sleep(0.01)

    def _host_up(self, host_id: str) -> bool:
        return bool(self.client.show(f"hosts/{host_id}")["host"]["status"] == "UP")


SiteT = TypeVar("SiteT", bound=Site)


@contextmanager
def running(
    kind: type[SiteT],
    folder: Path,
    *hosts: str,
    gateways: Sequence[str] = (),
    settings: Mapping[str, str] | None = None,
) -> Iterator[SiteT]:
    """A region and hosts with their agents attached; everything is removed at the end, whatever happens.

    gateways, settings: as `Site` says.

    Raises: LabError if real switches cannot run here.
    """
    if reason := missing_parts():
        raise LabError(f"real switches are needed and cannot run here: {reason}")
    ledger = Ledger(folder)
    site = kind(f"t{secrets.token_hex(2)}-", folder, ledger, gateways=gateways, settings=settings)
    try:
        site.start(hosts)
        site.register_hosts()
        site.wait_for_agents()
        yield site
    finally:
        site.close()
        ledger.sweep()


def running_site(folder: Path, *hosts: str) -> AbstractContextManager[Site]:
    """`running` of a plain site."""
    return running(Site, folder, *hosts)
