"""A virtual machine of the laboratory that can move from host to host while it runs.

Its eth0 leads to a cable: a bridge in a namespace of its own, to which the interfaces plugged on the hosts lead too. As
many hosts may have one as stand by for it; the machine runs on the one that is joined to the bridge. So its memory, its
sockets and what its kernel knows of neighbours stay, as in a live migration, and the move itself is one moment.
"""

from alcor.lab.command import ip_batch, run
from alcor.lab.ledger import Ledger
from alcor.lab.vm import Host, Vm

_NAME_CHARACTERS_MAX = 15


class MovingVm(Vm):
    """A virtual machine; `host` is where it runs."""

    def __init__(self, prefix: str, name: str, host: Host, ledger: Ledger) -> None:
        super().__init__(prefix, name, host, ledger)
        self.cable = f"{prefix}{name}-cable"
        self._vifs: dict[str, str] = {}

    def create(self, mac: str) -> None:
        """Make the machine and its cable, plugged nowhere."""
        for namespace in (self.namespace, self.cable):
            self._ledger.add("namespace", namespace)
            run("ip", "netns", "add", namespace)
        # The cable says nothing itself.
        self._sysctl(self.cable, "net.ipv6.conf.all.disable_ipv6=1")
        self._sysctl(self.cable, "net.ipv6.conf.default.disable_ipv6=1")
        ip_batch(
            [
                "link add wire type bridge mcast_snooping 0",
                f"link add vm type veth peer name eth0 netns {self.namespace}",
                "link set vm master wire up",
                "link set wire up",
            ],
            self.cable,
        )
        ip_batch(["link set lo up", f"link set eth0 address {mac}"], self.namespace)
        run("ip", "netns", "exec", self.namespace, "ethtool", "-K", "eth0", "tx", "off")

    def plug(self, port_id: str) -> None:
        """Plug it where it runs, and run."""
        self.plug_on(self.host, port_id)
        self.run_on(self.host)

    def plug_on(self, host: Host, port_id: str) -> None:
        """Plug an interface for it on a host, on which it does not run yet."""
        vif = self._vifs[host.name] = host.next_vif()
        end = _end_of(host)
        ip_batch([f"link add {vif} type veth peer name {end} netns {self.cable}"], host.namespace)
        self._sysctl(host.namespace, f"net.ipv6.conf.{vif}.disable_ipv6=1")
        ip_batch([f"link set {vif} up"], host.namespace)
        ip_batch([f"link set {end} up"], self.cable)
        host.vsctl(
            *("--", "add-port", "br-int", vif),
            *("--", "set", "interface", vif, f"external_ids:iface-id={port_id}"),
        )

    def run_on(self, host: Host) -> None:
        """Pause where it runs and go on on another host, within a millisecond or two."""
        leave = [f"link set {_end_of(self.host)} nomaster"] if self.host is not host else []
        ip_batch([*leave, f"link set {_end_of(host)} master wire"], self.cable)
        self.host = host

    def unplug_on(self, host: Host) -> None:
        """Take its interface off a host."""
        vif = self._vifs.pop(host.name)
        host.vsctl("--", "--if-exists", "del-port", "br-int", vif)
        ip_batch([f"link del {vif}"], host.namespace)

    def unplug(self) -> None:
        """Take it off the host where it runs."""
        self.unplug_on(self.host)

    def heard_on(self, host: Host) -> int:
        """How many frames a host has delivered to the machine's interface there."""
        path = f"/sys/class/net/{_end_of(host)}/statistics/rx_packets"
        return int(run("ip", "netns", "exec", self.cable, "cat", path))


def _end_of(host: Host) -> str:
    return f"to-{host.name}"[:_NAME_CHARACTERS_MAX]
