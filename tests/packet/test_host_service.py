"""Metadata service and name server on simulated switches: who reaches them, as whom, and what comes back."""

import struct
from collections.abc import Callable

import pytest

from alcor.model.address import Ip, ip_of_int
from alcor.pipeline.host_service import (
    SERVER_DNS,
    SERVER_HTTP,
    SERVER_IPV4,
    SERVER_IPV6,
    SERVER_MAC,
    SERVICE_IPV4,
    SERVICE_IPV6,
    key_of,
    near_ipv4,
    near_ipv6,
)
from tests.support.packet_cases import I1, I_OPEN, M1, M_FOREIGN, M_OPEN, RED_1_HEARD, S1, STANDARD
from tests.support.packet_site import RESPONDER_MAC, SERVICE, Fabric
from tests.support.packets import (
    advertisement,
    checksum,
    echo,
    ethernet,
    ip_packet,
    ip_text,
    is_at,
    link_local,
    solicitation,
    udp,
    who_has,
)

NEXT_HOP_MAC = "02:00:00:00:77:77"
TCP = 6
Build = Callable[[tuple[str, str], tuple[str, str], tuple[int, int]], bytes]


@pytest.fixture(scope="module")
def fabric() -> Fabric:
    return Fabric(STANDARD)


def tcp(eth: tuple[str, str], ip: tuple[str, str], ports: tuple[int, int]) -> bytes:
    """A segment that opens a connection; each pair is (source, target)."""
    head = struct.pack("!HHIIBBHHH", *ports, 1, 0, 0x50, 2, 1000, 0, 0)
    pseudo = ip_text(ip[0]) + ip_text(ip[1]) + struct.pack("!II", TCP, len(head))
    return ethernet(*eth, *ip_packet(*ip, TCP, head[:16] + checksum(pseudo + head) + head[18:]))


def key(fabric: Fabric, port_id: str, host_id: str = "h1") -> int:
    return fabric.allocations[host_id].port_keys[port_id]


def near4(fabric: Fabric, port_id: str) -> str:
    return str(ip_of_int(near_ipv4(key(fabric, port_id), 0), 4))


def near6(fabric: Fabric, port_id: str, index: int, service: int) -> str:
    return str(ip_of_int(near_ipv6(key(fabric, port_id), index, service), 6))


@pytest.mark.parametrize(
    ("build", "outer", "inner"), [(tcp, 80, SERVER_HTTP), (tcp, 53, SERVER_DNS), (udp, 53, SERVER_DNS)]
)
@pytest.mark.parametrize("next_hop", [NEXT_HOP_MAC, RESPONDER_MAC])
def test_a_question_reaches_the_host_with_an_address_that_names_the_port(
    fabric: Fabric, build: Build, outer: int, inner: int, next_hop: str
) -> None:
    """Whatever MAC is the next hop's, port 80 and 53 of the service's address are the agent's."""
    frame = build((M1, next_hop), (I1, SERVICE_IPV4), (5555, outer))

    outcome = fabric.send("red-1", frame)

    expected = build((M1, SERVER_MAC), (near4(fabric, "red-1"), SERVER_IPV4), (5555, inner))
    assert (outcome.served, outcome.delivered, outcome.punted) == ([("h1", expected)], [], [])


@pytest.mark.parametrize("service", [0, 1])
@pytest.mark.parametrize(("own", "index"), [(S1, 0), (link_local(M1), 1)])
def test_over_ipv6_too(fabric: Fabric, service: int, own: str, index: int) -> None:
    """Both well-known IPv6 addresses are served, from a fixed address and from the link-local one."""
    asked = SERVICE_IPV6[service]
    near = near6(fabric, "red-1", index, service)

    outcome = fabric.send("red-1", tcp((M1, RESPONDER_MAC), (own, asked), (5555, 80)))
    back = fabric.switches["h1"].process(
        tcp((SERVER_MAC, SERVER_MAC), (SERVER_IPV6, near), (SERVER_HTTP, 5555)), SERVICE, None
    )

    assert outcome.served == [("h1", tcp((M1, SERVER_MAC), (near, SERVER_IPV6), (5555, SERVER_HTTP)))]
    ofport = fabric.allocations["h1"].ofports["red-1"]
    assert [(sent.port, sent.frame) for sent in back] == [
        (ofport, tcp((RESPONDER_MAC, M1), (asked, own), (80, 5555)))
    ]


