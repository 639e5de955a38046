"""Live migration at layer 2: the binding that is not active yet, and the packets that still come to the old host."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from msgspec import structs

from alcor.goalstate.item import Neighbour
from alcor.goalstate.security_item import GroupRule, RulesItem
from alcor.model.address import Ip, Mac, ip_int, mac_bytes
from alcor.model.port import Binding, Extra
from alcor.pipeline.compile import flows
from alcor.pipeline.simulate import SimulatedTables, TunnelMetadata
from tests.support.packet_cases import I1, I3, I4, M1, M3, M4, STANDARD
from tests.support.packet_site import TUNNEL, Fabric
from tests.support.packets import BROADCAST, echo, ethernet, ip_packet
from tests.support.transport_packets import ACK, SYN, TCP, tcp_text

VNI = 5001
FROM_H3 = TunnelMetadata(VNI, ipv4_src=ip_int(Ip("192.0.2.3")))
FROM_H2 = TunnelMetadata(VNI, ipv4_src=ip_int(Ip("192.0.2.2")))
TO_MOVED = echo((M4, M1), (I4, I1))


def old_host(vtep: str = "192.0.2.2", *, keeps_binding: bool = False) -> SimulatedTables:
    """h1 just after red-1 has moved away from it, to the host with this VTEP."""
    fabric = Fabric(STANDARD)
    view, allocation = fabric.views["h1"], fabric.allocations["h1"]
    left = view.ports.pop("red-1")
    if keeps_binding:
        view.ports["red-1"] = structs.replace(left, is_active=False)
    there = view.networks["red"].neighbours["red-1"]
    assert isinstance(there, Neighbour)
    view.networks["red"].neighbours["red-1"] = Neighbour(
        id="red-1", mac=there.mac, ips=there.ips, host_id="h2", vtep=vtep, groups=()
    )
    return SimulatedTables(flows(view, replace(allocation, forwarding={"red-1": vtep})).values())


@pytest.mark.parametrize("keeps_binding", [False, True])
@pytest.mark.parametrize("vtep", ["192.0.2.2", "2001:db8::2"])
def test_the_old_host_sends_after_it(vtep: str, keeps_binding: bool) -> None:
    """What still comes by tunnel for a port that moved goes to its new host, whatever family led here, and whether or
    not the old binding is still there."""
    emissions = old_host(vtep, keeps_binding=keeps_binding).process(TO_MOVED, TUNNEL, FROM_H3)

    assert [(one.port, one.tun_id, one.tunnel_end, one.frame) for one in emissions] == [
        (TUNNEL, VNI, vtep, TO_MOVED)
    ]


def test_it_is_not_sent_back() -> None:
    """What the new host itself sends to the old one ends there: two hosts of two opinions make no loop."""
    assert old_host().process(TO_MOVED, TUNNEL, FROM_H2) == []


def test_only_the_port_that_moved_is_sent_after() -> None:
    """Another port's packets, and broadcasts, go from a tunnel to local ports only."""
    switch = old_host()

    emissions = [
        *switch.process(echo((M4, M3), (I4, I3)), TUNNEL, FROM_H3),
        *switch.process(echo((M4, BROADCAST), (I4, "10.0.0.255")), TUNNEL, FROM_H3),
    ]

    assert TUNNEL not in {one.port for one in emissions}


def test_a_port_that_is_here_is_not_sent_after() -> None:
    """Whatever the allocation still says, a port that came back gets its packets here."""
    fabric = Fabric(STANDARD)
    allocation = replace(fabric.allocations["h1"], forwarding={"red-1": "192.0.2.2"})
    switch = SimulatedTables(flows(fabric.views["h1"], allocation).values())

    emissions = switch.process(TO_MOVED, TUNNEL, FROM_H3)

    assert [one.port for one in emissions] == [allocation.ofports["red-1"]]


