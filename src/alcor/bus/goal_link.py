"""One connection of an ncm to one dataplane, over gRPC: opened again for ever, and empty each time.

What is said on it, and to whom, is the business of `goal_client`.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import NamedTuple, Protocol

import grpc
import grpc.aio
import msgspec

from alcor.bus.frame import FRAME_BYTES, FRAME_BYTES_MAX
from alcor.bus.goal_frame import (
    PROTOCOL,
    GoalFrame,
    NormalReading,
    Unwant,
    Want,
    decode_goal_frame,
    encode_number,
    encode_want_message,
)
from alcor.bus.goal_server import METHOD, NCM_KEY, PROTOCOL_KEY, SECRET_KEY, SERVICE, TAKEN_KEY
from alcor.bus.grpc_tls import ChannelTls, explain, open_channel
from alcor.bus.interface import Envelope, GoalMessage, Holdings, HostReport, Reply, ScopeUpdate
from alcor.bus.local import merge_reports
from alcor.bus.normal_client import NormalClient
from alcor.bus.normal_join import FrameStore, Join
from alcor.goalstate.scope import Scope
from alcor.telemetry.log import get_log

log = get_log("bus")

CONNECT_S = 10.0
# The pause after a failure: drawn from 0 … a bound that doubles, so that the ncms of a region do not come all at once.
DELAY_MIN_S = 0.1
DELAY_MAX_S = 2.0
_KEEPALIVE_MS = 10_000
_KEEPALIVE_TIMEOUT_MS = 5_000
_OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.max_receive_message_length", FRAME_BYTES_MAX),
    ("grpc.max_send_message_length", FRAME_BYTES_MAX),
    # A dataplane that lost its power says no farewell: ping it.
    ("grpc.keepalive_time_ms", _KEEPALIVE_MS),
    ("grpc.keepalive_timeout_ms", _KEEPALIVE_TIMEOUT_MS),
    ("grpc.http2.max_pings_without_data", 0),
    # Waiting between attempts is ours (with jitter); gRPC's own back-off would make it wait again.
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_http_proxy", 0),
)
_BROKEN = (grpc.RpcError, grpc.aio.UsageError, asyncio.InvalidStateError)

_Call = grpc.aio.StreamStreamCall[bytes, bytes]


class Manner(msgspec.Struct, frozen=True, kw_only=True):
    """How links connect: see `GoalClient`."""

    ncm_id: str
    secret: Callable[[], str]
    random: Callable[[], float]
    connect_s: float = CONNECT_S
    delay_min_s: float = DELAY_MIN_S
    delay_max_s: float = DELAY_MAX_S
    tls: Callable[[str], ChannelTls | None] = lambda _address: None
    normal: NormalClient | None = None


class Letter(NamedTuple):
    """A frame, and the connection it came by."""

    link: "GoalLink"
    call: "_Call"
    frame: GoalFrame


class LinkOwner(Protocol):
    """Who says what goes over a link, and hears what comes."""

    async def received(self, letter: Letter) -> None:
        """A frame came: to be given to `GoalLink.take` in its turn."""

    def lost(self, link: "GoalLink") -> None:
        """The connection ended: nothing that was said on it counts any more."""


class GoalLink:
    """The connection to `address` (`host:port` or `unix:/path`). `run` it in one task.

    holdings: what the dataplane said last, None while there is no connection.
    Bound:    one number per scope wanted here, one merged report per host.
    """

    def __init__(self, address: str, owner: LinkOwner, manner: Manner) -> None:
        self.address = address
        self.holdings: Holdings | None = None
        self.member_id = ""
        """Who was found at the address last."""
        self.trouble = "it was not tried yet"
        """Why there is no connection; empty while there is one."""
        self.call: _Call | None = None
        self._owner, self._manner = owner, manner
        # Scope → the number of the frame that carried its last want; 0: not sent yet.
        self._wanted: dict[Scope, int] = {}
        self._moves: dict[Scope, Want | Unwant] = {}
        self._reports: dict[str, HostReport] = {}
        self._replies: list[Reply] = []
        self._frames = FrameStore() if manner.normal is None else manner.normal.frames
        self.join = Join(self._frames)
        """What joins the stream with the broker's frames."""
        self._normal: list[NormalReading] = []
        self._chunks: dict[Scope, list[Envelope]] = {}
        self._stirred = asyncio.Event()
        self._said = ""

    # --- what is to be said --------------------------------------------------------------------------------

    def want(self, scope: Scope, epoch: int = 0, position: int = 0) -> None:
        """Have a scope answered from `position` on, or whole. What answers an earlier want is dropped."""
        self._wanted[scope] = 0
        # The rest of a snapshot that was being sent may never come.
        self._chunks.pop(scope, None)
        self.join.forget(scope)
        # Only the last one counts: one per scope is enough.
        self._moves[scope] = Want(scope, epoch, position)
        self._stirred.set()

    def unwant(self, scope: Scope) -> None:
        """From here on nothing of the scope comes."""
        self._chunks.pop(scope, None)
        self.join.forget(scope)
        if self._wanted.pop(scope, None) is not None:
            self._moves[scope] = Unwant(scope)
            self._stirred.set()

    def report(self, report: HostReport) -> None:
        """Tell of a host. What is not sent yet is merged."""
        before = self._reports.pop(report.host_id, None)
        self._reports[report.host_id] = report if before is None else merge_reports(before, report)
        self._stirred.set()

    def take_reports(self) -> list[HostReport]:
        """What was not sent; it will not be."""
        reports, self._reports = list(self._reports.values()), {}
        return reports

    def reply(self, reply: Reply) -> None:
        """Answer a question."""
        self._replies.append(reply)
        self._stirred.set()

    def tell_normal(self, said: NormalReading) -> None:
        """Say what this ncm does on the normal path; a new connection says by itself that it is read."""
        if self.call is not None:
            self._normal.append(said)
            self._stirred.set()

    # --- the connection ------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Connect, and connect again whenever the stream is lost, until cancelled; each reason is logged once."""
        failures, manner = 0, self._manner
        while True:
            try:
                channel, call = await self._connect()
                sender = asyncio.create_task(self._send(call), name="bus-send")
                try:
                    async for frame in self._receive(call):
                        failures = 0
                        await self._owner.received(Letter(self, call, frame))
                finally:
                    self._end()
                    sender.cancel()
                    await asyncio.gather(sender, return_exceptions=True)
                    call.cancel()
                    await channel.close()
                raise ConnectionError(f"the dataplane at {self.address} ended the stream")
            except ConnectionError as error:
                failures += 1
                self._lost(str(error))
            bound_s = min(manner.delay_min_s * 2 ** min(failures - 1, 16), manner.delay_max_s)
            await asyncio.sleep(bound_s * (0.5 + manner.random() / 2))

    def _end(self) -> None:
        self.holdings, self.call = None, None
        self._owner.lost(self)
        self._wanted.clear()
        self._moves.clear()
        self._reports.clear()
        self._replies.clear()
        self._normal.clear()
        self._chunks.clear()
        self.join = Join(self._frames)

    def _lost(self, reason: str) -> None:
        self.trouble = reason
        if reason != self._said:
            self._said = reason
            log.warning("dataplane_lost", address=self.address, reason=reason)

    async def _connect(self) -> tuple[grpc.aio.Channel, _Call]:
        """Open a stream; returns when the dataplane has taken us. Raises: ConnectionError with the reason."""
        manner = self._manner
        tls = manner.tls(self.address)
        try:
            secret = manner.secret()
        except OSError as error:
            raise ConnectionError(f"the bus secret cannot be read: {error}") from error
        channel = open_channel(self.address, _OPTIONS, tls)
        try:
            metadata = (
                (SECRET_KEY, f"Bearer {secret}"),
                (NCM_KEY, manner.ncm_id),
                (PROTOCOL_KEY, str(PROTOCOL)),
            )
            call: _Call = channel.stream_stream(f"/{SERVICE}/{METHOD}")(metadata=metadata)
            async with asyncio.timeout(manner.connect_s):
                answer = await call.initial_metadata()
            if answer is None or answer.get(TAKEN_KEY) is None:
                # It answered with an end and a reason, before anything else.
                raise self._refused(await call.code(), await call.details(), tls)
        except grpc.aio.AioRpcError as error:
            await channel.close()
            raise self._refused(error.code(), error.details(), tls) from error
        except TimeoutError as error:
            await channel.close()
            raise ConnectionError(
                f"the dataplane at {self.address} did not answer within {manner.connect_s:g} s"
            ) from error
        except BaseException:
            await channel.close()
            raise
        self.trouble = self._said = ""
        self.call = call
        if manner.normal is not None and manner.normal.reading:
            self._normal.append(NormalReading(True))
        log.info("dataplane_attached", address=self.address)
        return channel, call

    async def _send(self, call: _Call) -> None:
        """Send wants and reports as they come. The first frame goes at once, also without any."""
        number = 0
        while True:
            number += 1
            frame = self._take_frame(number)
            try:
                await call.write(frame)
            except _BROKEN:
                return  # who receives sees it too, and says why
            if not (self._moves or self._reports or self._replies or self._normal):
                self._stirred.clear()
                await self._stirred.wait()

    def _take_frame(self, number: int) -> bytes:
        records: list[bytes] = []
        size = 0
        while self._moves and size < FRAME_BYTES:
            scope = next(iter(self._moves))
            records.append(encode_want_message(self._moves.pop(scope)))
            size += len(records[-1])
            if scope in self._wanted:
                self._wanted[scope] = number
        while self._reports and size < FRAME_BYTES:
            id = next(iter(self._reports))
            records.append(encode_want_message(self._reports.pop(id)))
            size += len(records[-1])
        while self._replies and size < FRAME_BYTES:
            records.append(encode_want_message(self._replies.pop(0)))
            size += len(records[-1])
        records.extend(encode_want_message(said) for said in self._normal)
        self._normal.clear()
        records.append(encode_number(number))
        return b"".join(records)

    async def _receive(self, call: _Call) -> AsyncIterator[GoalFrame]:
        while True:
            try:
                frame = await call.read()
            except _BROKEN as error:
                raise await self._broken(call, error) from error
            if not isinstance(frame, bytes):
                return  # grpc.aio.EOF
            try:
                read = decode_goal_frame(frame)
            except ValueError as error:
                raise ConnectionError(
                    f"the dataplane at {self.address} sent what cannot be read: {error}"
                ) from error
            yield read

    def take(self, letter: Letter) -> bool:
        """Know what a frame says of holdings; False if it came by a connection that has ended."""
        if letter.call is not self.call:
            return False
        holdings = letter.frame.holdings
        if holdings is not None:
            self.holdings, self.member_id = holdings, holdings.member_id
        return True

    def wanted_parts(self, frame: GoalFrame) -> list[GoalMessage]:
        """What is to be heard of a frame that was taken, by what is wanted now."""
        return [each for message in frame.messages if (each := self._wanted_part(message, frame.taken))]

    def _wanted_part(self, message: GoalMessage, taken: int) -> GoalMessage | None:
        """What is to be heard of a message: nothing of what answers an earlier want; snapshots in one piece."""
        if not isinstance(message, ScopeUpdate):
            return message
        number = self._wanted.get(message.scope, 0)
        if not 0 < number <= taken:
            self._chunks.pop(message.scope, None)
            return None
        if message.more:
            self._chunks.setdefault(message.scope, []).extend(message.put)
            return None
        chunks = self._chunks.pop(message.scope, None)
        return msgspec.structs.replace(message, put=(*chunks, *message.put)) if chunks else message

    async def _broken(self, call: _Call, error: Exception) -> ConnectionError:
        if call.done():
            return self._error(await call.code(), await call.details())
        return ConnectionError(f"the stream to the dataplane at {self.address} broke: {error}")

    def _refused(self, code: grpc.StatusCode, details: str | None, tls: ChannelTls | None) -> ConnectionError:
        """Why there was no stream: what a failed handshake means, if that was it."""
        return self._error(code, explain(details or "", tls) or details)

    def _error(self, code: grpc.StatusCode, details: str | None) -> ConnectionError:
        reason = f": {details}" if details else ""
        match code:
            case grpc.StatusCode.UNAVAILABLE:
                return ConnectionError(f"the dataplane at {self.address} cannot be reached{reason}")
            case grpc.StatusCode.UNAUTHENTICATED:
                return ConnectionError(f"the dataplane at {self.address} refused us{reason}")
            case grpc.StatusCode.UNIMPLEMENTED:
                return ConnectionError(f"{self.address} is not the ncms' address of a dataplane{reason}")
            case grpc.StatusCode.ABORTED:
                return ConnectionError(f"the dataplane at {self.address} ended the stream{reason}")
            case _:
                return ConnectionError(
                    f"the stream to the dataplane at {self.address} ended with {code.name}{reason}"
                )
