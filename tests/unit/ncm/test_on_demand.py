"""Large scopes: agents hold what they ask for, and get its changes as of any scope."""

from zlib import crc32

import pytest

from alcor.bus.interface import Confirm, Forget, Hasten, Heads, Lookup, Resume, ScopeUpdate
from alcor.goalstate.item import Item, ItemKind, Key, Neighbour, RelayItem, key_of
from alcor.goalstate.scope import (
    REGION,
    Scope,
    host_scope,
    members_scope,
    neighbours_scope,
    network_scope,
    rules_scope,
    shard_of,
)
from alcor.goalstate.security_item import GroupRule, Member, RulesItem
from alcor.ncm import scope_cache
from alcor.telemetry.metrics import KEYS_HELD, LOOKUPS, SCOPES_LAZY
from tests.support.bus import EPOCH, a_local_port, a_neighbour, a_network
from tests.support.ncm import CODEC, FakeAgent, Site, a_site

HOST, HOST_2 = host_scope("host-1"), host_scope("host-2")
NET, NEIGHBOURS = network_scope("net-1"), neighbours_scope("net-1")
ABOVE, BELOW = 6, 4


def peer(number: int, **changes: object) -> Neighbour:
    """Neighbour `p<number>` with address 10.0.0.<number>."""
    fields: dict[str, object] = {"ips": (f"10.0.0.{number}",), "mac": f"fa:16:3e:00:00:{number:02x}"}
    return a_neighbour(f"p{number}", **(fields | changes))


def a_large_site(**also: object):  # type: ignore[no-untyped-def]  # as `a_site`
    """A site where more than six neighbours are many."""
    return a_site(lazy_above=ABOVE, lazy_below=BELOW, **also)  # type: ignore[arg-type]  # as `a_site` takes them


def populate(site: Site, numbers: range, *hosts: str) -> None:
    """A network with these neighbours, and a port of it on each host."""
    site.publisher.change(
        {
            NET: [a_network()],
            NEIGHBOURS: [peer(number) for number in numbers],
            **{host_scope(host): [a_local_port(f"vm-{host}")] for host in hosts or ("host-1",)},
        }
    )


async def asked(agent: FakeAgent, *subjects: str) -> None:
    """Have an agent ask, and wait for the answer to the last one."""
    before = len(agent.updates(NEIGHBOURS))
    agent.say(Lookup(NEIGHBOURS, subjects))
    await agent.until(lambda: len(agent.updates(NEIGHBOURS)) > before)


def held(agent: FakeAgent) -> dict[str, bytes]:
    """What an agent holds of the network: id → body."""
    return {key.id: envelope.body for key, envelope in agent.held[NEIGHBOURS].items()}


def content(*items: Item) -> dict[str, bytes]:
    """The same of items."""
    return {item.id: CODEC.encode(item) for item in items}


async def test_a_large_network_is_not_sent() -> None:
    """The agent is in sync with none of its neighbours; a small one is sent whole."""
    async with a_large_site() as site:
        populate(site, range(6), "host-1")
        whole = await site.attached()
        site.publisher.change({NEIGHBOURS: [peer(6)]})
        agent = await site.attached(FakeAgent("host-2"))
        populate(site, range(7), "host-2")
        await agent.until(lambda: NEIGHBOURS in agent.held and agent.in_sync)

        assert set(whole.held[NEIGHBOURS]) >= {key_of(peer(n)) for n in range(6)}
        assert agent.lazy == {NEIGHBOURS}
        assert held(agent) == {}
        assert agent.early == []


async def test_an_answer_holds_what_was_asked_for() -> None:
    """By address or MAC; who is nobody is said to be; the answer is true through what it says."""
    async with a_large_site() as site:
        populate(site, range(10))
        agent = await site.attached()

        await asked(agent, "10.0.0.3", "10.0.0.77")

        answer = agent.updates(NEIGHBOURS)[-1]
        assert held(agent) == content(peer(3))
        assert agent.absent == [(NEIGHBOURS, "10.0.0.77")]
        assert (answer.lazy, answer.through) == (True, site.publisher.head)
        assert agent.gaps == []


async def test_changes_go_to_who_holds() -> None:
    """A step of what is held, its removal too; of others nothing is sent but heads, which rise all the same."""
    async with a_large_site() as site:
        populate(site, range(10), "host-1", "host-2")
        one, other = await site.attached(), await site.attached(FakeAgent("host-2"))
        await asked(one, "10.0.0.3", "10.0.0.4")
        await asked(other, "10.0.0.5")
        before = len(other.updates(NEIGHBOURS))

        site.publisher.change({NEIGHBOURS: [peer(3, vtep="192.0.2.9")]})
        head = site.publisher.change(removed={NEIGHBOURS: [key_of(peer(4))]})
        await one.until_synced(head)
        await other.until_synced(head)

        assert held(one) == content(peer(3, vtep="192.0.2.9"))
        assert len(other.updates(NEIGHBOURS)) == before
        assert other.position[NEIGHBOURS] == head


