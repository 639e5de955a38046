"""The OpenAPI 3.1 document, made from the declarations: what is documented is what is served.

Source: OpenAPI Specification 3.1.1.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from alcor.api.collection import Collection
from alcor.api.errors import ERROR_TYPES, type_name
from alcor.api.limit import Limits
from alcor.api.schema import example, schemas
from alcor.api.tagging import tag_paths
from alcor.managers.interface import Route, Service
from alcor.model.catalogue import RESOURCES
from alcor.model.value import Schema

Document = dict[str, Any]

# Filters of a list inside a row take `<column>=<value>` and a part of an address; said once per such filter.
_SIDE_TEXT = "Repeatable; each is `subnet_id=…`, `ip_address=…` or `ip_address_substr=…`."

# What may be missing though no resource is called so.
_NAMED = ("tag", "rule_type", "ServiceProfileDriver", "FlavorServiceProfileBinding")

_ERRORS: Mapping[str, str] = {
    "400": "The request cannot be understood, or a value of it can never be right.",
    "401": "There is no token, or it is not known.",
    "403": "The token may not do this.",
    "404": "What is named is not there, or is another project's.",
    "405": "The method does not exist for this path.",
    "409": "The present state forbids it: it is in use, taken or exhausted.",
    "412": "If-Match names a revision_number that is not the present one.",
    "410": "The moment asked for is before the history that is kept.",
    "413": "The body, or a bulk request, is too large.",
    "414": "The URL is too long.",
    "415": "The body is not JSON.",
    "431": "There are too many headers, or they are too long.",
    "500": "An error of the region; logged under the request's id.",
    "503": "The region cannot answer now, or an address or identifier range is exhausted. Nothing was kept.",
}


def document(
    collections: Sequence[Collection], services: Sequence[Service], version: str, limits: Limits
) -> Document:
    """The whole document. Cost: once per process."""
    known = {resource.name: resource for resource in (*RESOURCES, *(c.resource for c in collections))}
    names = {name for one in known.values() for name in (one.name, one.error_name) if name}
    components: dict[str, Schema] = _common_schemas([*names, *_NAMED])
    paths: dict[str, Any] = dict(_fixed_paths())
    for one in collections:
        components.update(schemas(one.resource, one.form))
        for path, item in _paths(one).items():
            paths.setdefault(path, {}).update(item)
    for service in services:
        for route in service.routes:
            paths.setdefault(route.path, {}).update(_route(service, route))
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
        "tags": [{"name": c.label, "description": c.resource.text} for c in collections],
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
    manager, resource, name = one.manager, one.resource, type_name(one.resource.name)
    what = resource.name.replace("_", " ")
    many: dict[str, Any] = {"parameters": _path_parameters(one.path), "get": _list(one, name)}
    single: dict[str, Any] = {
        "parameters": _path_parameters(one.one_path),
        "get": _operation(one, f"show{name}", f"Show one {what}", f"{name}Answer", "200", ["404", "410"])
        | {"parameters": [_ref("parameters", "fields"), _ref("parameters", "asOf")]},
    }
    if manager.create is not None:
        many["post"] = _create(one, name)
    if manager.update is not None:
        single["put"] = _operation(
            one, f"update{name}", f"Change one {what}", f"{name}Answer", "200", ["404", "409", "412"]
        ) | {"parameters": [_ref("parameters", "ifMatch")], "requestBody": _body(f"{name}UpdateBody")}
        if manager.source is None:
            many["put"] = _bulk(
                one, f"updateMany{name}", f"Change many: each names its {resource.key}", "200"
            )
    if manager.delete is not None:
        single["delete"] = _operation(
            one, f"delete{name}", f"Delete one {what}", None, "204", ["404", "409", "412"]
        ) | {"parameters": [_ref("parameters", "ifMatch")]}
        many["delete"] = _bulk(one, f"deleteMany{name}", f"Delete many: each names its {resource.key}", "204")
    paths = {one.path: many, one.one_path: single}
    if resource.bulk_path:
        paths[f"{one.path}/bulk"] = _bulk_path(many)
    for verb, names in (("get", manager.children), ("put", manager.actions)):
        for child in names:
            item = paths.setdefault(f"{one.one_path}/{child}", {"parameters": _path_parameters(one.one_path)})
            item |= {
                verb: _operation(
                    one,
                    f"{verb}{name}{type_name(child)}",
                    f"{child} of one {what}",
                    "Document",
                    "200",
                    ["404", *(("409", "412", "503") if verb == "put" else ())],
                )
                | ({"requestBody": {**_free_body(), "required": False}} if verb == "put" else {}),
            }
    return paths | (_tag_paths(one, name) if resource.is_tagged else {})


def _bulk_path(many: Mapping[str, Any]) -> dict[str, Any]:
    """The collection's calls about many, at the path of their own."""
    found = {"parameters": many["parameters"]}
    for verb in ("post", "put", "delete"):
        if verb in many:
            found[verb] = many[verb] | {"operationId": f"{many[verb]['operationId']}InBulk"}
    return found


