"""The bus between processes: strangers, losses, several ncms, slow ncms."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import pytest
import uvloop
from hypothesis import given
from hypothesis import strategies as st

from alcor.bus.codec import ProtobufCodec
from alcor.bus.frame import FRAME_BYTES
from alcor.bus.goal_server import GoalServer
from alcor.bus.grpc_client import GrpcConnector
from alcor.bus.grpc_server import AgentServer
from alcor.bus.interface import AgentPeer, HostReport, PortReport, Question
from alcor.goalstate.item import ItemKind, Key, Neighbour
from alcor.goalstate.scope import Scope, neighbours_scope, network_scope
from alcor.ncm.held_scope import HeldScope
from alcor.ncm.scope_cache import ScopeCache
from tests.support.bus import EPOCH, FakePublisher, Reader, a_neighbour, a_network
from tests.support.remote_bus import SECRET, a_client, a_server, being_read

CODEC = ProtobufCodec()
NEIGHBOURS = neighbours_scope("net-1")
NETWORK = network_scope("net-1")
Heard = AsyncIterator[Sequence[HostReport]]


def publishing(server: GoalServer) -> FakePublisher:
    """A publisher that serves, on the server's end."""
    publisher = FakePublisher(server)
    publisher.serve()
    return publisher


def a_report(host_id: str = "host-1", **changes: object) -> HostReport:
    fields: dict[str, object] = {"epoch": EPOCH, "alive": True, "at_ms": 1, "session": 10}
    return HostReport(host_id=host_id, **(fields | changes))  # type: ignore[arg-type]  # a builder


def plugged(*ids: str) -> tuple[PortReport, ...]:
    return tuple([PortReport(id, True, 5, 1.0) for id in ids])


async def heard(reports: Heard, within_s: float = 30.0) -> list[HostReport]:
    return list(await asyncio.wait_for(anext(reports), within_s))


async def until(holds: Callable[[], bool]) -> None:
    """Let the loop run until `holds()`."""
    async with asyncio.timeout(30):
        while not holds():  # noqa: ASYNC110  # there is no event to wait for: it is seen from outside
            await asyncio.sleep(0)  # the other end runs on the same loop


# --- strangers ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shown", ["", "another-secret", SECRET + "x", SECRET[:-1]])
async def test_without_the_secret_nobody_attaches(shown: str) -> None:
    """An ncm that does not show the dataplane's secret gets nothing, is told why, and tries again."""
    shows = [shown]
    async with a_server() as server, a_client(server.addresses[0], secret=lambda: shows[0]) as client:
        publisher = publishing(server)
        publisher.change({NEIGHBOURS: [a_neighbour("a")]})
        client.want(NEIGHBOURS)
        reader = Reader(client)
        taking = asyncio.create_task(reader.take_until(1, NEIGHBOURS))
        await until(lambda: "refused" in client.trouble)

        assert "bus.secret" in client.trouble
        assert (reader.batches, publisher.asked, server.ncms) == ([], [], [])
        shows[0] = SECRET
        await taking
        assert client.trouble == ""


async def test_the_secret_may_come_later(tmp_path: Path) -> None:
    """A secret file that is not there yet is said, and read when it is."""
    file = tmp_path / "bus.secret"
    async with a_server() as server, a_client(server.addresses[0], secret=file.read_text) as client:
        publishing(server).change()
        reader = Reader(client)
        taking = asyncio.create_task(reader.take_until(1))
        await until(lambda: str(file) in client.trouble)
        file.write_text(SECRET)
        await taking

        assert client.trouble == ""
        assert server.ncms == ["ncm-1"]


async def test_no_server_without_a_secret() -> None:
    """A dataplane without a secret does not listen at all."""
    with pytest.raises(ValueError, match="open to everybody"):
        GoalServer(object(), ["127.0.0.1:0"], secret="")  # type: ignore[arg-type]  # no codec is needed to refuse


async def test_agents_are_no_ncms() -> None:
    """An agent that dials the ncms' address is told that it is not its own."""
    async with a_server() as server:

        async def hear() -> None:
            stream = await GrpcConnector(server.addresses[0]).connect()
            try:
                await anext(stream.receive())
            finally:
                await stream.close()

        # The refusal may come before or after the stream counts as open.
        with pytest.raises(ConnectionError, match="is not the agents' address"):
            await hear()


