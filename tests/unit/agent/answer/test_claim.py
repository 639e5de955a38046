"""Claims of virtual addresses: what the agent hears, tells the region and announces."""

import pytest

from alcor.agent.answer.claim import Said, announce, announcement, handle, parse
from alcor.agent.driver import PacketIn
from alcor.agent.handler import NOTHING, AddressClaimed, Confirmed, Frame, Punt
from alcor.goalstate.item import Claim, ItemKind, Key
from alcor.goalstate.scope import neighbours_scope
from alcor.pipeline.feature import ItemChange
from alcor.pipeline.simulate import Emission
from alcor.pipeline.tables import Table
from tests.support.cases_segments import CLAIMED, TRUNKED, VIP, VIP6, VMAC, with_vlan
from tests.support.packet_cases import I1, M1, M2
from tests.support.packet_site import Fabric
from tests.support.packets import BROADCAST, advertisement, arp, dhcp_discover, is_at, who_has

GRATUITOUS = arp(1, (VMAC, VIP), ("00:00:00:00:00:00", VIP), eth=(VMAC, BROADCAST))
FABRIC = Fabric(CLAIMED)
VIEW, NUMBERS = FABRIC.views["h1"], FABRIC.allocations["h1"]


def punted(frame: bytes, port_id: str | None = "vx-2") -> Punt:
    return Punt(PacketIn(1, Table.PUNT_PORT, frame), port_id, "vx", None)


@pytest.mark.parametrize(
    ("frame", "address"),
    [
        (GRATUITOUS, VIP),
        (is_at(VIP, VMAC, (M1, I1)), VIP),
        (who_has(I1, (VMAC, VIP)), VIP),
        (advertisement(VIP6, (VMAC, VIP6), (M1, "fd00:1::1")), VIP6),
        (advertisement(VIP6, (VMAC, VIP6), (M1, "fd00:1::1"), option=None), VIP6),
    ],
)
def test_whoever_says_that_it_has_an_address_claims_it(frame: bytes, address: str) -> None:
    """A request, a reply, an advertisement with a MAC or without: the region is told."""
    outcome = handle(punted(frame), VIEW, NUMBERS)

    assert outcome is not None
    assert outcome.observations == (AddressClaimed("vx", address, VMAC, "vx-2"),)
    assert (outcome.frames, outcome.findings) == ((), ())


@pytest.mark.parametrize(
    "frame",
    [
        arp(1, (VMAC, "10.0.0.202"), (M1, I1), eth=(VMAC, BROADCAST)),
        arp(1, (M2, VIP), (M1, I1), eth=(M2, BROADCAST)),
        arp(1, (M2, "10.0.0.2"), (M1, I1), eth=(M2, BROADCAST)),
        advertisement("fd00:1::201", (VMAC, VIP6), (M1, "fd00:1::1")),
    ],
)
def test_what_is_no_pair_of_the_port_is_not_claimed(frame: bytes) -> None:
    """Another address, another MAC than the pair's, or its own address: nothing is told."""
    outcome = handle(punted(frame), VIEW, NUMBERS)

    assert outcome is not None
    assert outcome.observations == ()


@pytest.mark.parametrize("length", range(0, len(GRATUITOUS), 7))
def test_a_cut_frame_claims_nothing(length: int) -> None:
    """Whatever is left of a frame is an answer or none, never an error."""
    for whole in (GRATUITOUS, advertisement(VIP6, (VMAC, VIP6), (M1, "fd00:1::1"))):
        said = parse(whole[:length])

        assert said is None or length >= 42


@pytest.mark.parametrize(
    "punt", [punted(dhcp_discover(M1)), punted(GRATUITOUS, None), punted(GRATUITOUS, "x")]
)
def test_other_packets_are_others(punt: Punt) -> None:
    """What is no claim, or of no port, is left to the next handler."""
    assert handle(punt, VIEW, NUMBERS) is None


def a_claim(mac: str = VMAC, port_id: str = "vx-3") -> Claim:
    return Claim(id=VIP, mac=mac, port_id=port_id, host_id="h2", vtep="192.0.2.2")


def changed(before: Claim | None, after: Claim | None) -> Confirmed:
    return Confirmed((ItemChange(neighbours_scope("vx"), Key(ItemKind.CLAIM, VIP), before, after),))


def test_a_new_place_is_announced_to_local_ports() -> None:
    """Each local port of that network, and no other, is told by one frame; who has it is not."""
    outcome = announce(changed(None, a_claim(port_id="vx-2")), VIEW, NUMBERS)

    frame = announcement(Said(VIP, VMAC))
    assert outcome.frames == (Frame(frame, NUMBERS.ofports["vx-1"], "vx-1"),)
    assert frame.startswith(arp(1, (VMAC, VIP), ("00:00:00:00:00:00", VIP), eth=(VMAC, BROADCAST)))


def test_an_ipv6_address_is_advertised() -> None:
    """Unsolicited, to all nodes, with the override flag: caches change at once."""
    frame = announcement(Said(VIP6, VMAC))

    assert frame[:6] == bytes.fromhex("333300000001")
    assert frame[54:56] == bytes([136, 0])
    assert frame[58:62] == bytes([0x20, 0, 0, 0])
    assert parse(frame) == (VIP6, VMAC)


@pytest.mark.parametrize(
    ("before", "after"), [(a_claim(port_id="vx-2"), a_claim()), (a_claim(), None)], ids=["same MAC", "gone"]
)
def test_what_changes_no_cache_is_not_announced(before: Claim, after: Claim | None) -> None:
    """A virtual MAC that moves with its address, and a claim that ends, are nobody's news."""
    assert announce(changed(before, after), VIEW, NUMBERS) is NOTHING


def test_a_subport_is_told_by_its_parents_vif() -> None:
    """Its frame is for the port; its VIF is the parent's, and whoever sends it puts the tag on."""
    fabric = Fabric(TRUNKED)
    view, numbers = fabric.views["h1"], fabric.allocations["h1"]
    change = ItemChange(neighbours_scope("sa"), Key(ItemKind.CLAIM, VIP), None, a_claim(port_id="x"))

    outcome = announce(Confirmed((change,)), view, numbers)

    assert {(frame.port_id, frame.ofport) for frame in outcome.frames} == {
        ("sa-1", numbers.ofports["pa-1"]),
        ("sa-2", numbers.ofports["sa-2"]),
    }


def test_a_subports_question_reaches_the_agent_without_tag() -> None:
    """What is punted is the port's own packet; the port is named by its key."""
    fabric = Fabric(TRUNKED.but("sa-1", allowed_address_pairs=CLAIMED.port("vx-2").allowed_address_pairs))

    ((host_id, emission),) = fabric.send("pa-1", with_vlan(11, GRATUITOUS)).punted

    assert isinstance(emission, Emission)
    assert emission.frame == GRATUITOUS
    assert emission.fields["reg14"] == fabric.allocations[host_id].port_keys["sa-1"]
