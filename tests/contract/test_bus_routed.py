"""An ncm and several dataplanes: shards move, dataplanes lag and are cut off, and nothing is lost or said in vain."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alcor.bus.codec import ProtobufCodec
from alcor.bus.goal_client import GoalClient
from alcor.bus.interface import HostReport, PortReport, Question
from alcor.goalstate.item import ItemKind, Key, Neighbour
from alcor.goalstate.scope import SHARDS, Scope, neighbours_scope, shard_of
from alcor.ncm.held_scope import HeldScope
from alcor.ncm.scope_cache import ScopeCache
from tests.support.bus import EPOCH, Reader, a_neighbour
from tests.support.remote_bus import a_client, a_server, being_read
from tests.support.routed_bus import Change, Replica

CODEC = ProtobufCodec()
ALL = dict.fromkeys(range(SHARDS), 1)
NEIGHBOURS = neighbours_scope("net-1")


class Region:
    """Dataplanes that follow one log; `addresses` of their servers."""

    def __init__(self) -> None:
        self.log: list[Change] = []
        self.replicas: list[Replica] = []
        self.addresses: list[str] = []

    def change(self, scope: Scope, *ids: str, host_id: str = "host-1") -> None:
        """One more revision: these items of a scope."""
        self.log.append(({scope: [a_neighbour(id, host_id=host_id) for id in ids]}, {}))

    def advance(self) -> None:
        """All follow to the end."""
        for replica in self.replicas:
            replica.advance()


@asynccontextmanager
async def a_region(count: int) -> AsyncIterator[Region]:
    """`count` dataplanes that listen and hold nothing."""
    region = Region()
    async with AsyncExitStack() as stack:
        for number in range(count):
            server = await stack.enter_async_context(a_server(grace_s=0.05))
            region.addresses.append(server.addresses[0])
            region.replicas.append(Replica(f"dataplane-{number}", server, region.log))
        yield region


async def until(holds: Callable[[], bool]) -> None:
    """Let the loop run until `holds()`."""
    async with asyncio.timeout(30):
        while not holds():  # noqa: ASYNC110  # there is no event to wait for: it is seen from outside
            await asyncio.sleep(0)


async def test_what_did_not_change_is_not_sent_again() -> None:
    """A scope whose shard moves is wanted at the new holder from where it is: an empty step answers."""
    async with a_region(2) as region, a_client(region.addresses) as client:
        first, second = region.replicas
        region.change(NEIGHBOURS, "a")
        region.advance()
        first.hold(ALL)
        client.want(NEIGHBOURS)
        reader = Reader(client)
        await reader.take_until(1, NEIGHBOURS)
        region.change(neighbours_scope("another"), "x")
        region.advance()
        await reader.take_until(2)

        taking = asyncio.create_task(reader.take_until(3))
        second.hold(dict.fromkeys(range(SHARDS), 2))
        first.hold({})
        await until(lambda: second.empty == [NEIGHBOURS])
        region.change(NEIGHBOURS, "b")
        region.advance()
        await taking

        assert (first.snapshots, second.snapshots, second.empty) == ([NEIGHBOURS], [], [NEIGHBOURS])
        assert {key.id for key in reader.held[NEIGHBOURS]} == {"a", "b"}
        assert reader.gaps == []


@pytest.mark.parametrize("is_noticed", [True, False])
async def test_a_holder_that_lapsed_for_a_moment_sends_nothing_again(*, is_noticed: bool) -> None:
    """Nobody took its shards and it has them again by a higher generation: an empty step, whether the ncm heard of it
    or not; and what changed since is said."""
    async with a_region(1) as region, a_client(region.addresses) as client:
        (one,) = region.replicas
        region.change(NEIGHBOURS, "a")
        region.advance()
        one.hold(ALL)
        client.want(NEIGHBOURS)
        reader = Reader(client)
        await reader.take_until(1, NEIGHBOURS)

        taking = asyncio.create_task(reader.take_until(2))
        one.hold({})
        if is_noticed:
            await until(lambda: client.trouble != "")
        one.hold(dict.fromkeys(range(SHARDS), 2))
        await until(lambda: one.empty == [NEIGHBOURS])
        region.change(NEIGHBOURS, "b")
        region.advance()
        await taking

        assert (one.snapshots, one.empty) == ([NEIGHBOURS], [NEIGHBOURS])
        assert {key.id for key in reader.held[NEIGHBOURS]} == {"a", "b"}
        assert reader.gaps == []


async def test_what_changed_between_two_holders_is_said() -> None:
    """The new holder's heads do not pass before it has said what changed after the old one fell silent."""
    async with a_region(2) as region, a_client(region.addresses) as client:
        first, second = region.replicas
        region.change(NEIGHBOURS, "a")
        region.advance()
        first.hold(ALL)
        client.want(NEIGHBOURS)
        reader = Reader(client)
        await reader.take_until(1, NEIGHBOURS)
        region.change(NEIGHBOURS, "b")
        second.advance()

        second.hold(dict.fromkeys(range(SHARDS), 2))
        await reader.take_until(2)

        assert second.snapshots == [NEIGHBOURS]
        assert {key.id for key in reader.held[NEIGHBOURS]} == {"a", "b"}


