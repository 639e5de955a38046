"""Tokens of a Keystone: who they speak for, how long that is remembered, and what happens when it fails."""

import asyncio
import contextlib
import socket
import ssl
import threading
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
import uvicorn
from starlette.responses import Response

from alcor.api import keystone
from alcor.api.call import Call, Endpoint
from alcor.api.gateway import Gateway
from alcor.api.keystone import KeystoneAccount, KeystoneAuthenticator, connect
from alcor.api.limit import Limits
from alcor.api.policy import Policy
from alcor.identity.authority import Authority, pem_of, utc_now
from alcor.identity.key import make_key, pem_of_key
from alcor.managers.interface import Caller
from alcor.model.errors import Forbidden, Unauthenticated, Unavailable
from alcor.runtime.settings import ConfigurationError
from alcor.runtime.tls import client_contexts
from tests.support.identity import HOST_ID, an_authority
from tests.support.keystone import ACCESS_RULES, ACCOUNT, PASSWORD, FakeKeystone, error
from tests.support.region import running_region

URL = "http://keystone.test:5000"
ACCOUNT_THERE = KeystoneAccount(auth_url=f"{URL}/v3", username=ACCOUNT, password=PASSWORD)
START = 1_800_000_000.0


class Site:
    """A Keystone, an authenticator of it and the time of both."""

    def __init__(
        self,
        account: KeystoneAccount = ACCOUNT_THERE,
        rules: Mapping[str, str] = {},
        known_max: int = keystone.KNOWN_MAX,
    ) -> None:
        self.now = START
        self.keystone = FakeKeystone(lambda: self.now)
        self.authenticator = KeystoneAuthenticator(
            account,
            self.keystone.client(),
            Policy.of({}, rules),
            known_max=known_max,
            clock=lambda: self.now,
            now=lambda: self.now,
        )

    async def caller(self, token: str | None, service_token: str | None = None) -> Caller:
        """Who a token speaks for."""
        return await self.authenticator.authenticate(token, service_token)

    async def refused(self, token: str | None, service_token: str | None = None) -> str:
        """The sentence with which a token is refused as not known."""
        with pytest.raises(Unauthenticated) as refusal:
            await self.caller(token, service_token)
        return refusal.value.message


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    """A Keystone that answers."""
    site = Site()
    yield site
    await site.authenticator.close()


@contextlib.asynccontextmanager
async def a_site(
    account: KeystoneAccount = ACCOUNT_THERE,
    rules: Mapping[str, str] = {},
    known_max: int = keystone.KNOWN_MAX,
) -> AsyncIterator[Site]:
    """A site of another configuration."""
    site = Site(account, rules, known_max)
    yield site
    await site.authenticator.close()


async def test_a_project_token_speaks_for_its_user_in_its_project(site: Site) -> None:
    """User, project, domain and roles are Keystone's; role names are in lower case."""
    token = site.keystone.token(roles=["Member", "reader"])

    assert await site.caller(token) == Caller(
        "p-1",
        False,
        user_id="u-1",
        user_name="Ada",
        project_name="name of p-1",
        domain_id="d-1",
        roles=frozenset({"member", "reader"}),
    )


async def test_white_space_around_a_token_means_nothing(site: Site) -> None:
    """As in Keystone's own middleware, a token is stripped."""
    token = site.keystone.token()

    assert (await site.caller(f" {token} ")).project_id == "p-1"


async def test_trusts_and_application_credentials_are_tokens_like_others(site: Site) -> None:
    """Who the token is delegated from makes no difference: user, project and roles are what it says."""
    trust = site.keystone.token()
    site.keystone.tokens[trust]["OS-TRUST:trust"] = {
        "id": "t",
        "impersonation": True,
        "trustor_user": {"id": "u-1"},
        "trustee_user": {"id": "u-2"},
    }
    credential = site.keystone.token(application_credential={"id": "c", "name": "ci", "restricted": True})

    assert (await site.caller(trust)).user_id == "u-1"
    assert (await site.caller(credential)).roles == {"member", "reader"}


