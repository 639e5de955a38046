"""What an agent is sent, in which order, and what it is not sent."""

import asyncio
from collections.abc import Iterator
from itertools import permutations

import pytest

from alcor.bus.interface import Dropped, Heads, Put, Resume, ScopeUpdate
from alcor.goalstate.item import ItemKind, Key, LocalPort, NetworkHost
from alcor.goalstate.scope import (
    REGION,
    Scope,
    host_scope,
    neighbours_scope,
    network_scope,
    shard_of,
)
from tests.support.bus import EPOCH, a_local_port, a_neighbour, a_network
from tests.support.ncm import FakeAgent, a_host, a_site, bound, ports

HOST = host_scope("host-1")
NET, NEIGHBOURS = network_scope("net-1"), neighbours_scope("net-1")
NET_2, NEIGHBOURS_2 = network_scope("net-2"), neighbours_scope("net-2")


# Far below what is used, so that a few hundred items are a large scope.
CHUNK = 20_000


def neighbour_key(id: str) -> Key:
    return Key(ItemKind.NEIGHBOUR, id)


def port_key(id: str) -> Key:
    return Key(ItemKind.LOCAL_PORT, id)


async def test_the_closure() -> None:
    """An agent gets its host's scope, the region, and what its ports refer to; nothing of other hosts or networks."""
    async with a_site() as site:
        site.publisher.change(bound(*ports("p1")))
        site.publisher.change(bound(*ports("p2", network_id="net-2"), host_id="host-2"))

        agent = await site.attached()

        assert site.same(agent, [REGION, HOST, NET, NEIGHBOURS])
        assert site.publisher.asked.count(NET_2) == 0


async def test_a_host_without_ports() -> None:
    """A host without ports holds itself and the region, and is in sync."""
    async with a_site() as site:
        agent = await site.attached()

        assert site.same(agent, [REGION, HOST])


async def test_in_sync_comes_last() -> None:
    """The first heads after the welcome come when everything was sent, each scope after those it refers to."""
    async with a_site() as site:
        site.publisher.change(bound(*ports("p1"), *ports("p2", network_id="net-2")))

        agent = await site.attached()

        order = [type(m).__name__ if not isinstance(m, ScopeUpdate) else m.scope for m in agent.messages]
        assert order[0] == "Welcome"
        assert order.index("Heads") == 1 + 6
        assert order.index(HOST) > max(order.index(s) for s in (NET, NEIGHBOURS, NET_2, NEIGHBOURS_2))
        assert agent.early == []


async def test_a_change_is_one_frame() -> None:
    """One change of one host is one frame: what it refers to, the host's step, the heads."""
    async with a_site() as site:
        site.publisher.change(bound(*ports("p1")))
        agent = await site.attached()
        before = len(agent.frames)

        revision = site.publisher.change(bound(*ports("p2")))
        await agent.until_synced(revision)

        frames = agent.frames[before:]
        assert len(frames) == 1
        assert [(type(m), getattr(m, "scope", None)) for m in frames[0]] == [
            *[(ScopeUpdate, scope) for scope in (NEIGHBOURS, HOST)],
            (Heads, None),
        ]
        assert site.same(agent, [REGION, HOST, NET, NEIGHBOURS])


async def test_a_new_reference_is_sent_ahead() -> None:
    """A scope that becomes needed is on the stream before the item that refers to it."""
    async with a_site() as site:
        agent = await site.attached()

        revision = site.publisher.change(bound(*ports("p1")))
        await agent.until_synced(revision)
        await agent.until(lambda: port_key("p1") in agent.held[HOST])

        assert agent.early == []
        assert agent.resolved(port_key("p1"))


async def test_a_step_waits_for_what_it_refers_to() -> None:
    """An item whose reference is not loaded yet waits for it, with its scope; other scopes go on."""
    async with a_site() as site:
        site.publisher.change(bound(*ports("p1")))
        agent = await site.attached()
        site.bus.closed.update((NET_2, NEIGHBOURS_2))
        site.publisher.change(bound(*ports("p2", network_id="net-2")))
        revision = site.publisher.change({NEIGHBOURS: [a_neighbour("far")]})
        await agent.until(lambda: neighbour_key("far") in agent.held[NEIGHBOURS])
        await site.settled()
        assert port_key("p2") not in agent.held[HOST]
        assert agent.position[NEIGHBOURS] == revision

        site.bus.open()
        await agent.until_synced(revision)

        assert agent.early == []
        assert site.same(agent, [REGION, HOST, NET, NEIGHBOURS, NET_2, NEIGHBOURS_2])