async def test_a_new_holder_that_is_behind_goes_on_from_where_the_old_one_was() -> None:
    """What an ncm has already is not undone by a holder that has not come so far yet."""
    async with a_region(2) as region, a_client(region.addresses) as client:
        first, second = region.replicas
        first.hold(ALL)
        for id in "abc":
            region.change(NEIGHBOURS, id)
        first.advance()
        second.advance(1)
        client.want(NEIGHBOURS)
        reader = Reader(client)
        await reader.take_until(3, NEIGHBOURS)

        taking = asyncio.create_task(reader.take_until(4))
        second.hold(dict.fromkeys(range(SHARDS), 2))
        first.hold({})
        await until(lambda: second.empty == [NEIGHBOURS])
        region.change(NEIGHBOURS, "d")
        second.advance()
        await taking

        assert {key.id for key in reader.held[NEIGHBOURS]} == set("abcd")
        assert (reader.gaps, second.snapshots) == ([], [])


async def test_an_older_holder_is_not_heard() -> None:
    """Of two that say they hold a shard the one with the higher generation counts, also when it has gone."""
    async with a_region(2) as region, a_client(region.addresses) as client:
        old, new = region.replicas
        new.hold(dict.fromkeys(range(SHARDS), 5))
        region.change(NEIGHBOURS, "a")
        region.advance()
        client.want(NEIGHBOURS)
        reader = Reader(client)
        await reader.take_until(1, NEIGHBOURS)
        old.hold(dict.fromkeys(range(SHARDS), 4))
        new.hold({})
        taking = asyncio.create_task(reader.take_until(2))
        await until(lambda: "64 of the 64 shards" in client.trouble)
        region.change(NEIGHBOURS, "b")
        region.advance()
        await asyncio.sleep(0)

        assert not taking.done()
        assert old.snapshots == old.empty == []
        old.hold(dict.fromkeys(range(SHARDS), 6))
        await taking
        assert client.trouble == ""
        assert {key.id for key in reader.held[NEIGHBOURS]} == {"a", "b"}


async def test_one_address_is_enough_to_find_all() -> None:
    """From one dataplane an ncm learns of the others; one that has gone is not tried any more."""
    async with a_region(3) as region, a_client(region.addresses[:1]) as client, being_read(client):
        members = {f"dataplane-{number}": address for number, address in enumerate(region.addresses)}
        thirds = [{shard: 1 for shard in range(SHARDS) if shard % 3 == place} for place in range(3)]
        for replica, shards in zip(region.replicas, thirds, strict=True):
            replica.hold(shards, members=members)
        await until(lambda: client.trouble == "")
        assert sorted(link.address for link in client.links) == sorted(region.addresses)

        await region.replicas[2].server.stop(0)
        await until(lambda: "21 of the 64 shards" in client.trouble)
        del members["dataplane-2"]
        for replica, shards in zip(region.replicas[:2], thirds[:2], strict=True):
            replica.hold(shards, members=members)
        await until(lambda: len(client.links) == 2)


async def test_two_addresses_of_one_dataplane_are_one() -> None:
    """A dataplane that is found at two addresses is spoken to over one connection, and found again after a loss."""
    async with a_region(1) as region:
        (replica,) = region.replicas
        twice = [region.addresses[0], region.addresses[0].replace("127.0.0.1", "localhost")]
        region.change(NEIGHBOURS, "a")
        region.advance()
        replica.hold(ALL)
        async with a_client(twice) as client:
            client.want(NEIGHBOURS)
            reader = Reader(client)
            await reader.take_until(1, NEIGHBOURS)
            taking = asyncio.create_task(reader.take_until(2))
            await until(lambda: len(client.links) == 1)
            for channel in replica.server._channels:
                channel.over.set()  # as a stream that breaks
            region.change(NEIGHBOURS, "b")
            region.advance()
            await taking

            assert {key.id for key in reader.held[NEIGHBOURS]} == {"a", "b"}


