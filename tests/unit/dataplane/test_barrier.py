"""Who must have a revision, who has it, and when a wait for the others ends."""

import asyncio
from dataclasses import dataclass, field

import pytest

from alcor.bus.interface import HostReport
from alcor.dataplane import barrier
from alcor.dataplane.barrier import Barriers, Turned
from alcor.goalstate.graph import Graph
from alcor.goalstate.scope import SHARDS, Scope, host_scope, neighbours_scope, network_scope, shard_of
from alcor.model.change import Change
from alcor.model.errors import Unavailable
from alcor.model.realized import MissingHost, Realized
from alcor.model.resource import Entity
from tests.support.goalstate import a_graph, a_host, a_network, a_port, a_subnet, created, deleted, updated

LOADED = 10
H1, H2, H3 = a_host("h1", "192.0.2.1"), a_host("h2", "192.0.2.2"), a_host("h3", "192.0.2.3")
N, M, S = a_network("n"), a_network("m"), a_subnet("s", "n")
P1, P2 = a_port("p1", "n", "h1", "10.0.0.11"), a_port("p2", "n", "h2", "10.0.0.12")
P3 = a_port("p3", "m", "h3")
P4 = a_port("p4", "n", "h1", "10.0.0.14")
EVERYTHING = range(SHARDS)
FOREVER_S = 60.0
TURNED_AGO_S = 0.02
"""A turn ended so long before what a test does next."""


@dataclass
class Host:
    """What is known of a host."""

    alive: bool = True
    was_heard: bool = True
    realized: dict[int, int] = field(default_factory=dict)


class Site:
    """A graph with three hosts on two networks, of which nothing is confirmed."""

    def __init__(self, *rows: Entity) -> None:
        self.graph: Graph = a_graph(H1, H2, H3, N, M, S, P1, P2, P3, *rows, revision=LOADED)
        self.hosts: dict[str, Host] = {id: Host() for id in ("h1", "h2", "h3")}
        self.hastened: list[tuple[list[Scope], int]] = []
        self.barriers = Barriers(
            self.hosts.get, lambda scopes, through: self.hastened.append((list(scopes), through))
        )
        self.barriers.begin(self.graph)

    def advance(self, *changes: Change) -> int:
        """One turn; returns its revision."""
        revision = self.graph.revision + 1
        outcome = self.graph.advance(changes, revision)
        times = Turned(1.0, 2.0, 3.0, asyncio.get_running_loop().time() - TURNED_AGO_S)
        self.barriers.advance(outcome, [change.id for change in changes], times)
        return revision

    def confirm(
        self,
        id: str,
        revision: int,
        shards: object = EVERYTHING,
        *,
        receive_ms: float = 4.0,
        install_ms: float = 5.0,
    ) -> None:
        """A host confirms a revision in some shards."""
        assert isinstance(shards, range | set)
        realized = dict.fromkeys(shards, revision)
        self.hosts[id].realized |= realized
        self._hear(id, realized, receive_ms, install_ms)

    def lose(self, id: str) -> None:
        """A host is lost."""
        self.hosts[id].alive = False
        self._hear(id, {})

    def _hear(
        self, id: str, realized: dict[int, int], receive_ms: float = 0.0, install_ms: float = 0.0
    ) -> None:
        report = HostReport(
            host_id=id,
            epoch=1,
            alive=self.hosts[id].alive,
            at_ms=0,
            realized=realized,
            receive_ms=receive_ms,
            install_ms=install_ms,
        )
        self.barriers.heard(report)

    async def waiting(self, revision: int, within_s: float = FOREVER_S) -> "asyncio.Task[Realized]":
        """A wait that has begun."""
        task = asyncio.create_task(self.barriers.wait(revision, within_s))
        await asyncio.sleep(0)
        return task


async def is_open(wait: "asyncio.Task[Realized]") -> bool:
    """Whether a wait still lasts after all that could end it ran."""
    for _ in range(5):
        await asyncio.sleep(0)
    return not wait.done()


