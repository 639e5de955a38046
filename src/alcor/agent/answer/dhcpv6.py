"""DHCPv6 answered from what the host knows. Source: RFC 8415, 3646 (DNS), 4704 (names).

Stateful subnets give the port its own addresses; stateless ones tell parameters only. As with DHCPv4 the port's row is
the lease: releases and declines are acknowledged and change nothing.
"""

import struct
from dataclasses import dataclass
from enum import IntEnum
from ipaddress import IPv6Address

from alcor.agent.answer.dhcp_option import Encoded, encode, encode_name
from alcor.agent.answer.frame import Datagram, build_udp_ipv6, link_local_bytes
from alcor.agent.answer.naming import Telling, domain_of, name_servers
from alcor.goalstate.item import LocalPort, RegionItem, SubnetItem
from alcor.model.address import Cidr, Ip, Mac, ip_bytes, ip_version, mac_bytes, network_of
from alcor.pipeline.view import NetworkView

SERVER_PORT = 547
CLIENT_PORT = 546

_ALL_SERVERS = (IPv6Address("ff02::1:2").packed, IPv6Address("ff05::1:3").packed)
_LINK_LOCAL = network_of(Cidr("fe80::/10"))
_DUID_LL_ETHERNET = b"\0\3\0\1"
_DUID_BYTES_MAX = 130  # RFC 8415, section 11.1
_PREFERENCE_MAX = b"\xff"  # "take this server at once": it is the only one on the link
_IA_HEAD_BYTES = 12
_MTU_MIN, _IP_UDP_BYTES = 1280, 48  # RFC 8200, section 5: an answer is one packet


class MessageType(IntEnum):
    """The messages used here."""

    SOLICIT = 1
    ADVERTISE = 2
    REQUEST = 3
    CONFIRM = 4
    RENEW = 5
    REBIND = 6
    REPLY = 7
    RELEASE = 8
    DECLINE = 9
    INFORMATION_REQUEST = 11


class Option(IntEnum):
    """The options used here."""

    CLIENT_ID = 1
    SERVER_ID = 2
    IA_NA = 3
    IA_TA = 4
    IA_ADDRESS = 5
    REQUESTED = 6
    PREFERENCE = 7
    STATUS = 13
    RAPID_COMMIT = 14
    USER_CLASS = 15
    DNS = 23
    DOMAINS = 24
    IA_PD = 25
    FQDN = 39


class Status(IntEnum):
    """Option 13."""

    SUCCESS = 0
    NO_ADDRESSES = 2
    NO_BINDING = 3
    NOT_ON_LINK = 4
    NO_PREFIXES = 6


_FROM_CLIENTS = frozenset(MessageType) - {MessageType.ADVERTISE, MessageType.REPLY}
# RFC 8415, section 16: what must name this server, and what must name none.
_NAMES_SERVER = frozenset((MessageType.REQUEST, MessageType.RENEW, MessageType.RELEASE, MessageType.DECLINE))
_NAMES_NO_SERVER = frozenset((MessageType.SOLICIT, MessageType.CONFIRM, MessageType.REBIND))

Options = list[tuple[int, bytes]]


@dataclass(frozen=True, slots=True)
class Association:
    """An identity association (IA_NA, IA_TA or IA_PD) and the addresses the client named in it."""

    option: int
    iaid: bytes
    addresses: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Request:
    """A client's message."""

    type: MessageType
    xid: bytes
    client: bytes
    server: bytes
    associations: tuple[Association, ...]
    requested: frozenset[int] | None
    rapid_commit: bool
    user_class: bytes = b""


def _parse_options(octets: bytes) -> Options | None:
    options: Options = []
    at = 0
    while at < len(octets):
        if at + 4 > len(octets):
            return None
        number, length = struct.unpack_from("!HH", octets, at)
        at += 4
        if at + length > len(octets):
            return None
        options.append((number, octets[at : at + length]))
        at += length
    return options


def _parse_association(number: int, body: bytes) -> Association | None:
    head = 4 if number == Option.IA_TA else _IA_HEAD_BYTES
    inner = _parse_options(body[head:]) if len(body) >= head else None
    if inner is None:
        return None
    addresses = tuple(value[:16] for kind, value in inner if kind == Option.IA_ADDRESS and len(value) >= 24)
    return Association(number, body[:4], addresses)


