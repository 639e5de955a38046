"""Claims of virtual addresses: what a port says it has is told to the region, and what the region says is announced.

A port claims by any ARP of its own or neighbour advertisement (RFC 826, 4861, 5798) for an address of its allowed
pairs with the pair's MAC; the switch punts these (`pipeline.claim`). Each is told: of two hosts' claims the region
takes the last, and whether one was the last only the region knows; a port's meter bounds how many there are.

When the region says that an address is at another MAC now, the local ports of the network are told so by gratuitous
ARP or an unsolicited advertisement, after the switch answers right: whoever asked in between was told the old one.
"""

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import NamedTuple

from alcor.agent.answer.frame import (
    ALL_NODES,
    BROADCAST_MAC,
    PROTOCOL_ICMPV6,
    build_icmpv6,
    multicast_mac,
    parse_datagram,
)
from alcor.agent.handler import NOTHING, AddressClaimed, Confirmed, Frame, Outcome, PacketHandler, Punt, Tools
from alcor.goalstate.item import Claim, LocalPort
from alcor.model.address import Cidr, Ip, Mac, contains, ip_bytes, ip_version, mac_bytes
from alcor.pipeline.live import live_port
from alcor.pipeline.tables import Table
from alcor.pipeline.view import Allocation, View

_ETH_ARP = bytes.fromhex("0806")
# Ethernet, IPv4, and the lengths of their addresses.
_ARP_HEAD = bytes.fromhex("000108000604")
_ARP_BYTES = 14 + 28
_REQUEST = (1).to_bytes(2, "big")
_ADVERTISEMENT = 136
_ADVERTISEMENT_BYTES = 24
_TARGET_OPTION = bytes([2, 1])
# Not solicited, and it overrides what was known: RFC 4861, section 4.4.
_OVERRIDE, _ROUTER = 0x2000_0000, 0x8000_0000


class Said(NamedTuple):
    """ "I have it": an address and the MAC it is at."""

    ip: str
    mac: str


def claim_handler(_tools: Tools) -> PacketHandler:
    """The handler of claims, among what ports punt."""
    return PacketHandler("claim", frozenset((Table.PUNT_PORT,)), handle, noted=announce)


def handle(punt: Punt, view: View, allocation: Allocation) -> Outcome | None:
    """What a punted ARP or advertisement claims; None if it is neither. Total."""
    said = parse(punt.packet.data)
    port = view.ports.get(punt.port_id or "")
    if said is None or port is None:
        return None
    if not may_claim(port, said):
        return Outcome("claim_not_allowed")
    return Outcome("claim", observations=(AddressClaimed(port.network_id, said.ip, said.mac, port.id),))


def may_claim(port: LocalPort, said: Said) -> bool:
    """Whether the address is of one of the port's pairs, with the pair's MAC, and not a fixed one of its own."""
    if any(address.ip == said.ip for address in port.addresses):
        return False
    ip = Ip(said.ip)
    return any(
        pair.mac == said.mac
        and ip_version(Cidr(pair.cidr)) == ip_version(ip)
        and contains(Cidr(pair.cidr), ip)
        for pair in port.pairs
    )


def parse(frame: bytes) -> Said | None:
    """What a frame says of its sender; None if it is no ARP and no advertisement with a link-layer option."""
    if frame[12:14] == _ETH_ARP:
        if len(frame) < _ARP_BYTES or frame[14:20] != _ARP_HEAD:
            return None
        return Said(str(IPv4Address(frame[28:32])), frame[22:28].hex(":"))
    datagram = parse_datagram(frame)
    if datagram is None or datagram.protocol != PROTOCOL_ICMPV6 or datagram.hops != 255:
        return None
    message = datagram.payload
    if len(message) < _ADVERTISEMENT_BYTES or message[:2] != bytes([_ADVERTISEMENT, 0]):
        return None
    options = message[_ADVERTISEMENT_BYTES:]
    # Without the option it is at the MAC the frame came from.
    mac = options[2:8] if options[:2] == _TARGET_OPTION and len(options) >= 8 else datagram.eth_source
    return Said(str(IPv6Address(message[8:24])), mac.hex(":"))


def announce(confirmed: Confirmed, view: View, allocation: Allocation) -> Outcome:
    """Tell the local ports of its network of each claim that is at another MAC than before.

    Cost: O(local ports of these networks), one frame each.
    """
    frames: list[Frame] = []
    for change in confirmed.items:
        claim, before = change.after, change.before
        if isinstance(claim, Claim) and (not isinstance(before, Claim) or before.mac != claim.mac):
            frames += _to_ports(change.scope.id, claim, view, allocation)
    return Outcome("claim_announced", tuple(frames)) if frames else NOTHING


def _to_ports(network_id: str, claim: Claim, view: View, allocation: Allocation) -> Iterator[Frame]:
    data = announcement(Said(claim.id, claim.mac))
    for port_id in view.ports_of(network_id):
        port = live_port(port_id, view, allocation)
        if port is not None and port_id != claim.port_id:
            yield Frame(data, port.ofport, port_id)


def announcement(said: Said, *, is_router: bool = False) -> bytes:
    """A gratuitous ARP request (RFC 5227, section 3) or an unsolicited advertisement (RFC 4861, section 7.2.6)."""
    ip, mac = ip_address(said.ip), Mac(said.mac)
    sender = mac_bytes(mac)
    if isinstance(ip, IPv4Address):
        text = _ARP_HEAD + _REQUEST + sender + ip.packed + bytes(6) + ip.packed
        return (BROADCAST_MAC + sender + _ETH_ARP + text).ljust(60, b"\0")
    head = bytes([_ADVERTISEMENT, 0, 0, 0]) + (_OVERRIDE | (_ROUTER if is_router else 0)).to_bytes(4, "big")
    message = head + ip_bytes(Ip(said.ip)) + _TARGET_OPTION + sender
    return build_icmpv6(
        eth=(multicast_mac(ALL_NODES), mac), source=ip.packed, destination=ALL_NODES, message=message
    )
