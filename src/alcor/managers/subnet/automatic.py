"""Ports of a network follow its SLAAC subnets: a subnet that comes gives each port an address, one that goes takes it.

Both read all ports concerned at once; no other rule of a subnet costs more than the subnet.
"""

from msgspec.structs import replace

from alcor.managers.private_ip.allocation import space_of, take_automatic
from alcor.model.address import Mac
from alcor.model.port import FixedIp, Port
from alcor.model.subnet import Subnet
from alcor.store.interface import Condition, Query, Transaction


async def add_to_ports(tx: Transaction, subnet: Subnet) -> None:
    """Give every port of the network the address its MAC address forms in `subnet`.

    Router interfaces choose their own. Source: Networking API v2.0, "ipv6_address_mode".
    """
    for port in await tx.list(Port, Query(where=(Condition("network_id", (subnet.network_id,)),))):
        if port.device_owner.startswith("network:router"):
            continue
        ip = await take_automatic(tx, subnet, Mac(port.mac_address), port.id)
        tx.update(replace(port, fixed_ips=(*port.fixed_ips, FixedIp(subnet.id, ip))))


async def remove_from_ports(tx: Transaction, subnet: Subnet) -> None:
    """Take `subnet`'s addresses from all ports that have one."""
    for port in await tx.list(Port, Query(where=(Condition("fixed_ips.subnet_id", (subnet.id,)),))):
        kept = tuple(fixed for fixed in port.fixed_ips if fixed.subnet_id != subnet.id)
        for fixed in set(port.fixed_ips) - set(kept):
            tx.release(space_of(subnet.id), fixed.ip_address)
        tx.update(replace(port, fixed_ips=kept))
