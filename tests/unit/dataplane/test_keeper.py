"""Leases while the event loop is held: they last as long as the process works, and not longer."""

from alcor.dataplane.keeper import Keeper
from alcor.dataplane.share import EVERY_S, LAG_S_MAX, MARGIN_S, TTL_S, Share
from alcor.goalstate.scope import SHARDS
from tests.unit.dataplane.test_share import Follower, Region

LOOK_S = EVERY_S / 4


class HeldRegion(Region):
    """A region whose dataplane `one` has a keeper. Its loop is held while only the keeper looks."""

    def __init__(self) -> None:
        super().__init__()
        self.keeper = Keeper(
            lambda: self.leases,
            member_id="one",
            clock=self.clock,
            ttl_s=TTL_S,
            late_s=EVERY_S,
            still_s_max=LAG_S_MAX,
        )
        self.one = self.followers["one"] = Follower()
        self.shares["one"] = Share(
            self.leases,
            self.one,
            member_id="one",
            address="one:9698",
            clock=self.clock,
            keeper=self.keeper,
        )

    async def hold(self, seconds: float, *others: str) -> None:
        """The loop of `one` does nothing for so long; its keeper looks, and others renew."""
        until = self.clock.now + seconds
        while self.clock.now < until:
            self.clock.now += LOOK_S
            await self.keeper.look(self.leases)
            await self.turn(*others)


async def test_a_loop_that_is_held_loses_nothing() -> None:
    """Longer than a term, and another one waits for it: nothing was lost, by no generation, and nothing is said."""
    region = HeldRegion()
    two = region.add("two")
    await region.turn("one", "two", "one", "one", "two")
    assert region.counts() == {"one": 32, "two": 32}
    said, held = len(region.one.said), dict(region.one.shards)

    await region.hold(LAG_S_MAX, "two")
    region.shares["one"].expire()
    await region.turn("one", "two")

    assert (region.one.shards, len(region.one.said)) == (held, said)
    assert len(two.shards) == 32


async def test_a_loop_that_is_held_for_ever_loses_everything() -> None:
    """Then others have it by higher generations, and not before its own terms have ended by its own clock."""
    region = HeldRegion()
    two = region.add("two")
    await region.turn("one", "two", "one", "one", "two")
    held = dict(region.one.shards)

    await region.hold(LAG_S_MAX + TTL_S - MARGIN_S, "two")
    assert len(two.shards) == 32
    region.shares["one"].expire()
    assert region.one.shards == {}

    await region.hold(TTL_S, "two")
    assert set(two.shards) == set(range(SHARDS))
    assert all(two.shards[shard] > generation for shard, generation in held.items())


async def test_without_an_answer_a_held_loop_stops() -> None:
    """An extension that the database did not confirm is none."""
    region = HeldRegion()
    await region.turn("one")

    region.leases.away = {"one"}
    await region.hold(TTL_S - MARGIN_S)
    region.shares["one"].expire()

    assert (region.one.shards, region.keeper.extension) == ({}, None)


async def test_a_loop_that_goes_on_renews_by_itself() -> None:
    """The keeper asks nothing as long as the share is seen."""
    region = HeldRegion()
    for _ in range(8):
        await region.turn("one")
        await region.hold(EVERY_S - LOOK_S)

    assert region.keeper.extension is None
    assert len(region.one.shards) == SHARDS


async def test_what_was_given_up_stays_so() -> None:
    """A term that the share has let go of since it was extended does not come back by the extension."""
    region = HeldRegion()
    await region.turn("one")
    two = region.add("two")
    await region.turn("two")
    await region.hold(2 * EVERY_S)
    assert region.keeper.extension is not None
    assert len(region.keeper.extension.held) == SHARDS + 1

    await region.turn("one", "one", "two")
    region.shares["one"].expire()

    assert region.counts() == {"one": 32, "two": 32}
    assert not set(region.one.shards) & set(two.shards)
