"""Next hops on external networks: what is asked, held, found, forgotten and announced."""

from dataclasses import replace

import msgspec
import pytest

from alcor.agent.answer.next_hop import ANSWERS_MAX, HELD_MAX, HELD_PER_HOP_MAX, TRIES, Hop, NextHops
from alcor.agent.driver import PacketIn
from alcor.agent.handler import Appointment, Confirmed, NextHopFound, Outcome, Punt
from alcor.goalstate.item import key_of
from alcor.goalstate.scope import host_scope
from alcor.pipeline.feature import ItemChange, Local, LocalChange
from alcor.pipeline.tables import Table
from alcor.pipeline.view import Allocation, View
from tests.support.cases_edge import (
    FLOAT1,
    FLOAT5,
    GW1,
    GWP,
    LOST,
    M_GW1,
    M_GWP,
    M_OUT,
    OUT,
    RED1,
    S_GW1,
    S_OUT,
    TAGGED,
    UNKNOWN_OUTSIDE,
    VIA_RED,
    WORLD,
    to,
)
from tests.support.packet_site import WIRES_FROM, Fabric, Site
from tests.support.packets import advertisement, arp, is_at, multicast_mac, solicitation, who_has
from tests.support.stories import ping

ALL_HERE = Confirmed(local=frozenset({LocalChange(Local.PROVIDERS)}))
GATEWAY = Hop("ext", OUT)
ELSEWHERE = Hop("ext", "203.0.113.77")


def padded(frame: bytes) -> bytes:
    """A frame of at least 60 bytes."""
    return frame.ljust(60, b"\0")


def announced(ip: str, mac: str) -> bytes:
    """A gratuitous ARP."""
    return padded(arp(1, (mac, ip), ("00:00:00:00:00:00", ip), eth=(mac, "ff:ff:ff:ff:ff:ff")))


class Host:
    """One host of a site, with its handler; findings are carried out."""

    def __init__(self, host_id: str, site: Site = UNKNOWN_OUTSIDE) -> None:
        fabric = Fabric(site)
        self.fabric, self.id = fabric, host_id
        self.view: View = fabric.views[host_id]
        self.allocation: Allocation = fabric.allocations[host_id]
        self.hops = NextHops()

    def note(self, confirmed: Confirmed = ALL_HERE) -> Outcome:
        return self.hops.noted(confirmed, self.view, self.allocation)

    def handle(self, punt: Punt) -> Outcome:
        outcome = self.hops.handle(punt, self.view, self.allocation)
        assert outcome is not None
        return self._done(outcome)

    def lacking(self, hop: Hop, data: bytes) -> Outcome:
        """A packet to a next hop comes from the switch."""
        number = int.from_bytes(bytes(map(int, hop.ip.split("."))), "big")
        packet = PacketIn(WIRES_FROM, Table.NEXT_HOP, data, {"reg3": number})
        return self.handle(Punt(packet, None, hop.network_id, None))

    def answered(self, frame: bytes) -> Outcome:
        """An answer comes from the wire."""
        return self.handle(Punt(PacketIn(WIRES_FROM, Table.L3_ADMIT, frame), None, "ext", None))

    def due(self, subject: str) -> Outcome:
        return self._done(self.hops.due(subject, self.view, self.allocation))

    def _done(self, outcome: Outcome) -> Outcome:
        for found in outcome.findings:
            if found.mac is None:
                del self.allocation.next_hops[found.network_id, found.address]
            else:
                self.allocation.next_hops[found.network_id, found.address] = found.mac
        return outcome


@pytest.fixture
def h1() -> Host:
    """A host with one floating IP of red's and one of rust's; all is settled, and the next hop is known."""
    host = Host("h1")
    host.note()
    host.answered(is_at(OUT, M_OUT, (FLOAT1.mac, FLOAT1.ip)))
    return host


def sent(outcome: Outcome) -> list[bytes]:
    """The frames, all of which go out to the wire."""
    assert all((frame.ofport, frame.port_id) == (WIRES_FROM, "") for frame in outcome.frames)
    return [frame.data for frame in outcome.frames]


def test_what_comes_to_a_host_is_announced_and_its_next_hops_are_asked_for() -> None:
    """Floating IPs and gateways of the host, each by its own MAC; each next hop once."""
    frames = sent(Host("h2").note())

    assert announced(GW1, M_GW1) in frames
    assert announced(GWP, M_GWP) in frames
    assert announced(FLOAT5.ip, FLOAT5.mac) in frames
    assert announced(FLOAT1.ip, FLOAT1.mac) not in frames
    assert frames.count(padded(who_has(OUT, (M_GWP, GWP)))) == 1
    assert solicitation(S_OUT, (M_GW1, S_GW1)) in frames


