"""Request bodies: JSON text → validated values, from the declaration of the resource and nothing else.

Source: Networking API v2.0; the order of the checks and the sentences are what clients of the reference server know.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

import orjson

from alcor.api.errors import InItem, Refused, bad_request
from alcor.api.limit import Limits
from alcor.managers.interface import Caller, Values
from alcor.model.errors import AlcorError, InvalidInput, Problem
from alcor.model.resource import REQUIRED, UNSET, Resource, Who


@dataclass(frozen=True, slots=True)
class _Slot:
    """One attribute a caller may set, prepared: where it goes, how it parses, what it is when nothing is said."""

    name: str
    field: str
    parse: Callable[[object], Any]
    default: Any


Said = tuple[tuple[str, Any], ...]
"""The attributes a client named, with what they mean: what the policy is asked about."""


@dataclass(frozen=True, slots=True)
class Item:
    """One validated item of a body."""

    values: Values
    said: Said


class Form:
    """What a resource accepts. Prepared once, so that a request only looks things up.

    Cost:  O(attributes) per item.
    """

    def __init__(self, resource: Resource, limits: Limits) -> None:
        self.member = resource.member_key
        self.collection = resource.collection_key
        self._limits = limits
        self._known = {a.name for a in resource.attributes}
        self._owned = "project_id" in self._known
        if self._owned:
            self._known.add("tenant_id")
        self._on_create = [
            _Slot(a.name, a.field, a.type.parse, a.default)
            for a in resource.attributes
            if a.create is not Who.NOBODY and a.name != "project_id"
        ]
        self._on_update = {
            a.name: _Slot(a.name, a.field, a.type.parse, UNSET)
            for a in resource.attributes
            if a.update is not Who.NOBODY
        }
        self._never_created = {a.name for a in resource.attributes if a.create is Who.NOBODY}
        project = resource.attribute("project_id")
        self._parse_project = project.type.parse if project is not None else None

    def created(self, body: object, caller: Caller) -> tuple[list[Item], bool]:
        """The items of a create call, and whether it is a bulk one. Raises: InvalidInput, Refused."""
        members = self._members(body)
        if self.collection in members:
            items = self.many(members)
            return [
                self.in_bulk(index, item, lambda one: self._create_item(one, caller))
                for index, item in enumerate(items)
            ], True
        return [self._create_item(self._one(members), caller)], False

    def updated(self, body: object) -> Item:
        """What an update call says. Raises: InvalidInput, Refused."""
        return self.update_item(self._one(self._members(body)))

    def many(self, body: object) -> list[Any]:
        """The items of a bulk call, as they came. Raises: Refused if there are none, or too many."""
        items = self._members(body).get(self.collection)
        if not isinstance(items, list) or not items:
            raise bad_request(f"'{self.collection}' must be a list with at least one item.")
        if len(items) > self._limits.bulk_items_max:
            raise Refused(
                413,
                f"'{self.collection}' has {len(items)} items; one request has at most "
                f"{self._limits.bulk_items_max}. Send them in several requests.",
            )
        return items

    def update_item(self, item: object) -> Item:
        """What one item of an update says. Raises: InvalidInput, Refused."""
        values: Values = {}
        said: list[tuple[str, Any]] = []
        for name, value in self._checked(item).items():
            slot = self._on_update.get(name)
            if slot is None:
                raise bad_request(f"Cannot update read-only attribute {name}")
            parsed = values[slot.field] = _parsed(slot, value)
            said.append((name, parsed))
        return Item(values, tuple(said))

    def _members(self, body: object) -> Mapping[str, Any]:
        if not isinstance(body, dict):
            raise bad_request(f"The body must be a JSON object with the member '{self.member}'.")
        return body

    def _one(self, members: Mapping[str, Any]) -> Any:
        if self.member not in members:
            raise bad_request(f"Unable to find '{self.member}' in request body")
        return members[self.member]

    def in_bulk(self, index: int, item: Any, understand: Callable[[Any], Item]) -> Item:
        """One item of a bulk call. Raises: InItem, which says which one is wrong."""
        if isinstance(item, dict) and list(item) == [self.member]:
            item = item[self.member]
        try:
            return understand(item)
        except AlcorError as error:
            raise InItem(f"{self.collection}[{index}]", error) from error

    def _create_item(self, item: Any, caller: Caller) -> Item:
        item = dict(self._checked(item, creating=True))
        values: Values = {}
        said: list[tuple[str, Any]] = []
        if self._owned:
            values["project_id"] = self._project(item.pop("project_id", None), caller)
        for slot in self._on_create:
            if slot.name in item:
                value = values[slot.field] = _parsed(slot, item[slot.name])
                said.append((slot.name, value))
            elif slot.default is REQUIRED:
                raise bad_request(f"Failed to parse request. Required attribute '{slot.name}' not specified")
            else:
                default = slot.default
                values[slot.field] = dict(default) if isinstance(default, dict) else default
        return Item(values, tuple(said))

    def _checked(self, item: Any, *, creating: bool = False) -> Mapping[str, Any]:
        """The item with `project_id` for `tenant_id`, without attributes that are not there or not settable."""
        if not isinstance(item, dict):
            raise bad_request(f"Object '{self.member}' contains invalid data: it must be a JSON object.")
        unknown = item.keys() - self._known
        if unknown:
            names = ", ".join(sorted(unknown))
            raise InvalidInput(f"Unrecognized attribute(s) '{names}'", problem=Problem.UNKNOWN_ATTRIBUTE)
        if "tenant_id" in item:
            item = dict(item)
            tenant = item.pop("tenant_id")
            if item.setdefault("project_id", tenant) != tenant:
                raise bad_request("'project_id' and 'tenant_id' do not match")
        if creating:
            refused = item.keys() & self._never_created
            if refused:
                raise bad_request(f"Attribute '{min(refused)}' not allowed in POST")
        return cast("Mapping[str, Any]", item)

    def _project(self, wanted: Any, caller: Caller) -> str:
        if wanted is None or wanted == caller.project_id:
            return caller.project_id
        if not caller.is_admin:
            raise bad_request(
                f"project_id '{wanted}' is not the project of the token; only an administrator may name another."
            )
        assert self._parse_project is not None
        try:
            return str(self._parse_project(wanted))
        except ValueError as error:
            raise InvalidInput(str(error), attribute="project_id") from error


def _parsed(slot: _Slot, value: Any) -> Any:
    try:
        return slot.parse(value)
    except ValueError as error:
        raise InvalidInput(str(error), attribute=slot.name) from error


def decode_json(raw: bytes, depth_max: int) -> Any:
    """The value of a JSON text. Raises: Refused (400) that says where it is wrong, or how deep it may be."""
    if not raw:
        raise bad_request("The request has no body; a JSON object is needed.")
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise bad_request(
            f"The body is not valid JSON: {error.msg} (line {error.lineno}, column {error.colno})."
        ) from error
    # Most bodies have fewer brackets than levels are allowed; only the others are walked.
    if raw.count(b"{") + raw.count(b"[") > depth_max and _depth_exceeds(value, depth_max):
        raise bad_request(f"The body is nested deeper than {depth_max} levels.")
    return value


def _depth_exceeds(value: Any, depth_max: int) -> bool:
    """Whether a value has more than `depth_max` levels. Walks level by level, so that depth costs no stack."""
    level = [value]
    for _ in range(depth_max):
        level = [
            child
            for container in level
            if isinstance(container, dict | list)
            for child in (container.values() if isinstance(container, dict) else container)
        ]
        if not level:
            return False
    return any(isinstance(container, dict | list) for container in level)
