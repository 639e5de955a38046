"""The data-plane manager on a real store: what is committed is published, whatever happens on the way."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from alcor.bus.interface import Holdings, HostReport, PortReport
from alcor.dataplane.service import ATTEMPTS_MAX, Dataplane
from alcor.goalstate.intent import ENTITIES
from alcor.goalstate.item import ItemKind, Key, LocalPort
from alcor.goalstate.scope import (
    REGION,
    SHARDS,
    Scope,
    host_scope,
    neighbours_scope,
    network_scope,
    rules_scope,
    shard_of,
)
from alcor.model.change import Change, Cut, Position
from alcor.model.resource import Entity
from alcor.model.security_group import SecurityGroup
from alcor.store.interface import (
    HostObservation,
    Image,
    Keep,
    Observations,
    PortObservation,
    Store,
    whole,
)
from alcor.store.sqlite import SqliteStore
from tests.support.goalbus import PATIENCE_S, RecordingBus, RecordingObservations, ThroughStore
from tests.support.goalstate import A_REGION, a_host, a_network, a_port, a_subnet, expected, replaced
from tests.support.store import commit, sqlite_store

GENERATION = 3
H1, H2 = a_host("h1", "192.0.2.1"), a_host("h2", "192.0.2.2")
N, S = a_network("n"), a_subnet("s", "n")
P1, P2 = a_port("p1", "n", "h1", "10.0.0.11"), a_port("p2", "n", "h2", "10.0.0.12")


# The group that ports of `a_port` are in.
GROUP = SecurityGroup(id="g", name="default")


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    async with sqlite_store(tmp_path) as store:
        await commit(store, put=[GROUP])
        yield store


async def rows(store: Store) -> list[Entity]:
    image = await store.image(ENTITIES)
    return [row for found in image.rows.values() for row in found]


async def epoch_of(store: Store) -> int:
    return (await store.head()).epoch


@asynccontextmanager
async def running(store: Store, bus: RecordingBus, **options: Any) -> AsyncIterator[Dataplane]:
    """A dataplane at work, serving."""
    defaults = {"generation": GENERATION, "region": A_REGION, "now_ms": lambda: 1, "delay_min_s": 0.001}
    dataplane = Dataplane(store, bus, **{**defaults, **options})
    task = asyncio.create_task(dataplane.run())
    try:
        async with asyncio.timeout(PATIENCE_S):
            await asyncio.wait(
                {task, started := asyncio.create_task(dataplane.started.wait())},
                return_when="FIRST_COMPLETED",
            )
        started.cancel()
        if task.done():
            await task
        yield dataplane
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def assert_held(store: Store, bus: RecordingBus) -> None:
    """A subscriber of every scope holds what the specification gives for the rows stored now."""
    states = expected(await rows(store))
    bus.want_all(states)
    assert bus.states == states


# --- starting and following --------------------------------------------------------------------------------


async def test_what_is_stored_is_served(store: SqliteStore) -> None:
    """At the start every scope can be asked for, as a snapshot at the head, and heads tell all shards."""
    revision = await commit(store, put=[H1, H2, N, S, P1, P2])
    bus = RecordingBus()
    async with running(store, bus):
        assert bus.snapshot is not None
        snapshot = bus.snapshot(host_scope("h1"))
        await assert_held(store, bus)

    (updates, heads), *later = bus.turns
    assert (updates, later) == ([], [])
    assert (heads.generation, heads.epoch) == (GENERATION, await epoch_of(store))
    assert heads.through == dict.fromkeys(range(SHARDS), revision)
    assert (snapshot.from_revision, snapshot.through) == (0, revision)
    assert {put.item.id: put.since for put in snapshot.put} == {"h1": 0, "p1": revision}


async def test_an_unknown_scope_is_answered_empty_at_the_head(store: SqliteStore) -> None:
    """A scope that holds nothing is answered all the same, so that its subscriber knows."""
    revision = await commit(store, put=[N])
    bus = RecordingBus()
    async with running(store, bus):
        assert bus.snapshot is not None
        nothing = bus.snapshot(neighbours_scope("n"))

    assert (nothing.put, nothing.removed, nothing.through) == ((), (), revision)


async def test_what_is_committed_is_published(store: SqliteStore) -> None:
    """Each commit reaches a subscriber as steps of the scopes it changes, without a gap."""
    bus = RecordingBus()
    async with running(store, bus):
        await assert_held(store, bus)
        for put in ([H1, H2, N, S], [P1], [P2], [replaced(P1, binding_host_id="host-h2")]):
            await bus.reached(await commit(store, put=put))
            await assert_held(store, bus)
        await bus.reached(await commit(store, gone=[P1, P2, S]))
        await assert_held(store, bus)

    assert bus.gaps == []
    for updates, heads in bus.turns[1:]:
        through = set(heads.through.values())
        assert all({update.through} == through for update in updates)
        assert all((update.epoch, update.generation) == (heads.epoch, GENERATION) for update in updates)


async def test_a_port_changes_two_scopes(store: SqliteStore) -> None:
    """A new port is told to its host's scope and one neighbours scope, not to every host."""
    await commit(store, put=[H1, H2, N, S, P1, P2])
    bus = RecordingBus()
    async with running(store, bus):
        revision = await commit(store, put=[a_port("p3", "n", "h1", "10.0.0.13")])
        await bus.reached(revision)

    updates, _ = bus.turns[-1]
    assert {update.scope for update in updates} == {host_scope("h1"), neighbours_scope("n")}
    assert {(u.from_revision, u.through) for u in updates} == {(revision - 1, revision)}


