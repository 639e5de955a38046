"""Shares of the shards: no two dataplanes ever publish one at a time, and none stays without a holder."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alcor.bus.interface import Holdings
from alcor.dataplane.share import EVERY_S, LAG_S_MAX, MARGIN_S, REALIZE, SHARD, TTL_S, Share
from alcor.goalstate.scope import SHARDS
from tests.support.leases import FakeLeases, Seconds


class Follower:
    """A dataplane that only notes what it holds; `said`: every holdings it was told."""

    def __init__(self, revision: int | None = 1) -> None:
        self.revision = revision
        self.said: list[Holdings] = []

    def hold(self, holdings: Holdings) -> None:
        self.said.append(holdings)

    @property
    def shards(self) -> dict[int, int]:
        return self.said[-1].shards if self.said else {}

    @property
    def realizes(self) -> int:
        return self.said[-1].realizes if self.said else 0


class Region:
    """Dataplanes on one table of leases, which renew when the test says."""

    def __init__(self) -> None:
        self.clock = Seconds()
        self.leases = FakeLeases(self.clock, {SHARD: SHARDS, REALIZE: 1})
        self.followers: dict[str, Follower] = {}
        self.shares: dict[str, Share] = {}

    def add(self, id: str, revision: int | None = 1, *, ttl_s: float = TTL_S) -> Follower:
        follower = self.followers[id] = Follower(revision)
        self.shares[id] = Share(
            self.leases, follower, member_id=id, address=f"{id}:9698", clock=self.clock, ttl_s=ttl_s
        )
        return follower

    async def turn(self, *ids: str) -> None:
        for id in ids:
            await self.shares[id].turn()

    def counts(self) -> dict[str, int]:
        return {id: len(follower.shards) for id, follower in self.followers.items()}


async def test_alone_it_holds_everything() -> None:
    """One dataplane has all shards, and hears of hosts."""
    region = Region()
    one = region.add("one")

    await region.turn("one")

    assert set(one.shards) == set(range(SHARDS))
    assert one.realizes > 0
    assert (region.shares["one"].trouble, region.shares["one"].text) == (
        "",
        "holds 64 of 64 shards, and hears of hosts; 1 dataplanes",
    )


async def test_who_joins_gets_its_part_in_order() -> None:
    """The first one gives up half before the second one has it; each by a generation of its own."""
    region = Region()
    one = region.add("one")
    await region.turn("one")
    two = region.add("two")
    await region.turn("two")
    assert region.counts() == {"one": 64, "two": 0}

    await region.turn("one")
    assert region.counts() == {"one": 32, "two": 0}
    await region.turn("one", "two")

    assert region.counts() == {"one": 32, "two": 32}
    assert not set(one.shards) & set(two.shards)
    assert set(two.shards.values()) == {2}
    assert (one.realizes, two.realizes) == (1, 0)
    assert one.said[-1].members == {"one": "one:9698", "two": "two:9698"}


@pytest.mark.parametrize("members", [1, 2, 3, 5, 7])
async def test_shares_are_balanced(members: int) -> None:
    """However many there are, none holds more than its part rounded up, and every shard is held."""
    region = Region()
    ids = [f"d{number}" for number in range(members)]
    for id in ids:
        region.add(id)
    for _ in range(6):
        await region.turn(*ids)

    held = [shard for follower in region.followers.values() for shard in follower.shards]
    assert sorted(held) == list(range(SHARDS))
    assert max(region.counts().values()) <= -(-SHARDS // members)


async def test_who_dies_loses_its_shards_when_its_terms_end() -> None:
    """Nobody takes a shard while its term lasts; after it, the others have it by higher generations."""
    region = Region()
    one, two = region.add("one"), region.add("two")
    for _ in range(3):
        await region.turn("one", "two")
    before = dict(one.shards)
    await region.turn("one")  # and then no more
    region.clock.now += TTL_S - 0.1
    await region.turn("two")
    assert len(two.shards) == 32

    region.clock.now += 0.2
    await region.turn("two")

    assert set(two.shards) == set(range(SHARDS))
    assert all(two.shards[shard] > generation for shard, generation in before.items())
    assert two.realizes > 1


async def test_a_holder_stops_by_its_own_clock_before_its_term_ends() -> None:
    """Who cannot renew says nothing from the margin before the end of its term on, whatever the database does."""
    region = Region()
    one = region.add("one")
    await region.turn("one")
    region.leases.away.add("one")
    region.clock.now += TTL_S - MARGIN_S - 0.01
    await region.turn("one")
    assert len(one.shards) == SHARDS

    region.clock.now += 0.02
    region.shares["one"].expire()

    assert (one.shards, one.realizes) == ({}, 0)
    await region.turn("one")
    assert region.shares["one"].trouble == "The database is away."


async def test_a_term_that_lapsed_comes_back_by_a_higher_generation() -> None:
    """What a holder let go of by its clock is a new term when it has it again, also if nobody had it in between."""
    region = Region()
    one = region.add("one")
    await region.turn("one")
    region.leases.away.add("one")
    region.clock.now += TTL_S - MARGIN_S
    region.shares["one"].expire()
    region.leases.away.clear()

    await region.turn("one")
    await region.turn("one")

    assert set(one.shards.values()) == {2}


async def test_an_answer_that_does_not_come_is_no_answer() -> None:
    """A statement that hangs leaves nothing held beyond the term; what it did is undone by the next one."""
    region = Region()
    one = region.add("one", ttl_s=0.55)
    region.leases.stuck.add("one")
    await region.turn("one")
    assert one.shards == {}
    region.leases.stuck.clear()

    await region.turn("one")
    await region.turn("one")

    assert set(one.shards) == set(range(SHARDS))
    assert set(one.shards.values()) == {2}


async def test_who_leaves_gives_up_at_once() -> None:
    """A dataplane that stops says nothing more first; the other has everything at its next turn."""
    region = Region()
    one, two = region.add("one"), region.add("two")
    for _ in range(3):
        await region.turn("one", "two")

    await region.shares["one"].leave()
    assert (one.shards, one.realizes) == ({}, 0)
    await region.turn("two")

    assert set(two.shards) == set(range(SHARDS))
    assert two.said[-1].members == {"two": "two:9698"}


async def test_who_has_not_loaded_gets_no_share() -> None:
    """A dataplane that is still loading holds nothing, and the others keep what they have for themselves."""
    region = Region()
    one, two = region.add("one"), region.add("two", None)
    for _ in range(2):
        await region.turn("one", "two")
    assert region.counts() == {"one": 64, "two": 0}
    assert "loading" in region.shares["two"].trouble

    two.revision = 1
    for _ in range(3):
        await region.turn("two", "one")

    assert region.counts() == {"one": 32, "two": 32}
    assert len(one.shards) == 32


async def lagging(region: Region, *ids: str) -> None:
    """The log goes on, and `one` does not follow, for longer than is allowed."""
    region.leases.head = 9
    for _ in range(round(LAG_S_MAX / EVERY_S) + 2):
        await region.turn(*ids)
        region.clock.now += EVERY_S
    await region.turn(*ids)
    await region.turn(*ids)


async def test_who_lags_gives_its_shards_to_who_does_not() -> None:
    """More than 5 s behind the log a dataplane lets go, and has its part again once it has caught up."""
    region = Region()
    one, two = region.add("one"), region.add("two")
    for _ in range(3):
        await region.turn("one", "two")
    two.revision = 9
    await lagging(region, "one", "two")
    assert region.counts() == {"one": 0, "two": 64}
    assert "behind the log" in region.shares["one"].trouble

    one.revision = 9
    for _ in range(3):
        await region.turn("one", "two")

    assert region.counts() == {"one": 32, "two": 32}
    assert region.shares["one"].trouble == ""


async def test_who_lags_alone_goes_on() -> None:
    """Late goal state is better than none: without another one that is up to date nothing is given up."""
    region = Region()
    region.add("one")
    await lagging(region, "one")

    assert region.counts() == {"one": 64}


_ids = st.sampled_from(("a", "b", "c"))
acts = st.lists(
    st.one_of(
        st.tuples(st.just("turn"), _ids, st.just(0.0)),
        st.tuples(st.just("turn"), _ids, st.just(0.0)),
        st.tuples(st.just("away"), _ids, st.just(0.0)),
        st.tuples(st.just("back"), _ids, st.just(0.0)),
        st.tuples(st.just("leave"), _ids, st.just(0.0)),
        st.tuples(st.just("pass"), _ids, st.floats(0.01, 2.0)),
    ),
    max_size=60,
)


@given(steps=acts)
async def test_no_two_at_a_time_whatever_happens(steps: list[tuple[str, str, float]]) -> None:
    """However renewals fail, stop and begin again: a shard never has two holders, its generation only grows with each
    holder, and once all is well every shard is held."""
    region = Region()
    for id in "abc":
        region.add(id)
    seen: dict[int, tuple[int, str]] = {}

    def check() -> None:
        for shard in range(SHARDS):
            holders = [id for id, follower in region.followers.items() if shard in follower.shards]
            assert len(holders) <= 1
            for id in holders:
                generation = region.followers[id].shards[shard]
                last, by = seen.get(shard, (0, id))
                assert generation > last or (generation, id) == (last, by)
                seen[shard] = generation, id

    for act, id, seconds in steps:
        await act_on(region, act, id, seconds)
        check()
    region.leases.away.clear()
    for _ in range(8):
        for id in "abc":
            await region.turn(id)
            check()
        region.clock.now += EVERY_S

    assert sum(region.counts().values()) == SHARDS
    assert max(region.counts().values()) <= 22


async def act_on(region: Region, act: str, id: str, seconds: float) -> None:
    """One act; a clock that moves ends terms as their timers would."""
    acts: dict[str, Callable[[], object]] = {
        "away": lambda: region.leases.away.add(id),
        "back": lambda: region.leases.away.discard(id),
    }
    if act == "turn":
        await region.turn(id)
    elif act == "leave":
        await region.shares[id].leave()
    elif act == "pass":
        region.clock.now += seconds
        for share in region.shares.values():
            share.expire()
    else:
        acts[act]()