async def test_a_credential_for_some_paths_only_is_refused(site: Site) -> None:
    """Access rules are not checked here, so that Keystone is not told they were, and refuses."""
    token = site.keystone.token(application_credential={"id": "c", "access_rules": ACCESS_RULES})

    assert "is not known" in await site.refused(token)


async def test_a_credential_for_some_paths_only_is_refused_whatever_keystone_says(site: Site) -> None:
    """A Keystone that shows access rules unasked does not open the other paths."""
    document = site.keystone.tokens[site.keystone.token()] | {
        "application_credential": {"id": "c", "access_rules": ACCESS_RULES}
    }
    await site.caller(site.keystone.token())
    site.keystone.answer = httpx_answer({"token": document})
    with pytest.raises(Forbidden, match="access rules"):
        await site.caller("restricted")


@pytest.mark.parametrize(
    ("overrides", "roles", "is_admin"),
    [
        ({}, ["admin"], True),
        ({}, ["ADMIN"], True),
        ({}, ["member"], False),
        ({"context_is_admin": "role:cloud_admin"}, ["admin"], False),
        ({"context_is_admin": "role:cloud_admin"}, ["cloud_admin"], True),
        ({"context_is_admin": "role:admin and project_id:p-1"}, ["admin"], True),
        ({"context_is_admin": "role:admin and project_id:p-2"}, ["admin"], False),
    ],
)
async def test_the_rule_context_is_admin_makes_administrators(
    overrides: dict[str, str], roles: list[str], is_admin: bool
) -> None:
    """By default the role admin; an operator's rule instead, if there is one."""
    async with a_site(rules=overrides) as site:
        assert (await site.caller(site.keystone.token(roles=roles))).is_admin is is_admin


@pytest.mark.parametrize(
    ("more", "scope"),
    [
        ({}, "nothing"),
        ({"domain": {"id": "d-1", "name": "One"}}, "a domain"),
        ({"system": {"all": True}}, "the whole system"),
    ],
)
async def test_a_token_of_no_project_is_of_no_use(site: Site, more: dict[str, Any], scope: str) -> None:
    """Unscoped, domain and system tokens are known, and refused with a sentence that says the way out."""
    token = site.keystone.token(project=None, roles=["admin"], **more)
    for _ in range(2):
        with pytest.raises(Forbidden, match=f"the token is for {scope}, not for a project. Get a token"):
            await site.caller(token)

    assert site.keystone.log == ["POST", "GET"]


@pytest.mark.parametrize("token", [None, "", "  ", "x" * 8_193, "ümlaut", "a\x7fb"])
async def test_what_cannot_be_a_token_is_not_shown_to_keystone(site: Site, token: str | None) -> None:
    """Missing, overlong and unprintable tokens are refused here."""
    assert "Get a token for a project" in await site.refused(token)
    assert site.keystone.log == []


async def test_a_token_is_looked_up_once_in_a_while(site: Site) -> None:
    """Keystone is asked once per token and `cache_s`, with one token of our own."""
    tokens = [site.keystone.token(project=f"p-{number}") for number in range(3)]
    for _ in range(4):
        for number, token in enumerate(tokens):
            assert (await site.caller(token)).project_id == f"p-{number}"
    assert site.keystone.log == ["POST", "GET", "GET", "GET"]

    site.now += 60.0
    await site.caller(tokens[0])

    assert site.keystone.log == ["POST", "GET", "GET", "GET", "GET"]
    assert all("nocatalog" in query for query in site.keystone.queries[1:])


async def test_a_revocation_is_honoured_within_the_stated_time(site: Site) -> None:
    """A revoked token is refused once `cache_s` is over since it was looked up, not since it was last used."""
    token = site.keystone.token()
    await site.caller(token)
    site.keystone.revoke(token)

    site.now += 59.0
    await site.caller(token)
    site.now += 1.0
    assert "was revoked" in await site.refused(token)