async def test_what_changes_no_scope_moves_the_heads(store: SqliteStore) -> None:
    """A commit that packets do not need is told as heads only: who waits for its revision need not wait."""
    await commit(store, put=[H1, N])
    bus = RecordingBus()
    async with running(store, bus):
        revision = await commit(store, put=[replaced(N, name="blue")])
        await bus.reached(revision)

    assert [(updates, set(heads.through.values())) for updates, heads in bus.turns[1:]] == [([], {revision})]


class Odd(ThroughStore):
    """A store whose log holds what cannot be followed, through `through`."""

    through = 0

    async def follow(self, after: int, limit: int = 256) -> list[Cut]:
        cuts = await super().follow(after, limit)
        odd = Change("port", "p1", N, N)
        return [Cut(cut.revision, (odd,)) if cut.revision <= self.through else cut for cut in cuts]


async def test_a_load_needs_no_log(store: SqliteStore) -> None:
    """What the log's end says cannot be followed: then everything counts as changed at the load, and all is served."""
    await commit(store, put=[H1, H2, N, S])
    odd, bus = Odd(store), RecordingBus()
    odd.through = await commit(store, put=[P1, P2])
    with capture_logs() as logs:
        async with running(odd, bus):
            await assert_held(store, bus)
            assert bus.snapshot is not None
            assert bus.snapshot(host_scope("h1")).changed == odd.through
            await bus.reached(await commit(store, gone=[P2]))
            await assert_held(store, bus)

    assert [log["event"] for log in logs if log["log_level"] == "error"] == ["tail_not_followed"]


async def test_a_dataplane_that_begins_knows_what_changed(store: SqliteStore) -> None:
    """From the log: each scope's last changes, not that it was loaded now."""
    early = await commit(store, put=[H1, H2, N, S])
    put = await commit(store, put=[P1, P2])
    gone = await commit(store, gone=[P2])
    bus = RecordingBus()
    async with running(store, bus):
        assert bus.snapshot is not None
        said = {
            scope: bus.snapshot(scope) for scope in (network_scope("n"), host_scope("h1"), host_scope("h2"))
        }

    assert {scope: (one.changed, one.through) for scope, one in said.items()} == {
        network_scope("n"): (gone, gone),
        host_scope("h1"): (put, gone),
        host_scope("h2"): (gone, gone),
    }
    assert [(one.key.id, one.revision) for one in said[host_scope("h2")].late] == [
        ("h2", early),
        ("p2", gone),
    ]


class Bursting(ThroughStore):
    """A store whose cuts come only when several wait: none below `burst`."""

    burst = 0

    async def wait_beyond(self, after: int) -> None:
        while (head := (await self.head()).revision) < max(after + 1, self.burst):
            await super().wait_beyond(head)


