"""What the demo builds: three hosts, two networks, six virtual machines, and who may reach whom.

Both variants of the demo, on real switches and simulated, follow the same plan through the same API calls.
"""

from dataclasses import dataclass
from typing import Any

from alcor.lab.region import Client

HOSTS = ("host-1", "host-2", "host-3")


@dataclass(frozen=True, slots=True)
class PlannedNetwork:
    """A network with an IPv4 and an IPv6 subnet."""

    name: str
    cidr: str
    cidr6: str


NETWORKS = (
    PlannedNetwork("red", "10.10.0.0/24", "fd00:10::/64"),
    PlannedNetwork("blue", "10.20.0.0/24", "fd00:20::/64"),
)


@dataclass(slots=True)
class PlannedVm:
    """A virtual machine and, once made, its port. `realized_ms`: from the binding call to its host's barrier."""

    name: str
    network: str
    host: str
    port_id: str = ""
    mac: str = ""
    ip: str = ""
    ip6: str = ""
    realized_ms: float | None = None


def planned_vms() -> list[PlannedVm]:
    """red-1 … red-3 and blue-1 … blue-3, one of each on every host."""
    return [
        PlannedVm(f"{network.name}-{number}", network.name, host)
        for network in NETWORKS
        for number, host in enumerate(HOSTS, start=1)
    ]


def create_networks(client: Client) -> dict[str, str]:
    """Create networks and subnets; returns network name → id."""
    ids = {}
    for network in NETWORKS:
        made = client.create("v2.0/networks", "network", name=network.name)
        ids[network.name] = made["id"]
        subnet: dict[str, Any] = {"network_id": made["id"], "name": f"{network.name}-4"}
        client.create("v2.0/subnets", "subnet", **subnet, ip_version=4, cidr=network.cidr)
        subnet["name"] = f"{network.name}-6"
        client.create(
            "v2.0/subnets",
            "subnet",
            **subnet,
            ip_version=6,
            cidr=network.cidr6,
            ipv6_ra_mode="slaac",
            ipv6_address_mode="slaac",
        )
    return ids


def create_port(client: Client, vm: PlannedVm, network_id: str) -> dict[str, Any]:
    """Create the VM's port, not yet bound, note its addresses, and return it."""
    port = client.create(
        "v2.0/ports",
        "port",
        network_id=network_id,
        name=vm.name,
        device_owner="compute:demo",
        device_id=vm.name,
    )
    vm.port_id, vm.mac = port["id"], port["mac_address"]
    for fixed in port["fixed_ips"]:
        if ":" in fixed["ip_address"]:
            vm.ip6 = fixed["ip_address"]
        else:
            vm.ip = fixed["ip_address"]
    return port


def may_reach(source: PlannedVm, target: PlannedVm) -> bool:
    """Same network: yes, wherever the hosts. Different networks: never, as no router joins them."""
    return source.network == target.network
