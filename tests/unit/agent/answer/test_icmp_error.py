"""ICMP errors of routers, read by scapy: what is told, to whom, and about what never."""

import warnings
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # scapy's own, at import
    from scapy.layers.inet import ICMP, IP, TCP, UDP, IPerror
    from scapy.layers.inet6 import (
        ICMPv6DestUnreach,
        ICMPv6EchoRequest,
        ICMPv6ND_Redirect,
        ICMPv6PacketTooBig,
        ICMPv6TimeExceeded,
        IPerror6,
        IPv6,
        IPv6ExtHdrDestOpt,
        IPv6ExtHdrFragment,
        IPv6ExtHdrHopByHop,
    )
    from scapy.layers.l2 import ARP, Ether
    from scapy.packet import Raw

from alcor.agent.answer.icmp_error import handle, icmp_error_handler
from alcor.agent.answer.registry import MAKERS
from alcor.agent.driver import PacketIn
from alcor.agent.handler import Outcome, Punt
from alcor.goalstate.item import LocalPort, NetworkItem
from alcor.goalstate.router_item import InterfaceAddress, RouterInterface, RouterItem
from alcor.pipeline.icmp_error import Reason
from alcor.pipeline.tables import Table
from alcor.pipeline.view import Allocation, NetworkView, View

MAC, ROUTER_MAC, OUT_MAC = "02:00:00:00:00:05", "0a:00:00:00:00:01", "0a:00:00:00:00:02"
IP4, IP6 = "10.0.0.5", "fd00::5"
OFPORT = 17
REGISTER = "reg4"


def an_interface(network_id: str, mac: str, *addresses: tuple[str, str]) -> RouterInterface:
    """An interface with (address, subnet) pairs."""
    found = tuple(InterfaceAddress(ip, cidr, cidr) for ip, cidr in addresses)
    return RouterInterface(f"i-{network_id}", network_id, mac, found)


def world() -> tuple[View, Allocation]:
    """A port on a network with two IPv4 subnets, and a router from there into one with a smaller MTU."""
    view = View()
    for id, mtu in (("in", 1450), ("out", 1300)):
        item = NetworkItem(id=id, network_type="vxlan", segmentation_id=1, mtu=mtu, admin_state_up=True)
        view.networks[id] = NetworkView(item)
    view.ports["p"] = LocalPort(
        id="p",
        network_id="in",
        name="",
        mac=MAC,
        addresses=(),
        admin_state_up=True,
        port_security_enabled=True,
        groups=(),
    )
    inner = an_interface(
        "in", ROUTER_MAC, ("10.0.7.1", "10.0.7.0/24"), ("10.0.0.1", "10.0.0.0/24"), ("fd00::1", "fd00::/64")
    )
    outer = an_interface("out", OUT_MAC, ("10.9.0.1", "10.9.0.0/24"))
    view.routers["r"] = RouterItem(id="r", admin_state_up=True, interfaces=(inner, outer))
    return view, Allocation(ofports={"p": OFPORT})


def tell(packet: Any, reason: int = Reason.NO_ROUTE, **changes: Any) -> Outcome:
    """What the agent makes of a packet that a router did not send on."""
    frame = packet if isinstance(packet, bytes) else bytes(packet)
    punted = PacketIn(OFPORT, Table.ICMP_ERROR, frame, {REGISTER: reason})
    fields = {"port_id": "p", "network_id": "out", "router_id": "r"} | changes
    outcome = handle(Punt(punted, **fields), *world())
    assert outcome is not None
    return outcome


def told(packet: Any, reason: Reason = Reason.NO_ROUTE) -> Any:
    """The one frame that the agent sends, to the port, as scapy reads it; its checksums are right."""
    (frame,) = tell(packet, reason).frames
    assert (frame.ofport, frame.port_id) == (OFPORT, "p")
    found = Ether(frame.data)
    rebuilt = found.copy()
    for layer in (IP, ICMP, ICMPv6DestUnreach, ICMPv6TimeExceeded, ICMPv6PacketTooBig):
        if layer in rebuilt:
            for name in {"chksum", "cksum", "len"} & rebuilt[layer].fields.keys():
                rebuilt[layer].delfieldval(name)
    assert bytes(rebuilt) == frame.data
    return found


