"""Packet handlers: who is asked, what becomes of what they say, and that none of them can hurt the agent."""

import asyncio

import pytest

from alcor.agent.answer.dispatch import ANSWERS_BURST, Budget
from alcor.agent.answer.registry import handlers
from alcor.agent.desk import HandlerDesk
from alcor.agent.driver import PacketIn
from alcor.agent.handler import (
    NOTHING,
    Appointment,
    Confirmed,
    Desk,
    Frame,
    Maker,
    NextHopFound,
    Outcome,
    PacketHandler,
    Punt,
    Tools,
)
from alcor.agent.service import Agent
from alcor.agent.simulated import SimulatedSwitch
from alcor.goalstate.item import TrunkParent
from alcor.pipeline.feature import Local, LocalChange
from alcor.pipeline.tables import Table
from alcor.pipeline.view import Allocation, View
from tests.support.agent import (
    CODEC,
    HOST,
    OTHER_VTEP,
    Clock,
    FakeNcm,
    a_site,
    local_port,
    neighbour,
    network,
    router,
    running,
    settled,
)

ROUTE = frozenset((Table.ROUTE,))


class Recorder:
    """A handler that notes what it is told and says what it is given."""

    def __init__(self, outcome: Outcome | None = NOTHING) -> None:
        self.outcome, self.punts, self.dues = outcome, list[Punt](), list[str]()
        self.confirmed: list[Confirmed] = []
        self.first_noted = NOTHING

    def handler(self, name: str = "recorder", tables: frozenset[Table] = ROUTE) -> PacketHandler:
        """As a handler of these tables."""
        return PacketHandler(name, tables, self._handle, self._due, self._noted)

    def _handle(self, punt: Punt, view: View, allocation: Allocation) -> Outcome | None:
        self.punts.append(punt)
        return self.outcome

    def _due(self, subject: str, view: View, allocation: Allocation) -> Outcome:
        self.dues.append(subject)
        return NOTHING

    def _noted(self, confirmed: Confirmed, view: View, allocation: Allocation) -> Outcome:
        self.confirmed.append(confirmed)
        return self.first_noted if len(self.confirmed) == 1 else NOTHING


def a_desk(clock: Clock, *asked: PacketHandler) -> HandlerDesk:
    """A desk of these handlers."""
    return HandlerDesk(asked, Budget(clock.monotonic_s), clock.monotonic_s)


def a_punt(port_id: str | None = "port-1", table: Table = Table.ROUTE, network_id: str = "net") -> Punt:
    """A punted packet."""
    return Punt(PacketIn(1, table, b"", {}), port_id, network_id, None)


def _maker(handler: PacketHandler) -> Maker:
    return lambda _: handler


def an_agent(
    ncm: FakeNcm, switch: SimulatedSwitch, *asked: PacketHandler, clock: Clock | None = None
) -> Agent:
    """An agent with these handlers only."""
    clock = clock or Clock()
    return Agent(
        ncm,
        switch,
        CODEC,
        host_id=HOST,
        token=lambda: "secret",
        version="1",
        now_ms=clock.unix_ms,
        random=lambda: 0.5,
        makers=[_maker(handler) for handler in asked],
        monotonic_s=clock.monotonic_s,
        sleep=clock.sleep,
    )


def test_the_first_handler_of_the_table_that_wants_a_packet() -> None:
    """Handlers of the punting table are asked in order until one has an outcome; others do not see the packet."""
    shy, eager, late, elsewhere = Recorder(None), Recorder(Outcome("eager")), Recorder(), Recorder()
    desk = a_desk(
        Clock(),
        elsewhere.handler("elsewhere", frozenset((Table.PUNT_PORT,))),
        shy.handler("shy"),
        eager.handler("eager"),
        late.handler("late"),
    )

    assert desk.handle(a_punt(), View(), Allocation()) == Outcome("eager")
    assert (len(shy.punts), len(eager.punts), len(late.punts), len(elsewhere.punts)) == (1, 1, 0, 0)
    assert desk.counts == {"eager": 1}
    assert desk.handle(a_punt(table=Table.L2), View(), Allocation()) is None


