"""One kept OpenFlow connection to a bridge's management socket: requests and replies by xid, errors by flow."""

import asyncio
import itertools
import struct
from collections.abc import Callable, Sequence
from typing import Any, Final, Self, cast

from alcor.agent.driver import SwitchError
from alcor.agent.ovs import openflow
from alcor.agent.ovs.endpoint import Endpoint, connect
from alcor.agent.ovs.fault import Fault, decode_fault
from alcor.agent.ovs.openflow import HEADER, BundleStep, Multipart, PuntedPacket, Type
from alcor.agent.ovs.oxm import Unencodable
from alcor.agent.ovs.role import ROLE_STATUS, Role, decode_role_status
from alcor.telemetry.log import get_log

_log = get_log("agent.ovs")

BUNDLE_MESSAGES_MAX: Final = 2_000
"""A commit runs in the switch's forwarding thread: 100,000 at once stopped traffic for 139 ms, 2,000 for under 10."""

ECHO_AFTER_S: Final = 5.0

_ECHOES_UNANSWERED_MAX: Final = 6
"""A switch that is there but says nothing for half a minute is as good as gone; a commit takes milliseconds.

Counted in questions, not seconds: a pause of our own process is not the switch's silence.
"""

_FAULTS_KEPT_MAX: Final = 16
_XID_MAX: Final = 0x7FFF_FFFF
_MORE_PARTS: Final = 1


class Refused(SwitchError):
    """The switch answered a request with an error."""

    def __init__(self, what: str, fault: Fault) -> None:
        super().__init__(f"the switch refused {what}: {fault}")
        self.fault = fault


class ItemsRefused(SwitchError):
    """The switch refused some of the items that were sent, or they cannot be said to it: `items`, not all of them."""

    def __init__(self, text: str, items: Sequence[Any]) -> None:
        super().__init__(text)
        self.items = tuple(items)


Encode = Callable[[Any, int], bytes]
"""Makes the message of an item with a given xid."""