async def test_a_burst_is_one_step_per_scope(store: SqliteStore) -> None:
    """Cuts that wait together are one publication per scope, from the last revision told through the head."""
    start = await commit(store, put=[H1, N, S])
    bursting, bus = Bursting(store), RecordingBus()
    bursting.burst = start + 20
    async with running(bursting, bus):
        for i in range(20):
            port = a_port(f"q{i}", "n", "h1", f"10.0.0.{20 + i}", mac_address=f"fa:16:3e:00:01:{i:02x}")
            await commit(store, put=[port])
        await bus.reached(start + 20)
        await assert_held(store, bus)

    assert len(bus.turns) == 2
    updates, _ = bus.turns[1]
    assert {(u.scope, u.from_revision, u.through) for u in updates} == {
        (host_scope("h1"), start, start + 20),
        (network_scope("n"), start, start + 20),
        (neighbours_scope("n"), start, start + 20),
    }


async def test_a_second_run_publishes_nothing_that_is_held(store: SqliteStore) -> None:
    """A new dataplane begins with heads; what is held is not sent again."""
    await commit(store, put=[H1, N, S, P1])
    bus = RecordingBus()
    async with running(store, bus):
        await assert_held(store, bus)
    async with running(store, bus, generation=GENERATION + 1):
        await bus.reached(await commit(store, put=[a_port("p3", "n", "h1", "10.0.0.13")]))
        await assert_held(store, bus)

    assert [len(updates) for updates, _ in bus.turns] == [0, 0, 2]
    assert bus.gaps == []


# --- failures ----------------------------------------------------------------------------------------------


class Faulty(ThroughStore):
    """A store that fails to be followed, or read whole, as often as told."""

    follow_failures = 0
    image_failures = 0

    async def follow(self, after: int, limit: int = 256) -> list[Cut]:
        if self.follow_failures:
            self.follow_failures -= 1
            raise OSError("disk")
        return await super().follow(after, limit)

    async def image(self, entities: Sequence[type[Entity]], keep: Keep = whole) -> Image:
        if self.image_failures:
            self.image_failures -= 1
            raise OSError("disk")
        return await super().image(entities, keep)


@pytest.fixture
def faulty(store: SqliteStore) -> Faulty:
    return Faulty(store)


async def test_a_store_that_could_not_be_read_is_read_again(faulty: Faulty) -> None:
    """A turn that could not begin is logged and begun again, without an image; the next step is from the last one."""
    start = await commit(faulty, put=[H1, H2, N, S, P1])
    bus = RecordingBus()
    async with running(faulty, bus):
        await assert_held(faulty, bus)
        faulty.follow_failures, faulty.image_failures = 3, 1
        with capture_logs() as logs:
            await bus.reached(await commit(faulty, put=[P2]))
        assert faulty.image_failures == 1
        faulty.image_failures = 0
        await assert_held(faulty, bus)

    assert [entry["event"] for entry in logs if entry["log_level"] == "error"] == ["turn_failed"] * 3
    updates, _ = bus.turns[-1]
    assert {(u.scope, u.from_revision, u.through) for u in updates} == {
        (host_scope("h2"), start, start + 1),
        (network_scope("n"), start, start + 1),
        (neighbours_scope("n"), start, start + 1),
    }
    assert bus.gaps == []


async def test_a_start_that_fails_is_repeated(faulty: Faulty) -> None:
    """The store may come up after the dataplane."""
    await commit(faulty, put=[H1])
    faulty.image_failures = ATTEMPTS_MAX - 1
    bus = RecordingBus()
    with capture_logs() as logs:
        async with running(faulty, bus):
            await assert_held(faulty, bus)

    failures = [entry for entry in logs if entry["event"] == "turn_failed"]
    assert [entry["attempt"] for entry in failures] == list(range(1, ATTEMPTS_MAX))


async def test_repeated_failure_ends_the_role(faulty: Faulty) -> None:
    """After ATTEMPTS_MAX failures in a row the role ends with the reason: never silent, never for ever."""
    faulty.image_failures = ATTEMPTS_MAX
    with capture_logs(), pytest.raises(ExceptionGroup) as raised:
        async with running(faulty, RecordingBus()):
            pass

    assert raised.group_contains(OSError, match="disk")


async def test_a_publication_that_failed_is_not_taken_for_told(store: SqliteStore) -> None:
    """If the bus refuses a turn, nobody knows what arrived: every scope is said whole."""
    await commit(store, put=[H1, H2, N, S, P1])
    bus = RecordingBus()
    async with running(store, bus):
        await assert_held(store, bus)
        bus.refuse_publications = 1
        with capture_logs() as logs:
            await bus.reached(await commit(store, put=[P2], gone=[P1]))
        await assert_held(store, bus)

    assert [entry["event"] for entry in logs if entry["log_level"] == "error"] == ["turn_failed"]
    assert {update.from_revision for update in bus.turns[-1][0]} == {0}


