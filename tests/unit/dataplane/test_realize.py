"""Status of ports, by protocol section 5 only; and facts of hosts."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import pytest
from structlog.testing import capture_logs

from alcor.bus.interface import HostReport, PortReport
from alcor.dataplane.realize import Realizer
from alcor.goalstate.graph import Graph
from alcor.goalstate.scope import (
    REGION,
    Scope,
    host_scope,
    members_scope,
    neighbours_scope,
    network_scope,
    router_scope,
    rules_scope,
    shard_of,
)
from alcor.model.change import Change
from alcor.model.errors import Unavailable
from alcor.model.port import Binding, Extra, FixedIp, Port
from alcor.model.resource import Entity
from alcor.model.router import Router
from alcor.model.security_group import SecurityGroup
from alcor.model.security_group_rule import SecurityGroupRule
from alcor.store.interface import HostObservation, PortObservation, Store
from tests.support.goalbus import RecordingBus, RecordingObservations
from tests.support.goalstate import (
    a_graph,
    a_host,
    a_network,
    a_port,
    a_subnet,
    created,
    deleted,
    replaced,
    updated,
)

EPOCH = 7
NOW_MS = 5_000
LOADED = 10  # the revision of the graph at the start: every row last changed there
H1, H2, N = a_host("h1"), a_host("h2"), a_network("n")
P = a_port("p", "n", "h1", binding_generation=3)
REFERRED = (host_scope("h1"), network_scope("n"), neighbours_scope("n"))


@dataclass
class Site:
    """A realizer at work, and what surrounds it."""

    realizer: Realizer
    graph: Graph
    bus: RecordingBus
    observations: RecordingObservations
    lost: list[tuple[int, int, str]] = field(default_factory=list)
    _heard: int = 0

    def advance(self, *changes: Change) -> int:
        """One turn of the graph; returns its revision."""
        revision = self.graph.revision + 1
        self.realizer.advance(self.graph.advance(changes, revision))
        return revision

    async def report(self, host_id: str = "h1", **fields: Any) -> None:
        """Have a host heard, and all that follows written."""
        self._heard += 1
        marker = f"heard {self._heard}"
        self.bus.report(
            HostReport(
                **{
                    "host_id": host_id,
                    "epoch": EPOCH,
                    "alive": True,
                    "at_ms": 900,
                    **fields,
                    "detail": marker,
                }
            )
        )
        await self.observations.until(
            lambda: getattr(self.observations.host_facts.get(host_id), "detail", "") == marker
        )

    async def written(self) -> None:
        """Wait until what was judged is written: a mark on another host comes after it."""
        await self.report("h2")

    def status(self, port_id: str = "p") -> str:
        fact = self.observations.port_facts.get(port_id)
        return fact.status if fact is not None else "DOWN"


def through(revision: int, *scopes: Scope) -> dict[int, int]:
    """What a host that confirmed these scopes reports."""
    return {shard_of(scope): revision for scope in scopes}


def plugged(port_id: str = "p", at_ms: float = 850.5, ofport: int = 4) -> tuple[PortReport, ...]:
    return (PortReport(port_id, True, ofport, at_ms),)


def unplugged(port_id: str = "p") -> tuple[PortReport, ...]:
    return (PortReport(port_id, False, 0, 870.0),)


@asynccontextmanager
async def a_site(
    *rows: Entity,
    observations: RecordingObservations | None = None,
    bus: RecordingBus | None = None,
    listens: bool = True,
    **options: Any,
) -> AsyncIterator[Site]:
    """A site with two hosts, a network and the rows given."""
    bus, seen = bus or RecordingBus(), observations or RecordingObservations()
    lost: list[tuple[int, int, str]] = []

    async def history_lost(epoch: int, position: int, host_id: str) -> None:
        lost.append((epoch, position, host_id))

    realizer = Realizer(
        cast(Store, SimpleNamespace(observations=seen)),
        now_ms=lambda: NOW_MS,
        history_lost=history_lost,
        **options,
    )
    graph = a_graph(H1, H2, N, *rows, revision=LOADED)
    await realizer.begin(EPOCH, graph, anew=True)
    tasks = [asyncio.create_task(realizer.write())]
    tasks += [asyncio.create_task(realizer.listen(bus.reports()))] if listens else []
    try:
        yield Site(realizer, graph, bus, seen, lost)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


# --- ACTIVE, BUILD, DOWN -----------------------------------------------------------------------------------


async def test_a_port_is_active_when_plugged_up_and_confirmed_in_every_scope() -> None:
    """Plugged on its host, up, and confirmed in the host's, the network's and the neighbours' scope: ACTIVE."""
    async with a_site(P) as site:
        await site.report(realized=through(LOADED, *REFERRED), ports=plugged())

        assert site.observations.port_facts["p"] == PortObservation(
            "p",
            "h1",
            "ACTIVE",
            plugged=True,
            ofport=4,
            revision=LOADED,
            binding_generation=3,
            realized_at_ms=850.5,
        )