async def test_ncms_are_no_agents() -> None:
    """An ncm that dials an agents' address says that no dataplane is there."""

    async def serve(peer: AgentPeer) -> None:
        async for _ in peer.receive():
            pass

    server = AgentServer(serve, ["127.0.0.1:0"])
    (address,) = await server.start()
    try:
        async with a_client(address) as client, being_read(client):
            await until(lambda: client.trouble not in ("", "it was not tried yet"))

            assert f"{address} is not the ncms' address of a dataplane" in client.trouble
    finally:
        await server.stop(0)


async def test_nobody_listens() -> None:
    """Where no dataplane is, the ncm says so and goes on trying."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    async with a_client(address) as client, being_read(client):
        await until(lambda: f"the dataplane at {address} cannot be reached" in client.trouble)

        async with a_server(address) as server:
            await until(lambda: "cannot be reached" not in client.trouble)

            assert server.ncms == ["ncm-1"]


async def test_the_socket_is_the_owners_alone(tmp_path: Path) -> None:
    """The bus's unix socket opens to its owner, and is gone after the stop."""
    path = tmp_path / "bus.sock"
    async with a_server(f"unix:{path}") as server, a_client(server.addresses[0]) as client:
        publishing(server).change()
        await Reader(client).take_until(1)

        assert path.stat().st_mode & 0o777 == 0o600
    assert not path.exists()


# --- losses ------------------------------------------------------------------------------------------------


async def test_a_restarted_dataplane_is_found_again(tmp_path: Path) -> None:
    """When the dataplane comes back, wanted scopes start with their snapshots, which hold what changed meanwhile."""
    address = f"unix:{tmp_path}/bus.sock"
    async with a_client(address) as client:
        reader = Reader(client)
        client.want(NEIGHBOURS)
        async with a_server(address) as server:
            publishing(server).change({NEIGHBOURS: [a_neighbour("a")]})
            await reader.take_until(1, NEIGHBOURS)
        async with a_server(address) as server:
            after = FakePublisher(server, generation=2)
            after.change({NEIGHBOURS: [a_neighbour("b")]}, revision=2)
            after.serve()
            await reader.take_until(2)

            assert {key.id for key in reader.held[NEIGHBOURS]} == {"b"}
            assert reader.gaps == []


async def test_a_restarted_dataplane_hears_all_of_it_again(tmp_path: Path) -> None:
    """All that attached hosts said in their sessions is told to a dataplane that did not hear it; of others nothing."""
    address = f"unix:{tmp_path}/bus.sock"
    async with a_client(address) as client, being_read(client):
        async with a_server(address) as server:
            reports = server.reports()
            client.report(a_report(realized={1: 5}, ports=plugged("p", "q"), agent_version="7"))
            await heard(reports)
            client.report(a_report(realized={2: 6}, ports=(PortReport("q", False, 0, 2.0),), at_ms=9))
            client.report(a_report("host-2", alive=False))
            await heard(reports)
        async with a_server(address) as server:
            assert await heard(server.reports()) == [
                a_report(realized={1: 5, 2: 6}, ports=plugged("p"), agent_version="7", at_ms=9)
            ]


async def test_what_happened_during_a_loss_is_told(tmp_path: Path) -> None:
    """A port that was pulled while the stream was away is reported unplugged when it is back; the host stayed alive."""
    async with a_server() as server:
        reports = server.reports()
        async with a_client(server.addresses[0]) as client:
            async with being_read(client):
                client.report(a_report(ports=plugged("p", "q")))
                await heard(reports)
            client.report(a_report(ports=(PortReport("q", False, 0, 7.0),), at_ms=7))
            async with being_read(client):
                (again,) = await heard(reports)

    assert again == a_report(ports=(*plugged("p"), PortReport("q", False, 0, 7.0)), at_ms=7)


async def test_hosts_of_a_lost_ncm_are_lost_after_the_grace() -> None:
    """An ncm that does not come back takes its hosts with it: they are reported not alive."""
    async with a_server(grace_s=0.05) as server:
        reports = server.reports()
        async with a_client(server.addresses[0]) as client, being_read(client):
            client.report(a_report("host-1"))
            client.report(a_report("host-2"))
            await heard(reports)

        lost = {report.host_id: report.alive for report in await heard(reports)}
        assert lost == {"host-1": False, "host-2": False}
        assert server.ncms == []