async def test_a_log_that_was_cut_is_followed_from_an_image(tmp_path: Path) -> None:
    """Where the log no longer reaches back, an image is taken: no error, no gap, nothing told twice."""
    async with sqlite_store(tmp_path, log_changes_max=1) as store:
        start = await commit(store, put=[GROUP, H1, N, S, P1])
        bursting, bus = Bursting(store), RecordingBus()
        bursting.burst = start + 40
        async with running(bursting, bus):
            await assert_held(store, bus)
            with capture_logs() as logs:
                for i in range(40):
                    await commit(store, put=[replaced(P1, name=f"web-{i}")])
                await bus.reached(start + 40)
            await assert_held(store, bus)

    assert [entry["event"] for entry in logs] == ["log_outrun", "goal_state_loaded"]
    (update,) = bus.turns[-1][0]
    assert (update.scope, update.from_revision) == (host_scope("h1"), start)
    # The reference is as old as before: an edit of the name did not introduce it.
    assert [put.since for put in update.put if isinstance(put.item, LocalPort)] == [start]


# --- epochs ------------------------------------------------------------------------------------------------


async def test_a_new_epoch_is_said_from_nothing(store: SqliteStore) -> None:
    """In a new epoch every scope is said whole, also those that hold nothing now."""
    await commit(store, put=[H1, N, S, P1])
    bus = RecordingBus()
    async with running(store, bus):
        await assert_held(store, bus)
        position = await store.new_epoch()
        await bus.reached(position.revision, epoch=position.epoch)
        await assert_held(store, bus)

    updates, heads = bus.turns[-1]
    assert heads.epoch == position.epoch
    assert {update.scope for update in updates} == {
        REGION,
        host_scope("h1"),
        network_scope("n"),
        neighbours_scope("n"),
        rules_scope("g"),
    }
    assert {(update.from_revision, update.epoch) for update in updates} == {(0, position.epoch)}


async def test_a_host_ahead_of_the_log_begins_a_new_epoch_once(store: SqliteStore) -> None:
    """A host that shows a revision the log never reached makes a new epoch begin, once, and loudly."""
    revision = await commit(store, put=[H1, N, S, P1])
    first = await epoch_of(store)
    bus = RecordingBus()
    async with running(store, bus):
        with capture_logs() as logs:
            for _ in range(3):
                bus.report(
                    HostReport(host_id="h1", epoch=first, alive=True, at_ms=1, position_max=revision + 100)
                )
            await bus.reached(revision, epoch=first + 1)
            await bus.reached(await commit(store, put=[replaced(H1, description="x")]))
            await assert_held(store, bus)

    (lost,) = [entry for entry in logs if entry["event"] == "history_lost"]
    assert (lost["log_level"], lost["host_id"], lost["position"]) == ("critical", "h1", revision + 100)
    assert {heads.epoch for _, heads in bus.turns} == {first, await epoch_of(store)}


async def test_a_host_at_the_head_is_no_reason_for_a_new_epoch(store: SqliteStore) -> None:
    """A host at the head, though the dataplane has not taken the last cut in, lost nothing."""
    revision = await commit(store, put=[H1])
    first = await epoch_of(store)
    bus = RecordingBus()
    async with running(store, bus):
        later = await commit(store, put=[replaced(H1, description="x")])
        bus.report(HostReport(host_id="h1", epoch=first, alive=True, at_ms=1, position_max=later))
        await bus.reached(later)
        await bus.reached(await commit(store, put=[H2]))

    assert revision < later
    assert await epoch_of(store) == first


class Swapped(ThroughStore):
    """A store in whose place an older database is put when `older` is set."""

    older = False

    async def head(self) -> Position:
        head = await super().head()
        return Position(head.epoch - self.older, head.revision)

    async def image(self, entities: Sequence[type[Entity]], keep: Keep = whole) -> Image:
        image = await super().image(entities, keep)
        return Image(await self.head(), image.rows, image.revisions)