def test_each_port_has_its_rate() -> None:
    """Beyond its rate a port's packets have no outcome; packets of no port are bounded by their network."""
    desk = a_desk(Clock(), Recorder(Outcome("seen", findings=(NextHopFound("n", "a", "m"),))).handler())
    for _ in range(int(ANSWERS_BURST)):
        desk.handle(a_punt(), View(), Allocation())
        desk.handle(a_punt(None), View(), Allocation())

    assert desk.handle(a_punt(), View(), Allocation()) == Outcome("over_rate")
    assert desk.handle(a_punt(None), View(), Allocation()) == Outcome("over_rate")
    assert desk.counts == {"seen": 2 * int(ANSWERS_BURST), "over_rate": 2}
    other = desk.handle(a_punt(None, network_id="other"), View(), Allocation())
    assert other is not None
    assert other.kind == "seen"


def test_a_handler_that_fails_costs_one_packet() -> None:
    """A handler that raises costs that packet, and the next is asked as before."""

    def fail(punt: Punt, view: View, allocation: Allocation) -> Outcome | None:
        raise RuntimeError("not foreseen")

    desk = a_desk(Clock(), PacketHandler("bad", ROUTE, fail))

    assert desk.handle(a_punt(), View(), Allocation()) == Outcome("failed")
    assert desk.counts == {"failed": 1}


def test_two_handlers_of_one_name() -> None:
    """Two handlers of one name are refused: appointments go by names."""
    clock = Clock()
    tools = Tools(HOST, clock.monotonic_s, lambda: 0.5, clock.sleep)
    twins = [lambda _: Recorder().handler(), lambda _: Recorder().handler()]

    with pytest.raises(ValueError, match="different names"):
        handlers(tools, twins)


async def test_registers_are_told_by_their_owners() -> None:
    """A handler learns port, network and router of a packet from its registers; unknown numbers are nobody's."""
    recorder, switch = Recorder(), SimulatedSwitch("s1")
    ncm = FakeNcm()
    a_site(ncm)
    ncm.put(local_port(1, routers=("router",)), router())
    switch.plug("port-1")
    async with running(an_agent(ncm, switch, recorder.handler())):
        fields = {
            name: switch.numbers[key] for name, key in (("reg14", "port:port-1"), ("metadata", "network:net"))
        }
        switch.punt(PacketIn(9, Table.ROUTE, b"", {**fields, "reg9": switch.numbers["router:router"]}))
        switch.punt(PacketIn(9, Table.ROUTE, b"", {"reg14": 999, "metadata": 999, "reg9": 999}))
        await settled()

        told = [(punt.port_id, punt.network_id, punt.router_id) for punt in recorder.punts]
        assert told == [("port-1", "net", "router"), (None, None, None)]


async def test_a_finding_reaches_the_flows() -> None:
    """A next hop that was found is in the allocation, is confirmed by a turn, and goes when it no longer answers."""
    recorder = Recorder(Outcome(findings=(NextHopFound("out", "192.0.2.1", "fe:00:00:00:00:01"),)))
    switch, ncm = SimulatedSwitch("s1"), FakeNcm()
    a_site(ncm)
    agent = an_agent(ncm, switch, recorder.handler())
    async with running(agent):
        switch.punt(PacketIn(9, Table.ROUTE, b"", {}))
        await settled()
        assert agent.allocation.next_hops == {("out", "192.0.2.1"): "fe:00:00:00:00:01"}
        found = LocalChange(Local.NEXT_HOP, "out/192.0.2.1")
        assert [found in one.local for one in recorder.confirmed].count(True) == 1

        turns = len(recorder.confirmed)
        switch.punt(PacketIn(9, Table.ROUTE, b"", {}))
        await settled()
        assert len(recorder.confirmed) == turns
        recorder.outcome = Outcome(findings=(NextHopFound("out", "192.0.2.1", None),))
        switch.punt(PacketIn(9, Table.ROUTE, b"", {}))
        await settled()
        assert agent.allocation.next_hops == {}


