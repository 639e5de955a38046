"""Stories of firewall groups. Red of `packet_cases` has two subnets (see `cases_acl`) and a router between them.

A and B are in the near subnet, C and D in the far one; A and B are on host h1, C on h2, D on h3.
"""

from dataclasses import replace

from alcor.model.firewall import FirewallGroup, FirewallPolicy, FirewallRule
from alcor.model.port import FixedIp
from alcor.model.resource import Entity
from alcor.model.router import Router
from tests.support.cases_acl import FAR_C, FAR_D, TWO_SUBNETS
from tests.support.cases_security import A, B
from tests.support.packet_cases import GATEWAY, a_port
from tests.support.packet_site import Site
from tests.support.packets import checksum, mac_text
from tests.support.stories import ACK, SYN, Machine, Step, Story, ends, passes, ping, pong, tcp, udp

M_NEAR, M_FAR = "0a:00:00:00:00:01", "0a:00:00:00:00:02"
_INTERFACE = {"device_id": "r", "device_owner": "network:router_interface", "binding_vif_type": "unbound"}
_ROUTED = replace(
    TWO_SUBNETS,
    rows=(
        *TWO_SUBNETS.rows,
        Router(id="r", name="r"),
        a_port("red-gw", "", M_NEAR, GATEWAY, **_INTERFACE),
        a_port("red-far", "", M_FAR, **_INTERFACE, fixed_ips=(FixedIp("far-v4", "10.0.8.254"),)),
    ),
)


def rule(id: str, action: str, protocol: str | None = None, **fields: object) -> FirewallRule:
    """A rule of a firewall policy."""
    return FirewallRule(id=id, action=action, protocol=protocol, **fields)  # type: ignore[arg-type]  # checked when made


def group(
    name: str, *ports: str, ingress: tuple[FirewallRule, ...] | None, egress: tuple[FirewallRule, ...] | None
) -> tuple[Entity, ...]:
    """A firewall group with its policies and rules; None: no policy."""
    rows: list[Entity] = []
    policies: dict[str, str | None] = {}
    for way, rules in (("ingress", ingress), ("egress", egress)):
        policies[f"{way}_firewall_policy_id"] = None
        if rules is not None:
            id = policies[f"{way}_firewall_policy_id"] = f"{name}-{way}"
            rows += [FirewallPolicy(id=id, firewall_rules=tuple(one.id for one in rules)), *rules]
    return (*rows, FirewallGroup(id=name, ports=ports, **policies))  # type: ignore[arg-type]  # two names


def a_site(*rows: Entity, start: Site = _ROUTED) -> Site:
    """The routed site with these firewalls."""
    return replace(start, rows=(*start.rows, *{row.id: row for row in rows}.values()))


def _by_router(frame: bytes, target: Machine) -> bytes:
    """What comes of an IPv4 frame that its router has sent on."""
    source = M_FAR if target in (FAR_C, FAR_D) else M_NEAR
    head = bytearray(frame[14:34])
    head[8] -= 1
    head[10:12] = b"\0\0"
    head[10:12] = checksum(bytes(head))
    return mac_text(target.mac) + mac_text(source) + frame[12:14] + bytes(head) + frame[34:]


def _sent(sender: Machine, target: Machine) -> Machine:
    """The target as the sender addresses it: by its gateway's MAC."""
    return replace(target, mac=M_FAR if sender in (FAR_C, FAR_D) else M_NEAR)


def crosses(sender: Machine, frame: bytes, to: Machine, *, site: Site | None = None) -> Step:
    """It arrives there, routed."""
    return Step(sender.port, (frame,), (), site, to={to.port: _by_router(frame, to)})


_WEB = rule("web", "allow", "tcp", destination_port="80")
_ALL = rule("all", "allow")
_NO_DNS = rule("no-dns", "deny", "udp", destination_port="53")
_UDP = rule("udp", "allow", "udp")
_FROM_A = rule("from-a", "reject", source_ip_address="10.0.0.1")

