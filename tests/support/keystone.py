"""An identity service as its API reference documents it: what a validator of tokens sees of Keystone v3.

Source: Identity API v3, "Authentication and token management".
"""

import asyncio
import secrets
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import httpx
import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

PASSWORD = "correct horse"
ACCOUNT = "alcor"
SERVICE_PROJECT = "5e" * 16
ACCESS_RULES = [{"id": "1", "service": "network", "method": "GET", "path": "/v2.0/networks"}]

Json = dict[str, Any]


class FakeKeystone:
    """An ASGI application.

    now:     unix time.
    log:     the methods of all requests; `queries` and the `bodies` of log-ins beside.
    failure: raised instead of an answer, `failures_left` times (-1: always); `answer`: given instead of one.
    open:    while it is not set, requests wait; `held` is set when one does.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self.now = now
        self.tokens: dict[str, Json] = {}
        self.password = PASSWORD
        self.lifetime_s = 3600.0
        self.log: list[str] = []
        self.queries: list[str] = []
        self.bodies: list[Json] = []
        self.failure: Exception | None = None
        self.failures_left = -1
        self.answer: Response | None = None
        self.catalog: list[Json] = []
        self.open = asyncio.Event()
        self.open.set()
        self.held = asyncio.Event()

    def token(
        self,
        text: str = "",
        *,
        roles: Sequence[str] = ("member", "reader"),
        project: str | None = "p-1",
        ends_in_s: float = 3600.0,
        **more: Any,
    ) -> str:
        """Give a token out. `more`: further members of its document."""
        text = text or f"gAAAAA{secrets.token_urlsafe(32)}"
        document: Json = {
            "methods": ["password"],
            "user": {
                "id": "u-1",
                "name": "Ada",
                "domain": {"id": "default", "name": "Default"},
                "password_expires_at": None,
            },
            "audit_ids": ["x"],
            "issued_at": stamp(self.now()),
            "expires_at": stamp(self.now() + ends_in_s),
        }
        if project is not None:
            document["project"] = {
                "id": project,
                "name": f"name of {project}",
                "domain": {"id": "d-1", "name": "One"},
            }
            document["is_domain"] = False
        if roles:
            document["roles"] = [{"id": secrets.token_hex(16), "name": name} for name in roles]
        self.tokens[text] = document | more
        return text

    def revoke(self, text: str) -> None:
        """Forget a token."""
        del self.tokens[text]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI entry point."""
        request = Request(scope, receive)
        self.log.append(request.method)
        self.queries.append(request.url.query)
        if not self.open.is_set():
            self.held.set()
            await self.open.wait()
        if self.failure is not None and self.failures_left != 0:
            self.failures_left -= 1
            raise self.failure
        response = self.answer or await self._answer(request)
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        if request.url.path != "/v3/auth/tokens":
            return error(404, "Not Found")
        if request.method == "POST":
            return self._login(orjson.loads(await request.body()))
        own = self.tokens.get(request.headers.get("x-auth-token", ""))
        if own is None or self._has_ended(own):
            return error(401, "Unauthorized")
        if not {"admin", "service"} & {role["name"] for role in own.get("roles", ())}:
            return error(403, "Forbidden")
        subject = self.tokens.get(request.headers.get("x-subject-token", ""))
        if subject is None or (self._has_ended(subject) and "allow_expired" not in request.query_params):
            return error(404, "Not Found")
        rules = subject.get("application_credential", {}).get("access_rules")
        if rules is not None and "openstack-identity-access-rules" not in request.headers:
            return error(404, "Not Found")
        shown = subject if "nocatalog" in request.query_params else subject | {"catalog": self.catalog}
        return Response(orjson.dumps({"token": shown}), media_type="application/json")

    def _login(self, body: Json) -> Response:
        self.bodies.append(body)
        user = body["auth"]["identity"]["password"]["user"]
        if (user["name"], user["password"]) != (ACCOUNT, self.password):
            return error(401, "Unauthorized")
        text = self.token(roles=["service"], project=SERVICE_PROJECT, ends_in_s=self.lifetime_s)
        body = {"token": self.tokens[text] | {"catalog": self.catalog}}
        return Response(
            orjson.dumps(body), 201, headers={"X-Subject-Token": text}, media_type="application/json"
        )

    def _has_ended(self, document: Json) -> bool:
        return datetime.fromisoformat(document["expires_at"]).timestamp() <= self.now()

    def client(self) -> httpx.AsyncClient:
        """A client whose connections end here."""
        return httpx.AsyncClient(transport=httpx.ASGITransport(self))


def stamp(moment: float) -> str:
    """A time as Keystone writes it."""
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def error(status: int, title: str) -> Response:
    """An error as Keystone writes it."""
    body = {"error": {"code": status, "title": title, "message": "Could not."}}
    return Response(orjson.dumps(body), status, media_type="application/json")
