"""Packet cases of networks held on demand, run on simulated switches (`tests/packet`) and on real ones (`tests/ovs`).

Hosts h1 and h2 hold red and green on demand, with nothing in hand; g1 and g2 are their relays. Red-1 and green-1 are on
h1, red-2, red-open and green-2 on h2, red-g on g1. Router r1 joins red and green. Plum has a remote group, web, of
which only what was asked for is known.
"""

from dataclasses import dataclass, field, replace

from alcor.model.host import Host
from alcor.model.network import Network
from alcor.model.router import Route, Router
from alcor.model.security_group import SecurityGroup
from alcor.model.subnet import Subnet
from alcor.pipeline.l2 import RELAY_MAC
from alcor.pipeline.on_demand import Lack
from tests.support.cases_routing import an_interface, routed
from tests.support.cases_security import for_both
from tests.support.packet_cases import a_port
from tests.support.packet_site import OPEN, Site
from tests.support.packets import (
    BROADCAST,
    advertisement,
    echo,
    is_at,
    link_local,
    solicitation,
    udp,
    who_has,
)

M1, M2, MG, M_OPEN, MS = (f"02:00:00:00:0a:{n:02x}" for n in (1, 2, 7, 9, 6))
I1, I2, IG, I_OPEN, IS = (f"10.0.1.{n}" for n in (1, 2, 7, 9, 6))
S1, S2 = "fd00:1::1", "fd00:1::2"
MG1, MG2 = "02:00:00:00:0b:01", "02:00:00:00:0b:02"
G1, G2, SG2 = "10.0.2.1", "10.0.2.2", "fd00:2::2"
MP1, MP2, MP3, MP4, MP5 = (f"02:00:00:00:0c:{n:02x}" for n in range(1, 6))
P1, P2, P3, P4, P5 = (f"10.0.3.{n}" for n in range(1, 6))
RED_GW, GREEN_GW = "10.0.1.254", "10.0.2.254"
M_RED_GW, M_GREEN_GW = "0a:00:00:00:0a:fe", "0a:00:00:00:0b:fe"
NOBODY, M_NOBODY, FAR = "10.0.1.200", "02:00:00:00:66:66", "172.16.1.1"


def _network(id: str, vni: int, number: int) -> tuple[Network, Subnet, Subnet]:
    v4, v6 = f"10.0.{number}", f"fd00:{number}"
    return (
        Network(id=id, name=id, mtu=1450, provider_segmentation_id=vni),
        Subnet(id=f"{id}-v4", network_id=id, ip_version=4, cidr=f"{v4}.0/24", gateway_ip=f"{v4}.254"),
        Subnet(id=f"{id}-v6", network_id=id, ip_version=6, cidr=f"{v6}::/64", gateway_ip=f"{v6}::fe"),
    )


WHOLE = Site(
    rows=(
        Host(id="h1", name="h1", vtep_addresses=("192.0.2.1",)),
        Host(id="h2", name="h2", vtep_addresses=("192.0.2.2",)),
        Host(id="g1", name="g1", vtep_addresses=("192.0.2.11",), gateway=True),
        Host(id="g2", name="g2", vtep_addresses=("192.0.2.12",), gateway=True),
        *_network("red", 7001, 1),
        *_network("green", 7002, 2),
        *_network("plum", 7003, 3),
        Router(id="r1", name="r1", routes=(Route("172.16.0.0/16", IS),)),
        an_interface("red-gw", "r1", M_RED_GW, RED_GW, "fd00:1::fe"),
        an_interface("green-gw", "r1", M_GREEN_GW, GREEN_GW, "fd00:2::fe"),
        a_port("red-1", "h1", M1, I1, S1),
        a_port("red-2", "h2", M2, I2, S2),
        a_port("red-g", "g1", MG, IG),
        a_port("red-open", "h2", M_OPEN, I_OPEN, port_security_enabled=False),
        a_port("red-6", "h2", MS, IS, port_security_enabled=False),
        a_port("green-1", "h1", MG1, G1),
        a_port("green-2", "h2", MG2, G2, SG2),
        SecurityGroup(id="web"),
        SecurityGroup(id="shop"),
        *for_both("web", "e"),
        *for_both("shop", "in", remote_group_id="web"),
        a_port("plum-1", "h1", MP1, P1, security_groups=("web",)),
        a_port("plum-2", "h2", MP2, P2, security_groups=("shop",)),
        a_port("plum-3", "h1", MP3, P3),
        SecurityGroup(id="guest"),
        *for_both("guest", "e", remote_group_id="web"),
        a_port("plum-4", "h2", MP4, P4, security_groups=("guest",)),
        a_port("plum-5", "h1", MP5, P5, security_groups=("web", OPEN)),
    ),
    relay_above=1,
)
"""As it is when every host holds everything."""

