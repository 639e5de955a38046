"""DHCPv4 answers, read by scapy: a port gets its own address, in every state a client can be in."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.dhcp import BOOTP, DHCP
from scapy.layers.inet import IP, UDP

from alcor.agent.answer.dispatch import Answerer
from alcor.goalstate.item import Address, Route
from tests.support.agent import Clock, subnet
from tests.support.answers import ADDRESS, MAC, a_port, a_world, answered, ask, dhcp, options_of

DISCOVER = ("message-type", "discover")
REQUEST = ("message-type", "request")
OFFER, ACK, NAK = 2, 5, 6


def test_discover() -> None:
    """A DISCOVER is offered the port's address with everything the subnet says, by the gateway's address."""
    world = a_world(subnet(dns_nameservers=("8.8.8.8", "2001:db8::53", "9.9.9.9")))

    offer = ask(dhcp(DISCOVER), world)

    assert offer[BOOTP].yiaddr == ADDRESS
    assert offer[BOOTP].xid == 0x01020304
    assert offer[BOOTP].siaddr == offer[BOOTP].giaddr == offer[BOOTP].ciaddr == "0.0.0.0"
    assert (offer[IP].src, offer[IP].dst, offer.dst) == ("10.0.0.1", ADDRESS, MAC)
    assert (offer[UDP].sport, offer[UDP].dport) == (67, 68)
    assert len(offer[UDP].payload) >= 300
    assert options_of(offer) == {
        "message-type": OFFER,
        "server_id": "10.0.0.1",
        "lease_time": 86_400,
        "renewal_time": 43_200,
        "rebinding_time": 75_600,
        "subnet_mask": "255.255.255.0",
        "broadcast_address": "10.0.0.255",
        "router": "10.0.0.1",
        "name_server": ("8.8.8.8", "9.9.9.9"),
        "interface-mtu": 1450,
    }


@pytest.mark.parametrize(
    ("options", "fields", "expected"),
    [
        ([("server_id", "10.0.0.1"), ("requested_addr", ADDRESS)], {}, ACK),
        ([("server_id", "10.0.0.1"), ("requested_addr", "10.0.0.6")], {}, NAK),
        ([("server_id", "10.0.0.9"), ("requested_addr", ADDRESS)], {}, None),
        ([("requested_addr", ADDRESS)], {}, ACK),
        ([("requested_addr", "192.168.1.7")], {}, NAK),
        ([], {"ciaddr": ADDRESS, "ip_src": ADDRESS, "to": "10.0.0.1"}, ACK),
        ([], {"ciaddr": ADDRESS, "ip_src": ADDRESS, "to": "10.0.0.9"}, None),
        ([], {"ciaddr": ADDRESS, "ip_src": ADDRESS}, ACK),
        ([], {"ciaddr": "10.0.0.6"}, NAK),
        ([("requested_addr", ADDRESS)], {"ciaddr": "10.0.0.6"}, NAK),
        ([], {}, NAK),
    ],
    ids=[
        "selecting",
        "selecting another's address",
        "selected another server",
        "init-reboot",
        "init-reboot from another network",
        "renewing",
        "renewing at another server",
        "rebinding",
        "rebinding another's address",
        "two addresses",
        "no address",
    ],
)
def test_request(options: list[Any], fields: dict[str, Any], expected: int | None) -> None:
    """A REQUEST is acknowledged iff it is for the port's address and this server, in each client state."""
    reply = ask(dhcp(REQUEST, *options, **fields), a_world())

    assert (None if reply is None else options_of(reply)["message-type"]) == expected
    if expected == ACK:
        assert reply[BOOTP].yiaddr == reply[IP].dst == ADDRESS
    if expected == NAK:
        assert (reply[BOOTP].yiaddr, reply[IP].dst, reply.dst) == (
            "0.0.0.0",
            "255.255.255.255",
            "ff:ff:ff:ff:ff:ff",
        )
        assert options_of(reply).keys() == {"message-type", "server_id", "error_message"}


