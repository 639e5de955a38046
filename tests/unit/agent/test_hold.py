"""The safety hold: what a doubtful state would take from living VIFs stays until somebody is sure."""

import asyncio
from collections.abc import Mapping, Sequence

import pytest
from orjson import dumps, loads

from alcor.agent.driver import FlowDiff
from alcor.agent.simulated import SimulatedSwitch
from alcor.bus.interface import Question, Welcome
from alcor.goalstate.item import CALM, ItemKind, Key, NetworkHost, ReleaseItem
from alcor.goalstate.scope import host_scope, neighbours_scope, network_scope
from alcor.pipeline.compile import meters
from alcor.pipeline.flow import Flow, FlowKey, GroupSpec, MeterSpec
from alcor.pipeline.resolve import resolve
from alcor.pipeline.tables import Table
from tests.support.agent import (
    EPOCH,
    HOST,
    OTHER_VTEP,
    VTEP,
    FakeNcm,
    a_site,
    an_agent,
    expected,
    local_port,
    neighbour,
    network,
    running,
    settled,
    subnet,
)

A_CALM = ReleaseItem(id=CALM, epoch=EPOCH + 1, number=2)


def a_switch(*numbers: int) -> SimulatedSwitch:
    """A switch with these ports' VIFs."""
    switch = SimulatedSwitch("s1")
    for number in numbers:
        switch.plug(f"port-{number}")
    return switch


def forget(ncm: FakeNcm, *numbers: int) -> None:
    """Lose ports without a delete in the log, as a wrong snapshot does; told by a snapshot."""
    for number in numbers:
        ncm.items[host_scope(HOST)].pop(Key(ItemKind.LOCAL_PORT, f"port-{number}"), None)
    ncm.revision += 1
    ncm.deliver(ncm.snapshot(host_scope(HOST)), ncm.heads())
    # What nobody refers to any more is dropped.
    ncm.commit()


@pytest.mark.parametrize(
    ("ports", "lost", "held"),
    [(12, 10, True), (50, 11, True), (49, 10, True), (50, 10, False), (60, 12, False), (9, 9, False)],
)
async def test_a_suspicious_snapshot(ports: int, lost: int, held: bool) -> None:
    """A snapshot without more than a fifth and at least ten of the living ports removes none of them, and says so."""
    ncm = FakeNcm()
    numbers = range(1, ports + 1)
    a_site(ncm, numbers)
    switch = a_switch(*numbers)
    async with running(an_agent(ncm, switch)) as agent:
        before = dict(switch.tables.flows)

        forget(ncm, *range(1, lost + 1))
        await settled()

        kept = f"port:port-{lost}" in switch.numbers
        assert kept is held
        assert (str(agent.status()["hold"]) != "") is held
        if held:
            assert set(before) == set(switch.tables.flows)
            assert f"{lost} plugged ports (port-1, port-10" in str(agent.status()["hold"])
        else:
            assert switch.tables.flows == expected(ncm, switch)


async def test_a_hold_lets_changes_and_logged_deletes_pass() -> None:
    """While ten ports are held a new port is served, and a port deleted by the log goes, held or not."""
    ncm = FakeNcm()
    a_site(ncm, range(1, 13))
    switch = a_switch(*range(1, 14))
    async with running(an_agent(ncm, switch)):
        forget(ncm, *range(1, 11))
        await settled()
        flows = len(switch.tables.flows)

        ncm.put(local_port(13), neighbour(13))
        await settled()
        assert ncm.reports[-1].port_id == "port-13"
        assert len(switch.tables.flows) > flows

        ncm.remove_port(12)
        ncm.items[host_scope(HOST)][Key(ItemKind.LOCAL_PORT, "port-1")] = (0, local_port(1))
        ncm.remove_port(1)
        await settled()
        ofports = {
            term.value
            for key in switch.tables.flows
            for term in key.match
            if key.table == 0 and term.field.name == "IN_PORT"
        }
        assert switch.vifs["port-12"] not in ofports
        assert switch.vifs["port-1"] not in ofports
        assert switch.vifs["port-2"] in ofports