async def test_an_ncm_that_comes_back_keeps_its_hosts() -> None:
    """Within the grace the same ncm tells of its hosts again; of those it does not name the loss is reported."""
    async with a_server(grace_s=0.3) as server:
        reports = server.reports()
        async with a_client(server.addresses[0]) as client, being_read(client):
            client.report(a_report("stays"))
            client.report(a_report("leaves"))
            await heard(reports)
        async with a_client(server.addresses[0]) as client, being_read(client):
            client.report(a_report("stays"))
            assert await heard(reports) == [a_report("stays")]

            assert await heard(reports) == [a_report("leaves", alive=False)]


async def test_a_frame_that_cannot_be_read_ends_the_stream() -> None:
    """Bytes that are no frame end that ncm's stream with the reason; others go on."""
    async with (
        a_server() as server,
        a_client(server.addresses[0], "bad") as bad,
        a_client(server.addresses[0], "good") as good,
    ):
        publisher = publishing(server)
        publisher.change()
        reader, kept = Reader(good), Reader(bad)
        await kept.take_until(1)
        await reader.take_until(1)
        (link,) = bad.links
        assert link.call is not None
        await link.call.write(b"\xff\xff")  # below the client on purpose
        await until(lambda: server.ncms == ["good"])

        publisher.change()
        await reader.take_until(2)


# --- several ncms ------------------------------------------------------------------------------------------


async def test_each_ncm_gets_what_it_wants() -> None:
    """Two ncms hold different scopes and one in common; each gets its own, and a common item is encoded once."""
    async with (
        a_server() as server,
        a_client(server.addresses[0], "one") as one,
        a_client(server.addresses[0], "two") as two,
    ):
        publisher = publishing(server)
        first, second = Reader(one), Reader(two)
        one.want(NEIGHBOURS)
        two.want(NEIGHBOURS)
        two.want(NETWORK)
        publisher.change({NEIGHBOURS: [a_neighbour("a")], NETWORK: [a_network()]})
        await first.take_until(1, NEIGHBOURS)
        await second.take_until(1, NEIGHBOURS, NETWORK)
        before = server.codec.encoded
        publisher.change({NEIGHBOURS: [a_neighbour("b"), a_neighbour("c")]})
        await first.take_until(2)
        await second.take_until(2)

        assert {key.id for key in first.held[NEIGHBOURS]} == {"a", "b", "c"}
        assert set(first.held) == {NEIGHBOURS}
        assert first.held[NEIGHBOURS] == second.held[NEIGHBOURS]
        assert set(second.held) == {NEIGHBOURS, NETWORK}
        assert server.codec.encoded - before == 2


async def test_a_new_ncm_hears_the_heads_at_once() -> None:
    """An ncm that attaches when nothing moves is told where all shards stand, after its snapshots."""
    async with a_server() as server, a_client(server.addresses[0]) as client:
        publisher = publishing(server)
        publisher.change({NEIGHBOURS: [a_neighbour("a")]}, shards=range(64))
        publisher.change(shards=range(10))
        client.want(NEIGHBOURS)
        reader = Reader(client)

        await reader.take_until(1)

        assert reader.heads == {shard: 2 if shard < 10 else 1 for shard in range(64)}
        assert {key.id for key in reader.held[NEIGHBOURS]} == {"a"}


async def test_a_host_that_moves_belongs_to_the_later_attachment() -> None:
    """What the earlier ncm still says of a host that attached to another one does not count, also not its farewell."""
    async with (
        a_server() as server,
        a_client(server.addresses[0], "old") as old,
        a_client(server.addresses[0], "new") as new,
        being_read(old),
        being_read(new),
    ):
        reports = server.reports()
        old.report(a_report(session=10, ports=plugged("p")))
        await heard(reports)
        new.report(a_report(session=11))
        assert await heard(reports) == [a_report(session=11)]
        old.report(a_report(session=10, detail="late"))
        old.report(a_report(session=10, alive=False))
        old.report(a_report("marker"))
        await until(lambda: "marker" in server._speakers)  # what the old one said was taken in

        new.report(a_report(session=11, detail="now"))
        said = [report for batch in (await heard(reports),) for report in batch if report.host_id == "host-1"]
        assert said in ([], [a_report(session=11, detail="now")])


