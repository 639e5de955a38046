"""Networks and machines on a site of real switches."""

from typing import Any

from alcor.lab.site import Site
from alcor.lab.vm import Vm

ON_DEMAND = {"ALCOR_NCM__LAZY_ABOVE": "3", "ALCOR_NCM__LAZY_BELOW": "3", "ALCOR_DATAPLANE__RELAY_ABOVE": "1"}
"""Settings of a region whose networks of four ports and more are held on demand."""


def a_network(site: Site, name: str, cidr: str = "", **subnet: Any) -> dict[str, Any]:
    """A network, with a subnet if `cidr` is given."""
    network = site.client.create("v2.0/networks", "network", name=name)
    if cidr:
        a_subnet(site, network, cidr, **subnet)
    return network


def a_subnet(site: Site, network: dict[str, Any], cidr: str, **subnet: Any) -> dict[str, Any]:
    """A subnet of a network."""
    version = 6 if ":" in cidr else 4
    return site.client.create(
        "v2.0/subnets", "subnet", network_id=network["id"], cidr=cidr, ip_version=version, **subnet
    )


def a_vm(site: Site, name: str, host: str, network: dict[str, Any], **port: Any) -> tuple[Vm, dict[str, Any]]:
    """A machine on a host whose port is ACTIVE; it has no address yet (see `with_address`)."""
    made = site.client.create("v2.0/ports", "port", network_id=network["id"], name=name, **port)
    vm = site.boot(name, host, made)
    site.bind(made["id"], host)
    vm.up()
    return vm, made


def with_address(vm: Vm, port: dict[str, Any], prefix: int = 24) -> str:
    """Give the machine its port's first address by hand (DHCP has tests of its own); returns it."""
    address = str(port["fixed_ips"][0]["ip_address"])
    vm.execute(
        "ip", "addr", "add", f"{address}/{prefix}", "dev", "eth0", *(["nodad"] if ":" in address else [])
    )
    vm.execute("ip", "link", "set", "eth0", "mtu", "1450")
    return address
