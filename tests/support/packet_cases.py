"""Packet cases as data: who may talk to whom, in frames. Run on simulated switches (`tests/packet`) and on real ones.

A case is complete: the site, who sends which frame, which ports receive which frame, once each, and whether the
agent gets it. Names of ports say network and place: red-1, red-2 and red-open are on host h1, red-3 on h2, red-4 on h3
(whose first VTEP is an IPv6 address). Blue repeats the MACs and addresses of red; grey has no DHCP.
"""

from dataclasses import dataclass, field

from alcor.model.host import Host
from alcor.model.network import Network
from alcor.model.port import FixedIp, Port
from alcor.model.subnet import Subnet
from tests.support.packet_site import OPEN, RESPONDER_MAC, Site
from tests.support.packets import (
    ALL_DHCPV6_SERVERS,
    ALL_NODES,
    BROADCAST,
    advertisement,
    arp,
    detection,
    dhcp_discover,
    echo,
    ethernet,
    is_at,
    link_local,
    listener_report,
    multicast_mac,
    router_advertisement,
    router_solicitation,
    solicitation,
    udp,
    who_has,
)

M1, M2, M3, M4, M_OPEN = (f"02:00:00:00:00:{n:02x}" for n in (1, 2, 3, 4, 9))
M_FOREIGN = "02:00:00:00:66:66"
M_BLUE_ONLY = "02:00:00:00:bb:03"
M_GREY1, M_GREY2 = "02:00:00:00:cc:01", "02:00:00:00:cc:02"
I1, I2, I3, I4, I_OPEN = (f"10.0.0.{n}" for n in (1, 2, 3, 4, 9))
S1, S2, S3, S4, S_OPEN = (f"fd00:1::{n}" for n in (1, 2, 3, 4, 9))
I_FOREIGN, S_FOREIGN = "10.0.0.66", "fd00:1::66"
GATEWAY = "10.0.0.254"
BARE_SERVER = "169.254.169.254"


def a_port(id: str, host: str, mac: str, *ips: str, **fields: object) -> Port:
    """A bound port in the group that lets everything through; its network is what its name begins with."""
    network = id.split("-")[0]
    fixed = tuple(FixedIp(f"{network}-v6" if ":" in ip else f"{network}-v4", ip) for ip in ips)
    values = {
        "id": id,
        "name": id,
        "network_id": network,
        "mac_address": mac,
        "fixed_ips": fixed,
        "security_groups": (OPEN,) if fields.get("port_security_enabled", True) else (),
        "binding_host_id": host,
        "binding_vif_type": "ovs",
        **fields,
    }
    return Port(**values)  # type: ignore[arg-type]  # the fields are checked when the row is made


def _network(id: str, vni: int) -> Network:
    return Network(id=id, name=id, mtu=1450, provider_segmentation_id=vni)


STANDARD = Site(
    rows=(
        Host(id="h1", name="h1", vtep_addresses=("192.0.2.1", "2001:db8::1")),
        Host(id="h2", name="h2", vtep_addresses=("192.0.2.2", "2001:db8::2")),
        Host(id="h3", name="h3", vtep_addresses=("2001:db8::3", "192.0.2.3")),
        _network("red", 5001),
        _network("blue", 5002),
        _network("grey", 5003),
        Subnet(id="red-v4", network_id="red", ip_version=4, cidr="10.0.0.0/24", gateway_ip=GATEWAY),
        Subnet(
            id="red-v6",
            network_id="red",
            ip_version=6,
            cidr="fd00:1::/64",
            ipv6_ra_mode="dhcpv6-stateful",
            ipv6_address_mode="dhcpv6-stateful",
        ),
        Subnet(id="blue-v4", network_id="blue", ip_version=4, cidr="10.0.0.0/24"),
        Subnet(
            id="grey-v4",
            network_id="grey",
            ip_version=4,
            cidr="10.0.0.0/24",
            gateway_ip=GATEWAY,
            enable_dhcp=False,
        ),
        a_port("red-1", "h1", M1, I1, S1),
        a_port("red-2", "h1", M2, I2, S2),
        a_port("red-3", "h2", M3, I3, S3),
        a_port("red-4", "h3", M4, I4, S4),
        a_port("red-open", "h1", M_OPEN, I_OPEN, S_OPEN, port_security_enabled=False),
        a_port("blue-1", "h1", M1, I1),
        a_port("blue-2", "h2", M3, I3),
        a_port("blue-3", "h2", M_BLUE_ONLY, "10.0.0.33"),
        a_port("grey-1", "h1", M_GREY1, I1),
        a_port("grey-2", "h2", M_GREY2, I2),
    )
)