LAZY = replace(WHOLE, lazy=frozenset(("neighbours:red", "neighbours:green", "members:web")))
ASKED = replace(
    LAZY,
    held=frozenset(("h1", id) for id in ("red-2", "green-2"))
    | {("h2", "red-1"), ("h2", "plum-1"), ("h2", "plum-5")},
)
"""After the answers have come."""


def _lost(site: Site, *relays: str) -> Site:
    vteps = {"g1": "192.0.2.11", "g2": "192.0.2.12"}
    return replace(site, lost_vteps=frozenset(vteps[id] for id in relays))


ONE_LOST, BOTH_LOST = (_lost(LAZY, "g1"), _lost(LAZY, "g2")), _lost(LAZY, "g1", "g2")
UNRELAYED = replace(LAZY, relay_above=0)
EMPTIED = LAZY.without("red-2")
FLOODED = replace(LAZY, flood_above=1)
"""Only relays know a network's hosts."""
ONLY_FLOODED = replace(WHOLE, flood_above=1)
HALF = replace(FLOODED, listed=frozenset(("h2",)))
"""As it is while a network crosses the limit: h2 still knows all, or knows them already."""


@dataclass(frozen=True)
class DemandCase:
    """`name`: a sentence. `unchanged`, `to`: as in `Case`. `asked`: (host, what is lacking) of each look-up.
    `is_alone`: the agent has the packet, and no relay; `after`: what comes of it in the site `ASKED`, by port."""

    name: str
    sender: str
    frame: bytes
    unchanged: tuple[str, ...] = ()
    to: dict[str, bytes] = field(default_factory=dict)
    asked: tuple[tuple[str, Lack], ...] = ()
    site: Site = LAZY
    is_alone: bool = False
    after: dict[str, bytes] = field(default_factory=dict)

    @property
    def expected(self) -> dict[str, bytes]:
        """Port → the one frame it receives."""
        return {**dict.fromkeys(self.unchanged, self.frame), **self.to}


_PING = echo((M1, M2), (I1, I2))
_PONG = echo((M2, M1), (I2, I1))
_TO_GREEN = echo((M1, M_RED_GW), (I1, G2))
_S_TO_GREEN = echo((M1, M_RED_GW), (S1, SG2))
_TO_FAR = echo((M1, M_RED_GW), (I1, FAR))
_WHO = who_has(I2, (M1, I1))
_SHOP = udp((MP1, MP2), (P1, P2), (4000, 80))
_GUEST = udp((MP4, MP5), (P4, P5), (4000, 80))
_NOT_WEB = udp((MP3, MP2), (P3, P2), (4000, 80))
_TO_ALL = udp((M1, BROADCAST), (I1, "255.255.255.255"), (4000, 4000))
_LINK_LOCAL = solicitation(link_local(M2), (M1, S1))
_HOST, _NEXT_HOP = (("h1", Lack.HOST),), (("h1", Lack.NEXT_HOP),)
_ANSWER = (("h1", Lack.ANSWER),)
_ROUTED_GREEN = {"green-2": routed(_TO_GREEN, M_GREEN_GW, MG2)}