async def test_an_older_epoch_is_never_published(store: SqliteStore) -> None:
    """If the store goes back to an earlier epoch the role ends, and says what happened (I9)."""
    await commit(store, put=[H1])
    swapped, bus = Swapped(store), RecordingBus()
    dataplane = Dataplane(swapped, bus, generation=1, region=A_REGION, now_ms=lambda: 1, delay_min_s=0.001)
    run = asyncio.create_task(dataplane.run())
    await dataplane.started.wait()
    swapped.older = True
    await commit(store, put=[H2])

    with capture_logs(), pytest.raises(ExceptionGroup) as raised:
        await asyncio.wait_for(run, PATIENCE_S)
    assert raised.group_contains(RuntimeError, match="another database was put in its place")
    assert {heads.epoch for _, heads in bus.turns} == {await epoch_of(store)}


# --- status, end to end ------------------------------------------------------------------------------------


class Noted(RecordingObservations):
    """Observations that are written to the real store too."""

    def __init__(self, real: Observations) -> None:
        super().__init__()
        self._real = real

    async def put(
        self, ports: Iterable[PortObservation], hosts: Iterable[HostObservation], *, term: int
    ) -> None:
        ports, hosts = list(ports), list(hosts)
        await self._real.put(ports, hosts, term=term)
        await super().put(ports, hosts, term=term)


async def test_a_confirmed_port_is_active_in_the_store(store: SqliteStore) -> None:
    """From the commit to the observation: published, confirmed by the host, written ACTIVE."""
    revision = await commit(store, put=[H1, N, S, P1])
    through, bus = ThroughStore(store), RecordingBus()
    through.observations = noted = Noted(store.observations)
    scopes: list[Scope] = [host_scope("h1"), network_scope("n"), neighbours_scope("n")]
    async with running(through, bus):
        bus.report(
            HostReport(
                host_id="h1",
                epoch=await epoch_of(store),
                alive=True,
                at_ms=5,
                realized={shard_of(scope): revision for scope in scopes},
                ports=(PortReport("p1", True, 4, 4.5),),
            )
        )
        await noted.until(lambda: "p1" in noted.port_facts)
        fact = (await store.observations.ports(["p1"]))["p1"]
        host = (await store.observations.hosts(["h1"]))["h1"]

    assert (fact.status, fact.host_id, fact.revision, fact.realized_at_ms) == ("ACTIVE", "h1", revision, 4.5)
    assert host.alive


class Late(RecordingObservations):
    """Observations that can be read when the test says so. `asked`: that somebody reads."""

    def __init__(self) -> None:
        super().__init__()
        self.asked, self.may_be_read = asyncio.Event(), asyncio.Event()

    async def hosts(self, ids: Sequence[str]) -> dict[str, HostObservation]:
        self.asked.set()
        await self.may_be_read.wait()
        return await super().hosts(ids)


class Heard(RecordingBus):
    """A bus that knows in which term it was asked for reports."""

    def __init__(self) -> None:
        super().__init__()
        self.realizes = 0
        self.terms: list[int] = []

    def hold(self, holdings: Holdings) -> None:
        self.realizes = holdings.realizes

    def reports(self) -> AsyncIterator[Sequence[HostReport]]:
        self.terms.append(self.realizes)
        return super().reports()


async def test_who_reads_for_longer_than_its_term_hears_nothing(store: SqliteStore) -> None:
    """What hosts say in a dataplane's next term is heard by that one, not by one that was still at its reading."""
    await commit(store, put=[H1])
    through, bus, late = ThroughStore(store), Heard(), Late()
    through.observations = late
    async with running(through, bus, generation=None) as dataplane:
        dataplane.hold(Holdings(member_id="d", shards={}, realizes=4))
        async with asyncio.timeout(PATIENCE_S):
            await late.asked.wait()
            dataplane.hold(Holdings(member_id="d", shards={}))
            dataplane.hold(Holdings(member_id="d", shards={}, realizes=7))
            late.may_be_read.set()
            bus.report(HostReport(host_id="h1", epoch=await epoch_of(store), alive=True, at_ms=5))
            await late.until(lambda: "h1" in late.host_facts)

    assert bus.terms == [7]
    assert late.term == 7


async def test_local_ports_are_held_by_key(store: SqliteStore) -> None:
    """What a subscriber holds of a port is the item itself."""
    await commit(store, put=[H1, N, S, P1])
    bus = RecordingBus()
    async with running(store, bus):
        bus.want(host_scope("h1"))

    local = bus.states[host_scope("h1")][Key(ItemKind.LOCAL_PORT, "p1")]
    assert isinstance(local, LocalPort)
    assert [address.ip for address in local.addresses] == ["10.0.0.11"]
