"""One virtual machine of the laboratory: a network namespace whose eth0 is plugged into a host's switch."""

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import orjson

from alcor.lab.command import LabError, ip_batch, run, start
from alcor.lab.ledger import Ledger

# What udhcpc calls with what it learned: it sets address, MTU and routes of the VM and nothing of the machine.
LEASE_SCRIPT = Path(__file__).with_name("lease.sh")
_RTT = re.compile(r"= [\d.]+/([\d.]+)/")
_RECEIVED = re.compile(r"(\d+) received")


@dataclass(frozen=True, slots=True)
class Ping:
    """What a ping found. `rtt_ms`: average of the answered ones, None if none was."""

    sent: int
    received: int
    rtt_ms: float | None


def read_ping(text: str, sent: int) -> Ping:
    """What the program ping printed."""
    received = _RECEIVED.search(text)
    # No summary: the kernel had no route, so nothing was sent at all.
    answered = int(received.group(1)) if received else 0
    rtt = _RTT.search(text)
    return Ping(sent, answered, float(rtt.group(1)) if rtt and answered else None)


class Host(Protocol):
    """What a machine needs of the host it is on."""

    @property
    def name(self) -> str:
        """Its name in the region."""

    @property
    def namespace(self) -> str:
        """Where its switch's interfaces are."""

    @property
    def folder(self) -> Path:
        """Where what machines write may stand."""

    @property
    def bridge(self) -> str:
        """The integration bridge."""

    def next_vif(self) -> str:
        """A fresh interface name."""

    def vsctl(self, *arguments: str) -> str:
        """Run ovs-vsctl against its database. Raises: LabError."""


class Vm:
    """A virtual machine. Its interface is made with the port's MAC address, as a hypervisor does."""

    def __init__(self, prefix: str, name: str, host: Host, ledger: Ledger) -> None:
        self.name = name
        self.host = host
        self.namespace = f"{prefix}{name}"
        self._ledger = ledger
        self._vif = ""

    def create(self, mac: str) -> None:
        """Make the namespace and its eth0, not yet plugged."""
        self._ledger.add("namespace", self.namespace)
        run("ip", "netns", "add", self.namespace)
        self._vif = self.host.next_vif()
        ip_batch(
            [f"link add {self._vif} type veth peer name eth0 netns {self.namespace}"],
            self.host.namespace,
        )
        # The tap's own link-local address would become a tunnel listener (measured: dataplane design, gotcha 8).
        self._sysctl(self.host.namespace, f"net.ipv6.conf.{self._vif}.disable_ipv6=1")
        ip_batch([f"link set {self._vif} up"], self.host.namespace)
        ip_batch(["link set lo up", f"link set eth0 address {mac}"], self.namespace)
        # A veth leaves checksums to hardware that is not there: without this all TCP and UDP would fail silently.
        run("ip", "netns", "exec", self.namespace, "ethtool", "-K", "eth0", "tx", "off")

    def plug(self, port_id: str) -> None:
        """Plug eth0 into br-int the way Nova does: the interface names its port."""
        self.host.vsctl(
            *("--", "add-port", self.host.bridge, self._vif),
            *("--", "set", "interface", self._vif, f"external_ids:iface-id={port_id}"),
        )

    def plug_outside(self, bridge: str, tag: int = 0) -> None:
        """Plug eth0 into a provider bridge, into a VLAN of it if there is a tag: a machine outside of the region."""
        self.host.vsctl("--", "add-port", bridge, self._vif, *([f"tag={tag}"] if tag else []))

    def unplug(self) -> None:
        """Take eth0 out of its bridge."""
        self.host.vsctl("--", "--if-exists", "del-port", self._vif)

    def up(self) -> None:
        """Set eth0 up: from now on the VM speaks."""
        ip_batch(["link set eth0 up"], self.namespace)

    def dhcp(self, *, deadline_s: int = 10) -> None:
        """Get an IPv4 address with a real DHCP client. Raises: LabError with what the client said."""
        run(
            *("ip", "netns", "exec", self.namespace, "busybox", "udhcpc", "-i", "eth0"),
            *("-s", str(LEASE_SCRIPT), "-f", "-q", "-n", "-t", str(deadline_s * 2), "-T", "1", "-A", "1"),
            *("-O", "staticroutes", "-O", "mtu", "-O", "dns", "-O", "domain", "-O", "hostname"),
            deadline_s=deadline_s * 3,
            env={"ALCOR_LEASE": str(self._lease)},
        )

    def lease(self) -> dict[str, str]:
        """What `dhcp` learned, by the names udhcpc gives it, e.g. `dns`, `domain`, `router`."""
        pairs = (line.partition("=") for line in self._lease.read_text().splitlines())
        return {name: value for name, _, value in pairs}

    @property
    def _lease(self) -> Path:
        return self.host.folder / f"{self.name}.lease"

    def start_dhcp(self) -> subprocess.Popen[bytes]:
        """Start the DHCP client and leave it running: SIGUSR1 makes it renew its lease. Its words: `dhcp_log`."""
        return start(
            self._ledger,
            *("ip", "netns", "exec", self.namespace, "busybox", "udhcpc", "-i", "eth0", "-f"),
            *("-s", str(LEASE_SCRIPT), "-t", "20", "-T", "1", "-A", "1"),
            log=self.dhcp_log,
        )

    @property
    def dhcp_log(self) -> Path:
        """What the running DHCP client says."""
        return self.host.folder / f"{self.name}-dhcp.log"

    def addresses(self) -> list[str]:
        """The global addresses of eth0, IPv4 first."""
        text = run("ip", "-n", self.namespace, "-json", "addr", "show", "dev", "eth0", "scope", "global")
        found = [info for link in orjson.loads(text) for info in link.get("addr_info", [])]
        found = [info for info in found if "local" in info and not info.get("tentative", False)]
        return [info["local"] for info in sorted(found, key=lambda info: str(info["family"]))]

    def ping(self, address: str, *, count: int = 3, wait_s: float = 1.0, every_s: float = 0.2) -> Ping:
        """Ping an address from inside the VM."""
        done = subprocess.run(
            [
                *("ip", "netns", "exec", self.namespace, "ping", "-n", "-c", str(count)),
                *("-i", str(every_s), "-W", str(wait_s), address),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        return read_ping(done.stdout, count)

    def execute(self, *command: str, deadline_s: float = 30) -> str:
        """Run a program inside the VM."""
        return run("ip", "netns", "exec", self.namespace, *command, deadline_s=deadline_s)

    @staticmethod
    def _sysctl(namespace: str, setting: str) -> None:
        name, _, value = setting.partition("=")
        path = "/proc/sys/" + name.replace(".", "/")
        done = subprocess.run(
            ["ip", "netns", "exec", namespace, "sh", "-c", f"echo {value} > {path}"],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise LabError(f"{setting} in {namespace}: {done.stderr.strip()}")
