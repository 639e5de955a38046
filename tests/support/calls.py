"""Calls that schemathesis makes from our OpenAPI document, sent to the application in process and judged by it.

Which examples are drawn is fixed: the seed is the operation's, nothing is remembered between runs.
"""

import json
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from random import Random
from typing import Any

import httpx
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis import APIOperation, BaseSchema, Case, GenerationMode, checks
from schemathesis.config import SanitizationConfig
from schemathesis.core.failures import FailureGroup
from schemathesis.core.parameters import ParameterLocation
from schemathesis.core.result import Ok
from schemathesis.core.transport import Response
from schemathesis.generation.feedback import FeedbackSources
from schemathesis.transport.prepare import prepare_request

from alcor.managers.interface import Manager
from alcor.managers.registry import managers
from tests.support.api import URL, Json

Operation = APIOperation[Any, Any, Any, Any]
Call = Case[Any]

# Answers 503: that a pool is empty, which a client is told. Everything else above 499 is a fault of ours.
_EXHAUSTED = {"MacAddressGenerationFailure", "NoNetworkAvailable", "ResourceExhausted"}
_CHECKS = (
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
)
_SUFFIX = re.compile(r"(?P<kind>[a-z_]+?)_ids?\Z")
# Attributes and path parameters that name rows, and are not called after the kind they name.
_KINDS = {
    "floating_network_id": "network",
    "external_network_id": "network",
    "internal_port_id": "port",
    "fixed_port_id": "port",
    "local_port_id": "port",
    "remote_group_id": "security_group",
    "remote_address_group_id": "address_group",
    "security_groups": "security_group",
    "object_id": "network",
    "resource_id": "security_group",
    "target_id": "port",
    "profile_id": "service_profile",
    "policy_id": "qos_policy",
    "vpc_id": "network",
}


def register_formats() -> None:
    """Text of the formats our schemas have; without this it would be any text."""
    numbers = st.integers(0, 255)
    v4 = st.builds("10.{}.{}.{}".format, st.integers(0, 2), numbers, numbers)
    v6 = st.builds("fd00::{:x}:{:x}".format, numbers, numbers)
    words = st.from_regex(r"[a-z][a-z0-9]{0,8}", fullmatch=True)
    known = {
        "uuid": st.uuids().map(str),
        "ip-address": st.one_of(v4, v6),
        "cidr": st.one_of(
            st.builds("10.{}.{}.0/24".format, numbers, numbers), st.builds("fd00:{:x}::/64".format, numbers)
        ),
        "mac-address": st.builds("0a:00:00:{:02x}:{:02x}:{:02x}".format, numbers, numbers, numbers),
        "dns-name": words,
        "dns-domain": words.map("{}.example.".format),
        "ip-protocol": st.sampled_from(["tcp", "udp", "icmp", "47", "any"]),
        "uri": words.map("http://{}:80".format),
        "kind": st.sampled_from(["network", "qos_policy", "security_group", "subnetpool"]),
        "project": st.sampled_from(["*", "c" * 32]),
    }
    for name, strategy in known.items():
        schemathesis.openapi.format(name, strategy)


@lru_cache(1)
def _schema_of(document: str) -> BaseSchema:
    register_formats()
    read: Json = json.loads(document)
    # The token is ours to send; that calls without one are refused is tested elsewhere.
    read.pop("security")
    read["components"].pop("securitySchemes")
    return schemathesis.openapi.from_dict(read)


def operations(document: Json) -> list[Operation]:
    """Every operation of a document. Cost: a second for the first call."""
    found = _schema_of(json.dumps(document)).get_all_operations()
    return [one.ok() for one in found if isinstance(one, Ok)]


def example(operation: Operation) -> Call | None:
    """The call that the document shows as an example, None if it shows none."""
    content = operation.definition.raw.get("requestBody", {}).get("content", {}).get("application/json", {})
    one = content.get("examples", {}).get("one")
    return None if one is None else operation.Case(body=one["value"], media_type="application/json")


