"""Ports that have just moved away are forwarded for a moment."""

from alcor.agent.migration import FORWARDING_S, PICK_UP_S, Arrivals, Departures
from alcor.goalstate.item import Item, LocalPort, Neighbour, key_of
from alcor.pipeline.feature import ItemChange
from alcor.pipeline.view import NetworkView, View
from tests.support.agent import A_HOST, OTHER_VTEP, Clock, local_port, neighbour, network, scope_of

PORT = local_port(1)
GONE_OVER = neighbour(1, vtep=OTHER_VTEP)


class Host:
    """A view and what left it."""

    def __init__(self) -> None:
        self.clock, self.view = Clock(), View()
        self.view.host = A_HOST
        self.view.networks["net"] = NetworkView(network())
        self.view.networks["net"].neighbours["port-1"] = neighbour(1)
        self.departures = Departures(self.clock.monotonic_s, {})

    def port(self, before: LocalPort | None, after: LocalPort | None) -> set[str]:
        """The local port's step."""
        return self._note(before, after)

    def neighbour(self, after: Neighbour) -> set[str]:
        """The neighbour's step."""
        before = self.view.networks["net"].neighbours["port-1"]
        self.view.networks["net"].neighbours["port-1"] = after
        return self._note(before, after)

    def _note(self, before: Item | None, after: Item | None) -> set[str]:
        item = after if after is not None else before
        assert item is not None
        change = ItemChange(scope_of(item), key_of(item), before, after)
        return self.departures.note([change], self.view)


def test_a_port_that_left_is_forwarded_whatever_is_heard_first() -> None:
    """Whether the departure or the new place is heard first: once both are known the port is forwarded."""
    left_first, place_first = Host(), Host()

    assert left_first.port(PORT, None) == set()
    assert left_first.neighbour(GONE_OVER) == {"port-1"}
    assert place_first.neighbour(GONE_OVER) == set()
    assert place_first.port(PORT, local_port(1, is_active=False)) == {"port-1"}

    assert left_first.departures.ports == place_first.departures.ports == {"port-1": OTHER_VTEP}


def test_forwarding_ends() -> None:
    """Five seconds after the departure the port is forgotten, and what comes later is of no concern."""
    host = Host()
    host.port(PORT, None)
    host.neighbour(GONE_OVER)
    assert host.departures.next_s() == host.clock.s + FORWARDING_S

    host.clock.s += FORWARDING_S - 0.1
    assert host.departures.expire() == set()
    host.clock.s += 0.1
    assert host.departures.expire() == {"port-1"}
    assert host.departures.ports == {}
    assert host.departures.next_s() is None
    assert host.neighbour(neighbour(1, vtep="192.0.2.9")) == set()


def test_a_port_that_comes_back_is_not_forwarded() -> None:
    """A port that is active here again is its own again at once."""
    host = Host()
    host.port(PORT, None)
    host.neighbour(GONE_OVER)

    assert host.port(None, PORT) == {"port-1"}
    assert host.departures.ports == {}


def test_a_deleted_port_is_not_forwarded() -> None:
    """A port that is gone everywhere, or was never active here, is forwarded nowhere."""
    host = Host()
    assert host.port(PORT, None) == set()
    assert host.port(None, local_port(1, is_active=False)) == set()
    never = Host()
    never.neighbour(GONE_OVER)

    assert never.port(local_port(1, is_active=False), None) == set()
    assert never.departures.ports == {}


STANDS_BY = local_port(1, is_active=False)


def step(before: LocalPort | None, after: LocalPort | None) -> list[ItemChange]:
    """The local port's step, as a batch."""
    return [ItemChange(scope_of(PORT), key_of(PORT), before, after)]


def test_only_a_binding_that_became_active_is_an_arrival() -> None:
    """A port that is new, or merely changes, brings no connections; one whose second binding became active does."""
    arrivals = Arrivals(Clock().monotonic_s, set())

    assert arrivals.note(step(None, PORT)) == set()
    assert arrivals.note(step(PORT, local_port(1, name="other"))) == set()
    assert arrivals.note(step(None, STANDS_BY)) == set()
    assert arrivals.note(step(STANDS_BY, PORT)) == arrivals.ports == {"port-1"}
    assert arrivals.note(step(PORT, STANDS_BY)) == {"port-1"}
    assert arrivals.ports == set()


def test_an_arrival_is_kept_over_a_restart_and_ends() -> None:
    """A new agent finds it in the switch's database, until its time is over; then it is removed from there too."""
    clock = Clock()
    first, second = Arrivals(clock.monotonic_s, set()), Arrivals(clock.monotonic_s, set())
    first.note(step(STANDS_BY, PORT))
    put, removed = first.to_keep()
    first.kept(put, removed)
    assert first.to_keep() == ({}, [])

    clock.s += PICK_UP_S - 1
    assert second.load(put) == second.ports == {"port-1"}
    assert second.to_keep() == ({}, [])
    assert second.next_s() is not None
    clock.s += 2
    assert second.expire() == {"port-1"}
    assert second.ports == set()
    assert second.to_keep() == ({}, list(put))


def test_an_arrival_of_an_earlier_life_of_the_machine_is_not_believed() -> None:
    """The clock starts anew with the machine: what would last longer than any arrival is of before, and is removed."""
    clock = Clock()
    arrivals = Arrivals(clock.monotonic_s, set())

    assert arrivals.load({"arrived:port-1": int(clock.s + PICK_UP_S + 100), "port:port-1": 1}) == set()
    assert arrivals.to_keep() == ({}, ["arrived:port-1"])