def four(*, src: str = IP4, dst: str = "198.51.100.9", mac: str = MAC, **fields: Any) -> Any:
    """An IPv4 packet of the port's, so far."""
    return Ether(src=mac, dst=ROUTER_MAC) / IP(src=src, dst=dst, **fields)


def six(*, src: str = IP6, dst: str = "2001:db8::9", mac: str = MAC, **fields: Any) -> Any:
    """An IPv6 packet of the port's, so far."""
    return Ether(src=mac, dst=ROUTER_MAC) / IPv6(src=src, dst=dst, **fields)


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        (Reason.TTL_EXCEEDED, (11, 0)),
        (Reason.NO_ROUTE, (3, 0)),
        (Reason.HOST_UNREACHABLE, (3, 1)),
        (Reason.TOO_LARGE, (3, 4)),
    ],
)
def test_ipv4(reason: Reason, kind: tuple[int, int]) -> None:
    """From the router's address on the sender's subnet, to the sender, with the packet quoted."""
    reply = told(four(flags="DF") / UDP(sport=9, dport=10) / Raw(b"data"), reason)

    assert (reply.src, reply.dst) == (ROUTER_MAC, MAC)
    assert (reply[IP].src, reply[IP].dst, reply[IP].ttl) == ("10.0.0.1", IP4, 64)
    assert (reply[ICMP].type, reply[ICMP].code) == kind
    assert (reply[IPerror].src, reply[IPerror].dst) == (IP4, "198.51.100.9")
    mtu = 1300 if reason is Reason.TOO_LARGE else 0
    assert bytes(reply[ICMP])[4:8] == mtu.to_bytes(4, "big")


@pytest.mark.parametrize(
    ("reason", "layer", "code"),
    [
        (Reason.TTL_EXCEEDED, ICMPv6TimeExceeded, 0),
        (Reason.NO_ROUTE, ICMPv6DestUnreach, 0),
        (Reason.HOST_UNREACHABLE, ICMPv6DestUnreach, 3),
        (Reason.TOO_LARGE, ICMPv6PacketTooBig, 0),
    ],
)
def test_ipv6(reason: Reason, layer: Any, code: int) -> None:
    """The same over IPv6."""
    reply = told(six() / UDP(sport=9, dport=10) / Raw(b"data"), reason)

    assert (reply[IPv6].src, reply[IPv6].dst, reply[IPv6].hlim) == ("fd00::1", IP6, 64)
    assert reply[layer].code == code
    assert reply[IPerror6].dst == "2001:db8::9"
    assert reason is not Reason.TOO_LARGE or reply[layer].mtu == 1300


def test_the_network_of_the_sender_speaks() -> None:
    """A sender outside the router's subnets hears from the router's first address on its network."""
    assert told(four(src="192.0.2.7") / UDP())[IP].src == "10.0.7.1"


def test_a_routed_frame_is_the_ports() -> None:
    """After routing the frame has the router's MAC as its source: the answer goes to the port's own."""
    assert told(four(mac=OUT_MAC) / UDP(), Reason.HOST_UNREACHABLE).dst == MAC


def test_another_mac_behind_the_port_is_answered() -> None:
    """A machine behind a port that may send with any MAC hears from the router."""
    assert told(four(mac="02:00:00:00:00:77") / UDP()).dst == "02:00:00:00:00:77"


@pytest.mark.parametrize(("packet", "octets"), [(four(), 576), (six(), 1280)], ids=["ipv4", "ipv6"])
def test_an_error_is_never_larger_than_what_every_host_takes(packet: Any, octets: int) -> None:
    """As much is quoted as fits."""
    reply = told(packet / UDP() / Raw(bytes(1400)))

    assert len(bytes(reply)) == 14 + octets


