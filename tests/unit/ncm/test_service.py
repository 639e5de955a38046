"""Who is served, what is reported of hosts, how streams end."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from alcor.bus.grpc_client import GrpcConnector
from alcor.bus.grpc_server import AgentServer
from alcor.bus.interface import (
    Ack,
    AgentMessage,
    Heads,
    Heartbeat,
    PortReport,
    Refused,
    Resume,
    ScopeUpdate,
    Welcome,
)
from alcor.goalstate.item import ItemKind, Key
from alcor.goalstate.scope import REGION, host_scope, neighbours_scope, network_scope, shard_of
from alcor.ncm.session import REFUSAL, REVOKED
from alcor.telemetry.metrics import REGISTRY
from tests.support.bus import EPOCH, a_neighbour
from tests.support.ncm import FakeAgent, a_host, a_site, bound, ports

HOST = host_scope("host-1")
NET, NEIGHBOURS = network_scope("net-1"), neighbours_scope("net-1")


@pytest.mark.parametrize(
    "agent",
    [
        {"token": "wrong"},
        {"token": ""},
        {"host_id": "unknown"},
        {"host_id": "unknown", "token": ""},
        {"host_id": "tokenless", "token": ""},
    ],
)
async def test_strangers_are_refused_alike(agent: dict[str, str]) -> None:
    """An unknown host, a wrong token and no token get the same sentence, no data, and are not reported."""
    async with a_site() as site:
        site.publisher.change({host_scope("tokenless"): [a_host("tokenless", "")]})
        stranger = FakeAgent(**agent)  # type: ignore[arg-type]  # two text fields

        await asyncio.wait_for(site.attach(stranger), 60)

        assert stranger.messages == [Refused(REFUSAL)]
        assert site.ncm.hosts == []
        assert len(site.ncm.cache) == 0


async def test_a_host_without_a_digest_cannot_be_attached_to() -> None:
    """A host whose digest is empty is served to nobody."""
    async with a_site() as site:
        nobody = a_host("open")
        site.publisher.change(
            {host_scope("open"): [type(nobody)(id="open", name="", vtep_addresses=(), token_digest="")]}
        )
        stranger = FakeAgent(host_id="open", token="")

        await asyncio.wait_for(site.attach(stranger), 60)

        assert stranger.messages == [Refused(REFUSAL)]


@pytest.mark.parametrize("first", [Heartbeat(), Resume(REGION, 0), Ack(epoch=EPOCH)])
async def test_the_first_message_must_be_hello(first: AgentMessage) -> None:
    """Anything else first ends the stream with the reason."""
    async with a_site() as site:
        agent = FakeAgent()
        agent.say(first)

        with pytest.raises(ConnectionError, match="not a hello"):
            await site.ncm.handle(agent)

        assert agent.messages == []


@pytest.mark.parametrize("host_id", ["", "x" * 65])
async def test_an_absurd_host_id_is_refused(host_id: str) -> None:
    """An id that no host can have is not even looked up."""
    async with a_site() as site:
        agent = FakeAgent(host_id=host_id)

        await asyncio.wait_for(site.attach(agent), 60)

        assert [type(message) for message in agent.messages] == [Refused]
        assert site.publisher.asked == []


async def test_a_stream_without_a_word() -> None:
    """A stream that ends before its first message leaves nothing behind."""
    async with a_site() as site:
        agent = FakeAgent()
        agent.go()

        await site.ncm.handle(agent)

        assert agent.messages == []


async def test_welcome() -> None:
    """A proved agent learns the epoch and the heartbeat first, and the region hears that it lives."""
    async with a_site(heartbeat_s=7.0) as site:
        agent = await site.attached()

        assert agent.messages[0] == Welcome(EPOCH, 7.0)
        report = await site.told(lambda report: report.alive)
        assert (report.host_id, report.epoch, report.agent_version) == ("host-1", EPOCH, "1.0")
        assert site.ncm.hosts == ["host-1"]
        assert REGISTRY.get_sample_value("alcor_ncm_agents") == 1
        assert REGISTRY.get_sample_value("alcor_ncm_scopes") == len(site.ncm.cache)


async def test_acknowledgements_are_reported_at_once() -> None:
    """What a barrier confirmed, and what ports did, reaches the dataplane as it was said."""
    async with a_site() as site:
        agent = await site.attached()
        port = PortReport("p1", True, 5, 12.5)

        agent.say(Ack(epoch=EPOCH, realized={3: 9}, ports=(port,)))

        report = await site.told(lambda report: report.ports)
        assert (report.epoch, report.realized, report.ports) == (EPOCH, {3: 9}, (port,))


async def test_heartbeats_are_passed_on_sparingly() -> None:
    """A new detail is reported at once; equal heartbeats at most every half interval."""
    async with a_site(heartbeat_s=0.1) as site:
        agent = await site.attached()
        await site.told(lambda report: report.alive)

        agent.say(Heartbeat("the switch is gone"))
        assert (await site.told(lambda report: True)).detail == "the switch is gone"
        for _ in range(200):  # the site's clock moves a millisecond a look
            agent.say(Heartbeat("the switch is gone"))
        agent.say(Heartbeat(""))
        await site.told(lambda report: report.detail == "")

        # One each for the attachment and for the two new details, and one every 50 ms of the site's clock.
        assert 6 <= site.bus.reported <= 9


async def test_what_an_agent_says_of_its_ports_is_repeated() -> None:
    """In which epoch a host is settled is told at once and again with every report; a new stream has to say it anew."""
    async with a_site() as site:
        agent = await site.attached()
        agent.say(Heartbeat(settled=EPOCH))
        await site.told(lambda report: report.settled == EPOCH)
        agent.say(Ack(epoch=EPOCH, realized={3: 9}))
        assert (await site.told(lambda report: report.realized)).settled == EPOCH
        await site.left(agent)
        assert (await site.told(lambda report: not report.alive)).settled == EPOCH

        await site.attached()
        assert (await site.told(lambda report: report.alive)).settled == 0


async def test_position_max() -> None:
    """The highest position an agent shows in this epoch, or in a later one, is reported; of an older one, nothing."""
    async with a_site() as site:
        for epoch, expected in ((EPOCH, (EPOCH, 77)), (EPOCH - 1, (EPOCH, 0)), (EPOCH + 1, (EPOCH + 1, 77))):
            agent = FakeAgent(epoch=epoch, held={REGION: {}, HOST: {}}, position={REGION: 5, HOST: 77})
            site.attach(agent)
            report = await site.told(lambda report: report.alive)
            assert (report.epoch, report.position_max) == expected
            await site.left(agent)
            await site.told(lambda report: not report.alive)


async def test_an_agent_that_goes_is_reported() -> None:
    """When the stream ends the host is reported lost, and its scopes are kept for its return."""
    async with a_site() as site:
        site.publisher.change(bound(*ports("p1")))
        agent = await site.attached()
        await site.left(agent)

        report = await site.told(lambda report: not report.alive)

        assert report.host_id == "host-1"
        assert site.ncm.hosts == []
        assert len(site.ncm.cache) == 4


async def test_a_silent_agent_is_lost() -> None:
    """An agent that says nothing for three heartbeats is given up and reported."""
    async with a_site(heartbeat_s=0.02) as site:
        agent = FakeAgent()
        task = site.attach(agent)

        with pytest.raises(ConnectionError, match=r"said nothing for 0\.06 s"):
            await asyncio.wait_for(task, 60)

        assert not (await site.told(lambda report: not report.alive)).alive


async def test_a_second_stream_replaces_the_first() -> None:
    """A host's new stream ends its old one with a reason; the host is never reported lost for it."""
    async with a_site() as site:
        first = FakeAgent()
        ended = site.attach(first)
        await first.until_synced()
        one = await site.told(lambda report: report.alive)

        second = FakeAgent()
        site.attach(second)
        await asyncio.wait_for(ended, 60)
        two = await site.told(lambda report: report.session != one.session)

        assert isinstance(first.messages[-1], Refused)
        assert "another stream" in first.messages[-1].reason
        assert two.alive
        assert two.session > one.session
        await second.until_synced()
        second.say(Heartbeat("here"))
        await site.told(lambda report: report.detail == "here")
        assert site.lost == []