async def test_who_begins_to_hear_of_hosts_is_told_all() -> None:
    """When another dataplane hears of hosts, it is told whole what they said, and who went meanwhile."""
    up = PortReport("p", True, 5, 1.0)
    stays = HostReport(host_id="stays", epoch=EPOCH, alive=True, at_ms=1, session=3, ports=(up,))
    goes = HostReport(host_id="goes", epoch=EPOCH, alive=True, at_ms=1, session=4)
    async with a_region(2) as region, a_client(region.addresses) as client, being_read(client):
        first, second = region.replicas
        first.hold(ALL, realizes=1)
        client.report(stays)
        client.report(goes)
        reports = first.server.reports()
        heard = {report.host_id for report in await anext(reports)}
        while len(heard) < 2:
            heard |= {report.host_id for report in await anext(reports)}
        first.hold(ALL)
        await until(lambda: client._realizer is None)
        client.report(
            HostReport(host_id="stays", epoch=EPOCH, alive=True, at_ms=2, session=3, realized={1: 7})
        )
        client.report(HostReport(host_id="goes", epoch=EPOCH, alive=False, at_ms=2, session=4))
        second.hold({}, realizes=2)

        told: dict[str, HostReport] = {}
        others = second.server.reports()
        while len(told) < 2:
            told |= {report.host_id: report for report in await anext(others)}

        assert (told["stays"].ports, told["stays"].realized) == ((up,), {1: 7})
        assert not told["goes"].alive


async def test_who_hears_of_hosts_again_knows_nothing_of_the_time_before() -> None:
    """What a dataplane was told and did not read before another one heard of hosts is void: a host that was lost in
    between is told of by nobody, and would be alive for ever."""
    goes, stays = (
        HostReport(host_id=id, epoch=EPOCH, alive=True, at_ms=1, session=3) for id in ("goes", "stays")
    )
    async with a_region(2) as region, a_client(region.addresses) as client, being_read(client):
        first, second = region.replicas
        first.hold(ALL, realizes=1)
        client.report(goes)
        client.report(stays)
        await until(lambda: {"goes", "stays"} <= first.server._speakers.keys())
        first.hold(ALL)
        second.hold({}, realizes=2)
        others = second.server.reports()
        await anext(others)
        client.report(msgspec.structs.replace(goes, alive=False, at_ms=2))
        await anext(others)
        second.hold({})
        first.hold(ALL, realizes=3)

        told = await anext(first.server.reports())

        assert [report.host_id for report in told] == ["stays"]


async def test_what_is_reported_in_a_term_is_for_its_reader() -> None:
    """Who read in the term before, and has not gone yet, takes nothing of what is told to the next one."""
    async with a_region(1) as region, a_client(region.addresses) as client, being_read(client):
        (only,) = region.replicas
        only.hold(ALL, realizes=1)
        client.report(HostReport(host_id="host", epoch=EPOCH, alive=True, at_ms=1, session=3))
        before = only.server.reports()
        assert [report.host_id for report in await anext(before)] == ["host"]
        late = asyncio.ensure_future(anext(before, None))
        await asyncio.sleep(0)

        only.hold(ALL)
        only.hold(ALL, realizes=2)

        assert [report.host_id for report in await anext(only.server.reports())] == ["host"]
        assert await late is None


# --- with the ncm's cache ----------------------------------------------------------------------------------

SCOPES = [neighbours_scope(id) for id in ("a", "b", "c")]
_number = st.integers(0, 2)
acts = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.sampled_from(SCOPES), st.sampled_from("xyz")),
        st.tuples(st.just("remove"), st.sampled_from(SCOPES), st.sampled_from("xyz")),
        st.tuples(st.just("acquire"), st.sampled_from(SCOPES), st.just("")),
        st.tuples(st.just("release"), st.sampled_from(SCOPES), st.just("")),
        st.tuples(st.sampled_from(("follow", "follow", "cut", "breathe", "breathe")), _number, st.just("")),
        st.tuples(st.just("move"), st.sampled_from(SCOPES), _number),
        st.tuples(st.just("lose"), st.sampled_from(SCOPES), st.just("")),
    ),
    max_size=50,
)