RELAYED_CASES = (
    DemandCase("a frame for an unknown MAC goes by a relay, once", "red-1", _PING, ("red-2",), asked=_HOST),
    DemandCase("the answer takes the same way back", "red-2", _PONG, ("red-1",), asked=(("h2", Lack.HOST),)),
    DemandCase(
        "a port of the relay's own host is reached too",
        "red-1",
        echo((M1, MG), (I1, IG)),
        ("red-g",),
        asked=_HOST,
    ),
    DemandCase("a relay's own ports need no relay", "red-g", echo((MG, M2), (IG, I2)), ("red-2",)),
    *(
        DemandCase(
            f"with {lost} lost the other relay does", "red-1", _PING, ("red-2",), asked=_HOST, site=site
        )
        for lost, site in zip(("g1", "g2"), ONE_LOST, strict=True)
    ),
    DemandCase(
        "a MAC that nobody has ends at the relay", "red-1", echo((M1, M_NOBODY), (I1, I2)), asked=_HOST
    ),
    DemandCase("a MAC that somebody had is nobody's", "red-1", _PING, asked=_HOST, site=EMPTIED),
    DemandCase("who speaks to the relay's MAC speaks to nobody", "red-1", echo((M1, RELAY_MAC), (I1, I2))),
    DemandCase(
        "with all relays lost the agent has it", "red-1", _PING, asked=_HOST, site=BOTH_LOST, is_alone=True
    ),
    DemandCase(
        "without relays the agent has it",
        "red-1",
        _PING,
        asked=_HOST,
        site=UNRELAYED,
        is_alone=True,
        after={"red-2": _PING},
    ),
)

QUESTION_CASES = (
    DemandCase(
        "the relay answers who has an address",
        "red-1",
        _WHO,
        to={"red-1": is_at(I2, M2, (M1, I1))},
        asked=_ANSWER,
    ),
    DemandCase(
        "over IPv6 too",
        "red-1",
        solicitation(S2, (M1, S1)),
        to={"red-1": advertisement(S2, (M2, S2), (M1, S1))},
        asked=_ANSWER,
    ),
    DemandCase("an address that nobody has meets silence", "red-1", who_has(NOBODY, (M1, I1)), asked=_ANSWER),
    DemandCase("one of another network does too", "red-1", who_has(G2, (M1, I1)), asked=_ANSWER),
    DemandCase(
        "without relays the agent is asked",
        "red-1",
        _WHO,
        asked=_ANSWER,
        site=UNRELAYED,
        is_alone=True,
        after={"red-1": is_at(I2, M2, (M1, I1))},
    ),
    DemandCase(
        "ports of the own host are known without asking",
        "red-2",
        who_has(I_OPEN, (M2, I2)),
        to={"red-2": is_at(I_OPEN, M_OPEN, (M2, I2))},
    ),
    DemandCase(
        "so are routers", "red-1", who_has(RED_GW, (M1, I1)), to={"red-1": is_at(RED_GW, M_RED_GW, (M1, I1))}
    ),
    DemandCase(
        "link-local addresses are asked of their owners",
        "red-1",
        _LINK_LOCAL,
        ("red-2", "red-g", "red-open", "red-6"),
    ),
    DemandCase(
        "a broadcast reaches all, asking nobody", "red-1", _TO_ALL, ("red-2", "red-g", "red-open", "red-6")
    ),
)

ROUTED_CASES = (
    DemandCase(
        "what is routed to an unknown address goes by a relay",
        "red-1",
        _TO_GREEN,
        to=_ROUTED_GREEN,
        asked=_NEXT_HOP,
    ),
    DemandCase(
        "over IPv6 too",
        "red-1",
        _S_TO_GREEN,
        to={"green-2": routed(_S_TO_GREEN, M_GREEN_GW, MG2)},
        asked=_NEXT_HOP,
    ),
    DemandCase(
        "an address of another router's port is nobody's",
        "red-1",
        echo((M1, M_RED_GW), (I1, "10.0.2.99")),
        asked=_NEXT_HOP,
    ),
    DemandCase(
        "without relays the agent has it",
        "red-1",
        _TO_GREEN,
        asked=_NEXT_HOP,
        site=UNRELAYED,
        is_alone=True,
        after=_ROUTED_GREEN,
    ),
    DemandCase(
        "an unknown next hop of a route is the agent's to find",
        "red-1",
        _TO_FAR,
        asked=_NEXT_HOP,
        is_alone=True,
    ),
    DemandCase(
        "a port of the own host is known",
        "red-1",
        echo((M1, M_RED_GW), (I1, G1)),
        to={"green-1": routed(echo((M1, M_RED_GW), (I1, G1)), M_GREEN_GW, MG1)},
    ),
)

