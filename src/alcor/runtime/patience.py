"""How long a client may take, so that one that is slow, silent or hostile costs the others nothing.

uvicorn bounds the pause between two requests of a connection, and nothing else: a connection that never says anything,
or a byte now and then, or never reads its answer, would stay for ever. Here every phase of a request has an end.
"""

import asyncio
import contextlib
import resource
from dataclasses import dataclass

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from alcor.telemetry.log import get_log
from alcor.telemetry.metrics import API_CONNECTIONS_CUT

log = get_log("api")

# Of path and headers; the application refuses less with a proper error, this bounds what the parser gathers.
_HEAD_BYTES_MAX = 128 * 1024
# A client that reads slower than this in `answer_s` is taken for one that does not read.
_READ_BYTES_MIN = 16 * 1024
# Files and connections of the process beside those of clients.
_RESERVED_FILES = 128

_LATE = b'{"NeutronError": {"type": "HTTPRequestTimeout", "message": "%s", "detail": ""}}'


@dataclass(frozen=True, slots=True)
class Patience:
    """Bounds of clients' connections, in seconds.

    `head_s`    from the first byte of a request, or from the connection, to the end of its headers.
    `body_s`    from there to the end of its body.
    `answer_s`  in which a client that is not reading its answer must read some of it.
    `idle_s`    between two requests.
    `connections_max`  open at once; for one more, that which has been waiting longest without a request is closed.
    """

    head_s: float = 10.0
    body_s: float = 60.0
    answer_s: float = 30.0
    idle_s: float = 60.0
    connections_max: int = 4_096
    sweep_s: float = 1.0
    """How often connections are looked at: by so much each bound may be exceeded."""


class _Watch:
    """All connections of one listener: one timer for all of them, which runs while there are any.

    Cost: per request, two moves in a dictionary; per second, a look at each connection.
    """

    def __init__(self, patience: Patience) -> None:
        self.patience = patience
        self.all: dict[PatientProtocol, None] = {}
        # Those without a request at work, the one that has waited longest first.
        self.waiting: dict[PatientProtocol, None] = {}
        self._timer: asyncio.TimerHandle | None = None

    def add(self, one: "PatientProtocol") -> None:
        if len(self.all) >= self.patience.connections_max and self.waiting:
            next(iter(self.waiting)).cut("too_many")
        self.all[one] = self.waiting[one] = None
        if self._timer is None:
            self._timer = one.loop.call_later(self.patience.sweep_s, self._sweep, one.loop)

    def remove(self, one: "PatientProtocol") -> None:
        self.all.pop(one, None)
        self.waiting.pop(one, None)

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        for one in list(self.all):
            one.check(now)
        self._timer = loop.call_later(self.patience.sweep_s, self._sweep, loop) if self.all else None


class PatientProtocol(HttpToolsProtocol):
    """uvicorn's protocol with an end to every phase. Made by `patient`."""

    watch: _Watch

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client came."""
        super().connection_made(transport)
        self._head_since: float | None = self.loop.time()
        self._body_since: float | None = None
        self._head_bytes = 0
        # Since when the client reads nothing, and how much of its answer waited then.
        self._unread: tuple[float, int] | None = None
        self._has_spoken = self._has_finished = False
        self.watch.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """It went, or was cut."""
        self.watch.remove(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Bytes of a request. Those of a head are counted, because the parser gathers without bound."""
        self._has_spoken = True
        if self._head_since is None and self._is_idle():
            # Line ends between requests begin none, for the parser; for us they do, lest they be sent for ever.
            self._begin_head()
        super().data_received(data)
        if self._head_since is not None:
            self._head_bytes += len(data)
            if self._head_bytes > _HEAD_BYTES_MAX:
                self._refuse(431, b"The path and the headers are too long.")

    def eof_received(self) -> bool:  # type: ignore[override]
        """The client sends no more. If its request is whole, it may still read the answer (`nc`, some proxies)."""
        self._has_finished = not self._is_idle() and self._body_since is None
        return self._has_finished

    def _is_idle(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _begin_head(self) -> None:
        self._head_since, self._head_bytes = self.loop.time(), 0

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        if self._head_since is None:
            self._begin_head()
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header. What comes after a body is passed over: nobody asked for it, and it would have no bound."""
        if self._head_since is not None:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The request is known but for its body."""
        self._head_since, self._body_since = None, self.loop.time()
        self.watch.waiting.pop(self, None)
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """All of the request is here."""
        self._body_since = None
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """The answer is with the system, or in our buffer."""
        super().on_response_complete()
        if self.transport.is_closing() or self.pipeline:
            return
        if self._has_finished:
            self.transport.close()
        self.watch.waiting[self] = None

    def check(self, now: float) -> None:
        """End the connection if its client has taken too long."""
        patience = self.watch.patience
        if self._head_since is not None and now - self._head_since > patience.head_s:
            if self._has_spoken and self._is_idle():
                self._refuse(408, b"The headers of the request did not come in time.")
            else:
                self.cut("head")
        elif self._body_since is not None and now - self._body_since > patience.body_s:
            self.cut("body")
        else:
            self._check_reading(now)

    def _check_reading(self, now: float) -> None:
        left = self.transport.get_write_buffer_size()
        if not left:
            self._unread = None
        elif self._unread is None:
            self._unread = (now, left)
        elif now - self._unread[0] > self.watch.patience.answer_s:
            if self._unread[1] - left < _READ_BYTES_MIN:
                self.cut("answer")
            else:
                self._unread = (now, left)

    def cut(self, reason: str) -> None:
        """Drop the connection at once, with what is unsent: whoever does not read would keep it open."""
        API_CONNECTIONS_CUT.labels(reason).inc()
        log.debug("connection_cut", reason=reason)
        self.watch.remove(self)
        self.transport.abort()

    def _refuse(self, status: int, why: bytes) -> None:
        if self.transport.is_closing():
            self.cut("head")
            return
        API_CONNECTIONS_CUT.labels("head").inc()
        body = (
            _LATE % why
            if status == 408
            else _LATE.replace(b"RequestTimeout", b"RequestHeaderFieldsTooLarge") % why
        )
        phrase = b"Request Timeout" if status == 408 else b"Request Header Fields Too Large"
        self.transport.write(
            b"HTTP/1.1 %d %s\r\ncontent-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%s"
            % (status, phrase, len(body), body)
        )
        # If it is not read, `check` finds it unread.
        self._head_since = None
        self.transport.close()


def patient(patience: Patience) -> type[PatientProtocol]:
    """The protocol of one listener, with its own watch."""
    return type("Patient", (PatientProtocol,), {"watch": _Watch(patience)})


def files_for(connections_max: int) -> int:
    """Raise the process's bound on open files as far as it may be, and say how many connections that allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections_max + _RESERVED_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if soft == resource.RLIM_INFINITY:
        return connections_max
    return max(16, min(connections_max, soft - _RESERVED_FILES))