RED_1_HEARD = ("red-2", "red-3", "red-4", "red-open")
"""Whom a broadcast of red-1 reaches."""


@dataclass(frozen=True)
class Case:
    """`name`: a sentence. `to`: what is received, by port; `unchanged` is short for the frame itself at these ports."""

    name: str
    sender: str
    frame: bytes
    unchanged: tuple[str, ...] = ()
    to: dict[str, bytes] = field(default_factory=dict)
    punted: bool = False
    site: Site = STANDARD

    @property
    def expected(self) -> dict[str, bytes]:
        """Port → the one frame it receives."""
        return {**dict.fromkeys(self.unchanged, self.frame), **self.to}


def _ping(source: tuple[str, str], target: tuple[str, str]) -> bytes:
    return echo((source[0], target[0]), (source[1], target[1]))


def _to_all(mac: str, ip: str) -> bytes:
    return udp((mac, BROADCAST), (ip, "255.255.255.255"), (4000, 4000), b"all")


_PING_TO_3 = _ping((M1, I1), (M3, I3))
_PING_TO_2 = _ping((M1, I1), (M2, I2))

REACHABILITY = (
    Case("ports of one host reach each other", "red-1", _PING_TO_2, ("red-2",)),
    Case("over IPv6 too", "red-1", _ping((M1, S1), (M2, S2)), ("red-2",)),
    Case("ports of two hosts reach each other", "red-1", _PING_TO_3, ("red-3",)),
    Case("across hosts over IPv6 too", "red-1", _ping((M1, S1), (M3, S3)), ("red-3",)),
    Case("the way back is the same", "red-3", _ping((M3, I3), (M1, I1)), ("red-1",)),
    Case("a host with an IPv6 VTEP is reached", "red-1", _ping((M1, I1), (M4, I4)), ("red-4",)),
    Case("a host with an IPv6 VTEP reaches others", "red-4", _ping((M4, I4), (M3, I3)), ("red-3",)),
    Case("link-local addresses work", "red-1", _ping((M1, link_local(M1)), (M2, link_local(M2))), ("red-2",)),
    Case(
        "an unknown MAC may be one of a port without port security",
        "red-1",
        _ping((M1, I1), (M_FOREIGN, I_FOREIGN)),
        ("red-open",),
    ),
    Case(
        "such a port on another host is reached too",
        "red-3",
        _ping((M3, I3), (M_FOREIGN, I_FOREIGN)),
        ("red-open",),
    ),
    Case(
        "a MAC of another network is unknown",
        "red-1",
        _ping((M1, I1), (M_BLUE_ONLY, "10.0.0.33")),
        ("red-open",),
    ),
    Case(
        "where all have port security an unknown MAC is nobody's",
        "blue-1",
        _ping((M1, I1), (M_FOREIGN, I_FOREIGN)),
    ),
    Case("to itself nothing comes back", "red-1", _ping((M1, I1), (M1, I1))),
    Case("equal MACs and addresses in two networks: red's", "red-3", _ping((M3, I3), (M1, I1)), ("red-1",)),
    Case(
        "equal MACs and addresses in two networks: blue's", "blue-2", _ping((M3, I3), (M1, I1)), ("blue-1",)
    ),
    Case("a broadcast reaches each other port once", "red-1", _to_all(M1, I1), RED_1_HEARD),
    Case("from another host too", "red-3", _to_all(M3, I3), ("red-1", "red-2", "red-4", "red-open")),
    Case("in the other network only there", "blue-2", _to_all(M3, I3), ("blue-1", "blue-3")),
    Case(
        "an IPv6 multicast reaches each other port once",
        "red-1",
        udp((M1, multicast_mac(ALL_NODES)), (S1, ALL_NODES), (4000, 4000)),
        RED_1_HEARD,
    ),
)

