"""Small sets of flows with the frames to send through them, for a comparison of the simulated switch with a real one.

All that leaves does so by `Controller`, with registers and CT_… fields. Fragments of different programs have different
identifiers: a real switch remembers those that wait.
"""

import struct
from dataclasses import dataclass

from alcor.pipeline.flow import (
    Action,
    Bucket,
    CheckPacketLarger,
    Conjunction,
    Conntrack,
    ConntrackClear,
    Controller,
    DecTtl,
    Field,
    Flow,
    Group,
    GroupKind,
    GroupSpec,
    Move,
    Nat,
    NatRange,
    PopVlan,
    PushVlan,
    Resubmit,
    SetField,
    match,
)
from alcor.pipeline.tables import COOKIE_OURS, GROUPS_OURS
from tests.support.transport_packets import (
    ACK,
    FIN,
    ICMP,
    ICMPV6,
    RST,
    SYN,
    TCP,
    UDP,
    echo,
    fragments,
    frame,
    icmp_text,
    packet,
    tcp,
    tcp_text,
    udp,
    udp_text,
    unreachable,
)

A, B, C = "10.0.0.1", "10.0.0.2", "10.0.0.7"
ROUTER = "10.0.0.5"
PUBLIC, PUBLIC_NUMBER = "10.9.9.9", 0x0A090909
THERE, BACK = (A, B), (B, A)
THERE6, BACK6 = ("fd00::1", "fd00::2"), ("fd00::2", "fd00::1")
IPV4, IPV6 = {"eth_type": 0x0800}, {"eth_type": 0x86DD}
NEW = (1, 1)
BIG = bytes(1500)
FIRST_BYTES = 1400


@dataclass(frozen=True, slots=True)
class Program:
    """Flows (and groups) and the frames that enter by port 1, in order."""

    name: str
    flows: tuple[Flow, ...]
    frames: tuple[bytes, ...]
    groups: tuple[GroupSpec, ...] = ()


def f(table: int, *actions: Action, priority: int = 100, **terms: int | tuple[int, int]) -> Flow:
    """A flow of ours."""
    return Flow(table, priority, match(**terms), actions, COOKIE_OURS | 1)


def ct(zone: int | Field, table: int | None = None, **more: object) -> Conntrack:
    """A look-up."""
    return Conntrack(zone, table=table, **more)  # type: ignore[arg-type]  # keywords of Conntrack


def commit(zone: int | Field, table: int | None = None, **more: object) -> Conntrack:
    """A commit."""
    return ct(zone, table, commit=True, **more)


TRACK = tuple(
    flow
    for kind in (IPV4, IPV6)
    for flow in (f(0, SetField(Field.REG5, 7), ct(3, 1), **kind), f(1, Controller(), commit(3), **kind))
)
"""Look up, show what was found, commit."""

SOURCE = Nat(source=NatRange(4, PUBLIC_NUMBER))
SOURCE_NAT = (
    f(0, ct(3, 1, nat=Nat()), **IPV4),
    f(1, Controller(), commit(3, 2, nat=SOURCE), **IPV4),
    f(2, Controller()),
)
TARGET = Nat(destination=NatRange(4, PUBLIC_NUMBER, port_min=80))
TARGET_NAT = (
    f(0, ct(3, 1, nat=Nat()), **IPV4),
    f(1, Controller(), commit(3, 2, nat=TARGET), **IPV4),
    f(2, Controller()),
)


def some_fragments(
    identifier: int, ip: tuple[str, str] = THERE, first_bytes: int = FIRST_BYTES
) -> list[bytes]:
    """A datagram from port 11 to port 12 in two fragments."""
    return fragments(ip, UDP, udp_text(ip, (11, 12), BIG), first_bytes, identifier=identifier)


def broken(whole: bytes) -> bytes:
    """The same with its last bit turned over."""
    return whole[:-1] + bytes((whole[-1] ^ 1,))


def quoted_tcp(ip: tuple[str, str], ports: tuple[int, int]) -> bytes:
    """A packet as an error quotes it, whole."""
    return packet(ip, TCP, tcp_text(ip, ports, ACK))