def test_ipv6_is_announced_too() -> None:
    """An unsolicited advertisement to all nodes that overrides."""
    frames = sent(Host("h2").note())

    assert (
        advertisement(S_GW1, (M_GW1, S_GW1), (multicast_mac("ff02::1"), "ff02::1"), flags=0x2000_0000)
        in frames
    )


def test_on_a_vlan_frames_have_the_tag() -> None:
    """They go out as they will be on the wire."""
    frames = sent(Host("h1", TAGGED).note())

    plain = announced(FLOAT1.ip, FLOAT1.mac)
    assert plain[:12] + bytes.fromhex("81000007") + plain[12:] in frames
    assert all(frame[12:16] == bytes.fromhex("81000007") for frame in frames)


def test_an_announcement_is_repeated() -> None:
    """After one second and three more; not what has left meanwhile."""
    host = Host("h1")
    first = next(one for one in host.note().later if one.subject == f"announce 1|ext|{FLOAT1.ip}")

    second = host.due(first.subject)
    third = host.due(second.later[0].subject)
    host.allocation.ofports.pop("red-1")
    host.note(Confirmed(local=frozenset({LocalChange(Local.PORT, "red-1")})))

    assert sent(second) == sent(third) == [announced(FLOAT1.ip, FLOAT1.mac)]
    assert (first.after_s, second.later[0].after_s, third.later) == (1.0, 3.0, ())
    assert sent(host.due(first.subject)) == []


def test_what_stays_is_not_announced_again() -> None:
    """A change of something else, or the same again, says nothing."""
    host = Host("h1")
    host.note()

    assert host.note() == Outcome()


def test_a_floating_ip_that_moves_here_is_announced() -> None:
    """Also to another MAC."""
    host = Host("h1")
    host.note()
    before = host.view.floating_ips["f101"]
    host.view.floating_ips["f101"] = after = msgspec.structs.replace(before, mac="1a:00:00:00:00:77")

    change = ItemChange(host_scope("h1"), key_of(after), before, after)

    assert sent(host.note(Confirmed(items=(change,)))) == [announced(FLOAT1.ip, "1a:00:00:00:00:77")]


def test_a_host_that_takes_over_announces_what_was_served_elsewhere() -> None:
    """When a gateway host is lost, the next one announces gateways and central floating IPs."""
    host = Host("h1")
    host.note()
    host.allocation = replace(host.allocation, lost_vteps=LOST.lost_vteps)

    frames = sent(host.note(Confirmed(local=frozenset({LocalChange(Local.LOST_VTEPS)}))))

    assert announced(GW1, M_GW1) in frames
    assert announced(FLOAT5.ip, FLOAT5.mac) in frames
    assert announced(FLOAT1.ip, FLOAT1.mac) not in frames


def test_a_packet_waits_for_its_next_hop() -> None:
    """The switch's own punt: it is asked for once, and the packet leaves, as it came, with the MAC that was found."""
    host = Host("h1")
    host.note()
    ((_, emission),) = host.fabric.send("red-1", ping(RED1, to(WORLD, VIA_RED))).punted
    fields = emission.fields
    punt = Punt(PacketIn(0, emission.table, emission.frame, fields), None, "ext", "r1")

    awaited = host.handle(punt)
    found = host.answered(is_at(OUT, M_OUT, (FLOAT1.mac, FLOAT1.ip)))

    assert awaited.kind == "next_hop_awaited"
    assert found.findings == (NextHopFound("ext", OUT, M_OUT),)
    assert sent(found) == [bytes.fromhex(M_OUT.replace(":", "")) + emission.frame[6:]]
    assert emission.frame[6:12].hex(":") == FLOAT1.mac


def test_an_unknown_address_is_asked_for(h1: Host) -> None:
    """By an address of this host; a packet that comes after the answer leaves at once."""
    asked = h1.lacking(ELSEWHERE, b"\xff" * 12 + b"\x08\x00one")
    found = h1.answered(is_at(ELSEWHERE.ip, M_OUT, (FLOAT1.mac, FLOAT1.ip)))
    late = h1.lacking(ELSEWHERE, b"\xff" * 12 + b"\x08\x00two")

    (question,) = sent(asked)
    assert question == padded(who_has(ELSEWHERE.ip, (FLOAT1.mac, FLOAT1.ip)))
    target = bytes.fromhex(M_OUT.replace(":", ""))
    assert sent(found) == [target + b"\xff" * 6 + b"\x08\x00one"]
    assert sent(late) == [target + b"\xff" * 6 + b"\x08\x00two"]