async def test_a_wait_ends_with_the_last_confirmation_of_the_hosts_that_hold_the_change() -> None:
    """A port on h1 concerns h1 and its network's other host, not the host of another network."""
    site = Site()
    revision = site.advance(created(P4))

    wait = await site.waiting(revision)
    site.confirm("h1", revision)
    assert await is_open(wait)
    site.confirm("h2", revision)

    told = await wait
    assert (told.revision, told.hosts_intended, told.hosts_actual, told.missing) == (revision, 2, 2, ())
    assert told.is_complete
    assert list(told.stages_ms) == ["follow", "compile", "publish", "receive", "install", "ack"]
    assert (told.stages_ms["compile"], told.stages_ms["receive"], told.stages_ms["install"]) == (
        2.0,
        4.0,
        5.0,
    )


async def test_a_wait_may_begin_before_the_revision_is_computed() -> None:
    """Who waits first is told of the turn as soon as it is there."""
    site = Site()

    wait = await site.waiting(LOADED + 1)
    revision = site.advance(created(P4))
    assert await is_open(wait)
    for id in ("h1", "h2"):
        site.confirm(id, revision)

    assert (await wait).is_complete


async def test_hosts_that_hold_a_network_in_part_are_hastened() -> None:
    """Who may not be concerned by a change is to hear of it at once; only while somebody waits, once for a wait."""
    site = Site()
    for id in site.hosts:
        site.confirm(id, LOADED)
    revision = site.advance(created(P4))
    assert site.hastened == []

    waiting = asyncio.create_task(site.barriers.wait(revision, FOREVER_S))
    await asyncio.sleep(0)
    assert site.hastened == [([neighbours_scope("n")], revision)]
    for id in site.hosts:
        site.confirm(id, revision)
    assert (await waiting).hosts_actual == 2
    await site.barriers.wait(revision, FOREVER_S)

    assert len(site.hastened) == 1


async def test_a_change_that_no_host_needs_is_everywhere_at_once() -> None:
    """Nothing is intended, so nothing is missing."""
    site = Site()
    revision = site.advance(created(a_network("unused")))

    told = await site.barriers.wait(revision, FOREVER_S)

    assert (told.hosts_intended, told.hosts_actual, told.is_complete) == (0, 0, True)


async def test_a_host_that_is_down_is_named_and_not_waited_for() -> None:
    """It is counted among those that must have the change."""
    site = Site()
    site.lose("h2")
    revision = site.advance(created(P4))
    site.confirm("h1", revision)

    told = await site.barriers.wait(revision, FOREVER_S)

    assert (told.hosts_intended, told.hosts_actual) == (2, 1)
    assert told.missing == (MissingHost("host-h2", "down"),)


async def test_a_host_that_goes_down_meanwhile_ends_the_wait() -> None:
    """Nobody waits for the dead, however long the time."""
    site = Site()
    revision = site.advance(created(P4))
    site.confirm("h1", revision)

    wait = await site.waiting(revision)
    assert await is_open(wait)
    site.lose("h2")

    assert (await wait).missing == (MissingHost("host-h2", "down"),)


async def test_a_host_never_heard_is_not_attached() -> None:
    """It is told apart from one that was lost."""
    site = Site()
    del site.hosts["h1"]
    site.hosts["h2"] = Host(alive=False, was_heard=False)
    revision = site.advance(created(P4))

    told = await site.barriers.wait(revision, FOREVER_S)

    assert told.missing == (MissingHost("host-h1", "not attached"), MissingHost("host-h2", "not attached"))


async def test_the_time_ends_a_wait_and_names_who_is_behind() -> None:
    """By how many revisions, too."""
    site = Site()
    site.confirm("h2", LOADED)
    revision = site.advance(created(P4))
    site.confirm("h1", revision)

    told = await site.barriers.wait(revision, 0.0)

    assert told.missing == (MissingHost("host-h2", "behind by 1"),)
    assert not told.is_complete


async def test_a_revision_not_computed_in_time_is_unknown() -> None:
    """The counts would be of nothing, so a sentence says that they are."""
    told = await Site().barriers.wait(LOADED + 7, 0.0)

    assert told.reason == "the dataplane has not come to revision 17 yet; it is at 10"
    assert not told.is_complete


