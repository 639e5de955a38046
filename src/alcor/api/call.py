"""One request on its way through the edge, and what an endpoint is."""

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import Response

from alcor.api.body import decode_json
from alcor.api.errors import Refused, bad_request
from alcor.api.limit import Limits
from alcor.api.listing import Pairs
from alcor.managers.interface import Caller

# A thousand `?id=…` and a few more; what parses a query must not be made to build a million pairs.
_PAIRS_MAX = 2_000


_HOST = re.compile(r"[A-Za-z0-9._-]+(:[0-9]{1,5})?\Z|\[[0-9A-Fa-f:.]+\](:[0-9]{1,5})?\Z")
_NOBODY = Caller(project_id="", is_admin=False)


@dataclass(slots=True)
class Call:
    """A request. `names`: what the path names, in its order; `public`: the URL clients reach us by, if configured."""

    request: Request
    limits: Limits
    public: str | None = None
    names: tuple[str, ...] = ()
    caller: Caller = _NOBODY
    headers: dict[bytes, bytes] = field(init=False)
    """By lower-case name; of one that is repeated the last. A dictionary, because looking through the list that the
    server gives costs as much as the rest of a small request."""

    def __post_init__(self) -> None:
        self.headers = dict(self.request.scope["headers"])

    @property
    def id(self) -> str:
        """What the path names last."""
        return self.names[-1]

    @property
    def path(self) -> str:
        """The path, without a slash at its end."""
        path: str = self.request.scope["path"]
        return path.rstrip("/")

    @property
    def has_body(self) -> bool:
        """Whether the client says it sends one."""
        return self.header(b"content-length") not in (None, "0") or b"transfer-encoding" in self.headers

    def header(self, name: bytes) -> str | None:
        """The value of a header, None if it is not there."""
        value = self.headers.get(name)
        return None if value is None else value.decode("latin-1")

    @property
    def base(self) -> str:
        """The URL clients reach us by, without a slash at its end: as configured, or as this client did."""
        if self.public is not None:
            return self.public
        scope = self.request.scope
        scheme = self.header(b"x-forwarded-proto")
        if scheme not in ("http", "https"):
            scheme = scope["scheme"]
        host = self.header(b"host") or ""
        if not _HOST.match(host):
            server = scope.get("server") or ("127.0.0.1", None)
            name = f"[{server[0]}]" if ":" in server[0] else server[0]
            host = f"{name}:{server[1]}" if server[1] else name
        return f"{scheme}://{host}"

    def pairs(self) -> Pairs:
        """The query string, decoded."""
        query = self.request.scope["query_string"].decode("latin-1")
        if not query:
            return ()
        try:
            return parse_qsl(query, keep_blank_values=True, max_num_fields=_PAIRS_MAX)
        except ValueError as error:
            raise bad_request(f"The query string has more than {_PAIRS_MAX} parameters.") from error

    async def json(self) -> Any:
        """The body. Raises: Refused (400, 413, 415)."""
        return decode_json(await self.raw(), self.limits.depth_max)

    @property
    def kind(self) -> str:
        """The media type the client says of the body, "" if it says none."""
        return (self.header(b"content-type") or "").split(";", 1)[0].strip().lower()

    async def raw(self, kinds: Sequence[str] = ()) -> bytes:
        """The body's bytes; reading stops at the limit, whatever the client says of its length.

        `kinds`: media types that are taken beside JSON.
        """
        kind = self.header(b"content-type")
        if kind is not None and self.kind not in kinds and not _is_json(kind):
            understood = ", ".join(("application/json", *kinds))
            raise Refused(415, f"The body's Content-Type is '{kind}'; only {understood} is understood.")
        length_max = self.limits.body_bytes_max
        length = self.header(b"content-length") or ""
        if length.isdecimal() and int(length[:18]) > length_max:
            raise _too_large(length_max)
        chunks, received = [], 0
        async for chunk in self.request.stream():
            received += len(chunk)
            if received > length_max:
                raise _too_large(length_max)
            chunks.append(chunk)
        return b"".join(chunks)


Handler = Callable[[Call], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """What answers at one path: a handler per method. `label` names it in metrics; `is_open`: no token needed."""

    label: str
    handlers: Mapping[str, Handler]
    is_open: bool = False
    status: dict[tuple[str, int], Any] = field(default_factory=dict, compare=False)
    """Bound metric children by (method, status), filled as they occur: both are closed sets."""


# What `curl -d` says of every body unless told otherwise; people try calls with it, and the body tells whether it is
# JSON. No page of a browser can use it against anybody: a call needs the token in a header.
_SAID_BY_CURL = "application/x-www-form-urlencoded"


def _is_json(content_type: str) -> bool:
    if content_type == "application/json":
        return True
    kind = content_type.split(";", 1)[0].strip().lower()
    if kind == _SAID_BY_CURL:
        return True
    return kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json"))


def _too_large(length_max: int) -> Refused:
    return Refused(
        413,
        f"The body is larger than {length_max} bytes. Send it in several requests.",
        headers={"Connection": "close"},
    )
