"""What ports are told besides addresses: extra options, names and name servers, in every protocol that tells."""

from typing import Any

import msgspec
import pytest
from scapy.layers.dhcp import BOOTP
from scapy.layers.dhcp6 import DUID_LL, DHCP6_InfoRequest, DHCP6OptClientId, DHCP6OptOptReq, DHCP6OptUserClass
from scapy.layers.inet6 import ICMPv6ND_RA, ICMPv6NDOptDNSSL, ICMPv6NDOptRDNSS

from alcor.agent.answer.dispatch import Answerer
from alcor.goalstate.item import Address, DhcpOption, SubnetItem
from alcor.pipeline.view import Allocation, View
from tests.support.agent import Clock, subnet
from tests.support.answers import (
    MAC,
    OFPORT,
    a_port,
    a_world,
    answered,
    ask,
    dhcp,
    dhcpv6,
    options_of,
    parsed,
)
from tests.support.packets import router_solicitation

DISCOVER = ("message-type", "discover")
ALL = ("param_req_list", list(range(1, 255)))
World = tuple[View, Allocation]

SUBNET_6 = subnet(
    "s6",
    cidr="fd00::/64",
    gateway_ip=None,
    ipv6_ra_mode="dhcpv6-stateless",
    ipv6_address_mode="dhcpv6-stateless",
)


def world(*options: tuple[str, str], name: str = "", serves: bool = True, **region: Any) -> World:
    """Port-5 on an IPv4 and an IPv6 subnet, with extra options (named with their version when it is 6)."""
    return in_subnets((subnet(), SUBNET_6), *options, name=name, serves=serves, **region)


def in_subnets(
    subnets: tuple[SubnetItem, ...],
    *options: tuple[str, str],
    name: str = "",
    serves: bool = True,
    **region: Any,
) -> World:
    extra = tuple(
        DhcpOption(6, option.removeprefix("6:"), value)
        if option.startswith("6:")
        else DhcpOption(4, option, value)
        for option, value in options
    )
    addresses = (Address("subnet", "10.0.0.5"), Address("s6", "fd00::5"))
    view, allocation = a_world(*subnets, port=a_port(dhcp_options=extra, dns_name=name, addresses=addresses))
    assert view.region is not None
    view.region = msgspec.structs.replace(view.region, **region)
    allocation.metadata_ofport = 9 if serves else 0
    return view, allocation


def information(*numbers: int, user_class: bytes = b"") -> bytes:
    message = DHCP6_InfoRequest(trid=7) / DHCP6OptClientId(duid=DUID_LL(lladdr=MAC))
    if user_class:
        message /= DHCP6OptUserClass(userclassdata=[user_class])
    return dhcpv6(message / DHCP6OptOptReq(reqopts=list(numbers)))


def options6(packet: Any) -> dict[int, bytes]:
    """The options of a DHCPv6 answer by number, read from the octets."""
    octets, found, at = bytes(packet["UDP"].payload), {}, 4
    while at < len(octets):
        number, length = (
            int.from_bytes(octets[at : at + 2], "big"),
            int.from_bytes(octets[at + 2 : at + 4], "big"),
        )
        found[number] = octets[at + 4 : at + 4 + length]
        at += 4 + length
    return found


def advertised(known: World) -> Any:
    """What a router solicitation is answered."""
    return ask(router_solicitation(MAC, "fe80::f816:3eff:fe00:5"), known)


def test_extra_options_are_told_to_who_asks() -> None:
    """An option of the port is in the answer if the client's list has it, and not otherwise."""
    known = world(("ntp-server", "192.0.2.1"), ("tzdb-timezone", "UTC"))

    found = options_of(ask(dhcp(DISCOVER, ("param_req_list", [1, 42])), known))

    assert found["NTP_server"] == "192.0.2.1"
    assert found.keys().isdisjoint({"tcode", "router"})


def test_extra_options_win_over_the_subnets() -> None:
    """The port's own value replaces the subnet's; an empty one takes it away."""
    found = options_of(
        ask(dhcp(DISCOVER, ALL), world(("mtu", "1300"), ("router", ""), ("dns-server", "192.0.2.7")))
    )

    assert (found["interface-mtu"], found["name_server"]) == (1300, "192.0.2.7")
    assert "router" not in found


def test_a_lease_time_of_the_port_rules_the_others() -> None:
    """Renewal and rebinding follow the lease that the client is given."""
    found = options_of(ask(dhcp(DISCOVER), world(("lease-time", "800"))))

    assert (found["lease_time"], found["renewal_time"], found["rebinding_time"]) == (800, 400, 700)


def test_what_is_booted_stands_where_boot_roms_look() -> None:
    """`server-ip-address` is the next server's field; server and file names stand in fields and options."""
    boot = (("server-ip-address", "10.0.0.9"), ("tftp-server", "boot"), ("bootfile-name", "pxelinux.0"))

    found = ask(dhcp(DISCOVER, ALL), world(*boot))

    assert found[BOOTP].siaddr == "10.0.0.9"
    assert (found[BOOTP].sname.rstrip(b"\0"), found[BOOTP].file.rstrip(b"\0")) == (b"boot", b"pxelinux.0")
    assert options_of(found)["tftp_server_name"] == b"boot"
    assert options_of(found)["boot-file-name"] == b"pxelinux.0"