_TRACKING = (
    Program(
        "a datagram is new until it was answered",
        TRACK,
        (*[udp(THERE, (5, 6))] * 3, udp(BACK, (6, 5)), udp(THERE, (5, 6)), udp(BACK, (6, 5))),
    ),
    Program(
        "so is an echo, and a reply that nobody asked for is invalid",
        TRACK,
        (
            *[echo(THERE, 9)] * 2,
            echo(BACK, 9, is_reply=True),
            echo(THERE, 9),
            echo(BACK, 10, is_reply=True),
            echo(BACK, 9),
        ),
    ),
    Program(
        "the same with IPv6",
        TRACK,
        (
            *[echo(THERE6, 9)] * 2,
            echo(BACK6, 9, is_reply=True),
            echo(THERE6, 9),
            echo(BACK6, 10, is_reply=True),
            unreachable(("fd00::9", "fd00::1"), packet(THERE6, ICMPV6, icmp_text(THERE6, 128, 0, bytes(8)))),
            udp(THERE6, (5, 6)),
            unreachable(("fd00::9", "fd00::1"), packet(THERE6, UDP, udp_text(THERE6, (5, 6)))),
        ),
    ),
    Program(
        "a TCP connection from handshake to reuse, with errors about it",
        TRACK,
        (
            *[tcp(THERE, (5, 6), SYN)] * 2,
            tcp(BACK, (6, 5), SYN | ACK, (1, 2)),
            tcp(THERE, (5, 6), ACK, (2, 2)),
            tcp(BACK, (6, 5), ACK, (2, 2)),
            unreachable(BACK, quoted_tcp(THERE, (5, 6))[:28]),
            unreachable(THERE, quoted_tcp(BACK, (6, 5))[:28]),
            unreachable(THERE, quoted_tcp(BACK, (6, 7))),
            tcp(THERE, (5, 6), FIN | ACK, (2, 2)),
            tcp(BACK, (6, 5), FIN | ACK, (2, 3)),
            tcp(THERE, (5, 6), ACK, (3, 3)),
            tcp(THERE, (5, 6), SYN, (9, 0)),
            tcp(BACK, (6, 5), SYN | ACK, (9, 10)),
        ),
    ),
    Program(
        "TCP picked up in its middle, and flags that no stack sends",
        TRACK,
        (
            tcp(THERE, (7, 6), ACK),
            tcp(BACK, (6, 7), ACK),
            tcp(THERE, (8, 6), SYN | ACK),
            tcp(THERE, (9, 6), RST),
            tcp(THERE, (9, 6), FIN),
            tcp(THERE, (9, 6), SYN | FIN),
        ),
    ),
    Program(
        "a refused TCP connection may be tried again",
        TRACK,
        (
            tcp(THERE, (5, 6), SYN),
            tcp(BACK, (6, 5), RST | ACK, (1, 2)),
            tcp(THERE, (5, 6), SYN, (5, 0)),
            tcp(BACK, (6, 5), SYN | ACK, (5, 6)),
        ),
    ),
    Program(
        "other protocols are known by addresses",
        TRACK,
        (
            *[frame(THERE, 47, bytes(20))] * 2,
            frame(BACK, 47, bytes(20)),
            frame(THERE6, 47, bytes(20)),
            frame(THERE, 132, bytes((0, 5, 0, 6)) + bytes(8) + bytes((1, 0, 0, 20)) + bytes(16)),
            broken(udp(THERE, (50, 60), b"xx")),
        ),
    ),
    Program(
        "fragments wait for each other, in any order; short ones are invalid",
        TRACK,
        (
            *some_fragments(1001),
            *reversed(some_fragments(1002)),
            *some_fragments(1003, first_bytes=24),
            *some_fragments(1004, THERE6),
        ),
    ),
    Program(
        "the first packet's ports are known of a first fragment, not of a later one",
        (
            f(0, ct(3, 1), **IPV4),
            f(1, Controller(), priority=9, **IPV4),
            f(
                1,
                SetField(Field.REG1, 3),
                Controller(),
                ct_state=(33, 33),
                ct_ip_proto=17,
                ct_port_dst=12,
                **IPV4,
            ),
        ),
        tuple(some_fragments(1005)),
    ),
    Program(
        "fragments commit together where later ones go the first one's way",
        (
            f(0, ct(3, 1), **IPV4),
            f(1, Resubmit(2), ct_state=NEW, ip_proto=17, udp_dst=12, **IPV4),
            f(1, Resubmit(2), ct_state=NEW, ip_frag=3, **IPV4),
            f(2, commit(3, 3), **IPV4),
            f(3, Controller()),
        ),
        (
            *some_fragments(1006),
            *fragments(THERE, UDP, udp_text(THERE, (11, 13), BIG), FIRST_BYTES, identifier=1007),
            udp(BACK, (12, 11)),
        ),
    ),
    Program(
        "a forced commit turns a connection round",
        (
            f(0, ct(3, 1), **IPV4),
            f(
                1,
                Controller(),
                commit(
                    3,
                    2,
                    force=True,
                    actions=(SetField(Field.CT_MARK, 5), Move(Field.REG5, Field.CT_LABEL, 16, 0, 64)),
                ),
                **IPV4,
            ),
            f(2, Controller()),
        ),
        (udp(THERE, (5, 6)), udp(BACK, (6, 5)), udp(BACK, (6, 5)), udp(THERE, (5, 6))),
    ),
)