async def test_a_head_never_covers_what_waits() -> None:
    """A shard is announced only through what the agent has of every scope in it: one that waits holds it back."""
    network_id = next(
        id for id in map("net-{}".format, range(10_000)) if shard_of(neighbours_scope(id)) == shard_of(HOST)
    )
    neighbours = neighbours_scope(network_id)
    async with a_site() as site:
        site.publisher.change(bound(*ports("p1", network_id=network_id)))
        agent = await site.attached()
        before = agent.position[HOST]
        site.bus.closed.update((NET_2, NEIGHBOURS_2))
        site.publisher.change(bound(*ports("p2", network_id="net-2")))
        revision = site.publisher.change({neighbours: [a_neighbour("far")]})
        await agent.until_held(neighbours, revision)
        await site.settled()

        assert agent.position[HOST] == before
        assert all(m.through.get(shard_of(HOST), 0) <= before for m in agent.messages if isinstance(m, Heads))

        site.bus.open()
        await agent.until_synced(revision)


async def test_a_head_never_covers_what_left_and_is_still_held() -> None:
    """A scope that left the closure while the host's step waits gets no more steps: its shard's heads wait too, or the
    agent would take it for newer than it is when it comes back."""
    network_id = next(
        id
        for id in map("net-{}".format, range(3, 10_000))
        if shard_of(neighbours_scope(id)) == shard_of(NEIGHBOURS)
    )
    left = neighbours_scope(network_id)
    async with a_site() as site:
        site.publisher.change(bound(*ports("p1")))
        before = site.publisher.change(bound(*ports("p3", network_id=network_id)))
        agent = await site.attached()
        await agent.until_synced(before)
        site.bus.closed.update((NET_2, NEIGHBOURS_2))
        site.publisher.change(bound(*ports("p2", network_id="net-2")), {HOST: [port_key("p3")]})
        site.publisher.change({left: [a_neighbour("late")]})
        revision = site.publisher.change({NEIGHBOURS: [a_neighbour("far")]})

        await agent.until(lambda: neighbour_key("far") in agent.held[NEIGHBOURS])
        await site.settled()

        assert port_key("p3") in agent.held[HOST]
        assert neighbour_key("late") not in agent.held[left]
        assert agent.position[left] <= before
        site.bus.open()
        await agent.until_synced(revision)
        assert left not in agent.held


async def test_what_leaves_the_closure_is_dropped_after_the_step() -> None:
    """When the last port of a network goes, the host's step comes first, then the agent forgets the network."""
    async with a_site(grace_s=0) as site:
        site.publisher.change(bound(*ports("p1"), *ports("p2", network_id="net-2")))
        agent = await site.attached()

        revision = site.publisher.change(removed={HOST: [port_key("p2")]})
        await agent.until(lambda: NET_2 not in agent.held and NEIGHBOURS_2 not in agent.held)

        last = agent.frames[-1]
        assert isinstance(last[0], ScopeUpdate)
        assert (last[0].scope, last[0].removed) == (HOST, (port_key("p2"),))
        assert {m.scope for m in last if isinstance(m, Dropped)} == {NET_2, NEIGHBOURS_2}
        await agent.until_synced(revision)
        assert site.same(agent, [REGION, HOST, NET, NEIGHBOURS])
        assert site.ncm.cache.find(NET_2) is None


async def test_a_scope_outside_the_closure_is_refused() -> None:
    """Asking to resume a scope that is not the host's gets no data: the agent is told to forget it."""
    async with a_site() as site:
        site.publisher.change(bound(*ports("p2", network_id="net-2"), host_id="host-2"))
        agent, other = await site.attached(), await site.attached(FakeAgent(host_id="host-2"))
        assert NEIGHBOURS_2 in other.held

        agent.say(Resume(NEIGHBOURS_2, 0))
        await agent.until(lambda: Dropped(NEIGHBOURS_2) in agent.messages)

        assert agent.updates(NEIGHBOURS_2) == []


