"""Token authentication by an identity service: OpenStack Keystone, API version 3.

A token is shown to Keystone once, then remembered for `cache_s` at most: a revocation is honoured within that time.
Whatever gives tokens (passwords, application credentials, trusts, federation) passes; only tokens of a project do.

    user's token   → known for less than cache_s?          → caller
                   → refused less than REFUSED_S ago?      → 401
                   → look-up under way? wait for it        → GET /v3/auth/tokens with our own token
    our own token  → POST /v3/auth/tokens with our password; again shortly before it ends and when Keystone refuses it
"""

import asyncio
import hashlib
import ssl
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import httpx
import msgspec

from alcor.api.policy import Policy
from alcor.managers.interface import Caller
from alcor.model.errors import Forbidden, Unauthenticated, Unavailable
from alcor.telemetry.log import get_log

log = get_log("keystone")

# A busy region's callers within a minute; an entry is under 1 kB.
KNOWN_MAX = 10_000
# How long a refused token is refused without asking again. A token is never refused first and valid later, but
# Keystone's replicas may lag behind the one that gave it.
REFUSED_S = 10.0
# In a table of its own, so that somebody who guesses tokens cannot push the good ones out.
REFUSED_MAX = 1_000
# Fernet tokens have about 250 characters, signed ones (JWS) up to 1,500.
TOKEN_CHARS_MAX = 8_192
# Our own token is replaced this long before it ends, so that it does not end on the way.
RENEW_BEFORE_S = 60.0
# After Keystone refused our password it is not asked again for this long: accounts are locked for too many attempts.
LOGIN_PAUSE_S = 10.0
# What a client is told to wait when Keystone does not answer.
RETRY_AFTER_S = 5
CONNECTIONS_MAX = 32

_WAY_OUT = "Get a token for a project from the identity service, and send it in the header X-Auth-Token."


@dataclass(frozen=True, slots=True)
class KeystoneAccount:
    """Where Keystone is and who we are to it.

    auth_url:            with or without /v3 at its end.
    region_name:         whose public identity endpoint clients are sent to; "": the first of the catalogue.
    cache_s:             how long a valid token is not asked about again.
    service_token_roles: one of these makes a token a service's.
    """

    auth_url: str
    username: str
    password: str
    project_name: str = "service"
    user_domain_name: str = "Default"
    project_domain_name: str = "Default"
    region_name: str = ""
    cache_s: float = 60.0
    service_token_roles: frozenset[str] = frozenset({"service"})


class _Domain(msgspec.Struct):
    id: str = ""


class _Named(msgspec.Struct):
    id: str
    name: str = ""
    domain: _Domain = msgspec.field(default_factory=_Domain)


class _Role(msgspec.Struct):
    name: str


class _Endpoint(msgspec.Struct):
    url: str
    interface: str = ""
    region_id: str | None = None


class _Service(msgspec.Struct):
    type: str
    endpoints: list[_Endpoint] = []


class _Credential(msgspec.Struct):
    access_rules: list[Any] | None = None


class _Token(msgspec.Struct):
    expires_at: str
    user: _Named
    project: _Named | None = None
    domain: _Domain | None = None
    system: dict[str, Any] | None = None
    roles: list[_Role] = []
    catalog: list[_Service] = []
    application_credential: _Credential | None = None


class _Answer(msgspec.Struct):
    token: _Token


_decoder = msgspec.json.Decoder(_Answer)


@dataclass(frozen=True, slots=True)
class _Subject:
    """What Keystone says of a token. `ends_at`: unix time; `refusal`: why it is of no use here, "" if it is."""

    caller: Caller
    ends_at: float
    refusal: str


@dataclass(frozen=True, slots=True)
class _Own:
    """Our own token. `ends_at`: unix time."""

    text: str
    ends_at: float


_Key = tuple[bytes, bool]


