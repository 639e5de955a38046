"""What a request learns of the data plane: `?wait=` on every write, `data_plane` of every object.

A write is answered as ever, only later: once the hosts that must have it have confirmed it, or the time is over. It
is committed by then; whatever is wrong with the data plane is said in headers, never as an error.
"""

import time
from collections.abc import Sequence
from typing import Any

from starlette.responses import Response

from alcor.api.call import Call, Endpoint, Handler
from alcor.api.collection import Collection, as_json
from alcor.api.errors import bad_request
from alcor.api.needs import DataPlane
from alcor.api.noted import NOTE, Note
from alcor.api.policy import Policy, Rule
from alcor.api.policy.defaults import HOSTS_RULE
from alcor.api.view import encode
from alcor.model.errors import AlcorError, Unavailable
from alcor.model.realized import REACHING, Realized
from alcor.telemetry.log import get_log

log = get_log("api")

WAIT_S_DEFAULT = 5.0
WAIT_S_MAX = 60.0

_METHODS = frozenset({"POST", "PUT", "DELETE"})
_HEADER = b"x-alcor-wait"
_YES, _NO = frozenset({"", "1", "true"}), frozenset({"0", "false"})
# A header is for people and logs; the body has more of them.
_NAMED_MAX = 20
UNTOLD = "the region cannot tell now"
NO_DATA_PLANE = "this process of the region cannot ask a dataplane"


class Waits:
    """Answers writes, those that ask for it once hosts have them."""

    def __init__(self, plane: DataPlane | None, policy: Policy) -> None:
        self._plane = plane
        self._names: Rule = policy.rule(HOSTS_RULE)

    async def answer(self, call: Call, handler: Handler) -> Response:
        """The handler's answer, and what became of what it wrote. Raises: Refused (400), and what it raises."""
        if call.request.scope["method"] not in _METHODS:
            return await handler(call)
        within_s, details = _asked(call)
        begun = time.perf_counter()
        note = Note()
        token = NOTE.set(note)
        try:
            response = await handler(call)
        finally:
            NOTE.reset(token)
        if not note.revision:
            return response
        response.headers["X-Alcor-Revision"] = str(note.revision)
        if within_s is None:
            return response
        named = self._names.allows(call.caller, {})
        told = await self._told(note, within_s, named=named)
        stages_ms = {"commit": round(note.commit_s * 1000, 3), **told.stages_ms}
        stages_ms["total"] = round((time.perf_counter() - begun) * 1000, 3)
        if details and response.status_code != 204:
            shown = {**document(told, named=named), "stages_ms": stages_ms}
            response = _with_member(response, b'"data_plane":' + encode(shown))
        _say(response, told, stages_ms, named=named)
        return response

    async def _told(self, note: Note, within_s: float, *, named: bool) -> Realized:
        revision = note.revision
        if self._plane is None:
            return Realized(revision=revision, reason=NO_DATA_PLANE)
        revisions = None if note.revisions == [revision] else sorted(set(note.revisions))
        rows = [(kind, id) for kind, id in dict.fromkeys(note.unchanged) if kind in REACHING]
        try:
            return await self._plane.wait(revision, within_s, revisions=revisions, rows=rows)
        except AlcorError as error:
            # The write is committed: that nobody can tell of hosts is no failure of it.
            log.warning("wait_unanswered", revision=revision, reason=error.message)
            return Realized(revision=revision, reason=error.message if named else UNTOLD)


