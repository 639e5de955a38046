"""Router advertisements, read by scapy: flags by address mode, no default route until a router has the gateway."""

import warnings
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # scapy's own, at import
    from scapy.layers.inet6 import (
        ICMPv6ND_RA,
        ICMPv6ND_RS,
        ICMPv6NDOptMTU,
        ICMPv6NDOptPrefixInfo,
        ICMPv6NDOptRDNSS,
        ICMPv6NDOptSrcLLAddr,
        IPv6,
    )
    from scapy.layers.l2 import Ether

from alcor.agent.answer.dispatch import Answerer
from alcor.goalstate.item import Address, SubnetItem
from alcor.goalstate.router_item import InterfaceAddress, RouterInterface, RouterItem
from alcor.pipeline.view import Allocation, View
from tests.support.agent import RESPONDER_MAC, Clock, subnet
from tests.support.answers import (
    LINK_LOCAL,
    MAC,
    OFPORT,
    RESPONDER_LINK_LOCAL,
    a_port,
    a_world,
    answered,
    ask,
    parsed,
)

IP6 = "2001:db8::5"


def six(mode: str | None = "slaac", id: str = "six", **changes: Any) -> SubnetItem:
    """An IPv6 subnet of that mode."""
    fields: dict[str, Any] = {
        "cidr": "2001:db8::/64",
        "gateway_ip": "2001:db8::1",
        "ipv6_address_mode": mode,
        "ipv6_ra_mode": mode,
    }
    return subnet(id, **(fields | changes))


def world(*subnets: SubnetItem, **port: Any) -> tuple[View, Allocation]:
    """A port with 2001:db8::5 in the subnet `six`."""
    addresses = {"addresses": (Address("six", IP6),)}
    return a_world(*(subnets or (six(),)), port=a_port(**(addresses | port)), mtu=1_390)


def solicitation(source: str = LINK_LOCAL, *options: Any, hops: int = 255, **fields: Any) -> bytes:
    """A router solicitation of port-5."""
    packet: Any = Ether(src=MAC, dst="33:33:00:00:00:02") / IPv6(src=source, dst="ff02::2", hlim=hops)
    packet /= ICMPv6ND_RS(**fields)
    for option in options:
        packet /= option
    return bytes(packet)


def prefixes(reply: Any) -> dict[str, tuple[int, int, int]]:
    """Prefix → (on link, autonomous, length)."""
    found = {}
    option = reply
    while option := option.payload:
        if isinstance(option, ICMPv6NDOptPrefixInfo):
            found[option.prefix] = (option.L, option.A, option.prefixlen)
    return found


@pytest.mark.parametrize(
    ("mode", "managed", "other", "autonomous"),
    [("slaac", 0, 0, 1), ("dhcpv6-stateless", 0, 1, 1), ("dhcpv6-stateful", 1, 1, 0)],
)
def test_flags_by_mode(mode: str, managed: int, other: int, autonomous: int) -> None:
    """A, M and O say how addresses are got; the prefix is on link; the router's lifetime is 0."""
    reply = ask(solicitation(), world(six(mode)))

    advertisement = reply[ICMPv6ND_RA]
    assert (advertisement.M, advertisement.O, advertisement.routerlifetime) == (managed, other, 0)
    assert advertisement.chlim == 64
    assert prefixes(reply) == {"2001:db8::": (1, autonomous, 64)}
    assert (reply[ICMPv6NDOptPrefixInfo].validlifetime, reply[ICMPv6NDOptPrefixInfo].preferredlifetime) == (
        86_400,
        14_400,
    )


def test_answer_to_a_solicitation() -> None:
    """The answer goes to who asked, from the responder's link-local address, with its MAC and the network's MTU."""
    reply = ask(solicitation(), world())

    assert (reply[IPv6].src, reply[IPv6].dst, reply[IPv6].hlim) == (RESPONDER_LINK_LOCAL, LINK_LOCAL, 255)
    assert reply.dst == MAC
    assert reply[ICMPv6NDOptSrcLLAddr].lladdr == RESPONDER_MAC
    assert reply[ICMPv6NDOptMTU].mtu == 1_390
    assert ICMPv6NDOptRDNSS not in reply


def a_router(id: str, ip: str, mac: str, *, is_up: bool = True) -> RouterItem:
    """A router with one interface on the port's network."""
    network_id = a_port().network_id
    address = InterfaceAddress(ip, "2001:db8::/64", "six")
    interface = RouterInterface(f"i-{id}", network_id, mac, (address,))
    return RouterItem(id=id, admin_state_up=is_up, interfaces=(interface,))