_TO_ALL_2 = udp((M2, BROADCAST), (I2, "255.255.255.255"), (4000, 4000))
_TO_ALL_G = udp((MG, BROADCAST), (IG, "255.255.255.255"), (4000, 4000))
_GROUP = udp((M1, "01:00:5e:01:02:03"), (I1, "224.1.2.3"), (4000, 4000))
_GROUP_6 = udp((M1, "33:33:00:00:00:01"), (S1, "ff02::1"), (4000, 4000))
_ODD = udp((M1, "81:00:5e:01:02:03"), (I1, "224.1.2.3"), (4000, 4000))
_FAR = ("red-2", "red-g", "red-open", "red-6")

FLOOD_CASES = (
    *(
        DemandCase(f"{what} reaches all by a relay, once", "red-1", frame, _FAR, site=FLOODED)
        for what, frame in (
            ("a broadcast", _TO_ALL),
            ("IPv4 multicast", _GROUP),
            ("IPv6 multicast", _GROUP_6),
            ("a question to a link-local address", _LINK_LOCAL),
        )
    ),
    DemandCase(
        "ports of the sender's own host get it there",
        "red-2",
        _TO_ALL_2,
        ("red-1", "red-g", "red-open", "red-6"),
        site=FLOODED,
    ),
    DemandCase(
        "a relay's own ports reach all",
        "red-g",
        _TO_ALL_G,
        ("red-1", "red-2", "red-open", "red-6"),
        site=FLOODED,
    ),
    *(
        DemandCase(f"with {lost} lost the other relay does", "red-1", _TO_ALL, to, site=_lost(FLOODED, lost))
        for lost, to in (("g1", ("red-2", "red-open", "red-6")), ("g2", _FAR))
    ),
    DemandCase(
        "with all relays lost it stays", "red-2", _TO_ALL_2, _FAR[2:], site=_lost(FLOODED, "g1", "g2")
    ),
    DemandCase("who holds the list needs no relay", "red-2", _TO_ALL_2, ("red-1", *_FAR[1:]), site=HALF),
    DemandCase("and is reached by those who do not", "red-1", _TO_ALL, _FAR, site=HALF),
    DemandCase("the list alone may be left to relays", "red-1", _TO_ALL, _FAR, site=ONLY_FLOODED),
    DemandCase("a group address that cannot be marked stays", "red-1", _ODD, site=FLOODED),
    DemandCase("wherever relays may hear of it", "red-1", _ODD),
)

KNOWN_CASES = (
    DemandCase("who was asked for is reached directly", "red-1", _PING, ("red-2",), site=ASKED),
    DemandCase("and answers directly", "red-2", _PONG, ("red-1",), site=ASKED),
    DemandCase("and is answered for", "red-1", _WHO, to={"red-1": is_at(I2, M2, (M1, I1))}, site=ASKED),
    DemandCase("and is routed to directly", "red-1", _TO_GREEN, to=_ROUTED_GREEN, site=ASKED),
)

GROUP_CASES = (
    DemandCase(
        "a sender of an unknown group waits",
        "plum-1",
        _SHOP,
        asked=(("h2", Lack.SOURCE),),
        is_alone=True,
        after={"plum-2": _SHOP},
    ),
    DemandCase(
        "a target of an unknown group waits",
        "plum-4",
        _GUEST,
        asked=(("h2", Lack.TARGET),),
        is_alone=True,
        after={"plum-5": _GUEST},
    ),
    DemandCase("a target that was asked for is reached", "plum-4", _GUEST, ("plum-5",), site=ASKED),
    DemandCase("a member that was asked for is let in", "plum-1", _SHOP, ("plum-2",), site=ASKED),
    DemandCase(
        "who is no member is not, whoever else was asked for",
        "plum-3",
        _NOT_WEB,
        asked=(("h2", Lack.SOURCE),),
        site=ASKED,
        is_alone=True,
    ),
)

CASES: dict[str, tuple[DemandCase, ...]] = {
    "relayed": RELAYED_CASES,
    "questions": QUESTION_CASES,
    "routed": ROUTED_CASES,
    "known": KNOWN_CASES,
    "floods": FLOOD_CASES,
    "groups": GROUP_CASES,
}
