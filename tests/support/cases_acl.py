"""Stories of network ACLs. Red of `packet_cases` has a second subnet: C and D are in it, A and B are not."""

from dataclasses import replace

from alcor.model.network_acl import NetworkAcl, NetworkAclRule
from alcor.model.port import FixedIp
from alcor.model.resource import Entity
from alcor.model.subnet import Subnet
from tests.support.cases_security import A6, A, B
from tests.support.packet_cases import M1, M3, M4, STANDARD
from tests.support.packet_site import Site
from tests.support.packets import advertisement
from tests.support.stories import (
    ACK,
    SYN,
    Machine,
    Story,
    ends,
    fragmented_udp,
    passes,
    ping,
    pong,
    tcp,
    udp,
)

FAR_C, FAR_D = Machine("red-3", M3, "10.0.8.3"), Machine("red-4", M4, "10.0.8.4")
FAR_C6 = Machine("red-3", M3, "fd00:8::3")
_SUBNETS = (
    Subnet(id="far-v4", network_id="red", ip_version=4, cidr="10.0.8.0/24"),
    Subnet(id="far-v6", network_id="red", ip_version=6, cidr="fd00:8::/64"),
)
TWO_SUBNETS = (
    replace(STANDARD, rows=(*STANDARD.rows, *_SUBNETS))
    .but("red-3", fixed_ips=(FixedIp("far-v4", FAR_C.ip), FixedIp("far-v6", FAR_C6.ip)))
    .but("red-4", fixed_ips=(FixedIp("far-v4", FAR_D.ip),))
)


def rule(acl: str, direction: str, number: int, action: str, **fields: object) -> NetworkAclRule:
    """A rule of an ACL."""
    values = {"direction": f"{direction}gress", "action": action, **fields}
    return NetworkAclRule(id=f"{acl}-{direction}-{number}", network_acl_id=acl, number=number, **values)  # type: ignore[arg-type]  # checked when made


def a_site(*rules: Entity, near: bool = True, far: bool = False) -> Site:
    """ACLs *near* and *far* for the subnets of A and B, and of C and D."""
    rows: list[Entity] = [*rules]
    if near:
        rows.append(NetworkAcl(id="near", network_id="red", associated_subnets=("red-v4", "red-v6")))
    if far:
        rows.append(NetworkAcl(id="far", network_id="red", associated_subnets=("far-v4", "far-v6")))
    return replace(TWO_SUBNETS, rows=(*TWO_SUBNETS.rows, *rows))


def both(acl: str, number: int = 1, **fields: object) -> tuple[NetworkAclRule, ...]:
    """Allowed both ways."""
    return tuple(rule(acl, direction, number, "allow", **fields) for direction in ("in", "e"))


_OPEN = a_site(*both("near"))
_PORTS = a_site(
    rule("near", "e", 10, "allow", protocol="tcp", port_range_min=80, port_range_max=90),
    rule("near", "e", 20, "deny", protocol="udp", port_range_min=53, port_range_max=53),
    rule("near", "e", 30, "allow", protocol="udp"),
    rule("near", "in", 10, "allow", protocol="tcp", port_range_min=1024, port_range_max=65535),
)

ACLS = (
    Story(
        "an ACL without rules denies what leaves and what enters, both versions",
        a_site(),
        (
            ends(A, ping(A, FAR_C)),
            ends(FAR_C, ping(FAR_C, A)),
            ends(A6, ping(A6, FAR_C6)),
            ends(FAR_C6, ping(FAR_C6, A6)),
        ),
    ),
    Story(
        "within a subnet nothing is asked, nor where there is no ACL",
        a_site(),
        (passes(A, ping(A, B), B), passes(FAR_C, ping(FAR_C, FAR_D), FAR_D), passes(A, udp(A, B, (1, 2)), B)),
    ),
    Story(
        "what is allowed both ways passes, of its version only",
        _OPEN,
        (passes(A, ping(A, FAR_C), FAR_C), passes(FAR_C, pong(FAR_C, A), A), ends(A6, ping(A6, FAR_C6))),
    ),
    Story(
        "an ACL knows no connections: replies need their rule",
        a_site(rule("near", "e", 1, "allow")),
        (
            passes(A, ping(A, FAR_C), FAR_C),
            ends(FAR_C, pong(FAR_C, A)),
            passes(A, ping(A, FAR_C, 8), FAR_C, site=_OPEN),
            passes(FAR_C, pong(FAR_C, A, 8), A),
        ),
    ),
    Story(
        "the lowest number decides",
        _PORTS,
        (
            passes(A, tcp(A, FAR_C, (40_000, 80), SYN, (1, 0)), FAR_C),
            passes(FAR_C, tcp(FAR_C, A, (80, 40_000), SYN | ACK, (1, 2)), A),
            ends(A, tcp(A, FAR_C, (40_000, 91), SYN, (1, 0))),
            ends(A, udp(A, FAR_C, (40_000, 53))),
            passes(A, udp(A, FAR_C, (40_000, 54)), FAR_C),
            ends(A, ping(A, FAR_C)),
        ),
    ),
    Story(
        "a prefix is the other end's",
        a_site(
            *both("near", 10, ip_prefix="10.0.8.4/32"),
            *both("near", 20, protocol="icmp", icmp_type=8, icmp_code=0, ip_prefix="10.0.8.0/24"),
        ),
        (
            passes(A, udp(A, FAR_D, (1, 2)), FAR_D),
            ends(A, udp(A, FAR_C, (1, 2))),
            passes(A, ping(A, FAR_C), FAR_C),
            ends(FAR_C, pong(FAR_C, A)),
        ),
    ),
    Story(
        "both subnets' ACLs are asked, each about its side",
        a_site(*both("near"), rule("far", "in", 1, "allow", protocol="icmp"), far=True),
        (
            passes(A, ping(A, FAR_C), FAR_C),
            ends(A, udp(A, FAR_C, (1, 2))),
            ends(FAR_C, pong(FAR_C, A)),
        ),
    ),
    Story(
        "a rule that goes and comes counts from the next packet on",
        _OPEN,
        (
            passes(A, ping(A, FAR_C), FAR_C),
            ends(A, ping(A, FAR_C), site=a_site(rule("near", "in", 1, "allow"))),
            passes(A, ping(A, FAR_C), FAR_C, site=_OPEN),
        ),
    ),
    Story(
        "fragments pass with their first",
        a_site(*both("near", protocol="udp", port_range_min=53, port_range_max=53)),
        (
            passes(A, fragmented_udp(A, FAR_C, (40_000, 53)), FAR_C),
            ends(A, fragmented_udp(A, FAR_C, (40_000, 54))[:1]),
        ),
    ),
    Story(
        "neighbours are found across subnets",
        a_site(far=True),
        (passes(A, advertisement(A6.ip, (M1, A6.ip), (M3, FAR_C6.ip)), FAR_C6),),
    ),
)
