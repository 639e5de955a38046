"""Whatever the broker does with what it is given, ncms hold what a bus without loss would have given them."""

import asyncio

from hypothesis import given, settings
from hypothesis import strategies as st

from alcor.goalstate.item import ItemKind, Key
from alcor.goalstate.scope import Scope, neighbours_scope, shard_of
from tests.support.bus import a_neighbour
from tests.support.normal import FakeNcm, Site

NCMS = 3
SCOPES = [neighbours_scope(name) for name in ("a", "b")]
# How often each move is made: changes and arrivals most, so that there is something to lose when one of the rest comes.
WEIGHTS = {
    "put": 16,
    "remove": 4,
    "stream": 12,
    # Any frame that was ever published, again or for the first time: late, doubled, out of order, of anybody.
    "frame": 8,
    "frames": 4,
    "confirm": 6,
    "choose": 4,
    "stall": 4,
    "want": 3,
    "want_again": 1,
    "unwant": 1,
    "read": 2,
    "fail": 1,
    "heal": 2,
    "attach": 1,
    "replace": 1,
    "epoch": 1,
}
_kinds = st.sampled_from([kind for kind, weight in WEIGHTS.items() for _ in range(weight)])
moves = st.lists(st.tuples(_kinds, st.integers(0, 11), st.integers(0, 1 << 10)), min_size=10, max_size=100)


@settings(max_examples=300, deadline=None)
@given(steps=moves, all_read=st.booleans())
async def test_any_interleaving_gives_what_a_bus_without_loss_gives(
    steps: list[tuple[str, int, int]], all_read: bool
) -> None:
    """At each announcement every held scope is exactly as of the announced revision, and at the end as of the last."""
    site = Site(NCMS)
    site.publisher.change({scope: [a_neighbour("first")] for scope in SCOPES})
    for ncm in site.ncms:
        await ncm.attach()
        if all_read:
            ncm.read(True)
            for scope in SCOPES:
                ncm.want(scope)
            await ncm.take_stream()
    try:
        for number, step in enumerate(steps):
            await _move(site, number, *step)
        site.publisher.change({})
        for ncm in site.ncms:
            await ncm.settle()

        for ncm in site.ncms:
            assert ncm.gaps == []
            assert set(ncm.held) == set(ncm.wanted)
            for scope in ncm.wanted:
                assert ncm.held[scope] == site.state(scope, site.publisher.epoch, site.publisher.head)
                assert ncm.heads[shard_of(scope)] == (site.publisher.epoch, site.publisher.head)
    finally:
        for ncm in site.ncms:
            await ncm.close()


async def _move(site: Site, number: int, move: str, which: int, how: int) -> None:
    scope, id, ncm = SCOPES[which % len(SCOPES)], "xyz"[how % 3], site.ncms[which % NCMS]
    match move:
        case "put":
            site.publisher.change({scope: [a_neighbour(id, host_id=f"h{number}")]})
        case "remove":
            site.publisher.change({}, {scope: [Key(ItemKind.NEIGHBOUR, id)]})
        case "choose":
            (site.choice.fast.add if how % 2 else site.choice.fast.discard)(scope)
        case "fail":
            site.fail()
        case "heal":
            site.sender.is_well = True
        case "replace":
            await site.replace()
        case "epoch":
            site.publisher.begin_epoch(1)
        case "attach":
            await ncm.attach()
        case "read":
            ncm.read(how % 3 > 0)
        case "stall":
            # A slow ncm: what its stream does not take is merged behind it.
            (ncm.flowing.clear if how % 2 else ncm.flowing.set)()
        case "confirm":
            ncm.confirm()
        case "stream":
            await ncm.take_stream(1 + how % 4)
        case "frame" if site.sender.sent:
            ncm.take_frame(site.sender.sent[how % len(site.sender.sent)])
        case "frames":
            for payload in site.sender.sent:
                ncm.take_frame(payload)
        case _:
            _want(ncm, move, SCOPES[how % len(SCOPES)])
    await asyncio.sleep(0)


def _want(ncm: FakeNcm, move: str, scope: Scope) -> None:
    if move == "unwant":
        ncm.unwant(scope)
    elif move == "want_again" or (move == "want" and scope not in ncm.wanted):
        ncm.want(scope)
