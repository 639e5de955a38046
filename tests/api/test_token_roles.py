"""The region's own tokens: their roles, and a service's token beside a user's."""

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from alcor.api.auth import TokenAuthenticator
from alcor.model.errors import Unauthenticated
from alcor.model.token import Token
from alcor.store.interface import Store, Transaction
from tests.support.store import sqlite_store


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    """A store with an administrator's, a member's, a reader's and a service's token."""

    def token(text: str, *, is_admin: bool = False, roles: tuple[str, ...] = ("member", "reader")) -> Token:
        digest = hashlib.sha256(text.encode()).hexdigest()
        return Token(id=f"id-{text}", project_id="p-1", digest=digest, is_admin=is_admin, roles=roles)

    async def work(tx: Transaction) -> None:
        tx.insert(token("admin", is_admin=True))
        tx.insert(token("member"))
        tx.insert(token("reader", roles=("reader",)))
        tx.insert(token("service", roles=("service",)))

    async with sqlite_store(tmp_path) as opened:
        await opened.write(work)
        yield opened


@pytest.mark.parametrize(
    ("token", "is_admin", "roles"),
    [
        ("admin", True, {"admin", "member", "reader"}),
        ("member", False, {"member", "reader"}),
        ("reader", False, {"reader"}),
    ],
)
async def test_a_token_has_its_roles(store: Store, token: str, is_admin: bool, roles: set[str]) -> None:
    """A token's roles are what is stored; an administrator's has `admin` and what that implies beside."""
    caller = await TokenAuthenticator(store).authenticate(token)

    assert (caller.is_admin, set(caller.roles)) == (is_admin, roles)
    assert caller.service_roles == frozenset()


async def test_a_service_passes_a_users_request_on(store: Store) -> None:
    """With a service's token beside, the caller is the user and has the service's roles beside his own."""
    caller = await TokenAuthenticator(store).authenticate("member", "service")

    assert caller.roles == {"member", "reader"}
    assert caller.service_roles == {"service"}


async def test_a_wrong_service_token_is_refused(store: Store) -> None:
    """A service token that is not known is not passed over."""
    with pytest.raises(Unauthenticated, match="is not known"):
        await TokenAuthenticator(store).authenticate("member", "guess")