@pytest.mark.parametrize("missing", REFERRED, ids=str)
@pytest.mark.parametrize("behind", [True, False])
async def test_a_port_is_not_active_before_every_scope_is_confirmed(missing: Scope, behind: bool) -> None:
    """Confirmed in two scopes and not (or not far enough) in the third: BUILD. Status is never early."""
    realized = through(LOADED, *(scope for scope in REFERRED if scope != missing))
    assert len({shard_of(scope) for scope in REFERRED}) == 3
    if behind:
        realized |= through(LOADED - 1, missing)
    async with a_site(P) as site:
        await site.report(realized=realized, ports=plugged())

        assert site.status() == "BUILD"


async def test_a_port_waits_for_what_its_groups_and_routers_refer_to() -> None:
    """Confirmed in all but one of the scopes behind the port's group and its router: BUILD; in that one too: ACTIVE."""
    port = replaced(P, security_groups=("g",))
    rows = (
        port,
        SecurityGroup(id="g"),
        SecurityGroupRule(id="1", security_group_id="g", direction="ingress", remote_group_id="f"),
        Router(id="r"),
        a_subnet("s", port.network_id),
        a_port("ri", port.network_id, "", "10.0.0.1", device_owner="network:router_interface", device_id="r"),
        a_subnet("t", "m"),
        a_port(
            "rm",
            "m",
            fixed_ips=(FixedIp("t", "10.0.0.1"),),
            device_owner="network:router_interface",
            device_id="r",
        ),
    )
    behind = (
        rules_scope("g"),
        members_scope("f"),
        router_scope("r"),
        network_scope("m"),
        neighbours_scope("m"),
    )
    for last in behind:
        before = {scope for scope in (*REFERRED, *behind) if shard_of(scope) != shard_of(last)}
        async with a_site(*rows) as site:
            await site.report(realized=through(LOADED, *before), ports=plugged())
            assert site.status() == "BUILD"
            await site.report(realized=through(LOADED, last))
            assert site.status() == "ACTIVE"


async def test_a_port_that_is_confirmed_before_it_is_plugged_is_down() -> None:
    """A host that holds everything but has no VIF of the port: DOWN, so that nobody boots without a network."""
    async with a_site(P) as site:
        await site.report(realized=through(LOADED, *REFERRED))

        assert site.observations.port_facts == {}
        await site.report(ports=plugged(at_ms=990.0))
        assert site.observations.port_facts["p"].status == "ACTIVE"
        assert site.observations.port_facts["p"].realized_at_ms == 990.0


async def test_a_waiting_port_becomes_active_with_the_report_that_confirms_it() -> None:
    """BUILD ends with the confirmation, whose time is kept."""
    async with a_site(P) as site:
        await site.report(ports=plugged(), at_ms=900)
        assert site.status() == "BUILD"

        await site.report(realized=through(LOADED, *REFERRED), at_ms=960)

        assert (site.status(), site.observations.port_facts["p"].realized_at_ms) == ("ACTIVE", 960.0)


