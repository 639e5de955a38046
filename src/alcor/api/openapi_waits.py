"""What the OpenAPI document says of waiting for hosts: on every write, and of every object that reaches hosts."""

from collections.abc import Sequence
from typing import Any

from alcor.api.collection import Collection
from alcor.api.errors import type_name
from alcor.api.waiting import WAIT_S_DEFAULT, WAIT_S_MAX
from alcor.model.realized import REACHING

_WRITES = ("post", "put", "delete")
_TEXT: dict[str, Any] = {"type": "string"}
_COUNT: dict[str, Any] = {"type": "integer", "minimum": 0}
_COUNTS: dict[str, Any] = {
    "revision": {**_COUNT, "description": "The region's revision that the change was made in."},
    "hosts_intended": {**_COUNT, "description": "How many hosts must have it."},
    "hosts_actual": {**_COUNT, "description": "How many of them have it in their switch."},
}
_DATA_PLANE: dict[str, Any] = {
    "type": "object",
    "properties": {
        **_COUNTS,
        "missing": {
            "type": "array",
            "description": "Up to 100 hosts that do not have it; for those who may know of hosts.",
            "items": {
                "type": "object",
                "properties": {
                    "host": _TEXT,
                    "reason": {**_TEXT, "description": "`down`, `behind by <revisions>` or `not attached`."},
                },
                "required": ["host", "reason"],
                "additionalProperties": False,
            },
        },
        "stages_ms": {
            "type": "object",
            "description": "Milliseconds of commit, follow, compile, publish, receive, install, ack, and in total.",
            "additionalProperties": {"type": "number"},
        },
        "reason": {**_TEXT, "description": "Why nothing is known of hosts; absent if it is."},
    },
    "required": list(_COUNTS),
    "additionalProperties": False,
}
_HEADERS = {
    "X-Alcor-Revision": "The region's revision that holds the change.",
    "X-Alcor-Wait": "`complete`, `incomplete` or `unknown: <why>`; with `wait`.",
    "X-Alcor-Realized": "`<hosts that have it>/<hosts that must>`; with `wait`.",
    "X-Alcor-Missing": "Hosts that do not have it, and why; with `wait`, for those who may know of hosts.",
    "Server-Timing": "Milliseconds per stage; with `wait`.",
}
_PARAMETERS: dict[str, Any] = {
    "wait": {
        "name": "wait",
        "in": "query",
        "description": (
            "Answer once every living host that must have the change has it in its switch, or after so many seconds "
            f"(alone: {WAIT_S_DEFAULT:g}). Also as header `X-Alcor-Wait`."
        ),
        "allowEmptyValue": True,
        "schema": {"type": "number", "minimum": 0, "maximum": WAIT_S_MAX},
    },
    "details": {
        "name": "details",
        "in": "query",
        "description": "With `wait`: tell of hosts and times in the body too, as `data_plane`.",
        "schema": {"type": "boolean"},
    },
}


def with_waits(document: dict[str, Any], collections: Sequence[Collection]) -> dict[str, Any]:
    """The same document, changed in place."""
    parts, paths = document["components"], document["paths"]
    parts["schemas"]["DataPlane"] = _DATA_PLANE
    parts["parameters"] |= _PARAMETERS
    ours = {"$ref": "#/components/schemas/DataPlane"}
    for operation in [item[verb] for item in paths.values() for verb in _WRITES if verb in item]:
        _add_wait(document, operation, ours)
    for one in (one for one in collections if one.resource.name in REACHING):
        shown = parts["schemas"].get(type_name(one.resource.name))
        if shown is not None and "properties" in shown:
            shown["properties"]["data_plane"] = {
                "type": "object",
                "description": "How many hosts must have it and have it; shown only if `fields` names it.",
                "properties": _COUNTS,
                "readOnly": True,
            }
        single = paths[one.one_path]
        paths[f"{one.one_path}/data-plane"] = {
            "parameters": single["parameters"],
            "get": {
                "operationId": f"{single['get']['operationId']}DataPlane",
                "summary": "Which hosts must have it, and which have it in their switch",
                "tags": single["get"]["tags"],
                "responses": {
                    **{
                        code: each
                        for code, each in single["get"]["responses"].items()
                        if code not in ("200", "410")
                    },
                    "200": _answer(
                        {"type": "object", "properties": {"data_plane": ours}, "required": ["data_plane"]}
                    ),
                },
            },
        }
    return document


def _add_wait(document: dict[str, Any], operation: dict[str, Any], ours: dict[str, Any]) -> None:
    references = [{"$ref": f"#/components/parameters/{name}"} for name in _PARAMETERS]
    operation["parameters"] = [*operation.get("parameters", ()), *references]
    for code, response in operation["responses"].items():
        if not code.startswith("2") or "$ref" in response:
            continue
        response["headers"] = {
            **response.get("headers", {}),
            **{name: {"description": text, "schema": _TEXT} for name, text in _HEADERS.items()},
        }
        for content in response.get("content", {}).values():
            content["schema"] = _telling(document, content["schema"], ours)


def _telling(document: dict[str, Any], schema: dict[str, Any], ours: dict[str, Any]) -> dict[str, Any]:
    """The schema of a body that may have a member more, if it says which ones there are. What stands in the operation
    itself is copied: its request may be described by the same."""
    if "$ref" in schema:
        named = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
        named.update(_telling(document, named, ours))
    elif "oneOf" in schema:
        return {**schema, "oneOf": [_telling(document, choice, ours) for choice in schema["oneOf"]]}
    elif "properties" in schema:
        return {**schema, "properties": {"data_plane": ours, **schema["properties"]}}
    return schema


def _answer(schema: dict[str, Any]) -> dict[str, Any]:
    return {
        "description": "Done.",
        "headers": {"x-openstack-request-id": {"schema": _TEXT}},
        "content": {"application/json": {"schema": schema}},
    }
