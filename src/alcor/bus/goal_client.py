"""An ncm's end of the bus to a dataplane in another process: implements `NcmBus` over gRPC."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence

import grpc
import grpc.aio
import msgspec

from alcor.bus.frame import FRAME_BYTES, FRAME_BYTES_MAX
from alcor.bus.goal_frame import (
    Unwant,
    Want,
    decode_goal_frame,
    encode_number,
    encode_want_message,
)
from alcor.bus.goal_server import METHOD, NCM_KEY, SECRET_KEY, SERVICE, TAKEN_KEY
from alcor.bus.grpc_tls import ChannelTls, open_channel
from alcor.bus.host_memory import HostMemory
from alcor.bus.interface import Envelope, Heads, HostReport, Question, Reply, ScopeUpdate
from alcor.bus.local import merge_reports
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


class _Link:
    """One connection: its call and the task that sends."""

    def __init__(self, channel: grpc.aio.Channel, call: _Call) -> None:
        self.channel, self.call = channel, call
        self.sender: asyncio.Task[None] | None = None
        self.chunks: dict[Scope, list[Envelope]] = {}

    async def close(self) -> None:
        """End it, whatever state it is in."""
        if self.sender is not None:
            self.sender.cancel()
            await asyncio.gather(self.sender, return_exceptions=True)
        self.call.cancel()
        await self.channel.close()


class GoalClient:
    """Implements `NcmBus` for a dataplane at `address` (`host:port` or `unix:/path`).

    `updates()` owns the connection: it connects, and connects again whenever the stream is lost, for ever; wants and
    reports travel while it is read. After each connect every wanted scope starts with its snapshot, and all that
    the attached hosts said is told again whole, so that a restarted dataplane knows what its predecessor did.

    ncm_id:  tells this process from other ncms. secret: read at each attempt, so that it may come later; it raises
             OSError with the reason if it is not there.
    tls:     as whom it connects; None for a plain connection, where the secret proves it.
    random:  a number in [0, 1) for the pauses.
    Bound:   one number per wanted scope, one `HostMemory` per attached host, one merged report per host.
    """

    def __init__(
        self,
        address: str,
        *,
        ncm_id: str,
        secret: Callable[[], str],
        random: Callable[[], float],
        connect_s: float = CONNECT_S,
        delay_min_s: float = DELAY_MIN_S,
        delay_max_s: float = DELAY_MAX_S,
        tls: ChannelTls | None = None,
    ) -> None:
        self._tls = tls
        self._address, self._ncm_id, self._secret = address, ncm_id, secret
        self._random, self._connect_s = random, connect_s
        self._delay_min_s, self._delay_max_s = delay_min_s, delay_max_s
        # Scope → the number of the frame that carried its last want; 0: not sent yet.
        self._wanted: dict[Scope, int] = {}
        self._moves: dict[Scope, Want | Unwant] = {}
        self._hosts: dict[str, HostMemory] = {}
        self._reports: dict[str, HostReport] = {}
        self._replies: list[Reply] = []
        self._stirred = asyncio.Event()
        self._link: _Link | None = None
        self._reader = 0
        self._said = ""
        self.trouble = "it was not tried yet"
        """Why there is no connection; empty while there is one."""

    # --- the ncm's ---------------------------------------------------------------------------------------

    def want(self, scope: Scope) -> None:
        """As `NcmBus.want`; wanting what is wanted already asks for its snapshot again."""
        self._wanted[scope] = 0
        self._move(scope, Want(scope))

    def unwant(self, scope: Scope) -> None:
        """As `NcmBus.unwant`; from here on nothing of the scope comes out of `updates`."""
        self._wanted.pop(scope, None)
        self._move(scope, Unwant(scope))

    def _move(self, scope: Scope, move: Want | Unwant) -> None:
        # Only the last one counts, and a want alone asks for the snapshot again: one per scope is enough.
        self._moves[scope] = move
        self._stirred.set()

    def report(self, report: HostReport) -> None:
        """As `NcmBus.report`. What is not sent yet is merged; what attached hosts said is remembered."""
        id = report.host_id
        if not report.alive:
            self._hosts.pop(id, None)
        elif (memory := self._hosts.get(id)) is None:
            self._hosts[id] = HostMemory(report)
        else:
            memory.add(report)
        before = self._reports.pop(id, None)
        self._reports[id] = report if before is None else merge_reports(before, report)
        self._stirred.set()

    def reply(self, reply: Reply) -> None:
        """As `NcmBus.reply`; an answer that a new connection would bring too late is dropped."""
        self._replies.append(reply)
        self._stirred.set()

    async def updates(self) -> AsyncIterator[Sequence[ScopeUpdate | Heads | Question]]:
        """As `NcmBus.updates`. A new reader knows nothing: each wanted scope starts with its snapshot.

        A new reader's connection takes the place of the one before. Losses are logged, once per reason.
        """
        self._reader += 1
        reader, failures = self._reader, 0
        await self._hang_up()
        while reader == self._reader:
            try:
                link = self._link = await self._connect()
                try:
                    async for batch in self._receive(link):
                        failures = 0
                        yield batch
                finally:
                    await link.close()
                raise ConnectionError(f"the dataplane at {self._address} ended the stream")
            except ConnectionError as error:
                if reader != self._reader:
                    return
                failures += 1
                self._lost(str(error))
            bound_s = min(self._delay_min_s * 2 ** min(failures - 1, 16), self._delay_max_s)
            await asyncio.sleep(bound_s * (0.5 + self._random() / 2))

    async def close(self) -> None:
        """End the connection and its reader."""
        self._reader += 1
        await self._hang_up()

    # --- the connection ----------------------------------------------------------------------------------

    async def _hang_up(self) -> None:
        link, self._link = self._link, None
        if link is not None:
            await link.close()

    def _lost(self, reason: str) -> None:
        self.trouble = reason
        if reason != self._said:
            self._said = reason
            log.warning("dataplane_lost", address=self._address, reason=reason)

    async def _connect(self) -> _Link:
        """Open a stream; returns when the dataplane has taken us. Raises: ConnectionError with the reason."""
        try:
            secret = self._secret()
        except OSError as error:
            raise ConnectionError(f"the bus secret cannot be read: {error}") from error
        channel = open_channel(self._address, _OPTIONS, self._tls)
        try:
            metadata = ((SECRET_KEY, f"Bearer {secret}"), (NCM_KEY, self._ncm_id))
            call: _Call = channel.stream_stream(f"/{SERVICE}/{METHOD}")(metadata=metadata)
            async with asyncio.timeout(self._connect_s):
                answer = await call.initial_metadata()
            if answer is None or answer.get(TAKEN_KEY) is None:
                # It answered with an end and a reason, before anything else.
                raise self._error(await call.code(), await call.details())
        except grpc.aio.AioRpcError as error:
            await channel.close()
            raise self._error(error.code(), error.details()) from error
        except TimeoutError as error:
            await channel.close()
            raise ConnectionError(
                f"the dataplane at {self._address} did not answer within {self._connect_s:g} s"
            ) from error
        except BaseException:
            await channel.close()
            raise
        self.trouble = self._said = ""
        log.info("dataplane_attached", address=self._address, scopes=len(self._wanted))
        link = _Link(channel, call)
        self._begin_anew()
        link.sender = asyncio.create_task(self._send(link), name="bus-send")
        return link

    def _begin_anew(self) -> None:
        """What a dataplane that knows nothing of us must be told: all wants, all that attached hosts said."""
        self._wanted = dict.fromkeys(self._wanted, 0)
        self._moves = {scope: Want(scope) for scope in self._wanted}
        self._replies.clear()
        # What is left of hosts that went is their farewell.
        self._reports = {id: report for id, report in self._reports.items() if id not in self._hosts}
        self._reports |= {id: memory.whole() for id, memory in self._hosts.items()}
        self._stirred.set()

    async def _send(self, link: _Link) -> None:
        """Send wants and reports as they come. The first frame goes at once, also without any."""
        number = 0
        while True:
            number += 1
            frame = self._take_frame(number)
            try:
                await link.call.write(frame)
            except _BROKEN:
                return  # who receives sees it too, and says why
            if not (self._moves or self._reports or self._replies):
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
        records.append(encode_number(number))
        return b"".join(records)

    async def _receive(self, link: _Link) -> AsyncIterator[Sequence[ScopeUpdate | Heads | Question]]:
        while True:
            try:
                frame = await link.call.read()
            except _BROKEN as error:
                raise await self._broken(link, error) from error
            except asyncio.CancelledError:
                task = asyncio.current_task()
                if link.call.cancelled() and not (task is not None and task.cancelling()):
                    return  # by our own `close`, not by who waits for us
                raise
            if not isinstance(frame, bytes):
                return  # grpc.aio.EOF
            try:
                messages, taken = decode_goal_frame(frame)
            except ValueError as error:
                raise ConnectionError(
                    f"the dataplane at {self._address} sent what cannot be read: {error}"
                ) from error
            batch = [each for message in messages if (each := self._wanted_part(link, message, taken))]
            if batch:
                yield batch

    def _wanted_part(
        self, link: _Link, message: ScopeUpdate | Heads | Question, taken: int
    ) -> ScopeUpdate | Heads | Question | None:
        """What the ncm is to get of a message: nothing of what answers an earlier want; snapshots in one piece."""
        if not isinstance(message, ScopeUpdate):
            return message
        number = self._wanted.get(message.scope, 0)
        if not 0 < number <= taken:
            link.chunks.pop(message.scope, None)
            return None
        if message.more:
            link.chunks.setdefault(message.scope, []).extend(message.put)
            return None
        chunks = link.chunks.pop(message.scope, None)
        return msgspec.structs.replace(message, put=(*chunks, *message.put)) if chunks else message

    async def _broken(self, link: _Link, error: Exception) -> ConnectionError:
        if link.call.done():
            return self._error(await link.call.code(), await link.call.details())
        return ConnectionError(f"the stream to the dataplane at {self._address} broke: {error}")

    def _error(self, code: grpc.StatusCode, details: str | None) -> ConnectionError:
        reason = f": {details}" if details else ""
        match code:
            case grpc.StatusCode.UNAVAILABLE:
                return ConnectionError(f"the dataplane at {self._address} cannot be reached{reason}")
            case grpc.StatusCode.UNAUTHENTICATED:
                return ConnectionError(f"the dataplane at {self._address} refused us{reason}")
            case grpc.StatusCode.UNIMPLEMENTED:
                return ConnectionError(f"{self._address} is not the ncms' address of a dataplane{reason}")
            case grpc.StatusCode.ABORTED:
                return ConnectionError(f"the dataplane at {self._address} ended the stream{reason}")
            case _:
                return ConnectionError(
                    f"the stream to the dataplane at {self._address} ended with {code.name}{reason}"
                )