async def test_an_administratively_down_port_is_down() -> None:
    """A port that is down by administration is DOWN, plugged and confirmed as it may be."""
    async with a_site(replaced(P, admin_state_up=False)) as site:
        await site.report(realized=through(LOADED, *REFERRED), ports=plugged())

        assert site.status() == "DOWN"
        assert site.observations.port_facts["p"].plugged


async def test_a_port_plugged_elsewhere_is_down() -> None:
    """A VIF on a host the port is not bound to counts for nothing, until the port is bound there."""
    async with a_site(P) as site:
        everywhere = through(LOADED + 1, *REFERRED, host_scope("h2"))
        await site.report("h2", realized=everywhere, ports=plugged())
        assert site.status() == "DOWN"

        site.advance(updated(P, replaced(P, binding_host_id="host-h2", binding_generation=4)))
        await site.report("h2", realized=everywhere)

        assert (site.status(), site.observations.port_facts["p"].host_id) == ("ACTIVE", "h2")


async def test_unplugging_lowers_and_plugging_raises() -> None:
    """Every transition of the VIF is one of the status."""
    async with a_site(P) as site:
        await site.report(realized=through(LOADED, *REFERRED), ports=plugged())
        await site.report(ports=unplugged())
        assert (site.status(), site.observations.port_facts["p"].realized_at_ms) == ("DOWN", 0.0)

        await site.report(ports=plugged(at_ms=999.0, ofport=9))

        assert (site.status(), site.observations.port_facts["p"].ofport) == ("ACTIVE", 9)


@pytest.mark.parametrize("fields", [{"name": "web"}, {"security_groups": ()}, {"fixed_ips": ()}])
async def test_later_edits_do_not_lower_the_status(fields: dict[str, object]) -> None:
    """A name, a group or an address changed later: ACTIVE stays, and nothing is written."""
    async with a_site(P) as site:
        await site.report(realized=through(LOADED, *REFERRED), ports=plugged())
        before = site.observations.port_facts["p"]

        site.advance(updated(P, replaced(P, **fields)))
        await site.written()

        assert site.observations.port_facts["p"] is before


async def test_a_new_binding_must_be_confirmed_anew() -> None:
    """Down and up again by administration: BUILD until the host has confirmed that revision, then ACTIVE."""
    async with a_site(P) as site:
        await site.report(realized=through(LOADED, *REFERRED), ports=plugged())
        down = replaced(P, admin_state_up=False, binding_generation=4)
        up = replaced(P, binding_generation=5)
        site.advance(updated(P, down))
        await site.written()
        assert site.status() == "DOWN"

        revision = site.advance(updated(down, up))
        await site.written()
        assert site.status() == "BUILD"
        assert site.observations.port_facts["p"].binding_generation == 5

        await site.report(realized=through(revision - 1, *REFERRED))
        assert site.status() == "BUILD"
        await site.report(realized=through(revision, *REFERRED))
        assert (site.status(), site.observations.port_facts["p"].revision) == ("ACTIVE", revision)


async def test_a_confirmation_does_not_go_back() -> None:
    """A report that comes late, with lower numbers, takes nothing back, not even when the port is next looked at."""
    async with a_site(P) as site:
        await site.report(realized=through(LOADED, *REFERRED), ports=plugged())

        await site.report(realized=through(LOADED - 5, *REFERRED))
        site.advance(updated(P, replaced(P, name="web")))
        await site.written()

        assert site.status() == "ACTIVE"


@pytest.mark.parametrize("epoch", [EPOCH - 1, EPOCH + 1])
async def test_a_confirmation_of_another_epoch_counts_for_nothing(epoch: int) -> None:
    """Revisions of another history say nothing about this one."""
    async with a_site(P) as site:
        await site.report(epoch=epoch, realized=through(LOADED, *REFERRED), ports=plugged())

        assert site.status() == "BUILD"