async def test_appointments_are_kept_by_the_agents_clock() -> None:
    """An appointment made after a turn is due when the clock says so, and once."""
    recorder, clock = Recorder(), Clock()
    recorder.first_noted = Outcome(later=(Appointment("again", 30.0), Appointment("now", 0.0)))
    switch, ncm = SimulatedSwitch("s1"), FakeNcm()
    a_site(ncm)
    async with running(an_agent(ncm, switch, recorder.handler(), clock=clock)):
        assert recorder.dues == ["now"]

        clock.s += 31.0
        ncm.put(neighbour(91, vtep=OTHER_VTEP))
        await settled()
        ncm.put(neighbour(92, vtep=OTHER_VTEP))
        await settled()
        assert recorder.dues == ["now", "again"]


async def test_what_a_turn_confirmed() -> None:
    """Each change is told once, after the barrier; what a refused turn would have brought comes with the next."""
    recorder, switch, ncm = Recorder(), SimulatedSwitch("s1"), FakeNcm()
    a_site(ncm)
    switch.plug("port-1")
    async with running(an_agent(ncm, switch, recorder.handler())):
        assert LocalChange(Local.PORT, "port-1") in {
            change for one in recorder.confirmed for change in one.local
        }
        assert recorder.confirmed[-1].plugged == {"port-1": 101}
        recorder.confirmed.clear()

        switch.refusals = ["no", "no"]
        ncm.put(neighbour(91, vtep=OTHER_VTEP))
        ncm.put(neighbour(92, vtep=OTHER_VTEP))
        await settled()

        told = [change.key.id for one in recorder.confirmed for change in one.items]
        assert told == ["port-91", "port-92"]


async def test_a_subports_frame_is_tagged() -> None:
    """A frame for a subport leaves by its parent's VIF with its VLAN id; one for a port without VIF is not sent."""
    ncm, switch = FakeNcm(), SimulatedSwitch("s1")
    a_site(ncm, (1,))
    ncm.put(network("other", 200), network_id="other")
    ncm.put(local_port(5, "other", trunk=TrunkParent("port-1", 7)), neighbour(5), network_id="other")
    ofport = switch.plug("port-1")
    data = bytes(12) + b"\x08\x00" + b"payload"
    frames = (
        Frame(data, ofport, "port-5"),
        Frame(data, ofport, "port-1"),
        Frame(data, 77, "port-1"),
        Frame(data, 3),
    )
    recorder = Recorder(Outcome(frames=frames))
    async with running(an_agent(ncm, switch, recorder.handler())):
        switch.punt(PacketIn(ofport, Table.ROUTE, b"", {}))
        await settled()

        tagged = bytes(12) + b"\x81\x00\x00\x07" + b"\x08\x00" + b"payload"
        assert switch.sent == [(ofport, tagged), (ofport, data), (3, data)]
        assert ("port-5", True, ofport) in {(one.port_id, one.plugged, one.ofport) for one in ncm.reports}
        switch.unplug("port-1")
        await settled()
        gone = {one.port_id for one in ncm.reports if not one.plugged}
        assert gone == {"port-1", "port-5"}


async def test_a_handlers_own_task() -> None:
    """A handler's task sees the agent's knowledge, may send at any time, and is begun again after it failed."""
    ncm, switch, begun = FakeNcm(), SimulatedSwitch("s1"), list[int]()
    a_site(ncm)

    async def run(desk: Desk) -> None:
        begun.append(len(begun))
        if len(begun) == 1:
            raise RuntimeError("no socket")
        desk.carry_out(Outcome("sent", (Frame(b"hello", 3),)))
        await asyncio.Event().wait()

    agent = an_agent(ncm, switch, PacketHandler("own", run=run))
    async with running(agent):
        assert begun == [0, 1]
        assert switch.sent == [(3, b"hello")]
        assert agent.status()["counters"]["punts"] == {"sent": 1}