_ZONES = (
    Program(
        "two zones, one from a register, and what is left of their fields",
        (
            f(0, ct(3, 1), **IPV4),
            f(
                1,
                Controller(),
                commit(3, actions=(SetField(Field.CT_MARK, 1),)),
                SetField(Field.REG13, 0x10004),
                ct(Field.REG13, 2),
                **IPV4,
            ),
            f(
                2,
                Controller(),
                commit(Field.REG13, actions=(SetField(Field.CT_MARK, 2, 3),)),
                Controller(),
                ct_state=NEW,
                **IPV4,
            ),
            f(2, Controller(), ConntrackClear(), Controller(), priority=5),
        ),
        (
            udp(THERE, (5, 6)),
            udp(BACK, (6, 5)),
            udp(THERE, (5, 6)),
            echo(THERE, 4),
            echo(BACK, 4, is_reply=True),
        ),
    ),
    Program(
        "a second zone that knows the connection the other way round",
        (
            f(0, ct(3, 1), **IPV4),
            f(1, ct(4, 2), **IPV4),
            f(2, Controller(), commit(3), ipv4_src=0x0A000001, **IPV4),
            f(2, Controller(), commit(4), ipv4_src=0x0A000002, **IPV4),
        ),
        (udp(THERE, (5, 6)), udp(BACK, (6, 5)), udp(THERE, (5, 6)), udp(BACK, (6, 5)), udp(THERE, (5, 6))),
    ),
    Program(
        "source translation in one zone, target translation in the next",
        (
            f(0, ct(3, 1, nat=Nat()), **IPV4),
            f(1, commit(3, 2, nat=SOURCE), ct_state=NEW, **IPV4),
            f(1, Resubmit(2), priority=5),
            f(2, Controller(), ct(4, 3, nat=Nat()), **IPV4),
            f(
                3,
                Controller(),
                commit(4, 4, nat=Nat(destination=NatRange(4, 0x0A080808))),
                ct_state=NEW,
                **IPV4,
            ),
            f(3, Resubmit(4), priority=5),
            f(4, Controller()),
        ),
        (udp(THERE, (5, 6)), udp(("10.8.8.8", PUBLIC), (6, 5)), *[udp(THERE, (5, 6))] * 2),
    ),
)