async def test_a_new_epoch_voids_confirmations() -> None:
    """After a reload in a new epoch plugged ports are BUILD until they are confirmed in it."""
    async with a_site(P) as site:
        await site.report(realized=through(LOADED, *REFERRED), ports=plugged())

        await site.realizer.begin(EPOCH + 1, site.graph, anew=True)
        await site.written()
        assert site.status() == "BUILD"

        await site.report(epoch=EPOCH + 1, realized=through(LOADED, *REFERRED))
        assert site.status() == "ACTIVE"


async def test_a_reload_in_the_same_epoch_lowers_nothing() -> None:
    """After a reload in the same epoch nothing equal is written again."""
    async with a_site(P) as site:
        await site.report(realized=through(LOADED, *REFERRED), ports=plugged())
        before = site.observations.port_facts["p"]

        await site.realizer.begin(EPOCH, site.graph, anew=False)
        await site.written()

        assert site.observations.port_facts["p"] is before


# --- unbound, moved, deleted -------------------------------------------------------------------------------


async def test_an_unbound_port_is_down() -> None:
    """A port whose binding is taken away is DOWN and on no host."""
    async with a_site(P) as site:
        await site.report(realized=through(LOADED, *REFERRED), ports=plugged())

        unbound = replaced(P, binding_host_id="", binding_vif_type="unbound", binding_generation=4)
        site.advance(updated(P, unbound))
        await site.written()

        assert site.observations.port_facts["p"] == PortObservation("p", "", "DOWN", binding_generation=4)


async def test_a_deleted_port_is_forgotten() -> None:
    """What was seen of a deleted port is removed; a port of which nothing was seen costs no write."""
    async with a_site(P, a_port("idle", "n", "h1")) as site:
        await site.report(realized=through(LOADED, *REFERRED), ports=plugged())

        site.advance(deleted(P), deleted(a_port("idle", "n", "h1")))
        await site.observations.until(lambda: "p" not in site.observations.port_facts)

        assert site.observations.port_facts == {}


async def test_a_deleted_host_is_forgotten_and_its_ports_are_down() -> None:
    """A host's facts go with it; its ports are on no host."""
    async with a_site(P) as site:
        await site.report(realized=through(LOADED, *REFERRED), ports=plugged())

        site.advance(deleted(H1))
        await site.observations.until(lambda: "h1" not in site.observations.host_facts)

        assert (site.status(), site.observations.port_facts["p"].host_id) == ("DOWN", "")


async def test_a_report_of_an_unknown_host_is_not_written() -> None:
    """A host that is not in intent has no facts; the report is logged."""
    async with a_site(P) as site:
        with capture_logs() as logs:
            site.bus.report(HostReport(host_id="ghost", epoch=EPOCH, alive=True, at_ms=1))
            await site.report()

        assert "ghost" not in site.observations.host_facts
        assert [entry["event"] for entry in logs] == ["unknown_host_reported"]


# --- hosts that go and come --------------------------------------------------------------------------------


async def test_a_lost_host_costs_one_write() -> None:
    """A host that is lost is written as not alive; its ports' facts stay, for readers to join."""
    async with a_site(P) as site:
        await site.report(realized=through(LOADED, *REFERRED), ports=plugged())
        writes = sum(map(len, site.observations.batches))

        await site.report(alive=False)

        assert not site.observations.host_facts["h1"].alive
        assert site.status() == "ACTIVE"
        assert sum(map(len, site.observations.batches)) == writes


@pytest.mark.parametrize("returns", [{"lost": True}, {"session": 2}], ids=str)
async def test_a_host_that_attaches_again_must_confirm_again(returns: dict[str, Any]) -> None:
    """Back from a loss, or in a new session without one being noticed: what it does not say again is DOWN."""
    async with a_site(P) as site:
        await site.report(realized=through(LOADED, *REFERRED), ports=plugged(), session=1)
        if returns.pop("lost", False):
            await site.report(alive=False, session=1)
        session = returns.get("session", 1)

        await site.report(session=session)
        assert (site.status(), site.observations.port_facts["p"].plugged) == ("DOWN", False)

        await site.report(session=session, ports=plugged())
        assert site.status() == "BUILD"
        await site.report(session=session, realized=through(LOADED, *REFERRED))
        assert site.status() == "ACTIVE"


