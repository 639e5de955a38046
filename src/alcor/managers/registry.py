"""All managers, bound to one another: what each must know of a manager above it comes as an argument here."""

from collections.abc import Iterable

from alcor.managers.interface import Manager, Service
from alcor.managers.mac import manager as mac
from alcor.managers.mac.allocation import RESERVED
from alcor.managers.node import manager as node
from alcor.managers.port import manager as port
from alcor.managers.private_ip import manager as private_ip
from alcor.managers.rbac import manager as rbac
from alcor.managers.subnet import manager as subnet
from alcor.managers.vpc import manager as vpc
from alcor.model.address import Mac

# Ethernet's. An operator with larger frames between hosts says so.
_UNDERLAY_MTU_BYTES = 1_500


def managers(
    *, underlay_mtu_bytes: int = _UNDERLAY_MTU_BYTES, reserved_macs: Iterable[Mac] = RESERVED
) -> tuple[Manager | Service, ...]:
    """Every manager that has an endpoint, parents before children: a line per family.

    `underlay_mtu_bytes`: the largest IP packet between hosts. `reserved_macs`: never given to a port;
    the address that answers DHCP for the hosts must be among them.
    """
    reserved = frozenset(reserved_macs)
    return (
        vpc.manager(underlay_mtu_bytes=underlay_mtu_bytes, empty=subnet.empty_network),
        subnet.manager(),
        port.manager(reserved),
        mac.manager(reserved),
        mac.range_manager(),
        private_ip.manager(),
        node.manager(),
        rbac.manager(),
    )
