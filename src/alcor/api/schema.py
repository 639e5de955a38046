"""JSON Schemas of a resource and examples of it, made from its declaration. The dialect is OpenAPI 3.1's: 2020-12."""

from typing import Any

from alcor.api.body import Form
from alcor.api.errors import type_name
from alcor.model.resource import REQUIRED, UNSET, Attribute, Resource, Who
from alcor.model.value import Schema

_ID = "4e8e5957-649f-477b-9e5b-f1f75b21c03c"
_BY_FORMAT = {
    "uuid": _ID,
    "ip-address": "192.0.2.10",
    "cidr": "192.0.2.0/24",
    "mac-address": "fa:16:3e:00:00:01",
}
_BY_NAME: dict[str, Any] = {
    "name": "red",
    "ip_version": 4,
    "first": "fa:16:3e:00:00:00",
    "last": "fa:16:3e:ff:ff:ff",
}


def schemas(resource: Resource, form: Form) -> dict[str, Schema]:
    """Component name → schema: what is shown, what creates, what updates, and the bodies around them."""
    name = type_name(resource.name)
    ref = {"$ref": f"#/components/schemas/{name}"}
    found = {
        name: _shown(resource),
        f"{name}Answer": _object({form.member: ref}),
        f"{name}List": {
            **_object({form.collection: {"type": "array", "items": ref}}),
            "properties": {
                form.collection: {"type": "array", "items": ref},
                f"{form.collection}_links": {"$ref": "#/components/schemas/Links"},
            },
        },
    }
    found[f"{name}Create"] = _creates(resource)
    found[f"{name}CreateBody"] = {
        "anyOf": [
            _holding({form.member: {"$ref": f"#/components/schemas/{name}Create"}}),
            _holding(
                {
                    form.collection: {
                        "type": "array",
                        "minItems": 1,
                        "items": {"$ref": f"#/components/schemas/{name}Create"},
                    }
                }
            ),
        ]
    }
    found[f"{name}Update"] = _updates(resource)
    found[f"{name}UpdateBody"] = _holding({form.member: {"$ref": f"#/components/schemas/{name}Update"}})
    return found


def example(resource: Resource, form: Form) -> dict[str, Any]:
    """A body that creates one, with what must be said and a name."""
    item = {
        a.name: _sample(a.name, a.type.schema())
        for a in resource.attributes
        if a.create is not Who.NOBODY and (a.default is REQUIRED or a.name == "name")
    }
    return {form.member: item}


def _shown(resource: Resource) -> Schema:
    properties = {}
    for a in resource.attributes:
        schema = _described(a)
        if a.create is Who.NOBODY and a.update is Who.NOBODY:
            schema["readOnly"] = True
        properties[a.name] = schema
        if a.name == "project_id":
            properties["tenant_id"] = {
                **schema,
                "deprecated": True,
                "description": "Another name of project_id.",
            }
    return {
        "type": "object",
        "description": resource.text,
        "properties": properties,
        # Nothing is required: `fields` chooses.
        "additionalProperties": False,
    }


def _creates(resource: Resource) -> Schema:
    return _input(resource, [a for a in resource.attributes if a.create is not Who.NOBODY], creating=True)


def _updates(resource: Resource) -> Schema:
    return _input(resource, [a for a in resource.attributes if a.update is not Who.NOBODY], creating=False)


def _input(resource: Resource, attributes: list[Attribute], *, creating: bool) -> Schema:
    properties = {}
    for a in attributes:
        schema = _described(a)
        if creating and a.default is not REQUIRED and a.default is not UNSET:
            schema["default"] = list(a.default) if isinstance(a.default, tuple) else a.default
        if (a.create if creating else a.update) is Who.ADMIN:
            schema["description"] += " Administrators only."
        properties[a.name] = schema
        if a.name == "project_id":
            properties["tenant_id"] = {
                **schema,
                "deprecated": True,
                "description": "Another name of project_id.",
            }
    schema = {
        "type": "object",
        "description": resource.text,
        "properties": properties,
        "additionalProperties": False,
    }
    required = [a.name for a in attributes if creating and a.default is REQUIRED]
    return {**schema, "required": required} if required else schema


def _described(a: Attribute) -> Schema:
    return {**a.type.schema(), "description": a.text}


def _holding(properties: dict[str, Schema]) -> Schema:
    """A body: members beside those that are asked for are passed over, as the reference does."""
    return {"type": "object", "properties": properties, "required": list(properties)}


def _object(properties: dict[str, Schema]) -> Schema:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _sample(name: str, schema: Schema) -> Any:
    if name in _BY_NAME:
        return _BY_NAME[name]
    if schema.get("type") == "array":
        return [_sample(name, schema["items"])]
    if "enum" in schema:
        return schema["enum"][0]
    if "anyOf" in schema:
        return _sample(name, schema["anyOf"][0])
    if schema.get("type") == "integer":
        return schema.get("minimum", 1)
    if schema.get("type") == "boolean":
        return True
    if schema.get("type") == "object":
        return {word: _sample(word, schema["properties"][word]) for word in schema.get("required", ())}
    return _BY_FORMAT.get(schema.get("format", ""), name)
