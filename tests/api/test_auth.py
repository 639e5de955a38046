"""Who may ask what: tokens, projects, administrators."""

from typing import Any

import pytest
from msgspec.structs import replace

from alcor.api.auth import CACHE_S
from alcor.model.token import Token
from alcor.store.interface import Store, Transaction
from tests.support.api import ADMIN_PROJECT, MEMBER_PROJECT, URL, Api, add_token, error_of, serving

CLOSED = ["/v2.0/networks", "/v2.0/networks/x", "/v2.0/", "/v2.0/extensions", "/hosts", "/macs"]
OPEN = ["/", "/docs", "/docs/start.js", "/openapi.json", "/healthz", "/metrics"]


@pytest.mark.parametrize("path", CLOSED)
@pytest.mark.parametrize(
    ("token", "reason"),
    [
        (None, "The request has no token."),
        ("", "The request has no token."),
        ("guess", "The token is not known, or it was revoked."),
        ("x" * 5_000, "The token is not known: it is too long to be one."),
    ],
)
async def test_without_a_known_token_everything_is_a_401(
    store: Store, path: str, token: str | None, reason: str
) -> None:
    """A missing or wrong token is a 401 that says which, and the way out."""
    async with serving(store, token=token) as api:
        answer = await api.get(path)

        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == f'Keystone uri="{URL}"'
        error = answer.json()["error"]
        assert (error["code"], error["title"]) == (401, "Unauthorized")
        assert error["message"].startswith(reason)
        assert "admin.token" in error["message"]
        assert not token or token not in error["message"]


@pytest.mark.parametrize("path", OPEN)
async def test_discovery_docs_and_probes_need_no_token(store: Store, path: str) -> None:
    """What tells nothing of a project is open."""
    async with serving(store, token=None) as api:
        assert (await api.get(path)).status_code == 200


async def test_an_unauthenticated_write_does_nothing(store: Store, api: Api) -> None:
    """Without a token nothing is created."""
    async with serving(store, token="guess") as stranger:
        assert (await stranger.post("/v2.0/networks", {"network": {}})).status_code == 401

    assert await api.shown("/v2.0/networks") == []


async def test_a_revoked_token_ends_within_the_stated_time(store: Store) -> None:
    """A token that is removed from the store is refused once the cache's lifetime is over; a new one works at once."""
    now = 100.0
    async with serving(store, token="short-lived", clock=lambda: now) as api:
        assert (await api.get("/v2.0/networks")).status_code == 401
        id = await add_token(store, "short-lived", ADMIN_PROJECT, is_admin=True)
        assert (await api.get("/v2.0/networks")).status_code == 200

        async def revoke(tx: Transaction) -> None:
            tx.delete(await tx.get(Token, id))

        await store.write(revoke)
        now += CACHE_S
        assert (await api.get("/v2.0/networks")).status_code == 401
        assert CACHE_S <= 10


async def test_a_token_loses_its_rights_within_the_stated_time(store: Store) -> None:
    """What a token may do is read again when the cache's lifetime is over."""
    now = 0.0
    id = await add_token(store, "demoted", ADMIN_PROJECT, is_admin=True)
    async with serving(store, token="demoted", clock=lambda: now) as api:
        await api.made("host", name="h", vtep_addresses=["192.0.2.1"])
        assert len(await api.shown("/hosts")) == 1

        async def demote(tx: Transaction) -> None:
            tx.update(replace(await tx.get(Token, id), is_admin=False))

        await store.write(demote)
        now += CACHE_S
        assert await api.shown("/hosts") == []


async def test_a_project_sees_its_own_only(api: Api, member: Api) -> None:
    """Another project's rows are not listed, and are a 404 to show, change and delete."""
    theirs = await api.a_network(name="theirs")
    mine = await member.a_network(name="mine")

    assert [one["name"] for one in await member.shown("/v2.0/networks")] == ["mine"]
    assert await member.shown(f"/v2.0/networks?project_id={ADMIN_PROJECT}") == []
    path = f"/v2.0/networks/{theirs['id']}"
    for answer in (
        await member.get(path),
        await member.put(path, {"network": {"name": "stolen"}}),
        await member.delete(path),
        await member.post("/v2.0/ports", {"port": {"network_id": theirs["id"]}}),
    ):
        assert error_of(answer)[:2] == (404, "NetworkNotFound")
    assert mine["project_id"] == MEMBER_PROJECT
    assert sorted(one["name"] for one in await api.shown("/v2.0/networks")) == ["mine", "theirs"]


async def test_administrators_attributes_are_hidden_from_others(api: Api, member: Api) -> None:
    """What only administrators see is neither shown, nor filtered, nor sorted by for others."""
    network = await member.a_network()
    port = await member.a_port(network["id"])

    assert not [name for name in network if name.startswith("provider:")]
    assert "binding:host_id" not in port
    assert "binding:vnic_type" in port
    hidden = "provider:segmentation_id"
    assert await member.shown(f"/v2.0/networks/{network['id']}?fields={hidden}") == {}
    assert (await member.get(f"/v2.0/networks?{hidden}=5")).status_code == 400
    assert (await member.get(f"/v2.0/networks?sort_key={hidden}")).status_code == 400
    assert hidden in await api.shown(f"/v2.0/networks/{network['id']}")


async def test_administrators_attributes_are_not_set_by_others(member: Api) -> None:
    """Setting what only administrators may set is a 403 that names the attribute."""
    answer = await member.post("/v2.0/networks", {"network": {"provider:segmentation_id": 5}})

    status, name, message = error_of(answer)
    assert (status, name) == (403, "PolicyNotAuthorized")
    assert "provider:segmentation_id" in message
    assert await member.shown("/v2.0/networks") == []


async def test_only_administrators_create_for_another_project(member: Api) -> None:
    """A member names its own project or none."""
    assert (await member.a_network(project_id=MEMBER_PROJECT))["project_id"] == MEMBER_PROJECT
    answer = await member.post("/v2.0/networks", {"network": {"project_id": ADMIN_PROJECT}})

    status, name, message = error_of(answer)
    assert (status, name) == (400, "HTTPBadRequest")
    assert ADMIN_PROJECT in message


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/hosts", None, 200),
        ("GET", "/hosts/x", None, 404),
        ("GET", "/hosts/x/health", None, 404),
        ("POST", "/hosts", {"host": {"name": "h", "vtep_addresses": ["192.0.2.1"]}}, 403),
        ("PUT", "/hosts/x", {"host": {"description": "d"}}, 404),
        ("DELETE", "/hosts/x", None, 404),
        ("PUT", "/hosts/x/rotate_token", None, 404),
        ("GET", "/mac-ranges", None, 200),
    ],
)
async def test_what_no_project_owns_is_the_operators(
    member: Api, method: str, path: str, body: dict[str, Any] | None, status: int
) -> None:
    """Hosts and MAC ranges are for administrators: for others there are none, and none can be made."""
    answer = await member.request(method, path, **({"json": body} if body else {}))

    assert answer.status_code == status