ANSWERS = (
    Case(
        "ARP for a port of this host is answered",
        "red-1",
        who_has(I2, (M1, I1)),
        to={"red-1": is_at(I2, M2, (M1, I1))},
    ),
    Case(
        "ARP for a port of another host is answered",
        "red-1",
        who_has(I3, (M1, I1)),
        to={"red-1": is_at(I3, M3, (M1, I1))},
    ),
    Case(
        "a unicast ARP probe is answered too",
        "red-1",
        who_has(I3, (M1, I1), to=M3),
        to={"red-1": is_at(I3, M3, (M1, I1))},
    ),
    Case(
        "ARP in the other network gives that network's answer",
        "blue-1",
        who_has("10.0.0.33", (M1, I1)),
        to={"blue-1": is_at("10.0.0.33", M_BLUE_ONLY, (M1, I1))},
    ),
    Case(
        "the gateway's address is the DHCP server's",
        "red-1",
        who_has(GATEWAY, (M1, I1)),
        to={"red-1": is_at(GATEWAY, RESPONDER_MAC, (M1, I1))},
    ),
    Case(
        "without a gateway the DHCP server is at its well-known address",
        "blue-1",
        who_has(BARE_SERVER, (M1, I1)),
        to={"blue-1": is_at(BARE_SERVER, RESPONDER_MAC, (M1, I1))},
    ),
    Case(
        "a port that was given the gateway's address keeps it",
        "red-1",
        who_has(GATEWAY, (M1, I1)),
        to={"red-1": is_at(GATEWAY, M3, (M1, I1))},
        site=STANDARD.but("red-3", fixed_ips=(FixedIp("red-v4", GATEWAY),)),
    ),
    Case(
        "without DHCP nobody answers for the gateway, and its owner is asked",
        "grey-1",
        who_has(GATEWAY, (M_GREY1, I1)),
        ("grey-2",),
    ),
    Case("an unknown address is asked for aloud", "red-1", who_has(I_FOREIGN, (M1, I1)), RED_1_HEARD),
    Case("a probe for one's own address meets silence", "red-1", who_has(I1, (M1, "0.0.0.0"))),
    Case("so does an announcement", "red-1", who_has(I1, (M1, I1))),
    Case(
        "a probe for another's address is answered: it is taken",
        "red-1",
        who_has(I2, (M1, "0.0.0.0")),
        to={"red-1": is_at(I2, M2, (M1, "0.0.0.0"))},
    ),
    Case(
        "a solicitation for a port of this host is answered",
        "red-1",
        solicitation(S2, (M1, S1)),
        to={"red-1": advertisement(S2, (M2, S2), (M1, S1))},
    ),
    Case(
        "a solicitation for a port of another host is answered",
        "red-1",
        solicitation(S3, (M1, S1)),
        to={"red-1": advertisement(S3, (M3, S3), (M1, S1))},
    ),
    Case(
        "a solicitation from a link-local address is answered",
        "red-1",
        solicitation(S3, (M1, link_local(M1))),
        to={"red-1": advertisement(S3, (M3, S3), (M1, link_local(M1)))},
    ),
    Case(
        "the router that advertises is known",
        "red-1",
        solicitation(link_local(RESPONDER_MAC), (M1, S1)),
        to={
            "red-1": advertisement(
                link_local(RESPONDER_MAC), (RESPONDER_MAC, link_local(RESPONDER_MAC)), (M1, S1)
            )
        },
    ),
    Case(
        "a solicitation without a link-layer option is the owner's to answer",
        "red-1",
        solicitation(S3, (M1, S1), option=None, to=(M3, S3)),
        ("red-3",),
    ),
    Case(
        "a link-local address is its owner's to answer",
        "red-1",
        solicitation(link_local(M3), (M1, S1)),
        RED_1_HEARD,
    ),
    Case(
        "an unknown IPv6 address is asked for aloud", "red-1", solicitation(S_FOREIGN, (M1, S1)), RED_1_HEARD
    ),
    Case("duplicate detection for one's own address meets silence", "red-1", detection(S1, M1)),
    Case(
        "duplicate detection for one's link-local address is heard by the network",
        "red-1",
        detection(link_local(M1), M1),
        RED_1_HEARD,
    ),
)