@pytest.mark.parametrize(("sent", "file"), [([], b"undionly"), ([(175, b"\1")], b"http://x")])
def test_ipxe_is_told_from_a_boot_rom(sent: list[Any], file: bytes) -> None:
    """The tag `ipxe` is on clients that send option 175."""
    known = world(("tag:!ipxe,67", "undionly"), ("tag:ipxe,67", "http://x"))

    assert ask(dhcp(DISCOVER, *sent), known)[BOOTP].file.rstrip(b"\0") == file


def test_an_option_that_cannot_be_told_is_counted_and_the_rest_answered() -> None:
    """A senseless value does not cost a VM its address."""
    answerer = Answerer(Clock().monotonic_s)

    found = answered(dhcp(DISCOVER), world(("mtu", "huge"), ("tzdb-timezone", "UTC")), answerer)

    assert found is not None
    assert found.ofport == OFPORT
    assert options_of(parsed(found.frame))["tcode"] == b"UTC"
    assert answerer.counts == {"dhcpv4_discover": 1, "dhcp_option_skipped": 1}


@pytest.mark.parametrize(("said", "bytes_max"), [(0, 576), (1000, 1000), (9000, 1450)])
def test_an_answer_is_one_packet_of_the_clients_size(said: int, bytes_max: int) -> None:
    """Options that do not fit the size the client takes, or the network's, are left out; the address never is."""
    known = world(*((str(number), "x" * 200) for number in range(150, 170)))
    size = [("max_dhcp_size", said)] if said else []

    found = ask(dhcp(DISCOVER, *size), known)

    assert bytes_max - 202 < found["IP"].len <= bytes_max
    assert options_of(found)["lease_time"] == 86_400


def test_a_port_is_told_its_name() -> None:
    """Host name and domain over DHCPv4; domain and full name over DHCPv6; the search list in advertisements."""
    known = world(name="web", dns_domain="vpc.example.")
    labels = b"\3vpc\7example\0"

    found = options_of(ask(dhcp(DISCOVER, ALL), known))
    found6 = options6(ask(information(24, 39), known))

    assert (found["hostname"], found["domain"]) == (b"web", b"vpc.example")
    assert (found6[24], found6[39]) == (labels, b"\0\3web" + labels)
    assert advertised(known)[ICMPv6NDOptDNSSL].searchlist == ["vpc.example."]


def test_our_name_server_is_told_where_the_subnet_names_none() -> None:
    """With a domain, our resolver's link-local addresses stand in for name servers, in every protocol."""
    known = world(dns_domain="vpc.example")

    assert options_of(ask(dhcp(DISCOVER), known))["name_server"] == "169.254.169.254"
    assert options6(ask(information(23), known))[23].hex() == "fe80" + "0" * 20 + "a9fea9fe"
    assert advertised(known)[ICMPv6NDOptRDNSS].dns == ["fe80::a9fe:a9fe"]


@pytest.mark.parametrize(
    ("serves", "region", "servers"),
    [
        (False, {"dns_domain": "vpc.example"}, ()),
        (True, {}, ()),
        (True, {"dns_domain": "vpc.example"}, ("192.0.2.5", "2001:db8::5")),
        (True, {"dns_domain": "vpc.example"}, ("0.0.0.0", "::")),
    ],
    ids=["no service on this host", "no names in this region", "servers of the subnet", "nobody"],
)
def test_our_name_server_is_not_told_otherwise(
    serves: bool, region: dict[str, str], servers: tuple[str, ...]
) -> None:
    """Not without the service, without names, or against the subnet's own word."""
    subnets = tuple(msgspec.structs.replace(each, dns_nameservers=servers) for each in (subnet(), SUBNET_6))
    known = in_subnets(subnets, serves=serves, **region)

    found, found6 = options_of(ask(dhcp(DISCOVER), known)), options6(ask(information(23), known))
    advertisement = advertised(known)

    own = servers if servers and servers[0] != "0.0.0.0" else (None, None)
    assert found.get("name_server") == own[0]
    assert (23 in found6) == (ICMPv6NDOptRDNSS in advertisement) == (own[1] is not None)
    assert ICMPv6ND_RA in advertisement


def test_extra_options_of_dhcpv6() -> None:
    """A stateless client gets the options it asks for; the tag `ipxe6` is on clients of that user class."""
    known = world(("6:tag:ipxe6,bootfile-url", "http://x"), ("6:tag:!ipxe6,59", "tftp://y"), ("mtu", "1300"))

    assert options6(ask(information(59), known))[59] == b"tftp://y"
    assert options6(ask(information(59, user_class=b"iPXE"), known))[59] == b"http://x"
    assert 59 not in options6(ask(information(23), known))