async def test_without_a_lifetime_every_request_asks() -> None:
    """`cache_s` 0: a revocation is honoured at once."""
    async with a_site(replace(ACCOUNT_THERE, cache_s=0.0)) as site:
        token = site.keystone.token()
        await site.caller(token)
        site.keystone.revoke(token)

        await site.refused(token)


async def test_a_token_ends_when_it_says(site: Site) -> None:
    """A remembered token is refused from the moment of its own `expires_at`."""
    token = site.keystone.token(ends_in_s=30.0)
    await site.caller(token)

    site.now += 29.9
    await site.caller(token)
    site.now += 0.1
    assert "has ended" in await site.refused(token)


async def test_a_refused_token_is_refused_for_a_while_without_asking(site: Site) -> None:
    """A wrong token costs Keystone one request in ten seconds; after them it is asked again."""
    for _ in range(3):
        await site.refused("gAAAAAguess")
    assert site.keystone.log == ["POST", "GET"]

    site.keystone.token("gAAAAAguess")
    site.now += keystone.REFUSED_S
    assert (await site.caller("gAAAAAguess")).project_id == "p-1"


async def test_guesses_push_out_no_good_token(site: Site) -> None:
    """What is remembered is bounded, and wrong tokens have a table of their own."""
    token = site.keystone.token()
    await site.caller(token)
    for number in range(keystone.REFUSED_MAX + 1):
        await site.refused(f"guess-{number}")
    asked = len(site.keystone.log)

    await site.caller(token)
    await site.refused(f"guess-{keystone.REFUSED_MAX}")
    assert len(site.keystone.log) == asked
    await site.refused("guess-0")
    assert len(site.keystone.log) == asked + 1


async def test_what_is_remembered_is_bounded() -> None:
    """The oldest of too many tokens is looked up again."""
    async with a_site(known_max=3) as site:
        tokens = [site.keystone.token() for _ in range(4)]
        for token in tokens:
            await site.caller(token)
        asked = len(site.keystone.log)

        for token in tokens[1:]:
            await site.caller(token)
        assert len(site.keystone.log) == asked
        await site.caller(tokens[0])
        assert len(site.keystone.log) == asked + 1


async def test_many_requests_with_one_token_ask_once(site: Site) -> None:
    """Concurrent requests with a token that is not remembered cause one look-up and one log-in."""
    token = site.keystone.token()
    callers = await asyncio.gather(*(site.caller(token) for _ in range(50)))

    assert len(set(callers)) == 1
    assert site.keystone.log == ["POST", "GET"]


async def test_many_tokens_at_once_log_in_once(site: Site) -> None:
    """Requests with different tokens share one token of our own from the beginning."""
    tokens = [site.keystone.token() for _ in range(20)]
    site.keystone.open.clear()
    requests = [asyncio.create_task(site.caller(token)) for token in tokens]
    await site.keystone.held.wait()
    site.keystone.open.set()
    await asyncio.gather(*requests)

    assert sorted(site.keystone.log) == ["GET"] * 20 + ["POST"]


async def test_who_waits_for_one_log_in_fails_with_it(site: Site) -> None:
    """Where Keystone does not answer, requests that wait at one time end at one time, not one after the other."""
    site.keystone.open.clear()
    site.keystone.failure = httpx.ReadTimeout("slow")
    requests = [asyncio.create_task(site.caller(site.keystone.token())) for _ in range(20)]
    await site.keystone.held.wait()
    site.keystone.open.set()
    ends = await asyncio.gather(*requests, return_exceptions=True)

    assert {type(end) for end in ends} == {Unavailable}
    assert site.keystone.log == ["POST"]


