"""The original's calls that put ports into security groups and take them out, and each project's default group."""

from collections.abc import Callable
from typing import Any

from alcor.managers.interface import Ask, Caller, Manager, Route, Service
from alcor.managers.row import get_visible
from alcor.managers.security_group.default import default_group
from alcor.model.change import Origin
from alcor.model.errors import Forbidden, InvalidInput, Problem
from alcor.model.port import Port
from alcor.model.security_group import SecurityGroup
from alcor.model.value import Record, Uuid
from alcor.store.interface import Store, Transaction

_KEY = "port_binding_security_groups"
_PAIRS_MAX = 1_000
_PAIR = Record({"port_id": Uuid(), "security_group_id": Uuid()}, lambda **one: one)
_BODY = {
    "type": "object",
    "properties": {_KEY: {"type": "array", "items": _PAIR.schema(), "minItems": 1, "maxItems": _PAIRS_MAX}},
    "required": [_KEY],
    "additionalProperties": False,
}
_GROUP = {
    "type": "object",
    "properties": {"security_group": {"type": "object"}},
    "required": ["security_group"],
}
_WRITE = "role:member or rule:admin_only"

Groups = tuple[str, ...]
Change = Callable[[Groups, str], Groups]


def service(ports: Manager) -> Service:
    """`/bind-security-groups`, `/unbind-security-groups`, `/security-groups/default/<project>`."""
    return Service(
        "security-group",
        (
            _route(ports, "bind", _with, "Put ports into security groups, all or none"),
            _route(ports, "unbind", _without, "Take ports out of security groups, all or none"),
            Route(
                "GET",
                "/security-groups/default/{project_id}",
                show_default,
                "get_default_security_group",
                "rule:admin_or_project_reader",
                "A project's default security group; it is made if there is none",
                schema=_GROUP,
            ),
        ),
    )


def _with(groups: Groups, group: str) -> Groups:
    return (*groups, group) if group not in groups else groups


def _without(groups: Groups, group: str) -> Groups:
    return tuple(one for one in groups if one != group)


def _route(ports: Manager, verb: str, change: Change, text: str) -> Route:
    async def answer(store: Store, ask: Ask) -> dict[str, Any]:
        pairs = _pairs(ask.body)
        await store.write(lambda tx: _apply(tx, ask.caller, ports, pairs, change), _origin(ask.caller))
        return {_KEY: pairs}

    return Route(
        "POST",
        f"/{verb}-security-groups",
        answer,
        f"{verb}_security_groups",
        _WRITE,
        text,
        status=201,
        schema=_BODY,
        body_schema=_BODY,
    )


def _origin(caller: Caller) -> Origin:
    return Origin(caller.request_id, caller.user_id, caller.project_id)


def _pairs(body: Any) -> list[dict[str, str]]:
    """What the body says. Raises: InvalidInput."""
    said = body.get(_KEY) if isinstance(body, dict) else None
    if not isinstance(said, list) or not 1 <= len(said) <= _PAIRS_MAX:
        raise InvalidInput(
            f"The body must be {{'{_KEY}': [...]}} with 1 to {_PAIRS_MAX} pairs.",
            problem=Problem.BAD_REQUEST,
        )
    try:
        return [_PAIR.parse(one) for one in said]
    except ValueError as error:
        raise InvalidInput(str(error), attribute=_KEY) from error


async def _apply(
    tx: Transaction, caller: Caller, ports: Manager, pairs: list[dict[str, str]], change: Change
) -> None:
    """Raises: NotFound (port, group); Forbidden for a port of another project; what changing a port raises."""
    assert ports.update is not None
    for pair in pairs:
        row = await get_visible(tx, caller, Port, pair["port_id"], kind="port")
        if not (caller.is_admin or caller.owns(row)):
            raise Forbidden(f"Port {row.id} is another project's; its owner says its groups.")
        group = await get_visible(tx, caller, SecurityGroup, pair["security_group_id"], kind="security_group")
        present = row.security_groups or ()
        groups = change(present, group.id)
        if groups != present:
            await ports.update(tx, caller, row, {"security_groups": groups})


async def show_default(store: Store, ask: Ask) -> dict[str, Any]:
    """Raises: nothing of its own; a project that is not known is one that has had nothing yet."""
    project_id = ask.names["project_id"]

    async def work(tx: Transaction) -> SecurityGroup:
        return await tx.get(SecurityGroup, await default_group(tx, project_id))

    row = (await store.write(work, _origin(ask.caller))).value
    return {
        "security_group": {
            "id": row.id,
            "name": row.name,
            "description": row.description,
            "project_id": row.project_id,
            "tenant_id": row.project_id,
        }
    }
