"""DHCPv4 answered from what the host knows: a port gets its own addresses and no other.

Source: RFC 2131 (protocol), 2132 (options), 3396 (long options), 3442 (classless routes), 6842 (client identifier).
What a subnet says is told to clients that ask for it; the port's own extra options win over it, and an empty one takes
it away. Options that the client's message size does not hold are left out, the last first.
The server keeps no leases: the port's row *is* the lease, so DECLINE and RELEASE change nothing and every
state of a client (selecting, init-reboot, renewing, rebinding) is judged by the same question: is it its address?
"""

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum

from alcor.agent.answer.dhcp_option import (
    BOOT_FILE,
    SERVER_ADDRESS,
    TFTP_SERVER,
    Encoded,
    encode,
    encode_route,
)
from alcor.agent.answer.frame import (
    BROADCAST_IPV4,
    BROADCAST_MAC,
    Datagram,
    build_udp_ipv4,
)
from alcor.agent.answer.naming import Telling, domain_of, name_servers
from alcor.goalstate.item import LocalPort, SubnetItem
from alcor.model.address import Cidr, Ip, Mac, ip_bytes, ip_version, mac_bytes, network_of
from alcor.pipeline.host_service import SERVICE_IPV4
from alcor.pipeline.view import NetworkView

SERVER_PORT = 67
CLIENT_PORT = 68
# Who answers on a subnet that has no gateway; the pipeline answers ARP for it.
SERVER_WITHOUT_GATEWAY = SERVICE_IPV4

_COOKIE = b"\x63\x82\x53\x63"
_OPTIONS_AT = 236
_MESSAGE_BYTES_MIN = 300  # a BOOTP message; some clients drop shorter ones (RFC 1542, section 2.1)
_BOOTREQUEST, _BOOTREPLY = 1, 2
_ETHERNET, _MAC_BYTES = 1, 6
_BROADCAST_FLAG = 0x8000
_OPTION_BYTES_MAX = 255
_MTU_MIN = 68  # RFC 2132, section 5.1
_IP_UDP_BYTES = 28
_SIZE_MIN = 576  # what every client takes (RFC 2132, section 9.10)
_SNAME_BYTES, _FILE_BYTES = 64, 128
_IPXE = 175  # "Etherboot encapsulated options": who sends it is iPXE


class MessageType(IntEnum):
    """Option 53."""

    DISCOVER = 1
    OFFER = 2
    REQUEST = 3
    DECLINE = 4
    ACK = 5
    NAK = 6
    RELEASE = 7
    INFORM = 8


class Option(IntEnum):
    """The options used here."""

    PAD = 0
    SUBNET_MASK = 1
    ROUTER = 3
    DNS = 6
    HOST_NAME = 12
    DOMAIN_NAME = 15
    MTU = 26
    BROADCAST = 28
    REQUESTED_ADDRESS = 50
    LEASE_S = 51
    OVERLOAD = 52
    MESSAGE_TYPE = 53
    SERVER_ID = 54
    PARAMETERS = 55
    MESSAGE = 56
    SIZE_MAX = 57
    RENEWAL_S = 58
    REBINDING_S = 59
    CLIENT_ID = 61
    CLASSLESS_ROUTES = 121
    END = 255


@dataclass(frozen=True, slots=True)
class Request:
    """A client's message. Options by number, concatenated where a client split them."""

    type: MessageType
    xid: bytes
    flags: int
    ciaddr: bytes
    giaddr: bytes
    chaddr: bytes
    options: dict[int, bytes]


@dataclass(frozen=True, slots=True)
class Lease:
    """One address of the port and the subnet it is in."""

    address: bytes
    subnet: SubnetItem

    @property
    def server(self) -> bytes:
        """The server identifier: the gateway's address, else a link-local one."""
        return ip_bytes(Ip(self.subnet.gateway_ip or SERVER_WITHOUT_GATEWAY))


