"""The REST edge for tests: the real application on a real store with the real managers, driven in process.

Every answer is checked against the OpenAPI document, so that a test of anything is also a test of the document.
"""

import hashlib
import json
import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import cache
from typing import Any

import httpx

from alcor.api.app import build
from alcor.api.auth import TokenAuthenticator
from alcor.api.limit import Limits
from alcor.api.needs import DataPlane, Ready
from alcor.managers.interface import Manager, Service
from alcor.managers.node.authority import Certifier
from alcor.managers.quota.limit import Limits as Quotas
from alcor.managers.registry import managers
from alcor.model.realized import Realized
from alcor.model.resource import Resource
from alcor.model.token import Token
from alcor.store.interface import Store, Transaction
from tests.support.identity import an_authority

URL = "http://alcor.test:9696"
ADMIN_TOKEN = "admin-secret"
ADMIN_PROJECT = "a" * 32
MEMBER_TOKEN = "member-secret"
MEMBER_PROJECT = "b" * 32

Json = dict[str, Any]

# Of all managers, by which services and limits were chosen: nothing else changes the document, and it takes long.
_documents: dict[tuple[frozenset[str] | None, Limits], Json] = {}


class Api:
    """A client of one region. The verbs return the answer; `made`, `shown` … also demand success."""

    def __init__(self, client: httpx.AsyncClient, document: Json) -> None:
        self.client = client
        self.document = document

    async def request(self, method: str, path: str, **more: Any) -> httpx.Response:
        """Any request. The answer must be one the document describes."""
        answer = await self.client.request(method, path, **more)
        check_answer(self.document, method, answer)
        return answer

    async def get(self, path: str, **more: Any) -> httpx.Response:
        return await self.request("GET", path, **more)

    async def post(self, path: str, body: Any) -> httpx.Response:
        return await self.request("POST", path, json=body)

    async def put(self, path: str, body: Any, **more: Any) -> httpx.Response:
        return await self.request("PUT", path, json=body, **more)

    async def delete(self, path: str, **more: Any) -> httpx.Response:
        return await self.request("DELETE", path, **more)

    async def shown(self, path: str) -> Any:
        """The one member of a 200's body."""
        answer = await self.get(path)
        assert answer.status_code == 200, answer.text
        return next(iter(answer.json().values()))

    async def made(self, kind: str, /, **attributes: Any) -> Json:
        """Create one `kind`: the name of a resource of the catalogue that is no sub-resource."""
        member = resource_of(kind).member_key
        answer = await self.post(collection_path(kind), {member: attributes})
        assert answer.status_code == 201, answer.text
        found: Json = answer.json()[member]
        return found

    async def a_network(self, **attributes: Any) -> Json:
        return await self.made("network", **attributes)

    async def a_subnet(self, network_id: str, cidr: str = "10.0.0.0/24", **attributes: Any) -> Json:
        version = 6 if ":" in cidr else 4
        return await self.made("subnet", network_id=network_id, cidr=cidr, ip_version=version, **attributes)

    async def a_port(self, network_id: str, **attributes: Any) -> Json:
        return await self.made("port", network_id=network_id, **attributes)


def resource_of(kind: str) -> Resource:
    """A resource that is served, views included, by its name."""
    return _served()[kind]


@cache
def _served() -> Mapping[str, Resource]:
    return {one.resource.name: one.resource for one in managers() if isinstance(one, Manager)}


def collection_path(kind: str) -> str:
    """The path of a resource's collection."""
    resource = resource_of(kind)
    return f"{resource.prefix}/{resource.collection}"


def error_of(answer: httpx.Response) -> tuple[int, str, str]:
    """Status, type and message of an error."""
    error = answer.json()["NeutronError"]
    return answer.status_code, error["type"], error["message"]


async def add_token(store: Store, text: str, project_id: str, *, is_admin: bool) -> str:
    """Store a token. Returns: its row's id."""

    async def work(tx: Transaction) -> str:
        id, digest = tx.new_id(), hashlib.sha256(text.encode()).hexdigest()
        tx.insert(Token(id=id, project_id=project_id, digest=digest, is_admin=is_admin))
        return id

    return (await store.write(work)).value


class NoHosts:
    """A data plane without hosts: everything is everywhere at once."""

    async def wait(
        self,
        revision: int,
        within_s: float,
        *,
        revisions: Sequence[int] | None = None,
        rows: Sequence[tuple[str, str]] = (),
    ) -> Realized:
        return Realized(revision=revision)

    async def standing(self, kind: str, ids: Sequence[str]) -> list[Realized]:
        return [Realized(revision=1) for _ in ids]


@asynccontextmanager
async def serving(
    store: Store,
    *,
    token: str | None = ADMIN_TOKEN,
    served: Sequence[Manager | Service] | None = None,
    limits: Limits = Limits(),
    ready: Ready | None = None,
    services: Sequence[str] | None = None,
    public_endpoint: str | None = None,
    clock: Callable[[], float] = lambda: 0.0,
    overrides: Mapping[str, str] = {},
    quotas: Quotas | None = None,
    data_plane: DataPlane | None = NoHosts(),
    certifier: Certifier | None = None,
) -> AsyncIterator[Api]:
    """A client of an application on `store`; errors of the application are answers, not exceptions.

    `overrides`: an operator's policy rules; `quotas`: what projects may have, without bounds if None.
    """
    app = build(
        store,
        managers(quota_limits=quotas, certifier=certifier or a_certifier()) if served is None else served,
        TokenAuthenticator(store, clock=clock),
        version="0.0.0",
        limits=limits,
        ready=ready,
        services=services,
        public_endpoint=public_endpoint,
        overrides=overrides,
        quota_limit=None if quotas is None else quotas.of,
        data_plane=data_plane,
    )
    headers = {} if token is None else {"X-Auth-Token": token}
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url=URL, headers=headers) as client:
        chosen = None if served is not None else (frozenset(services) if services else None, limits)
        document = _documents.get(chosen) if chosen is not None else None
        if document is None:
            document = json.loads((await client.get("/openapi.json")).content)
            if chosen is not None:
                _documents[chosen] = document
        yield Api(client, document)


