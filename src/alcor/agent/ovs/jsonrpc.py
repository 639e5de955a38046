"""JSON-RPC 1.0 over a Unix socket, as ovsdb-server and the control sockets of the daemons speak it.

Messages follow one another without any framing but their own braces. Source: RFC 7047, section 4.
"""

import asyncio
import itertools
import re
from collections.abc import Callable, Sequence
from typing import Any, Final, Self, cast

import orjson

from alcor.agent.driver import SwitchError
from alcor.agent.ovs.endpoint import Endpoint, connect

_MARKS: Final = re.compile(rb'\\.|["{}]', re.DOTALL)


class RpcRefused(SwitchError):
    """The peer answered a request with an error; `error` is what it said."""

    def __init__(self, method: str, error: object) -> None:
        super().__init__(f"{method}: {error}")
        self.error = error


class Framer:
    """Cuts a stream of JSON objects apart. Cost: linear in the bytes, however they are cut up."""

    def __init__(self) -> None:
        self._held = bytearray()
        self._scanned = 0
        self._depth = 0
        self._in_string = False

    def feed(self, data: bytes) -> list[bytes]:
        """Take bytes, return the objects that are now whole."""
        held = self._held
        held += data
        whole: list[bytes] = []
        start = 0
        at = self._scanned
        # A backslash at the very end waits for what it escapes.
        end = len(held) - (len(held) - len(held.rstrip(b"\\"))) % 2
        for found in _MARKS.finditer(bytes(held[at:end])):
            mark = found.group()
            if mark == b'"':
                self._in_string = not self._in_string
            elif self._in_string or len(mark) > 1:
                continue
            elif mark == b"{":
                self._depth += 1
            else:
                self._depth -= 1
                if self._depth == 0:
                    stop = at + found.end()
                    whole.append(bytes(held[start:stop]))
                    start = stop
        self._scanned = end - start
        del held[:start]
        return whole


class JsonRpc(asyncio.Protocol):
    """A connection: requests by id, notifications to `on_notification`, echoes answered."""

    def __init__(self, path: Endpoint, on_notification: Callable[[str, list[Any]], None]) -> None:
        self._path = path
        self._on_notification = on_notification
        self._ids = itertools.count(1)
        self._replies: dict[int, tuple[str, asyncio.Future[Any]]] = {}
        self._framer = Framer()
        self._transport: asyncio.Transport | None = None
        self.closed: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    @classmethod
    async def open(
        cls, path: Endpoint, on_notification: Callable[[str, list[Any]], None] = lambda _method, _params: None
    ) -> Self:
        """Connect. Raises: SwitchError if nobody listens."""
        return await connect(path, lambda: cls(path, on_notification))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by asyncio."""
        # uvloop's transports are asyncio's by behaviour, not by class.
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by asyncio."""
        self._fail(str(exc) if exc else "the peer closed the connection")

    def data_received(self, data: bytes) -> None:
        """Called by asyncio."""
        for text in self._framer.feed(data):
            try:
                message = orjson.loads(text)
            except orjson.JSONDecodeError as error:
                self.close(f"the peer sent what is not JSON: {error}")
                return
            self._dispatch(message)

    def _dispatch(self, message: dict[str, Any]) -> None:
        method, id = message.get("method"), message.get("id")
        if method == "echo":
            self._send({"id": id, "result": message.get("params", []), "error": None})
        elif method is not None:
            self._on_notification(method, message.get("params", []))
        elif isinstance(id, int) and id in self._replies:
            asked, future = self._replies.pop(id)
            if future.done():
                return
            if message.get("error") is not None:
                future.set_exception(RpcRefused(asked, message["error"]))
            else:
                future.set_result(message.get("result"))

    def _send(self, message: dict[str, Any]) -> None:
        if self.closed.done() or self._transport is None:
            raise SwitchError(self.closed.result() if self.closed.done() else f"{self._path}: not connected")
        self._transport.write(orjson.dumps(message))

    async def request(self, method: str, params: Sequence[Any]) -> Any:
        """Ask, and return the result.

        Raises: RpcRefused with the peer's error; SwitchError when the connection ends first.
        """
        id = next(self._ids)
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._replies[id] = (method, future)
        try:
            self._send({"id": id, "method": method, "params": list(params)})
            return await future
        finally:
            self._replies.pop(id, None)

    def close(self, reason: str = "closed") -> None:
        """End the connection. Idempotent."""
        self._fail(reason)
        if self._transport is not None:
            self._transport.abort()

    def _fail(self, reason: str) -> None:
        if self.closed.done():
            return
        self.closed.set_result(f"{self._path}: {reason}")
        for _, future in self._replies.values():
            if not future.done():
                future.set_exception(SwitchError(self.closed.result()))