def _bulk(one: Collection, id: str, summary: str, status: str) -> dict[str, Any]:
    """A change of many at once: all or none, or with `partial` a verdict for each."""
    operation = _operation(one, id, summary, None, status, ["404", "409", "412", "413"])
    key = one.resource.key
    item = {"type": "object", "properties": {key: {"type": "string"}}, "required": [key]}
    items = {"type": "array", "minItems": 1, "maxItems": one.around.limits.bulk_items_max, "items": item}
    if status == "200":
        operation["responses"]["200"] = _answer(_ref("schemas", f"{type_name(one.resource.name)}List"))
    operation["responses"]["207"] = _answer(_ref("schemas", "Free"))
    operation["parameters"] = [_ref("parameters", "partial")]
    operation["requestBody"] = {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "properties": {one.form.collection: items},
                    "required": [one.form.collection],
                }
            }
        },
    }
    return operation


def _tag_paths(one: Collection, name: str) -> dict[str, Any]:
    attribute = one.resource.attribute("tags")
    assert attribute is not None
    tags = _object({"tags": attribute.type.schema()})
    body = {"required": True, "content": {"application/json": {"schema": tags}}}

    def tagged(id: str, summary: str, status: str, answer: bool) -> dict[str, Any]:
        operation = _operation(one, f"{id}{name}", summary, None, status, ["404", "412"])
        if answer:
            operation["responses"][status] = _answer(tags)
        return operation

    found: dict[str, Any] = {}
    for place, path in enumerate(tag_paths(one)):
        # One operation id each; the second place is for clients of the reference.
        found |= _tag_items(path, tagged, body, "Also" * place)
    return found


def _tag_items(
    path: str, tagged: Callable[..., dict[str, Any]], body: dict[str, Any], prefix: str
) -> dict[str, Any]:
    return {
        path: {
            "parameters": _path_parameters(path),
            "get": tagged(f"{prefix}listTagsOf", "Its tags", "200", True),
            "put": tagged(f"{prefix}replaceTagsOf", "These tags and no others", "200", True)
            | {"requestBody": body},
            "post": tagged(f"{prefix}addTagsTo", "These tags too", "201", True) | {"requestBody": body},
            "delete": tagged(f"{prefix}clearTagsOf", "No tags", "204", False),
        },
        f"{path}/{{tag}}": {
            "parameters": _path_parameters(f"{path}/{{tag}}"),
            "get": tagged(f"{prefix}hasTagOf", "Whether it has the tag", "204", False),
            "put": tagged(f"{prefix}putTagOf", "One tag more", "201", False),
            "delete": tagged(f"{prefix}removeTagOf", "One tag less", "204", False),
        },
    }


def _route(service: Service, route: Route) -> dict[str, Any]:
    words = [part.strip("{}") for part in (route.method.lower(), *route.path.split("/")) if part]
    always = ["400", "401", "403", "404", "405", "409", "413", "414", "415", "431", "500", "503"]
    responses: dict[str, Any] = {code: _ref("responses", f"error{code}") for code in always}
    responses[str(route.status)] = _answer(dict(route.schema) or _ref("schemas", "Free"))
    if route.method == "DELETE" or route.status == 204:
        responses["204"] = {"description": "Done."}
    operation: dict[str, Any] = {
        "operationId": "".join(type_name(word.replace(".", "_").replace("-", "_")) for word in words),
        "summary": route.text,
        "tags": [service.service],
        "parameters": _path_parameters(route.path),
        "responses": dict(sorted(responses.items())),
    }
    if route.is_open:
        operation["security"] = []
    if route.body_schema:
        operation["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": dict(route.body_schema)}}
            | {kind: {"schema": {"type": "string"}} for kind in route.kinds},
        }
    return {route.method.lower(): operation}


def _free_body() -> dict[str, Any]:
    return {"content": {"application/json": {"schema": _ref("schemas", "Free")}}}


def _path_parameters(path: str) -> list[dict[str, Any]]:
    return [
        {"name": part[1:-1], "in": "path", "required": True, "schema": {"type": "string"}}
        for part in path.split("/")
        if part.startswith("{")
    ]


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
    operation["parameters"] = [_ref("parameters", "partial")]
    operation["responses"]["207"] = _answer(_ref("schemas", "Free"))
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
        "tags": [one.label],
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
        # What an action or a child answers: nearly always an object; `onboard_network_subnets` answers with a list.
        "Document": {"type": ["object", "array"], "additionalProperties": True},
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
        "asOf": query("as_of", "As it was at this moment (ISO 8601).", {"type": "string"}),
        "partial": query(
            "partial",
            "Each for itself, with a verdict for each (207), instead of all or none.",
            {"type": "boolean"},
        ),
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
