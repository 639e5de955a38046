"""`GET /changes`: every change of a resource with who asked for it, before and after, as far back as it is kept.

Secrets are never shown. A caller who is no administrator sees what his own project asked for, and of that the rows and
attributes that the policy shows him: a port of his on another's network changes rows of both.
"""

from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from typing import Any

from alcor.managers.interface import Ask, Route, Service
from alcor.model.catalogue import BY_NAME
from alcor.model.change import Recorded
from alcor.model.errors import InvalidInput
from alcor.model.resource import Entity, Resource, Who
from alcor.model.value import Integer, Text
from alcor.store.interface import History, Store

_PATH = "/changes"
_HIDDEN = "***"
_PAGE = Integer(1, 1_000)
_PAGE_DEFAULT = 100
_WORD = Text(255, 1)


def service() -> Service:
    """The audit's one path."""
    return Service(
        "audit",
        (
            Route(
                "GET",
                _PATH,
                list_changes,
                "get_changes",
                "rule:admin_or_project_reader",
                "Who changed what: filters resource_type, resource_id, request_id, project_id, user_id, since, until "
                "(ISO 8601), marker, limit",
                schema={
                    "type": "object",
                    "properties": {
                        "changes": {"type": "array", "items": {"type": "object"}},
                        "next_marker": {"anyOf": [{"type": "string"}, {"type": "null"}]},
                    },
                    "required": ["changes", "next_marker"],
                },
            ),
        ),
    )


async def list_changes(store: Store, ask: Ask) -> dict[str, Any]:
    """One page, oldest first. `next_marker` goes into the next request's `marker`; null: there is no more.

    Raises: InvalidInput for a parameter that is none, or cannot be read.
    """
    said: dict[str, Any] = {}
    for name, text in ask.pairs:
        parse = _PARAMETERS.get(name)
        if parse is None:
            raise InvalidInput(
                f"'{name}' is not a parameter of {_PATH}; there are {', '.join(sorted(_PARAMETERS))}."
            )
        try:
            said[name] = parse(text)
        except ValueError as error:
            raise InvalidInput(str(error), attribute=name) from error
    limit = said.get("limit", _PAGE_DEFAULT)
    mine = None if ask.caller.is_admin else ask.caller.project_id
    found = await store.reader.history(
        History(
            kind=said.get("resource_type"),
            id=said.get("resource_id"),
            request_id=said.get("request_id"),
            project_id=said.get("project_id") if mine is None else mine,
            user_id=said.get("user_id"),
            since_ms=said.get("since"),
            until_ms=said.get("until"),
            after=said.get("marker"),
            limit=limit,
        )
    )
    full = len(found) == limit
    marker = f"{found[-1].place[0]}.{found[-1].place[1]}" if full else None
    changes = []
    for one in found:
        hidden: Collection[str] | None = ()
        for row in (one.before, one.after):
            if row is not None and hidden is not None:
                unseen = await ask.hidden(store.reader, row)
                hidden = None if unseen is None else {*hidden, *unseen}
        if hidden is not None:
            changes.append(document(one, hidden))
    return {"changes": changes, "next_marker": marker}


def document(one: Recorded, hidden: Collection[str] = ()) -> dict[str, Any]:
    """A change as clients see it. `changed`: the attributes that differ; all of them for a create or delete.

    `hidden`: attributes that are left out, before and after.
    """
    resource = BY_NAME[one.kind]
    before, after = _shown(resource, one.before, hidden), _shown(resource, one.after, hidden)
    names = sorted({*(before or {}), *(after or {})})
    return {
        "revision": one.place[0],
        "number": one.place[1],
        "at": _iso(one.at_ms),
        "action": "create" if one.before is None else "delete" if one.after is None else "update",
        "resource_type": one.kind,
        "resource_id": one.id,
        "request_id": one.origin.request_id,
        "user_id": one.origin.user_id,
        "project_id": one.origin.project_id,
        "changed": [name for name in names if (before or {}).get(name) != (after or {}).get(name)],
        "before": before,
        "after": after,
    }


def _shown(resource: Resource, row: Entity | None, hidden: Collection[str]) -> dict[str, Any] | None:
    if row is None:
        return None
    return {
        a.name: _HIDDEN if a.secret else getattr(row, a.field)
        for a in resource.attributes
        if a.stored and (a.secret or a.see is not Who.NOBODY) and a.name not in hidden
    }


def _iso(unix_ms: int) -> str:
    return (
        datetime.fromtimestamp(unix_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    )


def _moment(text: str) -> int:
    """Unix milliseconds. A `+` of a time zone arrives as a space from careless clients."""
    moment = datetime.fromisoformat(text.strip().replace(" ", "+") if "T" in text else text)
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


def _place(text: str) -> tuple[int, int]:
    revision, dot, number = text.partition(".")
    if not (dot and revision.isdecimal() and number.isdecimal() and len(text) < 40):
        raise ValueError(f"'{text}' is not a next_marker of an earlier answer")
    return int(revision), int(number)


def _kind(text: str) -> str:
    if text not in BY_NAME:
        raise ValueError(f"'{text}' is not a resource; there are {', '.join(sorted(BY_NAME))}")
    return text


_PARAMETERS: Mapping[str, Callable[[str], Any]] = {
    "resource_type": _kind,
    "resource_id": _WORD.parse,
    "request_id": _WORD.parse,
    "project_id": _WORD.parse,
    "user_id": _WORD.parse,
    "since": _moment,
    "until": _moment,
    "marker": _place,
    "limit": _PAGE.parse,
}