async def test_a_report_that_names_no_session_is_of_the_present_one() -> None:
    """Session 0 says nothing about attachments: nothing said before is void."""
    async with a_site(P) as site:
        await site.report(realized=through(LOADED, *REFERRED), ports=plugged(), session=5)

        await site.report(session=0)

        assert site.status() == "ACTIVE"


async def test_a_host_comes_back_in_the_same_write_as_its_ports() -> None:
    """No reader can see a returned host with its ports as they were: both are written together."""
    async with a_site(P) as site:
        await site.report(realized=through(LOADED, *REFERRED), ports=plugged())
        await site.report(alive=False)

        await site.report()

        assert [port.status for port in site.observations.batches[-1]] == ["DOWN"]


async def test_what_an_earlier_run_wrote_is_compared() -> None:
    """After a restart who is not heard soon is not alive; what is not said again is lowered, what is gone forgotten."""
    seen = RecordingObservations()
    old = PortObservation("p", "h1", "ACTIVE", True, 4, LOADED, 3, 850.5)
    seen.port_facts = {"p": old, "gone": PortObservation("gone", "h1", "ACTIVE", True, 5, 3, 0, 1.0)}
    seen.host_facts = {"h1": HostObservation("h1", True, 700, "1.0")}
    async with a_site(P, observations=seen, silence_s=0.0) as site:
        await seen.until(lambda: "gone" not in seen.port_facts and not seen.host_facts["h1"].alive)
        assert seen.host_facts["h1"] == HostObservation("h1", False, 700, "1.0")
        assert seen.port_facts["p"] is old

        await site.report()
        assert site.status() == "DOWN"


class SlowObservations(RecordingObservations):
    """Facts that take longer to be read than silence lasts."""

    async def ports_of_host(self, host_id: str) -> list[PortObservation]:
        """As ever, later."""
        read = asyncio.Event()
        asyncio.get_running_loop().call_later(0.01, read.set)
        await read.wait()
        return await super().ports_of_host(host_id)


async def test_silence_begins_when_somebody_listens() -> None:
    """A dataplane that reads for long what others wrote takes nobody for lost meanwhile: nobody was heard yet."""
    seen = SlowObservations()
    seen.host_facts = {"h1": HostObservation("h1", True, 700, "1.0")}
    async with a_site(P, observations=seen, silence_s=0.001, listens=False):
        for _ in range(5):
            await asyncio.sleep(0)  # the writer's turns

        assert seen.host_facts["h1"].alive


async def test_who_is_told_of_at_once_was_never_away() -> None:
    """When another dataplane begins to hear of hosts, those it is told of soon are alive throughout; nothing is written
    of them and their ports that was not so before."""
    seen = RecordingObservations()
    port = PortObservation("p", "h1", "ACTIVE", True, 4, LOADED, 3, 850.5)
    seen.port_facts = {"p": port}
    seen.host_facts = {
        "h1": HostObservation("h1", True, 700, "1.0"),
        "h2": HostObservation("h2", True, 1, "1.0"),
    }
    async with a_site(P, observations=seen, silence_s=0.1, host_write_s=0.0) as site:
        await site.report(
            realized=through(LOADED, *REFERRED), ports=plugged(), agent_version="1.0", detail=""
        )
        assert seen.host_facts["h1"].alive
        await seen.until(lambda: not seen.host_facts["h2"].alive)

        assert (seen.host_facts["h1"].alive, seen.port_facts["p"]) == (True, port)
        assert seen.port_facts["p"] is port


async def test_what_a_host_says_at_once_is_not_lowered_first() -> None:
    """A host that attaches and confirms in one report keeps its ports ACTIVE throughout."""
    async with a_site(P) as site:
        await site.report(realized=through(LOADED, *REFERRED), ports=plugged(), session=1)
        before = site.observations.port_facts["p"]

        await site.report(realized=through(LOADED, *REFERRED), ports=plugged(), session=2)

        assert site.observations.port_facts["p"] is before