_SERVER_REPLY = udp((M1, M2), (I1, I2), (67, 68), bytes(240))
_SERVER_REPLY_V6 = udp((M1, M2), (S1, S2), (547, 546))

SPOOFING = (
    Case("a foreign MAC over IPv4", "red-1", _ping((M_FOREIGN, I1), (M2, I2))),
    Case("a foreign IPv4 address", "red-1", _ping((M1, I_FOREIGN), (M2, I2))),
    Case("another port's IPv4 address", "red-1", _ping((M1, I3), (M2, I2))),
    Case("a foreign MAC over IPv6", "red-1", _ping((M_FOREIGN, S1), (M2, S2))),
    Case("a foreign IPv6 address", "red-1", _ping((M1, S_FOREIGN), (M2, S2))),
    Case("another's link-local address", "red-1", _ping((M1, link_local(M3)), (M2, S2))),
    Case("ARP: a foreign sender address", "red-1", who_has(I2, (M1, I_FOREIGN))),
    Case("ARP: a foreign sender MAC", "red-1", arp(1, (M_FOREIGN, I1), (M2, I2), eth=(M1, BROADCAST))),
    Case("ARP: a foreign Ethernet source", "red-1", arp(1, (M1, I1), (M2, I2), eth=(M_FOREIGN, BROADCAST))),
    Case("ARP: a reply for a foreign address", "red-1", is_at(I3, M1, (M2, I2))),
    Case("ND: a foreign source option", "red-1", solicitation(S_FOREIGN, (M1, S1), option=M_FOREIGN)),
    Case("ND: an advertisement of a foreign address", "red-1", advertisement(S3, (M1, S1), (M2, S2))),
    Case(
        "ND: an advertisement with a foreign MAC",
        "red-1",
        advertisement(S1, (M1, S1), (M2, S2), option=M_FOREIGN),
    ),
    Case("ND: duplicate detection for a foreign address", "red-1", detection(S3, M1)),
    Case("IPv4 from 0.0.0.0 but DHCP", "red-1", udp((M1, BROADCAST), ("0.0.0.0", "255.255.255.255"), (9, 9))),
    Case(
        "IPv6 from :: but detection", "red-1", udp((M1, multicast_mac(ALL_NODES)), ("::", ALL_NODES), (9, 9))
    ),
    Case("a DHCP discovery with a foreign MAC", "red-1", dhcp_discover(M_FOREIGN)),
    Case("a DHCP server", "red-1", _SERVER_REPLY),
    Case("a DHCP server on another port", "red-1", udp((M1, M2), (I1, I2), (9967, 68), bytes(240))),
    Case("a DHCPv6 server", "red-1", _SERVER_REPLY_V6),
    Case("a router", "red-1", router_advertisement(M1)),
    Case(
        "a router behind an extension header",
        "red-1",
        router_advertisement(M1, extension=bytes([0, 1, 4, 0, 0, 0, 0])),
    ),
    Case("a VLAN tag", "red-1", arp(1, (M1, I1), (M2, I2), vlan=7)),
    Case("an unknown protocol", "red-1", ethernet(M1, M2, 0x88CC, bytes(46))),
)

