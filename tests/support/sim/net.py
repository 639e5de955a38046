"""gRPC without a network: what the product uses of `grpc.aio`, in memory, with delays, breaks and partitions.

The product's own code for streams runs as it is; `installed` puts this in the place of the library's two constructors.
A stream keeps its order or breaks, as TCP does; a peer whose process died is noticed soon, one whose machine died late.
"""

import asyncio
import os
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import Context
from typing import Any
from unittest.mock import patch

import grpc
import grpc.aio

from tests.support.sim.loop import _CURRENT, Component, SimLoop

WINDOW_FRAMES = 8
"""How many frames may be on their way before a writer waits."""
DELAY_S_MAX = 0.02
NOTICED_S = (0.0, 0.2)
"""When the other end of a broken connection sees it: at once, or so."""
LATE_S = 12.0
"""When a peer that fell silent without a word is given up: by pings that nobody answers."""
HANDSHAKE_S = 0.01


class Network:
    """All listeners and streams. `cut`: addresses nobody gets to; `moved`: names that lead to another address;
    `parted`: (process, address) → until when nothing passes between them."""

    def __init__(self, loop: SimLoop) -> None:
        self.loop, self.random = loop, loop.random
        self.listeners: dict[str, Server] = {}
        self.streams: list[Stream] = []
        self.moved: dict[str, str] = {}
        self.cut: set[str] = set()
        self.parted: dict[tuple[str, str], float] = {}
        self.delay_s_max = DELAY_S_MAX

    def reach(self, address: str, component: Component) -> "Server | None":
        """Who listens there now, for somebody."""
        address = self.moved.get(address, address)
        if self.parted_until(component, address) > self.loop.time():
            return None
        server = self.listeners.get(address)
        if server is None or address in self.cut or server.component.is_dead or not server.is_open:
            return None
        return server

    def part(self, process: str, address: str, seconds: float) -> None:
        """Let nothing pass between a process and an address for so long: what is sent meanwhile arrives afterwards, if
        the connection is still there.
        """
        self.parted[process, address] = self.loop.time() + seconds
        for stream in list(self.streams):
            if _process(stream.client.component) == process and address in stream.server.addresses:
                if seconds > LATE_S:
                    self.later(LATE_S, stream.break_, "nobody answered the pings")
                elif self.random.random() < 0.5:
                    self.later(self.random.random() * seconds, stream.break_, "no route")

    def parted_until(self, component: Component, address: str) -> float:
        """When something passes between them again."""
        return self.parted.get((_process(component), address), 0.0)

    def delay_s(self) -> float:
        """How long a frame travels: mostly little."""
        return self.delay_s_max * self.random.random() ** 3

    def crashed(self, component: Component) -> None:
        """A process died: its streams break, and the other ends learn of it at once or late."""
        late = self.random.random() < 0.2
        for stream in list(self.streams):
            if component in (stream.client.component, stream.server_end.component):
                after_s = LATE_S if late else self.random.uniform(*NOTICED_S)
                self.later(after_s, stream.break_, "the peer's process died")

    def break_some(self, share: float) -> None:
        """Break some streams, as networks do."""
        for stream in list(self.streams):
            if self.random.random() < share:
                stream.break_("the connection was reset")

    def later(self, delay_s: float, function: Callable[..., None], *args: Any) -> None:
        """In the network's own time: whoever sent it may be dead by then."""
        self.loop.call_later(delay_s, function, *args, context=Context())


def _process(component: Component) -> str:
    """The name of a process, whichever life of it."""
    return component.name.rpartition(".")[0]


class End:
    """One end of a stream."""

    def __init__(self, component: Component) -> None:
        self.component = component
        self.inbox: deque[bytes] = deque()
        self.on_the_way: deque[bytes] = deque()
        self.arrives_at = 0.0
        self.waiter: asyncio.Future[None] | None = None
        self.room: asyncio.Future[None] | None = None

    def wake(self) -> None:
        """Somebody waits to read or to write: look again."""
        for future in (self.waiter, self.room):
            if future is not None and not future.done():
                future.set_result(None)