async def test_a_confirmation_without_the_scopes_it_newly_needs_does_not_count() -> None:
    """The first port of a network on h1 needs that network there: the host's own scope alone is not enough (I14)."""
    site = Site()
    revision = site.advance(created(a_port("p5", "m", "h1")))
    wait = await site.waiting(revision)
    site.confirm("h3", revision)
    lacking = {shard_of(network_scope("m")), shard_of(neighbours_scope("m"))}

    site.confirm("h1", revision, set(EVERYTHING) - lacking)
    assert await is_open(wait)
    site.confirm("h1", revision)

    assert (await wait).is_complete


async def test_a_deleted_port_is_waited_for_where_it_was() -> None:
    """What is gone must be gone from the switches that had it."""
    site = Site()
    revision = site.advance(deleted(P1))

    wait = await site.waiting(revision)
    site.confirm("h2", revision)
    assert await is_open(wait)
    site.confirm("h1", revision)

    assert (await wait).hosts_actual == 2


async def test_a_deleted_host_is_not_waited_for() -> None:
    """It left the region while others waited for it."""
    site = Site()
    revision = site.advance(created(P4))
    site.confirm("h1", revision)
    wait = await site.waiting(revision)
    assert await is_open(wait)

    site.advance(deleted(H2))

    assert (await wait).hosts_intended == 1


async def test_of_a_revision_before_the_load_everybody_must_have_everything() -> None:
    """Which hosts it concerned is not known any more."""
    site = Site()
    wait = await site.waiting(LOADED)
    for id in ("h1", "h2"):
        site.confirm(id, LOADED)
    assert await is_open(wait)
    site.confirm("h3", LOADED)

    told = await wait
    assert (told.hosts_intended, told.stages_ms) == (3, {})


async def test_several_revisions_of_one_request_are_waited_for_together() -> None:
    """A request of several transactions concerns the hosts of each, and of nothing in between."""
    site = Site()
    first = site.advance(created(P4))
    between = site.advance(created(a_port("p6", "m", "h3")))
    last = site.advance(created(a_network("unused")))

    wait = asyncio.create_task(site.barriers.wait(last, FOREVER_S, revisions=[first, last]))
    site.confirm("h1", between)
    assert await is_open(wait)
    site.confirm("h2", between)

    told = await wait
    assert (told.revision, told.hosts_intended, told.hosts_actual) == (last, 2, 2)


async def test_what_was_so_already_is_waited_for_as_it_is() -> None:
    """A request that changed nothing is told of the hosts of its row, not of those of the head."""
    site = Site()
    revision = site.advance(created(P4))
    head = site.advance(created(a_network("unused")))

    wait = asyncio.create_task(site.barriers.wait(head, FOREVER_S, revisions=[], rows=[("port", "p4")]))
    site.confirm("h1", revision)
    assert await is_open(wait)
    assert site.hastened == [([neighbours_scope("n")], revision)]
    site.confirm("h2", revision)

    told = await wait
    assert (told.revision, told.hosts_intended, told.hosts_actual, told.stages_ms) == (head, 2, 2, {})


@pytest.mark.parametrize("is_early", [True, False], ids=["before", "after"])
async def test_a_host_that_lets_go_of_what_is_waited_for(is_early: bool) -> None:
    """It is told nothing of it any more, so it cannot confirm it: that it let go is waited for instead. `is_early`:
    the wait began before that."""
    site = Site()
    new = a_port("p7", "m", "h2")
    revision = site.advance(created(new))
    lost = {shard_of(network_scope("m")), shard_of(neighbours_scope("m"))}
    kept = set(EVERYTHING) - lost | {shard_of(host_scope("h2"))}

    wait = await site.waiting(revision) if is_early else None
    parted = site.advance(deleted(new))
    wait = wait or await site.waiting(revision)
    site.confirm("h3", parted)
    site.confirm("h2", revision, kept)
    assert await is_open(wait)
    site.confirm("h2", parted, kept)

    assert (await wait).is_complete