class Standings:
    """Shows which hosts have an object as it is now."""

    def __init__(self, plane: DataPlane | None, policy: Policy) -> None:
        self._plane = plane
        self._names: Rule = policy.rule(HOSTS_RULE)

    def endpoints(self, one: Collection) -> dict[str, Endpoint]:
        """`GET <row>/data-plane`, for every kind of row that hosts may have to know."""
        if one.resource.name not in REACHING:
            return {}

        async def show(call: Call) -> Response:
            row: Any = await one.finder.find(one.around.store.reader, call.caller, call.names)
            told = await self._asked(one.resource.name, [row.id])
            return as_json({"data_plane": document(told[0], named=self._names.allows(call.caller, {}))})

        return {f"{one.one_path}/data-plane": Endpoint(f"{one.label}/data-plane", {"GET": show})}

    async def counts(self, kind: str, ids: Sequence[str]) -> list[dict[str, Any]]:
        """Of each row the attribute `data_plane`: the revision, and how many hosts. Raises: Unavailable."""
        counted = ("revision", "hosts_intended", "hosts_actual")
        return [{name: getattr(one, name) for name in counted} for one in await self._asked(kind, ids)]

    async def _asked(self, kind: str, ids: Sequence[str]) -> list[Realized]:
        if self._plane is None:
            raise Unavailable(NO_DATA_PLANE)
        return await self._plane.standing(kind, ids)


def document(told: Realized, *, named: bool) -> dict[str, Any]:
    """As JSON values. `named`: with the hosts that are missing, up to some number of them."""
    shown: dict[str, Any] = {
        "revision": told.revision,
        "hosts_intended": told.hosts_intended,
        "hosts_actual": told.hosts_actual,
    }
    if named:
        shown["missing"] = [{"host": one.host, "reason": one.reason} for one in told.missing]
    if told.reason:
        shown["reason"] = told.reason
    return shown


def _asked(call: Call) -> tuple[float | None, bool]:
    """The seconds to wait (None: not asked for), and whether the body is to tell. Raises: Refused (400)."""
    said = dict(call.pairs())
    text = said.get("wait", call.header(_HEADER))
    if text is None:
        return None, False
    details = said.get("details", "false").lower()
    if details not in _YES | _NO:
        raise bad_request(f"details={details} is neither true nor false.")
    if not text.strip():
        return WAIT_S_DEFAULT, details in _YES
    within_s = _number(text)
    if within_s is None or not 0 <= within_s <= WAIT_S_MAX:
        raise bad_request(
            f"wait={text[:32]} is not a time to wait for hosts: say seconds from 0 to {WAIT_S_MAX:g}, such as ?wait=5."
        )
    return within_s, details in _YES


def _number(text: str) -> float | None:
    """The number a text says, None if it says none. What is no number (`nan`) lies in no bounds."""
    try:
        return float(text) if text.isascii() and "_" not in text else None
    except ValueError:
        return None


def _say(response: Response, told: Realized, stages_ms: dict[str, float], *, named: bool) -> None:
    headers = response.headers
    if told.reason:
        headers["X-Alcor-Wait"] = f"unknown: {_ascii(told.reason)}"
    else:
        headers["X-Alcor-Wait"] = "complete" if told.is_complete else "incomplete"
        headers["X-Alcor-Realized"] = f"{told.hosts_actual}/{told.hosts_intended}"
    if named and told.missing:
        names = [f"{one.host} ({one.reason})" for one in told.missing[:_NAMED_MAX]]
        left = told.hosts_intended - told.hosts_actual - len(names)
        headers["X-Alcor-Missing"] = _ascii(", ".join([*names, *([f"and {left} more"] if left else [])]))
    # Source: W3C Server Timing, "The Server-Timing Header Field".
    headers["Server-Timing"] = ", ".join(f"{stage};dur={ms:g}" for stage, ms in stages_ms.items())


def _ascii(text: str) -> str:
    return text.encode("ascii", "replace").decode().replace("\n", " ")


def _with_member(response: Response, member: bytes) -> Response:
    """The same answer with one member more in its body, which is an object; any other answer is left alone."""
    body = bytes(response.body)
    if not body.startswith(b"{") or not body.endswith(b"}"):
        return response
    more = body[:-1] + (b"," if len(body) > 2 else b"") + member + b"}"
    told = Response(more, response.status_code, media_type="application/json")
    known = {b"content-length", b"content-type"}
    told.raw_headers += [(name, value) for name, value in response.raw_headers if name not in known]
    return told
