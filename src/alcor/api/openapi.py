"""The OpenAPI 3.1 document, made from the declarations: what is documented is what is served.

Source: OpenAPI Specification 3.1.1.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from alcor.api.collection import Collection
from alcor.api.errors import ERROR_TYPES, type_name
from alcor.api.limit import Limits
from alcor.api.schema import example, schemas
from alcor.model.value import Schema

Document = dict[str, Any]

# Filters of a list inside a row take `<column>=<value>` and a part of an address; said once per such filter.
_SIDE_TEXT = "Repeatable; each is `subnet_id=…`, `ip_address=…` or `ip_address_substr=…`."

_ERRORS: Mapping[str, str] = {
    "400": "The request cannot be understood, or a value of it can never be right.",
    "401": "There is no token, or it is not known.",
    "403": "The token may not do this.",
    "404": "What is named is not there, or is another project's.",
    "405": "The method does not exist for this path.",
    "409": "The present state forbids it: it is in use, taken or exhausted.",
    "412": "If-Match names a revision_number that is not the present one.",
    "413": "The body, or a bulk request, is too large.",
    "414": "The URL is too long.",
    "415": "The body is not JSON.",
    "431": "There are too many headers, or they are too long.",
    "500": "An error of the region; logged under the request's id.",
    "503": "The region cannot answer now, or an address or identifier range is exhausted. Nothing was kept.",
}


def document(collections: Sequence[Collection], version: str, limits: Limits) -> Document:
    """The whole document. Cost: once per process."""
    components: dict[str, Schema] = _common_schemas([c.resource.name for c in collections])
    paths: dict[str, Any] = dict(_fixed_paths())
    for one in collections:
        components.update(schemas(one.resource, one.form))
        paths.update(_paths(one))
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Alcor",
            "version": version,
            "description": (
                "The OpenStack Networking API v2.0 and Alcor's own services. "
                f"A body has at most {limits.body_bytes_max} bytes, a bulk request {limits.bulk_items_max} items, "
                f"a page {limits.page_items_max} items; a list without `limit` is one such page. A list filtered by "
                f"a computed attribute looks at {limits.scan_rows_max} rows at most; its `next` link goes on."
            ),
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{"token": []}],
        "tags": [{"name": c.resource.collection, "description": c.resource.text} for c in collections],
        "paths": paths,
        "components": {
            "schemas": components,
            "parameters": _common_parameters(),
            "responses": _error_responses(),
            "securitySchemes": {
                "token": {
                    "type": "apiKey",
                    "in": "header",
                    "name": "X-Auth-Token",
                    "description": "A token of this region; the first is in <data>/admin.token.",
                }
            },
        },
    }


def _paths(one: Collection) -> dict[str, Any]:
    manager, name = one.manager, type_name(one.resource.name)
    many: dict[str, Any] = {"get": _list(one, name)}
    single: dict[str, Any] = {
        "parameters": [_ref("parameters", "id")],
        "get": _operation(
            one, f"show{name}", f"Show one {one.resource.name}", f"{name}Answer", "200", ["404"]
        )
        | {"parameters": [_ref("parameters", "fields")]},
    }
    if manager.create is not None:
        many["post"] = _create(one, name)
    if manager.update is not None:
        single["put"] = _operation(
            one,
            f"update{name}",
            f"Change a {one.resource.name}",
            f"{name}Answer",
            "200",
            ["404", "409", "412"],
        ) | {"parameters": [_ref("parameters", "ifMatch")], "requestBody": _body(f"{name}UpdateBody")}
    if manager.delete is not None:
        single["delete"] = _operation(
            one, f"delete{name}", f"Delete a {one.resource.name}", None, "204", ["404", "409", "412"]
        ) | {"parameters": [_ref("parameters", "ifMatch")]}
    paths = {one.path: many, f"{one.path}/{{id}}": single}
    for verb, names in (("get", manager.children), ("put", manager.actions)):
        for child in names:
            paths[f"{one.path}/{{id}}/{child}"] = {
                "parameters": [_ref("parameters", "id")],
                verb: _operation(
                    one,
                    f"{verb}{name}{type_name(child)}",
                    f"{child} of a {one.resource.name}",
                    "Free",
                    "200",
                    ["404"],
                ),
            }
    return paths


def _list(one: Collection, name: str) -> dict[str, Any]:
    shared = ("fields", "limit", "marker", "pageReverse", "sortDir", "changedSince")
    sides = {lookup.name for lookup in one.resource.lookups}
    parameters: list[dict[str, Any]] = [_ref("parameters", key) for key in shared]
    parameters.append(
        {
            "name": "sort_key",
            "in": "query",
            "description": "Repeatable; the first counts most.",
            "schema": {"type": "array", "items": {"enum": one.parameters.sort_names}},
        }
    )
    parameters += [
        {
            "name": filter_name,
            "in": "query",
            "description": _SIDE_TEXT if filter_name in sides else "Repeatable: any of the values.",
            "schema": {"type": "array", "items": {"type": "string"}},
        }
        for filter_name in one.parameters.filter_names
    ]
    return _operation(one, f"list{name}", f"List {one.form.collection}", f"{name}List", "200", ["404"]) | {
        "parameters": parameters
    }


def _create(one: Collection, name: str) -> dict[str, Any]:
    single = example(one.resource, one.form)
    bulk = {one.form.collection: [single[one.form.member]]}
    operation = _operation(
        one, f"create{name}", "Create one, or many at once (all or none)", None, "201", ["404", "409", "413"]
    )
    operation["requestBody"] = _body(f"{name}CreateBody", {"one": {"value": single}, "many": {"value": bulk}})
    operation["responses"]["201"] = _answer(
        {"oneOf": [_ref("schemas", f"{name}Answer"), _ref("schemas", f"{name}List")]}
    )
    return operation


def _operation(
    one: Collection, id: str, summary: str, schema: str | None, status: str, errors: Sequence[str]
) -> dict[str, Any]:
    always = ["400", "401", "403", "405", "414", "415", "431", "500", "503"]
    responses: dict[str, Any] = {
        code: _ref("responses", f"error{code}") for code in sorted([*always, *errors])
    }
    responses[status] = {"description": "Done."} if schema is None else _answer(_ref("schemas", schema))
    return {
        "operationId": id,
        "summary": summary,
        "tags": [one.resource.collection],
        "responses": dict(sorted(responses.items())),
    }


def _answer(schema: Schema) -> dict[str, Any]:
    return {
        "description": "Done.",
        "headers": {"x-openstack-request-id": {"schema": {"type": "string"}}},
        "content": {"application/json": {"schema": schema}},
    }


def _body(schema: str, examples: dict[str, Any] | None = None) -> dict[str, Any]:
    content: dict[str, Any] = {"schema": _ref("schemas", schema)}
    if examples is not None:
        content["examples"] = examples
    return {"required": True, "content": {"application/json": content}}


def _ref(part: str, name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/{part}/{name}"}


def _error_responses() -> dict[str, Any]:
    found = {}
    for code, text in _ERRORS.items():
        schema = _ref("schemas", "Unauthorized" if code == "401" else "Error")
        found[f"error{code}"] = {"description": text, "content": {"application/json": {"schema": schema}}}
    return found


def _common_schemas(kinds: Sequence[str]) -> dict[str, Schema]:
    named = [f"{type_name(kind)}{end}" for kind in kinds for end in ("NotFound", "InUse")]
    types = sorted({*ERROR_TYPES, *named})
    text = {"type": "string"}
    return {
        "Free": {"type": "object", "additionalProperties": True},
        "Links": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"rel": {"enum": ["next", "previous", "self"]}, "href": text},
                "required": ["rel", "href"],
                "additionalProperties": False,
            },
        },
        "Error": {
            "type": "object",
            "properties": {
                "NeutronError": {
                    "type": "object",
                    "properties": {"type": {"enum": types}, "message": text, "detail": text},
                    "required": ["type", "message", "detail"],
                    "additionalProperties": False,
                }
            },
            "required": ["NeutronError"],
            "additionalProperties": False,
        },
        "Unauthorized": {
            "type": "object",
            "properties": {
                "error": {
                    "type": "object",
                    "properties": {"code": {"const": 401}, "title": text, "message": text},
                    "required": ["code", "title", "message"],
                    "additionalProperties": False,
                }
            },
            "required": ["error"],
            "additionalProperties": False,
        },
        "Extension": {
            "type": "object",
            "properties": {
                **dict.fromkeys(("alias", "name", "description", "updated"), text),
                "links": {"type": "array"},
            },
            "required": ["alias", "name", "description", "updated", "links"],
            "additionalProperties": False,
        },
    }


def _common_parameters() -> dict[str, Any]:
    def query(name: str, text: str, schema: Schema) -> dict[str, Any]:
        return {"name": name, "in": "query", "description": text, "schema": schema}

    return {
        "id": {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}},
        "fields": query(
            "fields",
            "Repeatable: show these attributes only.",
            {"type": "array", "items": {"type": "string"}},
        ),
        "limit": query("limit", "Items of a page.", {"type": "integer", "minimum": 0}),
        "marker": query("marker", "The id after which the page begins.", {"type": "string"}),
        "pageReverse": query("page_reverse", "Walk backwards from the marker.", {"type": "boolean"}),
        "sortDir": query(
            "sort_dir",
            "Repeatable, one for each sort_key.",
            {"type": "array", "items": {"enum": ["asc", "desc"]}},
        ),
        "changedSince": query(
            "changed_since", "Changed at this time or later (ISO 8601).", {"type": "string"}
        ),
        "ifMatch": {
            "name": "If-Match",
            "in": "header",
            "description": "`revision_number=N`: only if it still has this one.",
            "schema": {"type": "string"},
        },
    }


def _fixed_paths() -> dict[str, Any]:
    links = _ref("schemas", "Links")
    text = {"type": "string"}
    versions = _array({"id": text, "status": text, "links": links})
    resources = _array({"name": text, "collection": text, "links": links})
    extension = _ref("schemas", "Extension")
    health = {"status": {"enum": ["ok", "unavailable"]}, "version": text, "missing": {"type": "object"}}
    metrics = {"description": "Done.", "content": {"text/plain": {"schema": text}}}
    alias = {"name": "alias", "in": "path", "required": True, "schema": text}
    unready = {"503": _answer(_object(health))}
    return {
        "/": _get("versions", "The API's versions", _answer(_object({"versions": versions})), is_open=True),
        "/v2.0/": _get("resources", "What is served", _answer(_object({"resources": resources}))),
        "/v2.0/extensions": _get(
            "extensions",
            "The API extensions there are",
            _answer(_object({"extensions": {"type": "array", "items": extension}})),
        ),
        "/v2.0/extensions/{alias}": {
            "parameters": [alias],
            **_get("extension", "One extension", _answer(_object({"extension": extension}))),
        },
        "/healthz": _get("health", "Whether it serves", _answer(_object(health)), is_open=True, more=unready),
        "/metrics": _get("metrics", "Metrics of the process", metrics, is_open=True),
    }


def _get(
    id: str,
    summary: str,
    answer: dict[str, Any],
    *,
    is_open: bool = False,
    more: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    responses = {"200": answer, "405": _ref("responses", "error405"), **(more or {})}
    operation: dict[str, Any] = {
        "operationId": id,
        "summary": summary,
        "tags": ["discovery"],
        "responses": responses,
    }
    if is_open:
        operation["security"] = []
    else:
        responses |= {code: _ref("responses", f"error{code}") for code in ("401", "404")}
    return {"get": operation}


def _object(properties: dict[str, Any]) -> Schema:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _array(properties: dict[str, Any]) -> Schema:
    return {"type": "array", "items": _object(properties)}