class Stream:
    """One call, both ends."""

    def __init__(self, network: Network, client: Component, server: "Server", metadata: Any) -> None:
        self.network, self.server, self.metadata = network, server, metadata
        self.client, self.server_end = End(client), End(server.component)
        self.reason = ""
        self.code = grpc.StatusCode.UNAVAILABLE
        self.is_over = False
        self.is_cancelled = False
        self.answered: asyncio.Future[Any] = network.loop.create_future()
        self.handler: asyncio.Task[None] | None = None
        network.streams.append(self)

    async def write(self, source: End, target: End, frame: bytes) -> bool:
        """Send a frame; waits while too many are on their way. False if the stream is over."""
        while not self.is_over and len(target.on_the_way) + len(target.inbox) >= WINDOW_FRAMES:
            source.room = self.network.loop.create_future()
            await source.room
        if self.is_over:
            return False
        network = self.network
        target.on_the_way.append(frame)
        free_at = max([network.parted_until(self.client.component, each) for each in self.server.addresses])
        at = max(free_at, network.loop.time()) + network.delay_s()
        target.arrives_at = max(target.arrives_at, at)
        network.later(target.arrives_at - network.loop.time(), self._arrive, target)
        return True

    def _arrive(self, target: End) -> None:
        frame = target.on_the_way.popleft()  # timers of one moment are in no order, frames are
        if not self.is_over:
            target.inbox.append(frame)
            target.wake()

    async def read(self, end: End, other: End) -> bytes | None:
        """The next frame; None if the stream is over."""
        while not end.inbox:
            if self.is_over:
                return None
            end.waiter = self.network.loop.create_future()
            await end.waiter
        frame = end.inbox.popleft()
        other.wake()
        return frame

    def break_(self, reason: str, code: grpc.StatusCode = grpc.StatusCode.UNAVAILABLE) -> None:
        """End it for both sides; what was on its way is lost."""
        if self.is_over:
            return
        self.is_over, self.reason, self.code = True, reason, code
        self.client.inbox.clear()
        self.server_end.inbox.clear()
        if self in self.network.streams:
            self.network.streams.remove(self)
        if not self.answered.done():
            self.answered.set_result(None)
        self.client.wake()
        self.server_end.wake()
        if self.handler is not None and not self.handler.done() and not self.server_end.component.is_dead:
            # As the library does when the peer is gone.
            self.handler.cancel()


class _Aborted(grpc.aio.AbortError):
    """What ends a handler that aborted its call."""