NOT_TOLD = {
    "ICMP error": four() / ICMP(type=3) / Raw(bytes(28)),
    "ICMP redirect": four() / ICMP(type=5) / Raw(bytes(28)),
    "ICMP without a type": four(proto=1),
    "later fragment": four(frag=2) / Raw(bytes(16)),
    "broadcast": four(dst="255.255.255.255") / UDP(),
    "a subnet's broadcast": four(dst="10.9.0.255") / UDP(),
    "from a subnet's broadcast": four(src="10.0.0.255") / UDP(),
    "multicast": four(dst="239.1.1.1") / UDP(),
    "from nobody": four(src="0.0.0.0") / UDP(),
    "from loopback": four(src="127.0.0.1") / UDP(),
    "from multicast": four(src="224.0.0.1") / UDP(),
    "multicast frame": Ether(src=MAC, dst="01:00:5e:00:00:01") / IP(src=IP4, dst="198.51.100.9") / UDP(),
    "ICMPv6 error": six() / ICMPv6DestUnreach() / Raw(bytes(48)),
    "ICMPv6 error behind a header": six() / IPv6ExtHdrDestOpt() / ICMPv6DestUnreach() / Raw(bytes(48)),
    "ICMPv6 redirect": six() / ICMPv6ND_Redirect(),
    "later IPv6 fragment": six() / IPv6ExtHdrFragment(offset=2, nh=17) / Raw(bytes(16)),
    "IPv6 multicast": six(dst="ff02::1") / UDP(),
    "from nobody over IPv6": six(src="::") / UDP(),
    "no IP": Ether(src=MAC, dst=ROUTER_MAC) / ARP(),
}


@pytest.mark.parametrize("packet", NOT_TOLD.values(), ids=list(NOT_TOLD))
def test_never_told_about(packet: Any) -> None:
    """Source: RFC 1122, section 3.2.2; RFC 4443, section 2.4 (e)."""
    assert tell(packet) == Outcome("icmp_error_not_due")


@pytest.mark.parametrize(
    "packet",
    [
        four() / ICMP(),
        four() / TCP(),
        four(frag=0, flags="MF") / UDP() / Raw(bytes(8)),
        six() / ICMPv6EchoRequest(),
        six() / IPv6ExtHdrHopByHop() / UDP(),
        six() / IPv6ExtHdrFragment(offset=0, m=1, nh=17) / UDP() / Raw(bytes(8)),
    ],
    ids=["ping", "TCP", "first fragment", "ping over IPv6", "option", "first IPv6 fragment"],
)
def test_told_about(packet: Any) -> None:
    """What asks for something is told, first fragments too."""
    assert len(tell(packet).frames) == 1


def test_what_may_be_fragmented_is_not_too_large() -> None:
    """Without the flag that forbids it, an IPv4 packet that is too large is no error of the sender's."""
    assert tell(four() / UDP(), Reason.TOO_LARGE) == Outcome("icmp_error_not_due")


@pytest.mark.parametrize("missing", ["port_id", "router_id"])
def test_nobody_is_told_about_what_is_gone(missing: str) -> None:
    """The port or the router went while the packet was on its way to the agent."""
    for gone in (None, "gone"):
        changes: dict[str, Any] = {missing: gone}
        assert tell(four() / UDP(), **changes).frames == ()


def test_an_unknown_reason() -> None:
    """A reason of another release is no error that could be told."""
    assert tell(four() / UDP(), 99) == Outcome("malformed")


@given(st.data())
def test_any_octets(data: st.DataObject) -> None:
    """Whatever is cut, changed or made up: no error of ours."""
    whole = data.draw(st.sampled_from([bytes(packet) for packet in NOT_TOLD.values()]))
    frame = bytearray(whole)
    for _ in range(data.draw(st.integers(0, 8))):
        frame[data.draw(st.integers(0, len(frame) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(frame)))

    outcome = tell(bytes(frame[:cut]), data.draw(st.sampled_from([*Reason])))

    assert len(outcome.frames) <= 1


def test_the_handler_is_registered() -> None:
    """The agent asks it about the table's packets."""
    assert icmp_error_handler in MAKERS