_FORTH = _sent(A, FAR_C)
_BACK = _sent(FAR_C, A)
_ASK = tcp(A, _FORTH, (40_000, 80), SYN, (100, 0))
_ANSWER = tcp(FAR_C, _BACK, (80, 40_000), SYN | ACK, (500, 101))
_THEN = tcp(A, _FORTH, (40_000, 80), ACK, (101, 501))
_LATER = tcp(FAR_C, _BACK, (80, 40_000), ACK, (501, 101))
_GUARDED = a_site(*group("fw", "red-far", ingress=(_WEB,), egress=()))
_SHUT = a_site(*group("fw", "red-far", ingress=(), egress=()))
_AT_SOURCE = a_site(*group("fw", "red-gw", ingress=(), egress=(_WEB,)))
_SHUT_AT_SOURCE = a_site(*group("fw", "red-gw", ingress=(), egress=()))


def _ends_with_its_rule(about: str, allowed: Site, refused: Site) -> Story:
    return Story(
        f"routed connections pass with their answers, and end with their rule, {about}",
        allowed,
        (
            ends(A, tcp(A, _FORTH, (40_000, 81), SYN, (1, 0))),
            ends(FAR_C, tcp(FAR_C, _BACK, (80, 80), SYN, (1, 0))),
            crosses(A, _ASK, FAR_C),
            crosses(FAR_C, _ANSWER, A),
            crosses(A, _THEN, FAR_C),
            ends(A, _THEN, site=refused),
            ends(FAR_C, _LATER),
            crosses(A, _THEN, FAR_C, site=allowed),
            crosses(FAR_C, _LATER, A),
        ),
    )


FIREWALLS = (
    Story(
        "without firewalls a router sends on",
        _ROUTED,
        (crosses(A, ping(A, _FORTH), FAR_C), crosses(FAR_C, pong(FAR_C, _BACK), A)),
    ),
    _ends_with_its_rule("judged where they enter", _GUARDED, _SHUT),
    _ends_with_its_rule("judged where they leave", _AT_SOURCE, _SHUT_AT_SOURCE),
    Story(
        "no policy is no way",
        a_site(*group("fw", "red-far", ingress=None, egress=None)),
        (ends(A, ping(A, _FORTH)), ends(FAR_C, ping(FAR_C, _BACK)), passes(FAR_C, ping(FAR_C, FAR_D), FAR_D)),
    ),
    Story(
        "what does not cross the interface is not asked",
        _SHUT,
        (passes(A, ping(A, B), B), passes(FAR_C, ping(FAR_C, FAR_D), FAR_D)),
    ),
    Story(
        "the first rule that matches decides",
        a_site(*group("fw", "red-far", ingress=(_NO_DNS, _UDP, _FROM_A, _ALL), egress=(_ALL,))),
        (
            ends(A, udp(A, _FORTH, (40_000, 53))),
            crosses(A, udp(A, _FORTH, (40_000, 54)), FAR_C),
            ends(A, ping(A, _FORTH)),
            crosses(B, ping(B, _FORTH), FAR_C),
        ),
    ),
    Story(
        "a port without port security is tracked all the same",
        a_site(
            *group("fw", "red-far", ingress=(_WEB,), egress=()),
            start=_ROUTED.but("red-3", security_groups=(), port_security_enabled=False),
        ),
        (
            crosses(A, _ASK, FAR_C),
            crosses(FAR_C, _ANSWER, A),
            ends(FAR_C, tcp(FAR_C, _BACK, (80, 80), SYN, (1, 0))),
        ),
    ),
    Story(
        "a firewall of a port judges all of its traffic, and both it and the router's must allow",
        a_site(
            *group("own", "red-3", ingress=(_UDP, _WEB), egress=()),
            *group("fw", "red-far", ingress=(rule("w2", "allow", "tcp"),), egress=()),
        ),
        (
            passes(FAR_D, udp(FAR_D, FAR_C, (1, 2)), FAR_C),
            ends(FAR_D, ping(FAR_D, FAR_C)),
            ends(A, udp(A, _FORTH, (1, 2))),
            ends(A, tcp(A, _FORTH, (1, 81), SYN, (1, 0))),
            crosses(A, _ASK, FAR_C),
            crosses(FAR_C, _ANSWER, A),
        ),
    ),
)
