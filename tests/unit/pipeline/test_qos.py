"""Limits and marks: which meters a policy makes, and which packets go through them."""

from dataclasses import replace

import pytest

from alcor.goalstate.item import Limit, QosItem
from alcor.pipeline.compile import flows, meters
from alcor.pipeline.flow import Meter, MeterSpec, MeterUnit
from alcor.pipeline.qos import (
    EGRESS_RATE,
    INGRESS_PACKETS,
    KINDS,
    LIMIT_KEY_MAX,
    limit_actions,
    limit_meter_id,
    limit_meters,
)
from alcor.pipeline.simulate import SimulatedTables, Step
from alcor.pipeline.tables import METERS_OURS, MeterUse, meter_id
from alcor.pipeline.view import Allocation, View
from tests.support.packet_cases import I1, I2, I3, M1, M2, M3, STANDARD
from tests.support.packet_site import Fabric
from tests.support.packets import BROADCAST, echo, ethernet

IN, OUT = True, False
WHOLE = QosItem(
    id="q",
    bandwidth=(Limit(OUT, 1000, 0), Limit(IN, 2000, 300)),
    packets=(Limit(OUT, 100, 0), Limit(IN, 200, 50)),
    dscp=46,
)
PING = echo((M1, M2), (I1, I2))


def limited(policy: QosItem | None, *ports: str) -> tuple[SimulatedTables, View, Allocation]:
    """h1 with a policy on some of its ports; None: the policy is not known."""
    site = STANDARD
    for port_id in ports:
        site = site.but(port_id, qos_policy_id="q")
    fabric = Fabric(site)
    view, allocation = fabric.views["h1"], fabric.allocations["h1"]
    for port_id in ports:
        if port_id in view.closed:
            view.ports[port_id] = view.closed.pop(port_id)
    view.qos = {} if policy is None else {"q": policy}
    return SimulatedTables(flows(view, allocation).values()), view, allocation


def passed(steps: list[Step]) -> list[int]:
    """The meters that a packet went through, in order, the groups' and responders' apart."""
    actions = [action for step in steps if step.flow is not None for action in step.flow.actions[:1]]
    return [action.id for action in actions if isinstance(action, Meter)]


def test_each_direction_has_two_meters() -> None:
    """What a VM sends goes through its rate, then its packets; what it is sent through those of that way."""
    switch, _, allocation = limited(WHOLE, "red-1", "red-2")
    sender, receiver = allocation.port_keys["red-1"], allocation.port_keys["red-2"]

    _, steps = switch.follow(PING, allocation.ofports["red-1"])

    assert passed(steps) == [
        meter_id(MeterUse.EGRESS_RATE, sender),
        meter_id(MeterUse.EGRESS_PACKETS, sender),
        meter_id(MeterUse.INGRESS_RATE, receiver),
        meter_id(MeterUse.INGRESS_PACKETS, receiver),
    ]


def test_meters_have_the_policys_figures() -> None:
    """Rates as they are; a burst that nobody chose is 80 % of a second's worth."""
    _, view, allocation = limited(WHOLE, "red-1")
    key = allocation.port_keys["red-1"]

    found = {id: meter for id, meter in meters(view, allocation).items() if id & 0x7FFF == key}

    assert [
        found[meter_id(use, key)]
        for use in (
            MeterUse.EGRESS_RATE,
            MeterUse.INGRESS_RATE,
            MeterUse.EGRESS_PACKETS,
            MeterUse.INGRESS_PACKETS,
        )
    ] == [
        MeterSpec(meter_id(MeterUse.EGRESS_RATE, key), 1000, 800, MeterUnit.KBPS),
        MeterSpec(meter_id(MeterUse.INGRESS_RATE, key), 2000, 300, MeterUnit.KBPS),
        MeterSpec(meter_id(MeterUse.EGRESS_PACKETS, key), 100, 80, MeterUnit.PPS),
        MeterSpec(meter_id(MeterUse.INGRESS_PACKETS, key), 200, 50, MeterUnit.PPS),
    ]


@pytest.mark.parametrize("limits", [(Limit(OUT, 0, 0),), (Limit(IN, 0, 5),), ()])
def test_a_rate_of_nothing_is_no_limit(limits: tuple[Limit, ...]) -> None:
    """As in the reference; the packet passes, by no meter."""
    switch, _, allocation = limited(QosItem(id="q", bandwidth=limits), "red-1", "red-2")

    emissions, steps = switch.follow(PING, allocation.ofports["red-1"])

    assert (passed(steps), [one.frame for one in emissions]) == ([], [PING])