class Woken:
    """Somebody who needs scopes."""

    def wake(self) -> None:
        """Nothing to do: the test looks."""


class Play:
    """One run of acts on three dataplanes and the cache of one ncm."""

    def __init__(self, region: Region, client: GoalClient) -> None:
        self.region, self.cache, self.woken = region, ScopeCache(client, grace_s=0), Woken()
        self.history: dict[Scope, dict[int, set[Key]]] = {scope: {0: set()} for scope in SCOPES}
        self.generation = 1
        self.fences: dict[int, tuple[int, int]] = {}
        for replica in region.replicas:
            replica.hold({shard: 1 for shard in range(SHARDS) if shard % 3 == region.replicas.index(replica)})

    async def take(self, client: GoalClient) -> None:
        """Be the ncm; whatever comes, what is held is what was at that revision."""
        async for batch in client.updates():
            for message in batch:
                assert not isinstance(message, Question)
                self.cache.take(message)
                for scope in SCOPES:
                    held = self.cache.find(scope)
                    if held is not None and held.loaded and not held.reloading:
                        at = max(number for number in self.history[scope] if number <= held.position)
                        assert set(held.entries) == self.history[scope][at]

    def change(self, scope: Scope, id: str, *, is_put: bool) -> None:
        """One more revision."""
        key = Key(ItemKind.NEIGHBOUR, id)
        log = self.region.log
        before = self.history[scope][max(self.history[scope])]
        if is_put:
            log.append(({scope: [a_neighbour(id, host_id=f"h{len(log)}")]}, {}))
        else:
            log.append(({}, {scope: [key]}))
        self.history[scope][len(log)] = before | {key} if is_put else before - {key}

    def give(self, scope: Scope, to: int | None) -> None:
        """The scope's shard goes to another dataplane, or to none."""
        shard = shard_of(scope)
        for place, replica in enumerate(self.region.replicas):
            if shard in replica.shards and place != to:
                replica.hold({each: number for each, number in replica.shards.items() if each != shard})
        if to is not None:
            self.generation += 1
            replica = self.region.replicas[to]
            replica.hold({**replica.shards, shard: self.generation})


@given(steps=acts)
async def test_whatever_moves_the_cache_ends_as_the_log(
    steps: list[tuple[str, Scope | int, str | int]],
) -> None:
    """However changes, moves, lags, wants and broken streams interleave, an ncm's cache never claims what it does not
    hold, and ends with what the log says."""
    async with a_region(3) as region, a_client(region.addresses) as client:
        play = Play(region, client)
        taking = asyncio.create_task(play.take(client))
        for number, (act, what, more) in enumerate(steps):
            match act, what, more:
                case (("put" | "remove"), Scope(), str()):
                    play.change(what, more, is_put=act == "put")
                case "acquire", Scope(), _:
                    play.cache.acquire(what, play.woken)
                case "release", Scope(), _:
                    play.cache.release(what, play.woken)
                case "move", Scope(), int():
                    play.give(what, more)
                case "lose", Scope(), _:
                    play.give(what, None)
                case "follow", int(), _:
                    region.replicas[what].advance()
                case "cut", int(), _:
                    for channel in region.replicas[what].server._channels:
                        channel.over.set()
                case _:
                    for _ in range(number % 7):
                        await asyncio.sleep(0)
        for scope in SCOPES:
            if not any(shard_of(scope) in replica.shards for replica in region.replicas):
                play.give(scope, 0)
        play.change(SCOPES[0], "x", is_put=True)
        region.advance()
        wanted = [held for scope in SCOPES if (held := play.cache.find(scope)) is not None]
        head = len(region.log)
        await until(lambda: taking.done() or all(held.loaded and held.position >= head for held in wanted))

        assert not taking.done() or taking.result()
        for held in wanted:
            items = region.replicas[0].items.get(held.scope, {})
            assert hosts_of(held) == {key: put.item.host_id for key, put in items.items()}  # type: ignore[union-attr]
        taking.cancel()
        await asyncio.gather(taking, return_exceptions=True)
        play.cache.close()


def hosts_of(held: HeldScope) -> dict[Key, str]:
    """What a cache holds of a scope of neighbours: where each is."""
    items = {key: CODEC.decode(key, envelope.body) for key, (_, envelope) in held.entries.items()}
    return {key: item.host_id for key, item in items.items() if isinstance(item, Neighbour)}