async def test_one_step_is_one_object_for_its_holders() -> None:
    """What many hold is encoded once."""
    async with a_large_site() as site:
        populate(site, range(10), "host-1", "host-2")
        agents = [await site.attached(FakeAgent(host)) for host in ("host-1", "host-2")]
        for agent in agents:
            await asked(agent, "10.0.0.3")

        head = site.publisher.change({NEIGHBOURS: [peer(3, vtep="192.0.2.9")]})
        for agent in agents:
            await agent.until_held(NEIGHBOURS, head)

        first, second = (agent.updates(NEIGHBOURS)[-1] for agent in agents)
        assert first is second
        assert first.lazy


async def test_who_appears_is_told_to_who_asked() -> None:
    """An answer that nobody has it does not stand when somebody does."""
    async with a_large_site() as site:
        populate(site, range(10))
        agent = await site.attached()
        await asked(agent, "10.0.0.50")

        head = site.publisher.change({NEIGHBOURS: [peer(50), peer(51)]})
        await agent.until_held(NEIGHBOURS, head)

        assert held(agent) == content(peer(50))


async def test_what_is_forgotten_is_removed_by_the_ncm() -> None:
    """And nothing of it is sent afterwards, until it is asked for again."""
    async with a_large_site() as site:
        populate(site, range(10))
        agent = await site.attached()
        await asked(agent, "10.0.0.3", "10.0.0.4")

        agent.say(Forget(NEIGHBOURS, (key_of(peer(3)),)))
        await agent.until(lambda: held(agent) == content(peer(4)))
        await agent.until_synced(site.publisher.change({NEIGHBOURS: [peer(3, vtep="192.0.2.9")]}))
        forgotten = held(agent)
        await asked(agent, "10.0.0.3")

        assert forgotten == content(peer(4))
        assert held(agent) == content(peer(3, vtep="192.0.2.9"), peer(4))


async def test_only_what_differs_is_confirmed() -> None:
    """What was lost on either side is found: a wrong value, an item that is gone, interest that is not known."""
    async with a_large_site() as site:
        populate(site, range(10))
        agent = await site.attached()
        await asked(agent, "10.0.0.3", "10.0.0.4")
        before = len(agent.updates(NEIGHBOURS))
        gone = key_of(peer(99))
        right, wrong = crc32(CODEC.encode(peer(3))), 7

        agent.say(Confirm(NEIGHBOURS, (key_of(peer(3)),), (right,)))
        keys = (key_of(peer(3)), key_of(peer(4)), key_of(peer(5)), gone)
        agent.say(Confirm(NEIGHBOURS, keys, (right, wrong, crc32(CODEC.encode(peer(5))), 0)))
        await agent.until(lambda: len(agent.updates(NEIGHBOURS)) > before)
        await site.settled()

        [answer] = agent.updates(NEIGHBOURS)[before:]
        assert [envelope.key for envelope in answer.put] == [key_of(peer(4)), key_of(peer(5))]
        assert answer.removed == (gone,)


async def test_a_reconnected_agent_gets_what_changed() -> None:
    """Of what it says to hold: the changed, the gone; nothing that is as it was."""
    async with a_large_site() as site:
        populate(site, range(10))
        agent = await site.attached()
        await asked(agent, "10.0.0.3", "10.0.0.4", "10.0.0.5")
        await site.left(agent)
        site.publisher.change({NEIGHBOURS: [peer(3, vtep="192.0.2.9"), peer(6, vtep="192.0.2.9")]})
        head = site.publisher.change(removed={NEIGHBOURS: [key_of(peer(4))]})

        again = FakeAgent(epoch=agent.epoch, held=agent.held, position=agent.position, lazy=agent.lazy)
        await site.attached(again)
        after = site.publisher.change({NEIGHBOURS: [peer(5, vtep="192.0.2.9")]})
        await again.until_held(NEIGHBOURS, after)

        first = again.updates(NEIGHBOURS)[0]
        assert (first.from_revision > 0, first.through, first.lazy) == (True, head, True)
        assert [envelope.key.id for envelope in first.put] == ["p3"]
        assert first.removed == (key_of(peer(4)),)
        assert held(again) == content(peer(3, vtep="192.0.2.9"), peer(5, vtep="192.0.2.9"))