def test_few_packets_are_held(h1: Host) -> None:
    """Four for one next hop, a thousand in all."""
    data = b"\xff" * 12 + b"\x08\x00"
    kinds = [h1.lacking(ELSEWHERE, data).kind for _ in range(HELD_PER_HOP_MAX + 1)]
    others = [Hop("ext", f"203.0.113.{n}") for n in range(2, 252) if n != 77]
    for hop in others:
        for _ in range(HELD_PER_HOP_MAX):
            h1.lacking(hop, data)

    assert kinds == [
        "next_hop_asked",
        "next_hop_awaited",
        "next_hop_awaited",
        "next_hop_awaited",
        "next_hop_crowded",
    ]
    assert HELD_PER_HOP_MAX * (len(others) + 1) == HELD_MAX
    h1.lacking(Hop("ext", "203.0.113.252"), data)
    assert sent(h1.answered(is_at("203.0.113.252", M_OUT, (FLOAT1.mac, FLOAT1.ip)))) == []


def test_who_does_not_answer_is_forgotten(h1: Host) -> None:
    """After three questions, a second apart; what waited is dropped after the first."""
    asked = h1.lacking(ELSEWHERE, b"\xff" * 12 + b"\x08\x00one")
    outcomes = [asked]
    while outcomes[-1].later:
        (next_look,) = outcomes[-1].later
        outcomes.append(h1.due(next_look.subject))

    assert [len(one.frames) for one in outcomes] == [1] * TRIES + [0]
    assert outcomes[-1].kind == "next_hop_silent"
    assert h1.answered(is_at(ELSEWHERE.ip, M_OUT, (FLOAT1.mac, FLOAT1.ip))).kind == "next_hop_not_asked"


def test_a_routers_own_next_hop_is_asked_for_ever(h1: Host) -> None:
    """When it stops to answer it is unknown, and asked again every ten seconds."""
    outcome = h1.due(f"refresh|ext|{OUT}")
    while outcome.kind == "next_hop_asked":
        outcome = h1.due(outcome.later[0].subject)

    assert outcome.findings == (NextHopFound("ext", OUT, None),)
    assert outcome.later == (Appointment(f"refresh|ext|{OUT}", 10.0),)
    assert h1.due(outcome.later[0].subject).kind == "next_hop_asked"


def test_a_next_hop_that_changes_is_found_at_its_refresh(h1: Host) -> None:
    """Every thirty seconds."""
    found = h1.answered(is_at(OUT, M_OUT, (FLOAT1.mac, FLOAT1.ip)))
    asked = h1.due(found.later[0].subject)
    moved = h1.answered(is_at(OUT, "0e:00:00:00:00:01", (FLOAT1.mac, FLOAT1.ip)))

    assert found.later == (Appointment(f"refresh|ext|{OUT}", 30.0),)
    assert asked.kind == "next_hop_asked"
    assert h1.allocation.next_hops[GATEWAY] == "0e:00:00:00:00:01"
    assert moved.frames == ()


def test_what_packets_met_is_forgotten_after_a_while(h1: Host) -> None:
    """The next packet asks for it again."""
    h1.lacking(ELSEWHERE, b"\xff" * 12 + b"\x08\x00one")
    answer = is_at(ELSEWHERE.ip, M_OUT, (FLOAT1.mac, FLOAT1.ip))
    for _ in range(ANSWERS_MAX):
        found = h1.answered(answer)
        last = h1.due(found.later[0].subject)

    assert last.findings == (NextHopFound(*ELSEWHERE, None),)
    assert ELSEWHERE not in h1.allocation.next_hops


def test_nothing_is_learned_unasked(h1: Host) -> None:
    """Neither from answers to nobody's question nor from what is no answer."""
    assert h1.answered(is_at("203.0.113.66", M_OUT, (FLOAT1.mac, FLOAT1.ip))).kind == "next_hop_not_asked"
    assert h1.answered(b"\0" * 60).kind == "malformed"
    assert h1.answered(b"").kind == "malformed"
    assert h1.lacking(ELSEWHERE, b"").kind == "malformed"
    assert h1.handle(Punt(PacketIn(1, Table.NEXT_HOP, b""), None, "red", None)).kind == "unknown_network"
    assert set(h1.allocation.next_hops) == {GATEWAY}


def test_what_an_earlier_agent_found_is_asked_again() -> None:
    """A next hop that was kept over a restart is used at once and asked for at once; who is silent is forgotten."""
    host = Host("h1")
    kept = Hop("ext", "203.0.113.77")
    host.allocation.next_hops[kept] = M_OUT

    outcome = host.note()

    assert any(one.subject == f"ask|ext|{kept.ip}" for one in outcome.later)
    assert host.allocation.next_hops[kept] == M_OUT
    for _ in range(3):
        host.due(f"ask|ext|{kept.ip}")
    assert kept not in host.allocation.next_hops