def test_the_second_binding_sends_and_gets_nothing() -> None:
    """h2, prepared for red-1 with its VIF plugged, neither delivers to it nor takes anything from it."""
    prepared = Binding(host="h2", vnic_type="normal", profile={}, vif_type="ovs")
    site = STANDARD.but("red-1", extra=Extra(bindings=(prepared,)))
    fabric = Fabric(site)
    ofport = fabric.allocations["h2"].ofports["red-1"]
    switch = fabric.switches["h2"]

    sent = switch.process(echo((M1, M3), (I1, I3)), ofport)
    asked = switch.process(echo((M1, BROADCAST), (I1, "10.0.0.255")), ofport)
    outcome = fabric.send("red-3", echo((M3, M1), (I3, I1)))
    heard = fabric.send("red-3", echo((M3, BROADCAST), (I3, "10.0.0.255")))

    assert sent == asked == []
    assert outcome.delivered == [("red-1", echo((M3, M1), (I3, I1)))]
    assert [id for id, _ in heard.delivered].count("red-1") == 1


def arrived(rules: tuple[GroupRule, ...], frames: Sequence[bytes]) -> list[bool]:
    """Which frames from h3, in turn, reach red-1 on h1, or for frames of red-1 leave it, just after it came there."""
    group = RulesItem(id="g", stateful=True, rules=rules)
    fabric = Fabric(STANDARD)
    view, allocation = fabric.views["h1"], fabric.allocations["h1"]
    view.rules["g"] = group
    view.ports["red-1"] = structs.replace(view.ports["red-1"], groups=("g",), port_security_enabled=True)
    switch = SimulatedTables(flows(view, replace(allocation, arrived={"red-1"})).values())
    found = []
    for frame in frames:
        is_own = frame[6:12] == mac_bytes(Mac(M1))
        entry = (allocation.ofports["red-1"], None) if is_own else (TUNNEL, FROM_H3)
        emissions = switch.process(frame, *entry)
        found.append(bool(emissions))
    return found


OUT, IN = (M1, M4), (M4, M1)


def tcp(eth: tuple[str, str], ip: tuple[str, str], ports: tuple[int, int], flags: int) -> bytes:
    """A segment between two machines."""
    kind, whole = ip_packet(*ip, TCP, tcp_text(ip, ports, flags))
    return ethernet(*eth, kind, whole)


CALLED, CALLER = 443, 50_000


def test_what_answers_the_port_itself_passes_before_it_has_spoken() -> None:
    """A port that may call gets a session's middle from whom it has called, not an opening, nor from other ports."""
    rule = GroupRule(id="r", is_ingress=False, ip_version=4, protocol=6, first=CALLED, last=CALLED)
    middle = tcp(IN, (I4, I1), (CALLED, CALLER), ACK)

    found = arrived(
        (rule,),
        [
            middle,
            tcp(IN, (I4, I1), (CALLED, CALLER), SYN),
            tcp(IN, (I4, I1), (CALLED + 1, CALLER), ACK),
            tcp(OUT, (I1, I4), (CALLER, CALLED), ACK),
            middle,
        ],
    )

    assert found == [True, False, False, True, True]


def test_what_the_port_answers_passes_though_it_may_not_call() -> None:
    """A port that may be called only goes on with whom has called it, and with nobody else."""
    rule = GroupRule(
        id="r",
        is_ingress=True,
        ip_version=4,
        protocol=6,
        first=CALLED,
        last=CALLED,
        prefix=f"{I4}/32",
    )

    found = arrived(
        (rule,),
        [
            tcp(OUT, (I1, I4), (CALLED, CALLER), ACK),
            tcp(OUT, (I1, I4), (CALLER, CALLED), ACK),
            tcp(OUT, (I1, I4), (CALLED, CALLER), SYN),
            tcp(IN, (I4, I1), (CALLER, CALLED), ACK),
            tcp(OUT, (I1, I4), (CALLED, CALLER), ACK),
        ],
    )

    assert found == [True, False, False, True, True]