class KeystoneAuthenticator:
    """Who a token speaks for, as Keystone says.

    Shape:  at most `known_max` remembered tokens (by SHA-256, never the token), `REFUSED_MAX` refused ones; one look-up
            at a time per token.
    Cost:   a hash and a dictionary look-up; one request to Keystone per token and `cache_s`.
    Errors: Keystone that does not answer makes tokens that are not remembered Unavailable (503), never Unauthenticated.
    """

    def __init__(
        self,
        account: KeystoneAccount,
        client: httpx.AsyncClient,
        policy: Policy,
        *,
        known_max: int = KNOWN_MAX,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._account = account
        self._client = client
        self._is_admin = policy.rule("context_is_admin").allows
        self._known_max = known_max
        self._clock, self._now = clock, now
        self._url = account.auth_url.rstrip("/").removesuffix("/v3") + "/v3/auth/tokens"
        self._realm = self._url.removesuffix("/auth/tokens")
        self._known: OrderedDict[_Key, tuple[float, _Subject]] = OrderedDict()
        self._refused: OrderedDict[_Key, float] = OrderedDict()
        self._asking: dict[_Key, asyncio.Task[_Subject | None]] = {}
        self._own: _Own | None = None
        self._login: asyncio.Task[_Own] | None = None
        self._login_again_at = float("-inf")

    async def authenticate(self, token: str | None, service_token: str | None = None) -> Caller:
        """The caller of a token.

        service_token: of the service that passes the request on. With it a user's token may have ended meanwhile, as
                       long as Keystone still knows it: a service's work may last longer than the user's token.
        Raises:        Unauthenticated (a token is missing, wrong, ended, or not a service's), Forbidden (a token of no
                       project), Unavailable (Keystone does not answer).
        """
        if not service_token:
            return self._caller(await self._subject(token, "token", may_have_ended=False))
        service = await self._subject(service_token, "service token", may_have_ended=False)
        if not service.caller.roles & self._account.service_token_roles:
            raise self._unauthenticated(
                "The service token is not a service's: it has none of the roles asked for."
            )
        caller = self._caller(await self._subject(token, "token", may_have_ended=True))
        return self._judged(replace(caller, service_roles=service.caller.roles))

    async def close(self) -> None:
        """End look-ups and connections."""
        tasks: list[asyncio.Task[Any]] = [*self._asking.values()]
        if self._login is not None:
            tasks.append(self._login)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._client.aclose()

    def _caller(self, subject: _Subject) -> Caller:
        if subject.refusal:
            raise Forbidden(subject.refusal)
        return subject.caller

    async def _subject(self, token: str | None, what: str, *, may_have_ended: bool) -> _Subject:
        token = (token or "").strip()
        if not token:
            raise self._unauthenticated(f"The request has no {what}.")
        if len(token) > TOKEN_CHARS_MAX or not token.isascii() or not token.isprintable():
            raise self._unauthenticated(f"The {what} cannot be one.")
        # The digest is kept, not the secret: what leaks from memory is of no use.
        key = hashlib.sha256(token.encode()).digest(), may_have_ended
        subject = self._remembered(key) or await self._asked(key, token)
        if subject is None:
            raise self._unauthenticated(f"The {what} is not known, was revoked or has ended.")
        if not may_have_ended and subject.ends_at <= self._now():
            raise self._unauthenticated(f"The {what} has ended.")
        return subject

    def _remembered(self, key: _Key) -> _Subject | None:
        found = self._known.get(key)
        return found[1] if found is not None and self._clock() < found[0] else None

    async def _asked(self, key: _Key, token: str) -> _Subject | None:
        until = self._refused.get(key)
        if until is not None and self._clock() < until:
            return None
        task = self._asking.get(key)
        if task is None:
            task = asyncio.create_task(self._look_up(key, token), name="keystone")
            self._asking[key] = task
            task.add_done_callback(lambda done: self._answered(key, done))
        # A client that goes away must not take the answer from others that wait for it.
        return await asyncio.shield(task)

    def _answered(self, key: _Key, task: asyncio.Task[_Subject | None]) -> None:
        del self._asking[key]
        if not task.cancelled():
            # Everybody who waited may have gone away: the error was theirs, and is not to be reported as forgotten.
            task.exception()

    async def _look_up(self, key: _Key, token: str) -> _Subject | None:
        # The lifetime is counted from the question: a revocation may follow Keystone's answer at once.
        asked_at = self._clock()
        found = await self._validate(token, may_have_ended=key[1])
        if found is None:
            _remember(self._refused, key, asked_at + REFUSED_S, REFUSED_MAX)
            return None
        subject = self._subject_of(found)
        _remember(self._known, key, (asked_at + self._account.cache_s, subject), self._known_max)
        return subject

    async def _validate(self, token: str, *, may_have_ended: bool) -> _Token | None:
        """What Keystone says of a token, None if it does not know it. Raises: Unavailable."""
        params = {"nocatalog": "1"}
        if may_have_ended:
            params["allow_expired"] = "1"
        for _ in range(2):
            own = await self._own_token()
            # Without the header OpenStack-Identity-Access-Rules Keystone itself refuses tokens that are good for some
            # paths only, which nobody would check here.
            headers = {"X-Auth-Token": own.text, "X-Subject-Token": token}
            answer = await self._send("GET", headers=headers, params=params)
            if answer.status_code == 404:
                return None
            if answer.status_code != 401:
                return self._decoded(answer, 200)
            # Our own token was revoked, or Keystone's keys were replaced: another one, once.
            if self._own is own:
                self._own = None
        raise self._unavailable("it refuses our own token")

    def _subject_of(self, token: _Token) -> _Subject:
        project = token.project
        roles = frozenset(role.name.lower() for role in token.roles)
        caller = Caller(
            project.id if project is not None else "",
            is_admin=False,
            user_id=token.user.id,
            user_name=token.user.name,
            roles=roles,
            project_name=project.name if project is not None else "",
            domain_id=project.domain.id if project is not None else "",
        )
        return _Subject(self._judged(caller), self._moment(token.expires_at), _refusal(token))

    def _judged(self, caller: Caller) -> Caller:
        return replace(caller, is_admin=self._is_admin(caller, {}))

    async def _own_token(self) -> _Own:
        own = self._own
        if own is not None and own.ends_at - RENEW_BEFORE_S > self._now():
            return own
        if self._login is None:
            # One for all who wait: where Keystone does not answer, they must not wait one after the other.
            self._login = asyncio.create_task(self._logged_in(), name="keystone")
            self._login.add_done_callback(self._login_ended)
        return await asyncio.shield(self._login)

    def _login_ended(self, task: asyncio.Task[_Own]) -> None:
        self._login = None
        if not task.cancelled() and task.exception() is None:
            self._own = task.result()

    async def _logged_in(self) -> _Own:
        if self._clock() < self._login_again_at:
            raise self._unavailable("it refused our password a moment ago", quietly=True)
        answer = await self._send("POST", json=_password(self._account))
        if answer.status_code in (401, 403):
            self._login_again_at = self._clock() + LOGIN_PAUSE_S
            raise self._unavailable(
                f"it refuses the user '{self._account.username}' with its password for the project "
                f"'{self._account.project_name}' (section [keystone])"
            )
        token = self._decoded(answer, 201)
        text = answer.headers.get("x-subject-token", "")
        if not text:
            raise self._unavailable("its answer has no X-Subject-Token")
        self._realm = _public(token.catalog, self._account.region_name) or self._realm
        return _Own(text, self._moment(token.expires_at))

    async def _send(self, method: str, **more: Any) -> httpx.Response:
        for attempt in range(2):
            try:
                return await self._client.request(method, self._url, **more)
            except (httpx.RemoteProtocolError, httpx.ReadError) as error:
                # A connection that was kept open may end as we use it again; on a new one it is an error.
                if attempt:
                    raise self._unavailable(repr(error)) from error
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                raise self._unavailable(repr(error)) from error
        raise AssertionError("two attempts give an answer or an error")

    def _decoded(self, answer: httpx.Response, expected: int) -> _Token:
        if answer.status_code != expected:
            raise self._unavailable(f"it answers {answer.request.method} with {answer.status_code}")
        try:
            return _decoder.decode(answer.content).token
        except msgspec.DecodeError as error:
            raise self._unavailable(f"its answer cannot be read: {error}") from error

    def _moment(self, text: str) -> float:
        """Unix time of Keystone's `2026-01-31T12:00:00.000000Z`."""
        try:
            moment = datetime.fromisoformat(text)
        except ValueError as error:
            raise self._unavailable(f"its answer has the time '{text}'") from error
        return (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp()

    def _unavailable(self, reason: str, *, quietly: bool = False) -> Unavailable:
        if not quietly:
            log.warning("keystone_failed", url=self._url, reason=reason)
        return Unavailable(f"The identity service cannot be asked: {reason}.", retry_after_s=RETRY_AFTER_S)

    def _unauthenticated(self, reason: str) -> Unauthenticated:
        return Unauthenticated(f"{reason} {_WAY_OUT}", realm=self._realm)


class _Transport(httpx.AsyncBaseTransport):
    """Requests over connections made by a context; when that is another one, over new connections."""

    def __init__(self, context: Callable[[], ssl.SSLContext]) -> None:
        self._context = context
        self._by: ssl.SSLContext | None = None
        # The present one, and the one before it, whose answers may be under way still.
        self._open: list[httpx.AsyncHTTPTransport] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """As httpx asks it."""
        context = self._context()
        if context is not self._by:
            # A proxy meant for the outside world has no business with tokens.
            limits = httpx.Limits(max_connections=CONNECTIONS_MAX)
            self._open.append(httpx.AsyncHTTPTransport(verify=context, limits=limits, trust_env=False))
            self._by = context
        present = self._open[-1]
        while len(self._open) > 2:
            await self._open.pop(0).aclose()
        return await present.handle_async_request(request)

    async def aclose(self) -> None:
        """End all connections."""
        for each in self._open:
            await each.aclose()


def connect(context: Callable[[], ssl.SSLContext], timeout_s: float) -> httpx.AsyncClient:
    """The client for Keystone. `context`: whom to believe, asked at each request; `timeout_s` bounds each of
    connecting, sending and waiting."""
    return httpx.AsyncClient(transport=_Transport(context), timeout=timeout_s, trust_env=False)


def _remember(table: OrderedDict[_Key, Any], key: _Key, value: Any, entries_max: int) -> None:
    table[key] = value
    table.move_to_end(key)
    while len(table) > entries_max:
        table.popitem(last=False)


def _refusal(token: _Token) -> str:
    """Why a valid token is of no use here, "" if it is of use."""
    scope = "the whole system" if token.system else "a domain" if token.domain is not None else "nothing"
    if token.project is None:
        return f"Access is disallowed by policy: the token is for {scope}, not for a project. {_WAY_OUT}"
    if token.application_credential is not None and token.application_credential.access_rules:
        return (
            "Access is disallowed by policy: the token is of an application credential with access rules, which are "
            "not supported here. Use one without them."
        )
    return ""


def _public(catalog: Iterable[_Service], region: str) -> str:
    """The identity service's public URL as its catalogue says, "" if it says none."""
    urls = (
        endpoint.url
        for service in catalog
        if service.type == "identity"
        for endpoint in service.endpoints
        if endpoint.interface == "public" and region in ("", endpoint.region_id)
    )
    return next(urls, "")


def _password(account: KeystoneAccount) -> dict[str, Any]:
    user = {
        "name": account.username,
        "domain": {"name": account.user_domain_name},
        "password": account.password,
    }
    project = {"name": account.project_name, "domain": {"name": account.project_domain_name}}
    return {
        "auth": {
            "identity": {"methods": ["password"], "password": {"user": user}},
            "scope": {"project": project},
        }
    }
