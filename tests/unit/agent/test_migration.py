"""Ports that have just moved away are forwarded for a moment."""

from alcor.agent.migration import FORWARDING_S, Departures
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
