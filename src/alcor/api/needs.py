"""What the REST edge needs of others, as small Protocols; `runtime` supplies them."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol

from alcor.managers.interface import Caller
from alcor.model.realized import Realized
from alcor.store.interface import Transaction


class Authenticator(Protocol):
    """Who a token speaks for.

    Law: two calls with the same token give equal callers until the token is revoked or expires.
    """

    async def authenticate(self, token: str | None, service_token: str | None = None) -> Caller:
        """The caller, its `request_id` empty; `service_token`: of the service that passes the user's request on.

        Raises: Unauthenticated, with a sentence that says the way out; Forbidden for a token that is of no use here;
                Unavailable if who knows the tokens does not answer.
        """


Ready = Callable[[], Awaitable[Mapping[str, str]]]
"""What keeps the process from serving: part → reason. Empty: it serves. Must answer within a second."""


class DataPlane(Protocol):
    """Who knows what hosts have confirmed.

    Law: of a revision that `wait` calls complete, every host that must have it has it in its switch.
    """

    async def wait(
        self,
        revision: int,
        within_s: float,
        *,
        revisions: Sequence[int] | None = None,
        rows: Sequence[tuple[str, str]] = (),
    ) -> Realized:
        """Who has a revision, once every living host that must have it does, or after `within_s` seconds.

        revisions: those that hosts must have, if it is not `revision` alone, which is the last of them or after them.
        rows: (kind, id) of rows that hosts must have too, as they are at `revision`.
        Raises: Unavailable if nobody can tell.
        """

    async def standing(self, kind: str, ids: Sequence[str]) -> list[Realized]:
        """Who has rows of a kind (a resource's name) as they are now, in the same order. Raises: Unavailable."""


QuotaLimit = Callable[[Transaction, str, str], Awaitable[int]]
"""(project, quota name) → how many rows the project may have; -1: no limit."""