class _ServerContext:
    """What a handler of the product sees of its call."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    def invocation_metadata(self) -> Any:
        return self._stream.metadata

    def peer(self) -> str:
        return f"sim:{self._stream.client.component.name}"

    def auth_context(self) -> dict[str, Any]:
        return {}

    async def send_initial_metadata(self, metadata: Any) -> None:
        stream = self._stream
        if not stream.is_over:
            stream.network.later(stream.network.delay_s(), self._answer, dict(metadata))

    def _answer(self, metadata: dict[str, str]) -> None:
        if not self._stream.answered.done():
            self._stream.answered.set_result(metadata)

    async def read(self) -> Any:
        frame = await self._stream.read(self._stream.server_end, self._stream.client)
        return grpc.aio.EOF if frame is None else frame

    async def write(self, frame: bytes) -> None:
        if not await self._stream.write(self._stream.server_end, self._stream.client, frame):
            raise grpc.aio.UsageError("the call is over")

    async def abort(self, code: grpc.StatusCode, details: str = "", trailing_metadata: Any = ()) -> None:
        stream = self._stream
        stream.handler = None
        stream.network.later(stream.network.delay_s(), stream.break_, details, code)
        raise _Aborted(details)


class Server:
    """In the place of `grpc.aio.server()`."""

    def __init__(self, network: Network) -> None:
        component = _CURRENT.get()
        assert component is not None, "a server belongs to a component"
        self.network, self.component = network, component
        self.is_open = False
        self._handlers: list[Any] = []
        self.addresses: list[str] = []

    def add_generic_rpc_handlers(self, handlers: Sequence[Any]) -> None:
        self._handlers += handlers

    def add_insecure_port(self, address: str) -> int:
        other = self.network.listeners.get(address)
        if other is not None and other.is_open and not other.component.is_dead:
            raise RuntimeError(f"{address} is taken")
        self.addresses.append(address)
        return int(address.rpartition(":")[2] or 0)

    def add_secure_port(self, address: str, credentials: Any) -> int:
        return self.add_insecure_port(address)

    async def start(self) -> None:
        self.is_open = True
        for address in self.addresses:
            self.network.listeners[address] = self

    async def stop(self, grace: float | None) -> None:
        self.is_open = False
        mine = [stream for stream in self.network.streams if stream.server is self]
        for stream in mine:
            stream.break_("the server was stopped")
        await asyncio.sleep(0)
        ending = [stream.handler for stream in mine if stream.handler is not None]
        if ending:
            await asyncio.wait(ending, timeout=grace)

    def find(self, path: str) -> Callable[..., Awaitable[None]] | None:
        """The handler of a method."""
        details = type("Details", (), {"method": path, "invocation_metadata": ()})()
        for handler in self._handlers:
            found = handler.service(details)
            if found is not None:
                handled: Callable[..., Awaitable[None]] = found.stream_stream
                return handled
        return None


class _Call:
    """In the place of a stream's call object."""

    def __init__(self, network: Network, address: str, path: str, metadata: Any) -> None:
        self._network, self._address, self._path, self._metadata = network, address, path, metadata or ()
        component = _CURRENT.get()
        assert component is not None, "a client belongs to a component"
        self._component = component
        self._stream: Stream | None = None
        self._code: grpc.StatusCode | None = None
        self._details = ""
        self._is_cancelled = False
        self._opening = network.loop.create_task(self._open())

    async def _open(self) -> None:
        network = self._network
        await asyncio.sleep(HANDSHAKE_S * network.random.random())
        server = network.reach(self._address, self._component)
        method = None if server is None else server.find(self._path)
        if server is None or method is None or self._is_cancelled:
            self._code, self._details = grpc.StatusCode.UNAVAILABLE, f"nobody listens at {self._address}"
            return
        stream = self._stream = Stream(network, self._component, server, self._metadata)
        stream.handler = network.loop.spawn(server.component, _serve(method, stream))

    async def initial_metadata(self) -> Any:
        await asyncio.shield(self._opening)
        stream = self._stream
        if stream is None:
            raise self._error()
        answer = await asyncio.shield(stream.answered)
        if answer is None:
            raise self._error()
        return answer

    async def wait_for_connection(self) -> None:
        await self.initial_metadata()

    async def read(self) -> Any:
        stream = self._stream
        if self._is_cancelled:
            raise asyncio.CancelledError
        if stream is None:
            raise self._error()
        frame = await stream.read(stream.client, stream.server_end)
        if frame is None:
            if self._is_cancelled:
                raise asyncio.CancelledError
            if stream.code is grpc.StatusCode.OK:
                return grpc.aio.EOF
            raise self._error()
        return frame

    async def write(self, frame: bytes) -> None:
        stream = self._stream
        if self._is_cancelled:
            raise asyncio.CancelledError
        if stream is None or not await stream.write(stream.client, stream.server_end, frame):
            raise self._error()

    def _error(self) -> grpc.aio.AioRpcError:
        stream = self._stream
        code = (self._code if stream is None else stream.code) or grpc.StatusCode.UNAVAILABLE
        details = self._details if stream is None else stream.reason
        empty = grpc.aio.Metadata()
        return grpc.aio.AioRpcError(code, empty, empty, details=details)

    def done(self) -> bool:
        return (
            self._is_cancelled
            or self._code is not None
            or (self._stream is not None and self._stream.is_over)
        )

    def cancelled(self) -> bool:
        return self._is_cancelled

    async def code(self) -> grpc.StatusCode:
        return self._error().code()

    async def details(self) -> str:
        return self._error().details() or ""

    def cancel(self) -> bool:
        if self._is_cancelled:
            return False
        self._is_cancelled = True
        self._opening.cancel()
        if self._stream is not None:
            stream = self._stream
            stream.client.wake()
            # The other end hears of it when it gets there.
            self._network.later(self._network.delay_s(), stream.break_, "the client cancelled")
        return True


async def _serve(method: Callable[..., Awaitable[None]], stream: Stream) -> None:
    try:
        await method(None, _ServerContext(stream))  # the product reads by the context alone
    except _Aborted:
        return
    except asyncio.CancelledError:
        if not stream.is_over:
            raise
        return
    # A handler that returns ends the call well, after what it has sent.
    stream.handler = None
    network = stream.network
    after_s = max(0.0, stream.client.arrives_at - network.loop.time()) + network.delay_s()
    network.later(after_s, stream.break_, "", grpc.StatusCode.OK)


class _Channel:
    """In the place of a channel."""

    def __init__(self, network: Network, address: str) -> None:
        self._network, self._address = network, address
        self._calls: list[_Call] = []

    def stream_stream(self, path: str, *_: Any, **__: Any) -> Callable[..., _Call]:
        def call(metadata: Any = None, **_: Any) -> _Call:
            made = _Call(self._network, self._address, path, metadata)
            self._calls.append(made)
            return made

        return call

    async def close(self, grace: float | None = None) -> None:
        for call in self._calls:
            call.cancel()


@contextmanager
def installed(network: Network) -> Iterator[None]:
    """Every channel and server that is made meanwhile is of this network."""

    def channel(address: str, *_: Any, **__: Any) -> _Channel:
        return _Channel(network, address)

    def server(*_: Any, **__: Any) -> Server:
        return Server(network)

    with (
        # Ids of processes and the like.
        patch.object(os, "urandom", network.random.randbytes),
        patch.object(grpc.aio, "insecure_channel", channel),
        patch.object(grpc.aio, "secure_channel", channel),
        patch.object(grpc.aio, "server", server),
    ):
        yield
