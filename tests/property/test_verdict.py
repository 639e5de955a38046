"""Random regions, random packets: what the flows do with a packet is what the API's rows say of it."""

from collections import Counter

import hypothesis.strategies as st
from hypothesis import HealthCheck, given, settings

from tests.support.oracle import Arrival, Oracle
from tests.support.packet_site import Fabric, Outcome, Site
from tests.support.random_region import M_OUT, OUTSIDE, WIRE, Sent, read, regions, sent, tagged, target_mac

PACKETS = 20
"""In each region."""
SLOW = (HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much)
UNTIMED = settings(deadline=None, suppress_health_check=SLOW)
HALF = settings(UNTIMED, max_examples=settings().max_examples // 2)
"""For what needs several regions in each example."""


def arrivals(outcome: Outcome) -> Counter[Arrival]:
    """Who got what: ports, and the machine outside."""
    found = Counter(_arrival(port, frame) for port, frame in outcome.delivered)
    outside = (frame for wire, frame in outcome.outside if wire == WIRE)
    found.update(_arrival(OUTSIDE, frame) for frame in outside if read(frame)[0] == M_OUT)
    return found


def _arrival(place: str, frame: bytes) -> Arrival:
    packet = read(frame)[1]
    return Arrival(
        place, packet.source, packet.target, packet.protocol, packet.source_port, packet.target_port
    )


def transmit(fabric: Fabric, site: Site, one: Sent) -> Outcome:
    """What becomes of a packet in the switches."""
    if one.place == OUTSIDE:
        return fabric.send_from_outside(WIRE, tagged(site, one.frame()))
    return fabric.send(one.place, one.frame())


def answer_to(outcome: Outcome, one: Sent, site: Site) -> Sent | None:
    """What the first of those who received a packet would answer; None: nobody did."""
    places = [(port, frame) for port, frame in outcome.delivered if port != one.place]
    places += [
        (OUTSIDE, frame) for wire, frame in outcome.outside if wire == WIRE and read(frame)[0] == M_OUT
    ]
    if not places or read(places[0][1])[1].is_answer:
        return None
    place, frame = places[0]
    mac, packet = read(frame)
    back = frame[6:12].hex(":")
    if place != OUTSIDE:
        back = target_mac(site, site.port(place), packet.source) or back
    return Sent(place, mac, back, packet.reply())


def agree(fabric: Fabric, oracle: Oracle, site: Site, one: Sent) -> Outcome:
    """Send a packet to both; they must say the same."""
    expected = oracle.send(one)
    outcome = transmit(fabric, site, one)
    found = arrivals(outcome)
    known = {arrival._replace(source_port=None): arrival for arrival in found}
    for arrival in [each for each in expected if each.source_port is None]:
        if arrival in known:
            oracle.learn(known[arrival].source_port or 0)
            expected = expected - {arrival} | {known[arrival]}
    assert found == Counter(expected), f"{one}\n  by the rows {set(expected)}\n  by the flows {dict(found)}"
    return outcome


@UNTIMED
@given(st.data())
def test_flows_say_what_the_rows_say(data: st.DataObject) -> None:
    """Each packet and each answer arrives where the API says, with the addresses it says, and nowhere else."""
    site = data.draw(regions())
    fabric, oracle = Fabric(site), Oracle(site.rows)
    for number in range(PACKETS):
        one = data.draw(sent(site, number))
        if one is None or oracle.leaves_open(one):
            continue
        outcome = agree(fabric, oracle, site, one)
        reply = answer_to(outcome, one, site)
        if reply is not None:
            agree(fabric, oracle, site, reply)