def drawn(operation: Operation, count: int, mode: GenerationMode) -> list[Call]:
    """Calls of an operation: `count` at most, the same in every run.

    Wrong ones are wrong in their body: whatever is in a path, a query or a header is text.
    """
    cases: list[Call] = []
    if mode is GenerationMode.NEGATIVE and not operation.body:
        return cases

    @settings(
        max_examples=count,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    # No feedback: it is made of what happens to be imported.
    @given(operation.as_strategy(generation_mode=mode, feedback=FeedbackSources()))
    def collect(case: Call) -> None:
        cases.append(case)

    # Of a body that may be anything no wrong one can be made.
    with suppress(Unsatisfiable):
        collect()
    return cases


@dataclass
class Caller:
    """Sends calls to an application, and keeps what was wrong with the answers.

    `ids`: the rows there are, by kind: paths and references name them.
    """

    client: httpx.AsyncClient
    ids: Mapping[str, Sequence[str]]
    headers: Mapping[str, str] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    statuses: dict[int, int] = field(default_factory=dict)
    chance: Random = field(default_factory=lambda: Random(1))

    async def send(self, case: Call, *, is_valid: bool, id: str | None = None) -> httpx.Response:
        """Send one. `is_valid`: the schemas allow it, so references in it may be replaced by others; `id`: the row."""
        for name in case.path_parameters:
            if name == "id" and id is not None:
                case.path_parameters[name] = id
                continue
            case.path_parameters[name] = self._named(case.path, name, str(case.path_parameters[name]))
        if is_valid:
            case.body = self._referring(case.body)
        answer = await self.client.send(_request(case, self.headers))
        self.statuses[answer.status_code] = self.statuses.get(answer.status_code, 0) + 1
        self._judge(case, answer)
        return answer

    def _judge(self, case: Call, answer: httpx.Response) -> None:
        where = f"{case.method.upper()} {answer.request.url}\n{answer.request.content[:2_000]!r}"
        if answer.status_code >= 500 and not _is_exhaustion(answer):
            self.wrong.append(f"{where}\n→ {answer.status_code} {answer.text[:500]}")
            return
        also = [checks.negative_data_rejection] if _is_wrong_body(case) else []
        try:
            case.validate_response(Response.from_any(answer), checks=[*_CHECKS, *also])
        except FailureGroup as failures:
            reasons = "\n".join(f"{one.title}: {one.message}"[:600] for one in failures.exceptions)
            self.wrong.append(f"{where}\n→ {answer.status_code} {answer.text[:300]}\n{reasons}")

    def _named(self, path: str, name: str, otherwise: str) -> str:
        """What a path parameter names: nearly always something that is there."""
        pool = self.ids.get(_kind_of_parameter(path, name), ())
        return self.chance.choice(list(pool)) if pool and self.chance.random() < 0.9 else otherwise

    def _referring(self, value: Any, name: str = "") -> Any:
        """A body whose references name rows that are there."""
        if isinstance(value, dict):
            # Two names of one thing, which must not differ.
            if "project_id" in value:
                value = {key: one for key, one in value.items() if key != "tenant_id"}
            return {key: self._referring(one, key) for key, one in value.items()}
        if isinstance(value, list):
            return [self._referring(one, name) for one in value]
        pool = self.ids.get(_kind_of(name), ()) if isinstance(value, str) else ()
        return self.chance.choice(list(pool)) if pool else value


def _is_wrong_body(case: Call) -> bool:
    part = case.meta.components.get(ParameterLocation.BODY) if case.meta is not None else None
    return part is not None and part.mode.is_negative


def _kind_of(name: str) -> str:
    found = _SUFFIX.fullmatch(name)
    return _KINDS.get(name) or (found["kind"] if found else "")


@lru_cache(1)
def _collections() -> dict[str, str]:
    """The path of a collection, as the document has it → the kind of its rows."""
    resources = {one.resource.name: one.resource for one in managers() if isinstance(one, Manager)}
    found = {}
    for resource in resources.values():
        prefix = resource.prefix
        if resource.parent is not None:
            above = resources[resource.parent.resource]
            prefix = f"{above.prefix}/{above.collection}/{{{above.name}_id}}"
        found[f"{prefix}/{resource.collection}"] = resource.kind
    return found


def _kind_of_parameter(path: str, name: str) -> str:
    before = path.partition(f"/{{{name}}}")[0]
    return _collections().get(before) or _kind_of(name)


def _request(case: Call, headers: Mapping[str, str]) -> httpx.Request:
    """The call as it goes over the wire."""
    made = prepare_request(case, {}, config=SanitizationConfig(enabled=False), base_url=URL)
    sent = {
        name: value for name, value in made.headers.items() if name.lower() not in ("x-auth-token", "host")
    }
    body = made.body.encode() if isinstance(made.body, str) else made.body
    assert body is None or isinstance(body, bytes), "a body of ours is JSON or text"
    raw = {name.encode("latin-1"): _bytes_of(value) for name, value in (sent | dict(headers)).items()}
    return httpx.Request(str(made.method), str(made.url), headers=list(raw.items()), content=body)


def _bytes_of(value: str | bytes) -> bytes:
    return value if isinstance(value, bytes) else value.encode("latin-1")


def _is_exhaustion(answer: httpx.Response) -> bool:
    return answer.status_code == 503 and answer.json()["NeutronError"]["type"] in _EXHAUSTED