async def test_a_hosts_fact_says_what_it_realized_of_all_it_needs() -> None:
    """`realized_revision` is the lowest confirmed revision of the scopes in the host's closure."""
    async with a_site(P) as site:
        await site.report(realized=through(LOADED, *REFERRED), agent_version="0.1", detail="ignored")
        assert site.observations.host_facts["h1"].realized_revision == 0

        await site.report(realized=through(LOADED - 2, REGION))

        fact = site.observations.host_facts["h1"]
        assert (fact.alive, fact.seen_at_ms, fact.agent_version) == (True, NOW_MS, "0.1")
        assert fact.realized_revision == LOADED - 2


async def test_a_hosts_fact_counts_what_it_must_hold_now() -> None:
    """A scope that a host came to need counts from then on, and one that it does not need any more does not."""
    q = a_port("q", "m", "h1")
    async with a_site(P, a_network("m")) as site:
        facts = site.observations.host_facts
        await site.report(realized=through(LOADED, REGION, *REFERRED))
        assert facts["h1"].realized_revision == LOADED

        site.advance(created(q))
        await site.report()
        assert facts["h1"].realized_revision == 0

        site.advance(deleted(q))
        await site.report()
        assert facts["h1"].realized_revision == LOADED


async def test_in_which_epoch_a_host_settled_is_remembered() -> None:
    """Nothing takes it back: a new attachment that has not said it yet, silence, another run that reads it."""
    observations = RecordingObservations()
    async with a_site(observations=observations) as site:
        await site.report(settled=EPOCH, session=1)
        assert observations.host_facts["h1"].settled == EPOCH
        await site.report(alive=False, session=1)
        await site.report(session=2)
        assert observations.host_facts["h1"].settled == EPOCH

    async with a_site(observations=observations) as site:
        await site.report(session=3)
        assert observations.host_facts["h1"].settled == EPOCH
        assert "h2" not in observations.host_facts


async def test_a_hosts_progress_is_written_late_but_written() -> None:
    """Reports that change nothing but a host's progress are gathered; the last one is written without another."""
    async with a_site(P, host_write_s=0.05) as site:
        await site.report(realized=through(LOADED - 2, REGION, *REFERRED))
        facts = site.observations.host_facts
        detail = facts["h1"].detail
        for revision in (LOADED - 1, LOADED):
            site.bus.report(
                HostReport(
                    host_id="h1",
                    epoch=EPOCH,
                    alive=True,
                    at_ms=901,
                    realized=through(revision, REGION, *REFERRED),
                    detail=detail,
                )
            )

        await site.observations.until(lambda: facts["h1"].realized_revision > LOADED - 2)

        assert facts["h1"].realized_revision == LOADED


# --- writing -----------------------------------------------------------------------------------------------


async def test_a_burst_is_written_as_a_first_and_a_rest() -> None:
    """The first transition is written at once, what comes within the next 20 ms in one batch."""
    ports = [a_port(f"p{i}", "n", "h1") for i in range(50)]
    async with a_site(*ports) as site:
        for i in range(50):
            site.bus.report(
                HostReport(
                    host_id="h1", epoch=EPOCH, alive=True, at_ms=1, ports=plugged(f"p{i}", ofport=i + 1)
                )
            )
        await site.observations.until(lambda: len(site.observations.port_facts) == 50)

        assert len(site.observations.batches) <= 2


async def test_a_failed_write_is_repeated_and_loses_nothing() -> None:
    """Observations that could not be written are written later, with what came meanwhile on top."""
    async with a_site(P) as site:
        with capture_logs() as logs:
            site.observations.fail = 2
            site.bus.report(HostReport(host_id="h1", epoch=EPOCH, alive=True, at_ms=1, ports=plugged()))
            await site.report(realized=through(LOADED, *REFERRED))

        assert site.status() == "ACTIVE"
        assert [entry["event"] for entry in logs] == ["observations_not_written"] * 2