async def test_a_hold_ends_when_the_ports_are_back() -> None:
    """When a later state knows the ports again the hold ends by itself, and nothing has been touched."""
    ncm = FakeNcm()
    a_site(ncm, range(1, 13))
    switch = a_switch(*range(1, 13))
    async with running(an_agent(ncm, switch)) as agent:
        before = dict(switch.tables.flows)
        forget(ncm, *range(1, 11))
        await settled()
        assert agent.status()["hold"] != ""
        assert "deletions are held" in ncm.details[-1] or ncm.details[-1] == ""

        ncm.put(*(local_port(number) for number in range(1, 11)))
        await settled()

        assert agent.status()["hold"] == ""
        assert switch.tables.flows == before == expected(ncm, switch)


async def test_a_hold_ends_when_released() -> None:
    """An operator's release lets the held deletions go, flows and meters first and numbers after them."""
    ncm = FakeNcm()
    a_site(ncm, range(1, 13))
    switch = a_switch(*range(1, 13))
    async with running(an_agent(ncm, switch)) as agent:
        forget(ncm, *range(1, 11))
        await settled()

        assert len(switch.meters) > 2
        agent.release_hold()
        await settled()

        assert switch.tables.flows == expected(ncm, switch)
        assert switch.meters == meters(resolve(ncm.states(), HOST), agent.allocation)
        assert {name for name in switch.numbers if name.startswith("port:")} == {
            "port:port-11",
            "port:port-12",
        }


async def test_an_unplugged_port_is_held_no_longer() -> None:
    """A held port whose VIF goes is gone: its flows do not wait for an operator."""
    ncm = FakeNcm()
    a_site(ncm, range(1, 11))
    switch = a_switch(*range(1, 11))
    async with running(an_agent(ncm, switch)) as agent:
        forget(ncm, *range(1, 11))
        await settled()
        for number in range(1, 11):
            switch.unplug(f"port-{number}")
        await settled()

        assert agent.status()["hold"] == ""
        assert switch.tables.flows == expected(ncm, switch)


@pytest.mark.parametrize("restarted", [False, True])
async def test_a_new_epoch_deletes_nothing_that_lives(restarted: bool) -> None:
    """In a new epoch a port with a living VIF that the region forgot stays whole, also across an agent's restart."""
    ncm = FakeNcm()
    a_site(ncm, (1, 2))
    switch = a_switch(1, 2)
    async with running(an_agent(ncm, switch)) as agent:
        before = dict(switch.tables.flows)
        if not restarted:
            ncm.restore(epoch=EPOCH + 1)
            ncm.disconnect()
            await settled()
            assert set(switch.tables.flows) == set(before)
            assert "port-1" in str(agent.status()["hold"])
    if restarted:
        ncm.restore(epoch=EPOCH + 1)
    async with running(an_agent(ncm, switch)) as agent:
        assert set(switch.tables.flows) == set(before)
        assert switch.numbers["port:port-1"] == 1
        assert "the region began a new epoch" in str(agent.status()["hold"])
        assert switch.numbers["epoch"] == EPOCH


class Hesitant(SimulatedSwitch):
    """A switch that may take its time to forget connections, and to be compared."""

    def __init__(self) -> None:
        super().__init__("s1")
        self.may_go_on = asyncio.Event()
        self.may_go_on.set()

    async def flush_zones(self, zones: Sequence[int]) -> None:
        """As the driver says."""
        await self.may_go_on.wait()
        await super().flush_zones(zones)

    async def compare(
        self,
        desired: Mapping[FlowKey, Flow],
        meters: Sequence[MeterSpec],
        groups: Sequence[GroupSpec] = (),
    ) -> FlowDiff:
        """As the driver says."""
        await self.may_go_on.wait()
        return await super().compare(desired, meters, groups)


async def test_a_new_epoch_begins_in_the_middle_of_a_turn() -> None:
    """An agent that is remembering that the last epoch's flows are right does not remember it of the new one."""
    ncm = FakeNcm()
    a_site(ncm, (1, 2))
    switch = Hesitant()
    switch.plug("port-1")
    async with running(an_agent(ncm, switch)) as agent:
        switch.may_go_on.clear()
        ncm.remove_port(2)
        await settled()
        ncm.restore(epoch=EPOCH + 1)
        ncm.disconnect()
        await settled()
        assert agent.status()["region"]["epoch"] == EPOCH + 1

        switch.may_go_on.set()
        await settled()

        assert "port-1" in str(agent.status()["hold"])
        assert switch.numbers["epoch"] == EPOCH


