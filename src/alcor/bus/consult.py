"""Questions of API processes to a dataplane: one call each, `/alcor.bus.Dataplane/Consult`.

The bodies are JSON; what may be asked is the dataplane's matter. The secret is that of the bus.
"""

import asyncio
import hmac
from collections.abc import Awaitable, Callable

import grpc
import grpc.aio

from alcor.bus.grpc_tls import ChannelTls, explain, open_channel, peer_of_call
from alcor.model.errors import AlcorError, InvalidInput, NotFound, Unavailable

METHOD = "Consult"
SECRET_KEY = "authorization"
ANSWER_S = 15.0
# A dataplane that stands still is connected to by the system, and says nothing: another one is asked then.
CONNECT_S = 1.0
_OPTIONS = (("grpc.enable_http_proxy", 0), ("grpc.use_local_subchannel_pool", 1))
_CODES: tuple[tuple[type[AlcorError], grpc.StatusCode], ...] = (
    (NotFound, grpc.StatusCode.NOT_FOUND),
    (InvalidInput, grpc.StatusCode.INVALID_ARGUMENT),
    (Unavailable, grpc.StatusCode.UNAVAILABLE),
)

Consultant = Callable[[bytes], Awaitable[bytes]]
"""Answers one question. Raises: NotFound, InvalidInput, Unavailable."""

_Context = grpc.aio.ServicerContext[bytes, bytes]


def refusal(context: _Context, proof: bytes) -> str:
    """Why a caller is no process of the region; empty if it is: by a role's certificate, or by the bus secret."""
    try:
        peer = peer_of_call(context)
    except ValueError as error:
        return str(error)
    if peer is not None:
        return "" if peer.role else f"host {peer.host_id} is no process of the region"
    shown = str(dict(context.invocation_metadata() or ()).get(SECRET_KEY, "")).encode()
    if hmac.compare_digest(shown, proof):
        return ""
    return "the bus secret is not the dataplane's; give the ncm a copy of the dataplane's bus.secret"


def handler(
    proof: bytes, consultant: Callable[[], Consultant | None]
) -> "grpc.RpcMethodHandler[bytes, bytes]":
    """The server's side. `proof`: what the metadata must show; `consultant`: None while nobody can answer."""

    async def consult(request: bytes, context: _Context) -> bytes:
        reason = refusal(context, proof)
        if reason:
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, reason)
        if not request:
            return b""  # whether the caller is taken was all it asked
        answer = consultant()
        try:
            if answer is None:
                raise Unavailable("the dataplane is still loading; try again in a moment")
            return await answer(request)
        except AlcorError as error:
            code = next((code for kind, code in _CODES if isinstance(error, kind)), grpc.StatusCode.INTERNAL)
            await context.abort(code, str(error))
            raise

    found: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(consult)
    return found


async def consult(
    address: str, secret: str, body: bytes, *, within_s: float = ANSWER_S, tls: ChannelTls | None = None
) -> bytes:
    """Ask the dataplane at `address`. Raises: NotFound, InvalidInput, Unavailable (also if it cannot be reached)."""
    try:
        opened = open_channel(address, _OPTIONS, tls)
    except ConnectionError as error:
        raise Unavailable(str(error)) from error
    async with opened as channel:
        call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(
            f"/alcor.bus.Dataplane/{METHOD}"
        )
        await _connect(channel, address)
        try:
            answer: bytes = await call(body, metadata=((SECRET_KEY, f"Bearer {secret}"),), timeout=within_s)
        except grpc.aio.AioRpcError as error:
            raise _error(address, error, tls) from error
    return answer


async def find_refusal(address: str, secret: str) -> str:
    """Why the dataplane at a plain address takes nobody with this secret for a process of the region; empty if it does,
    or if it cannot be asked.
    """
    async with open_channel(address, _OPTIONS, None) as channel:
        call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(
            f"/alcor.bus.Dataplane/{METHOD}"
        )
        try:
            await call(b"", metadata=((SECRET_KEY, f"Bearer {secret}"),), timeout=CONNECT_S)
        except grpc.aio.AioRpcError as error:
            if error.code() == grpc.StatusCode.UNAUTHENTICATED:
                return error.details() or error.code().name
    return ""


async def _connect(channel: grpc.aio.Channel, address: str) -> None:
    """Wait until it speaks; one that refuses is left to the call, which says why. Raises: Unavailable."""
    try:
        async with asyncio.timeout(CONNECT_S):
            state = channel.get_state(try_to_connect=True)
            while state in (grpc.ChannelConnectivity.IDLE, grpc.ChannelConnectivity.CONNECTING):
                await channel.wait_for_state_change(state)
                state = channel.get_state()
    except TimeoutError:
        raise Unavailable(f"the dataplane at {address} does not speak within {CONNECT_S:g} s") from None


def _error(address: str, error: grpc.aio.AioRpcError, tls: ChannelTls | None) -> AlcorError:
    details = error.details() or error.code().name
    details = explain(details, tls) or details
    match error.code():
        case grpc.StatusCode.NOT_FOUND:
            return NotFound("", "", reason=details)
        case grpc.StatusCode.INVALID_ARGUMENT:
            return InvalidInput(details)
        case _:
            return Unavailable(f"the dataplane at {address} did not answer: {details}")