async def test_a_database_that_is_away_is_a_reason_in_the_log_and_no_trace() -> None:
    """It is tried again and again; what nobody expects is logged with its trace."""
    async with a_site(P) as site:
        with capture_logs() as logs:
            site.observations.fail, site.observations.failure = 1, Unavailable("The database is away.")
            await site.report()
            site.observations.fail, site.observations.failure = 1, ValueError("a mistake of ours")
            await site.report()

        assert [entry.get("reason") for entry in logs] == ["The database is away.", None]
        assert ["exc_info" in entry for entry in logs] == [False, True]


async def test_a_forgotten_port_stays_forgotten_when_the_write_fails() -> None:
    """A failed write does not bring back a port that was deleted meanwhile."""
    async with a_site(P) as site:
        await site.report(realized=through(LOADED, *REFERRED), ports=plugged())
        with capture_logs():
            site.observations.fail = 1
            site.bus.report(HostReport(host_id="h1", epoch=EPOCH, alive=True, at_ms=2, ports=unplugged()))
            await asyncio.sleep(0)
            site.advance(deleted(P))
            await site.observations.until(lambda: "p" not in site.observations.port_facts)
            await site.written()

        assert site.observations.port_facts == {}


async def test_a_created_port_that_was_plugged_before_is_judged_at_once() -> None:
    """A VIF that was there before its port was bound counts when the port comes; the confirmation comes after."""
    async with a_site() as site:
        await site.report(realized=through(LOADED, *REFERRED), ports=plugged())
        assert site.observations.port_facts == {}

        revision = site.advance(created(P))
        await site.written()
        assert site.status() == "BUILD"
        await site.report(realized=through(revision, *REFERRED))

        assert site.status() == "ACTIVE"


# --- lost history ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("epoch", "position", "lost"),
    [(EPOCH, LOADED, False), (EPOCH, LOADED + 1, True), (EPOCH - 1, LOADED + 9, False), (EPOCH + 1, 3, True)],
)
async def test_a_host_that_knows_more_than_the_log_is_noticed(epoch: int, position: int, lost: bool) -> None:
    """A position above the head in this epoch, or a later epoch, means that the database lost history."""
    async with a_site(P) as site:
        await site.report(epoch=epoch, position_max=position)

        assert site.lost == ([(epoch, position, "h1")] if lost else [])


# --- second bindings ---------------------------------------------------------------------------------------


class Told:
    """Notes which second bindings are ready."""

    def __init__(self) -> None:
        self.ready: list[tuple[str, str]] = []

    def observed(self, ports: Iterable[PortObservation]) -> None:
        """Of no concern here."""

    def prepared(self, port_id: str, host_name: str) -> None:
        """Note it."""
        self.ready.append((port_id, host_name))


def standing_by(*bindings: Binding) -> Port:
    """The port with further bindings."""
    found: Port = replaced(P, extra=Extra(bindings=bindings))
    return found


async def test_a_prepared_host_that_has_the_port_plugged_is_told_once() -> None:
    """Plugged where it stands by: told, and the port's own status is as it was; said again: not told again."""
    told = Told()
    async with a_site(standing_by(Binding("host-h2", vif_type="ovs")), told=told) as site:
        await site.report(realized=through(LOADED, *REFERRED), ports=plugged())
        await site.report("h2", ports=plugged())
        await site.report("h2", ports=plugged(ofport=9))

        assert told.ready == [("p", "host-h2")]
        assert site.status() == "ACTIVE"
        assert site.observations.port_facts["p"].host_id == "h1"


async def test_only_a_prepared_host_is_told_of() -> None:
    """A host that the port has left, or that has nothing of it, is not ready; prepared later it is at once."""
    told = Told()
    left = standing_by(Binding("host-h2"))
    async with a_site(left, told=told) as site:
        await site.report("h2", ports=plugged())
        assert told.ready == []

        prepared = standing_by(Binding("host-h2", vif_type="ovs"))
        site.advance(updated(left, prepared))
        assert told.ready == [("p", "host-h2")]
        await site.report("h2", ports=unplugged())
        await site.report("h2", ports=plugged())
        assert told.ready == [("p", "host-h2")] * 2