async def test_what_is_asked_at_once_is_answered() -> None:
    """An agent asks as soon as it is welcomed, before it is known what it holds."""
    async with a_large_site() as site:
        populate(site, range(10))
        agent = await site.attached()
        await asked(agent, "10.0.0.3")
        await site.left(agent)

        again = FakeAgent(epoch=agent.epoch, held=agent.held, position=agent.position, lazy=agent.lazy)
        site.attach(again)
        again.say(Lookup(NEIGHBOURS, ("10.0.0.4",)))
        await again.until(lambda: len(again.held[NEIGHBOURS]) == 2)

        assert held(again) == content(peer(3), peer(4))


async def test_a_network_turns_and_turns_back() -> None:
    """What the agents hold stays held when it grows; below the lower bound it is whole again; between them nothing."""
    async with a_large_site() as site:
        populate(site, range(ABOVE))
        agent = await site.attached()

        site.publisher.change({NEIGHBOURS: [peer(n) for n in range(ABOVE, 10)]})
        await agent.until(lambda: agent.lazy)
        grown = held(agent)
        site.publisher.change({NEIGHBOURS: [peer(20)]})
        changed = site.publisher.change({NEIGHBOURS: [peer(2, vtep="192.0.2.9")]})
        await agent.until_held(NEIGHBOURS, changed)
        partly = held(agent)
        site.publisher.change(removed={NEIGHBOURS: [key_of(peer(n)) for n in range(4, 10)]})
        between = await site.attached(FakeAgent("host-2"))
        populate(site, range(0), "host-2")
        await between.until(lambda: NEIGHBOURS in between.held)
        mode = set(between.lazy)
        site.publisher.change(removed={NEIGHBOURS: [key_of(peer(n)) for n in (0, 1)]})
        await agent.until(lambda: not agent.lazy)
        await agent.until_synced(site.publisher.head)

        assert grown == content(*(peer(n) for n in range(10)))
        assert partly == content(*(peer(n) for n in range(10) if n != 2), peer(2, vtep="192.0.2.9"))
        assert mode == {NEIGHBOURS}
        assert held(agent) == content(peer(2, vtep="192.0.2.9"), peer(3), peer(20))
        assert agent.gaps == []


async def test_a_relay_holds_all() -> None:
    """A gateway host that relays for a network has all of it and every change; when it does so no longer, a part."""
    async with a_large_site(chunk_bytes=300) as site:
        populate(site, range(10), "host-1", "host-2")
        agent = await site.attached()

        site.publisher.change({HOST: [RelayItem(id="net-1")]})
        await agent.until(lambda: len(agent.held[NEIGHBOURS]) == 10)
        whole = set(agent.lazy)
        head = site.publisher.change({NEIGHBOURS: [peer(11)]})
        await agent.until_held(NEIGHBOURS, head)
        all = held(agent)
        site.publisher.change(removed={HOST: [Key(ItemKind.RELAY, "net-1")]})
        await agent.until(lambda: agent.lazy)
        await agent.until_synced(site.publisher.change({NEIGHBOURS: [peer(12)]}))

        assert whole == set()
        assert all == content(*(peer(n) for n in range(10)), peer(11))
        assert held(agent) == all


async def test_an_agent_that_is_ahead_gets_nothing_old() -> None:
    """It comes from an ncm that knew more: its questions wait until this one knows as much."""
    async with a_large_site() as site:
        populate(site, range(10))
        first = await site.attached()
        await asked(first, "10.0.0.3")
        ahead = site.publisher.head + 2
        agent = FakeAgent(
            "host-1",
            epoch=first.epoch,
            held={scope: dict(items) for scope, items in first.held.items()},
            position=first.position | {NEIGHBOURS: ahead},
            lazy={NEIGHBOURS},
        )
        await site.left(first)
        site.attach(agent)
        agent.say(Lookup(NEIGHBOURS, ("10.0.0.4",)))
        await site.settled()

        early = agent.updates(NEIGHBOURS)
        site.publisher.change({NEIGHBOURS: [peer(4, vtep="192.0.2.9")]})
        site.publisher.change()
        await agent.until(lambda: "p4" in held(agent))

        assert early == []
        assert held(agent) == content(peer(3), peer(4, vtep="192.0.2.9"))
        assert agent.updates(NEIGHBOURS)[0].through >= ahead