async def test_a_client_that_goes_away_takes_no_answer_from_others(site: Site) -> None:
    """Of two that wait for one look-up, the other gets its answer when the one that began it is gone."""
    token = site.keystone.token()
    site.keystone.open.clear()
    first = asyncio.create_task(site.caller(token))
    await site.keystone.held.wait()
    second = asyncio.create_task(site.caller(token))
    first.cancel()
    site.keystone.open.set()

    assert (await second).project_id == "p-1"
    with pytest.raises(asyncio.CancelledError):
        await first
    assert site.keystone.log == ["POST", "GET"]


async def test_a_look_up_nobody_waits_for_is_ended_with_the_region() -> None:
    """Closing leaves no look-up behind."""
    site = Site()
    site.keystone.open.clear()
    request = asyncio.create_task(site.caller(site.keystone.token()))
    await site.keystone.held.wait()
    await site.authenticator.close()

    with pytest.raises(asyncio.CancelledError):
        await request


async def test_our_own_token_is_replaced_before_it_ends(site: Site) -> None:
    """A minute before its end another one is got; until then the first one does."""
    site.keystone.lifetime_s = 300.0
    await site.caller(site.keystone.token())
    site.now += 239.0
    await site.caller(site.keystone.token())
    assert site.keystone.log.count("POST") == 1

    site.now += 1.0
    await site.caller(site.keystone.token())
    assert site.keystone.log.count("POST") == 2


async def test_our_own_token_is_replaced_when_keystone_refuses_it(site: Site) -> None:
    """A 401 of a look-up means our token, not the user's: another one is got, and the user sees nothing of it."""
    await site.caller(site.keystone.token())
    site.keystone.tokens.clear()
    token = site.keystone.token()

    assert (await site.caller(token)).project_id == "p-1"
    assert site.keystone.log == ["POST", "GET", "GET", "POST", "GET"]


async def test_we_log_in_for_a_project_by_names(site: Site) -> None:
    """Password, user, project and their domains are what the configuration says."""
    await site.caller(site.keystone.token())

    assert site.keystone.bodies == [
        {
            "auth": {
                "identity": {
                    "methods": ["password"],
                    "password": {
                        "user": {"name": ACCOUNT, "domain": {"name": "Default"}, "password": PASSWORD}
                    },
                },
                "scope": {"project": {"name": "service", "domain": {"name": "Default"}}},
            }
        }
    ]


@pytest.mark.parametrize("url", [URL, f"{URL}/", f"{URL}/v3", f"{URL}/v3/"])
async def test_the_url_may_have_its_version_or_not(url: str) -> None:
    """`auth_url` with or without /v3 and a slash is the same place."""
    async with a_site(replace(ACCOUNT_THERE, auth_url=url)) as site:
        assert (await site.caller(site.keystone.token())).project_id == "p-1"


def httpx_answer(body: Any, status: int = 200) -> Response:
    """An answer of Keystone with any body."""
    return Response(body if isinstance(body, bytes) else orjson.dumps(body), status)


@pytest.mark.parametrize(
    "failure",
    [
        httpx.ConnectError("refused"),
        httpx.ConnectTimeout("slow"),
        httpx.ReadTimeout("slow"),
        httpx.PoolTimeout("busy"),
        httpx.ReadError("reset"),
        httpx.RemoteProtocolError("closed"),
        error(500, "Internal Server Error"),
        error(503, "Service Unavailable"),
        error(429, "Too Many Requests"),
        error(403, "Forbidden"),
        error(401, "Unauthorized"),
        httpx_answer(b"<html>"),
        httpx_answer({"token": {}}),
        httpx_answer({"token": {"user": {"id": "u"}, "expires_at": "tomorrow", "project": {"id": "p"}}}),
    ],
    ids=lambda failure: repr(failure) if isinstance(failure, Exception) else f"answer {failure.status_code}",
)
async def test_a_keystone_that_fails_makes_no_token_wrong(site: Site, failure: Exception | Response) -> None:
    """Not known and not refused: try again later. What is remembered works until its time; then it does again."""
    known, other = site.keystone.token(), site.keystone.token()
    await site.caller(known)
    if isinstance(failure, Response):
        site.keystone.answer = failure
    else:
        site.keystone.failure = failure
    with pytest.raises(Unavailable) as down:
        await site.caller(other)
    assert down.value.retry_after_s == keystone.RETRY_AFTER_S

    site.now += 59.0
    assert (await site.caller(known)).project_id == "p-1"
    site.now += 1.0
    with pytest.raises(Unavailable):
        await site.caller(known)

    site.keystone.failure = site.keystone.answer = None
    site.now += keystone.LOGIN_PAUSE_S
    assert (await site.caller(known)).project_id == "p-1"
    assert (await site.caller(other)).project_id == "p-1"


