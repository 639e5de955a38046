"""The edge: what every request passes, whatever it asks for. An ASGI application.

Request ids, authentication, bounds, routing, errors, one log event and one metric per answer.
"""

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import replace

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from alcor.api.auth import SERVICE_TOKEN_HEADER, TOKEN_HEADER
from alcor.api.call import Call, Endpoint, Handler
from alcor.api.errors import Failure, Refused, failure_of, internal_error
from alcor.api.limit import Limits
from alcor.api.needs import Authenticator
from alcor.api.request_id import RequestIds
from alcor.api.router import Router
from alcor.api.view import encode
from alcor.api.waiting import Waits
from alcor.managers.interface import Caller
from alcor.model.errors import AlcorError
from alcor.telemetry.log import get_log
from alcor.telemetry.metrics import API_SECONDS

log = get_log("api")

_REQUEST_ID = b"x-openstack-request-id"
_TOKEN = TOKEN_HEADER.encode()
_SERVICE_TOKEN = SERVICE_TOKEN_HEADER.encode()
# What another service sends to say "this is a part of my request"; anything else is not repeated in our log.
_GLOBAL_ID = re.compile(r"req-[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\Z")
_NOWHERE = Endpoint("unknown", {})
# A path may have tens of thousands of characters; an event need not.
_LOGGED_CHARS_MAX = 512
# A closed set, so that a client cannot make metrics by inventing methods.
_METHODS = frozenset({"GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"})
# Asked every few seconds by machines, of no interest to people.
_QUIET = frozenset({"healthz", "metrics"})


class Gateway:
    """Answers every request, whatever happens: an error of ours is a 500 with an id, never a trace."""

    def __init__(
        self,
        endpoints: Mapping[str, Endpoint],
        authenticator: Authenticator,
        limits: Limits,
        *,
        public_endpoint: str | None,
        reach: Callable[[Caller], frozenset[str]] = lambda _caller: frozenset(),
        waits: Waits | None = None,
    ) -> None:
        self._router = Router(endpoints)
        self._authenticator = authenticator
        self._limits = limits
        self._ids = RequestIds()
        self._reach = reach
        self._waits = waits
        self._public = public_endpoint.rstrip("/") if public_endpoint else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI entry point."""
        if scope["type"] == "lifespan":
            await _live(receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1003})
            return
        started = time.perf_counter()
        request_id = self._ids.next()
        endpoint, names = self._router.find(scope["path"]) or (_NOWHERE, ())
        facts = {
            "request_id": request_id,
            "method": scope["method"][:_LOGGED_CHARS_MAX],
            "path": scope["path"][:_LOGGED_CHARS_MAX],
        }
        try:
            response = await self._answer(
                Call(Request(scope, receive), self._limits, self._public, names), endpoint, facts
            )
        except ClientDisconnect:
            log.info("request_abandoned", **facts)
            return
        response.raw_headers.append((_REQUEST_ID, request_id.encode()))
        elapsed_s = time.perf_counter() - started
        _observe(endpoint, facts["method"], response.status_code, elapsed_s)
        (log.debug if endpoint.label in _QUIET else log.info)(
            "request_answered",
            status=response.status_code,
            elapsed_ms=round(elapsed_s * 1000, 3),
            **facts,
        )
        await response(scope, receive, send)

    async def _answer(self, call: Call, endpoint: Endpoint, facts: dict[str, str]) -> Response:
        """The response. Adds to `facts` what the log should know of it beside the status."""
        # The service's own request, of which this one is a part.
        theirs = call.header(_REQUEST_ID)
        if theirs is not None and _GLOBAL_ID.match(theirs):
            facts["global_request_id"] = theirs
        try:
            self._check_size(call)
            if endpoint is _NOWHERE:
                raise Refused(404, f"The resource could not be found: nothing is served at {facts['path']}.")
            if not endpoint.is_open:
                known = await self._authenticator.authenticate(
                    call.header(_TOKEN), call.header(_SERVICE_TOKEN)
                )
                call.caller = replace(
                    known,
                    request_id=facts["request_id"],
                    global_request_id=facts.get("global_request_id", ""),
                    sees_all=self._reach(known),
                )
                facts["project_id"] = known.project_id
            handler = _handler(endpoint, facts["method"], facts["path"])
            return await (handler(call) if self._waits is None else self._waits.answer(call, handler))
        except AlcorError as error:
            failure = failure_of(error, realm=call.base)
            facts["error"] = failure.type
            if failure.status >= 500:
                log.warning(
                    "request_failed", request_id=facts["request_id"], type=failure.type, reason=error.message
                )
            return _response(failure)
        except ClientDisconnect:
            raise
        except Exception:
            log.exception("request_broken", **facts)
            facts["error"] = "HTTPInternalServerError"
            return _response(internal_error(facts["request_id"]))

    def _check_size(self, call: Call) -> None:
        limits, scope = self._limits, call.request.scope
        if len(scope["path"]) + len(scope["query_string"]) > limits.target_bytes_max:
            raise Refused(
                414,
                f"The URL is longer than {limits.target_bytes_max} bytes. Ask in several requests.",
            )
        headers = scope["headers"]
        held = sum(len(name) + len(value) for name, value in headers)
        if len(headers) > limits.headers_max or held > limits.header_bytes_max:
            raise Refused(
                431,
                f"The request has more than {limits.headers_max} headers or more than "
                f"{limits.header_bytes_max} bytes of them.",
            )


def _observe(endpoint: Endpoint, method: str, status: int, elapsed_s: float) -> None:
    if method not in _METHODS:
        method = "OTHER"
    child = endpoint.status.get((method, status))
    if child is None:
        child = endpoint.status[method, status] = API_SECONDS.labels(endpoint.label, method, str(status))
    child.observe(elapsed_s)


def _handler(endpoint: Endpoint, method: str, path: str) -> Handler:
    # A HEAD is answered as a GET whose body the server does not send (RFC 9110, 9.3.2).
    handler = endpoint.handlers.get("GET" if method == "HEAD" else method)
    if handler is None:
        allowed = ", ".join(sorted(endpoint.handlers))
        raise Refused(
            405,
            f"The method {method} is not allowed for {path}; it understands {allowed}.",
            headers={"Allow": allowed},
        )
    return handler


def _response(failure: Failure) -> Response:
    return Response(
        encode(failure.body), failure.status, dict(failure.headers), media_type="application/json"
    )


async def _live(receive: Receive, send: Send) -> None:
    """Nothing to start or stop: what the edge is given is started and stopped by who gave it."""
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