_NAT = (
    Program(
        "source translation, replies, collisions of ports, errors, fragments",
        SOURCE_NAT,
        (
            *[udp(THERE, (5, 6))] * 2,
            udp((B, PUBLIC), (6, 5)),
            udp(THERE, (5, 6)),
            udp((C, B), (5, 6)),
            udp(("10.0.0.8", B), (5, 6)),
            unreachable((ROUTER, PUBLIC), packet((PUBLIC, B), UDP, udp_text((PUBLIC, B), (5, 6)))),
            unreachable(THERE, packet(BACK, UDP, udp_text(BACK, (6, 5)))),
            tcp(THERE, (5000, 80), SYN),
            tcp((B, PUBLIC), (80, 5000), SYN | ACK, (1, 2)),
            unreachable((ROUTER, PUBLIC), quoted_tcp((PUBLIC, B), (5000, 80))),
            unreachable((ROUTER, PUBLIC), quoted_tcp((PUBLIC, B), (5000, 80))[:28]),
            echo(THERE, 7),
            echo((B, PUBLIC), 7, is_reply=True),
            unreachable(
                (ROUTER, PUBLIC),
                packet((PUBLIC, B), ICMP, icmp_text((PUBLIC, B), 8, 0, struct.pack("!HH", 7, 1))),
            ),
            *some_fragments(1010),
            *some_fragments(1011),
        ),
    ),
    Program(
        "target translation, replies, collisions, errors",
        TARGET_NAT,
        (
            *[udp(THERE, (5, 6))] * 2,
            udp((PUBLIC, A), (80, 5)),
            udp(THERE, (5, 6)),
            udp((PUBLIC, A), (81, 5)),
            unreachable((ROUTER, A), packet((A, PUBLIC), UDP, udp_text((A, PUBLIC), (5, 80)))),
            udp((A, "10.0.0.99"), (5, 6)),
            udp((A, "10.0.0.98"), (2005, 6)),
            udp((A, "10.0.0.97"), (2005, 6)),
        ),
    ),
    Program(
        "no port left: untranslated, and nothing kept",
        (
            f(0, commit(3, 2, nat=Nat(NatRange(4, PUBLIC_NUMBER, port_min=99))), **IPV4),
            f(2, Controller()),
        ),
        (udp(THERE, (5, 6)), udp(THERE, (7, 6)), echo(THERE, 9), echo((C, B), 9)),
    ),
    Program(
        "without a table the packet itself is translated",
        (f(0, commit(3, nat=SOURCE), Controller(), Resubmit(1), **IPV4), f(1, Controller())),
        (udp(THERE, (5, 6)),),
    ),
    Program(
        "IPv6 too",
        (
            f(0, ct(3, 1, nat=Nat()), **IPV6),
            f(1, commit(3, 2, nat=Nat(NatRange(6, 0xFD09 << 112 | 9))), ct_state=NEW, **IPV6),
            f(1, Resubmit(2), priority=5),
            f(2, Controller()),
        ),
        (
            udp(THERE6, (5, 6)),
            udp(("fd00::2", "fd09::9"), (6, 5)),
            unreachable(
                ("fd00::5", "fd09::9"),
                packet(("fd09::9", "fd00::2"), UDP, udp_text(("fd09::9", "fd00::2"), (5, 6))),
            ),
            *some_fragments(1012, THERE6),
        ),
    ),
)