class Connection(asyncio.Protocol):
    """An OpenFlow 1.5 connection. After `closed` is done every method raises SwitchError with its text.

    Bounds: what waits to be sent is bounded by the transport's high-water mark, as `commit` waits for it to drain;
    replies are bounded by requests in flight; packet-ins go to `on_packet_in` at once.
    """

    def __init__(
        self, path: Endpoint, on_packet_in: Callable[[PuntedPacket], None], echo_after_s: float = ECHO_AFTER_S
    ) -> None:
        self._path = path
        self._on_packet_in = on_packet_in
        self._echo_after_s = echo_after_s
        self._xids = itertools.cycle(range(1, _XID_MAX))
        self._bundles = itertools.cycle(range(1, _XID_MAX))
        self._replies: dict[int, asyncio.Future[bytes]] = {}
        self._parts: dict[int, list[bytes]] = {}
        self._batch: dict[int, Any] = {}
        self._batch_faults: list[tuple[Any, Fault]] = []
        self._received = bytearray()
        self._echoes_unanswered = -1
        self._transport: asyncio.Transport | None = None
        self._writable = asyncio.Event()
        self._writable.set()
        self._committing = asyncio.Lock()
        self._echo: asyncio.TimerHandle | None = None
        self.closed: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.datapath_id = 0
        self.on_demoted: Callable[[], None] = lambda: None
        """Told when another connection has become the switch's MASTER in our place."""

    @classmethod
    async def open(
        cls, path: Endpoint, on_packet_in: Callable[[PuntedPacket], None], echo_after_s: float = ECHO_AFTER_S
    ) -> Self:
        """Connect, agree on OpenFlow 1.5, ask for whole packet-ins.

        Raises: SwitchError if nobody listens or the switch speaks another version.
        """
        connection = await connect(path, lambda: cls(path, on_packet_in, echo_after_s))
        try:
            features = await connection.request(Type.FEATURES_REQUEST, b"", "features request")
            connection.datapath_id = openflow.decode_datapath_id(features)
            connection.send(openflow.encode_config(connection.next_xid(), 0xFFFF))
            await connection.barrier()
        except BaseException:
            connection.close("could not be set up")
            raise
        return connection

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Say hello first, as both sides must."""
        # uvloop's transports are asyncio's by behaviour, not by class.
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(openflow.encode_hello(self.next_xid()))
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """The switch has gone, or we have closed."""
        self._fail(str(exc) if exc else "the switch closed the connection")

    def pause_writing(self) -> None:
        """The transport holds enough."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """The transport takes more."""
        self._writable.set()

    def data_received(self, data: bytes) -> None:
        """Cut what came into messages."""
        self._echoes_unanswered = -1
        received = self._received
        received += data
        at, end = 0, len(received)
        while end - at >= HEADER.size:
            version, kind, length, xid = HEADER.unpack_from(received, at)
            if length < HEADER.size:
                self.close(f"the switch sent a message of {length} bytes")
                return
            if end - at < length:
                break
            body = bytes(received[at + HEADER.size : at + length])
            at += length
            if version != openflow.VERSION and kind != Type.HELLO:
                self.close(
                    f"the switch speaks OpenFlow version {version:#x}, not 1.5 (add OpenFlow15 to protocols)"
                )
                return
            self._dispatch(kind, xid, body)
        del received[:at]

    def _dispatch(self, kind: int, xid: int, body: bytes) -> None:
        if kind == Type.PACKET_IN:
            self._on_packet_in(openflow.decode_packet_in(body))
        elif kind == Type.ECHO_REQUEST:
            self.send(openflow.encode_message(Type.ECHO_REPLY, xid, body))
        elif kind == Type.ERROR:
            self._take_fault(xid, decode_fault(body))
        elif kind == Type.MULTIPART_REPLY:
            flags = struct.unpack_from("!H", body, 2)[0]
            parts = self._parts.setdefault(xid, [])
            parts.append(body[8:])
            if not flags & _MORE_PARTS:
                self._answer(xid, b"")
        elif kind == ROLE_STATUS:
            if decode_role_status(body).role == Role.SLAVE:
                self.on_demoted()
        elif kind != Type.HELLO:
            self._answer(xid, body)

    def _answer(self, xid: int, body: bytes) -> None:
        future = self._replies.pop(xid, None)
        if future is not None and not future.done():
            future.set_result(body)

    def _take_fault(self, xid: int, fault: Fault) -> None:
        future = self._replies.get(xid)
        if xid in self._batch:
            if len(self._batch_faults) < _FAULTS_KEPT_MAX:
                self._batch_faults.append((self._batch[xid], fault))
        elif future is not None:
            if not future.done():
                future.set_exception(Refused("a request", fault))
        elif fault.type == 0:
            self.close(f"no common OpenFlow version: {fault} (add OpenFlow15 to the bridge's protocols)")
        else:
            _log.warning("switch_error_unexpected", xid=xid, error=str(fault))

    # What the driver calls.

    def next_xid(self) -> int:
        """A number that no request in flight has."""
        return next(self._xids)

    def send(self, message: bytes) -> None:
        """Send one message that has no reply. Raises: SwitchError when closed."""
        if self.closed.done() or self._transport is None:
            raise SwitchError(self.closed.result() if self.closed.done() else f"{self._path}: not connected")
        self._transport.write(message)

    async def request(self, kind: int, body: bytes, what: str) -> bytes:
        """Send a message and return its reply's body.

        Raises: Refused with `what` in its text; SwitchError when the connection ends first.
        """
        xid = self.next_xid()
        future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._replies[xid] = future
        try:
            self.send(openflow.encode_message(kind, xid, body))
            return await future
        except Refused as error:
            raise Refused(what, error.fault) from None
        finally:
            self._replies.pop(xid, None)

    async def multipart(self, kind: Multipart, body: bytes) -> list[bytes]:
        """All parts of a multipart reply, each without its header. Size: as much as the switch has to tell."""
        xid = self.next_xid()
        future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._replies[xid] = future
        self._parts[xid] = []
        try:
            request = openflow.encode_multipart(kind, body)
            self.send(openflow.encode_message(Type.MULTIPART_REQUEST, xid, request))
            await future
            return self._parts[xid]
        except Refused as error:
            raise Refused(f"to describe its {kind.name.lower()}", error.fault) from None
        finally:
            self._replies.pop(xid, None)
            self._parts.pop(xid, None)

    async def barrier(self) -> None:
        """Return when the switch has done all that was sent before."""
        await self.request(Type.BARRIER_REQUEST, b"", "a barrier")

    async def commit(self, items: Sequence[Any], encode: Encode, render: Callable[[Any], str]) -> None:
        """Send `encode(item, xid)` for all items, in order, all or none per bundle of `BUNDLE_MESSAGES_MAX`.

        Returns after a barrier. `render(item)` names an item in an error.

        Cost:    four round trips a bundle; one for a single item, which is atomic by itself.
        Raises:  SwitchError naming the first item refused; bundles committed before it stay, its own does not.
        """
        async with self._committing:
            if len(items) == 1:
                await self._send_each(items, encode, render)
                return
            for start in range(0, len(items), BUNDLE_MESSAGES_MAX):
                await self._commit_one(items[start : start + BUNDLE_MESSAGES_MAX], encode, render)
            await self.barrier()

    async def send_each(self, items: Sequence[Any], encode: Encode, render: Callable[[Any], str]) -> None:
        """Send messages that cannot be in a bundle (meters), then a barrier. Raises: as `commit`."""
        async with self._committing:
            await self._send_each(items, encode, render)

    async def _send_each(self, items: Sequence[Any], encode: Encode, render: Callable[[Any], str]) -> None:
        try:
            self.send(b"".join([message for _, message in self._encode(items, encode, render)]))
            await self.barrier()
        finally:
            self._batch.clear()
        self._raise_fault(render)

    async def _commit_one(self, items: Sequence[Any], encode: Encode, render: Callable[[Any], str]) -> None:
        bundle = next(self._bundles)
        try:
            messages = self._encode(items, encode, render)
            await self._step(BundleStep.OPEN, bundle)
            self.send(b"".join([openflow.encode_bundle_add(m, xid, bundle) for xid, m in messages]))
            await self._writable.wait()
            # A message refused while it is added is not part of the bundle, and the commit would go ahead
            # without it. The reply to CLOSE comes after all such errors.
            await self._step(BundleStep.CLOSE, bundle)
            await self._step(BundleStep.DISCARD if self._batch_faults else BundleStep.COMMIT, bundle)
        except Refused as error:
            if not self._batch_faults:
                what = f"a bundle of {len(items)} changes that starts with {render(items[0])}"
                raise SwitchError(f"{what}: {error}") from error
        finally:
            self._batch.clear()
        self._raise_fault(render)

    def _encode(
        self, items: Sequence[Any], encode: Encode, render: Callable[[Any], str]
    ) -> list[tuple[int, bytes]]:
        """Number and encode; from here on errors with these numbers belong to these items."""
        self._batch_faults.clear()
        messages = []
        for item in items:
            xid = next(self._xids)
            try:
                messages.append((xid, encode(item, xid)))
            except Unencodable as error:
                raise ItemsRefused(f"{render(item)} cannot be sent: {error}", (item,)) from error
            self._batch[xid] = item
        return messages

    def _raise_fault(self, render: Callable[[Any], str]) -> None:
        if self._batch_faults:
            item, fault = self._batch_faults[0]
            refused = [one for one, _ in self._batch_faults]
            raise ItemsRefused(f"the switch refused {render(item)}: {fault}", refused)

    async def drain(self) -> None:
        """Wait until the transport takes more."""
        await self._writable.wait()

    async def _step(self, step: BundleStep, bundle: int) -> None:
        body = openflow.encode_bundle_control(step, bundle)
        await self.request(Type.BUNDLE_CONTROL, body, f"bundle {step.name.lower()}")

    def close(self, reason: str = "closed") -> None:
        """End the connection; flows stay. Idempotent."""
        self._fail(reason)
        if self._transport is not None:
            self._transport.abort()

    def _fail(self, reason: str) -> None:
        if self.closed.done():
            return
        self.closed.set_result(f"{self._path}: {reason}")
        self._writable.set()
        if self._echo is not None:
            self._echo.cancel()
        for future in self._replies.values():
            if not future.done():
                future.set_exception(SwitchError(self.closed.result()))

    def _watch(self) -> None:
        """Ask a silent switch whether it is there; give it up when it does not answer."""
        if self._echoes_unanswered >= _ECHOES_UNANSWERED_MAX:
            self.close(f"the switch has not answered {self._echoes_unanswered} echo requests")
            return
        self._echoes_unanswered += 1  # from -1: whoever spoke since the last look is not asked
        if self._echoes_unanswered > 0:
            self.send(openflow.encode_message(Type.ECHO_REQUEST, self.next_xid()))
        self._echo = asyncio.get_running_loop().call_later(self._echo_after_s, self._watch)
