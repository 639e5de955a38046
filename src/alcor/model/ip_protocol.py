"""IP protocols by name and number, as rules of security groups name them.

Source: IANA, "Assigned Internet Protocol Numbers"; Networking API v2.0, "Security group rules", protocol.
"""

from collections.abc import Mapping

PROTOCOLS: Mapping[str, int] = {
    "ah": 51,
    "dccp": 33,
    "egp": 8,
    "esp": 50,
    "gre": 47,
    "hopopt": 0,
    "icmp": 1,
    "icmpv6": 58,
    "igmp": 2,
    "ip": 0,
    "ipip": 4,
    "ipv6-encap": 41,
    "ipv6-frag": 44,
    "ipv6-icmp": 58,
    "ipv6-nonxt": 59,
    "ipv6-opts": 60,
    "ipv6-route": 43,
    "ospf": 89,
    "pgm": 113,
    "rsvp": 46,
    "sctp": 132,
    "tcp": 6,
    "udp": 17,
    "udplite": 136,
    "vrrp": 112,
}

ICMP, ICMPV6 = 1, 58
WITH_PORTS = frozenset({6, 17, 33, 132, 136})
"""TCP, UDP, DCCP, SCTP, UDP-Lite."""
ONLY_IPV6 = frozenset({41, 43, 44, 58, 59, 60})
NUMBER_MAX = 255


def protocol_number(protocol: str) -> int:
    """The number of a protocol that was parsed: a name of the table, or a number as text."""
    number = PROTOCOLS.get(protocol)
    return int(protocol) if number is None else number