NOT_SPOOFING = (
    Case("its own advertisement", "red-1", advertisement(S1, (M1, S1), (M2, S2)), ("red-2",)),
    Case(
        "its own advertisement without an option",
        "red-1",
        advertisement(S1, (M1, S1), (M2, S2), option=None),
        ("red-2",),
    ),
    Case("its own ARP reply", "red-1", is_at(I1, M1, (M3, I3)), ("red-3",)),
    Case("multicast membership from ::", "red-1", listener_report(M1, "::"), RED_1_HEARD),
    Case("multicast membership", "red-1", listener_report(M1, link_local(M1)), RED_1_HEARD),
    Case(
        "with port security off a foreign MAC and address pass",
        "red-open",
        _ping((M_FOREIGN, I_FOREIGN), (M3, I3)),
        ("red-3",),
    ),
    Case(
        "with port security off a router may advertise",
        "red-open",
        router_advertisement(M_OPEN),
        ("red-1", "red-2", "red-3", "red-4"),
    ),
    Case(
        "with port security off a DHCP server may answer",
        "red-open",
        udp((M_OPEN, M3), (I_OPEN, I3), (67, 68), bytes(240)),
        ("red-3",),
    ),
    Case(
        "with port security off a VLAN tag does not pass",
        "red-open",
        arp(1, (M_OPEN, I_OPEN), (M2, I2), vlan=7),
    ),
)

PUNTS = (
    Case("a DHCP discovery", "red-1", dhcp_discover(M1), punted=True),
    Case(
        "a DHCP renewal to the server",
        "red-1",
        udp((M1, RESPONDER_MAC), (I1, GATEWAY), (68, 67), bytes(240)),
        punted=True,
    ),
    Case("a DHCP discovery with port security off", "red-open", dhcp_discover(M_OPEN), punted=True),
    Case(
        "a DHCPv6 solicitation",
        "red-1",
        udp((M1, multicast_mac(ALL_DHCPV6_SERVERS)), (link_local(M1), ALL_DHCPV6_SERVERS), (546, 547)),
        punted=True,
    ),
    Case("a router solicitation", "red-1", router_solicitation(M1, link_local(M1)), punted=True),
    Case("a router solicitation from ::", "red-1", router_solicitation(M1, "::"), punted=True),
    Case("without DHCP a discovery is for whoever serves", "grey-1", dhcp_discover(M_GREY1), ("grey-2",)),
    Case(
        "without advertisements a router solicitation is for the tenant's router",
        "blue-1",
        router_solicitation(M1, link_local(M1)),
        ("blue-2", "blue-3"),
    ),
)

_NO_VTEP = STANDARD.but("h2", vtep_addresses=())
_MOVED = STANDARD.but("red-3", binding_host_id="h3")
_IPV4_ONLY = STANDARD.but("h1", vtep_addresses=("192.0.2.1",))