async def test_a_stuck_stream_is_replaced_too() -> None:
    """An old stream whose agent does not read any more cannot keep the new one out."""
    async with a_site() as site:
        site.publisher.change(bound(*ports("p1")))
        stuck = FakeAgent()
        ended = site.attach(stuck)
        await stuck.until_synced()
        stuck.reading.clear()
        site.publisher.change({NEIGHBOURS: [a_neighbour("far")]})
        await site.settled()

        second = FakeAgent()
        site.attach(second)
        await second.until_synced(site.publisher.head)

        await asyncio.wait_for(ended, 60)
        assert site.ncm.hosts == ["host-1"]


async def test_a_host_that_is_deleted_is_refused_from_then() -> None:
    """When the host goes, or gets another token, its attached agent gets nothing more."""
    async with a_site() as site:
        for revoke in ("deleted", "changed"):
            site.publisher.change({HOST: [a_host()]})
            agent = FakeAgent()
            task = site.attach(agent)
            await agent.until_synced(site.publisher.head)
            before = len(agent.said(ScopeUpdate))

            if revoke == "deleted":
                site.publisher.change(bound(*ports("p1")), {HOST: [Key(ItemKind.HOST, "host-1")]})
            else:
                site.publisher.change({HOST: [a_host(token="another")]})
            await asyncio.wait_for(task, 60)

            assert agent.messages[-1] == Refused(REVOKED)
            assert len(agent.said(ScopeUpdate)) == before