async def test_resume_sends_only_what_is_new() -> None:
    """An agent that comes back with its positions gets the suffix after them, removals included."""
    async with a_site() as site:
        site.publisher.change(bound(*ports("p1", "p2", "p3")))
        first = await site.attached()
        await site.left(first)
        site.publisher.change({NEIGHBOURS: [a_neighbour("far")]}, {NEIGHBOURS: [neighbour_key("p3")]})
        revision = site.publisher.change({NEIGHBOURS: [a_neighbour("near")]})

        again = FakeAgent(epoch=first.epoch, held=first.held, position=first.position)
        await site.attached(again)

        steps = [m for m in again.messages if isinstance(m, ScopeUpdate)]
        assert [(m.scope, m.through, [e.key.id for e in m.put], m.removed) for m in steps] == [
            (NEIGHBOURS, revision, ["far", "near"], (neighbour_key("p3"),))
        ]
        assert site.same(again, [REGION, HOST, NET, NEIGHBOURS])


async def test_nothing_held_is_sent_again() -> None:
    """An agent that has everything gets its welcome and the heads."""
    async with a_site() as site:
        site.publisher.change(bound(*ports("p1")))
        first = await site.attached()
        await site.left(first)

        again = await site.attached(FakeAgent(epoch=first.epoch, held=first.held, position=first.position))

        assert [type(m).__name__ for m in again.messages] == ["Welcome", "Heads"]


async def test_positions_of_another_epoch_mean_nothing() -> None:
    """What an agent holds of another epoch is sent whole again."""
    async with a_site() as site:
        site.publisher.change(bound(*ports("p1")))
        first = await site.attached()
        await site.left(first)

        again = FakeAgent(epoch=first.epoch - 1, held=first.held, position=first.position)
        await site.attached(again)

        assert {
            m.scope: m.from_revision for m in again.messages if isinstance(m, ScopeUpdate)
        } == dict.fromkeys((REGION, HOST, NET, NEIGHBOURS), 0)


async def test_what_an_agent_holds_of_an_older_epoch() -> None:
    """An agent that has heard of the epoch, and not what is in it, is told all of it, and to forget the rest."""
    async with a_site() as site:
        site.publisher.change(bound(*ports("p1")))
        first = await site.attached()
        await site.left(first)
        revision = site.publisher.change(removed={HOST: [port_key("p1")]})

        again = FakeAgent(epoch=first.epoch, held=first.held, position=first.position)
        again.epochs = dict.fromkeys(first.position, first.epoch - 1)
        site.attach(again)
        await again.until_synced(revision)

        updates = [m for m in again.messages if isinstance(m, ScopeUpdate)]
        assert {m.scope: m.from_revision for m in updates} == {REGION: 0, HOST: 0}
        assert {m.scope for m in again.messages if isinstance(m, Dropped)} == {NET, NEIGHBOURS}


async def test_what_an_agent_held_and_needs_no_more_is_dropped() -> None:
    """An agent that comes back with scopes that left its closure is told to forget them."""
    async with a_site() as site:
        site.publisher.change(bound(*ports("p1")))
        first = await site.attached()
        await site.left(first)
        revision = site.publisher.change(removed={HOST: [port_key("p1")]})

        again = FakeAgent(epoch=first.epoch, held=first.held, position=first.position)
        site.attach(again)
        await again.until(lambda: NET not in again.held and NEIGHBOURS not in again.held)

        await again.until_synced(revision)
        assert site.same(again, [REGION, HOST])


async def test_an_agent_that_is_ahead_is_not_taken_back() -> None:
    """A position above ours is kept: going back is never right; what is newer follows from there."""
    async with a_site() as site:
        site.publisher.change(bound(*ports("p1")))
        first = await site.attached()
        await site.left(first)
        ahead = {scope: position + 5 for scope, position in first.position.items()}

        again = FakeAgent(epoch=first.epoch, held=first.held, position=ahead)
        site.attach(again)
        await again.until(lambda: again.in_sync)
        assert [m for m in again.messages if isinstance(m, ScopeUpdate)] == []

        for _ in range(6):
            revision = site.publisher.change({NEIGHBOURS: [a_neighbour(f"n{site.publisher.head}")]})
        await again.until_synced(revision)
        assert neighbour_key(f"n{revision - 1}") in again.held[NEIGHBOURS]