def test_the_lowest_of_several_limits_counts() -> None:
    """Two limits of one direction: both hold."""
    policy = QosItem(id="q", bandwidth=(Limit(OUT, 700, 0), Limit(OUT, 500, 0)))
    _, view, allocation = limited(policy, "red-1")

    found = meters(view, allocation)[meter_id(MeterUse.EGRESS_RATE, allocation.port_keys["red-1"])]

    assert (found.rate, found.burst) == (500, 400)


@pytest.mark.parametrize("congestion", range(4))
@pytest.mark.parametrize("policy", [WHOLE, QosItem(id="q", dscp=46)])
def test_a_mark_leaves_congestion_notification(policy: QosItem, congestion: int) -> None:
    """The six bits of the mark are set, the two others and the rest of the packet stay; the checksum is right."""
    switch, _, allocation = limited(policy, "red-1")
    sent = echo((M1, M3), (I1, I3))
    given = sent[:15] + bytes([congestion]) + sent[16:]
    given = given[:24] + _checksum(given) + given[26:]

    (emission,) = switch.process(given, allocation.ofports["red-1"])

    marked = emission.frame
    assert marked[15] == 46 << 2 | congestion
    assert (marked[:15], marked[16:24], marked[26:]) == (given[:15], given[16:24], given[26:])
    assert marked[24:26] == _checksum(marked)


def _checksum(frame: bytes) -> bytes:
    header = frame[14:24] + b"\0\0" + frame[26:34]
    total = sum(int.from_bytes(header[at : at + 2], "big") for at in range(0, 20, 2))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return (~total & 0xFFFF).to_bytes(2, "big")


def test_what_is_not_ip_is_limited_too() -> None:
    """Bandwidth is of whole frames of any protocol."""
    switch, _, allocation = limited(WHOLE, "red-open")
    key = allocation.port_keys["red-open"]

    _, steps = switch.follow(ethernet(M1, M2, 0x88CC, bytes(46)), allocation.ofports["red-open"])

    assert passed(steps)[:2] == [
        meter_id(MeterUse.EGRESS_RATE, key),
        meter_id(MeterUse.EGRESS_PACKETS, key),
    ]


def test_copies_of_a_flood_are_not_metered() -> None:
    """A switch executes copies one after the other: a meter of one receiver would take the others' copies away."""
    switch, _, allocation = limited(WHOLE, "red-2", "red-open")

    emissions, steps = switch.follow(echo((M1, BROADCAST), (I1, "10.0.0.255")), allocation.ofports["red-1"])

    assert {allocation.ofports["red-2"], allocation.ofports["red-open"]} <= {one.port for one in emissions}
    assert passed(steps) == []


def test_an_unknown_policy_limits_nothing() -> None:
    """Missing knowledge of QoS opens nothing, so it closes nothing either."""
    switch, _, allocation = limited(None, "red-1")

    emissions, steps = switch.follow(PING, allocation.ofports["red-1"])

    assert (passed(steps), len(emissions)) == ([], 1)


def test_floating_ips_and_gateways_have_meters_of_their_own() -> None:
    """By their local number: nothing without one; all numbers are ours and none is another's."""
    view = View(qos={"q": WHOLE})
    numbers = Allocation(limit_keys={"f": 1, "g": LIMIT_KEY_MAX})

    specs = [*limit_meters("q", "f", view, numbers), *limit_meters("q", "g", view, numbers)]

    assert {spec.id for spec in specs} == {
        limit_meter_id(key, kind) for key in (1, LIMIT_KEY_MAX) for kind in KINDS
    }
    assert len(specs) == 8
    assert all(spec.id in METERS_OURS for spec in specs)
    assert limit_actions("q", EGRESS_RATE, "f", view, numbers) == (Meter(limit_meter_id(1, EGRESS_RATE)),)
    assert limit_actions("q", INGRESS_PACKETS, "x", view, numbers) == ()
    assert limit_actions(None, EGRESS_RATE, "f", view, numbers) == ()
    assert limit_actions("q", EGRESS_RATE, "f", view, replace(numbers, limit_keys={})) == ()