async def test_times_are_those_of_the_confirmation_that_was_last() -> None:
    """A host may confirm a change in parts: the times are of the part that was lacking."""
    site = Site()
    revision = site.advance(created(P4))
    wait = await site.waiting(revision)
    site.confirm("h2", revision, receive_ms=1.0, install_ms=2.0)
    site.confirm("h1", revision, {shard_of(host_scope("h1"))}, receive_ms=1.0, install_ms=2.0)
    assert await is_open(wait)
    site.confirm("h1", revision, receive_ms=6.0, install_ms=7.0)

    stages_ms = (await wait).stages_ms

    assert (stages_ms["receive"], stages_ms["install"]) == (6.0, 7.0)


async def test_no_time_is_longer_than_it_was_waited_for() -> None:
    """A host that was busy before the change was published has not been busy with that for so long."""
    site = Site()
    revision = site.advance(created(P4))
    wait = await site.waiting(revision)
    for id in ("h1", "h2"):
        site.confirm(id, revision, receive_ms=0.5, install_ms=5_000.0)

    stages_ms = (await wait).stages_ms

    assert stages_ms["install"] < 5_000
    assert (stages_ms["receive"], stages_ms["ack"]) == (0, 0)


async def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A turn that was forgotten counts as one before the load."""
    monkeypatch.setattr(barrier, "TURNS_MAX", 2)
    site = Site()
    first = site.advance(created(P4))
    for name in ("a", "b"):
        site.advance(created(a_network(name)))

    told = await site.barriers.wait(first, 0.0)

    assert told.hosts_intended == 3


async def test_waits_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """One more is refused with a sentence."""
    monkeypatch.setattr(barrier, "WAITS_MAX", 1)
    site = Site()
    wait = await site.waiting(LOADED + 1)

    with pytest.raises(Unavailable, match="1 requests wait for hosts already"):
        await site.barriers.wait(LOADED + 1, FOREVER_S)

    wait.cancel()


async def test_a_row_shows_which_hosts_have_it() -> None:
    """A port's row: its own host and the others of its network, by the revision in which it last changed."""
    site = Site()
    revision = site.advance(created(P4))
    site.advance(created(a_network("later")))
    site.confirm("h1", revision)

    told = site.barriers.standing("port", "p4")

    assert (told.revision, told.hosts_intended, told.hosts_actual) == (revision, 2, 1)
    assert told.missing == (MissingHost("host-h2", f"behind by {revision}"),)


async def test_a_network_new_on_a_host_is_not_there_before_its_port() -> None:
    """The network's row is old and the host's shards are confirmed beyond it, but the host holds it only now."""
    site = Site()
    for id in ("h1", "h2", "h3"):
        site.confirm(id, LOADED)
    assert site.barriers.standing("network", "m").hosts_intended == 1
    revision = site.advance(created(a_port("p5", "m", "h1")))

    told = site.barriers.standing("network", "m")
    assert (told.hosts_intended, told.missing) == (2, (MissingHost("host-h1", "behind by 1"),))
    site.confirm("h1", revision)
    assert site.barriers.standing("network", "m").is_complete


async def test_rows_that_no_host_needs_have_no_hosts() -> None:
    """An unbound port; a row that is not there."""
    site = Site(a_port("u", "n"))

    assert site.barriers.standing("network", "gone").hosts_intended == 0
    assert site.barriers.standing("port", "u").hosts_intended == 0
    assert site.barriers.standing("quota", "x").hosts_intended == 0


async def test_nothing_is_kept_of_a_wait_that_ended() -> None:
    """Whatever ended it."""
    site = Site()
    revision = site.advance(updated(P1, P1))
    await site.barriers.wait(revision + 1, 0.0)
    again = site.advance(created(P4))
    await site.barriers.wait(again, 0.0)

    assert (site.barriers._waits, site.barriers._by_host) == ({}, {})


async def test_the_host_scope_alone_is_known_by_its_shard() -> None:
    """A port that goes leaves nothing to refer to: the shard of its host's scope is what its host must confirm."""
    site = Site()
    revision = site.advance(deleted(P3))
    wait = await site.waiting(revision)
    site.confirm("h3", revision, {shard_of(host_scope("h3"))})

    assert (await wait).hosts_actual == 1