async def test_an_agent_that_is_ahead_forgets_nothing() -> None:
    """What leaves the closure by an older knowledge than the agent's is dropped only once we know as much."""
    async with a_site() as site:
        site.publisher.change(bound(*ports("p1")))
        first = await site.attached()
        await site.left(first)
        site.publisher.change(removed={HOST: [port_key("p1")]})
        ahead = {scope: position + 3 for scope, position in first.position.items()}

        again = FakeAgent(epoch=first.epoch, held=first.held, position=ahead)
        site.attach(again)
        await again.until(lambda: again.in_sync)
        assert {NET, NEIGHBOURS} <= again.held.keys()

        site.publisher.change()
        site.publisher.change()
        await again.until(lambda: not {NET, NEIGHBOURS} & again.held.keys())


async def test_below_the_floor_a_snapshot_goes() -> None:
    """When tombstones are gone, an older position gets a snapshot, and what it lost goes with the old state."""
    async with a_site() as site:
        site.publisher.change(bound(*ports("p1")))
        site.publisher.change({NEIGHBOURS: [a_neighbour(f"n{number}") for number in range(200)]})
        first = await site.attached()
        await site.left(first)
        for number in range(200):
            site.publisher.change(removed={NEIGHBOURS: [neighbour_key(f"n{number}")]})
        await site.settled()

        again = FakeAgent(epoch=first.epoch, held=first.held, position=first.position)
        await site.attached(again)

        assert [m.from_revision for m in again.updates(NEIGHBOURS)] == [0]
        assert site.same(again, [REGION, HOST, NET, NEIGHBOURS])


async def test_a_large_snapshot_comes_in_chunks() -> None:
    """A snapshot is divided; no message is larger than a frame, and the state is whole after the last chunk."""
    async with a_site(chunk_bytes=CHUNK) as site:
        site.publisher.change(bound(*ports("p1")))
        many = [a_neighbour(f"neighbour-{number:06}") for number in range(600)]
        site.publisher.change({NEIGHBOURS: many})

        agent = await site.attached()

        chunks = agent.updates(NEIGHBOURS)
        assert len(chunks) > 1
        assert [chunk.more for chunk in chunks] == [True] * (len(chunks) - 1) + [False]
        assert len({chunk.through for chunk in chunks}) == 1
        assert max(sum(len(e.body) for e in chunk.put) for chunk in chunks) < CHUNK
        assert site.same(agent, [REGION, HOST, NET, NEIGHBOURS])


async def test_a_change_between_chunks_is_not_lost() -> None:
    """What changes while a snapshot is under way follows it as a step; nothing comes between its chunks."""
    async with a_site(chunk_bytes=CHUNK) as site:
        site.publisher.change(bound(*ports("p1")))
        many = [a_neighbour(f"neighbour-{number:06}") for number in range(600)]
        site.publisher.change({NEIGHBOURS: many})
        agent = FakeAgent()
        changed: list[int] = []

        def change_at_the_first_chunk() -> None:
            if agent.updates(NEIGHBOURS) and not changed:
                changed.append(
                    site.publisher.change(
                        {NET: [a_network("net-1", mtu=1300)], NEIGHBOURS: [a_neighbour("new")]},
                        {NEIGHBOURS: [neighbour_key("neighbour-000001")]},
                    )
                )

        agent.watch = change_at_the_first_chunk
        await site.attached(agent)
        await agent.until_synced(site.publisher.head)

        scopes = [m.scope for m in agent.messages if isinstance(m, ScopeUpdate)]
        first = scopes.index(NEIGHBOURS)
        chunks = sum(1 for update in agent.updates(NEIGHBOURS) if update.from_revision == 0)
        assert chunks > 1
        assert scopes[first : first + chunks] == [NEIGHBOURS] * chunks
        assert site.same(agent, [REGION, HOST, NET, NEIGHBOURS])


async def test_a_long_way_to_catch_up_is_never_half_a_way() -> None:
    """What is larger than a chunk comes as a snapshot: of an item that changed twice the value in between is not known,
    so that an agent which stood there would hold what never was (I7)."""
    async with a_site(chunk_bytes=CHUNK) as site:
        site.publisher.change(bound(*ports("p1")))
        first = await site.attached()
        watcher = await site.attached(FakeAgent(host_id="host-2"))
        first.reading.clear()
        for batch in range(10):
            twice = a_neighbour("twice", host_id=f"host-{batch}")
            others = [a_neighbour(f"n-{batch}-{number:03}") for number in range(60)]
            revision = site.publisher.change({NEIGHBOURS: [twice, *others]})
            await watcher.until_synced(revision)
        seen: list[int] = []
        first.watch = lambda: seen.append(first.position[NEIGHBOURS])
        before = first.position[NEIGHBOURS]

        first.reading.set()
        await first.until_synced(revision)

        late = [update for update in first.updates(NEIGHBOURS) if update.through == revision]
        assert len(late) > 1
        assert {update.from_revision for update in late} == {0}
        assert max(sum(len(each.body) for each in update.put) for update in late) < CHUNK
        assert set(seen) <= {before, before + 1, revision}
        assert first.gaps == []
        assert site.same(first, [REGION, HOST, NET, NEIGHBOURS])