async def test_other_changes_of_the_host_keep_its_agent() -> None:
    """A host whose addresses change is proved again and served on."""
    async with a_site() as site:
        agent = await site.attached()
        moved = a_host()

        revision = site.publisher.change(
            {
                HOST: [
                    type(moved)(
                        id="host-1", name="x", vtep_addresses=("192.0.2.9",), token_digest=moved.token_digest
                    )
                ]
            }
        )

        await agent.until_synced(revision)
        assert site.same(agent, [REGION, HOST])


async def test_attaching_before_the_dataplane_serves() -> None:
    """An agent that comes before the region has loaded waits, and is served as soon as it has."""
    async with a_site(serving=False) as site:
        agent = FakeAgent()
        site.attach(agent)
        await site.settled()
        assert agent.messages == []

        site.publisher.serve()
        await agent.until_synced(1)

        assert site.same(agent, [REGION, HOST])


async def test_attaching_to_a_region_that_does_not_load() -> None:
    """An agent is not kept waiting for ever: its stream ends with a sentence, not with a refusal."""
    async with a_site(serving=False, admit_s=0.01) as site:
        agent = FakeAgent()

        with pytest.raises(ConnectionError, match="still loading"):
            await asyncio.wait_for(site.attach(agent), 60)

        assert agent.messages == []


async def test_a_scope_that_came_too_late_for_an_agent_is_there_when_it_comes_back() -> None:
    """What takes longer than an agent waits is not begun anew by each of its attempts."""
    async with a_site(serving=False, admit_s=0.01) as site:
        with pytest.raises(ConnectionError, match="still loading"):
            await asyncio.wait_for(site.attach(FakeAgent()), 5)
        site.publisher.serve()
        await site.settled()

        assert [
            scope for scope in (HOST, REGION) if (held := site.ncm.cache.find(scope)) and held.loaded
        ] == [HOST]

        agent = await site.attached()

        assert site.same(agent, [REGION, HOST])


