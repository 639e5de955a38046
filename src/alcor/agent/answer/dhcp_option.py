"""Extra DHCP options of a port: names and texts of the Networking API to octets.

Numbers and layouts: IANA's registries "BOOTP Vendor Extensions and DHCP Options" and "DHCPv6 Option Codes", and the
RFCs they name (2132, 3361, 3397, 3442, 4833, 8925; 3319, 3646, 3898, 4075, 5908, 5970, 8415). Names: those that the
Networking API takes from dnsmasq; an option without a name goes by its number, and its octets by what its value looks
like. Total: whatever cannot be said is skipped and named in `Encoded.skipped`, and the rest is told.
"""

import re
import struct
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address
from typing import Final

from alcor.goalstate.item import DhcpOption

# The part of a reply that is not an option: the server's address for what is to be booted.
SERVER_ADDRESS: Final = 255
TFTP_SERVER: Final = 66
BOOT_FILE: Final = 67

_NAME = re.compile(r"(?:tag:[^,]*,)*(?:option6?:)?(?P<name>[^,:]+)\Z")
_TAG = re.compile(r"tag:(?P<tag>[^,]*),")
_HEX = re.compile(r"[0-9a-fA-F]{1,2}(?::[0-9a-fA-F]{1,2})+\Z")
_NUMBER_MAX = {4: 254, 6: 65_535}
_LABEL_BYTES_MAX, _NAME_BYTES_MAX = 63, 255

Encoder = Callable[[str], bytes]


def _parts(text: str) -> list[str]:
    return [part.strip() for part in text.split(",")]


def _text(text: str) -> bytes:
    return text.encode()


def _number(layout: str) -> Encoder:
    def encode(text: str) -> bytes:
        return struct.pack(layout, int(text, 0))

    return encode


def _flag(text: str) -> bytes:
    return {"0": b"\0", "1": b"\1", "false": b"\0", "true": b"\1"}[text.lower()]


def _ipv4(text: str) -> bytes:
    return b"".join(IPv4Address(part).packed for part in _parts(text))


def _ipv6_one(text: str) -> bytes:
    return IPv6Address(text.removeprefix("[").removesuffix("]")).packed


def _ipv6(text: str) -> bytes:
    return b"".join(_ipv6_one(part) for part in _parts(text))


def _pairs(text: str) -> bytes:
    octets = _ipv4(text)
    if len(octets) % 8:
        raise ValueError("addresses come in pairs")
    return octets


def encode_name(name: str) -> bytes:
    """A domain name in labels, uncompressed. Raises: ValueError. Source: RFC 1035, section 3.1."""
    octets = b""
    for label in name.removesuffix(".").split("."):
        label_octets = label.encode("idna") if not label.isascii() else label.encode()
        if not 0 < len(label_octets) <= _LABEL_BYTES_MAX:
            raise ValueError(f"'{label}' is no label of a domain name")
        octets += bytes([len(label_octets)]) + label_octets
    if len(octets) >= _NAME_BYTES_MAX:
        raise ValueError(f"'{name}' is longer than a domain name may be")
    return octets + b"\0"


def _names(text: str) -> bytes:
    return b"".join(encode_name(part) for part in _parts(text))


def _routes(text: str) -> bytes:
    """`destination,next hop` again and again. Source: RFC 3442."""
    parts = _parts(text)
    if len(parts) % 2:
        raise ValueError("a route is a destination and a next hop")
    return b"".join(
        encode_route(destination, nexthop)
        for destination, nexthop in zip(parts[::2], parts[1::2], strict=True)
    )