async def test_a_connection_that_was_kept_too_long_is_no_failure(site: Site) -> None:
    """One broken connection is tried again on a new one."""
    await site.caller(site.keystone.token())
    site.keystone.failure, site.keystone.failures_left = httpx.RemoteProtocolError("closed"), 1

    assert (await site.caller(site.keystone.token())).project_id == "p-1"


async def test_a_wrong_password_is_not_tried_again_at_once(site: Site) -> None:
    """Keystone locks accounts for too many wrong passwords: it is asked once in ten seconds, and users wait."""
    site.keystone.password = "changed"
    token = site.keystone.token()
    for _ in range(3):
        with pytest.raises(Unavailable):
            await site.caller(token)
    assert site.keystone.log == ["POST"]

    site.keystone.password = PASSWORD
    site.now += keystone.LOGIN_PAUSE_S
    assert (await site.caller(token)).project_id == "p-1"


async def test_a_service_passes_a_users_request_on(site: Site) -> None:
    """With a service's token beside the user's, the caller is the user and has the service's roles beside."""
    service = site.keystone.token(roles=["service", "reader"], project="p-service")
    caller = await site.caller(site.keystone.token(), service)

    assert caller.project_id == "p-1"
    assert caller.roles == {"member", "reader"}
    assert caller.service_roles == {"service", "reader"}


async def test_a_service_may_outlast_the_users_token(site: Site) -> None:
    """Beside a service's token a user's may have ended; by itself it may not."""
    token = site.keystone.token(ends_in_s=10.0)
    service = site.keystone.token(roles=["service"])
    site.now += 20.0

    assert "has ended" in await site.refused(token)
    assert (await site.caller(token, service)).project_id == "p-1"
    assert "has ended" in await site.refused(token)


@pytest.mark.parametrize("roles", [["member"], ["admin"], []])
async def test_a_token_without_a_services_role_is_no_service(site: Site, roles: list[str]) -> None:
    """X-Service-Token of a user is refused, however good the user's own token is."""
    refusal = await site.refused(site.keystone.token(), site.keystone.token(roles=roles))

    assert "is not a service's" in refusal


async def test_a_wrong_service_token_is_refused(site: Site) -> None:
    """A service token that is not known is not passed over; neither is one that has ended."""
    ended = site.keystone.token(roles=["service"], ends_in_s=-1.0)

    assert "The service token is not known" in await site.refused(site.keystone.token(), "gAAAAAguess")
    assert "The service token is not known" in await site.refused(site.keystone.token(), ended)


async def test_which_roles_make_a_service_is_configured() -> None:
    """`service_token_roles` names them."""
    async with a_site(replace(ACCOUNT_THERE, service_token_roles=frozenset({"nova"}))) as site:
        token = site.keystone.token()

        assert (await site.caller(token, site.keystone.token(roles=["Nova"]))).service_roles == {"nova"}
        assert "is not a service's" in await site.refused(token, site.keystone.token(roles=["service"]))


async def test_a_rule_may_ask_for_the_services_roles() -> None:
    """`context_is_admin` sees the service's roles when there are some."""
    async with a_site(rules={"context_is_admin": "service_roles:service"}) as site:
        token, service = site.keystone.token(), site.keystone.token(roles=["service"])

        assert not (await site.caller(token)).is_admin
        assert (await site.caller(token, service)).is_admin


