"""Packets that wait for what is held on demand."""

import asyncio
from dataclasses import dataclass, field

import pytest

from alcor.agent.allocation import LocalNumbers, Numbered
from alcor.agent.driver import PacketIn, Resumed
from alcor.agent.on_demand import Asked
from alcor.agent.view import Changes
from alcor.agent.waiting import HELD_MAX, HELD_PER_SUBJECT_MAX, WAIT_S, Waiting
from alcor.goalstate.item import OpenHost
from alcor.goalstate.scope import Scope, neighbours_scope
from alcor.pipeline.on_demand import Lack
from alcor.pipeline.tables import Flag, Table
from alcor.pipeline.view import NetworkView, View
from tests.support.agent import local_port, mac_of, neighbour, network
from tests.support.packets import who_has

NET = neighbours_scope("net")
ASKER = (mac_of(1), "10.0.0.1")


async def _never(_: float) -> None:
    await asyncio.Event().wait()


@dataclass
class Host:
    """A host whose one network is held on demand; `asked`: what was asked for; `absent`: what nobody has."""

    now_s: float = 0.0
    asked: list[str] = field(default_factory=list)
    absent: set[str] = field(default_factory=set)
    view: View = field(default_factory=View)

    def __post_init__(self) -> None:
        numbers = LocalNumbers(lambda: self.now_s)
        numbers.saved(numbers.take({Numbered.PORT: ["port-1"], Numbered.NETWORK: ["net"]}))
        self.keys = (numbers.allocation.port_keys["port-1"], numbers.allocation.network_keys["net"])
        self.view.networks["net"] = NetworkView(network())
        self.view.ports["port-1"] = local_port(1)
        self.view.lazy.add(NET)
        self.waiting = Waiting(self._ask, numbers, lambda: self.now_s, _never)

    def _ask(self, scope: Scope, text: str, port_id: str) -> Asked:
        assert (scope, port_id) == (NET, "port-1")
        self.asked.append(text)
        return Asked.ABSENT if text in self.absent else Asked.ASKED

    def punt(self, ip: str, *, flags: int = 0) -> list[Resumed]:
        """The port asks by ARP for an address that the switch does not know."""
        port_key, network_key = self.keys
        fields = {"reg14": port_key, "metadata": network_key, "reg5": Lack.ANSWER, "reg10": flags}
        return self.waiting.punted(PacketIn(101, Table.ASK_HOST, who_has(ip, ASKER), fields), self.view)

    def answer(self, number: int) -> None:
        """The region says who has 10.0.0.<number>."""
        self.waiting.noted(Changes(answers=[(NET, neighbour(number))]))

    def confirm(self) -> list[Resumed]:
        """The switch has all of it."""
        return self.waiting.confirmed(self.waiting.version, self.view)


def test_a_packet_goes_on_when_the_switch_knows() -> None:
    """In the table where it stopped, as it was, marked so that it cannot ask again; not before the barrier."""
    host = Host()
    at_once = host.punt("10.0.0.5")
    before = host.waiting.version

    host.answer(5)
    early = host.waiting.confirmed(before, host.view)
    (packet,) = host.confirm()

    assert (at_once, early, host.asked) == ([], [], ["10.0.0.5"])
    assert (packet.data, packet.table) == (who_has("10.0.0.5", ASKER), Table.ARP_ND)
    written = {one.field.value[0]: one.value for one in packet.fields}
    port_key, network_key = host.keys
    assert written == {"in_port": 101, "reg14": port_key, "metadata": network_key, "reg10": Flag.RESOLVED}
    assert host.waiting.held == 0


def test_a_copy_is_dropped_when_somebody_has_it() -> None:
    """A relay had the packet itself."""
    host = Host()
    host.punt("10.0.0.5", flags=Flag.RELAYED)

    host.answer(5)

    assert host.confirm() == []
    assert host.waiting.held == 0


@pytest.mark.parametrize("takes_unknown", [False, True])
def test_what_nobody_has_is_for_those_who_take_the_unknown(takes_unknown: bool) -> None:
    """If there are any; else it meets silence."""
    host = Host(absent={"10.0.0.9"})
    if takes_unknown:
        host.view.networks["net"].open_hosts["far"] = OpenHost(id="far", vtep="v")

    known_absent = host.punt("10.0.0.9")
    host.punt("10.0.0.8")
    host.waiting.noted(Changes(absent=[(NET, "10.0.0.8")]))

    assert (len(known_absent), len(host.confirm())) == (takes_unknown, takes_unknown)


def test_what_waits_is_bounded_and_does_not_wait_for_ever() -> None:
    """Four packets for one peer, a thousand in all, a second at most."""
    host = Host()
    for _ in range(HELD_PER_SUBJECT_MAX + 1):
        host.punt("10.0.0.5")
    assert host.waiting.held == HELD_PER_SUBJECT_MAX
    for number in range(5_000):
        host.punt(f"10.1.{number // 250}.{number % 250 + 1}")
    assert host.waiting.held == HELD_MAX

    host.now_s += WAIT_S
    host.waiting.expire()
    late = host.punt("10.0.0.5")

    assert (late, host.waiting.held) == ([], 1)
    assert host.waiting.counts["on_demand_crowded"] == 1 + 5_000 - (HELD_MAX - HELD_PER_SUBJECT_MAX)
    assert host.waiting.counts["on_demand_expired"] == HELD_MAX


def test_an_announcement_is_not_a_question() -> None:
    """Who asks for the address that is his own tells it to all."""
    host = Host()

    (packet,) = host.punt("10.0.0.1")

    assert (packet.table, host.asked) == (Table.ARP_ND, [])


def test_a_port_that_is_gone_asks_nothing() -> None:
    """What its packets wait for does not go on either."""
    host = Host()
    host.punt("10.0.0.5")
    host.answer(5)
    del host.view.ports["port-1"]

    assert host.punt("10.0.0.6") == []
    assert host.asked == ["10.0.0.5"]