async def test_idle_agents_hear_of_heads_together() -> None:
    """Agents that lack nothing but heads are told once an interval; one that has a step is told at once."""
    async with a_site(idle_heads_s=1000) as site:
        site.publisher.change(bound(*ports("p1")))
        busy, idle = await site.attached(), await site.attached(FakeAgent(host_id="host-2"))
        before = len(idle.frames)

        for number in range(10):
            revision = site.publisher.change({NEIGHBOURS: [a_neighbour(f"n{number}")]})
            await busy.until_synced(revision)

        assert len(idle.frames) == before
        assert min(idle.position.values()) < revision


async def test_the_last_head_reaches_idle_agents() -> None:
    """The trailing head of a burst is told when the interval is over, without another change."""
    async with a_site(idle_heads_s=0.02) as site:
        idle = await site.attached(FakeAgent(host_id="host-2"))
        for number in range(10):
            site.publisher.change({NEIGHBOURS: [a_neighbour(f"n{number}")]})
            await site.settled()

        await idle.until_synced(site.publisher.head)

        assert len(idle.said(Heads)) < 5


async def test_a_step_and_later_heads() -> None:
    """A step that is ahead of another shard's head makes that head urgent, also between the intervals."""
    async with a_site(idle_heads_s=1000) as site:
        site.publisher.change(bound(*ports("p1")))
        agent = await site.attached()
        mine = {shard_of(NEIGHBOURS)}

        revision = site.publisher.change({NEIGHBOURS: [a_neighbour("far")]}, shards=mine)
        await agent.until_held(NEIGHBOURS, revision)
        assert agent.position[HOST] < revision
        site.publisher.change(shards=set(range(64)) - mine, revision=revision)

        await agent.until_synced(revision)


class GrpcAgent:
    """A `FakeAgent` behind a real stream."""

    def __init__(self, fake: FakeAgent, address: str) -> None:
        self.fake = fake
        self.address = address

    async def run(self) -> None:
        stream = await GrpcConnector(self.address).connect()
        try:
            said = self.fake.receive()
            telling = asyncio.create_task(self._tell(stream, said))
            async for batch in stream.receive():
                await self.fake.send(batch)
            telling.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await telling
        finally:
            await stream.close()

    async def _tell(self, stream: object, said: AsyncIterator[AgentMessage]) -> None:
        async for message in said:
            await stream.send(message)  # type: ignore[attr-defined]


async def test_over_grpc() -> None:
    """Agents on real streams: synced, updated, resumed after a break of the region, and refused."""
    async with a_site() as site:
        site.publisher.change(bound(*ports("p1")))
        server = AgentServer(site.ncm.handle, ["127.0.0.1:0"])
        (address,) = await server.start()
        agent, stranger = FakeAgent(), FakeAgent(token="wrong")
        for fake in (agent, stranger):
            fake.hello()
        running = asyncio.create_task(GrpcAgent(agent, address).run())
        await GrpcAgent(stranger, address).run()
        assert stranger.messages == [Refused(REFUSAL)]

        await agent.until_synced(site.publisher.head)
        revision = site.publisher.change(bound(*ports("p2", network_id="net-2")))
        await agent.until_synced(revision)
        agent.say(Ack(epoch=EPOCH, realized={1: revision}))
        assert (await site.told(lambda report: report.realized)).realized == {1: revision}
        assert agent.early == []

        await server.stop(0)
        with pytest.raises(ConnectionError):
            await running
        assert not (await site.told(lambda report: not report.alive)).alive
        revision = site.publisher.change({NEIGHBOURS: [a_neighbour("far")]})
        server = AgentServer(site.ncm.handle, ["127.0.0.1:0"])
        (address,) = await server.start()
        again = FakeAgent(epoch=agent.epoch, held=agent.held, position=agent.position)
        again.hello()
        running = asyncio.create_task(GrpcAgent(again, address).run())
        await again.until_synced(revision)

        scopes = [REGION, HOST, NET, NEIGHBOURS, network_scope("net-2"), neighbours_scope("net-2")]
        assert [m.scope for m in again.messages if isinstance(m, ScopeUpdate)] == [NEIGHBOURS]
        assert site.same(again, scopes)
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
        await server.stop(0)