@pytest.mark.parametrize(("is_up", "lifetime"), [(True, 1_800), (False, 0)])
def test_the_router_with_the_gateway_speaks(is_up: bool, lifetime: int) -> None:
    """It comes from the link-local address and MAC of the interface that has the gateway's; a router that is down is
    no default router."""
    view, allocation = world()
    view.routers["a"] = a_router("a", "2001:db8::9", "0a:00:00:00:00:0a")
    view.routers["b"] = a_router("b", "2001:db8::1", "0a:00:00:00:00:0b", is_up=is_up)

    reply = ask(solicitation(), (view, allocation), "0a:00:00:00:00:0b")

    assert reply[ICMPv6NDOptSrcLLAddr].lladdr == "0a:00:00:00:00:0b"
    assert (reply[IPv6].src, reply[IPv6].hlim) == ("fe80::800:ff:fe00:b", 255)
    assert reply[ICMPv6ND_RA].routerlifetime == lifetime


def test_a_router_without_the_gateway_does_not_speak() -> None:
    """Another router on the network is no default router."""
    view, allocation = world()
    view.routers["a"] = a_router("a", "2001:db8::9", "0a:00:00:00:00:0a")

    reply = ask(solicitation(), (view, allocation))

    assert (reply[IPv6].src, reply[ICMPv6ND_RA].routerlifetime) == (RESPONDER_LINK_LOCAL, 0)


def test_answer_to_one_without_an_address() -> None:
    """A solicitation from the unspecified address is answered to all nodes."""
    reply = ask(solicitation("::"), world())

    assert (reply[IPv6].dst, reply.dst) == ("ff02::1", "33:33:00:00:00:01")


def test_name_servers() -> None:
    """IPv6 name servers are told with a lifetime of three intervals, IPv4 ones are not."""
    reply = ask(solicitation(), world(six(dns_nameservers=("2001:db8::53", "8.8.8.8", "2001:db8::54"))))

    assert reply[ICMPv6NDOptRDNSS].dns == ["2001:db8::53", "2001:db8::54"]
    assert reply[ICMPv6NDOptRDNSS].lifetime == 1_800


def test_unsolicited() -> None:
    """An unsolicited one goes to all nodes of the one port, out of its own VIF."""
    answer = Answerer(Clock().monotonic_s).advertise("port-5", *world())

    assert answer is not None
    assert answer.ofport == OFPORT
    assert parsed(answer.frame)[IPv6].dst == "ff02::1"


def test_several_subnets() -> None:
    """All subnets with a mode are advertised; for autoconfiguration only where the port has an address."""
    subnets = (
        six(),
        six("slaac", "b", cidr="2001:db8:b::/64"),
        six(None, "c", cidr="2001:db8:c::/64"),
        subnet(),
    )

    assert prefixes(ask(solicitation(), world(*subnets))) == {
        "2001:db8::": (1, 1, 64),
        "2001:db8:b::": (1, 0, 64),
    }
    assert prefixes(ask(solicitation(), world(*subnets, port_security_enabled=False))) == {
        "2001:db8::": (1, 1, 64),
        "2001:db8:b::": (1, 1, 64),
    }


def test_only_64_bits_are_autonomous() -> None:
    """A prefix that is not of 64 bits is on link and not for autoconfiguration (RFC 4862)."""
    reply = ask(solicitation(), world(six(cidr="2001:db8::/80")))

    assert prefixes(reply) == {"2001:db8::": (1, 0, 80)}


@pytest.mark.parametrize(
    "subnets",
    [(six(None),), (six(None, ipv6_address_mode="slaac"),), (subnet(),)],
    ids=["none", "address", "v4"],
)
def test_without_a_mode(subnets: tuple[SubnetItem, ...]) -> None:
    """Without an ipv6_ra_mode there is no advertisement, asked for or not."""
    assert ask(solicitation(), world(*subnets)) is None
    assert Answerer(Clock().monotonic_s).advertise("port-5", *world(*subnets)) is None


@pytest.mark.parametrize(
    "frame",
    [
        solicitation(hops=64),
        solicitation(code=1),
        solicitation("::", ICMPv6NDOptSrcLLAddr(lladdr=MAC)),
        solicitation(LINK_LOCAL, b"\1\0"),
        solicitation(LINK_LOCAL, b"\1\2aaaaaa"),
        solicitation(LINK_LOCAL, b"\1"),
    ],
    ids=[
        "through a router",
        "code",
        "address of nobody",
        "option of no length",
        "cut option",
        "half an option",
    ],
)
def test_invalid_solicitations(frame: bytes) -> None:
    """What RFC 4861, section 6.1.1, says to discard is discarded."""
    assert ask(frame, world()) is None


@given(st.data())
def test_any_octets(data: st.DataObject) -> None:
    """Whatever is cut, changed or made up: no error, and every packet is counted once."""
    frame = bytearray(solicitation(LINK_LOCAL, ICMPv6NDOptSrcLLAddr(lladdr=MAC)))
    for _ in range(data.draw(st.integers(0, 8))):
        frame[data.draw(st.integers(0, len(frame) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(frame)))

    answerer = Answerer(Clock().monotonic_s)
    answered(bytes(frame[:cut]) + data.draw(st.binary(max_size=40)), world(), answerer)

    assert sum(answerer.counts.values()) == 1