async def test_whom_a_host_left_for_speaks_next() -> None:
    """If clocks differ the new attachment may have the lower number: it counts once the other says farewell."""
    async with (
        a_server() as server,
        a_client(server.addresses[0], "fast") as fast,
        a_client(server.addresses[0], "slow") as slow,
        being_read(fast),
        being_read(slow),
    ):
        reports = server.reports()
        fast.report(a_report(session=20))
        await heard(reports)
        slow.report(a_report(session=15, ports=plugged("p")))
        slow.report(a_report("marker"))
        assert [report.host_id for report in await heard(reports)] == ["marker"]
        slow.report(a_report(session=15, ports=plugged("q"), realized={3: 4}))
        slow.report(a_report("marker", detail="2"))
        await heard(reports)
        fast.report(a_report(session=20, alive=False))

        assert await heard(reports) == [a_report(session=15, ports=plugged("p", "q"), realized={3: 4})]


async def test_a_second_stream_of_an_ncm_ends_its_first() -> None:
    """One ncm speaks on one stream: when it comes anew, the one that was not yet seen to end is over."""
    async with (
        a_server(grace_s=0.05) as server,
        a_client(server.addresses[0], "same") as before,
        a_client(server.addresses[0], "same") as after,
    ):
        reports = server.reports()
        publishing(server).change()
        first = Reader(before)
        await first.take_until(1)
        before.report(a_report(ports=plugged("p")))
        await heard(reports)
        after.report(a_report(ports=plugged("q")))
        second = Reader(after)
        await second.take_until(1)

        (told,) = await heard(reports)
        assert {port.port_id: port.plugged for port in told.ports} == {"q": True, "p": False}
        await until(lambda: server.ncms == ["same"])


# --- slow and large ----------------------------------------------------------------------------------------


async def test_a_slow_ncm_costs_one_step_per_scope() -> None:
    """What an ncm does not read is merged (I8), and delays no other; when it reads, it ends where the others are."""
    async with (
        a_server() as server,
        a_client(server.addresses[0], "slow") as slow,
        a_client(server.addresses[0], "quick") as quick,
    ):
        publisher = publishing(server)
        readers = {"slow": Reader(slow), "quick": Reader(quick)}
        for client in (slow, quick):
            client.want(NEIGHBOURS)
        publisher.change({NEIGHBOURS: [a_neighbour("a")]})
        for reader in readers.values():
            await reader.take_until(1, NEIGHBOURS)
        wide = tuple([f"h{number}" for number in range(20_000)])
        for number in range(300):
            publisher.change({NEIGHBOURS: [a_neighbour("a", host_id=f"h{number}", groups=wide)]})
            await readers["quick"].take_until(number + 2)

        steps = len(readers["slow"].batches)
        await readers["slow"].take_until(301)
        assert len(readers["slow"].batches) - steps < 150
        assert readers["slow"].held == readers["quick"].held
        assert readers["slow"].gaps == []


async def test_a_large_snapshot_arrives_whole() -> None:
    """A snapshot larger than a frame travels in chunks and comes out as one."""
    async with a_server() as server, a_client(server.addresses[0]) as client:
        publisher = publishing(server)
        groups = tuple([f"group-{number:060}" for number in range(100)])
        ports = [a_neighbour(f"p{number}", groups=groups) for number in range(500)]
        publisher.change({NEIGHBOURS: ports})
        client.want(NEIGHBOURS)
        reader = Reader(client)

        await reader.take_until(1, NEIGHBOURS)

        assert len(reader.held[NEIGHBOURS]) == 500
        assert sum(len(envelope.body) for envelope in reader.held[NEIGHBOURS].values()) > 3 * FRAME_BYTES


async def test_many_wants_are_divided_into_frames() -> None:
    """Wants that do not fit in one frame travel in several, and all are answered."""
    async with a_server() as server, a_client(server.addresses[0]) as client:
        publisher = publishing(server)
        scopes = [neighbours_scope(f"{'x' * 1000}-{number}") for number in range(2_500)]
        publisher.change({scopes[-1]: [a_neighbour("last")]})
        for scope in scopes:
            client.want(scope)
        reader = Reader(client)

        await reader.take_until(1, *scopes)

        assert {key.id for key in reader.held[scopes[-1]]} == {"last"}


