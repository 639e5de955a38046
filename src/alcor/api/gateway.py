"""The edge: what every request passes, whatever it asks for. An ASGI application.

Request ids, authentication, bounds, routing, errors, one log event and one metric per answer.
"""

import re
import time
import uuid
from collections.abc import Mapping
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from structlog.contextvars import bound_contextvars

from alcor.api.auth import TOKEN_HEADER
from alcor.api.call import Call, Endpoint, Handler
from alcor.api.errors import Failure, Refused, failure_of, internal_error
from alcor.api.limit import Limits
from alcor.api.needs import Authenticator
from alcor.api.view import encode
from alcor.managers.interface import Caller
from alcor.model.errors import AlcorError
from alcor.telemetry.log import get_log
from alcor.telemetry.metrics import API_SECONDS

log = get_log("api")

REQUEST_ID_HEADER = "x-openstack-request-id"
# What another service sends to say "this is a part of my request"; anything else is not repeated in our log.
_GLOBAL_ID = re.compile(r"req-[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\Z")
_HOST = re.compile(r"[A-Za-z0-9._-]+(:[0-9]{1,5})?\Z|\[[0-9A-Fa-f:.]+\](:[0-9]{1,5})?\Z")
_NOBODY = Caller(project_id="", is_admin=False)
_NOWHERE = Endpoint("unknown", {})
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
    ) -> None:
        self._endpoints = dict(endpoints)
        self._authenticator = authenticator
        self._limits = limits
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
        request = Request(scope, receive)
        request_id = f"req-{uuid.uuid4()}"
        endpoint, id = self._route(scope["path"])
        with bound_contextvars(request_id=request_id):
            try:
                response, facts = await self._answer(request, endpoint, id, request_id)
            except ClientDisconnect:
                log.info("request_abandoned", method=scope["method"], path=scope["path"])
                return
            response.raw_headers.append((b"x-openstack-request-id", request_id.encode()))
            elapsed_s = time.perf_counter() - started
            self._observe(endpoint, scope, response.status_code, elapsed_s)
            (log.debug if endpoint.label in _QUIET else log.info)(
                "request_answered",
                method=scope["method"],
                path=scope["path"],
                status=response.status_code,
                elapsed_ms=round(elapsed_s * 1000, 3),
                **facts,
            )
        await response(scope, receive, send)

    def _route(self, path: str) -> tuple[Endpoint, str]:
        """The endpoint of a path, and the id that the path names. A trailing slash means nothing."""
        path = path.rstrip("/")
        endpoint = self._endpoints.get(path)
        if endpoint is not None and "{" not in path:
            return endpoint, ""
        above, _, last = path.rpartition("/")
        endpoint = self._endpoints.get(f"{above}/{{id}}")
        if endpoint is not None:
            return endpoint, last
        above, _, id = above.rpartition("/")
        return self._endpoints.get(f"{above}/{{id}}/{last}", _NOWHERE), id

    async def _answer(
        self, request: Request, endpoint: Endpoint, id: str, request_id: str
    ) -> tuple[Response, dict[str, Any]]:
        """The response, and what the log should know of it beside the status."""
        facts: dict[str, Any] = {}
        # The service's own request, of which this one is a part.
        theirs = request.headers.get(REQUEST_ID_HEADER)
        if theirs is not None and _GLOBAL_ID.match(theirs):
            facts["global_request_id"] = theirs
        base = self._base(request)
        try:
            self._check_size(request)
            handler = _NOTHING if endpoint is _NOWHERE else None
            caller = _NOBODY
            if handler is None and not endpoint.is_open:
                known = await self._authenticator.authenticate(request.headers.get(TOKEN_HEADER))
                caller = Caller(known.project_id, known.is_admin, request_id)
                facts["project_id"] = known.project_id
            handler = handler or _handler(endpoint, request)
            return await handler(Call(request, caller, self._limits, base, id)), facts
        except AlcorError as error:
            failure = failure_of(error, realm=base)
            facts["error"] = failure.type
            if failure.status >= 500:
                log.warning("request_failed", type=failure.type, reason=error.message)
            return _response(failure), facts
        except ClientDisconnect:
            raise
        except Exception:
            log.exception("request_broken", method=request.method, path=request.url.path)
            facts["error"] = "HTTPInternalServerError"
            return _response(internal_error(request_id)), facts

    def _check_size(self, request: Request) -> None:
        limits, scope = self._limits, request.scope
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

    def _base(self, request: Request) -> str:
        """The URL clients reach us by, without a slash at its end."""
        if self._public is not None:
            return self._public
        scheme = request.headers.get("x-forwarded-proto", request.scope["scheme"])
        if scheme not in ("http", "https"):
            scheme = request.scope["scheme"]
        host = request.headers.get("host", "")
        if not _HOST.match(host):
            server = request.scope.get("server") or ("127.0.0.1", None)
            name = f"[{server[0]}]" if ":" in server[0] else server[0]
            host = f"{name}:{server[1]}" if server[1] else name
        return f"{scheme}://{host}"

    @staticmethod
    def _observe(endpoint: Endpoint, scope: Scope, status: int, elapsed_s: float) -> None:
        method = scope["method"] if scope["method"] in _METHODS else "OTHER"
        child = endpoint.status.get((method, status))
        if child is None:
            child = endpoint.status[method, status] = API_SECONDS.labels(endpoint.label, method, str(status))
        child.observe(elapsed_s)


async def _nothing(call: Call) -> Response:
    raise Refused(404, f"The resource could not be found: nothing is served at {call.request.url.path}.")


_NOTHING: Handler = _nothing


def _handler(endpoint: Endpoint, request: Request) -> Handler:
    handler = endpoint.handlers.get(request.method)
    if handler is None:
        allowed = ", ".join(sorted(endpoint.handlers))
        raise Refused(
            405,
            f"The method {request.method} is not allowed for {request.url.path}; it understands {allowed}.",
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
