"""Floating IPs, their port forwardings, and the pools they are taken from."""

from alcor.managers.elastic_ip.forwarding import forwarding_manager
from alcor.managers.elastic_ip.manager import FloatingIps
from alcor.managers.elastic_ip.pools import pools_manager
from alcor.managers.interface import Manager


def family(floating_ips: FloatingIps) -> tuple[Manager, ...]:
    """The managers of outer addresses."""
    return floating_ips.manager(), forwarding_manager(), pools_manager()
