"""Stories of security groups: who may talk to whom, with which memory.

Machines: A (red-1) and B (red-2) on host h1, C (red-3) on h2, D (red-4) on h3; OFF (red-open) has no port security.
Groups: *client*, *server*, *other*; `a_site` says who is in which and what their rules are.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace

from alcor.model.address_group import AddressGroup
from alcor.model.port_value import AddressPair
from alcor.model.resource import Entity
from alcor.model.security_group import SecurityGroup
from alcor.model.security_group_rule import SecurityGroupRule
from tests.support.packet_cases import (
    I1,
    I2,
    I3,
    I4,
    I_OPEN,
    M1,
    M2,
    M3,
    M4,
    M_OPEN,
    S1,
    S2,
    S3,
    S4,
    STANDARD,
)
from tests.support.packet_site import Site
from tests.support.packets import ALL_NODES, BROADCAST, arp, multicast_mac
from tests.support.packets import udp as plain_udp
from tests.support.stories import (
    ACK,
    SYN,
    WHOLE_BYTES,
    Machine,
    Step,
    Story,
    between,
    ends,
    fragmented_udp,
    fragments,
    icmp,
    passes,
    ping,
    pong,
    tcp,
    udp,
    unreachable,
)
from tests.support.transport_packets import ICMP, icmp_text

A, B, C, D = (
    Machine(id, mac, ip)
    for id, mac, ip in (("red-1", M1, I1), ("red-2", M2, I2), ("red-3", M3, I3), ("red-4", M4, I4))
)
A6, B6, C6, D6 = (replace(one, ip=ip) for one, ip in ((A, S1), (B, S2), (C, S3), (D, S4)))
OFF = Machine("red-open", M_OPEN, I_OPEN)
GRE = 47
Groups = Mapping[str, tuple[str, ...]]
BOTH: Groups = {"red-1": ("client",), "red-2": ("server",), "red-3": ("server",)}
"""A is the client; B, on its host, and C, on another, are servers; D is neither."""


def rule(
    group: str, direction: str, protocol: str | None = None, *ports: int, **fields: object
) -> SecurityGroupRule:
    """A rule of a group; its id says what it is. `ports`: first and last, or ICMP type and code."""
    first, last = (*ports, *([None] * (2 - len(ports)))) if ports else (None, None)
    text = "-".join(str(part) for part in (group, direction, protocol, first, last, *fields.values()))
    values = {"direction": f"{direction}gress", "protocol": protocol, **fields}
    return SecurityGroupRule(
        id=text,
        security_group_id=group,
        port_range_min=first,
        port_range_max=last,
        **values,  # type: ignore[arg-type]  # checked when made
    )


def for_both(
    group: str, direction: str, protocol: str | None = None, *ports: int, **fields: object
) -> tuple[SecurityGroupRule, ...]:
    """A rule for IPv4 and for IPv6."""
    return tuple(
        rule(group, direction, protocol, *ports, ethertype=kind, **fields) for kind in ("IPv4", "IPv6")
    )


def a_site(
    *rows: Entity, groups: Groups = BOTH, stateless: tuple[str, ...] = (), start: Site = STANDARD
) -> Site:
    """The standard site with these groups; the ports that are not named are in none."""
    site = start
    for port in ("red-1", "red-2", "red-3", "red-4"):
        site = site.but(port, security_groups=groups.get(port, ()))
    for group in ("client", "server", "other"):
        site = site.and_row(SecurityGroup(id=group, stateful=group not in stateless))
    for row in rows:
        site = site.and_row(row)
    return site


ASK = for_both("client", "e", "tcp", 80, 80)
SERVE = for_both("server", "in", "tcp", 80, 80, remote_group_id="client")
ASK_UDP = for_both("client", "e", "udp")
SERVE_UDP = for_both("server", "in", "udp", 53, 53)
WEB = a_site(*ASK, *SERVE)
NAMES = a_site(*ASK_UDP, *SERVE_UDP)
WEB_PORTS, WEB_BACK = (40_000, 80), (80, 40_000)
ASKED, ANSWERED = (40_000, 53), (53, 40_000)


def handshake(client: Machine, server: Machine) -> tuple[Step, ...]:
    """A TCP connection is opened."""
    return (
        passes(client, tcp(client, server, WEB_PORTS, SYN, (100, 0)), server),
        passes(server, tcp(server, client, WEB_BACK, SYN | ACK, (500, 101)), client),
        passes(client, tcp(client, server, WEB_PORTS, ACK, (101, 501)), server),
    )


def _opening(client: Machine, server: Machine, about: str) -> Iterator[Story]:
    """What holds between any two machines."""
    back = tcp(server, client, WEB_BACK, ACK, (501, 101))
    opened = handshake(client, server)
    yield Story(
        f"a connection that both sides allow opens and is answered {about}",
        WEB,
        (*opened, passes(server, back, client)),
    )
    yield Story(
        f"the server may not open one {about}",
        WEB,
        (ends(server, tcp(server, client, (80, 80), SYN, (1, 0))),),
    )
    yield Story(
        f"what only the sender allows ends at the receiver {about}",
        a_site(*for_both("client", "e"), *SERVE),
        (ends(client, tcp(client, server, (40_000, 81), SYN, (1, 0))), *opened),
    )
    yield Story(
        f"what only the receiver allows ends at the sender {about}",
        a_site(*ASK, *for_both("server", "in")),
        (ends(client, tcp(client, server, (40_000, 81), SYN, (1, 0))), *opened),
    )


def _ending(client: Machine, server: Machine, about: str) -> Iterator[Story]:
    forth = tcp(client, server, WEB_PORTS, ACK, (101, 501))
    back = tcp(server, client, WEB_BACK, ACK, (501, 101))
    opened = handshake(client, server)
    yield Story(
        f"a connection ends when the receiver's rule goes {about}",
        WEB,
        (
            *opened,
            ends(client, forth, site=a_site(*ASK)),
            ends(server, back),
            passes(client, forth, server, site=WEB),
            passes(server, back, client),
        ),
    )
    yield Story(
        f"a connection ends when the sender's rule goes {about}",
        WEB,
        (
            *opened,
            ends(client, forth, site=a_site(*SERVE)),
            ends(server, back),
            passes(client, forth, server, site=WEB),
            passes(server, back, client),
        ),
    )
    yield Story(
        f"a connection survives a rule that comes and one that it does not need going {about}",
        WEB,
        (
            *opened,
            passes(client, forth, server, site=a_site(*ASK, *SERVE, *SERVE_UDP)),
            passes(server, back, client),
            passes(client, forth, server, site=a_site(*ASK, *for_both("server", "in"))),
            passes(server, back, client),
        ),
    )
    yield Story(
        f"a connection ends when the client leaves the group that was let in {about}",
        WEB,
        (
            *opened,
            ends(
                client,
                forth,
                site=a_site(*ASK, *for_both("other", "e"), *SERVE, groups={**BOTH, "red-1": ("other",)}),
            ),
            ends(server, back),
        ),
    )


def _datagrams(client: Machine, server: Machine, about: str) -> Iterator[Story]:
    question, answer = udp(client, server, ASKED), udp(server, client, ANSWERED)
    yield Story(
        f"datagrams are answered {about}",
        NAMES,
        (ends(server, answer), passes(client, question, server), passes(server, answer, client)),
    )
    yield Story(
        f"one-way datagrams pass, and end with their rule, the late answer too {about}",
        NAMES,
        (
            *(passes(client, question, server) for _ in range(4)),
            ends(client, question, site=a_site(*ASK_UDP)),
            ends(server, answer),
        ),
    )
    yield Story(
        f"an error about a connection passes, one about none does not {about}",
        NAMES,
        (
            ends(server, unreachable(server, client, question)),
            passes(client, question, server),
            passes(server, unreachable(server, client, question), client),
        ),
    )


def _fragments(client: Machine, server: Machine, about: str) -> Iterator[Story]:
    question, answer = udp(client, server, ASKED), udp(server, client, ANSWERED)
    whole, denied = (
        fragmented_udp(client, server, ASKED),
        fragmented_udp(client, server, (40_000, 54)),
    )
    yield Story(
        f"fragments are judged by the ports of their first {about}",
        NAMES,
        (
            passes(client, whole, server),
            ends(client, denied),
            ends(client, whole[1:]),
            passes(server, answer, client),
        ),
    )
    yield Story(
        f"fragments of an answered exchange are judged too {about}",
        NAMES,
        (
            passes(client, question, server),
            passes(server, answer, client),
            passes(client, whole, server),
            passes(server, fragmented_udp(server, client, ANSWERED), client),
            ends(client, whole, site=a_site(*ASK_UDP)),
            ends(server, answer),
        ),
    )


def _stateless(client: Machine, server: Machine, about: str) -> Iterator[Story]:
    question, answer = udp(client, server, ASKED), udp(server, client, ANSWERED)
    both = ("client", "server")
    yield Story(
        f"without state an answer needs its rules {about}",
        a_site(*ASK_UDP, *SERVE_UDP, stateless=both),
        (
            passes(client, question, server),
            ends(server, answer),
            ends(server, answer, site=a_site(*ASK_UDP, *SERVE_UDP, *for_both("server", "e"), stateless=both)),
            passes(
                server,
                answer,
                client,
                site=a_site(
                    *ASK_UDP, *SERVE_UDP, *for_both("server", "e"), *for_both("client", "in"), stateless=both
                ),
            ),
        ),
    )
    yield Story(
        f"without state later fragments pass with their protocol {about}",
        a_site(*ASK_UDP, *SERVE_UDP, stateless=both),
        (
            passes(client, fragmented_udp(client, server, ASKED), server),
            passes(client, fragmented_udp(client, server, (40_000, 54))[1:], server),
            ends(client, fragmented_udp(client, server, (40_000, 54))[:1]),
            ends(client, fragments(client, server, GRE, bytes(WHOLE_BYTES))[:1]),
        ),
    )
    yield Story(
        f"one stateful group makes a port stateful {about}",
        a_site(
            *ASK_UDP,
            *SERVE_UDP,
            stateless=("server", "client"),
            groups={"red-1": ("client",), "red-2": ("other", "server"), "red-3": ("other", "server")},
        ),
        (passes(client, question, server), ends(server, answer)),
    )


TRACKED = tuple(
    story
    for client, server, about in (
        (A, B, "on one host"),
        (A, C, "between hosts"),
        (A6, B6, "on one host, IPv6"),
        (A6, C6, "between hosts, IPv6"),
    )
    for stories in (_opening, _ending, _datagrams, _fragments)
    for story in stories(client, server, about)
)
UNTRACKED = tuple(
    story
    for client, server, about in ((A, B, "on one host"), (A6, C6, "between hosts, IPv6"))
    for story in _stateless(client, server, about)
)

_TO_ALL = plain_udp((M1, BROADCAST), (I1, "255.255.255.255"), (4000, 4000))
_TO_ALL_V6 = plain_udp((M1, multicast_mac(ALL_NODES)), (S1, ALL_NODES), (4000, 4000))

DENIED = (
    Story(
        "without groups nothing passes but what finds the neighbours",
        a_site(groups={}),
        (
            ends(A, ping(A, B)),
            ends(A, ping(A, C)),
            ends(A, _TO_ALL),
            passes(A, arp(2, (M1, I1), (M2, I2)), B),
        ),
    ),
    Story(
        "groups without rules deny all",
        a_site(),
        (ends(A, ping(A, B)), ends(C, ping(C, A)), ends(A, between(A, C, GRE, bytes(8)))),
    ),
    Story(
        "without port security nothing is asked, at either end",
        a_site(*for_both("client", "e")),
        (
            passes(A, ping(A, OFF), OFF),
            passes(OFF, pong(OFF, A), A),
            ends(OFF, ping(OFF, A)),
            ends(OFF, ping(OFF, C)),
        ),
    ),
    Story(
        "a broadcast and a multicast arrive where rules let them in",
        a_site(*for_both("client", "e"), *for_both("server", "in", "udp", 4000, 4000)),
        (
            Step("red-1", (_TO_ALL,), ("red-2", "red-3", "red-open")),
            Step("red-1", (_TO_ALL_V6,), ("red-2", "red-3", "red-open")),
        ),
    ),
)

_RANGE = a_site(*for_both("client", "e"), *for_both("server", "in", "tcp", 1000, 2003))

RULES = (
    Story(
        "a range of ports is that range",
        _RANGE,
        (
            *(
                passes(A, tcp(A, C, (40_000, port), SYN, (1, 0)), C)
                for port in (1000, 1001, 1024, 2000, 2003)
            ),
            *(ends(A, tcp(A, C, (40_000, port), SYN, (1, 0))) for port in (0, 999, 2004, 1000 + 4096)),
            ends(A, udp(A, C, (40_000, 1000))),
        ),
    ),
    Story(
        "ICMP by type and code",
        a_site(
            *for_both("client", "e"),
            rule("server", "in", "icmp", 8, 0),
            rule("server", "in", "ipv6-icmp", 128, 0, ethertype="IPv6"),
        ),
        (
            passes(A, ping(A, C), C),
            passes(C, pong(C, A), A),
            passes(A6, ping(A6, B6), B6),
            ends(A, icmp(A, C, 13, 0, bytes(16))),
            passes(A, fragments(A, C, ICMP, icmp_text((I1, I3), 8, 0, bytes(WHOLE_BYTES - 4))), C),
            ends(A, fragments(A, C, ICMP, icmp_text((I1, I3), 13, 0, bytes(WHOLE_BYTES - 4)))),
        ),
    ),
    Story(
        "a protocol by number",
        a_site(*for_both("client", "e"), rule("server", "in", str(GRE))),
        (passes(A, between(A, C, GRE, bytes(8)), C), ends(A, between(A, C, 50, bytes(8)))),
    ),
    Story(
        "one IP version does not speak for the other",
        a_site(rule("client", "e"), rule("server", "in")),
        (passes(A, ping(A, C), C), ends(A6, ping(A6, C6))),
    ),
    Story(
        "a remote prefix",
        a_site(
            rule("client", "e", remote_ip_prefix="10.0.0.2/31"),
            rule("server", "in", remote_ip_prefix="10.0.0.0/30"),
            rule("other", "e"),
            groups={**BOTH, "red-4": ("other",)},
        ),
        (passes(A, ping(A, B), B), passes(A, ping(A, C), C), ends(A, ping(A, D)), ends(D, ping(D, B))),
    ),
)

_POOL = AddressGroup(id="pool", addresses=("10.0.0.0/30",))
_ODD = AddressGroup(id="odd", addresses=("10.0.0.1/32", "10.0.0.3/32", "fd00:1::/126"))
_BY_POOL = (*for_both("client", "e"), *for_both("other", "e"))
_GROUPS: Groups = {**BOTH, "red-4": ("other",)}

SETS = (
    Story(
        "a group's members reach its other members, on all hosts, and nobody else does",
        a_site(
            *for_both("server", "e"),
            *for_both("server", "in", remote_group_id="server"),
            *for_both("client", "e"),
        ),
        (
            passes(B, ping(B, C), C),
            passes(C, pong(C, B), B),
            passes(C6, ping(C6, B6), B6),
            ends(A, ping(A, B)),
            ends(A, ping(A, C)),
        ),
    ),
    Story(
        "who joins a group is let in, who leaves it no longer",
        a_site(
            *for_both("client", "e"), *for_both("other", "e"), *SERVE, groups={**BOTH, "red-4": ("other",)}
        ),
        (
            ends(D, tcp(D, C, WEB_PORTS, SYN, (1, 0))),
            passes(
                D,
                tcp(D, C, WEB_PORTS, SYN, (1, 0)),
                C,
                site=a_site(*ASK, *SERVE, groups={**BOTH, "red-4": ("client",)}),
            ),
            ends(
                D,
                tcp(D, C, (40_001, 80), SYN, (1, 0)),
                site=a_site(*for_both("other", "e"), *SERVE, groups=_GROUPS),
            ),
        ),
    ),
    Story(
        "an address group lets its prefixes in",
        a_site(_POOL, *_BY_POOL, rule("server", "in", remote_address_group_id="pool"), groups=_GROUPS),
        (passes(A, ping(A, C), C), ends(D, ping(D, C)), ends(A6, ping(A6, C6))),
    ),
    Story(
        "sets inside each other all count",
        a_site(
            _POOL,
            _ODD,
            *_BY_POOL,
            rule("server", "in", "tcp", 80, 80, remote_address_group_id="pool"),
            rule("server", "in", "udp", 53, 53, remote_address_group_id="odd"),
            rule("server", "in", "icmp", remote_group_id="client"),
            groups=_GROUPS,
        ),
        (
            passes(A, tcp(A, C, WEB_PORTS, SYN, (1, 0)), C),
            passes(A, udp(A, C, ASKED), C),
            passes(A, ping(A, C), C),
            ends(A, tcp(A, C, (40_000, 53), SYN, (1, 0))),
            ends(D, udp(D, C, ASKED)),
        ),
    ),
    Story(
        "rules towards a set look at the destination",
        a_site(_ODD, rule("client", "e", remote_address_group_id="odd"), rule("server", "in")),
        (passes(A, ping(A, C), C), ends(A, ping(A, B))),
    ),
)

_VIRTUAL, _VIRTUAL_MAC = "10.0.0.100", "00:00:5e:00:01:01"
_PAIRED = a_site(
    *for_both("client", "e"), *for_both("server", "in", remote_group_id="client"), *for_both("server", "e")
).but(
    "red-1",
    allowed_address_pairs=(AddressPair("10.0.0.100/30", M1), AddressPair("fd00:1::a0/124", _VIRTUAL_MAC)),
)
V = Machine("red-1", M1, _VIRTUAL)
V6 = Machine("red-1", _VIRTUAL_MAC, "fd00:1::a7")

PAIRS = (
    Story(
        "a port may send from its allowed pairs, and members are known by them",
        _PAIRED,
        (
            passes(V, ping(V, C), C),
            passes(V6, ping(V6, C6), C6),
            passes(V, ping(replace(V, ip="10.0.0.103"), C), C),
            ends(V, ping(replace(V, ip="10.0.0.104"), C)),
            ends(V, ping(replace(V, mac=_VIRTUAL_MAC), C)),
            ends(V6, ping(replace(V6, mac=M1), C6)),
            passes(A, ping(A, C), C),
        ),
    ),
    Story(
        "a port with pairs is still no DHCP server",
        _PAIRED,
        (ends(V, udp(V, C, (67, 68))), ends(V6, udp(V6, C6, (547, 546)))),
    ),
)

STORIES: dict[str, tuple[Story, ...]] = {
    "tracked": TRACKED,
    "untracked": UNTRACKED,
    "denied": DENIED,
    "rules": RULES,
    "sets": SETS,
    "pairs": PAIRS,
}
"""All stories of security groups, by what they are about."""
