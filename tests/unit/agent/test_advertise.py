"""When something is due, and when unsolicited router advertisements go out."""

from alcor.agent.advertise import Due, Timetable, advertiser
from alcor.agent.answer.dispatch import Answerer
from alcor.agent.answer.router_advertisement import INTERVAL_S_MAX, INTERVAL_S_MIN
from alcor.agent.handler import Appointment, Confirmed
from alcor.goalstate.item import key_of
from alcor.goalstate.scope import network_scope
from alcor.pipeline.feature import ItemChange
from tests.support.agent import Clock, subnet
from tests.support.answers import OFPORT, a_world


def test_what_is_due_is_taken_once() -> None:
    """An appointment is due from its time on, is taken once, and the earliest comes first."""
    times = Timetable()
    times.put(Due("h", "late"), 12.0)
    times.put(Due("h", "early"), 11.0)

    assert times.next_s() == 11.0
    assert times.take(10.0) == []
    assert times.take(12.0) == [Due("h", "early"), Due("h", "late")]
    assert times.take(99.0) == []
    assert times.next_s() is None


def test_a_later_appointment_replaces_an_earlier_one() -> None:
    """An appointment with the same handler and subject moves the one there is; of another handler it does not."""
    times = Timetable()
    times.put(Due("h", "x"), 1.0)
    times.put(Due("h", "x"), 5.0)
    times.put(Due("other", "x"), 2.0)

    assert times.take(3.0) == [Due("other", "x")]
    assert times.next_s() == 5.0


def test_at_once_and_then_at_random_intervals() -> None:
    """A plugged port is advertised to at once, then after a random time between the smallest and largest interval."""
    draws = iter([0.0, 0.5])
    world = a_world(subnet("six", cidr="2001:db8::/64", ipv6_ra_mode="slaac", ipv6_address_mode="slaac"))
    handler = advertiser(Answerer(Clock().monotonic_s), lambda: next(draws))

    plugged = Confirmed(plugged={"port-5": OFPORT})
    assert handler.noted(plugged, *world).later == (Appointment("port-5", 0.0),)
    first = handler.due("port-5", *world)
    assert [(frame.port_id, frame.ofport) for frame in first.frames] == [("port-5", OFPORT)]
    assert first.later == (Appointment("port-5", INTERVAL_S_MIN),)
    assert handler.due("port-5", *world).later == (
        Appointment("port-5", (INTERVAL_S_MIN + INTERVAL_S_MAX) / 2),
    )
    assert handler.noted(plugged, *world).later == ()


def test_what_changed_is_advertised_at_once() -> None:
    """A subnet that changed is advertised at once to the plugged ports of its network, and to no others."""
    view, allocation = a_world()
    handler = advertiser(Answerer(Clock().monotonic_s), lambda: 0.0)
    handler.noted(Confirmed(plugged={"port-5": OFPORT}), view, allocation)
    network_id = view.ports["port-5"].network_id

    def changed(network_id: str) -> tuple[Appointment, ...]:
        item = subnet("six", network_id)
        step = ItemChange(network_scope(network_id), key_of(item), None, item)
        return handler.noted(Confirmed((step,), plugged={"port-5": OFPORT}), view, allocation).later

    assert changed(network_id) == (Appointment("port-5", 0.0),)
    assert changed("another") == ()


def test_a_port_that_went_is_not_advertised_to() -> None:
    """A port that is no longer plugged has no next appointment."""
    world = a_world()
    handler = advertiser(Answerer(Clock().monotonic_s), lambda: 0.0)
    handler.noted(Confirmed(plugged={"port-5": OFPORT}), *world)
    handler.noted(Confirmed(), *world)

    assert handler.due("port-5", *world).later == ()