def _parse_options(octets: bytes, options: dict[int, bytes]) -> bool:
    """Collect options up to the end mark or the last octet; False if one is cut."""
    at = 0
    while at < len(octets) and octets[at] != Option.END:
        if octets[at] == Option.PAD:
            at += 1
            continue
        if at + 2 > len(octets) or at + 2 + octets[at + 1] > len(octets):
            return False
        number, length = octets[at], octets[at + 1]
        options[number] = options.get(number, b"") + octets[at + 2 : at + 2 + length]
        at += 2 + length
    return True


def parse_request(message: bytes) -> Request | None:
    """A client's message; None if it is cut, not for Ethernet, or not DHCP."""
    if len(message) < _OPTIONS_AT + len(_COOKIE) or message[_OPTIONS_AT : _OPTIONS_AT + 4] != _COOKIE:
        return None
    if message[0] != _BOOTREQUEST or message[1] != _ETHERNET or message[2] != _MAC_BYTES:
        return None
    options: dict[int, bytes] = {}
    if not _parse_options(message[_OPTIONS_AT + 4 :], options):
        return None
    overload = options.get(Option.OVERLOAD, b"\0")[:1]
    if overload in (b"\1", b"\3") and not _parse_options(message[108:236], options):
        return None
    if overload in (b"\2", b"\3") and not _parse_options(message[44:108], options):
        return None
    kind = options.get(Option.MESSAGE_TYPE, b"")
    if len(kind) != 1 or kind[0] not in _FROM_CLIENTS:
        return None
    return Request(
        type=MessageType(kind[0]),
        xid=message[4:8],
        flags=int.from_bytes(message[10:12], "big"),
        ciaddr=message[12:16],
        giaddr=message[24:28],
        chaddr=message[28:34],
        options=options,
    )


_FROM_CLIENTS = frozenset(
    (
        MessageType.DISCOVER,
        MessageType.REQUEST,
        MessageType.DECLINE,
        MessageType.RELEASE,
        MessageType.INFORM,
    )
)


def leases(port: LocalPort, network: NetworkView) -> list[Lease]:
    """What DHCP may give this port: its IPv4 addresses in subnets that have DHCP, in the port's order."""
    found = []
    for address in port.addresses:
        subnet = network.subnets.get(address.subnet_id)
        if subnet is not None and subnet.enable_dhcp and ip_version(Ip(address.ip)) == 4:
            found.append(Lease(ip_bytes(Ip(address.ip)), subnet))
    return found


def extra(request: Request, port: LocalPort) -> Encoded:
    """The port's extra options for this client. Tags: `ipxe`."""
    return encode(port.dhcp_options, 4, _tags(request))


def _tags(request: Request) -> frozenset[str]:
    return frozenset(("ipxe",)) if _IPXE in request.options else frozenset()


def respond(request: Request, datagram: Datagram, telling: Telling) -> bytes | None:
    """The frame to send to the port, or None if nothing is to be said.

    Not answered: a machine behind the port (`chaddr` is not the port's), a relayed message (`giaddr`: it is
    for a machine elsewhere), a message for another server, and ports without DHCP.
    """
    port = telling.port
    known = leases(port, telling.network)
    if not known or request.chaddr != mac_bytes(Mac(port.mac)) or request.giaddr != bytes(4):
        return None
    if datagram.destination != BROADCAST_IPV4 and all(datagram.destination != own.server for own in known):
        return None
    server = request.options.get(Option.SERVER_ID)
    match request.type:
        case MessageType.DISCOVER:
            return _offer(MessageType.OFFER, request, _preferred(request, known), telling)
        case MessageType.REQUEST:
            if server is not None and all(server != lease.server for lease in known):
                return None
            wanted = {request.options.get(Option.REQUESTED_ADDRESS, bytes(4)), request.ciaddr} - {bytes(4)}
            for lease in known:
                if wanted == {lease.address} and server in (None, lease.server):
                    return _offer(MessageType.ACK, request, lease, telling)
            return _refuse(request, known[0], telling)
        case MessageType.INFORM:
            for lease in known:
                if lease.address == request.ciaddr and datagram.source in (request.ciaddr, bytes(4)):
                    return _inform(request, lease, telling)
            return None
        case _:
            return None


