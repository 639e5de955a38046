"""Long work of the dataplane comes in slices, between which everybody has a turn."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence

from alcor.bus.interface import HostReport, PortReport
from alcor.dataplane.pace import Pace
from alcor.dataplane.realize import JUDGED_MAX, WRITTEN_MAX
from alcor.dataplane.service import CHANGES_PER_TURN_MAX
from alcor.store.interface import HostObservation, PortObservation
from alcor.store.sqlite import SqliteStore
from tests.support.goalbus import RecordingBus, RecordingObservations
from tests.support.goalstate import a_host, a_network, a_port
from tests.support.store import commit
from tests.unit.dataplane.test_realize import EPOCH, LOADED, a_site
from tests.unit.dataplane.test_service import Bursting, assert_held, running, store

__all__ = ["store"]  # a fixture


async def test_others_have_their_turn_after_so_many_units() -> None:
    """Whatever the sizes of the pieces, between two turns of the loop lies one piece more than the bound at most."""
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(other())
    pace, seen = Pace(10), []
    for units in (4, 5, 1, 30, 9, 1):
        await pace.spend(units)
        seen.append(turns)
    task.cancel()

    assert seen == [0, 0, 1, 2, 2, 3]


class AtOnce(RecordingBus):
    """Gives all reports of a test in one batch."""

    def __init__(self, batch: Sequence[HostReport]) -> None:
        super().__init__()
        self._batch = batch

    async def reports(self) -> AsyncIterator[Sequence[HostReport]]:
        """All of them, then nothing."""
        yield self._batch
        await asyncio.Event().wait()


def a_report(host_id: str, ports: Iterable[str]) -> HostReport:
    plugged = tuple([PortReport(id, True, 4, 850.0) for id in ports])
    return HostReport(host_id=host_id, epoch=EPOCH, alive=True, at_ms=900, session=1, ports=plugged)


async def test_many_hosts_at_once_are_heard_in_several_turns() -> None:
    """Hosts with many ports each attach at once: after each of them others have their turn."""
    ids = ["h1", "h2", *(f"more-{number}" for number in range(4))]
    batch = [a_report(id, (f"{id}-{number}" for number in range(JUDGED_MAX))) for id in ids]
    async with a_site(*map(a_host, ids[2:]), bus=AtOnce(batch)) as site:
        heard: list[int] = []
        async with asyncio.timeout(60):
            while sum(site.realizer.heard(id) is not None for id in ids) < len(ids):
                heard.append(sum(site.realizer.heard(id) is not None for id in ids))
                await asyncio.sleep(0)

    assert set(heard) >= set(range(1, len(ids)))


class Noted(RecordingObservations):
    """Notes the size of every write, and the hosts it was of."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[tuple[int, list[str]]] = []

    async def put(
        self, ports: Iterable[PortObservation], hosts: Iterable[HostObservation], *, term: int
    ) -> None:
        """Note, and replace facts."""
        ports, hosts = list(ports), list(hosts)
        self.writes.append((len(ports), [host.host_id for host in hosts]))
        await super().put(ports, hosts, term=term)


async def test_many_facts_are_written_in_several_writes() -> None:
    """A host's own fact comes with the last ports it spoke of: before, it would be alive with what was once."""
    ids = [f"p{number}" for number in range(WRITTEN_MAX + 5)]
    rows = [a_port(id, "n", "h1") for id in ids]
    bus, observations = AtOnce([a_report("h1", ids)]), Noted()
    async with a_site(*rows, bus=bus, observations=observations):
        await observations.until(lambda: "h1" in observations.host_facts)

    assert observations.writes == [(WRITTEN_MAX, []), (5, ["h1"])]
    assert len(observations.port_facts) == len(ids)


async def test_a_graph_made_anew_is_judged_in_several_turns() -> None:
    """All ports are judged by it, and a report that comes amid that is heard at once."""
    ids = [f"p{number}" for number in range(3 * JUDGED_MAX)]
    rows = [a_port(id, "n", "h1") for id in ids]
    async with a_site(*rows, bus=AtOnce([a_report("h1", ids)])) as site:
        await site.observations.until(lambda: "h1" in site.observations.host_facts)
        turns = 0
        begin = asyncio.create_task(site.realizer.begin(EPOCH, site.graph, anew=True))
        while not begin.done():
            turns += 1
            await asyncio.sleep(0)

    assert site.graph.revision == LOADED
    assert turns >= 3


async def test_a_backlog_of_bulks_is_followed_in_several_turns(store: SqliteStore) -> None:
    """Cuts that wait together are followed together, but no more changes than bound a turn; each turn is published."""
    start = await commit(store, put=[a_host("h1")])
    each = CHANGES_PER_TURN_MAX // 2 - 1
    bursting, bus = Bursting(store), RecordingBus()
    bursting.burst = start + 5
    async with running(bursting, bus):
        for bulk in range(5):
            await commit(store, put=[a_network(f"n{bulk}-{number}") for number in range(each)])
        await bus.reached(start + 5)
        await assert_held(store, bus)

    assert [heads.through[0] for _, heads in bus.turns] == [start, start + 2, start + 4, start + 5]