async def test_what_comes_as_a_hold_ends_does_not_begin_it_again() -> None:
    """A port that the log deleted, and whose VIF is still there, is no orphan; nor when the last of the hold is written
    down, and something else comes meanwhile."""
    ncm = FakeNcm()
    a_site(ncm, (1, 2))
    switch = Hesitant()
    switch.plug("port-1")
    switch.plug("port-2")
    async with running(an_agent(ncm, switch)) as agent:
        ncm.restore(epoch=EPOCH + 1, keep=(network_scope("net"), neighbours_scope("net")))
        ncm.put(local_port(1), local_port(2))
        ncm.disconnect()
        await settled()
        ncm.remove_port(2)
        await settled()
        assert "no port is unknown here" in str(agent.status()["hold"])

        switch.may_go_on.clear()
        ncm.put(A_CALM)
        await settled()
        ncm.put(neighbour(1, groups=("group",)))
        await settled()
        assert switch.numbers["epoch"] == EPOCH
        switch.may_go_on.set()
        await settled()

        assert agent.status()["hold"] == ""
        assert switch.numbers["epoch"] == EPOCH + 1
        assert switch.tables.flows == expected(ncm, switch)


async def test_a_stream_that_ends_as_an_epoch_begins() -> None:
    """What an agent holds of the old epoch is forgotten by the next stream too, when it is needed no more."""
    ncm = FakeNcm()
    a_site(ncm, (1, 2))
    switch = a_switch(1)
    async with running(an_agent(ncm, switch)) as agent:
        ncm.restore(epoch=EPOCH + 1)
        ncm.put(A_CALM)
        ncm.is_slow = True
        ncm.disconnect()
        await settled()
        assert ncm.stream is not None
        ncm.stream.inbox.put_nowait([Welcome(EPOCH + 1, ncm.heartbeat_s)])
        await settled()
        assert agent.status()["region"]["epoch"] == EPOCH + 1
        assert "port-1" in agent.status()["ports"]

        ncm.is_slow = False
        ncm.disconnect()
        await settled()
        assert agent.status()["in_sync"]
        assert "port-1" in str(agent.status()["hold"])

        switch.unplug("port-1")
        await settled()

        assert agent.status()["hold"] == ""
        assert switch.tables.flows == expected(ncm, switch)


async def test_a_new_epoch_that_knows_all_is_accepted() -> None:
    """A new epoch in which every living VIF is known, here and elsewhere: it is remembered, and stale flows go."""
    ncm = FakeNcm()
    a_site(ncm, (1, 2))
    switch = a_switch(1)
    async with running(an_agent(ncm, switch)) as agent:
        ncm.restore(epoch=EPOCH + 1)
        ncm.put(network(), subnet(), NetworkHost(id=HOST, vtep=VTEP), local_port(1), neighbour(1), A_CALM)
        ncm.disconnect()
        await settled()

        assert agent.status()["hold"] == ""
        assert switch.numbers["epoch"] == EPOCH + 1
        assert switch.tables.flows == expected(ncm, switch)
        assert ncm.is_realized(host_scope(HOST), neighbours_scope("net"))


async def test_orphans_of_other_hosts_are_held_too() -> None:
    """A host that knows its own ports keeps the flows to peers of others that are not known, until all are calm."""
    ncm = FakeNcm()
    a_site(ncm, (1,), remote={90: OTHER_VTEP})
    switch = a_switch(1)
    async with running(an_agent(ncm, switch)) as agent:
        before = dict(switch.tables.flows)
        ncm.restore(epoch=EPOCH + 1)
        ncm.put(network(), subnet(), NetworkHost(id=HOST, vtep=VTEP), local_port(1), neighbour(1))
        ncm.put(ReleaseItem(id=CALM, epoch=EPOCH, number=1))
        ncm.disconnect()
        await settled()

        assert "no port is unknown here" in str(agent.status()["hold"])
        gone = set(before) - set(switch.tables.flows)
        assert {key.table for key in gone} == {Table.FLOOD}, "broadcasts go to whom the region knows"
        assert ncm.is_realized(host_scope(HOST))

        ncm.put(A_CALM)
        await settled()

        assert agent.status()["hold"] == ""
        assert len(switch.tables.flows) < len(before)
        assert switch.tables.flows == expected(ncm, switch)


