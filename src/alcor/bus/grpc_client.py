"""The agent's end of its stream to the ncm: implements `AgentConnector` and `AgentStream` over gRPC."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import grpc
import grpc.aio

from alcor.bus.agent_frame import encode_agent_frame
from alcor.bus.frame import FRAME_BYTES_MAX, decode_ncm_frame
from alcor.bus.grpc_tls import ChannelTls, explain, open_channel
from alcor.bus.interface import AgentMessage, AgentStream, NcmMessage
from alcor.telemetry.metrics import AGENT_OCTETS

_METHOD = "/alcor.bus.Ncm/Attach"
KEEPALIVE_MS = 20_000
KEEPALIVE_TIMEOUT_MS = 10_000
CONNECT_S = 10.0

_OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.max_receive_message_length", FRAME_BYTES_MAX),
    ("grpc.max_send_message_length", -1),
    # A region that lost its power says no farewell: ping it.
    ("grpc.keepalive_time_ms", KEEPALIVE_MS),
    ("grpc.keepalive_timeout_ms", KEEPALIVE_TIMEOUT_MS),
    ("grpc.http2.max_pings_without_data", 0),
    # Waiting between attempts is the session's duty (it adds jitter); gRPC's own back-off, shared by all channels to
    # an address, would make it wait again, for up to two minutes.
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_http_proxy", 0),
)

_RECEIVED, _SENT = AGENT_OCTETS.labels("received"), AGENT_OCTETS.labels("sent")

_Call = grpc.aio.StreamStreamCall[bytes, bytes]


class _Stream:
    """Implements `AgentStream`."""

    def __init__(self, address: str, channel: grpc.aio.Channel, call: _Call) -> None:
        self._address = address
        self._channel = channel
        self._call = call

    async def send(self, message: AgentMessage) -> None:
        frame = encode_agent_frame([message])
        _SENT.inc(len(frame))
        try:
            await self._call.write(frame)
        except (grpc.RpcError, grpc.aio.UsageError, asyncio.InvalidStateError) as error:
            raise await self._broken(error) from error

    async def receive(self) -> AsyncIterator[Sequence[NcmMessage]]:
        while True:
            try:
                frame = await self._call.read()
            except (grpc.RpcError, grpc.aio.UsageError, asyncio.InvalidStateError) as error:
                raise await self._broken(error) from error
            except asyncio.CancelledError:
                if self._call.cancelled() and not _is_cancelling():
                    return  # by our own `close`, not by who waits for us
                raise
            if not isinstance(frame, bytes):
                return  # grpc.aio.EOF
            _RECEIVED.inc(len(frame))
            try:
                yield decode_ncm_frame(frame)
            except ValueError as error:
                raise ConnectionError(
                    f"the region at {self._address} sent what cannot be read: {error}"
                ) from error

    async def close(self) -> None:
        self._call.cancel()
        await self._channel.close()

    async def _broken(self, error: Exception) -> ConnectionError:
        if self._call.done():
            return _connection_error(self._address, await self._call.code(), await self._call.details())
        return ConnectionError(f"the stream to the region at {self._address} broke: {error}")


class GrpcConnector:
    """Connects to an ncm. `address`: `host:port` or `unix:/path`. `tls`: as whom; None for a plain connection."""

    def __init__(self, address: str, *, connect_s: float = CONNECT_S, tls: ChannelTls | None = None) -> None:
        self._address, self._tls = address, tls
        self._connect_s = connect_s

    async def connect(self) -> AgentStream:
        """Open a stream; returns when the region has answered.

        Raises: ConnectionError that names the address and the reason.
        """
        channel = open_channel(self._address, _OPTIONS, self._tls)
        try:
            call: _Call = channel.stream_stream(_METHOD)()
            async with asyncio.timeout(self._connect_s):
                await call.wait_for_connection()
        except grpc.aio.AioRpcError as error:
            await channel.close()
            details = error.details() or ""
            reason = explain(details, self._tls) or details
            raise _connection_error(self._address, error.code(), reason) from error
        except TimeoutError as error:
            await channel.close()
            raise ConnectionError(
                f"the region at {self._address} did not answer within {self._connect_s:g} s"
            ) from error
        except BaseException:
            await channel.close()
            raise
        return _Stream(self._address, channel, call)


def _connection_error(address: str, code: grpc.StatusCode, details: str | None) -> ConnectionError:
    reason = f": {details}" if details else ""
    match code:
        case grpc.StatusCode.UNAVAILABLE:
            return ConnectionError(f"the region at {address} cannot be reached{reason}")
        case grpc.StatusCode.UNIMPLEMENTED:
            return ConnectionError(f"{address} is not the agents' address of a region{reason}")
        case grpc.StatusCode.ABORTED:
            return ConnectionError(f"the region at {address} ended the stream{reason}")
        case _:
            return ConnectionError(f"the stream to the region at {address} ended with {code.name}{reason}")


def _is_cancelling() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