async def test_a_gap_is_answered_with_all_that_is_held() -> None:
    """What was removed in between is not known of a part, so all of it is said."""
    async with a_large_site() as site:
        populate(site, range(10))
        agent = await site.attached()
        await asked(agent, "10.0.0.3", "10.0.0.4")

        agent.say(Resume(NEIGHBOURS, agent.position[NEIGHBOURS]))
        before = len(agent.updates(NEIGHBOURS))
        await agent.until(lambda: len(agent.updates(NEIGHBOURS)) > before)

        answer = agent.updates(NEIGHBOURS)[-1]
        assert (answer.from_revision, answer.lazy) == (0, True)
        assert held(agent) == content(peer(3), peer(4))


async def test_a_new_epoch_keeps_what_is_held() -> None:
    """The keys are the same, the values those of the new history; what it does not know is gone."""
    async with a_large_site(chunk_bytes=100) as site:
        populate(site, range(10))
        agent = await site.attached()
        await asked(agent, "10.0.0.3", "10.0.0.4", "10.0.0.5")

        items = site.publisher.items[NEIGHBOURS]
        del items[key_of(peer(4))]
        site.publisher.begin_epoch(3)
        await agent.until(
            lambda: agent.epochs[NEIGHBOURS] == agent.epoch and "p4" not in agent.held[NEIGHBOURS]
        )
        await asked(agent, "10.0.0.6")
        await agent.until(lambda: "p6" in held(agent))

        assert held(agent) == content(peer(3), peer(5), peer(6))


async def test_much_news_is_sent_in_parts() -> None:
    """The position moves with the last part only: a stream that breaks in between loses nothing."""
    async with a_large_site(chunk_bytes=100) as site:
        populate(site, range(20))
        agent = await site.attached()

        agent.say(Lookup(NEIGHBOURS, tuple(f"10.0.0.{n}" for n in range(8))))
        await agent.until(lambda: len(agent.held[NEIGHBOURS]) == 8)
        agent.reading.clear()
        before = len(agent.updates(NEIGHBOURS))
        head = site.publisher.change({NEIGHBOURS: [peer(n, vtep="192.0.2.9") for n in range(8)]})
        await site.settled()
        agent.say(Lookup(NEIGHBOURS, ("10.0.0.99",)))
        agent.reading.set()
        await agent.until(lambda: agent.absent)

        parts = [each for each in agent.updates(NEIGHBOURS)[before:] if isinstance(each, ScopeUpdate)]
        assert len(parts) > 1
        assert {part.through for part in parts[:-1]} <= {head - 1, head}
        assert parts[-1].through == head
        assert held(agent) == content(*(peer(n, vtep="192.0.2.9") for n in range(8)))


async def test_what_leaves_the_closure_is_not_held() -> None:
    """A host whose last port of the network goes holds nothing of it; its questions are not answered."""
    async with a_large_site(grace_s=0) as site:
        populate(site, range(10))
        agent = await site.attached()
        await asked(agent, "10.0.0.3")

        head = site.publisher.change(removed={HOST: [Key(ItemKind.LOCAL_PORT, "vm-host-1")]})
        await agent.until_synced(head)
        agent.say(Lookup(NEIGHBOURS, ("10.0.0.4",)))
        await site.settled()

        assert set(agent.held) == {REGION, HOST}


async def test_what_is_counted() -> None:
    """Questions by answer; how many scopes are held on demand, and how much of them."""
    async with a_large_site() as site:
        populate(site, range(10))
        agent = await site.attached()
        before = [LOOKUPS.labels(answer)._value.get() for answer in ("found", "absent")]

        await asked(agent, "10.0.0.3", "10.0.0.4", "10.0.0.99")
        site.ncm.cache.measure()

        after = [LOOKUPS.labels(answer)._value.get() for answer in ("found", "absent")]
        assert [now - then for now, then in zip(after, before, strict=True)] == [2, 1]
        assert (SCOPES_LAZY._value.get(), KEYS_HELD._value.get()) == (1, 2)
        assert shard_of(NEIGHBOURS) in range(64)


async def test_what_is_sought_comes_before_the_agent_is_in_sync() -> None:
    """A new agent holds whom its switch's flows speak to, and nobody else; who is gone is absent."""
    async with a_large_site() as site:
        populate(site, range(10))
        macs = (peer(3).mac, peer(7).mac, "fa:16:3e:ff:ff:ff")

        agent = await site.attached(FakeAgent(sought={NEIGHBOURS: macs, neighbours_scope("gone"): macs}))

        assert held(agent) == content(peer(3), peer(7))
        first = agent.updates(NEIGHBOURS)[0]
        assert (first.from_revision, first.lazy, len(first.put)) == (0, True, 2)
        assert agent.absent == [(NEIGHBOURS, "fa:16:3e:ff:ff:ff")]
        revision = site.publisher.change(
            {NEIGHBOURS: [peer(3, vtep="192.0.2.77"), peer(4, vtep="192.0.2.77")]}
        )
        await agent.until_held(NEIGHBOURS, revision)
        assert held(agent) == content(peer(3, vtep="192.0.2.77"), peer(7))


