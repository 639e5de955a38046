"""Who is answered, and how often."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alcor.agent.answer.dispatch import ANSWERS_BURST, Answerer
from alcor.agent.answer.frame import internet_checksum
from alcor.agent.driver import PacketIn
from alcor.pipeline.view import Allocation, View
from tests.support.agent import Clock
from tests.support.answers import MAC, OFPORT, a_port, a_world, answered, dhcp
from tests.support.packets import checksum

DISCOVER = dhcp(("message-type", "discover"))


def test_the_port_is_who_the_switch_says() -> None:
    """The answer is for the port whose key the packet carries, whatever addresses the packet shows."""
    view, allocation = a_world()
    view.ports["port-6"] = a_port(name="other", mac="fa:16:3e:00:00:06")
    answerer = Answerer(Clock().monotonic_s)

    answer = answerer.answer(PacketIn(1, 12, DISCOVER, {"reg14": 2}), "port-6", view, allocation)

    assert answer is None
    assert MAC.replace(":", "") in DISCOVER.hex()


def _without_vif(view: View, allocation: Allocation) -> None:
    allocation.ofports.clear()


def _closed(view: View, allocation: Allocation) -> None:
    view.closed["port-5"] = view.ports.pop("port-5")


def _down(view: View, allocation: Allocation) -> None:
    view.ports["port-5"] = a_port(admin_state_up=False)


def _no_region(view: View, allocation: Allocation) -> None:
    view.region = None


@pytest.mark.parametrize("change", [_without_vif, _closed, _down, _no_region])
def test_unknown_ports_are_not_answered(change: object) -> None:
    """A port that is unplugged, closed or down, or a host without parameters, gets no answer; it is counted."""
    world = a_world()
    change(*world)  # type: ignore[operator]  # one of the functions above
    answerer = Answerer(Clock().monotonic_s)

    assert answered(DISCOVER, world, answerer) is None
    assert answerer.advertise("port-5", *world) is None
    assert answerer.counts == {"unknown_port": 1}


def test_a_port_is_answered_at_its_rate() -> None:
    """A port that asks faster than its rate is not answered until time has passed; others are not concerned."""
    clock = Clock()
    answerer = Answerer(clock.monotonic_s)
    world = a_world()
    for _ in range(int(ANSWERS_BURST)):
        assert answered(DISCOVER, world, answerer) is not None

    assert answered(DISCOVER, world, answerer) is None
    assert answerer.counts["over_rate"] == 1
    clock.s += 0.1
    assert answered(DISCOVER, world, answerer) is not None
    answerer.budget.forget("port-5")
    assert answered(DISCOVER, world, answerer) is not None


def test_answers_leave_by_the_ports_vif() -> None:
    """An answer leaves by the port's own VIF, not by the port the packet claims to have come in by."""
    answer = Answerer(Clock().monotonic_s).answer(
        PacketIn(9, 12, DISCOVER, {"reg14": 1}), "port-5", *a_world()
    )

    assert answer is not None
    assert answer.ofport == OFPORT


@given(st.binary(max_size=200))
def test_any_octets(octets: bytes) -> None:
    """Made-up packets are counted, not answered, and raise nothing."""
    answerer = Answerer(Clock().monotonic_s)

    assert answered(octets, a_world(), answerer) is None
    assert answerer.counts == {"malformed": 1}


@given(st.binary(max_size=64))
def test_checksum_agrees_with_another(octets: bytes) -> None:
    """The checksum is the one another way of computing it gives."""
    ours = internet_checksum(octets)

    assert ours.to_bytes(2, "big") == checksum(octets)