def test_broadcast_flag() -> None:
    """A client that cannot take unicast yet gets a broadcast; one that has its address gets unicast all the same."""
    offer = ask(dhcp(DISCOVER, flags=0x8000), a_world())
    renewal = ask(dhcp(REQUEST, flags=0x8000, ciaddr=ADDRESS, ip_src=ADDRESS), a_world())

    assert (offer[IP].dst, offer.dst, offer[BOOTP].flags.value) == (
        "255.255.255.255",
        "ff:ff:ff:ff:ff:ff",
        0x8000,
    )
    assert (renewal[IP].dst, renewal.dst) == (ADDRESS, MAC)


def test_inform() -> None:
    """An INFORM gets parameters without an address and without a lease."""
    ack = ask(dhcp(("message-type", "inform"), ciaddr=ADDRESS, ip_src=ADDRESS), a_world())

    assert (ack[BOOTP].yiaddr, ack[BOOTP].ciaddr, ack[IP].dst) == ("0.0.0.0", ADDRESS, ADDRESS)
    assert options_of(ack)["message-type"] == ACK
    assert "lease_time" not in options_of(ack)
    assert options_of(ack)["router"] == "10.0.0.1"


@pytest.mark.parametrize("type", ["release", "decline"])
def test_release_and_decline(type: str) -> None:
    """RELEASE and DECLINE are counted and not answered."""
    answerer = Answerer(Clock().monotonic_s)
    frame = dhcp(("message-type", type), ("server_id", "10.0.0.1"), ciaddr=ADDRESS, ip_src=ADDRESS)

    assert answered(frame, a_world(), answerer) is None
    assert answerer.counts == {f"dhcpv4_{type}": 1}


def test_without_a_gateway() -> None:
    """Without a gateway the server is 169.254.169.254, on-link by route for renewals; no router is told."""
    world = a_world(subnet(gateway_ip=None))

    offer = options_of(ask(dhcp(DISCOVER), world))
    renewal = ask(dhcp(REQUEST, ciaddr=ADDRESS, ip_src=ADDRESS, to="169.254.169.254"), world)

    assert offer["server_id"] == "169.254.169.254"
    assert "router" not in offer
    assert offer["classless_static_routes"] == ["169.254.169.254/32:0.0.0.0"]
    assert (renewal[IP].src, options_of(renewal)["message-type"]) == ("169.254.169.254", ACK)


def test_host_routes_bring_the_default_route() -> None:
    """A client that reads option 121 ignores the router option, so 121 holds the default route too."""
    routes = (Route("10.9.0.0/16", "10.0.0.7"), Route("10.8.8.128/25", "10.0.0.8"))
    offer = options_of(ask(dhcp(DISCOVER), a_world(subnet(host_routes=routes))))

    assert offer["classless_static_routes"] == [
        "10.9.0.0/16:10.0.0.7",
        "10.8.8.128/25:10.0.0.8",
        "0.0.0.0/0:10.0.0.1",
    ]


def test_a_default_route_among_the_host_routes() -> None:
    """A default route that the user gave is told instead of the gateway's."""
    routes = (Route("0.0.0.0/0", "10.0.0.7"),)
    offer = options_of(ask(dhcp(DISCOVER), a_world(subnet(host_routes=routes))))

    assert offer["classless_static_routes"] == ["0.0.0.0/0:10.0.0.7"]


def test_the_parameter_request_list() -> None:
    """Of the parameters only those are told that the client asks for; the protocol's own always are."""
    offer = options_of(ask(dhcp(DISCOVER, ("param_req_list", [1, 26, 42])), a_world()))

    assert offer.keys() == {
        "message-type",
        "server_id",
        "lease_time",
        "renewal_time",
        "rebinding_time",
        "subnet_mask",
        "interface-mtu",
    }


