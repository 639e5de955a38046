"""The ncm's end of agents' streams: one bidirectional gRPC stream each, `/alcor.bus.Ncm/Attach`.

Handlers are generic: frames go through as bytes (`bus.frame`), and no stub is generated. On TLS addresses an agent is
the host that its certificate names.
"""

from collections.abc import AsyncIterator, Sequence

import grpc
import grpc.aio

from alcor.bus.agent_frame import decode_agent_frame
from alcor.bus.frame import FrameEncoder
from alcor.bus.grpc_listen import Listener, Tls
from alcor.bus.grpc_tls import peer_of_call
from alcor.bus.interface import AgentHandler, AgentMessage, NcmMessage
from alcor.identity.name import Peer
from alcor.telemetry.log import get_log

log = get_log("bus")

SERVICE = "alcor.bus.Ncm"
METHOD = "Attach"
# What an agent sends is small: positions of its scopes (30 octets each) and transitions of its ports.
AGENT_FRAME_BYTES_MAX = 8 << 20
KEEPALIVE_MS = 20_000
KEEPALIVE_TIMEOUT_MS = 10_000

_Context = grpc.aio.ServicerContext[bytes, bytes]


class _Peer:
    """Implements `AgentPeer` on one stream."""

    def __init__(self, context: _Context, encoder: FrameEncoder, identity: Peer | None) -> None:
        self.identity = identity
        self._context = context
        self._encoder = encoder

    async def send(self, messages: Sequence[NcmMessage]) -> None:
        try:
            for frame in self._encoder.encode(messages):
                # Returns when flow control has taken the frame: this is where a slow agent slows its session.
                await self._context.write(frame)
        except (grpc.RpcError, grpc.aio.UsageError, grpc.aio.InternalError) as error:
            raise ConnectionError(f"the stream to agent {self._context.peer()} broke: {error}") from error

    async def receive(self) -> AsyncIterator[AgentMessage]:
        """Raises: ConnectionError if a frame cannot be read."""
        while True:
            try:
                frame = await self._context.read()
            except (grpc.RpcError, grpc.aio.UsageError, grpc.aio.InternalError):
                return  # broken or ended, the agent is gone either way
            if not isinstance(frame, bytes):
                return  # grpc.aio.EOF
            try:
                messages = decode_agent_frame(frame)
            except ValueError as error:
                raise ConnectionError(f"agent {self._context.peer()}: {error}") from error
            for message in messages:
                yield message


class AgentServer:
    """Listens for agents and gives each stream to `handler`, for as long as that runs.

    addresses: `host:port` (port 0: any free one), `[v6]:port`, or `unix:/path`.
    unix_mode: who may connect to the sockets; agents prove themselves in any case. tls: as `Listener`.
    """

    def __init__(
        self,
        handler: AgentHandler,
        addresses: Sequence[str],
        *,
        unix_mode: int = 0o660,
        tls: Tls = lambda _address: None,
    ) -> None:
        self._handler = handler
        self._listener = Listener(
            addresses,
            whom="agents",
            received_bytes_max=AGENT_FRAME_BYTES_MAX,
            keepalive_ms=KEEPALIVE_MS,
            keepalive_timeout_ms=KEEPALIVE_TIMEOUT_MS,
            unix_mode=unix_mode,
            tls=tls,
        )
        self._encoder = FrameEncoder()

    @property
    def addresses(self) -> tuple[str, ...]:
        """Where it listens, with the ports that were taken."""
        return self._listener.addresses

    async def start(self) -> tuple[str, ...]:
        """Listen; returns `addresses`. Raises: OSError that names the address and the reason."""
        await self._listener.start(SERVICE, {METHOD: grpc.stream_stream_rpc_method_handler(self._attach)})
        log.info("agents_awaited", addresses=self.addresses)
        return self.addresses

    async def stop(self, grace_s: float = 0.5) -> None:
        """End all streams and stop to listen; handlers that do not end within `grace_s` are cancelled."""
        await self._listener.stop(grace_s)

    async def _attach(self, _: AsyncIterator[bytes], context: _Context) -> None:
        # The agent waits for these to know that somebody is there, before it has anything to be answered.
        await context.send_initial_metadata(())
        try:
            identity = peer_of_call(context)
        except ValueError as error:
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, str(error))
        try:
            await self._handler(_Peer(context, self._encoder, identity))
        except ConnectionError as error:
            log.info("agent_stream_broken", reason=str(error))
            await context.abort(grpc.StatusCode.ABORTED, str(error))