@contextlib.asynccontextmanager
async def edge(site: Site) -> AsyncIterator[httpx.AsyncClient]:
    """A client of an API whose one path says who asks."""

    async def who(call: Call) -> Response:
        caller = call.caller
        return Response(f"{caller.user_name} {sorted(caller.service_roles)} {caller.request_id[:4]}")

    gateway = Gateway(
        {"/who": Endpoint("who", {"GET": who})}, site.authenticator, Limits(), public_endpoint=None
    )
    transport = httpx.ASGITransport(gateway)
    async with httpx.AsyncClient(transport=transport, base_url="http://alcor.test") as client:
        yield client


async def test_the_headers_of_a_request_reach_keystone(site: Site) -> None:
    """X-Auth-Token and X-Service-Token are what is asked about."""
    headers = {
        "X-Auth-Token": site.keystone.token(),
        "X-Service-Token": site.keystone.token(roles=["service"]),
    }
    async with edge(site) as api:
        answer = await api.get("/who", headers=headers)

        assert answer.text == "Ada ['service'] req-"


async def test_a_401_says_where_tokens_are_given(site: Site) -> None:
    """The header names Keystone: as configured until it was reached, then by its public URL in the catalogue."""
    endpoints = [
        {"id": "1", "interface": "internal", "region_id": "north", "url": "http://inside:5000/v3"},
        {"id": "2", "interface": "public", "region_id": "south", "url": "https://south.example/v3"},
        {"id": "3", "interface": "public", "region_id": "north", "url": "https://north.example/v3"},
    ]
    account = replace(ACCOUNT_THERE, region_name="north")
    async with a_site(account) as other, edge(other) as api:
        other.keystone.catalog = [
            {"id": "n", "type": "network", "name": "x", "endpoints": [endpoints[1]]},
            {"id": "i", "type": "identity", "name": "keystone", "endpoints": endpoints},
        ]
        before = await api.get("/who")
        after = await api.get("/who", headers={"X-Auth-Token": "guess"})

    assert (before.status_code, after.status_code) == (401, 401)
    assert before.headers["www-authenticate"] == f'Keystone uri="{URL}/v3"'
    assert after.headers["www-authenticate"] == 'Keystone uri="https://north.example/v3"'
    assert after.json()["error"]["code"] == 401
    assert "guess" not in after.text


async def test_a_keystone_that_is_down_is_a_503(site: Site) -> None:
    """With Retry-After, and without the inside of the region in its text."""
    site.keystone.failure = httpx.ConnectError("refused")
    async with edge(site) as api:
        answer = await api.get("/who", headers={"X-Auth-Token": site.keystone.token()})

        assert answer.status_code == 503
        assert answer.headers["retry-after"] == str(keystone.RETRY_AFTER_S)
        assert answer.json()["NeutronError"]["type"] == "ServiceUnavailable"
        assert "keystone.test" not in answer.text


async def test_a_token_of_no_project_is_a_403(site: Site) -> None:
    """In the Networking API's form."""
    async with edge(site) as api:
        answer = await api.get("/who", headers={"X-Auth-Token": site.keystone.token(project=None)})

        assert (answer.status_code, answer.json()["NeutronError"]["type"]) == (403, "PolicyNotAuthorized")


