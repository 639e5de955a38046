"""DHCPv6 answers, read by scapy: stateful subnets give the port's addresses, stateless ones name servers only."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.dhcp6 import (
    DUID_LL,
    DHCP6_Advertise,
    DHCP6_Confirm,
    DHCP6_Decline,
    DHCP6_InfoRequest,
    DHCP6_Rebind,
    DHCP6_Release,
    DHCP6_Renew,
    DHCP6_Reply,
    DHCP6_Request,
    DHCP6_Solicit,
    DHCP6OptClientId,
    DHCP6OptDNSServers,
    DHCP6OptIA_NA,
    DHCP6OptIA_PD,
    DHCP6OptIA_TA,
    DHCP6OptIAAddress,
    DHCP6OptOptReq,
    DHCP6OptPref,
    DHCP6OptRapidCommit,
    DHCP6OptServerId,
    DHCP6OptStatusCode,
)
from scapy.layers.inet import UDP
from scapy.layers.inet6 import IPv6

from alcor.agent.answer.dispatch import Answerer
from alcor.goalstate.item import Address
from alcor.pipeline.view import Allocation, View
from tests.support.agent import RESPONDER_MAC, Clock, subnet
from tests.support.answers import (
    LINK_LOCAL,
    MAC,
    RESPONDER_LINK_LOCAL,
    a_port,
    a_world,
    answered,
    ask,
    dhcpv6,
)

IP6 = "2001:db8::5"
CLIENT = DHCP6OptClientId(duid=DUID_LL(lladdr=MAC))
SERVER = DHCP6OptServerId(duid=DUID_LL(lladdr=RESPONDER_MAC))
OTHER_SERVER = DHCP6OptServerId(duid=DUID_LL(lladdr="02:00:00:00:00:99"))
NO_ADDRESSES, NOT_ON_LINK, NO_PREFIXES = 2, 4, 6


def ia(*addresses: str, iaid: int = 7) -> Any:
    """An identity association that names these addresses."""
    return DHCP6OptIA_NA(iaid=iaid, ianaopts=[DHCP6OptIAAddress(addr=ip) for ip in addresses])


def stateful(mode: str = "dhcpv6-stateful", **changes: Any) -> tuple[View, Allocation]:
    """A port with 2001:db8::5 in a subnet of that address mode."""
    fields: dict[str, Any] = {
        "cidr": "2001:db8::/64",
        "gateway_ip": "2001:db8::1",
        "dns_nameservers": ("2001:db8::53", "8.8.8.8"),
        "ipv6_address_mode": mode,
        "ipv6_ra_mode": mode,
    }
    return a_world(subnet("six", **(fields | changes)), port=a_port(addresses=(Address("six", IP6),)))


def leases(reply: Any) -> list[tuple[int, list[tuple[str, int, int]], list[int]]]:
    """Per IA_NA: its id, its addresses with lifetimes, its status codes."""
    found = []
    option = reply
    while option := option.payload:
        if isinstance(option, DHCP6OptIA_NA):
            addresses = [each for each in option.ianaopts if isinstance(each, DHCP6OptIAAddress)]
            codes = [each.statuscode for each in option.ianaopts if isinstance(each, DHCP6OptStatusCode)]
            found.append((option.iaid, [(one.addr, one.preflft, one.validlft) for one in addresses], codes))
    return found


def test_solicit() -> None:
    """A SOLICIT is advertised the port's address, with preference 255, from the responder's link-local address."""
    reply = ask(dhcpv6(DHCP6_Solicit(trid=0x010203) / CLIENT / ia()), stateful())

    assert (reply[IPv6].src, reply[IPv6].dst, reply.dst) == (RESPONDER_LINK_LOCAL, LINK_LOCAL, MAC)
    assert (reply[UDP].sport, reply[UDP].dport) == (547, 546)
    assert reply[DHCP6_Advertise].trid == 0x010203
    assert bytes(reply[DHCP6OptClientId].duid) == bytes(CLIENT.duid)
    assert reply[DHCP6OptServerId].duid.lladdr == RESPONDER_MAC
    assert reply[DHCP6OptPref].prefval == 255
    assert leases(reply) == [(7, [(IP6, 86_400, 86_400)], [])]
    assert (reply[DHCP6OptIA_NA].T1, reply[DHCP6OptIA_NA].T2) == (43_200, 69_120)
    assert reply[DHCP6OptDNSServers].dnsservers == ["2001:db8::53"]


def test_rapid_commit() -> None:
    """A SOLICIT with rapid commit is answered by the reply itself, which says so."""
    reply = ask(dhcpv6(DHCP6_Solicit() / CLIENT / ia() / DHCP6OptRapidCommit()), stateful())

    assert DHCP6_Reply in reply
    assert DHCP6OptRapidCommit in reply
    assert leases(reply) == [(7, [(IP6, 86_400, 86_400)], [])]


@pytest.mark.parametrize("message", [DHCP6_Request() / SERVER, DHCP6_Renew() / SERVER, DHCP6_Rebind()])
def test_request_renew_rebind(message: Any) -> None:
    """REQUEST, RENEW and REBIND get the port's address; another one that they name ends with lifetimes of 0."""
    reply = ask(dhcpv6(message / CLIENT / ia(IP6, "2001:db8::666")), stateful())

    assert DHCP6_Reply in reply
    assert leases(reply) == [(7, [(IP6, 86_400, 86_400), ("2001:db8::666", 0, 0)], [])]