async def test_a_slow_agent_costs_no_memory() -> None:
    """A thousand changes while an agent does not read are one value when it does (I8); others go on."""
    async with a_site() as site:
        site.publisher.change(bound(*ports("p1")))
        site.publisher.change(bound(*ports("q1"), host_id="host-2"))
        slow, quick = await site.attached(), await site.attached(FakeAgent(host_id="host-2"))
        slow.reading.clear()
        before = len(slow.messages)
        for number in range(1000):
            revision = site.publisher.change({NEIGHBOURS: [a_neighbour("q1", host_id=f"h{number}")]})
            if number % 100 == 0:
                await quick.until_held(NEIGHBOURS, revision)
        await quick.until_synced(revision)

        slow.reading.set()
        await slow.until_synced(revision)

        steps = [m for m in slow.messages[before:] if isinstance(m, ScopeUpdate)]
        # One that was on its way when it stopped to read, and one with everything since.
        assert len(steps) <= 2
        assert site.same(slow, [REGION, HOST, NET, NEIGHBOURS])


async def test_agents_that_are_up_to_date_share_one_step() -> None:
    """A step for many agents is one object, so that it is encoded once, however far each knows the heads."""
    async with a_site(idle_heads_s=1000) as site:
        site.publisher.change(bound(*ports("p1")))
        site.publisher.change(bound(*ports("q1"), host_id="host-2"))
        agents = [await site.attached(), await site.attached(FakeAgent(host_id="host-2"))]
        site.publisher.change({host_scope("host-2"): [a_local_port("q1", name="renamed")]})
        await agents[1].until_synced(site.publisher.head)

        revision = site.publisher.change({NEIGHBOURS: [a_neighbour("far")]})
        for agent in agents:
            await agent.until_held(NEIGHBOURS, revision)

        assert agents[0].updates(NEIGHBOURS)[-1] is agents[1].updates(NEIGHBOURS)[-1]
        assert [agent.gaps for agent in agents] == [[], []]


async def test_a_gap_of_an_agent_is_answered_from_its_position() -> None:
    """An agent that asks to resume gets the suffix after its position, or the scope whole from 0."""
    async with a_site() as site:
        site.publisher.change(bound(*ports("p1")))
        agent = await site.attached()
        position = agent.position[NEIGHBOURS]
        revision = site.publisher.change({NEIGHBOURS: [a_neighbour("far")]})
        await agent.until_synced(revision)
        del agent.held[NEIGHBOURS][neighbour_key("far")]
        agent.position[NEIGHBOURS] = position

        agent.say(Resume(NEIGHBOURS, position))
        await agent.until(lambda: neighbour_key("far") in agent.held[NEIGHBOURS])
        last = agent.updates(NEIGHBOURS)[-1]
        assert (last.from_revision, len(last.put)) == (position, 1)

        agent.held[NEIGHBOURS].clear()
        agent.position[NEIGHBOURS] = -1
        agent.say(Resume(NEIGHBOURS, 0))
        await agent.until(lambda: len(agent.held[NEIGHBOURS]) == 2)
        assert agent.updates(NEIGHBOURS)[-1].from_revision == 0


async def test_a_gap_without_content_is_answered() -> None:
    """Also when nothing changed since, an agent that asks is told through where its scope is complete."""
    async with a_site() as site:
        site.publisher.change(bound(*ports("p1")))
        agent = await site.attached()
        position = agent.position[NEIGHBOURS]
        revision = site.publisher.change({NET: [NetworkHost(id="host-9", vtep="192.0.2.9")]})
        await agent.until_synced(revision)
        agent.position[NEIGHBOURS] = position

        agent.say(Resume(NEIGHBOURS, position))
        await agent.until(lambda: agent.updates(NEIGHBOURS)[-1].from_revision == position)

        last = agent.updates(NEIGHBOURS)[-1]
        assert (last.through, last.put) == (revision, ())