def _preferred(request: Request, known: list[Lease]) -> Lease:
    """The address a client asks for if it is one of the port's, else the port's first."""
    wanted = request.options.get(Option.REQUESTED_ADDRESS)
    return next((lease for lease in known if lease.address == wanted), known[0])


def _offer(type: MessageType, request: Request, lease: Lease, telling: Telling) -> bytes:
    own = extra(request, telling.port).values
    lease_s = telling.region.dhcp_lease_s
    if Option.LEASE_S in own:
        lease_s = int.from_bytes(own[Option.LEASE_S], "big")
    times = {
        Option.LEASE_S: struct.pack("!I", lease_s),
        Option.RENEWAL_S: struct.pack("!I", lease_s // 2),
        Option.REBINDING_S: struct.pack("!I", lease_s * 7 // 8),
    }
    options = {number: own.get(number, value) for number, value in times.items()}
    return _reply(type, request, lease, lease.address, options | _asked_for(request, lease, telling), telling)


def _inform(request: Request, lease: Lease, telling: Telling) -> bytes:
    # RFC 2131, section 4.3.5: no address and no lease times.
    return _reply(MessageType.ACK, request, lease, bytes(4), _asked_for(request, lease, telling), telling)


def _refuse(request: Request, lease: Lease, telling: Telling) -> bytes:
    options = {int(Option.MESSAGE): b"the address is not this port's"}
    return _reply(MessageType.NAK, request, lease, bytes(4), options, telling)


def _parameters(lease: Lease, telling: Telling) -> dict[int, bytes]:
    """All that can be told of a subnet, in the order it is told: the mask stands before the router (RFC 2132, 3.3)."""
    subnet, network = lease.subnet, telling.network
    prefix = network_of(Cidr(subnet.cidr))
    told: dict[int, bytes] = {
        Option.SUBNET_MASK: prefix.netmask.packed,
        Option.BROADCAST: prefix.broadcast_address.packed,
    }
    routes = _classless_routes(subnet)
    if routes:
        told[Option.CLASSLESS_ROUTES] = routes
    if subnet.gateway_ip is not None:
        told[Option.ROUTER] = ip_bytes(Ip(subnet.gateway_ip))
    servers = name_servers((subnet,), 4, network, telling.region, serves_names=telling.serves_names)
    if servers:
        told[Option.DNS] = b"".join(servers)
    if telling.port.dns_name:
        told[Option.HOST_NAME] = telling.port.dns_name.encode()
    domain = domain_of(network, telling.region)
    if domain:
        told[Option.DOMAIN_NAME] = domain.encode()
    told[Option.MTU] = struct.pack("!H", max(_MTU_MIN, min(network.network.mtu, 0xFFFF)))
    return told


def _classless_routes(subnet: SubnetItem) -> bytes:
    """Option 121, empty if the router option says it all.

    A client that understands 121 ignores the router option (RFC 3442), so the default route stands here too. Without a
    gateway the server's own address lies outside the subnet: a route makes it reachable on the link, for renewals,
    names and metadata.
    """
    routes = [(route.destination, route.nexthop) for route in subnet.host_routes]
    routes = [(to, via) for to, via in routes if ip_version(Cidr(to)) == 4 and ip_version(Ip(via)) == 4]
    if subnet.gateway_ip is None:
        routes.append((f"{SERVER_WITHOUT_GATEWAY}/32", "0.0.0.0"))
    elif routes and all(to != "0.0.0.0/0" for to, _ in routes):
        routes.append(("0.0.0.0/0", subnet.gateway_ip))
    return b"".join(encode_route(to, via) for to, via in routes)


def _asked_for(request: Request, lease: Lease, telling: Telling) -> dict[int, bytes]:
    told = _parameters(lease, telling)
    for number, value in extra(request, telling.port).values.items():
        if number not in (SERVER_ADDRESS, *_TIMES):
            told[number] = value
    asked = request.options.get(Option.PARAMETERS)
    return {number: value for number, value in told.items() if value and (asked is None or number in asked)}


_TIMES = (Option.LEASE_S, Option.RENEWAL_S, Option.REBINDING_S)


def _reply(
    type: MessageType,
    request: Request,
    lease: Lease,
    yiaddr: bytes,
    options: Mapping[int, bytes],
    telling: Telling,
) -> bytes:
    head: dict[int, bytes] = {Option.MESSAGE_TYPE: bytes([type]), Option.SERVER_ID: lease.server}
    client_id = request.options.get(Option.CLIENT_ID)
    if client_id is not None:
        head[Option.CLIENT_ID] = client_id
    ciaddr = bytes(4) if type in (MessageType.NAK, MessageType.OFFER) else request.ciaddr
    own = extra(request, telling.port).values if type is not MessageType.NAK else {}
    message = struct.pack("!BBBB4sHH", _BOOTREPLY, _ETHERNET, _MAC_BYTES, 0, request.xid, 0, request.flags)
    message += ciaddr + yiaddr + own.get(SERVER_ADDRESS, bytes(4)) + bytes(4)
    message += request.chaddr + bytes(10) + _boot_fields(own) + _COOKIE
    message += _fitting(head | dict(options), _size_max(request, telling) - len(message) - 1)
    message += bytes([Option.END])
    message = message.ljust(_MESSAGE_BYTES_MIN, b"\0")
    eth_destination, destination = _where(type, request, yiaddr)
    return build_udp_ipv4(
        eth=(eth_destination, Mac(telling.region.responder_mac)),
        source=lease.server,
        destination=destination,
        ports=(SERVER_PORT, CLIENT_PORT),
        payload=message,
    )


def _boot_fields(own: Mapping[int, bytes]) -> bytes:
    """Server and file name where a boot ROM looks that knows no options; what is too long stands in options only."""
    server, file = own.get(TFTP_SERVER, b""), own.get(BOOT_FILE, b"")
    server = server if len(server) < _SNAME_BYTES else b""
    file = file if len(file) < _FILE_BYTES else b""
    return server.ljust(_SNAME_BYTES, b"\0") + file.ljust(_FILE_BYTES, b"\0")


def _size_max(request: Request, telling: Telling) -> int:
    """How long the message may be: as the client says, but one packet of the network."""
    said = int.from_bytes(request.options.get(Option.SIZE_MAX, b"")[:2], "big")
    return max(_SIZE_MIN, min(said, telling.network.network.mtu)) - _IP_UDP_BYTES


def _fitting(options: Mapping[int, bytes], room: int) -> bytes:
    """The options, in order, as far as they fit. What is answered at all stands first and is short."""
    octets = b""
    for number, value in options.items():
        option = b"".join(bytes([number, len(part)]) + part for part in _split(value))
        if len(octets) + len(option) <= room:
            octets += option
    return octets


def _split(value: bytes) -> Iterator[bytes]:
    """An option longer than 255 octets goes in parts, which the client joins (RFC 3396)."""
    for at in range(0, max(len(value), 1), _OPTION_BYTES_MAX):
        yield value[at : at + _OPTION_BYTES_MAX]


def _where(type: MessageType, request: Request, yiaddr: bytes) -> tuple[bytes, bytes]:
    """Ethernet and IP destination of a reply. Source: RFC 2131, section 4.1."""
    if type is MessageType.NAK:
        return BROADCAST_MAC, BROADCAST_IPV4
    if type is MessageType.ACK and request.ciaddr != bytes(4):
        return request.chaddr, request.ciaddr
    if request.flags & _BROADCAST_FLAG:
        return BROADCAST_MAC, BROADCAST_IPV4
    return request.chaddr, yiaddr
