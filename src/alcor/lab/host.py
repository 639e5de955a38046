"""One host of the laboratory: a network namespace with an Open vSwitch of its own (userspace datapath).

The namespace has an uplink into the laboratory's underlay; `br-phy` carries the VTEP address; `br-int` is the
agent's. The harness is the switch's supervisor: ovsdb-server and ovs-vswitchd run as its children.
"""

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from alcor.agent.ovs.bridge import TUNNEL_SOURCE
from alcor.lab.command import LabError, ip_batch, run, start, tail, wait_until
from alcor.lab.ledger import Ledger

SCHEMA = Path("/usr/share/openvswitch/vswitch.ovsschema")
# Test network of RFC 2544: never in use on a real network, and only ever inside the laboratory's namespaces.
UNDERLAY = "198.18.0"
PHYSICAL_NETWORK, PROVIDER_BRIDGE = "physnet1", "br-ex"
"""The physical network of external and VLAN networks, and the bridge of each host that leads to it."""
OUTER = "outer0"
"""Its wires meet here, in the underlay's namespace."""
_BRIDGE = (("link add", " type bridge"), ("link set", " up"))


def missing_parts() -> str:
    """Why real switches cannot run here, in a sentence; empty if they can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    for program in ("ip", "ethtool", "ping", "ovsdb-server", "ovs-vswitchd", "ovs-vsctl", "busybox"):
        if shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin") is None:
            return f"{program} is not installed and could not be installed"
    if not SCHEMA.exists():
        return f"Open vSwitch's schema {SCHEMA} is not installed"
    # A name of its own: another process that looks at the same time must not take it away.
    name = f"alcor-probe-{os.getpid()}"
    probe = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True, check=False)
    subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)
    if probe.returncode != 0:
        return f"network namespaces are refused here ({probe.stderr.strip()})"
    return ""


class Underlay:
    """The laboratory's physical networks: two bridges in a namespace of its own, for tunnels and for the outside."""

    def __init__(self, prefix: str, ledger: Ledger) -> None:
        self.namespace = f"{prefix}underlay"
        ledger.add("namespace", self.namespace)
        run("ip", "netns", "add", self.namespace)
        bridges = [f"{word} {bridge}{rest}" for bridge in ("br0", OUTER) for word, rest in _BRIDGE]
        ip_batch(["link set lo up", *bridges], self.namespace)


