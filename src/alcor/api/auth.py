"""Token authentication of the embedded mode: opaque secrets, of which the store holds only the digest."""

import hashlib
import hmac
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace

from alcor.managers.interface import Caller
from alcor.model.errors import Unauthenticated
from alcor.model.token import Token
from alcor.store.interface import Condition, Query, Store

TOKEN_HEADER = "x-auth-token"
SERVICE_TOKEN_HEADER = "x-service-token"

# How long a revoked token may still be accepted, at most: the price of not reading the database per request.
CACHE_S = 5.0
# One region has few tokens; the bound keeps a client with many from growing the process.
CACHE_ENTRIES_MAX = 1_024
# A token of ours has 43 characters; longer ones are not worth hashing.
_TOKEN_CHARS_MAX = 4_096

_WAY_OUT = (
    f"Send the header {TOKEN_HEADER.title()} with a token of this region; "
    "the first one is in the file admin.token of the region's data folder."
)


class TokenAuthenticator:
    """Looks tokens up by their SHA-256 digest.

    Cost:  a hash and a dictionary look-up; one indexed read every `CACHE_S` seconds per token. Wrong tokens are not
           remembered, so that a token works as soon as it is stored.
    """

    def __init__(self, store: Store, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._clock = clock
        self._known: OrderedDict[str, tuple[float, Caller]] = OrderedDict()

    async def authenticate(self, token: str | None, service_token: str | None = None) -> Caller:
        """The caller of a stored token. Raises: Unauthenticated if there is none, or one of the two is not stored."""
        caller = await self._caller(token)
        if not service_token:
            return caller
        return replace(caller, service_roles=(await self._caller(service_token)).roles)

    async def _caller(self, token: str | None) -> Caller:
        if not token:
            raise Unauthenticated(f"The request has no token. {_WAY_OUT}")
        if len(token) > _TOKEN_CHARS_MAX:
            raise Unauthenticated(f"The token is not known: it is too long to be one. {_WAY_OUT}")
        # The digest, not the secret, is compared and kept: what leaks from the comparison's time or from memory
        # is of no use.
        digest = hashlib.sha256(token.encode()).hexdigest()
        now = self._clock()
        known = self._known.get(digest)
        if known is not None and now < known[0]:
            return known[1]
        caller = await self._look_up(digest)
        self._known[digest] = (now + CACHE_S, caller)
        self._known.move_to_end(digest)
        while len(self._known) > CACHE_ENTRIES_MAX:
            self._known.popitem(last=False)
        return caller

    async def _look_up(self, digest: str) -> Caller:
        rows = await self._store.reader.list(Token, Query((Condition("digest", (digest,)),), limit=1))
        if not rows or not hmac.compare_digest(rows[0].digest, digest):
            self._known.pop(digest, None)
            raise Unauthenticated(f"The token is not known, or it was revoked. {_WAY_OUT}")
        row = rows[0]
        # `admin` implies `member` and `reader`, as the identity service's own roles do.
        roles = frozenset(row.roles) | ({"admin", "member", "reader"} if row.is_admin else frozenset())
        # An embedded region has no users: its history names the token.
        return Caller(
            row.project_id, row.is_admin, roles=roles, user_id=row.name or row.id, user_name=row.name
        )
