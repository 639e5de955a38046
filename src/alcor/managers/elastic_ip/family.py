"""Floating IPs, their port forwardings, and the pools they are taken from."""

from alcor.managers.elastic_ip.forwarding import forwarding_manager
from alcor.managers.elastic_ip.manager import FloatingIps
from alcor.managers.elastic_ip.pools import pools_manager
from alcor.managers.interface import Manager
from alcor.managers.router.ports import Ports


def family(ports: Ports) -> tuple[Manager, ...]:
    """The managers of outer addresses. `ports`: the Port Manager."""
    return FloatingIps(ports).manager(), forwarding_manager(), pools_manager()