@pytest.mark.parametrize(
    ("addresses", "expected"),
    [((IP6,), 0), (("2001:db8::77",), 0), (("2001:db9::5",), NOT_ON_LINK), ((), None)],
)
def test_confirm(addresses: tuple[str, ...], expected: int | None) -> None:
    """CONFIRM asks whether addresses fit the link: yes, no, or silence if it names none."""
    reply = ask(dhcpv6(DHCP6_Confirm() / CLIENT / ia(*addresses)), stateful())

    assert (None if reply is None else reply[DHCP6OptStatusCode].statuscode) == expected


@pytest.mark.parametrize("message", [DHCP6_Release(), DHCP6_Decline()])
def test_release_and_decline(message: Any) -> None:
    """RELEASE and DECLINE are acknowledged, and change nothing."""
    reply = ask(dhcpv6(message / SERVER / CLIENT / ia(IP6)), stateful())

    assert reply[DHCP6OptStatusCode].statuscode == 0
    assert leases(reply) == []


def test_several_associations() -> None:
    """The first IA_NA gets the addresses; others, temporary addresses and prefixes get a status that says no."""
    message = DHCP6_Solicit() / CLIENT / ia() / ia(iaid=8) / DHCP6OptIA_TA(iaid=9) / DHCP6OptIA_PD(iaid=10)

    reply = ask(dhcpv6(message), stateful())

    assert leases(reply) == [(7, [(IP6, 86_400, 86_400)], []), (8, [], [NO_ADDRESSES])]
    assert reply[DHCP6OptIA_TA].iataopts[0].statuscode == NO_ADDRESSES
    assert reply[DHCP6OptIA_PD].iapdopt[0].statuscode == NO_PREFIXES


def test_stateless() -> None:
    """A stateless subnet answers a request for information with name servers, and gives no address."""
    world = stateful("dhcpv6-stateless")

    told = ask(dhcpv6(DHCP6_InfoRequest() / CLIENT / DHCP6OptOptReq(reqopts=[23])), world)
    refused = ask(dhcpv6(DHCP6_Solicit() / CLIENT / ia()), world)

    assert told[DHCP6OptDNSServers].dnsservers == ["2001:db8::53"]
    assert leases(told) == []
    assert leases(refused) == [(7, [], [NO_ADDRESSES])]


def test_information_request_without_a_client_id() -> None:
    """A request for information need not say who asks."""
    assert DHCP6OptDNSServers in ask(dhcpv6(DHCP6_InfoRequest()), stateful())


def test_name_servers_only_if_asked_for() -> None:
    """A client that lists what it wants gets nothing else."""
    reply = ask(dhcpv6(DHCP6_Solicit() / CLIENT / ia() / DHCP6OptOptReq(reqopts=[24])), stateful())

    assert DHCP6OptDNSServers not in reply


@pytest.mark.parametrize(
    "frame",
    [
        dhcpv6(DHCP6_Solicit() / CLIENT / ia(), to="2001:db8::1"),
        dhcpv6(DHCP6_Solicit() / CLIENT / ia(), ip_src=IP6),
        dhcpv6(DHCP6_Solicit() / CLIENT / SERVER / ia()),
        dhcpv6(DHCP6_Solicit() / ia()),
        dhcpv6(DHCP6_Request() / CLIENT / ia()),
        dhcpv6(DHCP6_Request() / CLIENT / OTHER_SERVER / ia()),
        dhcpv6(DHCP6_InfoRequest() / CLIENT / ia()),
        dhcpv6(DHCP6_Reply() / CLIENT / SERVER / ia()),
    ],
    ids=[
        "unicast",
        "not link-local",
        "solicit names a server",
        "no client id",
        "request names no server",
        "another server",
        "information with an association",
        "a reply",
    ],
)
def test_not_answered(frame: bytes) -> None:
    """What RFC 8415, section 16, says to discard is discarded."""
    assert ask(frame, stateful()) is None


@pytest.mark.parametrize(
    "world",
    [stateful("slaac"), stateful(enable_dhcp=False), stateful(ipv6_address_mode=None), a_world()],
    ids=["slaac", "off", "no mode", "no IPv6"],
)
def test_without_dhcpv6(world: tuple[View, Allocation]) -> None:
    """Ports of subnets without DHCPv6 are not answered."""
    assert ask(dhcpv6(DHCP6_Solicit() / CLIENT / ia()), world) is None


@given(st.data())
def test_any_octets(data: st.DataObject) -> None:
    """Whatever is cut, changed or made up: no error, and no lasting lease of an address that is not the port's."""
    seed = data.draw(
        st.sampled_from(
            [
                dhcpv6(DHCP6_Solicit() / CLIENT / ia("2001:db8::9")),
                dhcpv6(DHCP6_Request() / CLIENT / SERVER / ia(IP6) / DHCP6OptOptReq(reqopts=[23])),
            ]
        )
    )
    frame = bytearray(seed)
    for _ in range(data.draw(st.integers(0, 8))):
        frame[data.draw(st.integers(0, len(frame) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(frame)))
    tail = data.draw(st.binary(max_size=40))

    answerer = Answerer(Clock().monotonic_s)
    answer = answered(bytes(frame[:cut]) + tail, stateful(), answerer)

    assert sum(answerer.counts.values()) == 1
    if answer is not None:
        reply = ask(bytes(frame[:cut]) + tail, stateful())
        given_out = {ip for _, ips, _ in leases(reply[UDP].payload) for ip, preferred, valid in ips if valid}
        assert given_out <= {IP6}