async def test_addresses_that_are_sought_are_sought_among_the_members_of_groups() -> None:
    """A new agent holds the members that its switch lets in: it cannot say of which group they are."""
    rules, members = rules_scope("group"), members_scope("group")
    rule = GroupRule(id="rule", is_ingress=True, ip_version=4, group="group")
    crowd = [Member(id=f"m{number}", cidrs=(f"10.0.1.{number}/32",)) for number in range(10)]
    async with a_large_site() as site:
        populate(site, range(10))
        site.publisher.change({rules: [RulesItem(id="group", stateful=True, rules=(rule,))], members: crowd})
        site.publisher.change({host_scope("host-1"): [a_local_port("vm-host-1", groups=("group",))]})

        agent = await site.attached(FakeAgent(sought={NEIGHBOURS: (peer(3).mac, "10.0.1.4", "10.0.9.9")}))

        assert members in agent.lazy
        assert {key.id for key in agent.held[members]} == {"m4"}
        assert held(agent) == content(peer(3))


async def test_what_is_sought_of_a_network_held_whole() -> None:
    """It is in what the agent is sent anyway."""
    async with a_large_site() as site:
        populate(site, range(3))

        agent = await site.attached(FakeAgent(sought={NEIGHBOURS: (peer(2).mac,)}))

        assert held(agent) == content(*(peer(number) for number in range(3)))
        assert (agent.lazy, agent.absent) == (set(), [])


# --- somebody waits ----------------------------------------------------------------------------------------


async def waited_for(site: Site, revision: int, *scopes: Scope) -> None:
    """Say that somebody waits, and let the ncm take it in."""
    site.bus.hasten(Hasten(scopes or (NEIGHBOURS,), EPOCH, revision))
    await site.settled()


async def test_who_is_waited_for_hears_of_heads_at_once() -> None:
    """A change that an agent holds nothing of is told to it by one message when somebody waits, and not before."""
    async with a_large_site(idle_heads_s=1_000) as site:
        populate(site, range(10))
        agent = await site.attached()
        before = len(agent.frames)
        revision = site.publisher.change({NEIGHBOURS: [peer(99)]})
        await site.settled()
        assert len(agent.frames) == before

        await waited_for(site, revision)
        await agent.until_synced(revision)

        assert [[type(message) for message in frame] for frame in agent.frames[before:]] == [[Heads]]


async def test_a_wait_may_be_ahead_of_the_scope() -> None:
    """What is waited for may still be on its way: the agent is told when it came, and once."""
    async with a_large_site(idle_heads_s=1_000) as site:
        populate(site, range(10))
        agent = await site.attached()
        before = len(agent.frames)
        await waited_for(site, site.publisher.head + 1)
        assert len(agent.frames) == before

        revision = site.publisher.change({NEIGHBOURS: [peer(99)]})
        await agent.until_synced(revision)
        site.publisher.change({NEIGHBOURS: [peer(98)]})
        await site.settled()

        assert len(agent.frames) == before + 1


async def test_waits_wake_so_many_agents_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the bound agents hear of heads at the idle pace: waits are no flood."""
    monkeypatch.setattr(scope_cache, "HASTENED_PER_S", 1)
    async with a_large_site(idle_heads_s=1_000) as site:
        populate(site, range(10), "host-1", "host-2")
        agents = [await site.attached(), await site.attached(FakeAgent("host-2"))]
        before = sum(len(agent.frames) for agent in agents)
        revision = site.publisher.change({NEIGHBOURS: [peer(99)]})

        await waited_for(site, revision)

        assert sum(len(agent.frames) for agent in agents) == before + 1


async def test_a_wait_for_what_nobody_holds_in_part() -> None:
    """Agents that hold a scope whole have had its step; of a scope nobody holds there is nothing to say."""
    async with a_large_site(idle_heads_s=1_000) as site:
        populate(site, range(2))
        agent = await site.attached()
        revision = site.publisher.change({NEIGHBOURS: [peer(3)]})
        await agent.until_synced(revision)
        before = len(agent.frames)

        await waited_for(site, revision, NEIGHBOURS, neighbours_scope("net-9"))

        assert len(agent.frames) == before
