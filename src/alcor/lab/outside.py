"""The world outside the region: a machine on the physical network of external networks, router and client at once."""

import subprocess
from typing import Any

from alcor.lab.command import ip_batch, run
from alcor.lab.host import OUTER, PHYSICAL_NETWORK, Underlay
from alcor.lab.ledger import Ledger
from alcor.lab.region import Client
from alcor.lab.vm import Ping, read_ping

# Documentation networks (RFC 5737, RFC 3849): only ever inside the laboratory's namespaces.
CIDR, ADDRESS = "203.0.113.0/24", "203.0.113.1"
CIDR6, ADDRESS6 = "2001:db8:ffff::/64", "2001:db8:ffff::1"


class Outside:
    """A namespace with one interface: the gateway of external subnets."""

    def __init__(self, prefix: str, underlay: Underlay, ledger: Ledger) -> None:
        self.namespace = f"{prefix}outside"
        ledger.add("namespace", self.namespace)
        run("ip", "netns", "add", self.namespace)
        ip_batch(
            [
                "link set lo up",
                f"link add eth0 type veth peer name outside netns {underlay.namespace}",
                f"addr add {ADDRESS}/24 dev eth0",
                f"addr add {ADDRESS6}/64 dev eth0 nodad",
                "link set eth0 up",
            ],
            self.namespace,
        )
        ip_batch([f"link set outside master {OUTER} up"], underlay.namespace)
        # As in a VM: a veth leaves checksums to hardware that is not there.
        run("ip", "netns", "exec", self.namespace, "ethtool", "-K", "eth0", "tx", "off")

    def execute(self, *command: str, deadline_s: float = 30) -> str:
        """Run a program outside. Raises: LabError."""
        return run("ip", "netns", "exec", self.namespace, *command, deadline_s=deadline_s)

    def ping(self, address: str, *, count: int = 3) -> Ping:
        """Ping an address from outside."""
        words = ("ping", "-n", "-c", str(count), "-i", "0.2", "-W", "1", address)
        done = subprocess.run(
            ["ip", "netns", "exec", self.namespace, *words], capture_output=True, text=True, check=False
        )
        return read_ping(done.stdout, count)

    def reaches(self, address: str, *, count: int = 3) -> bool:
        """Whether an address answers every ping from outside."""
        return self.ping(address, count=count).received == count


def create_external_network(client: Client) -> dict[str, Any]:
    """Make the external network that leads outside: flat on the wire, its gateways are there."""
    network = client.create(
        "v2.0/networks",
        "network",
        name="internet",
        **{
            "router:external": True,
            "provider:network_type": "flat",
            "provider:physical_network": PHYSICAL_NETWORK,
        },
    )
    for cidr, gateway, version in ((CIDR, ADDRESS, 4), (CIDR6, ADDRESS6, 6)):
        client.create(
            "v2.0/subnets",
            "subnet",
            network_id=network["id"],
            cidr=cidr,
            ip_version=version,
            gateway_ip=gateway,
            enable_dhcp=False,
        )
    return network