async def test_what_answers_an_earlier_want_is_dropped() -> None:
    """A step that was on its way when its scope was wanted anew does not come between the want and its snapshot."""
    async with a_server() as server, a_client(server.addresses[0]) as client:
        publisher = publishing(server)
        reader = Reader(client)
        client.want(NEIGHBOURS)
        for number in range(1, 200):
            publisher.change({NEIGHBOURS: [a_neighbour(f"p{number % 7}", host_id=f"h{number}")]})
            if number % 3 == 0:
                publisher.change({}, {NEIGHBOURS: [Key(ItemKind.NEIGHBOUR, f"p{number % 5}")]})
            await asyncio.sleep(0)
            if number % 5 == 0:
                client.unwant(NEIGHBOURS)
                reader.forget(NEIGHBOURS)
                client.want(NEIGHBOURS)
            if number % 2:
                await reader.take()
        await reader.take_until(publisher.head, NEIGHBOURS)

        assert reader.gaps == []
        assert {key.id for key in reader.held[NEIGHBOURS]} == {key.id for key in publisher.items[NEIGHBOURS]}


def test_on_uvloop() -> None:
    """The bus works on uvloop, the region's event loop, and leaves nothing behind."""

    async def run() -> float:
        async with a_server() as server, a_client(server.addresses[0]) as client:
            publishing(server).change()
            await Reader(client).take_until(1)
            return time.monotonic()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(run()) > 0


# --- with the ncm's cache ----------------------------------------------------------------------------------

SCOPES = [neighbours_scope(id) for id in ("a", "b", "c")]
moves = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.sampled_from(SCOPES), st.sampled_from("xyz")),
        st.tuples(st.just("remove"), st.sampled_from(SCOPES), st.sampled_from("xyz")),
        st.tuples(st.just("acquire"), st.sampled_from(SCOPES), st.just("")),
        st.tuples(st.just("release"), st.sampled_from(SCOPES), st.just("")),
        st.tuples(st.sampled_from(("cut", "breathe", "breathe")), st.just(SCOPES[0]), st.just("")),
    ),
    max_size=40,
)


class Woken:
    """Somebody who needs scopes."""

    def wake(self) -> None:
        """Nothing to do: the test looks."""


@given(steps=moves)
async def test_whatever_is_cut_the_cache_ends_as_the_publisher(steps: list[tuple[str, Scope, str]]) -> None:
    """However changes, wants and broken streams interleave, an ncm's cache never claims what it does not hold, and ends
    equal to the publisher's state."""
    async with a_server() as server, a_client(server.addresses[0]) as client:
        publisher, cache, woken = publishing(server), ScopeCache(client, grace_s=0), Woken()
        history: dict[Scope, dict[int, set[Key]]] = {scope: {0: set()} for scope in SCOPES}

        async def take() -> None:
            async for batch in client.updates():
                for message in batch:
                    assert not isinstance(message, Question)
                    cache.take(message)
                    for scope in SCOPES:
                        held = cache.find(scope)
                        if held is not None and held.loaded and not held.reloading:
                            at = max(number for number in history[scope] if number <= held.position)
                            assert set(held.entries) == history[scope][at]

        taking = asyncio.create_task(take())
        for number, (move, scope, id) in enumerate(steps):
            match move:
                case "put":
                    publisher.change({scope: [a_neighbour(id, host_id=f"h{number}")]})
                case "remove":
                    publisher.change({}, {scope: [Key(ItemKind.NEIGHBOUR, id)]})
                case "acquire":
                    cache.acquire(scope, woken)
                case "release":
                    cache.release(scope, woken)
                case "cut":
                    for channel in server._channels:
                        channel.over.set()  # as a stream that breaks: the ncm is not asked
                case _:
                    for _ in range(number % 7):
                        await asyncio.sleep(0)
            history[scope][publisher.head] = set(publisher.items.get(scope, {}))
        head = publisher.change({})
        wanted = [held for scope in SCOPES if (held := cache.find(scope)) is not None]
        await until(lambda: taking.done() or all(held.loaded and held.position >= head for held in wanted))

        assert not taking.done() or taking.result()
        for held in wanted:
            assert {key: each.host_id for key, each in decoded(held).items()} == {
                key: put.item.host_id  # type: ignore[union-attr]  # neighbours only
                for key, put in publisher.items.get(held.scope, {}).items()
            }
        taking.cancel()
        await asyncio.gather(taking, return_exceptions=True)
        cache.close()


def decoded(held: HeldScope) -> dict[Key, Neighbour]:
    """What a cache holds of a scope of neighbours."""
    items = {key: CODEC.decode(key, envelope.body) for key, (_, envelope) in held.entries.items()}
    return {key: item for key, item in items.items() if isinstance(item, Neighbour)}