async def test_what_is_held_for_others_outlives_the_agent_and_the_epoch() -> None:
    """A new agent, of a host that never had an orphan, goes on holding; so it does when another epoch begins meanwhile,
    which an earlier one's calm does not end. Each heartbeat says in which epoch the host settled."""
    ncm = FakeNcm()
    a_site(ncm, (1,), remote={90: OTHER_VTEP})
    switch = a_switch(1)
    async with running(an_agent(ncm, switch)):
        before = len(switch.tables.flows)

    for epoch in (EPOCH + 1, EPOCH + 2):
        ncm.restore(epoch=epoch)
        ncm.put(network(), subnet(), NetworkHost(id=HOST, vtep=VTEP), local_port(1), neighbour(1))
        ncm.put(ReleaseItem(id=CALM, epoch=epoch - 1, number=epoch))
        async with running(an_agent(ncm, switch)) as agent:
            assert "no port is unknown here" in str(agent.status()["hold"])
            assert switch.numbers["epoch"] == EPOCH
            assert agent.health().settled == epoch

    async with running(an_agent(ncm, switch)) as agent:
        assert "no port is unknown here" in str(agent.status()["hold"])
        ncm.put(ReleaseItem(id=CALM, epoch=EPOCH + 2, number=EPOCH + 3))
        await settled()

        assert agent.status()["hold"] == ""
        assert switch.numbers["epoch"] == EPOCH + 2
        assert len(switch.tables.flows) < before
        assert switch.tables.flows == expected(ncm, switch)


async def test_logged_deletes_pass_a_new_epochs_hold() -> None:
    """While a new epoch is held for an orphan, a peer that the log deletes is forgotten at once."""
    ncm = FakeNcm()
    a_site(ncm, (1, 2), remote={90: OTHER_VTEP, 91: OTHER_VTEP})
    switch = a_switch(1, 2)
    async with running(an_agent(ncm, switch)) as agent:
        ncm.restore(epoch=EPOCH + 1, keep=(network_scope("net"), neighbours_scope("net")))
        ncm.put(local_port(1))
        ncm.disconnect()
        await settled()
        assert "port-2" in str(agent.status()["hold"])
        before = len(switch.tables.flows)

        ncm.remove((neighbours_scope("net"), Key(ItemKind.NEIGHBOUR, "port-90")))
        await settled()

        assert "port-2" in str(agent.status()["hold"])
        assert len(switch.tables.flows) < before
        assert ncm.is_realized(neighbours_scope("net"))


async def test_orphans_of_a_new_epoch_imported_again() -> None:
    """When all orphans are imported the new epoch is accepted by itself, and their flows were never touched."""
    ncm = FakeNcm()
    a_site(ncm, (1,), remote={})
    switch = a_switch(1)
    async with running(an_agent(ncm, switch)) as agent:
        before = dict(switch.tables.flows)
        ncm.restore(epoch=EPOCH + 1)
        ncm.disconnect()
        await settled()
        assert agent.status()["hold"] != ""

        ncm.put(network(), subnet(), NetworkHost(id=HOST, vtep=VTEP), neighbour(1))
        ncm.put(local_port(1))
        await settled()
        assert "port-1" not in str(agent.status()["hold"])
        ncm.put(A_CALM)
        await settled()

        assert agent.status()["hold"] == ""
        assert switch.tables.flows == expected(ncm, switch)
        assert set(switch.tables.flows) <= set(before)


