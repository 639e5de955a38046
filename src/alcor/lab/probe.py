"""A ping as frames, for simulated switches: resolve the address as a machine does, then echo request and reply."""

from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import NamedTuple

from alcor.agent.answer.frame import build_icmpv6, internet_checksum
from alcor.agent.simulated import Delivery, Fabric
from alcor.model.address import Mac, mac_bytes, mac_of_int

_ETHERTYPE_IPV4, _ETHERTYPE_ARP, _ETHERTYPE_IPV6 = b"\x08\x00", b"\x08\x06", b"\x86\xdd"
_ECHO = b"\x00\x01\x00\x01alcor"


class End(NamedTuple):
    """A machine as it sees itself."""

    mac: str
    ip: str
    subnet: IPv4Network | IPv6Network
    gateway: str


class Prober:
    """Sends for machines. `places`: MAC → (switch, OpenFlow port)."""

    def __init__(self, fabric: Fabric, places: dict[str, tuple[str, int]]) -> None:
        self._fabric, self._places = fabric, places

    def echo(self, source: End, target: End) -> bool:
        """Whether the machine at `target` hears an echo request of `source` and `source` hears its reply."""
        return self._speak(source, target, reply=False) and self._speak(target, source, reply=True)

    def _speak(self, source: End, target: End, *, reply: bool) -> bool:
        is_near = ip_address(target.ip) in source.subnet
        mac = self._resolve(source.mac, source.ip, target.ip if is_near else source.gateway)
        if mac is None:
            return False
        frame = _echo_frame(source.mac, mac, source.ip, target.ip, reply=reply)
        return self._arrives(source.mac, target.mac, frame)

    def _send(self, mac: str, frame: bytes) -> list[Delivery]:
        return self._fabric.send(*self._places[mac], frame)

    def _arrives(self, source_mac: str, target_mac: str, frame: bytes) -> bool:
        found = [(delivery.switch, delivery.ofport) for delivery in self._send(source_mac, frame)]
        return found == [self._places[target_mac]]

    def _resolve(self, mac: str, source: str, target: str) -> str | None:
        """The MAC an ARP or ND answer gives for `target`, or None if nothing answers."""
        if ip_address(target).version == 4:
            answers = [d.frame for d in self._send(mac, _arp_request(mac, source, target))]
            found = [f[22:28] for f in answers if f[12:14] == _ETHERTYPE_ARP and f[20:22] == b"\x00\x02"]
        else:
            answers = [d.frame for d in self._send(mac, _solicitation(mac, source, target))]
            # A neighbour advertisement: fixed part of 24 octets, then the target link-layer option.
            found = [f[80:86] for f in answers if f[12:14] == _ETHERTYPE_IPV6 and f[54] == 136]
        return mac_of_int(int.from_bytes(found[0], "big")) if found else None


def _arp_request(mac: str, source: str, target: str) -> bytes:
    sender = mac_bytes(Mac(mac))
    head = b"\xff" * 6 + sender + _ETHERTYPE_ARP + b"\x00\x01\x08\x00\x06\x04\x00\x01"
    return head + sender + ip_address(source).packed + b"\x00" * 6 + ip_address(target).packed


def _solicitation(mac: str, source: str, target: str) -> bytes:
    wanted = ip_address(target).packed
    group = ip_address("ff02::1:ff00:0").packed[:13] + wanted[13:]
    message = b"\x87\x00\x00\x00" + b"\x00" * 4 + wanted + b"\x01\x01" + mac_bytes(Mac(mac))
    eth = (b"\x33\x33" + group[12:], Mac(mac))
    return build_icmpv6(eth=eth, source=ip_address(source).packed, destination=group, message=message)


def _echo_frame(source_mac: str, target_mac: str, source: str, target: str, *, reply: bool) -> bytes:
    ends = ip_address(source).packed, ip_address(target).packed
    if len(ends[0]) == 16:
        message = bytes([129 if reply else 128, 0, 0, 0]) + _ECHO
        eth = (mac_bytes(Mac(target_mac)), Mac(source_mac))
        return build_icmpv6(eth=eth, source=ends[0], destination=ends[1], message=message)
    message = bytes([0 if reply else 8, 0, 0, 0]) + _ECHO
    message = message[:2] + internet_checksum(message).to_bytes(2, "big") + message[4:]
    length = (20 + len(message)).to_bytes(2, "big")
    header = b"\x45\x00" + length + b"\x00\x00\x40\x00\x40\x01\x00\x00" + ends[0] + ends[1]
    header = header[:10] + internet_checksum(header).to_bytes(2, "big") + header[12:]
    return mac_bytes(Mac(target_mac)) + mac_bytes(Mac(source_mac)) + _ETHERTYPE_IPV4 + header + message
