"""The network device behind the services' port of the switch: addresses, routes, and sockets that hear nothing else.

The host's own routing is left alone: routes to near addresses stand in a table of their own, which only packets from
the services' addresses use. Sockets are bound to the device, so nobody reaches them over another one with an address
that would name a port. The device resolves no addresses: the switch turns packets round by address, whatever the MAC.
"""

import asyncio
import contextlib
import errno
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from alcor.agent.driver import InternalPort
from alcor.pipeline.host_service import (
    NEAR_PREFIXES,
    SERVER_DNS,
    SERVER_HTTP,
    SERVER_IPV4,
    SERVER_IPV6,
    SERVER_MAC,
)

ROUTE_TABLE = 9780
RULE_PRIORITY = 9780
_IFF_UP, _IFF_NOARP = 0x1, 0x80
_IFA_F_NODAD = 0x02
_LISTEN_BACKLOG = 128
_PROC = Path("/proc/sys/net")
# What the kernel is not to do on this device: filter by its main routes, learn addresses, make its own.
_SETTINGS = {
    "ipv4/conf/{}/rp_filter": "0",
    "ipv6/conf/{}/accept_ra": "0",
    "ipv6/conf/{}/addr_gen_mode": "1",
    "ipv6/conf/{}/disable_ipv6": "0",
}


def service_port(name: str) -> InternalPort:
    """The switch's port of the services, as a driver makes it."""
    return InternalPort(name, SERVER_MAC)


@dataclass(frozen=True, slots=True)
class Sockets:
    """Bound and listening, not blocking; whoever serves on them closes them."""

    http: tuple[socket.socket, ...]
    dns_streams: tuple[socket.socket, ...]
    dns_datagrams: tuple[socket.socket, ...]

    def close(self) -> None:
        """Close what is still open."""
        for one in (*self.http, *self.dns_streams, *self.dns_datagrams):
            one.close()


def find_index(name: str) -> int:
    """The device's index in this process's network namespace; 0 if there is none."""
    try:
        return socket.if_nametoindex(name)
    except OSError:
        return 0


async def prepare(name: str) -> None:
    """Give the device its addresses and routes; does nothing that is done already.

    Raises: OSError if the device is gone or the process may not (it needs CAP_NET_ADMIN).
    """
    for setting, value in _SETTINGS.items():
        # A kernel without IPv6 has no such settings, and then serves over IPv4 only.
        with contextlib.suppress(FileNotFoundError):
            (_PROC / setting.format(name)).write_text(value)
    try:
        # A loop of its own, in a thread: netlink sockets do not go into the agent's (uvloop refuses the family).
        await asyncio.to_thread(_configure, name)
    except NetlinkError as error:
        raise OSError(error.code, f"device {name}: {error}") from error


def _configure(name: str) -> None:
    with IPRoute() as netlink:
        _prepare(netlink, name)


def _prepare(netlink: IPRoute, name: str) -> None:
    """Only what is missing is told to the kernel: any word about a device or a route, also one that changes nothing,
    makes an Open vSwitch with a userspace datapath read all routes anew, and tunnelled packets may be lost meanwhile
    (docs/decisions/0033-routes-read-anew.md).
    """
    index = find_index(name)
    if not index:
        raise OSError(errno.ENODEV, f"there is no device {name}")
    wanted = _IFF_UP | _IFF_NOARP
    (link,) = netlink.get_links(index)
    if link["flags"] & wanted != wanted or link.get("address") != SERVER_MAC:
        netlink.link("set", index=index, address=SERVER_MAC, flags=wanted, change=wanted)
    for family, server, near in _families():
        bits = 32 if family == socket.AF_INET else 128
        if not netlink.get_addr(family=family, index=index, address=server, prefixlen=bits):
            netlink.addr("replace", index=index, address=server, prefixlen=bits, flags=_IFA_F_NODAD)
        if (index, near) not in _routes(netlink, family):
            netlink.route("replace", family=family, dst=near, oif=index, table=ROUTE_TABLE)
        try:
            netlink.rule(
                "add", family=family, src=server, src_len=bits, table=ROUTE_TABLE, priority=RULE_PRIORITY
            )
        except NetlinkError as error:
            if error.code != errno.EEXIST:
                raise


def _routes(netlink: IPRoute, family: int) -> set[tuple[int, str]]:
    """Of the services' own table: (device's index, prefix)."""
    try:
        found = netlink.get_routes(family=family, table=ROUTE_TABLE)
        return {(route.get("oif"), f"{route.get('dst')}/{route['dst_len']}") for route in found}
    except NetlinkError as error:
        if error.code != errno.ENOENT:  # a table without any route is none
            raise
        return set()


def _families() -> Iterator[tuple[socket.AddressFamily, str, str]]:
    """Family, server's address, prefix of near addresses: of the families this kernel has."""
    yield socket.AF_INET, SERVER_IPV4, NEAR_PREFIXES[0]
    if (_PROC / "ipv6").exists():
        yield socket.AF_INET6, SERVER_IPV6, NEAR_PREFIXES[1]


def open_sockets(name: str) -> Sockets:
    """Sockets of all services on the device. Raises: OSError."""
    opened: dict[tuple[socket.SocketKind, int], list[socket.socket]] = {}
    with contextlib.ExitStack() as stack:
        for family, server, _ in _families():
            for kind, number in (
                (socket.SOCK_STREAM, SERVER_HTTP),
                (socket.SOCK_STREAM, SERVER_DNS),
                (socket.SOCK_DGRAM, SERVER_DNS),
            ):
                one = stack.enter_context(socket.socket(family, kind))
                _bind(one, name, server, number)
                opened.setdefault((kind, number), []).append(one)
        stack.pop_all()
    return Sockets(
        http=tuple(opened[socket.SOCK_STREAM, SERVER_HTTP]),
        dns_streams=tuple(opened[socket.SOCK_STREAM, SERVER_DNS]),
        dns_datagrams=tuple(opened[socket.SOCK_DGRAM, SERVER_DNS]),
    )


def _bind(one: socket.socket, name: str, server: str, number: int) -> None:
    one.setblocking(False)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, name.encode())
    one.bind((server, number))
    if one.type == socket.SOCK_STREAM:
        one.listen(_LISTEN_BACKLOG)