def test_tenants_with_equal_addresses_are_told_apart(fabric: Fabric) -> None:
    """Two ports of two networks with one MAC and one address each get their own answer."""
    found = []
    for port_id in ("red-1", "blue-1"):
        served = fabric.send(port_id, tcp((M1, NEXT_HOP_MAC), (I1, SERVICE_IPV4), (5555, 80))).served
        found.append((port_id, served))
        back = tcp((SERVER_MAC, SERVER_MAC), (SERVER_IPV4, near4(fabric, port_id)), (SERVER_HTTP, 5555))
        sent = fabric.switches["h1"].process(back, SERVICE, None)

        ofport = fabric.allocations["h1"].ofports[port_id]
        answer = tcp((RESPONDER_MAC, M1), (SERVICE_IPV4, I1), (80, 5555))
        assert [(each.port, each.frame) for each in sent] == [(ofport, answer)]
    assert found[0][1] != found[1][1]


@pytest.mark.parametrize(
    "frame",
    [
        tcp((M1, RESPONDER_MAC), (I1, SERVICE_IPV4), (5555, 22)),
        tcp((M1, RESPONDER_MAC), (I1, SERVICE_IPV4), (5555, SERVER_HTTP)),
        tcp((M1, RESPONDER_MAC), (I1, SERVICE_IPV4), (SERVER_HTTP, 5555)),
        udp((M1, RESPONDER_MAC), (I1, SERVICE_IPV4), (5555, 123)),
        echo((M1, RESPONDER_MAC), (I1, SERVICE_IPV4)),
        echo((M1, RESPONDER_MAC), (S1, SERVICE_IPV6[1])),
        tcp((M1, SERVER_MAC), (I1, SERVER_IPV4), (5555, SERVER_HTTP)),
    ],
    ids=[
        "ssh",
        "the port behind",
        "from the port behind",
        "ntp",
        "ping",
        "ping6",
        "the server's own address",
    ],
)
def test_nothing_else_is_reached_there(fabric: Fabric, frame: bytes) -> None:
    """No other port of the host is open to a VM, and nobody else has the services' addresses."""
    outcome = fabric.send("red-1", frame)

    assert (outcome.served, outcome.delivered, outcome.punted) == ([], [], [])


def test_a_question_with_a_foreign_address_is_nobodys(fabric: Fabric) -> None:
    """With port security off only the port's own addresses are answered: an answer needs a way back."""
    foreign = tcp((M_FOREIGN, RESPONDER_MAC), ("10.0.0.66", SERVICE_IPV4), (5555, 80))
    own = tcp((M_OPEN, RESPONDER_MAC), (I_OPEN, SERVICE_IPV4), (5555, 80))

    assert fabric.send("red-open", foreign).served == []
    assert [host for host, _ in fabric.send("red-open", own).served] == ["h1"]


@pytest.mark.parametrize("near", [0, 77])
def test_the_host_reaches_nobody_but_who_asked(fabric: Fabric, near: int) -> None:
    """From the services' port a packet to an address that names no port, or from another port, is dropped."""
    to_nobody = tcp(
        (SERVER_MAC, M1), (SERVER_IPV4, str(ip_of_int(near_ipv4(near, 0), 4))), (SERVER_HTTP, 5555)
    )
    from_ssh = tcp((SERVER_MAC, M1), (SERVER_IPV4, near4(fabric, "red-1")), (22, 5555))

    for frame in (to_nobody, from_ssh):
        assert fabric.switches["h1"].process(frame, SERVICE, None) == []


def test_the_services_addresses_are_on_every_link(fabric: Fabric) -> None:
    """ARP and neighbour discovery for them are answered in a network without router and DHCP too."""
    blue = fabric.send("blue-1", who_has(SERVICE_IPV4, (M1, I1)))
    assert blue.delivered == [("blue-1", is_at(SERVICE_IPV4, RESPONDER_MAC, (M1, I1)))]
    for ip in SERVICE_IPV6:
        asker = (M1, link_local(M1))
        for frame in (solicitation(ip, asker), solicitation(ip, asker, to=(RESPONDER_MAC, ip))):
            answer = advertisement(ip, (RESPONDER_MAC, ip), asker)
            assert fabric.send("red-1", frame).delivered == [("red-1", answer)]


def test_near_addresses_name_the_port() -> None:
    """The key is found again in every near address, and in no other."""
    for number in (1, 100, 32_767):
        assert key_of(str(ip_of_int(near_ipv4(number, 126), 4))) == number
        assert key_of(str(ip_of_int(near_ipv6(number, 63, 1), 6))) == number
    for other in (SERVER_IPV4, SERVER_IPV6, Ip("10.0.0.1"), Ip("100.128.0.1"), Ip("fda1:c0a9:fea9:2::1")):
        assert key_of(other) is None


def test_what_the_law_of_a_broadcast_is_stays(fabric: Fabric) -> None:
    """Other traffic of a port is as before."""
    frame = who_has("10.0.0.77", (M1, I1))

    assert sorted(id for id, _ in fabric.send("red-1", frame).delivered) == sorted(RED_1_HEARD)