def test_the_client_identifier_comes_back() -> None:
    """The client identifier is returned unchanged (RFC 6842)."""
    offer = ask(dhcp(DISCOVER, ("client_id", b"\xff\0\0\0\1abc")), a_world())

    assert options_of(offer)["client_id"] == b"\xff\0\0\0\1abc"


def test_several_addresses() -> None:
    """A port with two DHCP addresses is offered the one it asks for, else its first; each with its own subnet."""
    port = a_port(
        addresses=(Address("subnet", ADDRESS), Address("b", "10.7.0.5"), Address("off", "10.8.0.5"))
    )
    world = a_world(
        subnet(),
        subnet("b", cidr="10.7.0.0/16", gateway_ip="10.7.0.1"),
        subnet("off", cidr="10.8.0.0/16", enable_dhcp=False),
        port=port,
    )

    assert ask(dhcp(DISCOVER), world)[BOOTP].yiaddr == ADDRESS
    assert ask(dhcp(DISCOVER, ("requested_addr", "10.8.0.5")), world)[BOOTP].yiaddr == ADDRESS
    second = ask(dhcp(DISCOVER, ("requested_addr", "10.7.0.5")), world)
    assert (second[BOOTP].yiaddr, options_of(second)["subnet_mask"]) == ("10.7.0.5", "255.255.0.0")
    request = dhcp(REQUEST, ("server_id", "10.7.0.1"), ("requested_addr", "10.7.0.5"))
    assert ask(request, world)[BOOTP].yiaddr == "10.7.0.5"
    mixed = dhcp(REQUEST, ("server_id", "10.7.0.1"), ("requested_addr", ADDRESS))
    assert options_of(ask(mixed, world))["message-type"] == NAK


@pytest.mark.parametrize(
    "frame",
    [
        dhcp(DISCOVER, chaddr=bytes.fromhex("fa163e000006")),
        dhcp(DISCOVER, giaddr="10.0.0.9"),
        dhcp(DISCOVER, op=2),
        dhcp(DISCOVER, htype=6),
        dhcp(("message-type", "offer")),
        dhcp(("param_req_list", [1])),
    ],
    ids=["a machine behind", "relayed", "a reply", "token ring", "an offer", "no type"],
)
def test_not_answered(frame: bytes) -> None:
    """What is for another machine, relayed, or not a client's message gets no answer."""
    assert ask(frame, a_world()) is None


def test_dhcp_switched_off() -> None:
    """A subnet with DHCP off gives nothing."""
    assert ask(dhcp(DISCOVER), a_world(subnet(enable_dhcp=False))) is None


def test_overloaded_options() -> None:
    """Options a client put into the file and sname fields count (option 52)."""
    file = b"\x35\x01\x01\xff"
    assert ask(dhcp(("dhcp-option-overload", 1), file=file), a_world())[BOOTP].yiaddr == ADDRESS
    assert ask(dhcp(("dhcp-option-overload", 2), sname=file), a_world())[BOOTP].yiaddr == ADDRESS
    assert ask(dhcp(file=file), a_world()) is None


@given(st.data())
def test_any_octets(data: st.DataObject) -> None:
    """Whatever is cut, changed or made up: no error, and never an address that is not the port's."""
    frame = bytearray(
        data.draw(st.sampled_from([dhcp(DISCOVER), dhcp(REQUEST, ("requested_addr", ADDRESS))]))
    )
    for _ in range(data.draw(st.integers(0, 8))):
        frame[data.draw(st.integers(0, len(frame) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(frame)))
    tail = data.draw(st.binary(max_size=40))

    reply = ask(bytes(frame[:cut]) + tail, a_world())

    assert reply is None or reply[BOOTP].yiaddr in (ADDRESS, "0.0.0.0")
    assert reply is None or reply[IP].dst in (ADDRESS, "255.255.255.255")
    assert reply is None or reply[DHCP].options[0] in [("message-type", code) for code in (OFFER, ACK, NAK)]