async def test_a_new_epoch_is_told_whole() -> None:
    """When the publisher begins a new epoch, every scope comes whole in it, also those it does not know."""
    async with a_site() as site:
        site.publisher.change(bound(*ports("p1")))
        agent = await site.attached()
        site.publisher.change(removed={HOST: [port_key("p1")]})
        await agent.until_synced(site.publisher.head)
        site.publisher.change(bound(*ports("p1")))
        await agent.until_synced(site.publisher.head)
        del site.publisher.items[NEIGHBOURS]

        site.publisher.begin_epoch(2)
        scopes = [REGION, HOST, NET, NEIGHBOURS]
        await agent.until(lambda: agent.epochs == dict.fromkeys(scopes, EPOCH + 1))

        await agent.until(lambda: isinstance(agent.messages[-1], Heads))
        assert site.same(agent, scopes)
        assert agent.position == dict.fromkeys(scopes, 2)
        announced = [m.through for m in agent.messages if isinstance(m, Heads) and m.epoch > EPOCH]
        assert dict(pair for heads in announced for pair in heads.items()) == {
            shard_of(scope): 2 for scope in scopes
        }


def a_host_in_another_shard_than(scope: Scope) -> str:
    return next(
        id
        for id in map("host-{}".format, range(100))
        if shard_of(host_scope(id)) not in (shard_of(scope), shard_of(network_scope(scope.id)))
    )


# Two shards process revisions 99 and 100 by themselves: the target loses an item in 99, the holder's reference
# comes in 100. `h` and `t` are the next step of each.
Change = tuple[dict[Scope, list[LocalPort]], dict[Scope, list[Key]], int]
INTERLEAVINGS = sorted(set(permutations("hhtt")))


@pytest.mark.parametrize("is_held_before", [True, False])
@pytest.mark.parametrize("order", INTERLEAVINGS, ids="".join)
async def test_a_reference_never_meets_an_older_target(order: tuple[str, ...], is_held_before: bool) -> None:
    """Reference at 100, target at 98: whatever comes first, no state is resolved that never existed."""
    host_id = a_host_in_another_shard_than(NEIGHBOURS)
    holder = host_scope(host_id)
    mine = {shard_of(holder)}
    theirs = set(range(64)) - mine
    async with a_site() as site:
        publisher = site.publisher
        publisher.change({holder: [a_host(host_id)]})
        before = [a_local_port("old")] if is_held_before else []
        publisher.change(bound(*before, host_id=host_id), revision=97)
        publisher.change({NET: [a_network()], NEIGHBOURS: [a_neighbour("allow-all")]}, revision=98)
        agent = await site.attached(FakeAgent(host_id=host_id))
        wrong: list[str] = []

        def look() -> None:
            if agent.resolved(port_key("new")) and neighbour_key("allow-all") in agent.held[NEIGHBOURS]:
                wrong.append("the port was open to what was removed before it came")

        agent.watch = look
        gone = {NEIGHBOURS: [neighbour_key("allow-all")]}
        steps: dict[str, Iterator[Change]] = {
            "h": iter([({}, {}, 99), ({holder: [a_local_port("new")]}, {}, 100)]),
            "t": iter([({}, gone, 99), ({}, {}, 100)]),
        }
        for number, step in enumerate(order):
            put, removed, revision = next(steps[step])
            publisher.change(put, removed, shards=mine if step == "h" else theirs, revision=revision)
            # Each step is on its way before the next is made; the last may meet the one before it.
            await site.settled() if number % 2 == 0 else await asyncio.sleep(0)

        await agent.until(lambda: agent.resolved(port_key("new")))
        assert wrong == []
        assert agent.early == []
        await agent.until(lambda: site.same(agent, [REGION, holder, NET, NEIGHBOURS]))


async def test_since_is_kept_while_the_reference_stands() -> None:
    """A recompute that dates a standing reference anew sends nothing: its holder's row did not change."""
    async with a_site() as site:
        site.publisher.change(bound(*ports("p1")))
        agent = await site.attached()
        before = len(agent.updates(HOST))
        since = agent.held[HOST][port_key("p1")].since

        revision = site.publisher.change({HOST: [Put(a_local_port("p1"), since - 1)]})
        await agent.until_synced(revision)

        assert len(agent.updates(HOST)) == before
        assert agent.held[HOST][port_key("p1")].since == since