_UDP4 = {"ip_proto": 17, **IPV4}
_REST = (
    Program(
        "conjunctions: clauses of one priority, hard flows above and below",
        (
            f(0, Conjunction(7, 1, 2), ipv4_src=0x0A000001, **IPV4),
            f(0, Conjunction(7, 1, 2), Conjunction(8, 1, 2), ipv4_src=0x0A000002, **IPV4),
            f(0, Conjunction(7, 2, 2), udp_dst=6, **_UDP4),
            f(0, Conjunction(8, 2, 2), udp_dst=7, **_UDP4),
            f(0, SetField(Field.REG1, 7), Controller(), conj_id=7),
            f(0, SetField(Field.REG1, 8), Controller(), conj_id=8, priority=3),
            f(0, SetField(Field.REG1, 9), Controller(), priority=2),
            f(0, SetField(Field.REG1, 10), Controller(), priority=200, udp_src=77, **_UDP4),
            f(0, SetField(Field.REG1, 11), Controller(), priority=50, udp_src=78, **_UDP4),
        ),
        tuple(
            udp(ends, ports)
            for ends in (THERE, BACK, (C, A))
            for ports in ((5, 6), (5, 7), (5, 8), (77, 6), (77, 7), (78, 6), (78, 7))
        ),
    ),
    Program(
        "VLAN tags come and go",
        (
            f(
                0,
                *(PushVlan(), SetField(Field.VLAN_VID, 0x1064), Controller(), PopVlan(), Controller()),
                vlan_vid=0,
            ),
            f(0, PopVlan(), Controller(), vlan_vid=0x1065),
            f(
                0,
                *(SetField(Field.VLAN_VID, 0x1067), Controller(), PushVlan()),
                *(SetField(Field.VLAN_VID, 0x1068), Controller()),
                vlan_vid=0x1066,
            ),
            f(0, Move(Field.REG5, Field.VLAN_TCI, 12), Controller(), priority=5),
        ),
        (
            udp(THERE, (5, 6)),
            *(frame(THERE, UDP, udp_text(THERE, (5, 6)), vlan=tag) for tag in (0x65, 0x6066, 0x2069)),
        ),
    ),
    Program(
        "a length is the whole frame's",
        (f(0, CheckPacketLarger(100, Field.REG1, 3), CheckPacketLarger(99, Field.REG1, 4), Controller()),),
        tuple(
            frame(THERE, UDP, udp_text(THERE, (5, 6), bytes(size)), vlan=tag)
            for size in (53, 54, 55, 57, 58, 59)
            for tag in (None, 5)
        ),
    ),
    Program(
        "groups work on copies; of weight 0 is never chosen",
        (
            f(0, Group(GROUPS_OURS[1]), Controller(), **_UDP4),
            f(0, Group(GROUPS_OURS[2]), Controller(), ip_proto=6, **IPV4),
            f(0, Group(GROUPS_OURS[3]), Controller(), ip_proto=1, **IPV4),
            f(1, Controller()),
        ),
        (udp(THERE, (5, 6)), tcp(THERE, (5, 6), SYN), echo(THERE, 1)),
        (
            GroupSpec(
                GROUPS_OURS[1],
                GroupKind.ALL,
                (
                    Bucket(1, (SetField(Field.REG1, 5), Resubmit(1))),
                    Bucket(2, (SetField(Field.IPV4_DST, 7), Resubmit(1))),
                ),
            ),
            GroupSpec(
                GROUPS_OURS[2],
                GroupKind.SELECT,
                (
                    Bucket(1, (SetField(Field.REG1, 5), Resubmit(1)), weight=5),
                    Bucket(2, (SetField(Field.REG1, 6), Resubmit(1)), weight=0),
                ),
                (Field.IPV4_SRC,),
            ),
            GroupSpec(
                GROUPS_OURS[3], GroupKind.INDIRECT, (Bucket(1, (SetField(Field.REG2, 6), Resubmit(1))),)
            ),
        ),
    ),
    Program(
        "type of service, TCP flags, packet mark, TTL",
        (
            f(
                0,
                *(SetField(Field.IP_DSCP, 10), SetField(Field.IP_ECN, 1), SetField(Field.PKT_MARK, 4)),
                *(Controller(), DecTtl(), Controller()),
                **IPV4,
            ),
            f(0, SetField(Field.IP_DSCP, 10), SetField(Field.IP_ECN, 1), Controller(), **IPV6),
            f(0, SetField(Field.REG2, 1), Controller(), priority=200, ip_proto=6, tcp_flags=(2, 18), **IPV4),
        ),
        (
            udp(THERE, (5, 6)),
            udp(THERE6, (5, 6)),
            tcp(THERE, (5, 6), SYN),
            tcp(THERE, (5, 6), SYN | ACK),
            *some_fragments(1020),
        ),
    ),
    Program(
        "fragments are told apart",
        (
            f(0, SetField(Field.REG1, 1), Controller(), ip_frag=(1, 3), **IPV4),
            f(0, SetField(Field.REG1, 2), Controller(), ip_frag=3, **IPV4),
            f(0, SetField(Field.REG1, 3), Controller(), ip_frag=0, **IPV4),
        ),
        (*some_fragments(1021), udp(THERE, (5, 6))),
    ),
)

PROGRAMS: tuple[Program, ...] = (*_TRACKING, *_ZONES, *_NAT, *_REST)
