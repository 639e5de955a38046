"""Tags: words that users hang on resources. `<collection>/<id>/tags` and `…/tags/<tag>`, for every tagged resource.

Source: Networking API v2.0, "Resource tags"; extensions standard-attr-tag, tag-creation.
"""

from collections.abc import Callable
from typing import Any

from msgspec.structs import replace
from starlette.responses import Response

from alcor.api.call import Call, Endpoint
from alcor.api.collection import Collection, as_json
from alcor.api.discovery import VERSION_PATH
from alcor.api.errors import bad_request
from alcor.api.policy import action_name
from alcor.api.writing import if_match, origin_of
from alcor.model.errors import InvalidInput, NotFound, StaleRevision
from alcor.model.resource import Entity
from alcor.model.standard import TAGS
from alcor.store.interface import Transaction

Tags = tuple[str, ...]


def tag_paths(one: Collection) -> list[str]:
    """Where a resource's tags are. Those of `/v2.0/qos/policies` are at `/v2.0/policies` too, where clients of the
    reference look for them. Alcor's own resources have no second place."""
    if not one.resource.prefix.startswith(VERSION_PATH):
        return [f"{one.one_path}/tags"]
    short = f"{VERSION_PATH}/{one.resource.collection}/{{id}}/tags"
    return list(dict.fromkeys((f"{one.one_path}/tags", short)))


class Tagging:
    """The tag endpoints of one collection."""

    def __init__(self, one: Collection) -> None:
        self._one = one
        # The reference's present name, and the one it had before.
        self._rules = (
            action_name("update", one.resource, "tags"),
            f"update_{one.resource.collection_key}_tags",
        )

    def endpoints(self) -> dict[str, Endpoint]:
        """Path template → endpoint."""
        label = f"{self._one.label}/tags"
        found = {}
        for path in tag_paths(self._one):
            found[path] = Endpoint(
                label, {"GET": self.show, "PUT": self.replace, "POST": self.add, "DELETE": self.clear}
            )
            found[f"{path}/{{tag}}"] = Endpoint(
                label, {"GET": self.has, "PUT": self.put, "DELETE": self.remove}
            )
        return found

    async def show(self, call: Call) -> Response:
        """All of them."""
        row = await self._row(call, call.names)
        return as_json({"tags": row.tags})

    async def has(self, call: Call) -> Response:
        """204 if it is there. Raises: NotFound."""
        *names, tag = call.names
        row = await self._row(call, names)
        if tag not in row.tags:
            raise NotFound("tag", tag)
        return Response(status_code=204)

    async def replace(self, call: Call) -> Response:
        """These and no others."""
        wanted = _said(await call.json())
        row = await self._change(call, call.names, lambda _present: wanted)
        return as_json({"tags": row.tags})

    async def add(self, call: Call) -> Response:
        """These beside the present ones."""
        more = _said(await call.json())
        row = await self._change(call, call.names, lambda present: _parsed((*present, *more)))
        return as_json({"tags": row.tags}, status=201)

    async def put(self, call: Call) -> Response:
        """One more; nothing changes if it is there."""
        *names, tag = call.names
        await self._change(call, names, lambda present: _parsed((*present, tag)))
        return Response(status_code=201)

    async def remove(self, call: Call) -> Response:
        """One less. Raises: NotFound."""
        *names, tag = call.names

        def without(present: Tags) -> Tags:
            if tag not in present:
                raise NotFound("tag", tag)
            return tuple(one for one in present if one != tag)

        await self._change(call, names, without)
        return Response(status_code=204)

    async def clear(self, call: Call) -> Response:
        """None at all."""
        await self._change(call, call.names, lambda _present: ())
        return Response(status_code=204)

    async def _row(self, call: Call, names: Any) -> Entity:
        reader = self._one.around.store.reader
        row: Entity = await self._one.finder.find(reader, call.caller, names)
        await self._one.access.check_seen(reader, call.caller, row, "tags")
        return row

    async def _change(self, call: Call, names: Any, change: Callable[[Tags], Tags]) -> Entity:
        expected = if_match(call)
        one = self._one

        async def work(tx: Transaction) -> Entity:
            row: Entity = await one.finder.find(tx, call.caller, names)
            if expected is not None and row.revision_number != expected:
                raise StaleRevision(one.resource.name, row.id, expected, row.revision_number)
            await one.access.check_action(tx, call.caller, row, self._rules)
            tx.update(replace(row, tags=change(row.tags)))
            return await tx.get(type(row), row.id)

        return (await one.around.store.write(work, origin_of(call.caller))).value


def _said(body: Any) -> Tags:
    if not isinstance(body, dict) or list(body) != ["tags"]:
        raise bad_request("The body must be a JSON object with the member 'tags' alone.")
    return _parsed(body["tags"])


def _parsed(tags: Any) -> Tags:
    """The words, sorted, each once. Raises: InvalidInput."""
    try:
        parsed: Tags = TAGS.type.parse(tags)
    except ValueError as error:
        raise InvalidInput(str(error), attribute="tags") from error
    return parsed