CLOSED = (
    Case("a deleted port is not reached", "red-1", _PING_TO_3, ("red-open",), site=STANDARD.without("red-3")),
    Case(
        "a deleted port hears nothing",
        "red-1",
        _to_all(M1, I1),
        ("red-2", "red-4", "red-open"),
        site=STANDARD.without("red-3"),
    ),
    Case(
        "an unbound port is not reached",
        "red-1",
        _PING_TO_3,
        ("red-open",),
        site=STANDARD.but("red-3", binding_host_id=""),
    ),
    Case("a port that moved is reached where it is", "red-1", _PING_TO_3, ("red-3",), site=_MOVED),
    Case("a host without VTEP is not reached", "red-1", _PING_TO_3, ("red-open",), site=_NO_VTEP),
    Case(
        "a host without VTEP hears nothing",
        "red-1",
        _to_all(M1, I1),
        ("red-2", "red-4", "red-open"),
        site=_NO_VTEP,
    ),
    Case(
        "ports of a host without VTEP reach each other",
        "blue-2",
        _ping((M3, I3), (M_BLUE_ONLY, "10.0.0.33")),
        ("blue-3",),
        site=_NO_VTEP,
    ),
    Case(
        "a host without IPv6 VTEP does not reach one that is reached by IPv6",
        "red-1",
        _ping((M1, I1), (M4, I4)),
        site=_IPV4_ONLY,
    ),
    Case(
        "a host without IPv6 VTEP is heard by the others",
        "red-1",
        _to_all(M1, I1),
        ("red-2", "red-3", "red-open"),
        site=_IPV4_ONLY,
    ),
    Case(
        "a host without IPv6 VTEP is reached by all",
        "red-4",
        _ping((M4, I4), (M1, I1)),
        ("red-1",),
        site=_IPV4_ONLY,
    ),
    Case(
        "a port that is administratively down is not reached",
        "red-1",
        _PING_TO_2,
        site=STANDARD.but("red-2", admin_state_up=False),
    ),
    Case(
        "a port that is administratively down hears nothing",
        "red-1",
        _to_all(M1, I1),
        ("red-3", "red-4", "red-open"),
        site=STANDARD.but("red-2", admin_state_up=False),
    ),
    Case(
        "a port that is administratively down reaches nobody",
        "red-1",
        _PING_TO_2,
        site=STANDARD.but("red-1", admin_state_up=False),
    ),
    Case(
        "in a network that is down nobody is reached",
        "red-1",
        _PING_TO_2,
        site=STANDARD.but("red", admin_state_up=False),
    ),
    Case(
        "in a network that is down nobody is heard abroad",
        "red-1",
        _to_all(M1, I1),
        site=STANDARD.but("red", admin_state_up=False),
    ),
    Case(
        "an unplugged port receives nothing",
        "red-1",
        _to_all(M1, I1),
        ("red-3", "red-4", "red-open"),
        site=Site(STANDARD.rows, unplugged=frozenset({"red-2"})),
    ),
    Case(
        "a closed port receives nothing",
        "red-1",
        _to_all(M1, I1),
        ("red-3", "red-4", "red-open"),
        site=Site(STANDARD.rows, closed=frozenset({"red-2"})),
    ),
    Case(
        "a closed port sends nothing",
        "red-1",
        _to_all(M1, I1),
        site=Site(STANDARD.rows, closed=frozenset({"red-1"})),
    ),
    Case(
        "a closed port is not asked either",
        "red-1",
        dhcp_discover(M1),
        site=Site(STANDARD.rows, closed=frozenset({"red-1"})),
    ),
    Case(
        "a host without a tunnel port reaches its own ports only",
        "red-1",
        _to_all(M1, I1),
        ("red-2", "red-open"),
        site=Site(STANDARD.rows, without_tunnels=frozenset({"h1"})),
    ),
    Case(
        "a host without a tunnel port is not reached",
        "red-3",
        _ping((M3, I3), (M1, I1)),
        site=Site(STANDARD.rows, without_tunnels=frozenset({"h1"})),
    ),
)

_SERVICE_IPV6 = ("fe80::a9fe:a9fe", "fd00:ec2::254")

SERVICES = (
    Case(
        "the services' address is on the link of a network without DHCP",
        "grey-1",
        who_has(BARE_SERVER, (M_GREY1, I1)),
        to={"grey-1": is_at(BARE_SERVER, RESPONDER_MAC, (M_GREY1, I1))},
    ),
    *(
        Case(
            f"{ip} is on every link",
            "red-1",
            solicitation(ip, (M1, link_local(M1))),
            to={"red-1": advertisement(ip, (RESPONDER_MAC, ip), (M1, link_local(M1)))},
        )
        for ip in _SERVICE_IPV6
    ),
    *(
        Case(
            f"{ip} is asked for by unicast too",
            "red-1",
            solicitation(ip, (M1, S1), to=(RESPONDER_MAC, ip)),
            to={"red-1": advertisement(ip, (RESPONDER_MAC, ip), (M1, S1))},
        )
        for ip in _SERVICE_IPV6
    ),
    Case("at the services' address nothing else is", "red-1", udp((M1, M2), (I1, BARE_SERVER), (9, 123))),
    Case("nor over IPv6", "red-1", udp((M1, M2), (S1, _SERVICE_IPV6[1]), (9, 123))),
    Case("the services' address does not answer echo", "red-1", _ping((M1, I1), (M2, BARE_SERVER))),
    Case(
        "a renewal at the services' address is the DHCP server's",
        "blue-1",
        udp((M1, RESPONDER_MAC), (I1, BARE_SERVER), (68, 67), bytes(240)),
        punted=True,
    ),
)

CASES: dict[str, tuple[Case, ...]] = {
    "reachability": REACHABILITY,
    "answers": ANSWERS,
    "spoofing": SPOOFING,
    "not spoofing": NOT_SPOOFING,
    "punts": PUNTS,
    "closed": CLOSED,
    "services": SERVICES,
}
"""All cases, by what they are about. In `spoofing` nothing may be received and nothing punted."""
