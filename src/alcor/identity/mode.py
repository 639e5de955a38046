"""Which connections have TLS, as region and agent are configured."""

import ipaddress
from typing import Literal

Mode = Literal["auto", "on", "off"]


def is_secured(mode: Mode, address: str) -> bool:
    """Whether an address has TLS. Sockets never; by `auto`, TCP addresses that other machines can reach."""
    if address.startswith("unix:"):
        return False
    return mode == "on" or (mode == "auto" and not _is_loopback(address))


def _is_loopback(address: str) -> bool:
    host = address.rpartition(":")[0].strip("[]")
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
