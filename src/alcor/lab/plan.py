"""What the demo builds: three hosts, two networks and a router, six virtual machines, and who may reach whom.

Both variants of the demo, on real switches and simulated, follow the same plan through the same API calls.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from alcor.lab.region import Client

HOSTS = ("host-1", "host-2", "host-3")


@dataclass(frozen=True, slots=True)
class PlannedNetwork:
    """A network with an IPv4 and an IPv6 subnet; both gateways are the router's."""

    name: str
    cidr: str
    cidr6: str
    gateway: str
    gateway6: str


NETWORKS = (
    PlannedNetwork("red", "10.10.0.0/24", "fd00:10::/64", "10.10.0.1", "fd00:10::1"),
    PlannedNetwork("blue", "10.20.0.0/24", "fd00:20::/64", "10.20.0.1", "fd00:20::1"),
)


class PlannedGroup(StrEnum):
    """A security group. `web` and `guest` are open to pings; `db` answers `web` and `db` only."""

    WEB = "web"
    GUEST = "guest"
    DB = "db"


@dataclass(slots=True)
class PlannedVm:
    """A virtual machine and, once made, its port. `realized_ms`: from the binding call to its host's barrier."""

    name: str
    network: str
    host: str
    group: PlannedGroup
    port_id: str = ""
    mac: str = ""
    ip: str = ""
    ip6: str = ""
    realized_ms: float | None = None


def planned_vms() -> list[PlannedVm]:
    """red-1 … red-3 and blue-1 … blue-3, one of each on every host; the last of the red ones is a guest."""
    groups = {"red": [PlannedGroup.WEB] * 2 + [PlannedGroup.GUEST], "blue": [PlannedGroup.DB] * 3}
    return [
        PlannedVm(f"{network.name}-{number}", network.name, host, groups[network.name][number - 1])
        for network in NETWORKS
        for number, host in enumerate(HOSTS, start=1)
    ]


def create_networks(client: Client, external_id: str | None = None) -> dict[str, str]:
    """Create networks, subnets and the router between them; returns network name → id.

    `external_id`: the network the router has its gateway on.
    """
    ids, subnet_ids = {}, []
    for network in NETWORKS:
        made = client.create("v2.0/networks", "network", name=network.name)
        ids[network.name] = made["id"]
        subnet: dict[str, Any] = {"network_id": made["id"], "name": f"{network.name}-4"}
        four = client.create("v2.0/subnets", "subnet", **subnet, ip_version=4, cidr=network.cidr)
        subnet["name"] = f"{network.name}-6"
        six = client.create(
            "v2.0/subnets",
            "subnet",
            **subnet,
            ip_version=6,
            cidr=network.cidr6,
            ipv6_ra_mode="slaac",
            ipv6_address_mode="slaac",
        )
        subnet_ids += [four["id"], six["id"]]
    gateway = {"external_gateway_info": {"network_id": external_id}} if external_id else {}
    router = client.create("v2.0/routers", "router", name="backbone", **gateway)
    for subnet_id in subnet_ids:
        client.put(f"v2.0/routers/{router['id']}/add_router_interface", subnet_id=subnet_id)
    return ids


def create_groups(client: Client) -> dict[PlannedGroup, str]:
    """Create the security groups; returns their ids."""
    ids = {
        group: client.create("v2.0/security-groups", "security_group", name=group.value)["id"]
        for group in PlannedGroup
    }
    everybody: list[dict[str, Any]] = [{}]
    friends = [{"remote_group_id": ids[PlannedGroup.WEB]}, {"remote_group_id": ids[PlannedGroup.DB]}]
    for group, sources in (
        (PlannedGroup.WEB, everybody),
        (PlannedGroup.GUEST, everybody),
        (PlannedGroup.DB, friends),
    ):
        for source in sources:
            for ethertype, protocol in (("IPv4", "icmp"), ("IPv6", "ipv6-icmp")):
                client.create(
                    "v2.0/security-group-rules",
                    "security_group_rule",
                    security_group_id=ids[group],
                    direction="ingress",
                    ethertype=ethertype,
                    protocol=protocol,
                    **source,
                )
    return ids


def create_port(
    client: Client, vm: PlannedVm, networks: Mapping[str, str], groups: Mapping[PlannedGroup, str]
) -> dict[str, Any]:
    """Create the VM's port, not yet bound, note its addresses, and return it."""
    port = client.create(
        "v2.0/ports",
        "port",
        network_id=networks[vm.network],
        security_groups=[groups[vm.group]],
        name=vm.name,
        dns_name=vm.name,
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
    """The router joins the networks, so the target's group decides."""
    return target.group is not PlannedGroup.DB or source.group is not PlannedGroup.GUEST