class LabHost:
    """A host. `number` (1 … 250) gives its address on the underlay, unless `addresses` says others.

    `addresses`: of either family, each with its prefix length; the first is the VTEP.
    """

    def __init__(
        self,
        prefix: str,
        name: str,
        number: int,
        folder: Path,
        ledger: Ledger,
        *,
        addresses: Sequence[str] = (),
    ) -> None:
        self.name = name
        self.namespace = f"{prefix}{name}"
        self.addresses = tuple(addresses) or (f"{UNDERLAY}.{number}/24",)
        self.vtep = self.addresses[0].partition("/")[0]
        self.folder = folder / name
        self._ledger = ledger
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._begun: dict[str, None] = {}
        self._vif_next = 1
        self._has_underlay = False

    @property
    def bridge(self) -> str:
        """The integration bridge."""
        return "br-int"

    @property
    def run_folder(self) -> Path:
        """Where the switch's sockets are (OVS_RUNDIR)."""
        return self.folder / "run"

    @property
    def db_socket(self) -> Path:
        """The switch's database socket."""
        return self.run_folder / "db.sock"

    @property
    def status_socket(self) -> Path:
        """The agent's status socket."""
        return self.folder / "agent.sock"

    def log(self, part: str) -> Path:
        """The log file of a part: ovsdb-server, ovs-vswitchd or agent."""
        return self.folder / f"{part}.log"

    def create(self, underlay: Underlay, *, has_provider_bridge: bool = True) -> None:
        """Make the namespace, its uplink and its switch; and its way to the physical network, if it is to have one."""
        self._ledger.add("namespace", self.namespace)
        run("ip", "netns", "add", self.namespace)
        ip_batch(
            [
                "link set lo up",
                f"link add uplink type veth peer name {self.name} netns {underlay.namespace}",
                "link set uplink up",
            ],
            self.namespace,
        )
        ip_batch([f"link set {self.name} master br0 up"], underlay.namespace)
        self.run_folder.mkdir(parents=True)
        run("ovsdb-tool", "create", str(self.folder / "conf.db"), str(SCHEMA))
        self.start_database()
        self.vsctl("--no-wait", "init")
        self.vsctl("--no-wait", "set", "Open_vSwitch", ".", f"external_ids:{TUNNEL_SOURCE}=route")
        self.start_switch()
        self.vsctl(
            *("--", "add-br", "br-phy"),
            *("--", "set", "bridge", "br-phy", "datapath_type=netdev", "fail_mode=standalone"),
            *("--", "add-port", "br-phy", "uplink"),
        )
        if has_provider_bridge:
            self._join_outer(underlay)
        # Duplicate detection would leave an IPv6 address unusable for a second; the laboratory gives each out once.
        quick = {address: "nodad" if ":" in address else "" for address in self.addresses}
        ip_batch(
            [*(f"addr add {a} dev br-phy {quick[a]}" for a in self.addresses), "link set br-phy up"],
            self.namespace,
        )
        self._has_underlay = True
        self._route_tunnels()

    def _join_outer(self, underlay: Underlay) -> None:
        peer = f"{self.name}-o"
        ip_batch(
            [f"link add outer type veth peer name {peer} netns {underlay.namespace}", "link set outer up"],
            self.namespace,
        )
        ip_batch([f"link set {peer} master {OUTER} up"], underlay.namespace)
        self.vsctl(
            *("--", "add-br", PROVIDER_BRIDGE),
            *("--", "set", "bridge", PROVIDER_BRIDGE, "datapath_type=netdev", "fail_mode=standalone"),
            *("--", "add-port", PROVIDER_BRIDGE, "outer"),
        )

    def start_database(self) -> None:
        """Start ovsdb-server and wait for its socket."""
        self._start(
            "ovsdb-server",
            *("ovsdb-server", str(self.folder / "conf.db"), f"--remote=punix:{self.db_socket}"),
            # As Open vSwitch's own service is started: where else it listens, and as whom, stands in the database.
            "--remote=db:Open_vSwitch,Open_vSwitch,manager_options",
            "--private-key=db:Open_vSwitch,SSL,private_key",
            "--certificate=db:Open_vSwitch,SSL,certificate",
            "--ca-cert=db:Open_vSwitch,SSL,ca_cert",
            f"--unixctl={self.run_folder}/ovsdb-server.ctl",
        )
        wait_until(f"{self.name}'s ovsdb-server", lambda: is_served(self.db_socket))

    def start_switch(self) -> None:
        """Start ovs-vswitchd and wait until it answers. Its routes are told it, never read from the kernel: reading
        them anew at every plug would lose packets of others (docs/decisions/0033-routes-read-anew.md).
        """
        underlay = self.run_folder / "br-phy.mgmt"
        for path in (self._control, underlay):
            path.unlink(missing_ok=True)
        words = (f"unix:{self.db_socket}", f"--unixctl={self._control}", "--disable-system-route")
        self._start("ovs-vswitchd", "ovs-vswitchd", *words)
        wait_until(f"{self.name}'s ovs-vswitchd", lambda: is_served(self._control))
        if self._has_underlay:
            wait_until(f"{self.name}'s bridge br-phy", lambda: is_served(underlay))
            self._route_tunnels()

    @property
    def _control(self) -> Path:
        return self.run_folder / "ovs-vswitchd.ctl"

    def _route_tunnels(self) -> None:
        """Tell the switch where its tunnels go."""
        for address in self.addresses:
            wait_until(f"{self.name}'s route to {address}", partial(self._tells_route, address))

    def _tells_route(self, address: str) -> bool:
        """Whether the switch took a route; it does not before it has heard of the bridge's address."""
        try:
            run("ovs-appctl", "-t", str(self._control), "ovs/route/add", address, "br-phy")
        except LabError:
            return False
        return True

    def start_agent(
        self, host_id: str, token: str, ncm: str, *, environment: Mapping[str, str] | None = None
    ) -> None:
        """Start this host's alcor-agent with the proof the region gave it. `environment`: what else it is told."""
        token_file = self.folder / "agent.token"
        token_file.touch(mode=0o600)
        token_file.write_text(token)
        self._start(
            "agent",
            *(sys.executable, "-m", "alcor.cli.agent", "run"),
            *("--host-id", host_id, "--token-file", str(token_file), "--ncm", ncm),
            *("--ovsdb", str(self.db_socket), "--run-folder", str(self.run_folder)),
            *("--datapath-type", "netdev", "--status-socket", str(self.status_socket)),
            told=environment,
        )

    def pid(self, part: str) -> int:
        """The process id of a part that runs: ovsdb-server, ovs-vswitchd or agent."""
        return self._processes[part].pid

    def dead_parts(self) -> list[str]:
        """The parts that were started and do not run, in the order of their start."""
        alive = {part for part, process in self._processes.items() if process.poll() is None}
        return [part for part in self._begun if part not in alive]

    def kill(self, part: str) -> None:
        """kill -9 of a part, and wait until it is gone."""
        process = self._processes.pop(part)
        process.kill()
        process.wait()

    def stop(self, part: str) -> None:
        """Ask a part to end (SIGTERM), and wait until it has."""
        process = self._processes.pop(part)
        process.terminate()
        process.wait()

    def failed_part(self) -> str:
        """A sentence about a part that ended by itself, or nothing."""
        for part, process in self._processes.items():
            if process.poll() is not None:
                return f"{part} of {self.name} ended with {process.returncode}:\n{tail(self.log(part))}"
        return ""

    def next_vif(self) -> str:
        """A fresh interface name on this host."""
        self._vif_next += 1
        return f"vif{self._vif_next - 1}"

    def has_bridge(self) -> bool:
        """Whether the agent has made the integration bridge, and the switch serves it."""
        return (self.run_folder / "br-int.mgmt").exists()

    def vsctl(self, *arguments: str) -> str:
        """Run ovs-vsctl against this host's database."""
        return run("ovs-vsctl", f"--db=unix:{self.db_socket}", "--timeout=10", *arguments)

    def ofctl(self, *arguments: str) -> str:
        """Run ovs-ofctl against this host's bridge (for people and tests; the agent never does)."""
        return run("ovs-ofctl", "-O", "OpenFlow15", *arguments, env={"OVS_RUNDIR": str(self.run_folder)})

    def _start(self, part: str, *command: str, told: Mapping[str, str] | None = None) -> None:
        environment = {
            "OVS_RUNDIR": str(self.run_folder),
            "OVS_DBDIR": str(self.folder),
            "OVS_LOGDIR": str(self.folder),
            "OVS_SYSCONFDIR": str(self.folder),
            "ALCOR_BGP__RUN_FOLDER": str(self.folder / "bgp"),
            **(told or {}),
        }
        self.folder.mkdir(parents=True, exist_ok=True)
        process = start(
            self._ledger,
            *("ip", "netns", "exec", self.namespace, *command),
            log=self.log(part),
            env=environment,
        )
        self._processes[part] = process
        self._begun[part] = None
        if process.poll() is not None:
            raise LabError(f"{part} of {self.name} did not start:\n{tail(self.log(part))}")


def is_served(path: Path) -> bool:
    """Whether somebody takes connections at a socket: its file is there a moment before."""
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            # An address of a socket has at most 107 bytes; a folder of a test may be deeper.
            folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
            try:
                probe.connect(f"/proc/self/fd/{folder}/{path.name}")
            finally:
                os.close(folder)
        except OSError:
            return False
    return True