class Listening(uvicorn.Server):
    """A server that says when it listens, and leaves the signals to the tests."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen."""
        await super().startup(sockets)
        self.ready.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Nothing is captured."""
        yield


async def test_over_a_real_connection() -> None:
    """The client of the configuration reaches a server on a socket; when that is gone, requests are to be repeated."""
    fake = FakeKeystone(lambda: START)
    server = Listening(uvicorn.Config(fake, port=0, log_level="critical", lifespan="off", access_log=False))
    task = asyncio.create_task(server.serve())
    await server.ready.wait()
    port = server.servers[0].sockets[0].getsockname()[1]
    authenticator = KeystoneAuthenticator(
        replace(ACCOUNT_THERE, auth_url=f"http://127.0.0.1:{port}", cache_s=0.0),
        connect(client_contexts("keystone.ca_file", ""), 5.0),
        Policy.of({}),
        now=lambda: START,
    )
    token = fake.token()
    try:
        assert (await authenticator.authenticate(token)).user_name == "Ada"
        server.should_exit = True
        await task
        with pytest.raises(Unavailable):
            await authenticator.authenticate(token)
    finally:
        await authenticator.close()


def test_certificates_that_are_not_there_are_refused() -> None:
    """A wrong `ca_file` stops the start, not the first request."""
    with pytest.raises(ConfigurationError, match=r"keystone\.ca_file: No such file"):
        client_contexts("keystone.ca_file", "/nowhere/ca.pem")


async def test_an_authority_that_is_replaced_is_believed(tmp_path: Path) -> None:
    """The next request is made by the file of then, over TLS; while it cannot be read, by that of before."""
    file = tmp_path / "ca.pem"
    first, second = an_authority(), an_authority()
    file.write_bytes(first.trusted_pem)
    async with connect(client_contexts("keystone.ca_file", str(file)), 5.0) as client:
        async with answering(tmp_path, first) as url:
            assert (await client.get(url)).status_code == 204
        async with answering(tmp_path, second) as url:
            with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
                await client.get(url)
            file.write_bytes(second.trusted_pem)
            assert (await client.get(url)).status_code == 204
            file.unlink()
            assert (await client.get(url)).status_code == 204


@contextlib.asynccontextmanager
async def answering(folder: Path, authority: Authority) -> AsyncIterator[str]:
    """A web server of one answer with a certificate of an authority, and its URL."""
    key = make_key()
    made = authority.issue_host(key.public_key(), HOST_ID, ["127.0.0.1"], now=utc_now(), days=1)
    (folder / "server.pem").write_bytes(pem_of(made) + pem_of_key(key))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(folder / "server.pem")

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context)
    try:
        yield f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    finally:
        server.close()


@contextlib.contextmanager
def listening() -> Iterator[tuple[FakeKeystone, str]]:
    """A Keystone on a socket, in a thread of its own, and its URL."""
    fake = FakeKeystone(time.time)
    server = Listening(uvicorn.Config(fake, port=0, log_level="critical", lifespan="off", access_log=False))
    listener = server.config.bind_socket()
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield fake, f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


def test_a_region_that_is_told_of_a_keystone_takes_its_tokens(tmp_path: Path) -> None:
    """`alcor up` with [keystone] and [policy]: roles and the operator's rules decide; no token of our own is made."""
    (tmp_path / "secret").write_text(PASSWORD + "\n")
    (tmp_path / "policy.yaml").write_text('"create_network": "role:network_maker"\n')
    config = tmp_path / "alcor.toml"
    with listening() as (fake, url):
        config.write_text(
            f'[keystone]\nauth_url = "{url}"\nusername = "{ACCOUNT}"\n'
            f'password_file = "{tmp_path / "secret"}"\n[policy]\nfile = "{tmp_path / "policy.yaml"}"\n'
        )
        with running_region(tmp_path, "--config", str(config)) as region:
            path = f"{region.endpoint}/v2.0/networks"
            answers = {
                role: httpx.post(
                    path, json={"network": {}}, headers={"X-Auth-Token": fake.token(roles=[role])}
                )
                for role in ("member", "network_maker")
            }
            unknown = httpx.get(path, headers={"X-Auth-Token": "guess"})

            assert {role: answer.status_code for role, answer in answers.items()} == {
                "member": 403,
                "network_maker": 201,
            }
            assert answers["network_maker"].json()["network"]["project_id"] == "p-1"
            assert (unknown.status_code, unknown.headers["www-authenticate"]) == (
                401,
                f'Keystone uri="{url}/v3"',
            )
            assert not (region.data / "admin.token").exists()