async def test_a_region_that_releases_a_new_epoch() -> None:
    """Told that the present epoch is right, a host lets go of its orphans; one that starts later holds nothing."""
    ncm = FakeNcm()
    a_site(ncm, (1, 2))
    switch = a_switch(1, 2)
    async with running(an_agent(ncm, switch)) as agent:
        ncm.restore(epoch=EPOCH + 1)
        ncm.disconnect()
        await settled()
        ncm.put(ReleaseItem(id="release", epoch=EPOCH, number=7))
        await settled()
        assert agent.status()["hold"] != ""

        ncm.put(ReleaseItem(id="release", epoch=EPOCH + 1, number=8))
        await settled()

        assert agent.status()["hold"] == ""
        assert switch.tables.flows == expected(ncm, switch)
        assert switch.numbers == {"epoch": EPOCH + 1}


async def test_a_region_that_released_before() -> None:
    """A host that was away meets an epoch that is released already: it holds nothing."""
    ncm = FakeNcm()
    a_site(ncm, (1, 2))
    switch = a_switch(1, 2)
    async with running(an_agent(ncm, switch)):
        pass
    ncm.restore(epoch=EPOCH + 1)
    ncm.put(ReleaseItem(id="release", epoch=EPOCH + 1, number=1))

    async with running(an_agent(ncm, switch)) as agent:
        assert agent.status()["hold"] == ""
        assert switch.tables.flows == expected(ncm, switch)


async def test_a_region_that_releases_a_suspicious_snapshot() -> None:
    """A release lets go of what is held now, and of nothing that comes after it."""
    ncm = FakeNcm()
    a_site(ncm, range(1, 31))
    ncm.put(ReleaseItem(id="release", epoch=EPOCH, number=1))
    switch = a_switch(*range(1, 31))
    async with running(an_agent(ncm, switch)) as agent:
        forget(ncm, *range(1, 12))
        await settled()
        assert agent.status()["hold"] != ""

        ncm.put(ReleaseItem(id="release", epoch=EPOCH, number=2))
        await settled()
        assert agent.status()["hold"] == ""
        assert switch.tables.flows == expected(ncm, switch)

        forget(ncm, *range(12, 23))
        await settled()
        assert agent.status()["hold"] != ""


@pytest.mark.parametrize("is_new_epoch", [True, False])
async def test_orphans_outlive_the_agent(is_new_epoch: bool) -> None:
    """A new agent goes on holding what the last one held, and knows as much of it; what was unplugged is let go."""
    ncm = FakeNcm()
    a_site(ncm, range(1, 13))
    switch = a_switch(*range(1, 13))
    async with running(an_agent(ncm, switch)):
        if is_new_epoch:
            ncm.restore(epoch=EPOCH + 1)
            ncm.disconnect()
        else:
            forget(ncm, *range(1, 13))
        await settled()
        before = dict(switch.tables.flows)
    switch.unplug("port-2")

    async with running(an_agent(ncm, switch)) as agent:
        await settled()
        told = loads((await agent.answer(Question(1, dumps({"ask": "held"})))).body)

        assert told["cause"] != ""
        orphans = {one["port_id"]: one for one in told["orphans"]}
        assert orphans.keys() == {f"port-{number}" for number in (1, *range(3, 13))}
        one = local_port(1)
        assert (orphans["port-1"]["mac_address"], orphans["port-1"]["network_id"]) == (
            one.mac,
            one.network_id,
        )
        assert orphans["port-1"]["ip_addresses"] == [address.ip for address in one.addresses]
        assert set(before) <= set(switch.tables.flows)

    for number in (1, *range(3, 13)):
        switch.unplug(f"port-{number}")
    ncm.put(A_CALM)
    async with running(an_agent(ncm, switch)) as agent:
        await settled()
        assert agent.status()["hold"] == ""
        assert not [name for name in switch.numbers if name.startswith("orphan:")]


async def test_a_new_epoch_released_at_start() -> None:
    """An agent started with the flag takes a new epoch's word for everything."""
    ncm = FakeNcm()
    a_site(ncm, (1, 2))
    switch = a_switch(1, 2)
    async with running(an_agent(ncm, switch)):
        pass
    ncm.restore(epoch=EPOCH + 1)

    async with running(an_agent(ncm, switch, release_hold=True)) as agent:
        assert agent.status()["hold"] == ""
        assert switch.tables.flows == expected(ncm, switch)
        assert switch.numbers.keys() == {"epoch"}
        assert switch.numbers["epoch"] == EPOCH + 1
