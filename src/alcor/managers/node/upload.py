"""`POST /hosts/upload`: an inventory file of hosts, in JSON, YAML or CSV. All of it is registered, or nothing is.

JSON and YAML: a list of hosts, or an object whose only member (`hosts` or `nodes`) is that list. CSV: the first line
names attributes, each other line is a host; an empty cell says nothing, the items of a list are separated by spaces.
"""

import asyncio
import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from alcor.managers.defaults import values_for
from alcor.managers.interface import Ask, Caller, Made, Route, Service, Upload, Values
from alcor.managers.node.manager import create
from alcor.model.change import Origin
from alcor.model.errors import AlcorError, InvalidInput, Problem
from alcor.model.host import HOST
from alcor.model.resource import REQUIRED, Who
from alcor.model.value import ListOf
from alcor.store.interface import Store, Transaction

ROWS_MAX = 10_000
# Rows whose errors are told; who has more of them has one error many times.
_TOLD_MAX = 100
_YAML = ("application/yaml", "application/x-yaml", "text/yaml", "text/x-yaml")
_CSV = "text/csv"
_MEMBERS = ("hosts", "nodes")
_SETTABLE = {a.name: a for a in HOST.attributes if a.create is not Who.NOBODY}
_REQUIRED = tuple(name for name, a in _SETTABLE.items() if a.default is REQUIRED)

_TEXT = {"type": "string"}
_HOST = {
    "type": "object",
    "properties": {"id": _TEXT, "name": _TEXT, "token": _TEXT},
    "required": ["id", "name", "token"],
    "additionalProperties": False,
}


@dataclass(frozen=True, slots=True)
class Row:
    """One host of a file. `place`: how the file's author finds it; `error`: why it is none; `said`: the attributes that
    the file names, the others of `values` are defaults."""

    place: str
    values: Values
    error: str = ""
    said: frozenset[str] = frozenset()


def upload_service() -> Service:
    """`POST /hosts/upload` and `POST /nodes/upload`."""
    return Service("node", tuple(_route(member) for member in _MEMBERS))


def _route(member: str) -> Route:
    async def answer(store: Store, ask: Ask) -> dict[str, Any]:
        made = await register(store, ask.caller, await asyncio.to_thread(read_rows, ask.body))
        return {
            member: [{"id": one.row.id, "name": one.row.name, "token": one.shown["token"]} for one in made]
        }

    item = {"type": "object", "properties": {name: a.type.schema() for name, a in _SETTABLE.items()}}
    hosts = {"type": "array", "items": item, "maxItems": ROWS_MAX}
    named = {"type": "object", "properties": dict.fromkeys(_MEMBERS, hosts)}
    return Route(
        "POST",
        f"/{member}/upload",
        answer,
        "create_host",
        "rule:admin_only",
        "Register the hosts of an inventory file, all or none; each answer has its agent's secret",
        status=201,
        schema={
            "type": "object",
            "properties": {member: {"type": "array", "items": _HOST}},
            "required": [member],
            "additionalProperties": False,
        },
        body_schema={"anyOf": [named, hosts]},
        kinds=(_CSV, *_YAML),
    )


async def register(store: Store, caller: Caller, rows: Sequence[Row]) -> list[Made]:
    """Register the hosts of a file. Raises: InvalidInput (HOSTS_NOT_REGISTERED) with a reason for each wrong one."""

    async def work(tx: Transaction) -> list[Made]:
        made, errors = [], []
        for row in rows:
            reason = row.error
            if not reason:
                try:
                    made += await create(tx, caller, [row.values])
                except AlcorError as error:
                    reason = error.message
            if reason:
                errors.append(f"{row.place}: {reason}")
        if errors:
            # Nothing of the transaction is kept, whatever of it was right.
            raise _refused(len(rows), errors)
        return made

    origin = Origin(caller.request_id, caller.user_id, caller.project_id)
    return (await store.write(work, origin)).value


def _refused(count: int, errors: Sequence[str]) -> InvalidInput:
    told = list(errors[:_TOLD_MAX])
    if len(errors) > _TOLD_MAX:
        told.append(f"and {len(errors) - _TOLD_MAX} more")
    return InvalidInput(
        f"{len(errors)} of {count} hosts cannot be registered, so none was: {errors[0]}",
        problem=Problem.HOSTS_NOT_REGISTERED,
        detail="\n".join(told),
    )


def read_rows(body: Any) -> list[Row]:
    """The hosts of a file, wrong ones with their errors. Raises: InvalidInput if it is none."""
    if isinstance(body, Upload):
        try:
            text = body.content.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise _no_file(f"it is not UTF-8 (byte {error.start})") from error
        if body.kind == _CSV:
            return _bounded(_of_csv(text))
        body = _of_yaml(text)
    if isinstance(body, dict) and len(body) == 1:
        (name,) = body
        body = body[name] if name in _MEMBERS else None
    if not isinstance(body, list):
        raise _no_file(
            f"it must be a list of hosts, or an object with the one member {' or '.join(_MEMBERS)}"
        )
    return _bounded([_row(f"hosts[{place}]", item) for place, item in enumerate(body)])


def _no_file(reason: str) -> InvalidInput:
    return InvalidInput(f"The inventory file cannot be read: {reason}.", problem=Problem.HOSTS_NOT_REGISTERED)


def _bounded(rows: list[Row]) -> list[Row]:
    if not rows:
        raise _no_file("it has no hosts")
    if len(rows) > ROWS_MAX:
        raise _no_file(f"it has {len(rows)} hosts, more than {ROWS_MAX}; send it in parts")
    return rows


def _of_yaml(text: str) -> Any:
    try:
        # An alias may make a small file a huge one; an inventory needs none.
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, yaml.SafeLoader)):
            raise _no_file("aliases (*name) are not taken")
        return yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise _no_file(" ".join(str(error).split())) from error


def _of_csv(text: str) -> list[Row]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True, skipinitialspace=True)
    rows: list[Row] = []
    head: list[str] = []
    try:
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            if not head:
                head = [cell.strip() for cell in cells]
                if len(set(head)) < len(head):
                    raise _no_file("its first line names an attribute twice")
                continue
            place = f"line {reader.line_num}"
            if len(cells) != len(head):
                rows.append(
                    Row(place, {}, f"it has {len(cells)} cells, and the first line names {len(head)}")
                )
                continue
            said = {name: cell.strip() for name, cell in zip(head, cells, strict=True) if cell.strip()}
            rows.append(_row(place, {name: _cell(name, cell) for name, cell in said.items()}))
    except csv.Error as error:
        raise _no_file(f"line {reader.line_num}: {error}") from error
    return rows


def _cell(name: str, cell: str) -> Any:
    attribute = _SETTABLE.get(name)
    return cell.split() if attribute is not None and isinstance(attribute.type, ListOf) else cell


def _row(place: str, item: Any) -> Row:
    if not isinstance(item, dict):
        return Row(place, {}, "it is not an object")
    errors = [f"'{name}' is no attribute a host is registered with" for name in item if name not in _SETTABLE]
    errors += [f"'{name}' is missing" for name in _REQUIRED if name not in item]
    said: Values = {}
    for name, value in item.items():
        if name in _SETTABLE:
            try:
                said[_SETTABLE[name].field] = _SETTABLE[name].type.parse(value)
            except ValueError as error:
                errors.append(f"{name}: {error}")
    return Row(place, values_for(HOST, **said), "; ".join(errors), frozenset(item) & _SETTABLE.keys())
