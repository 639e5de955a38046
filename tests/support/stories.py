"""Stories: sequences of packets through a site that may change on the way, for what has a memory.

Run on simulated switches (`tests/packet`) and on real ones (`tests/ovs`). A story starts with no connections.
"""

import struct
from dataclasses import dataclass, field
from itertools import count

from tests.support.packet_site import Site
from tests.support.packets import ethernet, ip_packet
from tests.support.transport_packets import ICMP, ICMPV6, TCP, UDP, icmp_text, tcp_text, udp_text

ACK, SYN, FIN, RST = 16, 2, 1, 4
FRAGMENT = 44
FIRST_BYTES, WHOLE_BYTES = 1304, 1384
"""Of the text of what is fragmented: in the first fragment, in both."""
_NUMBERS = count(1)
"""Each fragmented packet has its own, because a switch keeps fragments that wait in vain longer than a story."""


@dataclass(frozen=True)
class Machine:
    """A VM: its port's id, MAC and one address."""

    port: str
    mac: str
    ip: str


@dataclass(frozen=True)
class Step:
    """Frames that a machine sends, and the ports where each of them arrives as it is, once.

    `site`: what the region comes to before. `why`: said when it fails.
    """

    sender: str
    frames: tuple[bytes, ...]
    reaches: tuple[str, ...] = ()
    site: Site | None = None
    why: str = ""
    to: dict[str, bytes] = field(default_factory=dict)

    @property
    def expected(self) -> list[tuple[str, bytes]]:
        """(port, frame) as often as it arrives."""
        return [(port, frame) for port in self.reaches for frame in self.frames] + list(self.to.items())


@dataclass(frozen=True)
class Story:
    """`name`: a sentence."""

    name: str
    site: Site
    steps: tuple[Step, ...]


def passes(
    sender: Machine, frame: bytes | tuple[bytes, ...], to: Machine, *, site: Site | None = None
) -> Step:
    """It arrives there and nowhere else."""
    return Step(sender.port, _frames(frame), (to.port,), site)


def ends(sender: Machine, frame: bytes | tuple[bytes, ...], *, site: Site | None = None) -> Step:
    """It arrives nowhere."""
    return Step(sender.port, _frames(frame), (), site)


def _frames(frame: bytes | tuple[bytes, ...]) -> tuple[bytes, ...]:
    return (frame,) if isinstance(frame, bytes) else frame


def between(source: Machine, target: Machine, protocol: int, text: bytes) -> bytes:
    """A frame with an IP packet."""
    return ethernet(source.mac, target.mac, *ip_packet(source.ip, target.ip, protocol, text))


def tcp(
    source: Machine, target: Machine, ports: tuple[int, int], flags: int, seq: tuple[int, int] = (1, 1)
) -> bytes:
    """A TCP segment."""
    return between(source, target, TCP, tcp_text((source.ip, target.ip), ports, flags, seq))


def udp(source: Machine, target: Machine, ports: tuple[int, int], text: bytes = b"") -> bytes:
    """A UDP datagram."""
    return between(source, target, UDP, udp_text((source.ip, target.ip), ports, text))


def icmp(source: Machine, target: Machine, type: int, code: int, rest: bytes) -> bytes:
    """An ICMP message of the machines' family; `rest` follows the checksum."""
    protocol = ICMPV6 if ":" in source.ip else ICMP
    return between(source, target, protocol, icmp_text((source.ip, target.ip), type, code, rest))


def ping(source: Machine, target: Machine, identifier: int = 7) -> bytes:
    """An echo request."""
    return icmp(source, target, 128 if ":" in source.ip else 8, 0, struct.pack("!HH", identifier, 1))


def pong(source: Machine, target: Machine, identifier: int = 7) -> bytes:
    """An echo reply."""
    return icmp(source, target, 129 if ":" in source.ip else 0, 0, struct.pack("!HH", identifier, 1))


def unreachable(source: Machine, target: Machine, quoted: bytes) -> bytes:
    """Port unreachable, about a frame that came from the target."""
    is_ipv6 = ":" in source.ip
    return icmp(source, target, 1 if is_ipv6 else 3, 4 if is_ipv6 else 3, bytes(4) + quoted[14:])


def fragments(source: Machine, target: Machine, protocol: int, text: bytes) -> tuple[bytes, ...]:
    """An IP packet in two fragments. A switch that tracks connections has no patience with a short first one."""
    number = next(_NUMBERS)
    parts = ((0, 1, text[:FIRST_BYTES]), (FIRST_BYTES // 8, 0, text[FIRST_BYTES:]))
    if ":" in source.ip:
        return tuple(
            between(
                source, target, FRAGMENT, struct.pack("!BBHI", protocol, 0, offset << 3 | more, number) + part
            )
            for offset, more, part in parts
        )
    found = []
    for offset, more, part in parts:
        kind, whole = ip_packet(source.ip, target.ip, protocol, part)
        head = (
            whole[:4]
            + struct.pack("!HH", number, more << 13 | offset)
            + whole[8:10]
            + bytes(2)
            + whole[12:20]
        )
        found.append(ethernet(source.mac, target.mac, kind, _with_checksum(head) + part))
    return tuple(found)


def _with_checksum(head: bytes) -> bytes:
    number = sum(struct.unpack("!10H", head))
    while number >> 16:
        number = (number & 0xFFFF) + (number >> 16)
    return head[:10] + struct.pack("!H", number ^ 0xFFFF) + head[12:]


def fragmented_udp(source: Machine, target: Machine, ports: tuple[int, int]) -> tuple[bytes, ...]:
    """A UDP datagram in two fragments."""
    return fragments(source, target, UDP, udp_text((source.ip, target.ip), ports, bytes(WHOLE_BYTES - 8)))