@cache
def a_certifier() -> Certifier:
    """Who certifies hosts, by one authority for all tests."""
    authority = an_authority()
    return Certifier(lambda: authority)


def check_answer(document: Json, method: str, answer: httpx.Response) -> None:
    """Demand that the document describes an answer: its status, and the schema of its body."""
    operation = _operation(document, method, answer.request.url.path)
    if operation is None:
        return
    code = str(answer.status_code)
    assert code in operation["responses"], f"{method} {answer.request.url.path}: {code} is not documented"
    response = resolve(document, operation["responses"][code])
    content = response.get("content", {})
    if not content:
        assert answer.content == b""
        return
    kind = answer.headers["content-type"].split(";")[0]
    assert kind in content, f"{kind} is not one of {list(content)}"
    if kind == "application/json":
        check(document, answer.json(), content[kind]["schema"], f"{method} {answer.request.url.path}")


def _operation(document: Json, method: str, path: str) -> Json | None:
    matching = [
        (template.count("{"), item)
        for template, item in document["paths"].items()
        if _pattern(template).fullmatch(path)
    ]
    # Words win over what may be named (OpenAPI 3.1, "Paths Object").
    found: Json | None = min(matching, key=lambda one: one[0])[1].get(method.lower()) if matching else None
    return found


@cache
def _pattern(template: str) -> re.Pattern[str]:
    """What a path template stands for. There are more of them than `re` keeps."""
    return re.compile(re.sub(r"\{[a-z_]+\}", "[^/]+", template.rstrip("/")) + "/?")


def resolve(document: Json, schema: Any) -> Any:
    """What a `$ref` points to; everything else is itself."""
    while isinstance(schema, dict) and "$ref" in schema:
        target: Any = document
        for part in schema["$ref"].removeprefix("#/").split("/"):
            target = target[part]
        schema = target
    return schema


_TYPES: Mapping[str, Callable[[Any], bool]] = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
}
_KEYWORDS = {
    "$ref", "type", "enum", "const", "anyOf", "oneOf", "properties", "required", "additionalProperties", "items",
    "minItems", "maxItems", "minLength", "maxLength", "minimum", "maximum", "format", "default", "description",
    "readOnly", "deprecated",
}  # fmt: skip


def check(document: Json, value: Any, schema: Any, where: str) -> None:
    """Demand that a value has a schema: the keywords our documents use; another keyword is an error."""
    schema = resolve(document, schema)
    unknown = schema.keys() - _KEYWORDS
    assert not unknown, f"{where}: keywords {unknown} are not checked"
    for keyword, count_matches in (("anyOf", any), ("oneOf", _exactly_one)):
        if keyword in schema:
            matches = [_matches(document, value, one) for one in schema[keyword]]
            assert count_matches(matches), f"{where}: {value!r} does not fit {keyword} {schema[keyword]}"
    if "type" in schema:
        kinds = [schema["type"]] if isinstance(schema["type"], str) else schema["type"]
        assert any(_TYPES[kind](value) for kind in kinds), f"{where}: {value!r} is not of type {kinds}"
    if "enum" in schema:
        assert value in schema["enum"], f"{where}: {value!r} is not one of {schema['enum']}"
    if "const" in schema:
        assert value == schema["const"], f"{where}: {value!r} is not {schema['const']!r}"
    if isinstance(value, int) and not isinstance(value, bool):
        low, high = schema.get("minimum", value), schema.get("maximum", value)
        assert low <= value <= high, f"{where}: {value} is not in [{low}, {high}]"
    if isinstance(value, str):
        low, high = schema.get("minLength", 0), schema.get("maxLength", len(value))
        assert low <= len(value) <= high, f"{where}: {value!r} has the wrong length"
    if isinstance(value, list):
        low, high = schema.get("minItems", 0), schema.get("maxItems", len(value))
        assert low <= len(value) <= high, f"{where}: {len(value)} items"
        for index, item in enumerate(value):
            check(document, item, schema.get("items", {}), f"{where}[{index}]")
    if isinstance(value, dict):
        _check_object(document, value, schema, where)


def _check_object(document: Json, value: Json, schema: Json, where: str) -> None:
    properties = schema.get("properties", {})
    missing = set(schema.get("required", ())) - value.keys()
    assert not missing, f"{where}: {missing} are missing"
    if schema.get("additionalProperties") is False:
        unknown = value.keys() - properties.keys()
        assert not unknown, f"{where}: {unknown} are not declared"
    for name, member in value.items():
        check(document, member, properties.get(name, {}), f"{where}.{name}")


def _matches(document: Json, value: Any, schema: Any) -> bool:
    try:
        check(document, value, schema, "")
    except AssertionError:
        return False
    return True


def _exactly_one(matches: Sequence[bool]) -> bool:
    return sum(matches) == 1
