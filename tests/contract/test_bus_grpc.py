"""Agents' streams over real sockets."""

import asyncio
import socket
import stat
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import uvloop

from alcor.bus.frame import FRAME_BYTES
from alcor.bus.grpc_client import GrpcConnector
from alcor.bus.grpc_server import AgentServer
from alcor.bus.interface import (
    AgentMessage,
    AgentPeer,
    AgentStream,
    Envelope,
    Heads,
    Heartbeat,
    Hello,
    NcmMessage,
    Refused,
    ScopeUpdate,
    Welcome,
)
from alcor.goalstate.item import ItemKind, Key
from alcor.goalstate.scope import neighbours_scope

HELLO = Hello(host_id="host-1", token="secret", agent_version="0")
FORMS = ["127.0.0.1:0", "[::1]:0", "unix"]


@pytest.fixture(params=FORMS)
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An address to listen on, of each form."""
    return f"unix:{tmp_path}/agents.sock" if request.param == "unix" else str(request.param)


@asynccontextmanager
async def serving(
    handler: Callable[[AgentPeer], Awaitable[None]], address: str = "127.0.0.1:0"
) -> AsyncIterator[str]:
    server = AgentServer(handler, [address])
    (bound,) = await server.start()
    try:
        yield bound
    finally:
        await server.stop(0)


@asynccontextmanager
async def connected(address: str) -> AsyncIterator[AgentStream]:
    stream = await GrpcConnector(address).connect()
    try:
        yield stream
    finally:
        await stream.close()


async def everything(stream: AgentStream) -> list[NcmMessage]:
    return [message async for batch in stream.receive() for message in batch]


def a_step(octets: int, id: str = "p") -> ScopeUpdate:
    key = Key(ItemKind.NEIGHBOUR, id)
    return ScopeUpdate(
        scope=neighbours_scope("n"),
        epoch=1,
        generation=1,
        from_revision=1,
        through=2,
        put=(Envelope(key, 1, (), b"x" * octets),),
    )


async def test_an_address_that_is_taken_is_named_with_the_reason() -> None:
    """What the system says, and not how to have gRPC say it."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen(1)
        address = f"127.0.0.1:{taken.getsockname()[1]}"

        with pytest.raises(
            OSError, match=f"cannot listen for agents on {address}: Address already in use. Choose"
        ):
            await AgentServer(_nobody, [address]).start()


async def _nobody(_: AgentPeer) -> None:
    raise AssertionError("nobody can come")


async def test_messages_go_both_ways(address: str) -> None:
    """What the agent sends arrives in order; what the ncm answers arrives in order; the end is seen."""
    heard: list[AgentMessage] = []
    answers: list[NcmMessage] = [Welcome(5, 10.0), a_step(10), Heads(epoch=1, generation=1, through={3: 4})]

    async def handle(peer: AgentPeer) -> None:
        async for message in peer.receive():
            heard.append(message)
            if len(heard) == 2:
                break
        await peer.send(answers)

    async with serving(handle, address) as bound, connected(bound) as stream:
        await stream.send(HELLO)
        await stream.send(Heartbeat("all is well"))

        assert await everything(stream) == answers
    assert heard == [HELLO, Heartbeat("all is well")]


def test_on_uvloop() -> None:
    """Streams work on uvloop, the region's event loop, and leave nothing behind at its end."""

    async def handle(peer: AgentPeer) -> None:
        async for _ in peer.receive():
            await peer.send([Welcome(1, 10.0)])

    async def run() -> NcmMessage:
        async with serving(handle) as bound, connected(bound) as stream:
            await stream.send(HELLO)
            return (await anext(stream.receive()))[0]

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(run()) == Welcome(1, 10.0)


