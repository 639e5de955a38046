"""A port and its network for tests of answers, questions made with scapy, and answers read with it."""

import warnings
from typing import Any

from alcor.agent.answer.dispatch import Answer, Answerer
from alcor.agent.driver import PacketIn
from alcor.goalstate.item import Address, LocalPort, SubnetItem
from alcor.pipeline.view import Allocation, NetworkView, View
from tests.support.agent import A_REGION, RESPONDER_MAC, Clock, local_port, network, subnet

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # scapy's own, at import
    from scapy.layers.dhcp import BOOTP, DHCP
    from scapy.layers.inet import IP, UDP
    from scapy.layers.inet6 import IPv6
    from scapy.layers.l2 import Ether

MAC = "fa:16:3e:00:00:05"
ADDRESS = "10.0.0.5"
OFPORT = 105
RESPONDER_LINK_LOCAL = "fe80::fc00:ff:fe00:1"
LINK_LOCAL = "fe80::f816:3eff:fe00:5"


def a_port(**changes: Any) -> LocalPort:
    """port-5 with 10.0.0.5."""
    return local_port(5, **({"addresses": (Address("subnet", ADDRESS),)} | changes))


def a_world(*subnets: SubnetItem, port: LocalPort | None = None, mtu: int = 1450) -> tuple[View, Allocation]:
    """A host with one plugged port on one network; by default with one DHCP subnet."""
    port = port or a_port()
    found = NetworkView(network(mtu=mtu))
    for each in subnets or (subnet(),):
        found.subnets[each.id] = each
    view = View()
    view.region = A_REGION
    view.ports[port.id] = port
    view.networks["net"] = found
    return view, Allocation(port_keys={port.id: 1}, network_keys={"net": 1}, ofports={port.id: OFPORT})


def ask(frame: bytes, world: tuple[View, Allocation], mac: str = RESPONDER_MAC) -> Any:
    """The agent's answer to a frame from port-5, as scapy reads it, from `mac`; None if there is none."""
    answer = answered(frame, world)
    if answer is None:
        return None
    assert answer.ofport == OFPORT
    return parsed(answer.frame, mac)


def answered(frame: bytes, world: tuple[View, Allocation], answerer: Answerer | None = None) -> Answer | None:
    """The agent's answer to a frame from port-5."""
    answerer = answerer or Answerer(Clock().monotonic_s)
    return answerer.answer(PacketIn(OFPORT, 12, frame, {"reg14": 1}), "port-5", *world)


def parsed(frame: bytes, mac: str = RESPONDER_MAC) -> Any:
    """The frame as scapy reads it; its checksums and lengths must be those scapy computes."""
    packet = Ether(frame)
    rebuilt = packet.copy()
    for layer in rebuilt.iterpayloads():
        if layer.name in ("IP", "IPv6", "UDP") or str(layer.name).startswith(
            "ICMPv6 Neighbor Discovery - Router"
        ):
            for name in {"chksum", "cksum", "len", "plen"} & layer.fields.keys():
                layer.delfieldval(name)
    assert bytes(rebuilt) == frame
    assert packet.src == mac
    return packet


def dhcp(*options: Any, to: str = "255.255.255.255", ip_src: str = "0.0.0.0", **fields: Any) -> bytes:
    """A DHCPv4 message of port-5; `fields` are BOOTP's."""
    hardware = bytes.fromhex(MAC.replace(":", ""))
    said: dict[str, Any] = {"chaddr": hardware, "xid": 0x01020304} | fields
    bootp = BOOTP(**said)
    packet = Ether(src=MAC, dst="ff:ff:ff:ff:ff:ff") / IP(src=ip_src, dst=to) / UDP(sport=68, dport=67)
    return bytes(packet / bootp / DHCP(options=[*options, "end"]))


def options_of(packet: Any) -> dict[str, Any]:
    """The DHCPv4 options, as scapy names them; several values as a tuple."""
    found: dict[str, Any] = {}
    for option in packet[DHCP].options:
        if isinstance(option, tuple):
            name, *values = option
            found[str(name)] = values[0] if len(values) == 1 else tuple(values)
    return found


def dhcpv6(message: Any, *, to: str = "ff02::1:2", ip_src: str = LINK_LOCAL) -> bytes:
    """A DHCPv6 message of port-5."""
    packet = Ether(src=MAC, dst="33:33:00:01:00:02") / IPv6(src=ip_src, dst=to) / UDP(sport=546, dport=547)
    return bytes(packet / message)
