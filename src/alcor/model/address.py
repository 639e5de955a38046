"""MAC and IP addresses and prefixes, parsed once: who holds a `Cidr` holds a valid one.

Shape: canonical text (lower case, compressed IPv6, prefix with host bits zero). Text is what clients,
the database and the goal state exchange; `mac_bytes` and `ip_int` give the switch its form.
"""

import ipaddress
import re
from functools import lru_cache
from typing import NewType

Mac = NewType("Mac", str)
Ip = NewType("Ip", str)
Cidr = NewType("Cidr", str)

IpNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network

_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}\Z")
# Bounded, because the working set is one region's subnets and the addresses of one request.
_CACHE_ENTRIES_MAX = 65_536


def parse_mac(text: str) -> Mac:
    """Parse `aa:bb:cc:dd:ee:ff` or `aa-bb-cc-dd-ee-ff`.

    Raises: ValueError if it is not a unicast MAC address (the group bit or all zeroes included).
    """
    canonical = text.strip().lower().replace("-", ":")
    if not _MAC.match(canonical):
        raise ValueError(f"'{text}' is not a valid MAC address")
    if int(canonical[:2], 16) & 1 or canonical == "00:00:00:00:00:00":
        raise ValueError(f"'{text}' is not a unicast MAC address")
    return Mac(canonical)


@lru_cache(_CACHE_ENTRIES_MAX)
def parse_ip(text: str) -> Ip:
    """Parse an IPv4 or IPv6 address. Raises: ValueError."""
    try:
        if "%" in text:
            raise ValueError("zone index")
        return Ip(str(ipaddress.ip_address(text)))
    except ValueError as error:
        raise ValueError(f"'{text}' is not a valid IP address") from error


@lru_cache(_CACHE_ENTRIES_MAX)
def parse_cidr(text: str) -> Cidr:
    """Parse a prefix; host bits are dropped, as the Networking API does. Raises: ValueError."""
    try:
        if "/" not in text:
            raise ValueError("no prefix length")
        return Cidr(str(ipaddress.ip_network(text, strict=False)))
    except ValueError as error:
        raise ValueError(f"'{text}' is not a valid IP subnet") from error


def mac_bytes(mac: Mac) -> bytes:
    """The six octets of `mac`."""
    return bytes.fromhex(mac.replace(":", ""))


def mac_int(mac: Mac) -> int:
    """`mac` as a 48-bit number."""
    return int(mac.replace(":", ""), 16)


def mac_of_int(number: int) -> Mac:
    """The MAC address whose 48-bit number is `number`."""
    return Mac(number.to_bytes(6, "big").hex(":"))


@lru_cache(_CACHE_ENTRIES_MAX)
def ip_int(ip: Ip) -> int:
    """`ip` as a number of 32 or 128 bits."""
    return int(ipaddress.ip_address(ip))


def ip_bytes(ip: Ip) -> bytes:
    """`ip` as 4 or 16 octets."""
    return ipaddress.ip_address(ip).packed


def ip_version(address: Ip | Cidr) -> int:
    """4 or 6."""
    return 6 if ":" in address else 4


def ip_of_int(number: int, version: int) -> Ip:
    """The address of `version` (4 or 6) whose number is `number`."""
    return Ip(str(ipaddress.IPv4Address(number) if version == 4 else ipaddress.IPv6Address(number)))


@lru_cache(_CACHE_ENTRIES_MAX)
def network_of(cidr: Cidr) -> IpNetwork:
    """The standard library's network object of `cidr`, for arithmetic."""
    return ipaddress.ip_network(cidr)


def contains(cidr: Cidr, ip: Ip) -> bool:
    """Whether `ip` lies in `cidr`; False across versions."""
    return ip_version(cidr) == ip_version(ip) and ipaddress.ip_address(ip) in network_of(cidr)


def eui64(cidr: Cidr, mac: Mac) -> Ip:
    """The address a host with `mac` forms in the /64 `cidr` by SLAAC. Source: RFC 4291, appendix A."""
    octets = mac_bytes(mac)
    interface = bytes([octets[0] ^ 2]) + octets[1:3] + b"\xff\xfe" + octets[3:]
    return ip_of_int(int(network_of(cidr).network_address) | int.from_bytes(interface, "big"), 6)


def link_local(mac: Mac) -> Ip:
    """The EUI-64 link-local address of `mac`. Source: RFC 4862, section 5.3."""
    return eui64(Cidr("fe80::/64"), mac)