def encode_route(destination: str, nexthop: str) -> bytes:
    """One classless route. Raises: ValueError. Source: RFC 3442."""
    prefix = IPv4Network(destination)
    significant = prefix.network_address.packed[: (prefix.prefixlen + 7) // 8]
    return bytes([prefix.prefixlen]) + significant + IPv4Address(nexthop).packed


def _sip(text: str) -> bytes:
    """Addresses (form 1) or names (form 0). Source: RFC 3361."""
    try:
        return b"\1" + _ipv4(text)
    except ValueError:
        return b"\0" + _names(text)


def _ntp6(text: str) -> bytes:
    """Sub-options: address 1, multicast address 2, name 3. Source: RFC 5908, section 4."""
    octets = b""
    for part in _parts(text):
        try:
            value = _ipv6_one(part)
            number = 2 if IPv6Address(value).is_multicast else 1
        except ValueError:
            number, value = 3, encode_name(part)
        octets += struct.pack("!HH", number, len(value)) + value
    return octets


def _lengthened(text: str) -> bytes:
    """Strings, each with its length. Source: RFC 5970, section 3.2; RFC 8415, section 21.15."""
    octets = [part.encode() for part in _parts(text)]
    return b"".join(struct.pack("!H", len(each)) + each for each in octets)


def _hex(text: str) -> bytes:
    if not _HEX.match(text):
        raise ValueError(f"'{text}' is not octets as aa:bb:cc")
    return bytes(int(part, 16) for part in text.split(":"))


def _octets(text: str) -> bytes:
    try:
        return _hex(text)
    except ValueError:
        return text.encode()


def _guess(text: str) -> bytes:
    """Of an option without a known layout: addresses, octets (`aa:bb`), the shortest number, else text."""
    for encode in (_ipv4, _bracketed, _hex):
        try:
            return encode(text)
        except ValueError:
            continue
    if text.isascii() and text.isdecimal() and int(text) < 1 << 32:
        number = int(text)
        return number.to_bytes(1 if number < 256 else 2 if number < 65_536 else 4, "big")
    return text.encode()


def _bracketed(text: str) -> bytes:
    if not all(part.startswith("[") and part.endswith("]") for part in _parts(text)):
        raise ValueError("no addresses in brackets")
    return _ipv6(text)


_U8, _U16, _U32, _S32 = (_number(layout) for layout in ("!B", "!H", "!I", "!i"))

_IPV4_OPTIONS: Mapping[str, tuple[int, Encoder]] = {
    "netmask": (1, _ipv4),
    "time-offset": (2, _S32),
    "router": (3, _ipv4),
    "time-server": (4, _ipv4),
    "dns-server": (6, _ipv4),
    "log-server": (7, _ipv4),
    "cookie-server": (8, _ipv4),
    "lpr-server": (9, _ipv4),
    "impress-server": (10, _ipv4),
    "hostname": (12, _text),
    "boot-file-size": (13, _U16),
    "merit-dump": (14, _text),
    "domain-name": (15, _text),
    "swap-server": (16, _ipv4),
    "root-path": (17, _text),
    "extension-path": (18, _text),
    "ip-forward-enable": (19, _flag),
    "non-local-source-routing": (20, _flag),
    "policy-filter": (21, _pairs),
    "max-datagram-reassembly": (22, _U16),
    "default-ttl": (23, _U8),
    "mtu": (26, _U16),
    "all-subnets-local": (27, _flag),
    "broadcast": (28, _ipv4),
    "router-discovery": (31, _flag),
    "router-solicitation": (32, _ipv4),
    "static-route": (33, _pairs),
    "trailer-encapsulation": (34, _flag),
    "arp-timeout": (35, _U32),
    "ethernet-encap": (36, _flag),
    "tcp-ttl": (37, _U8),
    "tcp-keepalive": (38, _U32),
    "nis-domain": (40, _text),
    "nis-server": (41, _ipv4),
    "ntp-server": (42, _ipv4),
    "vendor-encap": (43, _octets),
    "netbios-ns": (44, _ipv4),
    "netbios-dd": (45, _ipv4),
    "netbios-nodetype": (46, _U8),
    "netbios-scope": (47, _text),
    "x-windows-fs": (48, _ipv4),
    "x-windows-dm": (49, _ipv4),
    "lease-time": (51, _U32),
    "T1": (58, _U32),
    "T2": (59, _U32),
    "vendor-class": (60, _octets),
    "nis+-domain": (64, _text),
    "nis+-server": (65, _ipv4),
    "tftp-server": (TFTP_SERVER, _text),
    "tftp-server-name": (TFTP_SERVER, _text),
    "bootfile-name": (BOOT_FILE, _text),
    "mobile-ip-home": (68, _ipv4),
    "smtp-server": (69, _ipv4),
    "pop3-server": (70, _ipv4),
    "nntp-server": (71, _ipv4),
    "www-server": (72, _ipv4),
    "irc-server": (74, _ipv4),
    "user-class": (77, _octets),
    "posix-timezone": (100, _text),
    "tzdb-timezone": (101, _text),
    "ipv6-only": (108, _U32),
    "captive-portal": (114, _text),
    "domain-search": (119, _names),
    "sip-server": (120, _sip),
    "classless-static-route": (121, _routes),
    "vendor-id-encap": (125, _octets),
    "tftp-server-address": (150, _ipv4),
    "config-file": (209, _text),
    "path-prefix": (210, _text),
    "reboot-time": (211, _U32),
    "ms-classless-static-route": (249, _routes),
    "wpad": (252, _text),
    "server-ip-address": (SERVER_ADDRESS, _ipv4),
}
_IPV6_OPTIONS: Mapping[str, tuple[int, Encoder]] = {
    "user-class": (15, _lengthened),
    "vendor-class": (16, _hex),
    "vendor-opts": (17, _hex),
    "sip-server-domain": (21, _names),
    "sip-server": (22, _ipv6),
    "dns-server": (23, _ipv6),
    "domain-search": (24, _names),
    "nis-server": (27, _ipv6),
    "nis+-server": (28, _ipv6),
    "nis-domain": (29, _names),
    "nis+-domain": (30, _names),
    "sntp-server": (31, _ipv6),
    "information-refresh-time": (32, _U32),
    "posix-timezone": (41, _text),
    "tzdb-timezone": (42, _text),
    "ntp-server": (56, _ntp6),
    "bootfile-url": (59, _text),
    "bootfile-param": (60, _lengthened),
    "captive-portal": (103, _text),
}
_BY_NAME = {4: _IPV4_OPTIONS, 6: _IPV6_OPTIONS}
_BY_NUMBER = {version: dict(table.values()) for version, table in _BY_NAME.items()}

# What a reply says itself, and what only clients and relays say: nobody else's word.
_OURS = {
    4: frozenset((0, 50, 52, 53, 54, 55, 56, 57, 61, 80, 81, 82)),
    6: frozenset((*range(15), 18, 19, 20, 25, 26)),
}
# "none of it": the reference's extension extra_dhcp_opt lets these be empty.
_MAY_BE_EMPTY = frozenset((3, 121))


@dataclass(frozen=True, slots=True)
class Encoded:
    """`values`: number → octets, as told, empty is "leave it out"; `skipped`: the names that cannot be said."""

    values: Mapping[int, bytes] = field(default_factory=dict)
    skipped: tuple[str, ...] = ()


@lru_cache(1024)
def encode(options: tuple[DhcpOption, ...], ip_version: int, tags: frozenset[str] = frozenset()) -> Encoded:
    """The options of one IP version that hold for a client with these tags. The last of one number is told.

    `tag:x,` before a name: only for a client with tag x; `tag:!x,`: only for one without. Cost: O(options), once for
    all messages of a port.
    """
    values: dict[int, bytes] = {}
    skipped: list[str] = []
    for option in sorted(options, key=_is_tagged):
        if option.ip_version != ip_version or not _holds(option.name, tags):
            continue
        try:
            number, octets = _encode_one(option)
        except (ValueError, KeyError, struct.error, OverflowError):
            skipped.append(option.name)
        else:
            values[number] = octets
    return Encoded(values, tuple(skipped))


def _is_tagged(option: DhcpOption) -> bool:
    # What is said for some clients wins over what is said for all.
    return option.name.startswith("tag:")


def _holds(name: str, tags: Iterable[str]) -> bool:
    wanted = _TAG.findall(name)
    return all((tag.removeprefix("!") in tags) != tag.startswith("!") for tag in wanted)


def _encode_one(option: DhcpOption) -> tuple[int, bytes]:
    found = _NAME.match(option.name)
    if found is None:
        raise ValueError("no name of an option")
    name, version = found["name"], option.ip_version
    if name.isascii() and name.isdecimal():
        number = int(name)
        if not 0 < number <= _NUMBER_MAX[version]:
            raise ValueError(f"there is no option {number}")
        encoder = _BY_NUMBER[version].get(number, _guess)
    else:
        number, encoder = _BY_NAME[version][name]
    if number in _OURS[version]:
        raise ValueError(f"option {number} is the protocol's own")
    if not option.value:
        if version == 4 and number in _MAY_BE_EMPTY:
            return number, b""
        raise ValueError("no value")
    octets = encoder(option.value)
    if number == SERVER_ADDRESS and version == 4 and len(octets) != 4:
        raise ValueError("one address")
    return number, octets