def parse_request(message: bytes) -> Request | None:
    """A client's message; None if it is cut, relayed, or breaks RFC 8415, section 16."""
    if len(message) < 4 or message[0] not in _FROM_CLIENTS:
        return None
    options = _parse_options(message[4:])
    if options is None:
        return None
    single = dict(reversed(options))
    requested = single.get(Option.REQUESTED)
    if requested is not None and len(requested) % 2:
        return None
    associations = []
    for number, body in options:
        if number in (Option.IA_NA, Option.IA_TA, Option.IA_PD):
            association = _parse_association(number, body)
            if association is None:
                return None
            associations.append(association)
    request = Request(
        type=MessageType(message[0]),
        xid=message[1:4],
        client=single.get(Option.CLIENT_ID, b""),
        server=single.get(Option.SERVER_ID, b""),
        associations=tuple(associations),
        requested=None
        if requested is None
        else frozenset(struct.unpack(f"!{len(requested) // 2}H", requested)),
        rapid_commit=Option.RAPID_COMMIT in single,
        user_class=single.get(Option.USER_CLASS, b""),
    )
    return request if _is_well_formed(request) else None


def _is_well_formed(request: Request) -> bool:
    if len(request.client) > _DUID_BYTES_MAX:
        return False
    if not request.client and request.type is not MessageType.INFORMATION_REQUEST:
        return False
    if request.type in _NAMES_SERVER:
        return bool(request.server)
    if request.type in _NAMES_NO_SERVER:
        return not request.server
    # RFC 8415, section 16.12: a request for information has no association.
    return not request.associations


def server_duid(region: RegionItem) -> bytes:
    """This server's identity: a DUID-LL of the responder's MAC, the same on every host."""
    return _DUID_LL_ETHERNET + mac_bytes(Mac(region.responder_mac))


def _subnets(port: LocalPort, network: NetworkView) -> list[tuple[bytes, SubnetItem]]:
    """The port's IPv6 addresses whose subnet has DHCPv6, in the port's order."""
    found = []
    for address in port.addresses:
        subnet = network.subnets.get(address.subnet_id)
        if subnet is None or not subnet.enable_dhcp or ip_version(Ip(address.ip)) != 6:
            continue
        if subnet.ipv6_address_mode in ("dhcpv6-stateful", "dhcpv6-stateless"):
            found.append((ip_bytes(Ip(address.ip)), subnet))
    return found


def extra(request: Request, port: LocalPort) -> Encoded:
    """The port's extra options for this client. Tags: `ipxe6`."""
    tags = frozenset(("ipxe6",)) if b"iPXE" in request.user_class else frozenset[str]()
    return encode(port.dhcp_options, 6, tags)


def respond(request: Request, datagram: Datagram, telling: Telling) -> bytes | None:
    """The frame to send to the port, or None if nothing is to be said.

    Not answered: what was not sent to the servers' group, from an address that is not link-local, or to
    another server; and ports without an address in a subnet with DHCPv6.
    """
    region = telling.region
    known = _subnets(telling.port, telling.network)
    if not known or datagram.destination not in _ALL_SERVERS:
        return None
    if IPv6Address(datagram.source) not in _LINK_LOCAL:
        return None
    if request.server and request.server != server_duid(region):
        return None
    stateful = [address for address, subnet in known if subnet.ipv6_address_mode == "dhcpv6-stateful"]
    options: Options | None
    type = MessageType.REPLY
    match request.type:
        case MessageType.SOLICIT:
            options = [*_leases(request, stateful, region), (Option.PREFERENCE, _PREFERENCE_MAX)]
            if request.rapid_commit:
                options.append((Option.RAPID_COMMIT, b""))
            else:
                type = MessageType.ADVERTISE
        case MessageType.REQUEST | MessageType.RENEW | MessageType.REBIND:
            options = _leases(request, stateful, region)
        case MessageType.CONFIRM:
            options = _confirm(request, [subnet for _, subnet in known])
        case MessageType.RELEASE | MessageType.DECLINE:
            options = [(Option.STATUS, _status(Status.SUCCESS))]
        case _:
            options = []
    if options is None:
        return None
    options += _parameters(request, [subnet for _, subnet in known], telling)
    return _reply(type, request, datagram, telling, options)