async def test_large_messages_are_divided_into_frames() -> None:
    """Frames keep their bound; one indivisible message larger than that still arrives."""
    sent = [a_step(FRAME_BYTES * 2 // 3, "a"), a_step(FRAME_BYTES * 2 // 3, "b"), a_step(6 << 20, "c")]

    async def handle(peer: AgentPeer) -> None:
        await peer.send(sent)

    async with serving(handle) as bound, connected(bound) as stream:
        batches = [list(batch) async for batch in stream.receive()]

    assert batches == [[each] for each in sent]


async def test_a_slow_agent_slows_its_sender() -> None:
    """Sending waits while the agent does not read: what is under way stays bounded, and nothing is lost."""
    sent, total = 0, 256

    async def handle(peer: AgentPeer) -> None:
        nonlocal sent
        async for message in peer.receive():
            if message != HELLO:
                await peer.send([Welcome(1, 10.0)])
                continue
            for number in range(total):
                await peer.send([a_step(FRAME_BYTES // 2, str(number))])
                sent += 1
            return

    async with serving(handle) as bound, connected(bound) as slow, connected(bound) as quick:
        await slow.send(HELLO)
        batches, answers = slow.receive(), quick.receive()
        received = len(await anext(batches))
        for _ in range(200):  # another agent is served meanwhile: the region does not stand still
            await quick.send(Heartbeat())
            await anext(answers)
        assert sent < total // 4
        async for batch in batches:
            received += len(batch)
    assert (sent, received) == (total, total)


async def test_the_agent_goes() -> None:
    """When the agent closes, its handler ends."""
    ended = asyncio.Event()

    async def handle(peer: AgentPeer) -> None:
        try:
            async for _ in peer.receive():
                await peer.send([Welcome(1, 10.0)])
        finally:
            ended.set()

    async with serving(handle) as bound:
        async with connected(bound) as stream:
            await stream.send(HELLO)
            await anext(stream.receive())
        assert await asyncio.wait_for(ended.wait(), 60)


async def test_the_region_goes() -> None:
    """When the server stops, the agent hears it as a ConnectionError in words, from reading and from sending."""
    attached = asyncio.Event()

    async def handle(peer: AgentPeer) -> None:
        attached.set()
        async for _ in peer.receive():
            pass

    server = AgentServer(handle, ["127.0.0.1:0"])
    (bound,) = await server.start()
    async with connected(bound) as stream:
        await attached.wait()
        await server.stop(0)

        with pytest.raises(ConnectionError, match=bound):
            await everything(stream)
        with pytest.raises(ConnectionError, match=bound):
            await stream.send(HELLO)


async def test_closing_ends_the_agents_own_reading() -> None:
    """`close` ends a `receive` that waits, without an error."""
    attached = asyncio.Event()

    async def handle(peer: AgentPeer) -> None:
        attached.set()
        async for _ in peer.receive():
            pass

    async with serving(handle) as bound, connected(bound) as stream:
        reading = asyncio.create_task(everything(stream))
        await attached.wait()
        await stream.close()

        assert await asyncio.wait_for(reading, 60) == []


async def test_nobody_listens(tmp_path: Path) -> None:
    """Connecting to nobody fails at once with the address and the reason."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        free = f"127.0.0.1:{probe.getsockname()[1]}"

    for address in (free, f"unix:{tmp_path}/none.sock"):
        with pytest.raises(ConnectionError, match=f"the region at {address} cannot be reached"):
            await GrpcConnector(address).connect()


async def test_somebody_else_listens() -> None:
    """A listener that never answers is given up after the set time."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        address = f"127.0.0.1:{silent.getsockname()[1]}"

        with pytest.raises(ConnectionError, match=r"did not answer within 0\.1 s"):
            await GrpcConnector(address, connect_s=0.1).connect()


async def test_a_frame_that_cannot_be_read_ends_the_stream() -> None:
    """Bytes that are no frame end the agent's stream with a sentence; the server goes on."""

    async def handle(peer: AgentPeer) -> None:
        async for _ in peer.receive():
            await peer.send([Refused("read")])

    async with serving(handle) as bound:
        async with connected(bound) as stream:
            await stream._call.write(b"\xff\xff")  # type: ignore[attr-defined]  # below the codec on purpose
            with pytest.raises(ConnectionError, match=r"ended the stream: .*cannot be read"):
                await everything(stream)
        async with connected(bound) as stream:
            await stream.send(HELLO)
            assert list(await anext(stream.receive())) == [Refused("read")]


async def idle(peer: AgentPeer) -> None:
    async for _ in peer.receive():
        pass


async def test_the_socket_is_private_and_removed(tmp_path: Path) -> None:
    """The unix socket has the mode asked for from its first moment, and is gone after the stop."""
    path = tmp_path / "agents.sock"
    for mode in (0o600, 0o660):
        server = AgentServer(idle, [f"unix:{path}"], unix_mode=mode)
        await server.start()
        assert stat.S_IMODE(path.stat().st_mode) == mode
        await server.stop(0)
        assert not path.exists()


async def test_a_stale_socket_is_replaced(tmp_path: Path) -> None:
    """A socket file left by a dead process does not keep the region from starting."""
    path = tmp_path / "agents.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))

    async def handle(peer: AgentPeer) -> None:
        async for _ in peer.receive():
            await peer.send([Refused("heard")])

    async with serving(handle, f"unix:{path}") as bound, connected(bound) as stream:
        await stream.send(HELLO)

        assert list(await anext(stream.receive())) == [Refused("heard")]


async def test_an_address_in_use_is_refused(address: str) -> None:
    """A second server on an address is refused with its name and the reason, and the first goes on."""
    async with serving(idle, address) as bound:
        with pytest.raises(
            OSError, match=r"cannot listen for agents on .*: (Address already in use|another process does)"
        ):
            await AgentServer(idle, [bound]).start()
        async with connected(bound) as stream:
            await stream.send(HELLO)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("x" * 120, "at most 107 octets"),
        ("file", "a file of this name exists"),
        ("no/agents.sock", "its folder"),
    ],
)
async def test_a_path_that_cannot_be_a_socket(tmp_path: Path, name: str, reason: str) -> None:
    """A path that is too long, taken by a file or without a folder is refused with the reason."""
    (tmp_path / "file").write_text("mine")

    with pytest.raises(OSError, match=reason):
        await AgentServer(idle, [f"unix:{tmp_path}/{name}"]).start()

    assert (tmp_path / "file").read_text() == "mine"