def _leases(request: Request, addresses: list[bytes], region: RegionItem) -> Options:
    """What each association gets: the first IA_NA all addresses of the port, any other a status that says no.

    An address the client named and the port does not have comes back with lifetimes of zero, which ends it.
    """
    options: Options = []
    free = list(addresses)
    for association in request.associations:
        if association.option == Option.IA_PD:
            body = _association(association, region, _encode((Option.STATUS, _status(Status.NO_PREFIXES))))
            options.append((Option.IA_PD, body))
            continue
        if association.option == Option.IA_TA:
            status = _encode((Option.STATUS, _status(Status.NO_ADDRESSES)))
            options.append((Option.IA_TA, association.iaid + status))
            continue
        inner = b"".join(_address(address, region.dhcp_lease_s) for address in free)
        inner += b"".join(_address(other, 0) for other in association.addresses if other not in free)
        if not free:
            inner += _encode((Option.STATUS, _status(Status.NO_ADDRESSES)))
        options.append((Option.IA_NA, _association(association, region, inner)))
        free = []
    return options


def _association(association: Association, region: RegionItem, inner: bytes) -> bytes:
    # T1 and T2 as section 21.4 recommends: half and four fifths of the preferred lifetime.
    lease_s = region.dhcp_lease_s
    return association.iaid + struct.pack("!II", lease_s // 2, lease_s * 4 // 5) + inner


def _address(address: bytes, lifetime_s: int) -> bytes:
    return _encode((Option.IA_ADDRESS, address + struct.pack("!II", lifetime_s, lifetime_s)))


def _confirm(request: Request, subnets: list[SubnetItem]) -> Options | None:
    """Whether the client is still on its link. No address named: no answer (section 18.3.3)."""
    named = [IPv6Address(address) for each in request.associations for address in each.addresses]
    if not named:
        return None
    prefixes = [network_of(Cidr(subnet.cidr)) for subnet in subnets]
    on_link = all(any(address in prefix for prefix in prefixes) for address in named)
    return [(Option.STATUS, _status(Status.SUCCESS if on_link else Status.NOT_ON_LINK))]


def _status(status: Status) -> bytes:
    return struct.pack("!H", status)


def _parameters(request: Request, subnets: list[SubnetItem], telling: Telling) -> Options:
    """What the client asks for, of the subnets, the port's name, and its extra options, which win."""
    told: dict[int, bytes] = {}
    network, region = telling.network, telling.region
    servers = name_servers(subnets, 6, network, region, serves_names=telling.serves_names)
    if servers:
        told[Option.DNS] = b"".join(servers)
    domain = domain_of(network, region)
    if domain:
        told[Option.DOMAINS] = encode_name(domain)
    if domain and telling.port.dns_name:
        # No flag: the name is the server's to keep, and nobody updates it (RFC 4704, section 4.1).
        told[Option.FQDN] = b"\0" + encode_name(f"{telling.port.dns_name}.{domain}")
    told |= extra(request, telling.port).values
    asked = request.requested
    return [(number, value) for number, value in told.items() if asked is None or number in asked]


def _encode(option: tuple[int, bytes]) -> bytes:
    number, value = option
    return struct.pack("!HH", number, len(value)) + value


def _reply(
    type: MessageType,
    request: Request,
    datagram: Datagram,
    telling: Telling,
    options: Options,
) -> bytes:
    head: Options = [(Option.SERVER_ID, server_duid(telling.region))]
    if request.client:
        head.insert(0, (Option.CLIENT_ID, request.client))
    message = bytes([type]) + request.xid
    room = max(_MTU_MIN, telling.network.network.mtu) - _IP_UDP_BYTES
    for option in map(_encode, head + options):
        if len(message) + len(option) <= room:
            message += option
    responder = Mac(telling.region.responder_mac)
    return build_udp_ipv6(
        eth=(mac_bytes(Mac(telling.port.mac)), responder),
        source=link_local_bytes(responder),
        destination=datagram.source,
        ports=(SERVER_PORT, CLIENT_PORT),
        payload=message,
    )
